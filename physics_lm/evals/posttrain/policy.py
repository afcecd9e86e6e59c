"""Sampled answers of a policy, judged by the world's checker.

Of each problem, the greedy answer and `num_samples` samples at temperature 1.
pass@k is the unbiased estimate from the n samples, for k = 1, 4, 16, ... up to
n / 2: at larger k its variance is too large. For a run that starts from another
one, the exact KL between the two policies on sampled answers: the sum over the
answer's tokens of the KL of the law of the next token, mean over answers.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from physics_lm import mixture, restore, run_dir
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.records import Records, accuracy_row, row
from physics_lm.model import decode, sharding
from physics_lm.model.config import REWARD_KINDS, ModelConfig
from physics_lm.posttrain import objectives, rollout
from physics_lm.posttrain.reward import Answer, kinds_of, make_reward
from physics_lm.vocab import EOS
from physics_lm.worlds import base

BATCH = 256  # answers decoded at a time
KL_ANSWERS = 256  # answers of a split that the KL is measured on
SEED = 1


@dataclasses.dataclass(frozen=True)
class PolicyEval:
  """Metrics, slices split and k: accuracy (of the greedy answer), pass_at_k (k
  samples; k 1 is the accuracy of a sample), outcome (a sample's result is
  right, where the world can tell), length (tokens of a sample), ended (share),
  worked (share, where the world has styles; outcome_worked and outcome_short:
  of the samples of a style, where it marks them), gold (of a sample, where the
  spec names a reward), and kl, kl_reverse in nats an answer, of a run that
  started from another."""

  cfg: ModelConfig
  data: mixture.Mixture
  steps: int  # the most tokens of an answer
  samples: int
  problems: dict[str, list[tuple[int, rollout.Prompt]]]
  reference: Callable[[], Any]  # the parameters of the parent, or None
  gold: Callable | None = None  # the reward of answers

  def __call__(self, params: dict, step: int | None = None) -> Records:
    rows, raw = [], []
    for split, problems in self.problems.items():
      more, outcomes = self._of_split(params, split, problems)
      rows += more
      raw += outcomes
    return Records(rows, raw)

  def _of_split(self, params, split: str, problems) -> tuple[list, list]:
    prompts = [p.ids for _, p in problems]
    greedy = decode.generate(params, self.cfg, prompts, self.steps,
                             entries=len(self.data.vocab))
    correct = np.array([self._correct(p, ids, len(ids) < self.steps)
                        for (_, p), ids in zip(problems, greedy)])
    n = self.samples
    sampled = decode.sample_tokens(
        params, self.cfg, [p for p in prompts for _ in range(n)], self.steps,
        entries=len(self.data.vocab), seed=SEED,
        batch=batch_of(n, len(prompts)))
    asked = [p for _, p in problems for _ in range(n)]
    ended = np.array([ids[-1] == EOS for ids, _ in sampled])
    right = np.array([
        self._correct(p, ids[:-1], end)
        for p, (ids, _), end in zip(asked, sampled, ended)]).reshape(-1, n)
    items = [i for i, _ in problems]
    out = [accuracy_row('accuracy', items, correct, split=split, k='all')]
    k = 1
    while k == 1 or k <= n // 2:
      out.append(accuracy_row('pass_at_k', items, pass_at_k(
          n, right.sum(1), k), split=split, k=k))
      k *= 4
    out += self._of_samples(split, asked, sampled, ended)
    out += self._kl(params, split, asked, [ids for ids, _ in sampled])
    return out, [{'split': split, 'problem': i, 'correct': bool(c),
                  'correct_samples': int(r.sum())}
                 for i, c, r in zip(items, correct, right)]

  def _correct(self, prompt: rollout.Prompt, ids, ended: bool) -> bool:
    world = self.data.tasks[prompt.task].world
    return bool(ended) and world.check(
        prompt.question, self.data.vocab.decode(ids)).correct

  def _of_samples(self, split: str, asked, sampled, ended) -> list[dict]:
    """Means over samples of a split."""
    texts = [self.data.vocab.decode(ids[:-1] if end else ids)
             for (ids, _), end in zip(sampled, ended)]
    values = {'length': [len(ids) for ids, _ in sampled], 'ended': ended}
    worlds = [self.data.tasks[p.task].world for p in asked]
    if hasattr(worlds[0], 'outcome'):
      values['outcome'] = [e and w.outcome(p.question, t) for p, w, t, e in zip(
          asked, worlds, texts, ended)]
    if hasattr(worlds[0], 'style'):
      styles = [w.style(t) for w, t in zip(worlds, texts)]
      values['worked'] = [s == 'worked' for s in styles]
      for style in ('worked', 'short') * worlds[0].marked:
        values[f'outcome_{style}'] = [
            o for o, s in zip(values['outcome'], styles) if s == style]
    if self.gold:
      values['gold'] = self.gold(as_answers(self.data, asked, [
          ids for ids, _ in sampled], self.steps))
    return [row(name, np.mean(x), len(x), split=split, k='all')
            for name, x in values.items() if len(x)]

  def _kl(self, params, split: str, asked, answers) -> list[dict]:
    """Rows of the exact KL to the parent, on samples of this policy ('kl') and
    from the parent to this policy on the same prefixes ('kl_reverse')."""
    reference = self.reference()
    if reference is None:
      return []
    every = max(len(asked) // KL_ANSWERS, 1)
    asked, answers = asked[::every], answers[::every]
    rows = rollout.packed_answers([p.ids for p in asked], answers,
                                  max(len(p.ids) for p in asked) + self.steps)
    mask = rows.pop('mask')
    own, other = (np.asarray(rollout.answer_log_probs(
        p, rows, 1.0, cfg=self.cfg, entries=len(self.data.vocab),
        full_law=True)) for p in (params, reference))
    return [row(name, (np.asarray(objectives.exact_kl(a, b)) * mask).sum()
                / len(asked), len(asked), split=split, k='all')
            for name, a, b in (('kl', own, other), ('kl_reverse', other, own))]


def as_answers(data: mixture.Mixture, prompts: Sequence[rollout.Prompt],
               answers: Sequence[list[int]], most: int) -> list[Answer]:
  """Sampled ids, with their end tokens, as rewards see them; nothing is
  drawn."""
  out = []
  for prompt, ids in zip(prompts, answers):
    ended = ids[-1] == EOS
    out.append(Answer(
        data.tasks[prompt.task].world, prompt.question,
        data.vocab.decode(ids[:-1] if ended else ids), ended, len(ids), most,
        0.0, prompt.ids, ids))
  return out


def batch_of(samples: int, prompts: int) -> int:
  """Rows decoded at a time: samples of as many prompts as fit."""
  return samples * max(min(BATCH // samples, prompts), 1)


def pass_at_k(samples: int, correct: np.ndarray, k: int) -> np.ndarray:
  """The unbiased estimate of the probability that one of k answers is correct,
  of problems with `correct` of `samples`: 1 - C(n - c, k) / C(n, k)."""
  i = np.arange(k)
  fails = (samples - np.asarray(correct)[..., None] - i) / (samples - i)
  return 1 - fails.clip(0).prod(-1)


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict,
          folder: Path | None) -> PolicyEval:
  """The first spec.num_problems problems of each of spec.splits. Raises
  BadInput."""
  if config.post.kind in REWARD_KINDS:
    raise BadInput(f"evals: kind is 'policy' of post.kind {config.post.kind!r},"
                   " whose model only scores; wanted 'selection'")
  cfg = teacher_forcing.evaluated_model(config, data)
  return PolicyEval(
      cfg, data, spec.max_new_tokens, spec.num_samples,
      judged_problems(data, spec, cfg), functools.partial(
          _parent_params, config, folder, cfg), make_gold(data, spec))


def make_gold(data: mixture.Mixture, spec: ConfigDict) -> Callable | None:
  """The reward that an evaluation's spec names, None for ''. Raises
  BadInput."""
  drawn = kinds_of(spec.reward) & {'random', 'noisy', 'likely'}
  if drawn:
    raise BadInput(f'evals: reward is {spec.reward!r}, wanted one without '
                   f'{", ".join(sorted(drawn))}: evaluations draw nothing')
  return make_reward(spec.reward, [data.worlds[spec.world]]) if (
      spec.reward) else None


def judged_problems(data: mixture.Mixture, spec: ConfigDict, cfg: ModelConfig
                    ) -> dict[str, list[tuple[int, rollout.Prompt]]]:
  """{split: (index, prompt) of its first spec.num_problems problems}. Raises
  BadInput, also for problems that the model cannot answer by
  spec.max_new_tokens."""
  world = data.worlds[spec.world]
  if base.is_stream(world):
    raise BadInput(f'evals: world {spec.world!r} is a stream, wanted one with '
                   'problems')
  which = next((i for i, t in enumerate(data.tasks) if t.world is world), None)
  if which is None:
    raise BadInput(f'evals: no task of data.tasks has world {spec.world!r}')
  problems = {}
  for split in (s.strip() for s in spec.splits.split(',')):
    count = min(spec.num_problems, world.size(split))
    examples = [(i, world.example(split, i)) for i in range(count)]
    problems[split] = [(i, rollout.Prompt(which, e, rollout.question_ids(
        data, data.tasks[which], e))) for i, e in examples]
  decode.check_continuations(cfg, (
      p.ids for part in problems.values() for _, p in part),
                       spec.max_new_tokens)
  return problems


def _parent_params(config: ConfigDict, folder: Path | None, cfg: ModelConfig
                   ) -> Any:
  """The parameters of the run that a post-trained one, of the model `cfg`,
  starts from, on the mesh in use; None of any other run."""
  if folder is None or not config.post.kind:
    return None
  parent = run_dir.find_run(config.init_from, folder)
  if not run_dir.is_done(parent):
    parent = run_dir.find_parent(folder)
  return restore.load_parameters(parent, restore.abstract_params(
      cfg, sharding.mesh_in_use()))[0]
