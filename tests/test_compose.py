"""Compositions of permutations: problems, laws, and the checker's reasons."""

import collections

import numpy as np
import pytest

from physics_lm import mixture
from physics_lm.config import override
from physics_lm.configs import compose as recipe
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.worlds.base import make_world, prompt_and_answer
from physics_lm.worlds.symbolic import compose


def world(seed=0, **keys):
  config = default.compose()
  config.update(keys)
  return make_world(config, seed)


MARKED = dict(marked=True, share_worked=0.5)


def answer_of(example):
  return prompt_and_answer(example)[1]


def test_problems_are_pure_and_split_by_word():
  w, again = world(3), world(3)
  assert w.problem('train', 2**39) == again.problem('train', 2**39)
  assert w.problem('train', 5) != world(4).problem('train', 5)
  seen = {s: {w.problem(s, i)[0] for i in range(400)}
          for s in ('train_d3', 'test_d3', 'train_d2', 'test_d2')}
  assert not seen['train_d3'] & seen['test_d3']
  assert seen['train_d2'] & seen['test_d2']  # too few to hold any out
  assert {len(x) for x in seen['test_d3']} == {3}


def test_depths_follow_the_decaying_law():
  w = world(max_depth=6, equal_depths=3, depth_decay=0.5)
  n = 4000
  law = np.array([1, 1, 1, 0.5, 0.25, 0.125]) / 3.875
  assert np.allclose(w.depth_law, law)
  for split in ('train', 'test'):
    counts = collections.Counter(
        len(w.problem(split, i)[0]) for i in range(n))
    found = np.array([counts[d] / n for d in range(1, 7)])
    assert np.all(abs(found - law) < 5 * np.sqrt(law * (1 - law) / n)), split


def test_worked_answers_are_compositions_of_permutations():
  w = world(1)
  assert all(sorted(t) == list(range(10)) for t in w.tables.tolist())
  for i in range(50):
    e = w.example('train_d4', i)
    x = e.meta['start']
    for f, value in zip(reversed(e.meta['word']), answer_of(e).split()):
      x = w.tables[f, x]
      assert x == int(value)
    assert e.pieces[e.answers[0][1]] == f' {x}'
    assert w.check(e, answer_of(e)) == (True, 'correct')


def test_checker_finds_each_corrupted_step():
  """At that step, with the values that it has and should have."""
  w = world(2)
  for i in range(20):
    e = w.example('train_d5', i)
    right = answer_of(e).split()
    for at in range(5):
      for other in set('0123456789') - {right[at]}:
        text = ' '.join([*right[:at], other, *right[at + 1:]])
        found = w.check(e, text)
        assert not found.correct
        assert found.reason == f'step {at + 1} is {other}, wanted {right[at]}'
        assert w.correct_steps(e, text) == (at, 5)
        assert w.outcome(e, text) == (at < 4)
    for changes in (1, 2, 9):
      text = w.corrupt(e, changes, np.random.default_rng(i)).split()
      assert sum(a != b for a, b in zip(text, right)) == min(changes, 5)


def test_checker_gives_reasons_for_malformed_answers():
  w, m = world(), world(**MARKED)
  e, s = w.question((3, 4), 7), m.question((3, 4), 7, False)
  a, b = (str(v) for v in w.values((3, 4), 7))
  for text, reason in ((a, '1 steps of 2'), (f'{a} {b} 1', '3 steps of 2'),
                       (f'{a} f3', "'f3' is no number below 10"),
                       ('', 'no number')):
    assert w.check(e, text) == (False, reason)
  assert w.correct_steps(e, f'{a} {b} 1') == (0, 2)
  assert answer_of(s) == f' short {b}' and m.check(s, f' short {b}').correct
  assert m.check(s, f' worked {a} {b}').correct
  assert m.check(s, f' short {a} {b}').reason == '2 numbers in a short answer'
  assert m.check(s, f'{a} {b}').reason == f"'{a}' is no style"
  assert [m.style(t) for t in (f' short {b}', f' worked {a}', '', ' short')
          ] == ['short', 'worked', 'none', 'none']
  # Without marks a lone number is short only where the world has short ones.
  assert world(share_worked=0.5).check(e, b).correct
  assert not w.check(e, b).correct


def test_share_of_worked_answers_is_the_key():
  n = 3000
  for share in (0.02, 0.5):
    w = world(marked=True, share_worked=share)
    made = np.mean([w.style(answer_of(w.example('train', i))) == 'worked'
                    for i in range(n)])
    assert abs(made - share) < 5 * np.sqrt(share * (1 - share) / n)
    ids = [w.example('train', i).meta for i in range(5)]
    assert ids == [world().example('train', i).meta for i in range(5)]


def test_second_names_occur_alone_in_training_and_compose_in_their_splits():
  plain, n = world(3), 3000
  w = world(3, second_names=True, exposure=0.1)
  assert [w.pieces()[len(plain.pieces()):][i] for i in (0, 23)] == [
      ' g0', ' g23']
  examples = [w.example('train', i) for i in range(n)]
  second = [e for e in examples if e.pieces[0].startswith(' g')]
  assert abs(len(second) / n - 0.1) < 5 * np.sqrt(0.1 * 0.9 / n)
  assert {e.meta['depth'] for e in second} == {1}
  assert all(e.meta == plain.example('train', i).meta
             for i, e in enumerate(examples) if e not in second)
  for split, test in ('second_d4', False), ('second_test_d4', True):
    for i in range(50):
      e = w.example(split, i)
      assert all(x.startswith(' g') for x in e.pieces[:4])
      assert w._is_test(e.meta['word']) == test
      assert w.check(e, answer_of(e)).correct
      assert w.values(e.meta['word'], e.meta['start']) == plain.values(
          e.meta['word'], e.meta['start'])
  with pytest.raises(BadInput, match='wanted second_names=True'):
    world(exposure=0.1)
  with pytest.raises(BadInput, match='unknown split'):
    plain.size('second_d4')


def test_chance_floor_is_that_of_uniform_steps():
  rng = np.random.default_rng(0)
  lucky = (rng.integers(0, 4, (20_000, 3, 2)) == 0).all(-1).any(-1).mean()
  assert abs(lucky - compose.chance_floor(4, 2, 3)) < 0.01
  assert compose.chance_floor(10, 0) == 1


def test_recipes_pack_rows_and_bad_keys_are_refused():
  for variant in ('worked', 'marked'):
    data = mixture.load_mixture(recipe.get_config(variant))
    mixture.check_mixture(data)
    row = mixture.packed_row(data, 0)
    ends = data.vocab.decode(row['targets'][:9])
    assert ends and row['weights'].sum() < (row['segments'] > 0).sum()
  with pytest.raises(ValueError, match='wanted'):
    recipe.get_config('x')
  with pytest.raises(BadInput, match='wanted at least equal_depths=4'):
    world(max_depth=3)
  with pytest.raises(BadInput, match='share_worked'):
    override(recipe.get_config(), {'worlds.compose.share_worked': 2.0})
  with pytest.raises(BadInput, match='unknown split'):
    world().size('train_d17')
  one = world(functions=1)  # its only word of three is in one of the splits
  with pytest.raises(BadInput, match=r'words of 3 of functions=1 is in .t.*_d3'
                     '., with held_out_depth=3; wanted more functions'):
    for split in 'train_d3', 'test_d3':
      one.problem(split, 0)
