"""Which problems occurred in training is known exactly, or not at all."""

import pytest

from physics_lm import mixture, run_dir
from physics_lm.config import override
from physics_lm.configs import igsm as recipe
from physics_lm.evals.igsm import contamination
from physics_lm.mixture import load_mixture

SMALL = {'data.batch_size': 4, 'steps': 5}


@pytest.fixture
def config():
  return override(recipe.get_config(), SMALL)


def checker(config, folder, step):
  return contamination.TrainingSet(config, folder).contamination_checker(step)


def folder(path, config, parent=None):
  """That of a finished run, as far as it is needed here."""
  run_dir.write_json(path / 'config.json',
                     run_dir.canonical_config(config, path))
  run_dir.write_json(path / 'meta.json', {
      'init_from': parent and f'../{parent}'})
  run_dir.write_json(path / 'done', {})
  return path


def watched_rows(config, count):
  """(problems of the first rows, of what was drawn for them besides): watched
  as they are drawn."""
  data, drawn, kept, rest = load_mixture(config), [], set(), set()
  world = data.tasks[0].world

  class Watched:
    unbounded = True

    def example(self, split, index):
      drawn.append(world.prompt(world.example(split, index)))
      return world.example(split, index)

  watched = data._replace(tasks=(data.tasks[0]._replace(world=Watched()),))
  for i in range(count):
    drawn.clear()
    entries = int(mixture.packed_row(watched, i)['entries'])
    kept.update(drawn[:entries])
    rest.update(drawn[entries:])
  return kept, rest - kept


def test_occurrences_are_problems_of_the_rows_read(config, tmp_path):
  for changes in ({}, {'data.intra_document_mask': False}, {
      'data.vocab': 'word'}, {'worlds.igsm.rendering': 'compact'}, {
      'worlds.igsm.rendering': 'compact', 'worlds.igsm.order': 'qp',
      'worlds.igsm.retry_rate': 0.5}, {
      'worlds.igsm.order': 'qp', 'worlds.igsm.retry_rate': 0.5,
      'data.tasks.train.tag': 'sums.org '}):
    c = override(config, changes)
    if 'data.vocab' in changes:
      c.data.seq_len = 260
    kept, rest = watched_rows(c, 12)
    assert len(kept) > 20 and rest
    occurred = checker(c, tmp_path, 3)
    assert all(occurred('train', text) for text in kept)
    assert not any(occurred('train', text) for text in rest)
  # As far as it has come, not to the end.
  later = watched_rows(c, 20)[0] - kept
  assert later and not any(occurred('train', text) for text in later)
  assert all(checker(c, tmp_path, 5)('train', text) for text in later)
  assert not any(occurred('train', text) for text in later)  # at step 3, still


def test_checker_includes_rows_of_parents(config, tmp_path):
  first = folder(tmp_path / 'a', config)
  again = override(config, {
      'init_from': 'a', 'seed.data': 1, 'steps': 2})
  second = folder(tmp_path / 'b', again, 'a')
  third = override(config, {'init_from': 'b', 'steps': 0})
  at = folder(tmp_path / 'c', third, 'b')
  mine, before = watched_rows(again, 8)[0], watched_rows(config, 20)[0]
  assert mine - before
  for c, path, step, wanted in ((config, first, 5, before),
                                (again, second, 2, mine | before),
                                (third, at, 0, mine | before)):
    occurred = checker(c, path, step)
    assert {t for t in mine | before if occurred('train', t)} == wanted
  (second / 'done').unlink()  # and it is not to be found
  assert checker(third, at, 0)('train', min(mine)) is None
  assert checker(again, None, 2)('train', min(mine)) is None


def test_checker_is_unknown_where_rows_are_not_generated_again(
    config, tmp_path, monkeypatch):
  text = min(watched_rows(config, 20)[0])
  assert checker(config, tmp_path, 5)('train', text) is True
  monkeypatch.setattr(contamination, 'MAX_ROWS', 19)
  occurred = checker(config, tmp_path, 5)
  assert occurred('train', text) is occurred('train_op2', text) is None
  # A text may have several templates, some of them in training.
  assert occurred('test', text) is occurred('test_op4', text) is None
  assert checker(config, tmp_path, 4)('train', 'x') is False  # 16 rows
  # With instance parameters it has one, but for `_reask`, another question on a
  # problem.
  c = override(config, {'worlds.igsm.parameters': 'instance'})
  occurred = checker(c, tmp_path, 5)
  assert occurred('test', text) is occurred('test_op4', text) is False
  assert occurred('test_op4_reask', text) is None
  other = override(c, {'data.tasks.train.split': 'test_op2'})
  assert checker(other, tmp_path, 5)('test', text) is None
  # Prompts of post-training are other draws.
  rewarded = override(c, {'post.kind': 'reinforce', 'init_from': 'x'})
  assert checker(rewarded, tmp_path, 5)('test', text) is None


def test_contamination_slices_need_every_outcome_known():
  outcomes = [{'in_training_set': known} for known in (True, False, False)]
  assert contamination.contamination_slices(outcomes) == [
      ('all', outcomes), ('no', outcomes[1:]), ('yes', outcomes[:1])]
  assert contamination.contamination_slices(outcomes[:1]) == [
      ('all', outcomes[:1]), ('yes', outcomes[:1])]
  unknown = [*outcomes, {'in_training_set': None}]
  assert contamination.contamination_slices(unknown) == [('all', unknown)]
  assert contamination.contamination_checker(None, 3)('test', 'x') is None
