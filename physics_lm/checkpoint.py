"""Checkpoints: the only file that imports orbax.

Three items a step: params, opt (moments, step) and meta (JSON: step, counts,
the run's id, checksums). Each is written to a temporary folder and renamed, in
the background. Restore takes the newest readable one, moves unreadable ones
aside and prints why.
"""

import contextlib
import copy
import errno
import itertools
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from physics_lm import distributed
from physics_lm.errors import BadInput

# orbax logs every folder it opens; errors are still shown.
logging.getLogger('absl').setLevel(logging.ERROR)

_made = itertools.count()


@jax.jit
def checksum(tree: Any) -> jax.Array:
  """A number that changes with any changed element, the same on any mesh:
  orbax reads flipped bits without an error. Integer sums modulo 2**32 do not
  depend on order; distinct odd multipliers detect swapped elements."""

  def leaf(x):
    bits = jax.lax.bitcast_convert_type(x, f'uint{8 * x.dtype.itemsize}')
    index = jnp.arange(x.size, dtype=jnp.uint32).reshape(x.shape)
    return (bits.astype(jnp.uint32) * (2 * index + 1)).sum(dtype=jnp.uint32)

  return sum((2 * i + 1) * leaf(x) for i, x in enumerate(jax.tree.leaves(tree)))


@jax.jit
def _mean(trees: list) -> Any:
  return jax.tree.map(lambda *x: sum(x) / len(x), *trees)


class Checkpoints:
  """The checkpoints of one run folder: the newest `keep`, and those of
  `steps`."""

  def __init__(self, folder: Path, keep: int = 2, steps: Sequence[int] = ()):
    self.folder = Path(folder).absolute() / 'checkpoints'
    if bad := _without_metadata(self.folder):
      if all(int(p.name) in bad for p in self.folder.iterdir()
             if p.name.isdecimal()):
        raise BadInput(f'none of the checkpoints {bad} in {self.folder} has '
                       'metadata that can be read, wanted one that has, or no '
                       'checkpoints folder, to start from step 0')
      print(f'checkpoints of steps {bad} have no metadata; set aside',
            flush=True)
      self._move_aside(bad)
    self._manager = ocp.CheckpointManager(
        self.folder, options=ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.AnyPreservationPolicy([
                preservation_policy.LatestN(keep),
                preservation_policy.CustomSteps(list(steps))]),
            cleanup_tmp_directories=True,
            # Members of a population save concurrently: a prefix of its own
            # keeps the processes of a job, which open all members in one
            # order, from waiting at another member's barrier.
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                barrier_sync_key_prefix=f'checkpoints{next(_made)}')))

  def save(self, step: int, params: Any, opt: Any, meta: dict):
    """Starts to save; a later save, or close(), waits for it."""
    need = sum(x.nbytes for x in jax.tree.leaves((params, opt)))
    free = shutil.disk_usage(self.folder).free
    if free < need * 1.1:  # before a part of the checkpoint is written
      raise OSError(errno.ENOSPC, f'{free / 1e6:.1f} MB free, a checkpoint '
                    f'needs {need / 1e6:.1f} MB', str(self.folder))
    if step in self._manager.all_steps():
      return
    # A copy: the loop changes meta while it is written in the background.
    meta = copy.deepcopy(meta) | {'checksums': {
        'params': int(checksum(params)), 'opt': int(checksum(opt))}}
    saved = self._manager.save(step, args=ocp.args.Composite(
        params=ocp.args.StandardSave(params), opt=ocp.args.StandardSave(opt),
        meta=ocp.args.JsonSave(meta)))
    if not saved:  # orbax refuses in silence when a later step exists
      raise RuntimeError(f'step {step} not saved; found '
                         f'{self._manager.all_steps()} in {self.folder}')

  def restore(self, params: Any, opt: Any) -> tuple | None:
    """(params, opt, meta) of the newest readable step, on the shardings of the
    abstract trees `params` and `opt`; None when there is no checkpoint at all.

    Newer, unreadable ones are moved aside, but only once an older one has been
    read. Raises BadInput when there are some and none can be read.
    """
    bad, reason = [], ''
    for step in sorted(self._manager.all_steps(), reverse=True):
      try:
        got = _read(self._manager, step, params=params, opt=opt)
      except Exception as e:  # orbax and tensorstore raise many kinds
        reason = f'{type(e).__name__}: {_first_line(e)}'
        print(f'checkpoint of step {step} cannot be read ({reason}); '
              'falling back to the one before', flush=True)
        bad.append(step)
        continue
      if bad:
        self._set_aside(bad)
      return got.params, got.opt, got.meta
    if bad:
      raise BadInput(f'none of the checkpoints {bad} in {self.folder} can be '
                     f'read ({reason}); wanted one that can, or no '
                     'checkpoints folder, to start from step 0')
    return None

  def _set_aside(self, steps: list[int]):
    self._move_aside(steps)
    distributed.wait_for_all('checkpoints set aside')
    self._manager.reload()

  def _move_aside(self, steps: list[int]):
    aside = self.folder.with_name('checkpoints_unreadable')
    if steps and jax.process_index() == 0:
      aside.mkdir(exist_ok=True)
      for step in steps:
        shutil.rmtree(aside / str(step), ignore_errors=True)
        (self.folder / str(step)).rename(aside / str(step))

  def preempted(self, step: int) -> bool:
    """Whether the cluster has asked any process to stop (jax.distributed)."""
    return jax.process_count() > 1 and self._manager.reached_preemption(step)

  def newest(self, below: int) -> int | None:
    """The newest step below `below` whose save is complete."""
    self._manager.wait_until_finished()
    return max((s for s in self._manager.all_steps() if s < below),
               default=None)

  def mean(self, params: Any, steps: Sequence[int]) -> Any:
    """The mean of `params` and of those of the checkpoints of `steps`. Raises
    BadInput when one is missing or damaged."""
    self.wait()
    return mean_params(self.folder.parent, params, steps, self._manager)

  def wait(self):
    """Returns once the last save is complete."""
    self._manager.wait_until_finished()

  def close(self):
    """Waits for the last save and stops the background threads."""
    self._manager.close()


