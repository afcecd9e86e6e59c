"""Text of one's own: streamed, split by hash, packed, resumed exactly."""

import gzip
import itertools
import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from physics_lm import (
  cost,
  loader,
  mixture,
  restore,
  run_dir,
  sweep,
  text_files,
  train,
  vocab,
)
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.configs import text as recipe
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.worlds.text import MARKS
from tests.conftest import ROOT, TINY
from tests.streams import batches, log, stopped_once

# Text that this repository ships: its own code, as documents of a paragraph.
OURS = f'{ROOT}/physics_lm/worlds/*.py,{ROOT}/README.md,{ROOT}/LICENSE'
MODEL = {k: v for k, v in TINY.items() if not k.startswith('worlds')}
KEYS = {'worlds.text.separator': '\n\n', 'worlds.text.shuffle': 8,
        'worlds.text.held_out': 0.2, 'runtime.mesh.data': 1,
        'evals.loss.num_rows': 4}


def config_of(changes=None, files=OURS):
  return override(recipe.get_config(files).lock(),
                      MODEL | KEYS | (changes or {}))


def data_of(changes=None, files=OURS):
  return load_mixture(config_of(changes, files))


def take(data, split='train', count=None, shard=0, shards=1, seed=0):
  docs = data.worlds['text'].documents(split, shard, shards, seed)
  return [d.text for d in itertools.islice(docs, count)]


def test_epoch_has_every_document_once_and_splits_are_disjoint():
  data = data_of()
  world = data.worlds['text']
  train_, held = (list(world.in_order(s)) for s in world.splits)
  size = len(train_) + len(held)
  assert 0.12 < len(held) / size < 0.28
  assert not {e.text for e in train_} & {e.text for e in held}
  for split, wanted in (('train', train_), ('held_out', held)):
    epochs = take(data, split, 2 * len(wanted))
    first, second = epochs[:len(wanted)], epochs[len(wanted):]
    assert sorted(first) == sorted(second) == sorted(e.text for e in wanted)
    assert first != second and first != [e.text for e in wanted]
  assert take(data, count=9) == take(data, count=9)
  assert take(data, count=9) != take(data, count=9, seed=1)
  assert world.example('train', 5).text == train_[5].text
  assert world.size('held_out') == len(held)


def test_files_are_read_once_when_several_links_lead_to_them(tmp_path):
  (tmp_path / 'in').mkdir()
  (tmp_path / 'in/a.txt').write_text('a text')
  (tmp_path / 'b.txt').symlink_to(tmp_path / 'in/a.txt')
  files = ','.join(f'{tmp_path}/{p}' for p in (
      'in/*.txt', 'in/../in/a.txt', '*.txt'))
  assert len(data_of(files=files).worlds['text'].files) == 1


def test_documents_without_text_are_skipped(tmp_path):
  path = tmp_path / 'a.jsonl'
  path.write_text('{"text": "one"}\n\n{"text": null}\n{"text": "two"}\n')
  data = data_of({'worlds.text.held_out': 0.0}, str(path))
  assert {*take(data, count=6)} == {'one', 'two'}


def test_shards_partition_the_files():
  data = data_of()
  whole = sorted(e.text for e in data.worlds['text'].in_order('train'))
  parts = []
  for shard in range(3):
    one = data_of(files=','.join(data.worlds['text'].files[shard::3]))
    size = sum(1 for _ in one.worlds['text'].in_order('train'))
    got = take(data, count=size, shard=shard, shards=3)
    assert sorted(got) == sorted(
        e.text for e in one.worlds['text'].in_order('train'))
    parts += got
  assert sorted(parts) == whole


def test_state_restores_the_position_anywhere():
  world = data_of({'worlds.text.fim_rate': 0.5}).worlds['text']
  size = sum(1 for _ in world.in_order('train'))
  stream = world.documents('train', 0, 1, 3)
  states, wanted = [], []
  for _ in range(size + 30):
    states.append(json.loads(json.dumps(stream.get_state())))
    wanted.append(next(stream))
  for at in (0, 1, 7, 8, 9, 40, size - 1, size, size + 5):
    again = world.documents('train', 0, 1, 3)
    again.set_state(states[at])
    assert [next(again) for _ in range(20)] == wanted[at:at + 20]


def test_rows_hold_concatenated_documents():
  data = data_of({'data.seq_len': 64})
  it = loader.stream(data, 0)
  made = [next(it) for _ in range(60)]
  flat = {k: np.concatenate([r[k] for r in made]) for k in (
      'tokens', 'targets', 'weights', 'segments', 'positions')}
  assert (flat['segments'] > 0).all()  # no padding
  assert (flat['weights'] == 1).all()
  texts = take(data, count=80)
  ids = [i for t in texts for i in (vocab.EOS, *data.vocab.encode(t))]
  assert np.array_equal(flat['tokens'], ids[:len(flat['tokens'])])
  assert np.array_equal(flat['targets'][:-1], flat['tokens'][1:])
  assert sum(int(r['entries']) for r in made) == (
      flat['tokens'] == vocab.EOS).sum()
  for r in made:  # a segment is a document or a part of one
    starts = np.flatnonzero(np.diff(r['segments'], prepend=0))
    assert (r['positions'][starts] == 0).all()
    inner = np.flatnonzero(r['tokens'] == vocab.EOS)
    assert set(inner) <= set(starts) and set(starts) - set(inner) <= {0}
  plain = next(loader.stream(data_of({'data.intra_document_mask': False}), 0))
  assert set(plain['segments']) == {1}
  assert np.array_equal(plain['positions'], np.arange(96))


