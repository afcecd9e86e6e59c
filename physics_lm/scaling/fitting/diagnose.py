"""Diagnostics of a fit of L(N, D): how well it fits, how well it is
determined, how it predicts runs that were left out. No JAX."""

from collections.abc import Sequence

import numpy as np

from physics_lm.scaling.fitting import core, fits, solve


def frontier_exponent(law: str, params: dict) -> float | np.ndarray:
  """a of N* ~ C^a with C = 6 N D, of one set of parameters or of arrays of
  them. Raises ValueError for a law that has none."""
  if law in ('chinchilla', 'p_norm'):  # whatever p is
    return params['beta'] / (params['alpha'] + params['beta'])
  if law == 'kaplan':
    return params['alpha_D'] / (params['alpha_N'] + params['alpha_D'])
  raise ValueError(f'a {law} fit, wanted chinchilla or p_norm or kaplan')


def _a(f: fits.Fit) -> float:
  return float(frontier_exponent(f.law, f.params))


def _refit(f: fits.Fit, keep: np.ndarray) -> fits.Fit:
  """The same fit, from scratch, to some of the rows."""
  N, D, L = (column[keep] for column in f.data)
  options = {'objective': f.objective_name, 'delta': f.delta,
             'weights': f.problem.weights[keep], 'bounds': f.bounds,
             'overestimate_cost': f.problem.overestimate_cost}
  if f.law != 'chinchilla':
    law = {'kaplan': fits.kaplan_nd, 'p_norm': fits.p_norm}[f.law]
    return law(N, D, L, **options)
  return fits.chinchilla(N, D, L, tie=f.params['alpha'] == f.params['beta'],
                         **f.fixed, **options)


@solve.one_thread()
def diagnose(f: fits.Fit) -> dict[str, float]:
  """Residuals (mean, sd, median absolute deviation, largest, share inside
  delta), R2 of log and raw loss, and the condition number of J'WJ in the
  fit's coordinates, (a, b, e, alpha, beta) for Chinchilla: beyond 1e10 or so,
  parameters trade against each other and only predictions mean anything."""
  r = f.residuals
  *x, L = f.data
  predicted = f.predict(*x)
  jacobian = f.problem.model(f.theta)[1]
  hessian = (jacobian * f.problem.weights[:, None]).T @ jacobian
  return {
      'mean': float(r.mean()), 'sd': float(r.std(ddof=1)),
      'mad': float(np.median(np.abs(r - np.median(r)))),
      'largest': float(np.abs(r).max()),
      'inside_delta': float((np.abs(r) <= f.delta).mean()),
      'r2_log': _r2(np.log(predicted), np.log(L)), 'r2': _r2(predicted, L),
      'condition': float(np.linalg.cond(hessian))
                   if np.isfinite(hessian).all() else np.inf}


def _r2(predicted: np.ndarray, observed: np.ndarray) -> float:
  """The share of the variance that a prediction explains."""
  return float(1 - ((predicted - observed)**2).sum()
               / ((observed - observed.mean())**2).sum())


def holdout(f: fits.Fit, cuts: Sequence[float] = (0.25, 0.5, 0.75),
            by: str = 'C') -> list[dict]:
  """Fits the rows below each cut, from scratch, and predicts the others.

  cuts: shares of the rows by C = 6 N D, or by 'N' or 'D'. Mean relative error
  and bias (predicted over observed) of the rows above, and a. Where too few
  are left, 'reason'.
  """
  N, D, L = f.data
  key, out = {'C': 6 * N * D, 'N': N, 'D': D}[by], []
  for cut in cuts:
    at = np.quantile(key, cut)
    below = key <= at
    row = {'cut': float(at), 'below': int(below.sum()),
           'above': int((~below).sum())}
    try:
      part = _refit(f, below)
    except ValueError as e:
      out.append(row | {'reason': str(e)})
      continue
    if not row['above']:
      out.append(row | {'reason': 'no rows above the cut'})
      continue
    error = part.predict(N[~below], D[~below]) / L[~below] - 1
    out.append(row | {'error': float(np.abs(error).mean()),
                      'bias': float(error.mean()), 'a': _a(part),
                      'status': part.status})
  return out


