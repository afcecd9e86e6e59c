"""Runs every run of an experiment, on the cores of this machine. No JAX.

  python -m physics_lm.launch experiments/knowledge_extraction.py --scale=cpu
      [--list] [--jobs=N] [--population=N] [--runs=DIR] [--device=NAME]
      [--devices=N]
      [--executor=slurm --slurm=partition=gpu --slurm=time=60]

Skips what is done, resumes what was stopped, leaves alone what another
launcher holds, tries a crashed run once more. On a CPU the default is one run
a core, each pinned to its own: two such runs do 1.5 times the work of one run
on two cores. On an accelerator, runs of one shape train together in one
program (a population).
"""

import argparse
import contextlib
import ctypes
import itertools
import os
import shlex
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

from physics_lm import cli, cost, population, slurm, store, sweep
from physics_lm.errors import BadInput, command

MOST = 64  # runs of one program: one thread makes the rows of all
BUSY = 3  # exit status of a trainer whose folder another process holds
_LIBC = ctypes.CDLL(None) if sys.platform == 'linux' else None
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def environment(cores: set[int] | None) -> dict[str, str]:
  """Of a trainer's process."""
  env = dict(os.environ)
  if cores is not None:
    env.setdefault('JAX_PLATFORMS', 'cpu')
  path = [str(sweep.ROOT), env.get('PYTHONPATH', '')]
  env['PYTHONPATH'] = os.pathsep.join(p for p in path if p)
  return env


class Worker:
  """A trainer's process, of one run or of a population, on cores of its own
  when there are some to pin to."""

  def __init__(self, runs: list[sweep.Run], folder: Path,
               cores: set[int] | None):
    self.runs, self.cores = runs, cores
    self.folders = [folder / r.id for r in runs]
    self._asked = False
    arguments = [sys.executable, '-m', 'physics_lm.train']
    for run, at in zip(runs, self.folders):
      at.mkdir(parents=True, exist_ok=True)
      arguments += ['--and'] * (run is not runs[0]) + [
          *run.arguments(), f'--workdir={at.absolute()}']
    for at in self.folders[1:]:
      with (at / 'log.txt').open('a', encoding='utf-8') as f:
        f.write(f'in a population of {len(runs)}: see '
                f'../{runs[0].id}/log.txt\n')
    self._log = (self.folders[0] / 'log.txt').open('a', encoding='utf-8')
    self._log.write('$ ' + shlex.join(arguments) + '\n')
    self._log.flush()
    # A group of its own: Ctrl-C reaches the launcher, which then asks.
    self.process = subprocess.Popen(
        arguments, cwd=sweep.ROOT, env=environment(cores), stdout=self._log,
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        preexec_fn=lambda: _begin(cores), start_new_session=True)

  @property
  def label(self) -> str:
    return label(self.runs[0]) if len(self.runs) == 1 else (
        f'{len(self.runs)} runs ({label(self.runs[0])} ...)')

  def reached(self) -> int:
    return min(map(store.step_reached, self.folders))

  def ask_to_stop(self):
    """Once: a trainer takes a second SIGTERM as an order to die."""
    if not self._asked and self.process.poll() is None:
      self.process.send_signal(signal.SIGTERM)
      self._asked = True

  def ended(self) -> int | None:
    status = self.process.poll()
    if status is not None:
      self._log.close()
    return status

  def last_words(self) -> str:
    lines = (self.folders[0] / 'log.txt').read_text(
        errors='replace').splitlines()
    return lines[-1][:300] if lines else ''


def _begin(cores: set[int] | None):
  """In a trainer's process, before its program: should the launcher die, it
  saves and stops, rather than train on for nobody."""
  if _LIBC is not None:
    _LIBC.prctl(_DEATH_SIGNAL, signal.SIGTERM)
  if cores is not None:
    os.sched_setaffinity(0, cores)


