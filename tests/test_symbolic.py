"""Chains and recall: laws by brute force, checkers, rows, accuracy by hops."""

import collections
import doctest
import importlib
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm import mixture
from physics_lm.config import override
from physics_lm.configs import chains as chains_recipe
from physics_lm.configs import default
from physics_lm.configs import recall as recall_recipe
from physics_lm.errors import BadInput
from physics_lm.evals import registry, teacher_forcing
from physics_lm.interop import export
from physics_lm.worlds import base
from physics_lm.worlds.base import make_world
from physics_lm.worlds.symbolic import chains


def world(kind, seed=0, **keys):
  config = getattr(default, kind)()
  config.update(keys)
  return make_world(config, seed)


def mixed(recipe, seq_len, **keys):
  """(config, mixture) of a recipe with keys of its only world."""
  config = recipe.get_config()
  name, = config.worlds
  config = override(config.lock(), {
      f'worlds.{name}.{k}': v for k, v in keys.items()} | {
          'data.seq_len': seq_len})
  return config, mixture.load_mixture(config)


def words(example):
  return [p.strip() for p in example.pieces]


@pytest.mark.parametrize('module', base.WORLDS.values(), ids=base.WORLDS)
def test_world_opens_with_a_literal_example(module):
  found = doctest.testmod(importlib.import_module(module))
  assert found.attempted and not found.failed


def test_hops_equal_their_definition():
  """The sheet's example, and all texts of five of three symbols."""
  assert chains.hop_symbols('baebcabebdea', 1)[-1] == 'b'
  assert chains.hop_symbols('baebcabebdea', 2)[-1] == 'c'
  texts = np.array([t for t in itertools.product(range(3), repeat=5)
                    if all(a != b for a, b in itertools.pairwise(t))])
  for k in range(4):
    found = chains.hops(texts, np.full(len(texts), k))
    for text, at in zip(texts.tolist(), found):
      assert [None if a < 0 else text[a] for a in at] == chains.hop_symbols(
          text, k)
  # The four-symbol shares of the sheet: repeating a symbol is right so often.
  np.testing.assert_allclose(chains.repeat_share(64, 4, 8)[[1, 2, 4, 8]],
                             [0, 0.51, 0.35, 0.27], atol=0.01)


def test_texts_of_hops_follow_their_law():
  w = world('chains', 3, length=9, symbols=4, max_hops=3)
  text = w.symbols('train', np.arange(4000))
  k, symbols = text[:, 0], text[:, 1:] - 4
  assert (symbols[:, 1:] != symbols[:, :-1]).all()
  assert symbols.min() == 0 and symbols.max() == 3
  for counts in (np.bincount(k, minlength=4), np.bincount(symbols[:, -1]),
                 np.bincount((symbols[:, 5] - symbols[:, 4]) % 4)[1:]):
    expected = counts.sum() / len(counts)
    assert ((counts - expected)**2 / expected).sum() < 20  # chi-square, 3
  assert (text != w.symbols('test', np.arange(4000))).any(1).mean() > 0.99
  assert (w.symbols('train', np.array([17])) == text[17]).all()


def test_example_of_hops_is_its_symbols_and_passes_its_checker():
  w = world('chains', 5, length=14, symbols=4, max_hops=3)
  for i in range(12):
    one = w.example('test', i)
    k, *symbols = words(one)
    answer = [s or '-' for s in chains.hop_symbols(symbols, int(k))]
    assert [p.strip() for p in one.labels[1:]] == answer
    assert [a for a, _ in one.answers] == [f'k{k}'] * (
        len(symbols) - answer.count('-'))
    assert all(one.labels[at] != chains.NONE for _, at in one.answers)
    assert w.check(one, ' '.join(answer)).correct
    at = next(j for j, a in enumerate(answer) if a != '-')
    answer[at] = next(s for s in 'abcd' if s != answer[at])
    assert f'place {at + 1}' in w.check(one, ' '.join(answer)).reason
    assert '13 symbols of 14' in w.check(one, ' '.join(answer[:-1])).reason


def test_depo_answers_are_successors_and_its_sizes_follow_their_law():
  w = world('chains', 1, variant='depo', length=6, symbols=9, max_hops=4)
  sizes = collections.Counter()
  for i in range(600):
    one = w.example('train', i)
    said, n = words(one), one.meta['n']
    sizes[n] += 1
    after = dict(zip(said[:2 * n:2], said[1:2 * n:2]))
    assert len(after) == n == len({*after.values()})  # one cycle of all
    name, steps = said[0], 0
    while steps == 0 or name != said[0]:
      name, steps = after[name], steps + 1
    assert steps == n
    asks = list(zip(said[2 * n::3], said[2 * n + 1::3], said[2 * n + 2::3]))
    assert len({q for _, q, _ in asks}) == len(asks) == n
    for (k, q, a), (attribute, at) in zip(asks, one.answers):
      assert attribute == f'k{k[1:]}' and said[at] == a
      for _ in range(int(k[1:])):
        q = after[q]
      assert q == a
    assert w.check(one, ' '.join(a for _, _, a in asks)).correct
    wrong = [said[0], *(a for _, _, a in asks[1:])]
    assert w.check(one, ' '.join(wrong)).correct == (wrong[0] == asks[0][2])
  for n, share in zip(range(3, 7), w.law):
    assert abs(sizes[n] / 600 - share) < 5 * (share * (1 - share) / 600)**0.5


