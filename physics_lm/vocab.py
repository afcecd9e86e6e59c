"""Tokenizers: text piece -> ids and back, exactly.

Every kind encodes a text piece by piece (`Example.pieces`) and caches each
piece, so a row costs a few dictionary look-ups. Id 0 pads; id 1 ends an
example and starts the next, as the papers' end-of-text token does.
"""

import hashlib
import re
from collections.abc import Iterable

from physics_lm.errors import BadInput, nearest

PAD, EOS = 0, 1
_SPECIAL = ('<pad>', '<eos>')
# A word or one sign, with the space before it: the split is exact and never
# crosses the border of two pieces.
_WORD = re.compile(r' ?\w+| ?[^\w\s]|\s')


class Word:
  """Closed vocabulary: the words of the given pieces, in sorted order."""

  kind = 'word'

  def __init__(self, pieces: Iterable[str]):
    words = {w for piece in pieces for w in self._split(piece)}
    self.words = _SPECIAL + tuple(sorted(words))
    self._id = {w: i for i, w in enumerate(self.words)}
    self._cache: dict[str, tuple[int, ...]] = {}

  def __len__(self) -> int:
    return len(self.words)

  @staticmethod
  def _split(piece: str) -> list[str]:
    return _WORD.findall(piece)

  def encode(self, piece: str) -> tuple[int, ...]:
    """Ids of one piece. Raises BadInput for a word outside the vocabulary."""
    ids = self._cache.get(piece)
    if ids is None:
      try:
        ids = tuple([self._id[w] for w in self._split(piece)])
      except KeyError as e:
        raise BadInput(f'word {e.args[0]!r} is not among the '
                       f'{len(self)} of the closed vocabulary') from None
      self._cache[piece] = ids
    return ids

  def decode(self, ids: Iterable[int]) -> str:
    """The text; ends at the first end token; padding is dropped."""
    return ''.join(self.words[i] for i in _until_eos(ids))

  @property
  def hash(self) -> str:
    return _digest(self.kind, *self.words)


class Piece(Word):
  """Closed vocabulary: every piece is one token, however many words it has.
  The shortest rows; for worlds whose examples are made of listed pieces."""

  kind = 'piece'

  @staticmethod
  def _split(piece: str) -> list[str]:
    return [piece]


class Byte:
  """UTF-8 bytes, shifted past the two special ids."""

  kind = 'byte'

  def __init__(self, pieces: Iterable[str] = ()):
    del pieces  # open: every text can be written

  def __len__(self) -> int:
    return 256 + len(_SPECIAL)

  def encode(self, piece: str) -> tuple[int, ...]:
    return tuple([b + len(_SPECIAL) for b in piece.encode()])

  def decode(self, ids: Iterable[int]) -> str:
    return bytes(i - len(_SPECIAL) for i in _until_eos(ids)
                 ).decode(errors='replace')

  @property
  def hash(self) -> str:
    return _digest(self.kind)


VOCABS = {'word': Word, 'piece': Piece, 'byte': Byte}


def make(kind: str, pieces: Iterable[str]) -> Word | Byte:
  if kind not in VOCABS:
    raise BadInput(f'unknown vocab {kind!r}; {nearest(kind, VOCABS)}')
  return VOCABS[kind](pieces)


def _until_eos(ids: Iterable[int]):
  for i in ids:
    if i == EOS:
      return
    if i != PAD:
      yield int(i)


def _digest(*parts: str) -> str:
  return hashlib.sha256('\n'.join(parts).encode()).hexdigest()
