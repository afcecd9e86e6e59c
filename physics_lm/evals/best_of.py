"""Of many sampled solutions, which one? (test-time scaling)

For each problem the model writes n solutions at a temperature; one is kept, by

  first      no choice: what sampling gives
  majority   the first of those with the commonest answer
  outcome    the highest probability, after the last step, that the whole is
             right: a verifier that learned only whether solutions are
  process    the highest product, over the steps, of the probability that all is
             right so far: a verifier that learned where solutions go wrong
  oracle     a right one if there is one

A verifier is the model itself with one more head, trained on solutions that the
model wrote of other problems (`learn_split`), judged by the world's checker
(Cobbe et al. 2021, arXiv 2110.14168; Lightman et al. 2023, arXiv 2305.20050).
Both verifiers see the same solutions, equally often. What they learn from
should be as hard as what is asked: of easy problems short solutions are right.
"""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from physics_lm import decode, model, rows
from physics_lm.errors import BadInput
from physics_lm.evals import reasoning
from physics_lm.shape import Shape
from physics_lm.worlds import igsm

CHOICES = ('first', 'majority', 'outcome', 'process', 'oracle')
RATE = 1e-3  # of training a verifier
PASSES = 2  # over the solutions it learns from


def sampled(params, config, spec, cfg: Shape, split: str, count: int, n: int,
            seed: int, without=frozenset()):
  """n judged solutions of `count` problems each, none of those texts: [(index,
  [outcome])]. An outcome is reasoning's, with `ids` (prompt and solution),
  `ends` (of the sentences, in ids) and `good` (how many sentences are right
  before the first wrong one)."""
  data = rows.load(config)
  world = data.worlds[spec.world]
  asked = reasoning.problems(data, world, split, count, without)
  prompts = [reasoning.prompt(data, e) for _, e in asked for _ in range(n)]
  written = decode.generate(
      params, cfg, prompts, spec.tokens, decode.method(spec.decode),
      entries=len(data.vocab), batch=reasoning.batch(config, spec), seed=seed)
  stop, = data.vocab.encode('.')
  out = []
  for k, (index, example) in enumerate(asked):
    problem, part = reasoning.read(world, example), []
    for prompt, ids in zip(prompts[k * n:k * n + n], written[k * n:k * n + n]):
      text, ended = data.vocab.decode(ids), len(ids) < spec.tokens
      part.append({
          **reasoning.judged(problem, text, ended), 'ids': [*prompt, *ids],
          'ends': [len(prompt) + i for i, t in enumerate(ids) if t == stop],
          'text': text})
      r = part[-1]
      r['good'] = len(r['ends']) if r['full'] else r['parameters'] + r[
          'retries']
    out.append((index, part))
  return out


def packed(solutions: list[dict], length: int) -> dict[str, np.ndarray]:
  """Rows of one solution each: tokens, `end` (1 at a sentence's end), and what
  is true there: `outcome`, `process`. [N, T]."""
  out = {k: np.zeros((len(solutions), length), np.int32)
         for k in ('tokens', 'end', 'outcome', 'process')}
  for row, s in enumerate(solutions):
    out['tokens'][row, :len(s['ids'])] = s['ids']
    for i, at in enumerate(s['ends']):
      out['end'][row, at] = 1
      out['outcome'][row, at] = s['full']
      out['process'][row, at] = i < s['good']
  return out


def chances(verifier, tokens_BT, cfg: Shape):
  """Logits of being right, read at every token, [B, T] float32."""
  h_BTD, *_ = model.hidden(verifier['model'], tokens_BT, cfg)
  return h_BTD.astype(jnp.float32) @ verifier['head'] + verifier['bias']


_chances = jax.jit(chances, static_argnums=2)


def optimizer(steps: int):
  return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(
      optax.warmup_cosine_decay_schedule(0.0, RATE, steps // 10, steps),
      weight_decay=0.01))


@functools.partial(jax.jit, static_argnames=('cfg', 'steps'))
def _step(verifier, opt, tokens_BT, end_BT, true_BT, cfg, steps):
  def loss(verifier):
    nll_BT = optax.sigmoid_binary_cross_entropy(
        chances(verifier, tokens_BT, cfg), true_BT.astype(jnp.float32))
    # Each solution counts once, however many sentences it has.
    return ((nll_BT * end_BT).sum(1) / jnp.maximum(end_BT.sum(1), 1)).mean()

  updates, opt = optimizer(steps).update(jax.grad(loss)(verifier), opt,
                                         verifier)
  return optax.apply_updates(verifier, updates), opt


