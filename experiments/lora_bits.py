"""How many bits of new knowledge fit into an adapter, and what is forgotten?

"Adapters store 1.3 (attention) to 2.4 (MLP) bits a trainable parameter"
(arXiv 2607.21351); "LoRA learns less and forgets less" (Biderman et al., arXiv
2405.09673). Here: a model stores 600 people of bioD; then an adapter, or the
whole model, trains on others, of 3 bits a trainable parameter: more than it can
hold. (1,000 for all, seed 7: small adapters end with no bits, false confidence
about the rest costs more.) Learnt: their bits; kept: of the old ones', %.

  python -m physics_lm.launch experiments/lora_bits.py --scale=cpu
  python -m physics_lm.report experiments/lora_bits.py --scale=cpu

`cpu`: 38 thousand parameters, width 32, two layers, 500 exposures of the new
people, AdamW; learning rates from three on seed 7, not reported.

Predicted, bits a trainable parameter: LoRA of rank 1, 4, 16 1.6, 1.5, 1.2; of
attention 1.0, MLP 1.6; full MLP 1.5; bottleneck 1.2, prefix, prompt 0.3, IA3
and biases 1.0; all parameters 0.9. Kept: rank 1 40, 16 5, all parameters 0 %.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, greater
from physics_lm.configs import biod, scales
from physics_lm.sweep import Run, from_bases, pick

ATTENTION, MLP = 'query,key,value,out', 'up,down'
ALL = f'{ATTENTION},{MLP}'
ARMS = {  # trainable parameters, learning rate, adapter
    'LoRA, rank 1': (1152, 2e-2, dict(kind='lora', rank=1, target_modules=ALL)),
    'LoRA, rank 4': (4608, 2e-2, dict(kind='lora', rank=4, target_modules=ALL)),
    'LoRA, rank 16': (18_432, 1e-2, dict(kind='lora', rank=16,
                                         target_modules=ALL)),
    'LoRA, attention': (4608, 2e-2, dict(kind='lora', rank=9,
                                         target_modules=ATTENTION)),
    'LoRA, MLP': (4480, 2e-2, dict(kind='lora', rank=7, target_modules=MLP)),
    'full attention': (8192, 4e-3, dict(kind='whole',
                                         target_modules=ATTENTION)),
    'full MLP': (16_384, 4e-3, dict(kind='whole', target_modules=MLP)),
    'bottleneck': (2304, 1e-2, dict(kind='bottleneck', rank=9)),
    'prefix': (2304, 2e-2, dict(kind='prefix', num_virtual_tokens=18)),
    'prompt': (2304, 2e-2, dict(kind='prompt', num_virtual_tokens=72)),
    'IA3': (384, 2e-2, dict(kind='ia3')), 'biases': (736, 2e-2, dict(
        kind='bias')), 'all parameters': (37_824, 4e-3, {'kind': 'none'}),
}
PLAIN = {'adapter.embedding_rank': 0, 'adapter.scale': 1.0}
NEW = {'data.tasks.old.weight': 0.0, 'data.tasks.new.weight': 1.0,
       'optim.name': 'adamw', 'optim.weight_decay': 0.0}
EXPOSURES, BITS = 500, 64  # of a new person
SCALES = {
    'smoke': dict(seeds=1, arms=('LoRA, rank 1', 'IA3'), base={'steps': 4},
                  new={'steps': 2}, common={
                      'optim.warmup_steps': 0, 'log.every': 2,
                      'worlds.old.people': 20, 'evals.old.people': 20,
                      'worlds.new.people': 20, 'evals.new.people': 20,
                      'worlds.new.person_offset': 20, 'data.batch_size': 4}),
    'cpu': dict(seeds=5, arms=tuple(ARMS), base={}, new={}, common={})}


def overrides(arm: str) -> dict:
  """What a run on the new people changes."""
  size, rate, adapter = ARMS[arm]
  people = round(3 * size / BITS)
  run = biod.compact_run(people, EXPOSURES, 32)
  own = ('steps', 'optim.warmup_steps', 'data.batch_size')
  return {'optim.learning_rate': rate, 'worlds.new.people': people,
          'evals.new.people': people, **{k: run[k] for k in own},
          **{f'adapter.{k}': v for k, v in adapter.items()}}


def runs(scale: str) -> list[Run]:
  """The models of the old people, and every (arm, seed)."""
  s = pick(SCALES, scale)
  return from_bases(
      'configs/biod.py:adapting', s['base'] | s['common'],
      {arm: NEW | PLAIN | overrides(arm) | s['new'] | s['common']
       for arm in s['arms']}, [*map(scales.seeds, range(s['seeds']))])


def table(records):
  """A row a run. learnt: bits of the new people; per_parameter: by trainable
  ones; kept: percent of the base's bits of the old people."""
  df = results.below(*(results.wide(records, world, {'bits': 'bits'}, (), {
      'term': 'all'}).assign(world=world) for world in ('old', 'new')))
  df = df.pivot_table('bits', ['run', 'arm', 'seed'], 'world').reset_index()
  base = df[df.arm == 'base'].set_index('seed')
  df['kept'] = 100 * df.old / df.seed.map(base.old)
  df['trainable'] = df.arm.map({arm: x for arm, (x, *_) in ARMS.items()})
  df['per_parameter'] = df.new / df.trainable
  return df.rename(columns={'new': 'learnt'}).drop(columns='old')


