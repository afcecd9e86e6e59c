"""Finished runs as records, records as tables, tables as summaries. No JAX.

A record is one run as a plain dict: id, tags, overrides, seed, what every
evaluator measured (rows with named slices), cost and provenance. Records are
committed as JSON lines (experiments/results/<experiment>/<scale>.runs.jsonl);
table, figure and claims of an experiment are functions of them alone.

Some older records summarise several seeds of which only mean and standard
deviation were kept: their rows have 'std', and they have `n_seeds` instead of
a seed and None as `id`. `earlier_design` marks runs that today's experiment no
longer has; its page still shows them, until there are new ones.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from physics_lm import claims, run_dir, sweep
from physics_lm.errors import BadInput

if TYPE_CHECKING:
  import pandas as pd

RESULTS = Path('experiments') / 'results'  # in the working directory
Record = dict[str, Any]
CAPACITY_COLUMNS = (
    'bits_per_param', 'bits_per_param_max', 'parameters', 'bits', 'bits_max',
    'bits_unclipped', 'name_nats', 'value_nats')


def record(run: sweep.Run, folder: Path) -> Record:
  """The record of a finished run; `folder` is its run folder. Raises BadInput
  when it is not one."""
  meta, done = run_dir.read_meta(folder), run_dir.read_json(folder / 'done')
  keys = ('device', 'devices', 'cores', 'python', 'versions', 'git',
          'git_dirty', 'time')
  lacks = [k for k in keys if k not in meta]
  if lacks or not isinstance(done, dict) or 'seconds' not in done:
    raise BadInput(f'{folder} has no {", ".join(lacks or ["seconds"])} in '
                   f'{"meta.json" if lacks else "done"}: not a finished run')
  log = run_dir.read_log(folder)
  train = [r for r in log if r['kind'] == 'train']
  curves = {name: _curve(log, name) for name, spec in run.config.evals.items()
            if spec.every}
  return {
      'id': run.id, 'tags': run.tags, 'config': run.config_file,
      'overrides': run.changes,
      'seed': {k: run.config.seed[k] for k in run.config.seed},
      'step': run.config.steps,
      'train': {k: v for k, v in train[-1].items() if k != 'kind'}
               if train else {},
      'evals': {name: run_dir.read_evaluation(
          folder / f'evals/{name}/{run.config.steps}.json')
                for name in run.config.evals},
      **({'curves': curves} if curves else {}),
      'seconds': done['seconds'], **{k: meta[k] for k in keys[:-1]},
      'finished': done.get('time', meta['time'])}  # older ones: when it began


def _curve(log: Sequence[Mapping], name: str) -> dict[str, list]:
  """{'step': [...], flat name of a metric: [...]} of an evaluation during
  training, to four digits. Raises BadInput for a value that is no number."""
  prefix = f'{name}/'
  rows: dict[int, dict] = {}
  for r in log:  # a row for each evaluation of a step
    own = {k.removeprefix(prefix): v for k, v in r.items()
           if k.startswith(prefix)}
    if r['kind'] == 'eval' and own:
      rows.setdefault(r['step'], {}).update(own)
  steps = sorted(rows)
  out: dict[str, list] = {'step': steps}
  for key in dict.fromkeys(k for step in steps for k in rows[step]):
    values = [rows[step].get(key, math.nan) for step in steps]
    if not all(isinstance(v, (int, float)) for v in values):
      raise BadInput(f'{prefix}{key} is {values[:3]} in a log, wanted numbers')
    out[key] = [float(f'{v:.4g}') for v in values]
  return out


def records_path(out: Path, name: str, scale: str) -> Path:
  """The file of an experiment's records at a scale, below `out`."""
  return out / name / f'{scale}.runs.jsonl'


def read_records(path: Path) -> list[Record]:
  """The records of a file; none where there is no file. Raises BadInput for
  a line that is no record."""
  found = run_dir.read_rows(path)
  for i, r in enumerate(found, 1):
    if not isinstance(r.get('id', 0), (str, type(None))) or not all(
        isinstance(r.get(k), dict) for k in ('tags', 'evals')) or not (
            isinstance(r.get('overrides', r.get('id')), (dict, type(None)))):
      raise BadInput(f'{path} has no record in line {i}, wanted id, tags, '
                     'overrides and evals')
  return found


