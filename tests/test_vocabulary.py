"""Names and printed text use the field's terms: none of a list of words that
readers of the papers could not map to anything."""

import ast
import re

import pytest

from physics_lm import sweep
from tests.conftest import ROOT

WORDS = frozenset(
    'told telling tellings asked anew seen stood foretold said says given '
    'become lead many well wrong book ends place ruins whole way half hopeless'
    .split())
PHRASES = ('known by heart', 'mistakes taken back', 'taken back', 'read off')
FILES = sorted(p for part in ('physics_lm', 'configs', 'experiments')
               for p in (ROOT / part).rglob('*.py'))
# Strings that feed generators, files or parameter trees, where a new name
# would change data (docs/training.md, design decisions).
FROZEN = {'physics_lm/model/decoder.py': {'ends'}}


def words(text: str) -> set[str]:
  """The words of the list that a name or a text holds."""
  found = set(re.split(r'[^a-z]+', text.lower())) & WORDS
  return found | {p for p in PHRASES if p in text.lower()}


def public_names(tree: ast.Module):
  """Names of public functions, classes, methods, fields and arguments."""
  for node in tree.body:
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
      targets = getattr(node, 'targets', None) or [node.target]
      yield from (t.id for t in targets if isinstance(t, ast.Name)
                  and not t.id.startswith('_'))
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and (
        not node.name.startswith('_')):
      yield node.name
      if isinstance(node, ast.ClassDef):
        yield from public_names(node)
      else:
        a = node.args
        yield from (x.arg for x in a.posonlyargs + a.args + a.kwonlyargs)


def printed_texts(tree: ast.Module):
  """String constants inside print(), add_argument() and BadInput()."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Call):
      name = getattr(node.func, 'id', getattr(node.func, 'attr', ''))
      if name in ('print', 'add_argument', 'BadInput'):
        yield from (n.value for n in ast.walk(node)
                    if isinstance(n, ast.Constant) and isinstance(n.value, str))


@pytest.mark.parametrize('path', FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_uses_the_fields_words(path):
  tree = ast.parse(path.read_text(encoding='utf-8'))
  allowed = FROZEN.get(str(path.relative_to(ROOT)), set())
  found = {text: words(text) - allowed
           for text in [*public_names(tree), *printed_texts(tree)]}
  assert not {k: v for k, v in found.items() if v}


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'experiments').glob('*.py')), ids=lambda p: p.stem)
def test_claims_and_labels_use_the_fields_words(path):
  module = sweep.experiment(str(path))
  texts = [t for c in module.CLAIMS
           for t in (c.statement, c.decided_by, c.paper, c.id)]
  tree = ast.parse(path.read_text(encoding='utf-8'))
  for node in ast.walk(tree):  # axis labels, titles, captions, legends
    if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') in (
        'labels', 'title', 'finish', 'legend', 'level', 'bars', 'curves'):
      texts += [n.value for n in ast.walk(node)
                if isinstance(n, ast.Constant) and isinstance(n.value, str)]
  assert not {t: words(t) for t in texts if words(t)}


# In prose words such as "given" are plain English; these are not the field's.
IN_PROSE = {'told', 'telling', 'tellings', 'asked', 'anew', 'stood', 'foretold',
            'ruins', 'hopeless', *PHRASES}


@pytest.mark.parametrize('path', [ROOT / 'README.md', *sorted(
    (ROOT / 'docs').glob('*.md'))], ids=lambda p: p.name)
def test_docs_use_the_fields_words(path):
  text = path.read_text(encoding='utf-8')
  assert not words(' '.join(text.split())) & IN_PROSE


def test_the_check_finds_a_word():
  tree = ast.parse("def ask(told):\n  print('asked anew')\n")
  assert words(' '.join(public_names(tree))) == {'told'}
  assert words(' '.join(printed_texts(tree))) == {'asked', 'anew'}
