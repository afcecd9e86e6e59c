"""bioD: people as pure information, so that knowledge can be counted in bits.

Distribution bioD(N, K, C, D, L, T) (Physics of Language Models, Part 3.3,
sections 2.1 and 3): N distinct names out of N0; K attributes; a value is C
chunks of L symbols over an alphabet of T; for each attribute a set of D
distinct chunks out of T^L, and every chunk of every value uniform from it. An
entry is the name and then the attributes in an order that is drawn anew for
every entry.

Ours: a name is `name_length` symbols of an alphabet of its own, so N0 is
name_alphabet ** name_length; an entry is the name once, then each attribute's
symbol and its value's (the paper writes a sentence with the name for each).
Names come from a keyed permutation of 0 .. N0-1 and values from a keyed hash,
not from a stream: person i is the same for any number of people, and a hundred
million of them take no memory. Worlds of one seed and shape whose numbers of
people (first .. first + N - 1) are apart are of other people, told alike.

With `power` above 0 an entry is of person i with probability ~ (i + 1)^-(1 +
power), and entry number j's person follows from a hash of j: power.py.
"""

import math

from physics_lm.errors import BadInput, nearest
from physics_lm.worlds import zipf
from physics_lm.worlds.base import (
  CheckResult,
  Example,
  distinct,
  generator,
  mix_bits,
)

VERSION = 2
REMEMBERED = 1 << 16  # people
ORDERS = 1 << 20  # entries of a person: in effect, a fresh order each time


