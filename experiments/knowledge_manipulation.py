"""Can a model use what it knows, or only say it?

Part 3.2 (Allen-Zhu & Li, arXiv 2309.14402), Results 1 to 5. A model that
answers questions about people is finetuned on tasks that need one step more:
a part of a date, two attributes at once, is the month even, whose major is
luckier; with the facts written out before the answer (a hint), or without.
It is asked about people whose tasks it has not seen.

Paper (GPT-2 124M, 100,000 people, multi5+permute, LoRA):
  Result 1  two attributes: near 100 % in any order; where texts tell the
            company's name before its city, city then name drops drastically
  Result 2  the date near 100 %, its day alone 82.3 %, its year alone poor
  Result 3  no hints: major mod 5 23.6 % (chance 20), parity of the month 75 %
            with 10,000 training people, the later month 85 % with 50,000,
            luckier major about chance (50); the month in numerals (mod 12),
            the major's number (mod 100) work well
  Result 4  with hints: accuracy = h + (1 - h) chance, h of hints right (major
            mod 5: 86.4 % at h = 84.5 %, law 87.6); trained with hints and
            asked without: 24.1 %, as if there had been none; parity 94.2 %
            (law 95.5); months between two people 61.5 % (law 64.2)
  Result 5  whether questions were trained on before makes almost no difference

  python -m physics_lm.launch experiments/knowledge_manipulation.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_manipulation.py --scale=cpu

Measured, `cpu`: 21 runs, 24 minutes of one core that was shared.

Ours at `cpu` scale: 300 people and short lists (20 years, 40 cities, 25
majors, ...), names repeated in every sentence; biographies, the six questions
and the tasks of a group are trained on together, hints in half of the tasks'
rows, because finetuning makes models of this size forget whom they were not
asked about (experiments/LOG.md). With 150 training people it is no finding
that tasks fail without hints: what can be found is the law, and that hints in
training do not help without. Two people at once are too much for these models
(3 % of the hints right), so of comparisons only the failures can be seen.
Result 5 here: the same with and without the six questions among what is
trained on.

Rules, fixed before the three seeds ran (each its own people), n >= 3: more or
less means by more than twice the standard error over seeds,
sqrt((s1^2 + s2^2) / n). Chance is what the commonest training answer scores.
Seed 0 of retrieval and of comparisons was seen before the others ran. Added
later: what hints do is not tested by tasks fewer than 10 % of whose hints are
right, as it could hardly come out otherwise; the claim about the day; those
about tasks that only `gpu` and `paper` have.

What the `paper` scale has not of the paper: GPT-2's tokenizer (here words, so
that years and days are one token each), P_train of other sizes than all
50,000 and, for parity, 10,000; of the held-out people 2,000 are asked.
"""

from configs.sizes import size
from physics_lm import plots
from physics_lm.report import BY_PERSON, Claim, accuracy, held_out, spread
from physics_lm.sweep import Run, pick

PARTS = ('birth_month', 'birth_day', 'birth_year')
BOTH = ('both_birth_city_employer', 'both_employer_birth_city',
        'both_university_major', 'both_major_university',
        'both_company_city_employer', 'both_employer_company_city')
HINTED = ('month_mod2', 'month_mod6', 'luck_mod5', 'month_rank',
          'month_minus', 'luck_rank', 'luck_minus')
MORE = ('month_mod12', 'luck_mod20', 'luck_mod100', 'day_rank', 'day_minus')
SHUFFLED, ORDERED = 'multi5_permute_fullname', 'multi5_fullname'
COLUMNS = ('plain', 'hinted', 'hint', 'chance', 'law', *(
    f'{k}_{end}' for k in ('plain', 'hinted', 'hint') for end in (
        'low', 'high')))
# (order, task, hints in training, asked with a hint): percent
PAPER = {
    ('shuffled', 'birth_date', False, False): 100,
    ('shuffled', 'birth_day', False, False): 82.3,
    ('shuffled', BOTH[4], False, False): 100,
    ('shuffled', BOTH[5], False, False): 100,
    ('ordered', BOTH[5], False, False): 100,
    ('shuffled', 'month_mod2', False, False): 75,  # of 10,000 people
    ('shuffled', 'month_mod2', True, True): 94.2,
    ('shuffled', 'luck_mod5', False, False): 23.6,
    ('shuffled', 'luck_mod5', True, False): 24.1,
    ('shuffled', 'luck_mod5', True, True): 86.4,
    ('shuffled', 'month_rank', False, False): 85,
    ('shuffled', 'month_minus', True, True): 61.5,
    ('shuffled', 'luck_rank', False, False): 50}
