"""Fits of scaling laws, on data whose law is known."""

import operator

import numpy as np
import pytest
import threadpoolctl
from scipy.optimize import check_grad

from physics_lm.scaling import forecast, laws
from physics_lm.scaling.fitting import (
  abilities,
  approaches,
  core,
  diagnose,
  fits,
  mixture_choice,
  simple,
  solve,
)
from tests.surfaces import SURFACES, isoflop, noisy_isoflop


@pytest.fixture(scope='module')
def noisy():
  return noisy_isoflop()


@pytest.mark.parametrize('name', SURFACES)
@pytest.mark.parametrize('half_width', [2, 16])
@pytest.mark.parametrize('objective,tolerance', [
    ('squared', 1e-6), ('squared_log', 1e-6), ('huber_log', 1e-6)])
def test_chinchilla_recovers_its_parameters_without_noise(
    name, half_width, objective, tolerance):
  surface = SURFACES[name]
  _, N, D, L = isoflop(surface, half_width)
  f = fits.chinchilla(N, D, L, objective=objective)
  assert f.status == 'converged'
  # Half width x2 hardly bends the curves: the amplitudes are nearly free.
  for k, v in surface.items():
    assert f.params[k] == pytest.approx(v, rel=tolerance * (
        100 if half_width == 2 else 1)), k
  np.testing.assert_allclose(f.predict(N, D), L, rtol=1e-8)


def check_gradient(f, theta):
  """Of the objective at theta, against finite differences."""
  def value(t):
    return f.problem.value(t)[0]

  def gradient(t):
    return f.problem.value(t)[1]

  assert check_grad(value, gradient, theta, epsilon=1e-7) < (
      1e-4 * np.linalg.norm(gradient(theta)))


@pytest.mark.parametrize('objective', solve.OBJECTIVES)
@pytest.mark.parametrize('tie', [False, True])
def test_objectives_have_their_gradients(noisy, objective, tie):
  _, N, D, L = noisy
  f = fits.chinchilla(N, D, L, objective=objective, tie=tie, starts=1,
                      overestimate_cost=3.0)
  check_gradient(f, f.theta + 0.05)
  assert ('beta' in f.params) and (f.params['alpha'] == f.params['beta']) == tie


def test_chinchilla_changes_only_amplitudes_with_units(noisy):
  _, N, D, L = noisy
  a = fits.chinchilla(N, D, L)
  b = fits.chinchilla(N / 1e6, D / 1e9, L)
  for k in ('E', 'alpha', 'beta'):
    assert b.params[k] == pytest.approx(a.params[k], rel=1e-6)
  assert b.params['A'] * 1e6**a.params['alpha'] == pytest.approx(
      a.params['A'], rel=1e-5)
  assert a.objective == pytest.approx(b.objective, rel=1e-9)


def test_chinchilla_does_not_depend_on_its_starts(noisy):
  _, N, D, L = noisy
  found = [fits.chinchilla(N, D, L, seed=s) for s in range(4)]
  assert found[0].agree == found[0].starts == 12
  assert found[0].gradient_norm < 1e-6
  values = [f.objective for f in found]
  assert max(values) / min(values) - 1 < 1e-7


def test_huber_bears_outliers_that_squares_do_not(noisy):
  _, N, D, L = isoflop(SURFACES['chinchilla'], 8)
  L = L.copy()
  L[::15] *= 1.2
  robust, square = (fits.chinchilla(N, D, L, objective=o).params['alpha']
                    for o in ('huber_log', 'squared_log'))
  assert abs(robust - 0.34) < 0.01 < abs(square - 0.34)


def test_asymmetric_log_moves_the_fit_below(noisy):
  _, N, D, L = noisy
  low = fits.chinchilla(N, D, L, objective='asymmetric_log',
                        overestimate_cost=10.0)
  even = fits.chinchilla(N, D, L, objective='asymmetric_log')
  assert (low.residuals > 0).mean() < 0.35 < (even.residuals > 0).mean()
  assert even.objective == pytest.approx(
      fits.chinchilla(N, D, L).objective, rel=1e-9)


def test_status_is_degenerate_when_a_term_is_missing():
  _, N, D, _ = isoflop(SURFACES['chinchilla'], 8)
  f = fits.chinchilla(N, D, 1.7 + 300 * N**-0.3)  # D plays no part
  assert f.status in ('degenerate', 'bound')


