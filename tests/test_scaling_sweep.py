"""The plan, the analysis and the claims of the scaling sweep, on tables whose
law is known."""

import json

import numpy as np
import pytest
import threadpoolctl

from physics_lm import claims, results, sweep
from physics_lm.scaling import (
  flops,
  isoflop_plan,
  laws,
  sweep_analysis,
  sweep_effects,
)
from tests.conftest import ROOT

TRUTH = {'E': 0.47, 'A': 40.0, 'B': 220.0, 'alpha': 0.55, 'beta': 0.5}


@pytest.fixture(scope='module')
def exp():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sweep_analysis, 'DRAWS', 60)
    yield sweep.experiment(str(ROOT / 'experiments/scaling_sweep.py'))


def used_rate(exp, budget, width):
  """The learning rate of the isoFLOP runs."""
  plan = exp.SCALES['cpu']['grammar']
  return plan.rates.get(budget, 1.0) * plan.rate * (
      32 / width)**plan.rate_decay


@pytest.fixture(scope='module')
def df(exp):
  """What the runs of `cpu` would give, were L(N, D) the law."""
  import pandas as pd
  rng, out = np.random.default_rng(1), []
  for r in exp.runs('cpu'):
    t, c = r.tags, r.config
    if t['world'] != 'grammar':
      continue
    size = isoflop_plan.model_size(exp.WORLDS['grammar'], t['width'],
                                   t['depth'])
    D = c.steps * c.data.batch_size * c.data.seq_len
    loss = laws.chinchilla(size['N'], D, **TRUTH) * np.exp(0.003 * rng.normal())
    loss *= 1 + 0.02 * np.log2(t['learning_rate'] / used_rate(
        exp, t['budget'], t['width']))**2
    out.append(t | {
        'N': size['N'], 'N_ne': size['N_ne'], 'D': D, 'C': 6 * size['N'] * D,
        'loss': loss, 'entropy': TRUTH['E'], 'entropy_error': 0.0,
        'accuracy': 1 / (1 + (loss - TRUTH['E'])**2 / 0.1)} | {
            f'C_{k}': size[f'C_{k}'] * D for k in flops.CONVENTIONS})
  return pd.DataFrame(out)


def outcomes(exp, df, world='grammar'):
  """{claim's id without its world: what was judged}."""
  judged = claims.judge_all(exp.CLAIMS, df, exp.measures(df))
  start = f'{world}_'.replace('.', '_')
  return {j.claim.id.removeprefix(start): j for j in judged
          if j.claim.id.startswith(start)}


@pytest.fixture(scope='module')
def judged(exp, df):
  return outcomes(exp, df)


def test_claims_are_supported_when_runs_follow_the_law(judged):
  for name in ('interior_minima', 'e', 'e_p_norm', 'learning_rate_cost',
               'e_tuned_rates', 'cooldown_difference', 'range_over_shapes',
               'worst_error', 'worst_error_p_norm', 'accuracy_error',
               'error_at_best_run_fixed_e', 'coverage'):
    assert judged[name].held, name
  for name in ('e', 'interior_minima', 'learning_rate_cost', 'worst_error',
               'accuracy_error'):
    assert judged[name].outcome == 'supported', name
  for name in 'cnd':  # a few points do not determine R2
    assert judged[f'r2_in_{name}'].held
    assert judged[f'r2_in_{name}'].effect.n < 9


def test_claims_are_contradicted_when_entropy_and_schedules_differ(exp, df):
  wrong = df.assign(entropy=0.40, loss=df.loss.where(
      df.role != 'cooldown', 1.02 * df.loss).where(
          (df.role != 'shape') | (df.depth != 2), 1.05 * df.loss))
  judged = outcomes(exp, wrong)
  for name in ('e', 'cooldown_difference', 'range_over_shapes'):
    assert not judged[name].held, name
    assert judged[name].outcome == 'contradicted', name


def test_claims_are_not_run_when_budgets_are_few(exp, df):
  few = outcomes(exp, df[df.budget > 5e11])
  assert {j.outcome for j in few.values()} == {'not run'}


