"""Properties of the decoder, not its shapes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm.errors import BadInput
from physics_lm.model import decoder
from physics_lm.model.config import model_config
from physics_lm.model.positions import rotate
from physics_lm.scaling import flops
from tests.compiled import forward, init

V = 50
STYLES = {
    'gpt2': {},
    'llama': {'model.norm': 'rmsnorm', 'model.mlp': 'gated_silu',
              'model.bias': False, 'model.tie_embeddings': False,
              'model.kv_heads': 1},
    'no_mlp': {'model.mlp_ratio': 0.0, 'model.qk_norm': True},
    'experts': {'model.num_experts': 4, 'model.mlp_ratio': 1.0,
                'model.moe_capacity_factor': 4.0},  # no token is dropped
    'gated_experts': {'model.num_experts': 3, 'model.mlp': 'gated_relu',
                      'model.bias': False, 'model.moe_capacity_factor': 3.0},
    'quarter': {'model.mlp_ratio': 0.25, 'model.rope_fraction': 1.0},
}


@pytest.fixture(params=STYLES)
def styled(request, tiny):
  cfg = model_config(tiny(STYLES[request.param]), V)
  return cfg, init(cfg, jax.random.key(0))


def tokens(rows, length, seed=1):
  return jax.random.randint(jax.random.key(seed), (rows, length), 0, V)


@functools.partial(jax.jit, static_argnums=2)
def _logit_gradient(params, ids, cfg, at):
  """Of a logit at `at` in the embedding. Token 40 is in no position: its row
  is felt through the tie alone."""
  def value(table):
    ends = params['ends'] | {'embedding': table}
    return decoder.forward({'ends': ends, 'layers': params['layers']}, ids,
                           cfg)[0, at, 40]

  return jax.grad(value)(params['ends']['embedding'])


@pytest.mark.parametrize('at', [0, 1, 7, 14, 15])
def test_forward_is_causal_by_gradient(styled, at):
  """The logits at `at` feel every embedding up to it, none after it."""
  cfg, params = styled
  ids = jnp.arange(16)[None] + 3  # every token once, so rows = positions

  grad = _logit_gradient(params, ids, cfg, at)
  felt = np.abs(np.asarray(grad)[3:19]).max(-1)
  assert (felt[:at + 1] > 0).all()
  assert (felt[at + 1:] == 0).all()


def test_packing_isolation_is_exact(styled):
  """A segment's logits do not depend on its neighbours: difference 0.0."""
  cfg, params = styled
  segments = jnp.asarray([[1] * 5 + [2] * 6 + [3] * 5])
  positions = jnp.asarray([[*range(5), *range(6), *range(5)]])
  a = tokens(1, 16)
  b = a.at[:, :5].set((a[:, :5] + 7) % V).at[:, 11:].set(2)
  x = forward(params, a, cfg, segments_BT=segments, positions_BT=positions)
  y = forward(params, b, cfg, segments_BT=segments, positions_BT=positions)
  assert float(jnp.abs(x[:, 5:11] - y[:, 5:11]).max()) == 0.0
  assert float(jnp.abs(x[:, :5] - y[:, :5]).max()) > 0.0
  alone = forward(params, a[:, 5:11], cfg)
  np.testing.assert_allclose(x[:, 5:11], alone, atol=2e-5)


def test_rotary_depends_on_distance_only(tiny):
  cfg = model_config(tiny({'model.rope_fraction': 0.5}), V)
  q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 16))

  def score(i, j):
    rotated = (rotate(x, jnp.full((1, 1), p), cfg)
               for x, p in ((q, i), (k, j)))
    return float(math.prod(rotated).sum())

  for distance in (0, 1, 5, 40):
    values = [score(i + distance, i) for i in (0, 3, 100)]
    np.testing.assert_allclose(values, values[0], atol=2e-5)
  assert abs(score(9, 2) - score(2, 9)) > 1e-4
  assert abs(score(9, 2) - score(5, 2)) > 1e-4
  still = model_config(tiny({'model.rope_fraction': 0.0}), V)
  assert (rotate(q, jnp.full((1, 1), 9), still) == q).all()


def test_rotary_by_table_is_rotary(tiny):
  cfg = model_config(tiny({'model.rope_fraction': 0.5}), V)
  x = jax.random.normal(jax.random.key(0), (2, 600, 1, 16))
  at = jnp.stack([jnp.arange(600), jnp.arange(600)[::-1]])
  np.testing.assert_allclose(rotate(x, at, cfg, 600), rotate(x, at, cfg),
                             atol=1e-5)


