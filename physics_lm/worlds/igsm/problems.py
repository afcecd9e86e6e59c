"""iGSM: grade-school arithmetic over a hierarchy of things, step by step.

Distribution (Physics of Language Models, Part 2.1, section 2, appendix D; its
released generator where the two differ): a target op is the smaller of two
uniforms on min_op .. max_op; graphs are drawn (sampling.py) until one has
exactly that op and a solution template in the split's bins; one of the
hierarchies provides consecutive levels, and one sub-category of each level
provides the names; constants are uniform on 0 .. m-1, factors on 1 .. m-1; the
sentences are shuffled. `med` is max_op 15, max_edge 20; `hard` is 21, 28. The
solution is the shortest one, in the order of the graph, or ('redundant') a
random topological order of all parameters up to the query.

Splits: 'train' and 'test' by SHA-256 of the template modulo 23, below 17 and
from 17 on (paper; the released code has 16). 'train_op20' and 'test_op20' fix
the op; with '_reask' the query is another parameter of the same problem. Few
templates have op 1 to 3, so claims about new templates need op 4 at least.

Retry data (Part 2.2, sections 4 and 6), in training splits only: before each
sentence of the solution, with probability `retry_rate`, and again with the same
probability, is an error 'Define X as BACK.', where X is a parameter that cannot
be computed yet (retry), one of a later sentence (retry_weak), or any of the
problem that is not defined yet (retry_miss). The problems are those of the same
index without errors. `retry_mask` removes the loss from the name in an error,
or from 'Define', name and 'as'; never from BACK. For a comparison at equal
tokens, as in the paper, train on equally many rows of equal length: then there
are fewer problems in retry data.

Ours are the names (four hierarchies, five sub-categories of twenty names for
each category) and the separation: no marks between problem, question and
solution, which begin with different words, and no answer after the solution.
Left out: milder shuffles, solutions with less detail, and retry data in other
worlds (the biographies' CoT, a toy of boxes), because errors are made from this
world's dependencies.

Speed: 3,000 problems of med and 2,300 of hard a second of processor time, of
one core of a busy machine (medians of three).
"""

import functools
import re
import zlib

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput, nearest
from physics_lm.worlds.base import Example, mix_bits
from physics_lm.worlds.igsm import graph as graphs
from physics_lm.worlds.igsm import sampling as law
from physics_lm.worlds.igsm import text as texts
from physics_lm.worlds.igsm.checker import SolutionCheck, check

VERSION = 1
SIZE = 1 << 40  # problems of a split, each drawn from its index
ATTEMPTS = 20_000  # graphs drawn before an op counts as unreachable
CHOICES = {
    'order': ('pq', 'qp'),
    'solution': ('shortest', 'redundant'),
    'variable_names': ('random', 'alphabetical'),
    'retry_kind': ('retry', 'retry_weak', 'retry_miss'),
    'retry_mask': ('none', 'name', 'sentence'),
}
_SPLIT = re.compile(r'(train|test)(?:_op([0-9]+))?(_reask)?')


@functools.cache
def parse_split(name: str) -> tuple[range, int | None, bool]:
  """(template bins, fixed op if any, reask). Raises BadInput."""
  match = _SPLIT.fullmatch(name)
  if not match:
    raise BadInput(f'unknown split {name!r}; wanted train or test, then _opN, '
                   'then _reask, as in test_op20_reask')
  bins = range(texts.TRAIN_BINS) if match[1] == 'train' else range(
      texts.TRAIN_BINS, texts.BINS)
  op = int(match[2]) if match[2] else None
  if op is not None and not 1 <= op <= len(texts.LETTERS):
    raise BadInput(f'split {name!r}: op is {op}, wanted 1 to '
                   f'{len(texts.LETTERS)} (one letter for each)')
  return bins, op, bool(match[3])


