"""The decoder, as pure functions: init(config, key) and forward(params, ...).

One linen Block, stacked over layers and scanned. A parameter is declared once
(`_param`): shape, logical axes, initial spread; sharding, counts and restore
targets are derived from it.

Axis letters: B batch, T query, S key, D width, F mlp, N heads, K kv heads,
G = N / K, H head, V vocabulary, L layers.
"""

import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from physics_lm.model import kernels, moe, sharding
from physics_lm.model.canon import canon
from physics_lm.model.config import BY_DISTANCE, ModelConfig
from physics_lm.model.positions import attend_by_distance, rotate

ACTIVATIONS = {'gelu': nn.gelu, 'relu': nn.relu, 'silu': nn.silu}


class _Parts(nn.Module):
  """Declares parameters and hands them out gathered, in compute dtype."""

  cfg: ModelConfig

  def _param(self, name, shape, axes, std=None, dtype=None):
    """Normal with spread `std`; ones for a scale and zeros for a bias."""
    if std is None:
      ones = name.startswith('scale')
      init = nn.initializers.ones if ones else nn.initializers.zeros
    else:
      init = nn.initializers.normal(std)
    w = self.param(name, nn.with_logical_partitioning(init, axes), shape)
    return sharding.all_gather_weight(nn.unbox(w), axes).astype(dtype or self.cfg.dtype)

  def _norm(self, name, x, axis='activation'):
    """Layer norm or RMS norm over the last axis, in float32."""
    c, h = self.cfg, x.astype(jnp.float32)
    if c.norm == 'layernorm':
      h = h - h.mean(-1, keepdims=True)
    h = h * jax.lax.rsqrt(jnp.square(h).mean(-1, keepdims=True) + 1e-5)
    h = h.astype(c.dtype) * self._param(f'scale_{name}', x.shape[-1:], (axis,))
    if c.bias and c.norm == 'layernorm':
      h = h + self._param(f'bias_{name}', x.shape[-1:], (axis,))
    return h

  def _linear(self, name, x, shape, axes, std, inputs=1):
    """x @ w + b over the last `inputs` axes of x, the first of w's shape."""
    w = self._param(name, shape, axes, std)
    outside, outputs, I = x.shape[:-inputs], shape[inputs:], math.prod(shape[:inputs])
    x_MI, routed = x.reshape(-1, I), self._adapter(f'route_{name}', f'experts_in_{name}', f'experts_out_{name}')
    self.sow('inputs', name, x_MI)  # kept only where mutable
    y = kernels.linear(x_MI, w.reshape(I, -1))
    if routed:
      y = y + moe.low_rank_experts(x_MI, *routed)
    y = y.reshape(*outside, *outputs)
    return y + self._param(f'bias_{name}', outputs, axes[inputs:]) if self.cfg.bias else y

  def _adapter(self, *names):
    """Parameters that an adapter adds (model/adapters.py); None without."""
    if not self.has_variable('params', names[0]):
      return None
    return [self.get_variable('params', n).astype(self.cfg.dtype) for n in names]

  def _bottleneck(self, name, h_BTD):
    w = self._adapter(f'down_{name}', f'up_{name}')
    return h_BTD if w is None else h_BTD + nn.gelu(h_BTD @ w[0]) @ w[1]


