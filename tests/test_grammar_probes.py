"""What a model has learnt of a grammar (evals/grammar/)."""

import jax
import numpy as np
import pytest

from physics_lm.config import override
from physics_lm.configs import grammar as recipe
from physics_lm.errors import BadInput
from physics_lm.evals import records, registry, teacher_forcing
from physics_lm.evals.grammar import attention, noise, sampling, tree_probe
from physics_lm.mixture import load_mixture
from physics_lm.model import decode, decoder


def built(kind, **changes):
  """An evaluator of a tiny model, and its config."""
  config = override(recipe.get_config().lock(), {
      'worlds.cfg.levels': 3, 'model.width': 16, 'model.depth': 2,
      'evals.it.kind': kind, 'evals.it.world': 'cfg',
      'evals.it.decode': 'sample', 'evals.it.num_problems': 64} | changes)
  return registry.build(config, load_mixture(config), names=['it'])['it'], (
      config)


@pytest.fixture(scope='module')
def params():
  cfg = built('grammar_tree')[0].cfg
  return jax.jit(lambda: decoder.init(cfg, jax.random.key(0)))()


def found(rows, metric, **wanted):
  return records.find(rows, metric, **wanted)['value']


def test_samples_of_the_exact_law_are_valid_and_have_no_reverse_kl(monkeypatch):
  it, _ = built('grammar_samples', **{'evals.it.prefixes': 'none,clean'})
  world = it.world

  def generate(params, cfg, prompts, steps, how, **_):
    """Every second sample of `break_` is no string."""
    read = [[it.ids.tolist().index(t) for t in p[1:]] for p in prompts]
    made = world.sample(read, np.random.default_rng(0))
    return [it.ids[s[len(p):]].tolist() + [int(it.ids[0])] * (
        break_ and 40 * (i % 2)) for i, (s, p) in enumerate(zip(made, read))]

  def outcomes(params, rows, cfg, batch):
    nll = np.full(rows['tokens'].shape, 99.0)
    for x, row, ids in zip(nll, rows['tokens'], rows['targets']):
      n = row.any() and (row > 0).sum()
      s = [it.ids.tolist().index(t) for t in ids[:n]]
      p = world.laws([s])[0]
      x[:n] = -np.log(p[np.arange(n), s[:n]]) - shift
    return nll, nll > 0

  monkeypatch.setattr(decode, 'generate', generate)
  monkeypatch.setattr(sampling.teacher_forcing, 'outcomes', outcomes)
  break_, shift = False, 0.0
  rows = it(None).rows
  for prefix in ('none', 'clean'):
    assert found(rows, 'valid', prefix=prefix, law='model') == 1
  assert found(rows, 'reverse_kl', prefix='none', law='model') == (
      pytest.approx(0, abs=1e-9))
  mean, error = world.entropy(400)
  assert found(rows, 'surprisal', prefix='none', law='model') == (
      pytest.approx(mean, abs=6 * error + 0.05))
  # The law of valid samples is the grammar's, their share a half: log 2 a
  # string is what the model would give away if it were not conditioned on.
  break_ = True
  rows = it(None).rows
  assert found(rows, 'valid', prefix='none', law='model') == 0.5
  good = [r for r in it(None).raw if r['valid'] and r['prefix'] == 'none']
  tokens = np.mean([len(r['text'].split()) + 1 for r in good])
  assert found(rows, 'reverse_kl', prefix='none', law='model') == (
      pytest.approx(np.log(2) / tokens))
  break_, shift = False, 0.25
  assert found(it(None).rows, 'reverse_kl', prefix='none', law='model') == (
      pytest.approx(0.25))


def test_corrupted_prefixes_are_completed_as_they_were_before():
  it, _ = built('grammar_samples', **{
      'worlds.cfg.noise': 0.3, 'worlds.cfg.corrupted': 0.5,
      'evals.it.prefixes': 'corrupted'})
  world, (clean, read) = it.world, it.prefixes['corrupted']
  assert len(read) == 64
  for s, p in zip(clean, read):
    assert len(s) == len(p) and (s != p).any()
    assert not world.laws([p], 0.0)[0, len(p)].any()
  texts = sampling.exact_samples(world, 'corrupted', 64, 1.0)
  done = [(t, s) for t, s in zip(texts, clean) if t is not None]
  assert all((t[:len(s)] == s).all() for t, s in done)
  valid = np.isfinite(sampling.clean_logp(world, texts)).mean()
  assert 0 < valid < 1  # the best predictor itself makes errors
  cold = sampling.exact_samples(world, 'corrupted', 64, 0.1)
  assert np.isfinite(sampling.clean_logp(world, cold)).mean() > valid


