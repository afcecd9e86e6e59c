"""A model as a judge of answers, and rewards of a prompt's answers together."""

import dataclasses

import jax
import numpy as np
import pytest

from physics_lm import train, train_step
from physics_lm.config import override, parse_config
from physics_lm.configs import compose, markov
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model import decoder
from physics_lm.posttrain import judge, reward, rollout
from physics_lm.vocab import EOS

SMALL = {
    'worlds.compose.functions': 2, 'worlds.compose.modulus': 3,
    'worlds.compose.max_depth': 2, 'worlds.compose.equal_depths': 2,
    'model.width': 16, 'model.depth': 1, 'model.heads': 2, 'data.seq_len': 24,
    'data.batch_size': 16, 'runtime.mesh.data': 1, 'steps': 2, 'log.every': 2,
    'optim.warmup_steps': 0, 'checkpoint.every': 2}


@pytest.fixture(scope='module')
def parts():
  """(mixture, model, parameters) with verdicts in the vocabulary."""
  config = override(compose.get_config('judged'), SMALL)
  data = load_mixture(config)
  cfg = train_step.build(config, data).cfg
  rng = np.random.default_rng(0)
  params = jax.tree.map(
      lambda w: w + rng.normal(0, 0.3, w.shape).astype(w.dtype),
      jax.jit(decoder.init, static_argnums=0)(cfg, jax.random.key(1)))
  return data, cfg, params


def answers_of(data, texts, split='train_d2', ended=None):
  """Answers to one problem, or to two when `texts` has two lists."""
  world, out = data.worlds['compose'], []
  for number, group in enumerate(texts):
    question = world.example(split, number)
    prompt = rollout.question_ids(data, data.tasks[0], question)
    out += [reward.Answer(
        world, question, t, not t.endswith('?'), len(data.vocab.encode(t)) + 1,
        8, 0.0, prompt, [*data.vocab.encode(t), EOS]) for t in group]
  return out


def asked(parts, *texts):
  """P(first of the last two symbols) after the text of the first ones, by the
  forward pass of training."""
  data, cfg, params = parts
  *shown, yes, no = texts
  ids = [EOS, *(i for t in shown for i in data.vocab.encode(t))]
  rows = rollout.packed_answers([ids], [data.vocab.encode(yes)], 32)
  law = np.exp(rollout.answer_log_probs(
      params, {k: v for k, v in rows.items() if k != 'mask'}, 1.0, cfg=cfg,
      entries=len(data.vocab), full_law=True))[0, len(ids) - 1]
  a, b = (law[data.vocab.encode(v)[0]] for v in (yes, no))
  return a / (a + b)


def test_verdicts_are_those_of_the_model_in_both_orders(parts):
  data, cfg, params = parts
  it = judge.Judge(cfg, data.vocab, params)
  texts = [[' 1 2', ' 0 2', ' 1 2 0'], [' 0']]
  answers = answers_of(data, texts)
  prompts = [''.join(a.question.pieces[:4]) for a in answers]
  np.testing.assert_allclose(it.grade(answers), [
      asked(parts, p + a.text + ' ok', ' yes', ' no')
      for p, a in zip(prompts, answers)], rtol=1e-4)

  def first(i, j):
    return asked(parts, f'{prompts[i]}{answers[i].text} or{answers[j].text} '
                 'better', ' first', ' second')

  scores = it.judge(answers)
  wanted = [np.mean([(first(i, j) + 1 - first(j, i)) / 2
                     for j in range(3) if j != i]) for i in range(3)]
  np.testing.assert_allclose(scores[:3], wanted, rtol=1e-4)
  assert scores[:3].sum() == pytest.approx(1.5) and scores[3] == 0
  assert it.judge(answers[:2]).sum() == pytest.approx(1)
  assert abs(first(0, 1) + first(1, 0) - 1) > 1e-2  # it prefers a place
  # Scores do not depend on what else is asked at the same time.
  np.testing.assert_allclose(it.grade(answers[:1]), it.grade(answers)[:1],
                             rtol=1e-5)


def test_answers_that_were_cut_off_lose(parts):
  data, cfg, params = parts
  it = judge.Judge(cfg, data.vocab, params)
  cut = [a._replace(ended=False) for a in answers_of(data, [[' 1', ' 2']])]
  done, = answers_of(data, [[' 1 2']])
  group = [done, *(a._replace(question=done.question) for a in cut)]
  np.testing.assert_allclose(it.judge(group), [1, 0.25, 0.25])
  assert it.grade(group)[0] > 0 and not it.grade(cut).any()


def test_requests_longer_than_the_positions_are_refused(parts):
  data, cfg, params = parts
  answers = answers_of(data, [[' 1 2 0']])
  most = len(answers[0].prompt) + 4  # the answer and ' ok'
  cfg = dataclasses.replace(cfg, positions='absolute', max_positions=most - 1)
  with pytest.raises(BadInput, match=f'{most} tokens of a text, wanted at most '
                     f'{most - 1}'):
    judge.Judge(cfg, data.vocab, params).grade(answers)


