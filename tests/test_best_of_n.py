"""The right one of many is chosen, and verifiers learn which it is."""

import jax
import numpy as np
import pytest

from physics_lm.config import override
from physics_lm.configs import igsm as recipe
from physics_lm.errors import BadInput
from physics_lm.evals.igsm import best_of_n, solutions
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model.config import model_config
from tests.compiled import init
from tests.test_solutions import Known


@pytest.fixture
def config():
  c = recipe.get_config('small_best_of')
  del c.evals['reasoning']
  return override(c, {
      'worlds.igsm.max_op': 3, 'worlds.igsm.items_per_subcategory': 3,
      'data.seq_len': 192, 'data.batch_size': 4, 'model.width': 16,
      'model.depth': 1, 'model.heads': 2,
      **{f'evals.best_of.{k}': v for k, v in {
          'decode': 'sample', 'max_new_tokens': 24, 'num_problems': 5,
          'num_samples': 4, 'verifier_problems': 6,
          'verifier_samples': 3}.items()}})


def built(config, training_set=None):
  return best_of_n.build(config, load_mixture(config), config.evals.best_of,
                         training_set)


def solution(text, correct, answer, outcome=0.0, process=0.0):
  return {'text': text, 'correct': correct, 'answer_correct': answer,
          'outcome_score': outcome, 'process_score': process}


def test_choose_takes_the_solution_of_each_choice():
  part = [solution('so b = 1.', False, False, 0.1, -1.0),
          solution('so a = 3.', False, True, 0.9, -3.0),
          solution('so c = 3.', True, True, 0.2, -0.5)]
  chosen = {choice: best_of_n.choose(part, choice)['text']
            for choice in best_of_n.CHOICES}
  assert chosen == {'first': 'so b = 1.', 'majority': 'so a = 3.',
                    'outcome': 'so a = 3.', 'process': 'so c = 3.',
                    'oracle': 'so c = 3.'}
  groups = [{'index': 0, 'solutions': part},
            {'index': 1, 'solutions': part[:1] * 3}]
  found = best_of_n.choice_rows(groups, 2, 's', 'all')

  def value(metric, choice, n_samples):
    return find(found, metric, split='s', choice=choice,
                n_samples=n_samples)['value']

  assert value('accuracy', 'oracle', 1) == value('accuracy', 'oracle', 2) == 0
  assert value('answer_accuracy', 'oracle', 2) == 0
  assert value('answer_accuracy', 'outcome', 2) == 0.5
  assert value('auc', 'outcome', 'all') == 0.5
  assert value('auc', 'process', 'all') == 1
  assert find(found, 'auc', split='s', choice='process')['n'] == 1
  part[0] = solution('so b = 1. so c = 1.', False, False, 0.1, 0.0)
  assert best_of_n.pair_wins(part, 'process_score') == [0, 1]
  assert best_of_n.pair_wins(part, 'process_score', True) == [1]
  assert {r['n_samples'] for r in found} == {1, 2, 'all'}


def test_correct_sentences_are_those_before_the_spoiled_one(
    config, monkeypatch):
  data = load_mixture(config)
  world = data.worlds['igsm']
  problems = solutions.problems(data, world, 'train_op3', 12)
  wrong = []

  def write(params, cfg, prompts, steps, how, **more):
    out = []
    for k, (_, e) in enumerate(problems):
      pieces = [e.pieces[i] for i in e.loss]
      ends = [i for i, p in enumerate(pieces) if p == '.']
      j = k % (len(ends) + 1)
      wrong.append((j, len(ends)))
      if j < len(ends):  # another result: the sentence is wrong
        number = int(pieces[ends[j] - 1])
        pieces[ends[j] - 1] = f' {(number + 1) % world.modulus}'
      out.append([i for p in pieces for i in data.vocab.encode(p)])
    return out

  monkeypatch.setattr(best_of_n.decode, 'generate', write)
  spec = config.evals.best_of.copy_and_resolve_references()
  spec.max_new_tokens = 150
  found = best_of_n.sample_solutions(None, problems, 1, 0, config=config,
                                     spec=spec, data=data, cfg=None)
  solved = [s for _, part in found for s in part]
  assert len({j for j, _ in wrong}) > 2
  for s, (j, count) in zip(solved, wrong):
    assert s['correct_sentences'] == j and len(s['sentence_ends']) == count
    assert s['correct'] == (j == count)
  packed = best_of_n.pack_solutions(solved, 208)
  for row, (s, (j, count)) in enumerate(zip(solved, wrong)):
    assert packed['end'][row].sum() == count
    assert packed['process'][row].sum() == j
    assert packed['judged'][row].sum() == min(j + 1, count)
    assert packed['outcome'][row].sum() == count * s['correct']
    stops = np.flatnonzero(packed['end'][row])
    assert {data.vocab.decode([packed['tokens'][row, i]])
            for i in stops} == {'.'}


