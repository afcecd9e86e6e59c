"""bioD and the counting of bits."""

import collections
import math
import pickle

import jax
import numpy as np
import pytest

from physics_lm.config import load_config, override
from physics_lm.configs import architectures, bios_bits, default
from physics_lm.errors import BadInput
from physics_lm.evals import knowledge_bits, teacher_forcing
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model.config import model_config
from physics_lm.scaling import flops
from physics_lm.worlds import base, biod
from tests.compiled import init
from tests.conftest import TINY


def world(seed=0, **changes):
  return base.make_world(override(default.biod(), changes), seed)


@pytest.mark.parametrize('size', [1, 2, 7, 64, 1000])
def test_permuted_is_a_keyed_bijection(size):
  images = [base.permuted(i, size, (5, 6, 7, 8)) for i in range(size)]
  assert sorted(images) == list(range(size))
  assert base.permuted(np.arange(size, dtype=np.uint64), size, (
      5, np.full(size, 6, np.uint64), 7, 8)).tolist() == images
  if size > 10:
    assert images != [base.permuted(i, size, (6, 6, 7, 8))
                      for i in range(size)]
    assert np.corrcoef(images, range(size))[0, 1] < 0.5


@pytest.mark.parametrize('sizes', [
    {}, {'chunks': 3, 'chunk_length': 2, 'symbols': 20},
    {'name_alphabet': 1000, 'name_length': 1},
    {'order': 'fixed', 'chunks': 2, 'diversity': 20}])
def test_checker_accepts_entries_and_rejects_spoiled_ones(sizes):
  w = world(3, **sizes)
  names = {w.name(p) for p in range(w.n)}
  assert len(names) == w.n
  for index in range(0, 5000, 3):
    e = w.example('bio', index)
    assert w.check(e, e.text).correct, e.text
    other = w.example('bio', index + 1)
    assert not w.check(e, other.text).correct
    assert not w.check(e, e.text + ' v0').correct
  a, b = (w.example('bio', 7 + k * w.n) for k in (0, 1))
  assert sorted(a.pieces) == sorted(b.pieces)
  assert (a.text == b.text) == w.fixed_order
  if w.fixed_order:
    swapped = a.pieces[:2] + a.pieces[4:6] + a.pieces[2:4] + a.pieces[6:]
    assert not w.check(a, ''.join(swapped)).correct


@pytest.mark.parametrize('changes', [
    {}, {'order': 'fixed'}, {'zipf_a': 0.5}, {'person_offset': 700},
    {'zipf_a': 0.5, 'people_per_rank': 4},
    {'incorrect': 0.6, 'chunks': 2}, {'incorrect': 0.6, 'order': 'fixed'},
    {'chunks': 2, 'chunk_length': 3, 'symbols': 11, 'attributes': 20},
    {'order': 'fixed', 'people': 100_000, 'name_length': 3}])
def test_symbols_are_the_pieces_of_examples(changes):
  w = world(5, **changes)
  indices = [*range(30), 777_777, w.size('bio') - 1]
  made, pieces = w.symbols('bio', np.array(indices)), list(w.pieces())
  assert made.shape == (len(indices), w.tokens - 1)
  for i, row in zip(indices, made.tolist()):
    assert ''.join(pieces[s] for s in row) == w.example('bio', i).text
  with pytest.raises(IndexError):
    w.symbols('bio', np.array([0, w.size('bio')]))


def test_values_are_uniform_and_independent():
  w = world(people=4000, diversity=16, symbols=16)
  counts = np.zeros((16, 16))
  for p in range(4000):
    a, b = (w.sets[k].index(w.value(p, k)[0]) for k in (0, 1))
    counts[a, b] += 1
  expected = 4000 / 256
  chi2 = ((counts - expected)**2 / expected).sum()
  assert abs(chi2 - 255) < 5 * math.sqrt(2 * 255)


def test_person_is_the_same_in_a_larger_world():
  few, many = world(people=10), world(
      people=100_000_000, name_alphabet=20_000)
  again = world(people=1000, name_alphabet=20_000)
  assert many.name(7) == again.name(7) and few.value(7, 2) == many.value(7, 2)
  assert many.example('bio', 99_999_999).text
  assert world(seed=1).value(7, 2) != few.value(7, 2) or (
      world(seed=1).value(8, 2) != few.value(8, 2))


def test_diversity_sets_are_distinct_chunks():
  w = world(chunk_length=2, symbols=12, diversity=100)
  for chunks in w.sets:
    assert len(set(chunks)) == 100
  assert w.sets[0] != w.sets[1]


