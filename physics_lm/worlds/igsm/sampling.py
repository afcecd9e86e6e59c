"""The law of iGSM's graphs.

Physics of Language Models, Part 2.1, appendix D, algorithms 1 to 7; functions
below state the names of the steps. Where the paper and its released generator
differ, this follows the generator (the sign of g in `necessary_order`, the
constant among the rest in `design`), except for the distractors' pool, which
here has every abstract parameter that can be computed (the generator omits some
of higher levels).
"""

import bisect
import itertools
import math
import operator
from functools import cache
from typing import NamedTuple

from physics_lm.worlds.igsm.graph import CONST, Draws, Graph

OPERANDS = 4  # most operands of a sentence, the random constant included
TRIES = 1000  # structures tried for one choice of n and m


class Limits(NamedTuple):
  """Limits of a problem's size: edges, and the depths and widths in use."""

  max_edge: int
  depths: tuple[int, ...]
  widths: tuple[int, ...]


@cache
def _shares(op: int, max_edge: int, sizes: tuple[int, ...]) -> list:
  """Cumulative probabilities of depths or widths, which increase with op on
  average."""
  rel = (op - 1) / max(max_edge - 1, 1)
  weights = [math.exp(-(rel - (0.2 + 0.3 * (n - 2)))**2) for n in sizes]
  return [sum(weights[:i]) / sum(weights) for i in range(1, len(sizes))]


def structure(draws: Draws, op: int,
              limits: Limits) -> tuple[int, int, int, int]:
  """Steps 2 and 3: (depth, minimal width, maximal width, edges)."""
  uniform, depths, widths = draws.uniform, limits.depths, limits.widths
  d = depths[bisect.bisect(_shares(op, limits.max_edge, depths), uniform())]
  shares = _shares(op, limits.max_edge, widths)
  w0 = widths[bisect.bisect(shares, uniform())]
  w1 = widths[bisect.bisect(shares, uniform())]
  if w0 > w1:
    w0, w1 = w1, w0
  least = (d - 1) * w0
  span = limits.max_edge - least + 1
  e = least + min(draws.below(span), draws.below(span))
  return d, w0, w1, min(e, (d - 1) * w1 * w1)


def draw_structure(draws: Draws, d: int, w0: int, w1: int, e: int,
                   p: float) -> Graph:
  """DrawStructure: level sizes, a parent for every item, more edges up to e."""
  sizes = [w0] * d
  while True:
    most = sum(map(operator.mul, sizes, sizes[1:]))
    if most >= e and (sum(sizes) - sizes[0] == e or draws.uniform() >= p):
      break
    room = [i for i, n in enumerate(sizes) if n < w1]
    if not room:
      break
    sizes[draws.pick(room)] += 1
  edges, others, first = [], [], 0
  for above, below in itertools.pairwise(sizes):
    for item in range(first + above, first + above + below):
      parent = first + draws.below(above)
      edges.append((parent, item))
      others += [(v, item) for v in range(first, first + above) if v != parent]
    first += above
  return Graph(sizes, edges + draws.sample(others, e - len(edges)))


def necessary(draws: Draws, g: Graph, n: int, m: int) -> tuple[list, int]:
  """DrawNecessary1: abstract parameters with their dependencies, at most n
  operations, then single instance parameters up to m operations. Returns (the
  parameters, their operations)."""
  edges = len(g.ends)
  closures, dear = {}, []  # dear: (bit of q, operations beyond one)

  def closure(p: int) -> int:  # bit q: q is needed for p
    if p not in closures:
      out, needs = 1 << p, g.needs(p)
      if len(needs) > 2:
        dear.append((out, len(needs) - 2))
      for q in needs:
        out |= closure(q) if q >= edges else 1 << q
      closures[p] = out
    return closures[p]

  chosen, left, levels = 0, n, g.abstracts()
  while left:
    best = None
    # One of each difficulty, from the easiest: the hardest one before the
    # first that costs too much.
    for level in levels:
      free = [p for p in level if not chosen >> p & 1]
      if free:
        added = closure(draws.pick(free)) & ~chosen
        price = added.bit_count() + sum([x for bit, x in dear if added & bit])
        if price > left:
          break
        best = added, price
    if best is None:
      break
    chosen |= best[0]
    left -= best[1]
  spent = n - left
  free = [p for p in range(edges) if not chosen >> p & 1]
  more = draws.sample(free, min(m - spent, len(free)))
  return [p for p in range(chosen.bit_length()) if chosen >> p & 1] + more, (
      spent + len(more))


