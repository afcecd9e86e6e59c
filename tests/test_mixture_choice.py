"""Choosing a mixture: optima that are known, and what is refused."""

import json

import numpy as np
import pytest

from physics_lm.errors import BadInput
from physics_lm.scaling import __main__ as command
from physics_lm.scaling import laws
from physics_lm.scaling.fitting import mixture_choice as choice

U = np.array([[-1.5, 0.2, 0.4], [0.3, -1.0, 0.1]])  # of two losses
HALF = np.array([0.5, 0.5])


@pytest.fixture
def runs():
  r = np.random.default_rng(0).dirichlet(np.ones(3), 16)
  return r, np.stack([laws.mixing(r, 2.0, u) for u in U], 1)


def test_the_law_finds_its_own_optimum(runs):
  r, L = runs
  fine = np.random.default_rng(1).dirichlet(np.ones(3), 40_000)
  totals = np.stack([laws.mixing(fine, 2.0, u) for u in U], 1) @ HALF
  c = choice.choose_mixture(r, L, HALF, choice.fitted_law, np.zeros(3),
                            np.ones(3), draws=3)
  np.testing.assert_allclose(c.shares, fine[totals.argmin()], atol=0.02)
  assert c.losses @ HALF <= totals.min() + 1e-4
  assert c.error < 1e-3 and c.rank_correlation == pytest.approx(1)
  assert (c.low <= c.shares + 1e-3).all() and (c.shares <= c.high + 1e-3).all()


def test_a_polynomial_is_exact_for_its_own_kind(runs):
  r, _ = runs
  best = np.array([0.5, 0.3, 0.2])
  L = 1 + ((r - best)**2).sum(1, keepdims=True)
  one = np.ones(1)
  c = choice.choose_mixture(r, L, one, choice.fitted_quadratic, np.zeros(3),
                            np.ones(3))
  np.testing.assert_allclose(c.shares, best, atol=1e-3)
  assert c.error < 1e-6 and np.isnan(c.low).all()
  least = np.array([0.0, 0.4, 0.0])  # a bound that holds
  c = choice.choose_mixture(r, L, one, choice.fitted_quadratic, least,
                            np.ones(3))
  np.testing.assert_allclose(c.shares, [0.45, 0.4, 0.15], atol=1e-3)


def test_command_stays_within_the_runs(runs, tmp_path, capsys):
  r, L = runs
  rows = ['a,b,c,x,y', *(','.join(map(repr, map(float, row)))
                         for row in np.concatenate([r, L], 1))]
  (tmp_path / 'runs.csv').write_text('\n'.join(rows))
  flags = ['mix', f'{tmp_path}/runs.csv', '--shares=a,b,c', '--losses=x,y',
           '--bootstrap=0', f'--out={tmp_path}/out']
  command.main([*flags, '--weights=1,0'])
  stored = json.loads((tmp_path / 'out/mixture.json').read_text())
  shares = stored['choices']['mixing law']['shares']
  # Of the first loss alone, all of `a` would be best.
  assert shares[0] == pytest.approx(r[:, 0].max(), abs=1e-3)
  assert 'rank correlation 1.00' in capsys.readouterr().out
  for flag, message in (('--weights=1', 'wanted 2 numbers'),
                        ('--weights=1,nan', 'wanted 2 numbers'),
                        ('--shares=a,b', 'sum to 1')):
    with pytest.raises((BadInput, SystemExit)):
      command.main([*flags, flag])
    assert message in capsys.readouterr().err


