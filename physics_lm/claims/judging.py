"""Claims, and how they are judged on an experiment's table."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from physics_lm.claims.effects import (
    Effect,
    Sample,
    contrast,
    mean_effect,
    number,
    number_beside,
    same_difference,
    same_for_all,
    sample_of,
    sample_text,
)
from physics_lm.claims.rules import (
    Bound,
    Correlated,
    Equal,
    Excess,
    Greater,
    Ratio,
    Rule,
)

if TYPE_CHECKING:
  import pandas as pd

OUTCOMES = ('supported', 'direction only', 'contradicted', 'inconclusive',
            'at floor', 'not run')
MIN_SEEDS = 3
Cell = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Claim:
  """A statement that an experiment can support or contradict.

  `cells` are {column: value or tuple of values, over which the mean is taken};
  several tuples of cells are cases of one claim, all of which must hold (or
  `quorum` of them). A cell may name a column of its own, {'column': name}: so
  two columns are compared. A cell {'measure': name} is an effect that the
  experiment's measures() computes, say from a fit.
  """

  id: str
  statement: str
  source: str  # 'Part 3.1, Result 2'
  paper: str  # the paper's number, as printed
  cells: tuple
  rule: Rule
  column: str = 'accuracy'
  unit: str = '%'
  baseline: Any = None  # a column or a number: what no effect looks like
  control: tuple = ()  # cells that must be above the baseline (0 by default)
  paper_effect: Any = None  # in the effect's unit; a tuple: of each case
  quorum: int | None = None
  post_hoc: bool = False  # written after looking at the runs
  headline: bool = False
  decided_by: str = ''  # what would decide it, and its cost

  @property
  def cases(self) -> tuple[tuple[Cell, ...], ...]:
    """The cells of each case."""
    first = self.cells[0] if self.cells else None
    return self.cells if isinstance(first, tuple) else (self.cells,)

  @property
  def threshold(self) -> str:
    """Whose the rule's bound is: 'paper' where the paper states the same one
    ('at least 2'), 'ours' elsewhere, '' where nothing but a sign or order is
    claimed or the paper has no such number."""
    bounds = [(name, x) for name, x in (
        ('at least', self.rule.low), ('at most', self.rule.high))
              if math.isfinite(x) and x != self.rule.trivial]
    if self.paper.startswith(('—', 'not ', 'our ')) or not (
        bounds or self.quorum):
      return ''
    stated = {f'{name} {x:g}' for name, x in bounds}
    return 'paper' if self.paper.removesuffix(' %') in stated else 'ours'

  def of_case(self, i: int) -> 'Claim':
    """The claim with the paper's effect of its case i."""
    if not isinstance(self.paper_effect, tuple):
      return self
    return dataclasses.replace(self, paper_effect=self.paper_effect[i])


def above(id: str, statement: str, source: str, a: Cell, b: Cell,
          values: tuple[float, float] | None = None, unit: str = '%',
          rule: Rule | None = None, **kwargs) -> Claim:
  """The claim that cell a is above cell b. `values`: the paper's, from which
  follow what is printed and its effect; None: it has none. `rule`: by default
  that it is above, by any margin."""
  effect = None if values is None else values[0] - values[1]
  paper = '—' if values is None else (
      f'{values[0]} vs {values[1]} {unit}'.rstrip())
  return Claim(id, statement, source, paper, (a, b), rule or Greater(),
               unit=unit, paper_effect=effect, **kwargs)


