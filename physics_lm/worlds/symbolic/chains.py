"""Chains of pointers: how many can a model follow at once?

`hops` (Sanford et al., arXiv 2402.09268, definition 4.1): a number k and N
symbols, no two neighbours equal. find_1(i) is one more than the last place
before i that holds the same symbol, find_k(i) = find_1(find_k-1(i)), and
hop_k(i) is the symbol at find_k(i). At every place hop_k(i) is predicted, not
the next symbol; '-' where there is none.

>>> from physics_lm.worlds.base import world_from_flags
>>> world = world_from_flags('chains', ['length=12', 'symbols=5'], seed=0)
>>> one = world.example('train', 3)
>>> one.text
' 1 c d c e b d c d b e c e'
>>> ''.join(one.labels[1:])
' - - d - - c e c d b d c'
>>> hop_symbols('c d c e b d c d b e c e'.split(), 2)[-1]
'd'

k is uniform in 0 .. max_hops (hop_0 is the symbol itself); '-' counts in
training and not in the score. With few symbols the same symbol occurs shortly
before, which may allow shortcuts over several hops.

`depo` is the same on a shuffled list (Part 4.1, Allen-Zhu, arXiv 2512.17351,
appendix A): the pairs of a random cycle over n names in random order, then
questions '?k q a' about min(10, n) different names q, answered by q's k-th
successor a, k uniform in 1 .. max_hops. n is in 3 .. length with weight
1 / (sqrt(length) + n); names are one token each, new in every text. Where n
divides k, the answer is q itself.

>>> world = world_from_flags('chains', ['variant=depo', 'length=4',
...                                     'symbols=9', 'max_hops=2'], seed=0)
>>> world.example('train', 0).text
' c i i a d c a d ?1 d c ?2 c a ?2 a c ?1 i a'

Left out: Depo2's names of several tokens. Splits: 'train'; 'test', other texts
of the same law.
"""

from collections.abc import Sequence

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
NONE = ' -'
QUERIES = 10  # of a text of 'depo', at most
VARIANTS = ('hops', 'depo')


class _Texts(DrawnTexts):
  """What both variants share."""

  version = VERSION
  splits = ('train', 'test')

  def __init__(self, config, seed: int):
    self.N, self.S, self.K = config.length, config.symbols, config.max_hops
    self._seed = seed
    self._names = tuple(f' {letter(a)}' for a in range(self.S))