@pytest.mark.parametrize('changes,message', [
    ({'people': 5000}, 'only 4096 names'),
    ({'person_offset': -1}, 'person_offset is -1'),
    ({'diversity': 200}, '128 ** 1 chunks'), ({'chunks': 0}, 'at least 1'),
    ({'order': 'sorted'}, "'sorted', wanted one of random, fixed"),
    ({'people_per_rank': 3}, 'people_per_rank is 3, wanted a divisor of'),
    ({'incorrect': 0.99, 'diversity': 8}, 'incorrect is 0.99 of 8 values'),
    ({'name_length': 13}, 'name_alphabet ** name_length is 64 ** 13'),
    ({'name_length': 10**9}, 'wanted below 2'),
    ({'symbols': 1 << 40, 'chunk_length': 2}, 'wanted below 2')])
def test_world_refuses_bad_input(changes, message):
  with pytest.raises(BadInput, match=message.replace('*', '\\*')):
    world(**changes)


# Counting.


@pytest.fixture
def setup(tiny):
  def make(**changes):
    config = default.get_config()
    config.worlds = {'bits': default.biod(), 'bios': default.biographies()}
    config.data.tasks = {'bio': default.task('bits', 'bio', 1.0)}
    config.evals = {'bits': default.evaluation('knowledge_bits')}
    config.evals.bits.world = 'bits'
    config = override(config.lock(), {
        k: v for k, v in TINY.items() if k.startswith(('worlds', 'model'))}
        | {'worlds.bits.people': 40, 'worlds.bits.diversity': 8,
           'data.seq_len': 128} | changes)
    cfg = model_config(config, len(load_mixture(config).vocab))
    return config, cfg
  return make


def scored(config, monkeypatch, loss):
  """The eval of a model whose loss at a target is loss(attribute, which of
  the example's tokens of that attribute)."""
  evaluator = knowledge_bits.build(config, load_mixture(config),
                                   config.evals.bits)
  nll, count = np.full(evaluator.packed['tokens'].shape, 99.0), {}
  for s in evaluator.spans:
    for t in range(s.start, s.stop):
      k = count[s.example, s.attribute] = count.get(
          (s.example, s.attribute), -1) + 1
      nll[s.row, t] = loss(s.attribute, k)
  monkeypatch.setattr(teacher_forcing, 'outcomes', lambda *_: (nll, nll < 1))
  return evaluator(None).rows


@pytest.mark.parametrize('name', ['bits', 'bios'])
@pytest.mark.parametrize('chunks', [1, 3])
def test_knowledge_bits_are_maximal_for_perfect_memory_and_zero_without(
    setup, monkeypatch, name, chunks):
  config, _ = setup(**{
      'evals.bits.world': name, 'worlds.bits.chunks': chunks,
      'worlds.bits.symbols': 8, 'worlds.bios.variant': 'multi5_permute'})
  w = load_mixture(config).worlds[name]
  m = scored(config, monkeypatch, lambda a, k: math.log(w.n) if (
      a == 'name' and k == 0) else 0.0)
  assert find(m, 'bits_per_param')['value'] == pytest.approx(
      find(m, 'bits_per_param_max')['value'], rel=1e-9)
  assert find(m, 'bits_max')['value'] > 0 and find(m, 'bits')['n'] == w.n
  if name == 'bits':  # uniform over names and over the sets
    def uniform(a, k):
      return math.log(64 if a == 'name' else w.D)
    m = scored(config, monkeypatch, uniform)
    for term in ('all', 'name', 'value'):
      assert find(m, 'bits', term=term)['value'] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize('order', ['random', 'fixed'])
@pytest.mark.parametrize('value_nats', [0.0, 0.7])
def test_knowledge_bits_are_what_it_saves_of_a_text(
    setup, monkeypatch, order, value_nats):
  """Exact, with D = T^L: bits are N times the difference, per entry, between
  the loss of a model that knows the lists only and that of the model; of the
  perfect one the latter is the world's entropy. Orders are no knowledge."""
  config, _ = setup(**{'worlds.bits.symbols': 8, 'worlds.bits.order': order})
  w = load_mixture(config).worlds['bits']
  m = scored(config, monkeypatch, lambda a, k: value_nats if a != 'name' else (
      math.log(w.n) if k == 0 else 0.0))
  of_order = math.log(math.factorial(w.K)) if order == 'random' else 0.0
  texts = {w.example('bio', i).text for i in range(2000)}
  assert len(texts) == w.n if order == 'fixed' else len(texts) > 15 * w.n
  assert w.entropy() == pytest.approx(math.log(w.n) + of_order)
  ignorant = math.log(w.N0) + w.K * w.C * math.log(w.D) + of_order
  loss = w.entropy() + w.K * w.C * value_nats
  found = {k: find(m, k)['value'] for k in ('bits', 'bits_max', 'parameters',
                                            'bits_per_param')}
  assert found['bits'] == pytest.approx(w.n * (ignorant - loss) / math.log(2))
  assert found['bits_max'] == pytest.approx(
      w.n * (ignorant - w.entropy()) / math.log(2))
  assert found['bits_per_param'] == found['bits'] / found['parameters']


