"""On what does following unseen instructions depend, besides their number?

Instructions are "replace x by y in z", 868 pairs of 32 symbols in training, an
eighth held out, as in instruction_tuning.py. Arms, at equal steps: turn markers
(User, AI) or none, loss on answers or on all tokens; two worked pairs of input
and answer instead of the instruction (a row holds one such example, and three
others); a generalist of six families (a sixth of its examples replace), tested
on a chain that was not trained; two languages of other symbols, replacing
taught in the first alone and three operations in both, with the same words for
these or with each language's own and a dictionary (a fifth of the examples).

  python -m physics_lm.launch experiments/instruction_forms.py --scale=cpu
  python -m physics_lm.report experiments/instruction_forms.py --scale=cpu

85 core-minutes. Predicted, % of unseen ones after 500 and 1,500 steps (those of
seed 7, not reported): instruction 98, 100; all tokens 65, 92; no markers
70, 99; neither 35, 93; worked pairs 35, 84; generalist 15, 40. After 1,500:
other language, shared words 33, own words 0; the chain 1.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, above, at_least, at_most, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

W, LOSS = 'worlds.instruct.', 'data.tasks.questions.loss'
FAMILIES = 'replace,delete,double,reverse'
TWO = {W + 'families': FAMILIES, W + 'second': 0.5, W + 'first_only': 'replace'}
BASE, MANY, PAIRS = 'instruction', 'generalist', 'two worked pairs'
SHARED, DICTIONARY = 'shared words', 'own words, dictionary'
TOKENS, BARE = 'loss on all tokens', 'no markers'
NEITHER, CHAIN = 'no markers, all tokens', 'double+reverse'
ARMS = {
    BASE: {}, BARE: {W + 'markers': 'none'}, TOKENS: {LOSS: 'all'},
    NEITHER: {W + 'markers': 'none', LOSS: 'all'},
    PAIRS: {W + 'shots': 2, W + 'share_shots': 1.0},
    SHARED: TWO | {W + 'shared_words': True},
    DICTIONARY: TWO | {W + 'dictionary': 0.2},
    MANY: {W + 'families': f'{FAMILIES},delete+reverse,replace+reverse',
           W + 'held_out': CHAIN}}
SCALES = {
    'smoke': dict(arms=(BASE, PAIRS), seeds=1, common=scales.SMOKE_LOG | (
        scales.TINY_MODEL | {'steps': 4} | scales.evals(
            ('answers',), num_problems=8, every=2))),
    'cpu': dict(arms=ARMS, seeds=5, common={
        'steps': 1500, 'evals.answers.num_problems': 2048, 'log.every': 250,
        'evals.answers.every': 500, 'runtime.max_vmapped_runs': 5})}
EARLY, LAST = 500, 1500  # steps


def runs(scale: str) -> list[Run]:
  """Every (arm, seed)."""
  s = pick(SCALES, scale)
  return [Run('configs/instruct.py', s['common'] | {W + 'instructions': 0}
              | ARMS[arm] | scales.seeds(seed), {'arm': arm, 'seed': seed})
          for arm in s['arms'] for seed in range(s['seeds'])]


def table(records):
  """A row a run, step and kind of question: family, split ('known': of
  training, or 'new'), language, shots (of worked pairs), exact (match, %)."""
  import pandas as pd
  df = pd.concat([results.during_training([r], 'answers', {
      k: k for k in r['curves']['answers'] if k.startswith('exact_match/')})
      .melt(['run', 'arm', 'seed', 'step'], var_name='kind', value_name='exact')
      for r in records], ignore_index=True)
  kinds = df.pop('kind').str.extract(
      '/(?P<family>[^_]+)_(?P<split>new|known)_?(?P<language>second)?'
      '_?(?P<shots>shots)?$').fillna({'language': 'first', 'shots': 'none'})
  df['exact'] *= 100
  return df[df.step > 0].join(kinds)


def summary(df):
  """Means by arm, step and kind of question."""
  return results.summarise(df, [
      'arm', 'step', 'family', 'split', 'language', 'shots'], ['exact'])


def figure(df):
  """Unseen instructions over steps; transfer to what was not taught."""
  import pandas as pd
  fig, ((left, right),) = figures.grid(2, width=5.4, height=3.8)
  s = pd.concat([claims.select(summary(df), {k: v for k, v in _at(
      arm).items() if k != 'step'}) for arm in ARMS if 'words' not in arm])
  for k, arm in enumerate(s.arm.unique()):
    own = s[s.arm == arm]  # beside each other
    figures.curves(left, own.assign(step=own.step + 16 * (k - 2.5)), 'step',
                   'arm', 'exact', color=figures.COLOURS[k], band=False)
  figures.percent_axis(left)
  figures.labels(left, 'steps of training', 'exact match, %',
                 'Unseen instructions to replace')
  figures.legend(left, loc='lower right')
  rows = pd.concat([claims.select(df, c).assign(arm=name)
                    for name, c in TRANSFER.items()])
  if len(rows):
    figures.bars_of_seeds(right, results.summarise(rows, ['arm'], ['exact']),
                          rows, 'arm', 'exact')
  right.set_xlim(0, 108)
  figures.labels(right, 'exact match, %', '', f'Transfer, {LAST:,} steps')
  figures.finish(fig, 'Following instructions: form, languages, families',
                 f'{figures.seeds_note(s)};  inputs new in all questions')
  return fig


def _at(arm: str, step: int = LAST, **kind) -> dict:
  return {'arm': arm, 'step': step, 'family': 'replace', 'split': 'new',
          'language': 'first', 'shots': 'shots' if arm == PAIRS else 'none',
          **kind}


TAUGHT, SECOND = dict(split='known'), dict(language='second', split='known')
KNOWN_CHAIN, UNSEEN_CHAIN = (_at(MANY, family=f, split='known')
                             for f in ('delete+reverse', CHAIN))
TRANSFER = {f'{arm}: {kind}': _at(arm, **keys)
            for arm in (SHARED, DICTIONARY) for kind, keys in (
                ('taught', TAUGHT), ('other language', SECOND))} | {
            'generalist: trained chain': KNOWN_CHAIN,
            'generalist: other chain': UNSEEN_CHAIN}
STEPS, NONE = (('', LAST, False), ('_early', EARLY, True)), '—'
CLAIMS = (
    *(above(name, f'{step:,} steps: {text}', 'ours', _at(a, step),
            _at(b, step), rule=greater(margin), column='exact', post_hoc=late,
            headline=name == 'specialist')
      for name, text, step, a, b, margin, late in (
          ('markers', 'loss on answers, turn markers add at least 10 points',
           EARLY, BASE, BARE, 10.0, False),
          ('markers_all', 'loss on all tokens, turn markers add at least 10 '
           'points', EARLY, TOKENS, NEITHER, 10.0, True),
          ('answers', 'loss on answers adds at least 10 points to loss on all '
           'tokens', EARLY, BASE, TOKENS, 10.0, False),
          *((f'pairs{name}', 'an instruction adds at least 5 points to two '
             'worked pairs', step, BASE, PAIRS, 5.0, late)
            for name, step, late in STEPS),
          *((f'specialist{name}', 'a specialist follows at least 20 points more'
             ' than a generalist', step, BASE, MANY, 20.0, late)
            for name, step, late in STEPS))),
    Claim('markers_later', f'{LAST:,} steps: without markers within 5 points',
          'ours', NONE, (_at(BASE), _at(BARE)), claims.equal(5.0), 'exact'),
    *(Claim(name, text, 'ours', NONE, (cell,), rule, 'exact', control=(
        *control,)) for name, text, cell, rule, *control in (
          ('pairs_work', 'Two worked pairs of an unseen instruction suffice in '
           'at least 50 %', _at(PAIRS), at_least(50.0)),
          ('shared_words', 'Replacing, taught in one language, is done in the '
           'other in at least 20 %, with shared words',
           _at(SHARED, **SECOND), at_least(20.0)),
          ('dictionary', 'With own words and a dictionary in at most 5 %',
           _at(DICTIONARY, **SECOND), at_most(5.0), _at(DICTIONARY, **TAUGHT)),
          ('chain', 'A generalist follows at most 5 % of a chain that it was '
           'not trained on', UNSEEN_CHAIN, at_most(5.0), KNOWN_CHAIN))))
