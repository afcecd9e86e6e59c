"""Weights after training: fewer bits each, or fewer of them.

  nearest      round to nearest: integers of `bits` bits, one scale for `group`
               inputs of each output, its clipping chosen by the squared error
               weighted with the mean square of each input on `batch`
  gptq         the same scales; rounding errors of one input are passed on to
               those not yet rounded (Frantar et al. 2022, arXiv 2210.17323)
  prune        the share `keep_fraction` of each matrix's weights, the largest,
               stays
  wanda        of each output's weights, those with the largest |w| times the
               norm of their input stay (Sun et al. 2023, arXiv 2306.11695)
  sparsegpt    weights whose removal costs least by GPTQ's Hessian go, `group`
               inputs at a time, and the error is passed on as in gptq (Frantar
               & Alistarh 2023, arXiv 2301.00774)
  prune_units  the share `keep_fraction` of MLP units and heads stays, by norm

Matrices of the layers and the embedding tables are compressed (Part 3.3's
quantiser leaves embeddings alone, which in its models are a small share); the
tables have no inputs, so all inputs count the same there. Layers are
compressed in order, each on the outputs of the compressed ones before it.
Norms, biases, routers, scales and weights that survive pruning count 16 bits
each, but are not rounded to that.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from physics_lm.errors import BadInput, nearest
from physics_lm.model import decoder
from physics_lm.model.config import ModelConfig

METHODS = ('none', 'nearest', 'gptq', 'prune', 'wanda', 'sparsegpt',
           'prune_units')
# Inputs of each matrix, as axes of its shape.
INPUTS = {'query': 1, 'key': 1, 'value': 1, 'out': 2, 'up': 1, 'gate': 1,
          'down': 1}
TABLES = ('embedding', 'output')
SCALE, PLAIN = 16, 16  # bits of a scale, and of a weight left alone
CLIPS = np.linspace(0.4, 1.0, 25)


def check_compression(spec: ConfigDict, experts: int = 1):
  """Raises BadInput for settings of an evaluation that no model, or none with
  experts, can be compressed by."""
  if experts > 1 and spec.compress in METHODS and spec.compress not in (
      'none', 'nearest', 'prune'):
    raise BadInput(f'compress {spec.compress} of a model with {experts} '
                   'experts, wanted nearest or prune')
  if spec.compress not in METHODS:
    raise BadInput(f'evals: compress is {spec.compress!r}; '
                   f'{nearest(spec.compress, METHODS)}')


def compress(params: dict, spec: ConfigDict, cfg: ModelConfig, batch: dict,
             entries: int | None = None) -> tuple[dict, float]:
  """(params, bits of storage). `batch`: tokens, segments and positions, [B, T],
  to calibrate on. `entries`: rows of the tables that are stored, without
  padding; None: all. Raises BadInput."""
  check_compression(spec, cfg.num_experts)
  stored = (entries or cfg.vocab) / cfg.vocab  # of a table
  if spec.compress == 'none':
    tables = (1 if cfg.tie_embeddings else 2) * cfg.vocab * cfg.width
    return params, 32 * (sum(x.size for x in jax.tree.leaves(params))
                         - (1 - stored) * tables)
  ends, layers = ({k: np.array(v) for k, v in params[part].items()}
                  for part in ('ends', 'layers'))
  block, storage = decoder.Block(cfg), 0
  for name in (n for n in TABLES if n in ends):
    # A token's row is an output of D inputs.
    new, size = compress_matrix(ends[name].T, spec)
    ends[name], storage = new.T, storage + stored * size
  where = batch['segments'], batch['positions']
  x_BTD = decoder.EmbedUnembed(cfg).apply(
      {'params': ends}, batch['tokens'], where[1], method='embed')
  real_M = np.asarray(batch['segments']).reshape(-1) > 0
  for l in range(cfg.depth):
    own = {k: v[l] for k, v in layers.items()}  # views: changed in place
    if spec.compress == 'prune_units':
      storage += prune_units(own, spec.keep_fraction, cfg)
    else:
      _, found = block.apply({'params': own}, x_BTD, *where, mutable=['inputs'])
      inputs = found['inputs']
      for name in (n for n in INPUTS if n in own):
        x_MI = inputs[name][0] if name in inputs else None
        experts = own[name] if x_MI is None else own[name][None]
        for w in experts:
          I = math.prod(w.shape[:INPUTS[name]])
          new, size = compress_matrix(
              w.reshape(I, -1), spec, None if x_MI is None else x_MI[real_M])
          w[...], storage = new.reshape(w.shape), storage + size
    x_BTD, _ = block.apply({'params': own}, x_BTD, *where)
  plain = sum(v.size for part in (ends, layers) for k, v in part.items()
              if k not in (*INPUTS, *TABLES))
  return jax.tree.map(jnp.asarray, {'ends': ends, 'layers': layers}), (
      storage + PLAIN * plain)


def compress_matrix(w_IO: np.ndarray, spec: ConfigDict,
                    x_MI: np.ndarray | None = None) -> tuple[np.ndarray, float]:
  """(compressed matrix, bits of storage). `x_MI`: inputs to it; None: all
  inputs count the same."""
  w_IO = np.asarray(w_IO, np.float64)
  I, O = w_IO.shape
  if spec.compress == 'prune_units':
    return w_IO, PLAIN * w_IO.size
  if spec.compress == 'prune':
    kept = round(spec.keep_fraction * w_IO.size)
    order = np.argsort(-np.abs(w_IO), axis=None, kind='stable')
    new = np.zeros(w_IO.size)
    new[order[:kept]] = w_IO.flat[order[:kept]]
    return new.reshape(I, O), _storage_of_kept(kept, spec, w_IO.size)
  x_MI = np.eye(I) if x_MI is None else np.asarray(x_MI, np.float64)
  H_II = x_MI.T @ x_MI / len(x_MI)
  if spec.compress in ('wanda', 'sparsegpt'):
    new = wanda(w_IO, H_II, spec.keep_fraction) if (
        spec.compress == 'wanda') else sparsegpt(
            w_IO, H_II, spec.keep_fraction, spec.group)
    return new, _storage_of_kept(np.count_nonzero(new), spec, w_IO.size)
  scales = -(-I // spec.group) * O * SCALE
  if spec.compress == 'gptq':
    return gptq(w_IO, H_II, spec.bits, spec.group), spec.bits * I * O + scales
  new = np.concatenate([
      round_to_scale(part, fit_scale(part, importance, spec.bits), spec.bits)
      for part, importance in zip(
          np.split(w_IO, range(spec.group, I, spec.group)),
          np.split(H_II.diagonal(), range(spec.group, I, spec.group)))])
  return new, spec.bits * I * O + scales


def _storage_of_kept(kept: int, spec: ConfigDict, size: int) -> float:
  """Bits of the kept weights, and of which they are: the entropy of the
  choice."""
  return PLAIN * kept + size * binary_entropy(spec.keep_fraction)


def binary_entropy(p: float) -> float:
  """Bits of a binary outcome with probability p."""
  return 0.0 if p in (0, 1) else -(p * math.log2(p)
                                   + (1 - p) * math.log2(1 - p))


def round_to_scale(w_GO: np.ndarray, scale_O: np.ndarray, bits: int
                   ) -> np.ndarray:
  """Weights at the nearest of the 2**bits - 1 multiples of their scale."""
  top = 2**(bits - 1) - 1
  return np.clip(np.round(w_GO / scale_O), -top, top) * scale_O


def fit_scale(w_GO: np.ndarray, importance_G: np.ndarray, bits: int
              ) -> np.ndarray:
  """Scale [O] of a group of inputs: of CLIPS, the one with the least squared
  error, weighted with importance."""
  top = np.maximum(np.abs(w_GO).max(0), 1e-12) / (2**(bits - 1) - 1)
  weight_G1 = importance_G[:, None] + 1e-12
  errors = [(weight_G1 * (w_GO - round_to_scale(w_GO, c * top, bits))**2).sum(0)
            for c in CLIPS]
  return CLIPS[np.argmin(errors, 0)] * top


def gptq(w_IO: np.ndarray, H_II: np.ndarray, bits: int, group: int
         ) -> np.ndarray:
  """A matrix rounded one input after the other; each one's error is spread over
  the inputs after it, by the inverse Hessian H^-1 = U^T U."""
  I, w, U_II = len(w_IO), w_IO.copy(), _inverse_factor(H_II)
  new = np.zeros_like(w)
  for i in range(I):
    if i % group == 0:
      at = slice(i, min(i + group, I))
      scale_O = fit_scale(w[at], H_II.diagonal()[at], bits)
    new[i] = round_to_scale(w[i], scale_O, bits)
    _pass_on(w, U_II, i, new[i])
  return new


def sparsegpt(w_IO: np.ndarray, H_II: np.ndarray, keep: float, group: int
              ) -> np.ndarray:
  """A matrix with the share `keep` of each `group` inputs' weights: those with
  the largest w^2 over the square of the diagonal of U, where H^-1 = U^T U. The
  others are removed one input after the other, as in gptq."""
  I, w, U_II = len(w_IO), w_IO.copy(), _inverse_factor(H_II)
  new = np.zeros_like(w)
  for i in range(I):
    if i % group == 0:
      at = slice(i, min(i + group, I))
      score_GO = (w[at] / U_II.diagonal()[at, None])**2
      kept_GO = _largest(score_GO.reshape(-1, 1), keep).reshape(score_GO.shape)
    new[i] = w[i] * kept_GO[i % group]
    _pass_on(w, U_II, i, new[i])
  return new


def wanda(w_IO: np.ndarray, H_II: np.ndarray, keep: float) -> np.ndarray:
  """A matrix with the share `keep` of each output's weights: those with the
  largest |w| times the norm of their input."""
  score_IO = np.abs(w_IO) * np.sqrt(H_II.diagonal())[:, None]
  return w_IO * _largest(score_IO, keep)


def _largest(score_IO, keep: float):
  """Whether an element is among the share `keep` of its column's largest."""
  rank_IO = np.argsort(np.argsort(-score_IO, 0, kind='stable'), 0)
  return rank_IO < round(keep * len(score_IO))


