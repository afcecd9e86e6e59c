"""Runs every run of an experiment, on the cores of this machine. No JAX.

  python -m physics_lm.launch experiments/knowledge_extraction.py --scale=cpu
      [--list] [--again] [--seeds=N] [--jobs=N] [--vmap-runs=N] [--runs-dir=DIR]
      [--device=NAME] [--devices=N]
      [--executor=slurm --slurm=partition=gpu --slurm=time=60]
      [--compile=v5e:4x4 [--mesh=fsdp=4]]

Skips runs that are done or whose record is committed in experiments/results/,
resumes those that were stopped, leaves alone those that another launcher is
training, and tries a crashed run a second time. On a CPU the default is one
run a core, each pinned to its own: two such runs do 1.5 times the work of one
run on two cores. On an accelerator, runs of one shape train together in one
program (vmap). A trainer's process goes on with the next run; what fails or is
killed ends it, and no other run.

--compile runs nothing: it compiles each distinct program for a TPU topology, by
libtpu on this machine, and prints what it needs on a device.

When it ends, `python -m physics_lm.report` writes the records of the runs,
with --partial also those of a sweep that was stopped, or of some seeds.
"""

import contextlib
import ctypes
import itertools
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from argparse import Namespace
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from types import ModuleType

from physics_lm import (
  cost,
  host_tuning,
  population,
  results,
  run_dir,
  slurm,
  sweep,
)
from physics_lm.config import argument_parser
from physics_lm.errors import BadInput, command, disk_errors
from physics_lm.progress import Progress, Stop

MAX_VMAPPED_RUNS = 64  # of one program: one thread makes the rows of all
BUSY = 3  # exit status of a trainer whose folder another process holds
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def trainer_environment(cores: set[int] | None) -> dict[str, str]:
  """The environment variables of a trainer's process, which finds the package
  where this process found it."""
  env = dict(os.environ)
  if cores is not None:
    env.setdefault('JAX_PLATFORMS', 'cpu')
  path = [env.get('PYTHONPATH', '')]
  if str(sweep.ROOT) not in sysconfig.get_paths().values():
    path.insert(0, str(sweep.ROOT))
  env['PYTHONPATH'] = os.pathsep.join(p for p in path if p)
  return env


class Trainer:
  """A process that trains one command after the other (train.serve), on cores
  of its own when there are some to pin to. What fails ends it."""

  def __init__(self, cores: set[int] | None):
    self.cores = cores
    self._process: subprocess.Popen | None = None

  def start(self, arguments: Sequence[str], log: Path) -> None:
    """Trains; stdout and stderr go to the end of the log."""
    if self._process is None or self._process.poll() is not None:
      with log.open('a', encoding='utf-8') as f:  # for what ends it at once
        # A process group of its own: Ctrl-C reaches the launcher only, which
        # then stops the trainers.
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'physics_lm.train', '--serve'],
            env=trainer_environment(self.cores), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=f,
            preexec_fn=lambda: _in_trainer(self.cores), start_new_session=True)
    with contextlib.suppress(BrokenPipeError):  # it has died: exit_status()
      self._process.stdin.write(
          json.dumps([str(log.absolute()), *arguments]).encode() + b'\n')
      self._process.stdin.flush()

  def exit_status(self) -> int | None:
    """Of the command; None while it runs. 0: for another one it lives on."""
    ended = self._process.poll()
    if select.select([self._process.stdout], [], [], 0)[0] and os.read(
        self._process.stdout.fileno(), 1):
      return 0
    return ended

  def terminate(self) -> None:
    """Sends SIGTERM: it saves and stops."""
    self._process.send_signal(signal.SIGTERM)

  def close(self) -> None:
    """Ends the process, which has no command."""
    if self._process is not None:
      for pipe in (self._process.stdin, self._process.stdout):
        with contextlib.suppress(BrokenPipeError):
          pipe.close()
      self._process.wait()
      self._process = None


