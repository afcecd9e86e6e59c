"""Compiles the programs of runs for TPUs, on a machine that has none.

  pip install -e '.[tpu]'
  python -m physics_lm.launch experiments/X.py --scale=paper \
      --compile=v5e:4x4 [--mesh=fsdp=4] [--vmap-runs=8]
  python -m physics_lm.train --config=configs/igsm.py:med --compile=v5p:2x2x1

The TPU compiler (libtpu) makes the real programs of a topology, a train step
and, where an evaluation generates text, decoding, and tells what they need.
Nothing is run. Each distinct program is compiled once.
"""

import importlib.util
import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from physics_lm import cost, hlo, mixture, population, train_step, vocab
from physics_lm.config import override
from physics_lm.errors import BadInput
from physics_lm.evals.igsm import solutions
from physics_lm.model import decode, sharding
from physics_lm.model.config import eval_config
from physics_lm.posttrain import update
from physics_lm.scaling import flops

# GiB that the compiler of libtpu 0.0.42 gives to a program, by the device's
# own name; from its message about a program that is too large.
HBM = {'TPU v4': 15.25, 'TPU v5 lite': 15.75, 'TPU v5': 95.74,
       'TPU v6 lite': 31.25}
GIB = 2**30
# Of libtpu: no question to a cloud's machine, nor about this one's TPUs.
# Several processes may compile at a time, since none takes a device. No logs.
ENVIRONMENT = {'TPU_SKIP_MDS_QUERY': '1', 'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
               'TPU_MIN_LOG_LEVEL': '3', 'TPU_STDERR_LOG_LEVEL': '3',
               'TPU_ACCELERATOR_TYPE': 'v5litepod-8',
               'TPU_WORKER_HOSTNAMES': 'localhost', 'TPU_WORKER_ID': '0'}
_SIZE = r'([\d.]+)([KMGT]?)'
_TOO_LARGE = re.compile(
    rf'(?:Used {_SIZE} of {_SIZE} hbm'
    rf'|\({_SIZE}\) exceeds available HBM \({_SIZE}\))')
_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': GIB, 'T': 2**40}


class Compiled(NamedTuple):
  """What a program needs on each device."""

  program: str
  arguments: float  # bytes, as all here
  temporaries: float
  output: float  # beyond what takes the arguments' place
  total: float
  room: float  # that the device has
  flops: float  # of matrix products, recomputed ones too
  counted: float  # training FLOPs by scaling/flops.py; 0: not counted
  collectives: Mapping[str, hlo.Collective]
  seconds: float  # of compiling

  @property
  def fits(self) -> bool:
    """Whether the device has room for it."""
    return self.total <= self.room


def tpu_devices(topology: str) -> list:
  """The devices of a topology such as 'v5e:4x4', for compiling only. Raises
  BadInput for a name that the compiler does not know, and without libtpu."""
  if not importlib.util.find_spec('libtpu'):
    raise BadInput('--compile without libtpu, the TPU compiler; wanted '
                   "pip install 'physics_lm[tpu]'")
  for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)
  from jax.experimental import topologies
  shape = topology.partition(':')[2]
  # By default a host has four chips, which must divide the topology.
  few = {} if shape.count('x') and all(
      n.isdigit() and int(n) % 2 == 0 for n in shape.split('x')[:2]) else {
          'chips_per_host_bounds': [1, 1, 1]}
  try:
    return list(topologies.get_topology_desc(
        topology_name=topology, platform='tpu', **few).devices)
  except Exception as e:  # of the compiler: jaxlib's own class
    raise BadInput(f'--compile={topology}: {str(e).splitlines()[0][:160]}; '
                   'wanted KIND:SHAPE, such as v5e:4x4 or v5p:2x2x1') from e


def matmul_flops(jaxpr: Any) -> float:
  """FLOPs of the matrix products of a traced program, on all devices together;
  of branches the most expensive one counts."""
  total = 0.0
  for eqn in jaxpr.eqns:
    if eqn.primitive.name == 'dot_general':
      (contract, _), _ = eqn.params['dimension_numbers']
      left = eqn.invars[0].aval.shape
      total += 2.0 * math.prod(eqn.outvars[0].aval.shape) * math.prod(
          left[i] for i in contract)
    else:
      inner = [matmul_flops(j) for j in _inner(eqn.params)]
      times = _times(eqn)
      total += times * (max(inner, default=0.0) if eqn.primitive.name in (
          'cond', 'switch') else sum(inner))
  return total


def _times(eqn) -> float:
  """How often the programs inside an equation run."""
  if eqn.primitive.name == 'scan':
    return eqn.params['length']
  if eqn.primitive.name == 'shard_map':  # the same on each device
    return eqn.params['mesh'].size
  if eqn.primitive.name == 'pallas_call':
    return math.prod(eqn.params['grid_mapping'].grid)
  return 1.0


