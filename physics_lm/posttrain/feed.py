"""Batches that need the policy: rollouts, rewards and advantages, a step at a
time.

Every `post.every` steps the policy answers prompts; the rows of the rollout are
the batches of these steps, in an order pure in (seed, step). A rollout depends
on the parameters, the seed and the step alone, and checkpoints lie between
rollouts, so nothing of it is saved: a run that resumes draws it again, bitwise.

Rows whose advantage is 0 have no gradient (a group that is all correct, or all
incorrect) and are left out of the update. The count that the gradient is
divided by stays that of the full batch.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.model import adapters
from physics_lm.model.config import REWARD_KINDS, ModelConfig
from physics_lm.posttrain import (
  judge,
  objectives,
  pairs,
  reward,
  rollout,
  score,
  update,
)
from physics_lm.vocab import EOS
from physics_lm.worlds.base import generator, mix_bits

if TYPE_CHECKING:
  from physics_lm.recorder import RunRecorder
  from physics_lm.train_step import TrainProgram

SAMPLE_SALT, ORDER_SALT = 0x5A17, 'order of a rollout'
LOOKED_AT = 500  # prompts, before training
SIZES = (4, 2, 1)  # a batch's rows over those of an update: few compilations
SUMS = ('rollout/count', 'reference/count', 'reference/kl', 'kept/count',
        'kept/correct', 'label/count', 'label/correct')
ROLLOUT = ('reward', 'correct', 'length', 'ended', 'signal', 'nll')


def open_feed(recorder: 'RunRecorder', data: mixture.Mixture,
              trainer: 'TrainProgram') -> 'Feed':
  """The feed of a run, with the parameters of the runs that it needs. Raises
  BadInput."""
  if jax.process_count() > 1:
    raise BadInput(f'post-training over {jax.process_count()} processes, '
                   'wanted one')
  post = recorder.config.post
  check_prompts(recorder.config, data)
  models = score.model_scores([
      recorder.other_run('post.reward_run', name.strip(), trainer.mesh)
      for name in post.reward_run.split(',')]) if post.reward_run else None
  asked = None
  if post.judge_run:
    run = recorder.other_run('post.judge_run', post.judge_run, trainer.mesh)
    asked = judge.Judge(run.cfg, data.vocab, run.params)
  elif post.kind not in REWARD_KINDS and (
      reward.kinds_of(post.reward) & {*reward.OF_JUDGE}):
    asked = judge.Judge(trainer.cfg, data.vocab)
  if post.kind in REWARD_KINDS:
    key = 'post.pairs_run' if post.pairs_run else 'init_from'
    run = None if pairs.source_of(post.pairs)[0] == 'corrupt' else (
        recorder.other_run(key, post.pairs_run or recorder.config.init_from,
                           trainer.mesh))
    return ScoreFeed(
        recorder.config, data, run.cfg if run else trainer.cfg,
        trainer.mesh.size, None, run and run.params, trainer.merged_params,
        models, asked)
  frozen = recorder.parent_params(trainer.abstract)
  sampler = recorder.parent_params(
      trainer.abstract, 'post.pairs_run', post.pairs_run) if (
          post.pairs_run) else frozen
  return Feed(recorder.config, data, trainer.cfg, trainer.mesh.size, frozen,
              sampler, trainer.merged_params, models, asked)


def check_prompts(config: ConfigDict, data: mixture.Mixture) -> None:
  """Raises BadInput when a prompt of a run, of up to LOOKED_AT of them from all
  its rollouts, leaves no room for an answer."""
  post, rows = config.post, config.data.batch_size
  group = 2 if post.kind in update.PAIRED else post.samples
  own = rows * (post.every // post.epochs) // group  # prompts of a rollout
  total = config.steps // post.every * own
  for i in range(0, total, -(-total // LOOKED_AT) or 1):
    rollouts, number = divmod(i, own)
    rollout.draw_prompt(data, rollouts * post.every * rows + number,
                        post.tokens)


class Feed:
  """The batches of a post-training run."""

  def __init__(self, config: ConfigDict, data: mixture.Mixture,
               cfg: ModelConfig, devices: int, frozen: Any, sampler: Any,
               policy: Callable, models: Callable | None = None,
               asked: judge.Judge | None = None):
    """`frozen`: the parameters of the run that it starts from, the reference;
    `sampler`: of the run that pairs are samples of; `policy`: from a state to
    parameters; `models`: the scores of reward models (score.model_scores);
    `asked`: the judge, if any. Raises BadInput for a reward that a world cannot
    pay."""
    self.config, self.data, self.cfg, self.post = config, data, cfg, config.post
    self.frozen, self.sampler, self.policy = frozen, sampler, policy
    self.devices = devices * config.runtime.grad_accum_steps
    self.reward = reward.make_reward(
        self.post.reward, [t.world for t in data.tasks], models, asked)
    self.judge = asked
    self.pairs = self.post.kind in update.PAIRED
    if self.pairs:
      pairs.source_of(self.post.pairs)
    self.starts_at_reference = (
        config.adapter.kind not in adapters.CHANGE_AT_ONCE)
    # Steps that see each row once, and rows of them all.
    self.parts = self.post.every // self.post.epochs
    self.count = config.data.batch_size * self.parts
    self._arrays = {}
    # Of worlds whose answers have styles, the share of worked ones is logged.
    styled = all(hasattr(t.world, 'style') for t in data.tasks)
    self.names = (*ROLLOUT, 'worked') if styled else ROLLOUT

  def get_state(self) -> dict:
    """Nothing: rollouts are drawn again."""
    return {}

  def batch(self, step: int, state: Any) -> tuple[dict, dict]:
    """(arrays of the update of this step, sums for the log)."""
    at = step % self.post.every
    numbers = dict.fromkeys(SUMS, 0.0) | {
        f'rollout/{k}': 0.0 for k in self.names}
    if not at:
      self._arrays, more = self._drawn(state, step)
      numbers |= more
    elif not self._arrays:
      raise BadInput(f'step {step} lies within a rollout, wanted a multiple of '
                     f'post.every={self.post.every}')
    rows = self._rows_of(step, at)
    batch = {k: v[rows] for k, v in self._arrays.items()}
    if 'fresh' in update.batch_keys(self.config)[1]:
      fresh = not at if not self.pairs else (
          step == 0 and self.starts_at_reference)
      batch['fresh'] = np.full(len(rows), fresh, np.float32)
    if not self.pairs and self.post.kl in ('none', 'k1_reward') and (
        self.post.baseline != 'value'):
      batch = self._with_signal(batch)
    return batch, {k: np.float32(v) for k, v in numbers.items()}

  def _drawn(self, state: Any, step: int) -> tuple[dict, dict]:
    """(rows of the steps from this one on, sums for the log)."""
    made, params = self._pairs if self.pairs else self._rollout, self.policy(
        state)
    if self.judge:
      self.judge.follow(params)
    return made(params, step)

  def _rows_of(self, step: int, at: int) -> np.ndarray:
    """The rows of the rollout that a step has; pairs stay together."""
    if self.parts == 1:
      return np.arange(self.count)
    epoch, part = divmod(at, self.parts)
    unit = 2 if self.pairs else 1
    rng = generator(self.config.seed.data, ORDER_SALT, step - at, epoch)
    order = rng.permutation(self.count // unit)
    each = len(order) // self.parts
    own = np.sort(order[part * each:(part + 1) * each])
    return (own[:, None] * unit + np.arange(unit)).ravel()

  def _with_signal(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows with an advantage, in the smallest of few sizes that holds them;
    rows without one fill up. The count moves to the rows that stay."""
    size, total = len(batch['count']), batch['count'].sum()
    some = (batch['advantage'] != 0).any(1)
    wanted = next(n for n in (size // s for s in SIZES if size % (
        s * self.devices) == 0 or s == 1) if n >= some.sum())
    kept = np.sort(np.argsort(~some, kind='stable')[:wanted])
    batch = {k: v[kept] for k, v in batch.items()}
    batch['count'] = np.full(wanted, total / wanted, np.float32)
    return batch

  def _seed(self, step: int) -> int:
    return int(mix_bits(self.config.seed.data, SAMPLE_SALT, step) % 2**32)

  def _log_probs(self, params: Any, rows: dict, full_law: bool = False):
    return np.asarray(rollout.answer_log_probs(
        params, {k: rows[k] for k in ('tokens', 'targets', 'segments',
                                      'positions')},
        self.post.temperature, cfg=self.cfg, entries=len(self.data.vocab),
        full_law=full_law))

  def _rollout(self, params: Any, step: int) -> tuple[dict, dict]:
    """(rows of a rollout with advantages, its sums for the log)."""
    post, first = self.post, step * self.config.data.batch_size
    made = rollout.collect(
        params, self.cfg, self.data, post, range(
            first, first + self.count // post.samples), self._seed(step))
    rows, mask = made.rows, made.rows['mask']
    rewards = self.reward(made.answers).astype(np.float32)
    rewards += post.reward_offset
    numbers = {'rollout/reward': rewards.sum()}
    paid = rewards[:, None] * np.asarray(score.last_of(mask))  # by token
    every = self.config.log.every  # the KL is logged once a row of the log
    needed = post.kl not in ('none', 'exact')
    if needed or step % every < post.every:
      reference = self._log_probs(self.frozen, rows) * mask
      kl_BT = (made.logp - reference) * mask
      kl_B = kl_BT.sum(1)
      numbers |= {'reference/kl': kl_B.sum(), 'reference/count': len(kl_B)}
      if post.kl == 'k1_reward':
        paid -= post.beta * kl_BT
    advantage, returns = self._advantages(params, rows, paid)
    weights, count = objectives.norm_weights(
        post.norm, mask, post.samples, self.count * post.tokens)
    arrays = self._common(made.prompts, rows, weights, count) | {
        'sampler': made.logp, 'advantage': advantage.astype(np.float32)}
    keys, _ = update.batch_keys(self.config)
    if 'returns' in keys:
      arrays['returns'] = returns
    if 'reference' in keys:
      arrays['reference'] = reference
    if 'law' in keys:
      arrays['law'] = self._log_probs(self.frozen, rows, True)
    if 'old' in keys:
      arrays['old'] = self._log_probs(params, rows)
    return arrays, numbers | self._counted(made, advantage)

  def _advantages(self, params: Any, rows: dict, paid: np.ndarray
                  ) -> tuple[np.ndarray, np.ndarray | None]:
    """(of each token [B, T]; of a critic what it should have said), of the
    reward of each token."""
    post, mask = self.post, rows['mask']
    if post.baseline == 'value':
      values = np.asarray(score.row_scores(params, {k: rows[k] for k in (
          'tokens', 'segments', 'positions')}, cfg=self.cfg))
      out = objectives.value_advantages(paid, values, mask, post.discount,
                                        post.trace)
      return out, ((out + values) * mask).astype(np.float32)
    return np.repeat(np.asarray(objectives.advantages(
        post.baseline, paid.sum(1).reshape(-1, post.samples))).reshape(-1, 1),
        self.data.seq_len, 1) * mask, None

  def _common(self, prompts, rows, weights, count) -> dict:
    """The arrays of all kinds; each row has its share of the count."""
    B, parts = len(prompts), self.parts
    return rows | {
        'weights': weights.astype(np.float32),
        'task': np.array([p.task for p in prompts], np.int32),
        'entries': np.ones(B, np.int32),
        'count': np.full(B, count / parts / (B // parts), np.float32)}

  def _counted(self, made: rollout.Rollout, advantage: np.ndarray) -> dict:
    """Sums over a rollout's answers, for the log."""
    answers, more = made.answers, {}
    if 'worked' in self.names:
      more['rollout/worked'] = sum(a.world.style(a.text) == 'worked'
                                   for a in answers)
    kept = [a for a, pull in zip(answers, advantage.max(1)) if pull > 0]
    return more | {
        'kept/count': len(kept),
        'kept/correct': sum(reward.EACH['full'](a) for a in kept),
        'rollout/count': len(answers),
        'rollout/correct': sum(reward.EACH['full'](a) for a in answers),
        'rollout/length': sum(a.length for a in answers),
        'rollout/ended': sum(a.ended for a in answers),
        'rollout/signal': (advantage != 0).any(1).sum(),
        'rollout/nll': -made.logp.sum()}

  def _pairs(self, params: Any, step: int) -> tuple[dict, dict]:
    """(rows of pairs, sums for the log)."""
    found = self._found(
        params if self.post.pairs == 'policy' else self.sampler, step)
    prompts = [p.prompt for p in found for _ in range(2)]
    rows = rollout.packed_answers(*pairs.interleaved(found), self.data.seq_len)
    reference = self._log_probs(self.frozen, rows) * rows['mask']
    arrays = self._common(prompts, rows, rows['mask'], len(found))
    return arrays | {'sampler': reference, 'reference': reference}, (
        self._labels(found))

  def _labels(self, found: list[pairs.Pair]) -> dict[str, float]:
    """Of pairs whose answers differ by the world's check, how many are in its
    order."""
    right = [self._right(p.prompt, p.better) for p in found]
    told = [b for p, b in zip(found, right)
            if b != self._right(p.prompt, p.worse)]
    return {'label/count': len(told), 'label/correct': sum(told)}

  def _right(self, prompt: rollout.Prompt, answer: list[int]) -> bool:
    return answer[-1] == EOS and self.data.tasks[prompt.task].world.check(
        prompt.question, self.data.vocab.decode(answer[:-1])).correct

  def _found(self, sampler: Any, step: int) -> list[pairs.Pair]:
    return pairs.collect_pairs(
        sampler, self.cfg, self.data, self.post, self.reward,
        step * self.config.data.batch_size, self.count // 2, self._seed(step))


class ScoreFeed(Feed):
  """The pairs that a reward model or verifier is trained on; `cfg` is the model
  of the run that they are samples of."""

  def _drawn(self, state: Any, step: int) -> tuple[dict, dict]:
    found = self._found(self.sampler, step)
    rows = score.pair_rows(found, self.data, self.post.kind)
    rows['targets'] = np.zeros_like(rows['tokens'])
    count = len(found) * (1 if self.post.kind == 'reward_model' else 2)
    return self._common([p.prompt for p in found for _ in range(2)], rows,
                        rows['mask'], count), self._labels(found)
