"""Instructions on short strings, for the threshold of following new ones.

  python -m physics_lm.train --config=configs/instruct.py \\
    --workdir=runs/instruct
  python -m physics_lm.train --config=configs/instruct.py:bilingual \\
    --workdir=runs/bilingual

The default (`replace`): "replace x by y" of pairs of 32 symbols, loss on the
answers; half a minute of one core. `generalist`: six families of instructions.
`bilingual`: replacing is taught in the first of two languages alone.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default

FAMILIES = {
    'replace': 'replace',
    'generalist': 'replace,delete,double,reverse,count,select',
    'bilingual': 'replace,delete,double,reverse'}


def get_config(variant: str = 'replace') -> ConfigDict:
  """variant: one of FAMILIES. Raises ValueError."""
  if variant not in FAMILIES:
    raise ValueError(f'variant is {variant!r}, wanted one of '
                     f'{", ".join(FAMILIES)}')
  c = default.get_config()
  c.worlds = {'instruct': default.instruct()}
  w = c.worlds.instruct
  w.families = FAMILIES[variant]
  if variant == 'bilingual':
    w.second, w.first_only, w.shared_words = 0.5, 'replace', True
  c.data.tasks = {'questions': default.task('instruct', 'train', 1.0,
                                            'answers')}
  c.data.seq_len, c.data.batch_size = 64, 32
  m, o = c.model, c.optim
  m.depth, m.canon, m.norm, m.bias, m.rope_fraction = (
      2, 'ac', 'rmsnorm', False, 1.0)
  o.name, o.learning_rate, o.weight_decay = 'muon', 1e-2, 0.0
  o.schedule, o.warmup_steps = 'linear', 20
  c.steps = 300
  c.evals = {'answers': default.evaluation('answers')}
  c.evals.answers.world, c.evals.answers.num_problems = 'instruct', 512
  c.checkpoint.every = c.steps
  return c
