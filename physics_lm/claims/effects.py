"""Samples over seeds, and the effects that follow from them, with intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


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
  method: str  # 'paired t', 'Welch t', 't', 'Fisher z', 'bootstrap'


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


def mean_effect(a: Sample) -> Effect:
  """The mean of a cell with its t interval."""
  half = quantile(a.n - 1) * a.std / a.n**0.5
  return Effect(a.mean, a.mean - half, a.mean + half, a.n, 't')


def same_for_all(a: Sample) -> Effect:
  """As mean_effect, for a cell in percent in which all test items of all seeds
  have the same outcome (0 or 100 %). There is then no spread over seeds; the
  interval is Clopper and Pearson's for 0 of n items."""
  e = mean_effect(a)
  if a.std or a.mean not in (0, 100) or math.isnan(a.items):
    return e
  most = 100 * (1 - 0.025**(1 / (a.n * a.items)))
  return e._replace(low=max(a.mean - most, 0.0), high=min(a.mean + most, 100.0),
                    method='Clopper-Pearson')


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
  """b of y = a x^b, from a straight line through three or more points in
  logarithms, with Student's interval."""
  u, v = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
  u = u - u.mean()
  slope = float(u @ v / (u @ u))
  rest = v - v.mean() - slope * u
  half = quantile(len(u) - 2) * float(
      rest @ rest / (len(u) - 2) / (u @ u))**0.5
  return Effect(slope, slope - half, slope + half, len(u), 't')


def standard_error(a: Sample, b: Sample) -> float:
  """Of a difference of means over seeds, as the first experiments had it."""
  return ((a.std**2 + b.std**2) / min(a.n, b.n))**0.5


def number(x: float, digits: int | None = None) -> str:
  """A number with `digits` digits after the point; by default with three
  significant digits, without an exponent where possible."""
  if digits is not None and math.isfinite(x):
    return f'{x:.{digits}f}'
  if not math.isfinite(x):
    return {math.inf: 'inf', -math.inf: '-inf'}.get(x, 'nan')
  if x == 0 or 0.01 <= abs(x) < 1e5:
    digits = 2 if abs(x) < 10 else 1 if abs(x) < 1000 else 0
    digits = 3 if 0 < abs(x) < 1 else digits
    return f'{x:.{digits}f}'
  return f'{x:.2g}'


def sample_text(s: Sample, digits: int | None = None) -> str:
  """'61.2 ± 3.4': mean and standard deviation over seeds, to as many digits
  after the point."""
  text = number(s.mean, digits)
  if digits is None and 'e' not in text and math.isfinite(s.mean):
    digits = len(text.partition('.')[2])
  return text if math.isnan(s.std) else f'{text} ± {number(s.std, digits)}'
