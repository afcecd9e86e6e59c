"""Statistics of iGSM's problems, compared with those of the authors' code.

  python -m physics_lm.worlds.igsm.reference_stats --count=10000

THEIRS was measured with the released generator; where the number of problems is
not known, 200 are assumed. The law of operations is exact. Tokens are pieces (a
name is one). Differences are in standard errors of both samples together; the
sentences of a problem count as one draw. A second table has the same problems
in words and in symbols (worlds.igsm.rendering), and how many are equal.
"""

import collections
import re
from typing import NamedTuple

import numpy as np

from physics_lm.config import argument_parser, override
from physics_lm.errors import BadInput, command
from physics_lm.worlds import base
from physics_lm.worlds.igsm.problems import IGSM

SETTINGS = {
    'med': {}, 'hard': {'max_op': 21, 'max_edge': 28},
    'redundant': {'solution': 'redundant'},
    **{f'mistakes {rate}': {'retry_rate': rate} for rate in (0.05, 0.2, 0.5)}}
RENDERED = {  # of the second table; instance: that of configs/igsm.py:compact
    **{name: SETTINGS[name] for name in ('med', 'mistakes 0.2')}, 'instance': {
        'parameters': 'instance', 'op_law': 'uniform', 'max_op': 5,
        'max_edge': 8, 'modulus': 5, 'hierarchies': 'syllables',
        'subcategories': 1, 'items_per_subcategory': 24, 'held_out_op': 5}}
THEIRS = {  # (setting, statistic): (mean, number of problems)
    ('med', 'op'): (5.6, 1000), ('hard', 'op'): (7.4, 1000),
    ('med', 'instance parameters'): (9.3, 1000),
    ('hard', 'instance parameters'): (11.0, 1000),
    ('med', 'necessary parameters'): (4.8, 1000),
    ('hard', 'necessary parameters'): (5.9, 1000),
    ('med', 'query abstract'): (0.42, 1000),
    ('hard', 'query abstract'): (0.40, 1000),
    ('med', 'tokens of the problem'): (115.6, 200),
    ('med', 'tokens of the solution'): (87.2, 200),
    ('redundant', 'needless operations'): (3.5, 200),
    ('redundant', 'needless parameters'): (3.2, 200),
    ('mistakes 0.05', 'mistakes'): (0.22, 200),
    ('mistakes 0.2', 'mistakes'): (1.08, 200),
    ('mistakes 0.5', 'mistakes'): (4.8, 200),
    ('med', 'a constant'): (0.335, 200), ('med', 'one'): (0.232, 200),
    ('med', 'c + one'): (0.090, 200), ('med', 'c * one'): (0.093, 200),
    ('med', 'a sum'): (0.094, 200), ('med', 'a difference'): (0.042, 200),
    ('med', 'c and those'): (0.113, 200)}
KINDS = ('a constant', 'one', 'c + one', 'c * one', 'a sum', 'a difference',
         'c and those')  # of sentences


class StatisticsRow(NamedTuple):
  """A line of the table: a statistic of both generators."""

  setting: str
  what: str
  theirs: float
  ours: float
  error: float  # standard error of ours - theirs
  exact: bool  # theirs is exact, not a sample mean

  @property
  def apart(self) -> float:
    """Difference in standard errors."""
    return (self.ours - self.theirs) / self.error


def op_probability(low: int, high: int, op: int) -> float:
  """Probability of `op` operations: the law of the smaller of two uniform
  integers in low .. high."""
  return (2 * (high - op) + 1) / (high - low + 1)**2


def measures(world: IGSM, example: base.Example) -> dict[str, float]:
  """The statistics of one problem that are averaged over problems."""
  m = example.meta
  out = {'op': m['op'], 'instance parameters': m['edges'],
         'necessary parameters': m['parameters']}
  if not world.compact:
    categories = {c for c, _ in world.hierarchy(m['chain'])}
    out['query abstract'] = m['query'].split("'s ")[1] in categories
  out |= {'mistakes': m['retries'], 'tokens of the problem': example.loss[0],
          'tokens of the solution': len(example.loss)}
  if world.solution == 'redundant':
    verdict = world.check(example, ''.join(
        example.pieces[i] for i in example.loss))
    out |= {'needless operations': verdict.extra_operations,
            'needless parameters': verdict.extra_parameters}
  return out | {f'op {k}': m['op'] == k for k in range(
      world.ops[0], world.ops[1] + 1)}


