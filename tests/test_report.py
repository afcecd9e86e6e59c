"""Records of finished runs, gathered, and the report on them."""

import dataclasses
import functools
import json
import math
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from physics_lm import claims, report, results, run_dir, sweep
from physics_lm.config import plain_config
from physics_lm.errors import BadInput
from tests.conftest import ROOT, TINY
from tests.test_results import record, row, without_seeds


def runs(scale, seeds=3):
  """Three runs and one that they start from, of which nothing is reported."""
  if scale != 'smoke':
    raise BadInput(f'unknown scale {scale!r}; nearest: smoke')
  small = {k: v for k, v in TINY.items() if k != 'steps'}
  base = sweep.Run('configs/default.py', small | {'steps': 3}, {'base': True})
  return [sweep.Run('configs/default.py', small | {
      'steps': 4, 'seed.init': s, 'seed.data': s},
      {'variant': 'single', 'seed': s}, base) for s in range(seeds)]


def table(records):
  if len(records) < 2:
    raise KeyError('seed 1')  # as an experiment that wants pairs
  return results.wide(records, 'extraction', ('accuracy',), ('attribute',),
                      {'text': 'question'}, True)


def figure(df):
  fig = Figure()
  ax = fig.subplots()
  ax.plot(df.accuracy)
  return fig


@pytest.fixture
def module():
  return SimpleNamespace(
      name='tiny', __file__='experiments/tiny.py', runs=runs, table=table,
      figure=figure, CLAIMS=(claims.Claim(
          'low', 'At most 50 %', 'Part 1', '7 %', ({'attribute': 'mean'},),
          claims.at_most(50)),),
      summary=lambda df: results.summarise(df, ['attribute'], ['accuracy']))


def finish(folder, run, accuracy=0.2, without=()):
  """A run folder as of a run that is done."""
  at, steps = folder / run.id, run.config.steps
  run_dir.write_json(at / 'config.json', plain_config(run.config))
  run_dir.write_json(at / 'meta.json', {
      'device': 'cpu', 'devices': 1, 'cores': 2, 'python': '3.11',
      'versions': {'jax': '0.7'}, 'git': 'abc', 'git_dirty': False,
      'time': '2025-01-01T00:00:00Z'})
  run_dir.write(at / 'metrics.jsonl', ''.join(json.dumps(r) + '\n' for r in (
      {'kind': 'train', 'step': 2, 'loss': 9.0},
      {'kind': 'train', 'step': 4, 'loss': 2.5},
      {'kind': 'eval', 'step': 4, 'accuracy': 0.2})))
  for name in run.config.evals:
    if name not in without:
      run_dir.write_json(at / f'evals/{name}/{steps}.json', {'rows': [
          row('accuracy', accuracy)]})
      run_dir.write_json(at / f'evals/{name}/2.json', {'rows': []})
  run_dir.write_json(at / 'done', {'steps': steps, 'seconds': 12.5})


def test_record_holds_what_a_run_measured(tmp_path):
  run = runs('smoke')[1]
  finish(tmp_path, run)
  found = results.record(run, tmp_path / run.id)
  assert found['id'] == run.id and found['tags'] == run.tags
  assert found['overrides'] == run.changes and found['seed']['data'] == 1
  assert found['train'] == {'step': 4, 'loss': 2.5} and found['step'] == 4
  assert set(found['evals']) == set(run.config.evals)
  assert found['evals']['extraction'] == [row('accuracy', 0.2)]
  assert (found['device'], found['seconds'], found['git']) == (
      'cpu', 12.5, 'abc')
  assert json.loads(json.dumps(found)) == found
  assert found['finished'] == '2025-01-01T00:00:00Z'  # as of older runs
  run_dir.write_json(tmp_path / run.id / 'done', {
      'steps': 4, 'seconds': 12.5, 'time': '2025-01-02T00:00:00Z'})
  assert results.record(run, tmp_path / run.id) == found | {
      'finished': '2025-01-02T00:00:00Z'}