def test_parameter_count_equals_the_formula(styled):
  cfg, params = styled
  count = sum(x.size for x in jax.tree.leaves(params))
  terms = flops.parameters(cfg)
  assert terms.total == count
  assert terms.embedding == params['ends']['embedding'].size
  assert terms.unembedding == (
      params['ends']['output'].size if 'output' in params['ends'] else 0)
  mlp = sum(x.size for k, x in params['layers'].items()
            if any(part in k for part in (
                'up', 'down', 'gate', '_mlp', 'router')))
  assert terms.mlp == mlp


def test_flops_count_the_matrix_products(tiny):
  """6N + attention against the compiler's own count of a forward pass."""
  config = tiny({'model.width': 128, 'model.heads': 4, 'model.depth': 1})
  cfg = model_config(config, 1000)
  params = init(cfg, jax.random.key(0))
  ids = jnp.zeros((2, 512), jnp.int32)
  cost = forward.lower(params, ids, cfg).compile().cost_analysis()
  cost = cost[0] if isinstance(cost, list) else cost
  ours = flops.per_token(cfg, 512) / 3 * 2 * 512  # forward is a third
  assert abs(cost['flops'] / ours - 1) < 0.1


def test_remat_changes_no_gradient(tiny):
  """Seen to rematerialise: the jaxpr holds the checkpoint."""
  plain = model_config(tiny(), V)
  remat = model_config(tiny({'runtime.remat': True}), V)
  params, ids = init(plain, jax.random.key(0)), tokens(2, 12)

  def loss(cfg):
    return lambda p: (decoder.forward(p, ids, cfg)**2).mean()

  assert 'remat' in str(jax.make_jaxpr(jax.grad(loss(remat)))(params))
  assert 'remat' not in str(jax.make_jaxpr(jax.grad(loss(plain)))(params))
  a, b = (jax.jit(jax.grad(loss(cfg)))(params) for cfg in (plain, remat))
  jax.tree.map(lambda x, y: np.testing.assert_allclose(
      x, y, rtol=2e-4, atol=1e-6), a, b)


def test_bfloat16_computes_low_and_keeps_float32_parameters(tiny):
  low = model_config(tiny({'model.dtype': 'bfloat16'}), V)
  full = model_config(tiny(), V)
  params, ids = init(low, jax.random.key(0)), tokens(2, 12)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype('float32')}
  a, b = (forward(params, ids, c) for c in (low, full))
  assert a.dtype == jnp.float32
  gap = float(jnp.abs(a - b).max())
  assert 1e-4 < gap < 0.2


def test_taps_are_the_residual_stream(styled):
  cfg, params = styled
  ids = tokens(2, 12)
  logits, stream = forward(params, ids, cfg, taps=True)
  assert stream.shape == (cfg.depth + 1, 2, 12, cfg.width)
  np.testing.assert_array_equal(
      stream[0], params['ends']['embedding'][ids])
  np.testing.assert_allclose(logits, forward(params, ids, cfg),
                             atol=1e-6)
  h, table = decoder.EmbedUnembed(cfg).apply(
      {'params': params['ends']}, stream[-1], method='last')
  np.testing.assert_allclose(logits, h @ table.T, atol=1e-5)


def test_dropout_needs_a_key_and_keeps_the_mean(tiny):
  cfg = model_config(tiny({'model.dropout': 0.5}), V)
  params, ids = init(cfg, jax.random.key(0)), tokens(2, 12)
  still = forward(params, ids, cfg)

  def run(k):
    return forward(params, ids, cfg, key=jax.random.key(k))

  assert (still == forward(params, ids, cfg)).all()
  assert (run(0) == run(0)).all() and not (run(0) == run(1)).any()
  x = decoder.dropout(jnp.ones((100, 100)), 0.3, jax.random.key(0))
  assert abs(float(x.mean()) - 1) < 0.02


@pytest.mark.parametrize('changes,message', [
    ({'model.heads': 3}, 'multiple of model.heads=3'),
    ({'model.kv_heads': 3}, 'model.kv_heads=3'),
    ({'model.depth': 0}, 'at least 1'),
    ({'model.mlp': 'swish'}, 'gated_silu'),
    ({'model.dtype': 'float8'}, 'bfloat16'),
    ({'model.dropout': 1.0}, 'wanted \\[0, 1\\)')])
def test_model_config_rejects_bad_input(tiny, changes, message):
  with pytest.raises(BadInput, match=message):
    model_config(tiny(changes), V)
