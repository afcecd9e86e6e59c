"""iGSM: grade-school arithmetic over a hierarchy of things, step by step.

>>> from physics_lm.worlds.base import world_from_flags
>>> world = world_from_flags('igsm', [
...     'parameters=instance', 'rendering=compact', 'max_op=3', 'max_edge=3',
...     'held_out_op=4', 'hierarchies=syllables', 'subcategories=1',
...     'modulus=5'], seed=0)
>>> world.example('train', 0).text
' Mo + 1 4 Do + 4 1 Zu + 2 Mo ? Zu : Mo + 1 1 4 4 0. Zu + 2 2 Mo 0 2.'

Distribution (Physics of Language Models, Part 2.1, section 2, appendix D; its
released generator where the two differ): a target op is the smaller of two
uniforms on min_op .. max_op (`op_law='uniform'`: one uniform); graphs are drawn
(sampling.py) until one has exactly that op and a solution template in the
split's bins; one of the hierarchies provides consecutive levels, and one
sub-category of each level provides the names; constants are uniform on 0 ..
m-1, factors on 1 .. m-1; the sentences are shuffled. `med` is max_op 15,
max_edge 20; `hard` is 21, 28. The solution is the shortest one, in the order of
the graph, or ('redundant') a random topological order of all parameters up to
the query.

Splits: 'train' and 'test' by SHA-256 of the template modulo 23, below 17 and
from 17 on (paper; the released code has 16). 'train_op20' and 'test_op20' fix
the op; with '_reask' the query is another parameter of the same problem. Few
templates have op 1 to 3, so claims about new templates need op 4 at least.

Retry data (Part 2.2, sections 4 and 6), in training splits only: before each
sentence of the solution, with probability `retry_rate`, and again with the same
probability, is an error 'Define X as BACK.', where X is a parameter that cannot
be computed yet (retry), one of a later sentence (retry_weak), or any of the
problem that is not defined yet (retry_miss). The authors' released code, by
default, also draws the parameter of the sentence that comes next, which is no
error: retry_weak_next. The problems are those of the same index without errors.
`retry_mask` removes the loss from the name in an error, or from 'Define', name
and 'as'; never from BACK. For a comparison at equal tokens, as in the paper,
train on equally many rows of equal length: then there are fewer problems in
retry data.

Ours are the names (four hierarchies, five sub-categories of twenty names for
each category) and the separation: no marks between problem, question and
solution, which begin with different words, and no answer after the solution.
`rendering` chooses one of two texts of the same problem, example by example:
sentences (text.py) or symbols (compact.py), a token for each name, number and
sign. A rendering and not a world of its own, because everything but the wording
is the same: graphs, names, errors, splits, checker, probes and statistics; and
because two renderings of one law can be compared. `parameters='instance'`
draws other graphs (sampling.instances), in either rendering: one item's
instance parameters only, from max(op, 2) up to max_edge of them, uniformly (or
`distractors` beside the necessary ones), each of two operands, so that op
counts the necessary ones. By the paper's order
of dependencies these form a chain: at each step of a solution exactly one of
them can be computed, op - 1 steps from the question at first. What is then hard
is to plan the order of the sentences. Few templates have few operations, so
both kinds of split share those of fewer than `held_out_op`.

Left out: milder shuffles, solutions with less detail, and retry data in other
worlds (the biographies' CoT, a toy of boxes), because errors are made from this
world's dependencies.

Speed: 3,000 problems of med and 2,300 of hard a second of processor time, of
one core of a busy machine (medians of three).
"""

import functools
import re
import zlib
from collections.abc import Iterator

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput, nearest
from physics_lm.worlds.base import Example, mix_bits
from physics_lm.worlds.igsm import checker
from physics_lm.worlds.igsm import graph as graphs
from physics_lm.worlds.igsm import sampling as law
from physics_lm.worlds.igsm import text as texts
from physics_lm.worlds.igsm.compact import COMPACT, one_word
from physics_lm.worlds.igsm.compact_checker import CompactProblem

