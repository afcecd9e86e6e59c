"""Cleaning files: plan, stages over all files, resuming, report. No JAX.

OUT holds the cleaned files, as JSON lines under the names of the input,
report.json and report.csv (what each rule took), and .clean.json (the plan: the
rules and a digest of every input). Work in progress is in OUT/.work, a folder a
step: the pages and a tally of each file, the tally last, both by rename; a file
whose tally has the size of its pages is not done again. Stages are repeated
until none takes anything (or `rounds` times), so that to clean the output again
changes nothing.
"""

import csv
import hashlib
import io
import itertools
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm import run_dir, text_files
from physics_lm.clean.stages import STAGES, Stage, is_on
from physics_lm.clean.words import token_count
from physics_lm.config import config_changes, flat_keys, plain_config
from physics_lm.errors import BadInput, disk_errors
from physics_lm.progress import Progress

VERSION = 1
_ONE_RULE = ('exact', 'near', 'lines', 'substrings')  # sections of one rule
_NO_RULE = ('on', 'short_line')


class File(NamedTuple):
  """A file of the input."""

  path: str
  name: str  # below OUT
  digest: str
  pages: int


def rule_names(rules: ConfigDict) -> list[str]:
  """The rules that are on, as the report names them, in their order."""
  out = ['empty']
  for section, keys in plain_config(rules).items():
    if not isinstance(keys, dict) or not keys['on']:
      continue
    out += [section] if section in _ONE_RULE else [
        f'{section}.{k}' for k, v in keys.items() if k not in _NO_RULE
        and v is not False and v != '']
  return out


def output_names(paths: Sequence[str]) -> list[str]:
  """Names of the cleaned files: those of the input below its common folder,
  with .jsonl (or .jsonl.gz) at the end. Raises BadInput when two are equal."""
  full = [os.path.abspath(p) for p in paths]
  root = os.path.commonpath([os.path.dirname(p) for p in full])
  names = []
  for path in full:
    name = os.path.relpath(path, root)
    zipped = name.lower().endswith('.gz')
    stem = name[:-3] if zipped else name
    stem = stem if stem.lower().endswith('.jsonl') else f'{stem}.jsonl'
    names.append(stem + '.gz' * zipped)
  for name in names:
    if names.count(name) > 1:
      raise BadInput(f'two files would be cleaned as {name}; wanted other '
                     'names, or a command for each')
  return names


def _digest(path: str) -> str:
  try:
    with open(path, 'rb') as f:
      return hashlib.file_digest(f, 'sha256').hexdigest()
  except OSError as e:
    raise BadInput(f'{path} cannot be read: {e}') from None


def make_plan(paths: Sequence[str], out: Path, rules: ConfigDict) -> list[File]:
  """The files of a cleaning, each read once: a bad one ends the command before
  anything is removed or written. Raises BadInput, also when OUT holds something
  else."""
  if rules.kind != 'clean' or rules.version != VERSION:
    raise BadInput(f'the config is of kind {rules.kind} and version '
                   f'{rules.version}, wanted clean and {VERSION}')
  inside = [p for p in paths if out.resolve() in Path(p).resolve().parents]
  if inside:
    raise BadInput(f'{inside[0]} lies in --out={out}; wanted another folder')
  names = output_names(paths)
  plan = {'version': VERSION, 'rules': plain_config(rules), 'blocked': (
      _digest(rules.url.blocked) if rules.url.blocked else ''), 'files': {}}
  digests = [_digest(p) for p in paths]
  at = out / '.clean.json'
  stored = run_dir.read_json(at) if at.exists() else None
  if stored is not None:
    _check_plan(stored, plan, dict(zip(names, digests)), out)
    return [File(p, n, d, stored['files'][n]['pages'])
            for p, n, d in zip(paths, names, digests)]
  if out.is_dir() and any(f for f in out.iterdir() if f.name != '.lock'):
    raise BadInput(f'{out} holds files, but no cleaning; wanted an empty or a '
                   'new folder')
  progress = Progress(len(paths), 0, 'read', 'file')
  files = []
  for path, name, digest in zip(paths, names, digests):
    pages = sum(1 for _ in text_files.read_documents(
        path, rules.field, rules.separator))
    files.append(File(path, name, digest, pages))
    progress.update(len(files))
  progress.close()
  if rules.separator and not any(text_files.has_separator(
      p, rules.separator) for p in paths):
    raise BadInput(f'separator {rules.separator!r} occurs in none of the '
                   f'{len(paths)} files; wanted one that does, or none')
  plan['files'] = {f.name: {'sha256': f.digest, 'pages': f.pages}
                   for f in files}
  run_dir.write_json(at, plan)
  return files