def test_people_of_a_rank_are_equally_frequent():
  """And an entry has the frequency, rank and entropy that the world states."""
  w = world(people=12, zipf_a=0.5, people_per_rank=4)
  drawn = [w.example('bio', i).meta['person'] for i in range(20_000)]
  assert w.rank(np.arange(12)).tolist() == [1] * 4 + [2] * 4 + [3] * 4
  p = w.frequency(w.rank(np.arange(12)))
  assert p[0] == pytest.approx(2**1.5 * p[4]) and p.sum() == pytest.approx(1)
  counts = np.bincount(drawn, minlength=12)
  assert (abs(counts / 20_000 - p) < 4 * np.sqrt(p / 20_000)).all()
  assert w.entropy() == pytest.approx(
      -(p * np.log(p)).sum() + math.lgamma(w.K + 1))
  assert world(people=12).frequency(np.ones(2)).tolist() == [1 / 12] * 2


def test_incorrect_values_are_uniform_over_the_others():
  """The true one stays the most frequent, and the entropy is that of what is
  stated; scored entries are true."""
  true, w = (world(people=1, attributes=1, diversity=8, symbols=8, **more)
             for more in ({}, {'incorrect': 0.6}))
  stated = [w.example('bio', i).pieces[-1] for i in range(20_000)]
  counts = np.array([stated.count(v) for v in w.sets[0]]) / 20_000
  value = w.sets[0].index(*true.value(0, 0))
  wanted = np.full(8, 0.6 / 7)
  wanted[value] = 0.4
  assert (abs(counts - wanted) < 4 * np.sqrt(wanted / 20_000)).all()
  assert w.entropy() == pytest.approx(-(wanted * np.log(wanted)).sum())
  assert w.entry(0).text == true.entry(0).text


def test_known_share_by_rank(setup, monkeypatch):
  """Of ranks in bands of a third of an octave; worse than uniform counts as
  nothing known."""
  config, _ = setup(**{'worlds.bits.zipf_a': 0.5,
                       'worlds.bits.people_per_rank': 2})
  w = load_mixture(config).worlds['bits']
  evaluator = knowledge_bits.build(config, load_mixture(config),
                                   config.evals.bits)
  nats = {1: 0.0, 2: math.log(8) / 4, 20: 9.0}  # of a value, by rank
  nll = np.zeros(evaluator.packed['tokens'].shape)
  for s in evaluator.spans:
    if s.attribute != 'name':
      nll[s.row, s.start:s.stop] = nats.get(w.rank(
          evaluator.entries[s.example].meta['person']), math.log(8))
  monkeypatch.setattr(teacher_forcing, 'outcomes', lambda *_: (nll, nll < 1))
  rows = [r for r in evaluator(None).rows if r['rank'] != 'all']
  found = {(r['metric'], r['rank']): r for r in rows}
  assert [k for m, k in found if m == 'known'] == [
      1, 2, 3, 4, 6, 7, 8, 11, 13, 16]
  assert [found['known', k]['value'] for k in (1, 2, 3, 16)] == pytest.approx(
      [1, 0.75, 0, 0])
  assert [found['accuracy', k]['value'] for k in (1, 2, 3)] == [1, 1, 0]
  assert found['known', 16]['n'] == 10 and found['known', 4]['n'] == 4
  assert found['frequency', 4]['value'] == pytest.approx(
      w.frequency(np.array([4, 5])).mean())


def test_knowledge_bits_match_the_papers_numbers():
  """Table of total knowledge of bioS (knowledge in Mbit by N), 2 pronouns."""
  S0 = 2 * 12 * 28 * 200 * 200 * 300 * 100 * 263
  for N, wanted in ((1000, 0.0649), (20_000, 1.211), (1_000_000, 54.91)):
    got = knowledge_bits.bio_s(math.log(N), 0, N, 400 * 400 * 1000, S0)
    assert sum(got.values()) / 1e6 == pytest.approx(wanted, rel=1e-3)


def test_knowledge_bits_of_one_chunk_of_two_are_50_percent(setup, monkeypatch):
  config, _ = setup(**{'worlds.bits.chunks': 2, 'worlds.bits.symbols': 8})
  w = load_mixture(config).worlds['bits']
  m = scored(config, monkeypatch, lambda a, k: 0.0 if k == 0 else (
      math.log(w.D)))  # knows the first chunk, not the second
  assert find(m, 'bits', term='value')['value'] == pytest.approx(
      w.n * w.K * math.log2(w.D))
  assert find(m, 'first_nats')['value'] == 0


