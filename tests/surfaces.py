"""isoFLOP data of known laws, for tests of fits."""

import numpy as np

from physics_lm.scaling import laws

SURFACES = {
    'symmetric': {'E': 1.69, 'A': 400.0, 'B': 400.0, 'alpha': 0.31,
                  'beta': 0.31},
    'chinchilla': {'E': 1.69, 'A': 406.4, 'B': 410.7, 'alpha': 0.34,
                   'beta': 0.28},
    'asymmetric': {'E': 1.69, 'A': 406.4, 'B': 410.7, 'alpha': 0.465,
                   'beta': 0.155}}


def isoflop(surface, half_width, budgets=5, points=15):
  """(C, N, D, L) around the optimum of each budget, without noise."""
  C = np.repeat(np.geomspace(1e17, 1e21, budgets), points)
  best, _, _ = laws.chinchilla_optimal(surface, C)
  N = best * np.tile(np.geomspace(1 / half_width, half_width, points), budgets)
  D = C / (6 * N)
  return C, N, D, laws.chinchilla(N, D, **surface)


def noisy_isoflop():
  """(C, N, D, L) of the Chinchilla surface with long-tailed noise."""
  rng = np.random.default_rng(0)
  C, N, D, L = isoflop(SURFACES['chinchilla'], 8)
  return C, N, D, L * np.exp(0.003 * rng.standard_t(3, len(L)))
