"""Texts of Markov chains, with the exact Bayes predictors of their symbols.

>>> from physics_lm.worlds.base import world_from_flags
>>> world = world_from_flags('markov', ['length=12'], seed=0)
>>> world.example('train', 0).text
' b c h d h d h d a h d f'

A text is a first symbol, uniform, and `length` - 1 more, each drawn from the
row of a transition matrix that belongs to the one before it. The V rows of a
matrix are drawn from a symmetric Dirichlet distribution. `chains` is how many
matrices there are: 1, a language; N, every text has one of N (Raventos et al.,
arXiv 2306.15063; Park et al., 2412.01003); 0, every text has its own, so that
it can only be predicted from its own symbols (Edelman et al., 2402.11004).
Splits: 'train' and 'test' have texts of the same chains, 'new' those of other
chains, as many.

With `zipf_a` above 0 the V masses of a row are instead those of a power law,
(rank + 1) ** -zipf_a, in an order of its own, and a share `deterministic` of
the rows has one successor for each symbol.

With `judged` above 0 examples are verdicts instead, of texts of the only chain:
half of them on one text, ' ok yes' with the probability that a random text is
worse; half on two, ' or' between them, ' better first' of the one that is. Of
two texts the better one has the higher z - z^2 / (2 judged), where z is its
standardised count (class_counts).

What is exact (`predictors`), for every position of a text:
  uniform             log V;
  unigram_inference   counts of the text's symbols so far, smoothed by the
                      constant that is best for 512 texts;
  bigram_inference    the Bayes predictor of a new chain: row counts of the text
                      so far, smoothed by the Dirichlet prior;
  bigram_retrieval    the Bayes predictor of one of the N chains: their rows,
                      weighted by the text's likelihood so far;
  unigram_retrieval   likewise by the chains' stationary laws;
  chain               the text's own matrix: no predictor can do better.
"""

import functools
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput
from physics_lm.worlds.base import (
  CHOOSE,
  DRAWN_TEXTS,
  GRADE,
  JUDGED_PIECES,
  CheckResult,
  DrawnTexts,
  Example,
  check_split,
  generator,
  mix_bits,
)
from physics_lm.worlds.grammar import letter

VERSION = 1
_OTHER = 1 << 39  # texts of verdicts: two numbers of each, this far apart
SMOOTHING = np.geomspace(0.01, 10, 31)


