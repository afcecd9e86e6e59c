"""Soft labels: where the loss is least, and that training uses them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm import (
  mixture,
  philox,
  restore,
  run_dir,
  teacher,
  teacher_states,
  train,
)
from physics_lm.config import override, plain_config, run_id
from physics_lm.configs import default, markov
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model import decoder
from physics_lm.model.config import model_config
from physics_lm.worlds import markov as chains
from tests.compiled import init

LAW = np.array([[.5, .3, .15, .05, 0.], [.2, .2, .2, .2, .2]], np.float32)


def spec(**keys):
  config = default.get_config().teacher
  config.update(keys)
  return config


def gradient(student, s, key=None, law=LAW):
  """Of the soft loss with respect to logits, at a student's law."""
  return jax.grad(lambda z: teacher.divergence(z, law, s, key).sum())(
      jnp.log(jnp.maximum(student, 1e-30)))


@pytest.mark.parametrize('keys', [
    {}, {'top': 5}, {'top': 2, 'rest': 'tail'}, {'temperature': 2.0},
    {'divergence': 'reverse'}, {'divergence': 'reverse', 'temperature': 0.5}])
def test_a_student_with_the_teachers_law_does_not_move(keys):
  s = spec(**keys)
  np.testing.assert_allclose(gradient(LAW, s), 0, atol=2e-6)
  assert np.allclose(teacher.divergence(jnp.log(jnp.maximum(LAW, 1e-30)), LAW,
                                        s), 0, atol=1e-6)
  other = teacher.divergence(jnp.zeros(LAW.shape), LAW, s)
  assert other[0] > 0.01  # and another law has a loss


@pytest.mark.parametrize('top,weight', [(1, 1.0), (2, 0.7), (3, 0.7), (5, 1.0)])
def test_truncated_labels_teach_the_mixture_that_is_expected(top, weight):
  """At it, the gradient of the whole loss is 0: hard labels follow the law."""
  s = spec(top=top, weight=weight)
  best = chains.taught(LAW, top, weight)
  np.testing.assert_allclose(best.sum(-1), 1, rtol=1e-6)
  hard = best - LAW  # the gradient of the expected cross-entropy
  np.testing.assert_allclose(
      (1 - weight) * hard + weight * gradient(best, s), 0, atol=2e-6)
  assert (abs(best - LAW).max() < 1e-6) == (top == 5)


def test_of_equal_outcomes_the_first_are_kept():
  assert np.asarray(teacher.kept(jnp.asarray(LAW), 2)).tolist() == [
      [True, True, False, False, False]] * 2


def test_draws_are_unbiased():
  s = spec(top=2, rest='sampled')
  flat = np.full_like(LAW, 0.2)
  made = jax.jit(jax.vmap(lambda key: gradient(flat, s, key)))(
      jax.random.split(jax.random.key(0), 2000))
  np.testing.assert_allclose(made.mean(0), flat - LAW, atol=0.03)


def test_states_are_compared_by_cosine_and_by_resemblance():
  """Two texts in a row, and a student of another width, by loops."""
  rng = np.random.default_rng(0)
  ours, theirs, same = (rng.normal(size=(1, 4, d)) for d in (2, 3, 3))
  segments = np.array([[1, 1, 2, 2]])

  def shares(h, t):
    of = [s for s in range(t + 1) if segments[0, s] == segments[0, t]]
    z = np.exp([h[0, t] @ h[0, s] / h.shape[-1]**.5 for s in of])
    return z / z.sum()

  wanted = [sum(p * np.log(p / q) for p, q in zip(shares(theirs, t),
                                                  shares(ours, t)))
            for t in range(4)]
  made = teacher_states.distance(ours, theirs, segments, spec(relations=2.0))
  np.testing.assert_allclose(made[0], 2 * np.array(wanted), atol=1e-5)
  assert made[0, 1] > 1e-3 > abs(made[0, 2])  # the first of a text has one
  cosines = teacher_states.distance(same, theirs, segments, spec(features=2.0))
  np.testing.assert_allclose(cosines[0], [
      2 - 2 * a @ b / np.sqrt(a @ a * (b @ b))
      for a, b in zip(same[0], theirs[0])], atol=1e-5)


