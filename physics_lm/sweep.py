"""Runs of an experiment as data. No JAX.

A sweep is a list of {dotted path: value}: it can be listed, counted, hashed
and compared. Axes multiply and chain; two points that set the same key cannot
be merged.
"""

import argparse
import dataclasses
import functools
import itertools
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from physics_lm import run_dir
from physics_lm.config import (
    find_file,
    load_config,
    load_module,
    override,
    plain_config,
    run_id,
)
from physics_lm.errors import BadInput, nearest

ROOT = Path(__file__).resolve().parents[1]  # of a clone
RUNS = Path('runs')  # in the working directory
# States of a run that has nothing left to do: see states().
COMPLETE = ('done', 'recorded', 'not needed')
Point = dict[str, Any]  # {dotted path: value}


def axis(path: str, *values: Any) -> list[Point]:
  """One key over several values."""
  return [{path: v} for v in values]


def product(*sweeps: list[Point]) -> list[Point]:
  """Every combination, the last axis fastest. Raises BadInput when two sweeps
  set the same key."""
  return [_merge(points) for points in itertools.product(*sweeps)]


def zipped(*sweeps: list[Point]) -> list[Point]:
  """Point by point. Raises BadInput for unequal lengths, or when two sweeps
  set the same key."""
  if len(lengths := {len(s) for s in sweeps}) > 1:
    raise BadInput(f'zipped sweeps have {sorted(lengths)} points, wanted '
                   'sweeps of equal length')
  return [_merge(points) for points in zip(*sweeps)]


def concatenated(*sweeps: list[Point]) -> list[Point]:
  """One after the other."""
  return [point for sweep in sweeps for point in sweep]


def _merge(points: Iterable[Point]) -> Point:
  out = {}
  for point in points:
    if twice := out.keys() & point.keys():
      raise BadInput(f'two sweeps set {", ".join(sorted(twice))}, wanted each '
                     'key in one of them')
    out |= point
  return out


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """One training run: a config file, what differs from it, labels for the
  table, and the runs it starts from, branches off or needs, if any."""

  config_file: str  # 'configs/biographies.py:single': config.find_file
  overrides: dict
  tags: dict  # columns of the table
  init_from: 'Run | None' = None
  trunk: 'Run | None' = None  # that it shares its first steps with: it takes
  # them from there, and computes the same
  needs: 'Mapping[str, Run | tuple[Run, ...]]' = dataclasses.field(
      default_factory=dict)  # {key of the config that names runs: these}, as
  # post.reward_run

  @property
  def changes(self) -> dict:
    """The overrides, with the ids of the runs it takes something from."""
    parent = {'init_from': self.init_from.id} if self.init_from else {}
    trunk = {'runtime.branch_from': self.trunk.id} if self.trunk else {}
    return self.overrides | parent | trunk | {
        k: ','.join(r.id for r in _runs(v)) for k, v in self.needs.items()}

  @property
  def _others(self) -> 'list[Run]':
    return [r for v in self.needs.values() for r in _runs(v)]

  @property
  def parent(self) -> 'Run | None':
    """The run that must be done before."""
    return self.trunk or self.init_from  # a trunk has its parent's, too

  @property
  def parents(self) -> 'list[Run]':
    """The runs that it takes parameters from."""
    return [r for r in (self.init_from, self.trunk, *self._others) if r]

  @property
  def waits_for(self) -> 'list[Run]':
    """The runs that must be done before it starts."""
    return [r for r in (self.parent, *self._others) if r]

  @property
  def label(self) -> str:
    """The values of its tags, for progress and messages."""
    return ' '.join(map(str, self.tags.values())) or self.id

  @functools.cached_property
  def config(self) -> ConfigDict:
    """The locked config. Raises BadInput for an unknown key or wrong type."""
    file = find_file(self.config_file.partition(':')[0])
    changed = file.stat().st_mtime_ns if file.is_file() else 0
    return override(_loaded(self.config_file, str(file.resolve()), changed),
                    self.changes)

  @functools.cached_property
  def id(self) -> str:
    """The run id: a hash of what is computed."""
    return run_id(run_dir.with_content(plain_config(self.config)))

  def arguments(self) -> list[str]:
    """Arguments of physics_lm.train, less --workdir. --id: the config file may
    have been edited when they are read."""
    return [f'--config={self.config_file}', f'--id={self.id}'] + [
        f'--config.{k}={v}' for k, v in self.changes.items()]


@functools.lru_cache(maxsize=64)  # most of an experiment's runs share a file
def _loaded(path: str, file: str, changed: int):
  """The config of a path, as long as its file is the same; not to be changed.
  """
  del file, changed
  return load_config(path)


def _runs(value: Run | tuple[Run, ...]) -> tuple[Run, ...]:
  return value if isinstance(value, tuple) else (value,)


def first_seeds(runs: Sequence[Run], count: int | None) -> list[Run]:
  """The runs of the first `count` values of the tag `seed` (None: of all), and
  those without that tag."""
  seeds = [*dict.fromkeys(r.tags['seed'] for r in runs if 'seed' in r.tags)]
  return [r for r in runs if 'seed' not in r.tags
          or r.tags['seed'] in seeds[:count]]