def sentences(world: IGSM, example: base.Example) -> collections.Counter:
  """Counts of the kinds (KINDS) of the problem's sentences."""
  kinds = collections.Counter()
  for line in re.findall(r' equals (.*?)\.', world.prompt(example)):
    number, _, rest = line.partition(' ')
    kind = ('a sum' if 'sum of' in line else 'a difference' if 'difference'
            in line else 'one' if 'each' in line else 'a constant')
    if number.isdigit() and rest:
      kind = {'one': f'c {"+" if rest.startswith("more") else "*"} one'}.get(
          kind, 'c and those')
    kinds[kind] += 1
  return kinds


def statistics_rows(setting: str, count: int,
                    seed: int = 0) -> list[StatisticsRow]:
  """The rows of a setting (of SETTINGS), from `count` training problems of
  ours."""
  from physics_lm.configs import default
  world = base.make_world(override(default.igsm(), SETTINGS[setting]), seed)
  examples = [world.example('train', i) for i in range(count)]
  per = [measures(world, e) for e in examples]
  out = []
  for what in per[0]:
    values = np.array([p[what] for p in per], float)
    if (setting, what) in THEIRS:
      mean, n = THEIRS[setting, what]
      out.append(StatisticsRow(setting, what, mean, values.mean(),
                               values.std() * (1 / count + 1 / n)**0.5, False))
    elif what.startswith('op ') and setting in ('med', 'hard'):
      share = op_probability(*world.ops, int(what[3:]))
      out.append(StatisticsRow(setting, what, share, values.mean(),
                               (share * (1 - share) / count)**0.5, True))
  if (setting, KINDS[0]) in THEIRS:
    mix = np.array([[k[kind] for kind in KINDS] for k in (
        sentences(world, e) for e in examples)], float)
    total = mix.sum(1)
    shares = mix.sum(0) / total.sum()
    # The spread of a ratio of two sums over problems.
    spread = (mix - total[:, None] * shares).std(0) / total.mean()
    for kind, share, x in zip(KINDS, shares, spread):
      mean, n = THEIRS[setting, kind]
      out.append(StatisticsRow(setting, kind, mean, share,
                               x * (1 / count + 1 / n)**0.5, False))
  return out


def rendering_rows(setting: str, count: int, seed: int = 0
                   ) -> tuple[list[tuple[str, float, float]], int]:
  """Of `count` training problems of a setting of RENDERED: (statistic, its mean
  in words, in symbols), and how many problems are equal in all that is recorded
  of them (Example.meta) but the text of the question."""
  from physics_lm.configs import default
  worlds = [base.make_world(override(default.igsm(), RENDERED[setting] | {
      'rendering': rendering}), seed) for rendering in ('text', 'compact')]
  drawn = [[w.example('train', i) for i in range(count)] for w in worlds]
  means = [{what: np.mean([m[what] for m in per]) for what in per[0]}
           for per in ([measures(w, e) for e in examples]
                       for w, examples in zip(worlds, drawn))]
  equal = sum(all(a.meta[k] == b.meta[k] for k in a.meta if k != 'query')
              for a, b in zip(*drawn))
  return [(what, *(m[what] for m in means)) for what in means[1]], equal


@command
def main(argv: list[str] | None = None) -> None:
  """Prints the table."""
  p = argument_parser('physics_lm.worlds.igsm.reference_stats', __doc__)
  p.add_argument('--count', type=int, default=3000,
                 help='problems of each setting')
  p.add_argument('--seed', type=int, default=0, help='of the world')
  a = p.parse_args(argv)
  if a.count < 2:
    raise BadInput(f'--count is {a.count}, wanted at least 2: their '
                   'spread is the error')
  print(f'{"setting":15}{"what":24}{"theirs":>8}{"ours":>8}{"error":>8}'
        f'{"apart":>7}')
  for setting in SETTINGS:
    for r in statistics_rows(setting, a.count, a.seed):
      print(f'{r.setting:15}{r.what:24}{r.theirs:8.3f}{r.ours:8.3f}'
            f'{r.error:8.3f}{r.apart:7.1f}{"  (law)" if r.exact else ""}')
  print(f'\n{"setting":15}{"what":24}{"words":>8}{"symbols":>8}')
  for setting in RENDERED:
    rows, equal = rendering_rows(setting, a.count, a.seed)
    for what, words, symbols in rows:
      print(f'{setting:15}{what:24}{words:8.3f}{symbols:8.3f}')
    print(f'{setting:15}equal problems: {equal:,} of {a.count:,}')


if __name__ == '__main__':
  main()
