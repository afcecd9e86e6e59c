"""Fit a scaling law to a table of runs. No JAX.

  python -m physics_lm.scaling fit runs.csv --n=COL --d=COL --loss=COL
      [--law=chinchilla|p_norm|kaplan] [--tie] [--no-asymptote]
      [--group=COL] [--budget=COL] [--flops=COL] [--where=EXPRESSION]
      [--bootstrap=1000] --out=DIR
  python -m physics_lm.scaling fit runs.csv --law=data_constrained --unique=COL
  python -m physics_lm.scaling fit runs.csv --law=dcpt --share=COL
  python -m physics_lm.scaling fit runs.csv --law=mixing --shares=COL,COL
  python -m physics_lm.scaling fit runs.csv --law=power --x=COL[,COL]
  python -m physics_lm.scaling fit runs.csv --law=downstream --error=COL
  python -m physics_lm.scaling fit runs/EXPERIMENT --loss=loss/bio --out=DIR
  python -m physics_lm.scaling forecast --help    # a run before it runs
  python -m physics_lm.scaling mix --help         # the best shares of domains

Reads CSV, JSON lines, JSON (also .gz), or a folder of finished runs of this
project (columns: physics_lm/scaling/run_table.py). Nothing is normalised: N is
a count, D tokens, loss nats per token; columns of FLOP must be within a factor
of ten of 6 N D. Writes report.json, report.md and figures. With --group the
bootstrap resamples runs, not rows (checkpoints of one run are not independent)
and approach 1 is taken; with --budget approach 2.
"""

import argparse
import functools
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from physics_lm import run_dir
from physics_lm.config import argument_parser
from physics_lm.errors import BadInput, command, disk_errors
from physics_lm.progress import Progress, Stop
from physics_lm.scaling import forecast, plots
from physics_lm.scaling.columns import Columns, read_columns
from physics_lm.scaling.fitting import (
  approaches,
  fits,
  mixture_choice,
  report,
  simple,
  solve,
)


class Law(NamedTuple):
  """A law that the command can fit."""

  fit: Callable
  needs: tuple[str, ...]  # flags that name the columns of its arguments
  objective: str = 'huber_log'
  delta: float = 1e-3


LAWS = {'chinchilla': Law(fits.chinchilla, ('n', 'd')),
        'p_norm': Law(fits.p_norm, ('n', 'd')),
        'kaplan': Law(fits.kaplan_nd, ('n', 'd')),
        'data_constrained': Law(fits.data_constrained, ('n', 'd', 'unique')),
        'dcpt': Law(fits.dcpt, ('n', 'd', 'share')),
        'mixing': Law(fits.mixing, ('shares',), 'huber', 0.05),
        'power': Law(simple.power_law, ('x',)),
        'downstream': Law(simple.downstream, ('loss',), 'squared')}


def figures(f: fits.Fit, draws: fits.Bootstrap | None, s: dict, c: Columns
            ) -> dict[str, Callable]:
  """{'residuals': a function that draws it, ...} of a fit, its bootstrap and
  its report."""
  draw = functools.partial
  out = {'residuals': draw(plots.residuals, f)}
  groups, budget, flops = c.extras[:3]
  if any('error' in r for r in s.get('holdout', ())):
    out['holdout'] = draw(plots.holdout_errors, s['holdout'])
  if f.law != 'chinchilla':
    return out
  N, D, L = f.data
  some = draws is not None and s['bootstrap']['draws'] > 0
  if 'approaches' in s:
    out |= {'frontier': draw(plots.frontier, f, draws if some else None),
            'contours': draw(plots.contours, f),
            'approaches': draw(
                plots.approach_bars,
                approaches.side_by_side(f, s['at'], groups, budget, flops),
                s.get('interval_95', {}).get('a'))}
  if some:
    out['pairs'] = draw(plots.parameter_pairs, draws)
  if budget is not None and isinstance(s.get('budgets'), list):
    out['isoflop'] = draw(
        plots.isoflop, approaches.approach2(budget, N, D, L, 'parabola', f),
        budget, N, L)
  if groups is not None:
    C = 6 * N * D if flops is None else flops
    try:
      result = approaches.approach1(C, N, D, L, groups)
    except ValueError:
      return out  # the report has the reason
    out['envelope'] = draw(plots.envelope, result, C, L, groups)
  return out


