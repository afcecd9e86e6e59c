"""report.json and report.md of a fit: everything a referee would ask for. No
JAX."""

import operator
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from physics_lm.scaling.fitting import approaches, core, diagnose, fits

SURFACES = ('chinchilla', 'p_norm', 'kaplan')  # laws of N and D
CLOSE = 0.01  # a budget that differs less from 6 N D is the same


class Extras(NamedTuple):
  """What a table has beside the arguments of the law, (n,) each, or None."""

  groups: np.ndarray | None = None  # labels of runs
  budget: np.ndarray | None = None  # FLOP of isoFLOP curves
  flops: np.ndarray | None = None  # FLOP of each row, for approach 1
  ratios: Mapping[str, tuple[float, float, float]] | None = None  # least,
  # median and greatest C / 6 N D of the columns that hold FLOP
  rows: Mapping[str, object] | None = None  # of the table: read, used, where


NO_EXTRAS = Extras()


def fit_summary(f: fits.Fit, draws: fits.Bootstrap | None = None,
                extras: Extras = NO_EXTRAS, at: float | None = None) -> dict:
  """What report.json holds. at: the FLOP at which allocations are compared, by
  default the most among the runs."""
  params = core.flat(f.params)
  out = {
      'law': f.law, 'status': f.status, 'reason': f.reason, 'n': f.n,
      'rows': dict(extras.rows or {}), 'params': params,
      'derived': _derived(f.law, f.params),
      'objective': f.objective, 'objective_name': f.objective_name,
      'delta': f.delta, 'starts': f.starts, 'agree': f.agree,
      'gradient_norm': f.gradient_norm, 'bounds_hit': list(f.bounds_hit),
      'not_identified': list(f.not_identified), 'standard_errors': f.errors,
      'flops_over_6nd': {k: list(v) for k, v in (extras.ratios or {}).items()},
      'diagnosis': diagnose.diagnose(f), 'repeated': _repeated(f)}
  if draws is not None:
    out |= _intervals(f, draws, 'row' if extras.groups is None else 'group')
    out |= _worse(f, out['not_identified'])
  if f.law in SURFACES:
    out |= {'holdout': diagnose.holdout(f), 'laws': _laws(f),
            'without_highest': diagnose.trim(f)}
    if extras.groups is not None:
      out['leave_one_out'] = diagnose.leave_one_out(f, extras.groups)
  if f.law == 'chinchilla' and f.params['alpha'] > 0 < f.params['beta']:
    out |= _allocations(f, extras, at)
  return _plain(out)


def _repeated(f: fits.Fit) -> int:
  """Rows whose arguments of the law are those of another."""
  return f.n - len(np.unique(np.column_stack(f.data[:-1]), axis=0))


def _worse(f: fits.Fit, loose: Sequence[str]) -> dict:
  """The status, where the bootstrap shows that it is worse."""
  lost = [k for k in loose if k in f.essential]
  return {'status': 'degenerate', 'reason': core.undetermined(lost)} if (
      lost and f.status == 'converged') else {}


def _derived(law: str, params: dict) -> dict:
  """a and b of N* ~ C^a, D* ~ C^b, where the law has them."""
  if law not in SURFACES:
    return {}
  a = diagnose.frontier_exponent(law, params)
  return {'a': a, 'b': 1 - a}


def _intervals(f: fits.Fit, draws: fits.Bootstrap, unit: str) -> dict:
  """What the bootstrap adds: intervals of everything, and errors by them."""
  out = {'bootstrap': {'draws': len(next(iter(draws.params.values()), ())),
                       'failures': draws.failures, 'by': unit}}
  if not out['bootstrap']['draws']:
    return out
  found = {}  # (K,) each: arrays by element
  for k, v in draws.params.items():
    found |= {k: v} if v.ndim == 1 else {
        f'{k}[{i}]': x for i, x in enumerate(v.T)}
  every = fits.Bootstrap(found | _derived(f.law, found), draws.failures)
  ends = {level: {k: every.interval(operator.itemgetter(k), level)
                  for k in every.params} for level in (0.6827, 0.8, 0.95)}
  # Half a central 68 %, not a deviation: some draws run away.
  params = core.flat(f.params)
  spread = {k: (ends[0.6827][k][1] - ends[0.6827][k][0]) / 2 for k in params}
  return out | {
      'standard_errors': spread,
      'not_identified': [
          k for k, v in params.items() if k in f.not_identified
          or (k not in f.fixed and not spread[k] <= 0.5 * core.size(k, v))],
      'interval_95': ends[0.95], 'interval_80': ends[0.8]}


