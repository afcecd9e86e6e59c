"""Solutions are judged as the checker judges them, and counted right."""

import json
import re

import numpy as np
import pytest

from physics_lm import mixture, restore, run_dir, train
from physics_lm.config import override
from physics_lm.configs import igsm as recipe
from physics_lm.errors import BadInput
from physics_lm.evals import __main__ as command
from physics_lm.evals import registry
from physics_lm.evals.igsm import solutions
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model import decode
from physics_lm.worlds.igsm import checker

TEXT = (" The number of each Gull's Brig equals 3. The number of each Gull's "
        "Cog equals the sum of each Gull's Brig and each Gull's Yawl. The "
        "number of each Gull's Yawl equals 4. How many Cog does Gull have?")
ITEMS = [('Harbor', ['Gull']), ('Ship', ['Brig', 'Cog', 'Yawl', 'Tug'])]
SMALL = {'worlds.igsm.max_op': 3, 'worlds.igsm.items_per_subcategory': 3,
         'worlds.igsm.max_width': 3, 'worlds.igsm.max_edge': 6,
         'worlds.igsm.retry_rate': 0.3, 'data.seq_len': 192,
         'data.batch_size': 8, 'model.width': 16, 'model.depth': 2,
         'model.heads': 2, 'steps': 3, 'optim.warmup_steps': 1, 'log.every': 1}


@pytest.fixture
def config():
  c = recipe.get_config()
  c.evals.reasoning.splits = 'test,test_op4'
  c.evals.reasoning.num_problems = 40
  c.evals.reasoning.max_new_tokens = 62
  return override(c, SMALL)


class Known:
  """In place of a contamination.TrainingSet."""

  def __init__(self, occurred):
    self.occurred = occurred

  def contamination_checker(self, step):
    return self.occurred


def built(config, training_set=None):
  return solutions.build(config, load_mixture(config), config.evals.reasoning,
                         training_set)


def evaluate(config, monkeypatch, answer, occurred=None):
  """Rows and outcomes when a model writes answer(example, solution)."""
  evaluator = built(config, occurred and Known(occurred))
  data, world = evaluator.data, evaluator.world
  texts = {world.prompt(e): answer(e, ''.join(e.pieces[i] for i in e.loss))
           for part in evaluator.problems.values() for _, e in part}
  words = re.compile('|'.join(sorted(map(re.escape, data.vocab.words),
                                     key=len, reverse=True)))

  def write(params, cfg, prompts, steps, how, entries, batch):
    assert batch % config.data.batch_size == 0 and entries == len(data.vocab)
    out = [[i for piece in words.findall(texts[data.vocab.decode(ids[1:])])
            for i in data.vocab.encode(piece)] for ids in prompts]
    return [ids[:steps] for ids in out]

  monkeypatch.setattr(decode, 'generate', write)
  return evaluator(None, 0)


def value(found, metric, split='test', **where):
  return find(found, metric, split=split, **where)['value']


def test_judge_solution_accepts_true_and_rejects_spoiled_ones(
    config, monkeypatch):
  found, raw = evaluate(config, monkeypatch, lambda e, text: text)
  for split in ('test', 'test_op4'):
    mine = [r for r in raw if r['split'] == split]
    assert find(found, 'accuracy', split=split)['n'] == len(mine) == 40
    # A solution that is longer than max_new_tokens does not end.
    share = np.mean([r['ended'] for r in mine])
    assert value(found, 'accuracy', split) == share
    assert value(found, 'answer_accuracy', split) == share
    assert value(found, 'retries', split) == 0
    assert value(found, 'extra_parameters', split) == 0
  assert 0 < value(found, 'ended', 'test_op4') < 1
  assert {r['op'] for r in raw if r['split'] == 'test_op4'} == {4}
  assert value(found, 'op', 'test_op4') == 4
  found, raw = evaluate(config, monkeypatch, lambda e, text: re.sub(
      r'(\d)\.$', lambda m: f'{(int(m[1]) + 1) % 5}.', text))
  assert value(found, 'accuracy') == value(found, 'answer_accuracy') == 0
  assert all('wanted' in r['reason'] for r in raw if r['ended'])
  # The right number alone is an answer, not a solution.
  found, _ = evaluate(config, monkeypatch, lambda e, text: (
      f' so = {e.meta["answer"]}.'))
  assert value(found, 'answer_accuracy') == 1 > value(found, 'accuracy') == 0


