"""Does a model know what it will need before it writes the first word?

Part 2.1 (Ye, Xu, Li, Allen-Zhu, arXiv 2407.20311), sections 3 to 5, Results 3
to 8: a frozen model is asked, by a probe at the end of the text (V-probing:
evals/v_probe.py), whether a quantity is needed for the answer (nece, before the
solution), whether one depends on another (dep, before the question is even
read), and during the solution whether one is computed already (known), what it
is (value), whether it can be computed next (can_next) and is needed, too
(nece_next); and what the first wrong step of a wrong solution is.

Paper (GPT2-12-12, med; op up to 15 / at 23, %): nece 99.8 / 94.7 (a model
before training 74.7 / 49.3, majority 74.7 / 52.1), dep 99.7 / 100 (84.6 /
83.7), known 100 / 100 (87.2 / 74.6), value 100 / 100 (71.9 / 45.5), can_next
99.9 / 99.0 (65.8 / 63.3), nece_next 99.9 / 98.7 (94.9 / 92.8); of needless
quantities, too, dep and can_next are known (97 and more); right solutions hold
nothing needless (0.00); wrong ones fail by computing what cannot be computed
yet.

  python -m physics_lm.launch experiments/hidden_planning.py --scale=cpu
  python -m physics_lm.report experiments/hidden_planning.py --scale=cpu

Measured, `cpu`: three models of error_correction.py (3 minutes each), and
1,559 s for what is reported here, of cores that others used as well.

Ours: the models of error_correction.py that saw no mistakes (trained once: the
launcher takes them from there). Only the names between a probe's marks train,
not the text's embedding (the paper's does). Accuracy is the mean of that on
positive and that on negative labels, so that a constant answer has 50 % (of
values: of those known, and of those that are not); it ranges over the
quantities that the problem has. Probes learn from problems that are not asked;
at `cpu` scale about half of what is asked stood in the model's own training.
Not asked: what the probes say of the needless steps that models take when asked
anew (Part 2.1, Figure 8): at `cpu` scale right solutions hold none.

Rules, fixed before the runs, n >= 3 seeds: the model knows it when its probe is
above the untrained model's by more than twice the standard error over seeds,
sqrt((s1^2 + s2^2) / n), and above 50 % by as much, at the last split.
"""

from physics_lm import plots
from physics_lm.report import Claim, plus_minus
from physics_lm.sweep import Run, pick

TASKS = {'nece': 'needed\nfor the\nanswer?', 'dep': 'does A\ndepend\non B?',
         'known': 'is it\ncomputed\nalready?', 'value': 'what\nis it?',
         'can_next': 'can it\nbe next?', 'nece_next': 'and\nneeded,\ntoo?'}
# Of the paper, med, op <= 15: trained, before training, %.
PAPER = {'nece': (99.8, 74.7), 'dep': (99.7, 84.6), 'known': (100, 87.2),
         'value': (100, 71.9), 'can_next': (99.9, 65.8),
         'nece_next': (99.9, 94.9)}
FAULTS = {'not_ready': 'cannot be\ncomputed yet',
          'computed': 'computed\nwrongly', 'foreign': 'not in the\nproblem',
          'again': 'told\nbefore', 'end': 'ends too\nsoon or late',
          'unreadable': 'no\nsentence'}
SCALES = {
    # scale: recipe, seeds, splits probed, of training, of probing
    'smoke': ('small', 1, ('train_op2',), {
        'model.width': 16, 'model.depth': 1, 'steps': 4, 'optim.warmup': 2,
        'data.batch': 8, 'log.every': 2, 'evals.reasoning.problems': 8,
        'evals.reasoning.tokens': 16, 'evals.loss.rows': 4}, {
            f'evals.{t}.{k}': v for t in TASKS for k, v in (
                ('steps', 2), ('batch', 8), ('problems', 8))}),
    'cpu': ('small', 3, ('train_op2', 'train_op3'), {
        'evals.reasoning.tokens': 96}, {
            'evals.reasoning.problems': 400} | {
                f'evals.{t}.problems': 200 for t in TASKS}),
    'gpu': ('gpu', 3, ('test', 'test_op10', 'test_op13'), {}, {
        'evals.reasoning.problems': 500} | {
            f'evals.{t}.{k}': v for t in TASKS for k, v in (
                ('steps', 3000), ('batch', 128), ('problems', 500))}),
    'paper': ('med', 1, ('test', 'test_op15', 'test_op20', 'test_op23'), {}, {
        'evals.reasoning.problems': 4096, 'evals.reasoning.tokens': 2048} | {
            f'evals.{t}.{k}': v for t in TASKS for k, v in (
                ('steps', 100_000), ('batch', 256), ('problems', 4096),
                ('learning_rate', 2e-3))}),
}


