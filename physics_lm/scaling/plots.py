"""Figures of scaling laws: of one fit, and of an isoFLOP sweep. No JAX.

Functions return figures and take no paths; matplotlib is imported when
something is drawn.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from physics_lm import figures
from physics_lm.scaling import laws, sweep_analysis, sweep_effects
from physics_lm.scaling.fitting import approaches, fits
from physics_lm.scaling.isoflop_plan import SweepWorld

if TYPE_CHECKING:
  import pandas as pd
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure


def frontier(f: fits.Fit, draws: fits.Bootstrap | None = None,
             level: float = 0.95) -> 'Figure':
  """N*(C), D*(C) and D*/N* of a Chinchilla fit, C = 6 N D, with the
  bootstrap's band; the range that was fitted is shaded."""
  fig, axes = figures.grid(columns=3, width=3.6, height=3.2)
  flops = 6 * f.data[0] * f.data[1]
  C = np.geomspace(flops.min() / 10, flops.max() * 100, 60)
  best = _frontier_curves(*f.optimal(C)[:2])
  drawn = None
  if draws is not None:
    sets = [{k: v[i] for k, v in draws.params.items()}
            for i in range(len(draws.params['E']))]
    curves = [_frontier_curves(*laws.chinchilla_optimal(p, C)[:2])
              for p in sets]
    drawn = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
  for k, (ax, label) in enumerate(zip(axes[0], (
      'parameters N*', 'tokens D*', 'tokens per parameter'))):
    ax.loglog(C, best[k], color=figures.COLOURS[0], linewidth=1.6)
    if drawn is not None:
      ax.fill_between(C, *drawn[:, k], color=figures.COLOURS[0], alpha=0.2,
                      linewidth=0)
    ax.axvspan(flops.min(), flops.max(), color=figures.QUIET, alpha=0.12,
               linewidth=0)
    figures.labels(ax, 'compute C, FLOP')
    figures.title(ax, label)
  a = f.params['beta'] / (f.params['alpha'] + f.params['beta'])
  _caption(fig, f'N* ~ C^{a:.3f};  shaded: compute of the fitted runs'
           + ('' if draws is None else f';  band: {level:.0%} of '
              f'{len(draws.params["E"])} bootstrap refits'))
  return fig


def _frontier_curves(N, D) -> np.ndarray:
  """[3, C]: N*, D*, D* / N*."""
  return np.stack([N, D, D / N])


def _caption(fig, text: str):
  """Below a figure that needs no heading."""
  fig.supxlabel(text, x=0.01, ha='left', fontsize=8, color=figures.QUIET)


def contours(f: fits.Fit) -> 'Figure':
  """L(N, D) with the runs, lines of equal compute and the frontier."""
  fig, axes = figures.grid(width=5.4, height=4.2)
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
    ax.plot(n, c / (6 * n), color=figures.QUIET, linewidth=0.6, linestyle=':')
  C = np.geomspace(6 * n[0] * d[0], 6 * n[-1] * d[-1], 50)
  ax.plot(*f.optimal(C)[:2], color=figures.COLOURS[1], linewidth=2)
  ax.plot(N, D, '.', color=figures.INK, markersize=3)
  ax.set(xscale='log', yscale='log', xlim=(n[0], n[-1]), ylim=(d[0], d[-1]))
  figures.labels(ax, 'parameters N', 'tokens D')
  figures.title(ax, 'Fitted loss, nats per token')
  _caption(fig, 'dots: runs;  dotted: equal compute, one decade apart;  thick: '
           'the efficient frontier')
  return fig


def residuals(f: fits.Fit) -> 'Figure':
  """Residuals of a fit: of a law of N and D against N, D, C and D / N, of
  another against its arguments and its prediction."""
  arguments = _arguments(f)
  fig, axes = figures.grid(columns=len(arguments), width=2.9, height=2.8,
                           sharey=True)
  for ax, (label, x) in zip(axes[0], arguments):
    ax.axhline(0, color=figures.QUIET, linewidth=0.8)
    ax.plot(x, f.residuals, '.', color=figures.COLOURS[0], markersize=4)
    if x.min() > 0:
      ax.set_xscale('log')
    ax.set_xlabel(label, fontsize=9)
  scale = 'error' if f.law == 'downstream' else (
      'y' if f.law == 'power' else 'loss')
  scale = f'log {scale}' if f.objective_name.endswith('_log') else scale
  axes[0][0].set_ylabel(f'predicted - observed, {scale}', fontsize=9)
  return fig


