"""Files of texts: reading as a stream, writing atomically. No JAX.

The suffix determines the format: .jsonl, .parquet, .arrayrecord (or
.array_record); any other file is UTF-8 text. `.gz` may follow. Suffixes of
tables, archives and other containers are refused.

A byte order mark at the start of a file is no part of its first text. In text
files a line ends in '\\n': '\\r\\n' is read as that. Bytes that are not UTF-8
and JSON strings with a lone surrogate are no text, and are refused.
"""

import contextlib
import functools
import gzip
import itertools
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from physics_lm.errors import BadInput, need

CHUNK = 1 << 20  # characters; longer text files are several documents
# Suffixes of files that hold texts, but are none.
CONTAINERS = ('json', 'csv', 'tsv', 'zip', 'tar', 'tgz', 'zst', 'xz', 'bz2',
              'lz4', '7z', 'npy', 'npz', 'pkl', 'h5', 'arrow', 'feather', 'orc',
              'avro', 'tfrecord', 'pdf', 'docx')


def format_of(path: str | Path) -> str:
  """A file's format: 'jsonl', 'parquet', 'arrayrecord' or 'text'."""
  name = Path(path).name.lower().removesuffix('.gz')
  suffix = name.rpartition('.')[2].replace('_', '')
  return suffix if suffix in ('jsonl', 'parquet', 'arrayrecord') else 'text'


def check_format(path: str | Path) -> None:
  """Raises BadInput for the suffix of a container that is not read."""
  suffix = Path(path).name.lower().removesuffix('.gz').rpartition('.')[2]
  if suffix in CONTAINERS:
    raise BadInput(f'{path} has the suffix .{suffix}; wanted .jsonl, .parquet, '
                   '.arrayrecord, each also with .gz, or a file of text')


def read_texts(path: str | Path, field: str = 'text', separator: str = '',
               start: int = 0) -> Iterator[str]:
  """The texts of a file from index `start` on, one at a time.

  Args:
    path: the file; its suffix is its format.
    field: of a JSON line, a Parquet column or a tf.train.Example. A null or a
      blank line is an empty text.
    separator: between the texts of a text file; '': the file is one text.
    start: index of the first text.

  Raises:
    BadInput: the file cannot be read, holds what is no text, or lacks the
      field.
  """
  for record in read_documents(path, field, separator, start, every=False):
    yield record[field]


def read_documents(path: str | Path, field: str = 'text', separator: str = '',
                 start: int = 0, every: bool = True) -> Iterator[dict]:
  """As read_texts, but {field: text, ...} of each text, with what else its JSON
  object or, with `every`, its row of a Parquet file holds."""
  check_format(path)
  reader = {'jsonl': _read_jsonl, 'arrayrecord': _read_arrayrecord,
            'parquet': functools.partial(_read_parquet, every=every)
            }.get(format_of(path))
  try:
    if reader is None:
      texts = _after(_read_text(path, separator), start)
      yield from ({field: text} for text in texts)
    else:
      yield from reader(path, field, start)
  except UnicodeDecodeError as e:
    raise BadInput(f'{path} is no UTF-8 text (byte {e.start}); wanted text, '
                   '.jsonl, .parquet or .arrayrecord') from None
  except (OSError, EOFError, zlib.error) as e:
    raise BadInput(f'{path} cannot be read: {e}') from None


def _after(texts: Iterable, start: int) -> Iterator:
  for i, text in enumerate(texts):
    if i >= start:
      yield text


def _open(path):
  """The file's characters, line ends as they are, without a byte order mark."""
  if str(path).endswith('.gz'):
    return gzip.open(path, 'rt', encoding='utf-8-sig', newline='')
  return open(path, encoding='utf-8-sig', newline='')


def _blocks(path) -> Iterator[str]:
  """A text file in blocks of about CHUNK characters, lines ending in '\n'."""
  with _open(path) as f:
    while block := f.read(CHUNK):
      if block.endswith('\r'):  # the two characters stay in one block
        block += f.read(1)
      yield block.replace('\r\n', '\n')


def _read_text(path, separator: str) -> Iterator[str]:
  held, separator = '', separator.replace('\r\n', '\n')
  for block in _blocks(path):
    held += block
    if separator:
      *complete, held = held.split(separator)
      yield from (text for text in complete if text)
    while len(held) >= 2 * CHUNK or (not separator and len(held) >= CHUNK):
      cut = held.rfind('\n', 0, CHUNK) + 1 or CHUNK
      yield held[:cut]
      held = held[cut:]
  if held:
    yield held


