"""The cleaning command: files in and out, resuming, and its errors."""

import gzip
import json
import os
import shlex

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physics_lm import text_files
from physics_lm.clean import __main__ as command
from physics_lm.clean import pipeline
from physics_lm.clean.words import token_count
from physics_lm.errors import BadInput
from physics_lm.worlds import base
from physics_lm.worlds.text import files_of
from tests.conftest import ROOT

STORY = ('The man of the house had to be there with all that we have and more, '
         'number {}: ' + ' '.join(f'word{i}' for i in range(40)) + '.')
LAX = ['--near.shingle=2', '--near.min_jaccard=0.9', '--lines.max_count=2',
       '--substrings.min_tokens=6', '--gopher.min_words=3',
       '--c4.min_sentences=1', '--divergence.on=True',
       '--divergence.max_kl=2.5']


def pages(count=12):
  """Records with a twin, an older page of a URL, a line that all have, and a
  short page."""
  out = []
  for i in range(count):
    own = ' '.join(f'x{i}y{j}.' for j in range(30))
    out.append({'text': f'Menu and more menu.\n{STORY.format(i)}\nPage {i} '
                        f'ends. It has five. Really. {own}',
                'url': f'http://a.org/{i}', 'date': f'2024-01-{i + 1:02}'})
  if count > 6:
    out[3]['text'] = out[1]['text']
    out.append(out[5] | {'text': out[6]['text'] + ' More of it.',
                         'date': '2023-01-01'})
  return [*out, {'text': 'Short.'}]


def write(folder, **files):
  """Files of records, or of text."""
  folder.mkdir(exist_ok=True)
  for name, content in files.items():
    path = folder / name.replace('__', '.')
    if isinstance(content, str):
      path.write_text(content)
    else:
      text_files.write_texts(path, content)
  return f'{folder}/*'


def run(files, out, *flags):
  """Runs the command in this process; returns its report."""
  command.main([files, f'--out={out}', *flags])
  return json.loads((out / 'report.json').read_text())


def output(out):
  """{name: bytes} of all that a cleaning leaves."""
  return {str(p.relative_to(out)): p.read_bytes()
          for p in sorted(out.rglob('*')) if p.is_file()}


def test_command_removes_what_the_rules_name_and_says_so(tmp_path, capsys):
  files = write(tmp_path / 'in', a__jsonl=pages(), b__jsonl__gz=pages(2)[:2])
  report = run(files, tmp_path / 'out', '--gopher.min_words=20',
               '--lines.max_count=9', '--repetition.on=False',
               '--substrings.on=False', '--near.min_jaccard=0.99')
  took = {k: (r['removed'], r['changed']) for k, r in report['rules'].items()
          if r['removed'] or r['changed']}
  # The second file's pages have URLs of the first's, as new: the first's stay.
  assert took == {'c4.min_line_words': (1, 0), 'url.newest': (3, 0),
                  'exact': (1, 0), 'lines': (0, 11)}
  assert report['pages_kept'] == 11 and report['files'] == {'a.jsonl': 11}
  kept = [json.loads(line) for line in (tmp_path / 'out/a.jsonl').open()]
  assert not any('Menu' in r['text'] for r in kept)
  assert kept[3]['origin'] == 'a.jsonl:4' and kept[3]['date'] == '2024-01-05'
  assert report['tokens_kept'] == sum(token_count(r['text']) for r in kept)
  printed = capsys.readouterr().out
  assert 'near: 14 bands of 8 find a pair with probability 0.21' in printed
  assert 'a.jsonl:3: equals an earlier page: Menu' in printed
  assert 'kept 11 of 16 pages' in printed
  csv = (tmp_path / 'out/report.csv').read_text().splitlines()
  assert csv[0] == 'rule,pages_removed,pages_changed,tokens,example'
  assert len(csv) == 1 + len(report['rules'])
  assert not (tmp_path / 'out/.work').exists()


def test_cleaned_text_is_read_by_the_world(tmp_path):
  files = write(tmp_path / 'in', notes__txt='one\n--\ntwo\n--\none\n',
                more__jsonl__gz=[{'text': 'three'}])
  run(files, tmp_path / 'out', '--config=configs/clean.py:duplicates',
      '--separator=--\n')
  world = base.world_from_flags('text', [
      f'files={tmp_path}/out/**/*.jsonl*', 'held_out=0.0'], 0)
  texts = [e.text for e in world.in_order('train')]
  assert texts == ['three', 'one\n', 'two\n']
  assert gzip.open(tmp_path / 'out/more.jsonl.gz').read().startswith(b'{"text"')


