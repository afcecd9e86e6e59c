"""Optimizer and learning-rate schedule from config."""

import jax
import optax

from physics_lm import shape
from physics_lm.errors import BadInput

SCHEDULES = ('cosine', 'linear', 'constant', 'wsd')


def schedule(config, peak=None) -> optax.Schedule:
  """Warm-up from 0 over `warmup` steps, then the named shape down to
  `final` x peak at config.steps. 'wsd' (warmup-stable-decay) keeps the peak
  and falls linearly over the last `decay` of the steps. `peak`: a number or a
  traced scalar, else optim.learning_rate."""
  o, total = config.optim, config.steps
  if o.schedule not in SCHEDULES:
    raise BadInput(f'optim.schedule is {o.schedule!r}, wanted one of '
                   f'{", ".join(SCHEDULES)}')
  if not total:  # only evaluated
    return optax.constant_schedule(0.0)
  if not 0 <= o.warmup < total:
    raise BadInput(f'optim.warmup is {o.warmup}, wanted 0 up to below '
                   f'steps={total}')
  peak = o.learning_rate if peak is None else peak
  low, rest = o.final * peak, total - o.warmup
  if o.schedule == 'cosine':
    after = optax.cosine_decay_schedule(peak, rest, o.final)
  elif o.schedule == 'linear':
    after = optax.linear_schedule(peak, low, rest)
  elif o.schedule == 'constant':
    after = optax.constant_schedule(peak)
  else:
    falling = total - shape.knee(config)
    if falling < 1:
      raise BadInput(f'optim.decay is {o.decay}, wanted above 0 for wsd')
    after = optax.join_schedules(
        [optax.constant_schedule(peak),
         optax.linear_schedule(peak, low, falling)], [rest - falling])
  if o.warmup:
    warm = optax.linear_schedule(0.0, peak, o.warmup)
    after = optax.join_schedules([warm, after], [o.warmup])
  # Step 0 already moves: the schedule is read one step ahead.
  return lambda count: after(count + 1)


def decays(params):
  """True for matrices and embeddings, False for scales and biases."""
  name = lambda path: str(path[-1].key)
  return jax.tree_util.tree_map_with_path(
      lambda path, _: not name(path).startswith(('scale', 'bias')), params)


def make(config, learning_rate=None, weight_decay=None
         ) -> optax.GradientTransformation:
  """AdamW with decoupled weight decay, after global-norm clipping. Peak
  learning rate and weight decay: config's, or traced scalars."""
  o = config.optim
  decay = o.weight_decay if weight_decay is None else weight_decay
  adamw = optax.adamw(schedule(config, learning_rate), o.b1, o.b2, o.eps,
                      weight_decay=decay, mask=decays)
  return optax.chain(
      optax.clip_by_global_norm(o.clip) if o.clip else optax.identity(), adamw)