VERSION = 1
SIZE = 1 << 40  # problems of a split, each drawn from its index
ATTEMPTS = 20_000  # graphs drawn before an op counts as unreachable
CHOICES = {
    'order': ('pq', 'qp'),
    'solution': ('shortest', 'redundant'),
    'variable_names': ('random', 'alphabetical'),
    'retry_kind': ('retry', 'retry_weak', 'retry_weak_next', 'retry_miss'),
    'retry_mask': ('none', 'name', 'sentence'),
    'rendering': ('text', 'compact'),
    'op_law': ('min2', 'uniform'),
    'parameters': ('both', 'instance'),
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
    self.abstract = c.parameters == 'both'
    self.compact = c.rendering == 'compact'
    self.rendering = COMPACT if self.compact else texts.TEXT
    self.op_law, self.held_out_op = c.op_law, c.held_out_op
    self.limits = law.Limits(
        c.max_edge, tuple(range(c.min_depth, c.max_depth + 1)),
        tuple(range(c.min_width, c.max_width + 1))) if self.abstract else (
            law.Limits(c.max_edge, (2,), (c.max_edge,)))
    self.distractors = c.distractors
    self.order, self.solution = c.order, c.solution
    self.variable_names = c.variable_names
    self.retry_kind, self.rate = c.retry_kind, c.retry_rate
    self.mask = c.retry_mask
    self.hierarchies = {
        name: texts.cut_hierarchy(texts.load_hierarchy(name), name,
                                  c.subcategories, c.items_per_subcategory)
        for name in map(str.strip, c.hierarchies.split(','))}
    if self.compact:
      self.hierarchies = {k: one_word(v) for k, v in self.hierarchies.items()}
    for name, levels in self.hierarchies.items():
      _fits(name, levels, self.limits,
            'max_width' if self.abstract else 'max_edge')
    self.splits = ('train', 'test', f'test_op{c.max_op}',
                   f'test_op{c.max_op}_reask')
    self._graph(self._draws('reach', 0), c.max_op, range(texts.BINS))
    if not self.abstract:  # of the fewest operations there are two templates
      self._graph(self._draws('reach', 1), c.min_op, range(texts.TRAIN_BINS))

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
    if self.abstract:
      law.unnecessary(draws, g)
    else:
      law.unnecessary_instances(draws, g)
    if reask:
      graphs.reask(draws, g, len(texts.LETTERS))
    name = draws.pick(list(self.hierarchies))
    names = texts.Names(draws, g, self.hierarchies[name])
    values = {p: self._constants(draws, g, p) for p in g.constant}
    form = self.rendering
    sentences = form.problem(g, names, values, draws.sample(
        range(len(g.ends)), len(g.ends)))
    question = form.question(g, names, g.order[-1])
    pieces = [*sentences, *question] if self.order == 'pq' else [
        *question, *sentences]
    if self.compact:
      pieces.append(' :')
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
        wrong = form.parameter(names, g, q)
        pieces += form.error(wrong)
        first = at + (not self.compact)  # after 'Define'
        masked += {'none': (), 'name': range(first, first + len(wrong)),
                   'sentence': range(at, len(pieces) - 2)}[self.mask]
      form.sentence(pieces, g, names, p, letters, known, values.get(p, (0,)),
                    self.modulus)
    end = len(pieces) - 2
    return Example(
        tuple(pieces), (('answer', end),), tuple(range(start, len(pieces))),
        {'op': sum(map(g.op, g.order)), 'chain': name, 'edges': len(g.ends),
         'query': ''.join(names.parameter(g, g.order[-1])).strip(),
         'answer': known[order[-1]][1], 'parameters': len(g.order),
         'retries': retries}, tuple(masked))

  def _constants(self, draws: graphs.Draws, g: graphs.Graph, p: int
                 ) -> tuple[int, ...]:
    """The random constants of an instance parameter."""
    kind = g.constant[p]
    if not kind:
      return ()
    first = draws.below(self.modulus) if kind != 'times' else (
        1 + draws.below(self.modulus - 1))
    if g.sources[p] or kind == 'only':
      return (first,)
    return first, draws.below(self.modulus)

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
    op = op if fixed else self._draw_op(draws, low, high)
    for _ in range(ATTEMPTS):
      # With a drawn op, the released generator draws another target s >= op in
      # every attempt, and accepts graphs that fall short of it by themselves.
      # Given s >= op, s has the law of the smaller of two uniforms from op on.
      if self.abstract:
        aim = op if fixed else self._draw_op(draws, op, high)
        g = law.draw(draws, op, aim, self.limits)
      else:
        g = self._instances(draws, op)
      if g and (op < self.held_out_op or
                texts.template_bin(texts.template(g)) in bins):
        return g
    where = f'template bins {bins[0]} to {bins[-1]} of {texts.BINS}'
    raise BadInput(
        f'op {op} is unreachable: no graph in {ATTEMPTS} draws with '
        f'max_edge={self.limits.max_edge} and {where}; wanted another op, '
        f'wider limits, or held_out_op above {op}')

  def _instances(self, draws: graphs.Draws, op: int) -> graphs.Graph | None:
    """A graph of instance parameters; None: more than max_edge would be
    needed."""
    least = max(op + max(self.distractors, 0), 2)
    more = self.limits.max_edge - least
    if more < 0:
      return None
    return law.instances(draws, op, least + (
        draws.below(more + 1) if self.distractors < 0 else 0))

  def _draw_op(self, draws: graphs.Draws, low: int, high: int) -> int:
    """Operations of a problem, by `op_law`."""
    first = draws.below(high - low + 1)
    return low + (first if self.op_law == 'uniform' else
                  min(first, draws.below(high - low + 1)))

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

  def pieces(self) -> Iterator[str]:
    yield from self.rendering.words
    if not self.compact:
      yield from (' ' + letter for letter in texts.LETTERS)
    elif self.abstract:
      most = max(2 * self.limits.widths[-1] - 1, law.OPERANDS - 1)
      yield from (f' #{i}' for i in range(1, most))
    yield from (f' {number}' for number in range(self.modulus))
    if self.compact and not self.abstract:
      for levels in self.hierarchies.values():
        yield from (' ' + name for _, groups in levels[1:] for group in groups
                    for name in group)
      return
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

  def prompt_part(self, text: str) -> str:
    """The prompt at the start of a problem's text with its solution."""
    if self.compact:
      problem, colon, _ = text.partition(' :')
      return problem + colon
    return text.partition(' Define')[0]

  def problem(self, question: Example) -> checker.Problem:
    """The problem, for the checker."""
    kind = CompactProblem if self.compact else checker.Problem
    return kind(self.prompt(question), self.hierarchy(question.meta['chain']),
                self.modulus, self.abstract)

  def check(self, question: Example, text: str) -> checker.SolutionCheck:
    """Checks any text as a solution of this problem (checker.py)."""
    return checker.check(self.problem(question), text)

  @property
  def question_size(self) -> int:
    """Pieces of the question, with the mark before the solution."""
    return 5 if not self.compact else 4 if self.abstract else 3

  @property
  def error_size(self) -> int:
    """Pieces of an error, up to its full stop."""
    return 7 if not self.compact else 4 if self.abstract else 3

  def name_pieces(self, p: checker.Parameter) -> tuple[str, ...]:
    """The pieces of a parameter's name in a text."""
    item, other = p
    if not self.compact:
      return f' {item}', "'s", f' {other}'
    return (f' {item}', f' {other}') if self.abstract else (f' {other}',)


def _validate(c: ConfigDict):
  """Raises BadInput for values of a config that are out of range."""
  for key, known in CHOICES.items():
    if c[key] not in known:
      raise BadInput(f'{key} is {c[key]!r}; {nearest(c[key], known)}')
  for low, high in (('min_op', 'max_op'), ('min_depth', 'max_depth'),
                    ('min_width', 'max_width')):
    if c[low] > c[high]:
      raise BadInput(f'{low} is {c[low]} and {high} {c[high]}, wanted '
                     f'{low} <= {high}')
  if c.parameters == 'instance':
    least = max(c.max_op + max(c.distractors, 0), 2)
    if c.max_edge < least:
      raise BadInput(f'max_edge is {c.max_edge}, wanted at least {least}: '
                     'max_op and distractors, and 2')
    return
  if c.distractors >= 0:
    raise BadInput(f"distractors is {c.distractors} and parameters 'both', "
                   "wanted -1, or 'instance'")
  least = (c.max_depth - 1) * c.max_width
  if c.max_edge < least:
    raise BadInput(f'max_edge is {c.max_edge}, wanted at least {least} = '
                   '(max_depth - 1) * max_width')


def _fits(name: str, levels: texts.Hierarchy, limits: law.Limits,
          key: str):
  """Raises BadInput for a hierarchy with too few levels or names. `key`: of
  the config, that sets the largest number of names."""
  depth, width = limits.depths[-1], limits.widths[-1]
  if len(levels) < depth:
    raise BadInput(f'max_depth is {depth}, but hierarchy {name} has '
                   f'{len(levels)} levels')
  for category, groups in levels:
    least = min(map(len, groups))
    if least < width:
      raise BadInput(
          f'level {category!r} of hierarchy {name} has a sub-category of '
          f'{least} names, wanted at least {key}={width}')


def make(config: ConfigDict, seed: int) -> IGSM:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return IGSM(config, seed)
