"""When do errors and retries in the training data help?

Part 2.2 (Ye, Xu, Li, Allen-Zhu, arXiv 2408.16293) finds that the more errors
the better (rate 0.5 > 0.2 > 0.05), with 124M parameters and 39 billion tokens.
At 0.8M parameters and 7M tokens a rate of 0.5 lowered accuracy in a first look.
No paper says what the gain depends on. Here (compact world, as
error_correction.py): the rate; the tokens; and whether the model can copy and
plan before it reads errors. A warm start trains on error-free data for 1,500
steps, then on retry data; all tokens are counted. Gain: accuracy less that of
rate 0 with the same start, seed and tokens.

  python -m physics_lm.launch experiments/when_mistakes_help.py --scale=cpu
  python -m physics_lm.report experiments/when_mistakes_help.py --scale=cpu

`cpu`: 4 core-hours beside the runs of error_correction.py, whose records
count; each number of tokens has a learning-rate schedule of its own. Judged on
new problems at op 5, the most in training, and op 6, where solutions are longer
by a sentence than error-free ones in training.

Known from error_correction.py, from scratch at 9.2M tokens: rates 0 and 0.2, op
5 86, 80 %, op 6 12, 41. Predicted, op 6: rate 0.5 40, after a warm start 50,
error-free 10: gains 30 and 40 points. Op 5: 0.5 70, warm 75, error-free 85;
arithmetic errors at op 3: 4, warm 2. At 4.6M tokens gains of 0.2: op 6 15, op
5 -12 (at 9.2M 29, -6); of 0.5, op 6: 10.
"""

from physics_lm import figures, results
from physics_lm import igsm_tables as igsm
from physics_lm.claims import Claim, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

SHARED = ('error_correction',)  # the runs from scratch at rates 0 and 0.2
STARTS = {'scratch': '', 'warm': ', warm start'}
WARM = 1500  # steps on error-free data
PARTS = {'accuracy': 'correct', 'arithmetic': 'arithmetic',
         'other_errors': 'other', 'not_computable': 'not computable yet'}
SCALES = {  # arms: steps in all, start, retry rates
    'smoke': dict(seeds=1, common=scales.SMOKE_IGSM, warm=3, arms=(
        (6, 'scratch', (0.0, 0.5)), (6, 'warm', (0.0, 0.5)))),
    'cpu': dict(seeds=3, common=scales.COMPACT_SOLUTIONS, warm=WARM, arms=(
        (6000, 'scratch', (0.0, 0.2, 0.5)), (6000, 'warm', (0.0, 0.5)),
        (3000, 'scratch', (0.0, 0.2)))),
    'day': dict(seeds=5, common=scales.COMPACT_SOLUTIONS, warm=WARM, arms=[
        (n, start, (0.0, 0.2, 0.5)) for n in (3000, 6000) for start in STARTS]),
}


def training(steps: int, start: str, rate: float, seed: int, s: dict) -> Run:
  """The run of an arm."""
  file, same = 'configs/igsm.py:compact', s['common'] | scales.seeds(seed)
  retry = {'worlds.igsm.retry_rate': rate}
  tags = {'start': start, 'rate': rate, 'total_steps': steps, 'seed': seed}
  if start == 'scratch':
    return Run(file, same | retry | {'steps': steps}, tags)
  clean = Run(file, same | {'steps': s['warm']}, tags | {'start': 'clean'})
  return Run(file, same | retry | {
      'steps': steps - s['warm'], 'seed.data': seed + 1000}, tags, clean)


def runs(scale: str) -> list[Run]:
  """Every (seed, arm)."""
  s = pick(SCALES, scale)
  return [training(steps, start, rate, seed, s) for seed in range(s['seeds'])
          for steps, start, rates in s['arms'] for rate in rates]


