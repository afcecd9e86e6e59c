"""Tasks about people: their law, their words, their checker, their score."""

import re

import numpy as np
import pytest

from physics_lm import mixture
from physics_lm import vocab as vocabs
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.evals import manipulation as score
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model.config import model_config
from physics_lm.worlds import base, manipulation
from physics_lm.worlds.biographies import MONTHS
from tests.compiled import init


def world(people=60, seed=0, **changes):
  return base.make_world(override(default.manipulation(), {
      'people': people, 'majors': 25} | changes), seed)


def facts(w, person):
  month, day, year = w.value(person, 'birth_date').replace(',', '').split()
  return MONTHS.index(month) + 1, int(day), int(year)


def solve(w, task, one, other):
  """The answer, worked out here anew."""
  (m, d, y), (m2, d2, _) = facts(w, one), facts(w, other)
  def major(p):
    return w.value(p, 'major').strip()
  def luck(p):
    return int(w.luck_of[w.lists['major'].index(major(p))])
  def yes(b):
    return 'Yes' if b else 'No'
  a = {p: w.value(one, p).strip() for p in manipulation.WORDS}
  if task in manipulation.INVERSE:
    name = w.name(one)
    return (name[0] if task.endswith('first') else ''.join(name)).strip()
  if task in manipulation.BOTH:
    first, second = manipulation.PAIRS[manipulation.BOTH.index(task)]
    return f'{a[first]}; {a[second]}'
  return str({
      'birth_month': MONTHS[m - 1], 'birth_day': d, 'birth_year': y,
      'month_mod2': yes(m % 2 == 0), 'month_mod6': m % 6, 'month_mod12': m % 12,
      'luck_mod5': luck(one) % 5, 'luck_mod20': luck(one) % 20,
      'luck_mod100': luck(one), 'month_rank': yes(m > m2),
      'month_minus': m - m2, 'luck_rank': yes(luck(one) > luck(other)),
      'luck_minus': luck(one) - luck(other), 'day_rank': yes(d > d2),
      'day_minus': d - d2}[task])