def fit(params, cfg: Shape, rows_: dict, target: str, batch: int):
  """A verifier, trained from the model's parameters on packed solutions."""
  count = len(rows_['tokens'])
  steps = PASSES * (count // batch)
  verifier = {'model': params, 'head': jnp.zeros(cfg.width),
              'bias': jnp.float32(0)}
  opt = optimizer(steps).init(verifier)
  order = np.concatenate([
      np.random.default_rng(i).permutation(count)[:count // batch * batch]
      for i in range(PASSES)])
  for i in range(steps):
    at = order[i * batch:(i + 1) * batch]
    verifier, opt = _step(verifier, opt, rows_['tokens'][at], rows_['end'][at],
                          rows_[target][at], cfg, steps)
  return verifier


def scores(verifier, rows_: dict, target: str, cfg: Shape, batch: int
           ) -> np.ndarray:
  """Of each packed solution; -inf for one without a sentence."""
  found = []
  count = len(rows_['tokens'])
  for at in range(0, count, batch):
    part = rows_['tokens'][at:at + batch]
    short = batch - len(part)
    found.append(np.asarray(_chances(verifier, np.pad(
        part, ((0, short), (0, 0))), cfg)))
  log_p = -np.logaddexp(0, -np.concatenate(found)[:count].astype(np.float64))
  end = rows_['end'] > 0
  if target == 'process':
    total = (log_p * end).sum(1)
  else:
    last = end.shape[1] - 1 - end[:, ::-1].argmax(1)
    total = log_p[np.arange(count), last]
  return np.where(end.any(1), total, -np.inf)


def chosen(part: list[dict], how: str) -> dict:
  """The solution that is kept of one problem's."""
  if how == 'first':
    return part[0]
  if how == 'oracle':
    return next((s for s in part if s['full']), part[0])
  if how == 'majority':
    answer = lambda s: s['text'].rstrip('.').rpartition('= ')[2]
    most = collections.Counter(map(answer, part)).most_common(1)[0][0]
    return next(s for s in part if answer(s) == most)
  return max(part, key=lambda s: s[f'{how}_score'])


def inputs(config, spec):
  """What reasoning.inputs gives. Raises BadInput."""
  for key in ('samples', 'learn_problems', 'learn_samples'):
    if spec[key] < 1:
      raise BadInput(f'evals: {key} is {spec[key]}, wanted at least 1')
  learn = spec.learn_problems * spec.learn_samples
  if learn < config.data.batch:
    raise BadInput(f'evals: verifiers learn from {learn} solutions '
                   '(learn_problems * learn_samples), wanted at least '
                   f'data.batch={config.data.batch}')
  if not decode.method(spec.decode).temperature:
    raise BadInput(f'evals: decode is {spec.decode!r}, wanted sample, '
                   'sample:TEMPERATURE or sample:TEMPERATURE:TOP_K')
  igsm.parse_split(spec.learn_split)
  return reasoning.inputs(config, spec)


def run(params, config, spec, cfg, stood=None):
  """(metrics, raw outcomes). `stood`: what seen.judge gives. Metric names:
  full/test/majority/n4 (also answer/..): accuracy of what is kept of the first
  4; auc/test/outcome: how often a right solution scores above a wrong one of
  the same problem; problems/test, and of what the verifiers learned from
  learn/solutions, learn/full; of problems that did not stand in training
  full_unseen/test/majority/n4 ..."""
  data, world, *_ = inputs(config, spec)
  batch = config.data.batch
  learn = sampled(
      params, config, spec, cfg, spec.learn_split, spec.learn_problems,
      spec.learn_samples, 1, reasoning.asked_texts(data, world, spec))
  learn = [s for _, part in learn for s in part]
  asked = {split: sampled(params, config, spec, cfg, split, spec.problems,
                          spec.samples, 2)
           for split in reasoning.splits(spec)}
  everything = learn + [s for found in asked.values() for _, part in found
                        for s in part]
  length = -(-max(len(s['ids']) for s in everything) // 16) * 16
  rows_ = packed(learn, length)
  metrics = {'learn/solutions': len(learn),
             'learn/full': float(np.mean([s['full'] for s in learn]))}
  for target in ('outcome', 'process'):
    verifier = fit(params, cfg, rows_, target, batch)
    for found in asked.values():
      flat = [s for _, part in found for s in part]
      for s, score in zip(flat, scores(verifier, packed(flat, length), target,
                                       cfg, batch)):
        s[f'{target}_score'] = float(score)
  raw = []
  for split, found in asked.items():
    for index, part in found:
      text = world.prompt(world.example(split, index))
      for s in part:
        s['stood'] = stood and stood(split, text)
    parts = [part for _, part in found]
    metrics |= summary(split, parts, spec.samples) | reasoning.unseen(
        summary, split, parts, lambda part: part[0]['stood'],
        most=spec.samples)
    raw += [{'split': split, 'index': index, 'sample': i, **{
        k: v for k, v in s.items() if k not in ('ids', 'ends')}}
        for index, part in found for i, s in enumerate(part)]
  return metrics, raw


def summary(split: str, parts: list[list[dict]], most: int) -> dict:
  """Metrics of one split's samples."""
  out, n = {f'problems/{split}': len(parts)}, 1
  while n <= most:
    for how in CHOICES:
      kept = [chosen(part[:n], how) for part in parts]
      for key in ('full', 'answer'):
        out[f'{key}/{split}/{how}/n{n}'] = float(np.mean(
            [s[key] for s in kept]))
    n *= 2
  for target in ('outcome', 'process'):
    score = f'{target}_score'
    pairs = [(a[score] > b[score]) + (a[score] == b[score]) / 2
             for part in parts for a in part for b in part
             if a['full'] and not b['full']]
    if pairs:
      out[f'auc/{split}/{target}'] = float(np.mean(pairs))
  return out
