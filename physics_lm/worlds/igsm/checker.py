"""Checks any solution text against any iGSM problem text.

A solution is correct when every sentence is: by Part 2.1's conditions (section
3, appendix F.1) and, beyond the released checker, in its constants and its
rule. A definition is compared as a polynomial in the parameters that it names,
modulo m: terms may come in any order, while an incorrect constant or sign is
detected even if the value does not change. Unnecessary but valid parameters are
allowed and counted. So are retries ('Define .. as BACK.'), which are skipped;
they may name any parameter of the hierarchy, as in the released code, but not
one outside of it: that sentence names nothing, and is an error like any other.
The full stop of the last sentence may be missing, as in the released checker.
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
_BODY = re.compile(r'(?:([0-9]+)(?: (more than|times as much as) ([0-9]+)?)?)?'
                   r'(?:(the sum of |the difference of )?each (.+))?')
_BACK = re.compile(r'Define (.+) as BACK')
_LONG = re.compile('[0-9]{21}')
# Of a rule. The problems' own stay far below; squared over and over, a rule
# would grow without end.
MAX_TERMS, MAX_DEGREE = 1024, 16
_STEP = re.compile(r'Define (.+?) as (\w+)')
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
  second: int | None = None  # constant; then there are no sources


class Problem:
  """A parsed problem text: its definitions and its query, and what follows from
  them (abstract parameters' sources, values modulo m, dependencies).

  Args:
    text: of the problem, with its question.
    hierarchy: (category, items) from top to bottom.
    modulus: of all arithmetic.
    abstract: whether the problem has abstract parameters.
  """

  answer_pattern = re.compile(r'= ([0-9]+)\.?\s*$')  # of a solution

  def __init__(self, text: str, hierarchy: Hierarchy, modulus: int = 23,
               abstract: bool = True):
    if long := _LONG.search(text):
      raise BadInput(f'number {long[0]}... in a problem, wanted at most 20 '
                     'digits')
    self.modulus, self.abstract = modulus, abstract
    self._categories = {name: i for i, (name, _) in enumerate(hierarchy)}
    self._levels = {}
    for i, (_, items) in enumerate(hierarchy):
      for item in items:
        self._levels.setdefault(item, set()).add(i)
    self._values = {}
    self.definitions: dict[Parameter, Definition] = {}
    self.children: dict[str, list[str]] = {}
    self.query = self._read(text)
    named = {self.query, *self.definitions} | {
        q for d in self.definitions.values() for q in d.sources}
    self.items = {name for p in named for name in p if name in self._levels}
    self._deepest = max(i for item in self.items for i in self._levels[item])
    for p in named:
      if not self.has(p):
        raise BadInput(f'{self.name(p)} is named, but no sentence defines it')

  def _read(self, text: str) -> Parameter:
    """Reads the definitions; returns the query."""
    question = _QUESTION.search(text)
    if not question:
      raise BadInput(f'no question in {text[-60:]!r}, wanted one like '
                     + _EXAMPLE_QUESTION)
    for line in (text[:question.start()] + text[question.end():]).split('.'):
      if line.strip():
        self._read_sentence(line.strip())
    return self._parameter(f"{question[2]}'s {question[1]}")

  def _read_sentence(self, line: str):
    match = _SENTENCE.fullmatch(line)
    body = match and _BODY.fullmatch(match[2])
    # Of the constant, a second constant and parameters, those that are there.
    if not body or (bool(body[1]), bool(body[3]), bool(body[5])) not in (
        ((True, True, False), (True, False, True)) if body[2] else
        ((True, False, False), (False, False, True))):
      raise BadInput(f'cannot read the sentence {line!r}')
    names = re.split(r'(?:,| and) each ', body[5]) if body[5] else ()
    self._define(self._parameter(match[1]), Definition(
        int(body[1]) if body[1] else None, body[2] or '',
        body[4] == 'the difference of ', tuple(map(self._parameter, names)),
        int(body[3]) if body[3] else None))

  def _define(self, p: Parameter, definition: Definition):
    if p in self.definitions or p[1] in self._categories:
      raise BadInput(f'{self.name(p)} is defined, but is already')
    self.definitions[p] = definition
    self.children.setdefault(p[0], []).append(p[1])

  def parameter(self, text: str) -> Parameter | None:
    """The parameter of the hierarchy with this name, or None: "X's Y", where X
    and Y may contain "'s "."""
    for cut in re.finditer("'s ", text):
      item, other = text[:cut.start()], text[cut.end():]
      if self._belong(item, other):
        return item, other
    return None

  def _belong(self, item: str, other: str) -> bool:
    """Whether an item and another name are a parameter of the hierarchy."""
    return any(self._categories.get(other, -1) > i or (
        i + 1 in self._levels.get(other, ()))
               for i in self._levels.get(item, ()))

  def name(self, p: Parameter) -> str:
    """The name of a parameter in texts."""
    return f"{p[0]}'s {p[1]}"

  def names(self, found: set[Parameter]) -> str:
    """The names of parameters, in order."""
    return ', '.join(sorted(map(self.name, found))) or 'nothing'

  def back(self, sentence: str) -> str | None:
    """The name in a sentence that is an error with BACK; None: another one."""
    match = _BACK.fullmatch(sentence)
    return match and match[1]

  def step(self, sentence: str) -> tuple[str, bool] | None:
    """(name that a sentence defines, whether as BACK), even if the rest of the
    sentence cannot be read; None: not that either."""
    match = _STEP.match(sentence)
    return match and (match[1], match[2] == 'BACK')

  def reader(self) -> 'Reader':
    """A reader of solutions."""
    return TextReader(self)

  def _parameter(self, text: str) -> Parameter:
    found = self.parameter(text)
    if found is None:
      raise BadInput(f'{text!r} is no parameter of this hierarchy')
    return found

  def has(self, p: Parameter) -> bool:
    """Whether the problem has this parameter: an edge of its, or an item of its
    with a level that it reaches."""
    return p in self.definitions or (
        self.abstract and p[0] in self.items
        and self._categories.get(p[1], 1 << 30) <= self._deepest)

  def totals(self) -> list[Parameter]:
    """Every abstract parameter: an item with each level below it."""
    if not self.abstract:
      return []
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
    """The constants in the parameter's rule, ascending."""
    if p in self.definitions:
      d = self.definitions[p]
      return sorted(c for c in (d.constant, d.second) if c is not None)
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
    d = self.definitions[p]
    out = {} if d.second is None else _plus({}, {(): d.second}, m)
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
      raise BadInput(f'{self.name(p)} depends on itself')
    return self._values[p]


class SolutionError(Exception):
  """The first error of a solution."""


class Reader:
  """The state of parsing a solution, in any rendering. Each symbol (a letter,
  in the compact rendering a parameter) has a meaning: a value, a polynomial and
  sources.

  Attributes:
    letters: the symbols so far.
    defined: parameters, in the order of the solution.
    operations: of the sentences so far.
  """

  symbol = 'letter '  # what stands before a symbol in reasons

  def __init__(self, problem: Problem):
    self.problem, self.m = problem, problem.modulus
    self.letters: dict[str, tuple] = {}
    self.defined: list[Parameter] = []
    self.operations = 0

  def sentence(self, text: str) -> None:
    """Reads a sentence that is not an error with BACK. Raises
    SolutionError."""
    raise NotImplementedError

  def begin(self, name: str) -> Parameter:
    """The parameter that a sentence defines."""
    p = self.problem.parameter(name)
    if p is None or not self.problem.has(p):
      raise SolutionError(f'{name} is not in the problem')
    if p in self.defined:
      raise SolutionError(f'{name} is defined twice')
    return p

  def finish(self, p: Parameter, meaning: tuple, constants: list, steps: int
             ) -> tuple[int, dict, set]:
    """The meaning of p after its sentence of so many operations. Raises unless
    its sources, constants and rule are p's."""
    value, rule, found = meaning
    problem, wanted = self.problem, set(self.problem.sources(p))
    if found != wanted:
      raise SolutionError(f'{problem.name(p)} is computed from '
                          f'{problem.names(found)}, wanted '
                          f'{problem.names(wanted)}')
    if sorted(constants) != problem.constants(p):
      raise SolutionError(f'{problem.name(p)} is computed with constants '
                          f'{constants}, wanted {problem.constants(p)}')
    if rule != problem.rule(p):
      raise SolutionError(f'{problem.name(p)} is computed from the right '
                          'parameters by another rule')
    self.defined.append(p)
    self.operations += steps
    return value, {(p,): 1}, {p}

  def operand(self, symbol: str, number: str, constants: list) -> tuple:
    """The meaning of an operand that is written with its value."""
    meaning = self.atom(symbol, constants)
    if meaning[0] != int(number):
      raise SolutionError(f'{symbol} is written as {number}, wanted '
                          f'{meaning[0]}')
    return meaning

  def combine(self, sign: str, left: tuple, right: tuple) -> tuple:
    """The meaning of one operation."""
    (x, a, of_a), (y, b, of_b) = left, right
    if sign == '*':
      rule = _times(a, b, self.m)
      if len(rule) > MAX_TERMS or max(map(len, rule), default=0) > MAX_DEGREE:
        raise SolutionError(f'a product has more than {MAX_TERMS} terms, or '
                            f'more than {MAX_DEGREE} quantities in one')
      return x * y % self.m, rule, of_a | of_b
    plus = 1 if sign == '+' else -1
    return ((x + plus * y) % self.m,
            _plus(a, {k: plus * v for k, v in b.items()}, self.m), of_a | of_b)

  def result(self, number: str, meaning: tuple, text: str) -> None:
    """Raises unless the number is the value."""
    if int(number) != meaning[0]:
      raise SolutionError(f'{text}: wanted {meaning[0]} modulo {self.m}')

  def atom(self, symbol: str, constants: list) -> tuple[int, dict, set]:
    """The meaning of a number, which is added to the constants, or a symbol."""
    if is_number(symbol):
      constants.append(int(symbol))
      return int(symbol), _plus({}, {(): int(symbol)}, self.m), set()
    if symbol not in self.letters:
      raise SolutionError(f'{self.symbol}{symbol} is used before it is defined')
    return self.letters[symbol]

  def no_leading_zero(self, text: str) -> None:
    """Raises for a number like 07."""
    if zero := _ZERO.search(text):
      raise SolutionError(f'number {zero[0]} begins with 0')


class TextReader(Reader):
  """Reads solutions in words."""

  def sentence(self, text: str) -> None:
    head, *clauses = text.split('; ')
    match = _HEAD.fullmatch(head)
    if not match or not clauses or not clauses[-1].startswith('so '):
      raise SolutionError(f'cannot read the sentence {text!r}')
    p, letter = self.begin(match[1]), match[2]
    constants, unused = [], set()
    for i, clause in enumerate(clauses):
      last = i == len(clauses) - 1
      name, meaning = self.clause(clause.removeprefix('so ') if last
                                  else clause, constants)
      if last and name != letter:
        raise SolutionError(f'{match[1]} is named {letter}, then {name}')
      if (not last and name == letter) or name in self.letters:
        raise SolutionError(f'letter {name} is defined twice')
      # Of 'v = a + b = 3 + 4 = 7', the part 'a + b'.
      unused.difference_update(_ATOM.findall(clause.split(' = ')[1]))
      if not last:
        unused.add(name)
      elif unused:
        raise SolutionError(f'letter {min(unused)} is not used')
      else:
        meaning = self.finish(p, meaning, constants, len(clauses))
      self.letters[name] = meaning

  def clause(self, text: str, constants: list) -> tuple[str, tuple]:
    """(letter, (value, polynomial, sources)) of 'v = a + b = 3 + 4 = 7',
    'v = a = 3' or 'v = 3'. Appends to the constants."""
    self.no_leading_zero(text)
    name, *parts = text.split(' = ')
    if not re.fullmatch('[A-Za-z]', name) or not parts or (
        not re.fullmatch('[0-9]+', parts[-1])):
      raise SolutionError(f'cannot read {text!r}')
    if len(parts) == 1 or (
        len(parts) == 2 and re.fullmatch('[A-Za-z]', parts[0])):
      meaning = self.atom(parts[0], constants)
    else:
      symbols = _BINARY.fullmatch(parts[0])
      numbers = len(parts) == 3 and _NUMBERS.fullmatch(parts[1])
      if not symbols or not numbers:
        raise SolutionError(f'cannot read {text!r}')
      if symbols[2] != numbers[2]:
        raise SolutionError(f'{parts[0]} is written as {parts[1]}')
      meaning = self.combine(symbols[2], *(
          self.operand(symbols[i], numbers[i], constants) for i in (1, 3)))
    self.result(parts[-1], meaning, text)
    return name, meaning


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
  reader, retries, reason = problem.reader(), 0, 'ok'
  sentences = [s.strip() for s in solution.split('.')]
  if not sentences[-1]:  # else the last full stop is missing
    del sentences[-1]
  try:
    for text in sentences:
      if long := _LONG.search(text):
        raise SolutionError(f'number {long[0]}... has more than 20 digits')
      back = problem.back(text)
      if back is not None:
        if problem.parameter(back) is None:
          raise SolutionError(f'{back}, defined as BACK, is no parameter')
        retries += 1
      else:
        reader.sentence(text)
    if not reader.defined or reader.defined[-1] != problem.query:
      last = problem.name(reader.defined[-1]) if reader.defined else 'nothing'
      raise SolutionError(f'{last} is defined last, wanted '
                          f'{problem.name(problem.query)}')
  except SolutionError as e:
    reason = str(e)
  needed = problem.needed()
  number = problem.answer_pattern.search(solution)
  return SolutionCheck(
      reason == 'ok', reason, bool(number) and (
          number[1].lstrip('0') == str(truth).lstrip('0')),
      retries, reader.operations, len(reader.defined),
      sum(p not in needed for p in reader.defined),
      sum(problem.operations(p) for p in reader.defined if p not in needed))


def is_number(token: str) -> bool:
  """Whether a token is digits, of 0 to 9 alone."""
  return token.isascii() and token.isdigit()


def _plus(a: dict, b: dict, m: int) -> dict:
  out = dict(a)
  for k, v in b.items():
    out[k] = (out.get(k, 0) + v) % m
  return {k: v for k, v in out.items() if v}


def _times(a: dict, b: dict, m: int) -> dict:
  out = {}
  for k, v in a.items():
    for l, w in b.items():
      key = tuple(sorted(k + l))
      out[key] = (out.get(key, 0) + v * w) % m
  return {k: v for k, v in out.items() if v}

