"""Programs for TPUs: what is counted, what is compiled once, what is refused.

The tests that compile need libtpu: `make compile`.
"""

import importlib.util
import re

import jax
import jax.numpy as jnp
import pytest

from physics_lm import ahead_of_time, cost, launch, train, train_step
from physics_lm.config import load_config, override
from physics_lm.configs import default
from physics_lm.configs.sizes import size
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model import decode, decoder
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


@pytest.mark.parametrize('post', [
    {'post.kind': 'reinforce', 'post.kl': 'exact', 'post.beta': 0.1},
    {'post.kind': 'dpo', 'post.beta': 0.1}, {'post.kind': 'reward_model'}],
    ids=lambda p: p['post.kind'])
def test_steps_of_post_training_are_traced_with_rows_of_their_own(
    post, monkeypatch):
  monkeypatch.setattr(
      ahead_of_time, 'compile_program', lambda name, traced, devices, counted:
      ahead_of_time.matmul_flops(traced.jaxpr.jaxpr) / counted)
  config = override(load_config('configs/compose.py'), post | {
      'init_from': 'another', 'model.width': 32, 'model.depth': 1,
      'optim.name': 'adamw',  # Muon multiplies matrices, too
      'data.batch_size': 8, 'data.seq_len': 24})
  ratio, = ahead_of_time.train_programs(config, jax.devices()[:1])
  assert 0.85 < ratio < 1.3  # a reward model has no logits


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


# GiB a chip that the compiler (libtpu 0.0.42.1, jax 0.10.2, at the effort of
# `make compile`) gives for a train step on v5e: (overrides, vocabulary, chips,
# GiB).
GPT2 = size('gpt2') | {'model.dtype': 'bfloat16'}
MIDDLE = size('d512') | {'model.dtype': 'bfloat16', 'data.seq_len': 512}


def small(width: int, depth: int, heads: int, T: int, batch: int,
          dtype: str = 'float32', **changes) -> dict:
  """Overrides of a model smaller than those of configs/sizes.py."""
  return size('d256') | {
      'model.width': width, 'model.depth': depth, 'model.heads': heads,
      'data.seq_len': T, 'data.batch_size': batch, 'model.dtype': dtype} | {
          k.replace('_', '.', 1): v for k, v in changes.items()}


