"""Records, table, figure and claims of an experiment's finished runs. No JAX.

  python -m physics_lm.report experiments/knowledge_extraction.py --scale=cpu
  python -m physics_lm.report --all     # docs/results/ and README's table

A report refuses when runs are missing (with --partial it writes what is
there). A run counts when its folder is done here or its record is committed.
It writes <scale>.runs.jsonl (a line a run), .csv, .png and .json (provenance)
to experiments/results/<experiment>/.
"""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from physics_lm import (
  claims,
  metrics,
  result_pages,
  results,
  run_dir,
  sweep,
)
from physics_lm.config import argument_parser
from physics_lm.errors import BadInput, command, disk_errors
from physics_lm.results import RESULTS, records_path

if TYPE_CHECKING:
  import pandas as pd


def gather(module: ModuleType, scale: str, folder: Path, out: Path = RESULTS,
           partial: bool = False) -> list[results.Record]:
  """The records of a scale's runs, in their order: newly made of runs that are
  done in `folder`, else as committed in `out` or in the repository
  (results.committed).

  Raises BadInput when a run is missing or was evaluated by another
  specification; with `partial` only when all are missing. Its own records
  of runs of today are then kept, also of one that is to be evaluated again.
  """
  runs, path = module.runs(scale), records_path(out, module.name, scale)
  old = results.committed(out, module, scale)
  if out.resolve() != results.RESULTS.resolve():  # committed records count
    known = {r['id'] for r in old}
    old += [r for r in results.committed(results.RESULTS, module, scale)
            if r['id'] and r['id'] not in known]
  states = sweep.states(runs, folder, results.recorded_ids(old, runs))
  missing = [r for r in sweep.ordered(runs)
             if states[r.id] not in sweep.COMPLETE]
  without_seeds = any(r['id'] is None for r in old)
  done = any(states[r.id] == 'done' for r in runs)
  if missing and without_seeds and not done:
    # Seeds were not kept: such a table is never added to.
    return [r for r in old if r['id'] is None or r['id'] in states]
  launch_line = sweep.command_line('launch', os.path.relpath(module.__file__),
                                   scale, folder.parent)
  if missing and not (partial and len(missing) < len(states)):
    raise BadInput(_missing(missing, len(states), states, folder, launch_line))
  if missing and without_seeds:
    raise BadInput(f'{path} holds records of all seeds together, which a part '
                   'of the runs would replace; wanted another --out')
  own = {r['id'] for r in results.read_records(path)
         if not r.get('earlier_design')}
  if missing and not done and not own:
    raise BadInput(f'{path} holds no record of today\'s design, and no run is '
                   f'done in {folder}: what other experiments or scales share '
                   'is no report; wanted a run')
  new = [_record(r, folder, launch_line) for r in runs
         if states[r.id] == 'done']
  merged = {r['id']: r for r in results.merge(old, new)}
  return [merged[r.id] | {'tags': r.tags} for r in runs
          if states[r.id] in ('done', 'recorded') or r.id in own]


def _missing(missing: Sequence[sweep.Run], total: int, states: Mapping,
             folder: Path, launch_line: str) -> str:
  """What a report lacks, in one line."""
  first = missing[0]
  if states[first.id] == 'stale-evals':
    return (f'run {first.id} was evaluated by another specification: '
            f'{sweep.stale_evals_text(first, folder)}; run {launch_line}')
  if states[first.id] == 'other-run':
    return sweep.other_run_text(first, folder)
  part = '' if len(missing) == total else (
      ', or report what is done with --partial')
  return (f'{len(missing)} of {total} runs are not done (first: {first.label}, '
          f'{first.id}); run {launch_line}{part}')


def _record(run: sweep.Run, folder: Path, launch_line: str) -> results.Record:
  """The record of a done run. Raises BadInput when an evaluation is missing.
  """
  for name in run.config.evals:
    if not (folder / run.id / f'evals/{name}/{run.config.steps}.json').exists():
      raise BadInput(f'run {run.id} has no results of the evaluation {name!r}; '
                     f'run python -m physics_lm.evals {folder / run.id} '
                     f'--eval={name}')
  return results.record(run, folder / run.id)


