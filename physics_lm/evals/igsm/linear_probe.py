"""Linear probes of the state at the end of the text, for all names at once.

The tasks, queries, controls and rows are those of v_probe.py, but nothing is
appended to the text: where a V-probe reads the state behind an appended name,
here the state at the last token that is read (before the solution: the token
before its first one) has a head for each name and layer. So a correct
prediction was computed before anything asked for it. Names must be tokens of
their own: the compact rendering (worlds/igsm/compact.py).
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals.igsm import v_probe
from physics_lm.model import decoder
from physics_lm.model.config import ModelConfig

TASKS = tuple(t for t in v_probe.TASKS if t != 'dep')  # of one name
EPOCHS = 5  # passes over the training queries


@functools.partial(jax.jit, static_argnames='cfg')
def _states(params: dict, tokens_BT: jax.Array, at_BE, cfg):
  _, _, stream_LBTD, _ = decoder.hidden_states(params, tokens_BT, cfg,
                                               taps=True)
  h_LBED = stream_LBTD[:, jnp.arange(len(at_BE))[:, None], at_BE]
  return jnp.moveaxis(v_probe.standardized(h_LBED), 0, 2).reshape(
      *at_BE.shape, -1)


def layer_states(params: dict, cfg: ModelConfig, texts: Sequence,
                 positions: Sequence[list[int]], batch: int) -> np.ndarray:
  """States of all layers at the positions of each text, concatenated,
  [positions, (L + 1) D]."""
  out, most = [], -(-max(1, *map(len, positions)) // 8) * 8  # few shapes
  length = -(-max(map(len, texts)) // 64) * 64
  for start in range(0, len(texts), batch):
    tokens, at = np.zeros((batch, length), np.int32), np.zeros(
        (batch, most), np.int32)
    part = positions[start:start + batch]
    for i, (ids, here) in enumerate(zip(texts[start:start + batch], part)):
      tokens[i, :len(ids)], at[i, :len(here)] = ids, here
    h_BEF = np.asarray(_states(params, tokens, at, cfg))
    out += [h_BEF[i, :len(here)] for i, here in enumerate(part)]
  return np.concatenate(out)


@functools.partial(jax.jit, static_argnames='balanced')
def logistic(x_NF: jax.Array, y_N: jax.Array, balanced: bool = False
             ) -> tuple[jax.Array, jax.Array]:
  """(weights, bias) of a logistic regression with weight decay: 500 steps of
  Adam on all samples. `balanced`: both labels weigh the same in total, so that
  a rare one is predicted, too."""
  tx = optax.adamw(0.01, weight_decay=0.01)
  w = jnp.zeros(x_NF.shape[1]), jnp.float32(0)
  share = jnp.where(y_N > 0, y_N.mean(), 1 - y_N.mean())
  weight_N = 0.5 / share if balanced else jnp.ones_like(share)

  def loss(w):
    return (weight_N * optax.sigmoid_binary_cross_entropy(
        x_NF @ w[0] + w[1], y_N)).mean()

  def step(carry, _):
    w, opt = carry
    updates, opt = tx.update(jax.grad(loss)(w), opt, w)
    return (optax.apply_updates(w, updates), opt), None

  return jax.lax.scan(step, (w, tx.init(w)), None, 500)[0][0]


def query_states(params: dict, cfg: ModelConfig,
                 part: Sequence[v_probe.ProbeQuery], batch: int) -> np.ndarray:
  """Standardised states before each layer and after the last, at the last
  token that each query reads, [queries, L + 1, D]."""
  texts, positions = [], []
  for query in part:
    if not texts or query.text is not texts[-1]:
      texts.append(query.text)
      positions.append([])
    positions[-1].append(query.at - 1)
  # One shape, one compilation.
  for here in positions:
    here += here[-1:] * (v_probe.MAX_QUERIES - len(here))
  h_MF = layer_states(params, cfg, texts, positions, batch)
  firsts = np.cumsum([0] + [a.text is not b.text
                            for a, b in itertools.pairwise(part)])
  at, seen = [], {}
  for i in firsts:
    at.append(i * v_probe.MAX_QUERIES + seen.get(i, 0))
    seen[i] = seen.get(i, 0) + 1
  return h_MF[at].reshape(len(part), cfg.depth + 1, cfg.width)


def name_and_label(part: Sequence[v_probe.ProbeQuery]
                   ) -> tuple[np.ndarray, np.ndarray]:
  """The id of each query's name and its label."""
  return (np.array([q.name[1] for q in part], np.int32),
          np.array([q.label for q in part], np.int32))


