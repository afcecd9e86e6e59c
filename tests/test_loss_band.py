"""A run's loss against what was expected of it."""

import json

import numpy as np
import pytest

from physics_lm import loss_band, run_dir, train
from physics_lm.config import plain_config, run_id
from physics_lm.errors import BadInput


def test_limits_are_linear_in_log_tokens():
  band = loss_band.LossBand([1e3, 1e5], [2.0, 1.0], [3.0, 1.5])
  assert band.limits(1e4) == pytest.approx((1.5, 2.25))
  assert band.limits(999) is None and band.limits(1.1e5) is None


def test_judge_warns_once_each_time_the_loss_leaves():
  band = loss_band.LossBand([1, 100], [1, 1], [2, 2], 'small runs')
  found = [band.judge(t, loss) for t, loss in (
      (1, 1.5), (2, 2.5), (3, 3.0), (4, 1.5), (5, 0.5), (6, 2.5), (200, 9.0))]
  assert [bool(f) for f in found] == [0, 1, 0, 0, 1, 1, 0]
  assert 'above' in found[1] and 'small runs' in found[1]
  assert 'below' in found[4]


def test_training_warns_and_computes_the_same(one_device, tmp_path, capsys):
  path = tmp_path / 'band.json'
  loss_band.write_band(path, [1, 1e9], [0, 0], [1e-3, 1e-3], 'nothing')
  losses = {}
  for name, changes in (('plain', {}),
                        ('watched', {'log.loss_band': str(path)})):
    config = one_device(changes)
    train.run(config, tmp_path / name)
    rows = run_dir.read_rows(tmp_path / name / 'metrics.jsonl')
    losses[name] = [r['loss'] for r in rows if r['kind'] == 'train']
    warned = [r for r in rows if r['kind'] == 'warning']
    assert len(warned) == (name == 'watched')
  assert losses['plain'] == losses['watched']
  assert 'above what was expected' in capsys.readouterr().out
  assert run_id(plain_config(one_device())) == run_id(
      plain_config(config))


@pytest.mark.parametrize('told,message', [
    ({'low': [1], 'high': [1]}, 'no band'),
    ({'tokens': [1], 'low': [1], 'high': [1]}, 'two points'),
    ({'tokens': [2, 1], 'low': [1, 1], 'high': [1, 1]}, 'rising'),
    ({'tokens': [1, 2], 'low': [2, 1], 'high': [1, 1]}, 'low at most high'),
    ({'tokens': [1, 2], 'low': 'x', 'high': [1, 1]}, 'no band')])
def test_load_band_rejects_bad_files(tmp_path, told, message):
  path = tmp_path / 'band.json'
  path.write_text(json.dumps(told))
  with pytest.raises(BadInput, match=message):
    loss_band.load_band(str(path))
  with pytest.raises(BadInput, match='wanted a JSON file'):
    loss_band.load_band(str(tmp_path / 'absent.json'))
  assert loss_band.load_band('') is None


def test_load_band_reads_what_write_band_wrote(tmp_path):
  tokens = np.geomspace(1, 100, 5)
  loss_band.write_band(tmp_path / 'b.json', tokens, tokens - 1, tokens + 1,
                       'a fit')
  band = loss_band.load_band(str(tmp_path / 'b.json'))
  np.testing.assert_array_equal(band.tokens, tokens)
  assert band.source == 'a fit'
