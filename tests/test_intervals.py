"""Intervals of effects that cover, rules with power."""

import dataclasses
import functools
import math

import numpy as np
import pytest

from physics_lm import claims
from physics_lm.claims import (
  Effect,
  at_least,
  at_most,
  between,
  correlated,
  equal,
  greater,
  judge,
  ratio_between,
)
from tests.test_claims import HIGH, A, B, claim, table

DRAWS = 3000  # simulated experiments behind each rate


def sample(values, first_seed=0):
  """The sample of values, of seeds from the first one on."""
  return claims.sample_of(dict(enumerate(map(float, values), first_seed)))


def normal(rng, mean, std, seeds, draws=DRAWS):
  """Simulated experiments, [draws, seeds]."""
  return rng.normal(mean, std, (draws, seeds))


def coverage(effects, truth):
  return np.mean([e.low <= truth <= e.high for e in effects])


def rate(rule, effects, outcome='supported'):
  return np.mean([rule.outcome(e) == outcome for e in effects])


def error(p, draws=DRAWS):
  """Four standard errors of a simulated rate whose true value is p."""
  return 4 * (p * (1 - p) / draws)**0.5


def t_effects(rng, seeds):
  """One cell of mean 5."""
  return [claims.mean_effect(sample(x)) for x in normal(rng, 5, 2, seeds)], 5


def paired_effects(rng, seeds):
  """Two cells that differ by 4, a seed's values moving together."""
  shared = normal(rng, 0, 3, seeds)
  a, b = (shared + normal(rng, m, 1, seeds) for m in (4, 0))
  return [claims.contrast(sample(x), sample(y)) for x, y in zip(a, b)], 4


def paired_ratio_effects(rng, seeds):
  """Two cells of ratio 0.7, a seed's values moving together."""
  shared = normal(rng, 0, 1, seeds)
  a, b = 7 + shared + normal(rng, 0, 0.5, seeds), 10 + shared
  return [claims.ratio(sample(x), sample(y)) for x, y in zip(a, b)], 0.7


def welch_effects(rng, seeds, spread=1.0):
  """Two cells of other seeds that differ by 4; `spread` times as noisy."""
  a, b = normal(rng, 4, spread, seeds), normal(rng, 0, 1, seeds)
  return [claims.contrast(sample(x), sample(y, 50)) for x, y in zip(a, b)], 4


def ratio_effects(rng, seeds):
  """Two cells of other seeds, of ratio 0.7."""
  a, b = normal(rng, 7, 1, seeds), normal(rng, 10, 1, seeds)
  return [claims.ratio(sample(x), sample(y, 50)) for x, y in zip(a, b)], 0.7


@pytest.mark.parametrize('seeds', [3, 5])
@pytest.mark.parametrize('simulate', [
    t_effects, paired_effects, paired_ratio_effects])
def test_intervals_cover_in_95_percent(simulate, seeds):
  effects, truth = simulate(np.random.default_rng(1), seeds)
  assert coverage(effects, truth) == pytest.approx(0.95, abs=error(0.95))


@pytest.mark.parametrize('seeds,low,high', [(3, 0.940, 0.968),
                                            (5, 0.945, 0.957)])
@pytest.mark.parametrize('simulate', [
    welch_effects, functools.partial(welch_effects, spread=5.0),
    functools.partial(welch_effects, spread=100.0), ratio_effects],
    ids=['equal', '5 times', '100 times', 'ratio'])
def test_unpaired_intervals_cover_nearly_in_95_percent(
    simulate, seeds, low, high):
  """Welch's degrees of freedom are an approximation. With 20,000 draws the
  coverage of three seeds is 0.942 (spreads of 1 and 5) to 0.966 (equal
  spreads), that of five 0.945 to 0.956; a ratio's is the same."""
  effects, truth = simulate(np.random.default_rng(2), seeds)
  assert low - error(low) <= coverage(effects, truth) <= high + error(high)


