"""Strings that a model samples, against the grammar (Part 1, arXiv 2305.13673).

A sample begins with nothing, or continues the first symbols of a string of the
split 'test', a fifth of the mean length of them (the paper's 50 of some 250).
It is valid when the parser accepts it. Low temperature hides a wrong law, and
so do valid strings that are always the same: the reverse relative entropy of
the law of valid samples q(x | valid) to the grammar's P,

  mean over valid samples of log q(x) - log P(x), less log of their share,

is 0 for the grammar's law alone. P is exact.

Prefixes of kind 'corrupted' begin with symbols that no string of the grammar
begins with (worlds/grammar.py: noise of terminals). Such a sample counts as
valid when its rest completes the prefix as it was before the noise: the paper
corrects prefixes likewise, as far as we know. The best predictor of a mixture
with corrupted strings goes on with noise itself: rows of the law 'exact' are of
samples from it.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.grammar.string_rows import (
  charts_at_once,
  grammar_of,
  string_rows,
  symbol_ids,
)
from physics_lm.evals.records import Records, accuracy_row, row
from physics_lm.model import decode
from physics_lm.model.config import ModelConfig

PREFIXES = ('none', 'clean', 'corrupted')
SAMPLES_AT_ONCE = 128
SEARCH = 50  # strings looked at for each prefix that is wanted


@dataclasses.dataclass(frozen=True)
class SamplingEval:
  """Metrics, n samples: valid (share), ended (share, within the longest
  string); and of the valid ones, n of them: distinct (share), surprisal (mean
  -log P a token, the end counted) and reverse_kl (nats a token; without
  prefixes, of the model, at temperature 1). Slices: prefix (PREFIXES) and law
  ('model', or 'exact': where the world has corrupted strings)."""

  cfg: ModelConfig
  batch_size: int
  entries: int  # of the vocabulary
  world: Any
  ids: np.ndarray
  how: decode.DecodingMethod
  prefixes: dict[str, tuple]  # kind: (before noise, as they are read)

  def __call__(self, params: dict, step: int | None = None) -> Records:
    rows, raw, longest = [], [], self.world.longest
    for kind, (clean, read) in self.prefixes.items():
      made = decode.generate(
          params, self.cfg, [[vocabs.EOS, *self.ids[p]] for p in read],
          longest + 1, self.how, entries=self.entries,
          batch=min(len(read), SAMPLES_AT_ONCE),
          width=1 + max(len(p) for _, r in self.prefixes.values() for p in r))
      texts = [self._continued(c, ids) for c, ids in zip(clean, made)]
      more = self._rows(texts, kind, 'model', params)
      rows += more[0]
      raw += more[1]
      if self.world.corrupted and (kind != 'corrupted' or
                                   self.world.corrupted < 1):
        exact = exact_samples(self.world, kind, len(read),
                              self.how.temperature)
        rows += self._rows(exact, kind, 'exact')[0]
    return Records(rows, raw)

  def _continued(self, prefix: np.ndarray, ids: list[int]) -> np.ndarray | None:
    """The text of a prefix and generated tokens; None where these did not end
    or are no symbols."""
    known = {int(t): a for a, t in enumerate(self.ids[:-1])}
    rest = [known.get(t, -1) for t in ids]
    if -1 in rest or len(prefix) + len(rest) > self.world.longest:
      return None
    return np.array([*prefix, *rest], np.int64)

  def _rows(self, texts: Sequence[np.ndarray | None], kind: str, law: str,
            params: dict | None = None) -> tuple[list[dict], list[dict]]:
    """The rows and raw outcomes of texts."""
    slices, n = {'prefix': kind, 'law': law}, len(texts)
    logp = clean_logp(self.world, texts)
    valid = np.isfinite(logp)
    rows = [accuracy_row('valid', range(n), valid, **slices),
            row('ended', np.mean([t is not None for t in texts]), n, **slices)]
    good = [t for t, ok in zip(texts, valid) if ok]
    if good:
      tokens = sum(len(t) + 1 for t in good)
      rows += [row('distinct', len({t.tobytes() for t in good}) / len(good),
                   len(good), **slices),
               row('surprisal', -logp[valid].sum() / tokens, len(good),
                   **slices)]
      if (law, kind, self.how.temperature) == ('model', 'none', 1):
        gap = self._model_logp(params, good) - logp[valid]
        rows.append(row('reverse_kl', (gap.mean() - np.log(valid.mean()))
                        * len(good) / tokens, len(good), **slices))
    return rows, [{'prefix': kind, 'sample': i, 'valid': bool(ok), 'text': (
        '' if t is None else ' '.join(map(str, t)))}
                  for i, (t, ok) in enumerate(zip(texts, valid))]

  def _model_logp(self, params: dict, texts: list[np.ndarray]) -> np.ndarray:
    """The model's log-probability of each text and its end, nats."""
    nll, _ = teacher_forcing.outcomes(
        params, string_rows(self.ids, texts, self.world.longest + 1), self.cfg,
        self.batch_size)
    return -np.array([x[:len(t) + 1].sum(dtype=np.float64)
                      for x, t in zip(nll, texts)])


