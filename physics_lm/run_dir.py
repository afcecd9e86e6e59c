"""Run folders: identity, atomic files, locks, reading back. No JAX.

runs/<experiment>/<run id>/{config.json, meta.json, metrics.jsonl, evals/,
checkpoints/, done}. `done` is written last, by rename: a run without it is
not finished.
"""

import contextlib
import fcntl
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict

from physics_lm.config import (
  OTHER_RUNS,
  config_changes,
  model_differences,
  plain_config,
  run_id,
  with_defaults,
)
from physics_lm.errors import BadInput

if TYPE_CHECKING:
  from physics_lm.vocab import Vocab


def averaged_steps(config: ConfigDict, count: int, last: int | None = None
                   ) -> list[int]:
  """The steps of the last `count` checkpoints of a run, the last step and
  those before it that checkpoint.every divides, newest first. `last`: the step
  that the run has reached. Raises BadInput when it has fewer, or is not
  finished."""
  steps, every = config.steps, config.checkpoint.every
  found = [steps, *range((steps - 1) // every * every, 0, -every)][:count]
  if len(found) < count or last not in (None, steps):
    raise BadInput(f'evals.*.average is {count} of a run with '
                   f'{len(found)} checkpoints of {steps} steps'
                   + (f', now at step {last}' if last else '')
                   + ', wanted a finished run with no fewer')
  return found


def stale_evals(folder: Path, evals: dict) -> dict[str, str]:
  """{name: what differs} of the plain evaluations whose specification is not
  the one with which the run in `folder` was evaluated. `every`, when they run
  during training, does not count."""
  file = folder / 'config.json'
  before = with_defaults(read_json(file), file).get('evals', {})
  changes = {name: config_changes(_specification(before.get(name, {})),
                            _specification(spec))
             for name, spec in evals.items()}
  return {name: '; '.join(f'evals.{name}.{c}' for c in found)
          for name, found in changes.items() if found}


def set_aside_stale_evals(folder: Path, evals: dict, writes: bool) -> None:
  """Sets aside the results of evaluations whose spec has changed, those during
  training too, since a curve is of one spec: files end in .old, log rows have
  the kind 'old eval'. The run is then no longer done. `writes`: whether this
  process keeps the log."""
  stale = stale_evals(folder, evals)
  if not stale:
    return
  for name in stale:
    for file in (folder / 'evals' / name).glob('*.json*'):
      if file.suffix != '.old':
        with contextlib.suppress(FileNotFoundError):  # by another process
          file.replace(file.with_name(f'{file.name}.old'))
  names, log = tuple(f'{n}/' for n in stale), read_log(folder)
  marked = [r | {'kind': 'old eval'} if r['kind'] == 'eval' and any(
      k.startswith(names) for k in r) else r for r in log]
  if marked != log and writes:
    write_log(folder, marked)
  if is_done(folder):
    print('re-running evals (spec changed): ' + '; '.join(stale.values()))
    (folder / 'done').unlink(missing_ok=True)


def _specification(evaluation: Mapping) -> dict:
  """What decides the results of an evaluation."""
  return {k: v for k, v in evaluation.items() if k != 'every'}


def write(path: Path, text: str) -> None:
  """Writes a file completely or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  try:
    with temporary.open('w', encoding='utf-8') as f:
      f.write(text)
      f.flush()
      os.fsync(f.fileno())
    temporary.replace(path)
  finally:  # on a full disk, or after Ctrl-C
    temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
  """Writes a JSON file completely or not at all."""
  write(path, json.dumps(value, indent=1) + '\n')


def read_json(path: Path) -> Any:
  """Raises BadInput when there is no such file, or no JSON in it."""
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise BadInput(f'no {path.name} in {path.parent}: not a run folder of '
                   'physics_lm') from None
  except (ValueError, RecursionError) as e:  # no JSON, or no text at all
    raise BadInput(f'{path} is not JSON: {str(e)[:200]}') from None


def read_config(folder: Path) -> dict:
  """The plain config of the run in `folder`, as it was written. Raises
  BadInput when there is none."""
  stored = read_json(folder / 'config.json')
  with_defaults(stored, folder / 'config.json')
  return stored


def computed_id(folder: Path) -> str:
  """The id of what the run in `folder` computes, by its config.json. Raises
  BadInput."""
  return run_id(read_config(folder))


def check_id(config: ConfigDict, folder: Path, wanted: str) -> None:
  """Raises BadInput when a config, to be trained in `folder`, is not the run
  `wanted`: its launcher has read other files."""
  found = run_id(canonical_config(config, folder))
  if found != wanted:
    raise BadInput('the config file, or a text or run that it names, has '
                   f'changed since the launcher started: found run id {found}, '
                   f'wanted {wanted}')


def read_meta(folder: Path) -> dict:
  """What meta.json of the run in `folder` holds. Raises BadInput when it is
  none."""
  meta = read_json(folder / 'meta.json')
  if not isinstance(meta, dict):
    raise BadInput(f'{folder / "meta.json"} is {str(meta)[:40]}, wanted keys '
                   'and values')
  return meta


def read_vocab(folder: Path) -> dict:
  """Kind, size and sha256 of the vocabulary of the run in `folder`, by its
  meta.json; it has a size. Raises BadInput when there is none."""
  vocab = read_meta(folder).get('vocab')
  size = vocab.get('size') if isinstance(vocab, dict) else None
  if type(size) is not int or size < 1:
    raise BadInput(f'{folder / "meta.json"} names no vocabulary and its size: '
                   'not the meta.json of a run')
  return vocab


def read_rows(path: Path) -> list[dict]:
  """JSON lines, objects all; a torn last line (a kill while writing) is
  dropped. Raises BadInput for any other line that is damaged."""
  try:
    text = path.read_text(encoding='utf-8')
  except FileNotFoundError:
    return []
  except UnicodeDecodeError as e:
    raise BadInput(f'{path} is no text: {e}') from None
  out, lines = [], text.split('\n')
  for i, line in enumerate(lines, 1):
    try:
      row = json.loads(line) if line.strip() else None
    except (ValueError, RecursionError) as e:
      if i == len(lines):
        break
      raise BadInput(f'{path} is damaged in line {i}: {str(e)[:80]}') from None
    if row is not None and not isinstance(row, dict):
      if i == len(lines):
        break  # the first figure of a number, for instance
      raise BadInput(f'{path} has {line[:40]!r} in line {i}, wanted a JSON '
                     'object')
    out += [row] if row is not None else []
  return out


def read_log(folder: Path) -> list[dict]:
  """The rows of metrics.jsonl of the run in `folder`, each with a kind and a
  step. Raises BadInput for one without."""
  rows = read_rows(folder / 'metrics.jsonl')
  for i, row in enumerate(rows, 1):
    if not isinstance(row.get('kind'), str) or type(
        row.get('step')) is not int or not all(
            isinstance(row.get(k, 0.0), (int, float))
            for k in ('tokens', 'loss')):
      raise BadInput(f'{folder / "metrics.jsonl"} has {str(row)[:60]} in row '
                     f'{i}, wanted a kind, a step and numbers')
  return rows


def write_log(folder: Path, rows: Iterable[Mapping]) -> None:
  """Writes metrics.jsonl of the run in `folder`, completely or not at all."""
  write(folder / 'metrics.jsonl', ''.join(json.dumps(r) + '\n' for r in rows))


def read_evaluation(path: Path) -> list[dict]:
  """The rows of an evaluation's file. Raises BadInput for what is none."""
  stored = read_json(path)
  rows = stored.get('rows') if isinstance(stored, dict) else None
  if not isinstance(rows, list) or not all(
      isinstance(r, dict) and isinstance(r.get('metric'), str)
      and isinstance(r.get('value'), (int, float)) for r in rows):
    raise BadInput(f'{path} has no rows of measured numbers, wanted '
                   '{"rows": [{"metric": .., "value": ..}, ..]}')
  return rows


def with_content(config: Mapping) -> dict:
  """A plain config in which each world of texts has a hash of what its files
  hold: other texts of one name are another computation. Raises BadInput."""
  from physics_lm.worlds import text  # NumPy
  return dict(config) | {'worlds': {
      name: w | {'content': text.content_of(text.files_of(w['files']))}
      if w['kind'] == 'text' and w.get('content') is None else w
      for name, w in config['worlds'].items()}}


def canonical_config(config: ConfigDict, folder: Path) -> dict:
  """The plain config of a run in `folder`, with the content of its texts, and
  with its parent named by the id of what the parent computed: two folders of
  one name may hold different runs."""
  out = with_content(plain_config(config))
  if config.init_from:
    out['init_from'] = _named_by_id(config.init_from, folder)
  for section, key in OTHER_RUNS:
    if config[section][key] not in ('', 'law'):  # the law of a Markov world
      out[section][key] = ','.join(
          _named_by_id(name.strip(), folder)
          for name in config[section][key].split(','))
  return out


def _named_by_id(name: str, folder: Path) -> str:
  """The id of what the run called `name` computed; the name where there is no
  such run."""
  for path in (Path(name), folder.parent / name):
    if (path / 'config.json').exists():
      return computed_id(path)
  return name


def run_metadata(config: ConfigDict, vocab: 'Vocab', command: str, device: Any,
                 devices: int, members: int = 1, origin: str | None = None
                 ) -> dict:
  """What meta.json holds: the code, the command, the device and the versions
  that computed a run.

  Args:
    device: a JAX device; `devices` of its kind were used.
    members: runs that trained in the same program.
    origin: the path from the run's folder to that of the run it started from.
  """
  from importlib import metadata
  changed = _git('status', '--porcelain', '--', 'physics_lm', 'configs',
                 ':(glob)experiments/*.py')
  return {
      'init_from': origin,
      'git': _git('rev-parse', 'HEAD'),
      'git_dirty': None if changed is None else bool(changed),
      'command': command,
      'time': utc_time(),
      'device': getattr(device, 'device_kind', str(device)),
      'devices': devices,
      'population': members,  # runs in the same program
      'cores': len(os.sched_getaffinity(0)),
      'python': platform.python_version(),
      'versions': {p: metadata.version(p) for p in (
          'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'grain',
          'numpy')},
      'worlds': {k: w.version for k, w in config.worlds.items()},
      'vocab': {'kind': vocab.kind, 'size': len(vocab), 'sha256': vocab.hash},
  }


def utc_time() -> str:
  """Now, as 2025-01-31T12:00:00Z."""
  return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())


def _git(*arguments: str) -> str | None:
  """What git prints in the clone that this package lies in; None without git,
  or where it is installed: a repository around that place is another one."""
  root = Path(__file__).resolve().parents[1]
  if not (root / 'pyproject.toml').exists():
    return None
  try:
    return subprocess.run(
        ['git', *arguments], capture_output=True, text=True, check=True,
        cwd=root).stdout.strip()
  except (OSError, subprocess.CalledProcessError):
    return None


def require_parent(key: str, name: str, folder: Path, vocab: 'Vocab',
                   config: Mapping) -> Path:
  """The finished run, of one model, that a key of a run in `folder` with the
  plain `config` names: a path, or the id of a run beside it. Raises BadInput
  when it is not finished, or its model or vocabulary is another."""
  path = finished_run(key, name, folder, vocab)
  check_model_of(path, config, f'{key} {name!r}')
  return path


def finished_run(key: str, name: str, folder: Path, vocab: 'Vocab') -> Path:
  """The finished run, of any model, that a key of a run in `folder` names: a
  path, or the id of a run beside it. Raises BadInput when it is not finished or
  has another vocabulary."""
  path = find_run(name, folder)
  if not is_done(path):
    raise BadInput(f'{key} is {name!r}, wanted the folder or id of a finished '
                   f'run (no `done` in {path})')
  check_vocab(path, vocab, f'{key} {name!r}')
  return path


def check_model_of(folder: Path, config: Mapping, what: str) -> None:
  """Raises BadInput when the model of the run in `folder` is not the one of a
  plain config: its parameters would be those of another function."""
  differs = model_differences(read_config(folder), config)
  if differs:
    raise BadInput(f'{what} has another model: {"; ".join(differs)}')


def find_run(name: str, folder: Path) -> Path:
  """The folder of the run that a run in `folder` calls `name`: a path, or the
  id of a run beside it."""
  return Path(name) if Path(name).is_dir() else folder.parent / name


def find_parent(folder: Path) -> Path:
  """The finished run whose parameters the run in `folder` adapts or only
  evaluates, also when the two were moved together. Raises BadInput when it is
  missing."""
  wanted = read_config(folder).get('init_from')
  recorded = read_meta(folder).get('init_from') or wanted
  if not isinstance(wanted, str) or not isinstance(recorded, str):
    raise BadInput(f'{folder} needs the parameters of another run and names '
                   'none: init_from in config.json')
  for path in (folder / recorded, folder.parent / wanted):
    if is_done(path) and computed_id(path) == wanted:
      return path
  raise BadInput(f'{folder} needs the parameters of run {wanted}, which is '
                 f'neither in {folder / recorded} nor beside it')


def check_vocab(folder: Path, vocab: 'Vocab', what: str) -> None:
  """Raises BadInput when the run in `folder` was trained with another one."""
  theirs = read_vocab(folder)
  if theirs.get('sha256') != vocab.hash:
    raise BadInput(
        f'{what} has another vocabulary ({theirs.get("kind")}, '
        f'{theirs["size"]} entries, sha256 {str(theirs.get("sha256"))[:8]}), '
        f'wanted {vocab.kind}, '
        f'{len(vocab)}, {vocab.hash[:8]}')


class Locked(Exception):
  """Another live process holds the run folder."""


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
  """Locks the run folder for this process. The operating system releases the
  lock when the process ends, however it ends. Raises Locked."""
  folder.mkdir(parents=True, exist_ok=True)
  with (folder / '.lock').open('a') as f:
    for attempt in range(5):  # `state` below takes the lock for an instant
      try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
      except BlockingIOError:
        if attempt == 4:
          raise Locked(str(folder)) from None
        time.sleep(0.05)
    yield


def is_done(folder: Path) -> bool:
  """Whether the run in `folder` has finished."""
  return (folder / 'done').exists()


def state(folder: Path) -> str:
  """'done', 'running', 'stopped' (has begun) or 'new'."""
  if is_done(folder):
    return 'done'
  if not (folder / 'config.json').exists():
    return 'new'
  with (folder / '.lock').open('a') as f:
    try:
      fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
      return 'stopped'
    except BlockingIOError:
      return 'running'


def step_reached(folder: Path) -> int:
  """The last step in the metrics, 0 when there is none. Reads the tail, as much
  of it as the last row needs."""
  path = folder / 'metrics.jsonl'
  if not path.exists():
    return 0
  size, tail = path.stat().st_size, 4096
  while True:
    with path.open('rb') as f:
      f.seek(max(size - tail, 0))
      lines = f.read().decode(errors='replace').splitlines()
    for line in reversed(lines):
      with contextlib.suppress(ValueError, LookupError, TypeError,
                               RecursionError):
        return int(json.loads(line)['step'])
    if tail >= size:
      return 0
    tail *= 16


def results(folder: Path) -> tuple[dict, dict[str, list[dict]]]:
  """(last training row, {evaluation: rows}) of a run: the last row of means in
  the log, {} where there is none, and of each evaluation the rows of the last
  step at which it ran (evals/records.py)."""
  train = [r for r in read_log(folder) if r['kind'] == 'train']
  evals = {}
  for path in sorted((folder / 'evals').glob('*/')):
    steps = [int(p.stem) for p in path.glob('*.json') if p.stem.isdecimal()]
    if steps:
      evals[path.name] = read_evaluation(path / f'{max(steps)}.json')
  return train[-1] if train else {}, evals