def test_unpaired_ratio_is_not_more_careful_than_welch():
  """With the fewest degrees of freedom, n - 1, it covers 0.985 at n = 3."""
  effects, truth = ratio_effects(np.random.default_rng(3), 3)
  assert coverage(effects, truth) < 0.975


def test_ratio_interval_is_unbounded_when_the_denominator_may_be_zero():
  e = claims.ratio(sample([5, 6, 7]), sample([-1, 0.2, 1.1]))
  assert (e.low, e.high) == (-math.inf, math.inf)
  assert ratio_between(0.5, 2).outcome(e) == 'inconclusive'


def test_paired_interval_is_scipys():
  from scipy import stats
  a, b = [4.0, 7.0, 5.5, 9.0], [3.0, 6.5, 4.0, 6.0]
  e = claims.contrast(sample(a), sample(b))
  wanted = stats.ttest_rel(a, b).confidence_interval(0.95)
  assert (e.low, e.high) == pytest.approx(tuple(wanted))
  e = claims.contrast(sample(a), sample(b[:3]))  # not the same seeds: Welch
  wanted = stats.ttest_ind(a, b[:3], equal_var=False).confidence_interval(0.95)
  assert (e.low, e.high) == pytest.approx(tuple(wanted))


def effects_at(rule, mean, other, seeds, draws):
  """A rule's effects when its cells have these true means and a standard
  deviation of 1 over seeds."""
  rng = np.random.default_rng(4)
  cells = [normal(rng, m, 1, seeds, draws) for m in (mean, other)]
  return [rule.effect([sample(x) for x in xs[:1 + rule.compares]])
          for xs in zip(*cells)]


@pytest.mark.parametrize('seeds', [3, 5])
@pytest.mark.parametrize('rule,other,true,border', [
    (greater(), 0, 12, 0), (greater(5), 0, 17, 5), (greater(-5), 0, 7, -5),
    (equal(12), 0, 0, 12), (equal(12), 0, 0, -12),
    (at_least(0), 0, 9, 0), (at_most(0), 0, -9, 0), (between(-9, 9), 0, 0, 9),
    (ratio_between(0.9, 1.1), 100, 100, 110)])
def test_rules_have_power_and_keep_their_error_rate(
    rule, other, true, border, seeds):
  """`true`: the first cell's mean where the claim holds by nine or more
  standard deviations; `border`: where it just does not."""
  found = effects_at(rule, true, other, seeds, 300)
  assert rate(rule, found) > 0.93
  assert rate(rule, found, 'contradicted') == 0
  found = effects_at(rule, border, other, seeds, 2000)
  assert rate(rule, found) == pytest.approx(0.025, abs=error(0.025, 2000))


@pytest.mark.parametrize('seeds', [3, 5])
def test_a_true_zero_is_contradicted_as_seldom_as_supported(seeds):
  effects, _ = welch_effects(np.random.default_rng(5), seeds)
  null = [Effect(e.value - 4, e.low - 4, e.high - 4, e.n, e.method)
          for e in effects]
  for outcome in ('supported', 'contradicted'):
    assert rate(greater(), null, outcome) <= 0.025 + error(0.025)
  assert rate(greater(), null, 'inconclusive') >= 0.95 - error(0.95)


@pytest.mark.parametrize('first_seed', [0, 50])
@pytest.mark.parametrize('accuracy', [0.01, 0.03, 0.1])
def test_few_test_items_near_zero_give_no_false_difference(
    accuracy, first_seed):
  """Counts of right answers among 50 are often the same for all seeds."""
  x = np.random.default_rng(6).binomial(50, accuracy, (2, 3000, 3)) * 2.0
  effects = [claims.contrast(sample(a), sample(b, first_seed))
             for a, b in zip(*x)]
  assert rate(greater(), effects) <= 0.025 + error(0.025, 3000)