def test_bootstrap_by_run_is_wider_when_runs_differ():
  rng = np.random.default_rng(1)
  _, N, D, L = isoflop(SURFACES['chinchilla'], 8)
  run = np.repeat(np.arange(15), 5)  # five points share each run's error
  L = L * np.exp(0.004 * rng.normal(size=15))[run]
  f = fits.chinchilla(N, D, L)
  rows, runs = (fits.bootstrap(f, 200, g, seed=2) for g in (None, run))
  widths = [np.subtract(*b.interval(operator.itemgetter('alpha'))[::-1])
            for b in (rows, runs)]
  assert widths[1] > 1.2 * widths[0]
  assert rows.failures + len(rows.params['E']) == 200
  again = fits.bootstrap(f, 20, run, seed=2).params['alpha']
  np.testing.assert_array_equal(again, fits.bootstrap(
      f, 20, run, seed=2).params['alpha'])


def test_mixing_recovers_predictions():
  rng = np.random.default_rng(0)
  r = rng.dirichlet(np.ones(3), 30)
  L = laws.mixing(r, 2.0, np.array([0.5, -0.4, -1.0]))
  f = fits.mixing(r, L)
  np.testing.assert_allclose(f.predict(r), L, rtol=1e-6)
  two = fits.mixing(r, np.stack([L, 2 * L], 1))
  np.testing.assert_allclose(two[1].predict(r), 2 * L, rtol=1e-6)
  for bad in (r[0], r * np.nan, r - 0.5 * np.array([1, -1, 0])):
    with pytest.raises(ValueError, match='shares'):
      fits.mixing(bad, L[:len(bad)])


def test_power_is_the_weighted_regression():
  x = np.array([1.0, 10.0, 100.0, 1000.0])
  y = 3 * x**0.5 * np.array([1, 1, 1, 2])
  weights = [1, 1, 1, 1e-12]
  assert fits.power(x, y, weights=weights).exponent == pytest.approx(0.5)
  p = fits.power(x, y)
  slope, level = np.polyfit(np.log(x), np.log(y), 1)
  assert (p.exponent, np.log(p.coefficient)) == pytest.approx((slope, level))


@pytest.mark.parametrize('offset', [True, 1.7])
def test_power_with_an_offset(offset):
  x = np.geomspace(1, 1e4, 12)
  y = 1.7 + 3 * x**-0.4
  p = fits.power(x, y, offset=offset)
  assert (p.offset, p.coefficient, p.exponent) == pytest.approx(
      (1.7, 3, -0.4), rel=1e-6)
  noisy = y * np.exp(1e-3 * np.random.default_rng(0).normal(size=12))
  p = fits.power(x, noisy, offset=offset)
  error = np.sqrt(p.covariance[0, 0])
  assert 1e-4 < error < 0.02 and abs(p.exponent + 0.4) < 4 * error
  with pytest.raises(ValueError, match='wanted above offset'):
    fits.power(x, y, offset=2.0)


def test_bootstrap_intervals_contain_the_truth():
  """Over data sets, each parameter lies within its bootstrap interval about
  as often as it should."""
  truth, inside = SURFACES['chinchilla'], []
  _, N, D, L = isoflop(truth, 8)
  for seed in range(20):
    noise = np.random.default_rng(seed).normal(size=len(L))
    f = fits.chinchilla(N, D, L * np.exp(0.003 * noise),
                       objective='squared_log')
    assert f.status == 'converged'
    b = fits.bootstrap(f, 100, seed=seed)
    for k in ('E', 'alpha', 'beta'):
      low, high = b.interval(operator.itemgetter(k), 0.8)
      inside.append(low < truth[k] < high)
      assert f.errors[k] == pytest.approx(b.params[k].std(ddof=1), rel=0.6)
  assert 0.6 < np.mean(inside) < 0.95  # 60 draws of 0.8


