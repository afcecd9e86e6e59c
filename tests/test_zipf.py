"""Zipf's law over people: draws, entropy, exponents of learning curves."""

import collections
import math
import pickle

import numpy as np
import pytest

from physics_lm import config as config_module
from physics_lm import mixture, restore
from physics_lm.config import override, plain_config, run_id
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.worlds import base, zipf

MANY = 100_000_000  # of which most are beyond HEAD


def world(kind, **changes):
  return base.make_world(override(getattr(default, kind)().lock(), changes), 0)


@pytest.mark.parametrize('n,a', [(1, 0.5), (7, 1.0), (5000, 0.3),
                                 (200_000, 0.8), (5000, -0.4), (200_000, 0.0),
                                 (9000, -0.9)])
def test_shares_sum_to_one_and_give_the_entropy(n, a):
  law = zipf.ZipfLaw(n, a)
  p = law.share(np.arange(1, n + 1))
  assert p.sum() == pytest.approx(1, rel=1e-9)
  assert law.deviation()**2 == pytest.approx(
      (p * np.log(p)**2).sum() - (p * np.log(p)).sum()**2, rel=1e-6, abs=1e-9)
  assert law.entropy == pytest.approx(-(p * np.log(p)).sum(), rel=1e-8,
                                      abs=1e-12)
  for count in (0, 1, n // 2, n - 1, n):
    assert law.beyond(count) == pytest.approx(p[count:].sum(), abs=1e-9)
  for draws in (1, 30, 10_000):
    assert law.unseen(draws) == pytest.approx(
        (p * (1 - p)**draws).sum(), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize('n,a', [(7, 1.0), (5000, 0.3), (300_000, 0.8),
                                 (9000, 0.0), (9000, -0.7)])
def test_ranks_invert_the_distribution(n, a):
  """Where a share of draws ends, the next person begins: exactly below HEAD,
  and to a tenth of a person beyond."""
  law = zipf.ZipfLaw(n, a)
  ends = np.cumsum(law.share(np.arange(1, n + 1)))
  for k in sorted({1, 2, n // 3, n // 2, n} | ({4095, 4096, 4097, 4098} if (
      n > 5000) else set())):
    low, high = ends[k - 1] - law.share(k), ends[k - 1]
    inside = low + (high - low) * np.array([0.1, 0.5, 0.9])
    assert [law.rank(u) for u in inside] == [k] * 3
  assert law.rank(0.0) == 1 and law.rank(1 - 2**-53) == n
  ranks = [law.rank(u) for u in np.linspace(0, 1 - 1e-12, 3000)]
  assert ranks == sorted(ranks)


@pytest.mark.parametrize('a', [0.5, 1.0])
def test_exponents_match_the_theory(a):
  """Unseen after D draws: D^-(a/(1+a)), with its constant; beyond the first
  K: K^-a."""
  law, s = zipf.ZipfLaw(MANY, a), 1 + a
  draws = np.array([1e2, 1e3, 1e4])
  unseen = np.array([law.unseen(d) for d in draws])
  exponent = -np.diff(np.log(unseen)) / math.log(10)
  np.testing.assert_allclose(exponent, zipf.data_exponent(a), atol=0.01)
  constant = law.Z**(-1 / s) / s * math.gamma(a / s)
  np.testing.assert_allclose(unseen * draws**(a / s), constant, rtol=0.02)
  beyond = [law.beyond(k) for k in (100, 1000)]
  assert math.log10(beyond[0] / beyond[1]) == pytest.approx(
      zipf.size_exponent(a), abs=0.01)


def test_skew_is_the_exponent_and_excludes_zipf_a():
  law = zipf.zipf_law(50, 0.0, 0.5)
  assert law.share(4) / law.share(16) == pytest.approx(2)
  assert zipf.zipf_law(50, 0.0, 1.0).share(2) == pytest.approx(
      zipf.zipf_law(50, 0.0, 1.0).share(1) / 2)
  w = world('biographies', people=40, skew=1.0)
  drawn = [w.example('bio', i).meta['person'] for i in range(4000)]
  assert drawn.count(0) / drawn.count(9) == pytest.approx(10, rel=0.4)
  with pytest.raises(BadInput, match='wanted one of them'):
    world('biographies', skew=1.0, zipf_a=0.2)
  d = world('biod', people=40, skew=0.5)
  assert d.frequency(4) / d.frequency(16) == pytest.approx(2)
  first = d.symbols('bio', np.arange(4000))[:, :2]
  met = [(first == d.symbols('bio', [j])[0, :2]).all(1).sum() for j in (
      next(i for i in range(4000) if d.example('bio', i).meta['person'] == p)
      for p in (0, 15))]
  assert met[0] / met[1] == pytest.approx(4, rel=0.4)


@pytest.mark.parametrize('kind,split', [
    ('biod', 'bio'), ('biographies', 'bio'), ('biographies', 'bio_test')])
def test_world_draws_people_by_the_law(kind, split):
  """Over indices in order, and over random ones, as rows draw them."""
  w = world(kind, people=400, zipf_a=0.7)
  law = zipf.ZipfLaw(w.people(split), 0.7)
  expected = law.share(np.arange(1, w.people(split) + 1))
  random = np.random.default_rng(0).integers(0, w.size(split), 4000).tolist()
  for indices in (range(4000), random):
    met = [w.example(split, i).meta['person'] for i in indices]
    if split == 'bio_test':  # odd people, in their own order
      assert all(p % 2 for p in met)
      met = [p // 2 for p in met]
    counts = np.bincount(met, minlength=len(expected))
    top = expected > 25 / 4000
    chi2 = ((counts - 4000 * expected)**2 / (4000 * expected))[top]
    assert abs(chi2.sum() - top.sum()) < 5 * math.sqrt(2 * top.sum())
    mean = np.log(expected[met])
    error = mean.std() / math.sqrt(4000)
    assert abs(-mean.mean() - law.entropy) < 4 * error  # Monte Carlo


def test_new_people_of_a_world_follow_the_law():
  """The next entry is of a new person with probability U(D)."""
  w = world('biod', people=100_000, name_alphabet=400, zipf_a=1.0)
  law, new, known = w.law, [], set()
  for i in range(8000):
    person = w.example('bio', i).meta['person']
    new.append(person not in known)
    known.add(person)
  for first, last in ((500, 2000), (2000, 8000)):
    expected = np.mean([law.unseen(d) for d in range(first, last, 50)])
    error = math.sqrt(expected / (last - first))
    assert abs(np.mean(new[first:last]) - expected) < 5 * error


def test_people_and_orders_are_pure_and_independent():
  """Entry i is what it is; its order tells nothing of its person."""
  w, again = (world('biod', people=50, zipf_a=0.5) for _ in range(2))
  assert [w.example('bio', i) for i in (9, 3)] == [
      again.example('bio', i) for i in (9, 3)]
  assert pickle.loads(pickle.dumps(w)).example('bio', 9) == w.example('bio', 9)
  first = collections.Counter()
  for i in range(4000):
    e = w.example('bio', i)
    if e.meta['person'] == 0:
      first[e.pieces[2]] += 1
  mean = sum(first.values()) / 4
  assert len(first) == 4
  assert all(abs(n - mean) < 5 * mean**0.5 for n in first.values())
  b = world('biographies', people=50, variant='multi5_permute', zipf_a=0.5)
  versions = np.bincount([b.example('bio', i).meta['version'] for i in range(
      2000) if b.example('bio', i).meta['person'] == 0])
  assert len(versions) == 5
  mean = versions.mean()
  assert (abs(versions - mean) < 5 * mean**0.5).all()


def test_entries_scored_cover_all_people_equally():
  """The scored entry of a person does not depend on its frequency."""
  plain, skew = world('biod', people=50), world('biod', people=50,
                                                    zipf_a=0.5)
  assert [plain.entry(p) for p in range(50)] == [
      skew.entry(p) for p in range(50)]
  b = world('biographies', people=50, zipf_a=0.5)
  assert b.size('qa_test') == world('biographies', people=50).size('qa_test')


def test_entropy_of_entries_matches_enumeration():
  """Perfect memory: the person and the order, nothing else."""
  w = world('biod', people=30, zipf_a=1.0)
  counts = collections.Counter(w.example('bio', i).text for i in range(60_000))
  assert all(len(e.split()) + 1 == w.tokens for e in counts)
  p = np.array(list(counts.values())) / 60_000
  # The plug-in estimate falls short by (texts - 1) / 2n (Miller 1955).
  found = -(p * np.log(p)).sum() + (len(p) - 1) / 120_000
  assert found == pytest.approx(w.entropy(), abs=0.01)
  uniform = world('biod', people=30)
  assert uniform.entropy() == pytest.approx(math.log(30) + math.log(24))


@pytest.mark.parametrize('variant', ['single', 'multi2_permute',
                                     'single_couple5'])
def test_entropy_of_biographies_matches_enumeration(variant):
  """Equal versions count once: five draws of six orders."""
  w = world('biographies', people=6, variant=variant, templates=2, zipf_a=0.5)
  law, total = w.law('bio'), 0.0
  for person in range(6):
    texts = collections.Counter(w.biography(person, v).text
                                for v in range(w.versions))
    for n in texts.values():
      p = float(law.share(person + 1)) * n / w.versions
      total -= p * math.log(p)
  assert w.entropy() == pytest.approx(total, rel=1e-6)


def test_run_id_is_that_of_older_configs_when_a_key_was_added_later(
    tiny, monkeypatch):
  kinds = ('biod', 'biographies', 'manipulation')
  monkeypatch.setattr(config_module, 'LATER',
                      {kind: {'zipf_a': 0.0} for kind in kinds})
  for kind in kinds:
    config = tiny().copy_and_resolve_references().unlock()
    config.worlds = {'bios': getattr(default, kind)()}
    new = plain_config(config)
    old = plain_config(config)
    del old['worlds']['bios']['zipf_a']
    assert run_id(new) == run_id(old)
    assert restore.config_from_plain(old).worlds.bios.zipf_a == 0.0
    new['worlds']['bios']['zipf_a'] = 0.5
    assert run_id(new) != run_id(old)


def test_rows_count_exposures_under_zipf(tiny):
  config = tiny({'worlds.bios.zipf_a': 1.0, 'data.tasks.qa.weight': 0.0})
  data = load_mixture(config)
  mixture.check_mixture(data)
  a, b = mixture.packed_row(data, 5), mixture.packed_row(data, 5)
  assert all(np.array_equal(a[k], b[k]) for k in a)
  assert a['entries'] > 0


@pytest.mark.parametrize('kind', ['biod', 'biographies'])
def test_zipf_a_refuses_bad_input(kind):
  with pytest.raises(BadInput, match=r'zipf_a is -0\.5'):
    world(kind, zipf_a=-0.5)