def _arguments(f: fits.Fit) -> list[tuple[str, np.ndarray]]:
  """(label, values (n,)) of what residuals are drawn against."""
  if f.law in ('chinchilla', 'p_norm', 'kaplan', 'dcpt', 'data_constrained'):
    N, D, *more = f.data[:-1]
    return [('parameters N', N), ('tokens D', D), ('compute 6 N D', 6 * N * D),
            ('tokens per parameter', D / N),
            *((('share' if f.law == 'dcpt' else 'unique tokens'), x)
              for x in more)]
  if f.law == 'downstream':
    return [('loss', f.data[0]), ('predicted error', f.predict(f.data[0]))]
  name = 'share' if f.law == 'mixing' else 'argument'
  return [*((f'{name} {i + 1}', x) for i, x in enumerate(f.data[0].T)),
          ('predicted', f.predict(f.data[0]))]


def isoflop(result: approaches.IsoFlop, C: np.ndarray, N: np.ndarray,
            L: np.ndarray) -> 'Figure':
  """isoFLOP curves with their parabolas; the optimum of each budget."""
  fig, axes = figures.grid(width=5.4, height=4.0)
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
      bounds = b.N * np.exp(1.96 * b.spread * np.array([-1, 1]))
      ax.plot(bounds, [b.L] * 2, color=figures.INK, linewidth=1.2, zorder=3)
    ax.plot(b.N, b.L, 'D' if b.status == 'ok' else 'X', color='white',
            markeredgecolor=figures.INK, markersize=6, zorder=4)
  ax.set_xscale('log')
  figures.labels(ax, 'parameters N', 'loss, nats per token')
  ax.legend(title='C, FLOP', fontsize=7, title_fontsize=8, frameon=False,
            loc='center left', bbox_to_anchor=(1, 0.5))
  figures.title(ax, f'N* ~ C^{result.a:.3f}, D* ~ C^{result.b:.3f}')
  _caption(fig, 'diamonds: optimum of a budget, bar: 95 % by linearisation;\n'
           'crosses: its vertex lies outside the sizes tried')
  return fig


def parameter_pairs(draws: fits.Bootstrap,
                    names: Sequence[str] = (
    'alpha', 'beta', 'E')
                    ) -> 'Figure':
  """Bootstrap draws against each other: how the parameters are correlated."""
  k = len(names)
  fig, axes = figures.grid(columns=k, rows=k, width=2.1, height=1.9)
  for i, y in enumerate(names):
    for j, x in enumerate(names):
      ax = axes[i][j]
      if i == j:
        values = draws.params[x]
        if np.isfinite(values).all() and np.ptp(values) > 1e-9 * np.abs(
            values).max():
          ax.hist(values, bins=30, color=figures.COLOURS[0])
      elif j < i:
        ax.plot(draws.params[x], draws.params[y], '.', markersize=2,
                color=figures.COLOURS[0], alpha=0.4)
      else:
        ax.axis('off')
      if i == k - 1:
        ax.set_xlabel(x, fontsize=9)
      if j == 0 and i:
        ax.set_ylabel(y, fontsize=9)
  return fig


