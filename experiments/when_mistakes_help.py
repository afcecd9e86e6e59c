"""When do errors and retries in the training data help?

Part 2.2 (Ye, Xu, Li, Allen-Zhu, arXiv 2408.16293) finds that the more errors
the better (rate 0.5 > 0.2 > 0.05), with 124M parameters and 39 billion tokens.
No paper says what the gain depends on. Here (world, model, tokens of
error_correction.py): the rate; the tokens; loss on the errors' names or not
(masked); op; whether the model can copy and plan before it reads errors (warm
start: 1,500 steps on error-free data, all tokens are counted). Gain: accuracy
less that of error-free data with the same start, seed and tokens.

  python -m physics_lm.launch experiments/when_mistakes_help.py --scale=cpu
  python -m physics_lm.report experiments/when_mistakes_help.py --scale=cpu

`cpu`: 5 core-hours beside the runs of error_correction.py, whose records count;
each number of tokens has a schedule of its own. Judged at op 5, the most in
training, and op 6, whose solutions are longer by a sentence.

Known at 9.2M tokens: rates 0 and 0.2, op 5 86, 80 %, op 6 12, 41. Predicted, op
6: rate 0.5 40, after a warm start 50, error-free 10; op 5: 70, 75, 85; first
errors of arithmetic at op 3: 4, warm 2. At 4.6M tokens gains of 0.2: op 6 15,
op 5 -12. Three seeds gave gains, 0.5 warm: op 5 -36, op 6 4; 0.2 at 4.6M: -25,
2. Predicted of five: the same within 6.
"""

from physics_lm import figures, results
from physics_lm import igsm_tables as igsm
from physics_lm.claims import Claim, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

SHARED = ('error_correction',)  # the runs from scratch at 9.2M tokens
WARM, STYLES = 1500, ('-', ':', '--', '-.')  # steps on error-free data; lines
ARMS = {'clean': 'error-free', 'retry 0.05': 'rate 0.05', 'retry 0.2': (
    'rate 0.2'), 'retry 0.5': 'rate 0.5', 'retry_masked 0.2': (
        'rate 0.2, masked'), 'retry_masked 0.5': 'rate 0.5, masked'}
CLEAN, _, R2, R5, *_ = ARMS
PARTS = {'accuracy': 'correct', 'arithmetic': 'arithmetic',
         'other_errors': 'other', 'not_computable': 'not computable yet'}
COMPACT = dict(seeds=5, common=scales.COMPACT_SOLUTIONS, warm=WARM)
SCALES = {  # arms: steps in all, start, training data
    'smoke': dict(seeds=1, common=scales.SMOKE_IGSM, warm=3, arms=[
        (6, start, (CLEAN, R5)) for start in ('scratch', 'warm')]),
    'cpu': dict(COMPACT, arms=((6000, 'scratch', ARMS), (
        6000, 'warm', (CLEAN, R5)), (3000, 'scratch', (CLEAN, R2)))),
    'day': dict(COMPACT, arms=[
        (6000, 'scratch', ARMS), *((n, start, (CLEAN, R2, R5)) for n, start in (
            (6000, 'warm'), (3000, 'scratch'), (3000, 'warm')))])}


def training(steps: int, start: str, data: str, seed: int, s: dict) -> Run:
  """The run of an arm."""
  file, same = 'configs/igsm.py:compact', s['common'] | scales.seeds(seed)
  retry = scales.retry_data(data)
  tags = {'start': start, 'data': data, 'total_steps': steps, 'seed': seed}
  if start == 'scratch':
    return Run(file, same | retry | {'steps': steps}, tags)
  clean = Run(file, same | {'steps': s['warm']}, tags | {'start': 'clean'})
  return Run(file, same | retry | {
      'steps': steps - s['warm'], 'seed.data': seed + 1000}, tags, clean)


def runs(scale: str) -> list[Run]:
  """Every (seed, arm)."""
  s = pick(SCALES, scale)
  return [training(steps, start, data, i, s) for i in range(s['seeds'])
          for steps, start, arms in s['arms'] for data in arms]


