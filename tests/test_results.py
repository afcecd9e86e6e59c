"""Records of runs, tables of records, summaries of tables, and the report."""

import dataclasses
import functools
import json
import math
from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib.figure import Figure

from physics_lm import claims, report, results, run_dir, sweep
from physics_lm.config import plain_config
from physics_lm.errors import BadInput
from tests.conftest import ROOT, TINY

SLICES = {'person_split': 'test', 'text': 'question'}


def row(metric, value, n=50, **slices):
  return {'metric': metric, 'value': value, 'n': n, 'attribute': 'mean',
          **SLICES, **slices}


def record(seed, accuracy, variant='single', **changes):
  """A record as a run of one seed has it."""
  return {'id': f'{variant}{seed}', 'tags': {'variant': variant, 'seed': seed},
          'overrides': {}, 'train': {'loss': 1.5 + seed},
          'evals': {'extraction': [
              row('accuracy', accuracy, low=accuracy - 0.1,
                  high=accuracy + 0.1),
              row('accuracy', accuracy / 2, attribute='major', n=20),
              row('majority_baseline', 0.05),
              row('accuracy', 1.0, text='biography')]}} | changes


def without_seeds(variant='single'):
  """A record as of an older table: mean and deviation of three seeds."""
  return {'id': None, 'tags': {'variant': variant}, 'n_seeds': 3,
          'overrides': None, 'train': {}, 'note': 'seeds not kept',
          'evals': {'extraction': [row('accuracy', 0.3, std=0.06)]}}


def accuracies(records, **kwargs):
  return results.wide(records, 'extraction', ('accuracy', 'majority_baseline'),
                      ('attribute',), {'text': 'question'}, **kwargs)


# Records.


def test_records_are_read_as_they_were_written(tmp_path):
  path = tmp_path / 'one' / 'cpu.runs.jsonl'
  assert results.read_records(path) == []
  records = [record(0, 0.25), without_seeds(), record(1, 1 / 3)]
  results.write_records(path, records)
  assert results.read_records(path) == records
  assert len(path.read_text().splitlines()) == 3
  results.write_records(path, records[:1])  # writes anew, appends nothing
  assert results.read_records(path) == records[:1]


def test_merge_is_by_id():
  old = [record(0, 0.1), record(1, 0.2), without_seeds()]
  new = [record(2, 0.9), record(1, 0.8)]
  merged = results.merge(old, new)
  assert [r['id'] for r in merged] == ['single0', 'single1', None, 'single2']
  assert merged[1] == new[1] and merged[0] == old[0] and merged[3] == new[0]
  assert results.merge([], new) == new and results.merge(old, []) == old


def test_provenance_names_all_devices_and_the_last_run():
  records = [record(i, 0.1, device=d, devices=1, cores=2, python='3.11',
                    git=f'{i}', git_dirty=i == 1, seconds=s, finished=f)
             | {'seed': {'init': i, 'data': i, 'world': 0}}
             for i, (d, s, f) in enumerate([
                 ('cpu', 10.4, '2025-01-02'), ('TPU v4', None, '2025-01-01')])]
  found = results.provenance(records, 'an_experiment', 'cpu')
  assert found['device'] == ['TPU v4', 'cpu'] and found['git'] == ['0', '1']
  assert found['runs'] == 2 and found['run_seconds'] == 10
  assert found['git_dirty'] and found['finished'] == '2025-01-02'
  assert found['seeds'] == {'init': [0, 1], 'data': [0, 1], 'world': [0]}
  assert results.provenance([without_seeds()], 'x', 'cpu')['seeds'] == {}


# Tables.


def test_wide_has_a_row_a_record_and_slice():
  df = accuracies([record(0, 0.2), record(1, 0.4)], percent=True)
  assert list(df.run) == ['single0', 'single0', 'single1', 'single1']
  assert list(df.seed) == [0, 0, 1, 1]
  assert list(df.attribute) == ['mean', 'major'] * 2
  assert list(df.accuracy) == [20, 10, 40, 20]
  assert df.accuracy_low[0] == pytest.approx(10)
  assert df.accuracy_high[2] == pytest.approx(50)
  assert math.isnan(df.accuracy_low[1])  # that row had no interval
  assert list(df.n_items) == [50, 20, 50, 20]
  assert df.majority_baseline[0] == 5 and math.isnan(df.majority_baseline[1])


def test_wide_can_rename_scale_some_columns_and_lack_a_metric():
  df = results.wide([record(0, 0.2)], 'extraction',
                    {'acc': 'accuracy', 'base': 'majority_baseline',
                     'none': 'no_such_metric'},
                    where={'text': ('question',), 'attribute': 'mean'},
                    percent=['acc'])
  assert len(df) == 1 and df.acc[0] == 20 and df.base[0] == 0.05
  assert math.isnan(df.none[0])
  empty = results.wide([record(0, 0.2)], 'another', ('accuracy',))
  assert len(empty) == 0 and 'accuracy' in empty


