"""Plans isoFLOP sweeps over worlds whose entropy is known, and tabulates their
records. No JAX.

A plan has, for each budget C = 6 N D, models of several widths, and beside
these `isoflop` runs others that test the design, one `role` each:

  tune      other learning rates, at every size of a budget
  trunk     a constant learning rate, to the largest budget of `cooldowns`
  cooldown  a WSD cooldown off the trunk, at each of its budgets
  shape     other depths of about as many parameters
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from physics_lm import results
from physics_lm.config import load_config, override
from physics_lm.mixture import load_mixture
from physics_lm.scaling import flops, run_table
from physics_lm.sweep import Run
from physics_lm.worlds import base

if TYPE_CHECKING:
  import pandas as pd


@dataclasses.dataclass(frozen=True)
class SweepWorld:
  """What is trained on: a config file, what differs from it, the key of its
  world in config.worlds; its name in figures and claims."""

  config_file: str
  overrides: dict
  key: str
  title: str


@dataclasses.dataclass(frozen=True)
class Plan:
  """The runs on one world. Learning rates are multiples of a rule, `rate` at
  width 32 and ~ width^-rate_decay."""

  budgets: Mapping[float, Sequence[int]]  # C: widths
  depth: int
  batch_size: int
  # Of a budget: the number of seeds and the multiple, where not 1; the other
  # multiples that are tried.
  seeds: Mapping[float, int] = dataclasses.field(default_factory=dict)
  rates: Mapping[float, float] = dataclasses.field(default_factory=dict)
  tune: Mapping[float, Sequence[float]] = dataclasses.field(
      default_factory=dict)
  # Budgets, width, number of seeds.
  cooldowns: tuple[Sequence[float], int, int] | None = None
  # A budget, and each (width, depth).
  shapes: tuple[float, Sequence[tuple[int, int]]] | None = None
  common: Mapping = dataclasses.field(default_factory=dict)  # overrides
  rate: float = 3.5e-3
  rate_decay: float = 0.5


def sliding(budgets: Sequence[float], widths: Sequence[int],
            first: Sequence[int], count: int = 7) -> dict[float, Sequence[int]]:
  """{budget: `count` of the widths, from number first[i] on}."""
  return {c: widths[i:i + count]
          for c, i in zip(budgets, first, strict=True)}


def heads(width: int) -> int:
  """The most that divide the width, of at least 16 dimensions each."""
  return max([n for n in range(1, width // 16 + 1) if width % n == 0],
             default=1)


def model(world: SweepWorld, width: int, depth: int) -> dict:
  """Overrides of a model of this shape."""
  return world.overrides | {
      'model.width': width, 'model.depth': depth, 'model.heads': heads(width),
      'model.rope_fraction': 1.0}


def model_size(world: SweepWorld, width: int, depth: int) -> dict[str, float]:
  """N, N_ne and FLOP per token by convention, and the length of a row."""
  return _size(world.config_file, tuple(model(world, width, depth).items()))


@functools.cache
def _size(config_file: str, overrides: tuple) -> dict[str, float]:
  config = override(load_config(config_file),
                    dict(overrides) | {'steps': 1, 'data.batch_size': 1})
  length = config.data.seq_len
  return {k: v / length if k[0] in 'CD' else v
          for k, v in run_table.sizes(config, len(load_mixture(config).vocab)
                                      ).items()} | {'length': length}


def world_entropy(world: SweepWorld) -> tuple[float, float]:
  """(entropy of the world in nats per token, its standard error).

  Of a grammar it is the mean of the exact -log P of 2,048 strings; of people it
  is exact, and the error is that of the rows on which the loss is measured.
  """
  return _entropy(world.config_file, tuple(world.overrides.items()), world.key)


@functools.cache
def _entropy(config_file: str, overrides: tuple, key: str):
  config = override(load_config(config_file), dict(overrides))
  made = base.make_world(config.worlds[key], config.seed.world)
  if hasattr(made, 'laws'):
    return made.entropy(2048)
  entries = config.evals.loss.num_rows * (config.data.seq_len // made.tokens)
  return (made.entropy() / made.tokens,
          made.law.deviation() / entries**0.5 / made.tokens)


def runs(worlds: Mapping[str, SweepWorld], plans: Mapping[str, Plan]
         ) -> list[Run]:
  """Every run of every role; plans by name of their world."""
  out = []
  for name, p in plans.items():
    planner = _Planner(name, worlds[name], p)
    out += [*planner.isoflop(), *planner.tune(), *planner.shape(),
            *planner.cooldown()]
  return out


@dataclasses.dataclass(frozen=True)
class _Planner:
  """Runs of one world by role."""

  name: str
  world: SweepWorld
  plan: Plan

  def isoflop(self) -> Iterable[Run]:
    for budget, widths in self.plan.budgets.items():
      for width, seed in itertools.product(widths, self._seeds(budget)):
        yield self._run('isoflop', budget, width, seed)

  def tune(self) -> Iterable[Run]:
    for budget, multiples in self.plan.tune.items():
      # The rule itself, where the budget's own rate is another, by all seeds.
      others = {*multiples, 1.0} - {self._multiple(budget)}
      tried = [(m, seed) for m in sorted(others)
               for seed in (self._seeds(budget) if m == 1 else (0,))]
      for width, (m, seed) in itertools.product(
          self.plan.budgets[budget], tried):
        yield self._run('tune', budget, width, seed, multiple=m)

  def shape(self) -> Iterable[Run]:
    budget, shapes = self.plan.shapes or (0.0, ())
    for width, depth in shapes:
      yield self._run('shape', budget, width, 0, depth=depth)

  def cooldown(self) -> Iterable[Run]:
    budgets, width, count = self.plan.cooldowns or ((), 0, 0)
    for seed in range(count):
      first = self._run('trunk', budgets[0], width, seed, 1.0)
      warmup = {'optim.warmup_steps': first.config.optim.warmup_steps}
      trunk = self._run(
          'trunk', budgets[-1], width, seed, 1.0, schedule='constant',
          overrides=warmup | {'checkpoint.keep': 1000, 'checkpoint.every': max(
              round(0.8 * first.config.steps), 1)})
      yield trunk
      for budget in budgets:  # they begin alike, also in the warm-up
        yield self._run('cooldown', budget, width, seed, 1.0, schedule='wsd',
                        overrides=warmup, trunk=trunk)

  def _seeds(self, budget: float) -> range:
    return range(self.plan.seeds.get(budget, 1))

  def _multiple(self, budget: float) -> float:
    return self.plan.rates.get(budget, 1.0)

  def _run(self, role: str, budget: float, width: int, seed: int,
           multiple: float | None = None, depth: int | None = None,
           schedule: str = 'linear', overrides: Mapping | None = None,
           trunk: Run | None = None) -> Run:
    """A run of a budget by a size; `multiple` is of the rule's learning rate,
    by default the budget's own."""
    p, depth = self.plan, depth or self.plan.depth
    size = model_size(self.world, width, depth)
    multiple = self._multiple(budget) if multiple is None else multiple
    rate = float(f'{multiple * p.rate * (32 / width)**p.rate_decay:.3g}')
    steps = max(round(
        budget / (6 * size['N'] * p.batch_size * size['length'])), 4)
    changes = model(self.world, width, depth) | {
        'steps': steps, 'data.batch_size': p.batch_size,
        'optim.learning_rate': rate, 'optim.schedule': schedule,
        'optim.final_lr_fraction': 0.0,
        'optim.warmup_steps': max(min(steps // 20, 500), 1),
        'checkpoint.every': min(steps, 5000), 'log.every': max(steps // 50, 1)}
    return Run(
        self.world.config_file, changes | dict(p.common) | dict(overrides or {})
        | {'seed.init': seed, 'seed.data': seed},
        {'role': role, 'world': self.name, 'width': width, 'depth': depth,
         'seed': seed, 'budget': budget, 'learning_rate': rate}, trunk=trunk)


MEASURED = ('accuracy', 'forced_accuracy', 'majority_baseline', 'kl_end')


def sweep_table(records: Sequence[results.Record],
                worlds: Mapping[str, SweepWorld]) -> 'pd.DataFrame':
  """One row a run. N, N_ne, D; C = 6 N D and C_<convention> as in flops.py;
  loss (of a grammar the entropy plus the relative entropy to the exact law)
  and its standard error where it has one, entropy and its standard error, in
  nats per token; accuracy: the fraction of strings whose forced tokens are all
  right; kl_end: the excess loss at end tokens; seconds: of this run alone."""
  import pandas as pd
  return pd.DataFrame([_row(r, worlds[r['tags']['world']]) for r in records])


def _row(r: results.Record, world: SweepWorld) -> dict:
  """The row of one record."""
  law, loss = ({row['metric']: row['value'] for row in r['evals'].get(name, ())}
               for name in ('law', 'loss'))
  out = results.about(r)
  size, D = model_size(world, out['width'], out['depth']), r['train']['tokens']
  known, error = world_entropy(world)
  return out | {
      'N': size['N'], 'N_ne': size['N_ne'], 'D': D, 'C': 6 * size['N'] * D,
      **{f'C_{c}': size[f'C_{c}'] * D for c in flops.CONVENTIONS},
      'loss': known + law['kl'] if law else loss['loss'],
      'loss_error': law.get('kl_error', math.nan), 'entropy': known,
      'entropy_error': error, 'train_loss': r['train']['loss'],
      'seconds': r['train']['time/seconds'],
      **{k: law.get(k, math.nan) for k in MEASURED}}
