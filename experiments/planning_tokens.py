"""Does a model plan before its first word once it has trained for longer?

Part 2.1 (Ye, Xu, Li, Allen-Zhu, arXiv 2407.20311), Result 4: before a solution
begins a V-probe reads off which quantities are needed for the answer, 99.8 %
(74.7 of an untrained model). A model of 0.9M parameters after 4.6M tokens (one
seed, not reported) has a balanced accuracy of 81 % (untrained 67: a name
compared with the question tells much) where 85 % of the problems are solved.
Does the plan come before solving, with it, or later?

  python -m physics_lm.launch experiments/planning_tokens.py --scale=cpu
  python -m physics_lm.report experiments/planning_tokens.py --scale=cpu

Error-free compact world of error_correction.py, models train to op 5; probes
and solutions at op 5, whose test problems have templates of their own; models
of 6.9 million tokens: igsm_probing's. Measured first at op 4 (templates of
training) at 1.7, 3.5, 6.9 million tokens: nece 74, 77, 80, nece_next 81, 94,
96, solved 25, 74, 89 %. Predicted, op 5: 71, 74, 77, 82, 92, 95, solved 20, 65,
84 %. `day`: from 0.9 to 14 million. What a plan lacks a search may find: beams
of 4 (16 are no better: retry_upon_regret.py), predicted 1, 4, 2 points above
greedy solutions (there, at 9.2 million, 2.0).
"""

from physics_lm import figures, igsm_tables, results
from physics_lm.claims import Claim, at_least, at_most, greater
from physics_lm.configs import scales
from physics_lm.configs.igsm import COMPACT_NEW_TOKENS
from physics_lm.sweep import Run, pick

TASKS = ('nece', 'dep', 'can_next', 'known', 'value', 'nece_next')
LABELS = {'solved': 'solutions correct', 'beams': 'correct with 4 beams',
          'nece_next': 'nece_next: needed and computable next',
          'nece': 'nece: needed for the answer'}


def _beams(splits: str, problems: int, tokens: int) -> dict:
  """Overrides: another evaluation, of solutions found by 4 beams."""
  return {f'evals.beam4.{k}': v for k, v in {
      'kind': 'solutions', 'world': 'igsm', 'decode': 'beam:4', 'splits': (
          splits), 'num_problems': problems, 'max_new_tokens': tokens}.items()}


COMPACT = dict(recipe='compact', splits='test_op4,test_op5',
               train=scales.COMPACT_PROBED,
               probes=dict(num_problems=300),
               solutions=scales.COMPACT_SOLUTIONS,
               beams=_beams('test_op5', 1000, COMPACT_NEW_TOKENS))
SCALES = {
    'smoke': dict(recipe='small', seeds=1, splits='train_op2', steps=(3, 6),
                  probes=dict(steps=2, batch=8, num_problems=8), solutions={},
                  beams=_beams('train_op2', 4, 16),
                  train=scales.SMOKE_IGSM),
    'cpu': COMPACT | dict(seeds=5, steps=(1125, 2250, 4500)),
    'day': COMPACT | dict(seeds=5, steps=(560, 1125, 2250, 4500, 9000))}


def runs(scale: str) -> list[Run]:
  """Every (seed, steps): a run that evaluates a trained model."""
  s, out = pick(SCALES, scale), []
  file, splits = f'configs/igsm.py:{s["recipe"]}', {'splits': s['splits']}
  for seed in range(s['seeds']):
    for steps in s['steps']:
      trained = Run(file, s.get('train', {}) | scales.seeds(seed) | {
          'steps': steps} | scales.evals(('reasoning',), **splits),
                    {'seed': seed, 'steps': steps})
      data = trained.config.data
      tags = trained.tags | {'tokens': steps * data.seq_len * data.batch_size}
      out.append(Run(f'{file}_probes', trained.overrides | {'steps': 0}
                     | s['solutions'] | s['beams'] | scales.evals(
                         TASKS, **splits, **s['probes']), tags, trained))
  return out


