"""Does the architecture change how much knowledge a parameter stores?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Results 5 to 7 and 9. Paper (bioS,
1M to 500M parameters): at 1,000 exposures LLaMA, Mistral, MLP width / 4 and no
MLP at all store what GPT-2 (rotary) stores. At 100 LLaMA and Mistral store 1.3
times less, because of the gated MLP; MLP width / 4 costs nothing, no MLP more
than 1.5 times. 32 experts store 1.3 (1,000) and 1.5 times (100) less. Part 4.1
(2512.17351), Result 5: Canon gives back half of what gated MLPs cost at 100.

  python -m physics_lm.launch experiments/capacity_architecture.py --scale=cpu
  python -m physics_lm.report experiments/capacity_architecture.py --scale=cpu

Deviations at `cpu`: compact bioD, random order, AdamW; 13 and 37 thousand
parameters, 2 layers, R_max 2.7; 8 experts; scale `rates` tunes them on seed 7.
Predicted R over GPT-2's, 1,000 exposures: gated MLPs, MLP width / 4 1.0, no MLP
0.85, MoE 0.7; 100: 1.0, 0.95, 0.85, 0.65; LLaMA + Canon 1.05 times LLaMA.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, ratio_between, times_more
from physics_lm.configs import architectures, scales
from physics_lm.sweep import Run, pick

LABELS = {'gpt2': 'GPT-2 (rotary)', 'llama': 'LLaMA (gated MLP)',
          'llama_plain': 'LLaMA, plain MLP', 'mistral': 'Mistral (gated MLP)',
          'mlp_quarter': 'GPT-2, MLP width / 4', 'no_mlp': 'GPT-2, no MLP',
          'moe': 'GPT-2, MoE', 'llama_canon': 'LLaMA + Canon'}
PAPER = {  # R over GPT-2's R
    1000: dict(llama=1, mistral=1, mlp_quarter=1, no_mlp=1, moe=1 / 1.3),
    100: dict(llama=1 / 1.3, llama_plain=1, mistral=1 / 1.3, mlp_quarter=1,
              no_mlp=1 / 1.5, moe=1 / 1.5)}
POINTS = {(e, n): LABELS if e == 100 else ('gpt2', *PAPER[1000])
          for e in (100, 1000) for n in ('small', 'middle')}
SCALES = {  # points: {(exposures, size): architectures}
    'smoke': dict(points={(4, 'small'): ('gpt2', 'llama', 'moe')}, seeds=(0,),
                  common=scales.SMOKE_LOG, share=0.04, rates={4: (8e-3,)}),
    'rates': dict(points=POINTS, seeds=(7,), common={}, rates={
        100: (2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2), (1000, 'middle'): (
            8e-3, 1.6e-2), 1000: (4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2)}),
    'cpu': dict(points=POINTS, seeds=range(6), common={}, rates={}),
    'gpu': dict(
        points={(e, 'medium'): LABELS for e in (100, 1000)}, seeds=(0, 1, 2),
        people=50_000, rows={100: 12, 1000: 96}, rates={
            100: (5e-4, 1e-3, 2e-3), 1000: (1e-3,)},
        common=scales.CAPACITY_GPU),
    'paper': dict(
        points={(e, 'large'): LABELS for e in (100, 1000)}, seeds=(0,),
        people=200_000, rows={100: 48, 1000: 192}, rates={
            100: (3e-4, 5e-4, 1e-3), 1000: (5e-4, 1e-3, 2e-3)},
        common=scales.CAPACITY_PAPER | {'model.depth': 4})}
POINT = ['architecture', 'exposures', 'size']


def runs(scale: str) -> list[Run]:
  """Every (exposures, size, architecture, learning rate, seed)."""
  s, out = pick(SCALES, scale), []
  for (e, size), which in s['points'].items():
    for name in which:
      if 'people' in s:
        file, keys = 'configs/bios_bits.py', architectures.bios_run(
            name, size, e, s['people'], s['rows'][e])
      else:
        file, keys = 'configs/biod.py:compact', architectures.compact_run(
            name, size, e, s.get('share', 1))
      for rate in s['rates'].get((e, size), s['rates'].get(e)) or [
          architectures.RATES[e, size][name]]:
        out += [Run(file, keys | s['common'] | scales.seeds(seed) | {
            'log.every': 500, 'optim.learning_rate': rate}, dict(
                zip(POINT, (name, e, size)), learning_rate=rate, seed=seed))
                for seed in s['seeds'][:3 if e > 100 else 6]]  # long runs: 3
  return out


def table(records):
  """A row a run. best: at the best rate; small, large: least, greatest size."""
  df = results.capacity(records)
  rank, by = df['size'].map([*architectures.WIDTHS].index), df.exposures
  return df.assign(
      best=df.run.isin(results.best_by(df, POINT, 'learning_rate', R).run),
      small=rank == rank.groupby(by).transform('min'),
      large=rank == rank.groupby(by).transform('max'))


def summary(df):
  """R and R_max by architecture, people and exposures, at the best rate."""
  return results.summarise(df[df.best], [
      *POINT, 'parameters', 'n_items', 'learning_rate'], [R, f'{R}_max'])


def figure(df):
  """R of each architecture; a panel for each number of exposures and people."""
  s = summary(df)
  names = {a: n for a, n in LABELS.items() if a in set(s.architecture)}
  panels = s.groupby(['exposures', 'size'], sort=False)
  fig, axes = figures.grid(2, -(-len(panels) // 2), width=4.9, height=3.2,
                           sharey=True, sharex=True)
  for ax, ((e, _), rows) in zip(axes.flat, panels):
    rows = rows.set_index('architecture').reindex(list(names))
    mean, paper = rows[f'{R}_mean'], PAPER.get(e, {})
    figures.bars(ax, rows, R, list(names.values()), [
        figures.colour(a) for a in names], [
            mean['gpt2'] * paper[a] if a in paper and mean[a] > 0 else None
            for a in names], horizontal=True, digits=2)
    figures.level(ax, mean['gpt2'], vertical=True)
    ax.set_xlim(0, 1.2 * s[f'{R}_mean'].max() or 1)
    figures.labels(ax, 'R: bits stored per parameter', '', f'{e:,} exposures, '
                   f'some {rows.parameters.mean():,.0f} parameters')
  figures.finish(
      fig, 'Capacity ratio R by architecture, at similar numbers of parameters',
      f'{figures.seeds_note(s)};  no bar: not run;  dotted: GPT-2;\ndiamonds: '
      "that times the paper's ratio (no MLP, 100 exposures: at most)")
  return fig


def _at(*points: tuple) -> tuple:
  return tuple(tuple(dict(exposures=e, architecture=a, best=True, **{
      size: True}) for e, a in points) for size in ('small', 'large'))


def _keeps(e: int, name: str, result: int) -> Claim:
  return Claim(f'{name}_{e}', f'{e:,} exposures: R of {LABELS[name]} is at '
               "least 90 % of GPT-2's, at each size", f'Part 3.3, Result '
               f'{result}', 'equal', _at((e, name), (e, 'gpt2')),
               ratio_between(0.9), **BITS)


def _less(e, names: tuple, than: str, result: int, times: float, part='3.3'):
  return Claim('_'.join((*names, str(e), than)).removesuffix('_gpt2'),
               f'{e:,} exposures: R of {" and ".join(LABELS[a] for a in names)}'
               f' is below that of {LABELS[than]}, at each size',
               f'Part {part}, Result {result}', f'{times} times less',
               sum((_at((e, than), (e, a)) for a in names), ()), times_more(),
               paper_effect=times, **BITS)


R, BITS = 'bits_per_param', dict(column='bits_per_param', unit='bits/param')
CLAIMS = (
    Claim('halving', 'GPT-2: R at 1,000 exposures is 1.5 to 3 times R at 100, '
          'at each size', 'Part 3.3, Results 1 and 4', '2 times', _at(
              (1000, 'gpt2'), (100, 'gpt2')), ratio_between(1.5, 3), **BITS),
    *(_keeps(1000, a, 5) for a in LABELS if a in PAPER[1000] and a != 'moe'),
    _less(100, ('llama', 'mistral'), 'gpt2', 6, 1.3),
    _keeps(100, 'mlp_quarter', 6),
    _less(100, ('no_mlp',), 'gpt2', 6, 1.5),
    _keeps(100, 'llama_plain', 7),
    _less(100, ('llama',), 'llama_plain', 7, 1.3),
    _less(1000, ('moe',), 'gpt2', 9, 1.3),
    _less(100, ('moe',), 'gpt2', 9, 1.5),
    _less(100, ('llama',), 'llama_canon', 5, 1.15, '4.1'),
)