def _allocations(f: fits.Fit, extras: Extras, at: float | None) -> dict:
  """The three approaches at one compute, and the isoFLOP curves."""
  N, D, L = f.data
  at = float((6 * N * D).max()) if at is None else at
  out = {'at': at, 'approaches': [r._asdict() for r in approaches.side_by_side(
      f, at, extras.groups, extras.budget, extras.flops)]}
  if extras.budget is not None:
    try:
      found = approaches.approach2(extras.budget, N, D, L, 'parabola',
                                   f).budgets
      out['budgets'] = [b._asdict() for b in found]
    except ValueError as e:
      out['budgets'] = str(e)
  return out


def _laws(f: fits.Fit) -> list[dict] | str:
  try:
    return diagnose.compare(*f.data, f.problem.weights)
  except ValueError as e:
    return str(e)


def _plain(x):
  """NumPy to Python, nan and inf to None: JSON has neither."""
  if isinstance(x, dict):
    return {k: _plain(v) for k, v in x.items()}
  if isinstance(x, (list, tuple)):
    return [_plain(v) for v in x]
  if isinstance(x, (float, np.floating)):
    return float(x) if np.isfinite(x) else None
  return x.item() if isinstance(x, np.generic) else x


def markdown(s: dict) -> str:
  """report.md from report.json."""
  lines = _fit_lines(s) + _residual_lines(s['diagnosis'])
  if 'holdout' in s:
    lines += _holdout_lines(s) + ['## Other forms on the same rows', '']
    lines += [s['laws'], ''] if isinstance(s['laws'], str) else markdown_table(
        ['law', 'parameters', 'squares of log loss', 'AICc'],
        [[r['law'], r['parameters'], _number(r['squares'], '.6g'),
          _number(r['aicc'], '.1f')] for r in s['laws']])
  if 'approaches' in s:
    lines += _allocation_lines(s)
  return '\n'.join(lines).rstrip() + '\n'


def _fit_lines(s: dict) -> list[str]:
  """The fit, what to know before believing it, and its parameters."""
  huber = f', delta {s["delta"]:g}' if s['objective_name'] in (
      'huber_log', 'huber', 'asymmetric_log') else ''
  loose = ', '.join(s['not_identified'])
  lines = [f'# {s["law"]}: {s["n"]} points, {s["status"]}'
           + (f'; not identified: {loose}' if loose else ''), '',
           s['reason'], '']
  if s['rows'].get('used') != s['rows'].get('read'):
    lines += [f'{s["rows"]["used"]} of {s["rows"]["read"]} rows'
              + (f', where {s["rows"]["where"]}' if s['rows'].get('where')
                 else '') + '.', '']
  lines += [f'Objective {_number(s["objective"], ".9g")} '
           f'({s["objective_name"]}{huber}, sum); {s["agree"]} of '
           f'{s["starts"]} starts agree, gradient norm '
           f'{_number(s["gradient_norm"], ".1e")}.', '']
  lines += [f'* {w}' for w in warnings(s)] + ['']

  def ends(k, level):
    return ' to '.join(_number(x, '.5g')
                       for x in s.get(f'interval_{level}', {}).get(k, ()))

  lines += markdown_table(
      ['quantity', 'value', '80 % interval', '95 % interval'],
      [[k, _number(v, '.7g'), ends(k, 80), ends(k, 95)]
       for k, v in (s['params'] | s['derived']).items()])
  if 'bootstrap' in s:
    b = s['bootstrap']
    lines += [f'Bootstrap by {b["by"]}, {b["draws"]} draws, {b["failures"]} '
              'failed.', '']
  return lines


def _residual_lines(d: dict) -> list[str]:
  """How well it fits."""
  return ['## Residuals (predicted - observed)', '',
          'Mean {}, sd {}, median absolute deviation {}, largest {}; {} '
          'inside delta. R2 {} of the loss, {} of its logarithm. Condition '
          'number {}.'.format(*(_number(d[k], form) for k, form in (
              ('mean', '.2g'), ('sd', '.2g'), ('mad', '.2g'),
              ('largest', '.2g'), ('inside_delta', '.0%'), ('r2', '.5f'),
              ('r2_log', '.5f'), ('condition', '.1e')))), '']


