"""Tables of iGSM experiments from records of evaluations."""

import math

import pytest

from physics_lm import claims, igsm_tables


def rows_of_solutions(split, all_right, new_right, new=None, every=100):
  """Rows of `every` problems, of which `new` did not occur in training (None:
  unknown); *_right: how many were solved."""
  def row(metric, value, n, contaminated, error_type='all'):
    return {'metric': metric, 'value': value, 'n': n, 'split': split,
            'op': 'all', 'contaminated': contaminated,
            'error_type': error_type}
  out = []
  for count, right, contaminated in ((every, all_right, 'all'),
                                     (new, new_right, 'no')):
    if count is not None:
      out += [row('accuracy', right / count, count, contaminated),
              row('retries', 0.5, right, contaminated),
              row('first_error', 0.1, count, contaminated, 'arithmetic')]
  return out


def record(*rows, seed=0, **tags):
  return {'id': f'{tags}{seed}', 'tags': tags | {'seed': seed}, 'train': {},
          'evals': {'reasoning': [r for part in rows for r in part]}}


def test_solutions_are_of_problems_that_did_not_occur_in_training():
  df = igsm_tables.solutions([record(
      rows_of_solutions('train_op2', 60, 10, new=40),
      rows_of_solutions('train_op3', 30, None))], errors=('arithmetic',))
  known, unknown = df.to_dict('records')
  assert known['contaminated'] == 'no' and known['n_items'] == 40
  assert known['accuracy'] == 25 and known['accuracy_all'] == 60
  assert known['accuracy_contaminated'] == pytest.approx(100 * 50 / 60)
  assert known['retries'] == 0.5  # a count, not a share
  assert known['arithmetic'] == 10 and known['other_errors'] == 65
  assert unknown['contaminated'] == 'all' and unknown['accuracy'] == 30
  assert unknown['n_items'] == unknown['n_all'] == 100
  assert math.isnan(unknown['accuracy_contaminated'])


def test_where_all_problems_occurred_no_new_one_is_solved():
  every = rows_of_solutions('train_op2', 90, None)
  df = igsm_tables.solutions([record(
      every, [r | {'contaminated': 'yes'} for r in every], depth=8)])
  one, = df.to_dict('records')
  assert one['depth'] == 8
  assert math.isnan(one['accuracy']) and one['n_items'] == 0
  assert one['accuracy_all'] == one['accuracy_contaminated'] == 90


def test_a_column_over_other_items_keeps_their_number():
  shares = ('correct_with_retry', 'retry_precision')
  rows = rows_of_solutions('test_op2', 60, None)
  df = igsm_tables.solutions([record(rows, [
      rows[0] | {'metric': m, 'value': 1.0, 'n': n} for m, n in zip(
          shares, (100, 3))], seed=s) for s in range(5)], shares=shares)
  assert set(df.retry_precision_n) == {3} and set(df.n_items) == {100}
  assert 'correct_with_retry_n' not in df
  narrow, wide = (claims.judge(claims.Claim(
      'x', '', '', '', ({'split': 'test_op2'},), claims.at_least(95), c), df
      ) for c in shares)
  assert narrow.outcome == 'supported' and narrow.effect.low > 99
  assert wide.outcome == 'inconclusive' and 78 < wide.effect.low < 79


def test_hardest_split_is_the_last_that_the_best_group_solves_half_of():
  records = [
      record(rows_of_solutions('test_op2', a, None),
             rows_of_solutions('test_op10', b, None),
             rows_of_solutions('test_op12_reask', 99, None), depth=depth,
             seed=seed)
      for depth, a, b in ((2, 80, 20), (4, 90, 55)) for seed in range(2)]
  df = igsm_tables.solutions(records)
  assert igsm_tables.hardest_split(df, ['depth']) == 'test_op10'
  assert igsm_tables.hardest_split(df) == 'test_op2'  # 37.5 % of op 10
  assert igsm_tables.hardest_split(df, solved=0) == 'test_op10'
  assert igsm_tables.hardest_split(df, solved=99) == 'test_op2'  # none: easiest


@pytest.mark.parametrize('split, op, label', [
    ('test', 0, 'all op'), ('train_op3', 3, 'op 3'),
    ('test_op20_reask', 20, 'op 20, reask')])
def test_names_of_splits(split, op, label):
  assert igsm_tables.split_op(split) == op
  assert igsm_tables.split_label(split) == label