def _inner(value: Any) -> Iterator:
  """The jaxprs among an equation's parameters."""
  if hasattr(value, 'eqns'):
    yield value
  elif hasattr(value, 'jaxpr'):
    yield from _inner(value.jaxpr)
  elif isinstance(value, Mapping):
    for v in value.values():
      yield from _inner(v)
  elif isinstance(value, (tuple, list)):
    for v in value:
      yield from _inner(v)


def compile_program(name: str, traced: Any, devices: Sequence,
                    counted: float = 0.0) -> Compiled:
  """Compiles a traced function. One that does not fit has the compiler's total,
  and no other size."""
  count, began = len(devices), time.perf_counter()
  room = HBM.get(devices[0].device_kind, math.inf) * GIB
  products = matmul_flops(traced.jaxpr.jaxpr) / count
  try:
    made = traced.lower().compile()
  except jax.errors.JaxRuntimeError as e:
    found = _TOO_LARGE.search(str(e))
    if not found:
      raise
    number, unit, limit, of = (g for g in found.groups() if g is not None)
    used, room = float(number) * _UNITS[unit], float(limit) * _UNITS[of]
    return Compiled(name, math.nan, math.nan, math.nan, used, room, products,
                    counted / count, {}, time.perf_counter() - began)
  m = made.memory_analysis()
  output = m.output_size_in_bytes - m.alias_size_in_bytes
  return Compiled(
      name, m.argument_size_in_bytes, m.temp_size_in_bytes, output,
      m.argument_size_in_bytes + m.temp_size_in_bytes + output, room, products,
      counted / count, hlo.collectives(made.as_text()) if count > 1 else {},
      time.perf_counter() - began)


def train_programs(config: ConfigDict, devices: Sequence, members: int = 1
                   ) -> list[Compiled]:
  """A run's train step and decoding, or the step of a population of `members`
  such runs, on the devices. Raises BadInput for what no run can be."""
  data = cost.small_mixture(config)
  trainer = train_step.build(
      config, data, devices, [config] * members if members > 1 else ())
  row = {k: np.asarray(v) for k, v in mixture.packed_row(data, 0).items()}
  post = config.post.kind  # its laws are of the vocabulary without padding
  row['law'] = np.empty((data.seq_len, len(data.vocab) if post else (
      trainer.cfg.vocab)), np.float32)
  row['states'] = np.empty((data.seq_len, trainer.cfg.width), np.float32)
  more_2d, more_1d = update.batch_keys(config) if post else ((), ())
  row = dict.fromkeys(more_2d, np.empty(data.seq_len, np.float32)) | (
      dict.fromkeys(more_1d, np.float32(0))) | row
  batch = {k: jax.ShapeDtypeStruct((*trainer.batch_dims, *row[k].shape),
                                   row[k].dtype)
           for k in trainer.batch_shardings}
  work = flops.per_token(trainer.cfg, data.seq_len) * data.seq_len * (
      config.data.batch_size * members)
  step, hparams = trainer.step.func, trainer.step.args
  with jax.set_mesh(trainer.mesh):
    out = [compile_program(
        'train step', step.trace(*hparams, jax.eval_shape(trainer.init), batch),
        trainer.mesh.devices.flatten(), work)] if config.steps else []
    out += [_decoding(config, data, trainer, spec)
            for spec in generating(config)[:1] if members == 1]
  return out


def generating(config: ConfigDict) -> list[ConfigDict]:
  """The evaluations that generate solutions: one a shape of the program, in
  the order of the texts' length."""
  found = {(e.max_new_tokens, e.decode): e for e in config.evals.values()
           if e.kind in ('solutions', 'best_of_n')}
  return [found[k] for k in sorted(found, reverse=True)]


def _decoding(config: ConfigDict, data: mixture.Mixture,
              trainer: train_step.TrainProgram, spec: ConfigDict) -> Compiled:
  """The program that generates a batch of solutions for an evaluation, of
  prompts as long as the longest of 64."""
  state, world = trainer.abstract, data.worlds[spec.world]
  params = state.params if state.base is None else state.base
  rows = solutions.decode_batch(config, spec.num_problems)
  width = decode.prompt_width(max(len(solutions.prompt_ids(
      data, world.example('test', i), spec.tag)) for i in range(64)))
  where = sharding.batch_shardings(trainer.mesh, ('tokens',), ('row',))

  def inputs(dtype, *dims):
    return jax.ShapeDtypeStruct(
        dims, dtype, sharding=where['row' if len(dims) == 1 else 'tokens'])

  how = decode.decoding_method(spec.decode)
  traced = decode.program(how).trace(
      params, inputs(np.int32, rows, width), inputs(np.int32, rows),
      inputs(np.uint32, rows), np.uint32(0), spec.max_new_tokens,
      eval_config(config, trainer.cfg), len(data.vocab), how, vocab.EOS)
  return compile_program(f'decode {rows} x ({width} + {spec.max_new_tokens})',
                         traced, trainer.mesh.devices.flatten())


