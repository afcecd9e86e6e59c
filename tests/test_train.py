"""The step and the loop: accumulation, learning, NaN, logging, population."""

import functools
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm import (
  loader,
  metrics,
  mixture,
  optim,
  restore,
  run_dir,
  train,
  train_step,
)
from physics_lm.config import model_differences, plain_config
from physics_lm.errors import BadInput
from physics_lm.evals import registry
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model import decoder
from physics_lm.model.config import model_config


def batch_of(data, first, count):
  made = [mixture.packed_row(data, first + i) for i in range(count)]
  return {k: jnp.asarray(np.stack([r[k] for r in made])) for k in made[0]}


def pieces(config):
  data = load_mixture(config)
  cfg = model_config(config, len(data.vocab))
  tx = optim.make_optimizer(config)
  params = jax.jit(lambda: decoder.init(
      cfg, jax.random.key(config.seed.init)))()
  state = train_step.TrainState(jnp.int32(0), params, tx.init(params))
  return data, cfg, tx, state


def test_accumulation_changes_rounding_only(one_device):
  data, cfg, tx, state = pieces(one_device({'optim.eps': 1e-3}))
  batch = batch_of(data, 0, 8)
  results = [jax.jit(train_step.make_step(cfg, tx, 2, a))(state, batch)
             for a in (1, 2, 4)]
  for got, sums in results[1:]:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
                 results[0][0], got)
    np.testing.assert_allclose(sums['loss'], results[0][1]['loss'], rtol=1e-5)
    assert (sums['entries'] == results[0][1]['entries']).all()


def test_loss_sums_match_the_rows(one_device):
  data, cfg, tx, state = pieces(one_device())
  batch = batch_of(data, 0, 8)
  _, sums = jax.jit(train_step.make_step(cfg, tx, 2))(state, batch)
  for task in range(2):
    mine = np.asarray(batch['task']) == task
    assert sums['weight'][task] == np.asarray(batch['weights'])[mine].sum()
    assert sums['entries'][task] == np.asarray(batch['entries'])[mine].sum()
  # An untrained model is near the uniform guess over the vocabulary.
  sums = {k: v[None] for k, v in jax.device_get(sums).items()}
  mean = metrics.window_means(metrics.add_sums({}, sums), ['bio', 'qa'])
  assert abs(mean['loss'] - np.log(cfg.vocab)) < 1.5


def test_padding_and_weight_zero_have_no_gradient(one_device):
  data, cfg, _, state = pieces(one_device({'data.tasks.qa.loss': 'answers'}))
  batch = batch_of(data, 0, 4)
  grad = jax.jit(jax.grad(
      lambda p, b: train_step.loss_sums(p, b, cfg, 2)[0]))
  other = dict(batch)
  zero = np.asarray(batch['weights']) == 0
  other['targets'] = jnp.where(zero, 7, batch['targets'])
  jax.tree.map(np.testing.assert_array_equal, grad(state.params, batch),
               grad(state.params, other))


def test_vmapped_step_equals_the_lone_step(one_device):
  """The step works under vmap: seeds in one program."""
  config = one_device()
  data, cfg, tx, _ = pieces(config)
  step = train_step.make_step(cfg, tx, 2)
  alone_step = jax.jit(step)

  def begin(key):
    params = decoder.init(cfg, key)
    return train_step.TrainState(jnp.int32(0), params, tx.init(params))

  keys = jax.random.split(jax.random.key(0), 3)
  many, one = jax.jit(jax.vmap(begin))(keys), jax.jit(begin)(keys[1])
  together = jax.jit(jax.vmap(step, in_axes=(0, None)))
  for i in range(3):
    batch = batch_of(data, 8 * i, 8)
    many, sums = together(many, batch)
    one, alone = alone_step(one, batch)
    np.testing.assert_allclose(sums['loss'][1], alone['loss'], rtol=1e-5)
  assert float(sums['loss'][0].sum()) != float(sums['loss'][1].sum())


