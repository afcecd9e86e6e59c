"""Programs for TPUs: what is counted, what is compiled once, what is refused.

The tests that compile need libtpu: `make compile`.
"""

import importlib.util
import re

import jax
import jax.numpy as jnp
import pytest

from physics_lm import ahead_of_time, launch
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.configs.sizes import size
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model.config import model_config
from physics_lm.scaling import flops


def test_matmul_flops_count_loops_gradients_and_the_dearer_branch():
  x, w = jnp.ones((3, 5)), jnp.ones((4, 5, 5))

  def loss(w):
    y = jax.lax.scan(lambda x, w: (x @ w, None), x, w)[0]
    return jax.lax.cond(y[0, 0] > 0, lambda: (y @ y.T).sum(),
                        lambda: y.sum())

  layer, last = 2 * 3 * 5 * 5, 2 * 3 * 3 * 5
  forward = jax.jit(loss).trace(w).jaxpr.jaxpr
  assert ahead_of_time.matmul_flops(forward) == 4 * layer + last
  both = jax.jit(jax.grad(loss)).trace(w).jaxpr.jaxpr
  # Backward: two products for each, none for what the loss does not need.
  assert ahead_of_time.matmul_flops(both) >= 3 * 4 * layer + 2 * last


def test_program_key_ignores_constants_and_tells_shapes_apart(tiny):
  key = ahead_of_time.program_key(tiny())
  for changes in ({'optim.learning_rate': 1e-4}, {'steps': 60},
                  {'seed.init': 3}, {'optim.weight_decay': 0.3},
                  {'optim.warmup_steps': 5}):
    assert ahead_of_time.program_key(tiny(changes)) == key, changes
  for changes in ({'model.width': 32}, {'data.seq_len': 64},
                  {'runtime.mesh.fsdp': 2}, {'model.dropout': 0.1},
                  {'optim.name': 'muon'}, {'data.batch_size': 16}):
    assert ahead_of_time.program_key(tiny(changes)) != key, changes


@pytest.mark.parametrize('text', ['fdsp=4', 'fsdp', 'fsdp=four', 'fsdp=-1'])
def test_mesh_sizes_rejects_bad_input(text):
  with pytest.raises(BadInput, match=re.escape(f'--mesh={text}')):
    ahead_of_time.mesh_sizes(text)
  assert ahead_of_time.mesh_sizes('fsdp=4,pop=2') == {'fsdp': 4, 'pop': 2}


def test_compile_command_names_the_extra_without_libtpu(monkeypatch, capsys):
  monkeypatch.setattr(importlib.util, 'find_spec', {}.get)
  with pytest.raises(SystemExit) as exit_:
    launch.main(['experiments/knowledge_extraction.py', '--scale=smoke',
                 '--compile=v5e:2x4'])
  assert exit_.value.code == 2
  assert capsys.readouterr().err == (
      'error: --compile without libtpu, the TPU compiler; wanted pip install '
      "'physics_lm[tpu]'\n")


# Programs of `make compile`: (overrides, topology, members).
GPT2 = size('gpt2') | {'data.seq_len': 512, 'data.batch_size': 96,
                       'model.dtype': 'bfloat16'}
TINY_TPU = {'model.width': 128, 'model.depth': 2, 'model.heads': 2,
            'data.seq_len': 256, 'data.batch_size': 16,
            'model.dtype': 'bfloat16'}
PROGRAMS = {
    'data': (TINY_TPU, 'v5e:2x4', 1),
    'fsdp x tensor': (TINY_TPU | {
        'runtime.mesh.fsdp': 4, 'runtime.mesh.tensor': 2}, 'v5p:2x2x2', 1),
    'GPT-2, fsdp': (GPT2 | {'runtime.mesh.fsdp': 16}, 'v5e:4x4', 1),
    'experts': (TINY_TPU | {'model.num_experts': 4, 'runtime.mesh.expert': 4},
                'v5e:2x4', 1),
    'population': (TINY_TPU, 'v5e:2x4', 4)}


@pytest.mark.tpu
@pytest.mark.parametrize('name', PROGRAMS)
def test_train_step_compiles_for_tpus(name):
  changes, topology, members = PROGRAMS[name]
  config = override(default.get_config(), changes)
  devices = ahead_of_time.tpu_devices(topology)
  step, = ahead_of_time.train_programs(config, devices, members)
  print(f'{name}: {ahead_of_time.described(step)}')
  assert step.fits and 0.8 < step.flops / step.counted < 1.3
  parameters = flops.parameters(model_config(config, len(
      load_mixture(config).vocab))).total
  shards = changes.get('runtime.mesh.fsdp', 1) * changes.get(
      'runtime.mesh.tensor', 1)
  # Parameters and two moments, in float32; layouts pad.
  if name not in ('experts', 'population'):
    assert 12 * parameters / shards < step.arguments < (
        1.3 * 12 * parameters / shards + 2**20)
