"""Evaluations of a run folder, by the functions the training loop uses.

  python -m physics_lm.evals DIR [--eval=extraction]

Takes the newest checkpoint; writes evals/<eval>/<step>.json and .jsonl.
"""

from pathlib import Path

from physics_lm import cli, trained
from physics_lm.errors import BadInput, command, nearest
from physics_lm.evals import suite


@command
def main(argv=None):
  """The command line."""
  p = cli.parser('physics_lm.evals', __doc__)
  p.add_argument('folder', type=Path, help='a run folder')
  p.add_argument('--eval', help='one of config.evals (default: all)')
  a = p.parse_args(argv)
  config = trained.config(a.folder)
  if a.eval and a.eval not in config.evals:
    raise BadInput(f'--eval is {a.eval!r}; {nearest(a.eval, config.evals)}')
  suite.check(config)
  run = trained.load(a.folder)
  for name in [a.eval] if a.eval else config.evals:
    metrics = suite.run(name, run.params, config, run.cfg, a.folder, run.step)
    print(f'{name}, step {run.step}:')
    for key, value in sorted(metrics.items()):
      print(f'  {key:36} {value:.4f}')
    print(f'  raw outcomes: {a.folder}/evals/{name}/{run.step}.jsonl')


if __name__ == '__main__':
  main()
