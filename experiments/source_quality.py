"""How good must a sign of quality be, and must it be a tag?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Result 12: among 7/8 junk, a domain
tag before all useful texts gives their knowledge back. Real domains are not
pure, there are many, and texts need no tag to be told apart. Beyond the paper:
100 exposures of 500 useful people, 1/8 of texts, and

- one tag, also on so much junk that a share of its texts, its purity, is useful
- no tag, but names: the useful people's come from a part of the symbols of
  junk's, so that some junk looks useful; of what does, the purity is useful
- five tags, on all texts: four domains of different purity with useful people
  of their own, one of junk alone; or all of the same purity

  python -m physics_lm.launch experiments/source_quality.py --scale=cpu
  python -m physics_lm.report experiments/source_quality.py --scale=cpu

Known (junk_data_domain_tags), bits of values known: no junk 78 %, no tag 9.5, a
pure tag 51. Predicted at purity 0.9, 0.53, 0.36, 0.22: one tag 42, 22, 15, 11;
names 42, 25, 17, 12; five tags, purity 1, 1/2, 1/4, 1/8: 55, 25, 13, 8; all of
1/8: 9. Deviations: those of junk_data_domain_tags.py.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, descending, equal, greater
from physics_lm.configs import scales, source_tags
from physics_lm.sweep import Run, pick

SIGNS = {'tag': 'one tag', 'names': 'names', 'domains': 'five tags'}
SYMBOLS = (256, 203, 161, 128, 64)  # of useful names; junk's have 256
TAGGED, EQUAL = (1.0, 0.5, 0.25, 0.125), (0.125,) * 4
SHARED = ('junk_data_domain_tags',)  # has the pure tag, no tag and no junk
SCALES = {'smoke': dict(people=20, exposures=4, seeds=1, symbols=(64,),
                        common={'steps': 8}),
          'cpu': dict(people=500, exposures=100, seeds=5, symbols=SYMBOLS)}


def purity(symbols: int) -> float:
  """Useful share of the texts whose three symbols of the name are among the
  first `symbols` of 256."""
  useful, junk = source_tags.USEFUL, source_tags.JUNK
  return round(useful / (useful + junk * (symbols / 256)**3), 3)


def runs(scale: str) -> list[Run]:
  """Of every seed: no junk, and a model for each sign and purity, with five
  tags for each list of purities."""
  s = pick(SCALES, scale)
  size = s['people'], s['exposures'], 16
  models = [('clean', 1.0, source_tags.compact_run(*size, 'clean')),
            ('tag', 1.0, source_tags.compact_run(*size, 'tagged'))]
  for n in s['symbols']:
    names = {} if n == 256 else {'worlds.useful.name_alphabet': n}
    models.append(('names', purity(n), source_tags.compact_run(*size, 'junk')
                   | names))
    if n < 256:
      models.append(('tag', purity(n), source_tags.compact_run(
          *size, (source_tags.JUNK, 1.0, purity(n)))))
  models += [(sign, 0.0, source_tags.domains_run(*size, purities))
             for sign, purities in (('domains', TAGGED), ('equal', EQUAL))]
  return [Run(f'configs/source_tags.py:{"compact" if pure else "domains"}',
              keys | s.get('common', {}) | scales.seeds(seed),
              {'sign': sign, 'purity': pure, 'seed': seed})
          for seed in range(s['seeds']) for sign, pure, keys in models]


def table(records):
  """A row a run, of five tags a row a domain: known, percent of the bits of
  values of the useful people. Names of purity 1/8 are also `tag`: no tag."""
  where = {'term': 'value'}
  df = results.wide(records, 'bits', ('known',), (), where, True)
  tagged = results.wide(records, 'tagged', ('known',), (), where, True)
  is_tag = df.sign == 'tag'
  df.loc[is_tag, 'known'] = tagged.known[is_tag]
  floor = df[(df.sign == 'names') & (df.purity == purity(256))]
  parts = [df, floor.assign(sign='tag')]
  for i, d in enumerate(source_tags.DOMAINS):
    one = results.wide(records, d, ('known',), (), where, True)
    parts.append(one.assign(purity=one.sign.map(
        {'domains': TAGGED[i], 'equal': EQUAL[i]})))
  return results.below(*parts).groupby(  # domains of one purity: their mean
      ['run', 'sign', 'purity', 'seed'], sort=False, as_index=False
      ).mean(numeric_only=True)


def summary(df):
  """Means by sign and purity."""
  return results.summarise(df, ['sign', 'purity'], ['known'])


def figure(df):
  """Known bits over purity, a line for each sign."""
  s = summary(df)
  fig, ((ax,),) = figures.grid(1, width=6.4, height=4.2)
  figures.curves(ax, s, 'purity', 'sign', 'known', SIGNS, band=False)
  for sign, text in (('clean', 'no junk'), ('equal', 'five equal tags')):
    figures.level(ax, s[s.sign == sign].known_mean.mean(), text)
  ax.set_xscale('log')
  figures.plain_ticks(ax), figures.percent_axis(ax)
  figures.legend(ax, loc='upper left')
  figures.labels(ax, 'purity: useful share of the texts that look alike',
                 "known: bits of the useful people's values, %")
  figures.finish(
      fig, 'Useful texts among 7/8 junk, known by a tag, by names, or by five '
      'tags', f'{figures.seeds_note(s)};  100 exposures, some 13,000 '
      'parameters;\nleftmost point of one tag and of names: no tag, names as '
      'in junk')
  return fig


def _at(sign: str, pure: float) -> dict:
  return {'sign': sign, 'purity': pure}


PURITIES = tuple(map(purity, reversed(SYMBOLS)))
OURS = dict(source='beyond Part 3.3', paper='—', column='known')
CLAIMS = (
    Claim('tag_purity', 'One tag: purity 1 > 0.9 > 0.53 > 0.36 > 0.22 > 1/8 '
          '(no tag)', rule=greater(), cells=descending(*(
              _at('tag', p) for p in (1.0, *PURITIES))), **OURS),
    Claim('names_purity', 'Names, no tag: purity 0.9 > 0.53 > 0.36 > 0.22 > '
          '1/8', cells=descending(*(_at('names', p) for p in PURITIES)),
          rule=greater(), **OURS),
    Claim('names_as_tag', 'Purity 0.9 to 0.22: names are within 10 points of a '
          'tag', cells=tuple((_at('names', p), _at('tag', p))
                             for p in PURITIES[:-1]), rule=equal(10), **OURS),
    Claim('domains_ranked', 'Five tags: purity 1 > 1/2 > 1/4 > 1/8',
          cells=descending(*(_at('domains', p) for p in TAGGED)),
          rule=greater(), headline=True, **OURS),
    Claim('best_domain', 'Purity 1: five tags are within 10 points of one',
          cells=(_at('domains', 1.0), _at('tag', 1.0)), rule=equal(10), **OURS),
    Claim('equal_tags', 'Five tags of purity 1/8 are within 5 points of no tag',
          cells=(_at('equal', 0.125), _at('tag', PURITIES[-1])), rule=equal(5),
          **OURS))
