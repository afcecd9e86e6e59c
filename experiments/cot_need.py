"""What decides whether a task on stored knowledge needs CoT?

Part 3.2 (Allen-Zhu & Li, arXiv 2309.14402), Results 3 and 4: no CoT answers if
a birth month is even for 75 % of people, but the luck mod 5 of a major (one of
100) for 23.6 % (chance 20; with CoT, the major first, 86.4). Here luck mod 5
over the number of majors, of people trained on, and of people.

  python -m physics_lm.launch experiments/cot_need.py --scale=cpu
  python -m physics_lm.report experiments/cot_need.py --scale=cpu

Known (knowledge_manipulation): of what CoT gains over chance, no CoT reaches 35
% for months, 7 for luck with 40 majors. Predicted, 10, 20, 40, 80 majors: no
CoT 48, 33, 25, 22 %, CoT 90, 88, 82, 65, so 40, 20, 8, 4 % of the gain, by
people per major (25 to 3). So 10 majors, 75 people trained on 10 %; 80 majors,
1,000 people 8, CoT 80. As in the paper half of the rows have CoT: four of
eleven seeds state the major and do not read it. CoT in all rows, seeds 0, 1, 5,
6, 8, 10: 85 (of 9 87 was seen). As knowledge_extraction, no QA; all finetuned,
biographies in a sixth of rows; seed 7, left out, set the steps.
"""

import math

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

TASK, CHANCE = 'luck_mod5', 20.0
POINT, LARGEST = ('majors', 'people', 'train_people'), (80, 1000, 500)
POINTS = {(10, 500, 250): 3, (10, 500, 75): 3, (20, 500, 250): 3,
          (40, 500, 250): 3, (80, 500, 250): 3, LARGEST: 11}  # seeds of each
SHARES = {0: TASK, 0.5: f'{TASK}+{TASK}_hint', 1: f'{TASK}_hint'}  # with CoT
SCALES = {'smoke': dict(points={(10, 20, 10): 1}, common=scales.SMOKE_TINY),
          'cpu': dict(points=POINTS, rows=(0, 1, 5, 6, 8, 10)),
          'day': dict(points=dict.fromkeys(POINTS, 11), rows=(*range(9), 10))}