def test_parameter_count_has_used_entries_only(setup, monkeypatch):
  config, cfg = setup()
  m = scored(config, monkeypatch, lambda a, k: 0.0)
  params = init(cfg, jax.random.key(0))
  total = sum(x.size for x in jax.tree.leaves(params))
  padding = cfg.vocab - len(load_mixture(config).vocab)
  assert padding > 0
  assert find(m, 'parameters')['value'] == total - padding * cfg.width


def test_knowledge_bits_skip_an_employer_after_its_city(setup):
  config, _ = setup(**{'worlds.bios.variant': 'multi5_permute'})
  w = load_mixture(config).worlds['bios']
  kept = 0
  for p in range(w.n):
    e = w.entry(p)
    order = [a for a, _ in w.biography(p, 0).answers]
    scored_ = [a for a, _ in e.answers]
    assert 'company_city' not in scored_
    early = order.index('employer') < order.index('company_city')
    assert ('employer' in scored_) == early
    kept += early
    for a, i in e.answers:
      if a == 'pronoun':
        assert e.pieces[i] in (' He', ' She', ' They')
  assert 0 < kept < w.n


def test_person_offset_changes_people_but_not_the_format():
  def world(**changes):
    w = default.biod()
    w.update(changes)
    return biod.make(w, 0)

  near, far, both = (world(people=500), world(people=500,
                                                  person_offset=500),
                     world(people=1000))
  assert near.sets == far.sets
  names = [{w.name(i) for i in range(500)} for w in (near, far)]
  assert not names[0] & names[1]
  assert [far.name(i) for i in range(9)] == [
      both.name(500 + i) for i in range(9)]
  assert far.value(3, 2) == both.value(503, 2)
  with pytest.raises(BadInput, match='people 4000 to 4999'):
    world(people=1000, person_offset=4000)


@pytest.mark.parametrize('count', [1, 3, 20])
def test_shuffled_gives_uniform_permutations(count):
  orders = [tuple(biod.shuffled(count, base.mix_bits(i)))
            for i in range(3000)]
  assert biod.shuffled_rows(count, base.mix_bits(
      np.arange(3000, dtype=np.uint64))).tolist() == [list(o) for o in orders]
  assert all(sorted(o) == list(range(count)) for o in orders)
  # Where element 0 comes to lie: each place equally often, to five sigma.
  places = collections.Counter(o.index(0) for o in orders)
  expected = len(orders) / count
  assert all(abs(places[p] - expected) <= 5 * expected**0.5
             for p in range(count))
  if count == 3:
    assert len(set(orders)) == 6


@pytest.mark.parametrize('make', [default.biographies, default.biod,
                                  default.igsm])
def test_worlds_can_be_pickled_for_loader_processes(make):
  """grain's workers get the world pickled, also one that has been used."""
  world = base.make_world(make(), 0)
  split = world.splits[0]
  before = world.example(split, 3)
  again = pickle.loads(pickle.dumps(world))
  assert again.example(split, 3) == before


def r_max(config) -> tuple[float, int]:
  """(bits of perfect memory over parameters, parameters) of a config."""
  data = load_mixture(config)
  evaluator = knowledge_bits.build(config, data, config.evals.bits)
  cfg = evaluator.cfg
  parameters = flops.parameters(cfg).rest + len(data.vocab) * cfg.width
  bits = knowledge_bits.terms(evaluator.world, np.log(evaluator.world.n), 0, 0)
  return sum(bits.values()) / parameters, parameters


@pytest.mark.parametrize('width', (12, 32))
def test_compact_bios_has_people_for_its_r_max(width):
  people = bios_bits.compact_people(width, 2.2)
  config = override(load_config('configs/bios_bits.py:compact'),
                    bios_bits.compact_run(people, 10, width))
  assert len(load_mixture(config).vocab) == bios_bits.COMPACT_PIECES
  assert abs(r_max(config)[0] - 2.2) < 0.01


@pytest.mark.parametrize('name', architectures.ARCHITECTURES)
def test_architectures_have_people_for_their_r_max(name):
  """To 5 %: the formula counts what grows with the square of the width."""
  for size in ('small', 'middle'):
    found, parameters = r_max(override(
        load_config('configs/biod.py:compact'),
        architectures.compact_run(name, size, 100)))
    assert abs(found / architectures.R_MAX - 1) < 0.05
    plain = 24 * architectures.WIDTHS[size]['gpt2']**2 + (
        28 + architectures.ENTRIES) * architectures.WIDTHS[size]['gpt2']
    assert abs(parameters / plain - 1) < 0.15  # about as many as GPT-2
