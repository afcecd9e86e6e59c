"""iGSM in words: names, problem text, solution text, retries, template.

Texts are lists of pieces (see base.Example); their wording is the paper's
(Part 2.1, section 2 and appendix D.3), the names are ours. A table has one
hierarchy of categories, from the top down: '# Category: sub-category', then
names.
"""

import functools
import hashlib
import string
from collections.abc import Callable, Iterator
from importlib import resources
from typing import NamedTuple

from physics_lm.errors import BadInput, nearest
from physics_lm.worlds.igsm.graph import CONST, SECOND, Draws, Graph

LETTERS = string.ascii_lowercase + string.ascii_uppercase
BINS = 23  # of template hashes; of them TRAIN_BINS are for training (paper)
TRAIN_BINS = 17
WORDS = (' The number of each', "'s", ' equals', ' each', ' and', ',', '.',
         ' more than', ' times as much as', ' the sum of',
         ' the difference of', ' How many', ' does', ' have?', ' Define', ' as',
         ' BACK', ' so', ';', ' =', ' +', ' -', ' *')
Hierarchy = tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]


@functools.cache
def load_hierarchy(name: str) -> Hierarchy:
  """((category, sub-categories' names), ..) of a table, from the top down.
  Raises BadInput for an unknown table or one with bad names."""
  folder = resources.files('physics_lm.worlds') / 'tables' / 'igsm'
  path = folder / f'{name}.txt'
  if not path.is_file():
    known = sorted(p.name.removesuffix('.txt') for p in folder.iterdir())
    raise BadInput(f'no hierarchy {name!r}; {nearest(name, known)}')
  return parse_hierarchy(path.read_text(encoding='utf-8'), name)


def parse_hierarchy(text: str, name: str) -> Hierarchy:
  """Parses a table. Raises BadInput for names that would be ambiguous in a
  text: repeated, empty, or with punctuation or words of the sentences."""
  levels = {}
  for line in text.splitlines():
    if line.startswith('#'):
      category, colon, _ = line[1:].partition(':')
      group = []
      levels.setdefault(category.strip(), []).append(group)
      if not colon:
        raise BadInput(f'hierarchy {name}: {line!r}, wanted '
                       "'# Category: sub-category'")
    elif line.strip():
      if not levels:
        raise BadInput(f"hierarchy {name}: {line!r} before any '# Category'")
      group += [item.strip() for item in line.split(',') if item.strip()]
  if not levels:
    raise BadInput(f'hierarchy {name} has no levels')
  for category, groups in levels.items():
    if not all(groups):
      raise BadInput(f'level {category!r} of hierarchy {name} has an empty '
                     'sub-category, wanted names in each')
  words = [*levels, *(w for groups in levels.values() for g in groups
                      for w in g)]
  for word in words:
    if words.count(word) > 1:
      raise BadInput(f'hierarchy {name} has {word!r} '
                     f'{words.count(word)} times, wanted once')
    if set(word) & set('.,;?=') or "'s " in word + ' ' or (
        {'each', 'and', 'does', 'as'} & set(word.split())) or (
            min(map(len, word.split())) < 2):
      raise BadInput(f"hierarchy {name}: {word!r}, wanted a name without "
                     "punctuation, possessives, single letters and words of "
                     'the sentences')
  return tuple((category, tuple(map(tuple, groups)))
               for category, groups in levels.items())


def cut_hierarchy(levels: Hierarchy, name: str, subcategories: int,
                  names: int) -> Hierarchy:
  """The first sub-categories of each category, and the first names of each
  sub-category. Raises BadInput when there are fewer."""
  for category, groups in levels:
    if not 1 <= subcategories <= len(groups):
      raise BadInput(f'subcategories is {subcategories}, wanted 1 to '
                     f'{len(groups)}: all that {category!r} of hierarchy '
                     f'{name} has')
    for group in groups[:subcategories]:
      if not 1 <= names <= len(group):
        raise BadInput(f'names is {names}, wanted 1 to {len(group)}: all that '
                       f'a sub-category of {category!r} in hierarchy {name} '
                       'has')
  return tuple((category, tuple(g[:names] for g in groups[:subcategories]))
               for category, groups in levels)


class Names:
  """Names of a graph's items and levels.

  Attributes:
    items: name of each item, with its leading space.
    levels: name of each level, with its leading space.
  """

  def __init__(self, draws: Draws, g: Graph, levels: Hierarchy):
    """Draws consecutive levels of the hierarchy, a sub-category of each, and
    distinct names from it."""
    top = draws.below(len(levels) - g.depth + 1)
    levels = levels[top:top + g.depth]
    self.levels = [' ' + category for category, _ in levels]
    self.items = []
    for k, (_, groups) in enumerate(levels):
      self.items += draws.sample(draws.pick(groups), g.level.count(k))
    self.items = [' ' + name for name in self.items]

  def parameter(self, g: Graph, p: int) -> tuple[str, str, str]:
    """The pieces of "X's Y"."""
    item, other = g.parts(p)
    return (self.items[item], "'s",
            (self.levels if p >= len(g.ends) else self.items)[other])


