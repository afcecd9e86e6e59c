"""What does a teacher give beside its distribution of the next token?

Hinton et al. (arXiv 1503.02531): the mean of several teachers is a better
target than one. Sanh et al. (1910.01108): a student of half the layers gains by
a cosine loss on hidden states; Wang et al. (2002.10957): by the relations
between positions, whatever the widths. All report scores of tasks only.

Strings of a grammar, whose entropy is exact: `kl` is the excess loss. Teachers
of four layers read 2M tokens of strings of their own; students of two layers
read 0.4M or 1.6M, on the data's labels, the distribution of one teacher or the
mean of three, with features or relations of the last hidden states beside it or
beside the data's labels (teacher_states.py). Cells name a distribution `law`.

  python -m physics_lm.launch experiments/distillation.py --scale=cpu
  python -m physics_lm.report experiments/distillation.py --scale=cpu

Predicted, `kl` after 0.4M (seed 7, not reported, one grammar: labels 0.250, its
distribution 0.222, with relations 0.206, features 0.230, relations alone 0.219,
a teacher 0.076): 0.25, 0.22, three 0.21, relations 0.205, features 0.23, alone
0.24 and 0.22. After 1.6M: 0.11, 0.10, relations 0.095.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, above, equal
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

RECIPE = 'configs/grammar.py:structure'
LAW, STATES = {'weight': 1.0}, {'weight': 0.0}
ARMS = {  # number of teachers, keys of `teacher`
    'labels of the data': (0, {}), 'law': (1, LAW), 'law of three': (3, LAW),
    'law and features': (1, LAW | {'features': 1.0}),
    'law and relations': (1, LAW | {'relations': 1.0}),
    'labels and features': (1, STATES | {'features': 1.0}),
    'labels and relations': (1, STATES | {'relations': 1.0})}
NAMES = dict(zip(ARMS, (  # in the figure
    'hard labels', "teacher's distribution", 'mean of three teachers',
    *(f'{a}\n+ {b}' for a in ("teacher's distribution", 'hard labels')
      for b in ('cosine of states (DistilBERT)', 'relations (MiniLM)')))))
FEW = ('labels of the data', 'law', 'law and relations')
CELL_NAMES = {k: v.replace('\n', ' ') for k, v in NAMES.items()}
TEACHER, PLAIN = 'teacher', 'labels of the data'
SCALES = {  # {steps of a student: arms}
    'smoke': dict(steps={4: ('law and relations',)}, teachers=1,
                  teacher_steps=4, seeds=1, common=scales.SMOKE_LOG
                  | scales.TINY_MODEL | {
        'optim.warmup_steps': 1, 'evals.law.num_problems': 8}),
    'cpu': dict(steps={200: tuple(ARMS), 800: FEW}, teachers=3,
                teacher_steps=1000, seeds=5, common={
        'log.every': 500, 'evals.law.num_problems': 1000,
        'optim.warmup_steps': 10}),
    'gpu': dict(steps={1000: tuple(ARMS), 10_000: FEW}, teachers=3,
                teacher_steps=20_000, seeds=5, common={
        'model.width': 256, 'model.heads': 8, 'data.batch_size': 128,
        'evals.law.num_problems': 10_000, 'optim.warmup_steps': 50}),
}


def runs(scale: str) -> list[Run]:
  """Of each seed its teachers, which differ in parameters and data, and every
  (steps, arm) of its student."""
  s, out = pick(SCALES, scale), []
  for seed in range(s['seeds']):
    teachers = tuple(_run(s, s['teacher_steps'], TEACHER, seed, {
        'seed.init': 100 + k, 'seed.data': 100 + k}, {})
                     for k in range(s['teachers']))
    out += teachers
    for steps, arms in s['steps'].items():
      for arm in arms:
        count, keys = ARMS[arm]
        out.append(_run(s, steps, arm, seed, {'model.depth': 2} | {
            f'teacher.{k}': v for k, v in keys.items()},
            {'teacher.run': teachers[:count]} if count else {}))
  return out


def _run(s: dict, steps: int, arm: str, seed: int, more: dict, needs: dict
         ) -> Run:
  return Run(RECIPE, s['common'] | {'steps': steps, 'checkpoint.every': steps}
             | scales.seeds(seed) | more,
             {'steps': steps, 'arm': arm, 'seed': seed}, needs=needs)


def table(records):
  """A row a run: `kl`, excess loss, nats per token; `gained`, what it is below
  that from the labels of the data, of the same seed and steps."""
  df = results.wide(records, 'law', {'kl': 'kl'})
  plain = df[df.arm == PLAIN].set_index(['seed', 'steps']).kl
  df['gained'] = plain.reindex(zip(df.seed, df.steps)).to_numpy() - df.kl
  return df


def summary(df):
  """Means by steps and arm."""
  return results.summarise(df, ['steps', 'arm'], ['kl', 'gained'])


def figure(df):
  """What each arm gains over the data's labels, a panel for each number of
  steps."""
  s = summary(df)
  students = s[~s.arm.isin((TEACHER, PLAIN))]
  fig, (axes,) = figures.grid(students.steps.nunique(), width=5.2, height=3.4)
  for ax, (n, rows) in zip(axes, students.groupby('steps')):
    rows = rows.sort_values('gained_mean', ascending=False)
    figures.bars(ax, rows, 'gained', [NAMES[a] for a in rows.arm], [
        figures.colour(a, list(ARMS).index(a) % 6) for a in rows.arm],
        horizontal=True, digits=3)
    figures.labels(ax, 'excess loss saved over hard labels, nats/token', '', {
        200: '0.4M tokens', 800: '1.6M tokens'}.get(n, f'{n:,} steps'))
  figures.finish(fig, "Taught by runs of four layers instead of the data's "
                 'labels: students of two layers on a grammar',
                 f'{figures.seeds_note(s)}, paired by seed')
  return fig


def _at(arm: str, steps: int = 200) -> dict:
  return dict(arm=arm, steps=steps, column='kl')


HINTON, SANH = 'Hinton et al. 2015, section 5', 'Sanh et al. 2019, table 4'
WANG = 'Wang et al. 2020, table 3'
NATS = dict(unit='nats/token')
CLAIMS = (
    above('law_beats_labels', 'Excess loss after 0.4M tokens: labels of the '
          "data > a teacher's distribution", HINTON, _at('labels of the data'),
          _at('law'), headline=True, **NATS),
    above('three_beat_one', 'Excess loss: distribution of one teacher > mean '
          'of three', HINTON, _at('law'), _at('law of three'), **NATS),
    above('features_add', 'Excess loss: distribution > distribution and '
          'features', SANH, _at('law'), _at('law and features'), **NATS),
    above('relations_add', 'Excess loss: distribution > distribution and '
          'relations', WANG, _at('law'), _at('law and relations'),
          headline=True, **NATS),
    above('relations_alone', 'Excess loss: labels of the data > these and '
          'relations', WANG, _at('labels of the data'),
          _at('labels and relations'), **NATS),
    above('law_beats_labels_late', 'Excess loss after 1.6M tokens: labels of '
          "the data > a teacher's distribution", 'beyond the papers', _at(
              'labels of the data', 800), _at('law', 800), **NATS),
    above('relations_add_late', 'Excess loss after 1.6M tokens: distribution > '
          'distribution and relations', 'beyond the papers', _at('law', 800),
          _at('law and relations', 800), **NATS),
    Claim('three_as_one', 'Excess loss: the mean of three teachers within 0.01 '
          'of one', 'beyond the papers', '—',
          (_at('law of three'), _at('law')), equal(.01), post_hoc=True, **NATS),
    Claim('relations_pass', 'Excess loss after 1.6M tokens: distribution and '
          'relations within 0.01 of the distribution', 'beyond the papers', '—',
          (_at('law and relations', 800), _at('law', 800)), equal(0.01),
          post_hoc=True, **NATS))
