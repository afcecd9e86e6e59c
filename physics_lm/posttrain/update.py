"""What a step of post-training sums: the loss whose gradient is the estimator,
and the numbers that are logged.

Rows come with everything that does not depend on the parameters: advantages,
the log-probabilities of the policy that sampled, those of the reference, the
weights and the count of the norm (feed.py). One forward pass gives the
policy's, the coefficients follow (objectives.py), and the gradient is that of
- sum c log pi. All logits are in memory at once.

At the first step on a rollout the policy is the one that sampled: `identity`
is the largest difference of the two log-probabilities, and must be 0 up to
rounding. It is not when a temperature, a mask, the vocabulary's padding or
dropout differs between sampling and training. Likewise for preferences at step
0, between policy and reference.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from physics_lm.configs import default
from physics_lm.errors import BadInput, nearest
from physics_lm.model import decoder
from physics_lm.model.config import REWARD_KINDS, ModelConfig
from physics_lm.posttrain import objectives, reward, score
from physics_lm.posttrain.rollout import log_law

# Of a batch, beside those of training (train_step.py): what it may hold.
ROWS_2D = ('mask', 'advantage', 'sampler', 'old', 'reference', 'law', 'returns')
ROWS_1D = ('fresh', 'count')
# Kinds whose rows 2i and 2i + 1 are a pair.
PAIRED = objectives.PREFERENCE + REWARD_KINDS
SAMPLED_KLS = ('k1', 'k2', 'k3')  # terms on the sampled tokens
# The kinds that read a key of `post`, of keys that not all kinds read.
READ_BY = {
    **dict.fromkeys(('baseline', 'norm', 'kl', 'reward_offset'),
                    objectives.POLICY),
    **dict.fromkeys(('clip_low', 'clip_high'), ('ppo', 'gspo', 'cispo')),
    **dict.fromkeys(('pairs', 'pairs_run', 'label_noise'), PAIRED),
    'nll': objectives.PREFERENCE, 'margin': ('simpo',),
    'smoothing': ('dpo', 'simpo', 'reward_model')}
LARGEST_VOCAB = 4096  # entries whose logits are kept for a batch
# The largest difference of log-probabilities that rounding makes.
IDENTITY = {'float32': 2e-3}
LOOSE_IDENTITY = 0.5  # of activations in 16 bits


def batch_keys(config: ConfigDict) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The keys [B, T] or [B, T, V], and [B], that a batch of this config has
  beside those of training."""
  p = config.post
  if p.kind in REWARD_KINDS:
    return score.KEYS, ('count',)
  if p.kind in objectives.PREFERENCE:
    return ('mask', 'sampler', 'reference'), ROWS_1D
  keys = ['mask', 'advantage', 'sampler']
  keys += ['old'] if p.every > 1 else []
  keys += ['returns'] if p.baseline == 'value' else []
  if p.kl in SAMPLED_KLS:
    keys.append('reference')
  return (*keys, *(('law',) if p.kl == 'exact' else ())), ROWS_1D


def check_post(config: ConfigDict, entries: int) -> None:
  """Raises BadInput for a config of post-training that cannot train, or that
  sets a key of `post` which nothing reads."""
  p = config.post
  for key, known in (('kind', objectives.POLICY + PAIRED),
                     ('baseline', objectives.BASELINES),
                     ('norm', objectives.NORMS), ('kl', objectives.KLS)):
    if p[key] not in known:
      raise BadInput(f'post.{key} is {p[key]!r}; {nearest(p[key], known)}')
  checks = _checks_of_parents(config) + _checks_of_objective(p)
  for ok, message in checks + _checks_of_run(config, entries):
    if not ok:
      raise BadInput(message)
  known = default.get_config().post
  for key, other in _unread(p).items():
    if p[key] != known[key]:
      raise BadInput(f'post.{key} is {p[key]!r} with post.{other} '
                     f'{p[other]!r}, which does not use it; wanted '
                     f'{known[key]!r}')


def _unread(p: ConfigDict) -> dict[str, str]:
  """{key of `post` that is not read: the key whose value is why}."""
  out = {k: 'kind' for k, kinds in READ_BY.items() if p.kind not in kinds}
  if p.kind in PAIRED:
    source = p.pairs.partition(':')[0]
    if source in ('policy', 'corrupt'):
      out['pairs_run'] = 'pairs'
    if source in ('data', 'corrupt'):
      out['reward'] = 'pairs'
  if p.baseline == 'filter':
    out['reward_offset'] = 'baseline'
  if p.baseline != 'value':
    out |= dict.fromkeys(('discount', 'trace', 'value_weight'), 'baseline')
  asked = reward.kinds_of(p.reward)
  if not asked & reward.OF_MODELS.keys():
    out['reward_run'] = 'reward'
  if not asked & {*reward.OF_JUDGE}:
    out['judge_run'] = 'reward'
  return out


