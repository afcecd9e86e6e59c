"""Does a model know what it will need before it writes the first word?

Part 2.1 (Ye et al., arXiv 2407.20311), Results 3 to 8. V-probes (evals/igsm/
v_probe.py) of a frozen model predict if a quantity is needed for the answer
(nece, before the solution), depends on another (dep, before the question), ...

  python -m physics_lm.launch experiments/igsm_probing.py --scale=cpu
  python -m physics_lm.report experiments/igsm_probing.py --scale=cpu

`cpu`: error-free models of the compact world, width 96, 6.9M tokens, on op 5
(templates held out) and 4 (templates of training). Probes but dep: a head per
name, on the last token's state; balanced accuracy. Measured first, op 4,
trained and untrained: nece 80, 69, can_next 78, 52. Predicted, op 5: nece 77,
68, can_next 76, 51, before the first token of the solution 78, 55.
"""

from physics_lm import claims, figures, igsm_tables, results
from physics_lm.claims import Claim
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

# Task: the paper's accuracies (trained, untrained), where; what is predicted.
TASKS = {'nece': ((99.8, 74.7), 'Result 4', 'needed for\nthe answer'),
         'dep': ((99.7, 84.6), 'Result 6', 'depends on\nanother'),
         'can_next': ((99.9, 65.8), 'Result 5', 'computable\nnext'),
         'known': ((100, 87.2), 'Figure 7', 'computed\nalready'),
         'value': ((100, 71.9), 'Figure 7', 'its value'), 'nece_next': (
             (99.9, 94.9), 'Figure 7', 'needed and\ncomputable next')}
MODELS = 'trained', 'untrained'
PAPER = {(t, m): x for t in TASKS for m, x in zip(MODELS, TASKS[t][0])}
PANELS = {'before': 'Before the first token of the solution (dep: question)',
          'all': 'At its start and after each sentence'}
ERRORS = igsm_tables.FIRST_ERRORS
COMPACT = dict(recipe='compact', seeds=5, splits='test_op4,test_op5',
               train=scales.COMPACT_PROBED, solutions=scales.COMPACT_SOLUTIONS)
SCALES = {
    'smoke': dict(recipe='small', seeds=1, splits='train_op2', solutions={},
                  probes=dict(steps=2, batch=8, num_problems=8),
                  train=scales.SMOKE_IGSM),
    'cpu': COMPACT | dict(probes=dict(num_problems=300)),
    'day': COMPACT | dict(probes=dict(num_problems=1000, steps=3000)),
    'gpu': dict(recipe='gpu', seeds=3, splits='test,test_op10,test_op13',
                solutions={'evals.reasoning.num_problems': 500},
                probes=dict(steps=3000, batch=128, num_problems=500)),
    'paper': dict(
        recipe='med', seeds=1, splits='test,test_op15,test_op20,test_op23',
        solutions=scales.PAPER_SOLUTIONS, probes=dict(
            steps=100_000, batch=256, num_problems=4096, learning_rate=2e-3))}


def runs(scale: str) -> list[Run]:
  """Every seed: a run that evaluates a trained model."""
  s = pick(SCALES, scale)
  file, splits = f'configs/igsm.py:{s["recipe"]}', {'splits': s['splits']}
  models = [Run(file, s.get('train', {}) | scales.seeds(seed) | scales.evals(
      ('reasoning',), **splits), {'seed': seed}) for seed in range(s['seeds'])]
  probes = scales.evals(tuple(TASKS), **splits, **s['probes'])
  return [Run(f'{file}_probes', m.overrides | {'steps': 0} | s['solutions']
              | probes, m.tags, m) for m in models]


def table(records):
  """A row a run and slice of a probe, and a run and error_type of task
  'solutions', percent. judged: the split of the claims."""
  import pandas as pd
  df = pd.concat([igsm_tables.v_probes(records, TASKS),
                  igsm_tables.first_errors(records).assign(
                      task='solutions', model='trained')])
  df['judged'] = df.split == igsm_tables.hardest_split(df, solved=0)
  return df


def summary(df):
  """Probes of the last layer (label all: plain accuracy); solutions."""
  last = (df.label.isin(('balanced', 'all')) & df.layer.eq('last')
          & df.distance.eq('all'))
  return results.summarise(df[last | df.task.eq('solutions')], (
      'split judged task label needed position model error_type'.split()), [
          'accuracy', 'majority_baseline', 'first_error', 'extra_parameters'])


