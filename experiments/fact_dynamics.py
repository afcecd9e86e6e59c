"""How long does a model learn nothing of anybody, and what shortens that?

Zucchet et al. (arXiv 2503.21676), synthetic biographies: a model first learns
which values there are, then for a long time no more (plateau), then whose they
are. The plateau grows almost linearly with the number of people; it is shortest
where person k is read as often as k^-0.6 to k^-0.8; a quarter of the people
first and then all are learnt better than all from the start. As facts form, the
loss on people never read of rises above the baseline: hallucination.

bioD, attributes in random order; `nats` per value of people of the training
data (each counts alike), baseline ln 128. `leaves`: step at 90 % of it.

  python -m physics_lm.launch experiments/fact_dynamics.py --scale=cpu
  python -m physics_lm.report experiments/fact_dynamics.py --scale=cpu

Predicted (seed 7, not reported): leaves at 120, 220, 440, 880 steps of 64
entries for 500 to 4,000 people; unseen 7 nats where half is known, 11 at the
end; k^-0.7 leaves at 320, and 67 instead of 88 % is known at the end, k^-1 50;
a quarter first: 90 %; a batch of 128 leaves at 300. Cost: 8 core-minutes.
"""

import math

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, at_least, greater, ratio_between
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

BASELINE = math.log(128)  # nats, of a value of which nothing is known
ONE = 2000  # people of the other arms
PEOPLE = (500, 1000, ONE, 4000)
SKEWS = (0.7, 1.0)
FIRST = 300  # steps on the first quarter, before all
SCALES = {
    'smoke': dict(people=(20, 40), skews=(0.7,), one=40, seeds=1, common=(
        scales.SMOKE_LOG | {'steps': 20, 'model.width': 16, 'model.heads': 2,
                               'evals.known.every': 5,
                               'evals.unseen.every': 5})),
    'cpu': dict(people=PEOPLE, skews=SKEWS, one=ONE, seeds=3, common={
        'steps': 1200, 'log.every': 400, 'evals.known.every': 40,
        'evals.unseen.every': 40}),
    'gpu': dict(people=(2000, 4000, 8000, 16_000, 32_000), skews=SKEWS, one=ONE,
                seeds=5, common={'steps': 12_000, 'model.width': 256,
                                 'optim.learning_rate': 1e-3})}
POINT = ['arm', 'people', 'skew']