class Board:
  """One bar for each run in hand and one for all; plain lines elsewhere."""

  def __init__(self, runs, folder: Path):
    self.steps = {r.id: r.config.steps for r in runs}
    self.folder, self._bars = folder, {}
    self._terminal = sys.stderr.isatty()
    self._all = cli.Progress(sum(self.steps.values()), self._reached(),
                             'all runs', 'step')

  def _reached(self) -> int:
    return sum(n if store.is_done(self.folder / r)
               else min(store.step_reached(self.folder / r), n)
               for r, n in self.steps.items())

  def show(self, workers, done: int, failed: int):
    now = {w.runs[0].id: w for w in workers}
    if self._terminal:
      for gone in self._bars.keys() - now.keys():
        self._bars.pop(gone).close()
      for i, (run_id, w) in enumerate(now.items()):
        if run_id not in self._bars:
          from tqdm import tqdm
          self._bars[run_id] = tqdm(
              total=self.steps[run_id], position=i + 1, leave=False,
              desc=w.label, unit='step', dynamic_ncols=True)
        bar = self._bars[run_id]
        bar.update(w.reached() - bar.n)
    note = f'{done}/{len(self.steps)} runs done'
    note += f', {failed} failed' if failed else ''
    now_at = ', '.join(f'{w.label} {w.reached()}'
                       f'/{self.steps[w.runs[0].id]}' for w in workers)
    self._all.update(self._reached(),
                     note if self._terminal else f'{note}; now {now_at}')

  def say(self, text: str):
    if self._terminal:
      from tqdm import tqdm
      tqdm.write(text)
    else:
      print(text, flush=True)

  def close(self):
    for bar in self._bars.values():
      bar.close()
    self._all.close()


def label(run: sweep.Run) -> str:
  return ' '.join(map(str, run.tags.values())) or run.id


def shares(jobs: int | None) -> list[set[int] | None]:
  """The cores of each worker. With an accelerator: one worker, unpinned; else
  one a core, or as many as jobs says, with equal shares of the cores."""
  mine = sorted(os.sched_getaffinity(0))
  if on_accelerator():
    return [None] * (jobs or 1)
  jobs = jobs or len(mine)
  each = len(mine) // jobs
  if not each:
    return [None] * jobs
  return [set(mine[i * each:(i + 1) * each]) for i in range(jobs)]


def on_accelerator() -> bool:
  """Whether JAX would find and take one: a device and the plugin for it."""
  if os.environ.get('JAX_PLATFORMS') == 'cpu':
    return False
  names = {(d.metadata['Name'] or '').lower() for d in metadata.distributions()}
  cuda = any(n.startswith('jax-cuda') and n.endswith('plugin') for n in names)
  return (Path('/dev/nvidia0').exists() and cuda) or (
      Path('/dev/accel0').exists() and 'libtpu' in names)


def limit(run: sweep.Run, accelerated: bool, asked: int | None) -> int:
  """How many runs like this one may train in one program: as asked, as its
  config says, else one on a CPU, which gains nothing from more, and as many as
  80 % of the smallest accelerator's memory holds elsewhere, at most MOST."""
  asked = run.config.runtime.population if asked is None else asked
  if asked is not None or not accelerated:
    return asked or 1
  room = 0.8 * min(d.memory for k, d in cost.DEVICES.items() if k != 'cpu')
  fit = int(room / cost.cost(run, 'h200')['bytes'])
  return min(max(fit, 1), MOST)


def peers(run: sweep.Run, others, most: int) -> list[sweep.Run]:
  """`run` and those of the others that can join its population."""
  if most < 2:
    return [run]
  key = population.key(run.config)
  return [run, *itertools.islice(
      (o for o in others if o is not run
       and population.key(o.config) == key), most - 1)]


def borrow(runs: list[sweep.Run], folder: Path):
  """Links, in place of training it again, each of the runs that another
  experiment, beside this one's folder, has finished."""
  for run in runs:
    at = folder / run.id
    if at.is_symlink() and not at.exists():  # whose it was has deleted it
      at.unlink()
    done = [p for p in sorted(folder.parent.glob(f'*/{run.id}'))
            if store.is_done(p) and not p.is_symlink()]
    if done and not at.exists():
      folder.mkdir(parents=True, exist_ok=True)
      with contextlib.suppress(FileExistsError):  # another launcher's link
        at.symlink_to(os.path.relpath(done[0], folder))
      print(f'{label(run)} is there already: {done[0]}')