@functools.lru_cache(8)
def exact_samples(world: Any, kind: str, count: int, temperature: float
                  ) -> list[np.ndarray | None]:
  """Texts of the exact law of the world's strings, made as a model's are; None
  where one did not end."""
  clean, read = beginnings(world, kind, count)
  rng, made = np.random.default_rng(0), []
  for at in range(0, count, SAMPLES_AT_ONCE):
    made += world.sample(read[at:at + SAMPLES_AT_ONCE], rng, temperature)
  return [None if s is None else np.array([*p, *s[len(p):]], np.int64)
          for p, s in zip(clean, made)]


def clean_logp(world: Any, texts: Sequence[np.ndarray | None]) -> np.ndarray:
  """log P of each text by the grammar without noise, nats; -inf for None. The
  longest take most of the time: texts of one length go together."""
  out = np.full(len(texts), -np.inf)
  order = sorted((i for i, t in enumerate(texts) if t is not None),
                 key=lambda i: len(texts[i]))
  few = charts_at_once(world)
  for at in range(0, len(order), few):
    part = order[at:at + few]
    out[part] = world.logp([texts[i] for i in part], 0.0)
  return out


def beginnings(world: Any, kind: str, count: int) -> tuple[list, list]:
  """(the prefixes before noise, as they are read) of a kind, `count` of them.
  Raises BadInput where the world makes no such prefixes."""
  if kind == 'none':
    return ([np.zeros(0, np.int64)] * count,) * 2
  cut = round(world.mean_length / 5)
  if kind == 'clean':
    found = [world.clean_string('test', i)[:cut] for i in range(count)]
    return found, found
  if not world.noise_rate or world.noise_level != len(world.levels):
    raise BadInput("evals: prefixes are 'corrupted', wanted a grammar with "
                   'noise of terminals (noise above 0, noise_level 0)')
  clean, read = [], []
  for at in range(0, SEARCH * count, SAMPLES_AT_ONCE):
    indices = range(at, at + SAMPLES_AT_ONCE)
    own = [world.clean_string('test', i)[:cut] for i in indices]
    noisy = [world.corrupted_string('test', i)[:cut] for i in indices]
    lost = ~world.laws(noisy, 0.0)[
        np.arange(len(noisy)), [len(s) for s in noisy]].any(-1)
    clean += [s for s, x in zip(own, lost) if x]
    read += [s for s, x in zip(noisy, lost) if x]
    if len(read) >= count:
      return clean[:count], read[:count]
  raise BadInput(f'evals: noise of {world.noise_rate} makes too few prefixes '
                 'that no string begins with, wanted more noise')


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> SamplingEval:
  """spec.num_problems samples of each kind of spec.prefixes, by spec.decode.
  Raises BadInput."""
  how = decode.decoding_method(spec.decode)
  if not how.temperature:
    raise BadInput(f'evals: decode is {spec.decode!r}, wanted sample or '
                   'sample:TEMPERATURE')
  world, kinds = grammar_of(data, spec.world), spec.prefixes.split(',')
  for kind in kinds:
    if kind not in PREFIXES:
      raise BadInput(f'evals: a prefix is {kind!r}, wanted some of '
                     f'{", ".join(PREFIXES)}')
  if spec.num_problems < 1:
    raise BadInput(f'evals: num_problems is {spec.num_problems}, wanted at '
                   'least 1')
  made = SamplingEval(
      teacher_forcing.evaluated_model(config, data), config.data.batch_size,
      len(data.vocab), world, symbol_ids(data, world), how, {
          kind: beginnings(world, kind, spec.num_problems) for kind in kinds})
  decode.check_continuations(made.cfg, [[vocabs.EOS, *p] for _, read in (
      made.prefixes.values()) for p in read], world.longest + 1)
  return made
