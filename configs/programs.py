"""Compact iGSM of at most three operations, after other text or alone.

  python -m physics_lm.train --config=configs/programs.py --workdir=runs/a \\
    --config.data.tasks.problems.weight=0 --config.data.tasks.programs.weight=1
  python -m physics_lm.train --config=configs/programs.py --workdir=runs/b \\
    --config.init_from=runs/a

The first trains on programs with their traces (physics_lm/worlds/symbolic/
programs.py), the second goes on with problems; without init_from there are
problems alone. The third task, `people`, has entries of bioD: text without
arithmetic. One vocabulary holds all, and the loss is on all of programs and
people and on the solutions of problems. The rate is constant, so that a curve
does not depend on where it ends.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default, igsm


def get_config() -> ConfigDict:
  """Problems alone; a run sets the weights of the tasks."""
  c = igsm.get_config('compact')
  w = c.worlds.igsm
  w.max_op, w.max_edge = 3, 6
  c.worlds.programs, c.worlds.people = default.programs(), default.biod()
  p = c.worlds.people
  p.people, p.attributes, p.name_alphabet = 2000, 8, 64
  c.data.tasks = {'problems': default.task('igsm', 'train', 1.0, 'answers'),
                  'programs': default.task('programs', 'train', 0.0),
                  'people': default.task('people', 'bio', 0.0)}
  c.data.seq_len, c.data.batch_size = 96, 16
  c.model.depth, c.model.width = 4, 64
  c.optim.schedule = 'constant'
  c.evals = {'reasoning': default.evaluation('solutions'),
             'trace': default.evaluation('answers')}
  c.evals.reasoning.world, c.evals.trace.world = 'igsm', 'programs'
  e = c.evals.reasoning
  e.splits, e.max_new_tokens, e.num_problems, e.every = 'test_op3', 40, 200, 100
  c.evals.trace.num_problems = 100
  c.steps = c.checkpoint.every = 2000
  return c
