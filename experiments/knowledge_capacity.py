"""How many bits of knowledge does a parameter hold?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Results 1 to 4. The world's
information is counted to the bit; a model is trained until every person has
been seen 1,000 (or 100) times; from its losses follows how many bits it holds
at least (physics_lm/evals/knowledge_bits.py). R is bits a parameter, R_max
what a perfect memory of that world would reach: above about 2 the model is
over-full.

Paper (bioS of 10,000 to 10 million people, models of 1M to 500M parameters):
1,000 exposures: peak R at least 2, and R = R_max nearly wherever R_max is at
most 1.8; the same in bioD for all its settings. 100 exposures: peak R at least
1, half of it.

  python -m physics_lm.launch experiments/knowledge_capacity.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_capacity.py --scale=cpu

Measured, `cpu`: 40 runs, an hour of one core in all.

Ours at `cpu` scale: bioD with 500 to 2,000 people, 28 bits of values a person
and a name, models of 13 and 24 thousand parameters of two layers, an entry of
11 tokens. Layers and embedding count as parameters. At 1,000 exposures one
learning rate; at 100 the best of three by the mean over seeds: the table keeps
all. Terms below zero count as zero (`unclipped` in the table is without that):
with D = T^L the diversity term is never above zero and falls away, so the lists
of values count as known, as they do in bioS.

Rule for a verdict, fixed before the runs: means over n >= 3 seeds against the
number stated.
"""

import math

from physics_lm import plots
from physics_lm.report import Claim, best_rate
from physics_lm.sweep import Run, pick

RATES = {'few': (4e-3, 8e-3, 16e-3), 'many': (3e-3,)}  # 100, 1,000 exposures
_RATES = {'few': (5e-4, 1e-3, 2e-3), 'many': (1e-3,)}  # of larger models
# world: config, exposures an entry, entries a row, rows a step at 100 and at
# 1,000 exposures: fewer steps would leave 100 exposures on the plateau before
# anything is known.
BITS = ('configs/bitworld.py', 8, {100: 2, 1000: 8})
BIOS = ('configs/bios_bits.py', 9, {100: 2, 1000: 8})
SCALES = {
    # scale: [(world, people, width, seeds)], exposures, common overrides
    'smoke': ([('bioD', 40, 16, 1)], (10, 20), {'optim.warmup': 5}),
    'cpu': ([('bioD', 500, 16, 3), ('bioD', 1000, 16, 3),
             ('bioD', 1000, 24, 1), ('bioD', 2000, 16, 3)], (100, 1000), {}),
    'gpu': ([('bioS', n, width, 3) for n, width in (
        (10_000, 64), (10_000, 128), (20_000, 64), (20_000, 128))],
        (100, 1000), {
            'model.dtype': 'bfloat16', 'optim.warmup': 1000,
            'runtime.workers': 8, 'checkpoint.every': 10_000}),
    # Appendix A's N and exposures; two layers each, the largest of twelve.
    'paper': ([('bioS', n, width, 1) for n in (50_000, 100_000, 200_000)
               for width in (64, 128, 192, 256, 768)], (100, 1000), {
                   'model.dtype': 'bfloat16', 'data.isolate': False,
                   'optim.warmup': 1000}),
}
_FULL = {  # the paper's pools
    'worlds.bios.first_names': 400, 'worlds.bios.middle_names': 400,
    'worlds.bios.last_names': 1000, 'worlds.bios.years': 200,
    'worlds.bios.cities': 200, 'worlds.bios.universities': 300,
    'worlds.bios.majors': 100, 'worlds.bios.employers': 263,
    'worlds.bios.templates': 50}