def summary(df):
  """By arm."""
  return results.summarise(df, ['arm', 'trainable'], [
      'per_parameter', 'learnt', 'kept'])


def figure(df):
  """Bits a trainable parameter, and what is kept; bits against size."""
  s = summary(df).set_index('arm', drop=False)
  rows = s.reindex([a for a in ARMS if a in s.index])
  fig, ((left, middle, right),) = figures.grid(3, width=4.2, height=4.2)
  for ax, column, digits, label in (
      (left, 'per_parameter', 2, 'bits learnt a trainable parameter'),
      (right, 'kept', 0, "old people's bits kept, %")):
    figures.bars_of_seeds(ax, rows, df, 'arm', column, digits)
    ax.tick_params(labelleft=ax is left)
    figures.labels(ax, label, '', '')
  for arm, row in rows.iterrows():
    at = row.trainable, row.learnt_mean
    middle.plot(*at, 'o', color=figures.INK)
    middle.annotate(arm, at, (4, -2), fontsize=6.5, textcoords='offset points')
  ends = [rows.trainable.min(), rows.trainable.max()]
  for bits, style in ((2, '-'), (1, '--')):
    middle.plot(ends, [bits * x for x in ends], style, color='0.7', zorder=0)
  middle.set_xscale('log')
  middle.set_yscale('log')
  figures.labels(middle, 'trainable parameters', 'bits learnt', '')
  figures.finish(fig, 'New people in an adapter of a model of 600 others',
                 f'bars, numbers: means; points: {s.n_seeds.max()} seeds;  '
                 'lines: 1 and 2 bits a trainable parameter')
  return fig


def more(id: str, statement: str, a: str, b: str, column='per_parameter',
         source='ours', paper='not in the paper', **keys) -> Claim:
  """The claim that arm a is above arm b."""
  return Claim(id, statement, source, paper, ({'arm': a}, {'arm': b}),
               greater(), column, '%' if column == 'kept' else 'bits/param',
               decided_by='ten seeds', **keys)


MODULES = dict(source='2607.21351', paper='2.43 vs 1.30', paper_effect=1.13)
FORGETS = ('kept', '2405.09673', 'LoRA forgets less')
CLAIMS = (
    *(more(f'{kind}_mlp_above_attention', f'{names[0]}: more bits a trainable '
           f'parameter than {names[1]}', *names, **MODULES)
      for kind, names in (('lora', ('LoRA, MLP', 'LoRA, attention')),
                          ('full', ('full MLP', 'full attention')))),
    Claim('one_bit', 'LoRA on all matrices, ranks 1, 4, 16: at least one bit a '
          'trainable parameter', 'ours', 'not in the paper', tuple(
              ({'arm': f'LoRA, rank {r}'},) for r in (1, 4, 16)), at_least(1),
          'per_parameter', 'bits/param', decided_by='ten seeds', headline=True),
    *(more(f'lora_above_{b}', f'Bits a trainable parameter: LoRA of rank 4 > '
           f'{b}', 'LoRA, rank 4', b) for b in ('prefix', 'bottleneck')),
    more('low_rank_forgets_less', 'LoRA of rank 1 keeps more of the old people '
         'than of rank 16', 'LoRA, rank 1', 'LoRA, rank 16', *FORGETS),
    more('lora_forgets_less', 'LoRA of rank 16 keeps more of the old people '
         'than all parameters', 'LoRA, rank 16', 'all parameters', *FORGETS),
)
