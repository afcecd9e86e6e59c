"""Clean text files for training: quality, repetition, duplicates. No JAX.

  python -m physics_lm.clean 'data/*.jsonl.gz' data/more.txt --out=runs/clean
  python -m physics_lm.clean 'data/**/*.parquet' --out=runs/clean \\
      --config=configs/clean.py:duplicates --near.min_jaccard=0.7
  python -m physics_lm.clean notes.txt --out=runs/clean --without=c4,fineweb \\
      --separator=$'\\n\\n' --gopher.min_words=20

FILES: patterns of .txt (or other text), .jsonl, .parquet, .arrayrecord, each
also .gz. OUT: the cleaned files as JSON lines, which the world `text` reads,
and report.json and report.csv: what each rule took. Every key of `clean` in
configs/default.py is a flag; configs/clean.py names the rules' sources. The
same command resumes a stopped one. Hashes of all pages, about as large as their
text, must fit into memory.
"""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from physics_lm.clean import pipeline
from physics_lm.clean.minhash import candidate_rate
from physics_lm.clean.words import shortened
from physics_lm.config import (
  argument_parser,
  load_config,
  override,
  typed_value,
)
from physics_lm.configs import clean as recipe
from physics_lm.errors import BadInput, command, nearest
from physics_lm.worlds.text import files_of


@command
def main(argv: list[str] | None = None) -> None:
  """The command line."""
  p = argument_parser('physics_lm.clean', __doc__)
  p.add_argument('files', nargs='+', metavar='FILES')
  p.add_argument('--out', type=Path, required=True, help='folder to write')
  p.add_argument('--config', default='configs/clean.py',
                 help='FILE.py[:VARIANT] with get_config() (default: '
                 'configs/clean.py, variants web, duplicates, none)')
  for flag, text in (('only', 'switched on, all others off'),
                     ('without', 'switched off')):
    p.add_argument(f'--{flag}', default='', metavar='RULES',
                   help=f'rules, comma-separated, to be {text}: '
                   + ', '.join(recipe.RULES))
  a, rest = p.parse_known_args(argv)
  rules = rules_of(a.config, a.only, a.without, rest)
  files = pipeline.make_plan(files_of(','.join(a.files)), a.out, rules)
  print_rates(rules)
  print_report(pipeline.clean_files(files, a.out, rules), a.out)


def rules_of(config: str, only: str, without: str, flags: list[str]
             ) -> ConfigDict:
  """The rules of a config file with flags '--KEY=VALUE'. Raises BadInput."""
  rules = load_config(config)
  if rules.get('kind') != 'clean':
    raise BadInput(f'{config} is no config of cleaning; wanted one as '
                   'configs/clean.py')
  changes = {f'{r}.on': r in _names(only) for r in recipe.RULES} if only else {}
  changes |= {f'{r}.on': False for r in _names(without)}
  for flag in flags:
    key, equals, value = flag.partition('=')
    if not key.startswith('--') or not equals:
      raise BadInput(f'cannot read argument {flag!r}, wanted --KEY=VALUE, as '
                     '--gopher.min_words=20')
    changes[key[2:]] = typed_value(rules, key[2:], value)
  return override(rules, changes)


def _names(text: str) -> list[str]:
  names = [n for n in text.split(',') if n]
  for name in names:
    if name not in recipe.RULES:
      raise BadInput(f'unknown rule {name!r}; {nearest(name, recipe.RULES)}')
  return names


def print_rates(rules: ConfigDict) -> None:
  """Prints how likely near duplicates are found, by their similarity."""
  near = rules.near
  if near.on:
    rates = ', '.join(f'{candidate_rate(j, near.bands, near.rows):.2g} at {j}'
                      for j in (0.6, 0.7, 0.8, 0.9))
    print(f'near: {near.bands} bands of {near.rows} find a pair with '
          f'probability {rates} (Jaccard); removed from {near.min_jaccard} on',
          flush=True)


def print_report(report: dict, out: Path) -> None:
  """Prints what each rule took, and where the files are."""
  rules = report['rules']
  width = max(map(len, rules))
  print(f'{"rule":{width}}  pages removed  changed     tokens  example')
  for name, r in rules.items():
    if r['removed'] or r['changed']:
      print(f'{name:{width}} {r["removed"]:14,} {r["changed"]:8,} '
            f'{r["tokens"]:10,}  {shortened(r["example"], 90)}')
  took = {n.partition('.')[0]: 0 for n in rules}
  for name, r in rules.items():
    took[name.partition('.')[0]] += r['removed'] + r['changed']
  if none := [n for n, count in took.items() if not count]:
    print(f'nothing taken by: {", ".join(none)}')
  share = report['tokens_kept'] / max(report['tokens'], 1)
  print(f'kept {report["pages_kept"]:,} of {report["pages"]:,} pages, '
        f'{report["tokens_kept"]:,} of {report["tokens"]:,} tokens '
        f'({share:.1%}; words and punctuation marks), in '
        f'{len(report["files"])} files')
  print(f'output: {out}/**/*.jsonl*, {out}/report.csv, {out}/report.json')
  if not report['pages_kept']:
    print('no page is left: see the rules above; --config=configs/clean.py:'
          'duplicates has none about quality', file=sys.stderr)


if __name__ == '__main__':
  main()
