"""Linear probes of a grammar's tree, against what can be known exactly.

Part 1 (arXiv 2305.13673), its results on hidden states. From the frozen state
at a token, linear softmax maps predict, for every level between root and
tokens, whether the token is the last of its subtree ('end') and, at the true
ends, the subtree's symbol ('symbol'). States are whitened, which changes no
optimum of a linear map; half of the strings train the maps, the others test.

A causal model knows the symbols so far. Given those, the probability that a
subtree of some symbol ends here is known (worlds/grammar.py: end_laws): the
model 'exact', which no probe at one position can beat. Controls: an untrained
model, the same maps of the last WINDOW tokens ('window': what needs no model),
and the most frequent class. Most tokens end nothing, so accuracy tells little
of ends: use f1 or the log score.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.grammar.string_rows import (
  charts_at_once,
  grammar_of,
  string_rows,
  symbol_ids,
)
from physics_lm.evals.records import Records, row
from physics_lm.model import decoder
from physics_lm.model.config import ModelConfig

TASKS = ('end', 'symbol')
WINDOW = 8  # tokens
STEPS, RATE = 200, 0.05  # of Adam on all training tokens; falls linearly to 0


@dataclasses.dataclass(frozen=True)
class TreeProbe:
  """Metrics of each task, level and model, n test strings: accuracy, log_score
  (mean log-probability of the truth, nats, at most 0), of ends also f1; and
  majority_baseline (model 'all'). Slices: task, level (1: below the root),
  model ('trained', 'untrained', 'window', 'exact') and layer (of a trained or
  untrained model: those below the state; else 'all')."""

  cfg: ModelConfig
  batch_size: int
  world: Any
  strings: list[np.ndarray]
  rows: dict[str, np.ndarray]
  labels: dict[str, np.ndarray]  # of TASKS, [levels, tokens]
  untrained: jax.Array  # key of its parameters

  def __call__(self, params: dict, step: int | None = None) -> Records:
    log_p = self._probes(self._states(params))
    rows, raw = list(self._controls), []
    for layer, of_layer in enumerate(log_p):
      rows += self._rows(of_layer, 'trained', layer)
    hits = log_p[-1, 0].argmax(-1) == self.labels['end'][:, self._test]
    text_N = self._text[self._test]
    for i in np.unique(text_N):
      here = hits[:, text_N == i]
      raw.append({'string': int(i), 'tokens': here.shape[1], 'correct_ends': [
          int(x) for x in here.sum(1)]})
    return Records(rows, raw)

  @functools.cached_property
  def _text(self) -> np.ndarray:
    """The string of each token."""
    return np.repeat(np.arange(len(self.strings)), [*map(len, self.strings)])

  @functools.cached_property
  def _test(self) -> np.ndarray:
    """Which tokens test: those of the second half of the strings."""
    return self._text >= len(self.strings) // 2

  @functools.cached_property
  def _controls(self) -> list[dict]:
    """Rows of what does not depend on the parameters."""
    made = jax.jit(lambda: decoder.init(self.cfg, self.untrained))()
    rows, n = [], len(self.strings) - len(self.strings) // 2
    log_p = self._probes(self._states(made))
    for layer, of_layer in enumerate(log_p):
      rows += self._rows(of_layer, 'untrained', layer)
    rows += self._rows(self._probes(window_features(self.strings, (
        self.world.terminals))[None])[0], 'window')
    rows += self._rows(self._exact(), 'exact')
    for task in TASKS:
      for level, label in enumerate(self._truth(task), 1):
        rows.append(row('majority_baseline', np.bincount(
            label).max() / len(label), n, task=task, level=level, model='all',
            layer='all'))
    return rows

  def _states(self, params: dict) -> np.ndarray:
    """States before each layer and after the last, [L + 1, tokens, D]."""
    made, = teacher_forcing.in_batches(functools.partial(
        residual_stream, params, cfg=self.cfg), self.rows, self.batch_size)
    return np.concatenate([made[i, 1:1 + len(s)] for i, s in enumerate(
        self.strings)]).swapaxes(0, 1)

  def _probes(self, h_LND: np.ndarray) -> np.ndarray:
    """log p [L, tasks, levels, test tokens, classes] of probes of L layers."""
    train = ~self._test
    label = np.stack([self.labels[t] for t in TASKS])
    used = np.stack([np.ones_like(self.labels['end']), self.labels['end']])
    classes = max(2, self.world.terminals)
    return np.asarray(fit_and_predict(
        h_LND[:, train], h_LND[:, self._test], label[..., train],
        used[..., train], np.array([2, self.world.terminals]), classes))

  def _exact(self) -> np.ndarray:
    """log p [tasks, levels, test tokens, classes] given the symbols so far."""
    strings = self.strings[len(self.strings) // 2:]
    parts = []
    few = charts_at_once(self.world)
    for at in range(0, len(strings), few):
      some = strings[at:at + few]
      laws = np.stack(self.world.end_laws(some))
      parts += [laws[:, i, 1:1 + len(s)] for i, s in enumerate(some)]
    p = np.concatenate(parts, 1)  # [levels, tokens, symbols]
    end, classes = p.sum(-1), max(2, self.world.terminals)
    out = np.zeros((2, *p.shape[:2], classes))
    out[0, ..., 0], out[0, ..., 1] = 1 - end, end
    out[1, ..., :p.shape[-1]] = p / np.maximum(end, 1e-12)[..., None]
    return np.log(np.maximum(out, 1e-12))

  def _truth(self, task: str) -> list[np.ndarray]:
    """The labels of a task's test tokens at each level."""
    end = self.labels['end'][:, self._test]
    label = self.labels[task][:, self._test]
    return list(label) if task == 'end' else [
        own[e == 1] for own, e in zip(label, end)]

  def _rows(self, log_p: np.ndarray, model: str, layer: int | str = 'all'
            ) -> list[dict]:
    """Rows of predictions log p [tasks, levels, test tokens, classes]."""
    rows, n = [], len(self.strings) - len(self.strings) // 2
    end = self.labels['end'][:, self._test]
    for task, of_task in zip(TASKS, log_p):
      for level, (label, p) in enumerate(zip(self._truth(task), of_task), 1):
        p = p if task == 'end' else p[end[level - 1] == 1]
        guess, values = p.argmax(-1), {}
        values['accuracy'] = (guess == label).mean()
        values['log_score'] = np.take_along_axis(
            p, label[:, None], 1).mean(dtype=np.float64)
        if task == 'end':
          values['f1'] = 2 * (guess & label).sum() / max(
              guess.sum() + label.sum(), 1)
        rows += [row(k, v, n, task=task, level=level, model=model, layer=layer)
                 for k, v in values.items()]
    return rows


