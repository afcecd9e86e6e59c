"""How many hops can a model of L layers follow, and is Canon worth a layer?

Sanford et al. (arXiv 2402.09268): k hops of a pointer (worlds/symbolic/
chains.py) need floor(log2 k) + 2 layers, so that each layer doubles k; of four
symbols, GPT-2's errors rise later than that. Part 4.1 (Allen-Zhu, arXiv
2512.17351, section 5.1): hops are learnt one after the other; Canon makes each
stage faster, and could in theory replace one layer at most.

Here 48 symbols of 8 (with 4, near occurrences allow shortcuts), k up to 6,
width 32, 4M tokens. `accuracy` is of places with a hop, `mean` its mean over k
of 1 to 6; `steps`: to 90 %; `reach`: the largest k up to which all have 90 %.

  python -m physics_lm.launch experiments/depth_doubling.py --scale=cpu
  python -m physics_lm.report experiments/depth_doubling.py --scale=cpu

Measured, `cpu`: 20 runs, 11 minutes of one core.
Predicted (seed 100, not reported: after 2,000 of 2,500 steps three layers have
1.0 at k of 1 and 2, 0.45 at 3; rates 5e-3 and 2e-2 are slower): without Canon
one to three layers reach 0, 1, 2 hops, mean accuracy 12, 30, 48 %; one and two
with Canon at A 0 or 1, and 2: more than without, less than a further layer.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, between, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick
from physics_lm.worlds.symbolic import chains

SYMBOLS, LENGTH, HOPS = 8, 48, 6
CANON = {'': 'no Canon', 'a': 'Canon at A', 'abcd': 'Canon at A to D'}
SCALES = {  # sites of Canon: {layers: seeds}
    'smoke': dict(depths={'': {1: 1, 2: 1}, 'a': {1: 1}},
                  common=scales.SMOKE_LOG | {
                      'steps': 4, 'evals.hops.every': 2, 'data.batch_size': 4,
                      'evals.hops.num_problems': 32}),
    'cpu': dict(depths={'': {1: 3, 2: 3, 3: 8}, 'a': {1: 3, 2: 3}}, common={
        'steps': 2500, 'evals.hops.every': 50, 'log.every': 500,
        'evals.hops.num_problems': 256, 'runtime.max_vmapped_runs': 5}),
    'paper': dict(depths=dict.fromkeys(CANON, dict.fromkeys(range(2, 7), 3)),
                  common={
        'worlds.chains.length': 100, 'worlds.chains.symbols': 4,
        'worlds.chains.max_hops': 16, 'data.seq_len': 102, 'steps': 100_000,
        'model.width': 128, 'model.positions': 'absolute', 'optim.name':
        'adamw', 'optim.learning_rate': 1e-4, 'evals.hops.every': 1000}),
}


def runs(scale: str) -> list[Run]:
  """Every (sites of Canon, depth, seed)."""
  s = pick(SCALES, scale)
  base = {'worlds.chains.length': LENGTH, 'worlds.chains.symbols': SYMBOLS,
          'worlds.chains.max_hops': HOPS, 'data.seq_len': LENGTH + 2,
          'checkpoint.every': s['common']['steps']}
  return [Run('configs/chains.py', base | s['common'] | {
      'model.depth': depth, 'model.canon': canon} | scales.seeds(seed + 1),
              {'canon': canon or 'none', 'depth': depth, 'seed': seed + 1})
          for canon, depths in s['depths'].items()
          for depth, seeds in depths.items() for seed in range(seeds)]


def table(records):
  """A row a run and k: accuracy, steps, and of the run mean and reach."""
  most = max(r['overrides']['worlds.chains.max_hops'] for r in records)
  df = results.during_training(records, 'hops', {
      f'accuracy_{k}': f'accuracy/k{k}' for k in range(1, most + 1)})
  out = []
  for _, run in df.groupby('run', sort=False):
    end = run.iloc[-1]
    at = [100 * end[f'accuracy_{k}'] for k in range(1, most + 1)]
    reach = next((k for k, a in enumerate(at) if a < 90), most)
    for k, a in enumerate(at, 1):
      steps = run.step[run[f'accuracy_{k}'] >= 0.9].min()
      out.append({c: end[c] for c in ('run', 'canon', 'depth', 'seed')} | {
          'k': k, 'accuracy': a, 'steps': steps, 'mean': sum(at) / most,
          'reach': reach})
  return type(df)(out)


def summary(df):
  """Means by Canon, depth and k."""
  return results.summarise(df, ['canon', 'depth', 'k'], [
      'accuracy', 'steps', 'mean', 'reach'])


def figure(df):
  """Accuracy and steps to 90 % by k, a line a seed; mean accuracy by depth."""
  s = summary(df)
  fig, axes = figures.grid(2, 2, width=4.4, height=3.3)
  names = {c or 'none': name for c, name in CANON.items()}
  kinds = [c for c in names if c in set(s.canon)]
  for i, (ax, kind) in enumerate(zip(axes[0], kinds)):
    for (depth, seed, _), run in df[df.canon == kind].groupby(
        ['depth', 'seed', 'run']):
      style = {'color': figures.COLOURS[depth - 1], 'linewidth': 1, 'label': (
          f'{depth} layer{"s" if depth > 1 else ""}' + ', Canon' * i
          if seed == 1 else None)}
      ax.plot(run.k, run.accuracy, 'o-', markersize=3, **style)
      axes[1][0].plot(run.k, run.steps, ('o-', 's--')[i], markersize=4, **style)
    ax.plot(range(1, HOPS + 1), 100 * chains.repeat_share(
        LENGTH, SYMBOLS, HOPS)[1:], ':', color=figures.QUIET,
            label='repeat the symbol')
    figures.percent_axis(ax), figures.legend(ax)
    figures.labels(ax, 'hops k', 'accuracy, %', names[kind])
    figures.curves(axes[1][1], s[(s.canon == kind) & (s.k == 1)], 'depth',
                   'canon', 'mean', names, color=figures.COLOURS[3 + i])
  axes[1][0].set(ylim=(0, None), xlim=(0.7, HOPS + 0.3))
  figures.labels(axes[1][0], 'hops k', 'steps to 90 %',
                 'One hop after the other (dashed: Canon)')
  axes[1][1].set_xticks(sorted(set(df.depth)))
  figures.labels(axes[1][1], 'layers', 'mean accuracy over k of 1 to 6, %',
                 'What Canon is worth in layers')
  figures.legend(axes[1][0]), figures.legend(axes[1][1])
  figures.finish(fig, f'Hops of a pointer, {LENGTH} symbols of {SYMBOLS}',
                 f'a line a seed; below right {figures.seeds_note(s)};  '
                 'Canon at A: before attention')
  return fig


def _at(depth: int, canon: str = 'none', k: int = 1) -> dict:
  return {'depth': depth, 'canon': canon, 'k': k}


THEORY, PART = 'Sanford et al. 2024', 'Part 4.1, section 5.1'
CLAIMS = (
    Claim('one_after_the_other', 'Three layers: two hops take more steps than '
          'one', PART, 'easy to hard', (_at(3, k=2), _at(3, k=1)), greater(),
          'steps', 'steps'),
    Claim('depth_helps', 'A second and a third layer raise the mean accuracy',
          THEORY, 'errors fall with depth', tuple(
              (_at(d + 1), _at(d)) for d in (1, 2)), greater(), 'mean'),
    *(Claim(f'doubling_{d}', f'{d} layers reach {k} hops', THEORY,
            'floor(log2 k) + 2 layers', (_at(d),), between(k - .5, k + .5),
            'reach', 'hops') for d, k in ((2, 1), (3, 3))),
    Claim('canon_helps', 'Canon at A raises the mean accuracy of one and of '
          'two layers', PART, 'each stage faster', tuple(
              (_at(d, 'a'), _at(d)) for d in (1, 2)), greater(), 'mean'),
    Claim('canon_below_a_layer', 'Canon at A is worth less than a layer: one '
          'and two layers with it are below two and three without', PART,
          'one layer at most', tuple((_at(d + 1), _at(d, 'a')) for d in (1, 2)),
          greater(), 'mean'),
    *(Claim(id, text, 'ours', '—', cells, greater(), column,
            unit, post_hoc=True) for id, text, cells, column, unit in (
        ('second_layer_helps', 'A second layer raises the mean accuracy',
         (_at(2), _at(1)), 'mean', '%'),
        ('canon_below_second_layer', 'One layer with Canon at A is below two '
         'without', (_at(2), _at(1, 'a')), 'mean', '%'),
        ('one_after_the_other_canon', 'Two layers with Canon at A: two hops '
         'take more steps than one', (_at(2, 'a', 2), _at(2, 'a')), 'steps',
         'steps'))),
)
