"""How any scaling law is fitted: checks, starts, status, errors. No JAX.

A law is fitted in the logarithms of its amplitudes and in its exponents, on
centred log N and log D: most laws are sums of power laws, so the logarithm of
each term is linear in these. Starts come from variable projection: on a grid
of exponents the amplitudes are a non-negative linear problem. Float64.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize

from physics_lm.scaling import laws
from physics_lm.scaling.fitting import solve

LAWS = {'chinchilla': laws.chinchilla, 'p_norm': laws.p_norm,
        'size_dependent_exponent': laws.size_dependent_exponent,
        'kaplan': laws.kaplan_nd, 'kaplan_ns': laws.kaplan_ns,
        'mixing': laws.mixing, 'dcpt': laws.dcpt,
        'data_constrained': laws.data_constrained}


@dataclasses.dataclass(frozen=True)
class Fit:
  """A fitted law, in the units of its data."""

  law: str
  params: dict[str, float]
  objective: float  # the sum, without scaling
  objective_name: str
  delta: float
  n: int
  status: str  # 'converged', 'bound', 'degenerate' or 'failed'
  starts: int
  agree: int  # starts that end within 1e-4 of the best
  gradient_norm: float  # of the scaled objective, in the fit's coordinates
  bounds_hit: tuple[str, ...]  # parameters that a bound holds
  errors: dict[str, float]  # rough standard errors, by linearisation
  not_identified: tuple[str, ...]  # error beyond half the value, or an exponent
  # of something that spans less than SPAN
  residuals: np.ndarray  # (n,) predicted - observed, on the objective's scale
  data: tuple[np.ndarray, ...]  # what predict() takes, then L, (n,) each
  theta: np.ndarray  # the solution in the fit's own coordinates
  bounds: dict | None = dataclasses.field(repr=False)
  problem: solve.FitProblem = dataclasses.field(repr=False)
  unpack: Callable = dataclasses.field(repr=False)  # theta -> params
  fixed: dict[str, float]  # parameters that were set, not fitted

  def predict(self, *x: np.ndarray) -> np.ndarray:
    """Loss at the law's arguments, (m,)."""
    return LAWS[self.law](*(np.asarray(v, np.float64) for v in x),
                          **self.params)

  def optimal(self, C: np.ndarray, flops: Callable | None = None) -> tuple:
    """(N*, D*, L*) for C FLOP; of a Chinchilla fit. Raises ValueError for
    another law."""
    if self.law != 'chinchilla':
      raise ValueError(f'optimal() of a {self.law} fit, wanted chinchilla')
    return laws.chinchilla_optimal(self.params, C, flops)

  def reweighted(self, weights: np.ndarray) -> dict[str, float] | None:
    """Parameters of the minimum nearest to this one with the rows' weights
    multiplied by (n,): 0 leaves a row out. None where there is none, or the
    rows left are too few or too alike to fit."""
    left = self.problem.weights * weights > 0
    columns = [c for c in self.data[:-1] if c.ndim == 1]
    if left.sum() < len(self.theta) or any(
        len(np.unique(c[left])) < min(3, len(np.unique(c))) for c in columns):
      return None
    problem = self.problem._replace(weights=self.problem.weights * weights)
    theta, value, gradient = solve.refine(problem, self.theta, problem.scale(),
                                          tolerance=1e-4)
    ok = np.isfinite(value) and gradient < 1e-2
    return self.unpack(theta) if ok else None


def checked(*columns: Sequence[float], least: int) -> list[np.ndarray]:
  """Columns as float64 (n,). Raises ValueError for unequal lengths, values
  that are not positive and finite, or fewer points than parameters."""
  out = [np.asarray(c, np.float64) for c in columns]
  if len({c.shape for c in out}) != 1 or out[0].ndim != 1:
    raise ValueError(f'shapes {[c.shape for c in out]}, wanted equal (n,)')
  for c in out:
    bad = np.flatnonzero(~(np.isfinite(c) & (c > 0)))
    if len(bad):
      raise ValueError(f'value {c[bad[0]]} at row {bad[0]}, wanted all '
                       'positive and finite')
  if len(out[0]) < least:
    raise ValueError(f'{len(out[0])} points, wanted at least {least}')
  return out


