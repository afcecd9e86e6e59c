"""The mixture: packed training rows, each a pure function of (seed, row).

A row belongs to one task of the mixture (Part 3.1, appendix C: a sequence holds
biographies only or questions only). Its examples are drawn uniformly with
replacement and packed until one does not fit. That one is dropped; no example
is cut. Because row i depends on (seed, i) alone, the state of the data is one
integer, and the rows do not depend on hosts, workers or the mesh.

Where all examples of a world have one form (worlds/base.py: symbols), rows can
be made in bulk, with the same contents, and `sampling` 'epochs' is possible:
the examples of a task are then permutations of all its people, one epoch after
another. Which of them a row has follows from how many rows of its task precede
it, a number that has a closed form.

Corpora in files and seqio's tasks are streams (worlds/base.py): they have no
index. This module decides which rows are theirs; loader.py packs their
documents and keeps their state.
"""

import functools
import importlib
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm import philox, task_rows
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput, nearest
from physics_lm.worlds import base
from physics_lm.worlds.base import mix_bits, permuted

LOSSES = ('all', 'answers')
SAMPLINGS = ('replacement', 'epochs')
# Examples of an unbounded world that may be too long before a row gives up.
PATIENCE = 1000


class Form(NamedTuple):
  """The common form of all examples of a task, n tokens each."""

  ids: np.ndarray  # token of each of the world's pieces, int32
  head: tuple[int, ...]  # the end token and the tag
  weights: np.ndarray  # loss weights of the targets, [n] float32; of the first
  # example, where the world has `bearing`


class Task(NamedTuple):
  """A source of examples: a split of a world, its weight and its loss."""

  name: str
  world: base.World
  split: str
  weight: float  # share of rows, normalised
  loss: str  # one of LOSSES
  tag: str  # domain tag; '': none
  size: int  # examples of the split; 0: a stream
  people: int  # divisor of exposures; 0: a stream
  form: Form | None = None  # where all examples have one


class Mixture(NamedTuple):
  """The worlds, tokenizer and tasks of a config."""

  worlds: dict[str, base.World]
  vocab: vocabs.Vocab
  tasks: tuple[Task, ...]
  phases: tuple[task_rows.Phase, ...]
  seq_len: int  # T
  intra_document_mask: bool
  seed: int
  shards: int = 1  # of each stream
  mlm_probability: float = 0.0  # share of words masked; 0: a causal model
  sampling: str = 'replacement'  # of examples: one of SAMPLINGS

  def streams(self) -> list[int]:
    """Indices of the tasks that are streams."""
    return [i for i, t in enumerate(self.tasks) if base.is_stream(t.world)]


def load_mixture(config: ConfigDict) -> Mixture:
  """The mixture of a config, cached: one per process and set of data keys.

  Raises BadInput for values out of range, an unknown world or split, or a
  vocabulary that cannot be made.
  """
  relevant = {'worlds': config.worlds, 'data': config.data,
              'seed': {k: config.seed[k] for k in ('data', 'world')}}
  return _load(_text(relevant))


def _text(tree) -> str:
  return ConfigDict(tree).to_json_best_effort(sort_keys=True)


@functools.lru_cache(64)
def _world(text: str, seed: int) -> base.World:
  return base.make_world(ConfigDict(json.loads(text)), seed)


def forget_worlds() -> None:
  """Lets go of the worlds and mixtures that this process has made."""
  _world.cache_clear()
  _load.cache_clear()


