"""Every gradient of post-training against enumeration on a small policy."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm.evals.posttrain import score_norms
from physics_lm.evals.posttrain.policy import pass_at_k
from physics_lm.posttrain import objectives

V, T = 4, 2
STRINGS = np.array(list(itertools.product(range(V), repeat=T)))  # [16, T]
ONES = np.ones(STRINGS.shape, np.float32)
rng = np.random.default_rng(0)
# A law of the first token, and one of the second for each first.
THETA = jnp.asarray(rng.normal(size=(1 + V, V)))
REF = jnp.asarray(rng.normal(size=(1 + V, V)))
REWARD = rng.normal(size=len(STRINGS))


def laws(theta):
  """Log-probabilities of the vocabulary at each position [N, T, V]."""
  table = jax.nn.log_softmax(theta, -1)
  rows = np.stack([np.zeros(len(STRINGS), int), 1 + STRINGS[:, 0]], 1)
  return table[rows]


def logp(theta):
  return jnp.take_along_axis(laws(theta), STRINGS[..., None], -1)[..., 0]


def probability(theta):
  return jnp.exp(logp(theta).sum(-1))


def expected_gradient(c_NT, theta=THETA):
  """The expectation over strings of sum_t c_t grad log pi(a_t)."""
  return jax.grad(lambda x: (jax.lax.stop_gradient(
      probability(theta)[:, None] * c_NT) * logp(x)).sum())(theta)


def same(a, b, factor=1.0):
  np.testing.assert_allclose(a, factor * np.asarray(b), atol=2e-6)


@pytest.mark.parametrize('baseline,factor', [
    ('none', 1.0), ('loo', 1.0), ('mean', 2 / 3)])
def test_expected_update_is_the_gradient_of_the_expected_reward(
    baseline, factor):
  """Over all groups of three strings; the group's mean holds the own sample,
  so that it shrinks the gradient by (G - 1) / G."""
  p = np.asarray(probability(THETA))
  groups = np.array(list(itertools.product(range(len(p)), repeat=3)))
  adv = objectives.advantages(baseline, REWARD[groups])
  # The mean over groups of the advantage of a string, for one of the three.
  weight = p[groups].prod(1)
  c = np.bincount(groups[:, 0], weight * adv[:, 0]) / p
  exact = jax.grad(lambda x: (probability(x) * REWARD).sum())(THETA)
  got, _ = objectives.coefficients(
      'reinforce', logp(THETA), logp(THETA), c[:, None] * ONES, ONES, 0.2, 0.2)
  same(expected_gradient(got), exact, factor)


@pytest.mark.parametrize('trace,exact', [(1.0, False), (0.95, True),
                                         (0.0, True)])
def test_a_critic_leaves_the_expected_update_alone(trace, exact):
  """With lambda 1 whatever the values are; with any lambda if they are the
  expected rewards, which the returns then are on average."""
  p, first = np.asarray(probability(THETA)), STRINGS[:, 0]
  before = np.array([(p * REWARD)[first == a].sum() / p[first == a].sum()
                     for a in range(V)])
  values = np.stack([np.full(len(p), p @ REWARD), before[first]], 1)
  if not exact:
    values = np.stack([np.full(len(p), 3.0), rng.normal(size=V)[first]], 1)
  paid = np.stack([0 * REWARD, REWARD], 1)
  c = objectives.value_advantages(paid, values, ONES, 1.0, trace)
  wanted = jax.grad(lambda x: (probability(x) * REWARD).sum())(THETA)
  same(expected_gradient(c), wanted)
  if exact:
    same((p[:, None] * c).sum(0), [0, 0])


def test_advantages_of_a_critic_are_sums_of_differences():
  mask = np.array([[0, 1, 1, 1, 0], [0, 1, 1, 0, 0]], np.float32)
  values, reward = rng.normal(size=(2, 2, 5))
  got = objectives.value_advantages(reward, values, mask, 0.9, 0.8)
  for b, (start, stop) in enumerate([(1, 4), (1, 3)]):
    v = [*values[b, start:stop], 0]
    n = stop - start
    delta = [reward[b, start + t] + 0.9 * v[t + 1] - v[t] for t in range(n)]
    np.testing.assert_allclose(got[b, start:stop], [
        sum(0.72**k * delta[t + k] for k in range(n - t)) for t in range(n)])
  assert not got[mask == 0].any()


def test_standardised_advantages_have_known_values():
  one_of_8 = np.eye(1, 8)
  found = {k: np.asarray(objectives.advantages(k, one_of_8))[0, :2]
           for k in objectives.BASELINES}
  np.testing.assert_allclose(found['group_std'], [2.645, -0.378], atol=2e-3)
  np.testing.assert_allclose(found['mean'], [0.875, -0.125])
  np.testing.assert_allclose(found['loo'], [1, -1 / 7])
  np.testing.assert_allclose(found['filter'], [1, 0])
  for k in ('mean', 'loo', 'group_std', 'batch_std'):  # no signal, no NaN
    for equal in 1.0, 0.7:  # the mean of seven times 0.7 is rounded
      assert not np.asarray(objectives.advantages(
          k, np.full((2, 7), equal, np.float32))).any()


def test_kl_terms_have_the_gradients_that_they_are_known_for():
  """k2: of KL(pi || ref) at each prefix, the exact KL's; k1: none; k3: of
  KL(ref || pi)."""
  p = probability(THETA)

  def at_prefixes(kl):
    return lambda x: (jax.lax.stop_gradient(p)[:, None] * kl(
        laws(x), laws(REF))).sum()

  exact = jax.grad(at_prefixes(objectives.exact_kl))(THETA)
  forward = jax.grad(at_prefixes(lambda a, b: objectives.exact_kl(b, a)))(THETA)
  got = {k: expected_gradient(objectives.kl_coefficients(
      k, logp(THETA), logp(REF))) for k in ('k1', 'k2', 'k3')}
  same(got['k2'], exact, -1)
  same(got['k3'], forward, -1)
  assert abs(np.asarray(got['k1'])).max() < 1e-6 < abs(
      np.asarray(exact)).max()


@pytest.mark.parametrize('kind', ['k1', 'k2', 'k3'])
def test_kl_terms_of_reused_answers_are_weighted_by_their_ratio(kind):
  """The old policy has other second tokens, so that prefixes are as likely."""
  old = THETA.at[1:].set(REF[1:])
  c_NT = objectives.kl_coefficients(kind, logp(THETA), logp(REF), logp(old))
  got = jax.grad(lambda x: (probability(old)[:, None] * c_NT * logp(x)).sum()
                 )(THETA)
  same(got, expected_gradient(objectives.kl_coefficients(
      kind, logp(THETA), logp(REF))))


def test_kl_in_the_reward_has_the_gradient_of_the_sequence_kl():
  k1 = (logp(THETA) - logp(REF)).sum(1, keepdims=True)
  got = expected_gradient(-k1 * ONES)
  exact = jax.grad(lambda x: -(probability(x) * (
      logp(x) - logp(REF)).sum(1)).sum())(THETA)
  same(got, exact)


def test_clipped_coefficients_are_the_gradient_of_the_clipped_objective():
  old = logp(THETA) + rng.normal(scale=0.3, size=ONES.shape)
  A = jnp.asarray(rng.normal(size=(len(old), 1)) * ONES)

  def clipped(x):
    ratio = jnp.exp(logp(x) - old)
    return jnp.minimum(ratio * A, jnp.clip(ratio, 0.8, 1.3) * A).sum()

  def gspo(x):
    s = jnp.exp((logp(x) - old).mean(1))
    return jnp.minimum(s * A[:, 0], jnp.clip(s, 0.8, 1.3) * A[:, 0]).sum()

  def cispo(x):
    kept = jax.lax.stop_gradient(jnp.clip(jnp.exp(logp(x) - old), 0.8, 1.3))
    return (kept * A * logp(x)).sum()

  for kind, objective in ('ppo', clipped), ('gspo', gspo), ('cispo', cispo):
    c, numbers = objectives.coefficients(kind, logp(THETA), old, A, ONES, 0.2,
                                         0.3)
    if kind == 'gspo':  # the norm 'sequence' divides by the length
      c = objectives.norm_weights('sequence', ONES, 1, 1)[0] * c
    got = jax.grad(lambda x, c=c: (c * logp(x)).sum())(THETA)
    same(got, jax.grad(objective)(THETA))
    assert 0 < numbers['clipped'] < ONES.size
  on_policy, _ = objectives.coefficients('ppo', old, old, A, ONES, 0.2, 0.2)
  same(on_policy, A)  # the ratio is 1, nothing is clipped


def test_norms_divide_by_the_count_that_they_name():
  mask = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0.]])
  c = np.array([[1.0], [2], [3], [4]])
  means = {k: (c * w).sum() / n for k, (w, n) in (
      (k, objectives.norm_weights(k, mask, 2, 16)) for k in objectives.NORMS)}
  total = 4 + 2 + 6 + 8
  assert means == pytest.approx({
      'constant': total / 16, 'token': total / 9, 'sequence': 10 / 4,
      'prompt': (6 / 5 + 14 / 4) / 2})


LOSSES = {  # of the difference of two h, or of h+ and h-
    'dpo': lambda a, b: -jax.nn.log_sigmoid(0.3 * (a - b)),
    'ipo': lambda a, b: (a - b - 1 / 0.6) ** 2,
    'simpo': lambda a, b: -jax.nn.log_sigmoid(0.3 * (a - b) - 0.5),
    'cdpo': lambda a, b: -0.9 * jax.nn.log_sigmoid(0.3 * (a - b))
    - 0.1 * jax.nn.log_sigmoid(0.3 * (b - a))}


@pytest.mark.parametrize('name', [*LOSSES, 'kto'])
def test_preference_coefficients_are_minus_the_derivatives(name):
  a, b = jnp.asarray(rng.normal(size=(2, 6)))
  more = {'simpo': {'margin': 0.5}, 'cdpo': {'smoothing': 0.1}}.get(name, {})
  loss, up, down = objectives.preference(
      'dpo' if name == 'cdpo' else name, a, b, 0.3, **more)
  zero = max(float(0.3 * (a + b).mean() / 2), 0)  # kto's, held fixed
  of = LOSSES.get(name, lambda a, b: 2 - jax.nn.sigmoid(
      0.3 * a - zero) - jax.nn.sigmoid(zero - 0.3 * b))
  np.testing.assert_allclose(loss, of(a, b), rtol=1e-5)
  grad = jax.grad(lambda a, b: of(a, b).sum(), (0, 1))(a, b)
  np.testing.assert_allclose(up, -grad[0], rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(down, -grad[1], rtol=1e-4, atol=1e-6)
  start = objectives.preference('dpo', a, a, 0.1)
  np.testing.assert_allclose(start[0], np.log(2), rtol=1e-6)


def test_dpo_on_all_pairs_finds_the_optimum_of_the_regularised_reward():
  """With Bradley-Terry labels of a known reward, pi ~ ref exp(r / beta)."""
  beta, r = 0.5, jnp.array([0.0, 0.4, 1.0, -0.5])
  ref = jax.nn.log_softmax(REF[0])
  i, j = np.array(list(itertools.permutations(range(V), 2))).T
  share = jax.nn.sigmoid(r[i] - r[j])  # of labels in which i is better

  @jax.jit
  def step(x, _):
    h = jax.nn.log_softmax(x) - ref
    _, up, down = objectives.preference('dpo', h[i], h[j], beta)
    c = jnp.zeros(V).at[i].add(share * up).at[j].add(share * down)
    return x + 2 * jax.vjp(jax.nn.log_softmax, x)[1](c)[0], None

  found = jax.lax.scan(step, ref, length=3000)[0]
  wanted = jax.nn.softmax(ref + r / beta)
  np.testing.assert_allclose(jax.nn.softmax(found), wanted, atol=2e-3)


def bandit(kind='reinforce', baseline='loo', temperature=1.0, steps=150):
  """The probability of the one arm of ten that pays, after training."""

  @jax.jit
  def step(x, key):
    log_p = jax.nn.log_softmax(x)
    arms = jax.random.categorical(key, x / temperature, shape=(8, 8))
    adv = objectives.advantages(baseline, (arms == 3) * 1.0)
    c, _ = objectives.coefficients(
        kind, log_p[arms].reshape(-1, 1), log_p[arms].reshape(-1, 1),
        adv.reshape(-1, 1), jnp.ones((64, 1)), 0.2, 0.2)
    grad = jax.grad(lambda x: (
        c[:, 0] * jax.nn.log_softmax(x)[arms.reshape(-1)]).mean())(x)
    return x + grad, None

  keys = jax.random.split(jax.random.key(0), steps)
  return float(jax.nn.softmax(jax.lax.scan(step, jnp.zeros(10), keys)[0])[3])


def test_bandit_goes_from_a_tenth_to_nine_tenths():
  for kind, baseline in (('reinforce', 'none'), ('reinforce', 'loo'),
                         ('ppo', 'group_std'), ('reinforce', 'filter')):
    assert bandit(kind, baseline) > 0.9, (kind, baseline)


def test_pass_at_k_is_the_mean_over_all_choices():
  n = 6
  for c, k in itertools.product(range(n + 1), (1, 2, 5, 6)):
    right = np.arange(n) < c
    brute = np.mean([any(right[list(chosen)])
                     for chosen in itertools.combinations(range(n), k)])
    np.testing.assert_allclose(pass_at_k(n, np.array([c]), k), brute)


def test_the_best_constant_baseline_has_the_least_variance():
  """Over groups of 4 answers of a softmax policy with exact scores: b* is the
  least point of the measured variance, and its law in q holds."""
  rng, law = np.random.default_rng(0), np.array([0.6, 0.2, 0.1, 0.1])
  drawn = rng.choice(4, (20_000, 4), p=law)
  score_PGV, R = np.eye(4)[drawn] - law, (drawn == 0) * 1.0
  gram = np.einsum('piv,pjv->pij', score_PGV, score_PGV)
  norms = np.diagonal(gram, axis1=1, axis2=2)

  def variance(b):
    return ((R - b)[..., None] * score_PGV).mean(1).var(0).sum()

  mean = (R[..., None] * score_PGV).mean((0, 1))
  found = score_norms.baselines(R, gram, norms, mean @ mean)
  squares = (softmax_scores(law)**2).sum(1)
  best = law[0] * squares[0] / (law @ squares)
  q = squares[0] / (law[1:] @ squares[1:] / law[1:].sum())
  assert abs(best - 0.6 * q / (0.6 * q + 0.4)) < 1e-12 and best < 0.3
  assert abs(found['reward'] - 0.6) < 0.01
  assert abs(found['baseline'] - best) < 0.01
  assert abs(found['norm_ratio'] - q) < 0.02
  assert found['baseline_logits'] == found['baseline']
  assert abs(found['baseline_measured'] - best) < 0.01
  plain = variance(0)
  for name, b in ('mean', R.mean()), ('best', found['baseline']), ('one', 1):
    assert abs(found[f'variance_{name}'] - variance(b) / plain) < 0.02, name
  assert all(variance(found['baseline']) < variance(found['baseline'] + d)
             for d in (-0.1, 0.1))
  others = (R.sum(1, keepdims=True) - R) / 3
  loo = ((R - others)[..., None] * score_PGV).mean(1).var(0).sum()
  assert abs(found['variance_others'] - loo / plain) < 0.02 * loo / plain
  # Of 4 prompts, the squared mean less its own noise is right on average.
  groups = (R[..., None] * score_PGV).mean(1).reshape(-1, 4, 4)
  squares = np.square(groups.mean(1)).sum(-1)
  least = np.mean([score_norms.square_of_mean(m, s, 4) for m, s in zip(
      squares, np.square(groups).sum(-1).mean(1))])
  assert abs(least - mean @ mean) < 0.02 * mean @ mean < squares.mean() - least
  # All alike: nothing to divide by.
  assert score_norms.baselines(0 * R[:2], gram[:2], norms[:2], 0) == {
      'reward': 0}


def softmax_scores(law):
  """The score of each answer [V, V] of a softmax over V answers."""
  return np.eye(len(law)) - law


def test_enumeration_would_find_a_sign_error():
  """The tests above can fail: k1's coefficient with k2's sign is not it."""
  exact = jax.grad(functools.partial(lambda p, x: (p[:, None] * (
      objectives.exact_kl(laws(x), laws(REF)))).sum(), probability(THETA)))(
          THETA)
  wrong = expected_gradient(-objectives.kl_coefficients(
      'k2', logp(THETA), logp(REF)))
  assert abs(np.asarray(wrong + exact)).max() > 1e-2
