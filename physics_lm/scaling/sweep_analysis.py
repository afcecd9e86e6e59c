"""What an isoFLOP sweep shows about scaling laws. No JAX.

Functions take the runs of one world as a data frame, a row a run: role
('isoflop'; 'tune', 'trunk', 'cooldown' and 'shape' where there are such),
budget, width, depth, seed, learning_rate, N, D, C, C_<convention> of
scaling/flops.py, loss and entropy (nats per token), accuracy (may be nan).
isoflop_plan.py plans and tabulates such runs.
"""

import functools
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from physics_lm.scaling import forecast, laws
from physics_lm.scaling.fitting import approaches, fits, solve

if TYPE_CHECKING:
  import pandas as pd

# Bootstrap refits of a law; half as many of the p-norm and of predictions, a
# quarter of predictions by the p-norm.
DRAWS = int(os.environ.get('SCALING_DRAWS', 200))
FAR = 3.0  # times the best size: loss limited mostly by one of N and D
NEAR = 2.2  # of learning rates: the range in which a parabola serves
P_BOUNDS = {'p': (1 / 16, 16.0)}  # of the p-norm
MIN_EXCESS = 1e-6  # nats per token; an error of measurement may hide more


def points(df: 'pd.DataFrame', role: str = 'isoflop') -> 'pd.DataFrame':
  """Means over seeds, by (budget, width, depth, learning_rate)."""
  own = df[df.role == role]
  keys = ['budget', 'width', 'depth', 'learning_rate']
  return own.groupby(keys, as_index=False).mean(numeric_only=True)


# Fits of the isoFLOP runs: (fit, bootstrap over runs).


def chinchilla_fit(df: 'pd.DataFrame') -> tuple[fits.Fit, fits.Bootstrap]:
  """E + A N^-alpha + B D^-beta."""
  return _fitted('chinchilla', *_columns(df), draws=DRAWS)


def fixed_entropy_fit(df: 'pd.DataFrame') -> tuple[fits.Fit, fits.Bootstrap]:
  """The same with E fixed at the entropy: its exponents are of the excess
  loss, which is what theory is about."""
  return _fitted('chinchilla', *_columns(df), draws=DRAWS,
                 E=float(df.entropy.iloc[0]))


