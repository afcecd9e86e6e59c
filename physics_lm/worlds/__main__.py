"""Look at the data of a world, or export it. No JAX.

  python -m physics_lm.worlds biographies --variant=multi5_permute --show=3
  python -m physics_lm.worlds igsm --max-op=15 --max-edge=20 --count=1000 \
    --jsonl=FILE

Every key of the world in configs/default.py is a flag, '_' written as '-'.
A line of FILE is {"split", "index", "prompt", "completion", "answers", "meta"};
the completion begins with the first piece that bears loss.
"""

import json

from physics_lm import cli
from physics_lm.errors import BadInput, command, disk_errors, nearest
from physics_lm.worlds import base


@command
def main(argv=None):
  """The command line."""
  p = cli.parser('physics_lm.worlds', __doc__)
  p.add_argument('world', help=', '.join(base.WORLDS))
  p.add_argument('--show', type=int, default=3, help='examples of each split')
  p.add_argument('--seed', type=int, default=0)
  p.add_argument('--split', help='only this one')
  p.add_argument('--count', type=int, default=1000, help='examples to export')
  p.add_argument('--jsonl', metavar='FILE', help='export instead of showing')
  p.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                 help='the same as --KEY=VALUE')
  a, rest = p.parse_known_args(argv)
  from configs import default
  if a.world not in base.WORLDS or not hasattr(default, a.world):
    raise BadInput(f'unknown world {a.world!r}; '
                   f'{nearest(a.world, base.WORLDS)}')
  config = getattr(default, a.world)().lock()
  changes = {}
  for item in [*a.set, *_joined(rest)]:
    key, equals, value = item.partition('=')
    if not equals:
      raise BadInput(f'--set {item!r}, wanted KEY=VALUE')
    changes[key] = cli.typed(config, key, value)
  world = base.make(cli.override(config, changes), a.seed)
  splits = [a.split] if a.split else world.splits
  if a.jsonl:
    export(world, splits[0], a.count, a.jsonl)
    return
  for split in splits:
    print(f'--- {split}: {world.size(split)} examples of '
          f'{world.people(split)} people')
    for i in range(min(a.show, world.size(split))):
      print(world.example(split, i).text.strip())


def export(world: base.World, split: str, count: int, path: str):
  """Writes the first `count` examples of a split as JSON lines."""
  count = min(count, world.size(split))
  with disk_errors(path), open(path, 'w', encoding='utf-8') as file:
    bar = cli.Progress(count, 0, split, 'example')
    for i in range(count):
      e = world.example(split, i)
      first = min(e.loss, default=0)
      file.write(json.dumps({
          'split': split, 'index': i,
          'prompt': ''.join(e.pieces[:first]),
          'completion': ''.join(e.pieces[first:]),
          'answers': [(name, e.pieces[at].strip()) for name, at in e.answers],
          'meta': e.meta}) + '\n')
      bar.update(i + 1)
    bar.close()
  print(f'{count} examples of {split} in {path}')


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
