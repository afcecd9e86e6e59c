"""A registered seqio Task or Mixture, by name.

  python -m physics_lm.train --config=configs/seqio.py:NAME \\
      --workdir=runs/seqio --config.data.module=my_tasks.py

data.module is the Python module or file that registers NAME; the Tasks of this
project (physics_lm/...) need none. The vocabulary is the Task's.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default


def get_config(name: str) -> ConfigDict:
  """The seqio Task or Mixture `name`."""
  c = default.get_config()
  c.worlds = {}
  c.data.source = f'seqio:{name}'
  c.data.seq_len = 256
  c.data.tasks = {}
  c.evals = {'loss': default.evaluation('loss')}
  return c
