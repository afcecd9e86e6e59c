"""The world of people: counts, variants, purity, checkers."""

import collections
import math

import numpy as np
import pytest

from physics_lm import vocab
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.worlds import base, biographies
from physics_lm.worlds.translation import translate

MORE = ['single_couple5', 'multi5_couple', 'fresh_permute', 'fresh_couple',
        'multi5_reverse1', 'multi2_reverse2', 'multi5_reverse6',
        'multi2_permute_reverse6']


def world(people=200, seed=0, **changes):
  config = override(default.biographies(), {'people': people} | changes)
  return base.make_world(config, seed)


def test_pools_have_the_papers_sizes():
  w = world(2)
  assert [len(p) for p in w.names] == [400, 400, 1000]
  counts = [len(set(w.lists[a])) for a in
            ('birth_city', 'university', 'major', 'employer')]
  assert counts == [200, 300, 100, 263]
  assert math.prod(w.dates) == 67_200
  assert sum(c == 'New York, NY' for c in w.lists['company_city']) == 36
  bits = sum(map(math.log2, [*counts, 67_200, 2]))
  assert abs(bits - 47.592) < 1e-3  # knowledge.md: two pronouns counted there


def test_templates_are_distinct_and_hold_subject_and_value():
  seen = set()
  for attribute in biographies.ATTRIBUTES:
    pairs = world(2).templates[attribute]
    assert len(set(pairs)) >= 45
    assert sum(after != '.' for _, after in pairs) >= 10  # go on after it
    assert not seen & set(pairs)
    seen |= set(pairs)


@pytest.mark.parametrize('variant', [*biographies.SIXTEEN, *MORE])
def test_checker_accepts_every_biography(variant):
  w = world(150, variant=variant)
  v = biographies.parse_variant(variant)
  assert w.size('bio') == 150 * v.m * max(v.p, 1)
  for i in range(min(w.size('bio'), 1500)):
    example = w.example('bio', i)
    verdict = w.check_biography(example.meta['person'], example.text)
    assert verdict.correct, (i, verdict.reason)
    for attribute, at in example.answers:  # spans point at the values
      assert example.pieces[at] == w.value(example.meta['person'], attribute)


def test_checker_rejects_spoiled_biographies():
  w = world(10, variant='single')
  text = w.example('bio', 3).text
  major = w.value(3, 'major')
  name, pronoun = ''.join(w.name(3)), biographies.PRONOUNS[w.pronoun_of[3]]
  sentences = text.replace(pronoun, '|').replace(name, '|').split('|')[1:]
  def whole(parts):
    return name + pronoun.join(parts)
  assert w.check_biography(3, whole(sentences)).correct
  for wrong, reason in (
      (text.replace(major, ' Astrology'), 'no sentence'),
      (whole(sentences[:5]), 'attributes are'),
      (whole(sentences + sentences[:1]), 'attributes are'),
      (whole(sentences[::-1]), 'order'),
      (text.replace(pronoun, name, 1), 'begins'),
      (text.replace(name, pronoun, 1), 'begins'),
      (w.example('bio', 4).text, 'begins')):
    verdict = w.check_biography(3, wrong)
    assert not verdict.correct and reason in verdict.reason, verdict
  shuffled = world(10, variant='multi5_permute')
  orders = {tuple(a for a, _ in shuffled.example('bio', i).answers)
            for i in range(50)}
  assert len(orders) > 20


def test_versions_differ_in_templates_and_order_by_variant():
  fixed = world(5, variant='single_permute5')
  five = [fixed.biography(2, v) for v in range(5)]
  sentences = [frozenset(e.text.replace(''.join(fixed.name(2)), ' He')
                         .replace(' They', ' He').replace(' She', ' He')
                         .split(' He ')) for e in five]
  assert len({e.text for e in five}) > 1
  # The same six sentences, shuffled: the templates do not change.
  assert len({frozenset(s.strip() for s in group) for group in sentences}) == 1
  multi = world(5, variant='multi5')
  assert len({multi.biography(2, v).text for v in range(5)}) == 5


