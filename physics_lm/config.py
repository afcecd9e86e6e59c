"""Configs: from flags and files, their canonical form, the run id. No JAX."""

import argparse
import ast
import copy
import hashlib
import importlib.util
import inspect
import json
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from physics_lm.configs import default
from physics_lm.errors import BadInput, nearest
from physics_lm.key_ranges import check_ranges
from physics_lm.model.config import REWARD_KINDS

SETS = ('worlds', 'data.tasks', 'evals')  # of members with names of their own
KINDS = {k: getattr(default, k) for k in (
    'biographies', 'manipulation', 'biod', 'text', 'igsm', 'grammar', 'crawl',
    'markov', 'compose', 'chains', 'recall', 'instruct', 'programs')}
SHIPPED = Path(__file__).resolve().parent  # with the recipes and experiments
# Sections that change nothing that is computed, and so not the run's id.
NOT_COMPUTED = ('runtime', 'log', 'checkpoint', 'evals')
# Sections that do nothing while a key has this value.
UNUSED = (('adapter', 'kind', 'none'), ('teacher', 'run', ''),
          ('post', 'kind', ''))
# (section, key) that name other runs, separated by commas.
OTHER_RUNS = (('post', 'pairs_run'), ('post', 'reward_run'),
              ('post', 'judge_run'), ('teacher', 'run'))
# Keys of `model` that do not change the function that its parameters compute,
# only its training, its rounding, or which tokens its experts drop.
TRAINING_ONLY = ('dropout', 'dtype', 'moe_capacity_factor',
                 'moe_eval_capacity_factor', 'moe_aux_loss_weight',
                 'canon_fixed')
# Keys of `data` that post-training takes from the run that it starts from.
INHERITED_DATA = ('tasks', 'vocab', 'seq_len', 'intra_document_mask')
# Keys that were added after the first runs, with the value that those runs
# used. A config without the key has this value, and the run id leaves the key
# out when it has this value.
LATER = {  # {kind of world: {key: value}}
    'biographies': {'skew': 0.0, 'incorrect': 0.0},
    'manipulation': {'skew': 0.0, 'incorrect': 0.0},
    'biod': {'order': 'random', 'people_per_rank': 1, 'incorrect': 0.0,
             'skew': 0.0},
    'text': {'content': None},
    'grammar': {'index': 0, 'roots': 1, 'corrupted': 0.0, 'noise': 0.0,
                'noise_level': 0},
    'compose': {'judged': False, 'second_names': False, 'exposure': 0.0},
    'markov': {'judged': 0.0},
    'igsm': {'rendering': 'text', 'op_law': 'min2', 'parameters': 'both',
             'held_out_op': 1, 'distractors': -1}}
LATER_SECTIONS = {  # {section: ...}
    'data': {'sampling': 'replacement'},
    'adapter': {'experts': 4, 'penalty': 0.0},
    'optim': {'layer_decay': 1.0, 'unfreeze_every': 0},
    'model': {'positions': 'rotary', 'canon': '', 'canon_fixed': False},
    'post': {'reward_run': '', 'judge_run': '', 'discount': 1.0, 'trace': 1.0,
             'value_weight': 0.1},
    'teacher': {'features': 0.0, 'relations': 0.0}}
LATER_TASK = {'since': None, 'until': None, 'pool': None}


def find_file(path: str) -> Path:
  """The file at a path; where there is none, what the package ships by that
  name: 'configs/igsm.py' and 'experiments/reasoning_depth.py' mean the same in
  any directory."""
  file = Path(path)
  shipped = SHIPPED / file
  known = file.parts[:1] in (('configs',), ('experiments',))
  return shipped if known and not file.exists() and shipped.is_file() else file


