"""Copying 16 to 32 different symbols, with one layer of width 16.

  python -m physics_lm.train --config=configs/recall.py --workdir=runs/recall
  python -m physics_lm.train --config=configs/recall.py --workdir=runs/canon \\
    --config.model.canon=b

The second, with Canon layers, learns it in a few hundred steps (seconds of one
core); the first does not.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default


def get_config() -> ConfigDict:
  """Loss on the copy alone; a row is a text."""
  c = default.get_config()
  c.worlds = {'copy': default.recall()}
  c.data.tasks = {'texts': default.task('copy', 'train', 1.0, 'answers')}
  c.data.seq_len, c.data.batch_size = 66, 32
  m, o = c.model, c.optim
  m.depth, m.width, m.heads = 1, 16, 2
  m.norm, m.bias, m.tie_embeddings, m.rope_fraction = (
      'rmsnorm', False, False, 1.0)
  o.name, o.learning_rate, o.weight_decay = 'adamw', 2e-2, 0.0
  c.steps = 1000
  c.evals = {'copy': default.evaluation('answers')}
  c.evals.copy.world, c.evals.copy.num_problems = 'copy', 128
  c.checkpoint.every = c.steps
  return c
