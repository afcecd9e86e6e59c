"""A table of this project's own runs, for the fits. No JAX."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ml_collections import ConfigDict

from physics_lm import run_dir
from physics_lm.config import (
  computed_part,
  flat_keys,
  with_defaults,
)
from physics_lm.errors import BadInput
from physics_lm.evals import records
from physics_lm.model.config import model_config
from physics_lm.scaling import flops

if TYPE_CHECKING:
  import pandas as pd


def sizes(config: ConfigDict, vocab: int) -> dict[str, float]:
  """N (parameters with embeddings), N_ne (without), D (training tokens) and
  C_<convention> (training FLOPs by each of flops.CONVENTIONS) of a config over
  a vocabulary of `vocab` entries. Raises BadInput."""
  form = model_config(config, vocab)
  count = flops.parameters(form)
  tokens = config.steps * config.data.batch_size * config.data.seq_len
  return {'N': count.total, 'N_ne': count.rest, 'D': tokens} | {
      f'C_{name}': tokens * flops.train_per_token(
          form, config.data.seq_len, name)['total']
      for name in flops.CONVENTIONS}


class RunTable(NamedTuple):
  """Rows of finished runs, and what each run was trained on."""

  rows: list[dict]
  trained_on: dict[str, dict]  # {run id: {what: value}}, flat

  def one_data_set(self, folder: Path, runs: Iterable[str]) -> dict:
    """What all of these runs were trained on. Raises BadInput, which names the
    difference, when they do not share it: no law holds for both."""
    found = {name: self.trained_on[name] for name in runs}
    kinds = Counter(tuple(sorted((k, str(v)) for k, v in d.items()))
                    for d in found.values())
    if len(kinds) > 1:
      raise BadInput(
          f'the runs in {folder} were trained on {len(kinds)} kinds of data or '
          f'schedule: {_differences(found.values())}; wanted one, as --where '
          'chooses, or --pool to fit them as one')
    return next(iter(found.values()))


def _differences(found: Iterable[Mapping]) -> str:
  """'world: bios (2 runs), text (9 runs)' of up to three keys that differ."""
  found, out = list(found), []
  for key in dict.fromkeys(k for d in found for k in d):
    values = Counter(str(d.get(key, 'none')) for d in found)
    if len(values) > 1:
      out.append(f'{key}: ' + ', '.join(
          f'{v[:40]} ({n} runs)' for v, n in values.most_common(4)))
  more = f'; {len(out) - 3} more keys' if len(out) > 3 else ''
  return '; '.join(out[:3]) + more


def data_of(config: Mapping) -> dict:
  """What decides the distribution that a plain config trains on and the
  schedule on which its last loss depends, flat; seeds and sizes are not among
  it."""
  worlds, data = config['worlds'], config['data']
  used = {t['world'] for t in data['tasks'].values()
          if t['weight']} & set(worlds)
  return {'world': '+'.join(sorted({worlds[w]['kind'] for w in used})),
          'data.seq_len': data['seq_len'],
          'optim.schedule': config['optim']['schedule']} | flat_keys(
              {'worlds': {w: worlds[w] for w in sorted(used)},
               'data': {k: data[k] for k in (
                   'vocab', 'source', 'module', 'mlm_probability',
                   'tasks')}})


def read_runs(folder: Path, per_step: bool = False) -> 'pd.DataFrame':
  """The rows of run_rows as a data frame."""
  import pandas as pd
  return pd.DataFrame(run_rows(folder, per_step).rows)


def run_rows(folder: Path, per_step: bool = False) -> RunTable:
  """The finished runs in runs/<experiment>, a row each: `run` (its id),
  sizes(), `world` (kinds), `vocabulary` (entries), every key of the configs in
  which the runs differ, and every last evaluation, by flat names
  (records.flat_name); with `per_step` a row for each logged step, its D and its
  training loss as 'loss'. Raises BadInput when none is done, or a file of one
  is damaged.

  A run that started from another counts its own tokens only.
  """
  runs, keys, trained_on = [], {}, {}
  for path in sorted(folder.glob('*/config.json')):
    at = path.parent
    if not run_dir.is_done(at):
      continue
    try:
      plain = with_defaults(run_dir.read_json(path), path)
      config = ConfigDict(plain)
      entries = run_dir.read_vocab(at)['size']
      trained_on[at.name] = data_of(plain) | {'vocabulary': entries}
      size = sizes(config, entries)
      keys[at.name] = flat_keys(computed_part(plain))
      rows = [{'run': at.name, **size} | measured
              for measured in _measured(at, size, per_step)]
    except BadInput:
      raise
    except (LookupError, TypeError, AttributeError, ValueError,
            ArithmeticError) as e:
      raise BadInput(f'{at} is no finished run of physics_lm: '
                     f'{type(e).__name__}: {str(e)[:100]}') from e
    runs.append((at.name, rows))
  if not any(rows for _, rows in runs):
    raise BadInput(f'no finished run in {folder}; wanted a folder '
                   'runs/<experiment> of this project')
  varied = _varied(keys)
  return RunTable([
      {k: v for k, v in (trained_on[name] | varied[name]).items()
       if k in ('world', 'vocabulary') or k in varied[name]} | row
      for name, rows in runs for row in rows], trained_on)


def _varied(keys: Mapping[str, Mapping]) -> dict[str, dict]:
  """{run: those of its config's keys in which the runs differ}."""
  names = dict.fromkeys(k for d in keys.values() for k in d)
  differ = [k for k in names
            if len({repr(d.get(k)) for d in keys.values()}) > 1]
  return {run: {k: d.get(k) for k in differ} for run, d in keys.items()}


def _measured(at: Path, size: Mapping, per_step: bool) -> Iterator[dict]:
  """What a finished run measured: at its end, or at each logged step."""
  if not per_step:
    train, evals = run_dir.results(at)
    yield {f'train/{k}': v for k, v in train.items() if k != 'kind'} | {
        k: v for name, rows in evals.items()
        for k, v in records.flatten(rows, name).items()}
    return
  for logged in run_dir.read_log(at):
    if logged['kind'] == 'train':
      yield _at(size, logged['tokens'] / size['D']) | {'loss': logged['loss']}


def _at(row: Mapping, share: float) -> dict:
  """A run's sizes after a share of its tokens."""
  return {k: v * share if k[0] in 'CD' else v for k, v in row.items()}
