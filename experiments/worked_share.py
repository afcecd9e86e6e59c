"""How fast does a reward on the result alone amplify worked answers?

Rejection sampling (RFT) and RL bring out what pretraining has a little of. Here
1 or 3 % of answers (worlds/symbolic/compose.py) are worked: they have every
value, then the result; the others, which have the result alone, are right by
chance, c = 0.1. A model fitted to its own right answers has p a / (p a + (1 -
p) c) worked ones in place of p, where a of the worked are right (Tsilivis et
al.: c = 0.5): log-odds rise by ln(a / c) a round. Nothing is fitted: p, a and c
are measured. RLOO has the same rewards and number of answers.

  python -m physics_lm.launch experiments/worked_share.py --scale=cpu
  python -m physics_lm.report experiments/worked_share.py --scale=cpu

Predicted (seed 7, not reported: RFT from 1 % 1, 9, 52, 97 % after rounds 1 to
4, from 3 % 8, 54, 97; gain over the law's 1.0 and 1.1; RLOO 1, 2, 10, 73, 96):
gain 1.05; RFT above 95 % worked and 90 % right after six rounds, RLOO as well,
one round later.
"""

import numpy as np

from physics_lm import figures, results
from physics_lm.claims import Claim, above, at_least, between, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

DEPTH, ROUNDS, STEPS = 5, 6, 16  # steps of a round, 2,048 answers
FLOOR = 0.5 / 8192  # of shares: so many answers are judged after a round
ROUND = f'rounds of {128 * STEPS:,} answers'
FILE, SPLIT = 'configs/compose.py:marked', f'test_d{DEPTH}'
SHARES = (0.01, 0.03)
MADE = {c: f'{m}/{SPLIT}' for c, m in dict(
    worked='worked', outcome='outcome', right='outcome_worked',
    lucky='outcome_short').items()}
WORLD = {'worlds.compose.functions': 8}
TRUNK = WORLD | {'steps': 600, 'data.batch_size': 96}
START = {'steps': 100, 'optim.warmup_steps': 10}
POST = WORLD | {
    'post.kind': 'reinforce', 'post.reward': 'outcome', 'data.batch_size': 128,
    'data.seq_len': 24, 'post.tokens': 8, 'optim.name': 'adamw',
    'optim.learning_rate': 1e-3, 'optim.b2': 0.95, 'optim.warmup_steps': 0,
    'data.tasks.problems.split': f'train_d{DEPTH}'}
ARMS = {'RFT': {'post.baseline': 'filter', 'post.norm': 'token'},
        'RLOO': {'optim.learning_rate': 3e-4}}
SCALES = {
    'smoke': dict(seeds=1, steps=1, shares=(0.03,), arms=('RFT',), trunk={
        'steps': 4, 'optim.warmup_steps': 0, 'model.width': 16,
        'model.depth': 1}, post={'data.batch_size': 16},
                  evals={'num_problems': 2, 'num_samples': 8}),
    'cpu': dict(seeds=5, steps=STEPS, shares=SHARES, arms=tuple(ARMS), trunk={},
                post={}, evals={'num_problems': 256, 'num_samples': 32})}


def runs(scale: str) -> list[Run]:
  """Of each seed the trunk, the start of each share, and every arm from it."""
  s, out = pick(SCALES, scale), []
  steps = s['steps'] * ROUNDS
  trunk, arms = scales.post_training(s, TRUNK, POST | {
      'steps': steps, 'checkpoint.every': steps, 'log.every': s['steps']}, {
          'RFT': ARMS['RFT'] | {'post.every': s['steps']},
          'RLOO': ARMS['RLOO']}, SPLIT)
  start = trunk | {'steps': min(START['steps'], trunk['steps'])}
  for seed in range(s['seeds']):
    keys, tags = scales.seeds(seed), {'seed': seed}
    first = Run(FILE, trunk | keys, tags | {'arm': 'trunk', 'share': 90.0})
    out.append(first)
    for share in s['shares']:
      own = keys | {'worlds.compose.share_worked': share}
      tags |= {'share': 100 * share}
      base = Run(FILE, start | own, {'arm': 'start'} | tags, first)
      out += [base, *(Run(FILE, changes | own | {
          'evals.policy.every': s['steps']}, {'arm': arm} | tags, base)
                      for arm, changes in arms.items())]
  return out


