"""Tokens/s of our train step for a shape, on random tokens.

  python bench/step.py --shape=V512,D64,L4,N4,T64,B64 [--seconds=10]
      [--dtype=bfloat16] [--attention=cudnn] [--members=M] [--json]

V vocabulary, D width, L layers, N heads, T tokens a row, B rows a step. Prints
a line for each repeat, then the median; with --json one JSON object. The same
flags as bench/torch_step.py, so that the two, or another trainer, can be run
in turn.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse(text: str) -> dict[str, int]:
  """{'V': 512, ...} of 'V512,D64,L4,N4,T64,B64'."""
  found = {k: int(v) for k, v in re.findall(r'([A-Z])(\d+)', text)}
  if set(found) != set('VDLNTB'):
    sys.exit(f'error: --shape is {text!r}, wanted V512,D64,L4,N4,T64,B64')
  return found


def arguments(doc: str):
  p = argparse.ArgumentParser(
      description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument('--shape', type=parse, default='V512,D64,L4,N4,T64,B64')
  p.add_argument('--seconds', type=float, default=10.0, help='to measure for')
  p.add_argument('--dtype', default='float32')
  p.add_argument('--json', action='store_true')
  return p


def measure(step, tokens: int, seconds: float) -> list[float]:
  """Tokens/s of six to forty repeats of some steps; step(n) runs n of them
  and waits."""
  step(3)
  began = time.perf_counter()
  step(3)
  count = max(int(seconds / 8 / (time.perf_counter() - began) * 3), 1)
  out, end = [], time.perf_counter() + seconds
  while len(out) < 6 or (time.perf_counter() < end and len(out) < 40):
    began = time.perf_counter()
    step(count)
    out.append(count * tokens / (time.perf_counter() - began))
  return out


def print_speed(a, name: str, speeds: list[float], **more):
  """Prints what was measured."""
  middle = sorted(speeds)[len(speeds) // 2]
  if a.json:
    print(json.dumps({'name': name, 'shape': a.shape, 'dtype': a.dtype,
                      'tokens_per_second': middle, 'all': speeds, **more}))
  else:
    print(f'{name} {a.shape} {a.dtype}: {middle:.0f} tokens/s '
          f'({min(speeds):.0f} to {max(speeds):.0f}, n = {len(speeds)}) '
          + ' '.join(f'{k} {v}' for k, v in more.items()))


def main():
  p = arguments(__doc__)
  p.add_argument('--attention', default='auto')
  p.add_argument('--remat', action='store_true')
  p.add_argument('--members', type=int, default=1,
                 help='runs in one program; tokens/s are of all together')
  a = p.parse_args()

  from physics_lm import host_tuning
  host_tuning.keep_memory()
  import jax
  import numpy as np

  from physics_lm import train_step
  from physics_lm.config import override
  from physics_lm.configs import default
  from physics_lm.mixture import load_mixture
  from physics_lm.scaling import flops
  s = a.shape
  M = a.members
  config = override(default.get_config(), {
      'model.width': s['D'], 'model.depth': s['L'], 'model.heads': s['N'],
      'model.dtype': a.dtype, 'data.seq_len': s['T'], 'data.batch_size': s['B'],
      'runtime.attention': a.attention, 'runtime.remat': a.remat})
  data = load_mixture(config)._replace(vocab=range(s['V']))
  members = [override(config, {'seed.init': i}) for i in range(M)]
  made = train_step.build(config, data, shared=False,
                       members=members if M > 1 else ())
  state = made.init()
  tokens = np.random.default_rng(0).integers(
      2, s['V'], (s['B'], s['T'] + 1), dtype=np.int32)
  ones = np.ones((s['B'], s['T']), np.int32)
  host = {'tokens': tokens[:, :-1], 'targets': tokens[:, 1:],
          'segments': ones, 'positions': ones.cumsum(1, dtype=np.int32) - 1,
          'weights': ones.astype(np.float32),
          'task': np.zeros(s['B'], np.int32),
          'entries': np.ones(s['B'], np.int32)}
  if M > 1:
    host = {k: np.stack([v] * M) for k, v in host.items()}
  batch = jax.device_put(host, made.batch_shardings)

  def step(n: int):
    nonlocal state
    for _ in range(n):
      state, sums = made.step(state, batch)
    jax.block_until_ready(sums)

  with jax.set_mesh(made.mesh):
    began = time.perf_counter()
    step(1)
    compiled = time.perf_counter() - began
    speeds = measure(step, M * s['B'] * s['T'], a.seconds)
  device = jax.devices()[0]
  stats = device.memory_stats() or {}
  print_speed(a, 'physics_lm', speeds, devices=jax.device_count(),
              device=device.device_kind, compile_seconds=round(compiled, 1),
              flops_per_token=flops.per_token(made.cfg, s['T']),
              peak_bytes=stats.get('peak_bytes_in_use'))


if __name__ == '__main__':
  main()
