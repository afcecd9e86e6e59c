"""Instructions on short strings, with a checker and held-out instructions.

The smallest world of instruction tuning (Zhang et al., arXiv 2410.10717, whose
tasks are also of the form "replace x by y in z"): does a model that was trained
on some instructions follow others?

>>> from physics_lm.worlds.base import world_from_flags
>>> world = world_from_flags('instruct', ['families=replace,delete+reverse'],
...                          seed=0)
>>> world.example('train', 0).text
' User delete t then reverse r f t t l y AI y l f r .'
>>> world.check(world.example('train', 0), ' y l f r t .').reason
"word 5 is 't', wanted '.'"

A family is a chain of operations: `replace x y`, `delete x`, `double x`,
`reverse`, `count x`, `select k`, joined with '+'. Each family is equally
likely. An instruction is the operations with their arguments. Of each operation
with at least 8 possible arguments (replace: all ordered pairs of symbols) an
eighth is held out, in chains too; `instructions` is how many of the others are
in training: the first ones of one order, so a larger set holds a smaller one
and all models answer the same test. Rank k has probability ~ k^-zipf_a.

An input has min_length .. max_length different symbols, except x, which occurs
one to three times, or in a share `no_op` of training examples not at all. An
input is a test one where a hash of it is below 1/8, and a training one
otherwise: test questions are new in the instruction or not, in the input
always.

Forms: an instruction; or, in a share `share_shots`, `shots` worked pairs of an
input and its answer instead of one. Markers: `user_ai`; `separator`, '>' before
the answer; `none`. An answer closes with a full stop, so that a model must know
where it is complete.

A second language (share `second`) has other symbols and other words for the
operations, or with `shared_words` the same; families in `first_only` are taught
in the first language alone. A share `dictionary` of rows translates a word,
which is how the words of the second may be learnt.

Splits: 'train'; one for each kind of test, as 'test_replace_new' (held-out
arguments), 'test_replace_known' (arguments of training), then optionally
'_second' (language) and '_shots'; families in `held_out` occur in these alone;
'test': one of each kind in turn. Loss 'answers' is on the answer alone. Left
out: operations that need arithmetic or knowledge, inputs without x in a test.
"""

import functools
import itertools
import types
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput, nearest
from physics_lm.worlds.base import (
  DRAWN_TEXTS,
  CheckResult,
  DrawnTexts,
  Example,
  check_split,
  generator,
  mix_bits,
)
from physics_lm.worlds.grammar import letter

VERSION = 1
# {operation: (arguments, its words in the two languages)}; 'x' and 'y' are
# symbols, 'k' a place.
INSTRUCTIONS = {
    'replace': ('xy', ('replace', 'ersetze')),
    'delete': ('x', ('delete', 'streiche')),
    'double': ('x', ('double', 'verdopple')),
    'reverse': ('', ('reverse', 'wende')),
    'count': ('x', ('count', 'zaehle')),
    'select': ('k', ('select', 'nimm'))}
LAST = ('count', 'select')  # operations whose result is no string
MARKERS = {'user_ai': (' User', ' AI'), 'separator': ('', ' >'),
           'none': ('', '')}
THEN = (' then', ' dann')
TRANSLATE, STOP = ' translate', ' .'
HELD_OUT = 8  # one in so many arguments and inputs is of tests
MOST = 3  # times that x occurs in an input

Instruction = tuple[tuple[str, tuple[int, ...]], ...]  # operations, arguments
Answer = list[int | str]  # symbols, or a number in digits


class Kind(NamedTuple):
  """A kind of test question."""

  family: str
  new: bool  # held-out arguments
  second: bool  # language
  shots: bool

  @property
  def name(self) -> str:
    return '_'.join([self.family, 'new' if self.new else 'known', *(
        n for n in ('second', 'shots') if getattr(self, n))])


def follow(instruction: Instruction, symbols: Sequence[int]) -> Answer:
  """The result of an instruction's operations, one after the other."""
  out = list(symbols)
  for name, args in instruction:
    if name == 'replace':
      out = [args[1] if a == args[0] else a for a in out]
    elif name == 'delete':
      out = [a for a in out if a != args[0]]
    elif name == 'double':
      out = [a for b in out for a in [b] * (1 + (b == args[0]))]
    elif name == 'reverse':
      out = out[::-1]
    elif name == 'count':
      out = [str(out.count(args[0]))]
    else:  # select
      out = out[args[0] - 1:args[0]]
  return out


def _draws(state: int) -> Callable[[int], int]:
  """A function that draws a number below its argument."""
  count, bits, left = 0, 0, 1

  def below(high: int) -> int:
    nonlocal count, bits, left
    if left < high << 16:  # too few bits for an even draw
      count += 1
      bits, left = mix_bits(count, state=state), 1 << 64
    bits, out = divmod(bits, high)
    left //= high
    return out
  return below


def _share(below: Callable[[int], int]) -> float:
  return below(1 << 24) / (1 << 24)


