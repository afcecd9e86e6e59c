"""A run folder opened again: config, data, shape and parameters."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from configs import default
from physics_lm import adapters, checkpoint, model, rows, shape, store
from physics_lm.errors import BadInput


class Trained(NamedTuple):
  """What can be asked, decoded or carried elsewhere."""

  config: ConfigDict
  data: rows.Data
  cfg: shape.Shape
  params: Any
  step: int


def config(folder: Path) -> ConfigDict:
  """The config of a run folder. Raises BadInput when it is not this code's."""
  return of_plain(store.read_json(Path(folder) / 'config.json'), folder)


def of_plain(stored: dict, folder='a foreign folder') -> ConfigDict:
  """The config that was written as plain JSON. Raises BadInput."""
  known = default.get_config()
  stored = store.completed(stored)
  foreign = sorted(set(store.plain(known)) - set(stored))
  if foreign:
    raise BadInput(f'{folder}/config.json lacks {", ".join(foreign)}: not '
                   'a run of this code')
  return _retyped(ConfigDict(stored), known)


def _retyped(node: ConfigDict, like: ConfigDict) -> ConfigDict:
  """In place: None takes the type that the key has in `like` (JSON has none),
  so that it can be overridden."""
  for key in node:
    if key not in like:
      continue
    if isinstance(node[key], ConfigDict):
      _retyped(node[key], like[key])
    elif node[key] is None:
      del node[key]
      node[key] = placeholder(like.get_type(key))
  return node


def load(folder: Path) -> Trained:
  """The newest checkpoint of a run, onto one device here, whatever mesh it
  was trained on. Raises BadInput when there is none, or it is damaged."""
  c = config(folder)
  data = rows.load(c)
  cfg = shape.make(c, len(data.vocab))
  return Trained(c, data, cfg, *parameters(Path(folder), abstract(cfg)))


def parameters(folder: Path, like):
  """(parameters, step) of a run's newest checkpoint, on the shardings of the
  abstract tree; an adapter merged into what it adapts. Raises BadInput."""
  c = config(folder)
  if not c.steps:  # only evaluated: the parameters are those it started from
    return parameters(store.find_parent(folder), like)[0], 0
  if c.adapter.kind == 'none':
    return checkpoint.load_params(folder, like)
  cfg = shape.make(c, store.read_json(folder / 'meta.json')['vocab']['size'])
  base, _ = parameters(store.find_parent(folder), like)
  adapter, step = checkpoint.load_params(folder, on_one_device(
      lambda: adapters.init(c.adapter, cfg, jax.random.key(0))))
  merged = jax.jit(lambda p, a: adapters.merge(p, a, c.adapter, cfg))(
      base, jax.device_get(adapter))
  return on_shardings(merged, like), step


def on_shardings(params, like):
  """The parameters where the abstract tree says; new ones as they are."""
  return {part: {k: jax.device_put(v, like[part][k].sharding)
                 if k in like[part] else v for k, v in own.items()}
          for part, own in params.items()}


def abstract(cfg: shape.Shape):
  """Shapes of the parameters, on the first device."""
  return on_one_device(lambda: model.init(cfg, jax.random.key(0)))


def on_one_device(make):
  """Shapes of what make() would give, on the first device."""
  here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
      jax.eval_shape(make))
