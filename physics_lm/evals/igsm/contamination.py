"""Contamination: which test problems occurred in training, word for word.

In a large world freshly drawn problems are new; in a small one many occurred
before, and memorising them is not reasoning. The rows that a run has read are a
pure function of its config and step, so they are generated again (about 2,000
rows of 160 tokens per second on a core), as are those of the runs that it
started from.
"""

import contextlib
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from physics_lm import mixture, restore, run_dir, vocab
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.worlds.igsm.problems import parse_split

MAX_ROWS = 150_000  # rows generated again: 90 seconds of a core

# (split, text of a problem) -> whether it occurred; None: not known.
Checker = Callable[[str, str], bool | None]


class Occurrences:
  """The iGSM problems in the training rows of a config, generated as far as
  needed."""

  def __init__(self, config: ConfigDict):
    self._data = load_mixture(config)
    self._tags = {t.name: t.tag for t in self._data.tasks if config.worlds[
        config.data.tasks[t.name].world].kind == 'igsm'}
    self._first_row: dict[str, int] = {}  # of each problem's text
    self._rows = 0  # generated so far

  def before(self, text: str, count: int) -> bool:
    """Whether the first `count` rows contain the problem."""
    for index in range(self._rows, count):
      for problem in self._problems(index):
        self._first_row.setdefault(problem, index)
    self._rows = max(self._rows, count)
    return self._first_row.get(text, count) < count

  def _problems(self, index: int):
    """The problems of a row, without solutions."""
    data = self._data
    task = data.tasks[mixture.task_for_row(data, index)]
    name, world = task.name, task.world
    if name not in self._tags:
      return
    tokens = mixture.packed_row(data, index)['tokens'].tolist()
    starts = [i for i, t in enumerate(tokens) if t == vocab.EOS]
    for start, stop in zip(starts, [*starts[1:], len(tokens)]):
      text = data.vocab.decode(tokens[start + 1:stop])
      yield world.prompt_part(text.removeprefix(self._tags[name]))


@functools.lru_cache(8)
def _occurrences(text: str) -> Occurrences:
  """Shared by the evaluations of a run, and by runs that read the same rows."""
  return Occurrences(ConfigDict(json.loads(text)))


def occurrences(config: ConfigDict) -> Occurrences:
  """The problems in the training rows of a config."""
  relevant = ConfigDict({
      'worlds': config.worlds, 'data': config.data,
      'seed': {k: config.seed[k] for k in ('data', 'world')}})
  return _occurrences(relevant.to_json_best_effort(sort_keys=True))


class TrainingSet:
  """The training data of a run and of the runs that it started from.

  Args:
    config: the run's.
    folder: the run's; its parents are found from there.
  """

  def __init__(self, config: ConfigDict, folder: Path | None):
    self._config, self._folder = config, folder

  def contamination_checker(self, step: int) -> Checker:
    """A function that tells whether a problem of a split occurred in the rows
    that the run had read by `step`, or in those of its parents.

    With instance parameters alone a text has one template, and those of test
    templates are new to models that were trained on others: no row is
    generated. (With abstract ones the order of solution and operands is free,
    and one text may have a template of each kind.) Problems of a `_reask`
    split, or of fewer operations than `held_out_op`, may have any template. It
    returns None, unknown, when there are more than MAX_ROWS rows, which are
    not generated again, or when a parent's folder is missing.
    """
    read = self._lineage(step)
    known = read is not None and sum(n for _, n in read) <= MAX_ROWS
    tasks = [(t, c.worlds[t.world]) for c, _ in read or ()
             for t in igsm_tasks(c)]
    train_templates = read is not None and all(
        t.split.startswith('train') and w.get('parameters') == 'instance'
        for t, w in tasks)
    held_out = max((w.get('held_out_op', 1) for _, w in tasks), default=1)

    def occurred(split: str, text: str) -> bool | None:
      bins, op, reask = parse_split(split)
      if train_templates and 0 not in bins and not reask and (
          held_out == 1 or (op or 0) >= held_out):
        return False  # nothing to generate
      return any(occurrences(c).before(text, n) for c, n in read
                 ) if known else None

    return occurred

  def _lineage(self, step: int) -> list[tuple] | None:
    """[(config, rows read)] of the run and of those that it started from, if
    they train on iGSM; None when one is missing, or is post-training."""
    config, folder = self._config, self._folder
    read = [(config, step)]
    with contextlib.suppress(BadInput):
      while config.init_from:
        if folder is None:
          return None
        folder = run_dir.find_parent(folder)
        config = restore.run_config(folder)
        read.append((config, config.steps))
      if any(c.post.kind and igsm_tasks(c) for c, _ in read):
        return None  # prompts are drawn in another way (posttrain/rollout.py)
      return [(c, steps * c.data.batch_size) for c, steps in read
              if igsm_tasks(c)]
    return None


def contamination_checker(training_set: TrainingSet | None, step: int | None
                          ) -> Checker:
  """The checker of a training set; without one, or without a step, a checker
  that returns None."""
  if training_set is None or step is None:
    return _unknown
  return training_set.contamination_checker(step)


def _unknown(split: str, text: str) -> None:
  return None


def igsm_tasks(config: ConfigDict) -> list:
  """The tasks of a config that train on iGSM."""
  return [t for t in config.data.tasks.values() if t.weight > 0
          and config.worlds[t.world].kind == 'igsm'
          and config.data.source == 'worlds']


def contamination_slices(outcomes: Sequence[dict]
                         ) -> list[tuple[str, list[dict]]]:
  """[(value of the slice `contaminated`, outcomes)]: 'all' and, where it is
  known of all outcomes, 'no' and 'yes', those about problems that did not and
  did occur in training, where there are some."""
  out = [('all', list(outcomes))]
  if all(r['in_training_set'] is not None for r in outcomes):
    parts = (('no', [r for r in outcomes if not r['in_training_set']]),
             ('yes', [r for r in outcomes if r['in_training_set']]))
    out += [(name, part) for name, part in parts if part]
  return out
