"""Claims as data, and the one rule by which all of them are judged. No JAX.

A claim names cells of an experiment's table and a rule. A cell has a value a
seed. From the cells follows an effect (a difference, a ratio, a mean) with its
95 % interval over seeds, and from the interval the outcome:

  supported       the interval lies on the claim's side
  direction only  supported, but the effect is less than half of the paper's
  contradicted    the interval lies wholly on the other side
  inconclusive    the interval holds both
  at floor        no cell is above the baseline, all values are 0, or the
                  claim could not have failed and did not: nothing is tested
  not run         a cell (or a control) is missing or has fewer than three
                  seeds

Intervals are Student's t: of differences paired by seed where both cells have
the same seeds, else Welch's. Seeds draw their own test items, so the spread
over seeds contains that over items. Two cells are equal when the whole
interval of their difference lies inside a margin, never because a difference
was not found.

`held` is the older rule of the first experiments, fixed before their runs:
means against a number, or a difference against two standard errors. In prose:
docs/claims.md.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
  import pandas as pd

OUTCOMES = ('supported', 'direction only', 'contradicted', 'inconclusive',
            'at floor', 'not run')
MIN_SEEDS = 3
Cell = Mapping[str, Any]


class Sample(NamedTuple):
  """One cell of a table.

  `by_seed` maps seeds to values; None where only mean and standard deviation
  over `n` seeds were kept. `items` is the number of test items of one seed.
  """

  mean: float
  std: float  # over seeds, ddof 1; nan for one seed
  n: int
  by_seed: dict | None = None
  items: float = math.nan


class Effect(NamedTuple):
  """A number with its 95 % interval. `n`: seeds, or points of a fit."""

  value: float
  low: float
  high: float
  n: int
  method: str  # 'paired t', 'Welch t', 't', 'Fisher z', 'bootstrap'


def sample_of(values: Mapping, items: float = math.nan) -> Sample:
  """The sample of {seed: value}."""
  x = np.array(list(values.values()), float)
  std = float(x.std(ddof=1)) if len(x) > 1 else math.nan
  return Sample(float(x.mean()), std, len(x), dict(values), items)


def quantile(degrees: float) -> float:
  """Of Student's t, for a two-sided interval of 95 %."""
  from scipy.special import stdtrit
  return float(stdtrit(degrees, 0.975))


def paired(a: Sample, b: Sample) -> bool:
  """Whether both have a value for each of the same seeds."""
  return (a.by_seed is not None and b.by_seed is not None
          and a.by_seed.keys() == b.by_seed.keys())


def mean_effect(a: Sample) -> Effect:
  """The mean of a cell with its t interval."""
  half = quantile(a.n - 1) * a.std / a.n**0.5
  return Effect(a.mean, a.mean - half, a.mean + half, a.n, 't')


def same_for_all(a: Sample) -> Effect:
  """As mean_effect, for a cell in percent in which all test items of all seeds
  have the same outcome (0 or 100 %). There is then no spread over seeds; the
  interval is Clopper and Pearson's for 0 of n items."""
  e = mean_effect(a)
  if a.std or a.mean not in (0, 100) or math.isnan(a.items):
    return e
  most = 100 * (1 - 0.025**(1 / (a.n * a.items)))
  return e._replace(low=max(a.mean - most, 0.0), high=min(a.mean + most, 100.0),
                    method='Clopper-Pearson')


def contrast(a: Sample, b: Sample, factor: float = 1.0) -> Effect:
  """a - factor * b with its interval: paired t, or Welch's."""
  if paired(a, b):
    e = mean_effect(sample_of({
        s: v - factor * b.by_seed[s] for s, v in a.by_seed.items()}))
    return e._replace(method='paired t')
  value = a.mean - factor * b.mean
  half = quantile(welch_degrees(a, b, factor)) * (
      a.std**2 / a.n + (factor * b.std)**2 / b.n)**0.5
  return Effect(value, value - half, value + half, min(a.n, b.n), 'Welch t')


def welch_degrees(a: Sample, b: Sample, factor: float = 1.0) -> float:
  """Welch's and Satterthwaite's degrees of freedom of a - factor * b."""
  u, v = a.std**2 / a.n, (factor * b.std)**2 / b.n
  if u + v == 0:  # no spread at all: any number will do
    return min(a.n, b.n) - 1
  return (u + v)**2 / (u**2 / (a.n - 1) + v**2 / (b.n - 1))


