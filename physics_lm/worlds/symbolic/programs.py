"""Straight-line programs with their traces: arithmetic without planning.

Statements are in the order in which they run. Each is written out, then with
the values of its operands, then with its result modulo m, in the symbols of
compact iGSM (worlds/igsm/compact.py) but not in the form of its sentences:

>>> from physics_lm.worlds.base import world_from_flags
>>> for trace in ('computed', 'copied', 'random'):
...   world = world_from_flags('programs', ['max_length=3', 'min_length=3',
...                                         f'trace={trace}'], seed=0)
...   world.example('train', 0).text
' Xi = 3 * 2 = 3 * 2 = 1. Xu = Xi * 3 = 1 * 3 = 3. Yo = 2 * Xi = 2 * 1 = 2.'
' Xi = 3 * 2 = 3 * 2 = 2. Xu = Xi * 3 = 2 * 3 = 3. Yo = 2 * Xi = 2 * 2 = 2.'
' Xi = 3 * 2 = 0 * 2 = 2. Xu = Xi * 3 = 4 * 0 = 3. Yo = 2 * Xi = 4 * 1 = 2.'

`form='sentences'` has that form, each operand followed by its value:
`Xi * 3 3 2 2 1.` The number of statements is uniform in min_length ..
max_length, names are drawn anew for each program. A sign is uniform among + -
*; an operand is a constant with probability 1/3, and where nothing is defined
yet, else any name defined before. Controls, programs alike: `trace='copied'`
draws the results, so that operands are looked up and nothing is computed;
'random' draws also the values of operands, constants' too: the format alone.

Loss 'answers' is on the values. Splits: 'train'; 'test', other programs of the
same law. The checker runs the program, whatever `trace` is.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from physics_lm.errors import BadInput, nearest
from physics_lm.worlds.base import (
  DRAWN_TEXTS,
  CheckResult,
  DrawnTexts,
  Example,
  check_split,
  generator,
)
from physics_lm.worlds.igsm.text import load_hierarchy

VERSION = 1
SIGNS = {'+': int.__add__, '-': int.__sub__, '*': int.__mul__}
TRACES = ('computed', 'copied', 'random')
_CONSTANT = 1 / 3  # probability of an operand


class Statement(NamedTuple):
  """How a statement is written: its parts, in str.format's notation."""

  text: str
  operands: tuple[int, int]  # pieces that are the values of operands
  result: int  # and of the result

  def write(self, **parts: str | int) -> list[str]:
    """The pieces."""
    return [f' {p}' for p in self.text.format(**parts).split()] + ['.']

  @property
  def size(self) -> int:
    """Pieces, with the full stop."""
    return len(self.text.split()) + 1


FORMS = {
    'infix': Statement('{name} = {a} {sign} {b} = {x} {sign} {y} = {result}',
                  (6, 8), 10),
    'sentences': Statement('{name} {sign} {a} {x} {b} {y} {result}', (3, 5), 6)}


class Programs(DrawnTexts):
  """Programs by index, and the checker of their traces."""

  version = VERSION
  splits = ('train', 'test')

  def __init__(self, config, seed: int):
    c = config
    self.m, self.low, self.high = c.modulus, c.min_length, c.max_length
    self.trace, self._seed = c.trace, seed
    for key, known in (('trace', TRACES), ('form', FORMS)):
      if c[key] not in known:
        raise BadInput(f'{key} is {c[key]!r}; {nearest(c[key], known)}')
    known = load_hierarchy('syllables')[1][1][0]
    if not self.low <= self.high <= c.names <= len(known):
      raise BadInput(f'min_length is {self.low}, max_length {self.high} and '
                     f'names {c.names}, wanted each at most the next, and at '
                     f'most {len(known)} names')
    self._names, self.form = known[:c.names], FORMS[c.form]

  def example(self, split: str, index: int) -> Example:
    check_split(self, split)
    if not 0 <= index < DRAWN_TEXTS:
      raise IndexError(f'program {index} of {DRAWN_TEXTS} in {split}')
    rng = generator(self._seed, 'programs', split, index)
    n = int(rng.integers(self.low, self.high + 1))
    names = [self._names[i] for i in rng.permutation(len(self._names))[:n]]
    source, drawn = rng.random((n, 5)), rng.integers(self.m, size=(n, 3))
    pieces, answers, program, known = [], [], [], {}
    for name, u, at_random in zip(names, source.tolist(), drawn.tolist()):
      defined = list(known)
      a, b = (self._operand(defined, *u[i:i + 2]) for i in (0, 2))
      sign = '+-*'[int(3 * u[4])]
      x, y = (known[q] if q in known else int(q) for q in (a, b))
      result = SIGNS[sign](x, y) % self.m
      if self.trace == 'random':
        x, y, result = at_random
      elif self.trace == 'copied':
        result = at_random[2]
      known[name] = result
      answers += [('operand', len(pieces) + at) for at in self.form.operands]
      answers.append(('result', len(pieces) + self.form.result))
      pieces += self.form.write(name=name, sign=sign, a=a, x=x, b=b, y=y,
                                    result=result)
      program.append((name, sign, a, b))
    return Example(tuple(pieces), tuple(answers),
                   tuple(at for _, at in answers), {'program': program})

  def _operand(self, defined: Sequence[str], kind: float, which: float) -> str:
    """A constant or a defined name, by two numbers in [0, 1)."""
    if not defined or kind < _CONSTANT:
      return str(int(which * self.m))
    return defined[int(which * len(defined))]

  def pieces(self) -> Sequence[str]:
    return (*(f' {p}' for p in ('=', *SIGNS, *range(self.m), *self._names)),
            '.')

  def check(self, question: Example, text: str) -> CheckResult:
    """Runs a trace of the question's program, statement by statement."""
    program, known = question.meta['program'], {}
    lines = [f'{line}.' for line in text.split('.')[:-1]]
    if len(lines) != len(program) or ''.join(lines) != text:
      return CheckResult(False, f'{len(lines)} statements, wanted '
                         f'{len(program)}')
    for i, (line, (name, sign, a, b)) in enumerate(zip(lines, program), 1):
      x, y = (int(known.get(q, q)) for q in (a, b))
      known[name] = SIGNS[sign](x, y) % self.m
      wanted = ''.join(self.form.write(
          name=name, sign=sign, a=a, x=x, b=b, y=y, result=known[name]))
      if line != wanted:
        return CheckResult(False, f'statement {i} is {line[:40]!r}, wanted '
                           f'{wanted!r}')
    return CheckResult(True, f'{len(program)} statements')


def make(config: ConfigDict, seed: int) -> Programs:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return Programs(config, seed)
