"""How many bits of knowledge does a model store per parameter?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Results 1 to 4. The knowledge in
the training data is counted in bits; a model's losses bound from below those it
stores (evals/knowledge_bits.py). The capacity ratio R is bits stored per
parameter, R_max that of a model which has memorised everything. Paper (bioS of
10,000 to 10 million people, models of 1M to 500M parameters): 1,000 exposures:
peak R at least 2, and R = R_max nearly wherever R_max is at most 1.8; the same
in bioD, all settings. 100 exposures: peak R at least 1.

  python -m physics_lm.launch experiments/knowledge_capacity.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_capacity.py --scale=cpu

Measured, `cpu`: 40 runs, an hour of one core in all. Deviations there: bioD,
28 bits of values a person and a name; models of 13 and 24 thousand parameters
of two layers, embedding counted; at 1,000 exposures one learning rate, at 100
the best of three on the seeds reported. Terms of the bound below zero count as
zero (bits_unclipped: without that): with D = T^L the diversity term is never
above zero, so the lists of values count as known, as in bioS.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, at_least, ratio_between
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

PAPER = {1000: 2, 100: 1}  # exposures: peak R, at least
# world: config, its name there, biographies a row of tokens
WORLDS = {'bioD': ('configs/biod.py', 'bits', 8),
          'bioS': ('configs/bios_bits.py', 'bios', 6.8)}
# exposures: rows a step (with fewer steps 100 are too few), learning rates
SMALL = {100: (2, (4e-3, 8e-3, 16e-3)), 1000: (8, (3e-3,))}
LARGE = dict(people_per_row=4000, exposures={
    100: (1, (5e-4, 1e-3, 2e-3)), 1000: (4, (1e-3,))})
SCALES = {  # points: world, people, width, seeds
    'smoke': dict(points=(('bioD', 40, 16, 1),),
                  exposures={10: (2, (4e-3,)), 20: (8, (3e-3,))},
                  common={'optim.warmup_steps': 5, 'log.every': 5}),
    'cpu': dict(points=(('bioD', 500, 16, 3), ('bioD', 1000, 16, 3),
                        ('bioD', 1000, 24, 1), ('bioD', 2000, 16, 3)),
                exposures=SMALL, common={}),
    'gpu': LARGE | dict(
        points=tuple(('bioS', n, width, 3) for n in (10_000, 20_000)
                     for width in (64, 128)),
        common=scales.PAPER_POOLS | scales.CAPACITY_GPU),
    'paper': LARGE | dict(
        points=tuple(('bioS', n, width, 1) for n in (50_000, 100_000, 200_000)
                     for width in (64, 128, 192, 256, 768)),
        common=scales.PAPER_POOLS | scales.CAPACITY_PAPER),
}
POINT = ['world', 'n_people', 'width', 'exposures']


def runs(scale: str) -> list[Run]:
  """Every (world, people, width, exposures, learning rate, seed)."""
  s, out = pick(SCALES, scale), []
  for world, people, width, seeds in s['points']:
    config, name, biographies = WORLDS[world]
    for exposures, (rows, rates) in s['exposures'].items():
      batch = rows * (people // s.get('people_per_row', people))
      changes = {
          f'worlds.{name}.people': people, 'evals.bits.people': people,
          'model.width': width, 'model.heads': width // 64 or 2,
          'model.depth': 12 if width == 768 else 2, 'data.batch_size': batch,
          'steps': round(people * exposures / biographies / batch),
          'checkpoint.every': 10_000, 'log.every': 500}
      out += [Run(config, changes | s['common'] | scales.seeds(seed) | {
          'optim.learning_rate': rate}, dict(zip(POINT, (
              world, people, width, exposures))) | {
                  'learning_rate': rate, 'seed': seed})
              for rate in rates for seed in range(seeds)]
  return out


def table(records):
  """A row a run. `best`: of the learning rates of a point, the one with the
  highest mean R; `peak`: of the points with the same exposures, the one with
  the highest mean R; `regime`, of points with three seeds."""
  df = results.capacity(records)
  best = results.best_by(df, POINT, 'learning_rate', R)
  peak = results.best_by(best, ['world', 'exposures'], ['n_people', 'width'], R)
  df['best'], df['peak'] = (df.run.isin(x.run) for x in (best, peak))
  enough = df.groupby(POINT).seed.transform('nunique') >= claims.MIN_SEEDS
  df['regime'] = ''
  df.loc[enough & (df[f'{R}_max'] <= 1.8), 'regime'] = 'unsaturated'
  df.loc[enough & (df[f'{R}_max'] > 2), 'regime'] = 'saturated'
  return df


def summary(df):
  """R and R_max of every point, at its best learning rate."""
  return results.summarise(df[df.best], [*POINT, 'parameters', 'learning_rate'],
                           [R, f'{R}_max'])


def figure(df):
  """R against R_max: on the diagonal everything is memorised."""
  s = summary(df)
  s['r_max'], top = s[f'{R}_max_mean'], 1.3 * s[f'{R}_mean'].max() or 1
  fig, ((ax,),) = figures.grid(1, width=6.8, height=4.4)
  figures.diagonal(ax, top, 'R = R_max:\nall is memorised')
  lines = {e: f'{e:,} exposures' for e in sorted(set(s.exposures))}
  figures.curves(ax, s, 'r_max', 'exposures', R, lines, band=False)
  for i, e in enumerate(lines):
    figures.level(ax, PAPER.get(e), color=figures.colour(e, i),
                  label=f'paper: peak R at least {PAPER.get(e)}')
  ax.set(xlim=(0, 1.1 * s.r_max.max()), ylim=(0, top))
  figures.legend(ax, loc='lower right', ncols=2)
  figures.labels(ax, 'R_max: bits in the training data per parameter',
                 'R: bits stored per parameter')
  figures.finish(
      fig, f'Capacity ratio of models trained on {" and ".join(set(s.world))}',
      f'{figures.seeds_note(s)}, best learning rate of each point;  '
      f'{s.parameters.min():,} to {s.parameters.max():,} parameters')
  return fig


def _at(exposures: int, **more) -> dict:
  return {'exposures': exposures, 'best': True} | more


R, ROOM = 'bits_per_param', dict(regime='unsaturated')
BITS = dict(column=R, unit='bits/param')
CLAIMS = (
    Claim('bios_peak_1000', 'bioS, 1,000 exposures: peak R is at least 2',
          'Part 3.3, Result 1(a)', 'at least 2',
          (_at(1000, peak=True, world='bioS'),), at_least(2),
          decided_by='the gpu scale: 48 runs of at most ten minutes', **BITS),
    Claim('biod_peak_1000', 'bioD, 1,000 exposures: peak R is at least 2',
          'Part 3.3, Result 3', 'at least 2',
          (_at(1000, peak=True, world='bioD'),), at_least(2), headline=True,
          decided_by='some 12 seeds, seven core-minutes each', **BITS),
    Claim('unsaturated_memorised', '1,000 exposures, R_max at most 1.8: R is '
          'at least 95 % of R_max', 'Part 3.3, Result 1(b)', 'R = R_max nearly',
          (_at(1000, **ROOM), _at(1000, column=f'{R}_max', **ROOM)),
          ratio_between(0.95), **BITS),
    Claim('frozen_texts', 'bioS simple (one frozen text a person), bioR (texts '
          'by a language model): peak R is at least 1.7', 'Part 3.3, Result 2',
          'about 2', tuple((_at(1000, peak=True, world=w),) for w in (
              'bioS simple', 'bioR')), at_least(1.7),
          decided_by='texts by a language model, which are not here', **BITS),
    Claim('peak_100', '100 exposures: peak R is at least 1',
          'Part 3.3, Result 4', 'at least 1', (_at(100, peak=True),),
          at_least(1),
          decided_by='some six seeds, two core-minutes each', **BITS),
    Claim('exposures_double', 'Saturated models (R_max > 2): R at 1,000 '
          'exposures is 1.5 to 3 times R at 100', 'Part 3.3, Results 1 and 4',
          '2 times', tuple(_at(e, regime='saturated') for e in (1000, 100)),
          ratio_between(1.5, 3), headline=True, **BITS),
)
