"""How long does a model learn nothing of anybody, and what shortens that?

Zucchet et al. (arXiv 2503.21676): a model first learns which values there are,
then for long no more (plateau), then whose they are. The plateau grows almost
linearly with people; it is shortest where person k is read of as often as
k^-0.6 to k^-0.8; a quarter of the people first helps. As facts form, the loss
on people never read of rises above the baseline: hallucination.

bioD, random order; `nats` per value (baseline ln 128); `leaves`: step at 90 %.

  python -m physics_lm.launch experiments/fact_dynamics.py --scale=cpu
  python -m physics_lm.report experiments/fact_dynamics.py --scale=cpu

Predicted (seed 7, not reported): leaves at 120, 220, 440, 880 steps of 64
entries for 500 to 4,000 people; unseen 7 nats where half is known, 11 at the
end; k^-0.7 leaves at 320, and 67 instead of 88 % is known at the end, k^-1 50;
a quarter first: 90 %; a batch of 128 leaves at 300. Cost: 13 core-minutes.
"""

import math

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, at_least, greater, ratio_between
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

BASELINE = math.log(128)  # nats, of a value of which nothing is known
ONE, FIRST = 2000, 300  # people of the other arms; steps on a quarter of them
PEOPLE, SKEWS = (500, 1000, ONE, 4000), (0.7, 1.0)
SCALES = {
    'smoke': dict(people=(20, 40), skews=(0.7,), one=40, seeds=1, common=(
        scales.SMOKE_LOG | {'steps': 20, 'model.width': 16, 'model.heads': 2,
                            'evals.known.every': 5, 'evals.unseen.every': 5})),
    'cpu': dict(people=PEOPLE, skews=SKEWS, one=ONE, seeds=5, common={
        'steps': 1200, 'log.every': 400, 'evals.known.every': 40,
        'evals.unseen.every': 40}),
    'gpu': dict(people=(ONE, 4000, 8000, 16_000), skews=SKEWS, one=ONE, seeds=5,
                common={'steps': 12_000, 'model.width': 256,
                        'optim.learning_rate': 1e-3})}
POINT, LEAVES = ['arm', 'people', 'skew'], 'step at which 10 % is known'


