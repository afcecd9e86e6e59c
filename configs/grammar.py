"""Strings of a random context-free grammar, evaluated against its exact law.

  python -m physics_lm.train --config=configs/grammar.py --workdir=runs/grammar

Rows of 128 tokens hold about three strings. A string that does not fit at the
end of a row is dropped, so training data favour shorter strings; the evaluation
(evals/exact/grammar.py) uses strings as the grammar draws them.

Variant `repeated` has a second task, whose `pool` of strings is repeated,
`continued` one of another grammar over the same symbols, for runs that start
from a model of the first (init_from). Variant `proxies` has people of bioD by a
power law as the second domain, half of the rows.

Variant `structure` is the recipe of the experiments on Part 1 (arXiv
2305.13673): 4 layers of width 48 in the form of today's models (RMS norm, no
biases, untied), Muon, 2M tokens, a minute of one core.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default


def get_config(variant: str = '') -> ConfigDict:
  """Strings of the default grammar; variant: '', 'repeated', 'continued',
  'proxies' or 'structure'. Raises ValueError."""
  if variant not in ('', 'repeated', 'continued', 'proxies', 'structure'):
    raise ValueError(f"variant is {variant!r}, wanted none, 'repeated', "
                     "'continued', 'proxies' or 'structure'")
  c = default.get_config()
  c.worlds = {'cfg': default.grammar()}
  c.data.seq_len, c.data.batch_size = 128, 8
  c.data.tasks = {'strings': default.task('cfg', 'train', 1.0)}
  c.model.depth, c.model.width, c.model.heads = 3, 32, 2
  c.model.rope_fraction = 1.0  # small heads
  c.optim.weight_decay = 0.0  # each string is new
  c.steps = 1000
  c.evals = {'law': default.evaluation('grammar')}
  c.evals.law.world = 'cfg'
  if variant == 'repeated':
    c.data.tasks.repeated = default.task('cfg', 'train', 1.0)
    c.data.tasks.repeated.pool = 20
    c.evals.loss = default.evaluation('loss')
  if variant == 'continued':
    c.worlds.next = default.grammar()
    c.worlds.next.index = 1
    c.data.tasks.next_strings = default.task('next', 'train', 1.0)
    c.evals.next_law = default.evaluation('grammar')
    c.evals.next_law.world = 'next'
  if variant == 'proxies':
    w = c.worlds.people = default.biod()
    w.people, w.skew, w.attributes, w.order = 512, 0.7, 8, 'fixed'
    w.name_alphabet = 128
    c.data.tasks.strings.weight = 0.5
    c.data.tasks.people = default.task('people', 'bio', 0.5)
    c.data.seq_len, c.data.batch_size = 84, 16
    c.model.depth = 2
    c.optim.name, c.optim.learning_rate = 'muon', 8e-3
    c.evals = {'loss': default.evaluation('loss')}
    c.evals.loss.num_rows = 96
    c.steps, c.optim.warmup_steps = 600, 20
  if variant == 'structure':
    c.data.batch_size = 16
    c.model.depth, c.model.width, c.model.heads = 4, 48, 4
    c.model.norm, c.model.bias = 'rmsnorm', False
    c.model.tie_embeddings = False
    c.optim.name, c.optim.learning_rate = 'muon', 1e-2
    c.log.every = 250
  c.checkpoint.every = 1000
  return c
