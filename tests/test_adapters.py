"""Adapters: what they compute, what trains, what is kept."""

import dataclasses
import math
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm import optim, restore, run_dir, sweep, train
from physics_lm.config import override, plain_config, run_id
from physics_lm.configs import biod, default
from physics_lm.errors import BadInput
from physics_lm.model import adapters, compress, decoder, kernels, moe
from physics_lm.model.config import model_config
from tests.compiled import forward, init
from tests.conftest import ROOT, TINY
from tests.test_resume import interrupted
from tests.test_sharding import keys, three_steps

ALL = ','.join(compress.INPUTS)
LLAMA = {'model.norm': 'rmsnorm', 'model.mlp': 'gated_silu',
         'model.bias': False, 'model.tie_embeddings': False,
         'model.kv_heads': 1}


def spec(kind, **changes):
  a = default.get_config().adapter
  a.kind = kind
  a.update(changes)
  return a


@pytest.fixture(scope='module')
def made():
  """(shape, parameters with every element random, tokens)."""
  cfg = model_config(override(default.get_config(), TINY | LLAMA), 40)
  params = init(cfg, jax.random.key(0))
  return cfg, noisy(params, 1), jax.random.randint(
      jax.random.key(2), (2, 9), 0, 40)


def noisy(tree, seed):
  at, form = jax.tree.flatten(tree)
  return jax.tree.unflatten(form, [
      x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(
          at, jax.random.split(jax.random.key(seed), len(at)))])


@pytest.mark.parametrize('kind,changes', [
    ('lora', {'target_modules': ALL, 'embedding_rank': 3}), ('bottleneck', {}),
    ('whole', {'target_modules': 'embedding,query'}), ('ia3', {}),
    ('lora_moe', {'target_modules': ALL}), ('prefix', {}), ('prompt', {})])
def test_adapter_changes_outputs_before_training_if_it_is_known_to(
    made, kind, changes):
  cfg, params, tokens = made
  s = spec(kind, **changes)
  adapter = adapters.init_adapter(s, cfg, jax.random.key(0))
  assert sum(x.size for x in jax.tree.leaves(adapter))
  off = np.abs(forward(params, tokens, cfg) - forward(
      adapters.merge_adapter(params, adapter, s, cfg), tokens, cfg)).max()
  assert (off > 1e-5) == (kind in adapters.CHANGE_AT_ONCE)


def test_merge_adapter_equals_unmerged_forward(made, monkeypatch):
  """x (W + alpha A B) = x W + alpha (x A) B, through the whole model."""
  cfg, params, tokens = made
  s = spec('lora', target_modules=ALL, embedding_rank=0, rank=2, scale=0.7)
  adapter = noisy(adapters.init_adapter(s, cfg, jax.random.key(0)), 5)
  merged = forward(adapters.merge_adapter(params, adapter, s, cfg), tokens, cfg)
  beside = {'ends': params['ends'], 'layers': dict(params['layers'])}
  for name, c in adapter['layers'].items():
    beside['layers'] |= {f'A_{name}': c['in'], f'B_{name}': c['out']}
  plain = decoder.Block._linear

  def unmerged(self, name, x, weights, axes, std, inputs=1):
    A, B = self._adapter(f'A_{name}', f'B_{name}')
    x_MI = x.reshape(-1, np.prod(weights[:inputs]))
    r = A.shape[-1]
    low = (x_MI @ A.reshape(-1, r)) @ B.reshape(r, -1)
    y = plain(self, name, x, weights, axes, std, inputs)
    return y + 0.7 * low.reshape(y.shape)

  monkeypatch.setattr(decoder.Block, '_linear', unmerged)
  found = jax.jit(lambda p: decoder.forward(p, tokens, cfg))(beside)
  np.testing.assert_allclose(merged, found, atol=2e-4)
  monkeypatch.undo()
  assert np.abs(forward(params, tokens, cfg) - found).max() > 0.1