def _inverse_factor(H_II):
  """U, upper triangular, with U^T U the inverse of the damped Hessian."""
  damp = 0.01 * max(H_II.diagonal().mean(), 1e-12)
  return np.linalg.cholesky(np.linalg.inv(
      H_II + damp * np.eye(len(H_II)))).T


def _pass_on(w_IO, U_II, i, new_O):
  """Spreads input i's error over the inputs after it, in place."""
  w_IO[i + 1:] -= np.outer(U_II[i, i + 1:] / U_II[i, i], w_IO[i] - new_O)


def prune_units(own: dict, keep: float, cfg: ModelConfig) -> float:
  """Zeroes, in place, the MLP units and heads of a layer's matrices that have
  the least norm. Heads that share a key go together. Returns the bits of
  storage of the others."""
  K, D, storage = cfg.kv_heads, cfg.width, 0
  heads = {'query': (D, K, -1), 'key': (D, K, -1), 'value': (D, K, -1),
           'out': (1, K, -1)}  # as [before, units, after]
  hidden = {'up': (D, -1, 1), 'gate': (D, -1, 1), 'down': (1, -1, D)}
  for kind in (heads, hidden):
    parts = [own[n].reshape(s) for n, s in kind.items() if n in own]
    if not parts:
      continue
    norm = sum((p**2).sum((0, 2)) for p in parts)
    kept = max(round(keep * len(norm)), 1)
    gone = np.argsort(-norm, kind='stable')[kept:]
    for p in parts:
      p[:, gone] = 0
      storage += PLAIN * p.size * kept / len(norm)
  return storage
