"""Probes: what they read, where, and that they learn it."""

import jax
import numpy as np
import pytest

from physics_lm import mixture
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.evals import pq_probe
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model.config import model_config
from physics_lm.worlds.biographies import ATTRIBUTES
from tests.compiled import init
from tests.conftest import TINY


def settings(kind, **changes):
  config = override(default.get_config(), TINY | {
      'worlds.bios.people': 24, 'worlds.bios.majors': 3})
  spec = default.evaluation(kind)
  spec.update({'steps': 2, 'batch': 4} | changes)
  return config, spec


def built(config, spec):
  data = load_mixture(config)
  return data, data.worlds['bios'], pq_probe.build(config, data, spec)


@pytest.mark.parametrize('variant', ['single', 'multi5_permute'])
def test_p_probe_reads_just_before_each_attribute(variant):
  config, spec = settings('p_probe')
  data, world, probe = built(
      override(config, {'worlds.bios.variant': variant}), spec)
  versions = {'train': min(world.versions, 5), 'test': 1}
  for split, batch in probe.batches.items():
    assert batch.real.sum() == 12 * versions[split] * 6
    for r, k in zip(*np.nonzero(batch.real)):
      at, person = batch.at[r, k], batch.person[r, k]
      next_ = [a for a in ATTRIBUTES if data.vocab.encode(
          world.value(person, a)) == tuple(tokens_after(batch, r, at, len(
              data.vocab.encode(world.value(person, a)))))]
      assert next_, 'what comes next is not a value'
      if variant == 'single':
        assert ATTRIBUTES[batch.stated[r, k]] in next_
      assert person % 2 == (split == 'test')
      for i, t in enumerate(pq_probe.TARGETS):
        text = world.value(person, t.removeprefix('first_')).strip()
        label = probe.classes[t][batch.label[i, r, k]]
        whole = t in ATTRIBUTES and t != 'birth_date'
        assert text == label if whole else text.split()[0].startswith(label)
    assert np.bincount(batch.stated[batch.real > 0]).tolist() == [
        12 * versions[split]] * 6


def tokens_after(batch, row, at, count):
  return batch.tokens[row, at + 1:at + 1 + count]


def test_q_probe_reads_a_name_and_nothing_else():
  data, world, probe = built(*settings('q_probe'))
  for batch in probe.batches.values():
    for row, at, person in zip(batch.tokens, batch.at[:, 0],
                               batch.person[:, 0]):
      text = data.vocab.decode(row[1:at].tolist())
      assert text == ''.join(world.name(person))
      assert row[0] == row[at] == 1 and not row[at + 1:].any()


@pytest.mark.parametrize('kind', ['p_probe', 'q_probe'])
def test_probes_learn_what_names_predict_and_no_more(kind):
  """On names that hold the major, a probe of an untrained model finds it; of
  attributes that names do not hold it finds nothing."""
  config, spec = settings(kind, steps=60, batch=8, learning_rate=0.03)
  config = override(config, {
      'worlds.bios.people': 120, 'worlds.bios.last_names': 3,
      'worlds.bios.first_names': 20, 'worlds.bios.employers': 6,
      'worlds.bios.variant': 'single'})
  world = load_mixture(config).worlds['bios']
  world.value_of['major'][:] = world.name_of[:, 2]  # 3 names, 3 majors
  data, _, probe = built(config, spec)
  cfg = model_config(config, len(data.vocab))
  params = init(cfg, jax.random.key(0))
  found = probe(params).rows
  where = {'person_split': 'test',
           'position': 0 if kind == 'p_probe' else 'all'}
  row = find(found, 'accuracy', target='major', **where)
  assert row['value'] > 0.7 and row['n'] == 60
  assert find(found, 'accuracy', target='employer', **where)['value'] < 0.5
  assert find(found, 'majority_baseline', person_split='test',
              target='major')['value'] < 0.5
  for target in ('major', 'first_major'):
    row = find(found, 'accuracy', target=target, **where)
    assert row['low'] < row['value'] <= row['high']
  mean = np.mean([find(found, 'accuracy', target=t, **where)['value']
                  for t in ATTRIBUTES[1:]])
  assert find(found, 'accuracy', target='whole', **where)[
      'value'] == pytest.approx(mean)
  mixture._load.cache_clear(), mixture._world.cache_clear()  # it was changed


@pytest.mark.parametrize('kind', ['p_probe', 'q_probe'])
def test_embeddings_of_names_stay_when_they_are_left_out(kind):
  """An update of names changes a probe's logits only where it reaches."""
  config, spec = settings(kind)
  data, world, probe = built(config, spec)
  cfg, batch = model_config(config, len(data.vocab)), probe.batches['test']
  params = init(cfg, jax.random.key(0))
  names = {t for p in range(world.n) for n in world.name(p)
           for t in data.vocab.encode(n)}
  draw = jax.random.normal(jax.random.key(1), (cfg.vocab, spec.rank))
  of_names = np.isin(np.arange(cfg.vocab), list(names))[:, None]

  def logits(update, updated):
    weights = {'embedding': {'ends': {'embedding': {
        'in': update, 'out': draw[:cfg.width].T}}},
        'scale': 1, 'bias': 0, 'bias_map': 0, 'map': jax.random.normal(
            jax.random.key(2), (cfg.width, probe.kind.classes))}
    return pq_probe.pq_probe_logits(weights, params, batch, updated, cfg,
                                 probe.kind)[0]

  kept = pq_probe.updated_tokens(world, data, cfg.vocab, False)
  everywhere = pq_probe.updated_tokens(world, data, cfg.vocab, True)
  still = logits(0 * draw, kept)
  np.testing.assert_array_equal(logits(draw * of_names, kept), still)
  assert np.abs(logits(draw * of_names, everywhere) - still).max() > 0.1
  assert np.abs(logits(draw * ~of_names, kept) - still).max() > 0.1
