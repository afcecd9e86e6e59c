"""Examples as files: whole, the same anew, resumed, refused."""

import json
import pickle

import numpy as np
import pytest

from physics_lm import text_files, vocab
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.interop import export
from physics_lm.worlds import __main__ as command
from physics_lm.worlds import base

SMALL = ['biographies', '--set', 'people=60', '--set', 'variant=multi2']


@pytest.fixture
def world():
  return base.world_from_flags('biographies', SMALL[2::2], 0)


def test_jsonl_holds_every_example(tmp_path, world, capsys):
  out = tmp_path / 'a.jsonl'
  command.main([*SMALL, f'--jsonl={out}', '--split=bio,qa_test'])
  assert capsys.readouterr().out.splitlines() == [
      f'120 examples of bio in {tmp_path}/a-bio.jsonl',
      f'180 examples of qa_test in {tmp_path}/a-qa_test.jsonl']
  for split in ('bio', 'qa_test'):
    rows = [json.loads(line) for line in
            (tmp_path / f'a-{split}.jsonl').read_text().splitlines()]
    assert [r['text'] for r in rows] == [
        world.example(split, i).text for i in range(world.size(split))]
    assert all(r['prompt'] + r['completion'] == r['text'] for r in rows)
    assert [r['index'] for r in rows] == list(range(len(rows)))
  question = world.example('qa_test', 7)
  assert rows[7]['completion'] == question.pieces[-1]
  assert rows[7]['meta'] == question.meta