@functools.lru_cache(64)
def _load(text: str) -> Mixture:
  c = ConfigDict(json.loads(text))
  worlds = {k: _world(_text(w), c.seed.world) for k, w in c.worlds.items()}
  pieces = [p for w in worlds.values() for p in w.pieces()]
  pieces += [t.tag for t in c.data.tasks.values()]
  _check_keys(c)
  labelled = [k for k, w in worlds.items() if hasattr(w, 'labels')]
  if labelled and c.data.mlm_probability:
    raise BadInput(f'data.mlm_probability is {c.data.mlm_probability} of world '
                   f'{labelled[0]!r}, whose pieces have labels, wanted 0')
  tasks = _tasks(c, worlds)
  phases = _phases(c, tasks)
  streams_only = c.data.source != 'worlds'  # tasks do not count
  if c.data.mlm_probability and (streams_only or any(
      base.is_stream(t.world) for t in tasks)):
    raise BadInput(f'data.mlm_probability is {c.data.mlm_probability} of a '
                   'stream of text, wanted 0, or worlds with an index')
  if streams_only:
    world, vocab = open_stream(c)
    worlds[c.data.source] = world
    tasks = [Task('source', world, 'train', 1.0, 'all', '', 0, 0)]
    phases = task_rows.make_phases([1.0], [(None, None)], c.data.batch_size)
  else:
    vocab = _vocab(c.data.vocab, worlds, pieces, tasks)
  data = Mixture(worlds, vocab, tuple(tasks), phases, c.data.seq_len,
                 c.data.intra_document_mask, c.seed.data, c.data.shards,
                 c.data.mlm_probability, c.data.sampling)
  data = data._replace(tasks=tuple(
      t._replace(form=_form(data, t)) for t in data.tasks))
  lacking = [t.name for t in data.tasks if t.form is None]
  if data.sampling == 'epochs' and lacking:
    raise BadInput(f"data.sampling is 'epochs', but the examples of task "
                   f"{lacking[0]} differ in length; wanted 'replacement', or "
                   'bioD or biographies with data.vocab=piece')
  return data


def _form(data: Mixture, task: Task) -> Form | None:
  """The form of a task's examples; None where they differ in it."""
  if not hasattr(task.world, 'symbols') or (
      data.vocab.kind not in ('word', 'piece')):
    return None
  made = [data.vocab.encode(p) for p in task.world.pieces()]
  if any(len(i) > 1 for i in made):
    return None
  symbols = task.world.symbols(task.split, np.arange(1))
  if symbols is None:
    return None
  ids, weights, *_ = encode(data, task.world.example(task.split, 0), task.loss,
                            task.tag)
  head = tuple(ids[:len(ids) - symbols.shape[1]])
  return Form(np.array(made, np.int32)[:, 0], head,
              np.array(weights, np.float32))


def _check_keys(c: ConfigDict):
  """Raises BadInput for a value of `data` that is out of range."""
  total = sum(t.weight for t in c.data.tasks.values())
  if (total <= 0 and c.data.source == 'worlds') or c.data.seq_len < 1:
    raise BadInput(f'data.seq_len is {c.data.seq_len} and the weights of '
                   f'data.tasks sum to {total}; wanted both above 0')
  if not 1 <= c.data.shards <= max(c.data.batch_size, 1):
    raise BadInput(f'data.shards is {c.data.shards}, wanted 1 to '
                   f'data.batch_size={c.data.batch_size}')
  if c.data.sampling not in SAMPLINGS:
    raise BadInput(f'data.sampling is {c.data.sampling!r}, wanted one of '
                   f'{", ".join(SAMPLINGS)}')


def _tasks(c: ConfigDict, worlds: dict[str, base.World]) -> list[Task]:
  """The tasks with a weight above 0. Raises BadInput."""
  total = sum(t.weight for t in c.data.tasks.values())
  tasks = []
  for name, t in c.data.tasks.items():
    if t.world not in worlds:
      raise BadInput(f'task {name}: world is {t.world!r}; '
                     f'{nearest(t.world, worlds)}')
    if t.loss not in LOSSES:
      raise BadInput(f'task {name}: loss is {t.loss!r}, wanted one of '
                     f'{", ".join(LOSSES)}')
    world = worlds[t.world]
    if t.weight:
      counts = _counts(name, world, t)
      tasks.append(Task(name, world, t.split, t.weight / total, t.loss, t.tag,
                        *counts))
  return tasks


def _counts(name: str, world: base.World, t: ConfigDict) -> tuple[int, int]:
  """(examples, people) that a task draws from. Raises BadInput."""
  if base.is_stream(world):
    if t.pool is not None:
      raise BadInput(f'task {name}: pool is {t.pool} of a stream of text, '
                     'wanted none, or a world with an index')
    return 0, 0
  counts = world.size(t.split), world.people(t.split)
  return counts if t.pool is None else tuple(min(n, t.pool) for n in counts)


def _phases(c: ConfigDict, tasks: Sequence[Task]
            ) -> tuple[task_rows.Phase, ...]:
  """The phases of the tasks. Raises BadInput for a window without steps."""
  own = [c.data.tasks[t.name] for t in tasks]
  for task, t in zip(tasks, own):
    if t.until is not None and t.until <= (t.since or 0):
      raise BadInput(f'task {task.name}: until is {t.until}, wanted above '
                     f'since={t.since or 0}')
  return task_rows.make_phases([t.weight for t in own], [
      (t.since, t.until) for t in own], c.data.batch_size)


