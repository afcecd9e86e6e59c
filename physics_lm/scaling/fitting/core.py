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
        'data_constrained': laws.data_constrained, 'power': laws.power_product,
        'downstream': laws.downstream_error}
SPAN = 4.0  # an exponent over a narrower range is not identified
CORRELATION = 0.999  # of log N and log D, beyond which their terms are one
CONDITION = 1e10  # of J'WJ, beyond which a direction is flat
LEAST = 1e-3  # an exponent below it belongs to a second constant


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
  not_identified: tuple[str, ...]  # error beyond half the value, free along a
  # flat direction, or an exponent of what spans less than SPAN
  residuals: np.ndarray  # (n,) predicted - observed, on the objective's scale
  data: tuple[np.ndarray, ...]  # what predict() takes, then L, (n,) each
  theta: np.ndarray  # the solution in the fit's own coordinates
  bounds: dict | None = dataclasses.field(repr=False)
  problem: solve.FitProblem = dataclasses.field(repr=False)
  unpack: Callable = dataclasses.field(repr=False)  # theta -> params
  fixed: dict[str, float]  # parameters that were set, not fitted
  essential: tuple[str, ...]  # parameters without which the law means little
  reason: str  # a sentence on the status

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


def too_narrow(**columns: np.ndarray) -> tuple[str, ...]:
  """Names of exponents whose variable spans too little: models of one width,
  for instance, where the loss varies with shape as much as with size."""
  return tuple(k for k, c in columns.items() if c.max() / c.min() < SPAN)


def confounded(names: Sequence[str], N: np.ndarray, D: np.ndarray
               ) -> tuple[str, ...]:
  """`names` where log N and log D rise together: a term in N and a term in D
  are then one and the same, and may also change places."""
  x, y = np.log(N), np.log(D)
  same = x.std() > 0 < y.std() and np.corrcoef(x, y)[0, 1] > CORRELATION
  return tuple(names) if same else ()


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


