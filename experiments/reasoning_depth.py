"""Does reasoning need depth, at equal parameters?

Part 2.1 (Ye, Xu, Li, Allen-Zhu, arXiv 2407.20311), section 6, Result 9: to know
what is needed t steps from the question takes layers, so deep and narrow models
solve more than shallow and wide ones of the same non-embedding size.

Paper (med, op 23, full solutions right, 79 to 88M parameters without
embeddings): 4 layers of width 1344 54.5 %, 8 of 960 76.8, 12 of 768 77.9, 16 of
640 82.7, 20 of 576 86.3; 4 layers of twice the size 53.1.

  python -m physics_lm.launch experiments/reasoning_depth.py --scale=cpu
  python -m physics_lm.report experiments/reasoning_depth.py --scale=cpu

Measured: 12 runs, 16 minutes of one core that others used as well, with those
that error_correction.py shares.

Ours at `cpu` scale: models of error_correction.py's world without mistakes,
the same tokens and learning rate for all (the models of that experiment's shape
are taken from there).

Rules, fixed before the runs, n >= 3 seeds: more means by more than twice the
standard error over seeds, sqrt((s1^2 + s2^2) / n), at the hardest op of which
the best shape solves half. Judged are the problems that did not stand in
training word for word (evals/seen.py): this replaced a first rule, of all that
were asked, of which at `cpu` scale about half did.
"""

import itertools
import math

from physics_lm import plots
from physics_lm.report import Claim, plus_minus
from physics_lm.sweep import Run, pick

# scale's shapes: layers, width, heads; 12 layers width^2 are about equal.
PAPER = {4: 54.5, 8: 76.8, 12: 77.9, 16: 82.7, 20: 86.3}
SCALES = {
    # scale: recipe, seeds, shapes, splits, of training, of asking
    'smoke': ('small', 1, ((1, 24, 2), (2, 16, 2)), ('train_op2', 'train_op3'),
              {'steps': 4, 'optim.warmup': 2, 'data.batch': 4, 'log.every': 2,
               'evals.reasoning.problems': 4, 'evals.reasoning.tokens': 16},
              {}),
    'cpu': ('small', 3, ((2, 90, 5), (4, 64, 4)),
            ('train_op1', 'train_op2', 'train_op3'),
            {'evals.reasoning.tokens': 96},
            {'evals.reasoning.problems': 300}),
    'gpu': ('gpu', 3, ((2, 768, 12), (4, 544, 8), (8, 384, 6), (16, 272, 4)),
            ('test', 'test_op10', 'test_op13', 'test_op15'), {},
            {'evals.reasoning.problems': 500}),
    'paper': ('med', 2, ((4, 1344, 21), (8, 960, 15), (12, 768, 12),
                         (16, 640, 10), (20, 576, 9)),
              ('test', 'test_op15', 'test_op20', 'test_op23'), {}, {
                  'evals.reasoning.problems': 4096,
                  'evals.reasoning.tokens': 2048}),
}


def runs(scale: str) -> list[Run]:
  """Every (seed, shape): a trained model, and the run that only asks it."""
  recipe, seeds, shapes, splits, training, asking = pick(SCALES, scale)
  file, out = f'configs/igsm.py:{recipe}', []
  for seed in range(seeds):
    for depth, width, heads in shapes:
      same = training | {f'seed.{k}': seed for k in ('init', 'data', 'world')
                         } | {'model.depth': depth, 'model.width': width,
                              'model.heads': heads,
                              'evals.reasoning.splits': ','.join(splits)}
      tags = {'depth': depth, 'width': width, 'seed': seed}
      out.append(Run(file, same | {'steps': 0} | asking, tags,
                     Run(file, same, tags)))
  return out


def table(results: list[dict]):
  """One row a (run, split), of the `problems` that did not stand in training
  (where it is not known which did: all); full_asked of all, %."""
  import pandas as pd
  rows, prefix = [], 'reasoning/problems/'
  for r in results:
    asked = [k.removeprefix(prefix) for k in r
             if k.startswith(prefix) and k.count('/') == 2]
    for place, split in enumerate(sorted(asked, key=_op)):
      new = '_unseen' * (f'reasoning/problems_unseen/{split}' in r)
      get = lambda key, end='', new=new, r=r, split=split: r.get(
          f'reasoning/{key}{new}/{split}{end}', math.nan)
      rows.append({
          'depth': r['depth'], 'width': r['width'], 'seed': r['seed'],
          'split': split, 'place': place, 'problems': get('problems'),
          'full': 100 * get('full'), 'full_asked': 100 * get('full', new=''),
          'answer': 100 * get('answer'), 'guess': 100 * get('majority'),
          **{k: 100 * get('fault', f'/{k}')
             for k in ('not_ready', 'computed')}})
  return pd.DataFrame(rows)


