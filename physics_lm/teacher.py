"""Soft labels: training on a teacher's distribution of the next token.

The loss of a token is (1 - l) CE(data) + l t^2 D(p || s), with the teacher's
law p and the student's s, both at temperature t, l = teacher.weight, and D the
forward relative entropy, or the reverse one, D(s || p) (Hinton et al., arXiv
1503.02531; t^2 keeps gradients of one size). The teacher is the exact law of
the data, of a world that is one Markov chain (worlds/markov.py), or finished
runs with the same vocabulary, of any size: their law is computed as a batch is
drawn, and of several it is the mean of their probabilities.

A run may also teach its last hidden states, or the relations between them
(teacher_states.py), with weights of their own.

Of all outcomes, `top` may be kept: renormalised; with the others as one outcome
more ('tail'); or `top` draws of the teacher's instead ('sampled': unbiased).
What a student of a truncated law learns is known (markov.taught).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture, restore, run_dir, teacher_states, vocab
from physics_lm.errors import BadInput, nearest
from physics_lm.model import decoder, kernels
from physics_lm.model.config import ModelConfig, eval_config, model_config
from physics_lm.worlds import markov

RESTS = ('renormalise', 'tail', 'sampled')
DIVERGENCES = ('forward', 'reverse')
LEAST = 1e-9  # probability that counts as none
READ = ('tokens', 'segments', 'positions')  # what a teacher needs of a batch


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
  states = teacher_states.wanted(t)
  if states and len(run_names(config)) != 1:
    raise BadInput(f'teacher.features {t.features} and relations '
                   f'{t.relations} with teacher.run {t.run!r}; wanted one '
                   'finished run')
  for here, what in ((config.model.num_experts > 1,
                      'experts (model.num_experts above 1)'),
                     (config.post.kind, f'post.kind {config.post.kind!r}'),
                     (data.mlm_probability, 'a masked model')):
    if here:
      raise BadInput(f'teacher.run is {t.run!r} with {what}, wanted one or the '
                     'other')
  law = law_of_batch if run_names(config) else functools.partial(
      law_of_chain, law_VV=law_by_token(config, data))
  return functools.partial(soft_loss, law=law, spec=t)


def run_names(config: ConfigDict) -> list[str]:
  """Folders or ids of the runs that teach."""
  name = config.teacher.run
  return [] if name in ('', 'law') else [n.strip() for n in name.split(',')]


def keys_of_batch(config: ConfigDict) -> tuple[str, ...]:
  """What runs that teach add to a batch: arrays [B, T, ...]."""
  states = ('states',) if teacher_states.wanted(config.teacher) else ()
  return ('law', *states) if run_names(config) else ()


def law_of_batch(batch: Mapping, cfg: ModelConfig) -> jax.Array:
  """The teachers' law [B, T, V], which has come with the batch."""
  return batch['law']


def teacher_folders(config: ConfigDict, folder: Path, data: mixture.Mixture
                    ) -> list[Path]:
  """The folders of the runs that teach a run in `folder`. Raises BadInput for
  one that is not finished, is a masked model or has another vocabulary."""
  out = [run_dir.finished_run('teacher.run', name, folder, data.vocab)
         for name in run_names(config)]
  for path in out:
    if restore.run_config(path).data.mlm_probability:
      raise BadInput(f'teacher.run {path} is a masked model, wanted a causal '
                     'one')
  return out


def open_teachers(config: ConfigDict, folder: Path, data: mixture.Mixture,
                  cfg: ModelConfig, where: jax.sharding.NamedSharding
                  ) -> Callable[[dict], dict]:
  """The function that adds to a batch the law of the runs that teach a student
  `cfg` in `folder`, and their last hidden states where they are asked for, on
  the sharding `where`. Raises BadInput as teacher_folders, or for features of
  another width."""
  teachers, params = [], []
  for path in teacher_folders(config, folder, data):
    run = restore.run_config(path)
    teachers.append(eval_config(run, model_config(run, len(data.vocab))))
    params.append(restore.load_parameters(
        path, restore.abstract_params(teachers[-1], where.mesh))[0])
  if config.teacher.features and teachers[0].width != cfg.width:
    raise BadInput(f'teacher.features {config.teacher.features} of a run of '
                   f'width {teachers[0].width}, wanted {cfg.width}, the '
                   "student's; relations take any width")
  keys = keys_of_batch(config)

  def taught(params, batch):  # what no loss reads is not computed
    return dict(zip(keys, mean_law(params, batch, teachers, len(data.vocab),
                                   cfg.vocab)))

  taught = jax.jit(taught, out_shardings=dict.fromkeys(keys, where))

  def with_law(batch: dict) -> dict:
    return batch | taught(params, {k: batch[k] for k in READ})

  return with_law


