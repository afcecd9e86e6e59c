"""Teacher-forced outcomes of examples, token by token.

Teacher-forced exact match equals greedy exact match: if every token of an
answer is the argmax after the true tokens before it, greedy decoding generates
exactly these tokens.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.model import decoder
from physics_lm.model.config import ModelConfig, eval_config, model_config
from physics_lm.worlds import base


class AnswerSpan(NamedTuple):
  """Which targets of packed rows are an answer: row, [start, stop)."""

  example: int
  attribute: str
  row: int
  start: int
  stop: int


def evaluated_model(config: ConfigDict, data: mixture.Mixture) -> ModelConfig:
  """The model in evaluation, where experts have more capacity than in training
  and no example attends to another, whatever data.intra_document_mask is. On
  CPUs layers are unrolled, as in training: probes and verifiers are trained
  too."""
  cfg = dataclasses.replace(
      eval_config(config, model_config(config, len(data.vocab))),
      intra_document_mask=True)
  if jax.default_backend() == 'cpu' and not cfg.remat:
    cfg = dataclasses.replace(cfg, unroll=min(cfg.depth, 12))
  return cfg


def pack(data: mixture.Mixture, examples: Sequence[base.Example], tag: str = ''
         ) -> tuple[dict[str, np.ndarray], list[AnswerSpan]]:
  """Packs examples in order into rows of data.seq_len, none of them cut.

  Each example is a segment of its own, also for a model that was trained
  without segments (data.intra_document_mask=False): an answer is not to be
  found in the example before. For a masked language model
  all tokens of the answers are masked.

  Returns:
    arrays [R, T], and the spans of all answers.

  Raises:
    BadInput: an example is longer than a row.
  """
  packed, spans, used, segment = [], [], data.seq_len, 0
  for i, example in enumerate(examples):
    item = mixture.encode(data, example, tag=tag)
    if used + len(item[0]) > data.seq_len:
      if len(item[0]) > data.seq_len:
        raise BadInput(mixture.too_long_message(data, 'evals', len(item[0])))
      packed.append(mixture.new_row(data.seq_len))
      used = segment = 0
    segment += 1
    mixture.write_example(packed[-1], item, used, segment, isolate=True)
    spans += [AnswerSpan(i, attribute, len(packed) - 1, used + a, used + b)
              for attribute, a, b in mixture.answer_spans(data, example, tag)]
    used += len(item[0])
  batch = {k: np.stack([r[k] for r in packed]) for k in packed[0]}
  if data.mlm_probability:
    predict = np.zeros(batch['tokens'].shape, bool)
    for span in spans:
      predict[span.row, span.start:span.stop] = True
    mixture.apply_mlm_mask(batch, predict)
  return batch, spans


@functools.partial(jax.jit, static_argnames='cfg')
def token_outcomes(params: dict, batch: dict, cfg: ModelConfig
                   ) -> tuple[jax.Array, jax.Array]:
  """(nll in nats, whether the target is the argmax), both [B, T]."""
  logits = decoder.forward(params, batch['tokens'], cfg, batch['segments'],
                           batch['positions'])
  targets = batch['targets'][..., None]
  chosen = jnp.take_along_axis(logits, targets, -1)[..., 0]
  nll = jax.nn.logsumexp(logits, -1) - chosen
  return nll, logits.argmax(-1) == batch['targets']


def outcomes(params: dict, packed: dict[str, np.ndarray], cfg: ModelConfig,
             batch: int) -> tuple[np.ndarray, np.ndarray]:
  """token_outcomes of all rows, `batch` at a time, [R, T]. Every process
  scores every row: evaluation sets are small."""
  nll, correct = in_batches(functools.partial(
      token_outcomes, params, cfg=cfg), packed, batch)
  return nll, correct


def in_batches(function: Callable[[dict], tuple[jax.Array, ...]],
               packed: dict[str, np.ndarray], batch: int) -> list[np.ndarray]:
  """A function of rows, applied to all of them, `batch` at a time: its arrays
  on the host, one row after another."""
  count = len(packed['tokens'])
  keys = ('tokens', 'segments', 'positions', 'targets')
  parts = []
  for at in range(0, count, batch):
    part = {k: packed[k][at:at + batch] for k in keys}
    short = batch - len(part['tokens'])  # one shape, one compilation
    part = {k: np.pad(x, ((0, short), (0, 0))) for k, x in part.items()}
    parts.append(function(part))
  return [np.concatenate([_on_host(x) for x in made])[:count]
          for made in zip(*parts)]


def _on_host(x: jax.Array) -> np.ndarray:
  if x.is_fully_addressable:
    return np.asarray(x)
  from jax.experimental import multihost_utils
  return np.asarray(multihost_utils.process_allgather(x, tiled=True))
