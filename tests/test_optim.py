"""Muon: the matrices of the layers one by one, everything else by AdamW."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from physics_lm import optim
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.model import adapters, compress, decoder
from physics_lm.model.config import model_config
from tests.conftest import TINY

RATE, DECAY = 1e-2, 0.5
MUON = TINY | {
    'optim.name': 'muon', 'optim.learning_rate': RATE,
    'optim.weight_decay': DECAY, 'optim.grad_clip_norm': 0.0,
    'optim.warmup_steps': 0, 'optim.schedule': 'constant',
    'model.mlp': 'gated_gelu', 'model.depth': 3, 'model.kv_heads': 1,
    'model.tie_embeddings': False}


def config_of(changes=None):
  return override(default.get_config(), MUON | (changes or {}))


def shape_of(changes=None):
  return model_config(config_of(changes), 40)


def spread(tree):
  """Normal numbers in the tree's shapes, a spread of their own for each
  layer."""
  at, form = jax.tree.flatten(tree)
  rng = np.random.default_rng(0)
  return jax.tree.unflatten(form, [jnp.asarray(
      rng.normal(size=x.shape) * np.exp(rng.normal(size=x.shape[:1])).reshape(
          -1, *[1] * (len(x.shape) - 1)), jnp.float32) for x in at])


def trees(cfg):
  """Parameters and gradients of a model, all numbers drawn."""
  both = jax.eval_shape(lambda: (decoder.init(cfg, jax.random.key(0)),) * 2)
  return spread(both)


def updates_of(config, params, grads):
  tx = optim.make_optimizer(config)
  return jax.jit(tx.update)(grads, tx.init(params), params)[0]


def orthogonal(g_IO):
  """Jordan's five quintic iterations: what stands in his blog, in NumPy."""
  x = g_IO / np.linalg.norm(g_IO)
  x = x.T if g_IO.shape[0] > g_IO.shape[1] else x
  for _ in range(5):
    a = x @ x.T
    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
  return x.T if g_IO.shape[0] > g_IO.shape[1] else x


def matrices_of(cfg):
  """(name, inputs, outputs) of each matrix of a layer."""
  D, F, wide = cfg.width, cfg.mlp_width, cfg.heads * cfg.head
  return [('query', D, wide), ('key', D, cfg.kv_heads * cfg.head),
          ('value', D, cfg.kv_heads * cfg.head), ('out', wide, D),
          ('up', D, F), ('gate', D, F), ('down', F, D)]


@pytest.mark.parametrize('experts', [1, 2])
def test_muon_moves_each_matrix_separately(experts):
  cfg = shape_of({'model.num_experts': experts})
  params, grads = trees(cfg)
  updates = updates_of(config_of(), params, grads)['layers']
  for name, I, O in matrices_of(cfg):
    g, w, u = (np.asarray(t[name], np.float64).reshape(-1, I, O)
               for t in (grads['layers'], params['layers'], updates))
    assert len(g) == cfg.depth * (experts if name in (
        'up', 'gate', 'down') else 1)
    for g_IO, w_IO, u_IO in zip(g, w, u):
      # The first momentum is the gradient's multiple; scale does not matter.
      direction = orthogonal(g_IO)
      wanted = -RATE * (0.2 * max(I, O)**0.5 * direction + DECAY * w_IO)
      np.testing.assert_allclose(u_IO, wanted, atol=2e-5 * np.abs(wanted).max())
      # All its singular values are about 1: the iteration's own tolerance.
      singular = np.linalg.svd(direction, compute_uv=False)
      real = np.linalg.svd(g_IO, compute_uv=False) > 0.02 * np.linalg.norm(g_IO)
      assert 0.6 < singular[real].min() and singular.max() < 1.25, name


