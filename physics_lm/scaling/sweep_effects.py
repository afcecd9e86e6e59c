"""Numbers of an isoFLOP sweep with their 95 % intervals, for claims. No JAX.

`effects` gives claims.Effect values by name; sweep_analysis.py has what they
are of. Intervals are bootstrap percentiles: of refits to resampled runs for
everything that rests on a fit of L(N, D), of resampled residuals for vertices
and for shapes. Where another kind is due, the effect's method names it.
"""

import math
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from physics_lm import claims
from physics_lm.claims import Effect
from physics_lm.scaling import flops, forecast, sweep_analysis
from physics_lm.scaling.fitting import diagnose, fits, solve

if TYPE_CHECKING:
  import pandas as pd

MIN_BUDGETS, MIN_RUNS = 4, 20  # of a world, for anything to be judged


@solve.one_thread()
def effects(df: 'pd.DataFrame', theory: Mapping[str, tuple[float, float]]
            ) -> dict[str, Effect]:
  """{'<world> <quantity>': effect} of every world with enough isoFLOP runs.
  theory: exponents (alpha, beta) of the worlds that have one; theirs are then
  relative to it."""
  out = {}
  for world, own in df.groupby('world', sort=False):
    runs = own[own.role == 'isoflop']
    if runs.budget.nunique() >= MIN_BUDGETS and len(runs) >= MIN_RUNS:
      each = (extrapolation_effects(own) | entropy_effects(own)
              | exponent_effects(own, theory.get(world))
              | power_law_effects(own) | design_effects(own))
      out |= {f'{world} {name}': e for name, e in each.items()}
  return out


@solve.one_thread()
def budget_summary(df: 'pd.DataFrame') -> 'pd.DataFrame':
  """One row a world and budget: its best run (means over seeds), as found and
  as predicted from runs of at most a tenth of the compute."""
  import pandas as pd
  out = []
  for world, own in df.groupby('world', sort=False):
    predicted = sweep_analysis.extrapolations(own)
    for budget, p in sweep_analysis.points(own).groupby('budget'):
      best = p.loc[p.loss.idxmin()]
      row = {'world': world, 'budget': f'{budget:.0e}', 'sizes': len(p),
             'runs': int(((own.role == 'isoflop')
                          & (own.budget == budget)).sum()),
             'best_N': int(best.N), 'tokens_per_param': round(best.D / best.N),
             'loss': round(best.loss, 4),
             'excess_loss': round(best.loss - best.entropy, 4),
             'accuracy': round(100 * best.accuracy, 1)}
      if len(predicted):
        same = predicted[(predicted.budget == budget)
                         & (predicted.N == best.N)]
        row |= {'predicted_loss': round(same.predicted.mean(), 4),
                'error_%': round(100 * same.error.mean(), 2)}
      out.append(row)
  return pd.DataFrame(out)


def percentiles(draws: np.ndarray) -> tuple[float, float]:
  """The central 95 % of draws."""
  low, high = np.quantile(draws, (0.025, 0.975))
  return float(low), float(high)


def of_fit(fitted: tuple[fits.Fit, fits.Bootstrap], quantity: Callable
           ) -> Effect:
  """A function of a fit's parameters, with its bootstrap interval."""
  f, draws = fitted
  return Effect(float(quantity(f.params)), *draws.interval(quantity), f.n,
                'bootstrap')


# Extrapolation from runs of a tenth of the compute.


def extrapolation_effects(df: 'pd.DataFrame') -> dict[str, Effect]:
  """Errors of the predicted losses of the largest budget, percent: the worst
  by the Chinchilla law and by the p-norm, signed that of the best run with E
  fixed at the entropy; the share of all runs inside their 95 % intervals; the
  mean error of the accuracy that is predicted through the loss."""
  every = sweep_analysis.extrapolations(df)
  if len(every) < 10:
    return {}
  budget = every.budget.max()
  runs = df[(df.role == 'isoflop') & (df.budget == budget)]
  if len(runs) < 3:
    return {}
  small = sweep_analysis.smaller(df, budget)
  free, fixed, bent = (
      sweep_analysis.forecast_of(small, runs, law, draws)
      for law, draws in sweep_analysis.prediction_draws().items())
  loss, best = runs.loss.to_numpy(), int(runs.loss.argmin())
  inside = every.assign(inside=100.0 * (
      (every.low <= every.loss) & (every.loss <= every.high)))
  out = {
      'worst error': _worst(free, loss),
      'coverage': _mean_over_points(inside),
      'error at best run, fixed E': Effect(
          float(100 * (fixed.loss[best] / loss[best] - 1)),
          *percentiles(100 * (fixed.draws[:, best] / loss[best] - 1)),
          fixed.fit.n, 'bootstrap'),
      'worst error, p-norm': _worst(bent, loss)}
  curve = sweep_analysis.accuracy_curve(small)
  if curve is not None:
    excess = np.maximum(np.vstack([free.loss, free.draws])
                        - runs.entropy.to_numpy(), sweep_analysis.MIN_EXCESS)
    error = np.abs(curve(excess) - runs.accuracy.to_numpy()).mean(1)
    out['accuracy error'] = Effect(float(error[0]), *percentiles(error[1:]),
                                   len(runs), 'bootstrap')
  return out


