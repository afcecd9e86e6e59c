"""Fitting scaling laws: robust objectives, seeded starts, honest status.

A law is fitted in the logarithms of its positive parameters, on centred
log N and log D. Starts come from variable projection: on a grid of exponents
the amplitudes are a non-negative linear problem. The best are refined with
L-BFGS and polished with BFGS, on an objective scaled to order one, because
the default stopping rules compare with max(|f|, 1). Float64, NumPy, SciPy.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize
from scipy.special import logsumexp

from physics_lm.scaling import laws

OBJECTIVES = ('huber_log', 'l1_log', 'squared', 'squared_log', 'huber',
              'asymmetric_log')


def penalty(r, objective: str, delta: float, over: float = 1.0):
  """(value, derivative) of the objective at residuals r = fit - seen, each
  (n,). Huber: r^2 / 2 up to delta, then delta (|r| - delta / 2).
  'asymmetric_log' is Huber with over-estimates (r > 0) `over` times dearer."""
  if objective.startswith('squared'):
    return r**2, 2 * r
  if objective == 'l1_log':
    delta = L1_DELTA  # smooth at zero, |r| to nine digits elsewhere
  size = np.abs(r)
  value = np.where(size <= delta, r**2 / 2, delta * (size - delta / 2))
  slope = np.clip(r, -delta, delta)
  if objective == 'l1_log':
    value, slope = value / delta, slope / delta
  if objective == 'asymmetric_log':
    dear = np.where(r > 0, over, 1.0)
    value, slope = value * dear, slope * dear
  return value, slope


L1_DELTA = 1e-6


class Problem(NamedTuple):
  """A law on data: what one minimisation needs."""

  model: Callable  # theta -> (prediction (n,), jacobian (n, p)), log or raw
  seen: np.ndarray  # (n,) on the model's scale
  weights: np.ndarray  # (n,)
  objective: str
  delta: float
  over: float

  def value(self, theta) -> tuple[float, np.ndarray]:
    """(sum of weighted penalties, gradient (p,))."""
    guess, jacobian = self.model(theta)
    value, slope = penalty(guess - self.seen, self.objective, self.delta,
                           self.over)
    return (self.weights * value).sum(), (self.weights * slope) @ jacobian

  def scale(self) -> float:
    """What makes the objective of order one."""
    unit = self.delta if 'huber' in self.objective or (
        'asymmetric' in self.objective) else 1.0
    if self.objective.startswith('squared'):
      unit = 1e-3
    return unit * self.weights.sum()


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
  gradient_norm: float  # of the scaled objective, in log parameters
  residuals: np.ndarray  # (n,) fit - seen, on the objective's scale
  data: tuple[np.ndarray, ...]  # what predict() takes, then L, (n,) each
  theta: np.ndarray  # the solution in the fit's own coordinates
  problem: Problem = dataclasses.field(repr=False)
  unpack: Callable = dataclasses.field(repr=False)

  def predict(self, *x) -> np.ndarray:
    """Loss at the law's arguments, (m,)."""
    return LAWS[self.law](*(np.asarray(v, np.float64) for v in x),
                          **self.params)

  def optimal(self, C, flops=None):
    """(N*, D*, L*) for C FLOP; a Chinchilla fit only."""
    if self.law != 'chinchilla':
      raise ValueError(f'optimal() of a {self.law} fit, wanted chinchilla')
    return laws.chinchilla_optimal(self.params, C, flops)


LAWS = {'chinchilla': laws.chinchilla, 'kaplan': laws.kaplan_nd,
        'mixing': laws.mixing}


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


