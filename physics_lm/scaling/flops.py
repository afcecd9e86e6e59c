"""Parameters and FLOPs from a model's shape. No JAX."""

from typing import NamedTuple

from physics_lm.shape import Shape


class Parameters(NamedTuple):
  embedding: int  # input table, and output table when untied
  rest: int  # all layers and the last norm

  @property
  def total(self) -> int:
    return self.embedding + self.rest


def parameters(s: Shape) -> Parameters:
  """Counts of a model's parameters, biases and norms included."""
  D, N, K, H, F = s.width, s.heads, s.kv_heads, s.head, s.mlp_width
  vectors = 2 if s.bias and s.norm == 'layernorm' else 1  # of a norm
  attention = vectors * D + 2 * D * N * H + 2 * D * K * H
  if s.bias:
    attention += N * H + 2 * K * H + D
  if s.qk_norm:
    attention += 2 * vectors * H
  mlp = 0
  if F:
    ups = 2 if s.mlp == 'gated_silu' else 1
    mlp = vectors * D + (ups + 1) * D * F
    if s.bias:
      mlp += ups * F + D
  tables = 1 if s.tied else 2
  return Parameters(tables * s.vocab * D,
                    s.depth * (attention + mlp) + vectors * D)


def per_token(s: Shape, length: int) -> float:
  """Training FLOPs a token in rows of `length`: 6 for each weight that
  multiplies (one table, as the unembedding), and 12 L D T for attention
  scores and values, uncut by causality (Chowdhery et al. 2022, appendix B)."""
  weights = parameters(s).rest + s.vocab * s.width
  return 6.0 * weights + 12.0 * s.depth * s.width * length
