"""How many instructions must be trained until a model follows others?

Zhang et al. (Only-IF, arXiv 2410.10717): models trained on "replace x by y in
z" follow no unseen instruction when trained on fewer than 300, and nearly all
from 1,000 on; with examples in which x is absent from z, from about 400.
Here instructions are pairs of 32 symbols (worlds/symbolic/instruct.py), an
eighth held out; tokens are equal, and all questions have new inputs. Around it,
with 868 instructions: turn markers or none; loss on answers or all tokens; two
worked pairs instead of an instruction; replacing taught in one language, asked
in another with other symbols (and words, with a dictionary), beside three
operations in both; those in a generalist of six families; an unseen chain.

  python -m physics_lm.launch experiments/instruction_tuning.py --scale=cpu
  python -m physics_lm.report experiments/instruction_tuning.py --scale=cpu

25 core-minutes. Predicted, % of unseen (seed 7, not reported: 32, 128, 868 1,
62, 98; no markers 4; pairs 2): 1, 20, 62, 88, 98; 64 with no-ops 25; all tokens
95, no markers 3; shared words 30, dictionary 1; generalist 40, its chain 10.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, above, at_least, at_most, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

FILE, W, ALL = 'configs/instruct.py', 'worlds.instruct.', 868
COUNTS, LOSS = (32, 64, 128, 256, ALL), 'data.tasks.questions.loss'
FAMILIES = 'replace,delete,double,reverse'
TWO = {W + 'families': FAMILIES, W + 'second': 0.5, W + 'first_only': 'replace'}
BASE, NO_OP, MANY = 'instruction', 'a third without x', 'generalist'
SHARED, DICTIONARY = 'shared words', 'own words, dictionary'
BARE, BARE_ALL = 'no markers', 'no markers, all tokens'
ARMS = {
    BASE: {}, NO_OP: {W + 'no_op': 0.33}, 'all tokens': {LOSS: 'all'},
    BARE: {W + 'markers': 'none'}, BARE_ALL: {
        W + 'markers': 'none', LOSS: 'all'},
    'worked pairs': {W + 'shots': 2, W + 'share_shots': 1.0},
    SHARED: TWO | {W + 'shared_words': True}, DICTIONARY: TWO | {
        W + 'dictionary': 0.2},
    MANY: {W + 'families': f'{FAMILIES},delete+reverse,replace+reverse',
           W + 'held_out': 'double+reverse'}}
POINTS = [(BASE, n) for n in COUNTS] + [(NO_OP, 64)] + [
    (arm, ALL) for arm in tuple(ARMS)[2:]]
SCALES = {
    'smoke': dict(points=[(BASE, 64), (BASE, ALL)], seeds=1,
                  common=scales.SMOKE_LOG | scales.TINY_MODEL | {
                      'steps': 4, 'evals.answers.num_problems': 8}),
    'cpu': dict(points=POINTS[:6], seeds=5, common={  # others: to be tuned
        'evals.answers.num_problems': 1024, 'log.every': 150,
        'runtime.max_vmapped_runs': 5}),
}


def runs(scale: str) -> list[Run]:
  """Every (arm, number of instructions, seed)."""
  s = pick(SCALES, scale)
  return [Run(FILE, {W + 'instructions': 0 if n == ALL else n} | s['common']
              | ARMS[arm] | scales.seeds(seed),
              {'arm': arm, 'instructions': n, 'seed': seed})
          for arm, n in s['points'] for seed in range(s['seeds'])]


def table(records):
  """A row a run and kind of question: family, split ('known': instructions of
  training, or 'new'), language, and exact (match, %)."""
  df = results.wide(records, 'answers', {'exact': 'exact_match'}, ['attribute'],
                    percent=True)
  kinds = df.pop('attribute').astype(str).str.extract(
      '(?P<family>[^_]+)_(?P<split>new|known)_?(?P<language>second)?')
  return df.join(kinds).dropna(subset='split').fillna({'language': 'first'})


def summary(df):
  """Means by arm, number of instructions and kind of question."""
  keys = ['arm', 'instructions', 'family', 'split', 'language']
  return results.summarise(df, keys, ['exact'])


def figure(df):
  """By number of instructions; by form; in the second language and chains."""
  import pandas as pd
  fig, (axes,) = figures.grid(3, width=4.2, height=3.6)
  s = summary(df)
  for k, (arm, split, name) in enumerate((
      (BASE, 'known', 'of training'), (BASE, 'new', 'unseen'),
      (NO_OP, 'new', f'unseen, {NO_OP}'))):
    figures.curves(axes[0], s[(s.arm == arm) & (s.split == split)].assign(
        arm=name), 'instructions', 'arm', 'exact', color=figures.COLOURS[k])
  axes[0].set_xscale('log')
  figures.plain_ticks(axes[0])
  figures.labels(axes[0], 'instructions in training', 'exact match, %',
                 'Replace x by y')
  figures.legend(axes[0], loc='lower right')
  for ax, (heading, cells) in zip(axes[1:], PANELS.items()):
    rows = pd.concat([claims.select(df, c).assign(arm=name)
                      for name, c in cells.items()])
    if len(rows):
      figures.bars_of_seeds(ax, results.summarise(rows, ['arm'], ['exact']),
                            rows, 'arm', 'exact')
    ax.set_xlim(0, 112)
    figures.labels(ax, 'exact match, %', heading=heading)
  figures.finish(fig, 'Following instructions that were not in training',
                 f'{figures.seeds_note(s)};  inputs new in all questions')
  return fig


def _at(arm: str = BASE, instructions: int = ALL, **kind) -> dict:
  return {'arm': arm, 'instructions': instructions, 'family': 'replace',
          'split': 'new', 'language': 'first'} | kind


LANGUAGE = dict(language='second', split='known')
CHAIN = _at(MANY, family='double+reverse', split='known')
PANELS = {
    f'Unseen instructions, of {ALL} trained': {a: _at(a) for a in (
        BASE, 'all tokens', BARE, BARE_ALL, 'worked pairs', MANY)},
    'What was not taught': {
        f'replace, {SHARED}': _at(SHARED, **LANGUAGE),
        f'replace, {DICTIONARY}': _at(DICTIONARY, **LANGUAGE),
        'double then reverse': CHAIN}}
ZHANG, OURS, NONE = 'Zhang et al. 2410.10717', 'ours', 'not in the paper'
CLAIMS = (
    *(Claim(name, text, source, paper, (cell,), rule, 'exact', headline=main)
      for name, text, source, paper, cell, rule, main in (
          ('few', '32 instructions: at most 10 % of unseen ones are followed',
           ZHANG, 'none below 300', _at(instructions=32), at_most(10.0), False),
          ('enough', '868 instructions: at least 90 % of unseen are followed',
           ZHANG, 'nearly all from 1,000 on', _at(), at_least(90.0), True),
          ('shared_words', 'Replacing, taught in one language, is followed in '
           'the other in 50 % with shared words', OURS, NONE,
           _at(SHARED, **LANGUAGE), at_least(50.0), True),
          ('dictionary', 'With own words and a dictionary in at most 10 %',
           OURS, NONE, _at(DICTIONARY, **LANGUAGE), at_most(10.0), False),
          ('unseen_chain', 'The generalist follows an unseen chain in 50 %',
           OURS, NONE, CHAIN, at_least(50.0), False))),
    *(above(name, text, source, a, b, rule=greater(margin), column='exact')
      for name, text, source, a, b, margin in (
          ('step', '256 against 64 instructions: at least 50 points more',
           ZHANG, _at(instructions=256), _at(instructions=64), 50.0),
          ('no_op', '64 instructions: a third of examples without x help',
           ZHANG, _at(NO_OP, 64), _at(instructions=64), 0.0),
          ('markers', 'Loss on answers: turn markers add at least 5 points',
           OURS, _at(), _at(BARE), 5.0),
          ('markers_all_tokens', 'Loss on all tokens: they add at least 50',
           OURS, _at('all tokens'), _at(BARE_ALL), 50.0),
          ('worked_pairs', 'An instruction adds at least 20 points to two '
           'worked pairs', OURS, _at(), _at('worked pairs'), 20.0),
          ('specialist', 'At equal tokens a specialist beats a generalist',
           OURS, _at(), _at(MANY), 0.0))),
)