def write_records(path: Path, records: Sequence[Record]) -> None:
  """Writes a line a record; the file completely or not at all."""
  run_dir.write(path, ''.join(json.dumps(r) + '\n' for r in records))


def committed(out: Path, module: ModuleType, scale: str) -> list[Record]:
  """The records below `out` that runs of an experiment's scale may have, less
  those of earlier designs: the scale's, those of the experiment's other scales
  and, at this scale, of the experiments that it names as SHARED, which have
  some of the same runs. Of a run that several have, the first."""
  own = _todays(records_path(out, module.name, scale))
  others = [(module.name, s) for s in getattr(module, 'SCALES', ())
            if s != scale] + [
      (name, scale) for name in getattr(module, 'SHARED', ())]
  known = {r['id']: r for at in reversed(others)
           for r in _todays(records_path(out, *at)) if r['id']}
  for r in own:
    known.pop(r['id'], None)
  return own + list(known.values())


def _todays(path: Path) -> list[Record]:
  """The records of a file that are not of an earlier design."""
  return [r for r in read_records(path) if not r.get('earlier_design')]


def recorded_ids(records: Sequence[Record], runs: Sequence[sweep.Run]
                 ) -> set[str]:
  """Ids of the runs that have a record, with the evaluations of today: what
  the overrides set of the run's `evals` is the same. (`every`, when they run
  during training, may differ, and the record may have further evaluations.)"""
  known = {r['id']: r['overrides'] for r in records if r['id']}
  return {run.id for run in runs if run.id in known and _of_evals(
      known[run.id], run) == _of_evals(run.changes, run)}


def measured_seconds(records: Sequence[Record], device: str
                     ) -> dict[str, float]:
  """{run id: seconds} of records of one device of this kind (of cost.DEVICES).
  Of a run that was resumed a record's seconds are those since; its training
  counts its own."""
  return {r['id']: max(r['seconds'] or 0, (r['train'] or {}).get(
      'time/seconds', 0)) for r in records
          if r['id'] and r.get('seconds') and r.get('devices') == 1
          and device in r['device'].lower()}


def _of_evals(overrides: Mapping[str, Any] | None, run: sweep.Run
              ) -> dict[str, Any]:
  """The overrides of the run's evaluations."""
  return {k: v for k, v in (overrides or {}).items() if k.startswith(
      tuple(f'evals.{name}.' for name in run.config.evals))
          and not k.endswith('.every')}


def merge(old: Sequence[Record], new: Sequence[Record]) -> list[Record]:
  """The old records, each replaced by the new one of the same run where there
  is one, then the new records of other runs."""
  fresh = {r['id']: r for r in new}
  kept = [fresh.pop(r['id'], r) if r['id'] else r for r in old]
  return kept + list(fresh.values())


def wide(records: Sequence[Record], evaluation: str,
         columns: Mapping[str, str] | Sequence[str], slices: Sequence[str] = (),
         where: Mapping[str, Any] | None = None,
         percent: bool | Sequence[str] = False) -> 'pd.DataFrame':
  """A table with one row a record and combination of slices.

  `columns`: metrics, or {new column: metric}. `where` keeps rows whose slice
  has a value (or one of a tuple of values). Column c has beside it c_low and
  c_high (95 % over test items) where the evaluator reports them, c_std where
  seeds were not kept, and n_items of the first column; c_n where it is of
  another number of items. `percent`: the columns to multiply by 100; True: all.
  Columns: run, the tags, seed or n_seeds, the slices, then those.
  """
  import pandas as pd
  if not isinstance(columns, Mapping):
    columns = {c: c for c in columns}
  of_metric = {m: c for c, m in columns.items()}
  scaled = columns if percent is True else percent or ()
  out = {}
  for i, r in enumerate(records):
    for row in r['evals'].get(evaluation, ()):
      if row['metric'] not in of_metric or not matches(row, where or {}):
        continue
      key = (i, *(row.get(s) for s in slices))
      cell = out.setdefault(key, about(r) | {s: row.get(s) for s in slices})
      column = of_metric[row['metric']]
      for end in ('', '_low', '_high', '_std'):
        value = row.get(end[1:] or 'value')
        if value is not None:
          cell[column + end] = (100 if column in scaled else 1) * value
      if 'n' in row:
        first = column == next(iter(columns))
        cell['n_items' if first else f'{column}_n'] = row['n']
  known = [] if out or not records else [*about(records[0]), *slices]
  frame = pd.DataFrame(list(out.values()), columns=known or None)
  for c in columns:  # of a metric that no run has
    if c not in frame:
      frame[c] = math.nan
  return _distinct_items(frame, columns)


