"""iGSM: grade-school arithmetic over a hierarchy of things, step by step.

Distribution (Physics of Language Models, Part 2.1, section 2, appendix D; its
released generator where the two differ): a target op is the smaller of two
uniforms on min_op .. max_op; graphs are drawn (igsm_law.py) until one takes
exactly that many operations and its solution template falls into the split's
bins; one of the chains gives consecutive levels, of each level one
sub-category gives the names; constants are uniform on 0 .. m-1, factors on
1 .. m-1; the sentences are shuffled. `med` is max_op 15, max_edge 20; `hard`
is 21, 28. A solution is the shortest one, in the order of the graph, or
('redundant') a random topological order of all parameters up to the query.

Splits: 'train' and 'test' by SHA-256 of the template modulo 23, below 17 and
from 17 on (paper; the released code has 16). 'train_op20', 'test_op20' fix the
op, '.._reask' then asks the same problem for another of its parameters. Few
templates have op 1 to 3, so claims about new templates need op 4 at least.

Mistakes (Part 2.2, sections 4 and 6), in training splits only: before each
solution sentence, with probability `retry_rate` and again with the same,
stands 'Define X as BACK.', where X is a parameter that cannot be computed yet
(retry), one from a later sentence (retry_weak), or any of the problem's not
told yet (retry_miss). The problems are those of the same index without
mistakes. `retry_mask` takes the loss off the wrong name, or off 'Define', name
and 'as'; never off BACK. To compare at equal tokens, as the paper does, train
for equally many rows of equal length: then fewer problems are seen.

Ours are the names (four chains, five sub-categories of twenty names a
category) and the separation: no marks between problem, question and solution,
which begin with words of their own, and no answer repeated after the solution.
Left out: milder shuffles and solutions with less detail; and mistakes in other
worlds (the biographies' chain of thought, a toy of boxes): they are made of
this one's dependencies.

Speed: 3,000 problems of med and 2,300 of hard a second of processor time, of
one core of a busy machine (medians of three).
"""

import functools
import re
import zlib

import numpy as np

from physics_lm.errors import BadInput, nearest
from physics_lm.worlds.base import Example, mix_bits
from physics_lm.worlds.igsm import graph as graphs
from physics_lm.worlds.igsm import sampling as law
from physics_lm.worlds.igsm import text as texts
from physics_lm.worlds.igsm.checker import SolutionCheck, check

VERSION = 1
SIZE = 1 << 40  # problems of a split: in effect, fresh ones without end
ATTEMPTS = 20_000  # graphs drawn before an op counts as out of reach
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
                   f'{len(texts.LETTERS)} (a letter for each)')
  return bins, op, bool(match[3])


class IGSM:
  """Problems with their solutions, without end."""

  version = VERSION
  unbounded = True

  def __init__(self, config, seed: int):
    c, self.seed, self.modulus = config, seed, config.modulus
    _validate(c)
    self.ops = c.min_op, c.max_op
    self.limits = law.Limits(
        c.max_edge, tuple(range(c.min_depth, c.max_depth + 1)),
        tuple(range(c.min_width, c.max_width + 1)))
    self.order, self.solution, self.variable_names = c.order, c.solution, c.variable_names
    self.retry_kind, self.rate, self.mask = c.retry_kind, c.retry_rate, c.retry_mask
    self.hierarchies = {
        name: texts.cut_hierarchy(texts.load_hierarchy(name), name, c.subcategories, c.items_per_subcategory)
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
    """Answers: ('answer', piece of the last number). Bearing loss: the
    solution. Meta: op, query, answer, edges, parameters (of the shortest
    solution), chain, retries."""
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
    wrong = self._mistakes(split, index, g, order)
    masked, retries, known = [], 0, {}
    for place, p in enumerate(order):
      for q in wrong[place] if wrong else ():
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
    """The choices of one example: a stream of its own (split, or split and
    what else is drawn) and a counter of its own."""
    key = mix_bits(self.seed, zlib.crc32(stream.encode())), index
    return graphs.Draws(np.random.Generator(
        np.random.Philox(key=np.array(key, np.uint64))))

  def _graph(self, draws, op: int | None, bins) -> graphs.Graph:
    """A graph's necessary part: exactly `op` operations (None: drawn), a
    template of these bins."""
    low, high = self.ops
    fixed = op is not None
    # The smaller of two uniforms; given that it is at least `least`, too.
    draw = lambda least: least + min(draws.below(high - least + 1),
                                     draws.below(high - least + 1))
    op = op if fixed else draw(low)
    for _ in range(ATTEMPTS):
      # The released generator aims anew in every attempt at a drawn op: what
      # falls short of a higher aim counts. At a fixed op it aims at that.
      aim = op if fixed else draw(op)
      g = law.draw(draws, op, aim, self.limits)
      if g and texts.template_bin(texts.template(g)) in bins:
        return g
    where = f'template bins {bins[0]} to {bins[-1]} of {texts.BINS}'
    raise BadInput(
        f'op {op} is out of reach: none in {ATTEMPTS} draws with '
        f'max_edge={self.limits.max_edge} and {where}; wanted another op, or '
        'wider limits')

  def _mistakes(self, split, index, g, order) -> list[list[int]] | None:
    """Wrong parameters before each sentence of the solution. Their stream is
    their own: the problems stay those without mistakes."""
    if not self.rate or split.startswith('test'):
      return None
    draws, out = self._draws(f'{split} {self.retry_kind}', index), []
    for place in range(len(order)):
      here = []
      while draws.uniform() < self.rate:
        free = [p for p in graphs.wrong_steps(g, order, place, self.retry_kind)
                if p not in here]
        if not free:
          break
        here.append(draws.pick(free))
      out.append(here)
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
    """(category, all its names) of a chain, from the top down."""
    return [(category, [name for group in groups for name in group])
            for category, groups in self.hierarchies[chain]]

  def prompt(self, question: Example) -> str:
    """The text before the solution."""
    return ''.join(question.pieces[:question.loss[0]])

  def check(self, question: Example, text: str) -> SolutionCheck:
    """Judges a solution of this problem, any text (igsm_check.py)."""
    return check(self.prompt(question), text,
                 self.hierarchy(question.meta['chain']), self.modulus)


def _validate(c):
  """Raises BadInput for settings that make no problem."""
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
                   f'{len(texts.LETTERS)} (a letter for each operation)')
  least = (c.max_depth - 1) * c.max_width
  if c.max_edge < least:
    raise BadInput(f'max_edge is {c.max_edge}, wanted at least {least} = '
                   '(max_depth - 1) * max_width')


def _fits(name: str, levels, limits):
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


def make(config, seed: int) -> IGSM:
  return IGSM(config, seed)
