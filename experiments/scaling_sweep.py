"""Do scaling laws, fitted to our own runs, find what is known to be true?

Kaplan et al. 2020 (arXiv 2001.08361) and Hoffmann et al. 2022 (arXiv
2203.15556) on corpora whose entropy is known: a random grammar whose next
symbol has an exact law (worlds/grammar.py), and people told of by a power law
(worlds/power.py), whose learning curves have known exponents. Does the fitted
E equal the entropy; do the exponents equal theory's?

Papers: N* ~ C^0.46 to C^0.50, D* ~ C^0.50 to C^0.54 (Hoffmann et al., three
approaches), N* ~ C^0.73 (Kaplan et al.); shape changes the loss by a few per
cent (Kaplan et al., figure 5); a constant rate and a decay equal a schedule
matched to the horizon (Haegele et al. 2024, arXiv 2405.18392).

  python -m physics_lm.launch experiments/scaling_sweep.py --scale=cpu
  python -m physics_lm.report experiments/scaling_sweep.py --scale=cpu

Measured, `cpu`: 479 runs, 25,640 s of cores that others used as well (204
core-minutes by `--list`), half of it to tune rates; of the grammar one seed of
the other roles, 51 runs, 2,580 s.

Ours at `cpu` scale: the grammar, and two worlds of 32,768 people told of by
power laws. The grammar: six budgets C = 6 N D of 1e10 to 3e12 FLOP, each at
seven sizes of three layers; one row of 128 tokens a step (four cost small
budgets a third of what they learn: too few steps), the rate falling linearly
to 0 at the run's own end. The rate is a rule in the width, chosen on single
runs, and half of it from 3e11 FLOP on, chosen by small populations, which came
last (LOG 48): the rates of role `tune` stand around it at every size of every
budget (of people at 1e11 FLOP) and tell what is left to gain. Three seeds of
parameters and data (planned: at one budget; then its runs were seen to differ
by 10 to 50 % of the relative entropy); the grammar is one.
Roles `trunk` and `branch`: one constant rate, the rule's, and a decay of a
fifth of the horizon off each knee, beside a matched run of the same rate. Role
`shape`: as many parameters in 1 to 8 layers.
People: five budgets of 3e9 to 3e11 FLOP at seven sizes of two layers, one row
of 96 tokens a step, the rule at all of them, one seed; added when the grammar's
first seeds had been seen, after 16 runs to choose sizes. Then three sizes at
1e12 and at 3e12, their losses foretold and written down (LOG 45, 47) before
they ran.

Loss, nats a token: of a grammar the entropy plus the mean relative entropy on
256 strings (evals/grammar.py), so packing does not tilt it; of people that of
4,096 fresh rows. D counts whole rows, of which the grammar leaves a fifth
empty.

Rules: intervals are the central 95 % of 400 bootstrap refits (of the p-norm
200) over runs, E's widened by the floor's own error; the exponent a lies in
the papers' range when its interval meets 0.46 to 0.50, is theory's when it
holds it; a minimum is interior when at least one size of five or more lies on
each side of the vertex; a power law has an R2 of logarithms of 0.98 or more;
equal schedules: mean |difference| of the loss below 1 %; weak dependence on
shape: below 3 %, of the loss, between 2 and 6 layers; a convention moves an
exponent when by more than 0.05. Fixed before the runs but for these: the R2 of
power laws came with the first runs under way; the floor's error, theory's
exponents and five sizes when runs had been seen (none turns a verdict); sizes
a factor FAR off the best (turns none), the range of C over which conventions
are compared (turns the grammar's: 0.06 before, 0.03 now), the p-norm and the
rows that say "made after the runs" when all but the last seeds had been seen
(LOG 46); of the rates the 1 % with the first of them under way, that only those
within a factor of two are read afterwards, as laws.crossed (LOG 48; neither
turns the 1 %). The intervals of people's exponents with E free are so wide that
most hold the other world's theory as well: yes means not refuted.
"""

import functools
import itertools
import math

import numpy as np

from physics_lm import cli, plots, rows, sweep
from physics_lm.report import Claim, plus_minus
from physics_lm.scaling import analysis, flops, laws
from physics_lm.scaling import runs as tables
from physics_lm.sweep import Run, pick
from physics_lm.worlds import base, power

