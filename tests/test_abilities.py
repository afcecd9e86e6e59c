"""Answers by several metrics; collapse over sizes and ladders, where the law is
known."""

import itertools

import jax
import numpy as np
import pytest

from physics_lm.config import override
from physics_lm.configs import recall as recipe
from physics_lm.errors import BadInput
from physics_lm.evals import registry, teacher_forcing
from physics_lm.evals.exact import metrics_of_answers as metrics
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model import decoder
from physics_lm.scaling.fitting import abilities
from tests.compiled import init


def test_all_of_is_the_share_of_subsets_that_are_right():
  rng = np.random.default_rng(0)
  for count, k in ((5, 1), (5, 2), (6, 4), (4, 4)):
    right = rng.random(count) < 0.6
    subsets = [all(s) for s in itertools.combinations(right.tolist(), k)]
    found = metrics.all_of(np.array([right.sum()]), np.array([count]), k)
    assert found[0] == pytest.approx(np.mean(subsets))


def test_metrics_are_those_of_the_probabilities():
  """Of one short text, from the logits, without packing or batches."""
  config = override(recipe.get_config(), {
      'worlds.copy.min_length': 3, 'worlds.copy.max_length': 4,
      'data.seq_len': 20, 'data.batch_size': 2, 'evals.copy.num_problems': 3,
      'evals.copy.kind': 'metrics_of_answers'})
  data = load_mixture(config)
  made = registry.build(config, data)['copy']
  cfg = teacher_forcing.evaluated_model(config, data)
  params = init(cfg, jax.random.key(1))
  nats, brier, right = [], [], []
  for i in range(3):
    e = data.worlds['copy'].example('test', i)
    ids = [1, *(t for p in e.pieces for t in data.vocab.encode(p))]
    tokens = np.array([ids[:-1]])
    logits = decoder.forward(params, tokens, cfg, np.ones_like(tokens),
                             np.arange(len(ids) - 1)[None])[0]
    p = np.asarray(jax.nn.softmax(logits, -1), np.float64)
    own = np.array([a for _, a in e.answers])  # row j predicts piece j
    at = p[own, np.array(ids)[own + 1]]
    nats.extend(-np.log(at))
    brier.extend((p[own]**2).sum(1) - at**2 + (1 - at)**2)
    right.append(p[own].argmax(1) == np.array(ids)[own + 1])
  rows = made(params, 0).rows
  assert find(rows, 'nats')['value'] == pytest.approx(np.mean(nats), rel=1e-4)
  assert find(rows, 'brier')['value'] == pytest.approx(np.mean(brier), rel=1e-4)
  assert {r['answers'] for r in rows if r['metric'] == 'exact'} == {1, 2}
  assert find(rows, 'exact', answers=1)['value'] == pytest.approx(
      np.mean([r.mean() for r in right]))


def test_worlds_without_answers_are_rejected():
  config = override(recipe.get_config(), {
      'evals.copy.kind': 'metrics_of_answers', 'evals.copy.num_problems': 4})
  data = load_mixture(config)
  spec = config.evals.copy_and_resolve_references()
  spec.copy.num_problems = 0
  with pytest.raises(BadInput, match='num_problems is 0'):
    metrics.build(config, data, spec.copy)


def test_collapse_error_is_zero_on_one_curve_and_finds_what_sizes_add():
  rng = np.random.default_rng(0)
  x = rng.uniform(0, 1, 3000)
  size = rng.integers(0, 3, 3000)
  assert abilities.collapse_error(x, x**2, size) < 0.01
  # Sizes 0, 1, 2 are lower by 0, 0.3 and 0.6: far from the others' mean.
  apart = abilities.collapse_error(x, x**2 - 0.3 * size, size, nearest=200)
  assert apart == pytest.approx(np.sqrt((0.45**2 + 0 + 0.45**2) / 3), abs=0.02)
  assert np.isnan(abilities.collapse_error([1, 2], [1, 2], [0, 0]))


TRUTH = abilities.Saturating(2e4, 2e11, 2.2, 2.5)


def grid(sizes):
  n, c = np.meshgrid(sizes, np.geomspace(1e10, 2e12, 20))
  return n.ravel(), c.ravel()


def test_ladder_predicts_a_larger_size_where_the_law_holds():
  n, c = grid([5e3, 1e4, 1.6e4])
  share = TRUTH(n, c)
  assert share.max() < 0.4
  found = abilities.fit_saturating(n, c, share)
  assert found == pytest.approx(TRUTH, rel=1e-3)
  power = abilities.accuracy_power(share, share**1.3)
  assert power == pytest.approx(1.3, abs=1e-3)
  n, c = grid([8e4])
  assert found(n, c)**power == pytest.approx(TRUTH(n, c)**1.3, abs=1e-3)
  with pytest.raises(ValueError, match='two sizes'):
    abilities.fit_saturating(n[:1], c[:1], [0.5])
