"""Retry upon regret: does retrying errors help (Part 2.2, section 3)?

Solutions are generated sentence by sentence, greedily. After each sentence a
detector decides whether its quantity could be computed at that point; if not,
the sentence is removed and sampled again, at most `retries` times per solution.
Detectors:

  none     never fires: plain greedy decoding
  probe    the frozen model itself, by a can_next probe at the start of the
           sentence: linear_probe.py where names are tokens of their own,
           otherwise v_probe.py
  state    the frozen model itself, afterwards: logistic regression on its
           states of all layers at the sentence's full stop, trained on its
           own sampled solutions of training problems that are no test problems,
           correct and incorrect sentences with equal weight in total
  ready    the true label of what the probe predicts: a perfect detector
  checker  fires at every incorrect sentence, also at arithmetic errors

Error detection is measured too: the share of first incorrect sentences that
probe and state detect, and the share of correct ones at which they fire.

The text is read again for each sentence: one pass over a batch of prompts is
cheap compared with the tokens that are generated one by one.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals.igsm import (
  best_of_n,
  contamination,
  linear_probe,
  solutions,
  v_probe,
)
from physics_lm.evals.records import Records, accuracy_row, row
from physics_lm.model import decode
from physics_lm.model.config import ModelConfig
from physics_lm.worlds.igsm import checker
from physics_lm.worlds.igsm.problems import IGSM, parse_split

DETECTORS = ('none', 'probe', 'state', 'ready', 'checker')
TRAINED = ('probe', 'state')


@dataclasses.dataclass
class PartialSolution:
  """A solution that is being generated."""

  problem: checker.Problem
  prompt: list[int]
  sentences: list[list[int]] = dataclasses.field(default_factory=list)
  # What each sentence computes; None: nothing, or it is unreadable.
  computed: list = dataclasses.field(default_factory=list)
  retries: int = 0  # sentences removed
  retrying: bool = False  # the last sentence was removed
  done: bool = False
  ended: bool = False  # by the end token

  def ids(self, sentences: int | None = None) -> list[int]:
    """Prompt and solution, or its first sentences."""
    return [*self.prompt, *(i for s in self.sentences[:sentences] for i in s)]

  def text(self, data: mixture.Mixture) -> str:
    """The sentences so far."""
    return data.vocab.decode(self.ids()[len(self.prompt):])

  def ready(self, k: int) -> bool:
    """Whether the quantity of sentence k could be computed there; True for an
    unreadable sentence."""
    p, before = self.computed[k], self.computed[:k]
    return p is None or (self.problem.has(p) and p not in before
                         and set(before).issuperset(self.problem.sources(p)))

  def correct(self, data: mixture.Mixture) -> int:
    """The number of correct sentences before the first incorrect one."""
    result = checker.check(self.problem, self.text(data))
    return result.parameters + result.retries


# (partial solutions, index of a sentence in each) -> whether it is incorrect.
Flags = Callable[[list[PartialSolution], list[int]], Sequence[bool]]


def generate_with_retries(params: dict, cfg: ModelConfig, data: mixture.Mixture,
                          problems: list[tuple], spec: ConfigDict, batch: int,
                          flags: Flags) -> list[PartialSolution]:
  """A solution of each of `problems`, pairs of (problem, prompt ids)."""
  partials = [PartialSolution(*p) for p in problems]
  stop, = data.vocab.encode('.')
  write = functools.partial(
      decode.generate, params, cfg, steps=spec.max_new_tokens,
      entries=len(data.vocab), batch=batch, stop=stop,
      width=max(len(p.prompt) for p in partials) + spec.max_new_tokens)
  turn = 0
  while unfinished := [i for i, p in enumerate(partials) if not p.done]:
    for retrying, how in ((False, decode.DecodingMethod()),
                          (True, decode.decoding_method(spec.decode))):
      part = [i for i in unfinished if partials[i].retrying == retrying]
      for i, ids in zip(part, write([partials[i].ids() for i in part], how=how,
                                    seed=turn, numbers=part)):
        extend(partials[i], data, ids, stop, spec.max_new_tokens)
    written = [partials[i] for i in unfinished if partials[i].sentences]
    last = [len(p.sentences) - 1 for p in written]
    for p, wrong in zip(written, flags(written, last) if written else ()):
      p.retrying = bool(wrong) and p.retries < spec.retries
      if p.retrying:
        p.sentences.pop()
        p.computed.pop()
        p.retries, p.done, p.ended = p.retries + 1, False, False
    turn += 1
  return partials


def extend(partial: PartialSolution, data: mixture.Mixture, ids: list[int],
           stop: int, most: int):
  """Adds the next sentence. Without a full stop it is the end, or too long.
  `most`: tokens of a solution."""
  closed = bool(ids) and ids[-1] == stop
  if ids:
    partial.sentences.append(ids)
    step = partial.problem.step(data.vocab.decode(ids).strip())
    partial.computed.append(None if step is None or step[1] else
                            partial.problem.parameter(step[0]))
  used = sum(map(len, partial.sentences))
  partial.done = not closed or used >= most
  partial.ended = not closed and used < most


def probe_flags(predict: Callable, data: mixture.Mixture, world: IGSM,
                partials: list[PartialSolution], at: list[int]) -> np.ndarray:
  """Flags by a probe. `predict`: queries -> 0 (cannot be computed next) or
  1."""
  out = np.zeros(len(partials), bool)
  read = [i for i, p in enumerate(partials) if p.computed[at[i]] is not None]
  if read:
    texts = [tuple(partials[i].ids(at[i])) for i in read]
    out[read] = predict([
        v_probe.ProbeQuery(text, len(text), v_probe.marked_names(
            data, world, partials[i].computed[at[i]]), 0, -1)
        for i, text in zip(read, texts)]) == 0
  return out


def no_flags(partials: list[PartialSolution], at: list[int]) -> list[bool]:
  """The detector 'none'."""
  return [False] * len(partials)


def not_ready_flags(partials: list[PartialSolution], at: list[int]
                    ) -> list[bool]:
  """The detector 'ready'."""
  return [not p.ready(k) for p, k in zip(partials, at)]


def checker_flags(data: mixture.Mixture, partials: list[PartialSolution],
                  at: list[int]) -> list[bool]:
  """The detector 'checker'."""
  return [p.correct(data) <= k for p, k in zip(partials, at)]


def detector_flags(detector: str, data: mixture.Mixture,
                   trained: dict[str, Flags]) -> Flags:
  """The flags of a detector. `trained`: those of TRAINED."""
  return ({'none': no_flags, 'ready': not_ready_flags,
           'checker': functools.partial(checker_flags, data)}
          | trained)[detector]


def train_state_detector(params: dict, cfg: ModelConfig, solved: list[dict],
                         batch: int) -> Flags:
  """Flags by the states after a sentence, trained on judged solutions
  (best_of_n.sample_solutions) up to the first incorrect sentence of each."""
  if not any(s['sentence_ends'] for s in solved):
    return no_flags  # no sentence has a full stop: nothing to train on
  verifier = best_of_n.linear_verifier(
      best_of_n.sentence_states(params, cfg, solved, batch), solved, 'process',
      balanced=True)
  return functools.partial(state_flags, params, cfg, batch, *verifier)


def state_flags(params: dict, cfg: ModelConfig, batch: int, weights: np.ndarray,
                bias: np.ndarray, partials: list[PartialSolution],
                at: list[int]) -> np.ndarray:
  """Flags by a linear map of the states at the end of a sentence."""
  texts = [p.ids(k + 1) for p, k in zip(partials, at)]
  ends = [[len(ids) - 1] for ids in texts]
  x_NF = linear_probe.layer_states(params, cfg, texts, ends, batch)
  return x_NF @ weights + bias < 0  # rather incorrect than correct


@dataclasses.dataclass(frozen=True)
class RetryUponRegret:
  """Metrics accuracy, answer_accuracy, ended, retries (per problem) and
  used_up, the share of problems that had all retries, of each detector, n
  problems. Of greedy solutions, up to the first wrong sentence:
  right_sentences, wrong_sentences and, of the latter, early_sentences (the true
  can_next of their quantity is false: it cannot be computed yet, or is unknown
  or computed already) as counts; and by detector 'probe' and 'state'
  false_alarm_rate (of right sentences), detected (of wrong ones),
  detected_early, n sentences. probe_recall: the probe's accuracy on random
  queries, by label, n queries.

  Slices: split, detector, label ('all'; of probe_recall 'positive',
  'negative'), contaminated ('all' problems, or 'no': those that did not occur
  in training, where that is known).
  """

  config: ConfigDict
  spec: ConfigDict
  data: mixture.Mixture
  probe: v_probe.VProbe
  problems: dict[str, solutions.Problems]  # by split
  state_problems: solutions.Problems  # that the state detector is trained on
  training_set: contamination.TrainingSet | None

  @property
  def cfg(self) -> ModelConfig:
    """The evaluated model."""
    return self.probe.cfg

  def __call__(self, params: dict, step: int | None = None) -> Records:
    predict = self._trained_probe(params)
    solved = best_of_n.sample_solutions(
        params, self.state_problems, self.spec.verifier_samples, 1,
        config=self.config, spec=self.spec, data=self.data, cfg=self.cfg)
    state = train_state_detector(
        params, self.cfg, [s for _, part in solved for s in part],
        self.spec.batch)
    occurred = contamination.contamination_checker(self.training_set, step)
    out, raw = [], []
    for split, problems in self.problems.items():
      world = self.data.worlds[self.spec.world]
      known = [occurred(split, world.prompt(e)) for _, e in problems]
      trained = {'probe': functools.partial(probe_flags, predict, self.data,
                                            world),
                 'state': state}
      outcomes = self._solve(params, split, known, trained)
      raw += [{k: v for k, v in o.items() if k != 'partial'} for o in outcomes]
      for contaminated, some in contamination.contamination_slices(outcomes):
        out += retry_rows(some, split, contaminated, self.spec.retries)
        out += detection_rows([o['partial'] for o in some
                               if o['detector'] == 'none'],
                              self.data, trained, split, contaminated)
      part = self.probe.queries[split]
      label = np.array([q.label for q in part])
      out += recall_rows(predict(part) == label, label, split)
    return Records(out, raw)

  def _trained_probe(self, params: dict) -> Callable:
    """queries -> the labels that a probe trained for this model predicts."""
    # Solutions may be longer than true ones; one length, one compilation.
    longest = self.spec.max_new_tokens + max(
        len(solutions.prompt_ids(self.data, e))
        for part in self.problems.values() for _, e in part)
    predict = self.probe.predictor(params, self.probe.training.make(), 2,
                                   longest)
    return lambda part: predict(part)[-1]

  def _solve(self, params: dict, split: str, known: list[bool | None],
             trained: dict[str, Flags]) -> list[dict]:
    """Outcomes of each detector and problem, with `partial`, the solution."""
    world, out = self.data.worlds[self.spec.world], []
    problems = [(world.problem(e),
                 solutions.prompt_ids(self.data, e))
                for _, e in self.problems[split]]
    # Small batches: few solutions have a next sentence later on.
    batch = solutions.decode_batch(self.config, self.spec.num_problems, 64)
    for detector in DETECTORS:
      partials = generate_with_retries(
          params, self.cfg, self.data, problems, self.spec, batch,
          detector_flags(detector, self.data, trained))
      for (index, _), p, in_training_set in zip(
          self.problems[split], partials, known):
        text = p.text(self.data)
        judged = solutions.judge_solution(p.problem, text, p.ended)
        out.append({'split': split, 'index': index, 'detector': detector,
                    'in_training_set': in_training_set, 'text': text, **judged,
                    'removed_sentences': p.retries, 'partial': p})
    return out


def retry_rows(outcomes: list[dict], split: str, contaminated: str, most: int
               ) -> list[dict]:
  """Rows of the solutions of one split with each detector; `most`: retries of
  a solution."""
  out = []
  for detector in DETECTORS:
    part = [o for o in outcomes if o['detector'] == detector]
    names = {'split': split, 'detector': detector, 'label': 'all',
             'contaminated': contaminated}
    out += [accuracy_row(metric, [o['index'] for o in part],
                         [o[key] for o in part], **names)
            for metric, key in (('accuracy', 'correct'),
                                ('answer_accuracy', 'answer_correct'))]
    retries = np.array([o['removed_sentences'] for o in part])
    out += [row(metric, np.mean(values), len(part), **names)
            for metric, values in (
                ('ended', [o['ended'] for o in part]), ('retries', retries),
                ('used_up', retries == most))]
  return out


def detection_rows(partials: list[PartialSolution], data: mixture.Mixture,
                   trained: dict[str, Flags], split: str, contaminated: str
                   ) -> list[dict]:
  """Rows of how the detectors separate correct sentences from the first
  incorrect ones."""
  right, wrong, early = [], [], []
  for p in partials:
    count = min(p.correct(data), len(p.sentences))
    right += [(p, k) for k in range(count)]
    if count < len(p.sentences):
      wrong.append((p, count))
      if not p.ready(count):
        early.append((p, count))
  names = {'split': split, 'detector': 'all', 'label': 'all',
           'contaminated': contaminated}
  out = [row(metric, len(part), len(partials), **names) for metric, part in (
      ('right_sentences', right), ('wrong_sentences', wrong),
      ('early_sentences', early))]
  for metric, part in (('false_alarm_rate', right), ('detected', wrong),
                       ('detected_early', early)):
    for detector, flags in trained.items() if part else ():
      out.append(row(metric, np.mean(flags(*map(list, zip(*part)))), len(part),
                     **names | {'detector': detector}))
  return out


def recall_rows(right: np.ndarray, label: np.ndarray, split: str
                ) -> list[dict]:
  """The probe's accuracy on random queries with each label."""
  return [row('probe_recall', right[label == value].mean(),
              (label == value).sum(), split=split, detector='probe', label=name,
              contaminated='all')
          for name, value in (('positive', 1), ('negative', 0))
          if (label == value).any()]


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict,
          training_set: contamination.TrainingSet | None = None
          ) -> RetryUponRegret:
  """The test problems, the probe's queries, and training problems for the
  state detector. Raises BadInput."""
  if spec.probe != 'can_next':
    raise BadInput(f"evals: probe is {spec.probe!r}, wanted 'can_next'")
  best_of_n.check_sampling(spec)
  parse_split(spec.verifier_split)
  probe = v_probe.build(config, data, spec)
  if linear_probe.names_are_tokens(probe):
    probe = linear_probe.build(config, data, spec)
  world = data.worlds[spec.world]
  test = {split: solutions.problems(data, world, split, spec.num_problems)
          for split in solutions.splits(spec)}
  others = solutions.problems(data, world, spec.verifier_split,
                              spec.verifier_problems,
                              solutions.evaluated_texts(data, world, spec))
  # A sentence may be all that a solution may have, after nearly as much.
  solutions.check_problems(probe.cfg, data, spec, [*test.values(), others],
                           2 * spec.max_new_tokens)
  return RetryUponRegret(config, spec, data, probe, test, others, training_set)