@pytest.mark.parametrize('form', ['jsonl', 'arrayrecord'])
def test_shards_are_resumed_and_joined_they_are_the_whole(
    tmp_path, world, form, monkeypatch):
  def go(folder, shards):
    made = export.export_world(world, {'world': 'a'}, form,
                         tmp_path / folder / f'x.{form}', ['bio'], None, shards)
    assert [n for *_, n in made] == [120 // shards] * shards
    return [path for path, *_ in made]

  whole, = go('one', 1)
  many = go('many', 4)
  texts = [t for p in many for t in text_files.read_texts(p)]
  assert texts == list(text_files.read_texts(whole)) and len(texts) == 120
  before = [p.read_bytes() for p in many]
  # Killed while writing the third: only what is missing is made again.
  many[2].rename(tmp_path / 'many/.left.part')
  made = []
  example = type(world).example
  monkeypatch.setattr(type(world), 'example', lambda self, split, i: (
      made.append(i), example(self, split, i))[1])
  assert go('many', 4) == many
  assert made == list(range(60, 90))
  assert [p.read_bytes() for p in many] == before


def test_nanogpt_bin(tmp_path, world):
  kwargs = {'vocab_kind': 'word', 'form': 'nanogpt-bin', 'what': {}}
  export.export_world(world, out=tmp_path / 'a', splits=['bio', 'bio_test'],
                      **kwargs)
  words = vocab.Word(world.pieces())
  for name, split in (('train', 'bio'), ('val', 'bio_test')):
    ids = np.memmap(tmp_path / f'a/{name}.bin', dtype=np.uint16, mode='r')
    texts = [words.decode(part) for part in np.split(
        ids, np.flatnonzero(ids == vocab.EOS) + 1)][:-1]
    assert texts == [world.example(split, i).text
                     for i in range(world.size(split))]
  meta = pickle.loads((tmp_path / 'a/meta.pkl').read_bytes())
  assert meta['vocab_size'] == len(words)
  assert meta['vocab']['sha256'] == words.hash
  assert ''.join(meta['itos'][i] for i in ids[:9].tolist()) == (
      words.decode(ids[:9]))
  # In shards it is the same file; with one split every 50th is held out.
  export.export_world(world, out=tmp_path / 'b', splits=['bio', 'bio_test'],
                shards=3, **kwargs)
  for name in ('train.bin', 'val.bin'):
    assert (tmp_path / 'a' / name).read_bytes() == (
        tmp_path / 'b' / name).read_bytes()
  assert len(list((tmp_path / 'b').iterdir())) == 4
  export.export_world(world, out=tmp_path / 'c', splits=['bio'], **kwargs)
  def count(name):
    return int((np.fromfile(
        tmp_path / 'c' / name, np.uint16) == vocab.EOS).sum())
  assert (count('train.bin'), count('val.bin')) == (118, 2)


def test_another_export_is_not_mixed_in(tmp_path, world):
  out = tmp_path / 'a.jsonl'
  command.main([*SMALL, f'--jsonl={out}'])
  before = out.read_bytes()
  command.main([*SMALL, f'--jsonl={out}'])
  with pytest.raises(SystemExit) as stopped:
    command.main([*SMALL, f'--jsonl={out}', '--seed=1'])
  assert stopped.value.code == 2 and out.read_bytes() == before


@pytest.mark.parametrize('flags,message', [
    (['--count=1000'], '--count is 1000, wanted 1 to 120'),
    (['--shards=0'], '--shards is 0'),
    (['--count=3', '--shards=4'], '--shards is 4, wanted at most'),
    (['--split=bios'], 'nearest: bio'),
    (['--jsonl=x.json'], 'x.json, wanted a name with the suffix .jsonl'),
    (['--set', 'people'], "--set 'people', wanted KEY=VALUE")])
def test_bad_input(tmp_path, capsys, flags, message):
  with pytest.raises(SystemExit) as stopped:
    command.main([*SMALL, f'--jsonl={tmp_path / "a.jsonl"}', *flags])
  assert stopped.value.code == 2
  assert message in capsys.readouterr().err
  assert len(list(tmp_path.glob('*.jsonl'))) == 0


def test_the_name_tells_the_format(tmp_path, capsys):
  with pytest.raises(SystemExit) as stopped:
    command.main([*SMALL, f'--parquet={tmp_path / "a.jsonl"}'])
  assert stopped.value.code == 2 and not list(tmp_path.iterdir())
  assert 'wanted a name with the suffix .parquet' in capsys.readouterr().err


def test_a_split_without_end_wants_a_count(tmp_path):
  config = override(default.biod().lock(), {'people': 50})
  world = base.make_world(config, 0)
  with pytest.raises(BadInput, match='wanted --count'):
    export.export_world(world, {}, 'jsonl', tmp_path / 'a.jsonl', ['bio'])
  export.export_world(world, {}, 'jsonl', tmp_path / 'a.jsonl', ['bio'], 70)
  assert len(list(text_files.read_texts(tmp_path / 'a.jsonl'))) == 70


def text_world(folder, changes=None):
  config = override(default.text().lock(), {
      'files': str(folder / '*.txt'), 'separator': '#', 'held_out': 0.0}
      | (changes or {}))
  return base.make_world(config, 0)


def test_a_stream_is_gone_through_once(tmp_path, monkeypatch):
  """Every 50th document is of one file, the rest of the other."""
  (tmp_path / 'a.txt').write_text('#'.join(f'text {i}' for i in range(300)))
  world, begun = text_world(tmp_path), []
  in_order = type(world).in_order
  monkeypatch.setattr(type(world), 'in_order', lambda self, split: (
      begun.append(split), in_order(self, split))[1])
  export.export_world(world, {}, 'nanogpt-bin', tmp_path / 'out', ['train'],
                      300, vocab_kind='byte')
  assert len(begun) <= 4  # the tokenizer's texts, the size, two files
  assert world.example('train', 7).text == 'text 7'  # back again
  byte = vocab.Byte()
  text = byte.decode(np.fromfile(tmp_path / 'out/val.bin', np.uint16)[:8])
  assert text == 'text 49'


def test_an_export_of_other_texts_is_not_resumed(tmp_path):
  path = tmp_path / 'a.txt'
  path.write_text('one#two#three')
  out = tmp_path / 'out' / 'x.jsonl'
  for _ in range(2):
    export.export_world(text_world(tmp_path), {}, 'jsonl', out, ['train'])
  path.write_text('one#TWO#three')
  with pytest.raises(BadInput, match='holds another export'):
    export.export_world(text_world(tmp_path), {}, 'jsonl', out, ['train'])


@pytest.mark.parametrize('form,texts,message', [
    ('jsonl', ' \n# ', 'train has no examples'),
    ('nanogpt-bin', 'one#two', 'train has 2 examples, wanted at least 50')])
def test_an_export_of_nothing_is_refused(tmp_path, form, texts, message):
  (tmp_path / 'a.txt').write_text(texts)
  out = tmp_path / 'out' / 'x.jsonl'
  with pytest.raises(BadInput, match=message):
    export.export_world(text_world(tmp_path), {}, form, out, ['train'],
                        vocab_kind='byte')
  assert not out.parent.exists()


def test_a_seed_out_of_range_is_refused():
  with pytest.raises(BadInput, match=r'seed\.world is -1, wanted'):
    base.world_from_flags('grammar', [], -1)
