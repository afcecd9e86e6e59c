"""Best of n: choosing among sampled solutions (test-time scaling).

For each problem the model samples n solutions at a temperature, and one is
chosen:

  first      the first one: pass@1 of sampling
  majority   the first of those with the most frequent answer
  outcome    by an outcome verifier, trained on whether solutions are correct:
             the highest probability of that after the last step
  process    by a process verifier, trained on whether a step is correct where
             all before it are: the highest product, over the steps, of that
             probability
  oracle     a correct one if there is one: pass@n

A verifier is the model itself with one more head, trained on solutions of other
problems (`verifier_split`) that the model samples and the world's checker
judges (Cobbe et al. 2021, arXiv 2110.14168; Lightman et al. 2023,
arXiv 2305.20050): as a whole, or (`verifier` 'linear') the head alone, on the
frozen states of all layers. Both verifiers are trained on the same solutions,
equally often. Their problems should be as hard as the test problems: among easy
ones a verifier would learn that short solutions are correct.
"""

import collections
import dataclasses
import functools
import itertools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput
from physics_lm.evals import teacher_forcing
from physics_lm.evals.igsm import contamination, linear_probe, solutions
from physics_lm.evals.records import Records, accuracy_row, row
from physics_lm.model import decode, decoder
from physics_lm.model.config import ModelConfig
from physics_lm.worlds.igsm import problems

CHOICES = ('first', 'majority', 'outcome', 'process', 'oracle')
VERIFIERS = {'outcome': 'end', 'process': 'judged'}  # {name: where it learns}
LEARNING_RATE = 1e-3  # of a verifier
EPOCHS = 2  # of a verifier, over its solutions


def sample_solutions(params: dict, problems: solutions.Problems, n: int,
                     seed: int, *, config: ConfigDict, spec: ConfigDict,
                     data: mixture.Mixture, cfg: ModelConfig
                     ) -> list[tuple[int, list[dict]]]:
  """n judged solutions of each problem.

  Returns:
    [(index, outcomes)]. An outcome is that of solutions.judge_solution with
    `text`, `ids` (prompt and solution), `sentence_ends` (of full stops, in ids)
    and `correct_sentences` (how many are correct before the first error).
  """
  world = data.worlds[spec.world]
  prompts = [solutions.prompt_ids(data, e) for _, e in problems
             for _ in range(n)]
  generated = decode.generate(
      params, cfg, prompts, spec.max_new_tokens,
      decode.decoding_method(spec.decode), entries=len(data.vocab),
      batch=solutions.decode_batch(config, spec.num_problems), seed=seed)
  stop, = data.vocab.encode('.')
  out = []
  for k, (index, example) in enumerate(problems):
    problem, part = world.problem(example), []
    for prompt, ids in zip(prompts[k * n:k * n + n],
                           generated[k * n:k * n + n]):
      text, ended = data.vocab.decode(ids), len(ids) < spec.max_new_tokens
      judged = solutions.judge_solution(problem, text, ended)
      ends = [len(prompt) + i for i, t in enumerate(ids) if t == stop]
      part.append({
          **judged, 'text': text, 'ids': [*prompt, *ids],
          'sentence_ends': ends,
          'correct_sentences': len(ends) if judged['correct'] else
          judged['parameters'] + judged['retries']})
    out.append((index, part))
  return out


def pack_solutions(solved: list[dict], length: int) -> dict[str, np.ndarray]:
  """Rows of one solution each, [N, T]: tokens, `end` (1 at the end of a
  sentence), `judged` (of those up to the first incorrect one: a later one has
  no label of its own), and both verifiers' labels, `outcome` and `process`."""
  out = {k: np.zeros((len(solved), length), np.int32)
         for k in ('tokens', 'end', 'judged', *VERIFIERS)}
  for i, s in enumerate(solved):
    out['tokens'][i, :len(s['ids'])] = s['ids']
    for k, at in enumerate(s['sentence_ends']):
      out['end'][i, at] = 1
      out['outcome'][i, at] = s['correct']
      out['process'][i, at] = k < s['correct_sentences']
      out['judged'][i, at] = k <= s['correct_sentences']
  return out