def chinchilla(N, D, L, objective: str = 'huber_log', delta: float = 1e-3,
               weights=None, tie: bool = False, over: float = 1.0,
               starts: int = 12, seed: int = 0) -> Fit:
  """Fits L = E + A N^-alpha + B D^-beta to (n,) points, float64, in the
  units given. `tie` sets beta = alpha. Raises ValueError for bad input.

  Sources: Hoffmann et al. 2022, approach 3; the starts by variable
  projection replace its 4,500 blind ones.
  """
  if objective not in OBJECTIVES:
    raise ValueError(f'objective {objective!r}, wanted one of {OBJECTIVES}')
  N, D, L = checked(N, D, L, least=4 if tie else 5)
  for name, c in (('N', N), ('D', D)):
    if len(np.unique(c)) < 3:
      raise ValueError(f'{len(np.unique(c))} distinct {name}, wanted 3')
  x, y = np.log(N), np.log(D)
  x0, y0 = x.mean(), y.mean()
  x, y = x - x0, y - y0
  w = np.ones_like(L) if weights is None else checked(weights, least=1)[0]
  logs = objective.endswith('_log')

  def model(theta):
    a, b, e, alpha, beta = theta if not tie else (*theta, theta[-1])
    terms = np.stack([a - alpha * x, b - beta * y, np.full_like(x, e)])
    log_loss = logsumexp(terms, axis=0)
    p, q, s = np.exp(terms - log_loss)
    columns = [p, q, s, -p * x, -q * y]
    if tie:
      columns[3:] = [columns[3] + columns[4]]
    jacobian = np.stack(columns, 1)
    if logs:
      return log_loss, jacobian
    loss = np.exp(log_loss)
    return loss, loss[:, None] * jacobian

  def unpack(theta):
    a, b, e, alpha, beta = theta if not tie else (*theta, theta[-1])
    return {'E': np.exp(e), 'A': np.exp(a + alpha * x0),
            'B': np.exp(b + beta * y0), 'alpha': alpha, 'beta': beta}

  problem = Problem(model, np.log(L) if logs else L, w, objective, delta, over)
  rng = np.random.default_rng(seed)
  grid = np.geomspace(0.05, 1.5, 12) * np.exp(0.05 * rng.normal(size=(2, 12)))
  pairs = [(g, g) for g in np.geomspace(0.05, 1.5, 144)] if tie else [
      (g, h) for g in grid[0] for h in grid[1]]
  root = np.sqrt(w) / (L if logs else 1.0)
  seeds = []
  for alpha, beta in pairs:
    columns = np.stack([np.exp(-alpha * x), np.exp(-beta * y),
                        np.ones_like(x)], 1)
    (A, B, E), _ = optimize.nnls(columns * root[:, None], L * root)
    least = 1e-8 * L.mean()  # an amplitude at zero has no logarithm
    seeds.append([*np.log(np.maximum((A, B, E), least)), alpha, beta][
        :4 if tie else 5])
  theta, value, grad, agree, tried = minimise(problem, seeds, starts)
  params = {k: float(v) for k, v in unpack(theta).items()}
  shares = np.exp(theta[:3]) / L.mean()
  if not np.isfinite(value) or grad > 1e-3:
    status = 'failed'
  elif shares.min() < 1e-6:
    status = 'degenerate'  # a term has gone: its exponent means nothing
  elif min(params['alpha'], params['beta']) < 1e-3:
    status = 'bound'  # an exponent of zero is a second constant
  else:
    status = 'converged'
  return Fit('chinchilla', params, value, objective, delta, len(L), status,
             tried, agree, grad, model(theta)[0] - problem.seen, (N, D, L),
             theta, problem, unpack)


def kaplan_nd(N, D, L, delta: float = 1e-3, weights=None, starts: int = 12,
              seed: int = 0) -> Fit:
  """Fits L = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D, Huber on log
  L, to (n,) points (Kaplan et al. 2020, equation 1.5)."""
  N, D, L = checked(N, D, L, least=4)
  x, y = np.log(N), np.log(D)
  x0, y0 = x.mean(), y.mean()
  x, y = x - x0, y - y0
  w = np.ones_like(L) if weights is None else checked(weights, least=1)[0]

  def model(theta):
    a, b, alpha_n, alpha_d = theta
    terms = np.stack([a - alpha_n / alpha_d * x, b - y])
    inner = logsumexp(terms, axis=0)
    p, q = np.exp(terms - inner)
    return alpha_d * inner, np.stack(
        [alpha_d * p, alpha_d * q, -p * x, inner + p * alpha_n / alpha_d * x],
        1)

  def unpack(theta):
    a, b, alpha_n, alpha_d = theta
    return {'N_c': np.exp(a * alpha_d / alpha_n + x0), 'D_c': np.exp(b + y0),
            'alpha_N': alpha_n, 'alpha_D': alpha_d}

  problem = Problem(model, np.log(L), w, 'huber_log', delta, 1.0)
  rng = np.random.default_rng(seed)
  grid = np.geomspace(0.02, 0.8, 12) * np.exp(0.05 * rng.normal(size=(2, 12)))
  seeds = []
  for alpha_n in grid[0]:
    for alpha_d in grid[1]:  # L^(1 / alpha_D) is linear in the amplitudes
      power_ = np.exp(np.log(L) / alpha_d)
      columns = np.stack([np.exp(-alpha_n / alpha_d * x), np.exp(-y)], 1)
      root = np.sqrt(w) / power_
      amplitudes, _ = optimize.nnls(columns * root[:, None], power_ * root)
      seeds.append([*np.log(np.maximum(amplitudes, 1e-8 * power_.mean())),
                    alpha_n, alpha_d])
  theta, value, grad, agree, tried = minimise(problem, seeds, starts)
  params = {k: float(v) for k, v in unpack(theta).items()}
  status = 'failed' if not np.isfinite(value) or grad > 1e-3 else (
      'bound' if min(theta[2:]) < 1e-3 else 'converged')
  return Fit('kaplan', params, value, 'huber_log', delta, len(L), status,
             tried, agree, grad, model(theta)[0] - problem.seen, (N, D, L),
             theta, problem, unpack)


