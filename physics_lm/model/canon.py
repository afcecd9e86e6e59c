"""Canon layers: each token gets a share of the three before it.

  h + w_0 h(t) + w_1 h(t-1) + w_2 h(t-2) + w_3 h(t-3), a weight a channel,

at any of four sites of a layer (Part 4.1, Allen-Zhu, arXiv 2512.17351): a, what
attention reads; b, its queries, keys and values, before their norms and
rotation; c, what the MLP reads; d, its units before their activation (of a
gated MLP, gates too). Weights start with the spread of the paper's, uniform in
(-1/2, 1/2); ours are normal. A tap is zero before the row and, where
data.intra_document_mask isolates examples, before the example (in the paper
taps cross examples of a window).

Letters as in model/decoder.py; I is a site's channels, on one axis or two.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from physics_lm.model.config import CANON_TAPS, ModelConfig

_STD = 12**-0.5  # of a uniform law of width 1


def canon(block: nn.Module, site: str, name: str, x_BTI: jax.Array,
          axes: Sequence[str], segments_BT: jax.Array) -> jax.Array:
  """`x_BTI` after the Canon layer `name` of the decoder's Block, at one of the
  sites 'a' to 'd'; unchanged where config.model.canon lacks the site. While
  text is generated, the inputs of the last columns are kept in its cache, and
  columns of segment 0 are padding on the left."""
  c = block.cfg
  if site not in c.canon:
    return x_BTI
  w_KI = block._param(f'canon_{name}', (CANON_TAPS, *x_BTI.shape[2:]),
                      (None, *axes), _STD)
  if c.canon_fixed:
    w_KI = jax.lax.stop_gradient(w_KI)
  past = block.get_variable('cache', 'past')
  if past is None:
    block.sow('taps', name, x_BTI)  # kept only where mutable
    own_BT = segments_BT if c.intra_document_mask else None
    return weighted_taps(x_BTI, w_KI, own_BT)
  real_BT = segments_BT.reshape(*segments_BT.shape, *(1,) * (x_BTI.ndim - 2))
  every = jnp.concatenate(
      [past.taps[name], jnp.where(real_BT > 0, x_BTI, 0)], 1)
  block.put_variable('cache', 'past', past._replace(
      taps=past.taps | {name: every[:, 1 - CANON_TAPS:]}))
  return weighted_taps(every, w_KI)[:, CANON_TAPS - 1:]


@jax.custom_vjp
def weighted_taps(x_BTI: jax.Array, w_KI: jax.Array,
                  segments_BT: jax.Array | None = None) -> jax.Array:
  """x plus, for each k, w_k times x of k tokens before; zero before the row,
  and with `segments_BT` before the segment."""
  out = x_BTI * (1 + w_KI[0])
  for k in range(1, len(w_KI)):
    shifted = _shifted(x_BTI, k)
    if segments_BT is not None:
      shifted = jnp.where(_same_segment(segments_BT, k, x_BTI), shifted, 0)
    out += w_KI[k] * shifted
  return out


def _taps_forward(x_BTI, w_KI, segments_BT):
  return weighted_taps(x_BTI, w_KI, segments_BT), (x_BTI, w_KI, segments_BT)


def _taps_backward(saved, g_BTI):
  """The gradient of each output goes back to the tokens it was made of. Written
  by hand because the compiler's own keeps every shift of x in memory: a step of
  compact iGSM takes 7 % longer."""
  x_BTI, w_KI, segments_BT = saved
  dx_BTI, dw = g_BTI * (1 + w_KI[0]), [(g_BTI * x_BTI).sum((0, 1))]
  for k in range(1, len(w_KI)):
    own = g_BTI if segments_BT is None else jnp.where(
        _same_segment(segments_BT, k, x_BTI), g_BTI, 0)
    later = _shifted(own, -k)
    dx_BTI += w_KI[k] * later
    dw.append((later * x_BTI).sum((0, 1)))
  return dx_BTI, jnp.stack(dw), None


weighted_taps.defvjp(_taps_forward, _taps_backward)


def _same_segment(segments_BT, k, x_BTI):
  """Whether a token and that of k before are of one segment, [B, T, 1, ..]."""
  same_BT = segments_BT == _shifted(segments_BT, k)
  return same_BT.reshape(*same_BT.shape, *(1,) * (x_BTI.ndim - 2))


def _shifted(x, k):
  """x[:, t - k], zero before the row and after it."""
  T = x.shape[1]
  before, after = min(max(k, 0), T), min(max(-k, 0), T)
  return jnp.pad(x[:, after:T - before], ((0, 0), (before, after), *(
      (0, 0),) * (x.ndim - 2)))


def taps_before(x_RTI: jax.Array, row_B: jax.Array, at_B: jax.Array
                ) -> jax.Array:
  """The taps [B, 3, channels] of a text that goes on at column `at_B` of row
  `row_B`; zero before the row."""
  before_B3 = at_B[:, None] + jnp.arange(1 - CANON_TAPS, 0)
  x_B3I = x_RTI[row_B[:, None], jnp.maximum(before_B3, 0)]
  return jnp.where(before_B3.reshape(
      *before_B3.shape, *(1,) * (x_RTI.ndim - 2)) >= 0, x_B3I, 0)


def no_taps(cfg: ModelConfig, rows: int) -> dict[str, jax.Array]:
  """The cache of a layer's Canon layers before a text: {name: zeros [B, 3,
  channels]}."""
  sites = {'a': {'attention': (cfg.width,)},
           'b': {'query': (cfg.heads, cfg.head), 'key': (
               cfg.kv_heads, cfg.head), 'value': (cfg.kv_heads, cfg.head)},
           'c': {'mlp': (cfg.width,)},
           'd': {'up': (cfg.mlp_width,), 'gate': (cfg.mlp_width,)}}
  return {name: jnp.zeros((rows, CANON_TAPS - 1, *shape), cfg.dtype)
          for site in cfg.canon for name, shape in sites[site].items()}
