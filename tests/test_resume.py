"""What a run must survive. The end is bitwise that of an undisturbed run."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from physics_lm import (
  checkpoint,
  loader,
  loss_band,
  restore,
  run_dir,
  train,
  train_step,
)
from physics_lm.config import override
from physics_lm.errors import BadInput, disk_errors
from physics_lm.evals import registry
from physics_lm.evals.__main__ import main as evaluate
from physics_lm.mixture import load_mixture
from tests.conftest import ROOT, TINY

MORE = {'runtime.mesh.data': 1, 'steps': 12, 'checkpoint.every': 3,
        'evals.loss.every': 4, 'optim.name': 'muon',  # and AdamW for the rest
        'evals.mean.kind': 'loss', 'evals.mean.num_rows': 4,
        'evals.mean.average': 3, 'data.tasks.qa.since': 4}  # a window opens


def final(folder, config, devices=None):
  """(all arrays of the last checkpoint, the metrics less their times)."""
  trainer = train_step.build(config, load_mixture(config), devices)
  saved = checkpoint.Checkpoints(folder)
  params, (step, opt), meta = saved.restore(
      trainer.abstract.params, (trainer.abstract.step, trainer.abstract.opt))
  saved.close()
  timeless = [{k: v for k, v in r.items() if not k.startswith('time/')}
              for r in run_dir.read_rows(folder / 'metrics.jsonl')]
  del meta['seconds']
  return [np.asarray(x) for x in jax.tree.leaves((params, step, opt))], (
      timeless, meta)


def assert_same_end(a, b, config):
  (x, (rows_a, meta_a)), (y, (rows_b, meta_b)) = (
      final(a, config), final(b, config))
  for p, q in zip(x, y, strict=True):
    np.testing.assert_array_equal(p, q)
  assert meta_a == meta_b
  for p, q in zip(rows_a, rows_b, strict=True):
    differs = {k: (p.get(k), q.get(k)) for k in p.keys() | q.keys()
               if p.get(k) != q.get(k)}
    assert not differs, (p['kind'], p['step'], differs)


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  from physics_lm.configs import default

  folder = tmp_path_factory.mktemp('whole') / 'run'
  band = folder.with_name('band.json')  # outside from the start: one warning
  loss_band.write_band(band, [1, 1e9], [0, 0], [1e-3, 1e-3], 'nothing')
  config = override(default.get_config(), TINY | MORE | {
      'log.loss_band': str(band)})
  train.run(config, folder)
  return config, folder


def interrupted(config, folder, at, monkeypatch):
  """Trains until step `at` begins, then raises."""
  put = loader.to_devices
  calls = [0]

  def dying(*args):
    calls[0] += 1
    if calls[0] > at:
      raise KeyError('killed')
    return put(*args)

  with monkeypatch.context() as m:
    m.setattr(loader, 'to_devices', dying)
    with pytest.raises(KeyError, match='killed'):
      train.run(config, folder)


@pytest.mark.parametrize('at', [1, 6, 11])  # none, one, three are saved
def test_resume_is_bitwise(undisturbed, tmp_path, monkeypatch, at):
  config, whole = undisturbed
  interrupted(config, tmp_path / 'run', at, monkeypatch)
  assert not run_dir.is_done(tmp_path / 'run')
  train.run(config, tmp_path / 'run')
  assert_same_end(whole, tmp_path / 'run', config)


@pytest.fixture(scope='module')
def cut_at_8(undisturbed, tmp_path_factory):
  """A function: folder -> a copy of a run that was killed at step 8 of 12, with
  checkpoints of steps 3 and 6."""
  killed = tmp_path_factory.mktemp('killed') / 'run'
  with pytest.MonkeyPatch.context() as monkeypatch:
    interrupted(undisturbed[0], killed, 8, monkeypatch)
  return lambda folder: shutil.copytree(killed, folder)


def test_mean_of_the_last_checkpoints_is_evaluated(
    undisturbed, tmp_path, capsys):
  """Of steps 6, 9 and 12, also by the command line, as long as all are there;
  the tests above compare its rows after a resume."""
  config, whole = undisturbed
  folder = shutil.copytree(whole, tmp_path / 'run')
  run = restore.load_run(folder)
  with checkpoint._opened(folder.absolute() / 'checkpoints') as manager:
    assert sorted(manager.all_steps()) == [6, 9, 12]
    trees = [checkpoint._read(manager, s, params=restore.abstract_params(
        run.cfg)).params for s in (6, 9, 12)]
  mean = jax.tree.map(lambda *x: sum(map(np.asarray, x)) / 3, *trees)
  evaluator = registry.build(config, run.data, folder)['mean']
  wanted = evaluator(mean).rows[0]['value']
  stored = run_dir.read_evaluation(folder / 'evals/mean/12.json')
  last = run_dir.read_evaluation(folder / 'evals/loss/12.json')
  assert stored[0]['value'] == pytest.approx(wanted, rel=1e-5)
  assert abs(last[0]['value'] - wanted) > 1e-3
  (folder / 'evals/mean/12.json').unlink()
  evaluate([str(folder), '--eval=mean'])
  again = run_dir.read_evaluation(folder / 'evals/mean/12.json')
  assert again[0]['value'] == pytest.approx(wanted, rel=1e-5)
  shutil.rmtree(folder / 'checkpoints' / '9')
  with pytest.raises(SystemExit):
    evaluate([str(folder), '--eval=mean'])
  assert 'no checkpoints of steps [9]' in capsys.readouterr().err


@pytest.mark.parametrize('changes,message', [
    ({'evals.mean.every': 3}, 'average is 3, wanted 1 with evals.mean.every'),
    ({'evals.mean.average': 5}, 'average is 5 of a run with 4 checkpoints')])
def test_impossible_means_of_checkpoints_are_refused(
    undisturbed, changes, message):
  with pytest.raises(BadInput, match=message):
    registry.check_evals(override(undisturbed[0], changes))


def test_restore_falls_back_when_the_newest_is_truncated(
    undisturbed, cut_at_8, tmp_path, capfd):
  config, whole = undisturbed
  folder = cut_at_8(tmp_path / 'run')
  newest = folder / 'checkpoints' / '6'
  for path in newest.rglob('*'):
    if path.is_file() and path.stat().st_size > 100:
      with path.open('r+b') as f:
        f.truncate(path.stat().st_size // 2)
  capfd.readouterr()
  train.run(config, folder)
  said = capfd.readouterr().out
  assert 'checkpoint of step 6 cannot be read' in said
  assert 'resuming at step 3' in said
  assert_same_end(whole, folder, config)


def test_restore_falls_back_when_the_newest_has_no_metadata(
    undisturbed, cut_at_8, tmp_path, capfd):
  """JSON, but no object: orbax then opens none of the steps."""
  config, whole = undisturbed
  folder = cut_at_8(tmp_path / 'run')
  path = folder / 'checkpoints' / '6' / '_CHECKPOINT_METADATA'
  assert path.exists()
  path.write_text('[]')
  with pytest.raises(BadInput, match='are damaged'):
    checkpoint.load_params(folder, {})
  train.run(config, folder)
  assert 'resuming at step 3' in capfd.readouterr().out
  assert (folder / 'checkpoints_unreadable' / '6').exists()
  assert_same_end(whole, folder, config)
  for path in folder.glob('checkpoints/*/_CHECKPOINT_METADATA'):
    path.write_text('[]')
  with pytest.raises(BadInput, match='has metadata that can be read'):
    checkpoint.Checkpoints(folder)


def test_restore_falls_back_when_bytes_are_corrupt(
    undisturbed, cut_at_8, tmp_path, capfd):
  """Flipped bytes, sizes unchanged: found by the checksums. The last line of
  the metrics is torn too."""
  config, whole = undisturbed
  folder = cut_at_8(tmp_path / 'run')
  with (folder / 'metrics.jsonl').open('a') as f:
    f.write('{"kind": "train", "st')
  data = max((folder / 'checkpoints' / '6' / 'params').rglob('*'),
             key=lambda p: p.stat().st_size if p.is_file() else 0)
  raw = bytearray(data.read_bytes())
  for i in range(len(raw) // 3, len(raw) // 3 + 64):
    raw[i] ^= 0xff
  data.write_bytes(raw)
  capfd.readouterr()
  train.run(config, folder)
  assert 'checkpoint of step 6 cannot be read' in capfd.readouterr().out
  assert_same_end(whole, folder, config)


def test_restore_moves_nothing_when_none_is_readable(
    undisturbed, cut_at_8, tmp_path):
  config, _ = undisturbed
  folder = cut_at_8(tmp_path / 'run')
  for step in ('3', '6'):
    shutil.rmtree(folder / 'checkpoints' / step / 'params')
  rows_before = run_dir.read_rows(folder / 'metrics.jsonl')
  for _ in range(2):  # the second start must not begin anew
    with pytest.raises(BadInput, match='none of the checkpoints'):
      train.run(config, folder)
    assert (folder / 'checkpoints' / '6').exists()
    assert run_dir.read_rows(folder / 'metrics.jsonl') == rows_before


@pytest.mark.devices
def test_restore_works_on_another_mesh(
    undisturbed, tmp_path, monkeypatch, tiny):
  """And with remat: Muon's state is none of activations."""
  config, whole = undisturbed
  folder = tmp_path / 'run'
  interrupted(config, folder, 7, monkeypatch)
  other = tiny(MORE | {'runtime.mesh.data': 2, 'runtime.mesh.fsdp': 2,
                       'runtime.mesh.tensor': 2, 'runtime.remat': True})
  train.run(other, folder)
  (x, _), (y, _) = final(whole, config), final(folder, config)
  for p, q in zip(x, y, strict=True):
    np.testing.assert_allclose(p, q, atol=1e-4)


