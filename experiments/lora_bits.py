"""How many bits of new knowledge fit into an adapter, and what is forgotten?

"Adapters store 1.3 (attention) to 2.4 (MLP) bits per trainable parameter"
(arXiv 2607.21351); "LoRA learns less and forgets less" (Biderman et al., arXiv
2405.09673). Here: a model stores 600 people of bioD; then an adapter trains on
others, of 3 bits per trainable parameter: more than it can hold. LoRAMoE (1.5),
biases and prompt (1) have fewer people, of more they store less (LOG 130).
Bits of a difference (1.56, of all of the MLP) are by parameters that changed:
adapter.penalty keeps others at zero. Learnt: bits of the new people; kept: of
the old ones', %, with the adapter on.

  python -m physics_lm.launch experiments/lora_bits.py --scale=cpu
  python -m physics_lm.report experiments/lora_bits.py --scale=cpu

`cpu`: 38 thousand parameters, width 32, two layers, 500 exposures of the new
people, AdamW; rates, bits, penalty by seed 7, not reported: best of two to 8.

Predicted: LOG 120, 130; then, those known, difference 1.8 bits per changed
parameter (1.81: 19 thousand in 10,700 of 16,384; 200 people, 1.54); kept 0 %.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, above, at_least, at_most, greater
from physics_lm.configs import biod, scales
from physics_lm.sweep import Run, from_bases, pick

ATTENTION, MLP = 'query,key,value,out', 'up,down'
STEADY = {'data.batch_size': 128, 'steps': 1562, 'optim.warmup_steps': 31,
          'optim.b1': 0.97}  # noise of gradients moves parameters off zero
ALL, EXPOSURES, BITS = f'{ATTENTION},{MLP}', 500, 64  # of a new person
# trainable parameters, learning rate, bits of new people for each, adapter
ARMS = {
    'LoRA, rank 1': (1152, 4e-2, 3, dict(rank=1, target_modules=ALL)),
    'LoRA, rank 4': (4608, 2e-2, 3, dict(rank=4, target_modules=ALL)),
    'LoRA, rank 16': (18_432, 1e-2, 3, dict(rank=16, target_modules=ALL)),
    'LoRA, MLP': (4480, 2e-2, 3, dict(rank=7, target_modules=MLP)),
    'LoRA, attention': (4608, 1e-2, 3, dict(rank=9, target_modules=ATTENTION)),
    'LoRAMoE, MLP': (3840, 1e-2, 1.5, dict(
        kind='lora_moe', rank=1, experts=4, target_modules=MLP)),
    'bottleneck': (2304, 2e-2, 3, dict(kind='bottleneck', rank=9)),
    'IA3': (384, 3e-1, 3, dict(kind='ia3')),
    'prefix': (2304, 1e-1, 3, dict(kind='prefix', num_virtual_tokens=18)),
    'biases': (736, 3e-2, 1, dict(kind='bias')),
    'prompt': (2304, 3e-1, 1, dict(kind='prompt', num_virtual_tokens=72)),
    'difference, MLP': (16_384, 2e-2, 1.5625, dict(
        kind='whole', target_modules=MLP, penalty=0.25) | STEADY)}
PAPER = {'LoRA, MLP': 2.43, 'LoRA, attention': 1.30}
NEW = {'data.tasks.old.weight': 0.0, 'data.tasks.new.weight': 1.0,
       'optim.name': 'adamw', 'optim.weight_decay': 0.0, 'adapter.kind': 'lora',
       'adapter.embedding_rank': 0, 'adapter.scale': 1.0}
SCALES = {
    'smoke': dict(
        seeds=1, arms=('LoRA, rank 1',), base={'steps': 4}, new={'steps': 2},
        common={'optim.warmup_steps': 0, 'log.every': 2,
                'worlds.new.person_offset': 20, 'data.batch_size': 4,
                **{f'{part}.{who}.people': 20 for part in ('worlds', 'evals')
                   for who in ('old', 'new')}}),
    'cpu': dict(seeds=5, arms=ARMS, base={}, new={},
                common={'runtime.max_vmapped_runs': 5})}


def overrides(arm: str) -> dict:
  """What a run on the new people changes."""
  size, rate, each, adapter = ARMS[arm]
  people = round(each * size / BITS)
  own = biod.compact_run(people, EXPOSURES, 32)
  return {'optim.learning_rate': rate, 'worlds.new.people': people,
          'evals.new.people': people, **{k: own[k] for k in (
              'steps', 'optim.warmup_steps', 'data.batch_size')}, **{
                  k if k in STEADY else f'adapter.{k}': v
                  for k, v in adapter.items()}}


def runs(scale: str) -> list[Run]:
  """The models of the old people, and every (arm, seed)."""
  s = pick(SCALES, scale)
  return from_bases(
      'configs/biod.py:adapting', s['base'] | s['common'],
      {arm: NEW | overrides(arm) | s['new'] | s['common']
       for arm in s['arms']}, [*map(scales.seeds, range(s['seeds']))])


def table(records):
  """A row a run. learnt: bits of the new people; changed: parameters that
  training changed, all trainable ones unless adapter.penalty; per_parameter:
  learnt / changed; kept: percent of the base's bits of the old people."""
  df = results.below(*(results.wide(records, world, {'bits': 'bits'}, (), {
      'term': 'all'}).assign(world=world) for world in ('old', 'new')))
  df = df.pivot_table('bits', ['run', 'arm', 'seed'], 'world').reset_index()
  base = df[df.arm == 'base'].set_index('seed')
  df['kept'] = 100 * df.old / df.seed.map(base.old)
  df['trainable'] = df.arm.map({arm: x for arm, (x, *_) in ARMS.items()})
  df = df.merge(results.train_columns(records, {'changed': 'changed'}))
  df['changed'] = df['changed'].fillna(df.trainable)
  df['per_parameter'] = df.new / df.changed
  return df.rename(columns={'new': 'learnt'}).drop(columns='old')


