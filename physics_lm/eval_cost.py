"""What a run's evaluations cost, by their kinds. No JAX.

Counted are the tokens that the model reads, learns from (probes and verifiers)
and writes; not counted: checking of what it wrote, exact laws of grammars,
compilation. Lengths are those of a few examples. A text is written until the
longest of its batch ends, so writing is counted as the longest answer of a few.

An evaluation with `every` also runs before step 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.model.config import ModelConfig
from physics_lm.scaling import flops
from physics_lm.worlds import base

SAMPLE = 8  # examples whose length is taken
# Time of writing a token, over that of reading it: of one core, from finished
# runs (tests/test_eval_cost.py). Of accelerators an assumption.
WRITING = 4.0
QUERIES = 10  # of a text, at most (evals/igsm/v_probe.py)
NAME = 6  # tokens of a name between marks, about
TARGETS = 11  # probes that train together (evals/pq_probe.py)


class EvalWork(NamedTuple):
  """Tokens that pass the model in one evaluation."""

  read: float = 0.0  # forward
  learnt: float = 0.0  # forward and backward
  written: float = 0.0  # one after another


class Evaluated(NamedTuple):
  """An evaluation's spec, and what its size depends on."""

  spec: ConfigDict
  config: ConfigDict
  data: mixture.Mixture  # of a smaller copy of the world
  larger: float  # people of the world over those of the copy

  @property
  def world(self) -> base.World:
    """The world of the texts."""
    return self.data.worlds[self.spec.world]

  @property
  def splits(self) -> list[str]:
    """The splits of the problems."""
    return [s.strip() for s in self.spec.splits.split(',')]

  @property
  def problems(self) -> int:
    """Problems of all splits."""
    return len(self.splits) * self.spec.num_problems

  def people(self, split: str) -> float:
    """People of a split that are evaluated."""
    return min(self.world.people(split) * self.larger, self.spec.people)

  def lengths(self, *splits: str) -> tuple[float, float]:
    """(mean tokens of an example, tokens of the longest answer) of splits."""
    every, answers = [], [1.0]
    for split in splits:
      for i in range(SAMPLE):
        item = mixture.encode(self.data, self.world.example(split, i),
                              loss='answers')
        every.append(len(item[0]))
        answers.append(sum(item[1]))
    return float(np.mean(every)), max(answers)


def _loss(e: Evaluated) -> EvalWork:
  return EvalWork(len(e.data.tasks) * e.spec.num_rows * e.data.seq_len)


def _extraction(e: Evaluated) -> EvalWork:
  def tokens(example) -> int:
    return len(mixture.encode(e.data, example)[0])

  bio = e.world.biography(0, 0)
  each = e.lengths('qa_train')[0] * len(bio.answers) + tokens(bio) * (
      len(bio.answers) if e.config.data.mlm_probability else 1)
  if e.spec.wordings:
    for a, templates in e.world.templates.items():
      others = len(templates) - len(set(e.world.templates_of(0, a)))
      each += (1 + others) * tokens(e.world.sentence(0, a, 0))
  return EvalWork(each * (e.people('qa_train') + e.people('qa_test')))


def _knowledge_bits(e: Evaluated) -> EvalWork:
  length = np.mean([len(mixture.encode(e.data, e.world.entry(i), tag=e.spec.tag)
                        [0]) for i in range(min(SAMPLE, e.world.n))])
  calibrated = e.spec.compress in ('gptq', 'wanda', 'sparsegpt', 'prune_units')
  return EvalWork(float(e.people('bio') * length)
                  + calibrated * 256 * e.data.seq_len)


def _manipulation(e: Evaluated) -> EvalWork:
  out = EvalWork()
  for split in (f'{t}{cot}_train' for t in e.spec.tasks.split(',')
                for cot in ('', '_hint')):
    if split not in e.world.splits:
      continue
    texts = 2 * min(e.spec.people, e.world.size(split) * e.larger**2)
    length, answer = e.lengths(split)
    out = out._replace(read=out.read + texts * length,
                       written=out.written + texts * answer * (
                           '_hint' in split))
  return out


def _read_once(*splits: str) -> Callable[[Evaluated], EvalWork]:
  def work(e: Evaluated) -> EvalWork:
    return EvalWork(sum(e.lengths(s)[0] for s in splits) * e.spec.num_problems)

  return work


def _answers(e: Evaluated) -> EvalWork:
  return EvalWork(e.lengths(*e.splits)[0] * e.spec.num_problems)


def _cleaning(e: Evaluated) -> EvalWork:
  return EvalWork(e.spec.people * e.data.seq_len)


def _grammar_samples(e: Evaluated) -> EvalWork:
  texts = e.spec.num_problems * len(e.spec.prefixes.split(','))
  return EvalWork(texts * e.world.longest, written=texts * e.world.longest)


def _grammar_tree(e: Evaluated) -> EvalWork:
  return EvalWork(2 * e.spec.num_problems * (e.world.longest + 1))


def _grammar_attention(e: Evaluated) -> EvalWork:
  # Patches of two kinds, which read half a donor, too.
  passes = 2 + 3 * len(e.world.levels) * e.spec.num_samples
  return EvalWork(2 * passes * e.spec.num_problems * (e.world.longest + 1))


