"""How much knowledge survives with fewer bits a weight, or fewer weights?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), section 8, Result 8: trained
models are quantised afterwards. Paper (GPTQ, bioS): int8 loses nothing; int4
loses more than half (0.7 bits a parameter instead of 2). Beyond the paper:
bits between, plain rounding beside GPTQ, and pruning by magnitude, of single
weights and of whole units.

  python -m physics_lm.launch experiments/capacity_quantization.py --scale=cpu
  python -m physics_lm.report experiments/capacity_quantization.py --scale=cpu

Measured, `cpu`: 3 runs, four minutes of one core in all.

Ours at `cpu` scale: bioD, 500 people, of whom the model knows nearly all, 1,000
exposures, 13 thousand parameters, groups of 32 inputs a scale. The embedding,
half of such a model, is compressed too (rounded to nearest, also under gptq).
Storage counts scales, and which weights are kept.

Rule for a verdict, fixed before the runs: means over n >= 3 seeds against the
number stated.
"""

from configs.bitworld import COMPRESSIONS
from physics_lm import plots
from physics_lm.report import Claim
from physics_lm.sweep import Run, pick

SCALES = {
    # scale: people, width, exposures, rows a step, seeds, common
    'smoke': ((40,), 16, 10, 2, 1, {'optim.warmup': 5, 'log.every': 5}),
    'cpu': ((500,), 16, 1000, 8, 3, {}),
    'gpu': ((20_000, 50_000), 64, 1000, 64, 3, {
        'model.dtype': 'bfloat16', 'runtime.workers': 8}),
    'paper': ((100_000, 200_000), 192, 1000, 1600, 1, {
        'model.dtype': 'bfloat16', 'optim.warmup': 1000,
        'optim.learning_rate': 1e-3}),
}
METHODS = {'nearest': 'rounded to nearest', 'gptq': 'GPTQ',
           'prune': 'smallest weights gone (%: kept)',
           'prune_units': 'weakest units gone (%: kept)'}