def test_record_keeps_the_curves_of_evaluations_during_training(tmp_path):
  """Of those with `every`, a list for each metric; a table has a row a step."""
  run = runs('smoke')[1]
  run = dataclasses.replace(run, overrides=run.overrides | {
      'evals.loss.every': 2})
  finish(tmp_path, run)
  log = tmp_path / run.id / 'metrics.jsonl'
  with open(log, 'a', encoding='utf-8') as f:
    for step, value in (2, 3.14159), (4, 2.5):
      f.write(json.dumps({'kind': 'eval', 'step': step, 'loss/bio': value,
                          'extraction/accuracy': 0.5}) + '\n')
      f.write(json.dumps({'kind': 'eval', 'step': step,  # another evaluation's
                          'p_probe/accuracy': 0.5}) + '\n')
  found = results.record(run, tmp_path / run.id)
  assert found['curves'] == {'loss': {'step': [2, 4], 'bio': [3.142, 2.5]}}
  with open(log, 'a', encoding='utf-8') as f:  # a metric from step 4 on
    f.write(json.dumps({'kind': 'eval', 'step': 4, 'loss/late': 1.0}) + '\n')
  late = results.record(run, tmp_path / run.id)['curves']['loss']['late']
  assert math.isnan(late[0]) and late[1] == 1
  df = results.during_training([found], 'loss', {'nats': 'bio', 'no': 'never'})
  assert df.pop('no').isna().all()
  assert df.step.tolist() == [2, 4] and df.nats.tolist() == [3.142, 2.5]
  assert set(df.run) == {run.id} and len(df.columns) == 3 + len(run.tags)
  with open(log, 'a', encoding='utf-8') as f:
    f.write(json.dumps({'kind': 'eval', 'step': 4, 'loss/bio': 'x'}) + '\n')
  with pytest.raises(BadInput, match=r"loss/bio is .*'x'.*wanted numbers"):
    results.record(run, tmp_path / run.id)


def committed(out, records):
  results.write_records(results.records_path(out, 'tiny', 'smoke'), records)


def test_gather_takes_done_runs_and_committed_records(
    module, tmp_path, monkeypatch):
  """The run that the others start from is neither: it is not needed."""
  first, second, third = runs('smoke')
  for r in (first, second, third):
    finish(tmp_path / 'there', r, 0.1)
  records = [results.record(r, tmp_path / 'there' / r.id)
             for r in (third, second)]
  committed(tmp_path / 'out', records)
  finish(tmp_path / 'here', first, 0.3)
  finish(tmp_path / 'here', second, 0.4)  # both: the folder here is newer
  found = report.gather(module, 'smoke', tmp_path / 'here', tmp_path / 'out')
  assert [r['id'] for r in found] == [first.id, second.id, third.id]
  assert [r['evals']['extraction'][0]['value'] for r in found] == [
      0.3, 0.4, 0.1]
  # Those of the repository count also where a report is written elsewhere.
  monkeypatch.setattr(results, 'RESULTS', tmp_path / 'out')
  other = report.gather(module, 'smoke', tmp_path / 'here', tmp_path / 'else')
  assert other == found


def test_gather_refuses_a_folder_of_another_computation(module, tmp_path):
  first, second, third = runs('smoke')
  for r in (first, second, third):
    finish(tmp_path, r)
  run_dir.write_json(tmp_path / first.id / 'config.json',
                     plain_config(second.config) | {'steps': 5})
  finish(tmp_path, first.init_from)
  with pytest.raises(BadInput, match=f'{first.id} holds another computation'):
    report.gather(module, 'smoke', tmp_path, tmp_path / 'out')
  found = report.gather(module, 'smoke', tmp_path, tmp_path / 'out',
                        partial=True)
  assert [r['id'] for r in found] == [second.id, third.id]


