"""Two abilities in one model: facts about people, and copying from the text.

  python -m physics_lm.train --config=configs/abilities.py --workdir=runs/two

Half of the rows are entries of 1,000 people of bioD, eight values each, three
entries a row; half are copies of 8 to 16 symbols of 32 (worlds/symbolic/).
Facts fill a model's capacity; copying needs two layers and little capacity, and
appears suddenly. `facts` and `copy` evaluate both during training by several
metrics, `loss` the loss of both tasks on rows that training does not draw.
"""

from ml_collections import ConfigDict

from physics_lm.configs import biod, default

PEOPLE, VALUES = 1000, 8


def get_config() -> ConfigDict:
  """A constant rate, so that every evaluation is of a run of so many steps."""
  c = biod.get_config('compact')
  w = c.worlds.bits
  w.people, w.attributes = PEOPLE, VALUES
  c.worlds = {'facts': w, 'copy': default.recall()}
  c.worlds.copy.min_length, c.worlds.copy.max_length = 8, 16
  c.data.tasks = {'facts': default.task('facts', 'bio', 0.5),
                  'copy': default.task('copy', 'train', 0.5, 'answers')}
  c.data.seq_len, c.data.batch_size = 34, 64
  c.model.rope_fraction = 1.0  # a quarter does not learn to copy as soon
  c.optim.name, c.optim.learning_rate = 'adamw', biod.COMPACT_RATES['adamw']
  c.optim.schedule, c.optim.warmup_steps = 'constant', 50
  c.evals = {k: default.evaluation('metrics_of_answers') for k in c.worlds}
  for name, e in c.evals.items():
    e.world, e.num_problems, e.every = name, 256, 25
  c.evals.loss = default.evaluation('loss')
  c.evals.loss.num_rows, c.evals.loss.every = 32, 25
  c.steps, c.checkpoint.every = 1500, 10_000
  return c
