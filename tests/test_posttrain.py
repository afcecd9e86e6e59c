"""Post-training end to end: rollouts, updates, resuming, wrong settings."""

import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm import restore, run_dir, sweep, train, train_step
from physics_lm.config import (
  inherited,
  override,
  parse_config,
  plain_config,
  run_id,
)
from physics_lm.configs import compose, default, posttrain
from physics_lm.errors import BadInput
from physics_lm.evals.posttrain import policy, score_norms
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model import decode, decoder
from physics_lm.posttrain import feed, pairs, reward, rollout, update
from physics_lm.vocab import EOS
from tests.test_resume import assert_same_end, final

WORLD = {'functions': 2, 'modulus': 3, 'max_depth': 2, 'equal_depths': 2,
         'marked': True, 'share_worked': 0.5}
SMALL = {f'worlds.compose.{k}': v for k, v in WORLD.items()} | {
    'model.width': 16, 'model.depth': 1, 'model.heads': 2, 'data.seq_len': 16,
    'data.batch_size': 16, 'runtime.mesh.data': 1, 'log.every': 2}


@pytest.fixture(scope='module')
def parent(tmp_path_factory):
  """The folder of a run that can be post-trained; it knows the format."""
  folder = tmp_path_factory.mktemp('parent') / 'run'
  config = compose.get_config()
  config.evals = {}
  train.run(override(config, SMALL | {
      'steps': 25, 'optim.warmup_steps': 5, 'optim.name': 'adamw'}), folder)
  return folder


@pytest.fixture
def tuned(parent):
  """A function: (variant, overrides) -> a config that starts from `parent`."""

  def make(variant='rloo', **changes):
    config, _ = parse_config(['', f'--config=configs/posttrain.py:{variant}',
                              f'--config.init_from={parent}', '--workdir=x'])
    return override(config, {
        'runtime.mesh.data': 1, 'data.batch_size': 16, 'steps': 4,
        'checkpoint.every': 2, 'log.every': 2, 'post.tokens': 5,
        'post.samples': 4, 'post.temperature': 1.3, 'optim.learning_rate': 1e-2,
        } | {k.replace('__', '.'): v for k, v in changes.items()})

  return make


def feed_of(config, params):
  data = load_mixture(config)
  cfg = train_step.build(config, data).cfg
  return feed.Feed(config, data, cfg, 1, params, params, lambda state: state)


def init_params(config, seed=0):
  data = load_mixture(config)
  cfg = train_step.build(config, data).cfg
  return data, cfg, jax.tree.map(lambda w: 2 * w, _init(
      cfg, jax.random.key(seed)))


_init = jax.jit(decoder.init, static_argnums=0)


def trained(config, folder):
  train.run(config, folder)
  return [r for r in run_dir.read_log(folder) if r['kind'] == 'train']


def test_recipe_takes_worlds_and_model_from_its_run(tuned, parent):
  config, stored = tuned('dapo'), run_dir.read_config(parent)
  assert plain_config(config.worlds) == stored['worlds']
  assert plain_config(config.model) == stored['model']
  assert config.data.seq_len == 16 and config.post.clip_high == 0.28
  assert plain_config(config.data.tasks) == stored['data']['tasks']
  assert override(config, {'data.tasks.problems.until': 9})


@pytest.mark.parametrize('recipe,kind', [('dpo', 'policy'),
                                         ('reward_model', 'selection')])
def test_a_head_chooses_where_its_run_is_a_policy(parent, tmp_path, recipe,
                                                  kind):
  stored = run_dir.read_config(parent) | {'evals': {'it': plain_config(
      default.evaluation('policy'))}}
  run_dir.write_json(tmp_path / 'config.json', stored)
  made = inherited(posttrain.get_config(recipe), tmp_path)
  assert made.evals.it.kind == kind
  assert made.evals.it.reward == ('full' if kind == 'selection' else '')
  flags = ['', f'--config=configs/posttrain.py:{recipe}', '--workdir=x',
           f'--config.init_from={tmp_path}', '--config.post.reward=outcome']
  made, _ = parse_config(flags)
  assert made.evals.it.reward == ('outcome' if kind == 'selection' else '')
  stored['evals']['it']['reward'] = 'process'  # the gold one of the parent
  run_dir.write_json(tmp_path / 'config.json', stored)
  assert parse_config(flags)[0].evals.it.reward == 'process'