def test_no_right_answer_in_any_seed_leaves_the_rate_open():
  """0 of 150 leaves 2.4 % open; over seeds alone the spread would be zero."""
  cell = claims.Sample(0.0, 0.0, 3, None, 50)
  e = claims.same_for_all(cell)
  assert (e.low, e.high) == (0, pytest.approx(2.43, abs=0.01))
  all_right = claims.same_for_all(cell._replace(mean=100.0))
  assert (all_right.low, all_right.high) == (pytest.approx(97.57, abs=0.01),
                                             100)
  some = cell._replace(mean=2.0, std=2.0)
  assert claims.same_for_all(some) == claims.mean_effect(some)
  df = table({'a': [0, 0, 0], 'b': HIGH}).assign(n_items=50)
  for bound, outcome in ((10, 'supported'), (1, 'inconclusive')):
    c = claim(at_most(bound), (A,), control=(B,))
    assert judge(c, df).outcome == outcome


@pytest.mark.parametrize('solved,low,high', [
    (7, 47.3, 99.7), (6, 34.9, 96.8), (8, 63.1, 100)])
def test_a_share_of_seeds_has_an_interval_for_shares(solved, low, high):
  """Each seed is one yes or no: t would leave 0 to 100 %."""
  cell = sample([100] * solved + [0] * (8 - solved))
  for items in (1.0, *[math.nan] * (solved < 8)):  # all 100: of many items?
    e = claims.same_for_all(cell._replace(items=items))
    assert (e.method, e.n) == ('Clopper-Pearson', 8)
    assert (e.low, e.high) == pytest.approx((low, high), abs=0.05)
  for known in (cell._replace(items=64.0), sample([100, 0, 50, 100])):
    assert claims.same_for_all(known._replace(std=30.0)).method == 't'
  df = table({'a': list(cell.by_seed.values())}).assign(n_items=1)
  assert judge(claim(at_least(50), (A,)), df).outcome == (
      'supported' if solved == 8 else 'inconclusive')


def test_without_spread_over_seeds_items_decide():
  df = table({'a': [75] * 3, 'b': [50] * 3})
  one, both = claim(at_least(74), (A,)), claim(greater(24))
  assert judge(one, df).effect[1:3] == judge(one, df).effect[:1] * 2  # unknown
  df = df.assign(n_items=100)
  e = judge(one, df).effect
  assert e.method == 'Clopper-Pearson' and judge(
      one, df).outcome == 'inconclusive'
  from scipy import stats
  wanted = stats.binomtest(225, 300).proportion_ci(0.95, 'exact')
  assert (e.low, e.high) == pytest.approx((100 * wanted.low, 100 * wanted.high))
  other = stats.binomtest(150, 300).proportion_ci(0.95, 'exact')
  found = judge(both, df)
  assert (found.outcome, found.effect.method) == ('inconclusive', 'Newcombe')
  assert found.effect.low == pytest.approx(25 - 100 * math.hypot(
      0.75 - wanted.low, other.high - 0.5))
  assert judge(dataclasses.replace(both, unit=''), df).effect.low == 25


def test_correlation_interval_covers_in_95_percent():
  rng, hits = np.random.default_rng(7), 0
  for _ in range(2000):
    x = rng.normal(size=20)
    y = 0.6 * x + 0.8 * rng.normal(size=20)
    e = correlated(0.0, tuple(y)).effect([
        (claims.Sample(v, 0.0, 3), claims.Sample(w, 0.0, 3))
        for v, w in zip(x, y)])
    hits += e.low <= 0.6 <= e.high
  assert hits / 2000 == pytest.approx(0.95, abs=error(0.95, 2000))


def test_rank_correlation_shares_ranks_of_equal_values():
  from scipy import stats
  x, y = [1, 1, 1, 2, 3, 3], [4, 2, 3, 5, 5, 9]
  e = correlated(0.0, tuple(y), ranks=True).effect([
      (claims.Sample(v, 0.0, 3), claims.Sample(w, 0.0, 3))
      for v, w in zip(x, y)])
  assert e.value == pytest.approx(stats.spearmanr(x, y).statistic)
  assert list(claims.average_ranks(np.array([5, 1, 5]))) == [1.5, 0, 1.5]
