"""Evaluations of a run folder, by the functions the training loop uses.

  python -m physics_lm.evals DIR [--eval=extraction]

Takes the newest checkpoint; writes evals/<eval>/<step>.json and .jsonl.
"""

import argparse
from pathlib import Path

import jax
from ml_collections import ConfigDict

from physics_lm import checkpoint, model, rows, shape, store
from physics_lm.errors import BadInput, command, nearest
from physics_lm.evals import suite


@command
def main(argv=None):
  """The command line."""
  p = argparse.ArgumentParser(
      prog='python -m physics_lm.evals', description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument('folder', type=Path, help='a run folder')
  p.add_argument('--eval', help='one of config.evals (default: all)')
  a = p.parse_args(argv)
  config = ConfigDict(store.read_json(a.folder / 'config.json'))
  if a.eval and a.eval not in config.evals:
    raise BadInput(f'--eval is {a.eval!r}; {nearest(a.eval, config.evals)}')
  suite.check(config)
  cfg = shape.make(config, len(rows.load(config).vocab))
  key = jax.random.key(config.seed.init)
  params, step = checkpoint.load_params(
      a.folder, jax.eval_shape(lambda: model.init(cfg, key)))
  for name in [a.eval] if a.eval else config.evals:
    metrics = suite.run(name, params, config, cfg, a.folder, step)
    print(f'{name}, step {step}:')
    for key_, value in sorted(metrics.items()):
      print(f'  {key_:36} {value:.4f}')
    print(f'  raw outcomes: {a.folder}/evals/{name}/{step}.jsonl')


if __name__ == '__main__':
  main()