def mixing(r, L, delta: float = 0.05, starts: int = 60, seed: int = 0) -> Fit:
  """Fits c + exp(r . u), Huber on the loss, to shares r (n, M) and losses
  L (n,). Very negative u are not identified: their term is already zero."""
  L, = checked(L, least=np.shape(r)[1] + 1)
  r = np.asarray(r, np.float64)
  if r.shape[0] != len(L) or np.abs(r.sum(1) - 1).max() > 1e-3:
    raise ValueError(f'shares {r.shape} for {len(L)} losses, wanted rows that '
                     'sum to 1')

  def model(theta):
    term = np.exp(np.clip(r @ theta[1:], -700, 50))
    c = np.exp(theta[0])
    return c + term, np.column_stack([np.full(len(L), c), term[:, None] * r])

  def unpack(theta):
    return {'c': float(np.exp(theta[0])), 'u': np.array(theta[1:])}

  problem = Problem(model, L, np.ones_like(L), 'huber', delta, 1.0)
  rng = np.random.default_rng(seed)
  seeds = []
  for _ in range(4 * starts):
    c = L.min() * rng.uniform(0.3, 0.99)
    u, *_ = np.linalg.lstsq(r, np.log(np.maximum(L - c, 1e-3)), rcond=None)
    seeds.append(np.concatenate(
        [[np.log(c)], u + rng.normal(size=r.shape[1])]))
  theta, value, grad, agree, tried = minimise(problem, seeds, starts)
  status = 'converged' if grad < 1e-3 else 'failed'
  return Fit('mixing', unpack(theta), value, 'huber', delta, len(L), status,
             tried, agree, grad, model(theta)[0] - L, (r, L), theta, problem,
             unpack)


def minimise(problem: Problem, seeds, starts: int):
  """(theta, objective, scaled gradient norm, starts that agree, starts): the
  best `starts` seeds by the objective itself, refined and polished."""
  ranked = sorted(seeds, key=lambda s: problem.value(np.asarray(s))[0])
  scale = problem.scale()
  ends = [refine(problem, np.asarray(s), scale) for s in ranked[:starts]]
  best = min(ends, key=lambda e: e[1])
  agree = int(sum(e[1] <= best[1] * (1 + 1e-4) for e in ends))
  return best[0], best[1] * scale, best[2], agree, len(ends)


def refine(problem: Problem, theta, scale: float):
  """(theta, scaled objective, gradient norm) of the minimum near theta."""

  def scaled(t):
    value, grad = problem.value(t)
    return value / scale, grad / scale

  with np.errstate(over='ignore', invalid='ignore'):
    rough = optimize.minimize(
        scaled, theta, jac=True, method='L-BFGS-B', options={
            'maxcor': 20, 'ftol': 1e-15, 'gtol': 1e-10, 'maxiter': 5000,
            'maxfun': 10_000})
    fine = optimize.minimize(scaled, rough.x, jac=True, method='BFGS',
                             options={'gtol': 1e-9})
  end = min((rough, fine), key=lambda e: e.fun)
  return end.x, end.fun, float(np.linalg.norm(scaled(end.x)[1]))


class Power(NamedTuple):
  """y = coefficient x^exponent: a regression in logarithms."""

  exponent: float
  coefficient: float
  covariance: np.ndarray  # (2, 2) of (exponent, log coefficient)


def power(x, y, weights=None) -> Power:
  """Weighted least squares of log y on log x, (n,) each."""
  x, y = checked(x, y, least=2)
  w = np.ones_like(x) if weights is None else checked(weights, least=2)[0]
  design = np.column_stack([np.log(x), np.ones_like(x)])
  normal = np.linalg.inv((design * w[:, None]).T @ design)
  solution = normal @ (design * w[:, None]).T @ np.log(y)
  gap = np.log(y) - design @ solution
  spread = (w * gap**2).sum() / max(len(x) - 2, 1)
  return Power(float(solution[0]), float(np.exp(solution[1])), spread * normal)


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
  kinds = labels.max() + 1
  scale, kept, failures = fit.problem.scale(), [], 0
  for k in range(draws):
    counts = np.bincount(rng.integers(0, kinds, kinds), minlength=kinds)
    problem = fit.problem._replace(
        weights=fit.problem.weights * counts[labels])
    theta, value, grad = refine(problem, fit.theta, scale)
    if np.isfinite(value) and grad < 1e-2:
      kept.append(fit.unpack(theta))
    else:
      failures += 1
    progress(k + 1)
  return Bootstrap({k: np.array([p[k] for p in kept]) for k in kept[0]}
                   if kept else {}, failures)