def _holdout_lines(s: dict) -> list[str]:
  """How it predicts, and on which runs it rests."""
  lines = ['## Predicting rows that were not fitted', '']
  lines += markdown_table(
      ['fitted below C', 'rows', 'rows above', 'mean error', 'bias', 'a'],
      [[_number(r['cut'], '.2e'), r['below'], r['above'], *(
          [_number(r['error'], '.2%'), _number(r['bias'], '+.2%'),
           _number(r['a'], '.4f')]
          if 'error' in r else [r['reason'], '', ''])] for r in s['holdout']])
  lines += ['Without the highest losses:', '']
  lines += markdown_table(
      ['left out', 'a', *s['params']],
      [[r['without'], _number(r['a'], '.4f'),
        *(_number(r[k], '.5g') for k in s['params'])]
       if 'a' in r else [r['without'], r['reason'], *[''] * len(s['params'])]
       for r in s['without_highest']])
  if s.get('leave_one_out'):
    lines += ['Runs that move a the most when left out:', '']
    lines += markdown_table(['run', 'rows', 'a without', 'moved'],
                   [[r['left_out'], r['rows'], _number(r['a'], '.4f'),
                     _number(r['moved'], '+.4f')]
                    for r in s['leave_one_out'][:5]])
  return lines


def _allocation_lines(s: dict) -> list[str]:
  """The approaches beside each other, and the isoFLOP curves."""
  lines = [f'## Approaches, at {_number(s["at"], ".3g")} FLOP', '']
  lines += markdown_table(['approach', 'a', 'b', 'N*', 'D*', 'note'],
                 [[r['approach'], *(_number(r[k], f) for k, f in (
                     ('a', '.4f'), ('b', '.4f'), ('N', '.3e'),
                     ('D', '.3e'))), r['note']] for r in s['approaches']])
  if isinstance(s.get('budgets'), list):
    lines += ['isoFLOP parabolas:', '']
    lines += markdown_table(
        ['C', 'points', 'left, right', 'N*', 'log N* +-', 'curvature',
         'predicted bias', 'status'],
        [[f'{b["C"]:.2e}', b['n'], f'{b["left"]}, {b["right"]}',
          _number(b['N'], '.3e'), _number(b['spread'], '.2g'),
          f'{_number(b["curvature"], ".3g")} +- '
          f'{_number(b["curvature_error"], ".2g")}',
          _number(b['bias'], '+.1%'), ': '.join(
              t for t in (b['status'], b['reason']) if t)]
         for b in s['budgets']])
  return lines


def warnings(s: dict) -> list[str]:
  """What a reader must know before believing the numbers."""
  out = []
  if s['bounds_hit']:
    out.append(f'At a bound: {", ".join(s["bounds_hit"])}.')
  if s['status'] in ('converged', 'degenerate') and (
      (s['diagnosis']['condition'] or np.inf) > core.CONDITION):
    out.append('Condition number beyond '
               f'{core.CONDITION:.0e}: parameters trade against each other.')
  for column, (low, middle, high) in s['flops_over_6nd'].items():
    if max(abs(low - 1), abs(high - 1)) > CLOSE:
      out.append(f'Column {column!r} is {low:.3g} to {high:.3g} times 6 N D '
                 f'(median {middle:.3g}): what counts by it has another C than '
                 'approach 3, which counts 6 N D, and a + b need not be 1.')
  if s['not_identified']:
    out.append(f'Not identified by these runs: {", ".join(s["not_identified"])}'
               ' (standard error beyond half the value, sizes that span less '
               f'than x{core.SPAN:g}, or N and D that rise together); '
               'predictions inside the range may still hold.')
  if s['agree'] < s['starts'] / 2:
    out.append(f'Only {s["agree"]} of {s["starts"]} starts end at the best '
               'value: other minima are near.')
  if s['repeated']:
    out.append(f'{s["repeated"]} rows repeat '
               + ('an (N, D) of another: where they are worse-tuned runs, keep '
                  'the best (--best-per-nd).' if s['law'] in SURFACES
                  else 'the arguments of another.'))
  b = s.get('bootstrap')
  if b and b['failures'] > 0.05 * (b['draws'] + b['failures']):
    out.append(f'{b["failures"]} of {b["draws"] + b["failures"]} resamples '
               'could not be fitted (too few sizes in them): the intervals are '
               'of the others.')
  if b and b['by'] == 'row':
    out.append('Rows that are checkpoints of one run are not independent: '
               'give --group, or these intervals are too narrow.')
  return out


def markdown_table(head: Sequence, rows: Sequence[Sequence]) -> list[str]:
  """Lines of a Markdown table, and an empty one."""
  lines = [head, ['---'] * len(head), *rows]
  return [f'| {" | ".join(str(c) for c in row)} |' for row in lines] + ['']


def _number(x, form: str) -> str:
  return 'none' if x is None else format(x, form)  # was not finite
