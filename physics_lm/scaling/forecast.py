"""A run predicted from smaller ones, before it runs. No JAX.

  python -m physics_lm.scaling forecast runs/EXPERIMENT --config=configs/X.py
      [--config.KEY=VALUE ...] [--max-flops=FLOP] [--loss=train/loss]
      [--where=EXPRESSION] --out=band.json

Fits L(N, D) to the finished runs of an experiment (`--max-flops`: those of at
most so much compute 6 N D), predicts the final training loss of the config and
its curve. Training with --config.log.loss_band=band.json then reports a loss
that leaves the band. The runs must have the config's data and schedule.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm import loss_band, run_dir
from physics_lm.config import argument_parser, parse_config, plain_config
from physics_lm.errors import BadInput, disk_errors
from physics_lm.mixture import load_mixture
from physics_lm.scaling import laws, run_table, tables
from physics_lm.scaling.fitting import fits, solve

GRID = np.geomspace(0.05, 1, 24)  # fractions of a run


class Forecast(NamedTuple):
  loss: np.ndarray  # predicted, (m,)
  low: np.ndarray  # 95 % of such runs should lie between these
  high: np.ndarray
  fit: fits.Fit
  draws: np.ndarray  # [draws, m], by the bootstrap's refits


@solve.one_thread()
def predict_losses(N: np.ndarray, D: np.ndarray, L: np.ndarray,
                   n: float | np.ndarray, d: float | np.ndarray,
                   draws: int = 1000, seed: int = 0, level: float = 0.95,
                   E: float | None = None) -> Forecast:
  """The losses at n, d (m,) from runs (N, D, L), (k,) each: the Chinchilla
  law by Huber. An interval is of a new run: bootstrap refits over the runs,
  each with a residual drawn from the fit's own. `E`: the entropy, where it is
  known; few runs with a large excess loss do not determine it. Raises
  ValueError for too few runs."""
  n, d = np.atleast_1d(n).astype(np.float64), np.atleast_1d(d)
  f = fits.chinchilla(N, D, L, E=E)
  found = fits.bootstrap(f, draws, seed=seed)
  if not found.params:
    raise ValueError(f'none of {draws} resamples of {f.n} runs could be fitted')
  p = {k: v[:, None] for k, v in found.params.items()}
  refits = laws.chinchilla(n, d, **p)  # [draws, m]
  rng = np.random.default_rng(seed)
  # Residuals of a fit are smaller than errors by the parameters it has.
  wide = np.sqrt(f.n / max(f.n - 5, 1))
  noise = np.exp(-wide * rng.choice(f.residuals, refits.shape))
  low, high = np.quantile(refits * noise, [(1 - level) / 2, (1 + level) / 2],
                          axis=0)
  return Forecast(f.predict(n, d), low, high, f, refits)


class AccuracyCurve(NamedTuple):
  """Accuracy as a function of the excess loss: 1/2 at `middle`, and the steeper
  the greater `power`."""

  middle: float
  power: float

  def __call__(self, excess: float | np.ndarray) -> np.ndarray:
    return 1 / (1 + (np.asarray(excess) / self.middle)**self.power)


@solve.one_thread()
def fit_accuracy_curve(excess: Sequence[float], accuracy: Sequence[float]
                       ) -> AccuracyCurve:
  """Least squares over (k,) excess losses and accuracies in [0, 1]. What is
  sharp in compute may be smooth in the loss (Schaeffer et al. 2023, arXiv
  2304.15004; Du et al. 2024, arXiv 2403.15796), so accuracy is extrapolated
  through the loss. Raises ValueError for fewer than three, or an excess that is
  not positive."""
  from scipy import optimize
  x, y = (np.asarray(v, np.float64) for v in (excess, accuracy))
  if len(x) < 3 or x.shape != y.shape or not (x > 0).all():
    raise ValueError(f'{len(x)} excess losses and {len(y)} accuracies, wanted '
                     'three or more, all losses above 0')
  x = np.log(x)

  def residuals(t):
    return 1 / (1 + np.exp(np.exp(t[1]) * (x - t[0]))) - y

  starts = [(m, np.log(g)) for m in np.quantile(x, (0.1, 0.5, 0.9))
            for g in (1.0, 4.0)]
  best = min((optimize.least_squares(residuals, s) for s in starts),
             key=lambda r: r.cost)
  return AccuracyCurve(float(np.exp(best.x[0])), float(np.exp(best.x[1])))


def collapsed(curves: Sequence[tuple], entropy: float) -> np.ndarray:
  """[runs, GRID]: the excess loss along each curve (fractions of its tokens,
  losses), relative to its last. Runs of all sizes with one training recipe
  nearly coincide (Qiu et al. 2025, arXiv 2507.02119)."""
  out = []
  for fraction, loss in curves:
    excess = np.interp(np.log(GRID), np.log(fraction),
                       np.asarray(loss) - entropy)
    out.append(excess / excess[-1])
  return np.stack(out)


def band(forecast: Forecast, tokens: float, curves: Sequence[tuple]
         ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(tokens, low, high) along the first run of a forecast, which trains on
  `tokens` tokens: between the lowest and the highest of the curves, scaled to
  the limits of its interval."""
  low, high = float(forecast.low[0]), float(forecast.high[0])
  entropy = min(forecast.fit.params['E'], 0.999 * low)
  shape = collapsed(curves, entropy)
  return (GRID * tokens, entropy + (low - entropy) * shape.min(0),
          entropy + (high - entropy) * shape.max(0))


