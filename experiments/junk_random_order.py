"""Do junk and tags act as in the paper where training is the paper's?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Results 10 to 12: with 7/8 junk
(texts about people who hardly ever occur twice) a model stores a twentieth of
the useful people after 100 exposures, with a domain tag before the useful texts
half, and as much as without junk if the junk is about few people (repetitive:
there 1,000; here one for 14 or, nearer to the paper, one for 100 useful ones).
The paper trains with AdamW on sentences in random order, at all sizes.
junk_data_domain_tags.py has Muon and a fixed order, which learn faster: junk
then costs a factor of 6 to 7. Here the paper's order and optimizer, over sizes.

  python -m physics_lm.launch experiments/junk_random_order.py --scale=cpu
  python -m physics_lm.report experiments/junk_random_order.py --scale=cpu

Predicted at `cpu` from seed 7, not reported, percent of R without junk, 13, 24,
38 thousand parameters: junk 3.7 (known), 3.3, 3; tag 46, 50, 46. R without junk
1.14 (known), 1.32, 1.3. Rates: the best of two or more of each variant and size
on that seed. Repetitive junk, the smallest size, known: 71, with one person for
100 useful ones 86.

The term of R for the list of values (evals/knowledge_bits.py), at most 0 here,
since all possible values occur, counts as 0; `of_clean_all_terms`: with it.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, at_most, between, greater
from physics_lm.configs import scales, source_tags
from physics_lm.sweep import Run, pick

SHARED = ('junk_learning_speed',)  # the smallest size, without tags
LABELS = {'clean': 'no junk', 'junk': '7/8 junk',
          'tagged': '7/8 junk, tag on useful',
          **{v: f'7/8 repetitive junk, 1 for {n}'
             for v, n in source_tags.REPETITIVE.items()}}
PAPER = {'junk': 5, 'tag': 50, 'repetitive': 100}  # % of R without junk
# By variant and width: the best rate on seed 7, not reported.
RATES = {'clean': {16: 8e-3, 24: 8e-3, 32: 4e-3},
         'junk': {16: 4e-3, 24: 4e-3, 32: 2e-3},
         'tagged': {16: 8e-3, 24: 4e-3, 32: 2e-3}, 'repetitive': {16: 8e-3},
         'repetitive_100': {16: 8e-3}}
SCALES = {
    'smoke': dict(widths=(16,), exposures=4, people=28, seeds=1),
    'cpu': dict(widths=(16, 24, 32), exposures=100, seeds=5)}


def runs(scale: str) -> list[Run]:
  """Every (width, variant, seed)."""
  s = pick(SCALES, scale)
  return [Run('configs/source_tags.py:compact', source_tags.compact_run(
      s.get('people', source_tags.COMPACT_PEOPLE[w]), s['exposures'], w,
      variant, 'random', 'adamw') | scales.seeds(seed) | {
          'optim.learning_rate': RATES[variant][w]},
              dict(variant=variant, width=w, exposures=s['exposures'],
                   seed=seed))
          for w in s['widths'] for variant in LABELS if w in RATES[variant]
          for seed in range(s['seeds'])]


def table(records):
  """A row a run: R of the useful people, after the tag where training had it;
  of_clean: in percent of the same size's and seed's without junk."""
  df, tag = (results.capacity(records, name, ('useful', 'tagged'))
             for name in ('bits', 'tagged'))
  tagged = df.variant == 'tagged'
  df.loc[tagged, list(results.CAPACITY_COLUMNS)] = tag
  for name, bits in results.OF_CLEAN.items():
    df[name] = results.percent_of(
        df, bits, df.variant == 'clean', ['width', 'seed'])
  return df


def summary(df):
  """R and R_max of the useful people, in percent of no junk."""
  return results.summarise(df, [
      'variant', 'width', 'parameters', 'exposures', 'n_items'], [
          R, f'{R}_max', *results.OF_CLEAN])


def figure(df):
  """R by size, and in percent of R without junk."""
  s = summary(df)
  fig, ((left, right),) = figures.grid(2, width=4.4)
  figures.curves(left, s, 'parameters', 'variant', R, LABELS, False)
  rows = s[s.variant != 'clean']
  figures.curves(right, rows, 'parameters', 'variant', 'of_clean', LABELS,
                 False)
  for name, value in PAPER.items():
    figures.level(right, value, f'paper,\n{name}: {value} %')
  for ax in (left, right):
    figures.log_ticks(ax, s.parameters.unique())
  left.set_ylim(0, 2), figures.percent_axis(right)
  figures.labels(left, 'parameters', 'bits of useful people per parameter (R)')
  figures.labels(right, 'parameters', 'R, % of R without junk')
  figures.legend(left, loc='upper left', ncols=2)
  figures.finish(
      fig, 'Junk, repetitive junk and domain tags: random order and AdamW',
      f'{figures.seeds_note(s)};  {s.exposures.max()} exposures of each useful '
      'person;  1 for n:\none person of the junk for n useful people')
  return fig


R, SIZES = 'bits_per_param', SCALES['cpu']['widths']
CELLS = {v: tuple({'variant': v, 'width': w} for w in SIZES if w in RATES[v])
         for v in LABELS}
HERE = 'Random order, AdamW, 7/8 junk'
CLAIMS = (
    Claim('junk_costs', f'{HERE}: R is at most 10 % of R without junk',
          'Part 3.3, Result 10', '5 %', tuple((c,) for c in CELLS['junk']),
          at_most(10), column='of_clean', headline=True),
    Claim('tag_restores', f'{HERE}, tag: R is 40 to 60 % of R without junk',
          'Part 3.3, Result 12', '50 %', tuple((c,) for c in CELLS['tagged']),
          between(40, 60), column='of_clean'),
    Claim('tag_helps', f'{HERE}: R with tag > without', 'Part 3.3, Result 12',
          '2 instead of 20 times less', tuple(zip(
              CELLS['tagged'], CELLS['junk'])), greater(), paper_effect=0.45,
          column=R, unit='bits/param'),
    Claim('repetitive_free', 'Random order, AdamW, 7/8 repetitive junk, one '
          'person for 100 useful ones: R is at least 90 % of R without junk',
          'Part 3.3, Result 11', '100 %',
          (CELLS['repetitive_100'],), at_least(90), column='of_clean',
          decided_by='20 more seeds, 40 core-minutes'),
    Claim('fewer_repetitive', 'Random order, AdamW, 7/8 repetitive junk: R with'
          ' one person of it for 100 useful ones > with one for 14', 'ours',
          '—', (CELLS['repetitive_100'] + CELLS['repetitive'],),
          greater(), column=R, unit='bits/param'),
)