class Worker:
  """A trainer with one run, or with several in one program."""

  def __init__(self, runs: Sequence[sweep.Run], folder: Path,
               trainer: Trainer):
    self.runs, self.trainer = list(runs), trainer
    self.folders = [folder / r.id for r in runs]
    self._stopping, self._status = False, None
    arguments = []
    for run, at in zip(runs, self.folders):
      at.mkdir(parents=True, exist_ok=True)
      if run is not runs[0]:
        arguments.append('--and')
      arguments += [*run.arguments(), f'--workdir={at.absolute()}']
    for at in self.folders[1:]:
      with (at / 'log.txt').open('a', encoding='utf-8') as f:
        f.write(f'in a population of {len(runs)}: see '
                f'../{runs[0].id}/log.txt\n')
    with self.log.open('a', encoding='utf-8') as f:
      f.write('$ ' + shlex.join([sys.executable, '-m', 'physics_lm.train',
                                 *arguments]) + '\n')
    trainer.start(arguments, self.log)

  @property
  def label(self) -> str:
    """The label of its first run, and the number of its runs."""
    first = self.runs[0].label
    return first if len(self.runs) == 1 else (
        f'{len(self.runs)} runs ({first} ...)')

  def step(self) -> int:
    """The step that all of its runs have reached."""
    return min(map(run_dir.step_reached, self.folders))

  def stop(self) -> None:
    """Asks the trainer to save and exit, once: a second SIGTERM kills it."""
    if not self._stopping and self.exit_status() is None:
      self.trainer.terminate()
      self._stopping = True

  def exit_status(self) -> int | None:
    """None while it runs."""
    if self._status is None:
      self._status = self.trainer.exit_status()
    return self._status

  @property
  def log(self) -> Path:
    """Where its output goes."""
    return self.folders[0] / 'log.txt'

  def last_line(self) -> str:
    """The last line of its output."""
    lines = self.log.read_text(errors='replace').splitlines()
    return lines[-1][:300] if lines else ''


def _in_trainer(cores: set[int] | None) -> None:
  """Called in a trainer's process before its program starts. Should the
  launcher die, the trainer gets a SIGTERM: it saves and stops."""
  if _LIBC is not None:
    _LIBC.prctl(_DEATH_SIGNAL, signal.SIGTERM)
  if cores is not None:
    os.sched_setaffinity(0, cores)


class Display:
  """A progress bar for each worker and one for all runs; plain lines where
  there is no terminal."""

  def __init__(self, runs: Iterable[sweep.Run], folder: Path):
    self.steps = {r.id: r.config.steps for r in runs}
    self.folder, self._bars = folder, {}
    self._terminal = sys.stderr.isatty()
    self._all = Progress(sum(self.steps.values()), self._reached(),
                         'all runs', 'step')

  def _reached(self) -> int:
    return sum(n if run_dir.is_done(self.folder / r)
               else min(run_dir.step_reached(self.folder / r), n)
               for r, n in self.steps.items())

  def show(self, workers: Sequence[Worker], done: int, failed: int) -> None:
    """Updates all bars, or prints a line when it is time for one."""
    if self._terminal:
      self._show_bars({w.runs[0].id: w for w in workers})
    note = f'{done}/{len(self.steps)} runs done'
    note += f', {failed} failed' if failed else ''
    current = ', '.join(f'{w.label} {w.step()}/{self.steps[w.runs[0].id]}'
                        for w in workers)
    self._all.update(self._reached(),
                     note if self._terminal else f'{note}; now {current}')

  def _show_bars(self, workers: dict[str, Worker]) -> None:
    from tqdm import tqdm
    for gone in self._bars.keys() - workers.keys():
      self._bars.pop(gone).close()
    for i, (run_id, w) in enumerate(workers.items()):
      if run_id not in self._bars:
        self._bars[run_id] = tqdm(
            total=self.steps[run_id], position=i + 1, leave=False,
            desc=w.label, unit='step', dynamic_ncols=True)
      self._bars[run_id].update(w.step() - self._bars[run_id].n)

  def print(self, text: str) -> None:
    """A line above the bars."""
    if self._terminal:
      from tqdm import tqdm
      tqdm.write(text)
    else:
      print(text, flush=True)

  def close(self) -> None:
    """Removes the bars."""
    for bar in self._bars.values():
      bar.close()
    self._all.close()


