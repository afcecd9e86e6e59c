"""What a fit of L(N, D) should carry with it: how well it fits, how well it
is determined, how it predicts runs that it has not seen. No JAX."""

import numpy as np

from physics_lm.scaling import fit

# The exponent a of N* ~ C^a with C = 6 N D, by law.
ALLOCATION = {
    'chinchilla': lambda p: p['beta'] / (p['alpha'] + p['beta']),
    'p_norm': lambda p: p['beta'] / (p['alpha'] + p['beta']),  # whatever p is
    'kaplan': lambda p: p['alpha_D'] / (p['alpha_N'] + p['alpha_D'])}


def _a(f: fit.Fit, params=None) -> float:
  if f.law not in ALLOCATION:
    raise ValueError(f'a {f.law} fit, wanted {" or ".join(ALLOCATION)}')
  return float(ALLOCATION[f.law](f.params if params is None else params))


def _refit(f: fit.Fit, keep) -> fit.Fit:
  """The same fit, from scratch, to some of the rows."""
  N, D, L = (column[keep] for column in f.data)
  options = {'objective': f.objective_name, 'delta': f.delta,
             'weights': f.problem.weights[keep], 'over': f.problem.over,
             'bounds': f.bounds}
  if f.law != 'chinchilla':
    law = {'kaplan': fit.kaplan_nd, 'p_norm': fit.p_norm}[f.law]
    return law(N, D, L, **options)
  return fit.chinchilla(N, D, L, tie=f.params['alpha'] == f.params['beta'],
                        asymptote=f.params['E'] > 0, **options)


def diagnose(f: fit.Fit) -> dict[str, float]:
  """Residuals (mean, sd, median absolute deviation, largest, share inside
  delta), R2 of log and raw loss, and the condition number of J'WJ in the
  fit's coordinates, (a, b, e, alpha, beta) for Chinchilla: beyond 1e10 or so,
  parameters trade against each other and only predictions mean anything."""
  r = f.residuals
  *x, L = f.data
  guess = f.predict(*x)
  r2 = lambda got, seen: float(
      1 - ((got - seen)**2).sum() / ((seen - seen.mean())**2).sum())
  jacobian = f.problem.model(f.theta)[1]
  hessian = (jacobian * f.problem.weights[:, None]).T @ jacobian
  return {
      'mean': float(r.mean()), 'sd': float(r.std(ddof=1)),
      'mad': float(np.median(np.abs(r - np.median(r)))),
      'largest': float(np.abs(r).max()),
      'inside_delta': float((np.abs(r) <= f.delta).mean()),
      'r2_log': r2(np.log(guess), np.log(L)), 'r2': r2(guess, L),
      'condition': float(np.linalg.cond(hessian))}


def holdout(f: fit.Fit, cuts=(0.25, 0.5, 0.75), by: str = 'C') -> list[dict]:
  """Fits the rows below each cut, from scratch, and predicts the others.

  cuts: shares of the rows by C = 6 N D, or by 'N' or 'D'. Mean relative error
  and bias (predicted over seen) of the rows above, and a. Where too few are
  left, 'reason'.
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


def leave_one_out(f: fit.Fit, groups) -> list[dict]:
  """Each run left out in turn, from the optimum: a without it, and by how
  much it moved, the greatest influence first."""
  groups, out = np.asarray(groups), []
  if len(groups) != f.n:
    raise ValueError(f'{len(groups)} group labels for {f.n} points')
  for label in np.unique(groups):
    params = f.reweighted(groups != label)
    a = _a(f, params) if params else np.nan
    out.append({'left_out': str(label), 'rows': int((groups == label).sum()),
                'a': a, 'moved': a - _a(f)})
  return sorted(out, key=lambda row: -abs(np.nan_to_num(row['moved'])))


def trim(f: fit.Fit, counts=(1, 2, 5, 10)) -> list[dict]:
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


def compare(N, D, L, weights=None) -> list[dict]:
  """Chinchilla; with alpha = beta; without E; the p-norm, of which it is a
  case; exponents in D that grow with N; and Kaplan's form on equal data: all by
  least squares of log loss, so that AICc (normal errors; lower is better)
  compares like with like. The best first."""
  options = {'objective': 'squared_log', 'weights': weights}
  fits = {
      'chinchilla': (fit.chinchilla(N, D, L, **options), 5),
      'alpha = beta': (fit.chinchilla(N, D, L, tie=True, **options), 4),
      'without E': (fit.chinchilla(N, D, L, asymptote=False, **options), 4),
      'p_norm': (fit.p_norm(N, D, L, **options), 6),
      'crossed': (fit.crossed(N, D, L, **options), 5),
      'kaplan': (fit.kaplan_nd(N, D, L, **options), 4)}
  out = []
  for name, (f, k) in fits.items():
    k += 1  # the spread of the residuals
    aicc = f.n * np.log(max(f.objective, 1e-300) / f.n) + 2 * k + (
        2 * k * (k + 1) / (f.n - k - 1) if f.n > k + 1 else np.inf)
    out.append({'law': name, 'parameters': k - 1, 'squares': f.objective,
                'aicc': float(aicc)})
  return sorted(out, key=lambda row: row['aicc'])
