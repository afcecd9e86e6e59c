"""Files of texts: read as streams from any place, written the same anew."""

import gzip
import json

import pytest

from physics_lm import text_files
from physics_lm.errors import BadInput

TEXTS = ['one', 'two\nlines', 'é漢🙂', ' fourth ', 'x' * 5000]


def test_jsonl_round_trips_plain_and_zipped(tmp_path):
  for name in ('a.jsonl', 'a.jsonl.gz'):
    path = tmp_path / name
    text_files.write_texts(path, ({'text': t, 'index': i}
                         for i, t in enumerate(TEXTS)))
    for start in range(6):
      assert list(text_files.read_texts(path, start=start)) == TEXTS[start:]
    first = path.read_bytes()
    text_files.write_texts(path, ({'text': t, 'index': i}
                         for i, t in enumerate(TEXTS)))
    assert path.read_bytes() == first
  lines = gzip.open(tmp_path / 'a.jsonl.gz', 'rt').read().splitlines()
  assert json.loads(lines[2]) == {'text': 'é漢🙂', 'index': 2}
  assert not list(tmp_path.glob('.*'))


def test_jsonl_blank_lines_and_nulls_are_empty_texts(tmp_path):
  """Which no split holds; the others keep their places."""
  path = tmp_path / 'a.jsonl'
  path.write_text('{"text": "one"}\n\n{"text": null}\n{"text": "two"}\n\n')
  found = ['one', '', '', 'two', '']
  for start in range(6):
    assert list(text_files.read_texts(path, start=start)) == found[start:]


def test_text_files_are_split_by_separator_and_size(tmp_path, monkeypatch):
  path = tmp_path / 'a.txt'
  path.write_text('one--two\r\n--three', newline='')
  assert list(text_files.read_texts(path)) == ['one--two\n--three']
  assert list(text_files.read_texts(path, separator='--')) == [
      'one', 'two\n', 'three']
  assert list(text_files.read_texts(path, separator='--', start=2)) == ['three']
  # A long text is streamed in parts, cut at line ends, and none is lost.
  monkeypatch.setattr(text_files, 'CHUNK', 100)
  long = '\n'.join(f'line {i}' for i in range(200))
  path.write_text(long)
  for separator in ('', '#'):
    parts = list(text_files.read_texts(path, separator=separator))
    assert ''.join(parts) == long and len(parts) > 9
    assert all(p.endswith('\n') and len(p) <= 200 for p in parts[:-1])
  # A separator that falls across two blocks is found.
  path.write_text('a' * 98 + '=====' + 'b' * 30)
  assert list(text_files.read_texts(path, separator='=====')) == [
      'a' * 98, 'b' * 30]


def test_arrayrecord_round_trips_examples(tmp_path):
  path = tmp_path / 'a.arrayrecord'
  rows = [{'text': t, 'index': i, 'ids': [i, 300, -1]}
          for i, t in enumerate(TEXTS)]
  text_files.write_texts(path, rows)
  for start in range(6):
    assert list(text_files.read_texts(path, start=start)) == TEXTS[start:]
  first = path.read_bytes()
  text_files.write_texts(path, rows)
  assert path.read_bytes() == first
  got = text_files.parse_example(text_files.encode_example(rows[2]))
  assert got == {'ids': [2, 300, -1], 'index': [2], 'text': ['é漢🙂'.encode()]}
  with pytest.raises(BadInput, match="features ids, index, text, wanted"):
    list(text_files.read_texts(path, field='body'))
  from array_record.python import array_record_module
  writer = array_record_module.ArrayRecordWriter(str(path), 'group_size:1')
  for text in ('plain words', '{"text": "of json"}'):
    writer.write(text.encode())
  writer.close()
  assert list(text_files.read_texts(path)) == ['plain words', 'of json']
  writer = array_record_module.ArrayRecordWriter(str(path), 'group_size:1')
  writer.write(b'{"text": 5}')
  writer.close()
  with pytest.raises(BadInput, match="record 0: found 5, wanted text"):
    list(text_files.read_texts(path))


def test_readers_refuse_bad_files(tmp_path):
  cases = {
      'a.txt': (b'\xff\xfe\x00', 'no UTF-8 text'),
      'a.jsonl': (b'{"text": "a"}\nnonsense\n', 'line 2: found .nonsense'),
      'b.jsonl': (b'{"body": "a"}\n', "wanted a JSON object with 'text'"),
      'c.jsonl': (b'3\n', 'wanted a JSON object'),
      'd.jsonl': (b'{"text": "a"}\n\n{"text": 5}\n', "line 3: found .*5"),
      'e.jsonl': (b'{"text": ["a"]}\n', 'line 1: found'),
      'f.jsonl': (b'{"text": "a"}\n{"text": "bad \\ud83d half"}\n',
                  "line 2: found a lone surrogate, .* at character 5"),
      'g.jsonl': (b'[' * 100_000 + b'\n', 'line 1: found'),
      'h.jsonl': (b'{"text": ' + b'1' * 5000 + b'}\n', 'line 1: found'),
      'b.jsonl.gz': (gzip.compress(b'"a"')[:10] + b'\xff' * 20,
                     'cannot be read'),
      'a.json': (b'[{"text": "a"}]', r'suffix .json; wanted .jsonl'),
      'a.csv.gz': (b'', r'suffix .csv; wanted'),
      'a.jsonl.gz': (b'not zipped', 'cannot be read'),
      'a.arrayrecord': (b'nonsense' * 99, 'no ArrayRecord file')}
  for name, (raw, message) in cases.items():
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(BadInput, match=message):
      list(text_files.read_texts(tmp_path / name))
  with pytest.raises(BadInput, match='cannot be read'):
    list(text_files.read_texts(tmp_path / 'nowhere.txt'))


def test_write_texts_leaves_nothing_when_it_fails(tmp_path):
  def broken():
    yield {'text': 'a'}
    raise error('stop')

  for error in (RuntimeError, KeyboardInterrupt):
    with pytest.raises(error):
      text_files.write_texts(tmp_path / 'a.jsonl', broken())
    assert not list(tmp_path.iterdir())


def test_text_reader_drops_byte_order_marks_and_carriage_returns(
    tmp_path, monkeypatch):
  monkeypatch.setattr(text_files, 'CHUNK', 5)  # cuts between '\r' and '\n'
  cases = {
      'a.txt': (b'\xef\xbb\xbfone\r\n\r\ntwo\r\n\r\nthree',
                ['one', 'two', 'three']),
      'b.txt': (b'four\r\n\r\nfive\r', ['four', 'five\r']),
      'a.jsonl': (b'\xef\xbb\xbf{"text": "a\\r\\nb"}\r\n', ['a\r\nb'])}
  for name, (raw, texts) in cases.items():
    for path in (tmp_path / name, tmp_path / f'{name}.gz'):
      path.write_bytes(gzip.compress(raw) if path.suffix == '.gz' else raw)
      for separator in ('\n\n', '\r\n\r\n'):
        assert list(text_files.read_texts(path, 'text', separator)) == texts
        assert text_files.has_separator(path, separator)
  (tmp_path / 'c.txt').write_text('one====two')  # it falls across two blocks
  assert text_files.has_separator(tmp_path / 'c.txt', '====')
  assert not text_files.has_separator(tmp_path / 'c.txt', '=====')
