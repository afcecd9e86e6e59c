"""The loop: evaluate? -> save? -> draw a batch -> step -> log?

The order matters. Evaluations and checkpoints are of the state *before* a
step, and rows are drawn after the save, so that a run resumed from step i reads
the rows from step i on. Sums are read before a save: a run whose loss is not
finite saves no more. A run that receives a signal saves and does not evaluate;
the resumed run does. The last turn evaluates and saves, but takes no step.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from physics_lm import distributed, loader, mixture, optim, teacher, train_step
from physics_lm.errors import BadInput
from physics_lm.posttrain.feed import open_feed
from physics_lm.progress import Progress, Stop
from physics_lm.recorder import RunRecorder
from physics_lm.scaling import flops


@dataclasses.dataclass
class Group:
  """Runs that train in one program (often a single one), and their progress.
  All are at the same step."""

  trainer: train_step.TrainProgram
  recorders: list[RunRecorder]
  state: train_step.TrainState
  data: Sequence[mixture.Mixture]  # of each run, or one that all read
  stop: Stop  # its `signal` is the name of a signal, or ''
  began: float  # unix time, seconds
  unread_sums: list = dataclasses.field(default_factory=list)
  logged_step: int = 0
  logged_at: float = 0.0
  with_law: Callable[[dict], dict] | None = None  # adds the teachers' law

  def __post_init__(self):
    config, trainer = self.config, self.trainer
    self.num_members = len(self.recorders)
    self.first_step = self.logged_step = self.leader.meta['step']
    # Of each run.
    self.tokens_per_step = config.data.batch_size * config.data.seq_len
    self.flops_per_step = self.tokens_per_step * flops.per_token(
        trainer.cfg, config.data.seq_len)
    self.lr_schedules = [optim.lr_schedule(r.config) for r in self.recorders]
    self.local_rows = loader.local_rows(trainer.batch_shardings['task'],
                                        trainer.batch_dims)
    if config.post.kind:  # batches need the state
      self.batches = open_feed(self.leader, self.data[0], trainer)
      return
    if teacher.run_names(config):
      self.with_law = teacher.open_teachers(
          config, self.leader.folder, self.data[0], trainer.cfg,
          trainer.batch_shardings['law'])
    self.batches = loader.host_batches(
        self.data, config.data.batch_size, self.local_rows, self.first_step,
        config.runtime.workers, config.runtime.prefetch,
        self.leader.meta.get('streams'), config.steps)

  @property
  def leader(self) -> RunRecorder:
    """The run whose config holds for all but seeds and rates."""
    return self.recorders[0]

  @property
  def config(self) -> ConfigDict:
    """The leader's config."""
    return self.leader.config


def run_group(group: Group):
  """Trains until done, until a signal, or until no run is left that can go on.
  Raises BadInput for runs that failed, once the others are done."""
  steps = group.config.steps
  title = group.leader.folder.name if group.num_members == 1 else (
      f'{group.num_members} runs')
  group.logged_at = time.time()
  with jax.set_mesh(group.trainer.mesh), contextlib.closing(
      Progress(steps, group.first_step, title, 'step')) as progress:
    for step in range(group.first_step, steps + 1):
      stopping = evaluate_if_due(group, step, stop_requested(group, step))
      save_if_due(group, step, stopping)
      if stopping:
        report_stop(group, step)
        break
      if step == steps:
        finish_runs(group)
        break
      batch, counted = draw_batch(group, step)
      take_step(group, batch, step, counted)
      log_if_due(group, step + 1, progress)
  raise_failures(group)


def stop_requested(group: Group, step: int) -> bool:
  """Whether a signal, or the cluster, asks the runs to stop where they can."""
  return may_stop(group, step) and (
      bool(group.stop.signal) or group.leader.checkpoints.preempted(step))


def may_stop(group: Group, step: int) -> bool:
  """Whether runs can resume from a step: in post-training between rollouts."""
  return not group.config.post.kind or step % group.config.post.every == 0


def evaluate_if_due(group: Group, step: int, stopping: bool) -> bool:
  """Runs the evaluations that are due. Returns whether the runs are to stop:
  a signal during an evaluation leaves out those after it."""
  last = step == group.config.steps
  due = [name for name, spec in group.config.evals.items()
         if last or (spec.every and step % spec.every == 0)]
  if stopping or not due:
    return stopping
  read_sums(group)
  runs = alive(group)
  progress = Progress(len(due) * len(runs), 0, f'step {step}', 'evaluation',
                      bar=False)
  for n, (i, recorder) in enumerate(runs):
    params = group.trainer.merged_params(
        group.trainer.unstack_member(group.state, i))
    for k, name in enumerate(due, 1):
      if group.stop.signal and may_stop(group, step):
        return True
      recorder.evaluate(name, step, params,
                        reuse=last and step == group.first_step)
      progress.update(n * len(due) + k, name)
    del params
  return False