def test_train_rejects_a_folder_of_another_computation(
    undisturbed, tmp_path, tiny):
  _, whole = undisturbed
  folder = tmp_path / 'run'
  shutil.copytree(whole, folder)
  with pytest.raises(BadInput, match=r'optim.learning_rate: 0.003 -> 0.01'):
    train.run(tiny(MORE | {'optim.learning_rate': 0.01}), folder)
  # Logging and mesh are not the computation.
  train.run(tiny(MORE | {'log.every': 7, 'runtime.remat': True}), folder)


def test_save_checks_disk_space_first(
    undisturbed, cut_at_8, tmp_path, monkeypatch):
  config, whole = undisturbed
  folder = cut_at_8(tmp_path / 'run')
  usage = shutil.disk_usage(tmp_path)
  with monkeypatch.context() as m:
    m.setattr(checkpoint.shutil, 'disk_usage',
              lambda path: usage._replace(free=1000))
    with pytest.raises(BadInput, match=r'cannot write in .*0.0 MB free'):
      train.run(config, folder)
  train.run(config, folder)
  assert_same_end(whole, folder, config)


def test_load_params_rejects_missing_and_foreign_checkpoints(
    undisturbed, tmp_path, tiny):
  config, whole = undisturbed
  trainer = train_step.build(config, load_mixture(config))
  with pytest.raises(BadInput, match='no checkpoints in'):
    checkpoint.load_params(tmp_path, trainer.abstract.params)
  other = tiny({'model.width': 32, 'runtime.mesh.data': 1})
  wide = train_step.build(other, load_mixture(other)).abstract.params
  with pytest.raises(BadInput, match='does not fit this model'):
    checkpoint.load_params(whole, wide)


