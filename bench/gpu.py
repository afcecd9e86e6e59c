"""Speed of an accelerator: matmul peak, train steps, populations, decoding.

  python bench/gpu.py [--out=bench/GPU.md] [--seconds=6] [--only=WORD]

Each line is a process of its own (bench/step.py, and bench/torch_step.py where
torch is installed), so that one that fails, say for memory, costs only its
line. The share of the peak is training FLOPs by our own count
(scaling/flops.py) over the matmul rate measured here, in the same dtype.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

GPT2_1K = 'V50304,D768,L12,N12,T1024,B32'
GPT2_512 = 'V50304,D768,L12,N12,T512,B96'
MIDDLE = 'V4096,D512,L8,N8,T512,B96'
COMPACT = 'V2048,D256,L4,N4,T112,B128'
# name: (script, shape, flags)
STEPS = {
    'GPT-2 124M, T 1,024': ('step.py', GPT2_1K, []),
    'GPT-2 124M, T 1,024, xla attention': (
        'step.py', GPT2_1K, ['--attention=xla']),
    'GPT-2 124M, T 1,024, cudnn attention': (
        'step.py', GPT2_1K, ['--attention=cudnn']),
    'GPT-2 124M, T 1,024, torch.compile': (
        'torch_step.py', GPT2_1K, ['--compile']),
    'GPT-2 124M, T 512': ('step.py', GPT2_512, []),
    '25M (width 512), T 512': ('step.py', MIDDLE, []),
    '25M (width 512), T 512, torch.compile': (
        'torch_step.py', MIDDLE, ['--compile']),
    '3M (width 256), T 112': ('step.py', COMPACT, []),
    '3M (width 256), T 112, population of 8': (
        'step.py', COMPACT, ['--members=8']),
    '1M (width 128), T 112, population of 32': (
        'step.py', 'V2048,D128,L4,N4,T112,B32', ['--members=32']),
}


def run(script: str, shape: str, flags: list[str], seconds: float,
        dtype: str) -> dict:
  """The JSON object that a script prints, or {'error': its last line}."""
  done = subprocess.run(
      [sys.executable, str(HERE / script), f'--shape={shape}',
       f'--seconds={seconds}', f'--dtype={dtype}', '--json', *flags],
      capture_output=True, text=True, check=False)
  try:
    return json.loads(done.stdout.strip().splitlines()[-1])
  except (IndexError, ValueError):
    lines = (done.stderr.strip() or 'no output').splitlines()
    return {'error': lines[-1][:200]}


def matmul_peak(dtype: str) -> float:
  """FLOP/s of a product of random square matrices, the median of ten."""
  import jax
  import jax.numpy as jnp
  n = 8192 if jax.default_backend() != 'cpu' else 1024
  a, b = (jax.random.normal(jax.random.key(i), (n, n), dtype) for i in (0, 1))
  product = jax.jit(jnp.matmul)
  product(a, b).block_until_ready()
  times = []
  for _ in range(10):
    began = time.perf_counter()
    product(a, b).block_until_ready()
    times.append(time.perf_counter() - began)
  return 2 * n**3 / sorted(times)[5]


def decode_speed(seconds: float) -> dict:
  """New tokens/s of greedy decoding: 256 prompts of 64 tokens, 64 new ones."""
  import jax
  import numpy as np

  from physics_lm.config import override
  from physics_lm.configs import default
  from physics_lm.model import decode, decoder
  from physics_lm.model.config import model_config
  config = override(default.get_config(), {
      'model.width': 256, 'model.depth': 4, 'model.dtype': 'bfloat16'})
  cfg = model_config(config, 2048)
  params = decoder.init(cfg, jax.random.key(0))
  prompts = np.random.default_rng(0).integers(2, 2048, (256, 64)).tolist()

  def once() -> int:
    return sum(map(len, decode.greedy_decode(params, cfg, prompts, 64)))

  once()
  speeds, end = [], time.perf_counter() + seconds
  while len(speeds) < 3 or time.perf_counter() < end:
    began = time.perf_counter()
    speeds.append(once() / (time.perf_counter() - began))
  return {'tokens_per_second': sorted(speeds)[len(speeds) // 2], 'all': speeds}


def line(name: str, got: dict, peak: float) -> str:
  """A row of the table."""
  if 'error' in got:
    return f'| {name} | - | | {got["error"]} |'
  speeds, note = got['all'], []
  share = ''
  if got.get('flops_per_token'):
    share = f'{got["tokens_per_second"] * got["flops_per_token"] / peak:.1%}'
  if got.get('compile_seconds'):
    note.append(f'compiled in {got["compile_seconds"]} s')
  if got.get('peak_bytes'):
    note.append(f'peak memory {got["peak_bytes"] / 2**30:.1f} GiB')
  return (f'| {name} | {got["tokens_per_second"] / 1e3:,.1f} '
          f'({min(speeds) / 1e3:,.1f} to {max(speeds) / 1e3:,.1f}) | {share} | '
          f'{", ".join(note)} |')


def main():
  p = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument('--out', type=Path, default=HERE / 'GPU.md')
  p.add_argument('--seconds', type=float, default=6.0, help='for each line')
  p.add_argument('--dtype', default='bfloat16')
  p.add_argument('--only', default='', help='lines whose name holds this')
  a = p.parse_args()
  rows, raw = [], {}
  code = (f'import sys; sys.path.insert(0, {str(HERE)!r}); import gpu, json;'
          f'import jax; print(json.dumps([gpu.matmul_peak({a.dtype!r}), '
          'jax.devices()[0].device_kind, jax.__version__]))')
  # In a process of its own: this one must leave the memory to the others.
  peak, device, version = json.loads(subprocess.run(
      [sys.executable, '-c', code], capture_output=True, text=True, check=True
      ).stdout.splitlines()[-1])
  print(f'{device}, jax {version}: matmul peak {peak / 1e12:.3f} TFLOP/s '
        f'({a.dtype})', flush=True)
  for name, (script, shape, flags) in STEPS.items():
    if a.only in name:
      raw[name] = run(script, shape, flags, a.seconds, a.dtype)
      raw[name].setdefault('flops_per_token', raw.get(
          name.split(', torch')[0], {}).get('flops_per_token'))
      rows.append(line(name, raw[name], peak))
      print(rows[-1], flush=True)
  if a.only in 'decode':
    name = 'decode, 3M: 256 prompts of 64, 64 new tokens each'
    raw[name] = decode_speed(a.seconds)
    rows.append(line(name, raw[name], peak))
    print(rows[-1], flush=True)
  a.out.write_text(
      f'# {device}\n\njax {version}, {a.dtype}; matmul peak '
      f'{peak / 1e12:.1f} TFLOP/s (8,192 x 8,192). Median of the repeats in '
      f'{a.seconds:g} s; written by `python bench/gpu.py`.\n\n'
      '| what | k tokens/s (range) | share of the peak | note |\n'
      '|---|---|---|---|\n' + '\n'.join(rows) + '\n')
  a.out.with_suffix('.json').write_text(json.dumps(
      {'device': device, 'jax': version, 'peak': peak, 'lines': raw}) + '\n')


if __name__ == '__main__':
  main()
