"""Rows: whole packed training rows, each a pure function of (seed, row).

A row belongs to one task of the mixture (paper 3.1, appendix C: a sequence is
wholly biographies or wholly questions). Its examples are drawn uniformly with
replacement and packed until one does not fit: that one is dropped, none is
cut. Because row i needs nothing but (seed, i), the state of the data is one
integer, and the stream cannot depend on hosts, workers or mesh.

Text of the user's own and seqio's tasks are streams (worlds/base.py): they
have no index. Which rows are theirs is decided here all the same; what is in
them comes from loader.py, which packs streams and keeps their place.
"""

import functools
import importlib
import json
import math
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput, nearest
from physics_lm.worlds import base

LOSSES = ('all', 'answers')
_GOLDEN = (math.sqrt(5) - 1) / 2
PATIENCE = 1000  # examples too long for a row, in a world without bounds


class Task(NamedTuple):
  """A source of examples: a split of a world, how much of it, which loss."""

  name: str
  world: base.World
  split: str
  weight: float  # share of rows, normalised
  loss: str
  tag: str
  size: int  # examples; 0: a stream
  people: int  # divisor of exposures; 0: a stream


class Mixture(NamedTuple):
  """Worlds, tokenizer and tasks that a config describes."""

  worlds: dict[str, base.World]
  vocab: vocabs.Vocab
  tasks: tuple[Task, ...]
  seq_len: int  # T
  intra_document_mask: bool
  seed: int
  shards: int = 1  # of each stream
  mlm_probability: float = 0.0  # share of tokens masked; 0: causal

  def streams(self) -> list[int]:
    """Which tasks are streams."""
    return [i for i, t in enumerate(self.tasks) if base.is_stream(t.world)]


def load_mixture(config) -> Mixture:
  """Builds (once per process and config) what a config says of its data."""
  relevant = {'worlds': config.worlds, 'data': config.data,
              'seed': {k: config.seed[k] for k in ('data', 'world')}}
  return _load(_text(relevant))


def _text(tree) -> str:
  return ConfigDict(tree).to_json_best_effort(sort_keys=True)


@functools.lru_cache(64)
def _world(text: str, seed: int) -> base.World:
  return base.make_world(ConfigDict(json.loads(text)), seed)


@functools.lru_cache(64)
def _load(text: str) -> Mixture:
  c = ConfigDict(json.loads(text))
  worlds = {k: _world(_text(w), c.seed.world) for k, w in c.worlds.items()}
  pieces = [p for w in worlds.values() for p in w.pieces()]
  pieces += [t.tag for t in c.data.tasks.values()]
  total = sum(t.weight for t in c.data.tasks.values())
  streams_only = c.data.source != 'worlds'  # tasks do not count
  if (total <= 0 and not streams_only) or c.data.seq_len < 1:
    raise BadInput(f'data.seq_len is {c.data.seq_len} and the weights of '
                   f'data.tasks sum to {total}; wanted both above 0')
  if not 1 <= c.data.shards <= max(c.data.batch_size, 1):
    raise BadInput(f'data.shards is {c.data.shards}, wanted 1 to data.batch_size='
                   f'{c.data.batch_size}')
  if not 0 <= c.data.mlm_probability < 1:
    raise BadInput(f'data.mlm_probability is {c.data.mlm_probability}, wanted [0, 1)')
  tasks = []
  for name, t in c.data.tasks.items():
    if t.world not in worlds:
      raise BadInput(f'task {name} wants world {t.world!r}; '
                     f'{nearest(t.world, worlds)}')
    if t.loss not in LOSSES:
      raise BadInput(f'task {name}: loss is {t.loss!r}, wanted one of '
                     f'{", ".join(LOSSES)}')
    if t.weight < 0:
      raise BadInput(f'task {name}: weight is {t.weight}, wanted >= 0')
    world = worlds[t.world]
    if t.weight:
      counts = (0, 0) if base.is_stream(world) else (
          world.size(t.split), world.people(t.split))
      tasks.append(Task(name, world, t.split, t.weight / total, t.loss, t.tag,
                        *counts))
  if c.data.mlm_probability and (streams_only or any(
      base.is_stream(t.world) for t in tasks)):
    raise BadInput(f'data.mlm_probability is {c.data.mlm_probability} of a stream of text, '
                   'wanted worlds that make their own examples, or 0')
  if streams_only:
    world, vocab = open_stream(c)
    worlds[c.data.source] = world
    tasks = [Task('source', world, 'train', 1.0, 'all', '', 0, 0)]
  else:
    vocab = _vocab(c.data.vocab, worlds, pieces, tasks)
  return Mixture(worlds, vocab, tuple(tasks), c.data.seq_len, c.data.intra_document_mask,
              c.seed.data, c.data.shards, c.data.mlm_probability)


