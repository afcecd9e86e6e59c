"""Sizes that keep files readable: lines of files and functions, README, log."""

import ast
import re

import pytest

from tests.conftest import ROOT

CODE = sorted(p for part in ('physics_lm', 'configs', 'experiments')
              for p in (ROOT / part).rglob('*.py'))
FILE_LINES = {f'physics_lm/{name}.py': 250
              for name in ('model/decoder', 'train', 'loop')}
LONG_FUNCTIONS = {'loop': 90, 'get_config': 90}  # others: 60


def name(path) -> str:
  return str(path.relative_to(ROOT))


@pytest.mark.parametrize('path', CODE, ids=name)
def test_files_and_functions_keep_their_budget(path):
  text = path.read_text(encoding='utf-8')
  budget = FILE_LINES.get(name(path), 150 if path.parent == (
      ROOT / 'experiments') else 10_000)
  assert text.count('\n') <= budget
  for node in ast.walk(ast.parse(text)):
    if isinstance(node, ast.FunctionDef):
      lines = node.end_lineno - node.lineno + 1
      assert lines <= LONG_FUNCTIONS.get(node.name, 60), (node.name, lines)


@pytest.mark.parametrize('path', CODE, ids=name)
def test_no_lambda_has_a_name(path):
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
      assert not isinstance(node.value, ast.Lambda), node.lineno


def bool_factors(tree: ast.AST) -> list[int]:
  """Lines that multiply a text or a list by a condition."""
  def is_condition(node):
    if isinstance(node, ast.BoolOp):  # not `n or 1`
      return all(map(is_condition, node.values))
    return isinstance(node, ast.Compare) or (
        isinstance(node, ast.Call) and getattr(node.func, 'id', '') in (
            'bool', 'any', 'all', 'isinstance'))

  texts = ast.Constant, ast.JoinedStr, ast.List, ast.Tuple
  return [node.lineno for node in ast.walk(tree)
          if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
          for a, b in ((node.left, node.right), (node.right, node.left))
          if is_condition(a) and isinstance(b, texts)
          and not isinstance(getattr(b, 'value', ''), float)]


@pytest.mark.parametrize('path', CODE, ids=name)
def test_no_condition_is_a_factor(path):
  assert not bool_factors(ast.parse(path.read_text(encoding='utf-8')))


def test_a_condition_as_a_factor_is_found():
  tree = ast.parse("a = 's' * (n > 1)\nb = [1] * any(c)\nc = 0.5 * (x == y)\n"
                   "d = '-' * len(c)")
  assert bool_factors(tree) == [1, 2]


@pytest.mark.parametrize('path', CODE, ids=name)
def test_public_functions_are_annotated_and_documented(path):
  body = ast.parse(path.read_text(encoding='utf-8')).body
  missing = [f'{node.name}: docstring' for node in public_functions(body)
             if not ast.get_docstring(node)]
  methods = [node for of in body if isinstance(of, ast.ClassDef)
             and not of.name.startswith('_')
             for node in public_functions(of.body)]
  if path.is_relative_to(ROOT / 'physics_lm'):  # experiments: records, tables
    missing += [f'{node.name}: {what}' for node in public_functions(body)
                + methods for what in unannotated(node)]
  assert not missing


def public_functions(body: list[ast.stmt]) -> list[ast.FunctionDef]:
  return [node for node in body if isinstance(node, ast.FunctionDef)
          and not node.name.startswith('_')]


def unannotated(node: ast.FunctionDef) -> list[str]:
  """Parameters without an annotation, and 'result' if there is one."""
  a = node.args
  found = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)
           if not p.annotation and p.arg not in ('self', 'cls')]
  gives = any(isinstance(n, (ast.Yield, ast.YieldFrom)) or (
      isinstance(n, ast.Return) and n.value) for n in ast.walk(node))
  return found + ['result'] * (gives and not node.returns)


def test_a_function_without_annotations_is_found():
  body = ast.parse('def f(a, *, b: int):\n  return a\n'
                   'def g(a: int):\n  a + 1\ndef _h(a):\n  yield a').body
  assert [unannotated(f) for f in public_functions(body)] == [
      ['a', 'result'], []]


def test_shelves_hold_at_most_ten_files():
  """Subfolders of the package; the package itself is the list in README."""
  for folder in {p.parent for p in CODE} - {
      ROOT / 'physics_lm', ROOT / 'experiments', ROOT / 'configs'}:
    files = [p for p in folder.glob('*.py') if not p.name.startswith('__')]
    assert len(files) <= 10, folder


def test_readme_is_short():
  text = (ROOT / 'README.md').read_text(encoding='utf-8')
  assert text.count('\n') <= 170 and len(text.encode()) <= 12 * 1024


def test_log_entries_are_short_and_conclude():
  text = (ROOT / 'experiments/LOG.md').read_text(encoding='utf-8')
  for entry in re.split(r'^## ', text, flags=re.M)[1:]:
    lines = entry.strip().splitlines()
    assert 'Conclusion:' in entry, lines[0]
    assert len(lines) - 1 <= 12, (lines[0], len(lines) - 1)
