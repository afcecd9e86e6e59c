"""Instructions on strings: operations by brute force, what is held out, forms,
two languages, the checker's reasons, exact match of complete answers."""

import collections

import numpy as np
import pytest

from physics_lm import mixture
from physics_lm.configs import default
from physics_lm.configs import instruct as recipe
from physics_lm.errors import BadInput
from physics_lm.evals.exact.answers import AnswersEval
from physics_lm.evals.teacher_forcing import AnswerSpan
from physics_lm.vocab import EOS
from physics_lm.worlds.base import make_world, prompt_and_answer
from physics_lm.worlds.symbolic import instruct

ALL = 'replace,delete,double,reverse,count,select,delete+reverse,double+count'


def world(seed=0, **keys):
  config = default.instruct()
  config.update(keys)
  return make_world(config, seed)


def by_hand(words, language=0):
  """The answer to an instruction's words, by Python's own text functions."""
  chain, text = [], None
  names = {ws[language]: n for n, (_, ws) in instruct.INSTRUCTIONS.items()}
  words, then = list(words), instruct.THEN[language].strip()
  while text is None:
    name = names[words.pop(0)]
    count = len(instruct.INSTRUCTIONS[name][0])
    chain.append((name, [words.pop(0) for _ in range(count)]))
    if words[0] == then:
      words.pop(0)
    else:
      text = f' {" ".join(words)} '.replace(' ', '  ')  # each word has its own
  for name, args in chain:
    if name == 'replace':
      text = text.replace(f' {args[0]} ', f' {args[1]} ')
    elif name == 'delete':
      text = text.replace(f' {args[0]} ', ' ')
    elif name == 'double':
      text = text.replace(f' {args[0]} ', f' {args[0]}  {args[0]} ')
    elif name == 'reverse':
      text = ' '.join(text.split()[::-1])
    elif name == 'count':
      text = str(text.count(f' {args[0]} '))
    else:
      text = text.split()[int(args[0]) - 1]
  return text.split()


@pytest.mark.parametrize('markers', ['user_ai', 'separator'])
def test_answers_equal_text_functions_in_both_languages(markers):
  w = world(3, families=ALL, second=0.5, markers=markers)
  middle, found = instruct.MARKERS[markers][1], collections.Counter()
  for i in range(400):
    e = w.example('train', i)
    prompt, answer = prompt_and_answer(e)
    asked = prompt.removeprefix(instruct.MARKERS[markers][0])
    assert asked.endswith(middle)
    words = asked.removesuffix(middle).split()
    assert answer.split() == [*by_hand(words, e.meta['second']), '.'], e.text
    assert w.check(e, answer) == (True, 'correct')
    found[e.meta['kind']] += 1
    if 'x' in instruct.INSTRUCTIONS[e.meta['instruction'][0][0]][0]:
      assert len(e.meta['instruction']) > 1 or (
          e.meta['instruction'][0][1][0] in e.meta['input'])
  assert len(found) == 16 and min(found.values()) > 8


def test_held_out_arguments_and_inputs_are_in_no_training_example():
  """In chains, in worked pairs and in the second language neither."""
  w = world(1, families='replace,delete+reverse', held_out='delete',
            symbols=12, min_length=3, max_length=4, shots=1, share_shots=0.5,
            second=0.5)
  train = [w.example('train', i).meta for i in range(1500)]
  used = {op for m in train for op in m['instruction']}
  inputs = {m['input'] for m in train}
  assert len(used) > 120  # nearly all of 116 + 11 + 1
  for split, kind in w.kinds.items():
    for i in range(40):
      e = w.example(split, i).meta
      assert e['input'] not in inputs and e['kind'] == kind.name
      for op in e['instruction']:
        assert (op not in used) == (kind.new and op[0] != 'reverse'), op
  assert {m['kind'].split('_')[0] for m in train} == {
      'replace', 'delete+reverse'}
  assert 'test_delete_new_second_shots' in w.kinds


def test_training_sets_are_nested_and_tests_the_same():
  few, more = (world(5, instructions=n) for n in (10, 50))
  a, b = (w.arguments['replace'] for w in (few, more))
  assert b[0][:10] == a[0] and len(b[0]) == 50 and a[1] == b[1]
  assert len(a[1]) == 32 * 31 // 8
  for i in range(20):
    assert few.example('test_replace_new', i) == more.example(
        'test_replace_new', i)
    assert more.example('test', 2 * i + 1) == more.example(
        'test_replace_new', i)
  assert few.example('train', 2**39) == world(
      5, instructions=10).example('train', 2**39)


