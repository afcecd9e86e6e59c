"""Soft labels: training on a teacher's distribution of the next token.

The loss of a token is (1 - l) CE(data) + l t^2 D(p || s), with the teacher's
law p and the student's s, both at temperature t, l = teacher.weight, and D the
forward relative entropy, or the reverse one, D(s || p) (Hinton et al., arXiv
1503.02531; t^2 keeps gradients of one size). The teacher is the exact law of
the data: a world that is one Markov chain (worlds/markov.py).

Of all outcomes, `top` may be kept: renormalised; with the others as one outcome
more ('tail'); or `top` draws of the teacher's instead ('sampled': unbiased).
What a student of a truncated law learns is known (markov.taught).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture, vocab
from physics_lm.errors import BadInput, nearest
from physics_lm.model import decoder, kernels
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import markov

RESTS = ('renormalise', 'tail', 'sampled')
DIVERGENCES = ('forward', 'reverse')
LEAST = 1e-9  # probability that counts as none


def make_loss(config: ConfigDict, data: mixture.Mixture) -> Callable:
  """The loss of a config's training, called as decoder.loss. Raises BadInput
  for a teacher that the data do not have."""
  t = config.teacher
  if not t.run:
    return decoder.loss
  for key, value, known in (('rest', t.rest, RESTS),
                            ('divergence', t.divergence, DIVERGENCES)):
    if value not in known:
      raise BadInput(f'teacher.{key} is {value!r}; {nearest(value, known)}')
  if t.rest != 'renormalise' and (not t.top or t.divergence == 'reverse'):
    raise BadInput(f'teacher.rest is {t.rest!r} with top {t.top} and '
                   f'{t.divergence} divergence, wanted top above 0 and forward')
  if config.model.num_experts > 1:
    raise BadInput('a teacher with experts (model.num_experts above 1), wanted '
                   'one or the other')
  return functools.partial(soft_loss, law_VV=law_by_token(config, data), spec=t)


def law_by_token(config: ConfigDict, data: mixture.Mixture) -> np.ndarray:
  """The law of the next token [V, V], V entries of the vocabulary, given the
  one before within a text; the end token's row is that of first symbols.
  Raises BadInput unless the data are texts of one chain."""
  t = config.teacher
  worlds = [task.world for task in data.tasks]
  if t.run != 'law' or len(worlds) != 1 or not isinstance(
      worlds[0], markov.Markov) or worlds[0].chains != 1:
    raise BadInput(f"teacher.run is {t.run!r} of tasks "
                   f"{', '.join(task.name for task in data.tasks)}; wanted "
                   "'law', and one task of a Markov world with chains=1")
  task, world = data.tasks[0], worlds[0]
  if task.form is None or task.tag or data.mlm_probability:
    raise BadInput(f'teacher.run is {t.run!r} of task {task.name} with a tag, '
                   'a masked model or a vocabulary of parts; wanted none, and '
                   'data.vocab word or piece')
  ids = np.array([data.vocab.encode(p)[0] for p in world.pieces()])
  law = np.zeros((len(data.vocab),) * 2)
  law[ids[:, None], ids] = world.matrices[0]
  law[vocab.EOS, ids] = 1 / len(ids)
  return law


def soft_loss(params: dict, batch: dict, cfg: ModelConfig,
              key: jax.Array | None = None, *, law_VV: np.ndarray,
              spec: ConfigDict) -> tuple[jax.Array, jax.Array]:
  """(summed loss, nll [B, T] on the data) as decoder.loss, of soft labels. All
  logits are in memory at once: for vocabularies of Markov worlds."""
  h_BTD, table_VD, _, _ = decoder.hidden_states(
      params, batch['tokens'], cfg, batch['segments'], batch['positions'], key)
  hard, nll_BT = kernels.cross_entropy(h_BTD, table_VD, batch['targets'],
                                       batch['weights'])
  logits_BTV = jnp.einsum('BTD,VD->BTV', h_BTD, table_VD,
                          preferred_element_type=jnp.float32)
  padding = cfg.vocab - len(law_VV)
  law = jnp.pad(jnp.asarray(law_VV, jnp.float32), ((0, padding),) * 2)
  # A text has a fixed length: where the data end, no other token may follow.
  ends_BT1 = (batch['targets'] == vocab.EOS)[..., None]
  target_BTV = jnp.where(ends_BT1, jax.nn.one_hot(vocab.EOS, cfg.vocab),
                         law[batch['tokens']])
  # Draws depend on the batch alone: a resumed run draws the same again.
  draws = None if spec.rest != 'sampled' else jax.random.key(
      _digest(batch['tokens']))
  soft_BT = divergence(logits_BTV, target_BTV, spec, draws)
  total = (soft_BT * batch['weights']).sum()
  return (1 - spec.weight) * hard + spec.weight * total, nll_BT


def _digest(tokens_BT: jax.Array) -> jax.Array:
  """A number that depends on every token of a batch, uint32."""
  places = jnp.arange(tokens_BT.size, dtype=jnp.uint32) * 2 + 1
  mixed = (tokens_BT.ravel().astype(jnp.uint32) + 1) * places
  mixed *= np.uint32(2654435761)
  return (mixed ^ (mixed >> 15)).sum(dtype=jnp.uint32)


def divergence(logits: jax.Array, law: jax.Array, spec: ConfigDict,
               key: jax.Array | None = None) -> jax.Array:
  """t^2 times the relative entropy of a teacher's law [..., V] and a student's
  logits [..., V], in nats [...], by teacher.temperature, top, rest and
  divergence; `key` for draws."""
  t = spec.temperature
  log_s = jax.nn.log_softmax(logits / t, -1)
  p = law if t == 1 else _normalised(law ** (1 / t))
  if spec.rest == 'sampled':
    p = _drawn(p, spec.top, key)
  elif spec.top and spec.rest == 'renormalise':
    p = _normalised(p * kept(p, spec.top))
  elif spec.top:
    return t**2 * _with_tail(log_s, p, kept(p, spec.top))
  if spec.divergence == 'reverse':
    log_p = jnp.log(jnp.maximum(p, LEAST))
    return t**2 * (jnp.exp(log_s) * (log_s - log_p)).sum(-1)
  return t**2 * _relative_entropy(p, log_s)


def _relative_entropy(p: jax.Array, log_s: jax.Array) -> jax.Array:
  some = p > 0
  return jnp.where(some, p * (jnp.log(jnp.where(some, p, 1.0)) - log_s),
                   0.0).sum(-1)


def kept(p: jax.Array, top: int) -> jax.Array:
  """Which outcomes are the `top` most probable, of equals the first [..., V]
  bool."""
  rank = jnp.argsort(jnp.argsort(-p, -1, stable=True), -1)
  return (rank < top) & (p > 0)


def _with_tail(log_s: jax.Array, p: jax.Array, top: jax.Array) -> jax.Array:
  """Relative entropy of p's top outcomes and of all others as one."""
  rest_p = jnp.where(top, 0.0, p).sum(-1)
  rest_s = jnp.maximum(jnp.where(top, 0.0, jnp.exp(log_s)).sum(-1), LEAST)
  tail = jnp.where(rest_p > LEAST, rest_p * (
      jnp.log(jnp.maximum(rest_p, LEAST)) - jnp.log(rest_s)), 0.0)
  return _relative_entropy(jnp.where(top, p, 0.0), log_s) + tail


def _drawn(p: jax.Array, count: int, key: jax.Array) -> jax.Array:
  """Shares of the outcomes among `count` draws from p [..., V]."""
  draws = jax.random.categorical(key, jnp.log(jnp.maximum(p, 1e-30)), -1,
                                 shape=(count, *p.shape[:-1]))
  return jax.nn.one_hot(draws, p.shape[-1]).mean(0)


def _normalised(p: jax.Array) -> jax.Array:
  return p / p.sum(-1, keepdims=True)
