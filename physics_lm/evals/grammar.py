"""How far is a model from the exact law of a grammar?

Strings of the split 'test', each at the start of its own segment, none left
out for its length: a training row drops what does not fit, so its losses are
of somewhat shorter strings than the grammar's. Beside the model's loss on them
stands log P, exact (worlds/grammar.py): their difference is the mean relative
entropy, the loss above the floor, without the noise of drawing strings.

A token is forced when the grammar allows no other there. `exact` is the share
of strings whose forced tokens the model all has as its first choice: an
accuracy that needs every one of them, while the loss is a mean.
"""

import collections
import dataclasses
import functools

import numpy as np

from physics_lm import rows
from physics_lm.errors import BadInput
from physics_lm.evals import scoring

FORCED = 1 - 1e-9  # probability, of the only symbol that may follow


def inputs(config, spec):
  """(world, strings, packed rows, spans). Raises BadInput."""
  if spec.problems < 2:
    raise BadInput(f'evals: problems is {spec.problems}, wanted at least 2')
  data = rows.load(config)
  world = data.worlds[spec.world]
  if not hasattr(world, 'laws'):
    raise BadInput(f'evals: world {spec.world!r} is no grammar')
  strings = [world.string('test', i) for i in range(spec.problems)]
  # A span of each first token, to find the strings by.
  examples = [dataclasses.replace(world.example('test', i), answers=(
      ('string', 0),)) for i in range(spec.problems)]
  return world, strings, *scoring.pack(data, examples)


@functools.lru_cache(4)
def _exact(world, count: int):
  """(-log P of the strings [count], probability of each token and the end by
  the law: a list of arrays)."""
  nats, chances = np.zeros(count), []
  for at in range(0, count, 32):
    strings = [world.string('test', i) for i in range(at, min(at + 32, count))]
    for k, (s, law) in enumerate(zip(strings, world.laws(strings))):
      chances.append(law[np.arange(len(s) + 1), [*s, world.terminals]])
      nats[at + k] = -np.log(chances[-1]).sum()
  return nats, chances


def run(params, config, spec, cfg):
  """(metrics, raw outcomes a string). Nats a token, the end counted as one:
  nats (the model's loss), entropy (of the same strings, exact), kl (their
  difference), kl_error (its standard error) and kl_end (what of kl is at the
  end tokens, where the root's own rules are needed; ends foretold where none
  comes are not in it); forced
  (share of forced tokens that are the model's first choice), exact, guess (of
  the commonest forced token always), forced_tokens (of a string), strings."""
  world, strings, packed, spans = inputs(config, spec)
  nll, right = scoring.outcomes(params, packed, cfg, config.data.batch)
  floor, chances = _exact(world, len(strings))
  raw, forced, kinds, ends = [], [], collections.Counter(), 0.0
  for i, (span, s, chance) in enumerate(zip(spans, strings, chances)):
    row, at = span.row, slice(span.start, span.start + len(s) + 1)
    sure = chance > FORCED
    forced.append(right[row, at][sure])
    ends += float(nll[row, at][-1] + np.log(chance[-1]))
    kinds.update(np.append(s, world.terminals)[sure].tolist())
    raw.append({'string': i, 'tokens': len(s) + 1,
                'nats': float(nll[row, at].sum(dtype=np.float64)),
                'entropy': float(floor[i]), 'forced': int(sure.sum()),
                'right': int(forced[-1].sum())})
  tokens, nats, entropy = (np.array([r[k] for r in raw], np.float64)
                           for k in ('tokens', 'nats', 'entropy'))
  kl = (nats - entropy).sum() / tokens.sum()
  error = (nats - entropy - kl * tokens).std(ddof=1) / tokens.mean()
  every = np.concatenate(forced)
  return {
      'nats': float(nats.sum() / tokens.sum()),
      'entropy': float(entropy.sum() / tokens.sum()), 'kl': float(kl),
      'kl_error': float(error / len(raw)**0.5),
      'kl_end': ends / float(tokens.sum()),
      'forced': float(every.mean()) if len(every) else 1.0,
      'exact': float(np.mean([f.all() for f in forced])),
      'guess': max(kinds.values(), default=0) / max(sum(kinds.values()), 1),
      'forced_tokens': len(every) / len(raw), 'strings': len(raw)}, raw
