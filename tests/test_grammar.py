"""Strings of a grammar and the exact law of their next symbol."""

import collections
import itertools
import math

import numpy as np
import pytest

from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.worlds import base


def world(seed=0, **changes):
  return base.make_world(override(default.grammar().lock(), changes), seed)


SMALL = {'levels': 2, 'symbols': 2, 'max_rules': 2, 'max_children': 2}


def enumerated(g):
  """{string: probability}, by writing out every derivation."""
  laws = [{(a,): 1.0} for a in range(g.terminals)]
  for level in reversed(g.levels):
    own = [collections.Counter() for _ in level.count]
    for a, share, right in level.rules():
      for parts in itertools.product(*(laws[b].items() for b in right)):
        text = sum((s for s, _ in parts), ())
        own[a][text] += share * math.prod(p for _, p in parts)
    laws = own
  return laws[0]


@pytest.mark.parametrize('seed,changes', [
    (0, SMALL), (1, SMALL), (2, {'levels': 2, 'symbols': 2}),
    (3, {'levels': 3, 'symbols': 2, 'max_rules': 2, 'max_children': 2}),
    (4, {'levels': 2, 'max_children': 3})])
def test_laws_equal_enumeration(seed, changes):
  g = world(seed, **changes)
  all_ = enumerated(g)
  assert sum(all_.values()) == pytest.approx(1)
  strings = sorted(all_)
  np.testing.assert_allclose(g.logp(strings),
                             np.log([all_[s] for s in strings]), rtol=1e-9)
  laws = g.laws(strings)
  for s, law in zip(strings, laws):
    for t in range(len(s) + 1):
      after = collections.Counter()
      for other, p in all_.items():
        if other[:t] == s[:t]:
          after[other[t] if len(other) > t else g.terminals] += p
      total = sum(after.values())
      np.testing.assert_allclose(
          law[t], [after[a] / total for a in range(g.terminals + 1)],
          atol=1e-12)
  if g.longest <= 9:  # what is no string of the grammar is rejected
    every = [t for n in range(1, g.longest + 1)
             for t in itertools.product(range(g.terminals), repeat=n)]
    for text, p in zip(every, g.logp(every)):
      assert np.isfinite(p) == (text in all_), text
    assert len(every) > len(all_)
  entropy = -sum(p * math.log(p) for p in all_.values())
  tokens = sum(p * (len(s) + 1) for s, p in all_.items())
  mean, error = g.entropy(2000)
  assert abs(mean - entropy / tokens) <= 4 * error + 1e-9
  assert entropy <= g.derivation_entropy + 1e-9
  assert g.mean_length == pytest.approx(tokens - 1)


def test_laws_multiply_to_the_probability():
  """cfg3 of six levels, as deep as the papers': no underflow, no drift."""
  g = world(5, levels=6)
  strings = [g.string('train', i) for i in range(3)]
  laws = g.laws(strings)
  for s, law, logp in zip(strings, laws, g.logp(strings)):
    np.testing.assert_allclose(law[:len(s) + 1].sum(-1), 1)
    steps = law[np.arange(len(s) + 1), [*s, g.terminals]]
    assert np.log(steps).sum() == pytest.approx(logp, rel=1e-9)
    assert not law[len(s) + 1:].any()


def test_check_accepts_sampled_and_rejects_corrupted_strings():
  g, rng = world(), np.random.default_rng(0)
  rejected = 0
  for i in range(100):
    e = g.example('train', i)
    assert g.check(e, e.text).correct
    words = e.text.split()
    at = rng.integers(len(words))
    words[at] = rng.choice([p.strip() for p in g.pieces()
                            if p.strip() != words[at]])
    rejected += not g.check(e, ' '.join(words)).correct
  assert rejected > 70  # some neighbours are strings too
  longer = ' '.join(['a'] * (g.longest + 1))
  assert f'at most {g.longest}' in g.check(e, longer).reason
  assert 'symbols other' in g.check(e, ' z').reason
  assert not g.check(e, '').correct


def test_strings_are_pure_and_splits_differ():
  g, again, other = world(7), world(7), world(8)
  texts = [g.example('train', i).text for i in (5, 3, 5)]
  assert texts[0] == texts[2] == again.example('train', 5).text
  assert texts[0] != texts[1]
  assert g.example('test', 5).text != texts[0]
  assert any(g.example('train', i).text != other.example('train', i).text
             for i in range(3))


@pytest.mark.parametrize('seed', range(20))
def test_rules_have_the_form_of_cfg3(seed):
  g = world(seed)
  for level in g.levels:
    right = [tuple(r) for _, _, r in level.rules()]
    assert len(set(right)) == len(right)
    assert {len(r) for r in right} <= {2, 3}
    assert {b for r in right for b in r} == set(range(g.terminals))
    assert set(level.count.tolist()) <= {2, 3}
  assert len(g.levels[0].count) == 1


@pytest.mark.parametrize('changes,message', [
    ({'levels': 29}, 'symbols in a string'),
    ({'levels': 0}, 'levels is 0'), ({'max_rules': 1}, 'max_rules is 1'),
    ({'symbols': 1, 'max_rules': 3, 'min_rules': 3}, 'right-hand sides'),
    ({'symbols': 40}, 'do not use all 40')])
def test_world_refuses_bad_input(changes, message):
  with pytest.raises(BadInput, match=message):
    world(**changes)


def test_unknown_split_is_refused():
  with pytest.raises(BadInput, match='unknown split'):
    world().example('valid', 0)
