"""Which problems stood in training word for word?

Problems drawn anew are fresh in a large world; in a small one many are old
ones, and to have learned them by heart is not to reason. What a run read is a
pure function of its config and step, so its rows are made once more (about
2,000 of 160 tokens a second of a core), and those of the runs it started from.
"""

import contextlib
import functools
import json
from pathlib import Path

from ml_collections import ConfigDict

from physics_lm import rows, store, trained, vocab
from physics_lm.errors import BadInput
from physics_lm.worlds.igsm import parse_split

MOST = 100_000  # rows made again: a minute of a core


def judge(config, folder: Path, step: int):
  """stood(split, text): whether an iGSM problem of a split stood in what the
  run in `folder` had read by `step`, or the runs it started from.

  None where that is not known: of more than MOST rows they are not made again,
  and a run that is not there cannot be asked. Even so problems of test
  templates are new to models that were trained on others; asked again (_reask)
  their templates are any.
  """
  read = lineage(config, folder, step)
  known = read is not None and sum(count for _, count in read) <= MOST
  old = frozenset().union(*(
      texts(c.to_json_best_effort(), count) for c, count in read)) if (
          known) else frozenset()
  apart = read is not None and all(
      t.split.startswith('train') for c, _ in read for t in tasks(c))

  def stood(split: str, text: str) -> bool | None:
    if known:
      return text in old
    bins, _, reask = parse_split(split)
    return False if apart and 0 not in bins and not reask else None

  return stood


def lineage(config, folder: Path, step: int):
  """[(config, rows read)] of a run and those it started from, if they train
  on iGSM; None when one is not to be found."""
  read = [(config, step)]
  with contextlib.suppress(BadInput):
    while config.init_from:
      folder = store.find_parent(folder)
      config = trained.config(folder)
      read.append((config, config.steps))
    return [(c, steps * c.data.batch) for c, steps in read if tasks(c)]
  return None


def tasks(config) -> list:
  """The tasks of a config that train on iGSM."""
  return [t for t in config.data.tasks.values() if t.weight > 0
          and config.worlds[t.world].kind == 'igsm'
          and config.data.source == 'worlds']


@functools.lru_cache(8)
def texts(plain: str, count: int) -> frozenset[str]:
  """Problems, without solutions, of the first `count` rows of a config."""
  config = ConfigDict(json.loads(plain))
  data, out = rows.load(config), set()
  mine = {t.name: t.tag for t in data.tasks
          if config.worlds[config.data.tasks[t.name].world].kind == 'igsm'}
  for index in range(count):
    name = data.tasks[rows.task_of(data, index)].name
    if name in mine:
      tokens = rows.row(data, index)['tokens'].tolist()
      starts = [i for i, t in enumerate(tokens) if t == vocab.EOS]
      for start, stop in zip(starts, [*starts[1:], len(tokens)]):
        text = data.vocab.decode(tokens[start + 1:stop])
        out.add(text.removeprefix(mine[name]).partition(' Define')[0])
  return frozenset(out)
