"""What does continued pretraining on other text cost, and what saves it?

Ibrahim et al. (arXiv 2403.08763), 405M parameters, English, then German with
replay 0, 1, 5, 10, 25, 50 %: loss on English 3.56, 2.83, 2.57, 2.46, 2.33, 2.24
(before: 2.17), on German 1.11 to 1.13 and 1.16, 1.22. A lower second peak rate:
less is forgotten, less learnt. Warming up again on the same text harms.

Two grammars A and B over the same symbols; kl and next_kl are the excess losses
on A and B. 4.1M tokens of A, then 1M of B and replayed A. With a tag, texts of
B begin with a symbol of their own. Or attention alone, or the MLP, learns B.

  python -m physics_lm.launch experiments/replay_and_rewarming.py --scale=cpu
  python -m physics_lm.report experiments/replay_and_rewarming.py --scale=cpu

Predicted, kl after replay of 0, 1, 5, 25 %: marked 2.3, 0.5, 0.3, 0.2, not 2.3,
1.4, 0.8, 0.25 (before B: 0.15); next_kl within 0.02; a tenth of the peak: 1.4;
A alone rises by less than 0.01.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, equal, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

SHARES = (0.0, 0.01, 0.05, 0.25, 0.5)  # of rows that are A's
PEAKS = (0.1, 0.3, 1.0, 2.0)  # of the first learning rate
NAMES = {'none': 'texts of B without a tag', 'tag': 'texts of B with a tag'}
FEW = {part: {'adapter.kind': 'whole', 'adapter.embedding_rank': 0,
              'adapter.target_modules': modules} for part, modules in (
                  ('attention', 'query,key,value,out'), ('mlp', 'up,down'))}
RECIPE = 'configs/grammar.py:continued'
SCALES = {
    'smoke': dict(steps=(8, 8), width=16, seeds=1, shares=(0.0, 0.25),
                  peaks=(1.0,), common=scales.SMOKE_LOG | {
                      'evals.law.num_problems': 8,
                      'evals.next_law.num_problems': 8}),
    'cpu': dict(steps=(6100, 1500), width=32, seeds=5, shares=SHARES,
                peaks=PEAKS, common={}),
    'gpu': dict(steps=(20_000, 5000), width=256, seeds=3, shares=SHARES,
                peaks=PEAKS, common=scales.GRAMMAR_GPU)}
POINT = ['stage', 'tag', 'replay', 'peak', 'trained']
NATS, LOSSES = dict(unit='nats/token'), {'kl': 'A', 'next_kl': 'B'}


def runs(scale: str) -> list[Run]:
  """Of each seed, and with and without the tag: A, then every continuation."""
  s, out = pick(SCALES, scale), []
  first, second = s['steps']
  common = scales.CONTINUED | {'model.width': s['width'], 'log.every': 500
                               } | s['common']
  rate = common['optim.learning_rate']
  for seed in range(s['seeds']):
    for tag in NAMES:
      marks = {} if tag == 'none' else scales.MARKED
      seeded = common | marks | scales.seeds(seed)
      base = Run(RECIPE, seeded | scales.replayed(1.0) | {'steps': first}, dict(
          zip(POINT, ('A', tag, 1.0, 1.0, 'all'))) | {'seed': seed})
      points = [(r, 1.0, 'all') for r in s['shares']]
      if tag == 'none':
        points += [(0.0, p, 'all') for p in s['peaks'] if p != 1.0]
        points += [(1.0, 1.0, 'all'), *((0.0, 1.0, p) for p in FEW)]
      out += [base, *(Run(
          RECIPE, seeded | scales.replayed(replay) | FEW.get(part, {}) | {
              'steps': second, 'optim.learning_rate': peak * rate,
              'seed.data': seed + 100},
          dict(zip(POINT, ('B', tag, replay, peak, part))) | {'seed': seed},
          init_from=base) for replay, peak, part in points)]
  return out


def table(records):
  """A row a run; `forgot`: kl less that before B; `recovered`: percent of what
  is forgotten without replay, at the same peak, that replay takes back."""
  df = results.wide(records, 'law', ('kl', 'accuracy'))
  df = results.beside(df, results.wide(records, 'next_law', {
      'next_kl': 'kl'}), 'next_kl')
  before = df[df.stage == 'A'].set_index(['seed', 'tag']).kl
  df['forgot'] = df.kl - before.reindex(zip(df.seed, df.tag)).to_numpy()
  none = df[(df.stage == 'B') & (df.replay == 0) & (df.trained == 'all')]
  none = none.set_index(['seed', 'tag', 'peak']).forgot
  df['recovered'] = 100 * (1 - df.forgot / none.reindex(
      zip(df.seed, df.tag, df.peak)).to_numpy())
  return df


def summary(df):
  """Means by arm."""
  return results.summarise(df, POINT, ['kl', 'next_kl', 'forgot', 'recovered'])


def figure(df):
  """A's and B's excess loss against the share of replay; by peak; by part."""
  s = summary(df[df.stage == 'B'])
  usual = s[(s.peak == 1) & (s.trained == 'all') & (s.replay < 1)]
  before = summary(df[df.stage == 'A']).kl_mean.mean()
  fig, axes = figures.grid(3, width=3.4, height=3.3)
  for ax, (y, name) in zip(axes[0], LOSSES.items()):
    figures.curves(ax, usual.assign(percent=100 * usual.replay), 'percent',
                   'tag', y, NAMES)
    ax.set_xscale('symlog', linthresh=1)
    ax.set_xticks([100 * r for r in SHARES], [f'{100 * r:g}' for r in SHARES])
    figures.labels(ax, 'replay of A, % of rows', 'excess loss, nats/token',
                   f'Loss on {name} after training on B')
  figures.level(axes[0][0], before, 'before B')
  figures.legend(axes[0][0])
  ax = axes[0][2]
  few = s[(s.tag == 'none') & (s.replay == 0) & (s.trained == 'all')]
  for k, (y, name) in enumerate(LOSSES.items(), 2):
    figures.curves(ax, few.assign(on=f'loss on {name}'), 'peak', 'on', y,
                   color=figures.COLOURS[k])
  ax.set(xscale='log', yscale='log')
  figures.plain_ticks(ax), figures.legend(ax)
  figures.labels(ax, 'second peak rate / first', 'excess loss, nats/token',
                 'Without replay, without a tag')
  figures.finish(fig, 'Excess loss after pretraining on grammar A, then on B',
                 f'{figures.seeds_note(s)};  A: 4.1M tokens, then B: 1M')
  return fig


def _at(replay: float = 0.0, tag: str = 'none', peak: float = 1.0,
        stage: str = 'B', trained: str = 'all') -> dict:
  return dict(stage=stage, tag=tag, replay=replay, peak=peak, trained=trained)


IBRAHIM = 'Ibrahim et al. 2024, table 2'
CLAIMS = (
    Claim('replay_marked', '1 % of replay takes back at least 50 % of the '
          'forgetting where texts of the second grammar (B) carry a tag',
          IBRAHIM, '53 %', (_at(.01, 'tag'),), at_least(50), 'recovered',
          unit='%', headline=True),
    Claim('replay_unmarked', 'Where B has no tag, 1 % takes back less',
          'ours', '—', (_at(.01, 'tag'), _at(.01)), greater(),
          'recovered', unit='%'),
    Claim('replay_costs_nothing', '5 % of replay changes the loss on B by less '
          'than 0.05 nats', IBRAHIM, '0.01', (_at(.05, 'tag'), _at(0., 'tag')),
          equal(.05), 'next_kl', **NATS),
    Claim('lower_peak_forgets_less', 'A tenth of the peak forgets less',
          IBRAHIM, 'less', (_at(), _at(peak=.1)), greater(), 'forgot', **NATS),
    Claim('lower_peak_learns_less', 'A tenth of the peak learns less of B',
          IBRAHIM, 'less', (_at(peak=.1), _at()), greater(), 'next_kl', **NATS),
    Claim('rewarming_harms', 'Warming up again on A alone raises its loss',
          IBRAHIM, '+0.1 nats', (_at(1.0), _at(1.0, stage='A')), greater(),
          'kl', **NATS),
    *(Claim(f'frozen_{part}', f'To train {name} alone forgets less', 'ours',
            '—', (_at(), _at(trained=part)), greater(), 'forgot',
            post_hoc=True, **NATS) for part, name in (
                ('attention', 'attention'), ('mlp', 'the MLP'))),
    Claim('frozen_learns', 'Attention alone learns less of B', 'ours',
          '—', (_at(trained='attention'), _at()), greater(),
          'next_kl', post_hoc=True, **NATS))
