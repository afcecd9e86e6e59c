"""Eight CPU devices and a tiny config."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from physics_lm.config import override

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ['JAX_PLATFORMS'] = 'cpu'

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update('jax_num_cpu_devices', 8)
# Many tests build the same tiny model: compile it once a session, also in the
# processes that tests start.
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:  # else the parent removes it
  os.environ['JAX_COMPILATION_CACHE_DIR'] = tempfile.mkdtemp(
      prefix='physics_lm_jit_')
  atexit.register(shutil.rmtree, os.environ['JAX_COMPILATION_CACHE_DIR'],
                  ignore_errors=True)
_CACHE = os.environ['JAX_COMPILATION_CACHE_DIR']
for key, value in (('jax_compilation_cache_dir', _CACHE),
                   ('jax_persistent_cache_min_compile_time_secs', 0.0),
                   ('jax_persistent_cache_min_entry_size_bytes', -1)):
  jax.config.update(key, value)
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'

from physics_lm.configs import default  # noqa: E402


def accepted_by_xla(flag: str) -> bool:
  """Whether XLA of this jaxlib has the flag. It ends a process that sets an
  unknown one: another process tries."""
  return not subprocess.run(
      [sys.executable, '-c', 'import jax; jax.jit(abs)(1.0)'],
      env=os.environ | {'XLA_FLAGS': flag}, capture_output=True, check=False
      ).returncode


def pytest_configure(config):
  """Compiling is most of the time of the many small tests: without XLA's
  expensive passes and its own generator of fused loops it takes a quarter as
  long. Drills, clusters and interop (chosen by a mark) compile as a user's
  training does."""
  if not config.option.markexpr.startswith(('not ', 'devices', 'experiment')):
    return
  jax.config.update('jax_disable_most_optimizations', True)
  os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] = '1'
  flag = '--xla_cpu_use_fusion_emitters=false'
  # Workers and what tests start inherit it.
  if not hasattr(config, 'workerinput') and accepted_by_xla(flag):
    os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {flag}'


TINY = {
    'worlds.bios.people': 12, 'worlds.bios.first_names': 20,
    'worlds.bios.middle_names': 20, 'worlds.bios.last_names': 20,
    'worlds.bios.years': 20, 'worlds.bios.cities': 10,
    'worlds.bios.universities': 10, 'worlds.bios.majors': 10,
    'worlds.bios.employers': 10, 'worlds.bios.templates': 5,
    'model.width': 16, 'model.depth': 2, 'model.heads': 2,
    'data.seq_len': 96, 'data.batch_size': 8, 'steps': 6,
    'optim.warmup_steps': 2,
    'log.every': 2, 'checkpoint.every': 2, 'evals.loss.num_rows': 4,
}


@pytest.fixture
def tmp_path(tmp_path):
  """A folder without others beside it: launchers take finished runs from
  there."""
  (tmp_path / 'alone').mkdir()
  return tmp_path / 'alone'


@pytest.fixture
def tiny():
  """A function: overrides -> a locked config that trains in a second."""
  return lambda changes=None: override(
      default.get_config(), TINY | (changes or {}))


@pytest.fixture
def one_device(tiny):
  """As tiny, on one device of the eight."""
  return lambda changes=None: tiny(
      {'runtime.mesh.data': 1} | (changes or {}))


@pytest.fixture
def thread_counts(monkeypatch):
  """The numbers of threads that NumPy's and SciPy's linear algebra may use, as
  found at each call that solves or minimises."""
  import numpy as np
  import threadpoolctl
  from scipy import optimize
  libraries, counts = threadpoolctl.ThreadpoolController(), []

  def counted(function):
    def call(*args, **kwargs):
      counts.extend(found['num_threads'] for found in libraries.info()
                    if found['user_api'] == 'blas')
      return function(*args, **kwargs)
    return call

  for module, names in (
      (np, ('polyfit',)),
      (np.linalg, ('cond', 'eigh', 'inv', 'lstsq', 'pinv')),
      (optimize, ('least_squares', 'minimize', 'minimize_scalar'))):
    for name in names:
      monkeypatch.setattr(module, name, counted(getattr(module, name)))
  return counts