class IGSM:
  """Problems with their solutions."""

  version = VERSION
  unbounded = True

  def __init__(self, config, seed: int):
    c, self.seed, self.modulus = config, seed, config.modulus
    _validate(c)
    self.ops = c.min_op, c.max_op
    self.limits = law.Limits(
        c.max_edge, tuple(range(c.min_depth, c.max_depth + 1)),
        tuple(range(c.min_width, c.max_width + 1)))
    self.order, self.solution = c.order, c.solution
    self.variable_names = c.variable_names
    self.retry_kind, self.rate = c.retry_kind, c.retry_rate
    self.mask = c.retry_mask
    self.hierarchies = {
        name: texts.cut_hierarchy(texts.load_hierarchy(name), name,
                                  c.subcategories, c.items_per_subcategory)
        for name in map(str.strip, c.hierarchies.split(','))}
    for name, levels in self.hierarchies.items():
      _fits(name, levels, self.limits)
    self.splits = ('train', 'test', f'test_op{c.max_op}',
                   f'test_op{c.max_op}_reask')
    self._graph(self._draws('reach', 0), c.max_op, range(texts.BINS))

  def size(self, split: str) -> int:
    parse_split(split)
    return SIZE

  def people(self, split: str) -> int:
    return self.size(split)

  def example(self, split: str, index: int) -> Example:
    """A problem, its question and its solution. Its answer is the piece of the
    last number ('answer'); loss on answers is on the solution. Meta: op, query,
    answer, edges, parameters (of the shortest solution), chain (its hierarchy),
    retries."""
    if not 0 <= index < SIZE:
      raise IndexError(f'example {index} of {SIZE} in {split}')
    bins, op, reask = parse_split(split)
    draws = self._draws(split, index)
    g = self._graph(draws, op, bins)
    law.unnecessary(draws, g)
    if reask:
      graphs.reask(draws, g)
    name = draws.pick(list(self.hierarchies))
    names = texts.Names(draws, g, self.hierarchies[name])
    values = {p: 0 if not kind else draws.below(self.modulus)
              if kind != 'times' else 1 + draws.below(self.modulus - 1)
              for p, kind in g.constant.items()}
    sentences = texts.problem(g, names, values, draws.sample(
        range(len(g.ends)), len(g.ends)))
    question = texts.question(g, names, g.order[-1])
    pieces = [*sentences, *question] if self.order == 'pq' else [
        *question, *sentences]
    start = len(pieces)
    order = g.order
    if self.solution == 'redundant':
      order = graphs.redundant(draws, g, len(texts.LETTERS))
    letters = iter(texts.LETTERS if self.variable_names == 'alphabetical' else
                   draws.sample(texts.LETTERS, sum(map(g.op, order))))
    errors = self._errors(split, index, g, order)
    masked, retries, known = [], 0, {}
    for i, p in enumerate(order):
      for q in errors[i] if errors else ():
        at, retries = len(pieces), retries + 1
        pieces += (' Define', *names.parameter(g, q), ' as', ' BACK', '.')
        masked += {'none': (), 'name': range(at + 1, at + 4),
                   'sentence': range(at, at + 5)}[self.mask]
      texts.sentence(pieces, g, names, p, letters, known, values.get(p, 0),
                     self.modulus)
    end = len(pieces) - 2
    return Example(
        tuple(pieces), (('answer', end),), tuple(range(start, len(pieces))),
        {'op': sum(map(g.op, g.order)), 'chain': name, 'edges': len(g.ends),
         'query': ''.join(names.parameter(g, g.order[-1])).strip(),
         'answer': known[order[-1]][1], 'parameters': len(g.order),
         'retries': retries}, tuple(masked))

  def _draws(self, stream: str, index: int) -> graphs.Draws:
    """The random choices of example `index` of a stream: a split, or a split
    and the purpose of the choices."""
    key = mix_bits(self.seed, zlib.crc32(stream.encode())), index
    return graphs.Draws(np.random.Generator(
        np.random.Philox(key=np.array(key, np.uint64))))

  def _graph(self, draws, op: int | None, bins) -> graphs.Graph:
    """The necessary part of a graph with exactly `op` operations (None: drawn)
    and a template in `bins`. Raises BadInput after ATTEMPTS graphs."""
    low, high = self.ops
    fixed = op is not None
    op = op if fixed else _smaller_of_two(draws, low, high)
    for _ in range(ATTEMPTS):
      # With a drawn op, the released generator draws another target s >= op in
      # every attempt, and accepts graphs that fall short of it by themselves.
      # Given s >= op, s has the law of the smaller of two uniforms from op on.
      aim = op if fixed else _smaller_of_two(draws, op, high)
      g = law.draw(draws, op, aim, self.limits)
      if g and texts.template_bin(texts.template(g)) in bins:
        return g
    where = f'template bins {bins[0]} to {bins[-1]} of {texts.BINS}'
    raise BadInput(
        f'op {op} is unreachable: no graph in {ATTEMPTS} draws with '
        f'max_edge={self.limits.max_edge} and {where}; wanted another op, or '
        'wider limits')

  def _errors(self, split: str, index: int, g: graphs.Graph,
              order: list[int]) -> list[list[int]] | None:
    """Parameters of the errors before each sentence of the solution. They have
    a stream of their own, so that problems are the same as without errors."""
    if not self.rate or split.startswith('test'):
      return None
    draws, out = self._draws(f'{split} {self.retry_kind}', index), []
    for i in range(len(order)):
      errors = []
      while draws.uniform() < self.rate:
        free = [p for p in graphs.error_parameters(g, order, i, self.retry_kind)
                if p not in errors]
        if not free:
          break
        errors.append(draws.pick(free))
      out.append(errors)
    return out

  def pieces(self):
    yield from texts.WORDS
    yield from (' ' + letter for letter in texts.LETTERS)
    yield from (f' {number}' for number in range(self.modulus))
    for levels in self.hierarchies.values():
      for category, groups in levels:
        yield from (' ' + name for group in groups for name in group)
        yield ' ' + category

  def hierarchy(self, chain: str) -> list[tuple[str, list[str]]]:
    """(category, all its names) of a hierarchy, from the top down."""
    return [(category, [name for group in groups for name in group])
            for category, groups in self.hierarchies[chain]]

  def prompt(self, question: Example) -> str:
    """The text before the solution."""
    return ''.join(question.pieces[:question.loss[0]])

  def check(self, question: Example, text: str) -> SolutionCheck:
    """Checks any text as a solution of this problem (checker.py)."""
    return check(self.prompt(question), text,
                 self.hierarchy(question.meta['chain']), self.modulus)


