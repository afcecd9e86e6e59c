"""Copying: different symbols, a mark, and the same symbols again.

The smallest test of an architecture in Part 4.1 (Allen-Zhu, arXiv 2512.17351,
figures 5 and 18): to copy, a token must be found by what was before it. The
number of symbols is uniform in min_length .. max_length, which the paper's is
not: at a fixed length a layer with rotary positions can copy by distance alone.
After a short text there are dots, so that all are of one length.

>>> from physics_lm.worlds.base import world_from_flags
>>> world = world_from_flags('recall', ['symbols=8', 'min_length=3',
...                                     'max_length=5'], seed=0)
>>> for i in range(2):
...   world.example('train', i).text
' a b e > a b e . . . .'
' c b f g d > c b f g d'

Loss 'answers' is on the copy alone. Splits: 'train'; 'test', other texts of the
same law.
"""

from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput
from physics_lm.worlds.base import (
  DRAWN_TEXTS,
  CheckResult,
  DrawnTexts,
  Example,
  check_split,
  mix_bits,
)
from physics_lm.worlds.grammar import letter

VERSION = 1


class Recall(DrawnTexts):
  """Texts by index."""

  version = VERSION
  splits = ('train', 'test')

  def __init__(self, config, seed: int):
    self.V, self.low, self.high = (
        config.symbols, config.min_length, config.max_length)
    if not self.low <= self.high <= self.V:
      raise BadInput(f'min_length is {self.low}, max_length {self.high} and '
                     f'symbols {self.V}, wanted each at most the next')
    self._key = {s: mix_bits(seed, i) for i, s in enumerate(self.splits)}
    self._pieces = (*(f' {letter(a)}' for a in range(self.V)), ' >', ' .')

  def lengths(self, split: str, indices: np.ndarray) -> np.ndarray:
    """How many symbols are copied in each text [n]."""
    check_split(self, split)
    bits = mix_bits(indices.astype(np.uint64), self.V, state=self._key[split])
    return self.low + (bits % np.uint64(self.high - self.low + 1)).astype(
        np.int64)

  def symbols(self, split: str, indices: np.ndarray) -> np.ndarray:
    """Numbers of the pieces of texts [n, 2 max_length + 1] int32."""
    n, index = self.lengths(split, indices), indices.astype(np.uint64)
    order = np.stack([mix_bits(index, a, state=self._key[split])
                      for a in range(self.V)], 1).argsort(1)
    at = np.arange(2 * self.high + 1) - n[:, None] - 1  # place in the copy
    source = np.where(at < -1, at + n[:, None] + 1, np.maximum(at, 0))
    out = np.take_along_axis(order, np.minimum(source, self.V - 1), 1)
    out = np.where(at == -1, self.V, out)
    return np.where(at >= n[:, None], self.V + 1, out).astype(np.int32)

  def bearing(self, split: str, indices: np.ndarray) -> np.ndarray:
    """Which pieces are the copy, which has the loss [n, 2 max_length + 1]."""
    n = self.lengths(split, indices)[:, None]
    at = np.arange(2 * self.high + 1) - n - 1
    return (at >= 0) & (at < n)

  def example(self, split: str, index: int) -> Example:
    if not 0 <= index < self.size(split):
      raise IndexError(f'text {index} of {DRAWN_TEXTS} in {split}')
    at = np.array([index])
    made = tuple(self._pieces[a] for a in self.symbols(split, at)[0])
    copy = np.flatnonzero(self.bearing(split, at)[0]).tolist()
    return Example(made, tuple(('copy', i) for i in copy), tuple(copy),
                   {'n': len(copy)})

  def pieces(self) -> Sequence[str]:
    return self._pieces

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks that a text repeats the symbols before the mark."""
    wanted = [p.strip() for p in question.pieces[:question.meta['n']]]
    found = text.split()
    for i, (a, b) in enumerate(zip(found, wanted), 1):
      if a != b:
        return CheckResult(False, f'symbol {i} is {a}, wanted {b}')
    return CheckResult(len(found) == len(wanted),
                       f'{len(found)} symbols of {len(wanted)}')


def make(config: ConfigDict, seed: int) -> Recall:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return Recall(config, seed)
