"""Pairs for preference losses: a prompt, a better and a worse answer.

Pairs are pure in the parameters that sample, the seed and the prompts' numbers;
there is no file of them. `samples:` answers of a frozen run, `policy`: of the
policy itself; of a prompt's answers the one with the highest reward and the one
with the lowest are a pair, if their rewards differ. `data`: the world's own
answer, and each of the frozen run's, whatever they are: with the frozen run as
the reference a round of SPIN (Chen et al., arXiv 2401.01335). `corrupt:K`: the
world's right answer, and the same with K of its steps changed.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput
from physics_lm.model.config import ModelConfig
from physics_lm.posttrain import rollout
from physics_lm.worlds import base

SOURCES = ('samples', 'policy', 'data', 'corrupt')
ATTEMPTS = 32  # rounds of prompts, to find as many pairs as are wanted
PAIR_SALT = 'post-training pairs'


class Pair(NamedTuple):
  """Two answers to a prompt as ids, with their end tokens."""

  prompt: rollout.Prompt
  better: list[int]
  worse: list[int]


def source_of(text: str) -> tuple[str, int]:
  """(source, number of changes) of post.pairs. Raises BadInput."""
  source, colon, number = text.partition(':')
  if source not in SOURCES or bool(colon) != (source == 'corrupt') or (
      colon and not (number.isdecimal() and int(number))):
    raise BadInput(f"post.pairs is {text!r}, wanted 'samples', 'policy', "
                   "'data' or 'corrupt:K' with K changes, at least 1")
  return source, int(number or 0)


def collect_pairs(params: Any, cfg: ModelConfig, data: mixture.Mixture,
                  post: ConfigDict, reward: Callable, first: int, count: int,
                  seed: int) -> list[Pair]:
  """`count` pairs, of prompts from number `first` on.

  Args:
    params: of the run or the policy that samples; not used by 'corrupt'.
    reward: of the answers (reward.make_reward).
    seed: of samples and flips.

  Raises:
    BadInput: too few prompts have two answers of different reward.
  """
  source, changes = source_of(post.pairs)
  numbers = range(first, first + count)
  if source == 'corrupt':
    found = [_corrupted(data, rollout.draw_prompt(data, n, post.tokens),
                        changes, seed, n) for n in numbers]
  elif source == 'data':
    made = rollout.collect(params, cfg, data, post, range(
        first, first + -(-count // post.samples)), seed)
    found = [Pair(p, *_encoded(data, p, [_own_answer(p)]), _answer_ids(
        made.rows, i)) for i, p in enumerate(made.prompts[:count])]
  else:
    found = []
    for attempt in range(ATTEMPTS):
      made = rollout.collect(params, cfg, data, post, numbers,
                             seed + attempt, attempt)
      found += _of_groups(made, reward, post.samples)
      if len(found) >= count:
        break
    else:
      raise BadInput(
          f'{len(found)} of {ATTEMPTS * count} prompts have a better and a '
          f'worse answer among post.samples={post.samples}, wanted {count}; '
          'easier or harder tasks, or more samples')
  flips = np.random.default_rng([seed, 2]).random(count) < post.label_noise
  return [p._replace(better=p.worse, worse=p.better) if flip else p
          for p, flip in zip(found, flips)]


def _of_groups(made: rollout.Rollout, reward: Callable, samples: int
               ) -> list[Pair]:
  """A pair of each group whose rewards differ."""
  rewards = reward(made.answers)
  found = []
  for at in range(0, len(rewards), samples):
    group = rewards[at:at + samples]
    high, low = at + int(group.argmax()), at + int(group.argmin())
    if rewards[high] > rewards[low]:
      found.append(Pair(made.prompts[high], *(
          _answer_ids(made.rows, row) for row in (high, low))))
  return found


def _answer_ids(rows: dict[str, np.ndarray], row: int) -> list[int]:
  return rows['targets'][row][rows['mask'][row] > 0].tolist()


def _own_answer(prompt: rollout.Prompt) -> str:
  return ''.join(base.prompt_and_answer_pieces(prompt.question)[1])


def _encoded(data: mixture.Mixture, prompt: rollout.Prompt,
             texts: Sequence[str]) -> list[list[int]]:
  """Answers as ids with their end tokens. Raises BadInput for a short row."""
  answers = [[*data.vocab.encode(t), vocabs.EOS] for t in texts]
  longest = max(map(len, answers))
  if len(prompt.ids) + longest - 1 > data.seq_len:
    raise BadInput(f'an answer has {longest} tokens, its prompt '
                   f'{len(prompt.ids)} and a row data.seq_len={data.seq_len}, '
                   'wanted rows as long as both')
  return answers


def _corrupted(data: mixture.Mixture, prompt: rollout.Prompt, changes: int,
               seed: int, number: int) -> Pair:
  """The world's own answer to a prompt, and a corrupted one."""
  world = data.tasks[prompt.task].world
  if not hasattr(world, 'corrupt'):
    raise BadInput(f"post.pairs is 'corrupt' of a world of "
                   f'{type(world).__name__}, which has no corrupt(); wanted '
                   "'samples' or 'policy'")
  rng = base.generator(seed, PAIR_SALT, number)
  return Pair(prompt, *_encoded(data, prompt, [
      _own_answer(prompt), world.corrupt(prompt.question, changes, rng)]))


def interleaved(pairs: Sequence[Pair]) -> tuple[list[list[int]],
                                                list[list[int]]]:
  """(prompts, answers) of two rows a pair, the better one first."""
  return ([p.prompt.ids for p in pairs for _ in range(2)],
          [a for p in pairs for a in (p.better, p.worse)])
