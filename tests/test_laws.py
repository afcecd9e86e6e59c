"""Published function values, closed forms, units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm.model.config import model_config
from physics_lm.scaling import flops, laws

K = laws.KAPLAN


@pytest.mark.parametrize('got,wanted', [
    (laws.kaplan_n(1.5e9, **K.n), 2.303551),
    (laws.kaplan_d(2.2e10, **K.d), 2.099168),
    (laws.kaplan_c(laws.PF_DAY, **K.c), 2.574156),
    (laws.kaplan_c(laws.PF_DAY, **K.c_min), 2.658080),
    (laws.kaplan_nd(1e9, 1e10, **K.nd), 2.419652),
    (laws.p_norm(1e9, 1e10, 0, 6.4e13**0.076, 1.8e13**0.103, 0.076, 0.103,
                1 / 0.103), 2.419652),
    (laws.p_norm(1e9, 1e10, **laws.HOFFMANN, p=1),
     laws.chinchilla(1e9, 1e10, **laws.HOFFMANN)),
    (laws.size_dependent_exponent(100.0, 1000.0, 0.5, 2.0, 0.5, 0.25,
                                  0.1 / np.log(10)),
     0.5 + 2.0 / 10 / 1000**0.45),
    (laws.kaplan_nd(1e9, np.inf, **K.nd), 2.318834),
    (laws.kaplan_nd(7.08e8, 2.2e10, **K.nd), 2.421479),
    (laws.kaplan_ns(1e8, 1e4, **K.ns), 3.108227),
    (laws.kaplan_ns(1e9, 2.5e5, **K.ns), 2.373891),
    (laws.critical_batch(3.0, **K.batch), 1.1226e6),
    (laws.critical_batch(4.0, **K.batch), 2.8528e5)])
def test_kaplan_values(got, wanted):
  # As many digits as the reference prints.
  assert got == pytest.approx(wanted, rel=3e-5 if wanted > 10 else 3e-7)


def test_kaplan_derived_exponents():
  got = laws.kaplan_exponents(0.076, 0.76, 0.21)
  assert list(got.values()) == pytest.approx(
      [0.0519870, 0.684039, 0.247557, 0.068404], rel=1e-5)


def test_batch_adjustment_lies_on_the_hyperbola():
  """(S/S_min - 1)(C/C_min - 1) = 1: examples are proportional to compute."""
  S, C = 1e5, 1e19
  for B in (1e4, 1e6, 1e8):
    S_min, C_min = laws.batch_adjust(S, B, C, 3.0, **K.batch)
    assert (S / S_min - 1) * (C / C_min - 1) == pytest.approx(1)


@pytest.mark.parametrize('params,a,n,d,loss', [
    (laws.HOFFMANN, 0.4516, 3.219e10, 2.982e12, 1.9307),
    (laws.HOFFMANN_TEX, 0.4565, 4.036e10, 2.379e12, 1.9184),
    (laws.EPOCH_HUBER, 0.5139, 7.319e10, 1.312e12, 1.9739)])
def test_chinchilla_optimum(params, a, n, d, loss):
  C = np.array([5.76e23, 5.76e21])
  N, D, L = laws.chinchilla_optimal(params, C)
  assert (N[0], D[0]) == pytest.approx((n, d), rel=5e-4)
  assert L[0] == pytest.approx(loss, abs=5e-5)
  assert np.log(N[0] / N[1]) / np.log(100) == pytest.approx(a, abs=5e-5)
  np.testing.assert_allclose(
      params['alpha'] * params['A'] * N**-params['alpha'],
      params['beta'] * params['B'] * D**-params['beta'], rtol=1e-10)
  numeric = laws.chinchilla_optimal(params, C, lambda n, d: 6 * n * d)
  for x, y in zip((N, D, L), numeric):
    np.testing.assert_allclose(x, y, rtol=1e-6)  # flat at its minimum
  assert (numeric[2] <= L * (1 + 1e-12)).all()


def test_another_count_of_flops_moves_the_optimum():
  """Counting attention as well, the same budget affords a smaller model."""
  def count(n, d):
    return (6 * n + 1e4 * n**(2 / 3)) * d
  C = np.array([1e20])
  N, D, _ = laws.chinchilla_optimal(laws.EPOCH_HUBER, C, count)
  np.testing.assert_allclose(count(N, D), C, rtol=1e-9)
  assert N < laws.chinchilla_optimal(laws.EPOCH_HUBER, C)[0]


def test_laws_can_be_differentiated_in_their_parameters():
  rest = {k: v for k, v in laws.MUENNIGHOFF.items() if k != 'R_D'}
  slope = jax.grad(lambda r: laws.data_constrained(
      1e8, 1e10, 1e9, R_D=r, **rest))(15.0)
  by_hand = (laws.data_constrained(1e8, 1e10, 1e9, R_D=15.01, **rest)
             - laws.data_constrained(1e8, 1e10, 1e9, R_D=14.99, **rest)) / 0.02
  assert slope == pytest.approx(by_hand, rel=1e-3)
  r = np.array([0.2, 0.8])
  assert jax.grad(lambda u: laws.mixing(r, 1.0, u))(jnp.zeros(2)) == (
      pytest.approx(r, rel=1e-6))


def test_speedup_is_the_ratio_of_computes():
  def loss(C, k):
    return 1.6 + k * C**-0.1
  assert laws.speedup(loss(1e20, 20), loss(1e20, 25), 1.6, 0.1) == (
      pytest.approx((25 / 20)**10))


def test_data_constrained_values_and_limit():
  value = laws.data_constrained(6.34e9, 242e9, 25e9, **laws.MUENNIGHOFF)
  assert value == pytest.approx(2.2256440889984477, rel=1e-12)
  value = laws.data_constrained(8.67e9, 178e9, 25e9, **laws.MUENNIGHOFF)
  assert value == pytest.approx(2.2269634075087867, rel=1e-12)
  # Nothing repeated and a model no larger than the data want: Chinchilla.
  plain = {k: v for k, v in laws.MUENNIGHOFF.items() if k[0] != 'R'}
  assert laws.data_constrained(1e8, 25e9, 25e9, **laws.MUENNIGHOFF) == (
      pytest.approx(laws.chinchilla(1e8, 25e9, **plain), rel=1e-12))


def test_mixing_gauge():
  r = np.random.default_rng(0).dirichlet(np.ones(4), 9)
  u, shift = np.array([0.3, -1.0, 0.2, -4.0]), 0.7
  k_form = 1.5 + np.exp(-shift) * np.exp(r @ (u + shift))
  np.testing.assert_allclose(laws.mixing(r, 1.5, u), k_form, rtol=1e-12)


def test_dcpt_is_chinchilla_at_a_fixed_share():
  p = {'E': 1.7, 'A': 400., 'B': 900., 'alpha': 0.34, 'beta': 0.3}
  q = p | {'C': 0.2, 'gamma': 0.5, 'eta': 0.4, 'eps': 0.1}
  got = laws.dcpt(1e9, 1e10, 0.5, **q)
  fixed = p | {'B': 900 * 0.5**0.4, 'E': 1.7 + 0.2 / 0.6**0.5}
  assert got == pytest.approx(laws.chinchilla(1e9, 1e10, **fixed), rel=1e-12)


def test_laws_take_jax_arrays_under_jit_grad_and_vmap():
  N, D = jnp.array([1e8, 1e9]), jnp.array([1e10, 1e10])
  def f(n, d):
    return laws.data_constrained(n, d, 25e9, **laws.MUENNIGHOFF)
  with_jit = jax.jit(jax.vmap(f))(N, D)
  np.testing.assert_allclose(with_jit, f(np.array([1e8, 1e9]),
                                         np.array([1e10, 1e10])), rtol=1e-5)
  slope = jax.grad(lambda n: laws.chinchilla(n, 1e10, **laws.HOFFMANN))(1e8)
  assert float(slope) == pytest.approx(-0.34 * 406.4 * 1e8**-1.34, rel=1e-4)
  u = jnp.array([0.1, -0.2])
  assert float(jax.jit(laws.mixing)(jnp.array([0.5, 0.5]), 1.0, u)) == (
      pytest.approx(1 + np.exp(-0.05), rel=1e-6))


def test_hoffmanns_table_a4():
  table = {73: 1.026, 305: 1.102, 552: 1.084, 1100: 1.045, 1600: 1.033,
           6800: 0.994}
  assert flops.hoffmann_table_a4() == pytest.approx(table, abs=6e-4)


def test_conventions_agree_where_they_should(tiny):
  s = model_config(tiny({'model.bias': False}), 1000)
  def count(convention):
    return flops.train_per_token(s, 64, convention)
  assert count('6n')['total'] - count('6n_ne')['total'] == (
      6 * flops.parameters(s).embedding)
  # Two products of T and D_attn a layer against Kaplan's one.
  hoffmann = count('hoffmann')
  assert hoffmann['scores'] + hoffmann['values'] == (
      2 * count('6n_ne_attn')['attention'])
  detailed = count('detailed')
  matrices = sum(detailed[k] for k in ('qkv', 'attention_out', 'mlp'))
  scales = 6 * s.width * (2 * s.depth + 1)  # norms multiply no matrix
  assert matrices == count('6n_ne')['total'] - scales
  assert detailed['scores'] == hoffmann['scores'] / 2  # causal
  with pytest.raises(ValueError, match='6n_ne_attn'):
    count('7n')
