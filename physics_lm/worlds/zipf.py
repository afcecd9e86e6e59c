"""Who is told of how often: a power law over people, and what it implies.

Of n people, number k (from 1) is drawn with probability

  p_k = k^-(1 + a) / Z,   Z = sum_k k^-(1 + a),   a > 0,

and everybody is equally hard to learn. Two learning curves follow.

What has not been seen. After D draws the share of draws that tell of somebody
new is U(D) = sum_k p_k (1 - p_k)^D. While D is small beside 1 / p_n, the sum
is an integral over p, where k(p) = (Z p)^(-1/s), s = 1 + a:

  U(D) = Z^(-1/s) / s * integral p^(-1/s) e^(-D p) dp
       = Z^(-1/s) Gamma(a/s) / s * D^(-a/(1+a)).

(Karlin 1967; for learning curves Hutter 2021, arXiv 2102.04074.) Assumed: one
telling is enough. If it takes m of them, or D is counted in tokens, only the
constant changes. `data_exponent` is a / (1 + a).

What has not been stored. A model with room for K people that keeps the most
frequent lacks sum_{k > K} p_k = K^-a / (a Z) while K is small beside n, and
room is proportional to parameters N (some two bits each, Part 3.3, arXiv
2404.05405): N^-a. `size_exponent` is a. Of few people it is (K^-a - n^-a) /
(a Z), which falls faster: with n = 32,768 and a = 0.5 the local exponent is 0.6
at K = 1,000 and 1.0 at 8,000. Assumed: the model spends its room where it pays,
and the data show it whom that is.

The loss above its floor is these shares times the bits of what is told of a
person, so L(N, D) - E has the two exponents of the quantization model (Michaud
et al. 2023, arXiv 2303.13506: a quantum is a person) and of associative
memories (Cabannes et al. 2024, arXiv 2310.02984: d^-a + T^-(a/(1+a)), with the
same assumptions). Spending C = 6 N D best gives N* ~ C^(1/(2+a)). Left out:
names. A model that has not seen somebody also pays for the name, more than
log(1/p_k) by a factor that grows like log D.

The floor E: `entropy`, of the person, and whatever the world draws besides.

Z and the entropy add up the first HEAD people and integrate the rest; persons
beyond are drawn by that integral's inverse. Both are off by less than
(1 + a)^2 / (24 HEAD^2) of what they replace, so any number of people takes no
memory.
"""

import bisect
import math

import numpy as np

from physics_lm.errors import BadInput

HEAD = 1 << 12


def data_exponent(a: float) -> float:
  """Of what is not seen yet in the number of draws."""
  return a / (1 + a)


def size_exponent(a: float) -> float:
  """Of what has no room in the number of parameters."""
  return a


def allocation_exponent(a: float) -> float:
  """Of the best N in C: data / (data + size)."""
  return 1 / (2 + a)


class ZipfLaw:
  """People 1 .. n by frequency."""

  def __init__(self, people: int, a: float):
    if not 0 < a < math.inf:
      raise BadInput(f'power is {a}, wanted above 0, or 0: all people alike')
    self.n, self.a, self._end = people, a, (people + 0.5)**-a
    k = np.arange(1, min(people, HEAD) + 1, dtype=np.float64)
    self._head = np.cumsum(k**-(1 + a)).tolist()
    self.Z = self._head[-1] + self._tail(len(k) + 0.5)
    logs = float((k**-(1 + a) * np.log(k)).sum())
    if people > HEAD:
      logs += self._logs(HEAD + 0.5) - self._logs(people + 0.5)
    self.entropy = math.log(self.Z) + (1 + a) * logs / self.Z  # nats

  def _tail(self, x: float) -> float:
    """Integral of y^-(1 + a) from x to n + 1/2."""
    return (x**-self.a - self._end) / self.a

  def _logs(self, x: float) -> float:
    """Integral of y^-(1 + a) log y from x on."""
    return x**-self.a * (1 + self.a * math.log(x)) / self.a**2

  def share(self, k):
    """p_k; k an array or a number, from 1."""
    return np.asarray(k, np.float64)**-(1 + self.a) / self.Z

  def rank(self, u: float) -> int:
    """The person below whom a share u < 1 of all draws lies."""
    mass = u * self.Z
    if mass < self._head[-1]:
      return bisect.bisect_right(self._head, mass) + 1
    left = self.a * max(self.Z - mass, 0.0) + self._end
    return min(max(int(left**(-1 / self.a) + 0.5), HEAD + 1), self.n)

  def person(self, bits: int) -> int:
    """Whom 64 random bits draw, from 0."""
    return self.rank((bits >> 11) * 2.0**-53) - 1

  def deviation(self) -> float:
    """Standard deviation of log(1 / p) over draws, nats; of the first 2^20
    people."""
    p = self.share(np.arange(1, min(self.n, 1 << 20) + 1))
    return float((p * (-np.log(p) - self.entropy)**2).sum())**0.5

  def beyond(self, count: int) -> float:
    """The share of draws that tell of others than the first `count`."""
    if count >= self.n:
      return 0.0
    if count >= len(self._head):
      return self._tail(count + 0.5) / self.Z
    return 1 - (self._head[count - 1] if count else 0.0) / self.Z

  def unseen(self, draws: float) -> float:
    """U(draws): the expected share of the next draw that is somebody new."""
    near = min(self.n, 1 << 18)
    p = self.share(np.arange(1, near + 1))
    out = float((p * np.exp(draws * np.log1p(-p))).sum()) if self.n > 1 else 0.0
    if self.n > near:
      x = np.linspace(math.log(near + 0.5), math.log(self.n + 0.5), 4097)
      p = self.share(np.exp(x))
      out += float(np.trapezoid(np.exp(x) * p * np.exp(-draws * p), x))
    return out


def zipf_law(people: int, a: float) -> ZipfLaw | None:
  """None for a = 0: everybody alike. Raises BadInput."""
  return ZipfLaw(people, a) if a else None
