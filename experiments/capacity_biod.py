"""Does the form of the knowledge change how much of it a parameter stores?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), section 5.2, Result 3. Paper: in
bioD(N, K, C, D, L, T), K attributes, values of C chunks from a set of D, a
chunk of L symbols from an alphabet of T, peak R at 1,000 exposures is at least
2 bits per parameter for all of K, C in 1 .. 50, D in 10 .. 10,000, L in 1 ..
50, T in 20 .. 40,000. knowledge_capacity has R at many sizes of one world.

  python -m physics_lm.launch experiments/capacity_biod.py --scale=cpu
  python -m physics_lm.report experiments/capacity_biod.py --scale=cpu

Seen on seed 7, not reported, with 13 thousand parameters: base 2.51, K 2 2.46,
K 16 2.36, C 2 2.35, D 16 2.14, T 512 1.99, L 2 0.65 (3,600 exposures: 0.95).
Predicted at `cpu`: these to within 0.1; with 38 thousand parameters 0.1 more,
and 1.2 with L 2, which is learnt slowly.
Deviations at `cpu`: the compact recipe of knowledge_capacity; one of K, C, D, L
and T at a time is changed from its world, with as many people as make R_max 3.2
(saturated: R is close to the peak over people). Models of two layers with some
13 and 38 thousand parameters (T adds rows to the embedding), one learning rate.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, ratio_between
from physics_lm.configs import biod, scales
from physics_lm.sweep import Run, pick

LETTERS = {'K': 'attributes', 'C': 'chunks', 'D': 'diversity',
           'L': 'chunk_length', 'T': 'symbols'}
NAMES = {'K': 'attributes', 'C': 'chunks of a value', 'D': 'different chunks',
         'L': 'symbols of a chunk', 'T': 'symbols of the alphabet'}
BASE = {'K': 8, 'C': 1, 'D': 128, 'L': 1, 'T': 128}
BASE_NAME = 'base: ' + ', '.join(f'{k} {v}' for k, v in BASE.items())
SMALL = ({}, {'K': 2}, {'K': 16}, {'C': 2}, {'D': 16}, {'L': 2}, {'T': 512})
LARGE = ({}, {'K': 1}, {'K': 20}, {'C': 5}, {'C': 20}, {'D': 16},
         {'D': 1000, 'T': 1000}, {'L': 5}, {'L': 20, 'T': 8}, {'T': 4000})
R_MAX = 3.2
SCALES = {
    'smoke': dict(widths=(16,), exposures=4, seeds=1, worlds=({}, {'L': 2}),
                  common=scales.SMOKE_LOG | {'steps': 8}),
    'cpu': dict(widths=(16, 32), exposures=1000, seeds=3, worlds=SMALL),
    'gpu': dict(widths=(128,), exposures=1000, seeds=3, worlds=LARGE,
                common=scales.CAPACITY_GPU),
    'paper': dict(widths=(256, 512), exposures=1000, seeds=1, worlds=LARGE,
                  name_length=3, recipe=('random', 'adamw'),
                  common=scales.CAPACITY_PAPER),
}


def runs(scale: str) -> list[Run]:
  """Every (width, world, seed)."""
  s, out = pick(SCALES, scale), []
  order, optimizer = s.get('recipe', ('fixed', 'muon'))
  name = s.get('name_length', 2)
  for width in s['widths']:
    for changes in s['worlds']:
      w = BASE | changes
      sizes = {LETTERS[k]: v for k, v in w.items()}
      people = biod.compact_people(width, R_MAX, **sizes, name_length=name)
      # End token, name, values; in random order each after its attribute's.
      tokens = 1 + name + w['K'] * (w['C'] * w['L'] + (order == 'random'))
      keys = biod.compact_run(people, s['exposures'], width, order, optimizer
                              ) | {
          'data.seq_len': tokens, 'worlds.bits.name_length': name} | {
          f'worlds.bits.{k}': v for k, v in sizes.items()} | s.get('common', {})
      changed = next(iter(changes), 'base')
      out += [Run('configs/biod.py:compact', keys | scales.seeds(seed),
                  {'width': width, 'changed': changed, **w, 'seed': seed})
              for seed in range(s['seeds'])]
  return out


def table(records):
  """A row a run. Of each width, `farthest`: of the worlds that change one
  letter, the one whose mean R is farthest from the base world's; `lowest`: of
  all worlds, the one with the lowest mean R."""
  df = results.capacity(records, columns=(*results.CAPACITY_COLUMNS,
                                          'first_nats'))
  means = df.groupby(['width', 'changed', *BASE])[R].transform('mean')
  base = df.width.map(df[df.changed == 'base'].groupby('width')[R].mean())
  distance = (means - base).abs()
  df['farthest'] = distance == distance.groupby(
      [df.width, df.changed]).transform('max')
  df['lowest'] = means == means.groupby(df.width).transform('min')
  return df


def summary(df):
  """R and R_max by width and world."""
  return results.summarise(df, ['width', 'changed', *BASE, 'n_items',
                                'parameters'], [R, f'{R}_max'])


def figure(df):
  """R of every world, a panel for each width."""
  s = summary(df)
  order = {k: i for i, k in enumerate(('base', *BASE))}
  s = s.sort_values(['changed', *BASE], key=lambda c: c.map(order)
                    if c.name == 'changed' else c)
  widths = sorted(set(s.width))
  fig, axes = figures.grid(len(widths), width=4.6, sharey=True,
                           height=0.36 * len(s) / len(widths) + 1.6)
  for ax, width in zip(axes[0], widths):
    rows = s[s.width == width].reset_index()
    names = ['\n'.join(f'{r[k]:,} {NAMES[k]} ({k})' for k in BASE
                       if r[k] != BASE[k]) or BASE_NAME
             for _, r in rows.iterrows()]
    figures.bars(ax, rows, R, names, [
        figures.COLOURS[order[c] - 1] for c in rows.changed],
                 horizontal=True, digits=2)
    figures.level(ax, 2, vertical=True)
    ax.set_xlim(0, 1.2 * s[f'{R}_mean'].max() or 1)
    figures.labels(ax, 'R: bits stored per parameter')
    low, high = rows.parameters.min(), rows.parameters.max()
    figures.title(ax, f'{low:,} to {high:,} parameters')
  figures.finish(
      fig, 'Capacity ratio R in bioD(N, K, C, D, L, T), one letter changed at '
      'a time', f'{figures.seeds_note(s)};  dotted: 2, the paper\'s peak is at '
      f'least that;  R_max {R_MAX}, {df.exposures_actual.max():,.0f} exposures')
  return fig


R, BITS = 'bits_per_param', dict(column='bits_per_param', unit='bits/param')
WIDTHS = 16, 32


def _cases(*cells: dict) -> tuple:
  """The cells at each width."""
  return tuple(tuple({'width': w} | c for c in cells) for w in WIDTHS)


CLAIMS = (
    Claim('biod_2_bits', 'bioD, 1,000 exposures: R is at least 2 in all seven '
          'worlds, at both sizes',
          'Part 3.3, Result 3', 'at least 2', _cases({'lowest': True}),
          at_least(2), headline=True, **BITS),
    *(Claim(f'biod_{letter}', f'bioD, 1,000 exposures: another {letter} '
            f'({what}) changes R by less than 20 %, at both sizes',
            'Part 3.3, Result 3', 'no change', _cases(
                {'changed': letter, 'farthest': True}, {'changed': 'base'}),
            ratio_between(0.8, 1.2), **BITS)
      for letter, what in NAMES.items()),
)
