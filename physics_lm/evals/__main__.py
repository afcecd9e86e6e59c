"""Evaluates a run folder with the evaluators that the training loop uses.

  python -m physics_lm.evals DIR [--eval=extraction]

Takes the newest checkpoint; writes evals/<eval>/<step>.json and .jsonl.
"""

from pathlib import Path

from physics_lm import checkpoint, restore, run_dir
from physics_lm.config import argument_parser
from physics_lm.errors import BadInput, command, disk_errors, nearest
from physics_lm.evals import records, registry


@command
def main(argv: list[str] | None = None):
  """The command line."""
  p = argument_parser('physics_lm.evals', __doc__)
  p.add_argument('folder', type=Path, help='a run folder')
  p.add_argument('--eval', help='one of config.evals (default: all)')
  a = p.parse_args(argv)
  config = restore.run_config(a.folder)
  if a.eval and a.eval not in config.evals:
    raise BadInput(f'--eval is {a.eval!r}; {nearest(a.eval, config.evals)}')
  registry.check_evals(config)
  run = restore.load_run(a.folder)
  names = [a.eval] if a.eval else list(config.evals)
  for name, evaluator in registry.build(config, run.data, a.folder,
                                        names).items():
    params, count = run.params, config.evals[name].average
    if count > 1:
      params = checkpoint.mean_params(a.folder, params, run_dir.averaged_steps(
          config, count, run.step)[1:])
    found = evaluator(params, run.step)
    with disk_errors(a.folder):  # evaluations that are finished are kept
      registry.write(a.folder, name, run.step, found)
    print(f'{name}, step {run.step}:')
    for row in found.rows:
      interval = f' [{row["low"]:.4f}, {row["high"]:.4f}]' if (
          'low' in row) else ''
      print(f'  {records.flat_name(row):44} {row["value"]:.4f}{interval} '
            f'(n = {row["n"]})')
    print(f'  raw outcomes: {a.folder}/evals/{name}/{run.step}.jsonl')


if __name__ == '__main__':
  main()
