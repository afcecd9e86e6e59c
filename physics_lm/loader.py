"""The loader: rows -> this host's share -> batch -> prefetch -> devices.

It is built on grain. Its element is a step's packed rows (mixture.py), each a
pure function of its number, so the position is one integer, and the rows are
the same for any number of workers and hosts and any mesh.

A task whose world is a stream (a corpus in files, seqio) has no row by index.
grain concatenates and splits its documents, in `data.shards` shards: row b of a
batch of B belongs to shard b * shards // B, which reads its own files in order.
A host reads the shards of its own rows, for any number of hosts. The state is a
small JSON object with the position of every shard.
"""

import functools
import math
from collections.abc import Iterator, Sequence

import grain
import jax
import numpy as np
from jax.sharding import NamedSharding

from physics_lm import mixture
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput

BULK_ROWS = 2048  # made at once, where rows can be made in bulk
ENDLESS = 1 << 48  # steps, where the number is not told


class LocalBatches:
  """A source for grain (len and getitem): this host's rows of each step, in
  order, [len(local), ...]. A step has `len(data)` times `batch` rows, members
  of a population one after the other; `local` are the indices of this host's
  among them. `ahead`: steps whose rows are made at once; `steps`: the run's;
  later ones, which are read ahead and not used, have the last one's rows, since
  data.tasks need have none there."""

  def __init__(self, data: Sequence[mixture.Mixture], batch: int,
               local: Sequence[int], first_step: int = 0, ahead: int = 1,
               steps: int = ENDLESS):
    self.data, self.batch, self.first_step = data, batch, first_step
    self.ahead, self.steps, self._made, self._rows = ahead, steps, -1, {}
    member, row = np.divmod(np.asarray(local, np.int64), batch)
    # Rows of one member are together, as local_rows sorts them.
    self._members = [(m, row[member == m]) for m in np.unique(member).tolist()]
    self._count = len(member)

  def __len__(self) -> int:
    return ENDLESS

  def __getitem__(self, i: int) -> dict[str, np.ndarray]:
    block, position = divmod(self.first_step + int(i), self.ahead)
    if block != self._made:
      self._rows, self._made = self._block(block), block
    return {k: v[position] for k, v in self._rows.items()}

  def _block(self, block: int) -> dict[str, np.ndarray]:
    """The rows of `ahead` steps, [ahead, len(local), ...]."""
    steps = block * self.ahead + np.arange(self.ahead)[:, None]
    steps = np.minimum(steps, max(self.steps - 1, 0))
    parts = [mixture.packed_rows(
        self.data[m], (steps * self.batch + row).ravel())
        for m, row in self._members]
    return {k: np.concatenate([p[k].reshape(
        self.ahead, -1, *p[k].shape[1:]) for p in parts], 1) for k in parts[0]}


def row_indices(batch_dims: tuple[int, ...]) -> np.ndarray:
  """Indices of a batch's rows: 0, 1, ... in the shape [B] or [M, B]."""
  return np.arange(math.prod(batch_dims)).reshape(batch_dims)


def local_rows(sharding: NamedSharding,
               batch_dims: tuple[int, ...]) -> list[int]:
  """Indices of the rows of a batch [B] or [M, B] that this host's devices hold.
  Several hosts may hold the same row."""
  index = sharding.addressable_devices_indices_map(batch_dims)
  return sorted({int(i) for part in index.values()
                 for i in row_indices(batch_dims)[part].flat})


class _Documents(grain.IterDataset):
  """The encoded documents of a stream's shard, without end."""

  def __init__(self, data: mixture.Mixture, task: mixture.Task, shard: int):
    super().__init__()
    self._args = data, task, shard

  def __iter__(self):
    return _DocumentsIterator(*self._args)


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


_STREAM_KEYS = ('tokens', 'targets', 'weights')


def stream(data: mixture.Mixture, which: int,
           shard: int = 0) -> grain.DatasetIterator:
  """The rows of a shard of the stream task `which`, without end; its state is
  read and set by get_state and set_state."""
  ds = grain.experimental.ConcatThenSplitIterDataset(
      _Documents(data, data.tasks[which], shard),
      length_struct=dict.fromkeys(_STREAM_KEYS, data.seq_len))
  return iter(ds.map(functools.partial(_stream_row, data, which)))


def _stream_row(data: mixture.Mixture, which: int, packed: dict
                ) -> dict[str, np.ndarray]:
  """grain's packed element as a row (see mixture.packed_row)."""
  out = {k: packed[k] for k in _STREAM_KEYS}
  used = packed['tokens_segment_ids'] > 0
  out['segments'] = packed['tokens_segment_ids'].astype(np.int32)
  out['positions'] = packed['tokens_positions'].astype(np.int32)
  if not data.intra_document_mask:
    out['segments'] = used.astype(np.int32)
    out['positions'] = np.arange(data.seq_len, dtype=np.int32) * used
  out['task'] = np.int32(which)
  out['entries'] = np.int32((used & (out['tokens'] == vocabs.EOS)).sum())
  return out


def heldout_rows(data: mixture.Mixture, which: int, count: int) -> list[dict]:
  """The first `count` rows of the documents that stream task `which` holds out:
  the same at every call."""
  task = data.tasks[which]
  tasks = list(data.tasks)
  tasks[which] = task._replace(split=task.world.judged(task.split))
  it = stream(data._replace(tasks=tuple(tasks), shards=1), which)
  return [next(it) for _ in range(count)]


