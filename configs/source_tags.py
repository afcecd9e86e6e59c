"""Useful data among junk, with and without domain tags (Part 3.3, section 10).

python -m physics_lm.train --config=configs/source_tags.py:tagged --workdir=DIR

Variants: `clean` (no junk), `junk` (1/8 of the entries are useful, 7/8 are
about people who hardly ever occur twice), `repetitive` (7/8 are about ten
people, repeated very often), `tagged` (as `junk`, with a domain tag before
every useful entry), `tag_half` and `tag_quarter` (before 50 or 25 % of the
useful entries), `tag_on_junk` (before all useful entries and as many of junk).
Variant `compact` is `clean` in the compact recipe of configs/biod.py;
compact_run makes the others of it.
"""

from ml_collections import ConfigDict

from physics_lm.configs import biod, default

PEOPLE, NAMES = 500, 256**3
TAG = ' good'  # one word
USEFUL = 1 / 8  # share of entries
# variant: share of useful entries that have the tag, share of tagged entries
# that are useful
VARIANTS = {
    'clean': (0.0, 1.0), 'junk': (0.0, 1.0), 'repetitive': (0.0, 1.0),
    'tagged': (1.0, 1.0), 'tag_half': (0.5, 1.0), 'tag_quarter': (0.25, 1.0),
    'tag_on_junk': (1.0, 0.5)}

JUNK, REPETITIVE = 1 - USEFUL, 14  # useful people per person of repetitive junk
# variant of the compact recipe: share of junk, and as in VARIANTS
COMPACT = {k: (0.0 if k == 'clean' else JUNK, *v)
           for k, v in VARIANTS.items()} | {
    'tag_eighth': (JUNK, 0.125, 1.0), 'tag_most': (JUNK, 0.75, 1.0),
    'junk_half': (0.5, 0.0, 1.0), 'junk_3_quarters': (0.75, 0.0, 1.0),
    'tagged_junk_half': (0.5, 1.0, 1.0)}


def get_config(variant: str = 'tagged') -> ConfigDict:
  """One of VARIANTS, or 'compact'. Raises ValueError."""
  if variant not in (*VARIANTS, 'compact'):
    raise ValueError(f'variant is {variant!r}, wanted one of '
                     f'{", ".join((*VARIANTS, "compact"))}')
  is_compact = variant == 'compact'
  variant = 'clean' if is_compact else variant
  c = default.get_config()
  c.worlds = {'useful': default.biod(), 'junk': default.biod()}
  for w in c.worlds.values():
    w.name_alphabet, w.name_length = 256, 3
    w.attributes, w.diversity, w.symbols = 4, 128, 128
  few = variant == 'repetitive'
  c.worlds.useful.people = PEOPLE
  c.worlds.junk.person_offset = PEOPLE
  c.worlds.junk.people = PEOPLE // 50 if few else NAMES - PEOPLE
  # A row is of one task: eight entries of 12 tokens and a tag.
  c.data.seq_len, c.data.batch_size = 104, 4
  tagged, precision = VARIANTS[variant]
  useful = 1.0 if variant == 'clean' else USEFUL
  tagged_junk = useful * tagged * (1 - precision) / precision
  c.data.tasks = {
      'useful': default.task('useful', 'bio', useful * (1 - tagged)),
      'tagged': default.task('useful', 'bio', useful * tagged),
      'junk': default.task('junk', 'bio', 1 - useful - tagged_junk),
      'junk_tagged': default.task('junk', 'bio', tagged_junk)}
  c.data.tasks.tagged.tag = c.data.tasks.junk_tagged.tag = TAG
  c.model.depth, c.model.width, c.model.heads = 2, 16, 2
  c.steps = 12_500
  c.optim.weight_decay, c.optim.learning_rate = 0.01, 8e-3
  c.evals = {'bits': default.evaluation('knowledge_bits'),
             'tagged': default.evaluation('knowledge_bits')}
  for e in c.evals.values():
    e.world, e.people = 'useful', PEOPLE
  c.evals.tagged.tag = TAG
  c.checkpoint.every, c.log.every = 20_000, 500
  if is_compact:
    biod.compact(c)
    c.data.seq_len = 13  # end token, a tag, three symbols, eight values
  return c


def compact_run(people: int, exposures: int, width: int, variant: str) -> dict:
  """Overrides of the compact recipe: useful people, exposures of each, width
  of the model, and one of COMPACT. Junk people are all other names, so that
  hardly any occurs twice; of `repetitive` they are few."""
  junk, tagged, precision = COMPACT[variant]
  useful = 1 - junk
  tagged_junk = useful * tagged * (1 - precision) / precision
  c = biod.compact_run(people, exposures, width)
  batch = max(c['data.batch_size'], 32 if junk else 0)  # few are useful
  steps = round(people * exposures / useful / batch)
  own = {k: v for k, v in c.items() if not k.startswith(('worlds', 'evals'))}
  return own | {
      'data.seq_len': 13, 'data.batch_size': batch, 'steps': steps,
      'optim.warmup_steps': steps // 50,
      'worlds.useful.people': people, 'worlds.junk.person_offset': people,
      'worlds.junk.people': people // REPETITIVE if variant == 'repetitive'
                            else NAMES - people,
      'evals.bits.people': people, 'evals.tagged.people': people,
      'data.tasks.useful.weight': useful * (1 - tagged),
      'data.tasks.tagged.weight': useful * tagged,
      'data.tasks.junk.weight': junk - tagged_junk,
      'data.tasks.junk_tagged.weight': tagged_junk}