def save_figures(drawn: dict[str, Callable], out: Path) -> list[str]:
  """Writes the figures; returns the names of their files. One that a law
  without sense (of infinite loss, for instance) makes impossible is named."""
  files = []
  for name, draw in drawn.items():
    try:
      draw().savefig(out / f'{name}.png', dpi=150)
      files.append(f'{name}.png')
    except (ValueError, ArithmeticError) as e:
      print(f'not drawn: {name}.png ({str(e)[:100]})')
  return files


def flag_parser() -> argparse.ArgumentParser:
  """The flags of `fit`."""
  p = argument_parser('physics_lm.scaling', __doc__)
  p.add_argument('what', choices=('fit',))
  p.add_argument('table', type=Path,
                 help='a CSV, JSON lines or JSON file, or runs/EXPERIMENT')
  p.add_argument('--n', default='N', help='column: parameters (N)')
  p.add_argument('--d', help='column: tokens (D)')
  p.add_argument('--c', help='column: FLOP, instead of --d; D = C / 6 N')
  p.add_argument('--loss', default='loss',
                 help='column: nats per token (loss)')
  p.add_argument('--group', help='column: which run a row is of')
  p.add_argument('--budget', help="column: FLOP of the row's isoFLOP curve")
  p.add_argument('--flops', help='column: FLOP of a row, for approach 1 '
                 '(6 N D)')
  p.add_argument('--share', help='dcpt: column: share of the domain, 0 to 1')
  p.add_argument('--unique', help='data_constrained: column: unique tokens')
  p.add_argument('--shares', help='mixing: columns that sum to 1, by commas')
  p.add_argument('--x', help='power: columns of the arguments, by commas')
  p.add_argument('--error', help='downstream: column: error, of --loss')
  p.add_argument('--where', metavar='EXPRESSION',
                 help="keep the rows for which it holds: 'world == \"a\"', "
                 "'`loss/bio` < 3 and N in (1e6, 1e7)'")
  p.add_argument('--pool', action='store_true',
                 help='of a folder: fit runs of several data sets as one')
  p.add_argument('--weight', help="column: weight of a row's penalty")
  p.add_argument('--per-step', action='store_true',
                 help='of a folder: a row for each logged step')
  p.add_argument('--best-per-nd', action='store_true',
                 help='keep the least loss of each (N, D)')
  p.add_argument('--drop-highest', type=int, default=0, metavar='K',
                 help='leave out the K highest losses')
  p.add_argument('--law', default='chinchilla', choices=tuple(LAWS))
  p.add_argument('--tie', action='store_true',
                 help='chinchilla: alpha = beta')
  p.add_argument('--no-asymptote', action='store_true',
                 help='chinchilla: without E; power: without c')
  p.add_argument('--objective', choices=solve.OBJECTIVES,
                 help='(huber_log; mixing: huber; downstream: squared)')
  p.add_argument('--delta', type=float,
                 help='of Huber (0.001; mixing: 0.05)')
  p.add_argument('--overestimate-cost', type=float, default=1.0,
                 help='asymmetric_log: factor on the penalty of overestimates')
  p.add_argument('--bootstrap', type=int, default=1000, metavar='DRAWS',
                 help='0: none')
  p.add_argument('--at', type=float, metavar='FLOP',
                 help='compare allocations here (the most among the runs)')
  p.add_argument('--seed', type=int, default=0)
  p.add_argument('--out', type=Path, required=True)
  return p


