"""Experts against a token-by-token account, and what routing promises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from physics_lm import mixture, restore, train
from physics_lm.config import override
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model import decoder, moe
from physics_lm.model.config import eval_config, model_config
from physics_lm.scaling import flops
from tests.compiled import forward, init

CHANGES = {'model.num_experts': 4, 'model.mlp_ratio': 1.0}


@functools.partial(jax.jit, static_argnums=0)
def block(cfg, layer, *inputs):
  return decoder.Block(cfg).apply({'params': layer}, *inputs)


def gelu(h):
  return h / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))


def by_hand(x_BTD, p, real_BT, room):
  """One token after the other: its expert's MLP, while there is room."""
  y = np.zeros_like(x_BTD)
  for b in range(x_BTD.shape[0]):
    taken = np.zeros(p['router'].shape[1], int)
    for t in range(x_BTD.shape[1]):
      x = x_BTD[b, t]
      probability = np.exp(x @ p['router'] - (x @ p['router']).max())
      probability /= probability.sum()
      e = int(probability.argmax())
      if not real_BT[b, t] or taken[e] == room:
        continue
      taken[e] += 1
      h = gelu(x @ p['up'][e] + p['bias_up'][e])
      y[b, t] = probability[e] * (h @ p['down'][e] + p['bias_down'][e])
  return y


@pytest.mark.parametrize('capacity', [0.5, 1.0, 4.0])
def test_moe_mlp_equals_one_token_at_a_time(tiny, capacity):
  cfg = model_config(
      tiny(CHANGES | {'model.moe_capacity_factor': capacity}), 50)
  key, *keys = jax.random.split(jax.random.key(0), 9)
  params = init(cfg, key)
  layer = {k: np.asarray(v[0]) for k, v in params['layers'].items()}
  for k, name in zip(keys, ('bias_up', 'bias_down', 'up', 'down', 'router')):
    layer[name] = np.asarray(jax.random.normal(k, layer[name].shape))
  x = jax.random.normal(keys[-1], (2, 12, 16))
  real = np.ones((2, 12), bool)
  real[1, 7:] = False
  # Attention adds nothing, and the norm's scale and bias are 1 and 0.
  layer |= {'out': 0 * layer['out'], 'bias_out': 0 * layer['bias_out']}
  y, balance = block(cfg, layer, x, jnp.asarray(real, int),
                     jnp.zeros((2, 12), int))
  normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(
      x.var(-1, keepdims=True) + 1e-5)
  room = moe.expert_capacity(12, 4, capacity)
  assert room == {0.5: 2, 1.0: 3, 4.0: 12}[capacity]
  wanted = by_hand(np.asarray(normed), layer, real, room)
  np.testing.assert_allclose(y - x, wanted, atol=2e-4)
  turned_away = (np.abs(wanted[real]).max(-1) == 0).sum()
  assert (turned_away > 0) == (capacity < 4)
  assert 1.0 <= float(balance) <= 4.0


def test_moe_mlp_is_causal(tiny):
  """First come, first served: also when there is no room for all."""
  cfg = model_config(tiny(CHANGES | {'model.moe_capacity_factor': 1.0}), 50)
  params = init(cfg, jax.random.key(1))
  a = jax.random.randint(jax.random.key(2), (1, 16), 0, 50)
  x, y = (forward(params, t, cfg) for t in (a, a.at[:, 9:].set(3)))
  np.testing.assert_array_equal(x[:, :9], y[:, :9])
  assert float(jnp.abs(x[:, 9:] - y[:, 9:]).max()) > 0


def test_balance_is_one_when_shares_are_equal():
  x = jnp.eye(4)[None].repeat(3, 1)  # each of 4 directions three times
  real = jnp.ones((1, 12), bool)
  even = moe.route(x, 50 * jnp.eye(4), real, 4.0)[2]
  one = moe.route(x, 50 * jnp.ones((4, 4)).at[:, 1:].set(0), real, 4.0)[2]
  assert float(even) == pytest.approx(1.0, abs=1e-5)
  assert float(one) == pytest.approx(4.0, abs=1e-5)


