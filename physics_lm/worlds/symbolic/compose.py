"""Compositions of hidden permutations, with worked answers and a checker.

>>> from physics_lm.worlds.base import world_from_flags
>>> world = world_from_flags('compose', [], seed=0)
>>> world.example('train_d3', 0).text
' f6 f15 f9 9 ? 5 5 3'

The world's seed draws `functions` permutations of 0 .. modulus - 1. A problem
of depth d is a word of d of their names and a start; the innermost function is
the last. A worked answer names the value after each function, from the
innermost on (here f9(9) = 5, f15(5) = 5, f6(5) = 3); a short one only the
result. With `marked` the first token of an answer is its style, ' worked' or
' short', and `share_worked` is the share of worked answers.

Permutations, not any maps: compositions of those forget where they began (of
10 values 2.7 are left after six), so that the last functions alone would
answer. There are functions^d modulus problems of depth d (3.3 million at d 4,
24 functions and modulus 10), so practically none repeats.

Depths 1 to `equal_depths` are equally likely, each further one `depth_decay`
times as likely as the one before: without a tail there is no depth at which a
model is sometimes right, and reinforcement learning has nothing to begin with.
Splits: 'train' and 'test' by that law, 'train_d6' and 'test_d6' of depth 6
alone. Words of at least `held_out_depth` functions are in 'test' when a hash
of them is below 1/8, and in 'train' otherwise; of shorter words there are too
few to hold any out. Left out: functions of two arguments.

With `second_names` every function has a second name, g3 beside f3, and there
are splits of problems in second names, 'second', 'second_test', 'second_d6' and
so on. 'train' has none of them, but a share `exposure` of its problems are of
one function in its second name: what was learnt of f3 in long words has to be
carried over to g3.

With `judged` there are splits of verdicts beside those of problems, 'judge' and
'judge_test', 'judge_d6' and so on. An answer is right, or from a random step on
that of another value at that step; half of the requests show one, half two in
random order, of which one is right:

  f3 f11 4 ? 9 0 ok no          f3 f11 4 ? 9 0 or 2 5 better second

The answer's full check: a worked answer has every step right, a short one the
result. A result alone is right by chance in one of `modulus` cases
(`chance_floor`), so the full check is what counts.
"""

import re
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput
from physics_lm.worlds.base import (
  CHOOSE,
  GRADE,
  JUDGED_PIECES,
  CheckResult,
  Example,
  check_split,
  generator,
  mix_bits,
)

VERSION = 1
SIZE = 1 << 40  # problems of a split, each drawn from its index
DEPTHS = 16  # the largest depth of a problem
TEST_SHARE = 8  # one in so many words is a test word
ATTEMPTS = 2000  # words that are drawn for a problem
WORKED, SHORT = ' worked', ' short'
NO_NUMBER = 'no number'
_PER_DRAW = 8  # functions from one number of 64 bits


def _with_depths(*names: str) -> tuple[str, ...]:
  return *names, *(f'{n}_d{d}' for n in names for d in range(1, DEPTHS + 1))


