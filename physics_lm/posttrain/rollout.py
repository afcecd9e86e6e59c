"""Rollouts: prompts of the data's tasks, sampled answers, and their rows.

A prompt is a pure function of the data's seed and its number, a sample of the
parameters, the seed and the answer's number: a run that resumes at a rollout
draws the same again. Rows begin at position 0, as in training, and an answer
includes its end token, an action like any other. Columns:

  tokens    END f3 f11 4 ? 9 0 .      targets of the prompt's tokens have
  targets   f3 f11 4 ? 9 0 END .      mask 0, those of the answer mask 1
  mask      0  0   0 0 1 1 1   0
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput
from physics_lm.model import decode, decoder
from physics_lm.model.config import ModelConfig
from physics_lm.posttrain.reward import Answer
from physics_lm.worlds import base

PROMPT_SALT = 'post-training prompts'
PATIENCE = 100  # prompts in a row that may be too long


class Prompt(NamedTuple):
  """A question of a task, and its token ids."""

  task: int  # index of the data's task
  question: base.Example
  ids: list[int]


class Rollout(NamedTuple):
  """Answers to prompts, G to each, in order; rows [B, T] of P G = B."""

  prompts: list[Prompt]  # of each row
  answers: list[Answer]  # of each row
  rows: dict[str, np.ndarray]  # tokens, targets, segments, positions, mask
  logp: np.ndarray  # [B, T], under the policy that sampled


def question_ids(data: mixture.Mixture, task: mixture.Task,
                 question: base.Example) -> list[int]:
  """The ids of a question, from the end token on."""
  prompt, _ = base.prompt_and_answer_pieces(question)
  ids = [vocabs.EOS, *(data.vocab.encode(task.tag) if task.tag else ())]
  for piece in prompt:
    ids += data.vocab.encode(piece)
  return ids


def draw_prompt(data: mixture.Mixture, number: int, tokens: int,
                attempt: int = 0) -> Prompt:
  """Prompt `number`: an example of the task that the row of this number has,
  with room for an answer of `tokens` tokens; at another attempt, another one.
  Raises BadInput when there is none."""
  which = mixture.task_for_row(data, number)
  task = data.tasks[which]
  rng = base.generator(data.seed, PROMPT_SALT, number, attempt)
  for _ in range(PATIENCE):
    question = task.world.example(task.split, int(rng.integers(task.size)))
    ids = question_ids(data, task, question)
    if len(ids) + tokens <= data.seq_len:
      return Prompt(which, question, ids)
    if not task.world.unbounded:
      break
  raise BadInput(f'a prompt of task {task.name} has {len(ids)} tokens and '
                 f'post.tokens is {tokens}, a row data.seq_len={data.seq_len}: '
                 'wanted rows at least as long as both')


def collect(params: Any, cfg: ModelConfig, data: mixture.Mixture,
            post: ConfigDict, numbers: Sequence[int], seed: int,
            attempt: int = 0) -> Rollout:
  """`post.samples` answers to each of the prompts of these numbers.

  Args:
    params: of the policy, on its devices.
    post: config.post.
    seed: of the samples, below 2 ** 32.
  """
  prompts = [p for p in (
      draw_prompt(data, n, post.tokens, attempt) for n in numbers)
             for _ in range(post.samples)]
  sampled = decode.sample_tokens(
      params, cfg, [p.ids for p in prompts], post.tokens, post.temperature,
      entries=len(data.vocab), seed=seed, width=data.seq_len - post.tokens)
  draws = np.random.default_rng([seed, 1]).random(len(prompts))
  answers = []
  for prompt, (ids, each), draw in zip(prompts, sampled, draws):
    ended = ids[-1] == vocabs.EOS
    answers.append(Answer(
        data.tasks[prompt.task].world, prompt.question,
        data.vocab.decode(ids[:-1] if ended else ids), ended, len(ids),
        post.tokens, float(draw), prompt.ids, ids, float(np.sum(each))))
  rows = packed_answers([p.ids for p in prompts], [ids for ids, _ in sampled],
                        data.seq_len)
  logp = np.zeros(rows['mask'].shape, np.float32)
  logp[rows['mask'] > 0] = np.concatenate([p for _, p in sampled])
  return Rollout(prompts, answers, rows, logp)


def packed_answers(prompts: Sequence[list[int]], answers: Sequence[list[int]],
                   seq_len: int) -> dict[str, np.ndarray]:
  """Rows of a prompt and its answer each: tokens, targets, segments, positions
  [B, T] int32, mask [B, T] float32. An answer has its end token, or was cut."""
  shape = len(prompts), seq_len
  out = {k: np.zeros(shape, np.int32)
         for k in ('tokens', 'targets', 'segments', 'positions')}
  out['mask'] = np.zeros(shape, np.float32)
  for b, (prompt, answer) in enumerate(zip(prompts, answers)):
    ids = [*prompt, *answer]
    n = len(ids) - 1
    out['tokens'][b, :n], out['targets'][b, :n] = ids[:-1], ids[1:]
    out['segments'][b, :n], out['positions'][b, :n] = 1, range(n)
    out['mask'][b, len(prompt) - 1:n] = 1
  return out


@functools.partial(jax.jit, static_argnames=('cfg', 'entries', 'full_law'))
def answer_log_probs(params: Any, rows: dict, temperature: float, *,
                     cfg: ModelConfig, entries: int, full_law: bool = False
                     ) -> jax.Array:
  """The log-probability of each target [B, T], or of every entry of the
  vocabulary [B, T, V], by the forward pass of training."""
  law = log_law(decoder.hidden_states(
      params, rows['tokens'], cfg, rows['segments'], rows['positions'])[:2],
      temperature, entries)
  if full_law:
    return law
  return jnp.take_along_axis(law, rows['targets'][..., None], -1)[..., 0]


def log_law(states: tuple[jax.Array, jax.Array], temperature: float,
            entries: int) -> jax.Array:
  """Log-probabilities [B, T, V] of the vocabulary's entries, without the rows
  that pad the embedding: a sampler never chooses those. `states`: last hidden
  state [B, T, D] and unembedding [V, D]."""
  h_BTD, table_VD = states
  logits = jnp.einsum('BTD,VD->BTV', h_BTD, table_VD[:entries],
                      preferred_element_type=jnp.float32)
  return jax.nn.log_softmax(logits / temperature, -1)