def test_a_judge_without_parameters_follows_the_policy(parts):
  data, cfg, params = parts
  own, frozen = judge.Judge(cfg, data.vocab), judge.Judge(
      cfg, data.vocab, params)
  other = jax.tree.map(lambda w: -w, params)
  for it in own, frozen:
    it.follow(other)
  assert own.params is other and frozen.params is params


def test_rewards_of_a_prompts_answers_together(parts):
  data = parts[0]
  texts = [[' 1 2', ' 0 2', ' 1 2'], [' 0 0', ' 0 1', ' 2 2']]
  answers = [a._replace(logp=x) for a, x in zip(
      answers_of(data, texts), (-2.0, -1.0, -2.0, -3.0, -0.5, -0.2))]
  answers[5] = answers[5]._replace(ended=False)

  def pay(text):
    return reward.make_reward(text, [answers[0].world])(answers).tolist()

  assert pay('vote') == [1, 0, 1, 0, 0, 0]
  assert pay('likely') == [0, 1, 0, 0, 1, 0]
  assert pay('any') == [1] * 6


def test_verdicts_in_training_are_right(parts):
  world = parts[0].worlds['compose']
  for i in range(40):
    text = world.example('judge_d2', i).text
    asks, verdict = text.rsplit(' ', 1)
    prompt, shown = asks.split(' ?')
    *names, start = prompt.split()
    question = world.question([int(f[1:]) for f in names], int(start))
    found = [world.check(question, t).correct for t in
             shown.removesuffix(' ok').removesuffix(' better').split(' or')]
    assert found == {'yes': [True], 'no': [False], 'first': [True, False],
                     'second': [False, True]}[verdict]


def test_verdicts_on_markov_texts_follow_the_gold_reward():
  config = markov.get_config('judged')
  data = load_mixture(config)
  world, chain = data.worlds['verdicts'], data.worlds['chain']
  gold = reward.make_reward('bend:1.5', [chain])
  seen = set()
  for i in range(60):
    asks, verdict = world.example('train', i).text.rsplit(' ', 1)
    shown = asks.removesuffix(' better').split(' or')
    if len(shown) == 2:
      a, b = gold([reward.Answer(chain, None, t, True, 17, 17, 0.0)
                   for t in shown])
      assert a == b or (a > b) == (verdict == 'first')
    seen.add((len(shown), verdict))
    assert world.check(world.example('train', i), f' {verdict}').correct
  assert seen == {(2, 'first'), (2, 'second'), (1, 'yes'), (1, 'no')}
  judge.Judge(None, data.vocab)  # has all words of verdicts
  with pytest.raises(BadInput, match='unknown split'):
    world.example('new', 0)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Of a run that knows of verdicts."""
  folder = tmp_path_factory.mktemp('judge') / 'run'
  config = override(compose.get_config('judged'), SMALL)
  with config.unlocked():
    config.evals = {}
  train.run(config, folder)
  return folder


def tuned(folder, variant, changes):
  config, _ = parse_config([
      '', f'--config=configs/posttrain.py:{variant}',
      f'--config.init_from={folder}', '--workdir=x',
      '--config.data.tasks.verdicts.weight=0.0'])
  return override(config, {
      'runtime.mesh.data': 1, 'data.batch_size': 16, 'steps': 2,
      'checkpoint.every': 2, 'log.every': 2, 'post.tokens': 5,
      'post.samples': 4} | changes)


def test_a_policy_learns_from_its_own_verdicts(folder, tmp_path):
  train.run(tuned(folder, 'rloo', {'post.reward': 'grade'}), tmp_path / 'run')
  assert (tmp_path / 'run' / 'done').exists()


def test_wrong_judges_get_one_line(folder, tmp_path):
  plain = tmp_path / 'plain'
  config = override(compose.get_config(), SMALL)
  with config.unlocked():
    config.evals = {}
  train.run(config, plain)
  for at, (variant, changes, message) in enumerate((
      ('rloo', {'post.judge_run': 'gone'}, 'wanted the folder or id'),
      ('rloo', {'post.judge_run': str(plain)}, 'vocabulary'),
      ('reward_model', {}, "post.judge_run '', wanted the folder"),
      ('reinforce', {'post.samples': 1}, 'wanted at least 2 answers'),
      ('rloo', {'post.reward': 'juge'}, 'nearest: judge'))):
    with pytest.raises(BadInput, match=message) as e:
      train.run(tuned(folder, variant, {'post.reward': 'judge'} | changes),
                tmp_path / f'run{at}')
    assert '\n' not in str(e.value)
  data = load_mixture(config)
  with pytest.raises(BadInput, match="' ok' has 0 tokens"):
    judge.Judge(None, data.vocab)
