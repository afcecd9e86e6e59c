"""Does the form of the knowledge change how much of it a parameter stores?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), section 5.2, Result 3. Paper: in
bioD(N, K, C, D, L, T), K attributes, values of C chunks from a set of D, a
chunk of L symbols from an alphabet of T, peak R at 1,000 exposures is at least
2 bits per parameter for all of K, C in 1 .. 50, D in 10 .. 10,000, L in 1 ..
50, T in 20 .. 40,000.

  python -m physics_lm.launch experiments/capacity_biod.py --scale=cpu
  python -m physics_lm.report experiments/capacity_biod.py --scale=cpu

Measured, `cpu`: 21 runs, 28 minutes of one core in all.

Deviations at `cpu` scale: one of K, C, D, L and T at a time is changed from a
base world, with as many people as make R_max about 2.2 everywhere (saturated
models): R is that of one model, not the peak over sizes, and 2 bits would be
nine tenths of everything. Two layers, about 13 thousand parameters (T adds rows
to the embedding), one learning rate, 1,000 exposures: where R is lower, slower
learning and less capacity are not separated (LOG 28).
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, ratio_between
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

LETTERS = {'K': 'attributes', 'C': 'chunks', 'D': 'diversity',
           'L': 'chunk_length', 'T': 'symbols'}
NAMES = {'K': 'attributes', 'C': 'chunks of a value', 'D': 'different chunks',
         'L': 'symbols of a chunk', 'T': 'symbols of the alphabet'}
BASE = {'K': 4, 'C': 1, 'D': 128, 'L': 1, 'T': 128}
BASE_NAME = 'base: ' + ', '.join(f'{k} {v}' for k, v in BASE.items())
BIOGRAPHIES = 8  # of a row
# (what differs from the base, people)
WORLDS = (({}, 820), ({'C': 2}, 446), ({'K': 2}, 1430), ({'L': 2}, 713),
          ({'T': 256}, 940), ({'D': 32}, 1080), ({'K': 8}, 446))
LARGE = (({}, 20_000), ({'K': 1}, 80_000), ({'K': 20}, 4000), ({'C': 5}, 8000),
         ({'C': 20}, 2000), ({'D': 16}, 30_000),
         ({'D': 1000, 'T': 1000}, 12_000), ({'L': 5}, 20_000),
         ({'L': 20, 'T': 8}, 15_000), ({'T': 4000}, 20_000))
SCALES = {
    'smoke': dict(worlds=(({}, 20), ({'L': 2}, 20)), width=16, exposures=4,
                  batch=2, seeds=1, name_length=2, common=scales.SMOKE_LOG),
    'cpu': dict(worlds=WORLDS, width=16, exposures=1000, batch=8, seeds=3,
                name_length=2, common={}),
    'gpu': dict(worlds=LARGE, width=128, exposures=1000, batch=96, seeds=3,
                name_length=3, common=scales.CAPACITY_GPU | {
                    'optim.learning_rate': 1e-3}),
    'paper': dict(worlds=tuple((w, 10 * n) for w, n in LARGE), width=256,
                  exposures=1000, batch=192, seeds=1, name_length=3,
                  common=scales.CAPACITY_PAPER | {
                      'optim.learning_rate': 5e-4}),
}


def runs(scale: str) -> list[Run]:
  """Every (world, seed)."""
  s, out = pick(SCALES, scale), []
  for changes, people in s['worlds']:
    w = BASE | changes
    # End token, name, and of each attribute its own symbol and its value.
    tokens = 1 + s['name_length'] + w['K'] * (1 + w['C'] * w['L'])
    keys = {f'worlds.bits.{LETTERS[k]}': v for k, v in w.items()} | {
        'worlds.bits.people': people, 'evals.bits.people': people,
        'worlds.bits.name_alphabet': 256,
        'worlds.bits.name_length': s['name_length'],
        'data.seq_len': BIOGRAPHIES * tokens, 'data.batch_size': s['batch'],
        'steps': round(people * s['exposures'] / BIOGRAPHIES / s['batch']),
        'model.width': s['width'], 'model.heads': max(s['width'] // 64, 2),
        'checkpoint.every': 10_000, 'log.every': 500} | s['common']
    changed = next(iter(changes), 'base')
    out += [Run('configs/biod.py', keys | scales.seeds(seed),
                {'changed': changed, **w, 'seed': seed})
            for seed in range(s['seeds'])]
  return out


def table(records):
  """A row a run. `farthest`: of the worlds that change one letter, the one
  whose mean R is farthest from the base world's; `lowest`: of all worlds, the
  one with the lowest mean R."""
  df = results.capacity(records, columns=(*results.CAPACITY_COLUMNS,
                                          'first_nats'))
  means = df.groupby(['changed', *BASE])[R].transform('mean')
  base = means[df.changed == 'base'].iloc[0]
  distance = (means - base).abs()
  df['farthest'] = distance == distance.groupby(df.changed).transform('max')
  df['lowest'] = means == means.min()
  return df


def summary(df):
  """R and R_max by world."""
  return results.summarise(df, ['changed', *BASE, 'n_items', 'parameters'],
                           [R, f'{R}_max'])


def figure(df):
  """R of every world, beside the most that there is to store."""
  s = summary(df)
  order = {k: i for i, k in enumerate(('base', *BASE))}
  s = s.sort_values(['changed', *BASE], key=lambda c: c.map(order)
                    if c.name == 'changed' else c).reset_index()
  names = ['\n'.join(f'{r[k]:,} {NAMES[k]} ({k})' for k in BASE
                     if r[k] != BASE[k]) or BASE_NAME for _, r in s.iterrows()]
  fig, ((ax,),) = figures.grid(1, width=7.2, height=0.42 * len(s) + 1.6)
  figures.bars(ax, s, R, names, [figures.COLOURS[order[c] - 1]
                                 for c in s.changed],
               horizontal=True, digits=2)
  ax.plot(s[f'{R}_max_mean'], range(len(s)), '|', color=figures.INK,
          markersize=16, markeredgewidth=1.6)
  figures.level(ax, 2, vertical=True)
  ax.set_xlim(0, 1.15 * s[f'{R}_max_mean'].max())
  figures.labels(ax, 'R: bits stored per parameter')
  figures.finish(
      fig, 'Capacity ratio R in bioD(N, K, C, D, L, T), one letter changed at '
      'a time', f'{figures.seeds_note(s)};  dotted: 2, the paper\'s peak is at '
      'least that;  strokes: R_max,\neverything memorised;  '
      f'{s.parameters.min():,} to {s.parameters.max():,} parameters, '
      f'{df.exposures_actual.max():,.0f} exposures')
  return fig


R, BITS = 'bits_per_param', dict(column='bits_per_param', unit='bits/param')
DECIDED = {'K': 'some seven seeds, three core-minutes each'}
CLAIMS = (
    Claim('biod_2_bits', 'bioD, 1,000 exposures: R is at least 2 bits per '
          'parameter for all K, C, D, L, T (the lowest world)',
          'Part 3.3, Result 3', 'at least 2', ({'lowest': True},), at_least(2),
          **BITS),
    *(Claim(f'biod_{letter}', f'bioD, 1,000 exposures: {letter} ({what}) '
            'changes R by less than 20 % (the farthest world)',
            'Part 3.3, Result 3', 'no change',
            ({'changed': letter, 'farthest': True}, {'changed': 'base'}),
            ratio_between(0.8, 1.2), decided_by=DECIDED.get(letter, ''), **BITS)
      for letter, what in NAMES.items()),
)
