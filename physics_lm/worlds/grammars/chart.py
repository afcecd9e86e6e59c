"""Charts: exact probabilities of strings, prefixes and subtrees of a grammar.

Of positions i <= j of a string, let I_a[i, j] be the probability that symbol a
derives the terminals between them. Of a terminal, I_a[i, i + 1] is 1 where the
string has it; of a rule a -> b c, I_a is the matrix product I_b I_c, weighted
by the rule's share. From the root down, w_a[i] is the probability that a string
begins with the first i symbols and that an a begins there: the start symbols
share 1 at 0, and that rule adds w_a to w_b and w_a I_b to w_c. So w_a of a
terminal a is the joint probability of each prefix and of a as the next symbol.

Noise replaces symbols of one level as they are derived: the symbol a becomes b
with probability N[a, b]. Then I_a <- sum over b of N[a, b] I_b for what is
above that level, and w_b <- sum over a of w_a N[a, b] below it.

Levels count from 0, the start symbols, to L, the terminals. B strings of at
most n symbols are read together. All I are multiplied by `scale` to the power
of j - i and all w by scale to that of i, which prevents underflow.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Level(NamedTuple):
  """The rules of a level's symbols.

  `children` [symbols, max_rules, max_children] is the right-hand side of rule r
  of symbol a, -1 where there is none; `count` [symbols] the number of rules."""

  children: np.ndarray
  count: np.ndarray

  def rules(self) -> Iterator[tuple[int, float, list[int]]]:
    """(symbol, its share, right-hand side) of every rule."""
    for a, n in enumerate(self.count):
      for row in self.children[a, :n]:
        yield a, 1 / n, [int(b) for b in row if b >= 0]


class Noise(NamedTuple):
  """Which level's symbols change, and the probabilities [from, to]."""

  level: int
  matrix: np.ndarray


def noise_matrix(symbols: int, rate: float) -> np.ndarray:
  """(1 - rate) I + rate / symbols: with probability `rate` a symbol is drawn
  anew, all equally likely."""
  return (1 - rate) * np.eye(symbols) + rate / symbols


def inside(levels: Sequence[Level], strings: Sequence[Sequence[int]],
           terminals: int, scale: float, noise: Noise | None = None
           ) -> list[list[np.ndarray]]:
  """I [B, n + 1, n + 1] of the symbols of every level, before noise."""
  n = max(map(len, strings), default=0)
  placed = np.full((len(strings), n), -1)
  for row, s in zip(placed, strings):
    row[:len(s)] = s
  own, at = [], np.arange(n)
  for a in range(terminals):
    I = np.zeros((len(strings), n + 1, n + 1))
    I[:, at, at + 1] = scale * (placed == a)
    own.append(I)
  found = [own]
  for k in range(len(levels) - 1, -1, -1):
    below = as_derived(found[0], k + 1, noise)
    own = [np.zeros((len(strings), n + 1, n + 1)) for _ in levels[k].count]
    for a, share, right in levels[k].rules():
      own[a] += share * functools.reduce(np.matmul, (below[b] for b in right))
    found.insert(0, own)
  return found


def as_derived(own: list[np.ndarray], level: int, noise: Noise | None
                    ) -> list[np.ndarray]:
  """I of the symbols of a level as they are derived, before any becomes
  another."""
  if noise is None or noise.level != level:
    return own
  return list(np.einsum('ab,b...->a...', noise.matrix, np.stack(own)))


def prefix_weights(levels: Sequence[Level], found: list[list[np.ndarray]],
                   noise: Noise | None = None) -> list[list[np.ndarray]]:
  """w [B, n + 1] of the symbols of every level, after noise."""
  B, n = found[0][0].shape[:2]
  start_Bn = np.zeros((B, n))
  start_Bn[:, 0] = 1 / len(found[0])
  out = [[start_Bn] * len(found[0])]
  for k, level in enumerate(levels):
    below = as_derived(found[k + 1], k + 1, noise)
    parts = [np.zeros((B, n)) for _ in below]
    for a, share, right in level.rules():
      w_Bn = share * out[k][a]
      for b in right:
        parts[b] += w_Bn
        w_Bn = (w_Bn[:, None] @ below[b])[:, 0]
    if noise is not None and noise.level == k + 1:
      parts = list(np.einsum('ab,a...->b...', noise.matrix, np.stack(parts)))
    out.append(parts)
  return out