def test_fim_moves_the_middle_to_the_end():
  plain = take(data_of(), count=300)
  data = data_of({'worlds.text.fim_rate': 0.5, 'worlds.text.fim_spm': 0.25})
  assert len(data.vocab) == 258 + 3
  docs = list(itertools.islice(
      data.worlds['text'].documents('train', 0, 1, 0), 300))
  moved = [(d, t) for d, t in zip(docs, plain) if len(d.pieces) > 1]
  assert 0.4 < len(moved) / 300 < 0.6
  spm = [d for d, _ in moved if d.pieces[:2] == (MARKS[0], MARKS[1])]
  assert 0.13 < len(spm) / len(moved) < 0.37
  # Both cuts fall anywhere: the middle is a third of the text on average.
  middles = [len(d.pieces[5]) / len(t) for d, t in moved]
  assert 0.27 < np.mean(middles) < 0.4 and np.std(middles) > 0.15
  for d, text in moved:
    p = d.pieces
    if p[:2] == MARKS[:2]:
      assert p[3] == MARKS[2] and p[4] + p[5] + p[2] == text
    else:
      assert (p[0], p[2], p[4]) == MARKS and p[1] + p[5] + p[3] == text
    ids, _ = mixture.encode(data, d)
    assert sum(i >= 258 for i in ids) == 3  # each mark is one token
    assert data.vocab.decode(ids[1:]) == d.text
    ids, weights = mixture.encode(data, d, 'answers')
    middle = len(p[5].encode())
    assert sum(weights) == (middle + 1 if middle else 0)
  for d, text in zip(docs, plain):
    assert len(d.pieces) > 1 or d.text == text


def test_tag_and_loss_work_as_for_any_task():
  data = data_of({'data.tasks.text.tag': 'example.org '})
  row = next(loader.stream(data, 0))
  begins = np.flatnonzero(row['tokens'] == vocab.EOS)
  assert len(begins) and all(data.vocab.decode(row['tokens'][b + 1:b + 13])
                             == 'example.org ' for b in begins[:-1])


def mixed(changes=None):
  c = config_of(changes)
  with c.unlocked():
    c.worlds.bios = default.biographies()
    c.worlds.bios.people = 12
    c.data.tasks.bio = default.task('bios', 'bio', 1.0)
    c.data.seq_len = 400
  return c