def test_command_again_does_nothing_and_another_is_refused(tmp_path, capsys):
  files = write(tmp_path / 'in', a__jsonl=pages())
  run(files, tmp_path / 'out', *LAX)
  before, times = output(tmp_path / 'out'), os.stat(
      tmp_path / 'out/report.json').st_mtime_ns
  run(files, tmp_path / 'out', *LAX)
  assert output(tmp_path / 'out') == before
  assert os.stat(tmp_path / 'out/report.json').st_mtime_ns == times
  cases = {
      r'rules.gopher.min_words: 3 -> 4': lambda: run(
          files, tmp_path / 'out', *LAX, '--gopher.min_words=4'),
      r'b.jsonl is new': lambda: run(
          write(tmp_path / 'in', b__jsonl=pages()), tmp_path / 'out', *LAX),
      r'a.jsonl has changed': lambda: run(
          write(tmp_path / 'in', a__jsonl=pages(3)), tmp_path / 'out', *LAX)}
  for message, act in cases.items():
    capsys.readouterr()
    with pytest.raises(SystemExit, match='2'):
      act()
    assert message in (error := capsys.readouterr().err)
    assert error.count('\n') == 1 and 'holds another cleaning' in error
  assert output(tmp_path / 'out') == before


class Killed(BaseException):
  """Ends a run at a moment, as a signal would."""


def test_cleaning_killed_at_any_write_ends_byte_equal(tmp_path, monkeypatch):
  files = write(tmp_path / 'in', a__jsonl=pages(), b__jsonl__gz=pages(4),
                c__txt='nothing of value')
  rules = command.rules_of('configs/clean.py', '', '', LAX)
  replace = type(tmp_path).replace

  def clean(out):
    plan = pipeline.make_plan(files_of(files), out, rules)
    return pipeline.clean_files(plan, out, rules)

  clean(tmp_path / 'whole')
  wanted, out, done = output(tmp_path / 'whole'), tmp_path / 'out', []

  def limited(self, target):
    """Every second write of a run ends it, before or after the rename."""
    done.append(target.name)
    if len(done) % 7 == 3:
      raise Killed
    replace(self, target)
    if len(done) % 7 == 6:
      raise Killed

  monkeypatch.setattr(type(tmp_path), 'replace', limited)
  kills = 0
  while True:
    try:
      clean(out)
      break
    except Killed:
      kills += 1
      for stale in (out / '.work').glob('*'):  # what a real kill leaves behind
        (stale / '.00000.jsonl.part').write_text('{"te')
  assert kills > 8 and output(out) == wanted
  # No file of a step was written again and again: one more for each kill.
  assert len(done) < 2 * kills + 90


def test_damaged_work_is_done_again(tmp_path, monkeypatch):
  """After a loss of power, files that were not synced may be short."""
  files = write(tmp_path / 'in', a__jsonl=pages())
  rules = command.rules_of('configs/clean.py', '', '', LAX)
  plan = pipeline.make_plan(files_of(files), tmp_path / 'out', rules)


  def stop(work, folder, step):
    if step == 2:
      raise Killed

  monkeypatch.setattr(pipeline, '_replace_pages', stop)
  with pytest.raises(Killed):
    pipeline.clean_files(plan, tmp_path / 'out', rules)
  monkeypatch.undo()
  last = tmp_path / 'out/.work/003-substrings'
  for name in ('00000.jsonl', '00000.npz'):
    (last / name).write_bytes((last / name).read_bytes()[:-9])
  pipeline.clean_files(plan, tmp_path / 'out', rules)
  run(files, tmp_path / 'whole', *LAX)
  assert output(tmp_path / 'out') == output(tmp_path / 'whole')
  survey = tmp_path / 'a.npz'
  survey.write_bytes(pipeline._packed({'a': np.arange(9)})[:-9])
  assert pipeline._unpacked(survey) is None
  survey.write_bytes(pipeline._packed({'a': np.arange(9)}))
  assert pipeline._unpacked(survey)['a'].tolist() == list(range(9))


