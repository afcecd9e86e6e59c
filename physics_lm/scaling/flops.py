"""Parameters and FLOPs from a model's shape, by every usual convention.

Conventions differ by more than fits do: on one public data set the exponent of
N*(C) goes from 0.50 to 0.63 when embeddings are left out of N. So terms come
back separately, and the convention is an argument. No JAX.
"""

import dataclasses
from typing import NamedTuple

from physics_lm.model.config import BY_DISTANCE, CANON_TAPS, ModelConfig


class Parameters(NamedTuple):
  embedding: int  # input table
  unembedding: int  # output table; 0 when it is the input's
  attention: int  # of all layers, with their norms
  mlp: int
  last_norm: int
  positions: int = 0  # a learned table of them

  @property
  def rest(self) -> int:
    """Without tables: Kaplan's non-embedding count."""
    return self.attention + self.mlp + self.last_norm

  @property
  def total(self) -> int:
    """All parameters."""
    return self.embedding + self.unembedding + self.positions + self.rest


def canon_channels(s: ModelConfig) -> dict[str, int]:
  """{site: channels} of a layer's Canon layers, four weights each."""
  content = s.positions not in BY_DISTANCE
  every = {'a': s.width, 'c': s.width, 'd': (1 + s.gated) * s.mlp_width,
           'b': (content * (s.heads + s.kv_heads) + s.kv_heads) * s.head}
  return {site: every[site] for site in s.canon}


def parameters(s: ModelConfig) -> Parameters:
  """Counts of a model's parameters, biases, norms and all experts included."""
  D, N, K, H, F = s.width, s.heads, s.kv_heads, s.head, s.mlp_width
  vectors = 2 if s.bias and s.norm == 'layernorm' else 1  # of a norm
  heads = K + (N + K if s.positions not in BY_DISTANCE else 0)  # projected
  attention = vectors * D + D * N * H + D * heads * H
  if s.positions == 'distance':
    attention += s.max_positions * N
  if s.bias:
    attention += heads * H + D
  if s.qk_norm:
    attention += 2 * vectors * H
  mlp = 0
  if F:
    ups = 2 if s.gated else 1
    mlp = (ups + 1) * D * F
    if s.bias:
      mlp += ups * F + D
    router = D * s.num_experts if s.num_experts > 1 else 0
    mlp = vectors * D + mlp * s.num_experts + router
  canon = canon_channels(s)
  attention += CANON_TAPS * sum(canon.get(site, 0) for site in 'ab')
  mlp += CANON_TAPS * sum(canon.get(site, 0) for site in 'cd')
  table = s.vocab * D
  return Parameters(table, 0 if s.tie_embeddings else table,
                    s.depth * attention, s.depth * mlp, vectors * D,
                    s.max_positions * D * (s.positions == 'absolute'))


def train_per_token(s: ModelConfig, length: int, convention: str
                    ) -> dict[str, float]:
  """Training FLOPs a token in rows of `length`, by term, and their 'total'.

  6n_ne                6 N without embeddings (Kaplan et al. 2020)
  6n_ne_attn           and 6 L T D_attn for attention (the same, table 1: one
                       product of T and D_attn a layer going forward)
  6n                   6 N with embeddings (Hoffmann et al. 2022)
  hoffmann             three times the forward count of the same, appendix F
  hoffmann_layers_only that, less embedding and logits: what its table A4 holds
  detailed             each matrix product: gating, grouped keys and values,
                       causal scores at half, no cost for a look-up

  Raises ValueError for another convention.
  """
  L, D, T, V = s.depth, s.width, length, s.vocab
  N, K, H, F = s.heads, s.kv_heads, s.head, s.mlp_width
  count, wide = parameters(s), s.heads * s.head
  if convention == '6n_ne':
    terms = {'weights': 6 * count.rest}
  elif convention == '6n_ne_attn':
    terms = {'weights': 6 * count.rest, 'attention': 6 * L * T * wide}
  elif convention == '6n':
    terms = {'weights': 6 * count.total}
  elif convention in ('hoffmann', 'hoffmann_layers_only'):
    terms = {
        'embedding': 3 * 2 * V * D,
        'qkv': 3 * L * 2 * 3 * D * wide,
        'scores': 3 * L * 2 * T * wide,
        'softmax': 3 * L * 3 * N * T,
        'values': 3 * L * 2 * T * wide,
        'attention_out': 3 * L * 2 * wide * D,
        'mlp': 3 * L * 4 * D * F,
        'logits': 3 * 2 * D * V}
    if convention == 'hoffmann_layers_only':
      del terms['embedding'], terms['logits']
  elif convention == 'detailed':
    maps = 3 if s.gated else 2
    terms = {
        'qkv': 6 * L * D * (N + 2 * K) * H,
        'scores': 6 * L * T * wide / 2,
        'values': 6 * L * T * wide / 2,
        'attention_out': 6 * L * wide * D,
        'mlp': 6 * L * maps * D * F,
        'logits': 6 * D * V}
    if s.canon:
      terms['canon'] = 6 * L * CANON_TAPS * sum(canon_channels(s).values())
  else:
    raise ValueError(f'unknown convention {convention!r}; known: '
                     f'{", ".join(CONVENTIONS)}')
  return terms | {'total': float(sum(terms.values()))}


CONVENTIONS = ('6n_ne', '6n_ne_attn', '6n', 'hoffmann', 'hoffmann_layers_only',
               'detailed')


def hoffmann_table_a4() -> dict[int, float]:
  """{millions of parameters: detailed FLOPs / 6 N D} for the six models of
  Hoffmann et al. 2022, table A4, with T 2,048, V 32,000 and shapes of table
  A9. It comes out with layers only, and N that counts five matrices of D x
  D_attn a layer: relative positions have one of their own."""
  shapes = {  # label: depth, width, heads, head, F
      73: (10, 640, 10, 64, 2560), 305: (20, 1024, 16, 64, 4096),
      552: (24, 1280, 10, 128, 5120), 1100: (26, 1792, 14, 128, 7168),
      1600: (28, 2048, 16, 128, 8192), 6800: (40, 3584, 28, 128, 14336)}
  out = {}
  for label, (L, D, N, H, F) in shapes.items():
    s = ModelConfig(
        vocab=32_000, depth=L, width=D, heads=N, kv_heads=N, mlp_width=F,
        mlp='gelu', norm='layernorm', bias=False, tie_embeddings=True,
        qk_norm=False, rope_fraction=0.0, rope_theta=1.0, dropout=0.0,
        dtype='float32', remat=False, attention='xla')
    if s.head != H:
      raise ValueError(f'{label}M: head is {s.head}, wanted {H}')
    count = s.vocab * D + L * (5 * D * N * H + 2 * D * F)
    work = train_per_token(s, 2048, 'hoffmann_layers_only')['total']
    out[label] = work / (6 * count)
  return out


def per_token(s: ModelConfig, length: int) -> float:
  """Training FLOPs a token in rows of `length`: 6 for each weight that
  multiplies (one table, as the unembedding), and 12 L D T for attention
  scores and values, uncut by causality (Chowdhery et al. 2022, appendix B). Of
  experts, the one that a token takes; routing is left out."""
  used = dataclasses.replace(s, num_experts=1)  # a token goes through one
  weights = parameters(used).rest + s.vocab * s.width
  return 6.0 * weights + 12.0 * s.depth * s.width * length