LEAST = 10  # percent of hints right, for a claim about hints to be tested
_SEPARATE = tuple((t,) for t in (*HINTED, *MORE))
_NO_QUESTIONS = {'data.tasks.qa.weight': 0.0}
SCALES = {
    # scale: seeds, groups of hinted tasks, common overrides, of the base (None:
    # all is trained on together), of tasks, those that leave the six questions
    # out (or put them in, where they are not; None: not tried), and a number
    # of people whose parity of the month alone is trained on, or None
    'smoke': (1, (('month_mod2', 'luck_rank'),), {
        'worlds.bios.people': 20, 'model.width': 16, 'model.depth': 2,
        'model.heads': 2, 'data.batch': 4, 'optim.warmup': 2}, None,
              {'steps': 5, 'evals.tasks.people': 10}, None, None),
    'cpu': (3, (('month_mod2', 'month_mod6', 'luck_mod5'), (
        'month_rank', 'month_minus', 'luck_rank', 'luck_minus')), {
        'worlds.bios.people': 300, 'worlds.bios.templates': 3,
        'model.depth': 3, 'optim.learning_rate': 5e-3, 'optim.warmup': 100,
        'checkpoint.every': 800}, None, {
            'steps': 800, 'data.tasks.bio.weight': 1.0,
            'data.tasks.qa.weight': 0.2, 'evals.tasks.people': 150},
            _NO_QUESTIONS, None),
    'gpu': (3, _SEPARATE, size('d512') | {
        'worlds.bios.people': 20_000, 'worlds.bios.first_names': 400,
        'worlds.bios.middle_names': 400, 'worlds.bios.last_names': 1000,
        'worlds.bios.years': 200, 'worlds.bios.cities': 200,
        'worlds.bios.universities': 300, 'worlds.bios.majors': 100,
        'worlds.bios.employers': 263, 'worlds.bios.templates': 50,
        'model.dtype': 'bfloat16', 'data.length': 512, 'data.batch': 96,
        'optim.learning_rate': 1e-3}, {
            'steps': 8000, 'optim.warmup': 500}, {
            'steps': 2000, 'optim.learning_rate': 3e-4,
            'evals.tasks.people': 2000}, _NO_QUESTIONS, None),
    'paper': (1, _SEPARATE, size('gpt2') | {
        'worlds.bios.people': 100_000, 'worlds.bios.first_names': 400,
        'worlds.bios.middle_names': 400, 'worlds.bios.last_names': 1000,
        'worlds.bios.years': 200, 'worlds.bios.cities': 200,
        'worlds.bios.universities': 300, 'worlds.bios.majors': 100,
        'worlds.bios.employers': 263, 'worlds.bios.templates': 50,
        'worlds.bios.variant': 'multi5_permute', 'model.dtype': 'bfloat16',
        'model.dropout': 0.1, 'data.length': 512, 'data.batch': 96,
        'data.isolate': False, 'optim.learning_rate': 1e-3}, {
            'steps': 80_000, 'optim.warmup': 1000,
            'data.tasks.bio.weight': 1.0, 'data.tasks.qa.weight': 0.0}, {
            'steps': 50_000, 'data.batch': 48, 'optim.warmup': 0,
            'optim.weight_decay': 0.01, 'optim.learning_rate': 1e-3,
            'adapter.kind': 'lora', 'adapter.rank': 16,
            'evals.tasks.people': 2000}, {'data.tasks.qa.weight': 1.0}, 10_000),
}


