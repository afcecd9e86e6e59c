"""Canon layers and kinds of positions, by their properties."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from physics_lm import optim
from physics_lm.config import (
  model_differences,
  override,
  plain_config,
  run_id,
)
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.model import adapters, decode, decoder
from physics_lm.model.canon import weighted_taps
from physics_lm.model.config import model_config
from physics_lm.scaling import flops

V, T = 24, 20
SMALL = {'model.width': 8, 'model.depth': 2, 'model.heads': 2,
         'model.kv_heads': 1, 'model.mlp_ratio': 2.0, 'data.seq_len': T,
         'model.rope_fraction': 1.0, 'model.mlp': 'gated_gelu'}
ARMS = {'canon': {'model.canon': 'abcd'},
        'absolute': {'model.positions': 'absolute', 'model.canon': 'abcd'},
        'distance': {'model.positions': 'distance', 'model.canon': 'b'},
        'uniform': {'model.positions': 'uniform'},
        'fixed': {'model.canon': 'a', 'model.canon_fixed': True,
                  'model.mlp_ratio': 0.0, 'model.positions': 'uniform'}}
SEGMENTS = jnp.asarray([[1] * 6 + [2] * 9 + [3] * 5])
PLACES = jnp.asarray([[*range(6), *range(9), *range(5)]])
_forward = jax.jit(decoder.forward, static_argnums=2)
_init = jax.jit(decoder.init, static_argnums=0)


def model_config_of(arm, **changes):
  return model_config(override(default.get_config(), SMALL | ARMS[arm] | {
      f'model.{k}': v for k, v in changes.items()}), V)


@functools.cache
def made(arm):
  """(ModelConfig, parameters) of an arm, spread out so that all matters."""
  cfg = model_config_of(arm)
  params = _init(cfg, jax.random.key(0))
  params['layers'] |= {
      k: jax.random.normal(jax.random.key(1), w.shape)
      for k, w in params['layers'].items() if k == 'bias_distance'}
  return cfg, params


def tokens(seed=1):
  return jax.random.randint(jax.random.key(seed), (1, T), 2, V)


def logits(arm, ids, params=None):
  cfg, own = made(arm)
  return np.asarray(_forward(params or own, ids, cfg, SEGMENTS, PLACES))


def of_text(arm, ids, params):
  """Logits after each token of a text alone [n, V], recomputed."""
  padded = np.zeros((1, T), np.int32)
  padded[0, :len(ids)] = ids
  return np.asarray(_forward(params, padded, made(arm)[0], np.ones_like(
      SEGMENTS), np.arange(T)[None]))[0, :len(ids)]


def test_taps_equal_their_formula():
  x, w = np.random.default_rng(0).normal(size=(2, 7, 3)), np.array(
      [[.1, .2, .3], [1, 2, 3], [-1, 0, 1], [5, 4, 3]])
  segments = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 2, 2, 2, 2, 0]])
  wanted = x.copy()
  for b in range(2):
    for t in range(7):
      for k in range(4):
        if t >= k and segments[b, t - k] == segments[b, t]:
          wanted[b, t] += w[k] * x[b, t - k]
  found = weighted_taps(jnp.asarray(x), jnp.asarray(w), jnp.asarray(segments))
  np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
  for own in (None, jnp.asarray(segments)):  # its gradient is written by hand
    check_grads(
        lambda x, w, own=own: weighted_taps(x, w, own) ** 2, (x, w), 1, ['rev'],
        atol=1e-2, rtol=1e-2)


def test_canon_without_weights_changes_no_logit(tiny):
  _, params = made('canon')
  plain = model_config(tiny(SMALL), V)
  names = [k for k in params['layers'] if k.startswith('canon')]
  zero = params | {'layers': params['layers'] | {
      k: 0 * params['layers'][k] for k in names}}
  bare = params | {'layers': {
      k: v for k, v in params['layers'].items() if k not in names}}
  same = logits('canon', tokens(), zero)
  np.testing.assert_array_equal(same, np.asarray(
      _forward(bare, tokens(), plain, SEGMENTS, PLACES)))
  assert sorted(names) == [f'canon_{k}' for k in (
      'attention', 'gate', 'key', 'mlp', 'query', 'up', 'value')]
  for k in names:  # each site matters, and starts with the paper's spread
    changed = zero | {'layers': zero['layers'] | {k: params['layers'][k]}}
    assert np.abs(logits('canon', tokens(), changed) - same).max() > 1e-4, k
  spread = np.concatenate([params['layers'][k].ravel() for k in names])
  assert abs(spread.std() - 12**-0.5) < 0.02 and abs(spread.mean()) < 0.02


@pytest.mark.parametrize('arm', ['canon', 'absolute', 'distance', 'uniform'])
def test_arm_is_causal_and_isolates_segments_exactly(arm):
  ids, x = tokens(), logits(arm, tokens())
  for at in (0, 7, 14, 19):  # a later token changes nothing before it
    y = logits(arm, ids.at[:, at].set(1))
    assert np.abs(x - y)[0, :at].max(initial=0) == 0
    assert np.abs(x - y)[0, at:].max() > 0
    own = np.asarray(SEGMENTS[0] == SEGMENTS[0, at])
    assert np.abs(x - y)[0, ~own].max() == 0.0
  if arm != 'uniform':  # which has no order beyond its windows
    swapped = ids.at[:, 7].set(ids[0, 8]).at[:, 8].set(ids[0, 7])
    assert np.abs(logits(arm, swapped) - x)[0, 14].max() > 1e-5


@pytest.mark.parametrize('arm', ARMS)
def test_parameters_of_arm_are_counted(arm):
  cfg, params = made(arm)
  count = flops.parameters(cfg)
  assert count.total == sum(x.size for x in jax.tree.leaves(params))
  assert count.mlp == sum(x.size for k, x in params['layers'].items() if any(
      p in k for p in ('up', 'gate', 'down', 'mlp')))
  if arm == 'canon':  # four weights a channel: 8 + 8 x 2 + 8 + 2 x 16
    plain = flops.parameters(model_config_of(arm, canon=''))
    assert count.total - plain.total == cfg.depth * 4 * (8 + 16 + 8 + 32)


@pytest.mark.parametrize('arm', ['absolute', 'distance'])
def test_decoding_equals_recomputation(arm):
  """Prompts of one, two and nine tokens, padded on the left; two copies of each
  share a cache at first, and beams follow theirs."""
  cfg, params = made(arm)
  params = jax.tree.map(lambda w: 3 * w, params)
  prompts = [p for p in ([5], [5, 6], [9, 4, 9, 8, 7, 3, 2, 2, 5], [11, 12])
             for _ in range(2)]
  found = decode.greedy_decode(params, cfg, prompts, 6, V)
  assert len({*map(tuple, found)}) > 2
  for prompt, got in zip(prompts, found):
    ids = list(prompt)
    while len(ids) < len(prompt) + 6:
      ids.append(int(of_text(arm, ids, params)[-1].argmax()))
      if ids[-1] == 1:  # the end
        break
    assert got == [i for i in ids[len(prompt):] if i != 1], prompt
  with pytest.raises(BadInput, match=f'wanted at most {T}'):
    decode.greedy_decode(params, cfg, prompts, T, V)


def test_beams_carry_the_taps_of_the_beam_that_they_follow():
  """As many beams as tokens find the likeliest two of all."""
  cfg, params = made('absolute')
  params = jax.tree.map(lambda w: 3 * w, params)
  prompts = [[5], [5, 6], [9, 4, 9], [7]] * 2
  found = decode.generate(params, cfg, prompts, 2, decode.DecodingMethod(
      beams=V), entries=V)
  for prompt, got in zip(prompts[:4], found):
    law = [jax.nn.log_softmax(of_text('absolute', [*prompt, a], params)[-2:])
           for a in range(V)]
    score = np.stack([x[0, a] + x[1] for a, x in enumerate(law)])
    score[1] = np.where(np.arange(V) == 1, law[0][0, 1], -np.inf)  # an end
    best = np.unravel_index(score.argmax(), score.shape)
    assert got == [i for i in best if i != 1], prompt


def test_fixed_taps_and_their_decay(tiny):
  params = made('canon')[1]
  batch = {'tokens': tokens(), 'targets': tokens(2), 'segments': SEGMENTS,
           'positions': PLACES, 'weights': jnp.ones((1, T))}
  grads = [jax.jit(jax.grad(lambda p, c=c: decoder.loss(p, batch, c)[0]))(
      params)['layers'] for c, params in (made('canon'), made('fixed'))]
  for name in (k for k in grads[0] if k.startswith('canon')):
    assert np.abs(grads[0][name]).reshape(2, 4, -1).max(-1).min() > 0, name
    assert not optim.decays(params)['layers'][name]
    assert name not in optim.MATRICES
  assert not grads[1]['canon_attention'].any() and grads[1]['value'].any()


def test_config_names_the_difference_and_keeps_ids(tiny):
  old, new = (plain_config(tiny(c)) for c in ({}, {'model.canon': 'ab'}))
  assert model_differences(old, new) == ['model.canon is , wanted ab']
  assert run_id(old) != run_id(new)
  before = plain_config(tiny())
  for key in ('canon', 'canon_fixed', 'positions'):
    del before['model'][key]
  assert run_id(before) == run_id(old)
  assert not model_differences(before, old)
  a, b = (plain_config(tiny({'model.positions': 'absolute', 'data.seq_len': t}))
          for t in (64, 96))
  assert model_differences(a, b) == ['data.seq_len is 64, wanted 96']


@pytest.mark.parametrize('changes,message', [
    ({'canon': 'ba'}, "'abcd' in this order"), ({'canon': 'e'}, "is 'e'"),
    ({'canon_fixed': True}, 'wanted sites'),
    ({'canon': 'ad', 'num_experts': 2}, 'wanted 1, or no site d'),
    ({'canon': 'c', 'mlp_ratio': 0.0}, 'wanted an MLP'),
    ({'positions': 'learned'}, 'rotary, absolute'),
    ({'positions': 'uniform', 'qk_norm': True}, 'without queries')])
def test_model_config_refuses_keys_that_do_not_fit(tiny, changes, message):
  with pytest.raises(BadInput, match=message):
    model_config(tiny({f'model.{k}': v for k, v in changes.items()}), V)


def test_masked_models_and_prefixes_are_refused(tiny):
  for key, value in (('canon', 'a'), ('positions', 'distance')):
    with pytest.raises(BadInput, match='masked language model'):
      model_config(tiny({f'model.{key}': value, 'data.mlm_probability': 0.1}),
                   V)
  with pytest.raises(BadInput, match='has no keys'):
    adapters.adapter_leaves(tiny({'adapter.kind': 'prefix'}).adapter,
                            made('uniform')[0])
