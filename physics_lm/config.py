"""What the command lines share: configs from flags, progress. No JAX."""

import argparse
import ast
import copy
import importlib.util
import inspect
import os
import signal
import sys
import threading
import time
from pathlib import Path

from ml_collections import ConfigDict

from physics_lm.errors import BadInput, nearest


def load_module(path: str, what: str):
  """Imports a Python file by path. Raises BadInput when it is not one."""
  file = Path(path)
  if file.suffix != '.py' or not file.is_file():
    raise BadInput(f'no {what} file {path!r}; wanted a path to a .py file')
  spec = importlib.util.spec_from_file_location(file.stem, file)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def load_config(path: str) -> ConfigDict:
  """The locked config of 'FILE.py' or 'FILE.py:VARIANT'."""
  file, _, variant = path.partition(':')
  module = load_module(file, 'config')
  if not hasattr(module, 'get_config'):
    raise BadInput(f'{file} has no get_config(): not a config file')
  if variant and not inspect.signature(module.get_config).parameters:
    raise BadInput(f'{file} has no variants, found {variant!r} after the colon')
  try:
    config = module.get_config(variant) if variant else module.get_config()
  except ValueError as e:  # config files know no errors of this package
    raise BadInput(f'{path}: {e}') from e
  return config.lock()


def override(config: ConfigDict, changes: dict) -> ConfigDict:
  """A locked copy with {'dotted.path': value} applied, strictly: an unknown
  key or a value of another type raises BadInput."""
  config = copy.deepcopy(config)  # placeholders keep their types
  for path, value in changes.items():
    keys = path.split('.')
    leaf, node = keys[-1], config
    for i, key in enumerate(keys):
      if not isinstance(node, ConfigDict):
        raise BadInput(f'unknown key {path!r}: '
                       f'{".".join(keys[:i])!r} has no keys below it')
      if key not in node:
        known = ['.'.join([*keys[:i], k]) for k in node]
        raise BadInput(f'unknown key {path!r}; '
                       f'{nearest(".".join(keys[:i + 1]), known)}')
      node, holder = node[key], node
    if isinstance(node, ConfigDict):
      raise BadInput(f'{path!r} is a section, wanted one of its keys: '
                     f'{", ".join(node)}')
    wanted = holder.get_type(leaf)
    if wanted is float and type(value) is int:
      value = float(value)
    if value is None and node is not None and wanted is not type(None):
      raise BadInput(f'{path} is None, wanted {wanted.__name__}')
    if value is not None and type(value) is not wanted:
      raise BadInput(f'{path} is {value!r} ({type(value).__name__}), wanted '
                     f'{wanted.__name__}')
    holder[leaf] = value
  return config.lock()


def parse_value(text: str):
  """A Python literal, or the text itself."""
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    return {'true': True, 'false': False}.get(text.lower(), text)


def parse_config(argv) -> tuple[ConfigDict, str]:
  """(config, workdir) of --config=FILE[:VARIANT] --workdir=DIR
  [--config.a.b=VALUE ...]. Raises BadInput; --help prints and exits."""
  usage = (f'usage: python -m {_name(argv)} --config=configs/FILE.py[:VARIANT] '
           '--workdir=DIR [--config.KEY=VALUE ...]')
  if {'-h', '--help'} & set(argv[1:]):
    print(usage + '\nEvery key stands in configs/default.py.')
    sys.exit(0)
  given = {}
  rest = list(argv[1:])
  while rest:
    arg = rest.pop(0)
    key, equals, value = arg.partition('=')
    if not equals and rest and not rest[0].startswith('--'):
      value, equals = rest.pop(0), '='
    if not key.startswith('--') or not equals:
      raise BadInput(f'cannot read argument {arg!r}; {usage}')
    given[key[2:]] = value
  for needed in ('config', 'workdir'):
    if not given.get(needed):
      raise BadInput(f'no --{needed}; {usage}')
  config, workdir = load_config(given.pop('config')), given.pop('workdir')
  changes = {}
  for key, value in given.items():
    if not key.startswith('config.'):
      raise BadInput(f'unknown flag --{key}; {usage}')
    changes[key.removeprefix('config.')] = value
  return override(config, {
      k: typed_value(config, k, v) for k, v in changes.items()}), workdir


def typed_value(config, path: str, text: str):
  """Text stays text where the config holds text ('7' is a fine run id)."""
  node = config
  for key in path.split('.')[:-1]:
    node = node[key] if isinstance(node, ConfigDict) and key in node else {}
  leaf = path.split('.')[-1]
  if isinstance(node, ConfigDict) and leaf in node and (
      node.get_type(leaf) is str) and text != 'None':
    return text
  return parse_value(text)


def _name(argv) -> str:
  return 'physics_lm.' + Path(argv[0]).stem if argv else 'physics_lm'


def argument_parser(prog: str, text: str) -> argparse.ArgumentParser:
  """An argument parser whose errors are one line and exit 2."""

  class Parser(argparse.ArgumentParser):
    def error(self, message: str):
      raise BadInput(f'{message}; python -m {prog} --help lists the flags')

  return Parser(prog=f'python -m {prog}', description=text,
                formatter_class=argparse.RawDescriptionHelpFormatter,
                allow_abbrev=False)


class Stop:
  """Inside: SIGTERM and Ctrl-C are noted in `asked`, so that a loop can save
  and leave; a second one kills. Only a main thread can listen. `promise`:
  what will happen, told at once."""

  def __init__(self, promise: str = 'it will save and stop'):
    self.asked, self._promise = '', promise

  def __enter__(self):
    self._before = {}
    if threading.current_thread() is threading.main_thread():
      self._before = {s: signal.signal(s, self._note)
                      for s in (signal.SIGTERM, signal.SIGINT)}
    return self

  def __exit__(self, *_):
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _note(self, number, frame):
    self.asked = signal.Signals(number).name
    signal.signal(number, signal.SIG_DFL)
    # print() would fail where the signal came in the middle of another one.
    os.write(2, f'{self.asked}: {self._promise}; press again to kill\n'
             .encode())


class Progress:
  """A progress bar on a terminal, a plain line at intervals elsewhere."""

  def __init__(self, total: int, first: int, name: str, unit: str,
               interval: float = 15.0):
    self.total, self.name, self.unit = total, name, unit
    self._interval, self._first = interval, first
    self._began = self._told = time.time()
    self._bar = None
    if sys.stderr.isatty():
      from tqdm import tqdm
      self._bar = tqdm(total=total, initial=first, desc=name, unit=unit,
                       leave=False, dynamic_ncols=True)

  def update(self, at: int, note: str = ''):
    if self._bar is not None:
      self._bar.set_postfix_str(note, refresh=False)
      self._bar.update(at - self._bar.n)
    elif time.time() - self._told >= self._interval:
      self._told = time.time()
      pace = (self._told - self._began) / max(at - self._first, 1)
      print(f'{self.name}: {self.unit} {at}/{self.total}, {note}, about '
            f'{clock(pace * (self.total - at))} left', flush=True)

  def close(self):
    if self._bar is not None:
      self._bar.close()


def clock(seconds: float) -> str:
  """'45s', '3m20s' or '2h05m'."""
  s = round(seconds)
  if s < 60:
    return f'{s}s'
  return f'{s // 60}m{s % 60:02d}s' if s < 3600 else (
      f'{s // 3600}h{s % 3600 // 60:02d}m')