def runs(scale: str) -> list[Run]:
  """Of each seed: a model of shuffled texts, on every group of tasks, without
  hints and with, and on retrieval; one of ordered texts, on retrieval; one of
  shuffled texts `switched`: without the six questions (at `paper` scale,
  where the others have none, with them), on tasks with hints. `asked`: people
  whose tasks are trained on."""
  seeds, groups, common, first, then, switch, few = pick(SCALES, scale)
  out = []
  for seed in range(seeds):
    point = common | {f'seed.{k}': seed for k in ('init', 'data', 'world')}
    asked = point['worlds.bios.people'] // 2
    for order in ('shuffled', 'ordered', *(['switched'] if switch else [])):
      told = {'worlds.bios.variant': ORDERED} if order == 'ordered' else {}
      switched, base = switch if order == 'switched' else {}, None
      if first:
        base = Run('configs/manipulation.py:base',
                   point | told | first | switched,
                   {'order': order, 'training': 'base', 'asked': asked,
                    'seed': seed})
        out.append(base)
      sets = {}
      if order != 'switched':
        sets['retrieval'] = (*PARTS, *BOTH)
      if order == 'shuffled':
        sets |= {g[0]: g for g in groups}
      if order != 'ordered':
        sets |= {f'{g[0]} +hint': g for g in groups
                 if order == 'shuffled' or g[0] in HINTED[:3]}
      for name, tasks in sets.items():
        names = [*tasks, *(f'{t}_hint' for t in tasks if '+hint' in name)]
        for limit in (None, few) if few and name == 'month_mod2' else (None,):
          out.append(Run(
              f'configs/manipulation.py:{"+".join(names)}',
              point | told | then | ({} if base else switched) | (
                  {'worlds.bios.asked': limit} if limit else {}),
              {'order': order, 'training': name, 'asked': limit or asked,
               'seed': seed}, base))
  return out


def table(results: list[dict]):
  """One row for each (order of texts, task, hints in training, people whose
  tasks are trained on, half of the people): percent right asked without and
  with a hint, of hints, of the commonest answer; what the law says; mean and
  std over n seeds; `low`, `high`: the 95 % interval by person of one seed,
  averaged. Of the base, or where there is none of the model of retrieval, also
  the six questions."""
  import pandas as pd
  rows = []
  asked = 'base' if any(r['training'] == 'base' for r in results) else (
      'retrieval')
  for r in results:
    hinted = r['training'].endswith('+hint')
    for key in r:
      kind, _, rest = key.partition('/')
      if kind == 'extraction' and rest.startswith('exact/') and (
          rest.count('/') == 2) and r['training'] == asked:
        _, half, task = rest.split('/')
        score = {'chance': r[f'extraction/majority/{half}/{task}']} | {
            f'plain{end}': r[f'extraction/exact{end}/{half}/{task}']
            for end in ('', '_low', '_high')}
      elif kind == 'tasks' and rest.startswith('plain/'):
        _, half, task = rest.split('/')
        score = {'chance': r[f'tasks/majority/{half}/{task}']}
        for what in ('plain', 'hinted', 'hint') if hinted else ('plain',):
          for end in ('', '_low', '_high'):
            score[what + end] = r[f'tasks/{what}{end}/{half}/{task}']
        if hinted:
          h = score['hint']
          score['law'] = h + (1 - h) * score['chance']
      else:
        continue
      people = r.get(f'{kind}/people/{half}')
      rows.append({'order': r['order'], 'task': task, 'hints': hinted,
                   'asked': r['asked'], 'half': half, 'people': people, **{
                       k: 100 * score.get(k, float('nan')) for k in COLUMNS}})
  return spread(pd.DataFrame(rows), ['order', 'task', 'hints', 'asked', 'half',
                                     'people'], list(COLUMNS))


def cells(df, half: str = 'test', asked: int | None = None):
  """A function (order, task, hints) -> row, or None; of so many people whose
  tasks are trained on, or as many as there are."""
  rows = df[(df.half == half) & (df.asked == (asked or df.asked.max()))]
  rows = rows.set_index(['order', 'task', 'hints'])
  return lambda *at: rows.loc[at] if at in rows.index else None


