"""Vocabulary, packed rows, mixture, pipeline."""

import numpy as np
import pytest

from physics_lm import loader, mixture, task_rows, vocab
from physics_lm.config import load_config, override
from physics_lm.configs import biographies, default
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.mixture import load_mixture
from physics_lm.progress import clock


@pytest.mark.parametrize('kind', ['word', 'byte'])
def test_encode_and_decode_round_trip_exactly(tiny, kind):
  data = load_mixture(tiny({'data.vocab': kind, 'data.seq_len': 700}))
  world = data.worlds['bios']
  for split in world.splits:
    for i in range(0, world.size(split), 7):
      example = world.example(split, i)
      ids, _ = mixture.encode(data, example)
      assert data.vocab.decode(ids[1:]) == example.text
      assert max(ids) < len(data.vocab)


def test_pieces_encode_like_the_full_text():
  """Caching pieces does not change the tokens (word-level)."""
  data = load_mixture(default.get_config())
  world = data.worlds['bios']
  for i in range(300):
    example = world.example('bio', i)
    by_piece = mixture.encode(data, example)[0][1:]
    assert tuple(by_piece) == data.vocab.encode(example.text)


@pytest.mark.parametrize('variant,tokens', [
    ('single', 27), ('multi5_permute', 27), ('multi5_permute_fullname', 37)])
def test_compact_rows_hold_only_biographies_or_questions(variant, tokens):
  stages = {}
  for stage in ('', '_pretrain', '_finetune'):
    config = biographies.get_config(f'compact_{variant}{stage}')
    assert config.worlds.bios.variant == variant
    data = load_mixture(config)
    mixture.check_mixture(data)
    made = [mixture.packed_row(data, i) for i in range(40)]
    stages[stage] = {data.tasks[r['task']].name for r in made}
    for r in made:
      text = data.tasks[r['task']].name == 'bio'
      length = tokens if text else 8
      assert r['entries'] == 112 // length
      assert (r['segments'] > 0).sum() == r['entries'] * length
      # Of an answer: the value, the full stop, the end.
      each = 3 if stage == '_finetune' else length
      assert r['weights'].sum() == r['entries'] * each
  assert stages == {'': {'bio', 'qa'}, '_pretrain': {'bio'},
                    '_finetune': {'qa'}}


def test_word_vocab_refuses_unknown_words():
  v = vocab.Word([' a b'])
  with pytest.raises(BadInput, match="' c'"):
    v.encode(' c')
  assert v.hash != vocab.Word([' a c']).hash


def test_packed_row_is_pure_and_contiguous(tiny):
  config = tiny()
  data = load_mixture(config)
  again = mixture._load.__wrapped__(mixture.ConfigDict(
      {k: config[k] for k in ('worlds', 'data', 'seed')}
  ).to_json_best_effort(sort_keys=True))
  for i in (0, 5, 1_234_567, 2**40):
    a, b = mixture.packed_row(data, i), mixture.packed_row(again, i)
    assert all(np.array_equal(a[k], b[k]) for k in a)
    used = a['segments'] > 0
    n = used.sum()
    assert used[:n].all() and not used[n:].any()
    # Targets are the next token within a segment, the end token at its end.
    for segment in range(1, a['segments'].max() + 1):
      at = np.flatnonzero(a['segments'] == segment)
      assert a['tokens'][at[0]] == vocab.EOS
      assert np.array_equal(a['targets'][at[:-1]], a['tokens'][at[1:]])
      assert a['targets'][at[-1]] == vocab.EOS
      assert np.array_equal(a['positions'][at], np.arange(len(at)))
    assert a['entries'] == a['segments'].max()
    assert (a['weights'] > 0).sum() == n


