"""A language model that judges answers, asked for the symbols of its verdict.

Some worlds have requests and verdicts (worlds/base.py: GRADE, CHOOSE), so any
model that was trained on them is a judge: another run, or the policy itself
(self-rewarding: Yuan et al., arXiv 2401.10020). What it says is read from the
logits of the two verdicts after the request; nothing is sampled.

  grade   one answer: the probability of ' yes' against ' no' (direct RLAIF: Lee
          et al., 2309.00267)
  judge   two answers, in both orders, since judges prefer a place: the mean of
          the probabilities that it says 'first' of the answer in first place
          and 'second' of it in second place. Of a prompt with more answers,
          the mean over the others

An answer that was cut off is not shown: its grade is 0, and it loses to every
answer that ended.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from physics_lm.errors import BadInput
from physics_lm.model import decode, decoder
from physics_lm.model.config import ModelConfig
from physics_lm.posttrain.reward import Answer, by_prompt
from physics_lm.posttrain.score import full_rows
from physics_lm.vocab import Vocab
from physics_lm.worlds.base import CHOOSE, GRADE

CHUNK = 512  # requests at a time, at most


class Judge:
  """Verdicts of a run, or, without `params`, of the policy that `follow` was
  told of last. Raises BadInput for a vocabulary without verdicts."""

  def __init__(self, cfg: ModelConfig, vocab: Vocab, params: Any = None):
    self.cfg, self.params, self.follows = cfg, params, params is None
    self._forms = [[[_one_id(vocab, piece) for piece in part] for part in form]
                   for form in (GRADE, CHOOSE)]

  def follow(self, params: Any):
    """The policy has these parameters now."""
    if self.follows:
      self.params = params

  def grade(self, answers: Sequence[Answer]) -> np.ndarray:
    """The probability [B] that each answer is right."""
    out, ended = np.zeros(len(answers)), [a.ended for a in answers]
    out[ended] = self._verdicts([(a,) for a in answers if a.ended])
    return out

  def judge(self, answers: Sequence[Answer]) -> np.ndarray:
    """The probability [B] that each answer is better than another one to its
    prompt, mean over those."""
    orders = [(i, j) for group in by_prompt(answers)
              for i, j in itertools.permutations(group, 2)]
    ended = np.array([a.ended for a in answers])
    shown = [(i, j) for i, j in orders if ended[i] and ended[j]]
    first = dict(zip(shown, self._verdicts([
        (answers[i], answers[j]) for i, j in shown])))
    wins, others = np.zeros((2, len(answers)))
    for i, j in orders:
      others[i] += 1
      wins[i] += (first[i, j] + 1 - first[j, i]) / 2 if (i, j) in first else (
          (1 + ended[i] - ended[j]) / 2)
    return wins / np.maximum(others, 1)

  def _verdicts(self, shown: Sequence[tuple[Answer, ...]]) -> np.ndarray:
    """The probability of the first verdict against the second one, of requests
    that show one answer each, or two. Raises BadInput for one longer than the
    judge can read."""
    made = [self._request(*answers) for answers in shown]
    longest = max((len(ids) for ids, _ in made), default=0)
    decode.check_positions(self.cfg, longest)
    length = -(-longest // 8) * 8
    size, out = min(CHUNK, -(-len(made) // 8) * 8), [np.zeros(0)]
    for at in range(0, len(made), size or 1):
      part = made[at:at + size]
      filled = part + part[-1:] * (size - len(part))
      rows = full_rows([(ids, []) for ids, _ in filled], length)
      del rows['mask']
      out.append(np.asarray(_first_against_second(
          self.params, rows, np.array([v for _, v in filled], np.int32),
          cfg=self.cfg))[:len(part)])
    return np.concatenate(out)

  def _request(self, *shown: Answer) -> tuple[list[int], list[int]]:
    """(ids of a request to judge these answers to a prompt, of the verdicts)"""
    ids = list(shown[0].prompt)
    marks, verdicts = self._forms[len(shown) - 1]
    for answer, mark in zip(shown, marks):
      ids += [*answer.ids[:-1], mark]
    return ids, verdicts


def _one_id(vocab: Vocab, piece: str) -> int:
  try:
    ids = vocab.encode(piece)
  except BadInput:
    ids = ()
  if len(ids) != 1:
    raise BadInput(f'post.reward asks a judge and {piece!r} has {len(ids)} '
                   'tokens in the vocabulary, wanted 1: a world with verdicts, '
                   "as configs/compose.py:judged, and a vocabulary of pieces")
  return ids[0]


@functools.partial(jax.jit, static_argnames='cfg')
def _first_against_second(params: Any, rows: dict, verdicts_B2: jax.Array, *,
                          cfg: ModelConfig) -> jax.Array:
  """sigmoid [B] of the difference of two logits after each row's last token."""
  h_BTD, table_VD = decoder.hidden_states(
      params, rows['tokens'], cfg, rows['segments'], rows['positions'])[:2]
  last_B = rows['segments'].sum(1) - 1
  h_BD = h_BTD[jnp.arange(len(last_B)), last_B]
  logits_B2 = jnp.einsum('BD,BND->BN', h_BD, table_VD[verdicts_B2],
                         preferred_element_type=jnp.float32)
  return jax.nn.sigmoid(logits_B2[:, 0] - logits_B2[:, 1])