def ratio(a: Sample, b: Sample) -> Effect:
  """a / b with Fieller's interval: the factors k for which the interval of
  a - k b holds zero. Unbounded when b does not differ from zero.

  Without pairs the degrees of freedom are Welch's at k = a / b.
  """
  k = a.mean / b.mean if b.mean else math.nan
  if paired(a, b):
    method, degrees = 'paired t', a.n - 1
    x, y = (np.array([s.by_seed[k] for k in a.by_seed]) for s in (a, b))
    (xx, xy), (_, yy) = np.cov(x, y, ddof=1) / a.n
  else:
    method, degrees = 'Welch t', welch_degrees(a, b, k)
    xx, yy, xy = a.std**2 / a.n, b.std**2 / b.n, 0.0
  t2, n = quantile(degrees)**2, min(a.n, b.n)
  p, q, r = b.mean**2 - t2 * yy, a.mean * b.mean - t2 * xy, a.mean**2 - t2 * xx
  if not p > 0:
    return Effect(k, -math.inf, math.inf, n, method)
  root = max(q * q - p * r, 0.0)**0.5
  return Effect(k, float(q - root) / float(p), float(q + root) / float(p), n,
                method)


def exponent(x: Sequence[float], y: Sequence[float]) -> Effect:
  """b of y = a x^b, from a straight line through three or more points in
  logarithms, with Student's interval."""
  u, v = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
  u = u - u.mean()
  slope = float(u @ v / (u @ u))
  rest = v - v.mean() - slope * u
  half = quantile(len(u) - 2) * float(
      rest @ rest / (len(u) - 2) / (u @ u))**0.5
  return Effect(slope, slope - half, slope + half, len(u), 't')


def standard_error(a: Sample, b: Sample) -> float:
  """Of a difference of means over seeds, as the first experiments had it."""
  return ((a.std**2 + b.std**2) / min(a.n, b.n))**0.5


@dataclasses.dataclass(frozen=True)
class Rule:
  """What a claim states about its cells. `low`, `high`: bounds of the effect.
  """

  low: float = -math.inf
  high: float = math.inf
  strict = False  # whether the effect must lie above `low`, not at it
  trivial = 0.0  # the bound of a mere order of cells
  compares = True  # cells with one another, not with a number

  def effect(self, cells: Sequence[Sample]) -> Effect:
    """The effect that a claim is about, of its cells."""
    raise NotImplementedError

  def held(self, cells: Sequence[Sample]) -> bool:
    """By the older rule."""
    return self.low <= self.effect(cells).value <= self.high

  def held_effect(self, e: Effect) -> bool:
    """By the older rule, of an effect that measures() computed."""
    return self.low <= e.value <= self.high

  def outcome(self, e: Effect) -> str:
    """Of an effect's interval."""
    above = e.low > self.low if self.strict else e.low >= self.low
    if above and e.high <= self.high:
      return 'supported'
    if e.high < self.low or e.low > self.high:
      return 'contradicted'
    return 'inconclusive'

  def strength(self, e: float) -> float:
    """The size of an effect, to set beside the paper's."""
    return abs(e)


@dataclasses.dataclass(frozen=True)
class Greater(Rule):
  """The first cell is above the second, by more than `low`."""

  low: float = 0.0
  strict = True

  def effect(self, cells):
    """First cell minus second."""
    return contrast(*cells)

  def held(self, cells):
    """By a stated margin of means, else by twice the standard error."""
    a, b = cells
    if self.low:  # a margin was stated: means decide
      return a.mean - b.mean >= self.low
    return a.mean - b.mean > 2 * standard_error(a, b)


class GreaterMean(Greater):
  """As Greater; held by means alone."""

  def held(self, cells):
    """By means, whatever their errors."""
    return cells[0].mean >= cells[1].mean


class GreaterPaired(Greater):
  """As Greater; held by twice the standard error of paired differences."""

  def held(self, cells):
    """By the mean difference of equal seeds and its standard error."""
    d = sample_of({s: v - cells[1].by_seed[s]
                   for s, v in cells[0].by_seed.items()})
    return d.mean > 2 * d.std / d.n**0.5


class Equal(Rule):
  """Two cells differ by less than a margin."""

  def effect(self, cells):
    """First cell minus second."""
    return contrast(*cells)


class EqualWithinError(Equal):
  """As Equal; held when no difference was found, which is no evidence."""

  def held(self, cells):
    """Where the difference is within twice its standard error."""
    a, b = cells
    return abs(a.mean - b.mean) <= 2 * standard_error(a, b)


class EqualNotBelow(Equal):
  """As Equal; held when the first cell is not below the second by more than
  the margin."""

  def held(self, cells):
    """By means: the first is at least the second less the margin."""
    a, b = cells
    return a.mean - b.mean >= self.low


