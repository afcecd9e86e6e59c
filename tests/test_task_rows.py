"""Weights, windows and pools of tasks: which task and example a row has."""

import numpy as np
import pytest

from physics_lm import mixture, task_rows
from physics_lm.config import override, plain_config, run_id
from physics_lm.configs import biod
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture

BATCH = 4
# Weights, windows; shares of rows in steps 0 to 9, 10 to 29, from 30 on.
TASKS = ((6.0, (None, 30)), (3.0, (10, None)), (1.0, (None, None)))
SHARES = ((0, 10, (6 / 7, 0, 1 / 7)), (10, 30, (.6, .3, .1)),
          (30, 500, (0, .75, .25)))


@pytest.fixture(scope='module')
def phases():
  return task_rows.make_phases(*zip(*TASKS), BATCH)


def test_any_stretch_has_each_share_on_both_sides_of_an_edge(phases):
  rows = np.arange(500 * BATCH)
  by_rule = (task_rows.tasks_of(phases, rows),
             task_rows.ranked_tasks(phases, rows)[0])
  for which in by_rule:
    for since, until, shares in SHARES:
      part = which[since * BATCH:until * BATCH]
      for start in range(0, len(part), 13):
        for n in (5, 40, 400):
          own = part[start:start + n]
          counts = np.bincount(own, minlength=3)
          assert np.all(abs(counts - len(own) * np.array(shares)) <= 2)


def test_ranks_count_rows_without_gaps_across_edges(phases):
  which, rank = task_rows.ranked_tasks(phases, np.arange(3000))
  for task in range(3):
    own = rank[which == task]
    assert np.array_equal(own, np.arange(len(own)))
    for rows in 30, 100, 3000:
      assert abs(task_rows.count_rows(phases, task, rows)
                 - (which[:rows] == task).sum()) <= 4
  # Of any rows alone as of all.
  some = np.array([2, 39, 40, 41, 119, 120, 121, 2999])
  for a, b in zip(task_rows.ranked_tasks(phases, some), (which, rank)):
    assert np.array_equal(a, b[some])


def test_without_windows_weights_are_those_of_the_tasks():
  phase, = task_rows.make_phases([1.0, 3.0], [(None, None)] * 2, BATCH)
  assert phase == (0, 0, (0.25, 0.75), (0, 0))


def test_windows_of_a_config_reach_the_rows(tiny):
  data = load_mixture(tiny({'data.tasks.qa.since': 3, 'data.tasks.bio.until':
                            5, 'data.batch_size': BATCH}))
  which = [int(mixture.packed_row(data, r)['task']) for r in range(7 * BATCH)]
  assert set(which[:12]) == {0} and set(which[12:20]) == {0, 1} and (
      set(which[20:]) == {1})


def test_a_pool_is_the_first_examples(tiny):
  """Of one example: that for ever; of nine people in epochs: those nine."""
  data = load_mixture(tiny({'data.tasks.qa.weight': 0.0,
                            'data.tasks.bio.pool': 1}))
  only = mixture.encode(data, data.worlds['bios'].example('bio', 0))[0]
  for r in range(20):
    row = mixture.packed_row(data, r)
    for segment in range(1, row['entries'] + 1):
      assert row['tokens'][row['segments'] == segment].tolist() == only
  data = load_mixture(override(biod.get_config('compact'), {
      'data.tasks.bio.pool': 9}))
  drawn = mixture.epoch_indices(data, data.tasks[0], np.arange(45))
  assert (np.sort(drawn.reshape(5, 9)) == np.arange(9)).all()
  assert data.tasks[0].people == 9


@pytest.mark.parametrize('changes,message', [
    ({'qa.since': 4, 'qa.until': 4}, 'until is 4, wanted above since=4'),
    ({'bio.until': 2, 'qa.since': 4}, 'no task .* takes part in steps 2 to 3'),
    ({'bio.until': 2, 'qa.until': 4}, 'no task .* takes part in steps 4 to 5'),
    ({'bio.pool': 0}, 'pool is 0, wanted at least 1')])
def test_impossible_windows_and_pools_are_refused(tiny, changes, message):
  with pytest.raises(BadInput, match=message):
    config = tiny({f'data.tasks.{k}': v for k, v in changes.items()})
    mixture.check_mixture(load_mixture(config), config.steps)


def test_windows_are_part_of_the_run_id_only_where_they_are_set(tiny):
  stored = plain_config(tiny())
  for t in stored['data']['tasks'].values():
    del t['since'], t['until'], t['pool']
  assert run_id(stored) == run_id(plain_config(tiny()))
  ids = [run_id(plain_config(tiny({f'data.tasks.bio.{k}': 9})))
         for k in ('since', 'until', 'pool')]
  assert len({*ids, run_id(stored)}) == 4