def test_recall_copies_and_its_lengths_are_uniform():
  w = world('recall', 2, symbols=7, min_length=3, max_length=6)
  lengths = np.bincount(w.lengths('train', np.arange(4000)))[3:]
  assert len(lengths) == 4 and ((lengths - 1000)**2 / 1000).sum() < 20
  for i in range(40):
    one = w.example('train', i)
    n, found = one.meta['n'], words(one)
    assert found == [*found[:n], '>', *found[:n], *'.' * (2 * (6 - n))]
    assert len({*found[:n]}) == n
    assert one.loss == tuple(range(n + 1, 2 * n + 1))
    assert w.check(one, ' '.join(found[:n])).correct
    assert 'symbol 2' in w.check(one, f'{found[0]} {found[0]}').reason
    assert not w.check(one, ' '.join(found[:n - 1])).correct


@pytest.mark.parametrize('recipe,length,keys', [
    (chains_recipe, 34, dict(length=14, symbols=4, max_hops=3)),
    (recall_recipe, 40, dict(symbols=7, min_length=3, max_length=6))])
def test_rows_in_bulk_equal_rows_alone(recipe, length, keys):
  _, data = mixed(recipe, length, **keys)
  assert mixture.is_bulk(data)
  bulk = mixture.packed_rows(data, np.arange(5, 12))
  for i in range(7):
    for k, v in mixture.packed_row(data, 5 + i).items():
      np.testing.assert_array_equal(bulk[k][i], v, err_msg=k)
  assert bulk['entries'].min() >= 2 and 0 < bulk['weights'].mean() < 1
  task = data.tasks[0]
  item = mixture.encode(data, task.world.example('train', 3), 'answers')
  if recipe is chains_recipe:  # the label of a piece is the target at it
    one = task.world.example('train', 3)
    wanted = [*one.pieces[:1], *one.labels]
    assert item[2] == [data.vocab.encode(p)[0] for p in wanted]
    assert item[1] == [0, 0] + [1] * 14
    with pytest.raises(BadInput, match='labels'):
      export.fields(one, 'train', 3, 'jsonl')


def test_labels_are_refused_by_masked_models_and_other_vocabularies():
  config = chains_recipe.get_config().lock()
  with pytest.raises(BadInput, match='labels, wanted 0'):
    mixture.load_mixture(override(config, {'data.mlm_probability': 0.1}))
  data = mixture.load_mixture(override(config, {'data.vocab': 'byte'}))
  with pytest.raises(BadInput, match='wanted one of each piece'):
    mixture.encode(data, data.worlds['chains'].example('train', 0))


@pytest.mark.parametrize('recipe,name,length,keys', [
    (chains_recipe, 'hops', 16, dict(length=14, symbols=4, max_hops=2)),
    (recall_recipe, 'copy', 14, dict(symbols=7, min_length=3, max_length=6))])
def test_accuracy_by_attribute_counts_what_it_is_about(
    recipe, name, length, keys, monkeypatch):
  """Of a stand-in model that predicts the first target of every row at each
  place: what it scores is counted by hand from the examples."""
  config, data = mixed(recipe, length, **keys)
  spec = config.evals[name]

  def outcomes(params, packed, cfg, batch):
    correct = packed['targets'] == packed['tokens']
    return jnp.zeros(correct.shape), correct

  monkeypatch.setattr(teacher_forcing, 'outcomes', outcomes)
  with_40 = override(config, {f'evals.{name}.num_problems': 40})
  found = registry.build(with_40, data)[name]({}).rows
  w, counts = data.worlds[spec.world], collections.defaultdict(list)
  for i in range(40):
    one = w.example('test', i)
    for attribute, at in one.answers:
      same = (one.labels[at] if one.labels else one.pieces[at]) == (
          one.pieces[at - (not one.labels)])
      counts[attribute].append(same)
      counts['all'].append(same)
  assert {r['attribute']: (r['n'], r['value']) for r in found} == {
      k: (len(v), pytest.approx(np.mean(v))) for k, v in counts.items()}
  if name == 'hops':
    assert {'k0', 'k1', 'k2'} < {*counts} and counts['k0'] and all(
        counts['k0']) and not any(counts['k1'])


@pytest.mark.parametrize('kind,keys,message', [
    ('chains', {'variant': 'rings'}, "is 'rings'"),
    ('chains', {'variant': 'depo', 'length': 9, 'symbols': 8}, 'no fewer'),
    ('recall', {'min_length': 9, 'max_length': 8}, 'at most the next'),
    ('recall', {'symbols': 31}, 'at most the next')])
def test_keys_out_of_range_are_refused(kind, keys, message):
  with pytest.raises(BadInput, match=message):
    world(kind, **keys)
