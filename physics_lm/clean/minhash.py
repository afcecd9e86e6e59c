"""Near duplicates: MinHash, bands, verified Jaccard index. No JAX.

A page is the set of its shingles, n consecutive words. The least hash under a
random function is that of a random shingle, so two pages agree in it with
probability J, the Jaccard index of their sets (Broder 1997). Of bands x rows
such hashes, pages that agree in all rows of some band are candidates: with
probability P(J) = 1 - (1 - J^rows)^bands. Bands and rows are easily mistaken
for each other; `candidate_rate` is printed by the command for that reason.

The index of candidates is computed from the sets before anything is removed: a
page is compared with kept pages only, so chains of similar pages do not melt
into one.
"""

from collections.abc import Callable, Iterator

import numpy as np

from physics_lm.clean.words import ngram_hashes, text_hashes
from physics_lm.worlds.base import mix_bits

_SALT = 0x6D696E68617368  # of the hash functions


def shingles(text: str, n: int) -> np.ndarray:
  """[shingles] uint64, sorted: hashes of the distinct n-grams of a page's
  words, in lower case."""
  return np.unique(ngram_hashes(text_hashes(text.lower().split()), n))


def min_hashes(members: np.ndarray, count: int) -> np.ndarray:
  """[count] uint64: the least hash of a set under each of `count` functions;
  of the empty set, the largest number."""
  if not len(members):
    return np.full(count, ~np.uint64(0))
  keys = mix_bits(np.arange(count, dtype=np.uint64), state=_SALT)
  out = np.empty(count, np.uint64)
  for i in range(0, count, 16):  # bounds the memory of long pages
    x = (members ^ keys[i:i + 16, None]) * np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(32)
    x *= np.uint64(0x94D049BB133111EB)
    out[i:i + 16] = (x ^ x >> np.uint64(31)).min(1)
  return out


def band_keys(signature: np.ndarray, bands: int) -> np.ndarray:
  """[..., bands] uint64: a hash of each band of signatures [..., bands *
  rows]."""
  parts = signature.reshape(*signature.shape[:-1], bands,
                            signature.shape[-1] // bands)
  return mix_bits(*np.moveaxis(parts, -1, 0))


def candidate_rate(jaccard: float | np.ndarray, bands: int, rows: int
                   ) -> float | np.ndarray:
  """Probability that two pages are candidates: 1 - (1 - J^rows)^bands."""
  return 1 - (1 - jaccard ** rows) ** bands


def jaccard_index(a: np.ndarray, b: np.ndarray) -> float:
  """Of two sorted sets; 0 of two empty ones."""
  both = len(np.intersect1d(a, b, assume_unique=True))
  return both / max(len(a) + len(b) - both, 1)


def near_duplicates(keys: np.ndarray, alive: np.ndarray,
                    sets: Callable[[int], np.ndarray], min_jaccard: float
                    ) -> Iterator[tuple[int, int, float]]:
  """(page, the kept page that it resembles, their Jaccard index) of each page
  with an earlier kept page of at least `min_jaccard` among its candidates.

  Args:
    keys: [pages, bands], of band_keys.
    alive: [pages] bool, the pages that are compared.
    sets: a function from a page's index to its shingles.
    min_jaccard: least index of a duplicate.
  """
  # Only keys that occur twice can have candidates.
  shared = np.zeros(keys.shape, bool)
  for band in range(keys.shape[1]):
    _, inverse, count = np.unique(keys[alive, band], return_inverse=True,
                                  return_counts=True)
    shared[alive, band] = count[inverse] > 1
  kept: dict[tuple[int, int], list[int]] = {}
  for page in np.flatnonzero(alive & shared.any(1)).tolist():
    own = [(band, int(keys[page, band]))
           for band in np.flatnonzero(shared[page]).tolist()]
    found = _similar(page, {p for key in own for p in kept.get(key, ())}, sets,
                     min_jaccard)
    if found is not None:
      yield page, *found
      continue
    for key in own:
      kept.setdefault(key, []).append(page)


def _similar(page: int, others: set[int], sets, least: float
             ) -> tuple[int, float] | None:
  """The first of the others with an index of at least `least`, and that."""
  mine = sets(page)
  for other in sorted(others):
    if (found := jaccard_index(mine, sets(other))) >= least:
      return other, found
  return None