def _checks_of_parents(config: ConfigDict) -> list[tuple[Any, str]]:
  """(whether it holds, what is wrong otherwise) of where a run starts."""
  p, kind = config.post, config.adapter.kind
  head = p.kind in REWARD_KINDS
  return [
      (config.init_from or head, 'init_from is None in post-training, wanted '
       'the folder or id of a finished run to start from'),
      (config.init_from or p.pairs_run or p.pairs.startswith('corrupt'),
       f"post.pairs is {p.pairs!r} without init_from, wanted post.pairs_run, "
       'the folder or id of the run that answers'),
      (not head or p.pairs != 'policy', f"post.pairs is 'policy' of post.kind "
       f"{p.kind!r}, whose model only scores; wanted 'samples'"),
      (not head or kind == 'none', f'adapter.kind is {kind!r} of post.kind '
       f'{p.kind!r}, wanted none'),
      (p.baseline != 'value' or kind == 'none', f'adapter.kind is {kind!r} '
       "with post.baseline 'value', wanted none: no adapter trains a critic")]


def _checks_of_objective(p: ConfigDict) -> list[tuple[Any, str]]:
  """As _checks_of_parents, of the objective."""
  paired, group = p.kind in PAIRED, p.baseline not in (
      'none', 'filter', 'value')
  kl = p.kind in objectives.PREFERENCE or p.kl != 'none'
  return [
      (paired or not group or p.samples > 1, f'post.samples is {p.samples} '
       f'with post.baseline {p.baseline!r}, wanted at least 2 answers to a '
       'prompt, or baseline none'),
      ('judge' not in p.reward or p.samples > 1, f'post.samples is {p.samples} '
       f'with post.reward {p.reward!r}, wanted at least 2 answers to a prompt'),
      (not kl or p.beta > 0, f'post.beta is {p.beta} with '
       + (f'post.kind {p.kind!r}' if paired else f'post.kl {p.kl!r}')
       + ', wanted above 0'),
      (kl or p.beta == 0, f"post.beta is {p.beta} and post.kl 'none', wanted 0 "
       'or one of exact, k1, k2, k3, k1_reward'),
      (p.kind != 'gspo' or p.norm == 'sequence', f"post.norm is {p.norm!r} of "
       "'gspo', wanted 'sequence': its ratio is one of an answer"),
      (p.baseline != 'filter' or p.kl != 'k1_reward', "post.kl is 'k1_reward' "
       "with post.baseline 'filter', wanted another: the reward alone decides "
       'which answers are kept'),
      (p.baseline != 'filter' or reward.is_zero_or_one(p.reward),
       f"post.reward is {p.reward!r} with post.baseline 'filter', which keeps "
       f'answers of reward 1; wanted one of {", ".join(reward.ZERO_OR_ONE)}, '
       'alone'),
      (p.every == 1 or p.kind != 'reinforce' or p.baseline == 'filter',
       f"post.every is {p.every} of post.kind 'reinforce', which has no ratio "
       "to the policy that sampled; wanted 1, or 'ppo'")]


def _checks_of_run(config: ConfigDict, entries: int) -> list[tuple[Any, str]]:
  """As _checks_of_parents, of steps, rows and the model."""
  p, data, model = config.post, config.data, config.model
  paired, cuts = p.kind in PAIRED, config.runtime.grad_accum_steps
  steps, rows = p.every // p.epochs, data.batch_size
  group = 2 * cuts if paired else p.samples
  streams = data.source != 'worlds' or any(
      config.worlds[t.world].kind == 'text' for t in data.tasks.values())
  return [
      (p.every % p.epochs == 0, f'post.every is {p.every}, wanted a multiple '
       f'of post.epochs={p.epochs}'),
      (rows % group == 0 and rows * steps % group == 0,
       f'data.batch_size is {rows}, wanted a multiple of '
       + (f'{group}: two rows a pair, runtime.grad_accum_steps={cuts}' if paired
          else f'post.samples={p.samples}')),
      (p.kind != 'kto' or cuts == 1, f'runtime.grad_accum_steps is {cuts} of '
       "post.kind 'kto', wanted 1: it compares pairs with the batch's mean"),
      (config.checkpoint.every % p.every == 0 and config.steps % p.every == 0,
       f'checkpoint.every is {config.checkpoint.every} and steps '
       f'{config.steps}, wanted multiples of post.every={p.every}: a run can '
       'only stop between rollouts'),
      (model.dropout == 0, f'model.dropout is {model.dropout} in '
       'post-training, wanted 0: the policy that trains is the one that '
       'samples'),
      (model.num_experts == 1, f'model.num_experts is {model.num_experts} in '
       'post-training, wanted 1'),
      (not data.mlm_probability and not streams, 'post-training of a masked '
       'model or a stream, wanted causal models and worlds with an index'),
      (data.sampling == 'replacement', f'data.sampling is {data.sampling!r} in '
       "post-training, wanted 'replacement': each prompt is drawn anew"),
      (entries <= LARGEST_VOCAB, f'a vocabulary of {entries} entries in '
       f'post-training, wanted at most {LARGEST_VOCAB}')]


