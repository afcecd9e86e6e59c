"""The loader: rows -> this host's share -> batch -> prefetch -> devices.

grain does the plumbing; the element is a whole row (mixture.py), so the position
is one integer, and the stream is the same for any number of workers, hosts or
any mesh.

A task whose world is a stream (the user's own text, seqio) has no row by
index. Its documents are packed by grain, end to end, in `data.shards` shards:
row b of a batch of B belongs to shard b * shards // B, which reads its files
alone and in order. A host reads the shards of its own rows, whatever the
number of hosts; the places of all shards, in small JSON, are the state.
"""

import math
from collections.abc import Iterator, Sequence

import grain
import jax
import numpy as np
from jax.sharding import NamedSharding

from physics_lm import mixture
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput


class LocalRows:
  """The rows that this host wants, in order: of each step's `len(data)` times
  `batch` rows, one member's after the other's, those numbered `local`. A
  source for grain (len and getitem)."""

  def __init__(self, data: Sequence[mixture.Mixture], batch: int,
               local: Sequence[int], first_step: int = 0):
    self.data, self.batch, self.local = data, batch, list(local)
    self.first_step = first_step

  def __len__(self) -> int:
    return 1 << 48

  def __getitem__(self, i: int) -> dict[str, np.ndarray]:
    step, place = divmod(int(i), len(self.local))
    step += self.first_step
    member, row = divmod(self.local[place], self.batch)
    return mixture.packed_row(self.data[member], step * self.batch + row)


def row_indices(lead: tuple[int, ...]) -> np.ndarray:
  """Rows of a batch are numbered through, [B] or [M, B]."""
  return np.arange(math.prod(lead)).reshape(lead)


def local_rows(sharding: NamedSharding, lead: tuple[int, ...]) -> list[int]:
  """Which rows of a batch [B] or [M, B] this host's devices hold; hosts may
  share some."""
  index = sharding.addressable_devices_indices_map(lead)
  return sorted({int(i) for part in index.values()
                 for i in row_indices(lead)[part].flat})


class _Documents(grain.IterDataset):
  """A stream's documents, encoded; endless."""

  def __init__(self, data: mixture.Mixture, task: mixture.Task, shard: int):
    super().__init__()
    self._made = lambda: _DocumentsIterator(data, task, shard)

  def __iter__(self):
    return self._made()


class _DocumentsIterator(grain.DatasetIterator):

  def __init__(self, data: mixture.Mixture, task: mixture.Task, shard: int):
    super().__init__()
    self._data, self._task = data, task
    self._documents = task.world.documents(task.split, shard, data.shards,
                                           data.seed)

  def __next__(self):
    ids, weights = mixture.encode(self._data, next(self._documents),
                               self._task.loss, self._task.tag)
    return {'tokens': np.asarray(ids, np.int32),
            'targets': np.asarray([*ids[1:], vocabs.EOS], np.int32),
            'weights': np.asarray(weights, np.float32)}

  def get_state(self):
    return self._documents.get_state()

  def set_state(self, state):
    self._documents.set_state(state)


def stream(data: mixture.Mixture, which: int, shard: int = 0):
  """The rows of a stream's shard, endless; state by get_state, set_state."""
  keys = ('tokens', 'targets', 'weights')
  ds = grain.experimental.ConcatThenSplitIterDataset(
      _Documents(data, data.tasks[which], shard),
      length_struct=dict.fromkeys(keys, data.seq_len))

  def row(packed):
    out = {k: packed[k] for k in keys}
    used = packed['tokens_segment_ids'] > 0
    out['segments'] = packed['tokens_segment_ids'].astype(np.int32)
    out['positions'] = packed['tokens_positions'].astype(np.int32)
    if not data.intra_document_mask:
      out['segments'] = used.astype(np.int32)
      out['positions'] = np.arange(data.seq_len, dtype=np.int32) * used
    out['task'] = np.int32(which)
    out['entries'] = np.int32((used & (out['tokens'] == vocabs.EOS)).sum())
    return out

  return iter(ds.map(row))


def heldout_rows(data: mixture.Mixture, which: int, count: int) -> list[dict]:
  """The first rows of what a stream holds out: the same at any time."""
  task = data.tasks[which]
  tasks = list(data.tasks)
  tasks[which] = task._replace(split=task.world.judged(task.split))
  it = stream(data._replace(tasks=tuple(tasks), shards=1), which)
  return [next(it) for _ in range(count)]


class _Mixed(grain.IterDataset):
  """This host's batches when some tasks are streams."""

  def __init__(self, data: mixture.Mixture, batch: int, local: Sequence[int],
               first_step: int):
    super().__init__()
    self._made = lambda: _MixedIterator(data, batch, list(local), first_step)

  def __iter__(self):
    return self._made()