def test_recipe_without_the_folder_of_a_run_gets_one_line(tmp_path):
  flags = ['', '--config=configs/posttrain.py:grpo', f'--workdir={tmp_path}/x']
  with pytest.raises(BadInput, match="init_from is 'runs/none', wanted the"):
    parse_config([*flags, '--config.init_from=runs/none',
                  '--config.data.tasks.problems.split=train_d7'])
  config, _ = parse_config(flags)
  with pytest.raises(BadInput, match='init_from is None in post-training'):
    update.check_post(config, 9)


def test_rows_hold_the_prompt_and_an_answer_with_its_end(tuned):
  config = tuned()
  data, cfg, params = init_params(config)
  made = rollout.collect(params, cfg, data, config.post, range(4), 7)
  assert [p.ids for p in made.prompts[:4]] == [made.prompts[0].ids] * 4
  for i, (p, a) in enumerate(zip(made.prompts, made.answers)):
    row = {k: v[i] for k, v in made.rows.items()}
    acted = row['targets'][row['mask'] > 0].tolist()
    assert len(acted) == a.length and (acted[-1] == EOS) == a.ended
    assert data.vocab.decode(acted) == a.text
    assert row['tokens'][:len(p.ids)].tolist() == p.ids
    assert not row['mask'][:len(p.ids) - 1].any()
    assert row['segments'].sum() == len(p.ids) + a.length - 1
  assert {a.ended for a in made.answers} == {True, False}
  again = rollout.answer_log_probs(params, {
      k: made.rows[k] for k in ('tokens', 'targets', 'segments', 'positions')},
      1.3, cfg=cfg, entries=len(data.vocab))
  np.testing.assert_allclose(again * made.rows['mask'], made.logp, atol=1e-4)
  same = rollout.collect(params, cfg, data, config.post, range(4), 7)
  assert same.answers == made.answers
  other = rollout.collect(params, cfg, data, config.post, range(4), 8)
  assert other.answers != made.answers


def test_gradient_is_that_of_all_rows_and_of_signed_weights(tuned):
  """Rows without an advantage are left out; the count stays that of all. The
  loss weights of training, signed, have the same gradient."""
  config = tuned(post__reward='random', post__temperature=1.0)
  _, cfg, params = init_params(config)
  made = feed_of(config, params)
  batch, numbers = made.batch(0, params)
  made._with_signal = lambda rows: rows
  every, _ = made.batch(0, params)
  assert batch['count'].sum() == pytest.approx(every['count'].sum()) == 16 * 5
  assert numbers['rollout/signal'] == (every['advantage'] != 0).any(1).sum()
  every['advantage'][8:] = 0
  few = feed_of(config, params)._with_signal(every)
  assert len(few['count']) == 8
  # Padding of the embedding has mass here, as in training.
  sums_of = update.make_sums(config, cfg.vocab)
  total = jax.jit(jax.grad(lambda p, b: sums_of(p, b, cfg, 1)[0]))
  signed = every | {'weights': every['advantage'] * every['weights']}
  plain = jax.jit(jax.grad(lambda p, b: decoder.loss(p, b, cfg)[0]))
  found = total(params, every)
  assert any(np.abs(x).max() > 1e-2 for x in jax.tree.leaves(found))
  for other in (total(params, few), plain(params, signed)):
    for x, y in zip(*map(jax.tree.leaves, (found, other)), strict=True):
      np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope='module')
def undisturbed(parent, tmp_path_factory):
  """(config, folder) of a run of PPO with two steps a rollout."""
  config, _ = parse_config(['', '--config=configs/posttrain.py:ppo',
                            f'--config.init_from={parent}', '--workdir=x'])
  config = override(config, {
      'runtime.mesh.data': 1, 'data.batch_size': 16, 'steps': 6,
      'checkpoint.every': 2, 'log.every': 2, 'post.tokens': 5,
      'post.samples': 4, 'post.every': 2, 'post.kl': 'exact', 'post.beta': 0.01,
      'optim.learning_rate': 1e-2})
  folder = tmp_path_factory.mktemp('ppo') / 'run'
  train.run(config, folder)
  return config, folder


