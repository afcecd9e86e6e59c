"""The reader of tables of runs, and expressions that choose rows."""

import gzip
import json

import numpy as np
import pytest

from physics_lm.errors import BadInput
from physics_lm.scaling import tables

ROWS = [{'N': 1e7, 'D': 1e9, 'loss': 4.0, 'world': 'a'},
        {'N': 3e7, 'D': 2e9, 'loss': 3.8, 'world': 'b'}]
CSV = 'N,D,loss,world\n1e7,1e9,4.0,a\n3e7,2e9,3.8,b\n'


def read(tmp_path, content, name='table.csv'):
  path = tmp_path / name
  path.write_bytes(content if isinstance(content, bytes)
                   else content.encode('utf-8'))
  return tables.read_table(path)


@pytest.mark.parametrize('content', [
    CSV, '\ufeff' + CSV, CSV.replace('\n', '\r\n'), CSV.replace('\n', '\r'),
    CSV.replace(',', ', '), CSV.replace(',', '\t'), CSV.replace(',', ';'),
    CSV.replace(',', ' , ') + '\n\n', '\n' + CSV, CSV.replace('a', '"a"'),
    ',N,D,loss,world\n0,1e7,1e9,4.0,a\n1,3e7,2e9,3.8,b\n',
    '\n'.join(map(json.dumps, ROWS)), json.dumps(ROWS),
    json.dumps(ROWS, indent=1), '\ufeff' + json.dumps(ROWS),
    json.dumps([{f' {k} ': v for k, v in r.items()} for r in ROWS]),
    json.dumps({k: [r[k] for r in ROWS] for k in ROWS[0]}),
    gzip.compress(CSV.encode(), mtime=0),
    gzip.compress('\n'.join(map(json.dumps, ROWS)).encode(), mtime=0)])
@pytest.mark.parametrize('name', ['table.csv', 'table.txt', 'table'])
def test_reader_goes_by_content_not_by_ending(tmp_path, content, name):
  t = read(tmp_path, content, name)
  assert t.names == ['N', 'D', 'loss', 'world']
  assert t.numbers('N', 0, strict=True).tolist() == [1e7, 3e7]
  assert t.numbers('D').tolist() == [1e9, 2e9]
  assert t.numbers('loss').tolist() == [4.0, 3.8]
  assert t.labels('world').tolist() == ['a', 'b']


@pytest.mark.parametrize('content,message', [
    (b'', 'is empty'), (b' \n\n', 'is empty'), (b'N,D\n', 'no rows'),
    ('N,D,N\n1,2,3\n', "column 'N' more than once"),
    ('N, N\n1,2\n', "column 'N' more than once"),
    ('N,D\n1,2\n3\n', '1 fields in line 3, wanted 2'),
    ('N,D\n1,2\n3,4,5\n', '3 fields in line 3, wanted 2'),
    ('N,D\n18,000,000,5\n', 'thousands separators'),
    ('1e7,1e9\n3e7,1e9\n', 'begins with numbers'),
    ('N,D\n"1,2\n', 'no CSV in line 2'), (b'N,D\n\xff,2\n', 'not UTF-8'),
    (b'N,D\n1\0,2\n', 'zero byte'), (CSV.encode('utf-16'), 'is UTF-16'),
    (b'PK\x03\x04xxxx', 'a zip file'), (b'PAR1xxxx', 'Parquet'),
    (gzip.compress(CSV.encode(), mtime=0)[:-9], 'not a complete gzip file'),
    ('{"N": 1}\n{"N": 2\n', 'line 2'), ('{"N": 1}\n[2]\n', 'line 2'),
    ('{"N": 1, "N": 2}', 'a key is there twice'),
    ('[1, 2]', 'array of objects'),
    ('[{"N": 1, " N": 2}]', 'differ by blanks'), ('[]', 'no rows'),
    ('{"N": [1, 2], "D": [1]}', 'columns of [1, 2] rows'),
    ('[{"N": 1}', 'no JSON array'), ('[' * 9000, 'nested too deeply'),
    ('{"t": "\\ud83d"}', 'a lone surrogate'),
    ('{"N": ' + '9' * 5000 + '}', 'integer string conversion')])
def test_reader_refuses_what_is_nearly_a_table(tmp_path, content, message):
  with pytest.raises(BadInput) as e:
    read(tmp_path, content)
  assert message in str(e.value) and '\n' not in str(e.value)


