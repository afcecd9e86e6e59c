"""Random context-free grammars with an exact law of every next symbol.

The cfg3 family (Physics of Language Models, Part 1, arXiv 2305.13673): one
root; `levels` levels of rewriting; a symbol of one level is rewritten as 2 or 3
of the next, by one of its rules, all equally likely; no two rules of a level
have the same right-hand side; the last level's symbols are the terminals. The
papers' grammars are fixed files; ours are drawn from the seed. Every symbol
below the root is used by some rule.

What is exact: the probability of a string, of a prefix, and the law of the
next symbol after every prefix, by dynamic programming (`laws`). Of positions
i <= j of a string, let I_a[i, j] be the probability that symbol a derives the
terminals between them. Of a terminal, I_a[i, i + 1] is 1 where the string has
it; of a rule a -> b c, I_a is the matrix product I_b I_c, weighted by the
rule's share. From the root down, w_a[i] is the probability that a string begins
with the first i symbols and that an a begins there: the root's is 1 at 0, and
that rule adds w_a to w_b and w_a I_b to w_c. So w_a of a terminal a is the
joint probability of each prefix and of a as the next symbol, and I_root[0, i]
that the string ends there.

A grammar is ambiguous in general, so the entropy of strings is less than that
of derivations (`derivation_entropy`, exact); `entropy` is the mean of -log P
over sampled strings, with P exact: the expected loss of a perfect model.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput
from physics_lm.worlds.base import CheckResult, Example, check_split, generator

VERSION = 1
MAX_LONGEST = 20  # logarithm to base 2
SIZE = 1 << 40  # strings of a split, each drawn from its index


class Level(NamedTuple):
  """The rules of a level's symbols.

  `children` [symbols, max_rules, max_children] is the right-hand side of rule r
  of symbol a, -1 where there is none; `count` [symbols] the number of rules."""

  children: np.ndarray
  count: np.ndarray

  def rules(self):
    """(symbol, its share, right-hand side) of every rule."""
    for a, n in enumerate(self.count):
      for row in self.children[a, :n]:
        yield a, 1 / n, [int(b) for b in row if b >= 0]


class Grammar:
  """A grammar: its strings, by index, and their law."""

  version = VERSION
  splits = ('train', 'test')
  unbounded = False  # but rows must hold the longest

  def __init__(self, config, seed: int):
    c = config
    for key, least in (('max_rules', c.min_rules),
                       ('max_children', c.min_children)):
      if c[key] < least:
        raise BadInput(f'{key} is {c[key]}, wanted at least {least}')
    if c.levels * math.log2(c.max_children) > MAX_LONGEST:
      raise BadInput(f'max_children ** levels is {c.max_children} ** '
                     f'{c.levels}, wanted at most 2 ** {MAX_LONGEST} '
                     'symbols in a string')
    right = _right_sides(c)
    if right < c.symbols * c.max_rules:
      raise BadInput(f'{c.symbols} symbols of {c.max_rules} rules each, but '
                     f'only {right} right-hand sides; wanted fewer max_rules '
                     'or more max_children')
    self.terminals, self.longest = c.symbols, c.max_children**c.levels
    rng, self._seed = generator(
        seed, 'grammar', *([c.index] if c.index else [])), seed
    self.levels = [_level(rng, 1 if i == 0 else c.symbols, c)
                   for i in range(c.levels)]
    self._pieces = tuple(f' {letter(a)}' for a in range(self.terminals))

  def size(self, split: str) -> int:
    return self.people(split)

  def people(self, split: str) -> int:
    check_split(self, split)
    return SIZE

  def string(self, split: str, index: int) -> np.ndarray:
    """The terminals, as numbers from 0."""
    if not 0 <= index < self.size(split):
      raise IndexError(f'string {index} of {SIZE} in {split}')
    return self._grown(generator(self._seed, 'string', split, index))

  def _grown(self, rng) -> np.ndarray:
    at = np.zeros(1, np.int64)
    for level in self.levels:
      rule = (rng.random(len(at)) * level.count[at]).astype(np.int64)
      children = level.children[at, rule].ravel()
      at = children[children >= 0]
    return at

  def example(self, split: str, index: int) -> Example:
    pieces = tuple(self._pieces[a] for a in self.string(split, index))
    return Example(pieces, (), tuple(range(len(pieces))), {})

  def pieces(self):
    return self._pieces

  def parse(self, text: str) -> np.ndarray | None:
    """The terminals of a text; None when it has other symbols."""
    known = {p.strip(): a for a, p in enumerate(self._pieces)}
    found = [known.get(word, -1) for word in text.split()]
    return None if -1 in found else np.array(found, np.int64)

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks that a text is a string of the grammar."""
    string = self.parse(text)
    if string is None:
      return CheckResult(False, f'{text[:30]!r} has symbols other than '
                         f'{"".join(self._pieces)}')
    if len(string) > self.longest:
      return CheckResult(False,
                         f'{len(string)} symbols, at most {self.longest}')
    if self.logp([string])[0] == -math.inf:
      return CheckResult(False, 'no derivation')
    return CheckResult(True, 'ok')

  def laws(self, strings) -> np.ndarray:
    """Probabilities of the next symbol after every prefix of the strings (lists
    of at most n terminals): [B, n + 1, terminals + 1], after 0 .. n symbols;
    the last entry is the end. Zeros for a prefix that has probability 0."""
    inside, _ = self._inside(strings)
    B, n = len(strings), inside[0][0].shape[-1] - 1
    start_Bn = np.zeros((B, n + 1))
    start_Bn[:, 0] = 1
    weights = [start_Bn]
    for level, below in zip(self.levels, inside[1:]):
      parts = [np.zeros((B, n + 1)) for _ in below]
      for a, share, right in level.rules():
        w_Bn = share * weights[a]
        for b in right:
          parts[b] += w_Bn
          w_Bn = (w_Bn[:, None] @ below[b])[:, 0]
      weights = parts
    joint = np.stack([*weights, inside[0][0][:, 0]], -1)
    total = joint.sum(-1, keepdims=True)
    return np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)

  def logp(self, strings) -> np.ndarray:
    """log P of each string, nats, [B]; -inf for one that has no derivation."""
    inside, scale = self._inside(strings)
    length = np.array([len(s) for s in strings])
    p = inside[0][0][np.arange(len(strings)), 0, length]
    with np.errstate(divide='ignore'):
      return np.log(p) - length * math.log(scale)

  def _inside(self, strings):
    """(matrices I [B, n + 1, n + 1] of the symbols of every level, root first;
    the factor on every terminal that prevents underflow)."""
    scale = math.exp(self.derivation_entropy / self.mean_length)
    n = max(map(len, strings), default=0)
    placed = np.full((len(strings), n), -1)
    for row, s in zip(placed, strings):
      row[:len(s)] = s
    own, at = [], np.arange(n)
    for a in range(self.terminals):
      I = np.zeros((len(strings), n + 1, n + 1))
      I[:, at, at + 1] = scale * (placed == a)
      own.append(I)
    levels = [own]
    for level in reversed(self.levels):
      own = [np.zeros((len(strings), n + 1, n + 1)) for _ in level.count]
      for a, share, right in level.rules():
        own[a] += share * functools.reduce(np.matmul, (
            levels[0][b] for b in right))
      levels.insert(0, own)
    return levels, scale

  @functools.cached_property
  def mean_length(self) -> float:
    """Mean length of strings, terminals."""
    return float(self._expected([1.0] * self.terminals, lambda n: 0.0))

  @functools.cached_property
  def derivation_entropy(self) -> float:
    """Entropy of derivations, nats: at least the entropy of strings."""
    return float(self._expected([0.0] * self.terminals, math.log))

  def _expected(self, leaves, of_rules) -> float:
    """The expectation of a sum over a derivation's nodes: leaves[a] of each
    terminal a, and of_rules(n) of every other symbol, with n its rules."""
    for level in reversed(self.levels):
      own = [of_rules(n) for n in level.count]
      for a, share, right in level.rules():
        own[a] += share * sum(leaves[b] for b in right)
      leaves = own
    return leaves[0]

  def entropy(self, count: int = 512, batch: int = 32) -> tuple[float, float]:
    """(nats per token, standard error) from `count` strings, the end counted as
    a token: a ratio of means, with the error by the delta method."""
    total, tokens = np.zeros(count), np.zeros(count)
    for at in range(0, count, batch):
      strings = [self.string('test', i)
                 for i in range(at, min(at + batch, count))]
      total[at:at + batch] = -self.logp(strings)
      tokens[at:at + batch] = [len(s) + 1 for s in strings]
    mean = total.sum() / tokens.sum()
    error = (total - mean * tokens).std(ddof=1) / tokens.mean()
    return float(mean), float(error / count**0.5)


