"""How much of the parts must pretraining have shown for RL to compose them?

Zhang et al. (arXiv 2512.07783): reinforcement learning carries a skill to new
contexts only where pretraining has shown their parts, about 1 % of the data.
Here the context is a name (worlds/symbolic/compose.py): pretraining composes 24
functions f0 .. f23 to depth 8; of their second names g0 .. g23 it sees problems
of one function, a share `exposure` of all. Then RLOO (60 steps of 16 prompts x
8) on depth 4 in second names; judged at depth 4 on words that are in no
training, first names beside. At exposure 0 a second name is a new symbol.

  python -m physics_lm.launch experiments/rl_exposure.py --scale=cpu
  python -m physics_lm.report experiments/rl_exposure.py --scale=cpu

Predicted (seed 7, not reported, in brackets), pass@1 in second names before and
after RL: no exposure 0 (0), 0 % (0); 0.03 %, 1 (1), 1 (0); 0.1 %, 14 (14), 70
(72); 1 %, 32 (32), 95 (97), and in first names 99 (99), 55 (53). One in a
thousand is about one problem of each name and start.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, above, at_least, at_most, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

DEPTH = 4
EXPOSURES = (0.0, 0.0003, 0.001, 0.01)
SPLITS = {'second_test_d1': 'one function, second name',
          f'second_test_d{DEPTH}': f'depth {DEPTH}, second names',
          f'test_d{DEPTH}': f'depth {DEPTH}, first names'}
TRUNK = {'steps': 400, 'worlds.compose.second_names': True}
POST = {
    'post.kind': 'reinforce', 'data.batch_size': 128, 'data.seq_len': 24,
    'post.tokens': 8, 'optim.name': 'adamw', 'optim.learning_rate': 3e-4,
    'optim.b2': 0.95, 'optim.warmup_steps': 0, 'steps': 60, 'log.every': 20,
    'checkpoint.every': 60, 'worlds.compose.second_names': True,
    'data.tasks.problems.split': f'second_d{DEPTH}'}
SCALES = {
    'smoke': dict(seeds=1, exposures=(0.001,), trunk={
        'steps': 4, 'optim.warmup_steps': 0, 'model.width': 16,
        'model.depth': 1}, post={'steps': 2, 'checkpoint.every': 2,
                                 'data.batch_size': 16},
                  evals={'num_problems': 2, 'num_samples': 8}),
    'cpu': dict(seeds=5, exposures=EXPOSURES, trunk={}, post={},
                evals={'num_problems': 64, 'num_samples': 128}),
    'gpu': dict(seeds=5, exposures=EXPOSURES,
                trunk={'model.width': 256},
                post={'data.batch_size': 1024, 'steps': 400,
                      'checkpoint.every': 400},
                evals={'num_problems': 256, 'num_samples': 512}),
}


def runs(scale: str) -> list[Run]:
  """Of each exposure and seed the pretrained model, and RL from it."""
  s, out = pick(SCALES, scale), []
  trunk, arms = scales.post_training(s | {'arms': ('RL',)}, TRUNK, POST, {
      'RL': {}}, ','.join(SPLITS))
  for exposure in s['exposures']:
    for seed in range(s['seeds']):
      keys = scales.seeds(seed) | {'worlds.compose.exposure': exposure}
      tags = {'exposure': 100 * exposure, 'seed': seed}
      base = Run('configs/compose.py', trunk | keys, {'arm': 'base'} | tags)
      out += [base, Run('configs/compose.py', arms['RL'] | keys, {
          'arm': 'RL'} | tags, base)]
  return out


def table(records):
  """A row a run, split and k: pass@k in %; exposure in %."""
  return results.wide(records, 'policy', {'pass_at_k': 'pass_at_k'},
                      ('split', 'k'), {'k': (1, 4, 64)}, percent=True)


def summary(df):
  """Means by arm, exposure, split and k."""
  return results.summarise(df, ['arm', 'exposure', 'split', 'k'], ['pass_at_k'])


def figure(df):
  """pass@1 and pass@64 by exposure, before and after RL."""
  df = df.assign(at=df.exposure.map({100 * e: i for i, e in enumerate(
      EXPOSURES)}))
  fig, (axes,) = figures.grid(3, width=3.6, height=3.6)
  alone, deep, _ = SPLITS
  for ax, split, k in zip(axes, (alone, deep, deep), (1, 1, df.k.max())):
    own = results.summarise(df[(df.split == split) & (df.k == k)],
                            ['arm', 'at'], ['pass_at_k'])
    figures.curves(ax, own, 'at', 'arm', 'pass_at_k', {
        'base': 'pretrained', 'RL': f'after RL on depth {DEPTH}'})
    ax.set_xticks(range(len(EXPOSURES)), [f'{100 * e:g}' for e in EXPOSURES])
    figures.percent_axis(ax)
    figures.labels(ax, 'problems in second names in pretraining, %',
                   f'pass@{k}, %', SPLITS[split])
  figures.legend(axes[0], loc='upper left')
  figures.finish(
      fig, 'Reinforcement learning on words of second names, by how often '
      'pretraining shows each name alone',
      f'mean and 95 % interval over {df.seed.nunique()} seeds; words of depth '
      f'{DEPTH} are new')
  return fig


def _at(arm: str, exposure: float, k: int = 1, split: str = '') -> dict:
  return dict(arm=arm, exposure=100 * exposure, k=k,
              split=split or f'second_test_d{DEPTH}')


FIRST, ZHANG = f'test_d{DEPTH}', 'Zhang et al. 2512.07783'
CLAIMS = (
    above('one_in_thousand', 'RL raises pass@1 by at least 30 points where '
          '0.1 % of pretraining shows the names', ZHANG, _at('RL', 0.001),
          _at('base', 0.001), rule=greater(30.0), column='pass_at_k',
          headline=True),
    *(Claim(name, f'After RL pass@1 is at most 5 % where {text}', ZHANG,
            'fails', (_at('RL', exposure),), at_most(5.0), 'pass_at_k')
      for name, text, exposure in (
          ('unseen', 'pretraining has no second name', 0.0),
          ('too_few', '0.03 % of pretraining shows the names', 0.0003))),
    Claim('one_percent', 'After RL pass@1 is at least 90 % where 1 % of '
          'pretraining shows the names', ZHANG, 'generalises',
          (_at('RL', 0.01),), at_least(90.0), 'pass_at_k'),
    above('adds', 'RL raises pass@64 by at least 20 points where 0.1 % of '
          'pretraining shows the names', ZHANG, _at('RL', 0.001, 64),
          _at('base', 0.001, 64), rule=greater(20.0), column='pass_at_k'),
    *(above(f'forgets{more}', 'RL in second names lowers pass@1 in first names '
            f'by at least 20 points ({100 * x:g} %)', 'ours',
            _at('base', x, 1, FIRST), _at('RL', x, 1, FIRST),
            rule=greater(20.0), column='pass_at_k', post_hoc=bool(more))
      for more, x in (('', 0.01), ('_after_few', 0.001))),
)