def load_module(path: str, what: str) -> ModuleType:
  """Imports a Python file by path (find_file). Raises BadInput when it is not
  one, or imports the shipped recipes by another name than theirs."""
  file = find_file(path)
  if file.suffix != '.py' or not file.is_file():
    raise BadInput(f'no {what} file {path!r}; wanted a path to a .py file')
  spec = importlib.util.spec_from_file_location(file.stem, file)
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except SyntaxError as e:
    raise BadInput(f'{path} is not Python: {e.msg} in line {e.lineno}') from e
  except UnicodeDecodeError as e:
    raise BadInput(f'{path} is not UTF-8 text') from e
  except ImportError as e:
    if (e.name or '').split('.')[0] != 'configs':
      raise
    raise BadInput(f'{path}: {e}; wanted `from physics_lm.configs import ...` '
                   'for the recipes of this package') from e
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
  if not isinstance(config, ConfigDict):
    raise BadInput(f'get_config() of {path} returned {type(config).__name__}, '
                   'wanted a ConfigDict')
  return config.lock()


def _copy(config: ConfigDict) -> ConfigDict:
  """Placeholders keep their types."""
  try:  # ten times faster than deepcopy: experiments have hundreds of configs
    return pickle.loads(pickle.dumps(config))
  except (pickle.PicklingError, AttributeError, TypeError):  # a local function
    return copy.deepcopy(config)


def override(config: ConfigDict, changes: dict) -> ConfigDict:
  """A locked copy with {'dotted.path': value} applied, strictly: an unknown
  key or a value of another type or out of its key's range raises BadInput.
  'evals.NAME.kind' of a new name adds an evaluation, whose other keys may be
  set as well."""
  config = _copy(config)
  for path, kind in changes.items():
    keys = path.split('.')
    if keys[0] == 'evals' and keys[2:] == ['kind'] and (
        keys[1] not in config.get('evals', {keys[1]})):
      with config.unlocked():
        config.evals[keys[1]] = default.evaluation(kind)
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
  check_ranges(config)
  return config.lock()


def parse_value(text: str) -> Any:
  """A Python literal, or the text itself."""
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
    return {'true': True, 'false': False}.get(text.lower(), text)


def parse_config(argv: Sequence[str]) -> tuple[ConfigDict, str]:
  """(config, workdir) of --config=FILE[:VARIANT] --workdir=DIR
  [--config.a.b=VALUE ...]. Raises BadInput; --help prints and exits."""
  usage = (f'usage: python -m {_name(argv)} --config=configs/FILE.py[:VARIANT] '
           '--workdir=DIR [--config.KEY=VALUE ...]')
  if {'-h', '--help'} & set(argv[1:]):
    print(usage + '\nconfigs/default.py documents every key.')
    sys.exit(0)
  flags = {}
  rest = list(argv[1:])
  while rest:
    arg = rest.pop(0)
    key, equals, value = arg.partition('=')
    if not equals and rest and not rest[0].startswith('--'):
      value, equals = rest.pop(0), '='
    if not key.startswith('--') or not equals:
      raise BadInput(f'cannot read argument {arg!r}; {usage}')
    flags[key[2:]] = value
  for needed in ('config', 'workdir'):
    if not flags.get(needed):
      raise BadInput(f'no --{needed}; {usage}')
  config, workdir = load_config(flags.pop('config')), flags.pop('workdir')
  changes = {}
  for key, value in flags.items():
    if not key.startswith('config.'):
      raise BadInput(f'unknown flag --{key}; {usage}')
    changes[key.removeprefix('config.')] = value
  if config.post.kind and changes.get('init_from'):
    config = _from_parent(config, changes, Path(workdir))
  return override(config, {
      k: typed_value(config, k, v) for k, v in changes.items()}), workdir


def _from_parent(config: ConfigDict, changes: dict[str, str], workdir: Path
                 ) -> ConfigDict:
  """A recipe of post-training, inherited from the folder that init_from names;
  as it is where that is the id of a run beside `workdir`, of which the launcher
  has all keys. Raises BadInput when it is neither."""
  name = changes['init_from']
  if Path(name).is_dir():
    own = {k: typed_value(config, k, v) for k, v in changes.items()
           if k.startswith('post.')}
    return inherited(override(config, own), Path(name))
  if not (workdir.parent / name).is_dir():
    raise BadInput(f'init_from is {name!r}, wanted the folder or id of a '
                   'finished run')
  return config


