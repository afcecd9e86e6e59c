"""The train step of a config on a mesh: loss, update, shardings, compiled.

Runs that differ only in seeds, learning rates and weight decays (a population)
are one program: their states have a leading axis of members.
"""

import dataclasses
import functools
import json
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from physics_lm import mixture, optim, population, teacher
from physics_lm.errors import BadInput
from physics_lm.model import adapters, decoder, sharding
from physics_lm.model.config import ModelConfig, check_model, model_config
from physics_lm.posttrain import update

BATCH_2D = ('tokens', 'targets', 'segments', 'positions', 'weights')
BATCH_1D = ('task', 'entries')


class TrainState(NamedTuple):
  """Everything that a step changes, and the frozen parameters it needs."""

  step: jax.Array  # steps done, int32
  params: Any  # trainable parameters: the model's, or an adapter's
  opt: Any
  base: Any = None  # the frozen model's parameters, where an adapter trains


class RunHparams(NamedTuple):
  """What members of a population may differ in, besides their data: scalars,
  or [M] arrays. Inputs of the program, so that another learning rate is not
  another compilation either."""

  seed: Any  # of parameters and dropout
  learning_rate: Any  # peak
  weight_decay: Any


def run_hparams(config: ConfigDict) -> RunHparams:
  """The hyperparameters of one run."""
  return RunHparams(np.uint32(config.seed.init),
                    np.float32(config.optim.learning_rate),
                    np.float32(config.optim.weight_decay))


def loss_sums(params: dict, batch: dict, cfg: ModelConfig, tasks: int,
              key: jax.Array | None = None, loss: Callable = decoder.loss
              ) -> tuple[jax.Array, dict]:
  """(summed loss in nats, sums by task [tasks]) of a batch of [B, T] rows.

  The loss itself is decoder.loss, with the cross-entropy of model/kernels.py,
  or another of its form (teacher.py).
  """
  total, nll = loss(params, batch, cfg, key)
  loss_B = (nll * batch['weights']).sum(-1)
  by_task = jax.nn.one_hot(batch['task'], tasks, dtype=jnp.float32)
  sums = {'loss': loss_B @ by_task,
          'weight': batch['weights'].sum(-1) @ by_task,
          'entries': batch['entries'].astype(jnp.float32) @ by_task}
  return total, sums


def make_step(cfg: ModelConfig, tx: optax.GradientTransformation, tasks: int,
              accumulate: int = 1, seed: int = 0,
              adapter: ConfigDict | None = None,
              sums_of: Callable = loss_sums, together: int = 1) -> Callable:
  """train_step(state, batch) -> (state, sums): pure, jit- and vmap-able.

  Args:
    tx: turns gradients of the mean loss per weighted token into updates.
    tasks: how many tasks sums are kept for.
    accumulate: micro-batches that a batch is cut into.
    seed: of dropout.
    adapter: config.adapter.
    sums_of: as loss_sums. Where its sums have a `count`, gradients are divided
      by that, else by the sum of the loss weights.
    together: rows in succession that no cut may part: 2 of pairs.
  """

  def train_step(state: TrainState, batch):
    gradients = functools.partial(_gradients, state, cfg, tasks, adapter,
                                  sums_of)
    key = None
    if cfg.dropout:
      key = jax.random.fold_in(jax.random.key(seed), state.step)
    if accumulate == 1:
      grads, sums = gradients(batch, key)
    else:
      grads, sums = _accumulated(gradients, batch, key, accumulate,
                                 together)
    # Sums were added up; the mean is taken once, over all loss weights.
    count = sums.pop('count', None)
    if count is None:
      count = jnp.maximum(sums['weight'].sum(), 1.0)
    grads = jax.tree.map(lambda g: g / count, grads)
    updates, opt = tx.update(grads, state.opt, state.params)
    sums |= {'grad_norm': optax.tree.norm(grads), 'steps': jnp.float32(1)}
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, opt, state.base), sums

  return train_step


def _gradients(state: TrainState, cfg: ModelConfig, tasks: int, adapter,
               sums_of: Callable, batch, key):
  """(gradients of the summed loss, its sums)."""

  def of_batch(params):
    merged = merged_params(state._replace(params=params), cfg, adapter)
    return sums_of(merged, batch, cfg, tasks, key)

  return jax.grad(of_batch, has_aux=True)(state.params)


