"""Fits of scaling laws, a function a law (core.py: how), and their bootstrap.
No JAX.

  f = chinchilla(N, D, L)
  draws = bootstrap(f, groups=run)
  low, high = draws.interval(operator.itemgetter('E'))
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from physics_lm.scaling.fitting import core, solve
from physics_lm.scaling.fitting.core import Fit

Column = Sequence[float] | np.ndarray  # (n,)
TERMS = ('A', 'B', 'alpha', 'beta')  # of Chinchilla's law


def chinchilla(N: Column, D: Column, L: Column,
               objective: str = 'huber_log', delta: float = 1e-3,
               weights: Column | None = None, tie: bool = False,
               bounds: dict | None = None, starts: int = 12, seed: int = 0,
               overestimate_cost: float = 1.0, E: float | None = None) -> Fit:
  """Fits L = E + A N^-alpha + B D^-beta to (n,) points, float64, in the
  units given. Raises ValueError for bad input.

  Args:
    objective: one of solve.OBJECTIVES; see solve.penalty for delta and
      overestimate_cost.
    weights: (n,), multiply the rows' penalties.
    tie: sets beta = alpha.
    bounds: {'alpha': (low, high), ...} in natural units, each limit positive
      or None.
    starts: how many of the best starting points are refined.
    E: None fits it; a number fixes it, 0 leaves it out.

  Sources: Hoffmann et al. 2022, approach 3; the starts by variable
  projection replace its 4,500 blind ones.
  """
  free = 5 - tie - (E is not None)
  N, D, L = core.checked(N, D, L, least=free)
  core.varied(N=N, D=D)
  (x, x0), (y, y0) = core.centred(N), core.centred(D)
  design, offset = _chinchilla_design(x, y, tie, E)
  terms = ('A', 'B', 'E')[:3 if E is None else 2]
  count = len(terms)

  def unpack(theta):
    alpha, beta = theta[count], theta[-1]
    return {'E': float(np.exp(theta[2]) if E is None else E),
            'A': float(np.exp(theta[0] + alpha * x0)),
            'B': float(np.exp(theta[1] + beta * y0)),
            'alpha': float(alpha), 'beta': float(beta)}

  grid = core.exponents(0.05, 1.5, seed)
  pairs = [(g,) for g in np.geomspace(0.05, 1.5, 144)] if tie else [
      (g, h) for g in grid[0] for h in grid[1]]

  def seeds(root):
    for pair in pairs:
      terms = [np.exp(-pair[0] * x), np.exp(-pair[-1] * y), np.ones_like(x)]
      yield [*core.log_amplitudes(np.stack(terms[:count], 1), L - (E or 0.0),
                                  root), *pair]

  return core.fit_law(
      'chinchilla', solve.log_sum(design, offset), (N, D), L, seeds, unpack,
      essential=('alpha', 'beta'), amplitudes=terms, narrow=(
          *core.too_narrow(alpha=N, beta=D),
          *core.confounded(['A', 'B'] if tie else TERMS, N, D)),
      fixed={} if E is None else {'E': float(E)}, starts=starts,
      objective=objective, delta=delta, weights=weights,
      overestimate_cost=overestimate_cost, bounds=bounds)


def _chinchilla_design(x, y, tie: bool, E: float | None):
  """(design [terms, n, p], offset) of the law's logarithm in log A and log B at
  the centre, log E where it is fitted, alpha, and beta where it is not tied."""
  one, no = np.ones_like(x), np.zeros_like(x)
  design = np.stack([np.stack(row, 1) for row in (
      (one, no, no, -x, no), (no, one, no, no, -y), (no, no, one, no, no))])
  if tie:
    design[:, :, 3] += design[:, :, 4]
    design = design[:, :, :4]
  if E is None:
    return design, 0.0
  design = np.delete(design, 2, axis=2)
  if E == 0:
    return design[:2], 0.0
  return design, np.stack([no, no, np.log(E) * one])


def p_norm(N: Column, D: Column, L: Column, seed: int = 0, **options) -> Fit:
  """Fits L = E + ((A N^-alpha)^p + (B D^-beta)^p)^(1/p) to (n,) points, in
  the units given: laws.p_norm. Options as chinchilla's: objective, delta,
  weights, bounds, starts, overestimate_cost."""
  N, D, L = core.checked(N, D, L, least=6)
  core.varied(N=N, D=D)
  (x, x0), (y, y0) = core.centred(N), core.centred(D)
  one, no = np.ones_like(x), np.zeros_like(x)
  # Coordinates: log E, p log A and p log B at the centre, p alpha, p beta,
  # 1 / p: the p-th power of what is above E is a sum of two terms.
  inner = solve.log_sum(np.stack([np.stack((one, no, -x, no), 1),
                                  np.stack((no, one, no, -y), 1)]))

  def model(theta):
    value, jacobian = inner(theta[1:5])
    above = theta[5] * value
    out = np.logaddexp(above, theta[0])
    share = np.exp(above - out)  # of L that is above E
    return out, np.column_stack([
        np.exp(theta[0] - out),
        share[:, None] * np.column_stack([theta[5] * jacobian, value])])

  def unpack(theta):
    e, a, b, alpha, beta, root = (float(t) for t in theta)
    return {'E': float(np.exp(e)), 'A': float(np.exp(root * (a + alpha * x0))),
            'B': float(np.exp(root * (b + beta * y0))), 'alpha': root * alpha,
            'beta': root * beta, 'p': 1 / root}

  def seeds(root):
    grid = core.exponents(0.1, 1.5, seed, 8)
    for low, p in itertools.product((0.3, 0.7, 0.95), (2.0, 1.0, 0.5, 0.25)):
      above = L - low * L.min()
      power_ = above**p  # linear in the amplitudes
      for alpha, beta in itertools.product(p * grid[0], p * grid[1]):
        columns = np.stack([np.exp(-alpha * x), np.exp(-beta * y)], 1)
        yield [np.log(low * L.min()), *core.log_amplitudes(
            columns, power_, root * above / (p * power_)), alpha, beta, 1 / p]

  return core.fit_law(
      'p_norm', model, (N, D), L, seeds, unpack,
      essential=('alpha', 'beta', 'p'), amplitudes=('E',),
      narrow=(*core.too_narrow(alpha=N, beta=D),
              *core.confounded(TERMS, N, D)), **options)


def size_dependent_exponent(N: Column, D: Column, L: Column, seed: int = 0,
                            **options) -> Fit:
  """Fits L = E + K N^-alpha D^-(beta + gamma ln N) to (n,) points, in the
  units given: laws.size_dependent_exponent. K, alpha and beta are those at
  ln N = ln D = 0, far from any run. Options as p_norm's."""
  N, D, L = core.checked(N, D, L, least=5)
  core.varied(N=N, D=D)
  (x, x0), (y, y0) = core.centred(N), core.centred(D)
  one, no = np.ones_like(x), np.zeros_like(x)
  # Coordinates: log E; log K, alpha and beta at the centre; gamma.
  design = np.stack([np.stack((one, no, no, no, no), 1),
                     np.stack((no, one, -x, -y, -x * y), 1)])

  def unpack(theta):
    e, k, alpha, beta, gamma = (float(t) for t in theta)
    return {'E': float(np.exp(e)),
            'K': float(np.exp(k + alpha * x0 + beta * y0 - gamma * x0 * y0)),
            'alpha': float(alpha - gamma * y0),
            'beta': float(beta - gamma * x0), 'gamma': gamma}

  def seeds(root):
    grid = core.exponents(0.1, 1.5, seed, 8)
    for alpha, beta, gamma in itertools.product(*grid, (0.0, 0.1)):
      above = np.exp(-alpha * x - beta * y - gamma * x * y)
      yield [*core.log_amplitudes(np.stack([one, above], 1), L, root), alpha,
             beta, gamma]

  return core.fit_law(
      'size_dependent_exponent', solve.log_sum(design), (N, D), L, seeds,
      unpack, essential=(), amplitudes=('E', 'K'),
      narrow=(*core.too_narrow(alpha=N, beta=D),
              *core.confounded(('alpha', 'beta'), N, D)), **options)


