"""One computation on any mesh of eight CPU devices."""

import jax
import numpy as np
import pytest

from physics_lm import loader, train_step
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model import sharding

MESHES = {
    'replicated': (8, 1, 1), 'fsdp': (1, 8, 1), 'tensor': (4, 1, 2),
    'fsdp x tensor': (2, 2, 2), 'experts': (2, 1, 1, 4)}


def keys(mesh):
  return dict(zip(('runtime.mesh.data', 'runtime.mesh.fsdp',
                   'runtime.mesh.tensor', 'runtime.mesh.expert'), mesh))


def three_steps(config, devices=None):
  """(initial state, losses of three steps, final state), as NumPy."""
  data = load_mixture(config)
  trainer = train_step.build(config, data, devices)
  state = trainer.init()
  first = jax.tree.map(np.asarray, state)
  local = loader.local_rows(trainer.batch_shardings['task'], trainer.batch_dims)
  batches = loader.host_batches([data], config.data.batch_size, local, 0)
  losses = []
  with jax.set_mesh(trainer.mesh):
    for _ in range(3):
      batch = loader.to_devices(next(batches), local, trainer.batch_dims,
                                  trainer.batch_shardings)
      state, sums = trainer.step(state, batch)
      losses.append(float(sums['loss'].sum()))
  return first, losses, state, trainer


@pytest.fixture(scope='module')
def reference():
  return {}


LLAMA = {'model.norm': 'rmsnorm', 'model.mlp': 'gated_silu',
         'model.tie_embeddings': False, 'model.dropout': 0.1,
         'optim.name': 'muon', 'model.canon': 'abcd'}


EXPERTS = {'model.num_experts': 4, 'model.mlp_ratio': 1.0}


@pytest.mark.parametrize('mesh,changes', [
    ('fsdp x tensor', {}), *[
        pytest.param(*given, marks=pytest.mark.devices) for given in (
            ('replicated', {}), ('fsdp', {}), ('tensor', {}),
            ('fsdp x tensor', LLAMA), ('experts', EXPERTS))]])
def test_train_step_is_the_same_on_every_mesh(tiny, mesh, changes, reference):
  alone = str(changes)
  if alone not in reference:
    reference[alone] = three_steps(
        tiny(changes | keys((1, 1, 1))), jax.devices()[:1])
  first, losses, state, _ = reference[alone]
  got_first, got_losses, got_state, trainer = three_steps(
      tiny(changes | keys(MESHES[mesh])))
  # Same numbers whatever the mesh: random bits are partitionable.
  jax.tree.map(np.testing.assert_array_equal, first, got_first)
  np.testing.assert_allclose(losses, got_losses, rtol=2e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      np.asarray(a), np.asarray(b), atol=3e-4), state, got_state)
  assert trainer.step.func._cache_size() == 1  # one compilation


def named(tree):
  """[(name as in a tree of parameters, array)] of every leaf."""
  return [('/'.join(k.key for k in path if hasattr(k, 'key')), x)
          for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]]


@pytest.mark.parametrize('optimizer,count', [('adamw', 2), ('muon', 1)])
def test_moments_are_sharded_like_parameters(tiny, optimizer, count):
  config = tiny(keys((2, 2, 2)) | {'optim.name': optimizer})
  trainer = train_step.build(config, load_mixture(config))
  state = trainer.init()
  up = state.params['layers']['up']
  assert up.sharding.spec == sharding.partition_spec(('layers', 'embed', 'mlp'))
  assert up.addressable_shards[0].data.size == up.size // 4
  params = dict(named(state.params))
  moments = [(name, x) for name, x in named(state.opt) if name]
  for name, x in moments:
    assert x.sharding == params[name].sharding, name
  moved = [name for name, _ in moments]
  assert moved.count('layers/up') == count and set(moved) == params.keys()
  whole = sum(x.nbytes for x in jax.tree.leaves(state))
  on_first = sum(s.data.nbytes for x in jax.tree.leaves(state)
                 for s in x.addressable_shards
                 if s.device == jax.devices()[0])
  assert on_first < 0.4 * whole


def test_partition_spec_raises_for_two_axes_on_one_mesh_axis():
  with pytest.raises(ValueError, match='two axes'):
    sharding.partition_spec(('heads', 'mlp'))
  with pytest.raises(KeyError):
    sharding.partition_spec(('hedas',))


@pytest.mark.parametrize('changes,message', [
    ({'runtime.mesh.data': 16}, 'wants 16 devices, found 8'),
    ({'runtime.mesh.fsdp': 3}, 'does not divide 8'),
    ({'runtime.mesh.data': 0}, 'wanted at least 1, or -1'),
    ({'data.batch_size': 12}, 'data.batch_size is 12, wanted a multiple of 8'),
    ({'runtime.grad_accum_steps': 3}, 'multiple of 24'),
    ({'runtime.mesh.tensor': 4}, 'model.heads is 2'),
    ({'runtime.mesh.data': 1, 'runtime.mesh.tensor': 3, 'model.heads': 3,
      'model.width': 24}, 'the vocabulary is')])
def test_mesh_rejects_bad_input(tiny, changes, message):
  with pytest.raises(BadInput, match=message):
    config = tiny(changes)
    train_step.build(config, load_mixture(config))
