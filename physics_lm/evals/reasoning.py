"""Are problems solved, step by step (Parts 2.1 and 2.2)?

A solution of each problem is written by the model and judged whole by the
world's own checker: every definition, source, constant and value; its answer
alone is judged too. By split and by op. Beside them the majority baseline: what
a constant answer, the commonest of the training problems, scores. Problems that
stood in training word for word are set apart (seen.py).

Problems that are longer than a training row are left out, as in the papers, for
models with and without mistakes alike (solutions of test problems hold none).
"""

import collections
import re

import numpy as np

from physics_lm import decode, rows
from physics_lm.errors import BadInput
from physics_lm.worlds import igsm_check
from physics_lm.worlds.igsm import parse_split

MEANS = ('retries', 'extra_parameters', 'extra_operations')
# What the first wrong sentence is: no sentence at all, of no quantity of the
# problem, one told before, one that cannot be told yet, one that could be but
# is computed wrongly; or none is wrong, and the last is not what was asked.
FAULTS = ('unreadable', 'foreign', 'again', 'not_ready', 'computed', 'end')
STEP = re.compile(r'Define (.+?) as (\w+)')


def splits(spec) -> list[str]:
  return [s.strip() for s in spec.splits.split(',')]


def inputs(config, spec):
  """(data, world, how to decode, {split: [(index, example)]}). Raises BadInput
  for a world of other things, an unknown split, nothing to ask."""
  for key in ('problems', 'tokens'):
    if spec[key] < 1:
      raise BadInput(f'evals: {key} is {spec[key]}, wanted at least 1')
  data, how = rows.load(config), decode.method(spec.decode)
  world = igsm_of(config, data, spec)
  return data, world, how, {
      split: problems(data, world, split, spec.problems)
      for split in splits(spec)}


def igsm_of(config, data, spec):
  """The world of problems that is asked about. Raises BadInput."""
  if config.worlds[spec.world].kind != 'igsm':
    raise BadInput(f'evals: {spec.world!r} is a world of '
                   f'{config.worlds[spec.world].kind}, wanted igsm')
  return data.worlds[spec.world]


def problems(data, world, split: str, count: int, without=frozenset()):
  """[(index, example)]: the first `count` of a split that fit into a row by
  their flawless solutions, and whose texts are not among those. Raises BadInput
  when hardly any is."""
  parse_split(split)
  found, index, fit = [], 0, 0
  while len(found) < count:
    example = world.example(split, index)
    if size(data, example) <= data.length:
      fit += 1
      if world.prompt(example) not in without:
        found.append((index, example))
    index += 1
    if index >= 50 and 10 * fit < index:
      raise BadInput(f'{fit} of {index} problems of {split} fit into '
                     f'rows of data.length={data.length}, wanted longer rows')
    # The first ones may well all be.
    if fit > 50 + 10 * len(without) and 10 * len(found) < fit:
      raise BadInput(f'{fit - len(found)} of {fit} problems of {split}, to '
                     'learn from, are among those asked; wanted fewer asked or '
                     'a larger world')
  return found


def asked_texts(data, world, spec) -> frozenset[str]:
  """Problems that an evaluation asks: what learns for it learns from others.
  By text: in a small world another draw may be the same problem."""
  return frozenset(world.prompt(e) for split in splits(spec)
                   for _, e in problems(data, world, split, spec.problems))


def size(data, example) -> int:
  """Tokens of a row that the example takes without what is taken back."""
  count, pieces = len(rows.encode(data, example)[0]), example.pieces
  for i, piece in enumerate(pieces):
    if piece == ' BACK':  # of ' Define', three of the name, ' as', ' BACK', '.'
      count -= sum(len(data.vocab.encode(p)) for p in pieces[i - 5:i + 2])
  return count


def prompt(data, example, tag: str = '') -> list[int]:
  """Ids of what stands before the solution."""
  ids, _ = rows.encode(data, example, tag=tag)
  return ids[:len(ids) - sum(len(data.vocab.encode(example.pieces[i]))
                             for i in example.loss)]


def read(world, example) -> igsm_check.Problem:
  """The problem, for the checker."""
  return igsm_check.Problem(world.prompt(example), world.hierarchy(
      example.meta['chain']), world.modulus)


