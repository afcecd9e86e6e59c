"""The folder, checkpoints, log and running counts of one run.

The loop (train.py) trains one run or a group of runs; each has a recorder.
"""

import contextlib
import math
import os
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from physics_lm import (
  checkpoint,
  distributed,
  loss_band,
  metrics,
  mixture,
  restore,
  run_dir,
  teacher,
  train_step,
)
from physics_lm.config import config_difference, run_id
from physics_lm.errors import BadInput
from physics_lm.evals import records, registry
from physics_lm.model import adapters
from physics_lm.model.config import lr_decay_start
from physics_lm.posttrain import update

# Keys in which a run may differ from its trunk: they act after the steps that
# both have in common.
BRANCH_KEYS = ('steps', 'optim.schedule', 'optim.decay_fraction',
               'optim.final_lr_fraction')


def _later_windows(trunk: ConfigDict, branch: ConfigDict, last: int
                   ) -> list[str]:
  """The keys of windows that are the same in both until step `last`."""
  keys = []
  for name, task in branch.data.tasks.items():
    other = trunk.data.tasks.get(name, task)
    for key, neutral in ('since', 0), ('until', math.inf):
      steps = [neutral if t[key] is None else t[key] for t in (task, other)]
      if min(steps) >= last:
        keys.append(f'data.tasks.{name}.{key}')
  return keys