def test_detection_puts_counts_and_recall_beside_each_detector():
  def row(metric, value, detector, contaminated='no', label='all'):
    return {'metric': metric, 'value': value, 'n': 10, 'split': 'test',
            'detector': detector, 'label': label, 'contaminated': contaminated}
  rows = [row('wrong_sentences', 7, 'all'),
          row('probe_recall', 0.9, 'probe', 'all', 'positive'),
          row('probe_recall', 0.5, 'probe', 'all', 'negative')]
  for detector in ('none', 'probe'):
    rows += [row('accuracy', 0.4, detector), row('retries', 2, detector),
             row('accuracy', 0.6, detector, 'all')]
  rows.append(row('detected', 0.3, 'probe'))
  none, probe = igsm_tables.detection([{
      'id': 'a', 'tags': {'seed': 0}, 'train': {},
      'evals': {'regret': rows}}]).to_dict('records')
  assert none['accuracy'] == probe['accuracy'] == 40
  assert none['wrong_sentences'] == probe['wrong_sentences'] == 7
  assert (probe['detected'], probe['retries']) == (30, 2)
  assert (probe['recall_positive'], probe['recall_negative']) == (90, 50)
  assert math.isnan(none['detected']) and math.isnan(none['recall_positive'])


def test_v_probes_have_a_baseline_where_all_labels_are_meant():
  def row(metric, value, **slices):
    return {'metric': metric, 'value': value, 'n': 10, 'split': 'test'} | {
        k: 'all' for k in ('model', 'layer', 'label', 'needed', 'position',
                           'distance')} | slices
  df = igsm_tables.v_probes([{
      'id': 'a', 'tags': {'seed': 0}, 'train': {}, 'evals': {task: [
          row('accuracy', 0.75, model='trained', layer='last'),
          row('accuracy', 0.5, model='trained', layer=0, label='positive',
              distance=1),
          row('majority_baseline', 0.6)] for task in ('nece', 'dep')}}],
      ('nece', 'dep'))
  assert list(df.task) == ['nece', 'nece', 'dep', 'dep']
  assert list(df.majority_baseline[:1]) == [60]
  assert math.isnan(df.majority_baseline[1])
  assert list(df.layer[:2]) == ['last', '0'] and df.distance[1] == '1'


def test_v_probes_best_layer_and_accuracy_by_distance():
  def row(model, layer, label, value, distance='all'):
    return {'metric': 'accuracy', 'value': value, 'n': 10, 'split': 'test',
            'needed': 'all', 'position': 'all', 'model': model, 'layer': layer,
            'label': label, 'distance': distance}

  def run(seed, *accuracies):  # balanced, of layers 0, 1, 2
    return {'id': str(seed), 'tags': {'seed': seed}, 'train': {}, 'evals': {
        'nece': [row('trained', n, 'balanced', x)
                 for n, x in enumerate(accuracies)] + [
                     row('trained', 1, 'positive', 0.9, 2),
                     row('trained', 1, 'negative', 0.5)]}}

  df = igsm_tables.v_probes([run(0, 0.5, 0.7, 0.6), run(1, 0.5, 0.6, 0.65)],
                            ('nece',))
  best = df[df.layer == 'best']  # layer 1: 65 and layer 2: 62.5 on average
  assert dict(zip(best.seed, best.accuracy)) == {0: 70, 1: 60}
  found = igsm_tables.found_by_distance(df)
  assert found.loc[('trained', 2), 1] == 70


def trained(variant, op5, op6, curve):
  """A record of 100 steps; `curve`: percent at op 6 after 50 and 100 steps."""
  return record(rows_of_solutions('test_op5', op5, None),
                rows_of_solutions('test_op6', op6, None),
                variant=variant) | {
      'step': 100, 'train': {'tokens': 1000, 'entries/train': 9}, 'curves': {
          'curve': {'step': [0, 50, 100],
                    'accuracy/test_op6': [0.0, *(x / 100 for x in curve)]}}}


def test_gains_of_retry_data_at_the_end_and_during_training():
  df = igsm_tables.retry_gains([
      trained('clean', 80, 10, (5, 12)), trained('retry 0.2', 70, 40, (9, 41))])
  own = df[df.variant == 'retry 0.2'].set_index(['split', 'steps'])
  assert dict(own.gain) == {('test_op5', 100): -10, ('test_op6', 100): 30,
                            ('test_op6', 50): 4}
  assert dict(own.tokens) == {('test_op5', 100): 1000, ('test_op6', 100): 1000,
                              ('test_op6', 50): 500}
  assert list(own.main) == [True, True, False]
  assert list(own.judged) == [False, True, False]
