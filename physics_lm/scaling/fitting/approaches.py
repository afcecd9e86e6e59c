"""The compute-optimal frontier without a surface: Hoffmann et al. 2022,
approaches 1 (envelope of training curves) and 2 (isoFLOP curves). Approach 3
is fits.chinchilla(...).optimal(C). No JAX."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.interpolate import Akima1DInterpolator

from physics_lm.scaling.fitting import core, fits, solve
from physics_lm.scaling.fitting.fits import Column

MIN_SPAN = 2.0  # of C over what a line in log C is drawn through


class Frontier(NamedTuple):
  """log N* = a log C + n_intercept, and log D* = b log C + d_intercept;
  natural logarithms."""

  a: float
  b: float
  n_intercept: float
  d_intercept: float
  points: np.ndarray  # (k, 4): C, N, D, L of what was regressed


class Budget(NamedTuple):
  """One isoFLOP curve and its optimum; nan where unknown."""

  C: float
  n: int  # points
  status: str  # 'ok', 'extrapolated' (kept) or 'dropped'
  reason: str  # why it is not 'ok'
  N: float  # optimum
  D: float
  L: float
  spread: float  # standard error of log N
  left: int  # points with N below the optimum, and above it
  right: int
  curvature: float  # of L in log10 N at the parabola's vertex, and its
  curvature_error: float  # standard error
  bias: float  # predicted relative error of N from the parabola


class IsoFlop(NamedTuple):
  """Frontier of the budgets that have an interior minimum, and all budgets."""

  a: float
  b: float
  n_intercept: float
  d_intercept: float
  budgets: list[Budget]


def _lines(C, N, D, weights=None):
  x = np.log(C)
  a, n0 = np.polyfit(x, np.log(N), 1, w=weights)
  b, d0 = np.polyfit(x, np.log(D), 1, w=weights)
  return float(a), float(b), float(n0), float(d0)


@solve.one_thread()
def approach1(C: Column, N: Column, D: Column, L: Column, run: Sequence,
              method: str = 'hull', points: int = 1500) -> Frontier:
  """The lower envelope of training curves, from (n,) points of labelled runs.

  'hull': the decreasing part of the lower convex hull of (log C, log L).
  'grid': at `points` log-spaced C, the run with the least interpolated loss.
  Raises ValueError where there is no envelope to take: runs of one row each, C
  that does not vary, or points on the envelope of one size or nearly one C.
  """
  C, N, D, L = core.checked(C, N, D, L, least=3)
  run = np.asarray(run)
  _check_curves(C, run)
  if method == 'hull':
    chosen = np.array(_lower_hull(np.log(C), np.log(L)))
    picked = np.column_stack([C, N, D, L])[chosen]
  elif method == 'grid':
    picked = _grid_envelope(C, N, D, L, run, points)
  else:
    raise ValueError(f'method {method!r}, wanted hull or grid')
  if len(np.unique(picked[:, 1])) < 2:
    raise ValueError(f'{len(picked)} points on the envelope, of one N: wanted '
                     'runs of which several sizes are the best in turn')
  if picked[:, 0].max() < MIN_SPAN * picked[:, 0].min():
    raise ValueError(f'the {len(picked)} points on the envelope span C by '
                     f'x{picked[:, 0].max() / picked[:, 0].min():.3g}, wanted '
                     f'x{MIN_SPAN:g} or more')
  return Frontier(*_lines(*picked[:, :3].T), picked)


def _check_curves(C: np.ndarray, run: np.ndarray) -> None:
  """Raises ValueError unless C varies and some runs are curves."""
  if C.max() < MIN_SPAN * C.min():
    raise ValueError(f'C spans x{C.max() / C.min():.3g} over all rows, wanted '
                     f'x{MIN_SPAN:g} or more')
  names, rows = np.unique(run, return_counts=True)
  if 2 * (rows > 1).sum() < len(names):
    raise ValueError(f'{(rows > 1).sum()} of {len(names)} runs have more than '
                     'one row, wanted training curves')


def _grid_envelope(C, N, D, L, run, points: int) -> np.ndarray:
  """(k, 4): C, N, D, L of the best interpolated run at log-spaced C."""
  grid, curves = np.geomspace(C.min(), C.max(), points), []
  for label in np.unique(run):
    own = np.flatnonzero(run == label)
    own = own[np.argsort(C[own])]
    inside = (grid >= C[own[0]]) & (grid <= C[own[-1]])
    n, d, loss = (np.exp(np.interp(np.log(grid), np.log(C[own]),
                                   np.log(y[own]))) for y in (N, D, L))
    curves.append(np.column_stack([grid, n, d,
                                   np.where(inside, loss, np.inf)]))
  curves = np.stack(curves)  # [runs, grid, 4]
  picked = curves[curves[:, :, 3].argmin(0), np.arange(points)]
  return picked[np.isfinite(picked[:, 3])]


def _lower_hull(x, y) -> list[int]:
  """Indices of the decreasing part of the lower convex hull."""
  hull: list[int] = []
  for i in np.lexsort((y, x)):
    while len(hull) > 1:
      p, q = hull[-2], hull[-1]
      if (x[q] - x[p]) * (y[i] - y[p]) > (y[q] - y[p]) * (x[i] - x[p]):
        break
      hull.pop()
    if not hull or x[i] > x[hull[-1]]:
      hull.append(int(i))
  lowest = min(range(len(hull)), key=lambda k: y[hull[k]])
  return hull[:lowest + 1]


@solve.one_thread()
def approach2(C: Column, N: Column, D: Column, L: Column,
              method: str = 'parabola', surface: fits.Fit | None = None,
              noise: float = 0.0, draws: int = 200, seed: int = 0) -> IsoFlop:
  """isoFLOP curves: the best N and D of each budget, then a line through
  them in logarithms. Rows of one budget share their C within 0.1 %, (n,) each.

  'parabola': vertex of L against log N, and of L against log D; one past the
  sizes tried by at most half their range is kept, and marked. 'akima':
  interior minimum of an Akima spline of log L; with `noise`, the standard
  deviation of log L between seeds, the median over so many noisy draws, and
  budgets weigh by 1 / spread^2 (Porian et al. 2024). 'surface': each budget's
  closed-form optimum of a Chinchilla fit to all rows; `surface` gives one.
  Where there is a fit its exponents also predict the parabola's bias. Raises
  ValueError when fewer than two budgets have an interior minimum.
  """
  if method not in ('parabola', 'akima', 'surface'):
    raise ValueError(f'method {method!r}, wanted parabola, akima or surface')
  C, N, D, L = core.checked(C, N, D, L, least=3)
  if method == 'surface' and surface is None:
    surface = fits.chinchilla(N, D, L)
  rng, order = np.random.default_rng(seed), np.argsort(C)
  ends = np.flatnonzero(np.diff(np.log(C[order])) > 1e-3) + 1
  budgets = []
  for own in np.split(order, ends):
    c, own = np.median(C[own]), own[np.lexsort((L[own], N[own]))]
    budgets.append(_budget(float(c), N[own], D[own], L[own], method, surface,
                           noise, draws, rng))
  good = [b for b in budgets if b.status != 'dropped']
  if len(good) < 2:
    raise ValueError(f'{len(good)} of {len(budgets)} budgets have an interior '
                     'minimum, wanted at least 2' + ''.join(
                         f'; {n} x {why}' for why, n in collections.Counter(
                             b.reason for b in budgets if b.reason).items()))
  weights = [1 / b.spread for b in good] if noise and method == 'akima' else (
      None)
  return IsoFlop(*_lines(*np.array([[b.C, b.N, b.D] for b in good]).T,
                         weights), budgets)


def _budget(c: float, n, d, loss, method: str, surface, noise: float,
            draws: int, rng) -> Budget:
  """The optimum of one isoFLOP curve, its rows sorted by N."""
  reason, best, spread = '', (np.nan,) * 3, np.nan
  curve = _curve(n, loss)
  if len(np.unique(n)) < 3:
    reason = f'{len(np.unique(n))} sizes, wanted at least 3'
  elif method == 'parabola':
    reason, best = _vertex(n, d, loss)
    spread = curve[0]
  elif method == 'akima':
    reason, best, spread = _akima_noisy(n, d, loss, noise, draws, rng)
  else:
    best = tuple(float(v) for v in surface.optimal(c))
    if not n[0] < best[0] < n[-1]:
      reason = f'the optimum N {best[0]:.3g} lies outside the sizes tried'
  status = 'ok' if not reason else (
      'extrapolated' if np.isfinite(best[0]) else 'dropped')
  bias = np.nan
  if status == 'dropped':
    spread = np.nan
  elif surface is not None:
    p = surface.params
    bias = parabola_bias(p['alpha'], p['beta'],
                         np.log10(n / surface.optimal(c)[0]))
  return Budget(c, len(n), status, reason, *best, spread,
                int((n < best[0]).sum()), int((n > best[0]).sum()), *curve[1:],
                bias)


def _curve(n, loss):
  """(standard error of the vertex in log N, curvature in log10 N, its
  standard error) of a parabola; nan where points are too few."""
  x = np.log10(n)
  if len(np.unique(x)) < 4:
    return (np.nan,) * 3
  (p, q, _), cov = np.polyfit(x - x.mean(), loss, 2, cov=True)
  slope = np.array([q / (2 * p**2), -1 / (2 * p), 0])  # of -q / (2 p)
  return (float(np.log(10) * np.sqrt(max(slope @ cov @ slope, 0))),
          float(2 * p), float(2 * np.sqrt(max(cov[0, 0], 0))))


def _vertex(n, d, loss):
  """(reason or '', (N, D, L)) at the vertices of parabolas in log N, log D."""
  reason, vertices = '', []
  for size in (n, d):
    x = np.log10(size)
    middle = x.mean()
    curve, slope, level = np.polyfit(x - middle, loss, 2)
    if curve <= 0:
      return 'the parabola opens downward', (np.nan,) * 3
    at = -slope / (2 * curve)
    # Hoffmann et al. use a budget whose vertex lies just past its last point.
    low, high = x.min() - middle, x.max() - middle
    outside = max(low - at, at - high) / (high - low)
    if outside > 0.5:
      return 'the vertex lies far outside the sizes tried', (np.nan,) * 3
    if outside > 0:
      reason = 'the vertex lies outside the sizes tried'
    vertices.append((10**(at + middle), level - slope**2 / (4 * curve)))
  return reason, (vertices[0][0], vertices[1][0], vertices[0][1])


def _akima(n, d, loss):
  """(reason or '', (N, D, L)) at the least value of a spline of log L on a
  grid 25 times finer than the sizes; among equal sizes the first counts."""
  x, first = np.unique(np.log(n), return_index=True)
  fine = np.linspace(x[0], x[-1], 25 * len(x))
  values = Akima1DInterpolator(x, np.log(loss[first]))(fine)
  k = int(values.argmin())
  if k in (0, len(fine) - 1):
    return 'the least loss is at an end of the sizes tried', (np.nan,) * 3
  log_d = np.interp(fine[k], x, np.log(d[first]))
  return '', (float(np.exp(fine[k])), float(np.exp(log_d)),
              float(np.exp(values[k])))


def _akima_noisy(n, d, loss, noise, draws, rng):
  """(reason, median optimum, standard deviation of log N) over noisy draws
  with an interior minimum, at least half of them; plain without noise."""
  reason, best = _akima(n, d, loss)
  if not noise:
    return reason, best, np.nan
  found = [_akima(n, d, loss * np.exp(noise * rng.normal(size=len(n))))
           for _ in range(draws)]
  inside = np.array([at for why, at in found if not why])
  if len(inside) < draws / 2:
    return (f'only {len(inside)} of {draws} noisy draws have an interior '
            'minimum'), (np.nan,) * 3, np.nan
  # The grid has steps: no spread is a spread of a step.
  step = np.log(n[-1] / n[0]) / (25 * len(n))
  return '', tuple(np.median(inside, 0).tolist()), float(
      max(np.log(inside[:, 0]).std(ddof=1), step))


def parabola_bias(alpha: float, beta: float, w: Column) -> float:
  """Relative error of N* that a parabola makes on a noise-free Chinchilla
  curve sampled at w = log10(N / N*), (n,). Zero when alpha = beta and w is
  symmetric; closed form for any grid, by fitting the curve itself."""
  w = np.asarray(w, np.float64)
  curve = 10**(-alpha * w) / alpha + 10**(beta * w) / beta
  p, q, _ = np.polyfit(w, curve, 2)
  return float(10**(-q / (2 * p)) - 1)


class ApproachRow(NamedTuple):
  """One approach to the frontier, beside the others."""

  approach: str
  a: float  # nan where it could not be taken
  b: float
  N: float  # at the C of the comparison
  D: float
  note: str


def side_by_side(f: fits.Fit, at: float, run: Sequence | None = None,
                 budget: Column | None = None, flops: Column | None = None
                 ) -> list[ApproachRow]:
  """Approaches 3, 1 and 2 on the rows of a Chinchilla fit, N* and D* at `at`
  FLOP. run (n,): labels, for approach 1; flops (n,): what each row cost, for
  approach 1, by default 6 N D; budget (n,): FLOP of each row's isoFLOP curve,
  for approach 2. With C = 6 N D a + b is 1 but for error."""
  N, D, L = f.data
  n, d, _ = f.optimal(at)
  a = f.params['beta'] / (f.params['alpha'] + f.params['beta'])
  loose = ', '.join(k for k in f.not_identified if k in f.essential)
  out = [ApproachRow('3: surface', a, 1 - a, float(n), float(d), f.status
                     + (f', not identified: {loose}' if loose else ''))]
  methods = [] if run is None else [('1: envelope', 'hull'),
                                    ('1: envelope', 'grid')]
  methods += [] if budget is None else [
      ('2: isoFLOP', m) for m in ('parabola', 'akima', 'surface')]
  for approach, method in methods:
    name = f'{approach}, {method}'
    try:
      r = (approach1(6 * N * D if flops is None else flops, N, D, L, run,
                     method) if approach[0] == '1'
           else approach2(budget, N, D, L, method, f))
    except ValueError as e:
      out.append(ApproachRow(name, *(np.nan,) * 4, str(e)))
      continue
    if isinstance(r, IsoFlop):
      kept = [b for b in r.budgets if b.status != 'dropped']
      note = f'{len(kept)} of {len(r.budgets)} budgets'
      if method == 'parabola':
        note += (', predicted bias of N* '
                 f'{100 * np.mean([b.bias for b in kept]):+.1f} %')
    else:
      note = f'{len(r.points)} points of the envelope' + (
          '' if flops is None else ', C of its own column')
    out.append(ApproachRow(name, r.a, r.b,
                   float(np.exp(r.n_intercept + r.a * np.log(at))),
                   float(np.exp(r.d_intercept + r.b * np.log(at))), note))
  return out