def summary(df):
  """By arm."""
  return results.summarise(df, ['arm', 'trainable'], [
      'per_parameter', 'changed', 'learnt', 'kept'])


def figure(df):
  """Bits per changed parameter, with the paper's; of what is kept the mean."""
  s = summary(df).set_index('arm', drop=False)
  rows = s.reindex([a for a in ARMS if a in s.index])
  fig, ((ax,),) = figures.grid(1, width=7, height=5)
  figures.bars_of_seeds(ax, rows, df, 'arm', 'per_parameter', 2)
  at = {k - 0.38: PAPER[a] for k, a in enumerate(rows.index) if a in PAPER}
  ax.plot([*at.values()], [*at], 'D', color=figures.COLOURS[1],
          label='arXiv 2607.21351')
  ax.set_xlim(0, 2.8)
  figures.labels(ax, 'bits of new people per changed parameter', '', '')
  figures.legend(ax, loc='upper right')
  figures.finish(
      fig, 'New people in an adapter of a model that stores 600 others',
      f'bars, numbers: means; points: {s.n_seeds.max()} seeds; bits of old '
      f'people kept: {rows.kept_mean.mean():.0f} %')
  return fig


BITS_EACH = dict(column='per_parameter', unit='bits/param')
CLAIMS = (
    Claim('lora_mlp_above_attention', 'LoRA of the MLP stores more bits per '
          'trainable parameter than LoRA of attention', '2607.21351',
          '2.43 vs 1.30', ({'arm': 'LoRA, MLP'}, {'arm': 'LoRA, attention'}),
          greater(), paper_effect=1.13, headline=True, **BITS_EACH),
    *(above(name, f'{text} per trainable parameter than {than}', 'ours',
            {'arm': a}, {'arm': b}, rule=greater(margin), **BITS_EACH)
      for name, text, than, a, b, margin in (
          ('rank_4_above_rank_1', 'LoRA of rank 4 stores more bits', 'of rank '
           '1', 'LoRA, rank 4', 'LoRA, rank 1', 0.0),
          ('moe_below_lora', 'LoRA of the MLP stores more bits',
           'LoRAMoE of four experts', 'LoRA, MLP', 'LoRAMoE, MLP', 0.0),
          ('prefix_above_prompt', 'A prefix stores at least 0.5 bits more',
           'a prompt', 'prefix', 'prompt', 0.5),
          ('ia3_above_biases', 'IA3 stores at least 0.5 bits more', 'biases do',
           'IA3', 'biases', 0.5),
          ('selective_below_lora', 'LoRA of the MLP stores more bits', 'the '
           'difference per changed one', 'LoRA, MLP', 'difference, MLP', 0.0))),
    Claim('one_bit', 'LoRA of all matrices, rank 1 and 4, stores at least one '
          'bit per trainable parameter', 'ours', '—', tuple(({
              'arm': f'LoRA, rank {r}'},) for r in (1, 4)), at_least(1),
          **BITS_EACH),
    Claim('forgotten', 'At most 5 % of the old bits are kept, in any adapter',
          'ours', '—', tuple(({'arm': a},) for a in ARMS),
          at_most(5), 'kept', control=({'arm': 'base'},)),
)