def test_bad_files_end_in_one_line_and_nothing_is_written(tmp_path, capsys):
  good = write(tmp_path / 'in', a__jsonl=pages(2))
  cases = {
      'b.jsonl': (b'{"text": "fine"}\nnonsense\n', 'line 2: found'),
      'b.txt': (b'\xff\xfe\x00', 'no UTF-8 text'),
      'b.jsonl.gz': (b'not zipped', 'cannot be read'),
      'b.csv': (b'a,b', 'suffix .csv')}
  for name, (raw, message) in cases.items():
    (tmp_path / 'in' / name).write_bytes(raw)
    with pytest.raises(SystemExit, match='2'):
      run(good, tmp_path / 'out')
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1, error
    assert not output(tmp_path / 'out')
    (tmp_path / 'in' / name).unlink()
  for flags, message in (
      (['--gopher.min_word=3'], 'nearest: gopher.min_words'),
      (['--near.rows=0'], 'near.rows is 0, wanted at least 1'),
      (['--only=gofer'], "unknown rule 'gofer'; nearest: gopher"),
      (['--gopher.on', '--x'], 'wanted --KEY=VALUE'),
      (['--config=configs/igsm.py'], 'no config of cleaning'),
      (['--config=configs/clean.py:x'], 'wanted one of web'),
      (['--url.blocked=/nowhere'], 'cannot be read')):
    with pytest.raises(SystemExit, match='2'):
      run(good, tmp_path / 'out', *flags)
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1, error
  text = write(tmp_path / 'text', a__txt='one two')
  with pytest.raises(SystemExit, match='2'):
    run(text, tmp_path / 'out', '--separator=%%')
  assert "separator '%%' occurs in none" in capsys.readouterr().err
  assert not output(tmp_path / 'out')


def test_output_must_be_a_folder_of_its_own(tmp_path):
  files = write(tmp_path / 'in', a__jsonl=pages(2))
  rules = command.rules_of('configs/clean.py', '', '', [])
  with pytest.raises(BadInput, match='lies in --out'):
    pipeline.make_plan(files_of(files), tmp_path / 'in', rules)
  (tmp_path / 'other').mkdir()
  (tmp_path / 'other/notes').write_text('mine')
  with pytest.raises(BadInput, match='holds files, but no cleaning'):
    pipeline.make_plan(files_of(files), tmp_path / 'other', rules)
  with pytest.raises(BadInput, match='two files would be cleaned'):
    pipeline.output_names(['x/a', 'x/a.jsonl'])
  assert pipeline.output_names(['d/x/a.txt', 'd/y/a.txt', 'd/b.jsonl.gz']) == [
      'x/a.txt.jsonl', 'y/a.txt.jsonl', 'b.jsonl.gz']


WORDS = ('the', 'of', 'a', 'tree', 'stands.', 'here', 'JavaScript', '{', 'and')
LINES = st.lists(st.sampled_from(WORDS), max_size=8).map(' '.join)
PAGES = st.lists(st.lists(LINES, max_size=4).map('\n'.join), max_size=10)


@settings(max_examples=8, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PAGES, st.randoms(use_true_random=False))
def test_cleaning_twice_changes_nothing(tmp_path_factory, texts, random):
  folder = tmp_path_factory.mktemp('twice')
  records = [{'text': t, 'url': f'a.org/{random.randrange(9)}'} for t in texts]
  half = len(records) // 2
  files = write(folder / 'in', a__jsonl=records[:half], b__jsonl=records[half:])
  flags = [*LAX, '--lines.bucket=3', '--substrings.bucket=30',
           '--config=configs/clean.py' + random.choice(['', ':duplicates'])]
  first = run(files, folder / 'one', *flags)
  if first['pages_kept']:
    second = run(f'{folder}/one/*.jsonl', folder / 'two', *flags)
    assert second['pages_kept'] == first['pages_kept']
    assert second['tokens'] == second['tokens_kept'] == first['tokens_kept']
    for name in first['files']:
      assert (folder / 'one' / name).read_bytes() == (
          folder / 'two' / name).read_bytes()


def test_commands_of_the_docs_clean_this_repository(tmp_path, monkeypatch):
  """The first command of docs/text.md's section, here on copies."""
  text = (ROOT / 'docs/text.md').read_text(encoding='utf-8')
  line = text[text.index('python -m physics_lm.clean'):].partition(
      '\npython')[0].replace("$'\\n\\n'", 'SEPARATOR')
  words = shlex.split(line.replace('\\\n', ' '))[3:]
  (tmp_path / 'docs').mkdir()
  for name in ('README.md', 'docs/text.md', 'docs/claims.md',
               'docs/training.md'):
    (tmp_path / name).write_bytes((ROOT / name).read_bytes())
  monkeypatch.chdir(tmp_path)
  command.main([w.replace('SEPARATOR', '\n\n') for w in words])
  report = json.loads((tmp_path / 'runs/clean/report.json').read_text())
  assert report['pages_kept'] > 50 and len(report['files']) == 4
  world = base.world_from_flags('text', ['files=runs/clean/**/*.jsonl'], 0)
  assert next(world.in_order('train')).text
