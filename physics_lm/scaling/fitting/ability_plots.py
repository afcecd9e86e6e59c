"""The figure of an ability's metrics, its collapse and its ladder. No JAX."""

from typing import TYPE_CHECKING

import numpy as np

from physics_lm import figures, results
from physics_lm.scaling.fitting import abilities

if TYPE_CHECKING:
  import pandas as pd
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

TITLES = {'facts': 'Facts', 'copy': 'Copying'}  # {ability: title}
METRICS = {'gain': 'nats gone', 'exact1': '1 answer correct',
           'score': '1 - Brier', 'exact8': '8 answers correct'}
METHODS = {'one step': 'from size and compute',
           'two steps': 'through predicted nats',
           'second step': 'from its own nats'}


def panels(df: 'pd.DataFrame', small: int) -> 'Figure':
  """A row for each ability of an experiment's table: metrics along training of
  the largest width; accuracy of all widths over compute and over loss; exact 8
  of the largest width as predicted from the `small` smallest ones."""
  fig, axes = figures.grid(4, len(TITLES), width=3.4, height=3.1)
  for row, (name, title) in zip(axes, TITLES.items()):
    own = df[df.ability == name]
    largest = own.width.max()
    _metrics(row[0], own[own.width == largest])
    for k, (width, rows) in enumerate(own.groupby('width')):
      for ax, x in ((row[1], rows.compute), (row[2], rows.nats)):
        ax.plot(x, rows.exact1, 'o', markersize=1.5, alpha=0.5,
                color=figures.COLOURS[k % len(figures.COLOURS)], label=width)
    row[1].set_xscale('log')
    row[2].invert_xaxis()
    if own.width.nunique() > small:
      _predictions(row[3], own, small)
    fitted = ', '.join(map(str, sorted(own.width.unique())[:small]))
    for ax, words in zip(row, (
        ('step', '%', f'{title}: width {largest}'),
        ('compute, FLOP', '1 answer correct, %', 'All widths, by compute'),
        ('nats an answer', '', 'The same runs, by loss'),
        ('step', '8 answers correct, %', f'Predicted from {fitted}'))):
      figures.labels(ax, *words)
      figures.percent_axis(ax)
      if ax.lines and ax is not row[2]:
        figures.legend(ax, title='width' if ax is row[1] else None, **(
            {'markerscale': 3} if ax is row[1] else {}))
  seeds = df.seed.nunique()
  figures.finish(fig, 'What is sudden: of facts the metric, of copying the '
                 'loss', f'lines: means over {seeds} seed{"s" * (seeds > 1)}, '
                 'bands: 95 %;  points: every evaluation of every run')
  return fig


def _metrics(ax: 'Axes', top: 'pd.DataFrame'):
  for k, (column, label) in enumerate(METRICS.items()):
    means = results.summarise(top, ['step'], [column])
    figures.curves(ax, means.assign(metric=label), 'step', 'metric', column,
                   color=figures.COLOURS[k], markersize=0)


def _predictions(ax: 'Axes', df: 'pd.DataFrame', small: int):
  top = df[df.width == df.width.max()]
  means = results.summarise(top, ['step'], ['exact8'])
  figures.curves(ax, means.assign(of='measured'), 'step', 'of', 'exact8',
                 color=figures.INK, markersize=0)
  found = [abilities.ladder(rows, small) for _, rows in df.groupby('seed')]
  for k, (method, label) in enumerate(METHODS.items()):
    line = np.mean([np.asarray(f[method][8]) for f in found], 0)
    ax.plot(sorted(top.step.unique()), line, '--', linewidth=1.3,
            color=figures.COLOURS[k], label=label)
