"""Do a model's own answers improve it: a ratchet, or a collapse?

Lee et al. (arXiv 2502.01612) climbed from 10 digits of addition to over 100 by
training on own answers to ever longer sums, filtered by length or by a vote;
without a filter multiplication collapsed, as models trained on their own data
are said to do (Shumailov et al., 2305.17493). In each of four rounds a model
answers 320 problems of worlds/symbolic/compose.py eight times and is trained on
what a filter keeps, 20 steps: all; vote, what most answers agree on; checker.
The rounds' problems are of 6, 7, 8, 9 functions (deeper), or all of 6 (same).

  python -m physics_lm.launch experiments/self_improvement.py --scale=cpu
  python -m physics_lm.report experiments/self_improvement.py --scale=cpu

Predicted, % correct at depths 6, 7, 8 (seed 7, not reported: 54, 14, 2, then
vote 60, 12, 0, checker 96, 97, 47 after rounds 1, 2, 3 and 32, 34, 32 after 4):
checker 92, 80, 35, then 35, 35, 30; vote 65, 15, 1; no filter 45, 12, 1; same
50 at depth 6.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, above, equal, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

DEPTHS, STEPS = (6, 7, 8, 9), 20  # of the rounds; steps of a round
WORLD = {'worlds.compose.functions': 8}
TRUNK = {'steps': 400, 'data.batch_size': 96}
POST = {
    'post.kind': 'reinforce', 'post.baseline': 'filter', 'post.norm': 'token',
    'data.batch_size': 128, 'data.seq_len': 26, 'post.tokens': 12,
    'optim.name': 'adamw', 'optim.learning_rate': 1e-3, 'optim.b2': 0.95,
    'optim.warmup_steps': 0}
REWARDS = {'no filter': 'any', 'vote': 'vote', 'checker': 'full'}
ARMS = [(f, 'deeper') for f in REWARDS] + [('no filter', 'same')]
SCALES = {
    'smoke': dict(seeds=1, steps=1, arms=ARMS[1:2], trunk={
        'steps': 4, 'optim.warmup_steps': 0, 'model.width': 16,
        'model.depth': 1}, post={'data.batch_size': 16},
                  evals={'num_problems': 2, 'num_samples': 8}),
    'cpu': dict(seeds=5, steps=STEPS, arms=ARMS, trunk={}, post={}, evals={
        'num_problems': 64, 'num_samples': 8})}


def windows(problems: str, steps: int) -> dict:
  """Overrides: the rounds of each depth."""
  if problems == 'same':
    return {f'data.tasks.depth_{d}.weight': float(d == DEPTHS[0])
            for d in DEPTHS}
  last = len(DEPTHS) - 1
  return {f'data.tasks.depth_{d}.{key}': steps * (n + more)
          for n, d in enumerate(DEPTHS) for key, more, end in (
              ('since', 0, 0), ('until', 1, last)) if n != end}


def runs(scale: str) -> list[Run]:
  """Of each seed the start, and every arm from it."""
  s, out = pick(SCALES, scale), []
  steps = s['steps'] * len(DEPTHS)
  post = POST | {'steps': steps, 'checkpoint.every': steps,
                 'post.every': s['steps'], 'log.every': s['steps']}
  start, arms = scales.post_training(
      s, WORLD | TRUNK, WORLD | post, {a: windows(a[1], s['steps']) | {
          'post.reward': REWARDS[a[0]]} for a in s['arms']},
      ','.join(f'test_d{d}' for d in DEPTHS))
  for seed in range(s['seeds']):
    keys = scales.seeds(seed)
    first = Run('configs/compose.py', start | keys, {
        'arm': 'start', 'problems': 'none', 'seed': seed})
    out += [first, *(Run('configs/compose.py:depths', own | keys | {
        'evals.policy.every': s['steps']}, {
            'arm': arm, 'problems': problems, 'seed': seed}, first)
                     for (arm, problems), own in arms.items())]
  return out


def table(records):
  """A row a run, round and depth: accuracy of a sample in %, and of a round's
  kept answers in the last round."""
  import pandas as pd
  columns = {d: f'pass_at_k/test_d{d}/1' for d in DEPTHS}
  df = results.during_training(records, 'policy', columns)
  start = results.wide(records, 'policy', {'accuracy': 'pass_at_k'}, ('split',),
                       {'k': 1})
  start = start[start.arm == 'start']
  df = df.melt([c for c in df if c not in columns], DEPTHS, 'depth', 'accuracy')
  df['round'] = df.step / df.step.max() * len(DEPTHS)
  start = start.assign(round=0.0, depth=[
      int(t.removeprefix('test_d')) for t in start.split])
  df = pd.concat([start.drop(columns='split'), df.drop(columns='step')])
  df = results.beside(df, results.train_columns(
      records, {'kept': 'kept/correct'}), 'kept').reset_index(drop=True)
  return df.assign(accuracy=100 * df.accuracy, kept=100 * df.kept)


def summary(df):
  """Means by arm, problems, round and depth."""
  return results.summarise(df, ['arm', 'problems', 'round', 'depth'],
                           ['accuracy', 'kept'])


def figure(df):
  """Accuracy over rounds, a panel for each depth."""
  fig, (axes,) = figures.grid(len(DEPTHS), width=2.9, height=3.4)
  s = summary(df)
  start = s[s.arm == 'start']
  s = results.below(s[s.arm != 'start'], *(
      start.assign(arm=a, problems=p) for a, p in ARMS)).sort_values('round')
  s['line'] = s.arm + ', ' + s.problems.replace('same', f'depth {DEPTHS[0]}')
  lines = {x: x for x in sorted(set(s.line))}  # one colour in all panels
  for ax, depth in zip(axes, DEPTHS):
    figures.curves(ax, s[s.depth == depth], 'round', 'line', 'accuracy', lines,
                   band=False)
    ax.set_xticks(range(len(DEPTHS) + 1))
    figures.percent_axis(ax)
    figures.labels(ax, 'round', 'samples correct, %', f'Depth {depth}')
    ax.set_ylim(-3, 103)
  figures.legend(axes[-1])
  figures.finish(fig, 'Four rounds of training on own answers',
                 f'{figures.seeds_note(s)};  deeper: depths 6 to 9 by round')
  return fig


def _at(arm: str, depth: int, problems: str = 'deeper', n: int = 4) -> dict:
  return {'arm': arm, 'problems': problems, 'round': n, 'depth': depth}


START = {d: _at('start', d, 'none', 0) for d in DEPTHS}
LEE, SAME = 'Lee et al. 2502.01612', {'column': 'accuracy'}
CLAIMS = (
    *(above(f'checker_{d}', f'With the checker depth {d} rises by at least '
            f'{by} points by round {n}', LEE, _at('checker', d, n=n), START[d],
            rule=greater(by), headline=d == 8, **SAME)
      for d, n, by in ((7, 2, 30.0), (8, 3, 15.0))),
    above('vote_climbs', 'With the vote depth 7 rises by at least 10 points by '
          'round 2', LEE, _at('vote', 7, n=2), START[7], rule=greater(10.0),
          **SAME),
    above('last_rounds_forget', 'With the checker depth 6 falls by at least 20 '
          'points from round 2 to 4', 'ours', _at('checker', 6, n=2),
          _at('checker', 6), rule=greater(20.0), **SAME),
    Claim('no_filter_no_gain', 'Without a filter depth 7 stays within 10 '
          'points of the start', 'ours', '—',
          (_at('no filter', 7), START[7]), equal(10.0), 'accuracy'),
    Claim('no_collapse', 'Without a filter on problems of depth 6, depth 6 '
          'stays within 10 points of the start', 'Shumailov et al. 2305.17493',
          'collapses', (_at('no filter', 6, 'same'), START[6]), equal(10.0),
          'accuracy'),
    above('vote_helps', 'Round 2, depth 7: the vote is above no filter', LEE,
          _at('vote', 7, n=2), _at('no filter', 7, n=2), post_hoc=True, **SAME),
    above('falls', 'Without a filter, on deeper problems, depth 6 falls', LEE,
          START[6], _at('no filter', 6), post_hoc=True, **SAME))
