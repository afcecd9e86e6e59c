"""What do junk data cost, and what does a domain tag give back?

Part 3.3 (arXiv 2404.05405), Results 10 to 12: texts on useful people, and junk.
R: bits on the useful, terms below 0 as 0 (of_clean_all_terms: as they are);
reference: 100 exposures without junk. Paper: 7/8 unique junk costs a factor of
20, 3, 1.5, 1.3 at 100, 300, 600, 1,000 exposures, repetitive (1,000 people) 1;
with a domain tag 2, (300 exposures) 1.

  python -m physics_lm.launch experiments/junk_data_domain_tags.py --scale=cpu
  python -m physics_lm.report experiments/junk_data_domain_tags.py --scale=cpu

Compact bioD, Muon. Predicted from one seed, % of R without junk, width 16: junk
1/2, 3/4, 7/8 52, 32, 15; tag at 1/2, 7/8 87, 73; tag on 1/8, 1/4, 1/2, 3/4 of
useful 18, 22, 45, 60, on as much junk 44; repetitive 68; 300, 1,000 exposures
50, 85, tag 101, 120. Widths 24, 32 (three seeds known) 18, 14, tag 76, 81.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, at_most, descending, greater
from physics_lm.configs import scales, source_tags
from physics_lm.sweep import Run, pick

SHARED = ('junk_learning_rate', 'junk_learning_speed')  # their records count
PARTS = ('tag_eighth', 'tag_quarter', 'tag_half', 'tag_most')  # of useful texts
LINES = dict(junk_half='junk', junk_3_quarters='junk') | dict.fromkeys(
    (*PARTS, 'tagged_junk_half'), 'tagged')  # variant: line of the figure
LABELS = {'clean': 'no junk', 'junk': 'junk', 'tagged': 'junk, tag on useful',
          'repetitive': 'repetitive junk', 'tag_on_junk': 'tag on junk too'}
COST = {100: 20, 300: 3, 600: 1.5, 1000: 1.3}  # R of the reference over R
PAPER = dict(tagged={100: 50, 300: 100}, junk={e: 100 / COST[e] for e in COST})
R, MAIN, SIZES = 'bits_per_param', ('clean', 'junk', 'tagged'), (16, 24, 32)
CPU = (*((w, 100, MAIN, 7) for w in SIZES), (16, 300, MAIN[1:], 5), (
    16, 100, ('repetitive', 'tag_on_junk', *LINES), 5))
RARE = 'junk', 'tagged', 'tag_on_junk', *PARTS  # where a lower rate is best,
LOWER = {'optim.learning_rate': source_tags.JUNK_RATE}  # on seed 7 (LOG 174)
SCALES = {  # points: width, exposures, variants, seeds
    'smoke': dict(points=[(16, 4, ('clean', 'tag_on_junk'), 1)], people=20),
    'cpu': dict(points=CPU),
    'day': dict(points=(*CPU, (16, 1000, MAIN, 3))),
    'gpu': dict(points=[(128, 100, (*LABELS, *LINES), 3),
                        (128, 300, MAIN[1:], 3)]),
    'paper': dict(points=[(128, e, MAIN[e > 100:], 1) for e in COST])}


def runs(scale: str) -> list[Run]:
  """Every (width, exposures, variant, seed)."""
  s = pick(SCALES, scale)
  return [Run('configs/source_tags.py:compact', source_tags.compact_run(
      s.get('people', source_tags.COMPACT_PEOPLE[w]), e, w, variant) | (
          scales.seeds(seed)) | (LOWER if variant in RARE else {}),
              dict(variant=variant, width=w, exposures=e, seed=seed))
          for w, e, variants, seeds in s['points'] for variant in variants
          for seed in range(seeds)]


def table(records):
  """R of the useful, with the tag where training had it, and both ways.
  of_clean: % of R without junk, same size and seed, after 100 exposures."""
  df, tag = (results.capacity(records, name, ('useful', 'tagged'))
             for name in ('bits', 'tagged'))
  df['junk_share'], df['tag_share'], _ = zip(*map(
      source_tags.COMPACT.get, df.variant))
  df[f'{R}_no_tag'], df[f'{R}_tag'] = df[R], tag[R]
  df.loc[df.tag_share > 0, list(results.CAPACITY_COLUMNS)] = tag
  df['main'] = df.width == df.width.mode().max()  # the size of most runs
  clean = (df.variant == 'clean') & (df.exposures < 1000)
  for name, bits in results.OF_CLEAN.items():
    df[name] = results.percent_of(df, bits, clean, ['width', 'seed'])
  return df


def summary(df):
  """R and R_max of the useful people, in percent of no junk."""
  by = 'variant width exposures main parameters junk_share tag_share'.split()
  return results.summarise(df, by, [R, f'{R}_max', *results.OF_CLEAN])


def figure(df):
  """R in percent of no junk by size, exposures, share of junk and of tags."""
  s = summary(df).assign(line=lambda r: r.variant.replace(LINES))
  early, key = s.exposures.min(), {}
  main, here = s[s.variant.isin(MAIN)], s[s.main & (s.exposures == early)]
  fig, axes = figures.grid(4, width=3.6, height=3.6, sharey=True)
  for ax, (x, label, rows) in zip(axes[0], (
      ('parameters', 'parameters', main[main.exposures == early]),
      ('exposures', 'exposures', main[main.main]),
      ('junk_share', 'share of junk', here[here.tag_share.isin([0, 1])]),
      ('tag_share', 'useful texts with tag', here[here.junk_share > 0.8]))):
    figures.curves(ax, rows, x, 'line', 'of_clean', LABELS, False,
                   PAPER if x == 'exposures' else None)
    key |= dict(zip(*ax.get_legend_handles_labels()[::-1]))
    if rows[x].max() > 1:
      figures.log_ticks(ax, rows[x].unique())
    ax.set_ylim(0, 130), figures.labels(ax, label, 'R, % of R without junk')
  figures.legend(fig, handles=key.values(), ncols=5, loc='outside upper right')
  figures.finish(fig, 'What junk and domain tags leave of useful people', (
      f'7/8 junk, {early} exposures, {here.parameters.max():,} parameters if '
      f'not varied; 100 %: no junk, {early} exposures; {figures.seeds_note(s)}'
      ';  diamonds: the paper'))
  return fig


def _at(variant: str, exposures: int = 100, **where) -> dict:
  return dict(variant=variant, exposures=exposures, **where or {'main': True})


def _cases(widths, *variants: str) -> tuple:
  return tuple([tuple(_at(v, width=w) for v in variants) for w in widths])


def _of_clean(id, what, result, paper, cells, rule, **more):
  return Claim(id, f'{what} of R without junk', f'Part 3.3, Result {result}',
               paper, cells, rule, 'of_clean', **more)


def _grow(id: str, what: str, *cells: dict) -> Claim:
  return Claim(id, what, 'ours', '—', descending(*cells), greater(), **BITS)


BITS = dict(column=R, unit='bits/param')
GPU = dict(decided_by='the gpu scale: 42 runs, 12 minutes of an H200')
WHERE = (('', 'Three sizes', SIZES, dict(post_hoc=True)),  # five seeds known
         ('_128', 'Width 128', (128,), GPU))
CLAIMS = (
    *(_of_clean(f'junk_costs{i}', f'{at}, 7/8 junk: R is at most 10 %', 10,
                '5 %', _cases(w, 'junk'), at_most(10), headline=not i, **more)
      for i, at, w, more in WHERE),
    _grow('junk_share', 'R: no junk > 1/2 > 3/4 > 7/8 junk', *map(
        _at, ('clean', *list(LINES)[:2], 'junk'))),
    *(Claim(f'junk_{e}', f'7/8 junk: R at {e:,} exposures > R at {less}',
            'Part 3.3, Result 10', f'factor {COST[e]}, not {COST[less]}',
            (_at('junk', e), _at('junk', less)), greater(), **BITS,
            paper_effect=1 / COST[e] - 1 / COST[less])
      for e, less in ((300, 100), (1000, 300))),
    _of_clean('repetitive_free', 'Repetitive junk: R is at least 90 %', 11,
              '100 %', (_at('repetitive'),), at_least(90)),
    *(_of_clean(f'tag_restores{i}', f'{at}, 7/8 junk, tag: R is at least 60 %',
                12, '50 %', _cases(w, 'tagged'), at_least(60), headline=not i,
                **more) for i, at, w, more in WHERE),
    *(_of_clean(f'tag_{e}', f'7/8 junk, tag, {e:,} exposures (no junk: 100): R '
                'is at least 80 %', 12, '100 %', (_at('tagged', e),),
                at_least(80)) for e in (300, 1000)),
    *(Claim(f'tag_helps{i}', f'{at}, 7/8 junk: R with tag > without',
            'Part 3.3, Result 12', '2 instead of 20 times less',
            _cases(w, 'tagged', 'junk'), greater(), paper_effect=0.45, **BITS,
            **more) for i, at, w, more in WHERE),
    _grow('tag_share', 'R by useful texts with tag: all > 75 > 50 > 25 > 12.5 %'
          ' > none', *map(_at, ('tagged', *reversed(PARTS), 'junk'))),
    _grow('tag_precision', 'R, tag on useful > on useful and as much junk > '
          'on none', *map(_at, ('tagged', 'tag_on_junk', 'junk'))))
