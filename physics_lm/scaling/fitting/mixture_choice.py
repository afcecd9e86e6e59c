"""Which shares of domains are best, from runs at several mixtures. No JAX.

  python -m physics_lm.scaling mix runs.csv --shares=COL,COL,... \\
      --losses=COL,COL,... [--weights=0.5,0.5] [--bootstrap=100] \\
      [--step=COL] --out=DIR

Two models of each loss, as functions of the shares: the mixing law
c + exp(r . u) (Ye et al., arXiv 2403.16952), and a polynomial of degree two,
as in regressions on small runs (RegMix, arXiv 2407.01492, has trees). Each
chooses the shares at which the weighted mean of its losses is least. Choices
stay within the shares that the runs had (--extrapolate: anywhere). Both are
judged by leaving out one run at a time: error, and rank correlation of the
weighted means. Intervals: the same from resampled runs.

Reads what `fit` reads. Prints the choices, beside the best run, and writes
mixture.json. With --step rows are steps of runs, known by their shares: the
models take each run's last, and weights in the manner of DoReMi
(doremi_weights, which see) are printed too.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.interpolate
import scipy.optimize
import scipy.spatial
import scipy.stats

from physics_lm import run_dir
from physics_lm.config import argument_parser
from physics_lm.errors import BadInput, disk_errors
from physics_lm.progress import Progress, Stop
from physics_lm.scaling import laws
from physics_lm.scaling.columns import open_table
from physics_lm.scaling.fitting import fits, solve

STARTS = 8  # of a fit of the mixing law
FROM = 20  # starts of a minimisation
MOST_UPDATES = 10_000  # of DoReMi's weights


class MixtureChoice(NamedTuple):
  """The best shares of one model of the losses."""

  shares: np.ndarray  # (M,)
  losses: np.ndarray  # (P,), predicted there
  low: np.ndarray  # (M,), 95 % interval of the shares; NaN without resampling
  high: np.ndarray
  error: float  # of the weighted mean, root mean square over runs left out
  rank_correlation: float  # of predicted and measured weighted means, Spearman


def fitted_law(r: np.ndarray, L: np.ndarray) -> Callable:
  """The mixing law of each column of L (n, P), from shares r (n, M): a function
  of shares [..., M] to losses [..., P]. Raises ValueError for too few runs."""
  each = [f.params for f in fits.mixing(r, L, starts=STARTS)]
  return lambda at: np.stack([laws.mixing(at, **p) for p in each], -1)


@solve.one_thread()
def fitted_quadratic(r: np.ndarray, L: np.ndarray) -> Callable:
  """As fitted_law, of degree two, by least squares. Raises ValueError."""
  M = r.shape[1]
  pairs = np.triu_indices(M, 1)  # on the simplex, squares and 1 follow

  def features(at):
    return np.concatenate([at, at[..., pairs[0]] * at[..., pairs[1]]], -1)

  if len(r) <= M + len(pairs[0]):
    raise ValueError(f'{len(r)} runs at {M} shares, wanted more than '
                     f'{M + len(pairs[0])} for a polynomial of degree two')
  weights, *_ = np.linalg.lstsq(features(r), L, rcond=None)
  return lambda at: features(at) @ weights


MODELS = {'mixing law': fitted_law, 'quadratic': fitted_quadratic}


def interpolated_losses(r: np.ndarray, steps: np.ndarray, L: np.ndarray
                        ) -> Callable:
  """From the curves of n runs, L (n, S, M) at shares r (n, M) and increasing
  steps (S,), a function of shares (M,) and a step to losses (M,): linear
  between runs and between steps, constant beyond them. Shares between no runs
  get the losses of the nearest one. Raises ValueError for two equal rows of r
  or, of three or more domains, for runs that span no area."""
  if len(np.unique(r, axis=0)) < len(r):
    raise ValueError('two runs have the same shares')
  order = np.argsort(r[:, 0])
  first, sorted_ = r[order, 0], L[order]

  def at_share(w):
    if r.shape[1] == 2:
      at = np.interp(w[0], first, np.arange(len(first)))
      low = min(int(at), len(first) - 2)
      return sorted_[low] + (at - low) * (sorted_[low + 1] - sorted_[low])
    between = inside(w[:-1])[0]
    nearest = L[np.argmin(((r - w)**2).sum(1))]
    return np.where(np.isnan(between), nearest, between)

  if r.shape[1] > 2:
    try:
      inside = scipy.interpolate.LinearNDInterpolator(r[:, :-1], L)
    except scipy.spatial.QhullError as e:
      raise ValueError('the shares of the runs span no area') from e
  return lambda w, step: np.array([
      np.interp(step, steps, curve) for curve in at_share(w).T])


def doremi_weights(losses: Callable, reference: np.ndarray, steps: Sequence,
                   rate: float = 1.0, smoothing: float = 1e-3) -> np.ndarray:
  """Domain weights (M,) in the manner of DoReMi (Xie et al., arXiv 2305.10429,
  algorithm 1), from a table of runs instead of a run of its own.

  At each of `steps` the excess of losses(w, step) (M,) over `reference` (M,),
  negative ones as 0, multiplies the weights by exp(rate * excess); they are
  normalised and mixed with equal ones by `smoothing`. The mean of the weights
  over the steps is the result.

  The original differs in four ways. It trains one proxy whose loss has the
  weights of each step; here the proxy is read off runs of constant shares
  (interpolated_losses), at the mean of the weights so far, as if a model knew
  only how much it has read of each domain. It clips the excess of each token at
  0, here that of the mean loss is clipped, which is never more. Its reference
  is a model of its own of the original shares, here the caller's numbers (of a
  run with equal shares, say). Its losses are of the training batch, here of
  whatever the table has. Raises ValueError for no steps.
  """
  M = len(reference)
  if not len(steps):
    raise ValueError('no steps, wanted at least one')
  w = mean = np.full(M, 1 / M)
  for done, step in enumerate(steps):
    excess = np.maximum(losses(mean, step) - reference, 0)
    w = w * np.exp(rate * (excess - excess.max()))
    w = (1 - smoothing) * w / w.sum() + smoothing / M
    mean = (mean * done + w) / (done + 1)
  return mean


@solve.one_thread()
def least_loss(predict: Callable, weights: np.ndarray, low: np.ndarray,
               high: np.ndarray) -> np.ndarray:
  """The shares (M,), between `low` and `high` and of sum 1, at which the
  weighted sum of predicted losses is least."""
  rng, M = np.random.default_rng(0), len(low)
  best = None
  for start in [np.full(M, 1 / M), *rng.dirichlet(np.ones(M), FROM)]:
    found = scipy.optimize.minimize(
        lambda at: predict(at) @ weights, np.clip(start, low, high),
        bounds=list(zip(low, high)), method='SLSQP',
        constraints={'type': 'eq', 'fun': lambda at: at.sum() - 1})
    inside = abs(found.x.sum() - 1) < 1e-6
    if inside and (best is None or found.fun < best.fun):
      best = found
  if best is None:
    raise ValueError('no shares of sum 1 lie between the least and the most of '
                     'the runs')
  return np.clip(best.x, low, high)


def choices_of_curves(r: np.ndarray, steps: np.ndarray, L: np.ndarray,
                      weights: np.ndarray) -> dict[str, np.ndarray]:
  """{method: shares (M,)} from the curves of n runs, L (n, S, M), at shares
  r (n, M) and steps (S,): of the run with the least weighted loss at the end,
  of each of MODELS within the runs' shares, and of DoReMi over every step, its
  reference the end of a run with equal shares. Raises ValueError as they do."""
  out = {'best proxy run': r[np.argmin(L[:, -1] @ weights)]}
  for name, fit in MODELS.items():
    out[name] = least_loss(fit(r, L[:, -1]), weights, r.min(0), r.max(0))
  return out | {'DoReMi': doremi_of_curves(r, steps, L)}


def doremi_of_curves(r: np.ndarray, steps: np.ndarray, L: np.ndarray
                     ) -> np.ndarray:
  """doremi_weights (M,) at each step up to the last, or at 10,000 of them,
  from curves as in choices_of_curves. Raises ValueError."""
  losses, M, end = interpolated_losses(r, steps, L), r.shape[1], int(steps[-1])
  at = np.linspace(1, end, min(end, MOST_UPDATES))
  return doremi_weights(losses, losses(np.full(M, 1 / M), end), at)


def curves_of_rows(r: np.ndarray, steps: np.ndarray, L: np.ndarray
                   ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(shares (n, M), steps (S,), losses (n, S, P)) of runs from a row a run and
  step: r (rows, M), steps (rows,), L (rows, P). A run is what has the same
  shares. Raises ValueError where runs differ in their steps."""
  each, which = np.unique(r, axis=0, return_inverse=True)
  at = np.unique(steps)
  order = np.lexsort((steps, which.ravel()))
  wanted = np.tile(at, len(each))
  if not np.array_equal(steps[order], wanted):
    raise ValueError(f'{len(r)} rows of {len(each)} mixtures, wanted each of '
                     f'the {len(at)} steps once for each mixture')
  return each, at, L[order].reshape(len(each), len(at), -1)