def table(records):
  """A row a run and split, percent: nece and nece_next, balanced accuracy of
  probes of the last layer (before the solution; at its steps), _untrained of
  the same model untrained; solved; tokens in millions."""
  df = igsm_tables.solutions(records)[[
      'run', 'seed', 'steps', 'tokens', 'split', 'accuracy', 'n_items']].rename(
          columns={'accuracy': 'solved'})
  df = df.merge(igsm_tables.solutions(records, 'beam4')[[
      'run', 'split', 'accuracy']].rename(
          columns={'accuracy': 'beams'}), how='left')
  df['beams_gain'] = df.beams - df.solved
  probes = igsm_tables.v_probes(records, ('nece', 'nece_next'))
  probes = probes[probes.label.eq('balanced') & probes.layer.eq('last')
                  & probes.needed.eq('all') & probes.position.eq('all')
                  & probes.distance.eq('all')]
  for (task, model), rows in probes.groupby(['task', 'model']):
    name = task if model == 'trained' else f'{task}_untrained'
    df = df.merge(rows[['run', 'split', 'accuracy']].rename(
        columns={'accuracy': name}), how='left')
  return df.assign(tokens=df.tokens / 1e6,
                   judged=df.split == igsm_tables.hardest_split(
                       df.assign(accuracy=df.solved), solved=0))


def summary(df):
  """Means at the judged split, by tokens."""
  return results.summarise(df[df.judged], ['steps', 'tokens', 'split'], [
      *LABELS, 'beams_gain', 'nece_untrained', 'nece_next_untrained'])


def figure(df):
  """Solutions and probes over the tokens of training."""
  s = summary(df)
  fig, ((ax,),) = figures.grid(1, width=6.6, height=3.9)
  for column, label in LABELS.items():
    figures.curves(ax, s, 'tokens', None, column, band=False, label=label,
                   color=figures.COLOURS[[*LABELS].index(column)])
  for task, style in (('nece', ':'), ('nece_next', '--')):
    figures.level(ax, s[f'{task}_untrained_mean'].mean(),
                  f'{task},\nuntrained', style)
  ax.set(xscale='log')
  ax.set_xticks(s.tokens, [f'{t:.2g}' for t in s.tokens])
  ax.minorticks_off()
  figures.percent_axis(ax), figures.legend(ax, loc='lower right')
  figures.labels(ax, 'tokens of training, millions',
                 'solved, or balanced accuracy, %')
  figures.finish(
      fig, 'Is what is needed known before it is computed?',
      f'{figures.seeds_note(s)}; nece: before the solution begins; nece_next: '
      f'at its steps;\nproblems of op {igsm_tables.split_op(s.split.iloc[0])}')
  return fig


def _at(steps: int, column: str) -> dict:
  return dict(steps=steps, judged=True, column=column)


LESS, MIDDLE, MOST = SCALES['cpu']['steps']
OURS = dict(source='beyond Part 2.1', paper='—')
CLAIMS = (
    Claim('nece_15', '7 million tokens: nece probe (needed for the answer) of '
          'the trained model > untrained by 15 points', 'Part 2.1, Result 4',
          '99.8 vs 74.7 % (not balanced)', (_at(MOST, 'nece'), _at(
              MOST, 'nece_untrained')), greater(15), baseline=50),
    Claim('nece_grows', 'nece probe: 7 > 2 million tokens by 5 points',
          cells=(_at(MOST, 'nece'), _at(LESS, 'nece')), rule=greater(5),
          baseline=50, **OURS),
    Claim('beams_within_2', '7 million tokens: 4 beams exceed greedy by at '
          'most 2 points', 'Part 2.2, section 3', '77.7 vs 76.8 %', (
              _at(MOST, 'beams_gain'),), at_most(2), unit='points'),
    Claim('beams_find_plans', 'Gain of 4 beams: 3 > 7 million tokens',
          cells=(_at(MIDDLE, 'beams_gain'), _at(MOST, 'beams_gain')),
          rule=greater(), unit='points', **OURS),
    Claim('solves', '7 million tokens: at least 85 % of problems are solved',
          cells=(_at(MOST, 'solved'),), rule=at_least(85), **OURS),
)