def test_resume_is_bitwise_also_within_a_rollout(
    undisturbed, tmp_path, monkeypatch):
  config, folder = undisturbed
  rows = [r for r in run_dir.read_log(folder) if r['kind'] == 'train']
  assert rows[0]['reference/kl'] == pytest.approx(0, abs=1e-4)
  assert rows[-1]['reference/kl'] > 0 and 'token/clipped' in rows[0]
  own, calls = feed.Feed.batch, [0]

  def dying(*args):
    calls[0] += 1
    if calls[0] > 3:  # of two steps a rollout
      raise KeyError('killed')
    return own(*args)

  with monkeypatch.context() as m:
    m.setattr(feed.Feed, 'batch', dying)
    with pytest.raises(KeyError, match='killed'):
      train.run(config, tmp_path / 'run')
  train.run(config, tmp_path / 'run')
  assert_same_end(folder, tmp_path / 'run', config)


def test_a_signal_waits_for_the_end_of_a_rollout(
    undisturbed, tmp_path, monkeypatch):
  config = override(undisturbed[0], {
      'evals.loss.kind': 'loss', 'evals.loss.every': 1,
      'evals.loss.num_rows': 1})
  monkeypatch.setattr(train_step, '_kept', {})  # both runs share a program
  own, calls = feed.Feed.batch, []

  def signalled(self, step, state):
    calls.append(step)
    if step == 2:  # evaluations are due at step 3, within the rollout
      os.kill(os.getpid(), signal.SIGTERM)
    return own(self, step, state)

  with monkeypatch.context() as m:
    m.setattr(feed.Feed, 'batch', signalled)
    train.run(config, tmp_path / 'run')
  assert calls == [0, 1, 2, 3]
  train.run(config, tmp_path / 'run')
  for one, two in zip(final(undisturbed[1], config)[0],
                      final(tmp_path / 'run', config)[0], strict=True):
    np.testing.assert_array_equal(one, two)
  assert len(list((tmp_path / 'run/evals/loss').glob('*.json'))) == 7


def test_a_critic_learns_the_reward_and_its_run_can_be_a_parent(
    tuned, parent, tmp_path):
  rows = trained(tuned('ppo_critic', steps=12, post__value_weight=10.0,
                       post__reward='any', checkpoint__every=4,
                       post__samples=1), tmp_path / 'a')
  assert rows[-1]['token/value_loss'] < 0.5 * rows[0]['token/value_loss']
  train.run(override(tuned('rloo', steps=2, post__kl='k3', post__beta=0.01), {
      'init_from': str(tmp_path / 'a')}), tmp_path / 'b')
  cfg = dataclasses.replace(restore.load_run(parent).cfg, reward_head=True)
  kept, new = (restore.load_parameters(f, restore.abstract_params(cfg))[0][
      'ends']['reward'] for f in (tmp_path / 'a', parent))
  assert np.abs(kept).max() > 0 and not new.any()


def test_minibatches_hold_each_answer_once_an_epoch(tuned):
  config = tuned('ppo', post__every=4, post__epochs=2, steps=4,
                 checkpoint__every=4)
  made = feed_of(config, None)
  assert made.count == 32
  for epoch in (0, 2):
    parts = [made._rows_of(8 + epoch + i, epoch + i) for i in range(2)]
    assert sorted(np.concatenate(parts)) == list(range(32))
  assert not np.array_equal(made._rows_of(8, 0), made._rows_of(10, 2))
  pair_rows = feed_of(tuned('dpo', post__every=2), None)._rows_of(0, 1)
  assert np.array_equal(pair_rows[::2] + 1, pair_rows[1::2])


