"""Markov chains: exact Bayes predictors, against brute force; evaluation."""

import itertools
import math

import jax
import numpy as np
import pytest

from physics_lm import mixture
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.configs import markov as recipe
from physics_lm.errors import BadInput
from physics_lm.evals import registry
from physics_lm.evals.exact import markov as evaluation
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.worlds import markov
from physics_lm.worlds.base import make_world
from tests.compiled import init


def world(seed=0, **keys):
  config = default.markov()
  config.update(keys)
  return make_world(config, seed)


LANGUAGE = dict(symbols=16, chains=1, zipf_a=1.0, deterministic=0.25)


def test_texts_are_pure_in_seed_split_and_index():
  for keys in ({}, {'chains': 3}, LANGUAGE):
    w, again = world(3, **keys), world(3, **keys)
    indices = np.array([5, 2**39, 0, 7])
    for split in w.splits:
      text = w.symbols(split, indices)
      assert np.array_equal(text[[2]], again.symbols(split, np.array([0])))
      assert w.example(split, 5).text.split() == [
          chr(ord('a') + a) for a in text[0]]
    assert (w.symbols('train', indices) != w.symbols('test', indices)).any()
    assert (world(4, **keys).symbols('train', indices)
            != w.symbols('train', indices)).any()


def test_texts_follow_their_chain():
  """Transitions of many texts against the matrix, 5 standard errors."""
  w = world(1, symbols=4, chains=1, length=200)
  text = w.symbols('train', np.arange(500))
  pairs = np.zeros((4, 4))
  np.add.at(pairs, (text[:, :-1].ravel(), text[:, 1:].ravel()), 1)
  count, law = pairs.sum(1, keepdims=True), w.matrices[0]
  error = np.sqrt(law * (1 - law) / count) + 1e-9
  assert np.all(abs(pairs / count - law) < 5 * error)
  share = np.bincount(text[:, -1], minlength=4) / 500
  assert np.all(abs(share - markov.stationary(law)) < 0.12)
  np.testing.assert_allclose(markov.stationary(law) @ law,
                             markov.stationary(law), atol=1e-12)


def test_inference_is_the_bayes_predictor_of_a_new_chain():
  """By brute force: the prior's integral over rows is the ratio of Dirichlet
  normalisers, of all texts of four symbols from two."""
  V, T, c = 2, 4, 0.3

  def log_evidence(text):
    counts = np.zeros((V, V))
    np.add.at(counts, (text[:-1], text[1:]), 1)
    row = sum(math.lgamma(c + n) - math.lgamma(c) for n in counts.ravel())
    total = sum(math.lgamma(V * c) - math.lgamma(V * c + n)
                for n in counts.sum(1))
    return row + total - math.log(V)

  for text in itertools.product(range(V), repeat=T):
    law = markov.bigram_law(np.array([text]), V, c)[0]
    for t in range(1, T):
      each = [math.exp(log_evidence(text[:t] + (a,)) - log_evidence(text[:t]))
              for a in range(V)]
      np.testing.assert_allclose(law[t], each, rtol=1e-12)


def test_retrieval_is_the_posterior_over_the_chains():
  rng = np.random.default_rng(0)
  chains = rng.dirichlet([0.5, 0.5], (3, 2))
  for text in itertools.product(range(2), repeat=4):
    law = markov.retrieved(np.array([text]), chains)[0]
    for t in range(1, 4):
      likelihood = [np.prod(m[text[:t - 1], text[1:t]])
                    for m in chains]
      posterior = np.array(likelihood) / sum(likelihood)
      np.testing.assert_allclose(law[t], sum(
          p * m[text[t - 1]] for p, m in zip(posterior, chains)))
  many = rng.integers(0, 2, (300, 30))  # in several parts
  np.testing.assert_allclose(markov.retrieved(many, np.repeat(chains, 200, 0))[
      ::99], markov.retrieved(many[::99], chains), rtol=1e-6)


@pytest.mark.parametrize('keys', [{}, {'chains': 4}, LANGUAGE])
def test_predictors_are_laws_and_the_chain_is_the_best(keys):
  w, indices = world(2, **keys), np.arange(300)
  for split in ('test',) if w.zipf_a else ('test', 'new'):
    text, laws = w.symbols(split, indices), w.predictors(split, indices)
    loss = {k: markov.nll(p, text).mean() for k, p in laws.items()}
    for p in laws.values():
      np.testing.assert_allclose(p.sum(-1), 1)
    assert min(loss, key=loss.get) == 'chain' or (
        loss['bigram_retrieval'] == pytest.approx(loss['chain']))
    assert loss['unigram_inference'] < loss['uniform']
    if not w.zipf_a:
      assert loss['bigram_inference'] < loss['unigram_inference']
  if w.chains == 4:  # known chains, or not
    of_test, of_new = (markov.nll(
        w.predictors(s, indices)['bigram_retrieval'], w.symbols(s, indices)
        ).mean() for s in ('test', 'new'))
    assert of_test < loss['bigram_inference'] < of_new


def test_deterministic_rows_are_those_that_were_asked_for():
  w = world(5, **LANGUAGE)
  one = w.matrices[0].max(1) == 1
  assert one.sum() == 4 and not one[w.matrices[0][one].argmax(1)].any()
  with pytest.raises(BadInput, match='wanted zipf_a above 0'):
    world(deterministic=0.5)


def test_a_row_of_training_is_a_text():
  config = override(recipe.get_config(), {'worlds.chain.length': 10,
                                          'data.seq_len': 24})
  data = load_mixture(config)
  assert mixture.is_bulk(data)
  rows = mixture.packed_rows(data, np.arange(5))
  assert (rows['entries'] == 2).all()
  for r in range(5):
    one = mixture.packed_row(data, r)
    assert all(np.array_equal(rows[k][r], v) for k, v in one.items())


def test_evaluation_is_the_relative_entropy_to_each_predictor():
  """Of an untrained model; and with logits set to a law, zero."""
  config = override(recipe.get_config(), {
      'worlds.chain.chains': 2, 'worlds.chain.length': 12, 'data.seq_len': 30,
      'model.width': 16, 'model.depth': 1, 'model.heads': 2,
      'evals.law.num_problems': 20})
  data = load_mixture(config)
  e = registry.build(config, data)['law']
  params = init(e.cfg, jax.random.key(0))
  found = e(params).rows
  w = data.worlds['chain']
  text = w.symbols('new', np.arange(20))
  laws = w.predictors('new', np.arange(20))
  for name, law in laws.items():
    at = dict(split='new', law=name)
    assert find(found, 'loss', **at)['value'] == pytest.approx(
        markov.nll(law, text).mean())
    assert find(found, 'kl', **at)['value'] > 0
  with np.errstate(divide='ignore'):
    assert evaluation.relative_entropy(laws['chain'], np.log(
        laws['chain'])).max() == pytest.approx(0, abs=1e-12)
  # What the model gives to other tokens is lost: at least log V of loss here.
  own = find(found, 'loss', split='new', law='model')['value']
  assert own > math.log(8) - 0.5
