"""Reads a run folder: config, data, model and parameters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from physics_lm import checkpoint, mixture, run_dir
from physics_lm.config import plain_config, retyped, with_defaults
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model import adapters, decoder, sharding
from physics_lm.model.config import (
  ModelConfig,
  eval_config,
  has_head,
  model_config,
)


class RestoredRun(NamedTuple):
  """A run that can be evaluated, decoded from or exported."""

  config: ConfigDict
  data: mixture.Mixture
  cfg: ModelConfig
  params: Any
  step: int


def run_config(folder: Path) -> ConfigDict:
  """The config of a run folder. Raises BadInput when another program wrote
  it."""
  return config_from_plain(
      run_dir.read_json(Path(folder) / 'config.json'), folder)


def config_from_plain(stored: dict, folder: Path | str = 'a foreign folder'
                      ) -> ConfigDict:
  """The config of a config.json's plain dict. Raises BadInput."""
  known = default.get_config()
  stored = with_defaults(stored, f'{folder}/config.json')
  foreign = sorted(set(plain_config(known)) - set(stored)) or [
      f'{part}.{key}' for part in ('seed', 'data', 'model', 'adapter', 'optim')
      for key in known[part] if key not in stored[part]]
  if foreign:
    raise BadInput(f'{folder}/config.json lacks {", ".join(foreign)}: not '
                   'a run of this code')
  return retyped(ConfigDict(stored), known)


def load_run(folder: Path, mesh: jax.sharding.Mesh | None = None
             ) -> RestoredRun:
  """The newest checkpoint of a run, on one local device or over a mesh,
  whatever mesh it was trained on, with the capacity of experts in evaluation.
  Raises BadInput when there is none, or it is damaged."""
  c = run_config(folder)
  data = load_mixture(c)
  cfg = eval_config(c, model_config(c, len(data.vocab)))
  return RestoredRun(
      c, data, cfg, *load_parameters(Path(folder), abstract_params(cfg, mesh)))


def load_parameters(folder: Path, like: Any) -> tuple[dict, int]:
  """(parameters, step) of a run's newest checkpoint, on the shardings of the
  abstract tree; an adapter merged into what it adapts. A head that only the
  tree has is zeros; one that only the run has is left out. Raises BadInput."""
  c = run_config(folder)
  if not c.steps:  # only evaluated: the parameters are those it started from
    return load_parameters(_parent_of(folder, c), like)[0], 0
  if c.adapter.kind == 'none':
    return _own_parameters(folder, like, has_head(c))
  vocab = run_dir.read_vocab(folder)
  cfg = model_config(c, vocab['size'])
  base, _ = load_parameters(_parent_of(folder, c), like)
  adapter, step = checkpoint.load_params(folder, abstract_on_one_device(
      lambda: adapters.init_adapter(c.adapter, cfg, jax.random.key(0))))
  merged = jax.jit(lambda p, a: adapters.merge_adapter(p, a, c.adapter, cfg))(
      base, jax.device_get(adapter))
  return put_on_shardings(merged, like), step


def _own_parameters(folder: Path, like: Any, head: bool) -> tuple[dict, int]:
  """As load_parameters, of a run without an adapter, with a head or without."""
  wanted, table = like['ends'].get('reward'), like['ends']['embedding']
  ends = {k: v for k, v in like['ends'].items() if k != 'reward'}
  if head:
    ends['reward'] = wanted if wanted is not None else jax.ShapeDtypeStruct(
        table.shape[-1:], table.dtype,
        sharding=jax.sharding.SingleDeviceSharding(jax.local_devices()[0]))
  params, step = checkpoint.load_params(folder, like | {'ends': ends})
  if head and wanted is None:
    del params['ends']['reward']
  elif wanted is not None and not head:
    params['ends']['reward'] = jax.device_put(
        np.zeros(wanted.shape, wanted.dtype), wanted.sharding)
  return params, step


def _parent_of(folder: Path, config: ConfigDict) -> Path:
  """The run whose parameters a run adapts or only evaluates. Raises BadInput
  when it is missing, or its model is another."""
  parent = run_dir.find_parent(folder)
  run_dir.check_model_of(parent, plain_config(config), f'the parent {parent}')
  return parent


def put_on_shardings(params: dict, like: Any) -> dict:
  """The parameters on the shardings of the abstract tree; those that it lacks
  stay where they are."""
  return {part: {k: jax.device_put(v, like[part][k].sharding)
                 if k in like[part] else v for k, v in own.items()}
          for part, own in params.items()}


def abstract_params(cfg: ModelConfig, mesh: jax.sharding.Mesh | None = None
                    ) -> dict:
  """Shapes of the parameters, on the first device or over a mesh."""
  like = abstract_on_one_device(lambda: decoder.init(cfg, jax.random.key(0)))
  if mesh is None:
    return like
  return jax.tree.map(
      lambda x, axes: jax.ShapeDtypeStruct(
          x.shape, x.dtype, sharding=sharding.named_sharding(mesh, axes)),
      like, decoder.logical_axes(cfg))


def abstract_on_one_device(make: Callable[[], Any]) -> Any:
  """Shapes of what make() would return, on the first device."""
  here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here),
      jax.eval_shape(make))
