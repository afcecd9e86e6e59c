"""Does it matter for capacity what knowledge looks like?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), section 5.2, Result 3. Paper: in
bioD(N, K, C, D, L, T), K attributes, values of C chunks out of D, a chunk of L
symbols out of T, at 1,000 exposures a model holds at least 2 bits a parameter
for all of K, C in 1 .. 50, D in 10 .. 10,000, L in 1 .. 50, T in 20 .. 40,000.

  python -m physics_lm.launch experiments/capacity_bitworld.py --scale=cpu
  python -m physics_lm.report experiments/capacity_bitworld.py --scale=cpu

Measured, `cpu`: 21 runs, 28 minutes of one core in all.

Ours at `cpu` scale: around one world each of K, C, D, L and T is changed, with
as many people as make R_max about the same everywhere (above 2: over-full
models), two layers, about 13 thousand parameters (more symbols, more rows of
the embedding). One learning rate, 1,000 exposures.

Rules, fixed before the runs, n >= 3 seeds: every mean is at least 2; every mean
lies within 20 % of the base world's.
"""

from physics_lm import plots
from physics_lm.report import Claim, plus_minus
from physics_lm.sweep import Run, pick

LETTERS = {'K': 'attributes', 'C': 'chunks', 'D': 'diversity',
           'L': 'chunk_length', 'T': 'symbols'}
NAMES = {'K': 'attributes (K)', 'C': 'chunks of a value (C)',
         'D': 'different chunks (D)', 'L': 'symbols of a chunk (L)',
         'T': 'symbols there are (T)'}
BASE = {'K': 4, 'C': 1, 'D': 128, 'L': 1, 'T': 128}
# (what differs from the base, people)
WORLDS = (
    ({}, 820), ({'C': 2}, 446), ({'K': 2}, 1430), ({'L': 2}, 713),
    ({'T': 256}, 940), ({'D': 32}, 1080), ({'K': 8}, 446))
ENTRIES = 8  # of a row
_LARGE = (({}, 20_000), *(({k: v} | more, n) for k, v, more, n in (
    ('K', 1, {}, 80_000), ('K', 20, {}, 4000),
    ('C', 5, {}, 8000), ('C', 20, {}, 2000), ('D', 16, {}, 30_000),
    ('D', 1000, {'T': 1000}, 12_000), ('L', 5, {}, 20_000),
    ('L', 20, {'T': 8}, 15_000), ('T', 4000, {}, 20_000))))
SCALES = {
    # scale: worlds, width, exposures, rows a step, seeds, common
    'smoke': ((({}, 20), ({'L': 2}, 20)), 16, 4, 2, 1,
              {'optim.warmup': 2, 'log.every': 5}),
    'cpu': (WORLDS, 16, 1000, 8, 3, {}),
    'gpu': (_LARGE, 128, 1000, 96, 3, {
        'model.dtype': 'bfloat16', 'optim.warmup': 1000,
        'runtime.workers': 8, 'optim.learning_rate': 1e-3}),
    'paper': (tuple((w, 10 * n) for w, n in _LARGE), 256, 1000, 192, 1, {
        'model.dtype': 'bfloat16', 'data.isolate': False,
        'optim.warmup': 1000, 'optim.learning_rate': 5e-4}),
}


