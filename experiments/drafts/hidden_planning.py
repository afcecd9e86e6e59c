"""Does a model know what it will need before it writes the first word?

Part 2.1 (Ye, Xu, Li, Allen-Zhu, arXiv 2407.20311), sections 4 and 5, Results 4
to 8: a frozen model is asked, by a probe at the end of the text (V-probing:
evals/v_probe.py), whether a quantity is needed for the answer (nece, before the
solution), whether one depends on another (dep, before the question is even
read), whether one can be computed next (can_next, during the solution); and
what the first wrong step of a wrong solution is.

Paper (GPT2-12-12, med; op up to 15 / at 23, %): nece 99.8 / 94.7 (a model
before training 74.7 / 49.3, majority 74.7 / 52.1), dep 99.7 / 100 (84.6 /
83.7), can_next 99.9 / 99.0 (65.8 / 63.3); wrong solutions fail by computing
what cannot be computed yet.

  python -m physics_lm.launch experiments/drafts/hidden_planning.py --scale=cpu
  python -m physics_lm.report experiments/drafts/hidden_planning.py --scale=cpu

Not measured yet.

Ours: the models of error_correction.py that saw no mistakes. A probe's accuracy
is the mean of that on positive and that on negative labels, so that a constant
answer has 50 %; it ranges over the quantities that the problem has.

Rules, fixed before the runs, n >= 3 seeds: the model knows it when its probe is
above the untrained model's by more than twice the standard error over seeds,
sqrt((s1^2 + s2^2) / n), and above 50 % by as much.
"""

import math

from physics_lm import plots
from physics_lm.report import Claim
from physics_lm.sweep import Run, pick

TASKS = {'nece': 'needed for the answer?\n(before the solution)',
         'dep': 'does A depend on B?\n(before the question)',
         'can_next': 'can it come next?\n(during the solution)'}
# Of the paper, med, op <= 15: trained, before training, %.
PAPER = {'nece': (99.8, 74.7), 'dep': (99.7, 84.6), 'can_next': (99.9, 65.8)}
FAULTS = {'not_ready': 'cannot be\ncomputed yet',
          'computed': 'computed\nwrongly', 'foreign': 'not in the\nproblem',
          'again': 'told\nbefore', 'end': 'ends too\nsoon or late',
          'unreadable': 'no\nsentence'}
SCALES = {
    # scale: recipe, seeds, splits probed, common
    'smoke': ('small', 1, ('test',), {
        'model.width': 16, 'model.depth': 2, 'steps': 4, 'optim.warmup': 2,
        'data.batch': 8, 'log.every': 2, 'evals.reasoning.problems': 8,
        'evals.reasoning.tokens': 16} | {
            f'evals.{t}.{k}': v for t in TASKS for k, v in (
                ('steps', 2), ('batch', 8), ('problems', 8))}),
    'cpu': ('small', 3, ('train_op2', 'train_op3'), {
        f'evals.{t}.problems': 100 for t in TASKS}),
    'gpu': ('gpu', 3, ('test', 'test_op10', 'test_op13'), {
        f'evals.{t}.{k}': v for t in TASKS for k, v in (
            ('steps', 3000), ('batch', 128), ('problems', 500))}),
    'paper': ('med', 1, ('test', 'test_op15', 'test_op20', 'test_op23'), {
        f'evals.{t}.{k}': v for t in TASKS for k, v in (
            ('steps', 100_000), ('batch', 256), ('problems', 4096),
            ('learning_rate', 2e-3))}),
}


def runs(scale: str) -> list[Run]:
  """Every seed."""
  recipe, seeds, splits, common = pick(SCALES, scale)
  asked = {f'evals.{name}.splits': ','.join(splits)
           for name in (*TASKS, 'reasoning')}
  return [Run(f'configs/igsm.py:{recipe}_probes', asked | common | {
      f'seed.{k}': seed for k in ('init', 'data', 'world')}, {'seed': seed})
      for seed in range(seeds)]


def table(results: list[dict]):
  """One row a (run, task, split, model, layer, measure). Layer -1: the last.
  Measures: accuracy, positive, negative, majority, balanced, distance0 .. (of
  positives); of task `solution`: full, answer, and faults' shares, %."""
  import pandas as pd
  rows = []
  for r in results:
    add = lambda *row, seed=r['seed']: rows.append((seed, *row))
    for key, value in r.items():
      task, *rest = key.split('/')
      if task == 'reasoning' and rest[0] in ('full', 'answer') and (
          len(rest) == 2):
        add('solution', rest[1], 'trained', -1, rest[0], 100 * value)
      if task == 'reasoning' and rest[0] == 'fault':
        add('solution', rest[1], 'trained', -1, rest[2], 100 * value)
      if task not in TASKS:
        continue
      who = 'untrained' if rest[0] == 'random' else 'trained'
      rest = rest[rest[0] == 'random':]
      layer = int(rest[0][5:]) if rest[0].startswith('layer') else -1
      measure, split = rest[layer >= 0:]
      add(task, split, who, layer, measure, 100 * value if (
          measure != 'questions') else value)
      if measure == 'positive' and layer < 0:
        negative = r[key.replace('positive', 'negative')]
        add(task, split, who, -1, 'balanced', 50 * (value + negative))
  return pd.DataFrame(rows, columns=['seed', 'task', 'split', 'model', 'layer',
                                     'measure', 'value'])


def points(df):
  """Mean, std over seeds and n of every measure."""
  return df.groupby(['task', 'split', 'model', 'layer', 'measure'],
                    sort=False).value.agg(['mean', 'std', 'size'])


