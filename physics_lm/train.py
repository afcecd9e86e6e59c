"""Trains one run, or several in one program; resumes what was stopped.

The loop itself is in loop.py.

  python -m physics_lm.train --config=configs/biographies.py:multi5_permute \
      --workdir=/tmp/run --config.model.depth=4
  python -m physics_lm.train --config=... --workdir=/tmp/a \
      --and --config=... --workdir=/tmp/b --config.seed.init=1
  python -m physics_lm.train --config=... --compile=v5e:2x4
  python -m physics_lm.train --serve

--id=RUN_ID, of the launcher, refuses a run that has another id by now.
--compile trains nothing: it prints what the TPU compiler says of the program on
that topology (ahead_of_time.py). --serve is for the launcher: see serve().
"""

import contextlib
import functools
import gc
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from physics_lm import (
  distributed,
  host_tuning,
  loop,
  mixture,
  population,
  run_dir,
  train_step,
)
from physics_lm.config import config_difference, parse_config, plain_config
from physics_lm.errors import BadInput, command, disk_errors
from physics_lm.key_ranges import check_ranges
from physics_lm.mixture import load_mixture
from physics_lm.progress import Stop
from physics_lm.recorder import RunRecorder


class Job(NamedTuple):
  """A run to train: its config and folder, and its command line."""

  config: ConfigDict
  folder: Path
  command: str = ''


@command
def main(argv: list[str] | None = None):
  """Trains, or resumes, the runs that the command line describes."""
  argv = sys.argv if argv is None else argv
  if argv[1:] == ['--serve']:
    serve(argv[0])
    return
  if jax.config.jax_compilation_cache_dir is None:  # else the user has one
    for key, value in host_tuning.PROGRAM_CACHE.items():
      jax.config.update(key, value)
  parts, jobs, topology = [[]], [], ''
  for argument in argv[1:]:
    if argument == '--and':
      parts.append([])
    elif argument.startswith('--compile='):
      topology = argument.removeprefix('--compile=')
    else:
      parts[-1].append(argument)
  for part in parts:
    wanted = [a for a in part if a.startswith('--id=')]
    part = [a for a in part if a not in wanted]
    anywhere = ['--workdir=.'] if topology else []
    config, workdir = parse_config([argv[0], *anywhere, *part])
    jobs.append(Job(config, Path(workdir), ' '.join([argv[0], *part])))
    if wanted:
      run_dir.check_id(config, jobs[-1].folder,
                       wanted[-1].removeprefix('--id='))
  if topology:
    compile_for(jobs, topology)
  else:
    run_all(jobs)


def serve(program: str):
  """Trains what lines of stdin name, one after the other: a JSON list of the
  file of its output and its arguments. Answers each with a byte on what was
  stdout. A command that fails, as `program` would, ends this process with its
  exit status: the next one starts in a new process."""
  train_step.keep_programs()
  answers = os.dup(1)
  for line in sys.stdin:
    log, *arguments = json.loads(line)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    for stream in (1, 2):
      os.dup2(file, stream)
    os.close(file)
    main([program, *arguments])
    mixture.forget_worlds()
    gc.collect()  # the run's arrays
    sys.stdout.flush()
    os.write(answers, b'.')


def compile_for(jobs: list[Job], topology: str):
  """Prints what the TPU compiler says of the jobs' program. Raises BadInput
  when it does not fit the topology."""
  from physics_lm import ahead_of_time
  population.check_population([j.config for j in jobs])
  name = re.search(r'--config[= ](\S+)', jobs[0].command)[1]
  ahead_of_time.compile_configs([(name, jobs[0].config)], topology,
                                members=len(jobs))


def run(config: ConfigDict, workdir: Path | str, command_line: str = ''):
  """Trains `config` in the folder `workdir` until done, or resumes it."""
  run_all([Job(config, Path(workdir), command_line)])


