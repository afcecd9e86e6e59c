"""The training loop: of one run, or of a population of runs in one program.

  python -m physics_lm.train --config=configs/biographies.py:multi5_permute \
      --workdir=/tmp/run --config.model.depth=4
  python -m physics_lm.train --config=... --workdir=/tmp/a \
      --and --config=... --workdir=/tmp/b --config.seed.init=1
"""

import contextlib
import functools
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from physics_lm import (
  environment,
  hosts,
  optim,
  pipeline,
  population,
  program,
  rows,
  store,
)
from physics_lm.book import Book
from physics_lm.cli import Progress, parse_config
from physics_lm.errors import BadInput, command, disk_errors
from physics_lm.evals import suite
from physics_lm.scaling import flops


class Job(NamedTuple):
  config: object
  folder: Path
  command: str = ''


@command
def main(argv=None):
  """Trains, or resumes, the runs that the command line describes."""
  argv = sys.argv if argv is None else argv
  if jax.config.jax_compilation_cache_dir is None:  # else the user has one
    for key, value in environment.PROGRAM_CACHE.items():
      jax.config.update(key, value)
  parts, jobs = [[]], []
  for argument in argv[1:]:
    if argument == '--and':
      parts.append([])
    else:
      parts[-1].append(argument)
  for part in parts:
    config, workdir = parse_config([argv[0], *part])
    jobs.append(Job(config, Path(workdir), ' '.join([argv[0], *part])))
  run_all(jobs)


def run(config, workdir, command_line: str = ''):
  """Trains `config` in the folder `workdir` until done, or resumes it."""
  run_all([Job(config, Path(workdir), command_line)])


def run_all(jobs: list[Job]):
  """Trains the jobs together. Raises BadInput for jobs that cannot be, and
  for runs that went wrong, once the others are done."""
  population.check([j.config for j in jobs])
  if len({j.folder.absolute() for j in jobs}) < len(jobs):
    raise BadInput('two runs have one --workdir, wanted a folder for each')
  environment.keep_memory()  # before JAX starts its threads
  hosts.join(jobs[0].config)
  if len(jobs) > 1 and jax.process_count() > 1 and (
      jax.default_backend() == 'cpu'):
    # Programs of one process overtake each other there, and two processes
    # that do so differently wait for one another for ever.
    raise BadInput(f'{len(jobs)} runs in one program over '
                   f'{jax.process_count()} processes on CPUs, which hangs at '
                   'times; wanted one process, or an accelerator')
  try:
    with disk_errors(jobs[0].folder), contextlib.ExitStack() as stack:
      if hosts.first():  # one process holds the folders for all of a job
        for job in jobs:
          stack.enter_context(store.lock(job.folder))
      stop = stack.enter_context(hosts.stop())
      left = [j for j in jobs if not finished(j)]
      if left:
        train(left, stop)
  except store.Locked as e:
    print(f'another process is training in {e}', file=sys.stderr)
    sys.exit(3)  # launch.BUSY


def finished(job: Job) -> bool:
  """Whether the folder holds this run, done. Raises BadInput when it holds
  another computation."""
  if (job.folder / 'config.json').exists():
    differs = store.difference(store.read_json(job.folder / 'config.json'),
                               store.canonical_config(job.config, job.folder))
    if differs:
      raise BadInput(f'{job.folder} holds another computation: '
                     + '; '.join(differs) + '. Wanted the same, or a new '
                     '--workdir')
    ask_anew(job)
  if store.is_done(job.folder):
    print(f'already done: {job.folder}')
    return True
  return False


def ask_anew(job: Job):
  """Takes back the answers to what was asked in other words."""
  asked = store.stale_evals(job.folder, store.plain(job.config)['evals'])
  for name in asked:
    (job.folder / f'evals/{name}/{job.config.steps}.json').unlink(
        missing_ok=True)
  if asked and store.is_done(job.folder):
    print('re-running evals (spec changed): ' + '; '.join(asked.values()))
    (job.folder / 'done').unlink(missing_ok=True)


def train(jobs: list[Job], stop):
  """Trains the jobs in one program; those that resume at another step than
  the rest go separately."""
  groups, wrong = [jobs], []
  while groups and not stop.asked:
    try:
      groups += together(groups.pop(0), stop)
    except BadInput as e:  # what is wrong with some is nothing to the others
      if not groups:
        raise
      wrong.append(str(e))
  if wrong:
    raise BadInput('; '.join(wrong))


def together(jobs: list[Job], stop) -> list[list[Job]]:
  """Trains the jobs. When they are not all at one step it does not, and
  returns them by step."""
  with contextlib.ExitStack() as stack:
    closing = lambda x: stack.enter_context(contextlib.closing(x))
    began, data = time.time(), [rows.load(j.config) for j in jobs]
    for d in data:
      rows.check(d)
      if len(d.vocab) != len(data[0].vocab):
        raise BadInput(f'vocabularies of {len(data[0].vocab)} and '
                       f'{len(d.vocab)} entries in one population, wanted '
                       'one size')
    shared = all(d is data[0] for d in data)
    trainer = program.build(jobs[0].config, data[0], shared=shared, members=[
        j.config for j in jobs] if len(jobs) > 1 else ())
    for job in jobs:
      suite.check(job.config)
    books = [Book(j.config, j.folder, j.command, d, closing)
             for j, d in zip(jobs, data)]
    state = begin(trainer, books)
    if state is None:
      steps = [book.meta['step'] for book in books]
      groups = {s: [j for j, t in zip(jobs, steps) if t == s] for s in steps}
      for step, group in groups.items():
        print(f'{len(group)} of {len(jobs)} runs go on from step {step}')
      return list(groups.values())
    for book in books:
      book.open(trainer, len(books), closing)
    loop(trainer, books, state, data[:1] if shared else data, began, stop)
  return []


