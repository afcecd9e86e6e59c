"""Choosing among sampled answers: best of k by a score, votes, and the best.

n answers to each problem are sampled from the run that this one starts from (or
has its pairs from; a run without post-training samples itself), the same for
all that start from it. Each rule then chooses among k of them:

  one          none: a sample
  likelihood   the highest log-probability under the policy that sampled
  vote         the most frequent text; weighted: with sigmoid(score) votes each
  score        the highest score at the last token, of a model with a head
  product, minimum   of a process verifier: the highest product, or least, of
                     sigmoid(score) over an answer's tokens
  oracle       the highest gold reward: pass@k, where that is 0 or 1

gold is the expected gold reward of the choice among k of the n answers: over
all subsets for what orders the answers, over disjoint ones for votes. score is
that of the answer with the highest score; ranked the share of pairs of answers
with different gold reward that the score orders as gold does. kl is the
relative entropy to the policy that a choice of one of k has at most, log k -
(k - 1) / k nats; ideal, of Markov texts, the largest mean of gold at that
distance.
"""

import collections
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture, restore, run_dir
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.posttrain.policy import (
  as_answers,
  judged_problems,
  make_gold,
)
from physics_lm.evals.records import Records, row
from physics_lm.model import decode, sharding
from physics_lm.model.config import ModelConfig
from physics_lm.posttrain import rollout, score
from physics_lm.worlds.markov import best_mean

BATCH = 2048  # answers decoded at a time
SEED = 2
RANKED = 256  # answers of a problem whose pairs are compared