def test_solution_rows_count_by_op_and_retries(config, monkeypatch):
  found, raw = evaluate(config, monkeypatch, lambda e, text: (
      f" Define{e.pieces[1]}'s{e.pieces[3]} as BACK." + (
          text if e.meta['op'] == 1 else '')))
  mine = [r for r in raw if r['split'] == 'test']
  ones = [r for r in mine if r['op'] == 1]
  assert 0 < len(ones) < 40
  assert find(found, 'accuracy', split='test', op=1)['n'] == len(ones)
  assert value(found, 'accuracy', op=1) == 1 > value(
      found, 'accuracy', op=2) == 0
  row = find(found, 'accuracy', split='test')
  assert row['low'] < row['value'] == len(ones) / 40 < row['high']
  assert value(found, 'retries') == value(found, 'retries_wrong') == 1
  assert find(found, 'retries', split='test')['n'] == len(ones)
  assert find(found, 'retries_wrong', split='test')['n'] == 40 - len(ones)
  world = load_mixture(config).worlds['igsm']
  constant = solutions.most_frequent_answer(world)
  assert value(found, 'majority_baseline') == np.mean(
      [world.example('test', r['index']).meta['answer'] == constant
       for r in mine])


def test_problems_that_occurred_in_training_have_rows_without_them(
    config, monkeypatch):
  """A model that has memorised the first half of each split."""
  data = load_mixture(config)
  world = data.worlds['igsm']
  old = {world.prompt(e) for split in ('test', 'test_op4') for _, e in
         solutions.problems(data, world, split, 20)}

  def recite(e, text):
    return text if world.prompt(e) in old else ' so'

  found, raw = evaluate(config, monkeypatch, recite)
  assert {r['contaminated'] for r in found} == {'all'}  # not known
  found, raw = evaluate(config, monkeypatch, recite, lambda split, text: (
      split == 'test' and text in old))
  mine = [r for r in raw if r['split'] == 'test']
  new = [r for r in mine if r['problem'] not in old]
  assert 5 < len(new) <= 20
  assert [r for r in mine if not r['in_training_set']] == new
  assert find(found, 'accuracy', split='test', contaminated='no')[
      'n'] == len(new)
  assert value(found, 'accuracy', contaminated='no') == 0 < value(
      found, 'accuracy')
  assert value(found, 'first_error', error_type='unreadable',
               contaminated='no') == 1
  assert value(found, 'majority_baseline', contaminated='no') == np.mean(
      [r['majority_correct'] for r in new])
  other = [r for r in found if r['split'] == 'test_op4']  # all of it is new
  by_slice = [[{k: v for k, v in r.items() if k != 'contaminated'}
               for r in other if r['contaminated'] == c] for c in ('all', 'no')]
  assert by_slice[0] == by_slice[1] != []
  found, _ = evaluate(config, monkeypatch, recite, lambda *_: True)
  assert {r['contaminated'] for r in found} == {'all', 'yes'}  # none is new


