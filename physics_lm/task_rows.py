"""Which task of the mixture a row is of: a pure function of the row's number.

Tasks have weights, the shares of rows, and windows, the steps in which they
take part. Between two edges of windows (a phase) the weights are constant, and
any stretch of rows has each task's share to within a row or two. No JAX.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from physics_lm.errors import BadInput

_GOLDEN = (math.sqrt(5) - 1) / 2


class Phase(NamedTuple):
  """Steps in which the same tasks take part."""

  step: int  # the first
  row: int  # the first
  weights: tuple[float, ...]  # share of rows of each task; all 0: none of them
  # Rows of each task before the phase, in the order of ranked_tasks.
  before: tuple[int, ...]


def make_phases(weights: Sequence[float], windows: Sequence[
    tuple[int | None, int | None]], batch_size: int) -> tuple[Phase, ...]:
  """The phases of tasks with these weights and windows (since, until), from
  step `since` on and before step `until`; None: from the first, to the last.
  Weights count relative to those of the other tasks in the phase."""
  edges = sorted({0} | {e for w in windows for e in w if e})
  phases: list[Phase] = []
  for step in edges:
    here = [w if (since or 0) <= step and (until is None or step < until)
            else 0.0 for w, (since, until) in zip(weights, windows)]
    total = sum(here) or 1.0
    row, before = step * batch_size, (0,) * len(here)
    if phases:
      last = phases[-1]
      made = _counts(last.weights, row - last.row)
      before = tuple(b + n for b, n in zip(last.before, made))
    phases.append(Phase(step, row, tuple(w / total for w in here), before))
  return tuple(phases)


def tasks_of(phases: Sequence[Phase], rows: np.ndarray) -> np.ndarray:
  """Indices of the tasks of rows [R], by a golden-ratio sequence."""
  which = np.zeros(len(rows), np.int64)
  for at, phase in _by_phase(phases, rows):
    taking = np.flatnonzero(phase.weights)
    edges = np.cumsum(np.array(phase.weights)[taking])
    u = (rows[at] * _GOLDEN) % 1.0
    # The weights sum to a little less than 1: the last has the rest.
    which[at] = taking[np.searchsorted(edges[:-1], u, side='right')]
  return which


def ranked_tasks(phases: Sequence[Phase], rows: np.ndarray
                 ) -> tuple[np.ndarray, np.ndarray]:
  """(task, rank) of rows [R]. The rank is how many earlier rows are of the same
  task: of row r, floor(w r) are of a task with weight w. Those that are not are
  divided likewise among the other tasks. (tasks_of follows another rule.)"""
  rows = np.asarray(rows, np.int64)
  which, rank = np.zeros((2, len(rows)), np.int64)
  for at, phase in _by_phase(phases, rows):
    which[at], rank[at] = _ranked(phase.weights, rows[at] - phase.row)
    rank[at] += np.array(phase.before)[which[at]]
  return which, rank


def count_rows(phases: Sequence[Phase], task: int, rows: int) -> float:
  """Rows of a task among the first `rows`, to within a row or two a phase."""
  ends = [p.row for p in phases[1:]] + [rows]
  return sum(p.weights[task] * max(min(end, rows) - p.row, 0)
             for p, end in zip(phases, ends))


def check_phases(phases: Sequence[Phase], steps: int) -> None:
  """Raises BadInput when no task takes part in one of the steps."""
  for i, p in enumerate(phases):
    if p.step < steps and not any(p.weights):
      end = min([q.step for q in phases[i + 1:i + 2]] + [steps])
      raise BadInput(f'no task of data.tasks takes part in steps {p.step} to '
                     f'{end - 1}; wanted since and until that leave one')


def _by_phase(phases: Sequence[Phase], rows: np.ndarray
              ) -> Iterator[tuple[np.ndarray, Phase]]:
  """(positions in rows [R], their phase) of each phase that has some. Raises
  BadInput when no task takes part in one."""
  of = np.searchsorted([p.row for p in phases], rows, side='right') - 1
  for k in np.unique(of).tolist():
    if not any(phases[k].weights):
      raise BadInput(f'no task of data.tasks takes part in step '
                     f'{phases[k].step}; wanted since and until that leave one')
    yield np.flatnonzero(of == k), phases[k]


def _ranked(weights: Sequence[float], rows: np.ndarray
            ) -> tuple[np.ndarray, np.ndarray]:
  """ranked_tasks of a phase, with rows and ranks counted from its start."""
  taking = [i for i, w in enumerate(weights) if w]
  which = np.full(len(rows), taking[-1])
  rank, left, total = rows.copy(), np.arange(len(rows)), 1.0
  for i in taking[:-1]:
    before, after = (np.floor((rank[left] + k) * (weights[i] / total)).astype(
        np.int64) for k in (0, 1))
    own = after > before
    which[left[own]] = i
    rank[left] = np.where(own, before, rank[left] - before)
    left, total = left[~own], total - weights[i]
  return which, rank


def _counts(weights: Sequence[float], rows: int) -> list[int]:
  """Rows of each task among the first `rows` of a phase, as _ranked divides
  them."""
  made, left, total = [0] * len(weights), rows, 1.0
  taking = [i for i, w in enumerate(weights) if w]
  for i in taking[:-1]:
    made[i] = math.floor(left * (weights[i] / total))
    left, total = left - made[i], total - weights[i]
  if taking:
    made[taking[-1]] = left
  return made