class _Mixed(grain.IterDataset):
  """This host's batches of a mixture with streams."""

  def __init__(self, data: mixture.Mixture, batch: int, local: Sequence[int],
               first_step: int):
    super().__init__()
    self._args = data, batch, list(local), first_step

  def __iter__(self):
    return _MixedIterator(*self._args)


class _MixedIterator(grain.DatasetIterator):

  def __init__(self, data, batch, local, first_step):
    super().__init__()
    self._data, self._batch, self._local = data, batch, set(local)
    self._step = first_step
    shards = {self._shard(b) for b in local}
    # Rows of these shards that another host holds are read as well, since they
    # advance the shard.
    self._slots = [b for b in range(batch) if self._shard(b) in shards]
    self._streams = {(t, s): stream(data, t, s)
                     for t in data.streams() for s in shards}

  def _shard(self, b: int) -> int:
    return b * self._data.shards // self._batch

  def __next__(self):
    made, rows = [], self._step * self._batch + np.array(self._slots)
    which = mixture.tasks_of_rows(self._data, rows)[0].tolist()
    for b, index, task in zip(self._slots, rows.tolist(), which):
      at = task, self._shard(b)
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
    """Raises BadInput when the state lacks one of the streams or shards."""
    self._step = state['step']
    for (t, s), it in self._streams.items():
      name = f'{self._data.tasks[t].name}/{s}'
      if name not in state['streams']:
        raise BadInput(f'the checkpoint has no state of stream {name}, only '
                       f'of {", ".join(state["streams"]) or "none"}; wanted '
                       'the same tasks and data.shards')
      at = dict(state['streams'][name])
      # grain marks "no remainder" by a tuple, which JSON turns into a list.
      at['remainder_slices'] = {
          k: tuple(v) for k, v in at['remainder_slices'].items()}
      it.set_state(at)


def stream_state(batches: grain.DatasetIterator) -> dict:
  """The state of the streams of `host_batches`, for JSON: {} without any."""
  state = batches.get_state()
  return state['streams'] if 'streams' in state else {}


def host_batches(data: Sequence[mixture.Mixture], batch: int,
                 local: Sequence[int], first_step: int, workers: int = 0,
                 prefetch: int = 4, streams: dict | None = None,
                 steps: int = ENDLESS) -> Iterator[dict[str, np.ndarray]]:
  """Batches of this host's rows, [len(local), ...], from `first_step` on.

  Args:
    data: the mixture of each member of a population (one for a single run).
    batch: B, rows of a member's step.
    local: indices of this host's rows (see local_rows).
    first_step: the step of the first batch.
    workers: processes that make rows; 0: a thread.
    prefetch: batches made ahead.
    streams: stream_state() at `first_step`.
    steps: of the run; later batches repeat the last one.

  Raises:
    BadInput: streams with workers or a population, or a state of other streams.
  """
  if any(d.streams() for d in data):
    if workers:
      raise BadInput(f'runtime.workers is {workers}, wanted 0: one thread '
                     'reads streams, in order')
    if len(data) > 1:
      raise BadInput('members of a population would read a stream each, wanted '
                     'the same seed.data and seed.world for all')
    return _stream_batches(data[0], batch, local, first_step, prefetch, streams)
  # One call of NumPy costs as much as hundreds of rows. (Loader processes take
  # turns at steps, so each would make the same rows.)
  ahead = max(min(BULK_ROWS // len(local), steps), 1) if not workers and all(
      map(mixture.is_bulk, data)) else 1
  ds = grain.MapDataset.source(
      LocalBatches(data, batch, local, first_step, ahead, steps))
  # One reader thread: Python makes rows no faster in more.
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


def _stream_batches(data: mixture.Mixture, batch: int, local: Sequence[int],
                    first_step: int, prefetch: int, streams: dict | None):
  """host_batches of a mixture with streams."""
  ds = _Mixed(data, batch, local, first_step)
  if prefetch:
    ds = grain.experimental.ThreadPrefetchIterDataset(
        ds, prefetch_buffer_size=prefetch)
  it = iter(ds)
  if first_step:
    it.set_state({'step': first_step, 'streams': streams or {}})
  return it


def to_devices(host: dict[str, np.ndarray], local: Sequence[int],
               batch_dims: tuple[int, ...],
               shardings: dict[str, NamedSharding]) -> dict:
  """Global arrays [*batch_dims, ...] from this host's rows [len(local), ...],
  for any mesh. With a single host they stay NumPy arrays: the step takes them
  to the devices in a quarter of the time."""
  if jax.process_count() == 1:
    return {k: v.reshape(*batch_dims, *v.shape[1:]) for k, v in host.items()}
  position = np.zeros(math.prod(batch_dims), np.int64)  # of a row in `host`
  position[local] = np.arange(len(local))
  table = position[row_indices(batch_dims)]
  return {k: jax.make_array_from_callback(
      (*batch_dims, *x.shape[1:]), shardings[k],
      functools.partial(_rows_at, x, table)) for k, x in host.items()}


def _rows_at(x: np.ndarray, table: np.ndarray, index: tuple) -> np.ndarray:
  """A device's part of a global array: `index` of its leading dimensions."""
  return x[table[index[:table.ndim]]]
