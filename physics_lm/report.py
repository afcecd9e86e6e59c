"""Table, figure and verdict of an experiment, from its finished runs. No JAX.

  python -m physics_lm.report experiments/knowledge_extraction.py --scale=cpu
  python -m physics_lm.report --all     # the README's scoreboard

A report refuses when runs are missing. It writes <scale>.csv, .png and .json
(who computed it, on what) to experiments/results/<experiment>/.
"""

import dataclasses
import functools
import os
from pathlib import Path

from physics_lm import cli, launch, metrics, store, sweep
from physics_lm.errors import BadInput, command

RESULTS = sweep.ROOT / 'experiments' / 'results'
SCALES = ('paper', 'gpu', 'cpu', 'smoke')  # the scoreboard takes the largest
BEGIN, END = '<!-- scoreboard -->', '<!-- /scoreboard -->'


@dataclasses.dataclass(frozen=True)
class Claim:
  """A statement of a paper, beside what we found."""

  statement: str
  paper: str  # its number
  ours: str  # our number, with n
  reproduced: str  # 'yes', 'no' or 'not tested at this scale'


def gather(module, scale: str, folder: Path) -> tuple[list[dict], dict]:
  """(a dict for each run: tags, id, last metrics; provenance). Raises
  BadInput when a run is missing."""
  runs = module.runs(scale)
  again = launch.line('launch', os.path.relpath(module.__file__), scale,
                      folder.parent)
  missing = [r for r in sweep.ordered(runs)
             if not store.is_done(folder / r.id)]
  if missing:
    raise BadInput(
        f'{len(missing)} of {len(sweep.ordered(runs))} runs are not done '
        f'(first: {launch.label(missing[0])}, {missing[0].id}); run {again}')
  for r in runs:
    if anew := sweep.unanswered(r, folder):
      raise BadInput(f'run {r.id} was asked other questions: '
                     f'{anew}; run {again}')
    for name in r.config.evals:
      if not (folder / r.id / f'evals/{name}/{r.config.steps}.json').exists():
        raise BadInput(f'run {r.id} was not evaluated by {name!r}; run python '
                       f'-m physics_lm.evals {folder / r.id} --eval={name}')
  rows = [{**r.tags, 'run': r.id, **store.results(folder / r.id)}
          for r in runs]
  metas = [store.read_json(folder / r.id / 'meta.json')
           for r in sweep.ordered(runs)]
  seconds = [store.read_json(folder / r.id / 'done')['seconds']
             for r in sweep.ordered(runs)]
  distinct = lambda key: sorted({str(m[key]) for m in metas})
  return rows, {
      'experiment': module.name, 'scale': scale, 'runs': len(metas),
      'run_seconds': round(sum(seconds)), 'device': distinct('device'),
      'devices': distinct('devices'), 'cores': distinct('cores'),
      'python': distinct('python'), 'git': distinct('git'),
      'git_dirty': any(m['git_dirty'] for m in metas),
      'finished': max(distinct('time')),
      'versions': metas[0]['versions']}


def report(module, scale: str, folder: Path, out: Path,
           wandb: str = 'off') -> str:
  """Writes the csv, the figure and the provenance; returns the text. `wandb`:
  'offline' or 'online' mirrors them."""
  import matplotlib
  matplotlib.use('agg')
  rows, made_by = gather(module, scale, folder)
  df = module.table(rows)
  at = out / module.name
  store.write(at / f'{scale}.csv', df.to_csv(index=False, float_format='%.4g'))
  store.write_json(at / f'{scale}.json', made_by)
  figure = module.figure(df)
  # Fixed metadata: the same table gives the same file.
  figure.savefig(at / f'{scale}.png', dpi=150,
                 metadata={'Software': None})
  metrics.mirror_report(folder, wandb, made_by, df, at / f'{scale}.png')
  text = [module.show(df) if hasattr(module, 'show') else df.to_string(
      index=False), '', claims_text(module.verdict(df)), '',
      f'table:  {shown(at / f"{scale}.csv")}',
      f'figure: {shown(at / f"{scale}.png")}']
  return '\n'.join(text)


def shown(path: Path) -> str:
  """Relative to here when it lies below."""
  path = path.absolute()
  return str(path.relative_to(Path.cwd())
             if path.is_relative_to(Path.cwd()) else path)


def claims_text(claims: list[Claim]) -> str:
  """A line a claim; those that were not tested are counted."""
  tested = [c for c in claims if c.reproduced in ('yes', 'no')]
  lines = [f'[{c.reproduced}] {c.statement}: paper {c.paper}; ours {c.ours}'
           for c in tested]
  if len(tested) < len(claims):
    lines.append(f'{len(claims) - len(tested)} of {len(claims)} claims are not '
                 'tested at this scale (no runs, or too few seeds)')
  return '\n'.join(lines)