def test_gather_leaves_out_records_of_runs_of_another_sweep(module, tmp_path):
  for r in runs('smoke'):
    finish(tmp_path, r)
  older = record(7, 0.5) | {'tags': {'variant': 'single', 'seed': 0}}
  committed(tmp_path / 'out', [older])
  found = report.gather(module, 'smoke', tmp_path, tmp_path / 'out')
  assert [r['id'] for r in found] == [r.id for r in runs('smoke')]


def test_gather_gives_records_the_tags_of_today(module, tmp_path):
  for r in runs('smoke'):
    finish(tmp_path, r)
  records = report.gather(module, 'smoke', tmp_path, tmp_path / 'out')
  committed(tmp_path / 'out', [r | {'tags': {'data': 'single'}}
                               for r in records])
  assert report.gather(
      module, 'smoke', tmp_path / 'none', tmp_path / 'out') == records


def test_gather_reads_shared_records_and_none_of_earlier_designs(
    module, tmp_path):
  first, second, third = runs('smoke')
  for r in (first, second, third):
    finish(tmp_path / 'there', r, 0.1)
  records = [results.record(r, tmp_path / 'there' / r.id)
             for r in (first, second, third)]
  module.SHARED = ('other',)
  path = results.records_path(tmp_path / 'out', 'other', 'smoke')
  results.write_records(path, [
      records[0], records[1] | {'tags': {}, 'seconds': 7.0}])
  committed(tmp_path / 'out', [
      records[1], records[2] | {'earlier_design': True},
      {'id': None, 'tags': {}, 'evals': {}, 'earlier_design': True}])
  with pytest.raises(BadInput, match='2 of 4 runs are not done'):
    report.gather(module, 'smoke', tmp_path / 'none', tmp_path / 'out')
  found = report.gather(module, 'smoke', tmp_path / 'none', tmp_path / 'out',
                        partial=True)
  assert found == records[:2]  # its own record, where it has one
  module.SCALES = {'smoke': {}, 'cpu': {}}
  results.write_records(
      results.records_path(tmp_path / 'out', 'tiny', 'cpu'),
      [records[0] | {'seconds': 7.0}, records[1] | {'seconds': 8.0}])
  path.unlink()
  first_of_all = report.gather(module, 'smoke', tmp_path / 'none',
                               tmp_path / 'out', partial=True)
  assert [r['seconds'] for r in first_of_all] == [
      7.0, records[1]['seconds']]  # of another scale; its own


def test_shared_records_alone_replace_none_of_an_earlier_design(
    module, tmp_path):
  first, second, *_ = runs('smoke')
  finish(tmp_path / 'there', first)
  module.SHARED = ('other',)
  results.write_records(
      results.records_path(tmp_path / 'out', 'other', 'smoke'),
      [results.record(first, tmp_path / 'there' / first.id)])
  committed(tmp_path / 'out', [record(7, 0.5) | {'earlier_design': True}])
  with pytest.raises(BadInput, match="no record of today's design"):
    report.gather(module, 'smoke', tmp_path / 'none', tmp_path / 'out',
                  partial=True)
  results.records_path(tmp_path / 'out', 'tiny', 'smoke').unlink()
  with pytest.raises(BadInput, match="no record of today's design"):
    report.gather(module, 'smoke', tmp_path / 'none', tmp_path / 'out',
                  partial=True)
  finish(tmp_path / 'here', second)
  found = report.gather(module, 'smoke', tmp_path / 'here', tmp_path / 'out',
                        partial=True)
  assert [r['id'] for r in found] == [first.id, second.id]


def one_line(error):
  text = str(error.value)
  assert '\n' not in text
  return text


def test_gather_names_what_is_missing(module, tmp_path):
  with pytest.raises(BadInput) as e:
    report.gather(module, 'smoke', tmp_path, tmp_path / 'out')
  text = one_line(e)
  assert text.startswith('4 of 4 runs are not done') and text.endswith(
      f'run python -m physics_lm.launch experiments/tiny.py --scale=smoke '
      f'--runs-dir={tmp_path.parent}')
  finish(tmp_path, runs('smoke')[0])
  with pytest.raises(BadInput) as e:
    report.gather(module, 'smoke', tmp_path, tmp_path / 'out')
  assert one_line(e).endswith('or report what is done with --partial')
  with pytest.raises(BadInput, match='nearest: smoke'):
    report.gather(module, 'smok', tmp_path, tmp_path / 'out')


