"""Runs predicted from smaller ones, where the law is known."""

import json

import numpy as np
import pytest

from physics_lm import loss_band, run_dir
from physics_lm.config import override, plain_config, run_id
from physics_lm.configs import grammar as recipe
from physics_lm.errors import BadInput
from physics_lm.scaling import __main__ as command
from physics_lm.scaling import forecast, laws

TRUTH = {'E': 0.47, 'A': 40.0, 'B': 220.0, 'alpha': 0.55, 'beta': 0.5}


def simulated(noise, seed=0, sizes=7):
  """N, D and loss of runs of four budgets."""
  C = np.repeat(np.geomspace(1e10, 3e11, 4), sizes)
  N = np.tile(np.geomspace(2e3, 1e5, sizes), 4)
  D = C / (6 * N)
  rng = np.random.default_rng(seed)
  return N, D, laws.chinchilla(N, D, **TRUTH) * np.exp(
      noise * rng.normal(size=len(C)))


def test_predict_extrapolates_to_ten_times_the_compute():
  f = forecast.predict_losses(*simulated(0.0), 1e5, 5e6, draws=20)
  truth = laws.chinchilla(1e5, 5e6, **TRUTH)
  assert f.loss[0] == pytest.approx(truth, rel=1e-4)
  f = forecast.predict_losses(*simulated(0.004), [1e5, 2e4], [5e6, 2.5e7],
                              draws=50)
  assert f.loss.shape == f.low.shape == (2,)
  assert abs(f.loss[0] / truth - 1) < 0.02
  assert (f.low < f.loss).all() and (f.loss < f.high).all()


def test_predict_has_intervals_of_95_percent():
  """Of new runs with the same noise, nearly 95 % in the range of the data."""
  rng, inside = np.random.default_rng(1), []
  for seed in range(4):
    N, D, L = simulated(0.01, seed)
    f = forecast.predict_losses(N, D, L, N, D, draws=60)
    fresh = laws.chinchilla(N, D, **TRUTH) * np.exp(
        0.01 * rng.normal(size=len(N)))
    inside += ((f.low < fresh) & (fresh < f.high)).tolist()
  assert 0.86 < np.mean(inside) < 0.995


def test_accuracy_curve_is_recovered():
  truth = forecast.AccuracyCurve(0.07, 2.5)
  above = np.geomspace(0.02, 0.5, 20)
  found = forecast.fit_accuracy_curve(above, truth(above))
  assert found == pytest.approx(truth, rel=1e-4)
  assert truth(0.07) == 0.5 and truth(0.01) > 0.99
  with pytest.raises(ValueError, match='above 0'):
    forecast.fit_accuracy_curve([0.0, 0.1, 0.2], [1, 1, 1])


def test_curves_collapse_when_they_scale():
  share = np.linspace(0.02, 1, 60)
  curves = [(share, 0.5 + k * share**-0.4) for k in (0.1, 0.3, 1.0)]
  shape = forecast.collapsed(curves, 0.5)
  np.testing.assert_allclose(shape, np.broadcast_to(shape[0], shape.shape),
                             rtol=1e-9)
  np.testing.assert_allclose(shape[:, -1], 1)
  f = forecast.predict_losses(*simulated(0.004), 1e5, 5e6, draws=30)
  entropy = f.fit.params['E']
  curves = [(share, entropy + share**-power) for power in (0.3, 0.4)]
  tokens, low, high = forecast.band(f, 5e6, curves)
  middle = f.loss[0] - entropy
  for power in (0.3, 0.4):  # both shapes lie inside
    curve = entropy + middle * forecast.GRID**-power
    assert (low < curve).all() and (curve < high).all()
  assert tokens[-1] == 5e6 and (low < high).all()
  assert (low[-1], high[-1]) == pytest.approx((f.low[0], f.high[0]))


def run_folders(root, config, words=4):
  """Finished runs of several sizes and lengths, their losses by the law."""
  from physics_lm.scaling import run_table
  rng = np.random.default_rng(0)
  for width in (8, 16, 32, 64):
    for steps in (200, 800, 3200):
      c = override(config, {'model.width': width, 'steps': steps})
      folder = root / run_id(plain_config(c))
      run_dir.write_json(folder / 'config.json', plain_config(c))
      run_dir.write_json(folder / 'meta.json', {'vocab': {'size': words}})
      size = run_table.sizes(c, words)
      rows = []
      for s in np.linspace(0.05, 1, 20):
        loss = TRUTH['E'] + (laws.chinchilla(
            size['N'], size['D'], **TRUTH) - TRUTH['E']) * s**-0.4
        loss *= np.exp(0.005 * rng.normal())
        rows.append({'kind': 'train', 'step': round(s * steps),
                     'tokens': s * size['D'], 'loss': loss})
      run_dir.write(folder / 'metrics.jsonl', ''.join(
          json.dumps(r) + '\n' for r in rows))
      run_dir.write_json(folder / 'done', {'seconds': 1})


def test_command_writes_a_band_that_training_reads(tmp_path, capsys):
  from physics_lm.scaling import run_table
  config = recipe.get_config().lock()
  run_folders(tmp_path / 'runs', config)
  out = tmp_path / 'band.json'
  command.main(['forecast', str(tmp_path / 'runs'), '--max-flops=1e12',
                '--config=configs/grammar.py', '--config.model.width=48',
                '--config.steps=9000', f'--out={out}'])
  text = capsys.readouterr().out
  assert 'log.loss_band' in text
  band = loss_band.load_band(str(out))
  size = run_table.sizes(override(config, {
      'model.width': 48, 'steps': 9000}), 4)
  truth = laws.chinchilla(size['N'], size['D'], **TRUTH)
  assert float(text.split('tokens: ')[1].split(',')[0]) == pytest.approx(
      truth, rel=0.02)
  for share in (0.1, 0.4, 1.0):
    loss = TRUTH['E'] + (truth - TRUTH['E']) * share**-0.4
    assert band.judge(share * size['D'], 1.2 * loss)
    assert not band.judge(share * size['D'], loss)
  with pytest.raises(BadInput, match='no column'):
    forecast.from_folder(tmp_path / 'runs', config, 'law/nats', None)
  with pytest.raises(BadInput, match='wanted at least'):
    forecast.from_folder(tmp_path / 'runs', config, 'train/loss', 1e9)