def fault(problem: igsm_check.Problem, text: str, right: int) -> str:
  """Which of FAULTS a wrong solution has, whose first `right` sentences are
  right."""
  told, sentences = set(), text.split('.')
  for sentence in sentences[:right]:
    name, letter = STEP.match(sentence.strip()).groups()
    if letter != 'BACK':
      told.add(problem.parameter(name))
  here = sentences[right].strip() if right < len(sentences) else ''
  if not here and right >= len(sentences) - 1:
    return 'end'
  step = STEP.match(here)
  if not step:
    return 'unreadable'
  p = problem.parameter(step[1])
  if p is None or not problem.has(p):
    return 'foreign'
  if p in told:
    return 'again'
  return 'computed' if told.issuperset(problem.sources(p)) else 'not_ready'


def judged(problem: igsm_check.Problem, text: str, ended: bool) -> dict:
  """What the checker says of a solution; one that did not end is not right."""
  v = igsm_check.check(problem, text)
  right = v.correct and ended
  wrong = '' if right else fault(problem, text, v.parameters + v.retries)
  return {'full': right, 'answer': v.answer and ended, 'fault': wrong,
          'reason': v.reason if ended or not v.correct else 'does not end',
          'ended': ended, **{k: getattr(v, k) for k in (
              'operations', 'parameters', *MEANS)}}


def run(params, config, spec, cfg, stood=None):
  """(metrics, raw outcomes). `stood`: what seen.judge gives.

  Metric names: full/test, answer/test, ended/test, majority/test,
  problems/test, op/test (mean), and of the right solutions retries/test,
  extra_parameters/test, extra_operations/test; retries_wrong/test of the
  others; fault/test/not_ready, the share of problems whose first wrong sentence
  is of this kind, one of each of FAULTS; full/test/op3, answer/test/op3,
  problems/test/op3 by op. All of them with `_unseen` behind the first word, as
  full_unseen/test, of the problems that did not stand in training; only
  problems_unseen/test, 0, where there are none, and nothing where that is not
  known.
  """
  data, world, how, asked = inputs(config, spec)
  guess = commonest(world)
  flat = [(split, *e) for split, examples in asked.items() for e in examples]
  outputs = decode.generate(
      params, cfg, [prompt(data, e, spec.tag) for _, _, e in flat],
      spec.tokens, how, entries=len(data.vocab), batch=batch(config, spec))
  raw = []
  for (split, index, e), ids in zip(flat, outputs):
    text = data.vocab.decode(ids)
    raw.append({
        'split': split, 'index': index, 'op': e.meta['op'],
        **judged(read(world, e), text, len(ids) < spec.tokens),
        'majority': e.meta['answer'] == guess,
        'stood': stood and stood(split, world.prompt(e)),
        'problem': world.prompt(e), 'generated': text})
  metrics = {}
  for split in asked:
    part = [r for r in raw if r['split'] == split]
    metrics |= summary(split, part) | unseen(summary, split, part)
  return metrics, raw


def unseen(summary, split: str, part: list, stood=lambda r: r['stood'],
           **more) -> dict[str, float]:
  """The summary of what did not stand in training, its metrics named so;
  nothing when it is not known what did."""
  if any(stood(r) is None for r in part):
    return {}
  new = [r for r in part if not stood(r)]
  found = summary(split, new, **more) if new else {f'problems/{split}': 0}
  return {key.replace('/', '_unseen/', 1): v for key, v in found.items()}


def batch(config, spec, most: int = 256) -> int:
  """Problems at a time: a multiple of a training batch, which the mesh
  divides; few enough for a small memory."""
  rows_ = config.data.batch
  return rows_ * max(1, min(most, spec.problems) // rows_)


def summary(split: str, part: list[dict]) -> dict[str, float]:
  """Metrics of one split's outcomes."""
  mean = lambda key, some=part: float(np.mean([r[key] for r in some]))
  out = {f'{key}/{split}': mean(key)
         for key in ('full', 'answer', 'ended', 'majority', 'op')}
  out[f'problems/{split}'] = len(part)
  right = [r for r in part if r['full']]
  wrong = [r for r in part if not r['full']]
  if right:
    out |= {f'{key}/{split}': mean(key, right) for key in MEANS}
  if wrong:
    out[f'retries_wrong/{split}'] = mean('retries', wrong)
  out |= {f'fault/{split}/{kind}': sum(r['fault'] == kind for r in part)
          / len(part) for kind in FAULTS}
  ops = collections.Counter(r['op'] for r in part)
  for op, count in sorted(ops.items()) if len(ops) > 1 else ():
    mine = [r for r in part if r['op'] == op]
    out |= {f'{key}/{split}/op{op}': mean(key, mine)
            for key in ('full', 'answer')}
    out[f'problems/{split}/op{op}'] = count
  return out


def commonest(world, count: int = 500) -> int:
  """The commonest answer of training problems."""
  return collections.Counter(
      world.example('train', i).meta['answer']
      for i in range(count)).most_common(1)[0][0]
