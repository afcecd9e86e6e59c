"""What a run costs before it is launched: FLOPs, time, memory. No JAX."""

import math
import os
import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from physics_lm import eval_cost, mixture, slurm, sweep, task_rows
from physics_lm.config import override
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model.config import (
  LOGITS_CHUNK,
  SPLASH_FROM,
  ModelConfig,
  logits_chunks,
  lr_decay_start,
  model_config,
)
from physics_lm.progress import clock
from physics_lm.scaling import flops


class Device(NamedTuple):
  """What one device can do."""

  speed: float  # effective training FLOP/s of one worker
  memory: float  # bytes
  startup: float = 15.0  # seconds: imports, compilation, of evaluations too


# 'cpu' is one core of the machine in bench/RESULTS.md, measured; the others
# are 30 % of the published dense bf16 peak, an assumption.
DEVICES = {
    'cpu': Device(8.0e10, os.sysconf('SC_PAGE_SIZE') * float(
        os.sysconf('SC_PHYS_PAGES')), 7.0),
    'a100': Device(0.3 * 312e12, 80e9), 'h200': Device(0.3 * 989e12, 141e9),
    'tpu-v5e': Device(0.3 * 197e12, 16e9),
    'tpu-v5p': Device(0.3 * 459e12, 95e9)}
# Fitted to programs compiled for v5e (tests/test_ahead_of_time.py): arrays that
# the backward pass of a layer needs beside what is kept, as (those of stream
# and MLP, of heads padded to 128 numbers, of heads with T padded to 128); those
# of heads are fewer where nothing that is kept has to be copied.
SPLASH_ARRAYS, PLAIN_ARRAYS, REMAT_ARRAYS = (1.5, 20, 0), (4, 5, 4.5), (
    1.5, 10, 0)
LOGITS_BYTES = 6.5  # a logit of one chunk
FEW_PEOPLE = 1000  # that a cost is estimated with
# A core is slower the narrower the model: FLOP/s at width 64, and the power of
# the width. Fitted, with its startup, to the seconds of 3,873 records of CPUs,
# each experiment with the same weight; from width 230 on 'cpu' holds.
NARROW_SPEED, NARROW_POWER = 3.7e10, 0.6
ENOUGH_RECORDS = 3  # of an experiment, to correct the estimates of its others


class _Share(NamedTuple):
  """What one device of a mesh holds."""

  tokens: float  # of a micro-batch
  parameters: float
  parts: int  # of the tensor axis, which cuts heads, MLP and vocabulary


