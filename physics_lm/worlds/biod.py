"""bioD: synthetic people whose knowledge is counted in bits.

>>> from physics_lm.worlds.base import world_from_flags
>>> world = world_from_flags('biod', ['people=4'], seed=0)
>>> world.example('bio', 0).text  # name n23 n21, then attributes and values
' n23 n21 k1 v115 k3 v109 k2 v65 k0 v86'

Distribution bioD(N, K, C, D, L, T) (Physics of Language Models, Part 3.3,
sections 2.1 and 3): N distinct names out of N0; K attributes; a value is C
chunks of L symbols over an alphabet of T; each attribute has a set of D
distinct chunks out of T^L, and every chunk of every value is uniform from it.
An entry is the name and then the attributes in an order drawn for every entry.

Ours: a name is `name_length` symbols of a separate alphabet, so N0 is
name_alphabet ** name_length; an entry has the name once, then the symbol of
each attribute and those of its value (the paper has a sentence with the name
for each). With `order` 'fixed', all entries have their attributes in one order
and lack the attributes' own symbols, which then say nothing. Names come from a
keyed permutation of 0 .. N0-1 and values from a keyed hash, not from a stream
of draws. So person i is the same for any number of people, and a hundred
million of them take no memory. Worlds with the same seed and sizes but disjoint
ranges of people (person_offset) differ only in who the people are.

With `zipf_a` above 0 an entry is of person i with probability ~ (i // g +
1)^-(1 + zipf_a), where g people in a row, people_per_rank, are equally
frequent; the person of entry j follows from a hash of j (zipf.py). `skew` is
the exponent of a flatter law, ~ (i // g + 1)^-skew.

With `incorrect` above 0, that share of the values in entries is another one of
the attribute's: its first chunk is uniform over the others. It follows from a
hash of the entry's number and the attribute. The true value stays the most
frequent one; worlds that differ in `incorrect` alone agree on it.
"""

import math
from collections.abc import Iterator

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput
from physics_lm.worlds import zipf
from physics_lm.worlds.base import (
  CheckResult,
  Example,
  check_split,
  distinct,
  generator,
  mix_bits,
  permuted,
)

VERSION = 2
MAX_CACHED = 1 << 16  # people
ENTRIES = 1 << 20  # of a person: in effect, a new order each time
ORDERS = ('random', 'fixed')


def shuffled(count: int, state: int) -> list[int]:
  """0 .. count-1, permuted by 64 random bits (Fisher and Yates). Every 16
  swaps, before the bits run out, new ones are derived from them."""
  order, bits = list(range(count)), state
  for i in range(count - 1, 0, -1):
    if not i % 16:
      bits = state = mix_bits(i, state=state)
    bits, j = divmod(bits, i + 1)
    order[i], order[j] = order[j], order[i]
  return order


def shuffled_rows(count: int, states: np.ndarray) -> np.ndarray:
  """shuffled() of each state, uint64 [n] -> [n, count]."""
  rows, bits = np.arange(len(states)), states
  order = np.tile(np.arange(count), (len(states), 1))
  for i in range(count - 1, 0, -1):
    if not i % 16:
      bits = states = mix_bits(i, state=states)
    bits, j = np.divmod(bits, np.uint64(i + 1))
    j = j.astype(np.int64)
    last = order[:, i].copy()
    order[:, i] = order[rows, j]
    order[rows, j] = last
  return order