def program_key(config: ConfigDict) -> str:
  """A string that is equal for configs whose programs differ in constants only
  (a rate, a number of steps): they need as much as each other."""
  c, switches = population.shared_keys(config), (
      'model.dropout', 'optim.warmup_steps', 'optim.grad_clip_norm',
      'data.mlm_probability')
  kept = {k: bool(v) if k in switches else v for k, v in c.items()
          if k.split('.')[0] in ('model', 'adapter', 'runtime')
          or k in (*switches, 'optim.name', 'optim.schedule', 'data.seq_len',
                   'data.batch_size', 'data.vocab', 'data.intra_document_mask')}
  tasks = sorted(config.data.tasks)
  return json.dumps([kept, tasks, config.init_from is None, bool(config.steps),
                     len(cost.small_mixture(config).vocab), [
      [e.max_new_tokens, e.decode, e.num_problems]
      for e in generating(config)]], sort_keys=True)


def with_mesh(config: ConfigDict, mesh: Mapping[str, int]) -> ConfigDict:
  """A config with other sizes of mesh axes. Raises BadInput."""
  return override(config, {f'runtime.mesh.{k}': v for k, v in mesh.items()})


def mesh_sizes(text: str) -> dict[str, int]:
  """{axis: devices} of 'fsdp=4,tensor=2'. Raises BadInput."""
  out = {}
  for part in text.split(',') if text else ():
    name, _, size = part.partition('=')
    if name not in sharding.AXES or not size.isdigit():
      raise BadInput(f'--mesh={text}: found {part!r}, wanted AXIS=DEVICES, '
                     f'of {", ".join(sharding.AXES)}')
    out[name] = int(size)
  return out


def compile_configs(named: Sequence[tuple[str, ConfigDict]], topology: str,
                    mesh: str = '', members: int = 1) -> None:
  """Compiles the programs of (label, config) and prints what they need. Raises
  BadInput when one does not fit a device, or cannot be on the mesh."""
  jax.config.update('jax_platforms', 'cpu')  # of this process's own arrays
  devices, sizes = tpu_devices(topology), mesh_sizes(mesh)
  groups: dict[str, list[tuple[str, ConfigDict]]] = {}
  for label, config in named:
    config = with_mesh(config, sizes)
    groups.setdefault(program_key(config), []).append((label, config))
  print(f'{len(named)} runs, {len(groups)} distinct; {topology}: '
        f'{len(devices)} x {devices[0].device_kind}, jax {jax.__version__}, '
        f'libtpu {metadata.version("libtpu")}', flush=True)
  problems = []
  for i, group in enumerate(groups.values(), 1):
    label, config = group[0]
    more = f' and {len(group) - 1} more' if len(group) > 1 else ''
    print(f'[{i}/{len(groups)}] {label}{more}', flush=True)
    try:
      for made in train_programs(config, devices, members):
        print(described(made), flush=True)
        if not made.fits:
          problems.append(
              f'{label}: {made.program} needs {made.total / GIB:.3g} GiB of '
              f'{made.room / GIB:.4g}')
    except BadInput as e:
      print(f'  cannot be compiled: {e}', flush=True)
      problems.append(f'{label}: {e}')
  if problems:
    raise BadInput(f'{len(problems)} of the programs cannot run on {topology}: '
                   + '; '.join(problems[:3])
                   + ('; ...' if len(problems) > 3 else '')
                   + '; wanted a smaller batch, other --mesh axes, '
                   'runtime.remat or grad_accum_steps')


def described(made: Compiled) -> str:
  """Lines about a program."""
  if math.isnan(made.arguments):
    return (f'  {made.program}: does not fit: {made.total / GIB:.3g} of '
            f'{made.room / GIB:.4g} GiB; {made.seconds:.0f} s to compile')
  sizes = ', '.join(f'{name} {n / GIB:.3g}' for name, n in (
      ('arguments', made.arguments), ('temporaries', made.temporaries),
      ('output', made.output)))
  ratio = f', {made.flops / made.counted:.2f} of our count' if (
      made.counted) else ''
  sent = ', '.join(f'{c.count} {kind} ({c.bytes / 2**20:.3g} MiB)'
                   for kind, c in made.collectives.items()) or 'none'
  return (f'  {made.program}: {made.total / GIB:.3g} of {made.room / GIB:.4g} '
          f'GiB a device ({sizes}); {made.flops:.3g} FLOPs a device{ratio}; '
          f'collectives: {sent}; {made.seconds:.0f} s to compile')
