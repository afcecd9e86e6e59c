"""Can the largest runs be foretold from runs of a tenth of their compute?

The loss of large models is extrapolated from small ones (Kaplan et al. 2020,
arXiv 2001.08361; Hoffmann et al. 2022, arXiv 2203.15556; the GPT-4 report,
arXiv 2303.08774, foretold its loss from runs of a ten-thousandth). What a model
can do seems to come suddenly with scale (Wei et al. 2022, arXiv 2206.07682),
yet smoothly with the loss (Schaeffer et al. 2023, arXiv 2304.15004; Du et al.
2024, arXiv 2403.15796): so the exact match of whole strings is foretold
through the loss.

  python -m physics_lm.launch experiments/scaling_prediction.py \\
      --scale=cpu
  python -m physics_lm.report experiments/scaling_prediction.py \\
      --scale=cpu

The runs are scaling_sweep.py's isoFLOP runs, world by world: where those are
done, `ln -s scaling_sweep runs/scaling_prediction` spares them.

Ours: for every budget that has runs of a tenth of it or less, the law of
L(N, D) is fitted to those and asked for each run of the budget. Beside it, what
one would say without a law: loss and exact match of the best small run.

Rules, fixed before the runs (how many runs are enough to judge was lowered, to
three of the largest budget and ten in all, before those of 1e12 FLOP): at the
largest budget no run is off by more than 2 % of its loss; at least 90 % of all
runs foretold lie in their 95 % intervals; exact match through the loss is off
by less in the mean (absolute, over the largest budget) than the best small
run's, and by less than 0.1. Added when the runs had been seen, as their rows
say: the same with E held at the entropy, and by the p-norm of the limits of
size and data (laws.p_norm, E free).
"""

import functools
from pathlib import Path

import numpy as np

from physics_lm import plots, sweep
from physics_lm.report import Claim
from physics_lm.scaling import analysis, fit, forecast
from physics_lm.sweep import Run

NEAR = 0.02  # of the loss
NONE = 1e-6  # nats a token
DRAWS = 100


@functools.cache
def _sweep():
  return sweep.experiment(str(Path(__file__).with_name('scaling_sweep.py')))


def runs(scale: str) -> list[Run]:
  """The sweep's isoFLOP runs."""
  return [r for r in _sweep().runs(scale) if r.tags['role'] == 'isoflop']


def table(results: list[dict]):
  """One row a run, as scaling_sweep.py's."""
  return _sweep().table(results)


def foretold(df):
  """One row a run of each budget that runs of a tenth of it foretell:
  predicted, low, high, error (relative); given, given_error: the same with E
  held at the entropy; p_norm, p_norm_error: by laws.p_norm; exact_predicted and
  exact_given, through these losses (nan in a world of people); naive and
  exact_naive, of the best small run; small: how many there are."""
  import pandas as pd
  out = []
  for (world, budget), own in df.groupby(['world', 'budget'], sort=False):
    small = _small(df[df.world == world], budget)
    if small.N.nunique() < 3 or small.D.nunique() < 3 or len(small) < 8:
      continue
    data = [small[k].to_numpy(float) for k in ('N', 'D', 'loss')]
    best = small.loc[small.loss.idxmin()]
    new = [own[k].to_numpy(float) for k in ('N', 'D')]
    f = _predict(*map(tuple, (*data, *new)))
    low = own.floor.iloc[0]
    given = fit.chinchilla(*data, bounds=fit.held(E=low)).predict(*new)
    bent = fit.p_norm(*data, bounds=analysis.BOUNDS).predict(*new)
    exact = exact_given = np.nan
    if small.exact.notna().all():
      told = forecast.through(_above(small), small.exact)
      exact, exact_given = (told(np.maximum(loss - low, NONE))
                            for loss in (f.loss, given))
    out.append(own[['world', 'budget', 'N', 'D', 'loss', 'floor', 'exact']]
               .assign(predicted=f.loss, low=f.low, high=f.high,
                       error=f.loss / own.loss - 1, given=given,
                       given_error=given / own.loss - 1, p_norm=bent,
                       p_norm_error=bent / own.loss - 1,
                       exact_predicted=exact, exact_given=exact_given,
                       naive=best.loss, exact_naive=best.exact,
                       small=len(small)))
  return pd.concat(out, ignore_index=True) if out else pd.DataFrame()


@functools.lru_cache(64)
def _predict(*columns):  # verdict and figure ask the same
  return forecast.predict(*map(np.asarray, columns), DRAWS)


def _small(df, budget: float):
  return df[df.budget <= 0.1001 * budget]


