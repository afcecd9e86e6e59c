"""Scaling laws as plain functions, and published constants as named sets.

This module imports no JAX: the functions use the namespace of their arguments,
so they take NumPy arrays (float64 throughout) or JAX arrays, also under jit,
grad and vmap. Units: N parameters, D tokens, C FLOP, S steps, B
tokens per batch, L nats per token. Arguments broadcast.
"""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

PF_DAY = 8.64e19  # FLOP
Array = float | np.ndarray  # or a JAX array


def _xp(*values):
  """JAX's namespace when any value is a JAX array, else NumPy."""
  for v in values:
    if hasattr(v, '__array_namespace__') and not isinstance(
        v, (np.ndarray, np.generic)):
      return v.__array_namespace__()
  return np


# --- Kaplan, McCandlish et al. 2020 (arXiv 2001.08361); N without embeddings.
# Each law has its own constants: those of L(N, D) are not those of L(D).
KAPLAN = SimpleNamespace(
    n={'alpha': 0.076, 'N_c': 8.8e13},
    d={'alpha': 0.095, 'D_c': 5.4e13},
    c={'alpha': 0.057, 'C_c': 1.6e7 * PF_DAY},
    c_min={'alpha': 0.050, 'C_c': 3.1e8 * PF_DAY},
    nd={'alpha_N': 0.076, 'alpha_D': 0.103, 'N_c': 6.4e13, 'D_c': 1.8e13},
    ns={'alpha_N': 0.077, 'alpha_S': 0.76, 'N_c': 6.5e13, 'S_c': 2.1e3},
    batch={'B_star': 2.1e8, 'alpha_B': 0.21})


def kaplan_n(N: Array, alpha: Array, N_c: Array) -> Array:
  """L(N): data abundant, trained to convergence."""
  return (N_c / N)**alpha


def kaplan_d(D: Array, alpha: Array, D_c: Array) -> Array:
  """L(D): a large model, stopped early."""
  return (D_c / D)**alpha


def kaplan_c(C: Array, alpha: Array, C_c: Array) -> Array:
  """L(C), or L(C_min) with those constants; C in FLOP."""
  return (C_c / C)**alpha


def kaplan_nd(N: Array, D: Array, alpha_N: Array, alpha_D: Array, N_c: Array,
              D_c: Array) -> Array:
  """L(N, D), equation 1.5."""
  return ((N_c / N)**(alpha_N / alpha_D) + D_c / D)**alpha_D


def kaplan_ns(N: Array, S_min: Array, alpha_N: Array, alpha_S: Array,
              N_c: Array, S_c: Array) -> Array:
  """L(N, S_min), equation 1.6; S_min steps at an unlimited batch."""
  return (N_c / N)**alpha_N + (S_c / S_min)**alpha_S


def critical_batch(L: Array, B_star: Array, alpha_B: Array) -> Array:
  """Tokens a batch at which time and compute trade evenly, equation 1.4."""
  return B_star / L**(1 / alpha_B)


def batch_adjust(S: Array, B: Array, C: Array, L: Array, B_star: Array,
                 alpha_B: Array) -> tuple[Array, Array]:
  """(S_min, C_min): steps at an unlimited batch and compute at a tiny one
  that reach the loss L which S steps of B tokens and C FLOP reached
  (equations 5.4 and 5.5)."""
  B_crit = critical_batch(L, B_star, alpha_B)
  return S / (1 + B_crit / B), C / (1 + B / B_crit)


def kaplan_exponents(alpha_N: float, alpha_S: float, alpha_B: float
                     ) -> dict[str, float]:
  """Exponents of L, N, B and S in C_min, derived (section 6); the paper's
  printed values are fitted, and differ by rounding."""
  alpha_C = 1 / (1 / alpha_S + 1 / alpha_B + 1 / alpha_N)
  return {'alpha_C': alpha_C, 'N': alpha_C / alpha_N, 'B': alpha_C / alpha_B,
          'S': alpha_C / alpha_S}


# --- Hoffmann et al. 2022 (arXiv 2203.15556); N with embeddings.
HOFFMANN = {'E': 1.69, 'A': 406.4, 'B': 410.7, 'alpha': 0.34, 'beta': 0.28}
# The unrounded values in the paper's TeX source.
HOFFMANN_TEX = {
    'E': float(np.exp(0.5267228)), 'A': float(np.exp(6.0073404)),
    'B': float(np.exp(6.0179186)), 'alpha': 0.33917084, 'beta': 0.2849083}
# The minimum of the paper's stated objective on the 240 points that Besiroglu
# et al. 2024 (arXiv 2404.10102) read off its figure.
EPOCH_HUBER = {'E': 1.817218, 'A': 477.826, 'B': 2143.417,
               'alpha': 0.3473105, 'beta': 0.3671724}


def chinchilla(N: Array, D: Array, E: Array, A: Array, B: Array, alpha: Array,
               beta: Array) -> Array:
  """L(N, D) = E + A N^-alpha + B D^-beta, equation 2."""
  return E + A * N**-alpha + B * D**-beta


def p_norm(N: Array, D: Array, E: Array, A: Array, B: Array, alpha: Array,
           beta: Array, p: Array) -> Array:
  """E + ((A N^-alpha)^p + (B D^-beta)^p)^(1/p): the limits of size and data,
  A N^-alpha and B D^-beta, combined by their p-norm.

  p = 1 is Chinchilla's sum; p = 1 / alpha_D without E is Kaplan's L(N, D). The
  greater p, the more the worse limit alone counts; below 1, runs limited by
  both lose more than the sum."""
  return E + ((A * N**-alpha)**p + (B * D**-beta)**p)**(1 / p)