@dataclasses.dataclass(frozen=True)
class Judged:
  """A claim, its outcome, and the case that is weakest for it."""

  claim: Claim
  outcome: str
  held: bool | None = None  # by the older rule; None: not run
  effect: Effect | None = None
  samples: tuple[Sample, ...] = ()
  cases: int = 1
  names: tuple[str, ...] = ()  # what sets each of these samples' cells apart
  case: str = ''  # what sets this case apart from the claim's others

  @property
  def seeds(self) -> int:
    """The least number of seeds of its cells; 0 where it is not run."""
    return min((s.n for s in self.samples), default=0)

  @property
  def ours(self) -> str:
    """'30.0 ± 5.8 vs 1.0 ± 0.1 %'; of several cases the weakest, and that it
    is that."""
    weakest = 'weakest: ' if self.cases > 1 else ''
    if self.effect is None:
      return 'not run'
    if isinstance(self.claim.rule, Correlated):  # has no unit
      return weakest + number(self.effect.value)
    unit = f' {self.claim.unit}'.rstrip()
    if self.samples:
      return weakest + ' vs '.join(
          sample_text(s, self._digits) for s in self.samples) + unit
    return f'{weakest}{number(self.effect.value, self._digits)}{unit}'

  @property
  def ours_named(self) -> str:
    """`ours`, each number after what sets its cell apart: 'depth 1: 0.34 ±
    0.03 vs depth 2: 0.0035 ± 0.0004 nats'; of several cases which it is."""
    if not (any(self.names) and self.samples) or isinstance(
        self.claim.rule, Correlated):
      return self.ours
    of = '' if self.cases < 2 else f'weakest of {self.cases} cases' + (
        self.case and f' ({self.case})') + ': '
    return of + ' vs '.join(f'{name}: {sample_text(s, self._digits)}'
                            for name, s in zip(self.names, self.samples)) + (
                                f' {self.claim.unit}'.rstrip())

  @property
  def _digits(self) -> int | None:
    return 1 if self.claim.unit == '%' else None

  @property
  def interval(self) -> str:
    """'29.0 [14.5, 43.5]': the effect and its 95 % interval."""
    if self.effect is None:
      return ''
    e = self.effect
    digits = None if isinstance(self.claim.rule, (Ratio, Correlated)) else (
        self._digits)
    bounds = self.claim.rule.low, self.claim.rule.high
    value, low, high = (number_beside(x, bounds, digits)
                        for x in (e.value, e.low, e.high))
    return f'{value} [{low}, {high}]'


def descending(*cells: Cell) -> tuple[tuple[Cell, Cell], ...]:
  """Cases of a claim that each cell is above the next."""
  return tuple(itertools.pairwise(cells))


def select(df: 'pd.DataFrame', cell: Cell) -> 'pd.DataFrame':
  """The rows of a table that a cell names."""
  mask = np.ones(len(df), bool)
  for name, wanted in cell.items():
    if name not in df:
      return df[:0]
    mask &= (df[name].isin(wanted) if isinstance(wanted, (tuple, list))
             else df[name] == wanted).to_numpy()
  return df[mask]


def sample(df: 'pd.DataFrame', cell: Cell, column: str) -> Sample | None:
  """A cell's values by seed: means over the rows of a seed. None when there
  is no such row. Of a cell with a tuple of values, a seed that lacks one that
  others have (its run is missing) is left out. Where the table keeps no seeds,
  `column` is a mean, with `<column>_std` and `n_seeds` beside it; of a mean
  over several rows the deviation is then bounded from above by the mean
  deviation."""
  column = cell.get('column', column)
  rows = select(df, _rows_of(cell))
  if column not in rows:
    return None
  rows = _balanced(rows[rows[column].notna()], cell)
  if rows.empty:
    return None
  counted = next((c for c in (f'{column}_n', 'n_items')
                  if c in rows and rows[c].notna().any()), None)
  items = float(rows[counted].mean()) if counted else math.nan
  if 'seed' in rows and rows['seed'].notna().all():
    values = rows.groupby('seed')[column].mean()
    return sample_of(dict(values), items)
  return Sample(float(rows[column].mean()), float(rows[f'{column}_std'].mean()),
                int(rows['n_seeds'].min()), None, items)


def _balanced(rows: 'pd.DataFrame', cell: Cell) -> 'pd.DataFrame':
  """The rows of the seeds that have the most of the values that a cell names
  in tuples: means over unlike sets are not compared. No rows where a value
  that it names has none: it is misspelt, or has not run."""
  keys = [k for k, v in cell.items()
          if isinstance(v, (tuple, list)) and k not in ('seed', 'column')]
  if not keys or rows.empty:
    return rows
  if any(not (rows[k] == v).any() for k in keys for v in cell[k]):
    return rows[:0]
  if 'seed' not in rows:
    return rows
  found = rows.drop_duplicates(['seed', *keys]).groupby('seed').size()
  return rows[~rows['seed'].isin(found.index[found < found.max()])]


def _rows_of(cell: Cell) -> Cell:
  """A cell less the column that it may name."""
  return {k: v for k, v in cell.items() if k != 'column'}


