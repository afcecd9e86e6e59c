"""How many hops can a model of L layers follow, and is Canon worth a layer?

Sanford et al. (arXiv 2402.09268): k hops of a pointer (worlds/symbolic/
chains.py) need floor(log2 k) + 2 layers, so that each layer doubles k; of four
symbols, GPT-2's errors rise later than that. Part 4.1 (Allen-Zhu, arXiv
2512.17351, section 5.1): hops are learnt one after the other; Canon makes each
stage faster, and could in theory replace one layer at most.

Here 48 symbols of 8 (with 4, near occurrences allow shortcuts), k up to 6,
width 32, 4M tokens. `accuracy` is of places with a hop; `steps` the first
evaluation with 90 % of it; `reach` the largest k up to which all are at 90 %;
`mean` the accuracy over k of 1 to 6.

  python -m physics_lm.launch experiments/depth_doubling.py --scale=cpu
  python -m physics_lm.report experiments/depth_doubling.py --scale=cpu

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
STEPS = {'steps': 2500, 'evals.hops.every': 50, 'log.every': 500,
         'evals.hops.num_problems': 256, 'runtime.max_vmapped_runs': 3}
SCALES = {
    'smoke': dict(depths={'': (1, 2), 'a': (1,)}, seeds=1,
                  common=scales.SMOKE_LOG | {
                      'steps': 4, 'evals.hops.every': 2, 'data.batch_size': 4,
                      'evals.hops.num_problems': 32}),
    'cpu': dict(depths={'': (1, 2, 3), 'a': (1, 2)}, seeds=3, common=STEPS),
    'day': dict(depths=dict.fromkeys(CANON, (1, 2, 3, 4)), seeds=8,
                common=STEPS | {'steps': 10_000}),
    'paper': dict(depths=dict.fromkeys(CANON, (2, 3, 4, 5, 6)), seeds=3,
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
          for canon, depths in s['depths'].items() for depth in depths
          for seed in range(s['seeds'])]


def table(records):
  """A row a run and k, 1 to the most: accuracy, steps, and of the run mean and
  reach."""
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
  """Accuracy by k; steps to 90 % by k; mean accuracy by depth."""
  s = summary(df)
  fig, axes = figures.grid(2, 2, width=4.4, height=3.3)
  kinds = [c or 'none' for c in CANON if (c or 'none') in set(s.canon)]
  names = {c or 'none': name for c, name in CANON.items()}
  chance = chains.repeat_share(LENGTH, SYMBOLS, HOPS)
  for ax, kind in zip(axes[0], kinds):
    for i, depth in enumerate(sorted(set(s.depth))):
      rows = s[(s.canon == kind) & (s.depth == depth)]
      figures.curves(ax, rows, 'k', 'depth', 'accuracy', {
          depth: f'{depth} layer{"s" * (depth > 1)}'}, color=figures.COLOURS[i])
    ax.plot(range(1, HOPS + 1), 100 * chance[1:], ':', color=figures.QUIET,
            label='repeat the symbol')
    figures.percent_axis(ax)
    figures.labels(ax, 'hops k', 'accuracy, %')
    figures.title(ax, names[kind])
  figures.legend(axes[0][0])
  for i, depth in enumerate(sorted(set(df.depth))):
    for kind, style in zip(kinds, ('o-', 's--')):
      rows = s[(s.canon == kind) & (s.depth == depth) & s.steps_mean.notna()]
      axes[1][0].plot(rows.k, rows.steps_mean, style, color=figures.COLOURS[i])
  axes[1][0].set(ylim=(0, None), xlim=(0.7, HOPS + 0.3))
  figures.labels(axes[1][0], 'hops k', 'steps to 90 %')
  figures.title(axes[1][0], 'One hop after the other (dashed: Canon)')
  for i, kind in enumerate(kinds):
    figures.curves(axes[1][1], s[(s.canon == kind) & (s.k == 1)], 'depth',
                   'canon', 'mean', names, color=figures.COLOURS[i])
  axes[1][1].set_xticks(sorted(set(df.depth)))
  figures.labels(axes[1][1], 'layers', 'mean accuracy over k of 1 to 6, %')
  figures.title(axes[1][1], 'What Canon is worth in layers')
  figures.legend(axes[1][1])
  figures.finish(fig, f'Hops of a pointer, {LENGTH} symbols of {SYMBOLS}',
                 f'{figures.seeds_note(s)};  steps: of the seeds that reach '
                 '90 %')
  return fig


def _at(depth: int, canon: str = 'none', k: int = 1) -> dict:
  return {'depth': depth, 'canon': canon, 'k': k}


THEORY, PART = 'Sanford et al. 2024', 'Part 4.1, section 5.1'
MEAN, REACH = dict(column='mean'), dict(column='reach', unit='hops')
CLAIMS = (
    Claim('one_after_the_other', 'Three layers: two hops take more steps than '
          'one', PART, 'easy to hard', (_at(3, k=2), _at(3, k=1)), greater(),
          'steps', 'steps'),
    Claim('depth_helps', 'A second and a third layer raise the mean accuracy',
          THEORY, 'errors fall with depth', tuple(
              (_at(d + 1), _at(d)) for d in (1, 2)), greater(), headline=True,
          **MEAN),
    *(Claim(f'doubling_{d}', f'{d} layers reach {k} hops', THEORY,
            'floor(log2 k) + 2 layers', (_at(d),), between(k - .5, k + .5),
            **REACH) for d, k in ((2, 1), (3, 3))),
    Claim('canon_helps', 'Canon at A raises the mean accuracy of one and of '
          'two layers', PART, 'each stage faster', tuple(
              (_at(d, 'a'), _at(d)) for d in (1, 2)), greater(), **MEAN),
    Claim('canon_below_a_layer', 'Canon at A is worth less than a layer: one '
          'and two layers with it are below two and three without', PART,
          'one layer at most', tuple((_at(d + 1), _at(d, 'a')) for d in (1, 2)),
          greater(), headline=True, **MEAN),
)
