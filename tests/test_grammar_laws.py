"""Trees, noise and exact laws of grammars (worlds/grammars/chart.py)."""

import collections
import itertools
import math

import numpy as np
import pytest

from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.worlds import base
from physics_lm.worlds.grammars import chart

TINY = {'levels': 2, 'symbols': 2, 'max_rules': 2, 'max_children': 2}
NOISY = {'corrupted': 0.3, 'noise': 0.4}


def world(seed=0, **changes):
  return base.make_world(override(default.grammar().lock(), changes), seed)


def derivations(g, noisy):
  """{(string, ends): probability} of every derivation with every change of its
  symbols; ends: (position, level, symbol) of subtrees between root and
  tokens."""
  rate, v = g.noise_rate if noisy else 0.0, g.terminals
  below = [{((a,), ()): 1.0} for a in range(v)]
  for k in range(len(g.levels) - 1, -1, -1):
    if g.noise_level == k + 1 and noisy:
      changed = [collections.Counter() for _ in below]
      for a, b in itertools.product(range(v), repeat=2):
        for key, p in below[b].items():
          changed[a][key] += p * (rate / v + (1 - rate) * (a == b))
      below = changed
    own = [collections.Counter() for _ in g.levels[k].count]
    for a, share, right in g.levels[k].rules():
      for parts in itertools.product(*(below[b].items() for b in right)):
        text, ends, p = (), (), share
        for (s, e), q in parts:
          ends += tuple((i + len(text), *more) for i, *more in e)
          text, p = text + s, p * q
        ends += ((len(text), k, a),) if k else ()
        own[a][text, ends] += p
    below = own
  out = collections.Counter()
  for law in below:
    for key, p in law.items():
      out[key] += p / len(below)
  return out


def strings_of(law):
  out = collections.Counter()
  for (s, _), p in law.items():
    out[s] += p
  return out


@pytest.mark.parametrize('seed,changes', [
    (0, TINY), (1, TINY | {'noise_level': 1}),
    (2, TINY | {'roots': 2, 'max_children': 3}),
    (4, {'levels': 2, 'max_children': 2})])
def test_laws_of_corrupted_strings_equal_enumeration(seed, changes):
  g = world(seed, **changes, **NOISY)
  clean, noisy = (strings_of(derivations(g, n)) for n in (False, True))
  assert sum(noisy.values()) == pytest.approx(1)
  strings = sorted(noisy)
  mixed = {s: 0.7 * clean[s] + 0.3 * p for s, p in noisy.items()}
  for share, law in ((None, mixed), (0.0, clean), (1.0, noisy)):
    with np.errstate(divide='ignore'):
      np.testing.assert_allclose(g.logp(strings, share), np.log(
          [law[s] for s in strings]), rtol=1e-9)
  laws, rho = g.laws(strings), g.posterior(strings)
  for s, law, r in zip(strings, laws, rho):
    for t in range(len(s) + 1):
      after, of_noisy = collections.Counter(), 0.0
      for other, p in mixed.items():
        if other[:t] == s[:t]:
          after[other[t] if len(other) > t else g.terminals] += p
          of_noisy += 0.3 * noisy[other]
      total = sum(after.values())
      np.testing.assert_allclose(law[t], [
          after[a] / total for a in range(g.terminals + 1)], atol=1e-12)
      assert r[t] == pytest.approx(of_noisy / total)
  # Settled by a symbol that no string of the grammar has there.
  impossible = [s for s in strings if not clean[s]]
  for s in impossible[:20]:
    r = g.posterior([s])[0]
    after = g.laws([s], 0.0)[0].sum(-1) == 0
    assert (r[after] == 1).all() and (r[~after] < 1).all()


@pytest.mark.parametrize('changes', [TINY, {'levels': 3, 'symbols': 2,
                                            'max_rules': 2, 'max_children': 2}])