def runs(scale: str) -> list[Run]:
  """Every (arm, people, skew, seed)."""
  s = pick(SCALES, scale)
  one, laws = s['one'], [(s['one'], a) for a in s['skews']]
  points = [('all', *p, {}) for p in [(n, 0.0) for n in s['people']] + laws]
  since = min(FIRST, s['common']['steps'] // 2)
  points += [('a quarter first', one, 0.0, {
      'data.tasks.few.weight': 1.0, 'data.tasks.few.until': since,
      'data.tasks.known.since': since}), (
          'batch of 128', one, 0.0, {'data.batch_size': 128})]
  return [Run('configs/biod.py:dynamics', {
      'worlds.known.people': n, 'worlds.known.skew': skew,
      'worlds.few.people': n // 4, 'data.batch_size': 64}
      | s['common'] | more | scales.seeds(seed),
      dict(zip(POINT, (arm, n, skew))) | {'seed': seed})
          for seed in range(s['seeds']) for arm, n, skew, more in points]


def table(records):
  """A row a run and step: nats and unseen, nats per value of known and unseen
  people; known, percent of a value's bits. `last` marks the end; of each run
  leaves, in steps, and rises, unseen nats above the baseline at 50 % known."""
  df = results.during_training(records, 'known', {'nats': 'value_nats'})
  unseen = results.during_training(records, 'unseen', {'unseen': 'value_nats'})
  df = df.merge(unseen[['run', 'step', 'unseen']], on=['run', 'step'])
  df = df[df.step > 0].reset_index(drop=True)
  gain = 1 - df.nats / BASELINE
  df['known'] = 100 * gain.clip(lower=0)
  df['last'] = df.step == df.groupby('run').step.transform('max')
  for name, level in (('leaves', 0.1), ('half', 0.5)):
    df[name] = df.run.map({
        run: results.crossing(rows.step, gain[rows.index], level)
        for run, rows in df.groupby('run')})
  df['rises'] = df.run.map({
      run: rows.unseen[rows.step >= rows.half].min() - BASELINE
      for run, rows in df.groupby('run')})
  return df


def measures(df):
  """{'leaves': its exponent in people}."""
  rows = df[df.arm.eq('all') & df['skew'].eq(0) & df['last'] & (df.leaves > 0)]
  return {'leaves': claims.exponent(rows.people, rows.leaves)} if (
      rows.people.nunique() > 2) else {}


def summary(df):
  """Means at the end."""
  return results.summarise(df[df['last']], POINT, [
      'leaves', 'known', 'unseen', 'rises'])


def figure(df):
  """Loss during training; when the plateau is over, by people and arm."""
  fig, (axes,) = figures.grid(3, width=3.9, height=3.5)
  plain = df[df.arm.eq('all') & df['skew'].eq(0)]
  steps = results.summarise(plain, ['people', 'step'], ['nats', 'unseen'])
  for y, style in (('nats', '-'), ('unseen', ':')):
    figures.curves(axes[0], steps, 'step', 'people', y, linestyle=style,
                   markersize=0)
  figures.level(axes[0], BASELINE, 'baseline')
  axes[0].set(ylim=(0, 2 * BASELINE))
  figures.legend(axes[0], title='people', loc=(1, 0),
                 handles=axes[0].get_lines()[:plain.people.nunique()])
  figures.labels(axes[0], 'step', 'nats per value',
                 'Solid: people read of; dotted: others')
  s = summary(df)
  uniform = s[s.arm.eq('all') & s['skew'].eq(0)]
  figures.curves(axes[1], uniform, 'people', None, 'leaves')
  axes[1].set(xscale='log', yscale='log')
  figures.plain_ticks(axes[1]), figures.log_ticks(axes[1], uniform.people)
  figures.labels(axes[1], 'people', LEAVES, 'The plateau is over')
  one = s[s.people.eq(s.people[s['skew'] > 0].iloc[0])].sort_values('skew')
  figures.bars(axes[2], one, 'leaves', [
      f'frequency k^-{a:g}' if a else arm for arm, a in zip(
          one.arm, one['skew'])], horizontal=True)
  figures.labels(axes[2], LEAVES, '', f'{one.people.iloc[0]:,} people')
  figures.finish(fig, 'A plateau before facts', figures.seeds_note(s))
  return fig


def _at(arm: str = 'all', people: int = ONE, skew: float = 0.0, **more) -> dict:
  return dict(arm=arm, people=people, skew=skew, last=True) | more


ZUCCHET, OURS = 'Zucchet et al. 2025', ('ours', '—')
STEPS, SLOPE = dict(column='leaves', unit='steps'), dict(
    unit='', decided_by='20 seeds: an hour of a core')
CLAIMS = (
    Claim('people', 'The plateau is over at a step ~ people^1, within 0.2',
          ZUCCHET, 'almost linear', ({'measure': 'leaves'},),
          claims.between(0.8, 1.2), headline=True, **SLOPE),
    Claim('more_than_people', 'This exponent is above 1', ZUCCHET, 'almost 1',
          ({'measure': 'leaves'},), claims.at_least(1), post_hoc=True, **SLOPE),
    Claim('unseen', 'With 50 % known, the loss on people never read of is at '
          'least 0.5 nats above the baseline', ZUCCHET, 'after the plateau',
          (_at(),), at_least(0.5), 'rises', unit='nats', headline=True),
    Claim('skew', 'As often as k^-0.7: the plateau is over earlier', ZUCCHET,
          'shortest at 0.6 to 0.8', (_at(), _at(skew=0.7)), greater(), **STEPS),
    Claim('not_too_much', 'As k^-1 less is known at the end than uniformly',
          ZUCCHET, 'best exponent falls', (_at(), _at(skew=1.0)), greater(),
          'known'),
    Claim('quarter', 'A quarter of the people first: more is known at the end',
          ZUCCHET, 'better', (_at('a quarter first'), _at()),
          greater(), 'known', headline=True),
    Claim('batch', 'Twice the batch: the plateau is over after at least 0.8 of '
          'the steps', *OURS, (_at('batch of 128'), _at()), ratio_between(0.8),
          **STEPS))
