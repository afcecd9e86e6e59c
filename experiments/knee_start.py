"""Should continued pretraining start before the learning rate has decayed?

A model whose learning rate has decayed is warmed up again to learn other text,
and forgets by it (Gupta et al., arXiv 2308.04014; Ibrahim et al., arXiv
2403.08763). A trapezoidal schedule offers another start: its knee, where the
rate has not fallen yet.

Grammar A at a constant rate for 3,200 steps (2.2M tokens, the trunk); a decay
over 800 more makes the usual checkpoint. Then 1,000 steps (0.7M tokens) of B,
without A or with 5 % of it: from the decayed checkpoint, from the knee (a fifth
fewer tokens of A), and from the knee with the optimizer's state. The learning
rate falls linearly over B, after 100 steps of warm-up where the state is new.

  python -m physics_lm.launch experiments/knee_start.py --scale=cpu
  python -m physics_lm.report experiments/knee_start.py --scale=cpu

Predicted: the loss on B is equal within 0.02 nats for all starts; with 5 % of A
the loss on A is 0.05 higher from the knee.
"""

import functools

from physics_lm import figures, results
from physics_lm.claims import Claim, equal, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

STARTS = {'end': 'after the decay', 'knee': 'knee',
          'state': "knee, with the\noptimizer's state"}
REPLAY = {0.0: 'B alone', 0.05: 'B and 5 % of A'}
SCALES = {
    'smoke': dict(steps=(8, 10, 4), seeds=1, replay=(0.05,), width=16,
                  common=scales.SMOKE_LOG | {
                      'evals.law.num_problems': 8,
                      'evals.next_law.num_problems': 8}),
    'cpu': dict(steps=(3200, 4000, 1000), seeds=5, replay=tuple(REPLAY),
                width=32, common={'log.every': 400,
                                  'runtime.max_vmapped_runs': 5}),
    'gpu': dict(steps=(16_000, 20_000, 5000), seeds=5, replay=tuple(REPLAY),
                width=256, common=scales.GRAMMAR_GPU)}
POINT = ['stage', 'start', 'replay']
A, B = 'data.tasks.strings.', 'data.tasks.next_strings.'


def _run(s, seed, stage, start, replay, changes, **parents) -> Run:
  return Run('configs/grammar.py:continued', scales.CONTINUED | {
      'model.width': s['width']} | s['common'] | scales.seeds(seed) | changes,
             dict(zip(POINT, (stage, start, replay))) | {'seed': seed},
             **parents)


def runs(scale: str) -> list[Run]:
  """Of each seed the trunk, the decayed model, and B from every start."""
  s, out = pick(SCALES, scale), []
  knee, end, more = s['steps']
  for seed in range(s['seeds']):
    run = functools.partial(_run, s, seed)
    trunk = run('A', 'knee', 1.0, _windows(10**6, 0.05) | {
        'steps': knee, 'optim.schedule': 'constant'})
    decayed = run('A', 'end', 1.0, _windows(10**6, 0.05) | _decay(knee, end),
                  trunk=trunk)
    out += [trunk, decayed]
    for replay in s['replay']:
      out += [run('B', start, replay, scales.continuation(more, replay, seed),
                  init_from=parent)
              for start, parent in (('end', decayed), ('knee', trunk))]
      out.append(run('B', 'state', replay, _windows(knee, replay) | _decay(
          knee, knee + more), trunk=trunk))
  return out


def _windows(since: int, replay: float) -> dict:
  """A, and B from a step on, beside the share of A that stays."""
  return {A + 'weight': 0.05, B + 'weight': 0.95, B + 'since': since} | (
      {} if replay else {A + 'until': since})


def _decay(knee: int, steps: int) -> dict:
  return {'steps': steps, 'optim.schedule': 'wsd',
          'optim.decay_fraction': (steps - knee) / steps}


def table(records):
  """A row a run: kl and next_kl, excess losses on A and B, nats per token."""
  return results.beside(results.wide(records, 'law', ('kl',)), results.wide(
      records, 'next_law', {'next_kl': 'kl'}), 'next_kl')


def summary(df):
  """Means by stage, start and share of A."""
  return results.summarise(df, POINT, ['kl', 'next_kl'])


def figure(df):
  """The excess losses on A and B after B, by start."""
  s = summary(df[df.stage == 'B'])
  fig, (axes,) = figures.grid(2, width=4.4, height=3.2)
  for ax, column, of in ((axes[0], 'kl', 'A'), (axes[1], 'next_kl', 'B')):
    figures.grouped_bars(ax, s, 'start', 'replay', column, STARTS, REPLAY,
                         digits=2)
    figures.labels(ax, 'B starts from', 'excess loss, nats per token',
                   f'Loss on {of} after B')
  before = df[df.stage.eq('A') & df.start.eq('end')].kl.mean()
  figures.level(axes[0], before, 'before')
  axes[1].set_ylim(0, 0.4)
  figures.legend(axes[1], loc='upper right')
  figures.finish(fig, 'Where to start continued pretraining',
                 f'{figures.seeds_note(s)};  grammar A: 2.7M tokens, to the '
                 'knee 2.2M; then B: 0.7M')
  return fig


def _at(start: str, replay: float = 0.05) -> dict:
  return {'stage': 'B', 'start': start, 'replay': replay}


NATS = 'nats/token'
CLAIMS = (
    Claim('knee_learns', 'From the knee, B beside 5 % of A is learnt better '
          'than after the decay', 'ours', '—', (
              _at('end'), _at('knee')), greater(), 'next_kl', unit=NATS),
    Claim('knee_equal', 'The losses on B differ by at most 0.02 nats', 'ours',
          '—', (_at('knee'), _at('end')), equal(0.02), 'next_kl',
          unit=NATS, headline=True),
    Claim('knee_forgets', 'From the knee the loss on A is higher after B',
          'ours', '—', (_at('knee'), _at('end')), greater(),
          'kl', unit=NATS),
    Claim('knee_keeps', 'The losses on A differ by at most 0.05 nats', 'ours',
          '—', (_at('knee'), _at('end')), equal(0.05), 'kl',
          unit=NATS, post_hoc=True),
    Claim('state', "Keeping the optimizer's state changes the loss on B by at "
          'most 0.02 nats', 'ours', '—', (
              _at('state'), _at('knee')), equal(0.02), 'next_kl', unit=NATS))
