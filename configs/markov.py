"""Texts of Markov chains, predicted from context or memorised.

  python -m physics_lm.train --config=configs/markov.py --workdir=runs/markov
  python -m physics_lm.train --config=configs/markov.py:language \\
    --workdir=runs/language

The default (`icl`): every text has a chain of its own, so that a model must
infer its transitions from the text; two layers of width 64, half a minute of
one core. `language`: one chain of 64 symbols whose rows have the masses of a
power law, for learning a known law exactly. `scored`: 16 symbols of one chain,
texts whose count of symbols is rewarded (physics_lm/posttrain/reward.py), with
no evaluation. `judged`: half of the rows are verdicts on such texts.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default

VARIANTS = 'icl', 'language', 'scored', 'judged'


def get_config(variant: str = 'icl') -> ConfigDict:
  """variant: a member of VARIANTS. Raises ValueError."""
  if variant not in VARIANTS:
    raise ValueError(f'variant is {variant!r}, wanted one of '
                     f'{", ".join(VARIANTS)}')
  c = default.get_config()
  c.worlds = {'chain': default.markov()}
  c.data.tasks = {'texts': default.task('chain', 'train', 1.0)}
  c.data.seq_len, c.data.batch_size = 65, 64  # a row is a text
  m, o = c.model, c.optim
  m.depth, m.width, m.heads = 2, 64, 4
  m.rope_fraction = 1.0
  o.name, o.learning_rate, o.weight_decay = 'adamw', 3e-3, 0.0
  c.steps = 1000
  if variant == 'language':
    w = c.worlds.chain
    w.symbols, w.chains, w.zipf_a, w.deterministic = 64, 1, 1.0, 0.1
    m.depth, c.data.batch_size = 1, 8
    o.schedule, o.final_lr_fraction, o.learning_rate = 'linear', 0.0, 1e-2
  c.evals = {'law': default.evaluation('markov')}
  c.evals.law.world, c.evals.law.num_problems = 'chain', 256
  if variant in ('scored', 'judged'):
    w = c.worlds.chain
    w.symbols, w.chains, w.length, w.concentration = 16, 1, 16, 0.4
    c.data.seq_len, c.data.batch_size, m.width = 17, 128, 32
    c.steps, o.learning_rate, c.evals = 400, 5e-3, {}
  if variant == 'judged':
    c.worlds.verdicts = default.markov()
    c.worlds.verdicts.update(w)
    c.worlds.verdicts.judged = 1.5
    c.data.tasks.verdicts = default.task('verdicts', 'train', 1.0, 'answers')
    c.data.seq_len = 38  # two texts and a verdict
  c.checkpoint.every = c.steps
  return c