MEASURED = {
    '124M, T 1,024': (
        GPT2 | {'data.seq_len': 1024, 'data.batch_size': 64}, 50_257, 8, 4.64),
    '124M, T 2,048': (
        GPT2 | {'data.seq_len': 2048, 'data.batch_size': 32}, 50_257, 8, 4.64),
    '124M, T 512, 16 chips': (
        GPT2 | {'data.seq_len': 512, 'data.batch_size': 96}, 50_257, 16, 3.15),
    '682M, fsdp': (size('gpt2_682m') | {
        'model.dtype': 'bfloat16', 'data.seq_len': 512, 'data.batch_size': 192,
        'data.intra_document_mask': False, 'runtime.mesh.fsdp': 16},
        3256, 16, 5.58),
    '25M, one chip': (MIDDLE | {'data.batch_size': 96}, 3256, 1, 7.95),
    '3M, T 112, one chip': (size('d256') | {
        'model.depth': 4, 'model.heads': 4, 'model.dtype': 'bfloat16',
        'data.seq_len': 112, 'data.batch_size': 160}, 3256, 1, 0.783),
    '25M, grouped heads, gates': (MIDDLE | {
        'data.seq_len': 1024, 'data.batch_size': 16, 'model.mlp': 'gated_silu',
        'model.norm': 'rmsnorm', 'model.kv_heads': 2,
        'model.tie_embeddings': False}, 3256, 1, 3.48),
    'experts': (MIDDLE | {
        'data.batch_size': 64, 'model.num_experts': 8,
        'runtime.mesh.expert': 8}, 3256, 8, 4.43),
    # Of the `gpu` scales: icl_emergence, policy_gradients, distillation,
    # capacity_biod, capacity_exposures, junk_data_domain_tags, fact_dynamics,
    # knowledge_capacity, grammar_learning.
    'T 129': (small(256, 2, 4, 129, 512), 16, 1, 4.97),
    'T 24': (small(256, 4, 4, 24, 1024), 40, 1, 2.37),
    'T 128, heads of 32': (small(256, 4, 8, 128, 128), 8, 1, 1.62),
    'T 163': (small(128, 2, 4, 163, 256, 'bfloat16'), 392, 1, 0.896),
    'T 19': (small(128, 2, 4, 19, 256), 400, 1, 0.276),
    'T 13': (small(128, 2, 4, 13, 256), 392, 1, 0.214),
    'T 11': (small(256, 2, 4, 11, 128), 392, 1, 0.150),
    'mostly logits': (small(128, 2, 2, 512, 20, 'bfloat16'), 3256, 1, 0.342),
    'T 768, heads of 32': (
        small(256, 8, 8, 768, 64, 'bfloat16'), 8, 1, 4.86),
    'T 100': (small(512, 4, 8, 100, 64), 3256, 1, 1.605),
    'T 128, gates': (small(
        256, 4, 4, 128, 256, 'bfloat16', model_mlp='gated_silu',
        model_norm='rmsnorm'), 3256, 1, 1.80),
    'T 16, heads of 16': (small(64, 2, 4, 16, 1024), 392, 1, 0.443),
    'T 320': (small(512, 6, 16, 320, 32, 'bfloat16'), 3256, 1, 2.604),
    # scaling_sweep at its `gpu` and `paper` scales.
    '227M, recomputed, heads of 16': (small(
        1536, 8, 96, 512, 64, 'bfloat16', runtime_remat=True), 8, 1, 14.7),
    '3.7G, recomputed, heads of 16': (small(
        3584, 24, 224, 512, 1024, 'bfloat16', runtime_remat=True) | {
            'runtime.mesh.fsdp': 16}, 8, 16, 24.0),
    '124M, recomputed': (GPT2 | {
        'data.seq_len': 1024, 'data.batch_size': 64, 'runtime.remat': True},
        50_257, 8, 2.72),
    '124M, fsdp x tensor': (GPT2 | {
        'data.seq_len': 1024, 'data.batch_size': 32, 'runtime.mesh.fsdp': 4,
        'runtime.mesh.tensor': 2}, 50_257, 8, 1.69),
    '25M, float32': (size('d512') | {
        'data.seq_len': 512, 'data.batch_size': 32}, 3256, 1, 5.29),
    # Compiled after the factors had been fitted:
    'T 160, absolute positions': (small(
        384, 3, 6, 160, 96, 'bfloat16', model_positions='absolute'), 3256, 1,
        1.165),
    'T 224': (small(192, 6, 3, 224, 64), 3256, 1, 1.218)}


@pytest.mark.parametrize('name', MEASURED)
def test_predicted_memory_is_within_20_percent_of_the_compilers(name):
  changes, V, devices, gib = MEASURED[name]
  config = override(default.get_config(), changes)
  found = cost.memory_bytes(config, model_config(config, V), devices, 'tpu-v5e')
  assert 0.8 < found / 2**30 / gib < 1.2


# Programs of `make compile`: (overrides, topology, members, bounds of the
# program's products of matrices over our count). Experts have twice as many
# slots as tokens, and the rest of the model on each device.
TINY_TPU = {'model.width': 128, 'model.depth': 2, 'model.heads': 2,
            'data.seq_len': 256, 'data.batch_size': 16,
            'model.dtype': 'bfloat16'}
PROGRAMS = {
    'data': (TINY_TPU, 'v5e:2x4', 1, (0.9, 1.3)),
    'fsdp x tensor': (TINY_TPU | {
        'runtime.mesh.fsdp': 4, 'runtime.mesh.tensor': 2}, 'v5p:2x2x2', 1,
        (0.9, 1.3)),
    'GPT-2, fsdp': (GPT2 | {
        'data.seq_len': 512, 'data.batch_size': 96, 'runtime.mesh.fsdp': 16},
        'v5e:4x4', 1, (0.9, 1.3)),
    'experts': (TINY_TPU | {
        'model.num_experts': 4, 'runtime.mesh.expert': 4}, 'v5e:2x2', 1,
        (1.3, 4.0)),
    'population': (TINY_TPU, 'v5e:2x2', 4, (0.9, 1.3))}