def _read(manager, step: int, **abstract):
  """The items of a step, with meta. Raises ValueError when the step or a
  checksum differs from meta's; whatever orbax raises otherwise."""
  got = manager.restore(step, args=ocp.args.Composite(
      meta=ocp.args.JsonRestore(),
      **{k: ocp.args.StandardRestore(v) for k, v in abstract.items()}))
  if got.meta['step'] != step:
    raise ValueError(f'its meta has step {got.meta["step"]}')
  for name in abstract:
    found, wanted = int(checksum(got[name])), got.meta['checksums'][name]
    if found != wanted:
      raise ValueError(f'checksum of {name} is {found}, wanted {wanted}')
  return got


def load_state(folder: Path, params: Any, opt: Any, last: int
               ) -> tuple[Any, Any, dict]:
  """(params, opt, meta) of a run's newest checkpoint of a step up to `last`,
  on the shardings of the abstract trees. Raises BadInput when there is none,
  it is of another model, or it is damaged."""
  path = Path(folder).absolute() / 'checkpoints'
  if not path.is_dir():
    raise BadInput(f'no checkpoints in {folder}: wanted a run folder')
  with _opened(path) as manager:
    steps = [s for s in manager.all_steps() if s <= last]
    if not steps:
      raise BadInput(f'checkpoints of steps {sorted(manager.all_steps())} in '
                     f'{path}, wanted one of step {last} or before')
    try:
      got = _read(manager, max(steps), params=params, opt=opt)
      return got.params, got.opt, got.meta
    except Exception as e:
      raise BadInput(f'checkpoint {path}/{max(steps)} does not fit this model, '
                     f'or is damaged: {_first_line(e)}') from e


def _without_metadata(folder: Path) -> list[int]:
  """The steps whose metadata are JSON, but no object: orbax reads those of
  every step when it opens a folder, and refuses the folder."""
  out = []
  for path in folder.glob('*/_CHECKPOINT_METADATA'):
    with contextlib.suppress(OSError, ValueError, RecursionError):
      if path.parent.name.isdecimal() and not isinstance(
          json.loads(path.read_text(encoding='utf-8')), dict):
        out.append(int(path.parent.name))
  return out


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[ocp.CheckpointManager]:
  """The checkpoints in a folder, to read. Raises BadInput when orbax cannot
  open it."""
  try:
    manager = ocp.CheckpointManager(
        path, options=ocp.CheckpointManagerOptions(read_only=True))
  except Exception as e:  # orbax raises many kinds
    raise BadInput(f'the checkpoints in {path} are damaged: {_first_line(e)}'
                   ) from e
  with manager:
    yield manager


def mean_params(folder: Path, params: Any, steps: Sequence[int],
                manager: ocp.CheckpointManager | None = None) -> Any:
  """The mean of `params` and of those of a run's checkpoints of `steps`, on
  the shardings of `params`. `manager`: of the folder, if one is open. Raises
  BadInput when one is missing or damaged."""
  path = Path(folder).absolute() / 'checkpoints'
  like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=x.sharding), params)
  with contextlib.nullcontext(manager) if manager else _opened(path) as opened:
    missing = sorted(set(steps) - set(opened.all_steps()))
    if missing:
      raise BadInput(f'no checkpoints of steps {missing} in {path}, wanted '
                     'them for a mean: they were saved by another '
                     'checkpoint.every, or before evals.*.average was set')
    try:
      others = [_read(opened, s, params=like).params for s in steps]
    except Exception as e:
      raise BadInput(f'one of the checkpoints of steps {list(steps)} in {path} '
                     f'is damaged: {_first_line(e)}') from e
  return _mean([params, *others])


def _first_line(e: Exception) -> str:
  return (str(e).strip().splitlines() or [''])[0][:200]


def load_params(folder: Path, params: Any) -> tuple[Any, int]:
  """(parameters, step) of the newest checkpoint of a run's folder, on the
  shardings of the abstract tree. Raises BadInput when there is none, it is of
  another model, or it is damaged."""
  path = Path(folder).absolute() / 'checkpoints'
  if not path.is_dir():
    raise BadInput(f'no checkpoints in {folder}: wanted a run folder')
  with _opened(path) as manager:
    step = manager.latest_step()
    if step is None:
      raise BadInput(f'no checkpoint in {path}: the run has saved none')
    try:
      return _read(manager, step, params=params).params, step
    except Exception as e:
      raise BadInput(f'checkpoint {path}/{step} does not fit this model, or '
                     f'is damaged: {_first_line(e)}') from e
