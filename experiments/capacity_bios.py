"""How many bits of biographies in English does a parameter store?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Results 1 and 2. Paper, 1,000
exposures: in bioS, whose texts have new templates and orders at each exposure,
peak R is at least 2 bits per parameter from 1M to 500M parameters; in bioS
simple, one frozen text per person, and bioR, texts by a language model, about
2. knowledge_capacity has R at many sizes of bioD, which has no words to learn.

  python -m physics_lm.launch experiments/capacity_bios.py --scale=cpu
  python -m physics_lm.report experiments/capacity_bios.py --scale=cpu

Seen on seed 7, not reported, width 16 (20 thousand parameters), R_max 3.2:
1.90 at rate 8e-3, 1.93 at 1.6e-2; frozen texts, R_max 2.2: 1.88. Predicted at
`cpu`, R_max 3.2: 1.7 with 14 thousand parameters, 1.93 with 20, 2.1 with 36,
2.2 with 53; 1.35 and 1.75 of R_max 1.5 and 2.2; frozen texts 2.15, since there
is less else to learn.
Deviations at `cpu`: the compact world, where a name, a value or the words
between are a token of 867, half or more of the parameters; 27 tokens per text;
Muon; one learning rate; people by R_max.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, at_least, ratio_between
from physics_lm.configs import bios_bits, scales
from physics_lm.sweep import Run, pick

TEXTS = {'new': 'bioS: new templates and orders at each exposure',
         'frozen': 'bioS simple: one frozen text per person'}
VARIANTS = {'new': 'multi1000_permute', 'frozen': 'single'}
POINT = ['texts', 'width', 'r_max', 'exposures']
EXPOSURES, R = 1000, 'bits_per_param'
SCALES = {  # points: (texts, width, R_max)
    'smoke': dict(points=(('new', 12, 0.05), ('frozen', 12, 0.05)), seeds=1,
                  exposures=4, common={'optim.warmup_steps': 1}),
    'cpu': dict(seeds=3, exposures=EXPOSURES, common={}, points=(
        *(('new', 16, r_max) for r_max in (1.5, 2.2, 3.2)), ('new', 12, 3.2),
        ('frozen', 16, 3.2), ('new', 24, 3.2), ('new', 32, 3.2)))}


def runs(scale: str) -> list[Run]:
  """Every (point, seed)."""
  s = pick(SCALES, scale)
  return [Run('configs/bios_bits.py:compact', bios_bits.compact_run(
      bios_bits.compact_people(width, r_max), s['exposures'], width,
      VARIANTS[texts]) | s['common'] | scales.seeds(seed), dict(
          zip(POINT, (texts, width, r_max, s['exposures'])), seed=seed))
          for texts, width, r_max in s['points'] for seed in range(s['seeds'])]


def table(records):
  """A row a run. `full`: of the runs with the greatest R_max; `lowest`: of the
  sizes of `texts` that with the lowest mean R among those."""
  df = results.capacity(records)
  full = df[df.r_max == df.r_max.max()]
  lowest = results.best_by(full, ['texts'], 'width', R, lowest=True)
  return df.assign(full=df.index.isin(full.index),
                   lowest=df.index.isin(lowest.index))


def measures(df):
  """The exponent of bits in parameters at the greatest R_max."""
  rows = df[df.full & df.texts.eq('new')]
  return {'exponent': claims.exponent(rows.parameters, rows.bits)
          } if rows.width.nunique() > 2 else {}


def summary(df):
  """R, R_max and bits of every point."""
  return results.summarise(df, [*POINT, 'n_items', 'parameters', 'full'],
                           [R, f'{R}_max', 'bits'])


def figure(df):
  """R against parameters; R against R_max at one size."""
  s = summary(df)
  fig, ((left, right),) = figures.grid(2, height=3.9, width=4.8)
  figures.curves(left, s[s.full], 'parameters', 'texts', R, TEXTS)
  left.set(xscale='log')
  sizes = sorted(set(s.parameters))
  left.set_xticks(sizes, [f'{p / 1000:.0f}' for p in sizes])
  left.minorticks_off()
  figures.legend(left, loc='lower right')
  figures.labels(left, 'parameters, thousands', 'R: bits stored per parameter',
                 'with people for R_max 3.2')
  figures.diagonal(right, s[f'{R}_max_mean'].max(), 'R_max')
  swept = s.width.isin(s[s.r_max != s.r_max.max()].width)
  for k, texts in enumerate(TEXTS):
    rows = s[swept & s.texts.eq(texts)]
    figures.scatter(right, rows, f'{R}_max', R, TEXTS[texts], k)
  figures.labels(right, 'R_max: bits in the data per parameter',
                 'R: bits stored per parameter', 'by number of people, '
                 f'{s[swept].parameters.max():,} parameters')
  for ax in (left, right):
    figures.level(ax, 2, '2 bits')
    ax.set_ylim(0, 1.2 * max(2, s[f'{R}_mean'].max()))
  figures.finish(fig, 'Knowledge capacity of biographies in English', (
      f'{figures.seeds_note(s)};  {s.exposures.max():,} exposures of each '
      'person;  dotted: 2 bits per parameter, the paper\'s peak is at least '
      'that'))
  return fig


def _low(texts: str) -> tuple:
  return {'texts': texts, 'exposures': EXPOSURES, 'lowest': True},


BITS = dict(column=R, unit='bits/param')
LARGEST = {'texts': 'new', 'exposures': EXPOSURES, 'width': 32, 'full': True}
CLAIMS = (
    Claim('bios_every_size', 'bioS, 1,000 exposures, R_max 3.2: R is at least '
          '2 at all four sizes', 'Part 3.3, Result 1(a)', 'at least 2',
          _low('new'), at_least(2), headline=True, **BITS),
    Claim('bios_largest', 'bioS, 1,000 exposures, R_max 3.2, 53 thousand '
          'parameters: R is at least 2', 'Part 3.3, Result 1(a)', 'at least 2',
          (LARGEST,), at_least(2), **BITS),
    Claim('frozen_texts', 'bioS simple (one frozen text per person), 1,000 '
          'exposures, R_max 3.2: R is at least 1.7', 'Part 3.3, Result 2',
          'about 2', _low('frozen'), at_least(1.7), **BITS),
    Claim('frozen_as_new', '20 thousand parameters, R_max 3.2: R of bioS '
          'simple is 0.9 to 1.1 times that of bioS', 'Part 3.3, Result 2',
          'equal',
          tuple({'texts': t, 'width': 16, 'r_max': 3.2} for t in (
              'frozen', 'new')), ratio_between(0.9, 1.1), **BITS),
    Claim('rewritten_texts', 'bioR (texts by a language model): peak R is at '
          'least 1.7', 'Part 3.3, Result 2', 'about 2', _low('rewritten'),
          at_least(1.7), decided_by='texts by a language model, and then '
          'three runs of two core-minutes', **BITS),
)