def necessary_order(draws: Draws, g: Graph, chosen: list[int]) -> bool:
  """DrawNecessary2: draws the order from the back, query first, and adds a
  dependency where no drawn parameter needs a remaining one. False: there is no
  such order."""
  p0 = draws.uniform()
  e = math.exp(abs(draws.normal()))
  lean = (1.0, e, e * e)
  edges = len(g.ends)
  users = dict.fromkeys(chosen, 0)  # unplaced parameters that need this one
  for p in chosen:
    g.sources[p] = needs = g.needs(p) if p >= edges else []
    for q in needs:
      users[q] += 1
  left, order = set(chosen), []
  free = [p for p in chosen if not users[p]]  # the paper's Next2
  wanted = set()  # Next1: something placed depends on it
  ready = free
  while ready:
    p = draws.pick(ready)
    order.append(p)
    left.discard(p)
    wanted.discard(p)
    free.remove(p)
    needs = g.sources[p]
    for q in needs:
      users[q] -= 1
      if not users[q]:
        free.append(q)
    if p >= edges:
      wanted.update(needs)
    elif left:
      stuck = wanted.isdisjoint(free)
      if draws.uniform() < p0 or stuck:
        pool = free if stuck else sorted(left)
        q = pool[draws.weighted([
            lean[(q >= edges) + (q not in wanted)] for q in pool])]
        needs.append(q)
        wanted.add(q)
    ready = [q for q in free if q in wanted]
  g.order = order[::-1]
  return not left


def design(draws: Draws, g: Graph, most: int, missing: int) -> bool:
  """DrawNecessary3: distributes up to `most` operations over the instance
  parameters, then draws the sources of each. False: the graph takes more or
  fewer than the `missing` operations."""
  room = {i: min(i - 1, OPERANDS - 2) for i, p in enumerate(g.order)
          if i > 1 and p < len(g.ends)}
  if min(most, sum(room.values())) != missing:
    return False
  extra, open_ = dict.fromkeys(range(len(g.order)), 0), list(room)
  for _ in range(missing):
    i = draws.pick(open_)
    extra[i] += 1
    if extra[i] == room[i]:
      open_.remove(i)
  for i, p in enumerate(g.order):
    if p >= len(g.ends):
      continue
    count = extra[i] + 2 if extra[i] else 1 + (draws.uniform() >= 0.5)
    count = min(count, i + 1, OPERANDS)
    have = g.sources[p]
    rest = [CONST, *(q for q in g.order[:i] if q not in have)]
    count -= len(have)
    if count and count < len(rest) and draws.uniform() < 0.5:
      have.append(CONST)
      count -= 1
      del rest[0]
    # Else the constant may still be drawn as one among the rest.
    have += draws.sample(rest, count) if count < len(rest) else rest
    constant = CONST in have
    if constant:
      have.remove(CONST)
    define(draws, g, p, constant)
  return True


def define(draws: Draws, g: Graph, p: int, constant: bool) -> None:
  """Chooses the form of an instance parameter whose sources are known."""
  sources = g.sources[p]
  kind = ''
  if constant:
    kind = 'only' if not sources else (
        'more' if draws.uniform() < 0.5 else 'times')
  g.constant[p] = kind
  if len(sources) == 2 and draws.uniform() >= 0.5:
    g.minus.add(p)