def runs(scale: str) -> list[Run]:
  """Every (world, people, width, exposures, learning rate, seed)."""
  points, exposures, common = pick(SCALES, scale)
  out = []
  for world, people, width, seeds in points:
    config, entries, batches = BITS if world == 'bioD' else BIOS
    name = 'bits' if world == 'bioD' else 'bios'
    for exposed in exposures:
      few = exposed == exposures[0]
      batch = batches[100 if few else 1000]
      if scale in ('gpu', 'paper'):
        batch, entries = people // 4000 * (1 if few else 4), 6.8
      changes = common | {
          f'worlds.{name}.people': people, 'evals.bits.people': people,
          'model.width': width, 'model.heads': max(width // 64, 1 if (
              scale in ('gpu', 'paper')) else 2),
          'model.depth': 12 if width == 768 else 2,
          'data.batch': batch,
          'steps': round(people * exposed / entries / batch),
          'checkpoint.every': 10_000, 'log.every': 500}
      if scale in ('gpu', 'paper'):
        changes |= _FULL
      if scale == 'smoke':
        changes |= {'log.every': 5}
      rates = (_RATES if scale in ('gpu', 'paper') else RATES)[
          'few' if few else 'many']
      for rate in rates if scale != 'smoke' else rates[:1]:
        for seed in range(seeds):
          out.append(Run(config, changes | {
              'optim.learning_rate': rate} | {
                  f'seed.{k}': seed for k in ('init', 'data', 'world')}, {
                      'world': world, 'people': people, 'width': width,
                      'exposures': exposed, 'rate': rate, 'seed': seed}))
  return out


def table(results: list[dict]):
  """One row a run; `best` marks, of the learning rates of a point, the one
  with the most bits in the mean over seeds."""
  import pandas as pd
  df = pd.DataFrame([{
      **{k: r[k] for k in ('world', 'people', 'width', 'exposures', 'rate',
                           'seed')},
      'exposed': r['train/exposures/bio'],
      **{k: r[f'bits/{k}'] for k in (
          'parameters', 'bits', 'bits_max', 'unclipped', 'ratio', 'ratio_max',
          'name_nats', 'value_nats')}} for r in results])
  df['best'] = best_rate(df, ['world', 'people', 'width', 'exposures'])
  return df


def points(df):
  """Mean, std over seeds and n of R, of the best learning rate, by point."""
  group = ['world', 'people', 'width', 'exposures', 'parameters']
  best = df[df.best].groupby(group, sort=False)
  return best.agg(R=('ratio', 'mean'), std=('ratio', 'std'),
                  R_max=('ratio_max', 'mean'), bits=('bits', 'mean'),
                  bits_max=('bits_max', 'mean'), n=('ratio', 'size')
                  ).reset_index()


def show(df) -> str:
  """The small table of the last screen."""
  lines = [f'{"world":6}{"people":>8}{"parameters":>12}{"exposures":>11}'
           f'{"R":>16}{"R_max":>8}{"seeds":>7}']
  for p in points(df).itertuples():
    R = f'{p.R:.2f} ± {p.std:.2f}' if p.n > 1 else f'{p.R:.2f}'
    lines.append(f'{p.world:6}{p.people:>8}{p.parameters:>12}'
                 f'{p.exposures:>11}{R:>16}{p.R_max:>8.2f}{p.n:>7}')
  return '\n'.join(lines)


