"""Who may import whom, and what must stay unloaded."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / 'physics_lm'
ACCELERATED = {'jax', 'flax', 'optax', 'orbax', 'grain'}
# Folders and files that import no JAX, not even through another module.
NO_JAX = ('worlds', 'clean', 'scaling', 'sweep', 'run_dir', 'results',
          'result_pages', 'claims', 'figures', 'igsm_tables', 'config',
          'progress', 'errors', 'mixture', 'vocab', 'model/config', 'launch',
          'slurm', 'report', 'cost', 'eval_cost', 'host_tuning', 'loss_band',
          'metrics', 'population', 'evals/records', 'interop/export',
          'interop/spm', 'interop/tensorboard')
# {folder or file: what it must not import}, relative to the package.
FORBIDDEN = {
    'clean': ('model', 'evals', 'mixture', 'loader', 'train', 'launch'),
    'worlds': ('model', 'evals', 'mixture', 'loader', 'train', 'scaling'),
    'model': ('worlds', 'evals', 'mixture', 'loader', 'train_step', 'train'),
    'evals': ('train', 'loop', 'recorder', 'train_step', 'launch', 'report'),
    'scaling': ('train', 'loop', 'launch', 'report'),
    'report': ('launch', 'train'), 'launch': ('report', 'train_step', 'loop'),
    'results': ('report', 'launch', 'train'), 'claims': ('results', 'report')}


def python_files(*paths: Path) -> list[Path]:
  """Python files among the paths and below folders among them."""
  return sorted(f for path in paths for f in (
      path.rglob('*.py') if path.is_dir() else [path]))


def below_package(name: str) -> list[Path]:
  """Files of a folder or file of the package. Fails when it is not there."""
  path = PACKAGE / name
  found = python_files(path if path.is_dir() else path.with_suffix('.py'))
  assert found and all(f.exists() for f in found), name
  return found


def module_name(path: Path) -> str:
  parts = path.relative_to(ROOT).with_suffix('').parts
  return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imported(tree: ast.AST) -> Iterator[str]:
  """Every name in the imports of a tree; lazy imports too."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (a.name for a in node.names)
    elif isinstance(node, ast.ImportFrom):
      yield node.module
      yield from (f'{node.module}.{a.name}' for a in node.names)


def names_in(path: Path) -> set[str]:
  return set(imported(ast.parse(path.read_text(encoding='utf-8'))))


def package_imports(lazy: bool = True) -> dict[str, set[str]]:
  """{module of the package: those that it imports}. Without `lazy`: only those
  that importing it loads. A module that is named by a string (a registry of
  worlds or evaluators) is no import."""
  trees = {module_name(p): ast.parse(p.read_text(encoding='utf-8'))
           for p in python_files(PACKAGE)}
  out = {}
  for name, tree in trees.items():
    if not lazy:
      tree = ast.Module([n for n in tree.body if not isinstance(
          n, (ast.FunctionDef, ast.ClassDef))], [])
    # `from package import module` names both: the module is what is meant.
    out[name] = {n for n in imported(tree) if n in trees and n != name
                 and n != 'physics_lm'}
  return out


def circle(edges: dict[str, set[str]]) -> list[str]:
  """A circle of imports, [] where there is none."""
  try:
    graphlib.TopologicalSorter(edges).prepare()
  except graphlib.CycleError as e:
    return e.args[1]
  return []


def closure(edges: dict[str, set[str]], name: str) -> set[str]:
  """A module and all that importing it imports."""
  out, left = set(), [name]
  while left:
    module = left.pop()
    if module not in out:
      out.add(module)
      left += edges[module]
  return out


def test_package_has_no_import_circle():
  assert not circle(package_imports())


def test_circle_is_found_also_through_a_lazy_import():
  edges = package_imports()
  edges['physics_lm.claims'] = edges['physics_lm.claims'] | {
      'physics_lm.report'}
  assert {'physics_lm.claims', 'physics_lm.report'} <= set(circle(edges))
  tree = ast.parse('def f():\n  from physics_lm import report\n')
  assert 'physics_lm.report' in set(imported(tree))


