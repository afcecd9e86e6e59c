"""bioS: knowledge capacity in bits (Part 3.3); new templates at each exposure.

python -m physics_lm.train --config=configs/bios_bits.py --workdir=runs/bits

A thousand permuted biographies of each person approximate a new one at every
exposure. Small pools keep the vocabulary, and so the embedding, small compared
to the layers. Variant `compact` is configs/biographies.py's compact world, one
biography a row, in epochs that are permutations of all people, with Muon.
"""

import math

from ml_collections import ConfigDict

from physics_lm.configs import biod, biographies, default

PEOPLE, EXPOSURES = 500, 100
COMPACT_PIECES = 867  # in the vocabulary of the compact world
COMPACT_RATE = 1.6e-2


def get_config(variant: str = '') -> ConfigDict:
  """bioS, 500 people, 100 exposures; variant: '' or 'compact'. Raises
  ValueError."""
  if variant not in ('', 'compact'):
    raise ValueError(f"variant is {variant!r}, wanted none or 'compact'")
  c = default.get_config()
  w = c.worlds.bios
  w.people, w.variant = PEOPLE, 'multi1000_permute'
  w.first_names, w.middle_names, w.last_names = 30, 30, 50
  w.years, w.templates = 50, 5
  w.cities = w.universities = w.majors = w.employers = 30
  c.data.seq_len, c.data.batch_size = 512, 2
  c.data.tasks = {'bio': default.task('bios', 'bio', 1.0)}
  c.model.depth, c.model.width, c.model.heads = 2, 16, 2
  c.steps = PEOPLE * EXPOSURES // 18  # about nine entries a row
  c.optim.weight_decay, c.optim.learning_rate = 0.01, 3e-3
  c.evals = {'bits': default.evaluation('knowledge_bits'),
             'loss': default.evaluation('loss')}
  c.evals.bits.people = PEOPLE
  c.checkpoint.every = c.steps
  c.log.every = 500
  if variant == 'compact':
    w.update(biographies.COMPACT_WORLD)
    c.data.vocab, c.data.seq_len, c.data.sampling = 'piece', 27, 'epochs'
    c.optim.name = 'muon'
    c.update_from_flattened_dict(compact_run(PEOPLE, EXPOSURES, 16))
  return c


def compact_people(width: int, r_max: float) -> int:
  """People for which a compact model has this R_max (evals/knowledge_bits.py
  has the formula)."""
  w = biographies.COMPACT_WORLD
  parameters = 24 * width**2 + (28 + COMPACT_PIECES) * width  # two layers
  names, lists = (math.log2(math.prod(w[k] for k in keys)) for keys in (
      ('first_names', 'middle_names', 'last_names'), (
          'years', 'months', 'days', 'cities', 'universities', 'majors',
          'employers')))
  n = 1000.0
  for _ in range(30):  # of a name: less log2 n bits, those of their order
    n = r_max * parameters / (names + lists + math.log2(3) - math.log2(n))
  return round(n)


def compact_run(people: int, exposures: int, width: int,
                variant: str = 'multi1000_permute') -> dict:
  """Overrides of the compact recipe for another number of people, exposures of
  each, width or variant of bioS."""
  return biod.compact_schedule(people, exposures) | {
      'worlds.bios.people': people, 'worlds.bios.variant': variant,
      'evals.bits.people': people, 'model.width': width,
      'model.heads': biod.compact_heads(width),
      'optim.learning_rate': COMPACT_RATE, 'checkpoint.every': 10_000}


def run_of(people: int, exposures: int, width: int) -> dict:
  """Overrides for another number of people, at least 4,000, exposures of each
  or width: a quarter of the steps at 1,000 exposures, or fewer would be too
  few at 100."""
  batch = (4 if exposures > 100 else 1) * (people // 4000)
  return {'worlds.bios.people': people, 'evals.bits.people': people,
          'model.width': width, 'model.heads': width // 64,
          'model.depth': 12 if width == 768 else 2, 'data.batch_size': batch,
          'steps': round(people * exposures / 6.8 / batch),  # entries a row
          'checkpoint.every': 10_000}