def test_routed_experts_are_one_low_rank_update_where_all_are_alike(made):
  """LoRAMoE by its formula, on random routers, of a matrix; and in the model,
  with equal experts: their weights add up to one, so it is LoRA."""
  cfg, params, tokens = made
  k = jax.random.split(jax.random.key(3), 4)
  x, router, into, out = (jax.random.normal(key, shape) for key, shape in zip(
      k, ((5, 6), (2, 3, 4), (2, 3, 4, 2), (4, 2, 3, 5))))
  gate = jax.nn.softmax(x @ router.reshape(6, 4))
  wanted = sum(gate[:, e, None] * (x @ into.reshape(6, 4, 2)[:, e])
               @ out[e].reshape(2, 15) for e in range(4))
  np.testing.assert_allclose(
      moe.low_rank_experts(x, router, into, out), wanted, atol=1e-4)
  one = spec('lora', target_modules=ALL, embedding_rank=0, rank=2, scale=0.7)
  low = noisy(adapters.init_adapter(one, cfg, jax.random.key(0)), 5)
  s = spec('lora_moe', target_modules=ALL, rank=2, scale=0.7, experts=3)
  adapter = noisy(adapters.init_adapter(s, cfg, jax.random.key(0)), 5)
  for name, c in low['layers'].items():
    before = c['in'].ndim - 1
    adapter['layers'][f'experts_in_{name}']['new'] = jnp.stack(
        [c['in']] * 3, before)
    adapter['layers'][f'experts_out_{name}']['times'] = jnp.stack(
        [c['out']] * 3, 1)
  assert all(jax.tree.leaves(optim.decays(adapter)))
  np.testing.assert_allclose(*(
      forward(adapters.merge_adapter(params, a, of, cfg), tokens, cfg)
      for a, of in ((low, one), (adapter, s))), atol=3e-4)


def test_ia3_scales_keys_values_and_units(monkeypatch):
  """As factors in the forward pass, biases included. BitFit has all biases and
  no more."""
  cfg = model_config(override(default.get_config(), TINY), 40)
  params, tokens = noisy(init(cfg, jax.random.key(0)), 1), jnp.arange(9)[None]
  s = spec('ia3')
  adapter = noisy(adapters.init_adapter(s, cfg, jax.random.key(0)), 5)
  merged = forward(adapters.merge_adapter(params, adapter, s, cfg), tokens, cfg)
  layers = dict(params['layers'])
  for name, c in adapter['layers'].items():
    layers[f'factor_{name}'] = 1 + c['rescale'].squeeze(
        2 if name == 'down' else 1)
  plain = decoder.Block._linear

  def scaled(self, name, x, *args, **more):
    factor = self.get_variable('params', f'factor_{name}', 1.0)
    if name == 'down':
      return plain(self, name, x * factor, *args, **more)
    return plain(self, name, x, *args, **more) * factor

  monkeypatch.setattr(decoder.Block, '_linear', scaled)
  found = jax.jit(lambda p: decoder.forward(p, tokens, cfg))(
      {'ends': params['ends'], 'layers': layers})
  np.testing.assert_allclose(merged, found, atol=2e-4)
  bias = adapters.init_adapter(spec('bias'), cfg, jax.random.key(0))
  names = {n for part in params.values() for n in part if n.startswith('bias')}
  assert {n for part in bias.values() for n in part} == names
  assert adapters.adapter_axes(spec('bias'), cfg).keys() == bias.keys()


def test_sizes_of_lora_bits_are_those_of_the_trees():
  module = sweep.experiment(f'{ROOT}/experiments/lora_bits.py')
  config = biod.get_config('adapting')
  cfg = model_config(config, 384)
  for arm, (size, *_) in module.ARMS.items():
    c = override(config, module.NEW | module.overrides(arm))
    if c.adapter.kind != 'none':
      leaves = jax.tree.leaves(adapters.adapter_leaves(c.adapter, cfg),
                               is_leaf=lambda x: isinstance(x, adapters.Leaf))
      assert size == sum(math.prod(leaf.shape) for leaf in leaves), arm