class Bound(Rule):
  """One cell's mean against a number."""

  compares = False

  def effect(self, cells):
    """The mean of the one cell."""
    return mean_effect(*cells)


class AboveByError(Bound):
  """One cell is above `low`; held by twice its standard error."""

  strict = True

  def held(self, cells):
    """Where the mean is twice its standard error above `low`."""
    return cells[0].mean - self.low > 2 * cells[0].std / cells[0].n**0.5


class Ratio(Rule):
  """The first cell over the second lies between two factors."""

  trivial = 1.0

  def effect(self, cells):
    """First cell over second."""
    return ratio(*cells)

  def held(self, cells):
    """By means: their ratio is between the factors."""
    a, b = cells
    return self.low * b.mean <= a.mean and (
        math.isinf(self.high) or a.mean <= self.high * b.mean)

  def strength(self, e):
    """The distance from no effect, 1, in logarithms."""
    return abs(math.log(e)) if e > 0 else math.inf


class TimesMore(Ratio):
  """The first cell is more than `low` times the second; held by the standard
  error of their difference."""

  strict = True

  def held(self, cells):
    """Where the first is above the second by twice the standard error."""
    a, b = cells
    return a.mean - b.mean > 2 * standard_error(a, b)


class Excess(Rule):
  """The first cell exceeds the second by at most `high`. Such a claim cannot
  fail where nothing can be done at all: give it a control."""

  compares = False

  def effect(self, cells):
    """First cell minus second."""
    return contrast(*cells)


@dataclasses.dataclass(frozen=True)
class EqualToKnown(Rule):
  """A measured effect lies in a known range, or is a known value, within a
  margin; held when its interval meets the range, as a wide one always does."""

  known: tuple[float, float] = (0.0, 0.0)
  compares = False

  def held_effect(self, e):
    """Where the interval meets the known range."""
    return e.low <= self.known[1] and self.known[0] <= e.high


def average_ranks(x: np.ndarray) -> np.ndarray:
  """0, 1, ... by size; equal values share the mean of their ranks."""
  below, equal_ = (f(x[:, None], x).sum(1) for f in (np.greater, np.equal))
  return below + (equal_ - 1) / 2


@dataclasses.dataclass(frozen=True)
class Correlated(Rule):
  """Over cells, column and `other` of a claim are correlated at least `low`.

  `other`: another column, or a number for each cell. The interval is
  Fisher's, over cells.
  """

  other: Any = ''
  ranks: bool = False

  def effect(self, cells):
    """The correlation over cells, each a pair (column, `other`)."""
    x, y = (np.array([c.mean for c in part]) for part in zip(*cells))
    if self.ranks:
      x, y = average_ranks(x), average_ranks(y)
    r = float(np.corrcoef(x, y)[0, 1])
    half = 1.959964 * ((1.06 if self.ranks else 1) / max(len(x) - 3, 1))**0.5
    z = math.atanh(max(min(r, 1 - 1e-12), -1 + 1e-12))
    return Effect(r, math.tanh(z - half), math.tanh(z + half), len(x),
                  'Fisher z')


def greater(margin: float = 0.0) -> Rule:
  """a - b > margin (in the table's unit). A negative margin: no worse by
  more than that."""
  return Greater(margin)


def equal(margin: float) -> Rule:
  """|a - b| <= margin: equivalence."""
  return Equal(-margin, margin)


def at_least(bound: float) -> Rule:
  """effect >= bound, in the table's unit."""
  return Bound(bound)


def at_most(bound: float) -> Rule:
  """effect <= bound, in the table's unit."""
  return Bound(-math.inf, bound)


def between(low: float, high: float) -> Rule:
  """low <= effect <= high, in the table's unit."""
  return Bound(low, high)


def equals(known: float | tuple[float, float], margin: float) -> Rule:
  """known - margin <= effect <= known + margin, of a known value or range."""
  low, high = known if isinstance(known, tuple) else (known, known)
  return EqualToKnown(low - margin, high + margin, (low, high))


def ratio_between(low: float = -math.inf, high: float = math.inf) -> Rule:
  """low <= a / b <= high."""
  return Ratio(low, high)


def times_more() -> Rule:
  """a / b > 1. The paper's effect is then a factor."""
  return TimesMore(1.0)


def exceeds_by_at_most(margin: float) -> Rule:
  """a - b <= margin."""
  return Excess(-math.inf, margin)


