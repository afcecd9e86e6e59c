"""Graphs of iGSM: parameters, their dependencies, and orders of solutions.

The structure graph has items on `depth` levels; an edge joins items of adjacent
levels. An edge is an instance parameter (the number of its lower item in each
upper item); an item and a lower level make an abstract parameter (the number of
all things of that level in the item). Part 2.1, section 2. sampling.py draws
the graphs.

Parameters are integers: 0 .. edges-1 are instance parameters, edges + item *
depth + level is an abstract one.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar('T')
CONST = -1  # operand: the parameter's random constant (0 if it has none)
SECOND = -1000  # operand: its second one, of a rule without sources


class Draws:
  """Random choices from one stream of uniforms, drawn in blocks: a scalar call
  of NumPy would cost more than everything else here."""

  def __init__(self, rng: np.random.Generator):
    self._rng, self._block = rng, []

  def uniform(self) -> float:
    """Uniform in [0, 1)."""
    try:
      return self._block.pop()
    except IndexError:
      self._block = self._rng.random(192).tolist()
      return self._block.pop()

  def below(self, n: int) -> int:
    """A uniform integer in 0 .. n-1."""
    return int(self.uniform() * n)

  def pick(self, items: Sequence[T]) -> T:
    """One of the items, uniformly."""
    return items[int(self.uniform() * len(items))]

  def weighted(self, weights: Sequence[float]) -> int:
    """An index, with probability in proportion to its weight."""
    u = self.uniform() * sum(weights)
    for i, w in enumerate(weights):
      u -= w
      if u < 0:
        return i
    return len(weights) - 1

  def sample(self, items: Iterable[T], k: int) -> list[T]:
    """k of the items in random order. Raises ValueError for fewer than k."""
    items, out, uniform = list(items), [], self.uniform
    if k > len(items):
      raise ValueError(f'{k} draws without replacement of {len(items)} items')
    for left in range(len(items), len(items) - k, -1):
      i = int(uniform() * left)
      out.append(items[i])
      items[i] = items[left - 1]
    return out

  def normal(self) -> float:
    """A standard normal (Box and Muller)."""
    return math.sqrt(-2 * math.log(1 - self.uniform())) * math.cos(
        2 * math.pi * self.uniform())


class Graph:
  """A structure graph and the dependencies drawn on it.

  Attributes:
    depth: levels.
    level: level of each item.
    children: items below each item, ascending.
    ends: (upper item, lower item) of each instance parameter.
    sources: parameter -> the parameters that its definition names, in order;
      filled in for instance parameters as they are drawn.
    constant: instance parameter -> how its definition uses a random constant:
      'only', 'more' (than), 'times' (as much as) or '' (not at all). 'more' and
      'times' without sources take two constants.
    abstract: whether it has abstract parameters; else they do not count.
    minus: instance parameters defined as a difference.
    order: necessary parameters, sources first, the query last.
    extra: unnecessary instance parameters, sources first.
  """

  def __init__(self, sizes: list[int], edges: list[tuple[int, int]],
               abstract: bool = True):
    self.depth, self.abstract = len(sizes), abstract
    self.level = [i for i, n in enumerate(sizes) for _ in range(n)]
    self.ends = sorted(edges)
    self.children = [[] for _ in self.level]
    self.sources, self.constant = {}, {}
    self.minus = set()
    self.order, self.extra = [], []
    self._needs = {}
    self._first = [0] * len(self.level)  # edge of an item's first child
    for e, (a, b) in enumerate(self.ends):
      if not self.children[a]:
        self._first[a] = e
      self.children[a].append(b)

  def parts(self, p: int) -> tuple[int, int]:
    """(item, item below) of an instance parameter, (item, level) of an abstract
    one."""
    if p < len(self.ends):
      return self.ends[p]
    return divmod(p - len(self.ends), self.depth)

  def abstracts(self) -> list[list[int]]:
    """All abstract parameters by the number of levels down, fewest first."""
    e, d = len(self.ends), self.depth
    if not self.abstract:
      return []
    return [[e + v * d + k + gap for v, k in enumerate(self.level)
             if k + gap < d] for gap in range(1, d)]

  def needs(self, p: int) -> list[int]:
    """Sources of an abstract parameter: of a sum over its item's children, or
    pairs (instance, abstract of the child) of a sum of products."""
    needs = self._needs.get(p)
    if needs is None:
      item, level = divmod(p - len(self.ends), self.depth)
      first, children = self._first[item], self.children[item]
      needs = list(range(first, first + len(children)))
      if level > self.level[item] + 1:
        below = len(self.ends) + level
        needs = [q for e, child in zip(needs, children)
                 for q in (e, below + child * self.depth)]
      self._needs[p] = needs
    return needs

  def use(self, p: int):
    """Defines an abstract parameter and, recursively, those that it needs."""
    if p in self.sources:
      return
    needs = self.sources[p] = self.needs(p)
    for q in needs:
      if q >= len(self.ends):
        self.use(q)

  def steps(self, p: int) -> list[tuple]:
    """Binary operations (sign, left, right) that compute a parameter; its value
    is the result of the last one. An operand is a parameter, CONST, SECOND
    or -2 - i for the result of step i; a single operand has the sign '='."""
    sources, kind = self.sources[p], self.constant.get(p, '')
    products = p >= len(self.ends) and sources and sources[-1] >= len(self.ends)
    steps, total = [], None
    for i, q in enumerate(sources):
      if products:
        if i % 2:
          continue
        steps.append(('*', q, sources[i + 1]))
        q = -1 - len(steps)
      if total is not None:
        steps.append(('-' if p in self.minus else '+', total, q))
        q = -1 - len(steps)
      total = q
    if kind in ('more', 'times'):
      steps.append(('*' if kind == 'times' else '+', CONST,
                    SECOND if total is None else total))
    return steps or [('=', CONST if total is None else total, None)]

  def op(self, p: int) -> int:
    """Operations of a defined parameter: clauses of its solution sentence."""
    terms = len(self.sources[p]) + bool(self.constant.get(p))
    return max(1, terms - 1)


def solution_order(g: Graph, query: int) -> list[int]:
  """All parameters that `query` depends on, sources first, itself last."""
  out = {}

  def visit(p):
    if p not in out:
      for q in g.sources[p]:
        visit(q)
      out[p] = None

  visit(query)
  return list(out)


def reask(draws: Draws, g: Graph, most: int) -> None:
  """Changes the query to another parameter of the problem, with its shortest
  solution, of at most `most` operations, as the order."""
  others = [p for p in g.sources if p != g.order[-1]]
  while others:
    order = solution_order(g, draws.pick(others))
    if sum(map(g.op, order)) <= most:
      g.order = order
      return
    others.remove(order[-1])


def redundant(draws: Draws, g: Graph, most: int) -> list[int]:
  """A random topological order of the defined parameters up to the query: a
  solution with unnecessary parameters, of at most `most` operations."""
  users = {p: [] for p in g.sources}
  left = {p: len(sources) for p, sources in g.sources.items()}
  for p, sources in g.sources.items():
    for q in sources:
      users[q].append(p)
  ready, order = [p for p, n in left.items() if not n], []
  while not order or order[-1] != g.order[-1]:
    p = draws.pick(ready)
    ready.remove(p)
    order.append(p)
    for q in users[p]:
      left[q] -= 1
      if not left[q]:
        ready.append(q)
  spare = most - sum(map(g.op, g.order))
  needed, dropped = set(g.order), set()
  for p in order:
    if p not in needed:
      if g.op(p) > spare or not dropped.isdisjoint(g.sources[p]):
        dropped.add(p)
      else:
        spare -= g.op(p)
  return [p for p in order if p not in dropped]


def error_parameters(g: Graph, order: list[int], sentence: int,
                     kind: str) -> list[int]:
  """Parameters that an error before a sentence of the solution may name.

  Args:
    g: the problem's graph.
    order: parameters of the solution's sentences.
    sentence: index of the sentence that follows the error.
    kind: 'retry' (not computable yet), 'retry_weak' (of a later sentence),
      'retry_weak_next' (of this or a later one) or 'retry_miss' (not defined
      yet).
  """
  if kind == 'retry_weak':
    return order[sentence + 1:]
  if kind == 'retry_weak_next':
    return order[sentence:]
  known = set(order[:sentence])
  if kind == 'retry_miss':
    return [p for p in g.sources if p not in known]
  every = [*range(len(g.ends)), *(p for level in g.abstracts() for p in level)]
  return [p for p in every if p not in known
          and not known.issuperset(g.sources[p] if p in g.sources
                                   else g.needs(p))]
