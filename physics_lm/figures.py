"""The look of every figure, and the panels that figures are made of. No JAX.

A panel is a function of axes and of a summary (results.summarise): means with
95 % intervals over seeds. Functions read no files and set no global style.
Colours belong to the values of variables, so that one condition has one colour
in all figures.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from physics_lm.igsm_tables import split_op

if TYPE_CHECKING:
  import numpy as np
  import pandas as pd
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

INK, QUIET, GRID = '#222222', '#8a8a8a', '#e6e6e6'
CAPTION = '#4d4d4d'
COLOURS = ('#3b6fb6', '#d1782c', '#4b9b5a', '#a34a8f', '#b5a02b', '#5c5c5c')
# Values of variables that several figures show.
COLOUR_OF = {
    'single': '#a5b4cb', 'multi5': '#7f9cc7', 'multi5_permute': '#3b6fb6',
    'multi5_permute_fullname': '#1f3f70',
    'mixed': '#3b6fb6', 'finetune': '#d1782c', 'pretrain': '#8a8a8a',
    'base': '#8a8a8a', 'clean': '#5c5c5c', 'untrained': '#b9b9b9',
    'trained': '#3b6fb6',
    'junk': '#d1782c', 'tagged': '#4b9b5a', 'repetitive': '#b5a02b',
    'repetitive_100': '#7d6608',
    **dict.fromkeys(('tag_eighth', 'tag_quarter', 'tag_half', 'tag_most',
                     'tag_on_junk'), '#a9d0b1'),
    'junk_half': '#e8b88a', 'junk_3_quarters': '#e8b88a',
    'tagged_junk_half': '#4b9b5a',
    'oracle': '#8a8a8a', 'majority': '#b5a02b', 'outcome': '#d1782c',
    'process': '#3b6fb6', 'probe': '#3b6fb6', 'state': '#d1782c',
    'ready': '#4b9b5a', 'checker': '#a34a8f',
    'retry 0.05': '#b8c4d6', 'retry 0.2': '#7f9cc7', 'retry 0.5': '#3b6fb6',
    'retry_masked 0.2': '#a9d0b1', 'retry_masked 0.5': '#4b9b5a',
    'retry_weak 0.5': '#d1782c', 'retry_miss 0.5': '#a34a8f',
    'prune': '#4b9b5a', 'prune_units': '#a34a8f', 'gpt2': '#5c5c5c',
    'mlp_quarter': '#7f9cc7', 'no_mlp': '#b8c4d6', 'moe': '#3b6fb6',
    'llama': '#d1782c', 'mistral': '#d1782c', 'llama_plain': '#e8b88a'}


def grid(columns: int = 1, rows: int = 1, width: float = 4.6,
         height: float = 3.4, **kwargs) -> 'tuple[Figure, np.ndarray]':
  """(figure, array of axes [rows, columns]); width and height in inches, of
  one panel."""
  from matplotlib.figure import Figure  # slow: only when something is drawn
  fig = Figure(figsize=(width * columns, height * rows), layout='constrained')
  axes = fig.subplots(rows, columns, squeeze=False, **kwargs)
  for ax in axes.flat:
    clean(ax)
  return fig, axes


def clean(ax: 'Axes') -> None:
  """No box, light horizontal lines, quiet ticks."""
  for side in ('top', 'right'):
    ax.spines[side].set_visible(False)
  for side in ('left', 'bottom'):
    ax.spines[side].set_color(QUIET)
  ax.tick_params(labelcolor=INK, labelsize=8.5, length=2.5, color=QUIET)
  ax.grid(axis='y', color=GRID, linewidth=0.7)
  ax.set_axisbelow(True)


def colour(value: Any, position: int = 0) -> str:
  """Of a variable's value: its own, else by position."""
  return COLOUR_OF.get(value, COLOURS[position % len(COLOURS)])


def title(ax: 'Axes', text: str) -> None:
  """A panel's title: what is shown, not what it means."""
  ax.set_title(text, loc='left', fontsize=10, color=INK, fontweight='bold')


