"""Random context-free grammars whose every next symbol has a known law.

The cfg3 family (Physics of Language Models, Part 1, arXiv 2305.13673): one
root; `levels` levels of rewriting; a symbol of one level becomes 2 or 3 of the
next, by one of its rules, all equally likely; no two rules of a level have the
same right-hand side; the last level's symbols are the terminals. The papers'
grammars are fixed files; ours are drawn from the seed, so there are as many as
one wants. Every symbol below the root is used by some rule.

What is exact: the probability of a string, of a prefix, and the law of the
next symbol after every prefix, by dynamic programming (`laws`). Of positions
i <= j of a string, let I_a[i, j] be the probability that symbol a becomes what
stands between them. Of a terminal, I_a[i, i + 1] is 1 where it stands; of a
rule a -> b c, I_a is the matrix product I_b I_c, weighted by the rule's share.
Going down, w_a[i] is the probability that a string begins with the first i
symbols and that an a begins there: the root's is 1 at 0, and that rule gives
w_a to w_b and w_a I_b to w_c. So w_a of a terminal a is the joint probability
of each prefix and of a next, and I_root[0, i] that the string ends there.

A grammar is ambiguous in general, so the entropy of strings is less than that
of derivations (`derivation_entropy`, exact); `entropy` is the mean of -log P
over strings drawn, with P exact: what the loss of a perfect model would be.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from physics_lm.errors import BadInput, nearest
from physics_lm.worlds.base import CheckResult, Example, generator

VERSION = 1
SIZE = 1 << 40  # strings of a split: each drawn anew


class Level(NamedTuple):
  """How the symbols of a level are rewritten: rule r of symbol a.

  `children` [symbols, most rules, most children], -1 where there is none;
  `count` [symbols]: rules of each."""

  children: np.ndarray
  count: np.ndarray

  def rules(self):
    """(symbol, its share, right-hand side) of every rule."""
    for a, n in enumerate(self.count):
      for row in self.children[a, :n]:
        yield a, 1 / n, [int(b) for b in row if b >= 0]


class Grammar:
  """Strings of a grammar, by index, and their law."""

  version = VERSION
  splits = ('train', 'test')
  unbounded = False  # but rows must hold the longest

  def __init__(self, config, seed: int):
    c = config
    for key, least in (('levels', 1), ('symbols', 1), ('min_rules', 1),
                       ('max_rules', c.min_rules), ('min_children', 1),
                       ('max_children', c.min_children)):
      if c[key] < least:
        raise BadInput(f'{key} is {c[key]}, wanted at least {least}')
    right = sum(c.symbols**k
                for k in range(c.min_children, c.max_children + 1))
    if right < c.symbols * c.max_rules:
      raise BadInput(f'{c.symbols} symbols of {c.max_rules} rules each, but '
                     f'only {right} right-hand sides; wanted fewer max_rules '
                     'or more max_children')
    self.terminals, self.longest = c.symbols, c.max_children**c.levels
    rng, self._seed = generator(seed, 'grammar'), seed
    self.levels = [_level(rng, 1 if i == 0 else c.symbols, c)
                   for i in range(c.levels)]
    self._pieces = tuple(f' {letter(a)}' for a in range(self.terminals))

  def size(self, split: str) -> int:
    return self.people(split)

  def people(self, split: str) -> int:
    if split not in self.splits:
      raise BadInput(f'unknown split {split!r}; {nearest(split, self.splits)}')
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
    """The terminals of a text; None when one is no terminal."""
    known = {p.strip(): a for a, p in enumerate(self._pieces)}
    found = [known.get(word, -1) for word in text.split()]
    return None if -1 in found else np.array(found, np.int64)

  def check(self, question: Example, text: str) -> CheckResult:
    """Whether a text is a string of the grammar."""
    string = self.parse(text)
    if string is None:
      return CheckResult(False, f'{text[:30]!r} has symbols other than '
                     f'{"".join(self._pieces)}')
    if len(string) > self.longest:
      return CheckResult(False, f'{len(string)} symbols, at most {self.longest}')
    if self.logp([string])[0] == -math.inf:
      return CheckResult(False, 'no derivation')
    return CheckResult(True, 'ok')

  def laws(self, strings) -> np.ndarray:
    """Law of what follows each prefix, [B, n + 1, terminals + 1]: of the
    strings (lists of terminals, at most n long), after 0 .. n symbols; the
    last entry is the end. Zeros where there is no such prefix."""
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
    """log P of each string, nats; -inf for one that is not of the grammar."""
    inside, scale = self._inside(strings)
    length = np.array([len(s) for s in strings])
    p = inside[0][0][np.arange(len(strings)), 0, length]
    with np.errstate(divide='ignore'):
      return np.log(p) - length * math.log(scale)

  def _inside(self, strings):
    """(matrices I [B, n + 1, n + 1] of the symbols of every level, root
    first; factor on every terminal, so that nothing underflows)."""
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
    """Of strings, in terminals."""
    return float(self._expected([1.0] * self.terminals, lambda n: 0.0))

  @functools.cached_property
  def derivation_entropy(self) -> float:
    """Of the choices behind a string, nats: at least the strings' entropy."""
    return float(self._expected([0.0] * self.terminals, math.log))

  def _expected(self, leaves, of_rules) -> float:
    """The root's expectation of a sum over a derivation's leaves and, of the
    number of a symbol's rules, over its other nodes."""
    for level in reversed(self.levels):
      own = [of_rules(n) for n in level.count]
      for a, share, right in level.rules():
        own[a] += share * sum(leaves[b] for b in right)
      leaves = own
    return leaves[0]

  def entropy(self, count: int = 512, batch: int = 32) -> tuple[float, float]:
    """(nats a token, standard error) of `count` strings, the end counted as a
    token: of a ratio of means, by the delta method."""
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
  """a to z, then a1, b1 ..."""
  turn, place = divmod(a, 26)
  return chr(ord('a') + place) + (str(turn) if turn else '')


def _level(rng, symbols: int, c) -> Level:
  """Rules of a level of so many symbols, drawn until every symbol of the next
  is in one."""
  for _ in range(1000):
    seen, count = set(), rng.integers(c.min_rules, c.max_rules + 1, symbols)
    children = np.full((symbols, c.max_rules, c.max_children), -1)
    for a in range(symbols):
      for r in range(count[a]):
        while True:
          k = int(rng.integers(c.min_children, c.max_children + 1))
          right = tuple(rng.integers(0, c.symbols, k).tolist())
          if right not in seen:
            break
        seen.add(right)
        children[a, r, :k] = right
    if len({b for right in seen for b in right}) == c.symbols:
      return Level(children, count)
  raise BadInput(f'{symbols} symbols of at most {c.max_rules} rules of '
                 f'{c.max_children} do not use all {c.symbols} of the next '
                 'level, wanted fewer symbols or more rules')


def make(config, seed: int) -> Grammar:
  return Grammar(config, seed)