def equal(a, b):
  return all(np.array_equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize('shards', [1, 4])
def test_stream_is_independent_of_hosts_and_resumes_exactly(shards):
  data = load_mixture(mixed({'data.shards': shards}))
  whole, _ = batches(data, 1, 6)
  assert {int(t) for b in whole for t in b['task']} == {0, 1}
  for hosts in (1, 2, 4):
    got, place = batches(data, hosts, 3)
    assert all(equal(a, b) for a, b in zip(whole, got))
    assert len(place) == shards
    for others in (1, 4):  # goes on with another number of hosts
      later, _ = batches(data, others, 3, 3, place)
      assert all(equal(a, b) for a, b in zip(whole[3:], later))
  # Rows of worlds with an index are what they are without a stream beside.
  bio = data.tasks.index(next(t for t in data.tasks if t.name == 'bio'))
  at = next(i for i in range(8) if whole[0]['task'][i] == bio)
  assert np.array_equal(whole[0]['tokens'][at],
                        mixture.packed_row(data, at)['tokens'])


def test_training_learns_and_resumes_bitwise(tmp_path, monkeypatch):
  config = config_of({'steps': 30, 'log.every': 10, 'checkpoint.every': 10,
                      'model.depth': 1,
                      'worlds.text.fim_rate': 0.3})
  train.run(config, tmp_path / 'whole')
  written = run_dir.read_rows(tmp_path / 'whole/metrics.jsonl')
  losses = [r['loss'] for r in written if r['kind'] == 'train']
  assert losses[-1] < losses[0] - 0.3
  last, evals = run_dir.results(tmp_path / 'whole')
  assert 0 < evals['loss'][0]['value'] < 6
  assert evals['loss'][0]['task'] == 'text'
  assert last['entries/text'] > 0
  assert 'exposures/text' not in last
  stopped_once(config, tmp_path / 'stopped', 17, monkeypatch)
  assert log(tmp_path / 'whole') == log(tmp_path / 'stopped')


def test_formats_all_give_the_same_stream(tmp_path):
  texts = [f'document {i}\nof two lines' for i in range(40)]
  (tmp_path / 'a.txt').write_text('####'.join(texts))
  with gzip.open(tmp_path / 'a.jsonl.gz', 'wt') as f:
    f.writelines(json.dumps({'text': t}) + '\n' for t in texts)
  text_files.write_texts(tmp_path / 'a.arrayrecord',
                         ({'text': t} for t in texts))
  streams = [take(data_of({'worlds.text.separator': '####'},
                          str(tmp_path / f'a.{end}')), count=50)
             for end in ('txt', 'jsonl.gz', 'arrayrecord')]
  assert streams[0] == streams[1] == streams[2]


def test_resume_refuses_changed_files(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_text('some\n\nwords\n\nhere')
  files = str(tmp_path / '*.txt')
  state = data_of(files=files).worlds['text'].documents('train').get_state()
  path.write_text('other\n\nwords\n\nhere too')
  mixture._load.cache_clear()
  mixture._world.cache_clear()
  with pytest.raises(BadInput, match='not those that it began with'):
    data_of(files=files).worlds['text'].documents('train').set_state(state)


@pytest.mark.parametrize('changes,message', [
    ({'worlds.text.files': '/nowhere/*.txt'}, 'no file matches'),
    ({'worlds.text.held_out': 1.5}, 'held_out is 1.5'),
    ({'worlds.text.held_out': 1.0}, "no document of split 'train'"),
    ({'worlds.text.shuffle': 0}, 'shuffle is 0'),
    ({'worlds.text.fim_rate': -0.1}, 'fim_rate is -0.1'),
    ({'data.tasks.text.split': 'test'}, 'known: train, held_out'),
    ({'data.vocab': 'word'}, 'closed, and the words of world .text.'),
    ({'data.shards': 1000}, 'at most the number of files|wanted 1 to'),
    ({'data.shards': 0}, 'data.shards is 0'),
    ({'data.source': 'seqio'}, "wanted 'worlds' or 'seqio:NAME'"),
    ({'runtime.workers': 2}, 'runtime.workers is 2'),
    ({'worlds.text.files': f'{ROOT}/experiments/**/*.png'}, 'no UTF-8 text')])
def test_world_refuses_bad_input(tmp_path, changes, message):
  with pytest.raises(BadInput, match=message):
    train.run(config_of(changes), tmp_path / 'run')


def test_judged_is_train_when_no_document_is_held_out(tmp_path, capsys):
  (tmp_path / 'a.txt').write_text('a single document, told again and again')
  data = data_of({'worlds.text.held_out': 1e-9, 'data.seq_len': 32,
                  'worlds.text.separator': ''}, str(tmp_path / 'a.txt'))
  for _ in range(2):
    assert len(loader.heldout_rows(data, 0, 3)) == 3
  assert capsys.readouterr().out.count('no document is held out') == 1


@pytest.mark.parametrize('separator', ['####', '\\n\\n'])
def test_separator_that_never_occurs_is_refused(tmp_path, separator):
  (tmp_path / 'a.txt').write_text('one\n\ntwo')
  data = data_of({'worlds.text.separator': separator}, str(tmp_path / '*.txt'))
  with pytest.raises(BadInput, match=r'separator .* in none of the 1 files'):
    take(data, count=1)


def test_other_texts_of_one_name_are_another_computation(tmp_path):
  path, folder = tmp_path / 'a.txt', tmp_path / 'run'
  path.write_text('some\n\nwords')
  config = config_of(files=str(path))
  run_dir.write_json(folder / 'config.json',
                     run_dir.canonical_config(config, folder))
  (folder / 'done').touch()
  run = sweep.Run('configs/text.py', {'worlds.text.files': str(path)}, {})
  assert train.finished(train.Job(config, folder))
  before, restored = run.id, restore.run_config(folder)
  path.write_text('same\n\nwords')
  with pytest.raises(BadInput, match=r'another .*: worlds.text.content'):
    train.finished(train.Job(config, folder))
  with pytest.raises(BadInput, match='texts are not those of this run'):
    load_mixture(restored)
  assert before != sweep.Run(run.config_file, run.overrides, {}).id


def test_states_of_two_processes_are_merged():
  with socket.socket() as s:
    s.bind(('localhost', 0))
    port = s.getsockname()[1]
  code = f'''
import json, sys
import jax
me = int(sys.argv[1])
jax.distributed.initialize('localhost:{port}', num_processes=2, process_id=me)
from physics_lm import distributed
mine = {{f'text/{{me}}': {{'n': [7] * (1 + 90 * me)}}}}
both = [distributed.allgather_json(x) for x in (mine, {{}})]
print(json.dumps(both))
'''
  both = [subprocess.Popen(
      [sys.executable, '-c', code, str(i)], cwd=ROOT, text=True,
      stdout=subprocess.PIPE) for i in range(2)]
  for process in both:
    out = process.communicate(timeout=250)[0]
    assert json.loads(out.splitlines()[-1]) == [
        {'text/0': {'n': [7]}, 'text/1': {'n': [7] * 91}}, {}]


def test_listing_makes_no_rows():
  run = sweep.Run('configs/text.py', {'worlds.text.files': OURS}, {'a': 1})
  assert cost.run_cost(run, 'cpu')['exposures'] == {}
