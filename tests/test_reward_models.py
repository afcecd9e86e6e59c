"""Heads that score answers: their losses, as rewards, and choosing by them."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm import optim, restore, run_dir, sweep, train, train_step
from physics_lm.config import override
from physics_lm.configs import compose, markov, posttrain
from physics_lm.errors import BadInput
from physics_lm.evals.posttrain import policy, selection
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model.config import model_config
from physics_lm.posttrain import objectives, pairs, reward, score, update
from physics_lm.worlds.markov import best_mean

SMALL = {
    'worlds.chain.chains': 1, 'worlds.chain.symbols': 4,
    'worlds.chain.length': 6, 'data.seq_len': 8, 'data.batch_size': 64,
    'model.width': 16, 'model.depth': 1, 'model.heads': 2,
    'runtime.mesh.data': 1, 'log.every': 5}
# No MLP, and attention that weighs all tokens alike: a sum over tokens.
ADDITIVE = {'model.positions': 'uniform', 'model.mlp_ratio': 0.0}
HEAD = {
    'post.kind': 'reward_model', 'post.reward': 'count', 'post.samples': 2,
    'post.tokens': 6, 'post.every': 40, 'optim.warmup_steps': 0, 'steps': 40,
    'optim.learning_rate': 5e-2, 'checkpoint.every': 40}
TWO_DEVICES = {'runtime.mesh.data': 2}  # the runs that are asked were on one
JUDGED = {f'evals.chosen.{k}': v for k, v in {
    'kind': 'selection', 'world': 'chain', 'num_problems': 1,
    'num_samples': 256, 'max_new_tokens': 6, 'reward': 'count'}.items()}


def trained(folder, changes):
  config = markov.get_config()
  config.evals = {}
  train.run(override(config, SMALL | changes), folder)
  return folder


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """(folder of a policy, folder of a reward model of sums over tokens)."""
  at = tmp_path_factory.mktemp('runs')
  base = trained(at / 'base', {'steps': 25, 'optim.warmup_steps': 0})
  return base, trained(at / 'head', HEAD | ADDITIVE | JUDGED | TWO_DEVICES | {
      'post.pairs_run': str(base)})


def test_reward_model_learns_the_order_and_chooses_by_it(runs):
  folder = runs[1]
  log = [r for r in run_dir.read_log(folder) if r['kind'] == 'train']
  assert log[-1]['pair/accuracy'] > 0.8 and log[-1]['loss'] < 0.4
  rows = run_dir.read_evaluation(folder / 'evals/chosen/40.json')
  assert find(rows, 'ranked', split='test', rule='score')['value'] > 0.75

  def gold(rule, k):
    return find(rows, 'gold', split='test', rule=rule, k=k)['value']

  assert gold('one', 16) == pytest.approx(gold('score', 1)) == pytest.approx(
      gold('oracle', 1))
  assert gold('one', 16) + 1 < gold('score', 16) <= gold('oracle', 16)
  # No choice of one of k is better than the best law as far from the texts.
  assert gold('oracle', 16) < find(rows, 'ideal', split='test', rule='oracle',
                                   k=16)['value'] + 0.1


def test_additive_reward_model_is_a_sum_over_tokens(runs):
  run = restore.load_run(runs[1])
  texts = [([0], list(t)) for t in itertools.product(range(4, 8), repeat=2)]
  s = score.last_scores(score.score_answers(run.params, run.cfg, texts))
  s = s.reshape(4, 4)  # two tokens, and their order does not matter
  np.testing.assert_allclose(s, s[:, :1] + s[:1] - s[0, 0], atol=1e-4)
  assert np.abs(s - s[0, 0]).max() > 0.1


def test_score_does_not_depend_on_what_stands_after_or_beside(runs):
  """Of a head whose attention has content."""
  run = restore.load_run(runs[0])
  cfg = dataclasses.replace(run.cfg, reward_head=True)
  run.params['ends']['reward'] = jax.random.normal(jax.random.key(0), (16,))
  texts = [([0], [5, 6, 7]), ([0, 4], [7, 5, 6, 4, 0]), ([0], [6])]
  together = score.last_scores(score.score_answers(run.params, cfg, texts))
  for text, value in zip(texts, together):
    alone = score.score_answers(run.params, cfg, [text])
    assert score.last_scores(alone)[0] == pytest.approx(value, abs=1e-5)
  rows = score.full_rows(texts, 8)
  rows['tokens'][0, 4:], rows['segments'][0, 4:] = 5, 2  # another text after
  rows['mask'][0, 4:] = 0
  after = score.scores(run.params, rows, cfg) * score.last_of(rows['mask'])
  np.testing.assert_allclose(after.sum(1), together, atol=1e-5)


@pytest.mark.parametrize('kind', ['reward_model', 'outcome_verifier',
                                  'process_verifier'])
def test_loss_is_log_2_at_step_0_and_its_gradient_orders_the_pair(kind):
  config = override(compose.get_config(), {
      'worlds.compose.functions': 2, 'worlds.compose.max_depth': 2,
      'worlds.compose.equal_depths': 2, 'data.seq_len': 12})
  data = load_mixture(config)
  post = override(posttrain.get_config(), {
      'post.kind': kind, 'post.pairs': 'corrupt:1', 'post.tokens': 4}).post
  found = pairs.collect_pairs(None, None, data, post, None, 0, 4, 3)
  rows = score.pair_rows(found, data, kind)
  right = rows['label'].sum(1) / rows['mask'].sum(1)
  assert (right[::2] == 1).all() and (right[1::2] < 1).all()
  if kind == 'process_verifier':  # the steps before the changed one are right
    for pair, y, m in zip(found, rows['label'][1::2], rows['mask'][1::2]):
      same = [a == b for a, b in zip(pair.better, pair.worse)].index(False)
      assert y[m > 0].tolist() == [1] * same + [0] * (len(pair.worse) - same)
  batch = rows | {'task': np.zeros(8, int), 'entries': np.ones(8, int),
                  'count': np.ones(8)}
  h = np.random.default_rng(0).normal(size=rows['mask'].shape)

  def of(scale, scores=None):  # scores are h times the scale
    own = score.scores
    score.scores = lambda *_: jnp.asarray(h) * scale
    try:
      return score.score_sums(None, batch, None, 1, post=post)
    finally:
      score.scores = own

  loss, sums = of(0.0)
  assert float(loss / sums['weight'].sum()) == pytest.approx(np.log(2))
  # By hand, at another scale.
  p = 1 / (1 + np.exp(-h))
  if kind == 'reward_model':
    last = (h * rows['mask']).sum(1)
    wanted = np.log1p(np.exp(last[1::2] - last[::2])).sum()
  else:
    nll = -np.log(np.where(rows['label'] > 0, p, 1 - p)) * rows['mask']
    wanted = (nll.sum(1) / rows['mask'].sum(1)).sum()
  assert float(of(1.0)[0]) == pytest.approx(wanted, rel=1e-5)


def test_texts_that_do_not_fit_get_one_line():
  config = override(compose.get_config(), {
      'worlds.compose.functions': 2, 'worlds.compose.max_depth': 2,
      'worlds.compose.equal_depths': 2, 'data.seq_len': 12})
  data = load_mixture(config)
  post = override(posttrain.get_config(), {
      'post.kind': 'reward_model', 'post.pairs': 'corrupt:1',
      'post.tokens': 1}).post
  found = pairs.collect_pairs(None, None, data, post, None, 0, 8, 3)
  most = max(len(p.prompt.ids) + len(p.better) for p in found)
  score.pair_rows(found, data._replace(seq_len=most), 'reward_model')
  with pytest.raises(BadInput, match=f'have {most} tokens and a row data.seq_'
                     f'len={most - 1}, wanted'):
    score.pair_rows(found, data._replace(seq_len=most - 1), 'reward_model')
  cfg = dataclasses.replace(model_config(config, 8), positions='absolute',
                            max_positions=3)
  with pytest.raises(BadInput, match='4 tokens of a text, wanted at most 3'):
    score.score_answers(None, cfg, [([4, 5], [6, 7])])


@pytest.mark.parametrize('kind', ['dpo', 'reward_model'])
def test_accumulation_keeps_pairs_together(kind):
  config = override(markov.get_config(), SMALL | {
      'init_from': 'x', 'post.kind': kind, 'data.batch_size': 8} | (
          {'post.beta': 0.5} if kind == 'dpo' else {}))

  def sums_of(params, batch, cfg, tasks, key):  # pairs of scores of a row
    score_B = batch['tokens'] @ params['w']
    loss_N, *_ = objectives.preference(
        'dpo', score_B[::2], score_B[1::2], 1.0, 0.0, 0.0)
    return loss_N.sum(), {'count': jnp.float32(len(loss_N)),
                          'weight': jnp.float32(len(loss_N)),
                          'identity': jnp.abs(score_B).max()}

  params = {'w': jnp.arange(4) / 4}
  rows = {'tokens': np.random.default_rng(0).normal(size=(8, 4))}
  made = []
  for accumulate in (1, 2):
    config.runtime.grad_accum_steps = accumulate
    state = train_step.TrainState(
        jnp.int32(0), params, optim.make_optimizer(config).init(params))
    made.append(jax.tree.leaves(jax.jit(functools.partial(
        train_step._step, config, model_config(config, 8), 1, sums_of))(
            train_step.run_hparams(config), state, rows)))
  for one, two in zip(*made):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
  config.runtime.grad_accum_steps = 8
  with pytest.raises(BadInput, match='wanted a multiple of 16: two rows a pa'):
    update.make_sums(config, 8)


def test_policy_trains_on_the_mean_or_least_of_reward_models(runs, tmp_path):
  base, head = runs
  post = {
      'post.kind': 'reinforce', 'post.reward': 'model_min', 'post.tokens': 6,
      'init_from': str(base), 'post.reward_run': f'{head}, {head}', 'steps': 6,
      'optim.warmup_steps': 0, 'optim.learning_rate': 1e-2, 'log.every': 2,
      'checkpoint.every': 6}
  folder = trained(tmp_path / 'run', post | TWO_DEVICES | {
      k.replace('chosen', 'it'): v for k, v in JUDGED.items()} | {
          'evals.it.kind': 'policy'})
  log = [r for r in run_dir.read_log(folder) if r['kind'] == 'train']
  assert log[-1]['rollout/reward'] > log[0]['rollout/reward'] + 0.5
  gold = find(run_dir.read_evaluation(folder / 'evals/it/6.json'), 'gold',
              split='test')
  assert gold['value'] > 0.5
  with pytest.raises(BadInput, match=r"run of post\.kind '', which has no"):
    trained(tmp_path / 'a', post | {'post.reward_run': str(base)})
  with pytest.raises(BadInput, match=r"reward_run is 'gone', wanted the"):
    trained(tmp_path / 'b', post | {'post.reward_run': 'gone'})
  with pytest.raises(BadInput, match=r'pairs_run .* has another vocabulary'):
    trained(tmp_path / 'c', HEAD | {'worlds.chain.symbols': 5,
                                    'post.pairs_run': str(base)})


@pytest.mark.parametrize('changes,message', [
    ({'post.reward': 'model'}, "post.reward_run '', wanted the folder or id"),
    ({'post.reward': 'bend'}, 'wanted bend:PEAK, above 0'),
    ({'post.kind': 'reward_model'}, 'wanted post.pairs_run, the folder or id'),
    ({'post.kind': 'reward_model', 'post.pairs_run': 'gone'},
     "post.pairs_run is 'gone', wanted the folder"),
    ({'worlds.chain.chains': 2, 'post.reward': 'count'},
     'scored by a count, wanted 1')])
def test_wrong_reward_settings_get_one_line(runs, tmp_path, changes, message):
  start = {} if changes.get('post.kind') else {'init_from': str(runs[0])}
  with pytest.raises(BadInput, match=message) as e:
    trained(tmp_path / 'run', {'post.kind': 'reinforce', 'steps': 2,
                               'post.tokens': 6, 'optim.warmup_steps': 0,
                               'checkpoint.every': 2} | start | changes)
  assert '\n' not in str(e.value)


def test_needed_runs_may_be_several():
  of = [sweep.Run('configs/markov.py', SMALL | {'seed.init': i}, {'n': i})
        for i in range(3)]
  run = sweep.Run('configs/markov.py', SMALL | {'post.kind': 'reinforce'},
                  {'n': 3}, of[0], needs={'post.reward_run': tuple(of[1:])})
  assert run.config.post.reward_run == f'{of[1].id},{of[2].id}'
  assert run.waits_for == of and sweep.ordered([run]) == [*of, run]


def test_best_of_k_is_the_mean_over_all_subsets():
  rng = np.random.default_rng(1)
  order, value = rng.normal(size=(2, 3, 7))
  for k in (1, 3, 7):
    subsets = [list(s) for s in itertools.combinations(range(7), k)]
    wanted = [np.mean([v[max(s, key=o.__getitem__)] for s in subsets])
              for o, v in zip(order, value)]
    np.testing.assert_allclose(selection.best_of_k(order, value, k), wanted)
  right = (value > 0) * 1.0
  np.testing.assert_allclose(
      selection.best_of_k(right, right, 3),
      policy.pass_at_k(7, right.sum(1).astype(int), 3))
  assert selection.voted(['a', 'b', 'b', 'c'], np.array([3., 1, 1, 9]),
                         np.array([1., 2, 2, 5]), 2) == 3
  assert selection.voted(['a', 'b', 'b', 'c'], np.ones(4),
                         np.array([1., 2, 2, 5]), 4) == 2
  assert selection.ranked_share(np.array([1., 1, 2]), np.array([0, 1, 2])) == (
      2.5 / 3)


def test_counts_have_their_exact_law_and_the_best_mean_is_that_of_a_tilt():
  world = load_mixture(override(markov.get_config(), SMALL | {
      'worlds.chain.length': 4, 'data.seq_len': 5})).worlds['chain']
  matrix, law, total = world.matrices[0], np.zeros(5), 0.0
  for t in itertools.product(range(4), repeat=4):
    p = 0.25 * np.prod([matrix[a, b] for a, b in itertools.pairwise(t)])
    law[sum(a < 2 for a in t)] += p
    z = world.standard_count(' '.join('abcd'[a] for a in t))
    total += p * z * z
  np.testing.assert_allclose(world.class_counts, law, atol=1e-12)
  assert total == pytest.approx(1)
  z = np.array([world.standard_count(c) for c in range(5)])
  p = law * np.exp(0.7 * z)
  p /= p.sum()
  kl = (p * np.log(p / law)).sum()
  assert best_mean(law, z, kl) == pytest.approx(p @ z, abs=1e-6)
  assert best_mean(law, z, 50.0) == pytest.approx(z.max())
  answer = reward.Answer(world, None, 'a b c d', True, 4, 4, 0.0)
  pay = reward.make_reward('bend:2', [world])
  assert pay([answer])[0] == pytest.approx(z[2] - z[2]**2 / 4)
