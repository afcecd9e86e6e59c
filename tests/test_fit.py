"""Fits on data whose law is known, and the bias of parabolas."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from physics_lm import store
from physics_lm.scaling import __main__ as scaling_main
from physics_lm.scaling import approaches, fit, laws, solve

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


def test_power_is_the_weighted_regression():
  x = np.array([1.0, 10.0, 100.0, 1000.0])
  y = 3 * x**0.5 * np.array([1, 1, 1, 2])
  assert fit.power(x, y, weights=[1, 1, 1, 1e-12]).exponent == pytest.approx(0.5)
  p = fit.power(x, y)
  slope, level = np.polyfit(np.log(x), np.log(y), 1)
  assert (p.exponent, np.log(p.coefficient)) == pytest.approx((slope, level))


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


@pytest.mark.parametrize('name,wanted', [
    ('symmetric', (0, 0, 0, 0)), ('chinchilla', (-0.33, -1.30, -2.90, -5.10)),
    ('asymmetric', (-1.67, -6.50, -13.91, -23.12))])
def test_published_bias_of_parabolas(name, wanted):
  """Percent error of D* at 1e24 FLOP from noise-free isoFLOP curves, half
  widths x2, x4, x8, x16 (arXiv 2603.22339)."""
  surface = SURFACES[name]
  _, truth, _ = laws.chinchilla_optimal(surface, 1e24)
  for half_width, percent in zip((2, 4, 8, 16), wanted):
    r = approaches.approach2(*isoflop(surface, half_width))
    D = np.exp(r.d_intercept + r.b * np.log(1e24))
    assert 100 * (D / truth - 1) == pytest.approx(percent, abs=6e-3)
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
  for b, q in zip(r.budgets, p.budgets):
    assert b.bias == pytest.approx(q.N / b.N - 1, rel=1e-3)


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


# The command.


@pytest.fixture
def csv(tmp_path, noisy):
  import pandas as pd
  C, N, D, L = noisy
  path = tmp_path / 'runs.csv'
  pd.DataFrame({'C': C, 'N': N, 'D': D, 'loss': L,
                'run': np.arange(len(L)) // 5}).to_csv(path, index=False)
  return path


@pytest.mark.parametrize('law', ['chinchilla', 'kaplan'])
def test_command_writes_report_and_figures(csv, tmp_path, law, capsys):
  out = tmp_path / 'out'
  scaling_main.main(['fit', str(csv), '--n=N', '--d=D', '--loss=loss',
                     '--group=run', f'--law={law}', '--bootstrap=20',
                     f'--out={out}'])
  report = store.read_json(out / 'report.json')
  assert report['status'] == 'converged' and report['n'] == 75
  low, high = report['interval_95']['alpha' if law == 'chinchilla'
                                    else 'alpha_N']
  assert low < high
  assert 'Bootstrap by group, 20 draws' in (out / 'report.md').read_text()
  assert (out / 'residuals.png').stat().st_size
  assert (out / 'frontier.png').exists() == (law == 'chinchilla')
  assert 'written:' in capsys.readouterr().out


@pytest.mark.parametrize('change,message', [
    (['--n=NN'], 'nearest: N'), (['--bootstrap=-1'], 'wanted >= 0'),
    (['--loss=zero'], 'positive and finite'), (['--lw=3'], '--lw'),
    (['--law=kaplan', '--objective=l1_log'], 'wanted huber_log')])
def test_command_bad_input(csv, tmp_path, change, message, capsys):
  text = csv.read_text().splitlines()
  csv.write_text('\n'.join([text[0] + ',zero'] + [t + ',0' for t in text[1:]]))
  with pytest.raises(SystemExit) as e:
    scaling_main.main(['fit', str(csv), '--n=N', '--d=D', '--loss=loss',
                       f'--out={tmp_path}/o', *change])
  error = capsys.readouterr().err
  assert e.value.code == 2 and error.count('\n') == 1 and message in error
