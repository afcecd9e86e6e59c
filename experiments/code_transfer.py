"""Does training on programs first lower the problems that iGSM needs?

Aryabumi et al. (arXiv 2408.10914): code in pretraining adds up to 8.2 % to
reasoning in language. Here: straight-line programs with traces (worlds/
symbolic/programs.py) in symbols and arithmetic of compact iGSM, in order:
nothing is planned. 0.46M tokens of them, then problems of up to 3 operations,
1.54M; or first, as many tokens of
  sentences    programs written as iGSM's solutions are
  random       programs with all values drawn: the form alone
  biographies  bioD, in symbols of its own; or problems from the start (none)
needed: million tokens of problems until half of those with 3 operations are
solved, every step right; saved: percent of what the same seed needs from none;
net: with the first stage's tokens counted too.

  python -m physics_lm.launch experiments/code_transfer.py --scale=cpu
  python -m physics_lm.report experiments/code_transfer.py --scale=cpu

Cost: 36 runs, 25 core-minutes. Tuned on seed 7, not reported (needed: none 1.3,
programs above 1.4, sentences 1.2). Predicted: needed 1.3 from none, biographies
1.3, random 1.4, programs 1.35, sentences 1.2: saved 0, -8, -4, 8 %, net -35 to
-45; results in traces 99 %; in the end none solves 65 %, programs 55: planning,
which no program teaches, is what takes long.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, at_most, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

FIRST = {  # {what comes first: (in the figure, task, overrides)}
    'none': ('nothing', '', {}), 'biographies': ('biographies', 'people', {}),
    'random': ('programs, values at random', 'programs', {
        'worlds.programs.trace': 'random'}),
    'programs': ('programs', 'programs', {}),
    'sentences': ("programs in iGSM's form", 'programs', {
        'worlds.programs.form': 'sentences'})}
SCALES = {
    'smoke': dict(steps=(4, 8), seeds=1, first=('none', 'programs'), common=(
        scales.SMOKE_LOG | scales.TINY_MODEL | {
            'evals.reasoning.every': 4, 'evals.reasoning.num_problems': 4,
            'evals.trace.num_problems': 4})),
    'cpu': dict(steps=(300, 1000), seeds=4, first=tuple(FIRST), common={
        'evals.reasoning.every': 100})}


def runs(scale: str) -> list[Run]:
  """Of each seed the first stages, and problems after each of them."""
  s, out = pick(SCALES, scale), []
  for seed in range(s['seeds']):
    seeded = s['common'] | scales.seeds(seed)
    for name in s['first']:
      (first, steps), (_, task, keys) = s['steps'], FIRST[name]
      tags, base = {'first': name, 'seed': seed}, None
      if task:
        base = Run('configs/programs.py', seeded | keys | {
            'steps': first, 'data.tasks.problems.weight': 0.0,
            f'data.tasks.{task}.weight': 1.0, 'evals.reasoning.every': first,
            'seed.data': seed + 100}, tags | {'stage': 'A'})
        out.append(base)
      out.append(Run('configs/programs.py', seeded | {
          'steps': steps if base else first + steps}, tags | {'stage': 'B'},
                     init_from=base))
  return out


def table(records):
  """A row a run and evaluation on problems; million: tokens of problems, total:
  with those before. At the run's end (`last`: equal totals) also needed (where
  half is not reached, all: a lower bound), saved and net; result, operand:
  percent of a trace's values that are right after the first stage."""
  df = results.during_training(records, 'reasoning', {
      'accuracy': 'accuracy/test_op3'})
  df = df[df.stage == 'B'].reset_index(drop=True)
  ends = results.train_columns(records, {'step': 'step', 'tokens': 'tokens'})
  size = (ends.tokens / ends.step).iloc[0] / 1e6  # million tokens of a step
  last = df.groupby('run').step.transform('max')
  df['million'], df['accuracy'] = df.step * size, 100 * df.accuracy
  df['total'] = (df.step + last.max() - last) * size
  df['last'] = df.step == last
  half = {run: results.crossing(rows.million[1:], rows.accuracy[1:], 50.0)
          for run, rows in df.groupby('run')}
  df['needed'] = df.run.map(half).fillna(last * size).where(df['last'])
  alone = df.seed.map(df[df['first'] == 'none'].groupby('seed').needed.last())
  df['saved'] = 100 * (1 - df.needed / alone)
  df['net'] = 100 * (1 - (df.needed + df.total - df.million) / alone)
  traces = results.wide(records, 'trace', ('accuracy',), ('attribute',),
                        percent=True).set_index(['stage', 'first', 'seed'])
  for kind in ('result', 'operand'):
    right = traces.accuracy[traces.attribute == kind].loc['A']
    df[kind] = right.reindex(zip(df['first'], df.seed)).to_numpy()
  return df


