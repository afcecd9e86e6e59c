"""What do junk data cost, and what does a domain tag give back?

Part 3.3 (arXiv 2404.05405), Results 10 to 12: some biographies are useful, the
others junk of the same form. R counts bits of the useful; the reference is 100
exposures without junk. Paper (7/8 junk): unique junk costs a factor of 20, 3,
1.5, 1.3 at 100, 300, 600, 1,000 exposures; repetitive junk (1,000 people) none
at 100; with a domain tag before useful texts 2, (300) none.

  python -m physics_lm.launch experiments/junk_data_domain_tags.py --scale=cpu
  python -m physics_lm.report experiments/junk_data_domain_tags.py --scale=cpu

Predicted R at width 32, 100 exposures: clean 2.1; junk 1/2, 3/4, 7/8 1.1, 0.6,
0.05; tag at 1/2, 7/8 2.0, 1.5; tag on 1/8, 1/4, 1/2, 3/4 of useful texts 0.1,
0.4, 0.8, 1.2, on as much junk 1; repetitive junk 1.4. 300, 1,000 exposures 0.5,
1, tag 2.0, 2.4, clean 2.5. Tag at widths 16, 24, 32 40, 45, 50 % of clean; nine
seeds (five known) 73, 65, 51. Compact bioD, Muon, 8e-3 (junk_learning_rate.py).
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, at_most, descending, greater
from physics_lm.configs import scales, source_tags
from physics_lm.sweep import Run, pick

PEOPLE = source_tags.COMPACT_PEOPLE
PARTS = ('tag_eighth', 'tag_quarter', 'tag_half', 'tag_most')  # of useful texts
LINES = dict(junk_half='junk', junk_3_quarters='junk') | dict.fromkeys(
    (*PARTS, 'tagged_junk_half'), 'tagged')  # variant: line of the figure
LABELS = {'clean': 'no junk', 'junk': 'junk', 'tagged': 'junk, tag on useful',
          'repetitive': 'repetitive junk', 'tag_on_junk': 'tag on junk too'}
COST = {100: 20, 300: 3, 600: 1.5, 1000: 1.3}  # R of the reference over R
PAPER = dict(tagged={100: 50, 300: 100}, junk={e: 100 / COST[e] for e in COST})
R, MAIN, SIZES = 'bits_per_param', ('clean', 'junk', 'tagged'), (16, 24, 32)
CPU = ((16, 100, MAIN, 11), (24, 100, MAIN, 11), (32, 100, MAIN[::2], 11), (
    32, 100, ('junk', 'tag_half'), 5), (32, 300, ('tagged',), 5), (
        32, 300, ('junk',), 3), (32, 100, ('repetitive', *list(LINES)[:2]), 3))
SCALES = {  # points: width, exposures, variants, seeds
    'smoke': dict(points=[(16, 4, ('clean', 'tag_on_junk'), 1)], people=20),
    'cpu': dict(points=CPU),
    'day': dict(points=(*CPU, (32, 1000, MAIN, 3), (
        32, 100, ('tag_eighth', 'tag_quarter', 'tag_most'), 5), (
            32, 100, ('tag_on_junk', 'tagged_junk_half'), 3))),
    'gpu': dict(points=[(128, 100, (*LABELS, *LINES), 3),
                        (128, 300, MAIN[1:], 3)]),
    'paper': dict(points=[(128, e, MAIN[e > 100:], 1) for e in COST])}


def runs(scale: str) -> list[Run]:
  """Every (width, exposures, variant, seed)."""
  s = pick(SCALES, scale)
  return [Run('configs/source_tags.py:compact', source_tags.compact_run(
      s.get('people', PEOPLE[w]), e, w, variant) | scales.seeds(seed),
              dict(variant=variant, width=w, exposures=e, seed=seed))
          for w, e, variants, seeds in s['points'] for variant in variants
          for seed in range(seeds) if seed != 7]  # which chose the rate


def table(records):
  """R of the useful people, with the tag where training had it, and both ways;
  of_clean: % of R without junk, same size and seed, after 100 exposures."""
  df, tag = (results.capacity(records, name, ('useful', 'tagged'))
             for name in ('bits', 'tagged'))
  df['width'] = [r['overrides']['model.width'] for r in records]
  df['junk_share'], df['tag_share'], _ = zip(*map(
      source_tags.COMPACT.get, df.variant))
  df[f'{R}_no_tag'], df[f'{R}_tag'] = df[R], tag[R]
  df.loc[df.tag_share > 0, list(results.CAPACITY_COLUMNS)] = tag
  df['main'] = df.width == df.width.mode().max()  # the size of most runs
  base = df[(df.variant == 'clean') & (df.exposures < 1000)].set_index(
      ['width', 'seed'])[R].rename('base')
  df['of_clean'] = 100 * df[R] / df.join(base, on=['width', 'seed']).base
  return df


def summary(df):
  """R and R_max of the useful people, in percent of no junk."""
  by = 'variant width exposures main parameters junk_share tag_share'.split()
  return results.summarise(df, by, [R, f'{R}_max', 'of_clean'])


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
    ax.set_ylim(0, 118), figures.labels(ax, label, 'R, % of R without junk')
  figures.legend(fig, handles=key.values(), ncols=5, loc='outside upper right')
  figures.finish(fig, 'What junk and domain tags leave of useful people', (
      f'7/8 junk, {early} exposures, {here.parameters.max():,} parameters if '
      f'not varied; {figures.seeds_note(s)};  diamonds: the paper'))
  return fig


def _at(variant: str, exposures: int = 100, **where) -> dict:
  return dict(variant=variant, exposures=exposures, **where or {'main': True})


def _of_clean(id, what, result: int, paper: str, cell, rule, **more):
  return Claim(id, f'{what} of R without junk', f'Part 3.3, Result {result}',
               paper, (cell,), rule, 'of_clean', **more,
               post_hoc=id[-2:] in ('00', '16', '24'))


def _grow(id: str, what: str, *cells: dict, **more) -> Claim:
  return Claim(id, what, 'ours', 'not in the paper', descending(*cells),
               greater(), **more or BITS)


BITS = dict(column=R, unit='bits/param')
CLAIMS = (
    *(_of_clean(f'junk_costs_{w}', f'Width {w}, 7/8 junk: R is at most 10 %',
                10, '5 %', _at('junk', width=w), at_most(10),
                headline=w == 16) for w in (*SIZES, 128)),
    _grow('junk_share', 'R: no junk > 1/2 > 3/4 > 7/8 junk', *map(_at, (
        'clean', 'junk_half', 'junk_3_quarters', 'junk'))),
    *(Claim(f'junk_{e}', f'7/8 junk: R at {e:,} exposures > R at {less}',
            'Part 3.3, Result 10', f'factor {COST[e]}, not {COST[less]}',
            (_at('junk', e), _at('junk', less)), greater(), **BITS,
            paper_effect=1 / COST[e] - 1 / COST[less], headline=e == 1000)
      for e, less in ((300, 100), (1000, 300))),
    _of_clean('repetitive_free', 'Repetitive junk: R is at least 90 %', 11,
              '100 %', _at('repetitive'), at_least(90), headline=True),
    *(_of_clean(f'tag_restores_{w}', f'Width {w}, 7/8 junk, tag: R is at '
                'least 60 %', 12, '50 %', _at('tagged', width=w),
                at_least(60)) for w in (*SIZES, 128)),
    *(_grow(f'{v}_by_size', f'One rate, 7/8 junk{t}, % of no junk: width 16 > '
            '24 > 32', *(_at(v, width=w) for w in SIZES), column='of_clean',
            post_hoc=True)
      for v, t in (('junk', ''), ('tagged', ', tag'))),
    *(_of_clean(f'tag_{e}', f'7/8 junk, tag, {e:,} exposures (no junk: 100): R '
                'is at least 80 %', 12, '100 %', _at('tagged', e), at_least(80))
      for e in (300, 1000)),
    *(Claim(f'tag_helps_{w}', f'7/8 junk, width {w}: R with tag > without',
            'Part 3.3, Result 12', '2 instead of 20 times less', tuple(_at(
                v, width=w) for v in ('tagged', 'junk')), greater(),
            paper_effect=0.45, **BITS) for w in (*SIZES, 128)),
    _grow('tag_share', 'R by useful texts with tag: all > 75 > 50 > 25 > 12.5 %'
          ' > none', *map(_at, ('tagged', *reversed(PARTS), 'junk'))),
    _grow('tag_precision', 'R, tag on useful > on useful and as much junk > '
          'on none', *map(_at, ('tagged', 'tag_on_junk', 'junk'))))
