"""What does the model know before it writes (Part 2.1, sections 4 and 5)?

V-probing: the text is cut at a place, the name of a quantity A (or two of them)
is put behind it between marks, and from the state at the last mark a linear
head says

  nece       A is needed for the answer; read before the solution
  dep        A depends on B, over any number of steps; read before the question
  known      A is computed already; read at the start of the solution and after
             each of its sentences
  can_next   all that A is computed from is known, A is not; likewise
  nece_next  both; likewise
  value      A's value, or that it is not known; likewise

The model is frozen: what is trained is the head, the marks, and a low-rank
update of the embedding, on problems of the training templates; asked are new
problems. A ranges over the quantities that the problem has (the paper's
appendix E). One training gives a head for each layer, from its states scaled to
unit variance; they share the update. Controls: the same on the model before
training, and a constant answer.
"""

import collections
import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import FrozenConfigDict

from physics_lm import adapters, model, rows
from physics_lm.errors import BadInput, nearest
from physics_lm.evals import reasoning
from physics_lm.shape import Shape
from physics_lm.worlds import base, igsm_check

TASKS = ('nece', 'dep', 'known', 'can_next', 'nece_next', 'value')
BEFORE = ('nece', 'dep')  # read before the solution, one place
MOST = 10  # of (place, quantity) of a problem
START, MIDDLE, END = range(3)  # marks, behind the vocabulary
MARKS = 8  # rows for them: the embedding stays a multiple of 8
DECAY = 0.01  # of weights, in training a probe (the paper's)


class Asked(NamedTuple):
  ids: list[int]
  label: int
  distance: int  # of A from the query, in steps; -1: not needed


def quantities(problem: igsm_check.Problem) -> list[igsm_check.Parameter]:
  """All that the problem has: instances, then items' totals by level."""
  return [*problem.definitions, *problem.totals()]


def distances(problem: igsm_check.Problem) -> dict:
  """Steps from the query to each quantity that it needs, at least."""
  out, edge = {problem.query: 0}, [problem.query]
  while edge:
    edge = [(q, out[p] + 1) for p in edge for q in problem.sources(p)]
    for q, d in edge:
      out.setdefault(q, d)
    edge = list(dict.fromkeys(q for q, d in edge if out[q] == d))
  return out


def places(example, task: str, order: str):
  """[(pieces before, quantities computed by then)] at which the task is
  read."""
  start = example.loss[0]
  if task in BEFORE:
    # The question is five pieces, at the end of the problem or its start.
    return [(start - 5 if task == 'dep' and order == 'pq' else start, set())]
  out, told, here = [(start, frozenset())], set(), start
  for i in range(start, len(example.pieces) - 1):
    if example.pieces[i] == '.':
      sentence = example.pieces[here:i]
      if ' BACK' not in sentence:
        told.add((sentence[1].strip(), sentence[3].strip()))
      here = i + 1
      out.append((here, frozenset(told)))
  return out


def questions(data: rows.Data, world, task: str, split: str, count: int,
              seed: int = 0) -> list[Asked]:
  """What is asked about `count` problems of a split, at most MOST each."""
  out, enc = [], data.vocab.encode
  for index, example in reasoning.problems(data, world, split, count):
    draws = base.generator(seed, 'probe', task, split, index)
    problem = reasoning.read(world, example)
    all_, far = quantities(problem), distances(problem)
    pairs = [(at, told, a, b)
             for at, told in places(example, task, world.order) for a in all_
             for b in (all_ if task == 'dep' else (None,)) if a != b]
    for i in draws.permutation(len(pairs))[:MOST]:
      at, told, a, b = pairs[i]
      text = [1, *(i for piece in example.pieces[:at] for i in enc(piece))]
      out.append(Asked(
          marked(data, text, *((a,) if b is None else (a, b))),
          label(problem, task, a, b, told, far), far.get(a, -1)))
  return out