def test_shares_and_the_law_of_ranks_are_the_keys():
  n = 3000
  w = world(2, no_op=0.3, zipf_a=1.0, instructions=8, shots=2, share_shots=0.4,
            second=0.25, dictionary=0.1, families='replace,delete',
            first_only='replace')
  made = [w.example('train', i).meta for i in range(n)]
  asked = [m for m in made if m['kind'] != 'dictionary']
  ranks = collections.Counter(
      w.arguments['replace'][0].index(m['instruction'][0][1]) for m in asked
      if m['kind'].startswith('replace'))
  law = np.arange(1, 9) ** -1.0
  shares = {
      1 - len(asked) / n: 0.1,
      np.mean([m['instruction'][0][1][0] not in m['input'] for m in asked]):
          0.3,
      np.mean(['shots' in m['kind'] for m in asked]): 0.4,
      np.mean([m['second'] for m in asked]): 0.25,
      ranks[0] / ranks.total(): 1 / law.sum()}
  for found, wanted in shares.items():
    assert abs(found - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / 1000)
  assert not any(m['second'] for m in asked if m['kind'].startswith('replace'))


def test_languages_share_no_words_unless_the_key_is_set():
  def words(w, split):
    return {p for i in range(300) for p in w.example(split, i).pieces}
  for shared in (False, True):
    w = world(families='replace,delete+reverse', second=0.5,
              shared_words=shared)
    first, second = (
        set.union(*(words(w, f'test_{f}_known{end}') for f in (
            'replace', 'delete+reverse'))) - {' User', ' AI', ' .'}
        for end in ('', '_second'))
    names = {' replace', ' delete', ' then', ' reverse'}
    assert first & second == (names if shared else set())
  w = world(dictionary=0.5, second=0.5)
  entries = {e.text for i in range(2000)
             if (e := w.example('train', i)).meta['kind'] == 'dictionary'}
  assert ' User translate replace AI ersetze .' in entries
  assert len(entries) == 66  # 32 symbols and an operation, both ways


def test_checker_finds_each_changed_word():
  w = world(4)
  for i in range(20):
    e = w.example('test', i)
    right = prompt_and_answer(e)[1].split()
    for at in range(len(right)):
      found = w.check(e, ' '.join([*right[:at], 'zz', *right[at + 1:]]))
      assert found.reason == f"word {at + 1} is 'zz', wanted {right[at]!r}"
    assert w.check(e, ' '.join(right[:-1])).reason == (
        f'{len(right) - 1} words, wanted {len(right)}')
    assert not w.check(e, ' '.join([*right, '.'])).correct


def test_exact_match_needs_every_piece_of_an_example(monkeypatch):
  spans = [AnswerSpan(i, kind, 0, a, a + 1) for a, (i, kind) in enumerate(
      [(0, 'x'), (0, 'x'), (1, 'x'), (1, 'x'), (2, 'y'), (2, 'y'), (2, 'y')])]
  correct = np.array([[1, 1, 1, 0, 0, 1, 1]], bool)
  monkeypatch.setattr('physics_lm.evals.teacher_forcing.outcomes',
                      lambda *args: (None, correct))
  rows = AnswersEval(None, 1, {}, spans, True)({}).rows
  found = {(r['metric'], r['attribute']): (round(r['value'], 2), r['n'])
           for r in rows}
  assert found == {
      ('exact_match', 'all'): (0.33, 3), ('exact_match', 'x'): (0.5, 2),
      ('exact_match', 'y'): (0.0, 1), ('first_correct', 'all'): (0.67, 3),
      ('first_correct', 'x'): (1.0, 2), ('first_correct', 'y'): (0.0, 1),
      ('accuracy', 'all'): (0.71, 7), ('accuracy', 'x'): (0.75, 4),
      ('accuracy', 'y'): (0.67, 3)}


@pytest.mark.parametrize('variant', recipe.FAMILIES)
def test_recipe_has_loss_on_the_answers_alone(variant):
  data = mixture.load_mixture(recipe.get_config(variant))
  mixture.check_mixture(data)
  row, (mark,) = mixture.packed_row(data, 0), data.vocab.encode(' AI')
  (stop,) = data.vocab.encode(instruct.STOP)
  bearing = row['weights'] > 0
  starts = np.flatnonzero(np.diff(bearing.astype(int), prepend=0) == 1)
  assert (row['tokens'][starts] == mark).all() and len(starts) > 1
  ends = np.flatnonzero(bearing & (row['targets'] == EOS))
  assert (row['tokens'][ends] == stop).all() and len(ends) == len(starts)


@pytest.mark.parametrize('keys,message', [
    ({'families': 'replase'}, "unknown operation 'replase'.*replace"),
    ({'families': ' '}, 'wanted one at least'),
    ({'families': 'count+reverse'}, 'wanted it at the end'),
    ({'first_only': 'delete'}, "first_only has 'delete'"),
    ({'markers': 'xml'}, "markers is 'xml'"),
    ({'instructions': 869}, 'instructions is 869, wanted at most 868'),
    ({'max_length': 30}, 'three symbols more'),
    ({'share_shots': 0.5}, 'wanted shots of at least 1'),
    ({'no_op': 2.0}, 'no_op')])
def test_bad_keys_are_refused_in_one_line(keys, message):
  with pytest.raises(BadInput, match=message):
    world(**keys)
