"""Does reinforcement learning add what pretraining lacked?

Yue et al. (arXiv 2504.13837): a model after reinforcement learning on a
checker's reward is right more often in one sample, but solves no problem that
the base cannot solve in many. Zhang et al. (2512.07783): at the edge of what
pretraining reached it does. Here depth is a dial (worlds/symbolic/compose.py):
pretraining on depths 1 to 8 at decaying rates reaches about depth 6; training
(RLOO, 60 steps of 16 prompts x 8) is inside (depth 6), at the edge (7) or
beyond (9), with the full check, the outcome alone, or the share of correct
steps as the reward. pass@k of the same k for the base, of 64 problems with 128
samples, words not in training.

  python -m physics_lm.launch experiments/rl_edge.py --scale=cpu
  python -m physics_lm.report experiments/rl_edge.py --scale=cpu

Predicted (seed 9, not reported: base 65 % at depth 6, 17 % at 7, 1 % at 8): at
the edge pass@1 rises by 30 points or more, pass@64 by at most 5; beyond, no
reward lifts pass@1 at depth 9 above 5 %, the outcome's by less than the
process's; training at the edge lowers pass@64 at depth 8 below the base's.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, above, at_most, exceeds_by_at_most, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, from_bases, pick

DEPTHS = (5, 6, 7, 8, 9)
KS = (1, 4, 16, 64)
TRUNK = {'steps': 400}
POST = {
    'post.kind': 'reinforce', 'data.batch_size': 128, 'data.seq_len': 24,
    'post.tokens': 11, 'optim.name': 'adamw', 'optim.learning_rate': 3e-4,
    'optim.b2': 0.95, 'optim.warmup_steps': 0, 'steps': 60, 'log.every': 20,
    'checkpoint.every': 60}
SPLIT = 'data.tasks.problems.split'
ARMS = {
    'inside (depth 6)': {SPLIT: 'train_d6'},
    'edge (depth 7)': {SPLIT: 'train_d7'},
    'edge, RFT': {SPLIT: 'train_d7', 'post.baseline': 'filter',
                  'post.norm': 'token'},
    'beyond (depth 9), full check': {SPLIT: 'train_d9'},
    'beyond, outcome': {SPLIT: 'train_d9', 'post.reward': 'outcome'},
    'beyond, process': {SPLIT: 'train_d9', 'post.reward': 'process'},
}
SCALES = {
    'smoke': dict(seeds=1, arms=('edge (depth 7)',), trunk={
        'steps': 4, 'optim.warmup_steps': 0, 'model.width': 16,
        'model.depth': 1}, post={'steps': 2, 'checkpoint.every': 2,
                                 'data.batch_size': 16},
                  evals={'num_problems': 2, 'num_samples': 8}),
    'cpu': dict(seeds=5, arms=tuple(ARMS), trunk={}, post={},
                evals={'num_problems': 64, 'num_samples': 128}),
    'gpu': dict(seeds=5, arms=tuple(ARMS), trunk={'model.width': 256},
                post={'data.batch_size': 1024, 'steps': 400,
                      'checkpoint.every': 400},
                evals={'num_problems': 256, 'num_samples': 512}),
}


def runs(scale: str) -> list[Run]:
  """The trunks, and every (arm, seed)."""
  s = pick(SCALES, scale)
  return from_bases(
      'configs/compose.py', *scales.post_training(
      s, TRUNK, POST, ARMS, ','.join(f'test_d{d}' for d in DEPTHS)), [
          scales.seeds(seed) for seed in range(s['seeds'])])


def table(records):
  """A row a run, depth and k: pass@k in %."""
  df = results.wide(records, 'policy', {'pass_at_k': 'pass_at_k'},
                    ('split', 'k'), percent=True)
  df['depth'] = [int(str(s).removeprefix('test_d')) for s in df.split]
  return df[df.k.isin(KS)].drop(columns='split')


def summary(df):
  """Means by arm, depth and k."""
  return results.summarise(df, ['arm', 'depth', 'k'], ['pass_at_k'])


def figure(df):
  """pass@1 and pass@64 by depth, before and after."""
  s = summary(df)
  names = {a: a for a in ('base', *ARMS)}
  s['x'] = s.depth + 0.06 * (s.arm.map(list(names).index) - 3)  # side by side
  fig, (axes,) = figures.grid(2, width=5.4, height=4)
  for ax, k in zip(axes, (1, s.k.max())):
    figures.curves(ax, s[s.k == k], 'x', 'arm', 'pass_at_k', names,
                   band=False)
    ax.set_xticks(DEPTHS)
    figures.percent_axis(ax)
    figures.labels(ax, 'depth of the problem', f'pass@{k}, %',
                   'One sample' if k == 1 else f'{k} samples')
  figures.legend(fig, handles=axes[0].get_legend_handles_labels()[0],
                 title='RL training', loc='outside right center')
  figures.finish(fig, 'Before and after reinforcement learning at one depth',
                 f'{figures.seeds_note(s)};  words not in training')
  return fig


def _at(arm: str, depth: int, k: int) -> dict:
  return dict(arm=arm, depth=depth, k=k)


EDGE, YUE = 'edge (depth 7)', 'Yue et al. 2504.13837'
ZHANG = 'Zhang et al. 2512.07783'
EASIER = 'a base that solves some of depth 9: depth 8, 10 core-minutes'
CLAIMS = (
    above('edge_pass_at_1', 'At the edge pass@1 rises by at least 30 points',
          YUE, _at(EDGE, 7, 1), _at('base', 7, 1), rule=greater(30.0),
          column='pass_at_k', headline=True),
    Claim('edge_pass_at_64', 'At the edge pass@64 rises by at most 5 points',
          YUE, 'not above the base', (_at(EDGE, 7, 64), _at('base', 7, 64)),
          exceeds_by_at_most(5.0), 'pass_at_k'),
    Claim('inside_pass_at_64', 'Inside, pass@64 rises by at most 5 points',
          ZHANG, 'never up', (_at('inside (depth 6)', 6, 64),
                              _at('base', 6, 64)),
          exceeds_by_at_most(5.0), 'pass_at_k'),
    above('narrows_beyond', 'Training at the edge lowers pass@64 one depth '
          'beyond', 'ours', _at('base', 8, 64), _at(EDGE, 8, 64),
          column='pass_at_k'),
    Claim('beyond_nothing', 'Beyond the edge the full check leaves pass@1 at '
          'depth 9 at 5 % or less', ZHANG, 'stalls', (
              _at('beyond (depth 9), full check', 9, 1),), at_most(5.0),
          'pass_at_k', baseline=0, decided_by=EASIER),
    above('process_beyond', 'Beyond the edge, process beats outcome at depth 9',
          ZHANG, _at('beyond, process', 9, 1), _at('beyond, outcome', 9, 1),
          column='pass_at_k', decided_by=EASIER),
    above('rft_below_rl', 'At the edge RFT is below RLOO', '2509.25123',
          _at(EDGE, 7, 1), _at('edge, RFT', 7, 1), column='pass_at_k'),
)