def envelope(result: approaches.Frontier, C: np.ndarray, L: np.ndarray,
             run: np.ndarray) -> 'Figure':
  """Training curves over compute and the points of their lower envelope."""
  fig, axes = figures.grid(columns=2, width=4.4, height=3.6)
  curves, sizes = axes[0]
  for label in np.unique(run):
    mine = np.flatnonzero(np.asarray(run) == label)
    mine = mine[np.argsort(np.asarray(C)[mine])]
    curves.loglog(np.asarray(C)[mine], np.asarray(L)[mine], linewidth=0.7,
                  color=figures.QUIET, alpha=0.7)
  c, n, _, loss = result.points.T
  dense = len(c) > 60  # points
  curves.plot(c, loss, '-' if dense else 'o', color=figures.COLOURS[1],
              markersize=4, linewidth=1.6)
  curves.set_ylabel('loss, nats per token', fontsize=9)
  figures.title(curves, 'Training curves and their envelope')
  sizes.loglog(c, n, '.', color=figures.COLOURS[1], markersize=4)
  sizes.plot(c, np.exp(result.n_intercept) * c**result.a, color=figures.INK,
             linewidth=1.2)
  sizes.set_ylabel('parameters N', fontsize=9)
  figures.title(sizes, f'On the envelope: N* ~ C^{result.a:.3f}')
  for ax in axes[0]:
    ax.set_xlabel('compute C, FLOP', fontsize=9)
  curves.yaxis.set_minor_formatter('{x:.2g}')
  curves.tick_params(axis='y', which='minor', labelsize=7)
  return fig


def approach_bars(rows: Sequence[approaches.ApproachRow],
                  interval: tuple[float, float] | None = None) -> 'Figure':
  """The exponent a by each approach; `interval` (low, high) of approach 3."""
  taken = [r for r in rows if np.isfinite(r.a)]
  fig, axes = figures.grid(width=5.4, height=0.9 + 0.36 * len(taken))
  ax = axes[0][0]
  at = range(len(taken))
  if interval is not None:
    ax.axvspan(*interval, color=figures.COLOURS[0], alpha=0.15, linewidth=0)
  ax.plot([r.a for r in taken], at, 'o', color=figures.COLOURS[0])
  for k, r in zip(at, taken):
    ax.annotate(f'{r.a:.3f}', (r.a, k), xytext=(7, -3), fontsize=8,
                textcoords='offset points', color=figures.INK)
  ax.set_yticks(list(at), [r.approach for r in taken])
  ax.set_ylim(len(taken) - 0.5, -0.5)
  ax.margins(x=0.2)
  ax.set_xlabel('a of N* ~ C^a' + (
      '' if interval is None else ';  band: 95 % bootstrap of approach 3'),
      fontsize=9)
  return fig


def holdout_errors(rows: Sequence[dict]) -> 'Figure':
  """Error of predicted loss above each cut of compute, and a below it."""
  fig, axes = figures.grid(columns=2, width=3.6, height=2.9)
  rows = [r for r in rows if r.get('error') is not None
          and r.get('a') is not None]
  cut = [r['cut'] for r in rows]
  for ax, values, label in (
      (axes[0][0], [100 * r['error'] for r in rows],
       'mean relative error above, %'),
      (axes[0][1], [r['a'] for r in rows], 'a of N* ~ C^a, fitted below')):
    ax.semilogx(cut, values, 'o-', color=figures.COLOURS[0], markersize=4)
    ax.set_xticks(cut, [f'{c:.0e}'.replace('e+', 'e') for c in cut])
    ax.minorticks_off()
    ax.set_xlabel('cut: compute 6 N D, FLOP', fontsize=9)
    ax.margins(0.25)
    figures.title(ax, label)
  axes[0][0].set_ylim(bottom=0)
  return fig


# An isoFLOP sweep over worlds of known entropy: four figures.

LAW_NAMES = {  # of the fitted E, by name of the effect
    'E': 'Chinchilla', 'E, tuned rates': 'Chinchilla, tuned rates',
    'E, p-norm': 'p-norm',
    'E, size-dependent exponent': 'exponent in D by size'}
EXPONENT_NAMES = {
    'alpha': 'alpha (N), E free', 'alpha, fixed E': 'alpha (N), E fixed',
    'beta': 'beta (D), E free', 'beta, fixed E': 'beta (D), E fixed'}
ERRORS = {  # of extrapolated losses: marker, colour
    'error': ('Chinchilla, E free', 'o', figures.COLOURS[0]),
    'error_fixed_entropy': ('Chinchilla, E = entropy', 'D', figures.COLOURS[1]),
    'error_p_norm': ('p-norm (largest budget)', '^', figures.COLOURS[2])}
