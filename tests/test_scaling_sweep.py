"""The analysis of the scaling sweep, on a table whose law is known."""

import numpy as np
import pytest

from physics_lm import sweep
from physics_lm.scaling import analysis, flops, laws
from tests.conftest import ROOT

TRUTH = {'E': 0.47, 'A': 40.0, 'B': 220.0, 'alpha': 0.55, 'beta': 0.5}


def found(name):
  return next((ROOT / 'experiments').rglob(f'{name}.py'))


@pytest.fixture(scope='module')
def exp():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(analysis, 'DRAWS', 60)
    yield sweep.experiment(str(found('scaling_sweep')))


def used(exp, budget, width):
  """The rate of the isoFLOP runs."""
  multiple = exp.SCALES['cpu']['grammar']['rates'].get(budget, 1.0)
  return multiple * exp.RATE * (32 / width)**exp.FALL


@pytest.fixture(scope='module')
def df(exp):
  """What the runs of `cpu` would give, were L(N, D) the law."""
  import pandas as pd
  rng, out = np.random.default_rng(1), []
  for r in exp.runs('cpu'):
    if r.tags['world'] != 'grammar':
      continue
    t, c = r.tags, r.config
    size = exp.counted(t['world'], t['width'], t['depth'])
    D = c.steps * c.data.batch * c.data.length
    loss = laws.chinchilla(size['N'], D, **TRUTH) * np.exp(0.003 * rng.normal())
    loss *= 1 + 0.02 * np.log2(t['rate'] / used(exp, t['budget'], t['width'])
                               )**2
    out.append({k: t[k] for k in ('role', 'world', 'budget', 'width', 'depth',
                                  'seed', 'rate')} | {
        'N': size['N'], 'N_ne': size['N_ne'], 'D': D, 'C': 6 * size['N'] * D,
        'loss': loss, 'floor': TRUTH['E'], 'floor_error': 0.0, 'seconds': 1.0,
        'exact': 1 / (1 + (loss - TRUTH['E'])**2 / 0.1), 'error': 1e-3} | {
            f'C_{k}': size[f'C_{k}'] * D for k in flops.CONVENTIONS})
  return pd.DataFrame(out)


def said(claims, text):
  claim, = (c for c in claims if text in c.statement)
  return claim.reproduced


def test_the_truth_is_found_and_an_untruth_is_not(exp, df):
  claims = exp.verdict(df)
  for text in ('interior minima', 'entropy (95', 'entropy when p',
               'constant trunk', 'shape matters', 'power law in C',
               'power law in N', 'power law in D'):
    assert said(claims, text) == 'yes', text
  assert not any('as theory says' in c.statement for c in claims)
  wrong = df.assign(floor=0.40, loss=df.loss.where(
      df.role != 'branch', 1.02 * df.loss).where(
          (df.role != 'shape') | (df.depth != 2), 1.05 * df.loss))
  claims = exp.verdict(wrong)
  for text in ('entropy (95', 'constant trunk', 'shape matters'):
    assert said(claims, text) == 'no', text
  few = exp.verdict(df[df.budget > 5e11])
  assert {c.reproduced for c in few} == {'not tested at this scale'}


def test_people_have_theorys_exponents_or_not(exp, df):
  """alpha = 0.55 in truth: right of a world of a = 0.55, wrong of a = 1."""
  for name, wanted in (('people_0.55', 'yes'), ('people_1', 'no')):
    claims = exp.verdict(df.assign(world=name))
    assert said(claims, f'{name}: the loss falls in N') == wanted
    assert said(claims, 'held at the entropy, the loss falls in N') == wanted
  assert exp.theory('few_people_0.5') == (0.5, pytest.approx(1 / 3))
  assert exp.theory('people_1') == (1.0, 0.5) and exp.theory('grammar') is None


def test_limits_that_meet_otherwise_bend_the_floor(exp, df):
  """Runs limited by both sizes lose more than the sum: the sum's E is too
  low, and the law that fits how they meet finds it."""
  noise = np.exp(0.003 * np.random.default_rng(2).normal(size=len(df)))
  claims = exp.verdict(df.assign(loss=noise * laws.p_norm(
      df.N, df.D, **TRUTH | {'A': 2.0, 'B': 200.0, 'beta': 0.8}, p=0.3)))
  assert said(claims, 'entropy (95') == 'no'
  assert said(claims, 'entropy when p') == 'yes'