def test_gather_refuses_stale_evaluations(module, tmp_path):
  first, *others = runs('smoke')
  for r in others:
    finish(tmp_path, r)
  finish(tmp_path, first, without=('loss',))
  with pytest.raises(BadInput, match="no results of the evaluation 'loss'"):
    report.gather(module, 'smoke', tmp_path, tmp_path / 'out')
  config = plain_config(first.config)
  config['evals']['loss']['num_rows'] = 99
  run_dir.write_json(tmp_path / first.id / 'config.json', config)
  with pytest.raises(BadInput) as e:
    report.gather(module, 'smoke', tmp_path, tmp_path / 'out')
  assert 'evals.loss.num_rows: 99 -> 4' in one_line(e)


def test_gather_keeps_an_older_table_without_seeds(module, tmp_path):
  old = [without_seeds()]
  committed(tmp_path / 'out', old)
  assert report.gather(module, 'smoke', tmp_path, tmp_path / 'out') == old
  for r in runs('smoke')[:2]:
    finish(tmp_path, r)
  for partial, message in ((False, '2 of 4 runs'), (True, 'another --out')):
    with pytest.raises(BadInput, match=message):
      report.gather(module, 'smoke', tmp_path, tmp_path / 'out', partial)
  finish(tmp_path, runs('smoke')[2])
  found = report.gather(module, 'smoke', tmp_path, tmp_path / 'out')
  assert [r['id'] for r in found] == [r.id for r in runs('smoke')]


def test_report_writes_records_table_figure_and_provenance(module, tmp_path):
  for i, r in enumerate(runs('smoke')):
    finish(tmp_path, r, 0.1 + 0.01 * i)
  text = report.report(module, 'smoke', tmp_path, tmp_path / 'out')
  at = tmp_path / 'out' / 'tiny'
  assert {p.name for p in at.iterdir()} == {
      'smoke.runs.jsonl', 'smoke.csv', 'smoke.png', 'smoke.json'}
  assert '[supported] At most 50 % (Part 1): paper 7 %; ours 11.0' in text
  assert '11.0 ± 1.0' in text and 'missing' not in text
  assert run_dir.read_json(at / 'smoke.json')['runs'] == 3
  first = {p.name: p.read_bytes() for p in at.iterdir()}
  # The records alone give the same files.
  assert report.report(
      module, 'smoke', tmp_path / 'none', tmp_path / 'out') == text
  assert {p.name: p.read_bytes() for p in at.iterdir()} == first


def test_report_writes_every_figure_and_no_older_one(module, tmp_path):
  for r in runs('smoke'):
    finish(tmp_path, r)
  at = tmp_path / 'out' / 'tiny'
  for count, names in ((3, ['smoke.png', 'smoke_2.png', 'smoke_3.png']),
                       (2, ['smoke.png', 'smoke_2.png'])):
    module.figure = functools.partial(several_figures, count)
    report.report(module, 'smoke', tmp_path, tmp_path / 'out')
    assert [p.name for p in results.figure_paths(at, 'smoke')] == names
    assert sorted(p.name for p in at.glob('*.png')) == names


def several_figures(count, df):
  return [figure(df) for _ in range(count)]


