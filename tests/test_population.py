"""Runs in one program: each is what it would be alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from physics_lm import (
  checkpoint,
  launch,
  loader,
  population,
  run_dir,
  sweep,
  train,
  train_step,
)
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from tests.conftest import ROOT, TINY

MEMBERS = [{'seed.init': 1, 'seed.data': 5},
           {'optim.learning_rate': 1e-3, 'optim.weight_decay': 0.5},
           {'seed.world': 3}, {}]


def losses(folder):
  return [(r['step'], r['loss'], r['grad_norm']) for r in
          run_dir.read_rows(folder / 'metrics.jsonl') if r['kind'] == 'train']


def jobs(make, root, members=MEMBERS, base=None):
  return [train.Job(make((base or {}) | m), root / str(i))
          for i, m in enumerate(members)]


def parameters(config, folder):
  trainer = train_step.build(config, load_mixture(config))
  return checkpoint.load_params(folder, trainer.abstract.params)[0]


@pytest.fixture(scope='module')
def lone(tmp_path_factory):
  """The members of MEMBERS, each alone: {dropout: folder of folders}."""
  made = {}

  def get(make, base):
    key = json.dumps(base)
    if key not in made:
      made[key] = tmp_path_factory.mktemp('lone')
      for job in jobs(make, made[key], base=base):
        train.run_all([job])
    return made[key]
  return get


DROPPING = {'model.dropout': 0.1, 'runtime.grad_accum_steps': 2}


@pytest.mark.parametrize('mesh,base', [
    pytest.param((1, 1), {}, marks=pytest.mark.devices),
    pytest.param((2, 4), {}, marks=pytest.mark.devices),
    pytest.param((4, 1), DROPPING, marks=pytest.mark.devices)])
def test_members_equal_lone_runs(tiny, tmp_path, mesh, base, lone):
  alone = lone(tiny, base | {'runtime.mesh.data': 1})
  pop, data = mesh
  together = jobs(tiny, tmp_path, base=base | {
      'runtime.mesh.pop': pop, 'runtime.mesh.data': data})
  train.run_all(together)
  seen = set()
  for i, job in enumerate(together):
    assert run_dir.is_done(job.folder)
    np.testing.assert_allclose(losses(job.folder), losses(alone / str(i)),
                               rtol=2e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3),
                 *(parameters(tiny(base | {'runtime.mesh.data': 1}), f)
                   for f in (job.folder, alone / str(i))))
    (_, a), (_, b) = (run_dir.results(f) for f in (job.folder, alone / str(i)))
    assert a.keys() == b.keys()
    for one, other in zip(a['loss'], b['loss'], strict=True):
      assert one['value'] == pytest.approx(other['value'], rel=1e-3)
    meta = run_dir.read_json(job.folder / 'meta.json')
    assert meta['population'] == 4
    seen.add(losses(job.folder)[-1][1])
  assert len(seen) == 4  # each its own run


@pytest.mark.devices
def test_members_that_share_rows_get_one_batch(one_device, tmp_path):
  rates = [{'optim.learning_rate': r, 'optim.weight_decay': 20 * r,
            'optim.name': 'muon'} for r in (1e-3, 1e-2)]
  together = jobs(one_device, tmp_path / 'all', rates)
  data = load_mixture(together[0].config)
  assert all(load_mixture(j.config) is data for j in together)
  assert train_step.build(together[0].config, data, shared=True, members=[
      j.config for j in together]).batch_dims == (8,)
  train.run_all(together)
  for i, job in enumerate(jobs(one_device, tmp_path / 'lone', rates)):
    train.run_all([job])
    np.testing.assert_allclose(
        losses(job.folder), losses(together[i].folder), rtol=2e-4)


@pytest.mark.devices
def test_member_resumes_alone_and_in_another_population(one_device, tmp_path,
                                                     monkeypatch, capsys):
  """Stopped at step 4 of 6, one member goes on by itself; then the rest and a
  newcomer go on in one command, and all end as if never stopped."""
  whole = jobs(one_device, tmp_path / 'whole')
  train.run_all(whole)
  parts = jobs(one_device, tmp_path / 'parts')
  put, calls = loader.to_devices, []

  def dying(*args):
    calls.append(1)
    if len(calls) > 5:
      raise KeyError('killed')
    return put(*args)

  with monkeypatch.context() as m:
    m.setattr(loader, 'to_devices', dying)
    with pytest.raises(KeyError, match='killed'):
      train.run_all(parts[:3])
  train.run_all(parts[1:2])
  assert run_dir.is_done(parts[1].folder)
  assert not run_dir.is_done(parts[0].folder)
  train.run_all(parts)
  said = capsys.readouterr().out
  assert '2 of 3 runs continue from step 4' in said
  assert '1 of 3 runs continue from step 0' in said
  for a, b in zip(whole, parts):
    assert run_dir.is_done(b.folder)
    np.testing.assert_allclose(losses(a.folder), losses(b.folder), rtol=2e-4)


def test_diverged_member_does_not_stop_the_others(one_device, tmp_path):
  members = [{}, {'optim.learning_rate': 1e30}, {'seed.init': 4}]
  together = jobs(one_device, tmp_path, members, {'optim.grad_clip_norm': 0.0})
  with pytest.raises(BadInput, match='1: loss is not finite at step') as e:
    train.run_all(together)
  assert str(e.value).count('not finite') == 1
  assert [run_dir.is_done(j.folder) for j in together] == [True, False, True]


@pytest.mark.parametrize('members,message', [
    ([{}, {'model.depth': 3}], 'run 2 of 2 differs .*model.depth .2, 3.'),
    ([{}, {'log.every': 3}], 'log.every'),
    ([{}, {'seed.init': 1}, {'worlds.bios.people': 14}], 'run 3 of 3'),
    ([{'teacher.run': 'law'}, {'teacher.run': 'law', 'seed.world': 1}],
     r'seed.world \(0, 1\); .* may differ in seed.init, seed.data, optim'),
])
def test_check_population_rejects_different_runs(
    one_device, tmp_path, members, message):
  with pytest.raises(BadInput, match=message):
    train.run_all(jobs(one_device, tmp_path, members))
  assert not list(tmp_path.iterdir())


def test_train_rejects_one_folder_for_two_runs(one_device, tmp_path):
  job = train.Job(one_device(), tmp_path / 'a')
  with pytest.raises(BadInput, match='one --workdir'):
    train.run_all([job, job])


def make_runs(members):
  return [sweep.Run('configs/default.py', TINY | {'steps': 4} | m,
                    {'n': i}) for i, m in enumerate(members)]


def test_vmappable_with_finds_runs_of_one_shape():
  runs = make_runs([{}, {'seed.init': 1}, {'model.depth': 3},
                    {'seed.data': 2}, {'model.depth': 3, 'seed.init': 1}])
  child = sweep.Run('configs/default.py', TINY | {'steps': 4}, {}, runs[0])
  others = [*runs, child]
  assert launch.vmappable_with(runs[0], others, 9) == [
      runs[0], runs[1], runs[3]]
  assert launch.vmappable_with(runs[0], others, 2) == [runs[0], runs[1]]
  assert launch.vmappable_with(runs[2], others, 9) == [runs[2], runs[4]]
  assert launch.vmappable_with(runs[0], others, 1) == [runs[0]]
  assert population.population_key(child.config) != (
      population.population_key(runs[0].config))


def test_launch_limits_population_sizes():
  run, = make_runs([{}])
  assert launch.limit(run, False, None) == 1
  assert launch.limit(run, False, 5) == 5
  assert launch.limit(run, True, None) == launch.MAX_VMAPPED_RUNS  # tiny ones
  own, = make_runs([{'runtime.max_vmapped_runs': 3}])
  assert launch.limit(own, True, None) == 3
  assert launch.limit(own, True, 2) == 2
  big = sweep.Run('configs/default.py', {
      'model.width': 2048, 'model.depth': 24, 'model.heads': 32}, {})
  assert launch.limit(big, True, None) == 1


@pytest.mark.drill
def test_launch_resumes_populations_after_a_kill(tmp_path):
  """kill -9 of a population: the launcher tries half as many, which resume;
  every run ends done."""
  runs = make_runs([{'seed.init': i, 'steps': 300, 'checkpoint.every': 20,
                     'log.every': 20} for i in range(4)]
                   + [{'model.depth': 1}])
  code = ('import sys, json; from physics_lm import launch; '
          'from tests.test_population import make_runs; '
          'from pathlib import Path; runs = make_runs(json.loads(sys.argv[1]))'
          '; print(launch.launch(runs, Path(sys.argv[2]), 1, 8))')
  members = [r.overrides for r in runs]
  process = subprocess.Popen(
      [sys.executable, '-c', code, json.dumps(members), str(tmp_path)],
      cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {
          'PYTHONPATH': str(ROOT)})
  folders = [tmp_path / r.id for r in runs]
  end = time.time() + 200
  while time.time() < end and run_dir.step_reached(folders[0]) < 60:
    time.sleep(0.05)
  trainer, = Path(f'/proc/{process.pid}/task/{process.pid}/children'
                  ).read_text().split()
  os.kill(int(trainer), signal.SIGKILL)
  out, _ = process.communicate(timeout=200)
  assert '4 runs in one program' in out and 'trying 2 at a time' in out
  assert out.count('2 runs in one program') == 2
  assert all(run_dir.is_done(f) for f in folders)
  assert 'resuming at step' in ''.join(
      (f / 'log.txt').read_text() for f in folders)
  assert run_dir.read_json(folders[4] / 'meta.json')['population'] == 1


@pytest.mark.devices
def test_failure_of_one_group_does_not_stop_the_others(one_device, tmp_path):
  """A member that diverges again after a stop, at a step of its own."""
  members = [{'optim.learning_rate': 1e30}, {}, {'seed.init': 4}]
  bad, *good = jobs(one_device, tmp_path, members,
                    {'optim.grad_clip_norm': 0.0})
  with pytest.raises(BadInput, match='not finite'):
    train.run_all([bad])
  for job in good:  # these are at step 0, the bad one has its own
    assert not run_dir.is_done(job.folder)
  saved = checkpoint.Checkpoints(bad.folder)
  saved.close()
  with pytest.raises(BadInput, match='not finite') as e:
    train.run_all([bad, *good])
  assert str(e.value).count('not finite') == 1
  assert all(run_dir.is_done(j.folder) for j in good)


def test_population_key_requires_shared_streams():
  base = {'data.source': 'seqio:a'}
  one, other, same = (sweep.Run('configs/default.py', base | c, {}) for c in (
      {'seed.data': 0}, {'seed.data': 1}, {'optim.learning_rate': 1e-3}))
  assert launch.vmappable_with(one, [one, other, same], 9) == [one, same]


def test_population_key_requires_one_world_where_its_law_teaches():
  one, other, same = make_runs([{'teacher.run': 'law'} | c for c in (
      {}, {'seed.world': 1}, {'seed.init': 1})])
  assert launch.vmappable_with(one, [one, other, same], 9) == [one, same]