def test_wide_of_records_without_seeds_has_deviations():
  df = accuracies([without_seeds(), without_seeds('multi5')], percent=True)
  assert list(df.run) == [None, None] and 'seed' not in df
  assert list(df.n_seeds) == [3, 3]
  assert list(df.accuracy_std) == pytest.approx([6, 6])


def test_beside_adds_a_column_of_the_same_runs_and_slices():
  records = [record(0, 0.2), record(1, 0.4)]
  answers = accuracies(records)
  texts = results.wide(records, 'extraction', {'bio_accuracy': 'accuracy'},
                       ('attribute',), {'text': 'biography'})
  both = results.beside(answers, texts, 'bio_accuracy')
  assert list(both.accuracy) == list(answers.accuracy)
  assert list(both.n_items) == list(answers.n_items)
  assert list(both.bio_accuracy[both.attribute == 'mean']) == [1, 1]
  assert both.bio_accuracy[both.attribute == 'major'].isna().all()


def test_below_has_the_columns_of_the_first_table():
  a, b = pd.DataFrame({'x': [1], 'y': [2]}), pd.DataFrame({'x': [3], 'z': [4]})
  both = results.below(a, b)
  assert list(both) == ['x', 'y'] and list(both.x) == [1, 3]


def test_extraction_sets_answers_beside_the_same_values_in_biographies():
  rows = [row('accuracy', 0.2, value_tokens='all'),
          row('accuracy', 0.7, value_tokens='one'),
          row('majority_baseline', 0.1, value_tokens='all'),
          row('accuracy', 0.9, value_tokens='all', text='biography')]
  r = {'id': 'a', 'tags': {'seed': 0}, 'evals': {'extraction': rows}}
  (line,) = results.extraction([r]).to_dict('records')
  assert line['accuracy'] == pytest.approx(20)
  assert line['bio_accuracy'] == pytest.approx(90)
  assert line['majority_baseline'] == pytest.approx(10)
  both = results.extraction([r], by=('value_tokens',), where={
      'value_tokens': ('all', 'one')}).set_index('value_tokens')
  assert both.accuracy.to_dict() == pytest.approx({'all': 20, 'one': 70})


def probed(seed):
  """Records of a probed run and of one finetuned from it."""
  def probe(metric, value, position='all', target='major'):
    return {'metric': metric, 'value': value, 'n': 50, 'person_split': 'test',
            'target': target, 'position': position}
  pretrained = {'p_probe': [
      probe('accuracy', 0.1 * (1 + position), position)
      for position in range(2)] + [probe('majority_baseline', 0.1)],
      'q_probe': [probe('accuracy', 0.4 + seed / 10), probe(
          'accuracy', 0.6, target='birth_date'), probe('majority_baseline',
                                                       0.1)]}
  finetuned = {'extraction': [
      row('accuracy', 0.5 + seed / 10, attribute='major', value_tokens='all'),
      row('accuracy', 0.05, attribute='birth_date', value_tokens='all'),
      row('first_token_accuracy', 0.7, attribute='birth_date',
          value_tokens='all')]}
  return [{'id': f'{training}{seed}', 'evals': evals,
           'tags': {'training': training, 'seed': seed}}
          for training, evals in (('pretrain', pretrained),
                                  ('finetune', finetuned))]


def test_probes_stand_beside_their_baseline_and_the_finetuned_answers():
  records = probed(0) + probed(1)
  df = results.probes(records, [r for r in records
                                if r['tags']['training'] == 'finetune'])
  p, q = (df[df.probe == name] for name in ('p_probe', 'q_probe'))
  assert p.position.tolist() == [0, 1] * 2 and q.position.isna().all()
  assert p.accuracy.tolist() == pytest.approx([10, 20] * 2)
  assert p.majority_baseline.tolist() == pytest.approx([10] * 4)
  major = q[q.target == 'major'].set_index('seed').qa_accuracy
  assert major.to_dict() == pytest.approx({0: 50, 1: 60})
  # Whole dates are not probed: their first token, the month, is.
  assert q[q.target == 'birth_date'].qa_accuracy.tolist() == pytest.approx(
      [70, 70])


def test_less_baseline_has_deviations_where_seeds_were_not_kept():
  df = pd.DataFrame({'x': [5.0], 'base': [2.0]})
  out = results.less_baseline(df, {'above': 'x'}, 'base')
  assert out.above.tolist() == [3] and 'above_std' not in out
  out = results.less_baseline(df.assign(x_std=3.0, base_std=4.0),
                              {'above': 'x'}, 'base')
  assert out.above_std.tolist() == [5]


def test_train_columns_are_of_the_last_training_row():
  df = results.train_columns([record(0, 0.2), record(1, 0.4)],
                             {'train_loss': 'loss', 'tokens': 'tokens'})
  assert list(df.train_loss) == [1.5, 2.5] and df.tokens.isna().all()


# Summaries.