def ordered(runs: Sequence[Run]) -> list[Run]:
  """The runs and those they start from, parents before children. Raises
  BadInput when two are the same computation with other tags."""
  out: dict[str, Run] = {}
  own: dict[str, Run] = {}  # its tags and evaluations count, not a parent's

  def visit(run: Run) -> None:
    for parent in run.parents:
      visit(parent)
    out.setdefault(run.id, run)

  for run in runs:
    visit(run)
    known = own.setdefault(run.id, run)
    if known.tags != run.tags:
      raise BadInput(f'two runs are one computation ({run.id}): {known.tags} '
                     f'and {run.tags}; wanted each computation once')
  return [own.get(i, r) for i, r in out.items()]


def is_finished(run: Run, folder: Path, own: Collection[str]) -> bool:
  """Whether `folder` has the run done, evaluated as its config says. `own`:
  ids of the experiment's runs; the evaluations of one that others only start
  from do not matter."""
  return run_dir.is_done(folder / run.id) and (
      not other_run_text(run, folder)) and _is_evaluated(run, folder, own)


def _is_evaluated(run: Run, folder: Path, own: Collection[str]) -> bool:
  return run.id not in own or not stale_evals_text(run, folder)


def other_run_text(run: Run, folder: Path) -> str:
  """Says that the folder of a run holds another computation, '' when it does
  not."""
  at = folder / run.id
  found = run_dir.computed_id(at)
  return '' if found == run.id else (
      f'{at} holds another computation, of run id {found}, and does not count; '
      'wanted another name of that folder')


def stale_evals_text(run: Run, folder: Path) -> str:
  """In what the evaluations of a done run differ from those of its config, ''
  for nothing."""
  return '; '.join(run_dir.stale_evals(
      folder / run.id, plain_config(run.config)['evals']).values())


def states(runs: Sequence[Run], folder: Path,
           recorded: Collection[str] = ()) -> dict[str, str]:
  """{run id: state} of an experiment's runs and those they start from.

  'done', 'running', 'stopped' or 'new' is the state of the run's folder;
  'stale-evals' of one that is done, but evaluated otherwise than its config
  says; 'other-run' of one in which another computation is done. 'recorded': its
  record is committed (`recorded`: ids of such runs), and no run that is left
  needs its parameters. 'not needed': others only start from it, and all of
  these are complete.
  """
  own, everything = {r.id for r in runs}, ordered(runs)
  out, needed = {}, set()  # ids of runs whose parameters are needed
  for run in reversed(everything):
    state = run_dir.state(folder / run.id)
    if state == 'done' and other_run_text(run, folder):
      state = 'other-run'
    done = state == 'done'
    if done and _is_evaluated(run, folder, own):
      out[run.id] = 'done'
    elif run.id in recorded and (done or run.id not in needed):
      out[run.id] = 'recorded'
    elif run.id not in own and run.id not in needed:
      out[run.id] = 'not needed'
    else:
      out[run.id] = 'stale-evals' if done else state
      if not done or _has_no_parameters(run):
        needed |= {p.id for p in run.parents}
  return {run.id: out[run.id] for run in everything}


def _has_no_parameters(run: Run) -> bool:
  """Whether a run, though done, has only an adapter of those of the run that
  it starts from, or none at all."""
  return not run.config.steps or run.config.adapter.kind != 'none'


def pick(scales: Mapping[str, Any], scale: str) -> Any:
  """The entry of a scale. Raises BadInput."""
  if scale not in scales:
    raise BadInput(f'unknown scale {scale!r}; {nearest(scale, scales)}')
  return scales[scale]


def experiment(path: str) -> ModuleType:
  """The module of an experiment file, checked. Raises BadInput."""
  module = load_module(path, 'experiment')
  missing = [name for name in ('runs', 'table', 'summary', 'figure', 'CLAIMS')
             if not hasattr(module, name)]
  if missing:
    raise BadInput(f'{path} has no {", ".join(missing)}: not an '
                       'experiment file')
  module.name = Path(path).stem
  return module


def experiment_flags(p: argparse.ArgumentParser, nargs: str | None = None
                     ) -> None:
  """The flags of every command about an experiment."""
  p.add_argument('experiment', nargs=nargs, help='an experiments/*.py file')
  p.add_argument('--scale', default='cpu', help='smoke, cpu, day, gpu, paper '
                 "or another of the experiment's SCALES")
  p.add_argument('--runs-dir', default=RUNS, type=Path,
                 help='where run folders lie (default: runs/)')


def command_line(program: str, experiment_file: str, scale: str, runs_dir: Path
                 ) -> str:
  """A command to type."""
  elsewhere = [] if runs_dir == RUNS else [f'--runs-dir={runs_dir}']
  return shlex.join(['python', '-m', f'physics_lm.{program}', experiment_file,
                     f'--scale={scale}', *elsewhere])


def from_bases(file: str, base: dict, arms: dict[str, dict],
               seeds: list[dict]) -> list[Run]:
  """A run of `file` with the overrides `base` for each seed, tag arm 'base';
  then every arm from the base of its seed. `seeds`: overrides of each."""
  bases = [Run(file, base | keys, {'arm': 'base', 'seed': i})
           for i, keys in enumerate(seeds)]
  return bases + [Run(file, changes | keys, {'arm': arm, 'seed': i}, bases[i])
                  for arm, changes in arms.items()
                  for i, keys in enumerate(seeds)]
