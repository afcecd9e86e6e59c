"""How fast does a reward on the result alone amplify worked answers?

Rejection sampling (RFT) and RL bring out what a model does now and then. Here
it learns worked answers (every value, then the result; worlds/symbolic/compose)
from 90 % of its data, then 100 steps from 1 or 3 %; the others, results alone,
are right by chance, c = 0.1. A model fitted to its own right answers has p a /
(p a + (1 - p) c) worked ones in place of p, where a of the worked are right
(Tsilivis et al., arXiv 2510.11495: c = 0.5, a = 1): log-odds rise by ln(a / c)
a round. p, a, c are measured. RLOO has the same rewards.

  python -m physics_lm.launch experiments/worked_share.py --scale=cpu
  python -m physics_lm.report experiments/worked_share.py --scale=cpu

The skill is kept where the share is taught at a low rate, else forgotten (a 0.1
to 0.4). Predicted (seed 7, not reported: RFT from 1 % 6, 47, 92, 99 %): kept,
gains over ln(a / c) 1.05, RFT and RLOO above 95 % worked, 90 % right. Known
before, forgotten: slope 0.98, 40 % worked from 1 %.
"""

import itertools

import numpy as np

from physics_lm import figures, results
from physics_lm.claims import Claim, above, at_least, between, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

DEPTH, ROUNDS, STEPS = 5, 6, 16  # steps of a round, 2,048 answers
FLOOR = 0.5 / 8192  # of shares; so many answers are judged after a round
FILE, SPLIT = 'configs/compose.py:marked', f'test_d{DEPTH}'
SHARES = 0.01, 0.03
MADE = {c: f'{m}/{SPLIT}' for c, m in dict(
    right='outcome_worked', lucky='outcome_short', worked='worked',
    outcome='outcome').items()}
WORLD = {'worlds.compose.functions': 8}
TRUNK = WORLD | {'steps': 600, 'data.batch_size': 96}
STARTS = {'kept': 1e-3, 'forgotten': 1e-2}  # learning rates
POST = WORLD | {
    'post.kind': 'reinforce', 'post.reward': 'outcome', 'data.batch_size': 128,
    'data.seq_len': 24, 'post.tokens': 8, 'optim.name': 'adamw',
    'optim.learning_rate': 1e-3, 'optim.b2': 0.95, 'optim.warmup_steps': 0,
    'data.tasks.problems.split': f'train_d{DEPTH}'}
ARMS = {'RFT': {'post.baseline': 'filter', 'post.norm': 'token'},
        'RLOO': {'optim.learning_rate': 3e-4}}
SCALES = {
    'smoke': dict(
        seeds=1, steps=1, shares=(0.03,), starts=('kept',), arms=('RFT',),
        trunk={'steps': 4, 'optim.warmup_steps': 0, 'model.width': 16,
               'model.depth': 1}, post={'data.batch_size': 16},
        evals={'num_problems': 2, 'num_samples': 8}),
    'cpu': dict(
        seeds=5, steps=STEPS, shares=SHARES, starts=tuple(STARTS),
        arms=tuple(ARMS), trunk={}, post={},
        evals={'num_problems': 256, 'num_samples': 32})}


def runs(scale: str) -> list[Run]:
  """Of each seed the trunk, the starts of each share, every arm from them."""
  s, out = pick(SCALES, scale), []
  steps = s['steps'] * ROUNDS
  period = {'steps': steps, 'checkpoint.every': steps, 'log.every': s['steps']}
  trunk, arms = scales.post_training(s, TRUNK, POST | period, {
      **ARMS, 'RFT': ARMS['RFT'] | {'post.every': s['steps']}}, SPLIT)
  for seed in range(s['seeds']):
    keys, tags = scales.seeds(seed), dict(seed=seed)
    out.append(first := Run(FILE, trunk | keys, tags | {
        'arm': 'trunk', 'share': 90.0, 'start': ''}))
    for start, share in itertools.product(s['starts'], s['shares']):
      own = keys | {'worlds.compose.share_worked': share}
      tags |= {'share': 100 * share, 'start': start}
      base = Run(FILE, trunk | own | {
          'optim.learning_rate': STARTS[start], 'steps': min(
              100, trunk['steps'])}, tags | {'arm': 'base'}, first)
      out += [base, *(Run(FILE, changes | own | {
          'evals.policy.every': s['steps']}, tags | {'arm': arm}, base)
                      for arm, changes in arms.items())]
  return out


