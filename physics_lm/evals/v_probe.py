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
update of the embedding of the names between them, on problems of the training
templates, other ones than those asked, which are drawn anew. A ranges over the
quantities that the problem has (the paper's appendix E). One training gives a
head for each layer, from its states scaled to unit variance; they share the
update. Controls: the same on the model before training, and a constant answer.

The paper's update changes the text's embedding too. Here a text is as the model
itself reads it, once, and its keys and values serve all questions about it: a
step of training costs the few tokens between the marks, a tenth of the text.
"""

import collections
import dataclasses
import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import FrozenConfigDict

from physics_lm import adapters, kernels, model, rows
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
  text: tuple[int, ...]  # ids; all that is asked of one text names the same
  at: int  # of them, how many are read
  name: list[int]  # ids between marks, with them
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
              seed: int = 0, without=frozenset()) -> list[Asked]:
  """What is asked about `count` problems of a split, at most MOST each;
  without problems of those texts."""
  out = []
  for index, example in reasoning.problems(data, world, split, count, without):
    draws = base.generator(seed, 'probe', task, split, index)
    problem = reasoning.read(world, example)
    all_, far = quantities(problem), distances(problem)
    stops = places(example, task, world.order)
    text, ends = [1], {0: 1}  # ids, and how many there are before a piece
    for i in range(stops[-1][0]):
      text += data.vocab.encode(example.pieces[i])
      ends[i + 1] = len(text)
    text = tuple(text)
    pairs = [(at, told, a, b) for at, told in stops for a in all_
             for b in (all_ if task == 'dep' else (None,)) if a != b]
    for i in draws.permutation(len(pairs))[:MOST]:
      at, told, a, b = pairs[i]
      out.append(Asked(
          text, ends[at], marked(data, *((a,) if b is None else (a, b))),
          label(problem, task, a, b, told, far), far.get(a, -1)))
  return out


def marked(data: rows.Data, *names) -> list[int]:
  """The ids of one quantity's name, or of two, between marks."""
  out, V = [], -(-len(data.vocab) // 8) * 8
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


def packed(asked: list[Asked], texts: int, length: int, names: int
           ) -> list[dict[str, np.ndarray]]:
  """The questions about each so many texts, that follow each other: `texts`
  [R, T], and for each question its text's `row`, what is read (`at`), `names`
  [N, S], the `last` of them and its `label`."""
  out, text = [], None
  for a in asked:
    if a.text is not text:
      text = a.text
      if not out or len(out[-1][0]) == texts:
        out.append(([], []))
      out[-1][0].append(text)
    out[-1][1].append((len(out[-1][0]) - 1, a))
  return [_arrays(*part, texts, length, names) for part in out]


def _arrays(texts, asked, count: int, length: int, names: int) -> dict:
  out = {'texts': np.zeros((count, length), np.int32),
         'names': np.zeros((len(asked), names), np.int32)}
  for row, text in enumerate(texts):
    out['texts'][row, :len(text)] = text
  for i, (_, a) in enumerate(asked):
    out['names'][i, :len(a.name)] = a.name
  for key, of in (('row', lambda row, a: row), ('at', lambda _, a: a.at),
                  ('last', lambda _, a: len(a.name) - 1),
                  ('label', lambda _, a: a.label)):
    out[key] = np.array([of(*pair) for pair in asked], np.int32)
  return out


def sizes(*asked) -> dict[str, int]:
  """What `packed` takes, for lists of questions that are packed alike."""
  every = [a for part in asked for a in part]
  return {'length': -(-max(len(a.text) for a in every) // 16) * 16,
          'names': max(len(a.name) for a in every)}


def _layers(params, cfg: Shape):
  return [jax.tree.map(operator.itemgetter(i), params['layers'])
          for i in range(cfg.depth)]


@functools.partial(jax.jit, static_argnames='cfg')
def memory(params, texts_RT, cfg: Shape):
  """Keys and values of texts, a pair [R, T, K, H] for each layer."""
  x_RTD = model.Ends(cfg).apply({'params': params['ends']}, texts_RT,
                                method='embed')
  one_RT = jnp.ones_like(texts_RT)
  at_RT = jnp.broadcast_to(jnp.arange(texts_RT.shape[1]), texts_RT.shape)
  out = []
  for weights in _layers(params, cfg):
    (x_RTD, _), kept = model.Block(cfg).apply(
        {'params': weights}, x_RTD, one_RT, at_RT, mutable=['seen'])
    out.append(tuple(kept['seen'][k][0] for k in ('key', 'value')))
  return out


def logits(probe, params, memories, batch, cfg: Shape, spec):
  """What the heads say, [L + 1, B, classes]: of the states before each layer
  and after the last, at the last mark."""
  params = adapters.merge(params, probe['update'], spec, cfg)
  table = jnp.concatenate([params['ends']['embedding'], probe['marks']])
  wide = dataclasses.replace(cfg, vocab=cfg.vocab + MARKS)
  x_BSD = model.Ends(wide).apply(
      {'params': params['ends'] | {'embedding': table}}, batch['names'],
      method='embed')
  B, S = batch['names'].shape
  T = memories[0][0].shape[1]
  first_B = T - batch['at']  # texts end in the same column, as in decode.py
  column_BT = jnp.maximum(jnp.arange(T) - first_B[:, None], 0)
  at_BS = batch['at'][:, None] + jnp.arange(S)
  last = lambda x_BSD: x_BSD[jnp.arange(B), batch['last']]
  stream = [last(x_BSD)]
  for weights, pair in zip(_layers(params, cfg), memories):
    k_BKSH, v_BKSH = (jnp.pad(
        x_RTKH[batch['row'][:, None], column_BT].swapaxes(1, 2),
        ((0, 0), (0, 0), (0, S), (0, 0))) for x_RTKH in pair)
    past = kernels.Past(k_BKSH, v_BKSH, jnp.int32(T), first_B)
    (x_BSD, _), _ = model.Block(cfg).apply(
        {'params': weights, 'cache': {'past': past}}, x_BSD,
        jnp.ones_like(at_BS), at_BS, mutable='cache')
    stream.append(last(x_BSD))
  h_LBD = scaled(jnp.stack(stream))
  return jnp.einsum('LBD,LDC->LBC', h_LBD, probe['heads']) + (
      probe['bias'][:, None])


def scaled(h):
  """States to mean 0 and variance 1 over the last axis, float32."""
  h = h.astype(jnp.float32)
  h -= h.mean(-1, keepdims=True)
  return h * jax.lax.rsqrt(jnp.square(h).mean(-1, keepdims=True) + 1e-5)


@functools.partial(jax.jit, static_argnames=('cfg', 'spec'))
def _outputs(probe, params, memories, batch, cfg, spec):
  return logits(probe, params, memories, batch, cfg, spec).argmax(-1)


def optimizer(rate: float, steps: int):
  return optax.adamw(optax.linear_schedule(rate, 0.0, steps),
                     weight_decay=DECAY)


@functools.partial(jax.jit, static_argnames=('cfg', 'spec', 'rate', 'steps'))
def _step(probe, opt, params, memories, batch, cfg, spec, rate, steps):
  def loss(probe):
    said_LBC = logits(probe, params, memories, batch, cfg, spec)
    nll_LB = optax.softmax_cross_entropy_with_integer_labels(
        said_LBC, jnp.broadcast_to(batch['label'], said_LBC.shape[:2]))
    return nll_LB.mean(1).sum()  # heads of the layers do not compete

  updates, opt = optimizer(rate, steps).update(jax.grad(loss)(probe), opt,
                                               probe)
  return optax.apply_updates(probe, updates), opt


def fit(params, cfg: Shape, asked: list[dict], classes: int, spec, key):
  """Trains a probe on packed questions, each seen at most once: AdamW, the
  learning rate falling to 0."""
  probe = {
      'update': adapters.init(update(spec.rank), cfg,
                              jax.random.fold_in(key, 0)),
      'marks': cfg.width**-0.5 * jax.random.normal(
          jax.random.fold_in(key, 1), (MARKS, cfg.width)),
      'heads': jnp.zeros((cfg.depth + 1, cfg.width, classes)),
      'bias': jnp.zeros((cfg.depth + 1, classes))}
  how = spec.learning_rate, spec.steps
  opt, done = optimizer(*how).init(probe), 0
  for i, part in enumerate(asked):
    memories = memory(params, part['texts'], cfg)
    order = np.random.default_rng(i).permutation(len(part['label']))
    for at in range(0, len(order) - spec.batch + 1, spec.batch):
      if done == spec.steps:
        return probe
      probe, opt = _step(
          probe, opt, params, memories, chosen(part, order[at:at + spec.batch]),
          cfg, update(spec.rank), *how)
      done += 1
  return probe


def chosen(part: dict, which) -> dict:
  """A batch of packed questions."""
  return {k: part[k][which] for k in ('row', 'at', 'names', 'last', 'label')}


def answers(probe, params, asked: list[dict], cfg: Shape, spec) -> np.ndarray:
  """What the probe says of packed questions, [L + 1, questions]."""
  out = []
  for part in asked:
    memories, count = memory(params, part['texts'], cfg), len(part['label'])
    for at in range(0, count, spec.batch):
      # One shape, one compilation: the last batch repeats its last question.
      which = np.minimum(np.arange(at, at + spec.batch), count - 1)
      out.append(np.asarray(_outputs(probe, params, memories, chosen(
          part, which), cfg, update(spec.rank)))[:, :count - at])
  return np.concatenate(out, 1)


@functools.cache
def update(rank: int) -> FrozenConfigDict:
  """The adapter: a low-rank update of the embedding alone."""
  return FrozenConfigDict({
      'kind': 'lora', 'matrices': '', 'rank': 0, 'length': 0, 'alpha': 1.0,
      'embedding_rank': rank})


def inputs(config, spec):
  """(data, world, {split: questions}). Raises BadInput."""
  if spec.probe not in TASKS:
    raise BadInput(f'evals: probe is {spec.probe!r}; '
                   f'{nearest(spec.probe, TASKS)}')
  for key in ('steps', 'batch', 'rank', 'problems'):
    if spec[key] < 1:
      raise BadInput(f'evals: {key} is {spec[key]}, wanted at least 1')
  data = rows.load(config)
  world = reasoning.igsm_of(config, data, spec)
  return data, world, {
      split: questions(data, world, spec.probe, split, spec.problems)
      for split in reasoning.splits(spec)}


def learned_from(data: rows.Data, world, spec) -> list[Asked]:
  """Questions that last for spec.steps, of training problems that are not
  asked. So many texts are read together as a batch has questions."""
  ask = functools.partial(questions, data, world, spec.probe, 'train',
                          without=reasoning.asked_texts(data, world, spec))
  each = 0.9 * len(ask(50)) / 50  # of a text, and some to spare
  steps = max(int(each), 1)  # of each batch of texts
  return ask(-(-spec.steps // steps) * spec.batch)


def run(params, config, spec, cfg):
  """(metrics, raw outcomes), of the last layer: accuracy/test, on the positive
  labels and on the negative ones positive/test, negative/test (`value`: known
  or not), of quantities A that the answer does not need needless_positive/test,
  needless_negative/test; majority/test, positives/test (their share),
  questions/test; the same of the untrained model, random/accuracy/test ...; by
  layer (0: before the first) and steps from the query, layer2/accuracy/test
  and layer2/distance1/test."""
  data, world, asked = inputs(config, spec)
  train = learned_from(data, world, spec)
  none = world.modulus if spec.probe == 'value' else 0
  classes = none + 1 if none else 2
  pack = functools.partial(packed, texts=spec.batch,
                           **sizes(train, *asked.values()))
  guess = collections.Counter(a.label for a in train).most_common(1)[0][0]
  key = jax.random.key(config.seed.init)
  metrics, raw = {}, []
  untrained = model.init(cfg, jax.random.fold_in(key, 1))
  for who, weights in (('', params), ('random/', untrained)):
    probe = fit(weights, cfg, pack(train), classes, spec, key)
    for split, part in asked.items():
      said_LB = answers(probe, weights, pack(part), cfg, spec)
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
