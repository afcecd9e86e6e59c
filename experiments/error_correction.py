"""Does a model reason better when its training data hold errors and retries?

Part 2.2 (Ye, Xu, Li, Allen-Zhu, arXiv 2408.16293), sections 4 and 6, Results 3
to 5 and 8. Retry data: before each sentence of a solution, with probability
retry_rate and again with the same, "Define A as BACK" for a quantity A that
cannot be computed yet. Equal tokens, hence fewer problems; greedy decoding.
Masked: no loss on A's name. retry_weak: A is any later quantity of the
solution (released code: or the next); retry_miss: any that is not computed.

Paper (iGSM-med, GPT2-12-12, op 23, whole solutions correct): error-free 78 %;
retry data at rates 0.05, 0.2, 0.5 84, 92, 94 %, at 0.5 masked 95 %; retries in
a correct solution 0.2 at rate 0.2, 2.9 at 0.5; at 0.5 retry_weak 61, miss 83 %.

  python -m physics_lm.launch experiments/error_correction.py --scale=cpu
  python -m physics_lm.report experiments/error_correction.py --scale=cpu

Measured, `cpu`: 21 runs, 59 minutes of a shared core. There: two levels of two
items, op 1 to 3 (too few templates to hold any out), modulus 5, loss on
solutions only, 0.2M parameters, 3.2M tokens. Judged at the hardest op of which
error-free models solve half, on problems not in training (first: on all).
"""

from physics_lm import claims, figures, results
from physics_lm import igsm_tables as igsm
from physics_lm.claims import Claim, EqualWithinError, at_most, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

# The paper's med at op 23, %: best of two seeds, beam 1 or 4.
PAPER = {'clean': 77.7} | {f'{kind} {rate}': v for kind, values in {
    'retry': (83.9, 91.6, 93.6), 'retry_masked': (78.5, 87.8, 94.8),
    'retry_weak': (86.4, 91.0, 61.1), 'retry_miss': (76.3, 87.1, 83.2)
    }.items() for rate, v in zip((0.05, 0.2, 0.5), values)}
SOME = tuple(v for v in PAPER if '_' not in v or v.endswith('0.5'))
ERRORS = {'not_computable': 'not computable yet', 'arithmetic': 'arithmetic',
          'other_errors': 'other'}
SCALES = {
    'smoke': dict(recipe='small', variants=('clean', 'retry 0.5'), seeds=1,
                  splits='test,test_op2', common=scales.SMOKE_IGSM),
    'cpu': dict(
        recipe='small', variants=SOME, seeds=3, common=scales.CPU_SOLUTIONS,
        splits='train_op1,train_op2,train_op3'),
    'gpu': dict(
        recipe='gpu', variants=SOME, seeds=3, common={},
        splits='test,test_op10,test_op13,test_op15,test_op13_reask'),
    'paper': dict(
        recipe='med', variants=tuple(PAPER), seeds=2,
        splits='test,test_op15,test_op20,test_op21,test_op22,test_op23,'
               'test_op20_reask', common=scales.PAPER_SOLUTIONS),
}


def runs(scale: str) -> list[Run]:
  """Every (seed, variant)."""
  s = pick(SCALES, scale)
  return [Run(f'configs/igsm.py:{s["recipe"]}',
              scales.retry_data(variant) | s['common'] | scales.seeds(seed)
              | {'evals.reasoning.splits': s['splits']},
              {'variant': variant, 'seed': seed})
          for seed in range(s['seeds']) for variant in s['variants']]


def table(records):
  """A row a run and split (igsm_tables.solutions). judged: of the claims;
  retries_in_data: of a training solution of so many op, at most."""
  df = igsm.solutions(records, errors=('not_computable', 'arithmetic'))
  rate = df.variant.str.partition(' ')[2].replace('', '0').astype(float)
  df['retry_rate'], df['retries_in_data'] = rate, rate / (1 - rate) * df.op
  df['judged'] = df.split == igsm.hardest_split(df[df.variant == 'clean'])
  return df.merge(results.train_columns(records, {
      'tokens': 'tokens', 'training_problems': 'entries/train'}), on='run')


def summary(df):
  """By variant and split."""
  return results.summarise(df, ['variant', 'split', 'judged'], [
      'accuracy', 'accuracy_contaminated', 'retries', 'extra_parameters',
      *ERRORS])


