"""Hand-written gradients where the compiler's own are slow: linear maps,
attention, cross-entropy (of Canon layers: canon.py). Each equals its plain
formula; tests compare them.

Letters as in model/decoder.py; I and O are the inputs and outputs of a linear
map, M is B x T.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from physics_lm.model import sharding
from physics_lm.model.config import SPLASH_FROM, logits_chunks

# What a TPU keeps of a layer for the backward pass: results of linear maps and
# of attention, which have this name. It computes the rest again, norms and
# activations: that is little beside writing them to memory and reading them.
KEPT = 'kept'
keep_named = jax.checkpoint_policies.save_only_these_names(KEPT)


def linear(x_MI: jax.Array, w_IO: jax.Array) -> jax.Array:
  """x @ w, kept for the backward pass."""
  return checkpoint_name(_linear(x_MI, w_IO), KEPT)


@jax.custom_vjp
def _linear(x_MI, w_IO):
  return x_MI @ w_IO


def _linear_bwd(saved, g_MO):
  x_MI, w_IO = saved
  return g_MO @ w_IO.T, _weight_gradient(x_MI, g_MO)


_linear.defvjp(lambda x, w: (x @ w, (x, w)), _linear_bwd)


def _weight_gradient(x_MI, g_MO):
  """x.T @ g. On a CPU it takes a quarter of the time when the narrower of the
  two is transposed first; barriers keep the compiler from changing that."""

  def on_cpu(x, g):
    hold = jax.lax.optimization_barrier
    if x.shape[1] > g.shape[1]:
      return on_cpu(g, x).T
    return hold(hold(x.T) @ g)

  return jax.lax.platform_dependent(
      x_MI, g_MO, cpu=on_cpu,
      default=lambda x, g: jnp.einsum('MI,MO->IO', x, g))


def attention(q_BTNH: jax.Array, k_BSKH: jax.Array, v_BSKH: jax.Array,
              segments_BT: jax.Array | None, implementation: str,
              prefix: Sequence[jax.Array] | None = None, causal: bool = True
              ) -> jax.Array:
  """Attention, [B, T, N, H]; inside segments unless `segments_BT` is None;
  softmax in float32. `prefix`: keys and values [P, K, H] that every token
  attends to. The one function that chooses an attention kernel: 'auto' is
  splash attention on a TPU and cuDNN's on a GPU, for rows and numbers that
  these are made for, and the plain formula elsewhere and with a prefix."""
  T, platform = q_BTNH.shape[1], sharding.platform()
  if prefix is None and (implementation == 'splash' or (
      implementation == 'auto' and platform == 'tpu' and T >= SPLASH_FROM)):
    return splash_attention(q_BTNH, k_BSKH, v_BSKH, segments_BT, causal)
  if prefix is None and (implementation == 'cudnn' or (
      implementation == 'auto' and platform == 'gpu' and _cudnn_compiles(
          q_BTNH.shape, k_BSKH.shape, q_BTNH.dtype, segments_BT is not None,
          causal, jax.sharding.get_abstract_mesh()))):
    try:
      return _cudnn_attention(q_BTNH, k_BSKH, v_BSKH, segments_BT, causal)
    except Exception as e:  # under vmap, of several classes
      if implementation == 'cudnn':
        raise
      _print_refusal(str(e).splitlines()[0][:120])
  mask_BTS = jnp.tri(T, k=0 if causal else T, dtype=bool)[None]
  if segments_BT is not None:
    mask_BTS &= segments_BT[:, :, None] == segments_BT[:, None, :]
  return _grouped(q_BTNH, _heads_first(k_BSKH), _heads_first(v_BSKH), mask_BTS,
                  prefix)


# Logical axes of queries, and of keys and values.
_HEADS = ('batch', 'length', 'heads', 'head')
_KV_HEADS = ('batch', 'length', 'kv_heads', 'head')


def _cudnn_attention(q_BTNH, k_BSKH, v_BSKH, segments_BT, causal):

  def local(q_BTNH, k_BSKH, v_BSKH, segments_BT=None):
    mask = None if segments_BT is None else (
        segments_BT[:, None, :, None] == segments_BT[:, None, None, :])
    return jax.nn.dot_product_attention(
        q_BTNH, k_BSKH, v_BSKH, mask=mask, is_causal=causal,
        implementation='cudnn')

  more = () if segments_BT is None else (segments_BT,)
  axes = (_HEADS, _KV_HEADS, _KV_HEADS, ('batch', 'length'))
  return sharding.on_each_device(local, axes[:3 + len(more)], _HEADS)(
      q_BTNH, k_BSKH, v_BSKH, *more)


@functools.cache
def _cudnn_compiles(q_BTNH, k_BSKH, dtype, segmented: bool, causal: bool, mesh
                    ) -> bool:
  """Whether cuDNN's attention and its gradient compile for these shapes on the
  mesh in use, in a loop as that over layers: it has conditions of its own for
  each version and device. Prints why not."""

  def total(q, k, v, segments):
    def layer(q, _):
      return _cudnn_attention(q, k, v, segments, causal), None
    return jax.lax.scan(layer, q, length=2)[0].astype(jnp.float32).sum()

  segments = jax.ShapeDtypeStruct(q_BTNH[:2], jnp.int32) if segmented else None
  q, k = (jax.ShapeDtypeStruct(s, dtype) for s in (q_BTNH, k_BSKH))
  try:
    jax.jit(jax.grad(total, (0, 1, 2))).lower(q, k, k, segments).compile()
  except Exception as e:  # of JAX, of jaxlib, of cuDNN
    _print_refusal(str(e).splitlines()[0][:120])
    return False
  return True


@functools.cache
def _print_refusal(reason: str):
  """Prints once why cuDNN's attention is not used."""
  print(f'attention by the plain formula, not by cuDNN: {reason}', flush=True)


