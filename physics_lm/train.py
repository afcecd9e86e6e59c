"""Loss, train step and the loop.

  python -m physics_lm.train --config=configs/biographies.py:multi5_permute \
      --workdir=/tmp/run --config.model.depth=4
"""

import contextlib
import dataclasses
import functools
import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from physics_lm import (
  checkpoint,
  metrics,
  model,
  optim,
  pipeline,
  rows,
  shape,
  sharding,
  store,
)
from physics_lm.cli import Progress, Stop, parse_config
from physics_lm.errors import BadInput, command, disk_errors
from physics_lm.evals import suite
from physics_lm.scaling import flops

BATCH_2D = ('tokens', 'targets', 'segments', 'positions', 'weights')
BATCH_1D = ('task', 'entries')


class State(NamedTuple):
  step: jax.Array  # steps done, int32
  params: Any
  opt: Any


def loss_sums(params, batch, cfg: shape.Shape, tasks: int, key=None):
  """(summed loss in nats, sums by task [tasks]): of a batch of [B, T] rows."""
  total, nll = model.loss(params, batch, cfg, key)
  loss_B = (nll * batch['weights']).sum(-1)
  by_task = jax.nn.one_hot(batch['task'], tasks, dtype=jnp.float32)
  sums = {'loss': loss_B @ by_task,
          'weight': batch['weights'].sum(-1) @ by_task,
          'entries': batch['entries'].astype(jnp.float32) @ by_task}
  return total, sums


def make_step(cfg: shape.Shape, tx, tasks: int, accumulate: int = 1,
              seed: int = 0):
  """train_step(state, batch) -> (state, sums): pure, jit- and vmap-able."""

  def gradients(params, batch, key):
    return jax.grad(loss_sums, has_aux=True)(params, batch, cfg, tasks, key)

  def train_step(state: State, batch):
    key = None
    if cfg.dropout:
      key = jax.random.fold_in(jax.random.key(seed), state.step)
    if accumulate == 1:
      grads, sums = gradients(state.params, batch, key)
    else:
      # Every device keeps its rows: micro-batch j takes each j-th of them.
      micro = jax.tree.map(lambda x: jnp.moveaxis(
          x.reshape(-1, accumulate, *x.shape[1:]), 1, 0), batch)
      one = lambda total, j_part: (jax.tree.map(jnp.add, total, gradients(
          state.params, j_part[1],
          None if key is None else jax.random.fold_in(key, j_part[0]))), None)
      zero = jax.tree.map(
          lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(
              gradients, state.params, jax.tree.map(lambda x: x[0], micro),
              key))
      (grads, sums), _ = jax.lax.scan(
          one, zero, (jnp.arange(accumulate), micro))
    # Sums were added up; the mean is taken once, over all loss weights.
    count = jnp.maximum(sums['weight'].sum(), 1.0)
    grads = jax.tree.map(lambda g: g / count, grads)
    updates, opt = tx.update(grads, state.opt, state.params)
    sums |= {'grad_norm': optax.tree.norm(grads), 'steps': jnp.float32(1)}
    return State(state.step + 1, optax.apply_updates(state.params, updates),
                 opt), sums

  return train_step


class Trainer(NamedTuple):
  """What a config becomes on a mesh: all pieces of the loop."""

  cfg: shape.Shape
  mesh: jax.sharding.Mesh
  abstract: State  # shapes with shardings
  init: Any  # () -> State
  step: Any  # (state, batch) -> (state, sums), donates the state
  batch_shardings: dict


