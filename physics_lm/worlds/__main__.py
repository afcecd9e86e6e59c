"""Look at the data of a world. No JAX.

  python -m physics_lm.worlds biographies --variant=multi5_permute --show=3
  python -m physics_lm.worlds biographies --set people=1000 --set cities=50
"""

from physics_lm import cli
from physics_lm.errors import BadInput, command, nearest
from physics_lm.worlds import base


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
  a = p.parse_args(argv)
  from configs import default
  if a.world not in base.WORLDS or not hasattr(default, a.world):
    raise BadInput(f'unknown world {a.world!r}; '
                   f'{nearest(a.world, base.WORLDS)}')
  config = getattr(default, a.world)().lock()
  changes = {'variant': a.variant} if a.variant else {}
  for item in a.set:
    key, equals, value = item.partition('=')
    if not equals:
      raise BadInput(f'--set {item!r}, wanted KEY=VALUE')
    changes[key] = cli.parse_value(value)
  world = base.make(cli.override(config, changes), a.seed)
  for split in world.splits:
    print(f'--- {split}: {world.size(split)} examples of '
          f'{world.people(split)} people')
    for i in range(min(a.show, world.size(split))):
      print(world.example(split, i).text.strip())


if __name__ == '__main__':
  main()
