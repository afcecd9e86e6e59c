"""The loader: rows -> this host's share -> batch -> prefetch -> devices.

grain does the plumbing; the element is a whole row (rows.py), so the position
is one integer, and the stream is the same for any number of workers, hosts or
any mesh.
"""

import math
from collections.abc import Iterator, Sequence

import grain
import jax
import numpy as np
from jax.sharding import NamedSharding

from physics_lm import rows


class LocalRows:
  """The rows that this host wants, in order: of each step's `len(data)` times
  `batch` rows, one member's after the other's, those numbered `local`. A
  source for grain (len and getitem)."""

  def __init__(self, data: Sequence[rows.Data], batch: int,
               local: Sequence[int], first_step: int = 0):
    self.data, self.batch, self.local = data, batch, list(local)
    self.first_step = first_step

  def __len__(self) -> int:
    return 1 << 48

  def __getitem__(self, i: int) -> dict[str, np.ndarray]:
    step, place = divmod(int(i), len(self.local))
    step += self.first_step
    member, row = divmod(self.local[place], self.batch)
    return rows.row(self.data[member], step * self.batch + row)


def numbers(lead: tuple[int, ...]) -> np.ndarray:
  """Rows of a batch are numbered through, [B] or [M, B]."""
  return np.arange(math.prod(lead)).reshape(lead)


def local_rows(sharding: NamedSharding, lead: tuple[int, ...]) -> list[int]:
  """Which rows of a batch [B] or [M, B] this host's devices hold; hosts may
  share some."""
  index = sharding.addressable_devices_indices_map(lead)
  return sorted({int(i) for part in index.values()
                 for i in numbers(lead)[part].flat})


def host_batches(data: Sequence[rows.Data], batch: int, local: Sequence[int],
                 first_step: int, workers: int = 0,
                 prefetch: int = 4) -> Iterator[dict[str, np.ndarray]]:
  """Batches of this host's rows, [len(local), ...], from `first_step` on.
  `data`: of each member of a population, or of a lone run (one)."""
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
  table = place[numbers(lead)]

  def put(key, x):
    part = lambda index: x[table[index[:len(lead)]]]
    return jax.make_array_from_callback((*lead, *x.shape[1:]),
                                        shardings[key], part)

  return {k: put(k, v) for k, v in host.items()}
