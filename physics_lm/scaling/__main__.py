"""Fit a scaling law to a table of runs. No JAX.

  python -m physics_lm.scaling fit runs.csv --n=N --d=D --loss=loss
      [--law=chinchilla|kaplan] [--objective=huber_log] [--delta=1e-3]
      [--bootstrap=1000] [--group=COL] --out=DIR

Reads CSV or JSON lines (.jsonl). Nothing is normalised: give N as a count, D
in tokens, loss in nats a token. Writes report.json, report.md and figures.
With --group the bootstrap resamples whole runs: checkpoints of one run are
not independent.
"""

from pathlib import Path

import numpy as np

from physics_lm import cli, store
from physics_lm.errors import BadInput, command, disk_errors, nearest
from physics_lm.scaling import fit, plots, solve


def read(path: Path, columns: list[str]) -> list[np.ndarray]:
  """Columns of a table, in order. Raises BadInput for a missing file or
  column."""
  import pandas as pd
  if not path.is_file():
    raise BadInput(f'no file {str(path)!r}; wanted a .csv or .jsonl table')
  try:
    df = (pd.read_json(path, lines=True) if path.suffix == '.jsonl'
          else pd.read_csv(path))
  except ValueError as e:
    raise BadInput(f'{path} is not a readable table: {e}') from e
  for c in columns:
    if c not in df:
      raise BadInput(f'no column {c!r} in {path}; {nearest(c, df.columns)}')
  return [df[c].to_numpy() for c in columns]


def summary(f: fit.Fit, draws: fit.Bootstrap | None) -> dict:
  """What report.json holds."""
  out = {
      'law': f.law, 'params': f.params, 'objective': f.objective,
      'objective_name': f.objective_name, 'delta': f.delta, 'n': f.n,
      'status': f.status, 'starts': f.starts, 'agree': f.agree,
      'gradient_norm': f.gradient_norm,
      'residual_mean': float(f.residuals.mean()),
      'residual_sd': float(f.residuals.std(ddof=1)),
      'residual_largest': float(np.abs(f.residuals).max())}
  derived = {}
  if f.law == 'chinchilla':
    derived = {'a': lambda p: p['beta'] / (p['alpha'] + p['beta']),
               'b': lambda p: p['alpha'] / (p['alpha'] + p['beta'])}
    out['derived'] = {k: float(fn(f.params)) for k, fn in derived.items()}
  if draws is not None:
    names = {k: (lambda p, k=k: p[k]) for k in f.params} | derived
    out['bootstrap'] = {'draws': len(next(iter(draws.params.values()), ())),
                        'failures': draws.failures}
    out['interval_95'] = {k: draws.interval(fn) for k, fn in names.items()}
  return out


def markdown(s: dict, grouped: bool) -> str:
  """report.md: the same for a reader."""
  lines = [f'# {s["law"]}: {s["n"]} points, {s["status"]}', '',
           f'Objective {s["objective"]:.9g} ({s["objective_name"]}, delta '
           f'{s["delta"]:g}, sum); {s["agree"]} of {s["starts"]} starts agree, '
           f'gradient norm {s["gradient_norm"]:.1e}.', '',
           '| quantity | value | 95 % interval |', '|---|---|---|']
  intervals = s.get('interval_95', {})
  for k, v in (s['params'] | s.get('derived', {})).items():
    shown = ' to '.join(f'{x:.6g}' for x in intervals.get(k, ()))
    lines.append(f'| {k} | {v:.7g} | {shown} |')
  if intervals:
    lines += ['', f'Bootstrap by {"group" if grouped else "row"}, '
              f'{s["bootstrap"]["draws"]} draws, {s["bootstrap"]["failures"]} '
              'failed.']
    if not grouped:
      lines.append('Rows that are checkpoints of one run are not independent: '
                   'give --group, or these intervals are too narrow.')
  lines += ['', f'Residuals: mean {s["residual_mean"]:.2g}, sd '
            f'{s["residual_sd"]:.2g}, largest {s["residual_largest"]:.2g}.']
  return '\n'.join(lines) + '\n'


@command
def main(argv=None):
  """The command line."""
  p = cli.parser('physics_lm.scaling', __doc__)
  p.add_argument('what', choices=('fit',))
  p.add_argument('table', type=Path, help='.csv or .jsonl')
  p.add_argument('--n', required=True, help='column: parameters')
  p.add_argument('--d', required=True, help='column: tokens')
  p.add_argument('--loss', required=True, help='column: nats a token')
  p.add_argument('--group', help='column: which run a row is of')
  p.add_argument('--law', default='chinchilla',
                 choices=('chinchilla', 'kaplan'))
  p.add_argument('--objective', default='huber_log', choices=solve.OBJECTIVES,
                 help='of the chinchilla law')
  p.add_argument('--delta', type=float, default=1e-3, help='of Huber')
  p.add_argument('--bootstrap', type=int, default=1000, metavar='DRAWS',
                 help='0: none')
  p.add_argument('--seed', type=int, default=0)
  p.add_argument('--out', type=Path, required=True)
  a = p.parse_args(argv)
  if a.bootstrap < 0 or a.delta <= 0:
    raise BadInput(f'--bootstrap is {a.bootstrap} and --delta {a.delta}, '
                   'wanted >= 0 and > 0')
  if a.law == 'kaplan' and a.objective != 'huber_log':
    raise BadInput(f'--objective is {a.objective}, wanted huber_log for kaplan')
  n, d, loss, *group = read(a.table, [a.n, a.d, a.loss] + (
      [a.group] if a.group else []))
  try:
    if a.law == 'kaplan':
      f = fit.kaplan_nd(n, d, loss, delta=a.delta, seed=a.seed)
    else:
      f = fit.chinchilla(n, d, loss, objective=a.objective, delta=a.delta,
                         seed=a.seed)
  except ValueError as e:
    raise BadInput(f'{a.table}: {e}') from e
  draws = None
  if a.bootstrap:
    bar = cli.Progress(a.bootstrap, 0, 'bootstrap', 'draw')
    draws = fit.bootstrap(f, a.bootstrap, group[0] if group else None, a.seed,
                          bar.update)
    bar.close()
  s = summary(f, draws)
  with disk_errors(a.out):
    store.write_json(a.out / 'report.json', s)
    store.write(a.out / 'report.md', markdown(s, bool(group)))
    figures = {'residuals': plots.residuals(f)}
    if f.law == 'chinchilla':
      figures |= {'frontier': plots.frontier(f, draws),
                  'contours': plots.contours(f)}
      if draws is not None:
        figures['pairs'] = plots.pairs(draws)
    for name, figure in figures.items():
      figure.savefig(a.out / f'{name}.png', dpi=150)
  print(markdown(s, bool(group)))
  print(f'written: {a.out}/report.json, report.md, '
        + ', '.join(f'{k}.png' for k in figures))


if __name__ == '__main__':
  main()