def report(module: ModuleType, scale: str, folder: Path, out: Path,
           wandb: str = 'off', partial: bool = False) -> str:
  """Writes records, table, figure and provenance; returns what to print.

  Args:
    wandb: 'offline' or 'online' mirrors them.
    partial: writes the records of the runs that are done when others are
      missing; table and figure where they can be made from these.
  """
  records = gather(module, scale, folder, out, partial)
  path = records_path(out, module.name, scale)
  results.write_records(path, records)
  lines = [f'records: {display_path(path)}']
  missing, at = _lacking(module.runs(scale), records), out / module.name
  if missing:
    lines.append(f'missing: {missing[0]} of {missing[1]} runs')
  try:
    df = write_results(module, scale, records, out)
  except Exception as e:  # an experiment's functions may need all of its runs
    if not missing:
      raise
    kept = '; those there are of earlier records' * (
        at / f'{scale}.csv').exists()
    return '\n'.join([*lines, f'no table and figure: {_too_few(e)}{kept}'])
  metrics.mirror_report(folder, wandb, run_dir.read_json(at / f'{scale}.json'),
                        df, at / f'{scale}.png')
  lines += [f'table:   {display_path(at / f"{scale}.csv")}',
            f'figure:  {display_path(at / f"{scale}.png")}']
  try:
    drawn = [results.text_table(module.summary(df)), '',
             claims_text(claims.judge_experiment(module, df)), '']
  except Exception as e:
    if not missing:
      raise
    return '\n'.join([*lines, f'no summary and claims: {_too_few(e)}'])
  return '\n'.join(drawn + lines)


def _lacking(runs: Sequence[sweep.Run], records: Sequence[results.Record]
             ) -> tuple[int, int] | None:
  """How many runs have no record with today's evaluations, and of how many;
  None where none lacks one, or seeds were not kept."""
  ids = {r.id for r in runs}
  lacking = ids - results.recorded_ids(records, runs)
  if not lacking or any(r['id'] is None for r in records):
    return None
  return len(lacking), len(ids)


def _too_few(e: Exception) -> str:
  """Of an experiment's function that failed while runs are missing."""
  return f'these runs are too few ({type(e).__name__}: {e})'


def write_results(module: ModuleType, scale: str,
                  records: Sequence[results.Record], out: Path
                  ) -> 'pd.DataFrame':
  """Writes the csv, the figures and the provenance of records; returns the
  table. figure() returns one figure or a list: <scale>.png, <scale>_2.png ...
  """
  import matplotlib
  matplotlib.use('agg')
  at, df = out / module.name, module.table(records)
  drawn = module.figure(df)
  pictures = []  # before anything is written
  for figure in drawn if isinstance(drawn, list) else [drawn]:
    pictures.append(io.BytesIO())
    # Fixed metadata: the same table gives the same file.
    figure.savefig(pictures[-1], format='png', dpi=150,
                   metadata={'Software': None})
  run_dir.write(at / f'{scale}.csv',
                df.to_csv(index=False, float_format='%.4g'))
  run_dir.write_json(at / f'{scale}.json',
                     results.provenance(records, module.name, scale))
  for path in results.figure_paths(at, scale)[len(pictures):]:
    path.unlink()  # of a report that had more
  for number, picture in enumerate(pictures, 1):
    end = f'_{number}' if number > 1 else ''
    (at / f'{scale}{end}.png').write_bytes(picture.getvalue())
  return df


def display_path(path: Path) -> str:
  """The path, relative to the current folder when it lies below."""
  path = path.absolute()
  return str(path.relative_to(Path.cwd())
             if path.is_relative_to(Path.cwd()) else path)


def claims_text(judged: Sequence[claims.Judged]) -> str:
  """A line a claim; those that were not run are counted."""
  lines = [f'[{j.outcome}] {j.claim.statement} ({j.claim.source}): paper '
           f'{j.claim.paper}; ours {j.ours_named}; effect {j.interval}, '
           f'{j.effect.method}, n = {j.effect.n}'
           for j in judged if j.effect]
  missing = sum(j.effect is None for j in judged)
  if missing:
    lines.append(f'{missing} of {len(judged)} claims are not run at this scale '
                 f'(no runs, or fewer than {claims.MIN_SEEDS} seeds)')
  return '\n'.join(lines)


@command
def main(argv: Sequence[str] | None = None) -> None:
  """The command line."""
  p = argument_parser('physics_lm.report', __doc__)
  sweep.experiment_flags(p, nargs='?')
  p.add_argument('--all', action='store_true',
                 help="rewrite docs/results/ and README's headline table")
  p.add_argument('--partial', action='store_true',
                 help='write what is done although runs are missing')
  p.add_argument('--out', type=Path, default=RESULTS,
                 help='where results go (default: experiments/results)')
  p.add_argument('--wandb', default='off',
                 choices=('off', 'offline', 'online'),
                 help='also as a wandb run, in the folder of the runs')
  a = p.parse_args(argv)
  if a.all:
    with disk_errors(a.out):
      for path in result_pages.write_all(a.out):
        print(f'rewritten: {display_path(path)}')
    return
  if not a.experiment:
    raise BadInput('no experiment file; wanted experiments/NAME.py or --all')
  module = sweep.experiment(a.experiment)
  # The default need not be there: committed records make a report too.
  if a.runs_dir != sweep.RUNS and not a.runs_dir.is_dir():
    raise BadInput(f'--runs-dir is {str(a.runs_dir)!r}, wanted a folder of '
                   'runs')
  with disk_errors(a.out):
    print(report(module, a.scale, a.runs_dir / module.name, a.out, a.wandb,
                 a.partial))


if __name__ == '__main__':
  main()
