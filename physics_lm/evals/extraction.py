"""Knowledge extraction: accuracy of answers about people (Part 3.1).

Exact match of the answer and of its first token, in answers to questions and
in the biography's own sentences, for both person splits: 'train' (people
whose questions may be trained on) and 'test' (held out). The majority baseline
is the accuracy of one constant answer: the most frequent value among the
training people.

With `wordings`, also how far a fact is bound to the wording that it was read
in: a single sentence, begun right after the name, in the words of the person's
own biography (text 'own_wording'; of multiM, of one of them) and in those of
each template that the person has in none (text 'other_wording').
"""

import collections
import dataclasses

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.evals import teacher_forcing
from physics_lm.evals.records import Records, accuracy_row, row
from physics_lm.evals.teacher_forcing import AnswerSpan
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import base
from physics_lm.worlds.biographies import ATTRIBUTES

PERSON_SPLITS = ('train', 'test')
# Means over attributes. Part 3.1, Result 7: the words of birth dates and
# majors are independent of each other, those of the other four are not.
ALONE = ('birth_date', 'major')
MEANS = {'mean': ATTRIBUTES, 'alone': ALONE,
         'joined': tuple(a for a in ATTRIBUTES if a not in ALONE)}
SIZED = ('major', 'employer')  # about every second value has one token
METRICS = {'accuracy': 'correct', 'first_token_accuracy': 'first_correct'}


@dataclasses.dataclass(frozen=True)
class Extraction:
  """Metrics accuracy, first_token_accuracy, and of questions
  majority_baseline. Slices: person_split, text ('question', 'biography',
  'own_wording' or 'other_wording'), attribute (also 'mean', 'alone' and
  'joined', of MEANS, and 'sized': questions about SIZED, pooled), value_tokens
  ('all'; of SIZED also 'one' and 'more'). n counts people, and intervals are by
  person."""

  cfg: ModelConfig
  batch_size: int
  examples: list[base.Example]
  sources: list[tuple[str, str]]  # (person_split, text) of each example
  packed: dict[str, np.ndarray]
  spans: list[AnswerSpan]
  baseline_rows: list[dict]

  def __call__(self, params: dict, step: int | None = None) -> Records:
    nll, correct = teacher_forcing.outcomes(params, self.packed, self.cfg,
                                            self.batch_size)
    raw = []
    for span in self.spans:
      at = span.row, slice(span.start, span.stop)
      person_split, text = self.sources[span.example]
      # The last token of an answer to a question is its full stop.
      tokens = span.stop - span.start - (text == 'question')
      raw.append({
          'person_split': person_split, 'text': text,
          'person': self.examples[span.example].meta['person'],
          'attribute': span.attribute,
          'value_tokens': 'one' if tokens <= 1 else 'more',
          'correct': bool(correct[at].all()),
          'first_correct': bool(correct[at][0]), 'nats': float(nll[at].sum())})
    return Records(extraction_rows(raw) + self.baseline_rows, raw)


def extraction_rows(raw: list[dict]) -> list[dict]:
  """Rows of accuracy and first_token_accuracy of raw outcomes."""
  parts = collections.defaultdict(list)
  for r in raw:
    same = {'person_split': r['person_split'], 'text': r['text']}
    names = [(r['attribute'], 'all'), *((m, 'all') for m, group in MEANS.items()
                                        if r['attribute'] in group)]
    if r['attribute'] in SIZED:
      names += [('sized', 'all'), ('sized', r['value_tokens']),
                (r['attribute'], r['value_tokens'])]
    for attribute, value_tokens in names:
      parts[*same.items(), ('attribute', attribute),
            ('value_tokens', value_tokens)].append(r)
  out = []
  for key, part in parts.items():
    names = dict(key)
    groups = None
    if names['attribute'] in MEANS:
      groups = [r['attribute'] for r in part]
    for metric, outcome in METRICS.items():
      out.append(accuracy_row(metric, [r['person'] for r in part],
                              [r[outcome] for r in part], groups, **names))
  return out


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> Extraction:
  """At most spec.people people of each split. Raises BadInput when there are
  none, or a row is shorter than an example."""
  world = data.worlds[spec.world]
  examples, sources, baselines = [], [], []
  for person_split in PERSON_SPLITS:
    people = world.people(f'qa_{person_split}')
    count = min(people, spec.people)
    for k in range(count):
      questions = [world.example(f'qa_{person_split}', a * people + k)
                   for a in range(len(ATTRIBUTES))]
      text = world.biography(2 * k + (person_split == 'test'), 0)
      # For a masked model one value is masked at a time: the others in the
      # text may help to predict it.
      texts = [dataclasses.replace(text, answers=(a,)) for a in text.answers
               ] if data.mlm_probability else [text]
      groups = {'question': questions, 'biography': texts}
      if spec.wordings:
        groups |= alone(world, text.meta['person'])
      for kind, group in groups.items():
        examples += group
        sources += [(person_split, kind)] * len(group)
    baselines += baseline_rows(world, person_split, count)
  return Extraction(teacher_forcing.evaluated_model(config, data),
                    config.data.batch_size, examples, sources,
                    *teacher_forcing.pack(data, examples), baselines)


def alone(world: base.World, person: int) -> dict[str, list[base.Example]]:
  """A person's facts as single sentences, by whether the training texts have
  them in that wording."""
  out = {'own_wording': [], 'other_wording': []}
  for attribute in ATTRIBUTES:
    own = world.templates_of(person, attribute)
    out['own_wording'].append(world.sentence(person, attribute, min(own)))
    out['other_wording'] += [
        world.sentence(person, attribute, t)
        for t in range(len(world.templates[attribute])) if t not in own]
  return out


def baseline_rows(world: base.World, person_split: str, count: int
                  ) -> list[dict]:
  """The majority baseline by attribute and as means over attributes."""
  values = {a: majority_baseline(world, person_split, a, count)
            for a in ATTRIBUTES}
  values |= {name: float(np.mean([values[a] for a in group]))
             for name, group in MEANS.items()}
  return [row('majority_baseline', value, count, person_split=person_split,
              text='question', attribute=attribute, value_tokens='all')
          for attribute, value in values.items()]


def majority_baseline(world: base.World, person_split: str, attribute: str,
                      limit: int) -> float:
  """Accuracy, on the first `limit` people of a split, of the value that is most
  frequent among all training people."""
  a = ATTRIBUTES.index(attribute)

  def values(split, count):
    people = world.people(split)
    return [world.example(split, a * people + k).pieces[-1]
            for k in range(min(people, count))]

  train = values('qa_train', world.people('qa_train'))
  constant = collections.Counter(train).most_common(1)[0][0]
  return float(np.mean([v == constant
                        for v in values(f'qa_{person_split}', limit)]))