@solve.one_thread()
def choose_mixture(r: np.ndarray, L: np.ndarray, weights: np.ndarray,
                   fit: Callable, low: np.ndarray, high: np.ndarray,
                   draws: int = 0, seed: int = 0,
                   update: Callable | None = None) -> MixtureChoice:
  """The choice of a model, fit(r, L), for runs at shares r (n, M) with losses L
  (n, P). `draws`: resamples; update(done) is true to end them. Raises
  ValueError for too few runs."""
  predict = fit(r, L)
  shares = least_loss(predict, weights, low, high)
  without = [np.delete(np.arange(len(r)), i) for i in range(len(r))]
  guessed = np.array([fit(r[o], L[o])(r[i]) @ weights
                      for i, o in enumerate(without)])
  error = np.sqrt(np.mean((guessed - L @ weights)**2))
  rank = scipy.stats.spearmanr(guessed, L @ weights).statistic
  rng, others = np.random.default_rng(seed), []
  for done in range(draws):
    which = rng.integers(len(r), size=len(r))
    try:
      others.append(least_loss(fit(r[which], L[which]), weights, low, high))
    except ValueError:  # too few different runs
      continue
    if update and update(done + 1):
      break
  interval = np.quantile(others, (0.025, 0.975), 0) if others else (
      np.full((2, r.shape[1]), np.nan))
  return MixtureChoice(shares, predict(shares), *interval, float(error),
                       float(rank))