def _op(split: str) -> int:
  return int(''.join(c for c in split if c.isdigit()) or 0)


def named(split: str) -> str:
  return f'op {_op(split)}' if _op(split) else 'as trained'


def points(df):
  """Mean, std over seeds and n, by (split, depth)."""
  return df.groupby(['split', 'depth'], sort=False).agg(
      full=('full', 'mean'), std=('full', 'std'), n=('full', 'size'),
      answer=('answer', 'mean'), guess=('guess', 'mean'),
      width=('width', 'first'), not_ready=('not_ready', 'mean'),
      problems=('problems', 'mean'), asked=('full_asked', 'mean'))


def judged(df) -> str:
  """The hardest split of which the best shape solves half; else the
  easiest."""
  names = list(df.sort_values('place', kind='stable').split.unique())
  best = points(df).full.groupby('split').max()
  return next((s for s in reversed(names) if best[s] >= 50), names[0])


def shown(c) -> str:
  return plus_minus(c.full, c['std'])


def show(df) -> str:
  """Full solutions right, %, by shape and op."""
  p, names = points(df), df.split.unique()
  lines = [f'{"layers x width":16}' + ''.join(f'{named(s):>16}' for s in names)
           + f'{"seeds":>7}']
  for depth in df.depth.unique():
    c = [p.loc[(s, depth)] for s in names]
    shape = f'{depth} x {int(c[0].width)}'
    lines.append(f'{shape:16}' + ''.join(f'{shown(x):>16}' for x in c)
                 + f'{int(c[0].n):>7}')
  lines.append(f'{"guess":16}' + ''.join(
      f'{p.loc[s].guess.mean():>16.1f}' for s in names)
      + '  (a constant answer, of the answer alone)')
  lines.append('of all problems asked, those that stood in training too:')
  return '\n'.join(lines + [f'{f"{depth} layers":16}' + ''.join(
      f'{p.loc[(s, depth)].asked:>16.1f}' for s in names)
      for depth in df.depth.unique()])


def figure(df):
  """Solved by depth; by op."""
  p, last = points(df), judged(df)
  names = list(df.sort_values('place', kind='stable').split.unique())
  depths = sorted(df.depth.unique())
  fig, axes = plots.figure(columns=2, width=4.8, height=3.8)
  bars, lines = axes[0]
  cells = p.loc[[(last, d) for d in depths]]
  plots.accuracy_bars(
      bars, [f'{d} layers\nof {int(c.width)}' for d, c in zip(
          depths, cells.itertuples())], cells.full, cells['std'].fillna(0),
      plots.COLOURS[0], [PAPER.get(d, math.nan) for d in depths])
  bars.set_ylabel('solutions wholly right, %', fontsize=9)
  plots.title(bars, f'{named(last)}, at equal parameters')
  for k, (depth, colour) in enumerate(zip(depths, plots.COLOURS)):
    c = p.loc[[(s, depth) for s in names]]
    lines.errorbar([x + 0.05 * k for x in range(len(names))], c.full,
                   yerr=c['std'].fillna(0), color=colour, marker='o',
                   markersize=3.5, capsize=2, linewidth=1.4,
                   label=f'{depth} layers')
  lines.set_xticks(range(len(names)), map(named, names))
  lines.set_ylim(0, 105)
  lines.legend(fontsize=8, frameon=False)
  plots.title(lines, 'by number of operations')
  n, problems = int(cells.n.min()), int(cells.problems.iloc[0])
  fig.supxlabel(
      f'mean and standard deviation of {n} seed{"s"[:n > 1]}, {problems} '
      'problems each that did not stand in training;\n'
      "diamonds: the paper's models of so many layers, op 23", x=0.01,
      ha='left', fontsize=8, color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Result 9 of the paper, for each doubling of depth."""
  p, last, out = points(df), judged(df), []
  depths = sorted(df.depth.unique())
  for few, more in itertools.pairwise(depths):
    a, b = p.loc[(last, more)], p.loc[(last, few)]
    statement = (f'{more} layers solve more than {few} at equal parameters '
                 '(Result 9)')
    paper = f'{PAPER[more]} against {PAPER[few]} %' if (
        more in PAPER and few in PAPER) else '76.8 (8) against 54.5 % (4)'
    if min(a.n, b.n) < 3:
      out.append(Claim(statement, paper, 'not run with three seeds',
                       'not tested at this scale'))
      continue
    error = 2 * ((a['std']**2 + b['std']**2) / min(a.n, b.n))**0.5
    out.append(Claim(
        statement, paper, f'{shown(a)} against {shown(b)} % '
        f'({named(last)}; n = {int(a.n)} seeds, {int(a.problems)} new problems '
        'each)', 'yes' if a.full - b.full > error else 'no'))
  return out
