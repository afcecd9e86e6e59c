"""bioD: knowledge capacity in bits (Part 3.3); 4,000 people, 100 exposures.

python -m physics_lm.train --config=configs/biod.py --workdir=runs/bits

Variant `compact` stores 2 bits a parameter after 100 exposures, in seconds of
one core: eight attributes, always in one order and without symbols of their
own; one entry a row; epochs that are permutations of all people; Muon. Variants
`compressed` and `compact_compressed` also evaluate quantised and pruned
weights. Variant `mixing` trains on two sets of people in the compact recipe: a
body by a power law, and groups of people, few of the rows. Variant `adapting`
has two sets of people, `old`, which it trains on, and `new`, for a further run.
Variant `quality` trains on one value each of the same people from a clean and a
dirty source, and on that of others, who are rare. Variant `dynamics` has
attributes in random order, and evaluations during training of known people and
of people without entries.
"""

import math

from ml_collections import ConfigDict

from physics_lm.configs import default

PEOPLE, EXPOSURES = 4000, 100
ENTRIES = 16  # of a step: two rows of 88 tokens with eight entries of 11 each
COMPRESSIONS = {  # name: keys of the evaluation
    **{f'{m}{b}': {'compress': m, 'bits': b}
       for m in ('nearest', 'gptq') for b in (8, 6, 5, 4, 3)},
    **{f'{m}{k:.0%}'.rstrip('%'): {'compress': m, 'keep_fraction': k}
       for m in ('prune', 'wanda', 'sparsegpt', 'prune_units')
       for k in (0.9, 0.75, 0.5)}}
VARIANTS = ('compressed', 'compact', 'compact_compressed', 'mixing',
            'adapting', 'quality', 'dynamics')
COMPACT_RATES = {'muon': 8e-3, 'adamw': 4e-3}
COMPACT_PEOPLE = 1800  # R_max 2.9 at width 32
BODY, GROUPS, GROUP_SIZE = 8192, 60, 4  # people; groups and people of each
OLD, NEW = 600, 1000  # people of `adapting`
MAX_BODY = 32_768  # names of the body; the others are the groups'
GROUP_SHARE = 0.05  # of rows
COMPACT_TOKENS = {'fixed': 11, 'random': 19}  # of an entry, by worlds.*.order


def get_config(variant: str = '') -> ConfigDict:
  """bioD; variant: '' or one of VARIANTS. Raises ValueError."""
  if variant not in ('', *VARIANTS):
    raise ValueError(f'variant is {variant!r}, wanted none or one of '
                     f'{", ".join(VARIANTS)}')
  if variant in RECIPES:
    return RECIPES[variant](get_config('compact'))
  c = default.get_config()
  c.worlds = {'bits': default.biod()}
  w = c.worlds.bits
  w.people, w.name_alphabet, w.name_length = PEOPLE, 256, 2
  w.attributes, w.diversity, w.symbols = 4, 128, 128
  c.data.seq_len, c.data.batch_size = 88, 2
  c.data.tasks = {'bio': default.task('bits', 'bio', 1.0)}
  c.model.depth, c.model.width = 2, 64
  c.steps = PEOPLE * EXPOSURES // ENTRIES
  c.optim.weight_decay, c.optim.learning_rate = 0.01, 3e-3
  c.evals = {'bits': default.evaluation('knowledge_bits'),
             'loss': default.evaluation('loss')}
  if variant.endswith('compressed'):
    for name, keys in COMPRESSIONS.items():
      c.evals[name] = default.evaluation('knowledge_bits')
      c.evals[name].update(keys)
  if variant.startswith('compact'):
    compact(c)
  for e in c.evals.values():
    e.world, e.people = 'bits', w.people
  c.checkpoint.every = c.steps
  c.log.every = 500
  return c


def compact(c: ConfigDict):
  """Sets the compact recipe in a config whose worlds are bioD. Training needs
  at least some 1,400 steps."""
  for w in c.worlds.values():
    w.people, w.attributes, w.order = COMPACT_PEOPLE, 8, 'fixed'
  c.data.seq_len, c.data.batch_size = COMPACT_TOKENS['fixed'], 32
  c.data.sampling = 'epochs'
  c.model.width, c.model.heads = 32, 2
  c.steps = COMPACT_PEOPLE * EXPOSURES // c.data.batch_size
  c.optim.name, c.optim.learning_rate = 'muon', COMPACT_RATES['muon']