def row_weights(weights: Sequence[float] | None, L: np.ndarray) -> np.ndarray:
  """(n,) float64, ones for None. Raises ValueError for negative ones."""
  if weights is None:
    return np.ones_like(L)
  w = np.asarray(weights, np.float64)
  if w.shape != L.shape or not (np.isfinite(w) & (w >= 0)).all() or (
      not w.any()):
    raise ValueError(f'weights of shape {w.shape}, wanted {L.shape}, finite, '
                     'none negative and not all zero')
  return w


def varied(**columns: np.ndarray) -> None:
  """Raises ValueError for a column of fewer than three distinct values."""
  for name, c in columns.items():
    if len(np.unique(c)) < 3:
      raise ValueError(f'{len(np.unique(c))} distinct {name}, wanted 3')


SPAN = 4.0  # an exponent over a narrower range is not identified


def too_narrow(**columns: np.ndarray) -> tuple[str, ...]:
  """Names of exponents whose variable spans too little: models of one width,
  for instance, where the loss varies with shape as much as with size."""
  return tuple(k for k, c in columns.items() if c.max() / c.min() < SPAN)


def centred(c: np.ndarray) -> tuple[np.ndarray, float]:
  """(log c - mean, mean)."""
  x = np.log(c)
  return x - x.mean(), x.mean()


def exponents(low: float, high: float, seed: int, count: int = 12
              ) -> np.ndarray:
  """Two grids of exponents [2, count], slightly moved by the seed."""
  noise = np.random.default_rng(seed).normal(size=(2, count))
  return np.geomspace(low, high, count) * np.exp(0.05 * noise)


def log_amplitudes(columns: np.ndarray, L: np.ndarray, root: np.ndarray
                   ) -> list[float]:
  """log of the non-negative amplitudes of columns (n, k) that fit L best,
  rows weighted by root (n,); amplitudes of zero, which have no logarithm, are
  replaced by small ones."""
  found, _ = optimize.nnls(columns * root[:, None], L * root)
  return list(np.log(np.maximum(found, 1e-8 * np.abs(L).mean())))


def fit_law(law: str, model: Callable, data: tuple, L: np.ndarray,
            seeds: Callable, unpack: Callable, *,
            essential: Sequence[str], amplitudes: int = 0,
            narrow: Sequence[str] = (), fixed: dict | None = None,
            starts: int = 12, objective: str = 'huber_log',
            delta: float = 1e-3, weights: Sequence[float] | None = None,
            overestimate_cost: float = 1.0, bounds: dict | None = None) -> Fit:
  """Fits a model of log L from several starts. Raises ValueError for options
  that do not exist.

  Args:
    law: a key of LAWS.
    model: theta (p,) -> (log L (n,), its jacobian (n, p)).
    data: what the law takes, (n,) each.
    seeds: square roots of the rows' weights, over L for objectives of log L
      (n,) -> starting points theta.
    unpack: theta -> parameters in natural units.
    essential: parameters without which the law means little.
    amplitudes: so many first coordinates are logarithms of terms at the centre.
    narrow: exponents that are known not to be identified.
    fixed: parameters that were set, not fitted.
    starts, objective, delta, weights, overestimate_cost, bounds: as
      fits.chinchilla's.
  """
  if objective not in solve.OBJECTIVES:
    raise ValueError(f'objective {objective!r}, wanted one of '
                     f'{solve.OBJECTIVES}')
  if starts < 1:
    raise ValueError(f'{starts} starts, wanted at least 1')
  w = row_weights(weights, L)
  logs = objective.endswith('_log')
  problem = solve.FitProblem(
      model if logs else solve.exponential(model), np.log(L) if logs else L, w,
      objective, delta, overestimate_cost,
      _limits(bounds, unpack) if bounds else None)
  with np.errstate(over='ignore', invalid='ignore', divide='ignore'):
    best = solve.minimise(
        problem, seeds(np.sqrt(w) / (L if logs else 1.0)), starts)
    params = unpack(best.theta)
    errors = _errors(unpack, best.theta,
                     solve.covariance(problem, best.theta))
    loose = _not_identified(params, errors, narrow, fixed or {})
    hit = _bounds_hit(params, bounds or {})
    lost = np.exp(best.theta[:amplitudes]) / L.mean() < 1e-6
    status = _status(best, hit, [params[k] for k in essential if k in params],
                     bool(lost.any() or set(loose) & set(essential)))
    return Fit(law, params, best.value, objective, delta, len(L), status,
               best.starts, best.agree, best.gradient, hit, errors, loose,
               problem.model(best.theta)[0] - problem.observed, (*data, L),
               best.theta, bounds, problem, unpack, fixed or {})