def verifier_logits(verifier: dict, tokens_BT: jax.Array, cfg: ModelConfig
                    ) -> jax.Array:
  """Logits of being correct at every token, [B, T] float32."""
  h_BTD, *_ = decoder.hidden_states(verifier['model'], tokens_BT, cfg)
  return h_BTD.astype(jnp.float32) @ verifier['head'] + verifier['bias']


_verifier_logits = jax.jit(verifier_logits, static_argnums=2)


def verifier_optimizer(steps: int) -> optax.GradientTransformation:
  """AdamW with warmup and cosine decay, for a verifier."""
  return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(
      optax.warmup_cosine_decay_schedule(0.0, LEARNING_RATE, steps // 10,
                                         steps), weight_decay=0.01))


@functools.partial(jax.jit, static_argnames=('cfg', 'steps'))
def _step(verifier: dict, opt, tokens_BT: jax.Array, at_BT, label_BT, cfg,
          steps):
  def loss(verifier):
    nll_BT = optax.sigmoid_binary_cross_entropy(
        verifier_logits(verifier, tokens_BT, cfg), label_BT.astype(jnp.float32))
    return (nll_BT * at_BT).sum() / jnp.maximum(at_BT.sum(), 1)

  updates, opt = verifier_optimizer(steps).update(
      jax.grad(loss)(verifier), opt, verifier)
  return optax.apply_updates(verifier, updates), opt


