"""Adapters: few new parameters on frozen ones, as functions on their trees.

`merge_adapter(params, adapter, ...)` returns the parameters that the model runs
with, so forward passes, kernels and evaluations need not know of adapters;
only `adapter` has a gradient. Kinds (config.adapter):

  lora         W + scale A B of `target_modules` of every layer, of rank `rank`,
               and of the embedding, of `embedding_rank` (Hu et al. 2021,
               arXiv 2106.09685; the scale as in Part 3.2, appendix B: it is
               not divided by the rank). B starts at zero; of the embedding, A.
  whole        W + difference, of `target_modules`: `embedding` alone, ...
  bias         all biases (BitFit; Ben Zaken et al. 2021, arXiv 2106.10199)
  ia3          a factor for each element of keys, values, and what the MLP's
               last matrix reads (Liu et al. 2022, arXiv 2205.05638); with
               model.qk_norm keys are scaled before their norm
  prefix       `num_virtual_tokens` keys and values in each layer that every
               token attends to (Li & Liang 2021, arXiv 2101.00190, without its
               MLP)
  prompt       `num_virtual_tokens` vectors before every example (Lester et al.
               2021, arXiv 2104.08691). They attend to each other only, so their
               keys and values are a prefix too, and packed examples share it.
  bottleneck   x + gelu(x D) U of `rank` units, after attention and after MLP
               (Houlsby et al. 2019, arXiv 1902.00751, without biases)
  lora_moe     x W + scale sum_e g_e x A_e B_e, of `target_modules`: `experts`
               low-rank updates, of which a router of each matrix takes a mean
               for each token, g = softmax(x R) (Dou et al. 2023, LoRAMoE, arXiv
               2312.09979, without the loss that gives experts kinds of tasks).
               R and B start at zero

`penalty` is a decoupled L1 penalty, in units of the learning rate, on an
adapter that starts at zero (AT_ZERO): those of its parameters that matter least
stay exactly zero, so that `whole` changes few of the parameters that it may
change (diff pruning, Guo et al. 2020, arXiv 2012.07463, which relaxes L0; here
optim.selective).

A tied embedding is one matrix: its update serves input and output. Of the kinds
in MERGEABLE the merged parameters are an ordinary model's; the others add names
to the tree. Weight decay pulls an adapter, not the weights under it, to zero.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict, FrozenConfigDict

from physics_lm.errors import BadInput, nearest
from physics_lm.model import decoder
from physics_lm.model.compress import INPUTS
from physics_lm.model.config import BY_DISTANCE, ModelConfig

KINDS = ('none', 'lora', 'whole', 'bias', 'ia3', 'prefix', 'prompt',
         'bottleneck', 'lora_moe')
MERGEABLE = KINDS[:5]  # merged, the tree is a plain model's
CHANGE_AT_ONCE = ('prefix', 'prompt')  # the model, before they train
AT_ZERO = ('whole', 'bias', 'ia3')  # before training, every parameter


class Leaf(NamedTuple):
  """One parameter of an adapter before training."""

  shape: tuple[int, ...]
  axes: tuple[str | None, ...]  # logical, as in sharding.RULES
  std: float = 0.0  # of the normal it is drawn from; 0: zeros


def adapter_leaves(spec: ConfigDict, cfg: ModelConfig) -> dict:
  """{part: {name: {role: Leaf}}} of an adapter: roles `in` and `out` are
  multiplied and added to the parameter of that name, `difference` is added,
  one plus `rescale` multiplies it, `new` is a parameter that the model lacks,
  and `times` one that is multiplied by the scale.
  Raises BadInput."""
  if spec.kind not in KINDS:
    raise BadInput(f'adapter.kind is {spec.kind!r}; '
                   f'{nearest(spec.kind, KINDS)}')
  wanted = {'lora': ('rank',) if _names(spec) else ('embedding_rank',),
            'prefix': ('num_virtual_tokens',),
            'prompt': ('num_virtual_tokens',),
            'bottleneck': ('rank',), 'lora_moe': ('rank', 'experts')}.get(
                spec.kind, ())
  if spec.kind in ('lora_moe', 'whole') and not _names(spec):
    raise BadInput(f"adapter.target_modules is '' and adapter.kind "
                   f'{spec.kind!r}, wanted at least one matrix')
  for key in wanted:
    if spec[key] < 1:
      raise BadInput(f'adapter.{key} is {spec[key]}, wanted at least 1')
  if spec.kind in ('prefix', 'prompt') and cfg.positions in BY_DISTANCE:
    raise BadInput(f'adapter.kind is {spec.kind!r} of a model whose attention '
                   f'has no keys (model.positions={cfg.positions}), wanted '
                   'lora or bottleneck')
  L, D, P, r = cfg.depth, cfg.width, spec.num_virtual_tokens, spec.rank
  if spec.kind == 'lora':
    return _low_rank(spec, cfg)
  if spec.kind == 'lora_moe':
    return {'layers': _routed(spec, cfg)}
  if spec.kind in ('whole', 'bias'):
    out = {}
    for name in _names(spec) if spec.kind == 'whole' else _biases(cfg):
      part, shape, axes = _parameter(name, cfg)
      out.setdefault(part, {})[name] = {'difference': Leaf(shape, axes)}
    return out
  if spec.kind == 'ia3':
    return {'layers': _rescaled(cfg)}
  if spec.kind == 'prefix':
    shape = (L, P, cfg.kv_heads, cfg.head)
    axes = ('layers', None, 'kv_heads', 'head')
    return {'layers': {'prefix_key': {'new': Leaf(shape, axes, 1.0)},
                       'prefix_value': {'new': Leaf(shape, axes)}}}
  if spec.kind == 'prompt':
    return {'ends': {'prompt': {
        'new': Leaf((P, D), (None, 'embed'), D**-0.5)}}}
  out = {}
  for part in ('attention', 'mlp') if cfg.mlp_width else ('attention',):
    out[f'down_{part}'] = {'new': Leaf(
        (L, D, r), ('layers', 'embed', None), D**-0.5)}
    out[f'up_{part}'] = {'new': Leaf((L, r, D), ('layers', None, 'embed'))}
  return {'layers': out}


def _names(spec) -> list[str]:
  return [n.strip() for n in spec.target_modules.split(',') if n.strip()]


def _parameter(name: str, cfg: ModelConfig):
  """(part, shape, logical axes) of a model's parameter. Raises BadInput."""
  axes = decoder.logical_axes(cfg)
  shapes = jax.eval_shape(lambda: decoder.init(cfg, jax.random.key(0)))
  for part in axes:
    if name in axes[part]:
      return part, shapes[part][name].shape, axes[part][name]
  raise BadInput(f'adapter.target_modules names {name!r}; '
                 f'{nearest(name, [n for p in axes.values() for n in p])}')