def table(records):
  """A row a run and split (igsm_tables.solutions). gain: accuracy less that of
  rate 0; judged: the split of the claims."""
  df = igsm.solutions(records, errors=('not_computable', 'arithmetic'),
                      shares=('correct_with_retry',))
  by = ['start', 'total_steps', 'seed', 'split']
  df = df.merge(df[df.rate == 0][[*by, 'accuracy']], on=by, how='left',
                suffixes=('', '_clean'))
  df['gain'] = df.accuracy - df.pop('accuracy_clean')
  df['judged'] = df.split == igsm.judged_split(df)
  less = [f', {n:,} steps' if n < df.total_steps.max() else ''
          for n in df.total_steps]
  df['arm'] = 'rate ' + df.rate.map(str) + df.start.map(STARTS) + less
  return df.sort_values(['total_steps', 'start', 'rate'], kind='stable',
                        ascending=[False, True, True], ignore_index=True)


def summary(df):
  """By start, rate, tokens and split."""
  return results.summarise(df, [
      'arm', 'start', 'rate', 'total_steps', 'split', 'judged'], [
          *PARTS, 'gain', 'retries', 'correct_with_retry'])


def figure(df):
  """Accuracy of arms and seeds at the two hardest op; errors at the first."""
  splits, s = sorted(set(df.split), key=igsm.split_op)[-2:], summary(df)
  fig, (axes,) = figures.grid(3, width=4.4, height=3.6)
  for ax, split in zip(axes, splits):
    figures.bars_of_seeds(ax, s[s.split == split], df[df.split == split], 'arm',
                          'accuracy')
    figures.percent_axis(ax, horizontal=True)
    figures.labels(ax, 'solutions correct, %', '', igsm.split_label(split))
  at = s[s.split == splits[0]]
  figures.stacked_bars(axes[2], at, PARTS, list(at.arm))
  figures.labels(axes[2], '% of problems', '', 'First errors, '
                 + igsm.split_label(splits[0]))
  figures.finish(
      fig, 'What errors and retries in the training data bring',
      f'bars: means, dots: {df.seed.nunique()} seeds; problems not in training;'
      f' warm start: the first {WARM:,} steps on error-free data')
  return fig


def cell(start: str, rate: float, steps: int = 6000, **where) -> dict:
  """A cell of the table, by default of the judged split."""
  return {'start': start, 'rate': rate, 'total_steps': steps} | (
      where or {'judged': True})


def claim(id: str, statement: str, a: dict, b: dict, column: str = 'accuracy',
          **more) -> Claim:
  """A claim of ours that cell a is above cell b."""
  return Claim(id, statement, 'beyond Part 2.2', '—', (a, b), greater(), column,
               decided_by='scale day: 60 runs, 14 core-hours', **more)


def claims_at(op: int, where: dict) -> list[Claim]:
  """The claims on accuracy at an op."""
  clean, r5 = (cell('scratch', r, **where) for r in (0.0, 0.5))
  warm_clean, warm_r5 = (cell('warm', r, **where) for r in (0.0, 0.5))
  return [
      claim(f'copying_first_helps_{op}', f'Op {op}, gain of rate 0.5: warm '
            'start > from scratch', warm_r5, r5, 'gain'),
      claim(f'rate_0.5_from_scratch_{op}', f'Op {op}, from scratch: error-free '
            '> rate 0.5', clean, r5, baseline=0),
      claim(f'rate_0.5_after_copying_{op}', f'Op {op}, after a warm start: '
            'rate 0.5 > error-free', warm_r5, warm_clean, baseline=0)]


OP_5 = {'split': 'test_op5'}
CLAIMS = (
    *claims_at(6, {}), *claims_at(5, OP_5),
    # At op 3 few solutions end at an error of planning before they calculate.
    claim('rate_0.5_cannot_copy', 'Op 3, rate 0.5: first errors of arithmetic, '
          'from scratch > after a warm start', *(cell(
              a, 0.5, split='test_op3') for a in STARTS), 'arithmetic'),
    *(claim(f'rate_{rate}_gains_with_tokens_{op}', f'Op {op}, gain of rate '
            f'{rate} from scratch: 9M > 5M tokens', *(
                cell('scratch', rate, n, **where) for n in (6000, 3000)),
            'gain') for rate in (0.2, 0.5)
      for op, where in ((6, {}), (5, OP_5))),
)
