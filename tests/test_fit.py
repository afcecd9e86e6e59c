"""Fits on data whose law is known, and the bias of parabolas."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from physics_lm import store
from physics_lm.scaling import __main__ as scaling_main
from physics_lm.scaling import (
  approaches,
  diagnose,
  fit,
  laws,
  runs,
  solve,
)

SURFACES = {
    'symmetric': {'E': 1.69, 'A': 400.0, 'B': 400.0, 'alpha': 0.31,
                  'beta': 0.31},
    'chinchilla': {'E': 1.69, 'A': 406.4, 'B': 410.7, 'alpha': 0.34,
                   'beta': 0.28},
    'asymmetric': {'E': 1.69, 'A': 406.4, 'B': 410.7, 'alpha': 0.465,
                   'beta': 0.155}}


def isoflop(surface, half_width, budgets=5, points=15):
  """(C, N, D, L) around the optimum of each budget, without noise."""
  C = np.repeat(np.geomspace(1e17, 1e21, budgets), points)
  best, _, _ = laws.chinchilla_optimal(surface, C)
  N = best * np.tile(np.geomspace(1 / half_width, half_width, points), budgets)
  D = C / (6 * N)
  return C, N, D, laws.chinchilla(N, D, **surface)


@pytest.mark.parametrize('name', SURFACES)
@pytest.mark.parametrize('half_width', [2, 16])
@pytest.mark.parametrize('objective,tolerance', [
    ('squared', 1e-6), ('squared_log', 1e-6), ('huber_log', 1e-6)])
def test_noise_free_recovery(name, half_width, objective, tolerance):
  surface = SURFACES[name]
  _, N, D, L = isoflop(surface, half_width)
  f = fit.chinchilla(N, D, L, objective=objective)
  assert f.status == 'converged'
  # Half width x2 hardly bends the curves: the amplitudes are nearly free.
  for k, v in surface.items():
    assert f.params[k] == pytest.approx(v, rel=tolerance * (
        100 if half_width == 2 else 1)), k
  np.testing.assert_allclose(f.predict(N, D), L, rtol=1e-8)


@pytest.fixture(scope='module')
def noisy():
  rng = np.random.default_rng(0)
  C, N, D, L = isoflop(SURFACES['chinchilla'], 8)
  return C, N, D, L * np.exp(0.003 * rng.standard_t(3, len(L)))


@pytest.mark.parametrize('objective', solve.OBJECTIVES)
@pytest.mark.parametrize('tie', [False, True])
def test_gradients(noisy, objective, tie):
  _, N, D, L = noisy
  f = fit.chinchilla(N, D, L, objective=objective, tie=tie, starts=1, over=3.0)
  theta = f.theta + 0.05
  value = lambda t: f.problem.value(t)[0]
  grad = lambda t: f.problem.value(t)[1]
  size = np.linalg.norm(grad(theta))
  assert check_grad(value, grad, theta, epsilon=1e-7) < 1e-4 * size
  assert ('beta' in f.params) and (f.params['alpha'] == f.params['beta']) == tie


def test_units_change_the_amplitudes_only(noisy):
  _, N, D, L = noisy
  a = fit.chinchilla(N, D, L)
  b = fit.chinchilla(N / 1e6, D / 1e9, L)
  for k in ('E', 'alpha', 'beta'):
    assert b.params[k] == pytest.approx(a.params[k], rel=1e-6)
  assert b.params['A'] * 1e6**a.params['alpha'] == pytest.approx(
      a.params['A'], rel=1e-5)
  assert a.objective == pytest.approx(b.objective, rel=1e-9)


def test_starts_agree_and_seeds_do_not_matter(noisy):
  _, N, D, L = noisy
  fits = [fit.chinchilla(N, D, L, seed=s) for s in range(4)]
  assert fits[0].agree == fits[0].starts == 12
  assert fits[0].gradient_norm < 1e-6
  values = [f.objective for f in fits]
  assert max(values) / min(values) - 1 < 1e-7


def test_huber_bears_outliers_that_squares_do_not(noisy):
  _, N, D, L = isoflop(SURFACES['chinchilla'], 8)
  L = L.copy()
  L[::15] *= 1.2
  robust, square = (fit.chinchilla(N, D, L, objective=o).params['alpha']
                    for o in ('huber_log', 'squared_log'))
  assert abs(robust - 0.34) < 0.01 < abs(square - 0.34)


def test_asymmetry_moves_the_fit_below_or_above(noisy):
  _, N, D, L = noisy
  low = fit.chinchilla(N, D, L, objective='asymmetric_log', over=10.0)
  even = fit.chinchilla(N, D, L, objective='asymmetric_log', over=1.0)
  assert (low.residuals > 0).mean() < 0.35 < (even.residuals > 0).mean()
  assert even.objective == pytest.approx(
      fit.chinchilla(N, D, L).objective, rel=1e-9)


def test_a_missing_term_is_called_degenerate():
  _, N, D, _ = isoflop(SURFACES['chinchilla'], 8)
  f = fit.chinchilla(N, D, 1.7 + 300 * N**-0.3)  # D plays no part
  assert f.status in ('degenerate', 'bound')


def test_bootstrap_by_run_is_wider_where_runs_differ():
  rng = np.random.default_rng(1)
  _, N, D, L = isoflop(SURFACES['chinchilla'], 8)
  run = np.repeat(np.arange(15), 5)  # five points share each run's error
  L = L * np.exp(0.004 * rng.normal(size=15))[run]
  f = fit.chinchilla(N, D, L)
  width = lambda b: np.subtract(*b.interval(lambda p: p['alpha'])[::-1])
  rows, runs = (fit.bootstrap(f, 200, g, seed=2) for g in (None, run))
  assert width(runs) > 1.2 * width(rows)
  assert rows.failures + len(rows.params['E']) == 200
  again = fit.bootstrap(f, 20, run, seed=2).params['alpha']
  np.testing.assert_array_equal(again, fit.bootstrap(
      f, 20, run, seed=2).params['alpha'])


def test_mixing_recovers_predictions():
  rng = np.random.default_rng(0)
  r = rng.dirichlet(np.ones(3), 30)
  L = laws.mixing(r, 2.0, np.array([0.5, -0.4, -1.0]))
  f = fit.mixing(r, L)
  np.testing.assert_allclose(f.predict(r), L, rtol=1e-6)
  two = fit.mixing(r, np.stack([L, 2 * L], 1))
  np.testing.assert_allclose(two[1].predict(r), 2 * L, rtol=1e-6)
  for bad in (r[0], r * np.nan, r - 0.5 * np.array([1, -1, 0])):
    with pytest.raises(ValueError, match='shares'):
      fit.mixing(bad, L[:len(bad)])


def test_power_is_the_weighted_regression():
  x = np.array([1.0, 10.0, 100.0, 1000.0])
  y = 3 * x**0.5 * np.array([1, 1, 1, 2])
  weights = [1, 1, 1, 1e-12]
  assert fit.power(x, y, weights=weights).exponent == pytest.approx(0.5)
  p = fit.power(x, y)
  slope, level = np.polyfit(np.log(x), np.log(y), 1)
  assert (p.exponent, np.log(p.coefficient)) == pytest.approx((slope, level))


@pytest.mark.parametrize('offset', [True, 1.7])
def test_power_with_an_offset(offset):
  x = np.geomspace(1, 1e4, 12)
  y = 1.7 + 3 * x**-0.4
  p = fit.power(x, y, offset=offset)
  assert (p.offset, p.coefficient, p.exponent) == pytest.approx(
      (1.7, 3, -0.4), rel=1e-6)
  noisy = y * np.exp(1e-3 * np.random.default_rng(0).normal(size=12))
  p = fit.power(x, noisy, offset=offset)
  error = np.sqrt(p.covariance[0, 0])
  assert 1e-4 < error < 0.02 and abs(p.exponent + 0.4) < 4 * error
  with pytest.raises(ValueError, match='wanted above offset'):
    fit.power(x, y, offset=2.0)


def test_recovery_under_noise():
  """Over data sets, each parameter lies within its bootstrap interval about
  as often as it should."""
  truth, inside = SURFACES['chinchilla'], []
  _, N, D, L = isoflop(truth, 8)
  for seed in range(20):
    noise = np.random.default_rng(seed).normal(size=len(L))
    f = fit.chinchilla(N, D, L * np.exp(0.003 * noise),
                       objective='squared_log')
    assert f.status == 'converged'
    b = fit.bootstrap(f, 100, seed=seed)
    for k in ('E', 'alpha', 'beta'):
      low, high = b.interval(lambda p, k=k: p[k], 0.8)
      inside.append(low < truth[k] < high)
      assert f.errors[k] == pytest.approx(b.params[k].std(ddof=1), rel=0.6)
  assert 0.6 < np.mean(inside) < 0.95  # 60 draws of 0.8


def test_bounds_hold_and_are_reported(noisy):
  _, N, D, L = noisy
  free = fit.chinchilla(N, D, L)
  wide = fit.chinchilla(N, D, L, bounds={'alpha': (0.01, None)})
  assert wide.params == free.params and wide.bounds_hit == ()
  held = fit.chinchilla(N, D, L, bounds={'alpha': (None, 0.3), 'E': (1, 2)})
  assert held.status == 'bound' and held.bounds_hit == ('alpha',)
  assert held.params['alpha'] == pytest.approx(0.3, rel=1e-5)
  assert held.objective > free.objective
  # The rest is the best for that exponent: no slope along E, A, B, beta.
  slope = held.problem.value(held.theta)[1] / held.problem.scale()
  assert np.abs(slope[[0, 1, 2, 4]]).max() < 1e-4 < abs(slope[3])
  with pytest.raises(ValueError, match='wanted some of'):
    fit.chinchilla(N, D, L, bounds={'gamma': (0.1, 1)})
  with pytest.raises(ValueError, match='positive or None'):
    fit.chinchilla(N, D, L, bounds={'alpha': (-1, 1)})


def test_bounds_reach_every_refit(noisy):
  _, N, D, L = noisy
  held = fit.chinchilla(N, D, L, bounds={'alpha': (None, 0.3)})
  assert held.gradient_norm < 1e-3  # after what the bound holds back
  for row in diagnose.trim(held, (1, 5)):
    assert row['alpha'] == pytest.approx(0.3, rel=1e-5)
  for bad in ({'alpha': (0.5, 0.1)}, {'alpha': (np.nan, 1)}, {'alpha': 0.3},
              {'alpha': (0.3,)}):
    with pytest.raises(ValueError, match='low below high'):
      fit.chinchilla(N, D, L, bounds=bad)
  with pytest.raises(ValueError, match='wanted some of'):
    fit.chinchilla(N, D, L, asymptote=False, bounds={'E': (1, 2)})


def test_as_many_rows_as_parameters_determine_nothing(noisy):
  pick = [0, 20, 40, 60, 74]
  f = fit.chinchilla(*(c[pick] for c in noisy[1:]))
  assert f.status == 'degenerate' and set(f.loose) == set(f.params)


def test_resamples_that_cannot_be_fitted_do_not_count():
  """Of three runs a resample has all three in 6 of 27 draws."""
  N = np.repeat([1e8, 1e9, 1e10], 6)
  D = np.tile(np.geomspace(1e9, 1e12, 6), 3)
  L = laws.chinchilla(N, D, **SURFACES['chinchilla'])
  L *= np.exp(0.003 * np.random.default_rng(0).normal(size=18))
  b = fit.bootstrap(fit.chinchilla(N, D, L), 200, groups=N)
  assert len(b.params['E']) / 200 == pytest.approx(6 / 27, abs=0.08)
  assert b.failures == 200 - len(b.params['E'])


def test_standard_errors_of_weighted_rows():
  """Errors of known size, weights of 1 / variance: as over data sets."""
  _, N, D, clean = isoflop(SURFACES['chinchilla'], 8)
  rng, found, told = np.random.default_rng(0), [], []
  size = np.where(np.arange(75) % 2, 0.001, 0.006)
  for _ in range(40):
    L = clean * np.exp(size * rng.normal(size=75))
    f = fit.chinchilla(N, D, L, objective='squared_log', weights=size**-2.)
    found.append(f.params['alpha'])
    told.append(f.errors['alpha'])
  assert np.median(told) == pytest.approx(np.std(found, ddof=1), rel=0.3)


def test_a_fit_that_does_not_converge_says_so(noisy, monkeypatch):
  _, N, D, L = noisy
  monkeypatch.setattr(solve, 'refine', lambda problem, theta, scale: (
      theta, problem.value(theta)[0] / scale, 1.0))
  assert fit.chinchilla(N, D, L).status == 'failed'


def test_models_of_one_width_are_flagged():
  """Sizes between 90 and 110 million: the exponent of N is noise."""
  N = np.repeat(np.linspace(9e7, 1.1e8, 5), 10)
  D = np.tile(np.geomspace(1e9, 1e11, 10), 5)
  L = laws.chinchilla(N, D, **SURFACES['chinchilla'])
  L *= np.exp(0.003 * np.random.default_rng(0).normal(size=50))
  f = fit.chinchilla(N, D, L)
  assert f.status == 'degenerate' and 'alpha' in f.loose
  assert 'beta' not in f.loose
  assert 'alpha_N' in fit.kaplan_nd(N, D, L).loose


def test_weights_are_repetitions(noisy):
  _, N, D, L = noisy
  w = np.random.default_rng(0).integers(1, 4, len(L))
  a = fit.chinchilla(N, D, L, weights=w)
  b = fit.chinchilla(*(np.repeat(v, w) for v in (N, D, L)))
  assert a.objective == pytest.approx(b.objective, rel=1e-9)
  assert a.params['alpha'] == pytest.approx(b.params['alpha'], rel=1e-5)
  out = fit.chinchilla(N, D, L, weights=np.arange(75) >= 5)
  only = fit.chinchilla(N[5:], D[5:], L[5:])
  assert out.objective == pytest.approx(only.objective, rel=1e-9)
  for bad in (w[:-1], w * -1, w * 0):
    with pytest.raises(ValueError, match='weights of shape'):
      fit.chinchilla(N, D, L, weights=bad)


def test_kaplan_table_3_is_recovered():
  p = laws.KAPLAN.ns
  N, S = (x.ravel() for x in np.meshgrid(np.geomspace(1e6, 1e9, 8),
                                         np.geomspace(1e3, 3e5, 8)))
  f = fit.kaplan_ns(N, S, laws.kaplan_ns(N, S, **p))
  assert f.status == 'converged'
  for k, v in p.items():
    assert f.params[k] == pytest.approx(v, rel=1e-5)
  np.testing.assert_allclose(f.predict(N, S), laws.kaplan_ns(N, S, **p))


def test_repeated_data_constants_are_recovered():
  """R_D from four to forty epochs, R_N from models too large for the data;
  where nothing is repeated there is nothing to see."""
  p = laws.MUENNIGHOFF
  U = np.repeat([1e8, 1e9], 30)
  N, epochs = (x.ravel() for x in np.meshgrid(
      np.geomspace(1e7, 1e10, 6), np.geomspace(1, 40, 5)))
  N, D = np.tile(N, 2), U * np.tile(epochs, 2)
  L = laws.data_constrained(N, D, U, **p)
  base = {k: v for k, v in p.items() if k[0] != 'R'}
  f = fit.data_constrained(N, D, U, L, base)
  assert f.status == 'converged'
  assert f.params == pytest.approx(p, rel=1e-6)
  value = lambda t: f.problem.value(t)[0]
  grad = lambda t: f.problem.value(t)[1]
  theta = f.theta + 0.3
  assert check_grad(value, grad, theta, epsilon=1e-7) < (
      1e-4 * np.linalg.norm(grad(theta)))
  # Without constants for unique data: these from the rows seen once, first.
  V = np.repeat([1e9, 1e10, 1e11], 20)
  n, e = (x.ravel() for x in np.meshgrid(np.geomspace(1e5, 1e7, 4),
                                         np.geomspace(1, 40, 5)))
  n, d = np.tile(n, 3), V * np.tile(e, 3)
  whole = fit.data_constrained(n, d, V, laws.data_constrained(n, d, V, **p))
  assert whole.params['R_D'] == pytest.approx(p['R_D'], rel=1e-3)
  assert np.isnan(whole.errors['E']) and 'R_N' in whole.loose
  with pytest.raises(ValueError, match='wanted base='):
    few = np.linspace(1e8, 1.1e8, 8)  # of nearly one size
    more = np.geomspace(1e9, 1e11, 8)
    fit.data_constrained(few, more, more, 3 + 1e-3 * np.arange(8))
  endless = p | {'R_D': 1e9, 'R_N': 1e9}
  assert laws.data_constrained(1e8, 1e11, 1e10, **endless | {'R_D': 1e17}) == (
      pytest.approx(laws.data_constrained(1e8, 1e11, 1e10, **endless)))
  f = fit.data_constrained(N, D, U, laws.data_constrained(
      N, D, U, **endless), base)
  assert f.status == 'degenerate' and 'R_D' in f.loose
  once, small = np.full(20, 1e9), np.geomspace(1e6, 1e7, 20)
  flat = laws.data_constrained(small, once, once, **p)
  assert fit.data_constrained(small, once, once, flat,
                              base).status == 'degenerate'


def test_dcpt_predicts_and_has_the_right_gradient():
  p = {'E': 1.2, 'A': 300., 'B': 500., 'C': 0.3, 'alpha': 0.3, 'beta': 0.32,
       'gamma': 0.5, 'eta': 0.3, 'eps': 0.1}
  N, D, r = (x.ravel() for x in np.meshgrid(
      np.geomspace(5e8, 4e9, 3), np.geomspace(1e8, 1e10, 5),
      [0.0, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0]))
  L = laws.dcpt(N, D, r, **p)
  f = fit.dcpt(N, D, r, L)
  np.testing.assert_allclose(f.predict(N, D, r), L, rtol=2e-4)
  # The share that costs 3 % of the general loss: what the law is used for.
  share = np.linspace(0, 1, 1001)
  cost = lambda params: laws.dcpt(1.8e9, 1e10, 1 - share, **params)
  limit = 1.03 * cost(p)[500]
  best = lambda params: share[np.flatnonzero(cost(params) <= limit)[-1]]
  assert best(f.params) == pytest.approx(best(p), abs=0.005)
  value = lambda t: f.problem.value(t)[0]
  grad = lambda t: f.problem.value(t)[1]
  theta = f.theta + 0.02
  assert check_grad(value, grad, theta, epsilon=1e-7) < (
      1e-4 * np.linalg.norm(grad(theta)))
  with pytest.raises(ValueError, match='from 0 to 1'):
    fit.dcpt(N, D, r + 0.5, L)


@pytest.mark.parametrize('change,message', [
    (lambda n, d, l: (n[:-1], d, l), 'wanted equal'),
    (lambda n, d, l: (n * -1, d, l), 'positive and finite'),
    (lambda n, d, l: (n, d, np.where(l > 3, np.nan, l)), 'positive and finite'),
    (lambda n, d, l: (n[:4], d[:4], l[:4]), '4 points, wanted at least 5'),
    (lambda n, d, l: (n * 0 + 1e8, d, l), '1 distinct N')])
def test_bad_input(noisy, change, message):
  _, N, D, L = noisy
  with pytest.raises(ValueError, match=message):
    fit.chinchilla(*change(N, D, L))


# Approaches 1 and 2.


# Percent error of D* at 1e24 FLOP that parabolas make on noise-free isoFLOP
# curves of half widths x2, x4, x8, x16 (arXiv 2603.22339, synthetic tables):
# grids centred on the optimum, centred at 3 times D*, and drifting from D* to
# 3 times D* over the budgets.
BIAS = {
    ('symmetric', 'centred'): (0, 0, 0, 0),
    ('chinchilla', 'centred'): (-0.326938, -1.301125, -2.902905, -5.100245),
    ('asymmetric', 'centred'): (-1.674748, -6.497779, -13.910419, -23.116308),
    ('symmetric', 'offset'): (3.974244, 3.471818, 2.645165, 1.509792),
    ('chinchilla', 'offset'): (7.110119, 5.690942, 3.376108, 0.237881),
    ('asymmetric', 'offset'): (19.221180, 14.413662, 6.959366, -2.424573),
    ('symmetric', 'drift'): (6.070972, 5.171168, 3.697903, 1.689067),
    ('chinchilla', 'drift'): (11.614254, 9.831637, 6.939059, 3.047598),
    ('asymmetric', 'drift'): (34.574619, 30.038434, 22.968689, 13.996977)}


@pytest.mark.parametrize('name,grid', BIAS)
def test_published_bias_of_parabolas(name, grid):
  surface = SURFACES[name]
  _, truth, _ = laws.chinchilla_optimal(surface, 1e24)
  centre = {'centred': np.ones(5), 'offset': np.full(5, 3.0),
            'drift': np.geomspace(1, 3, 5)}[grid]
  for half_width, percent in zip((2, 4, 8, 16), BIAS[name, grid]):
    C, N, D, _ = isoflop(surface, half_width)
    N, D = N / np.repeat(centre, 15), D * np.repeat(centre, 15)
    r = approaches.approach2(C, N, D, laws.chinchilla(N, D, **surface))
    D_star = np.exp(r.d_intercept + r.b * np.log(1e24))
    assert 100 * (D_star / truth - 1) == pytest.approx(percent, abs=1e-4)
    if grid != 'drift':
      assert r.a == pytest.approx(
          surface['beta'] / (surface['alpha'] + surface['beta']), abs=1e-6)


def test_bias_in_closed_form_and_predicted():
  w = np.linspace(-np.log10(16), np.log10(16), 15)
  assert 100 * approaches.parabola_bias(0.34, 0.28, w) == pytest.approx(
      5.3743, abs=1e-4)
  assert 100 * approaches.parabola_bias(0.465, 0.155, w) == pytest.approx(
      30.0666, abs=1e-4)
  assert approaches.parabola_bias(0.31, 0.31, w) == pytest.approx(0, abs=1e-9)
  surface = SURFACES['chinchilla']
  C, N, D, L = isoflop(surface, 16)
  known = fit.chinchilla(N, D, L)
  r = approaches.approach2(C, N, D, L, method='surface', surface=known)
  p = approaches.approach2(C, N, D, L)
  told = approaches.approach2(C, N, D, L, surface=known)
  for b, q, t in zip(r.budgets, p.budgets, told.budgets):
    assert b.bias == pytest.approx(q.N / b.N - 1, rel=1e-3)
    assert t.bias == b.bias and t.N == q.N


@pytest.mark.parametrize('method', ['parabola', 'akima', 'surface'])
def test_approach2_finds_the_frontier(method):
  C, N, D, L = isoflop(SURFACES['chinchilla'], 4)
  r = approaches.approach2(C, N, D, L, method=method)
  assert r.a == pytest.approx(0.4516, abs=2e-3)
  assert r.a + r.b == pytest.approx(1, abs=2e-3)
  assert [b.status for b in r.budgets] == ['ok'] * 5


def test_budgets_keep_a_status_and_a_reason():
  C, N, D, L = isoflop(SURFACES['chinchilla'], 4)
  one_sided = (C == C.min()) & (N > np.median(N[C == C.min()]) * 2)
  keep = (C != C.min()) | one_sided
  upside = np.where(C == C.max(), 2 * L.mean() - L, L)
  r = approaches.approach2(C[keep], N[keep], D[keep], upside[keep])
  assert r.budgets[0].status != 'ok' and r.budgets[0].reason
  assert r.budgets[-1].status == 'dropped'
  assert 'downward' in r.budgets[-1].reason
  with pytest.raises(ValueError, match='0 of 5 budgets'):
    approaches.approach2(C, N, D, 2 * L.mean() - L)


def test_vertices_have_errors_and_sides():
  """The error of log N* by linearisation is its spread over noisy draws."""
  C, N, D, clean = isoflop(SURFACES['chinchilla'], 4)
  rng, found = np.random.default_rng(0), []
  for _ in range(60):
    L = clean + 0.004 * rng.normal(size=len(clean))
    found.append(approaches.approach2(C, N, D, L).budgets)
  for k in range(5):
    spread = np.std([np.log(b[k].N) for b in found], ddof=1)
    told = np.median([b[k].spread for b in found])
    assert told == pytest.approx(spread, rel=0.4)
    assert all(b[k].left + b[k].right == 15 for b in found)
    curve = np.array([b[k].curvature for b in found])
    assert np.median([b[k].curvature_error for b in found]) == pytest.approx(
        curve.std(ddof=1), rel=0.4)


def test_budgets_bear_rounding_and_reasons_are_not_repeated(noisy):
  C, N, D, L = noisy
  jitter = C * (1 + 1e-9 * np.random.default_rng(0).normal(size=75))
  a, b = (approaches.approach2(c, N, D, L) for c in (C, jitter))
  assert len(b.budgets) == 5 and b.a == pytest.approx(a.a, rel=1e-6)
  with pytest.raises(ValueError, match='75 x 1 sizes') as e:
    approaches.approach2(np.geomspace(1, 10, 75), N, D, L)
  assert len(str(e.value)) < 200


def test_akima_under_noise_weighs_budgets():
  C, N, D, L = isoflop(SURFACES['chinchilla'], 8)
  r = approaches.approach2(C, N, D, L, 'akima', noise=0.002, draws=100)
  assert all(0 < b.spread < 1 for b in r.budgets)
  weighted = fit.power([b.C for b in r.budgets], [b.N for b in r.budgets],
                       weights=[b.spread**-2 for b in r.budgets])
  assert r.a == pytest.approx(weighted.exponent, rel=1e-9)
  assert r.a == pytest.approx(0.4516, abs=0.03)
  again = approaches.approach2(C, N, D, L, 'akima', noise=0.002, draws=100)
  assert again == r
  # A curve that only rises has no minimum, noise or no noise.
  flat = np.where(C == C.min(), L.mean(), L)
  flat = flat * (1 + 1e-3 * (C == C.min()) * (N / N.max()))
  r = approaches.approach2(C, N, D, flat, 'akima', noise=1e-9, draws=50)
  assert r.budgets[0].status == 'dropped' and 'noisy' in r.budgets[0].reason


def test_approaches_side_by_side(noisy):
  C, N, D, L = noisy
  f = fit.chinchilla(N, D, L)
  rows = {r.approach: r for r in approaches.side_by_side(
      f, 1e21, run=np.arange(75) % 15, budget=C)}
  assert len(rows) == 6
  for r in rows.values():
    if r.approach.startswith(('3', '2')):
      assert r.a == pytest.approx(0.4516, abs=0.04), r
      assert r.a + r.b == pytest.approx(1, abs=0.01)
  assert 'predicted bias of N* +' in rows['2: isoFLOP, parabola'].note
  alone = approaches.side_by_side(f, 1e21, budget=np.arange(1, 76.0))
  assert np.isnan(alone[1].a) and '0 of 75 budgets' in alone[1].note


@pytest.mark.parametrize('method', ['hull', 'grid'])
def test_approach1_on_training_curves(method):
  """Runs of 25 sizes, points along each: the envelope's exponents."""
  surface = SURFACES['chinchilla']
  sizes = np.geomspace(1e6, 1e9, 25)
  N = np.repeat(sizes, 60)
  D = np.tile(np.geomspace(1e7, 1e12, 60), 25)
  L = laws.chinchilla(N, D, **surface)
  run = np.repeat(np.arange(25), 60)
  inner = (6 * N * D > 1e16) & (6 * N * D < 1e20)
  r = approaches.approach1(*(v[inner] for v in (6 * N * D, N, D, L, run)),
                           method=method)
  assert r.a == pytest.approx(0.4516, abs=0.03)
  assert r.a + r.b == pytest.approx(1, abs=0.01)
  # On the grid a leading run may end before the next one overtakes it.
  falls = (np.diff(r.points[:, 3]) < 0).mean()
  assert falls == 1 if method == 'hull' else falls > 0.95
  with pytest.raises(ValueError, match='of one N'):
    approaches.approach1(6 * N[:60] * D[:60], N[:60], D[:60], L[:60], run[:60])