def test_training_learns_and_writes_its_folder(one_device, tmp_path):
  folder = tmp_path / 'run'
  config = one_device({'steps': 60, 'log.every': 20,
                       'evals.loss.every': 30})
  train.run(config, folder, 'a command')
  written = run_dir.read_rows(folder / 'metrics.jsonl')
  steps = [r for r in written if r['kind'] == 'train']
  assert [r['step'] for r in steps] == [20, 40, 60]
  assert steps[-1]['loss'] < steps[0]['loss'] - 0.5
  assert steps[-1]['tokens'] == 60 * 8 * 96
  data = load_mixture(config)
  counts = np.zeros(2, int)
  for i in range(60 * 8):
    row = mixture.packed_row(data, i)
    counts[row['task']] += row['entries']
  assert [steps[-1]['entries/bio'], steps[-1]['entries/qa']] == list(counts)
  assert steps[-1]['exposures/bio'] == counts[0] / 12
  evals = [r for r in written if r['kind'] == 'eval']
  assert [r['step'] for r in evals] == [0, 30, 60, 60]
  meta = json.loads((folder / 'meta.json').read_text())
  assert meta['command'] == 'a command' and meta['worlds'] == {'bios': 1}
  assert meta['vocab']['sha256'] == data.vocab.hash
  assert run_dir.is_done(folder)
  last, found = run_dir.results(folder)
  assert last == steps[-1]
  raw = run_dir.read_rows(folder / 'evals/extraction/60.jsonl')
  test = [r['correct'] for r in raw
          if r['person_split'] == 'test' and r['text'] == 'question']
  assert len(test) == 36
  row = find(found['extraction'], 'accuracy', person_split='test',
             text='question', attribute='mean')
  assert row['n'] == 6 and abs(np.mean(test) - row['value']) < 1e-9
  train.run(config, folder)  # done: returns at once
  assert len(run_dir.read_rows(folder / 'metrics.jsonl')) == len(written)


def test_stale_evals_alone_are_run_again(
    one_device, tmp_path, monkeypatch, capsys):
  folder, evaluated, build = tmp_path / 'run', [], registry.build

  def watched(name, evaluator, params, step):
    evaluated.append(name)
    if len(evaluated) == 1:
      signal.raise_signal(signal.SIGTERM)
    return evaluator(params, step)

  monkeypatch.setattr(registry, 'build', lambda *given: {
      name: functools.partial(watched, name, e)
      for name, e in build(*given).items()})
  config = one_device({'steps': 4, 'evals.loss.num_rows': 2})
  train.run(config, folder, 'the training')
  meta = (folder / 'meta.json').read_text()
  # A signal during the first leaves out the second.
  assert len(evaluated) == 1 and not run_dir.is_done(folder)
  assert 'holds step 4' in capsys.readouterr().out
  train.run(config, folder)
  assert len(config.evals) == 2 and sorted(evaluated) == sorted(config.evals)
  trained = [r for r in run_dir.read_rows(folder / 'metrics.jsonl')
             if r['kind'] == 'train']
  _, before = run_dir.results(folder)
  rows = run_dir.read_log(folder)
  run_dir.write_log(folder, [  # as with `every`
      r | {'step': 2} for r in rows if r['kind'] == 'eval'] + rows)
  for name in before:
    run_dir.write(folder / f'evals/{name}/2.json', '')
  evaluated[:] = [None]
  train.run(one_device({'steps': 4, 'evals.loss.num_rows': 3}), folder)
  assert evaluated == [None, 'loss'] and run_dir.is_done(folder)
  out = capsys.readouterr().out
  assert 're-running evals (spec changed): evals.loss.num_rows: 2 -> 3' in out
  _, after = run_dir.results(folder)
  assert before['loss'] != after['loss']
  assert before['extraction'] == after['extraction']
  logged = [k for r in run_dir.read_rows(folder / 'metrics.jsonl')
            if r['kind'] == 'eval' and r['step'] == 4 for k in r]
  assert {'loss/bio', 'extraction/accuracy/test/question/mean'} <= set(logged)
  # Of steps before, what was evaluated by the old spec is set aside.
  early = [k for r in run_dir.read_log(folder)
           if r['kind'] == 'eval' and r['step'] == 2 for k in r]
  assert 'extraction/accuracy/test/question/mean' in early
  assert 'loss/bio' not in early
  assert [len(list((folder / 'evals' / name).glob('*.json')))
          for name in ('loss', 'extraction')] == [1, 2]
  assert (folder / 'evals/loss/2.json.old').exists()
  assert 'old eval' in {r['kind'] for r in run_dir.read_log(folder)}
  assert trained == [r for r in run_dir.read_rows(folder / 'metrics.jsonl')
                     if r['kind'] == 'train']
  # It stays the run that the first process trained, and was done now.
  assert 'the training' in meta and (folder / 'meta.json').read_text() == meta
  assert run_dir.read_json(folder / 'done')['time'] >= json.loads(meta)['time']


