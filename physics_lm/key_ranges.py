"""Ranges of the numeric keys of a config, as configs/default.py states them.

Each numeric key's comment states its range there, in one of a few forms, and
the check is derived from the comment: documentation and check cannot differ. No
JAX.
"""

import ast
import functools
import inspect
import io
import math
import re
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from physics_lm.configs import default
from physics_lm.errors import BadInput

_NUMBER = r'-?\d[\d_]*(?:\.\d+)?(?: \*\* \d+)?'
_STATEMENT = re.compile(
    rf'\bin ([\[(])({_NUMBER}), ({_NUMBER})([\])])'
    rf'|\b(at least|above) ({_NUMBER})(?:, or ({_NUMBER}))?'
    r'|\b(any number)\b')
# Functions of configs/default.py whose keys are a section of a config; those
# of a kind of world are its keys.
_SECTIONS = {'_data': 'data.', '_model': 'model.', '_adapter': 'adapter.',
             '_teacher': 'teacher.', '_post': 'post.',
             '_optim': 'optim.', '_runtime': 'runtime.', 'get_config': ''}


class Range(NamedTuple):
  """The values that a numeric key may have."""

  text: str  # as the comment states it
  low: float
  high: float
  low_included: bool
  high_included: bool
  also: float | None = None  # one value more

  def has(self, value: float) -> bool:
    """Whether the value is finite and in the range."""
    if value == self.also:
      return True
    above = value >= self.low if self.low_included else value > self.low
    below = value <= self.high if self.high_included else value < self.high
    return math.isfinite(value) and above and below


def stated_range(comment: str) -> Range | None:
  """The range that a comment states; None where it states none. Raises
  ValueError where it states several."""
  found = list(_STATEMENT.finditer(comment))
  if len(found) > 1:
    raise ValueError(f'{comment!r} states {len(found)} ranges, wanted one')
  if not found:
    return None
  opens, low, high, closes, word, bound, also, any_number = found[0].groups()
  if any_number:
    return Range('any finite number', -math.inf, math.inf, True, True)
  if word:
    return Range(found[0][0], _value(bound), math.inf, word == 'at least', True,
                 None if also is None else _value(also))
  return Range(found[0][0].removeprefix('in '), _value(low), _value(high),
               opens == '[', closes == ']')


def _value(text: str) -> float:
  base, _, power = text.partition(' ** ')
  number = ast.literal_eval(base)
  return number ** int(power) if power else number


@functools.cache
def key_comments() -> dict[str, dict[str, str]]:
  """{function of configs/default.py: {key: its comment}}, with the comment
  lines that follow a key, up to the next one. 'mesh.pop' is a key of _runtime.
  """
  source = inspect.getsource(default)
  comments = {t.start[0]: t.string.lstrip('# ')
              for t in tokenize.generate_tokens(io.StringIO(source).readline)
              if t.type == tokenize.COMMENT}
  out = {}
  for function in ast.parse(source).body:
    if not isinstance(function, ast.FunctionDef):
      continue
    keys = out[function.name] = {}
    for node in function.body:
      if isinstance(node, ast.Assign) and isinstance(
          node.targets[0], ast.Attribute):
        text, line = [], node.end_lineno
        while line in comments and (not text or _is_comment(source, line)):
          text.append(comments[line])
          line += 1
        keys[ast.unparse(node.targets[0]).partition('.')[2]] = ' '.join(text)
  return out


def _is_comment(source: str, line: int) -> bool:
  return source.splitlines()[line - 1].lstrip().startswith('#')


@functools.cache
def ranges() -> dict[str, dict[str, Range]]:
  """{function of configs/default.py: {key: its range}}, of keys that have
  one."""
  return {name: {k: r for k, text in keys.items()
                 if (r := stated_range(text)) is not None}
          for name, keys in key_comments().items()}


def parts(config: ConfigDict) -> Iterator[tuple[str, ConfigDict, str]]:
  """(prefix, node, function of configs/default.py that makes it) of each part
  of a config, or of a world's config alone."""
  if 'worlds' not in config:
    yield '', config, config.get('kind', '')
    return
  for function, prefix in _SECTIONS.items():
    section = prefix.rstrip('.')
    if not section or section in config:
      yield prefix, config[section] if section else config, function
  for name, world in config.worlds.items():
    yield f'worlds.{name}.', world, world.get('kind', '')
  for name, task in config.get('data', {}).get('tasks', {}).items():
    yield f'data.tasks.{name}.', task, 'task'
  for name, spec in config.get('evals', {}).items():
    yield f'evals.{name}.', spec, 'evaluation'


def known_ranges(function: str) -> Mapping[str, Range]:
  """{key: range} of the keys that a function of configs/default.py makes."""
  inherited = {'manipulation': 'biographies', 'clean': '_page_rules'}
  return ranges().get(inherited.get(function, ''), {}) | (
      ranges().get(function, {}))


def check_ranges(config: ConfigDict) -> None:
  """Raises BadInput for a number that is out of its key's range, in a config or
  in a world's config alone. None is in every range."""
  for prefix, node, function in parts(config):
    for key, allowed in known_ranges(function).items():
      value = _at(node, key)
      if isinstance(value, (int, float)) and not allowed.has(value):
        raise BadInput(f'{prefix}{key} is {value}, wanted {allowed.text}')


def _at(node: ConfigDict, key: str) -> Any:
  for part in key.split('.'):
    if part not in node:
      return None
    node = node[part]
  return node
