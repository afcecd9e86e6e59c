"""Parameters and FLOPs from a model's shape. No JAX."""

from typing import NamedTuple


class Parameters(NamedTuple):
  embedding: int  # input table, and output table when untied
  block: int  # all layers and the last norm

  @property
  def total(self) -> int:
    return self.embedding + self.block


def parameters(model, vocab: int) -> Parameters:
  """Counts of `config.model` with `vocab` rows of embedding."""
  d, kv = model.width, model.kv_heads or model.heads
  f = round(d * model.mlp_ratio)
  head = d // model.heads
  wide, narrow = model.heads * head, kv * head
  norm = d * (2 if model.bias and model.norm == 'layernorm' else 1)
  attention = norm + d * wide + 2 * d * narrow + wide * d
  if model.bias:
    attention += wide + 2 * narrow + d
  if model.qk_norm:
    attention += head * (4 if model.bias and model.norm == 'layernorm' else 2)
  mlp = 0
  if f:
    ups = 2 if model.mlp == 'gated_silu' else 1
    mlp = norm + ups * d * f + f * d
    if model.bias:
      mlp += ups * f + d
  embedding = vocab * d * (1 if model.tied else 2)
  return Parameters(embedding, model.depth * (attention + mlp) + norm)


def per_token(model, vocab: int, length: int) -> float:
  """Training FLOPs a token: 6 for each weight that multiplies (the tables
  count once, as the unembedding), and 12 L D T for attention scores and
  values, uncut by causality (Chowdhery et al. 2022, appendix B)."""
  count = parameters(model, vocab)
  table = count.embedding // (1 if model.tied else 2)
  return 6.0 * (count.block + table) + 12.0 * model.depth * model.width * length