def mixing(c: ConfigDict) -> ConfigDict:
  """The compact recipe `c` with two worlds, a task and an evaluation of each:
  `body`, by a power law, and `groups` of equally frequent people."""
  c.worlds = {k: ConfigDict(c.worlds.bits) for k in ('body', 'groups')}
  for name, w in c.worlds.items():
    w.attributes, w.zipf_a = 16, 0.5
    w.people = BODY if name == 'body' else GROUPS * GROUP_SIZE
  c.worlds.groups.person_offset = MAX_BODY
  c.worlds.groups.people_per_rank = GROUP_SIZE
  c.data.tasks = {
      'body': default.task('body', 'bio', 1 - GROUP_SHARE),
      'groups': default.task('groups', 'bio', GROUP_SHARE)}
  c.data.seq_len, c.data.batch_size = COMPACT_TOKENS['fixed'] + 8, 128
  c.evals = {k: default.evaluation('knowledge_bits') for k in c.worlds}
  for name, e in c.evals.items():
    e.world, e.people = name, c.worlds[name].people
  c.steps, c.optim.warmup_steps = 4000, 80
  c.checkpoint.every = 10_000
  return c


def adapting(c: ConfigDict) -> ConfigDict:
  """The compact recipe `c` with two sets of people, a task and an evaluation of
  each: `old`, all of the rows, and `new`, none of them."""
  c.worlds = {k: ConfigDict(c.worlds.bits) for k in ('old', 'new')}
  c.worlds.old.people, c.worlds.new.people = OLD, NEW
  c.worlds.new.person_offset = OLD
  c.data.tasks = {'old': default.task('old', 'bio', 1.0),
                  'new': default.task('new', 'bio', 0.0)}
  c.evals = {k: default.evaluation('knowledge_bits') for k in c.worlds}
  for name, e in c.evals.items():
    e.world, e.people = name, c.worlds[name].people
  c.steps, c.optim.warmup_steps = 3750, 75  # 200 exposures
  c.checkpoint.every = 10_000
  return c


def quality(c: ConfigDict) -> ConfigDict:
  """The compact recipe `c` with three worlds and tasks of one value a person:
  `clean` and `dirty`, which has 80 % incorrect values, of the same people, and
  `rare`, of others, who take no part. `last` and `mean` evaluate the last
  parameters, and their mean over the last four checkpoints, on true values."""
  w = c.worlds.bits
  w.people, w.attributes, w.diversity, w.symbols = 2000, 1, 32, 32
  w.name_alphabet = 64
  c.worlds = {k: ConfigDict(w) for k in ('clean', 'dirty', 'rare')}
  c.worlds.dirty.incorrect = 0.8
  c.worlds.rare.people, c.worlds.rare.person_offset = 200, 2000
  c.data.tasks = {k: default.task(k, 'bio', share, 'answers') for k, share in (
      ('clean', 0.5), ('dirty', 0.5), ('rare', 0.0))}
  c.data.seq_len, c.data.batch_size = 4, 128
  c.model.width, c.model.heads = 64, 4
  c.optim.name, c.optim.learning_rate = 'adamw', 3e-3
  c.optim.final_lr_fraction, c.optim.decay_fraction = 0.0, 0.2
  c.steps, c.optim.warmup_steps, c.checkpoint.every = 800, 40, 40
  c.evals = {k: default.evaluation('knowledge_bits')
             for k in ('last', 'mean', 'rare_last', 'rare_mean')}
  for name, e in c.evals.items():
    e.world = 'rare' if name.startswith('rare') else 'clean'
    e.people = c.worlds[e.world].people
    e.average = 4 if name.endswith('mean') else 1
  return c


