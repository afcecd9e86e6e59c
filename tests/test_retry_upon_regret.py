"""Sentences are removed where a detector fires, and nowhere else."""

import functools
import itertools

import jax
import numpy as np
import pytest

from physics_lm.config import override
from physics_lm.configs import igsm as recipe
from physics_lm.errors import BadInput
from physics_lm.evals.igsm import retry_upon_regret as regret
from physics_lm.evals.igsm import solutions
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model import decode
from physics_lm.model.config import model_config
from tests.compiled import init
from tests.test_solutions import Known

PROMPTS = 12


@pytest.fixture
def config():
  c = recipe.get_config('small_regret')
  del c.evals['beam4'], c.evals['beam16'], c.evals['reasoning']
  return override(c, {
      'worlds.igsm.max_op': 3, 'worlds.igsm.items_per_subcategory': 3,
      'data.seq_len': 192, 'data.batch_size': 4, 'model.width': 16,
      'model.depth': 1, 'model.heads': 2,
      **{f'evals.regret.{k}': v for k, v in {
          'max_new_tokens': 90, 'num_problems': PROMPTS, 'splits': 'train',
          'steps': 3, 'batch': 16, 'retries': 4, 'verifier_problems': 4,
          'verifier_samples': 3}.items()}})


@pytest.fixture
def problems(config):
  """(data, [(problem, prompt)], [true sentences of each, as ids])."""
  data = load_mixture(config)
  world = data.worlds['igsm']
  examples = [e for split in ('train', 'train_op3') for _, e in
              solutions.problems(data, world, split, PROMPTS // 2)]
  asked = [(world.problem(e), solutions.prompt_ids(data, e))
           for e in examples]
  return data, asked, [sentences(data, e) for e in examples]


def sentences(data, example):
  out = [[]]
  for i in example.loss:
    out[-1] += data.vocab.encode(example.pieces[i])
    if example.pieces[i] == '.':
      out.append([])
  return out[:-1]


def writer(problems, spoiled, cured=2):
  """In place of decode.generate: the true next sentence; the second one (at
  problems with two or more) spoiled, greedily and until the cured-th sample."""
  data, asked, true = problems
  stop, = data.vocab.encode('.')
  tries = {}

  def write(params, cfg, prompts, steps, how, seed, numbers, **more):
    assert more['stop'] == stop and more['width'] >= max(
        map(len, prompts), default=0)
    out = []
    for ids, i in zip(prompts, numbers):
      done = ids[len(asked[i][1]):].count(stop)
      tries[i] = tries.get(i, 0) + 1 if how.temperature else 0
      if done == len(true[i]):
        out.append([])
      elif done == 1 and tries[i] < cured:
        out.append(spoiled(data, true[i], done))
      else:
        out.append(true[i][done])
    return out

  return write


def too_early(data, true, k):
  """The last step, before what it needs."""
  return true[-1]


def wrong_number(data, true, k):
  ids = list(true[k])
  number, = (i for i in range(5) if data.vocab.decode([ids[-2]]) == f' {i}')
  return [*ids[:-2], *data.vocab.encode(f' {(number + 1) % 5}'), ids[-1]]


def solve(config, problems, detector, monkeypatch, spoiled, predict=None,
          **more):
  """(partial solutions, whether each is right) with a detector."""
  monkeypatch.setattr(decode, 'generate', writer(problems, spoiled, **more))
  data, asked, _ = problems
  partials = regret.generate_with_retries(
      None, None, data, asked, config.evals.regret, 4,
      regret.detector_flags(detector, data, {'probe': functools.partial(
          regret.probe_flags, predict, data, data.worlds['igsm'])}))
  return partials, np.array([solutions.judge_solution(
      p.problem, p.text(data), p.ended)['correct'] for p in partials])


def removed(partials):
  return np.array([p.retries for p in partials])


def test_perfect_detectors_fire_at_every_error_of_theirs(
    config, problems, monkeypatch):
  long = np.array([len(s) > 2 for s in problems[2]])
  assert 2 < long.sum() < PROMPTS
  solved = functools.partial(solve, config, problems, monkeypatch=monkeypatch)
  for detector in ('none', 'ready', 'checker'):
    partials, correct = solved(detector=detector, spoiled=too_early)
    if detector == 'none':
      assert not removed(partials).any() and not correct[long].any()
      for p, s in zip(partials, problems[2]):  # the greedy ones, unchanged
        assert p.sentences[:2] == [s[0], s[-1] if len(s) > 1 else s[1:]][
            :len(p.sentences)]
    else:  # greedy, one sample: two removed; the second sample is right
      assert (removed(partials)[long] == 2).all() and correct[long].all()
  several = np.array([len(s) > 1 for s in problems[2]])
  for detector, fires in (('ready', 0), ('checker', 1)):
    partials, correct = solved(detector=detector, spoiled=wrong_number)
    assert (removed(partials)[several] == 2 * fires).all()
    assert (correct[several] == fires).all()
    assert correct[~several].all() and not removed(partials)[~several].any()
  # Never right: all retries are spent, and it goes on from there.
  partials, correct = solved(detector='ready', spoiled=too_early, cured=99)
  assert (removed(partials)[long] == config.evals.regret.retries
          ).all()
  assert not correct[long].any() and all(p.done for p in partials)


def test_probe_is_read_at_the_start_of_the_sentence(
    config, problems, monkeypatch):
  data, asked, true = problems
  predictions = set()

  def predict(queries):
    """The truth, from the text alone."""
    out = []
    for query in queries:
      i, = (i for i, (_, p) in enumerate(asked)
            if list(query.text[:len(p)]) == p)
      assert query.at == len(query.text)
      name = data.vocab.decode(query.name[1:-1]).strip()
      p = regret.PartialSolution(*asked[i])
      text = data.vocab.decode(query.text[len(p.prompt):])
      p.computed = [p.problem.parameter(step[0]) for step in map(
          p.problem.step, map(str.strip, text.split('.'))) if step]
      p.computed.append(p.problem.parameter(name))
      out.append(int(p.ready(len(p.computed) - 1)))
    predictions.update(out)
    return np.array(out)

  by_truth, correct = solve(config, problems, 'ready', monkeypatch, too_early)
  by_probe, same = solve(config, problems, 'probe', monkeypatch, too_early,
                         predict)
  assert [p.ids() for p in by_truth] == [p.ids() for p in by_probe]
  assert (removed(by_truth) == removed(by_probe)).all()
  assert (correct == same).all() and predictions == {0, 1}
  partials, _ = solve(config, problems, 'none', monkeypatch, too_early)
  found = regret.detection_rows(partials, data, {
      'perfect': functools.partial(regret.probe_flags, predict, data,
                                   data.worlds['igsm']),
      'blind': regret.no_flags}, 's', 'all')

  def value(metric, detector='all'):
    return find(found, metric, split='s', detector=detector)['value']

  long = sum(len(s) > 2 for s in true)
  assert value('early_sentences') == value('wrong_sentences') == long
  assert value('right_sentences') >= len(true)
  assert value('detected', 'perfect') == value('detected_early',
                                               'perfect') == 1
  assert value('false_alarm_rate', 'perfect') == value('detected',
                                                       'blind') == 0
  assert find(found, 'detected', split='s', detector='blind')['n'] == long


def test_state_detector_learns_from_states(config):
  """Sentences of token 7 are wrong; the states at the full stop hold it."""
  data = load_mixture(config)
  cfg = model_config(config, len(data.vocab))
  params = init(cfg, jax.random.key(0))
  stop, = data.vocab.encode('.')
  rng = np.random.default_rng(0)

  def solution():
    ids, correct, ends = [1, *rng.integers(10, 40, 4).tolist()], 3, []
    for k in range(3):
      part = rng.integers(10, 40, 5).tolist()
      if rng.random() < 0.3:
        part, correct = [7] * 5, min(correct, k)
      ids += [*part, stop]
      ends.append(len(ids) - 1)
    return {'ids': ids, 'sentence_ends': ends, 'correct_sentences': correct}

  flags = regret.train_state_detector(
      params, cfg, [solution() for _ in range(200)], 16)
  partials, at, truth = [], [], []
  for _ in range(60):
    s = solution()
    cut = [5, *(e + 1 for e in s['sentence_ends'])]
    k = min(s['correct_sentences'], 2)
    partials.append(regret.PartialSolution(None, s['ids'][:5], [
        s['ids'][a:b] for a, b in itertools.pairwise(cut)]))
    at.append(k)
    truth.append(s['correct_sentences'] == k)
  assert 0.2 < np.mean(truth) < 0.8
  assert (flags(partials, at) == truth).mean() > 0.8
  # A model that ends no sentence has nothing to learn from: it never fires.
  silent = regret.train_state_detector(params, cfg, [{
      'ids': [1, 2], 'sentence_ends': [], 'correct_sentences': 0}], 16)
  assert not np.any(silent(partials, at))


def test_evaluator_without_a_detector_is_greedy_decoding(config):
  config = override(config, {'evals.regret.max_new_tokens': 40})
  data, spec = load_mixture(config), config.evals.regret
  first = data.worlds['igsm'].prompt(data.worlds['igsm'].example('train', 0))
  evaluator = regret.build(config, data, spec, Known(
      lambda split, text: text == first))
  cfg, problems = evaluator.cfg, evaluator.problems['train']
  params = jax.tree.map(lambda w: 3 * w, init(cfg, jax.random.key(0)))
  stop, = data.vocab.encode('.')  # now and then
  params['ends']['bias_last'] = 2.0 * params['ends']['embedding'][stop]
  found, raw = evaluator(params, 1)
  assert len(raw) == PROMPTS * len(regret.DETECTORS)
  new = [r for r in raw if r['detector'] == 'none' and not r['in_training_set']]
  row = find(found, 'accuracy', split='train', detector='none',
             contaminated='no')
  assert row['n'] == len(new) < PROMPTS
  assert row['value'] == np.mean([r['correct'] for r in new])
  counts = [find(found, 'right_sentences', split='train', contaminated=c)[
      'value'] for c in ('no', 'all')]
  assert counts[0] <= counts[1]
  for detector in regret.DETECTORS:
    assert find(found, 'accuracy', split='train', detector=detector)[
        'n'] == PROMPTS
  assert 0 <= find(found, 'probe_recall', split='train', detector='probe',
                   label='negative')['value'] <= 1
  plain = [r for r in raw if r['detector'] == 'none']
  greedy = decode.greedy_decode(params, cfg, [
      solutions.prompt_ids(data, e) for _, e in problems], spec.max_new_tokens,
      len(data.vocab))
  assert any('.' in r['text'][:-1] for r in plain)
  for r, ids in zip(plain, greedy):
    wanted = data.vocab.decode(ids)
    assert r['text'][:len(wanted)] == wanted and r['removed_sentences'] == 0
    assert r['ended'] == (len(ids) < spec.max_new_tokens)


@pytest.mark.parametrize('changes,message', [
    ({'probe': 'nece'}, "wanted 'can_next'"),
    ({'decode': 'greedy'}, 'wanted sample')])
def test_build_rejects_bad_settings(config, changes, message):
  config = override(config, {
      f'evals.regret.{k}': v for k, v in changes.items()})
  with pytest.raises(BadInput, match=message):
    regret.build(config, load_mixture(config), config.evals.regret)