def linear_logits(probe: dict, h_BLD: jax.Array, name_B: jax.Array
                  ) -> jax.Array:
  """Logits of the heads of each query's name, [L + 1, B, classes]."""
  return jnp.einsum('BLD,BLDC->LBC', h_BLD, probe['heads'][name_B]) + (
      probe['bias'][name_B].swapaxes(0, 1))


@functools.partial(jax.jit, static_argnames=('steps', 'learning_rate'))
def _fit(probe, h_NLD, name_N, label_N, order_SB, steps: int,
         learning_rate: float):
  """The probe after a step of AdamW on each row of query numbers."""
  tx = v_probe.probe_optimizer(learning_rate, steps)

  def loss(probe, at_B):
    logits_LBC = linear_logits(probe, h_NLD[at_B], name_N[at_B])
    return optax.softmax_cross_entropy_with_integer_labels(
        logits_LBC, jnp.broadcast_to(label_N[at_B], logits_LBC.shape[:2])
        ).mean(1).sum()

  def step(carry, at_B):
    probe, opt = carry
    updates, opt = tx.update(jax.grad(loss)(probe, at_B), opt, probe)
    return (optax.apply_updates(probe, updates), opt), None

  return jax.lax.scan(step, (probe, tx.init(probe)), order_SB)[0][0]


def fit_linear_probe(h_NLD: np.ndarray, part: Sequence[v_probe.ProbeQuery],
                     names: int, classes: int, spec: ConfigDict) -> dict:
  """A probe with heads for `names` ids, trained EPOCHS times on each query."""
  _, layers, D = h_NLD.shape
  probe = {'heads': jnp.zeros((names, layers, D, classes)),
           'bias': jnp.zeros((names, layers, classes))}
  batch = min(spec.batch, len(part))
  order_SB = np.concatenate([
      np.random.default_rng(i).permutation(len(part))[
          :len(part) // batch * batch] for i in range(EPOCHS)
      ]).reshape(-1, batch)
  return _fit(probe, h_NLD, *name_and_label(part), order_SB, len(order_SB),
              spec.learning_rate)


class LinearProbe(v_probe.VProbe):
  """Metrics and slices of v_probe.VProbe."""

  def predictor(self, params: dict, train: list, classes: int,
                longest: int = 0
                ) -> Callable[[Sequence[v_probe.ProbeQuery]], np.ndarray]:
    """As v_probe.VProbe.predictor; texts may have any length."""
    probe = fit_linear_probe(
        query_states(params, self.cfg, train, self.spec.batch), train,
        self.cfg.vocab, classes, self.spec)

    def predict(part):
      h_BLD = query_states(params, self.cfg, part, self.spec.batch)
      return np.asarray(linear_logits(
          probe, h_BLD, name_and_label(part)[0]).argmax(-1))

    return predict


def names_are_tokens(probe: v_probe.VProbe) -> bool:
  """Whether every query is about one name of one token."""
  # The name is between two marks.
  return {len(q.name) for part in probe.queries.values() for q in part} == {3}


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> LinearProbe:
  """As v_probe.build, for TASKS and names of one token. Raises BadInput."""
  probe = v_probe.build(config, data, spec)
  if spec.probe not in TASKS:
    raise BadInput(f"evals: probe is {spec.probe!r} of kind 'linear_probe', "
                   f'wanted one of {", ".join(TASKS)}')
  if not names_are_tokens(probe):
    raise BadInput("evals: kind 'linear_probe' has a head a name, wanted "
                   "worlds.igsm.rendering='compact' and parameters='instance'")
  return LinearProbe(probe.cfg, probe.spec, probe.seed, probe.negative,
                     probe.queries, probe.training)
