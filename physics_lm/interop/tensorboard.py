"""Metrics as TensorBoard reads them, from runs' metrics.jsonl. No JAX.

  python -m physics_lm.interop.tensorboard runs/EXPERIMENT [--out=DIR]

A run folder, or a folder of runs; event files go to RUN/tensorboard, or to
DIR/RUN. Tags are train/loss, eval/..., as in the file; the step is the run's.
A second call replaces the files. A run without metrics is skipped.
"""

import calendar
import time
from collections.abc import Sequence
from pathlib import Path

from physics_lm import run_dir
from physics_lm.config import argument_parser
from physics_lm.errors import BadInput, command, disk_errors, need


def convert(run: Path, out: Path) -> int:
  """Writes a run's scalars as event files to `out`; returns their number.
  Raises BadInput for a damaged run."""
  rows = run_dir.read_log(run)
  if not rows:
    return 0
  began = 0.0
  if (run / 'meta.json').exists():
    written = run_dir.read_meta(run).get('time')
    try:
      began = calendar.timegm(time.strptime(written, '%Y-%m-%dT%H:%M:%SZ'))
    except (TypeError, ValueError):
      raise BadInput(f'{run / "meta.json"} has time {written!r}, wanted one '
                     "like '2026-01-31T12:00:00Z'") from None
  for old in out.glob('events.out.tfevents.*'):
    old.unlink()
  seconds = count = 0
  writer = need('tensorboardX', 'tensorboard').SummaryWriter(str(out))
  for row in rows:
    seconds = row.get('time/seconds', seconds)
    for key, value in row.items():
      if key not in ('kind', 'step') and isinstance(value, (int, float)):
        writer.add_scalar(f'{row["kind"]}/{key}', value, row['step'],
                          walltime=began + seconds)
        count += 1
  writer.close()
  return count


@command
def main(argv: Sequence[str] | None = None) -> None:
  """The command line."""
  p = argument_parser('physics_lm.interop.tensorboard', __doc__)
  p.add_argument('folder', type=Path, help='a run, or a folder of runs')
  p.add_argument('--out', type=Path)
  a = p.parse_args(argv)
  runs = sorted(f.parent for f in a.folder.glob('*/metrics.jsonl')
                ) or [a.folder]
  found = 0
  for run in runs:
    out = a.out / run.name if a.out else run / 'tensorboard'
    with disk_errors(out):
      count = convert(run, out)
    print(f'{out}: {count} scalars' if count else f'{run}: no metrics yet')
    found += count
  if not found:
    raise BadInput(f'no metrics in {a.folder}; wanted a run folder, or a '
                   'folder of runs')
  print(f'tensorboard --logdir={a.out or a.folder}')


if __name__ == '__main__':
  main()