def test_loss_on_answers_has_weights_on_answers_only(tiny):
  data = load_mixture(tiny({'data.tasks.qa.loss': 'answers'}))
  world = data.worlds['bios']
  for i in range(world.size('qa_train')):
    example = world.example('qa_train', i)
    ids, weights = mixture.encode(data, example, 'answers')
    (_, start, stop), = mixture.answer_spans(data, example)
    answer = data.vocab.encode(example.pieces[-1])
    targets = [*ids[1:], vocab.EOS]
    assert tuple(targets[start:stop]) == answer
    assert [i for i, w in enumerate(weights) if w] == list(
        range(start, stop + 1))  # the answer and the end token
    assert targets[stop] == vocab.EOS


def test_tag_precedes_every_example(tiny):
  plain = load_mixture(tiny())
  data = load_mixture(tiny({'data.tasks.bio.tag': ' wikipedia.org'}))
  example = data.worlds['bios'].example('bio', 0)
  ids, weights = mixture.encode(data, example, tag=' wikipedia.org')
  text = data.vocab.decode(ids[1:])
  assert text == ' wikipedia.org' + example.text
  spans = mixture.answer_spans(data, example, ' wikipedia.org')
  moved = mixture.answer_spans(plain, example)
  assert [b[1] - a[1] for a, b in zip(moved, spans)] == [3] * 6
  assert len(weights) == len(ids)


def test_mixture_shares_match_the_weights(tiny):
  data = load_mixture(tiny({'data.tasks.bio.weight': 1.0,
                         'data.tasks.qa.weight': 4.0}))
  which = np.array([mixture.task_for_row(data, i) for i in range(2000)])
  for start in range(0, 1900, 77):
    for n in (10, 50, 100):
      assert abs(which[start:start + n].sum() - 0.8 * n) <= 2
  assert load_mixture(tiny({'data.tasks.qa.weight': 0.0})).tasks[0].weight == 1


def test_exposures_are_counted_exactly(tiny):
  """What rows count as entries is what they hold, recomputed from tokens."""
  data = load_mixture(tiny({'data.tasks.qa.weight': 0.0}))
  world = data.worlds['bios']
  texts = {world.example('bio', i).text: i for i in range(world.size('bio'))}
  drawn = np.zeros(world.size('bio'), int)
  counted = 0
  for i in range(400):
    row = mixture.packed_row(data, i)
    counted += int(row['entries'])
    for segment in range(1, row['segments'].max() + 1):
      at = row['segments'] == segment
      drawn[texts[data.vocab.decode(row['targets'][at])]] += 1
  assert drawn.sum() == counted
  # Uniform with replacement: counts are Poisson about their mean.
  assert 0.6 < drawn.var() / drawn.mean() < 1.6


def test_rows_are_one_segment_without_intra_document_mask(tiny):
  data = load_mixture(tiny({'data.intra_document_mask': False}))
  row = mixture.packed_row(data, 0)
  n = (row['segments'] > 0).sum()
  assert set(row['segments'][:n]) == {1}
  assert np.array_equal(row['positions'][:n], np.arange(n))


@pytest.mark.parametrize('changes,message', [
    ({'data.seq_len': 20}, 'data.seq_len=20'),
    ({'data.tasks.qa.world': 'bio'}, 'nearest: bios'),
    ({'data.tasks.qa.split': 'qa_trian'}, 'nearest: qa_train'),
    ({'data.tasks.qa.loss': 'none'}, "'none'"),
    ({'data.tasks.qa.weight': -0.1}, 'weight is -0.1'),
    ({'data.tasks.qa.weight': 0.0, 'data.tasks.bio.weight': 0.0}, 'sum to 0'),
    ({'data.vocab': 'words'}, 'nearest: word')])
def test_mixture_refuses_bad_input(tiny, changes, message):
  with pytest.raises(BadInput, match=message):
    data = load_mixture(tiny(changes))
    for i in range(4):
      mixture.packed_row(data, i)


def stream(data, batch, hosts, workers=0, first=0, steps=3):
  """Global batches as `hosts` hosts would make them, each its share."""
  shares = np.array_split(np.arange(batch), hosts)
  parts = [loader.host_batches([data], batch, list(s), first, workers)
           for s in shares]
  return [{k: np.concatenate([p[k] for p in part]) for k in part[0]}
          for part in [[next(it) for it in parts] for _ in range(steps)]]