ZIPF = 'bioD, Zipf a: person k is drawn with probability ~ k^-(1 + a)'
CHINCHILLA, P_NORM = 'Chinchilla: L = E + A N^-alpha + B D^-beta', (
    'p-norm: L = E + ((A N^-alpha)^p + (B D^-beta)^p)^(1/p)')


def sweep(df: 'pd.DataFrame', plan_worlds: Mapping[str, SweepWorld],
          theory: Mapping[str, tuple[float, float]]) -> 'list[Figure]':
  """The figures of a sweep: isoFLOP curves, fits beside what is known,
  predictions, design. theory: exponents (alpha, beta) of the worlds that have
  one."""
  own = {w.title: df[df.world == k] for k, w in plan_worlds.items()
         if (df.world == k).any()}
  known = {w.title: theory[k] for k, w in plan_worlds.items() if k in theory}
  effects = sweep_effects.effects(df, theory)
  by_world = {w.title: {e.removeprefix(f'{k} '): v for e, v in effects.items()
                        if e.startswith(f'{k} ')}
              for k, w in plan_worlds.items() if w.title in own}
  first = next(iter(own))
  return [_isoflop_figure(own, known), _known_figure(by_world, known),
          _prediction_figure(own, first), _design_figure(own[first], first)]


def _isoflop_figure(own: Mapping, known: Mapping) -> 'Figure':
  """A row for each world: isoFLOP curves, optimal allocation."""
  fig, axes = figures.grid(columns=2, rows=len(own), width=4.9, height=3.1)
  for row, (name, df) in zip(axes, own.items()):
    found = _allocation_of(df)
    isoflop_panel(row[0], df, found, name)
    optimal_allocation(row[1], df, found, known.get(name), name)
  runs = sum(len(df) for df in own.values())
  sizes = [f(df.N.agg(f.__name__) for df in own.values()) for f in (min, max)]
  seeds = ', '.join(
      f'{name}: {df[df.role == "isoflop"].seed.nunique()}'
      for name, df in own.items())
  figures.finish(
      fig, f'Scaling laws on data of known entropy: {runs} runs of '
      f'{sizes[0]:,.0f} to {sizes[1]:,.0f} parameters',
      'Left: means over seeds; open diamonds: minima of parabolas.  Right: '
      'filled diamonds: these minima; bands: 95 % of bootstrap refits\nof the '
      f'fitted L(N, D); theory: Michaud et al. 2023.  C = 6 N D.  {ZIPF}\n'
      f'Seeds: {seeds}')
  return fig


def _known_figure(by_world: Mapping, known: Mapping) -> 'Figure':
  """The fitted E and exponents, relative to the entropy and to theory."""
  fig, (axes,) = figures.grid(columns=2, width=4.9, height=3.9)
  forest(axes[0], by_world, LAW_NAMES, 0.05)
  figures.labels(axes[0], 'fitted E / entropy (1: equal)', '',
                 'Asymptotic loss E, by law')
  forest(axes[1], {name: own if name in known else {}
                   for name, own in by_world.items()}, EXPONENT_NAMES, 0.25)
  figures.labels(axes[1], 'fitted exponent / theory (1: equal)', '',
                 "Exponents of Chinchilla's law")
  figures.finish(
      fig, 'Fitted scaling laws, beside what is known',
      f'{CHINCHILLA};  {P_NORM};\nexponent in D by size: L = E + K N^-alpha '
      'D^-(beta + gamma ln N).  Tuned rates: losses as fitted for the best '
      'learning rate.\nTheory: Michaud et al. 2023.  Bars: 95 % of bootstrap '
      "refits; grey: the claims' margin, 5 % of E and 25 % of an exponent")
  return fig