def next_joint(found: list[list[np.ndarray]], weights: list[list[np.ndarray]]
               ) -> np.ndarray:
  """P(first i symbols, the next one), [B, n + 1, terminals + 1]; the last entry
  is the end. All times scale to the power of i."""
  ended = sum(I[:, 0] for I in found[0]) / len(found[0])
  return np.stack([*weights[-1], ended], -1)


def end_joint(found: list[list[np.ndarray]], weights: list[list[np.ndarray]],
              level: int) -> np.ndarray:
  """P(first i symbols, the i-th ends a subtree of symbol a of a level), [B, n +
  1, symbols], times scale to the power of i. At one level at most one subtree
  ends at a position."""
  return np.stack([(w[:, None] @ I)[:, 0] for w, I in zip(
      weights[level], found[level])], -1)


class GrowingChart:
  """The chart of B prefixes that grow together, a symbol at a time, to at most
  n: a string costs no more than one pass of `inside`."""

  def __init__(self, levels: Sequence[Level], terminals: int, scale: float,
               noise: Noise | None, B: int, n: int):
    self._levels, self._noise, self._scale, self._at = levels, noise, scale, 0
    sizes = [*(len(level.count) for level in levels), terminals]
    self._own = [np.zeros((size, B, n + 1, n + 1)) for size in sizes]
    self._below = [x if noise is None or noise.level != k else x.copy()
                   for k, x in enumerate(self._own)]  # as derived
    self._w = [np.zeros((size, B, n + 1)) for size in sizes]
    self._w[0][:, :, 0] = 1 / sizes[0]
    # Weights at each of a rule's children.
    self._of_rule = [[np.zeros((len(right), B, n + 1))
                      for _, _, right in level.rules()] for level in levels]
    self._descend()

  def _descend(self) -> None:
    """w at the last position, from the root down."""
    i = self._at
    for k, level in enumerate(self._levels):
      new = self._w[k + 1]
      for (a, share, right), w in zip(level.rules(), self._of_rule[k]):
        w[0, :, i] = share * self._w[k][a, :, i]
        for c, b in enumerate(right):
          if c:
            w[c, :, i] = np.einsum('bj,bj->b', w[c - 1, :, :i + 1], self._below[
                k + 1][right[c - 1], :, :i + 1, i])
          new[b, :, i] += w[c, :, i]
      if self._noise is not None and self._noise.level == k + 1:
        new[:, :, i] = self._noise.matrix.T @ new[:, :, i]

  def next_joint(self) -> np.ndarray:
    """P(the prefix, the next symbol), [B, terminals + 1]; the end is last."""
    i = self._at
    return np.stack([*self._w[-1][:, :, i],
                     self._own[0][:, :, 0, i].mean(0)], -1)

  def append(self, symbol_B: np.ndarray) -> None:
    """Reads the next symbol of each prefix; -1: a text has ended."""
    i = self._at = self._at + 1
    L, noise = len(self._levels), self._noise
    for k in range(L, -1, -1):
      own = self._own[k]
      if k == L:
        for a, I in enumerate(own):
          I[:, i - 1, i] = self._scale * (symbol_B == a)
      else:
        for a, share, right in self._levels[k].rules():
          column = self._below[k + 1][right[-1], :, :i, i]
          for b in right[-2::-1]:
            column = np.einsum('bjk,bk->bj', self._below[k + 1][b, :, :i, :i],
                               column)
          own[a, :, :i, i] += share * column
      if noise is not None and noise.level == k:
        self._below[k][:, :, :, i] = np.einsum(
            'ab,b...->a...', noise.matrix, own[:, :, :, i])
    self._descend()
