"""Biographies and questions (Part 3.1).

  python -m physics_lm.train --config=configs/biographies.py:multi5_permute \
      --workdir=runs/biographies

The text after the colon is the variant of the biographies; mixed training,
Result 1. `compact` before it is a world of 2,000 people in which a name, a
value or the words between them are one token, so that a text has 27 tokens,
and a recipe that shows what is extracted in minutes of one core; after it,
`pretrain` trains on biographies alone and `finetune` on questions, with loss
on their answers, from the run `init_from`:

  python -m physics_lm.train --config=configs/biographies.py:compact_single \
      --workdir=runs/mixed
  python -m physics_lm.train --workdir=runs/pretrained \
      --config=configs/biographies.py:compact_single_pretrain
  python -m physics_lm.train --workdir=runs/finetuned \
      --config=configs/biographies.py:compact_single_finetune \
      --config.init_from=runs/pretrained
"""

from configs import default

COMPACT_WORLD = {
    'people': 2000, 'first_names': 100, 'middle_names': 100, 'last_names': 400,
    'years': 4, 'months': 12, 'days': 1, 'cities': 40, 'universities': 40,
    'majors': 40, 'employers': 40, 'templates': 3}


def get_config(variant: str = 'multi5_permute'):
  c = default.get_config()
  name, _, rest = variant.partition('_')
  if name == 'compact':
    variant, _, stage = rest.rpartition('_')
    if stage not in ('mixed', 'pretrain', 'finetune'):
      variant, stage = rest, 'mixed'
    _compact(c, stage)
  c.worlds.bios.variant = variant or 'multi5_permute'
  return c


def _compact(c, stage: str):
  """Weight decay is what decides: a model that forgets a fact before it reads
  it again cannot learn answers by heart, and shares what texts and questions
  have in common."""
  c.worlds.bios.update(COMPACT_WORLD)
  c.data.vocab, c.data.seq_len, c.data.batch_size = 'piece', 112, 32
  c.model.width, c.model.depth, c.model.heads = 128, 2, 4
  o, bio, qa = c.optim, c.data.tasks.bio, c.data.tasks.qa
  o.name, o.weight_decay, c.steps = 'muon', 1.0, 2500
  bio.weight = {'mixed': 0.1, 'pretrain': 1.0, 'finetune': 0.0}[stage]
  qa.weight = 1.0 - bio.weight
  if stage == 'finetune':
    c.steps, o.warmup_steps, qa.loss = 300, 50, 'answers'
    # Forgets little. After single texts it fits half of the questions: 2e-4
    # fits them all, 5e-4 costs what other wordings have made extractable.
    o.name, o.learning_rate, o.weight_decay = 'adamw', 1e-4, 0.0
