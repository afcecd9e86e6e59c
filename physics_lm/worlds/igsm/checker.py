"""Checks any solution text against any iGSM problem text.

A solution is correct when every sentence is: by Part 2.1's conditions (section
3, appendix F.1) and, beyond the released checker, in its constants and its
rule. A definition is compared as a polynomial in the parameters that it names,
modulo m: terms may come in any order, while an incorrect constant or sign is
detected even if the value does not change. Unnecessary but valid parameters are
allowed and counted. So are retries ('Define .. as BACK.'), which are skipped;
they may name any parameter of the hierarchy, as in the released code.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from physics_lm.errors import BadInput

Parameter = tuple[str, str]  # item, and an item below or a category
Hierarchy = Sequence[tuple[str, Sequence[str]]]

_SENTENCE = re.compile(r'The number of each (.+) equals (.+)')
_QUESTION = re.compile(r'How many (.+?) does (.+?) have\?')
_EXAMPLE_QUESTION = "'How many .. does .. have?'"
_BODY = re.compile(r'(?:([0-9]+)(?: (more than|times as much as) )?)?'
                   r'(?:(the sum of |the difference of )?each (.+))?')
_BACK = re.compile(r'Define (.+) as BACK')
_ZERO = re.compile(r'\b0[0-9]+')
_HEAD = re.compile(r'Define (.+) as ([A-Za-z])')
_ATOM = re.compile(r'[A-Za-z]|[0-9]+')
_BINARY = re.compile(r'([A-Za-z]|[0-9]+) ([+*-]) ([A-Za-z]|[0-9]+)')
_NUMBERS = re.compile(r'([0-9]+) ([+*-]) ([0-9]+)')


class SolutionCheck(NamedTuple):
  """The verdict of `check`.

  Attributes:
    correct: every sentence is correct.
    reason: 'ok', or the first error.
    answer: the last number is the answer, regardless of the text before it.
    retries: number of BACK sentences.
    operations: of the sentences before the first error.
    parameters: number of parameters defined in them.
    extra_parameters: those that the answer does not need.
    extra_operations: operations of those.
  """

  correct: bool
  reason: str
  answer: bool = False
  retries: int = 0
  operations: int = 0
  parameters: int = 0
  extra_parameters: int = 0
  extra_operations: int = 0

  @property
  def ok(self) -> bool:
    return self.correct


class Definition(NamedTuple):
  """An instance parameter's sentence."""

  constant: int | None
  kind: str  # 'more than', 'times as much as' or ''
  minus: bool
  sources: tuple[Parameter, ...]