def main(argv: Sequence[str]) -> None:
  """The command line, less the word mix."""
  a = _parser().parse_args(argv)
  table, _ = open_table(a.table, where=a.where, pool=True)
  names, losses = ([n.strip() for n in flag.split(',')]
                   for flag in (a.shares, a.losses))
  r = np.stack([table.numbers(n, 0) for n in names], 1)
  L = np.stack([table.numbers(n, 0, strict=True) for n in losses], 1)
  weights, doremi = _weights(a.weights, len(losses)), None
  if a.step:
    if len(names) != len(losses):
      raise BadInput(f'{len(names)} shares and {len(losses)} losses, wanted '
                     'with --step a loss for each share, in their order')
    try:
      r, steps, curves = curves_of_rows(r, table.numbers(a.step, 0), L)
      doremi, L = doremi_of_curves(r, steps, curves), curves[:, -1]
    except ValueError as e:
      raise BadInput(f'{a.table}: {e}') from e
  choices = _choices(a, r, L, weights)
  print(_text(names, choices, r, L, weights))
  if doremi is not None:
    print('DoReMi, of no loss weights:', *(
        f'{n} {w:.3f}' for n, w in zip(names, doremi)))
  with disk_errors(a.out):
    a.out.mkdir(parents=True, exist_ok=True)
    run_dir.write_json(a.out / 'mixture.json', {
        'runs': len(r), 'shares': names, 'losses': losses,
        'weights': weights.tolist(), 'choices': {
            k: {f: np.asarray(v).tolist() for f, v in c._asdict().items()}
            for k, c in choices.items()},
        **({} if doremi is None else {'doremi': doremi.tolist()})})
  print(f'written: {a.out}/mixture.json')


