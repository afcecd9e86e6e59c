"""What a compiled program communicates, from its text (XLA's HLO). No JAX.

A program is a list of computations. Loops name their condition and body,
fusions and calls the computation that they run. How often an instruction runs
is the product of the limits of the loops around it: the constant that a loop's
condition compares its counter with.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all',
         'collective-permute')
BITS = {'pred': 8, 's4': 4, 'u4': 4, 's8': 8, 'u8': 8, 's16': 16, 'u16': 16,
        'bf16': 16, 'f16': 16, 's32': 32, 'u32': 32, 'f32': 32, 's64': 64,
        'u64': 64, 'f64': 64}
_HEAD = re.compile(r'^(ENTRY )?%([\w.\-]+) \(')
_COLLECTIVE = re.compile(
    rf' = (\(?[a-z].*?) ({"|".join(KINDS)})(-start)?\(')
_SHAPE = re.compile(r'\b([a-z]+\d*)\[([\d,]*)\]')
_CALLED = re.compile(
    r'\b(?:calls|to_apply|body|condition)=%([\w.\-]+)'
    r'|branch_computations=\{([^}]*)\}')
_LOOP = re.compile(r'\bcondition=%([\w.\-]+), body=%([\w.\-]+)')
# Devices that communicate: listed, as [groups,size]<=..., or as the named axes
# of a mesh that has unnamed ones, too.
_GROUPS = re.compile(
    r"replica_groups=(?:\{\{([\d,]*)\}|\[\d+,(\d+)\]<=|mesh\[([^\]]*)\]"
    r"(?:, device_ids=\(.*?\))? \{([^}]*)\})")
_CONSTANT = re.compile(r' s32\[\]\S* constant\((\d+)\)')


class Collective(NamedTuple):
  """Communication of one kind, on one device."""

  count: int  # instructions run
  bytes: float  # of their results, together


def collectives(text: str) -> dict[str, Collective]:
  """{kind: Collective} of a run of a compiled module. Of communication that
  overlaps with computation, which the text holds at its start, beside the
  computation and at its end, the start alone counts."""
  parts = dict(computations(text))
  runs, out = times_run(parts), {}
  for name, lines in parts.items():
    if name.startswith('async_collective_fusion') or any(
        'AsyncCollectiveDone' in line for line in lines):
      continue
    for line in lines:
      found = _COLLECTIVE.search(line)
      if found and group_size(line) > 1:
        kind, times = found[2], runs.get(name, 0)
        sizes = [shape_bytes(*s) for s in _SHAPE.findall(found[1])]
        # Started apart from their end, they hold operands and results both.
        size = max(sizes) if found[3] else sum(sizes)
        count, total = out.get(kind, (0, 0.0))
        out[kind] = Collective(count + times, total + times * size)
  return {k: v for k, v in out.items() if v.count}


def group_size(line: str) -> int:
  """How many devices communicate in a collective; of two or more where the
  instruction does not say."""
  found = _GROUPS.search(line)
  if not found:
    return 2
  listed, size, mesh, axes = found.groups()
  if listed is not None:
    return len(listed.split(','))
  if size is not None:
    return int(size)
  sizes = dict(re.findall(r"'(\w+)'=(\d+)", mesh))
  return math.prod(int(sizes[a]) for a in re.findall(r"'(\w+)'", axes))


def computations(text: str) -> Iterator[tuple[str, list[str]]]:
  """(name, its lines) of every computation; 'ENTRY' is the program's."""
  name, lines = None, []
  for line in text.splitlines():
    if name is None:
      if head := _HEAD.match(line):
        name, lines = 'ENTRY' if head[1] else head[2], []
    elif line == '}':
      yield name, lines
      name = None
    else:
      lines.append(line)


def times_run(parts: dict[str, list[str]]) -> dict[str, int]:
  """How often each computation runs in a run of 'ENTRY'."""
  out: dict[str, int] = {}

  def visit(name: str, times: int) -> None:
    out[name] = out.get(name, 0) + times
    for line in parts[name]:
      loop = _LOOP.search(line)
      inside = times * loop_limit(parts.get(loop[1], [])) if loop else times
      for called, branches in _CALLED.findall(line):
        for n in [called] if called else [
            b.strip().removeprefix('%') for b in branches.split(',')]:
          if n in parts:
            visit(n, inside)

  visit('ENTRY', 1)
  return out


def loop_limit(condition: list[str]) -> int:
  """The most turns of a loop that counts from 0 to a constant of its
  condition; 1 where the condition has none."""
  return max((int(n) for line in condition
              for n in _CONSTANT.findall(line)), default=1)


def shape_bytes(dtype: str, dims: str) -> float:
  """Bytes of an array, from 'f32' and '2,3'; 0 for what is no array."""
  return BITS.get(dtype, 0) / 8 * math.prod(
      int(d) for d in dims.split(',') if d)