def table(records):
  """A row a run and split (igsm_tables.solutions). errors_clean: % of problems
  that the model trained on error-free data with the same start, tokens and seed
  does not solve; gain: accuracy less its; judged: the split of the claims."""
  df = igsm.solutions(records, errors=('not_computable', 'arithmetic'),
                      shares=('correct_with_retry',))
  by = ['start', 'total_steps', 'seed', 'split']
  df = df.merge(df[df.data == CLEAN][[*by, 'accuracy']], on=by, how='left',
                suffixes=('', '_clean'))
  df['errors_clean'] = 100 - df.pop('accuracy_clean')
  df['gain'] = df.accuracy + df.errors_clean - 100
  df['judged'] = df.split == igsm.judged_split(df)
  df['training'] = df.start.map({'warm': ', warm start', 'scratch': ''}) + (
      df.total_steps < df.total_steps.max()).map({
          True: ', fewer tokens', False: ''})
  df['arm'] = df.data.map(ARMS) + df.training
  return df.sort_values(['training', 'arm'], kind='stable', ignore_index=True)


def summary(df):
  """By arm and split."""
  return results.summarise(df, [
      'arm', 'training', 'data', 'split', 'judged'], [
          *PARTS, 'errors_clean', 'gain', 'retries', 'correct_with_retry'])


def figure(df):
  """Solutions of arms at the two hardest op; gains by op."""
  s = summary(df)
  fig, (axes,) = figures.grid(3, width=5.2, height=4.2)
  for ax, split in zip(axes, sorted(set(s.split), key=igsm.split_op)[-2:]):
    at = s[s.split == split]
    figures.stacked_bars(ax, at, PARTS, list(at.arm))
    figures.labels(ax, '% of problems', '', igsm.split_label(split))
  rows = s[s.data != CLEAN].assign(op=s.split.map(igsm.split_op))
  for style, (name, at) in zip(STYLES, rows.groupby('training')):
    figures.curves(axes[2], at, 'op', 'data', 'gain', {
        d: n + name for d, n in ARMS.items()}, False, linestyle=style)
  figures.level(axes[2], 0)
  figures.legend(axes[2], loc='center left', bbox_to_anchor=(1, 0.5))
  axes[2].set_xticks(sorted(set(rows.op)))
  figures.labels(axes[2], 'op', 'points', 'Gain over error-free training')
  figures.finish(
      fig, 'What errors and retries in the training data bring',
      f'{figures.seeds_note(s)}; 9.2M tokens, fewer: 4.6M; masked: no loss on '
      f'the names in\nerrors; warm start: {WARM:,} steps on error-free data')
  return fig


def cell(start: str, data: str, steps: int = 6000, **where) -> dict:
  """A cell of the table, by default of the judged split."""
  return {'start': start, 'data': data, 'total_steps': steps} | (
      where or {'judged': True})


def claim(id: str, statement: str, a: dict, b: dict, column: str = 'accuracy',
          **more) -> Claim:
  """A claim of ours that cell a is above cell b."""
  return Claim(id, statement, 'beyond Part 2.2', '—', (a, b), greater(),
               column, **more)


CLAIMS = (
    *(c for op, at in ((6, {}), (5, {'split': 'test_op5'})) for c in (
        claim(f'copying_first_helps_{op}', f'Op {op}, gain of rate 0.5: warm '
              'start > from scratch', *(cell(start, R5, **at) for start in (
                  'warm', 'scratch')), 'gain'),
        claim(f'rate_0.5_from_scratch_{op}', f'Op {op}, from scratch: '
              'error-free > rate 0.5', *(cell('scratch', d, **at) for d in (
                  CLEAN, R5)), baseline=0),
        claim(f'rate_0.5_after_copying_{op}', f'Op {op}, after a warm start: '
              'rate 0.5 > error-free', *(cell('warm', d, **at) for d in (
                  R5, CLEAN)), baseline=0),
        *(claim(f'rate_{rate}_gains_with_tokens_{op}', f'Op {op}, gain of rate '
                f'{rate} from scratch: 9M > 5M tokens', *(
                    cell('scratch', f'retry {rate}', n, **at)
                    for n in (6000, 3000)), 'gain', decided_by=by)
          for rate, by in ((0.2, ''), (0.5, 'day'))))),
    # At op 3 few solutions end at an error of planning before they calculate.
    claim('rate_0.5_cannot_copy', 'Op 3, rate 0.5: first errors of arithmetic, '
          'from scratch > after a warm start', *(cell(a, R5, split='test_op3')
              for a in ('scratch', 'warm')), 'arithmetic'))
