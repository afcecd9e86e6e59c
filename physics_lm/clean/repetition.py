"""Repetition inside a page: the measures of Gopher's table A1. No JAX.

Of equal lines, paragraphs or n-grams the first is not counted as a repeat.
Characters of overlapping n-grams count once. Shares are of all characters of
the page, white space too.
"""

import re
from collections.abc import Sequence

import numpy as np

from physics_lm.clean.words import lines_of, text_hashes
from physics_lm.worlds.base import mix_bits

_PARAGRAPHS = re.compile(r'\n\s*\n')


def repeated_share(parts: Sequence[str]) -> float:
  """Share of the parts that are repeats of an earlier one."""
  return (len(parts) - len(set(parts))) / max(len(parts), 1)


def repeated_characters(parts: Sequence[str]) -> int:
  """Characters of the parts that are repeats of an earlier one."""
  return sum(map(len, parts)) - sum(map(len, set(parts)))


def top_characters(grams: np.ndarray, lengths: np.ndarray, n: int) -> int:
  """Characters of the occurrences of the commonest n-gram, of several the
  longest; 0 where none occurs twice.

  Args:
    grams: [words - n + 1], hashes of the n-grams.
    lengths: [words], of the words in characters.
    n: words of an n-gram.
  """
  known, first, count = np.unique(grams, return_index=True, return_counts=True)
  if count.max(initial=0) < 2:
    return 0
  size = np.convolve(lengths, np.ones(n, np.int64), 'valid')[first]
  top = np.lexsort((size, count))[-1]
  return _characters(grams == known[top], lengths, n)


def repeated_ngram_characters(grams: np.ndarray, lengths: np.ndarray, n: int
                              ) -> int:
  """Characters of the n-grams that occurred before. Arguments as in
  top_characters."""
  _, first = np.unique(grams, return_index=True)
  if len(first) == len(grams):
    return 0
  again = np.ones(len(grams), bool)
  again[first] = False
  return _characters(again, lengths, n)


def _characters(begins: np.ndarray, lengths: np.ndarray, n: int) -> int:
  """Characters of the words in n-grams that begin at some words, each once,
  with the spaces between them."""
  edges = np.zeros(len(lengths) + 1, np.int64)
  at = np.flatnonzero(begins)
  edges[at] += 1
  edges[at + n] -= 1
  inside = np.cumsum(edges[:-1]) > 0
  return int(lengths[inside].sum() + (inside[1:] & inside[:-1]).sum())


def repetition_measures(text: str) -> dict[str, float]:
  """{key of default.clean().repetition: the page's value} in its order."""
  lines = lines_of(text)
  paragraphs = [p.strip() for p in _PARAGRAPHS.split(text.strip())]
  words, size = text.split(), max(len(text), 1)
  hashes = text_hashes(words)
  lengths = np.array([len(w) for w in words], np.int64)
  out = {'max_lines': repeated_share(lines),
         'max_paragraphs': repeated_share(paragraphs),
         'max_line_characters': repeated_characters(lines) / size,
         'max_paragraph_characters': repeated_characters(paragraphs) / size}
  grams = hashes
  for n in range(2, 11):  # of one word more each time
    grams = mix_bits(hashes[n - 1:], state=grams[:len(hashes) - n + 1])
    name, measure = (f'top_{n}', top_characters) if n < 5 else (
        f'repeated_{n}', repeated_ngram_characters)
    out[name] = measure(grams, lengths, n) / size if len(words) >= n else 0.0
  return out