def _parser() -> argparse.ArgumentParser:
  p = argument_parser('physics_lm.scaling mix', __doc__)
  p.add_argument('table', type=Path,
                 help='a CSV, JSON lines or JSON file, or runs/EXPERIMENT')
  p.add_argument('--shares', required=True,
                 help='columns that sum to 1, by commas')
  p.add_argument('--losses', required=True, help='columns, by commas')
  p.add_argument('--weights', help='of the losses, by commas (equal)')
  p.add_argument('--step', metavar='COL', help='rows are steps of runs')
  p.add_argument('--where', metavar='EXPRESSION', help='as in fit --help')
  p.add_argument('--extrapolate', action='store_true',
                 help='also shares beyond those of the runs')
  p.add_argument('--bootstrap', type=int, default=100, metavar='DRAWS',
                 help='0: none')
  p.add_argument('--seed', type=int, default=0)
  p.add_argument('--out', type=Path, required=True)
  return p


def _choices(a: argparse.Namespace, r: np.ndarray, L: np.ndarray,
             weights: np.ndarray) -> dict[str, MixtureChoice]:
  """Of each of MODELS that can be fitted, with progress. Raises BadInput."""
  low, high = (np.zeros(r.shape[1]), np.ones(r.shape[1])) if (
      a.extrapolate) else (r.min(0), r.max(0))
  choices = {}
  with Stop('intervals are of the resamples that are done') as stop:
    for name, fit in MODELS.items():
      bar = Progress(a.bootstrap, 0, name, 'resample')

      def update(done, bar=bar):
        bar.update(done)
        return stop.signal

      try:
        with warnings.catch_warnings():
          warnings.simplefilter('ignore')  # constant ranks are NaN
          choices[name] = choose_mixture(r, L, weights, fit, low, high,
                                         a.bootstrap, a.seed, update)
      except ValueError as e:
        if name == 'mixing law':
          raise BadInput(f'{a.table}: {e}') from e
        print(f'{name}: none ({e})')
      bar.close()
  return choices


def _weights(flag: str | None, count: int) -> np.ndarray:
  """--weights, of sum 1. Raises BadInput."""
  try:
    out = np.ones(count) if flag is None else np.array(
        [float(x) for x in flag.split(',')])
  except ValueError:
    out = np.empty(0)
  if len(out) != count or not (out >= 0).all() or not 0 < out.sum() < np.inf:
    raise BadInput(f'--weights is {flag}, wanted {count} numbers of at least '
                   '0, not all 0')
  return out / out.sum()


def _text(names: list[str], choices: dict[str, MixtureChoice], r: np.ndarray,
          L: np.ndarray, weights: np.ndarray) -> str:
  """The choices as a table, beside the run with the least weighted mean."""
  total, wide = L @ weights, max(map(len, names))
  best = int(np.argmin(total))
  lines = [f'{len(r)} runs, {L.shape[1]} losses; least weighted mean of a run: '
           f'{total[best]:.4f} (row {best + 1})', '']
  for name, c in choices.items():
    lines.append(f'{name}: weighted mean {c.losses @ weights:.4f} predicted; '
                 f'runs left out: error {c.error:.4f}, rank correlation '
                 f'{c.rank_correlation:.2f}')
    for i, share in enumerate(names):
      interval = '' if np.isnan(c.low[i]) else (
          f'  [{c.low[i]:.3f}, {c.high[i]:.3f}]')
      lines.append(f'  {share:<{wide}}  {c.shares[i]:.3f}{interval}'
                   f'  (best run {r[best, i]:.3f})')
  return '\n'.join(lines)