def test_bounds_are_kept_and_reported(noisy):
  _, N, D, L = noisy
  free = fits.chinchilla(N, D, L)
  wide = fits.chinchilla(N, D, L, bounds={'alpha': (0.01, None)})
  assert wide.params == free.params and wide.bounds_hit == ()
  held = fits.chinchilla(N, D, L, bounds={'alpha': (None, 0.3), 'E': (1, 2)})
  assert held.status == 'bound' and held.bounds_hit == ('alpha',)
  assert held.params['alpha'] == pytest.approx(0.3, rel=1e-5)
  assert held.objective > free.objective
  # The rest is the best for that exponent: no slope along E, A, B, beta.
  slope = held.problem.value(held.theta)[1] / held.problem.scale()
  assert np.abs(slope[[0, 1, 2, 4]]).max() < 1e-4 < abs(slope[3])
  with pytest.raises(ValueError, match='wanted some of'):
    fits.chinchilla(N, D, L, bounds={'gamma': (0.1, 1)})
  with pytest.raises(ValueError, match='positive or None'):
    fits.chinchilla(N, D, L, bounds={'alpha': (-1, 1)})


def test_bounds_reach_every_refit(noisy):
  _, N, D, L = noisy
  held = fits.chinchilla(N, D, L, bounds={'alpha': (None, 0.3)})
  assert held.gradient_norm < 1e-3  # after what the bound holds back
  for row in diagnose.trim(held, (1, 5)):
    assert row['alpha'] == pytest.approx(0.3, rel=1e-5)
  for bad in ({'alpha': (0.5, 0.1)}, {'alpha': (np.nan, 1)}, {'alpha': 0.3},
              {'alpha': (0.3,)}):
    with pytest.raises(ValueError, match='low below high'):
      fits.chinchilla(N, D, L, bounds=bad)
  with pytest.raises(ValueError, match='wanted some of'):
    fits.chinchilla(N, D, L, E=0, bounds={'E': (1, 2)})


def test_status_is_degenerate_when_rows_equal_parameters(noisy):
  pick = [0, 20, 40, 60, 74]
  f = fits.chinchilla(*(c[pick] for c in noisy[1:]))
  assert f.status == 'degenerate' and set(f.not_identified) == set(f.params)


def test_bootstrap_counts_resamples_that_cannot_be_fitted():
  """Of three runs a resample has all three in 6 of 27 draws."""
  N = np.repeat([1e8, 1e9, 1e10], 6)
  D = np.tile(np.geomspace(1e9, 1e12, 6), 3)
  L = laws.chinchilla(N, D, **SURFACES['chinchilla'])
  L *= np.exp(0.003 * np.random.default_rng(0).normal(size=18))
  b = fits.bootstrap(fits.chinchilla(N, D, L), 200, groups=N)
  assert len(b.params['E']) / 200 == pytest.approx(6 / 27, abs=0.08)
  assert b.failures == 200 - len(b.params['E'])


def test_errors_match_the_spread_over_data_sets():
  """Errors of known size, weights of 1 / variance: as over data sets."""
  _, N, D, clean = isoflop(SURFACES['chinchilla'], 8)
  rng, found, linear = np.random.default_rng(0), [], []
  size = np.where(np.arange(75) % 2, 0.001, 0.006)
  for _ in range(40):
    L = clean * np.exp(size * rng.normal(size=75))
    f = fits.chinchilla(N, D, L, objective='squared_log', weights=size**-2.)
    found.append(f.params['alpha'])
    linear.append(f.errors['alpha'])
  assert np.median(linear) == pytest.approx(np.std(found, ddof=1), rel=0.3)


def test_status_is_failed_when_a_fit_does_not_converge(noisy, monkeypatch):
  _, N, D, L = noisy
  def unrefined(problem, theta, scale):
    return theta, problem.value(theta)[0] / scale, 1.0

  monkeypatch.setattr(solve, 'refine', unrefined)
  assert fits.chinchilla(N, D, L).status == 'failed'


def test_exponent_is_not_identified_when_sizes_are_alike():
  """Sizes between 90 and 110 million: the exponent of N is noise."""
  N = np.repeat(np.linspace(9e7, 1.1e8, 5), 10)
  D = np.tile(np.geomspace(1e9, 1e11, 10), 5)
  L = laws.chinchilla(N, D, **SURFACES['chinchilla'])
  L *= np.exp(0.003 * np.random.default_rng(0).normal(size=50))
  f = fits.chinchilla(N, D, L)
  assert f.status == 'degenerate' and 'alpha' in f.not_identified
  assert 'beta' not in f.not_identified
  assert 'alpha_N' in fits.kaplan_nd(N, D, L).not_identified


