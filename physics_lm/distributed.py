"""Jobs of several processes: joining, stopping together, gathering.

All processes of a job run the same command. On a cluster that JAX knows
(Slurm's srun, TPU pods) nothing needs to be set; elsewhere runtime.distributed
holds the address of process 0, the number of processes and this one's index.
"""

import contextlib
import json
import os
import signal

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from physics_lm.errors import BadInput
from physics_lm.progress import Stop


def join_job(config: ConfigDict):
  """Joins the job's other processes, before JAX looks for devices; does nothing
  in a job of one process. Raises BadInput for an incomplete description, and
  when the processes do not all join in time."""
  h = config.runtime.distributed
  found = {'coordinator': h.coordinator, 'count': h.count, 'index': h.index}
  if jax.distributed.is_initialized():
    return
  if all(v is None for v in found.values()):
    if not _on_cluster():
      return
    found = {}
  elif any(v is None for v in found.values()):
    raise BadInput(f'runtime.distributed has {found}, wanted all three or none')
  elif not 0 <= h.index < h.count:
    raise BadInput(f'runtime.distributed.index is {h.index}, wanted 0 to '
                   f'{h.count - 1}')
  elif h.count == 1:
    return
  names = {'coordinator': 'coordinator_address', 'count': 'num_processes',
           'index': 'process_id'}
  try:
    jax.distributed.initialize(
        **{names[k]: v for k, v in found.items()},
        heartbeat_timeout_seconds=h.timeout,
        initialization_timeout=max(4 * h.timeout, 60))
  except (RuntimeError, ValueError) as e:
    raise BadInput(f'could not join the job ({found or "of the cluster"}): '
                   f'{str(e).splitlines()[0]}') from e


def _on_cluster() -> bool:
  """Whether this is one of several processes of a cluster's job."""
  tasks = os.environ.get('SLURM_STEP_NUM_TASKS', '1')
  pod = os.environ.get('TPU_WORKER_HOSTNAMES', '').split(',')
  return ('SLURM_PROCID' in os.environ and int(tasks) > 1) or len(pod) > 1


def is_first_process() -> bool:
  """Whether this is the process that writes logs and metrics."""
  return jax.process_index() == 0


def shared_stop() -> contextlib.AbstractContextManager:
  """A context with `signal`, as progress.Stop. In a job of several processes
  JAX handles SIGTERM, and all of them agree on the step at which they stop
  (Checkpoints.preempted); Ctrl-C is turned into SIGTERM."""
  return Stop() if jax.process_count() == 1 else _Relay()


class _Relay(contextlib.AbstractContextManager):
  signal = ''

  def __enter__(self):
    self._before = signal.signal(
        signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
    return self

  def __exit__(self, *_):
    signal.signal(signal.SIGINT, self._before)


def wait_for_all(name: str):
  """Returns once every process has called it with this name."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def allgather_json(mine: dict) -> dict:
  """The dicts of all processes (JSON) in one; every process calls it."""
  if jax.process_count() == 1:
    return mine
  raw = np.frombuffer(json.dumps(mine).encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.int32(len(raw)))
  padded = np.zeros(sizes.max(), np.uint8)
  padded[:len(raw)] = raw
  out = {}
  for line, size in zip(multihost_utils.process_allgather(padded), sizes):
    out |= json.loads(line[:size].tobytes())
  return out
