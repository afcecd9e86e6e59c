"""A page as lines, words and tokens, and their 64-bit hashes. No JAX.

A word is what lies between white space; a token is a run of letters and digits
or one other character that is no white space. Lines without text are no lines.
Two different texts have one hash with probability 2^-64: sets of hashes are
used as the sets of what is hashed.
"""

import functools
import hashlib
import re
from collections.abc import Sequence

import numpy as np

from physics_lm.worlds.base import mix_bits

_TOKEN = re.compile(r'\w+|[^\w\s]')


def lines_of(text: str) -> list[str]:
  """The lines that hold text, without white space at their ends."""
  return [s for line in text.split('\n') if (s := line.strip())]


def token_spans(text: str) -> np.ndarray:
  """[tokens, 2] int64: begin and end of each token in the text."""
  spans = [m.span() for m in _TOKEN.finditer(text)]
  return np.array(spans, np.int64).reshape(-1, 2)


def tokens_of(text: str) -> list[str]:
  """The tokens of a text."""
  return _TOKEN.findall(text)


def token_count(text: str) -> int:
  """Number of tokens of a text."""
  return len(tokens_of(text))


def text_hash(text: str) -> int:
  """64 bits of a text, the same in every process."""
  return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


_word_hash = functools.lru_cache(1 << 20)(text_hash)


def text_hashes(texts: Sequence[str]) -> np.ndarray:
  """[texts] uint64: the hash of each text. Those of words are kept."""
  return np.fromiter((_word_hash(t) if len(t) < 32 else text_hash(t)
                      for t in texts), np.uint64, len(texts))


def ngram_hashes(hashes: np.ndarray, n: int) -> np.ndarray:
  """[len - n + 1] uint64: a hash of each n consecutive ones; of fewer than n,
  one hash of all; of none, none."""
  n = min(n, len(hashes))
  if not n:
    return hashes[:0]
  return mix_bits(*(hashes[i:len(hashes) - n + 1 + i] for i in range(n)))


def shortened(text: str, length: int = 60) -> str:
  """The beginning of a text on one line, for a table."""
  text = ' '.join(text[:4 * length].split())
  return text if len(text) <= length else text[:length - 3] + '...'
