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
over seeds contains that over items; where there is none in percent, intervals
are over items. Two cells are equal when the whole
interval of their difference lies inside a margin, never because a difference
was not found.

`held` is the older rule of the first experiments, fixed before their runs:
means against a number, or a difference against two standard errors. In prose:
docs/claims.md. Effects and their intervals are in effects.py, rules in
rules.py, claims and how they are judged in judging.py.
"""

from physics_lm.claims.effects import (
    Effect,
    Sample,
    contrast,
    exponent,
    exponent_over_seeds,
    mean_effect,
    number,
    quantile,
    ratio,
    same_for_all,
    sample_of,
    sample_text,
)
from physics_lm.claims.judging import (
    MIN_SEEDS,
    OUTCOMES,
    Cell,
    Claim,
    Judged,
    above,
    descending,
    differences,
    judge,
    judge_all,
    judge_experiment,
    sample,
    select,
)
from physics_lm.claims.rules import (
    AboveByError,
    EqualNotBelow,
    EqualWithinError,
    GreaterMean,
    GreaterPaired,
    Rule,
    at_least,
    at_most,
    average_ranks,
    between,
    correlated,
    equal,
    equals,
    exceeds_by_at_most,
    greater,
    ratio_between,
    times_more,
)