def labels(ax: 'Axes', x: str = '', y: str = '', heading: str = '') -> None:
  """Axis labels, with units, and the panel's title."""
  if heading:
    title(ax, heading)
  ax.set_xlabel(x, fontsize=9)
  ax.set_ylabel(y, fontsize=9)


def finish(fig: 'Figure', heading: str, caption: str) -> None:
  """The one line on top, and at most two lines below: error bars, n, what
  marks mean. Numbers of bars move off the marks."""
  gids = {line.get_gid() for ax in fig.axes for line in ax.lines}
  if CUT in gids:
    note = ';  no cap: interval cut at 0 or 100'
    room = 14 * fig.get_figwidth() - len(caption.rpartition('\n')[2])
    caption += note if len(note) < room else note.replace('  ', '\n')
  fig.suptitle(heading, x=0.01, ha='left', fontsize=11)
  fig.supxlabel(caption, x=0.01, ha='left', fontsize=8, color=CAPTION)
  if MARK in gids:
    fig.draw_without_rendering()  # the layout: where things are
    for ax in fig.axes:
      _clear_marks(ax)


def _clear_marks(ax: 'Axes') -> None:
  """Numbers that lie on a mark move beyond it, up or (of horizontal bars) to
  the right; to the left of it where the panel is at its end."""
  points = 72 / ax.figure.dpi
  marks = [line.get_window_extent().padded(1.5 / points) for line in ax.lines
           if line.get_gid() == MARK]
  for text in ax.texts if marks else ():
    if text.get_gid() != NUMBER:
      continue
    right, up = text.xyann
    for mark in sorted(marks, key=lambda m: (m.y0, m.x0)):
      box = text.get_window_extent()
      if not box.overlaps(mark):
        continue
      if text.get_ha() == 'left':
        right += (mark.x1 - box.x0) * points
      elif mark.y1 + box.height < ax.bbox.y1 + 4 / points:
        up += (mark.y1 - box.y0) * points
      else:
        right -= (box.x1 - mark.x0) * points
      text.xyann = right, up


def seeds_note(summary: 'pd.DataFrame') -> str:
  """'mean and 95 % interval over 3 seeds'; of one seed, that it is one."""
  low, high = int(summary.n_seeds.min()), int(summary.n_seeds.max())
  if high == 1:
    return 'one seed'
  return ('mean and 95 % interval over '
          + (f'{low}' if low == high else f'{low} to {high}') + ' seeds')


# The gid of a bar's number; of a point or line that belongs to a bar; of caps
# of intervals that are cut.
NUMBER, MARK, CUT = 'number', 'mark', 'cut'


def percent_axis(ax: 'Axes', top: float = 104, horizontal: bool = False
                 ) -> None:
  """A y (or x) axis of percent; room above 100 for marks, or less than 100.
  Intervals are cut at 0 and 100, without a cap there; a bar's number is at the
  cut."""
  (ax.set_xticks if horizontal else ax.set_yticks)(
      range(0, min(int(top), 100) + 1, 20 if top > 50 else 5))
  (ax.set_xlim if horizontal else ax.set_ylim)(0, top)
  k = 0 if horizontal else 1
  for text in ax.texts:
    if text.get_gid() == NUMBER and text.xy[k] > 100:
      text.xy = (text.xy[0], 100) if k else (100, text.xy[1])
  for container in ax.containers:
    if not hasattr(container, 'has_yerr'):
      continue  # no error bars
    for cap in container[1]:
      at = list(cap.get_data())
      keep = [-1e-6 < v < 100.000001 or v != v for v in at[k]]
      at[k] = [v if kept else float('nan') for v, kept in zip(at[k], keep)]
      cap.set(data=at, gid=None if all(keep) else CUT)
    for line in container[2]:
      for at in (path.vertices for path in line.get_paths()):
        if len(at) and at[:, k].mean() <= 100:  # a mean above 100: no share
          at[:, k] = at[:, k].clip(0, 100)


def legend(ax: 'Axes | Figure', **kwargs) -> None:
  """A legend without a frame, where there is anything to name."""
  if 'handles' not in kwargs and not ax.get_legend_handles_labels()[0]:
    return
  ax.legend(**{'frameon': False, 'fontsize': 8, 'title_fontsize': 8} | kwargs)


