"""Rewards: what a world's checker pays for an answer. No JAX.

A reward is named in `post.reward`:

  full              1 where the world's check of the answer holds, else 0
  outcome           1 where the final result is right, whatever the steps
  process           the share of steps before the first wrong one
  length            - tokens of the answer over the most that it may have
  random            1 with probability one half
  noisy:TPR:FPR     1 with probability TPR where `full` is 1, FPR where it is 0

Several, with weights, are added: 'full+0.1*process'. An answer that was cut
off at the most tokens has none of full, outcome, process and noisy. Noise is
pure in the seed and the answer's number.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

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


REWARDS = {'full': _full, 'outcome': _outcome, 'process': _process,
           'length': _length, 'random': _random, 'noisy': _noisy}
# Methods that a reward needs of the world.
_NEEDS = {'outcome': 'outcome', 'process': 'correct_steps'}


def make_reward(text: str, worlds: Sequence[base.World]
                ) -> Callable[[Answer], float]:
  """The reward that a text names, of answers to these worlds. Raises BadInput
  for an unknown one, or one that a world cannot pay."""
  parts = []
  for term in text.split('+'):
    factor, star, name = term.rpartition('*')
    kind, *numbers = name.strip().split(':')
    if kind not in REWARDS:
      raise BadInput(f'post.reward has {kind!r}; {nearest(kind, REWARDS)}')
    rates = [_number(text, n) for n in numbers]
    if len(rates) != 2 * (kind == 'noisy') or not all(
        0 <= r <= 1 for r in rates):
      raise BadInput(f'post.reward has {name.strip()!r}, wanted {kind}'
                     + ':TPR:FPR, both in [0, 1]' * (kind == 'noisy'))
    for world in worlds:
      needed = _NEEDS.get(kind, 'check')
      if not hasattr(world, needed):
        raise BadInput(
            f'post.reward is {kind!r} of a world of {type(world).__name__}, '
            f'which has no {needed}(); wanted full, length, random or noisy, '
            'or another world')
    parts.append((_number(text, factor) if star else 1.0,
                  functools.partial(_call, REWARDS[kind], tuple(rates))))
  return functools.partial(_total, tuple(parts))


def _number(text: str, number: str) -> float:
  try:
    return float(number)
  except ValueError:
    raise BadInput(f'post.reward is {text!r}: {number!r} is no number'
                   ) from None


def _call(function: Callable, rates: tuple, answer: Answer) -> float:
  return function(answer, *rates)


def _total(parts: tuple, answer: Answer) -> float:
  return sum(factor * function(answer) for factor, function in parts)
