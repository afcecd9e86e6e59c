"""Probes ask what they say, and learn only what the states hold."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import igsm as recipe
from physics_lm import adapters, cli, model, rows, shape
from physics_lm.errors import BadInput
from physics_lm.evals import reasoning, suite
from physics_lm.evals import v_probe as probes
from physics_lm.worlds import igsm_check

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
  c = cli.override(c, {
      'worlds.igsm.max_op': 3, 'data.length': 192, 'model.width': 16,
      'model.depth': 2, 'model.heads': 2, 'worlds.igsm.retry_rate': 0.3,
      'evals.reasoning.kind': 'v_probe', 'evals.reasoning.problems': 20,
      'evals.reasoning.steps': 4, 'evals.reasoning.batch': 16})
  return c


def test_labels_of_a_problem():
  problem = igsm_check.Problem(TEXT, ITEMS)
  assert set(probes.quantities(problem)) == {B, C, Y, T, ALL_G, ALL_T}
  far = probes.distances(problem)
  assert far == {C: 0, B: 1, Y: 1}
  says = lambda task, told=frozenset(), b=None: {
      a for a in probes.quantities(problem)
      if probes.label(problem, task, a, b, told, far) == 1}
  assert says('nece') == {B, C, Y}
  assert says('dep', b=B) - {B} == {C, T, ALL_G, ALL_T}
  assert says('known', {B, Y}) == {B, Y}
  assert says('can_next') == {B, Y}
  assert says('can_next', {B, Y}) == {C}
  assert says('can_next', {B, C, Y}) == {T, ALL_G}
  assert says('nece_next', {B, C, Y}) == set()
  assert says('nece_next', {B}) == {Y}
  value = lambda a: probes.label(problem, 'value', a, None, {B, C}, far)
  assert (value(B), value(C), value(Y)) == (3, 7, 23)


@pytest.mark.parametrize('task', probes.TASKS)
@pytest.mark.parametrize('order', ['pq', 'qp'])
def test_questions_are_cut_where_they_say(config, task, order):
  config = cli.override(config, {'worlds.igsm.order': order})
  data = rows.load(config)
  world = data.worlds['igsm']
  asked = probes.questions(data, world, task, 'train', 30)
  assert asked == probes.questions(data, world, task, 'train', 30)
  V, seen = shape.make(config, len(data.vocab)).vocab, set()
  texts = [world.example('train', i).text for i in range(30)]
  for a in asked:
    text = data.vocab.decode(a.text[1:a.at])
    assert sum(t.startswith(text) for t in texts) == 1
    assert data.vocab.decode(a.text[1:]) in ' '.join(texts)
    assert a.name[0] == V + probes.START and a.name[-1] == V + probes.END
    assert (V + probes.MIDDLE in a.name) == (task == 'dep')
    assert ('How many' in text) == (task != 'dep' or order == 'qp')
    assert ('Define' in text) <= (task not in probes.BEFORE)
    assert text.endswith(('.', '?'))
    seen.add(a.label)
  assert {0, 1} <= seen
  if task == 'known':  # what stands as told in the text, no more
    for a in asked:
      name = data.vocab.decode(a.name[1:-1])
      told = f'Define{name} as' in (
          t := data.vocab.decode(a.text[1:a.at])) and any(
              f'Define{name} as' in s and 'BACK' not in s
              for s in t.split('.'))
      assert a.label == told


def test_a_probe_learns_what_states_hold_and_no_more(config):
  """What kind of words a text has: it is read from the text, not from the
  mark, which is all that there is before the first layer."""
  data = rows.load(config)
  cfg = shape.make(config, len(data.vocab))
  rng = np.random.default_rng(0)
  asked = []
  for _ in range(800):
    kind = int(rng.random() < 0.4)
    ids = rng.integers(*((2, 12) if kind else (12, 40)), 8).tolist()
    asked.append(probes.Asked((1, *ids, 3), 9, [cfg.vocab + probes.END], kind,
                              -1))
  spec = config.evals.reasoning.copy_and_resolve_references()
  spec.steps, spec.batch = 50, 16
  params = model.init(cfg, jax.random.key(0))
  before = jax.tree.map(np.array, params)
  pack = lambda asked: probes.packed(asked, 16, **probes.sizes(asked))
  probe = probes.fit(params, cfg, pack(asked), 2, spec, jax.random.key(1))
  held = asked[:150]
  said = probes.answers(probe, params, pack(held), cfg, spec)
  assert said.shape == (cfg.depth + 1, 150)
  got = probes.summary(said, held, 'x', 0, 0)
  assert got['layer0/accuracy/x'] == got['majority/x']
  assert got['accuracy/x'] > got['majority/x'] + 0.1
  jax.tree.map(np.testing.assert_array_equal, before, params)


@pytest.mark.parametrize('task', ['can_next', 'dep'])
def test_a_text_read_once_says_what_reading_it_each_time_says(config, task):
  """The heads see the states of text and name in one, cut where asked."""
  data = rows.load(config)
  cfg = shape.make(config, len(data.vocab))
  params = model.init(cfg, jax.random.key(0))
  asked = probes.questions(data, data.worlds['igsm'], task, 'train', 5)
  spec = config.evals.reasoning
  key = iter(jax.random.split(jax.random.key(1), 9))
  draw = lambda *shape: 0.3 * jax.random.normal(next(key), shape)
  probe = {'update': adapters.init(probes.update(spec.rank), cfg, next(key)),
           'marks': draw(probes.MARKS, cfg.width),
           'heads': draw(cfg.depth + 1, cfg.width, 2),
           'bias': draw(cfg.depth + 1, 2)}
  table = jnp.concatenate([params['ends']['embedding'], probe['marks']])
  wide = dataclasses.replace(cfg, vocab=cfg.vocab + probes.MARKS)
  seen = set()
  say = jax.jit(probes.logits, static_argnums=(4, 5))
  read = jax.jit(model.forward, static_argnames=('cfg', 'taps'))
  for part in probes.packed(asked, 5, **probes.sizes(asked)):
    memories = probes.memory(params, part['texts'], cfg)
    got = say(probe, params, memories, part, cfg, probes.update(spec.rank))
    for i, (row, at) in enumerate(zip(part['row'], part['at'])):
      ids = [*part['texts'][row][:at], *part['names'][i]]
      _, stream = read(
          params | {'ends': params['ends'] | {'embedding': table}},
          np.array([[*ids, *[0] * (192 - len(ids))]]), cfg=wide, taps=True)
      wanted = jnp.einsum(
          'LD,LDC->LC', probes.scaled(stream[:, 0, len(ids) - 1]),
          probe['heads']) + probe['bias']
      np.testing.assert_allclose(got[:, i], wanted, atol=1e-4)
      seen.add((int(row), int(at)))
  assert len(seen) > (2 if task == 'dep' else 4)
  assert sum(len(p['row']) for p in probes.packed(
      asked, 2, **probes.sizes(asked))) == len(asked)


def test_metrics(config):
  asked = [probes.Asked((), 0, [], *x) for x in
           ((1, 0), (1, 2), (0, -1), (0, -1), (0, -1))]
  said = np.array([[0, 0, 0, 0, 0], [1, 0, 0, 0, 1]])
  got = probes.summary(said, asked, 's', 0, 0)
  assert got['accuracy/s'] == got['majority/s'] == 0.6
  assert got['positive/s'] == 0.5 and got['negative/s'] == pytest.approx(2 / 3)
  assert got['needless_negative/s'] == pytest.approx(2 / 3)
  assert 'needless_positive/s' not in got  # all of them are needed
  assert got['layer1/distance0/s'] == 1 and got['layer1/distance2/s'] == 0
  assert got['layer0/positive/s'] == 0 and 'layer0/distance1/s' not in got


def test_run(config):
  suite.check(config)
  cfg = shape.make(config, len(rows.load(config).vocab))
  params = model.init(cfg, jax.random.key(3))
  metrics, raw = probes.run(params, config, config.evals.reasoning, cfg)
  assert {'accuracy/test', 'random/accuracy/test', 'layer2/distance0/test',
          'positives/test'} <= metrics.keys()
  n = metrics['questions/test']
  assert len(raw) == 2 * n and n >= 20 * 4
  mine = [r for r in raw if r['model'] == 'trained']
  assert metrics['accuracy/test'] == pytest.approx(
      np.mean([r['said'][-1] == r['label'] for r in mine]))


@pytest.mark.parametrize('changes,message', [
    ({'probe': 'need'}, 'nearest: nece'), ({'steps': 0}, 'steps')])
def test_bad_settings(config, changes, message):
  c = cli.override(config, {f'evals.reasoning.{k}': v
                            for k, v in changes.items()})
  with pytest.raises(BadInput, match=message):
    suite.check(c)
  assert reasoning.splits(c.evals.reasoning) == ['test']
