"""Teacher-forced outcomes of examples, token by token.

Teacher-forced exact match equals greedy exact match: if every token is the
argmax after the true ones, greedy decoding writes just those.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from physics_lm import model, rows
from physics_lm.errors import BadInput
from physics_lm.shape import Shape


class Span(NamedTuple):
  """Where an answer's tokens lie among the targets of packed rows."""

  example: int
  attribute: str
  row: int
  start: int
  stop: int


def pack(data: rows.Data, examples, tag: str = ''):
  """Packs examples in order, each whole, into rows of data.length.

  Returns (batch of [R, T] arrays, spans of all answers). For a masked language
  model all answers are hidden.
  """
  packed, spans, used, segment = [], [], data.length, 0
  for i, example in enumerate(examples):
    item = rows.encode(data, example, tag=tag)
    if used + len(item[0]) > data.length:
      if len(item[0]) > data.length:
        raise BadInput(rows.too_long(data, 'evals', len(item[0])))
      packed.append(rows.new_row(data.length))
      used = segment = 0
    segment += 1
    rows.place(packed[-1], item, used, segment, data.isolate)
    spans += [Span(i, attribute, len(packed) - 1, used + a, used + b)
              for attribute, a, b in rows.answer_spans(data, example, tag)]
    used += len(item[0])
  batch = {k: np.stack([r[k] for r in packed]) for k in packed[0]}
  if data.masked:
    told = np.zeros(batch['tokens'].shape, bool)
    for span in spans:
      told[span.row, span.start:span.stop] = True
    rows.mask(batch, told)
  return batch, spans


@functools.partial(jax.jit, static_argnames='cfg')
def token_outcomes(params, batch, cfg: Shape):
  """(nll in nats, whether the target is the argmax), both [B, T]."""
  logits = model.forward(params, batch['tokens'], cfg, batch['segments'],
                         batch['positions'])
  targets = batch['targets'][..., None]
  chosen = jnp.take_along_axis(logits, targets, -1)[..., 0]
  nll = jax.nn.logsumexp(logits, -1) - chosen
  return nll, logits.argmax(-1) == batch['targets']


def outcomes(params, packed, cfg: Shape, batch: int):
  """token_outcomes of all rows, `batch` at a time, as NumPy [R, T]. Every
  process scores every row: evaluation sets are small."""
  count = len(packed['tokens'])
  keys = ('tokens', 'segments', 'positions', 'targets')
  parts = []
  for at in range(0, count, batch):
    part = {k: packed[k][at:at + batch] for k in keys}
    short = batch - len(part['tokens'])  # one shape, one compilation
    part = {k: np.pad(x, ((0, short), (0, 0))) for k, x in part.items()}
    parts.append(token_outcomes(params, part, cfg))
  nll, right = (np.concatenate([_whole(p[i]) for p in parts])[:count]
                for i in (0, 1))
  return nll, right


def interval(people, right, kinds=None) -> tuple[float, float]:
  """The 95 % interval of a mean over questions, by bootstrap over people: what
  is asked about one person is known, or not, together. `people`: whom each
  question is about. `kinds`: what it asks for; given, the interval is that of
  the mean over kinds of each kind's mean. Always the same draws."""
  _, who = np.unique(people, return_inverse=True)
  _, kind = np.unique(np.zeros(len(who)) if kinds is None else kinds,
                      return_inverse=True)
  asked, known = np.zeros((2, kind.max() + 1, who.max() + 1), np.float32)
  np.add.at(asked, (kind, who), 1)
  np.add.at(known, (kind, who), np.asarray(right, np.float32))
  drawn = _drawn(len(asked[0]))
  asked, known = asked @ drawn, known @ drawn
  # A kind may ask about nobody who is drawn: such a mean leaves it out.
  means = np.where(asked > 0, known / np.maximum(asked, 1), 0).sum(0) / (
      asked > 0).sum(0)
  low, high = np.percentile(means, (2.5, 97.5))
  return float(low), float(high)


@functools.lru_cache(8)
def _drawn(people: int, draws: int = 1000) -> np.ndarray:
  """How often each is drawn, [people, draws]."""
  rng = np.random.default_rng(0)
  return np.stack([np.bincount(rng.integers(0, people, people), minlength=people
                               ) for _ in range(draws)], 1).astype(np.float32)


def _whole(x: jax.Array) -> np.ndarray:
  if x.is_fully_addressable:
    return np.asarray(x)
  from jax.experimental import multihost_utils
  return np.asarray(multihost_utils.process_allgather(x, tiled=True))
