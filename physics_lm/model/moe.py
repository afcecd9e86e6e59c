"""Mixture of experts: which token goes to which expert, there and back.

Top-1 routing with a capacity (Switch transformer, Fedus et al. 2021): each
row gives every expert room for capacity x T / E tokens; what comes later than
that passes by on the residual stream. First come, first served, so no token
depends on a later one; tokens of one row do compete across its segments.

E experts, C room in each; other letters as in model/decoder.py.
"""

import jax
import jax.numpy as jnp

from physics_lm.model import sharding


def route(x_BTD, router_DE, real_BT, capacity: float):
  """(slot [B, T], gate [B, T], balance): slot e * C + c of each token, E * C
  for one without a place; the chosen expert's probability; and Fedus et al.'s
  load-balancing loss, 1 when every expert gets its share. `real_BT`: False
  for padding, which takes no room."""
  T, E = x_BTD.shape[1], router_DE.shape[1]
  C = expert_capacity(T, E, capacity)
  p_BTE = jax.nn.softmax(jnp.einsum(
      'BTD,DE->BTE', x_BTD.astype(jnp.float32),
      router_DE.astype(jnp.float32)))
  choice_BT = p_BTE.argmax(-1)
  one_BTE = jax.nn.one_hot(choice_BT, E) * real_BT[..., None]
  place_BT = (jnp.cumsum(one_BTE, 1) * one_BTE).sum(-1).astype(jnp.int32) - 1
  placed_BT = (place_BT >= 0) & (place_BT < C)
  slot_BT = jnp.where(placed_BT, choice_BT * C + place_BT, E * C)
  count = jnp.maximum(real_BT.sum(), 1)
  share_E = one_BTE.sum((0, 1)) / count
  p_E = (p_BTE * real_BT[..., None]).sum((0, 1)) / count
  return slot_BT, p_BTE.max(-1), E * (share_E * p_E).sum()


def expert_capacity(length: int, experts: int, capacity: float) -> int:
  """C: tokens of a row that an expert takes."""
  return min(max(-int(-capacity * length // experts), 1), length)


def to_experts(x_BTD, slot_BT, experts: int, room: int):
  """Tokens in their experts' slots, [B, E, C, D]; empty slots are zero."""
  B, _, D = x_BTD.shape
  out = jnp.zeros((B, experts * room + 1, D), x_BTD.dtype)
  out = out.at[jnp.arange(B)[:, None], slot_BT].set(x_BTD)
  return sharding.constrain(
      out[:, :-1].reshape(B, experts, room, D),
      'batch', 'experts', 'length', 'activation')


def from_experts(y_BECD, slot_BT):
  """Each token's own slot, [B, T, D]; zero for one without a place."""
  B, E, C, D = y_BECD.shape
  y = jnp.pad(y_BECD.reshape(B, E * C, D), ((0, 0), (0, 1), (0, 0)))
  return jnp.take_along_axis(y, slot_BT[..., None], 1)


def moe_mlp(block, x_BTD, segments_BT, activation):
  """(y [B, T, D], balance): the block's MLP, E times over; each token goes
  through one."""
  c = block.cfg
  D, E, F, T = c.width, c.num_experts, c.mlp_width, x_BTD.shape[1]
  # Near ties decide who learns what: float32 whatever the rest is in.
  router_DE = block._param('router', (D, E), ('embed', None), D**-0.5,
                           jnp.float32)
  slot_BT, gate_BT, balance = route(x_BTD, router_DE, segments_BT > 0,
                                    c.moe_capacity_factor)
  h_BECD = to_experts(x_BTD, slot_BT, E, expert_capacity(T, E, c.moe_capacity_factor))

  def each(name, x_BECI, I, O, axes, std):
    w_EIO = block._param(name, (E, I, O), ('experts', *axes), std)
    y_BECO = jnp.einsum('BECI,EIO->BECO', x_BECI, w_EIO)
    if c.bias:
      y_BECO += block._param(f'bias_{name}', (E, O), ('experts', axes[1])
                             )[:, None]
    return y_BECO

  inner, outer = (D, F, ('embed', 'mlp'), D**-0.5), (
      F, D, ('mlp', 'embed'), (2 * F * c.depth)**-0.5)
  h_BECF = each('up', h_BECD, *inner)
  gate_BECF = each('gate', h_BECD, *inner) if c.gated else h_BECF
  h_BECF = activation(gate_BECF) * (h_BECF if c.gated else 1)
  y_BECD = each('down', h_BECF, *outer)
  return from_experts(y_BECD, slot_BT) * gate_BT[..., None].astype(c.dtype), balance