def save_if_due(group: Group, step: int, stopping: bool):
  """Starts to save each run's state, unless it was just restored."""
  due = stopping or step == group.config.steps or (
      step % group.config.checkpoint.every == 0)
  if not due or step == group.first_step:
    return
  read_sums(group)
  streams = distributed.allgather_json(loader.stream_state(group.batches))
  for i, recorder in alive(group):
    recorder.save(step, group.trainer.unstack_member(group.state, i),
                  seconds_per_run(group), streams)


def draw_batch(group: Group, step: int) -> tuple[dict[str, jax.Array], dict]:
  """The rows of the next step, on the devices, and sums for the log that they
  come with."""
  if group.config.post.kind:
    return group.batches.batch(step, group.state)
  batch = loader.to_devices(
      next(group.batches), group.local_rows, group.trainer.batch_dims,
      group.trainer.batch_shardings)
  return group.with_law(batch) if group.with_law else batch, {}


def take_step(group: Group, batch: dict[str, jax.Array], step: int,
              counted: dict):
  """One optimizer step of each run; its sums stay on the devices."""
  group.state, sums = group.trainer.step(group.state, batch)
  group.unread_sums.append((step + 1, sums | counted))


def log_if_due(group: Group, step: int, progress: Progress):
  """Logs a row of each run after `step` steps."""
  if step % group.config.log.every and step != group.config.steps:
    return
  read_sums(group)
  now = time.time()
  tokens = (step - group.logged_step) * group.tokens_per_step
  speed = tokens * group.num_members / (now - group.logged_at)
  for i, recorder in alive(group):
    loss = recorder.log_step(step, {
        'learning_rate': float(group.lr_schedules[i](step - 1)),
        'tokens': step * group.tokens_per_step,
        'flops': step * group.flops_per_step, **count_changed(group, i)}, {
        'time/seconds': recorder.meta['seconds'] + seconds_per_run(group),
        'time/tokens_per_second': speed})
  group.logged_step, group.logged_at = step, now
  progress.update(step, f'loss {loss:.3f}')


def count_changed(group: Group, index: int) -> dict[str, int]:
  """{'changed': how many parameters of a run's penalised adapter are not zero}
  for the log; nothing without adapter.penalty."""
  if not group.config.adapter.penalty:
    return {}
  params = group.trainer.unstack_member(group.state, index).params
  return {'changed': int(_not_zero(params))}


@jax.jit
def _not_zero(tree) -> jax.Array:
  return sum(jnp.count_nonzero(x) for x in jax.tree.leaves(tree))


def read_sums(group: Group):
  """Brings the sums of the steps since the last call to the host and counts
  them. Raises BadInput when no run is left that can go on."""
  if group.unread_sums:
    steps = jax.device_get([sums for _, sums in group.unread_sums])
    sums = {k: np.stack([s[k] for s in steps]) for k in steps[0]}
    for i, recorder in alive(group):
      recorder.accumulate(group.unread_sums[0][0], sums if (
          group.num_members == 1) else {k: v[:, i] for k, v in sums.items()})
    group.unread_sums.clear()
  if not alive(group):
    raise_failures(group)


def alive(group: Group) -> list[tuple[int, RunRecorder]]:
  """(index, recorder) of the runs that can go on."""
  return [(i, r) for i, r in enumerate(group.recorders) if not r.failure]


def seconds_per_run(group: Group) -> float:
  """The time since the group began, shared equally between its runs."""
  return (time.time() - group.began) / group.num_members


def report_stop(group: Group, step: int):
  """Waits for the checkpoints, and prints how to resume."""
  for _, recorder in alive(group):
    recorder.checkpoints.wait()
    saved = recorder.checkpoints.newest(step + 1)
    print(f'stopped by {group.stop.signal or "the cluster"} at step {step}; '
          f'{recorder.folder} holds '
          + ('no step yet' if saved is None else f'step {saved}')
          + '; run the same command again to resume')


def finish_runs(group: Group):
  """Marks the runs as done."""
  for _, recorder in alive(group):
    recorder.finish(seconds_per_run(group))


def raise_failures(group: Group):
  """Raises BadInput when a run has failed."""
  failures = [f'{r.folder}: {r.failure}' for r in group.recorders if r.failure]
  if failures:
    raise BadInput('; '.join(failures))