def parents_and(asked: list[sweep.Run], folder: Path) -> list[sweep.Run]:
  """The runs and those they start from, in order; of the latter what other
  experiments have done is borrowed. What a report reads was asked this
  experiment's questions; what is only started from may be anybody's."""
  runs, own = sweep.ordered(asked), {r.id for r in asked}
  borrow([r for r in runs if r.id not in own], folder)
  return runs


def launch(runs: list[sweep.Run], folder: Path, jobs: int | None = None,
           together: int | None = None) -> dict[str, str]:
  """Brings every run to done; {run id: 'done', 'failed', 'blocked' or
  'stopped'}. Blocked: the run it starts from failed. `together`: the most
  runs of one program."""
  finished, runs = sweep.finished(runs, folder), parents_and(runs, folder)
  ends = {r.id: 'done' for r in runs if finished(r)}
  waiting = [r for r in runs if r.id not in ends]
  print(f'{len(runs)} runs, {len(ends)} done already; in {folder}', flush=True)
  free, workers, tries, held, most = shares(jobs), [], {}, {}, {}
  accelerated = on_accelerator()
  board = Board(runs, folder)
  with contextlib.closing(board), cli.Stop(
      'the trainers save and stop') as stop:
    while waiting or workers:
      ready = []
      for run in list(waiting):
        parent = run.parent and ends.get(run.parent.id)
        if parent in ('failed', 'blocked'):
          ends[run.id] = 'blocked'
          waiting.remove(run)
        elif stop.asked or parent == 'stopped':
          ends[run.id] = 'stopped'
          waiting.remove(run)
        elif finished(run):  # by another launcher
          ends[run.id] = 'done'
          waiting.remove(run)
        elif free and (run.parent is None or parent == 'done') and (
            held.get(run.id, 0) < time.time()):
          if store.state(folder / run.id) == 'running':
            held[run.id] = time.time() + 5  # another launcher's; look again
            continue
          ready.append(run)
      while free and ready:
        run = ready[0]
        if run.id not in most:
          most[run.id] = limit(run, accelerated, together)
        group = peers(run, ready, most[run.id])
        if len(group) > 1:
          board.say(f'{len(group)} runs in one program: '
                    + ', '.join(label(r) for r in group))
        for r in group:
          ready.remove(r)
          waiting.remove(r)
          most[r.id] = most[run.id]
        workers.append(Worker(group, folder, free.pop(0)))
      if stop.asked:
        for w in workers:
          w.ask_to_stop()
      for w in list(workers):
        status = w.ended()
        if status is None:
          continue
        workers.remove(w)
        free.append(w.cores)
        left = [r for r in w.runs if not finished(r)]
        ends |= {r.id: 'done' for r in w.runs if r not in left}
        if not left:
          continue
        if stop.asked or status == 0:
          ends |= {r.id: 'stopped' for r in left}
        elif status == BUSY:
          waiting += left
          held |= {r.id: time.time() + 5 for r in left}
        elif len(w.runs) > 1:
          # Perhaps too many for the memory: fewer at a time. Perhaps one that
          # cannot be: each alone will tell.
          fewer = 1 if status == 2 else (len(w.runs) + 1) // 2
          most |= {r.id: fewer for r in left}
          waiting[:0] = left
          board.say(f'{w.label} ended with exit {status}, trying {fewer} at a '
                    f'time: {w.last_words()}')
        elif status != 2 and not tries.get(left[0].id):
          tries[left[0].id] = 1
          waiting[:0] = left
          board.say(f'{w.label} crashed (exit {status}), trying once '
                    f'more: {w.last_words()}')
        else:
          ends |= {r.id: 'failed' for r in left}
          board.say(f'{w.label} failed (exit {status}): {w.last_words()}; '
                    f'all of it in {w.folders[0] / "log.txt"}')
      done = sum(e == 'done' for e in ends.values())
      board.show(workers, done, sum(e == 'failed' for e in ends.values()))
      time.sleep(0.3)
  return ends


