"""What do junk data cost, and what does a domain tag give back?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Results 10 to 12: 1/8 of the
biographies are useful, the others junk of the same form. R counts what is
stored of the useful people; the reference is 100 exposures without junk. Paper
(50,000 people and more): unique junk (of 100 million people) costs a factor of
20, 3, 1.5, 1.3 at 100, 300, 600, 1,000 exposures; repetitive junk (of 1,000)
none at 100; unique junk with a domain tag before useful texts 2 and (300) none.

  python -m physics_lm.launch experiments/junk_data_domain_tags.py --scale=cpu
  python -m physics_lm.report experiments/junk_data_domain_tags.py --scale=cpu

Measured, `cpu`: 33 runs, an hour of one core in all. Deviations there: bioD,
500 useful people (unique junk: all other names of three symbols), 13 thousand
parameters; a row is all useful or all junk. The reference has half the batch, a
quarter of the steps and the best of four learning rates on the seeds reported;
all others one rate (the paper tunes all). Tagged models are evaluated with the
tag. Beyond the paper: tags on fewer, or more, texts than the useful ones.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, greater, ratio_between
from physics_lm.configs import scales, source_tags
from physics_lm.sweep import Run, pick

TAGGED = {'tag_quarter': '1/4 of useful', 'tag_half': '1/2 of useful',
          'tag_on_junk': 'useful and as much junk', 'tagged': 'useful'}
LABELS = {'clean': 'no junk', 'repetitive': 'repetitive junk', 'junk':
          'unique junk'} | {v: f'unique junk, tag on {t}'
                            for v, t in TAGGED.items()}
PAPER = {'repetitive': {100: 1}, 'tagged': {100: 2, 300: 1}, 'junk': {
    100: 20, 300: 3, 600: 1.5, 1000: 1.3}}  # R of the reference over R
ONCE, TWICE = (100,), (100, 300)
MAIN = dict(clean=ONCE, repetitive=ONCE, junk=TWICE, tagged=TWICE)
SCALES = {  # exposures by variant; biographies a step
    'smoke': dict(exposures=dict.fromkeys(
        ('clean', 'junk', 'tagged', 'tag_on_junk'), (4,)), people=20, width=16,
                  biographies=32, rate=8e-3, seeds=1, common=scales.SMOKE_LOG),
    'cpu': dict(exposures=MAIN | dict(tag_half=ONCE, tag_on_junk=ONCE),
                people=500, width=16, biographies=32, seeds=3, rate=8e-3,
                rates={'clean': (4e-3, 8e-3, 16e-3, 32e-3)}, common={}),
    'gpu': dict(exposures=MAIN | dict(junk=(*TWICE, 600), tag_quarter=ONCE,
                                      tag_half=ONCE, tag_on_junk=ONCE),
                people=20_000, width=64, biographies=512, seeds=3, rate=8e-3,
                common={'model.dtype': 'bfloat16', 'runtime.workers': 8}),
    'paper': dict(exposures=MAIN | dict(junk=(*TWICE, 600, 1000)),
                  people=100_000, width=256, biographies=1024, seeds=1,
                  rate=1e-3, common=scales.CAPACITY_PAPER)}


def runs(scale: str) -> list[Run]:
  """Every (variant, exposures, learning rate, seed)."""
  s, out = pick(SCALES, scale), []
  people, rates = s['people'], s.get('rates', {})
  for variant, exposures in s['exposures'].items():
    # Without junk half the batch: fewer steps would be too few.
    batch = s['biographies'] // (16 if variant == 'clean' else 8)
    useful = 8 * batch * (1 if variant == 'clean' else source_tags.USEFUL)
    changes = {
        'worlds.useful.people': people, 'worlds.junk.person_offset': people,
        'worlds.junk.people': max(people // 50, 2) if (
            variant == 'repetitive') else source_tags.NAMES - people,
        'evals.bits.people': people, 'evals.tagged.people': people,
        'model.width': s['width'], 'model.heads': max(s['width'] // 64, 2),
        'data.batch_size': batch} | s['common']
    out += [Run(f'configs/source_tags.py:{variant}', changes | {
        'steps': round(people * e / useful), 'optim.learning_rate': rate}
                | scales.seeds(seed), dict(variant=variant, exposures=e,
                                           learning_rate=rate, seed=seed))
            for e in exposures for rate in rates.get(variant, (s['rate'],))
            for seed in range(s['seeds'])]
  return out


def table(records):
  """A row a run: R of the useful people with the tag if training had it, and
  both ways. `best`: the learning rate with the highest mean R."""
  df, tag = (results.capacity(records, name, ('useful', 'tagged'))
             for name in ('bits', 'tagged'))
  tags = df.variant.map(source_tags.VARIANTS).str
  df['tag_share'], df['tag_precision'] = tags[0], tags[1]
  df[f'{R}_no_tag'], df[f'{R}_tag'] = df[R], tag[R]
  df.loc[df.tag_share > 0, list(results.CAPACITY_COLUMNS)] = tag
  df['best'] = df.run.isin(results.best_by(
      df, ['variant', 'exposures'], 'learning_rate', R).run)
  return df


def summary(df):
  """R and R_max of the useful people, at the best learning rate."""
  return results.summarise(df[df.best], [
      'variant', 'exposures', 'parameters', 'n_items'], [R, f'{R}_max'])


def figure(df):
  """R by kind of junk, tags and exposures."""
  s = summary(df)
  s = s.iloc[(s.exposures * 100 + s.variant.map(list(LABELS).index)).argsort()]
  base = s[s.variant == 'clean'][f'{R}_mean'].max()
  cells = list(zip(s.variant, s.exposures))
  fig, ((ax,),) = figures.grid(1, width=7.6, height=0.4 * len(s) + 1.5)
  figures.bars(
      ax, s, R, [f'{LABELS[v]}, {e:,} exposures' for v, e in cells],
      [figures.colour(v) for v, _ in cells],
      [base / PAPER[v][e] if e in PAPER.get(v, ()) else None for v, e in cells],
      horizontal=True, digits=2)
  figures.level(ax, base, vertical=True)
  ax.set_xlim(0, 1.3 * s[f'{R}_mean'].max() or 1)
  figures.labels(ax, 'R of the useful people: bits stored per parameter')
  figures.finish(
      fig, 'Junk data (7 of 8 biographies) and domain tags',
      f'{figures.seeds_note(s)}, {s.parameters.max():,} parameters;\ndiamonds: '
      "the first bar (best of several learning rates) over the paper's factor")
  return fig


def _at(variant: str, exposures: int = 100) -> dict:
  return dict(variant=variant, exposures=exposures, best=True)


R, BITS = 'bits_per_param', dict(column='bits_per_param', unit='bits/param')
COST, (JUNK, CLEAN, TAG) = PAPER['junk'], map(_at, ('junk', 'clean', 'tagged'))
CLAIMS = (
    Claim('junk_costs', 'Unique junk, 100 exposures: R is at most 50 % of that '
          'without junk', 'Part 3.3, Result 10', '20 times less', (JUNK, CLEAN),
          ratio_between(high=0.5), paper_effect=1 / 20, headline=True, **BITS),
    # The paper's effects in bits: its reference has R about 1.
    *(Claim(f'junk_{e}', f'Unique junk: R at {e:,} exposures > R at {less}',
            'Part 3.3, Result 10', f'{COST[e]} instead of {COST[less]} times '
            'less', (_at('junk', e), _at('junk', less)), greater(),
            decided_by=f'some five seeds, {e // 60} core-minutes each',
            paper_effect=1 / COST[e] - 1 / COST[less], **BITS)
      for e, less in ((300, 100), (600, 300), (1000, 300))),
    Claim('repetitive_free', 'Repetitive junk, 100 exposures: R is at least '
          '90 % of that without junk', 'Part 3.3, Result 11', 'no loss',
          (_at('repetitive'), CLEAN), ratio_between(0.9),
          decided_by='some 50 seeds, two core-minutes each', **BITS),
    Claim('tag_helps', 'Unique junk, 100 exposures: R with a tag > R without',
          'Part 3.3, Result 12', '2 instead of 20 times less', (TAG, JUNK),
          greater(), paper_effect=1 / 2 - 1 / 20, headline=True, **BITS),
    Claim('tag_300', 'Domain tag, 300 exposures: R is at least 90 % of that of '
          '100 without junk', 'Part 3.3, Result 12', 'no loss',
          (_at('tagged', 300), CLEAN), ratio_between(0.9), **BITS),
    *(Claim(name, f'100 exposures: R with tag on useful > on {TAGGED[v]} > on '
            'none', 'beyond Part 3.3', 'not in the paper',
            ((TAG, _at(v)), (_at(v), JUNK)), greater(), decided_by='some five '
            'seeds, five core-minutes each', **BITS)
      for v, name in zip(('tag_half', 'tag_on_junk'), (
          'tag_share', 'tag_precision'))),
)
