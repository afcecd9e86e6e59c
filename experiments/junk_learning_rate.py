"""Does what junk data cost, and what a tag restores, depend on learning rate?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Results 10 and 12: 7/8 junk texts
cost a factor of 20 at 100 exposures; with a domain tag before useful texts 2.
The paper tunes the rate. At one rate for all, the best without junk, the tag
restores the less, the larger the model. Is that size, or a rate too high for
larger models when most texts cannot be learnt?

  python -m physics_lm.launch experiments/junk_learning_rate.py --scale=cpu
  python -m physics_lm.report experiments/junk_learning_rate.py --scale=cpu

Seen on seed 7, not reported, percent of R without junk at 8e-3 (best without
junk at each size): 13 thousand parameters, junk 16, 15, 2 at rates of 4e-3,
8e-3, 1.6e-2, tag 73, 71, 32; 24 thousand, junk 21, 5, 1; 38 thousand, junk 15,
2.5, 0.1, tag 83, 48, 23. Predicted for 13, 24, 38 thousand at 4e-3: junk 16,
20, 15, tag 73, 78, 83; at 2e-3, 38 thousand, junk 18, tag 80. Compact bioD,
Muon, R_max 2.6.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, descending, greater
from physics_lm.configs import scales, source_tags
from physics_lm.sweep import Run, pick

SHARED = ('junk_data_domain_tags',)  # its runs: its records count
PEOPLE = source_tags.COMPACT_PEOPLE
LABELS = {'clean': 'no junk', 'junk': '7/8 junk',
          'tagged': '7/8 junk, tag on useful texts'}
PAPER = {'junk': 5, 'tagged': 50}  # % of R without junk
WIDTHS, R = (32, 24, 16), 'bits_per_param'
USUAL, LOWER, LOWEST = 0.008, source_tags.JUNK_RATE, 0.002
SCALES = {  # seeds of each rate, below 7, which chose the rates
    'smoke': dict(widths=(16,), seeds={USUAL: 1, LOWER: 1}, people=20,
                  exposures=4),
    'cpu': dict(widths=WIDTHS, seeds={USUAL: 5, LOWER: 5, LOWEST: 3},
                exposures=100)}


def runs(scale: str) -> list[Run]:
  """Every (rate, width, variant, seed)."""
  s = pick(SCALES, scale)
  return [Run('configs/source_tags.py:compact', source_tags.compact_run(
      s.get('people', PEOPLE[w]), s['exposures'], w, variant)
              | scales.seeds(seed) | {'optim.learning_rate': rate},
              dict(variant=variant, width=w, rate=rate, seed=seed))
          for rate, seeds in s['seeds'].items() for w in s['widths']
          for variant in LABELS for seed in range(seeds)]


def table(records):
  """R of the useful people, with the tag where training had it; of_clean: in
  percent of R without junk at the usual rate, same size and seed."""
  df, tag = (results.capacity(records, name, ('useful', 'tagged'))
             for name in ('bits', 'tagged'))
  df.loc[df.variant == 'tagged', list(results.CAPACITY_COLUMNS)] = tag
  df['of_clean'] = results.percent_of(
      df, R, (df.variant == 'clean') & (df.rate == USUAL), ['width', 'seed'])
  return df


def summary(df):
  """R of the useful people, in percent of no junk, by size and rate."""
  return results.summarise(df, ['variant', 'width', 'parameters', 'rate'],
                           [R, f'{R}_max', 'of_clean'])


def figure(df):
  """A panel for each variant: percent of R without junk over learning rate, a
  line for each size."""
  s = summary(df)
  fig, axes = figures.grid(3, width=4, height=3.6, sharey=True)
  sizes = {p: f'{p:,} parameters' for p in sorted(set(s.parameters))}
  for ax, (variant, label) in zip(axes[0], LABELS.items()):
    figures.curves(ax, s[s.variant == variant], 'rate', 'parameters',
                   'of_clean', sizes, band=False)
    figures.log_ticks(ax, sorted(set(s.rate)))
    if variant in PAPER:
      figures.level(ax, PAPER[variant], 'paper')
    ax.set_ylim(0, 118)
    figures.labels(ax, 'learning rate', '', label)
  figures.labels(axes[0, 0], 'learning rate', 'R, % of R without junk at '
                 f'{USUAL:g}', LABELS['clean'])
  figures.legend(axes[0, 0], loc='lower right')
  figures.finish(fig, 'What junk and domain tags leave, by learning rate', (
      f'{figures.seeds_note(s)};  100 exposures of each useful person'))
  return fig


def _at(variant: str, width: int, rate: float = LOWER) -> dict:
  return dict(variant=variant, width=width, rate=rate)


OURS = dict(source='ours', paper='—', column='of_clean')
CLAIMS = (
    *(Claim(f'lower_rate_{v}', f'Width 32, {LABELS[v]}, % of no junk: rate '
            '0.004 > 0.008', cells=(_at(v, 32), _at(v, 32, USUAL)),
            rule=greater(), **OURS) for v in PAPER),
    Claim('size_at_best_rate', 'Each at its best rate, 7/8 junk, % of no junk: '
          'width 32 (0.002) > 16 (0.004)', cells=(
              _at('junk', 32, LOWEST), _at('junk', 16)), rule=greater(),
          post_hoc=True, **OURS),
    Claim('size_at_lower_rate', 'Rate 0.004, 7/8 junk, tag, % of no junk: '
          'width 32 > 24 > 16', cells=descending(*(
              _at('tagged', w) for w in WIDTHS)), rule=greater(),
          **OURS),
)
