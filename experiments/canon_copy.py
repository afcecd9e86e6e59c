"""Do Canon layers let one layer copy, and how soon?

Part 4.1 (Allen-Zhu, arXiv 2512.17351), figures 5 and 18: to repeat 500
different tokens, one layer of width 16 with Canon layers needs 1,500 steps,
also with fixed random weights; without, width 64 fails, and two layers learn.
Here 16 to 32 of 32 symbols (a length that varies: at a fixed one a rotary layer
copies by distance alone) in one layer of width 16, two heads.

`steps`: the first evaluation with at least 90 % of the copied tokens correct;
`solved`: whether there is one; `parameters matched`: to ABCD, by a wider MLP.

  python -m physics_lm.launch experiments/canon_copy.py --scale=cpu
  python -m physics_lm.report experiments/canon_copy.py --scale=cpu

Measured, `cpu`: 140 runs, 46 minutes of one busy core; rates: LOG 103.
Predicted (an earlier program, three rates, seeds 0 and 1): one layer never
above 30 %, nor of width 32; A, B, ABCD 7 or 8 of 8 seeds in 180 to 460 steps;
fixed weights most seeds, but after 1,000; two layers 6 of 8 in 270 to 410. Of
NoPE A in 220 to 380, two layers without Canon never. Eight seeds left shares
open (A 6, fixed 6, NoPE A 7 of 8): twelve more, predicted alike.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, at_most, greater, ratio_between
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

FIXED = {'model.canon': 'abcd', 'model.canon_fixed': True}
NOPE = {'model.rope_fraction': 0.0}
ARMS = {  # {arm: overrides}
    'no Canon': {}, 'A': {'model.canon': 'a'}, 'B': {'model.canon': 'b'},
    'ABCD': {'model.canon': 'abcd'}, 'ABCD, fixed': FIXED,
    'two layers': {'model.depth': 2}, 'NoPE, A': NOPE | {'model.canon': 'a'},
    'NoPE, two layers': NOPE | {'model.depth': 2},
    'parameters matched': {'model.mlp_ratio': 5.125},
    'width 32': {'model.width': 32}}
MORE = ('A', 'B', 'ABCD, fixed', 'two layers', 'NoPE, A')  # 12 seeds more
SCALES = {
    'smoke': dict(arms=('no Canon', 'B'), rates=(2e-2,), seeds=1,
                  common=scales.SMOKE_LOG | {
                      'steps': 4, 'evals.copy.every': 2,
                      'evals.copy.num_problems': 8, 'data.batch_size': 4}),
    'cpu': dict(arms=tuple(ARMS), rates=(2e-2,), seeds=8, more=MORE, common={
        'steps': 1500, 'evals.copy.every': 25, 'evals.copy.num_problems': 64,
        'log.every': 500, 'runtime.max_vmapped_runs': 8}),
    'paper': dict(arms=tuple(ARMS), rates=(5e-4, 1e-3, 2e-3, 5e-3), seeds=1,
                  common={
        'steps': 50_000, 'data.seq_len': 1002, 'worlds.copy.symbols': 500,
        'worlds.copy.min_length': 500, 'worlds.copy.max_length': 500,
        'optim.weight_decay': 0.03, 'optim.warmup_steps': 1000,
        'evals.copy.every': 500, 'log.every': 500}),
}


def runs(scale: str) -> list[Run]:
  """Every (arm, rate, seed)."""
  s = pick(SCALES, scale)
  return [Run('configs/recall.py', ARMS[arm] | s['common'] | {
      'optim.learning_rate': rate, 'checkpoint.every': s['common']['steps']}
              | scales.seeds(seed + 1),
              {'arm': arm, 'learning_rate': rate, 'seed': seed + 1})
          for arm in s['arms'] for rate in s['rates'] for seed in range(
              s['seeds'] + (12 if arm in s.get('more', ()) else 0))]


def table(records):
  """A row a run and evaluation; `last` marks the end, where also stand: solved
  (100 or 0 %) and steps to 90 %. A seed is one item."""
  df = results.during_training(records, 'copy', {'accuracy': 'accuracy'})
  df['accuracy'], df['n_items'] = 100 * df.accuracy, 1
  first = df[df.accuracy >= 90].groupby('run').step.min()
  df['last'] = df.step == df.groupby('run').step.transform('max')
  df['steps'] = df.run.map(first).where(df['last'])
  df['solved'] = (100.0 * df.run.isin(first.index)).where(df['last'])
  return df


def summary(df):
  """Means at the end, by arm."""
  return results.summarise(df[df['last']], ['arm', 'learning_rate'],
                           ['accuracy', 'solved', 'steps'])


def figure(df):
  """Accuracy by step, a line a seed; steps of the seeds that are solved."""
  fig, (axes,) = figures.grid(3, width=4, height=3.9)
  names = [a for a in ARMS if a in set(df.arm)]
  colours = {a: figures.COLOURS[tuple(ARMS).index(a.removeprefix('NoPE, ')) % 6]
             for a in names}
  panels = (('Rotary positions', [a for a in tuple(ARMS)[:6] if a in names]),
            ('No positions (NoPE)', [a for a in names if 'NoPE' in a]))
  for ax, (heading, arms) in zip(axes, panels):
    for arm in arms:
      for i, (_, run) in enumerate(df[df.arm == arm].groupby('run')):
        ax.plot(run.step, run.accuracy, color=colours[arm], linewidth=0.9,
                label=None if i else arm)
    figures.percent_axis(ax)
    figures.labels(ax, 'step', 'tokens copied correctly, %', heading)
    figures.legend(ax, loc='upper center', bbox_to_anchor=(0.5, -0.17), ncols=3)
  for i, arm in enumerate(names):
    rows = df[(df.arm == arm) & df['last']]
    axes[2].plot(rows.steps, [i] * len(rows), 'o', alpha=0.6,
                 color=colours[arm], markersize=5, clip_on=False)
    axes[2].annotate(f'{int(rows.solved.sum()) // 100}/{len(rows)}', (1, i),
                     xycoords=('axes fraction', 'data'), fontsize=8,
                     va='center', ha='right')
  figures.row_names(axes[2], names)
  axes[2].set_xlim(0, 1.25 * df.step.max())
  figures.labels(axes[2], 'steps to 90 %', '', 'Seeds that learn to copy')
  figures.finish(fig, 'Copying 16 to 32 different tokens, width 16', (
      'a line, a point: a seed;  one layer unless stated;  Canon: A before '
      'attention, B on queries, keys, values, C before the MLP, D in it\n'
      'fixed: random Canon weights, not trained;  parameters matched: the '
      'number of ABCD, by a wider MLP'))
  return fig


def _cell(*arms: str) -> tuple:
  return tuple({'arm': arm, 'last': True} for arm in arms)


SOLVED, STEPS = dict(column='solved'), dict(column='steps', unit='steps')
COPY, BOTH = 'Part 4.1, figure 5', 'Part 4.1, figures 5 and 18'
CLAIMS = (
    Claim('canon_copies', 'One layer with Canon at A, at B or at all sites '
          'copies in more than 50 % of the seeds', COPY, '100 %',
          tuple((c,) for c in _cell('A', 'B', 'ABCD')), at_least(50), **SOLVED),
    Claim('b_copies', 'One layer with Canon at B or at all sites copies in '
          'more than 50 % of the seeds', COPY, '100 %', tuple(
              (c,) for c in _cell('B', 'ABCD')), at_least(50), post_hoc=True,
          headline=True, **SOLVED),
    Claim('no_canon_fails', 'One layer without Canon stays at or below 50 %, '
          'with matched parameters and with width 32 too', COPY, '0 %',
          tuple((c,) for c in _cell('no Canon', 'parameters matched',
                                    'width 32')), at_most(50)),
    Claim('fixed_copies', 'With fixed random weights more than 50 % of seeds '
          'copy', BOTH, '100 %', _cell('ABCD, fixed'), at_least(50), **SOLVED),
    Claim('fixed_is_slower', 'Fixed weights need more steps than trained ones',
          'ours', '—', _cell('ABCD, fixed', 'ABCD'), greater(),
          **STEPS),
    Claim('as_fast_as_two_layers', 'Canon at B in one layer needs no more '
          'steps than two layers without', 'ours', '—',
          _cell('B', 'two layers'), ratio_between(high=1.0), **STEPS),
    Claim('nope_with_canon', 'Without positions, Canon at A copies in more '
          'than 50 % of the seeds', 'Part 4.1, Result 3',
          'about as with RoPE', _cell('NoPE, A'), at_least(50), **SOLVED),
    Claim('nope_two_layers_fail', 'Without positions, two layers without Canon '
          'stay at or below 50 %', 'ours', '—',
          _cell('NoPE, two layers'), at_most(50)),
)