class Markov(DrawnTexts):
  """Texts by index, and the law of every symbol."""

  version = VERSION
  splits = ('train', 'test', 'new')

  def __init__(self, config, seed: int):
    c = config
    self.V, self.T, self.chains = c.symbols, c.length, c.chains
    self.concentration, self.zipf_a = c.concentration, c.zipf_a
    self.deterministic, self._seed = c.deterministic, seed
    if self.deterministic and not self.zipf_a:
      raise BadInput(f'deterministic is {c.deterministic} and zipf_a 0, wanted '
                     'zipf_a above 0: rows of a Dirichlet law are not chosen')
    self._key = {name: mix_bits(seed, i) for i, name in enumerate(self.splits)}
    self._pieces = tuple(f' {letter(a)}' for a in range(self.V))

  @functools.cached_property
  def matrices(self) -> np.ndarray:
    """Those of the training chains, then as many others [2 N, V, V]."""
    return np.stack([self._matrix(generator(self._seed, 'chain', i))
                     for i in range(2 * self.chains)])

  def _matrix(self, rng: np.random.Generator) -> np.ndarray:
    """A transition matrix [V, V]."""
    if not self.zipf_a:
      return rng.dirichlet(np.full(self.V, self.concentration), self.V)
    mass = (np.arange(self.V) + 1.0) ** -self.zipf_a
    rows = np.stack([rng.permutation(mass / mass.sum())
                     for _ in range(self.V)])
    fixed = rng.permutation(self.V)[:round(self.deterministic * self.V)]
    rows[fixed] = np.eye(self.V)[_successors(rng, fixed, self.V)]
    return rows

  def matrices_of(self, split: str, indices: np.ndarray) -> np.ndarray:
    """The matrix of each of the texts [n, V, V]."""
    if not self.chains:
      return np.stack([self._matrix(generator(self._seed, 'own', split, int(i)))
                       for i in indices])
    which = mix_bits(indices.astype(np.uint64), 0, state=self._key[split])
    which = (which % np.uint64(self.chains)).astype(np.int64)
    return self.matrices[which + (self.chains if split == 'new' else 0)]

  def symbols(self, split: str, indices: np.ndarray) -> np.ndarray:
    """The symbols of texts [n, T] int32, as numbers from 0."""
    self.people(split)
    rows = self.matrices_of(split, indices).cumsum(-1)
    index = indices.astype(np.uint64)
    bits = np.stack([mix_bits(index, 1 + t, state=self._key[split])
                     for t in range(self.T)], 1)
    u = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    out = np.empty((len(indices), self.T), np.int32)
    out[:, 0] = u[:, 0] * self.V
    each = np.arange(len(indices))
    for t in range(1, self.T):
      below = rows[each, out[:, t - 1], :-1] <= u[:, t, None]
      out[:, t] = below.sum(1)
    return out

  def example(self, split: str, index: int) -> Example:
    if not 0 <= index < self.size(split):
      raise IndexError(f'text {index} of {DRAWN_TEXTS} in {split}')
    text = self.symbols(split, np.array([index]))[0]
    pieces = tuple(self._pieces[a] for a in text)
    return Example(pieces, (), tuple(range(len(pieces))), {})

  def pieces(self) -> Sequence[str]:
    return self._pieces

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks that a text has the world's symbols and length."""
    words = text.split()
    unknown = [w for w in words if f' {w}' not in self._pieces]
    if unknown:
      return CheckResult(False, f'{unknown[0][:30]!r} is no symbol')
    return CheckResult(len(words) == self.T,
                       f'{len(words)} symbols of {self.T}')

  @functools.cached_property
  def class_counts(self) -> np.ndarray:
    """The exact law [T + 1] of how many symbols of a text of the only chain are
    among the first half of the alphabet. Raises BadInput for other chains."""
    if self.chains != 1:
      raise BadInput(f'chains is {self.chains} of a Markov world whose texts '
                     'are scored by a count, wanted 1')
    half = self.V // 2
    law = np.zeros((self.T + 1, self.V))  # by count and last symbol
    law[1, :half], law[0, half:] = 1 / self.V, 1 / self.V
    for _ in range(self.T - 1):
      after = law @ self.matrices[0]
      law = np.concatenate([np.concatenate([np.zeros((1, half)), after[
          :-1, :half]]), after[:, half:]], 1)
    return law.sum(1)

  @functools.cached_property
  def _count_scale(self) -> tuple[float, float]:
    counts = np.arange(self.T + 1)
    mean = self.class_counts @ counts
    return mean, (self.class_counts @ (counts - mean)**2)**0.5

  def standard_count(self, text: str | int) -> float:
    """The count of class_counts in a text (or the count itself), in standard
    deviations from the mean of the chain's texts."""
    count = text if isinstance(text, int) else sum(
        f' {w}' in self._pieces[:self.V // 2] for w in text.split())
    mean, std = self._count_scale
    return (count - mean) / std

  def predictors(self, split: str, indices: np.ndarray
                 ) -> dict[str, np.ndarray]:
    """The law of each symbol given those before it, by predictor
    [n, T, V]."""
    text, V = self.symbols(split, indices), self.V
    laws = {'uniform': np.full((*text.shape, V), 1 / V),
            'unigram_inference': unigram_law(text, V, self.unigram_smoothing),
            'chain': _after(self.matrices_of(split, indices), text)}
    if not self.zipf_a:
      laws['bigram_inference'] = bigram_law(text, V, self.concentration)
    if self.chains:
      known = self.matrices[:self.chains]
      laws['bigram_retrieval'] = retrieved(text, known)
      laws['unigram_retrieval'] = retrieved(text, np.repeat(
          np.stack([stationary(m) for m in known])[:, None], V, 1))
    return laws

  @functools.cached_property
  def unigram_smoothing(self) -> float:
    """The constant added to counts with the least loss on 512 texts."""
    text = self.symbols('train', np.arange(512))
    losses = [nll(unigram_law(text, self.V, a), text).mean()
              for a in SMOOTHING]
    return float(SMOOTHING[int(np.argmin(losses))])


class Verdicts(DrawnTexts):
  """Requests to judge texts of a chain, and verdicts, by index."""

  version, splits = VERSION, ('train', 'test')

  def __init__(self, texts: Markov, peak: float):
    self.texts, self.peak = texts, peak

  def worth(self, text: str) -> float:
    """Of two texts the better one has more."""
    z = self.texts.standard_count(text)
    return z - z * z / (2 * self.peak)

  def pieces(self) -> Sequence[str]:
    return (*self.texts.pieces(), *JUDGED_PIECES)

  def example(self, split: str, index: int) -> Example:
    check_split(self, split)
    pair = self.texts.symbols(split, np.array([index, index + _OTHER]))
    first, second = ([self.texts.pieces()[a] for a in row] for row in pair)
    bits = mix_bits(index, len(split))
    worth = [self.worth(''.join(t)) for t in (first, second)]
    favour = worth[0] > worth[1] or (
        worth[0] == worth[1] and bits % 4 < 2)
    marks, verdicts = CHOOSE if bits % 2 else GRADE
    pieces = [*first, marks[0], *((*second, marks[1]) if bits % 2 else ()),
              verdicts[not favour]]
    end = len(pieces) - 1
    return Example(tuple(pieces), (('choose' if bits % 2 else 'grade', end),),
                   (end,), {})

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks a verdict."""
    wanted = question.pieces[-1]
    return CheckResult(text == wanted, f'{text!r}, wanted {wanted!r}')


def _successors(rng: np.random.Generator, rows: np.ndarray, V: int
                ) -> np.ndarray:
  """A successor for each of rows, all different and outside of them where that
  is possible: no cycle among them absorbs a text."""
  others = np.setdiff1d(np.arange(V), rows)
  return rng.permutation(np.resize(others if len(others) else rows, len(rows)))


def nll(law: np.ndarray, text: np.ndarray) -> np.ndarray:
  """-log of the probability of each symbol in nats [n, T], of law [n, T, V]."""
  return -np.log(np.take_along_axis(law, text[..., None], -1)[..., 0])


def stationary(matrix: np.ndarray) -> np.ndarray:
  """The stationary law [V] of a transition matrix: the left eigenvector of
  eigenvalue 1."""
  values, vectors = np.linalg.eig(matrix.T)
  law = np.abs(np.real(vectors[:, np.argmin(abs(values - 1))]))
  return law / law.sum()


def unigram_law(text: np.ndarray, V: int, smoothing: float) -> np.ndarray:
  """Counts of the symbols before each position, smoothed [n, T, V]."""
  counts = np.cumsum(np.eye(V)[text], 1) - np.eye(V)[text]
  return _normalised(counts + smoothing)


def bigram_law(text: np.ndarray, V: int, concentration: float) -> np.ndarray:
  """Counts of what followed the symbol before each position, smoothed by the
  Dirichlet prior of the rows [n, T, V]: the Bayes predictor of a new chain.
  The first symbol is uniform."""
  n, T = text.shape
  pairs, each = np.full((n, V, V), float(concentration)), np.arange(n)
  law = np.full((n, T, V), 1 / V)
  for t in range(1, T):
    law[:, t] = pairs[each, text[:, t - 1]]
    pairs[each, text[:, t - 1], text[:, t]] += 1
  return _normalised(law)


def retrieved(text: np.ndarray, matrices: np.ndarray) -> np.ndarray:
  """The rows of N matrices [N, V, V], weighted by the likelihood of each text
  before each position [n, T, V]. The first symbol is uniform. What none of the
  chains can have made is all of theirs alike."""
  V, few = matrices.shape[-1], max(2**22 // (matrices.size * text.shape[1]), 1)
  if len(text) > few:  # the arrays below are large
    return np.concatenate([retrieved(text[i:i + few], matrices)
                           for i in range(0, len(text), few)])
  with np.errstate(divide='ignore'):
    steps = np.log(matrices)[:, text[:, :-1], text[:, 1:]]  # [N, n, T - 1]
  total = np.concatenate([np.zeros((*steps.shape[:2], 1)), steps.cumsum(2)], 2)
  total = total[..., :-1]  # of the symbols up to the one before position 1 .. T
  total = np.maximum(total, -1e9)  # none of the chains: all alike
  total -= total.max(0)
  weights = np.exp(total) / np.exp(total).sum(0)
  law = np.full((*text.shape, V), 1 / V)
  law[:, 1:] = np.einsum('knt,kntv->ntv', weights, matrices[:, text[:, :-1]])
  return law


def taught(law: np.ndarray, top: int, weight: float) -> np.ndarray:
  """The law [..., V] that a student has at the least of its loss, when its
  labels are, with this weight, the `top` most probable outcomes of the law,
  renormalised (0: all), and the data's own otherwise: the mixture of the two,
  for forward relative entropy at temperature 1 (teacher.py)."""
  rank = np.argsort(np.argsort(-law, -1, kind='stable'), -1)
  kept = np.where(rank < (top or law.shape[-1]), law, 0.0)
  return (1 - weight) * law + weight * _normalised(kept)


def _after(matrices: np.ndarray, text: np.ndarray) -> np.ndarray:
  """The row of each text's own matrix [n, T, V]; the first is uniform."""
  V = matrices.shape[-1]
  law = np.full((*text.shape, V), 1 / V)
  law[:, 1:] = matrices[np.arange(len(text))[:, None], text[:, :-1]]
  return law


def _normalised(counts: np.ndarray) -> np.ndarray:
  return counts / counts.sum(-1, keepdims=True)


def best_mean(law: np.ndarray, values: np.ndarray, kl: float) -> float:
  """The largest mean of values [n] under any law whose relative entropy to
  `law` [n] is at most kl (nats): that of law * exp(b values), with the b at
  which the relative entropy is kl. Texts whose value depends on a count have
  the same: within a count they keep the chain's own law."""
  def tilted(b):
    log = np.log(np.maximum(law, 1e-300)) + b * values
    p = np.exp(log - log.max())
    p /= p.sum()
    return p @ values, (p * np.log(np.maximum(p, 1e-300) / np.maximum(
        law, 1e-300))).sum()

  low, high = 0.0, 1e4
  for _ in range(100):
    middle = (low + high) / 2
    low, high = (middle, high) if tilted(middle)[1] < kl else (low, middle)
  return float(tilted(low)[0])


def make(config: ConfigDict, seed: int) -> Markov | Verdicts:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  texts = Markov(config, seed)
  return Verdicts(texts, config.judged) if config.judged else texts