def size_dependent_exponent(N: Array, D: Array, E: Array, K: Array,
                            alpha: Array, beta: Array, gamma: Array) -> Array:
  """E + K N^-alpha D^-(beta + gamma ln N): the excess loss of every size falls
  to 0, with an exponent in D of its own; no size has a limit of its own."""
  xp = _xp(N, D, K)
  return E + K * N**-alpha * D**-(beta + gamma * xp.log(N))


def chinchilla_optimal(params: dict, C: Array, flops: Callable | None = None
                       ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(N*, D*, L*) that spend C FLOP best, each of C's shape, float64.

  With C = 6 N D in closed form. `flops(N, D)`, increasing in both, for other
  conventions: minimised over log N, with D from C at each N.
  """
  C = np.asarray(C, np.float64)
  A, B = params['A'], params['B']
  alpha, beta = params['alpha'], params['beta']
  G = (alpha * A / (beta * B))**(1 / (alpha + beta))
  N = G * (C / 6)**(beta / (alpha + beta))
  D = (C / 6)**(alpha / (alpha + beta)) / G
  if flops is not None:
    pairs = [_best_pair(params, c, start, flops)
             for c, start in zip(C.ravel(), np.log(N).ravel())]
    N, D = (np.reshape(x, C.shape) for x in zip(*pairs))
  return N, D, chinchilla(N, D, **params)


def _best_pair(params: dict, c: float, start: float, flops: Callable):
  """(N, D) of the least loss at c FLOP; the search starts at log N = start."""
  from scipy.optimize import brentq, minimize_scalar

  def gap(log_d, log_n):
    return np.log(flops(np.exp(log_n), np.exp(log_d)) / c)

  def tokens(log_n):
    return np.exp(brentq(gap, -50, np.log(c), args=(log_n,), xtol=1e-13))

  def loss(log_n):
    return chinchilla(np.exp(log_n), tokens(log_n), **params)

  log_n = minimize_scalar(loss, bracket=(start - 0.5, start + 0.5),
                          options={'xtol': 1e-10}).x
  return np.exp(log_n), tokens(log_n)


def offset_power(x: Array, c: Array, k: Array, alpha: Array) -> Array:
  """c + k x^-alpha."""
  return c + k * x**-alpha


def power_product(x: Array, c: Array, k: Array, p: Array) -> Array:
  """c + k x_1^p_1 x_2^p_2 ... of x [..., variables]; the step law, for
  instance, is the learning rate 1.79 N^-0.713 D^0.307 (Li et al. 2025, arXiv
  2503.04715)."""
  xp = _xp(x, c, k, p)
  return c + k * xp.exp(xp.log(x) @ p)


def downstream_error(L: Array, eps: Array, k: Array, gamma: Array) -> Array:
  """eps - k exp(-gamma L): the error on downstream tasks at the loss L; eps is
  the error of guessing (Gadre et al. 2024, arXiv 2403.08540)."""
  xp = _xp(L, eps, k, gamma)
  return eps - k * xp.exp(-gamma * L)


def speedup(better: Array, worse: Array, asymptote: float, alpha: float
            ) -> Array:
  """The factor by which the recipe of loss `better` needs less compute to reach
  the loss `worse`, when loss is asymptote + k C^-alpha; at any budget."""
  return ((worse - asymptote) / (better - asymptote))**(1 / alpha)


# --- Muennighoff et al. 2023 (arXiv 2305.16264).
MUENNIGHOFF = {
    'E': float(np.exp(0.6254804)), 'A': float(np.exp(6.255414)),
    'B': float(np.exp(7.3049974)), 'alpha': 0.3526596, 'beta': 0.3526596,
    'R_D': 15.387756, 'R_N': 5.309743}


def data_constrained(N: Array, D: Array, U: Array, E: Array, A: Array, B: Array,
                     alpha: Array, beta: Array, R_D: Array, R_N: Array
                     ) -> Array:
  """Chinchilla with D tokens of which U are unique: repeated tokens, and
  parameters in excess of what U tokens call for, are worth less and less."""
  xp = _xp(N, D, U, E, A, B, alpha, beta, R_D, R_N)
  U = xp.minimum(U, D)
  G = (alpha * A / (beta * B))**(1 / (alpha + beta))
  U_N = (U * G)**(beta / alpha) * G
  U_N = xp.minimum(N, U_N)
  return chinchilla(_saturating(xp, U_N, N, R_N), _saturating(xp, U, D, R_D),
                    E, A, B, alpha, beta)


def _saturating(xp, unique, total, rate):
  """The effective amount of a total of which `unique` is unique."""
  return unique * (1 - rate * xp.expm1(-(total / unique - 1) / rate))


def mixing(r: Array, c: Array, u: Array) -> Array:
  """c + exp(r . u): loss of one domain for shares r [..., M] that sum to 1
  (Ye et al. 2024, arXiv 2403.16952). The paper's k exp(t . r) is not identified
  on the simplex; u = t + log k is."""
  xp = _xp(r, c, u)
  return c + xp.exp(r @ u)


def dcpt(N: Array, D: Array, r: Array, E: Array, A: Array, B: Array, C: Array,
         alpha: Array, beta: Array, gamma: Array, eta: Array, eps: Array
         ) -> Array:
  """Domain-specific continual pretraining (Que et al. 2024, arXiv
  2406.01375): r is the share of the corpus whose loss it is."""
  return E + A / N**alpha + B * r**eta / D**beta + C / (r + eps)**gamma