def plus_minus(c) -> str:
  return f'{c["mean"]:.1f}' if math.isnan(c['std']) else (
      f'{c["mean"]:.1f} ± {c["std"]:.1f}')


def show(df) -> str:
  """Probes of the last layer, by split."""
  p, lines = points(df), []
  for split in df[df.task == 'nece'].split.unique():
    lines.append(f'{split:14}{"balanced":>14}{"positive":>14}{"negative":>14}'
                 f'{"all":>14}{"majority":>12}')
    for task in TASKS:
      for who in ('trained', 'untrained'):
        c = p.loc[(task, split, who, -1)]
        lines.append(f'  {task:9}{who:10}' + ''.join(
            f'{plus_minus(c.loc[m]):>{w}}' for m, w in (
                ('balanced', 9), ('positive', 14), ('negative', 14),
                ('accuracy', 14), ('majority', 12))))
  return '\n'.join(lines)


def figure(df):
  """Probes of the last layer; nece by layer and distance; first faults."""
  p = points(df)
  split = df[df.task == 'nece'].split.unique()[-1]
  fig, axes = plots.figure(columns=3, width=4.3, height=3.8)
  ax, depth, faults = axes[0]
  for k, (who, colour) in enumerate((('trained', plots.COLOURS[0]),
                                     ('untrained', plots.QUIET))):
    cells = p.loc[[(t, split, who, -1, 'balanced') for t in TASKS]]
    at = [x + 0.36 * k - 0.18 for x in range(len(TASKS))]
    ax.bar(at, cells['mean'], 0.32, yerr=cells['std'].fillna(0), color=colour,
           ecolor=plots.INK, capsize=2.5,
           label='the model' if k == 0 else 'before training')
    for x, value in zip(at, cells['mean']):
      ax.annotate(f'{value:.0f}', (x, value), xytext=(0, 5), ha='center',
                  textcoords='offset points', fontsize=8.5)
  ax.axhline(50, color=plots.INK, linewidth=0.8, linestyle=':')
  ax.set_xticks(range(len(TASKS)), TASKS.values(), fontsize=8)
  ax.set_ylim(0, 118)
  ax.set_ylabel('accuracy of the probe, %', fontsize=9)
  ax.legend(fontsize=8, frameon=False, loc='upper left', ncols=2)
  plots.title(ax, 'What is known')

  mine = df[(df.task == 'nece') & (df.split == split) & (df.layer >= 0)
            & (df.model == 'trained')]
  far = sorted(m for m in mine.measure.unique() if m.startswith('distance'))
  for m, colour in zip(far, plots.COLOURS):
    c = mine[mine.measure == m].groupby('layer').value.agg(['mean', 'std'])
    depth.errorbar(c.index, c['mean'], yerr=c['std'].fillna(0), color=colour,
                   marker='o', markersize=3.5, capsize=2, linewidth=1.4,
                   label=f'{m[8:]} steps from what is asked')
  depth.set_xticks(sorted(mine.layer.unique()))
  depth.set_xlabel('layers below the probe', fontsize=9)
  depth.set_ylim(0, 105)
  depth.set_ylabel('needed quantities found, %', fontsize=9)
  depth.legend(fontsize=8, frameon=False, loc='lower right')
  plots.title(depth, 'Needed or not, by layer')

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
  plots.title(faults, 'The first wrong step')
  n = int(p['size'].min())
  fig.supxlabel(
      f'{split}; mean and standard deviation of {n} seed{"s"[:n > 1]}; '
      f'accuracy: mean of positive and negative labels, 50 % is chance; '
      f'{wrong:.0f} % of solutions are wrong', x=0.01, ha='left', fontsize=8,
      color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Results 4 to 8, as far as they are asked."""
  p, out = points(df), []
  splits = df[df.task == 'nece'].split.unique()
  error = lambda a, b: 2 * ((a['std']**2 + b['std']**2) / a['size'])**0.5
  said = {'nece': 'Before the first word the model knows which quantities it '
                  'will need (Result 4)',
          'dep': 'Before the question it knows what depends on what, needed or '
                 'not (Result 6)',
          'can_next': 'It knows which quantities can be computed next '
                      '(Result 5)'}
  for task, statement in said.items():
    for split in splits:
      paper = '{} against {} % before training (op <= 15)'.format(*PAPER[task])
      a, b = (p.loc[(task, split, who, -1, 'balanced')]
              for who in ('trained', 'untrained'))
      if a['size'] < 3:
        out.append(Claim(f'{statement}, {split}', paper,
                         'not run with three seeds',
                         'not tested at this scale'))
        continue
      holds = a['mean'] - b['mean'] > error(a, b) and (
          a['mean'] - 50 > 2 * a['std'] / a['size']**0.5)
      out.append(Claim(
          f'{statement}, {split}', paper,
          f'{plus_minus(a)} against {plus_minus(b)} % before training, mean of '
          f'positive and negative labels (n = {int(a["size"])} seeds)',
          'yes' if holds else 'no'))
  c = p.loc[('solution', splits[-1], 'trained', -1)]
  statement = ('Wrong solutions go wrong by what cannot be computed yet '
               '(Result 8: the commonest first fault)')
  if c['size'].min() < 3:
    out.append(Claim(statement, 'the main fault', 'not run with three seeds',
                     'not tested at this scale'))
    return out
  kinds = c.loc[[k for k in FAULTS if k in c.index], 'mean']
  out.append(Claim(
      statement, 'the main fault', ', '.join(
          f'{k} {v:.1f}' for k, v in kinds.items() if v >= 0.05)
      + f' % of solutions ({splits[-1]}; n = {int(c["size"].min())} seeds)',
      'yes' if kinds.idxmax() == 'not_ready' else 'no'))
  return out