def kaplan_nd(N: Column, D: Column, L: Column, seed: int = 0, **options
              ) -> Fit:
  """Fits L = ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D to (n,) points
  (Kaplan et al. 2020, equation 1.5). Options as p_norm's."""
  N, D, L = core.checked(N, D, L, least=4)
  core.varied(N=N, D=D)
  (x, x0), (y, y0) = core.centred(N), core.centred(D)
  one, no = np.ones_like(x), np.zeros_like(x)
  # Coordinates: two log amplitudes, alpha_N / alpha_D, alpha_D.
  inner = solve.log_sum(
      np.stack([np.stack((one, no, -x), 1), np.stack((no, one, no), 1)]),
      np.stack([no, -y]))

  def model(theta):
    value, jacobian = inner(theta[:3])
    return theta[3] * value, np.column_stack([theta[3] * jacobian, value])

  def unpack(theta):
    a, b, ratio, alpha_d = (float(t) for t in theta)
    return {'N_c': float(np.exp(a / ratio + x0)),
            'D_c': float(np.exp(b + y0)), 'alpha_N': ratio * alpha_d,
            'alpha_D': alpha_d}

  def seeds(root):
    grid = core.exponents(0.02, 0.8, seed)
    for alpha_n in grid[0]:
      for alpha_d in grid[1]:  # L^(1 / alpha_D) is linear in the amplitudes
        power_ = np.exp(np.log(L) / alpha_d)
        columns = np.stack([np.exp(-alpha_n / alpha_d * x), np.exp(-y)], 1)
        yield [*core.log_amplitudes(columns, power_, root * L / power_),
               alpha_n / alpha_d, alpha_d]

  return core.fit_law(
      'kaplan', model, (N, D), L, seeds, unpack,
      essential=('alpha_N', 'alpha_D'),
      narrow=(*core.too_narrow(alpha_N=N, alpha_D=D), *core.confounded(
          ('N_c', 'D_c', 'alpha_N', 'alpha_D'), N, D)), **options)