@pytest.mark.parametrize('cell,hint', [
    ('"18,000,000"', 'thousands'), ('18_000', 'thousands'),
    ('18 000', 'thousands'), ("18'000", 'thousands'), ('"3,5"', 'decimal'),
    ('18M', '18M'), ('nan', 'nan'), ('inf', 'inf'), ('', 'an empty cell'),
    ('-1', '-1'), ('0', "'0'"), ('0x10', '0x10'), ('\u0661', 'row 2'),
    ('1e999', '1e999'), ('True', 'True')])
def test_numbers_are_plain_decimals_and_the_row_is_named(tmp_path, cell, hint):
  t = read(tmp_path, f'N,D\n1e7,1\n{cell},2\n')
  with pytest.raises(BadInput) as e:
    t.numbers('N', 0, strict=True)
  assert hint in str(e.value) and 'in row 2 of 2' in str(e.value)


@pytest.mark.parametrize('value', [True, None, [1], {'a': 1}, 'x', 10**400])
def test_json_cells_that_are_no_numbers_are_refused(tmp_path, value):
  t = read(tmp_path, json.dumps([{'N': 1}, {'N': value}]))
  with pytest.raises(BadInput, match='in row 2 of 2'):
    t.numbers('N')


@pytest.mark.parametrize('expression,kept', [
    ('world == "a"', 1), ("world != 'a'", 2), ('N < 2e7', 1), ('N <= 3e7', 3),
    ('N > 1e7 and not world == "b"', 1), ('world in ("a", "b")', 2),
    ('world not in ["a"]', 2), ('`train/loss` < 3', 2), ('D / N > 50', 2),
    ('optim.rate == 0.1', 1), ('1e6 < N < 2e7', 1), ('run == "007"', 1),
    ('N == 1e7 or N == 3e7', 3), ('-N < -2e7', 2), ('empty == 1', 1),
    ('empty < 5', 1), ('D ** 2 / 0 > 1', 0)])
def test_where_keeps_the_rows_for_which_it_holds(tmp_path, expression, kept):
  t = read(tmp_path, json.dumps([
      {'N': 1e7, 'D': 1e9, 'world': 'a', 'train/loss': 3.5, 'optim.rate': 0.1,
       'run': '007'},
      {'N': 3e7, 'D': 1e9, 'world': 'b', 'train/loss': 2.5, 'optim.rate': 0.2,
       'run': '008', 'empty': 1},
      {'N': 3e7, 'D': 2e9, 'world': 'c', 'train/loss': 2.0, 'optim.rate': 0.2,
       'run': 'x'}]))
  if kept:
    assert len(t.where(expression).rows) == kept
  else:
    with pytest.raises(BadInput, match='holds for none of the 3 rows'):
      t.where(expression)


@pytest.mark.parametrize('expression,message', [
    ('wrld == "a"', 'nearest: world'), ('world = "a"', 'wanted a comparison'),
    ('N', 'where a comparison is wanted'), ('world < 3', 'wanted a number'),
    ('__import__("os").system("x")', 'no column'),
    ('N in world', 'wants a list'),
    ('N is 3', 'wanted == !='), ('(lambda: 1)()', 'cannot read'),
    ('f"{N}" == 1', 'cannot read'), ('', 'wanted a comparison'),
    ('N == 1e7 if N else N', 'cannot read'), ('N < 1e7; N', 'comparison')])
def test_where_refuses_what_is_no_condition(tmp_path, expression, message):
  with pytest.raises(BadInput) as e:
    read(tmp_path, CSV).where(expression)
  assert message in str(e.value) and '\n' not in str(e.value)


def test_labels_are_text_as_written(tmp_path):
  t = read(tmp_path, 'run,N\n007,1\n7,2\n')
  assert t.labels('run').tolist() == ['007', '7']
  t = read(tmp_path, json.dumps([{'run': 7.0}, {'run': 12345678901234567}]))
  assert t.labels('run').tolist() == ['7', '12345678901234567']
  with pytest.raises(BadInput, match='no label in row 2'):
    read(tmp_path, 'run,N\na,1\n,2\n').labels('run')
  assert t.labels('run').dtype.kind == 'U' and np.unique(t.labels('run')).size


@pytest.mark.parametrize('value', ['1e300', '1e-300'])
def test_sizes_whose_products_overflow_are_refused(tmp_path, value):
  t = read(tmp_path, f'N\n1\n{value}\n')
  with pytest.raises(BadInput, match='in row 2, wanted between 1e-40 and'):
    t.numbers('N', 0, strict=True)
  assert len(t.numbers('N')) == 2
