"""V-probing: what the model knows before it writes (Part 2.1, sections 4, 5).

The text is cut at some position, the name of a quantity A (or two names) is
appended between marks, and from the state at the last mark a linear head
predicts

  nece       A is needed for the answer; before the solution
  dep        A depends on B, over any number of steps; before the question
  known      A is computed already; at the start of the solution and after each
             of its sentences
  can_next   every quantity that A is computed from is known, and A is not;
             likewise
  nece_next  both nece and can_next; likewise
  value      A's value, or that it is not known; likewise

The model is frozen. What is trained is the head, the marks, and a low-rank
update of the embedding of the names between them, on problems of the training
templates, none of them a test problem. A ranges over the
quantities that the problem has (the paper's appendix E). One training gives a
head for each layer, on its states scaled to unit variance; the heads share the
update. Controls: the same probe of an untrained model, and a constant answer.

The paper's update changes the embedding of the text too. Here the model reads
a text once, as it is, and its keys and values serve all queries about it: a
step of training costs the few tokens between the marks, a tenth of the text.
"""

import collections
import dataclasses
import functools
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm.errors import BadInput, nearest
from physics_lm.evals import teacher_forcing
from physics_lm.evals.igsm import solutions
from physics_lm.evals.records import Records, bootstrap_ci, row, slices
from physics_lm.model import adapters, decoder, kernels
from physics_lm.model.canon import taps_before
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import base
from physics_lm.worlds.igsm import checker
from physics_lm.worlds.igsm.problems import IGSM

TASKS = ('nece', 'dep', 'known', 'can_next', 'nece_next', 'value')
BEFORE = ('nece', 'dep')  # probed before the solution, at one position
MAX_QUERIES = 10  # (position, quantity) of a problem
START, MIDDLE, END = range(3)  # marks, behind the vocabulary
MARKS = 8  # rows for them: the embedding stays a multiple of 8
WEIGHT_DECAY = 0.01  # in training a probe (the paper's)
_SAMPLE = 50  # problems, to estimate the queries in a text


class ProbeQuery(NamedTuple):
  """One question to a probe."""

  text: tuple[int, ...]  # ids; all queries of one text hold the same object
  at: int  # how many of them the model reads
  name: list[int]  # ids between marks, with the marks
  label: int
  distance: int  # of A from the answer, in steps; -1: not needed
  index: int = 0  # of the problem
  before: bool = True  # before the first token of the solution


def quantities(problem: checker.Problem) -> list[checker.Parameter]:
  """All quantities of the problem: instances, then items' totals by level."""
  return [*problem.definitions, *problem.totals()]


def distances(problem: checker.Problem) -> dict:
  """The fewest steps from the answer to each quantity that it needs."""
  out, edge = {problem.query: 0}, [problem.query]
  while edge:
    edge = [(q, out[p] + 1) for p in edge for q in problem.sources(p)]
    for q, d in edge:
      out.setdefault(q, d)
    edge = list(dict.fromkeys(q for q, d in edge if out[q] == d))
  return out


def query_positions(world: IGSM, problem: checker.Problem,
                    example: base.Example, task: str
                    ) -> list[tuple[int, frozenset]]:
  """[(pieces before, quantities computed by then)] at which the task is
  probed."""
  start = example.loss[0]
  if task in BEFORE:
    # The question is at the end of the problem or its start.
    before = task == 'dep' and world.order == 'pq'
    return [(start - (world.question_size if before else 0), frozenset())]
  out, computed, here = [(start, frozenset())], set(), start
  for i in range(start, len(example.pieces) - 1):
    if example.pieces[i] == '.':
      name, back = problem.step(''.join(example.pieces[here:i]).strip())
      if not back:
        computed.add(problem.parameter(name))
      here = i + 1
      out.append((here, frozenset(computed)))
  return out


