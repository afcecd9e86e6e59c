"""Minimising robust objectives: the engine under every fit of a law.

Objectives are scaled to order one, refined with L-BFGS and polished with
BFGS, because the default stopping rules compare with max(|f|, 1) and stop
far from a minimum of 1e-3. Float64, NumPy, SciPy; knows no law.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize

OBJECTIVES = ('huber_log', 'l1_log', 'squared', 'squared_log', 'huber',
              'asymmetric_log')
L1_DELTA = 1e-6


def penalty(r, objective: str, delta: float, over: float = 1.0):
  """(value, derivative) of the objective at residuals r = fit - seen, each
  (n,). Huber: r^2 / 2 up to delta, then delta (|r| - delta / 2).
  'asymmetric_log' is Huber with over-estimates (r > 0) `over` times dearer."""
  if objective.startswith('squared'):
    return r**2, 2 * r
  if objective == 'l1_log':
    delta = L1_DELTA  # smooth at zero, |r| to nine digits elsewhere
  slope = np.clip(r, -delta, delta)
  value = slope * (r - slope / 2)
  if objective == 'l1_log':
    value, slope = value / delta, slope / delta
  if objective == 'asymmetric_log':
    dear = np.where(r > 0, over, 1.0)
    value, slope = value * dear, slope * dear
  return value, slope


class Problem(NamedTuple):
  """A law on data: what one minimisation needs."""

  model: Callable  # theta (p,) -> (prediction (n,), jacobian (n, p))
  seen: np.ndarray  # (n,) on the model's scale
  weights: np.ndarray  # (n,)
  objective: str
  delta: float
  over: float
  limits: Callable | None = None  # theta -> (k,), each >= 0 where allowed

  def value(self, theta) -> tuple[float, np.ndarray]:
    """(sum of weighted penalties, gradient (p,))."""
    guess, jacobian = self.model(theta)
    value, slope = penalty(guess - self.seen, self.objective, self.delta,
                           self.over)
    return self.weights @ value, (self.weights * slope) @ jacobian

  def scale(self) -> float:
    """What makes the objective of order one."""
    unit = {'l1_log': 1.0, 'squared': 1e-3, 'squared_log': 1e-3}.get(
        self.objective, self.delta)
    return unit * self.weights.sum()

  def allows(self, theta) -> bool:
    return self.limits is None or bool((self.limits(theta) >= -1e-9).all())


class Minimum(NamedTuple):
  theta: np.ndarray
  value: float  # of the objective, unscaled
  gradient: float  # norm, of the scaled objective
  agree: int  # starts that end within 1e-4 of the best
  starts: int


def log_sum(design, offset=0.0):
  """The model log sum_k exp(design[k] theta + offset[k]) of a law that is a
  sum of power laws: design [terms, n, p], offset [terms, n]."""

  def model(theta):
    terms = design @ theta + offset
    value = np.logaddexp.reduce(terms, axis=0)
    share = np.exp(terms - value)
    return value, np.einsum('kn,knp->np', share, design)

  return model


def exponential(model):
  """A model of the logarithm as a model of the value."""

  def raw(theta):
    value, jacobian = model(theta)
    value = np.exp(value)
    return value, value[:, None] * jacobian

  return raw


def minimise(problem: Problem, seeds, starts: int) -> Minimum:
  """The best `starts` seeds by the objective itself, refined and polished."""
  ranked = sorted((np.asarray(s, np.float64) for s in seeds),
                  key=lambda s: problem.value(s)[0])
  scale = problem.scale()
  ends = [refine(problem, s, scale) for s in ranked[:starts]]
  best = min(ends, key=lambda e: e[1])
  # 1e-12 of an objective of order one: below it, all is rounding.
  agree = sum(e[1] <= best[1] * (1 + 1e-4) + 1e-12 for e in ends)
  return Minimum(best[0], best[1] * scale, best[2], int(agree), len(ends))


def refine(problem: Problem, theta, scale: float):
  """(theta, scaled objective, gradient norm) of the minimum near theta; where
  that breaks a limit, of the minimum within the limits."""

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
    if problem.allows(end.x):
      return end.x, end.fun, float(np.linalg.norm(scaled(end.x)[1]))
    held = optimize.minimize(
        scaled, theta, jac=True, method='SLSQP',
        constraints={'type': 'ineq', 'fun': problem.limits},
        options={'ftol': 1e-15, 'maxiter': 2000})
    return held.x, held.fun, _outward(problem, held.x, scaled(held.x)[1])


def _outward(problem: Problem, theta, gradient) -> float:
  """What is left of the gradient at a point within limits, after all that the
  limits in force hold back (Karush, Kuhn and Tucker); inf outside them."""
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


def covariance(problem: Problem, theta) -> np.ndarray:
  """(p, p) of theta, linearised about the fit; weights count as inverse
  variances. The size of an error is 1.4826 times the median absolute
  residual, and below 30 rows at least the root mean square. Too small where
  errors are long-tailed: intervals are for the bootstrap to give. Infinite
  with fewer than three rows more than parameters."""
  guess, jacobian = problem.model(theta)
  w = problem.weights
  r = (np.sqrt(w) * (guess - problem.seen))[w > 0]
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