def test_prompts_of_every_rollout_are_looked_at_before_training(
    tuned, monkeypatch):
  config, seen = tuned('ppo', post__every=2), []
  data = load_mixture(config)
  monkeypatch.setattr(rollout, 'draw_prompt',
                      lambda data, number, tokens: seen.append(number))
  feed.check_prompts(config, data)
  assert seen == [*range(8), *range(32, 40)]
  monkeypatch.setattr(feed, 'LOOKED_AT', 4)
  seen.clear()
  feed.check_prompts(config, data)
  assert seen == [0, 4, 32, 36]


@pytest.mark.parametrize('bug,step', [('temperature', 1), ('reference', 1)])
def test_planted_bug_stops_the_run(tuned, tmp_path, monkeypatch, bug, step):
  """A temperature that only the sampler has; another reference than the run
  that preferences start from."""
  config = tuned()
  if bug == 'temperature':
    own = decode.sample_tokens

    def hotter(params, cfg, prompts, steps, temperature, **more):
      return own(params, cfg, prompts, steps, 2 * temperature, **more)

    monkeypatch.setattr(decode, 'sample_tokens', hotter)
  else:
    config = tuned('rpo', post__pairs='corrupt:2', post__nll=0.1)
    own = feed.open_feed

    def other(*args):
      made = own(*args)
      made.frozen = jax.tree.map(lambda w: 1.1 * w, made.frozen)
      return made

    monkeypatch.setattr('physics_lm.loop.open_feed', other)
  with pytest.raises(BadInput, match=f'log-probabilities of step {step} differ'
                     ' by .* from those of the policy that sampled'):
    train.run(config, tmp_path / 'run')


def test_preferences_start_at_no_margin(tuned, tmp_path):
  config = tuned('rpo', post__pairs='corrupt:2', steps=8, log__every=1,
                 post__nll=0.1, optim__learning_rate=3e-3)
  rows = trained(config, tmp_path / 'run')
  first, last = rows[0], rows[-1]
  assert first['pair/loss'] == pytest.approx(np.log(2), abs=1e-4)
  assert first['pair/better'] == pytest.approx(0, abs=1e-4)
  assert last['pair/loss'] < first['pair/loss']
  assert last['pair/better'] > last['pair/worse']
  assert first['entries/problems'] == 16
  assert first['label/correct'] == 1  # the checker agrees with the pairs


def test_prefix_is_tuned_on_preferences_and_compared_with_its_parent(
    tuned, tmp_path):
  """It changes the policy before it trains, and adds names to its tree."""
  config = tuned('dpo', post__pairs='corrupt:2', adapter__kind='prefix', **{
      f'evals__it__{k}': v for k, v in {
          'kind': 'policy', 'world': 'compose', 'num_problems': 2,
          'num_samples': 2, 'max_new_tokens': 5}.items()}, steps=2)
  train.run(config, tmp_path / 'run')
  rows = run_dir.read_evaluation(tmp_path / 'run/evals/it/2.json')
  assert find(rows, 'kl', split='test')['value'] > 0


def test_pairs_are_of_a_prompt_and_flips_swap_them(tuned):
  config = tuned('dpo', post__reward='length')
  data, cfg, params = init_params(config)
  pay = reward.make_reward('length', [t.world for t in data.tasks])

  def made(**post):
    return pairs.collect_pairs(params, cfg, data, override(config, {
        f'post.{k}': v for k, v in post.items()}).post, pay, 0, 8, 3)

  found = made()
  assert all(len(p.better) < len(p.worse) for p in found[:8])
  flipped = made(label_noise=1.0)
  assert [(p.worse, p.better) for p in flipped[:8]] == [
      (p.better, p.worse) for p in found[:8]]
  world = data.tasks[0].world
  for p in made(pairs='corrupt:1'):
    right, other = (data.vocab.decode(x[:-1]) for x in (p.better, p.worse))
    assert world.check(p.prompt.question, right).correct
    assert not world.check(p.prompt.question, other).correct
  spin = made(pairs='data')  # 4 answers to each of two prompts
  assert len(spin) == 8 and spin[0].prompt is spin[3].prompt
  assert len({tuple(p.worse) for p in spin}) > 2  # samples
  for p in spin:
    assert p.better[-1] == EOS and world.check(
        p.prompt.question, data.vocab.decode(p.better[:-1])).correct
  with pytest.raises(BadInput, match='seq_len=4, wanted rows as long'):
    pairs._encoded(data._replace(seq_len=4), found[0].prompt, [' 0 0'])
  with pytest.raises(BadInput, match='prompts have a better and a worse'):
    pairs.collect_pairs(params, cfg, data, config.post,
                        lambda answers: np.ones(len(answers)), 0, 8, 3)


