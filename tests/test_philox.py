"""The numbers of many generators at once are NumPy's."""

import numpy as np
import pytest

from physics_lm import philox


@pytest.mark.parametrize('size', [
    1, 3, 1000, 3 << 30, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 3 << 61])
def test_numbers_are_those_of_numpys_generators(size):
  """Also where a quarter of all words is refused (3 << 30, 3 << 61)."""
  rows = np.array([*range(60), 2**40 + 1, 2**63 - 1])
  for key, count in ((0, 1), (7, 2), (2**40, 9), (3, 33)):
    wanted = [np.random.Generator(np.random.Philox(key=[key, row])).integers(
        0, size, count) for row in rows.tolist()]
    made = philox.integers(key, rows, size, count)
    assert made.dtype == np.int64 and np.array_equal(made, wanted)
