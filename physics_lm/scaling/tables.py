"""Tables of runs as people have them: the one reader of the fits. No JAX.

What a file holds decides, not its ending: CSV (comma, tab or semicolon), JSON
lines, a JSON array of objects or object of columns, each also under gzip. What
is nearly right is refused with the line, never mended: a column that is there
twice, a row with a field too many, thousands separators, text that is not
UTF-8. A byte order mark and blanks around names and cells are taken away.
"""

import ast
import csv
import gzip
import io
import json
import math
import operator
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from physics_lm.errors import BadInput, nearest

Cell = str | float | int | bool | list | dict | None  # None: empty
SIZES = (1e-40, 1e40)
WANTED = 'wanted CSV, JSON lines or a JSON array of objects'
# First bytes of what is no text, by name.
BINARY = {b'PK\x03\x04': 'a zip file (.xlsx, .npz)', b'PAR1': 'Parquet',
          b'BZh': 'bzip2', b'\xfd7zXZ': 'xz', b'\x28\xb5\x2f\xfd': 'zstd',
          b'\xff\xfe': 'UTF-16', b'\xfe\xff': 'UTF-16', b'\x80': 'a pickle',
          b'\x93NUMPY': 'a NumPy array', b'\x89HDF': 'HDF5',
          b'ARROW1': 'Arrow', b'SQLite': 'SQLite'}
NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?', re.ASCII)
# 1,000,000 or 1_000_000 or 1 000 000 or 1'000'000, of any length.
GROUPED = re.compile(r"[+-]?\d{1,3}([,_ '\u00a0\u2009\u202f]\d{3})+(\.\d*)?",
                     re.ASCII)


class Table(NamedTuple):
  """Rows of cells under named columns."""

  path: Path
  names: list[str]
  rows: list[dict[str, Cell]]  # a missing key is an empty cell

  def require(self, name: str) -> None:
    """Raises BadInput, which names the columns there are."""
    if name not in self.names:
      raise BadInput(f'no column {name!r} in {self.path}; found: '
                     f'{", ".join(self.names)}')

  def numbers(self, name: str, low: float = -math.inf, strict: bool = False
              ) -> np.ndarray:
    """A column (n,) float64, all finite and at least `low`; `strict`: above it,
    and of a size that products of three do not overflow (SIZES). Raises
    BadInput, which names the row."""
    self.require(name)
    out = np.empty(len(self.rows))
    for i, row in enumerate(self.rows):
      value = parse_number(row.get(name))
      if value is None or not math.isfinite(value) or value < low or (
          strict and value == low):
        raise BadInput(
            f'column {name!r} of {self.path} has {_shown(row.get(name))} in '
            f'row {i + 1} of {len(self.rows)}, wanted all '
            + _wanted(low, strict) + _hint(row.get(name)))
      if strict and not SIZES[0] < value < SIZES[1]:
        raise BadInput(f'column {name!r} of {self.path} has {value:g} in row '
                       f'{i + 1}, wanted between {SIZES[0]:g} and {SIZES[1]:g}')
      out[i] = value
    return out

  def labels(self, name: str) -> np.ndarray:
    """A column (n,) as text. Raises BadInput for an empty cell."""
    self.require(name)
    out = []
    for i, row in enumerate(self.rows):
      value = row.get(name)
      if value is None or isinstance(value, (list, dict)) or value != value:
        raise BadInput(f'column {name!r} of {self.path} has no label in row '
                       f'{i + 1}')
      out.append(_label(value))
    return np.array(out)

  def where(self, expression: str) -> 'Table':
    """The rows for which an expression holds: comparisons of columns, numbers
    and texts, with and, or, not, in and + - * / **. A name that is no Python
    name stands in backticks. Raises BadInput."""
    holds = condition(expression, self)
    kept = [row for i, row in enumerate(self.rows) if holds(row, i)]
    if not kept:
      raise BadInput(f'--where {expression!r} holds for none of the '
                     f'{len(self.rows)} rows of {self.path}')
    return self._replace(rows=kept)


def parse_number(value: Cell) -> float | None:
  """A cell as a number; None for what is no plain decimal number."""
  if isinstance(value, (int, float)) and not isinstance(value, bool):
    try:
      return float(value)
    except OverflowError:  # an integer of more than 308 digits
      return math.inf
  if isinstance(value, str) and NUMBER.fullmatch(value):
    return float(value)
  return None


