"""Excess loss of a model over the exact distribution of a grammar.

The strings are of the split 'test', each in a segment of its own, and none is
left out for its length. (A training row drops strings that do not fit, so
training losses are of somewhat shorter strings than the grammar's.) Their
entropy is -log P, exact (worlds/grammar.py); the difference from the model's
loss is the mean relative entropy, the excess loss L - H without the sampling
noise of the strings.

A token is forced when the grammar allows no other at its position. `accuracy`
is the share of strings in which the argmax is correct at all forced tokens: it
needs every one of them, while the loss is a mean.
"""

import collections
import dataclasses
import functools

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.records import Records, row
from physics_lm.evals.teacher_forcing import AnswerSpan
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import base

FORCED = 1 - 1e-9  # probability of the only symbol that may follow


@dataclasses.dataclass(frozen=True)
class GrammarEval:
  """Metrics, in nats per token with the end token counted as one: nll (the
  model's), entropy (of the same strings, exact), kl (their difference),
  kl_error (its standard error), kl_end (the part of kl at end tokens, where the
  root's own rules are needed; it leaves out ends predicted elsewhere). And
  forced_accuracy (of forced tokens), accuracy (of strings),
  majority_baseline (the most frequent forced token), forced_tokens (per
  string). No slices; n counts strings."""

  cfg: ModelConfig
  batch_size: int
  world: object
  strings: list
  packed: dict[str, np.ndarray]
  spans: list[AnswerSpan]  # of each string's first token

  def __call__(self, params: dict, step: int | None = None) -> Records:
    nll, correct = teacher_forcing.outcomes(params, self.packed, self.cfg,
                                            self.batch_size)
    exact = exact_probabilities(self.world, len(self.strings))
    raw, forced, kinds, end_excess = [], [], collections.Counter(), 0.0
    for i, (span, string, p) in enumerate(zip(self.spans, self.strings, exact)):
      at = span.row, slice(span.start, span.start + len(string) + 1)
      sure = p > FORCED
      forced.append(correct[at][sure])
      end_excess += float(nll[at][-1] + np.log(p[-1]))
      kinds.update(np.append(string, self.world.terminals)[sure].tolist())
      raw.append({'string': i, 'tokens': len(string) + 1,
                  'nats': float(nll[at].sum(dtype=np.float64)),
                  'entropy': float(-np.log(p).sum()),
                  'forced': int(sure.sum()),
                  'forced_correct': int(forced[-1].sum())})
    tokens, nats, entropy = (np.array([r[k] for r in raw], np.float64)
                             for k in ('tokens', 'nats', 'entropy'))
    kl = (nats - entropy).sum() / tokens.sum()
    error = (nats - entropy - kl * tokens).std(ddof=1) / tokens.mean()
    every = np.concatenate(forced)
    values = {
        'nll': nats.sum() / tokens.sum(),
        'entropy': entropy.sum() / tokens.sum(), 'kl': kl,
        'kl_error': error / len(raw)**0.5, 'kl_end': end_excess / tokens.sum(),
        'forced_accuracy': every.mean() if len(every) else 1.0,
        'accuracy': np.mean([f.all() for f in forced]),
        'majority_baseline': max(kinds.values(), default=0) / max(
            sum(kinds.values()), 1),
        'forced_tokens': len(every) / len(raw)}
    return Records([row(k, v, len(raw)) for k, v in values.items()], raw)


@functools.lru_cache(4)
def exact_probabilities(world: base.World, count: int) -> list[np.ndarray]:
  """The grammar's conditional probability of each token and of the end, for the
  first `count` test strings."""
  out = []
  for at in range(0, count, 32):
    strings = [world.string('test', i) for i in range(at, min(at + 32, count))]
    out += [law[np.arange(len(s) + 1), [*s, world.terminals]]
            for s, law in zip(strings, world.laws(strings))]
  return out


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> GrammarEval:
  """The first spec.num_problems strings of the split 'test'. Raises
  BadInput."""
  if spec.num_problems < 2:
    raise BadInput(f'evals: num_problems is {spec.num_problems}, wanted at '
                   'least 2')
  world = data.worlds[spec.world]
  if not hasattr(world, 'laws'):
    raise BadInput(f'evals: world {spec.world!r} is no grammar')
  strings = [world.string('test', i) for i in range(spec.num_problems)]
  # A span of each first token, to find the strings in the rows.
  examples = [dataclasses.replace(world.example('test', i), answers=(
      ('string', 0),)) for i in range(spec.num_problems)]
  return GrammarEval(teacher_forcing.evaluated_model(config, data),
                     config.data.batch_size, world, strings,
                     *teacher_forcing.pack(data, examples, spec.tag))
