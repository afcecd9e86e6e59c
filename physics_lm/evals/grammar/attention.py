"""Where a model of a grammar attends, and what its states at ends are for.

Part 1 (arXiv 2305.13673), its results on attention. A_ij is the attention of
token i to an earlier token j; the text's first token, which draws much of it,
and i itself are left out. Abar(d) is the mean of A_ij over pairs at distance d,
for each layer and head. Over a set of pairs,

  excess = sum of A_ij / sum of Abar(i - j) - 1

is what attention depends on beyond distance: 0 where it depends on that alone.
Sets of pairs: keys at an offset from an end of a subtree of some level; the
same from queries at such ends; and both at ends of a level, by how many
subtrees of it lie between (1: neighbours). Control: ends drawn at random, as
many. An untrained model attends nearly evenly.

Causal check: in the middle layer the state at a token of one string is replaced
by that at such a token of another, and the change of the law of the next symbol
is measured at later tokens, as its relative entropy KL(before || after); excess
is again beyond what distance alone explains. If ends of subtrees carry what
later ends need, a patch at an end changes the law at ends of the same level.
"""

import dataclasses
import functools
import itertools
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.grammar.string_rows import (
  grammar_of,
  string_rows,
  symbol_ids,
)
from physics_lm.evals.records import Records, row
from physics_lm.model import decoder
from physics_lm.model.config import BY_DISTANCE, ModelConfig