def judge(claim: Claim, df: 'pd.DataFrame',
          measures: Mapping[str, Effect] | None = None) -> Judged:
  """The claim's outcome on a table, and on what measures() gave."""
  judged = [_judge_case(claim.of_case(i), case, df, measures or {})
            for i, case in enumerate(claim.cases) if case]
  if not judged or any(j.outcome == 'not run' for j in judged):
    return Judged(claim, 'not run', cases=len(claim.cases))
  outcome, need = 'inconclusive', claim.quorum or len(judged)
  count = {o: sum(j.outcome == o for j in judged) for o in OUTCOMES}
  if count['supported'] + count['direction only'] >= need:
    outcome = ('supported' if count['supported'] >= need
               else 'direction only')
  elif count['contradicted'] > len(judged) - need:
    outcome = 'contradicted'
  elif count['at floor'] == len(judged):
    outcome = 'at floor'
  # One that the claim fails by, where it fails, or of those it needs to hold.
  shown = [j for j in judged if j.outcome == outcome and outcome in (
      'inconclusive', 'contradicted')] or sorted(
          judged, key=lambda j: _margin(claim.rule, j))[-need:]
  weakest = min(shown, key=lambda j: _margin(claim.rule, j))
  return dataclasses.replace(
      weakest, claim=claim, outcome=outcome, cases=len(judged),
      held=sum(bool(j.held) for j in judged) >= need)


def judge_all(claims: Sequence[Claim], df: 'pd.DataFrame',
              measures: Mapping[str, Effect] | None = None) -> list[Judged]:
  """The outcomes of several claims on one table, in their order."""
  return [judge(c, df, measures) for c in claims]


def judge_experiment(module: ModuleType, df: 'pd.DataFrame') -> list[Judged]:
  """The outcomes of an experiment's CLAIMS on its table; its measures(df),
  where it has that function, are the effects that cells name as measures.
  CELL_NAMES, where it has these, {value of a cell: words}, are shown."""
  measures = module.measures(df) if hasattr(module, 'measures') else {}
  words = getattr(module, 'CELL_NAMES', {})
  return [dataclasses.replace(
      j, names=tuple(_renamed(n, words) for n in j.names),
      case=_renamed(j.case, words))
          for j in judge_all(module.CLAIMS, df, measures)]


def _renamed(text: str, words: Mapping[str, str]) -> str:
  """A label of differences() or _case(), each part in these words."""
  if text in words:  # has a comma itself
    return words[text]
  return ', '.join(words.get(part, part) for part in text.split(', '))


def _margin(rule: Rule, j: Judged) -> tuple[float, float]:
  """How far the effect is inside the rule's region (below 0: outside), in its
  own unit, 0 where its interval is unbounded; of as far ones the least certain
  comes first."""
  e = j.effect
  inside = min(e.value - rule.low, rule.high - e.value)
  return (0.0 if math.isinf(e.high - e.low) else inside), e.low - e.high


def _judge_case(claim: Claim, case: tuple[Cell, ...], df, measures) -> Judged:
  """One case of a claim."""
  rule = claim.rule
  if 'measure' in case[0]:
    e = measures.get(case[0]['measure'])
    if e is None:
      return Judged(claim, 'not run')
    return Judged(claim, _with_size(claim, rule.outcome(e), e),
                  rule.held_effect(e), e)
  cells, controls = ([sample(df, c, claim.column) for c in part]
                     for part in (case, claim.control))
  if None not in cells:
    cells = rule.comparable(cells)
  if any(c is None or c.n < MIN_SEEDS for c in (*cells, *controls)) or (
      _lacks_baseline(claim, case, df)):
    return Judged(claim, 'not run')
  arguments = cells
  if isinstance(rule, Correlated):
    others = _others(rule, case, df)
    if None in others:
      return Judged(claim, 'not run')
    arguments = list(zip(cells, others))
  effect = rule.effect(arguments)
  if claim.unit == '%':
    effect = _over_items(rule, effect, cells)
  outcome = _with_size(claim, rule.outcome(effect), effect)
  if _untested(claim, case, cells, df, outcome):
    outcome = 'at floor'
  return Judged(claim, outcome, rule.held(arguments), effect, tuple(cells),
                names=differences(case, claim.column), case=_case(claim, case))


