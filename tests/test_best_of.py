"""The right one of many is kept, and verifiers learn which it is."""

import re

import jax
import numpy as np
import pytest

from configs import igsm as recipe
from physics_lm import cli, model, rows, shape
from physics_lm.errors import BadInput
from physics_lm.evals import best_of, reasoning, suite


@pytest.fixture
def config():
  c = recipe.get_config()
  c.evals.reasoning.kind = 'best_of'
  return cli.override(c, {
      'worlds.igsm.max_op': 3, 'worlds.igsm.names': 3, 'data.length': 192,
      'data.batch': 8, 'model.width': 16, 'model.depth': 2, 'model.heads': 2,
      **{f'evals.reasoning.{k}': v for k, v in {
          'decode': 'sample', 'tokens': 24, 'problems': 5, 'samples': 4,
          'learn_problems': 6, 'learn_samples': 3}.items()}})


def solution(text, full, answer, outcome=0.0, process=0.0):
  return {'text': text, 'full': full, 'answer': answer,
          'outcome_score': outcome, 'process_score': process}


def test_what_is_kept():
  part = [solution('so b = 1.', False, False, 0.1, -1.0),
          solution('so a = 3.', False, True, 0.9, -3.0),
          solution('so c = 3.', True, True, 0.2, -0.5)]
  kept = {how: best_of.chosen(part, how)['text'] for how in best_of.CHOICES}
  assert kept == {'first': 'so b = 1.', 'majority': 'so a = 3.',
                  'outcome': 'so a = 3.', 'process': 'so c = 3.',
                  'oracle': 'so c = 3.'}
  got = best_of.summary('s', [part, part[:1] * 3], 2)
  assert got['full/s/oracle/n1'] == got['full/s/oracle/n2'] == 0
  assert got['answer/s/oracle/n2'] == 0 and got['answer/s/outcome/n2'] == 0.5
  assert got['auc/s/outcome'] == 0.5 and got['auc/s/process'] == 1
  assert 'full/s/first/n4' not in got


def test_where_solutions_go_wrong(config, monkeypatch):
  """Spoiled from sentence j on, j sentences are good."""
  data = rows.load(config)
  world = data.worlds['igsm']
  asked = reasoning.problems(data, world, 'train_op3', 12)
  wrong = []

  def write(params, cfg, prompts, steps, how, **more):
    out = []
    for k, (_, e) in enumerate(asked):
      pieces = [e.pieces[i] for i in e.loss]
      ends = [i for i, p in enumerate(pieces) if p == '.']
      j = k % (len(ends) + 1)
      wrong.append((j, len(ends)))
      if j < len(ends):  # another result: the sentence is wrong
        number = int(pieces[ends[j] - 1])
        pieces[ends[j] - 1] = f' {(number + 1) % world.modulus}'
      out.append([i for p in pieces for i in data.vocab.encode(p)])
    return out

  monkeypatch.setattr(best_of.decode, 'generate', write)
  spec = config.evals.reasoning.copy_and_resolve_references()
  spec.tokens = 150
  found = best_of.sampled(None, config, spec, None, 'train_op3', 12, 1, 0)
  solutions = [s for _, part in found for s in part]
  assert len({j for j, _ in wrong}) > 2
  for s, (j, count) in zip(solutions, wrong):
    assert s['good'] == j and len(s['ends']) == count
    assert s['full'] == (j == count)
  made = best_of.packed(solutions, 208)
  for row, (s, (j, count)) in enumerate(zip(solutions, wrong)):
    assert made['end'][row].sum() == count
    assert made['process'][row].sum() == j
    assert made['outcome'][row].sum() == count * s['full']
    stops = np.flatnonzero(made['end'][row])
    assert {data.vocab.decode([made['tokens'][row, i]]) for i in stops} == {'.'}


def test_verifiers_learn_what_there_is_to_learn(config):
  """Solutions are right when they say 5 somewhere; a sentence is, before."""
  cfg = shape.make(config, len(rows.load(config).vocab))
  params = model.init(cfg, jax.random.key(0))
  rng, solutions = np.random.default_rng(0), []
  for _ in range(800):
    ids = rng.integers(6, 30, 12).tolist()
    good = 2 if rng.random() < 0.5 else 0
    ids[2] = 5 if good else 4
    solutions.append({'ids': ids, 'ends': [5, 11], 'full': bool(good),
                      'good': good})
  made = best_of.packed(solutions, 16)
  for target in ('outcome', 'process'):
    verifier = best_of.fit(params, cfg, made, target, 16)
    score = best_of.scores(verifier, made, target, cfg, 64)
    right = np.array([s['full'] for s in solutions])
    assert score[right].mean() - score[~right].mean() > 0.4
    assert (score <= 0).all()
  nothing = best_of.packed([{'ids': [1, 2], 'ends': [], 'full': False,
                             'good': 0}], 16)
  assert best_of.scores(verifier, nothing, 'process', cfg, 4)[0] == -np.inf


def test_run(config, monkeypatch):
  suite.check(config)
  cfg = shape.make(config, len(rows.load(config).vocab))
  params = model.init(cfg, jax.random.key(0))
  metrics, raw = best_of.run(params, config, config.evals.reasoning, cfg)
  assert metrics['learn/solutions'] == 18 and metrics['problems/test'] == 5
  assert len(raw) == 20 and {r['sample'] for r in raw} == {0, 1, 2, 3}
  assert {f'full/test/{how}/n4' for how in best_of.CHOICES} <= metrics.keys()
  assert len({r['text'] for r in raw}) > 5
  # What is learned from is not asked.
  config = cli.override(config, {'evals.reasoning.learn_split': 'test'})
  seen, sampled = [], best_of.sampled

  def watch(*given):
    found = sampled(*given)
    world = rows.load(config).worlds['igsm']
    seen.append([world.prompt(world.example('test', i)) for i, _ in found])
    return found

  monkeypatch.setattr(best_of, 'sampled', watch)
  again, raw = best_of.run(params, config, config.evals.reasoning, cfg,
                           lambda split, text: text == seen[1][0])
  learned, asked = seen
  assert len(learned) == 6 and len(asked) == 5
  assert not set(learned) & set(asked)
  assert again['full/test/first/n4'] == metrics['full/test/first/n4']
  assert again['problems_unseen/test'] == 5 - asked.count(asked[0])
  assert again['full_unseen/test/oracle/n4'] >= 0
  assert [r['stood'] for r in raw[:5]] == [True] * 4 + [asked[1] == asked[0]]
  assert not re.search('ids', ' '.join(raw[0]))


@pytest.mark.parametrize('changes,message', [
    ({'decode': 'greedy'}, 'wanted sample'), ({'samples': 0}, 'samples is 0'),
    ({'learn_split': 'tset'}, 'unknown split'),
    ({'learn_problems': 2}, 'from 6 solutions')])
def test_bad_settings(config, changes, message):
  with pytest.raises(BadInput, match=message):
    suite.check(cli.override(config, {
        f'evals.reasoning.{k}': v for k, v in changes.items()}))
