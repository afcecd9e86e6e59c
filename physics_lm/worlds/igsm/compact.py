"""iGSM in symbols: one piece for each name, number or sign.

COMPACT is the other rendering of a graph beside text.TEXT. In a
problem without abstract parameters a parameter is the name of its lower item,
`A`, because they all belong to one item; else it is two names, `X A`. A name of
several words is written as one, `Steel_Chest`.

  problem    A + 3 B           A is 3 + B; also `A * 3 B`, `A - B C`, `A + 3 1`,
                               `A = 3`, `A = B`. Signs take the two operands
                               that follow: `A * 2 + + B C D` is 2 (B + C + D)
  question   ? Q :             ':' stands before the solution, in the order 'qp'
                               too
  solution   A + 3 3 B 4 2.    sign, operand, its value, operand, its value,
                               result modulo m; `A = B 4.` is a copy. A rule of
                               several operations has all of them in one
                               sentence, where #1 is the first one's result:
                               `A + B 4 C 2 1 + #1 1 D 3 4.`
  error      C BACK.
"""

from collections.abc import Iterator

from physics_lm.worlds.igsm.graph import CONST, SECOND, Graph
from physics_lm.worlds.igsm.text import (
  Hierarchy,
  Names,
  Rendering,
  result,
)

WORDS = (' ?', ' :', ' =', ' +', ' -', ' *', ' BACK', '.')
SIGNS = {'more': ' +', 'times': ' *'}  # of a constant


def one_word(levels: Hierarchy) -> Hierarchy:
  """The hierarchy with every name written as one word."""
  return tuple((category.replace(' ', '_'), tuple(
      tuple(name.replace(' ', '_') for name in group) for group in groups))
               for category, groups in levels)


def compact_parameter(names: Names, g: Graph, p: int) -> tuple[str, ...]:
  """The pieces of a parameter's name."""
  item, _, other = names.parameter(g, p)
  return (item, other) if g.abstract else (other,)


def compact_problem(g: Graph, names: Names, values: dict[int, tuple[int, ...]],
            order: list[int]) -> list[str]:
  """Pieces of the problem: text.text_problem in symbols."""
  out = []
  for p in order:
    out += compact_parameter(names, g, p)
    kind, sources = g.constant[p], g.sources[p]
    constants = [f' {c}' for c in values[p]] if kind else []
    if kind in SIGNS:
      out += (SIGNS[kind], *constants)
    elif len(sources) < 2:
      out += (' =', *constants)
    out += [' -' if p in g.minus else ' +'] * (len(sources) - 1)
    for q in sources:
      out += compact_parameter(names, g, q)
  return out


def compact_question(g: Graph, names: Names, query: int) -> list[str]:
  """Pieces of the question about parameter `query`."""
  return [' ?', *compact_parameter(names, g, query)]


def compact_error(name: tuple[str, ...]) -> tuple[str, ...]:
  """Pieces of an error, which names a parameter."""
  return *name, ' BACK', '.'


def compact_sentence(out: list[str], g: Graph, names: Names, p: int,
             letters: Iterator[str], known: dict[int, tuple[str, int]],
             constants: tuple[int, ...], modulus: int) -> None:
  """Appends the pieces of a solution sentence: text.text_sentence in symbols.
  Quantities are called by their names, so that `letters` are not used."""
  name = compact_parameter(names, g, p)
  out += name
  done = []
  for sign, a, b in g.steps(p):
    left, x = _operand(a, g, names, known, done, constants)
    if sign == '=':
      out += (' =', *left, f' {x}')
      value = x
    else:
      right, y = _operand(b, g, names, known, done, constants)
      value = result(sign, x, y, modulus)
      out += (f' {sign}', *left, f' {x}', *right, f' {y}', f' {value}')
    done.append(value)
  out.append('.')
  known[p] = '', done[-1]


def _operand(a: int, g: Graph, names: Names, known: dict, done: list,
             constants: tuple[int, ...]) -> tuple[tuple[str, ...], int]:
  """(pieces, value) of an operand of Graph.steps."""
  if a >= 0:
    return compact_parameter(names, g, a), known[a][1]
  if a in (CONST, SECOND):
    constant = constants[0 if a == CONST else 1]
    return (f' {constant}',), constant
  return (f' #{-1 - a}',), done[-2 - a]


COMPACT = Rendering(WORDS, compact_parameter, compact_problem, compact_question,
                    compact_error, compact_sentence)
