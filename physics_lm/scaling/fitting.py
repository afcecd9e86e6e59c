"""How any scaling law is fitted: checks, starts, status, errors, bootstrap.

A law is fitted in the logarithms of its amplitudes and in its exponents, on
centred log N and log D: most laws are sums of power laws, so the logarithm of
each term is linear in these. Starts come from variable projection: on a grid
of exponents the amplitudes are a non-negative linear problem. Float64.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import optimize

from physics_lm.scaling import laws, solve

LAWS = {'chinchilla': laws.chinchilla, 'p_norm': laws.p_norm,
        'crossed': laws.crossed,
        'kaplan': laws.kaplan_nd,
        'kaplan_ns': laws.kaplan_ns, 'mixing': laws.mixing,
        'dcpt': laws.dcpt, 'data_constrained': laws.data_constrained}


@dataclasses.dataclass(frozen=True)
class Fit:
  """A fitted law, in the units of the data it was given."""

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
  bounds_hit: tuple[str, ...]  # parameters held by a bound
  errors: dict[str, float]  # rough standard errors, by linearisation
  loose: tuple[str, ...]  # not identified: error beyond half the value, or
  # an exponent of something that spans less than SPAN
  residuals: np.ndarray  # (n,) fit - seen, on the objective's scale
  data: tuple[np.ndarray, ...]  # what predict() takes, then L, (n,) each
  theta: np.ndarray  # the solution in the fit's own coordinates
  bounds: dict | None = dataclasses.field(repr=False)
  problem: solve.Problem = dataclasses.field(repr=False)
  unpack: Callable = dataclasses.field(repr=False)  # theta -> params

  def predict(self, *x) -> np.ndarray:
    """Loss at the law's arguments, (m,)."""
    return LAWS[self.law](*(np.asarray(v, np.float64) for v in x),
                          **self.params)

  def optimal(self, C, flops=None):
    """(N*, D*, L*) for C FLOP; a Chinchilla fit only."""
    if self.law != 'chinchilla':
      raise ValueError(f'optimal() of a {self.law} fit, wanted chinchilla')
    return laws.chinchilla_optimal(self.params, C, flops)

  def reweighted(self, weights) -> dict[str, float] | None:
    """Parameters of the minimum nearest to this one with the rows' weights
    multiplied by (n,): 0 leaves a row out. None where there is none, or the
    rows left are too few or too alike to fit."""
    left = self.problem.weights * weights > 0
    columns = [c for c in self.data[:-1] if c.ndim == 1]
    if left.sum() < len(self.theta) or any(
        len(np.unique(c[left])) < min(3, len(np.unique(c))) for c in columns):
      return None
    problem = self.problem._replace(weights=self.problem.weights * weights)
    theta, value, gradient = solve.refine(problem, self.theta, problem.scale())
    ok = np.isfinite(value) and gradient < 1e-2
    return self.unpack(theta) if ok else None


def checked(*columns, least: int) -> list[np.ndarray]:
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


def row_weights(weights, L) -> np.ndarray:
  """(n,) float64, ones for None. Raises ValueError for negative ones."""
  if weights is None:
    return np.ones_like(L)
  w = np.asarray(weights, np.float64)
  if w.shape != L.shape or not (np.isfinite(w) & (w >= 0)).all() or (
      not w.any()):
    raise ValueError(f'weights of shape {w.shape}, wanted {L.shape}, finite, '
                     'none negative and not all zero')
  return w


def varied(**columns):
  for name, c in columns.items():
    if len(np.unique(c)) < 3:
      raise ValueError(f'{len(np.unique(c))} distinct {name}, wanted 3')


SPAN = 4.0  # an exponent over a narrower range is not identified


def too_narrow(**columns) -> tuple[str, ...]:
  """Names of exponents whose variable spans too little: models of one width,
  say, where the loss varies with shape as much as with size."""
  return tuple(k for k, c in columns.items() if c.max() / c.min() < SPAN)


def centred(c):
  """(log c - mean, mean)."""
  x = np.log(c)
  return x - x.mean(), x.mean()


def exponents(low: float, high: float, seed: int, count: int = 12):
  """(two grids of exponents, slightly moved by the seed)."""
  noise = np.random.default_rng(seed).normal(size=(2, count))
  return np.geomspace(low, high, count) * np.exp(0.05 * noise)


def amplitudes_of(columns, L, root) -> list[float]:
  """log of the non-negative amplitudes of columns (n, k) that fit L best;
  those at zero, which have no logarithm, are small."""
  found, _ = optimize.nnls(columns * root[:, None], L * root)
  return list(np.log(np.maximum(found, 1e-8 * L.mean())))


