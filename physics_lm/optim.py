"""Optimizer and learning-rate schedule from config.

AdamW, or Muon for the matrices of the layers and AdamW for the rest:
embeddings, unembedding, norms, biases, routers, Canon layers, low-rank
adapters. Muon (Jordan 2024) moves a matrix by its momentum with all singular
values set to about 1. Times 0.2 sqrt(larger side), such an update has the root
mean square of Adam's (Liu et al. 2025, arXiv 2502.16982), so that one learning
rate, one weight decay and one schedule serve both. After either,
adapter.penalty keeps most parameters of an adapter at zero.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from physics_lm.errors import BadInput
from physics_lm.model.adapters import AT_ZERO
from physics_lm.model.config import lr_decay_start

SCHEDULES = ('cosine', 'linear', 'constant', 'wsd', 'wsd_sqrt')
OPTIMIZERS = ('adamw', 'muon')
MOMENTUM = 0.95  # of Muon, with Nesterov's step; five Newton-Schulz iterations
ADAM_RMS = 0.2  # of Adam's updates over the learning rate, in training
# Muon's matrices: input and output axes, counted from the last. Axes before
# them (layers, experts) index separate matrices.
_PLAIN = MuonDimensionNumbers((-2,), (-1,))
_PROJECTION = MuonDimensionNumbers((-3,), (-2, -1))  # D to all heads together
MATRICES = {
    'query': _PROJECTION, 'key': _PROJECTION, 'value': _PROJECTION,
    'out': MuonDimensionNumbers((-3, -2), (-1,)),
    'up': _PLAIN, 'gate': _PLAIN, 'down': _PLAIN}


def lr_schedule(config: ConfigDict, peak: Any = None) -> optax.Schedule:
  """Warmup from 0 over warmup_steps, then optim.schedule down to
  final_lr_fraction x peak at config.steps. 'wsd' (warmup-stable-decay) keeps
  the peak and decays linearly over the last decay_fraction of the steps,
  'wsd_sqrt' as 1 - sqrt(share of them) (Haegele et al. 2024, arXiv 2405.18392).
  `peak`: a number or a traced scalar, else optim.learning_rate. Raises
  BadInput."""
  o, total = config.optim, config.steps
  if o.schedule not in SCHEDULES:
    raise BadInput(f'optim.schedule is {o.schedule!r}, wanted one of '
                   f'{", ".join(SCHEDULES)}')
  if not total:  # only evaluated
    return optax.constant_schedule(0.0)
  if not 0 <= o.warmup_steps < total:
    raise BadInput(f'optim.warmup_steps is {o.warmup_steps}, wanted 0 up to '
                   f'below steps={total}')
  peak = o.learning_rate if peak is None else peak
  low, rest = o.final_lr_fraction * peak, total - o.warmup_steps
  if o.schedule == 'cosine':
    after = optax.cosine_decay_schedule(peak, rest, o.final_lr_fraction)
  elif o.schedule == 'linear':
    after = optax.linear_schedule(peak, low, rest)
  elif o.schedule == 'constant':
    after = optax.constant_schedule(peak)
  else:
    falling = total - lr_decay_start(config)
    if falling < 1:
      raise BadInput(f'optim.decay_fraction is {o.decay_fraction}, wanted '
                     f'above 0 for {o.schedule}')
    cooldown = optax.linear_schedule(peak, low, falling) if (
        o.schedule == 'wsd') else _sqrt_cooldown(peak, low, falling)
    after = optax.join_schedules(
        [optax.constant_schedule(peak), cooldown], [rest - falling])
  if o.warmup_steps:
    warm = optax.linear_schedule(0.0, peak, o.warmup_steps)
    after = optax.join_schedules([warm, after], [o.warmup_steps])
  # Step 0 already moves: the schedule is read one step ahead.
  return lambda count: after(count + 1)


def _sqrt_cooldown(peak, low, steps: int) -> optax.Schedule:
  """From peak to low by 1 - sqrt(share of the steps)."""
  def rate(count):
    share = jnp.clip(count / steps, 0, 1)
    return low + (peak - low) * (1 - jnp.sqrt(share))
  return rate


def decays(params: Any) -> Any:
  """A tree of whether weight decay applies: True for matrices and embeddings,
  False for scales, biases and Canon layers."""
  return jax.tree_util.tree_map_with_path(
      lambda path, _: not str(path[-1].key).startswith(
          ('scale', 'bias', 'canon')),
      params)


def _matrix(path) -> MuonDimensionNumbers | None:
  """The axes of the parameter at (part, name), or of an adapter's at (part,
  name, role); None: AdamW moves it. Of an adapter, only a `difference` is a
  matrix, like the one that it is added to."""
  _, name, *role = (key.key for key in path)
  return MATRICES.get(name) if role in ([], ['difference']) else None


def _of_muon(params, wanted: bool = True):
  """True for the parameters that Muon moves (or those that it does not)."""
  return jax.tree_util.tree_map_with_path(
      lambda path, _: (_matrix(path) is not None) == wanted, params)


def _axes(params):
  return jax.tree_util.tree_map_with_path(
      lambda path, _: _matrix(path), params)


def _like_adam(updates, _):
  """Orthogonal updates, scaled to the root mean square of Adam's."""

  def scaled(path, x):
    sides = [math.prod(x.shape[a] for a in axes) for axes in _matrix(path)]
    return ADAM_RMS * max(sides)**0.5 * x

  return jax.tree_util.tree_map_with_path(scaled, updates)