class Block(_Parts):
  """Pre-norm attention and MLP: x_BTD -> (x_BTD, experts' balance loss)."""

  @nn.compact
  def __call__(self, x_BTD, segments_BT, positions_BT, key=None):
    c = self.cfg
    keys = (None, None) if key is None else jax.random.split(key)
    h_BTD = canon(self, 'a', 'attention', self._norm('attention', x_BTD), ('activation',), segments_BT)
    h_BTD = self._bottleneck('attention', self._attention(h_BTD, segments_BT, positions_BT))
    x_BTD = x_BTD + dropout(h_BTD, c.dropout, keys[0])
    balance = jnp.float32(0)
    if c.mlp_width:
      h_BTD = canon(self, 'c', 'mlp', self._norm('mlp', x_BTD), ('activation',), segments_BT)
      if c.num_experts > 1:
        h_BTD, balance = moe.moe_mlp(self, h_BTD, segments_BT, ACTIVATIONS[c.activation])
      else:
        h_BTD = self._mlp(h_BTD, segments_BT)
      x_BTD = x_BTD + dropout(self._bottleneck('mlp', h_BTD), c.dropout, keys[1])
    return sharding.constrain(x_BTD, 'batch', 'length', 'activation'), balance

  def _canon_linear(self, site, name, x_BTD, shape, axes, segments_BT):
    y_BTO = self._linear(name, x_BTD, shape, axes, shape[0]**-0.5)
    return canon(self, site, name, y_BTO, axes[1:], segments_BT)

  def _attention(self, x_BTD, segments_BT, positions_BT):
    c = self.cfg
    D, N, K, H = c.width, c.heads, c.kv_heads, c.head
    content = c.positions not in BY_DISTANCE
    q_k_v = [self._canon_linear('b', name, x_BTD, (D, heads, H), ('embed', axis, 'head'), segments_BT)
             for name, heads, axis in (('query', N, 'heads'), ('key', K, 'kv_heads'), ('value', K, 'kv_heads'))
             if content or name == 'value']
    y_BTNH = self._attend_by_content(*q_k_v, segments_BT, positions_BT) if (
        content) else attend_by_distance(self, *q_k_v, segments_BT)
    # Residual outputs start small, as in GPT-2, so that depth does not add up.
    return self._linear('out', y_BTNH, (N, H, D), ('heads', 'head', 'embed'), (2 * D * c.depth)**-0.5, 2)

  def _attend_by_content(self, q_BTNH, k_BSKH, v_BSKH, segments_BT, positions_BT):
    c = self.cfg
    if c.qk_norm:
      q_BTNH = self._norm('query_norm', q_BTNH, 'head')
      k_BSKH = self._norm('key_norm', k_BSKH, 'head')
    past, prefix = self.get_variable('cache', 'past'), self._adapter('prefix_key', 'prefix_value')
    columns = 0 if past is None else past.k_BKSH.shape[2]
    q_BTNH, k_BSKH = (rotate(y, positions_BT, c, columns) for y in (q_BTNH, k_BSKH))
    for name, y in (('query', q_BTNH), ('key', k_BSKH), ('value', v_BSKH)):
      self.sow('states', name, y)  # kept only where mutable
    if past is None:
      return kernels.attention(q_BTNH, k_BSKH, v_BSKH, segments_BT if c.intra_document_mask or not c.causal else None, c.attention, prefix, c.causal)
    # Text is being generated: model/decode.py.
    y_BTNH, past = kernels.cached_attention(q_BTNH, k_BSKH, v_BSKH, past, prefix)
    self.put_variable('cache', 'past', past)
    return y_BTNH

  def _mlp(self, x_BTD, segments_BT):
    c, D, F = self.cfg, self.cfg.width, self.cfg.mlp_width
    gate_BTF = h_BTF = self._canon_linear('d', 'up', x_BTD, (D, F), ('embed', 'mlp'), segments_BT)
    if c.gated:
      gate_BTF = self._canon_linear('d', 'gate', x_BTD, (D, F), ('embed', 'mlp'), segments_BT)
    h_BTF = ACTIVATIONS[c.activation](gate_BTF) * (h_BTF if c.gated else 1)
    return self._linear('down', h_BTF, (F, D), ('mlp', 'embed'), (2 * F * c.depth)**-0.5)


