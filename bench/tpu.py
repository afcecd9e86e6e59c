"""The largest programs of every experiment, compiled for TPUs: do they fit?

  JAX_EXEC_TIME_OPTIMIZATION_EFFORT=-1 python bench/tpu.py \\
      [--scale=paper] [--chips=16] [--cache=FILE] [--seconds=300] [NAME ...]

Of each experiment: the train step that needs the most memory, by estimate, and
the decoding that writes the most. A program is compiled once, however many
experiments have it. Rows that the chips do not divide are on fewer of them. A
model that would not fit is cut over all chips (fsdp), and recomputes. With
--cache, what is compiled is kept in a file, and the same command goes on where
it was stopped, by --seconds say. Prints a table in Markdown, as in
docs/cluster.md.
"""

import argparse
import collections
import json
import math
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from physics_lm import ahead_of_time, cost, sweep
from physics_lm.config import override
from physics_lm.errors import BadInput, command
from physics_lm.model.config import model_config

TOPOLOGIES = {16: 'v5e:4x4', 8: 'v5e:2x4', 4: 'v5e:2x2', 1: 'v5e:1x1'}


def predicted(config, chips: int = 1) -> float:
  """Bytes that a train step needs on each chip."""
  form = model_config(config, len(cost.small_mixture(config).vocab))
  return cost.memory_bytes(config, form, chips, 'tpu-v5e')


def placed(config, most: int):
  """The config, and how many chips divide its rows."""
  chips = max(n for n in TOPOLOGIES if n <= most and not (
      config.data.batch_size % (n * config.runtime.grad_accum_steps)))
  if predicted(config, chips) > cost.DEVICES['tpu-v5e'].memory:
    config = override(config, {'runtime.mesh.fsdp': chips,
                               'runtime.remat': True})
  return config, chips


def written(config) -> int:
  """Tokens that its largest decoding keeps."""
  return max((e.max_new_tokens * min(e.num_problems, 256)
              for e in ahead_of_time.generating(config)), default=0)


def largest(runs) -> list:
  """The configs with the largest train step and the largest decoding."""
  distinct = {}
  for run in runs:
    distinct.setdefault(ahead_of_time.program_key(run.config), run.config)
  trained = [c for c in distinct.values() if c.steps]
  out = [max(trained, key=predicted)] if trained else []
  decoding = max(distinct.values(), key=written)
  if written(decoding) and all(written(c) < written(decoding) for c in out):
    out.append(decoding)
  return out


def compiled(config, most: int) -> list[dict]:
  """What each of the run's programs needs, or why there is none."""
  config, chips = placed(config, most)
  try:
    made = ahead_of_time.train_programs(
        config, ahead_of_time.tpu_devices(TOPOLOGIES[chips]))
  except BadInput as e:
    return [{'program': 'none', 'problem': str(e)}]
  form = model_config(config, len(cost.small_mixture(config).vocab))
  shape = (f'{form.depth} x {form.width}, batch {config.data.batch_size} x '
           f'{config.data.seq_len}')
  shape += f', fsdp {chips}' * (config.runtime.mesh.fsdp > 1)
  return [{'program': shape if m.program == 'train step' else m.program,
           'chips': chips, 'gib': m.total / 2**30, 'room': m.room / 2**30,
           'flops': m.flops, 'ratio': m.flops / m.counted if m.counted else 0,
           'seconds': m.seconds} for m in made]


def lines_of(found: dict, users: dict) -> list[str]:
  """Rows of the table: experiments, program, GiB, FLOPs."""
  merged = collections.defaultdict(list)
  for key, programs in found.items():
    for p in programs if users.get(key) else ():
      merged[json.dumps(p | {'seconds': 0})] += users[key]
  out = ['| experiment (runs) | program | chips | GiB per chip '
         '| FLOPs per chip |',
         '|---|---|---|---|---|']
  for text, names in merged.items():
    p = json.loads(text)
    if 'problem' in p:
      out.append(f'| {", ".join(names)} | none | | {p["problem"]} | |')
      continue
    ratio = f' ({p["ratio"]:.2f})' if p['ratio'] else ''
    fits = '' if p['gib'] <= p['room'] else ', **does not fit**'
    out.append(f'| {", ".join(names)} | {p["program"]} | {p["chips"]} | '
               f'{p["gib"]:.3g} of {p["room"]:.4g}{fits} | '
               f'{p["flops"]:.2g}{ratio} |')
  return out


@command
def main(argv=None):
  p = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument('names', nargs='*', help='of experiments; default: all')
  p.add_argument('--scale', default='paper')
  p.add_argument('--chips', type=int, default=16, choices=TOPOLOGIES)
  p.add_argument('--cache', type=Path)
  p.add_argument('--seconds', type=float, default=math.inf)
  a = p.parse_args(argv)
  import jax
  jax.config.update('jax_platforms', 'cpu')
  began, found = time.time(), {}
  if a.cache and a.cache.exists():
    found = dict(json.loads(line) for line in a.cache.open(encoding='utf-8'))
  users, made, left = collections.defaultdict(list), 0, 0
  for path in sorted((sweep.ROOT / 'experiments').glob('*.py')):
    module = sweep.experiment(str(path))
    if (a.names and path.stem not in a.names) or a.scale not in module.SCALES:
      continue
    runs = module.runs(a.scale)
    for config in largest(sweep.ordered(runs)):
      key = f'{a.chips} {ahead_of_time.program_key(config)}'
      users[key].append(f'{path.stem} ({len(runs)})')
      if key in found:
        continue
      if made and time.time() - began > a.seconds:
        left += 1
        continue
      made += 1
      found[key] = compiled(config, a.chips)
      print(path.stem, found[key], file=sys.stderr, flush=True)
      if a.cache:
        with a.cache.open('a', encoding='utf-8') as f:
          f.write(json.dumps([key, found[key]]) + '\n')
  print('\n'.join(lines_of(found, users)))
  if left:
    print(f'{left} programs left: the same command again goes on')


if __name__ == '__main__':
  main()
