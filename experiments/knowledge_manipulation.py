"""Can a model classify and compare by the knowledge that it stores?

Part 3.2 (Allen-Zhu & Li, arXiv 2309.14402): a model that knows people learns
tasks of one step more (luck: a number of each major), with facts written out
first (CoT) or not. Paper (GPT-2, LoRA), no CoT: luck mod 5 23.6 (chance 20),
even month 75 %, luckier major 50; CoT: luck 86.4 = h + (1 - h) chance, h facts.

  python -m physics_lm.launch experiments/knowledge_manipulation.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_manipulation.py --scale=cpu

Predicted at `cpu`, even month, month mod 6, luck mod 5: h 68, 65, 58, CoT 82,
68, 62, no CoT 55, 28, 26; without QA 60, 42, 27 (CoT 93, 90, 83 known; 1.67 x
the rows of tasks); two people: h 40, CoT 68, 45, 65, 40, no CoT 57, 13, 53, 5.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, equal, equals, exceeds_by_at_most, greater
from physics_lm.configs import manipulation, scales
from physics_lm.sweep import Run, pick

LABELS = dict(month_mod2='month\neven?', month_mod6='month\nmod 6',
              luck_mod5='luck\nmod 5', month_rank='later\nmonth?',
              month_minus='month\ndifference', luck_rank='luckier\nmajor?',
              luck_minus='luck\ndifference')
BARS = (  # CoT in training, column, the paper's numbers in that order
    ('no CoT', False, 'acc_no_cot', (75, None, 23.6, 85, None, 50)),
    ('CoT in training only', True, 'acc_no_cot', (None, None, 24.1)),
    ('CoT', True, 'acc_cot', (94.2, None, 86.4, None, 61.5)))
ONE, TWO, BOTH = tuple(LABELS)[:3], tuple(LABELS)[3:], (False, True)
OWN = tuple((t,) for t in (*LABELS, 'luck_mod20', 'day_rank', 'day_minus'))
BARE, QA = ({'data.tasks.qa.weight': w} for w in (0.0, 1.0))
ALL, FEW = ('main', OWN, BOTH, {}, {}), {'worlds.bios.train_people': 10_000}
R, GUESS = 'Part 3.2, Result 4', 'majority_baseline'
COLUMNS = ('acc_no_cot', 'acc_cot', 'cot_fact_acc', GUESS, 'predicted_acc')
SCALES = {  # condition, tasks trained together, CoT, changes of base, tasks
    'smoke': dict(seeds=1, arms=(('main', ((ONE[0], TWO[2]),), BOTH, {}, {}),)),
    'cpu': dict(seeds=5, arms=(('main', (ONE, TWO), BOTH, {}, {}), (
        'QA toggled', (ONE,), BOTH, scales.BIO_QA['pretrain'], BARE))),
    'gpu': dict(seeds=3, arms=(ALL, ('QA toggled', OWN[:3], [True], BARE, {}))),
    'paper': dict(seeds=1, arms=(
        ALL, ('QA toggled', OWN[:3], [True], QA, {}),
        ('few people', OWN[:1], [False], {}, FEW)))}


def runs(scale: str) -> list[Run]:
  """Every (seed, condition, group of tasks, CoT in training)."""
  s, out = pick(SCALES, scale) | scales.MANIPULATION[scale], []
  for seed in range(s['seeds']):
    common = s['common'] | scales.seeds(seed)
    for condition, groups, cots, of_base, of_tasks in s['arms']:
      base = Run('configs/manipulation.py:base', common | s['base'] | of_base, {
          'training': 'base', 'seed': seed}) if 'base' in s else None
      tags = dict(condition=condition, seed=seed, train_people=of_tasks.get(
          'worlds.bios.train_people', common['worlds.bios.people'] // 2))
      out += [Run(manipulation.variant(g, cot), common | s['tasks'] | of_tasks,
                  tags | dict(training=g[0], cot=cot), base)
              for g in groups for cot in cots]
  return out


def table(records):
  """A row a run, task and person_split, percent."""
  df = results.wide(records, 'tasks', COLUMNS, ('person_split', 'task'),
                    percent=True)
  return df.assign(predicted_acc=df.predicted_acc.fillna(
      df.cot_fact_acc + (100 - df.cot_fact_acc) * df[GUESS] / 100))


def summary(df):
  """Accuracies on P_test by task and CoT in training."""
  return results.summarise(df[df.person_split == 'test'], [
      'condition', 'task', 'cot'], COLUMNS)


def figure(df):
  """Accuracy by task and use of CoT, the majority baseline, the prediction."""
  s = summary(df[df.condition == 'main'])
  fig, ((ax,),) = figures.grid(1, width=8.4, height=4)
  for k, (label, cot, column, paper) in enumerate(BARS):
    rows = s[s.cot == cot].set_index('task').reindex(list(LABELS))
    figures.bars(ax, rows, column, list(LABELS.values()), figures.COLOURS[k],
                 paper, 0.28 * (k - 1), 0.26, label)
  figures.group_levels(ax, s, 'task', LABELS)
  figures.group_levels(ax, s[s.cot], 'task', LABELS, 'predicted_acc', 0.14,
                       0.28, '-', 'CoT, predicted: h + (1 - h) baseline')
  figures.percent_axis(ax, 118), figures.legend(ax, loc='upper left', ncols=3)
  figures.labels(ax, 'luck: a number of each major', 'accuracy on P_test, %')
  figures.finish(fig, 'Classification and comparison', figures.seeds_note(s) +
                 ';  h: accuracy of facts in CoT;\ndiamonds: the paper, GPT-2')
  return fig


def _at(task, cot: bool = False, column: str = 'acc_no_cot', **more) -> dict:
  return dict(person_split='test', task=task, cot=cot, column=column,
              condition='main') | more


def _fails(id: str, what: str, paper: str, *tasks, **at) -> Claim:
  return Claim(id, f'{what}, no CoT: at most 5 points above the majority',
               'Part 3.2, Result 3', paper, tuple((_at(t, **at), _at(
                   t, column=GUESS, **at)) for t in tasks), exceeds_by_at_most(
                       5), baseline=GUESS, post_hoc=LUCK in tasks,
               decided_by='' if LUCK in tasks else 'gpu',
               control=tuple(_at(t, True, 'acc_cot', **at) for t in tasks))


def _about(who: str, tasks: tuple, decided: str, *papers: str) -> tuple:
  cot, predicted, only_train = ([_at(t, True, c) for t in tasks] for c in (
      'acc_cot', 'predicted_acc', 'acc_no_cot'))
  more = dict(source=R, baseline=GUESS, decided_by=decided, control=(
      _at(tasks, True, 'acc_cot'),))
  return (
      Claim(f'predicted_{who[:3]}', f'Each task on {who}, CoT: within 5 points '
            'of h + (1 - h) baseline', paper=papers[0], rule=equal(5),
            cells=tuple(zip(cot, predicted)), **more),
      Claim(f'cot_helps_{who[:3]}', f'Each task on {who}: with CoT > the same '
            'model without', paper=papers[1], rule=greater(),
            cells=tuple(zip(cot, only_train)), **more),
      Claim(f'cot_train_{who[:3]}', f'Mean of tasks on {who}: CoT in training '
            'only adds at most 5 points', rule=exceeds_by_at_most(5),
            paper=papers[2], cells=(_at(tasks, True), _at(tasks)), **more))


COT, MORE = _at(ONE, True, 'acc_cot'), dict(baseline=GUESS)
TOGGLED, LUCK = {'condition': 'QA toggled'}, 'luck_mod5'
CLAIMS = (
    *_about('one person', ONE, '', 'luck mod 5: 86.4 % (predicted 87.6)',
            'luck mod 5: 86.4 vs 24.1 %', 'luck mod 5: 24.1 vs 23.6 %'),
    *_about('two people', TWO, 'gpu', 'month difference: 61.5 % (predicted '
            '64.2)', 'better', 'no help'),
    claims.above('cot_luck', 'Luck mod 5: with CoT > the same model without',
                 R, _at(LUCK, True, 'acc_cot'), _at(LUCK, True), (86.4, 24.1),
                 **MORE),
    _fails('luck_rank', 'Luckier major', 'about chance, 50 %', 'luck_rank'),
    _fails('luck_mod20', 'Luck mod 20', 'in a figure only', 'luck_mod20'),
    _fails('day', 'Later day', 'in a figure only', 'day_rank', 'day_minus'),
    *(Claim(f'{t}_people', f'{what} with {n:,} people, no CoT: {v} ± 10 %',
            'Part 3.2, Result 3', f'{v} %', (_at(t, train_people=n, condition=(
                'main', 'few people')),), equals(v, 10), decided_by='paper')
      for t, what, n, v in (('month_mod2', 'Even month', 10_000, 75),
                            ('month_rank', 'Later month', 50_000, 85))),
    Claim('qa_toggled', 'CoT, one person: without QA within 5 points', 'Part '
          '3.2, Result 5', 'no change', (COT, COT | TOGGLED), equal(5), **MORE),
    Claim('cot_70', 'CoT, mean of one-person tasks: at least 70 %', R,
          'luck: 86.4 %', (COT,), claims.at_least(70), **MORE),
    *(_fails(f'luck{k}', f'Luck mod 5{what}', '23.6 % (chance 20)', LUCK, **at)
      for k, what, at in (('', '', {}), ('_toggled', ', without QA', TOGGLED))),
    claims.above('cot_luck_toggled', 'Luck mod 5, no QA: CoT > by 30 points', R,
                 _at(LUCK, True, 'acc_cot', **TOGGLED), _at(LUCK, **TOGGLED),
                 (86.4, 24.1), rule=greater(30), post_hoc=True))
