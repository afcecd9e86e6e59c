"""What a train step's time is made of, against the peak of matrix products.

  taskset -c 0 python bench/parts.py [--shape=V512,D64,L4,N4,T64,B64 ...]

The parts, each a program of its own, forward and backward, as often as the step
has it, in turn with the step and with a large matrix product: milliseconds of
processor time, on one core those of a quiet machine. 'other' is what is left of
the step: norms, GELU, rotations, residuals, the embedding, and what the parts
gain or lose by being apart. 'products at the peak' is what the step's FLOPs
would take at the speed of the large product.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
import step as bench_step

from physics_lm import host_tuning, optim, train_step
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.mixture import load_mixture
from physics_lm.model import kernels
from physics_lm.scaling import flops

SHAPES = ('V512,D64,L4,N4,T64,B64', 'V2048,D128,L4,N4,T256,B16')
LARGE = 2048  # rows and columns of the large product
ROUNDS = 5


def normal(*shape: int) -> jax.Array:
  return jax.random.normal(jax.random.key(len(shape)), shape)


def of_gradient(function, *x):
  """A call of the gradients of the sum of a function of arrays."""
  made = jax.jit(jax.grad(lambda *x: function(*x).sum(), tuple(range(len(x)))))
  return lambda: made(*x)


def step_of(s: dict):
  """(a call of the train step, its FLOPs, a call of its optimizer)."""
  config = override(default.get_config(), {
      'model.width': s['D'], 'model.depth': s['L'], 'model.heads': s['N'],
      'data.seq_len': s['T'], 'data.batch_size': s['B']})
  data = load_mixture(config)._replace(vocab=range(s['V']))
  made = train_step.build(config, data)
  box = [made.init()]
  tokens = np.random.default_rng(0).integers(
      2, s['V'], (s['B'], s['T'] + 1), dtype=np.int32)
  ones = np.ones((s['B'], s['T']), np.int32)
  batch = jax.device_put({
      'tokens': tokens[:, :-1], 'targets': tokens[:, 1:], 'segments': ones,
      'positions': ones.cumsum(1, dtype=np.int32) - 1,
      'weights': ones.astype(np.float32), 'task': np.zeros(s['B'], np.int32),
      'entries': np.ones(s['B'], np.int32)}, made.batch_shardings)

  def call():
    box[0], sums = made.step(box[0], batch)
    return sums

  tx = optim.make_optimizer(config)
  params = jax.tree.map(jnp.array, box[0].params)
  opt, update = tx.init(params), jax.jit(tx.update)
  return (call, flops.per_token(made.cfg, s['T']) * s['B'] * s['T'],
          lambda: update(params, opt, params))


def parts(s: dict) -> dict:
  """{name: (call, times)} of a shape, and the step and the large product."""
  M, D, H, L = s['B'] * s['T'], s['D'], s['D'] // s['N'], s['L']
  heads = s['B'], s['N'], 1, s['T'], H
  mask = jnp.broadcast_to(jnp.tri(s['T'], dtype=bool), (
      s['B'], s['T'], s['T']))
  step, work, optimizer = step_of(s)
  cross = jax.jit(jax.grad(lambda h, t: kernels.cross_entropy(
      h, t, jnp.zeros((s['B'], s['T']), jnp.int32),
      jnp.ones((s['B'], s['T'])))[0], (0, 1)))
  h, table = normal(s['B'], s['T'], D), normal(s['V'], D)
  large = jax.jit(jnp.matmul)
  square = normal(LARGE, LARGE)
  return {
      'step': (step, 1), 'large product': (
          lambda: large(square, square), work / (2 * LARGE**3)),
      'linear maps of the attention': (of_gradient(
          kernels.linear, normal(M, D), normal(D, D)), 4 * L),
      'linear maps of the MLP': (of_gradient(
          lambda x, a, b: kernels.linear(kernels.linear(x, a), b),
          normal(M, D), normal(D, 4 * D), normal(4 * D, D)), L),
      'attention': (of_gradient(
          lambda q, k, v: kernels._attention(q, k, v, mask), normal(*heads),
          normal(s['B'], s['N'], s['T'], H), normal(
              s['B'], s['N'], s['T'], H)), L),
      'cross-entropy': (lambda: cross(h, table), 1),
      'optimizer': (optimizer, 1)}


def measured(calls: dict) -> dict[str, float]:
  """Milliseconds of processor time of each part, median of ROUNDS."""
  found = {name: [] for name in calls}
  for turn in range(ROUNDS + 1):
    for name, (call, times) in calls.items():
      jax.block_until_ready(call())
      began = time.process_time()
      for _ in range(3):
        jax.block_until_ready(call())
      if turn:
        found[name].append((time.process_time() - began) / 3 * 1e3 * times)
  return {name: statistics.median(x) for name, x in found.items()}


def main():
  p = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument('--shape', action='append')
  a = p.parse_args()
  host_tuning.keep_memory()
  for shape in a.shape or SHAPES:
    found = measured(parts(bench_step.parse(shape)))
    step, peak = found.pop('step'), found.pop('large product')
    found['other'] = step - sum(found.values())
    print(f'## {shape}\n\n| part | ms | share of the step |\n|---|---|---|')
    for name, ms in {'step': step, 'products at the peak': peak, **found
                     }.items():
      print(f'| {name} | {ms:.1f} | {ms / step:.0%} |')
    print(flush=True)


if __name__ == '__main__':
  main()