def from_folder(folder: Path, config: ConfigDict, column: str,
                max_flops: float | None = None, draws: int = 300,
                where: str | None = None) -> tuple[Forecast, float, tuple]:
  """(forecast, tokens, band) of a config from the runs in a folder for which
  `where` holds (tables.Table.where). Raises BadInput, also when these were not
  trained on the config's data, by its schedule."""
  import pandas as pd
  size = run_table.sizes(config, len(load_mixture(config).vocab))
  runs = run_table.run_rows(folder)
  names = list(dict.fromkeys(k for row in runs.rows for k in row))
  table = tables.Table(folder, names, runs.rows)
  table.require(column)
  table = table.where(where) if where else table
  _check_data(folder, runs, table, run_table.data_of(
      run_dir.with_content(plain_config(config))))
  curves = run_table.read_runs(folder, per_step=True)
  df = pd.DataFrame(table.rows)
  flops = 6 * df.N * df.D
  df = df[(flops <= (np.inf if max_flops is None else max_flops))
          & df[column].notna()]
  try:
    f = predict_losses(*(df[k].to_numpy(float) for k in ('N', 'D', column)),
                size['N'], size['D'], draws)
  except ValueError as e:
    raise BadInput(f'{folder}: {e}') from e
  # The shape of a curve is that of the larger runs.
  large = df[6 * df.N * df.D >= (6 * df.N * df.D).median()]
  each = []
  for name in large.run:
    own = curves[curves.run == name]
    each.append(((own.D / own.D.max()).to_numpy(float),
                 own.loss.to_numpy(float)))
  each = [c for c in each if len(c[0]) > 4]
  if not each:
    raise BadInput(f'no run of {folder} has logged five rows, which the shape '
                   'of a curve needs; wanted a smaller log.every')
  return f, size['D'], band(f, size['D'], each)


def _check_data(folder: Path, runs: run_table.RunTable, table: tables.Table,
                wanted: Mapping) -> None:
  """Raises BadInput unless the runs of the table share what they were trained
  on, and it is what the config trains on."""
  found = runs.one_data_set(folder, {row['run'] for row in table.rows})
  differ = [f'{k}: {found.get(k)} there, {wanted.get(k)} in the config'
            for k in (found | wanted).keys() - {'vocabulary'}
            if str(found.get(k)) != str(wanted.get(k))]
  if differ:
    raise BadInput(f'the runs in {folder} were trained on other data or by '
                   f'another schedule: {"; ".join(differ[:3])}; wanted runs '
                   'as the config')


def main(argv: Sequence[str]) -> None:
  """The command line, less the word forecast."""
  p = argument_parser('physics_lm.scaling forecast', __doc__)
  p.add_argument('folder', type=Path, help='runs/EXPERIMENT')
  p.add_argument('--config', required=True, help='FILE.py or FILE.py:VARIANT')
  p.add_argument('--max-flops', type=float, metavar='FLOP',
                 help='only runs of at most so much compute, 6 N D')
  p.add_argument('--where', metavar='EXPRESSION',
                 help="only runs for which it holds, as in fit --help")
  p.add_argument('--loss', default='train/loss', help='column (train/loss)')
  p.add_argument('--out', type=Path, required=True, help="the band's file")
  a, rest = p.parse_known_args(argv)
  config, _ = parse_config(
      ['scaling', f'--config={a.config}', '--workdir=none', *rest])
  f, tokens, limits = from_folder(a.folder, config, a.loss, a.max_flops,
                                  where=a.where)
  with disk_errors(a.out.parent):
    loss_band.write_band(a.out, *limits, f'{f.fit.n} runs of {a.folder}')
  loose = f.fit.not_identified
  print(f'{a.loss} after {tokens:.3g} tokens: {f.loss[0]:.4f}, 95 % between '
        f'{f.low[0]:.4f} and {f.high[0]:.4f}; from {f.fit.n} runs, '
        f'{f.fit.status}'
        + (f' ({", ".join(loose)} not identified)' if loose else '')
        + f'. {f.fit.reason}')
  print(f'written: {a.out}; train with --config.log.loss_band={a.out}')