OFFSETS = (-2, -1, 0, 1, 2)  # of a key from an end
SUBTREES = (1, 2, 3)  # from a query's subtree to a key's
DISTANCES = (1, 2, 4, 8, 16, 32)  # lower bounds of the groups
ROWS_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class AttentionEval:
  """Metrics, n strings. share: of a token's attention, by distance group (its
  lower bound), by layer and 'all'; of_distance: share of A's variance that
  Abar explains, by layer; excess of sets of pairs, by level: to_end by offset,
  end_to_end and random (ends at random) by offset, subtrees by their number;
  and of the causal check patch_at_end, patch_elsewhere (mean relative entropy
  at later tokens, nats) and excess of 'patched' pairs, at ends ('end') and at
  other tokens ('other'). Slices: model ('trained', 'untrained'), layer, level,
  pairs, at (the offset, number or distance)."""

  cfg: ModelConfig
  world: Any
  strings: list[np.ndarray]
  rows: dict[str, np.ndarray]
  last: list[np.ndarray]  # of each string: [levels, tokens] ends of subtrees
  subtree: list[np.ndarray]  # [levels, tokens] their numbers
  untrained: jax.Array  # key of its parameters
  patches: int  # of each string, level and kind

  def __call__(self, params: dict, step: int | None = None) -> Records:
    made = jax.jit(lambda: decoder.init(self.cfg, self.untrained))()
    rows, raw = [], []
    for model, weights in (('trained', params), ('untrained', made)):
      A = self._attention(weights)
      rows += self._attention_rows(A, model)
      rows += self._patch_rows(weights, model)
      if model == 'trained':
        raw = [{'string': i, 'tokens': len(s)}
               for i, s in enumerate(self.strings)]
    return Records(rows, raw)

  def _row(self, metric: str, value: float, model: str, layer='all',
           level='all', pairs='all', at='all') -> dict:
    return row(metric, value, len(self.strings), model=model, layer=layer,
               level=level, pairs=pairs, at=at)

  def _batches(self):
    """(indices, rows) of ROWS_AT_ONCE strings each, the last ones repeated."""
    for at in range(0, len(self.strings), ROWS_AT_ONCE):
      part = np.arange(at, at + ROWS_AT_ONCE) % len(self.strings)
      yield part, {k: x[part] for k, x in self.rows.items()}

  def _attention(self, params: dict) -> np.ndarray:
    """A [strings, L, N, T, T] of the strings' own tokens."""
    out = [np.asarray(attention_weights(params, batch, self.cfg))
           for _, batch in self._batches()]
    return np.concatenate(out)[:len(self.strings), ..., 1:, 1:]

  def _attention_rows(self, A: np.ndarray, model: str) -> list[dict]:
    """Rows of `share`, `of_distance` and `excess`."""
    T, length = A.shape[-1], np.array([len(s) for s in self.strings])
    i, j = np.tril_indices(T, -1)
    real = i < length[:, None]  # [strings, pairs]
    a = A[..., i, j] * real[:, None, None]  # [strings, L, N, pairs]
    count = np.bincount(i - j, real.sum(0), T)
    total = np.stack([np.bincount(i - j, x, T) for x in a.sum(0).reshape(
        -1, len(i))]).reshape(*a.shape[1:3], T)
    mean = total / np.maximum(count, 1)  # [L, N, distances]
    expected = mean[..., i - j]
    rows = []
    edges = (*DISTANCES, T + 1)
    for layer, of_layer in enumerate((*total.mean(1), total.mean((0, 1)))):
      name = layer if layer < self.cfg.depth else 'all'
      for low, high in itertools.pairwise(edges):
        rows.append(self._row('share', of_layer[low:high].sum() / max(
            of_layer.sum(), 1e-12), model, layer=name, at=low))
    rest = ((a - expected * real[:, None, None])**2).sum((0, 3))
    centre = (a.sum((0, 3)) / real.sum())[..., None]
    spread = (((a - centre) * real[:, None, None])**2).sum((0, 3))
    for layer, x in enumerate(1 - rest.sum(1) / np.maximum(
        spread.sum(1), 1e-12)):
      rows.append(self._row('of_distance', x, model, layer=layer))
    both = a.sum((1, 2)), expected.sum((0, 1)) * real  # over layers, heads
    for level, sets in self._pair_sets(i, j, real).items():
      rows += [self._row('excess', both[0][s].sum() / both[1][s].sum() - 1,
                         model, level=level, pairs=pairs, at=at)
               for (pairs, at), s in sets.items() if both[1][s].sum() > 0]
    return rows

  def _pair_sets(self, i: np.ndarray, j: np.ndarray, real: np.ndarray
                 ) -> dict[int, dict]:
    """{level: {(pairs, at): mask [strings, pairs]}}."""
    T, out = i.max() + 1, {}
    for level in range(len(self.last[0])):
      last, random = np.zeros((2, len(self.strings), T + 4), bool)
      subtree = np.zeros((len(self.strings), T), int)
      for b, (ends, numbers) in enumerate(zip(self.last, self.subtree)):
        n = ends.shape[1]
        last[b, 2:2 + n], subtree[b, :n] = ends[level], numbers[level]
        random[b, 2:2 + n] = np.random.default_rng(b).permutation(ends[level])
      own = last[:, 2:-2]
      sets = {}
      for offset in OFFSETS:
        to_end = last[:, j + 2 - offset] & real
        sets['to_end', offset] = to_end
        sets['end_to_end', offset] = to_end & own[:, i]
        sets['random', offset] = random[:, j + 2 - offset] & real
      apart = subtree[:, i] - subtree[:, j]
      for number in SUBTREES:
        sets['subtrees', number] = own[:, i] & own[:, j] & real & (
            apart == number)
      out[level + 1] = sets
    return out

  def _patch_rows(self, params: dict, model: str) -> list[dict]:
    """Rows of the causal check: `patches` for each string, level and kind."""
    rows, count = [], len(self.strings)
    clean = self._laws(params, np.full(count, -1), np.zeros(count, int))
    for level in range(len(self.last[0])):
      for pairs, wanted in (('end', True), ('other', False)):
        distance, x, target = np.concatenate([
            self._patched(params, clean, level, wanted, k)
            for k in range(self.patches)], 1)
        distance, target = distance.astype(int), target.astype(bool)
        mean = np.bincount(distance, x) / np.maximum(np.bincount(distance), 1)
        name = 'patch_at_end' if wanted else 'patch_elsewhere'
        rows.append(self._row(name, x.mean(), model, level=level + 1))
        expected = mean[distance[target]].sum()
        if expected > 0:  # one layer: no later token reads the patched state
          rows.append(self._row('excess', x[target].sum() / expected - 1, model,
                                level=level + 1, pairs='patched', at=pairs))
    return rows

  def _patched(self, params: dict, clean: np.ndarray, level: int, wanted: bool,
               k: int) -> np.ndarray:
    """[3, pairs] of the k-th patch of every string, its donor the k + 1st
    string before, and each later token: the distance from the patch, the
    change of its law in nats, whether it is an end of the level."""
    count = len(self.strings)
    at = np.array([_pick(last[level] == wanted, (b, k))
                   for b, last in enumerate(self.last)])
    kl = relative_entropy_of_logs(clean, self._laws(
        params, at, np.roll(np.arange(count), 1 + k % (count - 1))))
    token = np.arange(kl.shape[1])
    b, i = np.nonzero((token > at[:, None]) & (at[:, None] > 0) & (
        token <= np.array([[len(s)] for s in self.strings])))
    target = [self.last[s][level, t - 1] for s, t in zip(b, i)]
    return np.stack([i - at[b], kl[b, i], target])

  def _laws(self, params: dict, at: np.ndarray, donor: np.ndarray
            ) -> np.ndarray:
    """log p [strings, T, V] of the next token, where the middle state at token
    at[b] (-1: none) is that of string donor[b] at its own at[donor[b]]."""
    out = []
    for part, batch in self._batches():
      out.append(np.asarray(patched_laws(
          params, batch, {k: x[donor[part]] for k, x in self.rows.items()},
          at[part], at[donor[part]], self.cfg)))
    return np.concatenate(out)[:len(self.strings)]


