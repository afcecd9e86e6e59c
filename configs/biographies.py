"""bioS biographies and questions (Part 3.1, section 3).

  python -m physics_lm.train --config=configs/biographies.py:multi5_permute \
      --workdir=runs/biographies

The text after the colon is the variant of bioS; training is mixed (Result 1).
With the prefix `compact_`, the world has 2,000 people, and a name, a value or
the words between them are one token: a biography has 27 tokens, and a run takes
minutes of one core. The suffix `_pretrain` trains on biographies alone, and
`_finetune` on questions, with loss on the answers, from the run `init_from`:

  python -m physics_lm.train --config=configs/biographies.py:compact_single \
      --workdir=runs/mixed
  python -m physics_lm.train --workdir=runs/pretrained \
      --config=configs/biographies.py:compact_single_pretrain
  python -m physics_lm.train --workdir=runs/finetuned \
      --config=configs/biographies.py:compact_single_finetune \
      --config.init_from=runs/pretrained
"""

from ml_collections import ConfigDict

from physics_lm.configs import default

COMPACT_WORLD = {
    'people': 2000, 'first_names': 100, 'middle_names': 100, 'last_names': 400,
    'years': 4, 'months': 12, 'days': 1, 'cities': 40, 'universities': 40,
    'majors': 40, 'employers': 40, 'templates': 3}
# World and model of the compact recipe apart, as overrides: other recipes use
# them too (configs/scales.py).
COMPACT = {'data.vocab': 'piece', 'data.seq_len': 112, 'data.batch_size': 32,
           'model.width': 128, 'model.depth': 2, 'model.heads': 4,
           'optim.name': 'muon', 'optim.weight_decay': 1.0, 'steps': 2500}


def get_config(variant: str = 'multi5_permute') -> ConfigDict:
  """A variant of bioS, or `compact_VARIANT[_STAGE]`: see above."""
  c = default.get_config()
  name, _, rest = variant.partition('_')
  if name == 'compact':
    variant, _, stage = rest.rpartition('_')
    if stage not in ('mixed', 'pretrain', 'finetune'):
      variant, stage = rest, 'mixed'
    _compact(c, stage)
  c.worlds.bios.variant = variant or 'multi5_permute'
  return c


def _compact(c: ConfigDict, stage: str):
  """Sets the compact recipe. Weight decay matters most: a model that forgets a
  fact between two exposures cannot memorise answers apart from biographies, so
  it learns a representation that both share."""
  c.worlds.bios.update(COMPACT_WORLD)
  c.update_from_flattened_dict(COMPACT)
  o, bio, qa = c.optim, c.data.tasks.bio, c.data.tasks.qa
  bio.weight = {'mixed': 0.1, 'pretrain': 1.0, 'finetune': 0.0}[stage]
  qa.weight = 1.0 - bio.weight
  if stage == 'finetune':
    c.steps, o.warmup_steps, qa.loss = 300, 50, 'answers'
    # Forgets little. After single texts it fits half of the questions: 2e-4
    # fits them all, 5e-4 costs what other wordings have made extractable.
    o.name, o.learning_rate, o.weight_decay = 'adamw', 1e-4, 0.0