def _shown(value: Cell) -> str:
  """A cell for a message."""
  if value is None:
    return 'an empty cell'
  text = repr(value) if isinstance(value, str) else _label(value)
  return text if len(text) <= 40 else text[:37] + '...'


def _label(value: Cell) -> str:
  if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
    return str(int(value))
  return f'{value:g}' if isinstance(value, np.floating) else str(value)


def _wanted(low: float, strict: bool) -> str:
  if low == 0 and strict:
    return 'positive and finite'
  if low == -math.inf:
    return 'finite numbers'
  return f'finite and {"above" if strict else "at least"} {low:g}'


def _hint(value: Cell) -> str:
  """What is likely the matter with a cell that is text."""
  if not isinstance(value, str):
    return ''
  if GROUPED.fullmatch(value):
    return ' (a thousands separator? write plain digits)'
  if re.fullmatch(r'[+-]?\d+,\d+', value):
    return ' (a decimal comma? write a point)'
  return ''


def read_table(path: Path) -> Table:
  """The table in a file. Raises BadInput."""
  if not path.is_file():
    raise BadInput(f'no file {str(path)!r}; wanted a table (CSV, JSON lines or '
                   'JSON, also .gz) or a folder of runs')
  try:
    text = _text(path.read_bytes(), path)
  except OSError as e:
    raise BadInput(f'cannot read {path}: {e.strerror or e}') from None
  start = text.lstrip()[:1]
  if not start:
    raise BadInput(f'{path} is empty; {WANTED}')
  names, rows = (_json if start in '[{' else _csv)(text, path)
  if not rows:
    raise BadInput(f'{path} has no rows; {WANTED}')
  return Table(path, names, rows)


def _text(data: bytes, path: Path) -> str:
  """The text of a file's bytes. Raises BadInput when they are none."""
  if data[:2] == b'\x1f\x8b':
    try:
      data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as e:
      raise BadInput(f'{path} is not a complete gzip file: {e}') from None
  for magic, what in BINARY.items():
    if data.startswith(magic):
      raise BadInput(f'{path} is {what}; {WANTED}')
  try:
    text = data.decode('utf-8-sig')
  except UnicodeDecodeError as e:
    raise BadInput(f'{path} is not UTF-8 text (byte {data[e.start]:#04x} at '
                   f'{e.start}); {WANTED}') from None
  if '\0' in text:
    raise BadInput(f'{path} is not text (a zero byte at {text.index(chr(0))});'
                   f' {WANTED}')
  return text


def _csv(text: str, path: Path) -> tuple[list[str], list[dict]]:
  """(names, rows) of a table with a header line. Raises BadInput."""
  head = next(line for line in text.splitlines() if line.strip())
  delimiter = max(',\t;', key=head.count)
  reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter,
                      skipinitialspace=delimiter != '\t', strict=True)
  names, rows = None, []
  try:
    for fields in reader:
      cells = [c.strip() for c in fields]
      if cells in ([], ['']):
        continue  # a blank line
      if names is None:
        names = _header(cells, path)
        continue
      if len(cells) != len(names):
        raise BadInput(f'{path} has {len(cells)} fields in line '
                       f'{reader.line_num}, wanted {len(names)} as in its '
                       'header' + _ragged(cells, len(names)))
      rows.append({k: v for k, v in zip(names, cells) if k and v})
  except csv.Error as e:
    raise BadInput(f'{path} is no CSV in line {reader.line_num}: {e}'
                   ) from None
  return [n for n in names or [] if n], rows


def _ragged(cells: Sequence[str], wanted: int) -> str:
  """Why a row may have too many fields."""
  groups = len(cells) > wanted and sum(
      bool(re.fullmatch(r'\d{3}(\.\d*)?', c)) for c in cells[1:])
  return ' (thousands separators? write plain digits)' if groups else ''


