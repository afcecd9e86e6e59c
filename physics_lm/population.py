"""Which runs may train together in one program. No JAX.

Members of a population differ in inputs of the program and in their data:
seeds, learning rate, weight decay, the run that they start from. Everything
else determines the program's shapes or the steps at which the loop acts.
"""

import json
from collections.abc import Sequence

from ml_collections import ConfigDict

from physics_lm.config import flat_keys, plain_config
from physics_lm.errors import BadInput

MAY_DIFFER = ('seed.init', 'seed.data', 'seed.world', 'optim.learning_rate',
              'optim.weight_decay', 'init_from', 'runtime.branch_from')


def shared_keys(config: ConfigDict) -> dict[str, object]:
  """What all members must have in common: {'a.b': value}."""
  # The exact law of a world is a constant of the program.
  constant = ('seed.world',) if config.teacher.run == 'law' else ()
  return {k: v for k, v in flat_keys(plain_config(config)).items()
          if k not in MAY_DIFFER or k in constant}


def population_key(config: ConfigDict) -> str:
  """A string that is equal for configs that may train together: those with the
  same shared_keys that all start from another run, or none. Members that read
  a stream must read the same one."""
  seeds = dict(config.seed) if any(
      w.kind == 'text' for w in config.worlds.values()) or (
          config.data.source != 'worlds') else {}
  return json.dumps([shared_keys(config), config.init_from is None, {
      k: v for k, v in seeds.items() if k != 'init'}], sort_keys=True)


def check_population(configs: Sequence[ConfigDict]):
  """Raises BadInput for configs that cannot train together."""
  if len(configs) > 1 and any(c.post.kind for c in configs):
    raise BadInput(f'{len(configs)} post-training runs in one program, wanted '
                   'each alone: their batches depend on their parameters')
  first = shared_keys(configs[0])
  for i, config in enumerate(configs[1:], 2):
    other = shared_keys(config)
    differs = [f'{k} ({first.get(k, "absent")}, {other.get(k, "absent")})'
               for k in sorted(first.keys() | other.keys())
               if first.get(k, '__absent') != other.get(k, '__absent')]
    if differs:
      raise BadInput(
          f'run {i} of {len(configs)} differs from the first in '
          f'{", ".join(differs)}; members of a population may differ in '
          f'{", ".join(k for k in MAY_DIFFER if k not in first)} only')