def scoreboard(results: Path = RESULTS) -> str:
  """The Markdown table of every claim, from the committed results."""
  import pandas as pd
  lines = ['| experiment | claim | paper | ours | reproduced | scale, device |',
           '|---|---|---|---|---|---|']
  for folder in sorted(p for p in results.glob('*') if p.is_dir()):
    module = sweep.experiment(str(sweep.ROOT / f'experiments/{folder.name}.py'))
    scale = next((s for s in SCALES if (folder / f'{s}.csv').exists()), None)
    if scale is None:
      continue
    made_by = store.read_json(folder / f'{scale}.json')
    where = f'{scale}, {"/".join(made_by["device"])}'
    for c in module.verdict(pd.read_csv(folder / f'{scale}.csv')):
      lines.append(f'| [{module.name}](experiments/{module.name}.py) | '
                   f'{c.statement} | {c.paper} | {c.ours} | '
                   f'**{c.reproduced}** | {where} |')
  return '\n'.join(lines)


def rewrite_readme(path: Path) -> bool:
  """Puts the scoreboard between its marks; True when that changed it."""
  text = path.read_text(encoding='utf-8')
  if BEGIN not in text or END not in text:
    raise BadInput(f'{path} has no {BEGIN} ... {END}')
  before, rest = text.split(BEGIN)
  after = rest.split(END)[1]
  new = f'{before}{BEGIN}\n{scoreboard()}\n{END}{after}'
  if new != text:
    store.write(path, new)
  return new != text


@command
def main(argv=None):
  """The command line."""
  p = cli.parser('physics_lm.report', __doc__)
  launch.common_flags(p, nargs='?')
  p.add_argument('--all', action='store_true',
                 help="rewrite the README's scoreboard")
  p.add_argument('--out', type=Path, default=RESULTS,
                 help='where results go (default: experiments/results)')
  p.add_argument('--wandb', default='off',
                 choices=('off', 'offline', 'online'),
                 help='also as a wandb run, in the folder of the runs')
  a = p.parse_args(argv)
  if a.all:
    readme = sweep.ROOT / 'README.md'
    changed = rewrite_readme(readme)
    print(f'{readme}: {"rewritten" if changed else "already up to date"}')
    return
  if not a.experiment:
    raise BadInput('no experiment file; wanted experiments/NAME.py or --all')
  module = sweep.experiment(a.experiment)
  print(report(module, a.scale, a.runs / module.name, a.out, a.wandb))


def spread(df, by: list[str], columns: list[str]):
  """Mean, standard deviation (over runs, ddof 1) and n of columns, by group:
  columns `x_mean`, `x_std` and one `n`."""
  groups = df.groupby(by, sort=False)
  out = groups.size().rename('n').to_frame()
  for c in columns:
    out[f'{c}_mean'] = groups[c].mean()
    out[f'{c}_std'] = groups[c].std(ddof=1)
  return out.reset_index()


BY_PERSON = 'in brackets 95 % by person'


def plus_minus(mean: float, std: float, digits: int = 1) -> str:
  """'61.2 ± 3.4'; of one seed, whose deviation is nan, the mean alone."""
  text = f'{mean:.{digits}f}'
  return text if std != std else f'{text} ± {std:.{digits}f}'


def accuracy(row, what: str = 'exact') -> str:
  """'61.2 ± 3.4 [52.0, 70.1]': mean and standard deviation over seeds (of one
  seed no deviation) and, where the table has it, the interval by person of one
  seed: columns what_mean, what_std, what_low_mean, what_high_mean and n."""
  text = plus_minus(row[f'{what}_mean'], row[f'{what}_std'])
  low, high = (row.get(f'{what}_{end}_mean', float('nan'))
               for end in ('low', 'high'))
  return text if low != low else f'{text} [{percent(low)}, {percent(high)}]'


def held_out(said: str, row, more: str = '') -> str:
  """`said` of accuracies, and of whom: '... (n = 3 seeds of 100 held-out
  people, in brackets 95 % by person)'."""
  brackets = f', {BY_PERSON}' if '[' in said else ''
  return (f'{said} (n = {int(row["n"])} seeds of {int(row["people"])} held-out '
          f'people{brackets}{more})')


def best_rate(df, by: list[str], column: str = 'bits'):
  """Of each row, whether its `rate` is the one of its group with the highest
  mean of `column` over seeds."""
  mean = df.groupby([*by, 'rate'])[column].mean().reset_index()
  best = mean.loc[mean.groupby(by)[column].idxmax()].set_index(by).rate
  return best.reindex(df.set_index(by).index).to_numpy() == df.rate.to_numpy()


percent = functools.partial('{:.1f}'.format)


if __name__ == '__main__':
  main()