def show(df) -> str:
  """The small table of the last screen: held-out people."""
  lines = [f'{"texts":10}{"task":28}{"hints":>6}{"chance":>8}{"without":>28}'
           f'{"with":>28}{"hint right":>28}{"law":>7}{"seeds":>7}']
  for _, r in df[df.half == 'test'].iterrows():
    with_ = [accuracy(r, k) if r[f'{k}_mean'] == r[f'{k}_mean'] else ''
             for k in ('hinted', 'hint')]
    law = f'{r.law_mean:.1f}' if r.law_mean == r.law_mean else ''
    lines.append(f'{r.order:10}{r.task:28}{"yes" if r.hints else "":>6}'
                 f'{r.chance_mean:>8.1f}{accuracy(r, "plain"):>28}'
                 f'{with_[0]:>28}{with_[1]:>28}{law:>7}{int(r.n):>7}')
  return '\n'.join([*lines, f'percent; {BY_PERSON} of one seed'])


NAMES = {
    'month_mod2': 'even month?', 'month_mod6': 'month\nmod 6',
    'luck_mod5': "major's luck\nmod 5", 'month_rank': 'later\nmonth?',
    'month_minus': 'months\napart', 'luck_rank': 'luckier\nmajor?',
    'luck_minus': 'luck\napart'}
ASKED = {
    'birth_date': 'whole date', 'birth_month': 'month alone',
    'birth_day': 'day alone', 'birth_year': 'year alone',
    'employer': 'company', 'company_city': 'its city',
    'both_employer_company_city': 'company,\nthen city',
    'both_company_city_employer': 'city, then\ncompany'}


def figure(df):
  """Left, where retrieval was asked: one attribute, part of one, two. Right:
  one step more."""
  cell = cells(df)
  both = cell('shuffled', BOTH[0], False) is not None
  fig, axes = plots.figure(
      columns=1 + both, width=6.2 if both else 6.6, height=4.1,
      width_ratios=(1, 1.25) if both else None)
  if both:
    retrieval(axes[0][0], cell)
  steps(axes[0][-1], cell)
  n, people = int(df.n.min()), int(df[df.half == 'test'].people.max())
  fig.suptitle(f'What a model can do with what it knows of {people} people',
               x=0.01, ha='left', fontsize=11)
  fig.supxlabel(
      f'mean and standard deviation of {n} seed{"s"[:n > 1]};  a hint: the '
      'facts, written by the model before its answer;  dotted: the commonest '
      'answer;\ndashes: the law, h + (1 - h) chance, where h of the hints '
      'are right;  diamonds: the paper, 124M parameters, 10,000 to 50,000 '
      'training people', x=0.01, ha='left',
      fontsize=8, color=plots.QUIET)
  return fig


def told_by_paper(ax, at, order, tasks, hints, hinted):
  """The paper's numbers, a diamond each, on bars at `at`."""
  known = [(x, PAPER[key]) for x, key in zip(at, (
      (order, t, hints, hinted) for t in tasks)) if key in PAPER]
  ax.plot([x for x, _ in known], [y for _, y in known], 'D', color='white',
          markersize=5, markeredgecolor=plots.INK, clip_on=False, zorder=6)


def finish(ax, title: str, columns: int):
  """Percent, and the legend between the title and the bars."""
  ax.set_ylim(0, 102)
  ax.set_ylabel('right about held-out people, %', fontsize=9)
  ax.legend(frameon=False, fontsize=8, loc='lower left', ncols=columns,
            bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.2, columnspacing=1,
            handlelength=1.2)
  ax.set_title(title, loc='left', fontsize=10, fontweight='bold',
               color=plots.INK, pad=22)


def retrieval(ax, cell):
  at = range(len(ASKED))
  for k, (order, label) in enumerate((
      ('shuffled', 'texts with sentences shuffled'), (
          'ordered', 'sentences in order'))):
    rows = [cell(order, t, False) for t in ASKED]
    known = [(x, r) for x, r in zip(at, rows) if r is not None]
    ax.bar([x + 0.2 * (2 * k - 1) for x, _ in known],
           [r.plain_mean for _, r in known], 0.38,
           yerr=[r.plain_std for _, r in known], color=plots.COLOURS[4 * k],
           ecolor=plots.INK, capsize=2, error_kw={'linewidth': 0.8},
           label=label)
    told_by_paper(ax, [x + 0.2 * (2 * k - 1) for x in at], order, ASKED, False,
                  False)
  ax.set_xticks(list(at), ASKED.values(), fontsize=7.5, rotation=35,
                ha='right', rotation_mode='anchor')
  finish(ax, 'Saying what is known: alone, or two at once', 2)


