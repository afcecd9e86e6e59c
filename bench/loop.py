"""Does training run at the speed of its step?

  taskset -c 0 python bench/loop.py [--quick] [--out=bench/RESULTS.md]
  python bench/loop.py --sweep=RUNS/EXPERIMENT

The loop of physics_lm/train.py, with its data, logs and checkpoints at the
defaults, and the bare train step on rows made beforehand, in turn in one
process: tokens of each for a second of processor time. On one core that is the
time of a quiet machine, also beside other work. Then what imports take.
Replaces the section of these figures in RESULTS.md. With --sweep, instead, the
seconds that a sweep of one worker spent between its runs, from its folders.
"""

import argparse
import contextlib
import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax

from physics_lm import (
  host_tuning,
  launch,
  loader,
  loop,
  run_dir,
  sweep,
  train_step,
)
from physics_lm.config import load_config, override
from physics_lm.mixture import load_mixture
from physics_lm.progress import Stop
from physics_lm.recorder import RunRecorder

TITLE = '## The loop against its step'
TINY = {'model.width': 16, 'model.depth': 2, 'model.heads': 2}
BIOGRAPHIES = 'configs/default.py'
# name: (recipe, overrides, steps of a turn, predicted share of the step's
# speed). Of few steps most of a turn would be its start and end.
SHAPES = {
    'D 64, 4 layers, T 128': (BIOGRAPHIES, {
        'model.width': 64, 'model.depth': 4, 'data.seq_len': 128,
        'data.batch_size': 32}, 60, 0.97),
    'D 128, 4 layers, T 256': (BIOGRAPHIES, {
        'model.width': 128, 'model.depth': 4, 'data.seq_len': 256,
        'data.batch_size': 16}, 30, 0.97),
    'D 16, 2 layers, T 22': (
        'configs/biod.py', TINY | {'data.seq_len': 22, 'data.batch_size': 32},
        1600, 0.95),
    'D 16, 2 layers, T 64': (
        'configs/biod.py', TINY | {'data.seq_len': 64, 'data.batch_size': 32},
        1200, 0.95)}


def loop_and_step(recipe: str, overrides: dict, steps: int, turns: int
                  ) -> list[tuple]:
  """(tokens for a processor second of the loop, of the step) of each turn."""
  config = override(load_config(recipe), overrides | {
      'steps': steps, 'optim.warmup_steps': 0})
  with config.unlocked():
    config.evals = {}
  data = load_mixture(config)
  trainer = train_step.build(config, data)
  local = loader.local_rows(trainer.batch_shardings['task'], trainer.batch_dims)
  batch = jax.device_put(next(loader.host_batches(
      [data], config.data.batch_size, local, 0)), trainer.batch_shardings)
  tokens = steps * config.data.batch_size * config.data.seq_len

  def bare() -> float:
    state = trainer.init()
    began = time.process_time()
    with jax.set_mesh(trainer.mesh):
      for _ in range(steps):
        state, sums = trainer.step(state, batch)
      jax.block_until_ready(sums)
    return time.process_time() - began

  def whole() -> float:
    folder = Path(tempfile.mkdtemp())
    with contextlib.ExitStack() as resources, contextlib.redirect_stdout(
        None), Stop('') as stop:
      recorder = RunRecorder(config, folder, '', data, resources)
      recorder.restore_or_init(trainer, trainer.init)
      recorder.open_logs(trainer, 1, resources)
      began = time.process_time()
      loop.run_group(loop.Group(
          trainer, [recorder], trainer.init(), [data], stop, time.time()))
      used = time.process_time() - began
    shutil.rmtree(folder)
    return used

  bare(), whole()  # compiled
  return [(tokens / whole(), tokens / bare()) for _ in range(turns)]


def processor_seconds(command: list[str], count: int) -> list[float]:
  """Of a command and its processes, `count` times after a first one."""
  out = []
  for _ in range(count + 1):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=launch.trainer_environment(None),
                   cwd=sweep.ROOT, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    out.append(after.ru_utime + after.ru_stime
               - before.ru_utime - before.ru_stime)
  return out[1:]


def sweep_gaps(folder: Path) -> dict[str, list[float]]:
  """Seconds between the runs of a finished sweep of one worker."""
  out = {'end of a run to the next process': [],
         'process to the loop': [], 'first step beyond its pace': []}
  ended = 0.0
  for at in sorted((p.parent for p in folder.glob('*/done')), key=_started):
    rows = [r for r in run_dir.read_log(at) if r['kind'] == 'train']
    began, gap = _started(at), _started(at) - ended
    ended = (at / 'done').stat().st_mtime
    opened = (at / 'config.json').stat().st_mtime - began
    # Else it is another worker's, or was resumed.
    if 0 < gap < 5 and opened < 60 and len(rows) > 2:
      out['end of a run to the next process'].append(gap)
      out['process to the loop'].append(opened)
      pace = statistics.median(
          (b['time/seconds'] - a['time/seconds']) / (b['step'] - a['step'])
          for a, b in itertools.pairwise(rows))
      out['first step beyond its pace'].append(
          rows[0]['time/seconds'] - rows[0]['step'] * pace)
  return out


def _started(folder: Path) -> float:
  """When a run's process was started: its log was made."""
  return float(subprocess.run(
      ['stat', '--format=%.W', folder / 'log.txt'], check=True,
      capture_output=True, text=True).stdout)


def spread(values: list[float], digits: int = 3) -> str:
  """'median (least to greatest)'."""
  middle, low, high = (f'{x:.{digits}g}' for x in (
      statistics.median(values), min(values), max(values)))
  return f'{middle} ({low} to {high})'


def main():
  p = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument('--quick', action='store_true', help='fewer turns')
  p.add_argument('--out', type=Path,
                 default=Path(__file__).with_name('RESULTS.md'))
  p.add_argument('--sweep', type=Path, help='a folder of finished runs')
  a = p.parse_args()
  if a.sweep:
    for name, values in sweep_gaps(a.sweep).items():
      print(f'| {name} | {spread(values)} | {len(values)} |')
    return
  if not a.out.is_file():
    p.error(f'--out is {a.out}, wanted a file whose section is replaced')
  host_tuning.keep_memory()
  turns = 3 if a.quick else 7
  cores = len(os.sched_getaffinity(0))
  lines = [TITLE, '', f'Written by bench/loop.py on {cores} core'
           f'{"s" * (cores > 1)}, load {os.getloadavg()[0]:.1f}: {turns} '
           'turns, processor time,\nwithout evaluations; median and range. '
           'Wanted: 0.95 of the first two, 0.8 of the others.', '',
           '| shape | loop, k tokens/s | step, k tokens/s | loop / step | '
           'predicted |', '|---|---|---|---|---|']
  for name, (recipe, overrides, steps, predicted) in SHAPES.items():
    pairs = loop_and_step(recipe, overrides, steps, turns)
    lines.append(f'| {name} | {spread([x / 1e3 for x, _ in pairs])} | '
                 f'{spread([y / 1e3 for _, y in pairs])} | '
                 f'{spread([x / y for x, y in pairs], 2)} | {predicted} |')
    print(lines[-1], flush=True)
  lines += ['', '| start | processor seconds |', '|---|---|']
  lines.append('| imports | ' + spread(processor_seconds(
      [sys.executable, '-c', 'import physics_lm.train'], turns)) + ' |')
  print(lines[-1], flush=True)
  before = a.out.read_text(encoding='utf-8').split(TITLE)[0].rstrip()
  run_dir.write(a.out, before + '\n\n' + '\n'.join(lines) + '\n')


if __name__ == '__main__':
  main()