def line(program: str, experiment: str, scale: str, runs: Path) -> str:
  """A command to type."""
  elsewhere = [] if runs == sweep.ROOT / 'runs' else [f'--runs={runs}']
  return shlex.join(['python', '-m', f'physics_lm.{program}', experiment,
                     f'--scale={scale}', *elsewhere])


def common_flags(p: argparse.ArgumentParser, nargs=None):
  p.add_argument('experiment', nargs=nargs, help='an experiments/*.py file')
  p.add_argument('--scale', default='cpu', help='smoke, cpu, gpu or paper')
  p.add_argument('--runs', default=str(sweep.ROOT / 'runs'), type=Path,
                 help='where run folders lie (default: runs/)')


@command
def main(argv=None):
  """The command line."""
  p = cli.parser('physics_lm.launch', __doc__)
  common_flags(p)
  p.add_argument('--list', action='store_true',
                 help='show the runs and their cost, run nothing')
  p.add_argument('--executor', default='local', choices=('local', 'slurm'),
                 help="where runs run: this machine, or a cluster's jobs")
  p.add_argument('--slurm', action='append', default=[], metavar='KEY=VALUE',
                 help='of sbatch: partition, time (minutes), nodes, ...')
  p.add_argument('--jobs', type=int, help='runs at a time')
  p.add_argument('--population', type=int, metavar='N',
                 help='at most N runs of one shape in one program (default: 1 '
                 'on a CPU, as many as fit on an accelerator)')
  p.add_argument('--device', choices=cost.DEVICES,
                 help='whose speed and memory --list assumes')
  p.add_argument('--devices', type=int, default=1,
                 help='how many of them a run has, for --list')
  a = p.parse_args(argv)
  if a.jobs is not None and a.jobs < 1:
    raise BadInput(f'--jobs is {a.jobs}, wanted at least 1')
  if a.population is not None and a.population < 1:
    raise BadInput(f'--population is {a.population}, wanted at least 1')
  if a.devices < 1:
    raise BadInput(f'--devices is {a.devices}, wanted at least 1')
  module = sweep.experiment(a.experiment)
  asked, folder = module.runs(a.scale), a.runs / module.name
  if a.list:
    device = a.device or {'gpu': 'h200', 'paper': 'h200'}.get(a.scale, 'cpu')
    print(cost.table(asked, folder, device, a.devices))
    return
  if a.slurm and a.executor != 'slurm':
    raise BadInput(f'--slurm {a.slurm[0]} with --executor={a.executor}, wanted '
                   '--executor=slurm')
  if a.population and a.executor == 'slurm':
    raise BadInput('--population with --executor=slurm, wanted one or the '
                   'other: a job is one run')
  if a.executor == 'slurm':
    parents_and(asked, folder)
    ends = slurm.submit(asked, folder, a.jobs, a.slurm)
    new = [j for j in ends.values() if j not in ('done', 'queued')]
    print(f'{len(new)} jobs queued'
          + (f' ({new[0]} to {new[-1]})' if new else '')
          + f', {list(ends.values()).count("done")} runs done, '
          f'{list(ends.values()).count("queued")} in the queue; in {folder}; '
          'see --list, and the same command again for what is left')
    return
  ends = launch(asked, folder, a.jobs, a.population)
  count = {e: list(ends.values()).count(e) for e in dict.fromkeys(
      ends.values())}
  print(', '.join(f'{n} {e}' for e, n in count.items()) + f'; in {folder}')
  if count.get('done') == len(ends):
    print('next: ' + line('report', a.experiment, a.scale, a.runs))
  else:
    given = sys.argv[1:] if argv is None else argv
    print('to go on: ' + shlex.join(['python', '-m', 'physics_lm.launch',
                                     *given]))
    sys.exit(1 if count.get('failed') else 0)


if __name__ == '__main__':
  main()
