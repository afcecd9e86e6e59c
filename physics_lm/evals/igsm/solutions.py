"""Accuracy of iGSM solutions, step by step (Parts 2.1 and 2.2).

The model generates a solution of each problem, and the world's own checker
judges all of it: every definition, source, constant and value. The answer alone
is judged too. Rows without the problems that occurred in training word for word
are added (contamination.py).

Problems longer than a training row are left out, as in the papers, for models
trained with and without retry data alike (solutions of test problems hold no
retries).
"""

import collections
import dataclasses
from collections.abc import Iterable

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.igsm import contamination
from physics_lm.evals.records import Records, accuracy_row, row
from physics_lm.model import decode
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import base
from physics_lm.worlds.igsm import checker
from physics_lm.worlds.igsm.problems import IGSM, parse_split

OF_CORRECT = ('retries', 'extra_parameters', 'extra_operations')
# The first error of a solution: no step at all; a step for a quantity that the
# problem does not have, that is computed already, or that cannot be computed
# yet; an arithmetic error. 'end': all sentences are correct, and the solution
# stops before the answer, goes on after it or does not end.
ERROR_TYPES = ('unreadable', 'unknown_quantity', 'duplicate', 'not_computable',
               'arithmetic', 'end')

Problems = list[tuple[int, base.Example]]  # (index in the split, example)


def splits(spec: ConfigDict) -> list[str]:
  """The splits that an evaluation takes its problems from."""
  return [s.strip() for s in spec.splits.split(',')]


def igsm_world(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
               ) -> IGSM:
  """The world of the problems. Raises BadInput for another kind."""
  if config.worlds[spec.world].kind != 'igsm':
    raise BadInput(f'evals: {spec.world!r} is a world of '
                   f'{config.worlds[spec.world].kind}, wanted igsm')
  return data.worlds[spec.world]


def problems(data: mixture.Mixture, world: IGSM, split: str, count: int,
             without: frozenset[str] = frozenset()) -> Problems:
  """The first `count` problems of a split whose error-free solutions fit into
  a row and whose texts are not among `without`. Raises BadInput when fewer than
  a tenth are such."""
  parse_split(split)
  found, index, fit = [], 0, 0
  while len(found) < count:
    example = world.example(split, index)
    if size_without_retries(data, world, example) <= data.seq_len:
      fit += 1
      if world.prompt(example) not in without:
        found.append((index, example))
    index += 1
    if index >= 50 and 10 * fit < index:
      raise BadInput(f'{fit} of {index} problems of {split} fit into '
                     f'rows of data.seq_len={data.seq_len}, wanted longer rows')
    # The first ones may all be test problems.
    if fit > 50 + 10 * len(without) and 10 * len(found) < fit:
      raise BadInput(f'{fit - len(found)} of {fit} problems of {split}, to '
                     'learn from, are among the test problems; wanted fewer '
                     'test problems or a larger world')
  return found


def evaluated_texts(data: mixture.Mixture, world: IGSM, spec: ConfigDict
                    ) -> frozenset[str]:
  """Texts of an evaluation's test problems: probes and verifiers are trained on
  others. By text, because in a small world another index may be the same
  problem."""
  return frozenset(world.prompt(e) for split in splits(spec)
                   for _, e in problems(data, world, split, spec.num_problems))


def size_without_retries(data: mixture.Mixture, world: IGSM,
                         example: base.Example) -> int:
  """Tokens of a row that the example takes up without its retries."""
  count, pieces = len(mixture.encode(data, example)[0]), example.pieces
  for i, piece in enumerate(pieces):
    if piece == ' BACK':  # a full stop follows
      count -= sum(len(data.vocab.encode(p))
                   for p in pieces[i + 2 - world.error_size:i + 2])
  return count


def prompt_ids(data: mixture.Mixture, example: base.Example, tag: str = ''
               ) -> list[int]:
  """The ids before the solution."""
  ids, _ = mixture.encode(data, example, tag=tag)
  return ids[:len(ids) - sum(len(data.vocab.encode(example.pieces[i]))
                             for i in example.loss)]


def check_problems(cfg: ModelConfig, data: mixture.Mixture, spec: ConfigDict,
                   parts: Iterable[Problems], most: int):
  """Raises BadInput for problems that a model cannot continue by `most`
  tokens."""
  decode.check_continuations(cfg, (
      prompt_ids(data, e, spec.tag) for part in parts for _, e in part), most)


