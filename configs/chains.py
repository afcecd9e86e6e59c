"""Chains of pointers: hops of a pointer through a text, or Depo.

  python -m physics_lm.train --config=configs/chains.py --workdir=runs/chains
  python -m physics_lm.train --config=configs/chains.py:depo --workdir=runs/depo

`hops` (the default): 48 symbols of 8, up to 6 hops, answered at every place by
three layers of width 32; two minutes of one core. `depo`: up to 16 pairs of
names in random order, up to 4 steps; 20M tokens or more, and whether it is
learned at this size has not been measured.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default


def get_config(variant: str = 'hops') -> ConfigDict:
  """variant: 'hops' or 'depo'. Raises ValueError."""
  if variant not in ('hops', 'depo'):
    raise ValueError(f"variant is {variant!r}, wanted 'hops' or 'depo'")
  c = default.get_config()
  w = default.chains()
  w.variant, c.worlds = variant, {'chains': w}
  c.data.tasks = {'texts': default.task('chains', 'train', 1.0, 'answers')}
  c.data.seq_len, c.data.batch_size = 50, 32  # a row is a text
  m, o = c.model, c.optim
  m.depth, m.width, m.heads = 3, 32, 4
  m.norm, m.bias, m.tie_embeddings, m.rope_fraction = (
      'rmsnorm', False, False, 1.0)
  o.name, o.learning_rate, o.weight_decay = 'muon', 1e-2, 0.0
  c.steps = 2500
  c.evals = {'hops': default.evaluation('answers')}
  c.evals.hops.world, c.evals.hops.num_problems = 'chains', 256
  if variant == 'depo':
    w.length, w.symbols, w.max_hops = 16, 64, 4
    c.data.seq_len, c.data.batch_size = 128, 16  # about three texts a row
    m.depth, m.width = 4, 64
    c.steps = 10_000
  c.checkpoint.every = c.steps
  return c