def _check_plan(stored: dict, plan: dict, digests: dict[str, str], out: Path):
  changes = config_changes(*(flat_keys({k: v for k, v in p.items()
                                        if k != 'files'})
                             for p in (stored, plan)))
  known = {name: f['sha256'] for name, f in stored['files'].items()}
  changes += [f'{name} has changed' for name in sorted(known.keys() & digests)
              if known[name] != digests[name]]
  changes += [f'{name} is {"new" if name in digests else "missing"}'
              for name in sorted(known.keys() ^ digests.keys())]
  if changes:
    more = f' and {len(changes) - 1} more' if len(changes) > 1 else ''
    raise BadInput(f'{out} holds another cleaning ({changes[0]}{more}); wanted '
                   'the same files and rules, or another --out')


def clean_files(files: Sequence[File], out: Path, rules: ConfigDict) -> dict:
  """Cleans the files of a plan into OUT, or goes on where a stopped command
  was; returns the report. Raises BadInput."""
  try:
    with disk_errors(out), run_dir.lock(out):
      report = out / 'report.json'
      if report.exists():
        return run_dir.read_json(report)
      return _clean(files, out, rules)
  except run_dir.Locked:
    raise BadInput(f'another process cleans into {out}; wanted to wait for it, '
                   'or another --out') from None


def _clean(files, out: Path, rules) -> dict:
  work, stages = out / '.work', [s for s in STAGES if is_on(s, rules)]
  sources: list[Callable[[], Iterator[dict]]] = [
      _original(f, rules) for f in files]
  total, quiet, tallies = sum(f.pages for f in files), 0, []
  for step in itertools.count():
    stage = stages[step % len(stages)]
    folder = work / f'{step:03}-{stage.name}'
    found = _run_step(stage, sources, folder, rules, total, step == 0)
    tallies.append(found)
    _replace_pages(work, folder, step - 1)
    sources = [_stored(folder / f'{i:05}.jsonl', rules)
               for i in range(len(files))]
    total = sum(t['kept'] for t in found)
    quiet = 0 if any(t['rules'] for t in found) else quiet + 1
    if quiet == len(stages) or step + 1 == rules.rounds * len(stages):
      return _finish(files, out, rules, folder, tallies)


def _original(file: File, rules) -> Callable[[], Iterator[dict]]:
  """Reads the pages of an input file as records of JSON that name their
  origin."""

  def read():
    for i, record in enumerate(text_files.read_documents(
        file.path, rules.field, rules.separator)):
      if len(record) > 1:  # dates of Parquet, lone surrogates in other fields
        record = json.loads(json.dumps(record, ensure_ascii=False, default=str)
                            .encode(errors='replace'))
      record.setdefault('origin', f'{Path(file.path).name}:{i}')
      yield record

  return read


def _stored(path: Path, rules) -> Callable[[], Iterator[dict]]:
  return lambda: text_files.read_documents(path, rules.field)


def _run_step(stage: Stage, sources, folder: Path, rules, total: int,
              is_first: bool) -> list[dict]:
  """Takes one stage over all files; returns their tallies."""
  tallies = [folder / f'{i:05}.json' for i in range(len(sources))]
  progress = Progress(total * (1 + (stage.survey is not None)), 0, folder.name,
                      'page')
  at, decisions = itertools.count(1), [None] * len(sources)
  done = [_is_done(t) for t in tallies]

  def counted(source):
    for page in source():
      progress.update(next(at))
      yield page

  if stage.survey and not all(done):
    surveys = []
    for i, source in enumerate(sources):
      path = folder / f'{i:05}.npz'
      if (survey := _unpacked(path)) is None:
        survey = stage.survey(counted(source), rules)
        _write(path, _packed(survey))
      surveys.append(survey)
    decisions = stage.decide(surveys, rules)
  for i, (source, tally) in enumerate(zip(sources, tallies)):
    if not done[i]:
      counts = {'pages': 0, 'kept': 0, 'tokens': 0, 'rules': {}}
      pages = tally.with_suffix('.jsonl')
      text_files.write_texts(pages, _applied(
          stage, counted(source), decisions[i], rules, counts, is_first),
          sync=False)
      _write(tally, json.dumps(counts | {'bytes': pages.stat().st_size})
             .encode())
  progress.close()
  return [run_dir.read_json(t) for t in tallies]


