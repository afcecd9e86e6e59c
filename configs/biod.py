"""bioD: knowledge capacity in bits (Part 3.3); 4,000 people, 100 exposures.

python -m physics_lm.train --config=configs/biod.py --workdir=runs/bits

Variant `compressed` also evaluates quantised and pruned weights.
"""

from ml_collections import ConfigDict

from configs import default

PEOPLE, EXPOSURES = 4000, 100
ENTRIES = 16  # of a step: two rows of 88 tokens with eight entries of 11 each
COMPRESSIONS = {  # name: keys of the evaluation
    **{f'{m}{b}': {'compress': m, 'bits': b}
       for m in ('nearest', 'gptq') for b in (8, 6, 5, 4, 3)},
    **{f'{m}{k:.0%}'.rstrip('%'): {'compress': m, 'keep_fraction': k}
       for m in ('prune', 'prune_units') for k in (0.9, 0.75, 0.5)}}


def get_config(variant: str = '') -> ConfigDict:
  """bioD; variant: '' or 'compressed'. Raises ValueError."""
  if variant not in ('', 'compressed'):
    raise ValueError(f"variant is {variant!r}, wanted none or 'compressed'")
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
  if variant:
    for name, keys in COMPRESSIONS.items():
      c.evals[name] = default.evaluation('knowledge_bits')
      c.evals[name].update(keys)
  for e in c.evals.values():
    e.world, e.people = 'bits', PEOPLE
  c.checkpoint.every = c.steps
  c.log.every = 500
  return c