def _vocab(kind: str, worlds: dict[str, base.World], pieces: list[str],
           tasks: Sequence[Task]) -> vocabs.Vocab:
  streams = [k for k, w in worlds.items() if base.is_stream(w)]
  if streams and kind in ('word', 'piece', 'gpt2_used'):
    raise BadInput(f'data.vocab is {kind!r}, closed, and the words of world '
                   f'{streams[0]!r} are unknown; wanted byte, bpe:SIZE, gpt2 '
                   'or a path')
  marks = dict.fromkeys(m for w in worlds.values()
                        for m in getattr(w, 'marks', ()))
  return vocabs.make_vocab(kind, pieces, lambda: tokenizer_corpus(tasks),
                           tuple(marks))


def open_stream(c: ConfigDict) -> tuple[base.World, vocabs.Vocab]:
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


def tokenizer_corpus(tasks: Sequence[Task]) -> Iterator[str]:
  """The texts that a tokenizer is trained on: of each task, 2,000 spread evenly
  over its split."""
  for task in tasks:
    for example in base.first_examples(task.world, task.split, 2000):
      yield task.tag + example.text


def only(data: Mixture, task: Task) -> Mixture:
  """The mixture of one of its tasks, in all steps."""
  return data._replace(tasks=(task,), phases=task_rows.make_phases(
      [1.0], [(None, None)], 1))


def task_for_row(data: Mixture, row: int) -> int:
  """Index of the task of row `row`."""
  return int(tasks_of_rows(data, np.array([row]))[0][0])


def tasks_of_rows(data: Mixture, rows: np.ndarray
                  ) -> tuple[np.ndarray, np.ndarray]:
  """(task, rank) of rows [R]: see task_rows. Without epochs the rank is not
  used: it is the row."""
  if data.sampling == 'epochs':
    return task_rows.ranked_tasks(data.phases, rows)
  return task_rows.tasks_of(data.phases, rows), rows


def epoch_indices(data: Mixture, task: Task, slots: np.ndarray) -> np.ndarray:
  """The examples in slots [S] of a task's sequence of epochs. An epoch is a
  keyed permutation of the world's next examples, one of each person."""
  people = min(task.world.epoch(task.split), task.size)
  epoch, position = np.divmod(slots.astype(np.uint64), np.uint64(people))
  state = mix_bits(data.seed, zlib.crc32(f'epochs/{task.name}'.encode()))
  state = mix_bits(epoch, state=state)
  order = permuted(position, people, [
      mix_bits(k, state=state) for k in range(4)])
  return ((epoch * np.uint64(people) + order) % np.uint64(task.size)).astype(
      np.int64)


def packed_row(data: Mixture, index: int) -> dict[str, np.ndarray]:
  """Row `index`: tokens, targets, segments, positions [T] int32, weights [T]
  float32, task and entries (scalars, int32). Segment 0 is padding; weights are
  the loss weights of the targets; entries is the number of examples. Raises
  BadInput when an example is longer than a row."""
  which = task_for_row(data, index)
  task, rng = data.tasks[which], _row_generator(data, index)
  out = new_row(data.seq_len)
  used, entries, left = 0, 0, PATIENCE
  while used < data.seq_len:
    for draw in _next_draws(data, task, index, entries, rng):
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
    predict_mask, replacement = sample_mlm_mask(data, task, out, rng)
    apply_mlm_mask(out, predict_mask, replacement)
  out['task'], out['entries'] = np.int32(which), np.int32(entries)
  return out


def _row_generator(data: Mixture, index: int) -> np.random.Generator:
  return np.random.Generator(np.random.Philox(key=[data.seed, index]))


def _next_draws(data: Mixture, task: Task, index: int, entries: int,
                rng: np.random.Generator) -> list[int]:
  """The next 16 examples to pack into row `index`, which has `entries`."""
  if data.sampling == 'replacement':
    return rng.integers(0, task.size, 16).tolist()
  _, rank = tasks_of_rows(data, np.array([index]))
  each = data.seq_len // len(task.form.weights)
  return epoch_indices(data, task, each * rank[0] + entries
                       + np.arange(16)).tolist()


