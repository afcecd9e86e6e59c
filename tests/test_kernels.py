"""Each hand-written gradient against the plain formula's."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from physics_lm import train_step
from physics_lm.model import config as model_settings
from physics_lm.model import decoder, kernels, sharding
from physics_lm.model.config import LOGITS_CHUNK, logits_chunks, model_config
from tests.compiled import init


def normal(seed, *dims):
  return jax.random.normal(jax.random.key(seed), dims)


def same(ours, theirs, inputs, tolerance=2e-5):
  """Values and gradients of sum(f * fixed noise) agree."""
  noise = normal(9, *jax.eval_shape(ours, *inputs).shape)

  def both(f):
    value, pull = jax.vjp(f, *inputs)
    return value, *pull(noise)

  for a, b in zip(*(jax.jit(both, static_argnums=0)(f)
                    for f in (ours, theirs))):
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, atol=tolerance)


def test_linear_gradient_equals_the_formula():
  same(kernels.linear, lambda x, w: x @ w, (normal(0, 7, 5), normal(1, 5, 3)))


@pytest.mark.parametrize('kv', [1, 2, 4])
@pytest.mark.parametrize('segmented', [True, False])
def test_attention_equals_jax_nn(kv, segmented):
  q, k, v = (normal(i, 2, 10, n, 8) for i, n in enumerate((4, kv, kv)))
  segments = jnp.asarray([[1] * 4 + [2] * 6, [1] * 10])
  mask = (segments[:, :, None] == segments[:, None, :])[:, None]
  same(lambda q, k, v: kernels.attention(
           q, k, v, segments if segmented else None, 'xla'),
       lambda q, k, v: jax.nn.dot_product_attention(
           q, k, v, mask=mask if segmented else None, is_causal=True),
       (q, k, v))


@pytest.mark.tpu
def test_splash_attention_equals_the_plain_formula():
  """Of rows that are no multiple of its blocks, grouped heads and segments; by
  Pallas's interpreter."""
  q, k, v = (normal(i, 2, 100, n, 8) for i, n in enumerate((2, 1, 1)))
  segments = jnp.asarray([[1] * 50 + [2] * 50, [1] * 90 + [0] * 10])
  same(lambda q, k, v: kernels.splash_attention(
           q, k, v, segments, interpret=True),
       lambda q, k, v: kernels.attention(q, k, v, segments, 'xla'), (q, k, v))


def test_attention_auto_is_the_plain_formula_on_a_cpu():
  q = normal(0, 1, 512, 1, 8)
  choices = [jax.jit(functools.partial(
      kernels.attention, implementation=name)).trace(
          q, q, q, None).jaxpr for name in ('auto', 'xla', 'splash')]
  auto, plain, splash = (str(j) for j in choices)
  assert auto == plain and 'pallas_call' in splash


@pytest.mark.parametrize('T', [kernels.SPLASH_FROM - 1, kernels.SPLASH_FROM])
def test_attention_auto_is_splash_on_a_tpu_for_long_rows(monkeypatch, T):
  monkeypatch.setattr(sharding, 'platform', lambda: 'tpu')
  q = normal(0, 1, T, 1, 8)
  made = jax.make_jaxpr(functools.partial(
      kernels.attention, implementation='auto'))(q, q, q, None)
  assert ('pallas_call' in str(made)) == (T == kernels.SPLASH_FROM)


def test_attention_auto_prints_once_why_cudnn_is_not_used(
    monkeypatch, capsys):
  """As on a GPU without it: JAX refuses, and the plain formula takes over."""
  for function in (kernels._cudnn_compiles, kernels._print_refusal):
    function.cache_clear()
  monkeypatch.setattr(sharding, 'platform', lambda: 'gpu')
  q = normal(0, 1, 4, 1, 8).astype(jnp.bfloat16)
  for _ in range(2):
    got = kernels.attention(q, q, q, None, 'auto')
  np.testing.assert_array_equal(got, kernels.attention(q, q, q, None, 'xla'))
  assert capsys.readouterr().out == (
      'attention by the plain formula, not by cuDNN: cuDNN is not detected.\n')
  with pytest.raises(RuntimeError, match='cuDNN is not detected'):
    kernels.attention(q, q, q, None, 'cudnn')


@pytest.mark.parametrize('chunk', [1 << 25, 40])
def test_cross_entropy_equals_the_formula_with_its_gradient(
    chunk, monkeypatch):
  """In one piece, and in as many pieces as there are positions."""
  monkeypatch.setattr(model_settings, 'LOGITS_CHUNK', chunk)
  B, T, D, V = 2, 6, 5, 11
  assert logits_chunks(T, B * T * V) == (1 if chunk > 40 else 6)
  h, table = normal(0, B, T, D), normal(1, V, D)
  targets = jax.random.randint(jax.random.key(2), (B, T), 0, V)
  weights = jnp.asarray([[1., 0, 1, 1, 0, 2], [0, 0, 0, 1, 1, 1]])

  def plain(h, table, weights):
    nll = optax.softmax_cross_entropy_with_integer_labels(
        h @ table.T, targets)
    return (nll * weights).sum(), nll


  def ours(h, table, weights):
    return kernels.cross_entropy(h, table, targets, weights)

  np.testing.assert_allclose(ours(h, table, weights)[1],
                             plain(h, table, weights)[1], atol=1e-5)
  grads = [jax.jit(jax.grad(lambda *x, f=f: 0.3 * f(*x)[0], (0, 1, 2)))(
      h, table, weights) for f in (ours, plain)]
  for a, b in zip(*grads):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_chunks_divide_the_row_and_respect_the_limit():
  for B, T, V in ((16, 1024, 50_304), (8, 160, 1771), (1, 7, 10**9)):
    count = logits_chunks(T, B * T * V)
    assert T % count == 0
    assert B * T * V // count <= LOGITS_CHUNK or count == T


def test_loss_holds_no_full_logits(tiny):
  """The largest array of a step with a large vocabulary is a chunk."""
  cfg = model_config(tiny(), 4096)
  params = jax.eval_shape(lambda: decoder.init(cfg, jax.random.key(0)))
  B, T = 64, 512
  batch = {k: jax.ShapeDtypeStruct((B, T), jnp.int32) for k in (
      'tokens', 'targets', 'segments', 'positions')}
  batch['weights'] = jax.ShapeDtypeStruct((B, T), jnp.float32)
  jaxpr = str(jax.make_jaxpr(jax.grad(
      lambda p, b: decoder.loss(p, b, cfg)[0]))(params, batch))
  assert f'f32[{B},{T},4096]' not in jaxpr
  assert f'f32[{B},128,4096]' in jaxpr


def test_unrolled_layers_equal_looped_ones(tiny):
  cfg = model_config(tiny(), 40)
  params = init(cfg, jax.random.key(0))
  ids = jax.random.randint(jax.random.key(1), (2, 12), 0, 40)
  ones = jnp.ones((2, 12), jnp.int32)
  batch = {'tokens': ids, 'targets': jnp.roll(ids, -1, 1), 'segments': ones,
           'positions': ones.cumsum(1) - 1, 'weights': ones * 1.0,
           'task': jnp.zeros(2, jnp.int32), 'entries': jnp.ones(2)}
  grads = [jax.jit(jax.grad(lambda p, c=c: train_step.loss_sums(
      p, batch, c, 1)[0]))(params)
      for c in (cfg, dataclasses.replace(cfg, unroll=cfg.depth))]
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, atol=1e-4), *grads)
