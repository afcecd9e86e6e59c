"""Is an ability predictable: collapse over sizes, and a ladder of two fits.

Accuracy as a function of the loss alone, whatever the size and the tokens (Du
et al. 2024, arXiv 2403.15796), and the ladder (Bhagia et al. 2024, arXiv
2412.04403): size and training -> loss of the task -> accuracy, each step fitted
to small models. Here a loss is the share of the baseline's nats that is gone.
No JAX.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from physics_lm import claims, results
from physics_lm.scaling.fitting import solve

if TYPE_CHECKING:
  import pandas as pd

NEAREST = 8  # points of other sizes that make a prediction


def collapse_error(x: Sequence[float], y: Sequence[float],
                   size: Sequence[float], nearest: int = NEAREST) -> float:
  """How far y (n,) is from a curve in x (n,) that sizes (n,) share, in units
  of y: the root mean square of y less the mean of the `nearest` points in x of
  other sizes. Points outside the range of x of the other sizes do not count;
  nan where that leaves none."""
  x, y, size = (np.asarray(v, float) for v in (x, y, size))
  off = [np.zeros(0)]
  for one in np.unique(size):
    other = size != one
    if not other.any():
      continue
    inside = ~other & (x >= x[other].min()) & (x <= x[other].max())
    distance = np.abs(x[inside, None] - x[None, other])
    near = np.argsort(distance, axis=1, kind='stable')[:, :nearest]
    off.append(y[inside] - y[other][near].mean(1))
  off = np.concatenate(off)
  return float(np.sqrt(np.mean(off**2))) if len(off) else float('nan')


class Saturating(NamedTuple):
  """A share of 1 that is limited by size N, parameters, and by compute C, FLOP:
  1 / (1 + (N0 / N)^a + (C0 / C)^b). In compute and not in tokens, as larger
  models learn the same from fewer."""

  N0: float
  C0: float
  a: float
  b: float

  def __call__(self, N: float | np.ndarray, C: float | np.ndarray
               ) -> np.ndarray:
    return 1 / (1 + (self.N0 / np.asarray(N, float))**self.a
                + (self.C0 / np.asarray(C, float))**self.b)


@solve.one_thread()
def fit_saturating(N: Sequence[float], C: Sequence[float],
                   share: Sequence[float]) -> Saturating:
  """Least squares over runs (n,), from several starts; exponents within 0.1 and
  20. Raises ValueError for fewer than five runs or less than two sizes."""
  from scipy import optimize
  n, c, y = (np.asarray(v, float) for v in (N, C, share))
  if len(y) < 5 or len(np.unique(n)) < 2:
    raise ValueError(f'{len(y)} runs of {len(np.unique(n))} sizes, wanted five '
                     'runs or more, of two sizes or more')
  n, c = np.log(n), np.log(c)

  def residuals(t):
    a, b = np.exp(t[2:])
    return 1 / (1 + np.exp(a * (t[0] - n)) + np.exp(b * (t[1] - c))) - y

  # Middles at most a factor of e^4 beyond the data.
  low = [n.min() - 4, c.min() - 4, np.log(0.1), np.log(0.1)]
  high = [n.max() + 4, c.max() + 4, np.log(20), np.log(20)]
  best = min((optimize.least_squares(residuals, (i, j, np.log(2), np.log(3)),
                                     bounds=(low, high))
              for i in (n.min(), n.max() + 1) for j in (c.min(), c.max())),
             key=lambda r: r.cost)
  return Saturating(*np.exp(best.x).tolist())


@solve.one_thread()
def accuracy_power(share: Sequence[float], accuracy: Sequence[float]) -> float:
  """c of accuracy = share^c, by least squares over (n,) shares of the nats that
  are gone and accuracies in [0, 1]; within 0.1 and 10."""
  from scipy import optimize
  x, y = np.clip(share, 1e-9, 1), np.asarray(accuracy, float)
  return float(optimize.minimize_scalar(
      lambda c: ((x**c - y)**2).sum(), bounds=(0.1, 10), method='bounded',
      options={'xatol': 1e-8}).x)


def ability_effects(df: 'pd.DataFrame', small: int) -> dict[str, claims.Effect]:
  """Means over seeds of what of_seed() and spread() (of the two largest widths)
  find, of '<ability> pooled ...', the errors of a ladder of all seeds, and of
  '<ability> between seeds', how far exact 1 is from the mean of the other seeds
  at the same width and step (root mean square, points): what all seeds have;
  nothing of a table with too few widths or seeds."""
  widths = sorted(df.width.unique())
  if len(widths) <= small or df.seed.nunique() < claims.MIN_SEEDS:
    return {}
  found = {seed: of_seed(rows, small) for seed, rows in df.groupby('seed')}
  apart = spread(df[df.width.isin(widths[-2:])])
  for seed, values in found.items():
    values |= {f'{name} spread': x for name, x in apart[seed].items()}
  for name, own in df.groupby('ability'):  # a ladder of the runs of all seeds
    at, top = small_and_largest(own, small)
    by_seed = own.pivot_table(index=['width', 'step'], columns='seed',
                              values='exact1')
    for seed in by_seed:  # what no law in size and training predicts
      off = by_seed[seed] - by_seed.drop(columns=seed).mean(axis=1)
      found[seed][f'{name} between seeds'] = float(np.sqrt((off**2).mean()))
    for seed, rows in top.groupby('seed'):
      errors = ladder_errors(at, rows)
      found[seed] |= {f'{name} pooled {k}': v for k, v in errors.items()}
      found[seed][f'{name} pooled one step - two steps'] = (
          errors['one step, exact 8'] - errors['two steps, exact 8'])
  names = [k for k in found[df.seed.iloc[0]]
           if all(np.isfinite(v[k]) for v in found.values())]
  return {k: claims.mean_effect(claims.sample_of({
      seed: v[k] for seed, v in found.items()})) for k in names}


def ladder(at: 'pd.DataFrame', top: 'pd.DataFrame'
           ) -> dict[str, dict[int, np.ndarray]]:
  """{method: {k: exact k at each row of `top`, percent}} from the rows `at` of
  small sizes; both of one ability's table (size, compute, gain, exact1,
  exact8). 'one step': exact k from size and compute; 'two steps': gain from
  these, exact 1 from gain, and its k-th power; 'second step': the latter from
  the gain that the rows have."""
  def law(column):
    made = fit_saturating(at['size'], at.compute, at[column] / 100)
    return made(top['size'], top.compute)

  power = accuracy_power(at.gain / 100, at.exact1 / 100)
  gain = law('gain')
  return {'one step': {k: 100 * law(f'exact{k}') for k in (1, 8)},
          'two steps': {k: 100 * gain**(k * power) for k in (1, 8)},
          'second step': {k: 100 * (top.gain.to_numpy() / 100)**(k * power)
                          for k in (1, 8)}}


def small_and_largest(df: 'pd.DataFrame', small: int
                      ) -> 'tuple[pd.DataFrame, pd.DataFrame]':
  """The rows of the `small` smallest widths, and of the largest."""
  widths = sorted(df.width.unique())
  return df[df.width.isin(widths[:small])], df[df.width == widths[-1]]


def ladder_errors(at: 'pd.DataFrame', top: 'pd.DataFrame') -> dict[str, float]:
  """{'<method>, exact <k>': mean of absolute differences in points}."""
  return {f'{method}, exact {k}': float((made - top[f'exact{k}']).abs().mean())
          for method, by_k in ladder(at, top).items()
          for k, made in by_k.items()}


def of_seed(rows: 'pd.DataFrame', small: int) -> dict[str, float]:
  """{'<ability> <quantity>': value} of one seed's table (as ladder's, with
  ability, step, nats, overall, score): errors of collapse and of ladders
  (points), p^8, gain when a metric is first 10 %, delay (steps to half of
  exact 8 over those to half of exact 1) and rise (steps to a gain of 80 % over
  those to 30 %), both means over the widths that get there."""
  out = {}
  for name, df in rows.groupby('ability'):
    over = {x: collapse_error(np.log(df[x]), df.exact1, df.width)
            for x in ('nats', 'compute', 'overall')}
    found = {f'over {x}': v for x, v in over.items()}
    found |= {f'{x} / nats': v / over['nats'] for x, v in over.items()}
    power = 100 * (df.exact1 / 100)**8
    found['p^8'] = (df.exact8 - power)[power.between(2, 98)].abs().mean()
    top = df[df.width == df.width.max()]
    for y in ('exact1', 'exact8', 'score'):
      found[f'gain at 10 % of {y}'] = top.gain[top[y] >= 10].min()
    each = [own for _, own in df.groupby('width')]
    for key, a, b in (('delay', ('exact8', 50), ('exact1', 50)),
                      ('rise', ('gain', 80), ('gain', 30))):
      ratios = [_step(own, *a) / _step(own, *b) for own in each]
      found[key] = float(np.nanmean(ratios)) if np.isfinite(ratios).any() else (
          float('nan'))
    found |= ladder_errors(*small_and_largest(df, small))
    out |= {f'{name} {k}': float(v) for k, v in found.items()}
  for k in ('delay', 'rise'):
    out[f'{k} of facts / copying'] = out[f'facts {k}'] / out[f'copy {k}']
  out['one step / two steps'] = (out['facts one step, exact 8']
                                 / out['facts two steps, exact 8'])
  return out


def spread(df: 'pd.DataFrame') -> dict[int, dict[str, float]]:
  """{seed: {ability: how far from the median over seeds the logarithm of the
  step with half of the nats gone is}}, mean over widths; a run without one
  counts with its last step."""
  half = {key: _step(rows, 'gain', 50) for key, rows in df.groupby(
      ['seed', 'ability', 'width'])}
  half = {k: np.log(v if v == v else df.step.max()) for k, v in half.items()}
  out = {}
  for seed in df.seed.unique():
    out[seed] = {name: float(np.mean([abs(half[seed, name, w] - np.median(
        [half[s, name, w] for s in df.seed.unique()]))
        for w in df.width.unique()])) for name in df.ability.unique()}
  return out


def _step(rows, column: str, level: float) -> float:
  return results.crossing(rows.step, rows[column], level)