def test_balance_loss_is_trained_on_and_not_reported(one_device):
  """Its gradient reaches the router; the loss in nats is without it."""
  from physics_lm import train_step
  config = one_device(CHANGES | {'model.moe_aux_loss_weight': 10.0})
  data = load_mixture(config)
  cfg = model_config(config, len(data.vocab))
  params = init(cfg, jax.random.key(0))
  many = [mixture.packed_row(data, i) for i in range(4)]
  batch = {k: jnp.stack([r[k] for r in many]) for k in many[0]}
  total, sums = jax.jit(lambda p: train_step.loss_sums(p, batch, cfg, 2))(
      params)
  extra = float(total - sums['loss'].sum()) / float(batch['weights'].sum())
  assert 10 <= extra <= 40
  plain = model_config(one_device(CHANGES | {'model.moe_aux_loss_weight': 0.0}),
                     len(data.vocab))

  def router(c):
    return jax.jit(jax.grad(lambda p: train_step.loss_sums(
        p, batch, c, 2)[0]))(params)['layers']['router']

  assert float(jnp.abs(router(cfg) - router(plain)).max()) > 1.0


def test_micro_batches_balance_as_one_batch(one_device):
  """The balance is a mean over micro-batches, like the loss: of two that are
  the same, the step is that of one."""
  from physics_lm import train_step
  config = one_device(CHANGES | {'model.moe_aux_loss_weight': 3.0})
  data = load_mixture(config)
  cfg = model_config(config, len(data.vocab))
  twice = [mixture.packed_row(data, i) for i in (0, 0, 1, 1)]
  batch = {k: jnp.stack([r[k] for r in twice]) for k in twice[0]}
  params, tx = init(cfg, jax.random.key(0)), optax.sgd(1.0)
  state = train_step.TrainState(jnp.int32(0), params, tx.init(params))
  one, two = (jax.jit(train_step.make_step(cfg, tx, len(data.tasks), a))(
      state, batch)[0].params for a in (1, 2))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
               one, two)


def test_router_decides_in_float32(tiny):
  """Two experts that bfloat16 could not tell apart."""
  cfg = model_config(tiny(CHANGES | {
      'model.num_experts': 2, 'model.dtype': 'bfloat16'}), 50)
  layer = {k: v[0] for k, v in init(cfg, jax.random.key(0))[
      'layers'].items()}
  w = jax.random.normal(jax.random.key(1), (16,))
  layer |= {k: 0 * layer[k] for k in ('out', 'bias_out', 'down')}
  layer['router'] = jnp.stack([w, w * (1 + 2**-12)], 1)
  layer['bias_down'] = jnp.ones((2, 16)).at[1].set(-1)
  x = jax.random.normal(jax.random.key(2), (1, 12, 16), jnp.bfloat16)
  ones = jnp.ones((1, 12), int)
  y, _ = block(cfg, layer, x, ones, 0 * ones)
  normed = x.astype(jnp.float32)
  normed -= normed.mean(-1, keepdims=True)
  second = normed @ w > 0
  assert 2 < int(second.sum()) < 10
  np.testing.assert_array_equal((y - x).mean(-1) < 0, second)


def test_eval_config_has_more_capacity(tiny):
  config = tiny(CHANGES | {'model.moe_eval_capacity_factor': 3.0})
  cfg = model_config(config, 50)
  assert cfg.moe_capacity_factor == 2.0
  assert eval_config(config, cfg).moe_capacity_factor == 3.0


def test_flops_count_one_expert_and_parameters_all(tiny):
  one, four = (model_config(tiny({'model.num_experts': e}), 50) for e in (1, 4))
  assert flops.per_token(one, 32) == flops.per_token(four, 32)
  more = flops.parameters(four).mlp / flops.parameters(one).mlp
  assert 3.9 < more < 4.1


@pytest.mark.parametrize('changes,message', [
    ({'model.num_experts': 0}, 'wanted at least 1'),
    ({'model.num_experts': 2, 'model.mlp_ratio': 0.0}, 'wanted an MLP'),
    ({'model.num_experts': 2, 'model.moe_capacity_factor': 0.0},
     'moe_capacity_factor is 0.0, wanted above 0'),
])
def test_model_config_rejects_bad_experts(tiny, changes, message):
  with pytest.raises(BadInput, match=message):
    model_config(tiny(changes), 50)


def test_moe_run_trains(one_device, tmp_path):
  config = one_device(CHANGES | {'steps': 40, 'log.every': 20})
  train.run(config, tmp_path / 'run')
  from physics_lm import run_dir
  losses = [r['loss'] for r in run_dir.read_rows(tmp_path / 'run/metrics.jsonl')
            if r['kind'] == 'train']
  assert losses[1] < losses[0] - 0.3
  # As a teacher or a sampler it has the capacity of evaluation.
  assert restore.load_run(tmp_path / 'run').cfg.moe_capacity_factor == (
      config.model.moe_eval_capacity_factor)
  with pytest.raises(BadInput, match='experts is 4'):
    train.run(override(config, {'runtime.mesh.expert': 8}),
              tmp_path / 'other')
