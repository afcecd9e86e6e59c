"""Probes: what they read, where, and that they learn it."""

import jax
import numpy as np
import pytest

from configs import default
from physics_lm import cli, model, rows, shape
from physics_lm.errors import BadInput
from physics_lm.evals import probes
from physics_lm.worlds.biographies import ATTRIBUTES
from tests.conftest import TINY


def made(kind, **changes):
  config = cli.override(default.get_config(), TINY | {
      'worlds.bios.people': 24, 'worlds.bios.majors': 3})
  spec = default.evaluation(kind)
  spec.update({'steps': 2, 'batch': 4} | changes)
  return config, spec


@pytest.mark.parametrize('variant', ['single', 'multi5_permute'])
def test_a_p_probe_looks_just_before_each_attribute(variant):
  config, spec = made('p_probe')
  config = cli.override(config, {'worlds.bios.variant': variant})
  world, parts, classes = probes.inputs(config, spec)
  data = rows.load(config)
  versions = {'train': min(world.versions, 5), 'test': 1}
  for half, part in parts.items():
    assert part.real.sum() == 12 * versions[half] * 6
    for r, k in zip(*np.nonzero(part.real)):
      at, person = part.at[r, k], part.person[r, k]
      seen = [a for a in ATTRIBUTES if data.vocab.encode(
          world.value(person, a)) == tuple(packed_after(part, r, at, len(
              data.vocab.encode(world.value(person, a)))))]
      assert seen, 'what comes next is not a value'
      if variant == 'single':
        assert ATTRIBUTES[part.place[r, k]] in seen
      assert person % 2 == (half == 'test')
      for i, t in enumerate(probes.TARGETS):
        text = world.value(person, t.removeprefix('first_')).strip()
        told = classes[t][part.label[i, r, k]]
        whole = t in ATTRIBUTES and t != 'birth_date'
        assert text == told if whole else text.split()[0].startswith(told)
    assert np.bincount(part.place[part.real > 0]).tolist() == [
        12 * versions[half]] * 6


def packed_after(part, row, at, count):
  return part.tokens[row, at + 1:at + 1 + count]


def test_a_q_probe_reads_a_name_and_nothing_else():
  config, spec = made('q_probe')
  world, parts, _ = probes.inputs(config, spec)
  data = rows.load(config)
  for part in parts.values():
    for row, at, person in zip(part.tokens, part.at[:, 0], part.person[:, 0]):
      text = data.vocab.decode(row[1:at].tolist())
      assert text == ''.join(world.name(person))
      assert row[0] == row[at] == 1 and not row[at + 1:].any()


@pytest.mark.parametrize('kind', ['p_probe', 'q_probe'])
def test_probes_learn_what_is_there_and_no_more(kind):
  """On names that hold the major, a probe of an untrained model finds it; of
  attributes that names do not hold it finds nothing."""
  config, spec = made(kind, steps=120, batch=8, learning_rate=0.03)
  config = cli.override(config, {
      'worlds.bios.people': 120, 'worlds.bios.last_names': 3,
      'worlds.bios.first_names': 20, 'worlds.bios.employers': 6,
      'worlds.bios.variant': 'single'})
  world = rows.load(config).worlds['bios']
  world.value_of['major'][:] = world.name_of[:, 2]  # 3 names, 3 majors
  cfg = shape.make(config, len(rows.load(config).vocab))
  params = jax.jit(lambda: model.init(cfg, jax.random.key(0)))()
  metrics, _ = probes.run(params, config, spec, cfg)
  end = '/0' if kind == 'p_probe' else ''
  assert metrics[f'test/major{end}'] > 0.7
  assert metrics[f'test/employer{end}'] < 0.5
  assert metrics['majority/major'] < 0.5
  for what in ('major', 'first_major'):  # known or not, here, by its first word
    low, high = (metrics[f'test_{x}/{what}{end}'] for x in ('low', 'high'))
    assert low < metrics[f'test/{what}{end}'] <= high
  assert metrics['people/test'] == 60
  rows._load.cache_clear(), rows._world.cache_clear()  # it was changed


@pytest.mark.parametrize('kind', ['p_probe', 'q_probe'])
def test_names_can_keep_their_embedding(kind):
  """An update of names changes what a probe tells only where it reaches."""
  config, spec = made(kind)
  world, parts, classes = probes.inputs(config, spec)
  data, part = rows.load(config), parts['test']
  cfg = shape.make(config, len(data.vocab))
  params = model.init(cfg, jax.random.key(0))
  sort = spec.kind, spec.rank, max(map(len, classes.values()))
  names = {t for p in range(world.n) for n in world.name(p)
           for t in data.vocab.encode(n)}
  draw = jax.random.normal(jax.random.key(1), (cfg.vocab, spec.rank))
  of_names = np.isin(np.arange(cfg.vocab), list(names))[:, None]

  def logits(update, reach):
    probe = {'embedding': {'ends': {'embedding': {
        'in': update, 'out': draw[:cfg.width].T}}},
        'scale': 1, 'bias': 0, 'bias_map': 0,
        'map': jax.random.normal(jax.random.key(2), (cfg.width, sort[2]))}
    return probes.told(probe, params, part, reach, cfg, sort)[0]

  kept = probes.reach(world, data, cfg, False)
  everywhere = probes.reach(world, data, cfg, True)
  still = logits(0 * draw, kept)
  np.testing.assert_array_equal(logits(draw * of_names, kept), still)
  assert np.abs(logits(draw * of_names, everywhere) - still).max() > 0.1
  assert np.abs(logits(draw * ~of_names, kept) - still).max() > 0.1


@pytest.mark.parametrize('key', ['people', 'steps', 'rank', 'batch'])
def test_bad_input(key):
  config, spec = made('p_probe', **{key: 0})
  with pytest.raises(BadInput, match=f'{key} is 0'):
    probes.inputs(config, spec)
