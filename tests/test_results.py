"""Records of runs, tables of records, summaries of tables, and the report."""

import math

import numpy as np
import pandas as pd
import pytest

from physics_lm import results

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


def test_crossing_is_linear_in_the_logarithm_of_x():
  x, y = [100.0, 1.0, 10.0, 0.1], [90.0, 30.0, 20.0, 0.0]  # made to rise: 30
  assert results.crossing(x, y, 60) == pytest.approx(10**1.5)
  assert results.crossing(x, y, 15) == pytest.approx(10**-0.5)
  assert math.isnan(results.crossing(x, y, 95))
  assert math.isnan(results.crossing(x[1:], y[1:], 50))


def test_percent_of_is_of_the_row_with_the_same_keys():
  df = pd.DataFrame({'size': [1, 1, 2, 2, 3], 'seed': [0, 0, 0, 0, 0],
                     'arm': ['a', 'b', 'a', 'b', 'b'],
                     'bits': [4.0, 1, 2, 3, 5]}, index=[7, 7, 1, 0, 2])
  found = results.percent_of(df, 'bits', df.arm == 'a', ['size', 'seed'])
  np.testing.assert_allclose(found, [100, 25, 100, 150, np.nan])
