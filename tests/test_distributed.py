"""Two real processes of one job, on this machine."""

import os
import random
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from physics_lm import distributed, run_dir
from physics_lm.errors import BadInput
from physics_lm.evals.records import find
from tests.conftest import ROOT, TINY
from tests.test_resume import wait_for

JOB = {'steps': 24, 'checkpoint.every': 8, 'log.every': 4, 'data.batch_size': 8,
       'optim.warmup_steps': 2, 'runtime.distributed.timeout': 10,
       'evals.extraction.people': 6, 'evals.loss.num_rows': 4}


def start(folder, processes, devices, members=(), **changes):
  """The processes of one job with that many devices in all; of a population
  each member is a folder in `folder`."""
  with socket.socket() as s:
    s.bind(('127.0.0.1', 0))
    port = s.getsockname()[1]
  jobs = []
  for index in range(processes):
    who = {} if processes == 1 else {
        'runtime.distributed.coordinator': f'127.0.0.1:{port}',
        'runtime.distributed.count': processes,
        'runtime.distributed.index': index}
    arguments = []
    for i, member in enumerate(members or [{}]):
      arguments += ['--and'] * (i > 0) + [
          '--config=configs/default.py',
          f'--workdir={folder / str(i) if members else folder}', *(
              f'--config.{k}={v}'
              for k, v in (TINY | JOB | changes | who | member).items())]
    jobs.append(subprocess.Popen(
        [sys.executable, '-m', 'physics_lm.train', *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=os.environ | {'JAX_PLATFORMS': 'cpu',
                          'JAX_NUM_CPU_DEVICES': str(devices // processes)}))
  return jobs


def finish(jobs, codes=(0,)):
  out = [j.communicate(timeout=300)[0] for j in jobs]
  for job, text in zip(jobs, out):
    assert job.returncode in codes, text
  return out


def losses(folder):
  return {r['step']: r['loss'] for r in run_dir.read_rows(
      folder / 'metrics.jsonl') if r['kind'] == 'train'}


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """One process with four devices."""
  folder = tmp_path_factory.mktemp('alone') / 'run'
  finish(start(folder, 1, 4, **{'runtime.mesh.fsdp': 2}))
  return folder


def same(folder, alone):
  got, wanted = losses(folder), losses(alone)
  assert got.keys() == wanted.keys()
  np.testing.assert_allclose(list(got.values()), list(wanted.values()),
                             rtol=2e-5)
  (_, a), (_, b) = (run_dir.results(f) for f in (folder, alone))
  where = {'person_split': 'train', 'text': 'question', 'attribute': 'mean'}
  assert find(a['extraction'], 'accuracy', **where) == find(
      b['extraction'], 'accuracy', **where)
  assert biography_loss(folder) == pytest.approx(biography_loss(alone),
                                                 rel=1e-4)


def biography_loss(folder):
  return find(run_dir.results(folder)[1]['loss'], 'loss', task='bio')['value']


@pytest.mark.cluster
def test_two_processes_train_as_one_does(alone, tmp_path):
  finish(start(tmp_path / 'run', 2, 4, **{'runtime.mesh.fsdp': 2}))
  same(tmp_path / 'run', alone)
  rows = run_dir.read_rows(tmp_path / 'run' / 'metrics.jsonl')
  steps = [r['step'] for r in rows if r['kind'] == 'train']
  assert steps == sorted(set(steps))  # one of them writes
  assert run_dir.is_done(tmp_path / 'run')


@pytest.mark.cluster
def test_sigterm_to_one_stops_both_and_one_process_resumes(alone, tmp_path):
  """Saved by two as data 2 x fsdp 2, restored by one as fsdp 4, and back."""
  folder = tmp_path / 'run'
  jobs = start(folder, 2, 4, **{'runtime.mesh.fsdp': 2, 'log.every': 1})
  wait_for(lambda: run_dir.step_reached(folder) > 2, jobs[0])
  jobs[1].send_signal(signal.SIGTERM)
  out = finish(jobs)
  assert all('stopped by the cluster at step' in text for text in out), out
  assert not run_dir.is_done(folder)
  one, = start(folder, 1, 4, **{'runtime.mesh.fsdp': 4, 'log.every': 1})
  wait_for(lambda: run_dir.step_reached(folder) > 12 or one.poll() == 0, one)
  one.send_signal(signal.SIGTERM)
  text, = finish([one])
  assert 'resuming at step' in text
  finish(start(folder, 2, 4, **{'runtime.mesh.fsdp': 2}))
  assert losses(folder)[24] == pytest.approx(losses(alone)[24], rel=0.2)
  assert biography_loss(folder) == pytest.approx(biography_loss(alone),
                                                 rel=1e-4)


@pytest.mark.cluster
def test_dead_peer_ends_the_job_in_seconds_and_it_resumes(alone, tmp_path):
  folder = tmp_path / 'run'
  jobs = start(folder, 2, 4, **{'runtime.mesh.fsdp': 2})
  wait_for(lambda: any(p.name.isdigit() for p in folder.glob(
      'checkpoints/*')), jobs[0])
  jobs[1].kill()
  jobs[1].wait()
  jobs[0].communicate(timeout=60)  # else it hangs
  if not run_dir.is_done(folder):
    assert jobs[0].returncode != 0
  out = finish(start(folder, 2, 4, **{'runtime.mesh.fsdp': 2}))
  assert 'resuming at step' in out[0] or 'already done' in out[0]
  same(folder, alone)


@pytest.mark.cluster
def test_population_over_two_cpu_processes_is_rejected(tmp_path):
  jobs = start(tmp_path, 2, 4, [{'seed.init': 1}, {'seed.init': 2}])
  out = finish(jobs, (2,))
  assert all('2 runs in one program over 2 processes' in o for o in out), out


@pytest.mark.drill
@pytest.mark.timeout(1200)
def test_job_survives_ten_kills_of_a_peer(tmp_path):
  """kill -9 of one of two processes, at ten random moments; the other ends by
  itself, or is ended. The end is bitwise the undisturbed job's."""
  changes = {'steps': 400, 'checkpoint.every': 4, 'log.every': 20,
             'runtime.mesh.fsdp': 2}
  whole, folder = tmp_path / 'whole', tmp_path / 'run'
  finish(start(whole, 2, 4, **changes))
  seed = random.SystemRandom().randrange(10**6)
  print(f'drill seed {seed}')
  rng, by_itself, reached = random.Random(seed), 0, []
  for kill in range(10):
    jobs = start(folder, 2, 4, **changes)
    before = run_dir.step_reached(folder)
    wait_for(lambda b=before: run_dir.step_reached(folder) > b, jobs[0], 120)
    time.sleep(rng.uniform(0, 1))
    victim, other = rng.sample(jobs, 2)
    assert victim.poll() is None, f'ended before kill {kill + 1}; seed {seed}'
    victim.kill()
    if kill < 3:  # waiting takes the heartbeat's time
      other.communicate(timeout=60)
      by_itself += 1
    other.kill()
    for job in jobs:
      job.communicate()
    reached.append(run_dir.step_reached(folder))
  finish(start(folder, 2, 4, **changes))
  print(f'10 kills of one of two processes, {by_itself} times the other ended '
        f'by itself, at steps {reached}')
  assert losses(folder) == losses(whole)
  (last, a), (other, b) = (run_dir.results(f) for f in (folder, whole))
  timings = {k for k in last if 'time/' in k}
  assert a == b
  assert {k: last[k] for k in last.keys() - timings} == {
      k: other[k] for k in other.keys() - timings}


@pytest.mark.parametrize('changes,message', [
    ({'runtime.distributed.count': 2}, 'all three or none'),
    ({'runtime.distributed.coordinator': 'x:1', 'runtime.distributed.count': 2,
      'runtime.distributed.index': 2}, 'wanted 0 to 1')])
def test_join_job_rejects_bad_input(tiny, changes, message):
  with pytest.raises(BadInput, match=message):
    distributed.join_job(tiny(changes))


def test_join_job_does_nothing_for_one_process(tiny):
  distributed.join_job(tiny({'runtime.distributed.coordinator': 'x:1',
                   'runtime.distributed.count': 1,
                   'runtime.distributed.index': 0}))
