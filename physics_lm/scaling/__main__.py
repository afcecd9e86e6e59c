"""Fit a scaling law to a table of runs. No JAX.

  python -m physics_lm.scaling fit runs.csv --n=COL --d=COL --loss=COL
      [--law=chinchilla|kaplan] [--objective=huber_log] [--delta=1e-3]
      [--group=COL] [--budget=COL] [--bootstrap=1000] --out=DIR
  python -m physics_lm.scaling fit runs/EXPERIMENT --loss=loss/bio --out=DIR

Reads CSV, JSON lines (.jsonl) or a folder of finished runs of this project
(columns: physics_lm/scaling/runs.py). Nothing is normalised: N is a count, D
tokens, loss nats a token. Writes report.json, report.md and figures. With
--group the bootstrap resamples whole runs (checkpoints of one run are not
independent) and approach 1 is taken; with --budget approach 2.
"""

from pathlib import Path

import numpy as np

from physics_lm import cli, store
from physics_lm.errors import BadInput, command, disk_errors
from physics_lm.scaling import approaches, fit, plots, report, runs, solve


def read(path: Path, curves: bool = False):
  """The table as a data frame. Raises BadInput."""
  import pandas as pd
  if path.is_dir():
    return runs.table(path, curves)
  if not path.is_file():
    raise BadInput(f'no file {str(path)!r}; wanted a .csv or .jsonl table, or '
                   'a folder of runs')
  try:
    df = (pd.read_json(path, lines=True) if path.suffix == '.jsonl'
          else pd.read_csv(path))
  except ValueError as e:
    raise BadInput(f'{path} is not a readable table: {e}') from e
  if not len(df):
    raise BadInput(f'{path} has no rows')
  return df


def numbers(df, name: str, path: Path) -> np.ndarray:
  """A column (n,) float64. Raises BadInput, naming the columns there are."""
  if name not in df:
    raise BadInput(f'no column {name!r} in {path}; found: '
                   f'{", ".join(str(c) for c in df.columns)}')
  try:
    return df[name].to_numpy(np.float64)
  except (ValueError, TypeError) as e:
    raise BadInput(f'column {name!r} of {path}: {e}') from None


def columns(a):
  """(N, D, L, groups or None, budgets or None), each (n,), of the flags."""
  df = read(a.table, a.curves)
  get = lambda name: numbers(df, name, a.table)
  N, L = get(a.n), get(a.loss)
  D = get(a.c) / (6 * N) if a.c else get(a.d)
  if a.group and a.group not in df:
    get(a.group)  # says which columns there are
  groups = df[a.group].astype(str).to_numpy() if a.group else None
  budget = get(a.budget) if a.budget else None
  keep = np.ones(len(L), bool)
  if a.best:
    order = np.argsort(L, kind='stable')
    _, first = np.unique(np.stack([N, D], 1)[order], axis=0,
                         return_index=True)
    keep[:] = False
    keep[order[first]] = True
  if a.drop_highest:
    keep[np.argsort(-np.where(keep, L, -np.inf))[:a.drop_highest]] = False
  pick = lambda x: None if x is None else x[keep]
  return N[keep], D[keep], L[keep], pick(groups), pick(budget)


def figures(f: fit.Fit, draws, s: dict, groups, budget) -> dict:
  """{'residuals': figure, ...}"""
  out = {'residuals': plots.residuals(f)}
  if any('error' in r for r in s['holdout']):
    out['holdout'] = plots.holdout(s['holdout'])
  if f.law != 'chinchilla':
    return out
  N, D, L = f.data
  some = draws is not None and s['bootstrap']['draws'] > 0
  if 'approaches' in s:
    out |= {'frontier': plots.frontier(f, draws if some else None),
            'contours': plots.contours(f),
            'approaches': plots.approach_bars(
                approaches.side_by_side(f, s['at'], groups, budget),
                s.get('interval_95', {}).get('a'))}
  if some:
    out['pairs'] = plots.pairs(draws)
  if budget is not None and isinstance(s.get('budgets'), list):
    out['isoflop'] = plots.isoflop(
        approaches.approach2(budget, N, D, L, 'parabola', f), budget, N, L)
  if groups is not None:
    try:
      result = approaches.approach1(6 * N * D, N, D, L, groups)
    except ValueError:
      return out  # the report says why
    out['envelope'] = plots.envelope(result, 6 * N * D, L, groups)
  return out


