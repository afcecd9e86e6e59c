"""The first numbers of many NumPy generators at once.

A row's examples are drawn by its own generator, so that a row is a pure
function of its number. Setting a generator's key and asking it for two numbers
costs 10 microseconds of Python, more than all else about a short row. Philox is
a function of (key, counter), so the same bits of thousands of generators are a
few hundred operations on arrays. Philox4x64-10: Salmon et al. 2011, Parallel
random numbers: as easy as 1, 2, 3.
"""

import numpy as np

_MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_KEY_STEPS = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_ROUNDS = 10
_LOW = np.uint64((1 << 32) - 1)
_HALF = np.uint64(32)


def integers(key: int, rows: np.ndarray, size: int, count: int) -> np.ndarray:
  """For each of rows [R]: Generator(Philox(key=[key, row])).integers(0, size,
  count), [R, count] int64, bit for bit. `size`: 1 to 2 ** 63."""
  rows = np.asarray(rows, np.int64)
  bits = 32 if size <= 1 << 32 else 64  # of a word, as NumPy has it
  # Multiply and shift (Lemire 2019): a number is the upper half of word * size.
  # Where the lower half is in the tail that would favour some numbers, the next
  # word is taken; that may need more words than are made here.
  tail = np.uint64((1 << bits) % size)
  more = 0 if not tail else 6 if bits == 32 else 1
  words = _words(key, rows, count + more, bits)
  if bits == 32:
    product = words * np.uint64(size)
    number, rest = product >> _HALF, product & _LOW
  else:
    number, rest = _multiply(words, size)
  taken = rest >= tail
  order = taken.cumsum(1)
  row, word = np.nonzero(taken & (order <= count))
  out = np.zeros((len(rows), count), np.int64)
  out[row, order[row, word] - 1] = number[row, word]
  few = order[:, -1] < count
  for i in np.flatnonzero(few).tolist():
    own = np.random.Philox(key=[key, int(rows[i])])
    out[i] = np.random.Generator(own).integers(0, size, count)
  return out


def _words(key: int, rows: np.ndarray, count: int, bits: int) -> np.ndarray:
  """The first `count` words of each row's generator, [R, count] uint64: of 64
  bits, or of 32, the lower half of each 64 first."""
  blocks = -(-count // (256 // bits))  # of four times 64 bits
  zeros = np.zeros((len(rows), blocks), np.uint64)
  # NumPy counts up before it draws: the first counter is 1.
  c = [zeros + np.arange(1, blocks + 1, dtype=np.uint64), zeros, zeros, zeros]
  k = [np.full((1, 1), key, np.uint64), rows.astype(np.uint64)[:, None]]
  for r in range(_ROUNDS):
    if r:
      k = [x + np.uint64(step) for x, step in zip(k, _KEY_STEPS)]
    (high0, low0), (high1, low1) = (
        _multiply(x, m) for x, m in zip(c[::2], _MULTIPLIERS))
    c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
  if bits == 32:
    c = [half for x in c for half in (x & _LOW, x >> _HALF)]
  return np.stack(c, -1).reshape(len(rows), -1)[:, :count]


def _multiply(x: np.ndarray, m: int) -> tuple[np.ndarray, np.ndarray]:
  """Upper and lower 64 bits of x * m."""
  low, high = x & _LOW, x >> _HALF
  m_low, m_high = np.uint64(m & 0xFFFFFFFF), np.uint64(m >> 32)
  middle = high * m_low + (low * m_low >> _HALF)
  cross = low * m_high + (middle & _LOW)
  return high * m_high + (middle >> _HALF) + (cross >> _HALF), x * np.uint64(m)
