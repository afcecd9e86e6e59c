"""Jobs on the real Slurm that tests/cluster/start.sh starts."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from physics_lm import run_dir, sweep
from tests.conftest import ROOT, TINY

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

EXPERIMENT = '''
from physics_lm import sweep
SMALL = {small!r}
def runs(scale):
  one = [sweep.Run('configs/default.py', SMALL | {{'seed.init': i}},
                   {{'seed': i}}) for i in range(2)]
  child = sweep.Run('configs/default.py', SMALL | {{'steps': 6}},
                    {{'seed': 'child'}}, one[0])
  return {picked}
def table(records): ...
def summary(df): ...
def figure(df): ...
CLAIMS = ()
'''
SMALL = {k: v for k, v in TINY.items() if k != 'steps'} | {
    'steps': 8, 'evals.extraction.people': 2, 'evals.loss.num_rows': 2,
    'checkpoint.every': 4, 'log.every': 1}


@pytest.fixture
def experiment(tmp_path):
  assert shutil.which('sbatch'), 'no Slurm: run tests/cluster/start.sh'

  def make(picked='[*one, child]', **changes):
    path = tmp_path / 'tiny.py'
    path.write_text(EXPERIMENT.format(small=SMALL | changes, picked=picked))
    return path, tmp_path / 'runs', sweep.experiment(str(path)).runs('smoke')

  return make


def launch(path, folder, *flags):
  return subprocess.run(
      [sys.executable, '-m', 'physics_lm.launch', str(path), '--scale=smoke',
       f'--runs-dir={folder}', *flags], capture_output=True, text=True,
      cwd=ROOT, timeout=120, env={'JAX_PLATFORMS': 'cpu'} | {
          k: v for k, v in os.environ.items()
          if not k.startswith('SLURM') and k != 'JAX_PLATFORMS'})


def wait(condition, folder, seconds=300):
  until = time.time() + seconds
  while not condition():
    if time.time() > until:
      logs = '\n'.join(p.read_text()[-2000:]
                       for p in folder.rglob('.slurm/*_log.*'))
      queue = subprocess.run(['squeue'], capture_output=True, text=True).stdout
      pytest.fail(f'not within {seconds} s\n{queue}\n{logs}')
    time.sleep(1)


def test_an_array_and_a_child_run_to_done(experiment):
  path, folder, runs = experiment()
  at = folder / 'tiny'
  done = launch(path, folder, '--executor=slurm', '--slurm=time=10')
  assert done.returncode == 0 and '3 jobs queued' in done.stdout, done
  shown = launch(path, folder, '--list').stdout
  assert any(word in shown for word in ('pending', 'running')), shown
  again = launch(path, folder, '--executor=slurm')
  assert '0 jobs queued' in again.stdout, again.stdout
  wait(lambda: all(run_dir.is_done(at / r.id) for r in runs), folder)
  jobs = [run_dir.read_json(at / r.id / 'slurm.json')['job'] for r in runs]
  assert [j.partition('_')[2] for j in jobs] == ['0', '1', '']  # an array
  last = launch(path, folder, '--executor=slurm').stdout
  assert '0 jobs queued, 3 runs done' in last
  assert run_dir.read_json(at / runs[2].id / 'done')['steps'] == 6


def test_a_run_of_two_tasks_is_one_job_of_two_processes(experiment):
  path, folder, runs = experiment('one[:1]', **{'data.batch_size': 8})
  at = folder / 'tiny' / runs[0].id
  done = launch(path, folder, '--executor=slurm',
                '--slurm=ntasks_per_node=2')
  assert done.returncode == 0, done.stderr
  wait(lambda: run_dir.is_done(at), folder)
  assert run_dir.read_json(at / 'meta.json')['devices'] == 2


def test_a_preempted_job_saves_is_queued_again_and_resumes(experiment):
  path, folder, runs = experiment(
      'one[:1]', steps=4000, **{'checkpoint.every': 100_000, 'log.every': 20})
  at = folder / 'tiny' / runs[0].id
  launch(path, folder, '--executor=slurm')
  wait(lambda: run_dir.step_reached(at) > 100, folder)
  job = run_dir.read_json(at / 'slurm.json')['job']
  # What Slurm sends before it takes a job away for another, or for its time.
  subprocess.run(['scancel', '--signal=USR2', job], check=True)
  wait(lambda: any(p.name.isdigit() for p in at.glob('checkpoints/*')),
       folder, 60)
  wait(lambda: run_dir.is_done(at), folder, 400)  # Slurm waits two minutes
  logs = ''.join(p.read_text() for p in folder.rglob('.slurm/*.out'))
  assert 'stopped by SIGTERM at step' in logs and 'resuming at step' in logs


@pytest.mark.parametrize('flags,message', [
    (['--executor=slurm', '--slurm=wrong=1'], 'wanted KEY=VALUE with KEY'),
    (['--slurm=time=1'], 'wanted --executor=slurm')])
def test_bad_input(experiment, flags, message):
  path, folder, _ = experiment()
  done = launch(path, folder, *flags)
  assert done.returncode == 2 and message in done.stderr
  assert done.stderr.count('\n') == 1
