"""Can the largest runs be foretold from runs of a tenth of their compute?

The loss of large models is extrapolated from small ones (Kaplan et al. 2020,
arXiv 2001.08361; Hoffmann et al. 2022, arXiv 2203.15556; the GPT-4 report,
arXiv 2303.08774, foretold its loss from runs of a ten-thousandth). What a model
can do seems to come suddenly with scale (Wei et al. 2022, arXiv 2206.07682),
yet smoothly with the loss (Schaeffer et al. 2023, arXiv 2304.15004; Du et al.
2024, arXiv 2403.15796): so the exact match of whole strings is foretold
through the loss.

  python -m physics_lm.launch experiments/drafts/scaling_prediction.py \\
      --scale=cpu
  python -m physics_lm.report experiments/drafts/scaling_prediction.py \\
      --scale=cpu

The runs are scaling_sweep.py's isoFLOP runs: where those are done,
`ln -s scaling_sweep runs/scaling_prediction` spares them. Not measured yet.

Ours: for every budget that has runs of a tenth of it or less, the law of
L(N, D) is fitted to those and asked for each run of the budget. Beside it, what
one would say without a law: loss and exact match of the best small run.

Rules, fixed before the runs: at the largest budget no run is off by more than
2 % of its loss; at least 90 % of all runs foretold lie in their 95 % intervals;
exact match through the loss is off by less in the mean (absolute, over the
largest budget) than the best small run's, and by less than 0.1.
"""

import functools
from pathlib import Path

import numpy as np

from physics_lm import plots, sweep
from physics_lm.report import Claim
from physics_lm.scaling import forecast
from physics_lm.sweep import Run

NEAR = 0.02  # of the loss
DRAWS = 300


@functools.cache
def _sweep():
  return sweep.experiment(str(Path(__file__).with_name('scaling_sweep.py')))


def runs(scale: str) -> list[Run]:
  """The sweep's isoFLOP runs of its first world."""
  every = _sweep().runs(scale)
  return [r for r in every if r.tags['role'] == 'isoflop'
          and r.tags['world'] == every[0].tags['world']]


def table(results: list[dict]):
  """One row a run, as scaling_sweep.py's."""
  return _sweep().table(results)


def foretold(df):
  """One row a run of each budget that runs of a tenth of it foretell:
  predicted, low, high, error (relative); exact_predicted, through the loss;
  naive and exact_naive, of the best small run; small: how many there are."""
  import pandas as pd
  out = []
  for budget, own in df.groupby('budget'):
    small = df[df.budget <= 0.1001 * budget]
    if small.N.nunique() < 3 or small.D.nunique() < 3 or len(small) < 8:
      continue
    data = [small[k].to_numpy(float) for k in ('N', 'D', 'loss')]
    above = np.maximum(small.loss - small.floor, 1e-6)
    told = forecast.through(above, small.exact)
    best = small.loc[small.loss.idxmin()]
    f = forecast.predict(*data, own.N.to_numpy(float), own.D.to_numpy(float),
                         DRAWS)
    out.append(own[['budget', 'N', 'D', 'loss', 'floor', 'exact']].assign(
        predicted=f.loss, low=f.low, high=f.high, error=f.loss / own.loss - 1,
        exact_predicted=told(np.maximum(f.loss - own.floor, 1e-6)),
        naive=best.loss, exact_naive=best.exact, small=len(small)))
  return pd.concat(out, ignore_index=True) if out else pd.DataFrame()


def show(df) -> str:
  """The small table of the last screen."""
  told = foretold(df)
  if told.empty:
    return 'nothing to foretell: no budget has runs of a tenth of it'
  lines = [f'{"C":>8}{"N":>9}{"loss":>9}{"foretold":>10}{"95 %":>18}'
           f'{"error":>8}{"exact":>7}{"foretold":>10}']
  lines += [f'{r.budget:>8.0e}{r.N:>9.0f}{r.loss:>9.4f}{r.predicted:>10.4f}'
            f'{r.low:>10.4f}{r.high:>8.4f}{100 * r.error:>+7.2f}%'
            f'{r.exact:>7.2f}{r.exact_predicted:>10.2f}'
            for r in told.itertuples()]
  return '\n'.join(lines)