@functools.partial(jax.jit, static_argnames='cfg')
def residual_stream(params: dict, batch: dict, cfg: ModelConfig
                    ) -> tuple[jax.Array]:
  """States before each layer and after the last, [B, T, L + 1, D]."""
  _, stream = decoder.forward(params, batch['tokens'], cfg, batch['segments'],
                              batch['positions'], taps=True)
  return stream.transpose(1, 2, 0, 3).astype(jnp.float32),


def whitening(h_ND: jax.Array) -> tuple[jax.Array, jax.Array]:
  """(mean [D], matrix [D, D]) that give states zero mean and unit covariance;
  directions that hardly vary are left small."""
  mean_D = h_ND.mean(0)
  scale_D = h_ND.std(0) + 1e-6
  x_ND = (h_ND - mean_D) / scale_D
  value_D, vector_DD = jnp.linalg.eigh(x_ND.T @ x_ND / len(x_ND))
  return mean_D, (vector_DD / scale_D[:, None]) / jnp.sqrt(
      jnp.maximum(value_D, 0) + 1e-4)


@functools.partial(jax.jit, static_argnames='classes')
def fit_and_predict(train_LND: jax.Array, test_LND: jax.Array,
                    label_AKN: jax.Array, used_AKN: jax.Array,
                    count_A: jax.Array, classes: int) -> jax.Array:
  """Log-probabilities of linear softmax maps on new states.

  Args:
    train_LND, test_LND: states of L layers.
    label_AKN: classes of the training tokens, of A tasks and K levels.
    used_AKN: 1 for tokens that train a map, else 0.
    count_A: classes of each task, of `classes`.

  Returns:
    [L, A, K, test tokens, classes]
  """
  mean_LD, map_LDD = jax.vmap(whitening)(train_LND)

  def white(h_LND):
    return jnp.einsum('LND,LDE->LNE', h_LND - mean_LD[:, None], map_LDD)

  x_LND = white(train_LND)
  target = jax.nn.one_hot(label_AKN, classes) * used_AKN[..., None] / (
      jnp.maximum(used_AKN.sum(-1), 1)[..., None, None])
  closed_AC = jnp.where(jnp.arange(classes) < count_A[:, None], 0.0, -1e9)
  L, _, D = x_LND.shape
  shape = L, *label_AKN.shape[:2], classes
  w = jnp.zeros((L, *shape[1:3], D, classes)), jnp.zeros(shape)
  tx = optax.adam(optax.linear_schedule(RATE, 0, STEPS))

  def log_p(w, x_LND):
    logits = jnp.einsum('LND,LAKDC->LAKNC', x_LND, w[0]) + w[1][..., None, :]
    return jax.nn.log_softmax(logits + closed_AC[:, None, None])

  def step(carry, _):
    w, opt = carry
    grad = jax.grad(lambda w: -(log_p(w, x_LND) * target).sum())(w)
    updates, opt = tx.update(grad, opt, w)
    return (optax.apply_updates(w, updates), opt), None

  (w, _), _ = jax.lax.scan(step, (w, tx.init(w)), None, STEPS)
  return log_p(w, white(test_LND))


def window_features(strings: list[np.ndarray], terminals: int) -> np.ndarray:
  """One-hot features of the last WINDOW tokens, of all tokens of strings:
  [tokens, WINDOW * (terminals + 1)]; the last class is what precedes a
  string."""
  rows = []
  for s in strings:
    before = np.concatenate([np.full(WINDOW - 1, terminals), s])
    at = np.arange(len(s))[:, None] + np.arange(WINDOW)
    rows.append(np.eye(terminals + 1, dtype=np.float32)[before[at]].reshape(
        len(s), -1))
  return np.concatenate(rows)


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> TreeProbe:
  """Probes on the first spec.num_problems strings of the split 'test'. Raises
  BadInput."""
  world, count = grammar_of(data, spec.world), spec.num_problems
  if count < 4 or len(world.levels) < 2 or world.corrupted:
    raise BadInput(
        f'evals: {count} strings of a grammar of {len(world.levels)} levels, '
        f'{world.corrupted} of them corrupted, wanted at least 4, 2 levels and '
        'none')
  trees = [world.tree('test', i) for i in range(count)]
  strings = [t.symbols[-1] for t in trees]
  labels = {
      'end': np.concatenate([t.is_last[1:-1] for t in trees], 1).astype(int),
      'symbol': np.concatenate([t.symbols[1:-1] for t in trees], 1)}
  return TreeProbe(
      teacher_forcing.evaluated_model(config, data), config.data.batch_size,
      world, strings, string_rows(symbol_ids(data, world), strings,
                                  world.longest + 1), labels,
      jax.random.key(config.seed.init + 1))