def marked(data: rows.Data, text: list[int], *names) -> list[int]:
  """The ids of a text, and the names of one quantity or two between marks."""
  out, V = list(text), -(-len(data.vocab) // 8) * 8
  for mark, (item, other) in zip((START, MIDDLE), names):
    out.append(V + mark)
    for piece in (f' {item}', "'s", f' {other}'):
      out += data.vocab.encode(piece)
  return [*out, V + END]


def label(problem: igsm_check.Problem, task: str, a, b, told, far) -> int:
  """The true answer."""
  ready = a not in told and told.issuperset(problem.sources(a))
  match task:
    case 'nece':
      return int(a in far)
    case 'dep':
      return int(b in problem.needed(a))
    case 'known':
      return int(a in told)
    case 'can_next':
      return int(ready)
    case 'nece_next':
      return int(ready and a in far)
  return problem.value(a) if a in told else problem.modulus


def packed(asked: list[Asked], length: int) -> dict[str, np.ndarray]:
  """Rows of one question each, at the left."""
  out = {'tokens': np.zeros((len(asked), length), np.int32)}
  for row, a in enumerate(asked):
    out['tokens'][row, :len(a.ids)] = a.ids
  out['last'] = np.array([len(a.ids) - 1 for a in asked], np.int32)
  out['label'] = np.array([a.label for a in asked], np.int32)
  return out


def logits(probe, params, batch, cfg: Shape, spec):
  """What the heads say, [L + 1, B, classes]: of the states before each layer
  and after the last."""
  params = adapters.merge(params, probe['update'], spec, cfg)
  table = jnp.concatenate([params['ends']['embedding'], probe['marks']])
  params = params | {'ends': params['ends'] | {'embedding': table}}
  wide = dataclasses.replace(cfg, vocab=cfg.vocab + MARKS)
  _, _, stream_LBTD, _ = model.hidden(params, batch['tokens'], wide, taps=True)
  B = len(batch['last'])
  h_LBD = scaled(stream_LBTD[:, jnp.arange(B), batch['last']])
  return jnp.einsum('LBD,LDC->LBC', h_LBD, probe['heads']) + (
      probe['bias'][:, None])


def scaled(h):
  """States to mean 0 and variance 1 over the last axis, float32."""
  h = h.astype(jnp.float32)
  h -= h.mean(-1, keepdims=True)
  return h * jax.lax.rsqrt(jnp.square(h).mean(-1, keepdims=True) + 1e-5)


@functools.partial(jax.jit, static_argnames=('cfg', 'spec'))
def _outputs(probe, params, batch, cfg, spec):
  return logits(probe, params, batch, cfg, spec).argmax(-1)


def optimizer(rate: float, steps: int):
  return optax.adamw(optax.linear_schedule(rate, 0.0, steps),
                     weight_decay=DECAY)


@functools.partial(jax.jit, static_argnames=('cfg', 'spec', 'rate', 'steps'))
def _step(probe, opt, params, batch, cfg, spec, rate, steps):
  def loss(probe):
    said_LBC = logits(probe, params, batch, cfg, spec)
    nll_LB = optax.softmax_cross_entropy_with_integer_labels(
        said_LBC, jnp.broadcast_to(batch['label'], said_LBC.shape[:2]))
    return nll_LB.mean(1).sum()  # heads of the layers do not compete

  updates, opt = optimizer(rate, steps).update(jax.grad(loss)(probe), opt,
                                               probe)
  return optax.apply_updates(probe, updates), opt


def fit(params, cfg: Shape, asked: dict, classes: int, spec, key):
  """Trains a probe on packed questions, each seen once: AdamW, the learning
  rate falling to 0."""
  probe = {
      'update': adapters.init(update(spec.rank), cfg,
                              jax.random.fold_in(key, 0)),
      'marks': cfg.width**-0.5 * jax.random.normal(
          jax.random.fold_in(key, 1), (MARKS, cfg.width)),
      'heads': jnp.zeros((cfg.depth + 1, cfg.width, classes)),
      'bias': jnp.zeros((cfg.depth + 1, classes))}
  how = spec.learning_rate, spec.steps
  opt = optimizer(*how).init(probe)
  for i in range(spec.steps):
    at = slice(i * spec.batch, (i + 1) * spec.batch)
    probe, opt = _step(probe, opt, params, {
        k: v[at] for k, v in asked.items()}, cfg, update(spec.rank), *how)
  return probe


def answers(probe, params, asked: dict, cfg: Shape, spec) -> np.ndarray:
  """What the probe says of packed questions, [L + 1, questions]."""
  count, out = len(asked['label']), []
  for at in range(0, count, spec.batch):
    part = {k: v[at:at + spec.batch] for k, v in asked.items()}
    short = spec.batch - len(part['label'])
    part = {k: np.pad(v, ((0, short),) + ((0, 0),) * (v.ndim - 1))
            for k, v in part.items()}
    out.append(np.asarray(_outputs(probe, params, part, cfg,
                                   update(spec.rank))))
  return np.concatenate(out, 1)[:, :count]


@functools.cache
def update(rank: int) -> FrozenConfigDict:
  """The adapter: a low-rank update of the embedding alone."""
  return FrozenConfigDict({
      'kind': 'lora', 'matrices': '', 'rank': 0, 'length': 0, 'alpha': 1.0,
      'embedding_rank': rank})


def inputs(config, spec):
  """(world, questions to learn from in random order, {split: questions}).
  Raises BadInput."""
  if spec.probe not in TASKS:
    raise BadInput(f'evals: probe is {spec.probe!r}; '
                   f'{nearest(spec.probe, TASKS)}')
  for key in ('steps', 'batch', 'rank', 'problems'):
    if spec[key] < 1:
      raise BadInput(f'evals: {key} is {spec[key]}, wanted at least 1')
  data = rows.load(config)
  world = reasoning.igsm_of(config, data, spec)
  ask = functools.partial(questions, data, world, spec.probe)
  # A problem has at least four questions of each kind.
  count = spec.steps * spec.batch
  asked = ask('train', count // 4 + 1)
  draws = base.generator(0, 'probes', spec.probe)
  asked = [asked[i] for i in draws.permutation(len(asked))[:count]]
  return world, asked, {
      split: ask(split, spec.problems) for split in reasoning.splits(spec)}


def run(params, config, spec, cfg):
  """(metrics, raw outcomes), of the last layer: accuracy/test, on the positive
  labels and on the negative ones positive/test, negative/test (`value`: known
  or not), of quantities A that the answer does not need needless_positive/test,
  needless_negative/test; majority/test, positives/test (their share),
  questions/test; the same of the untrained model, random/accuracy/test ...; by
  layer (0: before the first) and steps from the query, layer2/accuracy/test
  and layer2/distance1/test."""
  world, train, asked = inputs(config, spec)
  none = world.modulus if spec.probe == 'value' else 0
  classes = none + 1 if none else 2
  everything = [*train, *(a for part in asked.values() for a in part)]
  length = -(-max(len(a.ids) for a in everything) // 16) * 16
  guess = collections.Counter(a.label for a in train).most_common(1)[0][0]
  key = jax.random.key(config.seed.init)
  metrics, raw = {}, []
  untrained = model.init(cfg, jax.random.fold_in(key, 1))
  for who, weights in (('', params), ('random/', untrained)):
    probe = fit(weights, cfg, packed(train, length), classes, spec, key)
    for split, part in asked.items():
      said_LB = answers(probe, weights, packed(part, length), cfg, spec)
      metrics |= {f'{who}{k}': v for k, v in summary(
          said_LB, part, split, none, guess).items()}
      raw += [{'model': who.rstrip('/') or 'trained', 'split': split,
               'label': a.label, 'distance': a.distance,
               'said': said_LB[:, i].tolist()} for i, a in enumerate(part)]
  return metrics, raw


def summary(said_LB, asked: list[Asked], split: str, none: int, guess: int
            ) -> dict[str, float]:
  """Metrics of one split."""
  label = np.array([a.label for a in asked])
  far = np.array([a.distance for a in asked])
  right_LB = said_LB == label
  positive = label != none
  out = {f'accuracy/{split}': right_LB[-1].mean(),
         f'positive/{split}': right_LB[-1, positive].mean(),
         f'negative/{split}': right_LB[-1, ~positive].mean(),
         f'majority/{split}': (label == guess).mean(),
         f'positives/{split}': positive.mean(),
         f'questions/{split}': len(asked)}
  for name, mine in (('positive', positive), ('negative', ~positive)):
    if (mine & (far < 0)).any():
      out[f'needless_{name}/{split}'] = right_LB[-1, mine & (far < 0)].mean()
  for layer, right in enumerate(right_LB):
    out[f'layer{layer}/accuracy/{split}'] = right.mean()
    out[f'layer{layer}/positive/{split}'] = right[positive].mean()
    for d in range(far.max() + 1):
      mine = positive & (far == d)
      if mine.any():
        out[f'layer{layer}/distance{d}/{split}'] = right[mine].mean()
  return {k: float(v) for k, v in out.items()}
