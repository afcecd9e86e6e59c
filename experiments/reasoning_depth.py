"""Does multi-step reasoning need depth, at equal parameters?

Part 2.1 (Ye, Xu, Li, Allen-Zhu, arXiv 2407.20311), section 6, Result 9: to know
which quantities are needed t steps from the question takes layers, so deep and
narrow models solve more than shallow and wide ones of the same size without
embeddings. Paper (iGSM-med, op 23, whole solutions correct, 79 to 88M
parameters): 4 layers of width 1344 54.5 %, 8 of 960 76.8, 12 of 768 77.9, 16 of
640 82.7, 20 of 576 86.3; 4 layers of twice the size 53.1.

  python -m physics_lm.launch experiments/reasoning_depth.py --scale=cpu
  python -m physics_lm.report experiments/reasoning_depth.py --scale=cpu

`cpu`: the compact world of error_correction.py, error-free, whose runs of depth
8 are shared (trained once); equal tokens and one learning rate for all shapes;
4 core-hours. Shallow models may fail because they cannot copy yet: the
control is op 2, where there is little to plan, and `planned` is the share of
correct solutions among those without other errors than steps that cannot be
computed yet. Judged at the hardest op of which the best shape solves half, here
op 5, the last in training, on new problems of held-out templates.

Predicted, op 2 / 5 / 6: 2 layers 88 / 10 / 0, 4 92 / 40 / 0, 8 96 / 82 / 10 %
(8 from seed 17, not reported); planned, op 5: 10, 40, 84. Two seeds gave 74, 73
and 83 % at op 5: so one layer, too, predicted 70 / 10 / 0.
"""

from physics_lm import figures, results
from physics_lm import igsm_tables as igsm
from physics_lm.claims import Claim, at_least, at_most, greater
from physics_lm.configs import scales
from physics_lm.configs.igsm import COMPACT_SPLITS
from physics_lm.sweep import Run, pick

PAPER = {4: 54.5, 8: 76.8, 12: 77.9, 16: 82.7, 20: 86.3}  # layers: %, op 23
# Shapes: layers, width, heads; layers * width^2 is about equal.
COMPACT = dict(recipe='compact', seeds=5, train={}, evaluate=(
    scales.COMPACT_SOLUTIONS), splits=f'test_op2,{COMPACT_SPLITS}')
SCALES = {
    'smoke': dict(
        recipe='small', seeds=1, shapes=((1, 24, 2), (2, 16, 2)), evaluate={},
        splits='train_op2,train_op3', train=scales.SMOKE_IGSM),
    'cpu': COMPACT | dict(shapes=(
        (1, 180, 3), (2, 128, 4), (4, 90, 3), (8, 64, 4))),
    'day': COMPACT | dict(shapes=((1, 180, 3), (2, 128, 4), (3, 104, 4), (
        4, 90, 3), (8, 64, 4), (16, 44, 2))),
    'gpu': dict(
        recipe='gpu', seeds=3, shapes=((2, 768, 12), (4, 544, 8), (8, 384, 6),
                                       (16, 272, 4)), train={},
        splits='test,test_op10,test_op13,test_op15',
        evaluate={'evals.reasoning.num_problems': 500}),
    'paper': dict(
        recipe='med', seeds=2, shapes=((4, 1344, 21), (8, 960, 15),
                                       (12, 768, 12), (16, 640, 10),
                                       (20, 576, 9)), train={},
        splits='test,test_op15,test_op20,test_op23',
        evaluate=scales.PAPER_SOLUTIONS),
}


def runs(scale: str) -> list[Run]:
  """Every (seed, shape): a run that evaluates a trained model."""
  s, out = pick(SCALES, scale), []
  file = f'configs/igsm.py:{s["recipe"]}'
  for seed in range(s['seeds']):
    for depth, width, heads in s['shapes']:
      same = s['train'] | scales.seeds(seed) | {
          'model.depth': depth, 'model.width': width, 'model.heads': heads,
          'evals.reasoning.splits': s['splits']}
      tags = {'depth': depth, 'width': width, 'seed': seed}
      out.append(Run(file, same | {'steps': 0} | s['evaluate'], tags,
                     Run(file, same, tags)))
  return out