def test_weights_equal_repetitions(noisy):
  _, N, D, L = noisy
  w = np.random.default_rng(0).integers(1, 4, len(L))
  a = fits.chinchilla(N, D, L, weights=w)
  b = fits.chinchilla(*(np.repeat(v, w) for v in (N, D, L)))
  assert a.objective == pytest.approx(b.objective, rel=1e-9)
  assert a.params['alpha'] == pytest.approx(b.params['alpha'], rel=1e-5)
  out = fits.chinchilla(N, D, L, weights=np.arange(75) >= 5)
  only = fits.chinchilla(N[5:], D[5:], L[5:])
  assert out.objective == pytest.approx(only.objective, rel=1e-9)
  for bad in (w[:-1], w * -1, w * 0):
    with pytest.raises(ValueError, match='weights of shape'):
      fits.chinchilla(N, D, L, weights=bad)


def test_kaplan_ns_recovers_table_3():
  p = laws.KAPLAN.ns
  N, S = (x.ravel() for x in np.meshgrid(np.geomspace(1e6, 1e9, 8),
                                         np.geomspace(1e3, 3e5, 8)))
  f = fits.kaplan_ns(N, S, laws.kaplan_ns(N, S, **p))
  assert f.status == 'converged'
  for k, v in p.items():
    assert f.params[k] == pytest.approx(v, rel=1e-5)
  np.testing.assert_allclose(f.predict(N, S), laws.kaplan_ns(N, S, **p))


def test_data_constrained_recovers_its_constants():
  """R_D from four to forty epochs, R_N from models too large for the data;
  where nothing is repeated neither is determined."""
  p = laws.MUENNIGHOFF
  U = np.repeat([1e8, 1e9], 30)
  N, epochs = (x.ravel() for x in np.meshgrid(
      np.geomspace(1e7, 1e10, 6), np.geomspace(1, 40, 5)))
  N, D = np.tile(N, 2), U * np.tile(epochs, 2)
  L = laws.data_constrained(N, D, U, **p)
  base = {k: v for k, v in p.items() if k[0] != 'R'}
  f = fits.data_constrained(N, D, U, L, base)
  assert f.status == 'converged'
  assert f.params == pytest.approx(p, rel=1e-6)
  check_gradient(f, f.theta + 0.3)
  # Without constants for unique data these are fitted first.
  V = np.repeat([1e9, 1e10, 1e11], 20)
  n, e = (x.ravel() for x in np.meshgrid(np.geomspace(1e5, 1e7, 4),
                                         np.geomspace(1, 40, 5)))
  n, d = np.tile(n, 3), V * np.tile(e, 3)
  both = fits.data_constrained(n, d, V, laws.data_constrained(n, d, V, **p))
  assert both.params['R_D'] == pytest.approx(p['R_D'], rel=1e-3)
  assert np.isnan(both.errors['E']) and 'R_N' in both.not_identified
  with pytest.raises(ValueError, match='wanted base='):
    few = np.linspace(1e8, 1.1e8, 8)  # of nearly one size
    more = np.geomspace(1e9, 1e11, 8)
    fits.data_constrained(few, more, more, 3 + 1e-3 * np.arange(8))
  endless = p | {'R_D': 1e9, 'R_N': 1e9}
  assert laws.data_constrained(1e8, 1e11, 1e10, **endless | {'R_D': 1e17}) == (
      pytest.approx(laws.data_constrained(1e8, 1e11, 1e10, **endless)))
  f = fits.data_constrained(N, D, U, laws.data_constrained(
      N, D, U, **endless), base)
  assert f.status == 'degenerate' and 'R_D' in f.not_identified
  once, small = np.full(20, 1e9), np.geomspace(1e6, 1e7, 20)
  flat = laws.data_constrained(small, once, once, **p)
  assert fits.data_constrained(small, once, once, flat,
                              base).status == 'degenerate'