def test_exponents_are_compared_with_theory(exp, df):
  """alpha = 0.55 in truth: right in a world of a = 0.55, wrong at a = 1."""
  theory = {'near': (0.55, 0.5), 'far': (1.0, 0.5)}
  for world, held in (('near', True), ('far', False)):
    found = sweep_effects.effects(df.assign(world=world), theory)
    rule = claims.equals(1, 0.25)
    for name in ('alpha', 'alpha, fixed E'):
      e = found[f'{world} {name}']
      assert rule.held_effect(e) == held
      assert rule.outcome(e) == ('supported' if held else 'contradicted')
    assert rule.held_effect(found[f'{world} beta'])
  assert exp.THEORY['biod_zipf_0.5'] == (0.5, pytest.approx(1 / 3))
  assert exp.THEORY['biod_zipf_1'] == (1.0, 0.5)
  assert 'grammar' not in exp.THEORY


def test_fitted_E_is_too_low_when_limits_combine_otherwise(exp, df):
  """Runs limited by N and by D at once lose more than the sum: the sum's E is
  too low, and the law that fits how the limits combine finds it."""
  noise = np.exp(0.003 * np.random.default_rng(2).normal(size=len(df)))
  bent = df.assign(loss=noise * laws.p_norm(
      df.N, df.D, **TRUTH | {'A': 2.0, 'B': 200.0, 'beta': 0.8}, p=0.3))
  effects = sweep_effects.entropy_effects(bent)
  rule = claims.equals(1, 0.05)
  assert not rule.held_effect(effects['E'])
  assert rule.held_effect(effects['E, p-norm'])


def test_size_dependent_exponents_are_found(exp, df):
  law = {'E': TRUTH['E'], 'K': 5e-3, 'alpha': -0.75, 'beta': -0.3,
         'gamma': 0.08}
  noise = np.exp(0.003 * np.random.default_rng(3).normal(size=len(df)))
  own = df.assign(loss=noise * laws.size_dependent_exponent(df.N, df.D, **law))
  effects = sweep_effects.entropy_effects(own)
  rule = claims.equals(1, 0.05)
  assert not rule.held_effect(effects['E'])
  assert rule.held_effect(effects['E, size-dependent exponent'])
  sizes = sweep_analysis.exponent_by_size(df.assign(
      loss=laws.size_dependent_exponent(df.N, df.D, **law)))
  assert len(sizes) == 8 and sizes.horizons.min() == 3
  np.testing.assert_allclose(
      sizes.exponent, law['beta'] + law['gamma'] * np.log(sizes.N), rtol=1e-6)


@pytest.mark.parametrize('convention', flops.CONVENTIONS)
def test_allocation_exponents_agree_with_a_direct_minimisation(df, convention):
  f, _ = sweep_analysis.chinchilla_fit(df)
  found = sweep_analysis.allocation_exponents(df, f.params, convention)
  assert found.shape == (1,)
  p = sweep_analysis.points(df).drop_duplicates('N').sort_values('N')
  per_token = np.log(p[f'C_{convention}'] / p.D)

  def work(N, D):
    return D * np.exp(np.interp(np.log(N), np.log(p.N), per_token))

  C = np.geomspace(*np.quantile(
      sweep_analysis.points(df)[f'C_{convention}'], (0.1, 0.9)), 5)
  best, _, _ = laws.chinchilla_optimal(f.params, C, work)
  if convention.startswith('6n_ne'):
    best = np.exp(np.interp(np.log(best), np.log(p.N), np.log(p.N_ne)))
  assert found[0] == pytest.approx(
      np.polyfit(np.log(C), np.log(best), 1)[0], abs=5e-3)
  if convention == '6n':
    assert found[0] == pytest.approx(
        TRUTH['beta'] / (TRUTH['alpha'] + TRUTH['beta']), abs=0.02)


def test_allocation_exponents_of_draws_are_those_of_each(df):
  _, draws = sweep_analysis.chinchilla_fit(df)
  every = sweep_analysis.allocation_exponents(df, draws.params, 'detailed')
  for i in (0, 7):
    one = {k: v[i] for k, v in draws.params.items()}
    assert every[i] == pytest.approx(sweep_analysis.allocation_exponents(
        df, one, 'detailed')[0], abs=1e-12)


