"""The contract of worlds: examples by index, and a checker of answers."""

import dataclasses
import importlib
import itertools
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from ml_collections import ConfigDict

from physics_lm.config import override, typed_value
from physics_lm.errors import BadInput, nearest
from physics_lm.key_ranges import check_ranges

WORLDS = {'biographies': 'physics_lm.worlds.biographies',
          'biod': 'physics_lm.worlds.biod',
          'chains': 'physics_lm.worlds.symbolic.chains',
          'compose': 'physics_lm.worlds.symbolic.compose',
          'crawl': 'physics_lm.worlds.crawl',
          'grammar': 'physics_lm.worlds.grammar',
          'igsm': 'physics_lm.worlds.igsm.problems',
          'instruct': 'physics_lm.worlds.symbolic.instruct',
          'manipulation': 'physics_lm.worlds.manipulation',
          'markov': 'physics_lm.worlds.markov',
          'programs': 'physics_lm.worlds.symbolic.programs',
          'recall': 'physics_lm.worlds.symbolic.recall',
          'text': 'physics_lm.worlds.text'}
# Requests to judge one answer, and two: the pieces after each answer, and the
# verdicts for the (first) one and against it. A model that was trained on such
# texts is a judge (posttrain/judge.py).
GRADE = (' ok',), (' yes', ' no')
CHOOSE = (' or', ' better'), (' first', ' second')
JUDGED_PIECES = tuple(w for form in (GRADE, CHOOSE) for part in form
                      for w in part)
_MASK = (1 << 64) - 1
DRAWN_TEXTS = 1 << 40  # of a split of DrawnTexts


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
  """A text in pieces. A piece is what a tokenizer may cache: a name, a value,
  the words between two slots. The pieces, joined, are the text."""

  pieces: tuple[str, ...]
  answers: tuple[tuple[str, int], ...]  # (attribute, index of a piece)
  loss: tuple[int, ...]  # pieces with loss when the loss is on answers
  meta: dict
  masked: tuple[int, ...] = ()  # pieces that never have loss
  labels: tuple[str, ...] = ()  # predicted at each piece instead of the next
  # one; () where the next one is. Loss and answers are then of labels

  @property
  def text(self) -> str:
    return ''.join(self.pieces)


class CheckResult(NamedTuple):
  """A checker's verdict on an answer, with its reason."""

  correct: bool
  reason: str


class Encoded(NamedTuple):
  """A stream's example that is encoded already, as mixture.encode does."""

  ids: list[int]
  weights: list[float]


class World(Protocol):
  """Pure in (config, seed): example i of a split is the same on any host."""

  version: int
  splits: tuple[str, ...]
  unbounded: bool  # lengths have a tail: rows skip examples that do not fit

  def size(self, split: str) -> int:
    """Number of examples in the split. Raises BadInput for an unknown one."""

  def people(self, split: str) -> int:
    """Number of distinct subjects in the split: the divisor of exposures."""

  def example(self, split: str, index: int) -> Example:
    """Example `index` of the split. Raises IndexError beyond its size."""

  def pieces(self) -> Iterable[str]:
    """Every piece that an example may contain, for a closed vocabulary."""

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks `text`, an answer to `question`."""

  # A world whose examples are all alike in form, each a sequence of as many
  # pieces of pieces(), may also have
  #   symbols(split, indices [n]) -> [n, pieces of an example] int32
  # which of pieces() each example consists of (None: those of this split differ
  # in form), and
  #   epoch(split) -> int
  # how many examples in a row are one of each subject (where some are more
  # frequent: how many draws an epoch permutes). Rows are then made in bulk, and
  # data.sampling may be 'epochs' (mixture.py). Where they apply also
  #   labels(split, indices) -> [n, pieces of an example] int32
  # which of pieces() the labels are, and
  #   bearing(split, indices) -> [n, pieces of an example] bool
  # Example.loss, where examples differ in it.


def check_split(world: World, split: str) -> None:
  """Raises BadInput for a split that the world does not have."""
  if split not in world.splits:
    raise BadInput(f'unknown split {split!r}; {nearest(split, world.splits)}')


class DrawnTexts:
  """What worlds share whose texts are each drawn from their index alone. They
  have `splits`; all texts are different subjects."""

  unbounded = False

  def size(self, split: str) -> int:
    """Texts of the split."""
    check_split(self, split)
    return DRAWN_TEXTS

  people = epoch = size


def is_stream(world: World) -> bool:
  """Whether the world is a stream: it has no index, but `documents(split,
  shard, shards, seed)`, an iterator of examples without end, with get_state and
  set_state (JSON), and `judged(split)`, the split for evaluations of loss."""
  return hasattr(world, 'documents')


def make_world(config: ConfigDict, seed: int) -> World:
  """The world of a config. Raises BadInput for an unknown kind, another version
  than the code's, or values out of range."""
  if config.kind not in WORLDS:
    raise BadInput(f'unknown world kind {config.kind!r}; '
                   f'{nearest(config.kind, WORLDS)}')
  module = importlib.import_module(WORLDS[config.kind])
  if config.version != module.VERSION:
    raise BadInput(f'config wants version {config.version} of world '
                   f'{config.kind}, this code makes version {module.VERSION}')
  check_ranges(config)
  return module.make(config, seed)