def test_kinds_at_zero_are_those_whose_leaves_are(made):
  cfg = dataclasses.replace(made[0], bias=True)
  zero = [kind for kind in adapters.KINDS[1:] if all(
      leaf.std == 0 for leaf in jax.tree.leaves(
          adapters.adapter_leaves(spec(kind), cfg),
          is_leaf=lambda x: isinstance(x, adapters.Leaf)))]
  assert tuple(zero) == adapters.AT_ZERO


def test_merge_adapter_updates_both_uses_of_a_tied_embedding(made):
  cfg, params, tokens = made
  cfg = dataclasses.replace(cfg, tie_embeddings=True)
  s = spec('lora', target_modules='', embedding_rank=3, scale=2.0)
  adapter = noisy(adapters.init_adapter(s, cfg, jax.random.key(0)), 5)
  c = adapter['ends']['embedding']
  wanted = params['ends']['embedding'] + 2.0 * c['in'] @ c['out']
  merged = adapters.merge_adapter(params, adapter, s, cfg)
  _, table, _, _ = decoder.hidden_states(merged, tokens, cfg)
  np.testing.assert_allclose(table, wanted, atol=1e-5)


def test_prompt_equals_tokens_prepended(made):
  """Vectors that are words' own do what these words do, in every segment of
  a packed row."""
  cfg, params, tokens = made
  s, before = spec('prompt', length=3), jnp.array([7, 1, 30])
  words = {'ends': {'prompt': {'new': params['ends']['embedding'][before]}}}
  merged = adapters.merge_adapter(params, words, s, cfg)
  text = tokens[:1, :5]
  wanted = forward(params, jnp.concatenate([before[None], text], 1),
                         cfg)[:, 3:]
  packed = jnp.concatenate([tokens[1:, :4], text], 1)
  found = forward(
      merged, packed, cfg, jnp.array([[1] * 4 + [2] * 5]),
      jnp.concatenate([jnp.arange(4), jnp.arange(5)])[None])[:, 4:]
  np.testing.assert_allclose(wanted, found, atol=2e-4)


def test_prefix_reaches_every_token(made):
  cfg, params, tokens = made
  s = spec('prefix', length=2)
  first = noisy(adapters.init_adapter(s, cfg, jax.random.key(0)), 3)
  other = jax.tree.map(lambda x: x.at[:, 1].add(1.0), first)
  a, b = (forward(adapters.merge_adapter(params, x, s, cfg), tokens, cfg)
          for x in (first, other))
  assert np.abs(a - b).max(-1).min() > 1e-3


def test_attention_with_prefix_is_softmax_over_both():
  k = iter(jax.random.split(jax.random.key(0), 5))
  q, key, value = (jax.random.normal(next(k), (2, 4, 2, 8)) for _ in range(3))
  prefix = [jax.random.normal(next(k), (3, 2, 8)) for _ in range(2)]

  def plain(q, key, value, prefix):
    keys_, values = (jnp.concatenate([jnp.stack([p, p]), x], 1)
                     for p, x in zip(prefix, (key, value)))
    s = jnp.einsum('BTNH,BSNH->BNTS', q, keys_) / 8**0.5
    see = jnp.concatenate([jnp.ones((4, 3), bool), jnp.tri(4, dtype=bool)], 1)
    return jnp.einsum('BNTS,BSNH->BTNH', jax.nn.softmax(
        jnp.where(see, s, -jnp.inf)), values)


  def ours(q, key, value, prefix):
    return kernels.attention(q, key, value, jnp.ones((2, 4), int), 'xla',
                             prefix)

  def both(f):
    return jax.jit(jax.value_and_grad(
        lambda x: jnp.square(f(*x)).sum()))((q, key, value, prefix))

  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4),
               both(plain), both(ours))


QA = {'data.tasks.bio.weight': 0.0, 'optim.learning_rate': 1e-2}
LORA = {'adapter.kind': 'lora', 'adapter.embedding_rank': 4}