def test_problems_to_train_on_are_not_test_problems_by_text(config):
  data = load_mixture(config)
  world, spec = data.worlds['igsm'], config.evals.reasoning
  texts = solutions.evaluated_texts(data, world, spec)
  assert len(texts) > 40
  more = solutions.problems(data, world, 'test', 30, texts)
  every = solutions.problems(data, world, 'test', more[-1][0] + 1)
  assert [i for i, _ in more] == [
      i for i, e in every if world.prompt(e) not in texts][:30]
  assert more[0][0] >= 40 and len(more) == 30
  every = frozenset(world.prompt(world.example('train_op1', i))
                    for i in range(300))
  few = type('Few', (frozenset,), {'__len__': lambda self: 3})(every)
  with pytest.raises(BadInput, match='wanted fewer test problems'):
    solutions.problems(data, world, 'train_op1', 30, few)


def test_first_error_type_is_of_the_first_wrong_sentence():
  """A problem with B = 3, Y = 4, C = B + Y."""
  problem = checker.Problem(TEXT, ITEMS)
  b = " Define Gull's Brig as b; so b = 3."
  y = " Define Gull's Yawl as y; so y = 4."
  c = " Define Gull's Cog as c; so c = b + y = 3 + 4 = 7."
  back = " Define Gull's Cog as BACK."

  def error(text, ended=True):
    return solutions.judge_solution(problem, text, ended)['first_error']

  assert error(b + y + c) == error(b + back + y + c) == ''
  assert error(b + c + y) == error(back + b + c) == 'not_computable'
  assert error(b + y + c.replace('7', '8')) == 'arithmetic'
  assert error(b + b + y + c) == 'duplicate'
  assert error(b + y + c.replace('Cog', 'Tug')) == 'unknown_quantity'
  assert error(b + ' so b' + y) == error(b + y + ' Define') == 'unreadable'
  assert error(b + y) == error(b + y + c, False) == error('') == 'end'
  part = [{'index': i, 'op': 1, 'majority_correct': False,
           'extra_parameters_unplanned': 0,
           **solutions.judge_solution(problem, t, True)}
          for i, t in enumerate((b + y + c, b + y, b + c, c))]
  found = solutions.solution_rows(part, 's', 'all')
  assert value(found, 'accuracy', 's') == 0.25
  errors = {k: value(found, 'first_error', 's', error_type=k)
            for k in solutions.ERROR_TYPES}
  assert errors['end'] == 0.25 and errors['not_computable'] == 0.5
  assert sum(errors.values()) == 0.75


def test_problems_longer_than_rows_are_left_out(config):
  short = override(config, {'data.seq_len': 90})
  data, evaluator = load_mixture(short), built(short)
  world = evaluator.world
  indices = [i for i, _ in evaluator.problems['test']]
  assert len(indices) == 40 and indices != list(range(40))
  for i in range(indices[-1]):
    size = len(mixture.encode(data, world.example('test', i))[0])
    assert (size <= 90) == (i in indices)
  # The same problems with retries in them as without.
  clean = load_mixture(override(config, {'worlds.igsm.retry_rate': 0.0}))
  for i in range(60):
    a, b = (w.example('train', i) for w in (world, clean.worlds['igsm']))
    assert solutions.size_without_retries(data, world, a) == (
        solutions.size_without_retries(data, world, b))
    assert solutions.prompt_ids(data, a) == solutions.prompt_ids(data, b)


