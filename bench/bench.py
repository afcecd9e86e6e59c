"""How fast is this machine, and how much of it do we use?

  python bench/bench.py [--quick] [--json=FILE] [--out=bench/RESULTS.md]

Tokens/s of the loader and of the train step at three sizes beside the
machine's matmul peak, start-up time, checkpoint time. Every figure is the
median of repeats, with the least and the greatest. Nothing here is a test:
timings are read by people.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np

from physics_lm import (
  checkpoint,
  host_tuning,
  launch,
  loader,
  run_dir,
  sweep,
  train_step,
)
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.mixture import load_mixture
from physics_lm.scaling import flops

# name: (overrides, rows a step); 4,096 tokens a step or so on a CPU.
SIZES = {
    'D 64, 4 layers, T 128': {
        'model.width': 64, 'model.depth': 4, 'model.heads': 4,
        'data.seq_len': 128, 'data.batch_size': 32},
    'D 128, 4 layers, T 256': {
        'model.width': 128, 'model.depth': 4, 'model.heads': 4,
        'data.seq_len': 256, 'data.batch_size': 16},
    'D 256, 8 layers, T 256': {
        'model.width': 256, 'model.depth': 8, 'model.heads': 8,
        'data.seq_len': 256, 'data.batch_size': 16},
}


def timed(work, repeats: int) -> list[float]:
  """Seconds of each of `repeats` calls, after one that does not count."""
  work()
  out = []
  for _ in range(repeats):
    began = time.perf_counter()
    work()
    out.append(time.perf_counter() - began)
  return out


def spread(values) -> tuple[float, float, float]:
  """(median, least, greatest)."""
  return float(np.median(values)), float(min(values)), float(max(values))


def matmul_peak(repeats: int, dtype='float32') -> list[float]:
  """FLOP/s of a square product, large enough to leave the caches."""
  n = 2048 if jax.default_backend() == 'cpu' else 8192
  a = jnp.ones((n, n), dtype)
  product = jax.jit(jnp.matmul)
  return [2 * n**3 / s for s in timed(
      lambda: product(a, a).block_until_ready(), repeats)]


def loader_speed(repeats: int, length: int = 512) -> list[float]:
  """Tokens/s of one core making rows of 100,000 people's biographies."""
  data = load_mixture(override(default.get_config(), {
      'worlds.bios.people': 100_000, 'data.seq_len': length,
      'data.tasks.qa.weight': 0.0}))
  batches = loader.host_batches([data], 64, range(64), 0, prefetch=0)
  count = 10
  return [count * 64 * length / s for s in timed(
      lambda: [next(batches) for _ in range(count)], repeats)]


def step_speed(overrides: dict, repeats: int):
  """(tokens/s of the train step, training FLOPs a token, seconds to compile);
  data made beforehand."""
  config = override(default.get_config(), overrides)
  data = load_mixture(config)
  trainer = train_step.build(config, data)
  local = loader.local_rows(trainer.batch_shardings['task'], trainer.batch_dims)
  host = next(loader.host_batches([data], config.data.batch_size, local, 0))
  batch = jax.device_put(host, trainer.batch_shardings)
  state = trainer.init()
  tokens = config.data.batch_size * config.data.seq_len
  count = 10
  with jax.set_mesh(trainer.mesh):
    began = time.perf_counter()
    state, sums = trainer.step(state, batch)
    jax.block_until_ready(sums)
    compiling = time.perf_counter() - began

    def work():
      nonlocal state
      for _ in range(count):
        state, sums = trainer.step(state, batch)
      jax.block_until_ready(sums)

    speeds = [count * tokens / s for s in timed(work, repeats)]
  return speeds, flops.per_token(trainer.cfg, data.seq_len), compiling