def _distinct_items(df: 'pd.DataFrame', columns: Iterable[str]
                    ) -> 'pd.DataFrame':
  """A table without the numbers of items of a column that are n_items."""
  return df.drop(columns=[
      f'{c}_n' for c in columns if f'{c}_n' in df and 'n_items' in df
      and (df[f'{c}_n'].isna() | (df[f'{c}_n'] == df.n_items)).all()])


def beside(df: 'pd.DataFrame', other: 'pd.DataFrame', column: str
           ) -> 'pd.DataFrame':
  """`df` with a column of another table of the same runs and slices (and its
  _low, _high, _std and number of items)."""
  other = other.rename(columns={'n_items': f'{column}_n'})
  extra = [c for c in other if c == column or c.startswith(f'{column}_')]
  keys = [c for c in other if c in df and c not in extra]
  return _distinct_items(df.merge(other[keys + extra], on=keys, how='left'),
                         [column])


def below(df: 'pd.DataFrame', *others: 'pd.DataFrame') -> 'pd.DataFrame':
  """The rows of tables, one after another, with the columns of the first."""
  import pandas as pd
  return pd.concat([df, *(o.reindex(columns=df.columns) for o in others)],
                   ignore_index=True)


def less_baseline(df: 'pd.DataFrame', columns: Mapping[str, str],
                  baseline: str = 'majority_baseline') -> 'pd.DataFrame':
  """`df` with each {new column: column} less its baseline; where seeds were
  not kept, deviations as of independent columns."""
  out = df.assign(**{new: df[c] - df[baseline] for new, c in columns.items()})
  if f'{baseline}_std' in df:
    for new, c in columns.items():
      out[f'{new}_std'] = (df[f'{c}_std']**2 + df[f'{baseline}_std']**2)**0.5
  return out


def extraction(records: Sequence[Record], evaluation: str = 'extraction',
               by: Sequence[str] = ('person_split', 'attribute'),
               where: Mapping[str, Any] | None = None) -> 'pd.DataFrame':
  """A row a run and combination of `by`, percent, of an evaluation of kind
  'extraction': accuracy of answers to questions and of their first token, of
  the same values inside biographies (bio_accuracy), and the majority
  baseline."""
  where = {'value_tokens': 'all'} | (where or {})
  answers, texts = (
      wide(records, evaluation, columns, by, where | {'text': text}, True)
      for text, columns in (
          ('question', ('accuracy', 'first_token_accuracy',
                        'majority_baseline')),
          ('biography', {'bio_accuracy': 'accuracy'})))
  return beside(answers, texts, 'bio_accuracy')


PROBES = ('p_probe', 'q_probe')


def probes(records: Sequence[Record], finetuned: Sequence[Record] = ()
           ) -> 'pd.DataFrame':
  """A row a run, probe, target and position, percent, on P_test: accuracy,
  and the target's majority baseline. `finetuned`: runs that started from the
  probed ones, whose qa_accuracy is joined by target (for the birth month: the
  accuracy of the first token of dates)."""
  import pandas as pd
  test, parts = {'person_split': 'test'}, []
  for name in PROBES:
    df, baselines = (wide(records, name, (metric,), slices, test, True)
                     for metric, slices in (
                         ('accuracy', ('target', 'position')),
                         ('majority_baseline', ('target',))))
    parts.append(beside(df, baselines, 'majority_baseline').assign(probe=name))
  df = pd.concat(parts, ignore_index=True)
  # A number also when read from a file; nan: all positions.
  df['position'] = pd.to_numeric(df.position, errors='coerce')
  if finetuned:
    qa = wide(finetuned, 'extraction', {
        'qa_accuracy': 'accuracy', 'first': 'first_token_accuracy'},
        ('attribute',), test | {'text': 'question', 'value_tokens': 'all'},
        True)
    month = qa.attribute == 'birth_date'
    for end in ('', '_low', '_high', '_std'):
      if f'first{end}' in qa:
        qa.loc[month, f'qa_accuracy{end}'] = qa[f'first{end}']
    qa = qa.drop(columns=['run', 'training']).rename(
        columns={'attribute': 'target'})
    df = beside(df, qa, 'qa_accuracy')
  return df


