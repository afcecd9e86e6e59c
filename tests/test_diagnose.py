"""Diagnostics on data whose law is known."""

import numpy as np
import pytest

from physics_lm.scaling import laws
from physics_lm.scaling.fitting import diagnose, fits
from tests.surfaces import SURFACES, isoflop


def runs(noise, seed=0):
  rng = np.random.default_rng(seed)
  _, N, D, L = isoflop(SURFACES['chinchilla'], 8)
  return N, D, L * np.exp(noise * rng.normal(size=len(L)))


def test_diagnose_tells_noise_and_determination():
  N, D, L = runs(0.002)
  d = diagnose.diagnose(fits.chinchilla(N, D, L))
  assert d['sd'] == pytest.approx(0.002, rel=0.25)
  assert d['r2'] > 0.999 and 0 < d['inside_delta'] < 0.7
  narrow = isoflop(SURFACES['chinchilla'], 1.3, budgets=3)[1:]
  wide = isoflop(SURFACES['chinchilla'], 16, budgets=3)[1:]
  narrow, wide = (diagnose.diagnose(fits.chinchilla(
      *x, objective='squared_log'))['condition'] for x in (narrow, wide))
  assert narrow > 10 * wide


def test_holdout_predicts_what_follows_the_law_and_not_what_breaks_it():
  N, D, L = runs(0.001)
  f = fits.chinchilla(N, D, L)
  good = diagnose.holdout(f)
  assert [g['below'] + g['above'] for g in good] == [75] * 3
  assert good[1]['error'] < 0.01
  broken = np.where(6 * N * D > 1e20, L * 1.1, L)  # a kink at large compute
  bad = diagnose.holdout(fits.chinchilla(N, D, broken), cuts=(0.5,))
  assert bad[0]['bias'] < -0.02
  small = fits.chinchilla(N[::9], D[::9], L[::9])  # nine points
  few = diagnose.holdout(small, cuts=(0.2, 1.0))
  assert 'at least 5' in few[0]['reason'] and 'no rows' in few[1]['reason']


def test_explained_variance_is_of_rows_that_were_left_out():
  N, D, L = runs(0.002)
  f = fits.chinchilla(N, D, L)
  assert diagnose.explained_variance(f) == diagnose.diagnose(f)['r2']
  held = diagnose.explained_variance(f, np.arange(75) % 5)
  assert 0.99 < held < diagnose.explained_variance(f)
  group = np.where(np.arange(75) % 5, np.nan, 1.0)  # a fifth is left out
  odd = fits.chinchilla(N, D, np.where(group == 1, 2 * L, L))
  assert diagnose.explained_variance(odd, group) < -1  # it cannot know of 2
  assert np.isnan(diagnose.explained_variance(f, np.zeros(75)))
  with pytest.raises(ValueError, match='3 group labels for 75 points'):
    diagnose.explained_variance(f, [1, 2, 3])


def test_leaving_out_the_odd_run_restores_the_law():
  N, D, L = runs(0.0)
  run = np.arange(75) // 5
  L = np.where(run == 7, L * 1.3, L)
  f = fits.chinchilla(N, D, L, objective='squared_log')
  out = diagnose.leave_one_out(f, run)
  assert len(out) == 15
  moved = [abs(row['moved']) for row in out]
  assert moved == sorted(moved, reverse=True)
  without = next(row for row in out if row['left_out'] == '7')
  truth = 0.28 / 0.62
  off = abs(without['a'] - without['moved'] - truth)
  assert abs(without['a'] - truth) < 1e-4 < 1e-3 < off
  with pytest.raises(ValueError, match='3 group labels'):
    diagnose.leave_one_out(f, [1, 2, 3])


@pytest.mark.parametrize('truth,surface', [
    ('chinchilla', SURFACES['asymmetric']),
    ('alpha = beta', SURFACES['symmetric'])])