def test_restore_rejects_a_checkpoint_of_another_run(
    undisturbed, tmp_path, tiny):
  _, whole = undisturbed
  other = tiny(MORE | {'seed.init': 9})
  shutil.copytree(whole / 'checkpoints', tmp_path / 'run' / 'checkpoints')
  with pytest.raises(BadInput, match='is of run'):
    train.run(other, tmp_path / 'run')


def test_disk_errors_recognize_tensorstore(tmp_path):
  with pytest.raises(BadInput, match='No space left'), disk_errors(tmp_path):
    raise ValueError('INTERNAL: write failed: No space left on device')
  with pytest.raises(ZeroDivisionError), disk_errors(tmp_path):
    raise ZeroDivisionError


def test_meta_is_copied_when_saved(tmp_path):
  """It is written in the background: what the loop counts on is no part."""
  saved = checkpoint.Checkpoints(tmp_path)
  meta, x = {'step': 1, 'entries': [1, 2]}, {'w': jax.numpy.ones(3)}
  written = []
  keep = checkpoint.ocp.args.JsonSave

  with pytest.MonkeyPatch.context() as m:
    m.setattr(checkpoint.ocp.args, 'JsonSave', lambda item: (
        written.append(item), keep(item))[1])
    saved.save(1, x, x, meta)
  meta['entries'][0] = 99
  assert written[0]['entries'] == [1, 2]
  saved.close()


def test_a_kept_program_trains_the_next_run_alike(
    undisturbed, tmp_path, monkeypatch):
  config, whole = undisturbed
  monkeypatch.setattr(train_step, '_kept', {})
  built, build = [], train_step._build
  monkeypatch.setattr(train_step, '_build', lambda *a: built.append(
      1) or build(*a))
  other = override(config, {'seed.init': 1, 'seed.data': 1,
                            'optim.learning_rate': 0.01})
  train.run(other, tmp_path / 'first')
  train.run(config, tmp_path / 'second')
  assert len(built) == 1
  assert_same_end(whole, tmp_path / 'second', config)
  train_step.build(override(config, {'model.width': 32}), load_mixture(config))
  assert len(built) == 2


