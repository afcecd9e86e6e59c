"""Whether a run's loss stays within a predicted band. No JAX.

A band is a JSON file {"tokens": [...], "low": [...], "high": [...], "from":
"what it was predicted from"}: the loss in nats per token that is expected after
that many tokens, in increasing order. Between two points it is linear in log
tokens; outside them nothing is expected. `python -m physics_lm.scaling
forecast` writes one.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from physics_lm import run_dir
from physics_lm.errors import BadInput


class LossBand:
  """Compares a run's losses, in order, with a band; warns once each time they
  leave it."""

  def __init__(self, tokens, low, high, source: str = ''):
    self.tokens, self.low, self.high = (
        np.asarray(x, np.float64) for x in (tokens, low, high))
    self.source, self.outside = source, ''  # or 'above' or 'below', last seen

  def limits(self, tokens: float) -> tuple[float, float] | None:
    """(low, high) after that many tokens, None where nothing is expected."""
    if not self.tokens[0] <= tokens <= self.tokens[-1]:
      return None
    low, high = (float(np.interp(np.log(tokens), np.log(self.tokens), y))
                 for y in (self.low, self.high))
    return low, high

  def judge(self, tokens: float, loss: float) -> str:
    """A warning about the loss; '' inside the band, and on the same side of it
    as before."""
    limits = self.limits(tokens)
    side = '' if limits is None else (
        'above' if loss > limits[1] else 'below' if loss < limits[0] else '')
    new, self.outside = side != self.outside, side
    if not side or not new:
      return ''
    return (f'loss {loss:.4f} is {side} what was expected after {tokens:.3g} '
            f'tokens, {limits[0]:.4f} to {limits[1]:.4f}'
            + (f' ({self.source})' if self.source else ''))


def load_band(path: str) -> LossBand | None:
  """The band in a file; None for no path. Raises BadInput."""
  if not path:
    return None
  if not Path(path).is_file():
    raise BadInput(f'log.loss_band is {path!r}, wanted a JSON file')
  stored = run_dir.read_json(Path(path))
  try:
    columns = [np.asarray(stored[k], np.float64) for k in (
        'tokens', 'low', 'high')]
  except (KeyError, TypeError, ValueError) as e:
    raise BadInput(f'{path} has no band ({type(e).__name__}: {e}), wanted '
                   'lists tokens, low and high') from None
  tokens, low, high = columns
  if tokens.ndim != 1 or len(tokens) < 2 or not (
      tokens.shape == low.shape == high.shape) or not (
      (np.diff(tokens) > 0).all() and tokens[0] > 0 and (low <= high).all()):
    raise BadInput(f'{path}: tokens {tokens.shape}, low {low.shape}, high '
                   f'{high.shape}; wanted two points or more, tokens above 0 '
                   'and rising, low at most high')
  return LossBand(*columns, str(stored.get('from', '')))


def write_band(path: Path, tokens: Sequence[float], low: Sequence[float],
               high: Sequence[float], source: str):
  """Writes a band's file; `source`: what it was predicted from."""
  run_dir.write_json(path, {
      'tokens': np.asarray(tokens).tolist(), 'low': np.asarray(low).tolist(),
      'high': np.asarray(high).tolist(), 'from': source})