@command
def main(argv=None):
  """The command line."""
  p = cli.parser('physics_lm.scaling', __doc__)
  p.add_argument('what', choices=('fit',))
  p.add_argument('table', type=Path, help='.csv, .jsonl or runs/EXPERIMENT')
  p.add_argument('--n', default='N', help='column: parameters (N)')
  p.add_argument('--d', default='D', help='column: tokens (D)')
  p.add_argument('--c', help='column: FLOP, in place of --d; D = C / 6 N')
  p.add_argument('--loss', default='loss', help='column: nats a token (loss)')
  p.add_argument('--group', help='column: which run a row is of')
  p.add_argument('--budget', help="column: FLOP of the row's isoFLOP curve")
  p.add_argument('--curves', action='store_true',
                 help='of a folder: a row for each logged step')
  p.add_argument('--best', action='store_true',
                 help='keep the least loss of each (N, D)')
  p.add_argument('--drop-highest', type=int, default=0, metavar='K',
                 help='leave out the K highest losses')
  p.add_argument('--law', default='chinchilla',
                 choices=('chinchilla', 'kaplan'))
  p.add_argument('--objective', default='huber_log', choices=solve.OBJECTIVES)
  p.add_argument('--delta', type=float, default=1e-3, help='of Huber')
  p.add_argument('--over', type=float, default=1.0,
                 help='asymmetric_log: how much dearer is an over-estimate')
  p.add_argument('--bootstrap', type=int, default=1000, metavar='DRAWS',
                 help='0: none')
  p.add_argument('--at', type=float, metavar='FLOP',
                 help='compare allocations here (the most among the runs)')
  p.add_argument('--seed', type=int, default=0)
  p.add_argument('--out', type=Path, required=True)
  a = p.parse_args(argv)
  for name, ok, wanted in (
      ('bootstrap', a.bootstrap >= 0, '>= 0'), ('delta', a.delta > 0, '> 0'),
      ('over', a.over > 0, '> 0'), ('drop-highest', a.drop_highest >= 0,
                                    '>= 0'),
      ('at', a.at is None or a.at > 0, '> 0')):
    if not ok:
      raise BadInput(f'--{name} is {vars(a)[name.replace("-", "_")]}, wanted '
                     f'{wanted}')
  if a.curves and not a.table.is_dir():
    raise BadInput(f'--curves reads a folder of runs, found {a.table}')
  N, D, L, groups, budget = columns(a)
  law = {'chinchilla': fit.chinchilla, 'kaplan': fit.kaplan_nd}[a.law]
  draws = None
  try:
    f = law(N, D, L, objective=a.objective, delta=a.delta, seed=a.seed,
            over=a.over)
    if budget is not None:
      fit.checked(budget, least=1)
    if a.bootstrap:
      bar = cli.Progress(a.bootstrap, 0, 'bootstrap', 'draw')
      draws = fit.bootstrap(f, a.bootstrap, groups, a.seed, bar.update)
      bar.close()
  except ValueError as e:
    raise BadInput(f'{a.table}: {e}') from e
  s = report.summary(f, draws, groups, budget, a.at)
  text = report.markdown(s)
  with disk_errors(a.out):
    store.write_json(a.out / 'report.json', s)
    store.write(a.out / 'report.md', text)
    drawn = figures(f, draws, s, groups, budget)
    for name, figure in drawn.items():
      figure.savefig(a.out / f'{name}.png', dpi=150)
  print(text)
  print(f'written: {a.out}/report.json, report.md, '
        + ', '.join(f'{k}.png' for k in drawn))


if __name__ == '__main__':
  main()
