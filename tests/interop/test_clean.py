"""Cleaning beside a library for near duplicates, and of Parquet files."""

import datetime
import json

import datasketch
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from physics_lm import text_files
from physics_lm.clean import __main__ as command
from physics_lm.clean import minhash

pytestmark = pytest.mark.interop
BANDS, ROWS = 20, 5


def texts(count=300):
  """Random texts of 80 words, and one in two a copy of the text before with a
  share of the words changed."""
  rng, out, last = np.random.default_rng(0), [], None
  for i in range(count):
    words = rng.integers(0, 1000, 80)
    if i % 2:
      kept = rng.random(80) > rng.choice([0.0, 0.02, 0.05, 0.1])
      words = np.where(kept, last, words)
    last = words
    out.append(' '.join(f'w{w}' for w in words))
  return out


def test_near_duplicates_are_those_of_datasketch():
  """Estimates of the Jaccard index have the library's error, and its LSH,
  verified, finds the same pairs, but for those that one or both overlook."""
  pages = texts()
  sets = [minhash.shingles(t, 3) for t in pages]
  ours = np.array([minhash.min_hashes(s, BANDS * ROWS) for s in sets])
  lsh = datasketch.MinHashLSH(params=(BANDS, ROWS), num_perm=BANDS * ROWS)
  theirs = []
  for i, s in enumerate(sets):
    m = datasketch.MinHash(num_perm=BANDS * ROWS)
    m.update_batch([int(x).to_bytes(8, 'big') for x in s])
    theirs.append(m)
    lsh.insert(str(i), m)
  pairs = [(i, i - 1) for i in range(1, len(pages), 2)]
  exact = np.array([minhash.jaccard_index(sets[a], sets[b]) for a, b in pairs])
  mine = np.array([(ours[a] == ours[b]).mean() for a, b in pairs])
  library = np.array([theirs[a].jaccard(theirs[b]) for a, b in pairs])
  assert np.sqrt(np.mean((mine - exact)**2)) < 1.3 * np.sqrt(
      np.mean((library - exact)**2))
  found = {a: b for a, b, _ in minhash.near_duplicates(
      minhash.band_keys(ours, BANDS), np.ones(len(pages), bool),
      sets.__getitem__, 0.7)}
  wanted = {}
  for i in range(len(pages)):
    for other in sorted(int(k) for k in lsh.query(theirs[i])):
      if other < i and minhash.jaccard_index(sets[i], sets[other]) >= 0.7:
        wanted.setdefault(i, other)
  assert len(wanted) > 60
  # P(0.7) is 0.98, P(0.8) 0.9996: at most a few pairs are found by one alone.
  assert len(found.items() ^ wanted.items()) <= 0.05 * len(wanted)


@pytest.mark.parametrize('spoil', [
    lambda p: p.write_text('no table'), lambda p: p.write_bytes(
        p.read_bytes()[:-6]), lambda p: pyarrow.parquet.write_table(
            pyarrow.table({'body': ['a']}), p)],
    ids=['other bytes', 'truncated', 'no column of text'])
def test_bad_parquet_ends_in_one_line(tmp_path, capsys, spoil):
  path = tmp_path / 'a.parquet'
  pyarrow.parquet.write_table(pyarrow.table({'text': ['a page']}), path)
  spoil(path)
  with pytest.raises(SystemExit) as e:
    command.main([str(path), f'--out={tmp_path}/out'])
  assert e.value.code == 2
  err = capsys.readouterr().err
  assert err.count('\n') == 1 and 'a.parquet' in err
  assert not (tmp_path / 'out').exists()


def test_parquet_is_cleaned_with_its_other_columns(tmp_path):
  table = pyarrow.table({
      'text': ['same text', 'same text', None], 'id': [1, 2, 3],
      'date': [datetime.date(2024, 5, d) for d in (1, 2, 3)]})
  pyarrow.parquet.write_table(table, tmp_path / 'a.parquet')
  command.main([str(tmp_path / 'a.parquet'), f'--out={tmp_path}/out',
                '--only=exact'])
  assert [json.loads(line) for line in (
      tmp_path / 'out/a.parquet.jsonl').open()] == [{
          'text': 'same text', 'id': 1, 'date': '2024-05-01',
          'origin': 'a.parquet:0'}]
  assert list(text_files.read_texts(tmp_path / 'a.parquet')) == [
      'same text', 'same text', '']