@pytest.fixture(scope='module')
def language():
  config = override(markov.get_config('language'), {
      'worlds.chain.symbols': 6, 'worlds.chain.length': 5, 'data.seq_len': 6,
      'worlds.chain.deterministic': 0.0, 'data.batch_size': 3,
      'model.width': 8, 'model.heads': 2})
  data = load_mixture(config)
  rows = mixture.packed_rows(data, np.arange(3))
  cfg = model_config(config, len(data.vocab))
  params = init(cfg, jax.random.key(0))
  return config, data, cfg, params, rows


def test_the_law_is_that_of_the_next_token(language):
  """Of every token of a row: the chain's, and the end where the text ends."""
  config, data, cfg, params, rows = language
  law = teacher.law_by_token(override(config, {'teacher.run': 'law'}), data)
  world = data.worlds['chain']
  exact = world.predictors('train', philox.integers(
      data.seed, np.array([0]), data.tasks[0].size, 1)[0])['chain'][0]
  ids = [data.vocab.encode(p)[0] for p in world.pieces()]
  np.testing.assert_allclose(law[rows['tokens'][0, :5]][:, ids], exact)
  # Training on it: the sum over tokens of the relative entropy, and log of the
  # probability of the end.
  made = teacher.make_loss(override(config, {'teacher.run': 'law'}), data)
  total, nll = jax.jit(made, static_argnums=2)(params, rows, cfg)
  logits = jax.jit(decoder.forward, static_argnums=2)(
      params, rows['tokens'], cfg, rows['segments'], rows['positions'])
  log_s = np.asarray(jax.nn.log_softmax(logits))
  p = np.where((rows['targets'] == 1)[..., None],
               np.eye(cfg.vocab)[1], np.pad(law, (
                   (0, 0), (0, cfg.vocab - len(law))))[rows['tokens']])
  wanted = np.where(p > 0, p * (np.log(np.maximum(p, 1e-30)) - log_s), 0).sum()
  np.testing.assert_allclose(total, wanted, rtol=1e-5)
  np.testing.assert_allclose(nll, jax.jit(decoder.loss, static_argnums=2)(
      params, rows, cfg)[1], rtol=1e-6)


def test_without_weight_it_is_the_loss_on_the_data(language):
  config, data, cfg, params, rows = language
  made = teacher.make_loss(override(config, {
      'teacher.run': 'law', 'teacher.weight': 0.0, 'teacher.top': 2,
      'teacher.rest': 'sampled'}), data)
  for a, b in zip(*(jax.tree.leaves(jax.jit(jax.grad(lambda p, f=f: f(
      p, rows, cfg)[0]))(params)) for f in (made, decoder.loss))):
    np.testing.assert_allclose(a, b, atol=1e-5)
  assert teacher.make_loss(config, data) is decoder.loss


@pytest.mark.parametrize('changes,message', [
    ({'run': 'law'}, "is 'law' of tasks texts; wanted one task of a Markov"),
    ({'rest': 'tails'}, "rest is 'tails'; nearest: tail"),
    ({'rest': 'tail'}, 'top 0 and forward .*wanted top above 0'),
    ({'weight': 1.5}, r'weight is 1.5, wanted \[0, 1\]')])
def test_impossible_teachers_are_refused(language, changes, message):
  with pytest.raises(BadInput, match=message):
    config = override(language[0], {'teacher.run': 'law'} | {
        f'teacher.{k}': v for k, v in changes.items()} | (
            {'worlds.chain.chains': 2} if 'run' in changes else {}))
    teacher.make_loss(config, load_mixture(config))


@pytest.fixture(scope='module')
def teachers(language, tmp_path_factory):
  """A config and the folders of two finished runs, of other sizes."""
  at = tmp_path_factory.mktemp('teachers')
  config = override(language[0], {
      'steps': 2, 'checkpoint.every': 2, 'optim.warmup_steps': 0,
      'model.depth': 1, 'runtime.mesh.data': 1, 'evals.law.num_problems': 2})
  for name, width in (('first', 8), ('second', 4)):
    train.run(override(config, {'model.width': width}), at / name)
  return config, [at / 'first', at / 'second']


