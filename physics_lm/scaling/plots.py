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
    mine = np.abs(np.log(np.asarray(C) / b.C)) < 1e-3
    n, loss = np.asarray(N)[mine], np.asarray(L)[mine]
    ax.plot(n, loss, '.', color=colour, markersize=5, label=f'{b.C:.1e}')
    x = np.log10(n)
    if len(np.unique(n)) >= 3:
      fine = np.linspace(x.min(), x.max(), 60)
      ax.plot(10**fine, np.polyval(np.polyfit(x, loss, 2), fine),
              color=colour, linewidth=1)
    if b.status == 'dropped':
      continue
    if np.isfinite(b.spread):
      ends = b.N * np.exp(1.96 * b.spread * np.array([-1, 1]))
      ax.plot(ends, [b.L] * 2, color=plots.INK, linewidth=1.2, zorder=3)
    ax.plot(b.N, b.L, 'D' if b.status == 'ok' else 'X', color='white',
            markeredgecolor=plots.INK, markersize=6, zorder=4)
  ax.set_xscale('log')
  ax.set_xlabel('parameters N', fontsize=9)
  ax.set_ylabel('loss, nats a token', fontsize=9)
  ax.legend(title='C, FLOP', fontsize=7, title_fontsize=8, frameon=False,
            loc='center left', bbox_to_anchor=(1, 0.5))
  plots.title(ax, f'N* ~ C^{result.a:.3f}, D* ~ C^{result.b:.3f}')
  fig.supxlabel('diamonds: optimum of a budget, bar: 95 % by linearisation;\n'
                'crosses: its vertex lies outside the sizes tried', x=0.01,
                ha='left', fontsize=8, color=plots.QUIET)
  return fig


def pairs(draws: fit.Bootstrap, names=('alpha', 'beta', 'E')):
  """Bootstrap draws against each other: how the parameters are tied."""
  k = len(names)
  fig, axes = plots.figure(columns=k, rows=k, width=2.1, height=1.9)
  for i, y in enumerate(names):
    for j, x in enumerate(names):
      ax = axes[i][j]
      if i == j:
        values = draws.params[x]
        if np.isfinite(values).all() and np.ptp(values) > 1e-9 * np.abs(
            values).max():
          ax.hist(values, bins=30, color=plots.COLOURS[0])
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


def envelope(result: approaches.Frontier, C, L, run):
  """Training curves over compute and the points of their lower envelope."""
  fig, axes = plots.figure(columns=2, width=4.4, height=3.6)
  curves, sizes = axes[0]
  for label in np.unique(run):
    mine = np.flatnonzero(np.asarray(run) == label)
    mine = mine[np.argsort(np.asarray(C)[mine])]
    curves.loglog(np.asarray(C)[mine], np.asarray(L)[mine], linewidth=0.7,
                  color=plots.QUIET, alpha=0.7)
  c, n, _, loss = result.points.T
  many = len(c) > 60
  curves.plot(c, loss, '-' if many else 'o', color=plots.COLOURS[1],
              markersize=4, linewidth=1.6)
  curves.set_ylabel('loss, nats a token', fontsize=9)
  plots.title(curves, 'Training curves and their envelope')
  sizes.loglog(c, n, '.', color=plots.COLOURS[1], markersize=4)
  sizes.plot(c, np.exp(result.n_intercept) * c**result.a, color=plots.INK,
             linewidth=1.2)
  sizes.set_ylabel('parameters N', fontsize=9)
  plots.title(sizes, f'On the envelope: N* ~ C^{result.a:.3f}')
  for ax in axes[0]:
    ax.set_xlabel('compute C, FLOP', fontsize=9)
  curves.yaxis.set_minor_formatter('{x:.2g}')
  curves.tick_params(axis='y', which='minor', labelsize=7)
  return fig


def approach_bars(rows: list[approaches.Row], interval=None):
  """The exponent a by each approach; `interval` (low, high) of approach 3."""
  taken = [r for r in rows if np.isfinite(r.a)]
  fig, axes = plots.figure(width=5.4, height=0.9 + 0.36 * len(taken))
  ax = axes[0][0]
  at = range(len(taken))
  if interval is not None:
    ax.axvspan(*interval, color=plots.COLOURS[0], alpha=0.15, linewidth=0)
  ax.plot([r.a for r in taken], at, 'o', color=plots.COLOURS[0])
  for k, r in zip(at, taken):
    ax.annotate(f'{r.a:.3f}', (r.a, k), xytext=(7, -3), fontsize=8,
                textcoords='offset points', color=plots.INK)
  ax.set_yticks(list(at), [r.approach for r in taken])
  ax.set_ylim(len(taken) - 0.5, -0.5)
  ax.margins(x=0.2)
  ax.set_xlabel('a of N* ~ C^a' + (
      '' if interval is None else ';  band: 95 % bootstrap of approach 3'),
      fontsize=9)
  return fig


def holdout(rows: list[dict]):
  """Error of predicted loss above each cut of compute, and a below it."""
  fig, axes = plots.figure(columns=2, width=3.6, height=2.9)
  rows = [r for r in rows if r.get('error') is not None
          and r.get('a') is not None]
  cut = [r['cut'] for r in rows]
  for ax, values, label in (
      (axes[0][0], [100 * r['error'] for r in rows],
       'mean relative error above, %'),
      (axes[0][1], [r['a'] for r in rows], 'a of N* ~ C^a, fitted below')):
    ax.semilogx(cut, values, 'o-', color=plots.COLOURS[0], markersize=4)
    ax.set_xticks(cut, [f'{c:.0e}'.replace('e+', 'e') for c in cut])
    ax.minorticks_off()
    ax.set_xlabel('cut: compute 6 N D, FLOP', fontsize=9)
    ax.margins(0.25)
    plots.title(ax, label)
  axes[0][0].set_ylim(bottom=0)
  return fig
