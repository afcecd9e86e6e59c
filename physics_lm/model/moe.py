"""Mixture of experts: routing tokens to experts and back; experts of adapters.

Top-1 routing with a capacity (Switch transformer, Fedus et al. 2021,
arXiv 2101.03961): of each row an expert takes capacity x T / E tokens; later
ones are dropped, that is, pass on the residual stream only. Earlier tokens go
first, so no token depends on a later one; tokens of one row do compete across
its segments.

E experts, C slots in each; other letters as in model/decoder.py.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from physics_lm.model import kernels, sharding


def low_rank_experts(x_MI: jax.Array, router: jax.Array, into: jax.Array,
                     out: jax.Array) -> jax.Array:
  """sum_e softmax(x R)_e x A_e B_e, [M, O]: all experts of an adapter, weighted
  by a router (model/adapters.py, 'lora_moe'). router [..., E], into [..., E, r]
  with the axes of x's I before, out [E, r, ...]."""
  E, r = out.shape[:2]
  gate_ME = jax.nn.softmax((x_MI @ router.reshape(-1, E)).astype(jnp.float32))
  low_MER = (x_MI @ into.reshape(-1, E * r)).reshape(-1, E, r)
  low_MER = low_MER * gate_ME[..., None].astype(x_MI.dtype)
  return low_MER.reshape(-1, E * r) @ out.reshape(E * r, -1)


def route(x_BTD: jax.Array, router_DE: jax.Array, real_BT: jax.Array,
          capacity: float) -> tuple[jax.Array, jax.Array, jax.Array]:
  """(slot [B, T], gate [B, T], balance): slot e * C + c of each token, E * C
  for a dropped one; the chosen expert's probability; and Fedus et al.'s
  load-balancing loss, 1 when all experts get equally many tokens. `real_BT`:
  False for padding, which takes no slot."""
  T, E = x_BTD.shape[1], router_DE.shape[1]
  C = expert_capacity(T, E, capacity)
  p_BTE = jax.nn.softmax(jnp.einsum(
      'BTD,DE->BTE', x_BTD.astype(jnp.float32),
      router_DE.astype(jnp.float32)))
  choice_BT = p_BTE.argmax(-1)
  one_BTE = jax.nn.one_hot(choice_BT, E) * real_BT[..., None]
  rank_BT = (jnp.cumsum(one_BTE, 1) * one_BTE).sum(-1).astype(jnp.int32) - 1
  kept_BT = (rank_BT >= 0) & (rank_BT < C)
  slot_BT = jnp.where(kept_BT, choice_BT * C + rank_BT, E * C)
  count = jnp.maximum(real_BT.sum(), 1)
  share_E = one_BTE.sum((0, 1)) / count
  p_E = (p_BTE * real_BT[..., None]).sum((0, 1)) / count
  return slot_BT, p_BTE.max(-1), E * (share_E * p_E).sum()


def expert_capacity(length: int, experts: int, capacity: float) -> int:
  """C: the most tokens of a row that an expert takes."""
  return min(max(-int(-capacity * length // experts), 1), length)


def to_experts(x_BTD: jax.Array, slot_BT: jax.Array, experts: int, room: int
               ) -> jax.Array:
  """Tokens in their experts' slots, [B, E, C, D]; empty slots are zero."""
  B, _, D = x_BTD.shape
  out = jnp.zeros((B, experts * room + 1, D), x_BTD.dtype)
  out = out.at[jnp.arange(B)[:, None], slot_BT].set(x_BTD)
  return sharding.constrain(
      out[:, :-1].reshape(B, experts, room, D),
      'batch', 'experts', 'length', 'activation')


def from_experts(y_BECD: jax.Array, slot_BT: jax.Array) -> jax.Array:
  """Each token's own slot, [B, T, D]; zero for a dropped token."""
  B, E, C, D = y_BECD.shape
  y = jnp.pad(y_BECD.reshape(B, E * C, D), ((0, 0), (0, 1), (0, 0)))
  return jnp.take_along_axis(y, slot_BT[..., None], 1)


def moe_mlp(block: nn.Module, x_BTD: jax.Array, segments_BT: jax.Array,
            activation: Callable) -> tuple[jax.Array, jax.Array]:
  """(y [B, T, D], balance): E MLPs in the decoder's Block `block`; each token
  goes through one."""
  c = block.cfg
  D, E, F, T = c.width, c.num_experts, c.mlp_width, x_BTD.shape[1]
  # Near ties decide which expert learns what: always in float32.
  router_DE = block._param('router', (D, E), ('embed', None), D**-0.5,
                           jnp.float32)
  slot_BT, gate_BT, balance = route(x_BTD, router_DE, segments_BT > 0,
                                    c.moe_capacity_factor)
  h_BECD = to_experts(x_BTD, slot_BT, E,
                      expert_capacity(T, E, c.moe_capacity_factor))

  def each(name, x_BECI, I, O, axes, std):
    w_EIO = block._param(name, (E, I, O), ('experts', *axes), std)
    y_BECO = checkpoint_name(
        jnp.einsum('BECI,EIO->BECO', x_BECI, w_EIO), kernels.KEPT)
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
  gate_BT1 = gate_BT[..., None].astype(c.dtype)
  return from_experts(y_BECD, slot_BT) * gate_BT1, balance
