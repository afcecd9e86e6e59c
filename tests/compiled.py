"""The decoder, compiled: called eagerly, each of its operations would be
compiled and dispatched by itself."""

import jax

from physics_lm.model import decoder

init = jax.jit(decoder.init, static_argnums=0)
forward = jax.jit(decoder.forward, static_argnames=('cfg', 'taps'))