def build(config, data: rows.Data, devices=None) -> Trainer:
  """Mesh, shardings and jitted functions of a config. Raises BadInput."""
  shape.check(config)
  cfg = shape.make(config, len(data.vocab))
  rows.check(data)
  mesh = sharding.make_mesh(config, devices)
  if mesh.devices.flat[0].platform == 'cpu':
    # A loop copies what each layer leaves for the way back: a sixth of a step.
    cfg = dataclasses.replace(cfg, unroll=min(cfg.depth, 12))
  sharding.check(config, cfg, mesh)
  tx = optim.make(config)

  def make_state(key):
    params = model.init(cfg, key)
    return State(jnp.int32(0), params, tx.init(params))

  key = jax.random.key(config.seed.init)
  shapes = jax.eval_shape(make_state, key)
  # Moments lie where their parameters do; without being told, jit would
  # replicate them and the step would compile again.
  params = jax.tree.map(lambda axes: sharding.named(mesh, axes),
                        model.logical_axes(cfg),
                        is_leaf=lambda x: isinstance(x, tuple))
  whole = sharding.named(mesh, ())
  opt = optax.tree_utils.tree_map_params(
      tx, lambda _, s: s, shapes.opt, params,
      transform_non_params=lambda _: whole)
  where = State(whole, params, opt)
  abstract = jax.tree.map(
      lambda s, w: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=w),
      shapes, where)
  batch = sharding.batch_shardings(mesh, BATCH_2D, BATCH_1D)
  step = jax.jit(
      make_step(cfg, tx, len(data.tasks), config.runtime.accumulate,
                config.seed.init), donate_argnums=0,
      in_shardings=(where, batch), out_shardings=(where, whole))
  # Called outside set_mesh: linen's own constraints would fail inside.
  init = functools.partial(jax.jit(make_state, out_shardings=where), key)
  return Trainer(cfg, mesh, abstract, init, step, batch)


def start(config, trainer: Trainer, saved: checkpoint.Checkpoints,
          workdir: Path, vocab, run_id: str):
  """(state, meta): own checkpoint, else init_from's parameters, else new."""
  got = saved.restore(trainer.abstract.params,
                      (trainer.abstract.step, trainer.abstract.opt))
  if got:
    params, (step, opt), meta = got
    if meta['run'] != run_id:
      raise BadInput(f'the checkpoint in {workdir} is of run {meta["run"]}, '
                     f'wanted {run_id}')
    print(f'resuming at step {meta["step"]}', flush=True)
    return State(step, params, opt), meta
  state = trainer.init()
  if config.init_from:
    parent = store.parent(config.init_from, workdir, vocab)
    params, _ = checkpoint.load_params(parent, trainer.abstract.params)
    state = state._replace(params=params)
  return state, {'step': 0, 'run': run_id, 'window': {}, 'seconds': 0.0,
                 'entries': [0] * len(config.data.tasks)}


@command
def main(argv=None):
  """Trains, or resumes, the run that the command line describes."""
  argv = sys.argv if argv is None else argv
  run(*parse_config(argv), ' '.join(argv))


def run(config, workdir, command_line: str = ''):
  """Trains `config` in the folder `workdir` until done, or resumes it."""
  folder = Path(workdir)
  # One process holds the folder for all of a job.
  lock = store.lock if jax.process_index() == 0 else contextlib.nullcontext
  try:
    # Whatever ends the run, a save that has begun is finished first.
    with disk_errors(folder), lock(folder), Stop() as stop, (
        contextlib.ExitStack()) as stack:
      _run(config, folder, command_line, stop, stack)
  except store.Locked:
    print(f'another process is training in {folder}', file=sys.stderr)
    sys.exit(3)  # launch.BUSY


