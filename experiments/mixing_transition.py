"""How often must a fact occur in a mixture for a model to learn it at all?

Gu et al. (arXiv 2505.18091): beside web text, biographies are not learnt at all
below a share of the data, and mostly above: capacity goes where it lowers the
loss most. If the loss of the other text falls as M^-a in the size, the share at
the threshold falls as M^-(1 + a): measured 1.15, expected 1.28. Of fewer people
at the same share more is known in all.

Here the other text, the body, is bioD, 8,192 people as often as k^-(1 + a). 5 %
of the entries are about 60 groups of 4 people, group j as often as j^-1.5. The
threshold: share of all entries about a person of whose values half is known.

  python -m physics_lm.launch experiments/mixing_transition.py --scale=cpu
  python -m physics_lm.report experiments/mixing_transition.py --scale=cpu

One core-hour. Predicted (seed 7, not reported: a = 0.5, width 16, 32: 6.2 and
1.4 in 10,000): exponents -1.2 and -1.35 for a = 0.25 and 0.5, groups as the
body; twice the entries: 0.8 of the threshold; without the people of half the
threshold or less: 0.95; 1 % of the entries on 64 or 16 people: 3 or 50 % of
their bits. Deviations: half a million entries, not to convergence.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, at_most, between, greater, ratio_between
from physics_lm.configs import biod, scales
from physics_lm.sweep import Run, pick
from physics_lm.worlds.zipf import ZipfLaw

ONE = (16, 0.5)  # width and law of the other arms
SCALES = {  # `kept`: people of a body without a tail; `few`: of the groups
    'smoke': dict(widths=(16,), laws=(0.5,), kept=100, few=(8,), seeds=1,
                  steps=4, body=200),
    'cpu': dict(widths=(12, 16, 32), laws=(0.25, 0.5), kept=115, few=(64, 16),
                seeds=3, steps=4000, body=8192),
    'gpu': dict(widths=(16, 24, 32, 48, 64), laws=(0.25, 0.5, 1.0), kept=115,
                few=(64, 16), seeds=3, steps=16_000, body=32_768)}
POINT = ['arm', 'width', 'a', 'people', 'body_weight', 'groups_weight']
GROUPS = biod.GROUPS * biod.GROUP_SIZE  # people


def runs(scale: str) -> list[Run]:
  """Every (arm, width, a, people of the groups, seed)."""
  s = pick(SCALES, scale)
  # A body without its tail has so much of its weight, and all rows are fewer.
  left = 0.95 * (1 - ZipfLaw(s['body'], ONE[1]).beyond(s['kept']))
  points = [('size', w, ONE[1], GROUPS, 0.95, 0.05) for w in s['widths']]
  points += [('few people', *ONE, n, 0.99, 0.01) for n in s['few']]
  points += [('size', w, a, GROUPS, 0.95, 0.05) for a in s['laws']
             for w in s['widths'] if a != ONE[1]]
  points += [('no tail', *ONE, GROUPS, left, 0.05),
             ('twice the entries', *ONE, GROUPS, 0.95, 0.05)]
  return [_run(s, p, seed) for p in points for seed in range(s['seeds'])]


def _run(s: dict, point: tuple, seed: int) -> Run:
  arm, width, a, people, *weights = point
  changes = biod.mixing_run(
      width, a, s['kept' if arm == 'no tail' else 'body'], people,
      arm != 'few people', weights,
      round(s['steps'] * sum(weights) * (2 if arm.startswith('twice') else 1)))
  return Run('configs/biod.py:mixing', changes | scales.seeds(seed),
             dict(zip(POINT, point)) | {'seed': seed})


def table(records):
  """A row a run, set and band of ranks (results.known_by_frequency)."""
  return results.known_by_frequency(records, ('body', 'groups'))


def measures(df):
  """{'<set> <a>': the threshold's exponent in parameters, between sizes}."""
  ends = df[df.arm.eq('size') & df['rank'].eq(1) & (df.threshold > 0)]
  return {f'{name} {a}': claims.exponent_over_seeds(
      r.parameters, r.threshold, r.seed) for (name, a), r in ends.groupby(
          ['set', 'a']) if min(r.width.nunique(), r.seed.nunique()) > 2}


def summary(df):
  """Thresholds by arm and set; of few people, what is known."""
  return results.summarise(df[df['rank'].eq(1)], [
      *POINT[:4], 'set', 'parameters'], ['threshold', 'range', 'known',
                                         'known_people'])


def figure(df):
  """Known bits by frequency; the threshold by size; few people."""
  fig, (axes,) = figures.grid(3, width=3.7, height=3.5)
  size, s = df[df.arm.eq('size') & df.a.eq(ONE[1])], summary(df)
  bands = results.summarise(size, ['set', 'rank', 'frequency', 'parameters'],
                            ['known'])
  s['set, 1 + a'] = [f'{name}, {1 + a:g}' for name, a in zip(s.set, s.a)]
  for name, style in (('body', '-'), ('groups', ':')):
    figures.curves(axes[0], bands[bands.set.eq(name)], 'frequency',
                   'parameters', 'known', linestyle=style, markersize=2)
    figures.curves(axes[1], s[s.set.eq(name) & s.arm.eq('size')], 'parameters',
                   'set, 1 + a', 'threshold', linestyle=style)
  axes[0].set(xscale='log', xlim=(1e-5, 1e-2)), figures.percent_axis(axes[0])
  figures.legend(axes[0], title='parameters', handles=[
      line for line in axes[0].lines if line.get_linestyle() == '-'])
  figures.labels(axes[0], 'share of entries about a person', 'bits known, %',
                 f'What is known, 1 + a = {1 + ONE[1]}')
  axes[1].set(xscale='log', yscale='log'), figures.plain_ticks(axes[1])
  figures.legend(axes[1], title='people, 1 + a')
  figures.labels(axes[1], 'parameters', 'share at 50 % known', 'Threshold')
  few = s[s.set.eq('groups') & s.arm.eq('few people')].sort_values('people')
  figures.bars(axes[2], few, 'known_people', [
      f'{n} ({k:.0f} %)' for n, k in zip(few.people, few.known_mean)], digits=1)
  figures.labels(axes[2], 'people with 1 % of all entries (bits known)',
                 "people's worth of bits known", 'Total knowledge')
  figures.finish(fig, 'Facts in a mixture are learnt above a frequency',
                 f'{figures.seeds_note(s)};  body (solid): 8,192 people,\nthe '
                 'k-th as often as k^-(1 + a);  dotted: 60 groups of 4 people')
  return fig


def _at(name: str, arm: str = 'size', **more) -> dict:
  return {'set': name, 'arm': arm, 'a': ONE[1]} | more


GU, OURS = 'Gu et al. 2025', ('ours', '—')
TIMES = dict(column='threshold', unit='')
FEW = tuple(_at('groups', 'few people', people=n) for n in (16, 64))
BASE, SLOPES = _at('body', width=ONE[0]), '-1.15 where -1.28 is expected'
CLAIMS = (
    Claim('exponent_0.25', 'Groups, a 0.25: threshold ~ size^-1.25 ± 0.25', GU,
          SLOPES, ({'measure': 'groups 0.25'},), between(-1.5, -1), unit='',
          decided_by='6 seeds: an hour of a core'),
    Claim('exponent_0.5', 'Groups, a 0.5: threshold ~ size^-1.5 ± 0.25', GU,
          SLOPES, ({'measure': 'groups 0.5'},), between(-1.75, -1.25), unit=''),
    Claim('steeper', 'Body: threshold falls faster than 1 / size', GU, '-1.15',
          tuple(({'measure': f'body {a}'},) for a in (0.25, 0.5)), at_most(-1),
          unit='', headline=True),
    Claim('one_threshold', 'Groups have the threshold of the body within 25 %',
          *OURS, tuple((_at('groups', width=w), _at('body', width=w)) for w in
                       (12, 16, 32)), ratio_between(.75, 1.25), **TIMES),
    Claim('sharp', '80 and 20 % known are a factor of at most 3 apart', GU,
          'a transition', (_at('body'),), at_most(3), 'range', unit='x'),
    Claim('tokens', 'Twice the entries: threshold at least 0.7 of what it was',
          GU, 'unchanged', (_at('body', 'twice the entries'), BASE),
          ratio_between(0.7), **TIMES),
    Claim('tail', 'Without people of less than 0.5 of the threshold: threshold '
          'at least 0.85 of what it was', *OURS, (
              _at('groups', 'no tail'), _at('groups', width=ONE[0])),
          ratio_between(0.85), post_hoc=True, **TIMES),
    Claim('below', '1 % of the entries on 64 people: at most 10 % known', GU,
          'near 0', (FEW[1],), at_most(10), 'known', control=(FEW[0],)),
    Claim('fewer_people', '1 % of the entries: knowledge summed over 16 people '
          'exceeds that over 64', GU, '0; of 25 % of the people 23.5 %', FEW,
          greater(), 'known_people', unit='people', headline=True))