def steps(side, cell):
  tasks = [t for t in HINTED if cell('shuffled', t, True) is not None]
  bars = (('plain', False, 'never a hint', plots.COLOURS[1]),
          ('plain', True, 'hints in training, none now', plots.COLOURS[4]),
          ('hinted', True, 'with its own hint', plots.COLOURS[0]))
  for k, (what, hints, label, colour) in enumerate(bars):
    rows = [cell('shuffled', t, hints) for t in tasks]
    at = [x + 0.27 * (k - 1) for x in range(len(tasks))]
    side.bar(at, [r[f'{what}_mean'] for r in rows], 0.26,
             yerr=[r[f'{what}_std'] for r in rows], color=colour,
             ecolor=plots.INK, capsize=2, error_kw={'linewidth': 0.8},
             label=label)
    told_by_paper(side, at, 'shuffled', tasks, hints, what == 'hinted')
  for x, t in enumerate(tasks):
    r = cell('shuffled', t, True)
    side.plot([x - 0.42, x + 0.14], [r.chance_mean] * 2, color=plots.INK,
              linewidth=1, linestyle=':')
    side.plot([x + 0.15, x + 0.39], [r.law_mean] * 2, color=plots.INK,
              linewidth=2, zorder=5)
  side.set_xticks(range(len(tasks)), [NAMES[t] for t in tasks], fontsize=8)
  finish(side, 'One step more than saying it', 3)