@pytest.mark.parametrize('task', manipulation.TASKS)
def test_answers_are_correct_and_their_words_known(task):
  w = world()
  vocab = vocabs.Word(w.pieces())
  for hint in (False, True) if task in manipulation.HINTED else (False,):
    split = f'{task}{"_hint" * hint}_test'
    for i in range(0, w.size(split), max(w.size(split) // 200, 1)):
      e = w.example(split, i)
      other = manipulation_other(w, e)
      assert e.meta['person'] % 2 == 1 and other != e.meta['person']
      answer = e.pieces[-1].strip()
      assert answer == solve(w, task, e.meta['person'], other) + '.'
      question = ''.join(e.pieces[:min(e.loss)])
      assert question.endswith(' Hint:' if hint else ' Answer:')
      assert w.check(e, e.text.removeprefix(question)).correct
      assert not w.check(e, 'x' + e.text.removeprefix(question)[-3:]).correct
      assert vocab.decode([t for p in e.pieces for t in vocab.encode(p)]
                          ) == e.text
      if hint:
        said = e.pieces[-2]
        shown = [w.value(p, 'major') if 'luck' in task else facts(w, p)
                 for p in (e.meta['person'], other)]
        if 'luck' in task:
          assert said.startswith(shown[0])
          assert task in manipulation.ONE or said == (
              f'{shown[0]};{shown[1]}.')
        elif 'month' in task:
          assert said.startswith(f' {MONTHS[shown[0][0] - 1]}')
        else:
          assert re.match(rf' {shown[0][1]}; {shown[1][1]}\.', said)


def manipulation_other(w, e):
  """The person that the question's last name belongs to."""
  by_name = {''.join(w.name(p)): p for p in range(w.n)}
  named = [p for n, p in by_name.items() if n in e.text]
  others = [p for p in named if p != e.meta['person']]
  return others[0] if others else -1


def test_comparisons_have_every_pair_once():
  w = world(14)
  split = 'month_rank_train'
  pairs = set()
  for i in range(w.size(split)):
    e = w.example(split, i)
    pairs.add((e.meta['person'], manipulation_other(w, e)))
  assert len(pairs) == w.size(split) == 7 * 6
  assert all(a % 2 == b % 2 == 0 and a != b for a, b in pairs)


def test_train_people_limits_training_splits_only():
  w = world(train_people=5)
  assert w.size('month_mod2_train') == 5 and w.size('luck_rank_train') == 20
  assert w.size('month_mod2_test') == 30 and w.people('qa_train') == 30
  with pytest.raises(BadInput, match='train_people is 31'):
    world(train_people=31)
  with pytest.raises(BadInput, match='month_mod2_test'):
    w.people('month_mod2_tset')


def test_person_pairs_cover_people_equally():
  w = world()
  for split in ('luck_rank_test', 'month_mod2_test'):
    for count in (10, 30, 75):
      first = [w.example(split, i).meta['person']
               for i in manipulation.person_pairs(w, split, count)]
      assert len(first) == min(count, w.size(split))
      counts = np.bincount(first)[1::2]
      assert counts.max() - counts.min() <= 1 or len(first) < 30


def test_check_ignores_cot_facts_before_the_answer():
  w = world()
  e = w.example('luck_mod5_hint_test', 3)
  assert w.check(e, ' Some. Thing. Else.' + e.pieces[-1]).correct
  assert not w.check(e, e.pieces[-2] + ' 77.').correct
  assert not w.check(e, e.pieces[-1] + e.pieces[-2]).correct




@pytest.fixture(scope='module')
def asked():
  from physics_lm.configs import manipulation as recipe
  c = recipe.get_config('month_mod2+month_mod2_hint+luck_rank_hint')
  c.worlds.bios.people, c.worlds.bios.templates = 20, 3
  c.model.width, c.model.depth, c.model.heads = 16, 2, 2
  c.evals.tasks.people = 10
  return c


def test_evaluator_scores_generated_text(asked, monkeypatch):
  """A model that knows: forced and written answers agree with the truth, and
  one wrong word is one wrong answer."""
  data = load_mixture(asked)
  spec = asked.evals.tasks
  known = {}
  evaluator = score.build(asked, data, spec)
  for examples in evaluator.examples.values():
    for e in examples:
      ids = mixture.encode(data, e)[0]
      for n in range(1, len(ids)):
        known[tuple(ids[:n])] = ids[n]
      known[tuple(ids)] = vocabs.EOS
  world_ = data.worlds['bios']
  spoiled = world_.example('month_mod2_hint_test', 0)
  ids = tuple(mixture.encode(data, spoiled)[0])
  hint_at = len(ids) - len(data.vocab.encode(spoiled.pieces[-1])) - len(
      data.vocab.encode(spoiled.pieces[-2]))
  wrong = data.vocab.encode(' Yes')[0]
  known[ids[:hint_at]] = wrong  # in place of the hint
  known[(*ids[:hint_at], wrong)] = vocabs.EOS

  def greedy(params, cfg, prompts, steps, entries):
    out = []
    for p in prompts:
      text = list(p)
      while len(text) < len(p) + steps:
        text.append(known[tuple(text)])
        if text[-1] == vocabs.EOS:
          break
      out.append([t for t in text[len(p):] if t != vocabs.EOS])
    return out

  def outcomes(params, packed, cfg, batch):
    right = np.ones(packed['tokens'].shape, bool)
    right[0, :20] = False
    return np.zeros(packed['tokens'].shape), right

  monkeypatch.setattr(score.decode, 'greedy_decode', greedy)
  monkeypatch.setattr(score.teacher_forcing, 'outcomes', outcomes)
  found, raw = evaluator(None)

  def value(metric, task, split='test'):
    return find(found, metric, person_split=split, task=task)['value']

  assert value('cot_fact_acc', 'month_mod2') == 0.9
  assert value('acc_cot', 'month_mod2') == 0.9
  assert value('acc_cot', 'month_mod2', 'train') == 1.0
  assert 0.7 <= value('acc_no_cot', 'luck_rank') < 1
  assert {r['n'] for r in found} == {10}  # people
  assert 0.3 < value('majority_baseline', 'month_mod2') < 1
  assert {r['task'] for r in raw} == {'month_mod2', 'luck_rank'}


def test_evaluator_runs_on_a_model(asked):
  import jax
  data = load_mixture(asked)
  cfg = model_config(asked, len(data.vocab))
  params = init(cfg, jax.random.key(0))
  found, raw = score.build(asked, data, asked.evals.tasks)(params)
  assert find(found, 'acc_cot', person_split='test', task='luck_rank')[
      'value'] <= 0.1
  assert len(raw) == 2 * 2 * 2 * 10


@pytest.mark.parametrize('key,value,message', [
    ('tasks', 'month_mod3', 'nearest: month_mod'),
    ('tasks', '', 'wanted some of')])
def test_build_rejects_bad_input(asked, key, value, message):
  spec = asked.evals.tasks.copy_and_resolve_references()
  spec[key] = value
  with pytest.raises(BadInput, match=message):
    score.build(asked, load_mixture(asked), spec)
