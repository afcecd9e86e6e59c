"""bioS: knowledge capacity in bits (Part 3.3); new templates at each exposure.

python -m physics_lm.train --config=configs/bios_bits.py --workdir=runs/bits

A thousand permuted biographies of each person approximate a new one at every
exposure. Small pools keep the vocabulary, and so the embedding, small compared
to the layers.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default

PEOPLE, EXPOSURES = 500, 100


def get_config() -> ConfigDict:
  """bioS, 500 people, 100 exposures."""
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
  return c


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