def _header(cells: list[str], path: Path) -> list[str]:
  """The names of columns; '' for a column without one, which nothing can
  use. Raises BadInput."""
  if all(parse_number(c) is not None for c in cells):
    raise BadInput(f'{path} begins with numbers ({", ".join(cells)[:40]}), '
                   'wanted a line with the names of the columns')
  twice = [k for k, n in Counter(cells).items() if n > 1 and k]
  if twice:
    raise BadInput(f'{path} has the column {", ".join(map(repr, twice))} more '
                   'than once, wanted each name once')
  return cells


def _json(text: str, path: Path) -> tuple[list[str], list[dict]]:
  """(names, rows) of JSON lines, an array of objects or an object of columns.
  Raises BadInput."""
  lines = [(i, s) for i, s in enumerate(text.split('\n'), 1) if s.strip()]
  first = _loads(lines[0][1])
  if isinstance(first, dict) and (len(lines) > 1 or not _is_columns(first)):
    found = []
    for i, line in lines:
      value = _loads(line)
      if not isinstance(value, dict):
        raise BadInput(f'{path} has no JSON object in line {i}'
                       f'{_reason(value)}; {WANTED}')
      found.append(value)
  else:
    found = _loads(text)
    if isinstance(found, dict) and _is_columns(found):
      lengths = {len(v) for v in found.values()}
      if len(lengths) > 1:
        raise BadInput(f'{path} has columns of {sorted(lengths)} rows, wanted '
                       'one length')
      found = [dict(zip(found, row)) for row in zip(*found.values())]
    if not isinstance(found, list) or not all(
        isinstance(row, dict) for row in found):
      raise BadInput(f'{path} is no JSON array of objects'
                     f'{_reason(found)}; {WANTED}')
  rows, names = [], {}
  for i, row in enumerate(found, 1):
    stripped = {k.strip(): _cell(v) for k, v in row.items()}
    if len(stripped) < len(row):
      raise BadInput(f'{path} has two keys in row {i} that differ by blanks, '
                     'wanted each name once')
    _check_text([*stripped, *stripped.values()], path, i)
    names |= dict.fromkeys(k for k in stripped if k)
    rows.append({k: v for k, v in stripped.items() if k and v is not None})
  return list(names), rows


def _is_columns(value: dict) -> bool:
  return bool(value) and all(isinstance(v, list) for v in value.values())


def _cell(value: Any) -> Cell:
  """Text without blanks around it; None where nothing is left."""
  return (value.strip() or None) if isinstance(value, str) else value


def _check_text(values: Sequence, path: Path, row: int) -> None:
  """Raises BadInput for text with a lone surrogate, which cannot be
  written."""
  for text in values:
    if isinstance(text, str) and any('\ud800' <= c <= '\udfff' for c in text):
      raise BadInput(f'{path} has a lone surrogate in row {row} ({text!a}), '
                     'wanted text')


class _NoJson(str):
  """Why a text is no JSON."""


def _loads(text: str) -> Any:
  """The value of a JSON text, or a _NoJson."""
  try:
    return json.loads(text, object_pairs_hook=_object)
  except json.JSONDecodeError as e:
    return _NoJson(e)
  except RecursionError:
    return _NoJson('nested too deeply')
  except ValueError as e:  # a key twice, or an integer of 4,300 digits
    return _NoJson(str(e).splitlines()[0])


def _object(pairs: Sequence[tuple[str, Any]]) -> dict:
  out = dict(pairs)
  if len(out) < len(pairs):
    raise ValueError('a key is there twice')
  return out


def _reason(value: Any) -> str:
  return f' ({value})' if isinstance(value, _NoJson) else ''


# --- Expressions.

_BINARY = {ast.Add: operator.add, ast.Sub: operator.sub,
           ast.Mult: operator.mul, ast.Div: operator.truediv,
           ast.Pow: operator.pow}
_ORDER = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
          ast.GtE: operator.ge}


def condition(expression: str, table: Table
              ) -> Callable[[Mapping[str, Cell], int], bool]:
  """(row, its index) -> whether the expression holds: Table.where. An empty
  cell equals nothing and is neither less nor greater. Raises BadInput for what
  is no such expression, and when a row's text is compared as a number."""
  quoted: dict[str, str] = {}

  def name_of(match):
    return quoted.setdefault(match[1].strip(), f'_column{len(quoted)}')

  source = re.sub(r'`([^`\n]*)`', name_of, expression.strip())
  back = {v: k for k, v in quoted.items()}
  try:
    tree = ast.parse(source, mode='eval').body
  except (SyntaxError, ValueError, RecursionError, MemoryError):
    raise BadInput(f'--where is {expression!r}, wanted a comparison such as '
                   f"'world == \"a\" and N < 1e8'") from None
  check = _Evaluator(table, expression, back)
  check.names(tree)

  def holds(row, i):
    return check.truth(tree, row, i)

  return holds