def test_verifiers_learn_which_solutions_are_correct(config):
  """A solution is right when token 2 is 5."""
  config = override(config, {'model.depth': 2})
  cfg = model_config(config, len(load_mixture(config).vocab))
  params = init(cfg, jax.random.key(0))
  rng, solved = np.random.default_rng(0), []
  for _ in range(800):
    ids = rng.integers(6, 30, 12).tolist()
    good = 2 if rng.random() < 0.5 else 0
    ids[2] = 5 if good else 4
    solved.append({'ids': ids, 'sentence_ends': [5, 11], 'correct': bool(good),
                   'correct_sentences': good})
  packed = best_of_n.pack_solutions(solved, 16)
  for target in best_of_n.VERIFIERS:
    verifier = best_of_n.train_verifier(params, cfg, packed, target, 16)
    score = best_of_n.score_solutions(verifier, packed, target, cfg, 64)
    correct = np.array([s['correct'] for s in solved])
    assert score[correct].mean() - score[~correct].mean() > 0.4
    assert (score <= 0).all()
    states = best_of_n.sentence_states(params, cfg, solved, 64)
    linear = best_of_n.linear_scores(best_of_n.linear_verifier(
        states, solved, target), states, target)
    assert linear[correct].mean() - linear[~correct].mean() > 0.4
    assert (linear <= 0).all()
  nothing = [{'ids': [1, 2], 'sentence_ends': [], 'correct': False,
              'correct_sentences': 0}]
  assert best_of_n.linear_scores(
      (np.zeros(3 * cfg.width), 0.0), best_of_n.sentence_states(
          params, cfg, nothing, 4), 'process')[0] == -np.inf
  nothing = best_of_n.pack_solutions(nothing, 16)
  assert best_of_n.score_solutions(
      verifier, nothing, 'process', cfg, 4)[0] == -np.inf


def test_verifiers_are_trained_on_other_problems(config):
  evaluator = built(override(config, {
      'evals.best_of.verifier_split': 'test'}))
  world = evaluator.data.worlds['igsm']
  train, test = ({world.prompt(e) for _, e in part} for part in (
      evaluator.verifier_problems, evaluator.problems['test']))
  assert len(evaluator.verifier_problems) == 6 and not train & test


def test_evaluator_rows_follow_from_raw_outcomes(config):
  first = built(config)
  world, problems = first.data.worlds['igsm'], first.problems['test']
  texts = [world.prompt(e) for _, e in problems]
  evaluator = built(config, Known(lambda split, text: text == texts[0]))
  params = init(evaluator.cfg, jax.random.key(0))
  found, raw = evaluator(params, 3)
  assert find(found, 'verifier_solutions', split='verifier')['value'] == 18
  assert len(raw) == 20 and {r['sample'] for r in raw} == {0, 1, 2, 3}
  assert len({r['text'] for r in raw}) > 5 and 'ids' not in raw[0]
  for choice in best_of_n.CHOICES:
    where = {'split': 'test', 'choice': choice, 'n_samples': 4}
    assert find(found, 'accuracy', **where)['n'] == 5
    assert find(found, 'accuracy', contaminated='no', **where)['n'] == (
        5 - texts.count(texts[0]))
  assert [r['in_training_set'] for r in raw[:5]] == (
      [True] * 4 + [texts[1] == texts[0]])


@pytest.mark.parametrize('changes,message', [
    ({'decode': 'greedy'}, 'wanted sample'),
    ({'num_samples': 0}, 'num_samples is 0'),
    ({'verifier_split': 'tset'}, 'unknown split'),
    ({'verifier_problems': 1}, 'on 3 solutions')])
def test_build_rejects_bad_settings(config, changes, message):
  with pytest.raises(BadInput, match=message):
    built(override(config, {
        f'evals.best_of.{k}': v for k, v in changes.items()}))
