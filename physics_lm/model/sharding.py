"""Mesh and logical-axis rules: the only file that names mesh axes.

Axes are Auto: shardings are declared here, and the compiler adds the
collectives. Parameters have logical axis names (model/decoder.py); RULES maps
those to the mesh.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from physics_lm.errors import BadInput
from physics_lm.model.config import ModelConfig

AXES = ('pop', 'data', 'fsdp', 'tensor', 'expert')
# Logical axis -> mesh axes. Every logical axis is listed: a typo raises.
RULES = {
    'population': ('pop',),
    'batch': ('data', 'fsdp'),
    'length': (),
    'layers': (),
    'embed': ('fsdp',),
    'activation': (),  # the width of activations, never sharded
    'heads': ('tensor',),
    'kv_heads': ('tensor',),
    'head': (),
    'mlp': ('tensor',),
    'experts': ('expert',),
    'vocab': ('tensor',),
}


def make_mesh(config: ConfigDict, devices: Sequence | None = None,
              members: int = 1) -> Mesh:
  """The mesh of config.runtime.mesh. Raises BadInput when the devices do not
  fit it. Members of a population are spread over devices first, as far as both
  divide: they need no communication."""
  devices = jax.devices() if devices is None else devices
  sizes = [config.runtime.mesh[a] for a in AXES]
  shown = ', '.join(f'{a}={s}' for a, s in zip(AXES, sizes))
  if sizes[0] == -1:
    rest = math.prod(s for s in sizes[1:] if s > 0)
    sizes[0] = math.gcd(members, max(len(devices) // max(rest, 1), 1))
  if any(s == 0 or s < -1 for s in sizes) or sizes.count(-1) > 1:
    raise BadInput(f'mesh {shown}: wanted sizes >= 1, at most one -1')
  known = int(np.prod([s for s in sizes if s > 0]))
  if -1 in sizes:
    sizes[sizes.index(-1)] = max(len(devices) // known, 1)
  total = int(np.prod(sizes))
  if total > len(devices):
    raise BadInput(f'mesh {shown} wants {total} devices, found '
                   f'{len(devices)} ({devices[0].platform})')
  # Idle devices are an error, unless the config fixes the number of devices.
  if total < len(devices) and -1 in [config.runtime.mesh[a]
                                     for a in AXES[1:]]:
    raise BadInput(f'mesh {shown} does not divide {len(devices)} devices')
  return Mesh(
      np.asarray(devices[:total]).reshape(sizes), AXES,
      axis_types=(AxisType.Auto,) * len(AXES))


def check_mesh(config: ConfigDict, cfg: ModelConfig, mesh: Mesh,
               members: int = 1):
  """Raises BadInput when members, batch or model do not divide over the mesh,
  or the attention kernel is not for its devices."""
  kind = mesh.devices.flat[0].platform
  if cfg.attention == 'cudnn' and (
      kind != 'gpu' or cfg.dtype == 'float32'):
    raise BadInput(f'runtime.attention is cudnn on {kind} in {cfg.dtype}, '
                   'wanted a GPU and bfloat16')
  if cfg.attention == 'splash' and kind != 'tpu':
    raise BadInput(f'runtime.attention is splash on {kind}, wanted a TPU')
  shape = mesh.shape
  rows = shape['data'] * shape['fsdp'] * config.runtime.grad_accum_steps
  for what, size, parts in (
      ('the population', members, shape['pop']),
      ('data.batch_size', config.data.batch_size, rows),
      ('model.width', cfg.width, shape['fsdp']),
      ('model.heads', cfg.heads, shape['tensor']),
      ('model.kv_heads', cfg.kv_heads, shape['tensor']),
      ('the MLP width', cfg.mlp_width, shape['tensor']),
      ('model.num_experts', cfg.num_experts, shape['expert']),
      ('the vocabulary', cfg.vocab, shape['tensor'])):
    if size % parts:
      raise BadInput(f'{what} is {size}, wanted a multiple of {parts} '
                     f'(mesh {dict(shape)}, '
                     f'grad_accum_steps {config.runtime.grad_accum_steps})')


def partition_spec(axes: Sequence[str | None]) -> P:
  """Partition of an array with these logical axes (None: not sharded). Mesh
  axes of size one stay in: they change nothing."""
  parts, used = [], set()
  for axis in axes:
    mesh_axes = RULES[axis] if axis is not None else ()
    if used & set(mesh_axes):
      raise ValueError(f'{axes}: two axes on mesh axis {used & set(mesh_axes)}')
    used |= set(mesh_axes)
    parts.append(mesh_axes or None)
  return P(*parts)


def named_sharding(mesh: Mesh, axes: Sequence[str | None]) -> NamedSharding:
  """The sharding of an array with these logical axes."""
  return NamedSharding(mesh, partition_spec(axes))


def batch_shardings(mesh: Mesh, keys_2d: Iterable[str], keys_1d: Iterable[str],
                    members: bool = False) -> dict[str, NamedSharding]:
  """Shardings of a batch's [B, T] and [B] arrays; of a population's, with a
  leading axis of members."""
  first = ('population', 'batch') if members else ('batch',)
  return ({k: named_sharding(mesh, (*first, 'length')) for k in keys_2d}
          | {k: named_sharding(mesh, first) for k in keys_1d})


def population_sharding(lone: Any) -> Any:
  """A tree of a lone run's shardings, with a leading axis of members."""
  return jax.tree.map(lambda s: NamedSharding(
      s.mesh, P(RULES['population'], *s.spec)), lone)


def vmap_members(function: Callable, in_axes: Any = 0) -> Callable:
  """`function` of every member of a population, each on its devices."""
  return jax.vmap(function, in_axes=in_axes,
                  spmd_axis_name=RULES['population'])


def mesh_in_use() -> Mesh | None:
  """The mesh that programs run on (jax.set_mesh), None without one."""
  mesh = jax.sharding.get_mesh()
  return None if mesh.empty else mesh


def platform() -> str:
  """Of the devices that a program is made for: 'cpu', 'gpu' or 'tpu'. Those of
  the mesh in use, which may be another machine's; without one, JAX's own."""
  device = getattr(jax.sharding.get_abstract_mesh(), 'abstract_device', None)
  return getattr(device, 'platform', None) or jax.default_backend()


def on_each_device(function: Callable, inputs: Sequence[Sequence[str]],
                   output: Sequence[str]) -> Callable:
  """`function` of each device's parts of its arguments, which have these
  logical axes, to its part of the result; itself without a mesh."""
  if jax.sharding.get_abstract_mesh().empty:
    return function
  return jax.shard_map(
      function, in_specs=tuple(map(partition_spec, inputs)),
      out_specs=partition_spec(output), check_vma=False)


def shards(*axes: str) -> int:
  """Into how many parts, of as many devices, the mesh in use cuts an array with
  these logical axes; 1 without a mesh."""
  sizes = jax.sharding.get_abstract_mesh().shape
  return math.prod(sizes.get(a, 1) for axis in axes for a in RULES[axis])


def constrain(x: jax.Array, *axes) -> jax.Array:
  """Shards an activation by its logical axes; identity without a mesh."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return x
  if AxisType.Explicit in mesh.axis_types:
    return jax.sharding.reshard(x, partition_spec(axes))
  return jax.lax.with_sharding_constraint(x, partition_spec(axes))


def all_gather_weight(w: jax.Array, axes: Sequence[str | None]) -> jax.Array:
  """A weight gathered over fsdp just before use, still sharded over tensor."""
  return constrain(w, *(None if a == 'embed' else a for a in axes))
