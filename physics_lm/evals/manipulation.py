"""Knowledge manipulation: accuracy with and without CoT (Part 3.2).

acc_no_cot is the accuracy of the answer alone, after "Answer:". For tasks
whose answer follows from facts, acc_cot is the accuracy of the answer after a
chain of thought that the model generates, after "Hint:", and cot_fact_acc that
of the facts in the chain. Answers without a chain are scored
teacher-forced, which is greedy exact match. majority_baseline is the accuracy
of the most frequent answer to training questions.

Each person is the first person of equally many questions, so that means over
questions are means over people.
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput, nearest
from physics_lm.evals import teacher_forcing
from physics_lm.evals.records import Records, accuracy_row, row
from physics_lm.evals.teacher_forcing import AnswerSpan
from physics_lm.model import decode
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import base, manipulation

PERSON_SPLITS = manipulation.PERSON_SPLITS
ACCURACIES = ('acc_no_cot', 'acc_cot', 'cot_fact_acc')


@dataclasses.dataclass(frozen=True)
class ManipulationEval:
  """Metrics acc_no_cot, acc_cot, cot_fact_acc, majority_baseline; slices
  person_split, task. n counts people, and intervals are by person."""

  cfg: ModelConfig
  batch_size: int
  data: mixture.Mixture
  world: manipulation.Manipulation
  examples: dict[str, list[base.Example]]  # by split of the world
  packed: dict[str, tuple]  # (arrays, spans), of splits without CoT

  def __call__(self, params: dict, step: int | None = None) -> Records:
    raw, out = [], []
    for split, examples in self.examples.items():
      task, with_cot, person_split = self.world.task(split)
      outcomes = self._generated(params, examples) if with_cot else (
          self._forced(params, *self.packed[split]))
      part = [{'person_split': person_split, 'task': task,
               'person': e.meta['person'], **o}
              for e, o in zip(examples, outcomes)]
      people = [r['person'] for r in part]
      names = {'person_split': person_split, 'task': task}
      out += [accuracy_row(metric, people, [r[metric] for r in part], **names)
              for metric in ACCURACIES if metric in part[0]]
      if not with_cot:
        constant = manipulation.majority_answer(self.world, task)
        out.append(row('majority_baseline', np.mean(
            [e.pieces[-1] == constant for e in examples]), len(set(people)),
                       **names))
      raw += part
    return Records(out, raw)

  def _forced(self, params: dict, packed: dict[str, np.ndarray],
              spans: list[AnswerSpan]) -> list[dict]:
    """Whether greedy decoding generates each answer."""
    _, correct = teacher_forcing.outcomes(params, packed, self.cfg,
                                          self.batch_size)
    return [{'acc_no_cot': bool(correct[s.row, s.start:s.stop].all())}
            for s in spans]

  def _generated(self, params: dict, examples: list[base.Example]
                 ) -> list[dict]:
    """Whether the generated chain of thought and answer are correct."""
    prompts, longest = self.prompts(examples)
    texts = [self.data.vocab.decode(ids) for ids in decode.greedy_decode(
        params, self.cfg, prompts, longest, len(self.data.vocab))]
    return [{'cot_fact_acc': text.startswith(e.pieces[-2]),
             'acc_cot': self.world.check(e, text).correct}
            for e, text in zip(examples, texts)]

  def prompts(self, examples: list[base.Example]
              ) -> tuple[list[list[int]], int]:
    """(the ids before the chain of thought, the tokens to generate)."""
    most = max(len(self._ids(e.pieces[-2:])) for e in examples)
    # Two tokens more than the longest: a continued answer is incorrect.
    return [[vocabs.EOS, *self._ids(e.pieces[:-2])]
            for e in examples], most + 2

  def _ids(self, pieces) -> list[int]:
    return [t for piece in pieces for t in self.data.vocab.encode(piece)]


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> ManipulationEval:
  """Questions of spec.tasks about at most spec.people people of each split.
  Raises BadInput for an unknown task, another world, no people, or rows too
  short."""
  world = data.worlds[spec.world]
  if not isinstance(world, manipulation.Manipulation):
    raise BadInput(f'evals: world {spec.world!r} has no tasks, wanted one of '
                   'kind manipulation')
  examples, packed = {}, {}
  for task in filter(None, spec.tasks.split(',')):
    if task not in manipulation.TASKS:
      raise BadInput(f'evals: tasks names {task!r}; '
                     f'{nearest(task, manipulation.TASKS)}')
    for person_split in PERSON_SPLITS:
      for cot in ('', '_hint') if task in manipulation.HINTED else ('',):
        split = f'{task}{cot}_{person_split}'
        pairs = manipulation.person_pairs(world, split, spec.people)
        examples[split] = [world.example(split, i) for i in pairs]
        if not cot:
          packed[split] = teacher_forcing.pack(data, examples[split])
  if not examples:
    raise BadInput(f'evals: tasks is {spec.tasks!r}, wanted some of '
                   f'{", ".join(manipulation.TASKS)}')
  made = ManipulationEval(
      teacher_forcing.evaluated_model(config, data), config.data.batch_size,
      data, world, examples, packed)
  for split in examples.keys() - packed.keys():
    decode.check_continuations(made.cfg, *made.prompts(examples[split]))
  return made