def test_rewards_are_what_the_checker_pays():
  world = load_mixture(override(compose.get_config(), SMALL)).worlds['compose']
  q = world.question((0, 1), 2)
  x, y = world.values((0, 1), 2)
  z = (x + 1) % 3

  def pay(text, answer, ended=True, draw=0.6):
    return reward.make_reward(text, [world])([reward.Answer(
        world, q, answer, ended, 4, 8, draw)])[0]

  assert pay('full', f' worked {x} {y}') == pay('outcome', f' short {y}') == 1
  assert pay('full', f' worked {z} {y}') == 0
  assert pay('outcome', f' worked {z} {y}') == 1
  assert pay('process', f' worked {x} {(y + 1) % 3}') == 0.5
  assert pay('full', f' worked {x} {y}', ended=False) == 0
  assert pay('full + 0.5*length', f' worked {x} {y}') == 0.75
  right, other = f' worked {x} {y}', f' worked {z}'
  assert [pay('noisy:.7:.5', t) for t in (right, other)] == [1, 0]
  assert pay('noisy:.5:.7', other) == 1 and pay('random', right) == 0
  for text in ('fuller', 'noisy:.5', 'noisy:.5:2', 'full:1', 'x*full',
               'nan*full', 'inf*full'):
    with pytest.raises(BadInput, match=r'post\.reward'):
      reward.make_reward(text, [world])


@pytest.mark.parametrize('variant,changes,message', [
    ('rloo', {'post__samples': 1}, 'wanted at least 2 answers to a prompt'),
    ('grpo', {'post__beta': -0.1}, r'post.beta is -0.1, wanted at least 0'),
    ('rloo', {'post__kl': 'k3'}, 'post.beta is 0.0 with post.kl'),
    ('rloo', {'post__beta': 0.1}, "post.kl 'none', wanted 0"),
    ('dpo', {'post__beta': 0.0}, "post.kind 'dpo', wanted above 0"),
    ('rloo', {'post__baseline': 'media'}, 'nearest: mean'),
    ('rloo', {'data__batch_size': 18}, 'wanted a multiple of post.samples=4'),
    ('ppo', {'checkpoint__every': 3}, 'wanted multiples of post.every=4'),
    ('gspo', {'post__norm': 'token', 'post__every': 1}, "wanted 'sequence'"),
    ('rloo', {'model__dropout': 0.1}, 'wanted 0: the policy that trains'),
    ('rloo', {'init_from': 'gone'}, 'wanted the folder or id of a finished'),
    ('dpo', {'post__pairs_run': 'gone'}, "post.pairs_run is 'gone', wanted"),
    ('dpo', {'post__pairs': 'corrupt'}, "'samples', 'policy', 'data' or"),
    ('rloo', {'post__tokens': 12}, 'wanted rows at least as long as both')])
def test_wrong_settings_get_one_line(tuned, tmp_path, variant, changes,
                                     message):
  with pytest.raises(BadInput, match=message) as e:
    train.run(tuned(variant, **changes), tmp_path / 'run')
  assert '\n' not in str(e.value)


