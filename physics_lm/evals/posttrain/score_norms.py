"""The best constant baseline of a policy gradient, and its variance.

The gradient of an answer is g (R - b): its score g, the gradient of its
log-probability, times its reward less a baseline. Scores have mean zero, so a
constant b leaves the mean alone and the variance is least at

  b* = E[|g|^2 R] / E[|g|^2]

which is the mean reward p only if correct answers have scores as large as
incorrect ones. Of rewards 0 and 1, b* = p q / (p q + 1 - p), where q is the
mean squared norm of correct answers' scores over that of incorrect ones'. The
norms are those of all parameters' gradients, or predicted without a backward
pass from the logits alone: the sum over an answer's tokens of |onehot - law|^2.

An estimate of the gradient is the mean over a prompt's `num_samples` answers,
and its variance the mean squared distance of such estimates from their mean
over prompts. It is measured with b = p, b*, 1 and the mean of the other answers
(RLOO, arXiv 2402.14740), each divided by that with b = 0. The constant with
which it is least differs from b* only by the noise of products of two answers.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.posttrain import policy
from physics_lm.evals.records import Records, row
from physics_lm.model import decode, decoder
from physics_lm.model.config import ModelConfig
from physics_lm.posttrain import objectives, rollout

SEED = 3


@dataclasses.dataclass(frozen=True)
class ScoreNormsEval:
  """Metrics, slice split: reward (its mean p), baseline (b*), baseline_logits
  (b* by the logits' norms), baseline_measured (with the least measured
  variance), norm_ratio (q) and norm_ratio_logits, and variance_mean,
  variance_best, variance_one, variance_others: the variance with each baseline
  over the one without. Ratios are left out where all rewards are equal."""

  cfg: ModelConfig
  data: mixture.Mixture
  steps: int  # the most tokens of an answer
  samples: int  # G, answers to a prompt
  problems: dict[str, list[tuple[int, rollout.Prompt]]]
  reward: Any  # of answers

  def __call__(self, params: dict, step: int | None = None) -> Records:
    rows, raw = [], []
    for split, problems in self.problems.items():
      own, each = self._of_split(params, split, [p for _, p in problems])
      rows += own
      raw += [{'split': split, 'problem': i, 'reward': float(r), 'norm':
               float(norm)} for (i, _), (r, norm) in zip(problems, each)]
    return Records(rows, raw)

  def _of_split(self, params, split: str, prompts) -> tuple[list, np.ndarray]:
    """(rows; of each prompt the means of reward and squared norm [P, 2])."""
    asked = [p for p in prompts for _ in range(self.samples)]
    ids = [a for a, _ in decode.sample_tokens(
        params, self.cfg, [p.ids for p in asked], self.steps,
        entries=len(self.data.vocab), batch=policy.batch_of(
            self.samples, len(prompts)), seed=SEED)]
    R = self.reward(policy.as_answers(
        self.data, asked, ids, self.steps)).reshape(-1, self.samples)
    longest = max(len(p.ids) for p in asked) + self.steps
    rows = rollout.packed_answers([p.ids for p in asked], ids, longest)
    groups = {k: v.reshape(*R.shape, -1) for k, v in rows.items()}
    gram_PGG, logits_PG, mean = [], [], 0.0
    for i, own in enumerate(R):
      gram, logits, gradient = answer_scores(
          params, {k: v[i] for k, v in groups.items()}, own, self.cfg,
          len(self.data.vocab))
      gram_PGG.append(np.asarray(gram, np.float64))
      logits_PG.append(np.asarray(logits, np.float64))
      mean = jax.tree.map(jnp.add, mean, gradient) if i else gradient
    gram_PGG = np.stack(gram_PGG)
    numbers = baselines(R, gram_PGG, np.stack(logits_PG), float(sum(
        jnp.vdot(g, g) for g in jax.tree.leaves(mean))) / len(R)**2)
    each = R.mean(1), np.trace(gram_PGG, axis1=1, axis2=2) / self.samples
    return [row(name, value, R.size, split=split)
            for name, value in numbers.items()], np.stack(each, 1)


@functools.partial(jax.jit, static_argnames=('cfg', 'entries'))
def answer_scores(params: dict, rows: dict, rewards_G: jax.Array,
                  cfg: ModelConfig, entries: int
                  ) -> tuple[jax.Array, jax.Array, dict]:
  """Of the G answers to a prompt (rows [G, T], as of rollout.packed_answers):
  inner products of their scores [G, G]; squared norms of their logits' scores
  [G]; the mean of reward times score, as a tree of parameters."""

  def of_row(own):
    own = {k: v[None] for k, v in own.items()}

    def log_prob(params):
      states = decoder.hidden_states(
          params, own['tokens'], cfg, own['segments'], own['positions'])
      law = rollout.log_law(states[:2], 1.0, entries)
      each = jnp.take_along_axis(law, own['targets'][..., None], -1)[..., 0]
      return (each * own['mask']).sum(), law

    grad, law = jax.grad(log_prob, has_aux=True)(params)
    off = jax.nn.one_hot(own['targets'], entries) - jnp.exp(law)
    return grad, (jnp.square(off).sum(-1) * own['mask']).sum()

  grads, logits_G = jax.vmap(of_row)(rows)
  flat = [g.reshape(len(rewards_G), -1) for g in jax.tree.leaves(grads)]
  mean = jax.tree.map(lambda g: jnp.tensordot(
      rewards_G / len(rewards_G), g, 1), grads)
  return sum(g @ g.T for g in flat), logits_G, mean


def baselines(rewards_PG: np.ndarray, gram_PGG: np.ndarray,
              logits_PG: np.ndarray, mean_square: float) -> dict[str, float]:
  """The evaluation's numbers.

  Args:
    rewards_PG: of each prompt's answers.
    gram_PGG: inner products of their scores.
    logits_PG: squared norms of their logits' scores.
    mean_square: the squared norm of the mean over prompts of R times score.
  """
  R, P = rewards_PG, len(rewards_PG)
  out = {'reward': R.mean()}
  norms_PG = np.diagonal(gram_PGG, axis1=1, axis2=2)
  if R.min() == R.max():
    return out
  for name, n in ('', norms_PG), ('_logits', logits_PG):
    out[f'baseline{name}'] = (n * R).sum() / n.sum()
    high = R > R.mean()
    out[f'norm_ratio{name}'] = n[high].mean() / n[~high].mean()

  def product(a_PG, b_PG):
    return np.einsum('pi,pij,pj->p', a_PG, gram_PGG, b_PG).mean() / R.shape[
        1]**2

  ones, plain = np.ones_like(R), product(R, R)
  out['baseline_measured'] = product(R, ones) / product(ones, ones)
  true = max(square_of_mean(mean_square, plain, P), 0.0)
  for name, advantage in (
      ('mean', R - R.mean()), ('best', R - out['baseline']), ('one', R - 1),
      ('others', objectives.advantages('loo', R))):
    out[f'variance_{name}'] = (product(advantage, advantage) - true) / (
        plain - true)
  return out


def square_of_mean(mean_square: float, second_moment: float, count: int
                   ) -> float:
  """The squared norm of an expectation, without bias, from that of the mean of
  `count` draws, which has a count-th of their variance in it, and the mean of
  the draws' squared norms."""
  return (count * mean_square - second_moment) / (count - 1)


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> ScoreNormsEval:
  """The first spec.num_problems problems of each of spec.splits, with
  spec.num_samples answers each. Raises BadInput."""
  for key in 'num_samples', 'num_problems':  # of both there is a variance
    if spec[key] < 2:
      raise BadInput(f'evals: {key} is {spec[key]} of score_norms, wanted at '
                     'least 2')
  reward = policy.make_gold(data, spec)
  if reward is None:
    raise BadInput("evals: reward is '' of score_norms, wanted a reward as of "
                   'post.reward (full)')
  cfg = teacher_forcing.evaluated_model(config, data)
  return ScoreNormsEval(
      cfg, data, spec.max_new_tokens, spec.num_samples,
      policy.judged_problems(data, spec, cfg), reward)
