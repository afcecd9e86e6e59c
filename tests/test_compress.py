"""Fewer bits, fewer weights: what is promised of each method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm import mixture
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model import compress
from physics_lm.model.config import model_config
from tests.compiled import forward, init
from tests.conftest import TINY

STYLES = {
    'gpt2': {},
    'llama': {'model.norm': 'rmsnorm', 'model.mlp': 'gated_silu',
              'model.bias': False, 'model.tie_embeddings': False,
              'model.kv_heads': 1},
    'experts': {'model.num_experts': 3}}


def spec(method, **keys):
  s = default.evaluation('knowledge_bits')
  s.compress = method
  s.update(keys)
  return s


@pytest.fixture(scope='module', params=STYLES)
def made(request):
  """(params with every element random, shape, a batch)."""
  config = override(default.get_config(), TINY | STYLES[request.param])
  data = load_mixture(config)
  cfg = model_config(config, len(data.vocab))
  params = init(cfg, jax.random.key(0))
  leaves, tree = jax.tree.flatten(params)
  params = jax.tree.unflatten(tree, [
      x + 0.1 * jax.random.normal(k, x.shape) for k, x in zip(
          jax.random.split(jax.random.key(1), len(leaves)), leaves)])
  many = [mixture.packed_row(data, i) for i in range(4)]
  return params, cfg, {k: np.stack([r[k] for r in many]) for k in many[0]}


def logits(params, cfg, batch):
  return forward(params, batch['tokens'], cfg, batch['segments'],
                 batch['positions'])


def plain_size(params):
  return sum(x.size for part in params.values() for k, x in part.items()
             if k.startswith(('scale', 'bias', 'router')))


@pytest.mark.parametrize('method', ['nearest', 'gptq'])
def test_compress_error_falls_with_bits(made, method):
  params, cfg, batch = made
  if cfg.num_experts > 1 and method == 'gptq':
    with pytest.raises(BadInput, match='experts'):
      compress.compress(params, spec(method), cfg, batch)
    return
  before, errors = logits(params, cfg, batch), []
  for bits in (3, 5, 8, 16):
    new, _ = compress.compress(params, spec(method, bits=bits, group=8), cfg,
                               batch)
    errors.append(float(jnp.abs(logits(new, cfg, batch) - before).mean()))
    for part in params:
      for k, x in params[part].items():
        if k.startswith(('scale', 'bias', 'router')):
          np.testing.assert_array_equal(x, new[part][k])
        else:
          assert len(np.unique(np.asarray(new[part][k]).reshape(-1, 8)[0])
                     ) <= 2**bits
  assert errors == sorted(errors, reverse=True)
  assert errors[-1] < 1e-3 * float(jnp.abs(before).mean())
  assert errors[0] > 20 * errors[2]


def test_gptq_output_error_is_below_nearest():
  """On inputs that are correlated, which is what it is for."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(400, 8)) @ rng.normal(size=(8, 32)) + (
      0.1 * rng.normal(size=(400, 32)))
  w = rng.normal(size=(32, 24))
  lost = {}
  for method in ('nearest', 'gptq'):
    new, size = compress.compress_matrix(w, spec(method, bits=3, group=16), x)
    lost[method] = ((x @ new - x @ w)**2).mean()
    assert size == 3 * 32 * 24 + 2 * 24 * 16
  assert lost['gptq'] < 0.7 * lost['nearest']


def test_pruning_that_knows_the_inputs_loses_less():
  """Inputs of unequal norms are what Wanda is for; correlated ones, what
  SparseGPT is for."""
  rng = np.random.default_rng(0)
  x = (rng.normal(size=(400, 12)) @ rng.normal(size=(12, 32)) + (
      0.1 * rng.normal(size=(400, 32)))) * rng.lognormal(size=32)
  w, lost = rng.normal(size=(32, 24)), {}
  for method in ('prune', 'wanda', 'sparsegpt'):
    s = spec(method, keep_fraction=0.5, group=16)
    new, size = compress.compress_matrix(w, s, x)
    lost[method] = ((x @ new - x @ w)**2).mean()
    assert np.count_nonzero(new) == w.size / 2
    assert size == 16 * w.size / 2 + w.size
    whole = compress.compress_matrix(w, spec(method), x)[0]
    np.testing.assert_allclose(whole, w)
  assert lost['sparsegpt'] < 0.7 * lost['wanda'] < 0.6 * lost['prune'], lost