def _prediction_figure(own: Mapping, first: str) -> 'Figure':
  """Extrapolation errors of each world; accuracy through the loss."""
  fig, axes = figures.grid(columns=2, rows=len(own) // 2 + 1, width=4.9,
                           height=3.3)
  flat = list(axes.flat)
  for ax, (name, df) in zip(flat, own.items()):
    extrapolation_errors(ax, df, name)
  accuracy_through_loss(flat[len(own)], own[first], first)
  for ax in flat[len(own) + 1:]:
    ax.axis('off')
  figures.finish(
      fig, 'Predictions from runs of at most a tenth of the compute',
      f'{CHINCHILLA};  {P_NORM}\nForced tokens: those that the grammar leaves '
      'no choice about.  A mark per model size (mean over seeds),\nthe laws '
      f'side by side; grey: within 2 % of the loss.  {ZIPF}')
  return fig


def _design_figure(df: 'pd.DataFrame', name: str) -> 'Figure':
  """Schedules, learning rates and shapes of one world."""
  fig, (axes,) = figures.grid(columns=3, width=3.5, height=3.4)
  schedules(axes[0], df)
  learning_rates(axes[1], df)
  depths(axes[2], df)
  figures.finish(
      fig, f'{name}: schedules, learning rates and shapes',
      'Left: large marks are means over seeds, small ones single seeds; trunk: '
      'the run of constant learning rate from which the WSD cooldowns branch.\n'
      'Middle: the best learning rate (minimum of a parabola over those tried) '
      'relative to that of the isoFLOP runs, a dot per model size')
  return fig


def _allocation_of(df):
  """(fit, bootstrap, approach 2) of a world; None where runs are too few."""
  try:
    f, draws = sweep_analysis.chinchilla_fit(df)
    return f, draws, sweep_analysis.isoflop_curves(df, f)
  except ValueError:
    return None


def _shades(count: int):
  import matplotlib
  return matplotlib.colormaps['viridis'](np.linspace(0, 0.88, count))


def _flops(c: float) -> str:
  return f'{c:.0e}'.replace('e+', 'e')


def isoflop_panel(ax: 'Axes', df: 'pd.DataFrame', found: tuple | None, name: str
                  ) -> None:
  """Loss over N at equal compute, with parabolas, their minima, the entropy."""
  p = sweep_analysis.points(df)
  minima = {b.C: b for b in found[2].budgets} if found else {}
  for (budget, own), colour in zip(p.groupby('budget'),
                                   _shades(p.budget.nunique())):
    x = np.log10(own.N)
    ax.plot(own.N, own.loss, 'o', color=colour, markersize=3.5,
            label=_flops(budget))
    if len(own) > 2:
      fine = np.linspace(x.min(), x.max(), 50)
      ax.plot(10**fine, np.polyval(np.polyfit(x, own.loss, 2), fine),
              color=colour, linewidth=1.1)
    b = minima.get(budget)
    if b and b.status == 'ok':
      ax.plot(b.N, b.L, 'D', color='white', markeredgecolor=figures.INK,
              markersize=5.5, zorder=4)
  ax.axhline(df.entropy.iloc[0], color=figures.INK, linestyle=':', linewidth=1,
             label='entropy')
  ax.set_xscale('log')
  figures.legend(ax, fontsize=7, title='C, FLOP', title_fontsize=7.5,
                 loc='center left', bbox_to_anchor=(0.98, 0.5))
  figures.labels(ax, 'parameters N', 'loss, nats per token',
                 f'{name}: isoFLOP curves')
  figures.plain_ticks(ax)


