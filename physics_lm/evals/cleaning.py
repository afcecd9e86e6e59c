"""What cleaning takes of pages with planted dirt, and what is memorised.

Of the world `crawl`: the share of the pages of each label that a rule removes
and changes (of all rules but those of a world whose `keep` is not 'rules':
the rules that its config would apply), and the share of pages whose last
tokens, a string of a grammar as a rule, the model repeats exactly after what is
before them (as Carlini et al. 2022, arXiv 2202.07646, with a span of SPAN
words), and their mean loss, which falls before that. A page is judged as it is
before any cleaning, so the same pages are judged whatever was read in training.
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.records import Records, accuracy_row, row
from physics_lm.evals.teacher_forcing import AnswerSpan
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import crawl
from physics_lm.worlds.base import Example

SPAN = 12  # words at the end of a page, with the full stop one token more


@dataclasses.dataclass(frozen=True)
class Cleaning:
  """Metrics removed, changed, memorised (shares of pages) and span_loss (nats a
  token). Slices: label of the page; rule ('all', or one that took
  something)."""

  cfg: ModelConfig
  batch_size: int
  examples: list[Example]
  packed: dict[str, np.ndarray]
  spans: list[AnswerSpan]
  taken_rows: list[dict]

  def __call__(self, params: dict, step: int | None = None) -> Records:
    nll, correct = teacher_forcing.outcomes(params, self.packed, self.cfg,
                                            self.batch_size)
    raw = [{'label': self.examples[s.example].meta['label'],
            'page': self.examples[s.example].meta['url'],
            'memorised': bool(correct[s.row, s.start:s.stop].all()),
            'loss': float(nll[s.row, s.start:s.stop].mean())}
           for s in self.spans]
    rows = []
    for label in crawl.LABELS:
      if own := [r for r in raw if r['label'] == label]:
        rows.append(accuracy_row('memorised', range(len(own)), [
            r['memorised'] for r in own], label=label, rule='all'))
        rows.append(row('span_loss', np.mean([r['loss'] for r in own]),
                        len(own), label=label, rule='all'))
    return Records(rows + self.taken_rows, raw)


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> Cleaning:
  """At most spec.people pages of each label. Raises BadInput for a world of
  another kind."""
  world = data.worlds[spec.world]
  if not isinstance(world, crawl.Crawl):
    raise BadInput(f"evaluation 'cleaning' of world {spec.world!r}, wanted one "
                   "of kind 'crawl'")
  records, examples = world.records(), []
  left = dict.fromkeys(crawl.LABELS, spec.people)
  for page in records:
    example = _with_span(world, page)
    length = len(mixture.encode(data, example)[0])
    if left[page['label']] and length <= data.seq_len:
      left[page['label']] -= 1
      examples.append(example)
  taken = crawl.confusion([p['label'] for p in records], world.cleaned()[1])
  rows = [row(metric, r[metric] / r['pages'], r['pages'], label=r['label'],
              rule=r['rule'])
          for r in taken if r['pages'] for metric in ('removed', 'changed')]
  return Cleaning(teacher_forcing.evaluated_model(config, data),
                  config.data.batch_size, examples,
                  *teacher_forcing.pack(data, examples), rows)


def _with_span(world: crawl.Crawl, page: dict) -> Example:
  """A page whose last SPAN words are an answer."""
  example = world.as_example(page, page['text'])
  pieces = (''.join(example.pieces[:-SPAN]), ''.join(example.pieces[-SPAN:]))
  return dataclasses.replace(example, pieces=pieces, answers=(('span', 1),),
                             loss=(1,))