def make_sums(config: ConfigDict, entries: int) -> Callable:
  """The function of a step, called as train_step.loss_sums. Raises
  BadInput."""
  check_post(config, entries)
  if config.post.kind in REWARD_KINDS:
    return functools.partial(score.score_sums, post=config.post)
  of = _preference_sums if config.post.kind in objectives.PREFERENCE else (
      _policy_sums)
  return functools.partial(of, post=config.post, entries=entries)


def _policy(params, batch, cfg: ModelConfig, post, entries: int):
  """(law [B, T, V], log-probability of the targets [B, T], both logs; of a
  critic, V [B, T]: else None)."""
  critic = cfg.reward_head
  states = decoder.hidden_states(
      params, batch['tokens'], cfg, batch['segments'], batch['positions'],
      **({'taps': True} if critic else {}))
  law_BTV = log_law(states[:2], post.temperature, entries)
  return law_BTV, jnp.take_along_axis(
      law_BTV, batch['targets'][..., None], -1)[..., 0], (
          score.of_stream(params, states[2]) if critic else None)


def _sums(batch, law_BTV, logp_BT, tasks: int) -> dict:
  """The sums that all kinds have; `loss` is the mean over answers' tokens of
  -log pi, not what is minimised."""
  mask_BT = batch['mask']
  by_task = jax.nn.one_hot(batch['task'], tasks, dtype=jnp.float32)
  off = jnp.abs(logp_BT - batch['sampler']) * mask_BT
  entropy_BT = -(jnp.exp(law_BTV) * law_BTV).sum(-1)
  return {
      'loss': -(logp_BT * mask_BT).sum(-1) @ by_task,
      'weight': mask_BT.sum(-1) @ by_task,
      'entries': batch['entries'].astype(jnp.float32) @ by_task,
      'count': batch['count'].sum(),
      'identity': (off * batch['fresh'][:, None]).max(),
      'token/count': mask_BT.sum(),
      'token/entropy': (entropy_BT * mask_BT).sum()}


def _policy_sums(params, batch, cfg: ModelConfig, tasks: int, key=None, *, post,
                 entries: int) -> tuple[jax.Array, dict]:
  """(loss, sums) of a policy gradient."""
  law_BTV, logp_BT, value_BT = _policy(params, batch, cfg, post, entries)
  c_BT, numbers = objectives.coefficients(
      post.kind, logp_BT, batch.get('old', logp_BT), batch['advantage'],
      batch['mask'], post.clip_low, post.clip_high)
  sums = _sums(batch, law_BTV, logp_BT, tasks) | {
      f'token/{k}': v for k, v in numbers.items()}
  total = 0.0
  if post.kl in SAMPLED_KLS:
    c_BT += post.beta * objectives.kl_coefficients(
        post.kl, logp_BT, batch['reference'], batch.get('old')) * batch['mask']
  elif post.kl == 'exact':
    kl_BT = objectives.exact_kl(law_BTV, batch['law'])
    total = post.beta * (kl_BT * batch['weights']).sum()
    sums['token/kl'] = (kl_BT * batch['mask']).sum()
  if value_BT is not None:
    off_BT = (value_BT - batch['returns'])**2 / 2
    total += post.value_weight * (off_BT * batch['weights']).sum()
    sums['token/value_loss'] = (off_BT * batch['mask']).sum()
  return total - (c_BT * batch['weights'] * logp_BT).sum(), sums


def _preference_sums(params, batch, cfg: ModelConfig, tasks: int, key=None, *,
                     post, entries: int) -> tuple[jax.Array, dict]:
  """(loss, sums) of pairs: of two rows in succession, the first is better."""
  law_BTV, logp_BT, _ = _policy(params, batch, cfg, post, entries)
  mask_BT = batch['mask']
  length_B = jnp.maximum(mask_BT.sum(-1), 1)
  change_B = ((logp_BT - batch['reference']) * mask_BT).sum(-1)
  score_B = change_B if post.kind != 'simpo' else (
      logp_BT * mask_BT).sum(-1) / length_B
  loss_N, *c = objectives.preference(
      post.kind, *jax.lax.stop_gradient((score_B[::2], score_B[1::2])),
      post.beta, post.margin, post.smoothing)
  c_B = jnp.stack(c, 1).reshape(-1)
  if post.kind == 'simpo':
    c_B /= length_B
  if post.nll:
    better_B = jnp.arange(len(c_B)) % 2 == 0
    c_B += jnp.where(better_B, post.nll / length_B, 0.0)
  sums = _sums(batch, law_BTV, logp_BT, tasks) | {
      'pair/count': jnp.float32(len(loss_N)), 'pair/loss': loss_N.sum(),
      'pair/better': change_B[::2].sum(), 'pair/worse': change_B[1::2].sum(),
      'pair/accuracy': (score_B[::2] > score_B[1::2]).sum(dtype=jnp.float32)}
  return -(c_B[:, None] * mask_BT * logp_BT).sum(), sums
