"""Exported files, opened by the readers that they are for."""

import json
import os
import pickle

import numpy as np
import pytest

from physics_lm import text_files
from physics_lm.errors import BadInput
from physics_lm.interop import export
from physics_lm.worlds import base

pytestmark = pytest.mark.interop


@pytest.fixture
def world():
  return base.world_from_flags('biographies',
                               ['people=60', 'variant=multi2'], 0)


def write(world, tmp_path, form, name, **kwargs):
  return [str(p) for p, *_ in export.export_world(
      world, {}, form, tmp_path / name, ['qa_train'], **kwargs)]


@pytest.mark.parametrize('form', ['parquet', 'jsonl'])
def test_datasets_reads_what_we_write(tmp_path, world, form):
  os.environ['HF_HUB_OFFLINE'] = '1'
  import datasets
  files = write(world, tmp_path, form, f'a.{form}', shards=3)
  got = datasets.load_dataset({'jsonl': 'json'}.get(form, form),
                              data_files=files, split='train',
                              cache_dir=str(tmp_path / 'cache'))
  assert len(got) == world.size('qa_train')
  for i in (0, 71, 100, 179):
    example = world.example('qa_train', i)
    assert got[i]['text'] == example.text and got[i]['index'] == i
    assert got[i]['completion'] == example.pieces[-1]
    assert (got[i]['meta'] if form == 'jsonl' else json.loads(got[i]['meta'])
            ) == example.meta


def test_pyarrow_and_the_same_bytes(tmp_path, world):
  import pyarrow
  from pyarrow import parquet
  a, = write(world, tmp_path, 'parquet', 'a.parquet')
  b, = write(world, tmp_path, 'parquet', 'b.parquet')
  assert open(a, 'rb').read() == open(b, 'rb').read()
  # Read back by ours from any place, across row groups and batches.
  texts = [f'text {i}' for i in range(2500)]
  path = tmp_path / 'groups.parquet'
  parquet.write_table(pyarrow.table({'text': texts}), path,
                      row_group_size=1100)
  for start in (0, 1, 1023, 1024, 1025, 1100, 2200, 2499, 2500):
    assert list(text_files.read_texts(path, start=start)) == texts[start:]
  with pytest.raises(BadInput, match="has columns text, wanted 'body'"):
    list(text_files.read_texts(path, field='body'))
  parquet.write_table(pyarrow.table({'text': ['a', None, 'b']}), path)
  assert list(text_files.read_texts(path, start=1)) == ['', 'b']
  parquet.write_table(pyarrow.table({'text': [7]}), path)
  with pytest.raises(BadInput, match='row 0: found 7, wanted text'):
    list(text_files.read_texts(path))
  path.write_text('nonsense')
  with pytest.raises(BadInput, match='no Parquet file'):
    list(text_files.read_texts(path))
  table = parquet.read_table(a)
  assert table.column_names == [
      'index', 'split', 'text', 'prompt', 'completion', 'answers', 'meta']
  assert table['text'][5].as_py() == world.example('qa_train', 5).text


def test_arrayrecord_as_maxtext_reads_it(tmp_path, world):
  """A random-access source whose records are tf.train.Example, each column a
  bytes feature of one value."""
  import grain
  from tensorflow.core.example import example_pb2
  files = write(world, tmp_path, 'arrayrecord', 'a.arrayrecord', shards=3)
  source = grain.sources.ArrayRecordDataSource(files)
  assert len(source) == world.size('qa_train')
  for i in (0, 61, 179):
    parsed = example_pb2.Example.FromString(source[i]).features.feature
    example = world.example('qa_train', i)
    assert [v.decode() for v in parsed['text'].bytes_list.value] == [
        example.text]
    assert (parsed['completion'].bytes_list.value[0].decode()
            == example.pieces[-1])
    assert list(parsed['index'].int64_list.value) == [i]
  import tensorflow as tf
  text = tf.io.parse_example(source[3], {'text': tf.io.FixedLenSequenceFeature(
      [], tf.string, allow_missing=True)})['text'].numpy()[0].decode()
  assert text == world.example('qa_train', 3).text


def test_nanogpt_bin_in_gpt2s_ids(tmp_path, world):
  files = write(world, tmp_path, 'nanogpt-bin', 'data', vocab_kind='gpt2')
  ids = np.memmap(files[0], dtype=np.uint16, mode='r')
  from physics_lm import vocab
  v = vocab.gpt2()
  ours = {t: i for i, t in enumerate(v.theirs)}
  first = ids[:int(np.flatnonzero(ids == 50256)[0])]
  assert v.decode([ours[i] for i in first.tolist()]) == (
      world.example('qa_train', 0).text)
  # nanoGPT takes GPT-2's sizes when there is no meta.pkl.
  assert sorted(os.listdir(tmp_path / 'data')) == [
      '.export.json', 'train.bin', 'val.bin']


def test_nanogpt_bin_of_a_tokenizer_by_path(tmp_path, world):
  """meta.pkl speaks of the numbers that stand in the files."""
  from physics_lm import vocab
  path = tmp_path / 'tok.json'
  vocab.train_bpe(['some words and some more'] * 9, 300).save(str(path))
  (tmp_path / 'tokenizer_config.json').write_text(
      json.dumps({'eos_token': '<pad>', 'pad_token': 'ÿ'}))
  files = write(world, tmp_path, 'nanogpt-bin', 'data', vocab_kind=str(path))
  ids = np.memmap(files[0], dtype=np.uint16, mode='r').tolist()
  meta = pickle.loads((tmp_path / 'data/meta.pkl').read_bytes())
  theirs = vocab.make_vocab(str(path), ()).source
  assert meta['vocab_size'] == theirs.get_vocab_size() > max(ids)
  first = ids[:ids.index(theirs.token_to_id('<pad>'))]
  assert len(first) > 9 and ''.join(meta['itos'][i] for i in first) == (
      world.example('qa_train', 0).text)