def table(records):
  """A row a run and split (igsm_tables.solutions); planned: of solutions that
  are correct or fail by a step that cannot be computed yet, those that are
  correct; judged: the split of the claims."""
  df = igsm.solutions(records, errors=('not_computable', 'arithmetic'))
  df['planned'] = 100 * df.accuracy / (df.accuracy + df.not_computable)
  df['judged'] = df.split == igsm.hardest_split(df, ['depth'])
  return df


def summary(df):
  """By shape and split."""
  return results.summarise(df, ['depth', 'width', 'split', 'judged'], [
      'accuracy', 'accuracy_contaminated', 'not_computable', 'arithmetic',
      'planned'])


def figure(df):
  """Accuracy by depth at the judged op, by op, and the paper's by depth."""
  s = summary(df)
  at = s[s.judged].sort_values('depth')
  names = [f'depth {d},\nwidth {w}' for d, w in zip(at.depth, at.width)]
  fig, axes = figures.grid(3, width=3.4, height=3.4)
  figures.bars(axes[0, 0], at, 'accuracy', names,
               [figures.colour(d, k) for k, d in enumerate(at.depth)])
  figures.percent_axis(axes[0, 0])
  figures.labels(axes[0, 0], '', 'solutions correct, %',
                 f'Ours: {igsm.split_label(at.split.iloc[0])}')
  figures.accuracy_by_op(axes[0, 1], s, 'depth',
                         {d: f'depth {d}' for d in at.depth})
  axes[0, 2].plot(list(PAPER), list(PAPER.values()), 'D-', color=figures.INK,
                  markerfacecolor='white', linewidth=1.2)
  axes[0, 2].set_xticks(list(PAPER))
  figures.percent_axis(axes[0, 2])
  figures.labels(axes[0, 2], 'layers', 'solutions correct, %',
                 'The paper: op 23')
  figures.finish(
      fig, 'Depth and reasoning on iGSM, at equal parameters and tokens',
      f'{figures.seeds_note(at)}; problems not in training.  The paper: 79M to '
      '88M parameters')
  return fig


def deeper(few: int, more: int, decided_by: str = '') -> Claim:
  """The claim that so many layers solve more; the paper has 4 and more."""
  low, high = (PAPER.get(d) for d in (few, more))
  paper = {} if low is None else {'paper_effect': high - low}
  return Claim(
      f'{more}_layers_above_{few}',
      f'{more} layers > {few} at equal parameters: accuracy at the hardest op',
      'Part 2.1, Result 9' if paper else 'beyond Part 2.1',
      f'{high} vs {low} %' if paper else '—',
      tuple({'depth': d, 'judged': True} for d in (more, few)), greater(),
      baseline=0, decided_by=decided_by, post_hoc=(few, more) == (1, 8),
      **paper)


DEPTHS = (1, 2, 4, 8)
CLAIMS = (
    *(deeper(*pair) for pair in ((4, 8), (2, 4), (1, 2), (1, 8))),
    deeper(8, 16, 'scale gpu: 24 runs, each within ten minutes of one GPU'),
    Claim('shapes_copy', '1, 2, 4 and 8 layers solve at least 90 % at op 2: '
          'all can copy', 'ours', '—', tuple(
              ({'depth': d, 'split': 'test_op2'},) for d in DEPTHS),
          at_least(90)),
    # At op 2, where most solutions reach their end without other errors.
    Claim('shapes_calculate', '1, 2, 4 and 8 layers, op 2: the first error is '
          'of arithmetic in at most 5 % of problems', 'ours', '—', tuple(
              ({'depth': d, 'split': 'test_op2'},) for d in DEPTHS),
          at_most(5), 'arithmetic', post_hoc=True),
    *(Claim(f'{more}_layers_plan_above_{few}', f'{more} layers > {few}: correct'
            ' among solutions without other errors than of planning', 'ours',
            '—', tuple({'depth': d, 'judged': True} for d in (more, few)),
            greater(), 'planned', baseline=0)
      for few, more in ((1, 2), (2, 4), (4, 8))),
)