def inherited(config: ConfigDict, folder: Path) -> ConfigDict:
  """A recipe of post-training with the worlds, tasks, vocabulary, model,
  evaluations and seed of the world of the run in `folder`. Raises BadInput when
  it is none."""
  file = folder / 'config.json'
  try:
    stored = with_defaults(json.loads(file.read_text(encoding='utf-8')), file)
  except (OSError, ValueError) as e:
    raise BadInput(f'init_from is {str(folder)!r}: {file.name} cannot be read '
                   f'({str(e)[:100]}), wanted the folder of a run') from e
  config = copy.deepcopy(config)
  with config.unlocked():
    config.worlds = stored['worlds']
    config.model = retyped(ConfigDict(stored['model']), config.model)
    for key in INHERITED_DATA:
      config.data[key] = stored['data'][key]
    config.seed.world = stored['seed']['world']
    for task in config.data.tasks.values():
      retyped(task, default.task('', '', 1.0))
    for world in config.worlds.values():
      retyped(world, KINDS[world.kind]())
    config.evals = stored['evals']
    for spec in config.evals.values():
      retyped(spec, default.evaluation(''))
      if spec.kind == 'policy' and config.post.kind in REWARD_KINDS:
        # A head chooses among answers: it is no policy that gives them.
        spec.kind = 'selection'
        spec.reward = spec.reward or config.post.reward
  return config.lock()


def retyped(node: ConfigDict, like: ConfigDict) -> ConfigDict:
  """In place: None takes the type of its key in `like` (JSON keeps no type), so
  that it can be overridden."""
  for key in node:
    if key not in like:
      continue
    if isinstance(node[key], ConfigDict):
      retyped(node[key], like[key])
    elif node[key] is None:
      del node[key]
      node[key] = placeholder(like.get_type(key))
  return node


def typed_value(config: ConfigDict, path: str, text: str) -> Any:
  """A flag's text as a value of the type that the config has at `path`. Where
  that is text, '7' stays text: it can be a run id."""
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


def plain_config(config: ConfigDict) -> dict:
  """A ConfigDict as nested plain dicts."""
  return json.loads(config.to_json_best_effort())


def computed_part(config: dict) -> dict:
  """The part of a plain config that decides the result. A parent run counts
  by its folder's name, which for a launched run is its id. Sections and keys
  that were added later are left out while they have their old value."""
  kept = {k: v for k, v in config.items() if k not in NOT_COMPUTED}
  if kept.get('init_from'):  # a foreign file may lack it
    kept['init_from'] = Path(kept['init_from']).name
  for section, key, none in UNUSED:
    if kept.get(section, {}).get(key) == none:
      del kept[section]
  for section, key in OTHER_RUNS:
    if kept.get(section, {}).get(key):
      kept[section] = kept[section] | {key: ','.join(
          Path(name.strip()).name for name in kept[section][key].split(','))}
  for section in LATER_SECTIONS.keys() & kept.keys():
    kept[section] = _without(kept[section], LATER_SECTIONS[section])
  if 'tasks' in kept.get('data', {}):
    kept['data']['tasks'] = {name: _without(t, LATER_TASK)
                             for name, t in kept['data']['tasks'].items()}
  if 'worlds' in kept:
    kept['worlds'] = {name: _without(w, LATER.get(w['kind'], {}))
                      for name, w in kept['worlds'].items()}
  return kept


def _without(tree: Mapping, neutral: Mapping) -> dict:
  """`tree` less the keys that have their neutral value."""
  return {k: v for k, v in tree.items()
          if k not in neutral or v != neutral[k]}


def with_defaults(stored: dict, where: Path | str = 'config.json') -> dict:
  """The plain config of an older run, with the keys that were added later.
  Raises BadInput, which names `where` it was read, when it is none."""
  misfit = next(_misfits(stored, default.get_config(), ''), None)
  if misfit:
    raise BadInput(f'{where} is no config of physics_lm: {misfit}')
  known, out = plain_config(default.get_config()), dict(stored)
  for section, _, _ in UNUSED:
    out[section] = stored.get(section, known[section])
  for section in LATER_SECTIONS.keys() & out.keys():
    out[section] = LATER_SECTIONS[section] | out[section]
  if 'tasks' in out.get('data', {}):
    out['data'] = out['data'] | {'tasks': {
        name: LATER_TASK | t for name, t in out['data']['tasks'].items()}}
  if 'worlds' in out:
    out['worlds'] = {name: LATER.get(w.get('kind'), {}) | w
                     for name, w in out['worlds'].items()}
  for section in {'runtime', 'log', 'checkpoint'} & out.keys():
    out[section] = known[section] | out[section]
  if 'evals' in out:
    out['evals'] = {
        name: plain_config(default.evaluation(spec.get('kind', ''))) | spec
        for name, spec in out['evals'].items()}
  return out


