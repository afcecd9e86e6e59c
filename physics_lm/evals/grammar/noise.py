"""A model of partly corrupted strings, against the best predictor of them.

Part 1 (arXiv 2305.13673), its results on robustness: a model that is trained on
clean and corrupted strings is said to switch between a correct and an erroneous
mode. The best predictor of such a mixture does (worlds/grammar.py): it mixes
the laws of both kinds by the probability that this string is corrupted, and a
symbol that no string of the grammar has there settles that. So the switch
itself needs no explanation; what is left to measure is how near a model is.

On corrupted test strings (noise of terminals), before ('before') and after the
first such symbol: the relative entropy of the best predictor to the model, and
the mass that each of them puts on symbols which cannot follow the string as it
was before the noise ('error_mass').
"""

import dataclasses
import functools
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.exact.markov import log_probabilities, relative_entropy
from physics_lm.evals.grammar.string_rows import (
  charts_at_once,
  grammar_of,
  string_rows,
  symbol_ids,
)
from physics_lm.evals.records import Records, row
from physics_lm.model.config import ModelConfig


@dataclasses.dataclass(frozen=True)
class NoiseEval:
  """Metrics a token, n strings: kl (law 'model'; nats, where the best
  predictor allows the symbols so far), error_mass (law 'model', 'exact') and
  posterior (law 'exact': the probability that the string is corrupted). Slices:
  law, errors ('before', 'after' the first symbol that shows noise)."""

  cfg: ModelConfig
  batch_size: int
  ids: np.ndarray
  world: Any
  clean: list[np.ndarray]
  read: list[np.ndarray]
  rows: dict[str, np.ndarray]

  def __call__(self, params: dict, step: int | None = None) -> Records:
    made, = teacher_forcing.in_batches(functools.partial(
        log_probabilities, params, cfg=self.cfg, ids=self.ids), self.rows,
        self.batch_size)
    own = np.concatenate([made[i, :len(s) + 1] for i, s in enumerate(
        self.read)]).astype(np.float64)
    law, after, impossible, posterior = self._exact
    possible = law.any(-1)
    kl = relative_entropy(law, own)
    values = {('kl', 'model'): kl, ('error_mass', 'model'): (
        np.exp(own) * impossible).sum(-1), ('error_mass', 'exact'): (
            law * impossible).sum(-1), ('posterior', 'exact'): posterior}
    rows = []
    for errors, group in (('before', ~after), ('after', after)):
      for (metric, name), x in values.items():
        here = group & (possible | (name == 'model') & (metric != 'kl'))
        if here.any():
          rows.append(row(metric, x[here].mean(), len(self.read), law=name,
                          errors=errors))
    text = np.repeat(np.arange(len(self.read)), [len(s) + 1 for s in self.read])
    raw = [{'string': i, 'tokens': len(s) + 1, 'error_mass': float(
        values['error_mass', 'model'][text == i].mean())}
           for i, s in enumerate(self.read)]
    return Records(rows, raw)

  @functools.cached_property
  def _exact(self) -> tuple[np.ndarray, ...]:
    """Of every token: the best predictor's law, whether noise has shown before
    it, which symbols cannot stand there without noise, the posterior."""
    parts = []
    few = charts_at_once(self.world)
    for at in range(0, len(self.read), few):
      read, clean = (x[at:at + few]
                     for x in (self.read, self.clean))
      laws, known = self.world.laws(read), self.world.laws(read, 0.0)
      without, rho = self.world.laws(clean, 0.0), self.world.posterior(read)
      for i, s in enumerate(read):
        to = len(s) + 1
        parts.append((laws[i, :to], ~known[i, :to].any(-1),
                      without[i, :to] == 0, rho[i, :to]))
    return tuple(np.concatenate(x) for x in zip(*parts))


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> NoiseEval:
  """The first spec.num_problems strings of the split 'test', corrupted. Raises
  BadInput."""
  world = grammar_of(data, spec.world)
  if not world.noise_rate or world.noise_level != len(world.levels):
    raise BadInput("evals: kind 'grammar_noise', wanted a grammar with noise "
                   'of terminals (noise above 0, noise_level 0)')
  if spec.num_problems < 1:
    raise BadInput(f'evals: num_problems is {spec.num_problems}, wanted at '
                   'least 1')
  indices = range(spec.num_problems)
  read = [world.corrupted_string('test', i) for i in indices]
  ids = symbol_ids(data, world)
  return NoiseEval(
      teacher_forcing.evaluated_model(config, data), config.data.batch_size,
      ids, world, [world.clean_string('test', i) for i in indices], read,
      string_rows(ids, read, world.longest + 1))
