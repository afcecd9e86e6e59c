"""Distillation of hidden states: what a student takes over beside the law.

Both terms read the last hidden states, after the final norm. Features: 1 less
the cosine of the teacher's state and the student's, which wants equal widths
(Sanh et al., arXiv 1910.01108: no projection is learnt). Relations: the
relative entropy of how a position's state resembles those up to it in its text,
softmax(h h^T / sqrt(D)), which takes any width (Wang et al., arXiv 2002.10957,
do so with the values of the last attention).
"""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

HIDDEN = -1e30  # score of a position that is not read


def wanted(spec: ConfigDict) -> bool:
  """Whether teacher.features or teacher.relations has a weight."""
  return bool(spec.features or spec.relations)


def distance(student_BTD: jax.Array, teacher_BTE: jax.Array,
             segments_BT: jax.Array, spec: ConfigDict) -> jax.Array:
  """The terms of spec by position [B, T], each times its weight: cosines
  without unit, relations in nats. Segments: the text of each position."""
  total_BT = jnp.zeros(segments_BT.shape, jnp.float32)
  if spec.features:
    total_BT += spec.features * (1 - _cosine(student_BTD, teacher_BTE))
  if spec.relations:
    ours, theirs = (relations(h, segments_BT)
                    for h in (student_BTD, teacher_BTE))
    seen = theirs > HIDDEN / 2
    total_BT += spec.relations * jnp.where(
        seen, jnp.exp(theirs) * (theirs - ours), 0.0).sum(-1)
  return total_BT


def relations(h_BTD: jax.Array, segments_BT: jax.Array) -> jax.Array:
  """Log of the shares of resemblance [B, T, T] of each position to those up to
  it in its text; HIDDEN or less for all others."""
  h_BTD = h_BTD.astype(jnp.float32)
  score_BTT = jnp.einsum('BTD,BSD->BTS', h_BTD, h_BTD) * h_BTD.shape[-1]**-0.5
  T = segments_BT.shape[1]
  seen_BTT = (segments_BT[:, :, None] == segments_BT[:, None]) & jnp.tril(
      jnp.ones((T, T), bool))
  return jax.nn.log_softmax(jnp.where(seen_BTT, score_BTT, HIDDEN), -1)


def _cosine(a: jax.Array, b: jax.Array) -> jax.Array:
  a, b = a.astype(jnp.float32), b.astype(jnp.float32)
  size = jnp.sqrt((a * a).sum(-1) * (b * b).sum(-1))
  return (a * b).sum(-1) / jnp.maximum(size, 1e-9)
