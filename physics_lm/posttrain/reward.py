"""Rewards: what a world's checker pays for an answer. No JAX.

A reward is named in `post.reward`:

  full              1 where the world's check of the answer holds, else 0
  outcome           1 where the final result is right, whatever the steps
  process           the share of steps before the first wrong one
  length            - tokens of the answer over the most that it may have
  random            1 with probability one half
  any               1
  vote              1 where the text is the one that most of the prompt's
                    answers have, at least two (the first of equal ones)
  likely            1 for the prompt's answer with the highest probability
  noisy:TPR:FPR     1 with probability TPR where `full` is 1, FPR where it is 0
  count             z, the symbols of a Markov text that are among the first
                    half of the alphabet, in standard deviations from the mean
  bend:PEAK         z - z^2 / (2 PEAK): the best number of them is PEAK standard
                    deviations above the mean
  model, model_min  the score of post.reward_run's reward models: their mean,
                    and their least
  grade, judge      what post.judge_run says of an answer alone, and beside each
                    of the prompt's others (judge.py)

Several, with weights, are added: 'full+0.1*process'. An answer that was cut
off at the most tokens has none of full, outcome, process, noisy, vote and
likely. Noise is pure in the seed and the answer's number. A prompt's answers
are those in succession with the same question.
"""

import collections
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from physics_lm.errors import BadInput, nearest
from physics_lm.worlds import base


class Answer(NamedTuple):
  """An answer, as rewards see it."""

  world: base.World
  question: base.Example
  text: str
  ended: bool  # by its end token; else it was cut off
  length: int  # tokens, the end token included
  most: int  # tokens that an answer may have
  draw: float  # uniform in [0, 1), its own
  prompt: Sequence[int] = ()  # ids
  ids: Sequence[int] = ()  # of the answer, the end token included
  logp: float = math.nan  # log-probability under the policy that sampled


def _full(a: Answer) -> float:
  return float(a.ended and a.world.check(a.question, a.text).correct)


def _outcome(a: Answer) -> float:
  return float(a.ended and a.world.outcome(a.question, a.text))


def _process(a: Answer) -> float:
  done, steps = a.world.correct_steps(a.question, a.text)
  return done / steps if a.ended else 0.0


def _length(a: Answer) -> float:
  return -a.length / a.most


def _random(a: Answer) -> float:
  return float(a.draw < 0.5)


def _noisy(a: Answer, true_rate: float, false_rate: float) -> float:
  return float(a.draw < (true_rate if _full(a) else false_rate)) * a.ended


def _any(a: Answer) -> float:
  return 1.0


def _vote(group: Sequence[Answer]) -> np.ndarray:
  votes = collections.Counter(a.text for a in group if a.ended)
  text, most = max(votes.items(), key=lambda v: v[1], default=('', 0))
  return np.array([a.ended and a.text == text and most > 1 for a in group])


def _likely(group: Sequence[Answer]) -> np.ndarray:
  logp = np.array([a.logp if a.ended else -math.inf for a in group])
  return (np.arange(len(group)) == logp.argmax()) & (logp > -math.inf)


def _count(a: Answer) -> float:
  return a.world.standard_count(a.text)


def _bend(a: Answer, peak: float) -> float:
  z = a.world.standard_count(a.text)
  return z - z * z / (2 * peak)


# Of one answer; of a prompt's answers; and of all answers together from the
# scores [M, B] of models.
EACH = {'full': _full, 'outcome': _outcome, 'process': _process,
        'length': _length, 'random': _random, 'any': _any, 'noisy': _noisy,
        'count': _count, 'bend': _bend}
OF_PROMPTS = {'vote': _vote, 'likely': _likely}
OF_MODELS = {'model': np.mean, 'model_min': np.min}
OF_JUDGE = ('grade', 'judge')
ZERO_OR_ONE = ('full', 'outcome', 'random', 'any', 'noisy', 'vote', 'likely')
# What a reward needs of the world.
_NEEDS = {'outcome': 'outcome', 'process': 'correct_steps',
          'count': 'class_counts', 'bend': 'class_counts'}