def permuted(i: int, size: int, keys: tuple[int, ...]) -> int:
  """Where a keyed permutation of 0 .. size-1 sends i: a Feistel network over
  the next power of four, one turn a key, walked until it lands inside."""
  half = max(((size - 1).bit_length() + 1) // 2, 1)
  mask = (1 << half) - 1
  while True:
    left, right = i >> half, i & mask
    for key in keys:
      left, right = right, left ^ (mix_bits(right, state=key) & mask)
    i = left << half | right
    if i < size:
      return i


def shuffled(count: int, state: int) -> list[int]:
  """0 .. count-1 in an order that 64 random bits decide (Fisher and Yates);
  every 16 turns, before the bits run short, new ones follow from them."""
  order, bits = list(range(count)), state
  for i in range(count - 1, 0, -1):
    if not i % 16:
      bits = state = mix_bits(i, state=state)
    bits, j = divmod(bits, i + 1)
    order[i], order[j] = order[j], order[i]
  return order


class BioD:
  """People 0 .. N-1. One split, 'bio': entry i is of person i mod N, without
  a power law."""

  version = VERSION
  splits = ('bio',)
  unbounded = False

  def __init__(self, config, seed: int):
    c = config
    for key in ('people', 'name_alphabet', 'name_length', 'attributes',
                'chunks', 'diversity', 'chunk_length', 'symbols'):
      if c[key] < 1:
        raise BadInput(f'{key} is {c[key]}, wanted at least 1')
    self.n, self._keys = c.people, [f'k{a}' for a in range(c.attributes)]
    self.N0 = c.name_alphabet**c.name_length
    self.K, self.C, self.D = c.attributes, c.chunks, c.diversity
    self.L, self.T = c.chunk_length, c.symbols
    self.alphabet, self.name_length = c.name_alphabet, c.name_length
    every = self.T**self.L
    self.person_offset = c.person_offset
    if self.person_offset < 0 or self.person_offset + self.n > self.N0:
      raise BadInput(f'people {self.person_offset} to {self.person_offset + self.n - 1}, but '
                     f'only {self.N0} names ({self.alphabet} ** '
                     f'{self.name_length})')
    if self.D > every or every >= 1 << 62:
      raise BadInput(f'diversity is {self.D} of {self.T} ** {self.L} chunks, '
                     'wanted at most as many, and fewer than 2 ** 62')
    # Each of a person's facts goes on from a chain that begins alike.
    self._value_key, self._order_key = mix_bits(seed, 2), mix_bits(seed, 3)
    self._person_key, self.law = mix_bits(seed, 4), zipf.zipf_law(self.n, c.zipf_a)
    self._name_keys = tuple(mix_bits(mix_bits(seed, 1), i) for i in range(4))
    # A small world is remembered, a large one made anew each time.
    self._told: dict[int, tuple] = {}
    self.sets = [tuple(self._chunk(int(code)) for code in distinct(
        generator(seed, 'chunks', a), every, self.D)) for a in range(self.K)]

  def _chunk(self, code: int) -> str:
    return ''.join(f' v{d}' for d in digits(code, self.T, self.L))

  def size(self, split: str) -> int:
    return self.people(split) * ORDERS

  def people(self, split: str) -> int:
    if split not in self.splits:
      raise BadInput(f'unknown split {split!r}; {nearest(split, self.splits)}')
    return self.n

  def name(self, person: int) -> tuple[str, ...]:
    """The symbols of a name, each with its leading space."""
    code = permuted(self.person_offset + person, self.N0, self._name_keys)
    return tuple(f' n{d}' for d in digits(code, self.alphabet,
                                          self.name_length))

  def value(self, person: int, attribute: int) -> tuple[str, ...]:
    """The C chunks of a value."""
    state = mix_bits(self.person_offset + person, attribute, state=self._value_key)
    chunks = self.sets[attribute]
    return tuple(chunks[mix_bits(c, state=state) % self.D]
                 for c in range(self.C))

  def _tell(self, person: int):
    """(name, values) of a person."""
    told = self._told.get(person)
    if told is None:
      told = self.name(person), [self.value(person, a) for a in range(self.K)]
      if len(self._told) < REMEMBERED:
        self._told[person] = told
    return told

  def example(self, split: str, index: int) -> Example:
    """Answers: ('k3', piece) of each chunk of attribute 3, in order."""
    if not 0 <= index < self.size(split):
      raise IndexError(f'example {index} of {self.size(split)} in {split}')
    if self.law:
      return self._entry(
          self.law.person(mix_bits(index, state=self._person_key)), index)
    return self._entry(index % self.n, index)

  def _entry(self, person: int, index: int) -> Example:
    """An entry of a person; `index` decides the order."""
    name, values = self._tell(person)
    pieces, answers = list(name), []
    for a in shuffled(self.K, mix_bits(index, state=self._order_key)):
      key = self._keys[a]
      pieces.append(' ' + key)
      for chunk in values[a]:
        answers.append((key, len(pieces)))
        pieces.append(chunk)
    return Example(tuple(pieces), tuple(answers),
                   tuple(i for _, i in answers), {'person': person})

  def entry(self, person: int) -> Example:
    """A person's entry with the name's pieces among the answers ('name'):
    what evals/knowledge_bits.py scores."""
    e = self._entry(person, person)
    name = tuple(('name', i) for i in range(self.name_length))
    return Example(e.pieces, name + e.answers, e.loss, e.meta)

  def floor(self, split: str = 'bio') -> float:
    """Entropy of an entry, nats: of the person and the order; a model that
    knows everybody loses no less."""
    person = self.law.entropy if self.law else math.log(self.n)
    return person + math.lgamma(self.K + 1)

  @property
  def tokens(self) -> int:
    """Of an entry, a symbol a token, and the end."""
    return 1 + self.name_length + self.K * (1 + self.C * self.L)

  def pieces(self):
    yield from (f' n{d}' for d in range(self.alphabet))
    yield from (f' k{a}' for a in range(self.K))
    yield from (f' v{d}' for d in range(self.T))

  def check(self, question: Example, text: str) -> CheckResult:
    """Whether a text is an entry of that person, in any order."""
    person = question.meta['person']
    name, rest = ''.join(self.name(person)), text
    if not rest.startswith(name):
      return CheckResult(False, f'begins {rest[:30]!r}, wanted {name!r}')
    rest, left = rest.removeprefix(name), {
        f' k{a}' + ''.join(self.value(person, a)) for a in range(self.K)}
    while left:
      told = next((s for s in left if (rest + ' ').startswith(s + ' ')), None)
      if told is None:
        return CheckResult(False, f'{rest[:30]!r} is none of the attributes left')
      left.remove(told)
      rest = rest.removeprefix(told)
    return CheckResult(False, f'text after the entry: {rest!r}') if rest else (
        CheckResult(True, 'ok'))


def digits(code: int, base: int, length: int) -> list[int]:
  out = []
  for _ in range(length):
    code, digit = divmod(code, base)
    out.append(digit)
  return out[::-1]


def make(config, seed: int) -> BioD:
  return BioD(config, seed)
