"""Figures of scaling laws. Functions return figures; they take no paths.

JAX-free; matplotlib is imported when something is drawn.
"""

import numpy as np

from physics_lm import plots
from physics_lm.scaling import approaches, fit, laws


def frontier(f: fit.Fit, draws: fit.Bootstrap | None = None,
             level: float = 0.95):
  """N*(C), D*(C) and D*/N* of a Chinchilla fit, C = 6 N D, with the
  bootstrap's band; the range that was fitted is shaded."""
  fig, axes = plots.figure(columns=3, width=3.6, height=3.2)
  seen = 6 * f.data[0] * f.data[1]
  C = np.geomspace(seen.min() / 10, seen.max() * 100, 60)
  N, D, _ = f.optimal(C)
  each = (('parameters N*', lambda n, d: n), ('tokens D*', lambda n, d: d),
          ('tokens a parameter', lambda n, d: d / n))
  for ax, (label, of) in zip(axes[0], each):
    ax.loglog(C, of(N, D), color=plots.COLOURS[0], linewidth=1.6)
    if draws is not None:
      pairs = [laws.chinchilla_optimal(
          {k: v[i] for k, v in draws.params.items()}, C)[:2]
          for i in range(len(draws.params['E']))]
      low, high = np.quantile([of(*p) for p in pairs],
                              [(1 - level) / 2, (1 + level) / 2], axis=0)
      ax.fill_between(C, low, high, color=plots.COLOURS[0], alpha=0.2,
                      linewidth=0)
    ax.axvspan(seen.min(), seen.max(), color=plots.QUIET, alpha=0.12,
               linewidth=0)
    ax.set_xlabel('compute C, FLOP', fontsize=9)
    plots.title(ax, label)
  a = f.params['beta'] / (f.params['alpha'] + f.params['beta'])
  fig.supxlabel(f'N* ~ C^{a:.3f};  shaded: compute of the fitted runs'
                + ('' if draws is None else f';  band: {level:.0%} of '
                   f'{len(draws.params["E"])} bootstrap refits'),
                x=0.01, ha='left', fontsize=8, color=plots.QUIET)
  return fig


def contours(f: fit.Fit):
  """L(N, D) with the runs, lines of equal compute and the frontier."""
  fig, axes = plots.figure(width=5.4, height=4.2)
  ax, (N, D, _) = axes[0][0], f.data
  n = np.geomspace(N.min() / 2, N.max() * 2, 120)
  d = np.geomspace(D.min() / 2, D.max() * 2, 120)
  loss = f.predict(n[None, :], d[:, None])
  levels = np.quantile(loss, np.linspace(0.02, 0.95, 12))
  lines = ax.contour(n, d, loss, levels=levels, cmap='viridis',
                     linewidths=0.9)
  ax.clabel(lines, fontsize=7, fmt='%.2f')
  for c in 10.0**np.arange(np.ceil(np.log10(6 * N.min() * D.min())),
                           np.log10(6 * N.max() * D.max())):
    ax.plot(n, c / (6 * n), color=plots.QUIET, linewidth=0.6, linestyle=':')
  C = np.geomspace(6 * n[0] * d[0], 6 * n[-1] * d[-1], 50)
  ax.plot(*f.optimal(C)[:2], color=plots.COLOURS[1], linewidth=2)
  ax.plot(N, D, '.', color=plots.INK, markersize=3)
  ax.set(xscale='log', yscale='log', xlim=(n[0], n[-1]), ylim=(d[0], d[-1]))
  ax.set_xlabel('parameters N', fontsize=9)
  ax.set_ylabel('tokens D', fontsize=9)
  plots.title(ax, 'Fitted loss, nats a token')
  fig.supxlabel('dots: runs;  dotted: equal compute, one decade apart;  thick: '
                'the efficient frontier', x=0.01, ha='left', fontsize=8,
                color=plots.QUIET)
  return fig


def residuals(f: fit.Fit):
  """Residuals of a Chinchilla fit against N, D, C and D / N."""
  fig, axes = plots.figure(columns=4, width=2.9, height=2.8, sharey=True)
  N, D, _ = f.data
  for ax, (label, x) in zip(axes[0], (
      ('parameters N', N), ('tokens D', D), ('compute 6 N D', 6 * N * D),
      ('tokens a parameter', D / N))):
    ax.axhline(0, color=plots.QUIET, linewidth=0.8)
    ax.semilogx(x, f.residuals, '.', color=plots.COLOURS[0], markersize=4)
    ax.set_xlabel(label, fontsize=9)
  scale = 'log loss' if f.objective_name.endswith('_log') else 'loss'
  axes[0][0].set_ylabel(f'fit - seen, {scale}', fontsize=9)
  return fig


def isoflop(result: approaches.IsoFlop, C, N, L):
  """isoFLOP curves with their parabolas; the optimum of each budget."""
  fig, axes = plots.figure(width=5.4, height=4.0)
  import matplotlib
  ax = axes[0][0]
  colours = matplotlib.colormaps['viridis'](
      np.linspace(0, 0.9, len(result.budgets)))
  for b, colour in zip(result.budgets, colours):
    mine = np.asarray(C) == b.C
    n, loss = np.asarray(N)[mine], np.asarray(L)[mine]
    ax.plot(n, loss, '.', color=colour, markersize=5, label=f'{b.C:.1e}')
    if len(np.unique(n)) >= 3:
      x = np.log10(n)
      fine = np.linspace(x.min(), x.max(), 60)
      ax.plot(10**fine, np.polyval(np.polyfit(x, loss, 2), fine),
              color=colour, linewidth=1)
    if b.status != 'dropped':
      ax.plot(b.N, b.L, 'D' if b.status == 'ok' else 'X', color='white',
              markeredgecolor=plots.INK, markersize=6)
  ax.set_xscale('log')
  ax.set_xlabel('parameters N', fontsize=9)
  ax.set_ylabel('loss, nats a token', fontsize=9)
  ax.legend(title='C, FLOP', fontsize=7, title_fontsize=8, frameon=False,
            loc='center left', bbox_to_anchor=(1, 0.5))
  plots.title(ax, f'N* ~ C^{result.a:.3f}, D* ~ C^{result.b:.3f}')
  fig.supxlabel('diamonds: optimum of a budget;  crosses: its vertex lies '
                'outside the sizes tried', x=0.01, ha='left', fontsize=8,
                color=plots.QUIET)
  return fig


def pairs(draws: fit.Bootstrap, names=('alpha', 'beta', 'E')):
  """Bootstrap draws against each other: how the parameters are tied."""
  k = len(names)
  fig, axes = plots.figure(columns=k, rows=k, width=2.1, height=1.9)
  for i, y in enumerate(names):
    for j, x in enumerate(names):
      ax = axes[i][j]
      if i == j:
        ax.hist(draws.params[x], bins=30, color=plots.COLOURS[0])
      elif j < i:
        ax.plot(draws.params[x], draws.params[y], '.', markersize=2,
                color=plots.COLOURS[0], alpha=0.4)
      else:
        ax.axis('off')
      if i == k - 1:
        ax.set_xlabel(x, fontsize=9)
      if j == 0 and i:
        ax.set_ylabel(y, fontsize=9)
  return fig
