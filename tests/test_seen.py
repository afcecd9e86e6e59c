"""What stood in training is known exactly, or said not to be known."""

import pytest

from configs import igsm as recipe
from physics_lm import cli, rows, store
from physics_lm.evals import seen

SMALL = {'data.batch': 4, 'steps': 5}


@pytest.fixture
def config():
  return cli.override(recipe.get_config(), SMALL)


def folder(path, config, parent=None):
  """A finished run's, as far as it is asked for here."""
  store.write_json(path / 'config.json', store.canonical_config(config, path))
  store.write_json(path / 'meta.json', {
      'init_from': parent and f'../{parent}'})
  store.write_json(path / 'done', {})
  return path


def told(config, count):
  """(problems of the first rows, of what was drawn for them besides): watched
  as they are drawn."""
  data, drawn, kept, rest = rows.load(config), [], set(), set()
  world = data.tasks[0].world

  class Watched:
    unbounded = True

    def example(self, split, index):
      drawn.append(world.prompt(world.example(split, index)))
      return world.example(split, index)

  watched = data._replace(tasks=(data.tasks[0]._replace(world=Watched()),))
  for i in range(count):
    drawn.clear()
    entries = int(rows.row(watched, i)['entries'])
    kept.update(drawn[:entries])
    rest.update(drawn[entries:])
  return kept, rest - kept


def test_what_rows_hold(config, tmp_path):
  for changes in ({}, {'data.isolate': False}, {'data.vocab': 'word'}, {
      'worlds.igsm.order': 'qp', 'worlds.igsm.retry_rate': 0.5,
      'data.tasks.train.tag': 'sums.org '}):
    c = cli.override(config, changes)
    if 'data.vocab' in changes:
      c.data.length = 260
    kept, rest = told(c, 12)
    assert len(kept) > 20 and rest
    stood = seen.judge(c, tmp_path, 3)
    assert all(stood('train', text) for text in kept)
    assert not any(stood('train', text) for text in rest)
  # As far as it has come, not to the end.
  later = told(c, 20)[0] - kept
  assert later and not any(stood('train', text) for text in later)
  assert all(seen.judge(c, tmp_path, 5)('train', text) for text in later)


def test_those_it_started_from_count_too(config, tmp_path):
  first = folder(tmp_path / 'a', config)
  again = cli.override(config, {
      'init_from': 'a', 'seed.data': 1, 'steps': 2})
  second = folder(tmp_path / 'b', again, 'a')
  third = cli.override(config, {'init_from': 'b', 'steps': 0})
  at = folder(tmp_path / 'c', third, 'b')
  mine, before = told(again, 8)[0], told(config, 20)[0]
  assert mine - before
  for c, path, step, wanted in ((config, first, 5, before),
                                (again, second, 2, mine | before),
                                (third, at, 0, mine | before)):
    stood = seen.judge(c, path, step)
    assert {t for t in mine | before if stood('train', t)} == wanted
  (second / 'done').unlink()  # and it is not to be found
  assert seen.judge(third, at, 0)('train', min(mine)) is None


def test_what_is_not_known(config, tmp_path, monkeypatch):
  text = min(told(config, 20)[0])
  assert seen.judge(config, tmp_path, 5)('test', text) is True
  monkeypatch.setattr(seen, 'MOST', 19)
  stood = seen.judge(config, tmp_path, 5)
  assert stood('train', text) is stood('train_op2', text) is None
  # Templates of their own, but for what is asked of the same problem.
  assert stood('test', text) is stood('test_op4', text) is False
  assert stood('test_op4_reask', text) is None
  other = cli.override(config, {'data.tasks.train.split': 'test_op2'})
  assert seen.judge(other, tmp_path, 5)('test', text) is None
  assert seen.judge(config, tmp_path, 4)('train', 'x') is False  # 16 rows