def verdict(df) -> list[Claim]:
  """Results 1 to 5 of the paper."""
  cell, out = cells(df), []

  def add(statement, paper, rows, text, holds, tested=lambda *rows: True):
    if any(r is None or r.n < 3 for r in rows):
      out.append(Claim(statement, paper, 'not run with three seeds',
                       'not tested at this scale'))
      return
    found = 'not tested at this scale'
    if tested(*rows):
      found = 'yes' if holds(*rows) else 'no'
    out.append(Claim(statement, paper, held_out(text(*rows), rows[0]), found))

  def each(*names):
    """'the day 20.4 ± 3.1 [14.4, 26.9], ...'"""
    return lambda *rows: ', '.join(
        f'{name} {accuracy(r, "plain")}' for name, r in zip(names, rows)
        ) + ' %'

  error = lambda a, b, x, y: 2 * (
      (a[f'{x}_std']**2 + b[f'{y}_std']**2) / min(a.n, b.n))**0.5
  beats = lambda a, b, x='plain', y='plain': (
      a[f'{x}_mean'] - b[f'{y}_mean'] > error(a, b, x, y))
  of = lambda task, hints=False, order='shuffled': cell(order, task, hints)
  add('Two attributes at once, in either order, are said about as well as one '
      '(Result 1: within 10 points of the worse one)', 'near 100 %',
      [of(BOTH[4]), of(BOTH[5]), of('employer'), of('company_city')],
      each('city and company', 'company and city', 'the company alone',
           'its city alone'),
      lambda a, b, c, d: min(a.plain_mean, b.plain_mean) >= min(
          c.plain_mean, d.plain_mean) - 10)
  add('Where texts name the company before its city, city then company is said '
      'worse than company then city (Result 1)', 'near 100 % falls drastically',
      [of(BOTH[5], order='ordered'), of(BOTH[4], order='ordered')],
      each('company, then city', 'city, then company'), beats)
  for part, number in (('year', 'poor'), ('day', '82.3')):
    add(f'The {part} alone is said worse than the whole date (Result 2)',
        f'{number} against near 100 %',
        [of('birth_date'), of(f'birth_{part}')],
        each('the date', f'the {part}'), beats)
  mean = lambda rows, what: sum(r[f'{what}_mean'] for r in rows) / len(rows)
  for who, tasks, numbers in (
      ('one person', HINTED[:3], (
          '23.6 % (chance 20)', '86.4 % (law 87.6)', '86.4 against 24.1 %',
          '24.1 against 23.6 %')),
      ('two people', HINTED[3:], (
          'about chance for majors', '61.5 % (law 64.2)', 'better',
          'no help'))):
    tasks = [t for t in tasks if of(t, True) is not None] or tasks
    hinted, never = ([of(t, h) for t in tasks] for h in (True, False))
    about, k = f'{len(tasks)} tasks about {who}', len(tasks)
    enough = lambda *rows, k=k: mean(rows[:k], 'hint') >= LEAST
    add(f'Without hints tasks are at most 5 points above chance (Result 3, '
        f'mean over {about}; few people here)', numbers[0], never,
        lambda *rows: f'{mean(rows, "plain"):.1f} % (chance '
        f'{mean(rows, "chance"):.1f})',
        lambda *rows: mean(rows, 'plain') <= mean(rows, 'chance') + 5)
    add(f'With hints accuracy is h + (1 - h) chance (Result 4: each of {about} '
        'within 5 points)', numbers[1], hinted,
        lambda *rows: f'{mean(rows, "hinted"):.1f} % (hints right '
        f'{mean(rows, "hint"):.1f}, law {mean(rows, "law"):.1f}; farthest '
        f'{max(abs(r.hinted_mean - r.law_mean) for r in rows):.1f} points)',
        lambda *rows: all(abs(r.hinted_mean - r.law_mean) <= 5 for r in rows),
        enough)
    add(f'With its own hint the model is better than without (Result 4, each '
        f'of {about})', numbers[2], hinted,
        lambda *rows: f'{mean(rows, "hinted"):.1f} against '
        f'{mean(rows, "plain"):.1f} %',
        lambda *rows: all(beats(r, r, 'hinted', 'plain') for r in rows), enough)
    add('Hints in training do not help without one (Result 4: at most 5 '
        f'points more, mean over {about})', numbers[3], [*hinted, *never],
        lambda *rows, k=k: f'{mean(rows[:k], "plain"):.1f} against '
        f'{mean(rows[k:], "plain"):.1f} %',
        lambda *rows, k=k: mean(rows[:k], 'plain') <= mean(
            rows[k:], 'plain') + 5, enough)
  over = lambda *rows: ', '.join(
      f'{accuracy(r, "plain")} % (chance {r.chance_mean:.1f})' for r in rows)
  no_better = lambda *rows: all(
      r.plain_mean <= r.chance_mean + 5 for r in rows)
  add('Whose major is luckier is not said without a hint (Result 3: at most '
      '5 points above chance)', 'about chance, 50 %', [of('luck_rank')],
      over, no_better)
  add('nor the luck of a major mod 20 (Result 3)', 'in a figure, without '
      'digits', [of('luck_mod20')], over, no_better)
  add('nor who was born on a later day, or by how many (Result 3)', 'in a '
      'figure, without digits', [of('day_rank'), of('day_minus')], over,
      no_better)
  for task, fact, what in (
      ('month_mod12', 'birth_month', 'The month in numerals (mod 12)'),
      ('luck_mod100', 'major', "The number of a major (luck mod 100)")):
    add(f'{what} is said as well as its name (Result 3: within 10 points)',
        'works well', [of(task), of(fact)], each('its number', 'its name'),
        lambda a, b: a.plain_mean >= b.plain_mean - 10)
  for task, people, number, what in (
      ('month_mod2', 10_000, 75, 'Parity of the month'),
      ('month_rank', 50_000, 85, 'The later month')):
    add(f'{what} takes {people:,} training people (Result 3: that many, '
        'without hints, within 10 points of the paper)', f'{number} %',
        [cells(df, asked=people)('shuffled', task, False)], over,
        lambda r, number=number: abs(r.plain_mean - number) <= 10)
  few = [t for t in HINTED[:3] if of(t, True) is not None] or HINTED[:3]
  with_, without = ([of(t, True, order) for t in few]
                    for order in ('shuffled', 'switched'))
  add('Whether the six questions are trained on makes no difference (Result 5: '
      f'with hints, mean over {len(few)} tasks, within 5 points)',
      'almost no difference', [*with_, *without],
      lambda *rows: f'{mean(rows[:len(few)], "hinted"):.1f} with, '
      f'{mean(rows[len(few):], "hinted"):.1f} % without',
      lambda *rows: abs(mean(rows[:len(few)], 'hinted') - mean(
          rows[len(few):], 'hinted')) <= 5)
  return out