def cpu_slices(jobs: int | None) -> list[set[int] | None]:
  """The cores of each worker. With an accelerator: one worker, unpinned; else
  one a core, or `jobs` of them with equal shares of the cores."""
  cores = sorted(os.sched_getaffinity(0))
  if host_tuning.on_accelerator():
    return [None] * (jobs or 1)
  jobs = jobs or len(cores)
  each = len(cores) // jobs
  if not each:
    return [None] * jobs
  return [set(cores[i * each:(i + 1) * each]) for i in range(jobs)]


def limit(run: sweep.Run, accelerated: bool, vmap_runs: int | None) -> int:
  """The largest number of runs like this one in one program: `vmap_runs`, or
  what its config has; else one on a CPU, where more bring no speed, and on an
  accelerator what 80 % of the smallest accelerator's memory holds, at most
  MAX_VMAPPED_RUNS."""
  if run.config.post.kind:  # population.check_population
    return 1
  if vmap_runs is None:
    vmap_runs = run.config.runtime.max_vmapped_runs
  if vmap_runs is not None or not accelerated:
    return vmap_runs or 1
  room = 0.8 * min(d.memory for k, d in cost.DEVICES.items() if k != 'cpu')
  fit = int(room / cost.run_cost(run, 'h200')['bytes'])
  return min(max(fit, 1), MAX_VMAPPED_RUNS)


def vmappable_with(run: sweep.Run, others: Iterable[sweep.Run], most: int
                   ) -> list[sweep.Run]:
  """`run` and those of the others that can train in one program with it, at
  most `most` in all."""
  if most < 2:
    return [run]
  key = population.population_key(run.config)
  return [run, *itertools.islice(
      (o for o in others if o is not run
       and population.population_key(o.config) == key), most - 1)]


def link_finished_runs(runs: Iterable[sweep.Run], folder: Path,
                       own: Collection[str]) -> None:
  """Links into `folder` each of the runs that another experiment, in a folder
  beside it, has finished: it is not trained again. One of `own`, ids of the
  experiment's runs, only while that one's evaluations are as it wants them:
  others are never written there."""
  for run in runs:
    at = folder / run.id
    # Its target has been deleted, or is evaluated otherwise.
    if at.is_symlink() and not sweep.is_finished(run, folder, own):
      at.unlink(missing_ok=True)  # another launcher may have
    done = [p for p in sorted(folder.parent.glob(f'*/{run.id}'))
            if not p.is_symlink()
            and sweep.is_finished(run, p.parent, own)]
    if done and not at.exists():
      folder.mkdir(parents=True, exist_ok=True)
      with contextlib.suppress(FileExistsError):  # another launcher's link
        at.symlink_to(os.path.relpath(done[0], folder))
      print(f'reusing finished run {done[0]}: {run.label}')


def prepare(runs: Sequence[sweep.Run], folder: Path,
            recorded: Collection[str] = ()) -> dict[str, str]:
  """The states of the runs and of those they start from (sweep.states), once
  those that other experiments have finished are linked."""
  own, states = {r.id for r in runs}, sweep.states(runs, folder, recorded)
  link_finished_runs([r for r in sweep.ordered(runs)
                      if states[r.id] not in sweep.COMPLETE], folder, own)
  states = sweep.states(runs, folder, recorded)
  for run in sweep.ordered(runs):
    if states[run.id] == 'other-run':
      print(sweep.other_run_text(run, folder))
  return states


