"""How much knowledge survives with fewer bits per weight, or fewer weights?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), section 8, Result 8: models are
quantised after training. Paper (GPTQ, bioS): int8 loses nothing; int4 loses
more than half (0.7 bits per parameter instead of 2). Beyond the paper: the bits
between, rounding to nearest beside GPTQ, and pruning: of single weights by
magnitude, Wanda and SparseGPT, and of units (MLP units and heads).

  python -m physics_lm.launch experiments/capacity_quantization.py --scale=cpu
  python -m physics_lm.report experiments/capacity_quantization.py --scale=cpu

Predicted at `cpu` (seen on seed 7, not reported): GPTQ int8 keeps 99.5 % of R;
int4 20 % of the largest's, nothing of smaller ones'; rounding to nearest half
as much; nothing is left without half of the weights; with 75 % Wanda leaves 10,
SparseGPT 40, magnitude 4 % of the largest's. Deviations: the compact bioD
of knowledge_capacity, R_max 3.2, 13 and 38 thousand parameters after 1,000
exposures, 125 thousand after 100, at `day` after 1,000 too (predicted: int8 99,
int4 8 %). One scale for 32 inputs of an output; the embedding included.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, greater, ratio_between
from physics_lm.configs import biod, scales
from physics_lm.configs.biod import COMPRESSIONS
from physics_lm.sweep import Run, pick

METHODS = {'gptq': 'Quantised by GPTQ', 'nearest': 'Rounded to nearest',
           'prune': 'Smallest weights pruned', 'wanda': 'Pruned by Wanda',
           'sparsegpt': 'Pruned by SparseGPT',
           'prune_units': 'MLP units and heads pruned'}
PAPER = {8: 100, 4: 35}  # bits per weight: percent of float32's R
LOW = {'model.dtype': 'bfloat16'}
COMPACT = (16, 1000, 5), (32, 1000, 5), (64, 100, 5)  # width, exposures, seeds
SCALES = {
    'smoke': dict(people=(20,), width=16, exposures=4, batch=2, seeds=1,
                  common=scales.SMOKE_LOG),
    'cpu': dict(compact=COMPACT),
    'day': dict(compact=(*COMPACT, (64, 1000, 3))),
    'gpu': dict(people=(20_000, 50_000), width=64, exposures=1000, batch=64,
                seeds=3, common=LOW | {'runtime.workers': 8}),
    'paper': dict(people=(100_000, 200_000), width=192, exposures=1000,
                  batch=1600, seeds=1, common=LOW | {
                      'optim.warmup_steps': 1000, 'optim.learning_rate': 1e-3}),
}


def runs(scale: str) -> list[Run]:
  """Every (model and people, seed), evaluated in all compressions."""
  s = pick(SCALES, scale)
  if 'compact' in s:
    points = [('compact_compressed', biod.compact_people(w, 3.2), w,
               biod.compact_run(biod.compact_people(w, 3.2), e, w), seeds)
              for w, e, seeds in s['compact']]
  else:
    points = [('compressed', n, s['width'], {
        'worlds.bits.people': n, 'evals.bits.people': n,
        'worlds.bits.name_length': 3 if n > 60_000 else 2,
        'model.width': s['width'], 'model.heads': max(s['width'] // 64, 2),
        'data.batch_size': s['batch'], 'checkpoint.every': 10_000,
        'steps': round(n * s['exposures'] / 8 / s['batch'])} | s['common'],
               s['seeds']) for n in s['people']]
  return [Run(f'configs/biod.py:{variant}', changes | {
      f'evals.{k}.people': n for k in COMPRESSIONS} | scales.seeds(seed),
      {'n_people': n, 'width': width, 'seed': seed})
      for variant, n, width, changes, seeds in points for seed in range(seeds)]


def table(records):
  """A row a run and compression: R, bits of storage per parameter, and `kept`,
  percent of the R of the same run's float32."""
  import pandas as pd
  parts = []
  for name, keys in {'bits': {'compress': 'none'}, **COMPRESSIONS}.items():
    part = results.wide(records, name, (
        R, f'{R}_max', 'parameters', 'storage_bits'), where={'term': 'all'})
    part['method'], part['weight_bits'] = keys['compress'], keys.get('bits')
    parts.append(part.assign(name=name, keep=keys.get('keep_fraction')))
  df = pd.concat(parts).astype({'parameters': int, 'keep': float})
  df['storage_bits'] /= df.parameters
  df['kept'] = results.percent_of(df, R, df.method == 'none', ['run'])
  df['exposures'] = df.run.map({
      r['id']: round(r['train'].get('exposures/bio', 0)) for r in records})
  df['large'] = df.parameters == df.parameters.max()
  df['last'] = df.large & (df.exposures == df.exposures[df.large].max())
  return df.rename(columns={'storage_bits': 'storage_bits_per_param'}
                   ).sort_values(['n_people', 'seed'], kind='stable')