@pytest.mark.parametrize('variant,changes,message', [
    ('dpo', {'post__baseline': 'value'}, 'does not use it; wanted .loo'),
    ('dpo', {'post__kl': 'k3'}, 'does not use it; wanted .none'),
    ('dpo', {'post__margin': 1.0}, "post.margin is 1.0 with post.kind 'dpo'"),
    ('ipo', {'post__smoothing': 0.1}, "with post.kind 'ipo', which does not"),
    ('spin', {'post__reward': 'length'}, "'length' with post.pairs 'data'"),
    ('dpo', {'post__pairs': 'policy', 'post__pairs_run': 'a'},
     "'a' with post.pairs 'policy'"),
    ('outcome_verifier', {'post__nll': 1.0}, 'post.nll is 1.0 with post.kind'),
    ('rloo', {'post__label_noise': 0.1}, 'post.label_noise is 0.1 with'),
    ('rloo', {'post__trace': 0.9}, "trace is 0.9 with post.baseline 'loo'"),
    ('rloo', {'post__clip_low': 0.1}, "with post.kind 'reinforce'"),
    ('rloo', {'post__judge_run': 'a'}, "'a' with post.reward 'full'"),
    ('rloo', {'post__reward': '2*grade', 'post__reward_run': 'a'},
     "post.reward_run is 'a' with post.reward"),
    ('rloo', {'data__sampling': 'epochs'}, 'wanted .replacement.: each prompt'),
    ('rft', {'post__reward_offset': -1.0}, "with post.baseline 'filter'"),
    ('rft', {'post__reward': 'full+0.1*process'}, 'keeps answers of reward 1'),
    ('rft', {'post__kl': 'k1_reward', 'post__beta': 0.1}, 'the reward alone'),
    ('rloo', {'post__every': 2}, "has no ratio .* wanted 1, or 'ppo'"),
    ('kto', {'runtime__grad_accum_steps': 2}, "wanted 1: it compares pairs"),
    ('ppo_critic', {'adapter__kind': 'lora'}, 'no adapter trains a critic'),
    ('rloo', {'worlds__compose__kind': 'text'}, 'wanted causal models and')])
def test_settings_that_do_nothing_or_mislead_are_refused(
    tuned, variant, changes, message):
  config = tuned(variant, **{'checkpoint__every': 4} | changes)
  with pytest.raises(BadInput, match=message) as e:
    update.check_post(config, 9)
  assert '\n' not in str(e.value)


def test_recipes_set_only_what_their_kinds_use(tuned):
  for variant in posttrain.VARIANTS:
    update.check_post(tuned(variant, checkpoint__every=4), 9)


def test_reward_of_another_world_is_refused(one_device, parent):
  bios = load_mixture(one_device()).worlds['bios']
  with pytest.raises(BadInput, match='has no correct_steps'):
    reward.make_reward('process', [bios])
  with pytest.raises(BadInput, match='init_from is None in post-training'):
    train.run(override(posttrain.get_config(), {}), parent / 'none')
  two = [override(posttrain.get_config(), {})] * 2
  with pytest.raises(BadInput, match='wanted each alone'):
    train.run_all([train.Job(c, parent / str(i)) for i, c in enumerate(two)])


def test_needed_runs_decide_the_id_and_the_order(parent):
  base = sweep.Run('configs/compose.py', SMALL, {'kind': 'base'})
  other = sweep.Run('configs/compose.py', SMALL | {'seed.init': 1},
                    {'kind': 'other'})
  post = {'post.kind': 'dpo', 'post.beta': 0.1}
  plain = sweep.Run('configs/compose.py', SMALL | post, {'kind': 'dpo'}, base)
  run = sweep.Run('configs/compose.py', SMALL | post, {'kind': 'dpo'}, base,
                  needs={'post.pairs_run': other})
  assert sweep.ordered([run]) == [base, other, run] and run.id != plain.id
  assert run.waits_for == [base, other] and plain.waits_for == [base]
  assert f'--config.post.pairs_run={other.id}' in run.arguments()
  by_path = plain_config(run.config)
  by_path['post']['pairs_run'] = f'/a/b/{other.id}'
  assert run_id(by_path) == run.id
  # A config without post-training has the id that it had before there was any.
  old = plain_config(base.config)
  assert old.pop('post')['kind'] == '' and run_id(old) == base.id


