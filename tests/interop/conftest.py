"""Run folders to carry elsewhere: one trained, others as good as random."""

import contextlib

import jax
import pytest

from physics_lm import checkpoint, run_dir, train
from physics_lm.config import override, plain_config, run_id
from physics_lm.configs import default
from physics_lm.mixture import load_mixture
from physics_lm.model import decoder
from physics_lm.model.config import model_config
from tests.conftest import TINY


def pytest_ignore_collect(config):
  """These files are read only with `-m interop`; a library that is missing then
  is an error, not a reason to skip."""
  marks = config.option.markexpr
  return True if 'interop' not in marks or 'not interop' in marks else None


def untrained(folder, changes=None):
  """A finished run folder of a config's initial parameters."""
  config = override(default.get_config(), TINY | (changes or {}))
  data = load_mixture(config)
  cfg = model_config(config, len(data.vocab))
  params = decoder.init(cfg, jax.random.key(0))
  # Zero biases and unit scales would hide a mapping that mixes them up.
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  params = jax.tree.unflatten(tree, [
      x + 0.1 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)])
  plain = plain_config(config)
  with contextlib.closing(checkpoint.Checkpoints(folder)) as saved:
    saved.save(0, params, {'none': jax.numpy.zeros(1)},
               {'step': 0, 'run': run_id(plain)})
  run_dir.write_json(folder / 'config.json', plain)
  run_dir.write_json(folder / 'meta.json', run_dir.run_metadata(
      config, data.vocab, 'a test', jax.devices()[0], 1))
  run_dir.write_json(folder / 'done', {'steps': 0, 'seconds': 0.0})
  return folder


@pytest.fixture(scope='session')
def trained_run(tmp_path_factory):
  """A run that has memorised its few people."""
  folder = tmp_path_factory.mktemp('runs') / 'trained'
  train.run(override(default.get_config(), TINY | {
      'runtime.mesh.data': 1, 'steps': 150, 'optim.learning_rate': 1e-2,
      'model.width': 32, 'log.every': 50, 'checkpoint.every': 200}), folder)
  return folder