def test_sizes_with_exponents_of_their_own_bend_the_floor(exp, df):
  law = {'E': TRUTH['E'], 'K': 5e-3, 'alpha': -0.75, 'beta': -0.3,
         'gamma': 0.08}
  noise = np.exp(0.003 * np.random.default_rng(3).normal(size=len(df)))
  own = df.assign(loss=noise * laws.crossed(df.N, df.D, **law))
  claims = exp.verdict(own)
  assert said(claims, 'entropy (95') == 'no'
  assert said(claims, 'an exponent in D of its own') == 'yes'
  sizes = analysis.by_size(df.assign(loss=laws.crossed(df.N, df.D, **law)))
  assert len(sizes) == 8 and sizes.horizons.min() == 3
  np.testing.assert_allclose(
      sizes.exponent, law['beta'] + law['gamma'] * np.log(sizes.N), rtol=1e-6)


def test_allocation_by_convention_and_with_the_floor_given(exp, df):
  f, _ = analysis.surface(df)
  a = TRUTH['beta'] / (TRUTH['alpha'] + TRUTH['beta'])
  assert analysis.allocation(df, f, '6n') == pytest.approx(a, abs=0.02)
  # Attention is the dearer, a parameter, the smaller the model.
  assert analysis.allocation(df, f, 'detailed') > analysis.allocation(
      df, f, '6n')
  held = analysis.pinned(df)[0].params
  assert held['E'] == pytest.approx(TRUTH['E'], rel=1e-4)
  assert held['alpha'] == pytest.approx(TRUTH['alpha'], abs=0.03)


def test_the_rates_used_are_the_best(exp, df):
  tuned = analysis.tuning(df)
  assert tuned.groupby('budget').size().tolist() == [7] * 6
  np.testing.assert_allclose(tuned.best, tuned.used, rtol=0.1)
  assert (tuned.gain < 0.002).all()
  assert analysis.shapes(df).depth.tolist() == [1, 2, 3, 6, 8]
  moved = analysis.moved(df)
  assert moved['a, rates: used'] == pytest.approx(
      moved['a, rates: best'], abs=0.01)
  assert moved['exponent in D, matched'] == pytest.approx(
      moved['exponent in D, branch'], abs=0.03)


def test_better_rates_are_found_where_those_used_are_wrong(exp, df):
  """Bowls whose bottom lies off the rates used, by a factor that depends on
  the width: 2^(1/3) at width 32, 0.63 of it at width 4."""
  off = np.log2(df.rate / [used(exp, *pair) for pair in zip(
      df.budget, df.width, strict=True)])
  bottom = lambda width: np.log2(width / 16) / 3
  wrong = df.assign(loss=df.loss - 0.02 * df.loss * off**2
                    + 0.05 * (off - bottom(df.width))**2)
  tuned = analysis.tuning(wrong)
  np.testing.assert_allclose(
      tuned.best, tuned.used * 2**bottom(tuned.width), rtol=0.1)
  np.testing.assert_allclose(
      tuned.gain, 0.05 * bottom(tuned.width)**2, atol=3e-3)
  assert (tuned.least >= 0).all()
  # The middle width's rate for all, where that is within the rates tried.
  middle = tuned.groupby('budget').used.transform('median') / tuned.used
  near = np.abs(np.log2(middle)) < 1
  np.testing.assert_allclose(tuned.others[near], 0.05 * (
      bottom(tuned.width)**2 - (np.log2(middle) - bottom(tuned.width))**2)[
          near], atol=6e-3)
  few = analysis.tuning(wrong[(wrong.role != 'tune') | (wrong.budget == 1e11)])
  assert len(few) == 7 and 'a, rates: used' not in analysis.moved(
      wrong[(wrong.role != 'tune') | (wrong.budget == 1e11)])
  iso = wrong[wrong.role == 'isoflop']
  by = lambda own: own.groupby(['budget', 'width']).loss.mean().to_numpy()
  saved = by(iso) - by(analysis.retuned(wrong))
  np.testing.assert_allclose(
      saved, tuned.sort_values(['budget', 'width']).gain, atol=1e-9)
  text = "learning rates used"
  assert said(exp.verdict(df), text) == 'yes'
  assert said(exp.verdict(wrong), text) == 'no'
  assert said(exp.verdict(df), 'tuned at every size') == 'yes'


def test_the_largest_budget_is_foretold(exp, df):
  told = sweep.experiment(str(found('scaling_prediction')))
  told.DRAWS = 60
  iso = df[df.role == 'isoflop']
  claims = told.verdict(iso)
  assert {c.reproduced for c in claims} == {'yes'}
  worse = iso.assign(loss=iso.loss.where(iso.budget < 2e12, 1.06 * iso.loss))
  for text in ('from runs of a tenth', 'when p, how the limits'):
    assert said(told.verdict(worse), text) == 'no'
  assert {r.tags['role'] for r in told.runs('cpu')} == {'isoflop'}
  # Of 1e10 and 3e10 FLOP there are no runs of a tenth.
  assert told.foretold(iso).budget.unique().tolist() == [1e11, 3e11, 1e12, 3e12]
  people = iso.assign(world='few_people_1', exact=np.nan)
  assert len(told.verdict(people)) == len(claims) - 1
