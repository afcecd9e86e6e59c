"""Should the best data come last, and with which learning rate?

Luo et al. (arXiv 2511.18903), 1.5B parameters: data in ascending order of
quality beat shuffled data at a constant learning rate; with decay the gain is
gone, since late data then count less; a mean of the last checkpoints in place
of decay keeps it. Llama 3, OLMo 2: a small good source pays late, with decay.

2,000 people, one value of 32 each, read 26 times in a clean source and 26 times
in one with 80 % incorrect values; the true one is the most frequent in both, so
that an ideal reader gets 100 % in any order. Ascending: dirty first. A decay to
0 also halves the sum of the rates: one arm has twice the peak. Part `domain`:
200 other people, 3 % of the entries, spread or all in the last tenth (30 %).

  python -m physics_lm.launch experiments/quality_late.py --scale=cpu
  python -m physics_lm.report experiments/quality_late.py --scale=cpu

Predicted (seed 7, not reported, of some arms), %: constant 96 ascending, 80
shuffled, 20 descending, means 98, 88, 30; twice the peak 65, 49, 40: as much
gained at an equal sum; same peak 40, 45, 40. Domain 92, late 99; decay 99, 99.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

ORDERS = ('ascending', 'shuffled', 'descending')
SCHEDULES = {  # optim.schedule, peak
    'constant': ('constant', 3e-3), 'to 0, twice the peak': ('linear', 6e-3),
    'to 0': ('linear', 3e-3), 'to 0 in the last fifth': ('wsd', 3e-3)}
DOMAIN = {'spread': (0.03, 0.0), 'last tenth': (0.3, 0.9)}  # share, from when
DECAYS = ('constant', 'to 0 in the last fifth')
SCALES = {
    'smoke': dict(orders=ORDERS[:2], schedules=DECAYS[:1], seeds=1, steps=20,
                  common=scales.SMOKE_LOG | {'checkpoint.every': 4}),
    'cpu': dict(orders=ORDERS, schedules=SCHEDULES, seeds=5, steps=800,
                common={}),
    'gpu': dict(orders=ORDERS, schedules=SCHEDULES, seeds=9, steps=800,
                common={'model.width': 256})}


def runs(scale: str) -> list[Run]:
  """Every (order, schedule, seed), and of the domain (when, schedule, seed)."""
  s, out = pick(SCALES, scale), []
  for seed in range(s['seeds']):
    for name in s['schedules']:
      arms = [('order', o, _order(o, s['steps'])) for o in s['orders']]
      if name in DECAYS:
        arms += [('domain', w, _domain(w, s['steps'])) for w in DOMAIN]
      optim = dict(zip(('schedule', 'learning_rate'), SCHEDULES[name]))
      keys = s['common'] | {'steps': s['steps']} | scales.seeds(seed) | {
          f'optim.{k}': v for k, v in optim.items()}
      out += [Run('configs/biod.py:quality', keys | data, dict(
          part=part, arm=arm, schedule=name, seed=seed))
              for part, arm, data in arms]
  return out


def _order(order: str, steps: int) -> dict:
  """Overrides: windows of both sources."""
  first, then = ('clean', 'dirty')[::-1 if order == 'ascending' else 1]
  return {} if order == 'shuffled' else {
      f'data.tasks.{first}.until': steps // 2,
      f'data.tasks.{then}.since': steps // 2}


def _domain(when: str, steps: int) -> dict:
  """Overrides: the domain among clean entries."""
  share, since = DOMAIN[when]
  return {'data.tasks.clean.weight': 1 - share, 'data.tasks.dirty.weight': 0.0,
          'data.tasks.rare.weight': share} | (
              {'data.tasks.rare.since': round(since * steps)} if since else {})


def table(records):
  """A row a run and parameters (last, or mean over the last four checkpoints):
  accuracy, percent of true values; in part 'domain' of its people. `gain`: over
  shuffled, or spread, with the same schedule, parameters and seed."""
  parts = []
  for name in ('last', 'mean'):
    every, rare = (results.wide(records, e, ('accuracy',), where={
        'rank': 1}, percent=True).assign(parameters=name)
                   for e in (name, f'rare_{name}'))
    parts += [every[every.part == 'order'], rare[rare.part == 'domain']]
  df = results.below(*parts)
  keys = ['part', 'schedule', 'parameters', 'seed']
  usual = df[df.arm.isin(('shuffled', 'spread'))].set_index(keys).accuracy
  df['gain'] = df.accuracy - usual.reindex(
      df[keys].itertuples(index=False, name=None)).to_numpy()
  return df


def summary(df):
  """Means by arm."""
  return results.summarise(df, ['part', 'arm', 'schedule', 'parameters'],
                           ['accuracy', 'gain'])


def figure(df):
  """Accuracy by schedule and order, of both parameters; of the domain."""
  s = summary(df)
  fig, (axes,) = figures.grid(3, width=4.4, height=3.6, sharey=True)
  names = {k: k.replace(', ', ',\n').replace(' in', '\nin') for k in SCHEDULES}
  for ax, part, parameters, arms, heading in (
      (axes[0], 'order', 'last', ORDERS, 'Order: last parameters'),
      (axes[1], 'order', 'mean', ORDERS, 'Order: mean of four checkpoints'),
      (axes[2], 'domain', 'last', DOMAIN, 'A domain, 3 % of the entries')):
    rows = s[s.part.eq(part) & s.parameters.eq(parameters)]
    figures.grouped_bars(ax, rows, 'schedule', 'arm', 'accuracy', {
        k: v for k, v in names.items() if k in set(rows.schedule)},
                         {a: a for a in arms})
    figures.percent_axis(ax, 135)  # the legend above
    figures.labels(ax, 'learning rate', '', heading)
    figures.legend(ax, loc='upper left', ncols=3)
  axes[0].set_ylabel('true values predicted, %', fontsize=9)
  figures.finish(fig, 'Order of clean and dirty data, and learning rate',
                 f'{figures.seeds_note(s)};  ascending: the dirty source first')
  return fig


def _at(arm: str, schedule: str = 'constant', parameters: str = 'last') -> dict:
  return dict(arm=arm, schedule=schedule, parameters=parameters)


LUO, OURS = 'Luo et al. 2025', ('ours', '—')
EQUAL_SUM, LESS, FIFTH = 'to 0, twice the peak', 'to 0', DECAYS[1]
CLAIMS = (
    Claim('ascending', 'Constant rate: ascending order beats shuffled', LUO,
          'better', (_at('ascending'), _at('shuffled')), greater()),
    Claim('less_with_decay', 'With decay, at an equal sum, it gains less', LUO,
          'less', (_at('ascending'), _at('ascending', EQUAL_SUM)), greater(),
          'gain'),
    Claim('reversed', 'Decay from the same peak: shuffled beats ascending',
          *OURS, (_at('shuffled', LESS), _at('ascending', LESS)), greater()),
    Claim('mean_helps', 'Constant rate, shuffled: the mean beats the last', LUO,
          'better', (_at('shuffled', parameters='mean'), _at('shuffled')),
          greater()),
    Claim('mean_for_decay', 'Ascending and a mean beat shuffled and decay', LUO,
          '+1.64 points', (_at('ascending', parameters='mean'),
                           _at('shuffled', FIFTH)), greater()),
    Claim('domain_late', 'Constant rate: late, the domain is known better',
          'Llama 3, OLMo 2', 'better', (_at('last tenth'), _at('spread')),
          greater()),
    Claim('domain_control', 'With decay in the last fifth that gain is smaller',
          *OURS, (_at('last tenth'), _at('last tenth', FIFTH)), greater(),
          'gain'),
    Claim('decay_alone', 'Decay alone: a spread domain is known better',
          'OLMo 2, table 11', '69.6 to 74.0 on other tests', (
              _at('spread', FIFTH), _at('spread')), greater()),
)