def mean_law(params: Sequence[Any], batch: Mapping,
             cfgs: Sequence[ModelConfig], entries: int, padded: int
             ) -> tuple[jax.Array, jax.Array]:
  """The mean over models of the law of the next token [..., T, V], V `padded`
  entries, of tokens [..., T], 0 for those that pad the vocabulary; and the last
  hidden states of the last model [..., T, D]."""
  shape = batch['tokens'].shape
  tokens, segments, positions = (batch[k].reshape(-1, shape[-1]) for k in READ)
  total = 0.0
  for own, cfg in zip(params, cfgs):
    h_BTD, table_VD, _, _ = decoder.hidden_states(
        own, tokens, cfg, segments, positions)
    total += jax.nn.softmax(jnp.einsum(
        'BTD,VD->BTV', h_BTD, table_VD[:entries],
        preferred_element_type=jnp.float32), -1)
  law_BTV = jnp.pad(total / len(cfgs), (
      (0, 0), (0, 0), (0, padded - entries)))
  return law_BTV.reshape(*shape, padded), h_BTD.reshape(*shape, -1)


def law_by_token(config: ConfigDict, data: mixture.Mixture) -> np.ndarray:
  """The law of the next token [V, V], V entries of the vocabulary, given the
  one before within a text; the end token's row is that of first symbols.
  Raises BadInput unless the data are texts of one chain."""
  t = config.teacher
  worlds = [task.world for task in data.tasks]
  if len(worlds) != 1 or not isinstance(
      worlds[0], markov.Markov) or worlds[0].chains != 1:
    raise BadInput(f"teacher.run is {t.run!r} of tasks "
                   f"{', '.join(task.name for task in data.tasks)}; wanted one "
                   'task of a Markov world with chains=1, or a finished run')
  task, world = data.tasks[0], worlds[0]
  if task.form is None or task.tag:
    raise BadInput(f'teacher.run is {t.run!r} of task {task.name} with a tag '
                   'or a vocabulary of parts; wanted none, and data.vocab word '
                   'or piece')
  ids = np.array([data.vocab.encode(p)[0] for p in world.pieces()])
  law = np.zeros((len(data.vocab),) * 2)
  law[ids[:, None], ids] = world.matrices[0]
  law[vocab.EOS, ids] = 1 / len(ids)
  return law


def law_of_chain(batch: Mapping, cfg: ModelConfig, law_VV: np.ndarray
                 ) -> jax.Array:
  """The law [B, T, V] of a chain's next token."""
  padding = cfg.vocab - len(law_VV)
  law = jnp.pad(jnp.asarray(law_VV, jnp.float32), ((0, padding),) * 2)
  # A text has a fixed length: where the data end, no other token may follow.
  ends_BT1 = (batch['targets'] == vocab.EOS)[..., None]
  return jnp.where(ends_BT1, jax.nn.one_hot(vocab.EOS, cfg.vocab),
                   law[batch['tokens']])


def soft_loss(params: dict, batch: dict, cfg: ModelConfig,
              key: jax.Array | None = None, *, law: Callable,
              spec: ConfigDict) -> tuple[jax.Array, jax.Array]:
  """(summed loss, nll [B, T] on the data) as decoder.loss, of soft labels.
  `law`: from (batch, cfg) to the teacher's [B, T, V]. All logits are in memory
  at once."""
  h_BTD, table_VD, _, _ = decoder.hidden_states(
      params, batch['tokens'], cfg, batch['segments'], batch['positions'], key)
  hard, nll_BT = kernels.cross_entropy(h_BTD, table_VD, batch['targets'],
                                       batch['weights'])
  logits_BTV = jnp.einsum('BTD,VD->BTV', h_BTD, table_VD,
                          preferred_element_type=jnp.float32)
  # Draws depend on the batch alone: a resumed run draws the same again.
  draws = None if spec.rest != 'sampled' else jax.random.key(
      _digest(batch['tokens']))
  soft_BT = divergence(logits_BTV, law(batch, cfg), spec, draws)
  total = (soft_BT * batch['weights']).sum()
  loss = (1 - spec.weight) * hard + spec.weight * total
  if teacher_states.wanted(spec):
    loss += (teacher_states.distance(h_BTD, batch['states'], batch['segments'],
                                     spec) * batch['weights']).sum()
  return loss, nll_BT


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