def _accumulated(gradients: Callable, batch, key, count: int, together: int):
  """The sum of gradients(micro_batch, key) over `count` micro-batches. Each
  device keeps its rows: of units of `together` rows, micro-batch j takes every
  count-th from j on."""
  micro = jax.tree.map(lambda x: jnp.moveaxis(
      x.reshape(-1, count, together, *x.shape[1:]), 1, 0).reshape(
          count, -1, *x.shape[1:]), batch)

  def add(total, numbered):
    j, part = numbered
    own = None if key is None else jax.random.fold_in(key, j)
    made = gradients(part, own)
    out = jax.tree.map(jnp.add, total, made)
    if 'identity' in out[1]:  # a largest difference, not a sum
      out[1]['identity'] = jnp.maximum(total[1]['identity'],
                                       made[1]['identity'])
    return out, None

  shapes = jax.eval_shape(
      gradients, jax.tree.map(lambda x: x[0], micro), key)
  zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  return jax.lax.scan(add, zero, (jnp.arange(count), micro))[0]


def merged_params(state: TrainState, cfg: ModelConfig,
                  adapter: ConfigDict | None) -> dict:
  """The parameters that the model runs with: an adapter's are merged into the
  frozen ones."""
  if state.base is None:
    return state.params
  return adapters.merge_adapter(state.base, state.params, adapter, cfg)


class TrainProgram(NamedTuple):
  """What the loop calls, compiled, and how its arrays are sharded. Of a
  population, states have a leading axis of members, and batches too unless all
  members read the same rows."""

  cfg: ModelConfig
  mesh: jax.sharding.Mesh
  abstract: TrainState  # of one run: shapes with shardings
  init: Callable  # () -> TrainState
  step: Callable  # (state, batch) -> (state, sums); donates the state
  batch_shardings: dict
  batch_dims: tuple[int, ...]  # leading axes of a batch: (B,) or (M, B)
  stack_members: Callable  # [TrainState of each member] -> TrainState
  unstack_member: Callable  # (TrainState, member's index) -> its TrainState
  merged_params: Callable  # TrainState of one run -> parameters of its model


_kept: dict[str, TrainProgram] | None = None  # None: build() keeps nothing


def keep_programs():
  """Makes build() keep what it made last, for configs of one program."""
  global _kept
  _kept = {}


def build(config: ConfigDict, data: mixture.Mixture,
          devices: Sequence | None = None, members: Sequence[ConfigDict] = (),
          shared: bool = False) -> TrainProgram:
  """Mesh, shardings and jitted functions of a config.

  Args:
    devices: that the mesh is made of; None: all.
    members: the configs of a population; empty: the run is a lone one.
    shared: whether all members read the same rows.

  Raises:
    BadInput: a config that no run can have, or that does not fit the mesh.
  """
  check_model(config)
  if config.adapter.kind != 'none' and not config.init_from:
    raise BadInput(f'adapter.kind is {config.adapter.kind!r} and init_from '
                   'None, wanted the finished run that it adapts')
  hparams = run_hparams(config) if not members else jax.tree.map(
      lambda *x: np.stack(x), *map(run_hparams, members))
  if _kept is None or devices is not None or (
      config.teacher.run == 'law'):  # the program has a world's law
    made = _build(config, data, devices, len(members), shared)
  else:
    key = _program_key(config, data, len(members), shared)
    if key not in _kept:
      _kept.clear()
      _kept[key] = _build(config, data, devices, len(members), shared)
    made = _kept[key]
  return made._replace(init=functools.partial(made.init, hparams),
                       step=functools.partial(made.step, hparams))


def _program_key(config: ConfigDict, data: mixture.Mixture, members: int,
                 shared: bool) -> str:
  """A string that is equal for configs with one program."""
  keys = {k: v for k, v in population.shared_keys(config).items()
          if k.split('.')[0] not in ('worlds', 'evals', 'log', 'checkpoint')}
  return json.dumps([keys, len(data.vocab), [t.name for t in data.tasks],
                     members, shared and members > 0], sort_keys=True)