def _smaller_of_two(draws: graphs.Draws, low: int, high: int) -> int:
  """The smaller of two uniform integers in low .. high."""
  return low + min(draws.below(high - low + 1), draws.below(high - low + 1))


def _validate(c: ConfigDict):
  """Raises BadInput for values of a config that are out of range."""
  for key, known in CHOICES.items():
    if c[key] not in known:
      raise BadInput(f'{key} is {c[key]!r}; {nearest(c[key], known)}')
  if c.modulus < 2:
    raise BadInput(f'modulus is {c.modulus}, wanted at least 2')
  if not 0 <= c.retry_rate < 1:
    raise BadInput(f'retry_rate is {c.retry_rate}, wanted from 0 to below 1')
  for low, high, least in (('min_op', 'max_op', 1), ('min_depth', 'max_depth',
                                                     2),
                           ('min_width', 'max_width', 1)):
    if not least <= c[low] <= c[high]:
      raise BadInput(f'{low} is {c[low]} and {high} {c[high]}, wanted '
                     f'{least} <= {low} <= {high}')
  if c.max_op > len(texts.LETTERS):
    raise BadInput(f'max_op is {c.max_op}, wanted at most '
                   f'{len(texts.LETTERS)} (one letter for each operation)')
  least = (c.max_depth - 1) * c.max_width
  if c.max_edge < least:
    raise BadInput(f'max_edge is {c.max_edge}, wanted at least {least} = '
                   '(max_depth - 1) * max_width')


def _fits(name: str, levels: texts.Hierarchy, limits: law.Limits):
  """Raises BadInput for a hierarchy with too few levels or names."""
  depth, width = limits.depths[-1], limits.widths[-1]
  if len(levels) < depth:
    raise BadInput(f'max_depth is {depth}, but hierarchy {name} has '
                   f'{len(levels)} levels')
  for category, groups in levels:
    least = min(map(len, groups))
    if least < width:
      raise BadInput(
          f'level {category!r} of hierarchy {name} has a sub-category of '
          f'{least} names, wanted at least max_width={width}')


def make(config: ConfigDict, seed: int) -> IGSM:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return IGSM(config, seed)