def splash_attention(q_BTNH: jax.Array, k_BSKH: jax.Array, v_BSKH: jax.Array,
                     segments_BT: jax.Array | None, causal: bool = True,
                     interpret: bool = False) -> jax.Array:
  """Attention by Pallas's splash kernel for TPUs, which holds no T x S weights.
  Its blocks are multiples of 128 tokens: rows are padded to one.

  The compiler cannot divide a kernel over a mesh; each device runs it on its
  rows and heads. `interpret`: on any platform, slowly (for tests).
  """
  if segments_BT is None:
    segments_BT = jnp.ones(q_BTNH.shape[:2], jnp.int32)
  local = functools.partial(_splash, causal=causal, interpret=interpret)
  return sharding.on_each_device(
      local, (_HEADS, _KV_HEADS, _KV_HEADS, ('batch', 'length')), _HEADS)(
          q_BTNH / math.sqrt(q_BTNH.shape[-1]), k_BSKH, v_BSKH, segments_BT)


def _splash(q_BTNH, k_BSKH, v_BSKH, segments_BT, causal, interpret):
  from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel as splash,
  )
  from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask as masks,
  )
  T, N = q_BTNH.shape[1:3]
  more = -T % 128
  q, k, v = (_heads_first(jnp.pad(x, ((0, 0), (0, more), (0, 0), (0, 0))))
             for x in (q_BTNH, k_BSKH, v_BSKH))
  # Padding is no segment of the data.
  segments_BT = jnp.pad(segments_BT, ((0, 0), (0, more)), constant_values=-1)
  S = T + more
  block = next(n for n in (512, 384, 256, 128) if S % n == 0)
  mask = masks.CausalMask((S, S)) if causal else masks.FullMask((S, S))
  kernel = splash.make_splash_mha(
      masks.MultiHeadMask([mask] * N), head_shards=1, q_seq_shards=1,
      interpret=interpret, residual_checkpoint_name=KEPT,
      block_sizes=splash.BlockSizes(
          block_q=block, block_kv=block, block_q_dkv=block,
          block_kv_dkv=block, block_q_dq=block, block_kv_dq=block))
  y_BNTH = jax.vmap(kernel)(q, k, v, splash.SegmentIds(
      segments_BT, segments_BT))
  return _heads_first(y_BNTH)[:, :T]


def _heads_first(x):
  return x.swapaxes(1, 2)