def test_summarise_gives_mean_deviation_and_interval_over_seeds():
  df = accuracies([record(s, a) for s, a in enumerate((0.2, 0.3, 0.4))]
                  + [record(0, 0.5, 'multi5')], percent=True)
  s = results.summarise(df[df.attribute == 'mean'], ['variant'], ['accuracy'])
  assert list(s.variant) == ['single', 'multi5'] and list(s.n_seeds) == [3, 1]
  assert list(s.accuracy_mean) == pytest.approx([30, 50])
  assert s.accuracy_std[0] == pytest.approx(10)
  half = 4.302653 * 10 / 3**0.5  # Student's t with two degrees of freedom
  assert s.accuracy_low[0] == pytest.approx(30 - half)
  assert s.accuracy_high[0] == pytest.approx(30 + half)
  assert s[['accuracy_std', 'accuracy_low']].iloc[1].isna().all()


def test_summarise_of_records_without_seeds_is_the_same():
  kept = accuracies([record(s, a) for s, a in enumerate((0.24, 0.3, 0.36))],
                    percent=True)
  lost = accuracies([without_seeds()], percent=True)
  a, b = (results.summarise(df[df.attribute == 'mean'], ['variant'],
                            ['accuracy']) for df in (kept, lost))
  pd.testing.assert_frame_equal(a, b)


def test_summarise_groups_by_missing_values_too():
  df = accuracies([record(0, 0.2), record(1, 0.4)]).assign(
      rank=[None, None, 8, 8])
  s = results.summarise(df, ['variant', 'rank'], ['accuracy'])
  assert list(s.n_seeds) == [1, 1]


def test_best_by_takes_the_highest_mean_over_seeds():
  df = pd.DataFrame({
      'variant': ['a'] * 4 + ['b'] * 4,
      'learning_rate': [0.1, 0.1, 0.2, 0.2] * 2, 'seed': [0, 1] * 4,
      'bits': [9, 0, 5, 6, 0, 0, 0, 0]})
  best = results.best_by(df, ['variant'], 'learning_rate', 'bits')
  # The highest bits have another rate; of a tie only one is taken.
  assert list(best.bits[best.variant == 'a']) == [5, 6]
  assert best.learning_rate[best.variant == 'b'].nunique() == 1


def test_best_by_of_two_columns_takes_one_pair():
  df = pd.DataFrame({'world': 'bioD', 'people': [5, 5, 9, 9],
                     'width': [16, 24, 16, 24], 'bits': [1.0, 3.0, 2.0, 3.0]})
  best = results.best_by(df, ['world'], ['people', 'width'], 'bits')
  assert best[['people', 'width']].values.tolist() == [[5, 24]]


def test_best_by_takes_nothing_of_a_group_without_values():
  df = pd.DataFrame({'variant': ['a', 'a', 'b'], 'rate': [1, 2, 1],
                     'bits': [3.0, 4.0, math.nan]})
  best = results.best_by(df, ['variant'], 'rate', 'bits')
  assert best.index.tolist() == [1]
  assert results.best_by(df[2:], ['variant'], 'rate', 'bits').empty


def test_capacity_adds_exposures_of_all_tasks_to_their_run():
  def run(seed, bits, exposures):
    metrics = {c: bits for c in results.CAPACITY_COLUMNS} | {
        'parameters': 12_832.0}
    return record(seed, 0.5, train=exposures, evals={'bits': [
        {'metric': m, 'value': v, 'n': 500, 'term': 'all'}
        for m, v in metrics.items()] + [
            {'metric': 'bits', 'value': 9.0, 'n': 500, 'term': 'name'}]})
  df = results.capacity(
      [run(0, 1.5, {'exposures/useful': 60.0, 'exposures/tagged': 40.0}),
       run(1, 2.5, {'exposures/useful': 90.0})], tasks=('useful', 'tagged'))
  assert df.bits.tolist() == df.bits_per_param.tolist() == [1.5, 2.5]
  assert df.parameters.tolist() == [12_832, 12_832]
  assert df.parameters.dtype == int
  assert df.exposures_actual.tolist() == [100.0, 90.0]
  assert df.n_items.tolist() == [500, 500]


def test_text_table_shows_mean_and_deviation_in_one_column():
  frame = pd.DataFrame({
      'variant': ['single', 'multi5'], 'n_seeds': [3, 1],
      'accuracy_mean': [61.234, 5.0], 'accuracy_std': [3.4, math.nan],
      'accuracy_low': [1.0, 2.0], 'accuracy_high': [1.0, 2.0]})
  head, first, second = results.text_table(frame).splitlines()
  assert head.split() == ['variant', 'n_seeds', 'accuracy']
  assert first.split() == ['single', '3', '61.2', '±', '3.4']
  assert second.split() == ['multi5', '1', '5.00']


# The report.


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


def test_gather_takes_done_runs_and_committed_records(module, tmp_path):
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


def test_crossing_is_linear_in_the_logarithm_of_x():
  x, y = [100.0, 1.0, 10.0, 0.1], [90.0, 30.0, 20.0, 0.0]  # made to rise: 30
  assert results.crossing(x, y, 60) == pytest.approx(10**1.5)
  assert results.crossing(x, y, 15) == pytest.approx(10**-0.5)
  assert math.isnan(results.crossing(x, y, 95))
  assert math.isnan(results.crossing(x[1:], y[1:], 50))