def errors(rows: 'pd.DataFrame', y: str) -> list[list[float]]:
  """[below, above] of the interval of y, never negative; 0 where there is
  none (one seed)."""
  below = [max(m - low, 0) if low == low else 0
           for m, low in zip(rows[f'{y}_mean'], rows[f'{y}_low'])]
  above = [max(high - m, 0) if high == high else 0
           for m, high in zip(rows[f'{y}_mean'], rows[f'{y}_high'])]
  return [below, above]


def bars(ax: 'Axes', rows: 'pd.DataFrame', y: str, names: Sequence[str],
         colours: Sequence[str] | str | None = None, paper: Sequence = (),
         offset: float = 0.0, width: float = 0.62, label: str = '',
         horizontal: bool = False, numbers: bool = True,
         digits: int | None = 0, floor: float | None = None) -> None:
  """A bar for each row of a summary, at 0, 1, ... + offset, with its interval
  and number (`digits` after the point; None: two significant ones); `paper`:
  the paper's values (None or nan: none), as diamonds in the bar's colour,
  darker; `floor`: a mean below it is only written so."""
  at = [i + offset for i in range(len(rows))]
  means, error = list(rows[f'{y}_mean']), errors(rows, y)
  for i, mean in enumerate(means):
    if floor is not None and mean < floor:
      means[i] = float('nan')
      _number(ax, f'< {floor:g}', (floor, at[i]) if horizontal else (
          at[i], floor), horizontal)
  if colours is None or isinstance(colours, str):
    colours = [colours or COLOURS[0]] * len(at)
  draw, whisker = (ax.barh, 'xerr') if horizontal else (ax.bar, 'yerr')
  draw(at, means, width, color=colours, label=label or None, ecolor=INK,
       capsize=2, error_kw={'linewidth': 0.8}, **{whisker: error})
  for i, mean in enumerate(means if numbers else ()):
    if mean != mean:
      continue
    end = mean + error[1][i]
    _number(ax, f'{mean:.2g}' if digits is None else f'{mean:.{digits}f}',
            (end, at[i]) if horizontal else (at[i], end), horizontal)
  for x, v, edge in zip(at, paper, colours):
    if v is not None and v == v:  # right of the bar's middle: its number's
      x += 0.22 * width
      ax.plot(*((v, x) if horizontal else (x, v)), 'D', color='white',
              markersize=5, markeredgecolor=_dark(edge), markeredgewidth=1.4,
              clip_on=False, zorder=5, gid=MARK)
  if names:
    if horizontal:
      row_names(ax, names)
    else:
      ax.set_xticks(range(len(rows)), names)
      if len(rows) < 3:  # few bars are no wider
        ax.set_xlim(-0.6, 2.4)


def _dark(colour: str) -> tuple[float, ...]:
  """A colour that shows on itself."""
  from matplotlib.colors import to_rgb
  return tuple(0.6 * x for x in to_rgb(colour))


def bars_of_seeds(ax: 'Axes', rows: 'pd.DataFrame', df: 'pd.DataFrame',
                  group: str, y: str, digits: int = 0) -> None:
  """A horizontal bar for each row of a summary by `group`, with a point for
  each of its rows in `df`, and the mean right of all of these."""
  ax.barh(range(len(rows)), rows[f'{y}_mean'], 0.62, color=COLOURS[0])
  for i, (name, mean) in enumerate(zip(rows[group], rows[f'{y}_mean'])):
    if mean == mean:
      values = df[df[group] == name][y]
      ax.plot(values, [i] * len(values), 'o', color=INK, markersize=2.5)
      _number(ax, f'{mean:.{digits}f}', (max(mean, values.max(), 0), i), True,
              gap=7)  # not the last point's own value
  ax.margins(x=0.1)  # room for the numbers
  row_names(ax, list(rows[group]))