def figure(df):
  """Bits held against parameters; one panel for each number of exposures."""
  import numpy as np
  p = points(df)
  exposures = sorted(p.exposures.unique(), reverse=True)
  fig, axes = plots.figure(columns=len(exposures), sharey=True, sharex=True,
                           width=4.8, height=4.0)
  sizes = np.array([p.parameters.min() * 0.75, p.parameters.max() * 1.35])
  worlds = list(dict.fromkeys(zip(p.world, p.people)))
  for ax, exposed in zip(axes[0], exposures):
    for ratio in (1, 2):
      ax.plot(sizes, ratio * sizes, color=plots.QUIET, linewidth=0.9,
              linestyle='--', zorder=1)
      ax.text(sizes[0] * 1.02, 1.05 * ratio * sizes[0],
              f'{ratio} bit{"s" * (ratio > 1)} a parameter', fontsize=8,
              color=plots.QUIET, rotation=math.degrees(math.atan(ratio)),
              rotation_mode='anchor', transform_rotates_text=True)
    for colour, (world, people) in zip(plots.COLOURS * 2, worlds):
      own = p[(p.world == world) & (p.people == people)
              & (p.exposures == exposed)].sort_values('parameters')
      if own.empty:
        continue
      most = own.bits_max.iloc[0]
      ax.axhline(most, color=colour, linewidth=0.8, linestyle=':', zorder=1)
      std = own['std'].fillna(0) * own.parameters
      ax.errorbar(own.parameters, own.bits, yerr=std, color=colour,
                  marker='o' if world == 'bioD' else 's', markersize=5,
                  linewidth=1.3, capsize=2.5, zorder=3)
      ax.annotate(f'{world}, {people} people', (sizes[1], most),
                  xytext=(-2, 2), textcoords='offset points', fontsize=8,
                  color=colour, ha='right')
    ax.set_xscale('log')
    ax.set_yscale('log')
    ax.set_xlim(*sizes)
    ticks = [t for t in (1e4, 1.5e4, 2e4, 3e4, 4e4, 6e4, 1e5, 1e6, 1e7, 1e8)
             if sizes[0] <= t <= sizes[1]]
    ax.set_xticks(ticks, [f'{t / 1000:g}k' for t in ticks])
    low, high = ax.get_ylim()
    ticks = [t for e in range(3, 11) for t in (10**e, 2 * 10**e, 5 * 10**e)
             if low <= t <= high]
    ax.set_yticks(ticks, [f'{t / 1000:,g}k' for t in ticks])
    ax.minorticks_off()
    ax.set_xlabel('parameters', fontsize=9)
    plots.title(ax, f'{exposed:,} exposures')
  axes[0][0].set_ylabel('bits of knowledge held', fontsize=9)
  fig.suptitle('What a model knows of its world, in bits', x=0.01, ha='left',
               fontsize=11)
  most = int(p.n.max())
  fig.supxlabel(
      'dotted: all there is to know of that many people;  points: mean of '
      f'{int(p.n.min())} to {most} seeds, bars one standard deviation;\n'
      'at the fewer exposures, the best of three learning rates', x=0.01,
      ha='left', fontsize=8, color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Results 1, 3 and 4 of the paper."""
  p, out = points(df), []
  most, least = p.exposures.max(), p.exposures.min()
  at = lambda exposed, world: p[
      (p.exposures == exposed) & (p.world == world) & (p.n >= 3)]
  text = lambda r: (f'{r.R:.2f} ± {r["std"]:.2f} of R_max {r.R_max:.2f} '
                    f'(n = {r.n} seeds, {r.people} people, '
                    f'{r.parameters:,} parameters)')

  def add(statement, paper, rows, show, holds):
    if rows.empty or (most, least) != (1000, 100):
      out.append(Claim(statement, paper, 'not run with three seeds',
                       'not tested at this scale'))
    else:
      out.append(Claim(statement, paper, show(rows),
                       'yes' if holds(rows) else 'no'))

  best = lambda rows: rows.loc[rows.R.idxmax()]
  for world, result in (('bioS', 'Result 1a'), ('bioD', 'Result 3')):
    add(f'1,000 exposures, {world}: the fullest models hold at least 2 bits a '
        f'parameter ({result})', 'peak >= 2', at(most, world),
        lambda rows: text(best(rows)), lambda rows: best(rows).R >= 2)
  main = 'bioD' if (p.world == 'bioD').any() else 'bioS'
  roomy = at(most, main)
  roomy = roomy[roomy.R_max <= 1.8]
  add('1,000 exposures: a model with room (R_max at most 1.8) knows nearly '
      'everything (Result 1b: R at least 0.95 R_max)', 'R = R_max nearly',
      roomy, lambda rows: '; '.join(text(r) for _, r in rows.iterrows()),
      lambda rows: (rows.R >= 0.95 * rows.R_max).all())
  out.append(Claim(
      'Texts that are frozen, one a person, or rewritten by a language model: '
      'nearly as much (Result 2)', 'about 2', 'not run',
      'not tested at this scale'))
  add('100 exposures: the fullest models hold at least 1 bit a parameter '
      '(Result 4)', 'peak >= 1', at(least, main),
      lambda rows: text(best(rows)), lambda rows: best(rows).R >= 1)
  few = at(least, main).set_index(['people', 'width']).R
  full = at(most, main)
  full = full[full.R_max > 2]
  full = full[[(r.people, r.width) in few.index for r in full.itertuples()]]
  ratio = lambda rows: rows.apply(
      lambda r: r.R / few[r.people, r.width], axis=1)
  add('Over-full models (R_max above 2): ten times the exposures, about twice '
      'the bits (Results 1 and 4: 1.5 to 3 times)', '2 times', full,
      lambda rows: '; '.join(
          f'{x:.2f} times ({r.R:.2f} against {few[r.people, r.width]:.2f}; '
          f'n = {r.n} seeds, {r.people} people, {r.parameters:,} parameters)'
          for x, (_, r) in zip(ratio(rows), rows.iterrows())),
      lambda rows: ratio(rows).between(1.5, 3).all())
  return out
