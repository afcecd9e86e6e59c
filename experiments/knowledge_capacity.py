"""How many bits of knowledge does a model store per parameter?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Results 1 to 4. The capacity ratio
R is the bits that a model stores (evals/knowledge_bits.py) per parameter, R_max
that of perfect memory. Paper (bioS of 10,000 to 10 million people, models of 1M
to 500M parameters): 1,000 exposures: peak R at least 2, and R = R_max nearly
where R_max is at most 1.8; the same in bioD. 100 exposures: peak R at least 1.

  python -m physics_lm.launch experiments/knowledge_capacity.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_capacity.py --scale=cpu

Predicted (settings: seed 7), peak R at 1,000 exposures with 8, 13, 24, 38, 75,
261 thousand parameters 2.3 (terms below 0 counted: 2.1), 2.65, 2.7, 2.85, 2.85,
2.17 (of 2.2; rate untuned above 38); exponent 1.07; at 100 1.5, 1.9 with 13,
2.4 from 125 (964: 1.45 of 1.5), 1.1. bioD, values in a fixed order, Muon.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, at_least, equals, ratio_between
from physics_lm.configs import biod, bios_bits, scales
from physics_lm.sweep import Run, pick

R, FULL_R, R_MAX = 'bits_per_param', 'unclipped_per_param', (1.5, 2.2, 3.2)
SEEDS = {(1000, 96): {2.2: 3}, (100, 96): {3.2: 3}, (100, 192): {1.5: 1}}
POINT = ['world', 'n_people', 'width', 'exposures']
BIOS = {100: (5e-4, 1e-3, 2e-3), 1000: (1e-3,)}  # exposures: learning rates
FAST = 0.016  # best up to width 32 after 1,000 exposures (seed 7, LOG 171)
SCALES = {  # bioD: {exposures: {width: seeds}}; bioS: people, widths, seeds
    'smoke': dict(biod={4: {16: 1}}, share=0.05, common={'steps': 8}),
    'cpu': dict(biod={1000: {12: 6} | dict.fromkeys((16, 24, 32), 3),
                      100: dict.fromkeys((12, 16, 24, 32, 48), 3)}),
    'day': dict(biod={100: dict.fromkeys((192, 96, 48, 32, 24, 16, 12), 3),
                      1000: {12: 6} | dict.fromkeys((96, 48, 32, 24, 16), 3)}),
    'gpu': dict(bios=((10_000, 20_000), (64, 128), range(3)),
                common=scales.PAPER_POOLS | scales.CAPACITY_GPU),
    'paper': dict(common=scales.PAPER_POOLS | scales.CAPACITY_PAPER, bios=(
        (50_000, 100_000, 200_000), (64, 128, 192, 256, 768), (0,)))}


def runs(scale: str) -> list[Run]:
  """Every (exposures, width, people, seed), of bioS at every learning rate."""
  s, out = pick(SCALES, scale), []
  more = s.get('common', {})
  for e, widths in s.get('biod', {}).items():
    for w, r_max in ((w, r_max) for w in widths for r_max in R_MAX):
      n = round(s.get('share', 1) * biod.compact_people(w, r_max))
      seeds = SEEDS.get((e, w), {r_max: widths[w]}).get(r_max, 0)
      rate = FAST if e == 1000 and w < 48 else biod.COMPACT_RATES['muon']
      out += [_run('configs/biod.py:compact', biod.compact_run(n, e, w) | more,
                   rate, seed, 'bioD', n, w, e) for seed in range(seeds)]
  people, widths, seeds = s.get('bios', ((),) * 3)
  return out + [
      _run('configs/bios_bits.py', bios_bits.run_of(n, e, w) | more, rate, seed,
           'bioS', n, w, e) for n in people for w in widths for seed in seeds
      for e, rates in BIOS.items() for rate in rates]


def _run(file: str, changes: dict, rate: float, seed: int, *point) -> Run:
  return Run(file, changes | scales.seeds(seed) | {'optim.learning_rate': rate},
             dict(zip(POINT, point)) | {'learning_rate': rate, 'seed': seed})


def table(records):
  """A row a run. `best`: of a point's learning rates that with the highest mean
  R; `peak`: of a size's people likewise; `lowest`: of the sizes that with the
  lowest peak; `memorisable`: R_max at most 1.8 (both: with three seeds)."""
  df = results.capacity(records)
  df[FULL_R] = df.bits_unclipped / df.parameters  # terms below 0 are not 0
  best = results.best_by(df, POINT, 'learning_rate', R)
  enough = best.groupby(POINT).seed.transform('nunique') >= claims.MIN_SEEDS
  peak = results.best_by(best, ['world', 'width', 'exposures'], 'n_people', R)
  lowest = results.best_by(peak[enough[peak.index]], [
      'world', 'exposures'], 'width', FULL_R, lowest=True)
  free = best[enough & (best[f'{R}_max'] <= 1.8)]
  return df.assign(**{name: df.index.isin(rows.index) for name, rows in dict(
      best=best, peak=peak, lowest=lowest, memorisable=free).items()})


def measures(df):
  """The exponent of bits in parameters over the sizes at the last R_MAX."""
  full = df[df.best & df.world.eq('bioD') & (df[f'{R}_max'] > 3)]
  return {f'exponent_{e}': claims.exponent(rows.parameters, rows.bits)
          for e, rows in full.groupby('exposures') if rows.width.nunique() > 2}


def summary(df):
  """R, R_max and bits of every point, at its best learning rate."""
  return results.summarise(df[df.best], [
      *POINT, 'parameters', 'learning_rate', 'peak'], [R, f'{R}_max', 'bits'])


def figure(df):
  """Bits against parameters; R against R_max."""
  s, fits = summary(df), measures(df)
  fig, ((left, right),) = figures.grid(2, height=4.2)
  names = {e: f'{e:,} exposures' + (f', exponent {fit.value:.2f}' if (fit := (
      fits.get(f'exponent_{e}'))) else '') for e in sorted({*s.exposures})}
  sizes = s.parameters.agg(['min', 'max']) * [0.7, 1.4]
  for bits in (1, 2):
    left.plot(sizes, bits * sizes, ':', color=figures.INK, linewidth=0.9)
    figures.level(right, bits, text := f'{bits} bit{"s"[:bits - 1]}')
    left.text(sizes['max'], bits * sizes['max'], f' {text}/parameter', size=8)
  top, order = s[f'{R}_max_mean'], sorted({*s.parameters})
  lone = top.groupby([s.width, s.exposures]).transform('max') < 0.8 * top.max()
  figures.curves(left, s[s.peak & ~lone], 'parameters', 'exposures', 'bits',
                 names, False)
  figures.legend(left), figures.labels(left, 'parameters', 'bits stored')
  right.hlines(top, top - 0.2, top + 0.2, color=figures.INK, linewidth=0.8)
  for (e, n, few), rows in s.groupby(['exposures', 'parameters', lone]):
    dot = dict(color=(colour := figures.COLOURS[[*names].index(e)]), zorder=4,
               fillstyle='none' if few else 'full')
    left.loglog(rows.parameters, rows.bits_mean, 'o', markersize=4, **dot)
    figures.scatter(right, rows, f'{R}_max', R, **dot, shift=0.05 * (
        order.index(n) - len(order) / 2 + 0.5))
    for bits, x, k in zip(rows.bits_mean, top[rows.index], rows.n_seeds):
      left.text(n, bits / 1.25, f'R_max {x:.1f} only, n = {k}' if few else '',
                size=8, va='top', color=colour)
  right.set_xticks(sorted({*top.round(1)}))
  figures.labels(right, 'R_max (lines); models by size', 'R, bits/parameter')
  figures.finish(fig, f'Knowledge capacity, {", ".join(sorted({*s.world}))}', (
      f'{figures.seeds_note(s)};  lines: R_max 3.2;  dotted: peaks of the paper'
      f'\ndots: fewer people; right: {order[0]:,} to {order[-1]:,} parameters'))
  return fig


LOW = {(w, e): dict(world=w, exposures=e, best=True, lowest=True)
       for w in ('bioD', 'bioS') for e in (100, 1000)}
BITS = dict(column=FULL_R, unit='bits/param')
CLAIMS = (
    Claim('bios_peak_1000', 'bioS, 1,000 exposures: peak R is at least 2 at '
          'every size', 'Part 3.3, Result 1(a)', 'at least 2',
          (LOW['bioS', 1000],), at_least(2), **BITS, decided_by='the gpu '
          'scale: 48 runs of at most ten minutes (smaller: capacity_bios)'),
    Claim('biod_peak_1000', 'bioD, 1,000 exposures: peak R is at least 2 at '
          'every size, negative terms included', 'Part 3.3, Result 3', 'at '
          'least 2', (LOW['bioD', 1000],), at_least(2), headline=True, **BITS),
    Claim('unsaturated_memorised', '1,000 exposures, R_max at most 1.8: R is '
          'at least 95 % of R_max', 'Part 3.3, Result 1(b)', 'R = R_max nearly',
          tuple(dict(world='bioD', exposures=1000, memorisable=True, column=c)
                for c in (R, f'{R}_max')), ratio_between(0.95), **BITS),
    Claim('peak_100', 'bioD, 100 exposures: peak R is at least 1 at every size',
          'Part 3.3, Result 4', 'at least 1', (LOW['bioD', 100],), at_least(1),
          **BITS),
    *(Claim(f'exponent_{e}', f'bioD, {e:,} exposures, R_max 3.2: bits grow in '
            'proportion to parameters (exponent 1, within 0.1)',
            f'Part 3.3, Result {n}', 'proportional', (
                {'measure': f'exponent_{e}'},), equals(1, 0.1), unit='',
            decided_by=f'three seeds of {more} core-hours')
      for e, n, more in ((1000, 3, '261 thousand parameters: 4.5'),
                         (100, 4, '964 thousand parameters: 6'))))