def test_nan_stops_with_the_step_and_the_last_good_checkpoint(
    one_device, tmp_path):
  config = one_device({'optim.learning_rate': 1e20, 'optim.grad_clip_norm': 0.0,
                       'checkpoint.every': 1, 'optim.warmup_steps': 0})
  # The parameters after step 1 are finite and useless: step 2 shows it, and
  # no checkpoint before that one is good.
  with pytest.raises(BadInput, match=r'at step 2 .*checkpoint: none'):
    train.run(config, tmp_path / 'run')
  assert not run_dir.is_done(tmp_path / 'run')


def test_nan_names_the_checkpoint_before_the_bad_parameters(
    one_device, tmp_path, monkeypatch):
  config = one_device({'checkpoint.every': 1, 'checkpoint.keep': 9})
  calls = []
  put = loader.to_devices

  def poisoned(*args):
    calls.append(1)
    batch = put(*args)
    if len(calls) == 4:
      batch['weights'] = batch['weights'] * float('nan')
    return batch

  monkeypatch.setattr(loader, 'to_devices', poisoned)
  with pytest.raises(BadInput, match=r'at step 4 .*checkpoints/2$'):
    train.run(config, tmp_path / 'run')


def test_finetuning_starts_from_the_parents_parameters(one_device, tmp_path):
  train.run(one_device(), tmp_path / 'parent')
  child = one_device({'init_from': 'parent', 'steps': 3,
                      'optim.learning_rate': 0.0, 'seed.init': 5,
                      'data.tasks.bio.weight': 0.0})
  train.run(child, tmp_path / 'child')
  (_, a), (_, b) = (run_dir.results(tmp_path / r) for r in ('parent', 'child'))
  assert a['extraction'] == b['extraction'] != []
  # No step: it is only evaluated, and keeps no parameters of its own.
  train.run(one_device({'init_from': 'parent', 'steps': 0}),
            tmp_path / 'evaluated')
  _, c = run_dir.results(tmp_path / 'evaluated')
  assert a['extraction'] == c['extraction']
  run = restore.load_run(tmp_path / 'evaluated')
  jax.tree.map(np.testing.assert_array_equal, run.params,
               restore.load_run(tmp_path / 'parent').params)
  assert run.step == 0
  assert not list((tmp_path / 'evaluated').glob('checkpoints/*'))
  with pytest.raises(BadInput, match='steps is 0 and init_from None'):
    train.run(one_device({'steps': 0}), tmp_path / 'nothing')
  other = one_device({'init_from': 'parent', 'worlds.bios.cities': 9})
  with pytest.raises(BadInput, match='another vocabulary'):
    train.run(other, tmp_path / 'other')
  for changes, message in (
      ({'steps': 0, 'model.rope_theta': 2.0, 'model.mlp': 'relu'},
       r'another model: model.mlp is gelu, wanted relu; '
       r'model.rope_theta is 10000.0, wanted 2.0$'),
      ({'model.depth': 3}, r'model.depth is 2, wanted 3$'),
      ({'model.tie_embeddings': False, 'adapter.kind': 'lora'},
       r'model.tie_embeddings is True, wanted False$')):
    with pytest.raises(BadInput, match=message):
      train.run(one_device({'init_from': 'parent'} | changes),
                tmp_path / 'another')
  # A folder whose config was edited: its parent's model is another.
  stored = run_dir.read_json(tmp_path / 'evaluated/config.json')
  stored['model']['qk_norm'] = True
  run_dir.write_json(tmp_path / 'evaluated/config.json', stored)
  with pytest.raises(BadInput, match='qk_norm is False, wanted True'):
    restore.load_run(tmp_path / 'evaluated')