def is_bulk(data: Mixture) -> bool:
  """Whether packed_rows is fast for all rows of the mixture."""
  return not data.mlm_probability and all(t.form for t in data.tasks)


def packed_rows(data: Mixture, rows: np.ndarray) -> dict[str, np.ndarray]:
  """packed_row of each of rows [R], stacked: [R, T] and [R]. In bulk, where
  the examples of a task have one form."""
  rows = np.asarray(rows, np.int64)
  which, rank = tasks_of_rows(data, rows)
  out = {k: np.zeros((len(rows), *np.shape(v)), v.dtype)
         for k, v in new_row(data.seq_len).items()}
  out['task'] = which.astype(np.int32)
  out['entries'] = np.zeros(len(rows), np.int32)
  for i in np.unique(which).tolist():
    at = np.flatnonzero(which == i)
    if data.tasks[i].form is None or data.mlm_probability:
      for j in at.tolist():
        for k, v in packed_row(data, int(rows[j])).items():
          out[k][j] = v
    else:
      everywhere = len(at) == len(rows)  # a slice is written in a third
      _write_in_bulk(data, data.tasks[i], rows[at], rank[at], out,
                     slice(None) if everywhere else at)
  return out


def _write_in_bulk(data: Mixture, task: Task, rows: np.ndarray,
                   rank: np.ndarray, out: dict[str, np.ndarray],
                   at: np.ndarray | slice):
  """Writes rows of one task, with their ranks, into out[...][at]. Raises
  BadInput when an example is longer than a row."""
  n = len(task.form.weights)
  each = data.seq_len // n
  if not each:
    raise BadInput(too_long_message(data, task.name, n))
  if data.sampling == 'epochs':
    indices = epoch_indices(data, task, (each * rank[:, None]
                                         + np.arange(each)).ravel())
  else:
    indices = philox.integers(data.seed, rows, task.size, each).ravel()
  symbols = task.world.symbols(task.split, indices)
  ids = np.empty((len(indices), n), np.int32)
  ids[:, :len(task.form.head)] = task.form.head
  ids[:, len(task.form.head):] = task.form.ids[symbols]
  head = len(task.form.head)
  targets = np.roll(ids, -1, 1)  # the last is the end token, which is first
  if hasattr(task.world, 'labels'):
    targets[:, head:] = task.form.ids[task.world.labels(task.split, indices)]
  item = new_row(data.seq_len)
  for i in range(each):
    write_example(item, (ids[0], task.form.weights), i * n, i + 1,
                  data.intra_document_mask)
  for k in ('segments', 'positions', 'weights'):
    out[k][at] = item[k]
  for k, v in (('tokens', ids), ('targets', targets)):
    out[k][at, :each * n] = v.reshape(len(rows), -1)
  if hasattr(task.world, 'bearing') and task.loss == 'answers':
    weights = np.zeros((len(indices), n), np.float32)
    weights[:, head - 1:-1] = task.world.bearing(task.split, indices)
    weights[:, -1] = weights[:, -2]  # the end token's, as of the one before
    out['weights'][at, :each * n] = weights.reshape(len(rows), -1)
  out['entries'][at] = each


def check_mixture(data: Mixture, steps: int = 0) -> None:
  """Raises BadInput when no task takes part in one of the steps, and when one
  of 500 examples of a task, spread evenly over its split, is longer than a row.
  (Any other raises when it is drawn.) In an unbounded world one in ten may be
  longer: rows skip those."""
  task_rows.check_phases(data.phases, steps)
  for task in data.tasks:
    if not task.size:  # a stream: rows cut its documents
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
  """The error message for an example of task `name` with `found` tokens."""
  return (f'an example of task {name} has {found} tokens, a row '
          f'data.seq_len={data.seq_len}: wanted rows at least as long')


def encode(data: Mixture, example: base.Example, loss: str = 'all',
           tag: str = '') -> tuple:
  """(ids, loss weights of their targets) of an example of n tokens, n + 1 of
  each: the ids begin with the end token, the last target is the end token.
  (ids, weights, targets) of one whose pieces have labels. Raises BadInput for a
  label that is no single token, as its piece must be."""
  if isinstance(example, base.Encoded):
    return example.ids, example.weights
  if example.labels:
    return _encode_labelled(data, example, tag)
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
  # The end token has the loss weight of the token before it.
  return ids, weights + [weights[-1]]