class Scheduler:
  """Which runs wait, which train, and how each ended."""

  def __init__(self, runs: Sequence[sweep.Run], folder: Path,
               states: dict[str, str], jobs: int | None,
               vmap_runs: int | None):
    everything = sweep.ordered(runs)
    self.folder, self._own = folder, {r.id for r in runs}
    self.waiting = [r for r in everything
                    if states[r.id] not in sweep.COMPLETE]
    self.outcomes = {r.id: states[r.id] for r in everything
                     if states[r.id] in sweep.COMPLETE}
    self.workers: list[Worker] = []
    self.display = Display([r for r in everything if states[r.id] not in (
        'recorded', 'not needed')], folder)
    self._free = [Trainer(cores) for cores in cpu_slices(jobs)]
    self._vmap_runs = vmap_runs
    self._accelerated = host_tuning.on_accelerator()
    self._most: dict[str, int] = {}  # by run id: in one program with it
    self._crashed: set[str] = set()  # ids of runs that get no third try
    self._busy_until: dict[str, float] = {}  # another launcher has them
    self._look_at = 0.0  # when to look again which runs others have finished

  def step(self, stopping: bool) -> None:
    """Looks which workers have ended, then starts what can start."""
    for w in list(self.workers):
      if (status := w.exit_status()) is not None:
        self.workers.remove(w)
        self._free.append(w.trainer)
        self._ended(w, status, stopping)
        self._look_at = 0.0
    self._start(self._ready(stopping))
    if not self.waiting:  # their memory is of use to the others
      for trainer in self._free:
        trainer.close()
    if stopping:
      for w in self.workers:
        w.stop()
    count = list(self.outcomes.values()).count
    self.display.show(self.workers, count('done'), count('failed'))

  def close(self) -> None:
    """Ends the trainers and the display."""
    for trainer in self._free:
      trainer.close()
    self.display.close()

  def _finished(self, run: sweep.Run) -> bool:
    return sweep.is_finished(run, self.folder, self._own)

  def _ready(self, stopping: bool) -> list[sweep.Run]:
    """Those of the waiting runs that can start; those that need not or cannot
    any more are taken off the list."""
    ready = []
    # Reading a run's folder costs 20 ms: what evaluates or resumes many runs
    # would take a core from the trainers.
    look = bool(self._free) and time.time() >= self._look_at
    if look:
      self._look_at = time.time() + 1
    for run in list(self.waiting):
      parents = [self.outcomes.get(p.id) for p in run.waits_for]
      if {'failed', 'blocked'} & set(parents):
        self._settle(run, 'blocked')
      elif stopping or 'stopped' in parents:
        self._settle(run, 'stopped')
      elif look and self._finished(run):  # by another launcher
        self._settle(run, 'done')
      elif (look and all(p in sweep.COMPLETE for p in parents)
            and self._busy_until.get(run.id, 0) < time.time()):
        if run_dir.state(self.folder / run.id) == 'running':
          self._leave([run])
        else:
          ready.append(run)
    return ready

  def _settle(self, run: sweep.Run, outcome: str) -> None:
    self.outcomes[run.id] = outcome
    self.waiting.remove(run)

  def _leave(self, runs: Iterable[sweep.Run]) -> None:
    """Leaves runs to another launcher for five seconds."""
    self._busy_until |= {r.id: time.time() + 5 for r in runs}

  def _start(self, ready: list[sweep.Run]) -> None:
    while self._free and ready:
      run = ready[0]
      if run.id not in self._most:
        self._most[run.id] = limit(run, self._accelerated, self._vmap_runs)
      group = vmappable_with(run, ready, self._most[run.id])
      if len(group) > 1:
        self.display.print(f'{len(group)} runs in one program: '
                           + ', '.join(r.label for r in group))
      for r in group:
        ready.remove(r)
        self.waiting.remove(r)
        self._most[r.id] = self._most[run.id]
      self.workers.append(Worker(group, self.folder, self._free.pop(0)))

  def _ended(self, w: Worker, status: int, stopping: bool) -> None:
    """Sets the outcomes of the runs of a worker that has ended, or puts them
    back on the list."""
    left = [r for r in w.runs if not self._finished(r)]
    self.outcomes |= {r.id: 'done' for r in w.runs if r not in left}
    if not left:
      return
    if stopping or status == 0:
      self.outcomes |= {r.id: 'stopped' for r in left}
    elif status == BUSY:
      self.waiting += left
      self._leave(left)
    elif len(w.runs) > 1:
      # Too many for the memory, perhaps: fewer at a time. Or one of them is at
      # fault: each alone will show which.
      fewer = 1 if status == 2 else (len(w.runs) + 1) // 2
      self._most |= {r.id: fewer for r in left}
      self.waiting[:0] = left
      self.display.print(f'{w.label} ended with exit {status}, trying {fewer} '
                         f'at a time: {w.last_line()}')
    elif status != 2 and left[0].id not in self._crashed:
      self._crashed.add(left[0].id)
      self.waiting[:0] = left
      self.display.print(f'{w.label} crashed (exit {status}), trying once '
                         f'more: {w.last_line()}')
    else:
      self.outcomes |= {r.id: 'failed' for r in left}
      self.display.print(f'{w.label} failed (exit {status}): {w.last_line()}; '
                         f'full log: {w.log}')


