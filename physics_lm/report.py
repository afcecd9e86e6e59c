"""Records, table, figure and claims of an experiment's finished runs. No JAX.

  python -m physics_lm.report experiments/knowledge_extraction.py --scale=cpu
  python -m physics_lm.report --all     # docs/results/ and README's table

A report refuses when runs are missing. A run counts when its folder is done
here or its record is committed. It writes <scale>.runs.jsonl (a line a run),
.csv, .png and .json (provenance) to experiments/results/<experiment>/.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from physics_lm import claims, cli, launch, metrics, results, store, sweep
from physics_lm.errors import BadInput, command

RESULTS = sweep.ROOT / 'experiments' / 'results'


def records_path(out: Path, name: str, scale: str) -> Path:
  """Where the records of an experiment's scale lie."""
  return out / name / f'{scale}.runs.jsonl'


def gather(module, scale: str, folder: Path, out: Path = RESULTS
           ) -> list[results.Record]:
  """The records of every run of a scale: of those done in `folder` newly made,
  else as committed in `out`. Raises BadInput when a run is missing or was
  evaluated by another specification."""
  runs = module.runs(scale)
  old = results.read_records(records_path(out, module.name, scale))
  known = {r['id'] for r in old}
  wanted = sweep.ordered(runs)
  done = {r.id for r in wanted if store.is_done(folder / r.id)}
  missing = [r for r in wanted if r.id not in done and not _recorded(
      r, known, runs)]
  again = launch.line('launch', os.path.relpath(module.__file__), scale,
                      folder.parent)
  if missing and None in known and not done:
    return old  # a table whose seeds were not kept: nothing to add to it
  if missing:
    raise BadInput(
        f'{len(missing)} of {len(wanted)} runs are not done '
        f'(first: {launch.label(missing[0])}, {missing[0].id}); run {again}')
  for r in runs:
    if r.id in done:
      _check_evaluated(r, folder, again)
  new = [results.record(r, folder / r.id) for r in runs if r.id in done]
  return results.merge([r for r in old if r['id']], new)


def _recorded(run: sweep.Run, known: set, runs: Sequence[sweep.Run]) -> bool:
  """Whether a run's record is known; of a run that others only start from,
  whether those that do are."""
  if run.id in known:
    return True
  return run not in runs and all(
      r.id in known for r in runs if run in (r.init_from, r.trunk))


def _check_evaluated(run: sweep.Run, folder: Path, again: str):
  if stale := sweep.stale_evals(run, folder):
    raise BadInput(f'run {run.id} was evaluated by another specification: '
                   f'{stale}; run {again}')
  for name in run.config.evals:
    if not (folder / run.id / f'evals/{name}/{run.config.steps}.json').exists():
      raise BadInput(f'run {run.id} was not evaluated by {name!r}; run python '
                     f'-m physics_lm.evals {folder / run.id} --eval={name}')


def judge(module, df) -> list[claims.Judged]:
  """Every claim of an experiment on its table."""
  measures = module.measures(df) if hasattr(module, 'measures') else {}
  return claims.judge_all(module.CLAIMS, df, measures)


def report(module, scale: str, folder: Path, out: Path,
           wandb: str = 'off') -> str:
  """Writes records, table, figure and provenance; returns what to print.
  `wandb`: 'offline' or 'online' mirrors them."""
  records = gather(module, scale, folder, out)
  results.write_records(records_path(out, module.name, scale), records)
  df = write_results(module, scale, records, out)
  at = out / module.name
  metrics.mirror_report(folder, wandb, store.read_json(at / f'{scale}.json'),
                        df, at / f'{scale}.png')
  return '\n'.join([
      results.text_table(module.summary(df)), '',
      claims_text(judge(module, df)), '',
      f'records: {shown(records_path(out, module.name, scale))}',
      f'table:   {shown(at / f"{scale}.csv")}',
      f'figure:  {shown(at / f"{scale}.png")}'])


def write_results(module, scale: str, records: Sequence[results.Record],
                  out: Path):
  """Writes the csv, the figure and the provenance of records; returns the
  table."""
  import matplotlib
  matplotlib.use('agg')
  at = out / module.name
  df = module.table(records)
  store.write(at / f'{scale}.csv', df.to_csv(index=False, float_format='%.4g'))
  store.write_json(at / f'{scale}.json',
                   results.provenance(records, module.name, scale))
  # Fixed metadata: the same table gives the same file.
  module.figure(df).savefig(at / f'{scale}.png', dpi=150,
                            metadata={'Software': None})
  return df


def shown(path: Path) -> str:
  """Relative to here when it lies below."""
  path = path.absolute()
  return str(path.relative_to(Path.cwd())
             if path.is_relative_to(Path.cwd()) else path)


def claims_text(judged: Sequence[claims.Judged]) -> str:
  """A line a claim; those that were not run are counted."""
  lines = [f'[{j.outcome}] {j.claim.statement} ({j.claim.source}): paper '
           f'{j.claim.paper}; ours {j.ours}; effect {j.interval}, '
           f'{j.effect.method}, n = {j.effect.n}'
           for j in judged if j.effect]
  missing = sum(j.effect is None for j in judged)
  if missing:
    lines.append(f'{missing} of {len(judged)} claims are not run at this scale '
                 f'(no runs, or fewer than {claims.MIN_SEEDS} seeds)')
  return '\n'.join(lines)


@command
def main(argv=None):
  """The command line."""
  p = cli.parser('physics_lm.report', __doc__)
  launch.common_flags(p, nargs='?')
  p.add_argument('--all', action='store_true',
                 help="rewrite docs/results/ and README's headline table")
  p.add_argument('--out', type=Path, default=RESULTS,
                 help='where results go (default: experiments/results)')
  p.add_argument('--wandb', default='off',
                 choices=('off', 'offline', 'online'),
                 help='also as a wandb run, in the folder of the runs')
  a = p.parse_args(argv)
  if a.all:
    from physics_lm import result_pages
    for path in result_pages.write_all(a.out):
      print(f'rewritten: {shown(path)}')
    return
  if not a.experiment:
    raise BadInput('no experiment file; wanted experiments/NAME.py or --all')
  module = sweep.experiment(a.experiment)
  print(report(module, a.scale, a.runs / module.name, a.out, a.wandb))


if __name__ == '__main__':
  main()
