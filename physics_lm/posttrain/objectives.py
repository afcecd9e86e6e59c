"""Objectives of post-training: one estimator, and what its arms differ in.

The gradient of every objective here is

  sum over tokens of  c_t grad log pi(a_t)  over a stated count,

with coefficients c_t that carry no gradient: a signed version of the loss
weights of training. Policy gradients differ in c_t (advantage, ratio, clip)
and in the count; preference losses in c_t, one for each of the two answers.
Only the exact KL over the vocabulary needs the logits.

Pure functions of numbers; no model, no data. Letters: P prompts, G answers of
each, B = P G rows, T tokens of a row. `mask` is 1 at the tokens of an answer,
its end token included.

Sources: REINFORCE; RLOO (Ahmadian et al., arXiv 2402.14740); PPO (1707.06347);
GRPO (2402.03300); Dr. GRPO (2503.20783); DAPO (2503.14476); GSPO (2507.18071);
CISPO (2506.13585); DPO (2305.18290); IPO (2310.12036); KTO (2402.01306); SimPO
(2405.14734); RPO (2404.19733); k1, k2, k3: Schulman, Approximating KL
divergence (2020).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

BASELINES = ('none', 'mean', 'loo', 'group_std', 'batch_std', 'filter', 'value')
POLICY = ('reinforce', 'ppo', 'gspo', 'cispo')
PREFERENCE = ('dpo', 'ipo', 'kto', 'simpo')
NORMS = ('constant', 'token', 'sequence', 'prompt')
KLS = ('none', 'exact', 'k1', 'k2', 'k3', 'k1_reward')
STD_EPS = 1e-4  # added to a standard deviation, as in GRPO


def advantages(baseline: str, rewards_PG: Any) -> Any:
  """The advantage of each answer [P, G], from the rewards of its group.

  none: R. mean: R less the group's mean, as in Dr. GRPO. loo: R less the mean
  of the others (RLOO), G / (G - 1) times `mean`. group_std: `mean` over the
  group's standard deviation (GRPO). batch_std: over that of all rewards (Lite
  PPO). filter: 1 for a reward above 0, else 0, which is rejection sampling:
  supervised training on own correct answers (RFT, STaR). Not here: value, which
  is by token (value_advantages). Of rewards that are all equal, those less a
  mean are exactly 0.
  """
  if baseline == 'none':
    return rewards_PG
  if baseline == 'filter':
    return (rewards_PG > 0) * 1.0
  centred = rewards_PG - rewards_PG.mean(1, keepdims=True)
  # A mean of equal numbers is rounded, and `group_std` divides by almost 0.
  differ_P1 = rewards_PG.max(1, keepdims=True) > rewards_PG.min(
      1, keepdims=True)
  centred = centred * differ_P1.astype(centred.dtype)
  if baseline == 'loo':
    G = rewards_PG.shape[1]
    return centred * (G / (G - 1))
  if baseline == 'group_std':
    return centred / (rewards_PG.std(1, keepdims=True) + STD_EPS)
  if baseline == 'batch_std':
    return centred / (rewards_PG.std() + STD_EPS)
  return centred


def value_advantages(rewards_BT: np.ndarray, values_BT: np.ndarray,
                     mask_BT: np.ndarray, discount: float, trace: float
                     ) -> np.ndarray:
  """Generalised advantage estimates [B, T] of a critic (arXiv 1506.02438): of
  each token the sum over those from it on of (discount trace)^k delta, where
  delta is its reward + discount V after it - V before it. V after the last
  token is 0: to be cut off is part of the task. What the critic should have
  said is this + values_BT.

  Args:
    rewards_BT: of each token; that of an answer is paid at its last token.
    values_BT: V before each token.
    trace: lambda; 1: the return less V; 0: delta alone.
  """
  out, after = np.zeros_like(mask_BT), np.zeros(len(mask_BT))
  value = np.zeros(len(mask_BT))
  for t in reversed(range(mask_BT.shape[1])):
    own = mask_BT[:, t] > 0
    delta = rewards_BT[:, t] + discount * value - values_BT[:, t]
    made = delta + discount * trace * after
    out[:, t] = np.where(own, made, 0)
    after, value = np.where(own, made, after), np.where(
        own, values_BT[:, t], value)
  return out


def norm_weights(norm: str, mask_BT: Any, samples: int, budget: int
                 ) -> tuple[Any, float]:
  """(weight of each token [B, T], the count that their sum is divided by).

  constant: all tokens alike, over `budget`, the most tokens that the batch can
  have (Dr. GRPO). token: over the tokens that it has (DAPO). sequence: the mean
  of each answer's mean, which favours short correct and long incorrect answers
  (GRPO). prompt: the mean of each group's mean over tokens.
  """
  if norm == 'constant':
    return mask_BT, float(budget)
  if norm == 'token':
    return mask_BT, float(max(mask_BT.sum(), 1.0))
  length_B1 = mask_BT.sum(1, keepdims=True)
  if norm == 'prompt':
    groups = length_B1.reshape(-1, samples, 1)
    length_B1 = (0 * groups + groups.sum(1, keepdims=True)).reshape(-1, 1)
    return mask_BT / length_B1.clip(1), len(mask_BT) / samples
  return mask_BT / length_B1.clip(1), float(len(mask_BT))


def coefficients(kind: str, logp_BT: jax.Array, old_BT: jax.Array,
                 advantage_BT: jax.Array, mask_BT: jax.Array, low: float,
                 high: float) -> tuple[jax.Array, dict[str, jax.Array]]:
  """(c [B, T], measured numbers) of a policy gradient.

  reinforce: the advantage. ppo: ratio times advantage, and 0 where the ratio
  has left 1 - low .. 1 + high on the side to which the advantage pulls. gspo:
  the same with the ratio of the answer's mean log-probability. cispo: the ratio
  is clipped, and no token loses its gradient.

  Args:
    logp_BT, old_BT: log-probabilities of the tokens, under the policy and under
      the one that sampled them.
    advantage_BT: of each token; 0 outside of answers.
    low, high: of the clip.
  """
  logp_BT, old_BT = map(jax.lax.stop_gradient, (logp_BT, old_BT))
  log_ratio = (logp_BT - old_BT) * mask_BT
  if kind == 'gspo':
    length_B1 = jnp.maximum(mask_BT.sum(1, keepdims=True), 1)
    log_ratio = log_ratio.sum(1, keepdims=True) / length_B1 * mask_BT
  ratio, A = jnp.exp(log_ratio), advantage_BT
  numbers = {'log_ratio': jnp.abs(log_ratio).sum()}
  if kind == 'reinforce':
    return A * mask_BT, numbers
  if kind == 'cispo':
    kept = jnp.clip(ratio, 1 - low, 1 + high)
    numbers['clipped'] = ((kept != ratio) * mask_BT).sum()
    return kept * A * mask_BT, numbers
  out = ((A > 0) & (ratio > 1 + high)) | ((A < 0) & (ratio < 1 - low))
  numbers['clipped'] = (out * mask_BT).sum()
  return jnp.where(out, 0.0, ratio * A) * mask_BT, numbers


def kl_coefficients(kind: str, logp_BT: jax.Array, ref_BT: jax.Array,
                    old_BT: jax.Array | None = None) -> jax.Array:
  """c [B, T] of one estimate of the KL as a loss term of weight 1. k2's is the
  gradient of the sum over tokens of KL(pi || ref) given what stands before
  them, that held fixed; k3's that of KL(ref || pi); k1's is 0 on average,
  whatever the policy: noise without a pull. None is the gradient of the KL of
  whole answers, which k1 in the reward has. `old_BT`, of the policy that
  sampled: each token is weighted by its ratio to it, without which reused
  samples pull elsewhere; what stands before a token keeps the old policy's
  probability."""
  k1 = jax.lax.stop_gradient(logp_BT - ref_BT)
  c = {'k1': -jnp.ones_like(k1), 'k2': -k1, 'k3': jnp.expm1(-k1)}[kind]
  return c if old_BT is None else c * jax.lax.stop_gradient(
      jnp.exp(logp_BT - old_BT))


def exact_kl(log_p: jax.Array, log_ref: jax.Array) -> jax.Array:
  """KL(p || ref) in nats over the last axis, of log-probabilities [..., V]."""
  return (jnp.exp(log_p) * (log_p - log_ref)).sum(-1)


def preference(kind: str, better_N: jax.Array, worse_N: jax.Array, beta: float,
               margin: float = 0.0, smoothing: float = 0.0
               ) -> tuple[jax.Array, jax.Array, jax.Array]:
  """(loss [N], c of the better answers [N], c of the worse ones [N]) of N
  pairs: c is minus the loss's derivative.

  Args:
    better_N, worse_N: h, the sum over an answer of log pi/ref; of simpo, which
      has no reference, the mean of log pi.
    margin: gamma of simpo, a difference of rewards.
    smoothing: e of cDPO, the share of labels taken to be flipped.
  """
  m = better_N - worse_N
  if kind == 'ipo':
    off = m - 1 / (2 * beta)
    return off**2, -2 * off, 2 * off
  if kind == 'kto':
    # The batch's own mean stands for KL(pi || ref): no mismatched pairs.
    zero = jnp.maximum(jax.lax.stop_gradient(
        beta * (better_N + worse_N).mean() / 2), 0.0)
    up = jax.nn.sigmoid(beta * better_N - zero)
    down = jax.nn.sigmoid(zero - beta * worse_N)
    return (2 - up - down, beta * up * (1 - up), -beta * down * (1 - down))
  x = beta * m - margin
  loss = -((1 - smoothing) * jax.nn.log_sigmoid(x)
           + smoothing * jax.nn.log_sigmoid(-x))
  c = beta * (jax.nn.sigmoid(-x) - smoothing)
  return loss, c, -c

