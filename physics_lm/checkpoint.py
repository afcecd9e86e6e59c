"""Checkpoints: the only file that imports orbax.

Three items a step: params, opt (moments, step) and meta (JSON: step, counts,
config id). Each is written to a temporary folder and renamed, in the
background. Restore takes the newest that reads; it moves one that does not
aside and says so.
"""

import copy
import errno
import logging
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from physics_lm.errors import BadInput

# orbax reports every folder it opens; errors still come through.
logging.getLogger('absl').setLevel(logging.ERROR)


@jax.jit
def checksum(tree) -> jax.Array:
  """A number that changes with any changed element, the same on any mesh:
  orbax reads flipped bits back without complaint. Integer sums modulo 2**32
  do not depend on order; odd multipliers keep each element's place in it."""

  def leaf(x):
    bits = jax.lax.bitcast_convert_type(x, f'uint{8 * x.dtype.itemsize}')
    place = jnp.arange(x.size, dtype=jnp.uint32).reshape(x.shape)
    return (bits.astype(jnp.uint32) * (2 * place + 1)).sum(dtype=jnp.uint32)

  return sum((2 * i + 1) * leaf(x) for i, x in enumerate(jax.tree.leaves(tree)))


class Checkpoints:
  """The checkpoints of one run folder."""

  def __init__(self, folder: Path, keep: int = 2):
    self.folder = Path(folder).absolute() / 'checkpoints'
    self._manager = ocp.CheckpointManager(
        self.folder, options=ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.LatestN(keep),
            cleanup_tmp_directories=True))

  def save(self, step: int, params, opt, meta: dict):
    """Begins to save; a later step, or close(), waits for it."""
    need = sum(x.nbytes for x in jax.tree.leaves((params, opt)))
    free = shutil.disk_usage(self.folder).free
    if free < need * 1.1:  # before, not after, half a checkpoint is written
      raise OSError(errno.ENOSPC, f'{free / 1e6:.1f} MB free, a checkpoint '
                    f'needs {need / 1e6:.1f} MB', str(self.folder))
    if step in self._manager.all_steps():
      return
    # A copy: it is written in the background while the loop counts on.
    meta = copy.deepcopy(meta) | {'checksum': int(checksum((params, opt)))}
    saved = self._manager.save(step, args=ocp.args.Composite(
        params=ocp.args.StandardSave(params), opt=ocp.args.StandardSave(opt),
        meta=ocp.args.JsonSave(meta)))
    if not saved:  # orbax refuses in silence when a later step exists
      raise RuntimeError(f'step {step} not saved; found '
                         f'{self._manager.all_steps()} in {self.folder}')

  def restore(self, params, opt):
    """(params, opt, meta) of the newest readable step, on the shardings of
    the abstract trees given; None when there is no checkpoint at all.

    Raises BadInput when there are checkpoints and none can be read.
    """
    steps = sorted(self._manager.all_steps(), reverse=True)
    for step in steps:
      try:
        got = self._manager.restore(step, args=ocp.args.Composite(
            params=ocp.args.StandardRestore(params),
            opt=ocp.args.StandardRestore(opt),
            meta=ocp.args.JsonRestore()))
        if got.meta['step'] != step:
          raise ValueError(f'it says it is of step {got.meta["step"]}')
        found = int(checksum((got.params, got.opt)))
        if found != got.meta['checksum']:
          raise ValueError(f'its checksum is {found}, wanted '
                           f'{got.meta["checksum"]}')
        return got.params, got.opt, got.meta
      except Exception as e:  # orbax and tensorstore raise many kinds
        reason = str(e).strip().splitlines() or [type(e).__name__]
        last = f'{type(e).__name__}: {reason[0][:200]}'
        print(f'checkpoint of step {step} cannot be read ({last}); '
              'falling back to the one before', flush=True)
        self._set_aside(step)
    if steps:
      raise BadInput(f'none of the checkpoints {steps} in {self.folder} can be '
                     f'read ({last}); they are kept in {self._aside()}')
    return None

  def _aside(self) -> Path:
    return self.folder.with_name('checkpoints_unreadable')

  def _set_aside(self, step: int):
    if jax.process_index() == 0:
      self._aside().mkdir(exist_ok=True)
      target = self._aside() / str(step)
      shutil.rmtree(target, ignore_errors=True)
      (self.folder / str(step)).rename(target)
    self._manager.reload()

  def preempted(self, step: int) -> bool:
    """Whether the cluster has asked any process to stop (jax.distributed)."""
    return jax.process_count() > 1 and self._manager.reached_preemption(step)

  def newest(self) -> int | None:
    """The newest step whose save is complete."""
    return self._manager.latest_step()

  def wait(self):
    self._manager.wait_until_finished()

  def close(self):
    self._manager.close()


def load_params(folder: Path, params):
  """(parameters, step) of the newest checkpoint of a run's folder, on the
  shardings of the abstract tree. Raises BadInput when there is none, or it is
  of another model."""
  path = Path(folder).absolute() / 'checkpoints'
  if not path.is_dir():
    raise BadInput(f'no checkpoints in {folder}: wanted a run folder')
  with ocp.CheckpointManager(
      path, options=ocp.CheckpointManagerOptions(read_only=True)) as manager:
    step = manager.latest_step()
    if step is None:
      raise BadInput(f'no checkpoint in {path}: the run has saved none')
    try:
      got = manager.restore(step, args=ocp.args.Composite(
          params=ocp.args.StandardRestore(params)))
    except Exception as e:
      reason = (str(e).strip().splitlines() or [''])[0][:200]
      raise BadInput(f'checkpoint {path}/{step} does not fit this model: '
                     f'{reason}') from e
  return got.params, step