def _over_items(rule: Rule, e: Effect, cells: list[Sample]) -> Effect:
  """An effect in percent, with an interval over items where that over seeds
  says nothing."""
  if isinstance(rule, Bound):
    return same_for_all(*cells)
  if isinstance(rule, (Greater, Equal, Excess)):
    return same_difference(e, *cells)
  return e


def _words(key: str, value) -> str:
  """A value in words: a word as it is, a number after its key; of what is true
  or not, the key."""
  if isinstance(value, (bool, np.bool_)):
    return key if value else f'not {key}'
  if isinstance(value, tuple):
    value = '/'.join(map(str, value))
  if isinstance(value, str) and not value[:1].isdigit():
    return value
  return f'{key} {value}'


def differences(cells: Sequence[Cell], column: str = '') -> tuple[str, ...]:
  """Of each cell the values that others lack, and the column where they differ
  in it (by default `column`), in words; '' of a lone cell."""
  if any('column' in c for c in cells):
    cells = [{'column': column} | dict(c) for c in cells]
  return tuple(', '.join(_words(k, v) for k, v in c.items()
                         if any(o.get(k) != v for o in cells)) or (
                             'the other' if len(cells) > 1 else '')
               for c in cells)


def _case(claim: Claim, case: tuple[Cell, ...]) -> str:
  """What the cells of a case share and those of other cases do not, in words;
  '' where that is nothing."""
  others = [c for other in claim.cases if other != case for c in other]
  return ', '.join(
      _words(k, v) for k, v in case[0].items()
      if all(c.get(k) == v for c in case) and any(
          c.get(k) != v for c in others))


def _others(rule: Correlated, case, df) -> list[Sample | None]:
  """What each cell is correlated with; None where the column has no value."""
  if isinstance(rule.other, str):
    return [sample(df, c, rule.other) for c in case]
  return [Sample(v, 0.0, MIN_SEEDS) for v in rule.other]


def _with_size(claim: Claim, outcome: str, e: Effect) -> str:
  """'direction only' for a supported effect under half of the paper's."""
  if outcome != 'supported' or claim.paper_effect is None:
    return outcome
  small = claim.rule.strength(e.value) < 0.5 * claim.rule.strength(
      claim.paper_effect)
  return 'direction only' if small else outcome


def _untested(claim: Claim, case, cells: list[Sample], df, outcome: str
              ) -> bool:
  """Whether nothing is tested: no cell above the baseline, a control that is
  not, a bound that the baseline itself keeps and the cell too, or cells that
  are 0 for every seed where no control and no baseline shows that there was
  room for more."""
  if not all(_above(sample(df, c, claim.column), _baseline(claim, c, df))
             for c in claim.control):
    return True
  bases = [] if claim.baseline is None else [
      _baseline(claim, c, df) for c in case]
  if bases and claim.rule.compares:
    return not any(map(_above, cells, bases))
  if claim.control or outcome == 'contradicted':
    return False
  if all(c.mean == 0 and c.std == 0 for c in cells):
    return not any(mean_effect(b).low > claim.rule.high for b in bases)
  return bool(bases) and all(
      claim.rule.low <= b.mean <= claim.rule.high for b in bases)


def _lacks_baseline(claim: Claim, case, df) -> bool:
  """Whether the baseline's column has values of fewer than three seeds at a
  cell or control: it is of a metric that older evaluations did not have."""
  if not (isinstance(claim.baseline, str) and claim.baseline in df):
    return False
  bases = [sample(df, _rows_of(c), claim.baseline)
           for c in (*case, *claim.control)]
  return any(b is None or b.n < MIN_SEEDS for b in bases)


def _baseline(claim: Claim, cell: Cell, df) -> Sample:
  """The baseline's sample at a cell; raises KeyError for an unknown column."""
  if isinstance(claim.baseline, str):
    found = sample(df, _rows_of(cell), claim.baseline)
    if found is None:
      raise KeyError(f'{claim.id}: no column {claim.baseline!r} at {cell}')
    return found
  return Sample(float(claim.baseline or 0), 0.0, MIN_SEEDS)


def _above(cell: Sample, base: Sample) -> bool:
  """Whether a cell's interval lies above the baseline."""
  return contrast(cell, base).low > 0