def about(r: Record) -> dict:
  """The columns of a table that say which run a row is of."""
  seeds = {} if r['id'] or 'n_seeds' not in r else {'n_seeds': r['n_seeds']}
  return {'run': r['id'], **r['tags'], **seeds}


def matches(row: Mapping, where: Mapping) -> bool:
  """Whether a row has the wanted value, or one of them, of every slice."""
  return all(row.get(k) in v if isinstance(v, (tuple, list, set))
             else row.get(k) == v for k, v in where.items())


def during_training(records: Sequence[Record], evaluation: str,
           columns: Mapping[str, str]) -> 'pd.DataFrame':
  """A table with one row a record and step of an evaluation during training:
  run, the tags, step and {column: flat name of a metric, 'kl/test/chain'}; NaN
  of a metric that a run never had."""
  import pandas as pd
  return pd.DataFrame([
      about(r) | {'step': step} | {
          c: made[k][i] if k in made else math.nan for c, k in columns.items()}
      for r in records for made in [r.get('curves', {}).get(evaluation, {})]
      for i, step in enumerate(made.get('step', ()))])


def train_columns(records: Sequence[Record], columns: Mapping[str, str]
                  ) -> 'pd.DataFrame':
  """A table run, {column: key of the last training row}: join it by `run`."""
  import pandas as pd
  return pd.DataFrame([{'run': r['id'], **{
      c: r['train'].get(k, math.nan) for c, k in columns.items()}}
      for r in records])


def summarise(df: 'pd.DataFrame', by: Sequence[str], columns: Sequence[str]
              ) -> 'pd.DataFrame':
  """Over seeds, by group and in order of appearance: c_mean, c_std, c_low and
  c_high (95 % t interval) of each column, and n_seeds."""
  import pandas as pd
  out = []
  for key, rows in df.groupby(list(by), sort=False, dropna=False):
    line = dict(zip(by, key if isinstance(key, tuple) else (key,)))
    line['n_seeds'] = 0
    for c in columns:
      s = claims.sample(rows, {}, c)
      low = high = std = mean = math.nan
      if s is not None:
        line['n_seeds'] = max(line['n_seeds'], s.n)
        mean, std = s.mean, s.std
        if s.n > 1:
          _, low, high, *_ = claims.mean_effect(s)
      line |= {f'{c}_mean': mean, f'{c}_std': std, f'{c}_low': low,
               f'{c}_high': high}
    out.append(line)
  return pd.DataFrame(out)


def best_by(df: 'pd.DataFrame', by: Sequence[str], over: str | list[str],
            column: str, lowest: bool = False) -> 'pd.DataFrame':
  """The rows whose `over` (a learning rate, say, or several columns) has the
  highest (or lowest) mean of `column` over seeds within its group; none of a
  group without values. A mark in a table:
  df.index.isin(best_by(df, ...).index)."""
  import pandas as pd
  kept = []
  for _, rows in df.groupby(list(by), sort=False, dropna=False):
    choice = rows.groupby(over, sort=False).ngroup()
    means = rows[column].groupby(choice).mean().dropna()
    if len(means):
      best = means.idxmin() if lowest else means.idxmax()
      kept.append(rows[choice == best])
  return pd.concat(kept) if kept else df[:0]


# A column in percent of its value without junk: of which column of `capacity`.
OF_CLEAN = {'of_clean': 'bits_per_param',
            'of_clean_all_terms': 'bits_unclipped'}


def percent_of(df: 'pd.DataFrame', column: str, reference: 'pd.Series',
               keys: Sequence[str]) -> 'pd.Series':
  """`column` in percent of its value in the row of `reference` (a mask of rows,
  one for each combination) with the same `keys`; nan where there is none."""
  known = df[reference].set_index(list(keys))[column].rename('reference')
  return 100 * df[column] / df.join(known, on=list(keys)).reference


