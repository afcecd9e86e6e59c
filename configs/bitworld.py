"""bioD, knowledge counted in bits (Part 3.3): 4,000 people, 100 exposures.

python -m physics_lm.train --config=configs/bitworld.py --workdir=runs/bits
"""

from configs import default

PEOPLE, EXPOSURES = 4000, 100
ENTRIES = 16  # a step: two rows of 88 tokens, each eight entries of 11


def get_config():
  c = default.get_config()
  c.worlds = {'bits': default.bitworld()}
  w = c.worlds.bits
  w.people, w.name_alphabet, w.name_length = PEOPLE, 256, 2
  w.attributes, w.diversity, w.symbols = 4, 128, 128
  c.data.length, c.data.batch = 88, 2
  c.data.tasks = {'bio': default.task('bits', 'bio', 1.0)}
  c.model.depth, c.model.width = 2, 64
  c.steps = PEOPLE * EXPOSURES // ENTRIES
  c.optim.weight_decay, c.optim.learning_rate = 0.01, 3e-3
  c.evals = {'bits': default.evaluation('knowledge_bits'),
             'loss': default.evaluation('loss')}
  c.evals.bits.world, c.evals.bits.people = 'bits', PEOPLE
  c.checkpoint.every = c.steps
  c.log.every = 500
  return c