def _run(config, folder: Path, command_line: str, stop: Stop,
         stack: contextlib.ExitStack):
  closing = lambda x: stack.enter_context(contextlib.closing(x))
  plain = store.identified(config, folder)
  if (folder / 'config.json').exists():
    differs = store.difference(store.read_json(folder / 'config.json'), plain)
    if differs:
      raise BadInput(f'{folder} holds another computation: '
                     + '; '.join(differs) + '. Wanted the same, or a new '
                     '--workdir')
  if store.is_done(folder):
    print(f'already done: {folder}')
    return
  began, data = time.time(), rows.load(config)
  trainer = build(config, data)
  suite.check(config)
  saved = closing(checkpoint.Checkpoints(folder, config.checkpoint.keep))
  state, meta = start(config, trainer, saved, folder, data.vocab,
                      store.run_id(plain))
  first, writes = meta['step'], jax.process_index() == 0
  began -= meta['seconds']  # of the sessions before
  if writes:
    store.write_json(folder / 'config.json', plain)
    store.write_json(folder / 'meta.json', store.provenance(
        config, data.vocab, command_line, trainer.mesh.devices.flat[0],
        trainer.mesh.size))
  log = closing(metrics.Writer(folder, plain, first) if writes
                else metrics.NoWriter())
  per_step = flops.per_token(trainer.cfg, data.length
                             ) * config.data.batch * data.length
  names, rate = [t.name for t in data.tasks], optim.schedule(config)
  window, entries, pending = meta['window'], meta['entries'], []
  local = pipeline.local_rows(trainer.batch_shardings['task'],
                              config.data.batch)
  batches = pipeline.host_batches(
      data, config.data.batch, local, first, config.runtime.workers,
      config.runtime.prefetch)
  progress = closing(Progress(config.steps, first, folder.name, 'step'))

  def collect():
    """Brings the pending sums to the host; stops at the first NaN."""
    nonlocal window
    for at, sums in pending:
      sums = jax.device_get(sums)
      if not math.isfinite(sums['loss'].sum() + sums['grad_norm']):
        good = saved.newest(below=at - 1)  # at - 1 gave this loss
        raise BadInput(
            f'loss is not finite at step {at} (found '
            f'{sums["loss"].sum()}); last good checkpoint: '
            + (f'{saved.folder / str(good)}' if good is not None else 'none'))
      for i, count in enumerate(sums['entries']):
        entries[i] += int(count)
      window = metrics.add(window, sums)
    pending.clear()

  # The order below carries weight. Evaluate and save see the state *before*
  # the step; rows are drawn after the save, so a checkpoint of step i needs
  # rows from i on. Sums are read before a save: a run that went wrong saves no
  # more. Asked to leave, it saves and does not evaluate; a resumed run does.
  # The last turn evaluates and saves, but takes no step.
  mark, done = time.time(), first
  with jax.set_mesh(trainer.mesh):
    for i in range(first, config.steps + 1):
      last = i == config.steps
      leaving = stop.asked or saved.preempted(i)
      for name, spec in config.evals.items():
        if not leaving and (last or (spec.every and i % spec.every == 0)):
          collect()
          log.write('eval', i, **{f'{name}/{k}': v for k, v in suite.run(
              name, state.params, config, trainer.cfg, folder, i, writes
          ).items()})
      if (last or leaving or i % config.checkpoint.every == 0) and i != first:
        collect()
        saved.save(i, state.params, (state.step, state.opt), meta | {
            'step': i, 'window': window, 'entries': entries,
            'seconds': time.time() - began})
      if leaving:
        saved.wait()
        print(f'stopped by {stop.asked or "the cluster"} at step {i}; {folder} '
              f'holds step {saved.newest(i + 1)}; run the same command again '
              'to resume')
        return
      if last:
        break
      batch = pipeline.to_devices(next(batches), local, config.data.batch,
                                  trainer.batch_shardings)
      state, sums = trainer.step(state, batch)
      pending.append((i + 1, sums))
      if (i + 1) % config.log.every == 0 or i + 1 == config.steps:
        collect()
        seconds, mark, steps = time.time() - mark, time.time(), i + 1 - done
        done, total = i + 1, (i + 1) * config.data.batch * data.length
        row = metrics.means(window, names) | {
            'learning_rate': float(rate(i)), 'tokens': total,
            'flops': per_step * (i + 1),
            **{f'entries/{n}': e for n, e in zip(names, entries)},
            **{f'exposures/{t.name}': e / t.people
               for t, e in zip(data.tasks, entries)},
            'time/seconds': time.time() - began,
            'time/tokens_per_second':
                steps * config.data.batch * data.length / seconds}
        window = {}
        log.write('train', i + 1, **row)
        progress.update(i + 1, f'loss {row["loss"]:.3f}')
  saved.wait()
  if writes:
    store.write_json(folder / 'done', {
        'steps': config.steps, 'seconds': round(time.time() - began, 1)})
    print(f'done: {folder} (config.json, metrics.jsonl, evals/)')


if __name__ == '__main__':
  main()
