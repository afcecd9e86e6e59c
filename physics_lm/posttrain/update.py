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

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from physics_lm.errors import BadInput, nearest
from physics_lm.model import decoder
from physics_lm.model.config import REWARD_KINDS, ModelConfig
from physics_lm.posttrain import objectives, score
from physics_lm.posttrain.rollout import log_law

# Of a batch, beside those of training (train_step.py): what it may hold.
ROWS_2D = ('mask', 'advantage', 'sampler', 'old', 'reference', 'law', 'returns')
ROWS_1D = ('fresh', 'count')
# Kinds whose rows 2i and 2i + 1 are a pair.
PAIRED = objectives.PREFERENCE + REWARD_KINDS
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
  if p.kl in ('k1', 'k2', 'k3'):
    keys.append('reference')
  return (*keys, *(('law',) if p.kl == 'exact' else ())), ROWS_1D


def check_post(config: ConfigDict, entries: int) -> None:
  """Raises BadInput for a config of post-training that cannot train."""
  p = config.post
  kinds = objectives.POLICY + PAIRED
  head = p.kind in REWARD_KINDS
  pairs, cuts = p.kind in PAIRED, config.runtime.grad_accum_steps
  for key, known in (('kind', kinds), ('baseline', objectives.BASELINES),
                     ('norm', objectives.NORMS), ('kl', objectives.KLS)):
    if p[key] not in known:
      raise BadInput(f'post.{key} is {p[key]!r}; {nearest(p[key], known)}')
  steps, rows = p.every // p.epochs, config.data.batch_size
  group = 2 * cuts if pairs else p.samples
  kl = p.kind in objectives.PREFERENCE or p.kl != 'none'
  checks = [
      (config.init_from or head, 'init_from is None in post-training, wanted '
       'the folder or id of a finished run to start from'),
      (config.init_from or p.pairs_run or p.pairs.startswith('corrupt'),
       f"post.pairs is {p.pairs!r} without init_from, wanted post.pairs_run, "
       'the folder or id of the run that answers'),
      (not head or p.pairs != 'policy', f"post.pairs is 'policy' of post.kind "
       f"{p.kind!r}, whose model only scores; wanted 'samples'"),
      (not head or config.adapter.kind == 'none', f'adapter.kind is '
       f'{config.adapter.kind!r} of post.kind {p.kind!r}, wanted none'),
      (not pairs or p.baseline != 'value', f"post.baseline is 'value' of "
       f"post.kind {p.kind!r}, which has no rewards; wanted 'loo'"),
      (pairs or p.baseline in ('none', 'filter', 'value') or p.samples > 1,
       f'post.samples is {p.samples} with post.baseline {p.baseline!r}, wanted '
       'at least 2 answers to a prompt, or baseline none'),
      ('judge' not in p.reward or p.samples > 1, f'post.samples is {p.samples} '
       f'with post.reward {p.reward!r}, wanted at least 2 answers to a prompt'),
      (not kl or p.beta > 0, f'post.beta is {p.beta} with '
       + (f'post.kind {p.kind!r}' if pairs else f'post.kl {p.kl!r}')
       + ', wanted above 0'),
      (kl or p.beta == 0, f"post.beta is {p.beta} and post.kl 'none', wanted 0 "
       'or one of exact, k1, k2, k3, k1_reward'),
      (p.every % p.epochs == 0, f'post.every is {p.every}, wanted a multiple '
       f'of post.epochs={p.epochs}'),
      (rows % group == 0 and rows * steps % group == 0,
       f'data.batch_size is {rows}, wanted a multiple of '
       + (f'{group}: two rows a pair, runtime.grad_accum_steps={cuts}' if pairs
          else f'post.samples={p.samples}')),
      (config.checkpoint.every % p.every == 0 and config.steps % p.every == 0,
       f'checkpoint.every is {config.checkpoint.every} and steps '
       f'{config.steps}, wanted multiples of post.every={p.every}: a run can '
       'only stop between rollouts'),
      (p.kind != 'gspo' or p.norm == 'sequence', f"post.norm is {p.norm!r} of "
       "'gspo', wanted 'sequence': its ratio is one of an answer"),
      (config.model.dropout == 0, f'model.dropout is {config.model.dropout} in '
       'post-training, wanted 0: the policy that trains is the one that '
       'samples'),
      (config.model.num_experts == 1, f'model.num_experts is '
       f'{config.model.num_experts} in post-training, wanted 1'),
      (not config.data.mlm_probability and config.data.source == 'worlds',
       'post-training of a masked model or a stream, wanted causal models and '
       'worlds'),
      (entries <= LARGEST_VOCAB, f'a vocabulary of {entries} entries in '
       f'post-training, wanted at most {LARGEST_VOCAB}')]
  for ok, message in checks:
    if not ok:
      raise BadInput(message)


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
  if post.kl in ('k1', 'k2', 'k3'):
    c_BT += post.beta * objectives.kl_coefficients(
        post.kl, logp_BT, batch['reference']) * batch['mask']
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