def test_dcpt_predicts_and_has_the_right_gradient():
  p = {'E': 1.2, 'A': 300., 'B': 500., 'C': 0.3, 'alpha': 0.3, 'beta': 0.32,
       'gamma': 0.5, 'eta': 0.3, 'eps': 0.1}
  N, D, r = (x.ravel() for x in np.meshgrid(
      np.geomspace(5e8, 4e9, 3), np.geomspace(1e8, 1e10, 5),
      [0.0, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0]))
  L = laws.dcpt(N, D, r, **p)
  f = fits.dcpt(N, D, r, L)
  np.testing.assert_allclose(f.predict(N, D, r), L, rtol=2e-4)
  # The share that costs 3 % of the general loss: what the law is used for.
  share = np.linspace(0, 1, 1001)
  general = [laws.dcpt(1.8e9, 1e10, 1 - share, **q) for q in (f.params, p)]
  limit = 1.03 * general[1][500]
  fitted, best = (share[np.flatnonzero(loss <= limit)[-1]] for loss in general)
  assert fitted == pytest.approx(best, abs=0.005)
  check_gradient(f, f.theta + 0.02)
  with pytest.raises(ValueError, match='from 0 to 1'):
    fits.dcpt(N, D, r + 0.5, L)


@pytest.mark.parametrize('n,d,l,message', [
    (slice(74), 1, 1, 'wanted equal'), (-1.0, 1.0, 1.0, 'positive and finite'),
    (1.0, 1.0, np.nan, 'positive and finite'),
    (slice(4), slice(4), slice(4), '4 points, wanted at least 5'),
    ('constant', 1.0, 1.0, '1 distinct N')])
def test_chinchilla_refuses_bad_input(noisy, n, d, l, message):
  """Factors on N, D and L, or the rows of them that are kept."""
  columns = [
      np.full(75, 1e8) if how == 'constant' else x[how]
      if isinstance(how, slice) else x * how
      for x, how in zip(noisy[1:], (n, d, l))]
  with pytest.raises(ValueError, match=message):
    fits.chinchilla(*columns)


def test_chinchilla_fixes_E_exactly(noisy):
  _, N, D, L = noisy
  f = fits.chinchilla(N, D, L, E=1.69)
  assert f.params['E'] == 1.69 and f.fixed == {'E': 1.69}
  assert f.status == 'converged' and f.errors['E'] == 0
  bounded = fits.chinchilla(N, D, L, bounds=core.fixed_bounds(E=1.69))
  assert f.objective == pytest.approx(bounded.objective, rel=1e-6)
  for k in ('alpha', 'beta'):
    assert f.params[k] == pytest.approx(bounded.params[k], rel=1e-3)
  draws = fits.bootstrap(f, 20)
  assert (draws.params['E'] == 1.69).all() and draws.params['alpha'].std() > 0
  check_gradient(f, f.theta + 0.05)


X6 = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
SHARES = np.stack([X6 / 40, 1 - X6 / 40], 1)
# Every function that fits; rows are C, N, D, L.
FITTERS = {
    'bootstrap': lambda rows: fits.bootstrap(fits.chinchilla(*rows[1:]), 1),
    'chinchilla': lambda rows: fits.chinchilla(*rows[1:]),
    'power': lambda rows: fits.power(X6, 1 / X6),
    'power law': lambda rows: simple.power_law(X6, 1 + 1 / X6),
    'downstream': lambda rows: simple.downstream(X6, 1 - 0.9 * np.exp(-X6)),
    'diagnose': lambda rows: diagnose.diagnose(fits.chinchilla(*rows[1:])),
    'isoFLOP': lambda rows: approaches.approach2(*rows),
    'predicted losses': lambda rows: forecast.predict_losses(
        *rows[1:], 1e9, 1e10, 2),
    'accuracy curve': lambda rows: forecast.fit_accuracy_curve(
        X6 / 40, 1 / (1 + X6)),
    'saturating': lambda rows: abilities.fit_saturating(
        X6, X6[::-1], 1 / (1 + X6)),
    'accuracy power': lambda rows: abilities.accuracy_power(X6 / 40, X6 / 60),
    'quadratic': lambda rows: mixture_choice.fitted_quadratic(
        SHARES, 1 + SHARES**2),
    'best shares': lambda rows: mixture_choice.least_loss(
        np.square, np.ones(2), np.zeros(2), np.ones(2))}


@pytest.mark.parametrize('name', FITTERS)
def test_fits_use_one_thread_of_linear_algebra(name, noisy, thread_counts):
  with threadpoolctl.threadpool_limits(2, user_api='blas'):
    FITTERS[name](noisy)
  assert thread_counts and set(thread_counts) == {1}