_NUMBERS = {'noisy': (2, ':TPR:FPR, both in [0, 1]', 0.0, 1.0),
            'bend': (1, ':PEAK, above 0', 1e-9, math.inf)}


def make_reward(text: str, worlds: Sequence[base.World],
                models: Callable | None = None, judge: Any = None
                ) -> Callable[[Sequence[Answer]], np.ndarray]:
  """The reward [B] that a text names, of B answers to these worlds.

  Args:
    models: from answers to the scores [M, B] of reward models.
    judge: with the methods of OF_JUDGE, from answers to [B].

  Raises:
    BadInput: an unknown reward, one that a world cannot pay, or one of models
      or a judge without any.
  """
  known = (*EACH, *OF_PROMPTS, *OF_MODELS, *OF_JUDGE)
  parts = []
  for term in text.split('+'):
    factor, star, name = term.rpartition('*')
    kind, *numbers = name.strip().split(':')
    if kind not in known:
      raise BadInput(f'post.reward has {kind!r}; {nearest(kind, known)}')
    count, wanted, low, high = _NUMBERS.get(kind, (0, '', 0.0, 0.0))
    rates = [_number(text, n) for n in numbers]
    if len(rates) != count or not all(low <= r <= high for r in rates):
      raise BadInput(f'post.reward has {name.strip()!r}, wanted {kind}{wanted}')
    if kind in OF_MODELS and models is None:
      raise BadInput(f"post.reward is {kind!r} and post.reward_run '', wanted "
                     'the folder or id of a run of post.kind reward_model')
    _check_worlds(kind, worlds)
    if kind in OF_JUDGE and judge is None:
      raise BadInput(f"post.reward is {kind!r} and post.judge_run '', wanted "
                     'the folder or id of a run that judges')
    paid = (functools.partial(_of_models, OF_MODELS[kind], models)
            if kind in OF_MODELS else
            functools.partial(_of_prompts, OF_PROMPTS[kind])
            if kind in OF_PROMPTS else
            getattr(judge, kind) if kind in OF_JUDGE else
            functools.partial(_each, EACH[kind], tuple(rates)))
    parts.append((_number(text, factor) if star else 1.0, paid))
  return functools.partial(_total, tuple(parts))


def kinds_of(text: str) -> set[str]:
  """The kinds of the terms of a reward, without their weights and numbers."""
  return {term.rpartition('*')[2].partition(':')[0].strip()
          for term in text.split('+')}


def is_zero_or_one(text: str) -> bool:
  """Whether a reward is one term without a weight that is always 0 or 1."""
  return text.strip().partition(':')[0] in ZERO_OR_ONE and '+' not in text


def _check_worlds(kind: str, worlds: Sequence[base.World]) -> None:
  for world in worlds:
    needed = _NEEDS.get(kind, 'check')
    if not hasattr(world, needed):
      raise BadInput(
          f'post.reward is {kind!r} of a world of {type(world).__name__}, '
          f'which has no {needed}; wanted full, length, random or noisy, '
          'or another world')


def _number(text: str, number: str) -> float:
  try:
    out = float(number)
  except ValueError:
    raise BadInput(f'post.reward is {text!r}: {number!r} is no number'
                   ) from None
  if not math.isfinite(out):
    raise BadInput(f'post.reward is {text!r}: {number!r} is not finite')
  return out


def _each(function: Callable, rates: tuple, answers: Sequence[Answer]
          ) -> np.ndarray:
  return np.array([function(a, *rates) for a in answers])


def by_prompt(answers: Sequence[Answer]) -> list[list[int]]:
  """The indices of each prompt's answers, which are in succession."""
  return [list(g) for _, g in itertools.groupby(
      range(len(answers)), lambda i: id(answers[i].question))]


def _of_prompts(function: Callable, answers: Sequence[Answer]) -> np.ndarray:
  return np.concatenate([function([answers[i] for i in group])
                         for group in by_prompt(answers)]).astype(float)


def _of_models(reduce: Callable, models: Callable, answers: Sequence[Answer]
               ) -> np.ndarray:
  return reduce(models(answers), 0)


def _total(parts: tuple, answers: Sequence[Answer]) -> np.ndarray:
  return sum(factor * function(answers) for factor, function in parts)