def test_compare_prefers_the_law_that_made_the_data(truth, surface):
  _, N, D, L = isoflop(surface, 8)
  L = L * np.exp(0.002 * np.random.default_rng(3).normal(size=len(L)))
  out = diagnose.compare(N, D, L)
  assert out[0]['law'] == truth, out
  sharp = laws.p_norm(N, D, **surface, p=0.3)
  sharp *= np.exp(0.002 * np.random.default_rng(3).normal(size=len(L)))
  assert diagnose.compare(N, D, sharp)[0]['law'] == 'p_norm'
  by_size = laws.size_dependent_exponent(N, D, 1.7, 1e4, 0.2, 0.1, 0.01)
  by_size *= np.exp(0.002 * np.random.default_rng(3).normal(size=len(L)))
  assert diagnose.compare(N, D, by_size)[0]['law'] == 'size_dependent_exponent'
  kaplan = laws.kaplan_nd(N, D, **laws.KAPLAN.nd)
  kaplan *= np.exp(0.002 * np.random.default_rng(3).normal(size=len(L)))
  assert diagnose.compare(N, D, kaplan)[0]['law'] == 'kaplan'


def test_trimming_the_worst_runs_restores_the_law():
  N, D, L = runs(0.0)
  L = np.where(np.arange(75) < 3, L * 1.5, L)  # three diverged
  f = fits.chinchilla(N, D, L, objective='squared_log')
  out = diagnose.trim(f, (1, 3, 73))
  truth = 0.28 / 0.62
  assert abs(out[0]['a'] - truth) > 1e-3
  assert out[1]['a'] == pytest.approx(truth, abs=1e-5)
  assert 'at least 5' in out[2]['reason']


def test_diagnostics_take_kaplan_fits():
  N, D, L = runs(0.001)
  f = fits.kaplan_nd(N, D, L)
  # a by its meaning: the best N at two budgets, found by trying.
  sizes = np.geomspace(1e3, 1e15, 400_001)
  best = [sizes[f.predict(sizes, C / (6 * sizes)).argmin()]
          for C in (1e18, 1e22)]
  assert diagnose.frontier_exponent('kaplan', f.params) == pytest.approx(
      np.log(best[1] / best[0]) / np.log(1e4), abs=1e-4)
  out = diagnose.leave_one_out(f, np.arange(75) % 5)
  assert len(out) == 5 and all(abs(row['moved']) < 0.1 for row in out)
  assert 0.2 < diagnose.holdout(f, by='N')[1]['a'] < 0.8
  with pytest.raises(ValueError, match='wanted chinchilla or p_norm or kaplan'):
    diagnose.leave_one_out(fits.kaplan_ns(N, D, L), np.arange(75))


def test_refits_keep_weights_and_form():
  N, D, L = runs(0.001)
  odd = np.arange(75) % 15 == 7
  broken, w = np.where(odd, L * 1.5, L), np.where(odd, 0.0, 1.0)
  f = fits.chinchilla(N, D, broken, weights=w, E=0)
  for row in diagnose.trim(f, (1,)):
    assert row['E'] == 0
  f = fits.chinchilla(N, D, broken, weights=w, objective='squared_log')
  for row in diagnose.holdout(f, cuts=(0.7,)):
    assert row['a'] == pytest.approx(0.4516, abs=0.02)


def test_compare_is_of_nested_least_squares():
  """The wider law never has the larger sum of squares."""
  for seed in range(5):
    N, D, L = runs(0.002, seed)
    L[:6] *= np.exp(0.15 * np.random.default_rng(seed).normal(size=6))
    squares = {r['law']: r['squares'] for r in diagnose.compare(N, D, L)}
    assert squares['chinchilla'] <= squares['alpha = beta'] * (1 + 1e-9)
    assert squares['chinchilla'] <= squares['without E'] * (1 + 1e-9)
    assert squares['p_norm'] <= squares['chinchilla'] * (1 + 1e-9)