def test_stream_is_independent_of_hosts_workers_and_start(tiny):
  data = load_mixture(tiny())
  alone = stream(data, 8, 1)
  for other in (stream(data, 8, 2), stream(data, 8, 4),
                stream(data, 8, 1, workers=2)):
    for a, b in zip(alone, other):
      assert all(np.array_equal(a[k], b[k]) for k in a)
  later = stream(data, 8, 2, first=2, steps=1)[0]
  assert all(np.array_equal(alone[2][k], later[k]) for k in later)


COMPACT = 'configs/biod.py:compact'


@pytest.mark.parametrize('file,changes', [
    ('configs/biod.py', {}), ('configs/biod.py', {'data.sampling': 'epochs'}),
    ('configs/biod.py', {'worlds.bits.zipf_a': 0.5, 'data.vocab': 'piece'}),
    ('configs/biod.py', {'data.vocab': 'byte', 'data.seq_len': 300}),
    (COMPACT, {}), (COMPACT, {'data.mlm_probability': 0.2}),
    (COMPACT, {'data.seq_len': 200, 'data.intra_document_mask': False}),
    ('configs/source_tags.py:tag_on_junk', {}),
    ('configs/source_tags.py:tag_on_junk', {
        'data.sampling': 'epochs', 'data.tasks.junk.loss': 'answers'}),
    ('configs/biographies.py', {'worlds.bios.people': 50}),
    *(('configs/biographies.py:compact_single', {
        'worlds.bios.people': 51, 'worlds.bios.variant': v} | more)
      for v, more in (
          ('multi2_permute3', {'data.tasks.qa.tag': ' tag'}),
          ('single_fullname_bilingual', {'data.tasks.bio.split': 'bio_test'}),
          ('multi3_couple_reverse2', {'data.sampling': 'epochs'}),
          ('single_permute_reverse6', {
              'worlds.bios.zipf_a': 0.5, 'data.tasks.qa.loss': 'answers'}),
          ('fresh_permute', {'data.tasks.qa.split': 'qa_test'}),
          ('multi4', {'worlds.bios.incorrect': 0.25}),
          ('single', {'worlds.bios.days': 28}),
          ('multi2_permute_bilingual', {
              'worlds.bios.person_offset': 30, 'data.mlm_probability': 0.2})))])
def test_rows_in_bulk_are_the_packed_rows(file, changes):
  data = load_mixture(override(load_config(file), changes))
  rows = np.array([*range(30), 123_456, 2**40 + 1])
  made = mixture.packed_rows(data, rows)
  for j, row in enumerate(rows.tolist()):
    for k, v in mixture.packed_row(data, row).items():
      assert made[k].dtype == v.dtype and np.array_equal(made[k][j], v)


@pytest.mark.parametrize('variant,bulk', [
    ('multi2_permute3', True), ('single_fullname_bilingual', True),
    ('multi3_couple_reverse6', True), ('fresh_permute', False)])
def test_biographies_of_one_form_are_made_in_bulk(variant, bulk):
  config = load_config('configs/biographies.py:compact_single')
  changes = {'worlds.bios.people': 20, 'worlds.bios.variant': variant}
  data = load_mixture(override(config, changes))
  assert [bool(t.form) for t in data.tasks] == [bulk, bulk]
  data = load_mixture(override(config, changes | {'data.vocab': 'word'}))
  assert not any(t.form for t in data.tasks)  # a value has several words