def _status(best: solve.Minimum, hit, essential, degenerate: bool) -> str:
  """How far a minimum can be trusted."""
  if not np.isfinite(best.value) or best.gradient > 1e-3:
    return 'failed'
  if hit or min(essential, default=1.0) < 1e-3:
    return 'bound'  # an exponent of zero is a second constant
  # A term has gone, or could be anything.
  return 'degenerate' if degenerate else 'converged'


def _not_identified(params, errors, narrow, fixed) -> tuple[str, ...]:
  """Parameters whose error is beyond half their value, and `narrow`."""
  out = []
  for k, v in _flat(params).items():
    # u of a mixing law is a logarithm, and may be zero.
    size = 1 if k.startswith('u[') else abs(v)
    if k not in fixed and (k in narrow or not np.isfinite(v)
                           or errors[k] > 0.5 * size):
      out.append(k)
  return tuple(out)


def _bounds_hit(params, bounds) -> tuple[str, ...]:
  """Parameters that lie at a bound."""
  return tuple(k for k, pair in bounds.items()
               if any(limit and abs(np.log(params[k] / limit)) < 1e-6
                      for limit in pair))


def _limits(bounds: dict, unpack: Callable) -> Callable:
  """theta -> distances in logarithms from each bound, negative outside."""
  for name, pair in bounds.items():
    ends = [b for b in pair if b is not None] if np.ndim(pair) == 1 else [-1]
    if len(pair if np.ndim(pair) else ()) != 2 or not all(
        np.isfinite(b) and b > 0 for b in ends) or ends != sorted(set(ends)):
      raise ValueError(f'bounds of {name} are {pair}, wanted (low, high), low '
                       'below high, each positive or None')

  def distances(theta):
    params = unpack(theta)
    single = [k for k, v in params.items() if np.ndim(v) == 0 and v != 0]
    if bounds.keys() - set(single):
      raise ValueError(f'bounds of {sorted(bounds)}, wanted some of {single}')
    out = []
    for name, (low, high) in bounds.items():
      at = np.log(max(params[name], 1e-300))
      out += [at - np.log(low)] if low else []
      out += [np.log(high) - at] if high else []
    return np.array(out)

  return distances


def _flat(params) -> dict[str, float]:
  """{'c': 1.0, 'u[0]': ...}: arrays by element."""
  out = {}
  for k, v in params.items():
    out |= {k: v} if np.ndim(v) == 0 else {
        f'{k}[{i}]': float(x) for i, x in enumerate(v)}
  return out


def _errors(unpack, theta, cov) -> dict[str, float]:
  """Standard errors of the natural parameters, by finite differences."""

  def values(t):
    return np.array(list(_flat(unpack(t)).values()))

  with np.errstate(all='ignore'):
    slope = np.stack([(values(theta + h) - values(theta - h)) / 2e-6
                      for h in 1e-6 * np.eye(len(theta))], 1)
    var = np.einsum('ip,pq,iq->i', slope, cov, slope)
  return dict(zip(_flat(unpack(theta)), np.sqrt(np.maximum(var, 0)).tolist()))


def fixed_bounds(**known: float) -> dict[str, tuple[float, float]]:
  """Bounds that fix parameters at known values, for laws whose fit has no
  option to do so exactly."""
  return {k: (v * (1 - 1e-6), v * (1 + 1e-6)) for k, v in known.items()}