def launch(runs: Sequence[sweep.Run], folder: Path, jobs: int | None = None,
           vmap_runs: int | None = None, recorded: Collection[str] = ()
           ) -> dict[str, str]:
  """Brings every run to done.

  Args:
    jobs: workers at a time; None: one a core.
    vmap_runs: the most runs of one program; None: see limit().
    recorded: ids of runs whose record is committed, which are not run.
  Returns:
    {run id: 'done', 'recorded', 'failed', 'blocked' (the run it starts from
    failed), 'stopped', 'new' (has not begun) or 'running' (by another
    launcher)}.
  """
  states = prepare(runs, folder, recorded)
  print(f'{counted(states.values())}; in {folder}', flush=True)
  scheduler = Scheduler(runs, folder, states, jobs, vmap_runs)
  with contextlib.closing(scheduler), Stop(
      'trainers save and stop, evaluations finish first') as stop:
    while scheduler.waiting or scheduler.workers:
      scheduler.step(bool(stop.signal))
      time.sleep(0.1)
  return {r: run_dir.state(folder / r) if o == 'stopped' else o
          for r, o in scheduler.outcomes.items() if o != 'not needed'}


def counted(states: Iterable[str]) -> str:
  """'6 runs: 4 done, 2 new'."""
  states = list(states)
  return f'{len(states)} runs: ' + ', '.join(
      f'{states.count(s)} {s}' for s in dict.fromkeys(states))


@command
def main(argv: Sequence[str] | None = None) -> None:
  """The command line."""
  a = _arguments(argv)
  module = sweep.experiment(a.experiment)
  runs = sweep.first_seeds(module.runs(a.scale), a.seeds)
  folder = a.runs_dir / module.name
  records = results.committed(results.RESULTS, module, a.scale)
  recorded = set() if a.again else results.recorded_ids(records, runs)
  if a.list:
    device = a.device or {'gpu': 'h200', 'paper': 'h200'}.get(a.scale, 'cpu')
    width = shutil.get_terminal_size().columns if (
        sys.stdout.isatty()) else None
    print(cost.cost_table(runs, folder, device, a.devices, recorded, width,
                          results.measured_seconds(records, device)))
    return
  if a.compile:
    from physics_lm import ahead_of_time
    ahead_of_time.compile_configs(
        [(r.label, r.config) for r in sweep.ordered(runs)], a.compile, a.mesh,
        a.vmap_runs or 1)
    return
  with disk_errors(folder):
    if a.executor == 'slurm':
      _submit(runs, folder, a, recorded)
    else:
      _run_here(module, runs, folder, a, recorded,
                sys.argv[1:] if argv is None else argv)