def figure(df):
  """The loss foretold against the one found; exact match over compute and over
  the loss."""
  fig, axes = plots.figure(columns=3, width=4.4, height=3.6)
  told = foretold(df)
  ax, sharp, smooth = axes[0]
  low = df.floor.iloc[0]
  if len(told):
    each = told.groupby('budget')
    for (budget, own), colour in zip(each, plots.COLOURS):
      ax.errorbar(own.loss - low, own.predicted - low, yerr=np.abs(np.stack([
          own.predicted - own.low, own.high - own.predicted])), fmt='o',
          color=colour, markersize=4, capsize=2, linewidth=0.9,
          label=f'{budget:.0e} FLOP'.replace('e+', 'e'))
    ends = [0.8 * (told.loss - low).min(), 1.2 * (told.loss - low).max()]
    ax.plot(ends, ends, color=plots.QUIET, linewidth=0.9)
    ax.set(xscale='log', yscale='log')
    ax.legend(frameon=False, fontsize=7.5)
  _named(ax, 'loss - entropy, found', 'foretold from a tenth of the compute',
         'The loss')
  marks = sharp.scatter(df.C, df.exact, c=np.log10(df.N), cmap='viridis', s=14)
  fig.colorbar(marks, ax=sharp, label='log10 N', fraction=0.05)
  sharp.set(xscale='log', ylim=(-0.03, 1.03))
  _named(sharp, 'compute C, FLOP', 'whole strings right', 'Sharp in compute')
  above = np.maximum(df.loss - low, 1e-6)
  smooth.plot(above, df.exact, 'o', color=plots.QUIET, markersize=3.5,
              label='every run')
  if len(told):
    top = told.budget.max()
    small = df[df.budget <= 0.1001 * top]
    law = forecast.through(np.maximum(small.loss - low, 1e-6), small.exact)
    x = np.geomspace(above.min() / 1.3, above.max(), 60)
    smooth.plot(x, law(x), color=plots.COLOURS[0], linewidth=1.3,
                label=f'fitted to {len(small)} runs up to {top / 10:.0e} FLOP'
                .replace('e+', 'e'))
    own = told[told.budget == top]
    smooth.plot(np.maximum(own.loss - low, 1e-6), own.exact, 'D',
                color=plots.COLOURS[1], markersize=4.5,
                label=f'{top:.0e} FLOP'.replace('e+', 'e'))
  smooth.set(xscale='log', ylim=(-0.03, 1.03))
  smooth.legend(frameon=False, fontsize=7.5)
  _named(smooth, 'loss - entropy', 'whole strings right', 'Smooth in the loss')
  fig.supxlabel(
      'whole strings right: the share of 256 strings in which every token that '
      'the grammar forces is the first choice (a constant guess: 0). Bars: '
      '95 % of runs like it', x=0.01, ha='left', fontsize=8, color=plots.QUIET)
  return fig


def _named(ax, x, y, title):
  ax.set_xlabel(x, fontsize=9)
  ax.set_ylabel(y, fontsize=9)
  plots.title(ax, title)
  plots.plain_ticks(ax)


def verdict(df) -> list[Claim]:
  """What was foretold, and what came."""
  told, out = foretold(df), []
  top = told[told.budget == told.budget.max()] if len(told) else told
  enough = len(top) >= 5 and len(told) >= 15

  def add(statement, paper, ours, holds):
    out.append(Claim(statement, paper, ours() if enough else 'too few runs', (
        'yes' if holds() else 'no') if enough else 'not tested at this scale'))

  worst = lambda: float(top.error.abs().max())
  add('The loss of every run of the largest budget is foretold within 2 % from '
      'runs of a tenth of its compute', 'about 1 % (Chinchilla runs, refitted)',
      lambda: f'worst {100 * worst():.2f} %, mean '
      f'{100 * top.error.abs().mean():.2f} %; the best small run would say '
      f'{100 * (top.naive / top.loss - 1).abs().mean():.2f} % (n = {len(top)} '
      f'runs, from {int(top.small.iloc[0])})', lambda: worst() <= NEAR)
  inside = lambda: float(((told.low <= told.loss)
                          & (told.loss <= told.high)).mean())
  add('The 95 % intervals hold at least 90 % of what was foretold', '95 %',
      lambda: f'{100 * inside():.0f} % of {len(told)} runs', lambda: (
          inside() >= 0.9))
  off = lambda: float((top.exact_predicted - top.exact).abs().mean())
  plain = lambda: float((top.exact_naive - top.exact).abs().mean())
  add('Whole strings right is foretold through the loss', 'through the loss, '
      'not over compute', lambda: f'off by {off():.2f} in the mean, the best '
      f'small run by {plain():.2f}; {top.exact.min():.2f} to '
      f'{top.exact.max():.2f} found (n = {len(top)} runs)', lambda: (
          off() < min(plain(), 0.1)))
  return out