RATE, FALL = 3.5e-3, 0.5  # at width 32; rate ~ width^-FALL
POWERS = (0.5, 1.0)  # of people, whose theories are told apart or not
MULTIPLES = (0.25, 0.5, 2.0, 4.0)  # of the rule, beside 1
WORLDS = {  # name: config file, what differs, the world's key
    'grammar': ('configs/grammar.py', {}, 'cfg'),
    'grammar_large': ('configs/grammar.py', {
        'worlds.cfg.levels': 6, 'worlds.cfg.symbols': 6, 'data.length': 512,
        'evals.law.num_problems': 64}, 'cfg'),
    **{f'few_people_{a:g}': ('configs/bitworld.py', {
        'worlds.bits.power': a, 'worlds.bits.people': 32768,
        'worlds.bits.name_alphabet': 32, 'worlds.bits.name_length': 3,
        'worlds.bits.symbols': 64, 'worlds.bits.diversity': 64,
        'data.length': 96, 'evals.bits.people': 200,
        'evals.loss.num_rows': 4096,
        'optim.weight_decay': 0.0}, 'bits') for a in POWERS},
    **{f'people_{a:g}': ('configs/bitworld.py', {
        'worlds.bits.power': a, 'worlds.bits.people': 16_000_000,
        'worlds.bits.name_length': 3, 'data.length': 480,
        'evals.bits.people': 2000, 'evals.loss.num_rows': 2048,
        'optim.weight_decay': 0.0}, 'bits') for a in POWERS}}
_SMALL = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_FEW = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
_LARGE = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)
_PAPER = (512, 640, 1024, 1280, 1792, 2048, 2560, 3584)


def _sevens(budgets, widths, first) -> dict:
  """{budget: seven widths}, from number first[i] of the list on."""
  return {c: widths[i:i + 7] for c, i in zip(budgets, first, strict=True)}


# Of each world: budgets with their widths, layers, rows a step; multiples of
# the rule's rate of a budget, where not 1; then what is run beside: seeds of a
# budget; other multiples, of every width of a budget; decays off a trunk
# (knees, width, seeds); shapes.
_GRAMMAR = {
    'budgets': _sevens((1e10, 3e10, 1e11, 3e11, 1e12), _SMALL, (0, 1, 2, 3, 4))
    | {3e12: (24, 32, 48, 64, 80, 96, 128)}, 'depth': 3, 'batch': 1,
    'seeds': dict.fromkeys((1e10, 3e10, 1e11, 3e11, 1e12, 3e12), 3),
    'rates': dict.fromkeys((3e11, 1e12, 3e12), 0.5),
    'tune': dict.fromkeys((1e10, 3e10, 1e11, 3e11, 1e12), MULTIPLES)
    | {3e12: MULTIPLES[:2]},
    'knees': ((3e10, 1e11, 3e11, 1e12), 32, 3),
    'shapes': (1e11, ((56, 1), (40, 2), (22, 6), (20, 8)))}
_PEOPLE = {
    'budgets': _sevens((3e9, 1e10, 3e10, 1e11, 3e11), _FEW, (0, 1, 2, 2, 3))
    | {1e12: (32, 48, 64), 3e12: (48, 64, 96)}, 'depth': 2, 'batch': 1,
    'tune': {1e11: MULTIPLES}}
_GPU = {
    'budgets': _sevens((1e14, 1e15, 1e16, 1e17), _LARGE, (0, 1, 2, 3)),
    'depth': 8, 'batch': 64, 'seeds': {1e15: 3},
    'tune': dict.fromkeys((1e14, 1e15), MULTIPLES),
    'knees': ((1e14, 1e15, 1e16), 192, 1),
    'shapes': (1e15, ((368, 2), (260, 4), (130, 16))),
    'common': {'model.dtype': 'bfloat16', 'runtime.workers': 8}}
_PUBLISHED = {
    'budgets': {c: _PAPER[:7] if c < 1e20 else _PAPER[1:] for c in (
        6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21)},
    'depth': 24, 'batch': 1024,
    'common': {'model.dtype': 'bfloat16', 'runtime.workers': 8,
               'runtime.remat': True}}
