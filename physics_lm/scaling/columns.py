"""Which columns of a table a law is fitted to, and checks of what they say of
one another. No JAX."""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from physics_lm.errors import BadInput
from physics_lm.scaling import run_table, tables
from physics_lm.scaling.fitting.report import Extras

FACTOR = 10.0  # counts of FLOP differ by less; units by more


class Columns(NamedTuple):
  """What is fitted, (n,) each."""

  x: tuple[np.ndarray, ...]  # the law's arguments; (n, k) of several shares
  y: np.ndarray
  weights: np.ndarray | None
  extras: Extras


def open_table(path: Path, per_step: bool = False, where: str | None = None,
               pool: bool = False) -> tuple[tables.Table, int]:
  """(the rows of a file or of a folder of runs for which `where` holds, how
  many there were). Runs of several data sets only with `pool`. Raises
  BadInput."""
  runs = None
  if path.is_dir():
    runs = run_table.run_rows(path, per_step)
    names = list(dict.fromkeys(k for row in runs.rows for k in row))
    table = tables.Table(path, names, runs.rows)
  else:
    table = tables.read_table(path)
  read = len(table.rows)
  if where:
    table = table.where(where)
  if runs and not pool:
    runs.one_data_set(path, {row['run'] for row in table.rows})
  return table, read


def _stacked(table: tables.Table, names: str, low: float, strict: bool
             ) -> np.ndarray:
  """Comma-separated columns as (n, k)."""
  return np.stack([table.numbers(name.strip(), low, strict)
                   for name in names.split(',')], 1)


def read_columns(a: argparse.Namespace, needs: tuple[str, ...]) -> Columns:
  """The columns that the flags name, less the rows that they drop.

  needs: what the law takes: some of 'n', 'd', 'share', 'unique', 'shares', 'x'
  and 'loss'. Raises BadInput.
  """
  table, read = open_table(a.table, a.per_step, a.where, a.pool)

  def positive(name):
    return None if name is None else table.numbers(name, 0, strict=True)

  found = {}
  if 'n' in needs:
    found['n'] = positive(a.n)
    found['d'] = _tokens(a, table, found['n'])
  for flag in needs:
    if flag == 'share':
      found[flag] = table.numbers(a.share, 0)
    elif flag in ('shares', 'x'):
      found[flag] = _stacked(table, vars(a)[flag], 0, strict=flag == 'x')
    elif flag not in found:
      found[flag] = positive(vars(a)[flag])
  y = positive(a.error if 'loss' in needs else a.loss)
  x = tuple(found[flag] for flag in needs)
  budget, flops, weights = map(positive, (a.budget, a.flops, a.weight))
  ratios = {name: _ratio(a.table, name, column, found)
            for name, column in ((a.budget, budget), (a.flops, flops))
            if column is not None}
  keep = _kept_rows(a, x, y)
  groups, budget, flops, weights = (
      None if c is None else c[keep] for c in (
          table.labels(a.group) if a.group else None, budget, flops, weights))
  return Columns(
      tuple(c[keep] for c in x), y[keep], weights,
      Extras(groups, budget, flops, ratios,
             {'read': read, 'used': int(keep.sum()), 'where': a.where}))


def _tokens(a: argparse.Namespace, table: tables.Table, N: np.ndarray
            ) -> np.ndarray:
  """D, or what C makes it. Raises BadInput when the table's own D is far from
  that."""
  if not a.c:
    return table.numbers(a.d or 'D', 0, strict=True)
  C = table.numbers(a.c, 0, strict=True)
  if 'D' in table.names:
    _ratio(a.table, a.c, C, {'n': N, 'd': table.numbers('D', 0, strict=True)})
  return C / (6 * N)


def _ratio(path: Path, name: str, C: np.ndarray, found: dict
           ) -> tuple[float, float, float]:
  """(least, median, greatest) C / 6 N D. Raises BadInput beyond FACTOR."""
  with np.errstate(over='ignore', divide='ignore'):
    ratio = C / (6 * found['n'] * found['d'])
  far = np.flatnonzero(~((ratio < FACTOR) & (ratio > 1 / FACTOR)))
  if len(far):
    raise BadInput(
        f'column {name!r} of {path} is {ratio[far[0]]:.3g} times 6 N D in row '
        f'{far[0] + 1} ({len(far)} of {len(ratio)} rows are beyond a factor of '
        f'{FACTOR:g}), wanted FLOP, with N in parameters and D in tokens')
  return float(ratio.min()), float(np.median(ratio)), float(ratio.max())


def _kept_rows(a: argparse.Namespace, x: tuple, y: np.ndarray) -> np.ndarray:
  """Which rows --best-per-nd and --drop-highest leave, (n,) bool. Raises
  BadInput when they leave none."""
  keep = np.ones(len(y), bool)
  if a.best_per_nd:
    order = np.argsort(y, kind='stable')
    _, first = np.unique(np.column_stack(x)[order], axis=0, return_index=True)
    keep[:] = False
    keep[order[first]] = True
  if a.drop_highest:
    keep[np.argsort(-np.where(keep, y, -np.inf))[:a.drop_highest]] = False
  if not keep.any():
    raise BadInput(f'--drop-highest={a.drop_highest} leaves none of {len(y)} '
                   'rows')
  return keep