class BioD:
  """People 0 .. N-1. One split, 'bio'; with zipf_a = 0, entry i is of person
  i mod N."""

  version = VERSION
  splits = ('bio',)
  unbounded = False

  def __init__(self, config, seed: int):
    c = config
    if c.order not in ORDERS:
      raise BadInput(f'order is {c.order!r}, wanted one of '
                     f'{", ".join(ORDERS)}')
    for base, length in (('name_alphabet', 'name_length'),
                         ('symbols', 'chunk_length')):
      # Before the power is taken, which may have a billion digits.
      if c[length] * math.log2(c[base]) >= 62:
        raise BadInput(f'{base} ** {length} is {c[base]} ** {c[length]}, '
                       'wanted below 2 ** 62')
    self.fixed_order = c.order == 'fixed'
    self.n, self._keys = c.people, [f'k{a}' for a in range(c.attributes)]
    self.N0 = c.name_alphabet**c.name_length
    self.K, self.C, self.D = c.attributes, c.chunks, c.diversity
    self.L, self.T = c.chunk_length, c.symbols
    self.alphabet, self.name_length = c.name_alphabet, c.name_length
    every = self.T**self.L
    self.person_offset = c.person_offset
    if self.person_offset + self.n > self.N0:
      raise BadInput(f'people {self.person_offset} to '
                     f'{self.person_offset + self.n - 1}, but only {self.N0} '
                     f'names ({self.alphabet} ** {self.name_length})')
    if self.D > every:
      raise BadInput(f'diversity is {self.D} of {self.T} ** {self.L} chunks, '
                     'wanted at most their number')
    # The state of mix_bits before what a person's facts add to it.
    self._value_key, self._order_key = mix_bits(seed, 2), mix_bits(seed, 3)
    self._person_key = mix_bits(seed, 4)
    self.group = c.people_per_rank
    if self.n % self.group:
      raise BadInput(f'people_per_rank is {self.group}, wanted a divisor of '
                     f'people={self.n}')
    self.law = zipf.zipf_law(self.n // self.group, c.zipf_a, c.skew)
    self._incorrect_key, self.incorrect = mix_bits(seed, 5), c.incorrect
    if self.incorrect and self.incorrect >= 1 - 1 / self.D:
      raise BadInput(f'incorrect is {self.incorrect} of {self.D} values, '
                     f'wanted below {1 - 1 / self.D:g}, so that the true one '
                     'is the most frequent')
    self._name_keys = tuple(mix_bits(mix_bits(seed, 1), i) for i in range(4))
    self._cache: dict[int, tuple] = {}  # of a small world's people
    codes = [distinct(generator(seed, 'chunks', a), every, self.D)
             for a in range(self.K)]
    self.sets = [tuple(''.join(f' v{d}' for d in digits(
        int(code), self.T, self.L)) for code in row) for row in codes]
    self._codes = np.array(codes)  # of the same chunks, [K, D]
    self._table = None  # symbols of all people of a small world

  def size(self, split: str) -> int:
    return self.people(split) * ENTRIES

  def epoch(self, split: str) -> int:
    """Examples in a row that are one of each person."""
    return self.people(split)

  def people(self, split: str) -> int:
    check_split(self, split)
    return self.n

  def name(self, person: int) -> tuple[str, ...]:
    """The symbols of a name, each with its leading space."""
    code = permuted(self.person_offset + person, self.N0, self._name_keys)
    return tuple(f' n{d}' for d in digits(code, self.alphabet,
                                          self.name_length))

  def value(self, person: int, attribute: int) -> tuple[str, ...]:
    """The C chunks of a value."""
    state = mix_bits(self.person_offset + person, attribute,
                     state=self._value_key)
    chunks = self.sets[attribute]
    return tuple(chunks[mix_bits(c, state=state) % self.D]
                 for c in range(self.C))

  def _shift(self, index, attribute: int):
    """(whether entry `index` states another value, what is then added, modulo
    D, to the number of the true one's first chunk); of an int, or of an array
    of uint64."""
    bits = mix_bits(index, attribute, state=self._incorrect_key)
    other = 1 + mix_bits(0, state=bits) % max(self.D - 1, 1)
    return (bits >> 11) * 2.0**-53 < self.incorrect, other

  def _stated(self, person: int, attribute: int, index: int
              ) -> tuple[str, ...]:
    """The C chunks that an entry states as a value."""
    chunks = self.value(person, attribute)
    wrong, other = self._shift(index, attribute)
    if not wrong:
      return chunks
    every = self.sets[attribute]
    return every[(every.index(chunks[0]) + other) % self.D], *chunks[1:]

  def _facts(self, person: int):
    """(name, values) of a person."""
    facts = self._cache.get(person)
    if facts is None:
      facts = self.name(person), [self.value(person, a) for a in range(self.K)]
      if len(self._cache) < MAX_CACHED:
        self._cache[person] = facts
    return facts

  def example(self, split: str, index: int) -> Example:
    """Answers: ('k3', piece) of each chunk of attribute 3, in order."""
    if not 0 <= index < self.size(split):
      raise IndexError(f'example {index} of {self.size(split)} in {split}')
    if self.law:
      return self._entry(
          self._person(mix_bits(index, state=self._person_key)), index)
    return self._entry(index % self.n, index)

  def _person(self, bits: int) -> int:
    """The person that 64 random bits draw."""
    rank = self.law.person(bits)
    if self.group == 1:
      return rank
    return rank * self.group + mix_bits(1, state=bits) % self.group

  def rank(self, person: int | np.ndarray) -> int | np.ndarray:
    """Rank by frequency, from 1, of a person or an array of them; the one rank
    of a uniform world is 1."""
    return person // self.group + 1 if self.law else person * 0 + 1

  def frequency(self, rank: int | np.ndarray) -> np.ndarray:
    """Probability that an entry is of one given person of a rank (an array of
    ranks)."""
    if not self.law:
      return np.full(np.shape(rank), 1 / self.n)
    return self.law.share(rank) / self.group

  def _entry(self, person: int, index: int, true: bool = False) -> Example:
    """An entry of a person; `index` decides the order, and which values are
    incorrect, if any may be."""
    name, values = self._facts(person)
    if self.incorrect and not true:
      values = [self._stated(person, a, index) for a in range(self.K)]
    pieces, answers, order = list(name), [], range(self.K)
    if not self.fixed_order:
      order = shuffled(self.K, mix_bits(index, state=self._order_key))
    for a in order:
      key = self._keys[a]
      if not self.fixed_order:
        pieces.append(' ' + key)
      for chunk in values[a]:
        answers.append((key, len(pieces)))
        pieces.append(chunk)
    return Example(tuple(pieces), tuple(answers),
                   tuple(i for _, i in answers), {'person': person})

  def symbols(self, split: str, indices: np.ndarray) -> np.ndarray:
    """Entries `indices` [n] as numbers of pieces(), [n, tokens - 1] int32: of
    each entry, joined, the text of example()."""
    indices = np.asarray(indices, np.int64)
    if len(indices) and not 0 <= indices.min() <= indices.max() < (
        self.size(split)):
      raise IndexError(f'examples {indices.min()} to {indices.max()} of '
                       f'{self.size(split)} in {split}')
    bits = indices.astype(np.uint64)
    person = indices % self.n
    if self.law:
      drawn = mix_bits(bits, state=self._person_key).tolist()
      person = np.array([self._person(u) for u in drawn], np.int64)
    if self.n > MAX_CACHED or self.incorrect:
      facts = self._symbols_of(person, bits)
    else:
      if self._table is None:
        self._table = self._symbols_of(np.arange(self.n))
      facts = self._table[person]
    if self.fixed_order:
      return facts
    order = shuffled_rows(self.K, mix_bits(bits, state=self._order_key))
    values = facts[:, self.name_length:].reshape(len(indices), self.K, -1)
    values = np.take_along_axis(values, order[..., None], 1)
    return np.concatenate([facts[:, :self.name_length],
                           values.reshape(len(indices), -1)], 1)

  def _symbols_of(self, person: np.ndarray, entry: np.ndarray | None = None
                  ) -> np.ndarray:
    """symbols() of people [n], attributes in order, in entries [n]; None: with
    true values."""
    number = person.astype(np.uint64) + np.uint64(self.person_offset)
    n, first = len(person), self.alphabet
    parts = [digits_of(permuted(number, self.N0, self._name_keys),
                       self.alphabet, self.name_length)]
    for a in range(self.K):
      if not self.fixed_order:
        parts.append(np.full((n, 1), first + a))
      state = mix_bits(number, a, state=self._value_key)
      for c in range(self.C):
        chunk = mix_bits(c, state=state) % np.uint64(self.D)
        if self.incorrect and entry is not None and not c:
          wrong, other = self._shift(entry, a)
          chunk = (chunk + wrong * other) % np.uint64(self.D)
        code = self._codes[a][chunk.astype(np.int64)]
        parts.append(digits_of(code, self.T, self.L) + (
            first if self.fixed_order else first + self.K))
    return np.concatenate(parts, 1, dtype=np.int32, casting='unsafe')

  def entry(self, person: int) -> Example:
    """A person's true entry with the name's pieces among the answers ('name'):
    what evals/knowledge_bits.py scores."""
    e = self._entry(person, person, true=True)
    name = tuple(('name', i) for i in range(self.name_length))
    return Example(e.pieces, name + e.answers, e.loss, e.meta)

  def entropy(self, split: str = 'bio') -> float:
    """Entropy of an entry, nats: of the person and, if random, the order. It
    is the least loss of a model that knows all people."""
    person = self.law.entropy + math.log(self.group) if self.law else (
        math.log(self.n))
    q, value = self.incorrect, 0.0  # nats of which value is stated
    if q:
      value = q * math.log((self.D - 1) / q) - (1 - q) * math.log(1 - q)
    return person + self.K * value + (
        0.0 if self.fixed_order else math.lgamma(self.K + 1))

  @property
  def tokens(self) -> int:
    """Tokens of an entry, one per symbol, with the end token."""
    of_attribute = self.C * self.L + (0 if self.fixed_order else 1)
    return 1 + self.name_length + self.K * of_attribute

  def pieces(self) -> Iterator[str]:
    yield from (f' n{d}' for d in range(self.alphabet))
    if not self.fixed_order:
      yield from (f' k{a}' for a in range(self.K))
    yield from (f' v{d}' for d in range(self.T))

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks that a text is an entry of the question's person, in any order,
    or in the fixed one."""
    person = question.meta['person']
    name, rest = ''.join(self.name(person)), text
    if not rest.startswith(name):
      return CheckResult(False, f'begins {rest[:30]!r}, wanted {name!r}')
    rest = rest.removeprefix(name)
    left = [('' if self.fixed_order else f' k{a}')
            + ''.join(self.value(person, a)) for a in range(self.K)]
    while left:
      open_ = left[:1] if self.fixed_order else left
      found = next((s for s in open_ if (rest + ' ').startswith(s + ' ')), None)
      if found is None:
        return CheckResult(False,
                           f'{rest[:30]!r} is none of the attributes left')
      left.remove(found)
      rest = rest.removeprefix(found)
    return CheckResult(False, f'text after the entry: {rest!r}') if rest else (
        CheckResult(True, 'ok'))


def digits(code: int, base: int, length: int) -> list[int]:
  """The `length` digits of a number to a base, the most significant first."""
  out = []
  for _ in range(length):
    code, digit = divmod(code, base)
    out.append(digit)
  return out[::-1]


def digits_of(codes: np.ndarray, base: int, length: int) -> np.ndarray:
  """digits() of each number, [n] -> [n, length]."""
  scale = np.array([base**i for i in reversed(range(length))], codes.dtype)
  return codes[:, None] // scale % codes.dtype.type(base)


def make(config: ConfigDict, seed: int) -> BioD:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return BioD(config, seed)
