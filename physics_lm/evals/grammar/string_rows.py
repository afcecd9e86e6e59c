"""Strings of a grammar as rows of tokens, a string a row.

Token 0 of a row is the end token, which begins every text; token i is the
string's i-th symbol, and its target the next one, or the end.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from physics_lm import mixture
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput


def grammar_of(data: mixture.Mixture, name: str) -> Any:
  """The world of that name. Raises BadInput when it is no grammar."""
  world = data.worlds[name]
  if not hasattr(world, 'end_laws'):
    raise BadInput(f'evals: world {name!r} is no grammar')
  return world


def charts_at_once(world: Any) -> int:
  """How many strings a chart is made of at a time: what fits the cache."""
  return max((1 << 18) // (world.longest + 1)**2, 1)


def symbol_ids(data: mixture.Mixture, world: Any) -> np.ndarray:
  """The token of each terminal and, last, of the end. Raises BadInput when a
  terminal has several."""
  ids = [data.vocab.encode(p) for p in world.pieces()]
  if any(len(i) != 1 for i in ids):
    raise BadInput('evals: a symbol has several tokens, wanted data.vocab word '
                   'or piece')
  return np.array([*(i[0] for i in ids), vocabs.EOS], np.int32)


def string_rows(ids: np.ndarray, strings: Sequence[np.ndarray], length: int
                ) -> dict[str, np.ndarray]:
  """Rows of `length` tokens, as of mixture.new_row, [strings, length]."""
  rows = []
  for string in strings:
    rows.append(mixture.new_row(length))
    text = [vocabs.EOS, *ids[string].tolist()]
    mixture.write_example(rows[-1], (text, [1.0] * len(text)), 0, 1)
  return {k: np.stack([r[k] for r in rows]) for k in rows[0]}
