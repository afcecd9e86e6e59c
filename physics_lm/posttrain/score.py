"""Scores of answers: the head of reward models and verifiers, and its losses.

A model with a head (model.config.REWARD_KINDS) has one vector more, 0 at first.
The score of a text is the inner product of that vector and the residual stream
after the last layer, at the text's last token: of an answer that has ended, at
its end token. Nothing after it, beside it or in another row takes part.

On pairs of a better and a worse answer,

  reward_model      -log sigmoid(difference of their scores): Bradley-Terry
  outcome_verifier  cross-entropy of sigmoid(score) with better 1, worse 0
                    (Cobbe et al., arXiv 2110.14168, at the last token)
  process_verifier  of sigmoid(score at each token of an answer) with whether
                    all its steps so far are right (Lightman et al., 2305.20050)

At step 0 every loss is log 2.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.model import decode, decoder
from physics_lm.model.config import ModelConfig
from physics_lm.posttrain import objectives, pairs
from physics_lm.posttrain.reward import Answer
from physics_lm.restore import RestoredRun
from physics_lm.vocab import EOS

KEYS = ('mask', 'label')  # [B, T], of a batch
CHUNK = 512  # answers that are scored at a time, at most


def full_rows(texts: Sequence[tuple[list[int], list[int]]], length: int
              ) -> dict[str, np.ndarray]:
  """Rows [B, length] of (prompt, answer) with all their ids as inputs: tokens,
  segments, positions int32, mask float32, 1 at the answer's tokens."""
  shape = len(texts), length
  out = {k: np.zeros(shape, np.int32)
         for k in ('tokens', 'segments', 'positions')}
  out['mask'] = np.zeros(shape, np.float32)
  for b, (prompt, answer) in enumerate(texts):
    n = len(prompt) + len(answer)
    out['tokens'][b, :n] = [*prompt, *answer]
    out['segments'][b, :n], out['positions'][b, :n] = 1, range(n)
    out['mask'][b, len(prompt):n] = 1
  return out


def scores(params: dict, rows: dict, cfg: ModelConfig) -> jax.Array:
  """The score [B, T] of the text up to each token."""
  stream = decoder.hidden_states(
      params, rows['tokens'], cfg, rows['segments'], rows['positions'],
      taps=True)[2]
  return of_stream(params, stream)


def of_stream(params: dict, stream: jax.Array) -> jax.Array:
  """The score [B, T] from what hidden_states gives with taps."""
  return jnp.einsum('BTD,D->BT', stream[-1].astype(jnp.float32),
                    params['ends']['reward'])


row_scores = jax.jit(scores, static_argnames='cfg')


def last_of(mask_BT: jax.Array) -> jax.Array:
  """The mask [B, T] of the last token of each row that `mask_BT` has."""
  after_BT = jnp.cumsum(mask_BT[:, ::-1], 1)[:, ::-1]
  return mask_BT * (after_BT == 1)