def test_kaplan_nd_recovers_table_2():
  p = laws.KAPLAN.nd
  N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e6, 1e9, 8),
                                         np.geomspace(1e8, 2e10, 8)))
  f = fits.kaplan_nd(N, D, laws.kaplan_nd(N, D, **p))
  assert f.status == 'converged'
  for k, v in p.items():
    assert f.params[k] == pytest.approx(v, rel=1e-6 if 'alpha' in k else 1e-4)
  check_gradient(f, f.theta * 1.05)


@pytest.mark.parametrize('p', [0.3, 1.0, 4.0])
def test_p_norm_recovers_its_parameters(p):
  """p of the p-norm; at 1 it is Chinchilla's, and both fits agree."""
  truth = {'E': 0.47, 'A': 30.0, 'B': 200.0, 'alpha': 0.45, 'beta': 0.6, 'p': p}
  N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e3, 1e6, 8),
                                         np.geomspace(1e5, 1e8, 8)))
  L = laws.p_norm(N, D, **truth)
  f = fits.p_norm(N, D, L)
  assert f.status == 'converged'
  for k, v in truth.items():
    assert f.params[k] == pytest.approx(v, rel=1e-4)
  np.testing.assert_allclose(f.predict(N, D), L)
  check_gradient(f, f.theta * 1.05)
  sum_ = fits.chinchilla(N, D, L)
  if p == 1:
    assert sum_.params['E'] == pytest.approx(0.47, rel=1e-5)
  else:
    assert sum_.objective > 1e3 * f.objective
  known = fits.p_norm(N, D, L, bounds=core.fixed_bounds(E=0.47))
  assert known.params['p'] == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize('gamma', [0.08, -0.03, 0.0])
def test_size_dependent_exponent_recovers_its_parameters(gamma):
  """gamma, by which an exponent in D grows with ln N, also below zero."""
  truth = {'E': 0.47, 'K': 40.0, 'alpha': 0.2, 'beta': 0.3, 'gamma': gamma}
  if gamma > 0:
    truth |= {'K': 1e-3, 'alpha': -0.8, 'beta': -0.3}
  N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e3, 1e5, 8),
                                         np.geomspace(1e5, 1e8, 8)))
  L = laws.size_dependent_exponent(N, D, **truth)
  f = fits.size_dependent_exponent(N, D, L)
  assert f.status == 'converged'
  for k, v in truth.items():
    assert f.params[k] == pytest.approx(v, rel=1e-3, abs=1e-5)
  np.testing.assert_allclose(f.predict(N, D), L)
  assert fits.chinchilla(N, D, L).objective > 100 * f.objective


def fixed_ratio(noise=0.0):
  """N, D = 20 N and loss: Chinchilla's law along a line."""
  N = 1e7 * 10**(np.arange(12) / 4)
  D = 20 * N * np.exp(noise * np.random.default_rng(0).normal(size=12))
  return N, D, 1.8 + 480 * N**-.35 + 2100 * D**-.37


@pytest.mark.parametrize('noise', [0.0, 0.003])
def test_terms_are_not_identified_when_n_and_d_rise_together(noise):
  """Whatever the residuals: the two terms may change places."""
  f = fits.chinchilla(*fixed_ratio(noise))
  assert {'A', 'B', 'alpha', 'beta'} <= set(f.not_identified)
  assert f.status == 'degenerate' and 'alpha, beta' in f.reason
  tied = fits.chinchilla(*fixed_ratio(noise), tie=True)
  assert 'alpha' not in tied.not_identified and 'A' in tied.not_identified


def test_parameters_along_a_flat_direction_are_not_identified():
  """Two shares that are always equal, without noise: of their u only the sum
  matters; the third is determined."""
  s = np.linspace(0.05, 0.45, 12)
  r = np.stack([s, s, 1 - 2 * s], 1)
  f = fits.mixing(r, laws.mixing(r, 2.0, np.array([0.5, -0.4, -1.0])))
  assert {'u[0]', 'u[1]'} <= set(f.not_identified)
  assert 'u[2]' not in f.not_identified


@pytest.mark.parametrize('loss,status,text', [
    (lambda N, L: L, 'converged', 'the rows determine alpha, beta.'),
    (lambda N, L: 0.9 / L, 'bound', 'alpha = -'),
    (lambda N, L: 1.7 + 300 * N**-0.3, 'bound', 'beta = ')])