class Compose:
  """Problems by index, and the checker of their answers."""

  version = VERSION
  splits = _with_depths('train', 'test')
  unbounded = False

  def __init__(self, config, seed: int):
    c = config
    self.F, self.m, self.max_depth = c.functions, c.modulus, c.max_depth
    self.marked, self.share_worked = c.marked, c.share_worked
    self.held_out_depth, self._seed = c.held_out_depth, seed
    if not c.equal_depths <= c.max_depth <= DEPTHS:
      raise BadInput(f'max_depth is {c.max_depth}, wanted at least '
                     f'equal_depths={c.equal_depths}, at most {DEPTHS}')
    self.judged, self.second_names = c.judged, c.second_names
    self.exposure = c.exposure
    if c.exposure and not c.second_names:
      raise BadInput(f'exposure is {c.exposure} and second_names is False, '
                     'wanted second_names=True')
    if c.judged:
      self.splits += _with_depths('judge', 'judge_test')
    if c.second_names:
      self.splits += _with_depths('second', 'second_test')
    weights = np.ones(c.max_depth)
    weights[c.equal_depths:] = c.depth_decay ** np.arange(
        1, c.max_depth - c.equal_depths + 1)
    self.depth_law = weights / weights.sum()
    self._edges = self.depth_law.cumsum()
    self.tables = np.stack([generator(seed, 'function', f).permutation(self.m)
                            for f in range(self.F)])  # [F, m]
    self._table = self.tables.tolist()
    self._key = {name: mix_bits(seed, i)
                 for i, name in enumerate(self.splits)}
    self._hash = mix_bits(seed, len(Compose.splits))

  def size(self, split: str) -> int:
    return self.people(split)

  def people(self, split: str) -> int:
    """Problems: all are different subjects."""
    check_split(self, split)
    return SIZE

  def pieces(self) -> list[str]:
    return [*(f' f{i}' for i in range(self.F)),
            *(f' {i}' for i in range(self.m)), ' ?',
            *((WORKED, SHORT) if self.marked else ()),
            *(JUDGED_PIECES if self.judged else ()),
            *((f' g{i}' for i in range(self.F)) if self.second_names else ())]

  def problem(self, split: str, index: int) -> tuple[tuple[int, ...], int]:
    """(functions of a word, outermost first; start) of problem `index`. Raises
    BadInput when the split seems to have no word of the problem's depth."""
    kind, _, depth = split.partition('_d')
    key = mix_bits(index, state=self._key[split])
    d = int(depth) if depth else 1 + min(int(np.searchsorted(
        self._edges, (key >> 11) * 2.0**-53, 'right')), self.max_depth - 1)
    for attempt in range(ATTEMPTS):  # until the word is of the split
      bits, word, draw = mix_bits(attempt, state=key), [], 0
      for j in range(d):
        if j % _PER_DRAW == 0:
          draw = mix_bits(j + 1, state=bits)
        draw, f = divmod(draw, self.F)
        word.append(f)
      if d < self.held_out_depth or (
          self._is_test(word) == kind.endswith('test')):
        return tuple(word), mix_bits(0, state=bits) % self.m
    raise BadInput(f'none of {ATTEMPTS} words of {d} of functions={self.F} is '
                   f'in {split!r}, with held_out_depth={self.held_out_depth}; '
                   'wanted more functions, or a larger held_out_depth')

  def _is_test(self, word: Sequence[int]) -> bool:
    return mix_bits(*word, state=self._hash) % TEST_SHARE == 0

  def values(self, word: Sequence[int], start: int) -> list[int]:
    """The value after each function, from the innermost on."""
    out = []
    for f in reversed(word):
      start = self._table[f][start]
      out.append(start)
    return out

  def example(self, split: str, index: int) -> Example:
    if not 0 <= index < self.size(split):
      raise IndexError(f'problem {index} of {SIZE} in {split}')
    if split == 'train' and self._chance(index, 2) < self.exposure:
      split = 'second_d1'
    word, start = self.problem(split, index)
    if split.startswith('judge'):
      return self._verdict(word, start, generator(self._hash, split, index))
    worked = self.share_worked == 1 or self._chance(
        index, 1) < self.share_worked
    return self.question(word, start, worked, split.startswith('second'))

  def _chance(self, index: int, draw: int) -> float:
    """A number in [0, 1) of an example."""
    return (mix_bits(index, draw, state=self._hash) >> 11) * 2.0**-53

  def question(self, word: Sequence[int], start: int, worked: bool = True,
               second: bool = False) -> Example:
    """The problem of a word and a start, with its answer; `second`: in second
    names."""
    values, letter = self.values(word, start), 'g' if second else 'f'
    prompt = [*(f' {letter}{f}' for f in word), f' {start}', ' ?']
    answer = [f' {v}' for v in (values if worked else values[-1:])]
    if self.marked:
      answer = [WORKED if worked else SHORT, *answer]
    end = len(prompt) + len(answer)
    return Example((*prompt, *answer), (('result', end - 1),),
                   tuple(range(len(prompt), end)),
                   {'word': tuple(word), 'start': start, 'depth': len(word)})

  def _verdict(self, word: Sequence[int], start: int, rng: np.random.Generator
               ) -> Example:
    """A request to judge worked answers to a problem, and the verdict."""
    right = self.values(word, start)
    at = int(rng.integers(len(right)))
    other = (right[at] + 1 + int(rng.integers(self.m - 1))) % self.m
    wrong = [*right[:at], other, *self.values(word[:len(word) - at - 1], other)]
    two, favour = rng.random(2) < 0.5
    shown = [right, wrong] if favour else [wrong, right]
    marks, verdicts = CHOOSE if two else GRADE
    question = self.question(word, start)
    pieces = list(question.pieces[:len(word) + 2])
    for values, mark in zip(shown, marks):
      pieces += [*([WORKED] if self.marked else []),
                 *(f' {v}' for v in values), mark]
    end = len(pieces)
    return Example((*pieces, verdicts[not favour]), (
        ('choose' if two else 'grade', end),), (end,), question.meta)

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks an answer: all steps of a worked one, the result of a short one.
    Without marks, any answer of a problem is worked unless the world has short
    ones and it is one number."""
    style, numbers, bad = self._parsed(text)
    values = self.values(question.meta['word'], question.meta['start'])
    if bad:
      return CheckResult(False, bad)
    if style == SHORT:
      if len(numbers) != 1:
        return CheckResult(False, f'{len(numbers)} numbers in a short answer')
      values = values[-1:]
    for i, (found, wanted) in enumerate(zip(numbers, values), 1):
      if found != wanted:
        return CheckResult(False, f'step {i} is {found}, wanted {wanted}')
    if len(numbers) != len(values):
      return CheckResult(False, f'{len(numbers)} steps of {len(values)}')
    return CheckResult(True, 'correct')

  def outcome(self, question: Example, text: str) -> bool:
    """Whether the last number of an answer is the result."""
    _, numbers, bad = self._parsed(text)
    values = self.values(question.meta['word'], question.meta['start'])
    return not bad and numbers[-1:] == values[-1:]

  def correct_steps(self, question: Example, text: str) -> tuple[int, int]:
    """(steps before the first wrong one, steps of the problem)."""
    _, numbers, _ = self._parsed(text)
    values = self.values(question.meta['word'], question.meta['start'])
    count = next((i for i, (a, b) in enumerate(zip(numbers, values))
                  if a != b), min(len(numbers), len(values)))
    return (count if len(numbers) <= len(values) else 0), len(values)

  def right_so_far(self, question: Example, text: str) -> bool:
    """Whether an answer, which need not be complete, has no wrong step."""
    style, numbers, bad = self._parsed(text)
    values = self.values(question.meta['word'], question.meta['start'])
    if self.marked and style == SHORT:
      values = values[-1:]
    return bad in ('', NO_NUMBER) and numbers == values[:len(numbers)]

  def style(self, text: str) -> str:
    """'worked', 'short' or 'none', of an answer without any number."""
    style, numbers, _ = self._parsed(text)
    return style.strip() if numbers else 'none'

  def _parsed(self, text: str) -> tuple[str, list[int], str]:
    """(style, numbers before anything else, what is wrong with it or '')."""
    words = text.split()
    style = WORKED
    if self.marked:
      if not words or f' {words[0]}' not in (WORKED, SHORT):
        return style, [], f'{" ".join(words[:1])!r} is no style'
      style = f' {words.pop(0)}'
    numbers, bad = [], '' if words else NO_NUMBER
    for w in words:
      if not re.fullmatch(r'[0-9]+', w) or int(w) >= self.m:
        bad = f'{w[:30]!r} is no number below {self.m}'
        break
      numbers.append(int(w))
    if not self.marked and self.share_worked < 1 and len(numbers) == 1:
      style = SHORT
    return style, numbers, bad

  def corrupt(self, question: Example, changes: int,
              rng: np.random.Generator) -> str:
    """A worked answer with `changes` of its numbers replaced by others (all of
    them, where it has fewer)."""
    values = self.values(question.meta['word'], question.meta['start'])
    for i in rng.permutation(len(values))[:changes]:
      values[i] = (values[i] + 1 + int(rng.integers(self.m - 1))) % self.m
    return (WORKED if self.marked else '') + ''.join(f' {v}' for v in values)


def chance_floor(modulus: int, unknown: int, samples: int = 1) -> float:
  """The probability that one of `samples` answers is fully right when
  `unknown` of its steps are uniform draws and the others right."""
  return 1 - (1 - float(modulus) ** -unknown) ** samples


def make(config: ConfigDict, seed: int) -> Compose:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return Compose(config, seed)
