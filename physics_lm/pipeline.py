"""The loader: rows -> this host's share -> batch -> prefetch -> devices.

grain does the plumbing; the element is a whole row (rows.py), so the position
is one integer, and the stream is the same for any number of workers, hosts or
any mesh.
"""

from collections.abc import Iterator, Sequence

import grain
import jax
import numpy as np
from jax.sharding import NamedSharding

from physics_lm import rows


class LocalRows:
  """The rows that this host wants, in order: of each block of `batch` rows
  those numbered `local`. A source for grain (len and getitem)."""

  def __init__(self, data: rows.Data, batch: int, local: Sequence[int],
               first_step: int = 0):
    self.data, self.batch, self.local = data, batch, list(local)
    self.first_step = first_step

  def __len__(self) -> int:
    return 1 << 48

  def __getitem__(self, i: int) -> dict[str, np.ndarray]:
    step, place = divmod(int(i), len(self.local))
    step += self.first_step
    return rows.row(self.data, step * self.batch + self.local[place])


def local_rows(sharding: NamedSharding, batch: int) -> list[int]:
  """Which rows of a batch this host's devices hold; hosts may share some."""
  index = sharding.addressable_devices_indices_map((batch,))
  return sorted({i for (s,) in index.values() for i in range(batch)[s]})


def host_batches(data: rows.Data, batch: int, local: Sequence[int],
                 first_step: int, workers: int = 0,
                 prefetch: int = 4) -> Iterator[dict[str, np.ndarray]]:
  """Batches of this host's rows, [len(local), ...], from `first_step` on."""
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
               batch: int, shardings: dict[str, NamedSharding]):
  """Global arrays from this host's rows, whatever the mesh."""
  where = {row: place for place, row in enumerate(local)}

  def put(key, x):
    def part(index):
      rows_ = [where[r] for r in range(batch)[index[0]]]
      return x[rows_]
    return jax.make_array_from_callback((batch, *x.shape[1:]),
                                        shardings[key], part)

  return {k: put(k, v) for k, v in host.items()}