def p_norm_fit(df: 'pd.DataFrame') -> tuple[fits.Fit, fits.Bootstrap]:
  """laws.p_norm: how the limits of size and data combine is fitted too."""
  return _fitted('p_norm', *_columns(df), draws=max(DRAWS // 2, 1))


def size_dependent_exponent_fit(df: 'pd.DataFrame'
                                ) -> tuple[fits.Fit, fits.Bootstrap]:
  """laws.size_dependent_exponent."""
  return _fitted('size_dependent_exponent', *_columns(df), draws=DRAWS)


def _columns(df) -> list[tuple]:
  own = df[df.role == 'isoflop']
  return [tuple(own[k].astype(float)) for k in ('N', 'D', 'loss')]


@functools.lru_cache(64)
def _fitted(law: str, N, D, loss, draws: int, E: float | None = None):
  options = {} if E is None else {'E': E}
  if law == 'p_norm':
    options['bounds'] = P_BOUNDS
  f = getattr(fits, law)(N, D, loss, **options)
  return f, fits.bootstrap(f, draws)


# Compute-optimal allocation.


@solve.one_thread()
def isoflop_curves(df: 'pd.DataFrame', surface: fits.Fit | None = None
                   ) -> approaches.IsoFlop:
  """Approach 2, by parabolas. Raises ValueError when fewer than two budgets
  have a minimum."""
  p = points(df)
  return approaches.approach2(*(p[k].to_numpy(float) for k in (
      'budget', 'N', 'D', 'loss')), 'parabola', surface)


def interior(found: approaches.IsoFlop) -> list[approaches.Budget]:
  """Budgets of at least five sizes whose minimum lies inside them: a parabola
  goes through any three points."""
  return [b for b in found.budgets
          if b.status == 'ok' and b.left and b.right and b.n >= 5]


def allocation_line(found: approaches.IsoFlop, name: str
                    ) -> tuple[float, float]:
  """(exponent, log coefficient) of N* or D* in C over interior minima."""
  good = interior(found)
  if len(good) < 2:
    return math.nan, math.nan
  return tuple(np.polyfit([math.log(b.C) for b in good],
                          [math.log(getattr(b, name)) for b in good], 1))


def allocation_exponents(df: 'pd.DataFrame', params: Mapping, convention: str
                         ) -> np.ndarray:
  """a of N* ~ C^a, C counted by a convention, for Chinchilla parameters that
  are numbers or (K,) bootstrap draws: (K,), of one set (1,).

  FLOP per token are interpolated between the sizes and extended straight beyond
  them; N* is the best of a fine grid.
  """
  p = points(df).drop_duplicates('N').sort_values('N')
  log_n = np.log(p.N.to_numpy(float))
  per_token = np.log((p[f'C_{convention}'] / p.D).to_numpy(float))
  C = np.geomspace(*np.quantile(points(df)[f'C_{convention}'], (0.1, 0.9)), 5)
  grid = np.linspace(log_n[0] - 6, log_n[-1] + 10, 1000)
  log_d = np.log(C)[:, None] - _extended(grid, log_n, per_token)  # [C, grid]
  A, B, alpha, beta = (np.reshape(params[k], (-1, 1, 1))
                       for k in ('A', 'B', 'alpha', 'beta'))
  loss = A * np.exp(-alpha * grid) + B * np.exp(-beta * log_d)
  best = _refined_minimum(grid, loss)  # [K, C]
  if convention.startswith('6n_ne'):
    best = _extended(best, log_n, np.log(p.N_ne.to_numpy(float)))
  return np.polyfit(np.log(C), best.T, 1)[0]


def _extended(x, known, values):
  """Linear interpolation, straight on beyond the known points."""
  slope = np.diff(values) / np.diff(known)
  return (np.interp(x, known, values)
          + np.minimum(x - known[0], 0) * slope[0]
          + np.maximum(x - known[-1], 0) * slope[-1])


def _refined_minimum(grid, loss):
  """Where loss [..., grid] is least: the vertex of the parabola through the
  least value and its two neighbours."""
  at = np.clip(loss.argmin(-1), 1, len(grid) - 2)
  low, middle, high = (np.take_along_axis(loss, at[..., None] + k, -1)[..., 0]
                       for k in (-1, 0, 1))
  curvature = np.maximum(low - 2 * middle + high, 1e-300)
  step = np.clip((low - high) / (2 * curvature), -1, 1)
  return grid[at] + step * (grid[1] - grid[0])


# Power laws of the excess loss.


def power_laws(df: 'pd.DataFrame') -> dict[str, tuple]:
  """{'C', 'N', 'D': (x, excess loss, fits.PowerLawFit, R2 of logarithms)}: of
  the best run of each budget; of each size far below the best of its budget, at
  its longest, where data abound; of sizes far above it, by length, where only
  data are short (Kaplan et al. 2020, figure 1)."""
  p = points(df)
  best = {b.C: b.N for b in isoflop_curves(df).budgets if b.status == 'ok'}
  relative = p.N / p.budget.map(best)  # nan where no best is known
  small, large = p[relative < 1 / FAR], p[relative > FAR]
  rows = {'C': ('budget', p.loc[p.groupby('budget').loss.idxmin()]),
          'N': ('N', small.loc[small.groupby('N').D.idxmax()]),
          'D': ('D', large.loc[large.groupby('budget').N.idxmax()])}
  out = {}
  for name, (key, own) in rows.items():
    x, y = own[key].to_numpy(float), (own.loss - own.entropy).to_numpy(float)
    if len(np.unique(x)) > 2 and (y > 0).all():
      law = fits.power(x, y)
      r2 = np.corrcoef(np.log(x), np.log(y))[0, 1]**2
      out[name] = x, y, law, float(r2)
  return out


def exponent_by_size(df: 'pd.DataFrame') -> 'pd.DataFrame':
  """One row a size with at least three horizons: exponent of the excess loss in
  D, by least squares of logarithms over means of seeds, and its standard
  error."""
  import pandas as pd
  out = []
  for N, own in points(df).groupby('N'):
    excess = (own.loss - own.entropy).to_numpy(float)
    if len(own) > 2 and (excess > 0).all():
      law = fits.power(own.D.to_numpy(float), excess)
      out.append({'N': N, 'width': own.width.iloc[0], 'horizons': len(own),
                  'exponent': -law.exponent,
                  'error': law.covariance[0, 0]**0.5})
  return pd.DataFrame(out)


# What is run beside the isoFLOP runs.


def cooldowns(df: 'pd.DataFrame') -> 'pd.DataFrame':
  """One row a horizon and seed of the trunk's size: a WSD cooldown off the
  trunk (`loss_cooldown`) beside the run of the same seed and learning rate
  whose schedule matches its horizon; `difference`: relative."""
  own = df[df.role == 'cooldown']
  both = own.merge(
      df[df.role.isin(['isoflop', 'tune'])], suffixes=('_cooldown', ''),
      on=['budget', 'width', 'depth', 'seed', 'learning_rate'])
  return both.assign(difference=both.loss_cooldown / both.loss - 1)


@solve.one_thread()
def tuned_rates(df: 'pd.DataFrame') -> 'pd.DataFrame':
  """One row a (budget, width) at which learning rates were tried.

  Per budget the losses at rates within a factor NEAR of the one used are
  fitted, by least squares, as a level per width and seed + c x^2 + (b + d ln
  width) x, x the logarithm of the rate over the one used. `best`: the rate
  where this is least within those; `gain`: what it saves, nats per token;
  `gain_common`: what the middle width's rate would save, at every width;
  `gain_luckiest`: what the best of one seed's runs at any rate saves, which
  counts luck as gain: seeds differ as much as a factor of two in the rate does.
  """
  import pandas as pd
  size, own = ['budget', 'width', 'depth'], df[df.role == 'isoflop']
  keys = [*size, 'seed']
  tried = df[df.role == 'tune'].merge(
      own[[*keys, 'learning_rate', 'loss']], on=keys, suffixes=('', '_used'))
  out = []
  for _, runs in tried.groupby('budget'):
    used = runs.drop_duplicates(keys)
    every = pd.concat([runs, used.assign(learning_rate=used.learning_rate_used,
                                         loss=used.loss_used)])
    every['x'] = np.log(every.learning_rate / every.learning_rate_used)
    curve, x = _rate_curve(every[every.x.abs() < math.log(NEAR)], used)
    fine, middle = np.linspace(*x, 401), used.learning_rate_used.median()
    for r in used.drop_duplicates(size).itertuples():
      saved = -(curve[0] * fine + curve[1] + curve[2] * math.log(r.width)
                ) * fine
      common = np.clip(math.log(middle / r.learning_rate_used), *x)
      one = every[(every.width == r.width) & (every.seed == r.seed)]
      out.append({k: getattr(r, k) for k in (*size, 'N')} | {
          'used': r.learning_rate_used,
          'best': r.learning_rate_used * math.exp(fine[saved.argmax()]),
          'gain': saved.max(), 'gain_common': np.interp(common, fine, saved),
          'gain_luckiest': r.loss_used - one.loss.min(),
          'loss': r.loss_used})
  return pd.DataFrame(out, columns=[
      *size, 'N', 'used', 'best', 'gain', 'gain_common', 'gain_luckiest',
      'loss'])


def _rate_curve(runs, used) -> tuple[np.ndarray, tuple[float, float]]:
  """((c, b, d), range of x) of one budget: see tuned_rates."""
  x = runs.x.to_numpy()
  level = (runs[['width', 'seed']].to_numpy()[:, None]
           == used[['width', 'seed']].to_numpy()).all(-1)
  solution = np.linalg.lstsq(np.column_stack([
      level, x**2, x, x * np.log(runs.width)]), runs.loss)[0]
  return solution[-3:], (x.min(), x.max())


def at_tuned_rates(df: 'pd.DataFrame', column: str = 'gain') -> 'pd.DataFrame':
  """The isoFLOP runs of the budgets at which learning rates were tried, their
  losses less `column` of tuned_rates, which intervals then take as known."""
  own = df[df.role == 'isoflop'].merge(
      tuned_rates(df)[['budget', 'width', 'depth', column]])
  return own.assign(loss=own.loss - own[column])


@solve.one_thread()
def sensitivity(df: 'pd.DataFrame') -> dict[str, float]:
  """What schedule and learning rate change: the exponent of the excess loss in
  D by schedule; a of N* ~ C^a (parabolas) at the rates used, at the best ones,
  and with one rate for all sizes of a budget, the middle one."""
  out, entropy = {}, df.entropy.iloc[0]
  both = cooldowns(df).groupby('budget').mean(numeric_only=True)
  for name, column in (('matched', 'loss'), ('cooldown', 'loss_cooldown')):
    if len(both) > 2 and (both[column] > entropy).all():
      law = fits.power(both.D.to_numpy(float),
                       (both[column] - entropy).to_numpy())
      out[f'exponent in D, {name}'] = -law.exponent
  if df[df.role == 'tune'].budget.nunique() > 1:
    own = at_tuned_rates(df)
    for name, table in (('used', own.assign(loss=own.loss + own.gain)),
                        ('best', own),
                        ('common', at_tuned_rates(df, 'gain_common'))):
      out[f'a, learning rates: {name}'] = allocation_line(
          isoflop_curves(table), 'N')[0]
  return out


def shapes(df: 'pd.DataFrame') -> 'pd.DataFrame':
  """Models of about one N at one budget, by depth."""
  own = points(df, 'shape')
  if own.empty:
    return own
  import pandas as pd
  same = points(df)
  same = same[same.budget == own.budget.iloc[0]]
  like = same.iloc[(np.log(same.N / own.N.mean())).abs().argsort()[:1]]
  return pd.concat([own, like]).sort_values('depth')


# Each budget, extrapolated from runs of a tenth of its compute.


def extrapolations(df: 'pd.DataFrame') -> 'pd.DataFrame':
  """One row an isoFLOP run of each budget that can be predicted from the runs
  of at most a tenth of it, of one world.

  predicted, low, high: by the Chinchilla law; predicted_fixed_entropy: with E
  fixed at the entropy; predicted_p_norm: by laws.p_norm (of the largest budget
  alone: it is slow). error...: the same relative to the loss.
  accuracy_predicted: through the first of these losses (nan where accuracy is
  not measured). best_small_loss, best_small_accuracy: of the best of the small
  runs; n_small: how many there are.
  """
  import pandas as pd
  df = df[df.role == 'isoflop']
  out = [_extrapolated(smaller(df, budget), own, budget == df.budget.max())
         for budget, own in df.groupby('budget')
         if _enough(smaller(df, budget))]
  return pd.concat(out, ignore_index=True) if out else pd.DataFrame()


def smaller(df: 'pd.DataFrame', budget: float) -> 'pd.DataFrame':
  """The isoFLOP runs of at most a tenth of a budget."""
  return df[(df.role == 'isoflop') & (df.budget <= 0.1001 * budget)]


def excess_loss(df: 'pd.DataFrame') -> np.ndarray:
  """L - H, positive."""
  return np.maximum(df.loss - df.entropy, MIN_EXCESS).to_numpy(float)


def forecast_of(small: 'pd.DataFrame', runs: 'pd.DataFrame', law: str = '',
                draws: int = 1) -> forecast.Forecast:
  """The losses of runs, predicted from smaller ones. law: '' (Chinchilla),
  'fixed_entropy' (the same with E fixed) or 'p_norm' (no interval)."""
  columns = [tuple(small[k].astype(float)) for k in ('N', 'D', 'loss')]
  columns += [tuple(runs[k].astype(float)) for k in ('N', 'D')]
  if law == 'p_norm':
    return _p_norm_forecast(*columns, draws=draws)
  E = float(runs.entropy.iloc[0]) if law == 'fixed_entropy' else None
  return _forecast(*columns, draws=draws, E=E)


@functools.lru_cache(64)
def _forecast(N, D, L, n, d, draws: int, E: float | None = None):
  return forecast.predict_losses(*map(np.asarray, (N, D, L, n, d)), draws, E=E)


@functools.lru_cache(64)
def _p_norm_forecast(N, D, L, n, d, draws: int):
  f = fits.p_norm(N, D, L, bounds=P_BOUNDS)
  n, d = np.asarray(n), np.asarray(d)
  refits = laws.p_norm(n, d, **{
      k: v[:, None] for k, v in fits.bootstrap(f, draws).params.items()})
  none = np.full(len(n), np.nan)
  return forecast.Forecast(f.predict(n, d), none, none, f, refits)


def prediction_draws() -> dict[str, int]:
  """Bootstrap refits of the forecasts of the largest budget, by law."""
  return {'': max(DRAWS // 2, 1), 'fixed_entropy': max(DRAWS // 2, 1),
          'p_norm': max(DRAWS // 4, 1)}


def _enough(small) -> bool:
  return small.N.nunique() > 2 and small.D.nunique() > 2 and len(small) > 7


def _extrapolated(small, runs, largest: bool):
  """The rows of one budget."""
  draws = prediction_draws()
  f = {'': forecast_of(small, runs, draws=draws[''])}
  f['fixed_entropy'] = forecast_of(
      small, runs, 'fixed_entropy', draws['fixed_entropy'] if largest else 1)
  if largest:
    f['p_norm'] = forecast_of(small, runs, 'p_norm', draws['p_norm'])
  columns = {'predicted_p_norm': math.nan, 'error_p_norm': math.nan}
  for law, each in f.items():
    name = f'_{law}' if law else ''
    columns |= {f'predicted{name}': each.loss,
                f'error{name}': each.loss / runs.loss.to_numpy() - 1}
  curve, best = accuracy_curve(small), small.loc[small.loss.idxmin()]
  accuracy = math.nan if curve is None else curve(np.maximum(
      f[''].loss - runs.entropy.to_numpy(), MIN_EXCESS))
  return runs[['world', 'budget', 'N', 'D', 'loss', 'entropy', 'accuracy'
               ]].assign(**columns, low=f[''].low, high=f[''].high,
                         accuracy_predicted=accuracy,
                         best_small_loss=best.loss,
                         best_small_accuracy=best.accuracy,
                         n_small=len(small))


def accuracy_curve(df: 'pd.DataFrame') -> forecast.AccuracyCurve | None:
  """Accuracy as a function of the excess loss of runs; None where accuracy is
  not measured."""
  if not df.accuracy.notna().all():
    return None
  return forecast.fit_accuracy_curve(excess_loss(df), df.accuracy)