def optimal_allocation(ax: 'Axes', df: 'pd.DataFrame', found: tuple | None,
                       theory: tuple[float, float] | None, name: str) -> None:
  """N* and D* over compute: minima of the parabolas with their line, the fitted
  surface with its band, and theory's slopes."""
  if found is None:
    return
  f, draws, curves = found
  budgets = df[df.role == 'isoflop'].budget
  C = np.geomspace(budgets.min() / 2, budgets.max() * 2, 40)
  drawn = [laws.chinchilla_optimal({q: v[i] for q, v in draws.params.items()},
                                   C)[:2]
           for i in range(len(draws.params['E']))]
  bands = np.quantile(drawn, (0.025, 0.975), axis=0)  # [2, (N, D), C]
  for k, letter in enumerate('ND'):
    colour = figures.COLOURS[k]
    good = sweep_analysis.interior(curves)
    slope, start = sweep_analysis.allocation_line(curves, letter)
    surface = f.optimal(C)[k]
    ax.loglog([b.C for b in good], [getattr(b, letter) for b in good], 'D',
              color=colour, markersize=4.5)
    ax.plot(C, np.exp(start) * C**slope, color=colour, linewidth=1.1,
            label=f'{letter}* ~ C^{slope:.2f}, parabolas')
    fitted = np.polyfit(np.log(C), np.log(surface), 1)[0]
    ax.plot(C, surface, color=colour, linewidth=1.1, linestyle='--',
            label=f'{letter}* ~ C^{fitted:.2f}, fitted L(N, D)')
    ax.fill_between(C, *bands[:, k], color=colour, alpha=0.15, linewidth=0)
    if theory:
      ideal = theory[1 - k] / sum(theory)
      at = len(C) // 2
      ax.plot(C, surface[at] * (C / C[at])**ideal, color=figures.INK,
              linewidth=0.9, linestyle=':', label=f'theory: C^{ideal:.2f}')
  figures.legend(ax, fontsize=7)
  figures.labels(ax, 'compute C, FLOP', 'parameters N*, tokens D*',
                 f'{name}: optimal allocation')


def extrapolation_errors(ax: 'Axes', df: 'pd.DataFrame', name: str) -> None:
  """Errors of predicted losses, percent, by budget and law; a dot a size."""
  every = sweep_analysis.extrapolations(df)
  if every.empty:
    return
  own = every.groupby(['budget', 'N'], as_index=False).mean(numeric_only=True)
  for k, (column, (label, mark, colour)) in enumerate(ERRORS.items()):
    ax.plot(own.budget * 1.22**(k - 1), 100 * own[column], mark, color=colour,
            markersize=4, alpha=0.75, linestyle='', label=label)
  ax.axhspan(-2, 2, color=figures.QUIET, alpha=0.2, linewidth=0, zorder=0)
  ax.axhline(0, color=figures.INK, linewidth=0.8)
  budgets = sorted(set(own.budget))
  ax.set_xscale('log')
  ax.set_xticks(budgets, [_flops(c) for c in budgets])
  ax.minorticks_off()
  figures.legend(ax, fontsize=7)
  figures.labels(ax, 'predicted budget, FLOP', 'error of predicted loss, %',
                 f'{name}: predicted from ≤ C / 10')


def forest(ax: 'Axes', effects: Mapping[str, Mapping], rows: Mapping[str, str],
           margin: float) -> None:
  """Effects relative to a known value, a line each with its interval, by name
  of the world; the margin of equivalence about 1 is shaded."""
  labels, at = [], 0.0
  for k, (world, own) in enumerate(effects.items()):
    found = [(label, own[name]) for name, label in rows.items() if name in own]
    for i, (label, e) in enumerate(found):
      ax.errorbar(e.value, at, xerr=[[max(e.value - e.low, 0)],
                                     [max(e.high - e.value, 0)]], fmt='o',
                  color=figures.COLOURS[k], markersize=4, linewidth=1,
                  capsize=2, label=None if i else world)
      labels.append((at, label))
      at += 1
    at += 0.6 if found else 0
  if not labels:
    return
  ax.axvspan(1 - margin, 1 + margin, color=figures.QUIET, alpha=0.2,
             linewidth=0, zorder=0)
  ax.axvline(1, color=figures.INK, linewidth=0.8)
  ax.set_yticks(*zip(*labels), fontsize=7.5)
  ax.set_ylim(at + 2.6, -0.8)
  ax.grid(axis='y', visible=False)
  figures.legend(ax, fontsize=7)