def dots(ax: 'Axes', rows: 'pd.DataFrame', x: str, names: Sequence[str],
         offset: float = 0.0, colour: str = COLOURS[0]) -> None:
  """A horizontal dot for each row of a summary, with its interval, a little
  below its name by `offset`."""
  ax.errorbar(rows[f'{x}_mean'], [i + offset for i in range(len(rows))],
              xerr=errors(rows, x), fmt='o', markersize=4, linewidth=0.8,
              color=colour)
  row_names(ax, names)


def _number(ax, text: str, end: tuple, horizontal: bool, gap: float = 3):
  """At the end of a bar, legible on top of lines."""
  from matplotlib import patheffects
  ax.annotate(text, end, xytext=(gap, 0) if horizontal else (0, 2),
              textcoords='offset points', fontsize=8, color=INK, zorder=6,
              gid=NUMBER, ha='left' if horizontal else 'center',
              va='center' if horizontal else 'bottom', path_effects=[
                  patheffects.withStroke(linewidth=2.5, foreground='white')])


def grouped_bars(ax: 'Axes', summary: 'pd.DataFrame', x: str, hue: str, y: str,
                 x_names: Mapping[str, str], hue_names: Mapping[str, str],
                 paper: Mapping | None = None, digits: int = 0,
                 numbers: bool = True, order: Sequence = (),
                 floor: float | None = None) -> None:
  """A group of bars for each value of x, a colour for each value of hue.
  `paper`: {(x, hue): value}; `order`: all hues of the figure, where this panel
  shows some of them; `floor`: as in bars."""
  width = 0.84 / len(hue_names)
  cells = summary.set_index([x, hue])
  for k, (value, name) in enumerate(hue_names.items()):
    rows = cells.reindex([(v, value) for v in x_names])
    bars(ax, rows, y, list(x_names.values()),
         colours=colour(value, list(order or hue_names).index(value)),
         label=name, width=0.92 * width,
         offset=width * (k - (len(hue_names) - 1) / 2), digits=digits,
         numbers=numbers, floor=floor,
         paper=[(paper or {}).get((v, value)) for v in x_names])


def curves(ax: 'Axes', summary: 'pd.DataFrame', x: str, hue: str | None, y: str,
           names: Mapping | None = None, band: bool | None = True,
           paper: Mapping | None = None, **kwargs) -> None:
  """A line over x for each value of hue, with the interval as a band, as bars
  (band=False) or not at all (None: where the seeds' common level would hide a
  difference that they share); `paper`: {hue: {x: the paper's value}}, as
  diamonds on a dotted line."""
  groups = ([(None, summary)] if hue is None else
            list(summary.groupby(hue, sort=False)))
  if names is not None and hue is not None:
    known = dict(groups)
    groups = [(v, known[v]) for v in names if v in known]
  for k, (value, rows) in enumerate(groups):
    rows = rows[rows[f'{y}_mean'].notna()].sort_values(x)
    style = {'color': colour(value, k), 'marker': 'o', 'markersize': 3.5,
             'linewidth': 1.5, 'label': (names or {}).get(value, _count(value))}
    if band is False:
      ax.errorbar(rows[x], rows[f'{y}_mean'], yerr=errors(rows, y),
                  capsize=2, elinewidth=0.8, **style | kwargs)
    else:
      ax.plot(rows[x], rows[f'{y}_mean'], **style | kwargs)
    if band:
      ax.fill_between(rows[x], rows[f'{y}_low'], rows[f'{y}_high'],
                      color=(style | kwargs)['color'], alpha=0.18, linewidth=0)
    if paper and value in paper:
      paper_points(ax, *zip(*paper[value].items()), style['color'], True)


def _count(value):
  """A count that a table holds as a float, as a reader writes it."""
  count = isinstance(value, float) and value >= 1000 and value.is_integer()
  return f'{value:,.0f}' if count else value


