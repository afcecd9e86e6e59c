"""What decides whether a task on stored knowledge needs CoT?

Part 3.2 (Allen-Zhu & Li, arXiv 2309.14402), Results 3 and 4: a model of 100,000
people answers whether someone's birth month is even in 75 % without CoT, but
the luck mod 5 of someone's major in 23.6 % (chance 20; with CoT, the major
first, 86.4). There are 12 months and 100 majors. Here one task, luck mod 5,
over the number of majors at the same number of people; with fewer people whose
answers are trained on; and with as many people per major and more majors.

  python -m physics_lm.launch experiments/cot_need.py --scale=cpu
  python -m physics_lm.report experiments/cot_need.py --scale=cpu

Known (knowledge_manipulation, no QA): the months reach 35 % of what CoT gains
over chance without CoT, luck with 40 majors 7. Predicted, 10, 20, 40, 80
majors: no CoT 48, 33, 25, 22 %, CoT 90, 88, 82, 65, so 40, 20, 8, 4 % of the
gain: it follows the people per major (25 to 3). So 10 majors with 75 people
trained on (7.5) 10 %, not 40; 80 majors, 1,000 people (6.25) 8 %, CoT 80.
Deviations: world and pretraining of knowledge_extraction.py, multi5+permute,
without QA; finetuned fully on the task, with biographies in a sixth of rows. On
seed 7, 40 majors, 250 steps: no CoT 26 (training people 88: 350 steps), CoT 81.
"""

import math

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, greater
from physics_lm.configs import manipulation, scales
from physics_lm.sweep import Run, pick

TASK, CHANCE = 'luck_mod5', 20.0
POINT = ('majors', 'people', 'train_people')
LARGEST = (80, 1000, 500)
POINTS = {(10, 500, 250): 3, (10, 500, 75): 3, (20, 500, 250): 3,
          (40, 500, 250): 3, (80, 500, 250): 3, LARGEST: 11}  # seeds of each
SCALES = {'smoke': dict(points={(10, 20, 10): 1}, common=scales.SMOKE_TINY),
          'cpu': dict(points=POINTS),
          'day': dict(points=dict.fromkeys(POINTS, 8))}


