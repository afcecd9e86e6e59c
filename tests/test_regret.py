"""Steps are taken back where a detector says so, and nowhere else."""

import functools
import itertools

import jax
import numpy as np
import pytest

from configs import igsm as recipe
from physics_lm import cli, decode, model, rows, shape
from physics_lm.errors import BadInput
from physics_lm.evals import reasoning, regret, suite

PROMPTS = 12


@pytest.fixture
def config():
  c = recipe.get_config('small_regret')
  del c.evals['beam4'], c.evals['beam16'], c.evals['reasoning']
  return cli.override(c, {
      'worlds.igsm.max_op': 3, 'worlds.igsm.names': 3, 'data.length': 192,
      'data.batch': 4, 'model.width': 16, 'model.depth': 1, 'model.heads': 2,
      **{f'evals.regret.{k}': v for k, v in {
          'tokens': 90, 'problems': PROMPTS, 'splits': 'train',
          'steps': 3, 'batch': 16, 'retries': 4, 'learn_problems': 4,
          'learn_samples': 3}.items()}})


@pytest.fixture
def asked(config):
  """(data, [(problem, prompt)], [true sentences of each, as ids])."""
  data = rows.load(config)
  world = data.worlds['igsm']
  examples = [e for split in ('train', 'train_op3') for _, e in
              reasoning.problems(data, world, split, PROMPTS // 2)]
  return data, [(reasoning.read(world, e), reasoning.prompt(data, e))
                for e in examples], [sentences(data, e) for e in examples]


def sentences(data, example):
  out = [[]]
  for i in example.loss:
    out[-1] += data.vocab.encode(example.pieces[i])
    if example.pieces[i] == '.':
      out.append([])
  return out[:-1]


def writer(asked, spoiled, cured=2):
  """In place of decode.generate: the true next sentence; the second one (at
  problems with two or more) spoiled, greedily and until the cured-th sample."""
  data, problems, true = asked
  stop, = data.vocab.encode('.')
  tries = {}

  def write(params, cfg, prompts, steps, how, seed, numbers, **more):
    assert more['stop'] == stop and more['width'] >= max(
        map(len, prompts), default=0)
    out = []
    for ids, i in zip(prompts, numbers):
      done = ids[len(problems[i][1]):].count(stop)
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


def computed(data, true, k):
  ids = list(true[k])
  number, = (i for i in range(5) if data.vocab.decode([ids[-2]]) == f' {i}')
  return [*ids[:-2], *data.vocab.encode(f' {(number + 1) % 5}'), ids[-1]]


def solve(config, asked, detector, monkeypatch, spoiled, says=None, **more):
  monkeypatch.setattr(decode, 'generate', writer(asked, spoiled, **more))
  data, problems, _ = asked
  drafts = regret.written(
      None, None, data, problems, config.evals.regret, 4,
      regret.last_wrong(detector, data, {'probe': functools.partial(
          regret.flags, says, data)}))
  return drafts, np.array([reasoning.judged(
      d.problem, d.text(data), d.ended)['full'] for d in drafts])


def test_perfect_detectors_see_what_they_should(config, asked, monkeypatch):
  long = np.array([len(s) > 2 for s in asked[2]])
  assert 2 < long.sum() < PROMPTS
  tries = lambda drafts: np.array([d.tries for d in drafts])
  solved = lambda detector, spoiled, **more: solve(
      config, asked, detector, monkeypatch, spoiled, **more)
  for detector in ('none', 'ready', 'checker'):
    drafts, full = solved(detector, too_early)
    if detector == 'none':
      assert not tries(drafts).any() and not full[long].any()
      for d, s in zip(drafts, asked[2]):  # the greedy ones, whole
        assert d.sentences[:2] == [s[0], s[-1] if len(s) > 1 else s[1:]][
            :len(d.sentences)]
    else:  # greedy, one sample: two taken back; the second sample is right
      assert (tries(drafts)[long] == 2).all() and full[long].all()
  many = np.array([len(s) > 1 for s in asked[2]])
  for detector, seen in (('ready', False), ('checker', True)):
    drafts, full = solved(detector, computed)
    assert (tries(drafts)[many] == 2 * seen).all()
    assert (full[many] == seen).all()
    assert full[~many].all() and not tries(drafts)[~many].any()
  # Never cured: the budget is spent, and it goes on from there.
  drafts, full = solved('ready', too_early, cured=99)
  assert (tries(drafts)[long] == config.evals.regret.retries).all()
  assert not full[long].any() and all(d.done for d in drafts)


def test_the_probe_is_asked_of_the_place_where_the_sentence_began(
    config, asked, monkeypatch):
  data, problems, true = asked
  seen = []

  def says(asked):
    """The truth, from the text alone."""
    out = []
    for a in asked:
      i, = (i for i, (_, p) in enumerate(problems)
            if list(a.text[:len(p)]) == p)
      assert a.at == len(a.text)
      name = data.vocab.decode(a.name[1:-1]).strip()
      d = regret.Draft(*problems[i])
      told = data.vocab.decode(a.text[len(d.prompt):])
      d.told = [d.problem.parameter(s[1]) for s in
                map(reasoning.STEP.match, map(str.strip, told.split('.'))) if s]
      d.told.append(d.problem.parameter(name))
      out.append(int(d.ready(len(d.told) - 1)))
      seen.append(out[-1])
    return np.array(out)

  by_truth, full = solve(config, asked, 'ready', monkeypatch, too_early)
  by_probe, same = solve(config, asked, 'probe', monkeypatch, too_early, says)
  assert [d.ids() for d in by_truth] == [d.ids() for d in by_probe]
  assert [d.tries for d in by_truth] == [d.tries for d in by_probe]
  assert (full == same).all() and set(seen) == {0, 1}
  drafts, full = solve(config, asked, 'none', monkeypatch, too_early)
  got = regret.detection(drafts, data, {
      'sees': functools.partial(regret.flags, says, data),
      'blind': lambda drafts, at: np.zeros(len(drafts))}, 's')
  long = sum(len(s) > 2 for s in true)
  assert got['early/s'] == got['wrong/s'] == long
  assert got['right/s'] >= len(true)
  assert got['seen/s/sees'] == got['seen_early/s/sees'] == 1
  assert got['alarms/s/sees'] == got['seen/s/blind'] == 0


def test_hindsight_reads_what_states_hold(config, monkeypatch):
  """Sentences of token 7 are wrong; the states know, at the stop."""
  data, spec = rows.load(config), config.evals.regret
  cfg = shape.make(config, len(data.vocab))
  params = model.init(cfg, jax.random.key(0))
  stop, = data.vocab.encode('.')
  rng = np.random.default_rng(0)

  def solution():
    ids, good, ends = [1, *rng.integers(10, 40, 4).tolist()], None, []
    for k in range(3):
      part = rng.integers(10, 40, 5).tolist()
      if rng.random() < 0.3:
        part = [7] * 5
        good = k if good is None else good
      ids += [*part, stop]
      ends.append(len(ids) - 1)
    return {'ids': ids, 'ends': ends, 'good': 3 if good is None else good}

  monkeypatch.setattr(regret.best_of, 'sampled', lambda *_: [
      (0, [solution() for _ in range(200)])])
  wrong = regret.hindsight(params, config, spec, cfg)
  drafts, at, truth = [], [], []
  for _ in range(60):
    s = solution()
    cut = [5, *(e + 1 for e in s['ends'])]
    k = min(s['good'], 2)
    drafts.append(regret.Draft(None, s['ids'][:5], [
        s['ids'][a:b] for a, b in itertools.pairwise(cut)]))
    at.append(k)
    truth.append(s['good'] == k)
  assert 0.2 < np.mean(truth) < 0.8
  assert (wrong(drafts, at) == truth).mean() > 0.8
  # A model that ends no sentence has nothing to learn from: no alarm.
  monkeypatch.setattr(regret.best_of, 'sampled', lambda *_: [
      (0, [{'ids': [1, 2], 'ends': [], 'good': 0}])])
  silent = regret.hindsight(params, config, spec, cfg)
  assert not silent(drafts, at).any()


def test_run(config):
  """Without a detector it is greedy decoding."""
  config = cli.override(config, {'evals.regret.tokens': 40})
  suite.check(config)
  data, spec = rows.load(config), config.evals.regret
  cfg = shape.make(config, len(data.vocab))
  params = jax.tree.map(lambda w: 3 * w, model.init(cfg, jax.random.key(0)))
  stop, = data.vocab.encode('.')  # now and then
  params['ends']['bias_last'] = 2.0 * params['ends']['embedding'][stop]
  asked = reasoning.problems(data, data.worlds['igsm'], 'train', PROMPTS)
  first = data.worlds['igsm'].prompt(asked[0][1])
  metrics, raw = regret.run(params, config, spec, cfg,
                            lambda split, text: text == first)
  assert metrics['problems/train'] == PROMPTS
  assert metrics['problems_unseen/train'] == sum(
      not r['stood'] for r in raw) / len(regret.DETECTORS) < PROMPTS
  assert metrics['full_unseen/train/none'] == np.mean([
      r['full'] for r in raw if r['detector'] == 'none' and not r['stood']])
  assert metrics['right_unseen/train'] <= metrics['right/train']
  assert len(raw) == PROMPTS * len(regret.DETECTORS)
  assert {f'full/train/{d}' for d in regret.DETECTORS} <= metrics.keys()
  assert 0 <= metrics['negative/train'] <= 1
  plain = [r for r in raw if r['detector'] == 'none']
  greedy = decode.greedy(params, cfg, [
      reasoning.prompt(data, e) for _, e in asked], spec.tokens,
      len(data.vocab))
  assert any('.' in r['text'][:-1] for r in plain)
  for r, ids in zip(plain, greedy):
    wanted = data.vocab.decode(ids)
    assert r['text'][:len(wanted)] == wanted and r['tries'] == 0
    assert r['ended'] == (len(ids) < spec.tokens)


@pytest.mark.parametrize('changes,message', [
    ({'probe': 'nece'}, "wanted 'can_next'"), ({'retries': -1}, 'retries'),
    ({'decode': 'greedy'}, 'wanted sample'), ({'tokens': 0}, 'tokens'),
    ({'learn_samples': 0}, 'learn_samples is 0, wanted at least 1')])
def test_bad_settings(config, changes, message):
  with pytest.raises(BadInput, match=message):
    suite.check(cli.override(config, {
        f'evals.regret.{k}': v for k, v in changes.items()}))
