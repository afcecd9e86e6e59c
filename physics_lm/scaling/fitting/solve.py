"""Minimising robust objectives: the engine under every fit of a law. No JAX.

Objectives are scaled to order one, refined with L-BFGS and polished with
BFGS, because the default stopping rules compare with max(|f|, 1) and stop
far from a minimum of 1e-3. Float64, NumPy, SciPy; no law is known here.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import threadpoolctl
from scipy import optimize

OBJECTIVES = ('huber_log', 'l1_log', 'squared', 'squared_log', 'huber',
              'asymmetric_log')
L1_DELTA = 1e-6


@functools.cache
def _blas() -> threadpoolctl.ThreadpoolController:
  return threadpoolctl.ThreadpoolController()


@contextmanager
def one_thread() -> Iterator[None]:
  """A context, or by @one_thread() a function, in which NumPy's linear algebra
  uses one thread. A fit multiplies tiny matrices thousands of times: more
  threads do not help, and on a busy machine they wait for one another (10 to
  100 times slower)."""
  with _blas().limit(limits=1, user_api='blas'):
    yield


def penalty(r: np.ndarray, objective: str, delta: float,
            overestimate_cost: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
  """(value, derivative) of the objective at residuals r = predicted - observed,
  each (n,). Huber: r^2 / 2 up to delta, then delta (|r| - delta / 2).
  'asymmetric_log' is Huber with overestimates (r > 0) multiplied by
  `overestimate_cost`."""
  if objective.startswith('squared'):
    return r**2, 2 * r
  if objective == 'l1_log':
    delta = L1_DELTA  # smooth at zero, |r| to nine digits elsewhere
  slope = np.clip(r, -delta, delta)
  value = slope * (r - slope / 2)
  if objective == 'l1_log':
    value, slope = value / delta, slope / delta
  if objective == 'asymmetric_log':
    cost = np.where(r > 0, overestimate_cost, 1.0)
    value, slope = value * cost, slope * cost
  return value, slope


class FitProblem(NamedTuple):
  """A law on data: what one minimisation needs."""

  model: Callable  # theta (p,) -> (prediction (n,), jacobian (n, p))
  observed: np.ndarray  # (n,) on the model's scale
  weights: np.ndarray  # (n,)
  objective: str
  delta: float
  overestimate_cost: float
  limits: Callable | None = None  # theta -> (k,), each >= 0 where allowed

  def value(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
    """(sum of weighted penalties, gradient (p,))."""
    predicted, jacobian = self.model(theta)
    value, slope = penalty(predicted - self.observed, self.objective,
                           self.delta, self.overestimate_cost)
    return self.weights @ value, (self.weights * slope) @ jacobian

  def scale(self) -> float:
    """The factor by which the objective is of order one."""
    unit = {'l1_log': 1.0, 'squared': 1e-3, 'squared_log': 1e-3}.get(
        self.objective, self.delta)
    return unit * self.weights.sum()

  def allows(self, theta: np.ndarray) -> bool:
    """Whether theta is within the limits."""
    return self.limits is None or bool((self.limits(theta) >= -1e-9).all())


class Minimum(NamedTuple):
  theta: np.ndarray
  value: float  # of the objective, unscaled
  gradient: float  # norm, of the scaled objective
  agree: int  # starts that end within 1e-4 of the best
  starts: int


def log_sum(design: np.ndarray, offset: np.ndarray | float = 0.0) -> Callable:
  """The model log sum_k exp(design[k] theta + offset[k]) of a law that is a
  sum of power laws: design [terms, n, p], offset [terms, n]."""

  def model(theta):
    terms = design @ theta + offset
    value = np.logaddexp.reduce(terms, axis=0)
    share = np.exp(terms - value)
    return value, np.einsum('kn,knp->np', share, design)

  return model


def exponential(model: Callable) -> Callable:
  """A model of the logarithm as a model of the value."""

  def raw(theta):
    value, jacobian = model(theta)
    value = np.exp(value)
    return value, value[:, None] * jacobian

  return raw


def minimise(problem: FitProblem, seeds: Iterable[Sequence[float]],
             starts: int) -> Minimum:
  """The best `starts` seeds by the objective itself, refined and polished."""
  with one_thread():
    ranked = sorted((np.asarray(s, np.float64) for s in seeds),
                    key=lambda s: problem.value(s)[0])
    scale = problem.scale()
    ends = [refine(problem, s, scale) for s in ranked[:starts]]
  best = min(ends, key=lambda e: e[1])
  # 1e-12 of an objective of order one: below it, all is rounding.
  agree = sum(e[1] <= best[1] * (1 + 1e-4) + 1e-12 for e in ends)
  return Minimum(best[0], best[1] * scale, best[2], int(agree), len(ends))


def refine(problem: FitProblem, theta: np.ndarray, scale: float,
           tolerance: float = 0.0) -> tuple[np.ndarray, float, float]:
  """(theta, scaled objective, gradient norm) of the minimum near theta; where
  that breaks a limit, of the minimum within the limits. A gradient below
  `tolerance` needs no polish."""

  def scaled(t):
    value, grad = problem.value(t)
    return value / scale, grad / scale

  with np.errstate(over='ignore', invalid='ignore'):
    rough = optimize.minimize(
        scaled, theta, jac=True, method='L-BFGS-B', options={
            'maxcor': 20, 'ftol': 1e-15, 'gtol': 1e-10, 'maxiter': 5000,
            'maxfun': 10_000})
    found = [rough]
    if not np.linalg.norm(rough.jac) < tolerance:
      found.append(optimize.minimize(scaled, rough.x, jac=True, method='BFGS',
                                     options={'gtol': 1e-9}))
    best = min(found, key=operator.attrgetter('fun'))
    if problem.allows(best.x):
      return best.x, best.fun, float(np.linalg.norm(scaled(best.x)[1]))
    inside = optimize.minimize(
        scaled, theta, jac=True, method='SLSQP',
        constraints={'type': 'ineq', 'fun': problem.limits},
        options={'ftol': 1e-15, 'maxiter': 2000})
    return inside.x, inside.fun, _outward(problem, inside.x,
                                          scaled(inside.x)[1])


def _outward(problem: FitProblem, theta, gradient) -> float:
  """The part of the gradient at a point within limits that no limit in force
  holds back (Karush, Kuhn and Tucker); inf outside the limits."""
  distance = problem.limits(theta)
  if not np.isfinite(distance).all() or (distance < -1e-6).any():
    return np.inf
  step = 1e-6 * np.eye(len(theta))
  normals = np.stack([(problem.limits(theta + h) - problem.limits(theta - h))
                      / 2e-6 for h in step])  # [p, limits]
  if not np.isfinite(gradient).all():
    return np.inf
  return float(optimize.nnls(normals[:, distance < 1e-6], gradient)[1]
               if (distance < 1e-6).any() else np.linalg.norm(gradient))


def covariance(problem: FitProblem, theta: np.ndarray) -> np.ndarray:
  """(p, p) of theta, linearised about the fit; weights count as inverse
  variances. The size of an error is 1.4826 times the median absolute
  residual, and below 30 rows at least the root mean square. Too small where
  errors are long-tailed: intervals come from the bootstrap. Infinite with
  fewer than three rows more than parameters."""
  predicted, jacobian = problem.model(theta)
  w = problem.weights
  r = (np.sqrt(w) * (predicted - problem.observed))[w > 0]
  n, p = len(r), len(theta)
  hessian = (jacobian * w[:, None]).T @ jacobian
  if n - p < 3 or not np.isfinite(hessian).all():
    return 1e300 * np.eye(p)
  noise = 1.4826 * np.median(np.abs(r - np.median(r)))
  if n < 30:
    noise = max(noise, np.sqrt((r**2).mean()))
  size, axes = np.linalg.eigh(hessian)
  if size[-1] <= 0:
    return 1e300 * np.eye(p)  # nothing moves the prediction
  size = np.maximum(size, 1e-15 * size[-1])  # a flat direction is wide
  return noise**2 * n / (n - p) * (axes / size) @ axes.T