class EmbedUnembed(_Parts):
  """Everything but the layers: embedding, last norm, unembedding."""

  def setup(self):
    c = self.cfg
    self.table = self._param('embedding', (c.vocab, c.width), ('vocab', 'embed'), c.width**-0.5)
    if not c.tie_embeddings:
      self.output = self._param('output', (c.vocab, c.width), ('vocab', 'embed'), c.width**-0.5)
    if c.positions == 'absolute':
      self.positions = self._param('positions', (c.max_positions, c.width), ('length', 'embed'), c.width**-0.5)
    if c.reward_head:  # posttrain/score.py; starts at 0
      self.reward = self._param('reward', (c.width,), ('activation',))

  def embed(self, tokens_BT: jax.Array, positions_BT: jax.Array) -> jax.Array:
    """Embeddings x_BTD."""
    x_BTD = self.table[tokens_BT]
    if self.cfg.positions == 'absolute':
      x_BTD += self.positions[positions_BT]
    return sharding.constrain(x_BTD, 'batch', 'length', 'activation')

  @nn.compact
  def last(self, x_BTD: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(normed h_BTD, unembedding table_VD): logits are h @ table.T."""
    return self._norm('last', x_BTD), self.table if self.cfg.tie_embeddings else self.output


def dropout(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
  """x with a fraction `rate` of its elements zeroed; all of x without a key."""
  if key is None or not rate:
    return x
  keep = jax.random.bernoulli(key, 1 - rate, x.shape)
  return jnp.where(keep, x / (1 - rate), 0)


def init_boxed(cfg: ModelConfig, key: jax.Array) -> dict:
  """Parameters, each boxed with its logical axes; layers stacked on L."""
  ends, layers = jax.random.split(key)
  token = jnp.zeros((1, 1), jnp.int32)
  x_BTD = jnp.zeros((1, 1, cfg.width), cfg.dtype)
  add = {nn.PARTITION_NAME: 'layers'}

  def layer(key):
    return Block(cfg).init(key, x_BTD, token, token)['params']

  stacked = jax.tree.map(
      lambda p: p.add_axis(0, add),
      jax.vmap(layer)(jax.random.split(layers, cfg.depth)),
      is_leaf=lambda p: isinstance(p, nn.meta.AxisMetadata))
  return {'ends': EmbedUnembed(cfg).init(ends, x_BTD, method='last')['params'],
          'layers': stacked}


def init(cfg: ModelConfig, key: jax.Array) -> dict:
  """Parameters, float32: {'ends': {...}, 'layers': {... [L, ...]}}."""
  return nn.unbox(init_boxed(cfg, key))


@functools.cache
def logical_axes(cfg: ModelConfig) -> dict:
  """The logical axes of every parameter, as a tree of tuples."""
  boxed = jax.eval_shape(functools.partial(init_boxed, cfg), jax.random.key(0))
  return jax.tree.map(lambda p: tuple(p.names), boxed, is_leaf=lambda p: isinstance(p, nn.meta.AxisMetadata))


def forward(params: dict, tokens_BT: jax.Array, cfg: ModelConfig, segments_BT: jax.Array | None = None,
            positions_BT: jax.Array | None = None, key: jax.Array | None = None, taps: bool = False) -> jax.Array | tuple:
  """Logits [B, T, V] float32; with taps also the residual stream before each
  layer and after the last, [L + 1, B, T, D]. `key` switches dropout on."""
  h_BTD, table_VD, stream, _ = hidden_states(params, tokens_BT, cfg, segments_BT, positions_BT, key, taps)
  logits_BTV = jnp.einsum('BTD,VD->BTV', h_BTD, table_VD, preferred_element_type=jnp.float32)
  logits_BTV = sharding.constrain(logits_BTV, 'batch', 'length', 'vocab')
  return (logits_BTV, stream) if taps else logits_BTV


def loss(params: dict, batch: dict, cfg: ModelConfig, key: jax.Array | None = None) -> tuple:
  """(summed loss in nats, nll [B, T]) of a batch's tokens, targets, segments,
  positions and loss weights, each [B, T]. Only the sum has a gradient; with
  experts it includes their balance loss, once per weighted token."""
  h_BTD, table_VD, _, balance = hidden_states(params, batch['tokens'], cfg, batch['segments'], batch['positions'], key)
  total, nll = kernels.cross_entropy(h_BTD, table_VD, batch['targets'], batch['weights'])
  if cfg.num_experts > 1:
    total += cfg.moe_aux_loss_weight * balance * batch['weights'].sum()
  return total, nll


def hidden_states(params: dict, tokens_BT: jax.Array, cfg: ModelConfig, segments_BT: jax.Array | None = None,
                  positions_BT: jax.Array | None = None, key: jax.Array | None = None, taps: bool = False) -> tuple:
  """(last hidden state [B, T, D], unembedding [V, D], residual stream or
  None, experts' balance loss): everything before the logits."""
  B, T = tokens_BT.shape
  segments_BT = jnp.ones((B, T), jnp.int32) if segments_BT is None else segments_BT
  positions_BT = jnp.broadcast_to(jnp.arange(T), (B, T)) if positions_BT is None else positions_BT
  ends, block = {'params': params['ends']}, Block(cfg)
  keys = None
  if key is not None and cfg.dropout:
    key, first = jax.random.split(key)
    keys = jax.random.split(key, cfg.depth)
  x_BTD = EmbedUnembed(cfg).apply(ends, tokens_BT, positions_BT, method='embed')
  if keys is not None:
    x_BTD = dropout(x_BTD, cfg.dropout, first)

  def layer(x_BTD, weights_key):
    weights, layer_key = weights_key
    y_BTD, balance = block.apply({'params': weights}, x_BTD, segments_BT, positions_BT, layer_key)
    return y_BTD, (balance, x_BTD if taps else None)

  if cfg.remat:
    layer = jax.checkpoint(layer)
  elif sharding.platform() == 'tpu':
    layer = jax.checkpoint(layer, policy=kernels.keep_named)
  x_BTD, (balance_L, stream) = jax.lax.scan(layer, x_BTD, (params['layers'], keys), unroll=cfg.unroll)
  h_BTD, table_VD = EmbedUnembed(cfg).apply(ends, x_BTD, method='last')
  stream = jnp.concatenate([stream, x_BTD[None]]) if taps else None
  return h_BTD, table_VD, stream, balance_L.mean()
