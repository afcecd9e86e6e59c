"""Samples over seeds, and the effects that follow from them, with intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

NO_SPREAD = 1e-9  # equal but for rounding


class Sample(NamedTuple):
  """One cell of a table.

  `by_seed` maps seeds to values; None where only mean and standard deviation
  over `n` seeds were kept. `items` is the number of test items of one seed.
  """

  mean: float
  std: float  # over seeds, ddof 1; nan for one seed
  n: int
  by_seed: dict | None = None
  items: float = math.nan


class Effect(NamedTuple):
  """A number with its 95 % interval. `n`: seeds, or points of a fit."""

  value: float
  low: float
  high: float
  n: int
  method: str  # 'paired t', 'Welch t', 't', 'Fisher z', 'bootstrap', ...


def sample_of(values: Mapping, items: float = math.nan) -> Sample:
  """The sample of {seed: value}."""
  x = np.array(list(values.values()), float)
  std = float(x.std(ddof=1)) if len(x) > 1 else math.nan
  return Sample(float(x.mean()), std, len(x), dict(values), items)


def quantile(degrees: float) -> float:
  """Of Student's t, for a two-sided interval of 95 %."""
  from scipy.special import stdtrit
  return float(stdtrit(degrees, 0.975))


def paired(a: Sample, b: Sample) -> bool:
  """Whether both have a value for each of the same seeds."""
  return (a.by_seed is not None and b.by_seed is not None
          and a.by_seed.keys() == b.by_seed.keys())


def of_common_seeds(cells: Sequence[Sample]) -> list[Sample]:
  """The cells, each over the seeds that all of them have; of no seed (n = 0,
  nan) where these were not kept."""
  seeds = set.intersection(*(set(c.by_seed or ()) for c in cells))
  if not seeds:
    return [Sample(math.nan, math.nan, 0, {}, c.items) for c in cells]
  return [sample_of({s: v for s, v in c.by_seed.items() if s in seeds}, c.items)
          for c in cells]


def mean_effect(a: Sample) -> Effect:
  """The mean of a cell with its t interval."""
  half = quantile(a.n - 1) * a.std / a.n**0.5
  return Effect(a.mean, a.mean - half, a.mean + half, a.n, 't')


def same_for_all(a: Sample) -> Effect:
  """As mean_effect, for a cell in percent, of which the spread over seeds says
  nothing: all seeds have the same value, or some 0 and the others 100 %, of one
  item or no known number. The interval is then Clopper and Pearson's over the
  items of all seeds."""
  e = mean_effect(a)
  if a.by_seed and set(a.by_seed.values()) == {0, 100} and not a.items > 1:
    a = a._replace(items=1.0)
  elif not a.std <= NO_SPREAD:
    return e
  limits = _item_limits(a)
  return e._replace(low=limits[0], high=limits[1],
                    method='Clopper-Pearson') if limits else e


def same_difference(e: Effect, a: Sample, b: Sample) -> Effect:
  """The effect a - b of cells in percent; where it has no spread over seeds,
  with Newcombe's interval, from those of both cells over their items."""
  limits = [_item_limits(s) for s in (a, b)]
  if not (e.high - e.low <= NO_SPREAD and all(limits)):
    return e
  (a_low, a_high), (b_low, b_high) = limits
  return e._replace(
      low=e.value - math.hypot(a.mean - a_low, b_high - b.mean),
      high=e.value + math.hypot(a_high - a.mean, b.mean - b_low),
      method='Newcombe')


def _item_limits(a: Sample) -> tuple[float, float] | None:
  """Clopper and Pearson's limits of a cell in percent, over the items of all
  seeds; None where their number is not known, or it is no share of them."""
  from scipy.special import betaincinv
  n = a.n * a.items
  if math.isnan(n) or not 0 <= a.mean <= 100:
    return None
  k = n * a.mean / 100
  return (100 * float(betaincinv(k, n - k + 1, 0.025)) if k > 0 else 0.0,
          100 * float(betaincinv(k + 1, n - k, 0.975)) if k < n else 100.0)


def contrast(a: Sample, b: Sample, factor: float = 1.0) -> Effect:
  """a - factor * b with its interval: paired t, or Welch's."""
  if paired(a, b):
    e = mean_effect(sample_of({
        s: v - factor * b.by_seed[s] for s, v in a.by_seed.items()}))
    return e._replace(method='paired t')
  value = a.mean - factor * b.mean
  half = quantile(welch_degrees(a, b, factor)) * (
      a.std**2 / a.n + (factor * b.std)**2 / b.n)**0.5
  return Effect(value, value - half, value + half, min(a.n, b.n), 'Welch t')