def kaplan_ns(N: Column, S: Column, L: Column, seed: int = 0, **options
              ) -> Fit:
  """Fits L = (N_c / N)^alpha_N + (S_c / S)^alpha_S to (n,) points; S: steps
  at an unlimited batch, laws.batch_adjust (Kaplan et al. 2020, equation 1.6).
  Options as p_norm's."""
  N, S, L = core.checked(N, S, L, least=4)
  core.varied(N=N, S=S)
  (x, x0), (y, y0) = core.centred(N), core.centred(S)
  one, no = np.ones_like(x), np.zeros_like(x)
  design = np.stack([np.stack((one, no, -x, no), 1),
                     np.stack((no, one, no, -y), 1)])

  def unpack(theta):
    a, b, alpha_n, alpha_s = (float(t) for t in theta)
    return {'N_c': float(np.exp(a / alpha_n + x0)),
            'S_c': float(np.exp(b / alpha_s + y0)), 'alpha_N': alpha_n,
            'alpha_S': alpha_s}

  def seeds(root):
    grid = core.exponents(0.02, 1.5, seed)
    for alpha_n in grid[0]:
      for alpha_s in grid[1]:
        columns = np.stack([np.exp(-alpha_n * x), np.exp(-alpha_s * y)], 1)
        yield [*core.log_amplitudes(columns, L, root), alpha_n, alpha_s]

  return core.fit_law(
      'kaplan_ns', solve.log_sum(design), (N, S), L, seeds, unpack,
      essential=('alpha_N', 'alpha_S'), amplitudes=('N_c', 'S_c'),
      narrow=(*core.too_narrow(alpha_N=N, alpha_S=S), *core.confounded(
          ('N_c', 'S_c', 'alpha_N', 'alpha_S'), N, S)), **options)