def first_error(problem: checker.Problem, text: str, correct: int
                ) -> tuple[str, checker.Parameter | None]:
  """Which of ERROR_TYPES an incorrect solution has, whose first `correct`
  sentences are correct, and the quantity that the wrong sentence names."""
  computed, sentences = set(), text.split('.')
  for sentence in sentences[:correct]:
    name, back = problem.step(sentence.strip())
    if not back:
      computed.add(problem.parameter(name))
  wrong = sentences[correct].strip() if correct < len(sentences) else ''
  if not wrong and correct >= len(sentences) - 1:
    return 'end', None
  step = problem.step(wrong)
  if not step:
    return 'unreadable', None
  p = problem.parameter(step[0])
  if p is None or not problem.has(p):
    return 'unknown_quantity', None
  if p in computed:
    return 'duplicate', p
  return 'arithmetic' if computed.issuperset(problem.sources(p)) else (
      'not_computable'), p


def computable_retries(problem: checker.Problem, text: str) -> tuple[int, int]:
  """Retries of a correct solution unlike those of data of kind 'retry': what
  they name could be computed, is computed already, or is not in the problem.
  And how many of these name a quantity of the problem that is not needed."""
  computed, needed, count, unneeded = set(), problem.needed(), 0, 0
  for sentence in filter(str.strip, text.split('.')):
    name, back = problem.step(sentence.strip())
    p = problem.parameter(name)
    if not back:
      computed.add(p)
    elif not problem.has(p) or p in computed or computed.issuperset(
        problem.sources(p)):
      count += 1
      unneeded += problem.has(p) and p not in needed
  return count, unneeded


def unplanned_extra(problem: checker.Problem, draws: np.random.Generator
                    ) -> int:
  """Unneeded quantities that a solution without planning has: one that computes
  quantities in a random order, each after its sources, until the query."""
  computed, needed = set(), problem.needed()
  left = [*problem.definitions, *problem.totals()]
  while problem.query not in computed:
    ready = [p for p in left if computed.issuperset(problem.sources(p))]
    p = ready[draws.integers(len(ready))]
    left.remove(p)
    computed.add(p)
  return len(computed - needed)


def judge_solution(problem: checker.Problem, text: str, ended: bool) -> dict:
  """The checker's result; a solution without an end token is incorrect."""
  result = checker.check(problem, text)
  correct = result.correct and ended
  error, named = ('', None) if correct else first_error(
      problem, text, result.parameters + result.retries)
  computable, unneeded = computable_retries(problem, text) if (
      correct and result.retries) else (0, 0)
  return {'correct': correct, 'answer_correct': result.answer and ended,
          'computable_retries': computable, 'unneeded_retries': unneeded,
          'first_error': error, 'query_early': (
              error == 'not_computable' and named == problem.query),
          'reason': result.reason if ended or not result.correct
          else 'does not end', 'ended': ended,
          **{k: getattr(result, k) for k in (
              'operations', 'parameters', *OF_CORRECT)}}