def runs(scale: str) -> list[Run]:
  """Every seed: a trained model, and the run that only asks it."""
  recipe, seeds, splits, training, probing = pick(SCALES, scale)
  out = []
  for seed in range(seeds):
    same = training | {f'seed.{k}': seed for k in ('init', 'data', 'world')} | {
        'evals.reasoning.splits': ','.join(splits)}
    model = Run(f'configs/igsm.py:{recipe}', same,
                {'data': 'clean', 'seed': seed})
    out.append(Run(f'configs/igsm.py:{recipe}_probes',
                   same | {'steps': 0} | probing | {
                       f'evals.{t}.splits': ','.join(splits) for t in TASKS},
                   {'seed': seed}, model))
  return out


def table(results: list[dict]):
  """One row a (run, task, split, model, layer, measure). Layer -1: the last.
  Measures: accuracy, positive, negative, majority, balanced, of needless
  quantities needless, distance0 .. (of positives); of task `solution`: full,
  answer, extra_parameters (a solution), and faults' shares, %."""
  import pandas as pd
  rows = []
  for r in results:
    add = lambda *row, seed=r['seed']: rows.append((seed, *row))
    for key, value in r.items():
      task, *rest = key.split('/')
      if task == 'reasoning' and rest[0] in ('full', 'answer') and (
          len(rest) == 2):
        add('solution', rest[1], 'trained', -1, rest[0], 100 * value)
      if task == 'reasoning' and rest[0] == 'extra_parameters':
        add('solution', rest[1], 'trained', -1, rest[0], value)
      if task == 'reasoning' and rest[0] == 'fault':
        add('solution', rest[1], 'trained', -1, rest[2], 100 * value)
      if task not in TASKS:
        continue
      who = 'untrained' if rest[0] == 'random' else 'trained'
      rest = rest[rest[0] == 'random':]
      layer = int(rest[0][5:]) if rest[0].startswith('layer') else -1
      measure, split = rest[layer >= 0:]
      if not measure.startswith('needless'):
        add(task, split, who, layer, measure, 100 * value if (
            measure != 'questions') else value)
      for name, of in (('positive', 'balanced'),
                       ('needless_positive', 'needless')):
        other = key.replace('positive', 'negative')
        if measure == name and layer < 0 and other in r:
          add(task, split, who, -1, of, 50 * (value + r[other]))
  return pd.DataFrame(rows, columns=['seed', 'task', 'split', 'model', 'layer',
                                     'measure', 'value'])


def points(df):
  """Mean, std over seeds and n of every measure."""
  return df.groupby(['task', 'split', 'model', 'layer', 'measure'],
                    sort=False).value.agg(['mean', 'std', 'size']).sort_index()


def shown(c) -> str:
  return plus_minus(c['mean'], c['std'])


def probed(df) -> list[str]:
  """Those of TASKS that were run."""
  return [t for t in TASKS if t in set(df.task)]