def capacity(records: Sequence[Record], evaluation: str = 'bits',
             tasks: Sequence[str] = ('bio',),
             columns: Sequence[str] = CAPACITY_COLUMNS) -> 'pd.DataFrame':
  """A row a run: bits of knowledge, in all and a parameter, what they follow
  from, and exposures_actual, those that training had of `tasks` together."""
  df = wide(records, evaluation, columns, where={'term': 'all'})
  df['parameters'] = df.parameters.astype(int)
  made = train_columns(records, {t: f'exposures/{t}' for t in tasks})
  made['exposures_actual'] = made[list(tasks)].sum(axis=1)
  return df.merge(made[['run', 'exposures_actual']], on='run', how='left')


def known_by_frequency(records: Sequence[Record], sets: Sequence[str]
                       ) -> 'pd.DataFrame':
  """A row a run, set of people (an evaluation of kind 'knowledge_bits', with a
  tag <set>_weight, the share of its world's entries in the full mixture) and
  band of ranks: known, percent of the bits of their values; frequency, share of
  all entries that are about one of them; known_people, known times people. Of
  each run and set: threshold, the frequency at which 50 % is known, and range,
  that at 80 % over that at 20 %; parameters."""
  parts = []
  for name in sets:
    df = wide(records, name, ('known', 'frequency'), ['rank'],
              {'term': 'value'}, percent=['known'])
    df['frequency'] *= df[f'{name}_weight']
    size = wide(records, name, ('parameters',), where={'term': 'all'})
    df['parameters'] = df.run.map(size.set_index('run').parameters)
    at = {p: df.run.map({run: crossing(rows.frequency, rows.known, p)
                         for run, rows in df.groupby('run')})
          for p in (80, 50, 20)}
    parts.append(df.assign(set=name, threshold=at[50], range=at[80] / at[20],
                           known_people=df.known / 100 * df.n_items))
  return below(*parts)


def crossing(x: Sequence[float], y: Sequence[float], level: float) -> float:
  """The x above 0 at which y, made to rise with x by a running maximum, passes
  `level`, linear in log x; nan where it does not."""
  x, y = np.asarray(x, float), np.asarray(y, float)
  order = np.argsort(x)
  y = np.maximum.accumulate(y[order])
  if not y[0] < level < y[-1]:
    return math.nan
  return float(np.exp(np.interp(level, y, np.log(x[order]))))


def text_table(frame: 'pd.DataFrame') -> str:
  """A summary for the terminal: c_mean and c_std become one column c, as
  '61.2 ± 3.4'."""
  shown = frame.copy()
  for name in [c for c in frame if c.endswith('_mean')]:
    stem = name.removesuffix('_mean')
    stds = frame.get(f'{stem}_std', [math.nan] * len(frame))
    at = shown.columns.get_loc(name)
    shown.insert(at, stem, [
        '' if m != m else claims.sample_text(claims.Sample(m, s, 0))
        for m, s in zip(frame[name], stds)])
    shown = shown.drop(columns=[c for c in (
        name, f'{stem}_std', f'{stem}_low', f'{stem}_high') if c in shown])
  return shown.to_string(index=False)


def figure_paths(folder: Path, scale: str) -> list[Path]:
  """The committed figures of a scale: <scale>.png, <scale>_2.png, ..."""
  return [folder / f'{scale}.png', *sorted(folder.glob(f'{scale}_*.png'))]


def _seeds(records: Sequence[Record]) -> dict[str, list[int]]:
  """{key of config.seed: the seeds that the runs had}; nothing for records of
  several seeds."""
  out = {}
  for r in records:
    for k, v in (r.get('seed') or {}).items():
      out.setdefault(k, set()).add(v)
  return {k: sorted(v) for k, v in out.items()}


def provenance(records: Sequence[Record], experiment: str, scale: str) -> dict:
  """Who computed a table, on what: the <scale>.json beside it."""
  def distinct(key):
    return sorted({str(r[key]) for r in records if r.get(key) is not None})
  return {
      'experiment': experiment, 'scale': scale, 'runs': len(records),
      'run_seconds': round(sum(r.get('seconds') or 0 for r in records)),
      **{k: distinct(k) for k in ('device', 'devices', 'cores', 'python',
                                  'git')},
      'seeds': _seeds(records),
      'git_dirty': any(r.get('git_dirty') for r in records),
      'finished': max(distinct('finished'), default=None),
      'versions': next((r['versions'] for r in records if r.get('versions')),
                       {})}