@pytest.mark.parametrize('file', [COMPACT, 'configs/source_tags.py:tag_half'])
def test_epochs_are_permutations_of_all_people(file):
  """Of every task by itself, from whichever row on one looks."""
  config = override(load_config(file), {'data.sampling': 'epochs'} | {
      f'worlds.{w}.people': 9 for w in load_config(file).worlds})
  data = load_mixture(config)
  for i, task in enumerate(data.tasks):
    each = data.seq_len // len(task.form.weights)
    which, rank = task_rows.ranked_tasks(data.phases, np.arange(9 * 600))
    assert abs((which == i).mean() - task.weight) < 1e-3
    own = rank[which == i]
    assert np.array_equal(own, np.arange(len(own)))  # without gaps
    slots = (each * own[:, None] + np.arange(each)).ravel()
    slots = slots[:len(slots) // 9 * 9]
    drawn = mixture.epoch_indices(data, task, slots).reshape(-1, 9)
    assert (np.sort(drawn % 9) == np.arange(9)).all()
    assert len({tuple(d) for d in (drawn % 9).tolist()}) > 0.9 * len(drawn)
    # Another order of attributes at each exposure.
    assert len(np.unique(drawn)) == drawn.size


def test_epochs_are_refused_where_examples_differ_in_length(tiny):
  with pytest.raises(BadInput, match='task bio differ in length'):
    load_mixture(tiny({'data.sampling': 'epochs'}))
  with pytest.raises(BadInput, match="'shuffled', wanted one of"):
    load_mixture(tiny({'data.sampling': 'shuffled'}))


def test_bulk_batches_are_independent_of_hosts_workers_and_start():
  data = load_mixture(override(load_config(COMPACT), {
      'worlds.bits.people': 40}))
  ahead = loader.BULK_ROWS // 8
  alone = stream(data, 8, 1, steps=ahead + 3)
  for other in (stream(data, 8, 2, first=3, steps=len(alone) - 3),
                stream(data, 8, 1, first=ahead - 1, steps=4)):
    for a, b in zip(alone[-len(other):], other):
      assert all(np.array_equal(a[k], b[k]) for k in a)


def test_no_task_needs_rows_after_the_last_step():
  config, made = override(load_config(COMPACT), {'worlds.bits.people': 40}), []
  for until in (None, 3):
    for task in config.data.tasks.values():
      task.until = until
    it = loader.host_batches([load_mixture(config)], 4, range(4), 1, steps=3)
    made.append([next(it) for _ in range(2)])
  for a, b in zip(*made):
    assert all(np.array_equal(a[k], b[k]) for k in a)
  with pytest.raises(BadInput, match='takes part in step 3'):
    next(loader.host_batches([load_mixture(config)], 4, range(4), 1))


def test_members_of_a_population_have_their_own_rows_in_bulk():
  data = [load_mixture(override(load_config(COMPACT), {
      'worlds.bits.people': 40, 'seed.data': s})) for s in (0, 1)]
  both = next(loader.host_batches(data, 4, range(8), 5, prefetch=0))
  for m, d in enumerate(data):
    alone = next(loader.host_batches([d], 4, range(4), 5, prefetch=0))
    for k, v in alone.items():
      assert np.array_equal(both[k][4 * m:4 * m + 4], v)
  assert not np.array_equal(both['tokens'][:4], both['tokens'][4:])


def test_eval_packing_finds_every_answer(tiny):
  data = load_mixture(tiny())
  world = data.worlds['bios']
  examples = [world.example('bio', i) for i in range(5)] + [
      world.example('qa_test', i) for i in range(9)]
  packed, spans = teacher_forcing.pack(data, examples)
  assert len(spans) == 5 * 6 + 9
  for span in spans:
    piece = dict((a, examples[span.example].pieces[i])
                 for a, i in examples[span.example].answers)[span.attribute]
    target = packed['targets'][span.row, span.start:span.stop]
    assert tuple(target) == data.vocab.encode(piece)
  assert clock(3700) == '1h01m'


def test_packed_row_raises_when_no_example_fits():
  from physics_lm.configs import igsm
  config = override(igsm.get_config('med'), {'data.seq_len': 32})
  with pytest.raises(BadInput, match=r'data\.seq_len=32'):
    mixture.packed_row(load_mixture(config), 0)