def runs(scale: str) -> list[Run]:
  """Of each seed and world a base model, and from it for each number of people
  trained on the task without and with CoT in training."""
  s, out, bases = pick(SCALES, scale), [], {}
  for seed in range(max(s['points'].values())):
    for (majors, people, trained), n in s['points'].items():
      if seed >= n:
        continue
      common = scales.compact(people) | scales.seeds(seed) | {
          'worlds.bios.majors': majors, 'worlds.bios.variant': 'multi5_permute'}
      tags = dict(zip(POINT, (majors, people, trained)), seed=seed)
      small = s.get('common', {})
      if (seed, majors, people) not in bases:
        bases[seed, majors, people] = Run(
            'configs/manipulation.py:base', common | scales.BIO_QA['pretrain']
            | {'optim.weight_decay': 1500 / people, 'steps': people} | small,
            tags | {'cot': False, 'training': 'base'})
        out.append(bases[seed, majors, people])
      out += [Run(manipulation.variant((TASK,), cot),
                  common | scales.COMPACT_FINETUNE | {
                      'worlds.bios.train_people': trained,
                      'data.tasks.bio.weight': 0.2, 'steps': 7 * people // 10,
                      'evals.tasks.people': people // 2} | small,
                  tags | {'cot': cot, 'training': TASK},
                  bases[seed, majors, people]) for cot in (False, True)]
  return out


def table(records):
  """A row a point and seed, percent of P_test: acc_no_cot of the model trained
  without CoT, acc_cot, cot_fact_acc (majors stated rightly) and cot_train
  (asked for the answer alone) of that trained with; `share` of CoT's gain over
  chance that no CoT reaches; people trained on `per_major`."""
  df = results.wide(records, 'tasks', ('acc_no_cot', 'acc_cot', 'cot_fact_acc'),
                    (), {'person_split': 'test'}, percent=True)
  keys = [*POINT, 'seed']
  none, cot = (df[df.cot.astype(bool) == c] for c in (False, True))
  df = none[['run', *keys, 'n_items', 'acc_no_cot']].merge(
      cot[[*keys, 'acc_cot', 'cot_fact_acc', 'acc_no_cot']].rename(
          columns={'acc_no_cot': 'cot_train'}), on=keys)
  return df.assign(
      per_major=df.train_people / df.majors, share=100 * (
          df.acc_no_cot - CHANCE) / (df.acc_cot - CHANCE))


def summary(df):
  """Means by point."""
  return results.summarise(df, [*POINT, 'per_major'], [
      'acc_no_cot', 'acc_cot', 'cot_fact_acc', 'cot_train', 'share'])


def figure(df):
  """Accuracies at every point; the share over people per major."""
  s = summary(df)
  fig, ((ax, side),) = figures.grid(2, width=5.2, height=3.8)
  names = [f'{r.majors} majors\n{r.people:,.0f} people\n'
           f'{r.train_people} trained' for r in s.itertuples()]
  for k, (column, label) in enumerate((
      ('acc_no_cot', 'no CoT'), ('acc_cot', 'CoT'))):
    figures.bars(ax, s, column, names, figures.COLOURS[k], (), 0.4 * k - 0.2,
                 0.38, label)
  figures.level(ax, CHANCE, 'chance')
  figures.percent_axis(ax, 112), figures.legend(ax, loc='upper left', ncols=2)
  ax.tick_params(axis='x', labelsize=6.5)
  figures.labels(ax, '', 'accuracy, luck mod 5, %')
  for k, (rows, label) in enumerate((
      (s[(s.people == 500) & (s.train_people != 75)], '10 to 80 majors, 250'),
      (s[s.train_people == 75], '10 majors, 75'),
      (s[s.people == 1000], '80 majors, 500'))):
    figures.curves(side, rows, 'per_major', None, 'acc_no_cot', band=False,
                   label=f'{label} people trained on',
                   color=figures.COLOURS[k + 2])
  side.set_xscale('log')
  figures.level(side, CHANCE, 'chance')
  figures.plain_ticks(side), figures.percent_axis(side, 112)
  figures.legend(side, loc='upper left')
  figures.labels(side, 'people trained on per major', 'accuracy, no CoT, %')
  figures.finish(
      fig, 'Which tasks on stored facts need CoT: luck mod 5 of the major by '
      'number of majors', f'{figures.seeds_note(s)}, people of P_test')
  return fig


def _at(*point) -> dict:
  return dict(zip(POINT, point))


FEW, MOST = _at(10, 500, 250), _at(*LARGEST)
OURS = dict(source='ours', paper='not in the paper', column='share')
CLAIMS = (
    Claim('chance_80', '80 majors, 1,000 people, luck mod 5: no CoT answers at '
          'most 25 % (chance 20)', 'Part 3.2, Result 3', '23.6 % (chance 20)',
          (MOST,), claims.at_most(25), 'acc_no_cot', baseline=CHANCE, control=(
              MOST | {'column': 'acc_cot'},), headline=True),
    Claim('cot_70', 'The same with CoT: at least 70 %', 'Part 3.2, Result 4',
          '86.4 %', (MOST,), claims.at_least(70), 'acc_cot', baseline=CHANCE),
    Claim('fewer_majors', "Share of CoT's gain without CoT: 10 majors > 20 > "
          '40 > 80', rule=greater(), cells=claims.descending(*(
              _at(n, 500, 250) for n in (10, 20, 40, 80))), **OURS),
    Claim('ten_and_forty', 'The same: 10 majors > 40', rule=greater(), cells=(
        FEW, _at(40, 500, 250)), **OURS),
    Claim('people_per_major', '10 majors, the same: 250 people trained on > 75',
          rule=greater(), cells=(FEW, _at(10, 500, 75)), **OURS),
    Claim('follows_log', 'No CoT: accuracy correlates with log(people per '
          'major) over the six points (r at least 0.5)', rule=claims.correlated(
              .5, tuple(math.log(trained / n) for n, _, trained in POINTS)),
          cells=tuple(_at(*p) for p in POINTS), post_hoc=True,
          **OURS | {'column': 'acc_no_cot'}),
    Claim('majors_alone', 'Six to eight people per major, the same: 10 majors '
          'are within 10 points of 80', rule=claims.equal(10), cells=(
              _at(10, 500, 75), MOST), **OURS))