def accuracy_by_op(ax: 'Axes', summary: 'pd.DataFrame', hue: str,
                   names: Mapping, dotted: bool = True, key: bool = True
                   ) -> None:
  """Accuracy of solutions over the operations of a split's problems, a
  line for each value of hue; dotted: of problems that occurred in training.
  For summaries of igsm_tables.solutions, by hue and split. `key`: with a
  legend."""
  op = summary.split.map(split_op)
  rows = summary.assign(op=op)[op.gt(0) & ~summary.split.str.endswith('_reask')]
  ax.set_xticks(sorted(set(rows.op)))
  for k, (value, name) in enumerate(names.items()):
    mine = rows[rows[hue] == value].sort_values('op')
    x, line = mine.op + 0.04 * k, {'color': colour(value, k), 'linewidth': 1.5}
    ax.errorbar(x, mine.accuracy_mean, yerr=errors(mine, 'accuracy'),
                marker='o', markersize=3.5, elinewidth=0.8, capsize=2,
                label=name, **line)
    if dotted:
      ax.plot(x, mine.accuracy_contaminated_mean, ':', **line)
  percent_axis(ax)
  if key:
    legend(ax, loc='lower left')
  labels(ax, 'operations of the problem (op)', 'solutions correct, %',
         'Accuracy by op')


def stacked_bars(ax: 'Axes', rows: 'pd.DataFrame', columns: Mapping[str, str],
                 names: Sequence[str]) -> None:
  """A horizontal bar for each row of a summary, in parts: the mean of each of
  `columns` ({column: legend}), in percent; the legend below."""
  left = 0 * rows[f'{next(iter(columns))}_mean'].to_numpy()
  for k, (column, label) in enumerate(columns.items()):
    values = rows[f'{column}_mean'].fillna(0).to_numpy()
    ax.barh(range(len(rows)), values, 0.62, left=left, label=label,
            color=(COLOURS[4], QUIET, '#d4d4d4', *COLOURS)[k])
    left = left + values
  row_names(ax, names)
  ax.set_xlim(0, 100)
  legend(ax, loc='upper center', bbox_to_anchor=(0.5, -0.16), ncols=3,
         handlelength=1, columnspacing=1)


def row_names(ax: 'Axes', names: Sequence[str]) -> None:
  """Names of horizontal bars, the first on top; the grid across them."""
  ax.set_yticks(range(len(names)), names, fontsize=8.5)
  ax.set_ylim(len(names) - 0.4, -0.6)
  ax.grid(axis='x', color=GRID, linewidth=0.7)
  ax.grid(axis='y', visible=False)


def scatter(ax: 'Axes', rows: 'pd.DataFrame', x: str, y: str, name: str = '',
            position: int = 0, value: Any = None, shift: float = 0, **kwargs
            ) -> None:
  """Means of two columns against each other, with both intervals; `shift`: to
  the right, where others are at the same x."""
  ax.errorbar(rows[f'{x}_mean'] + shift, rows[f'{y}_mean'],
              xerr=errors(rows, x), yerr=errors(rows, y), fmt='o',
              label=name or None,
              **{'markersize': 4, 'linewidth': 0.8,
                 'color': colour(value, position)} | kwargs)


def heatmap(ax: 'Axes', matrix: 'np.ndarray', row_names: Sequence[str],
            column_names: Sequence[str], low: float = 0, high: float = 100,
            digits: int = 0, paper: Mapping | None = None) -> None:
  """A matrix [rows, columns] of numbers, written into its cells; `paper`: the
  paper's values by (row, column), in brackets below."""
  ax.grid(False)
  ax.imshow(matrix, vmin=low, vmax=high, cmap='Blues', aspect='auto')
  for i, line in enumerate(matrix):
    for j, v in enumerate(line):
      if v != v:
        continue
      style = {'ha': 'center', 'va': 'center', 'color': 'white' if (
          v - low) > 0.6 * (high - low) else INK,
          'textcoords': 'offset points'}
      theirs = (paper or {}).get((i, j))
      ax.annotate(f'{v:.{digits}f}', (j, i), fontsize=8, **style,
                  xytext=(0, 0 if theirs is None else 5))
      if theirs is not None:
        ax.annotate(f'({theirs:.{digits}f})', (j, i), fontsize=7, **style,
                    xytext=(0, -5))
  ax.set_xticks(range(len(column_names)), column_names, fontsize=8)
  ax.set_yticks(range(len(row_names)), row_names, fontsize=8)