def correlated(bound: float, other: Any, ranks: bool = False) -> Rule:
  """Correlation over the cells of the claim's column with `other`."""
  return Correlated(bound, other=other, ranks=ranks)


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
    if self.paper.startswith(('not ', 'our ')) or not (bounds or self.quorum):
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
          rule: Rule = Greater(0.0), **kwargs) -> Claim:
  """The claim that cell a is above cell b. `values`: the paper's, from which
  follow what is printed and its effect; None: it has none."""
  effect = None if values is None else values[0] - values[1]
  paper = 'not in the paper' if values is None else (
      f'{values[0]} vs {values[1]} {unit}'.rstrip())
  return Claim(id, statement, source, paper, (a, b), rule, unit=unit,
               paper_effect=effect, **kwargs)


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
    weakest = 'weakest: ' * (self.cases > 1)
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
    value, low, high = (number(x, digits) for x in (e.value, e.low, e.high))
    return f'{value} [{low}, {high}]'


def number(x: float, digits: int | None = None) -> str:
  """A number with `digits` digits after the point; by default with three
  significant digits, without an exponent where possible."""
  if digits is not None and math.isfinite(x):
    return f'{x:.{digits}f}'
  if not math.isfinite(x):
    return {math.inf: 'inf', -math.inf: '-inf'}.get(x, 'nan')
  if x == 0 or 0.01 <= abs(x) < 1e5:
    digits = 2 if abs(x) < 10 else 1 if abs(x) < 1000 else 0
    digits = 3 if 0 < abs(x) < 1 else digits
    return f'{x:.{digits}f}'
  return f'{x:.2g}'


def sample_text(s: Sample, digits: int | None = None) -> str:
  """'61.2 ± 3.4': mean and standard deviation over seeds, to as many digits
  after the point."""
  text = number(s.mean, digits)
  if digits is None and 'e' not in text and math.isfinite(s.mean):
    digits = len(text.partition('.')[2])
  return text if math.isnan(s.std) else f'{text} ± {number(s.std, digits)}'


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
  is no such row. Where the table keeps no seeds, `column` is a mean, with
  `<column>_std` and `n_seeds` beside it; of a mean over several rows the
  deviation is then bounded from above by the mean deviation."""
  column = cell.get('column', column)
  rows = select(df, _rows_of(cell))
  if column not in rows:
    return None
  rows = rows[rows[column].notna()]
  if rows.empty:
    return None
  items = float(rows['n_items'].mean()) if 'n_items' in rows else math.nan
  if 'seed' in rows and rows['seed'].notna().all():
    values = rows.groupby('seed')[column].mean()
    return sample_of(dict(values), items)
  return Sample(float(rows[column].mean()), float(rows[f'{column}_std'].mean()),
                int(rows['n_seeds'].min()), None, items)


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
  weakest = min(judged, key=lambda j: _margin(claim.rule, j))
  return dataclasses.replace(
      weakest, claim=claim, outcome=outcome, cases=len(judged),
      held=sum(bool(j.held) for j in judged) >= need)


def judge_all(claims: Sequence[Claim], df: 'pd.DataFrame',
              measures: Mapping[str, Effect] | None = None) -> list[Judged]:
  """The outcomes of several claims on one table, in their order."""
  return [judge(c, df, measures) for c in claims]


def judge_experiment(module: ModuleType, df: 'pd.DataFrame') -> list[Judged]:
  """The outcomes of an experiment's CLAIMS on its table; its measures(df),
  where it has that function, are the effects that cells name as measures."""
  measures = module.measures(df) if hasattr(module, 'measures') else {}
  return judge_all(module.CLAIMS, df, measures)


def _margin(rule: Rule, j: Judged) -> float:
  """How far the effect is inside the rule's region, in its half intervals."""
  e = j.effect
  inside = min(e.value - rule.low, rule.high - e.value)
  return inside / max(e.high - e.low, 1e-12)


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
  if any(c is None or c.n < MIN_SEEDS for c in (*cells, *controls)) or (
      _lacks_baseline(claim, case, df)):
    return Judged(claim, 'not run')
  arguments = cells
  if isinstance(rule, Correlated):
    arguments = list(zip(cells, _others(rule, case, df)))
  effect = rule.effect(arguments)
  if isinstance(rule, Bound) and claim.unit == '%':
    effect = same_for_all(*cells)
  outcome = _with_size(claim, rule.outcome(effect), effect)
  if _untested(claim, case, cells, df, outcome):
    outcome = 'at floor'
  return Judged(claim, outcome, rule.held(arguments), effect, tuple(cells),
                names=differences(case, claim.column), case=_case(claim, case))


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


def _others(rule: Correlated, case, df) -> list[Sample]:
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
  """Whether the baseline's column has no values at a cell: it is of a metric
  that older evaluations did not have."""
  return isinstance(claim.baseline, str) and claim.baseline in df and any(
      sample(df, _rows_of(c), claim.baseline) is None for c in case)


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