def _biases(cfg: ModelConfig) -> list[str]:
  """The names of a model's biases. Raises BadInput where it has none."""
  out = [name for part in decoder.logical_axes(cfg).values() for name in part
         if name.startswith('bias') and name != 'bias_distance']
  if not out:
    raise BadInput("adapter.kind is 'bias' of a model with model.bias=False, "
                   'wanted model.bias=True')
  return out


def _rescaled(cfg: ModelConfig) -> dict:
  """Factors of keys and values (columns of their matrices, and biases), and of
  the MLP's units (rows of its last matrix). Raises BadInput."""
  if cfg.num_experts > 1:
    raise BadInput(f"adapter.kind is 'ia3' of a model of {cfg.num_experts} "
                   'experts, wanted one without')
  out = {}
  for name in ('key', 'value', 'down')[:None if cfg.mlp_width else 2]:
    _, shape, axes = _parameter(name, cfg)
    if name == 'down':
      shape, axes = (*shape[:2], 1), (*axes[:2], None)
    else:
      shape, axes = (shape[0], 1, *shape[2:]), (axes[0], None, *axes[2:])
    out[name] = {'rescale': Leaf(shape, axes)}
  return out


def _matrices(spec, cfg: ModelConfig):
  """(name, shape and axes of its inputs, with the layers; of its outputs) of
  every matrix that spec.target_modules names. Raises BadInput."""
  for name in _names(spec):
    _, shape, axes = _parameter(name, cfg)
    # Experts' matrices have an axis more.
    if name not in INPUTS or len(shape) - 1 <= INPUTS[name] or (
        'experts' in axes):
      raise BadInput(f'adapter.target_modules names {name!r}, wanted matrices '
                     f'of the layers: {", ".join(INPUTS)} (no experts)')
    cut = 1 + INPUTS[name]
    yield name, (shape[:cut], axes[:cut]), (shape[cut:], axes[cut:])