def test_probe_of_true_ancestors_is_perfect_and_of_shuffled_ones_the_majority():
  it, _ = built('grammar_tree')
  end, symbol = it.labels['end'], it.labels['symbol']
  train = ~it._test
  h_ND = np.concatenate([end.T, *(np.eye(3)[s] for s in symbol)], 1).astype(
      np.float32)
  rng = np.random.default_rng(0)
  noise_ND = rng.normal(size=h_ND.shape).astype(np.float32)
  log_p = it._probes(np.stack([h_ND, noise_ND]))
  rows = it._rows(log_p[0], 'trained', 0)
  for task in tree_probe.TASKS:
    for level in (1, 2):
      assert found(rows, 'accuracy', task=task, level=level, model='trained',
                   layer=0) == 1
  assert found(rows, 'f1', task='end', level=1, model='trained', layer=0) == 1
  np.testing.assert_allclose(np.exp(log_p).sum(-1), 1, atol=1e-5)
  rows = it._rows(log_p[1], 'trained', 0)
  for level in (1, 2):  # states that know nothing
    chance = max(np.bincount(end[level - 1, it._test])) / it._test.sum()
    assert found(rows, 'accuracy', task='end', level=level, model='trained',
                 layer=0) == pytest.approx(chance, abs=0.02)
  assert train.any()


def test_probe_rows_have_the_exact_ceiling(params):
  it, _ = built('grammar_tree')
  rows, raw = it(params)
  of = {m: found(rows, 'log_score', task='end', level=1, model=m, layer=layer)
        for m, layer in (('exact', 'all'), ('window', 'all'),
                         ('untrained', 2), ('trained', 2))}
  assert of['exact'] == max(of.values()) and of['window'] < 0
  # The ceiling as the sum over what may end there, by one string at a time.
  s = it.strings[-1]
  end = it.labels['end'][0, -len(s):]
  p = it.world.end_laws([s])[0][0, 1:].sum(-1)
  np.testing.assert_allclose(np.exp(it._exact()[0, 0, -len(s):, 1]), p,
                             atol=1e-9)
  assert ((p > 0.5) == end).mean() > 0.8
  assert {r['string'] for r in raw} == set(range(32, 64))


def test_attention_excess_is_beyond_distance(params):
  it, _ = built('grammar_attention', **{'evals.it.num_problems': 16})
  T = it.rows['tokens'].shape[1] - 1
  i, j = np.tril_indices(T)
  A = np.zeros((16, 2, 2, T, T))
  A[..., i, j] = 1.0 / (1 + i - j)
  rows = it._attention_rows(A, 'trained')
  for r in rows:
    if r['metric'] == 'excess':
      assert r['value'] == pytest.approx(0, abs=1e-9)
    if r['metric'] == 'of_distance':
      assert r['value'] == pytest.approx(1)
  for b, last in enumerate(it.last):  # all keys at ends of level 1 count twice
    A[b, ..., :last.shape[1]] *= 1 + last[0]
  rows = it._attention_rows(A, 'trained')
  get = {(p, k): found(rows, 'excess', model='trained', level=1, pairs=p, at=k)
         for p in ('to_end', 'random') for k in (0, 1)}
  assert get['to_end', 0] > 0.3 and get['to_end', 1] < 0
  assert abs(get['random', 0]) < 0.2
  for b, last in enumerate(it.last):  # and four times behind them
    A[b, ..., 1:last.shape[1]] *= 1 + 3 * last[0, :-1]
  rows = it._attention_rows(A, 'trained')
  before, behind = (found(rows, 'excess', model='trained', level=1,
                          pairs='to_end', at=k) for k in (-1, 1))
  assert before < 0 < behind
  A = np.asarray(attention.attention_weights(params, {
      k: x[:16] for k, x in it.rows.items()}, it.cfg))
  n = len(it.strings[0]) + 1
  np.testing.assert_allclose(A[0, ..., :n, :n].sum(-1), 1, rtol=1e-5)
  assert not A[..., *np.triu_indices(A.shape[-1], 1)].any()


