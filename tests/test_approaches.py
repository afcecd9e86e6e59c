"""The compute-optimal frontier by approaches 1 and 2, on data whose law is
known."""

import numpy as np
import pytest

from physics_lm.scaling import laws
from physics_lm.scaling.fitting import approaches, fits
from tests.surfaces import SURFACES, isoflop, noisy_isoflop


@pytest.fixture(scope='module')
def noisy():
  return noisy_isoflop()


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
def test_approach2_has_the_published_bias_of_parabolas(name, grid):
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


def test_parabola_bias_is_predicted_in_closed_form():
  w = np.linspace(-np.log10(16), np.log10(16), 15)
  assert 100 * approaches.parabola_bias(0.34, 0.28, w) == pytest.approx(
      5.3743, abs=1e-4)
  assert 100 * approaches.parabola_bias(0.465, 0.155, w) == pytest.approx(
      30.0666, abs=1e-4)
  assert approaches.parabola_bias(0.31, 0.31, w) == pytest.approx(0, abs=1e-9)
  surface = SURFACES['chinchilla']
  C, N, D, L = isoflop(surface, 16)
  known = fits.chinchilla(N, D, L)
  r = approaches.approach2(C, N, D, L, method='surface', surface=known)
  p = approaches.approach2(C, N, D, L)
  both = approaches.approach2(C, N, D, L, surface=known)
  for b, q, t in zip(r.budgets, p.budgets, both.budgets):
    assert b.bias == pytest.approx(q.N / b.N - 1, rel=1e-3)
    assert t.bias == b.bias and t.N == q.N


@pytest.mark.parametrize('method', ['parabola', 'akima', 'surface'])
def test_approach2_finds_the_frontier(method):
  C, N, D, L = isoflop(SURFACES['chinchilla'], 4)
  r = approaches.approach2(C, N, D, L, method=method)
  assert r.a == pytest.approx(0.4516, abs=2e-3)
  assert r.a + r.b == pytest.approx(1, abs=2e-3)
  assert [b.status for b in r.budgets] == ['ok'] * 5


def test_approach2_gives_budgets_a_status_and_a_reason():
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


def test_approach2_gives_vertices_their_errors():
  """The error of log N* by linearisation is its spread over noisy draws."""
  C, N, D, clean = isoflop(SURFACES['chinchilla'], 4)
  rng, found = np.random.default_rng(0), []
  for _ in range(60):
    L = clean + 0.004 * rng.normal(size=len(clean))
    found.append(approaches.approach2(C, N, D, L).budgets)
  for k in range(5):
    spread = np.std([np.log(b[k].N) for b in found], ddof=1)
    linear = np.median([b[k].spread for b in found])
    assert linear == pytest.approx(spread, rel=0.4)
    assert all(b[k].left + b[k].right == 15 for b in found)
    curve = np.array([b[k].curvature for b in found])
    assert np.median([b[k].curvature_error for b in found]) == pytest.approx(
        curve.std(ddof=1), rel=0.4)


def test_approach2_bears_rounded_budgets(noisy):
  C, N, D, L = noisy
  jitter = C * (1 + 1e-9 * np.random.default_rng(0).normal(size=75))
  a, b = (approaches.approach2(c, N, D, L) for c in (C, jitter))
  assert len(b.budgets) == 5 and b.a == pytest.approx(a.a, rel=1e-6)
  with pytest.raises(ValueError, match='75 x 1 sizes') as e:
    approaches.approach2(np.geomspace(1, 10, 75), N, D, L)
  assert len(str(e.value)) < 200


def test_akima_weighs_budgets_when_there_is_noise():
  C, N, D, L = isoflop(SURFACES['chinchilla'], 8)
  r = approaches.approach2(C, N, D, L, 'akima', noise=0.002, draws=100)
  assert all(0 < b.spread < 1 for b in r.budgets)
  weighted = fits.power([b.C for b in r.budgets], [b.N for b in r.budgets],
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


def test_side_by_side_has_every_approach(noisy):
  C, N, D, L = noisy
  f = fits.chinchilla(N, D, L)
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
def test_approach1_finds_the_frontier_of_training_curves(method):
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