def test_kaplan_table_2_is_recovered():
  p = laws.KAPLAN.nd
  N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e6, 1e9, 8),
                                         np.geomspace(1e8, 2e10, 8)))
  f = fit.kaplan_nd(N, D, laws.kaplan_nd(N, D, **p))
  assert f.status == 'converged'
  for k, v in p.items():
    assert f.params[k] == pytest.approx(v, rel=1e-6 if 'alpha' in k else 1e-4)
  value = lambda t: f.problem.value(t)[0]
  grad = lambda t: f.problem.value(t)[1]
  theta = f.theta * 1.05
  assert check_grad(value, grad, theta, epsilon=1e-7) < (
      1e-4 * np.linalg.norm(grad(theta)))


@pytest.mark.parametrize('p', [0.3, 1.0, 4.0])
def test_how_two_limits_meet_is_recovered(p):
  """p of the p-norm; at 1 it is Chinchilla's, and both fits agree."""
  truth = {'E': 0.47, 'A': 30.0, 'B': 200.0, 'alpha': 0.45, 'beta': 0.6, 'p': p}
  N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e3, 1e6, 8),
                                         np.geomspace(1e5, 1e8, 8)))
  L = laws.p_norm(N, D, **truth)
  f = fit.p_norm(N, D, L)
  assert f.status == 'converged'
  for k, v in truth.items():
    assert f.params[k] == pytest.approx(v, rel=1e-4)
  np.testing.assert_allclose(f.predict(N, D), L)
  theta = f.theta * 1.05
  grad = f.problem.value(theta)[1]
  assert check_grad(lambda t: f.problem.value(t)[0],
                    lambda t: f.problem.value(t)[1], theta, epsilon=1e-7) < (
                        1e-4 * np.linalg.norm(grad))
  sum_ = fit.chinchilla(N, D, L)
  if p == 1:
    assert sum_.params['E'] == pytest.approx(0.47, rel=1e-5)
  else:
    assert sum_.objective > 1e3 * f.objective
  given = fit.p_norm(N, D, L, bounds=fit.held(E=0.47))
  assert given.params['p'] == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize('gamma', [0.08, -0.03, 0.0])