def test_incorrect_values_leave_the_true_one_the_commonest():
  w = world(30, variant='multi5_permute', incorrect=0.4)
  true = world(30, variant='multi5_permute')
  cities = dict(zip(w.lists['employer'], w.lists['company_city']))
  wrong_first = 0
  for person in range(30):
    told = collections.defaultdict(list)
    for v in range(5):
      e, honest = w.biography(person, v), true.biography(person, v)
      assert [a for a, _ in e.answers] == [a for a, _ in honest.answers]
      values = {a: e.pieces[i].strip() for a, i in e.answers}
      for a, value in values.items():
        told[a].append(value)
      assert cities[values['employer']] == values['company_city']
      same = [p == q for p, q in zip(e.pieces, honest.pieces)]
      assert all(same[i] for i in set(range(len(same))) - set(e.loss))
    for a, values in told.items():
      truth = w.value(person, a).strip()
      wrong = [v for v in values if v != truth]
      if a != 'company_city':
        assert len(wrong) == len(set(wrong)) == 2
        wrong_first += values[0] != truth
      assert w.question(person, a).pieces[-1] == f' {truth}.'
  assert 0.3 < wrong_first / 150 < 0.5
  for changes in ({'variant': 'multi2', 'incorrect': 0.5}, {'incorrect': 0.1},
                  {'majors': 1, 'incorrect': 0.5}):
    with pytest.raises(BadInput, match='the true value more often'):
      world(10, **{'variant': 'multi5'} | changes)
  with pytest.raises(BadInput, match='wanted incorrect=0'):
    w.entry(0)
  fresh = world(4, variant='fresh', incorrect=0.25)
  told = [fresh.version_value(1, 'major', v) for v in range(3000)]
  assert told.count(fresh.value(1, 'major')) / 3000 == pytest.approx(
      0.75, abs=0.04)
  more = fresh.entropy() - world(4, variant='fresh').entropy()
  wanted = sum(0.25 * math.log(4 * (n - 1)) + 0.75 * math.log(4 / 3) for n in (
      200 * 12 * 28, *(len(w.lists[a]) for a in (
          'birth_city', 'university', 'major', 'employer'))))
  assert more == pytest.approx(wanted)
  w = world(12, variant='multi10', templates=2, incorrect=0.4)
  of_person = [collections.Counter(
      w.biography(k, v).text for v in range(10)).values() for k in range(12)]
  assert w.entropy() == pytest.approx(math.log(12) - np.mean([
      sum(n / 10 * math.log(n / 10) for n in counts) for counts in of_person]))


def test_a_person_of_any_range_has_the_same_texts():
  for variant in ('multi5_permute', 'fresh_permute'):
    first, second = (world(10, variant=variant, person_offset=n)
                     for n in (0, 5))
    assert first.biography(7, 3).text == second.biography(2, 3).text


def test_couples_stay_together_in_random_order():
  w = world(20, variant='multi5_couple')
  orders = [tuple(a for a, _ in w.example('bio', i).answers)
            for i in range(100)]
  assert len(set(orders)) == 6
  assert all(o.index('university') + 1 == o.index('major') for o in orders)
  other = world(20, variant='multi5_permute')
  broken = next(e for i in range(100) for e in [other.example('bio', i)]
                if tuple(a for a, _ in e.answers) not in orders)
  assert 'separates a couple' in w.check_biography(
      broken.meta['person'], broken.text).reason


def test_reverse_variants_name_the_person_late():
  for variant, place in (('multi5_reverse1', 1), ('multi5_reverse2', 2),
                         ('multi5_permute_reverse6', 6)):
    w = world(20, variant=variant)
    e = w.example('bio', 7)
    before, _, _ = e.text.partition(''.join(w.name(e.meta['person'])))
    assert before.count('.') >= place and before.startswith(' The person')
    assert before.count('The person') == place + (place == 6)
    with pytest.raises(BadInput, match='reversed'):
      w.entry(0)
  # The world before there were reversed texts has the same vocabulary.
  assert ' The person' not in set(world(5).pieces())


