"""Where a name is, and how tests are named."""

import ast
import collections
import re

from tests.conftest import ROOT

# Defined in several modules on purpose: each is its module's entry point, or a
# member of a contract that many modules have.
CONTRACT = {'main', 'build', 'make', 'get_config', 'load', 'write', 'VERSION'}
TESTS = sorted((ROOT / 'tests').rglob('test_*.py'))


def public(tree: ast.Module):
  for node in tree.body:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and (
        not node.name.startswith('_')):
      yield node.name


def test_a_public_name_is_defined_once():
  where = collections.defaultdict(list)
  for path in sorted((ROOT / 'physics_lm').rglob('*.py')):
    for n in public(ast.parse(path.read_text(encoding='utf-8'))):
      where[n].append(str(path.relative_to(ROOT)))
  # A scaling law and the function that fits it have one name.
  laws = ['physics_lm/scaling/fitting/fits.py', 'physics_lm/scaling/laws.py']
  assert not {n: p for n, p in where.items()
              if len(p) > 1 and n not in CONTRACT and p != laws}


def test_no_module_is_a_drawer():
  names = {p.stem for p in (ROOT / 'physics_lm').rglob('*.py')}
  assert not names & {'utils', 'util', 'common', 'helpers', 'misc'}
  for path in (ROOT / 'physics_lm').rglob('__init__.py'):
    assert not re.search(r'^\s*(from|import) ', path.read_text()), path


def test_test_names_say_unit_and_behaviour():
  """test_<unit>_<behaviour>: at least three words, and said once a file."""
  for path in TESTS:
    names = [n.name for n in ast.walk(ast.parse(path.read_text()))
             if isinstance(n, ast.FunctionDef) and n.name.startswith('test_')]
    assert len(names) == len(set(names)), path
    short = [n for n in names if n.count('_') < 2]
    assert not short, (path.name, short)
