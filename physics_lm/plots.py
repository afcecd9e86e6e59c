"""The look of every figure, and what figures are made of. No JAX.

Functions take axes and data; they read no files and set no global style.
"""

INK, QUIET = '#222222', '#8a8a8a'
COLOURS = ('#3b6fb6', '#d1782c', '#4b9b5a', '#a34a8f', '#b5a02b', '#5c5c5c')


def figure(columns: int = 1, rows: int = 1, width: float = 4.6,
           height: float = 3.4, **kwargs):
  """(figure, array of axes [rows, columns])."""
  from matplotlib.figure import Figure  # slow: only when something is drawn
  fig = Figure(figsize=(width * columns, height * rows), layout='constrained')
  axes = fig.subplots(rows, columns, squeeze=False, **kwargs)
  for ax in axes.flat:
    clean(ax)
  return fig, axes


def clean(ax):
  """No box, light horizontal lines, quiet ticks."""
  for side in ('top', 'right'):
    ax.spines[side].set_visible(False)
  for side in ('left', 'bottom'):
    ax.spines[side].set_color(QUIET)
  ax.tick_params(colors=INK, labelsize=8.5, length=2.5, color=QUIET)
  ax.grid(axis='y', color='#e6e6e6', linewidth=0.7)
  ax.set_axisbelow(True)


def title(ax, text: str):
  ax.set_title(text, loc='left', fontsize=10, color=INK, fontweight='bold')


def accuracy_bars(ax, labels, means, stds, colours, paper=None):
  """Bars in percent with the standard deviation, the number on top, and the
  paper's value as a black diamond."""
  at = range(len(labels))
  ax.bar(at, means, 0.62, yerr=stds, color=colours, ecolor=INK, capsize=2.5,
         error_kw={'linewidth': 0.9})
  for x, mean, std in zip(at, means, stds):
    top = mean + (std if std == std else 0)
    ax.annotate(f'{mean:.1f}', (x, top), xytext=(0, 3), ha='center',
                textcoords='offset points', fontsize=8.5, color=INK)
  if paper is not None:
    # Beside the bar, so that neither number hides the other.
    ax.plot([x + 0.4 for x in at], paper, 'D', color='white', markersize=5.5,
            markeredgecolor=INK, markeredgewidth=1.1, clip_on=False, zorder=5)
  ax.set_xticks(list(at), labels)
  ax.set_ylim(0, 118)  # room for a line of text above 100
  ax.set_yticks(range(0, 101, 20))


def accuracy_rows(ax, labels, means, stds, colours, paper):
  """Horizontal bars in percent, the first on top, with the standard deviation;
  the paper's value, where there is one (else None), as a diamond."""
  at = range(len(labels))
  ax.barh(at, means, 0.66, xerr=stds, color=colours, ecolor=INK, capsize=2,
          error_kw={'linewidth': 0.8})
  for y, mean, std, value in zip(at, means, stds, paper):
    end = mean + (std if std == std else 0)
    if value is not None and end - 2 < value < end + 10:
      end = value + 1  # past the diamond
    ax.annotate(f'{mean:.1f}', (end, y), xytext=(4, 0), va='center',
                textcoords='offset points', fontsize=8, color=INK)
  known = [(value, y) for y, value in zip(at, paper) if value is not None]
  ax.plot([v for v, _ in known], [y for _, y in known], 'D', color='white',
          markersize=5, markeredgecolor=INK, clip_on=False, zorder=5)
  ax.set_yticks(list(at), labels, fontsize=8.5)
  ax.set_ylim(len(labels) - 0.4, -0.6)
  ax.set_xlim(0, 106)
  ax.grid(axis='x', color='#e6e6e6', linewidth=0.7)
  ax.grid(axis='y', visible=False)


def curve(ax, x, mean, std, colour, label=''):
  """A line over x with a band of one standard deviation."""
  ax.plot(x, mean, color=colour, linewidth=1.6, label=label)
  ax.fill_between(x, mean - std, mean + std, color=colour, alpha=0.2,
                  linewidth=0)


def plain_ticks(ax):
  """On logarithmic axes of little range: few labels, as plain numbers."""
  from matplotlib import ticker
  for axis in (ax.xaxis, ax.yaxis):
    low, high = axis.get_view_interval()
    if axis.get_scale() != 'log' or high > 50 * low:
      continue
    subs = (1, 2, 5) if high > 5 * low else (1, 1.5, 2, 3, 4, 5, 7)
    axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=99))
    axis.set_minor_locator(ticker.NullLocator())
    axis.set_major_formatter(ticker.FuncFormatter(
        lambda x, _: f'{x:g}' if 1e-3 < x < 1e4 else f'{x:.0e}'.replace(
            'e+0', 'e')))