def _is_done(tally: Path) -> bool:
  """Whether the pages of a tally are complete, or were moved on since. Files at
  work are not synced to the disk: after a loss of power a size may differ."""
  pages = tally.with_suffix('.jsonl')
  try:
    size = json.loads(tally.read_bytes())['bytes']
  except (OSError, ValueError):
    return False
  return not pages.exists() or pages.stat().st_size == size


def _write(path: Path, raw: bytes) -> None:
  """Writes a file by rename, without waiting for the disk."""
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f'.{path.name}')
  try:
    part.write_bytes(raw)
    part.replace(path)
  finally:
    part.unlink(missing_ok=True)


def _packed(survey) -> bytes:
  buffer = io.BytesIO()
  np.savez(buffer, **survey)
  return buffer.getvalue()


def _unpacked(path: Path):
  """The survey in a file; None where there is none, or a damaged one."""
  try:
    with np.load(path) as stored:
      return dict(stored)
  except (OSError, ValueError, EOFError, zipfile.BadZipFile):
    return None


def _applied(stage, pages, decision, rules, counts: dict, is_first: bool
             ) -> Iterator[dict]:
  """The records that are left; fills in `counts`."""
  pages, again = itertools.tee(pages)
  for page, (text, taken) in zip(pages, stage.apply(again, decision, rules)):
    counts['pages'] += 1
    if is_first:
      counts['tokens'] += token_count(page[rules.field])
    edited = set()
    for t in taken:
      rule = counts['rules'].setdefault(t.rule, {
          'removed': 0, 'changed': 0, 'tokens': 0,
          'example': f'{page["origin"]}: {t.example}'})
      rule['removed'] += t.dropped
      rule['changed'] += not t.dropped and t.rule not in edited
      rule['tokens'] += t.tokens
      edited.add(t.rule)
    if text is not None:
      counts['kept'] += 1
      yield page | {rules.field: text}


def _replace_pages(work: Path, folder: Path, step: int) -> None:
  """Removes all but the tallies of a step whose successor is done and, when
  this returns, on the disk in `folder`."""
  for old in work.glob(f'{step:03}-*'):
    for path in folder.glob('*.jsonl'):
      with path.open('rb') as f:
        os.fsync(f.fileno())
    for path in old.iterdir():
      if path.suffix != '.json':
        path.unlink()


def _finish(files, out: Path, rules, folder: Path, tallies) -> dict:
  """Moves the pages of the last step to OUT and writes the report."""
  kept = {}
  for i, file in enumerate(files):
    pages = folder / f'{i:05}.jsonl'
    if (count := tallies[-1][i]['kept']):
      kept[file.name] = count
      if pages.exists():  # else it was moved before this process began
        _move(pages, out / file.name)
  taken = merged_rules([t for step in tallies for t in step])
  tokens = sum(t['tokens'] for t in tallies[0])
  none = {'removed': 0, 'changed': 0, 'tokens': 0, 'example': ''}
  report = {
      'pages': sum(f.pages for f in files), 'tokens': tokens,
      'pages_kept': sum(kept.values()),
      'tokens_kept': tokens - sum(r['tokens'] for r in taken.values()),
      'steps': len(tallies), 'files': kept,
      'rules': {name: taken.get(name, none) for name in rule_names(rules)}}
  run_dir.write(out / 'report.csv', report_csv(report))
  run_dir.write_json(out / 'report.json', report)
  shutil.rmtree(out / '.work')
  return report


def _move(pages: Path, to: Path) -> None:
  to.parent.mkdir(parents=True, exist_ok=True)
  if not to.name.endswith('.gz'):
    with pages.open('rb') as f:
      os.fsync(f.fileno())
    pages.replace(to)
    return
  with pages.open(encoding='utf-8') as f:
    text_files.write_texts(to, map(json.loads, f))
  pages.unlink()


def merged_rules(tallies: Sequence[dict]) -> dict[str, dict]:
  """{rule: what it took in all} of tallies in their order; the example is the
  first."""
  out: dict[str, dict] = {}
  for tally in tallies:
    for name, t in tally['rules'].items():
      known = out.setdefault(name, t | {'removed': 0, 'changed': 0,
                                        'tokens': 0})
      for key in ('removed', 'changed', 'tokens'):
        known[key] += t[key]
  return out


def report_csv(report: dict) -> str:
  """The report's rules as CSV, a line each."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(['rule', 'pages_removed', 'pages_changed', 'tokens',
                   'example'])
  for name, r in report['rules'].items():
    writer.writerow([name, r['removed'], r['changed'], r['tokens'],
                     r['example']])
  return text.getvalue()