class RunRecorder:
  """Folder, checkpoints, log and counts of one run.

  Attributes:
    evaluators: of config.evals, by name.
    failure: why the run cannot go on; '' while it can.
    meta: what a checkpoint holds besides arrays: the step, examples of each
      task so far, sums since the last row of the log, seconds.
  """

  def __init__(self, config: ConfigDict, folder: Path, command: str,
               data: mixture.Mixture, resources: contextlib.ExitStack):
    """`resources` closes what is opened when the loop ends. Raises BadInput
    for an impossible evaluation or loss band, and for a folder made with
    another vocabulary."""
    self.config, self.folder, self.command = config, folder, command
    self.data, self.plain = data, run_dir.canonical_config(config, folder)
    self.evaluators = registry.build(config, data, folder)
    teacher.teacher_folders(config, folder, data)
    if (folder / 'meta.json').exists():  # a library may train another tokenizer
      run_dir.check_vocab(folder, data.vocab, f'{folder}')
    self.checkpoints = resources.enter_context(contextlib.closing(
        checkpoint.Checkpoints(folder, config.checkpoint.keep, [
            s for spec in config.evals.values() if spec.average > 1
            for s in run_dir.averaged_steps(config, spec.average)])))
    self.failure = ''
    self.loss_band = loss_band.load_band(config.log.loss_band)

  def restore_or_init(self, trainer: train_step.TrainProgram,
                      new: Callable[[], train_step.TrainState]
                      ) -> train_step.TrainState | None:
    """The run's own checkpoint; else that of its trunk; else a new() state with
    the parameters of init_from; else None: the run starts from new()."""
    abstract, own_id = trainer.abstract, run_id(self.plain)
    restored = self.checkpoints.restore(
        abstract.params, (abstract.step, abstract.opt))
    if restored:
      params, (step, opt), self.meta = restored
      if self.meta['run'] != own_id:
        raise BadInput(f'the checkpoint in {self.folder} is of run '
                       f'{self.meta["run"]}, wanted {own_id}')
      if self.loss_band:
        self.loss_band.outside = self.meta.get('outside_band', '')
      print(f'resuming at step {self.meta["step"]} in {self.folder}',
            flush=True)
      return train_step.TrainState(step, params, opt, self._base(abstract))
    self.meta = {'step': 0, 'run': own_id, 'window': {}, 'seconds': 0.0,
                 'entries': [0] * (len(self.config.data.tasks) or 1)}
    if self.config.runtime.branch_from:
      return self.branch_from_trunk(abstract)
    if not self.config.init_from:
      return None
    part = 'base' if abstract.base else 'params'
    return new()._replace(**{part: self.parent_params(abstract)})

  def branch_from_trunk(self, abstract: train_step.TrainState
                        ) -> train_step.TrainState:
    """The newest state of the trunk at which this run would be the same, with
    the trunk's counts and log up to there. Raises BadInput."""
    name, own_id = self.config.runtime.branch_from, self.meta['run']
    trunk = run_dir.find_run(name, self.folder)
    config = restore.run_config(trunk)
    last = min(map(lr_decay_start, (self.config, config)))
    differs = [d for d in config_difference(
        run_dir.read_config(trunk), self.plain)
        if d.split(':')[0] not in (
            *BRANCH_KEYS, *_later_windows(config, self.config, last))]
    if differs:
      raise BadInput(f'runtime.branch_from {name!r} differs in '
                     f'{"; ".join(differs)}, wanted a run that differs in '
                     f'{", ".join(BRANCH_KEYS)} only, or in since and until '
                     f'of tasks from step {last} on')
    run_dir.check_vocab(trunk, self.data.vocab, f'runtime.branch_from {name!r}')
    params, (step, opt), meta = checkpoint.load_state(
        trunk, abstract.params, (abstract.step, abstract.opt), last)
    self.meta = meta | {'run': own_id, 'seconds': 0.0}
    print(f'branching off {trunk} at step {meta["step"]}', flush=True)
    if distributed.is_first_process():
      run_dir.write_log(self.folder, (
          r for r in run_dir.read_log(trunk)
          if r['kind'] == 'train' and r['step'] <= meta['step']))
    return train_step.TrainState(step, params, opt, self._base(abstract))

  def _base(self, abstract: train_step.TrainState):
    """The frozen parameters under an adapter; None without one."""
    return self.parent_params(abstract) if abstract.base else None

  def parent_params(self, abstract: train_step.TrainState,
                    key: str = 'init_from', name: str = '') -> dict:
    """The parameters of the run that a key names, by default init_from; a head
    that it has not starts at 0. Raises BadInput."""
    name = name or self.config.init_from
    parent = run_dir.require_parent(key, name, self.folder, self.data.vocab,
                                    self.plain)
    like = abstract.base or abstract.params
    params, _ = restore.load_parameters(parent, like)
    if jax.tree.structure(params) != jax.tree.structure(like):
      raise BadInput(
          f'{key} {name!r} has an adapter that is no change of weights, wanted '
          f'one of {", ".join(adapters.MERGEABLE)}')
    return params

  def other_run(self, key: str, name: str, mesh: jax.sharding.Mesh
                ) -> restore.RestoredRun:
    """The finished run that a key names, of any model, over a mesh. Raises
    BadInput when it is not finished or has another vocabulary."""
    return restore.load_run(run_dir.finished_run(
        key, name, self.folder, self.data.vocab), mesh)

  def open_logs(self, trainer: train_step.TrainProgram, num_members: int,
                resources: contextlib.ExitStack):
    """Writes config.json and meta.json, and opens metrics.jsonl. Where only
    evaluations are left, meta.json stays that of the training."""
    self.writes = distributed.is_first_process()
    trained = 0 < self.config.steps == self.meta['step'] and (
        self.folder / 'meta.json').exists()
    if self.writes:
      run_dir.write_json(self.folder / 'config.json', self.plain)
    if self.writes and not trained:
      run_dir.write_json(self.folder / 'meta.json', run_dir.run_metadata(
          self.config, self.data.vocab, self.command,
          trainer.mesh.devices.flat[0], trainer.mesh.size, num_members,
          self.config.init_from and os.path.relpath(
              run_dir.find_run(self.config.init_from, self.folder).absolute(),
              self.folder.absolute())))
    self.log = resources.enter_context(contextlib.closing(metrics.MetricsWriter(
        self.folder, self.plain, self.meta['step']) if self.writes
        else metrics.NoMetricsWriter()))

  def accumulate(self, first: int, sums: dict[str, np.ndarray]):
    """Adds the sums of steps first, first + 1 ... ([steps, ...]) to the counts;
    a run whose loss is not finite fails."""
    bad = ~np.isfinite(sums['loss'].sum(-1) + sums['grad_norm'])
    if bad.any():
      i = int(bad.argmax())
      # The step after a checkpoint gave this loss: the one before is good.
      good = self.checkpoints.newest(below=first + i - 1)
      self.failure = (
          f'loss is not finite at step {first + i} (found '
          f'{sums["loss"][i].sum()}); last good checkpoint: '
          + (f'{self.checkpoints.folder / str(good)}' if good is not None
             else 'none'))
      return
    if self._differs_from_sampler(sums.pop('identity', None), first):
      return
    counts = sums['entries'].astype(np.int64).sum(0)
    self.meta['entries'] = [
        a + int(b) for a, b in zip(self.meta['entries'], counts)]
    self.meta['window'] = metrics.add_sums(self.meta['window'], sums)

  def _differs_from_sampler(self, identity: np.ndarray | None, first: int
                            ) -> bool:
    """Whether the policy of a step is another than the one that sampled its
    answers (posttrain/update.py): the run fails."""
    if identity is None:
      return False
    most = update.IDENTITY.get(self.config.model.dtype, update.LOOSE_IDENTITY)
    bad = ~(identity <= most)
    if bad.any():
      i = int(bad.argmax())
      self.failure = (
          f'log-probabilities of step {first + i} differ by {identity[i]:.2g} '
          f'from those of the policy that sampled, wanted at most {most:g}: '
          'sampling and training compute different policies')
    return bool(bad.any())

  def evaluate(self, name: str, step: int, params: dict, reuse: bool):
    """Runs one evaluator and logs its rows. `reuse`: existing rows of this step
    are logged instead (those of a changed spec have been removed)."""
    path = self.folder / f'evals/{name}/{step}.json'
    if reuse and path.exists():
      found = run_dir.read_evaluation(path)
    else:
      count = self.config.evals[name].average
      if count > 1:
        params = self.checkpoints.mean(params, run_dir.averaged_steps(
            self.config, count)[1:])
      evaluated = self.evaluators[name](params, step)
      found = evaluated.rows
      if self.writes:
        registry.write(self.folder, name, step, evaluated)
    self.log.write('eval', step, **records.flatten(found, name))

  def log_step(self, step: int, counts: dict, times: dict) -> float:
    """Logs one row: means since the last one. Returns the loss."""
    tasks, entries = self.data.tasks, self.meta['entries']
    row = metrics.window_means(
        self.meta['window'], [t.name for t in tasks]) | counts
    row |= {f'entries/{t.name}': e for t, e in zip(tasks, entries)}
    row |= {f'exposures/{t.name}': e / t.people
            for t, e in zip(tasks, entries) if t.people}
    self.log.write('train', step, **row, **times)
    warning = ''
    if self.loss_band:
      warning = self.loss_band.judge(row['tokens'], row['loss'])
      self.meta['outside_band'] = self.loss_band.outside
    if warning:
      print(f'warning: {self.folder} at step {step}: {warning}', flush=True)
      self.log.write('warning', step, message=warning)
    self.meta['window'] = {}
    return row['loss']

  def save(self, step: int, state: train_step.TrainState, seconds: float,
           streams: dict):
    """Starts to save the state before `step` is taken. `seconds`: that this
    process spent on this run; `streams`: the positions of its text streams."""
    self.checkpoints.save(
        step, state.params, (state.step, state.opt), self.meta | {
            'step': step, 'seconds': self.meta['seconds'] + seconds,
            'streams': streams})

  def finish(self, seconds: float):
    """Marks the run as done, once its last checkpoint is complete."""
    self.checkpoints.wait()
    if self.writes:
      run_dir.write_json(self.folder / 'done', {
          'steps': self.config.steps, 'time': run_dir.utc_time(),
          'seconds': round(self.meta['seconds'] + seconds, 1)})
      print(f'done: {self.folder} (config.json, metrics.jsonl, evals/)')