def unnecessary(draws: Draws, g: Graph) -> None:
  """DrawUnnecessary: defines every remaining edge from the parameters that are
  computable so far or, with probability 0.5, from distractors alone."""
  known, independent, pool = set(g.order), [], list(g.order)
  pending = [(p, g.needs(p)) for level in g.abstracts() for p in level
             if p not in known]

  def grow():  # the easiest first, so that one pass finds all
    for p, needs in list(pending):
      if known.issuperset(needs):
        known.add(p)
        pool.append(p)
        pending.remove((p, needs))

  grow()
  free = [p for p in range(len(g.ends)) if p not in known]
  for p in draws.sample(free, len(free)):
    alone = draws.uniform() < 0.5
    choice = independent if alone else pool
    count, most = 1, min(len(choice) + 1, OPERANDS)
    while count < most and draws.uniform() > 0.5:
      count += 1
    constant = count == len(choice) + 1 or draws.uniform() < 0.5
    g.sources[p] = draws.sample(choice, count - constant)
    for q in g.sources[p]:
      if q >= len(g.ends):
        g.use(q)
    define(draws, g, p, constant)
    g.extra.append(p)
    known.add(p)
    pool.append(p)
    if alone:
      independent.append(p)
    grow()


def two_operands(draws: Draws, g: Graph, p: int, pool: list[int]) -> None:
  """Defines a parameter from two operands: the sources that it has, then, each
  with probability 0.5, a constant or another one of the pool. A constant is
  added or is a factor, two parameters are added or subtracted."""
  have, constants = g.sources.get(p, []), 0
  while len(have) + constants < 2:
    rest = [q for q in pool if q not in have]
    if rest and draws.uniform() < 0.5:
      have.append(draws.pick(rest))
    else:
      constants += 1
  g.sources[p] = draws.sample(have, len(have))
  first = draws.uniform() < 0.5
  g.constant[p] = '' if not constants else 'more' if first else 'times'
  if not constants and not first:
    g.minus.add(p)


def instances(draws: Draws, op: int, count: int) -> Graph:
  """The necessary part of a problem of `count` instance parameters of one item
  and no abstract ones: `op` parameters of two operands, in the order of
  DrawNecessary2."""
  g = Graph([1, count], [(0, 1 + i) for i in range(count)], abstract=False)
  necessary_order(draws, g, list(range(op)))
  for i, p in enumerate(g.order):
    two_operands(draws, g, p, g.order[:i])
  return g


def unnecessary_instances(draws: Draws, g: Graph) -> None:
  """DrawUnnecessary for `instances`: every other parameter from those before it
  or, with probability 0.5, from distractors alone."""
  independent, pool = [], list(g.order)
  for p in range(len(g.order), len(g.ends)):
    alone = draws.uniform() < 0.5
    two_operands(draws, g, p, independent if alone else pool)
    g.extra.append(p)
    pool.append(p)
    if alone:
      independent.append(p)


def draw(draws: Draws, op: int, aim: int, limits: Limits) -> Graph | None:
  """One attempt at the necessary part of a problem of exactly `op` operations.

  Args:
    draws: the random choices.
    op: the number of operations.
    aim: the target number, s in the paper, at least op. With aim > op, only a
      structure that allows no more than op operations is accepted.
    limits: of the structure.

  Returns:
    The graph, or None when it has another number of operations.
  """
  n = 1 + max(draws.below(aim), draws.below(aim))
  m = n + draws.below(aim - n + 1)
  d, w0, w1, e = structure(draws, aim, limits)
  # Short of m only if every edge is in use: then each costs an operation, and
  # those after the third leave room for two more.
  if m > op and e + max(2 * e - 5, 0) > op:
    return None
  p = draws.uniform()
  for _ in range(TRIES):
    g = draw_structure(draws, d, w0, w1, e, p)
    chosen, spent = necessary(draws, g, n, m)
    if necessary_order(draws, g, chosen):
      return g if design(draws, g, aim - spent, op - spent) else None
  return None
