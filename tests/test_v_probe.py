"""V-probes: their queries, and that they learn what states contain."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm.config import override
from physics_lm.configs import igsm as recipe
from physics_lm.errors import BadInput
from physics_lm.evals.igsm import linear_probe, solutions, v_probe
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model import adapters, decoder
from physics_lm.model.config import model_config
from physics_lm.worlds.igsm import checker
from tests.compiled import init

TEXT = (" The number of each Gull's Brig equals 3. The number of each Gull's "
        "Cog equals the sum of each Gull's Brig and each Gull's Yawl. The "
        "number of each Gull's Yawl equals 4. The number of each Tern's Brig "
        "equals 2 more than each Gull's Cog. How many Cog does Gull have?")
ITEMS = [('Harbor', ['Gull', 'Tern']), ('Ship', ['Brig', 'Cog', 'Yawl'])]
B, C, Y, T = (('Gull', 'Brig'), ('Gull', 'Cog'), ('Gull', 'Yawl'),
              ('Tern', 'Brig'))
ALL_G, ALL_T = ('Gull', 'Ship'), ('Tern', 'Ship')


@pytest.fixture
def config():
  c = recipe.get_config()
  c = override(c, {
      'worlds.igsm.max_op': 3, 'data.seq_len': 192, 'model.width': 16,
      'model.depth': 2, 'model.heads': 2, 'worlds.igsm.retry_rate': 0.3,
      'evals.reasoning.kind': 'v_probe', 'evals.reasoning.num_problems': 20,
      'evals.reasoning.steps': 4, 'evals.reasoning.batch': 16})
  return c


def test_true_label_follows_the_problem():
  problem = checker.Problem(TEXT, ITEMS)
  assert set(v_probe.quantities(problem)) == {B, C, Y, T, ALL_G, ALL_T}
  far = v_probe.distances(problem)
  assert far == {C: 0, B: 1, Y: 1}

  def positives(task, computed=frozenset(), b=None):
    return {a for a in v_probe.quantities(problem)
            if v_probe.true_label(problem, task, a, b, computed, far) == 1}

  assert positives('nece') == {B, C, Y}
  assert positives('dep', b=B) - {B} == {C, T, ALL_G, ALL_T}
  assert positives('known', {B, Y}) == {B, Y}
  assert positives('can_next') == {B, Y}
  assert positives('can_next', {B, Y}) == {C}
  assert positives('can_next', {B, C, Y}) == {T, ALL_G}
  assert positives('nece_next', {B, C, Y}) == set()
  assert positives('nece_next', {B}) == {Y}
  assert [v_probe.true_label(problem, 'value', a, None, {B, C}, far)
          for a in (B, C, Y)] == [3, 7, 23]


@pytest.mark.parametrize('task', v_probe.TASKS)
@pytest.mark.parametrize('order', ['pq', 'qp'])
def test_queries_are_cut_where_the_task_is_probed(config, task, order):
  config = override(config, {'worlds.igsm.order': order})
  data = load_mixture(config)
  world = data.worlds['igsm']
  asked = v_probe.queries(data, world, task, 'train', 30)
  assert asked == v_probe.queries(data, world, task, 'train', 30)
  V, seen = model_config(config, len(data.vocab)).vocab, set()
  texts = [world.example('train', i).text for i in range(30)]
  for a in asked:
    text = data.vocab.decode(a.text[1:a.at])
    assert sum(t.startswith(text) for t in texts) == 1
    assert data.vocab.decode(a.text[1:]) in ' '.join(texts)
    assert a.name[0] == V + v_probe.START and a.name[-1] == V + v_probe.END
    assert (V + v_probe.MIDDLE in a.name) == (task == 'dep')
    assert ('How many' in text) == (task != 'dep' or order == 'qp')
    assert ('Define' in text) <= (task not in v_probe.BEFORE)
    assert text.endswith(('.', '?'))
    seen.add(a.label)
  assert {0, 1} <= seen
  if task == 'known':  # what the text has computed, no more
    for a in asked:
      name = data.vocab.decode(a.name[1:-1])
      told = f'Define{name} as' in (
          t := data.vocab.decode(a.text[1:a.at])) and any(
              f'Define{name} as' in s and 'BACK' not in s
              for s in t.split('.'))
      assert a.label == told


@pytest.mark.parametrize('order', ['pq', 'qp'])
@pytest.mark.parametrize('parameters', ['both', 'instance'])
def test_renderings_are_asked_the_same(config, order, parameters):
  """Labels and distances of the queries, in words and in symbols."""
  config = override(config, {
      'worlds.igsm.order': order, 'worlds.igsm.parameters': parameters,
      'worlds.igsm.items_per_subcategory': 4, 'worlds.igsm.held_out_op': 3})
  both = [load_mixture(override(config, {'worlds.igsm.rendering': r}))
          for r in ('text', 'compact')]
  for task in v_probe.TASKS:
    words, symbols = (v_probe.queries(d, d.worlds['igsm'], task, 'train', 10)
                      for d in both)
    assert [(q.label, q.distance, q.index) for q in words] == [
        (q.label, q.distance, q.index) for q in symbols]
    for q in symbols:
      text = both[1].vocab.decode(q.text[1:q.at])
      assert text.endswith(('.', ':')) or task == 'dep'
      assert (' ?' in text) == (task != 'dep' or order == 'qp')


def test_probe_learns_from_states_and_no_more(config):
  """What kind of words a text has: it is read from the text, not from the
  mark, which is all that there is before the first layer."""
  data = load_mixture(config)
  cfg = model_config(config, len(data.vocab))
  rng = np.random.default_rng(0)
  asked = []
  for _ in range(800):
    kind = int(rng.random() < 0.4)
    ids = rng.integers(*((2, 12) if kind else (12, 40)), 8).tolist()
    asked.append(v_probe.ProbeQuery(
        (1, *ids, 3), 9, [cfg.vocab + v_probe.END], kind, -1))
  spec = config.evals.reasoning.copy_and_resolve_references()
  spec.steps, spec.batch = 50, 16
  params = init(cfg, jax.random.key(0))
  before = jax.tree.map(np.array, params)

  def pack(part):
    return v_probe.pack_queries(part, 16, **v_probe.packed_sizes(part))

  probe = v_probe.train_probe(params, cfg, pack(asked), 2, spec,
                              jax.random.key(1))
  held = asked[:150]
  predicted = v_probe.predict_labels(probe, params, pack(held), cfg, spec)
  assert predicted.shape == (cfg.depth + 1, 150)
  found = v_probe.v_probe_rows(predicted, held, 'x', 'trained', 0)
  baseline = v_probe.share_rows(held, 'x', 0, 0)[0]['value']
  first, last = (find(found, 'accuracy', split='x', model='trained',
                      layer=layer)['value'] for layer in (0, 'last'))
  assert first == baseline < last - 0.1
  jax.tree.map(np.testing.assert_array_equal, before, params)


@pytest.mark.parametrize('task,canon', [('can_next', ''), ('dep', 'ab')])
def test_v_probe_logits_with_cached_texts_equal_full_texts(config, task, canon):
  """The heads see the states of text and name in one, cut at the query."""
  config = override(config, {'model.canon': canon})
  data = load_mixture(config)
  cfg = model_config(config, len(data.vocab))
  params = init(cfg, jax.random.key(0))
  asked = v_probe.queries(data, data.worlds['igsm'], task, 'train', 5)
  spec = config.evals.reasoning
  key = iter(jax.random.split(jax.random.key(1), 9))

  def draw(*shape):
    return 0.3 * jax.random.normal(next(key), shape)

  probe = {'update': adapters.init_adapter(
               adapters.embedding_adapter(spec.rank), cfg, next(key)),
           'marks': draw(v_probe.MARKS, cfg.width),
           'heads': draw(cfg.depth + 1, cfg.width, 2),
           'bias': draw(cfg.depth + 1, 2)}
  table = jnp.concatenate([params['ends']['embedding'], probe['marks']])
  wide = dataclasses.replace(cfg, vocab=cfg.vocab + v_probe.MARKS)
  compared = set()
  logits = jax.jit(v_probe.v_probe_logits, static_argnums=(4, 5))
  read = jax.jit(decoder.forward, static_argnames=('cfg', 'taps'))
  sizes = v_probe.packed_sizes(asked)
  for part in v_probe.pack_queries(asked, 5, **sizes):
    cache = v_probe.text_cache(params, part['texts'], cfg)
    got = logits(probe, params, cache, part, cfg,
                 adapters.embedding_adapter(spec.rank))
    for i, (row, at) in enumerate(zip(part['row'], part['at'])):
      ids = [*part['texts'][row][:at], *part['names'][i]]
      _, stream = read(
          params | {'ends': params['ends'] | {'embedding': table}},
          np.array([[*ids, *[0] * (192 - len(ids))]]), cfg=wide, taps=True)
      wanted = jnp.einsum(
          'LD,LDC->LC', v_probe.standardized(stream[:, 0, len(ids) - 1]),
          probe['heads']) + probe['bias']
      np.testing.assert_allclose(got[:, i], wanted, atol=1e-4)
      compared.add((int(row), int(at)))
  assert len(compared) > (2 if task == 'dep' else 4)
  assert sum(len(p['row']) for p in v_probe.pack_queries(
      asked, 2, **sizes)) == len(asked)


def test_v_probe_rows_by_label_layer_position_and_distance():
  queries = [v_probe.ProbeQuery((), 0, [], *x) for x in
             ((1, 0), (1, 2), (0, -1), (0, -1), (0, -1, 0, False))]
  predicted = np.array([[0, 0, 0, 0, 0], [1, 0, 0, 0, 1]])
  found = v_probe.v_probe_rows(predicted, queries, 's', 'trained', 0)

  def value(layer='last', **where):
    return find(found, 'accuracy', split='s', model='trained', layer=layer,
                **where)['value']

  assert value() == value(0) == value(1) == 0.6
  assert value(label='positive') == 0.5
  assert value(label='negative') == pytest.approx(2 / 3)
  assert value(label='balanced') == pytest.approx(7 / 12)
  assert value(label='negative', needed='no') == pytest.approx(2 / 3)
  assert value(label='negative', position='before') == 1
  assert value(label='balanced', position='before') == 0.75
  assert value(1, label='positive', distance=0) == 1
  assert value(1, label='positive', distance=2) == 0
  assert value(0, label='positive') == 0
  for absent in ({'label': 'positive', 'needed': 'no'},  # all are needed
                 {'label': 'balanced', 'needed': 'no'},
                 {'label': 'positive', 'distance': 1}):
    with pytest.raises(KeyError):
      value(**absent)
  majority, first, positive, _ = v_probe.share_rows(queries, 's', 0, 0)
  assert (first['position'], first['value']) == ('before', 0.5)
  assert majority['value'] == 0.6 and positive['value'] == 0.4


def test_evaluator_probes_the_trained_and_an_untrained_model(config):
  evaluator = v_probe.build(config, load_mixture(config),
                            config.evals.reasoning)
  params = init(evaluator.cfg, jax.random.key(3))
  found, raw = evaluator(params)
  n = len(evaluator.queries['test'])
  assert len(raw) == 2 * n and n >= 20 * 4
  for name in ('trained', 'untrained'):
    mine = [r for r in raw if r['model'] == name]
    row = find(found, 'accuracy', split='test', model=name, layer='last')
    assert row['n'] == n and row['value'] == pytest.approx(
        np.mean([r['predicted'][-1] == r['label'] for r in mine]))
    assert row['low'] <= row['value'] <= row['high']
  assert find(found, 'accuracy', split='test', model='trained', layer=2,
              label='positive', distance=0)['n'] > 0
  assert 0 < find(found, 'positive_share', split='test')['value'] < 1


@pytest.mark.parametrize('changes,message', [
    ({'probe': 'need'}, 'nearest: nece')])
def test_build_rejects_bad_settings(config, changes, message):
  c = override(config, {f'evals.reasoning.{k}': v
                            for k, v in changes.items()})
  with pytest.raises(BadInput, match=message):
    v_probe.build(c, load_mixture(c), c.evals.reasoning)
  assert solutions.splits(c.evals.reasoning) == ['test']


def test_linear_probe_reads_the_state_at_the_last_token(config):
  """Each query's state is that of its text, cut where it is asked."""
  c = override(recipe.get_config('compact'), {
      'model.width': 16, 'model.depth': 1, 'model.heads': 2})
  data = load_mixture(c)
  cfg = model_config(c, len(data.vocab))
  params = init(cfg, jax.random.key(0))
  part = v_probe.queries(data, data.worlds['igsm'], 'can_next', 'test', 6)
  assert len({q.text for q in part}) == 6 and len({q.at for q in part}) > 5
  h_BLD = linear_probe.query_states(params, cfg, part, 4)
  for i in (0, 9, 10, len(part) - 1):
    ids = np.array([part[i].text[:part[i].at]])
    _, _, stream_LBTD, _ = decoder.hidden_states(params, ids, cfg, taps=True)
    np.testing.assert_allclose(
        h_BLD[i], v_probe.standardized(stream_LBTD)[:, 0, -1], atol=1e-5)


