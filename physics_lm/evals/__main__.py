"""Evaluations of a run folder, by the functions the training loop uses.

  python -m physics_lm.evals DIR [--eval=extraction]

Takes the newest checkpoint; writes evals/<eval>/<step>.json and .jsonl.
"""

from pathlib import Path

import jax
from ml_collections import ConfigDict

from configs import default
from physics_lm import checkpoint, cli, model, rows, shape, store
from physics_lm.errors import BadInput, command, nearest
from physics_lm.evals import suite


@command
def main(argv=None):
  """The command line."""
  p = cli.parser('physics_lm.evals', __doc__)
  p.add_argument('folder', type=Path, help='a run folder')
  p.add_argument('--eval', help='one of config.evals (default: all)')
  a = p.parse_args(argv)
  stored = store.read_json(a.folder / 'config.json')
  foreign = sorted(set(store.plain(default.get_config())) - set(stored))
  if foreign:
    raise BadInput(f'{a.folder}/config.json lacks {", ".join(foreign)}: not '
                   'a run of this code')
  config = ConfigDict(stored)
  if a.eval and a.eval not in config.evals:
    raise BadInput(f'--eval is {a.eval!r}; {nearest(a.eval, config.evals)}')
  suite.check(config)
  cfg = shape.make(config, len(rows.load(config).vocab))
  key = jax.random.key(config.seed.init)
  # Onto one device here, whatever mesh it was trained on.
  here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  params, step = checkpoint.load_params(a.folder, jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
      jax.eval_shape(lambda: model.init(cfg, key))))
  for name in [a.eval] if a.eval else config.evals:
    metrics = suite.run(name, params, config, cfg, a.folder, step)
    print(f'{name}, step {step}:')
    for key_, value in sorted(metrics.items()):
      print(f'  {key_:36} {value:.4f}')
    print(f'  raw outcomes: {a.folder}/evals/{name}/{step}.jsonl')


if __name__ == '__main__':
  main()