class Problem:
  """A parsed problem text: its definitions and its query, and what follows from
  them (abstract parameters' sources, values modulo m, dependencies)."""

  def __init__(self, text: str, hierarchy: Hierarchy, modulus: int = 23):
    self.modulus = modulus
    self._categories = {name: i for i, (name, _) in enumerate(hierarchy)}
    self._levels = {}
    for i, (_, items) in enumerate(hierarchy):
      for item in items:
        self._levels.setdefault(item, set()).add(i)
    self._values = {}
    self.definitions: dict[Parameter, Definition] = {}
    self.children: dict[str, list[str]] = {}
    question = _QUESTION.search(text)
    if not question:
      raise BadInput(f'no question in {text[-60:]!r}, wanted one like '
                     + _EXAMPLE_QUESTION)
    for line in (text[:question.start()] + text[question.end():]).split('.'):
      if line.strip():
        self._read(line.strip())
    self.query = self._parameter(f"{question[2]}'s {question[1]}")
    named = {self.query, *self.definitions} | {
        q for d in self.definitions.values() for q in d.sources}
    self.items = {name for p in named for name in p if name in self._levels}
    self._deepest = max(i for item in self.items for i in self._levels[item])
    for p in named:
      if not self.has(p):
        raise BadInput(f'{_name(p)} is named, but no sentence defines it')

  def _read(self, line: str):
    match = _SENTENCE.fullmatch(line)
    body = match and _BODY.fullmatch(match[2])
    if not body or not (body[1] or body[4]) or bool(body[2]) > bool(body[4]):
      raise BadInput(f'cannot read the sentence {line!r}')
    defined = self._parameter(match[1])
    if defined in self.definitions or defined[1] in self._categories:
      raise BadInput(f'{line!r} defines a parameter that is already defined')
    names = re.split(r'(?:,| and) each ', body[4]) if body[4] else ()
    self.definitions[defined] = Definition(
        int(body[1]) if body[1] else None, body[2] or '',
        body[3] == 'the difference of ', tuple(map(self._parameter, names)))
    self.children.setdefault(defined[0], []).append(defined[1])

  def parameter(self, text: str) -> Parameter | None:
    """The parameter of the hierarchy with the name "X's Y", or None. X and Y
    may contain "'s "."""
    for cut in re.finditer("'s ", text):
      item, other = text[:cut.start()], text[cut.end():]
      for i in self._levels.get(item, ()):
        if self._categories.get(other, -1) > i or (
            i + 1 in self._levels.get(other, ())):
          return item, other
    return None

  def _parameter(self, text: str) -> Parameter:
    found = self.parameter(text)
    if found is None:
      raise BadInput(f'{text!r} is no parameter of this hierarchy')
    return found

  def has(self, p: Parameter) -> bool:
    """Whether the problem has this parameter: an edge of its, or an item of its
    with a level that it reaches."""
    return p in self.definitions or (
        p[0] in self.items and self._categories.get(p[1], 1 << 30)
        <= self._deepest)

  def totals(self) -> list[Parameter]:
    """Every abstract parameter: an item with each level below it."""
    return [(item, category) for item in sorted(self.items)
            for category, i in self._categories.items()
            if max(self._levels[item]) < i <= self._deepest]

  def sources(self, p: Parameter) -> tuple[Parameter, ...]:
    """The parameters that a parameter is computed from."""
    if p in self.definitions:
      return self.definitions[p].sources
    item, category = p
    below = self.children.get(item, ())
    edges = tuple((item, child) for child in below)
    if all(category == self._above(child) for child in below):
      return edges
    return edges + tuple((child, category) for child in below)

  def _above(self, item: str) -> str:
    """The category of an item."""
    levels = self._levels[item]
    return next(c for c, i in self._categories.items() if i in levels)

  def needed(self, p: Parameter | None = None) -> set[Parameter]:
    """The parameter (by default the query) and all that it depends on."""
    found, open_ = set(), [p or self.query]
    while open_:
      q = open_.pop()
      if q not in found:
        found.add(q)
        open_ += self.sources(q)
    return found

  def operations(self, p: Parameter) -> int:
    """Operations that the parameter's definition takes."""
    terms = len(self.sources(p)) + len(self.constants(p))
    return max(1, terms - 1)

  def constants(self, p: Parameter) -> list[int]:
    """The constants in the parameter's rule."""
    if p in self.definitions:
      constant = self.definitions[p].constant
      return [] if constant is None else [constant]
    return [] if self.children.get(p[0]) else [0]

  def rule(self, p: Parameter) -> dict:
    """The parameter as a polynomial: {sorted sources of a monomial:
    coefficient modulo m}."""
    m = self.modulus
    if p not in self.definitions:
      sources = self.sources(p)
      pairs = sources[len(self.children.get(p[0], ())):]
      if pairs:
        return {tuple(sorted(ab)): 1 for ab in zip(sources, pairs)}
      return {(q,): 1 for q in sources}
    d, out = self.definitions[p], {}
    for i, q in enumerate(d.sources):
      out = _plus(out, {(q,): -1 if d.minus and i else 1}, m)
    if d.constant is None:
      return out
    constant = {(): d.constant % m}
    return _times(constant, out, m) if d.kind == 'times as much as' else (
        _plus(constant, out, m))

  def value(self, p: Parameter) -> int:
    """The true value. Raises BadInput when it depends on itself."""
    if p not in self._values:
      self._values[p] = None  # being computed
      self._values[p] = sum(
          math.prod(map(self.value, monomial), start=coefficient)
          for monomial, coefficient in self.rule(p).items()) % self.modulus
    if self._values[p] is None:
      raise BadInput(f'{_name(p)} depends on itself')
    return self._values[p]


class _SolutionError(Exception):
  """The first error of a solution."""