def test_patch_changes_what_follows_and_nothing_before(params):
  it, _ = built('grammar_attention', **{'evals.it.num_problems': 16})
  none = it._laws(params, np.full(16, -1), np.zeros(16, int))
  want, _ = teacher_forcing.outcomes(params, it.rows, it.cfg, 16)
  target = it.rows['targets'][..., None]
  got = -np.take_along_axis(none, target, -1)[..., 0]
  here = it.rows['segments'] > 0
  np.testing.assert_allclose(got[here], want[here], rtol=1e-4)
  at = np.full(16, 4)
  same = it._laws(params, at, np.arange(16))
  np.testing.assert_allclose(same, none, atol=1e-5)
  other = it._laws(params, at, np.roll(np.arange(16), 1))
  np.testing.assert_array_equal(other[:, :4], none[:, :4])
  assert (abs(other[:, 4:6] - none[:, 4:6]).max((1, 2)) > 1e-4).any()
  # Patches at ends, and what they change at each later token.
  one, two = (it._patched(params, none, 0, True, k) for k in (0, 1))
  again = it._patched(params, none, 0, True, 0)
  np.testing.assert_array_equal(one, again)
  assert one[0].min() == 1 and (one[1] > 1e-6).any() and 0 < one[2].mean() < 1
  assert one.shape != two.shape or (one != two).any()  # other tokens, donors
  b, ends = 0, it.last[0][0]  # the first string's pairs come first
  at = attention._pick(ends, (b, 0))
  n = len(it.strings[b]) - at
  np.testing.assert_array_equal(one[0, :n], np.arange(1, n + 1))
  np.testing.assert_array_equal(one[2, :n], ends[at:])
  assert ends[at - 1] and not ends[attention._pick(~ends, (b, 0)) - 1]


def test_noise_of_the_best_predictor_has_no_kl(monkeypatch):
  it, _ = built('grammar_noise', **{
      'worlds.cfg.noise': 0.2, 'worlds.cfg.corrupted': 0.3})
  made = np.zeros((64, it.rows['tokens'].shape[1], 4))
  for x, s in zip(made, it.read):
    with np.errstate(divide='ignore'):
      x[:len(s) + 1] = np.log(it.world.laws([s])[0])
  monkeypatch.setattr(noise.teacher_forcing, 'in_batches', lambda *_: [made])
  rows = it(None).rows
  for errors in ('before', 'after'):
    assert found(rows, 'kl', law='model', errors=errors) == pytest.approx(
        0, abs=1e-9)
    a, b = (found(rows, 'error_mass', law=law, errors=errors)
            for law in ('model', 'exact'))
    assert a == pytest.approx(b) and a > 0
  assert found(rows, 'posterior', law='exact', errors='after') == 1
  assert 0 < found(rows, 'posterior', law='exact', errors='before') < 0.3
  _, after, impossible, _ = (x[:len(it.read[0]) + 1] for x in it._exact)
  t = int(after.argmax())  # what the clean string's prefix allows there
  assert after[t] and (it.read[0][:t] != it.clean[0][:t]).any()
  np.testing.assert_array_equal(
      impossible[t], it.world.laws([it.clean[0][:t]], 0.0)[0, t] == 0)


@pytest.mark.parametrize('kind,changes,message', [
    ('grammar_samples', {'evals.it.decode': 'greedy'}, "decode is 'greedy'"),
    ('grammar_samples', {'evals.it.prefixes': 'cut'}, "prefix is 'cut'"),
    ('grammar_samples', {'evals.it.prefixes': 'corrupted'}, 'noise above 0'),
    ('grammar_noise', {}, 'noise above 0'),
    ('grammar_tree', {'worlds.cfg.corrupted': 0.1}, 'of them corrupted'),
    ('grammar_attention', {'worlds.cfg.levels': 1}, 'of 1 levels')])
def test_evaluations_of_grammars_refuse_bad_input(kind, changes, message):
  with pytest.raises(BadInput, match=message):
    built(kind, **changes)
