"""Manipulation of knowledge: are tasks about it answered right (Part 3.2)?

Of each task and half of the people: `plain`, the answer alone, asked with
"Answer:"; for tasks whose answer follows from facts also `hinted`, the answer
after the model's own hint, asked with "Hint:", and `hint`, whether the hint
was right. Plain answers are scored teacher-forced, which is greedy exact
match; with a hint the model writes for itself. `majority`: what the commonest
answer to training questions scores.

A person is first in the same number of questions as any other, so that means
over questions are means over people; raw outcomes name the person.
"""

import collections

import numpy as np

from physics_lm import decode, rows
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput, nearest
from physics_lm.evals import scoring
from physics_lm.worlds import manipulation

HALVES = manipulation.HALVES


def inputs(config, spec):
  """(data, world, {split: examples}). Raises BadInput for an unknown task,
  another world, nobody to ask, or rows too short."""
  data = rows.load(config)
  world = data.worlds[spec.world]
  if not isinstance(world, manipulation.Manipulation):
    raise BadInput(f'evals: world {spec.world!r} has no tasks, wanted one of '
                   'kind manipulation')
  if spec.people < 1:
    raise BadInput(f'evals: people is {spec.people}, wanted at least 1')
  asked = {}
  for task in filter(None, spec.tasks.split(',')):
    if task not in manipulation.TASKS:
      raise BadInput(f'evals: tasks names {task!r}; '
                     f'{nearest(task, manipulation.TASKS)}')
    for half in HALVES:
      for hint in ('', '_hint') if task in manipulation.HINTED else ('',):
        split = f'{task}{hint}_{half}'
        asked[split] = [world.example(split, i) for i in manipulation.pairs(
            world, split, spec.people)]
  if not asked:
    raise BadInput(f'evals: tasks is {spec.tasks!r}, wanted some of '
                   f'{", ".join(manipulation.TASKS)}')
  return data, world, asked


def run(params, config, spec, cfg):
  """(metrics, raw outcomes). Metric names: plain/test/TASK, hinted/test/TASK,
  hint/test/TASK, majority/test/TASK, people/test; and plain_low/test/TASK,
  plain_high/test/TASK, ..., the 95 % interval by person."""
  data, world, asked = inputs(config, spec)
  score, raw = collections.defaultdict(list), []
  for split, examples in asked.items():
    task, hint, half = world.task(split)
    if hint:
      outcomes = _written(params, cfg, data, world, examples)
    else:
      guess = manipulation.majority(world, task)
      score[f'majority/{half}/{task}'] = [e.pieces[-1] == guess
                                          for e in examples]
      outcomes = [{'plain': ok} for ok in _forced(
          params, cfg, data, examples, config.data.batch)]
    for e, o in zip(examples, outcomes):
      raw.append({'half': half, 'task': task, 'person': e.meta['person'], **o})
      for name, ok in o.items():
        score[f'{name}/{half}/{task}'].append(ok)
  metrics = {k: float(np.mean(v)) for k, v in score.items()}
  for key in list(metrics):
    name, half, task = key.split('/')
    if name != 'majority':
      asked = [r for r in raw if r['half'] == half and r['task'] == task
               and name in r]
      metrics[f'{name}_low/{half}/{task}'], metrics[
          f'{name}_high/{half}/{task}'] = scoring.interval(
              [r['person'] for r in asked], [r[name] for r in asked])
  metrics |= {f'people/{half}': len({r['person'] for r in raw
                                     if r['half'] == half}) for half in HALVES}
  return metrics, raw


def _forced(params, cfg, data, examples, batch: int) -> list[bool]:
  """Whether each answer is the greedy one."""
  packed, spans = scoring.pack(data, examples)
  _, right = scoring.outcomes(params, packed, cfg, batch)
  return [bool(right[s.row, s.start:s.stop].all()) for s in spans]


def _written(params, cfg, data, world, examples) -> list[dict]:
  """Whether hint and answer are right that the model writes."""
  tokens = lambda e, part: [t for p in part for t in data.vocab.encode(p)]
  prompts = [[vocabs.EOS, *tokens(e, e.pieces[:-2])] for e in examples]
  longest = max(len(tokens(e, e.pieces[-2:])) for e in examples)
  # A few words more than the longest: what runs on is wrong.
  found = [data.vocab.decode(ids) for ids in decode.greedy(
      params, cfg, prompts, longest + 2, len(data.vocab))]
  return [{'hint': text.startswith(e.pieces[-2]),
           'hinted': world.check(e, text).correct}
          for e, text in zip(examples, found)]