def config(changes):
  """As TINY, on one device, with one evaluation."""
  c = default.get_config()
  del c.evals.extraction
  return override(c, TINY | {'runtime.mesh.data': 1} | changes)


@pytest.fixture(scope='module')
def base(tmp_path_factory):
  """A finished run."""
  folder = tmp_path_factory.mktemp('runs') / 'base'
  train.run(config({'steps': 2, 'optim.warmup_steps': 1}), folder)
  return folder


@pytest.fixture(scope='module')
def lora(base, tmp_path_factory):
  """A finished run of an adapter on it, and its config."""
  folder = tmp_path_factory.mktemp('runs') / 'lora'
  c = config(QA | LORA | {'init_from': str(base)})
  train.run(c, folder)
  return folder, c


def last(folder):
  """Last evaluations and training row, less times."""
  train, evals = run_dir.results(folder)
  return evals, {k: v for k, v in train.items() if not k.startswith('time')}


def as_the_loop_saw(run, folder):
  from physics_lm.evals import loss
  again = loss.build(run.config, run.data, run.config.evals.loss)(run.params)
  logged = last(folder)[0]['loss']
  assert len(logged) == len(again.rows) > 0
  for a, b in zip(again.rows, logged):
    assert a['task'] == b['task']
    assert a['value'] == pytest.approx(b['value'], abs=1e-5)


def test_training_changes_and_saves_the_adapter_only(base, lora):
  folder, _ = lora
  losses = [r['loss'] for r in run_dir.read_rows(folder / 'metrics.jsonl')
            if r['kind'] == 'train']
  assert losses[-1] < losses[0]
  got, plain = restore.load_run(folder), restore.load_run(base)
  assert got.step == 6
  for part, own in plain.params.items():
    assert own.keys() == got.params[part].keys()
    for name, x in own.items():
      assert (np.abs(got.params[part][name] - x).max() > 0) == (
          name in ('embedding', 'query', 'value')), name

  def size(f):
    files = (f / 'checkpoints').glob('*/params/**/*')
    return sum(p.stat().st_size for p in files if p.is_file())

  assert size(folder) < size(base)
  as_the_loop_saw(got, folder)


def test_adapter_run_resumes_bitwise(lora, tmp_path, monkeypatch):
  folder, c = lora
  interrupted(c, tmp_path / 'cut', 3, monkeypatch)
  train.run(c, tmp_path / 'cut')
  assert last(folder) == last(tmp_path / 'cut')


def test_penalised_runs_log_what_changed_and_resume_bitwise(
    base, tmp_path, monkeypatch):
  """Alone, in a population of two rates, and resumed."""
  changes = QA | {'init_from': str(base), 'adapter.kind': 'whole',
                  'adapter.target_modules': 'up', 'adapter.penalty': 0.7}
  train.run(config(changes), tmp_path / 'alone')
  interrupted(config(changes), tmp_path / 'cut', 3, monkeypatch)
  train.run(config(changes), tmp_path / 'cut')
  assert last(tmp_path / 'alone') == last(tmp_path / 'cut')
  train.run_all([
      train.Job(config(changes | {'optim.learning_rate': rate}), tmp_path / to)
      for rate, to in ((1e-2, 'member'), (1e-3, 'other'))])
  found, plain = (restore.load_run(f).params['layers']['up']
                  for f in (tmp_path / 'alone', base))
  changed = last(tmp_path / 'alone')[1]['changed']
  assert 0 < changed < plain.size
  # A difference may round to nothing beside its parameter.
  assert changed == pytest.approx(np.count_nonzero(found != plain), rel=0.02)
  for to in ('member', 'other'):
    assert last(tmp_path / to)[1]['changed'] == pytest.approx(changed, rel=0.3)


