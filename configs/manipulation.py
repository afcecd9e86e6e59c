"""Knowledge manipulation: tasks on the facts of biographies (Part 3.2).

  python -m physics_lm.train --config=configs/manipulation.py:base --workdir=A
  python -m physics_lm.train --config=configs/manipulation.py:luck_mod5 \
      --workdir=B --config.init_from=A

`base` trains on biographies and the six questions; other variants finetune on
tasks of physics_lm/worlds/manipulation.py, joined by `+`, in equal shares of
rows, with loss on the text after the question. `TASK_hint` is the task with
CoT. Biographies and the six questions have weight 0; other weights give mixed
training.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default

SMALL = {  # pools that a model of 0.2M parameters memorises in two minutes
    'people': 600, 'first_names': 50, 'middle_names': 50, 'last_names': 100,
    'years': 20, 'cities': 40, 'universities': 40, 'majors': 25,
    'employers': 40, 'templates': 10}


def variant(tasks: tuple[str, ...], cot: bool) -> str:
  """The --config of tasks; with CoT in 50 % of their rows if `cot`."""
  splits = (*tasks, *(f'{t}_hint' for t in tasks if cot))
  return f'configs/manipulation.py:{"+".join(splits)}'


def get_config(variant: str = 'base') -> ConfigDict:
  """`base`, or tasks joined by `+`."""
  c = default.get_config()
  c.worlds = {'bios': default.manipulation()}
  c.worlds.bios.update(SMALL)
  c.worlds.bios.variant = 'multi5_permute_fullname'
  c.data.seq_len, c.data.batch_size = 160, 12
  c.optim.learning_rate, c.optim.b2 = 4e-3, 0.95
  if variant != 'base':
    names = variant.split('+')
    c.data.tasks.bio.weight = c.data.tasks.qa.weight = 0.0
    c.data.tasks.update({
        name: default.task('bios', f'{name}_train', 1 / len(names), 'answers')
        for name in names})
    c.evals = {'tasks': default.evaluation('manipulation'),
               'extraction': default.evaluation('extraction')}
    c.evals.tasks.people = 300
    c.evals.tasks.tasks = ','.join(dict.fromkeys(
        name.removesuffix('_hint') for name in names))
    c.steps, c.optim.warmup_steps, c.optim.learning_rate = 500, 10, 1e-3
  return c
