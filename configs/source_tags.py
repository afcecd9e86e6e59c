"""Useful data among junk, with and without domain tags (Part 3.3, section 10).

python -m physics_lm.train --config=configs/source_tags.py:tagged --workdir=DIR

Variants: `clean` (no junk), `junk` (1/8 of the entries are useful, 7/8 are
about people who hardly ever occur twice), `repetitive` (7/8 are about ten
people, repeated very often), `tagged` (as `junk`, with a domain tag before
every useful entry), `tag_half` and `tag_quarter` (before 50 or 25 % of the
useful entries), `tag_on_junk` (before all useful entries and as many of junk).
Variant `compact` is `clean` in the compact recipe of configs/biod.py;
compact_run makes the others of it. Variant `domains` is that recipe with five
tags, one before every entry: four domains with useful people of their own, of
different purity (share of useful entries), and one of junk alone.
"""

from collections.abc import Sequence

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

JUNK = 1 - USEFUL
# Useful people per person of repetitive junk; the paper: 50 to 200.
REPETITIVE = {'repetitive': 14, 'repetitive_100': 100}
# variant of the compact recipe: share of junk, and as in VARIANTS
COMPACT = {k: (0.0 if k == 'clean' else JUNK, *v)
           for k, v in VARIANTS.items()} | {
    'repetitive_100': (JUNK, 0.0, 1.0),
    'tag_eighth': (JUNK, 0.125, 1.0), 'tag_most': (JUNK, 0.75, 1.0),
    'junk_half': (0.5, 0.0, 1.0), 'junk_3_quarters': (0.75, 0.0, 1.0),
    'tagged_junk_half': (0.5, 1.0, 1.0)}
# Useful people of the compact recipe by width: R_max 2.6 (16: 2.8).
COMPACT_PEOPLE = {16: 500, 24: 900, 32: 1400, 64: 4700, 128: 16_500}
# Learning rate with 7/8 unique junk: the best at widths 16 and 24 (32: 2e-3 is
# better without tags). 8e-3, the best of each without junk, makes larger models
# lose what is rare (experiments/junk_learning_rate.py).
JUNK_RATE = 4e-3
DOMAINS = 'abcd'  # with useful people


def get_config(variant: str = 'tagged') -> ConfigDict:
  """One of VARIANTS, 'compact', or 'domains'. Raises ValueError."""
  if variant not in (*VARIANTS, 'compact', 'domains'):
    raise ValueError(f'variant is {variant!r}, wanted one of '
                     f'{", ".join((*VARIANTS, "compact", "domains"))}')
  if variant == 'domains':
    return domains(get_config('compact'))
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


def domains(c: ConfigDict) -> ConfigDict:
  """The compact recipe `c` with a world, a task and an evaluation of the people
  of each domain, a task of its junk, and one of the fifth's."""
  c.worlds = {d: ConfigDict(c.worlds.useful) for d in DOMAINS} | {
      'junk': c.worlds.junk}
  c.data.tasks = {d: default.task(d, 'bio', 0.0) for d in DOMAINS} | {
      f'junk_{d}': default.task('junk', 'bio', 0.0) for d in (*DOMAINS, 'e')}
  for name, t in c.data.tasks.items():
    t.tag = f' {name[-1]}'
  c.evals = {d: default.evaluation('knowledge_bits') for d in DOMAINS}
  for d, e in c.evals.items():
    e.world, e.tag = d, f' {d}'
  c.update_from_flattened_dict(domains_run(PEOPLE, 100, 16))
  return c


def _recipe(people: int, exposures: int, width: int, junk: float,
            order: str = 'fixed', optimizer: str = 'muon') -> dict:
  """Overrides of steps, batch, model and optimizer for a share of junk."""
  c = biod.compact_run(people, exposures, width, order, optimizer)
  batch = max(c['data.batch_size'], 32 if junk else 0)  # few are useful
  steps = round(people * exposures / (1 - junk) / batch)
  own = {k: v for k, v in c.items() if not k.startswith(('worlds', 'evals'))}
  tokens = biod.COMPACT_TOKENS[order] + 2  # a name of three symbols, a tag
  return own | {'data.seq_len': tokens, 'data.batch_size': batch,
                'steps': steps, 'optim.warmup_steps': steps // 50}


def domains_run(people: int, exposures: int, width: int,
                purities: Sequence[float] = (1.0, 0.5, 0.25, 0.125)) -> dict:
  """Overrides of variant `domains`: useful people of all domains together,
  exposures of each, width of the model, and the share of useful entries in each
  domain. An eighth of all entries is useful. Raises ValueError for purities
  that need more junk than there is."""
  useful, each = USEFUL / len(DOMAINS), people // len(DOMAINS)
  junk = [useful * (1 - p) / p for p in purities]
  if sum(junk) > JUNK:
    raise ValueError(f'purities {purities} need {sum(junk):.3f} of the entries '
                     f'for junk, wanted at most {JUNK}')
  out = _recipe(people, exposures, width, JUNK) | {
      'worlds.junk.person_offset': people, 'worlds.junk.people': NAMES - people,
      'data.tasks.junk_e.weight': JUNK - sum(junk)}
  for i, (d, share) in enumerate(zip(DOMAINS, junk)):
    out |= {f'worlds.{d}.people': each, f'worlds.{d}.person_offset': each * i,
            f'evals.{d}.people': each, f'data.tasks.{d}.weight': useful,
            f'data.tasks.junk_{d}.weight': share}
  return out


def compact_run(people: int, exposures: int, width: int,
                variant: str | tuple[float, float, float],
                order: str = 'fixed', optimizer: str = 'muon') -> dict:
  """Overrides of the compact recipe: useful people, exposures of each, width
  of the model, one of COMPACT, or its three shares, the order of attributes
  and the optimizer. Junk people are all other names, so that hardly any occurs
  twice; of REPETITIVE they are few."""
  junk, tagged, precision = (
      COMPACT[variant] if isinstance(variant, str) else variant)
  useful = 1 - junk
  tagged_junk = useful * tagged * (1 - precision) / precision
  orders = {f'worlds.{w}.order': order for w in ('useful', 'junk')
            if order != 'fixed'}
  return _recipe(people, exposures, width, junk, order, optimizer) | orders | {
      'worlds.useful.people': people, 'worlds.junk.person_offset': people,
      'worlds.junk.people': max(people // REPETITIVE[variant], 1)
                            if variant in REPETITIVE else NAMES - people,
      'evals.bits.people': people, 'evals.tagged.people': people,
      'data.tasks.useful.weight': useful * (1 - tagged),
      'data.tasks.tagged.weight': useful * tagged,
      'data.tasks.junk.weight': junk - tagged_junk,
      'data.tasks.junk_tagged.weight': tagged_junk}