def test_fixed_entropy_fit_has_the_exponents(df):
  f, draws = sweep_analysis.fixed_entropy_fit(df)
  assert f.params['E'] == TRUTH['E'] and (draws.params['E'] == f.params['E']
                                          ).all()
  assert f.params['alpha'] == pytest.approx(TRUTH['alpha'], abs=0.03)
  assert f.fixed == {'E': TRUTH['E']} and 'E' not in f.not_identified


def test_interior_minima_interval_follows_the_noise(df):
  sure = sweep_effects.interior_minima(df)
  assert (sure.low, sure.value) == (5.0, 6.0) or sure.low == sure.value
  rng = np.random.default_rng(0)
  noisy = sweep_effects.interior_minima(df.assign(
      loss=df.loss * np.exp(0.1 * rng.normal(size=len(df)))))
  assert noisy.high - noisy.low > sure.high - sure.low


@pytest.mark.parametrize('function', [
    sweep_analysis.tuned_rates, sweep_analysis.isoflop_curves,
    sweep_analysis.sensitivity, sweep_effects.interior_minima],
    ids=lambda f: f.__name__)
def test_analyses_use_one_thread_of_linear_algebra(df, function, thread_counts):
  with threadpoolctl.threadpool_limits(2, user_api='blas'):
    function(df)
  assert thread_counts and set(thread_counts) == {1}


def test_tuned_rates_are_those_used_when_these_are_best(df):
  tuned = sweep_analysis.tuned_rates(df)
  assert tuned.groupby('budget').size().tolist() == [7] * 6
  np.testing.assert_allclose(tuned.best, tuned.used, rtol=0.1)
  assert (tuned.gain < 0.002).all()
  assert sweep_analysis.shapes(df).depth.tolist() == [1, 2, 3, 6, 8]
  moved = sweep_analysis.sensitivity(df)
  assert moved['a, learning rates: used'] == pytest.approx(
      moved['a, learning rates: best'], abs=0.01)
  assert moved['exponent in D, matched'] == pytest.approx(
      moved['exponent in D, cooldown'], abs=0.03)


def best_multiple(width):
  """log2 of the best rate over the one used, of the table below."""
  return np.log2(width / 16) / 3


@pytest.fixture(scope='module')
def mistuned(exp, df):
  """Bowls whose bottom lies off the rates used, by a factor that depends on
  the width: 2^(1/3) at width 32, 0.63 at width 4."""
  off = np.log2(df.learning_rate / [used_rate(exp, *pair) for pair in zip(
      df.budget, df.width, strict=True)])
  return df.assign(loss=df.loss - 0.02 * df.loss * off**2
                   + 0.05 * (off - best_multiple(df.width))**2)


def test_tuned_rates_are_found_when_those_used_are_wrong(exp, mistuned):
  tuned = sweep_analysis.tuned_rates(mistuned)
  best = best_multiple(tuned.width)
  np.testing.assert_allclose(tuned.best, tuned.used * 2**best, rtol=0.1)
  np.testing.assert_allclose(tuned.gain, 0.05 * best**2, atol=3e-3)
  assert (tuned.gain_luckiest >= 0).all()
  # The middle width's rate at every width, where it is within those tried.
  common = np.log2(tuned.groupby('budget').used.transform('median')
                   / tuned.used)
  near = np.abs(common) < 1
  np.testing.assert_allclose(tuned.gain_common[near], 0.05 * (
      best**2 - (common - best)**2)[near], atol=6e-3)
  judged = outcomes(exp, mistuned)['learning_rate_cost']
  assert judged.outcome == 'inconclusive' and not judged.held


