"""Fit a scaling law to a table of runs. No JAX.

  python -m physics_lm.scaling fit runs.csv --n=COL --d=COL --loss=COL
      [--law=chinchilla|p_norm|kaplan] [--objective=huber_log] [--delta=1e-3]
      [--group=COL] [--budget=COL] [--bootstrap=1000] --out=DIR
  python -m physics_lm.scaling fit runs/EXPERIMENT --loss=loss/bio --out=DIR
  python -m physics_lm.scaling forecast --help    # a run before it runs

Reads CSV, JSON lines (.jsonl) or a folder of finished runs of this project
(columns: physics_lm/scaling/runs.py). Nothing is normalised: N is a count, D
tokens, loss nats a token. Writes report.json, report.md and figures. With
--group the bootstrap resamples whole runs (checkpoints of one run are not
independent) and approach 1 is taken; with --budget approach 2.
"""

import sys
import warnings
from pathlib import Path

import numpy as np

from physics_lm import cli, store
from physics_lm.errors import BadInput, command, disk_errors
from physics_lm.scaling import (
  approaches,
  fit,
  forecast,
  plots,
  report,
  runs,
  solve,
)


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
  """A column (n,) float64, all positive and finite. Raises BadInput: names
  the columns there are, or the row."""
  if name not in df:
    raise BadInput(f'no column {name!r} in {path}; found: '
                   f'{", ".join(str(c) for c in df.columns)}')
  try:
    column = df[name].to_numpy(np.float64)
  except (ValueError, TypeError) as e:
    raise BadInput(f'column {name!r} of {path}: {e}') from None
  bad = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
  if len(bad):
    raise BadInput(f'column {name!r} of {path} has {column[bad[0]]:g} in row '
                   f'{bad[0] + 1} of {len(column)}, wanted all positive and '
                   'finite')
  return column


def columns(a):
  """(N, D, L, groups, budgets, weights), each (n,) or None, of the flags."""
  df = read(a.table, a.curves)
  get = lambda name: None if name is None else numbers(df, name, a.table)
  N, L, budget, weights = (get(k) for k in (a.n, a.loss, a.budget, a.weight))
  D = get(a.c) / (6 * N) if a.c else get(a.d or 'D')
  groups = None
  if a.group:
    if a.group not in df:
      get(a.group)  # says which columns there are
    if df[a.group].isna().any():
      raise BadInput(f'column {a.group!r} of {a.table} has no label in row '
                     f'{int(df[a.group].isna().argmax()) + 1}')
    groups = df[a.group].astype(str).to_numpy()
  keep = np.ones(len(L), bool)
  if a.best:
    order = np.argsort(L, kind='stable')
    _, first = np.unique(np.stack([N, D], 1)[order], axis=0,
                         return_index=True)
    keep[:] = False
    keep[order[first]] = True
  if a.drop_highest:
    keep[np.argsort(-np.where(keep, L, -np.inf))[:a.drop_highest]] = False
  return [None if x is None else x[keep]
          for x in (N, D, L, groups, budget, weights)]


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
  argv = sys.argv[1:] if argv is None else argv
  if argv[:1] == ['forecast']:
    return forecast.main(argv[1:])
  p = cli.parser('physics_lm.scaling', __doc__)
  p.add_argument('what', choices=('fit',))
  p.add_argument('table', type=Path, help='.csv, .jsonl or runs/EXPERIMENT')
  p.add_argument('--n', default='N', help='column: parameters (N)')
  p.add_argument('--d', help='column: tokens (D)')
  p.add_argument('--c', help='column: FLOP, in place of --d; D = C / 6 N')
  p.add_argument('--loss', default='loss', help='column: nats a token (loss)')
  p.add_argument('--group', help='column: which run a row is of')
  p.add_argument('--budget', help="column: FLOP of the row's isoFLOP curve")
  p.add_argument('--weight', help="column: weight of a row's penalty")
  p.add_argument('--curves', action='store_true',
                 help='of a folder: a row for each logged step')
  p.add_argument('--best', action='store_true',
                 help='keep the least loss of each (N, D)')
  p.add_argument('--drop-highest', type=int, default=0, metavar='K',
                 help='leave out the K highest losses')
  p.add_argument('--law', default='chinchilla',
                 choices=('chinchilla', 'p_norm', 'kaplan'))
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
  finite = lambda x: np.isfinite(x) and x > 0
  for name, ok, wanted in (
      ('bootstrap', a.bootstrap >= 0, '>= 0'),
      ('delta', finite(a.delta), 'positive and finite'),
      ('over', finite(a.over), 'positive and finite'),
      ('over', a.over == 1 or a.objective == 'asymmetric_log',
       '1, or --objective=asymmetric_log'),
      ('drop-highest', a.drop_highest >= 0, '>= 0'),
      ('at', a.at is None or finite(a.at), 'positive and finite'),
      ('d', not (a.c and a.d), 'either --d or --c'),
      ('law', a.law == 'chinchilla' or not (a.budget or a.at),
       'chinchilla, for --budget and --at')):
    if not ok:
      raise BadInput(f'--{name} is {vars(a)[name.replace("-", "_")]}, wanted '
                     f'{wanted}')
  if a.curves and not a.table.is_dir():
    raise BadInput(f'--curves reads a folder of runs, found {a.table}')
  N, D, L, groups, budget, weights = columns(a)
  try:  # before, not after, the work
    a.out.mkdir(parents=True, exist_ok=True)
  except OSError as e:
    raise BadInput(f'cannot write in {a.out}: {e.strerror}') from e
  law = {'chinchilla': fit.chinchilla, 'p_norm': fit.p_norm,
         'kaplan': fit.kaplan_nd}[a.law]
  draws = None
  try:
    f = law(N, D, L, objective=a.objective, delta=a.delta, seed=a.seed,
            over=a.over, weights=weights)
    if a.bootstrap:
      bar = cli.Progress(a.bootstrap, 0, 'bootstrap', 'draw')
      draws = fit.bootstrap(f, a.bootstrap, groups, a.seed, bar.update)
      bar.close()
  except ValueError as e:
    raise BadInput(f'{a.table}: {e}') from e
  # A law that is not identified overflows; the report says so.
  with np.errstate(all='ignore'), warnings.catch_warnings(), (
      disk_errors(a.out)):
    warnings.simplefilter('ignore')
    s = report.summary(f, draws, groups, budget, a.at)
    text = report.markdown(s)
    store.write_json(a.out / 'report.json', s)
    store.write(a.out / 'report.md', text)
    print(text)
    drawn = figures(f, draws, s, groups, budget)
    for name, figure in drawn.items():
      figure.savefig(a.out / f'{name}.png', dpi=150)
  print(f'written: {a.out}/report.json, report.md, '
        + ', '.join(f'{k}.png' for k in drawn))


if __name__ == '__main__':
  main()
