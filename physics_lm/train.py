"""The training loop.

  python -m physics_lm.train --config=configs/biographies.py:multi5_permute \
      --workdir=/tmp/run --config.model.depth=4
"""

import contextlib
import math
import sys
import time
from pathlib import Path

import jax

from physics_lm import (
  checkpoint,
  environment,
  hosts,
  metrics,
  optim,
  pipeline,
  program,
  rows,
  store,
)
from physics_lm.cli import Progress, parse_config
from physics_lm.errors import BadInput, command, disk_errors
from physics_lm.evals import suite
from physics_lm.scaling import flops


def start(config, trainer: program.Program, saved: checkpoint.Checkpoints,
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
    return program.State(step, params, opt), meta
  state = trainer.init()
  if config.init_from:
    parent = store.parent(config.init_from, workdir, vocab)
    params, _ = checkpoint.load_params(parent, trainer.abstract.params)
    state = state._replace(params=params)
  return state, {'step': 0, 'run': run_id, 'window': {}, 'seconds': 0.0,
                 'entries': [0] * (len(config.data.tasks) or 1)}


@command
def main(argv=None):
  """Trains, or resumes, the run that the command line describes."""
  argv = sys.argv if argv is None else argv
  if jax.config.jax_compilation_cache_dir is None:  # else the user has one
    for key, value in environment.PROGRAM_CACHE.items():
      jax.config.update(key, value)
  run(*parse_config(argv), ' '.join(argv))


def run(config, workdir, command_line: str = ''):
  """Trains `config` in the folder `workdir` until done, or resumes it."""
  folder = Path(workdir)
  environment.keep_memory()  # before JAX starts its threads
  hosts.join(config)
  # One process holds the folder for all of a job.
  lock = store.lock if hosts.first() else contextlib.nullcontext
  try:
    # Whatever ends the run, a save that has begun is finished first.
    with disk_errors(folder), lock(folder), hosts.stop() as stop, (
        contextlib.ExitStack()) as stack:
      _run(config, folder, command_line, stop, stack)
  except store.Locked:
    print(f'another process is training in {folder}', file=sys.stderr)
    sys.exit(3)  # launch.BUSY


def _run(config, folder: Path, command_line: str, stop,
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
  if (folder / 'meta.json').exists():  # a library may train another tokenizer
    store.check_vocab(folder, data.vocab, f'{folder}')
  rows.check(data)
  trainer = program.build(config, data)
  suite.check(config)
  saved = closing(checkpoint.Checkpoints(folder, config.checkpoint.keep))
  state, meta = start(config, trainer, saved, folder, data.vocab,
                      store.run_id(plain))
  first, writes = meta['step'], hosts.first()
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
      config.runtime.prefetch, meta.get('streams'))
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
            'streams': hosts.gathered(pipeline.place(batches)),
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
               for t, e in zip(data.tasks, entries) if t.people},
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
