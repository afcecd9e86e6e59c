"""Knowledge extraction: are questions answered exactly (Part 3.1)?

Four figures for each half of the people, 'train' (whose questions may be
trained on) and 'test' (held out): the whole answer and its first token, in
answers to questions and in the biography's own sentences; each by attribute
and as the mean over the six. Beside them the majority baseline: what a
constant guess, fixed on the training half, scores on the half.
"""

import collections

import numpy as np

from physics_lm import rows
from physics_lm.errors import BadInput
from physics_lm.evals import scoring
from physics_lm.worlds.biographies import ATTRIBUTES

HALVES = ('train', 'test')


def inputs(config, spec):
  """(world, examples, (half, kind) of each, packed rows, spans). Raises
  BadInput when there is nobody to ask or a row is too short.

  Every example is asked at the start of its own segment, also of a model that
  was trained on rows without borders (data.isolate=False).
  """
  if spec.people < 1:
    raise BadInput(f'evals: people is {spec.people}, wanted at least 1')
  data = rows.load(config)
  world = data.worlds[spec.world]
  examples, kinds = [], []
  for half in HALVES:
    people = world.people(f'qa_{half}')
    for k in range(min(people, spec.people)):
      examples += [world.example(f'qa_{half}', a * people + k)
                   for a in range(len(ATTRIBUTES))]
      examples.append(world.biography(2 * k + (half == 'test'), 0))
      kinds += [(half, '')] * len(ATTRIBUTES) + [(half, 'bio_')]
  return world, examples, kinds, *scoring.pack(data, examples)


def run(params, config, spec, cfg):
  """(metrics, raw outcomes). Metric names: exact/test, exact/test/major,
  first/test, bio_exact/test, bio_first/test, majority/test, people/test."""
  world, examples, kinds, packed, spans = inputs(config, spec)
  nll, right = scoring.outcomes(params, packed, cfg, config.data.batch)

  raw = []
  hits = collections.defaultdict(list)
  for span in spans:
    half, kind = kinds[span.example]
    tokens = right[span.row, span.start:span.stop]
    exact, first = bool(tokens.all()), bool(tokens[0])
    hits[f'{kind}exact/{half}', span.attribute].append(exact)
    hits[f'{kind}first/{half}', span.attribute].append(first)
    raw.append({
        'half': half, 'text': 'biography' if kind else 'question',
        'person': examples[span.example].meta['person'],
        'attribute': span.attribute, 'exact': exact, 'first': first,
        'nats': float(nll[span.row, span.start:span.stop].sum())})

  metrics = {}
  for (name, attribute), values in hits.items():
    metrics[f'{name}/{attribute}'] = float(np.mean(values))
  for half in HALVES:
    metrics[f'people/{half}'] = min(world.people(f'qa_{half}'), spec.people)
    for attribute in ATTRIBUTES:
      metrics[f'majority/{half}/{attribute}'] = majority(
          world, half, attribute, spec.people)
    for name in ('exact', 'first', 'bio_exact', 'bio_first', 'majority'):
      metrics[f'{name}/{half}'] = float(np.mean(
          [metrics[f'{name}/{half}/{a}'] for a in ATTRIBUTES]))
  return metrics, raw


def majority(world, half: str, attribute: str, limit: int) -> float:
  """Accuracy, on the half, of the commonest value among training people."""
  a = ATTRIBUTES.index(attribute)

  def values(split, count):
    people = world.people(split)
    return [world.example(split, a * people + k).pieces[-1]
            for k in range(min(people, count))]

  train = values('qa_train', world.people('qa_train'))
  guess = collections.Counter(train).most_common(1)[0][0]
  return float(np.mean([v == guess for v in values(f'qa_{half}', limit)]))
