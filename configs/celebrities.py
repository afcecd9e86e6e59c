"""Celebrities with five biographies, a minority with one (Part 3.1, section 6).

  python -m physics_lm.train --config=configs/celebrities.py:both --workdir=A
  python -m physics_lm.train --config=configs/celebrities.py:ask_celebrity \
      --workdir=B --config.init_from=A

`both` trains on biographies of celebrities (multi5+permute) and of a minority
(single+permute1), `minority` on the minority's alone; `ask_celebrity` and
`ask_minority` finetune on questions about P_train of that group. The
evaluations `minority` and `celebrity` ask about each group.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default, manipulation

VARIANTS = ('both', 'minority', 'ask_celebrity', 'ask_minority')


def get_config(variant: str = 'both') -> ConfigDict:
  """One of VARIANTS. Raises ValueError."""
  if variant not in VARIANTS:
    raise ValueError(f'variant is {variant!r}, wanted one of '
                     f'{", ".join(VARIANTS)}')
  c = default.get_config()
  c.worlds = {'minority': default.biographies(),
              'celebrity': default.biographies()}
  people = 300
  for w in c.worlds.values():
    w.update(manipulation.SMALL)
    w.people = people
  c.worlds.celebrity.person_offset = people
  c.worlds.minority.variant = 'single_permute1'
  c.data.seq_len, c.data.batch_size = 160, 12
  c.data.tasks = {
      # Every biography is drawn equally often: five of a celebrity for one of
      # a minority.
      'minority': default.task('minority', 'bio', 1 / 6),
      'celebrity': default.task('celebrity', 'bio', 5 / 6),
      'qa_minority': default.task('minority', 'qa_train', 0.0, 'answers'),
      'qa_celebrity': default.task('celebrity', 'qa_train', 0.0, 'answers')}
  t = c.data.tasks
  if variant == 'minority':
    t.celebrity.weight = 0.0
  if variant.startswith('ask'):
    t.minority.weight = t.celebrity.weight = 0.0
    t[variant.replace('ask', 'qa')].weight = 1.0
  c.optim.learning_rate, c.optim.b2 = 4e-3, 0.95
  c.evals = {'minority': default.evaluation('extraction'),
             'celebrity': default.evaluation('extraction')}
  for name, spec in c.evals.items():
    spec.world = name
  return c


def people(count: int) -> dict:
  """Overrides: so many people of each group, none in both."""
  return {'worlds.minority.people': count, 'worlds.celebrity.people': count,
          'worlds.celebrity.person_offset': count}