def _build(config: ConfigDict, data: mixture.Mixture, devices: Sequence | None,
           members: int, shared: bool) -> TrainProgram:
  """As build, of a TrainProgram whose init and step take RunHparams first."""
  cfg = model_config(config, len(data.vocab))
  mesh = sharding.make_mesh(config, devices, max(members, 1))
  if mesh.devices.flat[0].platform == 'cpu' and not cfg.remat:
    # A loop copies each layer's residuals for the backward pass, a sixth of a
    # step. (Unrolled, recomputed layers would save no memory.)
    cfg = dataclasses.replace(cfg, unroll=min(cfg.depth, 12))
  sharding.check_mesh(config, cfg, mesh, max(members, 1))
  new_state = functools.partial(_new_state, config, cfg)
  keys_2d, keys_1d, sums_of = _sums_of(config, data)
  train_step = functools.partial(_step, config, cfg, len(data.tasks), sums_of)

  shapes = jax.eval_shape(new_state, run_hparams(config))
  lone = where = _state_shardings(config, cfg, mesh, shapes)
  abstract = jax.tree.map(
      lambda s, w: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=w),
      shapes, where)
  batch = sharding.batch_shardings(mesh, keys_2d, keys_1d)
  batch_dims = (config.data.batch_size,)
  if members:
    where = sharding.population_sharding(lone)
    new_state = sharding.vmap_members(new_state)
    train_step = sharding.vmap_members(
        train_step, (0, 0, None if shared else 0))
    if not shared:
      batch = sharding.batch_shardings(mesh, keys_2d, keys_1d, members=True)
      batch_dims = (members, *batch_dims)
  # Hyperparameters and sums are small: every process holds them all.
  everywhere = sharding.named_sharding(mesh, ())
  step = jax.jit(train_step, donate_argnums=1, in_shardings=(
      everywhere, where, batch), out_shardings=(where, everywhere))
  # init is called outside set_mesh: linen's own constraints would fail inside.
  init = jax.jit(new_state, out_shardings=where)
  merged = functools.partial(merged_params, cfg=cfg, adapter=config.adapter)
  return TrainProgram(
      cfg, mesh, abstract, init, step, batch, batch_dims,
      *_member_functions(bool(members), where, lone),
      merged if config.adapter.kind == 'none' else jax.jit(merged))


def _sums_of(config: ConfigDict, data: mixture.Mixture
             ) -> tuple[tuple[str, ...], tuple[str, ...], Callable]:
  """(keys of a batch [B, T], those [B], the function of its sums)."""
  loss = teacher.make_loss(config, data)
  if not config.post.kind:
    more = teacher.keys_of_batch(config)
    return BATCH_2D + more, BATCH_1D, functools.partial(loss_sums, loss=loss)
  more_2d, more_1d = update.batch_keys(config)
  return (BATCH_2D + more_2d, BATCH_1D + more_1d,
          update.make_sums(config, len(data.vocab)))


def _new_state(config: ConfigDict, cfg: ModelConfig, hparams: RunHparams
               ) -> TrainState:
  """A state before step 0. Under an adapter only the shapes of `base` count:
  the parameters of init_from replace it."""
  key = jax.random.key(hparams.seed)
  params, base = decoder.init(cfg, key), None
  if config.adapter.kind != 'none':
    params, base = adapters.init_adapter(config.adapter, cfg, key), params
  opt = optim.make_optimizer(config).init(params)
  return TrainState(jnp.int32(0), params, opt, base)


def _step(config: ConfigDict, cfg: ModelConfig, tasks: int, sums_of: Callable,
          hparams: RunHparams, state: TrainState, batch):
  tx = optim.make_optimizer(config, hparams.learning_rate,
                            hparams.weight_decay)
  return make_step(cfg, tx, tasks, config.runtime.grad_accum_steps,
                   hparams.seed, config.adapter, sums_of,
                   2 if config.post.kind in update.PAIRED else 1)(state, batch)


def _state_shardings(config: ConfigDict, cfg: ModelConfig, mesh, shapes
                     ) -> TrainState:
  """The shardings of a lone run's state. Moments lie where their parameters
  do: by default jit would replicate them and compile the step twice."""

  def placed(axes):
    return jax.tree.map(lambda a: sharding.named_sharding(mesh, a), axes,
                        is_leaf=lambda x: isinstance(x, tuple))

  params, base = placed(decoder.logical_axes(cfg)), None
  if config.adapter.kind != 'none':
    params, base = placed(adapters.adapter_axes(config.adapter, cfg)), params
  everywhere = sharding.named_sharding(mesh, ())
  opt = optim.state_like(config, shapes.opt, params, everywhere)
  return TrainState(everywhere, params, opt, base)


def _member_functions(population: bool, where, lone) -> tuple[Callable, ...]:
  """stack_members and unstack_member of TrainProgram, to states on the
  shardings `where` and `lone`."""
  if not population:
    return operator.itemgetter(0), _only_member
  return (jax.jit(_stacked, out_shardings=where),
          jax.jit(_unstacked, out_shardings=lone))


def _only_member(state, index: int):
  return state


def _stacked(states):
  return jax.tree.map(lambda *x: jnp.stack(x), *states)


def _unstacked(states, index):
  return jax.tree.map(lambda x: x[index], states)