class Hops(_Texts):
  """Texts of 'hops'."""

  def __init__(self, config, seed: int):
    super().__init__(config, seed)
    self._key = {s: mix_bits(seed, i) for i, s in enumerate(self.splits)}
    # Numbers of pieces: k from 0, then the symbols, then none.
    self._pieces = tuple([f' {k}' for k in range(self.K + 1)] + [
        *self._names, NONE])

  def symbols(self, split: str, indices: np.ndarray) -> np.ndarray:
    """Numbers of the pieces of texts [n, 1 + N] int32: k, then the symbols."""
    k, text = self._drawn(split, indices)
    return np.concatenate([k[:, None], text + self.K + 1], 1, dtype=np.int32)

  def labels(self, split: str, indices: np.ndarray) -> np.ndarray:
    """Numbers of the pieces that are predicted at each piece [n, 1 + N]; at k,
    k itself, which has no loss."""
    k, text = self._drawn(split, indices)
    found = hops(text, k)
    label = np.where(found < 0, len(self._pieces) - 1, np.take_along_axis(
        text, np.maximum(found, 0), 1) + self.K + 1)
    return np.concatenate([k[:, None], label], 1, dtype=np.int32)

  def _drawn(self, split, indices):
    """(k [n], symbols from 0 [n, N])."""
    check_split(self, split)
    index, key = indices.astype(np.uint64), self._key[split]
    steps = np.stack([_below(self.S - bool(t), index, t, key)
                      for t in range(self.N)], 1)
    steps[:, 1:] += 1  # from each symbol to another
    return _below(self.K + 1, index, self.N, key), steps.cumsum(1) % self.S

  def example(self, split: str, index: int) -> Example:
    if not 0 <= index < self.size(split):
      raise IndexError(f'text {index} of {DRAWN_TEXTS} in {split}')
    at = np.array([index])
    made, label = (tuple(self._pieces[a] for a in x[0]) for x in (
        self.symbols(split, at), self.labels(split, at)))
    k, places = int(made[0]), range(1, self.N + 1)
    return Example(made, tuple((f'k{k}', i) for i in places
                               if label[i] != NONE),
                   tuple(places), {'k': k}, labels=label)

  def pieces(self) -> Sequence[str]:
    return self._pieces

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks the symbols that are predicted at all places."""
    k, *symbols = (p.strip() for p in question.pieces)
    wanted = hop_symbols(symbols, int(k))
    found = text.split()
    if len(found) != len(wanted):
      return CheckResult(False, f'{len(found)} symbols of {len(wanted)}')
    for i, (a, b) in enumerate(zip(found, wanted), 1):
      if b is not None and a != b:
        return CheckResult(False, f'place {i} is {a}, {k} hops lead to {b}')
    return CheckResult(True, f'{len(wanted)} places')


class Depo(_Texts):
  """Texts of 'depo'."""

  def __init__(self, config, seed: int):
    super().__init__(config, seed)
    if self.N < 3 or self.S < self.N:
      raise BadInput(f'length is {self.N} and symbols {self.S}, wanted at '
                     'least 3 names of a cycle, and no fewer symbols')
    weight = 1 / (self.N**0.5 + np.arange(3, self.N + 1))
    self.law = weight / weight.sum()  # of n = 3 .. N

  def example(self, split: str, index: int) -> Example:
    if not 0 <= index < self.size(split):
      raise IndexError(f'text {index} of {DRAWN_TEXTS} in {split}')
    rng = generator(self._seed, 'depo', split, index)
    n = 3 + int(rng.choice(len(self.law), p=self.law))
    cycle = rng.permutation(self.S)[:n]
    pieces = [self._names[a] for i in rng.permutation(n)
              for a in (cycle[i], cycle[(i + 1) % n])]
    answers = []
    for i in rng.permutation(n)[:QUERIES]:
      k = int(rng.integers(1, self.K + 1))
      answers.append((f'k{k}', len(pieces) + 2))
      pieces += [f' ?{k}', *(self._names[a] for a in (
          cycle[i], cycle[(i + k) % n]))]
    return Example(tuple(pieces), tuple(answers),
                   tuple(at for _, at in answers), {'n': n})

  def pieces(self) -> Sequence[str]:
    return (*self._names, *(f' ?{k}' for k in range(1, self.K + 1)))

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks the answers to all questions of a text."""
    words = [p.strip() for p in question.pieces]
    start = 2 * question.meta['n']
    after = dict(zip(words[:start:2], words[1:start:2]))
    found = text.split()
    asks = list(zip(words[start::3], words[start + 1::3]))
    if len(found) != len(asks):
      return CheckResult(False, f'{len(found)} answers of {len(asks)}')
    for (k, name), answer in zip(asks, found):
      at = name
      for _ in range(int(k[1:])):
        at = after[at]
      if answer != at:
        return CheckResult(False, f'{k} {name}: {answer}, wanted {at}')
    return CheckResult(True, f'{len(asks)} answers')


def _below(high: int, index: np.ndarray, draw: int, key: int) -> np.ndarray:
  """A number below `high` for each index: its `draw`-th."""
  return (mix_bits(index, draw, state=key) % np.uint64(high)).astype(np.int64)


def hops(text: np.ndarray, k: np.ndarray) -> np.ndarray:
  """find_k of each place of texts [n, N], each with its k [n], as an index from
  0; -1 where there is none."""
  n, N = text.shape
  each, last = np.arange(n), np.full((n, text.max(initial=0) + 1), -2)
  once = np.empty((n, N), np.int64)  # find_1: one after the last such symbol
  for i in range(N):
    once[:, i] = last[each, text[:, i]] + 1
    last[each, text[:, i]] = i
  out = np.broadcast_to(np.arange(N), (n, N)).copy()
  for step in range(int(k.max(initial=0))):
    further = np.take_along_axis(once, np.maximum(out, 0), 1)
    moves = (k > step)[:, None] & (out >= 0)
    out = np.where(moves, further, out)
  return out


def hop_symbols(symbols: Sequence[str], k: int) -> list[str | None]:
  """hop_k of every place, as its definition puts it; None where there is
  none."""
  out = []
  for i in range(len(symbols)):
    at: int | None = i
    for _ in range(k):
      same = [j for j in range(at) if symbols[j] == symbols[at]]
      at = same[-1] + 1 if same else None
      if at is None:
        break
    out.append(None if at is None else symbols[at])
  return out


def repeat_share(length: int, symbols: int, max_hops: int) -> np.ndarray:
  """The share of places with a hop_k at which it is the symbol itself
  [max_hops + 1], over 2,000 texts: what repeating the input scores."""
  rng = np.random.default_rng(0)
  steps = rng.integers(1, symbols, (2000, length))
  text, out = steps.cumsum(1) % symbols, []
  for k in range(max_hops + 1):
    found = hops(text, np.full(len(text), k))
    same = text == np.take_along_axis(text, np.maximum(found, 0), 1)
    out.append(same[found >= 0].mean())
  return np.array(out)


def make(config: ConfigDict, seed: int) -> Hops | Depo:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  if config.variant not in VARIANTS:
    raise BadInput(f'variant is {config.variant!r}; '
                   f'{nearest(config.variant, VARIANTS)}')
  return (Hops if config.variant == 'hops' else Depo)(config, seed)
