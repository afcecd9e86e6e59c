"""What a Chinchilla fit should carry with it: how well it fits, how well it is
determined, how it predicts runs that it has not seen. No JAX."""

import numpy as np

from physics_lm.scaling import fit


def _refit(f: fit.Fit, keep) -> fit.Fit:
  """The same fit, from scratch, to some of the rows."""
  if f.law != 'chinchilla':
    raise ValueError(f'a {f.law} fit, wanted chinchilla')
  N, D, L = (column[keep] for column in f.data)
  return fit.chinchilla(N, D, L, objective=f.objective_name, delta=f.delta,
                        weights=f.problem.weights[keep],
                        tie=len(f.theta) == 4, over=f.problem.over)


def _a(f: fit.Fit) -> float:
  return f.params['beta'] / (f.params['alpha'] + f.params['beta'])


def diagnose(f: fit.Fit) -> dict[str, float]:
  """Residuals (mean, sd, median absolute deviation, largest, share inside
  delta), R2 of log and raw loss, and the condition number of J'WJ in (a, b, e,
  alpha, beta): beyond 1e10 or so, parameters trade against each other freely
  and only predictions mean anything."""
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


def holdout(f: fit.Fit, cuts=(0.25, 0.5, 0.75)) -> list[dict]:
  """Fits the rows of least compute and predicts the others, for each cut (a
  share of the rows by C = 6 N D). Mean relative error and bias (predicted
  over seen) of the rows above, and a. Where too few are left, 'reason'."""
  N, D, L = f.data
  C, out = 6 * N * D, []
  for cut in cuts:
    at = np.quantile(C, cut)
    below = C <= at
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
  """Each run left out in turn: a without it, and by how much it moved, the
  greatest influence first."""
  groups, out = np.asarray(groups), []
  if len(groups) != f.n:
    raise ValueError(f'{len(groups)} group labels for {f.n} points')
  for label in np.unique(groups):
    a = _a(_refit(f, groups != label))
    out.append({'left_out': str(label), 'rows': int((groups == label).sum()),
                'a': a, 'moved': a - _a(f)})
  return sorted(out, key=lambda row: -abs(row['moved']))


def compare(N, D, L) -> list[dict]:
  """Chinchilla, Chinchilla with alpha = beta, and Kaplan's form on equal
  data, by Huber (1e-3, sum, log) and by AICc of the log residuals (normal
  errors; lower is better), the best first."""
  fits = {
      'chinchilla': (fit.chinchilla(N, D, L), 5),
      'alpha = beta': (fit.chinchilla(N, D, L, tie=True), 4),
      'kaplan': (fit.kaplan_nd(N, D, L), 4)}
  out = []
  for name, (f, k) in fits.items():
    k += 1  # the spread of the residuals
    aicc = f.n * np.log((f.residuals**2).mean()) + 2 * k + (
        2 * k * (k + 1) / (f.n - k - 1))
    out.append({'law': name, 'parameters': k - 1, 'objective': f.objective,
                'aicc': float(aicc)})
  return sorted(out, key=lambda row: row['aicc'])