def letter(a: int) -> str:
  """The name of terminal a: a to z, then a1, b1 ..."""
  turn, index = divmod(a, 26)
  return chr(ord('a') + index) + (str(turn) if turn else '')


def _right_sides(c) -> int:
  """How many right-hand sides there are, or a number that is enough."""
  enough, found = c.symbols * c.max_rules, 0
  for k in range(c.min_children, c.max_children + 1):
    if found >= enough or k * math.log2(c.symbols) > 62:
      return enough
    found += c.symbols**k
  return found


def _level(rng, symbols: int, c) -> Level:
  """Rules of a level of `symbols` symbols, drawn until they use every symbol of
  the next level. Raises BadInput after 1,000 attempts."""
  for _ in range(1000):
    used, count = set(), rng.integers(c.min_rules, c.max_rules + 1, symbols)
    children = np.full((symbols, c.max_rules, c.max_children), -1)
    for a in range(symbols):
      for r in range(count[a]):
        while True:
          k = int(rng.integers(c.min_children, c.max_children + 1))
          right = tuple(rng.integers(0, c.symbols, k).tolist())
          if right not in used:
            break
        used.add(right)
        children[a, r, :k] = right
    if len({b for right in used for b in right}) == c.symbols:
      return Level(children, count)
  raise BadInput(f'{symbols} symbols of at most {c.max_rules} rules of '
                 f'{c.max_children} do not use all {c.symbols} of the next '
                 'level, wanted fewer symbols or more rules')


def make(config: ConfigDict, seed: int) -> Grammar:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return Grammar(config, seed)