class _Reader:
  """The state of parsing a solution. Each variable (letter) has a value, a
  polynomial and sources."""

  def __init__(self, problem: Problem):
    self.problem, self.m = problem, problem.modulus
    self.letters, self.defined, self.operations = {}, [], 0

  def sentence(self, text: str):
    head, *clauses = text.split('; ')
    match = _HEAD.fullmatch(head)
    if not match or not clauses or not clauses[-1].startswith('so '):
      raise _SolutionError(f'cannot read the sentence {text!r}')
    p, letter = self.problem.parameter(match[1]), match[2]
    if p is None or not self.problem.has(p):
      raise _SolutionError(f'{match[1]} is not in the problem')
    if p in self.defined:
      raise _SolutionError(f'{match[1]} is defined twice')
    constants, unused = [], set()
    for i, clause in enumerate(clauses):
      last = i == len(clauses) - 1
      name, meaning = self.clause(clause.removeprefix('so ') if last
                                  else clause, constants)
      if last and name != letter:
        raise _SolutionError(f'{match[1]} is named {letter}, then {name}')
      if (not last and name == letter) or name in self.letters:
        raise _SolutionError(f'letter {name} is defined twice')
      # Of 'v = a + b = 3 + 4 = 7', the part 'a + b'.
      unused.difference_update(_ATOM.findall(clause.split(' = ')[1]))
      if not last:
        unused.add(name)
      elif unused:
        raise _SolutionError(f'letter {min(unused)} is not used')
      else:
        self.same(p, meaning, constants)
        meaning = meaning[0], {(p,): 1}, {p}
      self.letters[name] = meaning
    self.defined.append(p)
    self.operations += len(clauses)

  def clause(self, text: str, constants: list) -> tuple[str, tuple]:
    """(letter, (value, polynomial, sources)) of 'v = a + b = 3 + 4 = 7',
    'v = a = 3' or 'v = 3'. Appends to the constants."""
    if zero := _ZERO.search(text):
      raise _SolutionError(f'number {zero[0]} begins with 0')
    name, *parts = text.split(' = ')
    if not re.fullmatch('[A-Za-z]', name) or not parts or (
        not re.fullmatch('[0-9]+', parts[-1])):
      raise _SolutionError(f'cannot read {text!r}')
    if len(parts) == 1 or (
        len(parts) == 2 and re.fullmatch('[A-Za-z]', parts[0])):
      value, rule, sources = self.atom(parts[0], constants)
    else:
      symbols = _BINARY.fullmatch(parts[0])
      numbers = len(parts) == 3 and _NUMBERS.fullmatch(parts[1])
      if not symbols or not numbers:
        raise _SolutionError(f'cannot read {text!r}')
      if symbols[2] != numbers[2]:
        raise _SolutionError(f'{parts[0]} is written as {parts[1]}')
      sides = []
      for symbol, number in ((symbols[1], numbers[1]), (symbols[3],
                                                        numbers[3])):
        side = self.atom(symbol, constants)
        if side[0] != int(number):
          raise _SolutionError(f'{symbol} is written as {number}, wanted '
                               f'{side[0]}')
        sides.append(side)
      (x, a, of_a), (y, b, of_b) = sides
      sources = of_a | of_b
      if symbols[2] == '*':
        value, rule = x * y % self.m, _times(a, b, self.m)
      else:
        sign = 1 if symbols[2] == '+' else -1
        value = (x + sign * y) % self.m
        rule = _plus(a, {k: sign * v for k, v in b.items()}, self.m)
    if int(parts[-1]) != value:
      raise _SolutionError(f'{text}: wanted {value} modulo {self.m}')
    return name, (value, rule, sources)

  def atom(self, symbol: str, constants: list) -> tuple[int, dict, set]:
    if symbol.isdigit():
      constants.append(int(symbol))
      return int(symbol), _plus({}, {(): int(symbol)}, self.m), set()
    if symbol not in self.letters:
      raise _SolutionError(f'letter {symbol} is used before it is defined')
    return self.letters[symbol]

  def same(self, p: Parameter, meaning: tuple, constants: list):
    """Raises unless a definition's sources, constants and rule are p's."""
    _, rule, found = meaning
    wanted = set(self.problem.sources(p))
    if found != wanted:
      raise _SolutionError(f'{_name(p)} is computed from {_names(found)}, '
                           f'wanted {_names(wanted)}')
    if sorted(constants) != self.problem.constants(p):
      raise _SolutionError(f'{_name(p)} is computed with constants '
                           f'{constants}, wanted {self.problem.constants(p)}')
    if rule != self.problem.rule(p):
      raise _SolutionError(f'{_name(p)} is computed from the right parameters '
                           'by another rule')


def check(problem: str | Problem, solution: str, hierarchy: Hierarchy = (),
          modulus: int = 23) -> SolutionCheck:
  """Checks a solution text.

  Args:
    problem: the problem's text with its question, or a Problem.
    solution: any text.
    hierarchy: (category, items) from top to bottom; with a text only.
    modulus: of all arithmetic; with a text only.

  Raises:
    BadInput: the problem (not the solution) cannot be parsed.
  """
  if isinstance(problem, str):
    problem = Problem(problem, hierarchy, modulus)
  truth = problem.value(problem.query)
  reader, retries, reason = _Reader(problem), 0, 'ok'
  *sentences, rest = solution.split('.')
  try:
    for text in sentences:
      if back := _BACK.fullmatch(text.strip()):
        if problem.parameter(back[1]) is None:
          raise _SolutionError(
              f'{back[1]}, defined as BACK, is no parameter')
        retries += 1
      else:
        reader.sentence(text.strip())
    if rest.strip():
      raise _SolutionError(f'{rest.strip()!r} has no full stop')
    if not reader.defined or reader.defined[-1] != problem.query:
      last = _name(reader.defined[-1]) if reader.defined else 'nothing'
      raise _SolutionError(f'{last} is defined last, wanted '
                           f'{_name(problem.query)}')
  except _SolutionError as e:
    reason = str(e)
  needed = problem.needed()
  number = re.search(r'= ([0-9]+)\.?\s*$', solution)
  return SolutionCheck(
      reason == 'ok', reason, bool(number) and int(number[1]) == truth,
      retries, reader.operations, len(reader.defined),
      sum(p not in needed for p in reader.defined),
      sum(problem.operations(p) for p in reader.defined if p not in needed))


def _plus(a: dict, b: dict, m: int) -> dict:
  out = dict(a)
  for k, v in b.items():
    out[k] = (out.get(k, 0) + v) % m
  return {k: v for k, v in out.items() if v}


def _times(a: dict, b: dict, m: int) -> dict:
  out = {}
  for k, v in a.items():
    for l, w in b.items():
      out = _plus(out, {tuple(sorted(k + l)): v * w}, m)
  return out


def _name(p: Parameter) -> str:
  return f"{p[0]}'s {p[1]}"


def _names(found: set) -> str:
  return ', '.join(sorted(map(_name, found))) or 'nothing'