def show(df) -> str:
  """Probes of the last layer, by split; the models' solutions."""
  p, lines = points(df), []
  columns = (('balanced', 14), ('positive', 14), ('negative', 14),
             ('needless', 14), ('accuracy', 14), ('majority', 14))
  for split in df[df.task == 'nece'].split.unique():
    lines.append(f'{split:22}' + ''.join(f'{m:>{w}}' for m, w in columns))
    for task in probed(df):
      for who in ('trained', 'untrained'):
        c = p.loc[(task, split, who, -1)]
        lines.append(f'  {task:10}{who:10}' + ''.join(
            f'{shown(c.loc[m]) if m in c.index else "":>{w}}'
            for m, w in columns))
    c = p.loc[('solution', split, 'trained', -1)]
    lines.append('  solutions: ' + ', '.join(
        f'{k} {shown(c.loc[k])}' for k in ('full', 'answer', *FAULTS)
        if k in c.index))
  return '\n'.join([*lines, 'balanced: mean of positive and negative labels, '
                    'guessing has 50; needless: the same, of quantities that '
                    'the answer does not need'])


def figure(df):
  """Probes of the last layer; nece by layer and distance; first faults."""
  p, tasks = points(df), probed(df)
  split = df[df.task == 'nece'].split.unique()[-1]
  fig, axes = plots.figure(columns=3, width=4.3, height=3.8)
  ax, depth, faults = axes[0]
  for k, (who, colour) in enumerate((('trained', plots.COLOURS[0]),
                                     ('untrained', plots.QUIET))):
    cells = p.loc[[(t, split, who, -1, 'balanced') for t in tasks]]
    at = [x + 0.36 * k - 0.18 for x in range(len(tasks))]
    std = cells['std'].fillna(0)
    ax.bar(at, cells['mean'], 0.32, yerr=std, color=colour, ecolor=plots.INK,
           capsize=2.5, label='the model' if k == 0 else 'before training')
    for x, value, error in zip(at, cells['mean'], std):
      ax.annotate(f'{value:.0f}', (x, value + error), xytext=(0, 3),
                  ha='center', textcoords='offset points', fontsize=8)
  ax.axhline(50, color=plots.INK, linewidth=0.8, linestyle=':')
  ax.set_xticks(range(len(tasks)), [TASKS[t] for t in tasks], fontsize=8)
  ax.set_ylim(0, 118)
  ax.set_yticks(range(0, 101, 20))
  ax.set_ylabel('accuracy of the probe, %', fontsize=9)
  ax.legend(fontsize=8, frameon=False, loc='upper left', ncols=2)
  for when, x in (('before solving', 0.5),
                  ('while solving', (len(tasks) + 1) / 2)):
    ax.annotate(when, (x, 101), ha='center', fontsize=8, color=plots.QUIET)
  plots.title(ax, 'What is known')

  mine = df[(df.task == 'nece') & (df.split == split) & (df.layer >= 0)]
  far = sorted(m for m in mine.measure.unique() if m.startswith('distance'))
  for m, colour in zip(far, plots.COLOURS):
    steps = int(m[8:])
    for who, style in (('untrained', ':'), ('trained', '-')):
      c = mine[(mine.measure == m) & (mine.model == who)].groupby(
          'layer').value.agg(['mean', 'std'])
      depth.errorbar(c.index, c['mean'], yerr=c['std'].fillna(0), color=colour,
                     marker='o', markersize=3.5, capsize=2, linewidth=1.4,
                     linestyle=style, label=None if style == ':' else (
                         f'{steps} step{"s"[:steps != 1]} away' if steps else
                         'itself'))
  depth.set_xticks(sorted(mine.layer.unique()))
  depth.set_xlabel('layers below the probe', fontsize=9)
  depth.set_ylim(0, 118)
  depth.set_yticks(range(0, 101, 20))
  depth.set_ylabel('needed quantities found, %', fontsize=9)
  depth.legend(fontsize=8, frameon=False, loc='upper left', ncols=len(far),
               title='from what is asked (dotted: before training)',
               title_fontsize=8, columnspacing=1.0)
  plots.title(depth, 'Needed? By layer and distance')

  c = p.loc[('solution', split, 'trained', -1)]
  wrong = 100 - c.loc['full', 'mean']
  share = [100 * c.loc[k, 'mean'] / max(wrong, 1e-9) if k in c.index else 0
           for k in FAULTS]
  faults.bar(range(len(FAULTS)), share, 0.62, color=plots.COLOURS[1])
  for x, value in enumerate(share):
    faults.annotate(f'{value:.0f}', (x, value), xytext=(0, 3), ha='center',
                    textcoords='offset points', fontsize=8.5)
  faults.set_xticks(range(len(FAULTS)), FAULTS.values(), fontsize=7)
  faults.set_ylabel('of wrong solutions, %', fontsize=9)
  plots.title(faults, 'What is wrong first')
  n = int(p['size'].max())
  fig.supxlabel(
      f'{named(split)}; mean and standard deviation of {n} '
      f'seed{"s"[:n > 1]}; accuracy: mean of positive and negative labels, '
      f'50 % is chance; {wrong:.0f} % of solutions are wrong', x=0.01,
      ha='left', fontsize=8, color=plots.QUIET)
  return fig