def summary(df):
  """By arm, at the end of the runs."""
  return results.summarise(df[df['last']], ['first'], [
      'needed', 'saved', 'net', 'accuracy', 'result', 'operand'])


def figure(df):
  """Accuracy by tokens of problems and by all tokens; tokens until half."""
  fig, (axes,) = figures.grid(3, width=4.2, height=3.5)
  names = {k: v for k, (v, *_) in FIRST.items() if k in set(df['first'])}
  for ax, x, label, heading in (
      (axes[0], 'million', 'million tokens of problems', 'Problems alone'),
      (axes[1], 'total', 'million tokens in all', 'With what came first')):
    figures.curves(ax, results.summarise(df, ['first', x], ['accuracy']), x,
                   'first', 'accuracy', names, markersize=2)
    figures.percent_axis(ax)
    figures.level(ax, 50.0)
    figures.labels(ax, label, 'problems solved, 3 operations, %', heading)
  figures.legend(axes[0], title='first:')
  end, before = df[df['last']], (df.total - df.million).max()
  for i, name in enumerate(names):
    needed, color = end.needed[end['first'] == name], figures.COLOURS[i]
    axes[2].barh(i, needed.mean() + before * (i > 0), color=color, alpha=0.3)
    axes[2].barh(i, needed.mean(), color=color)
    axes[2].plot(needed, [i] * len(needed), 'ok', markersize=3, alpha=0.6)
  figures.row_names(axes[2], list(names.values()))
  figures.labels(axes[2], 'million tokens until 50 % are solved', '',
                 'Problems (dark), before (light)')
  figures.finish(fig, 'Compact iGSM after programs with the same arithmetic', (
      f'{figures.seeds_note(summary(df))};  {before:.2f}M tokens first'))
  return fig


NONE, PEOPLE, RANDOM, PROGRAMS, SENTENCES = (
    {'first': name, 'last': True} for name in FIRST)
CODE = 'Aryabumi et al. 2024', 'code helps'
OURS = 'ours', 'not in the paper'
LESS = dict(rule=greater(), column='needed', unit='million tokens')
CLAIMS = (
    Claim('programs_above_biographies', 'After programs fewer tokens of '
          'problems are needed than after biographies', *CODE,
          (PEOPLE, PROGRAMS), headline=True, **LESS),
    Claim('sentences_above_biographies', "So too after programs in iGSM's form",
          *CODE, (PEOPLE, SENTENCES), **LESS),
    Claim('computation_counts', 'And fewer than after values at random', *OURS,
          (RANDOM, PROGRAMS), **LESS),
    Claim('programs_save_a_third', 'Programs save at least 33 %', *OURS,
          (PROGRAMS,), at_least(33), 'saved'),
    Claim('biographies_save_nothing', 'Biographies save at most 10 %', *OURS,
          (PEOPLE,), at_most(10), 'saved'),
    Claim('programs_do_not_pay', 'Their own tokens counted, they save nothing',
          *OURS, ((PROGRAMS,), (SENTENCES,)), at_most(0), 'net'),
    Claim('problems_are_better', 'At equal tokens in all, problems alone solve '
          'more than after programs', *OURS, (NONE, PROGRAMS), greater()),
    Claim('arithmetic_is_learnt', 'After the first stage at least 95 % of the '
          'results in traces of either form are right', *OURS,
          ((PROGRAMS,), (SENTENCES,)), at_least(95), 'result'))