def _direction(config) -> optax.GradientTransformation:
  """The update before weight decay and learning rate. Raises BadInput."""
  o = config.optim
  adam = optax.scale_by_adam(o.b1, o.b2, o.eps)
  if o.name == 'adamw':
    return adam
  if o.name != 'muon':
    raise BadInput(f'optim.name is {o.name!r}, wanted one of '
                   f'{", ".join(OPTIMIZERS)}')
  muon = optax.chain(
      scale_by_muon(beta=MOMENTUM, weight_dimension_numbers=_axes),
      optax.stateless(_like_adam))
  return optax.chain(optax.masked(muon, _of_muon), optax.masked(
      adam, lambda params: _of_muon(params, wanted=False)))


def make_optimizer(config: ConfigDict, learning_rate: Any = None,
                   weight_decay: Any = None) -> optax.GradientTransformation:
  """The optimizer of config.optim with decoupled weight decay, after
  global-norm clipping; then the step of adapter.penalty. Peak learning rate
  and weight decay: config's, or traced scalars. Raises BadInput."""
  o = config.optim
  decay = o.weight_decay if weight_decay is None else weight_decay
  clip = optax.clip_by_global_norm(o.grad_clip_norm) if (
      o.grad_clip_norm) else optax.identity()
  rate = lr_schedule(config, learning_rate)
  return optax.chain(
      clip,
      _direction(config), optax.add_decayed_weights(decay, decays),
      *_by_layer(config),
      optax.scale_by_learning_rate(rate), *_penalised(config, rate))


def _penalised(config: ConfigDict, rate: optax.Schedule
               ) -> list[optax.GradientTransformation]:
  """Nothing, or the step of adapter.penalty. Raises BadInput."""
  a = config.adapter
  if not a.penalty:
    return []  # and no state: older checkpoints have none
  if a.kind not in AT_ZERO:
    raise BadInput(f'adapter.penalty is {a.penalty} with adapter.kind '
                   f'{a.kind!r}, wanted one of {", ".join(AT_ZERO)}, which '
                   'start at zero')
  return [selective(a.penalty, rate)]


def selective(penalty: float, rate: optax.Schedule
              ) -> optax.GradientTransformation:
  """A decoupled L1 penalty: after the optimizer's step parameter w becomes
  sign(w) max(|w| - rate(step) penalty, 0), exactly zero for most (the soft
  threshold of Beck & Teboulle 2009, SIAM J. Imaging Sci. 2). As with decoupled
  weight decay, this is not the optimum of a loss plus an L1 norm, since the
  optimizer rescales the loss's gradients and not the threshold. Adam's updates
  are at most some `rate`: from a penalty of 1 on, almost nothing leaves zero;
  below it, what has gradients of mostly one sign does."""

  def update(updates, state, params):
    threshold = rate(state.count) * penalty

    def shrunk(u, w):
      moved = w + u
      return jnp.sign(moved) * jnp.maximum(jnp.abs(moved) - threshold, 0) - w

    return (jax.tree.map(shrunk, updates, params),
            optax.ScaleByScheduleState(state.count + 1))

  return optax.GradientTransformation(
      lambda _: optax.ScaleByScheduleState(jnp.zeros([], jnp.int32)), update)


def _by_layer(config: ConfigDict) -> list[optax.GradientTransformation]:
  """Nothing, or the scaling of updates by optim.layer_decay and
  unfreeze_every. Raises BadInput."""
  o = config.optim
  if o.layer_decay == 1 and not o.unfreeze_every:
    return []
  if config.adapter.kind != 'none':
    raise BadInput(f'optim.layer_decay is {o.layer_decay} and unfreeze_every '
                   f'{o.unfreeze_every} with adapter.kind '
                   f'{config.adapter.kind!r}, wanted none')
  return [layerwise(config.model.depth, o.layer_decay, o.unfreeze_every)]


def layerwise(depth: int, decay: float, unfreeze_every: int
              ) -> optax.GradientTransformation:
  """Updates times decay^k, k layers below the last one (Howard & Ruder 2018,
  arXiv 1801.06146), and 0 before step k unfreeze_every: gradual unfreezing from
  the top. The embedding and learnt positions are the layer below the first;
  last norm and unembedding are with the last layer."""

  def factor(count, k):
    return decay**k * (count >= k * unfreeze_every)

  def update(updates, state, params=None):
    del params

    def scaled(path, x):
      part, name = (key.key for key in path[:2])
      if part == 'layers':
        k_L = jnp.arange(depth - 1, -1, -1)
        return x * factor(state.count, k_L).reshape(-1, *[1] * (x.ndim - 1))
      lowest = name in ('embedding', 'positions')
      return x * factor(state.count, depth) if lowest else x

    out = jax.tree_util.tree_map_with_path(scaled, updates)
    return out, optax.ScaleByScheduleState(state.count + 1)

  return optax.GradientTransformation(
      lambda _: optax.ScaleByScheduleState(jnp.zeros([], jnp.int32)), update)


def state_like(config: ConfigDict, state: Any, like: Any, others: Any) -> Any:
  """A tree with the optimizer state's structure: for each moment the leaf of
  its parameter in `like` (a tree of the parameters' structure), else
  `others`."""
  return optax.tree_utils.tree_map_params(
      make_optimizer(config), lambda x, own: x if _is_masked(x) else own, state,
      like, transform_non_params=lambda _: others, is_leaf=_is_masked)


def _is_masked(x) -> bool:
  """Whether the other rule moves the parameter: this one has no moment."""
  return isinstance(x, optax.MaskedNode)
