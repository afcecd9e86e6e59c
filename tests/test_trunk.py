"""Runs that branch off a trunk end bitwise where lone runs end."""

import pytest

from physics_lm import launch, run_dir, sweep, train
from physics_lm.config import flat_keys, override, plain_config, run_id
from physics_lm.errors import BadInput
from physics_lm.model.config import lr_decay_start
from tests.test_resume import assert_same_end

# Questions begin where the rate decays: an annealing mixture.
TRUNK = {'optim.schedule': 'constant', 'steps': 9, 'checkpoint.every': 3,
         'checkpoint.keep': 5, 'log.every': 2, 'data.tasks.qa.since': 100}
BRANCH = {'optim.schedule': 'wsd', 'steps': 8, 'optim.decay_fraction': 0.25,
          'optim.final_lr_fraction': 0.0, 'checkpoint.every': 4, 'log.every': 2,
          'data.tasks.qa.since': 6}


def rows_of(folder):
  return run_dir.read_rows(folder / 'metrics.jsonl')


@pytest.fixture(scope='module')
def trunk(tmp_path_factory):
  from physics_lm.configs import default
  from tests.conftest import TINY

  def make(changes):
    return override(default.get_config(),
                    TINY | {'runtime.mesh.data': 1} | changes)

  folder = tmp_path_factory.mktemp('trunk') / 'trunk'
  train.run(make(TRUNK), folder)
  return make, folder


def test_branch_ends_where_the_lone_run_does(trunk, tmp_path, capsys):
  """The learning rate decays from step 6 of 8; the trunk has 3, 6 and 9."""
  make, folder = trunk
  lone = make(BRANCH)
  branched = make(BRANCH | {'runtime.branch_from': str(folder)})
  assert lr_decay_start(lone) == 6
  train.run(lone, tmp_path / 'lone')
  capsys.readouterr()
  train.run(branched, tmp_path / 'branch')
  assert 'branching off' in capsys.readouterr().out
  assert_same_end(tmp_path / 'lone', tmp_path / 'branch', lone)
  assert run_id(plain_config(lone)) == run_id(plain_config(branched))
  # And it is a decay, not the trunk: the ends differ.
  last = [[r for r in rows_of(f) if r['kind'] == 'train'][-1] for f in (
      folder, tmp_path / 'branch')]
  assert last[0]['learning_rate'] > 10 * last[1]['learning_rate']


@pytest.mark.parametrize('changes,message', [
    ({'optim.learning_rate': 1e-3}, 'differs in optim.learning_rate'),
    ({'seed.data': 1}, 'differs in seed.data'),
    ({'data.tasks.qa.since': 5}, 'differs in data.tasks.qa.since'),
    ({'data.tasks.bio.pool': 5}, 'differs in data.tasks.bio.pool'),
    ({'optim.schedule': 'cosine'}, 'wanted constant, wsd or wsd_sqrt'),
    ({'optim.decay_fraction': 0.75}, 'wanted one of step 2 or before')])
def test_branch_rejects_another_run_as_trunk(trunk, tmp_path, changes, message):
  make, folder = trunk
  config = make(BRANCH | {'runtime.branch_from': str(folder)} | changes)
  with pytest.raises(BadInput, match=message):
    train.run(config, tmp_path / 'branch')


def test_launch_runs_trunks_first(trunk, tmp_path):
  make, _ = trunk
  config = 'configs/biographies.py'
  small = {k: v for k, v in flat_keys(plain_config(make({}))).items()
           if k.startswith(('worlds', 'model.width', 'model.depth',
                            'model.heads', 'data.seq_len', 'data.batch_size',
                            'optim.warmup_steps', 'evals.loss.num_rows'))}
  root = sweep.Run(config, small | TRUNK, {'what': 'trunk'})
  run = sweep.Run(config, small | BRANCH, {'what': 'branch'}, trunk=root)
  assert [r.id for r in sweep.ordered([run])] == [root.id, run.id]
  ends = launch.launch([run], tmp_path, jobs=1)
  assert set(ends.values()) == {'done'} and len(ends) == 2
  log = (tmp_path / run.id / 'log.txt').read_text()
  assert f'branching off {tmp_path / root.id} at step 6' in log
  told = [r['step'] for r in rows_of(tmp_path / run.id) if r['kind'] == 'train']
  assert told == [2, 4, 6, 8]


def test_killed_branch_resumes_from_its_own_checkpoint(
    trunk, tmp_path, monkeypatch):
  from physics_lm import checkpoint
  make, folder = trunk
  config = make(BRANCH | {'runtime.branch_from': str(folder),
                          'checkpoint.every': 7})
  train.run(make(BRANCH), tmp_path / 'lone')
  save = checkpoint.Checkpoints.save

  def dying(self, step, *rest):
    save(self, step, *rest)
    if step == 7:
      raise KeyboardInterrupt
  monkeypatch.setattr(checkpoint.Checkpoints, 'save', dying)
  with pytest.raises(KeyboardInterrupt):
    train.run(config, tmp_path / 'branch')
  monkeypatch.undo()
  train.run(config, tmp_path / 'branch')
  assert_same_end(tmp_path / 'lone', tmp_path / 'branch', config)