def _above(df):
  """The loss above its floor, which an error of measurement may hide."""
  return np.maximum(df.loss - df.floor, NONE)


def show(df) -> str:
  """The small table of the last screen."""
  told = foretold(df)
  if told.empty:
    return 'nothing to foretell: no budget has runs of a tenth of it'
  lines = [f'{"world":16}{"C":>8}{"N":>9}{"loss":>9}{"foretold":>10}'
           f'{"95 %":>18}{"error":>8}{"E known":>9}{"error":>8}{"p norm":>9}'
           f'{"error":>8}{"exact":>7}'
           f'{"foretold":>10}{"E known":>9}']
  lines += [f'{r.world:16}{r.budget:>8.0e}{r.N:>9.0f}{r.loss:>9.4f}'
            f'{r.predicted:>10.4f}{r.low:>10.4f}{r.high:>8.4f}'
            f'{100 * r.error:>+7.2f}%{r.given:>9.4f}'
            f'{100 * r.given_error:>+7.2f}%{r.p_norm:>9.4f}'
            f'{100 * r.p_norm_error:>+7.2f}%{r.exact:>7.2f}'
            f'{r.exact_predicted:>10.2f}{r.exact_given:>9.2f}'
            for r in told.itertuples()]
  return '\n'.join(lines)


def figure(df):
  """The loss foretold against the one found, by world; exact match over
  compute and over the loss."""
  told = foretold(df)
  worlds = list(df.world.unique())
  fig, axes = plots.figure(columns=len(worlds) + 2, width=3.7, height=3.6)
  for ax, world in zip(axes[0], worlds):
    own = told[told.world == world] if len(told) else told
    _foretold(ax, own, world)
  exact = df[df.exact.notna()]
  _sharp(axes[0][-2], exact)
  _smooth(axes[0][-1], exact, told[told.exact.notna()] if len(told) else told)
  fig.supxlabel(
      "each budget foretold from the runs of a tenth of it or less; dots: by "
      "Chinchilla's sum, bars meant to hold 95 %; diamonds: with E held at the "
      'entropy (dotted); triangles: by the p-norm of the limits of size and '
      'data;\n'
      'few_people_a: person k is told of with probability ~ k^-(1 + a). Whole '
      'strings right (the grammar): the share of 256 strings in which every '
      'token that the grammar forces is the first choice (a constant guess: '
      '0)', x=0.01, ha='left', fontsize=8,
      color=plots.QUIET)
  return fig


def _foretold(ax, told, world):
  if len(told):
    told = told.groupby(['budget', 'N'], as_index=False).mean(numeric_only=True)
    for (budget, own), colour in zip(told.groupby('budget'), plots.COLOURS):
      ax.errorbar(own.loss, own.predicted, yerr=np.abs(np.stack([
          own.predicted - own.low, own.high - own.predicted])), fmt='o',
          color=colour, markersize=4, capsize=2, linewidth=0.7, alpha=0.7,
          label=f'{budget:.0e} FLOP'.replace('e+', 'e'))
      for column, mark in (('given', 'D'), ('p_norm', '^')):
        ax.plot(own.loss, own[column], mark, color='white', markersize=4.5,
                markeredgecolor=colour, linestyle='', zorder=4)
    for label, mark in (('entropy known', 'D'), ('p-norm of the limits', '^')):
      ax.plot([], [], mark, color='white', markeredgecolor=plots.QUIET,
              linestyle='', label=label)
    ends = [told.loss.min(), told.loss.max()]
    ax.plot(ends, ends, color=plots.INK, linewidth=0.9)
    ax.axhline(told.floor.iloc[0], color=plots.QUIET, linestyle=':',
               linewidth=1)
    ax.legend(frameon=False, fontsize=7, loc='upper left')
    ax.set_ylim(top=ax.get_ylim()[1] + 0.35 * np.ptp(ax.get_ylim()))
  _named(ax, 'loss found (mean of seeds), nats a token', 'loss foretold', world)


def _sharp(ax, df):
  marks = ax.scatter(df.C, df.exact, c=np.log10(df.N), cmap='viridis', s=14)
  ax.figure.colorbar(marks, ax=ax, label='log10 N', fraction=0.05)
  ax.set(xscale='log', ylim=(-0.03, 1.03))
  _named(ax, 'compute C, FLOP', 'whole strings right', 'Over compute')