@solve.one_thread()
def fit_law(law: str, model: Callable, data: tuple, L: np.ndarray,
            seeds: Callable, unpack: Callable, *,
            essential: Sequence[str], amplitudes: Sequence[str] = (),
            narrow: Sequence[str] = (), exponents: Sequence[str] = (),
            fixed: dict | None = None, raw: bool = False, starts: int = 12,
            objective: str = 'huber_log', delta: float = 1e-3,
            weights: Sequence[float] | None = None,
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
    amplitudes: of the first coordinates, logarithms of terms at the centre.
    narrow: parameters that are known not to be identified.
    exponents: parameters that mean nothing below LEAST, beside `essential`.
    raw: the model is of the value, not of its logarithm, and so must be the
      objective.
    fixed: parameters that were set, not fitted.
    starts, objective, delta, weights, overestimate_cost, bounds: as
      fits.chinchilla's.
  """
  logs, w = objective.endswith('_log'), row_weights(weights, L)
  if objective not in solve.OBJECTIVES or (raw and logs):
    known = [o for o in solve.OBJECTIVES if not (raw and o.endswith('_log'))]
    raise ValueError(f'objective {objective!r}, wanted one of {known}')
  if starts < 1:
    raise ValueError(f'{starts} starts, wanted at least 1')
  problem = solve.FitProblem(
      model if logs or raw else solve.exponential(model),
      np.log(L) if logs else L, w, objective, delta, overestimate_cost,
      _limits(bounds, unpack) if bounds else None)
  with np.errstate(over='ignore', invalid='ignore', divide='ignore'):
    best = solve.minimise(
        problem, seeds(np.sqrt(w) / (L if logs else 1.0)), starts)
    params, slope = unpack(best.theta), _slope(unpack, best.theta)
    errors = _errors(params, slope, solve.covariance(problem, best.theta))
    hit = _bounds_hit(params, bounds or {})
    lost = [k for k, t in zip(amplitudes, best.theta)
            if np.exp(t) / L.mean() < 1e-6]
    small = {k: params[k] for k in (*essential, *exponents)
             if params.get(k, 1.0) < LEAST}
    loose = _not_identified(
        params, errors, {*narrow, *lost, *small, *_flat_direction(
            problem, best, params, slope)}, fixed or {})
    status, reason = _status(
        best, hit, small, lost, essential, loose)
    return Fit(law, params, best.value, objective, delta, len(L), status,
               best.starts, best.agree, best.gradient, hit, errors, loose,
               problem.model(best.theta)[0] - problem.observed, (*data, L),
               best.theta, bounds, problem, unpack, fixed or {},
               tuple(essential), reason)


def _status(best: solve.Minimum, hit: Sequence[str], small: dict[str, float],
            lost: Sequence[str], essential: Sequence[str],
            loose: Sequence[str]) -> tuple[str, str]:
  """How far a minimum can be trusted, and why."""
  open_ = [k for k in essential if k in loose]
  if not np.isfinite(best.value) or best.gradient > 1e-3:
    return 'failed', (
        'The minimum was not reached (gradient norm '
        f'{best.gradient:.1e}): these numbers mean nothing.')
  if hit:
    return 'bound', (f'A bound holds {", ".join(hit)}: the data would have it '
                     'beyond.')
  if small:
    found = ', '.join(f'{k} = {v:.3g}' for k, v in small.items())
    return 'bound', (
        f'{found} is below {LEAST:g}: its term does not fall, so it is a '
        'second constant, or rises. Is the fitted column a loss that falls?')
  if lost:
    return 'degenerate', (f'The term of {", ".join(lost)} is zero: the data '
                          'are fitted as well without it.')
  if open_:
    return 'degenerate', undetermined(open_)
  determined = f'; the rows determine {", ".join(essential)}'
  return 'converged', (f'{best.agree} of {best.starts} starts reach this '
                       f'minimum{determined if essential else ""}.')


def undetermined(names: Sequence[str]) -> str:
  """The sentence on a fit whose essential parameters are not identified."""
  return (f'These rows do not determine {", ".join(names)}: other values fit '
          'as well.')


def _not_identified(params, errors, known, fixed) -> tuple[str, ...]:
  """Parameters whose error is beyond half their value, those that are zero,
  and those `known` not to be identified."""
  out = []
  for k, v in flat(params).items():
    if k not in fixed and (
        k in known or not np.isfinite(v) or size(k, v) == 0
        or not errors[k] <= 0.5 * size(k, v)):
      out.append(k)
  return tuple(out)


def size(name: str, value: float) -> float:
  """What an error of a parameter is compared with: its value; 1 for u of a
  mixing law, a logarithm, and p of a power law, of any sign."""
  return 1.0 if name.startswith(('u[', 'p[')) else abs(value)


def _flat_direction(problem: solve.FitProblem, best: solve.Minimum,
                    params: dict, slope: np.ndarray) -> set[str]:
  """Parameters that change along directions in which the prediction does not:
  their error is unknown, however small the residuals."""
  jacobian = problem.model(best.theta)[1]
  normal = (jacobian * problem.weights[:, None]).T @ jacobian
  names = list(flat(params))
  if not np.isfinite(normal).all():
    return set(names)
  scale = np.sqrt(np.diag(normal))
  scale = np.where(scale == 0, 1.0, scale)
  value, axes = np.linalg.eigh(normal / np.outer(scale, scale))
  free = axes[:, value < value[-1] / CONDITION] / scale[:, None]
  if not free.shape[1]:
    return set()
  free /= np.linalg.norm(free, axis=0)
  moved = np.abs(slope @ free).max(1)
  return {k for (k, v), m in zip(flat(params).items(), moved)
          if not m <= 0.05 * size(k, v)}


def _bounds_hit(params, bounds) -> tuple[str, ...]:
  """Parameters that lie at a bound, or were left beyond it."""
  return tuple(k for k, (low, high) in bounds.items()
               if (low and params[k] <= low * (1 + 1e-6))
               or (high and params[k] >= high * (1 - 1e-6)))


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
      value = params[name]
      # Below zero a logarithm has no slope; the value itself has one.
      at = np.log(value) if value > 1e-300 else np.log(1e-300) + value
      out += [at - np.log(low)] if low else []
      out += [np.log(high) - at] if high else []
    return np.array(out)

  return distances


def flat(params: dict) -> dict[str, float]:
  """{'c': 1.0, 'u[0]': ...}: arrays by element."""
  out = {}
  for k, v in params.items():
    out |= {k: v} if np.ndim(v) == 0 else {
        f'{k}[{i}]': float(x) for i, x in enumerate(v)}
  return out


def _slope(unpack: Callable, theta: np.ndarray) -> np.ndarray:
  """Derivatives of the natural parameters [flat params, theta], by finite
  differences."""

  def values(t):
    return np.array(list(flat(unpack(t)).values()))

  with np.errstate(all='ignore'):
    return np.stack([(values(theta + h) - values(theta - h)) / 2e-6
                     for h in 1e-6 * np.eye(len(theta))], 1)


def _errors(params, slope, cov) -> dict[str, float]:
  """Standard errors of the natural parameters."""
  with np.errstate(all='ignore'):
    var = np.einsum('ip,pq,iq->i', slope, cov, slope)
  return dict(zip(flat(params), np.sqrt(np.maximum(var, 0)).tolist()))


def fixed_bounds(**known: float) -> dict[str, tuple[float, float]]:
  """Bounds that fix parameters at known values, for laws whose fit has no
  option to do so exactly."""
  return {k: (v * (1 - 1e-6), v * (1 + 1e-6)) for k, v in known.items()}