def dynamics(c: ConfigDict) -> ConfigDict:
  """The compact recipe `c` in random order, with three worlds: `known`, whose
  people all rows are of, its first quarter, `few`, none of them, and `unseen`,
  others. Both `known` and `unseen` are evaluated during training."""
  w = c.worlds.bits
  w.people, w.attributes, w.order = 2000, 4, 'random'
  c.worlds = {k: ConfigDict(w) for k in ('known', 'few', 'unseen')}
  c.worlds.few.people = 500
  c.worlds.unseen.people, c.worlds.unseen.person_offset = 256, 32_768
  c.data.tasks = {'known': default.task('known', 'bio', 1.0),
                  'few': default.task('few', 'bio', 0.0)}
  c.data.batch_size = 128  # entries, of 11 tokens
  c.model.width, c.model.heads = 64, 4
  c.optim.name, c.optim.learning_rate = 'adamw', COMPACT_RATES['adamw']
  c.optim.schedule, c.optim.warmup_steps = 'constant', 50
  c.evals = {k: default.evaluation('knowledge_bits')
             for k in ('known', 'unseen')}
  for name, e in c.evals.items():
    e.world, e.people, e.every = name, 256, 20
  c.steps, c.checkpoint.every = 2000, 10_000
  return c


RECIPES = {  # made of the compact recipe
    'mixing': mixing, 'adapting': adapting, 'quality': quality,
    'dynamics': dynamics}


def compact_people(width: int, r_max: float, attributes: int = 8,
                   chunks: int = 1, diversity: int = 128, chunk_length: int = 1,
                   symbols: int = 128, name_length: int = 2,
                   parameters: int = 0) -> int:
  """People for which a model of the compact recipe has this R_max, in a world
  of these sizes (evals/knowledge_bits.py has the formula). Its parameters are
  those of the recipe's architecture at a width, unless they are given."""
  table = 256 + 2 + symbols  # of the name's alphabet, the end token, padding
  if not parameters:
    parameters = 24 * width**2 + (28 + table) * width  # two layers
  sets = attributes * diversity * (
      chunk_length * math.log2(symbols) - math.log2(diversity))
  value, n = attributes * chunks * math.log2(diversity), 1000.0
  for _ in range(30):  # of a name: less log2 n bits, those of their order
    n = (r_max * parameters - sets) / (
        value + 8 * name_length - math.log2(n))
  return round(n)


def compact_run(people: int, exposures: int, width: int, order: str = 'fixed',
                optimizer: str = 'muon') -> dict:
  """Overrides of the compact recipe for another number of people, exposures of
  each or width."""
  return compact_schedule(people, exposures) | {
      'worlds.bits.people': people, 'worlds.bits.order': order,
      'evals.bits.people': people, 'data.seq_len': COMPACT_TOKENS[order],
      'optim.name': optimizer, 'optim.learning_rate': COMPACT_RATES[optimizer],
      'model.width': width, 'model.heads': compact_heads(width),
      'checkpoint.every': 10_000}


def compact_schedule(people: int, exposures: int) -> dict:
  """Overrides: some 5,000 steps of 8 to 256 entries, one a row."""
  ideal = people * exposures / 5000
  batch = next((b for b in (8, 16, 32, 64, 128) if ideal < 1.41 * b), 256)
  steps = max(round(people * exposures / batch), 1)
  return {'data.batch_size': batch, 'steps': steps,
          'optim.warmup_steps': steps // 50}


def compact_heads(width: int) -> int:
  """Heads of a compact model."""
  return 1 if width < 16 else 2 if width < 48 else 4


def mixing_run(width: int, a: float, body: int, groups: int, ranks: bool,
               weights: tuple[float, float], steps: int) -> dict:
  """Overrides of the variant `mixing`: the body's exponent and people, people
  of the groups, whether by groups of ranks or all equally frequent, and the
  weights of both."""
  return {'worlds.body.zipf_a': a, 'worlds.body.people': body,
          'evals.body.people': body, 'worlds.groups.people': groups,
          'evals.groups.people': groups,
          'worlds.groups.zipf_a': 0.5 if ranks else 0.0,
          'worlds.groups.people_per_rank': GROUP_SIZE if ranks else 1,
          'data.tasks.body.weight': weights[0],
          'data.tasks.groups.weight': weights[1], 'model.width': width,
          'model.heads': 1 if width < 16 else 2 if width < 48 else 4,
          'steps': steps, 'optim.warmup_steps': steps // 50}