def _smooth(ax, df, told):
  above = _above(df)
  ax.plot(above, df.exact, 'o', color=plots.QUIET, markersize=3.5,
          label='every run')
  if len(told):
    top = told.budget.max()
    small = _small(df, top)
    law = forecast.through(_above(small), small.exact)
    x = np.geomspace(above.min() / 1.3, above.max(), 60)
    ax.plot(x, law(x), color=plots.COLOURS[0], linewidth=1.3,
            label=f'fitted to {len(small)} runs up to {top / 10:.0e} FLOP'
            .replace('e+', 'e'))
    own = told[told.budget == top]
    ax.plot(_above(own), own.exact, 'D', color=plots.COLOURS[1],
            markersize=4.5, label=f'{top:.0e} FLOP'.replace('e+', 'e'))
  ax.set(xscale='log', ylim=(-0.03, 1.03))
  ax.legend(frameon=False, fontsize=7.5)
  _named(ax, 'loss - entropy', 'whole strings right', 'Over the loss')


def _named(ax, x, y, title):
  ax.set_xlabel(x, fontsize=9)
  ax.set_ylabel(y, fontsize=9)
  plots.title(ax, title)
  plots.plain_ticks(ax)


def verdict(df) -> list[Claim]:
  """What was foretold, and what came, world by world."""
  told = foretold(df)
  return [c for world in df.world.unique() for c in _verdict(
      world, told[told.world == world] if len(told) else told,
      df[df.world == world].exact.notna().all())]


def _verdict(world: str, told, exact: bool) -> list[Claim]:
  out = []
  top = told[told.budget == told.budget.max()] if len(told) else told
  enough = len(top) >= 3 and len(told) >= 10

  def add(statement, paper, ours, holds):
    out.append(Claim(f'{world}: {statement}', paper, ours() if enough else (
        'too few runs'), ('yes' if holds() else 'no') if enough else (
            'not tested at this scale')))

  worst = lambda: float(top.error.abs().max())
  add('the loss of every run of the largest budget is foretold within 2 % from '
      'runs of a tenth of its compute', 'about 1 % (Chinchilla runs, refitted)',
      lambda: f'worst {100 * worst():.2f} %, mean '
      f'{100 * top.error.abs().mean():.2f} %; the best small run would say '
      f'{100 * (top.naive / top.loss - 1).abs().mean():.2f} % (n = {len(top)} '
      f'runs, from {int(top.small.iloc[0])})', lambda: worst() <= NEAR)
  inside = lambda: float(((told.low <= told.loss)
                          & (told.loss <= told.high)).mean())
  add('the 95 % intervals hold at least 90 % of what was foretold', '95 %',
      lambda: f'{100 * inside():.0f} % of {len(told)} runs', lambda: (
          inside() >= 0.9))
  # Added when the runs had been seen: few runs far above the floor do not tell
  # where it is, and here it is known.
  at = lambda: top.loc[top.loss.idxmin()]
  add('with E held at the entropy (a rule made after the first runs) the best '
      'run of the largest budget is foretold within 2 %', 'about 1 %',
      lambda: f'{at().given:.4f} against {at().loss:.4f} ('
      f'{100 * at().given_error:+.2f} %); the largest model '
      f'{100 * top.loc[top.N.idxmax()].given_error:+.2f} %, worst '
      f'{100 * top.given_error.abs().max():.2f} %, mean '
      f'{100 * top.given_error.abs().mean():.2f} %', lambda: (
          abs(at().given_error) <= NEAR))
  bent = lambda: float(top.p_norm_error.abs().max())
  add('the loss of every run of the largest budget is foretold within 2 % when '
      'p, how the limits of size and data combine, is fitted too (laws.p_norm, '
      'E free; a law made after the runs of the grammar and those of people up '
      'to 1e12)', 'about 1 %', lambda: (
          f'worst {100 * bent():.2f} %, mean '
          f'{100 * top.p_norm_error.abs().mean():.2f} %; worst of all '
          f'{told.budget.nunique()} budgets '
          f'{100 * told.p_norm_error.abs().max():.1f} % (by the sum '
          f'{100 * told.error.abs().max():.1f} %)'), lambda: bent() <= NEAR)
  off = lambda: float((top.exact_predicted - top.exact).abs().mean())
  plain = lambda: float((top.exact_naive - top.exact).abs().mean())
  if exact:
    add('whole strings right is foretold through the loss', 'through the loss, '
        'not over compute', lambda: f'off by {off():.2f} in the mean, the best '
        f'small run by {plain():.2f}, with E held '
        f'{(top.exact_given - top.exact).abs().mean():.2f}; '
        f'{top.exact.min():.2f} to {top.exact.max():.2f} found (n = '
        f'{len(top)} runs)', lambda: off() < min(plain(), 0.1))
  return out
