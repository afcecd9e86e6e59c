"""Who may import whom, and what must stay unloaded."""

import ast
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ACCELERATED = {'jax', 'flax', 'optax', 'orbax', 'grain'}
NO_JAX = ['worlds', 'sweep', 'store', 'plots', 'scaling/laws', 'scaling/flops',
          'cli', 'errors', 'rows', 'vocab', 'shape', 'launch', 'report', 'cost',
          'environment', 'evals/records', 'scaling', 'monitor']


def imported(path):
  """Every module that a file names in an import."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (a.name for a in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield node.module
      yield from (f'{node.module}.{a.name}' for a in node.names)


def files(*places):
  for place in places:
    at = ROOT / place
    yield from sorted(at.rglob('*.py')) if at.is_dir() else [at]


def test_light_files_name_no_jax():
  light = [f for p in NO_JAX for f in files(
      f'physics_lm/{p}' if (ROOT / f'physics_lm/{p}').is_dir()
      else f'physics_lm/{p}.py') if f.exists()]
  assert len(light) > 10
  for path in [*light, *files('experiments')]:
    assert not ACCELERATED & {m.split('.')[0] for m in imported(path)}, path


def test_layers():
  for path in files('physics_lm', 'experiments'):
    names = set(imported(path))
    where = str(path.relative_to(ROOT))
    assert ('orbax' in ' '.join(names)) == where.endswith('/checkpoint.py')
    assert 'seqio' not in names or where.endswith('interop/seqio.py')
    if '/evals/' in where:
      assert not {'physics_lm.train', 'physics_lm.loop',
                  'physics_lm.recorder'} & names, where
    assert not any(n.startswith('notebooks') for n in names)
  for path in files('configs'):
    assert {n.split('.')[0] for n in imported(path)} <= {
        'configs', 'ml_collections'}, path


def test_only_sharding_names_mesh_axes():
  for path in files('physics_lm'):
    if path.name == 'model/sharding.py':
      continue
    literals = {n.value for n in ast.walk(ast.parse(path.read_text()))
                if isinstance(n, ast.Constant)}
    assert not literals & {'fsdp', 'tensor'}, path


@pytest.mark.parametrize('module,arguments,said', [
    ('launch', ['experiments/knowledge_extraction.py', '--list'], '36 runs'),
    ('report', ['experiments/knowledge_extraction.py', '--scale=smoke',
                '--runs-dir=/nonexistent'], 'are not done')])
def test_commands_load_no_accelerator(module, arguments, said):
  code = f'''
import runpy, sys
sys.argv = ['physics_lm.{module}', *{arguments}]
try:
  runpy.run_module('physics_lm.{module}', run_name='__main__')
except SystemExit:
  pass
bad = [m for m in ('jax', 'flax', 'tensorflow', 'seqio') if m in sys.modules]
print('LOADED', bad)
'''
  done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True,
                        capture_output=True, text=True)
  assert done.stdout.splitlines()[-1] == 'LOADED []'
  assert said in done.stdout + done.stderr  # it went all the way


def test_report_on_finished_results_loads_no_jax(tmp_path):
  code = f'''
import os, sys
os.environ['SCALING_DRAWS'] = '20'  # of bootstraps
from physics_lm import report, results, sweep
found = sorted(report.RESULTS.glob('*/*.runs.jsonl'))
assert found
for path in found:
  module = sweep.experiment(f'experiments/{{path.parent.name}}.py')
  df = module.table(results.read_records(path))
  assert report.judge(module, df)
  module.figure(df).savefig(r'{tmp_path}/x.png')
print('LOADED', [m for m in ('jax', 'tensorflow') if m in sys.modules])
'''
  out = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True,
                       capture_output=True, text=True).stdout
  assert out.splitlines()[-1] == 'LOADED []'


def test_training_never_loads_tensorflow(tmp_path):
  code = f'''
import sys
from tests.conftest import TINY
from configs import default
from physics_lm import train
train.run(cli.override(default.get_config(), TINY), r'{tmp_path}/run')
bad = [m for m in ('tensorflow', 'seqio', 'wandb') if m in sys.modules]
print('LOADED', bad)
'''
  out = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True,
                       capture_output=True, text=True).stdout
  assert out.splitlines()[-1] == 'LOADED []'


def test_line_budgets():
  for name, budget in (('model', 250), ('train', 250), ('loop', 250)):
    lines = (ROOT / f'physics_lm/{name}.py').read_text().count('\n')
    assert lines <= budget, f'{name}.py has {lines} lines, budget {budget}'
