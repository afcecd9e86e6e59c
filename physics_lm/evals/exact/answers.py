"""Accuracy of answers, each with one correct value, by their attribute.

For worlds whose examples hold their answers (worlds/symbolic/): chains, by the
number of hops k; recall, of the copy; instruct, by the kind of question, where
all pieces of an example are one answer; verdicts, by the kind of request.
Answers are judged with the true tokens before them (evals/teacher_forcing.py),
each alone.
"""

import collections
import dataclasses

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.records import Records, row
from physics_lm.evals.teacher_forcing import AnswerSpan
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import base


@dataclasses.dataclass(frozen=True)
class AnswersEval:
  """Metric accuracy, share of answers with every token correct; slice
  attribute ('all': of all answers). n counts answers. Of a world with
  `joint_answers` also exact_match, share of examples with all of their answers
  correct, and first_correct, with their first; n counts examples."""

  cfg: ModelConfig
  batch_size: int
  packed: dict[str, np.ndarray]
  spans: list[AnswerSpan]
  joint: bool = False  # an example's answers are one answer

  def __call__(self, params: dict, step: int | None = None) -> Records:
    _, correct = teacher_forcing.outcomes(params, self.packed, self.cfg,
                                          self.batch_size)
    # Sums before each target: one subtraction an answer.
    before = np.pad(correct.cumsum(1), ((0, 0), (1, 0)))
    at, start, stop = (np.array([getattr(s, k) for s in self.spans])
                       for k in ('row', 'start', 'stop'))
    right = before[at, stop] - before[at, start] == stop - start
    rows = self._of_examples(right) if self.joint else []
    groups = collections.defaultdict(list)
    for span, one in zip(self.spans, right.tolist()):
      groups['all'].append(one)
      groups[span.attribute].append(one)
    return Records(
        rows + [row('accuracy', np.mean(found), len(found), attribute=name)
                for name, found in sorted(groups.items())],
        [{'attribute': name, 'answers': len(found), 'correct': sum(found)}
         for name, found in sorted(groups.items())])

  def _of_examples(self, right: np.ndarray) -> list[dict]:
    """Rows of the share of examples whose answers are all correct, and whose
    first is."""
    example = np.array([s.example for s in self.spans])
    first = np.flatnonzero(np.diff(example, prepend=-1))
    kind = np.array([self.spans[i].attribute for i in first])
    made = {'exact_match': np.minimum.reduceat(right, first),
            'first_correct': right[first]}
    return [row(name, x[at].mean(), at.sum(), attribute=label)
            for name, x in made.items() for label, at in [
                ('all', kind == kind), *((k, kind == k)
                                         for k in np.unique(kind).tolist())]]


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> AnswersEval:
  """The first spec.num_problems examples of the split spec.splits. Raises
  BadInput."""
  world, split = data.worlds[spec.world], spec.splits
  if base.is_stream(world) or split not in world.splits or (
      not world.example(split, 0).answers):
    raise BadInput(f'evals: world {spec.world!r} has no examples with answers '
                   f'in a split {split!r}, wanted chains, recall or instruct, '
                   'say')
  examples = [world.example(split, i) for i in range(spec.num_problems)]
  return AnswersEval(teacher_forcing.evaluated_model(config, data),
                     config.data.batch_size,
                     *teacher_forcing.pack(data, examples, spec.tag),
                     getattr(world, 'joint_answers', False))