def test_muon_moves_other_parameters_as_adamw():
  params, grads = trees(shape_of({'model.num_experts': 2}))
  muon, adamw = (updates_of(config_of({'optim.name': name}), params, grads)
                 for name in optim.OPTIMIZERS[::-1])
  same = jax.tree.map(lambda a, b: bool((a == b).all()), muon, adamw)
  names = {name for name, _, _ in matrices_of(shape_of())}
  assert all(same['ends'].values()) and {'embedding', 'output'} <= {
      *same['ends']}
  assert {k for k, v in same['layers'].items() if not v} == names
  assert 'router' in same['layers']
  assert names == optim.MATRICES.keys() == compress.INPUTS.keys()


def test_muon_matrices_map_inputs_to_outputs():
  """Of a text of two tokens, a linear map's gradient is a sum of two outer
  products, of an input and of what comes back: its rank tells the reading."""
  cfg = shape_of()
  params, _ = trees(cfg)
  T, near = 2, 1e-4
  batch = {'tokens': jnp.array([[3, 5]]), 'targets': jnp.array([[5, 7]]),
           'segments': jnp.ones((1, T), jnp.int32),
           'positions': jnp.arange(T)[None], 'weights': jnp.ones((1, T))}
  grads = jax.jit(jax.grad(lambda p: decoder.loss(p, batch, cfg)[0]))(params)
  for name, I, O in matrices_of(cfg):
    for g_IO in np.asarray(grads['layers'][name]).reshape(cfg.depth, I, O):
      rank = np.linalg.matrix_rank(g_IO, near * np.linalg.norm(g_IO))
      assert 1 <= rank <= T < min(I, O), name


def test_muon_moves_only_differences_of_adapters():
  cfg = shape_of()
  moved = {}
  for kind, changes in (('lora', {'target_modules': 'query,out'}),
                        ('bottleneck', {}), ('lora_moe', {}),
                        ('whole', {'target_modules': 'query,embedding'})):
    spec = config_of({f'adapter.{k}': v
                      for k, v in {'kind': kind, **changes}.items()}).adapter
    moved[kind] = optim._of_muon(jax.eval_shape(
        lambda spec=spec: adapters.init_adapter(spec, cfg, jax.random.key(0))))
  assert not any(jax.tree.leaves([
      moved[kind] for kind in ('lora', 'bottleneck', 'lora_moe')]))
  assert moved['whole'] == {'layers': {'query': {'difference': True}},
                            'ends': {'embedding': {'difference': False}}}


def test_make_optimizer_rejects_unknown_names():
  with pytest.raises(BadInput, match="is 'sgd', wanted one of"):
    optim.make_optimizer(config_of({'optim.name': 'sgd'}))


def test_layers_below_move_less_and_later():
  """Layer l of three: a rate of 0.5^(2 - l), from step 10 (2 - l) on; the
  embedding below them, the last norm and unembedding with the last."""
  tx = optim.layerwise(3, 0.5, 10)
  ones = {'ends': {k: jnp.ones(2) for k in ('embedding', 'output')},
          'layers': {'up': jnp.ones((3, 2)), 'scale_mlp': jnp.ones((3, 1))}}
  for step, layers, embedding in ((0, (0, 0, 1), 0), (9, (0, 0, 1), 0),
                                  (10, (0, 0.5, 1), 0), (20, (0.25, 0.5, 1), 0),
                                  (30, (0.25, 0.5, 1), 0.125)):
    state = optax.ScaleByScheduleState(jnp.int32(step))
    found, after = tx.update(ones, state)
    assert after.count == step + 1
    for x in found['layers'].values():
      np.testing.assert_array_equal(x[:, 0], layers)
    assert found['ends']['embedding'][0] == embedding
    assert found['ends']['output'][0] == 1


def test_rates_by_layer_go_with_muon_and_the_schedule():
  cfg, changes = shape_of(), {'optim.layer_decay': 0.5}
  params, grads = trees(cfg)
  plain = updates_of(config_of(), params, grads)
  found = updates_of(config_of(changes), params, grads)
  for name in ('query', 'scale_mlp'):
    ratio = found['layers'][name] / plain['layers'][name]
    np.testing.assert_allclose(ratio.reshape(3, -1).T, [[0.25, 0.5, 1]] * (
        ratio[0].size), rtol=1e-4)
  config = config_of(changes)
  shapes = jax.eval_shape(optim.make_optimizer(config).init, params)
  like = optim.state_like(config, shapes, params, 'everywhere')
  assert jax.tree.leaves(like).count('everywhere') == 5  # counts
  with pytest.raises(BadInput, match="'lora', wanted none"):
    optim.make_optimizer(config_of(changes | {'adapter.kind': 'lora'}))


