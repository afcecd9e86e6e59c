"""How a model knows positions: config.model.positions.

  rotary    queries and keys rotate by their position; with rope_fraction 0
            the model has no positions at all (NoPE)
  absolute  a learned vector of each position is added to the embedding
  distance  attention by distance alone: a learned log-weight of each distance
            and head, no queries and keys
  uniform   head h = 1, 2, ... averages the last 2^h - 1 tokens; nothing of it
            is learned

The last two are the controls of Part 1 (Allen-Zhu & Li, arXiv 2305.13673) for
what of attention depends on distance alone. Letters as in model/decoder.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from physics_lm.model import sharding
from physics_lm.model.config import ModelConfig


def rotate(x_BTNH: jax.Array, positions_BT: jax.Array, cfg: ModelConfig,
           columns: int = 0) -> jax.Array:
  """Rotary positions (GPT-NeoX pairing) on the first rope_fraction of H. The
  product of a rotated query and key depends on their distance only.

  `columns`: positions are below it, as where text is generated. On a CPU their
  cosines are then a table: XLA computes those of a position again for every
  element of all heads, a fifth of the time of a token (bench/DECODE.md)."""
  half = int(x_BTNH.shape[-1] * cfg.rope_fraction) // 2
  if not half:
    return x_BTNH
  if columns and sharding.platform() == 'cpu':
    freq_R = cfg.rope_theta ** (-np.arange(half, dtype=np.float32) / half)
    angle_SR = np.arange(columns, dtype=np.float32)[:, None] * freq_R
    cos, sin = (jnp.asarray(f(angle_SR), x_BTNH.dtype)[positions_BT][:, :, None]
                for f in (np.cos, np.sin))
  else:
    freq_R = cfg.rope_theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle_BT1R = positions_BT[..., None, None].astype(jnp.float32) * freq_R
    cos, sin = (f(angle_BT1R).astype(x_BTNH.dtype) for f in (jnp.cos, jnp.sin))
  a, b, rest = jnp.split(x_BTNH, (half, 2 * half), -1)
  return jnp.concatenate([a * cos - b * sin, b * cos + a * sin, rest], -1)


def attend_by_distance(block: nn.Module, v_BSKH: jax.Array,
                       segments_BT: jax.Array) -> jax.Array:
  """Attention of the decoder's Block by distance alone, y_BTNH: to the row, or
  to the text so far while it is generated (its values are then cached, keys
  and values both, to be one kind of cache)."""
  c, T = block.cfg, v_BSKH.shape[1]
  past, now_T, mask_BTS = block.get_variable('cache', 'past'), jnp.arange(T), (
      jnp.ones((1, 1, 1), bool))
  if past is not None:
    now_T += past.column
    past = past.extended(v_BSKH, v_BSKH)
    block.put_variable('cache', 'past', past)
    v_BSKH = past.v_BKSH.swapaxes(1, 2)
    mask_BTS = (jnp.arange(v_BSKH.shape[1]) >= past.first_B[:, None, None])
  elif c.intra_document_mask:
    mask_BTS = segments_BT[:, :, None] == segments_BT[:, None, :]
  distance_TS = now_T[:, None] - jnp.arange(v_BSKH.shape[1])
  mask_BTS &= distance_TS >= 0
  if c.positions == 'uniform':
    reach_N = 2 ** jnp.arange(1, c.heads + 1) - 1
    mask_BNTS = mask_BTS[:, None] & (distance_TS < reach_N[:, None, None])
    s_NTS = jnp.float32(0)
  else:
    w_PN = block._param('bias_distance', (c.max_positions, c.heads),
                        ('length', 'heads'), dtype=jnp.float32)
    mask_BNTS = mask_BTS[:, None]
    s_NTS = jnp.moveaxis(w_PN[jnp.clip(distance_TS, 0, len(w_PN) - 1)], -1, 0)
  # A padding column before the text has no mask at all: -1e30 is no infinity.
  p_BNTS = jax.nn.softmax(jnp.where(mask_BNTS, s_NTS, -1e30), -1)
  p_BKGTS = p_BNTS.astype(v_BSKH.dtype).reshape(
      len(p_BNTS), c.kv_heads, -1, *p_BNTS.shape[2:])
  y_BTKGH = jnp.einsum('BKGTS,BSKH->BTKGH', jnp.broadcast_to(
      p_BKGTS, (len(v_BSKH), *p_BKGTS.shape[1:])), v_BSKH)
  return y_BTKGH.reshape(len(v_BSKH), T, c.heads, c.head)
