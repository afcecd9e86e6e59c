"""Memory that is kept is not faulted in again."""

import subprocess
import sys
from pathlib import Path

import pytest

from physics_lm import host_tuning

CODE = '''
import resource, sys
import numpy as np
from physics_lm import host_tuning
if {keep}:
  assert host_tuning.keep_memory() and host_tuning.keep_memory()
def faults():
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(2**22).sum()  # 32 MB
before = faults()
for _ in range(10):
  np.ones(2**22).sum()
print(faults() - before)
'''


@pytest.mark.skipif(not host_tuning.keep_memory(), reason='no glibc')
def test_keep_memory_keeps_freed_memory():
  """Ten arrays of 16 pages of 2 MB, or more and smaller ones, as NumPy is given
  them: all new, or none."""

  def run(keep):
    return int(subprocess.run(
        [sys.executable, '-c', CODE.format(keep=keep)], check=True,
        capture_output=True, text=True,
        cwd=Path(__file__).parents[1]).stdout)

  assert run(True) < 20 < 150 < run(False)
