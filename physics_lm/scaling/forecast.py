"""A run predicted from smaller ones, before it runs. No JAX.

  python -m physics_lm.scaling forecast runs/EXPERIMENT --config=configs/X.py
      [--config.KEY=VALUE ...] [--below=FLOP] [--loss=train/loss]
      --out=band.json

Fits L(N, D) to the finished runs of an experiment (`--below`: those of less
compute 6 N D), predicts the final training loss of the config, and its curve on
the way there; train with --config.log.band=band.json and a loss that leaves
the band is told of. The runs should have the config's schedule.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from physics_lm import cli, monitor, rows
from physics_lm.errors import BadInput, disk_errors
from physics_lm.scaling import fit, laws, runs

GRID = np.geomspace(0.05, 1, 24)  # shares of a run


class Forecast(NamedTuple):
  loss: np.ndarray  # predicted, (m,)
  low: np.ndarray  # 95 % of runs like it end between these
  high: np.ndarray
  fit: fit.Fit


def predict(N, D, L, n, d, draws: int = 1000, seed: int = 0,
            level: float = 0.95, floor: float | None = None) -> Forecast:
  """The losses at n, d (m,) from runs (N, D, L), (k,) each: the Chinchilla
  law by Huber. An interval is of a new run: bootstrap refits over the runs,
  each with a residual drawn from the fit's own. `floor`: E, where it is known;
  few runs far above it do not tell. Raises ValueError for too few runs."""
  n, d = np.atleast_1d(n).astype(np.float64), np.atleast_1d(d)
  f = fit.chinchilla(N, D, L, bounds=fit.held(E=floor) if floor else None)
  found = fit.bootstrap(f, draws, seed=seed)
  if not found.params:
    raise ValueError(f'none of {draws} resamples of {f.n} runs could be fitted')
  p = {k: v[:, None] for k, v in found.params.items()}
  guess = laws.chinchilla(n, d, **p)  # [draws, m]
  rng = np.random.default_rng(seed)
  # Residuals of a fit are smaller than errors by the parameters it has.
  wide = np.sqrt(f.n / max(f.n - 5, 1))
  noise = np.exp(-wide * rng.choice(f.residuals, guess.shape))
  low, high = np.quantile(guess * noise, [(1 - level) / 2, (1 + level) / 2],
                          axis=0)
  return Forecast(f.predict(n, d), low, high, f)


class Through(NamedTuple):
  """An accuracy as a function of the loss above its floor: half at `middle`,
  and the steeper the greater `power`."""

  middle: float
  power: float

  def __call__(self, above):
    return 1 / (1 + (np.asarray(above) / self.middle)**self.power)


def through(above, accuracy) -> Through:
  """Least squares over (k,) losses above the floor and accuracies in [0, 1].
  What is sharp in compute may be smooth in the loss (Schaeffer et al. 2023,
  arXiv 2304.15004; Du et al. 2024, arXiv 2403.15796), so predict that."""
  from scipy import optimize
  x, y = (np.asarray(v, np.float64) for v in (above, accuracy))
  if len(x) < 3 or x.shape != y.shape or not (x > 0).all():
    raise ValueError(f'{len(x)} losses above the floor and {len(y)} '
                     'accuracies, wanted three or more, all above 0')
  x = np.log(x)
  off = lambda t: 1 / (1 + np.exp(np.exp(t[1]) * (x - t[0]))) - y
  starts = [(m, np.log(g)) for m in np.quantile(x, (0.1, 0.5, 0.9))
            for g in (1.0, 4.0)]
  best = min((optimize.least_squares(off, s) for s in starts),
             key=lambda r: r.cost)
  return Through(float(np.exp(best.x[0])), float(np.exp(best.x[1])))


def collapsed(curves, floor: float):
  """[runs, GRID]: what each curve (shares of its tokens, losses) is above the
  floor, over what it is at its end. Of runs that are trained alike these nearly
  fall together, whatever their size (Qiu et al. 2025, arXiv 2507.02119)."""
  out = []
  for share, loss in curves:
    above = np.interp(np.log(GRID), np.log(share), np.asarray(loss) - floor)
    out.append(above / above[-1])
  return np.stack(out)


def band(forecast: Forecast, tokens: float, curves):
  """(tokens, low, high) of the curve of the first run that was forecast, of so
  many tokens: between the lowest and the highest of the curves, scaled to the
  ends of its interval."""
  low, high = float(forecast.low[0]), float(forecast.high[0])
  floor = min(forecast.fit.params['E'], 0.999 * low)
  shape = collapsed(curves, floor)
  return (GRID * tokens, floor + (low - floor) * shape.min(0),
          floor + (high - floor) * shape.max(0))


def of_folder(folder: Path, config, column: str, below: float | None,
              draws: int = 300):
  """(forecast, tokens, band) of a config from a folder of runs. Raises
  BadInput."""
  size = runs.sizes(config, len(rows.load(config).vocab))
  df, curves = runs.table(folder), runs.table(folder, curves=True)
  if column not in df:
    raise BadInput(f'no column {column!r} in {folder}; found: '
                   f'{", ".join(map(str, df.columns))}')
  work = 6 * df.N * df.D
  limit = np.inf if below is None else below
  df = df[(work <= limit) & df[column].notna()]
  try:
    f = predict(*(df[k].to_numpy(float) for k in ('N', 'D', column)),
                size['N'], size['D'], draws)
  except ValueError as e:
    raise BadInput(f'{folder}: {e}') from e
  # The shape of a curve from the larger half of the runs.
  late = df[6 * df.N * df.D >= (6 * df.N * df.D).median()]
  each = []
  for name in late.run:
    own = curves[curves.run == name]
    each.append(((own.D / own.D.max()).to_numpy(float),
                 own.loss.to_numpy(float)))
  each = [c for c in each if len(c[0]) > 4]
  if not each:
    raise BadInput(f'no run of {folder} has logged five rows, from which the '
                   'shape of a curve is seen; wanted a smaller log.every')
  return f, size['D'], band(f, size['D'], each)


def main(argv):
  """The command line, less the word forecast."""
  p = cli.parser('physics_lm.scaling forecast', __doc__)
  p.add_argument('folder', type=Path, help='runs/EXPERIMENT')
  p.add_argument('--config', required=True, help='FILE.py or FILE.py:VARIANT')
  p.add_argument('--below', type=float, metavar='FLOP',
                 help='only runs of at most so much compute, 6 N D')
  p.add_argument('--loss', default='train/loss', help='column (train/loss)')
  p.add_argument('--out', type=Path, required=True, help="the band's file")
  a, rest = p.parse_known_args(argv)
  config, _ = cli.parse_config(
      ['scaling', f'--config={a.config}', '--workdir=none', *rest])
  f, tokens, limits = of_folder(a.folder, config, a.loss, a.below)
  with disk_errors(a.out.parent):
    monitor.write(a.out, *limits, f'{f.fit.n} runs of {a.folder}')
  print(f'{a.loss} after {tokens:.3g} tokens: {f.loss[0]:.4f}, 95 % between '
        f'{f.low[0]:.4f} and {f.high[0]:.4f}; from {f.fit.n} runs, '
        f'{f.fit.status}'
        + (f' ({", ".join(f.fit.loose)} not identified)' if f.fit.loose
           else ''))
  print(f'written: {a.out}; train with --config.log.band={a.out}')
