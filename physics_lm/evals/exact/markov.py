"""A model's predictions on texts of Markov chains, beside the exact predictors.

Which algorithm does a model use (Park et al., arXiv 2412.01003)? For each exact
predictor of the world (worlds/markov.py) the mean over positions of its
relative entropy to the model, KL(predictor || model): zero where the model
computes the same.
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
from physics_lm.model import decoder
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import markov

SPLITS = ('test', 'new')


@dataclasses.dataclass(frozen=True)
class MarkovEval:
  """Metrics in nats per symbol, slices split ('test': chains of training;
  'new') and law ('model', or a predictor): loss, and kl, the predictor's
  relative entropy to the model. n counts texts."""

  cfg: ModelConfig
  batch_size: int
  ids: np.ndarray  # token of each symbol
  parts: dict[str, tuple]  # split: (texts, predictors, rows, first targets)

  def __call__(self, params: dict, step: int | None = None) -> Records:
    rows, raw = [], []
    for split, (text, laws, packed, starts) in self.parts.items():
      made, = teacher_forcing.in_batches(functools.partial(
          log_probabilities, params, cfg=self.cfg, ids=self.ids),
          packed, self.batch_size)
      own = np.stack([made[r, at:at + text.shape[1]] for r, at in starts])
      own = own.astype(np.float64)
      loss = -np.take_along_axis(own, text[..., None], -1)[..., 0]
      raw += [{'split': split, 'text': i, 'loss': float(x)}
              for i, x in enumerate(loss.mean(1))]
      rows.append(row('loss', loss.mean(), len(text), split=split,
                      law='model'))
      for name, law in laws.items():
        rows += [row('loss', markov.nll(law, text).mean(), len(text),
                     split=split, law=name),
                 row('kl', relative_entropy(law, own).mean(), len(text),
                     split=split, law=name)]
    return Records(rows, raw)


@functools.partial(jax.jit, static_argnames='cfg')
def log_probabilities(params: dict, batch: dict, cfg: ModelConfig,
                      ids: jax.Array) -> tuple[jax.Array]:
  """The model's log-probability of each of `ids` [V] as the next token
  [B, T, V], float32."""
  logits = decoder.forward(params, batch['tokens'], cfg, batch['segments'],
                           batch['positions'])
  logits = jax.nn.log_softmax(logits.astype(jnp.float32), -1)
  return logits[..., ids],


def relative_entropy(law: np.ndarray, log_other: np.ndarray) -> np.ndarray:
  """KL(law || other) in nats, over the last axis."""
  with np.errstate(divide='ignore', invalid='ignore'):
    terms = np.where(law > 0, law * (np.log(law) - log_other), 0.0)
  return terms.sum(-1)


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> MarkovEval:
  """The first spec.num_problems texts of each of SPLITS (of rows by a power
  law: of 'test'). Raises BadInput."""
  world = data.worlds[spec.world]
  if not hasattr(world, 'predictors'):
    raise BadInput(f'evals: world {spec.world!r} is no Markov chain')
  if spec.num_problems < 1:
    raise BadInput(f'evals: num_problems is {spec.num_problems}, wanted at '
                   'least 1')
  indices = np.arange(spec.num_problems)
  parts = {}
  for split in SPLITS[:1] if world.zipf_a else SPLITS:  # not other languages
    examples = [dataclasses.replace(world.example(split, i), answers=(
        ('text', 0),)) for i in indices.tolist()]
    packed, spans = teacher_forcing.pack(data, examples, spec.tag)
    parts[split] = (world.symbols(split, indices),
                    world.predictors(split, indices), packed,
                    [(s.row, s.start) for s in spans])
  ids = [data.vocab.encode(p) for p in world.pieces()]
  if any(len(i) != 1 for i in ids):
    raise BadInput('evals: a symbol has several tokens, wanted data.vocab word '
                   'or piece')
  return MarkovEval(teacher_forcing.evaluated_model(config, data),
                    config.data.batch_size, np.array(ids)[:, 0], parts)