def accuracy_through_loss(ax: 'Axes', df: 'pd.DataFrame', name: str) -> None:
  """Accuracy over the excess loss; the curve is fitted to the small runs of the
  largest budget."""
  df = df[(df.role == 'isoflop') & df.accuracy.notna()]
  if df.empty:
    return
  top = df.budget.max()
  small, own = sweep_analysis.smaller(df, top), df[df.budget == top]
  rest = df[df.budget < top]
  ax.plot(sweep_analysis.excess_loss(rest), 100 * rest.accuracy, 'o',
          color=figures.QUIET, markersize=3.5, alpha=0.6,
          label='smaller budgets')
  ax.plot(sweep_analysis.excess_loss(own), 100 * own.accuracy, 'D',
          color=figures.COLOURS[1], markersize=4.5, label=f'{_flops(top)} FLOP')
  if len(small) > 2:
    x = np.geomspace(*np.quantile(sweep_analysis.excess_loss(df), (0, 1)), 60)
    ax.plot(x, 100 * sweep_analysis.accuracy_curve(small)(x),
            color=figures.COLOURS[0], linewidth=1.3,
            label=f'fitted to ≤ {_flops(small.budget.max())} FLOP')
  ax.set(xscale='log', ylim=(-3, 103))
  figures.legend(ax, fontsize=7)
  figures.labels(ax, 'excess loss L - H, nats per token',
                 'strings with all forced tokens correct, %',
                 f'{name}: accuracy through the loss')


def schedules(ax: 'Axes', df: 'pd.DataFrame') -> None:
  """Excess loss over D: cooldowns off one trunk and matched schedules."""
  every = sweep_analysis.cooldowns(df)
  if every.empty:
    return
  entropy = df.entropy.iloc[0]
  both = every.groupby('budget').mean(numeric_only=True)
  for column, style, k, label in (
      ('', 'o-', 0, 'linear decay over its own horizon'),
      ('_cooldown', 's--', 1, 'WSD cooldown off one trunk')):
    ax.loglog(both[f'D{column}'], both[f'loss{column}'] - entropy, style,
              color=figures.COLOURS[k], label=label)
    ax.plot(every[f'D{column}'], every[f'loss{column}'] - entropy, style[0],
            markersize=2.5, alpha=0.6, color=figures.COLOURS[k])
  end = sweep_analysis.points(df, 'trunk').iloc[-1]
  ax.plot(end.D, end.loss - entropy, 'X', color=figures.COLOURS[5],
          markersize=8, label='trunk without cooldown')
  figures.legend(ax, fontsize=7, loc='upper right')
  figures.labels(ax, 'tokens D', 'excess loss, nats per token',
                 f'Schedules, N = {both.N.iloc[0]:,.0f}')
  figures.plain_ticks(ax)


def learning_rates(ax: 'Axes', df: 'pd.DataFrame') -> None:
  """The best learning rates over those used, by budget and width."""
  tuned = sweep_analysis.tuned_rates(df)
  if tuned.empty:
    return
  marks = ax.scatter(tuned.budget, tuned.best / tuned.used,
                     c=np.log2(tuned.width), cmap='viridis', s=16)
  bar = ax.figure.colorbar(marks, ax=ax, fraction=0.05)
  ticks = np.arange(np.ceil(np.log2(tuned.width.min())),
                    np.log2(tuned.width.max()) + 1e-9)
  bar.set_ticks(ticks, labels=[f'{2**t:.0f}' for t in ticks], fontsize=7)
  bar.set_label('width', fontsize=8)
  ax.axhline(1, color=figures.INK, linestyle='--', linewidth=1)
  ax.set(xscale='log', yscale='log')
  figures.labels(ax, 'compute C, FLOP', 'best / used learning rate',
                 'Learning rates')
  figures.plain_ticks(ax)


def depths(ax: 'Axes', df: 'pd.DataFrame') -> None:
  """Loss by depth at one N and budget."""
  both = sweep_analysis.shapes(df)
  if both.empty:
    return
  ax.plot(both.depth, both.loss, 'o-', color=figures.COLOURS[2])
  for r in both.itertuples():
    ax.annotate(f'width {r.width:.0f}', (r.depth, r.loss), xytext=(4, 4),
                textcoords='offset points', fontsize=7.5)
  ax.margins(x=0.2, y=0.2)
  figures.labels(ax, f'layers (C = {_flops(both.budget.iloc[0])} FLOP)',
                 'loss, nats per token',
                 f'Shape, N = {both.N.min():,.0f} to {both.N.max():,.0f}')