def _worst(f: forecast.Forecast, loss: np.ndarray) -> Effect:
  """The largest relative error, percent."""
  worst = 100 * np.abs(np.vstack([f.loss, f.draws]) / loss - 1).max(1)
  return Effect(float(worst[0]), *percentiles(worst[1:]), len(loss),
                'bootstrap')


def _mean_over_points(runs) -> Effect:
  """The mean of `inside`; (budget, N) are resampled, with all their seeds."""
  cells = runs.groupby(['budget', 'N']).inside.agg(['sum', 'size']).to_numpy()
  rng = np.random.default_rng(0)
  picked = cells[rng.integers(0, len(cells), (2000, len(cells)))].sum(1)
  return Effect(float(runs.inside.mean()),
                *percentiles(picked[:, 0] / picked[:, 1]), len(runs),
                'bootstrap')


# The fitted E against the entropy.


def entropy_effects(df: 'pd.DataFrame') -> dict[str, Effect]:
  """E over the entropy by three laws, and by the Chinchilla law with every
  learning rate tuned. An interval is widened by the entropy's own error."""
  by_law = {'E': sweep_analysis.chinchilla_fit(df),
            'E, p-norm': sweep_analysis.p_norm_fit(df),
            'E, size-dependent exponent':
                sweep_analysis.size_dependent_exponent_fit(df)}
  if df[df.role == 'tune'].budget.nunique() >= MIN_BUDGETS:
    by_law['E, tuned rates'] = sweep_analysis.chinchilla_fit(
        sweep_analysis.at_tuned_rates(df))
  entropy = float(df.entropy.iloc[0])
  error = 1.96 * float(df.entropy_error.iloc[0])
  return {name: relative(of_fit(fitted, operator.itemgetter('E')), entropy,
                         error) for name, fitted in by_law.items()}


def relative(e: Effect, known: float, error: float = 0.0) -> Effect:
  """An effect above 0 over a known value; its interval is widened by an error
  first."""
  return e._replace(value=e.value / known, high=(e.high + error) / known,
                    low=max(e.low - error, 0.0) / known)


# Exponents.


def allocation(params: Mapping) -> float | np.ndarray:
  """a of N* ~ C^a."""
  return diagnose.frontier_exponent('chinchilla', params)


def exponent_effects(df: 'pd.DataFrame',
                     theory: tuple[float, float] | None = None
                     ) -> dict[str, Effect]:
  """alpha, beta and a with E free; alpha and beta with E fixed at the entropy;
  all relative to theory where there is one. And by how much a differs between
  conventions of counting FLOPs."""
  free = sweep_analysis.chinchilla_fit(df)
  fixed = sweep_analysis.fixed_entropy_fit(df)
  known = dict(zip(('alpha', 'beta'), theory or (1.0, 1.0)))
  out = {'a': relative(of_fit(free, allocation),
                       allocation(known) if theory else 1.0)}
  for k, value in known.items():
    for name, fitted in ((k, free), (f'{k}, fixed E', fixed)):
      out[name] = relative(of_fit(fitted, operator.itemgetter(k)), value)
  f, draws = free
  params = {k: np.append(f.params[k], v) for k, v in draws.params.items()}
  by_convention = [sweep_analysis.allocation_exponents(df, params, c)
                   for c in flops.CONVENTIONS]
  spread = np.ptp(by_convention, axis=0)
  out['range of a over conventions'] = Effect(
      float(spread[0]), *percentiles(spread[1:]), f.n, 'bootstrap')
  return out