def data_constrained(N: Column, D: Column, U: Column, L: Column,
                     base: dict | None = None, seed: int = 0, **options
                     ) -> Fit:
  """Fits how fast repeated tokens and excess parameters lose their worth, R_D
  and R_N of laws.data_constrained, to (n,) points with U unique tokens.

  base: {'E', 'A', 'B', 'alpha', 'beta'} of the law without repetition; None
  fits it first to the rows with D <= U. Options as p_norm's. A constant
  that runs away (status 'degenerate') means that these rows show no loss of
  worth. (Muennighoff et al. 2023, section 6 and appendix A: two stages.)
  """
  N, D, U, L = core.checked(N, D, U, L, least=2)
  base = base or _without_repetition(N, D, U, L, {'seed': seed} | options)
  E, A, B, alpha, beta = (base[k] for k in ('E', 'A', 'B', 'alpha', 'beta'))
  unique = np.minimum(U, D)
  G = (alpha * A / (beta * B))**(1 / (alpha + beta))
  wanted = np.minimum(N, (unique * G)**(beta / alpha) * G)

  def model(theta):
    r_d, r_n = np.exp(np.clip(theta, -50, 50))
    d, d_slope = _effective(unique, D, r_d)
    n, n_slope = _effective(wanted, N, r_n)
    by_n, by_d = A * n**-alpha, B * d**-beta
    loss = E + by_n + by_d
    return np.log(loss), np.stack([-beta * by_d / d * d_slope / loss,
                                   -alpha * by_n / n * n_slope / loss], 1)

  def unpack(theta):
    r_d, r_n = np.exp(np.clip(theta, -50, 50))
    return dict(base) | {'R_D': float(r_d), 'R_N': float(r_n)}

  def seeds(root):
    rates = np.log(np.geomspace(0.5, 200, 8))
    return [(d, n) for d in rates for n in rates]

  f = core.fit_law('data_constrained', model, (N, D, U), L, seeds, unpack,
                   essential=('R_D', 'R_N'), **options)
  # Far beyond the most repeated row a constant could be anything.
  most = {'R_D': (D / unique).max() - 1, 'R_N': (N / wanted).max() - 1}
  gone = {k for k, v in most.items() if f.params[k] > 100 * v}
  return dataclasses.replace(
      f, errors={k: e if k in most else np.nan for k, e in f.errors.items()},
      not_identified=tuple(
          k for k in most if k in gone or k in f.not_identified),
      **{'status': 'degenerate', 'reason': core.undetermined(sorted(gone))}
      if gone and f.status == 'converged' else {})


def _without_repetition(N, D, U, L, options: dict) -> dict[str, float]:
  """The Chinchilla law of the rows that repeat no token. Raises ValueError when
  it is not determined."""
  fresh = D <= U
  first = {k: v for k, v in options.items() if k in (
      'objective', 'delta', 'overestimate_cost', 'weights', 'seed')}
  if first.get('weights') is not None:
    first['weights'] = np.asarray(first['weights'])[fresh]
  f = chinchilla(N[fresh], D[fresh], L[fresh], **first)
  if f.status != 'converged':
    raise ValueError(f'the {fresh.sum()} rows with D <= U give a {f.status} '
                     f'fit ({", ".join(f.not_identified)}), wanted base=')
  return f.params


def _effective(unique, total, rate):
  """(effective amount of a total with so much of it unique, its derivative in
  the logarithm of the rate)."""
  k = (total / unique - 1) / rate
  lost = -np.expm1(-k)
  # For small k the slope is a difference of equals; its series is not.
  slope = np.where(k < 1e-4, k**2 / 2 - k**3 / 3, lost - k * np.exp(-k))
  return unique * (1 + rate * lost), unique * rate * slope