def test_wanda_of_white_inputs_keeps_the_largest_of_each_output():
  w = np.random.default_rng(0).normal(size=(8, 5))
  new = compress.wanda(w, 3 * np.eye(8), 0.25)
  assert (np.count_nonzero(new, 0) == 2).all()
  for old, now in zip(w.T, new.T):
    assert set(now[now != 0]) == set(sorted(old, key=abs)[-2:])


def test_fit_scale_weights_by_importance():
  """An outlier no input ever uses does not coarsen the others."""
  w = np.linspace(-1, 1, 16)[:, None].repeat(2, 1)
  w[3] = 2.2
  used = np.ones(16)
  scale = compress.fit_scale(w, used, 4)
  used[3] = 0
  assert (compress.fit_scale(w, used, 4) < 0.8 * scale).all()


@pytest.mark.parametrize('keep', [1.0, 0.5, 0.1])
def test_prune_keeps_the_largest_weights(made, keep):
  params, cfg, batch = made
  new, size = compress.compress(params, spec('prune', keep_fraction=keep), cfg,
                                batch)
  for name in ('query', 'down', 'embedding'):
    part = 'ends' if name == 'embedding' else 'layers'
    a, b = np.asarray(params[part][name]), np.asarray(new[part][name])
    a, b = (x[None] if part == 'ends' else x for x in (a, b))
    for old, now in zip(a, b):
      gone = now == 0
      if name != 'down' or cfg.num_experts == 1:
        assert (~gone).sum() == round(keep * now.size)
        if keep < 1:
          assert np.abs(old[gone]).max() <= np.abs(old[~gone]).min()
      np.testing.assert_array_equal(old[~gone], now[~gone])
  total = sum(x.size for x in jax.tree.leaves(params))
  rest = plain_size(params)
  each = 16 * keep + compress.binary_entropy(keep)
  wanted = 16 * rest + (total - rest) * each
  assert size == pytest.approx(wanted, rel=0.01)


def test_prune_units_zeroes_entire_units(made):
  params, cfg, batch = made
  if cfg.num_experts > 1:
    with pytest.raises(BadInput, match='experts'):
      compress.compress(params, spec('prune_units'), cfg, batch)
    return
  new, size = compress.compress(
      params, spec('prune_units', keep_fraction=0.5), cfg, batch)
  layer = {k: np.asarray(v[0]) for k, v in new['layers'].items()}
  gone = np.abs(layer['down']).sum(1) == 0
  assert gone.sum() == cfg.mlp_width // 2
  assert (np.abs(layer['up'][:, gone]) == 0).all()
  assert (np.abs(layer['up'][:, ~gone]).sum(0) > 0).all()
  heads = np.abs(layer['out']).sum((1, 2)) == 0
  assert heads.sum() == (cfg.heads // 2 if cfg.kv_heads > 1 else 0)
  whole = compress.compress(params, spec('prune_units'), cfg, batch)[1]
  assert whole == 16 * sum(x.size for x in jax.tree.leaves(params))
  assert 0.4 * whole < size < whole
  np.testing.assert_array_equal(
      logits(params, cfg, batch), logits(compress.compress(
          params, spec('prune_units'), cfg, batch)[0], cfg, batch))


def test_compress_does_not_change_its_arguments(made):
  params, cfg, batch = made
  before = jax.tree.map(np.array, params)
  for method in ('nearest', 'prune'):
    compress.compress(params, spec(method, bits=3, keep_fraction=0.3), cfg,
                      batch)
  jax.tree.map(np.testing.assert_array_equal, before, params)


@pytest.mark.parametrize('keys,message', [
    ({'compress': 'gtpq'}, 'gptq')])
def test_check_compression_rejects_bad_input(keys, message):
  s = spec('nearest')
  s.update(keys)
  with pytest.raises(BadInput, match=message):
    compress.check_compression(s)


@pytest.mark.parametrize('method', ['none', 'nearest'])
def test_compress_counts_no_storage_of_padding_rows(made, method):
  params, cfg, batch = made
  whole, less = (compress.compress(params, spec(method, bits=6), cfg, batch,
                                   entries)[1] for entries in (None, 30))
  row = 32 * cfg.width if method == 'none' else 6 * cfg.width + compress.SCALE
  tables = 1 if cfg.tie_embeddings else 2
  assert whole - less == pytest.approx(tables * row * (cfg.vocab - 30))