def runs(scale: str) -> list[Run]:
  """Every (world, seed)."""
  worlds, width, exposed, batch, seeds, common = pick(SCALES, scale)
  large = scale in ('gpu', 'paper')
  out = []
  for changes, people in worlds:
    w = BASE | changes
    names = 3 if large else 2
    # End token, name, and of each attribute its own symbol and its value.
    tokens = 1 + names + w['K'] * (1 + w['C'] * w['L'])
    keys = {f'worlds.bits.{LETTERS[k]}': v for k, v in w.items()} | {
        'worlds.bits.people': people, 'evals.bits.people': people,
        'worlds.bits.name_alphabet': 256, 'worlds.bits.name_length': names,
        'data.length': ENTRIES * tokens, 'data.batch': batch,
        'steps': round(people * exposed / ENTRIES / batch),
        'model.width': width, 'model.heads': max(width // 64, 2),
        'checkpoint.every': 10_000, 'log.every': 500} | common
    changed = next(iter(changes), 'base')
    for seed in range(seeds):
      out.append(Run('configs/bitworld.py', keys | {
          f'seed.{k}': seed for k in ('init', 'data', 'world')}, {
              'changed': changed, **w, 'seed': seed}))
  return out


def table(results: list[dict]):
  """One row a run."""
  import pandas as pd
  return pd.DataFrame([{
      **{k: r[k] for k in ('changed', *BASE, 'seed')},
      'exposed': r['train/exposures/bio'],
      **{k: r[f'bits/{k}'] for k in (
          'people', 'parameters', 'bits', 'bits_max', 'unclipped', 'ratio',
          'ratio_max', 'name_nats', 'value_nats', 'first_nats')}}
      for r in results])


def points(df):
  """Mean, std over seeds and n of R, by world."""
  return df.groupby(['changed', *BASE, 'people'], sort=False).agg(
      R=('ratio', 'mean'), std=('ratio', 'std'), R_max=('ratio_max', 'mean'),
      parameters=('parameters', 'first'), n=('ratio', 'size')).reset_index()


def shown(p) -> str:
  return plus_minus(p.R, p['std'], 2)


def show(df) -> str:
  """The small table of the last screen."""
  lines = [''.join(f'{k:>6}' for k in BASE) + f'{"people":>8}{"parameters":>12}'
           f'{"R":>15}{"R_max":>8}{"seeds":>7}']
  for _, p in points(df).iterrows():
    lines.append(''.join(f'{p[k]:>6}' for k in BASE)
                 + f'{p.people:>8.0f}{p.parameters:>12.0f}{shown(p):>15}'
                 f'{p.R_max:>8.2f}{p.n:>7}')
  return '\n'.join(lines)


def label(p, letter: str) -> str:
  """The value of a letter, and below it what else differs from the base."""
  return f'{p[letter]}' + ''.join(
      f'\n{k} {p[k]}' for k in BASE if k != letter and p[k] != BASE[k])


def figure(df):
  """R against K, C, D, L and T, a panel each."""
  p = points(df)
  fig, axes = plots.figure(columns=len(BASE), width=2.5, height=3.3,
                           sharey=True)
  top = 1.12 * float(p.R_max.max())
  for ax, (letter, colour) in zip(axes[0], zip(BASE, plots.COLOURS)):
    own = p[p.changed.isin(('base', letter))].sort_values(letter)
    at = range(len(own))
    ax.plot(at, own.R_max, '_', color=plots.QUIET, markersize=22,
            markeredgewidth=1.4)
    ax.errorbar(at, own.R, yerr=own['std'].fillna(0), color=colour, marker='o',
                capsize=2.5, linewidth=1.3)
    ax.axhline(2, color=plots.QUIET, linewidth=0.9, linestyle='--', zorder=1)
    for x, (_, r) in zip(at, own.iterrows()):
      ax.annotate(f'{r.R:.2f}', (x, r.R - (r['std'] if r.n > 1 else 0)),
                  xytext=(0, -5), ha='center', va='top', fontsize=8,
                  textcoords='offset points')
    ax.set_xticks(list(at), [label(r, letter) for _, r in own.iterrows()])
    ax.set_xlim(-0.5, len(own) - 0.5)
    ax.set_ylim(0, top)
    ax.set_xlabel(NAMES[letter], fontsize=9)
  axes[0][0].set_ylabel('bits of knowledge a parameter', fontsize=9)
  axes[0][0].annotate('2 bits', (0, 2), xytext=(2, 2), fontsize=8,
                      xycoords=('axes fraction', 'data'),
                      textcoords='offset points', color=plots.QUIET)
  axes[0][0].annotate('all there is', (0.5, p.R_max.iloc[0]), ha='center',
                      xytext=(0, 5), xycoords=('axes fraction', 'data'),
                      textcoords='offset points', fontsize=8,
                      color=plots.QUIET)
  n = int(p.n.min())
  fig.suptitle(
      'Does it matter what knowledge looks like? bioD(N, K, C, D, L, T), '
      f'{df.exposed.max():,.0f} exposures', x=0.01, ha='left', fontsize=11)
  base = ', '.join(f'{k} {v}' for k, v in BASE.items())
  fig.supxlabel(
      f'base: {base}; mean and standard deviation of {n} seed{"s"[:n > 1]}; '
      f'{p.parameters.min() / 1000:.1f} to {p.parameters.max() / 1000:.1f} '
      'thousand parameters', x=0.01, ha='left', fontsize=8, color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Result 3 of the paper, over the world's shape."""
  p, out = points(df), []
  base = p[p.changed == 'base'].iloc[0]
  exposed = float(df.exposed.max())

  def add(statement, paper, rows, holds):
    if rows.empty or rows.n.min() < 3 or not 990 < exposed < 1010:
      out.append(Claim(statement, paper, 'not run with three seeds',
                       'not tested at this scale'))
      return
    worst, best = rows.loc[rows.R.idxmin()], rows.loc[rows.R.idxmax()]
    name = lambda r: 'base' if r.changed == 'base' else (
        f'{r.changed} = {r[r.changed]}')
    out.append(Claim(
        statement, paper, f'{shown(worst)} ({name(worst)}) to '
        f'{shown(best)} ({name(best)}), base {shown(base)}, R_max '
        f'{rows.R_max.min():.2f} to {rows.R_max.max():.2f} (n = {base.n} seeds '
        f'of {len(rows)} worlds)', 'yes' if holds(rows) else 'no'))

  add('1,000 exposures: at least 2 bits a parameter for all K, C, D, L, T '
      '(Result 3)', 'peak >= 2', p, lambda rows: (rows.R >= 2).all())
  for letter, what in NAMES.items():
    add(f'1,000 exposures: {what} changes little (Result 3: within 20 % of the '
        'base world)', 'nothing changes', p[p.changed.isin(('base', letter))],
        lambda rows: rows.R.between(0.8 * base.R, 1.2 * base.R).all())
  return out
