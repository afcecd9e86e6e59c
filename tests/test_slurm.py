"""Runs of a sweep as jobs of Slurm, against programs in its place."""

import contextlib
from types import SimpleNamespace

import pytest

from physics_lm import launch, slurm
from physics_lm.errors import BadInput
from tests.test_launch import family, finish, run, state_in_list


class Queue:
  """In place of submitit's executor: numbers jobs, notes what they wait for.
  """

  def __init__(self):
    self.jobs, self._after, self._array = [], None, None

  @contextlib.contextmanager
  def batch(self):
    self._array = len(self.jobs)
    yield
    self._array = None

  def update_parameters(self, dependency):
    self._after = dependency

  def submit(self, job):
    self.jobs.append((job.folder.rpartition('/')[2], self._array, self._after))
    return SimpleNamespace(job_id=str(len(self.jobs)))


def test_submit_queues_what_is_left_and_children_after_parents(
    tmp_path, monkeypatch):
  queue, at = Queue(), tmp_path / 'sweep'
  monkeypatch.setattr(slurm, '_executor', lambda *_: queue)
  parent, one, two, alone = family()
  done, recorded = run({'n': 'done'}, steps=7), run({'n': 'kept'}, steps=8)
  finish(at, done)
  runs = [one, two, alone, done, recorded]
  states = launch.prepare(runs, at, {recorded.id})
  out = slurm.submit(runs, at, states, None, ())
  assert queue.jobs == [(parent.id, 0, None), (alone.id, 0, None),
                        (one.id, None, 'afterok:1'),
                        (two.id, None, 'afterok:1')]
  assert out == {parent.id: '1', one.id: '3', two.id: '4', alone.id: '2',
                 done.id: 'done', recorded.id: 'recorded'}
  # Those in the queue are not queued again.
  monkeypatch.setattr(slurm, 'queue_states', lambda *_: {
      parent.id: 'RUNNING', one.id: 'PENDING'})
  del queue.jobs[:]
  finish(at, alone)
  states = launch.prepare(runs, at, {recorded.id})
  out = slurm.submit(runs, at, states, None, ())
  assert queue.jobs == [(two.id, None, 'afterok:1')]
  assert [out[r.id] for r in (parent, one, alone)] == [
      'queued', 'queued', 'done']


def program(folder, name, script):
  """A shell script in the place of a program of Slurm."""
  file = folder / name
  file.write_text(f'#!/bin/sh\n{script}\n')
  file.chmod(0o755)


def test_submit_needs_the_queue_and_list_does_not(tmp_path, monkeypatch):
  """Without it every run would be queued a second time."""
  queue, at = Queue(), tmp_path / 'sweep'
  monkeypatch.setattr(slurm, '_executor', lambda *_: queue)
  monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
  program(tmp_path, 'squeue', 'echo no answer >&2; exit 1')
  alone = run({'n': 'alone'})
  states = launch.prepare([alone], at)
  slurm.submit([alone], at, states, None, ())  # nothing was queued before
  with pytest.raises(BadInput, match=r'squeue failed \(no answer\)'):
    slurm.submit([alone], at, states, None, ())
  assert len(queue.jobs) == 1 and state_in_list(alone, at) == 'new'


def test_submit_replaces_a_job_that_waits_for_one_that_failed(
    tmp_path, monkeypatch):
  queues, at = [Queue(), Queue()], tmp_path / 'sweep'
  monkeypatch.setattr(slurm, '_executor', lambda *_: queues[-1])
  monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
  parent, one, two, alone = family()
  runs = [one, two, alone]
  states = launch.prepare(runs, at)
  slurm.submit(runs, at, states, None, ())
  jobs = queues.pop().jobs
  program(tmp_path, 'squeue', 'echo 2 RUNNING; echo 3 PENDING')  # not 1, 4
  program(tmp_path, 'scancel', f'echo "$@" >> {tmp_path}/cancelled')
  out = slurm.submit(runs, at, states, None, ())
  assert (tmp_path / 'cancelled').read_text() == '3\n'
  assert [j[0] for j in jobs] == [parent.id, alone.id, one.id, two.id]
  assert queues[0].jobs == [(parent.id, None, None),
                            (one.id, None, 'afterok:1'),
                            (two.id, None, 'afterok:1')]
  assert out[alone.id] == 'queued' and out[one.id] == '2'


def test_what_sbatch_refuses_is_one_line(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
  program(tmp_path, 'srun', '')
  program(tmp_path, 'sbatch', f'cat "$1" >> {tmp_path}/job\n'
                              'echo "invalid partition: nope" >&2; exit 1')
  _, child, _, alone = family()
  for runs in [alone], [child, alone]:
    with pytest.raises(BadInput, match=r'refused a job .*partition: nope'):
      slurm.submit(runs, tmp_path, launch.prepare(runs, tmp_path), None,
                   ['partition=nope'])
  assert capsys.readouterr().err == ''
  # A job whose parent fails does not wait for ever.
  assert '--kill-on-invalid-dep=yes' in (tmp_path / 'job').read_text()