def test_policy_evaluation_judges_samples_and_the_kl(tuned, parent, tmp_path):
  config = tuned(
      'ppo_critic', post__every=2,  # its parent has no critic
      evals__it__kind='policy', steps=2, post__reward='outcome',
      evals__it__world='compose', evals__it__splits='test,train_d1',
      evals__it__num_problems=4, evals__it__num_samples=8,
      evals__it__max_new_tokens=5, optim__learning_rate=3e-3)
  train.run(config, tmp_path / 'run')
  rows = run_dir.read_evaluation(tmp_path / 'run/evals/it/2.json')
  assert {r['split'] for r in rows} == {'test', 'train_d1'}
  assert {r['metric'] for r in rows} == {
      'accuracy', 'pass_at_k', 'length', 'ended', 'outcome', 'worked',
      'outcome_worked', 'outcome_short', 'kl', 'kl_reverse'}
  for split in 'test', 'train_d1':  # an answer without a number is not right
    each = [r for r in rows if r['split'] == split and r['metric'] in (
        'outcome_worked', 'outcome_short')]
    assert sum(r['value'] * r['n'] for r in each) == pytest.approx(
        32 * find(rows, 'outcome', split=split)['value'])
  assert find(rows, 'pass_at_k', split='test', k=4)['value'] >= find(
      rows, 'pass_at_k', split='test', k=1)['value']
  assert find(rows, 'kl', split='test')['value'] > 0
  one = [json.loads(line) for line in (
      tmp_path / 'run/evals/it/2.jsonl').read_text().splitlines()]
  share = np.mean([r['correct_samples'] / 8 for r in one
                   if r['split'] == 'test'])
  assert share == pytest.approx(find(rows, 'pass_at_k', split='test', k=1)[
      'value'])


def test_scores_of_answers_are_gradients_of_their_log_probabilities(tuned):
  """Their inner products, the mean of reward times score, and the logits'."""
  data, cfg, params = init_params(tuned())
  prompts = [rollout.draw_prompt(data, 0, 5)] * 3
  answers = [[5, 6, EOS], [6, EOS], [7, 5, 6, 5, EOS]]
  rows = rollout.packed_answers([p.ids for p in prompts], answers, 16)
  rewards = jnp.array([1.0, 0.0, 0.5])
  gram, logits, mean = score_norms.answer_scores(
      params, rows, rewards, cfg, len(data.vocab))

  @jax.jit
  def each(params):
    law = rollout.answer_log_probs(params, {k: rows[k] for k in (
        'tokens', 'targets', 'segments', 'positions')}, 1.0, cfg=cfg,
        entries=len(data.vocab), full_law=True)
    took = jnp.take_along_axis(law, rows['targets'][..., None], -1)[..., 0]
    return (took * rows['mask']).sum(1), law

  grads = jax.jacrev(lambda p: each(p)[0])(params)
  flat = np.concatenate([g.reshape(3, -1) for g in jax.tree.leaves(grads)], 1)
  np.testing.assert_allclose(gram, flat @ flat.T, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(np.concatenate([
      g.ravel() for g in jax.tree.leaves(mean)]), rewards @ flat / 3, rtol=1e-3,
      atol=1e-5)
  law = np.exp(each(params)[1])
  off = np.square(np.eye(law.shape[-1])[rows['targets']] - law).sum(-1)
  np.testing.assert_allclose(logits, (off * rows['mask']).sum(1), rtol=1e-4)


def test_policy_evaluation_refuses_a_model_that_scores(tuned):
  config = tuned('reward_model', evals__it__kind='policy',
                 evals__it__world='compose')
  with pytest.raises(BadInput, match="only scores; wanted 'selection'"):
    policy.build(config, load_mixture(config), config.evals.it, None)


@pytest.mark.parametrize('changes,message', [
    ({'reward': 'random+full'}, "wanted one without random: evaluations"),
    ({'reward': ''}, 'wanted a reward as of post.reward'),
    ({'num_problems': 1}, 'num_problems is 1 of score_norms, wanted at least')])
def test_score_norms_refuse_what_they_cannot_measure(tuned, changes, message):
  config = tuned(**{f'evals__it__{k}': v for k, v in ({
      'kind': 'score_norms', 'world': 'compose', 'reward': 'full'}
                                                      | changes).items()})
  with pytest.raises(BadInput, match=message):
    score_norms.build(config, load_mixture(config), config.evals.it)