def test_end_laws_equal_enumeration(changes):
  g = world(3, **changes)
  all_ = derivations(g, False)
  strings = sorted({s for s, _ in all_})[::7]
  for k, found in enumerate(g.end_laws(strings), 1):
    for s, law in zip(strings, found):
      for t in range(1, len(s) + 1):
        p, total = np.zeros(g.terminals), 0.0
        for (other, ends), q in all_.items():
          if other[:t] == s[:t]:
            total += q
            for at, level, a in ends:
              p[a] += q * ((at, level) == (t, k))
        np.testing.assert_allclose(law[t], p / total, atol=1e-12)


def test_tree_is_that_of_the_string():
  g = world()
  for i in range(20):
    tree, s = g.tree('test', i), g.string('test', i)
    np.testing.assert_array_equal(tree.symbols[-1], s)
    assert (tree.subtrees[0] == 0).all() and (tree.symbols[0] == 0).all()
    np.testing.assert_array_equal(tree.subtrees[-1], np.arange(len(s)))
    last = tree.is_last
    assert (last[:-1] <= last[1:]).all() and last[:, -1].all()  # nested
    for k, level in enumerate(g.levels):
      rules = {(a, *right) for a, _, right in level.rules()}
      for number in range(tree.subtrees[k].max() + 1):
        here = tree.subtrees[k] == number
        children = tree.symbols[k + 1, here & last[k + 1]]
        assert (tree.symbols[k, here][0], *children) in rules


def test_corrupted_strings_differ_from_clean_ones_by_noise():
  g, clean = world(**NOISY), world()
  same = changed = 0
  for i in range(200):
    a, b = g.string('train', i), g.clean_string('train', i)
    np.testing.assert_array_equal(b, clean.string('train', i))
    assert len(a) == len(b)
    noisy = g.corrupted_string('train', i)
    assert (a == b).all() or (a == noisy).all()
    same += (a == b).all()
    changed += (noisy != b).mean() / 200
  assert same / 200 == pytest.approx(0.7, abs=0.1)
  assert changed == pytest.approx(0.4 * 2 / 3, abs=0.02)
  np.testing.assert_array_equal(world(noise=0.0, corrupted=1.0).string(
      'test', 3), clean.string('test', 3))


@pytest.mark.parametrize('noise_level', [0, 2])
def test_chart_that_grows_is_that_of_the_string(noise_level):
  g = world(1, **NOISY, levels=3, noise_level=noise_level)
  s = g.corrupted_string('test', 0)
  found = chart.inside(g.levels, [s], 3, 1.1, g._noise)
  want = chart.next_joint(found, chart.prefix_weights(
      g.levels, found, g._noise))
  growing = chart.GrowingChart(g.levels, 3, 1.1, g._noise, 1, len(s))
  for t, p in enumerate(want[0]):
    np.testing.assert_allclose(growing.next_joint()[0], p, rtol=1e-9)
    if t < len(s):
      growing.append(s[t:t + 1])


def test_samples_have_the_exact_law():
  g = world(1, **NOISY, levels=2, max_children=2)
  law = {s: math.exp(g.logp([s])[0]) for s, _ in derivations(g, True)}
  found = collections.Counter(tuple(s) for s in g.sample(
      [()] * 2000, np.random.default_rng(0)))
  for s, p in law.items():
    assert found[s] / 2000 == pytest.approx(p, abs=4 * (p / 2000)**0.5)
  deep = world()
  prefixes = [deep.string('test', i)[:5] for i in range(30)]
  made = deep.sample(prefixes, np.random.default_rng(0))
  assert np.isfinite(deep.logp(made)).all()
  assert all((s[:5] == p).all() for s, p in zip(made, prefixes))
  # As the temperature falls: the likeliest next symbol.
  s = deep.sample([()], np.random.default_rng(0), 0.01)[0]
  p = deep.laws([s])[0]
  np.testing.assert_allclose(p[np.arange(len(s) + 1), [*s, 3]], p.max(-1))
  # After what no string begins with there is nothing to draw.
  broken = next(t for t in itertools.product(range(3), repeat=3)
                if not deep.laws([t])[0, 3].any())
  assert deep.sample([broken], np.random.default_rng(0)) == [None]


def test_world_refuses_noise_of_a_level_that_it_has_not():
  with pytest.raises(BadInput, match='noise_level is 4 of 4'):
    world(noise_level=4)