def test_light_files_name_no_jax():
  light = [f for name in NO_JAX for f in below_package(name)]
  for path in [*light, *python_files(ROOT / 'experiments')]:
    assert not ACCELERATED & {m.split('.')[0] for m in names_in(path)}, path


def test_light_modules_load_no_jax_through_others():
  edges = package_imports(lazy=False)
  heavy = {module_name(p) for p in python_files(PACKAGE) if ACCELERATED & {
      m.split('.')[0] for m in names_in(p)}}
  assert 'physics_lm.train_step' in heavy
  for name in NO_JAX:
    for path in below_package(name):
      assert not closure(edges, module_name(path)) & heavy, path


@pytest.mark.parametrize('name', FORBIDDEN)
def test_layer_imports_nothing_above_it(name):
  for path in below_package(name):
    names = names_in(path)
    for above in FORBIDDEN[name]:
      full = f'physics_lm.{above}'
      assert not {n for n in names if n == full or n.startswith(f'{full}.')
                  }, (path, above)


def test_only_one_module_imports_orbax_and_seqio_each():
  for path in python_files(PACKAGE, ROOT / 'experiments'):
    names = ' '.join(names_in(path))
    name = str(path.relative_to(ROOT))
    assert ('orbax' in names) == (name == 'physics_lm/checkpoint.py'), name
    assert 'seqio' not in names.split() or name.endswith('interop/seqio.py')
    assert 'notebooks' not in names, name


def test_configs_import_only_each_other():
  for path in python_files(ROOT / 'configs'):
    for name in names_in(path):
      assert name.startswith(('physics_lm.configs', 'ml_collections')) or (
          name.partition('.')[0] in sys.stdlib_module_names), path


def test_nothing_imports_a_package_named_configs():
  """That name is a user's: the working directory comes first on the path."""
  for path in python_files(*(ROOT / part for part in (
      'physics_lm', 'configs', 'experiments', 'notebooks', 'bench'))):
    assert 'configs' not in {n.split('.')[0] for n in names_in(path)}, path


def test_only_sharding_names_mesh_axes():
  for path in python_files(PACKAGE):
    if path == PACKAGE / 'model/sharding.py':
      continue
    literals = {n.value for n in ast.walk(ast.parse(path.read_text()))
                if isinstance(n, ast.Constant)}
    assert not literals & {'fsdp', 'tensor'}, path


@pytest.mark.parametrize('module,arguments,text', [
    ('launch', ['experiments/knowledge_extraction.py', '--list'], '60 runs'),
    ('report', ['experiments/knowledge_extraction.py', '--scale=smoke',
                '--runs-dir=tests'], 'are not done'),
    ('report', ['experiments/knowledge_extraction.py', '--scale=smoke',
                '--runs-dir=/nonexistent'], 'wanted a folder of runs')])
def test_commands_load_no_accelerator(module, arguments, text):
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
  assert text in done.stdout + done.stderr  # the command ran to its end


def test_report_on_finished_results_loads_no_jax(tmp_path):
  code = f'''
import os, sys
os.environ['SCALING_DRAWS'] = '5'  # of bootstraps
from physics_lm import claims, report, results, sweep
found = sorted(results.RESULTS.rglob('*.runs.jsonl'),
               key=lambda p: p.stat().st_size)[:4]
for path in found:
  module = sweep.experiment(f'experiments/{{path.parent.name}}.py')
  df = module.table(results.read_records(path))
  assert claims.judge_experiment(module, df)
  drawn = module.figure(df)
(drawn[0] if isinstance(drawn, list) else drawn).savefig(r'{tmp_path}/x.png')
print('LOADED', [m for m in ('jax', 'tensorflow') if m in sys.modules])
'''
  out = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True,
                       capture_output=True, text=True).stdout
  assert out.splitlines()[-1] == 'LOADED []'