def _pq_probe(e: Evaluated) -> EvalWork:
  if e.spec.kind == 'q_probe':
    row, rows = NAME, e.people('qa_train') + e.people('qa_test')
  else:
    row, bio = e.data.seq_len, len(mixture.encode(
        e.data, e.world.biography(0, 0))[0])
    rows = (min(e.world.versions, 5) * e.people('qa_train')
            + e.people('qa_test')) * bio / row
  # No gradient of the model's own matrices: two thirds of a training step.
  return EvalWork(TARGETS * row * (rows + 2 * e.spec.steps * e.spec.batch))


def _metrics_of_answers(e: Evaluated) -> EvalWork:
  split = 'test' if 'test' in e.world.splits else e.world.splits[0]
  return _read_once(split)(e)


def _probed_texts(e: Evaluated) -> float:
  """Tokens of the texts that a probe of iGSM is trained and tested on."""
  trained = e.spec.steps * e.spec.batch / (0.9 * QUERIES)
  return trained * e.lengths('train')[0] + sum(
      e.lengths(s)[0] for s in e.splits) * e.spec.num_problems


def _v_probe(e: Evaluated, models: int = 2) -> EvalWork:
  queries = 2 * e.spec.steps * e.spec.batch + QUERIES * e.problems
  return EvalWork(models * (_probed_texts(e) + NAME * queries))


def _linear_probe(e: Evaluated) -> EvalWork:
  return EvalWork(2 * _probed_texts(e))


def _answered(e: Evaluated, problems: float, *splits: str, each: int = 1
              ) -> EvalWork:
  """`each` answers to problems of some splits, which are read once."""
  length, answer = e.lengths(*splits)
  return EvalWork(problems * length, written=problems * each * min(
      answer, e.spec.max_new_tokens))


def _solutions(e: Evaluated) -> EvalWork:
  beam = e.spec.decode.startswith('beam:')
  return _answered(e, e.problems, *e.splits,
                   each=int(e.spec.decode[5:]) if beam else 1)


def _best_of_n(e: Evaluated) -> EvalWork:
  trained = e.spec.verifier_problems * e.spec.verifier_samples
  tested = e.problems * e.spec.num_samples
  made = _answered(e, tested + trained, *e.splits)
  length, _ = e.lengths(*e.splits)
  if e.spec.verifier == 'linear':  # both read the same states
    return made._replace(read=made.read + (tested + trained) * length)
  return made._replace(read=made.read + 2 * tested * length,  # two epochs
                       learnt=4 * trained * length)


def _retry_upon_regret(e: Evaluated) -> EvalWork:
  """Five detectors; a sentence at a time, for which the text before it is read
  again, by two detectors twice, padded to the longest that there can be.
  Removed sentences, and rows that only fill a batch: about as many again."""
  made = _answered(e, 2 * 5 * e.problems, *e.splits)
  trained = e.spec.verifier_problems * e.spec.verifier_samples
  state = _answered(e, trained, e.spec.verifier_split)
  sentences = made.written / NAME  # of a few tokens each
  again = 1.4 * sentences * (e.lengths(*e.splits)[0] + e.spec.max_new_tokens)
  return EvalWork(_v_probe(e, 1).read + 2 * state.read + again,
                  written=made.written + state.written)


def _policy(e: Evaluated) -> EvalWork:
  made = _answered(e, e.problems * (1 + e.spec.num_samples), *e.splits)
  kl = 2 * 256 * len(e.splits) * e.lengths(*e.splits)[0]
  return made._replace(read=made.read + bool(e.config.post.kind) * kl)


def _score_norms(e: Evaluated) -> EvalWork:
  answers = e.problems * e.spec.num_samples
  return _answered(e, answers, *e.splits)._replace(
      learnt=answers * e.lengths(*e.splits)[0])


def _selection(e: Evaluated) -> EvalWork:
  return _answered(e, e.problems * e.spec.num_samples, *e.splits)


COSTS: dict[str, Callable[[Evaluated], EvalWork]] = {
    'answers': _answers, 'best_of_n': _best_of_n,
    'cleaning': _cleaning, 'extraction': _extraction,
    'grammar': _read_once('test'), 'grammar_attention': _grammar_attention,
    'grammar_noise': _read_once('test'), 'grammar_samples': _grammar_samples,
    'grammar_tree': _grammar_tree, 'knowledge_bits': _knowledge_bits,
    'linear_probe': _linear_probe, 'loss': _loss,
    'manipulation': _manipulation, 'markov': _read_once('test', 'new'),
    'metrics_of_answers': _metrics_of_answers,
    'p_probe': _pq_probe, 'policy': _policy, 'q_probe': _pq_probe,
    'retry_upon_regret': _retry_upon_regret, 'score_norms': _score_norms,
    'selection': _selection, 'solutions': _solutions, 'v_probe': _v_probe}


def eval_times(config: ConfigDict, spec: ConfigDict) -> int:
  """How often a run makes an evaluation: after the last step, and with `every`
  at step 0 and each multiple before the last."""
  return 1 + (-(-config.steps // spec.every) if spec.every else 0)


def eval_flops(config: ConfigDict, data: mixture.Mixture, form: ModelConfig,
               larger: dict[str, float]) -> float:
  """FLOPs of all of a run's evaluations, writing as WRITING times reading.

  Args:
    data: of a copy of the worlds with fewer people.
    larger: {world: its people over those of the copy}, 1 where left out.
  """
  total, per_token = 0.0, flops.per_token(form, data.seq_len)
  for spec in config.evals.values():
    work = COSTS[spec.kind](Evaluated(
        spec, config, data, larger.get(spec.world, 1.0)))
    total += eval_times(config, spec) * per_token * (
        work.learnt + (work.read + WRITING * work.written) / 3)
  return total
