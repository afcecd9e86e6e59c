"""Compositions of hidden permutations, with worked answers.

  python -m physics_lm.train --config=configs/compose.py --workdir=runs/compose
  python -m physics_lm.train --config=configs/compose.py:marked \\
    --workdir=runs/marked

The default (`worked`): every answer has its steps. `marked`: an answer begins
with its style, and nine in ten are worked. `depths`: a task of each of the
depths 6 to 9, whose since and until make a curriculum. `judged`: half of the
rows are verdicts on answers; whether this size learns them has not been
measured. Four layers of width 64 with Muon, about two minutes of one core.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default

VARIANTS = 'worked', 'marked', 'depths', 'judged'


def get_config(variant: str = 'worked') -> ConfigDict:
  """variant: a member of VARIANTS. Raises ValueError."""
  if variant not in VARIANTS:
    raise ValueError(f'variant is {variant!r}, wanted one of '
                     f'{", ".join(VARIANTS)}')
  c = default.get_config()
  c.worlds = {'compose': default.compose()}
  if variant == 'marked':
    c.worlds.compose.marked, c.worlds.compose.share_worked = True, 0.9
  splits = {'problems': 'train'} if variant != 'depths' else {
      f'depth_{d}': f'train_d{d}' for d in range(6, 10)}
  c.data.tasks = {name: default.task('compose', split, 1.0, 'answers')
                  for name, split in splits.items()}
  if variant == 'judged':
    c.worlds.compose.judged = True
    c.data.tasks.verdicts = default.task('compose', 'judge', 1.0, 'answers')
  c.data.seq_len, c.data.batch_size = 32, 192
  c.model.rope_fraction = 1.0
  o = c.optim
  o.name, o.learning_rate, o.weight_decay = 'muon', 1e-2, 0.0
  o.schedule, o.final_lr_fraction = 'constant', 1.0
  o.warmup_steps = 50
  c.steps = 1000
  c.evals = {'policy': default.evaluation('policy')}
  e = c.evals.policy
  e.world, e.splits = 'compose', 'test_d5,test_d7'
  e.num_problems, e.num_samples, e.max_new_tokens = 64, 32, 12
  c.checkpoint.every = 500
  return c