SCALES = {
    'smoke': {
        'grammar': {'budgets': {1e7: (4, 6)}, 'depth': 1, 'batch': 2,
                    'rates': {1e7: 0.5}, 'tune': {1e7: (0.5,)},
                    'knees': ((1e7,), 6, 1),
                    'common': {'evals.law.num_problems': 8}},
        'few_people_1': {'budgets': {1e7: (4,)}, 'depth': 1, 'batch': 2,
                         'common': {'evals.loss.num_rows': 8}}},
    'cpu': {'grammar': _GRAMMAR, 'few_people_0.5': _PEOPLE,
            'few_people_1': _PEOPLE},
    'gpu': dict.fromkeys(('grammar_large', 'people_0.5', 'people_1'), _GPU),
    'paper': dict.fromkeys(('grammar_large', 'people_0.5'), _PUBLISHED),
}


def heads(width: int) -> int:
  """The most that divide the width, of at least 16 dimensions each."""
  return max([n for n in range(1, width // 16 + 1) if width % n == 0],
             default=1)


def model(world: str, width: int, depth: int) -> dict:
  _, changes, _ = WORLDS[world]
  return changes | {'model.width': width, 'model.depth': depth,
                    'model.heads': heads(width),
                    'model.rotary_fraction': 1.0}


@functools.cache
def counted(world: str, width: int, depth: int) -> dict:
  """N, N_ne and FLOP a token by convention, of one token."""
  config = cli.override(
      cli.load_config(str(sweep.ROOT / WORLDS[world][0])),
      model(world, width, depth) | {'steps': 1, 'data.batch': 1})
  length = config.data.length
  return {k: v / length if k[0] in 'CD' else v for k, v in tables.sizes(
      config, len(rows.load(config).vocab)).items()} | {'length': length}


def run(s: dict, tags: dict, budget: float, multiple: float = 1.0,
        schedule: str = 'linear', trunk: Run | None = None) -> Run:
  """A run of a budget by a size; its rate is `multiple` times the rule's."""
  world, width, depth = (tags[k] for k in ('world', 'width', 'depth'))
  size = counted(world, width, depth)
  steps = max(round(budget / (6 * size['N'] * s['batch'] * size['length'])), 4)
  rate = multiple * RATE * (32 / width)**FALL
  changes = model(world, width, depth) | {
      'steps': steps, 'data.batch': s['batch'],
      'optim.learning_rate': float(f'{rate:.3g}'),
      'optim.schedule': schedule, 'optim.final': 0.0,
      'optim.warmup': max(min(steps // 20, 500), 1),
      'checkpoint.every': min(steps, 5000),
      'log.every': max(steps // 50, 1)} | s.get('common', {})
  if trunk:  # they begin alike, also in the warm-up
    changes |= {'optim.warmup': trunk.config.optim.warmup}
  return Run(WORLDS[world][0], changes | {
      f'seed.{k}': tags['seed'] for k in ('init', 'data')},
      tags | {'budget': budget, 'rate': changes['optim.learning_rate']},
      trunk=trunk)


def runs(scale: str) -> list[Run]:
  """Every run of every role."""
  out = []
  for world, s in pick(SCALES, scale).items():
    tags = lambda role, width, depth=s['depth'], seed=0, world=world: {
        'role': role, 'world': world, 'width': width, 'depth': depth,
        'seed': seed}
    own = lambda budget, s=s: s.get('rates', {}).get(budget, 1.0)
    seeds = lambda budget, s=s: range(s.get('seeds', {}).get(budget, 1))
    for budget, widths in s['budgets'].items():
      out += [run(s, tags('isoflop', w, seed=k), budget, own(budget))
              for w, k in itertools.product(widths, seeds(budget))]
    for budget, multiples in s.get('tune', {}).items():
      # The rule itself, where it is not the budget's own, by all its seeds.
      others = [(m, k) for m in sorted({*multiples, 1.0} - {own(budget)})
                for k in (seeds(budget) if m == 1 else (0,))]
      out += [run(s, tags('tune', w, seed=k), budget, m)
              for w, (m, k) in itertools.product(s['budgets'][budget], others)]
    if 'shapes' in s:
      budget, shapes = s['shapes']
      out += [run(s, tags('shape', w, d), budget, own(budget))
              for w, d in shapes]
    if 'knees' in s:
      budgets, width, count = s['knees']
      out += [r for k in range(count)
              for r in trapezoid(s, tags, budgets, width, k)]
  return out


def trapezoid(s: dict, tags, budgets, width: int, seed: int) -> list[Run]:
  """A constant rate to the last knee, and a decay off each."""
  first = run(s, tags('trunk', width, seed=seed), budgets[0])
  short = first.config.steps
  trunk = run(s, tags('trunk', width, seed=seed), budgets[-1],
              schedule='constant')
  trunk = Run(trunk.config_file, trunk.overrides | {
      'optim.warmup': first.config.optim.warmup, 'checkpoint.keep': 1000,
      'checkpoint.every': max(round(0.8 * short), 1)}, trunk.tags)
  return [trunk, *(run(s, tags('branch', width, seed=seed), b,
                       schedule='wsd', trunk=trunk) for b in budgets)]


@functools.cache
def floor(world: str) -> tuple[float, float]:
  """(entropy in nats a token, a standard error). Of a grammar it is the mean
  of the exact -log P of 2,048 strings; of people it is exact, and the error is
  that of the rows on which the loss is measured."""
  file, changes, key = WORLDS[world]
  config = cli.override(cli.load_config(str(sweep.ROOT / file)), changes)
  made = base.make(config.worlds[key], config.seed.world)
  if hasattr(made, 'laws'):
    return made.entropy(2048)
  entries = config.evals.loss.num_rows * (config.data.length // made.tokens)
  return (made.floor() / made.tokens,
          made.law.deviation() / entries**0.5 / made.tokens)


def table(results: list[dict]):
  """One row a run. C is 6 N D; C_<convention> as in scaling/flops.py; loss and
  floor in nats a token, exact: the share of strings all of whose forced tokens
  are right; kl_end: what of the loss above the floor is at end tokens; seconds:
  of this run alone."""
  import pandas as pd
  out = []
  for r in results:
    world = r['world']
    size, tokens = counted(world, r['width'], r['depth']), r['train/tokens']
    low, error = floor(world)
    row = {k: r[k] for k in ('role', 'world', 'budget', 'width', 'depth',
                             'seed', 'rate')}
    row |= {'N': size['N'], 'N_ne': size['N_ne'], 'D': tokens,
            'C': 6 * size['N'] * tokens} | {
                f'C_{k}': size[f'C_{k}'] * tokens for k in flops.CONVENTIONS}
    grammar = 'law/kl' in r
    row |= {'loss': low + r['law/kl'] if grammar else r['loss/bio'],
            'error': r['law/kl_error'] if grammar else math.nan,
            'floor': low, 'floor_error': error, 'train': r['train/loss'],
            'seconds': r['train/time/seconds']}
    row |= {k: r.get(f'law/{k}', math.nan)
            for k in ('exact', 'forced', 'guess', 'kl_end')}
    out.append(row)
  return pd.DataFrame(out)


def theory(world: str) -> tuple[float, float] | None:
  """Exponents of N and of D that theory gives; None for a grammar."""
  if 'people_' not in world:
    return None
  a = float(world.rsplit('_', 1)[1])
  return power.size_exponent(a), power.data_exponent(a)


def show(df) -> str:
  """The small table of the last screen."""
  lines = []
  for world, own in df.groupby('world', sort=False):
    lines.append(f'{world}: floor {own.floor.iloc[0]:.4f} '
                 f'± {own.floor_error.iloc[0]:.4f} nats a token, '
                 f'{len(own)} runs, {own.seconds.sum() / 60:.0f} minutes')
    lines.append(f'{"C":>8}{"N":>9}{"D":>11}{"loss":>9}{"exact":>7}{"n":>3}')
    p = own[own.role == 'isoflop'].groupby(['budget', 'N'], as_index=False).agg(
        D=('D', 'first'), loss=('loss', 'mean'), exact=('exact', 'mean'),
        n=('loss', 'size'))
    lines += [f'{r.budget:>8.0e}{r.N:>9.0f}{r.D:>11.3g}{r.loss:>9.4f}'
              f'{r.exact:>7.2f}{r.n:>3.0f}' for r in p.itertuples()]
  return '\n'.join(lines)


def figure(df):
  """Of each world: isoFLOP curves, the frontier, the loss over its floor; of
  the first also schedules, learning rates, shapes."""
  worlds = df.groupby('world', sort=False)
  fig, axes = plots.figure(columns=3, rows=len(worlds) + 1, width=4.6,
                           height=3.6)
  for (world, own), row in zip(worlds, [axes[0], *axes[2:]]):
    p, low = analysis.points(own), own.floor.iloc[0]
    try:
      f, draws = analysis.surface(own)
      found = analysis.isoflop(own, f)
    except ValueError:
      f = draws = found = None  # too few runs
    _curves(row[0], p, found, low, world)
    _frontier(row[1], p, found, f, draws, theory(world))
    _envelope(row[2], p, f, low)
  first = df[df.world == df.world.iloc[0]]
  _schedules(axes[1][0], first, first.floor.iloc[0])
  _rates(axes[1][1], first)
  _shapes(axes[1][2], first)
  fig.suptitle(
      f'Scaling on corpora of known entropy: {len(df)} runs of '
      f'{df.N.min():,.0f} to {df.N.max():,.0f} parameters', x=0.01, ha='left',
      fontsize=11)
  seeds = df[df.role == 'isoflop'].groupby(['world', 'budget', 'width']).size()
  fig.supxlabel(
      'C = 6 N D; loss in nats a token (of a grammar: the entropy plus the '
      'relative entropy to the exact law); dotted on the left: the entropy. '
      'Diamonds: vertices of parabolas; bands: 95 % of bootstrap fits.\n'
      f'Means of {seeds.max()} seeds at {(seeds > 1).sum()} of '
      f'{len(seeds)} points, else one seed. few_people_a: person k is told of '
      'with probability ~ k^-(1 + a)',
      x=0.01, ha='left', fontsize=8, color=plots.QUIET)
  return fig


def _named(ax, x: str, y: str, title: str):
  ax.set_xlabel(x, fontsize=9)
  ax.set_ylabel(y, fontsize=9)
  plots.title(ax, title)
  plots.plain_ticks(ax)


def _shades(count: int):
  import matplotlib
  return matplotlib.colormaps['viridis'](np.linspace(0, 0.88, count))


def _curves(ax, p, found, low, world):
  vertices = {b.C: b for b in found.budgets} if found else {}
  for (budget, own), colour in zip(
      p.groupby('budget'), _shades(p.budget.nunique())):
    x = np.log10(own.N)
    ax.plot(own.N, own.loss, 'o', color=colour, markersize=3.5,
            label=f'{budget:.0e} FLOP'.replace('e+', 'e'))
    if len(own) > 2:
      fine = np.linspace(x.min(), x.max(), 50)
      ax.plot(10**fine, np.polyval(np.polyfit(x, own.loss, 2), fine),
              color=colour, linewidth=1.1)
    b = vertices.get(budget)
    if b and b.status == 'ok':
      ax.plot(b.N, b.L, 'D', color='white', markeredgecolor=plots.INK,
              markersize=5.5, zorder=4)
  ax.axhline(low, color=plots.QUIET, linestyle=':', linewidth=1)
  ax.set_xscale('log')
  ax.legend(frameon=False, fontsize=7)
  _named(ax, 'parameters N', 'loss', f'{world}: equal compute')


def _frontier(ax, p, found, f, draws, known):
  if found is None:
    return
  good = analysis.interior(found)
  C = np.geomspace(p.budget.min() / 2, p.budget.max() * 2, 40)
  for k, (name, colour) in enumerate((('N', plots.COLOURS[0]),
                                      ('D', plots.COLOURS[1]))):
    ax.loglog([b.C for b in good], [getattr(b, name) for b in good], 'D',
              color=colour, markersize=4.5)
    slope, start = analysis.growth(found, name)
    ax.plot(C, np.exp(start) * C**slope, color=colour, linewidth=1.1,
            label=f'{name}* ~ C^{slope:.2f} (parabolas)')
    ax.plot(C, f.optimal(C)[k], color=colour, linewidth=1.1, linestyle='--',
            label=f'{name}*, fitted surface')
    pairs = [laws.chinchilla_optimal(
        {q: v[i] for q, v in draws.params.items()}, C)[k]
        for i in range(len(draws.params['E']))]
    ax.fill_between(C, *np.quantile(pairs, (0.025, 0.975), axis=0),
                    color=colour, alpha=0.15, linewidth=0)
    if known:
      ideal = (known[1], known[0])[k] / sum(known)
      x = C[len(C) // 2]
      ax.plot(C, f.optimal(x)[k] * (C / x)**ideal, color=plots.INK,
              linewidth=0.9, linestyle=':', label=f'theory, C^{ideal:.2f}')
  ax.legend(frameon=False, fontsize=7)
  _named(ax, 'compute C, FLOP', 'parameters, tokens', 'What to spend it on')


def _envelope(ax, p, f, low):
  above = p.loss - low
  marks = ax.scatter(p.C, above, c=np.log10(p.N), cmap='viridis', s=14)
  ax.figure.colorbar(marks, ax=ax, label='log10 N', fraction=0.05)
  if f is not None:
    C = np.geomspace(p.C.min(), p.C.max(), 40)
    ax.plot(C, np.maximum(f.optimal(C)[2] - low, 1e-9), color=plots.INK,
            linewidth=1.3, label='frontier of the fitted surface')
    ax.legend(frameon=False, fontsize=7)
  ax.set(xscale='log', yscale='log', ylim=(above.min() / 1.5,
                                           above.max() * 1.3))
  _named(ax, 'compute C, FLOP', 'loss - entropy', 'Above the floor')


def _schedules(ax, df, low):
  every = analysis.schedules(df)
  if every.empty:
    return
  both = every.groupby('budget').mean(numeric_only=True)
  for own, column, marks, k, label in (
      ('D', 'loss', 'o-', 0, 'rate falls over its own horizon'),
      ('D_branch', 'loss_branch', 's--', 1, 'decay off one constant trunk')):
    ax.loglog(both[own], both[column] - low, marks, color=plots.COLOURS[k],
              label=label)
    ax.plot(every[own], every[column] - low, marks[0], markersize=2.5,
            alpha=0.6, color=plots.COLOURS[k])
  end = analysis.points(df, 'trunk').iloc[-1]
  ax.plot(end.D, end.loss - low, 'X', color=plots.COLOURS[5], markersize=8,
          label='the trunk, not decayed')
  ax.legend(frameon=False, fontsize=7)
  _named(ax, 'tokens D', 'loss - entropy',
         f'Schedules, N = {both.N.iloc[0]:,.0f} (small: seeds)')


def _rates(ax, df):
  if not (df.role == 'tune').any():
    return
  tuned = analysis.tuning(df)
  of = RATE * (32 / tuned.width)**FALL
  marks = ax.scatter(tuned.budget, tuned.best / of, c=np.log2(tuned.width),
                     cmap='viridis', s=16)
  ax.figure.colorbar(marks, ax=ax, label='log2 width', fraction=0.05)
  ax.plot(tuned.budget, tuned.used / of, color=plots.INK, linestyle='--',
          linewidth=1, label='used')
  ax.set(xscale='log', yscale='log')
  ax.legend(frameon=False, fontsize=7)
  _named(ax, 'compute C, FLOP', f'learning rate / {RATE:g} (32 / width)^'
         f'{FALL:g}', 'Best rates of small populations')


def _shapes(ax, df):
  both = analysis.shapes(df)
  if both.empty:
    return
  ax.plot(both.depth, both.loss, 'o-', color=plots.COLOURS[2])
  for r in both.itertuples():
    ax.annotate(f'width {r.width:.0f}', (r.depth, r.loss), xytext=(4, 4),
                textcoords='offset points', fontsize=7.5)
  ax.margins(x=0.15, y=0.2)
  _named(ax, 'layers', 'loss', f'Shape, N = {both.N.min():,.0f} to '
       f'{both.N.max():,.0f}')


def verdict(df) -> list[Claim]:
  """Every law against its truth, world by world."""
  return [c for _, own in df.groupby('world', sort=False)
          for c in _verdict(own)]


def _verdict(df) -> list[Claim]:
  world, low, out = df.world.iloc[0], df.floor.iloc[0], []
  budgets = df[df.role == 'isoflop'].budget.nunique()
  enough = budgets >= 4 and (df.role == 'isoflop').sum() >= 20

  def add(statement, paper, ours, holds, tested=True):
    known = enough and tested
    out.append(Claim(f'{world}: {statement}', paper, ours() if known else (
        'too few runs'), ('yes' if holds() else 'no') if known else (
            'not tested at this scale')))

  if not enough:
    add('the laws and their truth', 'see the docstring', None, None)
    return out
  f, draws = analysis.surface(df)
  found, (held, freely) = analysis.isoflop(df, f), analysis.pinned(df)
  good, n = analysis.interior(found), (df.role == 'isoflop').sum()
  of = {k: draws.interval(lambda p, k=k: p[k]) for k in ('E', 'alpha', 'beta')}
  slack = 1.96 * df.floor_error.iloc[0]
  share = lambda p: p['beta'] / (p['alpha'] + p['beta'])
  a, ends = share(f.params), draws.interval(share)
  between = lambda pair: f'{pair[0]:.3f} to {pair[1]:.3f}'
  add('isoFLOP curves have interior minima at 4 budgets or more', '9 of 9 '
      '(Hoffmann et al.)', lambda: f'{len(good)} of {len(found.budgets)}',
      lambda: len(good) >= 4)
  add('the fitted E is the entropy (95 % interval)', f'{low:.4f} nats a token, '
      'exact', lambda: f'{f.params["E"]:.4f}, {between(of["E"])} (n = {n} '
      'runs)', lambda: of['E'][0] - slack <= low <= of['E'][1] + slack)
  bent, wide = analysis.p_norm(df)
  low_e, high_e = wide.interval(lambda p: p['E'])
  edge = np.mean(np.abs(np.log(wide.params['p'])) > 0.999 * math.log(
      analysis.BOUNDS['p'][1]))
  add('the fitted E is the entropy when p, how the limits of size and data '
      'combine, is fitted too (laws.p_norm; made after the runs)',
      f'{low:.4f} nats a token, exact', lambda: (
          f'{bent.params["E"]:.4f}, {between((low_e, high_e))}; p '
          f'{bent.params["p"]:.2f}, {between(wide.interval(lambda p: p["p"]))} '
          f'(1: the sum), at a bound in {100 * edge:.0f} % of refits; '
          f"objective {bent.objective / f.objective:.2f} of the sum's"),
      lambda: low_e - slack <= low <= high_e + slack)
  crossed, crossings = analysis.crossed(df)
  low_c, high_c = crossings.interval(lambda p: p['E'])
  add('the fitted E is the entropy when each size has an exponent in D of its '
      'own, linear in ln N, and no floor (laws.crossed; made after the runs)',
      f'{low:.4f} nats a token, exact', lambda: (
          f'{crossed.params["E"]:.4f}, {between((low_c, high_c))}; objective '
          f"{crossed.objective / f.objective:.2f} of the sum's"),
      lambda: low_c - slack <= low <= high_c + slack)
  tuned = analysis.tuning(df)
  if len(tuned):
    lost = 100 * tuned.gain / tuned.of
    add('the learning rates used cost less than 1 % of the loss in the mean',
        'tuned per size', lambda: (
            f'{lost.mean():.2f} %, at most {lost.max():.2f} % (n = {len(lost)} '
            f'populations at {tuned.budget.nunique()} '
            f'budget{"s"[:tuned.budget.nunique() > 1]}); the best are '
            f'{(tuned.best / tuned.used).min():.2g} to '
            f'{(tuned.best / tuned.used).max():.2g} of those used'),
        lambda: lost.mean() < 1)
  if tuned.budget.nunique() >= 4:
    best, redrawn = analysis.surface(analysis.retuned(df))
    low_b, high_b = redrawn.interval(lambda p: p['E'])
    add('the fitted E is the entropy with the rates tuned at every size and '
        'budget', f'{low:.4f} nats a token, exact', lambda: (
            f'{best.params["E"]:.4f}, {between((low_b, high_b))} (n = '
            f'{len(analysis.retuned(df))} runs, less what tuning saves, taken '
            'as known)'),
        lambda: low_b - slack <= low <= high_b + slack)
  known = theory(world)
  for k, (name, what) in enumerate((('alpha', 'N'), ('beta', 'D'))):
    if known:
      add(f'the loss falls in {what} as theory says, {name}',
          f'{known[k]:.3f} (theory)', lambda name=name: (
              f'{f.params[name]:.3f}, {between(of[name])}'),
          lambda k=k, name=name: of[name][0] <= known[k] <= of[name][1])
      ends_ = freely.interval(lambda p, name=name: p[name])
      inside = [f'{a:g}' for a in POWERS if ends_[0] <= theory(
          f'people_{a:g}')[k] <= ends_[1]]
      add(f'with E held at the entropy, the loss falls in {what} as theory '
          f'says, {name} (made after the runs)', f'{known[k]:.3f} (theory)',
          lambda name=name, ends_=ends_, inside=inside: (
              f'{held.params[name]:.3f}, {between(ends_)}; holds theory for '
              + (f'a = {" and a = ".join(inside)}' if inside else
                 'neither world')),
          lambda k=k, ends_=ends_: ends_[0] <= known[k] <= ends_[1])
  papers = (known[1] / sum(known),) * 2 if known else (0.46, 0.50)
  add('parameters grow as ' + ('theory says' if known else 'the papers say')
      + ', N* ~ C^a', f'{papers[0]:.3f} (theory)' if known else '0.46 to 0.50',
      lambda: f'a {a:.3f}, {between(ends)} (surface); '
      f'{analysis.growth(found, "N")[0]:.3f} (parabolas)', lambda: (
          ends[0] <= papers[1] and ends[1] >= papers[0]))
  for name, (x, _, law, r2) in analysis.power_laws(df).items():
    paper = {'C': 0.050, 'N': 0.076, 'D': 0.095}[name]
    if known:
      ideal = {'N': known[0], 'D': known[1],
               'C': known[0] * known[1] / sum(known)}[name]
    add(f'above its floor the loss is a power law in {name} (R2 of logarithms '
        'at least 0.98)', f'exponent {ideal:.3f} (theory)' if known else
        f'exponent {paper:.3f} on text (Kaplan et al.)',
        lambda x=x, law=law, r2=r2: f'exponent {-law.exponent:.3f} ± '
        f'{law.covariance[0, 0]**0.5:.3f}, R2 {r2:.3f} (n = {len(x)} points)',
        lambda r2=r2: r2 >= 0.98)
  counts = {c: analysis.allocation(df, f, c) for c in flops.CONVENTIONS}
  add('what is counted as a FLOP moves a by more than 0.05', '0.50 to 0.63 '
      '(Gemstones)', lambda: ', '.join(f'{c} {v:.2f}' for c, v in (
          counts.items())), lambda: (
              max(counts.values()) - min(counts.values()) > 0.05))
  if not (df.role == 'branch').any():
    return out
  both = analysis.schedules(df)
  by = both.groupby('budget').difference.mean().abs()
  each = both.groupby('seed').difference.mean()
  add('a decay off a constant trunk equals a matched schedule (1 %)', 'equal '
      '(Haegele et al.)', lambda: plus_minus(
          100 * both.difference.mean(), 100 * each.std() / len(each)**0.5, 2)
      + f' % of the loss in the mean (standard error; n = {len(each)} '
      f'seed{"s"[:len(each) > 1]}, paired), {100 * by.mean():.2f} % without '
      f'sign, worst {100 * by.max():.2f} %, over {len(by)} horizons',
      lambda: by.mean() < 0.01, tested=len(by) >= 3)
  some = analysis.shapes(df)
  some = some[some.depth.between(2, 6)] if len(some) else some
  add('shape matters little at fixed N: 2 to 6 layers within 3 % of the loss',
      'a few per cent (Kaplan et al.)', lambda: (
          f'{100 * (some.loss.max() / some.loss.min() - 1):.1f} % over '
          f'{len(some)} shapes'), lambda: (
              some.loss.max() / some.loss.min() < 1.03), tested=len(some) >= 3)
  return out