def run_all(jobs: list[Job]):
  """Trains the jobs together. Raises BadInput for jobs that cannot train, and
  for runs that failed, once the others are done."""
  for job in jobs:  # a caller may have set keys without override()
    check_ranges(job.config)
  population.check_population([j.config for j in jobs])
  if len({j.folder.absolute() for j in jobs}) < len(jobs):
    raise BadInput('two runs have one --workdir, wanted a folder for each')
  host_tuning.keep_memory()  # before JAX starts its threads
  distributed.join_job(jobs[0].config)
  if len(jobs) > 1 and jax.process_count() > 1 and (
      jax.default_backend() == 'cpu'):
    # There, programs of one process run in any order, and two processes in
    # which the orders differ wait for each other for ever.
    raise BadInput(f'{len(jobs)} runs in one program over '
                   f'{jax.process_count()} processes on CPUs, which hangs at '
                   'times; wanted one process, or an accelerator')
  try:
    with disk_errors(jobs[0].folder), contextlib.ExitStack() as stack:
      if distributed.is_first_process():  # it locks the folders for the others
        for job in jobs:
          stack.enter_context(run_dir.lock(job.folder))
      stop = stack.enter_context(distributed.shared_stop())
      if unfinished := [j for j in jobs if not finished(j)]:
        train(unfinished, stop)
  except run_dir.Locked as e:
    print(f'another process is training in {e}', file=sys.stderr)
    sys.exit(3)  # launch.BUSY


def finished(job: Job) -> bool:
  """Whether the folder holds this run, finished. Raises BadInput when it holds
  another computation."""
  if (job.folder / 'config.json').exists():
    differs = config_difference(run_dir.read_config(job.folder),
                               run_dir.canonical_config(job.config, job.folder))
    if differs:
      raise BadInput(f'{job.folder} holds another computation: '
                     + '; '.join(differs) + '. Wanted the same, or a new '
                     '--workdir')
    run_dir.set_aside_stale_evals(
        job.folder, plain_config(job.config)['evals'],
        writes=distributed.is_first_process())
  if run_dir.is_done(job.folder):
    if job.config.data.vocab.endswith(('.json', '.model')):
      # The file may hold another tokenizer by now.
      run_dir.check_vocab(job.folder, load_mixture(job.config).vocab,
                          str(job.folder))
    print(f'already done: {job.folder}')
    return True
  return False


def train(jobs: list[Job], stop: Stop):
  """Trains the jobs in one program; those that resume at another step than
  the rest go separately."""
  groups, failures = [jobs], []
  while groups and not stop.signal:
    try:
      groups += train_group(groups.pop(0), stop)
    except BadInput as e:  # one group's failure does not stop the others
      if not groups:
        raise
      failures.append(str(e))
  if failures:
    raise BadInput('; '.join(failures))


def train_group(jobs: list[Job], stop: Stop) -> list[list[Job]]:
  """Trains the jobs, or returns them grouped by step, untrained, when they are
  not all at one step."""
  with contextlib.ExitStack() as resources:
    began, data = time.time(), [load_mixture(j.config) for j in jobs]
    for j, d in zip(jobs, data):
      mixture.check_mixture(d, j.config.steps)
      if len(d.vocab) != len(data[0].vocab):
        raise BadInput(f'vocabularies of {len(data[0].vocab)} and '
                       f'{len(d.vocab)} entries in one population, wanted '
                       'one size')
    shared = all(d is data[0] for d in data)  # all read the same rows
    trainer = train_step.build(jobs[0].config, data[0], shared=shared, members=[
        j.config for j in jobs] if len(jobs) > 1 else ())
    recorders = [RunRecorder(j.config, j.folder, j.command, d, resources)
                 for j, d in zip(jobs, data)]
    state = initial_state(trainer, recorders)
    if state is None:
      return by_step(jobs, [r.meta['step'] for r in recorders])
    for recorder in recorders:
      recorder.open_logs(trainer, len(recorders), resources)
    loop.run_group(loop.Group(trainer, recorders, state,
                              data[:1] if shared else data, stop, began))
  return []


def by_step(jobs: list[Job], steps: list[int]) -> list[list[Job]]:
  """The jobs in groups that resume at one step."""
  groups = {s: [j for j, t in zip(jobs, steps) if t == s] for s in steps}
  for step, group in groups.items():
    print(f'{len(group)} of {len(jobs)} runs continue from step {step}')
  return list(groups.values())


def initial_state(trainer: train_step.TrainProgram, recorders: list[RunRecorder]
                  ) -> train_step.TrainState | None:
  """The state that all the runs start or resume from; None when they are not
  at one step."""
  new = functools.cache(trainer.init)

  def new_member(i: int) -> train_step.TrainState:
    return trainer.unstack_member(new(), i)

  states = [r.restore_or_init(trainer, functools.partial(new_member, i))
            for i, r in enumerate(recorders)]
  if len({r.meta['step'] for r in recorders}) > 1:
    return None
  if all(s is None for s in states):  # nothing to split and stack again
    return new()
  return trainer.stack_members([new_member(i) if s is None else s
                        for i, s in enumerate(states)])


if __name__ == '__main__':
  main()