def dcpt(N: Column, D: Column, r: Column, L: Column, starts: int = 24,
         seed: int = 0, **options) -> Fit:
  """Fits the nine parameters of laws.dcpt to (n,) points: r, from 0 to 1, is
  the share of the corpus whose loss it is. Options as p_norm's. (Que et
  al. 2024.) eps and gamma, or E and C, may trade against each other: see
  `not_identified`; the predictions stand."""
  N, D, L = core.checked(N, D, L, least=9)
  r = np.asarray(r, np.float64)
  if r.shape != L.shape or not ((r >= 0) & (r <= 1)).all():
    raise ValueError(f'shares r of shape {r.shape}, wanted {L.shape}, each '
                     'from 0 to 1')
  core.varied(N=N, D=D, r=r)
  (x, x0), (y, y0) = core.centred(N), core.centred(D)
  one, no = np.ones_like(x), np.zeros_like(x)
  log_r = np.log(np.maximum(r, 1e-300))
  # Coordinates: log E, A, B (at the centre), C; logarithms of alpha, beta, eta
  # and gamma, which the law has positive; log eps. The logarithm of the last
  # term is not linear in eps.
  rest = solve.log_sum(np.stack([np.stack(row, 1) for row in (
      (one, no, no, -x, no, no), (no, one, no, no, no, no),
      (no, no, one, no, -y, log_r))]))

  def model(theta):
    e, a, b, c, *logs, log_eps = theta
    alpha, beta, eta, gamma = np.exp(np.clip(logs, -700, 700))
    value, jacobian = rest(np.array([a, e, b, alpha, beta, eta]))
    shifted = r + np.exp(log_eps)
    last = c - gamma * np.log(shifted)
    total = np.logaddexp(value, last)
    p, q = np.exp(value - total), np.exp(last - total)
    ja, je, jb, jalpha, jbeta, jeta = (jacobian * p[:, None]).T
    return total, np.stack(
        [je, ja, jb, q, alpha * jalpha, beta * jbeta, eta * jeta,
         -q * gamma * np.log(shifted),
         -q * gamma * np.exp(log_eps) / shifted], 1)

  def unpack(theta):
    e, a, b, c, *logs, log_eps = (float(t) for t in theta)
    alpha, beta, eta, gamma = np.exp(np.clip(logs, -700, 700)).tolist()
    return {'E': float(np.exp(e)), 'A': float(np.exp(a + alpha * x0)),
            'B': float(np.exp(b + beta * y0)), 'C': float(np.exp(c)),
            'alpha': alpha, 'beta': beta, 'gamma': gamma, 'eta': eta,
            'eps': float(np.exp(log_eps))}

  def seeds(root):
    rng = np.random.default_rng(seed)
    for _ in range(40 * starts):
      alpha, beta, eta, gamma, eps = np.exp(rng.uniform(
          np.log([0.05, 0.05, 0.05, 0.05, 0.01]), np.log([1, 1, 2, 2, 1])))
      columns = np.stack([one, np.exp(-alpha * x), np.exp(-beta * y) * r**eta,
                          (r + eps)**-gamma], 1)
      yield [*core.log_amplitudes(columns, L, root),
             *np.log([alpha, beta, eta, gamma, eps])]

  return core.fit_law(
      'dcpt', model, (N, D, r), L, seeds, unpack, essential=('alpha', 'beta'),
      exponents=('gamma', 'eta'), amplitudes=('E', 'A', 'B', 'C'),
      narrow=(*core.too_narrow(alpha=N, beta=D),
              *core.confounded(TERMS, N, D)), starts=starts, **options)


def mixing(r: np.ndarray, L: np.ndarray, delta: float = 0.05, starts: int = 60,
           seed: int = 0, objective: str = 'huber', **options
           ) -> Fit | tuple[Fit, ...]:
  """Fits c + exp(r . u) to shares r (n, M) and losses L (n,), by Huber on the
  loss itself; for losses (n, P) of P domains a tuple of P fits. Very negative
  u are not identified: their term is already zero. (Ye et al. 2024.)"""
  r = np.asarray(r, np.float64)
  if np.ndim(L) == 2:
    return tuple(mixing(r, column, delta, starts, seed, objective, **options)
                 for column in np.asarray(L).T)
  if r.ndim != 2:
    raise ValueError(f'shares of shape {r.shape}, wanted (n, M)')
  L, = core.checked(L, least=r.shape[1] + 1)
  if r.shape[0] != len(L) or not (r >= 0).all() or (
      np.abs(r.sum(1) - 1).max() > 1e-3):
    raise ValueError(f'shares {r.shape} for {len(L)} losses, wanted rows '
                     'without negative ones that sum to 1')
  design = np.zeros((2, len(L), 1 + r.shape[1]))
  design[0, :, 0] = 1
  design[1, :, 1:] = r

  def unpack(theta):
    return {'c': float(np.exp(theta[0])), 'u': np.array(theta[1:])}

  def seeds(root):
    rng = np.random.default_rng(seed)
    for _ in range(4 * starts):
      c = L.min() * rng.uniform(0.3, 0.99)
      u, *_ = np.linalg.lstsq(r, np.log(np.maximum(L - c, 1e-3)), rcond=None)
      yield np.concatenate([[np.log(c)], u + rng.normal(size=r.shape[1])])

  return core.fit_law(
      'mixing', solve.log_sum(design), (r,), L, seeds, unpack, essential=('c',),
      starts=starts, objective=objective, delta=delta, **options)