def runs(scale: str) -> list[Run]:
  """Every (arm, people, skew, seed)."""
  s = pick(SCALES, scale)
  one, batch = s['one'], {'data.batch_size': 128}
  points = [('all', n, 0.0, {}) for n in s['people']]
  points += [('all', one, a, {}) for a in s['skews']]
  since = min(FIRST, s['common']['steps'] // 2)
  points += [('a quarter first', one, 0.0, {
      'data.tasks.few.weight': 1.0, 'data.tasks.few.until': since,
      'data.tasks.known.since': since}), ('batch of 128', one, 0.0, batch)]
  return [Run('configs/biod.py:dynamics', {
      'worlds.known.people': n, 'worlds.known.skew': skew,
      'worlds.few.people': n // 4, 'data.batch_size': 64}
              | s['common'] | more | scales.seeds(seed),
              dict(zip(POINT, (arm, n, skew))) | {'seed': seed})
          for seed in range(s['seeds']) for arm, n, skew, more in points]


def table(records):
  """A row a run and step: nats and unseen, nats per value of known and unseen
  people; known, percent of a value's bits, and known_people, times people.
  `last` marks the end; of each run reaches (the baseline, within 2 %), leaves
  and their difference, plateau, in steps; rises, unseen nats above the baseline
  where half is known."""
  df = results.during_training(records, 'known', {'nats': 'value_nats'})
  unseen = results.during_training(records, 'unseen', {'unseen': 'value_nats'})
  df = df.merge(unseen[['run', 'step', 'unseen']], on=['run', 'step'])
  df = df[df.step > 0].reset_index(drop=True)
  gain = 1 - df.nats / BASELINE
  df['known'] = 100 * gain.clip(lower=0)
  df['known_people'] = df.known / 100 * df.people
  df['last'] = df.step == df.groupby('run').step.transform('max')
  for name, level in (('reaches', -0.02), ('leaves', 0.1), ('half', 0.5)):
    df[name] = df.run.map({run: results.crossing(rows.step, gain[rows.index],
                                                 level)
                           for run, rows in df.groupby('run')})
  df['plateau'] = df.leaves - df.reaches
  df['rises'] = df.run.map({
      run: rows.unseen[rows.step >= rows.half].min() - BASELINE
      for run, rows in df.groupby('run')})
  return df


def measures(df):
  """{'leaves', 'plateau': exponents in people}."""
  rows = claims.select(df, {'arm': 'all', 'skew': 0.0, 'last': True})
  return {c: claims.exponent(kept.people, kept[c])
          for c in ('leaves', 'plateau')
          if (kept := rows[rows[c] > 0]).people.nunique() > 2}


def summary(df):
  """Means at the end."""
  return results.summarise(df[df['last']], POINT, [
      'leaves', 'plateau', 'known', 'known_people', 'unseen', 'rises'])


def figure(df):
  """Loss during training by people; step at which the plateau ends; known
  people by arm."""
  fig, (axes,) = figures.grid(3, width=3.9, height=3.5)
  plain = df[df.arm.eq('all') & df.skew.eq(0)]
  steps = results.summarise(plain, ['people', 'step'], ['nats', 'unseen'])
  for column, style in (('nats', '-'), ('unseen', ':')):
    figures.curves(axes[0], steps, 'step', 'people', column,
                   linestyle=style, markersize=0)
  figures.level(axes[0], BASELINE, 'baseline')
  axes[0].set(ylim=(0, 2 * BASELINE))
  figures.legend(axes[0], title='people', loc='lower left')
  figures.labels(axes[0], 'step', 'nats per value',
                 'Solid: people read of, dotted: others')
  s = summary(df)
  ends = s[s.arm.eq('all') & s.skew.eq(0)]
  figures.curves(axes[1], ends, 'people', None, 'leaves')
  axes[1].set(xscale='log', yscale='log')
  figures.plain_ticks(axes[1])
  figures.labels(axes[1], 'people', 'step', 'End of the plateau (10 % known)')
  one = s[s.people.eq(ends.people.median() if ONE not in set(s.people) else ONE)
          ].sort_values('skew')
  figures.bars(axes[2], one, 'leaves', [
      f'as k^-{a:g}' if a else arm for arm, a in zip(one.arm, one.skew)])
  figures.labels(axes[2], 'how people are read of', 'step',
                 'End of the plateau')
  figures.finish(fig, 'A plateau before facts are learnt',
                 f'{figures.seeds_note(s)}')
  return fig


def _at(arm: str = 'all', people: int = ONE, skew: float = 0.0, **more) -> dict:
  return dict(arm=arm, people=people, skew=skew, last=True) | more


ZUCCHET, OURS = 'Zucchet et al. 2025', ('ours', 'not in the paper')
STEPS = dict(column='leaves', unit='steps')
CLAIMS = (
    Claim('people', 'The step at which the plateau ends grows as people^1, '
          'within 0.2', ZUCCHET, 'almost linear', ({'measure': 'leaves'},),
          claims.between(0.8, 1.2), unit='', headline=True),
    Claim('unseen', 'At the end, the loss on people never read of is at least '
          '3 nats above the baseline', ZUCCHET, 'above', (_at(),),
          at_least(BASELINE + 3), 'unseen', unit='nats', headline=True),
    Claim('with_facts', 'Where half is known it is at least 0.5 above', ZUCCHET,
          'just after the plateau', (_at(),), at_least(0.5), 'rises',
          unit='nats'),
    Claim('skew', 'Read of as often as k^-0.7: the plateau ends earlier',
          ZUCCHET, 'shortest at 0.6 to 0.8', (_at(), _at(skew=0.7)), greater(),
          **STEPS),
    Claim('not_too_much', 'As k^-1 less is known at the end than uniformly',
          ZUCCHET, 'the best exponent falls with fewer people', (
              _at(), _at(skew=1.0)), greater(), 'known'),
    Claim('quarter', 'A quarter of the people first: more of all is known at '
          'the end', ZUCCHET, 'better', (_at('a quarter first'), _at()),
          greater(), 'known', headline=True),
    Claim('quarter_alone', 'and more people than of the quarter alone', ZUCCHET,
          '94.9 % against 63.3 % of the best subset', (
              _at('a quarter first'), _at(people=ONE // 4)), greater(),
          'known_people', unit='people'),
    Claim('batch', 'Twice the batch: the plateau ends after at least 0.8 of '
          'the steps', *OURS, (_at('batch of 128'), _at()), ratio_between(0.8),
          **STEPS),
)
