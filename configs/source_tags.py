"""Useful biographies among junk of the same form (Part 3.3, section 10).

python -m physics_lm.train --config=configs/source_tags.py:tagged --workdir=DIR

Variants: `clean` (no junk), `junk` (1/8 useful, 7/8 of people hardly ever seen
twice), `repetitive` (7/8 of few people, seen very often), `tagged` (as junk, a
domain tag before every useful biography), `tag_half` and `tag_quarter` (before
that share of them), `tag_on_junk` (and before as many of junk).
"""

from configs import default

PEOPLE, NAMES = 500, 256**3
TAG = ' good'  # one word
USEFUL = 1 / 8  # share of biographies
# variant: share of useful biographies that carry the tag, share of tagged
# biographies that are useful
VARIANTS = {
    'clean': (0.0, 1.0), 'junk': (0.0, 1.0), 'repetitive': (0.0, 1.0),
    'tagged': (1.0, 1.0), 'tag_half': (0.5, 1.0), 'tag_quarter': (0.25, 1.0),
    'tag_on_junk': (1.0, 0.5)}


def get_config(variant: str = 'tagged'):
  if variant not in VARIANTS:
    raise ValueError(f'variant is {variant!r}, wanted one of '
                     f'{", ".join(VARIANTS)}')
  c = default.get_config()
  c.worlds = {'useful': default.biod(), 'junk': default.biod()}
  for w in c.worlds.values():
    w.name_alphabet, w.name_length = 256, 3
    w.attributes, w.diversity, w.symbols = 4, 128, 128
  few = variant == 'repetitive'
  c.worlds.useful.people = PEOPLE
  c.worlds.junk.person_offset = PEOPLE
  c.worlds.junk.people = PEOPLE // 50 if few else NAMES - PEOPLE
  # Rows are wholly one or the other: eight entries of 12 tokens and a tag.
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
  return c