def decode_batch(config: ConfigDict, count: int, most: int = 256) -> int:
  """Problems at a time: a multiple of a training batch, which the mesh
  divides, and at most about `most`, to save memory."""
  batch = config.data.batch_size
  return batch * max(1, min(most, count) // batch)


def most_frequent_answer(world: IGSM, count: int = 500) -> int:
  """The most frequent answer of training problems."""
  return collections.Counter(
      world.example('train', i).meta['answer']
      for i in range(count)).most_common(1)[0][0]


@dataclasses.dataclass(frozen=True)
class Solutions:
  """Metrics accuracy, answer_accuracy, ended, majority_baseline, op (the
  mean); correct_with_retry, the share of all problems whose solution is correct
  and has a retry; of correct solutions retries, extra_parameters,
  extra_operations (means), extra_parameters_unplanned, what solutions of the
  same problems without planning have, and retry_precision, the share of their
  retries that name a quantity which cannot be computed yet (retry_mistakes:
  which cannot, or is not needed); of incorrect ones retries_wrong; first_error,
  the share of all problems whose first error is of an error_type; query_early,
  the share of all whose first error is to compute the quantity of the question
  before what it depends on.

  Slices: split, op ('all', or the number of operations, for accuracies of
  splits that have several), contaminated ('all' problems, or 'no': those that
  did not occur in training, where that is known), error_type ('all' or, of
  first_error, one of ERROR_TYPES). n counts problems.
  """

  cfg: ModelConfig
  batch_size: int
  spec: ConfigDict
  data: mixture.Mixture
  world: IGSM
  decoding: decode.DecodingMethod
  problems: dict[str, Problems]  # by split
  constant: int  # the majority baseline's answer
  training_set: contamination.TrainingSet | None

  def __call__(self, params: dict, step: int | None = None) -> Records:
    flat = [(split, *p) for split, part in self.problems.items() for p in part]
    outputs = decode.generate(
        params, self.cfg,
        [prompt_ids(self.data, e, self.spec.tag) for _, _, e in flat],
        self.spec.max_new_tokens, self.decoding, entries=len(self.data.vocab),
        batch=self.batch_size)
    occurred = contamination.contamination_checker(self.training_set, step)
    raw = []
    for (split, index, e), ids in zip(flat, outputs):
      text, problem = self.data.vocab.decode(ids), self.world.prompt(e)
      parsed = self.world.problem(e)
      raw.append({
          'split': split, 'index': index, 'op': e.meta['op'],
          **judge_solution(parsed, text, len(ids) < self.spec.max_new_tokens),
          'extra_parameters_unplanned': unplanned_extra(
              parsed, base.generator(0, 'unplanned', split, index)),
          'majority_correct': e.meta['answer'] == self.constant,
          'in_training_set': occurred(split, problem), 'problem': problem,
          'generated': text})
    out = []
    for split in self.problems:
      mine = [r for r in raw if r['split'] == split]
      for contaminated, part in contamination.contamination_slices(mine):
        out += solution_rows(part, split, contaminated)
    return Records(out, raw)


def solution_rows(part: list[dict], split: str, contaminated: str
                  ) -> list[dict]:
  """Rows of the outcomes of one split."""

  names = {'split': split, 'op': 'all', 'contaminated': contaminated,
           'error_type': 'all'}

  def mean(metric: str, key: str, some: list[dict]) -> list[dict]:
    return [row(metric, np.mean([r[key] for r in some]), len(some), **names)
            ] if some else []

  def accuracies(op: str | int, some: list[dict]) -> list[dict]:
    return [accuracy_row(metric, [r['index'] for r in some],
                         [r[key] for r in some], split=split, op=op,
                         contaminated=contaminated, error_type='all')
            for metric, key in (('accuracy', 'correct'),
                                ('answer_accuracy', 'answer_correct'))]

  out = accuracies('all', part)
  for metric, key in (('ended', 'ended'), ('op', 'op'),
                      ('majority_baseline', 'majority_correct'),
                      ('query_early', 'query_early')):
    out += mean(metric, key, part)
  correct = [r for r in part if r['correct']]
  out.append(row('correct_with_retry', np.mean([
      r['correct'] and r['retries'] > 0 for r in part]), len(part), **names))
  retries = sum(r['retries'] for r in correct)
  if retries:
    late, unneeded = (sum(r[k] for r in correct)
                      for k in ('computable_retries', 'unneeded_retries'))
    out += [row('retry_precision', 1 - late / retries, retries, **names),
            row('retry_mistakes', 1 - (late - unneeded) / retries, retries,
                **names)]
  for key in (*OF_CORRECT, 'extra_parameters_unplanned'):
    out += mean(key, key, correct)
  out += mean('retries_wrong', 'retries', [r for r in part if not r['correct']])
  out += [row('first_error', np.mean([r['first_error'] == kind for r in part]),
              len(part), split=split, op='all', contaminated=contaminated,
              error_type=kind) for kind in ERROR_TYPES]
  ops = sorted({r['op'] for r in part})
  for op in ops if len(ops) > 1 else ():
    out += accuracies(op, [r for r in part if r['op'] == op])
  return out


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict,
          training_set: contamination.TrainingSet | None = None) -> Solutions:
  """spec.num_problems problems of each of spec.splits. Raises BadInput for a
  world of another kind, an unknown split, no problems."""
  world = igsm_world(config, data, spec)
  cfg = teacher_forcing.evaluated_model(config, data)
  test = {split: problems(data, world, split, spec.num_problems)
          for split in splits(spec)}
  check_problems(cfg, data, spec, test.values(), spec.max_new_tokens)
  return Solutions(
      cfg, decode_batch(config, spec.num_problems), spec, data, world,
      decode.decoding_method(spec.decode), test, most_frequent_answer(world),
      training_set)