def table(records):
  """A row a run and round: percent of answers that are worked, and of results
  that are right, of all answers (outcome), worked and short ones; `law`: the
  share of worked ones by the law, from the start's; in the last round, `gain`:
  the log-odds gained in rounds that begin below 50 %, over the law's."""
  df = results.during_training(records, 'policy', MADE)
  df['round'] = df.step / df.step.max() * ROUNDS
  out = []
  for _, run in df.groupby('run', sort=False):
    expected = np.log(run.right.clip(FLOOR) / run.lucky.clip(FLOOR))
    odds = log_odds(run.worked)
    law = odds.iloc[0] + run['round'] * expected.iloc[0]
    rounds = [k for k in range(len(run) - 1) if run.worked.iloc[k] < 0.5]
    gain = np.divide(odds.iloc[max(rounds, default=-1) + 1] - odds.iloc[0],
                     expected.iloc[rounds].sum())
    out.append(run.assign(law=100 / (1 + np.exp(-law)), gain=gain))
    out[-1].loc[run['round'] < ROUNDS, 'gain'] = np.nan
  return results.below(*out).assign(**{
      c: 100 * df[c].to_numpy() for c in MADE}).drop(columns='step')


def log_odds(share):
  """Of shares."""
  share = share.clip(FLOOR, 1 - FLOOR)
  return np.log(share / (1 - share))


def summary(df):
  """Means by arm, share and round."""
  return results.summarise(df, ['arm', 'share', 'round'],
                           [*MADE, 'law', 'gain'])


def figure(df):
  """The share of worked answers over rounds, with the law; right results."""
  s = summary(df)
  fig, (axes,) = figures.grid(len(SHARES) + 1, width=3.8, height=3.6)
  names = {a: a for a in ARMS}
  for ax, share in zip(axes, SHARES):
    own = s[s.share == 100 * share]
    law = own[own.arm == 'RFT']
    figures.curves(ax, own, 'round', 'arm', 'worked', names)
    ax.plot(law['round'], law.law_mean, '--', color=figures.INK, label=(
        'law of RFT, from the start'))
    figures.percent_axis(ax)
    figures.labels(ax, ROUND, 'worked answers, %',
                   f'pretrained on {100 * share:g} %')
  own = s[s.share == 100 * SHARES[0]]
  figures.curves(axes[-1], own, 'round', 'arm', 'outcome', names)
  figures.percent_axis(axes[-1])
  figures.legend(axes[0], loc='upper left')
  figures.labels(axes[-1], ROUND, 'right results, %',
                 f'pretrained on {100 * SHARES[0]:g} %')
  figures.finish(fig, 'Worked answers, by a reward on the result alone',
                 f'{figures.seeds_note(s)}; depth {DEPTH}, new words')
  return fig


def _at(arm: str, share: float, n: int = ROUNDS) -> dict:
  return dict(arm=arm, share=100 * share, round=float(n))


CLAIMS = (
    Claim('law_of_rft', 'RFT: log-odds gained over the law, 0.8 to 1.25',
          'round law', '1', tuple((_at('RFT', x),) for x in SHARES),
          between(0.8, 1.25), 'gain', headline=True, unit=''),
    *(Claim(f'{arm.lower()}_amplifies', f'From 1 %, {arm} has at least 90 % '
            f'worked answers after {ROUNDS} rounds', 'ours', 'not in the '
            'papers', (_at(arm, 0.01),), at_least(90.0), 'worked')
      for arm in ARMS),
    above('results', 'From 1 %, RFT raises right results by at least 70 '
          'points', 'ours', _at('RFT', 0.01), _at('RFT', 0.01, 0),
          rule=greater(70.0), column='outcome'),
)