def named(split: str) -> str:
  """'problems drawn anew of op 3' of 'train_op3': in a small world some of
  them have been seen."""
  op = ''.join(c for c in split if c.isdigit())
  return 'problems drawn anew' + f' of op {op}' * bool(op) + (
      ', templates as trained' if split.startswith('train') else
      ', new templates')


def verdict(df) -> list[Claim]:
  """Results 3 to 8, as far as they are asked, at the last split."""
  p, out = points(df), []
  split = df[df.task == 'nece'].split.unique()[-1]
  n = int(p.loc[('nece', split, 'trained', -1, 'balanced'), 'size'])

  def add(statement, paper, ours, holds):
    if n < 3:
      ours, word = 'not run with three seeds', 'not tested at this scale'
    else:
      word = 'yes' if holds else 'no'
      ours += f' ({named(split)}; n = {n} seeds)'
    out.append(Claim(statement, paper, ours, word))

  def knows(task, measure):
    a, b = (p.loc[(task, split, who, -1, measure)]
            for who in ('trained', 'untrained'))
    return (f'{shown(a)} against {shown(b)} % before training, mean '
            'of positive and negative labels',
            a['mean'] - b['mean'] > 2 * ((a['std']**2 + b['std']**2) / n)**0.5
            and a['mean'] - 50 > 2 * a['std'] / n**0.5)

  for task, statement in {
      'nece': 'Before the first word the model knows which quantities it will '
              'need (Result 4)',
      'dep': 'Before the question it knows what depends on what (Result 6)',
      'can_next': 'It knows which quantities can be computed next (Result 5)',
      # Added when the first three had been seen.
      'known': 'While it writes it knows what it has computed (Figure 7)',
      'value': 'and the values (Figure 7)',
      'nece_next': 'It knows what can be computed next and is needed (Figure '
                   '7)'}.items():
    paper = '{} against {} % before training (op <= 15)'.format(*PAPER[task])
    if task in probed(df):
      add(statement, paper, *knows(task, 'balanced'))
    else:
      out.append(Claim(statement, paper, 'not run', 'not tested at this scale'))
  for task, what in (('dep', 'what needless quantities depend on'),
                     ('can_next', 'when needless quantities could be '
                      'computed')):
    if ('needless' in p.loc[(task, split, 'trained', -1)].index):
      add(f'It knows {what}, which no solution takes (Result 7, level-2 skill)',
          '97 % and more', *knows(task, 'needless'))
  c = p.loc[('solution', split, 'trained', -1)]
  if 'extra_parameters' in c.index:
    extra = c.loc['extra_parameters', 'mean']
    add('Right solutions compute only what is needed (Result 3, level-1 skill: '
        'less than 0.05 needless quantities)', '0.00', f'{extra:.2f}',
        extra < 0.05)
  kinds = c.loc[[k for k in FAULTS if k in c.index], 'mean']
  add('Wrong solutions go wrong by what cannot be computed yet (Result 8: the '
      'commonest first fault)', 'the main fault', ', '.join(
          f'{k} {v:.1f}' for k, v in kinds.items() if v >= 0.05)
      + ' % of solutions', kinds.idxmax() == 'not_ready')
  return out