def power_law_effects(df: 'pd.DataFrame') -> dict[str, Effect]:
  """R2 of the excess loss against C, N and D in logarithms, with Fisher's
  interval over the points."""
  out = {}
  for name, (x, _, _, r2) in sweep_analysis.power_laws(df).items():
    z, half = math.atanh(min(r2**0.5, 1 - 1e-12)), 1.96 / max(
        len(x) - 3, 1)**0.5
    low, high = math.tanh(max(z - half, 0.0))**2, math.tanh(z + half)**2
    out[f'R2 in {name}'] = Effect(r2, low, high, len(x), 'Fisher z')
  return out


# The design of the sweep: sizes, learning rates, schedules, shapes.


def design_effects(df: 'pd.DataFrame') -> dict[str, Effect]:
  """How many isoFLOP curves have an interior minimum; what the learning rates
  cost, percent of the loss; by how much a cooldown differs from a matched
  schedule at each horizon, percent; by how much the loss varies with shape,
  percent."""
  out = {'interior minima': interior_minima(df)}
  tuned = sweep_analysis.tuned_rates(df)
  if len(tuned):
    cost = dict(enumerate(100 * tuned.gain / tuned.loss))
    out['learning rate cost'] = claims.mean_effect(claims.sample_of(cost))
  by_horizon = sweep_analysis.cooldowns(df).groupby('budget')
  for k, (_, own) in enumerate(by_horizon):
    if len(own) >= claims.MIN_SEEDS:
      difference = dict(zip(own.seed, 100 * own.difference))
      out[f'cooldown difference, horizon {k + 1}'] = claims.mean_effect(
          claims.sample_of(difference))._replace(method='paired t')
  shape = shape_range(df)
  return out if shape is None else out | {'range over shapes': shape}


@solve.one_thread()
def interior_minima(df: 'pd.DataFrame') -> Effect:
  """The number of isoFLOP curves with a minimum inside the sizes. Interval: the
  residuals of each parabola, resampled."""
  found = sweep_analysis.interior(sweep_analysis.isoflop_curves(df))
  rng, draws = np.random.default_rng(0), np.zeros(2000)
  for _, own in sweep_analysis.points(df).groupby('budget'):
    if len(own) >= 5:
      draws += np.all([_vertex_inside(np.log10(own[k].to_numpy(float)),
                                      own.loss.to_numpy(float), rng, len(draws))
                       for k in ('N', 'D')], axis=0)
  return Effect(float(len(found)), *percentiles(draws),
                df[df.role == 'isoflop'].budget.nunique(), 'bootstrap')


def _vertex_inside(x, loss, rng, draws: int) -> np.ndarray:
  """Whether the vertex of a parabola lies inside x, for resampled residuals:
  (draws,)."""
  design = np.vander(x - x.mean(), 3)
  fitted = design @ np.linalg.lstsq(design, loss)[0]
  residuals = (loss - fitted) * (len(x) / (len(x) - 3))**0.5
  resampled = fitted + rng.choice(residuals, (draws, len(x)))
  curve, slope, _ = np.linalg.pinv(design) @ resampled.T
  vertex = -slope / np.where(curve > 0, 2 * curve, np.nan) + x.mean()
  return (vertex > x.min()) & (vertex < x.max())


def shape_range(df: 'pd.DataFrame') -> Effect | None:
  """By how much the loss varies over 2 to 6 layers at one N, percent; None
  without three shapes. Interval: differences between the seeds of the same
  budget's isoFLOP runs, resampled onto each shape."""
  own = sweep_analysis.shapes(df)
  if not len(own):
    return None
  seeds = df[(df.role == 'isoflop') & (df.budget == own.budget.iloc[0])]
  own = own[own.depth.between(2, 6)]
  repeats = seeds.groupby('N').loss.transform('size')
  if len(own) < 3 or repeats.min() < 2:
    return None
  mean = seeds.groupby('N').loss.transform('mean')
  noise = ((seeds.loss / mean - 1) * (repeats / (repeats - 1))**0.5).to_numpy()
  loss = own.loss.to_numpy(float)
  rng = np.random.default_rng(0)
  drawn = loss * (1 + rng.choice(noise, (2000, len(loss))))
  return Effect(float(100 * np.ptp(loss) / loss.min()),
                *percentiles(100 * np.ptp(drawn, axis=1) / drawn.min(1)),
                len(loss), 'bootstrap')
