"""Repetition inside a page: the measures of Gopher's table A1. No JAX.

Of equal lines, paragraphs or n-grams the first is not counted as a repeat.
Characters of overlapping n-grams count once. Shares are of all characters of
the page, white space too.
"""

import re
from collections.abc import Sequence

import numpy as np

from physics_lm.clean.words import lines_of, ngram_hashes, text_hashes

_PARAGRAPHS = re.compile(r'\n\s*\n')


def repeated_share(parts: Sequence[str]) -> float:
  """Share of the parts that are repeats of an earlier one."""
  return (len(parts) - len(set(parts))) / max(len(parts), 1)


def repeated_characters(parts: Sequence[str]) -> int:
  """Characters of the parts that are repeats of an earlier one."""
  return sum(map(len, parts)) - sum(map(len, set(parts)))


def top_characters(hashes: np.ndarray, lengths: np.ndarray, n: int) -> int:
  """Characters of the occurrences of the commonest n-gram, of several the
  longest; 0 where none occurs twice.

  Args:
    hashes: [words], of the words.
    lengths: [words], of the words in characters.
    n: words of an n-gram.
  """
  if len(hashes) < n:
    return 0
  grams = ngram_hashes(hashes, n)
  known, first, count = np.unique(grams, return_index=True, return_counts=True)
  if count.max() < 2:
    return 0
  size = np.convolve(lengths, np.ones(n, np.int64), 'valid')[first]
  top = np.lexsort((size, count))[-1]
  return _characters(grams == known[top], lengths, n)


def repeated_ngram_characters(hashes: np.ndarray, lengths: np.ndarray, n: int
                              ) -> int:
  """Characters of the n-grams that occurred before. Arguments as in
  top_characters."""
  if len(hashes) <= n:
    return 0
  _, first = np.unique(ngram_hashes(hashes, n), return_index=True)
  again = np.ones(len(hashes) - n + 1, bool)
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
  out |= {f'top_{n}': top_characters(hashes, lengths, n) / size
          for n in (2, 3, 4)}
  return out | {
      f'repeated_{n}': repeated_ngram_characters(hashes, lengths, n) / size
      for n in range(5, 11)}