def runs(scale: str) -> list[Run]:
  """Every (people, seed); each is evaluated in all its compressions."""
  wanted, width, exposures, batch, seeds, common = pick(SCALES, scale)
  sized = [f'evals.{k}.people' for k in ('bits', *COMPRESSIONS)]
  return [Run('configs/bitworld.py:compressed', {
      'worlds.bits.people': people, **dict.fromkeys(sized, people),
      'model.width': width, 'model.heads': max(width // 64, 2),
      'worlds.bits.name_length': 3 if people > 60_000 else 2,
      'data.batch': batch, 'steps': round(people * exposures / 8 / batch),
      'checkpoint.every': 10_000} | common | {
          f'seed.{k}': seed for k in ('init', 'data', 'world')},
      {'people': people, 'seed': seed})
      for people in wanted for seed in range(seeds)]


def table(results: list[dict]):
  """One row for each (run, compression): bits held, the share of those before
  compression, and bits of storage a parameter."""
  import pandas as pd
  rows = []
  for r in results:
    for name, keys in {'bits': {'compress': 'none'}, **COMPRESSIONS}.items():
      kept = r[f'{name}/bits']
      rows.append({
          'people': r['people'], 'seed': r['seed'],
          'method': keys['compress'], 'bits_a_weight': keys.get('bits'),
          'keep': keys.get('keep'), 'parameters': r['bits/parameters'],
          'ratio_max': r['bits/ratio_max'], 'ratio': r[f'{name}/ratio'],
          'share': kept / r['bits/bits'] if r['bits/bits'] else 0.0,
          'storage': r[f'{name}/storage_bits'] / r['bits/parameters']})
  return pd.DataFrame(rows)


def points(df):
  """Mean, std and n over seeds."""
  return df.groupby(['people', 'method', 'bits_a_weight', 'keep'], sort=False,
                    dropna=False).agg(
      R=('ratio', 'mean'), std=('ratio', 'std'), share=('share', 'mean'),
      share_std=('share', 'std'), storage=('storage', 'mean'),
      n=('ratio', 'size'), R_max=('ratio_max', 'mean'),
      parameters=('parameters', 'first')).reset_index()


def what(p) -> str:
  if p.method == 'none':
    return 'float32'
  if p.keep == p.keep:
    return f'{p.method}, {p.keep:.0%} kept'
  return f'{p.method}, int{int(p.bits_a_weight)}'


def show(df) -> str:
  """The small table of the last screen."""
  lines = [f'{"people":>7}  {"weights":26}{"storage bits":>13}{"R":>15}'
           f'{"of float32":>12}{"seeds":>7}']
  for p in points(df).itertuples():
    R = f'{p.R:.2f} ± {p.std:.2f}' if p.n > 1 else f'{p.R:.2f}'
    lines.append(f'{p.people:>7}  {what(p):26}{p.storage:>13.1f}{R:>15}'
                 f'{p.share:>12.0%}{p.n:>7}')
  return '\n'.join(lines)


def figure(df):
  """Knowledge kept against bits of storage a parameter."""
  p = points(df)
  people = list(p.people.unique())
  fig, axes = plots.figure(columns=len(people), height=4.0, sharey=True,
                           width=4.8 if len(people) > 1 else 6.4)
  for ax, count in zip(axes[0], people):
    own = p[p.people == count]
    full = own[own.method == 'none'].iloc[0]
    for colour, (method, label) in zip(plots.COLOURS, METHODS.items()):
      line = own[own.method == method].sort_values('storage')
      ax.errorbar(line.storage, line.R, yerr=line['std'].fillna(0),
                  color=colour, marker='o', markersize=4, linewidth=1.3,
                  capsize=2, label=label)
      if method != 'gptq':  # its points are of nearest's bits
        for r in line.itertuples():
          text = (f'int{int(r.bits_a_weight)}' if method == 'nearest'
                  else f'{r.keep:.0%}')
          ax.annotate(text, (r.storage, r.R),
                      xytext=(4, 4 if r.R < 0.1 else -9),
                      textcoords='offset points', fontsize=7.5, color=colour)
    ax.axhline(full.R, color=plots.QUIET, linewidth=0.9, linestyle=':')
    ax.annotate('float32', (0.99, full.R), xytext=(0, 3), ha='right',
                xycoords=('axes fraction', 'data'),
                textcoords='offset points', fontsize=8, color=plots.QUIET)
    ax.set_ylim(bottom=0)
    ax.set_xlabel('bits of storage a parameter', fontsize=9)
    plots.title(ax, f'{count:,} people: R_max {full.R_max:.1f}')
  axes[0][0].set_ylabel('bits of knowledge a parameter', fontsize=9)
  axes[0][-1].legend(fontsize=8, frameon=False, loc='center',
                     bbox_to_anchor=(0.55, 0.55))
  fig.suptitle('What is still known when weights get fewer bits, or fewer',
               x=0.01, ha='left', fontsize=11)
  n = int(p.n.min())
  fig.supxlabel(
      f'mean and standard deviation of {n} seed{"s"[:n > 1]}; '
      f'{int(p.parameters.iloc[0]):,} parameters; storage holds scales, and '
      'which\nweights are kept, at 16 bits each', x=0.01, ha='left', fontsize=8,
      color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Result 8 of the paper, and what it did not ask."""
  p, out = points(df), []
  full = max(p.people)

  def cell(method, bits=None, keep=None):
    at = p[(p.people == full) & (p.method == method)]
    if bits:
      at = at[at.bits_a_weight == bits]
    return (at[at.keep == keep] if keep else at).iloc[0]

  def add(statement, paper, cells, holds):
    if min(c.n for c in cells) < 3:
      out.append(Claim(statement, paper, 'not run with three seeds',
                       'not tested at this scale'))
      return
    ours = ' against '.join(f'{c.R:.2f} ± {c["std"]:.2f} ({what(c)})'
                            for c in cells)
    out.append(Claim(
        statement, paper, f'{ours} (n = {cells[0].n} seeds, {full} people, '
        f'R_max {cells[0].R_max:.2f})', 'yes' if holds(*cells) else 'no'))

  none, gptq = cell('none'), lambda bits: cell('gptq', bits)
  add('int8 after training loses nothing (Result 8: within 2 %)',
      'no loss', [gptq(8), none], lambda a, b: a.R >= 0.98 * b.R)
  add('int4 loses more than half (Result 8)', '0.7 of 2 bits a parameter',
      [gptq(4), none], lambda a, b: a.R < b.R / 2)
  add('At 4 bits GPTQ keeps more than rounding to nearest', 'not asked',
      [gptq(4), cell('nearest', 4)], lambda a, b: a.R - b.R > 2 * (
          (a['std']**2 + b['std']**2) / a.n)**0.5)
  add('Knowledge lies in the small weights too: without the smaller half, more '
      'than half is lost', 'not asked',
      [cell('prune', keep=0.5), none], lambda a, b: a.R < b.R / 2)
  return out