def train_verifier(params: dict, cfg: ModelConfig,
                   packed: dict[str, np.ndarray], target: str, batch: int
                   ) -> dict:
  """A verifier that starts from the model's parameters, trained on packed
  solutions with the labels `target`."""
  count = len(packed['tokens'])
  steps = EPOCHS * (count // batch)
  verifier = {'model': params, 'head': jnp.zeros(cfg.width),
              'bias': jnp.float32(0)}
  opt = verifier_optimizer(steps).init(verifier)
  order = np.concatenate([
      np.random.default_rng(i).permutation(count)[:count // batch * batch]
      for i in range(EPOCHS)])
  for i in range(steps):
    at = order[i * batch:(i + 1) * batch]
    verifier, opt = _step(verifier, opt, packed['tokens'][at],
                          packed[VERIFIERS[target]][at], packed[target][at],
                          cfg, steps)
  return verifier


def score_solutions(verifier: dict, packed: dict[str, np.ndarray], target: str,
                    cfg: ModelConfig, batch: int) -> np.ndarray:
  """Log-probability of being correct of each packed solution, [N]; -inf for a
  solution without a sentence."""
  found = []
  count = len(packed['tokens'])
  for at in range(0, count, batch):
    part = packed['tokens'][at:at + batch]
    short = batch - len(part)
    found.append(np.asarray(_verifier_logits(verifier, np.pad(
        part, ((0, short), (0, 0))), cfg)))
  log_p = -np.logaddexp(0, -np.concatenate(found)[:count].astype(np.float64))
  end = packed['end']
  if target == 'process':
    total = (log_p * end).sum(1)
  else:
    last = end.shape[1] - 1 - end[:, ::-1].argmax(1)
    total = log_p[np.arange(count), last]
  return np.where(end.any(1), total, -np.inf)


def sentence_states(params: dict, cfg: ModelConfig, solved: list[dict],
                    batch: int) -> list[np.ndarray]:
  """For each solution the frozen model's states of all layers at the ends of
  its sentences, [sentences, (L + 1) D]."""
  ends = [s['sentence_ends'] for s in solved]
  h_MF = linear_probe.layer_states(
      params, cfg, [s['ids'] for s in solved], ends, batch)
  return np.split(h_MF, np.cumsum([len(here) for here in ends])[:-1])


def linear_verifier(states: list[np.ndarray], solved: list[dict], target: str,
                    balanced: bool = False) -> tuple[np.ndarray, np.ndarray]:
  """(weights, bias) of a verifier on sentence_states: 'outcome' learns at the
  last sentence, 'process' up to the first incorrect one. `balanced`: as of
  linear_probe.logistic."""
  kept, label = [], []
  for h_SF, s in zip(states, solved):
    if target == 'outcome':
      h_SF, right = h_SF[-1:], [s['correct']] * len(h_SF[-1:])
    else:
      h_SF = h_SF[:s['correct_sentences'] + 1]
      right = [k < s['correct_sentences'] for k in range(len(h_SF))]
    kept.append(h_SF)
    label += right
  return tuple(map(np.asarray, linear_probe.logistic(
      np.concatenate(kept), np.array(label, np.float32), balanced)))


def linear_scores(verifier: tuple, states: list[np.ndarray], target: str
                  ) -> np.ndarray:
  """As score_solutions, by a linear_verifier."""
  weights, bias = verifier
  each = [-np.logaddexp(0, -(h_SF @ weights + bias)) for h_SF in states]
  return np.array([-np.inf if not len(log_p) else log_p[-1] if
                   target == 'outcome' else log_p.sum() for log_p in each])


def answer_text(solution: dict) -> str:
  """The last number of a solution, as text."""
  return solution['text'].rstrip('.').rpartition(' ')[2]


def choose(part: list[dict], choice: str) -> dict:
  """The solution of one problem that a choice of CHOICES takes."""
  if choice == 'first':
    return part[0]
  if choice == 'oracle':
    return next((s for s in part if s['correct']), part[0])
  if choice == 'majority':
    most = collections.Counter(map(answer_text, part)).most_common(1)[0][0]
    return next(s for s in part if answer_text(s) == most)
  return max(part, key=operator.itemgetter(f'{choice}_score'))


@dataclasses.dataclass(frozen=True)
class BestOfN:
  """Metrics accuracy and answer_accuracy of the chosen solution (slices
  choice, of CHOICES, and n_samples: of the first 1, 2, 4 ...), auc (how often a
  correct solution scores above an incorrect one of the same problem; choice
  'outcome' or 'process', n_samples 'all'; n counts problems that have both),
  auc_equal_length (of those with equally many sentences), and of the verifiers'
  training set verifier_solutions and verifier_accuracy (split 'verifier').
  Slices: split, choice, n_samples, contaminated. n counts problems."""

  cfg: ModelConfig
  config: ConfigDict
  spec: ConfigDict
  data: mixture.Mixture
  problems: dict[str, solutions.Problems]  # by split
  verifier_problems: solutions.Problems
  training_set: contamination.TrainingSet | None

  def __call__(self, params: dict, step: int | None = None) -> Records:
    sample = functools.partial(sample_solutions, params, config=self.config,
                               spec=self.spec, data=self.data, cfg=self.cfg)
    train = [s for _, part in sample(
        self.verifier_problems, self.spec.verifier_samples, 1) for s in part]
    solved = {split: sample(part, self.spec.num_samples, 2)
              for split, part in self.problems.items()}
    self._score(params, train, [s for found in solved.values()
                                for _, part in found for s in part])
    occurred = contamination.contamination_checker(self.training_set, step)
    out, raw = verifier_rows(train), []
    for split, found in solved.items():
      groups = []
      for (index, part), (_, example) in zip(found, self.problems[split]):
        known = occurred(split, self.data.worlds[self.spec.world].prompt(
            example))
        groups.append({'index': index, 'in_training_set': known,
                       'solutions': part})
        raw += [{'split': split, 'index': index, 'sample': i,
                 'in_training_set': known, **raw_outcome(s)}
                for i, s in enumerate(part)]
      for contaminated, some in contamination.contamination_slices(groups):
        out += choice_rows(some, self.spec.num_samples, split, contaminated)
    return Records(out, raw)

  def _score(self, params: dict, train: list[dict], test: list[dict]):
    """Trains both verifiers and adds their scores to the test solutions."""
    batch, linear = self.config.data.batch_size, self.spec.verifier == 'linear'
    length = -(-max(len(s['ids']) for s in train + test) // 16) * 16

    def view(part):  # what verifiers read
      return sentence_states(params, self.cfg, part, batch) if linear else (
          pack_solutions(part, length))

    seen = view(train)
    verifiers = {target: linear_verifier(seen, train, target) if linear else
                 train_verifier(params, self.cfg, seen, target, batch)
                 for target in VERIFIERS}
    for at in range(0, len(test), 1024):  # a few at a time
      part = test[at:at + 1024]
      seen = view(part)
      for target, verifier in verifiers.items():
        for s, score in zip(part, linear_scores(verifier, seen, target)
                            if linear else score_solutions(
                                verifier, seen, target, self.cfg, batch)):
          s[f'{target}_score'] = float(score)


def raw_outcome(solution: dict) -> dict:
  """The stored keys of a solution. JSON has no -inf: the score of a solution
  without a sentence is None."""
  return {k: None if v == -np.inf else v for k, v in solution.items()
          if k not in ('ids', 'sentence_ends')}


def verifier_rows(train: list[dict]) -> list[dict]:
  """How many solutions the verifiers were trained on, and the accuracy of
  those."""
  names = {'split': 'verifier', 'choice': 'all', 'n_samples': 'all',
           'contaminated': 'all'}
  return [row('verifier_solutions', len(train), len(train), **names),
          row('verifier_accuracy', np.mean([s['correct'] for s in train]),
              len(train), **names)]


def choice_rows(groups: list[dict], most: int, split: str, contaminated: str
                ) -> list[dict]:
  """Rows of one split. `groups`: of each problem, its index and solutions."""
  out, n = [], 1
  where = [g['index'] for g in groups]
  parts = [g['solutions'] for g in groups]
  while n <= most:
    for choice in CHOICES:
      chosen = [choose(part[:n], choice) for part in parts]
      out += [accuracy_row(metric, where, [s[key] for s in chosen], split=split,
                           choice=choice, n_samples=n,
                           contaminated=contaminated)
              for metric, key in (('accuracy', 'correct'),
                                  ('answer_accuracy', 'answer_correct'))]
    n *= 2
  for choice, metric in itertools.product(VERIFIERS, (
      'auc', 'auc_equal_length')):
    wins = [pair_wins(part, f'{choice}_score', metric != 'auc')
            for part in parts]
    if any(wins):
      out.append(row(metric, np.mean([w for some in wins for w in some]),
                     sum(bool(some) for some in wins), split=split,
                     choice=choice, n_samples='all', contaminated=contaminated))
  return out


def pair_wins(part: list[dict], score: str, equal_length: bool = False
              ) -> list[float]:
  """For each pair of a correct and an incorrect solution of one problem, with
  equally many sentences or any: 1 where the correct one scores higher, 0.5
  where both score the same, else 0."""
  return [(a[score] > b[score]) + (a[score] == b[score]) / 2
          for a in part for b in part if a['correct'] and not b['correct'] and (
              not equal_length or a['text'].count('.') == b['text'].count('.'))]


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict,
          training_set: contamination.TrainingSet | None = None) -> BestOfN:
  """The test problems, and others for the verifiers. Raises BadInput."""
  train = spec.verifier_problems * spec.verifier_samples
  if train < config.data.batch_size:
    raise BadInput(f'evals: verifiers are trained on {train} solutions '
                   '(verifier_problems * verifier_samples), wanted at least '
                   f'data.batch_size={config.data.batch_size}')
  check_sampling(spec)
  if spec.verifier not in ('finetuned', 'linear'):
    raise BadInput(f'evals: verifier is {spec.verifier!r}, wanted finetuned or '
                   'linear')
  problems.parse_split(spec.verifier_split)
  world = solutions.igsm_world(config, data, spec)
  test = {split: solutions.problems(data, world, split, spec.num_problems)
          for split in solutions.splits(spec)}
  others = solutions.problems(data, world, spec.verifier_split,
                              spec.verifier_problems,
                              solutions.evaluated_texts(data, world, spec))
  cfg = teacher_forcing.evaluated_model(config, data)
  solutions.check_problems(cfg, data, spec, [*test.values(), others],
                           spec.max_new_tokens)
  return BestOfN(cfg, config, spec, data, test, others, training_set)


def check_sampling(spec: ConfigDict):
  """Raises BadInput when decoding is not by sampling."""
  if not decode.decoding_method(spec.decode).temperature:
    raise BadInput(f'evals: decode is {spec.decode!r}, wanted sample, '
                   'sample:TEMPERATURE or sample:TEMPERATURE:TOP_K')