def _pick(allowed: np.ndarray, seed: tuple[int, int]) -> int:
  """The token (from 1) of one of the allowed symbols but the last one; -1 where
  there is none."""
  found = np.flatnonzero(allowed[:-1])
  return int(np.random.default_rng(seed).choice(found)) + 1 if (
      len(found)) else -1


def relative_entropy_of_logs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """KL(exp a || exp b) over the last axis, nats."""
  a, b = a.astype(np.float64), b.astype(np.float64)
  return np.maximum((np.exp(a) * (a - b)).sum(-1), 0)


def _layers(params: dict, cfg: ModelConfig) -> list[dict]:
  return [jax.tree.map(operator.itemgetter(i), params['layers'])
          for i in range(cfg.depth)]


@functools.partial(jax.jit, static_argnames='cfg')
def attention_weights(params: dict, batch: dict, cfg: ModelConfig
                      ) -> jax.Array:
  """Attention of every token to those up to it, [B, L, N, T, T], of models
  whose attention is a softmax of products of queries and keys."""
  x_BTD = decoder.EmbedUnembed(cfg).apply(
      {'params': params['ends']}, batch['tokens'], batch['positions'],
      method='embed')
  T, out = batch['tokens'].shape[1], []
  mask_BTS = jnp.tri(T, dtype=bool)[None] & (
      batch['segments'][:, :, None] == batch['segments'][:, None])
  for weights in _layers(params, cfg):
    (x_BTD, _), kept = decoder.Block(cfg).apply(
        {'params': weights}, x_BTD, batch['segments'], batch['positions'],
        mutable=['states'])
    q_BTNH, k_BSKH = (kept['states'][k][0] for k in ('query', 'key'))
    k_BSNH = jnp.repeat(k_BSKH, cfg.heads // cfg.kv_heads, 2)
    logits = jnp.einsum('BTNH,BSNH->BNTS', q_BTNH, k_BSNH).astype(
        jnp.float32) * cfg.head**-0.5
    out.append(jax.nn.softmax(jnp.where(mask_BTS[:, None], logits, -1e30)))
  return jnp.stack(out, 1)


@functools.partial(jax.jit, static_argnames='cfg')
def patched_laws(params: dict, batch: dict, donor: dict, at_B: jax.Array,
                 from_B: jax.Array, cfg: ModelConfig) -> jax.Array:
  """log p [B, T, V] of the next token, where the state before the middle layer
  at token at_B of each row (none where at_B or from_B is negative) is that of
  the donor's row at token from_B."""
  layers, ends = _layers(params, cfg), {'params': params['ends']}
  block, embed = decoder.Block(cfg), decoder.EmbedUnembed(cfg)

  def through(x_BTD, rows, part):
    for weights in part:
      x_BTD, _ = block.apply({'params': weights}, x_BTD, rows['segments'],
                             rows['positions'])
    return x_BTD

  middle = max(cfg.depth // 2, 1)
  x_BTD, other_BTD = (through(embed.apply(
      ends, rows['tokens'], rows['positions'], method='embed'), rows,
      layers[:middle]) for rows in (batch, donor))
  new_BD = jnp.take_along_axis(
      other_BTD, jnp.maximum(from_B, 0)[:, None, None], 1)[:, 0]
  here_BT = (jnp.arange(x_BTD.shape[1]) == at_B[:, None]) & (
      from_B >= 0)[:, None]
  x_BTD = jnp.where(here_BT[..., None], new_BD[:, None], x_BTD)
  h_BTD, table_VD = embed.apply(ends, through(x_BTD, batch, layers[middle:]),
                                method='last')
  return jax.nn.log_softmax(
      jnp.einsum('BTD,VD->BTV', h_BTD, table_VD).astype(jnp.float32))


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> AttentionEval:
  """Attention on the first spec.num_problems strings of the split 'test', with
  spec.num_samples patches of each. Raises BadInput."""
  world, count = grammar_of(data, spec.world), spec.num_problems
  if count < 2 or len(world.levels) < 2:
    raise BadInput(f'evals: {count} strings of a grammar of '
                   f'{len(world.levels)} levels, wanted at least 2 and 2')
  if config.model.positions in BY_DISTANCE:
    raise BadInput(f'evals: model.positions is {config.model.positions}: '
                   'attention depends on distance alone, wanted rotary or '
                   'absolute')
  trees = [world.tree('test', i) for i in range(count)]
  strings = [t.symbols[-1] for t in trees]
  return AttentionEval(
      teacher_forcing.evaluated_model(config, data), world, strings,
      string_rows(symbol_ids(data, world), strings, world.longest + 1),
      [t.is_last[1:-1] for t in trees], [t.subtrees[1:-1] for t in trees],
      jax.random.key(config.seed.init + 1), spec.num_samples)