@pytest.mark.tpu
@pytest.mark.parametrize('name', PROGRAMS)
def test_train_step_compiles_for_tpus(name):
  changes, topology, members, (least, most) = PROGRAMS[name]
  config = override(default.get_config(), changes)
  devices = ahead_of_time.tpu_devices(topology)
  step, = ahead_of_time.train_programs(config, devices, members)
  print(f'{name}:{ahead_of_time.described(step)}')
  assert step.fits and least < step.flops / step.counted < most
  sent = sum(c.bytes for c in step.collectives.values())
  # Members share nothing but the copies of their sums.
  assert sent < 1000 if name == 'population' else sent > 1e6
  form = model_config(config, len(load_mixture(config).vocab))
  shards = changes.get('runtime.mesh.fsdp', 1) * changes.get(
      'runtime.mesh.tensor', 1)
  state = 12 * flops.parameters(form).total / shards  # with two moments
  if name == 'population':
    state *= members / len(devices)
  if name != 'experts':  # layouts pad, heads of 64 twofold
    assert state < step.arguments < 1.6 * state + 2**20


@pytest.mark.tpu
def test_decoding_compiles_for_tpus():
  config = override(load_config('configs/igsm.py:compact'), {
      'model.width': 128, 'model.depth': 1, 'model.heads': 2,
      'evals.reasoning.max_new_tokens': 32})
  step, decoding = ahead_of_time.train_programs(
      config, ahead_of_time.tpu_devices('v5e:2x2'))
  print(ahead_of_time.described(decoding))
  assert step.program == 'train step' and decoding.fits
  assert decoding.program.startswith('decode ') and not decoding.counted


@pytest.mark.tpu
def test_recorded_memory_is_the_compilers():
  """One of MEASURED, compiled again: other versions may differ a little."""
  changes, V, devices, gib = MEASURED['3M, T 112, one chip']
  config = override(default.get_config(), changes)
  step, = ahead_of_time.train_programs(
      config, ahead_of_time.tpu_devices('v5e:1x1'))
  assert len(cost.small_mixture(config).vocab) <= V and devices == 1
  assert step.total / 2**30 == pytest.approx(gib, rel=0.1)


@pytest.mark.tpu
def test_program_that_does_not_fit_exits_2(capsys):
  with pytest.raises(SystemExit) as exit_:
    train.main(['train', '--config', 'configs/default.py', '--compile=v5e:1x1',
                '--config.model.width=8192', '--config.model.depth=16'])
  out, err = capsys.readouterr()
  assert exit_.value.code == 2 and 'does not fit' in out
  assert re.fullmatch(r'error: 1 of the programs cannot run on v5e:1x1: .* '
                      r'needs \S+ GiB of 15.75; wanted .*\n', err)


@pytest.mark.tpu
@pytest.mark.parametrize('what', ['lone', 'population', 'adapter'])
def test_train_step_lowers_for_cuda(one_device, what):
  """As far as a CPU machine can go: the program in XLA's input language."""
  config = one_device({'adapter.kind': 'lora', 'init_from': 'some_run'}
                      if what == 'adapter' else {})
  data = load_mixture(config)
  made = train_step.build(config, data, jax.devices()[:1], [
      config, config] if what == 'population' else ())
  batch = {k: jax.ShapeDtypeStruct(
      (*made.batch_dims, *(data.seq_len,) * (k in train_step.BATCH_2D)),
      'float32' if k == 'weights' else 'int32') for k in made.batch_shardings}
  with jax.set_mesh(made.mesh):
    lowered = jax.export.export(made.step.func, platforms=['cuda'])(
        *made.step.args, jax.eval_shape(made.init), batch)
  assert lowered.platforms == ('cuda',) and 'dot_general' in (
      lowered.mlir_module())


@pytest.mark.tpu
def test_decoding_lowers_for_cuda(tiny):
  cfg = model_config(tiny(), 40)
  params = jax.eval_shape(lambda: decoder.init(cfg, jax.random.key(0)))
  rows = jax.ShapeDtypeStruct((4,), 'int32')
  lowered = jax.export.export(decode.program(decode.GREEDY), platforms=[
      'cuda'])(params, jax.ShapeDtypeStruct((4, 16), 'int32'), rows,
               jax.ShapeDtypeStruct((4,), 'uint32'), jnp.uint32(0), steps=8,
               cfg=cfg, entries=40, how=decode.GREEDY, stop=1)
  assert lowered.platforms == ('cuda',)
