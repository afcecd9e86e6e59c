"""One set of answers by metrics that are smooth and by metrics that are not.

Whether an ability seems to appear suddenly depends on how it is measured
(Schaeffer et al. 2023, arXiv 2304.15004). Answers are judged with the true
tokens before them (evals/teacher_forcing.py); a person's values in bioD, say,
or the symbols of a copy (worlds/symbolic/).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.records import Records, row
from physics_lm.evals.teacher_forcing import AnswerSpan
from physics_lm.model import decoder
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import base

TOGETHER = (1, 2, 4, 8)  # answers, all of them correct


@dataclasses.dataclass(frozen=True)
class MetricsOfAnswers:
  """Metrics nats and brier (0 to 2), means over tokens of answers, and exact
  with slice answers = k: the probability that k answers of an example, drawn
  without replacement, are all correct. n counts examples."""

  cfg: ModelConfig
  batch_size: int
  packed: dict[str, np.ndarray]
  spans: list[AnswerSpan]

  def __call__(self, params: dict, step: int | None = None) -> Records:
    nll, brier, correct = teacher_forcing.in_batches(functools.partial(
        token_scores, params, cfg=self.cfg), self.packed, self.batch_size)
    example, at, start, stop = (
        np.array([getattr(s, k) for s in self.spans])
        for k in ('example', 'row', 'start', 'stop'))
    tokens, length = range(max(stop - start)), stop - start
    total = {name: np.zeros(len(at)) for name in ('nats', 'brier', 'right')}
    for t in tokens:  # of an answer, most often one
      within = np.minimum(start + t, stop - 1)
      for name, x in zip(total, (nll, brier, correct)):
        total[name] += (t < length) * x[at, within]
    count = np.bincount(example)
    right = np.bincount(example, total['right'] == length)
    rows = [row(name, total[name].sum() / length.sum(), len(count),
                answers='all') for name in ('nats', 'brier')]
    rows += [row('exact', all_of(right, count, k).mean(), len(count), answers=k)
             for k in TOGETHER if k <= count.min()]
    return Records(rows, [{'example': i, 'answers': int(n), 'correct': int(r)}
                          for i, (n, r) in enumerate(zip(count, right))])


def all_of(right: np.ndarray, count: np.ndarray, k: int) -> np.ndarray:
  """The probability [n] that k of count [n] answers, drawn without replacement,
  are among the right [n] ones: C(right, k) / C(count, k)."""
  right, count = np.asarray(right, float), np.asarray(count, float)
  return np.prod([np.maximum(right - i, 0) / (count - i) for i in range(k)], 0)


@functools.partial(jax.jit, static_argnames='cfg')
def token_scores(params: dict, batch: dict, cfg: ModelConfig
                 ) -> tuple[jax.Array, jax.Array, jax.Array]:
  """(nll in nats, Brier score of all tokens' probabilities, whether the target
  is the argmax), all [B, T]."""
  logits = decoder.forward(params, batch['tokens'], cfg, batch['segments'],
                           batch['positions']).astype(jnp.float32)
  log_p = jax.nn.log_softmax(logits, -1)
  own = jnp.take_along_axis(log_p, batch['targets'][..., None], -1)[..., 0]
  brier = 1 - 2 * jnp.exp(own) + jnp.exp(2 * log_p).sum(-1)
  return -own, brier, logits.argmax(-1) == batch['targets']


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> MetricsOfAnswers:
  """The first spec.num_problems examples of the split 'test', of a world
  without one of its first split. Raises BadInput."""
  world = data.worlds[spec.world]
  if base.is_stream(world) or spec.num_problems < 1:
    raise BadInput(f'evals: num_problems is {spec.num_problems} of world '
                   f'{spec.world!r}, wanted at least 1 of a world with answers')
  split = 'test' if 'test' in world.splits else world.splits[0]
  examples = [world.example(split, i) for i in range(min(
      spec.num_problems, world.people(split)))]
  if not all(e.answers for e in examples):
    raise BadInput(f'evals: examples of {split} in world {spec.world!r} lack '
                   'answers, wanted bioD, recall or chains, say')
  return MetricsOfAnswers(teacher_forcing.evaluated_model(config, data),
                          config.data.batch_size,
                          *teacher_forcing.pack(data, examples, spec.tag))
