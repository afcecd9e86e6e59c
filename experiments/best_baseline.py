"""Which constant baseline has a policy gradient the least variance with?

A gradient g (R - b) has the same mean for every constant b, and the least
variance with b* = E[|g|^2 R] / E[|g|^2], which is the mean reward p only if the
scores g of correct answers are as large as those of incorrect ones. A confident
policy's correct answers have small scores, so b* is below p and "reward less
its mean" need not lower the variance of rewards 0 and 1. Measured on models of
worlds/symbolic/compose.py during pretraining, 256 groups of 8 answers at each
depth: p, b* from the scores of all parameters, b* predicted from the logits
alone, and the variance with b = p, b*, 1 and RLOO's, over that with b = 0.

  python -m physics_lm.launch experiments/best_baseline.py --scale=cpu
  python -m physics_lm.report experiments/best_baseline.py --scale=cpu

Predicted (seed 7, not reported: at p 0.64, 0.10 and 0.94 b* is 0.28, 0.04 and
0.44, from the logits 0.16, 0.04 and 0.17): for p 0.3 to 0.8, b* 0.3 below p;
the variance with b* 0.95 of that without a baseline, with p 1.15, with RLOO
1.2; with 1, for p 0.05 to 0.3, tenfold: why rewards less 1 learn slowly
(policy_gradients.py).
"""

import numpy as np

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, at_most
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

DEPTHS = (4, 5, 6, 7, 8)
BASELINES = {'mean': 'b = p', 'best': 'b = b*', 'one': 'b = 1',
             'others': 'RLOO'}
COLUMNS = dict(reward='reward', best='baseline', predicted='baseline_logits',
               measured='baseline_measured', ratio='norm_ratio',
               **{f'variance_{b}': f'variance_{b}' for b in BASELINES})
SPEC = {f'evals.scores.{k}': v for k, v in {
    'kind': 'score_norms', 'world': 'compose', 'reward': 'full',
    'num_samples': 8, 'max_new_tokens': 10,
    'splits': ','.join(f'test_d{d}' for d in DEPTHS)}.items()}
SCALES = {
    'smoke': dict(seeds=1, common={
        'steps': 4, 'optim.warmup_steps': 0, 'model.width': 16,
        'model.depth': 1, 'evals.policy.num_problems': 1,
        'evals.scores.num_problems': 2, 'evals.scores.every': 2}),
    'cpu': dict(seeds=5, common={
        'steps': 600, 'evals.scores.every': 150, 'evals.policy.num_problems': 1,
        'evals.scores.num_problems': 256}),
}


def runs(scale: str) -> list[Run]:
  """A pretraining of each seed."""
  s = pick(SCALES, scale)
  return [Run('configs/compose.py', SPEC | s['common'] | scales.seeds(seed), {
      'seed': seed}) for seed in range(s['seeds'])]



def table(records):
  """A row a run, step and depth. zone: by the mean reward, low (0.05 to 0.3),
  middle (0.3 to 0.8) or other;
  below: p - b*; miss, miss_logits: |b* - the constant of least measured
  variance|, and of b* predicted from the logits from b*."""
  df = results.below(*(results.during_training(records, 'scores', {
      c: f'{m}/test_d{d}' for c, m in COLUMNS.items()}).assign(depth=d)
                       for d in DEPTHS))
  zone = np.select([df.reward.between(0.05, 0.3), df.reward.between(0.3, 0.8)],
                   ['low', 'middle'], 'other')
  return df.assign(
      zone=zone, below=df.reward - df.best, miss=abs(df.best - df.measured),
      miss_logits=abs(df.predicted - df.best))


def summary(df):
  """Means by zone, with the number of points."""
  return results.summarise(df, ['zone'], [
      *COLUMNS, 'below', 'miss', 'miss_logits'])


def figure(df):
  """b* and its prediction against p; the variance with each baseline."""
  fig, ((left, right),) = figures.grid(2, width=5, height=4.2)
  left.plot([0, 1], [0, 1], color='0.6', lw=1)
  left.text(0.42, 0.46, 'b = p', rotation=40, color='0.4')
  for column, label, marker, k in (
      ('best', 'b*, all parameters', 'o', 0),
      ('predicted', 'b*, from the logits alone', 'x', 1)):
    left.plot(df.reward, df[column], marker, ms=4, color=figures.COLOURS[k],
              label=label)
  figures.labels(left, 'mean reward p', 'constant baseline', '')
  figures.legend(left, loc='upper left')
  for k, (name, label) in enumerate(BASELINES.items()):
    right.plot(df.reward, df[f'variance_{name}'], 'o', ms=4,
               color=figures.COLOURS[k], label=label)
  right.axhline(1, color='0.6', lw=1)
  right.set_yscale('log')
  right.set_ylim(0.3, 30)
  figures.labels(right, 'mean reward p', 'variance over that with b = 0', '')
  figures.legend(right, loc='upper right')
  figures.finish(fig, 'Baselines of a policy gradient with rewards 0 and 1',
                 f'a point: a depth ({DEPTHS[0]} to {DEPTHS[-1]}) and step of '
                 f'pretraining; {df.seed.nunique()} seeds; groups of 8 answers')
  return fig


MIDDLE = {'zone': 'middle'}


def _variance(name: str, zone: str = 'middle') -> dict:
  return {'zone': zone, 'column': f'variance_{name}'}


CLAIMS = (
    Claim('below_p', 'The best constant is at least 0.15 below p, for p 0.3 to '
          '0.8', 'ours', '—', (MIDDLE,), at_least(0.15),
          'below', headline=True, unit=''),
    Claim('norms_predict', 'b* from the norms of scores is within 0.1 of the '
          'constant with the least measured variance', 'ours', '—', (
          MIDDLE,), at_most(0.1), 'miss', unit=''),
    Claim('logits_predict', 'b* from the logits alone is within 0.15 of b* '
          'from all parameters', 'ours', '—', (MIDDLE,),
          at_most(0.15), 'miss_logits', unit=''),
    Claim('little_to_gain', 'The variance with b* is at least 85 % of that '
          'without a baseline', 'ours', '—',
          (_variance('best'),), at_least(0.85), 'variance_best', unit=''),
    *(Claim(f'{name}_no_gain', f'The variance with {label} is at least that '
            'without a baseline', 'ours', '—',
            (_variance(name),), at_least(1.0), f'variance_{name}', unit='')
      for name, label in (('mean', 'b = p'), ('others', 'RLOO'))),
    Claim('offset_costs', 'Where p is 0.05 to 0.3, rewards less 1 have at '
          'least three times the variance', 'ours', '—',
          (_variance('one', 'low'),), at_least(3.0), 'variance_one', unit=''),
)