def check_flags(a: argparse.Namespace) -> None:
  """Raises BadInput for flags that are out of range or do not go together."""
  law, surface = LAWS[a.law], a.law == 'chinchilla'
  for name, ok, wanted in (
      ('bootstrap', a.bootstrap >= 0, '>= 0'),
      ('delta', a.delta is None or 0 < a.delta < math.inf,
       'positive and finite'),
      ('overestimate-cost', 0 < a.overestimate_cost < math.inf,
       'positive and finite'),
      ('overestimate-cost',
       a.overestimate_cost == 1 or a.objective == 'asymmetric_log',
       '1, or --objective=asymmetric_log'),
      ('drop-highest', a.drop_highest >= 0, '>= 0'),
      ('seed', a.seed >= 0, '>= 0'),
      ('at', a.at is None or 0 < a.at < math.inf, 'positive and finite'),
      ('d', not (a.c and a.d), 'either --d or --c'),
      ('law', surface or not (a.budget or a.at or a.flops or a.tie),
       'chinchilla, for --budget, --at, --flops and --tie'),
      ('law', surface or a.law == 'power' or not a.no_asymptote,
       'chinchilla or power, for --no-asymptote'),
      ('flops', not a.flops or a.group, '--group beside it: approach 1')):
    if not ok:
      raise BadInput(f'--{name} is {vars(a)[name.replace("-", "_")]}, wanted '
                     f'{wanted}')
  for flag in ('share', 'unique', 'shares', 'x', 'error'):
    needed = flag in law.needs or (flag == 'error' and 'loss' in law.needs)
    if needed != bool(vars(a)[flag]):
      raise BadInput(f'--{flag} is {vars(a)[flag]} with --law={a.law}, wanted '
                     + ('a column' if needed else 'it for another law'))
  if a.per_step and not a.table.is_dir():
    raise BadInput(f'--per-step reads a folder of runs, found {a.table}')


def fit_columns(a: argparse.Namespace, c: Columns
                ) -> tuple[fits.Fit, fits.Bootstrap | None]:
  """The fit and its bootstrap that the flags ask for; Ctrl-C ends the
  bootstrap and keeps what is done. Raises BadInput."""
  law, draws, more = LAWS[a.law], None, {}
  if a.no_asymptote:
    more = {'asymptote': False} if a.law == 'power' else {'E': 0.0}
  if a.tie:
    more['tie'] = True
  try:
    f = law.fit(*c.x, c.y, objective=a.objective or law.objective,
                delta=a.delta or law.delta, seed=a.seed, weights=c.weights,
                overestimate_cost=a.overestimate_cost, **more)
    if a.bootstrap:
      with Stop('the report is written from the draws that are done') as stop:
        bar = Progress(a.bootstrap, 0, 'bootstrap', 'draw')

        def update(done):
          bar.update(done)
          return stop.signal

        draws = fits.bootstrap(f, a.bootstrap, c.extras.groups, a.seed, update)
        bar.close()
  except ValueError as e:
    raise BadInput(f'{a.table}: {e}') from e
  return f, draws


@command
def main(argv: Sequence[str] | None = None) -> None:
  """The command line."""
  argv = sys.argv[1:] if argv is None else argv
  if argv[:1] == ['forecast']:
    return forecast.main(argv[1:])
  if argv[:1] == ['mix']:
    return mixture_choice.main(argv[1:])
  a = flag_parser().parse_args(argv)
  check_flags(a)
  c = read_columns(a, LAWS[a.law].needs)
  try:  # before, not after, the work
    a.out.mkdir(parents=True, exist_ok=True)
  except OSError as e:
    raise BadInput(f'cannot write in {a.out}: {e.strerror}') from e
  f, draws = fit_columns(a, c)
  # A law that is not identified overflows, which the report mentions.
  with np.errstate(all='ignore'), warnings.catch_warnings(), (
      disk_errors(a.out)):
    warnings.simplefilter('ignore')
    s = report.fit_summary(f, draws, c.extras, a.at)
    text = report.markdown(s)
    run_dir.write_json(a.out / 'report.json', s)
    run_dir.write(a.out / 'report.md', text)
    print(text)
    files = save_figures(figures(f, draws, s, c), a.out)
  print(f'written: {a.out}/' + ', '.join(['report.json', 'report.md', *files]))


if __name__ == '__main__':
  main()
