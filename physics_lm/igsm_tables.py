"""Tables of iGSM experiments, from records: accuracy of complete solutions,
errors, contamination.

Records of evaluations of kinds 'solutions' and 'retry_upon_regret'
(physics_lm/evals/igsm/). No JAX.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from physics_lm.results import (
  Record,
  below,
  beside,
  during_training,
  train_columns,
  wide,
)

if TYPE_CHECKING:
  import pandas as pd

COMPACT_SPLIT = 'test_op6'
SOLUTION_SHARES = ('accuracy', 'answer_accuracy', 'majority_baseline', 'ended')
SOLUTION_COUNTS = ('op', 'retries', 'retries_wrong', 'extra_parameters',
                   'extra_parameters_unplanned', 'extra_operations')
FIRST_ERRORS = {  # {error_type: in a figure}
    'not_computable': 'not computable yet', 'arithmetic': 'arithmetic',
    'unknown_quantity': 'unknown quantity', 'duplicate': 'duplicate',
    'end': 'too short or too long', 'unreadable': 'unreadable'}

RETRY_PARTS = {  # {column of retry_gains: in a figure}, 100 % together
    'without_retry': 'correct, no retry', 'with_retry': 'correct, a retry',
    'arithmetic': 'error: arithmetic', 'other_errors': 'other error',
    'not_computable': 'error: not computable yet'}


def solutions(records: Sequence[Record], evaluation: str = 'reasoning',
              errors: Sequence[str] = (), shares: Sequence[str] = ()
              ) -> 'pd.DataFrame':
  """A table with one row a run and split of iGSM problems, as uncontaminated()
  has it: SOLUTION_SHARES in percent (accuracy: of complete solutions),
  SOLUTION_COUNTS a problem (retries and extra_*: of correct solutions;
  _unplanned: what they would have without planning), and
  each of `errors` the share of problems with such a first error, other_errors
  with another; `shares`: further metrics, in percent."""
  by, where = ('split', 'contaminated'), {'op': 'all', 'error_type': 'all'}
  percent = (*SOLUTION_SHARES, *shares)
  df = wide(records, evaluation, percent + SOLUTION_COUNTS, by, where, percent)
  for name in errors:
    df = beside(df, wide(records, evaluation, {name: 'first_error'}, by,
                         where | {'error_type': name}, True), name)
  if errors:
    df['other_errors'] = (
        100 - df.accuracy - df[list(errors)].sum(axis=1)).round(6)
  return uncontaminated(df, ['split'])


def detection(records: Sequence[Record], evaluation: str = 'regret'
              ) -> 'pd.DataFrame':
  """A table with one row a run, split and detector of retry upon regret, as
  uncontaminated() has it, percent: accuracy of complete solutions and of
  answers, ended; retries a solution; used_up, solutions that had all of them.
  Of greedy solutions: false_alarm_rate on correct sentences (right_sentences is
  their number), detected first wrong ones (wrong_sentences), detected_early of
  those whose true can_next is false (early_sentences); right_kept, correct ones
  at which it does not fire; own_error_accuracy and own_early_accuracy, the
  means of right_kept and of detected or detected_early. Of random queries to
  the probe: recall_positive and recall_negative, and question_accuracy, their
  mean."""
  by = ['split', 'detector', 'contaminated']
  shares = ('accuracy', 'answer_accuracy', 'ended', 'false_alarm_rate',
            'detected', 'detected_early', 'used_up')
  df = wide(records, evaluation, (*shares, 'retries'), by, {'label': 'all'},
            shares)
  counts = wide(records, evaluation, (
      'right_sentences', 'wrong_sentences', 'early_sentences'),
                ('split', 'contaminated')).drop(
          columns='n_items', errors='ignore')
  df = df.merge(counts, how='left')
  for label in ('positive', 'negative'):
    df = beside(df, wide(records, evaluation, {
        f'recall_{label}': 'probe_recall'}, by[:2], {'label': label}, True),
                f'recall_{label}')
  df['question_accuracy'] = (df.recall_positive + df.recall_negative) / 2
  df['right_kept'] = 100 - df.false_alarm_rate
  df['own_error_accuracy'] = (df.right_kept + df.detected) / 2
  df['own_early_accuracy'] = (df.right_kept + df.detected_early) / 2
  return uncontaminated(df, by[:2])


def first_errors(records: Sequence[Record], evaluation: str = 'reasoning'
                 ) -> 'pd.DataFrame':
  """A table with one row a run, split and error_type, as uncontaminated() has
  it, percent: first_error; where error_type is 'all', accuracy, answer_accuracy
  and, of a correct solution, extra_parameters and those without planning."""
  percent = ('accuracy', 'answer_accuracy', 'first_error')
  by = ('split', 'error_type')
  return uncontaminated(wide(records, evaluation, (
      *percent, 'extra_parameters', 'extra_parameters_unplanned'),
              (*by, 'contaminated'), {'op': 'all'}, percent), by)


def v_probes(records: Sequence[Record], tasks: Sequence[str]) -> 'pd.DataFrame':
  """A table with one row a run, task (a probe's name in the config) and slice,
  percent: accuracy; where label, needed and distance are 'all' the majority
  baseline and the share of positive labels. Layers and distances are strings;
  layer 'best': the one whose balanced accuracy is highest on average over
  seeds."""
  import pandas as pd
  every, parts = ('split', 'label', 'needed', 'position', 'distance'), []
  by = ('split', 'model', 'layer', *every[1:])
  for task in tasks:
    shares = wide(records, task, ('majority_baseline', 'positive_share'), every,
                  percent=True).drop(columns='n_items', errors='ignore')
    parts.append(wide(records, task, ('accuracy',), by, percent=True)
                 .merge(shares, how='left').assign(task=task))
  df = pd.concat(parts, ignore_index=True)
  df = df.assign(layer=df.layer.map(str), distance=df.distance.map(str))
  names = ['task', 'model', 'split', 'position']
  each = df[df.label.eq('balanced') & df.layer.str.isdigit()
            & df.needed.eq('all')]
  means = each.groupby([*names, 'layer']).accuracy.mean().reset_index()
  best = means.loc[means.groupby(names).accuracy.idxmax(), [*names, 'layer']]
  return below(df, each.merge(best).assign(layer='best'))


def found_by_distance(df: 'pd.DataFrame') -> 'pd.DataFrame':
  """From rows of v_probes of one task: balanced accuracy (the mean of positive
  labels at a distance from the answer and of all negative ones), by model,
  layer and distance, mean over seeds."""
  rows = df[df.needed.eq('all') & df.position.eq('all')
            & df.layer.str.isdigit()]
  rows = rows.assign(layer=rows.layer.astype(int))
  by = ['run', 'model', 'split', 'layer']
  rows = rows[rows.label.eq('positive') & rows.distance.ne('all')].merge(
      rows[rows.label.eq('negative')][[*by, 'accuracy']], on=by,
      suffixes=('', '_negative'))
  rows['balanced'] = (rows.accuracy + rows.accuracy_negative) / 2
  rows['distance'] = rows.distance.astype(int)
  return rows.pivot_table('balanced', ['model', 'distance'], 'layer')


def uncontaminated(df: 'pd.DataFrame', by: Sequence[str]) -> 'pd.DataFrame':
  """For each run and values of `by` the row of test problems that did not
  occur in training (contaminated 'no') or, where it is not known which did,
  that of all; nan where all did. What is measured follows the slices, of which
  `contaminated` is the last. New columns: accuracy_all and n_all of all
  problems, and accuracy_contaminated of those that did occur."""
  import pandas as pd
  key = ['run', *by]
  order = df.set_index(key).index.unique()
  every, new, old = (df[df.contaminated == c].set_index(key)
                     for c in ('all', 'no', 'yes'))
  out = pd.concat([new, every[~every.index.isin(new.index)]]).reindex(order)
  none = out.index.isin(old.index.difference(new.index))
  measured = [*out.columns[[*out.columns].index('contaminated') + 1:]]
  out.loc[none, measured] = float('nan')
  out.loc[none, 'n_items'] = 0
  every = every.reindex(order)
  others = (every.n_items - out.n_items).astype(float)  # 0 / 0 is nan
  out['accuracy_all'], out['n_all'] = every.accuracy, every.n_items
  out['accuracy_contaminated'] = (
      every.n_items * every.accuracy - (out.n_items * out.accuracy).fillna(0)
      ) / others
  columns = [*df.columns, *(c for c in out if c not in df)]
  return out.reset_index()[columns]


def retry_gains(records: Sequence[Record]) -> 'pd.DataFrame':
  """A table with one row a run and split (solutions) of runs whose variant is
  'clean' or the kind and rate of their retry data, all of equal steps, then one
  a run, split and step of evaluation 'curve', accuracy of all problems alone.
  with_retry, without_retry: of all problems, correct; retry_rate, and
  retries_in_data of a training solution of so many op, at most; tokens,
  training_problems, steps; main: of the last step; hardest: whether the split
  is judged_split of variant clean; judged: both; gain: accuracy less that of
  clean at that seed, split and step."""
  df = solutions(records, errors=('not_computable', 'arithmetic'), shares=(
      'correct_with_retry', 'retry_precision', 'retry_mistakes',
      'query_early')).rename(
          columns={'correct_with_retry': 'with_retry'})
  df['without_retry'] = df.accuracy - df.with_retry.fillna(0)
  df = df.merge(train_columns(records, {
      'tokens': 'tokens', 'training_problems': 'entries/train'}), on='run')
  df['steps'] = df.run.map({r['id']: r['step'] for r in records})
  last = df.drop_duplicates('run').set_index('run')
  df['main'] = True
  for split in df.split.unique():
    made = during_training(records, 'curve', {'accuracy': f'accuracy/{split}'})
    if len(made):
      made = made[made.accuracy.notna() & made.step.gt(0)
                  & made.step.lt(made.run.map(last.steps))]
    if len(made):
      df = below(df, made.rename(columns={'step': 'steps'}).assign(
          split=split, main=False, accuracy=100 * made.accuracy,
          op=float(split_op(split)), tokens=made.run.map(
              last.tokens / last.steps) * made.step))
  rate = df.variant.str.partition(' ')[2].replace('', '0').astype(float)
  df['retry_rate'], df['retries_in_data'] = rate, rate / (1 - rate) * df.op
  clean = df[df.variant == 'clean']
  df['hardest'] = df.split == judged_split(clean[clean.main])
  df['judged'] = df.main & df.hardest
  by = ['seed', 'split', 'steps']
  df = df.merge(clean[[*by, 'accuracy']], on=by, how='left',
                suffixes=('', '_clean'))
  df['gain'] = df.accuracy - df.pop('accuracy_clean')
  return df


def split_op(split: str) -> int:
  """The number of operations of a split's problems; 0: as in training."""
  return int(''.join(c for c in split if c.isdigit()) or 0)


def split_label(split: str) -> str:
  """'op 13', 'op 13, reask' or 'all op'."""
  op = split_op(split)
  return (f'op {op}' if op else 'all op') + (
      ', reask' if split.endswith('_reask') else '')


def judged_split(df: 'pd.DataFrame', groups: Sequence[str] = ()) -> str:
  """test_op6, one operation more than models of the compact recipe train on;
  where there is no such split, hardest_split."""
  return COMPACT_SPLIT if COMPACT_SPLIT in set(df.split) else (
      hardest_split(df, groups))


def hardest_split(df: 'pd.DataFrame', groups: Sequence[str] = (),
                  solved: float = 50) -> str:
  """The split of most operations of which the rows (the best of `groups`)
  have `solved` percent on average over seeds; else that of fewest. Splits
  with changed questions (_reask) do not count."""
  rows = df[~df.split.str.endswith('_reask')]
  means = rows.groupby(['split', *groups]).accuracy.mean()
  best = means.groupby('split').max()
  order = sorted(best.index, key=split_op)
  return next((s for s in reversed(order) if best[s] >= solved), order[0])
