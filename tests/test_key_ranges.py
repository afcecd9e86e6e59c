"""Ranges of numeric keys: each is stated once, beside its key, and checked."""

import math

import pytest
from ml_collections import ConfigDict

from physics_lm import key_ranges
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.worlds import base


def numeric_keys(node: ConfigDict, prefix=''):
  """The keys of a part of a config that hold numbers."""
  for key in node:
    if isinstance(node.get(key), ConfigDict):
      if key in ('mesh', 'distributed', 'seed', 'checkpoint', 'log'):
        yield from numeric_keys(node[key], f'{prefix}{key}.')
    elif node.get_type(key) in (int, float):
      yield prefix + key


def parts():
  """Every part of a config that default.py makes, and each kind of world."""
  yield from key_ranges.parts(default.get_config())
  for kind in base.WORLDS:
    yield f'{kind}.', getattr(default, kind)(), kind


@pytest.mark.parametrize('prefix,node,function', [*parts()], ids=lambda x: str(
    x) if isinstance(x, str) else '')
def test_every_numeric_key_states_a_range_that_holds_its_default(
    prefix, node, function):
  stated = key_ranges.known_ranges(function)
  for key in numeric_keys(node):
    assert key in stated, f'{prefix}{key}'
  key_ranges.check_ranges(node if 'kind' in node and prefix.rstrip('.') in (
      base.WORLDS) else default.get_config())


@pytest.mark.parametrize('comment,inside,outside', [
    ('peak, at least 0', [0, 3e-3], [-0.003, math.nan, math.inf]),
    ('F / D, above 0.5; more', [0.6], [0.5]),
    ('share, in [0, 1); 0: none', [0, 0.99], [1, -0.1]),
    ('in (0, 1]', [1], [0, 1.1]),
    ('of rows; at least 1, or -1: the rest', [1, 8, -1], [0, -2]),
    ('in [0, 2 ** 32)', [0, 2**32 - 1], [2**32]),
    ('W + scale * A B; any number', [-4.0], [math.inf])])
def test_stated_range_is_read_from_the_comment(comment, inside, outside):
  found = key_ranges.stated_range(comment)
  assert all(map(found.has, inside)) and not any(map(found.has, outside))


def test_stated_range_refuses_two_and_finds_none():
  assert key_ranges.stated_range('as much as at least some') is None
  with pytest.raises(ValueError, match='2 ranges'):
    key_ranges.stated_range('at least 1, in [0, 1]')


@pytest.mark.parametrize('key,value,wanted', [
    ('optim.learning_rate', -0.003, 'at least 0'),
    ('optim.weight_decay', -5.0, 'at least 0'),
    ('optim.final_lr_fraction', -2.0, r'\[0, 1\]'),
    ('optim.b2', 1.0, r'\[0, 1\)'), ('optim.eps', math.inf, 'at least 0'),
    ('seed.init', 1 << 32, r'\[0, 2 \*\* 32\)'), ('log.every', 0, 'at least 1'),
    ('runtime.mesh.data', 0, 'at least 1, or -1'),
    ('runtime.workers', -1, 'at least 0'), ('model.dropout', 1.0, r'\[0, 1\)'),
    ('data.tasks.bio.weight', -0.5, 'at least 0'),
    ('evals.loss.every', 0, 'at least 1'),
    ('evals.loss.num_rows', 0, 'at least 1'),
    ('evals.loss.steps', 0, 'at least 1'),
    ('evals.loss.retries', -1, 'at least 0'),
    ('evals.extraction.keep_fraction', 0.0, r'\(0, 1\]'),
    ('worlds.bios.zipf_a', -0.1, 'at least 0')])
def test_override_refuses_a_number_out_of_range(tiny, key, value, wanted):
  with pytest.raises(BadInput, match=f'^{key} is {value}, wanted {wanted}$'):
    tiny({key: value})


def test_worlds_refuse_a_number_out_of_range():
  config = default.manipulation()
  config.templates = 51  # of biographies, set without override()
  with pytest.raises(BadInput, match=r'templates is 51, wanted \[1, 50\]'):
    base.make_world(config, 0)
  with pytest.raises(BadInput, match=r'^retry_rate is 1.0, wanted \[0, 1\)$'):
    override(default.igsm().lock(), {'retry_rate': 1.0})
