"""Zipf's law over people, and the learning curves that it implies.

Of n people, number k (from 1) is drawn with probability

  p_k = k^-(1 + a) / Z,   Z = sum_k k^-(1 + a),

and all people are equally hard to learn. Worlds state a > 0 as zipf_a, and the
flatter laws with -1 < a <= 0 as skew = 1 + a (those that shorten the plateau
before facts are learnt: Zucchet et al. 2025, arXiv 2503.21676). Two learning
curves follow for a > 0.

In the data: people without an exposure. After D draws, the next one is a new
person with probability U(D) = sum_k p_k (1 - p_k)^D. While D is small compared
to 1 / p_n, the sum is an integral over p, with k(p) = (Z p)^(-1/s), s = 1 + a:

  U(D) = Z^(-1/s) / s * integral p^(-1/s) e^(-D p) dp
       = Z^(-1/s) Gamma(a/s) / s * D^(-a/(1+a)).

(Karlin 1967; for learning curves Hutter 2021, arXiv 2102.04074.) Assumption:
one exposure is enough. If m are needed, or D is counted in tokens, only the
constant changes. `data_exponent` is a / (1 + a).

In the size: people beyond the capacity. A model that stores the K most frequent
people lacks sum_{k > K} p_k = K^-a / (a Z) while K is small compared to n, and
K is proportional to the parameters N (capacity ratio: 2 bits per parameter,
Part 3.3, arXiv 2404.05405): N^-a. `size_exponent` is a. With few people it is
(K^-a - n^-a) / (a Z), which falls faster: with n = 32,768 and a = 0.5 the local
exponent is 0.6 at K = 1,000 and 1.0 at 8,000. Assumption: the model stores the
most frequent people, and the data show which they are.

The excess loss L(N, D) - E is these shares times the bits of a person, so it
has the two exponents of the quantization model (Michaud et al. 2023, arXiv
2303.13506: a quantum is a person) and of associative memories (Cabannes et al.
2024, arXiv 2310.02984: d^-a + T^-(a/(1+a)), under the same assumptions). The
best allocation of C = 6 N D is N* ~ C^(1/(2+a)). Left out: names. The loss on
the name of a person without an exposure exceeds log(1/p_k), by a factor that
grows like log D.

E is `entropy`, of the person, plus that of whatever else the world draws.

Z and the entropy are sums over the first HEAD people and integrals over the
rest; persons beyond HEAD are drawn by inverting that integral. The relative
error is below (1 + a)^2 / (24 HEAD^2) of the replaced part, so any number of
people takes no memory.
"""

import bisect
import math

import numpy as np

from physics_lm.errors import BadInput

HEAD = 1 << 12  # people whose probabilities are summed exactly


def data_exponent(a: float) -> float:
  """Exponent of the share of new people in the number of draws D."""
  return a / (1 + a)


def size_exponent(a: float) -> float:
  """Exponent of the share of people beyond capacity in the parameters N."""
  return a


class ZipfLaw:
  """The law p_k of people 1 .. n (see the module's docstring).

  Attributes:
    Z: the normalisation.
    entropy: of a draw, nats.
  """

  def __init__(self, people: int, a: float):
    if not -1 < a < math.inf:
      raise BadInput(f'the exponent of people is {1 + a}, wanted above 0')
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
    if not self.a:
      return math.log((self.n + 0.5) / x)
    return (x**-self.a - self._end) / self.a

  def _logs(self, x: float) -> float:
    """Integral of y^-(1 + a) log y from x on, to within a constant."""
    if not self.a:
      return -math.log(x)**2 / 2
    return x**-self.a * (1 + self.a * math.log(x)) / self.a**2

  def share(self, k: int | np.ndarray) -> np.ndarray:
    """p_k of k, a number or an array, from 1."""
    return np.asarray(k, np.float64)**-(1 + self.a) / self.Z

  def rank(self, u: float) -> int:
    """The person k, from 1, at quantile u in [0, 1) of the distribution."""
    mass = u * self.Z
    if mass < self._head[-1]:
      return bisect.bisect_right(self._head, mass) + 1
    rest = max(self.Z - mass, 0.0)
    k = (self.a * rest + self._end)**(-1 / self.a) if self.a else (
        (self.n + 0.5) * math.exp(-rest))
    return min(max(int(k + 0.5), HEAD + 1), self.n)

  def person(self, bits: int) -> int:
    """The person, from 0, that 64 random bits draw."""
    return self.rank((bits >> 11) * 2.0**-53) - 1

  def deviation(self) -> float:
    """Standard deviation of log(1 / p) over draws, nats, from the first 2^20
    people."""
    p = self.share(np.arange(1, min(self.n, 1 << 20) + 1))
    return float((p * (-np.log(p) - self.entropy)**2).sum())**0.5

  def beyond(self, count: int) -> float:
    """Probability of a person after the first `count`."""
    if count >= self.n:
      return 0.0
    if count >= len(self._head):
      return self._tail(count + 0.5) / self.Z
    return 1 - (self._head[count - 1] if count else 0.0) / self.Z

  def unseen(self, draws: float) -> float:
    """U(draws): the probability that the next draw is a new person."""
    near = min(self.n, 1 << 18)
    p = self.share(np.arange(1, near + 1))
    out = float((p * np.exp(draws * np.log1p(-p))).sum()) if self.n > 1 else 0.0
    if self.n > near:
      x = np.linspace(math.log(near + 0.5), math.log(self.n + 0.5), 4097)
      p = self.share(np.exp(x))
      out += float(np.trapezoid(np.exp(x) * p * np.exp(-draws * p), x))
    return out


def zipf_law(people: int, a: float, skew: float = 0.0) -> ZipfLaw | None:
  """The law p_k ~ k^-(1 + a), or ~ k^-skew; None where both are 0, uniform.
  Raises BadInput where both are set."""
  if a and skew:
    raise BadInput(f'zipf_a is {a} and skew {skew}, wanted one of them')
  if skew:
    return ZipfLaw(people, skew - 1)
  return ZipfLaw(people, a) if a else None