def explained_variance(f: fits.Fit, groups: Sequence | None = None) -> float:
  """R2 of a law: with groups (n,), of runs it was not fitted to, those of each
  label predicted from the others, from the optimum (as in Que et al. 2024,
  arXiv 2406.01375). Rows of label nan are in every fit and are not predicted.
  nan where the others cannot be fitted, or their fit predicts no number. Raises
  ValueError for labels of another length."""
  *x, L = f.data
  if groups is None:
    return _r2(f.predict(*x), L)
  groups, predicted = np.asarray(groups, float), np.full(f.n, np.nan)
  if len(groups) != f.n:
    raise ValueError(f'{len(groups)} group labels for {f.n} points')
  judged = ~np.isnan(groups)
  for label in np.unique(groups[judged]):
    out = groups == label
    with np.errstate(over='ignore', invalid='ignore'):  # far off: no number
      if params := f.reweighted((~out).astype(float)):
        predicted[out] = core.LAWS[f.law](*(v[out] for v in x), **params)
  return _r2(predicted[judged], L[judged])


def leave_one_out(f: fits.Fit, groups: Sequence) -> list[dict]:
  """Each run left out in turn, from the optimum: a without it, and by how
  much it moved, the greatest influence first. Raises ValueError for labels of
  another length, and laws without an allocation."""
  groups, out = np.asarray(groups), []
  if len(groups) != f.n:
    raise ValueError(f'{len(groups)} group labels for {f.n} points')
  full = _a(f)
  for label in np.unique(groups):
    params = f.reweighted(groups != label)
    a = frontier_exponent(f.law, params) if params else np.nan
    out.append({'left_out': str(label), 'rows': int((groups == label).sum()),
                'a': a, 'moved': a - full})
  return sorted(out, key=lambda row: -abs(np.nan_to_num(row['moved'])))


def trim(f: fits.Fit, counts: Sequence[int] = (1, 2, 5, 10)) -> list[dict]:
  """Without the k highest losses, from scratch: a and the parameters. A fit
  that moves much leans on its worst runs."""
  order, out = np.argsort(-f.data[-1]), []
  for k in counts:
    keep = np.ones(f.n, bool)
    keep[order[:k]] = False
    try:
      part = _refit(f, keep)
    except ValueError as e:
      out.append({'without': k, 'reason': str(e)})
      continue
    out.append({'without': k, 'a': _a(part), **part.params})
  return out


def compare(N: np.ndarray, D: np.ndarray, L: np.ndarray,
            weights: np.ndarray | None = None) -> list[dict]:
  """Chinchilla; with alpha = beta; without E; the p-norm, of which it is a
  case; exponents in D that grow with N; and Kaplan's form on equal data: all by
  least squares of log loss, so that AICc (normal errors; lower is better)
  compares like with like. The best first."""
  options = {'objective': 'squared_log', 'weights': weights}
  by_law = {
      'chinchilla': (fits.chinchilla(N, D, L, **options), 5),
      'alpha = beta': (fits.chinchilla(N, D, L, tie=True, **options), 4),
      'without E': (fits.chinchilla(N, D, L, E=0, **options), 4),
      'p_norm': (fits.p_norm(N, D, L, **options), 6),
      'size_dependent_exponent': (
          fits.size_dependent_exponent(N, D, L, **options), 5),
      'kaplan': (fits.kaplan_nd(N, D, L, **options), 4)}
  out = []
  for name, (f, k) in by_law.items():
    k += 1  # the spread of the residuals
    aicc = f.n * np.log(max(f.objective, 1e-300) / f.n) + 2 * k + (
        2 * k * (k + 1) / (f.n - k - 1) if f.n > k + 1 else np.inf)
    out.append({'law': name, 'parameters': k - 1, 'squares': f.objective,
                'aicc': float(aicc)})
  return sorted(out, key=lambda row: row['aicc'])
