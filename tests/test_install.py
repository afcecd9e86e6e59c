"""Installed from a wheel, in a folder of one's own with a package `configs`."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, TINY

pytestmark = pytest.mark.experiment
EXPERIMENT = 'experiments/knowledge_extraction.py'


def files(folder: Path) -> set[str]:
  return {str(p.relative_to(folder)) for p in folder.rglob('*')
          if '__pycache__' not in p.parts}


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
  """A folder with the package of a freshly built wheel, and nothing else."""
  at = tmp_path_factory.mktemp('install')
  source = at / 'source'
  for name in ('physics_lm', 'configs', 'experiments'):
    shutil.copytree(ROOT / name, source / name, symlinks=True,
                    ignore=shutil.ignore_patterns('__pycache__', 'results'))
  for name in ('pyproject.toml', 'requirements.txt', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  # Without a network, where the environment has what builds a wheel.
  here = all(map(importlib.util.find_spec, ('setuptools', 'wheel')))
  pip = [sys.executable, '-m', 'pip', '--quiet', '--disable-pip-version-check']
  for command in (
      [*pip, 'wheel', '--no-deps', *['--no-build-isolation'] * here,
       f'--wheel-dir={at}', str(source)],
      [*pip, 'install', '--no-deps', '--no-index', f'--find-links={at}',
       f'--target={at / "site"}', 'physics_lm']):
    subprocess.run(command, check=True, cwd=at)
  return at / 'site'


@pytest.fixture(scope='module')
def mine(tmp_path_factory):
  """A user's folder: an experiment copied, and configs of the user's own."""
  at = tmp_path_factory.mktemp('mine')
  shutil.copy(ROOT / EXPERIMENT, at / 'my_experiment.py')
  (at / 'configs').mkdir()
  (at / 'configs/__init__.py').touch()
  (at / 'configs/default.py').write_text('def get_config():\n  return {}\n')
  (at / 'configs/mine.py').write_text(
      'from physics_lm.configs import grammar\n\n\n'
      'def get_config():\n  return grammar.get_config()\n')
  return at


@pytest.fixture
def run(installed, mine):
  """A function: a command's arguments -> its output, run in the user's folder
  with the installed package; fails when the exit status is another."""
  env = os.environ | {'PYTHONPATH': str(installed), 'JAX_PLATFORMS': 'cpu'}

  def call(module, *arguments, status=0):
    done = subprocess.run(
        [sys.executable, '-m', f'physics_lm.{module}', *arguments], cwd=mine,
        env=env, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert 'Traceback' not in done.stderr, done.stderr
    return done.stdout + done.stderr

  return call


def test_package_is_the_installed_one(installed, mine):
  code = ('import physics_lm, physics_lm.configs.default as d;'
          'print(physics_lm.__file__, d.__file__)')
  found = subprocess.run(
      [sys.executable, '-c', code], cwd=mine, check=True, capture_output=True,
      text=True, env=os.environ | {'PYTHONPATH': str(installed)}).stdout
  assert found.count(str(installed)) == 2
  assert not (installed / 'configs').exists()  # no name but the package's


def test_experiment_runs_and_reports_in_the_working_directory(
    installed, mine, run):
  before = files(installed)
  out = run('launch', 'my_experiment.py', '--scale=smoke', '--jobs=1')
  assert 'in runs/my_experiment' in out
  out = run('report', 'my_experiment.py', '--scale=smoke')
  assert 'experiments/results/my_experiment/smoke.csv' in out
  assert (mine / 'experiments/results/my_experiment/smoke.png').exists()
  assert len(list((mine / 'runs/my_experiment').glob('*/done'))) > 1
  assert files(installed) == before
  assert not [p for p in files(installed) if 'results' in Path(p).parts]


def test_recipes_and_experiments_are_known_by_name(mine, run):
  """The shipped ones, and the user's beside them; a file that is there wins."""
  tiny = {k: v for k, v in TINY.items() if k.startswith('model.')} | {
      'steps': 2, 'optim.warmup_steps': 1, 'data.batch_size': 1}
  flags = [f'--config.{k}={v}' for k, v in tiny.items()]
  for config in ('configs/igsm.py:small', 'configs/mine.py'):
    out = run('train', f'--config={config}', f'--workdir={config[8:12]}',
              *flags, *['--config.evals.reasoning.num_problems=2'] * (
                  'igsm' in config))
    assert (mine / config[8:12] / 'done').exists(), out
  assert 'runs' in run('launch', EXPERIMENT, '--scale=smoke', '--list')
  error = run('train', '--config=configs/default.py', '--workdir=x', status=2)
  assert 'returned dict, wanted a ConfigDict' in error
  error = run('report', '--all', status=2)
  assert 'wanted the root of a clone' in error
