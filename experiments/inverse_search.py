"""Can a model name the person from the attributes?

Part 3.2 (Allen-Zhu & Li, arXiv 2309.14402), Result 7 (inverse search).
Biographies start with the name; questions ask for the first or the full name,
from the birth date, date and city, three attributes, four, or all.

Paper (GPT-2 124M, 100,000 people): about 0 % on P_test for each of 16 data sets
and ten tasks, finetuned or mixed, with all attributes too; full names exactly
0.0. Not so where biographies name the person after some attributes (reverse1,
reverse2: in sentence 2, 3) or after all (reverse6).

  python -m physics_lm.launch experiments/inverse_search.py --scale=cpu
  python -m physics_lm.report experiments/inverse_search.py --scale=cpu

Seen on seed 7 and predicted, first and full name: multi5+permute+reverse6, all
attributes 84 and 84 %, birth date 46 and 40, three 17 and 11; +fullname at most
1 and 0; reverse1, birth date 50. Controls: dates of four tokens 3, weight decay
0.1, not 3, 4 (found 1.0, 2.3), then 0.3 3, 1 5.5, +fullname and four 1.5 %.
Deviations at `cpu`: 500 people, world and recipe of knowledge_extraction.py;
biographies and six of the ten tasks mixed, 1 : 4 by rows. `paper` lacks GPT-2's
tokenizer, QA_r 0.8, finetuning, eleven data sets.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

QUERIES = {'bdate': 'birth date', 'birth': 'birth date and city',
         'three': 'major, university, employer',
         'four': 'those and birth city', 'all': 'all attributes'}
NAMES, BIOS = ('first', 'full'), 'worlds.bios.variant'
TASKS = tuple(f'{q}_{n}' for n in NAMES for q in QUERIES)
VARIANTS = {  # where biographies name the person
    'multi5_permute': 'once', 'multi5_permute_fullname': 'each sentence',
    'multi5_reverse1': 'after birth date', 'multi5_reverse2': 'third sentence',
    'multi5_reverse6': 'at the end', 'multi5_permute_reverse6': 'after all'}
ONCE, ORDINARY, LAST = (f'multi5_permute{more}' for more in (
    '', '_fullname', '_reverse6'))
# Of ONCE: what may let the birth date, one token, name a person.
DECAYS = {f'decay_{d}': d for d in (0.1, 0.3, 1)}  # ONCE itself: 3
DATES = {'date_tokens': ONCE, 'fullname_date_tokens': ORDINARY}  # four tokens
CONTROLS = {c: {BIOS: v, 'worlds.bios.years': 50} for c, v in DATES.items()} | {
    v: {BIOS: ONCE, 'optim.weight_decay': d} for v, d in DECAYS.items()}
LABELS = VARIANTS | {c: f'{VARIANTS[v]},\n4-token dates'
                     for c, v in DATES.items()}
SCALES = {
    'smoke': dict(variants=(ORDINARY, LAST), tasks=('all_first',), seeds=1),
    'cpu': dict(
        variants=(ONCE, ORDINARY, 'multi5_reverse1', LAST, *CONTROLS), seeds=5,
        more={'fullname_date_tokens': 10}, tasks=tuple(
            f'{q}_{n}' for q in ('bdate', 'three', 'all') for n in NAMES)),
    'gpu': dict(variants=tuple(VARIANTS), tasks=TASKS, seeds=3),
    'paper': dict(variants=tuple(VARIANTS), tasks=TASKS, seeds=1)}


def runs(scale: str) -> list[Run]:
  """Every (variant, seed)."""
  s = pick(SCALES, scale)
  return [Run(f'configs/manipulation.py:{"+".join(s["tasks"])}', scales.INVERSE[
      scale] | CONTROLS.get(v, {BIOS: v}) | scales.seeds(seed), {
          'variant': v, 'seed': seed}) for v in s['variants']
          for seed in range(s.get('more', {}).get(v, s['seeds']))]


def table(records):
  """A row a run, person_split and task, percent."""
  return results.wide(records, 'tasks', {
      'accuracy': 'acc_no_cot', 'majority_baseline': 'majority_baseline'},
                      ('person_split', 'task'), percent=True)


def summary(df):
  """By variant, task and person_split."""
  return results.summarise(df, ['variant', 'task', 'person_split'],
                           ['accuracy', 'majority_baseline'])


def figure(df):
  """Names correct by variant, a bar for each set of attributes; by decay."""
  s = summary(df[df.person_split == 'test'])
  s['query'], s['name'] = zip(*(t.rsplit('_', 1) for t in s.task))
  s['at'], s['decay'] = s.variant + s['name'], s.variant.map(DECAYS | {ONCE: 3})
  curve = s[s.task.eq('bdate_first') & s.decay.notna()]
  queries = {q: QUERIES[q] for q in QUERIES if q in set(s['query'])}
  fig, (above, (left, right)) = figures.grid(2, 2, width=5, height=3.5)
  for ax, names, late, what in (
      (above[0], NAMES[:1], 0, 'First names: biographies start with the name'),
      (above[1], NAMES[1:], 0, 'Full names, same data'),
      (left, NAMES, 1, 'Controls: the name follows attributes')):
    figures.grouped_bars(ax, s, 'at', 'query', 'accuracy', {
        v + n: label + f':\n{n} names' * late for n in names
        for v, label in LABELS.items() if v + n in set(s['at'])
        and ('reverse' in v) == late}, queries, digits=1 - late)
    figures.percent_axis(ax), figures.labels(ax, '', 'correct, %', what)
  figures.curves(right, curve, 'decay', None, 'accuracy')
  figures.log_ticks(right, curve.decay), figures.labels(
      right, 'weight decay', 'correct, %', "First names by birth date, 'once'")
  for ax, name, top in zip((*above, right), (*NAMES, 'first'), (28, 28, 14)):
    level = s[s['name'] == name].majority_baseline_mean.mean()
    figures.level(ax, level, 'baseline'), figures.percent_axis(ax, top)
    figures.level(ax, level + 2, '+2', '--', gid=figures.MARK)
  figures.legend(above[1], title='attributes in the question')
  figures.finish(fig, 'Inverse search: naming people of P_test', figures.
                 seeds_note(s) + ';  dashed: 2 points above baseline;  paper: '
                 'about 0 above\nonce: multi5+permute; each sentence: +fullname'
                 '; controls: reverse1, reverse6')
  return fig


NAMED = {ORDINARY: 'in each sentence', ONCE: 'at the start alone', 'decay_0.1':
         'at the start alone, weight decay 0.1', 'date_tokens':
         'at the start alone, dates of four tokens', 'fullname_date_tokens':
         'in each sentence, dates of four tokens'}
TEST, ASKED = {'person_split': 'test'}, SCALES['cpu']['tasks']
CELLS = {(v, t): TEST | {'variant': v, 'task': t} for t in TASKS
         for v in (*LABELS, *DECAYS)}
R7, MORE = 'Part 3.2, Result 7', {
    'baseline': 'majority_baseline',
    'decided_by': '10 seeds at `cpu` scale: 75 core-minutes'}
CLAIMS = (
    *(Claim(id, f'The name {NAMED[v]}: inverse search is at most 2 points '
            'above baseline, in all six tasks', R7, 'about 0 %', tuple(
                (CELLS[v, t], CELLS[v, t] | {'column': 'majority_baseline'})
                for t in ASKED), claims.exceeds_by_at_most(2), control=(
                    CELLS[LAST, 'all_first'], CELLS[LAST, 'all_full']),
            headline=v in (ORDINARY, 'fullname_date_tokens'),
            post_hoc=v in DATES, **MORE)
      for v, id in ((ORDINARY, 'inverse_search_fails'), (ONCE, 'named_once'),
                    *((c, f'{c}_fails') for c in NAMED if c in CONTROLS))),
    *(Claim(f'reverse6_{name}', f'All attributes to {name} name: '
            'multi5+permute+reverse6 > multi5+permute+fullname', R7,
            'not trivial vs 0 %', tuple(CELLS[v, f'all_{name}'] for v in (
                LAST, ORDINARY)), greater(), **MORE) for name in NAMES),
    Claim('reverse1_date', 'Birth date to first name: multi5+reverse1 > '
          'multi5+permute+fullname', R7, 'not trivial vs 0 %',
          (CELLS['multi5_reverse1', 'bdate_first'],
           CELLS[ORDINARY, 'bdate_first']), greater(), **MORE),
    *(Claim(id, f'The name {NAMED[v]}: full names at most 1 %, in all three '
            'tasks', R7, '0.0 %', tuple((CELLS[v, t],) for t in ASKED
                                        if t.endswith('full')),
            claims.at_most(1), control=(CELLS[LAST, 'all_full'],),
            decided_by=MORE['decided_by'], post_hoc=v == ONCE)
      for v, id in ((ORDINARY, 'full_name_never'), (ONCE, 'named_once_full'))),
    *(Claim(f'{v[-1]}_matters', f'Named once, birth date to first name: {what}',
            'ours', '—', claims.descending(*(
                CELLS[c, 'bdate_first'] for c in (ONCE, *v))), greater(),
            baseline='majority_baseline')
      for what, *v in (('weight decay 3 > 1 > 0.1', 'decay_1', 'decay_0.1'), (
          'dates of one token > of four', 'date_tokens'))))