def text_problem(g: Graph, names: Names, values: dict[int, tuple[int, ...]],
            order: list[int]) -> list[str]:
  """Pieces of the problem's sentences, one for each instance parameter of
  `order`; `values` are the random constants."""
  out = []
  parameter = {p: names.parameter(g, p) for p in g.sources}
  for p in order:
    out.append(' The number of each')
    out += parameter[p]
    out.append(' equals')
    kind, sources = g.constant[p], g.sources[p]
    if kind:
      out.append(f' {values[p][0]}')
      if kind != 'only':
        out.append(' more than' if kind == 'more' else ' times as much as')
        if not sources:
          out.append(f' {values[p][1]}')
    if len(sources) > 1:
      out.append(' the difference of' if p in g.minus else ' the sum of')
    for i, q in enumerate(sources):
      if i:
        out.append(' and' if i == len(sources) - 1 else ',')
      out.append(' each')
      out += parameter[q]
    out.append('.')
  return out


def text_question(g: Graph, names: Names, query: int) -> list[str]:
  """Pieces of the question about parameter `query`."""
  item, _, other = names.parameter(g, query)
  return [' How many', other, ' does', item, ' have?']


def text_sentence(out: list[str], g: Graph, names: Names, p: int,
             letters: Iterator[str], known: dict[int, tuple[str, int]],
             constants: tuple[int, ...], modulus: int) -> None:
  """Appends the pieces of a solution sentence.

  Args:
    out: the pieces so far.
    g: the problem's graph.
    names: of its items and levels.
    p: the parameter that the sentence defines.
    letters: variable names; one is used for each step.
    known: {parameter: (piece of its letter, value)}; p is added.
    constants: those of p's definition, (0,) without one.
    modulus: of all arithmetic.
  """
  steps, own = g.steps(p), ' ' + next(letters)
  out += (' Define', *names.parameter(g, p), ' as', own, ';')
  done = []
  for i, (sign, a, b) in enumerate(steps):
    last = i == len(steps) - 1
    letter = own if last else ' ' + next(letters)
    out += (' so', letter, ' =') if last else (letter, ' =')
    left = _operand(a, known, done, constants)
    if sign == '=':
      value = left[1]
      if a != CONST:
        out += (left[0], ' =')
      out.append(f' {value}')
    else:
      right = _operand(b, known, done, constants)
      x, y = left[1], right[1]
      value = result(sign, x, y, modulus)
      sign = f' {sign}'
      out += (left[0], sign, right[0], ' =', f' {x}', sign, f' {y}', ' =',
              f' {value}')
    out.append('.' if last else ';')
    done.append((letter, value))
  known[p] = own, value


def result(sign: str, x: int, y: int, modulus: int) -> int:
  """The result of one operation."""
  return (x + y if sign == '+' else x * y if sign == '*' else x - y) % modulus


def _operand(a: int, known: dict, done: list, constants: tuple[int, ...]):
  if a >= 0:
    return known[a]
  if a in (CONST, SECOND):
    constant = constants[0 if a == CONST else 1]
    return f' {constant}', constant
  return done[-2 - a]


def text_error(parameter: tuple[str, str, str]) -> tuple[str, ...]:
  """Pieces of an error, which names a parameter."""
  return ' Define', *parameter, ' as', ' BACK', '.'


def text_parameter(names: Names, g: Graph, p: int) -> tuple[str, str, str]:
  """The pieces of a parameter's name."""
  return names.parameter(g, p)


class Rendering(NamedTuple):
  """How a graph becomes text: text_problem and the others, for TEXT.

  Attributes:
    words: pieces besides names, letters and numbers.
    parameter: pieces of a parameter's name.
    problem: pieces of the problem.
    question: pieces of the question.
    error: pieces of a sentence with BACK.
    sentence: appends a sentence of the solution.
  """

  words: tuple[str, ...]
  parameter: Callable
  problem: Callable
  question: Callable
  error: Callable
  sentence: Callable


TEXT = Rendering(WORDS, text_parameter, text_problem, text_question, text_error,
                 text_sentence)


def template(g: Graph) -> str:
  """The solution without names and numbers and with standard letters. Its hash
  decides between train and test (Part 2.1, footnote 11)."""
  letters, letter, parts = iter(LETTERS), {}, []
  for p in g.order:
    own = letter[p] = next(letters)
    kind = 'Inter' if p >= len(g.ends) else 'Inst'
    parts.append(f' Define {kind} as {own}')
    done = []
    steps = g.steps(p)
    for i, (sign, a, b) in enumerate(steps):
      last = i == len(steps) - 1
      here = own if last else next(letters)
      head = f' so {here}' if last else f' {here}'
      a = _symbol(a, letter, done)
      if sign == '=':
        parts.append(f'{head} = {a} = 0' if a != '0' else f'{head} = 0')
      else:
        b = _symbol(b, letter, done)
        parts.append(f'{head} = {a} {sign} {b} = 0 {sign} 0 = 0')
      done.append(here)
  return '.'.join(parts) + '.'


def _symbol(a: int, letter: dict[int, str], done: list[str]) -> str:
  if a >= 0:
    return letter[a]
  return '0' if a in (CONST, SECOND) else done[-2 - a]


def template_bin(text: str) -> int:
  """The bin of a template: its SHA-256 modulo BINS."""
  return int.from_bytes(hashlib.sha256(text.encode()).digest()) % BINS