def _encode_labelled(data: Mixture, example: base.Example, tag: str):
  """(ids, weights, targets): at each piece its label is predicted, the loss is
  on those of example.loss. Raises BadInput."""
  made = [[data.vocab.encode(p) for p in part]
          for part in (example.pieces, example.labels)]
  for part, pieces in zip(made, (example.pieces, example.labels)):
    for ids, piece in zip(part, pieces):
      if len(ids) != 1:
        raise BadInput(f'{piece!r} has {len(ids)} tokens, wanted one of each '
                       'piece that has a label: data.vocab word or piece')
  head = [vocabs.EOS, *(data.vocab.encode(tag) if tag else ())]
  ids, labels = ([i[0] for i in part] for part in made)
  bearing = set(example.loss)
  return [*head, *ids], [0.0] * len(head) + [
      float(i in bearing) for i in range(len(ids))], [
          *head[1:], ids[0], *labels]


def answer_spans(data: Mixture, example: base.Example, tag: str = ''
                 ) -> list[tuple[str, int, int]]:
  """[(attribute, start, stop)]: the targets of each answer, as indices from the
  example's start. The end token comes first, so the text's token i is target i;
  a piece's label is the target one further, at the piece itself."""
  lengths = [len(data.vocab.encode(piece)) for piece in example.pieces]
  starts = np.cumsum([len(data.vocab.encode(tag)) if tag else 0, *lengths])
  starts += bool(example.labels)
  return [(attribute, int(starts[i]), int(starts[i + 1]))
          for attribute, i in example.answers]


def new_row(length: int) -> dict[str, np.ndarray]:
  """A row of padding: tokens, targets, segments, positions, weights [T]."""
  out = {k: np.zeros(length, np.int32)
         for k in ('tokens', 'targets', 'segments', 'positions')}
  out['weights'] = np.zeros(length, np.float32)
  return out


def write_example(out: dict[str, np.ndarray],
                  item: tuple, start: int,
                  segment: int, isolate: bool = True) -> None:
  """Writes an encoded example (`encode`) into a row in place, from token
  `start` on, with its own segment and positions if `isolate`."""
  ids, weights, *targets = item
  n, at = len(ids), slice(start, start + len(ids))
  out['tokens'][at] = ids
  out['targets'][at] = targets[0] if targets else [*ids[1:], vocabs.EOS]
  out['weights'][at] = weights
  # The papers concatenate examples: one segment, consecutive positions.
  out['segments'][at] = segment if isolate else 1
  first = 0 if isolate else start
  out['positions'][at] = range(first, first + n)


def apply_mlm_mask(out: dict[str, np.ndarray], predict_mask: np.ndarray,
                   replacement: np.ndarray | int = vocabs.PAD) -> None:
  """Turns rows [..., T] into those of a masked language model, in place. Inputs
  are the targets themselves (the text from its first word to its end token),
  except where `predict_mask`: there the input is `replacement`, and only there
  is loss. The id of padding serves as the mask token: no text has it."""
  out['tokens'] = np.where(predict_mask, replacement, out['targets']).astype(
      out['targets'].dtype)
  out['weights'] = predict_mask.astype(np.float32)


def sample_mlm_mask(data: Mixture, task: Task, out: dict[str, np.ndarray],
                    rng: np.random.Generator
                    ) -> tuple[np.ndarray, np.ndarray]:
  """(predict_mask [T] bool, replacement [T] int) of a row for apply_mlm_mask.

  A share `mlm_probability` of words is predicted: 80 % of them are masked, 10 %
  replaced by another word and 10 % kept (Part 3.1, appendix H). Of a task with
  loss on answers, the complete answer is masked. The end token never is.
  """
  predict_mask = (out['weights'] > 0) & (out['targets'] != vocabs.EOS)
  replacement = np.zeros_like(out['targets'])
  if task.loss == 'all':
    predict_mask &= rng.random(data.seq_len) < data.mlm_probability
    u = rng.random(data.seq_len)
    other = rng.integers(vocabs.EOS + 1, len(data.vocab), data.seq_len)
    replacement = np.where(u < 0.8, vocabs.PAD,
                           np.where(u < 0.9, other, out['targets']))
  return predict_mask, replacement
