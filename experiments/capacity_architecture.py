"""Does the architecture change how much knowledge a parameter stores?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), Results 5 to 7 and 9. Paper (bioS,
1M to 500M parameters): at 1,000 exposures LLaMA, Mistral, MLP width / 4 and no
MLP at all store what GPT-2 (rotary) stores. At 100 LLaMA and Mistral store 1.3
times less, because of the gated MLP; MLP width / 4 costs nothing, no MLP more
than 1.5 times. 32 experts store 1.3 (1,000) and 1.5 times (100) less. Part 4.1
(2512.17351), Result 5: Canon gives back half of what gated MLPs cost at 100.

  python -m physics_lm.launch experiments/capacity_architecture.py --scale=cpu
  python -m physics_lm.report experiments/capacity_architecture.py --scale=cpu

Measured, `cpu`: 108 runs, 31 minutes of one core. Deviations there: bioD (R_max
1.4 at 100 exposures, 2.1 at 1,000), 2 layers, 11 to 13 thousand parameters, 8
experts, top-1; the best of four learning rates on these seeds (1,000 exposures:
one). Predicted for Canon at A and B (4 % more parameters): R of LLaMA * 1.15.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, ratio_between, times_more
from physics_lm.configs import scales
from physics_lm.configs.architectures import ARCHITECTURES
from physics_lm.sweep import Run, pick

LABELS = {'gpt2': 'GPT-2 (rotary)', 'llama': 'LLaMA (gated MLP)',
          'llama_plain': 'LLaMA, plain MLP', 'mistral': 'Mistral (gated MLP)',
          'mlp_quarter': 'GPT-2, MLP width / 4', 'no_mlp': 'GPT-2, no MLP',
          'moe': 'GPT-2, MoE', 'llama_canon': 'LLaMA + Canon'}
PAPER = {  # R over GPT-2's R
    1000: dict(llama=1, mistral=1, mlp_quarter=1, no_mlp=1, moe=1 / 1.3),
    100: dict(llama=1 / 1.3, llama_plain=1, mistral=1 / 1.3, mlp_quarter=1,
              no_mlp=1 / 1.5, moe=1 / 1.5)}
SMALL, MEDIUM, LARGE = (dict(zip(ARCHITECTURES, (*[width] * 4, *others, width)))
                        for width, *others in (  # about as many parameters
    (16, 20, 22, 12), (128, 144, 160, 64), (256, 320, 384, 128)))
BIOD = dict(config='configs/biod.py', world='bits', biographies=8, depth=2)
BIOS = dict(config='configs/bios_bits.py', world='bios', biographies=6.8,
            experts={'model.num_experts': 32}, depth=2, seeds=3)
MOE = {'model.rope_fraction': 0.5, 'model.num_experts': 8}  # rotary: 2 / head
SCALES = {  # exposures: people, architectures, learning rates, rows a step
    'smoke': BIOD | dict(
        points={4: (20, ('gpt2', 'llama', 'moe'), (8e-3,), 2)}, widths=SMALL,
        seeds=1, experts=MOE, common=scales.SMOKE_LOG),
    'cpu': BIOD | dict(
        points={100: (500, tuple(LABELS), (8e-3, 4e-3, 16e-3, 32e-3), 2),
                1000: (800, ('gpt2', 'llama', 'no_mlp', 'moe'), (3e-3,), 8)},
        widths=SMALL, seeds=3, experts=MOE, common={}),
    'gpu': BIOS | dict(
        points={100: (50_000, tuple(LABELS), (5e-4, 1e-3, 2e-3), 12),
                1000: (50_000, tuple(LABELS), (1e-3,), 96)},
        common=scales.PAPER_POOLS | scales.CAPACITY_GPU, widths=MEDIUM),
    'paper': BIOS | dict(
        points={100: (200_000, tuple(LABELS), (3e-4, 5e-4, 1e-3), 48),
                1000: (200_000, tuple(LABELS), (5e-4, 1e-3, 2e-3), 192)},
        common=scales.PAPER_POOLS | scales.CAPACITY_PAPER, widths=LARGE,
        depth=4, seeds=1)}
POINT = ['architecture', 'exposures']


def runs(scale: str) -> list[Run]:
  """Every (exposures, learning rate, architecture, seed)."""
  s, out = pick(SCALES, scale), []
  for exposures, (people, which, rates, batch) in s['points'].items():
    changes = {
        f'worlds.{s["world"]}.people': people, 'evals.bits.people': people,
        'model.heads': 2, 'model.depth': s['depth'], 'data.batch_size': batch,
        'steps': round(people * exposures / s['biographies'] / batch),
        'checkpoint.every': 10_000, 'log.every': 500} | s['common']
    out += [
        Run(s['config'], changes | ARCHITECTURES[name] | {
            'model.width': s['widths'][name], 'optim.learning_rate': rate}
            | (s['experts'] if name == 'moe' else {}) | scales.seeds(seed),
            {'architecture': name, 'exposures': exposures,
             'learning_rate': rate, 'seed': seed})
        for rate in rates for name in which for seed in range(s['seeds'])]
  return out


def table(records):
  """A row a run. `best`: the learning rate with the highest mean R."""
  df = results.capacity(records)
  df['best'] = df.run.isin(results.best_by(df, POINT, 'learning_rate', R).run)
  return df


def summary(df):
  """R and R_max by architecture and exposures, at the best learning rate."""
  by = [*POINT, 'parameters', 'n_items', 'learning_rate']
  return results.summarise(df[df.best], by, [R, f'{R}_max'])


def figure(df):
  """R of each architecture; a panel for each number of exposures."""
  s = summary(df)
  names = {a: n for a, n in LABELS.items() if a in set(s.architecture)}
  exposures = sorted(set(s.exposures), reverse=True)
  fig, axes = figures.grid(len(exposures), width=4.9, height=3.9, sharey=True)
  for ax, e in zip(axes[0], exposures):
    rows = s[s.exposures == e].set_index('architecture').reindex(list(names))
    base, ran = rows[f'{R}_mean']['gpt2'], rows[f'{R}_mean'].notna()
    figures.bars(ax, rows, R, list(names.values()), [
        figures.colour(a) for a in names], [
            base * PAPER[e][a] if e in PAPER and a in PAPER[e] and ran[a]
            else None for a in names], horizontal=True, digits=2)
    figures.level(ax, base, vertical=True)
    ax.set_xlim(0, 1.2 * s[f'{R}_mean'].max() or 1)
    figures.labels(ax, 'R: bits stored per parameter')
    figures.title(ax, f'{e:,} exposures of {rows.n_items["gpt2"]:,.0f} people')
  figures.finish(
      fig, 'Capacity ratio R by architecture, at equal numbers of parameters',
      f'{figures.seeds_note(s)};  {s.parameters.min():,} to '
      f'{s.parameters.max():,} parameters;  no bar: not run; dotted: GPT-2;\n'
      "diamonds: that times the paper's ratio (no MLP, 100 exposures: at most)")
  return fig


def _at(exposures: int, *names: str) -> tuple:
  return tuple({'architecture': a, 'exposures': exposures, 'best': True}
               for a in names)


def _keeps(e: int, name: str, result: int, **more) -> Claim:
  return Claim(f'{name}_{e}', f'{e:,} exposures: R of {LABELS[name]} is at '
               'least 90 % of GPT-2\'s', f'Part 3.3, Result {result}', 'equal',
               _at(e, name, 'gpt2'), ratio_between(0.9), **BITS, **more)


def _less(e: int, names: tuple, than: str, result: int, times: float,
          part='3.3', **more) -> Claim:
  return Claim('_'.join((*names, str(e), than)).removesuffix('_gpt2'),
               f'{e:,} exposures: R of {" and ".join(LABELS[a] for a in names)}'
               f' is below that of {LABELS[than]}',
               f'Part {part}, Result {result}', f'{times} times less',
               tuple(_at(e, than, a) for a in names), times_more(),
               paper_effect=times, **BITS, **more)


R, SEEDS = 'bits_per_param', 'some 20 seeds, a core-minute each'
BITS = dict(column=R, unit='bits/param')
CLAIMS = (
    *(_keeps(1000, a, 5) for a in LABELS if a in PAPER[1000] and a != 'moe'),
    _less(100, ('llama', 'mistral'), 'gpt2', 6, 1.3),
    _keeps(100, 'mlp_quarter', 6, decided_by=SEEDS),
    _less(100, ('no_mlp',), 'gpt2', 6, 1.5),
    _keeps(100, 'llama_plain', 7),
    _less(100, ('llama',), 'llama_plain', 7, 1.3, decided_by=SEEDS),
    _less(1000, ('moe',), 'gpt2', 9, 1.3),
    _less(100, ('moe',), 'gpt2', 9, 1.5),
    _less(100, ('llama',), 'llama_canon', 5, 1.15, '4.1'),
)