def test_at_tuned_rates_subtracts_the_gain(mistuned):
  iso = mistuned[mistuned.role == 'isoflop']
  by = ['budget', 'width']
  saved = (iso.groupby(by).loss.mean() - sweep_analysis.at_tuned_rates(
      mistuned).groupby(by).loss.mean()).to_numpy()
  tuned = sweep_analysis.tuned_rates(mistuned).sort_values(by)
  np.testing.assert_allclose(saved, tuned.gain, atol=1e-9)
  one = mistuned[(mistuned.role != 'tune') | (mistuned.budget == 1e11)]
  assert len(sweep_analysis.tuned_rates(one)) == 7
  assert 'a, learning rates: used' not in sweep_analysis.sensitivity(one)


def test_extrapolations_miss_a_budget_that_breaks_the_law(exp, df):
  every = sweep_analysis.extrapolations(df)
  # Of 1e10 and 3e10 FLOP there are no runs of a tenth.
  assert every.budget.unique().tolist() == [1e11, 3e11, 1e12, 3e12]
  assert (every.error_p_norm.notna() == (every.budget == 3e12)).all()
  worse = df.assign(loss=df.loss.where(df.budget < 2e12, 1.06 * df.loss))
  judged = outcomes(exp, worse)
  for name in ('worst_error', 'worst_error_p_norm',
               'error_at_best_run_fixed_e'):
    assert judged[name].outcome == 'contradicted', name
  assert 'accuracy error' not in sweep_effects.extrapolation_effects(
      df.assign(accuracy=np.nan))


def smoke_records(exp):
  """Records as evaluators write them, with losses of a law."""
  out = []
  for r in exp.runs('smoke'):
    loss = 0.5 + 10 / r.config.steps
    out.append({
        'id': r.id, 'tags': r.tags, 'train': {
            'tokens': r.config.steps * r.config.data.batch_size
            * r.config.data.seq_len, 'loss': loss, 'time/seconds': 1.0},
        'evals': {'law': [{'metric': k, 'value': v, 'n': 8} for k, v in (
            ('kl', loss - 0.4), ('kl_error', 0.01), ('accuracy', 0.5))]}
        if r.tags['world'] == 'grammar' else {'loss': [
            {'metric': 'loss', 'value': loss, 'n': 80, 'task': 'bio'}]}})
  return out


def test_table_has_a_row_a_record_of_either_world(exp):
  records = smoke_records(exp)
  df = exp.table(records)
  assert df.run.tolist() == [r['id'] for r in records]
  grammar = df.world == 'grammar'
  np.testing.assert_allclose(
      df.loss[grammar] - df.entropy[grammar],
      [r['evals']['law'][0]['value'] for r in records
       if 'law' in r['evals']])
  assert df.loss[~grammar].tolist() == [
      r['evals']['loss'][0]['value'] for r in records if 'loss' in r['evals']]
  assert df.accuracy.notna().equals(grammar)
  np.testing.assert_allclose(df.C, df.C_6n)
  assert exp.measures(df) == {} and len(exp.summary(df)) == 2
  assert results.text_table(exp.summary(df))
  exp.figure(df)


def test_runs_of_a_sweep_have_their_roles(exp):
  runs = exp.runs('smoke')
  assert [r.tags['role'] for r in runs] == [
      'isoflop', 'isoflop', 'tune', 'tune', 'trunk', 'cooldown', 'isoflop']
  trunk, cooldown = runs[4:6]
  assert cooldown.trunk is trunk
  assert cooldown.config.optim.schedule == 'wsd'
  assert cooldown.config.optim.warmup_steps == trunk.config.optim.warmup_steps
  assert sorted({r.tags['learning_rate'] / r.config.optim.learning_rate
                 for r in runs}) == [1.0]


@pytest.mark.experiment
def test_claims_keep_the_verdicts_of_the_older_rule(exp):
  """Those of the two experiments that are one now, on the committed runs."""
  golden = json.loads((ROOT / 'tests/goldens/verdicts.json').read_text())
  old = [r['reproduced'] for name in ('scaling_prediction', 'scaling_sweep')
         for r in golden if r['experiment'] == name]
  df = exp.table(results.read_records(
      results.records_path(results.RESULTS, exp.name, 'cpu')))
  judged = claims.judge_all(exp.CLAIMS, df, exp.measures(df))
  assert [('no', 'yes')[j.held] for j in judged] == old and len(old) == 54