def test_linear_probe_learns_a_label_of_each_name(config):
  """States hold one number; its sign means the opposite for every other
  name."""
  rng, spec = np.random.default_rng(0), config.evals.reasoning
  name, x = rng.integers(0, 8, 2000), rng.normal(size=2000)
  part = [v_probe.ProbeQuery((1,), 1, [0, n, 0], int((v > 0) == n % 2), -1)
          for n, v in zip(name.tolist(), x)]
  h_BLD = np.stack([x, np.ones_like(x)], -1)[:, None].astype(np.float32)
  probe = linear_probe.fit_linear_probe(h_BLD, part, 8, 2, spec)
  found = np.asarray(linear_probe.linear_logits(probe, h_BLD, name)).argmax(-1)
  assert (found[0] == [q.label for q in part]).mean() > 0.95


@pytest.mark.parametrize('variant,probe,message', [
    ('small', 'nece', 'a head a name'), ('compact', 'dep', "is 'dep'")])
def test_linear_probe_rejects_what_it_has_no_heads_for(
    variant, probe, message):
  c = override(recipe.get_config(variant), {
      'evals.reasoning.kind': 'linear_probe', 'evals.reasoning.probe': probe,
      'evals.reasoning.splits': 'test', 'evals.reasoning.num_problems': 5,
      'evals.reasoning.steps': 1})
  with pytest.raises(BadInput, match=message):
    linear_probe.build(c, load_mixture(c), c.evals.reasoning)
