"""Runs of an experiment as data. No JAX.

A sweep is a list of {dotted path: value}: it can be listed, counted, hashed
and compared. Axes multiply and chain; merging two points that set the same
key raises.
"""

import dataclasses
import functools
import itertools
from pathlib import Path

from physics_lm import cli, store
from physics_lm.errors import BadInput, nearest

ROOT = Path(__file__).resolve().parents[1]  # of the repository


def axis(path: str, *values) -> list[dict]:
  """One key over several values."""
  return [{path: v} for v in values]


def product(*sweeps: list[dict]) -> list[dict]:
  """Every combination, the last axis fastest. Raises ValueError when two
  sweeps set the same key."""
  return [_merge(points) for points in itertools.product(*sweeps)]


def zipped(*sweeps: list[dict]) -> list[dict]:
  """Point by point. Raises ValueError for unequal lengths."""
  return [_merge(points) for points in zip(*sweeps, strict=True)]


def chain(*sweeps: list[dict]) -> list[dict]:
  """One after the other."""
  return [point for sweep in sweeps for point in sweep]


def _merge(points) -> dict:
  out = {}
  for point in points:
    twice = out.keys() & point.keys()
    if twice:
      raise ValueError(f'two sweeps set {sorted(twice)}')
    out |= point
  return out


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """One training run: a config file, what differs from it, labels for the
  table, and the run it starts from, or branches off, if any."""

  config_file: str  # 'configs/biographies.py:single', from the repository root
  overrides: dict
  tags: dict  # columns of the table
  init_from: 'Run | None' = None
  trunk: 'Run | None' = None  # that it shares its first steps with: it takes
  # them from there, and computes the same

  @property
  def changes(self) -> dict:
    """The overrides, with the ids of the runs it takes something from."""
    parent = {'init_from': self.init_from.id} if self.init_from else {}
    trunk = {'runtime.trunk': self.trunk.id} if self.trunk else {}
    return self.overrides | parent | trunk

  @property
  def parent(self) -> 'Run | None':
    """The run that must be done before."""
    return self.trunk or self.init_from  # a trunk has its parent's, too

  @functools.cached_property
  def config(self):
    """The locked config. Raises BadInput for an unknown key or wrong type."""
    return cli.override(
        cli.load_config(str(ROOT / self.config_file)), self.changes)

  @functools.cached_property
  def id(self) -> str:
    return store.run_id(store.plain(self.config))

  def arguments(self) -> list[str]:
    """Arguments of physics_lm.train, less --workdir."""
    return [f'--config={self.config_file}'] + [
        f'--config.{k}={v}' for k, v in self.changes.items()]


def ordered(runs: list[Run]) -> list[Run]:
  """The runs, parents before children and included; raises ValueError when
  two are the same computation with other tags."""
  out: dict[str, Run] = {}

  def visit(run: Run, wanted: bool):
    for parent in (run.init_from, run.trunk):
      if parent:
        visit(parent, False)
    known = out.get(run.id)
    if wanted and known is not None and known.tags != run.tags:
      raise ValueError(f'two runs are one computation ({run.id}): '
                       f'{known.tags} and {run.tags}')
    out.setdefault(run.id, run)

  for run in runs:
    visit(run, True)
  return list(out.values())


def finished(asked: list[Run], folder: Path):
  """A predicate of runs: whether `folder` has it done and, of those asked
  about, with answers to what is asked. Of a run that others only start from
  the answers do not matter."""
  own = {r.id for r in asked}
  return lambda run: store.is_done(folder / run.id) and (
      run.id not in own or not stale_evals(run, folder))


def stale_evals(run: Run, folder: Path) -> str:
  """What a done run was asked otherwise, or not at all."""
  return '; '.join(store.stale_evals(
      folder / run.id, store.plain(run.config)['evals']).values())


def pick(scales: dict, scale: str):
  """The entry of a scale. Raises BadInput."""
  if scale not in scales:
    raise BadInput(f'unknown scale {scale!r}; {nearest(scale, scales)}')
  return scales[scale]


def experiment(path: str):
  """The module of an experiment file, checked. Raises BadInput."""
  module = cli.load_module(path, 'experiment')
  missing = [name for name in ('runs', 'table', 'summary', 'figure', 'CLAIMS')
             if not hasattr(module, name)]
  if missing:
    raise BadInput(f'{path} has no {", ".join(missing)}: not an '
                       'experiment file')
  module.name = Path(path).stem
  return module