def runs(scale: str) -> list[Run]:
  """Of each seed and world a base model, and from it for each number of people
  trained on the task without CoT and with, in half of its rows or in all."""
  s, bases, out = pick(SCALES, scale), {}, []
  small = s.get('common', {})
  for (majors, people, trained), n in s['points'].items():
    for seed in set(range(n)) - {7}:
      common = scales.compact(people) | scales.seeds(seed) | {
          'worlds.bios.majors': majors, 'worlds.bios.variant': 'multi5_permute'}
      tags = _at(majors, people, trained) | dict(seed=seed, training=TASK)
      base = bases.setdefault((seed, majors, people), Run(
          'configs/manipulation.py:base', common | scales.BIO_QA['pretrain']
          | {'optim.weight_decay': 1500 / people, 'steps': people} | small,
          tags | {'cot': 0, 'training': 'base'}))
      tuned = common | scales.COMPACT_FINETUNE | {
          'worlds.bios.train_people': trained, 'data.tasks.bio.weight': 0.2,
          'steps': 7 * people // 10, 'evals.tasks.people': people // 2} | small
      out += [Run(f'configs/manipulation.py:{tasks}', tuned,
                  tags | {'cot': share}, base)
              for share, tasks in SHARES.items()
              if share < 1 or (people == 1000 and seed in s['rows'])]
  return [*bases.values(), *out]


def table(records):
  """A row a point and seed, percent of P_test: acc_no_cot of the model trained
  without CoT, acc_cot, cot_fact_acc (majors stated rightly) and cot_train
  (asked for the answer alone) of that trained with CoT in half of its rows,
  acc_all of that in all; `share` of CoT's gain over chance that no CoT reaches;
  people trained on `per_major`; `all_rows`: whether there is an acc_all."""
  df = results.wide(records, 'tasks', ('acc_no_cot', 'acc_cot', 'cot_fact_acc'),
                    (), {'person_split': 'test'}, percent=True)
  none, cot, every = (df[df.cot == share].set_index([*POINT, 'seed'])
                      for share in SHARES)
  df = none[['run', 'n_items', 'acc_no_cot']].assign(
      acc_cot=cot.acc_cot, cot_fact_acc=cot.cot_fact_acc,
      cot_train=cot.acc_no_cot, acc_all=every.acc_cot).reset_index()
  return df.assign(
      per_major=df.train_people / df.majors, all_rows=df.acc_all.notna(),
      share=100 * (df.acc_no_cot - CHANCE) / (df.acc_cot - CHANCE))


def summary(df):
  """Means by point."""
  return results.summarise(df, [*POINT, 'per_major'], [
      'acc_no_cot', 'acc_cot', 'acc_all', 'cot_fact_acc', 'cot_train', 'share'])


def figure(df):
  """Accuracies at every point; the share over people per major."""
  s = summary(df)
  fig, ((ax, side),) = figures.grid(2, width=5.4, height=3.9)
  names = [f'{r.majors} majors\n{r.people:,} people\n{r.train_people} trained'
           for r in s.itertuples()]
  for k, (column, label) in enumerate((
      ('acc_no_cot', 'no CoT'), ('acc_cot', 'CoT in 50 % of rows'),
      ('acc_all', 'CoT in 100 %'))):
    figures.bars(ax, s, column, names, figures.COLOURS[k], (), 0.3 * k - 0.3,
                 0.28, label)
  figures.level(ax, CHANCE, 'chance'), ax.tick_params(axis='x', labelsize=6.5)
  figures.percent_axis(ax, 124), figures.legend(ax, loc='upper left', ncols=3)
  figures.labels(ax, '', 'accuracy, luck mod 5, %')
  for k, (trained, label) in enumerate((
      (250, '10 to 80 majors, 250'), (75, '10 majors, 75'),
      (500, '80 majors, 500'))):
    figures.curves(side, s[s.train_people == trained], 'per_major', None,
                   'acc_no_cot', band=False, color=figures.COLOURS[k + 3],
                   label=f'{label} people trained on')
  side.set_xscale('log'), figures.level(side, CHANCE, 'chance')
  figures.plain_ticks(side), figures.percent_axis(side, 112)
  figures.legend(side, loc='upper left')
  figures.labels(side, 'people trained on per major', 'accuracy, no CoT, %')
  figures.finish(
      fig, 'Which tasks need CoT: luck mod 5 of the major by number of majors',
      f'{figures.seeds_note(s)}, P_test;  luck: a number of each major')
  return fig


def _at(*point) -> dict:
  return dict(zip(POINT, point))


FEW, MOST = _at(10, 500, 250), _at(*LARGEST)
OURS = dict(source='ours', paper='—', column='share')
CLAIMS = (
    Claim('chance_80', '80 majors, 1,000 people, luck mod 5: no CoT answers at '
          'most 25 % (chance 20)', 'Part 3.2, Result 3', '23.6 %',
          (MOST,), claims.at_most(25), 'acc_no_cot', baseline=CHANCE, control=(
              MOST | {'column': 'acc_cot'},), headline=True),
    *(Claim(f'cot_70{id}', f'80 majors, luck mod 5, CoT in {rows} % of rows: '
            'at least 70 %', 'Part 3.2, Result 4', '86.4 % (50 % of rows)',
            (MOST,), claims.at_least(70), column, baseline=CHANCE,
            post_hoc=late, headline=late) for id, rows, column, late in (
                ('', 50, 'acc_cot', False), ('_all', 100, 'acc_all', True))),
    Claim('read', 'On the same seeds: CoT in 100 % of rows > 50 %', rule=
          greater(), post_hoc=True, cells=tuple(MOST | {
              'column': c, 'all_rows': True} for c in ('acc_all', 'acc_cot')),
          **OURS),
    Claim('fewer_majors', "Share of CoT's gain without CoT: 10 majors > 20 > "
          '40 > 80', rule=greater(), cells=claims.descending(*(
              _at(n, 500, 250) for n in (10, 20, 40, 80))), **OURS),
    *(Claim(id, f"Share of CoT's gain, 10 majors{what}", cells=(
        FEW, _at(*less)), rule=greater(), **OURS) for id, what, less in (
            ('ten_and_forty', ' > 40', (40, 500, 250)), ('people_per_major',
             ': 250 people trained on > 75', (10, 500, 75)))),
    Claim('follows_log', 'No CoT: accuracy correlates with log(people per '
          'major) over the six points (r at least 0.5)', rule=claims.correlated(
              .5, tuple(math.log(trained / n) for n, _, trained in POINTS)),
          cells=tuple(_at(*p) for p in POINTS), post_hoc=True,
          **OURS | {'column': 'acc_no_cot'}),
    Claim('majors_alone', "Share of CoT's gain, six to eight people per major: "
          '10 majors are within 10 points of 80', rule=claims.equal(10), cells=(
              _at(10, 500, 75), MOST), **OURS))