def _share(config: ConfigDict, form: ModelConfig, devices: int) -> _Share:
  m = config.runtime.mesh
  known = math.prod(s for s in (m.data, m.fsdp, m.tensor, m.expert) if s > 0)
  data, fsdp, parts = (s if s > 0 else max(devices // known, 1)
                       for s in (m.data, m.fsdp, m.tensor))
  count = flops.parameters(form)
  return _Share(
      config.data.batch_size * config.data.seq_len / (
          data * fsdp * config.runtime.grad_accum_steps),
      (count.total - count.mlp * (1 - 1 / max(m.expert, 1))) / (fsdp * parts),
      parts)


def memory_bytes(config: ConfigDict, form: ModelConfig, devices: int = 1,
                 device: str = 'h200') -> float:
  """Bytes that training needs on each of `devices` of a kind in DEVICES, those
  that the mesh leaves open (-1) on its axis: parameters and two moments in
  float32, gradients, activations kept for the backward pass, logits. Of TPUs
  within 20 % of the compiler's own number (tests/test_ahead_of_time.py); of
  others an estimate."""
  if device.startswith('tpu'):
    return _tpu_memory(config, form, _share(config, form, devices))
  own = _share(config, form, devices)
  size = 4 if form.dtype == 'float32' else 2
  D, F, T = form.width, form.mlp_width, config.data.seq_len
  heads = form.heads * form.head + 2 * form.kv_heads * form.head
  wide = F * (3 if form.gated else 2)
  # A token, a layer: stream, two norms, queries to output, MLP; and the
  # attention weights: cuDNN, which keeps none, may refuse.
  layer = 5 * D + (2 * heads + wide) / own.parts
  layer += sum(flops.canon_channels(form).values())  # an input of each site
  layer += 2 * form.heads / own.parts * T
  kept = form.depth * (D if form.remat else layer) + layer
  logits = min(own.tokens * form.vocab, LOGITS_CHUNK) * 4 * 2
  return 16.0 * own.parameters + own.tokens * kept * size + logits


def _tpu_memory(config: ConfigDict, form: ModelConfig, own: _Share) -> float:
  """memory_bytes of the program that model/kernels.py makes for TPUs, where
  the results of linear maps and of splash attention are kept. The last two axes
  of a TPU's arrays are padded to tiles of 8 x 128: arrays of heads, of 16 to 64
  numbers or by tokens, need up to eight times what they hold. Factors are
  fitted to compiled programs."""
  size = 4 if form.dtype == 'float32' else 2
  D, F, T = form.width, form.mlp_width, config.data.seq_len
  splash = form.attention == 'splash' or (
      form.attention == 'auto' and T >= SPLASH_FROM)
  F *= 2 if form.gated else 1
  if form.num_experts > 1:  # in slots, more than tokens, of a device's experts
    F *= form.moe_capacity_factor / max(config.runtime.mesh.expert, 1)
  N, H = form.heads / own.parts, form.head
  wide = 2 * D + F / own.parts
  head = _padded(H, 128) * _padded(T, 128 if splash else 8) / T
  layer = wide + (N + 2 * form.kv_heads / own.parts) * H + N * head * splash
  of_wide, of_heads, of_lanes = PLAIN_ARRAYS if not splash else (
      REMAT_ARRAYS if form.remat else SPLASH_ARRAYS)
  kept = form.depth * (D if form.remat else layer) + of_wide * wide + N * (
      of_heads * head + of_lanes * _padded(H, 8) * _padded(T, 128) / T)
  if not splash:  # weights of one layer, in float32 and in `size`
    kept += N * T * (4 + size) / size
  logits = own.tokens * form.vocab / own.parts
  logits /= logits_chunks(T, logits)
  table = form.vocab * D / own.parts  # its gradient, beside the others
  return (16.0 * own.parameters + own.tokens * kept * size
          + LOGITS_BYTES * logits + 4 * table)


def _padded(n: int, tile: int) -> int:
  """The least multiple of `tile` that is not below n."""
  return -(-n // tile) * tile


def few_people(config: ConfigDict) -> dict[str, int]:
  """Overrides: at most 1,000 people in each world, of seed 0, and no more of
  them in training. Making 100,000 would take longer than reading a list; rows
  and vocabulary are alike."""
  out = {f'seed.{k}': 0 for k in config.seed}
  for name, world in config.worlds.items():
    if 'people' in world:
      few = out[f'worlds.{name}.people'] = min(world.people, FEW_PEOPLE)
      if 'train_people' in world:
        out[f'worlds.{name}.train_people'] = min(world.train_people, few // 2)
  return out


def small_mixture(config: ConfigDict) -> mixture.Mixture:
  """The mixture of a config with few_people."""
  return load_mixture(override(config, few_people(config)))


def run_cost(run: sweep.Run, device: str, devices: int = 1) -> dict:
  """Parameters, tokens, exposures of each task, FLOPs and seconds of training
  on `devices` of a kind, seconds of its evaluations (eval_cost.py), and bytes
  on each device. Exposures are estimated from 16 rows of each task, with
  few_people."""
  c = run.config
  few, data = few_people(c), small_mixture(c)
  form = model_config(c, len(data.vocab))
  tokens = c.steps * c.data.batch_size * c.data.seq_len
  exposures = {}
  for at, task in enumerate(data.tasks):
    if not task.people:  # a stream
      continue
    alone = mixture.only(data, task)
    sample = [int(mixture.packed_row(alone, i)['entries']) for i in range(16)]
    drawn = sum(sample) / 16 * task_rows.count_rows(
        data.phases, at, c.steps * c.data.batch_size)
    world = c.data.tasks[task.name].world
    fewer = few.get(f'worlds.{world}.people', 1) / c.worlds[world].get(
        'people', 1)
    exposures[task.name] = drawn / task.people * fewer
  work = flops.per_token(form, c.data.seq_len) * tokens
  larger = {name: world.people / few[f'worlds.{name}.people']
            for name, world in c.worlds.items() if 'people' in world}
  evaluated = eval_cost.eval_flops(c, data, form, larger)
  # What it takes from a trunk is the trunk's cost.
  own = work * (1 - lr_decay_start(c) / c.steps if run.trunk and c.steps else 1)
  speed = DEVICES[device].speed
  if device == 'cpu':
    speed = min(speed, NARROW_SPEED * (form.width / 64)**NARROW_POWER)
  return {'parameters': flops.parameters(form).total,
          'tokens': tokens, 'exposures': exposures, 'flops': work,
          'seconds': DEVICES[device].startup + own / speed / devices,
          'evals': evaluated / DEVICES[device].speed / devices,
          'bytes': memory_bytes(c, form, devices, device)}


def cost_table(runs: Sequence[sweep.Run], folder: Path, device: str,
               devices: int = 1, recorded: Collection[str] = (),
               width: int | None = None,
               measured: Mapping[str, float] | None = None) -> str:
  """The text of --list: the runs of an experiment and those they start from,
  with their states (sweep.states, or a cluster's).

  Args:
    recorded: ids of runs whose record is committed.
    width: of the terminal, in characters; longer lines of the table are cut.
    measured: seconds of runs of the experiment on one device of this kind, by
      id; the estimates of the others are corrected by them.
  """
  states = sweep.states(runs, folder, recorded)
  try:
    queued = slurm.queue_states(runs, folder)
  except BadInput:  # no Slurm here, or it does not answer
    queued = {}
  runs = sweep.ordered(runs)
  costs = [run_cost(run, device, devices) for run in runs]
  times, origin = run_seconds(
      runs, costs, measured if measured and devices == 1 else {})
  changes = [run.changes for run in runs]
  common = {k: v for k, v in changes[0].items()
            if all(k in c and c[k] == v for c in changes)}
  lines = [['id', 'run', 'params', 'tokens', 'exposures', 'FLOPs', 'time',
            'evals', 'memory', 'state', 'overrides']]
  for run, k, seconds in zip(runs, costs, times):
    lines.append([
        run.id, ' '.join(f'{a}={b}' for a, b in run.tags.items()),
        short_number(k['parameters']), short_number(k['tokens']),
        ' '.join(f'{t}:{e:.0f}' for t, e in k['exposures'].items()),
        f'{k["flops"]:.1e}', clock(seconds), clock(k['evals']),
        f'{short_number(k["bytes"])}B',
        queued.get(run.id, states[run.id]).lower(),
        overrides({k: v for k, v in run.changes.items() if k not in common})])
  left = [seconds for run, seconds in zip(runs, times)
          if states[run.id] not in sweep.COMPLETE]
  return '\n'.join([
      *cut(aligned(lines), width), f'every run: {overrides(common)}',
      _total(costs, times, device, devices) + origin
      + (f'; {len(left)} left, about {clock(sum(left))}' if left
         else '; nothing left to run'), *_too_big(costs, device)])


def run_seconds(runs: Sequence[sweep.Run], costs: Sequence[dict],
                measured: Mapping[str, float]) -> tuple[list[float], str]:
  """Seconds of each run with its evaluations, and '; times: ...' that says
  where they are from: measured, or estimated (run_cost); with ENOUGH_RECORDS
  of trainings the estimates are multiplied by the median ratio of both."""
  estimates = [k['seconds'] + k['evals'] for k in costs]
  ratios = [measured[run.id] / e for run, e in zip(runs, estimates)
            if run.id in measured and run.config.steps]
  enough = len(ratios) >= ENOUGH_RECORDS
  factor = statistics.median(ratios) if enough else 1.0
  known = sum(run.id in measured for run in runs)
  parts = [f'{known} of records'] if known else []
  if known < len(runs):
    parts.append(f'{len(runs) - known} estimated' + (
        f' (times {factor:.2g}, as its records)' if enough else ''))
  text = ', '.join(parts)
  return [measured.get(run.id, e * factor) for run, e in zip(
      runs, estimates)], f'; times: {text}'


def _total(costs: Sequence[dict], times: Sequence[float], device: str,
           devices: int) -> str:
  """Tokens, FLOPs and time of all runs together."""
  tokens, work, evals = (sum(k[key] for k in costs) for key in (
      'tokens', 'flops', 'evals'))
  seconds = sum(times)
  workers = f'{devices} x {device}' if devices > 1 else f'one {device} worker'
  return (f'{len(costs)} runs, {short_number(tokens)} tokens, {work:.1e} '
          f'FLOPs, about {clock(seconds)} of {workers} in all '
          f'({seconds * devices / 3600:.2g} device-hours), evaluations '
          f'{clock(evals)} of it')


def _too_big(costs: Sequence[dict], device: str) -> list[str]:
  """A line when some runs do not fit the device's memory."""
  room = DEVICES[device].memory
  big = sum(k['bytes'] > room for k in costs)
  return [f'{big} of {len(costs)} runs need more than the '
          f'{short_number(room)}B of a {device}: use more devices (--devices) '
          'over runtime.mesh.fsdp, '
          'runtime.remat, runtime.grad_accum_steps'] if big else []


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
  """Rows of cells as lines of text with columns of equal width."""
  widths = [max(map(len, column)) for column in zip(*lines)]
  return ['  '.join(c.ljust(w) for c, w in zip(cells, widths)).rstrip()
          for cells in lines]


def cut(lines: Sequence[str], width: int | None) -> list[str]:
  """Lines of at most `width` characters, with a last line when any is cut."""
  if width is None or all(len(line) <= width for line in lines):
    return list(lines)
  short = [line if len(line) <= width else line[:width - 3] + '...'
           for line in lines]
  return [*short, f'cut at {width} characters; in full: add | cat']


def overrides(changes: Mapping) -> str:
  """'model.depth=4 steps=100'; sections that only group are left out."""
  return ' '.join(f'{k.removeprefix("worlds.").removeprefix("data.tasks.")}={v}'
                  for k, v in changes.items())


def short_number(n: float) -> str:
  """1234567 -> '1.2M'."""
  for unit, size in (('T', 1e12), ('G', 1e9), ('M', 1e6), ('k', 1e3)):
    if n >= size:
      return f'{n / size:.3g}{unit}'
  return str(int(n))
