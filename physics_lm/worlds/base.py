"""What every world gives: examples by index, and a checker of answers."""

import dataclasses
import importlib
import itertools
import zlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np

from physics_lm.config import override, typed_value
from physics_lm.errors import BadInput, nearest

WORLDS = {'biographies': 'physics_lm.worlds.biographies',
          'biod': 'physics_lm.worlds.biod',
          'grammar': 'physics_lm.worlds.grammar',
          'igsm': 'physics_lm.worlds.igsm.problems',
          'manipulation': 'physics_lm.worlds.manipulation',
          'text': 'physics_lm.worlds.text'}
_MASK = (1 << 64) - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
  """A text in pieces. A piece is what a tokenizer may cache: a name, a value,
  the words between two slots. Joined, the pieces are the text, exactly."""

  pieces: tuple[str, ...]
  answers: tuple[tuple[str, int], ...]  # (attribute, which piece is its value)
  loss: tuple[int, ...]  # pieces that bear loss when only answers do
  meta: dict
  masked: tuple[int, ...] = ()  # pieces that never bear loss

  @property
  def text(self) -> str:
    return ''.join(self.pieces)


class CheckResult(NamedTuple):
  correct: bool
  reason: str


class Encoded(NamedTuple):
  """An example that came as ids: what rows.encode makes of any other."""

  ids: list[int]
  weights: list[float]


class World(Protocol):
  """Pure in (config, seed): example i of a split is what it is, on any host."""

  version: int
  splits: tuple[str, ...]
  unbounded: bool  # lengths have a tail: rows leave out what does not fit

  def size(self, split: str) -> int:
    """How many examples the split has."""

  def people(self, split: str) -> int:
    """How many distinct things are told of: the divisor of exposures."""

  def example(self, split: str, index: int) -> Example:
    """Example `index` of the split."""

  def pieces(self) -> Iterable[str]:
    """Every piece that any example may hold: a closed vocabulary's source."""

  def check(self, question: Example, text: str) -> CheckResult:
    """Judges `text`, the answer given to `question`."""


def is_stream(world) -> bool:
  """Whether the world has no index, but `documents(split, shard, shards,
  seed)`: an endless iterator of examples with get_state and set_state (JSON),
  and `judged(split)`: the split whose loss an evaluation tells."""
  return hasattr(world, 'documents')


def make_world(config, seed: int) -> World:
  """The world a config describes. Raises BadInput for an unknown kind or a
  version that this code does not make."""
  if config.kind not in WORLDS:
    raise BadInput(f'unknown world kind {config.kind!r}; '
                   f'{nearest(config.kind, WORLDS)}')
  module = importlib.import_module(WORLDS[config.kind])
  if config.version != module.VERSION:
    raise BadInput(f'config wants version {config.version} of world '
                   f'{config.kind}, this code makes version {module.VERSION}')
  return module.make(config, seed)


def world_from_flags(name: str, items: list[str], seed: int) -> World:
  """The world `name` of a command line, with the keys of its items
  'KEY=VALUE' set. Raises BadInput."""
  from configs import default

  if name not in WORLDS or not hasattr(default, name):
    raise BadInput(f'unknown world {name!r}; {nearest(name, WORLDS)}')
  config = getattr(default, name)().lock()
  changes = {}
  for item in items:
    key, equals, value = item.partition('=')
    if not equals:
      raise BadInput(f'--set {item!r}, wanted KEY=VALUE')
    changes[key] = typed_value(config, key, value)
  return make_world(override(config, changes), seed)


def prompt_and_answer_pieces(example: Example) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The pieces of the question and those of the answer: cut before the first
  that bears loss when all after it do; no question where there is no such
  end."""
  count, first = len(example.pieces), min(example.loss, default=0)
  if example.loss != tuple(range(first, count)):
    first = 0
  return example.pieces[:first], example.pieces[first:]


def prompt_and_answer(example: Example) -> tuple[str, str]:
  """(question, answer), the texts of `parts`."""
  question, answer = prompt_and_answer_pieces(example)
  return ''.join(question), ''.join(answer)


def first_examples(world: World, split: str, count: int) -> list[Example]:
  """At most `count` examples of a split, spread evenly over it; the first of
  a stream."""
  if is_stream(world):
    return list(itertools.islice(world.in_order(split), count))
  size = world.size(split)
  count = max(min(count, size), 1)
  return [world.example(split, i * size // count) for i in range(count)]


def generator(seed: int, *key: str | int) -> np.random.Generator:
  """A counter-based generator of its own for every (seed, key)."""
  return np.random.Generator(np.random.Philox(key=generator_key(seed, *key)))


def generator_key(seed: int, *key: str | int) -> list[int]:
  return [seed, zlib.crc32('/'.join(map(str, key)).encode())]


def mix_bits(*numbers: int, state: int = 0) -> int:
  """64 bits from numbers: splitmix64 (Steele et al. 2014), chained; `state`
  is where an earlier chain ended."""
  for n in numbers:
    state = (state ^ n) + 0x9E3779B97F4A7C15 & _MASK
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
    state ^= state >> 31
  return state


def distinct(rng: np.random.Generator, total: int, count: int) -> np.ndarray:
  """`count` distinct numbers below `total`; a prefix of the longer draw."""
  if total <= 1 << 20:
    return rng.permutation(total)[:count]
  drawn = np.zeros(0, np.int64)
  while True:  # the generator's stream does not depend on the chunks
    drawn = np.concatenate([drawn, rng.integers(0, total, count + 64)])
    _, first = np.unique(drawn, return_index=True)
    if len(first) >= count:
      return drawn[np.sort(first)[:count]]
