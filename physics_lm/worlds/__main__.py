"""Look at the data of a world, or write them to files. No JAX.

  python -m physics_lm.worlds biographies --variant=multi5_permute --show=3
  python -m physics_lm.worlds biographies --set people=1000 --set cities=50
  python -m physics_lm.worlds biographies --split=bio --jsonl=bios.jsonl.gz
      [--parquet=FILE --arrayrecord=FILE --nanogpt-bin=DIR] [--shards=4]

Files are described in physics_lm/worlds/export.py; the same command resumes.
"""

from pathlib import Path

from physics_lm import cli
from physics_lm.errors import BadInput, command
from physics_lm.worlds import base, export


@command
def main(argv=None):
  """The command line."""
  p = cli.parser('physics_lm.worlds', __doc__)
  p.add_argument('world', help=', '.join(base.WORLDS))
  p.add_argument('--variant', help='of the biographies')
  p.add_argument('--show', type=int, default=3, help='examples of each split')
  p.add_argument('--seed', type=int, default=0)
  p.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                 help='another key of the world, as in configs/default.py')
  for form in export.FORMATS:
    p.add_argument(f'--{form}', type=Path, metavar='PATH', help='write it')
  p.add_argument('--split', help='which, of files; several: A,B')
  p.add_argument('--count', type=int, help='examples of each split (all)')
  p.add_argument('--shards', type=int, default=1, help='files of each split')
  p.add_argument('--vocab', default='gpt2', help='of --nanogpt-bin')
  a = p.parse_args(argv)
  world = base.of_flags(a.world, a.set, a.seed, variant=a.variant)
  forms = {f: getattr(a, f.replace('-', '_')) for f in export.FORMATS}
  if any(forms.values()):
    splits = a.split.split(',') if a.split else [world.splits[0]]
    what = {'world': a.world, 'version': world.version, 'seed': a.seed,
            'variant': a.variant, 'set': sorted(a.set)}
    for form, out in forms.items():
      if out:
        files = export.export(world, what, form, out, splits, a.count,
                              a.shards, a.vocab)
        print('\n'.join(map(str, files)))
    return
  if a.count is not None or a.split:
    raise BadInput('--split and --count are of files, found none; wanted '
                   f'--{", --".join(export.FORMATS)}')
  for split in world.splits:
    print(f'--- {split}: {world.size(split)} examples of '
          f'{world.people(split)} people')
    for i in range(min(a.show, world.size(split))):
      print(world.example(split, i).text.strip())


if __name__ == '__main__':
  main()
