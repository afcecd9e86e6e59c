"""Run folders: identity, atomic files, locks, reading back. No JAX.

runs/<experiment>/<run id>/{config.json, meta.json, metrics.jsonl, evals/,
checkpoints/, done}. `done` is written last, by rename: without it a run does
not count.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import subprocess
import time
from pathlib import Path

from configs import default
from physics_lm.errors import BadInput

# Sections that do not change what is computed, and so not the run's id.
NOT_COMPUTED = ('runtime', 'log', 'checkpoint', 'evals')
# Keys that came when runs were there already, and what was done before them:
# an absent key has this value, and at this value it does not count.
LATER = {'biographies': {'first': 0, 'power': 0.0}, 'bitworld': {'power': 0.0},
         'manipulation': {'power': 0.0}}  # of worlds, by kind
LATER_DATA = {'masked': 0.0}


def plain(config) -> dict:
  """A ConfigDict as nested plain dicts."""
  return json.loads(config.to_json_best_effort())


def computation(config: dict) -> dict:
  """The part of a plain config that decides the result. A parent run counts
  by its folder's name, which for a launched run is its id. Sections and keys
  that came later do not count while they say what was done before them."""
  kept = {k: v for k, v in config.items() if k not in NOT_COMPUTED}
  if kept.get('init_from'):  # a foreign file may lack it
    kept['init_from'] = Path(kept['init_from']).name
  if kept.get('adapter', {}).get('kind') == 'none':
    del kept['adapter']
  without = lambda tree, neutral: {
      k: v for k, v in tree.items() if k not in neutral or v != neutral[k]}
  if 'data' in kept:
    kept['data'] = without(kept['data'], LATER_DATA)
  if 'worlds' in kept:
    kept['worlds'] = {name: without(w, LATER.get(w['kind'], {}))
                      for name, w in kept['worlds'].items()}
  return kept


def completed(stored: dict) -> dict:
  """A plain config of a run of before, with the keys that came later."""
  known, out = plain(default.get_config()), dict(stored)
  out['adapter'] = stored.get('adapter', known['adapter'])
  if 'data' in out:
    out['data'] = LATER_DATA | out['data']
  if 'worlds' in out:
    out['worlds'] = {name: LATER.get(w.get('kind'), {}) | w
                     for name, w in out['worlds'].items()}
  for section in {'runtime', 'log', 'checkpoint'} & out.keys():
    out[section] = known[section] | out[section]
  if 'evals' in out:
    out['evals'] = {
        name: plain(default.evaluation(spec.get('kind', ''))) | spec
        for name, spec in out['evals'].items()}
  return out


def run_id(config: dict) -> str:
  """Ten hexadecimal digits: a hash of what is computed."""
  text = json.dumps(computation(config), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:10]


def flat(tree: dict, prefix: str = '') -> dict:
  """{'a.b': leaf} of nested dicts."""
  out = {}
  for k, v in tree.items():
    if isinstance(v, dict):
      out |= flat(v, f'{prefix}{k}.')
    else:
      out[prefix + k] = v
  return out


def difference(stored: dict, current: dict) -> list[str]:
  """'key: stored -> current' for each difference in what is computed."""
  return _changes(flat(computation(stored)), flat(computation(current)))


def _changes(a: dict, b: dict) -> list[str]:
  return [f'{k}: {a.get(k, "absent")} -> {b.get(k, "absent")}'
          for k in sorted(a.keys() | b.keys())
          if a.get(k, '__absent') != b.get(k, '__absent')]


def unanswered(folder: Path, evals: dict) -> dict[str, str]:
  """{name: what differs} of the plain evaluations that the run in `folder`
  was not asked in these words. When they are asked on the way does not
  count."""
  asked = completed(read_json(folder / 'config.json'))['evals']
  words = lambda spec: {k: v for k, v in spec.items() if k != 'every'}
  return {name: '; '.join(f'evals.{name}.{d}' for d in _changes(
              words(asked.get(name, {})), words(spec)))
          for name, spec in evals.items()
          if words(asked.get(name, {})) != words(spec)}


def write(path: Path, text: str):
  """Writes a file whole or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}')
  with temporary.open('w', encoding='utf-8') as f:
    f.write(text)
    f.flush()
    os.fsync(f.fileno())
  temporary.replace(path)


def write_json(path: Path, value):
  write(path, json.dumps(value, indent=1) + '\n')


def read_json(path: Path):
  """Raises BadInput when there is no such file, or no JSON in it."""
  try:
    return json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise BadInput(f'no {path.name} in {path.parent}: not a run folder of '
                   'physics_lm') from None
  except ValueError as e:  # no JSON, or no text at all
    raise BadInput(f'{path} is not JSON: {e}') from None


