"""Random context-free grammars with an exact law of every next symbol.

>>> from physics_lm.worlds.base import world_from_flags
>>> world = world_from_flags('grammar', [], seed=0)
>>> world.example('train', 0).text
' c b a a c c b c b c a c b b c c c b c b c a b c c c b a a c b c b c b'

The cfg3 family (Physics of Language Models, Part 1, arXiv 2305.13673): one
root; `levels` levels of rewriting; a symbol of one level is rewritten as 2 or 3
of the next, by one of its rules, all equally likely; no two rules of a level
have the same right-hand side; the last level's symbols are the terminals. The
papers' grammars are fixed files; ours are drawn from the seed. Every symbol
below the root is used by some rule.

What is exact: the probability of a string, of a prefix, and the law of the
next symbol after every prefix (`laws`), and what the symbols so far say about
subtrees that end (`end_laws`); by dynamic programming, in
worlds/grammars/chart.py.

Strings may be corrupted (the paper's section on robustness): of a share
`corrupted` of them every symbol of one level is drawn anew with probability
`noise`. The law of such a mixture stays exact: `laws` is then the best
predictor, `posterior` the probability that a string is a corrupted one. A
symbol that no string of the grammar has there settles it.

A grammar is ambiguous in general, so the entropy of strings is less than that
of derivations (`derivation_entropy`, exact); `entropy` is the mean of -log P
over sampled strings, with P exact: the expected loss of a perfect model.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput
from physics_lm.worlds.base import CheckResult, Example, check_split, generator
from physics_lm.worlds.grammars import chart
from physics_lm.worlds.grammars.chart import Level

VERSION = 1
MAX_LONGEST = 20  # logarithm to base 2
SIZE = 1 << 40  # strings of a split, each drawn from its index


class Tree(NamedTuple):
  """The symbol above each token and the number, from the left, of its subtree,
  at every level: [levels + 1, tokens]. Level 0 are the start symbols, the last
  one the tokens."""

  symbols: np.ndarray
  subtrees: np.ndarray

  @property
  def is_last(self) -> np.ndarray:
    """Whether a token is the last of its subtree, [levels + 1, tokens]."""
    return np.diff(self.subtrees, append=-1) != 0


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
    right, most = _right_sides(c), max(c.symbols, c.roots)
    if right < most * c.max_rules:
      raise BadInput(f'{most} symbols of {c.max_rules} rules each, but '
                     f'only {right} right-hand sides; wanted fewer max_rules '
                     'or more max_children')
    if c.noise_level >= c.levels:
      raise BadInput(f'noise_level is {c.noise_level} of {c.levels} levels of '
                     'rewriting, wanted fewer')
    self.terminals, self.longest = c.symbols, c.max_children**c.levels
    rng, self._seed = generator(
        seed, 'grammar', *([c.index] if c.index else [])), seed
    self.levels = [_level(rng, c.symbols if i else c.roots, c)
                   for i in range(c.levels)]
    self.corrupted, self.noise_rate = c.corrupted, c.noise
    self.noise_level = c.levels - c.noise_level
    self._noise = chart.Noise(self.noise_level, chart.noise_matrix(
        c.symbols, c.noise))
    self._key = seed, c.to_json(sort_keys=True)  # what it is made of
    self._pieces = tuple(f' {letter(a)}' for a in range(self.terminals))

  def __eq__(self, other: object) -> bool:
    return isinstance(other, Grammar) and self._key == other._key

  def __hash__(self) -> int:
    return hash(self._key)

  def size(self, split: str) -> int:
    return self.people(split)

  def people(self, split: str) -> int:
    check_split(self, split)
    return SIZE

  def string(self, split: str, index: int) -> np.ndarray:
    """The terminals, as numbers from 0."""
    return self._derivation(split, index)[0][-1]

  def clean_string(self, split: str, index: int) -> np.ndarray:
    """What the string is, or was before its symbols were changed."""
    return self._derivation(split, index, 0.0)[0][-1]

  def corrupted_string(self, split: str, index: int) -> np.ndarray:
    """What the string is, or would be as one of those that are corrupted."""
    return self._derivation(split, index, 1.0)[0][-1]

  def tree(self, split: str, index: int) -> Tree:
    """The derivation of the string."""
    symbols, children = self._derivation(split, index)
    leaves = np.ones(len(symbols[-1]), np.int64)
    rows, numbers = [symbols[-1]], [np.arange(len(symbols[-1]))]
    for at, count in zip(symbols[-2::-1], children[::-1]):
      leaves = np.add.reduceat(leaves, np.cumsum(count) - count)
      rows.insert(0, np.repeat(at, leaves))
      numbers.insert(0, np.repeat(np.arange(len(at)), leaves))
    return Tree(np.stack(rows), np.stack(numbers))

  def _derivation(self, split: str, index: int, share: float | None = None
                  ) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(the symbols of every level, how many children each has). `share`: of
    corrupted strings, by default the world's."""
    if not 0 <= index < self.size(split):
      raise IndexError(f'string {index} of {SIZE} in {split}')
    rng, noise = generator(self._seed, 'string', split, index), None
    share = self.corrupted if share is None else share
    if share:  # other draws: the string is the same but for what changes
      noise = generator(self._seed, 'noise', split, index)
      noise = noise if noise.random() < share else None
    roots = len(self.levels[0].count)
    at = rng.integers(0, roots, 1) if roots > 1 else np.zeros(1, np.int64)
    symbols, children = [at], []
    for k, level in enumerate(self.levels, 1):
      rule = (rng.random(len(at)) * level.count[at]).astype(np.int64)
      right = level.children[at, rule]
      at = right[right >= 0]
      if noise is not None and k == self.noise_level:
        at = np.where(noise.random(len(at)) < self.noise_rate,
                      noise.integers(0, self.terminals, len(at)), at)
      symbols.append(at)
      children.append((right >= 0).sum(1))
    return symbols, children

  def example(self, split: str, index: int) -> Example:
    pieces = tuple(self._pieces[a] for a in self.string(split, index))
    return Example(pieces, (), tuple(range(len(pieces))), {})

  def pieces(self) -> tuple[str, ...]:
    return self._pieces

  def parse(self, text: str) -> np.ndarray | None:
    """The terminals of a text; None when it has other symbols."""
    known = {p.strip(): a for a, p in enumerate(self._pieces)}
    found = [known.get(word, -1) for word in text.split()]
    return None if -1 in found else np.array(found, np.int64)

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks that a text is a string of the grammar, not a corrupted one."""
    string = self.parse(text)
    if string is None:
      return CheckResult(False, f'{text[:30]!r} has symbols other than '
                         f'{"".join(self._pieces)}')
    if len(string) > self.longest:
      return CheckResult(False,
                         f'{len(string)} symbols, at most {self.longest}')
    if self.logp([string], 0.0)[0] == -math.inf:
      return CheckResult(False, 'no derivation')
    return CheckResult(True, 'ok')

  def laws(self, strings: Sequence, share: float | None = None) -> np.ndarray:
    """Probabilities of the next symbol after every prefix of the strings (lists
    of at most n terminals): [B, n + 1, terminals + 1], after 0 .. n symbols;
    the last entry is the end. Zeros for a prefix that has probability 0.
    `share`: of corrupted strings, by default the world's."""
    joint = self._mixed([chart.next_joint(found, chart.prefix_weights(
        self.levels, found, noise)) for found, noise in self._charts(
            strings, share)], share)
    total = joint.sum(-1, keepdims=True)
    return np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)

  def logp(self, strings: Sequence, share: float | None = None) -> np.ndarray:
    """log P of each string, nats, [B]; -inf for one that has no derivation.
    `share`: of corrupted strings, by default the world's."""
    length = np.array([len(s) for s in strings])
    p = self._mixed([np.mean([I[np.arange(len(strings)), 0, length]
                              for I in found[0]], 0)
                     for found, _ in self._charts(strings, share)], share)
    with np.errstate(divide='ignore'):
      return np.log(p) - length * math.log(self._scale)

  def posterior(self, strings: Sequence) -> np.ndarray:
    """The probability that a string is one of the corrupted, after each prefix
    of the strings, [B, n + 1]; 0 for a prefix that has probability 0."""
    if not 0 < self.corrupted < 1:
      return np.full((len(strings), 1 + max(map(len, strings), default=0)),
                     float(self.corrupted))
    clean, noisy = (chart.next_joint(found, chart.prefix_weights(
        self.levels, found, noise)).sum(-1) for found, noise in self._charts(
            strings))
    total = (1 - self.corrupted) * clean + self.corrupted * noisy
    return np.divide(self.corrupted * noisy, total, out=np.zeros_like(total),
                     where=total > 0)

  def end_laws(self, strings: Sequence) -> list[np.ndarray]:
    """P(the last token of a prefix ends a subtree of symbol a | the prefix) of
    strings that are not corrupted, for the levels 1 to levels - 1: [B, n + 1,
    symbols] each. What a causal model can know, exactly."""
    found = chart.inside(self.levels, strings, self.terminals, self._scale)
    weights = chart.prefix_weights(self.levels, found)
    total = chart.next_joint(found, weights).sum(-1)[..., None]
    return [np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
            for joint in (chart.end_joint(found, weights, k)
                          for k in range(1, len(self.levels)))]

  def sample(self, prefixes: Sequence, rng: np.random.Generator,
             temperature: float = 1.0) -> list[np.ndarray | None]:
    """A string that begins with each prefix, drawn from the exact law of the
    next symbol (`laws`) at a temperature; None where that has no symbol, or
    after more symbols than any string has."""
    kinds, B, n = self._kinds(None), len(prefixes), self.longest
    charts = [chart.GrowingChart(self.levels, self.terminals, self._scale,
                                 noise, B, n) for noise in kinds]
    texts = np.full((B, n), -1)
    for row, prefix in zip(texts, prefixes):
      row[:len(prefix)] = prefix
    length = np.array([len(p) for p in prefixes])
    out, growing = [None] * B, np.ones(B, bool)
    for i in range(n + 1):
      p = self._mixed([c.next_joint() for c in charts], None)
      p = (p / np.maximum(p.max(-1, keepdims=True), 1e-300))**(1 / temperature)
      p /= np.maximum(p.sum(-1, keepdims=True), 1e-300)
      token = (rng.random((B, 1)) > p.cumsum(-1)).sum(-1)
      token = np.where(i < length, texts[:, min(i, n - 1)], token)
      for b in np.flatnonzero(growing & (token == self.terminals)):
        out[b] = texts[b, :i].copy()
      growing &= token < self.terminals
      if i == n or not growing.any():
        break
      texts[:, i] = np.where(growing, token, -1)
      for c in charts:
        c.append(texts[:, i])
    return out

  def _kinds(self, share: float | None) -> list[chart.Noise | None]:
    """The noise of the parts of the mixture: None of clean strings."""
    share = self.corrupted if share is None else share
    return [kind for kind, part in ((None, 1 - share), (self._noise, share))
            if part > 0]

  def _charts(self, strings: Sequence, share: float | None = None):
    """(chart, noise) of the parts of the mixture."""
    return [(chart.inside(self.levels, strings, self.terminals, self._scale,
                          noise), noise) for noise in self._kinds(share)]

  def _mixed(self, parts: list[np.ndarray], share: float | None) -> np.ndarray:
    """The mixture of a probability of clean and of corrupted strings."""
    share = self.corrupted if share is None else share
    return parts[0] if len(parts) == 1 else (
        (1 - share) * parts[0] + share * parts[1])

  @functools.cached_property
  def _scale(self) -> float:
    """The factor on every terminal that prevents underflow."""
    return math.exp(self.derivation_entropy / self.mean_length)

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
    return sum(leaves) / len(leaves)

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
  enough, found = max(c.symbols, c.roots) * c.max_rules, 0
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