@pytest.mark.parametrize('variant', ['single', 'multi2_permute2_fullname'])
def test_bilingual_variants_add_translations_in_disjoint_words(variant):
  plain, w = (world(40, variant=v) for v in (variant, f'{variant}_bilingual'))
  texts = plain.versions
  assert w.versions == 2 * texts
  letters = ''.join(map(chr, range(ord('a'), ord('z') + 1)))
  assert sorted(translate(letters)) == list(letters)  # no letter is lost
  values = {v for a in biographies.ATTRIBUTES[1:] for v in w.lists[a]}
  assert not values & set(map(translate, values))
  for person in range(40):
    name = ''.join(w.name(person))
    for v in range(texts):
      first, second = (w.biography(person, i) for i in (v, v + texts))
      assert first == plain.biography(person, v)  # nothing else changes
      for example in (first, second):
        assert example.text.startswith(name)
        assert w.check_biography(person, example.text).correct
      assert not plain.check_biography(person, second.text).correct
      for attribute, at in second.answers:
        assert second.pieces[at] == translate(w.value(person, attribute))
  spoiled = second.text.replace(translate(w.value(39, 'major')), ' Xyz')
  assert not w.check_biography(39, spoiled).correct
  for kind in ('word', 'piece'):  # both vocabularies know the new words
    v = vocab.make_vocab(kind, w.pieces())
    ids = [t for piece in second.pieces for t in v.encode(piece)]
    assert v.decode(ids) == second.text
  # Templates are drawn anew: a biography is no word-by-word translation.
  assert any(translate(w.biography(k, 0).text.removeprefix(''.join(w.name(k))))
             != w.biography(k, texts).text.removeprefix(''.join(w.name(k)))
             for k in range(40))
  assert w.entropy() == pytest.approx(plain.entropy() + math.log(2), abs=0.02)
  with pytest.raises(BadInput, match='bilingual'):
    world(5, variant='fresh_bilingual')


def test_fresh_biographies_are_pure_and_never_repeat():
  a, b = (world(20, variant='fresh_permute') for _ in range(2))
  some = [a.example('bio', 7 + 20 * v) for v in range(50)]
  assert len({e.text for e in some}) == 50
  assert {e.meta['person'] for e in some} == {7}
  far = a.size('bio') - 13
  assert a.example('bio', far) == b.example('bio', far)
  counts = np.bincount([t for v in range(400) for t in a._version(3, v)[0]],
                       minlength=50)
  assert len(counts) == 50 and counts.min() > 20  # of 48 expected


def test_person_offset_selects_people_of_one_world():
  whole = world(90, variant='multi2_permute')
  later = world(30, variant='multi2_permute', person_offset=60)
  for i in range(30):
    assert later.name(i) == whole.name(60 + i)
    assert later.value(i, 'employer') == whole.value(60 + i, 'employer')
    assert later.biography(i, 1).text == whole.biography(60 + i, 1).text
  assert not {later.name(i) for i in range(30)} & {
      whole.name(i) for i in range(60)}


def test_people_are_the_same_in_a_larger_world():
  """Person i, and version m, do not depend on how many there are."""
  few, many = world(50, variant='multi2'), world(300, variant='multi5')
  for person in range(50):
    for version in range(2):
      assert (few.biography(person, version)
              == many.biography(person, version))


def test_example_is_pure_in_seed_and_index():
  a, b, other = world(seed=3), world(seed=3), world(seed=4)
  order = np.random.default_rng(0).permutation(a.size('bio'))
  backwards = {int(i): a.example('bio', int(i)) for i in order}
  for i in range(b.size('bio')):
    assert b.example('bio', i) == backwards[i]
  assert a.example('bio', 0) != other.example('bio', 0)


def test_names_are_unique_when_nearly_all_are_used():
  for n, pools in ((5000, (400, 400, 1000)), (990, (10, 10, 10))):
    w = world(n, first_names=pools[0], middle_names=pools[1],
              last_names=pools[2])
    assert len({w.name(i) for i in range(n)}) == n


def test_attributes_are_uniform_and_independent():
  w = world(20_000)
  for attribute, pool in w.lists.items():
    if attribute == 'company_city':
      continue
    counts = np.bincount(w.value_of[attribute], minlength=len(pool))
    expected = 20_000 / len(pool)
    chi2 = ((counts - expected)**2 / expected).sum()
    assert abs(chi2 - len(pool)) < 6 * math.sqrt(2 * len(pool)), attribute
  city, major = w.value_of['birth_city'], w.value_of['major']
  assert abs(np.corrcoef(city, major)[0, 1]) < 0.03
  guess = collections.Counter(
      w.value(i, 'company_city') for i in range(20_000)).most_common(1)[0]
  assert guess[0] == ' New York, NY'
  assert abs(guess[1] / 20_000 - 36 / 263) < 0.01


