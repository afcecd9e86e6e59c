"""The figure of an ability's metrics, its collapse and its ladder. No JAX."""

from typing import TYPE_CHECKING

from physics_lm import figures
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
        ('nats per answer', '', 'The same runs, by loss'),
        ('step', '8 answers correct, %', f'Predicted from widths {fitted}'))):
      figures.labels(ax, *words)
      figures.percent_axis(ax, 150 if ax is row[3] else 104)
  for ax, more in ((axes[0, 0], {}), (axes[0, 3], {'loc': 'upper left'}), (
      axes[0, 1], {'title': 'width', 'markerscale': 3})):
    if ax.lines:  # of both rows
      figures.legend(ax, **more)
  figures.finish(
      fig, 'What is sudden: of facts the metric, of copying the loss',
      'left: medians over seeds; right: thin lines for each seed, dashed ones '
      'of a fit to all seeds;  points: every evaluation of every run')
  return fig


def _metrics(ax: 'Axes', top: 'pd.DataFrame'):
  """Medians over seeds, a line for each metric."""
  for colour, (column, label) in zip(figures.COLOURS, METRICS.items()):
    top.groupby('step')[column].median().plot(
        ax=ax, color=colour, linewidth=1.5, label=label)


def _predictions(ax: 'Axes', df: 'pd.DataFrame', small: int):
  """Exact 8 of the largest width of each seed, and what is predicted of it."""
  at, top = abilities.small_and_largest(df, small)
  made = abilities.ladder(at, top)
  top = top.assign(**{method: by_k[8] for method, by_k in made.items()})
  for i, (_, rows) in enumerate(top.groupby('seed')):
    for y, label, style in (
        ('exact8', f'measured, width {top.width.iloc[0]}', {
            'color': figures.INK}),
        ('second step', METHODS['second step'], {
            'color': figures.COLOURS[2], 'linestyle': ':'})):
      ax.plot(rows.step, rows[y], linewidth=0.9, label=None if i else label,
              **style)
    if not i:  # the same for all seeds
      for colour, y in zip(figures.COLOURS, ('one step', 'two steps')):
        ax.plot(rows.step, rows[y], '--', color=colour, linewidth=1.8,
                label=METHODS[y])