def _grouped(q_BTNH, k_BKSH, v_BKSH, mask_BTS, prefix):
  B, T, N, H = q_BTNH.shape
  K = k_BKSH.shape[1]
  if prefix is not None:
    P = len(prefix[0])
    mask_BTS = jnp.pad(mask_BTS, ((0, 0), (0, 0), (P, 0)),
                       constant_values=True)
    k_BKSH, v_BKSH = (
        jnp.concatenate([jnp.broadcast_to(p.swapaxes(0, 1), (B, K, P, H)), x],
                        2) for p, x in zip(prefix, (k_BKSH, v_BKSH)))
  q_BKGTH = _heads_first(q_BTNH / math.sqrt(H)).reshape(B, K, N // K, T, H)
  y_BKGTH = _attention(q_BKGTH, k_BKSH, v_BKSH, mask_BTS)
  return _heads_first(y_BKGTH.reshape(B, N, T, H))


class KVCache(NamedTuple):
  """Keys and values of the S columns of a text that is being generated."""

  k_BKSH: jax.Array
  v_BKSH: jax.Array
  column: jax.Array  # the next one
  first_B: jax.Array  # column in which each row's text begins
  taps: dict[str, jax.Array] = {}  # last inputs of Canon layers (canon.py)

  def extended(self, k_BTKH: jax.Array, v_BTKH: jax.Array) -> 'KVCache':
    """The cache with the keys and values of T new columns."""
    k_BKSH, v_BKSH = (
        jax.lax.dynamic_update_slice(old, _heads_first(new),
                                     (0, 0, self.column, 0))
        for old, new in ((self.k_BKSH, k_BTKH), (self.v_BKSH, v_BTKH)))
    return self._replace(k_BKSH=k_BKSH, v_BKSH=v_BKSH,
                         column=self.column + k_BTKH.shape[1])


def cached_attention(q_BTNH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array,
                     past: KVCache, prefix: Sequence[jax.Array] | None = None
                     ) -> tuple[jax.Array, KVCache]:
  """Causal attention of T new columns to all columns so far, one segment, and
  to the prefix: (y_BTNH, the cache with the new columns)."""
  T, S = q_BTNH.shape[1], past.k_BKSH.shape[2]
  new = past.extended(k_BTKH, v_BTKH)
  now_1T1 = (past.column + jnp.arange(T))[None, :, None]
  mask_BTS = (jnp.arange(S) <= now_1T1) & (
      jnp.arange(S) >= past.first_B[:, None, None])
  return _grouped(q_BTNH, new.k_BKSH, new.v_BKSH, mask_BTS, prefix), new


@jax.custom_vjp
def _attention(q_BKGTH, k_BKSH, v_BKSH, mask_BTS):
  return _attention_fwd(q_BKGTH, k_BKSH, v_BKSH, mask_BTS)[0]


def _attention_fwd(q, k, v, mask_BTS):
  s_BKGTS = jnp.einsum('BKGTH,BKSH->BKGTS', q, k,
                       preferred_element_type=jnp.float32)
  s_BKGTS = jnp.where(mask_BTS[:, None, None], s_BKGTS, -1e30)
  e_BKGTS = jnp.exp(s_BKGTS - s_BKGTS.max(-1, keepdims=True))
  p_BKGTS = (e_BKGTS / e_BKGTS.sum(-1, keepdims=True)).astype(v.dtype)
  y = jnp.einsum('BKGTS,BKSH->BKGTH', p_BKGTS, v)
  return y, (q, k, v, p_BKGTS, y)


def _attention_bwd(saved, g):
  q, k, v, p_BKGTS, y = saved
  dp_BKGTS = jnp.einsum('BKGTH,BKSH->BKGTS', g, v,
                        preferred_element_type=jnp.float32)
  # sum_S p dp, as a sum over H: shorter (Dao et al. 2022, appendix B).
  sum_BKGT1 = (g.astype(jnp.float32) * y).sum(-1, keepdims=True)
  ds_BKGTS = (p_BKGTS * (dp_BKGTS - sum_BKGT1)).astype(q.dtype)
  return (jnp.einsum('BKGTS,BKSH->BKGTH', ds_BKGTS, k),
          _over_queries(ds_BKGTS, q), _over_queries(p_BKGTS, g), None)


def _over_queries(p_BKGTS, x_BKGTH):
  """p.T @ x, [B, K, S, H]. A CPU transposes the left operand of a product, and
  p is the wider one; so x is transposed, and then the product."""

  def on_cpu(p, x):
    hold = jax.lax.optimization_barrier
    x_BKHM = hold(x.reshape(*x.shape[:2], -1, x.shape[-1]).swapaxes(2, 3))
    p_BKMS = p.reshape(*p.shape[:2], -1, p.shape[-1])
    return hold(x_BKHM @ p_BKMS).swapaxes(2, 3)

  return jax.lax.platform_dependent(
      p_BKGTS, x_BKGTH, cpu=on_cpu,
      default=lambda p, x: jnp.einsum('BKGTS,BKGTH->BKSH', p, x))


_attention.defvjp(_attention_fwd, _attention_bwd)


@jax.custom_vjp
def cross_entropy(h_BTD: jax.Array, table_VD: jax.Array, targets_BT: jax.Array,
                  weights_BT: jax.Array) -> tuple[jax.Array, jax.Array]:
  """(sum of weights x nll, nll [B, T] float32) of logits h @ table.T, without
  all logits at once: T is cut into chunks of about LOGITS_CHUNK logits.

  Only the sum has a gradient. It is computed in the forward pass, while a
  chunk's logits are in memory, so nothing is computed twice.
  """
  return _cross_entropy(h_BTD, table_VD, targets_BT, weights_BT, False)[0]


def _cross_entropy(h_BTD, table_VD, targets_BT, weights_BT, gradients: bool):
  B, T, D = h_BTD.shape
  V = table_VD.shape[0]
  # A device's own logits are what its memory must hold.
  count = logits_chunks(
      T, B * T * -(-V // sharding.shards('batch', 'vocab')))

  def cut(x):
    return x.reshape(B, count, T // count, *x.shape[2:]).swapaxes(0, 1)

  def chunk(dtable_VD, part):
    h_BtD, targets_Bt, weights_Bt = part
    logits_BtV = jnp.einsum('BtD,VD->BtV', h_BtD, table_VD,
                            preferred_element_type=jnp.float32)
    top_Bt1 = logits_BtV.max(-1, keepdims=True)
    e_BtV = jnp.exp(logits_BtV - top_Bt1)
    sum_Bt1 = e_BtV.sum(-1, keepdims=True)
    right_Bt = jnp.take_along_axis(logits_BtV, targets_Bt[..., None], -1)
    nll_Bt = (jnp.log(sum_Bt1) + top_Bt1 - right_Bt)[..., 0]
    if not gradients:
      return dtable_VD, (nll_Bt, None)
    hot_BtV = jax.nn.one_hot(targets_Bt, V, dtype=jnp.float32)
    d_MV = (weights_Bt[..., None] * (e_BtV / sum_Bt1 - hot_BtV)
            ).astype(h_BtD.dtype).reshape(-1, V)
    dtable_DV = _weight_gradient(h_BtD.reshape(-1, D), d_MV)
    dh_BtD = (d_MV @ table_VD).reshape(h_BtD.shape)
    return dtable_VD + dtable_DV.T.astype(jnp.float32), (nll_Bt, dh_BtD)

  zero = jnp.zeros((V, D), jnp.float32) if gradients else None
  parts = tuple(cut(x) for x in (h_BTD, targets_BT, weights_BT))
  if count == 1:
    dtable_VD, out = chunk(zero, jax.tree.map(lambda x: x[0], parts))
    out = jax.tree.map(lambda x: x[None], out)
  else:
    dtable_VD, out = jax.lax.scan(chunk, zero, parts)
  nll_BT, dh_BTD = (
      None if x is None else x.swapaxes(0, 1).reshape(B, T, *x.shape[3:])
      for x in out)
  return ((nll_BT * weights_BT).sum(), nll_BT), (dh_BTD, dtable_VD, nll_BT)


def _cross_entropy_fwd(h_BTD, table_VD, targets_BT, weights_BT):
  out, (dh, dtable, nll) = _cross_entropy(h_BTD, table_VD, targets_BT,
                                          weights_BT, True)
  return out, (dh, dtable.astype(table_VD.dtype), nll)


def _cross_entropy_bwd(saved, g):
  dh, dtable, nll = saved
  g_sum, _ = g
  dh, dtable, dweights = ((g_sum * x).astype(x.dtype)
                          for x in (dh, dtable, nll))
  return dh, dtable, None, dweights


cross_entropy.defvjp(_cross_entropy_fwd, _cross_entropy_bwd)
