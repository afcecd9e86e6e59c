"""How many bits does a model know (Part 3.3)?

With p1, p2, p3 the expected losses in nats, each the sum over its tokens, of a
name (after the end token), of an attribute's whole value, and of its first
chunk, a model on N people of bioD(N, K, C, D, L, T) holds at least

  bits = N log2(N0 / e^p1) + N K log2(D^C / e^p2) + K D log2(T^L / (D e^p3))

(theorem 3.2, less lower-order terms): no shorter description of its weights
could predict as well. The three terms are name, value and diversity. A
perfect memory has p1 = ln N and p2 = p3 = 0 and holds bits_max. For bioS
(definition 4.3) the lists of values count as known:

  bits = N log2(N0 / e^p1) + N log2(S0 / e^p2)

with p2 summed over birth date, birth city, university, major, employer and
pronoun. A term below zero, of a model that predicts worse than one who knows
the lists, counts as zero; `unclipped` is without that. `ratio` is bits per
parameter; parameters count embeddings of the vocabulary's own entries only,
not of the padding.
"""

import math

import numpy as np

from physics_lm import compress, rows
from physics_lm.errors import BadInput
from physics_lm.evals import scoring
from physics_lm.scaling import flops

LN2 = math.log(2)


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


def terms(world, p1: float, p2: float, p3: float) -> dict[str, float]:
  """Bits of each term of a world; p3 counts in bioD only."""
  if hasattr(world, 'sets'):
    return bio_d(p1, p2, p3, world.n, world.N0, world.K, world.C, world.D,
                 world.L, world.T)
  return bio_s(p1, p2, world.n, world.N0, world.S0)


def inputs(config, spec):
  """(world, entries, packed rows, spans): at most spec.people entries, each
  at the start of its own segment. Raises BadInput for none."""
  compress.check(spec, config.model.experts)
  if spec.people < 1:
    raise BadInput(f'evals: people is {spec.people}, wanted at least 1')
  data = rows.load(config)
  world = data.worlds[spec.world]
  count = min(world.people('bio'), spec.people)
  # Spread evenly: of a mixture of trained and held-out people, both.
  people = [i * world.people('bio') // count for i in range(count)]
  entries = [world.entry(p) for p in people]
  return world, entries, *scoring.pack(data, entries, spec.tag)


def run(params, config, spec, cfg):
  """(metrics, raw outcomes). Metric names: bits, bits_max, ratio, ratio_max,
  parameters, storage_bits (of the weights), name_nats, value_nats, first_nats,
  people, bits/name ..."""
  world, entries, packed, spans = inputs(config, spec)
  # At most 256 rows to calibrate on (the paper: 1,000 entries); whole batches,
  # which a mesh can cut.
  few = {k: v[:256] for k, v in packed.items()}
  short = -len(few['tokens']) % config.data.batch
  words = len(rows.load(config).vocab)  # the rest of a table is padding
  params, storage = compress.compress(params, spec, cfg, {
      k: np.pad(v, ((0, short), (0, 0))) for k, v in few.items()}, words)
  nll, _ = scoring.outcomes(params, packed, cfg, config.data.batch)
  name = np.zeros(len(entries))
  value: dict[tuple[int, str], float] = {}
  first: dict[tuple[int, str], float] = {}
  for s in spans:
    lost = float(nll[s.row, s.start:s.stop].sum(dtype=np.float64))
    if s.attribute == 'name':
      name[s.example] += lost
    else:
      key = s.example, s.attribute
      value[key] = value.get(key, 0.0) + lost
      first.setdefault(key, lost)
  attributes = sorted({a for _, a in value})
  mean = lambda losses, a: np.mean([v for (_, b), v in losses.items()
                                    if b == a])
  each = [mean(value, a) for a in attributes]
  # bioD counts a mean value's loss K times, bioS the sum over attributes.
  p1 = float(name.mean())
  p2 = float(np.mean(each) if hasattr(world, 'sets') else np.sum(each))
  p3 = float(np.mean([mean(first, a) for a in attributes]))
  got, most = terms(world, p1, p2, p3), terms(world, math.log(world.n), 0, 0)
  count = flops.parameters(cfg)
  tables = (1 if cfg.tied else 2) * words * cfg.width
  parameters = count.rest + tables
  bits = sum(max(v, 0.0) for v in got.values())
  metrics = {
      'bits': bits, 'bits_max': sum(most.values()),
      'unclipped': sum(got.values()), 'parameters': parameters,
      'ratio': bits / parameters,
      'ratio_max': sum(most.values()) / parameters,
      'name_nats': p1, 'value_nats': p2, 'first_nats': p3,
      'people': len(entries), 'storage_bits': storage} | {
          f'bits/{k}': v for k, v in got.items()}
  raw = [{'person': e.meta['person'], 'name_nats': float(n), **{
      f'{a}_nats': value[i, a] for a in attributes if (i, a) in value}}
      for i, (e, n) in enumerate(zip(entries, name))]
  return metrics, raw