def level(ax: 'Axes', value: float | None, text: str = '', style: str = ':',
          vertical: bool = False, **kwargs) -> None:
  """A reference line (a baseline, a bound) across the panel, named right of
  the panel; a vertical one is for the caption to name. Nothing for None or
  nan."""
  if value is None or value != value:
    return
  draw = ax.axvline if vertical else ax.axhline
  draw(value, **{'color': INK, 'linewidth': 0.9, 'linestyle': style} | kwargs)
  if text and not vertical:
    ax.annotate(text.replace(' ', '\n', 1), (1, value),
                xycoords=('axes fraction', 'data'), xytext=(3, 0),
                textcoords='offset points', fontsize=7.5, color=QUIET,
                ha='left', va='center', annotation_clip=False)


def group_levels(ax: 'Axes', summary: 'pd.DataFrame', x: str, names: Sequence,
                 y: str = 'majority_baseline', width: float = 0.9,
                 offset: float = 0.0, style: str = ':', label: str = ''
                 ) -> None:
  """A short line across each group of grouped_bars (or, with an offset, one of
  its bars): y's mean over the rows of each x in `names`. One entry of the
  legend."""
  label = label or y.replace('_', ' ')
  for i, value in enumerate(names):
    level = summary[summary[x] == value][f'{y}_mean'].mean()
    if level == level:
      ax.plot([i + offset - width / 2, i + offset + width / 2], [level] * 2,
              color=INK, linewidth=1, linestyle=style, zorder=4, label=label,
              gid=MARK if offset else None)
      label = None


def paper_points(ax: 'Axes', xs: Sequence[float], ys: Sequence[float],
                 colour: str = INK, line: bool = False) -> None:
  """The paper's values as diamonds, joined by a dotted line if wanted."""
  if not len(xs):  # an empty line that is not clipped upsets the layout
    return
  ax.plot(xs, ys, 'D:' if line else 'D', color=colour, markerfacecolor='white',
          markeredgecolor=colour, markersize=4.5, linewidth=0.9,
          markeredgewidth=1.1, clip_on=False, zorder=5)


def diagonal(ax: 'Axes', end: float, text: str = '') -> None:
  """The line y = x from 0 to `end`, named at its end."""
  ax.plot([0, end], [0, end], color=QUIET, linewidth=0.9, linestyle='--')
  if text:
    ax.annotate(text, (end, end), xytext=(6, -4), textcoords='offset points',
                fontsize=7.5, color=QUIET, va='top')


def plain_ticks(ax: 'Axes') -> None:
  """On logarithmic axes of little range: few labels, as plain numbers; such
  axes without data, of which matplotlib cannot draw any, become linear."""
  from matplotlib import ticker
  for name, axis in (('x', ax.xaxis), ('y', ax.yaxis)):
    low, high = axis.get_view_interval()
    if axis.get_scale() == 'log' and low <= 0:
      ax.set(**{f'{name}scale': 'linear'})
    if axis.get_scale() != 'log' or high > 50 * low:
      continue
    subs = (1, 2, 5) if high > 5 * low else (1, 1.5, 2, 3, 4, 5, 7)
    axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=99))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(_plain))


def log_ticks(ax: 'Axes', values: Sequence[float]) -> None:
  """A logarithmic x axis with ticks at these values, as plain numbers."""
  ax.set_xscale('log')
  ax.minorticks_off()
  ax.set_xticks(values, [f'{v:,.0f}' if v >= 1000 else f'{v:g}'
                         for v in values])


def _plain(x: float, _) -> str:
  if 9.9e-5 < x < 9.9e5:
    return f'{x:,.0f}' if x > 9999 else f'{x:.4g}'
  if 9.9e5 < x < 1e9:
    return f'{x / 1e6:.4g}M'
  return f'{x:.0e}'.replace('e+', 'e').replace('e0', 'e')


OUTCOME_COLOUR = {
    'supported': '#4b9b5a', 'direction only': '#a9c98f',
    'contradicted': '#b5443c', 'inconclusive': '#b5a02b',
    'at floor': '#8a8a8a', 'not run': '#cccccc'}
