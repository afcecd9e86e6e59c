"""Bits of knowledge that a model stores (Part 3.3).

With p1, p2, p3 the expected losses in nats, each the sum over its tokens, of a
name (after the end token), of an attribute's value, and of its first chunk, a
model on N people of bioD(N, K, C, D, L, T) stores at least

  bits = N log2(N0 / e^p1) + N K log2(D^C / e^p2) + K D log2(T^L / (D e^p3))

(theorem 3.2, without lower-order terms): no shorter description of its weights
could have this loss. The three terms are name, value and diversity. A
perfect memory has p1 = ln N and p2 = p3 = 0 and stores bits_max. For bioS
(definition 4.3) the lists of values count as known:

  bits = N log2(N0 / e^p1) + N log2(S0 / e^p2)

with p2 summed over birth date, birth city, university, major, employer and
pronoun. A term below zero (the model predicts worse than the lists alone do)
counts as zero; bits_unclipped is without that. Parameters count embeddings of
the vocabulary's own entries only, not of the padding.

Of bioD also by frequency: of the people of a band of ranks (a third of an
octave each; of a uniform world one band with all), the share of their values'
bits that the model knows, 1 - p2 / (C ln D), at least 0 for each person.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.evals import teacher_forcing
from physics_lm.evals.records import Records, row
from physics_lm.evals.teacher_forcing import AnswerSpan
from physics_lm.model import compress
from physics_lm.model.config import ModelConfig
from physics_lm.scaling import flops
from physics_lm.worlds import base

LN2 = math.log(2)
BANDS = 3  # of an octave of ranks


def bio_d(p1: float, p2: float, p3: float, N: int, N0: int, K: int, C: int,
          D: int, L: int, T: int) -> dict[str, float]:
  """Bits of each term of bioD."""
  return {'name': N * (math.log(N0) - p1) / LN2,
          'value': N * K * (C * math.log(D) - p2) / LN2,
          'diversity': K * D * (L * math.log(T) - math.log(D) - p3) / LN2}


def bio_s(p1: float, p2: float, N: int, N0: int, S0: int) -> dict[str, float]:
  """Bits of each term of bioS."""
  return {'name': N * (math.log(N0) - p1) / LN2,
          'value': N * (math.log(S0) - p2) / LN2}


def terms(world: base.World, p1: float, p2: float, p3: float
          ) -> dict[str, float]:
  """Bits of each term of a world; p3 counts in bioD only."""
  if hasattr(world, 'sets'):
    return bio_d(p1, p2, p3, world.n, world.N0, world.K, world.C, world.D,
                 world.L, world.T)
  return bio_s(p1, p2, world.n, world.N0, world.S0)


@dataclasses.dataclass(frozen=True)
class KnowledgeBits:
  """Metrics bits (slice term: 'name', 'value', 'diversity' as they are, 'all'
  with negative terms counted as zero); bits_max, bits_unclipped, parameters,
  bits_per_param, bits_per_param_max, storage_bits (of the weights), and in
  nats name_nats, value_nats, first_nats (p1, p2, p3). n counts people. Of bioD
  also, with the first rank of a band as slice: known (a share), accuracy (of
  values, each token the most likely one after the true ones before it), and
  frequency (of a person, mean over the band's: share of the world's entries).
  """

  cfg: ModelConfig
  batch_size: int
  spec: ConfigDict
  world: object
  entries: list[base.Example]
  packed: dict[str, np.ndarray]
  spans: list[AnswerSpan]
  vocab_size: int  # entries; the tables' other rows are padding

  def __call__(self, params: dict, step: int | None = None) -> Records:
    params, storage = compress.compress(
        params, self.spec, self.cfg, self._calibration(), self.vocab_size)
    nll, correct = teacher_forcing.outcomes(params, self.packed, self.cfg,
                                      self.batch_size)
    name, value, first = losses(nll, self.spans, len(self.entries))
    attributes = sorted({a for _, a in value})
    # bioD counts the mean value's loss K times, bioS the sum over attributes.
    by_attribute = [_mean_of(value, a) for a in attributes]
    p1 = float(name.mean())
    p2 = float(np.mean(by_attribute) if hasattr(self.world, 'sets')
               else np.sum(by_attribute))
    p3 = float(np.mean([_mean_of(first, a) for a in attributes]))
    raw = [{'person': e.meta['person'], 'name_nats': float(n), **{
        f'{a}_nats': value[i, a] for a in attributes if (i, a) in value}}
        for i, (e, n) in enumerate(zip(self.entries, name))]
    rows = self._rows(p1, p2, p3, storage)
    if hasattr(self.world, 'sets') and self.world.D > 1:
      wrong = losses(1.0 - correct, self.spans, len(self.entries))[1]
      of = [[(i, a) for a in attributes] for i in range(len(raw))]
      rows += known_rows(
          self.world, [r['person'] for r in raw],
          [np.mean([value[k] for k in keys]) for keys in of],
          [np.mean([not wrong[k] for k in keys]) for keys in of])
    return Records(rows, raw)

  def _calibration(self) -> dict[str, np.ndarray]:
    """At most 256 rows (the paper: 1,000 entries), padded to whole batches,
    which a mesh can divide."""
    few = {k: v[:256] for k, v in self.packed.items()}
    short = -len(few['tokens']) % self.batch_size
    return {k: np.pad(v, ((0, short), (0, 0))) for k, v in few.items()}

  def _rows(self, p1: float, p2: float, p3: float, storage: float
            ) -> list[dict]:
    by_term = terms(self.world, p1, p2, p3)
    bits_max = sum(terms(self.world, math.log(self.world.n), 0, 0).values())
    tables = 1 if self.cfg.tie_embeddings else 2
    tables *= self.vocab_size * self.cfg.width
    parameters = flops.parameters(self.cfg).rest + tables
    bits = sum(max(v, 0.0) for v in by_term.values())
    values = {
        'bits': bits, 'bits_max': bits_max,
        'bits_unclipped': sum(by_term.values()), 'parameters': parameters,
        'bits_per_param': bits / parameters,
        'bits_per_param_max': bits_max / parameters, 'storage_bits': storage,
        'name_nats': p1, 'value_nats': p2, 'first_nats': p3}
    n = len(self.entries)
    return [row(k, v, n, term='all', rank='all')
            for k, v in values.items()] + [
                row('bits', v, n, term=k, rank='all')
                for k, v in by_term.items()]


def known_rows(world: base.World, people: Sequence[int], nats: Sequence[float],
               accuracy: Sequence[float]) -> list[dict]:
  """Rows of known, accuracy and frequency by band, from the mean loss of the
  values of each of `people`, nats, and the share of them that is predicted."""
  rank = world.rank(np.asarray(people))
  known = np.maximum(1 - np.asarray(nats) / (world.C * math.log(world.D)), 0)
  band = np.floor(BANDS * np.log2(rank) + 1e-9).astype(int)
  frequency, out = world.frequency(rank), []
  for b in np.unique(band).tolist():
    of = band == b
    slices = {'term': 'value', 'rank': int(rank[of].min())}
    out += [row(name, x[of].mean(), of.sum(), **slices) for name, x in (
        ('known', known), ('accuracy', np.asarray(accuracy)),
        ('frequency', frequency))]
  return out


def losses(nll: np.ndarray, spans: list[AnswerSpan], count: int
           ) -> tuple[np.ndarray, dict, dict]:
  """Loss in nats of each entry's name [count], of each value and of its first
  chunk, both {(entry, attribute): nats}."""
  name = np.zeros(count)
  value: dict[tuple[int, str], float] = {}
  first: dict[tuple[int, str], float] = {}
  for s in spans:
    nats = float(nll[s.row, s.start:s.stop].sum(dtype=np.float64))
    if s.attribute == 'name':
      name[s.example] += nats
    else:
      key = s.example, s.attribute
      value[key] = value.get(key, 0.0) + nats
      first.setdefault(key, nats)
  return name, value, first


def _mean_of(nats: dict[tuple[int, str], float], attribute: str) -> float:
  return float(np.mean([v for (_, a), v in nats.items() if a == attribute]))


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> KnowledgeBits:
  """At most spec.people entries, each in a segment of its own. Raises BadInput
  for none, and for an impossible compression."""
  compress.check_compression(spec, config.model.num_experts)
  world = data.worlds[spec.world]
  count = min(world.people('bio'), spec.people)
  # Spread evenly: of a mixture of trained and held-out people, both.
  entries = [world.entry(i * world.people('bio') // count)
             for i in range(count)]
  return KnowledgeBits(
      teacher_forcing.evaluated_model(config, data), config.data.batch_size,
      spec, world, entries, *teacher_forcing.pack(data, entries, spec.tag),
      len(data.vocab))
