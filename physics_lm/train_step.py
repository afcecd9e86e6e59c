"""What a config becomes on a mesh: loss, train step, shardings, compiled.

Runs that differ in nothing but numbers (a population: seeds, learning rates,
weight decays) are one program: their states lie on a leading axis of members.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from physics_lm import mixture, optim
from physics_lm.errors import BadInput
from physics_lm.model import adapters, decoder, sharding
from physics_lm.model.config import ModelConfig, check_model, model_config

BATCH_2D = ('tokens', 'targets', 'segments', 'positions', 'weights')
BATCH_1D = ('task', 'entries')


class TrainState(NamedTuple):
  step: jax.Array  # steps done, int32
  params: Any  # what trains: the model's, or an adapter's
  opt: Any
  base: Any = None  # the model's, where an adapter trains


def loss_sums(params, batch, cfg: ModelConfig, tasks: int, key=None):
  """(summed loss in nats, sums by task [tasks]): of a batch of [B, T] rows."""
  total, nll = decoder.loss(params, batch, cfg, key)
  loss_B = (nll * batch['weights']).sum(-1)
  by_task = jax.nn.one_hot(batch['task'], tasks, dtype=jnp.float32)
  sums = {'loss': loss_B @ by_task,
          'weight': batch['weights'].sum(-1) @ by_task,
          'entries': batch['entries'].astype(jnp.float32) @ by_task}
  return total, sums


class RunHparams(NamedTuple):
  """What members of a population may differ in, besides their data: scalars,
  or [M] arrays. Inputs of the program, so that another learning rate is not
  another program either."""

  seed: Any  # of parameters and dropout
  learning_rate: Any  # peak
  weight_decay: Any


def run_hparams(config) -> RunHparams:
  if not 0 <= config.seed.init < 1 << 32:
    raise BadInput(f'seed.init is {config.seed.init}, wanted 0 to 2 ** 32 - 1')
  return RunHparams(np.uint32(config.seed.init),
                np.float32(config.optim.learning_rate),
                np.float32(config.optim.weight_decay))


def make_step(cfg: ModelConfig, tx, tasks: int, accumulate: int = 1,
              seed: int = 0, adapter=None):
  """train_step(state, batch) -> (state, sums): pure, jit- and vmap-able.
  `adapter`: config.adapter."""

  def train_step(state: TrainState, batch):
    gradients = lambda params, batch, key: jax.grad(
        lambda p: loss_sums(merged_params(state._replace(params=p), cfg, adapter),
                            batch, cfg, tasks, key), has_aux=True)(params)
    key = None
    if cfg.dropout:
      key = jax.random.fold_in(jax.random.key(seed), state.step)
    if accumulate == 1:
      grads, sums = gradients(state.params, batch, key)
    else:
      # Every device keeps its rows: micro-batch j takes each j-th of them.
      micro = jax.tree.map(lambda x: jnp.moveaxis(
          x.reshape(-1, accumulate, *x.shape[1:]), 1, 0), batch)
      one = lambda total, j_part: (jax.tree.map(jnp.add, total, gradients(
          state.params, j_part[1],
          None if key is None else jax.random.fold_in(key, j_part[0]))), None)
      zero = jax.tree.map(
          lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(
              gradients, state.params, jax.tree.map(lambda x: x[0], micro),
              key))
      (grads, sums), _ = jax.lax.scan(
          one, zero, (jnp.arange(accumulate), micro))
    # Sums were added up; the mean is taken once, over all loss weights.
    count = jnp.maximum(sums['weight'].sum(), 1.0)
    grads = jax.tree.map(lambda g: g / count, grads)
    updates, opt = tx.update(grads, state.opt, state.params)
    sums |= {'grad_norm': optax.tree.norm(grads), 'steps': jnp.float32(1)}
    return TrainState(state.step + 1, optax.apply_updates(state.params, updates),
                 opt, state.base), sums

  return train_step


def merged_params(state: TrainState, cfg: ModelConfig, adapter):
  """The parameters that the model runs with."""
  if state.base is None:
    return state.params
  return adapters.merge_adapter(state.base, state.params, adapter, cfg)


class TrainProgram(NamedTuple):
  """All that the loop calls, and where its arrays lie. Of a population, states
  have a leading axis of members, and batches too unless they share one."""

  cfg: ModelConfig
  mesh: jax.sharding.Mesh
  abstract: TrainState  # of one run: shapes with shardings
  init: Any  # () -> State
  step: Any  # (state, batch) -> (state, sums), donates the state
  batch_shardings: dict
  lead: tuple[int, ...]  # of a batch: (B,) or (M, B)
  stack: Any  # [State of each member] -> State
  take: Any  # (State, member's number) -> its State
  whole: Any  # State of one run -> the parameters its model runs with


def build(config, data: mixture.Mixture, devices=None, members=(),
          shared: bool = False) -> TrainProgram:
  """Mesh, shardings and jitted functions of a config. `members`: the configs
  of a population, else it is a lone run; `shared`: they all see the same rows.
  Raises BadInput."""
  check_model(config)
  cfg = model_config(config, len(data.vocab))
  many = len(members)
  mesh = sharding.make_mesh(config, devices, max(many, 1))
  if mesh.devices.flat[0].platform == 'cpu' and not cfg.remat:
    # A loop copies what each layer leaves for the way back: a sixth of a step.
    # (Written out, recomputed layers would save no memory.)
    cfg = dataclasses.replace(cfg, unroll=min(cfg.depth, 12))
  sharding.check_mesh(config, cfg, mesh, max(many, 1))

  adapted = config.adapter.kind != 'none'
  if adapted and not config.init_from:
    raise BadInput(f'adapter.kind is {config.adapter.kind!r} and init_from '
                   'None, wanted the finished run that it adapts')

  def make_state(who: RunHparams):
    key = jax.random.key(who.seed)
    params, base = decoder.init(cfg, key), None
    if adapted:  # of the base, only the shapes are needed: init_from's comes
      params, base = adapters.init_adapter(config.adapter, cfg, key), params
    return TrainState(jnp.int32(0), params, optim.make_optimizer(config).init(params), base)

  def train_step(who: RunHparams, state: TrainState, batch):
    tx = optim.make_optimizer(config, who.learning_rate, who.weight_decay)
    return make_step(cfg, tx, len(data.tasks), config.runtime.grad_accum_steps,
                     who.seed, config.adapter)(state, batch)

  shapes = jax.eval_shape(make_state, run_hparams(config))
  # Moments lie where their parameters do; without being told, jit would
  # replicate them and the step would compile again.
  placed = lambda axes: jax.tree.map(
      lambda a: sharding.named_sharding(mesh, a), axes,
      is_leaf=lambda x: isinstance(x, tuple))
  params, base = placed(decoder.logical_axes(cfg)), None
  if adapted:
    params, base = placed(adapters.adapter_axes(config.adapter, cfg)), params
  everywhere = sharding.named_sharding(mesh, ())
  opt = optim.state_like(config, shapes.opt, params, everywhere)
  lone = where = TrainState(everywhere, params, opt, base)
  abstract = jax.tree.map(
      lambda s, w: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=w),
      shapes, where)
  batch = sharding.batch_shardings(mesh, BATCH_2D, BATCH_1D)
  lead, who = (config.data.batch_size,), run_hparams(config)
  if members:
    who = jax.tree.map(lambda *x: np.stack(x), *map(run_hparams, members))
    # Hyperparameters and sums are small: every process holds them all.
    where = sharding.population_sharding(lone)
    make_state = sharding.vmap_members(make_state)
    train_step = sharding.vmap_members(
        train_step, (0, 0, None if shared else 0))
    if not shared:
      batch = sharding.batch_shardings(mesh, BATCH_2D, BATCH_1D, members=True)
      lead = (many, *lead)
  step = jax.jit(train_step, donate_argnums=1, in_shardings=(
      everywhere, where, batch), out_shardings=(where, everywhere))
  init = jax.jit(make_state, out_shardings=where)
  stack = jax.jit(lambda states: jax.tree.map(lambda *x: jnp.stack(x), *states),
                  out_shardings=where)
  take = jax.jit(lambda state, i: jax.tree.map(lambda x: x[i], state),
                 out_shardings=lone)
  # init is called outside set_mesh: linen's own constraints would fail inside.
  return TrainProgram(cfg, mesh, abstract, functools.partial(init, who),
                 functools.partial(step, who), batch, lead,
                 stack if members else lambda states: states[0],
                 take if members else lambda state, _: state,
                 jax.jit(lambda s: merged_params(s, cfg, config.adapter)) if adapted
                 else lambda s: s.params)
