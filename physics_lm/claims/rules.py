"""What claims state: rules, each with an effect and the bounds it must keep."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from physics_lm.claims.effects import (
  Effect,
  Sample,
  contrast,
  mean_effect,
  of_common_seeds,
  ratio,
  sample_of,
  standard_error,
)


@dataclasses.dataclass(frozen=True)
class Rule:
  """What a claim states about its cells. `low`, `high`: bounds of the effect.
  """

  low: float = -math.inf
  high: float = math.inf
  strict = False  # whether the effect must lie above `low`, not at it
  trivial = 0.0  # the bound of a mere order of cells
  compares = True  # cells with one another, not with a number

  def comparable(self, cells: Sequence[Sample]) -> list[Sample]:
    """The cells over the seeds that the rule takes of each."""
    return list(cells)

  def effect(self, cells: Sequence[Sample]) -> Effect:
    """The effect that a claim is about, of its cells."""
    raise NotImplementedError

  def held(self, cells: Sequence[Sample]) -> bool:
    """By the older rule."""
    return self.low <= self.effect(cells).value <= self.high

  def held_effect(self, e: Effect) -> bool:
    """By the older rule, of an effect that measures() computed."""
    return self.low <= e.value <= self.high

  def outcome(self, e: Effect) -> str:
    """Of an effect's interval."""
    above = e.low > self.low if self.strict else e.low >= self.low
    if above and e.high <= self.high:
      return 'supported'
    if e.high < self.low or e.low > self.high:
      return 'contradicted'
    return 'inconclusive'

  def strength(self, e: float) -> float:
    """The size of an effect, to set beside the paper's."""
    return abs(e)


@dataclasses.dataclass(frozen=True)
class Greater(Rule):
  """The first cell is above the second, by more than `low`."""

  low: float = 0.0
  strict = True

  def effect(self, cells: Sequence[Sample]) -> Effect:
    """First cell minus second."""
    return contrast(*cells)

  def held(self, cells: Sequence[Sample]) -> bool:
    """By a stated margin of means, else by twice the standard error."""
    a, b = cells
    if self.low:  # a margin was stated: means decide
      return a.mean - b.mean >= self.low
    return a.mean - b.mean > 2 * standard_error(a, b)


class GreaterMean(Greater):
  """As Greater; held by means alone."""

  def held(self, cells: Sequence[Sample]) -> bool:
    """By means, whatever their errors."""
    return cells[0].mean >= cells[1].mean


class GreaterPaired(Greater):
  """As Greater, over the seeds that both cells have; held by a stated margin,
  else by twice the standard error of paired differences."""

  def comparable(self, cells: Sequence[Sample]) -> list[Sample]:
    """Both cells over their common seeds."""
    return of_common_seeds(cells)

  def held(self, cells: Sequence[Sample]) -> bool:
    """By the mean difference of equal seeds and its standard error."""
    a, b = of_common_seeds(cells)
    d = sample_of({s: v - b.by_seed[s] for s, v in a.by_seed.items()})
    if self.low:
      return d.mean >= self.low
    return d.mean > 2 * d.std / d.n**0.5


class Equal(Rule):
  """Two cells differ by less than a margin."""

  def effect(self, cells: Sequence[Sample]) -> Effect:
    """First cell minus second."""
    return contrast(*cells)


class EqualWithinError(Equal):
  """As Equal; held when no difference was found, which is no evidence."""

  def held(self, cells: Sequence[Sample]) -> bool:
    """Where the difference is within twice its standard error."""
    a, b = cells
    return abs(a.mean - b.mean) <= 2 * standard_error(a, b)


class EqualNotBelow(Equal):
  """As Equal; held when the first cell is not below the second by more than
  the margin."""

  def held(self, cells: Sequence[Sample]) -> bool:
    """By means: the first is at least the second less the margin."""
    a, b = cells
    return a.mean - b.mean >= self.low


class Bound(Rule):
  """One cell's mean against a number."""

  compares = False

  def effect(self, cells: Sequence[Sample]) -> Effect:
    """The mean of the one cell."""
    return mean_effect(*cells)


class AboveByError(Bound):
  """One cell is above `low`; held by twice its standard error."""

  strict = True

  def held(self, cells: Sequence[Sample]) -> bool:
    """Where the mean is twice its standard error above `low`."""
    return cells[0].mean - self.low > 2 * cells[0].std / cells[0].n**0.5