def test_a_partial_report_keeps_what_is_done(module, tmp_path):
  here, out = tmp_path / 'here', tmp_path / 'out'
  with pytest.raises(BadInput, match='4 of 4 runs are not done'):
    report.report(module, 'smoke', here, out, partial=True)
  first, *others = runs('smoke')
  finish(here, first)
  text = report.report(module, 'smoke', here, out, partial=True)
  assert 'missing: 2 of 3 runs' in text
  assert "too few (KeyError: 'seed 1')" in text
  assert [p.name for p in (out / 'tiny').iterdir()] == ['smoke.runs.jsonl']
  # A record with other evaluations is kept, but not what is wanted.
  stale, *_ = results.read_records(results.records_path(out, 'tiny', 'smoke'))
  stale |= {'id': others[1].id, 'overrides': {'evals.loss.rows': 99}}
  committed(out, [results.record(first, here / first.id), stale])
  # On another machine, which has other runs: its records are added.
  finish(tmp_path / 'there', others[0])
  text = report.report(module, 'smoke', tmp_path / 'there', out, partial=True)
  assert 'missing: 1 of 3 runs' in text and 'figure: ' in text
  kept = results.read_records(results.records_path(out, 'tiny', 'smoke'))
  assert [r['id'] for r in kept] == [r.id for r in runs('smoke')]
  assert kept[2]['overrides'] == stale['overrides']
  finish(tmp_path / 'there', others[1])
  text = report.report(module, 'smoke', tmp_path / 'there', out)
  assert 'missing' not in text and '[supported]' in text


def test_a_partial_report_takes_no_other_evaluations_of_others(
    module, tmp_path):
  """An experiment that shares runs may evaluate them otherwise."""
  first, second, _ = runs('smoke')
  finish(tmp_path, first)
  module.SHARED = ('other',)
  shared = results.record(first, tmp_path / first.id) | {
      'id': second.id, 'overrides': {'evals.loss.rows': 99}}
  results.write_records(
      results.records_path(tmp_path / 'out', 'other', 'smoke'), [shared])
  found = report.gather(module, 'smoke', tmp_path, tmp_path / 'out', True)
  assert [r['id'] for r in found] == [first.id]


def no_measures(df):
  raise KeyError('variant')


def test_a_partial_report_names_what_could_not_be_made(module, tmp_path):
  """Table and figure are of the records, or are said to be of earlier ones."""
  for r in runs('smoke')[:2]:
    finish(tmp_path, r)
  at, module.measures = tmp_path / 'out' / 'tiny', no_measures
  text = report.report(module, 'smoke', tmp_path, tmp_path / 'out',
                       partial=True)
  assert text.endswith("no summary and claims: these runs are too few "
                       "(KeyError: 'variant')") and 'table:   ' in text
  assert run_dir.read_json(at / 'smoke.json')['runs'] == 2
  before = (at / 'smoke.csv').read_text()
  module.table = lambda records: table(records[:1])
  text = report.report(module, 'smoke', tmp_path, tmp_path / 'out',
                       partial=True)
  assert text.endswith("no table and figure: these runs are too few (KeyError: "
                       "'seed 1'); those there are of earlier records")
  assert (at / 'smoke.csv').read_text() == before


def test_an_error_in_a_complete_report_is_shown(module, tmp_path):
  for r in runs('smoke'):
    finish(tmp_path, r)
  module.table = lambda records: table(records[:1])
  for partial in (False, True):
    with pytest.raises(KeyError):
      report.report(module, 'smoke', tmp_path, tmp_path / 'out',
                    partial=partial)


@pytest.mark.parametrize('path', sorted(
    results.RESULTS.glob('*/*.runs.jsonl')), ids=lambda p: p.parent.name)
def test_committed_records_are_of_the_runs_of_today(path):
  """Else a launcher would run them again: a key that is renamed is renamed in
  the records too."""
  module = sweep.experiment(str(ROOT / f'experiments/{path.parent.name}.py'))
  records = [r for r in results.read_records(path)
             if not r.get('earlier_design')]
  ids = {r['id'] for r in records if r['id']}
  today = module.runs(path.name.removesuffix('.runs.jsonl'))
  assert results.recorded_ids(records, today) == ids
  by_id = {r.id: r for r in today}
  for r in records:
    assert not r['id'] or r['tags'] == by_id[r['id']].tags
