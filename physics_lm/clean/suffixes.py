"""Exact repeated spans of tokens, by a suffix array. No JAX.

Prefix doubling (Manber & Myers 1993): the ranks of all suffixes by their first
k tokens give those by 2k, each by one sort of pairs. To find spans of m tokens,
suffixes need to be ranked by their first m tokens only: equal ranks are equal
windows, without any chance. ExactSubstr of Lee et al. 2021 (arXiv 2107.06499),
section 4.1, finds the same windows in the complete suffix array.
"""

import numpy as np


def suffix_ranks(tokens: np.ndarray, depth: int | None = None) -> np.ndarray:
  """[tokens] int64: the rank of each suffix by its first `depth` tokens (None:
  by all), from 0; equal ones have equal ranks, and the end of the text is
  before every token. The suffix array is the argsort of the complete ranks.

  Args:
    tokens: [tokens] integers.
    depth: at least 1.
  """
  n = len(tokens)
  _, ranks = np.unique(tokens, return_inverse=True)
  ranks, k, depth = ranks.astype(np.int64), 1, n if depth is None else depth
  while k < min(depth, n) and (n == 0 or ranks.max() < n - 1):
    step = min(k, depth - k)  # the second part may overlap the first
    later = np.zeros(n, np.int64)
    later[:n - step] = ranks[step:] + 1
    _, ranks = np.unique(ranks * (n + 1) + later, return_inverse=True)
    ranks, k = ranks.astype(np.int64), k + step
  return ranks


def repeated_tokens(tokens: np.ndarray, m: int) -> np.ndarray:
  """[tokens] bool: the tokens of each window of m tokens that equals an earlier
  one. The first of equal windows is not marked by them."""
  n = len(tokens)
  if n <= m:
    return np.zeros(n, bool)
  # Windows that the end of the text cuts off are left out: they are shorter.
  ranks = suffix_ranks(tokens, m)[:n - m + 1]
  _, first = np.unique(ranks, return_index=True)
  later = np.ones(len(ranks), bool)
  later[first] = False
  edges = np.zeros(n + 1, np.int64)
  edges[np.flatnonzero(later)] += 1
  edges[np.flatnonzero(later) + m] -= 1
  return np.cumsum(edges[:-1]) > 0


def join_pages(pages: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """(tokens of all pages with a number of its own after each page, so that no
  window of two pages equals another; the index of each page's first token).

  Args:
    pages: hashes [tokens] of each page's tokens.
  """
  sizes = np.array([len(p) for p in pages], np.int64)
  starts = np.cumsum(sizes + 1) - sizes - 1
  _, ids = np.unique(np.concatenate([*pages, np.zeros(0, np.uint64)]),
                     return_inverse=True)
  out = np.empty(len(ids) + len(pages), np.int64)
  ends = starts + sizes
  inside = np.ones(len(out), bool)
  inside[ends] = False
  out[inside] = ids
  out[ends] = len(ids) + np.arange(len(pages))
  return out, starts