def score_answers(params: dict, cfg: ModelConfig,
                  texts: Sequence[tuple[list[int], list[int]]]) -> np.ndarray:
  """Scores [B, T] of (prompt, answer) of ids, nan but at answers' tokens.
  Raises BadInput for a text longer than the model can read."""
  longest = max(len(p) + len(a) for p, a in texts)
  decode.check_positions(cfg, longest)
  length = -(-longest // 8) * 8
  size, out = min(CHUNK, len(texts)), []
  for at in range(0, len(texts), size):
    part = list(texts[at:at + size])
    rows = full_rows(part + part[-1:] * (size - len(part)), length)
    made = np.asarray(row_scores(params, {k: rows[k] for k in (
        'tokens', 'segments', 'positions')}, cfg=cfg))
    out.append(np.where(rows['mask'] > 0, made, np.nan)[:len(part)])
  return np.concatenate(out)


def last_scores(scores_BT: np.ndarray) -> np.ndarray:
  """The last number [B] of each row that is none of nan."""
  at = scores_BT.shape[1] - 1 - np.isfinite(scores_BT)[:, ::-1].argmax(1)
  return scores_BT[np.arange(len(at)), at]


def model_scores(runs: Sequence[RestoredRun]
                 ) -> Callable[[Sequence[Answer]], np.ndarray]:
  """From answers to the score [M, B] that each of the runs gives. Raises
  BadInput for a run without a head."""
  for run in runs:
    if not run.cfg.reward_head:
      kind = run.config.post.kind
      raise BadInput(f'post.reward_run names a run of post.kind {kind!r}, '
                     "which has no head; wanted one of 'reward_model', "
                     "'outcome_verifier' or 'process_verifier'")
  return functools.partial(_of_models, tuple(runs))


def _of_models(runs, answers: Sequence[Answer]) -> np.ndarray:
  texts = [(a.prompt, a.ids) for a in answers]
  return np.stack([last_scores(score_answers(r.params, r.cfg, texts))
                   for r in runs])


def pair_rows(found: Sequence[pairs.Pair], data: mixture.Mixture, kind: str
              ) -> dict[str, np.ndarray]:
  """Rows of pairs, the better answer first, with mask and label [B, T] of a
  kind of head. Raises BadInput for a row that is too short, with its end token
  as an input, and for a world without right and wrong steps."""
  prompts, answers = pairs.interleaved(found)
  longest = max(len(p) + len(a) for p, a in zip(prompts, answers))
  if longest > data.seq_len:
    raise BadInput(f'a prompt and its answer have {longest} tokens and a row '
                   f'data.seq_len={data.seq_len}, wanted rows at least as long')
  rows = full_rows([*zip(prompts, answers)], data.seq_len)
  if kind == 'process_verifier':
    rows['label'] = np.zeros_like(rows['mask'])
    for row, answer in enumerate(answers):
      prompt = found[row // 2].prompt
      world = data.tasks[prompt.task].world
      if not hasattr(world, 'right_so_far'):
        raise BadInput(
            "post.kind is 'process_verifier' of a world of "
            f'{type(world).__name__}, which has no right_so_far(); wanted '
            "'outcome_verifier' or 'reward_model'")
      texts = [data.vocab.decode(answer[:n + 1]) for n in range(len(answer))]
      right = [world.right_so_far(prompt.question, t) for t in texts]
      if answer[-1] == EOS:
        right[-1] = world.check(prompt.question, texts[-1]).correct
      rows['label'][row][rows['mask'][row] > 0] = right
    return rows
  rows['mask'] = np.asarray(last_of(rows['mask']))
  return rows | {'label': rows['mask'] * (
      np.arange(len(answers)) % 2 == 0)[:, None]}


def score_sums(params: dict, batch: dict, cfg: ModelConfig, tasks: int,
               key: jax.Array | None = None, *, post: ConfigDict
               ) -> tuple[jax.Array, dict]:
  """(loss, sums) of pairs: of two rows in succession, the first is better."""
  score_BT, mask_BT = scores(params, batch, cfg), batch['mask']
  score_B = (score_BT * last_of(mask_BT)).sum(1)
  if post.kind == 'reward_model':
    loss_N, *_ = objectives.preference('dpo', score_B[::2], score_B[1::2], 1.0,
                                       0.0, post.smoothing)
    loss_B, weight_B = jnp.repeat(loss_N, 2) / 2, jnp.full(len(score_B), 0.5)
  else:
    y_BT = batch['label']
    nll_BT = -(y_BT * jax.nn.log_sigmoid(score_BT)
               + (1 - y_BT) * jax.nn.log_sigmoid(-score_BT))
    loss_B = (nll_BT * mask_BT).sum(1) / jnp.maximum(mask_BT.sum(1), 1)
    weight_B = jnp.ones(len(score_B))
  by_task = jax.nn.one_hot(batch['task'], tasks, dtype=jnp.float32)
  pairs_count = jnp.float32(len(score_B) // 2)
  return loss_B.sum(), {
      'loss': loss_B @ by_task, 'weight': weight_B @ by_task,
      'entries': batch['entries'].astype(jnp.float32) @ by_task,
      'count': batch['count'].sum(), 'pair/count': pairs_count,
      'pair/accuracy': (score_B[::2] > score_B[1::2]).sum(dtype=jnp.float32)}