def has_separator(path: str | Path, separator: str) -> bool:
  """Whether a text file has the separator; True of other formats, which need
  none. Raises BadInput."""
  if format_of(path) != 'text':
    return True
  separator, tail = separator.replace('\r\n', '\n'), ''
  try:
    for block in _blocks(path):
      if separator in tail + block:
        return True
      tail = block[-len(separator):]
  except UnicodeDecodeError:
    return True  # the reader has the message
  except (OSError, EOFError, zlib.error) as e:
    raise BadInput(f'{path} cannot be read: {e}') from None
  return False


def _read_jsonl(path, field: str, start: int) -> Iterator[dict]:
  with _open(path) as f:
    for number, line in enumerate(f):
      if number < start:
        continue
      try:
        record = json.loads(line) if line.strip() else {field: None}
        value = record[field]
      except (ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(f'{path}, line {number + 1}: found {line.strip()[:60]!r}'
                       f', wanted a JSON object with {field!r}') from None
      yield record | {field: _text(value, f'{path}, line {number + 1}', field)}


def _text(value, where: str, field: str) -> str:
  if value is not None and not isinstance(value, str):
    raise BadInput(f'{where}: found {str(value)[:60]}, wanted text in '
                   f'{field!r}')
  try:
    (value or '').encode()
  except UnicodeEncodeError as e:
    raise BadInput(f'{where}: found a lone surrogate, '
                   f'{value[e.start]!r}, at character {e.start + 1} of '
                   f'{field!r}, wanted text') from None
  return value or ''


def _read_parquet(path, field: str, start: int, every: bool) -> Iterator[dict]:
  lib = need('pyarrow.parquet', 'text')
  try:
    file = lib.ParquetFile(path)
  except Exception as e:  # ArrowInvalid, of an optional module
    raise BadInput(f'{path} is no Parquet file: {str(e)[:200]}') from None
  with file, _damage(path):
    if field not in file.schema_arrow.names:
      raise BadInput(f'{path} has columns {", ".join(file.schema_arrow.names)}'
                     f', wanted {field!r}')
    at = 0  # index of the first row of the next batch
    for group in range(file.num_row_groups):
      rows = file.metadata.row_group(group).num_rows
      if start >= at + rows:
        at += rows
        continue
      for batch in file.iter_batches(1024, [group], columns=(
          None if every else [field])):
        for row, record in enumerate(batch.to_pylist(), at):
          if row >= start:
            yield record | {field: _text(record[field], f'{path}, row {row}',
                                         field)}
        at += batch.num_rows


@contextlib.contextmanager
def _damage(path) -> Iterator[None]:
  """A context in which what a library raises of a damaged file is BadInput."""
  try:
    yield
  except (BadInput, OSError, UnicodeDecodeError):
    raise
  except Exception as e:  # each library has kinds of its own
    raise BadInput(f'{path} is damaged: {" ".join(str(e).split())[:200]}'
                   ) from None


def _read_arrayrecord(path, field: str, start: int) -> Iterator[dict]:
  reader = need('array_record.python.array_record_module',
                'text').ArrayRecordReader
  file = reader(str(path))
  if not file.ok():
    raise BadInput(f'{path} is no ArrayRecord file') from None
  with contextlib.closing(file), _damage(path):
    count = file.num_records()
    for at in range(start, count, 256):
      for i, raw in enumerate(file.read(range(at, min(at + 256, count))), at):
        yield {field: _text_of(raw, field, f'{path}, record {i}')}


def _text_of(raw: bytes, field: str, where: str) -> str:
  """The text of a tf.train.Example, of a JSON object, or the record itself."""
  found = parse_example(raw)
  if found is not None:
    if field not in found or not isinstance(found[field][:1], list) or (
        not found[field] or not isinstance(found[field][0], bytes)):
      raise BadInput(f'{where} has features {", ".join(found)}, wanted text in '
                     f'{field!r}')
    return found[field][0].decode()
  text = raw.decode()
  if text.startswith('{'):
    with contextlib.suppress(json.JSONDecodeError, KeyError, RecursionError):
      return _text(json.loads(text)[field], where, field)
  return text


# tf.train.Example, in protocol buffers' wire format: Example.features(1),
# Features.feature(1): a map of name(1) to value(2), which holds one of
# bytes_list(1) and int64_list(3), each with value(1).


def _varint(n: int) -> bytes:
  n &= (1 << 64) - 1
  out = bytearray()
  while n > 127:
    out.append(n & 127 | 128)
    n >>= 7
  return bytes([*out, n])


def _field(number: int, value: bytes) -> bytes:
  return _varint(number << 3 | 2) + _varint(len(value)) + value


def encode_example(features: dict) -> bytes:
  """Serialises {name: text, int or list of ints} as a tf.train.Example."""
  out = b''
  for name, value in sorted(features.items()):
    if isinstance(value, str):
      feature = _field(1, _field(1, value.encode()))
    else:
      numbers = [value] if isinstance(value, int) else value
      feature = _field(3, _field(1, b''.join(map(_varint, numbers))))
    out += _field(1, _field(1, name.encode()) + _field(2, feature))
  return _field(1, out)


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
  """(the varint at an index, the index after it)."""
  n = shift = 0
  while True:
    byte = raw[at]
    at += 1
    n |= (byte & 127) << shift
    shift += 7
    if byte < 128:
      return n, at
    if shift > 63:
      raise ValueError('no varint')


def _fields(raw: bytes) -> Iterator[tuple[int, bytes | int]]:
  """(number, value) of each field. Raises ValueError or IndexError."""
  at = 0
  while at < len(raw):
    key, at = _read_varint(raw, at)
    if key & 7 == 0:
      value, at = _read_varint(raw, at)
      yield key >> 3, value
    elif key & 7 == 2:
      size, at = _read_varint(raw, at)
      if at + size > len(raw):
        raise ValueError('cut off')
      yield key >> 3, raw[at:at + size]
      at += size
    elif key & 7 == 5:  # a float that is not packed
      yield key >> 3, raw[at:at + 4]
      at += 4
    else:
      raise ValueError('another wire type')


def parse_example(raw: bytes) -> dict[str, list] | None:
  """{name: list of bytes or ints} of a serialised tf.train.Example; None for
  other bytes."""
  try:
    (one, features), = _fields(raw)
    if one != 1 or not isinstance(features, bytes):
      return None
    out = {}
    for _, entry in _fields(features):
      parts = dict(_fields(entry))
      (kind, values), = _fields(parts[2]) if parts[2] else ((1, b''),)
      found = [v for _, v in _fields(values)] if kind != 2 else []
      if kind == 3:
        found = [n for v in found for n in (
            [v] if isinstance(v, int) else _numbers(v))]
      out[parts[1].decode()] = found
    return out
  except (ValueError, IndexError, KeyError, TypeError):
    return None


def _numbers(packed: bytes) -> list[int]:
  out, n, shift = [], 0, 0
  for byte in packed:
    n |= (byte & 127) << shift
    shift += 7
    if byte < 128:
      out.append(n - (1 << 64) if n >> 63 else n)
      n = shift = 0
  return out


def write_texts(path: Path, records: Iterable[dict], sync: bool = True) -> None:
  """Writes `records` (dicts of text, int or list of ints) as one file,
  atomically: when anything fails, also Ctrl-C, nothing is left. The same
  records give the same bytes. `sync`: on return they are on the disk."""
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f'.{path.name}.part')
  try:
    {'jsonl': _write_jsonl, 'parquet': _write_parquet, 'bin': _write_bin,
     'arrayrecord': _write_arrayrecord}[
         'bin' if '.bin' in path.suffixes else format_of(path)](
             part, records, str(path).endswith('.gz'))
    if sync:
      with part.open('rb') as f:
        os.fsync(f.fileno())
    part.replace(path)
  finally:
    part.unlink(missing_ok=True)


def _write_jsonl(path, records, zipped: bool):
  # No time stamp in the header: the same records give the same bytes.
  raw = path.open('wb')
  with raw, gzip.GzipFile('', 'wb', 6, raw, 0) if zipped else (
      contextlib.nullcontext(raw)) as f:
    for record in records:
      f.write(json.dumps(record, ensure_ascii=False).encode() + b'\n')


def _write_parquet(path, records, zipped: bool):
  arrow, lib = need('pyarrow', 'text'), need('pyarrow.parquet', 'text')
  writer, records = None, iter(records)
  while (batch := list(itertools.islice(records, 10_000))) or not writer:
    table = arrow.Table.from_pylist(batch)
    writer = writer or lib.ParquetWriter(path, table.schema)
    writer.write_table(table)
  writer.close()


def _write_arrayrecord(path, records, zipped: bool):
  # Groups of one record: readers can seek to any record.
  writer = need('array_record.python.array_record_module',
                'text').ArrayRecordWriter(str(path), 'group_size:1')
  for record in records:
    writer.write(encode_example(record))
  writer.close()


def _write_bin(path, records, zipped: bool):
  with path.open('wb') as f:
    for record in records:
      np.asarray(record['ids'], '<u2').tofile(f)