def queries(data: mixture.Mixture, world: IGSM, task: str, split: str,
            count: int, seed: int = 0, without: frozenset[str] = frozenset()
            ) -> list[ProbeQuery]:
  """Queries about `count` problems of a split, at most MAX_QUERIES each;
  `without`: texts of problems to leave out."""
  out = []
  for index, example in solutions.problems(data, world, split, count, without):
    draws = base.generator(seed, 'probe', task, split, index)
    problem = world.problem(example)
    all_, steps = quantities(problem), distances(problem)
    stops = query_positions(world, problem, example, task)
    text, ends = [1], {0: 1}  # ids, and how many there are before a piece
    for i in range(stops[-1][0]):
      text += data.vocab.encode(example.pieces[i])
      ends[i + 1] = len(text)
    text = tuple(text)
    pairs = [(at, computed, a, b) for at, computed in stops for a in all_
             for b in (all_ if task == 'dep' else (None,)) if a != b]
    for i in draws.permutation(len(pairs))[:MAX_QUERIES]:
      at, computed, a, b = pairs[i]
      out.append(ProbeQuery(
          text, ends[at], marked_names(
              data, world, *((a,) if b is None else (a, b))),
          true_label(problem, task, a, b, computed, steps), steps.get(a, -1),
          index, at == stops[0][0]))
  return out


