"""Reads iGSM in symbols (compact.py), for the checker of both renderings.

A problem becomes the same definitions as in words, and a solution is judged by
the same rules, with the same reasons (checker.Reader): only reading differs.
"""

import re

from physics_lm.errors import BadInput
from physics_lm.worlds.igsm import checker
from physics_lm.worlds.igsm.checker import Parameter, SolutionError, is_number

_SIGNS = '=+-*'
_KINDS = {'+': 'more than', '*': 'times as much as'}


class CompactProblem(checker.Problem):
  """A problem in symbols. Without abstract parameters the item that all of them
  belong to has no name: a parameter is ('', name)."""

  answer_pattern = re.compile(r' ([0-9]+)\.?\s*$')

  def __init__(self, text: str, hierarchy: checker.Hierarchy, modulus: int = 23,
               abstract: bool = True):
    if not abstract:
      names = [name for _, items in hierarchy[1:] for name in items]
      hierarchy = [('', ['']), (hierarchy[-1][0], names)]
    self._size = 2 if abstract else 1  # names of a parameter
    super().__init__(text, hierarchy, modulus, abstract)

  def tokens(self, text: str) -> list[str]:
    """The names, numbers and signs of a text."""
    return text.split()

  def take_name(self, tokens: list[str]) -> str:
    """Removes the first tokens: the name of a parameter."""
    name = ' '.join(tokens[:self._size])
    del tokens[:self._size]
    return name

  def name(self, p: Parameter) -> str:
    return ' '.join(p).strip()

  def parameter(self, text: str) -> Parameter | None:
    names = ['', *self.tokens(text)][-2 if self._size == 1 else 1:]
    if len(names) == 2 and self._belong(*names):
      return names[0], names[1]
    return None

  def back(self, sentence: str) -> str | None:
    *name, last = self.tokens(sentence) or ['']
    return ' '.join(name) if last == 'BACK' else None

  def step(self, sentence: str) -> tuple[str, bool] | None:
    tokens = self.tokens(sentence)
    for i, token in enumerate(tokens):
      if token in _SIGNS or token == 'BACK':
        return (' '.join(tokens[:i]), token == 'BACK') if i else None
    return None

  def reader(self) -> 'CompactReader':
    return CompactReader(self)

  def _read(self, text: str) -> Parameter:
    tokens = self.tokens(text)
    if tokens[-1:] == [':']:
      del tokens[-1]
    if tokens.count('?') != 1:
      raise BadInput(f"no question in {text[-60:]!r}, wanted one like '? Q :'")
    at = tokens.index('?')
    rest = tokens[at + 1:]
    query = self._parameter(self.take_name(rest))
    rest = tokens[:at] + rest
    while rest:
      p = self._parameter(self.take_name(rest))
      self._define(p, self._read_rule(rest, text))
    return query

  def _read_rule(self, tokens: list[str], text: str) -> checker.Definition:
    """Removes a rule from the front of the tokens."""
    sign = tokens.pop(0) if tokens else ''
    if sign == '=' and tokens:
      if is_number(tokens[0]):
        return checker.Definition(int(tokens.pop(0)), '', False, ())
      return checker.Definition(None, '', False, (self._source(tokens),))
    constant, second, kind = None, None, ''
    if sign in _KINDS and tokens and is_number(tokens[0]):
      constant, kind = int(tokens.pop(0)), _KINDS[sign]
      if tokens and is_number(tokens[0]):
        return checker.Definition(constant, kind, False, (), int(tokens.pop(0)))
      sign = tokens[0] if tokens else ''
      if sign not in ('+', '-'):  # one parameter
        return checker.Definition(constant, kind, False,
                                  (self._source(tokens),))
      tokens.pop(0)
    if sign not in ('+', '-'):
      raise BadInput(f'cannot read the rule before {" ".join(tokens)!r} in '
                     f'{text!r}')
    count = 2
    while sign == '+' and tokens[:1] == ['+']:
      count += 1
      tokens.pop(0)
    sources = tuple(self._source(tokens) for _ in range(count))
    return checker.Definition(constant, kind, sign == '-', sources, second)

  def _source(self, tokens: list[str]) -> Parameter:
    return self._parameter(self.take_name(tokens))


class CompactReader(checker.Reader):
  """Reads solutions in symbols."""

  symbol = ''
  problem: CompactProblem

  def sentence(self, text: str) -> None:
    self.no_leading_zero(text)
    found = self.problem.step(text)
    if found is None:
      raise SolutionError(f'cannot read the sentence {text!r}')
    name, _ = found
    p = self.begin(name)
    tokens = self.problem.tokens(text)[len(self.problem.tokens(name)):]
    constants, results, unused = [], {}, set()
    while tokens:
      meaning = self._operation(tokens, constants, results, unused, text)
      symbol = f'#{len(results) + 1}'
      results[symbol] = meaning
      unused.add(symbol)
    unused.remove(symbol)  # the last result is p's
    if unused:
      raise SolutionError(f'{min(unused)} is not used')
    self.letters[self.problem.name(p)] = self.finish(p, meaning, constants,
                                                     len(results))

  def _operation(self, tokens: list[str], constants: list, results: dict,
                 unused: set, text: str) -> tuple:
    """Removes an operation from the front of the tokens; its meaning."""
    before, sign = ' '.join(tokens), tokens.pop(0)
    if sign not in tuple(_SIGNS):
      raise SolutionError(f'cannot read the sentence {text!r}')
    sides = []
    for _ in range(1 if sign == '=' else 2):
      first = tokens[0] if tokens else ''
      symbol = tokens.pop(0) if is_number(first) or first.startswith('#') else (
          self.problem.take_name(tokens))
      number = tokens.pop(0) if tokens else ''
      if not is_number(number):
        raise SolutionError(f'cannot read {before!r}')
      if symbol in results:
        unused.discard(symbol)
        if results[symbol][0] != int(number):
          raise SolutionError(f'{symbol} is written as {number}, wanted '
                              f'{results[symbol][0]}')
        sides.append(results[symbol])
      else:
        sides.append(self.operand(symbol, number, constants))
    if sign == '=':
      return sides[0]
    number = tokens.pop(0) if tokens else ''
    if not is_number(number):
      raise SolutionError(f'cannot read {before!r}')
    meaning = self.combine(sign, *sides)
    self.result(number, meaning, text)
    return meaning