@dataclasses.dataclass(frozen=True)
class SelectionEval:
  """Metrics gold, score, ranked, kl and ideal; slices split, rule and k."""

  cfg: ModelConfig
  data: mixture.Mixture
  steps: int  # the most tokens of an answer
  samples: int  # n, of each problem
  problems: dict[str, list[tuple[int, rollout.Prompt]]]
  sampler: Callable[[], restore.RestoredRun | None]  # None: the run itself
  gold: Callable
  spec: ConfigDict
  process: bool  # whether the head scores every step

  def __call__(self, params: dict, step: int | None = None) -> Records:
    rows, raw, source = [], [], self.sampler()
    policy = (source.params, source.cfg) if source else (params, self.cfg)
    for split, problems in self.problems.items():
      more, outcomes = self._of_split(params, policy, split, problems)
      rows += more
      raw += outcomes
    return Records(rows, raw)

  def _of_split(self, params, policy, split: str, problems):
    n, P = self.samples, len(problems)
    asked = [p for _, p in problems for _ in range(n)]
    sampled = decode.sample_tokens(
        *policy, [p.ids for p in asked], self.steps,
        entries=len(self.data.vocab), seed=SEED,
        batch=n * max(min(BATCH // n, P), 1) if n <= BATCH or n % BATCH else (
            BATCH))
    ids = [answer for answer, _ in sampled]
    answers = as_answers(self.data, asked, ids, self.steps)
    gold_PN = self.gold(answers).reshape(P, n)
    orders = {'one': None, 'oracle': gold_PN, 'likelihood': np.array(
        [sum(p) for _, p in sampled]).reshape(P, n)}
    votes = {'vote': np.ones((P, n))}
    if self.cfg.reward_head:
      made = score.score_answers(params, self.cfg, [
          (p.ids, a) for p, a in zip(asked, ids)])
      orders['score'] = score.last_scores(made).reshape(P, n)
      votes['weighted'] = 1 / (1 + np.exp(-orders['score']))
      if self.process:
        each = -np.logaddexp(0, -made)  # log sigmoid
        orders |= {'product': np.nansum(each, 1).reshape(P, n),
                   'minimum': np.nanmin(each, 1).reshape(P, n)}
    out = []

    def add(metric, values, rule, k):
      out.append(row(metric, np.mean(values), P, split=split, rule=rule, k=k))

    texts = [[a.text for a in answers[i * n:(i + 1) * n]] for i in range(P)]
    k = 1
    while k <= n:
      for rule, order in orders.items():
        add('gold', gold_PN.mean(1) if order is None else best_of_k(
            order, gold_PN, k), rule, k)
      for rule, weights in votes.items():
        if P > 1:
          add('gold', [voted(t, w, g, k) for t, w, g in zip(
              texts, weights, gold_PN)], rule, k)
      if 'score' in orders:
        add('score', best_of_k(orders['score'], orders['score'], k), 'score', k)
      kl = np.log(k) - (k - 1) / k
      add('kl', kl, 'oracle', k)
      ideal = self._ideal(kl)
      if ideal is not None:
        add('ideal', ideal, 'oracle', k)
      k *= 2
    if 'score' in orders:
      ranked = [ranked_share(s[:RANKED], g[:RANKED]) for s, g in zip(
          orders['score'], gold_PN)]
      if np.isfinite(ranked).any():  # some answers differ
        out.append(row('ranked', np.nanmean(ranked), P, split=split,
                       rule='score', k='all'))
    return out, [{'split': split, 'problem': i, 'gold': float(g)}
                 for (i, _), g in zip(problems, gold_PN.mean(1))]

  def _ideal(self, kl: float) -> float | None:
    """The largest mean of gold at a relative entropy to the world's texts."""
    world = self.data.worlds[self.spec.world]
    if not hasattr(world, 'class_counts'):
      return None
    kind, _, peak = self.spec.reward.partition(':')
    z = np.array([world.standard_count(c)
                  for c in range(len(world.class_counts))])
    values = {'count': z, 'bend': z - z * z / (2 * float(peak or 1))}
    return best_mean(world.class_counts, values[kind], kl) if (
        kind in values) else None


def best_of_k(order_PN: np.ndarray, value_PN: np.ndarray, k: int) -> np.ndarray:
  """The expected value [P] of the answer with the highest order among k of n,
  over all subsets of k."""
  from scipy.special import gammaln
  n = order_PN.shape[1]
  i = np.arange(n + 1.0)
  with np.errstate(invalid='ignore'):
    log = np.where(i < k, -np.inf, gammaln(i + 1) - gammaln(
        np.maximum(i - k, 0) + 1))
  below = np.exp(log - log[-1])  # the best is among the i lowest
  rank = np.argsort(order_PN, 1, kind='stable')
  return (np.take_along_axis(value_PN, rank, 1) * np.diff(below)).sum(1)


def voted(texts: list[str], weights: np.ndarray, values: np.ndarray, k: int
          ) -> float:
  """The mean over disjoint sets of k answers of the value of the text with the
  largest sum of weights; the earliest of equal ones."""
  out = []
  for at in range(0, len(texts) - k + 1, k):
    sums, first = collections.defaultdict(float), {}
    for i in range(at, at + k):
      sums[texts[i]] += weights[i]
      first.setdefault(texts[i], i)
    out.append(values[first[max(sums, key=sums.get)]])
  return float(np.mean(out))


def ranked_share(scores: np.ndarray, values: np.ndarray) -> float:
  """The share of pairs of different value that the scores order alike, equal
  scores counted half; nan without any."""
  above = values[:, None] > values
  if not above.any():
    return np.nan
  higher = (scores[:, None] > scores) + 0.5 * (scores[:, None] == scores)
  return float(higher[above].mean())


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict,
          folder: Path | None) -> SelectionEval:
  """The first spec.num_problems problems of each of spec.splits, judged by
  spec.reward. Raises BadInput."""
  gold = make_gold(data, spec)
  if gold is None:
    raise BadInput("evals: reward is '' of kind 'selection', wanted the gold "
                   "reward, as 'full'")

  def sampler() -> restore.RestoredRun | None:
    name = config.post.kind and (config.post.pairs_run or config.init_from)
    return restore.load_run(run_dir.find_run(name, folder),
                            sharding.mesh_in_use()) if name else None

  cfg = teacher_forcing.evaluated_model(config, data)
  return SelectionEval(
      cfg, data, spec.max_new_tokens, spec.num_samples,
      judged_problems(data, spec, cfg), sampler, gold, spec,
      config.post.kind == 'process_verifier')