def test_load_run_finds_the_base_of_an_adapter(base, lora, tmp_path):
  (tmp_path / 'runs').mkdir()
  moved = shutil.copytree(lora[0], tmp_path / 'runs' / 'lora')
  with pytest.raises(BadInput, match='needs the parameters of run'):
    restore.load_run(moved)
  beside = run_id(run_dir.read_json(base / 'config.json'))
  (moved.parent / beside).symlink_to(base)
  restore.load_run(moved)


def test_adapter_trains_on_an_adapted_run(lora, tmp_path):
  first, _ = lora
  changes = QA | {'init_from': str(first), 'adapter.kind': 'prompt',
                  'steps': 2, 'optim.warmup_steps': 1}
  train.run(config(changes), tmp_path / 'prompt')
  a, b = (restore.load_run(f) for f in (first, tmp_path / 'prompt'))
  for name, x in a.params['layers'].items():
    np.testing.assert_array_equal(x, b.params['layers'][name])
  as_the_loop_saw(b, tmp_path / 'prompt')
  with pytest.raises(BadInput, match='no change of weights'):
    train.run(config(changes | {'init_from': str(tmp_path / 'prompt')}),
              tmp_path / 'third')


@pytest.mark.devices
def test_adapter_is_the_same_on_any_mesh(tiny):
  changes = LORA | {'init_from': 'x'}
  first, losses, state, _ = three_steps(
      tiny(changes | keys((1, 1, 1))), jax.devices()[:1])
  _, others, other, _ = three_steps(tiny(changes | keys((2, 2, 2))))
  np.testing.assert_allclose(losses, others, rtol=1e-4)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3),
               state.params, other.params)
  jax.tree.map(np.testing.assert_array_equal, first.base, state.base)


def test_run_id_is_unchanged_without_an_adapter():
  plain = plain_config(default.get_config())
  older = {k: v for k, v in plain.items() if k != 'adapter'}
  assert run_id(plain) == run_id(older)
  other = plain | {'adapter': plain['adapter'] | {'kind': 'lora'}}
  assert run_id(other) != run_id(plain)
  before = other | {'adapter': {k: v for k, v in other['adapter'].items()
                                if k not in ('experts', 'penalty')}}
  assert run_id(before) == run_id(other) != run_id(
      other | {'adapter': other['adapter'] | {'experts': 8}})
  assert run_id(other) != run_id(
      other | {'adapter': other['adapter'] | {'penalty': 0.5}})
  assert restore.config_from_plain(older).adapter.kind == 'none'


@pytest.mark.parametrize('changes,message', [
    ({'kind': 'lore'}, 'lora'), ({'rank': 0}, 'rank is 0'),
    ({'target_modules': 'query,vlaue'}, 'value'),
    ({'target_modules': 'bias_query'}, 'matrices of the layers'),
    ({'target_modules': '', 'embedding_rank': 0}, 'embedding_rank is 0'),
    ({'target_modules': ' ,', 'embedding_rank': 0}, 'embedding_rank is 0'),
    ({'kind': 'lora_moe', 'experts': 0}, 'experts is 0'),
    ({'kind': 'lora_moe', 'target_modules': ''}, "target_modules is ''"),
    ({'kind': 'prompt', 'num_virtual_tokens': 0}, 'num_virtual_tokens is 0')])
def test_adapter_leaves_reject_bad_input(changes, message, made):
  cfg, _, _ = made
  cfg = dataclasses.replace(cfg, bias=True)
  with pytest.raises(BadInput, match=message):
    adapters.adapter_leaves(spec(**{'kind': 'lora'} | changes), cfg)


def test_biases_of_distances_are_not_adapted(made):
  cfg = dataclasses.replace(made[0], positions='distance', bias=False,
                            max_positions=32)
  with pytest.raises(BadInput, match="kind is 'bias' of a model"):
    adapters.adapter_leaves(spec('bias'), cfg)


def test_train_step_build_rejects_an_adapter_without_init_from(tiny, tmp_path):
  with pytest.raises(BadInput, match='init_from'):
    train.run(tiny(LORA), tmp_path / 'run')