class PowerLawFit(NamedTuple):
  """y = offset + coefficient x^exponent."""

  exponent: float
  coefficient: float
  offset: float
  covariance: np.ndarray  # of (exponent, log coefficient[, offset])


@solve.one_thread()
def power(x: Column, y: Column, offset: bool | float = False,
          weights: Column | None = None) -> PowerLawFit:
  """y = offset + coefficient x^exponent by weighted least squares in log y,
  (n,) each. offset: False for none, a number to fix it, True to fit it, with y
  falling towards it. Raises ValueError for too few points, or a y that is not
  above the offset."""
  x, y = core.checked(x, y, least=3 if offset is True else 2)
  w = core.row_weights(weights, x)
  if len(np.unique(x[w > 0])) < (3 if offset is True else 2):
    raise ValueError(f'{len(np.unique(x[w > 0]))} distinct x, wanted at least '
                     f'{3 if offset is True else 2}')
  if offset is True:
    return _offset_power(x, y, w)
  if offset and y.min() <= offset:
    raise ValueError(f'least y is {y.min():.6g}, wanted above offset={offset}')
  log_y = np.log(y - offset)
  design = np.column_stack([np.log(x), np.ones_like(x)])
  normal = np.linalg.inv((design * w[:, None]).T @ design)
  solution = normal @ (design * w[:, None]).T @ log_y
  gap = log_y - design @ solution
  spread = (w * gap**2).sum() / max(len(x) - 2, 1)
  return PowerLawFit(float(solution[0]), float(np.exp(solution[1])),
                     float(offset), spread * normal)


def _offset_power(x, y, w) -> PowerLawFit:
  z, z0 = core.centred(x)
  one, no = np.ones_like(z), np.zeros_like(z)
  design = np.stack([np.stack((one, no, no), 1), np.stack((no, one, -z), 1)])
  problem = solve.FitProblem(solve.log_sum(design), np.log(y), w,
                             'squared_log', 0.0, 1.0)
  seeds = ([*core.log_amplitudes(np.stack([one, np.exp(-g * z)], 1), y,
                                 np.sqrt(w) / y), g]
           for g in np.geomspace(0.02, 2, 60))
  c, k, alpha = solve.minimise(problem, seeds, 8).theta
  gap, slope = problem.model((c, k, alpha))
  spread = (w * (gap - problem.observed)**2).sum() / max(len(x) - 3, 1)
  cov = spread * np.linalg.pinv((slope * w[:, None]).T @ slope)
  to = np.array([[0, 0, -1], [0, 1, z0], [np.exp(c), 0, 0]])
  return PowerLawFit(float(-alpha), float(np.exp(k + alpha * z0)),
                     float(np.exp(c)), to @ cov @ to.T)


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


def bootstrap(fit: Fit, draws: int = 1000, groups: Sequence | None = None,
              seed: int = 0, progress: Callable[[int], object] | None = None
              ) -> Bootstrap:
  """Refits from the optimum to resampled rows, or to whole groups of rows when
  labels (n,) are given: checkpoints of one run are not independent. progress:
  called with the number of draws that are done. Raises ValueError for fewer
  than three groups."""
  rng = np.random.default_rng(seed)
  labels = np.arange(fit.n) if groups is None else np.unique(
      np.asarray(groups), return_inverse=True)[1]
  if len(labels) != fit.n:
    raise ValueError(f'{len(labels)} group labels for {fit.n} points')
  kinds, kept = labels.max() + 1, []
  if kinds < 3:
    raise ValueError(f'{kinds} groups, wanted at least 3 to resample')
  with solve.one_thread():
    for k in range(draws):
      counts = np.bincount(rng.integers(0, kinds, kinds), minlength=kinds)
      params = fit.reweighted(counts[labels])
      if params is not None:
        kept.append(params)
      if progress is not None and progress(k + 1):
        break
  return Bootstrap({k: np.array([p[k] for p in kept]) for k in kept[0]}
                   if kept else {}, k + 1 - len(kept))