PENALISED = {'adapter.kind': 'whole', 'adapter.penalty': 0.5,
             'adapter.target_modules': 'query,up'}


@pytest.mark.parametrize('name', optim.OPTIMIZERS)
def test_penalty_is_the_soft_threshold_after_the_optimizers_step(name):
  """For each penalty exact zeros, the more the higher it is; the rate is that
  of the step, traced or not."""
  changes = PENALISED | {'optim.name': name, 'optim.warmup_steps': 4}
  config = config_of(changes)
  shapes = jax.eval_shape(lambda: adapters.init_adapter(
      config.adapter, shape_of(), jax.random.key(0)))
  params, grads = spread((shapes, shapes))
  params = jax.tree.map(lambda x: 1e-2 * x, params)
  kept = []
  for penalty in (0.0, 0.5, 1.0):
    c = config_of(changes | {'adapter.penalty': penalty})

    def stepped(rate=None, c=c):
      tx = optim.make_optimizer(c, rate)
      w, state, free = params, tx.init(params), []
      for _ in range(3):
        u, state = tx.update(grads, state, w)
        w = optax.apply_updates(w, u)
        free.append(w)
      return free

    got = jax.jit(stepped)(jnp.float32(c.optim.learning_rate))  # traced
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), got,
                 stepped())
    kept.append(int(sum(jnp.count_nonzero(x)
                        for x in jax.tree.leaves(got[-1]))))
    if not penalty:
      free = got[0]
      continue
    threshold = c.optim.learning_rate / 4 * penalty  # of four steps' warmup
    for x, y in zip(jax.tree.leaves(free), jax.tree.leaves(got[0])):
      want = np.sign(x) * np.maximum(np.abs(x) - threshold, 0)
      np.testing.assert_allclose(y, want, atol=1e-7)
      near = np.abs(np.abs(x) - threshold) > 1e-6
      np.testing.assert_array_equal((y == 0)[near], (want == 0)[near])
  total = sum(x.size for x in jax.tree.leaves(params))
  assert total == kept[0] > kept[1] > kept[2] > 0


def test_the_threshold_follows_the_schedule():
  """At count k it is the rate of that step times the penalty."""
  tx = optim.selective(0.5, lambda count: 0.1 * (1 + count))
  w, state = {'w': jnp.array([1.0, -1.0, 0.01])}, tx.init(None)
  for step in range(3):
    found, state = tx.update({'w': jnp.zeros(3)}, state, w)
    least = 0.05 * (1 + step)
    np.testing.assert_allclose(w['w'] + found['w'], [
        1 - least, least - 1, 0], atol=1e-6)


def test_penalty_adds_one_count_to_the_state_and_none_without():
  params = jax.eval_shape(lambda: adapters.init_adapter(
      config_of(PENALISED).adapter, shape_of(), jax.random.key(0)))
  without, state = (jax.eval_shape(optim.make_optimizer(config_of(
      PENALISED | {'adapter.penalty': p})).init, params) for p in (0.0, 0.5))
  assert state[:-1] == without
  assert [x.shape for x in jax.tree.leaves(state[-1])] == [()]
  like = optim.state_like(config_of(PENALISED), state, params, 'everywhere')
  assert jax.tree.leaves(like[-1]) == ['everywhere']


@pytest.mark.parametrize('kind', ['none', 'lora', 'prefix', 'bottleneck'])
def test_penalty_is_refused_where_not_all_starts_at_zero(kind):
  with pytest.raises(BadInput, match=f'penalty is 0.5 with adapter.kind '
                     f"'{kind}', wanted one of whole, bias, ia3, which start"):
    optim.make_optimizer(config_of({'adapter.kind': kind,
                                    'adapter.penalty': 0.5}))