def test_compact_solutions_are_judged_by_the_same_kinds_of_error(config):
  c = override(recipe.get_config('compact'), {'worlds.igsm.retry_rate': 0.5})
  data, extra = load_mixture(c), []
  world = data.worlds['igsm']
  for i in range(40):
    e = world.example('train_op3', i)
    problem, text = world.problem(e), ''.join(e.pieces[e.loss[0]:])
    assert solutions.judge_solution(problem, text, True)['correct']
    assert solutions.size_without_retries(data, world, e) == (
        len(e.pieces) + 1 - 3 * e.meta['retries'])

    own = [s for s in text.split('.')[:-1] if 'BACK' not in s]

    def error(some, problem=problem, last=own[-1] + '.'):
      judged = solutions.judge_solution(problem, some, True)
      assert not judged['correct']
      assert judged['query_early'] == (some == last)
      return judged['first_error']

    spare = next(p for p in problem.definitions if p not in problem.needed()
                 ) if e.meta['edges'] > 3 else None
    number = int(own[0].split()[-1])
    assert error('.'.join(own[:-1]) + '.') == 'end'
    assert error(own[-1] + '.') == 'not_computable'
    assert error(f'{own[0]}.{own[0]}.') == 'duplicate'
    assert error(own[0][:-1] + f'{(number + 1) % 5}.') == 'arithmetic'
    assert error(' + 3.') == 'unreadable'
    assert error(' Ab + 3 3 3 3 1.') == 'unknown_quantity'
    extra.append(solutions.unplanned_extra(problem, np.random.default_rng(i)))
    assert extra[-1] <= len(problem.definitions) - len(problem.needed())
    wanted = problem.name(problem.query)
    retried = f' {wanted} BACK.{text} {wanted} BACK.'
    count = solutions.computable_retries(problem, text)  # of what is an error
    assert count == (0, 0)
    assert solutions.computable_retries(problem, retried) == (1, 0)
    if spare and not problem.sources(spare):
      backed = f' {problem.name(spare)} BACK.{text}'
      assert world.check(e, backed).correct
      assert solutions.computable_retries(problem, backed) == (1, 1)
  assert 0.5 < np.mean(extra) < 3 and min(extra) == 0


def test_loop_and_command_write_the_same_rows(config, tmp_path, capsys):
  config = override(config, {
      'runtime.mesh.data': 1, 'evals.reasoning.num_problems': 8,
      'evals.reasoning.max_new_tokens': 20, 'evals.loss.num_rows': 4})
  train.run(config, tmp_path / 'run')
  file = tmp_path / 'run' / 'evals' / 'reasoning' / '3.jsonl'
  before, raw = run_dir.results(tmp_path / 'run'), file.read_text()
  first = json.loads(raw.splitlines()[0])
  assert first['in_training_set'] is False
  assert find(before[1]['reasoning'], 'accuracy', split='test',
              contaminated='no')['n'] == 8
  assert {'problem', 'generated', 'reason', 'correct', 'index'} <= set(first)
  command.main([str(tmp_path / 'run'), '--eval=reasoning'])
  assert 'accuracy/test/no' in capsys.readouterr().out
  assert run_dir.results(tmp_path / 'run') == before
  assert file.read_text() == raw
  # What is written is what the model generates for this very problem.
  r = restore.load_run(tmp_path / 'run')
  e = r.data.worlds['igsm'].example('test', first['index'])
  ids = decode.greedy_decode(
      r.params, r.cfg, [solutions.prompt_ids(r.data, e)], 20,
      len(r.data.vocab))
  assert r.data.vocab.decode(ids[0]) == first['generated']


@pytest.mark.parametrize('changes,message', [
    ({'splits': 'tset'}, "unknown split 'tset'"),
    ({'num_problems': 0}, 'num_problems is 0'),
    ({'decode': 'beam'}, 'wanted greedy'),
    ({'max_new_tokens': 0}, 'max_new_tokens is 0')])
def test_build_rejects_bad_settings(config, changes, message):
  with pytest.raises(BadInput, match=message):
    built(override(config, {
        f'evals.reasoning.{k}': v for k, v in changes.items()}))


def test_build_rejects_other_worlds_and_short_rows(config, tiny):
  with pytest.raises(BadInput, match='wanted longer rows'):
    built(override(config, {'data.seq_len': 30}))
  with pytest.raises(BadInput, match='tokens of a text, wanted at most 192'):
    built(override(config, {'model.positions': 'absolute',
                            'evals.reasoning.max_new_tokens': 190}))
  c = tiny({'evals.loss.kind': 'solutions'})
  with pytest.raises(BadInput, match='world of biographies, wanted igsm'):
    registry.build(c, load_mixture(c))