def test_splits_separate_people_and_hold_their_questions():
  w = world(21)
  assert w.people('qa_train') == 11 and w.people('qa_test') == 10
  train = {w.example('qa_train', i).meta['person'] for i in range(66)}
  test = {w.example('qa_test', i).meta['person'] for i in range(60)}
  assert not train & test and train | test == set(range(21))
  q = w.question(4, 'employer')
  assert q.text.startswith(' Which company did ' + ''.join(w.name(4)).strip())
  assert q.text.endswith(w.value(4, 'employer') + '.')
  with pytest.raises(IndexError):
    w.example('qa_test', 60)


@pytest.mark.parametrize('variant,tokens', [
    ('single', 26), ('multi5_permute', 26), ('multi5_permute_fullname', 36),
    ('multi2_permute_reverse6', 29), ('fresh_couple', 26)])
def test_pieces_are_one_token_each_when_listed(variant, tokens):
  """Name parts, values, the words between; few dates are values, too."""
  w = world(40, variant=variant, years=4, days=2)
  v = vocab.make_vocab('piece', w.pieces())
  for i in range(min(w.size('bio'), 300)):
    e = w.example('bio', i)
    ids = [v.encode(piece) for piece in e.pieces]
    assert {*map(len, ids)} == {1} and len(ids) == tokens, e.pieces
    assert v.decode(sum(ids, ())) == e.text
  for i in range(w.size('qa_train')):
    e = w.example('qa_train', i)
    ids = [v.encode(piece) for piece in e.pieces]
    assert [*map(len, ids)] == [1, 1, 1, 1, 1, 2]  # the value, its full stop
    assert v.decode(sum(ids, ())) == e.text
    assert ids[-1] == v.encode(e.pieces[-1][:-1]) + v.encode('.')


def test_dates_split_into_pieces_when_too_many_to_list():
  w = world(300)
  v = vocab.make_vocab('piece', w.pieces())
  assert len(v) < 6000 < math.prod(w.dates)
  for person in range(300):
    date = v.encode(w.value(person, 'birth_date'))
    assert len(date) == 4
    q = w.question(person, 'birth_date')
    assert v.encode(q.pieces[-1]) == date + v.encode('.')
    e = w.biography(person, 0)
    for example in (q, e):
      ids = sum(map(v.encode, example.pieces), ())
      assert v.decode(ids) == example.text
    assert len(ids) == len(e.pieces) + 3
  with pytest.raises(BadInput, match=r"31.* of the closed vocabulary 'piece'; "
                     'byte, bpe:SIZE'):
    v.encode(' May 31, 1900')


def test_check_accepts_the_exact_answer_only():
  w = world(10)
  q = w.question(1, 'birth_date')
  right = w.value(1, 'birth_date').strip() + '.'
  assert w.check(q, ' ' + right).correct
  for wrong, why in (('', 'empty'), (right[:-1], 'another birth_date'),
                     (right + ' Also', 'text after'),
                     ('October 77, 19', 'not a birth_date')):
    verdict = w.check(q, wrong)
    assert not verdict.correct and why in verdict.reason, verdict


@pytest.mark.parametrize('changes,message', [
    ({'variant': 'multi'}, 'unknown variant'),
    ({'variant': 'single_permute0'}, 'unknown variant'),
    ({'people': 10**9}, 'only 160000000 names'),
    ({'people': 1}, 'at least 2'),
    ({'person_offset': -1}, 'person_offset is -1'),
    ({'variant': 'fresh_permute2'}, 'unknown variant'),
    ({'variant': 'multi5_fullname_reverse1'}, 'unknown variant'),
    ({'variant': 'multi5_reverse7'}, 'unknown variant'),
    ({'cities': 201}, r'\[1, 200\]'),
    ({'months': 13}, 'months is 13'),
    ({'version': 99}, 'version 99'),
    ({'kind': 'biograph'}, 'biographies')])
def test_world_refuses_bad_input(changes, message):
  with pytest.raises(BadInput, match=message):
    world(**{'people': 10} | changes)