def welch_degrees(a: Sample, b: Sample, factor: float = 1.0) -> float:
  """Welch's and Satterthwaite's degrees of freedom of a - factor * b."""
  u, v = a.std**2 / a.n, (factor * b.std)**2 / b.n
  if u + v == 0:  # no spread at all: any number will do
    return min(a.n, b.n) - 1
  return (u + v)**2 / (u**2 / (a.n - 1) + v**2 / (b.n - 1))


def ratio(a: Sample, b: Sample) -> Effect:
  """a / b with Fieller's interval: the factors k for which the interval of
  a - k b holds zero. Unbounded when b does not differ from zero.

  Without pairs the degrees of freedom are Welch's at k = a / b.
  """
  k = a.mean / b.mean if b.mean else math.nan
  if paired(a, b):
    method, degrees = 'paired t', a.n - 1
    x, y = (np.array([s.by_seed[k] for k in a.by_seed]) for s in (a, b))
    (xx, xy), (_, yy) = np.cov(x, y, ddof=1) / a.n
  else:
    method, degrees = 'Welch t', welch_degrees(a, b, k)
    xx, yy, xy = a.std**2 / a.n, b.std**2 / b.n, 0.0
  t2, n = quantile(degrees)**2, min(a.n, b.n)
  p, q, r = b.mean**2 - t2 * yy, a.mean * b.mean - t2 * xy, a.mean**2 - t2 * xx
  if not p > 0:
    return Effect(k, -math.inf, math.inf, n, method)
  root = max(q * q - p * r, 0.0)**0.5
  return Effect(k, float(q - root) / float(p), float(q + root) / float(p), n,
                method)


def exponent(x: Sequence[float], y: Sequence[float]) -> Effect:
  """b of y = a x^b, from a straight line in logarithms through the means at
  each x, three or more, with Student's interval; n: the values of x. Seeds of
  one x are not points of their own: how far the means are from a power law is
  part of the uncertainty, and more seeds do not lessen it."""
  u, at = np.unique(np.log(np.asarray(x, float)), return_inverse=True)
  v = np.bincount(at, np.log(np.asarray(y, float))) / np.bincount(at)
  u = u - u.mean()
  slope = float(u @ v / (u @ u))
  rest = v - v.mean() - slope * u
  half = quantile(len(u) - 2) * float(
      rest @ rest / (len(u) - 2) / (u @ u))**0.5
  return Effect(slope, slope - half, slope + half, len(u), 't')


def exponent_over_seeds(x: Sequence[float], y: Sequence[float],
                        seeds: Sequence[int]) -> Effect:
  """The mean over seeds of each one's b of y = a x^b, with its t interval: the
  exponent between these x, whether or not y is a power of x; for few x."""
  x, y, seeds = (np.asarray(v) for v in (x, y, seeds))
  return mean_effect(sample_of({
      s: float(np.polyfit(np.log(x[seeds == s]), np.log(y[seeds == s]), 1)[0])
      for s in np.unique(seeds)}))


def standard_error(a: Sample, b: Sample) -> float:
  """Of a difference of means over seeds, as the first experiments had it."""
  return ((a.std**2 + b.std**2) / min(a.n, b.n))**0.5


def number(x: float, digits: int | None = None) -> str:
  """A number with `digits` digits after the point; by default with three
  significant digits, without an exponent where possible."""
  if digits is not None and math.isfinite(x):
    text = f'{x:.{digits}f}'
    return text if float(text) else text.removeprefix('-')
  if not math.isfinite(x):
    return {math.inf: 'inf', -math.inf: '-inf'}.get(x, 'nan')
  if x == 0 or 0.01 <= abs(x) < 1e5:
    digits = 2 if abs(x) < 10 else 1 if abs(x) < 1000 else 0
    digits = 3 if 0 < abs(x) < 1 else digits
    return f'{x or 0.0:.{digits}f}'
  return f'{x:.2g}'


def number_beside(x: float, bounds: Sequence[float], digits: int | None = None
                  ) -> str:
  """A number as number() prints it; where that would read as one of `bounds`
  though it is not, with two significant digits of the distance: 0.029, not
  0.0 beside 0."""
  text = number(x, digits)
  for bound in bounds:
    if math.isfinite(x) and float(text) == bound and (
        1e-4 < abs(x - bound) < 1):
      return f'{x:.{1 - math.floor(math.log10(abs(x - bound)))}f}'
  return text


def sample_text(s: Sample, digits: int | None = None) -> str:
  """'61.2 ± 3.4': mean and standard deviation over seeds, to as many digits
  after the point."""
  text = number(s.mean, digits)
  if digits is None and 'e' not in text and math.isfinite(s.mean):
    digits = len(text.partition('.')[2])
  return text if math.isnan(s.std) else f'{text} ± {number(s.std, digits)}'
