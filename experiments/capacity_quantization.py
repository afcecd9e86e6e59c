"""How much knowledge survives with fewer bits per weight, or fewer weights?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), section 8, Result 8: models are
quantised after training. Paper (GPTQ, bioS): int8 loses nothing; int4 loses
more than half (0.7 bits per parameter instead of 2). Beyond the paper: the bits
between, rounding to nearest beside GPTQ, and pruning by magnitude, of single
weights and of units (MLP units and heads).

  python -m physics_lm.launch experiments/capacity_quantization.py --scale=cpu
  python -m physics_lm.report experiments/capacity_quantization.py --scale=cpu

Measured, `cpu`: 3 runs, four minutes of one core in all.

Deviations at `cpu` scale: bioD, 500 people, of whom nearly everything is
memorised, 1,000 exposures, 13 thousand parameters, one scale for 32 inputs of
an output (as wide as most matrices). The embedding, half of such a model, is
compressed too (rounded to nearest, also under GPTQ); the paper's quantiser
leaves it alone. Storage counts scales, and which weights are kept.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, greater, ratio_between
from physics_lm.configs import scales
from physics_lm.configs.biod import COMPRESSIONS
from physics_lm.sweep import Run, pick

QUANTISERS = {'gptq': 'GPTQ', 'nearest': 'rounding to nearest'}
PRUNINGS = {'prune': 'smallest weights pruned',
            'prune_units': 'weakest MLP units and heads pruned'}
PAPER = {8: 1.0, 4: 0.35}  # bits per weight: R over that of float32
SCALES = {
    'smoke': dict(people=(20,), width=16, exposures=4, batch=2, seeds=1,
                  common=scales.SMOKE_LOG),
    'cpu': dict(people=(500,), width=16, exposures=1000, batch=8, seeds=3,
                common={}),
    'gpu': dict(people=(20_000, 50_000), width=64, exposures=1000, batch=64,
                seeds=3, common={'model.dtype': 'bfloat16',
                                 'runtime.workers': 8}),
    'paper': dict(people=(100_000, 200_000), width=192, exposures=1000,
                  batch=1600, seeds=1, common={
                      'model.dtype': 'bfloat16', 'optim.warmup_steps': 1000,
                      'optim.learning_rate': 1e-3}),
}


def runs(scale: str) -> list[Run]:
  """Every (people, seed); each is evaluated in all its compressions."""
  s = pick(SCALES, scale)
  sized = [f'evals.{k}.people' for k in ('bits', *COMPRESSIONS)]
  return [Run('configs/biod.py:compressed', {
      'worlds.bits.people': people, **dict.fromkeys(sized, people),
      'worlds.bits.name_length': 3 if people > 60_000 else 2,
      'model.width': s['width'], 'model.heads': max(s['width'] // 64, 2),
      'data.batch_size': s['batch'], 'checkpoint.every': 10_000,
      'steps': round(people * s['exposures'] / 8 / s['batch'])}
      | s['common'] | scales.seeds(seed), {'n_people': people, 'seed': seed})
      for people in s['people'] for seed in range(s['seeds'])]


def table(records):
  """A row a run and compression: R, and bits of storage per parameter."""
  import pandas as pd
  parts = []
  for name, keys in {'bits': {'compress': 'none'}, **COMPRESSIONS}.items():
    part = results.wide(records, name, (
        R, f'{R}_max', 'parameters', 'storage_bits'), where={'term': 'all'})
    part['method'], part['weight_bits'] = keys['compress'], keys.get('bits')
    parts.append(part.assign(keep=keys.get('keep_fraction')))
  df = pd.concat(parts).astype({
      'parameters': int, 'weight_bits': float, 'keep': float})
  df['storage_bits'] /= df.parameters
  return df.rename(columns={'storage_bits': 'storage_bits_per_param'}
                   ).sort_values(['n_people', 'seed'], kind='stable')


def summary(df):
  """R and storage by compression."""
  return results.summarise(
      df, ['n_people', 'method', 'weight_bits', 'keep', 'parameters'],
      [R, f'{R}_max', 'storage_bits_per_param'])


def figure(df):
  """R against bits per weight, and against the share of weights kept, of the
  largest world."""
  import pandas as pd
  s = summary(df[df.n_people == df.n_people.max()])
  none = s[s.method == 'none']
  full = none.iloc[0]
  # Both prunings begin with all weights kept.
  s = pd.concat([s, *(none.assign(method=m, keep=1.0) for m in PRUNINGS)])
  fig, axes = figures.grid(2, width=4.6, height=3.7, sharey=True)
  for ax, methods, x, where in (
      (axes[0][0], QUANTISERS, 'weight_bits', (0.45, 0.05)),
      (axes[0][1], PRUNINGS, 'keep', (0, 0.5))):
    rows = s[s.method.isin(methods)]
    figures.curves(ax, rows, x, 'method', R, methods, band=False)
    figures.level(ax, full[f'{R}_mean'], label='float32')
    ax.set_xticks(sorted(set(rows[x])))
    figures.legend(ax, loc='lower left', bbox_to_anchor=where)
  figures.paper_points(axes[0][0], list(PAPER), [
      r * full[f'{R}_mean'] for r in PAPER.values()])
  axes[0][0].set_ylim(0, 1.1 * full[f'{R}_mean'] or 1)
  figures.labels(axes[0][0], 'bits per weight', 'R: bits stored per parameter')
  figures.labels(axes[0][1], 'share of weights, or of units, kept')
  figures.title(axes[0][0], 'Quantised after training')
  figures.title(axes[0][1], 'Pruned after training')
  figures.finish(
      fig, 'Capacity ratio R of compressed models (bioD, '
      f'{full.n_people:,} people)', f'{figures.seeds_note(s)};  '
      f'{full.parameters:,} parameters, R_max {full[f"{R}_max_mean"]:.2f};\n'
      'diamonds: R of float32 times the share that the paper keeps (GPTQ)')
  return fig


R, BITS = 'bits_per_param', dict(column='bits_per_param', unit='bits/param')
FLOAT, GPTQ8, GPTQ4, NEAREST4, PRUNED = (
    {'method': 'none'}, *({'method': m, 'weight_bits': b} for m, b in (
        ('gptq', 8), ('gptq', 4), ('nearest', 4))),
    {'method': 'prune', 'keep': 0.5})
CLAIMS = (
    Claim('int8_free', 'GPTQ int8 keeps at least 98 % of R',
          'Part 3.3, Result 8', 'no loss', (GPTQ8, FLOAT), ratio_between(0.98),
          **BITS),
    Claim('int4_loses', 'GPTQ int4 keeps at most 50 % of R',
          'Part 3.3, Result 8', '0.7 of 2 bits/param', (GPTQ4, FLOAT),
          ratio_between(high=0.5), paper_effect=0.35, **BITS),
    Claim('gptq_above_nearest', 'At int4 GPTQ keeps more than rounding to '
          'nearest', 'beyond Part 3.3', 'not in the paper', (GPTQ4, NEAREST4),
          greater(), decided_by='some six seeds, 75 core-seconds '
          'each', **BITS),
    Claim('prune_50_percent', 'Without the smallest 50 % of the weights at '
          'most 50 % of R is left', 'beyond Part 3.3', 'not in the paper',
          (PRUNED, FLOAT), ratio_between(high=0.5), **BITS),
)
