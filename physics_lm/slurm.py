"""Runs of an experiment as jobs of a Slurm cluster, through submitit. No JAX.

Runs that start from nothing are one array; a run that starts from another waits
for it (afterok), and is cancelled when that one fails. A job that is preempted
or runs out of time saves, and is queued again; the trainer resumes. With
several tasks a job (--slurm nodes=2) JAX joins them through srun's environment.
"""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from physics_lm import run_dir, sweep
from physics_lm.config import parse_value
from physics_lm.errors import BadInput, one_line

NOTE = 'slurm.json'  # in a run's folder: its job


class SlurmJob:
  """What a compute node runs: the trainer, which saves when time is up."""

  def __init__(self, arguments: Sequence[str], folder: str):
    self.arguments, self.folder = arguments, folder
    self._directory = str(Path.cwd())  # where relative paths begin
    self._process = None

  def __call__(self) -> str:
    # Slurm's warning goes to every process of a job and would kill the trainer,
    # which checkpoint() stops instead.
    self._process = subprocess.Popen(
        self.arguments, cwd=self._directory, preexec_fn=lambda: signal.signal(
            signal.SIGUSR2, signal.SIG_IGN))
    # Not wait(): it holds a lock that checkpoint(), in a signal's handler on
    # this same thread, could never get.
    while (status := self._process.poll()) is None:
      time.sleep(0.2)
    if status:
      raise RuntimeError(f'the trainer of {self.folder} ended with {status}')
    return 'done' if run_dir.is_done(Path(self.folder)) else 'stopped'

  def checkpoint(self) -> Any:
    """Called by submitit before the job is preempted: saves, and returns what
    to queue in its place (a DelayedSubmission)."""
    from submitit.helpers import DelayedSubmission
    if self._process is not None:
      with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(self._process.pid, signal.SIGTERM)
        os.waitpid(self._process.pid, 0)
    return DelayedSubmission(SlurmJob(self.arguments, self.folder))


def sbatch_options(flags: Sequence[str], known: Collection[str]
                   ) -> dict[str, Any]:
  """Parses 'partition=gpu' and 'time=60' to {'partition': 'gpu', 'time': 60}.

  Raises BadInput for a key that submitit does not know.
  """
  out = {'time': 24 * 60}  # minutes
  for item in flags:
    name, equals, value = item.partition('=')
    name = name.replace('-', '_')
    if not equals or name not in known:
      raise BadInput(f'--slurm is {item!r}, wanted KEY=VALUE with KEY one of '
                     f'{", ".join(sorted(known))}')
    out[name] = parse_value(value)
  return out


def submit(runs: Sequence[sweep.Run], folder: Path, states: Mapping[str, str],
           jobs: int | None, options: Sequence[str]) -> dict[str, str]:
  """Queues every run that is neither complete nor queued.

  Args:
    states: of the runs and those they start from, by sweep.states().
    jobs: the most jobs at a time.
    options: KEY=VALUE, passed to sbatch.
  Returns:
    {run id: 'done', 'recorded', 'not needed', 'queued' or the job's id}.
  Raises:
    BadInput: without Slurm, where it does not answer or refuses a job, or for
      a bad option.
  """
  executor = _executor(folder, jobs, options)
  queued, out, ids, waiting = queue_states(runs, folder), {}, {}, []
  for run in sweep.ordered(runs):
    if states[run.id] in sweep.COMPLETE:
      out[run.id] = states[run.id]
      continue
    if run.id in queued:
      ids[run.id] = run_dir.read_json(folder / run.id / NOTE)['job']
      if queued[run.id] != 'PENDING' or all(
          p.id in out for p in run.waits_for):
        out[run.id] = 'queued'
        continue
      _answer('scancel', ids[run.id])  # it waits for a job that has failed
    waiting.append(run)
  later = [r for r in waiting if _missing(r, out)]
  first = [r for r in waiting if r not in later]
  with _refusals(), contextlib.ExitStack() as stack:
    if len(first) > 1:
      stack.enter_context(executor.batch())
    made = [(r, executor.submit(_job(r, folder))) for r in first]
  for run, job in made:
    ids[run.id] = _note(run, folder, job)
  for run in later:
    executor.update_parameters(dependency=':'.join(
        ['afterok', *(ids[p.id] for p in _missing(run, out))]))
    with _refusals():
      job = executor.submit(_job(run, folder))
    ids[run.id] = _note(run, folder, job)
  return {r.id: out.get(r.id) or ids[r.id] for r in sweep.ordered(runs)}


def _missing(run: sweep.Run, states: dict[str, str]) -> list[sweep.Run]:
  """The runs that must be done before `run`, and are not."""
  return [p for p in run.waits_for if states.get(p.id) not in sweep.COMPLETE]


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
  """A context in which a job that sbatch refuses raises BadInput."""
  from submitit.core import utils
  try:
    with contextlib.redirect_stderr(io.StringIO()):  # which has it as well
      yield
  except (utils.FailedJobError, utils.FailedSubmissionError) as e:
    raise BadInput(f'sbatch refused a job ({one_line(e)}), wanted --slurm '
                   'options that this cluster takes') from None


def _executor(folder: Path, jobs: int | None, options: Sequence[str]):
  """A submitit.SlurmExecutor with its options. Raises BadInput."""
  import submitit
  try:
    executor = submitit.SlurmExecutor(folder=folder.absolute() / '.slurm')
  except RuntimeError as e:
    raise BadInput(f'--executor=slurm: {e}; wanted a machine that can submit '
                   '(sbatch on PATH), or --executor=local') from None
  settings = sbatch_options(options, executor._valid_parameters())
  if jobs:
    settings['array_parallelism'] = jobs
  executor.update_parameters(**{
      'job_name': 'physics_lm',
      'additional_parameters': {'kill-on-invalid-dep': 'yes'}} | settings)
  return executor


def _job(run: sweep.Run, folder: Path) -> SlurmJob:
  at = folder.absolute() / run.id
  at.mkdir(parents=True, exist_ok=True)
  return SlurmJob([sys.executable, '-m', 'physics_lm.train', *run.arguments(),
                   f'--workdir={at}'], str(at))


def _note(run: sweep.Run, folder: Path, job) -> str:
  run_dir.write_json(folder / run.id / NOTE, {'job': job.job_id})
  return job.job_id


def queue_states(runs: Sequence[sweep.Run], folder: Path) -> dict[str, str]:
  """{run id: 'PENDING', 'RUNNING', ...} of the runs in Slurm's queue. Raises
  BadInput where runs have been queued and Slurm does not answer."""
  jobs = {}
  for run in sweep.ordered(runs):
    note = folder / run.id / NOTE
    if note.exists():
      jobs[run_dir.read_json(note)['job']] = run.id
  if not jobs:
    return {}
  out = _answer('squeue', '--noheader', '--array', '--me', '--format=%i %T')
  found = dict(line.split() for line in out.splitlines() if line.strip())
  return {run_id: found[job] for job, run_id in jobs.items() if job in found}


def _answer(*command: str) -> str:
  """What a command of Slurm prints. Raises BadInput when it fails."""
  try:
    return subprocess.run(command, capture_output=True, text=True, check=True,
                          timeout=60).stdout
  except (OSError, subprocess.SubprocessError) as e:
    reason = one_line(getattr(e, 'stderr', None) or e)
    raise BadInput(f'{command[0]} failed ({reason}), wanted a Slurm that '
                   'answers') from None