def figure(df):
  """Probes of the last layer; nece by layer and distance, first errors."""
  s = summary(df[df.judged])
  every = s[(s.label == 'balanced') & (s.needed == 'all')]
  first, (axes,) = figures.grid(2, width=6.4, height=3.9)
  for ax, where, hidden in zip(axes, PANELS, ('known value', 'nece dep')):
    figures.grouped_bars(
        ax, every[every.position == where], 'task', 'model', 'accuracy',
        {t: f'{t}:\n{TASKS[t][2]}' for t in TASKS if t not in hidden.split()},
        {m: m for m in MODELS}, PAPER)
    figures.level(ax, 50, 'chance'), figures.percent_axis(ax, 112)
    figures.labels(ax, '', 'balanced accuracy, %', PANELS[where])
  figures.legend(first, handles=axes[0].containers[1::2], ncols=2)
  note = f'{figures.seeds_note(s)}; {igsm_tables.split_label(s.split[0])}'
  figures.finish(
      first, 'Probes of the last layer: what is known before it is written',
      f'{note}; linear (dep: V-probe); diamonds: paper, V-probes, not balanced'
      ' (…next: at all positions)')
  second, (axes,) = figures.grid(2, width=4.9, height=3.5)
  far = igsm_tables.found_by_distance(df[df.judged & (df.task == 'nece')])
  far = (far.loc['trained'] - far.loc['untrained']).round() + 0  # no -0
  figures.heatmap(axes[0], far.to_numpy(), far.index, far.columns, -20, 20)
  figures.labels(axes[0], 'layers below the probe (0: no context)',
                 'steps to answer', 'nece probe: points above untrained')
  figures.bars(axes[1], s[s.model == 'trained'].set_index('error_type').loc[
      list(ERRORS)], 'first_error', list(ERRORS.values()), horizontal=True)
  figures.labels(axes[1], '% of problems', '', 'First errors of solutions')
  figures.finish(second, 'Needed quantities, errors', f'{note} (left: means)')
  return [first, second]


def knows(task: str, needed: str = 'all', by: int = 0, layer: str = 'last',
          **more) -> Claim:
  """The claim that a trained model's probe is above the untrained one's. `by`
  points: at op 4, 5, before the solution; needed 'no': unneeded quantities."""
  (high, low), source, what = TASKS[task]
  other, at = needed == 'no', [{'judged': True}] if not by else [
      {'split': f'test_op{n}'} for n in (4, 5)]
  cells = tuple(a | dict(
      task=task, model='trained', layer=layer, needed=needed, label='balanced',
      position='before' if by else 'all', distance='all') for a in at)
  of = (' of unneeded quantities' if other else
        ' before the first token' if by else '')
  return Claim(
      f'{task}_{by or needed}' + ('_best' if layer == 'best' else ''),
      f'{task} probe ({" ".join(what.split())}){of}, balanced, {layer} '
      'layer: trained > untrained' + (f' by {by} points' if by else ''),
      'Part 2.1, ' + ('Result 7' if other else source), '97 % or more' if other
      else f'{high} vs {low} % (not balanced)', tuple(
          (c, c | {'model': 'untrained'}) for c in cells), claims.greater(by),
      baseline=50, control=cells, decided_by=MORE,
      paper_effect=None if other or by else high - low, **more)


MORE = 'scale day: five times the training of the probes, 7 core-hours'
SOLVED, FIRST, *OTHERS = (dict(task='solutions', judged=True, model='trained',
                               error_type=e) for e in ('all', *ERRORS))
CLAIMS = (
    *(knows(t, post_hoc=n > 2) for n, t in enumerate(TASKS)),
    knows('dep', 'no'), knows('can_next', 'no'),
    Claim('shortest_solutions', 'Correct solutions compute less than 0.05 '
          'unneeded quantities', 'Part 2.1, Result 3', '0.00', (SOLVED,),
          claims.at_most(0.05), 'extra_parameters', '', decided_by=MORE,
          baseline='extra_parameters_unplanned'),
    Claim('errors_not_computable', 'Most frequent first error: not computable',
          'Part 2.1, Result 8', 'most frequent', tuple((FIRST, x) for x in
          OTHERS), claims.GreaterMean(0.0), 'first_error', decided_by=MORE),
    *(knows(t, by=15, layer=at, headline=(t, at) == ('nece', 'last'))
      for at in ('last', 'best') for t in ('nece', 'can_next')))