def solved(law: str, model, data, L, seeds, unpack, *, watch, amplitudes=0,
           narrow=(), starts: int = 12, objective: str = 'huber_log',
           delta: float = 1e-3, weights=None, over: float = 1.0, bounds=None
           ) -> Fit:
  """Fits `model` (of log L) from seeds(root of the rows' weights, L). `watch`
  names the parameters without which the law means little; the first
  `amplitudes` coordinates are logarithms of terms at the centre; `narrow`
  names exponents known not to be identified."""
  if objective not in solve.OBJECTIVES:
    raise ValueError(f'objective {objective!r}, wanted one of '
                     f'{solve.OBJECTIVES}')
  if starts < 1:
    raise ValueError(f'{starts} starts, wanted at least 1')
  w = row_weights(weights, L)
  logs = objective.endswith('_log')
  model = model if logs else solve.exponential(model)
  problem = solve.Problem(model, np.log(L) if logs else L, w, objective, delta,
                          over)
  if bounds:
    problem = problem._replace(limits=_limits(bounds, unpack))
  with np.errstate(over='ignore', invalid='ignore', divide='ignore'):
    return _finish(law, problem, data, L, seeds, unpack, watch, amplitudes,
                   narrow, starts, bounds)


def _finish(law, problem, data, L, seeds, unpack, watch, amplitudes, narrow,
            starts, bounds) -> Fit:
  """Minimises, and says what the minimum is worth."""
  w, logs = problem.weights, problem.objective.endswith('_log')
  best = solve.minimise(
      problem, seeds(np.sqrt(w) / (L if logs else 1.0)), starts)
  params = unpack(best.theta)
  errors = _errors(unpack, best.theta,
                   solve.covariance(problem, best.theta))
  loose = tuple(k for k, v in _flat(params).items()
                # u of a mixing law is a logarithm, and may be zero
                if k in narrow or not np.isfinite(v)
                or errors[k] > 0.5 * (1 if k.startswith('u[') else abs(v)))
  hit = tuple(k for k, pair in (bounds or {}).items()
              if any(limit and abs(np.log(params[k] / limit)) < 1e-6
                     for limit in pair))
  small = min((params[k] for k in watch if k in params), default=1.0)
  shares = np.exp(best.theta[:amplitudes]) / L.mean()
  if not np.isfinite(best.value) or best.gradient > 1e-3:
    status = 'failed'
  elif hit or small < 1e-3:  # an exponent of zero is a second constant
    status = 'bound'
  elif (shares < 1e-6).any() or set(loose) & set(watch):
    status = 'degenerate'  # a term has gone, or could be anything
  else:
    status = 'converged'
  return Fit(law, params, best.value, problem.objective, problem.delta, len(L),
             status, best.starts, best.agree, best.gradient, hit, errors, loose,
             problem.model(best.theta)[0] - problem.seen, (*data, L),
             best.theta, bounds, problem, unpack)


def _limits(bounds, unpack):
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
  step, columns = 1e-6, []
  values = lambda t: np.array(list(_flat(unpack(t)).values()))
  with np.errstate(all='ignore'):
    for i in range(len(theta)):
      move = np.zeros(len(theta))
      move[i] = step
      columns.append((values(theta + move) - values(theta - move)) / (2 * step))
    slope = np.stack(columns, 1)
    var = np.einsum('ip,pq,iq->i', slope, cov, slope)
  return dict(zip(_flat(unpack(theta)), np.sqrt(np.maximum(var, 0)).tolist()))


def held(**known) -> dict:
  """Bounds that hold parameters where they are known to be."""
  return {k: (v * (1 - 1e-6), v * (1 + 1e-6)) for k, v in known.items()}


@dataclasses.dataclass(frozen=True)
class Bootstrap:
  """Parameters of refits to resampled data."""

  params: dict[str, np.ndarray]  # (K,) each
  failures: int

  def interval(self, fn: Callable[[dict], np.ndarray], level: float = 0.95
               ) -> tuple[float, float]:
    """The central percentile interval of any quantity derived from the
    parameters: fn takes the dict of draws (K,) and returns (K,)."""
    low, high = np.quantile(fn(self.params), [(1 - level) / 2,
                                              (1 + level) / 2])
    return float(low), float(high)


def bootstrap(fit: Fit, draws: int = 1000, groups=None, seed: int = 0,
              progress: Callable[[int], None] = lambda done: None
              ) -> Bootstrap:
  """Refits from the optimum to resampled rows, or whole groups when labels
  (n,) are given: checkpoints of one run are not independent."""
  rng = np.random.default_rng(seed)
  labels = np.arange(fit.n) if groups is None else np.unique(
      np.asarray(groups), return_inverse=True)[1]
  if len(labels) != fit.n:
    raise ValueError(f'{len(labels)} group labels for {fit.n} points')
  kinds, kept = labels.max() + 1, []
  if kinds < 3:
    raise ValueError(f'{kinds} groups, wanted at least 3 to resample')
  for k in range(draws):
    counts = np.bincount(rng.integers(0, kinds, kinds), minlength=kinds)
    params = fit.reweighted(counts[labels])
    if params is not None:
      kept.append(params)
    progress(k + 1)
  return Bootstrap({k: np.array([p[k] for p in kept]) for k in kept[0]}
                   if kept else {}, draws - len(kept))
