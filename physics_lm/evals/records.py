"""Records: what an evaluation returns. No JAX.

A row is one measured number with named slices:

  {'metric': 'accuracy', 'value': 0.31, 'n': 100, 'low': 0.22, 'high': 0.40,
   'person_split': 'test', 'attribute': 'major'}

`n` counts the test items behind the number. `low` and `high` are the 95 %
interval by test item, in rows that have one. All other keys are slices; all
rows of one kind of evaluation have the same ones, so that a table of them is a
pivot. The marginal over a slice is the value 'all'. Fractions are 0 to 1.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

NOT_SLICES = ('metric', 'value', 'n', 'low', 'high')


class Records(NamedTuple):
  """Rows of measured numbers, and raw outcomes (a dict for each test item)."""

  rows: list[dict]
  raw: list[dict]


class Evaluator(Protocol):
  """What each kind's `build` returns: everything but the parameters."""

  def __call__(self, params: Any, step: int | None = None) -> Records:
    """Evaluates parameters that were trained for `step` steps. The step
    determines the training data so far; None: it is unknown."""


def row(metric: str, value: float, n: int,
        interval: tuple[float, float] | None = None, **slices: str | int
        ) -> dict:
  """One measured number as plain JSON values."""
  out = {'metric': metric, 'value': float(value), 'n': int(n)}
  if interval is not None:
    out['low'], out['high'] = map(float, interval)
  return out | slices


def accuracy_row(metric: str, items: Sequence[int], correct: Sequence[bool],
                 groups: Sequence | None = None, **slices: str | int) -> dict:
  """A row of a mean over questions with its interval over test items.

  Args:
    items: the test item (person, problem) that each question is about; `n`
      counts the distinct ones.
    groups: of each question; if there are any, the value is the mean over
      groups of each group's mean.
  """
  correct = np.asarray(correct, float)
  if groups is None:
    value = correct.mean()
  else:
    groups = np.asarray(groups)
    value = np.mean([correct[groups == g].mean() for g in np.unique(groups)])
  return row(metric, value, len(set(items)),
             bootstrap_ci(items, correct, groups), **slices)


def bootstrap_ci(items: Sequence[int], correct: Sequence[float],
                 groups: Sequence | None = None) -> tuple[float, float]:
  """The 95 % interval of a mean over questions, by bootstrap over test items:
  outcomes of questions about one item (a person, a problem) are
  correlated. With `groups` (of questions), the interval of the mean over groups
  of each group's mean. The resamples are always the same."""
  _, item = np.unique(items, return_inverse=True)
  _, group = np.unique(np.zeros(len(item)) if groups is None else groups,
                       return_inverse=True)
  count, total = np.zeros((2, group.max() + 1, item.max() + 1), np.float32)
  np.add.at(count, (group, item), 1)
  np.add.at(total, (group, item), np.asarray(correct, np.float32))
  resamples = _resamples(len(count[0]))
  count, total = count @ resamples, total @ resamples
  # A group may have no question about the items of a resample: its mean is
  # then left out.
  means = np.where(count > 0, total / np.maximum(count, 1), 0).sum(0) / (
      count > 0).sum(0)
  low, high = np.percentile(means, (2.5, 97.5))
  return float(low), float(high)


@functools.lru_cache(8)
def _resamples(items: int, draws: int = 1000) -> np.ndarray:
  """How often each item is drawn, [items, draws]."""
  rng = np.random.default_rng(0)
  return np.stack([np.bincount(rng.integers(0, items, items), minlength=items)
                   for _ in range(draws)], 1).astype(np.float32)


def slices(record: dict) -> dict[str, str | int]:
  """The slices of a row."""
  return {k: v for k, v in record.items() if k not in NOT_SLICES}


def flat_name(record: dict, evaluation: str = '') -> str:
  """A row's name in logs: the evaluation's name, the metric and the values of
  the slices, without marginals ('all'), joined by '/':
  'extraction/accuracy/test/question/major'. A metric that has the evaluation's
  name is not repeated: 'loss/bio'."""
  names = dict.fromkeys(filter(None, (evaluation, record['metric'])))
  return '/'.join([*names, *(
      str(v) for v in slices(record).values() if v != 'all')])


def flatten(rows: Iterable[dict], evaluation: str = '') -> dict[str, float]:
  """{flat name: value} of rows, for logs, trackers and printed lists."""
  return {flat_name(r, evaluation): r['value'] for r in rows}


def find(rows: Sequence[dict], metric: str, **wanted: str | int) -> dict:
  """The one row of a metric with these slices; a slice that is not named is
  the marginal, 'all'. Raises KeyError when there is none, or more than one."""
  found = [r for r in rows if r['metric'] == metric and slices(r) == {
      k: wanted.get(k, 'all') for k in slices(r)}]
  unknown = wanted.keys() - {k for r in rows for k in slices(r)}
  if len(found) != 1 or unknown:
    known = [flat_name(r) for r in rows if r['metric'] == metric]
    raise KeyError(f'{len(found)} rows of {metric} with {wanted}, wanted 1; '
                   f'there are {", ".join(known) or "none of this metric"}')
  return found[0]
