"""Our train step against a PyTorch decoder of the same shape, in turn.

  python bench/peers.py [--torch=PYTHON] [--rounds=3] [--out=bench/PEERS.md]
      [--shape=V512,D64,L4,N4,T64,B64 ...] [--dtype=bfloat16]

PYTHON is an interpreter with torch, by default this one if it has it (`pip
install -e .[bench]`); without torch ours runs alone. Every round runs ours,
torch eager and torch compiled one after the other, each in its own process,
so that a drifting machine is fair to all. Any command that prints
`{"name": ..., "tokens_per_second": ...}` as its last line can be a peer:
--peer='COMMAND', where {shape} stands for the shape.
"""

import argparse
import importlib.util
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHAPES = ['V512,D64,L4,N4,T64,B64', 'V2048,D128,L4,N4,T256,B16']


def middle(values):
  return sorted(values)[len(values) // 2]


def main():
  p = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument('--torch', help='a Python that has torch')
  p.add_argument('--peer', action='append', default=[])
  p.add_argument('--shape', action='append')
  p.add_argument('--dtype', default='float32')
  p.add_argument('--attention', default='auto', help='ours')
  p.add_argument('--rounds', type=int, default=3)
  p.add_argument('--seconds', type=float, default=8.0)
  p.add_argument('--out', type=Path, default=HERE / 'PEERS.md')
  a = p.parse_args()
  if not a.torch and importlib.util.find_spec('torch'):
    a.torch = sys.executable
  common = f'--shape={{shape}} --dtype={a.dtype} --seconds={a.seconds} --json'
  commands = [f'{sys.executable} {HERE}/step.py --attention={a.attention} '
              + common]
  if a.torch:
    commands += [f'{a.torch} {HERE}/torch_step.py {common} {flag}'
                 for flag in ('', '--compile')]
  commands += a.peer
  text = []
  for shape in a.shape or SHAPES:
    found: dict[str, list] = {}
    for _ in range(a.rounds):
      for command in commands:
        done = subprocess.run(shlex.split(command.format(shape=shape)),
                              capture_output=True, text=True)
        try:
          row = json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, json.JSONDecodeError):
          sys.exit(f'error: {command.format(shape=shape)} printed no JSON '
                   f'(exit {done.returncode}): {done.stderr[-500:]}')
        found.setdefault(row['name'], []).append(row)
        print(f'{shape} {row["name"]}: {row["tokens_per_second"]:.0f}',
              flush=True)
    speed = {k: middle([r['tokens_per_second'] for r in v])
             for k, v in found.items()}
    best = max((v for k, v in speed.items() if k != 'physics_lm'),
               default=None)
    device = found['physics_lm'][0]['device']
    text += [f'## {shape}, {a.dtype}, {device}', '',
             '| trainer | tokens/s, median of rounds | each round |',
             '|---|---|---|']
    text += [f'| {k} | {speed[k]:,.0f} | '
             + ', '.join(f'{r["tokens_per_second"]:,.0f}' for r in v) + ' |'
             for k, v in found.items()]
    if best:
      text += ['', f'Ours is {speed["physics_lm"] / best:.2f} times the best '
               'of the others.']
    text.append('')
  if len(commands) == 1:
    print('\n'.join(text))
    print("no other trainer to compare with: pip install -e '.[bench]', or "
          '--torch=PYTHON, or --peer=COMMAND')
    return
  cpu = next((line.split(':')[1].strip() for line in
              Path('/proc/cpuinfo').read_text().splitlines()
              if line.startswith('model name')), '')
  a.out.write_text('# Beside other trainers\n\nWritten by bench/peers.py: '
                   f'{a.rounds} rounds, in turn; {cpu}, '
                   f'{len(os.sched_getaffinity(0))} cores.\n\n'
                   + '\n'.join(text))
  print(f'written: {a.out}')


if __name__ == '__main__':
  main()