def _routed(spec, cfg: ModelConfig) -> dict:
  """Parameters of each matrix that decoder._Parts._linear reads."""
  out, E, r = {}, spec.experts, spec.rank
  for name, (shape, axes), (outputs, out_axes) in _matrices(spec, cfg):
    std = math.prod(shape[1:])**-0.5
    out |= {
        f'route_{name}': {'new': Leaf((*shape, E), (*axes, None))},
        f'experts_in_{name}': {'new': Leaf(
            (*shape, E, r), (*axes, None, None), std)},
        f'experts_out_{name}': {'times': Leaf(
            (shape[0], E, r, *outputs), ('layers', None, None, *out_axes))}}
  return out


def _low_rank(spec, cfg: ModelConfig) -> dict:
  out, r = {}, spec.rank
  for name, (shape, axes), (outputs, out_axes) in _matrices(spec, cfg):
    std = math.prod(shape[1:])**-0.5
    out.setdefault('layers', {})[name] = {
        'in': Leaf((*shape, r), (*axes, None), std),
        'out': Leaf((shape[0], r, *outputs), ('layers', None, *out_axes))}
  if spec.embedding_rank > 0:
    r, V, D = spec.embedding_rank, cfg.vocab, cfg.width
    out['ends'] = {'embedding': {
        'in': Leaf((V, r), ('vocab', None)),
        'out': Leaf((r, D), (None, 'embed'), D**-0.5)}}
  return out


def _map(function, spec: ConfigDict, cfg: ModelConfig):
  return jax.tree.map(function, adapter_leaves(spec, cfg),
                      is_leaf=lambda x: isinstance(x, Leaf))


def adapter_axes(spec: ConfigDict, cfg: ModelConfig) -> dict:
  """The logical axes of every parameter of the adapter, as a tree."""
  return _map(lambda leaf: leaf.axes, spec, cfg)


def init_adapter(spec: ConfigDict, cfg: ModelConfig, key: jax.Array) -> dict:
  """The adapter's parameters, float32, as a tree. Raises BadInput."""
  at, tree = jax.tree.flatten(_map(lambda leaf: leaf, spec, cfg),
                              is_leaf=lambda x: isinstance(x, Leaf))
  return jax.tree.unflatten(tree, [
      leaf.std * jax.random.normal(k, leaf.shape)
      for k, leaf in zip(jax.random.split(key, max(len(at), 1)), at)])


@functools.cache
def embedding_adapter(rank: int) -> FrozenConfigDict:
  """config.adapter of a low-rank update of the embedding alone."""
  return FrozenConfigDict({
      'kind': 'lora', 'target_modules': '', 'rank': 0, 'num_virtual_tokens': 0,
      'scale': 1.0, 'embedding_rank': rank})


def merge_adapter(params: dict, adapter: dict, spec: ConfigDict,
                  cfg: ModelConfig) -> dict:
  """The parameters that the model runs with; the arguments do not change."""
  out = {part: dict(own) for part, own in params.items()}
  for part, changes in adapter.items():
    for name, c in changes.items():
      if 'new' in c:
        out[part][name] = c['new']
      elif 'times' in c:  # no 'scale...': optim.decays
        out[part][name] = spec.scale * c['times']
      elif 'difference' in c:
        out[part][name] = params[part][name] + c['difference']
      elif 'rescale' in c:
        factor = 1 + c['rescale']
        out[part][name] = params[part][name] * factor
        bias = f'bias_{name}'
        if name != 'down' and bias in out[part]:  # part of the key or value
          out[part][bias] = params[part][bias] * factor[:, 0]
      else:
        w = params[part][name]
        layers = w.shape[:1] if part == 'layers' else ()
        a, b = c['in'], c['out']
        r = a.shape[-1]
        product = a.reshape(*layers, -1, r) @ b.reshape(*layers, r, -1)
        out[part][name] = w + spec.scale * product.reshape(w.shape)
  if 'prompt' in out['ends']:
    out['layers'] |= _prompt_prefix(out, out['ends'].pop('prompt'), cfg)
  return out


def _prompt_prefix(params, prompt_PD, cfg: ModelConfig) -> dict:
  """Keys and values [L, P, K, H] of a prompt at positions -P to -1, before
  everything else."""
  P = len(prompt_PD)
  where = jnp.ones((1, P), jnp.int32), jnp.arange(-P, 0)[None]
  block = decoder.Block(cfg)

  def layer(x_BPD, weights):
    (y_BPD, _), kept = block.apply({'params': weights}, x_BPD, *where,
                                   mutable=['states'])
    return y_BPD, tuple(kept['states'][k][0][0] for k in ('key', 'value'))

  x_BPD = prompt_PD[None].astype(cfg.dtype)
  _, (key, value) = jax.lax.scan(layer, x_BPD, params['layers'])
  return {'prefix_key': key, 'prefix_value': value}
