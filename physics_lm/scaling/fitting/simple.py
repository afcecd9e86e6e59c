"""Fits of laws that are not of N and D: powers of named quantities, and the
downstream error as a function of the loss. No JAX."""

import numpy as np

from physics_lm.scaling.fitting import core, solve
from physics_lm.scaling.fitting.core import Fit


@solve.one_thread()
def power_law(x: np.ndarray, y: np.ndarray, asymptote: bool = True,
              seed: int = 0, **options) -> Fit:
  """Fits y = c + k x_1^p_1 x_2^p_2 ... to x (n,) or (n, variables) and y (n,),
  in the units given: laws.power_product. Without `asymptote` c is 0. Options as
  fits.p_norm's; `seed` changes nothing, the starts are few. Raises ValueError
  for bad input."""
  x = np.asarray(x, np.float64)
  x = x[:, None] if x.ndim == 1 else x
  least = 3 if asymptote else 2
  *columns, y = core.checked(*x.T, y, least=1 + asymptote + x.shape[1])
  for i, c in enumerate(columns):
    if len(np.unique(c)) < least:
      raise ValueError(f'{len(np.unique(c))} distinct values of variable '
                       f'{i + 1}, wanted {least}')
  z, means = (np.array(v) for v in zip(*map(core.centred, columns)))
  count = 2 if asymptote else 1
  design = np.zeros((count, len(y), count + len(z)))
  design[0, :, 0] = 1  # log k at the centre
  design[0, :, count:] = z.T
  if asymptote:
    design[1, :, 1] = 1  # log c

  def unpack(theta):
    p = np.array(theta[count:])
    return {'c': float(np.exp(theta[1])) if asymptote else 0.0,
            'k': float(np.exp(theta[0] - p @ means)), 'p': p}

  def seeds(root):
    for share in (0.0, 0.3, 0.6, 0.8, 0.9, 0.97) if asymptote else (0.0,):
      level = share * y.min()
      linear = np.column_stack([np.ones_like(y), z.T])
      k, *p = np.linalg.lstsq(linear, np.log(y - level), rcond=None)[0]
      # A start at c = 0 has no logarithm.
      yield [k, *[np.log(max(level, 1e-3 * y.min()))] * asymptote, *p]

  rank = np.linalg.matrix_rank(np.column_stack([np.ones_like(y), z.T]))
  return core.fit_law(
      'power', solve.log_sum(design), (x,), y, seeds, unpack,
      essential=tuple(f'p[{i}]' for i in range(len(z))),
      amplitudes=('k', 'c')[:count],
      narrow=tuple(f'p[{i}]' for i, c in enumerate(columns)
                   if rank <= len(z) or c.max() / c.min() < core.SPAN),
      fixed={} if asymptote else {'c': 0.0}, **options)


@solve.one_thread()
def downstream(L: np.ndarray, error: np.ndarray, objective: str = 'squared',
               seed: int = 0, **options) -> Fit:
  """Fits error = eps - k exp(-gamma L) to losses and errors, (n,) each, on the
  error itself: laws.downstream_error. Options as power_law's, but for
  objectives of the logarithm. Raises ValueError for bad input."""
  L, error = core.checked(L, error, least=3)
  core.varied(L=L)
  z = L - L.mean()

  def model(theta):
    eps, k, gamma = np.exp(np.clip(theta, -700, 700))
    term = k * np.exp(-gamma * z)
    return eps - term, np.stack(
        [np.full_like(z, eps), -term, term * gamma * z], 1)

  def unpack(theta):
    eps, k, gamma = np.exp(np.clip(theta, -700, 700))
    return {'eps': float(eps), 'k': float(k * np.exp(gamma * L.mean())),
            'gamma': float(gamma)}

  def seeds(root):
    for gamma in np.geomspace(0.02, 20, 40) / max(np.ptp(L), 1e-300):
      linear = np.stack([np.ones_like(z), -np.exp(-gamma * z)], 1)
      found = np.linalg.lstsq(linear * root[:, None], error * root,
                              rcond=None)[0]
      yield np.log([*np.maximum(found, 1e-6 * error.mean()), gamma])

  return core.fit_law(
      'downstream', model, (L,), error, seeds, unpack, raw=True,
      essential=('eps', 'gamma'), amplitudes=('eps', 'k'), objective=objective,
      **options)
