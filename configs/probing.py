"""Training on biographies alone, then P- and Q-probes (Part 3.1, section 5).

  python -m physics_lm.train --config=configs/probing.py:multi5_permute \
      --workdir=DIR

The text after the colon is the variant of bioS; pools are those of
configs/manipulation.py.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default, manipulation

SMALL = {  # hundreds of people: learning rate x weight decay x steps / 2 is 4.5
    'evals.p_probe.names': False, 'evals.q_probe.names': False,
    'evals.p_probe.steps': 150, 'evals.p_probe.weight_decay': 6.0,
    'evals.q_probe.steps': 300, 'evals.q_probe.weight_decay': 3.0}


def get_config(variant: str = 'multi5_permute') -> ConfigDict:
  """Training and probes on a variant of bioS."""
  c = default.get_config()
  c.worlds.bios.update(manipulation.SMALL)
  c.worlds.bios.variant = variant
  c.data.seq_len, c.data.batch_size = 160, 12
  c.data.tasks.bio.weight, c.data.tasks.qa.weight = 1.0, 0.0
  c.optim.learning_rate, c.optim.b2 = 4e-3, 0.95
  c.evals = {'extraction': default.evaluation('extraction'),
             'p_probe': default.evaluation('p_probe'),
             'q_probe': default.evaluation('q_probe')}
  c.evals.q_probe.rank, c.evals.q_probe.batch = 16, 100
  return c
