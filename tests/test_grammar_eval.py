"""A model against the exact law of a grammar (evals/exact/grammar.py)."""

import numpy as np
import pytest

from physics_lm import mixture
from physics_lm.config import override
from physics_lm.configs import grammar as recipe
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.exact import grammar
from physics_lm.mixture import load_mixture


@pytest.fixture
def config():
  return override(recipe.get_config().lock(), {
      'worlds.cfg.levels': 3, 'evals.law.num_problems': 40,
      'data.batch_size': 2})


def judged(config, monkeypatch, nats, right=lambda p: p > 0.5):
  """Metrics of a model that gives a token nats(its exact probability), and
  has it as its first choice where right(that) holds."""
  evaluator = grammar.build(config, load_mixture(config), config.evals.law)
  world, strings, packed, spans = (
      evaluator.world, evaluator.strings, evaluator.packed, evaluator.spans)
  nll = np.full(packed['tokens'].shape, 99.0)
  hit = np.zeros(nll.shape, bool)
  for span, string in zip(spans, strings):
    law = world.laws([string])[0]
    p = law[np.arange(len(string) + 1), [*string, world.terminals]]
    at = slice(span.start, span.start + len(p))
    nll[span.row, at], hit[span.row, at] = nats(p), right(p)
  monkeypatch.setattr(teacher_forcing, 'outcomes', lambda *_: (nll, hit))
  found, raw = evaluator(None)
  assert {r['n'] for r in found} == {len(strings)}
  return {r['metric']: r['value'] for r in found}, raw, world, strings


def test_kl_of_the_exact_law_is_zero(config, monkeypatch):
  m, raw, world, strings = judged(config, monkeypatch, lambda p: -np.log(p))
  assert m['kl'] == pytest.approx(0, abs=1e-9) and m['kl_error'] < 1e-9
  assert m['kl_end'] == pytest.approx(0, abs=1e-9)
  assert m['nll'] == pytest.approx(
      -world.logp(strings).sum() / sum(len(s) + 1 for s in strings))
  assert m['accuracy'] == m['forced_accuracy'] == 1.0
  assert 0 < m['majority_baseline'] < 1 and m['forced_tokens'] > 1
  assert [r['tokens'] for r in raw] == [len(s) + 1 for s in strings]
  # The packed texts are those strings: each token of them stands there.
  data = load_mixture(config)
  evaluator = grammar.build(config, data, config.evals.law)
  packed = evaluator.packed
  for span, i in zip(evaluator.spans, range(40)):
    ids, _ = mixture.encode(data, world.example('test', i))
    np.testing.assert_array_equal(
        packed['targets'][span.row, span.start:span.start + len(ids) - 1],
        ids[1:])


def test_kl_is_the_loss_above_the_entropy(
    config, monkeypatch):
  m, raw, *_ = judged(config, monkeypatch, lambda p: 0.25 - np.log(p))
  assert m['kl'] == pytest.approx(0.25)
  ends = len(raw) / sum(r['tokens'] for r in raw)
  assert m['kl_end'] == pytest.approx(0.25 * ends)
  assert m['nll'] - m['entropy'] == pytest.approx(m['kl'])

  def last(p):
    return np.where(np.arange(len(p)) == len(p) - 1, 2.0, 0) - np.log(p)

  only, *_ = judged(config, monkeypatch, last)
  assert only['kl_end'] == pytest.approx(only['kl'])
  m, raw, *_ = judged(config, monkeypatch, lambda p: np.full(p.shape, 1.4))
  assert m['nll'] == pytest.approx(1.4)
  # Of a ratio of two sums over strings: by leaving out one string at a time.
  told = np.array([(r['nats'] - r['entropy'], r['tokens']) for r in raw])
  less = told.sum(0) - told
  ratio, n = less[:, 0] / less[:, 1], len(raw)
  error = ((n - 1) / n * ((ratio - ratio.mean())**2).sum())**0.5
  assert m['kl_error'] == pytest.approx(error, rel=0.1)


def test_accuracy_needs_every_forced_token(config, monkeypatch):
  """Every other string misses its last forced token."""
  count = iter(range(1000))

  def right(p):
    hit = p > 0.5
    if next(count) % 2:
      hit[np.flatnonzero(p > grammar.FORCED)[-1]] = False
    return hit

  m, raw, _, _ = judged(config, monkeypatch, lambda p: p, right)
  assert m['accuracy'] == 0.5
  assert m['forced_accuracy'] == pytest.approx(
      1 - 20 / sum(r['forced'] for r in raw))


def test_build_rejects_bad_input(config):
  with pytest.raises(BadInput, match='num_problems is 1'):
    grammar.build(config, load_mixture(config), override(config, {
        'evals.law.num_problems': 1}).evals.law)