def summary(df):
  """R, its share of float32's and storage by model and compression."""
  return results.summarise(
      df, ['n_people', 'method', 'weight_bits', 'keep', 'parameters',
           'exposures'], [R, f'{R}_max', 'kept', 'storage_bits_per_param'])


def figure(df):
  """Share of R kept, a panel for each method, a line for each model."""
  import pandas as pd
  s = summary(df)
  s['model'] = list(zip(s.parameters, s.exposures))
  full = s[s.method == 'none']
  names = {r.model: f'{r.parameters:,} parameters,\n{r.exposures:,} '
           f'exposures, R {r[f"{R}_mean"]:.2f}' for _, r in full.iterrows()}
  by_bits = ('gptq', 'nearest')  # prunings begin with all weights kept
  s = pd.concat([s, *(full.assign(method=m, keep=1.0) for m in METHODS
                      if m not in by_bits)])
  fig, axes = figures.grid(3, 2, width=4.1, height=3.2, sharey=True)
  for ax, (method, name) in zip(axes.flat, METHODS.items()):
    rows = s[s.method == method]
    x = 'weight_bits' if method in by_bits else 'keep'
    figures.curves(ax, rows, x, 'model', 'kept', names)
    ax.set_xticks(sorted(set(rows[x])))
    figures.percent_axis(ax, 110)
    figures.labels(ax, {'keep': 'share kept'}.get(x, 'bits per weight'),
                   'R, % of float32\'s')
    figures.title(ax, name)
  figures.paper_points(axes[0][0], list(PAPER), list(PAPER.values()))
  figures.legend(axes[1][2], loc='center left', title='in all panels')
  figures.finish(fig, 'How much of the knowledge a compressed model keeps '
                 '(bioD)', f'{figures.seeds_note(s)};  diamonds: the paper')
  return fig


OURS = 'beyond Part 3.3', '—'
R, BITS = 'bits_per_param', dict(column='bits_per_param', unit='bits/param')
LAST, EARLY = ({n: at | {'name': n} for n in ('bits', *COMPRESSIONS)}
               for at in ({'last': True}, {'large': True, 'exposures': 100}))
CLAIMS = (
    Claim('int8_free', 'GPTQ int8 keeps at least 98 % of R (largest model)',
          'Part 3.3, Result 8', 'no loss', (LAST['gptq8'], LAST['bits']),
          ratio_between(0.98), headline=True, **BITS),
    Claim('int4_loses', 'GPTQ int4 keeps at most 50 % of R (largest model)',
          'Part 3.3, Result 8', '0.7 of 2 bits/param', (
              LAST['gptq4'], LAST['bits']), ratio_between(high=0.5),
          paper_effect=0.35, headline=True, **BITS),
    Claim('gptq_above_nearest', '100 exposures, int4: GPTQ keeps more than '
          'rounding to nearest', *OURS, (EARLY['gptq4'], EARLY['nearest4']),
          greater(), **BITS),
    Claim('prune_50_percent', 'Without the smallest 50 % of the weights at '
          'most 50 % of R is left', *OURS, (LAST['prune50'], LAST['bits']),
          ratio_between(high=0.5), **BITS),
    Claim('wanda_above_magnitude', '100 exposures, 75 % of the weights: Wanda '
          'keeps more than magnitude', 'Sun et al. 2023', 'better perplexity '
          'at 50 %', (EARLY['wanda75'], EARLY['prune75']), greater(), **BITS),
    Claim('sparsegpt_above_wanda', '100 exposures, 75 % of the weights: '
          'SparseGPT keeps more than Wanda', 'Frantar & Alistarh 2023', 'about '
          'equal at 50 %', (EARLY['sparsegpt75'], EARLY['wanda75']), greater(),
          **BITS),
)