def test_command_with_steps_adds_doremi(runs, tmp_path, capsys):
  """From curves: the models take the last step, and DoReMi's weights are what
  the function gives."""
  r, L = runs
  L = np.c_[L, L[:, :1] + 0.1]
  curves = np.stack([L + 1, L], 1)
  rows = ['a,b,c,x,y,z,step', *(
      ','.join(map(repr, map(float, [*w, *curves[i, k], 100 * k])))
      for k in (1, 0) for i, w in enumerate(r))]
  (tmp_path / 'runs.csv').write_text('\n'.join(rows))
  flags = ['mix', f'{tmp_path}/runs.csv', '--shares=a,b,c', '--bootstrap=0',
           '--step=step', f'--out={tmp_path}/out']
  command.main([*flags, '--losses=x,y,z'])
  stored = json.loads((tmp_path / 'out/mixture.json').read_text())
  assert stored['runs'] == len(r)
  np.testing.assert_allclose(stored['doremi'], choice.doremi_of_curves(
      r, np.array([0, 100]), curves))
  alone = choice.least_loss(choice.fitted_law(r, L), np.full(3, 1 / 3),
                            r.min(0), r.max(0))
  np.testing.assert_allclose(stored['choices']['mixing law']['shares'], alone,
                             atol=1e-3)
  assert 'DoReMi' in capsys.readouterr().out
  with pytest.raises((BadInput, SystemExit)):
    command.main([*flags, '--losses=x,y'])
  assert 'a loss for each share' in capsys.readouterr().err
  (tmp_path / 'runs.csv').write_text('\n'.join(rows[:-1]))
  with pytest.raises((BadInput, SystemExit)):
    command.main([*flags, '--losses=x,y,z'])
  assert 'each of the 2 steps once' in capsys.readouterr().err


def test_too_few_runs_are_refused(runs):
  r, L = runs
  with pytest.raises(ValueError, match=r'5 runs at 3 .* wanted more than 6'):
    choice.fitted_quadratic(r[:5], L[:5])


def test_doremi_weights_by_hand():
  """Weights start equal, and a constant excess of log 2 doubles the first
  against the second at each step: 2/3, 4/5, of mean 11/15; smoothing of 0.3
  moves 2/3 to 0.7 * 2/3 + 0.15. What is below the reference counts as 0."""
  def constant(w, step):
    return np.array([1 + np.log(2), 0.5])

  reference = np.array([1.0, 0.7])
  for steps, smoothing, first in (([1, 2], 0, 11 / 15), ([1], 0.3, 37 / 60)):
    np.testing.assert_allclose(
        choice.doremi_weights(constant, reference, steps, smoothing=smoothing),
        [first, 1 - first])
  # Where more of a domain lowers its loss, the excesses end equal: at 0.6.
  balanced = choice.doremi_weights(
      lambda w, step: np.array([1.0, 0.8]) - w, np.zeros(2), range(2000))
  np.testing.assert_allclose(balanced, [0.6, 0.4], atol=5e-3)
  with pytest.raises(ValueError, match='no steps'):
    choice.doremi_weights(constant, reference, [])


@pytest.mark.parametrize('domains', [2, 3])
def test_losses_between_runs_and_steps(domains):
  """Exact where they are linear in shares and steps; constant beyond."""
  r = np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6],
                [0.4, 0.3, 0.3]])[:, :domains]
  r = r / r.sum(1, keepdims=True)
  if domains == 2:
    r = r[[0, 3, 1]]
  steps = np.array([0, 100])
  start, end = 3 + 0 * r, 2 - r
  L = np.stack([start, end], 1)
  at = choice.interpolated_losses(r, steps, L)
  w = r[:2].mean(0)
  np.testing.assert_allclose(at(w, 25), 0.75 * 3 + 0.25 * (2 - w))
  np.testing.assert_allclose(at(w, 500), 2 - w)
  outside = np.eye(domains)[0]
  np.testing.assert_allclose(at(outside, 100), 2 - r[0])
  with pytest.raises(ValueError, match='same shares'):
    choice.interpolated_losses(r[[0, 0, 1]], steps, L[[0, 0, 1]])
  if domains == 3:
    line = np.array([[0.2, 0.4, 0.4], [0.4, 0.3, 0.3], [0.6, 0.2, 0.2]])
    with pytest.raises(ValueError, match='span no area'):
      choice.interpolated_losses(line, steps, np.stack([line, line], 1))


def test_choices_of_curves(runs):
  """Of losses that do not depend on the step: as the parts alone."""
  r, L = runs
  found = choice.choices_of_curves(r, np.array([0, 4]),
                                   np.stack([np.c_[L, L[:, :1]]] * 2, 1),
                                   np.array([0.5, 0.5, 0]))
  np.testing.assert_array_equal(found['best proxy run'],
                                r[np.argmin(L @ HALF)])
  assert found.keys() == {'best proxy run', *choice.MODELS, 'DoReMi'}
  for shares in found.values():
    assert shares.sum() == pytest.approx(1) and (shares >= 0).all()