class _Evaluator:
  """Evaluates the nodes of one expression."""

  def __init__(self, table: Table, text: str, quoted: Mapping[str, str]):
    self._table, self._text, self._quoted = table, text, quoted

  def _refuse(self, what: str) -> BadInput:
    return BadInput(f'--where {self._text!r}: {what}')

  def _column(self, node: ast.AST) -> str | None:
    """The name that a node is, dots included."""
    if isinstance(node, ast.Name):
      return self._quoted.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
      left = self._column(node.value)
      return left and f'{left}.{node.attr}'
    return None

  def names(self, tree: ast.AST) -> None:
    """Raises BadInput for a name that is no column."""
    name = self._column(tree)
    if name is None:
      for child in ast.iter_child_nodes(tree):
        self.names(child)
    elif name not in self._table.names:
      raise self._refuse(f'no column {name!r} in {self._table.path}; '
                         f'{nearest(name, self._table.names)}')

  def truth(self, node: ast.AST, row: Mapping, i: int) -> bool:
    """Whether a condition holds for a row."""
    if isinstance(node, ast.BoolOp):
      parts = (self.truth(n, row, i) for n in node.values)
      return all(parts) if isinstance(node.op, ast.And) else any(parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
      return not self.truth(node.operand, row, i)
    if isinstance(node, ast.Compare):
      left = node.left
      for op, right in zip(node.ops, node.comparators):
        if not self._compare(op, left, right, row, i):
          return False
        left = right
      return True
    value = self._value(node, row)
    if isinstance(value, bool):
      return value
    if isinstance(value, str) and value.lower() in ('true', 'false'):
      return value.lower() == 'true'
    raise self._refuse(f'row {i + 1} has {_shown(value)} where a comparison is '
                       'wanted')

  def _compare(self, op, left, right, row, i: int) -> bool:
    if isinstance(op, (ast.In, ast.NotIn)):
      if not isinstance(right, (ast.Tuple, ast.List, ast.Set)):
        raise self._refuse('`in` wants a list: world in ["a", "b"]')
      found = any(self._compare(ast.Eq(), left, r, row, i)
                  for r in right.elts)
      return found == isinstance(op, ast.In)
    a, b = self._value(left, row), self._value(right, row)
    if isinstance(op, (ast.Eq, ast.NotEq)):
      return _same(a, b) == isinstance(op, ast.Eq)
    if type(op) not in _ORDER:
      raise self._refuse('wanted == != < <= > >= or in')
    if a is None or b is None:
      return False
    x, y = parse_number(a), parse_number(b)
    if x is None or y is None:
      raise self._refuse(f'row {i + 1} has {_shown(b if y is None else a)}, '
                         'wanted a number')
    return _ORDER[type(op)](x, y)

  def _value(self, node: ast.AST, row: Mapping) -> Cell:
    name = self._column(node)
    if name is not None:
      return row.get(name)
    if isinstance(node, ast.Constant) and isinstance(
        node.value, (str, int, float)):
      return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
      value = parse_number(self._value(node.operand, row))
      return None if value is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
      x, y = (parse_number(self._value(n, row))
              for n in (node.left, node.right))
      if x is None or y is None:
        return None
      try:
        value = _BINARY[type(node.op)](x, y)
      except (ArithmeticError, ValueError):
        return None
      return value if isinstance(value, float) else None
    raise self._refuse(f'cannot read {ast.unparse(node)[:40]!r}')


def _same(a: Cell, b: Cell) -> bool:
  """Whether two values are equal, as numbers where both are."""
  if a is None or b is None:
    return False
  x, y = parse_number(a), parse_number(b)
  if x is not None and y is not None:
    return x == y
  if isinstance(a, bool) or isinstance(b, bool):
    return str(a).lower() == str(b).lower()
  return a == b