def _arguments(argv: Sequence[str] | None) -> Namespace:
  """The command line's arguments, checked. Raises BadInput."""
  p = argument_parser('physics_lm.launch', __doc__)
  sweep.experiment_flags(p)
  p.add_argument('--list', action='store_true',
                 help='show the runs and their cost, run nothing')
  p.add_argument('--again', action='store_true',
                 help='also run those whose record is committed')
  p.add_argument('--seeds', type=int, metavar='N',
                 help='only the first N seeds, for a first look')
  p.add_argument('--executor', default='local', choices=('local', 'slurm'),
                 help="where runs run: this machine, or a cluster's jobs")
  p.add_argument('--slurm', action='append', default=[], metavar='KEY=VALUE',
                 help='of sbatch: partition, time (minutes), nodes, ...')
  p.add_argument('--jobs', type=int, help='runs at a time')
  p.add_argument('--vmap-runs', type=int, metavar='N',
                 help='at most N runs of one shape in one program (default: 1 '
                 'on a CPU; on an accelerator, what fits its memory)')
  p.add_argument('--device', choices=cost.DEVICES,
                 help='whose speed and memory --list assumes')
  p.add_argument('--devices', type=int, default=1,
                 help='number of devices of a run, for --list')
  p.add_argument('--compile', metavar='TOPOLOGY',
                 help="run nothing: the TPU compiler's memory and FLOPs of "
                 'each run on a topology such as v5e:4x4; no TPU needed')
  p.add_argument('--mesh', default='', metavar='AXIS=N,...',
                 help="with --compile: sizes of the mesh's axes instead of the "
                 "runs' own")
  a = p.parse_args(argv)
  if a.mesh and not a.compile:
    raise BadInput(f'--mesh={a.mesh} without --compile, wanted the key '
                   'runtime.mesh in the runs')
  for name in ('seeds', 'jobs', 'vmap_runs', 'devices'):
    value = getattr(a, name)
    if value is not None and value < 1:
      raise BadInput(f'--{name.replace("_", "-")} is {value}, wanted at least '
                     '1')
  if a.slurm and a.executor != 'slurm':
    raise BadInput(f'--slurm {a.slurm[0]} with --executor={a.executor}, wanted '
                   '--executor=slurm')
  if a.vmap_runs and a.executor == 'slurm':
    raise BadInput('--vmap-runs with --executor=slurm, wanted one or the '
                   'other: a job is one run')
  return a


def _submit(runs: Sequence[sweep.Run], folder: Path, a: Namespace,
            recorded: Collection[str]) -> None:
  """Queues what is left on a cluster."""
  states = prepare(runs, folder, recorded)
  outcomes = slurm.submit(runs, folder, states, a.jobs, a.slurm)
  new = [j for j in outcomes.values() if j not in (*sweep.COMPLETE, 'queued')]
  count = list(outcomes.values()).count
  print(f'{len(new)} jobs queued'
        + (f' ({new[0]} to {new[-1]})' if new else '')
        + f', {count("done")} runs done, {count("recorded")} recorded, '
        f'{count("queued")} in the queue; in {folder}; see --list, and the '
        'same command again for what is left')


def _run_here(module: ModuleType, runs: Sequence[sweep.Run], folder: Path,
              a: Namespace, recorded: Collection[str],
              typed: Sequence[str]) -> None:
  """Runs what is left on this machine; prints what to type next. `typed`: the
  arguments of this command."""
  outcomes = launch(runs, folder, a.jobs, a.vmap_runs, recorded)
  print(f'{counted(outcomes.values())}; in {folder}')
  # Where every run is recorded there may be no folder, which report refuses.
  report_line = sweep.command_line(
      'report', a.experiment, a.scale,
      a.runs_dir if a.runs_dir.is_dir() else sweep.RUNS)
  if set(outcomes.values()) <= set(sweep.COMPLETE):
    part = ' --partial' if a.seeds else ''
    print(f'next: {report_line}{part}')
    return
  print('resume with: ' + shlex.join(['python', '-m', 'physics_lm.launch',
                                      *typed]))
  if 'done' in outcomes.values():
    print(f'records of what is done: {report_line} --partial')
  sys.exit(1 if 'failed' in outcomes.values() else 0)


if __name__ == '__main__':
  main()