def test_runs_teach_the_mean_of_their_laws(language, teachers):
  _, data, cfg, params, rows = language
  _, folders = teachers
  runs = [restore.load_run(f) for f in folders]
  law, states = teacher.mean_law([r.params for r in runs], rows, [
      r.cfg for r in runs], len(data.vocab), cfg.vocab)
  assert states.shape == (*rows['tokens'].shape, runs[-1].cfg.width)
  V, wanted = len(data.vocab), 0.0
  for r in runs:
    logits = decoder.forward(r.params, rows['tokens'], r.cfg, rows['segments'],
                             rows['positions'])
    wanted += np.asarray(jax.nn.softmax(logits[..., :V])) / 2
  np.testing.assert_allclose(law[..., :V], wanted, atol=1e-6)
  assert law.shape[-1] == cfg.vocab and not np.asarray(law[..., V:]).any()
  taught = override(language[0], {
      'teacher.run': str(folders[1]), 'teacher.weight': 0.0,
      'teacher.relations': 2.0})
  total, _ = jax.jit(teacher.make_loss(taught, data), static_argnums=2)(
      params, rows | {'law': law, 'states': states}, cfg)
  hard, _ = jax.jit(decoder.loss, static_argnums=2)(params, rows, cfg)
  h, *_ = decoder.hidden_states(params, rows['tokens'], cfg, rows['segments'],
                                rows['positions'])
  more = (teacher_states.distance(h, states, rows['segments'], taught.teacher)
          * rows['weights']).sum()
  np.testing.assert_allclose(total, hard + more, rtol=1e-5)
  assert more > 1e-3


def test_a_student_that_is_its_teacher_does_not_learn(teachers, tmp_path):
  """The loss has no gradient at the teacher's law and states, and has one
  elsewhere; a run is named by the ids of its teachers, wherever they lie."""
  config, folders = teachers
  for name, runs in (('same', folders[:1]), ('both', folders)):
    taught = override(config, {
        'init_from': str(folders[0]), 'steps': 1, 'checkpoint.every': 1,
        'teacher.run': ', '.join(map(str, runs))} | ({
            'teacher.features': 2.0, 'teacher.relations': 3.0
        } if name == 'same' else {}))
    train.run(taught, tmp_path / name)
    row = next(r for r in run_dir.read_log(tmp_path / name)
               if r['kind'] == 'train')
    assert (row['grad_norm'] < 1e-4) == (name == 'same'), row
    stored = run_dir.read_config(tmp_path / name)
    assert stored['teacher']['run'] == ','.join(
        run_id(run_dir.read_config(f)) for f in runs)


@pytest.mark.parametrize('changes,message', [
    ({'teacher.run': 'gone'}, "teacher.run is 'gone', wanted the folder or id"),
    ({'worlds.chain.symbols': 7}, 'teacher.run .* has another vocabulary'),
    ({'teacher.relations': 1.0, 'teacher.run': 'law'},
     "relations 1.0 with teacher.run 'law'; wanted one finished run"),
    ({'teacher.features': 1.0, 'model.width': 16},
     'features 1.0 of a run of width 8, wanted 16'),
    ({'post.kind': 'reinforce'}, "with post.kind 'reinforce', wanted one or")])
def test_runs_that_cannot_teach_are_refused(teachers, tmp_path, changes,
                                            message):
  config, folders = teachers
  with pytest.raises(BadInput, match=message):
    train.run(override(config, {'teacher.run': str(folders[0])} | changes),
              tmp_path / 'student')


def test_a_teacher_is_part_of_the_run_id(tiny):
  plain = plain_config(tiny())
  known = run_id(plain)
  del plain['teacher']
  assert run_id(plain) == known == run_id(plain_config(tiny({
      'teacher.top': 3})))
  assert run_id(plain_config(tiny({'teacher.run': 'law'}))) != known
