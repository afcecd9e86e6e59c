"""Knowledge extraction: are questions answered exactly (Part 3.1)?

Four figures for each half of the people, 'train' (whose questions may be
trained on) and 'test' (held out): the whole answer and its first token, in
answers to questions and in the biography's own sentences; each by attribute
and as the mean over the six. Beside them the majority baseline: what a
constant guess, fixed on the training half, scores on the half.
"""

import collections
import dataclasses

import numpy as np

from physics_lm import rows
from physics_lm.errors import BadInput
from physics_lm.evals import scoring
from physics_lm.worlds.biographies import ATTRIBUTES

HALVES = ('train', 'test')
# What an interval is of: everything, each attribute, those whose words stand
# alone and the others (Part 3.1, Result 7).
ALONE = ('birth_date', 'major')
GROUPS = {'': ATTRIBUTES, **{f'/{a}': (a,) for a in ATTRIBUTES},
          '/alone': ALONE,
          '/joined': tuple(a for a in ATTRIBUTES if a not in ALONE)}
SIZED = ('major', 'employer')  # half of whose values have one word


def inputs(config, spec):
  """(world, examples, (half, kind) of each, packed rows, spans). Raises
  BadInput when there is nobody to ask or a row is too short.

  Every example is asked at the start of its own segment, also of a model that
  was trained on rows without borders (data.isolate=False). Of a masked language
  model every token of the answer is hidden.
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
      text = world.biography(2 * k + (half == 'test'), 0)
      # One value is hidden at a time: the others may help to tell it.
      texts = [dataclasses.replace(text, answers=(a,)) for a in text.answers
               ] if data.masked else [text]
      examples += texts
      kinds += [(half, '')] * len(ATTRIBUTES) + [(half, 'bio_')] * len(texts)
  return world, examples, kinds, *scoring.pack(data, examples)


def run(params, config, spec, cfg):
  """(metrics, raw outcomes). Metric names: exact/test, exact/test/major,
  exact/test/major/one_word (of values of one token) and .../more_words,
  first/test, bio_exact/test, bio_first/test, majority/test, people/test; and
  exact_low/test, exact_high/test, the 95 % interval by person of exact/test,
  alike of each attribute and of the means over attributes of GROUPS and, of
  SIZED, one_word and more_words; first_low/test, bio_exact_low/test, ..."""
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
    words = len(tokens) - (kind == '')  # an answer's last token is its stop
    size = 'one_word' if words <= 1 else 'more_words'
    hits[f'{kind}exact/{half}', f'{span.attribute}/{size}'].append(exact)
    raw.append({
        'half': half, 'text': 'biography' if kind else 'question',
        'person': examples[span.example].meta['person'],
        'attribute': span.attribute, 'size': size, 'exact': exact,
        'first': first,
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
    for kind, text, what in (('', 'question', 'exact'),
                             ('', 'question', 'first'),
                             ('bio_', 'biography', 'exact')):
      asked = [r for r in raw if (r['half'], r['text']) == (half, text)]
      groups = {k: [r for r in asked if r['attribute'] in g]
                for k, g in GROUPS.items()} | {
          f'/{size}': [r for r in asked if r['attribute'] in SIZED
                       and r['size'] == size]
          for size in ('one_word', 'more_words')}
      for name, part in groups.items():
        if part:
          metrics[f'{kind}{what}_low/{half}{name}'], metrics[
              f'{kind}{what}_high/{half}{name}'] = scoring.interval(*zip(*(
                  (r['person'], r[what], r['attribute']) for r in part)))
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
