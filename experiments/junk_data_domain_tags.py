"""What do junk data cost, and what does a domain tag give back?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Results 10 to 12: some biographies
are useful, the others junk of the same form. R counts bits of the useful; the
reference is 100 exposures without junk. Paper (7/8 junk): unique junk costs a
factor of 20, 3, 1.5, 1.3 at 100, 300, 600, 1,000 exposures; repetitive junk
(1,000 people) none at 100; with a domain tag before useful texts 2, (300) none.

  python -m physics_lm.launch experiments/junk_data_domain_tags.py --scale=cpu
  python -m physics_lm.report experiments/junk_data_domain_tags.py --scale=cpu

Predicted R at width 32, 100 exposures: clean 2.1; junk 1/2, 3/4, 7/8 1.1, 0.6,
0.05; tag at 1/2, 7/8 2.0, 1.5; tag on 1/8, 1/4, 1/2, 3/4 of useful texts 0.1,
0.4, 0.8, 1.2, on as much junk 1.0; repetitive junk 1.4. 7/8 junk at 300, 1,000
exposures 0.5, 1.0, with tag 2.0, 2.4; clean 2.5. Tag at widths 16 to 32 40, 45,
50 % of clean; ten seeds (five known) 73, 65, 51. Deviations: compact bioD (Muon,
fixed order, 8e-3 from seed 7, left out); a text a row; a fourteenth repetitive.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, at_most, descending, greater
from physics_lm.configs import scales, source_tags
from physics_lm.sweep import Run, pick

PEOPLE = {16: 500, 24: 900, 32: 1400, 64: 4700, 128: 16_500}  # width: R_max 2.6
SHARES = dict(tag_eighth='1/8', tag_quarter='1/4', tag_half='1/2', tag_most=
              '3/4')  # of useful texts that have the tag
LABELS = {'clean': 'no junk', 'repetitive': 'repetitive junk', 'junk_half':
          '1/2 junk', 'junk_3_quarters': '3/4 junk', 'junk': 'junk'} | {
    k: f'junk, tag on {v} of useful' for k, v in SHARES.items()} | {
    'tag_on_junk': 'junk, tag on useful and as much junk', 'tagged':
    'junk, tag on useful', 'tagged_junk_half': '1/2 junk, tag on useful'}
PAPER = {'repetitive': {100: 1}, 'tagged': {100: 2, 300: 1}, 'junk': {
    100: 20, 300: 3, 600: 1.5, 1000: 1.3}}  # R of the reference over R
MAIN, POINT = ('clean', 'junk', 'tagged'), ['variant', 'width', 'exposures']
CPU = ((16, 100, MAIN, 11), (24, 100, MAIN, 11), (32, 100, MAIN[::2], 11), (
    32, 100, ('junk', 'tag_half'), 5), (32, 300, ('tagged',), 5), (
        32, 300, ('junk',), 3), (32, 100, tuple(LABELS)[1:4], 3))
SCALES = {  # points: width, exposures, variants, seeds
    'smoke': dict(points=[(16, 4, ('clean', 'tag_on_junk'), 1)], people=20),
    'cpu': dict(points=CPU),
    'day': dict(points=(*CPU, (32, 100, (
        'tag_eighth', 'tag_quarter', 'tag_most'), 5), (32, 100, (
            'tag_on_junk', 'tagged_junk_half'), 3), (32, 1000, MAIN, 3))),
    'gpu': dict(points=((128, 100, tuple(LABELS), 3), (128, 300, MAIN[1:], 3))),
    'paper': dict(points=[(128, e, MAIN[e > 100:], 1) for e in PAPER['junk']])}


def runs(scale: str) -> list[Run]:
  """Every (width, exposures, variant, seed)."""
  s = pick(SCALES, scale)
  return [Run('configs/source_tags.py:compact', source_tags.compact_run(
      s.get('people', PEOPLE[width]), exposures, width, variant) | scales.seeds(
          seed), dict(zip(POINT, (variant, width, exposures)), seed=seed))
          for width, exposures, variants, seeds in s['points']
          for variant in variants for seed in range(seeds) if seed != 7]


def table(records):
  """R of the useful people, with the tag where training had it, and both ways;
  of_clean: % of R at 100 exposures without junk, same size and seed."""
  df, tag = (results.capacity(records, name, ('useful', 'tagged'))
             for name in ('bits', 'tagged'))
  df['width'] = [r['overrides']['model.width'] for r in records]
  df['tag_share'] = [source_tags.COMPACT[v][1] for v in df.variant]
  df[f'{R}_no_tag'], df[f'{R}_tag'] = df[R], tag[R]
  df.loc[df.tag_share > 0, list(results.CAPACITY_COLUMNS)] = tag
  df['main'] = df.width == df.width.mode().max()  # the size of most runs
  base = df[(df.variant == 'clean') & (df.exposures < 1000)]
  base = base.set_index(['width', 'seed'])[R]
  df['of_clean'] = 100 * df[R] / [
      base.get(k, float('nan')) for k in zip(df.width, df.seed)]
  return df


def summary(df):
  """R and R_max of the useful people, in percent of no junk."""
  return results.summarise(df, [*POINT, 'main', 'parameters', 'n_items'], [
      R, f'{R}_max', 'of_clean'])


def figure(df):
  """R by kind of junk, tags and exposures; other sizes below."""
  s = summary(df)
  s = s.iloc[(~s.main * s.width * 1e4 + s.exposures + s.variant.map([
      *LABELS].index) / 99).argsort()]
  base = s[s.variant == 'clean'].set_index('width')[f'{R}_mean']
  cells = list(zip(s.variant, s.exposures, s.width))
  fig, ((ax,),) = figures.grid(1, width=7.6, height=0.33 * len(s) + 1.5)
  figures.bars(
      ax, s, R, [LABELS[v] + f', {e:,} exposures' * (e != cells[0][1])
                 + f', width {w}' * (w != cells[0][2]) for v, e, w in cells],
      [figures.colour(v) for v in s.variant], [
          base[w] / PAPER[v][e] if e in PAPER.get(v, ()) else None
          for v, e, w in cells], horizontal=True, digits=2)
  ax.set_xlim(0, 1.3 * s[f'{R}_mean'].max() or 1)
  figures.labels(ax, 'R: bits of the useful people per parameter')
  figures.finish(fig, 'Junk data, domain tags (7/8 junk, {1} exposures, width '
                 '{2} unless stated)'.format(*cells[0]), figures.seeds_note(s) +
                 ";\ndiamonds: no junk, same width, over the paper's factor")
  return fig


def _at(variant: str, exposures: int = 100, **where) -> dict:
  return dict(variant=variant, exposures=exposures, **where or {'main': True})


def _of_clean(id: str, what: str, result: int, paper: str, cell, rule, w=32,
              **more):
  return Claim(id, f'Width {w}, {what} of R without junk',
               f'Part 3.3, Result {result}', paper, (cell,), rule, 'of_clean',
               post_hoc=id == 'tag_300' or w < 32, **more)


def _grow(id: str, what: str, *cells: dict, **more) -> Claim:
  return Claim(id, what, 'beyond Part 3.3', 'not in the paper',
               descending(*cells), greater(), **more or BITS)


R, COST, SIZES = 'bits_per_param', PAPER['junk'], (16, 24, 32)
BITS = dict(column=R, unit='bits/param')
CLAIMS = (
    *(_of_clean(f'junk_costs_{w}', '7/8 junk, 100 exposures: R is at most 10 %',
                10, '5 %', _at('junk', width=w), at_most(10), w,
                headline=w == 32) for w in SIZES),
    _grow('junk_share', 'R: no junk > 1/2 > 3/4 > 7/8 junk', _at('clean'),
          _at('junk_half'), _at('junk_3_quarters'), _at('junk')),
    *(Claim(f'junk_{e}', f'7/8 junk: R at {e:,} exposures > R at {less}',
            'Part 3.3, Result 10', f'factor {COST[e]}, not {COST[less]}',
            (_at('junk', e), _at('junk', less)), greater(), **BITS,
            paper_effect=1 / COST[e] - 1 / COST[less])  # its reference is 1 bit
      for e, less in ((300, 100), (1000, 300))),
    _of_clean('repetitive_free', 'repetitive junk: R is at least 90 %', 11,
              '100 %', _at('repetitive'), at_least(90), headline=True),
    *(_of_clean(f'tag_restores_{w}', '7/8 junk, tag, 100 exposures: R is at '
                'least 60 %', 12, '50 %', _at('tagged', width=w),
                at_least(60), w, headline=w == 32) for w in SIZES),
    *(_grow(f'{v}_by_size', f'{t}, % of R without junk: width 16 > 24 > 32', *(
        _at(v, width=w) for w in SIZES), column='of_clean', post_hoc=True,
            headline=v == 'tagged') for v, t in (
                ('junk', '7/8 junk'), ('tagged', '7/8 junk, tag'))),
    _of_clean('tag_300', '7/8 junk, tag, 300 exposures (no junk: 100): R is '
              'at least 80 %', 12, '100 %', _at('tagged', 300), at_least(80)),
    *(Claim(f'tag_helps_{w}', f'7/8 junk, 100 exposures, width {w}: R with tag '
            '> without', 'Part 3.3, Result 12', '2 instead of 20 times less',
            tuple(_at(v, width=w) for v in MAIN[:0:-1]), greater(),
            paper_effect=0.45, **BITS) for w in SIZES),
    _grow('tag_share', 'R by useful texts with tag: all > 75 > 50 > 25 > 12.5 %'
          ' > none', *map(_at, ('tagged', *reversed(SHARES), 'junk'))),
    _grow('tag_precision', 'R, tag on useful > on useful and as much junk > '
          'on none', *map(_at, ('tagged', 'tag_on_junk', 'junk'))))