def figure(df):
  """Accuracy by op; at the judged op accuracy, retries, first errors."""
  s = summary(df)
  at = s[s.judged]
  names = [v.replace('clean', 'error-free') for v in at.variant]
  colours = [figures.colour(v, 5) for v in at.variant]
  fig, axes = figures.grid(2, 2, width=4.9, height=3.4)
  figures.accuracy_by_op(axes[0, 0], s, 'variant', {
      v: n for v, n in zip(at.variant, names) if '_' not in v})
  figures.bars(axes[0, 1], at, 'accuracy', names, colours,
               [PAPER[v] for v in at.variant], horizontal=True)
  figures.bars(axes[1, 0], at, 'retries', names, colours, digits=2,
               horizontal=True)
  figures.stacked_bars(axes[1, 1], at, ERRORS, names)
  op = igsm.split_label(at.split.iloc[0])
  for ax, x, heading in zip(axes.flat[1:], (
      'solutions correct, %', 'retries in a correct solution', '% of problems'),
                            ('Accuracy', 'Retries', 'First errors')):
    figures.labels(ax, x, '', f'{heading}, {op}')
    ax.set_xlim(0)
  figures.finish(
      fig, 'Training on retry data (errors followed by BACK) at equal tokens',
      f'{figures.seeds_note(at)}, problems not in training (dotted: in '
      'training); diamonds: the paper, GPT2-12-12, op 23.\nNumbers: retry rate.'
      '  Errors are, in retry, quantities not computable yet; retry_masked: '
      'without loss on them;\nretry_weak: later quantities of the solution; '
      'retry_miss: any not computed yet')
  return fig


AT = {v: {'variant': v, 'judged': True} for v in PAPER}
MORE = '5 seeds of 7M tokens where no problem recurs: 10 core-minutes a run'


def solves_more(a: str, b: str, result: int, **more) -> Claim:
  """The claim that variant a solves more than variant b."""
  names = ' > '.join(v.replace(' ', ' data of rate ') for v in (a, b)).replace(
      'clean', 'error-free data')
  return claims.above(
      f'{a}_above_{b}'.replace(' ', '_'),
      f'Accuracy at the hardest op, equal tokens: {names}',
      f'Part 2.2, Result {result}', AT[a], AT[b], (PAPER[a], PAPER[b]),
      baseline=0, decided_by=MORE, **more)


CLAIMS = (
    *(solves_more(f'retry {rate}', 'clean', 4) for rate in (0.05, 0.2)),
    solves_more('retry 0.5', 'clean', 4, headline=True),
    solves_more('retry 0.5', 'retry 0.05', 4),
    Claim('masking_no_effect', 'Masking the loss on errors changes accuracy by '
          'less than 4 points (retry 0.5)', 'Part 2.2, Result 5',
          '94.8 vs 93.6 %', (AT['retry_masked 0.5'], AT['retry 0.5']),
          EqualWithinError(-4, 4), baseline=0, decided_by=MORE),
    Claim('few_retries_at_0.2', 'Retries in a correct solution, trained on '
          'retry 0.2: less than 0.5', 'Part 2.2, Result 4', '0.2 retries',
          (AT['retry 0.2'],), at_most(0.5), 'retries', 'retries',
          baseline='retries_in_data', decided_by='op 3 or more: at op 2 even '
          'training solutions have no more retries'),
    Claim('more_retries_at_0.5', 'Retries in a correct solution: trained on '
          'retry 0.5 > on retry 0.2', 'Part 2.2, Result 4', '2.9 vs 0.2',
          (AT['retry 0.5'], AT['retry 0.2']), greater(), 'retries', 'retries',
          paper_effect=2.7, decided_by=MORE),
    Claim('shortest_solutions', 'Trained on retry 0.5, correct solutions '
          'compute less than 0.05 unneeded quantities', 'Part 2.2, Figure 6',
          '0.00', (AT['retry 0.5'],), at_most(0.05), 'extra_parameters', '',
          decided_by='a control that computes unneeded quantities'),
    solves_more('clean', 'retry_weak 0.5', 8),
    solves_more('retry 0.5', 'retry_weak 0.5', 8, post_hoc=True),
    solves_more('retry 0.5', 'retry_miss 0.5', 8),
)