class Instruct(DrawnTexts):
  """Examples by index, and the checker of their answers."""

  version = VERSION
  joint_answers = True  # an answer is all pieces of its kind in an example

  def __init__(self, config: ConfigDict, seed: int):
    c = self._c = types.SimpleNamespace(**config)
    self._families, self._tests, self._first = (
        tuple(f.strip() for f in config[k].split(',') if f.strip())
        for k in ('families', 'held_out', 'first_only'))
    self._check()
    self._both = tuple(f for f in self._families if f not in self._first)
    self._start, self._middle = MARKERS[c.markers]
    names = dict.fromkeys(
        n for f in (*self._families, *self._tests) for n in f.split('+'))
    self.arguments = {n: self._arguments(n, seed) for n in names}
    most = max(map(self._usable, names), default=0)
    if c.instructions > most:
      raise BadInput(f'instructions is {c.instructions}, wanted at most '
                     f'{most}: the arguments that are not held out')
    self._edges = {n: self._cumulative(n) for n in names}
    self.kinds = {f'test_{k.name}': k for k in self._all_kinds()}
    self.splits = ('train', 'test', *self.kinds)
    self._key = {s: mix_bits(seed, i) for i, s in enumerate(self.splits)}
    self._hash = mix_bits(seed, 1 << 20)
    self._letters = tuple(
        tuple(f' {shape(letter(a))}' for a in range(c.symbols))
        for shape in (str, str.upper))

  def _check(self):
    c = self._c
    if not self._families:
      raise BadInput(f"families is {c.families!r}, wanted one at least, as "
                     "'replace'")
    for family in (*self._families, *self._tests, *self._first):
      *others, last = family.split('+')
      for n in (*others, last):
        if n not in INSTRUCTIONS:
          raise BadInput(f'unknown operation {n!r}; {nearest(n, INSTRUCTIONS)}')
      for n in others:
        if n in LAST:
          raise BadInput(f'family {family!r} goes on after {n!r}, wanted it at '
                         'the end, since its result is no string')
    if strange := [f for f in self._first if f not in self._families]:
      raise BadInput(f'first_only has {strange[0]!r}, wanted families of '
                     f'{c.families!r}')
    if c.markers not in MARKERS:
      raise BadInput(f'markers is {c.markers!r}; {nearest(c.markers, MARKERS)}')
    if not c.min_length <= c.max_length < c.symbols - 2:
      raise BadInput(f'min_length is {c.min_length}, max_length {c.max_length} '
                     f'and symbols {c.symbols}, wanted the second at least the '
                     'first, and three symbols more')
    if c.share_shots and not c.shots:
      raise BadInput(f'share_shots is {c.share_shots} with shots=0, wanted '
                     'shots of at least 1')

  def _universe(self, name: str) -> int:
    """How many arguments an operation can have."""
    V, kind = self._c.symbols, INSTRUCTIONS[name][0]
    return {'xy': V * (V - 1), 'x': V, '': 1, 'k': self._c.min_length}[kind]

  def _usable(self, name: str) -> int:
    """How many of them are not held out."""
    n = self._universe(name)
    return n - n // HELD_OUT

  def _arguments(self, name: str, seed: int
                 ) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """(those of training, by rank; those held out)."""
    V, kind, n = self._c.symbols, INSTRUCTIONS[name][0], self._universe(name)
    order = generator(seed, 'instruct', name).permutation(n).tolist()
    if kind == 'xy':
      pairs = [divmod(r, V - 1) for r in order]
      made = [(x, y + (y >= x)) for x, y in pairs]
    else:
      made = [() if kind == '' else (r + (kind == 'k'),) for r in order]
    usable = self._usable(name)
    return (made[:min(self._c.instructions or usable, usable)], made[usable:])

  def _cumulative(self, name: str) -> np.ndarray:
    weight = np.arange(1, len(self.arguments[name][0]) + 1) ** -float(
        self._c.zipf_a)
    return weight.cumsum() / weight.sum()

  def _all_kinds(self) -> list[Kind]:
    """Every kind of test question that the keys allow."""
    out = []
    for family in (*self._families, *self._tests):
      allowed = (any(self.arguments[n][1] for n in family.split('+')),
                 self._c.second > 0, self._c.share_shots > 0)
      out += [Kind(family, *kind) for kind in itertools.product(*(
          (False, True) if a else (False,) for a in allowed))]
    return out

  def pieces(self) -> list[str]:
    operations = [f' {w}' for _, words in INSTRUCTIONS.values() for w in words]
    return [*self._letters[0], *self._letters[1], *operations, *THEN, TRANSLATE,
            STOP, *(m for m in (self._start, self._middle) if m),
            *(f' {k}' for k in range(self._c.max_length + 1))]

  def example(self, split: str, index: int) -> Example:
    check_split(self, split)
    if not 0 <= index < DRAWN_TEXTS:
      raise IndexError(f'example {index} of {DRAWN_TEXTS} in {split}')
    if split == 'test':
      index, kind = divmod(index, len(self.kinds))
      split = self.splits[2 + kind]
    below = _draws(mix_bits(index, state=self._key[split]))
    if split != 'train':
      return self._question(self.kinds[split], below, True)
    c = self._c
    if c.dictionary and _share(below) < c.dictionary:
      return self._entry(below)
    second = bool(c.second) and bool(self._both) and _share(below) < c.second
    families = self._both if second else self._families
    shots = bool(c.share_shots) and _share(below) < c.share_shots
    return self._question(Kind(families[below(len(families))], False, second,
                               shots), below, False)

  def _question(self, kind: Kind, below: Callable, test: bool) -> Example:
    """An example of a kind, of test or training inputs."""
    instruction = tuple((n, self._argument(n, kind.new, below))
                        for n in kind.family.split('+'))
    absent = not test and _share(below) < self._c.no_op
    count = self._c.shots if kind.shots else 0
    worked = [self._input(instruction, absent, below, test)
              for _ in range(count)]
    symbols = self._input(instruction, absent, below, test)
    answer = follow(instruction, symbols)
    parts = [p for z in worked for p in (
        self._start, *self._words(z, kind.second), self._middle,
        *self._words(follow(instruction, z), kind.second), STOP)]
    if not count:
      parts = [self._start, *self._operations(instruction, kind.second)]
    else:
      parts.append(self._start)
    parts += [*self._words(symbols, kind.second), self._middle]
    return self._finished(parts, [*self._words(answer, kind.second), STOP], {
        'kind': kind.name, 'instruction': instruction, 'input': symbols,
        'second': kind.second})

  def _entry(self, below: Callable) -> Example:
    """A row of the dictionary: a word and what it is in the other language."""
    words = self._pairs
    pair, back = words[below(len(words))], below(2)
    return self._finished([self._start, TRANSLATE, pair[back], self._middle],
                          [pair[1 - back], STOP], {'kind': 'dictionary'})

  @functools.cached_property
  def _pairs(self) -> list[tuple[str, str]]:
    return [*zip(*self._letters), *(
        (f' {a}', f' {b}') for a, b in (
            INSTRUCTIONS[n][1] for n in self.arguments))]

  def _finished(self, prompt: list[str], answer: list[str], meta: dict
                ) -> Example:
    prompt = [p for p in prompt if p]
    at = range(len(prompt), len(prompt) + len(answer))
    return Example((*prompt, *answer), tuple((meta['kind'], i) for i in at),
                   tuple(at), meta | {'wanted': tuple(answer)})

  def _argument(self, name: str, new: bool, below: Callable
                ) -> tuple[int, ...]:
    known, held_out = self.arguments[name]
    if new and held_out:
      return held_out[below(len(held_out))]
    if not self._c.zipf_a:
      return known[below(len(known))]
    rank = int(np.searchsorted(self._edges[name], _share(below), 'right'))
    return known[min(rank, len(known) - 1)]

  def _input(self, instruction: Instruction, absent: bool, below: Callable,
             test: bool) -> tuple[int, ...]:
    """The symbols of an input that is of tests, or of training."""
    c = self._c
    named = [args[0] for n, args in instruction
             if INSTRUCTIONS[n][0].startswith('x')]
    while True:
      n = c.min_length + below(c.max_length - c.min_length + 1)
      out: list[int] = []
      while len(out) < n:
        a = below(c.symbols)
        if a not in out and a not in named:
          out.append(a)
      if not absent:  # operations put in later may overwrite earlier ones
        for x in named:
          for _ in range(1 + below(MOST)):
            out[below(n)] = x
      if self._is_test(out) == test:
        return tuple(out)

  def _is_test(self, symbols: Sequence[int]) -> bool:
    number = functools.reduce(self._appended, symbols, 1)
    return mix_bits(number & (1 << 64) - 1, state=self._hash) % HELD_OUT == 0

  def _appended(self, number: int, symbol: int) -> int:
    return number * self._c.symbols + symbol

  def _words(self, answer: Sequence[int | str], second: bool) -> list[str]:
    names = self._letters[second]
    return [f' {a}' if isinstance(a, str) else names[a] for a in answer]

  def _operations(self, instruction: Instruction, second: bool) -> list[str]:
    """The words of an instruction."""
    language, out = second and not self._c.shared_words, []
    for name, args in instruction:
      kind, words = INSTRUCTIONS[name]
      out += [THEN[language]] if out else []
      out.append(f' {words[language]}')
      out += [f' {a}' if k == 'k' else self._letters[second][a]
              for k, a in zip(kind, args)]
    return out

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks an answer word by word, the full stop too."""
    wanted, found = [w.strip() for w in question.meta['wanted']], text.split()
    for i, word in enumerate(wanted):
      if i == len(found):
        return CheckResult(False, f'{i} words, wanted {len(wanted)}')
      if found[i] != word:
        return CheckResult(False, f'word {i + 1} is {found[i][:30]!r}, wanted '
                           f'{word!r}')
    if len(found) > len(wanted):
      return CheckResult(False, f'{len(found)} words, wanted {len(wanted)}')
    return CheckResult(True, 'correct')


def make(config: ConfigDict, seed: int) -> Instruct:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return Instruct(config, seed)
