"""What a config becomes on a mesh: loss, train step, shardings, compiled."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from physics_lm import model, optim, rows, shape, sharding

BATCH_2D = ('tokens', 'targets', 'segments', 'positions', 'weights')
BATCH_1D = ('task', 'entries')


class State(NamedTuple):
  step: jax.Array  # steps done, int32
  params: Any
  opt: Any


def loss_sums(params, batch, cfg: shape.Shape, tasks: int, key=None):
  """(summed loss in nats, sums by task [tasks]): of a batch of [B, T] rows."""
  total, nll = model.loss(params, batch, cfg, key)
  loss_B = (nll * batch['weights']).sum(-1)
  by_task = jax.nn.one_hot(batch['task'], tasks, dtype=jnp.float32)
  sums = {'loss': loss_B @ by_task,
          'weight': batch['weights'].sum(-1) @ by_task,
          'entries': batch['entries'].astype(jnp.float32) @ by_task}
  return total, sums


def make_step(cfg: shape.Shape, tx, tasks: int, accumulate: int = 1,
              seed: int = 0):
  """train_step(state, batch) -> (state, sums): pure, jit- and vmap-able."""

  def gradients(params, batch, key):
    return jax.grad(loss_sums, has_aux=True)(params, batch, cfg, tasks, key)

  def train_step(state: State, batch):
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
    return State(state.step + 1, optax.apply_updates(state.params, updates),
                 opt), sums

  return train_step


class Program(NamedTuple):
  """All that the loop calls, and where its arrays lie."""

  cfg: shape.Shape
  mesh: jax.sharding.Mesh
  abstract: State  # shapes with shardings
  init: Any  # () -> State
  step: Any  # (state, batch) -> (state, sums), donates the state
  batch_shardings: dict


def build(config, data: rows.Data, devices=None) -> Program:
  """Mesh, shardings and jitted functions of a config. Raises BadInput."""
  shape.check(config)
  cfg = shape.make(config, len(data.vocab))
  mesh = sharding.make_mesh(config, devices)
  if mesh.devices.flat[0].platform == 'cpu' and not cfg.remat:
    # A loop copies what each layer leaves for the way back: a sixth of a step.
    # (Written out, recomputed layers would save no memory.)
    cfg = dataclasses.replace(cfg, unroll=min(cfg.depth, 12))
  sharding.check(config, cfg, mesh)
  tx = optim.make(config)

  def make_state(key):
    params = model.init(cfg, key)
    return State(jnp.int32(0), params, tx.init(params))

  key = jax.random.key(config.seed.init)
  shapes = jax.eval_shape(make_state, key)
  # Moments lie where their parameters do; without being told, jit would
  # replicate them and the step would compile again.
  params = jax.tree.map(lambda axes: sharding.named(mesh, axes),
                        model.logical_axes(cfg),
                        is_leaf=lambda x: isinstance(x, tuple))
  whole = sharding.named(mesh, ())
  opt = optax.tree_utils.tree_map_params(
      tx, lambda _, s: s, shapes.opt, params,
      transform_non_params=lambda _: whole)
  where = State(whole, params, opt)
  abstract = jax.tree.map(
      lambda s, w: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=w),
      shapes, where)
  batch = sharding.batch_shardings(mesh, BATCH_2D, BATCH_1D)
  step = jax.jit(
      make_step(cfg, tx, len(data.tasks), config.runtime.accumulate,
                config.seed.init), donate_argnums=0,
      in_shardings=(where, batch), out_shardings=(where, whole))
  # Called outside set_mesh: linen's own constraints would fail inside.
  init = functools.partial(jax.jit(make_state, out_shardings=where), key)
  return Program(cfg, mesh, abstract, init, step, batch)