def test_crossed_recovers_its_truth(gamma):
  """gamma, by which an exponent in D grows with ln N, also below zero."""
  truth = {'E': 0.47, 'K': 40.0, 'alpha': 0.2, 'beta': 0.3, 'gamma': gamma}
  if gamma > 0:
    truth |= {'K': 1e-3, 'alpha': -0.8, 'beta': -0.3}
  N, D = (x.ravel() for x in np.meshgrid(np.geomspace(1e3, 1e5, 8),
                                         np.geomspace(1e5, 1e8, 8)))
  L = laws.crossed(N, D, **truth)
  f = fit.crossed(N, D, L)
  assert f.status == 'converged'
  for k, v in truth.items():
    assert f.params[k] == pytest.approx(v, rel=1e-3, abs=1e-5)
  np.testing.assert_allclose(f.predict(N, D), L)
  assert fit.chinchilla(N, D, L).objective > 100 * f.objective


# The command.


@pytest.fixture
def csv(tmp_path, noisy):
  import pandas as pd
  C, N, D, L = noisy
  path = tmp_path / 'runs.csv'
  pd.DataFrame({'C': C, 'N': N, 'D': D, 'loss': L,
                'run': np.arange(len(L)) // 5}).to_csv(path, index=False)
  return path


@pytest.mark.parametrize('law', ['chinchilla', 'p_norm', 'kaplan'])
def test_command_writes_report_and_figures(csv, tmp_path, law, capsys):
  out = tmp_path / 'out'
  budget = ['--budget=C'] if law == 'chinchilla' else []
  scaling_main.main(['fit', str(csv), '--group=run', *budget,
                     f'--law={law}', '--bootstrap=20', f'--out={out}'])
  report = store.read_json(out / 'report.json')
  assert report['status'] == 'converged' and report['n'] == 75
  low, high = report['interval_95']['alpha_N' if law == 'kaplan'
                                    else 'alpha']
  assert low < high
  assert len(report['holdout']) == 3 and len(report['laws']) == 6
  text = (out / 'report.md').read_text()
  assert 'Bootstrap by group, 20 draws' in text
  assert 'Without the highest losses' in text
  drawn = {p.stem for p in out.glob('*.png')}
  if law == 'chinchilla':
    assert drawn == {'residuals', 'holdout', 'frontier', 'contours', 'pairs',
                     'approaches', 'isoflop', 'envelope'}
    assert len(report['budgets']) == 5 and 'predicted bias' in text
    assert [r['approach'][0] for r in report['approaches']] == list('311222')
  else:
    assert drawn == {'residuals', 'holdout'}
  assert 'written:' in capsys.readouterr().out


def test_command_reads_compute_and_drops_what_it_is_told(csv, tmp_path):
  import pandas as pd
  df = pd.read_csv(csv)
  worse = df.iloc[:10].assign(loss=lambda t: t.loss * 1.1)
  path = tmp_path / 'both.jsonl'
  pd.concat([worse, df]).to_json(path, orient='records', lines=True)
  out = tmp_path / 'out'
  scaling_main.main(['fit', str(path), '--n=N', '--c=C', '--best',
                     '--drop-highest=3', '--bootstrap=0', f'--out={out}'])
  got = store.read_json(out / 'report.json')
  kept = df.sort_values('loss').iloc[:-3]
  f = fit.chinchilla(kept.N, kept.C / (6 * kept.N), kept.loss)
  assert got['n'] == 72 and got['repeated'] == 0
  assert got['objective'] == pytest.approx(f.objective, rel=1e-9)


@pytest.mark.parametrize('change,message', [
    (['--n=NN'], "no column 'NN'"), (['--n=NN'], 'found: C, N, D, loss, run'),
    (['--group=NN'], 'found: C, N'), (['--bootstrap=-1'], 'wanted >= 0'),
    (['--loss=zero'], "column 'zero'"), (['--lw=3'], '--lw'),
    (['--loss=zero', '--best'], 'row 1 of 75, wanted all positive'),
    (['--law=kaplan', '--budget=C'], 'wanted chinchilla'),
    (['--over=3'], 'asymmetric_log'), (['--delta=inf'], 'finite'),
    (['--c=C', '--d=D'], 'either --d or --c'),
    (['--group=hole'], 'no label in row 1'),
    (['--loss=word'], "column 'word'"), (['--curves'], 'a folder of runs'),
    (['--budget=zero'], 'positive and finite')])
def test_command_bad_input(csv, tmp_path, change, message, capsys):
  text = csv.read_text().splitlines()
  csv.write_text('\n'.join([text[0] + ',zero,word,hole']
                           + [t + ',0,w,' for t in text[1:]]))
  with pytest.raises(SystemExit) as e:
    scaling_main.main(['fit', str(csv), f'--out={tmp_path}/o', *change])
  error = capsys.readouterr().err
  assert e.value.code == 2 and error.count('\n') == 1 and message in error


def test_a_table_that_determines_nothing_still_gets_its_report(
    tmp_path, capsys):
  """Few rows of a law without E: amplitudes overflow, draws run away."""
  import pandas as pd
  N, D = (x.ravel() for x in np.meshgrid([1e8, 3e8, 1e9, 3e9],
                                         [1e9, 3e9, 1e10, 3e10]))
  L = laws.kaplan_nd(N, D, **laws.KAPLAN.nd)
  for seed in range(3):
    noise = np.random.default_rng(seed).normal(size=16)
    path, out = tmp_path / f'{seed}.csv', tmp_path / f'out{seed}'
    pd.DataFrame({'N': N, 'D': D, 'loss': L * np.exp(0.01 * noise)}).to_csv(
        path, index=False)
    scaling_main.main(['fit', str(path), '--bootstrap=40', f'--out={out}'])
    text = (out / 'report.md').read_text()
    assert 'Not identified by these runs' in text
    assert 'not independent' in text
    store.read_json(out / 'report.json')  # JSON knows neither nan nor inf
    assert 'NaN' not in (out / 'report.json').read_text()
  assert not capsys.readouterr().err


def test_report_tells_repeated_rows_and_failed_resamples(csv, tmp_path):
  import pandas as pd
  df = pd.read_csv(csv)
  path, out = tmp_path / 'twice.csv', tmp_path / 'out'
  pd.concat([df, df.iloc[:7]]).assign(size=lambda t: (t.N > 1e8) + 1).assign(
      third=lambda t: np.arange(len(t)) % 3).to_csv(path, index=False)
  scaling_main.main(['fit', str(path), '--group=third', '--bootstrap=60',
                     f'--out={out}'])
  report = store.read_json(out / 'report.json')
  assert report['repeated'] == 7
  assert '7 rows repeat an (N, D)' in (out / 'report.md').read_text()
  a, b = report['interval_80']['alpha'], report['interval_95']['alpha']
  assert b[0] <= a[0] < a[1] <= b[1]


@pytest.mark.parametrize('text,message', [
    ('', 'not a readable table'), ('N,D,loss\n', 'no rows'),
    ('N,D,loss\n1,2,3\n', '1 points, wanted at least 5')])
def test_command_empty_files(tmp_path, text, message, capsys):
  path = tmp_path / 'empty.csv'
  path.write_text(text)
  with pytest.raises(SystemExit):
    scaling_main.main(['fit', str(path), f'--out={tmp_path}/o'])
  error = capsys.readouterr().err
  assert error.count('\n') == 1 and message in error


def test_a_folder_of_runs_is_a_table(tmp_path, capsys):
  """Sizes from configs, losses from evaluations, curves from metrics."""
  from configs import default
  for k, width in enumerate((32, 64, 128)):
    config = default.get_config()
    config.model.width = width
    at = tmp_path / f'run{k}'
    store.write_json(at / 'config.json', store.plain(config))
    store.write_json(at / 'meta.json', {'vocab': {'size': 500}})
    store.write_json(at / 'evals/loss/2000.json', {'rows': [
        {'metric': 'loss', 'value': 3.0 - k, 'n': 9, 'task': 'bio'}]})
    (at / 'metrics.jsonl').write_text(''.join(
        f'{{"kind": "train", "step": {s}, "tokens": {s * 2048}, "loss": '
        f'{4 - s / 1000}}}\n' for s in (1000, 2000)))
    if k < 2:
      store.write_json(at / 'done', {})  # the third is not finished
  df = runs.table(tmp_path)
  assert list(df['loss/bio']) == [3.0, 2.0] and list(df.run) == ['run0', 'run1']
  assert (df.D == 2000 * 16 * 128).all()
  assert df.N[1] == df.N_ne[1] + 504 * 64  # vocabulary of 500, padded to 8
  np.testing.assert_allclose(df.C_6n, 6 * df.N * df.D)
  curves = runs.table(tmp_path, curves=True)
  assert list(curves.D) == [2048e3, 4096e3] * 2
  assert list(curves.loss) == [3.0, 2.0] * 2
  np.testing.assert_allclose(curves.C_6n, 6 * curves.N * curves.D)
  with pytest.raises(SystemExit):  # two sizes are no law
    scaling_main.main(['fit', str(tmp_path), '--loss=loss/bio',
                       f'--out={tmp_path}/o'])
  assert 'wanted at least 5' in capsys.readouterr().err
  with pytest.raises(SystemExit):
    scaling_main.main(['fit', str(tmp_path / 'run0'), f'--out={tmp_path}/o'])
  assert 'no finished run' in capsys.readouterr().err