def checkpoint_speed(overrides: dict, repeats: int):
  """(megabytes, seconds that save() holds the loop, seconds until it is on
  disk) of a training state."""
  config = override(default.get_config(), overrides)
  trainer = train_step.build(config, load_mixture(config))
  state = trainer.init()
  size = sum(x.nbytes for x in jax.tree.leaves(state)) / 1e6
  held, total = [], []
  folder = Path(tempfile.mkdtemp())
  try:
    saved = checkpoint.Checkpoints(folder)
    for i in range(repeats + 1):
      began = time.perf_counter()
      saved.save(i, state.params, (state.step, state.opt), {'step': i})
      held.append(time.perf_counter() - began)
      saved.wait()
      total.append(time.perf_counter() - began)
    saved.close()
  finally:
    shutil.rmtree(folder)
  return size, held[1:], total[1:]


def start_up(repeats: int) -> list[float]:
  """Seconds from the command to the end of a one-step run of the default
  model, programs compiled before: imports, step, checkpoint, evaluation."""
  out = []
  for _ in range(repeats + 1):
    folder = Path(tempfile.mkdtemp())
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, '-m', 'physics_lm.train', f'--workdir={folder}',
         '--config=configs/default.py', '--config.steps=1',
         '--config.optim.warmup_steps=0', '--config.evals.extraction.people=2',
         '--config.evals.loss.num_rows=1'], check=True, cwd=sweep.ROOT,
        env=launch.trainer_environment(None), stdout=subprocess.DEVNULL)
    out.append(time.perf_counter() - began)
    shutil.rmtree(folder)
  return out[1:]  # the first compiles


def machine() -> str:
  device = jax.devices()[0]
  cpu = next((line.split(':')[1].strip() for line in
              Path('/proc/cpuinfo').read_text().splitlines()
              if line.startswith('model name')), platform.processor())
  return (f'{device.device_kind} x {jax.device_count()}, {cpu}, '
          f'{len(os.sched_getaffinity(0))} cores, jax {jax.__version__}, '
          f'Python {platform.python_version()}')


def main():
  p = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument('--quick', action='store_true', help='fewer repeats')
  p.add_argument('--json', type=Path, help='also write the raw figures')
  p.add_argument('--out', type=Path,
                 default=Path(__file__).with_name('RESULTS.md'))
  a = p.parse_args()
  host_tuning.keep_memory()  # before JAX starts its threads
  n = 2 if a.quick else 5
  raw, lines = {'machine': machine()}, []

  def add_row(name, values, unit, scale=1.0, note=''):
    raw[name] = list(values)
    mid, low, high = (v / scale for v in spread(values))
    lines.append(f'| {name} | {mid:.3g} | {low:.3g} to {high:.3g} | {unit} | '
                 f'{note} |')
    print(lines[-1], flush=True)

  peak = matmul_peak(n)
  top = max(peak)
  add_row('matmul peak, float32', peak, 'GFLOP/s', 1e9)
  add_row('loader, one core', loader_speed(n), 'M tokens/s', 1e6,
          'biographies, rows of 512')
  for name, overrides in SIZES.items():
    speeds, work, compiling = step_speed(overrides, n)
    share = np.median(speeds) * work / top
    add_row(f'train step: {name}', speeds, 'k tokens/s', 1e3,
            f'{share:.0%} of the peak ({work / 1e6:.2f} MFLOP a token), '
            f'compiled in {compiling:.1f} s')
  for name, overrides in SIZES.items():
    size, held, total = checkpoint_speed(overrides, n)
    add_row(f'checkpoint holds the loop: {name}', held, 'ms', 1e-3,
            f'{size:.1f} MB; on disk after {np.median(total) * 1e3:.0f} ms')
  add_row('start to end of a one-step run', start_up(n), 's')
  text = (f'# Benchmark\n\n{raw["machine"]}\n\nMedian of {n}; written by '
          '`make bench`.\n\n| what | median | range | unit | note |\n'
          '|---|---|---|---|---|\n' + '\n'.join(lines) + '\n')
  if a.out.exists():  # the sections of bench/loop.py
    text += ''.join(a.out.read_text(encoding='utf-8').partition('\n## ')[1:])
  run_dir.write(a.out, text)
  if a.json:
    run_dir.write(a.json, json.dumps(raw, indent=1) + '\n')
  print(f'written: {a.out}')


if __name__ == '__main__':
  main()