def table(records):
  """A row a run and round: % of answers that are worked, of results that are
  right (outcome), of worked and of short answers; of rounds that begin below 50
  % worked the law, ln(a / c), and the log-odds gained; slope: of gain over law,
  through 0, over all rounds of an arm, start and seed."""
  df = results.during_training(records, 'policy', MADE)
  df['round'] = (df.step / df.step.max() * ROUNDS).round()
  df['gain'] = df.groupby('run').worked.transform(
      lambda p: log_odds(p).diff().shift(-1)).where(df.worked < 0.5)
  df['law'] = np.log(df.right.clip(FLOOR) / df.lucky.clip(FLOOR)).where(
      df.gain.notna())
  each = df.assign(x=df.law**2, y=df.law * df.gain).groupby(
      ['arm', 'start', 'seed'])[['x', 'y']].transform('sum')
  return df.assign(slope=each.y / each.x, **{
      c: 100 * df[c] for c in MADE}).drop(columns='step')


def log_odds(share):
  """Of shares."""
  return np.log(share.clip(FLOOR) / (1 - share).clip(FLOOR))


def summary(df):
  """Means by arm, start, share and round."""
  return results.summarise(df, ['arm', 'start', 'share', 'round'],
                           [*MADE, 'law', 'gain', 'slope'])


def figure(df):
  """Gains of rounds against the law; worked answers and results over rounds."""
  s = summary(df)
  fig, (axes,) = figures.grid(3, width=4, height=3.7)
  axes[0].plot([-1, 3], [-1, 3], color='0.6', lw=1, label='gain = ln(a / c)')
  for c, start in zip(figures.COLOURS[::2], STARTS):
    x = df[(df.start == start) & (df.arm == 'RFT')]
    axes[0].plot(x.law, x.gain, 'o', c=c, ms=4, label=f'RFT, skill {start}')
  figures.labels(axes[0], 'ln(a / c), measured before the round',
                 'log-odds of worked answers gained', 'Single rounds and seeds')
  own = s.assign(line=s.arm + ', skill ' + s.start)[s.share == 100 * SHARES[0]]
  for ax, column, label, heading in (
      (axes[1], 'worked', 'worked answers, %', 'Worked answers, from 1 %'),
      (axes[2], 'outcome', 'results correct, %', 'Correct results')):
    figures.curves(ax, own, 'round', 'line', column, band=None)
    figures.percent_axis(ax)
    figures.labels(ax, 'rounds of 2,048 answers', label, heading)
  figures.legend(axes[0]), figures.legend(axes[1], loc=(0.53, 0.46))
  figures.finish(
      fig, 'Worked answers (with all steps), by a reward on the result alone',
      'a, c: shares of worked and of short answers that are correct;  middle, '
      f'right: means of {df.seed.nunique()} seeds')
  return fig


def _at(arm: str, n: int = ROUNDS, start: str = 'kept', **cell) -> dict:
  return dict(arm=arm, start=start, round=float(n), share=1.0) | cell


CLAIMS = (
    *(Claim(f'law_{start}', f'RFT, skill {start}: log-odds gained over '
            'ln(a / c), 0.8 to 1.25 (a, c: shares of worked and short answers '
            'that are right)', 'ours (rejection-sampling update)', '1', (_at(
                'RFT', start=start),), between(0.8, 1.25), 'slope', unit='',
            headline=start == 'kept', post_hoc=start != 'kept')
      for start in STARTS),
    *(Claim(f'{arm.lower()}_amplifies', f'From 1 %, {arm} has at least 90 % '
            f'worked answers after {ROUNDS} rounds', 'ours', '—', (
            _at(arm),), at_least(90.0), 'worked') for arm in ARMS),
    above('results', 'From 1 %, RFT raises right results by at least 70 '
          'points', 'ours', _at('RFT'), _at('RFT', 0), rule=greater(70.0),
          column='outcome'))
