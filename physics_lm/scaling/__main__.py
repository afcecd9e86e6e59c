"""Fit a scaling law to a table of runs. No JAX.

  python -m physics_lm.scaling fit runs.csv --n=COL --d=COL --loss=COL
      [--law=chinchilla|p_norm|kaplan] [--objective=huber_log] [--delta=1e-3]
      [--group=COL] [--budget=COL] [--bootstrap=1000] --out=DIR
  python -m physics_lm.scaling fit runs/EXPERIMENT --loss=loss/bio --out=DIR
  python -m physics_lm.scaling forecast --help    # a run before it runs

Reads CSV, JSON lines (.jsonl) or a folder of finished runs of this project
(columns: physics_lm/scaling/run_table.py). Nothing is normalised: N is a count,
D tokens, loss nats per token. Writes report.json, report.md and figures. With
--group the bootstrap resamples runs, not rows (checkpoints of one run are not
independent) and approach 1 is taken; with --budget approach 2.
"""

import argparse
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from physics_lm import run_dir
from physics_lm.config import argument_parser
from physics_lm.errors import BadInput, command, disk_errors
from physics_lm.progress import Progress
from physics_lm.scaling import forecast, plots, run_table
from physics_lm.scaling.fitting import approaches, fits, report, solve

if TYPE_CHECKING:
  import pandas as pd

LAWS = {'chinchilla': fits.chinchilla, 'p_norm': fits.p_norm,
        'kaplan': fits.kaplan_nd}


class Columns(NamedTuple):
  """What is fitted, (n,) each; None for columns that no flag names."""

  N: np.ndarray
  D: np.ndarray
  L: np.ndarray
  groups: np.ndarray | None  # labels of runs
  budget: np.ndarray | None  # FLOP of isoFLOP curves
  weights: np.ndarray | None


def read_table(path: Path, per_step: bool = False) -> 'pd.DataFrame':
  """The table as a data frame. Raises BadInput."""
  import pandas as pd
  if path.is_dir():
    return run_table.read_runs(path, per_step)
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


def positive_column(df: 'pd.DataFrame', name: str, path: Path) -> np.ndarray:
  """A column (n,) float64, all positive and finite. Raises BadInput, which
  names the columns there are, or the row."""
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


def columns(a: argparse.Namespace) -> Columns:
  """The columns that the flags name, less the rows that they drop. Raises
  BadInput."""
  df = read_table(a.table, a.per_step)
  N, L, budget, weights = (
      None if name is None else positive_column(df, name, a.table)
      for name in (a.n, a.loss, a.budget, a.weight))
  D = (positive_column(df, a.c, a.table) / (6 * N) if a.c
       else positive_column(df, a.d or 'D', a.table))
  groups = None
  if a.group:
    if a.group not in df:
      positive_column(df, a.group, a.table)  # lists the columns there are
    if df[a.group].isna().any():
      raise BadInput(f'column {a.group!r} of {a.table} has no label in row '
                     f'{int(df[a.group].isna().argmax()) + 1}')
    groups = df[a.group].astype(str).to_numpy()
  keep = np.ones(len(L), bool)
  if a.best_per_nd:
    order = np.argsort(L, kind='stable')
    _, first = np.unique(np.stack([N, D], 1)[order], axis=0,
                         return_index=True)
    keep[:] = False
    keep[order[first]] = True
  if a.drop_highest:
    keep[np.argsort(-np.where(keep, L, -np.inf))[:a.drop_highest]] = False
  return Columns(*(None if x is None else x[keep]
                   for x in (N, D, L, groups, budget, weights)))


def figures(f: fits.Fit, draws: fits.Bootstrap | None, s: dict, c: Columns
            ) -> dict:
  """{'residuals': figure, ...} of a fit, its bootstrap and its report."""
  out = {'residuals': plots.residuals(f)}
  if any('error' in r for r in s['holdout']):
    out['holdout'] = plots.holdout_errors(s['holdout'])
  if f.law != 'chinchilla':
    return out
  N, D, L = f.data
  some = draws is not None and s['bootstrap']['draws'] > 0
  if 'approaches' in s:
    out |= {'frontier': plots.frontier(f, draws if some else None),
            'contours': plots.contours(f),
            'approaches': plots.approach_bars(
                approaches.side_by_side(f, s['at'], c.groups, c.budget),
                s.get('interval_95', {}).get('a'))}
  if some:
    out['pairs'] = plots.parameter_pairs(draws)
  if c.budget is not None and isinstance(s.get('budgets'), list):
    out['isoflop'] = plots.isoflop(
        approaches.approach2(c.budget, N, D, L, 'parabola', f), c.budget, N, L)
  if c.groups is not None:
    try:
      result = approaches.approach1(6 * N * D, N, D, L, c.groups)
    except ValueError:
      return out  # the report has the reason
    out['envelope'] = plots.envelope(result, 6 * N * D, L, c.groups)
  return out