@pytest.mark.parametrize('changes,differs', [
    ({'model.kv_heads': 2, 'model.mlp_ratio': 4.01, 'model.dropout': 0.1,
      'model.dtype': 'bfloat16', 'model.moe_capacity_factor': 9.0}, []),
    ({'model.kv_heads': 1}, ['model.kv_heads is 2, wanted 1']),
    ({'model.mlp_ratio': 3.0}, ['model.mlp_ratio is 4.0, wanted 3.0']),
    ({'model.bias': False}, ['model.bias is True, wanted False']),
    ({'data.mlm_probability': 0.15}, ['attention to later tokens (data.'
      'mlm_probability above 0) is False, wanted True'])])
def test_model_differences_name_what_changes_the_function(
    tiny, changes, differs):
  assert model_differences(
      plain_config(tiny()), plain_config(tiny(changes))) == differs


@pytest.mark.parametrize('schedule', optim.SCHEDULES)
def test_lr_schedule_has_the_named_shape(tiny, schedule):
  config = tiny({'optim.schedule': schedule, 'steps': 100,
                 'optim.warmup_steps': 10, 'optim.learning_rate': 1.0})
  rate = optim.lr_schedule(config)
  got = [float(rate(i)) for i in range(100)]  # of steps 1 .. 100
  np.testing.assert_allclose(got[:10], np.arange(1, 11) / 10, rtol=1e-5)
  assert max(got) == pytest.approx(1)
  low = {'constant': 1.0}.get(schedule, 0.1)
  assert got[-1] == pytest.approx(low, rel=1e-3)
  if schedule.startswith('wsd'):
    assert got[79] == pytest.approx(1)
    share = 0.5 if schedule == 'wsd' else 1 - 0.5**0.5
    assert got[89] == pytest.approx(0.1 + 0.9 * share)
  if schedule == 'cosine':
    assert got[54] == pytest.approx(0.55, rel=1e-3)


def test_weight_decay_spares_scales_and_biases(one_device):
  _, _, tx, state = pieces(one_device({'optim.weight_decay': 1.0,
                                       'optim.learning_rate': 1.0}))
  zero = jax.tree.map(jnp.zeros_like, state.params)
  updates, _ = tx.update(zero, state.opt, state.params)
  flat = jax.tree_util.tree_flatten_with_path(updates)[0]
  for path, update in flat:
    spared = path[-1].key.startswith(('scale', 'bias'))
    assert bool(jnp.any(update != 0)) != spared, path


def test_wandb_mirror_works_offline_and_when_it_fails(tmp_path, monkeypatch):
  config = {'log': {'wandb': 'offline', 'project': 'test'}, 'init_from': None}
  writer = metrics.MetricsWriter(tmp_path / 'a', config)
  writer.write('train', 1, loss=2.0)
  writer.close()
  assert list((tmp_path / 'a').glob('wandb/offline-run-*/*.wandb'))
  import wandb

  def fail(*args, **kwargs):
    raise RuntimeError('no network')

  monkeypatch.setattr(wandb, 'init', fail)
  writer = metrics.MetricsWriter(tmp_path / 'b', config)
  writer.write('train', 1, loss=2.0)
  writer.close()
  assert run_dir.read_rows(tmp_path / 'b' / 'metrics.jsonl')[0]['loss'] == 2.0


@pytest.mark.parametrize('changes,message', [
    ({'optim.schedule': 'cos'}, "'cos'"),
    ({'optim.warmup_steps': 6}, 'optim.warmup_steps is 6'),
    ({'init_from': 'nowhere'}, 'finished run'),
    ({'evals.loss.kind': 'los'}, 'nearest: loss'),
    ({'evals.extraction.world': 'bio'}, 'nearest: bios'),
    ({'evals.extraction.people': 0}, 'people is 0'),
    ({'evals.loss.num_rows': 0}, 'num_rows is 0'),
    ({'data.tasks.bio.weight': 0.0, 'data.seq_len': 40}, 'task evals has'),
    ({'data.batch_size': 0}, 'data.batch_size is 0'),
    ({'checkpoint.every': 0}, 'checkpoint.every is 0'),
    ({'log.every': 0}, 'log.every is 0'),
    ({'log.wandb': 'offlin'}, "'offlin'"),
    ({'runtime.attention': 'cudnn'}, 'wanted a GPU')])
def test_train_rejects_bad_input(one_device, tmp_path, changes, message):
  with pytest.raises(BadInput, match=message):
    train.run(one_device(changes), tmp_path / 'run')