def test_serve_trains_commands_until_one_fails(tmp_path):
  """And training never loads TensorFlow."""
  code = f'''
import atexit, pathlib, runpy, sys
atexit.register(lambda: pathlib.Path(r'{tmp_path}/loaded.txt').write_text(str(
    [m for m in ('tensorflow', 'seqio', 'wandb') if m in sys.modules])))
sys.argv = ['train', '--serve']
runpy.run_module('physics_lm.train', run_name='__main__')
'''
  process = subprocess.Popen(
      [sys.executable, '-c', code], cwd=ROOT, stdin=subprocess.PIPE,
      stdout=subprocess.PIPE, env=os.environ | {'JAX_PLATFORMS': 'cpu'})
  answers = []
  for i, changes in enumerate(({}, {'seed.init': 1}, {'model.heads': 3})):
    flags = [f'--config.{k}={v}' for k, v in (TINY | changes).items()]
    process.stdin.write(json.dumps([
        f'{tmp_path}/{i}.txt', '--config=configs/default.py',
        f'--workdir={tmp_path}/{i}', *flags]).encode() + b'\n')
    process.stdin.flush()
    answers.append(process.stdout.read(1))
  assert answers == [b'.', b'.', b''] and process.wait() == 2
  for i in range(2):
    assert (tmp_path / f'{i}.txt').read_text().count('done: ') == 1
    assert run_dir.is_done(tmp_path / f'{i}')
  assert (tmp_path / '2.txt').read_text().startswith('error: model.width is 16')
  assert (tmp_path / 'loaded.txt').read_text() == '[]'


def start(folder, changes):
  flags = [f'--config.{k}={v}' for k, v in (TINY | MORE | changes).items()]
  return subprocess.Popen(
      [sys.executable, '-m', 'physics_lm.train', '--config=configs/default.py',
       f'--workdir={folder}', *flags], cwd=ROOT, stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT, text=True,
      env=os.environ | {'JAX_PLATFORMS': 'cpu'})


def wait_for(condition, process, seconds=60):
  until = time.time() + seconds
  while not condition():
    assert process.poll() is None and time.time() < until, (
        process.communicate()[0])
    time.sleep(0.02)


def test_sigterm_saves_and_exits_0(tmp_path):
  folder = tmp_path / 'run'
  process = start(folder, {'steps': 100_000, 'checkpoint.every': 100_000,
                           'evals.mean.average': 1})
  wait_for(lambda: run_dir.step_reached(folder) > 3, process)
  second = start(folder, {'steps': 100_000})
  assert second.wait(timeout=60) == 3  # the folder is held
  process.send_signal(signal.SIGTERM)
  out = process.communicate(timeout=60)[0]
  assert process.returncode == 0, out
  assert 'stopped by SIGTERM at step' in out.splitlines()[-1]
  assert not run_dir.is_done(folder)
  assert [p for p in (folder / 'checkpoints').iterdir() if p.name.isdigit()]


@pytest.mark.drill
@pytest.mark.timeout(1500)
def test_resume_survives_twenty_kills(tmp_path):
  """kill -9 at 20 random moments; saving at nearly each step puts many of
  them inside a save. The end is bitwise the undisturbed one."""
  from physics_lm.configs import default

  # Many more steps than 20 kills let pass, so that the run cannot end first.
  changes = {'steps': 2000, 'checkpoint.every': 2, 'log.every': 10,
             'model.width': 64}
  config = override(default.get_config(), TINY | MORE | changes)
  whole, folder = tmp_path / 'whole', tmp_path / 'run'
  process = start(whole, changes)
  assert process.wait() == 0, process.communicate()[0]
  seed = random.SystemRandom().randrange(10**6)
  print(f'drill seed {seed}')
  rng, kills, in_save, reached = random.Random(seed), 0, 0, []
  while kills < 20:
    process = start(folder, changes)
    before = run_dir.step_reached(folder)
    moment = rng.uniform(0, 1.5)
    # Half of the moments fall anywhere, also into start-up; half are counted
    # from the first new step.
    if kills % 2:
      wait_for(lambda b=before: run_dir.step_reached(folder) > b, process)
    time.sleep(moment if kills % 2 else moment * 4)
    if process.poll() is not None:
      break
    process.kill()
    process.wait()
    kills += 1
    in_save += bool(list((folder / 'checkpoints').glob('*tmp*')))
    reached.append(run_dir.step_reached(folder))
  process = start(folder, changes)
  out = process.communicate()[0]
  assert process.returncode == 0, out
  print(f'{kills} kills, {in_save} inside a save, at steps {reached}')
  assert in_save > 0, f'no kill fell inside a save; seed {seed}'
  assert kills == 20, f'only {kills} kills before the end; seed {seed}'
  assert_same_end(whole, folder, config)