class Ratio(Rule):
  """The first cell over the second lies between two factors."""

  trivial = 1.0

  def effect(self, cells: Sequence[Sample]) -> Effect:
    """First cell over second."""
    return ratio(*cells)

  def held(self, cells: Sequence[Sample]) -> bool:
    """By means: their ratio is between the factors."""
    a, b = cells
    return self.low * b.mean <= a.mean and (
        math.isinf(self.high) or a.mean <= self.high * b.mean)

  def strength(self, e: float) -> float:
    """The distance from no effect, 1, in logarithms."""
    return abs(math.log(e)) if e > 0 else math.inf


class TimesMore(Ratio):
  """The first cell is more than `low` times the second; held by the standard
  error of their difference."""

  strict = True

  def held(self, cells: Sequence[Sample]) -> bool:
    """Where the first is above the second by twice the standard error."""
    a, b = cells
    return a.mean - b.mean > 2 * standard_error(a, b)


class Excess(Rule):
  """The first cell exceeds the second by at most `high`. Such a claim cannot
  fail where nothing can be done at all: give it a control."""

  compares = False

  def effect(self, cells: Sequence[Sample]) -> Effect:
    """First cell minus second."""
    return contrast(*cells)


@dataclasses.dataclass(frozen=True)
class EqualToKnown(Rule):
  """A measured effect lies in a known range, or is a known value, within a
  margin; held when its interval meets the range, as a wide one always does."""

  known: tuple[float, float] = (0.0, 0.0)
  compares = False

  def held_effect(self, e: Effect) -> bool:
    """Where the interval meets the known range."""
    return e.low <= self.known[1] and self.known[0] <= e.high


def average_ranks(x: np.ndarray) -> np.ndarray:
  """0, 1, ... by size; equal values share the mean of their ranks."""
  below, equal_ = (f(x[:, None], x).sum(1) for f in (np.greater, np.equal))
  return below + (equal_ - 1) / 2


@dataclasses.dataclass(frozen=True)
class Correlated(Rule):
  """Over cells, column and `other` of a claim are correlated at least `low`.

  `other`: another column, or a number for each cell. The interval is
  Fisher's, over cells.
  """

  other: Any = ''
  ranks: bool = False

  def effect(self, cells: Sequence[tuple[Sample, Sample]]) -> Effect:
    """The correlation over cells, each a pair (column, `other`)."""
    x, y = (np.array([c.mean for c in part]) for part in zip(*cells))
    if self.ranks:
      x, y = average_ranks(x), average_ranks(y)
    r = float(np.corrcoef(x, y)[0, 1])
    if len(x) < 4:  # Fisher's interval has n - 3 degrees of freedom
      return Effect(r, -1.0, 1.0, len(x), 'Fisher z')
    half = 1.959964 * ((1.06 if self.ranks else 1) / (len(x) - 3))**0.5
    z = math.atanh(max(min(r, 1 - 1e-12), -1 + 1e-12))
    return Effect(r, math.tanh(z - half), math.tanh(z + half), len(x),
                  'Fisher z')


def greater(margin: float = 0.0) -> Rule:
  """a - b > margin (in the table's unit). A negative margin: no worse by
  more than that."""
  return Greater(margin)


def equal(margin: float) -> Rule:
  """|a - b| <= margin: equivalence."""
  return Equal(-margin, margin)


def at_least(bound: float) -> Rule:
  """effect >= bound, in the table's unit."""
  return Bound(bound)


def at_most(bound: float) -> Rule:
  """effect <= bound, in the table's unit."""
  return Bound(-math.inf, bound)


def between(low: float, high: float) -> Rule:
  """low <= effect <= high, in the table's unit."""
  return Bound(low, high)


def equals(known: float | tuple[float, float], margin: float) -> Rule:
  """known - margin <= effect <= known + margin, of a known value or range."""
  low, high = known if isinstance(known, tuple) else (known, known)
  return EqualToKnown(low - margin, high + margin, (low, high))


def ratio_between(low: float = -math.inf, high: float = math.inf) -> Rule:
  """low <= a / b <= high."""
  return Ratio(low, high)


def times_more() -> Rule:
  """a / b > 1. The paper's effect is then a factor."""
  return TimesMore(1.0)


def exceeds_by_at_most(margin: float) -> Rule:
  """a - b <= margin."""
  return Excess(-math.inf, margin)


def correlated(bound: float, other: Any, ranks: bool = False) -> Rule:
  """Correlation over the cells of the claim's column with `other`."""
  return Correlated(bound, other=other, ranks=ranks)