def begin(trainer: program.Program, books: list[Book]) -> program.State | None:
  """The state that all the books' runs begin or go on with; None when they
  are not at one step."""
  new = functools.cache(trainer.init)
  states = [book.start(trainer, lambda i=i: trainer.take(new(), i))
            for i, book in enumerate(books)]
  if len({book.meta['step'] for book in books}) > 1:
    return None
  if all(s is None for s in states):  # nothing to cut up and put together
    return new()
  return trainer.stack([trainer.take(new(), i) if s is None else s
                        for i, s in enumerate(states)])


def loop(trainer: program.Program, books: list[Book], state, data, began, stop):
  """Steps until done, or asked to stop, or no run is left that can go on."""
  lead, config = books[0], books[0].config
  first, many = lead.meta['step'], len(books)
  tokens = config.data.batch * config.data.length  # a step, of each run
  per_step = flops.per_token(trainer.cfg, config.data.length) * tokens
  local = pipeline.local_rows(trainer.batch_shardings['task'], trainer.lead)
  batches = pipeline.host_batches(data, config.data.batch, local, first,
                                  config.runtime.workers,
                                  config.runtime.prefetch,
                                  lead.meta.get('streams'))
  rates = [optim.schedule(b.config) for b in books]
  pending = []
  well = lambda: [(i, b) for i, b in enumerate(books) if not b.wrong]
  share = lambda: (time.time() - began) / many  # seconds of each run
  wrong = lambda: '; '.join(f'{b.folder}: {b.wrong}' for b in books if b.wrong)

  def collect():
    """Brings the pending sums to the host."""
    if pending:
      steps = jax.device_get([sums for _, sums in pending])
      sums = {k: np.stack([s[k] for s in steps]) for k in steps[0]}
      for i, book in well():
        book.add(pending[0][0], sums if many == 1 else {
            k: v[:, i] for k, v in sums.items()})
      pending.clear()
    if not well():
      raise BadInput(wrong())

  # The order below carries weight. Evaluate and save see the state *before*
  # the step; rows are drawn after the save, so a checkpoint of step i needs
  # rows from i on. Sums are read before a save: a run that went wrong saves no
  # more. Asked to leave, it saves and does not evaluate; a resumed run does.
  # The last turn evaluates and saves, but takes no step.
  title = lead.folder.name if many == 1 else f'{many} runs'
  mark, done = time.time(), first
  with jax.set_mesh(trainer.mesh), contextlib.closing(
      Progress(config.steps, first, title, 'step')) as progress:
    for i in range(first, config.steps + 1):
      last = i == config.steps
      leaving = stop.asked or lead.saved.preempted(i)
      due = [name for name, spec in config.evals.items() if not leaving and (
          last or (spec.every and i % spec.every == 0))]
      save = last or leaving or i % config.checkpoint.every == 0
      if due or (save and i != first):
        collect()
        streams = hosts.gathered(pipeline.place(batches))
        for j, book in well():
          own = trainer.take(state, j)
          for name in due:
            leaving = leaving or stop.asked
            if not leaving:
              book.evaluate(name, i, trainer.whole(own), trainer.cfg,
                            again=last and i == first)
          if (save or leaving) and i != first:
            book.save(i, own, share(), streams)
          del own
      if leaving:
        for _, book in well():
          book.saved.wait()
          held = book.saved.newest(i + 1)
          print(f'stopped by {stop.asked or "the cluster"} at step {i}; '
                f'{book.folder} holds '
                + ('no step yet' if held is None else f'step {held}')
                + '; run the same command again to resume')
        if wrong():
          raise BadInput(wrong())
        return
      if last:
        break
      batch = pipeline.to_devices(next(batches), local, trainer.lead,
                                  trainer.batch_shardings)
      state, sums = trainer.step(state, batch)
      pending.append((i + 1, sums))
      if (i + 1) % config.log.every == 0 or i + 1 == config.steps:
        collect()
        took, mark, steps = time.time() - mark, time.time(), i + 1 - done
        done = i + 1
        for j, book in well():
          loss = book.write(done, {
              'learning_rate': float(rates[j](i)), 'tokens': done * tokens,
              'flops': per_step * done}, {
              'time/seconds': book.meta['seconds'] + share(),
              'time/tokens_per_second': steps * tokens / took * many})
        progress.update(done, f'loss {loss:.3f}')
  for _, book in well():
    book.finish(share())
  if wrong():
    raise BadInput(wrong())


if __name__ == '__main__':
  main()
