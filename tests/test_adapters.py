"""Adapters: what they compute, what trains, what is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from physics_lm import (
  adapters,
  cli,
  compress,
  kernels,
  model,
  shape,
  store,
  train,
  trained,
)
from physics_lm.errors import BadInput
from tests.conftest import TINY
from tests.test_resume import interrupted
from tests.test_sharding import keys, three_steps

ALL = ','.join(compress.INPUTS)
LLAMA = {'model.norm': 'rmsnorm', 'model.mlp': 'gated_silu',
         'model.bias': False, 'model.tied': False, 'model.kv_heads': 1}


forward = jax.jit(model.forward, static_argnums=2)


def spec(kind, **changes):
  a = default.get_config().adapter
  a.kind = kind
  a.update(changes)
  return a


@pytest.fixture(scope='module')
def made():
  """(shape, parameters with every element random, tokens)."""
  cfg = shape.make(cli.override(default.get_config(), TINY | LLAMA), 40)
  params = jax.jit(lambda: model.init(cfg, jax.random.key(0)))()
  return cfg, noisy(params, 1), jax.random.randint(
      jax.random.key(2), (2, 9), 0, 40)


def noisy(tree, seed):
  at, form = jax.tree.flatten(tree)
  return jax.tree.unflatten(form, [
      x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(
          at, jax.random.split(jax.random.key(seed), len(at)))])


@pytest.mark.parametrize('kind,changes', [
    ('lora', {'matrices': ALL, 'embedding_rank': 3}), ('bottleneck', {}),
    ('whole', {'matrices': 'embedding,query'})])
def test_begins_as_the_model_was(made, kind, changes):
  cfg, params, tokens = made
  s = spec(kind, **changes)
  adapter = adapters.init(s, cfg, jax.random.key(0))
  assert sum(x.size for x in jax.tree.leaves(adapter))
  np.testing.assert_allclose(
      forward(params, tokens, cfg),
      forward(adapters.merge(params, adapter, s, cfg), tokens, cfg),
      atol=1e-6)


def test_merged_is_unmerged(made, monkeypatch):
  """x (W + alpha A B) = x W + alpha (x A) B, through the whole model."""
  cfg, params, tokens = made
  s = spec('lora', matrices=ALL, embedding_rank=0, rank=2, alpha=0.7)
  adapter = noisy(adapters.init(s, cfg, jax.random.key(0)), 5)
  merged = forward(adapters.merge(params, adapter, s, cfg), tokens, cfg)
  beside = {'ends': params['ends'], 'layers': dict(params['layers'])}
  for name, c in adapter['layers'].items():
    beside['layers'] |= {f'A_{name}': c['in'], f'B_{name}': c['out']}
  plain = model.Block._linear

  def unmerged(self, name, x, weights, axes, std, inputs=1):
    A, B = self._given(f'A_{name}', f'B_{name}')
    x_MI = x.reshape(-1, np.prod(weights[:inputs]))
    r = A.shape[-1]
    low = (x_MI @ A.reshape(-1, r)) @ B.reshape(r, -1)
    y = plain(self, name, x, weights, axes, std, inputs)
    return y + 0.7 * low.reshape(y.shape)

  monkeypatch.setattr(model.Block, '_linear', unmerged)
  found = model.forward(beside, tokens, cfg)
  np.testing.assert_allclose(merged, found, atol=2e-4)
  monkeypatch.undo()
  assert np.abs(forward(params, tokens, cfg) - found).max() > 0.1


def test_embedding_update_serves_input_and_output(made):
  cfg, params, tokens = made
  cfg = shape.dataclasses.replace(cfg, tied=True)
  s = spec('lora', matrices='', embedding_rank=3, alpha=2.0)
  adapter = noisy(adapters.init(s, cfg, jax.random.key(0)), 5)
  c = adapter['ends']['embedding']
  wanted = params['ends']['embedding'] + 2.0 * c['in'] @ c['out']
  _, table, _, _ = model.hidden(adapters.merge(params, adapter, s, cfg),
                                tokens, cfg)
  np.testing.assert_allclose(table, wanted, atol=1e-5)


def test_a_prompt_is_what_stands_before(made):
  """Vectors that are words' own do what these words do, in every segment of
  a packed row."""
  cfg, params, tokens = made
  s, before = spec('prompt', length=3), jnp.array([7, 1, 30])
  words = {'ends': {'prompt': {'new': params['ends']['embedding'][before]}}}
  merged = adapters.merge(params, words, s, cfg)
  text = tokens[:1, :5]
  wanted = forward(params, jnp.concatenate([before[None], text], 1),
                         cfg)[:, 3:]
  packed = jnp.concatenate([tokens[1:, :4], text], 1)
  found = forward(
      merged, packed, cfg, jnp.array([[1] * 4 + [2] * 5]),
      jnp.concatenate([jnp.arange(4), jnp.arange(5)])[None])[:, 4:]
  np.testing.assert_allclose(wanted, found, atol=2e-4)


def test_a_prefix_is_seen_by_every_token(made):
  cfg, params, tokens = made
  s = spec('prefix', length=2)
  first = noisy(adapters.init(s, cfg, jax.random.key(0)), 3)
  other = jax.tree.map(lambda x: x.at[:, 1].add(1.0), first)
  a, b = (forward(adapters.merge(params, x, s, cfg), tokens, cfg)
          for x in (first, other))
  assert np.abs(a - b).max(-1).min() > 1e-3


def test_attention_with_a_prefix_is_softmax_over_both():
  k = iter(jax.random.split(jax.random.key(0), 5))
  q, key, value = (jax.random.normal(next(k), (2, 4, 2, 8)) for _ in range(3))
  prefix = [jax.random.normal(next(k), (3, 2, 8)) for _ in range(2)]
  keys_, values = (jnp.concatenate([jnp.stack([p, p]), x], 1)
                   for p, x in zip(prefix, (key, value)))
  s = jnp.einsum('BTNH,BSNH->BNTS', q, keys_) / 8**0.5
  see = jnp.concatenate([jnp.ones((4, 3), bool), jnp.tri(4, dtype=bool)], 1)
  wanted = jnp.einsum('BNTS,BSNH->BTNH', jax.nn.softmax(
      jnp.where(see, s, -jnp.inf)), values)
  np.testing.assert_allclose(wanted, kernels.attention(
      q, key, value, jnp.ones((2, 4), int), 'xla', prefix), atol=1e-5)


QA = {'data.tasks.bio.weight': 0.0, 'runtime.mesh.data': 1,
      'optim.learning_rate': 1e-2}
LORA = {'adapter.kind': 'lora', 'adapter.embedding_rank': 4}


@pytest.fixture(scope='module')
def base(tmp_path_factory):
  """A finished run."""
  folder = tmp_path_factory.mktemp('runs') / 'base'
  train.run(cli.override(default.get_config(), TINY | {
      'runtime.mesh.data': 1}), folder)
  return folder


def adapted(base, **changes):
  return cli.override(default.get_config(), TINY | QA | {
      'init_from': str(base)} | {k.replace('__', '.'): v
                                 for k, v in changes.items()})


def last(folder):
  """Last evaluations, less times."""
  return {k: v for k, v in store.results(folder).items()
          if not k.startswith('train/time')}


@pytest.mark.parametrize('kind', adapters.KINDS[1:])
def test_trains_keeps_and_opens(base, kind, tmp_path):
  matrices = 'embedding,query' if kind == 'whole' else 'query,value'
  config = adapted(base, adapter__kind=kind, adapter__matrices=matrices,
                   adapter__embedding_rank=4, steps=12)
  folder = tmp_path / 'run'
  train.run(config, folder)
  losses = [r['loss'] for r in store.read_rows(folder / 'metrics.jsonl')
            if r['kind'] == 'train']
  assert losses[-1] < losses[0]
  size = lambda f: sum(p.stat().st_size for p in (
      f / 'checkpoints').glob('*/params/**/*') if p.is_file())
  assert size(folder) < size(base) or kind == 'whole'
  got, plain = trained.load(folder), trained.load(base)
  assert got.step == 12
  adapter = got.config.adapter
  touched = {'embedding', 'query'} if kind == 'whole' else {
      'embedding', 'query', 'value'} if kind == 'lora' else set()
  for part, own in plain.params.items():
    for name, x in own.items():
      assert (np.abs(got.params[part][name] - x).max() > 0) == (
          name in touched), name
  new = {n for p in got.params for n in got.params[p]} - {
      n for p in plain.params for n in plain.params[p]}
  assert bool(new) == (adapter.kind not in adapters.ORDINARY)
  from physics_lm.evals import loss
  again, _ = loss.run(got.params, got.config, got.config.evals.loss, got.cfg)
  assert again == pytest.approx({k.removeprefix('loss/'): v for k, v in last(
      folder).items() if k.startswith('loss/')}, abs=1e-5)


def test_resumes_bitwise_also_when_its_base_has_moved(
    base, tmp_path, monkeypatch):
  config = adapted(base, **LORA_KEYS)
  train.run(config, tmp_path / 'whole')
  interrupted(config, tmp_path / 'cut', 3, monkeypatch)
  train.run(config, tmp_path / 'cut')
  assert last(tmp_path / 'whole') == last(tmp_path / 'cut')
  moved = tmp_path / 'elsewhere'
  moved.mkdir()
  (tmp_path / 'whole').rename(moved / 'run')
  with pytest.raises(BadInput, match='holds an adapter of run'):
    trained.load(moved / 'run')
  (moved / store.run_id(store.read_json(base / 'config.json'))).symlink_to(base)
  trained.load(moved / 'run')


LORA_KEYS = {k.replace('.', '__'): v for k, v in LORA.items()}


def test_an_adapter_on_an_adapter(base, tmp_path):
  first = tmp_path / 'first'
  train.run(adapted(base, **LORA_KEYS), first)
  train.run(adapted(first, steps=4, **LORA_KEYS), tmp_path / 'second')
  train.run(adapted(first, steps=4), tmp_path / 'plain')  # all of it trains
  a, b = (trained.load(f) for f in (first, tmp_path / 'second'))
  np.testing.assert_array_equal(a.params['layers']['up'],
                                b.params['layers']['up'])
  assert (a.params['layers']['query'] != b.params['layers']['query']).any()
  new = tmp_path / 'new'
  train.run(adapted(base, adapter__kind='bottleneck', steps=3), new)
  with pytest.raises(BadInput, match='no change of weights'):
    train.run(adapted(new, **LORA_KEYS), tmp_path / 'third')


def test_any_mesh(tiny):
  changes = LORA | {'init_from': 'x'}
  first, losses, state, _ = three_steps(
      tiny(changes | keys((1, 1, 1))), jax.devices()[:1])
  _, others, other, _ = three_steps(tiny(changes | keys((2, 2, 2))))
  np.testing.assert_allclose(losses, others, rtol=1e-4)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3),
               state.params, other.params)
  jax.tree.map(np.testing.assert_array_equal, first.base, state.base)


def test_no_adapter_changes_no_id():
  plain = store.plain(default.get_config())
  older = {k: v for k, v in plain.items() if k != 'adapter'}
  assert store.run_id(plain) == store.run_id(older)
  other = plain | {'adapter': plain['adapter'] | {'kind': 'lora'}}
  assert store.run_id(other) != store.run_id(plain)
  assert trained.of_plain(older).adapter.kind == 'none'


@pytest.mark.parametrize('changes,message', [
    ({'kind': 'lore'}, 'lora'), ({'rank': 0}, 'rank is 0'),
    ({'matrices': 'query,vlaue'}, 'value'),
    ({'matrices': 'bias_query'}, 'matrices of the layers'),
    ({'matrices': '', 'embedding_rank': 0}, 'embedding_rank is 0'),
    ({'kind': 'prompt', 'length': 0}, 'length is 0')])
def test_bad_input(changes, message, made):
  cfg, _, _ = made
  cfg = shape.dataclasses.replace(cfg, bias=True)
  with pytest.raises(BadInput, match=message):
    adapters.leaves(spec(**{'kind': 'lora'} | changes), cfg)


def test_needs_something_to_adapt(tiny, tmp_path):
  with pytest.raises(BadInput, match='init_from'):
    train.run(tiny(LORA), tmp_path / 'run')