def marked_names(data: mixture.Mixture, world: IGSM,
                 *names: checker.Parameter) -> list[int]:
  """The ids of one quantity's name, or of two, between marks."""
  out, V = [], -(-len(data.vocab) // 8) * 8
  for mark, name in zip((START, MIDDLE), names):
    out.append(V + mark)
    for piece in world.name_pieces(name):
      out += data.vocab.encode(piece)
  return [*out, V + END]


def true_label(problem: checker.Problem, task: str, a: checker.Parameter,
               b: checker.Parameter | None, computed: frozenset, steps: dict
               ) -> int:
  """The correct prediction. `computed`: the quantities computed by then;
  `steps`: distances(problem)."""
  ready = a not in computed and computed.issuperset(problem.sources(a))
  match task:
    case 'nece':
      return int(a in steps)
    case 'dep':
      return int(b in problem.needed(a))
    case 'known':
      return int(a in computed)
    case 'can_next':
      return int(ready)
    case 'nece_next':
      return int(ready and a in steps)
  return problem.value(a) if a in computed else problem.modulus


def pack_queries(part: Sequence[ProbeQuery], texts: int, length: int, names: int
                 ) -> list[dict[str, np.ndarray]]:
  """Batches of the queries about each `texts` successive texts: `texts`
  [R, T], and of each query the `row` of its text, how much is read (`at`),
  `names` [N, S], the index of the `last` of them and its `label`."""
  out, text = [], None
  for query in part:
    if query.text is not text:
      text = query.text
      if not out or len(out[-1][0]) == texts:
        out.append(([], []))
      out[-1][0].append(text)
    out[-1][1].append((len(out[-1][0]) - 1, query))
  return [_arrays(*batch, texts, length, names) for batch in out]


def _arrays(texts, placed, count: int, length: int, names: int) -> dict:
  out = {'texts': np.zeros((count, length), np.int32),
         'names': np.zeros((len(placed), names), np.int32)}
  for i, text in enumerate(texts):
    out['texts'][i, :len(text)] = text
  for i, (_, query) in enumerate(placed):
    out['names'][i, :len(query.name)] = query.name
  columns = zip(*((at, q.at, len(q.name) - 1, q.label) for at, q in placed))
  return out | {k: np.array(v, np.int32) for k, v in zip(
      ('row', 'at', 'last', 'label'), columns)}


def packed_sizes(*parts: Sequence[ProbeQuery]) -> dict[str, int]:
  """`length` and `names` of `pack_queries` for lists of queries that share
  shapes."""
  every = [q for part in parts for q in part]
  return {'length': -(-max(len(q.text) for q in every) // 16) * 16,
          'names': max(len(q.name) for q in every)}


def _layers(params: dict, cfg: ModelConfig) -> list:
  return [jax.tree.map(operator.itemgetter(i), params['layers'])
          for i in range(cfg.depth)]


@functools.partial(jax.jit, static_argnames='cfg')
def text_cache(params: dict, texts_RT: jax.Array, cfg: ModelConfig
               ) -> list[tuple[jax.Array, jax.Array, dict[str, jax.Array]]]:
  """For each layer keys and values of texts, [R, T, K, H], and the inputs of
  its Canon layers, {name: [R, T, channels]}."""
  x_RTD = decoder.EmbedUnembed(cfg).apply(
      {'params': params['ends']}, texts_RT, None, method='embed')
  one_RT = jnp.ones_like(texts_RT)
  at_RT = jnp.broadcast_to(jnp.arange(texts_RT.shape[1]), texts_RT.shape)
  out = []
  for weights in _layers(params, cfg):
    (x_RTD, _), kept = decoder.Block(cfg).apply(
        {'params': weights}, x_RTD, one_RT, at_RT, mutable=['states', 'taps'])
    key, value = (kept['states'][k][0] for k in ('key', 'value'))
    out.append((key, value, {
        name: x for name, (x,) in kept.get('taps', {}).items()}))
  return out


def v_probe_logits(probe: dict, params: dict, cache: list, batch: dict,
                   cfg: ModelConfig, spec: ConfigDict) -> jax.Array:
  """Logits of the heads, [L + 1, B, classes], on the states before each layer
  and after the last, at the last mark."""
  params = adapters.merge_adapter(params, probe['update'], spec, cfg)
  table = jnp.concatenate([params['ends']['embedding'], probe['marks']])
  wide = dataclasses.replace(cfg, vocab=cfg.vocab + MARKS)
  x_BSD = decoder.EmbedUnembed(wide).apply(
      {'params': params['ends'] | {'embedding': table}}, batch['names'],
      None, method='embed')
  B, S = batch['names'].shape
  T = cache[0][0].shape[1]
  # Texts end in the same column, as in model/decode.py.
  first_B = T - batch['at']
  column_BT = jnp.maximum(jnp.arange(T) - first_B[:, None], 0)
  at_BS = batch['at'][:, None] + jnp.arange(S)
  here = jnp.arange(B), batch['last']
  stream = [x_BSD[here]]
  for weights, (*pair, taps) in zip(_layers(params, cfg), cache):
    k_BKSH, v_BKSH = (jnp.pad(
        x_RTKH[batch['row'][:, None], column_BT].swapaxes(1, 2),
        ((0, 0), (0, 0), (0, S), (0, 0))) for x_RTKH in pair)
    past = kernels.KVCache(k_BKSH, v_BKSH, jnp.int32(T), first_B, {
        name: taps_before(x, batch['row'], batch['at'])
        for name, x in taps.items()})
    (x_BSD, _), _ = decoder.Block(cfg).apply(
        {'params': weights, 'cache': {'past': past}}, x_BSD,
        jnp.ones_like(at_BS), at_BS, mutable='cache')
    stream.append(x_BSD[here])
  h_LBD = standardized(jnp.stack(stream))
  return jnp.einsum('LBD,LDC->LBC', h_LBD, probe['heads']) + (
      probe['bias'][:, None])


def standardized(h: jax.Array) -> jax.Array:
  """States with mean 0 and variance 1 over the last axis, float32."""
  h = h.astype(jnp.float32)
  h -= h.mean(-1, keepdims=True)
  return h * jax.lax.rsqrt(jnp.square(h).mean(-1, keepdims=True) + 1e-5)


@functools.partial(jax.jit, static_argnames=('cfg', 'spec'))
def _classes(probe: dict, params: dict, cache: list, batch: dict, cfg,
             spec: ConfigDict):
  return v_probe_logits(probe, params, cache, batch, cfg, spec).argmax(-1)


def probe_optimizer(learning_rate: float, steps: int
                    ) -> optax.GradientTransformation:
  """AdamW whose learning rate decays linearly to 0."""
  return optax.adamw(optax.linear_schedule(learning_rate, 0.0, steps),
                     weight_decay=WEIGHT_DECAY)


@functools.partial(jax.jit, static_argnames=(
    'cfg', 'spec', 'learning_rate', 'steps'))
def _step(probe: dict, opt, params: dict, cache: list, batch: dict, cfg,
          spec: ConfigDict, learning_rate: float, steps):
  def loss(probe):
    logits_LBC = v_probe_logits(probe, params, cache, batch, cfg, spec)
    nll_LB = optax.softmax_cross_entropy_with_integer_labels(
        logits_LBC, jnp.broadcast_to(batch['label'], logits_LBC.shape[:2]))
    return nll_LB.mean(1).sum()  # heads of the layers do not compete

  updates, opt = probe_optimizer(learning_rate, steps).update(
      jax.grad(loss)(probe), opt, probe)
  return optax.apply_updates(probe, updates), opt


def train_probe(params: dict, cfg: ModelConfig, batches: list[dict],
                classes: int, spec: ConfigDict, key: jax.Array) -> dict:
  """Trains a probe for spec.steps on packed queries, on each at most once."""
  probe = {
      'update': adapters.init_adapter(
          adapters.embedding_adapter(spec.rank), cfg,
          jax.random.fold_in(key, 0)),
      'marks': cfg.width**-0.5 * jax.random.normal(
          jax.random.fold_in(key, 1), (MARKS, cfg.width)),
      'heads': jnp.zeros((cfg.depth + 1, cfg.width, classes)),
      'bias': jnp.zeros((cfg.depth + 1, classes))}
  schedule = spec.learning_rate, spec.steps
  opt, done = probe_optimizer(*schedule).init(probe), 0
  for i, batch in enumerate(batches):
    cache = text_cache(params, batch['texts'], cfg)
    order = np.random.default_rng(i).permutation(len(batch['label']))
    for at in range(0, len(order) - spec.batch + 1, spec.batch):
      if done == spec.steps:
        return probe
      probe, opt = _step(
          probe, opt, params, cache,
          chosen_queries(batch, order[at:at + spec.batch]), cfg,
          adapters.embedding_adapter(spec.rank), *schedule)
      done += 1
  return probe


def chosen_queries(batch: dict, which: np.ndarray) -> dict:
  """Some of the packed queries."""
  return {k: batch[k][which] for k in ('row', 'at', 'names', 'last', 'label')}


def predict_labels(probe: dict, params: dict, batches: list[dict],
                   cfg: ModelConfig, spec: ConfigDict) -> np.ndarray:
  """The probe's predictions for packed queries, [L + 1, queries]."""
  out = []
  for batch in batches:
    cache, count = text_cache(params, batch['texts'], cfg), len(batch['label'])
    for at in range(0, count, spec.batch):
      # One shape, one compilation: the last batch repeats its last query.
      which = np.minimum(np.arange(at, at + spec.batch), count - 1)
      out.append(np.asarray(_classes(
          probe, params, cache, chosen_queries(batch, which), cfg,
          adapters.embedding_adapter(spec.rank)))[:, :count - at])
  return np.concatenate(out, 1)


class TrainingQueries(NamedTuple):
  """Queries that a probe is trained on, about training problems that are not
  test problems. Made when needed: there may be millions."""

  data: mixture.Mixture
  world: IGSM
  task: str
  without: frozenset[str]
  texts: int  # enough for the probe's steps

  def make(self) -> list[ProbeQuery]:
    """All queries, in order."""
    return queries(self.data, self.world, self.task, 'train', self.texts,
                   without=self.without)


def training_queries(data: mixture.Mixture, world: IGSM, spec: ConfigDict
                     ) -> TrainingQueries:
  """Queries for spec.steps. A batch reads as many texts as it has queries."""
  out = TrainingQueries(data, world, spec.probe, solutions.evaluated_texts(
      data, world, spec), _SAMPLE)
  each = 0.9 * len(out.make()) / _SAMPLE  # of a text, and some to spare
  steps = max(int(each), 1)  # of each batch of texts
  return out._replace(texts=-(-spec.steps // steps) * spec.batch)


@dataclasses.dataclass(frozen=True)
class VProbe:
  """Metrics accuracy, majority_baseline, positive_share (of labels).

  Slices: split; model ('trained' or 'untrained'); layer (its number, 0: before
  the first; 'last'); label ('all', 'positive', 'negative', 'balanced': the mean
  of these two; of task value, a known quantity is positive); needed ('all', or
  'no': quantities that the answer does not need); position ('all', or 'before':
  before the first token of the solution); distance ('all', or steps from the
  answer, of positive labels). The baseline and the share, of no model and
  layer, are marginals. n counts queries; intervals, of the last layer, are by
  problem.
  """

  cfg: ModelConfig
  spec: ConfigDict
  seed: int
  negative: int  # the label for "no", or for an unknown value
  queries: dict[str, list[ProbeQuery]]  # by split
  training: TrainingQueries

  def __call__(self, params: dict, step: int | None = None) -> Records:
    train = self.training.make()
    constant = collections.Counter(q.label for q in train).most_common(1)[0][0]
    untrained = decoder.init(self.cfg, jax.random.fold_in(
        jax.random.key(self.seed), 1))
    out, raw = [], []
    for name, weights in (('trained', params), ('untrained', untrained)):
      predict = self.predictor(weights, train, self.negative + 1
                               if self.negative else 2)
      for split, part in self.queries.items():
        predicted_LB = predict(part)
        out += v_probe_rows(predicted_LB, part, split, name, self.negative)
        raw += [{'model': name, 'split': split, 'index': q.index,
                 'label': q.label, 'distance': q.distance,
                 'predicted': predicted_LB[:, i].tolist()}
                for i, q in enumerate(part)]
    for split, part in self.queries.items():
      out += share_rows(part, split, self.negative, constant)
    return Records(out, raw)

  def predictor(self, params: dict, train: list[ProbeQuery], classes: int,
                longest: int = 0
                ) -> Callable[[Sequence[ProbeQuery]], np.ndarray]:
    """Predictions [L + 1, queries] of a probe that is trained on `train`, for
    texts of at most `longest` tokens, or as many as known queries have."""
    sizes = packed_sizes(train, *self.queries.values())
    sizes['length'] = max(sizes['length'], -(-longest // 16) * 16)
    pack = functools.partial(pack_queries, texts=self.spec.batch, **sizes)
    probe = train_probe(params, self.cfg, pack(train), classes, self.spec,
                        jax.random.key(self.seed))

    def predict(part: Sequence[ProbeQuery]) -> np.ndarray:
      return predict_labels(probe, params, pack(part), self.cfg, self.spec)

    return predict


def v_probe_rows(predicted_LB: np.ndarray, part: list[ProbeQuery], split: str,
                 name: str, negative: int) -> list[dict]:
  """Rows of one model's accuracy on the queries of one split."""
  label, distance, index, before = (
      np.array([getattr(q, k) for q in part])
      for k in ('label', 'distance', 'index', 'before'))
  positive, every = label != negative, np.ones(len(label), bool)
  groups = (('all', 'all', every), ('no', 'all', distance < 0),
            ('all', 'before', before))
  out = []

  def add(layer, right_B, which_B, label, needed='all', position='all',
          at='all'):
    if which_B.any():
      interval = bootstrap_ci(index[which_B], right_B[which_B]) if (
          layer == 'last') else None
      out.append(row('accuracy', right_B[which_B].mean(), which_B.sum(),
                     interval, split=split, model=name, layer=layer,
                     label=label, needed=needed, position=position,
                     distance=at))

  for layer in ('last', *range(len(predicted_LB))):
    right_B = predicted_LB[-1 if layer == 'last' else layer] == label
    for needed, position, among in groups:
      for sign, which in (('all', among), ('positive', among & positive),
                           ('negative', among & ~positive)):
        add(layer, right_B, which, sign, needed, position)
      if (among & positive).any() and (among & ~positive).any():
        out.append(balanced_row(out[-2:], index[among], right_B[among],
                                positive[among]))
    for d in range(distance.max() + 1):
      add(layer, right_B, positive & (distance == d), 'positive', at=d)
  return out


def balanced_row(pair: list[dict], index: np.ndarray, right: np.ndarray,
                 positive: np.ndarray) -> dict:
  """The mean of the rows of positive and of negative labels."""
  names = slices(pair[0]) | {'label': 'balanced'}
  interval = bootstrap_ci(index, right, positive) if (
      names['layer'] == 'last') else None
  return row('accuracy', (pair[0]['value'] + pair[1]['value']) / 2,
             pair[0]['n'] + pair[1]['n'], interval, **names)


def share_rows(part: list[ProbeQuery], split: str, negative: int, constant: int
               ) -> list[dict]:
  """The accuracy of one constant answer, and the share of positive labels."""
  label, before = (np.array([getattr(q, k) for q in part])
                   for k in ('label', 'before'))
  names = dict.fromkeys(
      ('model', 'layer', 'label', 'needed', 'position', 'distance'), 'all')
  return [row(metric, hits[among].mean(), among.sum(), split=split,
              **names | {'position': position})
          for metric, hits in (('majority_baseline', label == constant),
                               ('positive_share', label != negative))
          for position, among in (('all', np.ones(len(label), bool)),
                                  ('before', before)) if among.any()]


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict
          ) -> VProbe:
  """Queries of task spec.probe about spec.num_problems problems of each of
  spec.splits. Raises BadInput."""
  if spec.probe not in TASKS:
    raise BadInput(f'evals: probe is {spec.probe!r}; '
                   f'{nearest(spec.probe, TASKS)}')
  if config.model.positions != 'rotary':
    raise BadInput(f'evals: a V-probe of a model with model.positions='
                   f"{config.model.positions!r}, wanted 'rotary'")
  world = solutions.igsm_world(config, data, spec)
  return VProbe(
      teacher_forcing.evaluated_model(config, data), spec, config.seed.init,
      world.modulus if spec.probe == 'value' else 0,
      {split: queries(data, world, spec.probe, split, spec.num_problems)
       for split in solutions.splits(spec)},
      training_queries(data, world, spec))