def test_status_comes_with_a_sentence(noisy, loss, status, text):
  _, N, D, L = noisy
  f = fits.chinchilla(N, D, loss(N, L))
  assert f.status == status and text in f.reason and f.reason[-1] in '.?'


def dcpt_rows():
  """(N, D, r) and a loss that rises with the share of the domain."""
  N, D, r = (x.ravel() for x in np.meshgrid(
      np.geomspace(5e8, 4e9, 3), np.geomspace(1e8, 1e10, 4),
      [0.0, 0.2, 0.5, 0.8, 1.0]))
  noise = np.random.default_rng(0).normal(size=len(N))
  L = 1.2 + 300 * N**-.3 + 500 * D**-.32 * (r + 0.3)**-0.3
  return N, D, r, L * np.exp(0.002 * noise)


def test_dcpt_keeps_its_parameters_positive_and_says_what_is_zero():
  """A term B r^eta / D^beta that falls with r wants a negative eta."""
  N, D, r, L = dcpt_rows()
  f = fits.dcpt(N, D, r, L, starts=6)
  assert min(f.params.values()) >= 0
  assert np.isfinite(f.predict(N, D, r)).all()
  assert f.params['eta'] < 1e-3
  assert f.status == 'bound' and 'eta = ' in f.reason
  assert 'eta' in f.not_identified
  held = fits.dcpt(N, D, r, L, starts=3, bounds={'eta': (0.1, None)})
  assert held.params['eta'] >= 0.1 * (1 - 1e-6)
  assert held.status == 'failed' or held.bounds_hit == ('eta',)


def test_zero_is_not_identified_unless_it_was_set(noisy):
  _, N, D, L = noisy
  f = fits.chinchilla(N, D, 400 * N**-0.34 + 400 * D**-0.28)
  assert 'E' in f.not_identified
  assert 'E' not in fits.chinchilla(N, D, L, E=0).not_identified


@pytest.mark.parametrize('asymptote', [False, True])
def test_power_law_in_two_variables_recovers_the_step_law(asymptote):
  N, D = (x.ravel() for x in np.meshgrid(np.geomspace(5e7, 1e9, 5),
                                         np.geomspace(2e9, 1e11, 5)))
  c = 1e-3 if asymptote else 0.0
  y = c + 1.79 * N**-0.713 * D**0.307
  f = simple.power_law(np.stack([N, D], 1), y, asymptote=asymptote)
  assert f.status == 'converged' and f.not_identified == ()
  assert f.params['k'] == pytest.approx(1.79, rel=1e-3)
  np.testing.assert_allclose(f.params['p'], [-0.713, 0.307], rtol=1e-4)
  assert f.params['c'] == pytest.approx(c, rel=1e-4)
  np.testing.assert_allclose(f.predict(np.stack([N, D], 1)), y, rtol=1e-6)
  check_gradient(f, f.theta + 0.05)
  draws = fits.bootstrap(f, 5).params
  assert draws['p'].shape == (5, 2)
  line = simple.power_law(np.stack([N, 20 * N], 1), y, asymptote=asymptote)
  assert {'p[0]', 'p[1]'} <= set(line.not_identified)
  with pytest.raises(ValueError, match='distinct values of variable 2'):
    simple.power_law(np.stack([N, 0 * D + 1], 1), y)


def test_downstream_error_is_fitted_on_the_error():
  p = {'eps': 0.85, 'k': 2.1, 'gamma': 0.9}
  L = np.linspace(2.0, 4.5, 20)
  error = laws.downstream_error(L, **p)
  f = simple.downstream(L, error)
  assert f.status == 'converged' and f.objective_name == 'squared'
  assert f.params == pytest.approx(p, rel=1e-4)
  np.testing.assert_allclose(f.predict(L), error, rtol=1e-6)
  check_gradient(f, f.theta + 0.05)
  noise = 0.01 * np.random.default_rng(0).normal(size=20)
  rough = simple.downstream(L, error + noise)
  assert rough.objective == pytest.approx(
      ((rough.predict(L) - error - noise)**2).sum(), rel=1e-9)
  assert rough.objective <= (noise**2).sum()
  with pytest.raises(ValueError, match='objective'):
    simple.downstream(L, error, objective='huber_log')