def _vocab(kind: str, worlds: dict, pieces: list[str], tasks) -> vocabs.Vocab:
  open_ = [k for k, w in worlds.items() if base.is_stream(w)]
  if open_ and kind in ('word', 'piece', 'gpt2_used'):
    raise BadInput(f'data.vocab is {kind!r}, closed, and world {open_[0]!r} '
                   'has words unknown; wanted byte, bpe:SIZE, gpt2 or a path')
  marks = dict.fromkeys(m for w in worlds.values()
                        for m in getattr(w, 'marks', ()))
  return vocabs.make_vocab(kind, pieces, lambda: tokenizer_corpus(tasks), tuple(marks))


def open_stream(c: ConfigDict):
  """(stream world, vocabulary) of config.data.source. Raises BadInput."""
  kind, _, name = c.data.source.partition(':')
  if kind != 'seqio' or not name:
    raise BadInput(f"data.source is {c.data.source!r}, wanted 'worlds' or "
                   "'seqio:NAME'")
  try:
    seqio = importlib.import_module('physics_lm.interop.seqio')  # slow, large
  except ImportError as e:
    raise BadInput(f'seqio cannot be imported ({e}); wanted pip install seqio'
                   ) from e
  world = seqio.Source(name, c.data.seq_len, c.data.module)
  return world, world.vocab


def tokenizer_corpus(tasks):
  """What a tokenizer is trained on: of each task, 2,000 texts spread evenly
  over its split."""
  for task in tasks:
    for example in base.first_examples(task.world, task.split, 2000):
      yield task.tag + example.text


def task_for_row(data: Mixture, row: int) -> int:
  """Which task row `row` belongs to: a golden-ratio sequence, so that any
  stretch of rows holds each task's share to within a row or two."""
  u = (row * _GOLDEN) % 1.0
  edge = 0.0
  for i, task in enumerate(data.tasks[:-1]):
    edge += task.weight
    if u < edge:
      return i
  return len(data.tasks) - 1


def packed_row(data: Mixture, index: int) -> dict[str, np.ndarray]:
  """Row `index`: tokens, targets, segments, positions [T] int32, weights [T]
  float32, task and entries (scalars, int32). Segment 0 is padding; weights
  are the loss weights of the targets; entries counts the examples."""
  which = task_for_row(data, index)
  task = data.tasks[which]
  rng = np.random.Generator(np.random.Philox(key=[data.seed, index]))
  out = new_row(data.seq_len)
  used, entries, left = 0, 0, PATIENCE
  while used < data.seq_len:
    for draw in rng.integers(0, task.size, 16).tolist():
      item = encode(data, task.world.example(task.split, draw),
                    task.loss, task.tag)
      end = used + len(item[0])
      if end > data.seq_len:
        if len(item[0]) > data.seq_len:
          if task.world.unbounded and (left := left - 1):
            continue
          raise BadInput(too_long_message(data, task.name, len(item[0])))
        used = data.seq_len
        break
      entries += 1
      write_example(out, item, used, entries, data.intra_document_mask)
      used = end
  if data.mlm_probability:
    told, become = sample_mlm_mask(data, task, out, rng)
    apply_mlm_mask(out, told, become)
  out['task'], out['entries'] = np.int32(which), np.int32(entries)
  return out