def flag_parser() -> argparse.ArgumentParser:
  """The flags of `fit`."""
  p = argument_parser('physics_lm.scaling', __doc__)
  p.add_argument('what', choices=('fit',))
  p.add_argument('table', type=Path, help='.csv, .jsonl or runs/EXPERIMENT')
  p.add_argument('--n', default='N', help='column: parameters (N)')
  p.add_argument('--d', help='column: tokens (D)')
  p.add_argument('--c', help='column: FLOP, instead of --d; D = C / 6 N')
  p.add_argument('--loss', default='loss',
                 help='column: nats per token (loss)')
  p.add_argument('--group', help='column: which run a row is of')
  p.add_argument('--budget', help="column: FLOP of the row's isoFLOP curve")
  p.add_argument('--weight', help="column: weight of a row's penalty")
  p.add_argument('--per-step', action='store_true',
                 help='of a folder: a row for each logged step')
  p.add_argument('--best-per-nd', action='store_true',
                 help='keep the least loss of each (N, D)')
  p.add_argument('--drop-highest', type=int, default=0, metavar='K',
                 help='leave out the K highest losses')
  p.add_argument('--law', default='chinchilla', choices=tuple(LAWS))
  p.add_argument('--objective', default='huber_log', choices=solve.OBJECTIVES)
  p.add_argument('--delta', type=float, default=1e-3, help='of Huber')
  p.add_argument('--overestimate-cost', type=float, default=1.0,
                 help='asymmetric_log: factor on the penalty of overestimates')
  p.add_argument('--bootstrap', type=int, default=1000, metavar='DRAWS',
                 help='0: none')
  p.add_argument('--at', type=float, metavar='FLOP',
                 help='compare allocations here (the most among the runs)')
  p.add_argument('--seed', type=int, default=0)
  p.add_argument('--out', type=Path, required=True)
  return p


def check_flags(a: argparse.Namespace) -> None:
  """Raises BadInput for flags that are out of range or do not go together."""
  for name, ok, wanted in (
      ('bootstrap', a.bootstrap >= 0, '>= 0'),
      ('delta', 0 < a.delta < math.inf, 'positive and finite'),
      ('overestimate-cost', 0 < a.overestimate_cost < math.inf,
       'positive and finite'),
      ('overestimate-cost',
       a.overestimate_cost == 1 or a.objective == 'asymmetric_log',
       '1, or --objective=asymmetric_log'),
      ('drop-highest', a.drop_highest >= 0, '>= 0'),
      ('at', a.at is None or 0 < a.at < math.inf, 'positive and finite'),
      ('d', not (a.c and a.d), 'either --d or --c'),
      ('law', a.law == 'chinchilla' or not (a.budget or a.at),
       'chinchilla, for --budget and --at')):
    if not ok:
      raise BadInput(f'--{name} is {vars(a)[name.replace("-", "_")]}, wanted '
                     f'{wanted}')
  if a.per_step and not a.table.is_dir():
    raise BadInput(f'--per-step reads a folder of runs, found {a.table}')


def fit_columns(a: argparse.Namespace, c: Columns
                ) -> tuple[fits.Fit, fits.Bootstrap | None]:
  """The fit and its bootstrap that the flags ask for. Raises BadInput."""
  draws = None
  try:
    f = LAWS[a.law](c.N, c.D, c.L, objective=a.objective, delta=a.delta,
                    seed=a.seed, weights=c.weights,
                    overestimate_cost=a.overestimate_cost)
    if a.bootstrap:
      bar = Progress(a.bootstrap, 0, 'bootstrap', 'draw')
      draws = fits.bootstrap(f, a.bootstrap, c.groups, a.seed, bar.update)
      bar.close()
  except ValueError as e:
    raise BadInput(f'{a.table}: {e}') from e
  return f, draws


@command
def main(argv: Sequence[str] | None = None) -> None:
  """The command line."""
  argv = sys.argv[1:] if argv is None else argv
  if argv[:1] == ['forecast']:
    return forecast.main(argv[1:])
  a = flag_parser().parse_args(argv)
  check_flags(a)
  c = columns(a)
  try:  # before, not after, the work
    a.out.mkdir(parents=True, exist_ok=True)
  except OSError as e:
    raise BadInput(f'cannot write in {a.out}: {e.strerror}') from e
  f, draws = fit_columns(a, c)
  # A law that is not identified overflows, which the report mentions.
  with np.errstate(all='ignore'), warnings.catch_warnings(), (
      disk_errors(a.out)):
    warnings.simplefilter('ignore')
    s = report.fit_summary(f, draws, c.groups, c.budget, a.at)
    text = report.markdown(s)
    run_dir.write_json(a.out / 'report.json', s)
    run_dir.write(a.out / 'report.md', text)
    print(text)
    drawn = figures(f, draws, s, c)
    for name, figure in drawn.items():
      figure.savefig(a.out / f'{name}.png', dpi=150)
  print(f'written: {a.out}/report.json, report.md, '
        + ', '.join(f'{k}.png' for k in drawn))


if __name__ == '__main__':
  main()
