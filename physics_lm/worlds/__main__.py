"""Shows examples of a world, or writes them to files. No JAX.

  python -m physics_lm.worlds biographies --variant=multi5_permute --show=3
  python -m physics_lm.worlds igsm --max-op=15 --max-edge=20 --count=1000 \\
    --jsonl=FILE
  python -m physics_lm.worlds biographies --split=bio,qa_train --shards=4 \\
    --parquet=FILE --arrayrecord=FILE --nanogpt-bin=DIR

Every key of the world in configs/default.py is a flag, with '-' for '_'.
physics_lm/interop/export.py describes the files. The same command resumes an
export.
"""

from pathlib import Path

from physics_lm.config import argument_parser
from physics_lm.errors import BadInput, command
from physics_lm.interop import export
from physics_lm.worlds import base


@command
def main(argv: list[str] | None = None) -> None:
  """The command line."""
  p = argument_parser('physics_lm.worlds', __doc__)
  p.add_argument('world', help=', '.join(base.WORLDS))
  p.add_argument('--show', type=int, default=3,
                 help='examples of each split to print')
  p.add_argument('--seed', type=int, default=0, help='of the world')
  p.add_argument('--split', help='of the world; for files, several: A,B')
  p.add_argument('--count', type=int,
                 help='examples of each file (default: all)')
  for form in export.FORMATS:
    p.add_argument(f'--{form}', type=Path, metavar='PATH', help='file to write')
  p.add_argument('--shards', type=int, default=1,
                 help='number of files of each split')
  p.add_argument('--vocab', default='gpt2', help='tokenizer of --nanogpt-bin')
  p.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                 help='the same as --KEY=VALUE')
  a, rest = p.parse_known_args(argv)
  items = [*a.set, *_joined(rest)]
  world = base.world_from_flags(a.world, items, a.seed)
  forms = {f: getattr(a, f.replace('-', '_')) for f in export.FORMATS}
  if any(forms.values()):
    splits = a.split.split(',') if a.split else [world.splits[0]]
    what = {'world': a.world, 'version': world.version, 'seed': a.seed,
            'set': sorted(items)}
    for form, out in forms.items():
      if out:
        for path, split, count in export.export_world(
            world, what, form, out, splits, a.count, a.shards, a.vocab):
          print(f'{count} examples of {split} in {path}')
    return
  if a.show < 0:
    raise BadInput(f'--show is {a.show}, wanted at least 0')
  if a.count is not None:
    raise BadInput('--count without a file, wanted one of '
                   f'--{", --".join(export.FORMATS)}')
  for split in [a.split] if a.split else world.splits:
    size, people = world.size(split), world.people(split)
    print(f'--- {split}: {size:,} examples'  # several of each person, or not
          + (f' of {people:,} people' if people < size else ''))
    for i in range(min(a.show, world.size(split))):
      example = world.example(split, i)
      print(example.text.strip())
      if example.labels:
        print(f'labels: {"".join(example.labels).strip()}')


def _joined(flags: list[str]) -> list[str]:
  """'key=value' of '--key=value' and of '--key value'."""
  out = []
  for flag in flags:
    if flag.startswith('--'):
      key, equals, value = flag[2:].partition('=')
      out.append(key.replace('-', '_') + equals + value)
    elif out and '=' not in out[-1]:
      out[-1] += '=' + flag
    else:
      raise BadInput(f'cannot read argument {flag!r}, wanted --KEY=VALUE')
  return out


if __name__ == '__main__':
  main()