def check_mixture(data: Mixture):
  """Raises BadInput when an example is longer than a row: of each task, 500
  spread evenly. A longer one among the rest raises when it is drawn. Of a
  world without bounds one in ten may be longer: rows leave those out."""
  for task in data.tasks:
    if not task.size:  # a stream: its documents are cut where a row ends
      next(task.world.documents(task.split, 0, data.shards, data.seed))
      continue
    lengths = sorted(
        len(encode(data, task.world.example(task.split, index), task.loss,
                   task.tag)[0])
        for index in range(0, task.size, max(task.size // 500, 1)))
    tail = len(lengths) // 10 if task.world.unbounded else 0
    if lengths[-1 - tail] > data.seq_len:
      raise BadInput(too_long_message(data, task.name, lengths[-1 - tail]))


def too_long_message(data: Mixture, name: str, found: int) -> str:
  return (f'an example of task {name} has {found} tokens, a row '
          f'data.seq_len={data.seq_len}: wanted rows at least as long')


def encode(data: Mixture, example: base.Example, loss: str = 'all',
           tag: str = '') -> tuple[list[int], list[float]]:
  """(ids, weights), each one longer than the text: ids begin with the end
  token, weights close with the end token's as target."""
  if isinstance(example, base.Encoded):
    return example.ids, example.weights
  ids, enc = [vocabs.EOS], data.vocab.encode
  if tag:
    ids += enc(tag)
  if loss == 'all' and not example.masked:
    for piece in example.pieces:
      ids += enc(piece)
    return ids, [1.0] * len(ids)
  bearing = set(example.loss if loss == 'answers' else
                range(len(example.pieces))).difference(example.masked)
  weights = [float(loss == 'all')] * (len(ids) - 1)
  for i, piece in enumerate(example.pieces):
    part = enc(piece)
    ids += part
    weights += [float(i in bearing)] * len(part)
  # The end token follows from the text; it bears loss when what it ends does.
  return ids, weights + [weights[-1]]


def answer_spans(data: Mixture, example: base.Example, tag: str = ''):
  """[(attribute, start, stop)] of targets, counted from the example's start:
  target i is the token after input i, so the text's token i is target i."""
  lengths = [len(data.vocab.encode(piece)) for piece in example.pieces]
  starts = np.cumsum([len(data.vocab.encode(tag)) if tag else 0, *lengths])
  return [(attribute, int(starts[i]), int(starts[i + 1]))
          for attribute, i in example.answers]


def new_row(length: int) -> dict[str, np.ndarray]:
  """An empty row: all padding."""
  out = {k: np.zeros(length, np.int32)
         for k in ('tokens', 'targets', 'segments', 'positions')}
  out['weights'] = np.zeros(length, np.float32)
  return out


def write_example(out, item, start: int, segment: int, isolate: bool = True):
  """Writes one encoded example into a row at `start`, in place."""
  ids, weights = item
  n, at = len(ids), slice(start, start + len(ids))
  out['tokens'][at] = ids
  out['targets'][at] = [*ids[1:], vocabs.EOS]
  out['weights'][at] = weights
  # The papers concatenate plainly: one segment, positions running on.
  out['segments'][at] = segment if isolate else 1
  first = 0 if isolate else start
  out['positions'][at] = range(first, first + n)


def apply_mlm_mask(out, told, become=vocabs.PAD):
  """Makes a row, or several, one of a masked language model, in place: where
  `told`, targets are asked for and `become` stands; other inputs are their own
  targets (so the text is read from its first word on, to its end token). The
  padding's id stands for what is hidden: no text holds it."""
  out['tokens'] = np.where(told, become, out['targets'])
  out['weights'] = told.astype(np.float32)


def sample_mlm_mask(data: Mixture, task: Task, out, rng):
  """(which targets of a row are asked for, what stands in their place). A
  share `masked` of words, 80 % of them hidden, 10 % another word and 10 % left
  as they are (Part 3.1, appendix H); of a task with loss on answers, all of
  the answer, hidden. Never the end token."""
  told = (out['weights'] > 0) & (out['targets'] != vocabs.EOS)
  become = np.zeros_like(out['targets'])
  if task.loss == 'all':
    told &= rng.random(data.seq_len) < data.mlm_probability
    fate = rng.random(data.seq_len)
    other = rng.integers(vocabs.EOS + 1, len(data.vocab), data.seq_len)
    become = np.where(fate < 0.8, vocabs.PAD,
                      np.where(fate < 0.9, other, out['targets']))
  return told, become
