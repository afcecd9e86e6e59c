"""iGSM (Parts 2.1 and 2.2): reasoning step by step, and from mistakes.

python -m physics_lm.train --config=configs/igsm.py --workdir=runs/igsm
python -m physics_lm.train --config=configs/igsm.py:med --workdir=runs/med \\
  --config.worlds.igsm.retry_rate=0.5

`small` (the default) is for one CPU: two levels of two items, op 1 to 4,
modulus 5; 0.2M parameters. `med` and `hard` are the paper's problems, model and
steps, in tokens of whole phrases: about a day of a data-centre GPU.
"""

from configs import default

SIZES = {'med': (15, 20, 448, 512, 100_000, 0.05),
         'hard': (21, 28, 640, 256, 200_000, 0.03)}


def get_config(variant='small'):
  c = default.get_config()
  c.worlds = {'igsm': default.igsm()}
  c.data.tasks = {'train': default.task('igsm', 'train', 1.0)}
  c.data.vocab = 'piece'
  c.evals = {'loss': default.evaluation('loss'),
             'reasoning': default.evaluation('reasoning')}
  c.evals.reasoning.world = 'igsm'
  c.optim.weight_decay, c.optim.learning_rate = 0.05, 2e-3
  if variant == 'small':
    w = c.worlds.igsm
    w.max_op, w.max_edge, w.max_depth, w.max_width = 4, 4, 2, 2
    w.modulus, w.chains, w.subcategories, w.names = 5, 'harbor', 1, 8
    c.data.length, c.data.batch, c.steps = 256, 16, 2000
    return c
  if variant not in SIZES:
    raise ValueError(f'variant {variant!r}, wanted small, med or hard')
  w, m = c.worlds.igsm, c.model
  (w.max_op, w.max_edge, c.data.length, c.data.batch, c.steps,
   c.optim.weight_decay) = SIZES[variant]
  m.depth, m.width, m.heads = 12, 768, 12
  m.dtype = 'bfloat16'
  c.optim.warmup, c.optim.final = 1000, 0.01
  c.log.every, c.checkpoint.every = 200, 2000
  return c