def read_rows(path: Path) -> list[dict]:
  """JSON lines; a torn last line (a kill while writing) is dropped."""
  out = []
  if path.exists():
    for line in path.read_text(encoding='utf-8').splitlines():
      try:
        out.append(json.loads(line))
      except json.JSONDecodeError:
        break
  return out


def identified(config, folder: Path) -> dict:
  """The plain config of a run in `folder`, its parent given by the id of what
  the parent computed: two parents of one name are two parents."""
  out = plain(config)
  if config.init_from:
    for path in (Path(config.init_from), folder.parent / config.init_from):
      if (path / 'config.json').exists():
        out['init_from'] = run_id(read_json(path / 'config.json'))
        break
  return out


def provenance(config, vocab, command: str, device, devices: int,
               members: int = 1, origin: str | None = None) -> dict:
  """What meta.json holds: who computed this, with what, on what. `origin`:
  from the run's folder to that of the run it started from."""
  from importlib import metadata
  root = Path(__file__).resolve().parents[1]

  def git(*args):
    try:
      return subprocess.run(['git', *args], capture_output=True, text=True,
                            cwd=root, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
      return None  # no git, or no repository: unknown

  changed = git('status', '--porcelain', '--', 'physics_lm', 'configs',
                ':(glob)experiments/*.py')
  return {
      'init_from': origin,
      'git': git('rev-parse', 'HEAD'),
      'git_dirty': None if changed is None else bool(changed),
      'command': command,
      'time': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
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


def parent(name: str, folder: Path, vocab) -> Path:
  """The finished run that a run in `folder` starts from: a path, or the id of
  a run beside it. Raises BadInput when it is not finished, or when its
  tokens mean other words."""
  path = place(name, folder)
  if not is_done(path):
    raise BadInput(f'init_from is {name!r}, wanted the folder or id of a '
                   f'finished run (no `done` in {path})')
  check_vocab(path, vocab, f'init_from {name!r}')
  return path


def place(name: str, folder: Path) -> Path:
  """Where the run is that one in `folder` starts from."""
  return Path(name) if Path(name).is_dir() else folder.parent / name


def ancestor(folder: Path) -> Path:
  """The finished run whose parameters the run in `folder` adapts or only
  evaluates, wherever the two have moved together. Raises BadInput when it is
  not there."""
  wanted = read_json(folder / 'config.json')['init_from']
  told = read_json(folder / 'meta.json').get('init_from') or wanted
  for path in (folder / told, folder.parent / wanted):
    if is_done(path) and run_id(read_json(path / 'config.json')) == wanted:
      return path
  raise BadInput(f'{folder} lacks what it took from run {wanted}, which is '
                 f'neither in {folder / told} nor beside it')


def check_vocab(folder: Path, vocab, what: str):
  """Raises BadInput when the run in `folder` was made with another one."""
  theirs = read_json(folder / 'meta.json')['vocab']
  if theirs['sha256'] != vocab.hash:
    raise BadInput(
        f'{what} has another vocabulary ({theirs["kind"]}, {theirs["size"]} '
        f'entries, sha256 {theirs["sha256"][:8]}), wanted {vocab.kind}, '
        f'{len(vocab)}, {vocab.hash[:8]}')


class Locked(Exception):
  """Another live process holds the run folder."""


@contextlib.contextmanager
def lock(folder: Path):
  """Holds the run folder for this process; the system lets go when the
  process ends, however it ends. Raises Locked."""
  folder.mkdir(parents=True, exist_ok=True)
  with (folder / '.lock').open('a') as f:
    for attempt in range(5):  # `state` below looks in for an instant
      try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        break
      except BlockingIOError:
        if attempt == 4:
          raise Locked(str(folder)) from None
        time.sleep(0.05)
    yield


def is_done(folder: Path) -> bool:
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
  """The last step in the metrics, 0 when there is none. Reads the tail."""
  path = folder / 'metrics.jsonl'
  if not path.exists():
    return 0
  with path.open('rb') as f:
    f.seek(max(path.stat().st_size - 4096, 0))
    lines = f.read().decode(errors='replace').splitlines()
  for line in reversed(lines):
    with contextlib.suppress(json.JSONDecodeError):
      return json.loads(line)['step']
  return 0


def results(folder: Path) -> dict:
  """{'extraction/exact/test': ...}: the last evaluations of a finished run,
  beside 'train/...': its last logged training row."""
  out, metrics = {}, read_rows(folder / 'metrics.jsonl')
  train = [r for r in metrics if r['kind'] == 'train']
  if train:
    out |= {f'train/{k}': v for k, v in train[-1].items() if k != 'kind'}
  for path in sorted((folder / 'evals').glob('*/')):
    latest = max(path.glob('*.json'), key=lambda p: int(p.stem), default=None)
    if latest:
      out |= {f'{path.name}/{k}': v for k, v in read_json(latest).items()}
  return out