def world_from_flags(name: str, items: list[str], seed: int) -> World:
  """The world `name` with the keys of `items`, 'KEY=VALUE' each, set. Raises
  BadInput."""
  from physics_lm.configs import default

  if name not in WORLDS or not hasattr(default, name):
    raise BadInput(f'unknown world {name!r}; {nearest(name, WORLDS)}')
  override(default.get_config(), {'seed.world': seed})  # is it in its range?
  config = getattr(default, name)().lock()
  changes = {}
  for item in items:
    key, equals, value = item.partition('=')
    if not equals:
      raise BadInput(f'--set {item!r}, wanted KEY=VALUE')
    changes[key] = typed_value(config, key, value)
  return make_world(override(config, changes), seed)


def prompt_and_answer_pieces(
    example: Example) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The pieces of the prompt and those of the answer. The answer begins at the
  first piece with loss if all later ones have loss; else the prompt is
  empty."""
  count, first = len(example.pieces), min(example.loss, default=0)
  if example.loss != tuple(range(first, count)):
    first = 0
  return example.pieces[:first], example.pieces[first:]


def prompt_and_answer(example: Example) -> tuple[str, str]:
  """(prompt, answer): the texts of prompt_and_answer_pieces."""
  question, answer = prompt_and_answer_pieces(example)
  return ''.join(question), ''.join(answer)


def first_examples(world: World, split: str, count: int) -> list[Example]:
  """At most `count` examples of a split: spread evenly over it, or the first of
  a stream."""
  if is_stream(world):
    return list(itertools.islice(world.in_order(split), count))
  size = world.size(split)
  count = max(min(count, size), 1)
  return [world.example(split, i * size // count) for i in range(count)]


def generator(seed: int, *key: str | int) -> np.random.Generator:
  """A counter-based generator, independent for every (seed, key)."""
  return np.random.Generator(np.random.Philox(key=generator_key(seed, *key)))


def generator_key(seed: int, *key: str | int) -> list[int]:
  """Philox's key, two 64-bit numbers, for a seed and any further keys."""
  return [seed, zlib.crc32('/'.join(map(str, key)).encode())]


def mix_bits(*numbers: int | np.ndarray, state: int | np.ndarray = 0
             ) -> int | np.ndarray:
  """64 pseudo-random bits from numbers: chained splitmix64 (Steele et al.
  2014). `state` is the result of an earlier chain, to continue it. With arrays
  of uint64 among the numbers, an array: element by element the same bits."""
  for n in numbers:
    state = (state ^ n) + 0x9E3779B97F4A7C15 & _MASK
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
    state = state ^ state >> 31
  return state


def permuted(i: int | np.ndarray, size: int, keys: Sequence[int | np.ndarray]
             ) -> int | np.ndarray:
  """The image of i under a keyed permutation of 0 .. size-1: a Feistel network
  over the next power of four with one round per key, repeated until the result
  is below size (cycle walking). Of an array of uint64, the image of each
  element; keys may then be arrays of its shape."""
  bits = max(((size - 1).bit_length() + 1) // 2, 1)
  i = _feistel(i, bits, keys)
  if isinstance(i, int):
    while i >= size:
      i = _feistel(i, bits, keys)
    return i
  while (outside := np.flatnonzero(i >= size)).size:
    i[outside] = _feistel(i[outside], bits, [
        k if isinstance(k, int) else k[outside] for k in keys])
  return i


def _feistel(i, bits: int, keys):
  mask = (1 << bits) - 1
  left, right = i >> bits, i & mask
  for key in keys:
    left, right = right, left ^ (mix_bits(right, state=key) & mask)
  return left << bits | right


def distinct(rng: np.random.Generator, total: int, count: int) -> np.ndarray:
  """`count` distinct numbers below `total`. A smaller count gives a prefix."""
  if total <= 1 << 20:
    return rng.permutation(total)[:count]
  drawn = np.zeros(0, np.int64)
  while True:  # the generator's stream does not depend on the chunks
    drawn = np.concatenate([drawn, rng.integers(0, total, count + 64)])
    _, first = np.unique(drawn, return_index=True)
    if len(first) >= count:
      return drawn[np.sort(first)[:count]]