class _MixedIterator(grain.DatasetIterator):

  def __init__(self, data, batch, local, first_step):
    super().__init__()
    self._data, self._batch, self._local = data, batch, set(local)
    self._step = first_step
    self._of = lambda b: b * data.shards // batch
    mine = {self._of(b) for b in local}
    # Rows of my shards that another host holds are made as well: they move
    # the shard on.
    self._slots = [b for b in range(batch) if self._of(b) in mine]
    self._streams = {(t, s): stream(data, t, s)
                     for t in data.streams() for s in mine}

  def __next__(self):
    made = []
    for b in self._slots:
      index = self._step * self._batch + b
      at = mixture.task_for_row(self._data, index), self._of(b)
      if at in self._streams:
        row = next(self._streams[at])
      elif b in self._local:
        row = mixture.packed_row(self._data, index)
      if b in self._local:
        made.append(row)
    self._step += 1
    return {k: np.stack([r[k] for r in made]) for k in made[0]}

  def get_state(self):
    return {'step': self._step, 'streams': {
        f'{self._data.tasks[t].name}/{s}': it.get_state()
        for (t, s), it in self._streams.items()}}

  def set_state(self, state):
    """Raises BadInput when the state is of other streams or shards."""
    self._step = state['step']
    for (t, s), it in self._streams.items():
      name = f'{self._data.tasks[t].name}/{s}'
      if name not in state['streams']:
        raise BadInput(f'the checkpoint has no place of stream {name}, only '
                       f'of {", ".join(state["streams"]) or "none"}; wanted '
                       'the same tasks and data.shards')
      at = dict(state['streams'][name])
      # grain tells "no remainder" by a tuple, which JSON makes a list.
      at['remainder_slices'] = {
          k: tuple(v) for k, v in at['remainder_slices'].items()}
      it.set_state(at)


def stream_state(batches) -> dict:
  """Where the streams of `host_batches` stand, in JSON: {} without any."""
  state = batches.get_state()
  return state['streams'] if 'streams' in state else {}


def host_batches(data: Sequence[mixture.Mixture], batch: int, local: Sequence[int],
                 first_step: int, workers: int = 0, prefetch: int = 4,
                 streams: dict | None = None
                 ) -> Iterator[dict[str, np.ndarray]]:
  """Batches of this host's rows, [len(local), ...], from `first_step` on.
  `data`: of each member of a population, or of a lone run (one); `streams`:
  what place() gave at that step. Raises BadInput."""
  if any(d.streams() for d in data):
    if workers:
      raise BadInput(f'runtime.workers is {workers}, wanted 0: one thread '
                     'reads streams, in order')
    if len(data) > 1:
      raise BadInput('members of a population would read a stream each, wanted '
                     'the same seed.data and seed.world for all')
    ds = _Mixed(data[0], batch, local, first_step)
    if prefetch:
      ds = grain.experimental.ThreadPrefetchIterDataset(
          ds, prefetch_buffer_size=prefetch)
    it = iter(ds)
    if first_step:
      it.set_state({'step': first_step, 'streams': streams or {}})
    return it
  ds = grain.MapDataset.source(LocalRows(data, batch, local, first_step))
  ds = ds.batch(len(local))
  # One reader thread: Python makes rows no faster in sixteen.
  ds = ds.to_iter_dataset(
      grain.ReadOptions(num_threads=0, prefetch_buffer_size=0))
  if workers:
    from absl import flags
    if not flags.FLAGS.is_parsed():  # grain's workers read absl's flags
      flags.FLAGS.mark_as_parsed()
    ds = ds.mp_prefetch(grain.MultiprocessingOptions(
        num_workers=workers, per_worker_buffer_size=prefetch))
  elif prefetch:
    ds = grain.experimental.ThreadPrefetchIterDataset(
        ds, prefetch_buffer_size=prefetch)
  return iter(ds)


def to_devices(host: dict[str, np.ndarray], local: Sequence[int],
               lead: tuple[int, ...], shardings: dict[str, NamedSharding]):
  """Global arrays from this host's rows, whatever the mesh. A lone host's
  stay NumPy: the step takes them to the devices in a quarter of the time."""
  if jax.process_count() == 1:
    return {k: v.reshape(*lead, *v.shape[1:]) for k, v in host.items()}
  place = np.zeros(math.prod(lead), np.int64)
  place[local] = np.arange(len(local))
  table = place[row_indices(lead)]

  def put(key, x):
    part = lambda index: x[table[index[:len(lead)]]]
    return jax.make_array_from_callback((*lead, *x.shape[1:]),
                                        shardings[key], part)

  return {k: put(k, v) for k, v in host.items()}