def _misfits(stored: Any, like: ConfigDict, path: str) -> Iterator[str]:
  """'key is FOUND, wanted TYPE' of what a plain config has otherwise than a
  known one; keys that are missing or unknown do not count."""
  if not isinstance(stored, dict):
    yield f'{path or "it"} is {str(stored)[:40]}, wanted keys and values'
    return
  for key, value in stored.items():
    at = f'{path}.{key}'.removeprefix('.')
    if at in SETS or path in SETS:  # of worlds, tasks and evaluations
      if not isinstance(value, dict):
        yield f'{at} is {str(value)[:40]}, wanted keys and values'
      elif at not in SETS:
        yield from _misfits(value, _member(path, value), at)
      else:
        yield from _misfits(value, ConfigDict(), at)
    elif key in like and isinstance(like[key], ConfigDict):
      yield from _misfits(value, like[key], at)
    elif key in like and not _has_type(value, like, key):
      yield (f'{at} is {str(value)[:40]}, wanted '
             f'{like.get_type(key).__name__}')


def _member(kind: str, member: dict) -> ConfigDict:
  """The known keys of a world, a task or an evaluation."""
  if kind == 'worlds':
    make = KINDS.get(str(member.get('kind')))
    return make() if make else ConfigDict({'kind': ''})
  return default.task('', '', 1.0) if kind == 'data.tasks' else (
      default.evaluation(''))


def _has_type(value: Any, like: ConfigDict, key: str) -> bool:
  wanted = like.get_type(key)
  if value is None:
    return like[key] is None
  return type(value) is wanted or (wanted is float and type(value) is int)


def run_id(config: dict) -> str:
  """Ten hexadecimal digits: a hash of what is computed."""
  text = json.dumps(computed_part(config), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:10]


def flat_keys(tree: dict, prefix: str = '') -> dict:
  """{'a.b': leaf} of nested dicts."""
  out = {}
  for k, v in tree.items():
    if isinstance(v, dict):
      out |= flat_keys(v, f'{prefix}{k}.')
    else:
      out[prefix + k] = v
  return out


def config_difference(stored: dict, current: dict) -> list[str]:
  """'key: stored -> current' for each difference in what is computed."""
  return config_changes(flat_keys(computed_part(stored)),
                        flat_keys(computed_part(current)))


def model_differences(stored: dict, wanted: dict) -> list[str]:
  """'model.key is FOUND, wanted WANTED' for each key in which the models of two
  plain configs differ as functions of their parameters: in shapes or in what is
  computed. Keys of training alone (dropout, dtype, experts' loss and capacity)
  may differ."""
  found, other = model_function(stored), model_function(wanted)
  return [f'{k} is {found[k]}, wanted {other[k]}' for k in found
          if found[k] != other[k]]


def model_function(config: dict) -> dict:
  """{key: value} of what decides the function that a plain config's model is,
  written in one way: None of kv_heads is the number of heads."""
  m = plain_config(default.get_config())['model'] | config['model']
  out = {f'model.{k}': v for k, v in m.items() if k not in TRAINING_ONLY}
  if m['kv_heads'] is None:
    out['model.kv_heads'] = m['heads']
  # Two ratios may round to one width.
  out['model.mlp_ratio'] = round(m['mlp_ratio'] * m['width']) / m['width']
  if m['positions'] in ('absolute', 'distance'):  # a row of a table each
    out['data.seq_len'] = config['data']['seq_len']
  masked = bool(config['data'].get('mlm_probability'))
  return out | {'attention to later tokens (data.mlm_probability above 0)':
                masked}


def config_changes(a: dict, b: dict) -> list[str]:
  """'key: a -> b' for each key in which two flat configs differ."""
  return [f'{k}: {a.get(k, "absent")} -> {b.get(k, "absent")}'
          for k in sorted(a.keys() | b.keys())
          if a.get(k, '__absent') != b.get(k, '__absent')]
