"""What one run keeps: its folder, its checkpoints, its log, its counts.

The loop (train.py) turns for one run or for a population; each has a book.
`closing` takes what must be closed when the loop ends, however it ends.
"""

import json
import os
from pathlib import Path

import jax
import numpy as np

from physics_lm import (
  adapters,
  checkpoint,
  hosts,
  metrics,
  monitor,
  program,
  rows,
  shape,
  store,
  trained,
)
from physics_lm.errors import BadInput
from physics_lm.evals import suite

# A run and its trunk; what the trunk does after the knee is its own affair.
MAY_DIFFER = ('steps', 'optim.schedule', 'optim.decay', 'optim.final')


class Book:
  """What one run keeps: its folder, checkpoints, log, and counts so far."""

  def __init__(self, config, folder: Path, command: str, data: rows.Data,
               closing):
    self.config, self.folder, self.command = config, folder, command
    self.data, self.plain = data, store.canonical_config(config, folder)
    if (folder / 'meta.json').exists():  # a library may train another tokenizer
      store.check_vocab(folder, data.vocab, f'{folder}')
    self.saved = closing(checkpoint.Checkpoints(
        self.folder, self.config.checkpoint.keep))
    self.wrong = ''  # why it cannot go on
    self.band = monitor.load(config.log.band)

  def start(self, trainer: program.Program, new) -> program.State | None:
    """Own checkpoint, else init_from's parameters in a new() state, else None:
    the run begins anew."""
    abstract, run_id = trainer.abstract, store.run_id(self.plain)
    got = self.saved.restore(abstract.params, (abstract.step, abstract.opt))
    if got:
      params, (step, opt), self.meta = got
      if self.meta['run'] != run_id:
        raise BadInput(f'the checkpoint in {self.folder} is of run '
                       f'{self.meta["run"]}, wanted {run_id}')
      print(f'resuming at step {self.meta["step"]} in {self.folder}',
            flush=True)
      return program.State(step, params, opt, abstract.base and self.origin(
          abstract))
    self.meta = {'step': 0, 'run': run_id, 'window': {}, 'seconds': 0.0,
                 'entries': [0] * (len(self.config.data.tasks) or 1)}
    if self.config.runtime.trunk:
      return self.branch(abstract)
    if not self.config.init_from:
      return None
    what = 'base' if abstract.base else 'params'
    return new()._replace(**{what: self.origin(abstract)})

  def branch(self, abstract: program.State) -> program.State:
    """The trunk's newest state up to the knee, with its counts and its log:
    what this run would have come to by itself. Raises BadInput."""
    name, own = self.config.runtime.trunk, self.meta
    trunk = store.find_run(name, self.folder)
    differs = [d for d in store.difference(
        store.read_json(trunk / 'config.json'), self.plain)
        if d.split(':')[0] not in MAY_DIFFER]
    if differs:
      raise BadInput(f'runtime.trunk {name!r} differs in {"; ".join(differs)}, '
                     f'wanted a run that differs in {", ".join(MAY_DIFFER)} '
                     'only')
    store.check_vocab(trunk, self.data.vocab, f'runtime.trunk {name!r}')
    last = min(map(shape.knee, (self.config, trained.config(trunk))))
    params, (step, opt), meta = checkpoint.load_state(
        trunk, abstract.params, (abstract.step, abstract.opt), last)
    self.meta = meta | {'run': own['run'], 'seconds': 0.0}
    print(f'branching off {trunk} at step {meta["step"]}', flush=True)
    if hosts.first():
      store.write(self.folder / 'metrics.jsonl', ''.join(
          json.dumps(r) + '\n'
          for r in store.read_rows(trunk / 'metrics.jsonl')
          if r['kind'] == 'train' and r['step'] <= meta['step']))
    return program.State(step, params, opt, abstract.base and self.origin(
        abstract))

  def origin(self, abstract: program.State):
    """The parameters of the run that this one starts from. Raises
    BadInput."""
    parent = store.require_parent(self.config.init_from, self.folder,
                                  self.data.vocab)
    like = abstract.base or abstract.params
    params, _ = trained.parameters(parent, like)
    if jax.tree.structure(params) != jax.tree.structure(like):
      raise BadInput(
          f'init_from {self.config.init_from!r} has an adapter that is no '
          f'change of weights, wanted one of {", ".join(adapters.ORDINARY)}')
    return params

  def open(self, trainer: program.Program, members: int, closing):
    """Writes who computes what, opens the log."""
    self.writes = hosts.first()
    if self.writes:
      store.write_json(self.folder / 'config.json', self.plain)
      store.write_json(self.folder / 'meta.json', store.provenance(
          self.config, self.data.vocab, self.command,
          trainer.mesh.devices.flat[0], trainer.mesh.size, members,
          self.config.init_from and os.path.relpath(
              store.find_run(self.config.init_from, self.folder).absolute(),
              self.folder.absolute())))
    self.log = closing(metrics.Writer(
        self.folder, self.plain, self.meta['step']) if self.writes
        else metrics.NoWriter())

  def add(self, first: int, sums: dict):
    """Counts the sums of steps first, first + 1 ... (arrays [steps, ...]); a
    run whose loss is not finite goes no further."""
    bad = ~np.isfinite(sums['loss'].sum(-1) + sums['grad_norm'])
    if bad.any():
      i = int(bad.argmax())
      good = self.saved.newest(below=first + i - 1)  # its step gave this loss
      self.wrong = (
          f'loss is not finite at step {first + i} (found '
          f'{sums["loss"][i].sum()}); last good checkpoint: '
          + (f'{self.saved.folder / str(good)}' if good is not None
             else 'none'))
      return
    counts = sums['entries'].astype(np.int64).sum(0)
    self.meta['entries'] = [
        a + int(b) for a, b in zip(self.meta['entries'], counts)]
    self.meta['window'] = metrics.add(self.meta['window'], sums)

  def evaluate(self, name: str, step: int, params, cfg, again: bool):
    """`again`: an answer that is there counts; asked then in other words, it
    has been taken back."""
    there = self.folder / f'evals/{name}/{step}.json'
    values = store.read_json(there) if again and there.exists() else suite.run(
        name, params, self.config, cfg, self.folder, step, self.writes)
    self.log.write('eval', step, **{f'{name}/{k}': v
                                    for k, v in values.items()})

  def write(self, step: int, counts: dict, times: dict) -> float:
    """One row of the log: means since the last. Returns the loss."""
    tasks, entries = self.data.tasks, self.meta['entries']
    row = metrics.means(self.meta['window'], [t.name for t in tasks]) | counts
    row |= {f'entries/{t.name}': e for t, e in zip(tasks, entries)}
    row |= {f'exposures/{t.name}': e / t.people
            for t, e in zip(tasks, entries) if t.people}
    self.log.write('train', step, **row, **times)
    left = self.band.judge(row['tokens'], row['loss']) if self.band else ''
    if left:
      print(f'warning: {self.folder} at step {step}: {left}', flush=True)
      self.log.write('warning', step, message=left)
    self.meta['window'] = {}
    return row['loss']

  def finish(self, seconds: float):
    self.saved.wait()
    if self.writes:
      store.write_json(self.folder / 'done', {
          'steps': self.config.steps,
          'seconds': round(self.meta['seconds'] + seconds, 1)})
      print(f'done: {self.folder} (config.json, metrics.jsonl, evals/)')

  def save(self, step: int, state: program.State, seconds: float,
           streams: dict):
    self.saved.save(step, state.params, (state.step, state.opt), self.meta | {
        'step': step, 'seconds': self.meta['seconds'] + seconds,
        'streams': streams})
