"""Probes: where is knowledge stored, before anybody asks (Part 3.1, section 5)?

The model is frozen; a probe has a low-rank update of the embedding, a norm
and a linear map to the values of one attribute, trained on half of the people
and judged on the other half.

  p_probe  reads a biography; at each of six places, just before the first
           attribute told, the second, ..., it tells every attribute (one set
           of weights for all places; layer norm; appendix E)
  q_probe  reads a name between two end tokens (batch norm; appendix F)

With few people a name belongs to two or three, and an update of its embedding
is learnt by heart instead of read off the model (experiments/LOG.md, 30): with
`names` False it reaches all tokens but those of names, of a q_probe the end
token alone.

Eleven targets: the month of birth, as whole dates are too many to learn, and
of the other five attributes the whole and, `first_ATTRIBUTE`, the first token
alone. Probes of all targets train together, in one program.
"""

import collections
import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from physics_lm import adapters, model, rows
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput
from physics_lm.evals import scoring
from physics_lm.worlds.biographies import ATTRIBUTES

HALVES = ('train', 'test')
TARGETS = (*ATTRIBUTES, *(f'first_{a}' for a in ATTRIBUTES[1:]))
GROUPS = {t: [i] for i, t in enumerate(TARGETS)} | {  # of targets, by number
    'whole': list(range(1, 6)), 'first': list(range(6, 11))}


class Reading(NamedTuple):
  """Rows to read and what a probe must tell at K places of each."""

  tokens: np.ndarray  # [R, T], as segments and positions
  segments: np.ndarray
  positions: np.ndarray
  at: np.ndarray  # [R, K], of T
  real: np.ndarray  # [R, K], float32; 0: no place, only padding
  place: np.ndarray  # [R, K], how many attributes were told before
  person: np.ndarray  # [R, K]
  label: np.ndarray  # [targets, R, K]


def label(world, vocab, person: int, target: str) -> str:
  text = world.value(person, target.removeprefix('first_'))
  if target.startswith('first_'):
    return vocab.decode(vocab.encode(text)[:1]).strip()
  return text.split()[0] if target == 'birth_date' else text.strip()


def biographies(data, world, half: str, people: int, versions: int):
  """(packed rows, person and place of each span, spans)."""
  examples = [world.biography(2 * k + (half == 'test'), v)
              for v in range(versions) for k in range(people)]
  packed, spans = scoring.pack(data, examples)
  told = collections.Counter()
  points = []
  for s in spans:
    points.append((s.row, s.start, told[s.example],
                   examples[s.example].meta['person']))
    told[s.example] += 1
  return packed, points


def names(data, world, half: str, people: int):
  packed, points = [], []
  for k in range(people):
    person = 2 * k + (half == 'test')
    ids = [t for piece in world.name(person) for t in data.vocab.encode(piece)]
    packed.append(rows.new_row(data.length))
    rows.place(packed[-1], ([vocabs.EOS, *ids, vocabs.EOS], [0.0] * (
        len(ids) + 2)), 0, 1)
    points.append((k, len(ids) + 1, 0, person))
  used = max(p[1] for p in points) + 1
  return {k: np.stack([r[k][:used] for r in packed])
          for k in ('tokens', 'segments', 'positions')}, points


def reading(labels, packed, points) -> Reading:
  """`labels`: the class of each target and person, [targets, people]."""
  by_row = collections.defaultdict(list)
  for row, *rest in points:
    by_row[row].append(rest)
  R, K = len(packed['tokens']), max(map(len, by_row.values()))
  at, place, person = (np.zeros((R, K), np.int32) for _ in range(3))
  real = np.zeros((R, K), np.float32)
  for row, items in by_row.items():
    for k, (start, nth, who) in enumerate(items):
      at[row, k], place[row, k], person[row, k] = start, nth, who
      real[row, k] = 1
  return Reading(*(packed[k] for k in ('tokens', 'segments', 'positions')),
                 at, real, place, person, labels[:, person])


def inputs(config, spec):
  """(world, {half: Reading}, classes of each target). Raises BadInput."""
  for key in ('people', 'steps', 'rank', 'batch'):
    if spec[key] < 1:
      raise BadInput(f'evals: {key} is {spec[key]}, wanted at least 1')
  data = rows.load(config)
  world = data.worlds[spec.world]
  told = {t: [label(world, data.vocab, p, t) for p in range(world.n)]
          for t in TARGETS}
  classes = {t: sorted(set(values)) for t, values in told.items()}
  labels = np.array([np.unique(v, return_inverse=True)[1]
                     for v in told.values()], np.int32)
  out = {}
  for half in HALVES:
    people = min(world.people(f'qa_{half}'), spec.people)
    if spec.kind == 'p_probe':
      versions = min(world.versions, 5) if half == 'train' else 1
      got = biographies(data, world, half, people, versions)
    else:
      got = names(data, world, half, people)
    out[half] = reading(labels, *got)
  return world, out, classes


def update(sort) -> ConfigDict:
  """The embedding's low-rank update, as config.adapter would say it."""
  return ConfigDict({'kind': 'lora', 'matrices': '', 'rank': 0, 'length': 0,
                     'alpha': 1.0, 'embedding_rank': sort[1]})


def reach(world, data, cfg, names: bool) -> np.ndarray:
  """Which tokens the update of the embedding reaches, [V, 1], 1 or 0."""
  out = np.ones((cfg.vocab, 1), np.float32)
  if not names:
    for pool in world.names:
      for name in pool:
        out[list(data.vocab.encode(name))] = 0
  return out


def told(probe, params, part: Reading, reach_V1, cfg, sort, moments=None,
         key=None):
  """Logits [R, K, classes] of one probe and the moments of its norm. Layer
  norm, or batch norm by the moments given, else by those of the batch."""
  ends = probe['embedding']['ends']
  kept = ends['embedding'] | {'in': ends['embedding']['in'] * reach_V1}
  merged = adapters.merge(params, {'ends': {'embedding': kept}}, update(sort),
                          cfg)
  h_RTD, _, _, _ = model.hidden(merged, part.tokens, cfg, part.segments,
                                part.positions, key)
  x_RKD = jnp.take_along_axis(h_RTD, part.at[..., None], 1).astype(jnp.float32)
  axis = (0, 1) if sort[0] == 'q_probe' else -1
  if moments is None:
    moments = (x_RKD.mean(axis, keepdims=True), x_RKD.var(axis, keepdims=True))
  mean, variance = moments
  x_RKD = (x_RKD - mean) * jax.lax.rsqrt(variance + 1e-5)
  x_RKD = x_RKD * probe['scale'] + probe['bias']
  return x_RKD @ probe['map'] + probe['bias_map'], moments


@functools.partial(jax.jit, static_argnames=('cfg', 'sort'))
def trained(params, part: Reading, reach_V1, draws_SB, sizes, cfg, sort, rate,
            decay):
  """Probes of all targets after steps on rows draws_SB[0], [1], ...; the
  classes of target i are the first sizes[i]."""
  A, M, D = len(TARGETS), int(sort[2]), cfg.width
  keys = jax.random.split(jax.random.key(0), A)
  probes = jax.vmap(lambda k: {
      'embedding': adapters.init(update(sort), cfg, k),
      'scale': jnp.ones(D), 'bias': jnp.zeros(D), 'bias_map': jnp.zeros(M),
      'map': jax.random.normal(k, (D, M)) * D**-0.5})(keys)
  steps = len(draws_SB)
  tx = optax.adamw(optax.linear_schedule(rate, 0.0, steps), eps=1e-6,
                   weight_decay=decay, mask=lambda p: jax.tree.map(
                       lambda x: x.ndim > 2, p))

  def loss(probe, small, size, labels, key):
    logits, _ = told(probe, params, small, reach_V1, cfg, sort, key=key)
    logits = jnp.where(jnp.arange(M) < size, logits, -1e9)
    nll = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return (nll * small.real).sum() / small.real.sum()

  def step(carry, draw_B):
    probes, opt, i = carry
    small = Reading(*(x[draw_B] for x in part[:-1]), None)
    labels = part.label[:, draw_B]
    key = jax.random.fold_in(jax.random.key(1), i) if cfg.dropout else None
    grads = jax.vmap(jax.grad(loss), (0, None, 0, 0, None))(
        probes, small, sizes, labels, key)
    updates, opt = tx.update(grads, opt, probes)
    return (optax.apply_updates(probes, updates), opt, i + 1), None

  (probes, _, _), _ = jax.lax.scan(
      step, (probes, tx.init(probes), 0), draws_SB)
  return probes


@functools.partial(jax.jit, static_argnames=('cfg', 'sort'))
def answers(probes, params, part: Reading, reach_V1, sizes, cfg, sort,
            moments=None):
  """(class [targets, R, K], moments) that probes tell of rows."""

  def one(probe, size, moments):
    logits, moments = told(probe, params, part, reach_V1, cfg, sort, moments)
    return jnp.where(jnp.arange(logits.shape[-1]) < size, logits,
                     -jnp.inf).argmax(-1), moments

  return jax.vmap(one)(probes, sizes, moments)


def run(params, config, spec, cfg):
  """(metrics, raw outcomes). Metric names: test/TARGET of a q_probe,
  test/TARGET/PLACE (and of all places together) of a p_probe; test_low/...,
  test_high/..., the 95 % interval by person; train/..., majority/...;
  people/test. `whole` and `first` in place of a target: of all five."""
  world, parts, classes = inputs(config, spec)
  reach_V1 = reach(world, rows.load(config), cfg, spec.names)
  sizes = jnp.array([len(classes[t]) for t in TARGETS])
  sort = spec.kind, spec.rank, int(sizes.max())
  rng = np.random.default_rng(0)
  draws = rng.integers(0, len(parts['train'].tokens), (spec.steps, spec.batch))
  probes = trained(params, parts['train'], reach_V1, draws, sizes, cfg, sort,
                   spec.learning_rate, spec.weight_decay)
  metrics, raw, moments = {}, [], None
  for half, part in parts.items():
    right = np.zeros(part.label.shape, bool)
    size = len(part.tokens) if spec.kind == 'q_probe' else min(
        64, len(part.tokens))  # batch norm: by all people trained on
    for start in range(0, len(part.tokens), size):
      stop = start + size
      back = max(stop - len(part.tokens), 0)  # one shape, one compilation
      rows_ = slice(start - back, stop - back)
      few = Reading(*(x[rows_] for x in part[:-1]), part.label[:, rows_])
      said, got = answers(probes, params, few, reach_V1, sizes, cfg, sort,
                          moments if spec.kind == 'q_probe' else None)
      right[:, rows_] = np.asarray(said) == few.label
      if spec.kind == 'q_probe' and half == 'train':
        moments = got
    real = part.real > 0
    places = {'': real}
    if spec.kind == 'p_probe':
      places |= {f'/{n}': real & (part.place == n)
                 for n in np.unique(part.place[real]).tolist()}
    for (name, which), (end, here) in itertools.product(
        GROUPS.items(), places.items()):
      known = right[which][:, here]
      metrics[f'{half}/{name}{end}'] = float(known.mean())
      if half == 'test':
        metrics[f'test_low/{name}{end}'], metrics[
            f'test_high/{name}{end}'] = scoring.interval(
                np.tile(part.person[here], len(which)), known.ravel())
    if half == 'test':
      raw = [{'person': int(p), 'target': target, 'place': int(n),
              'right': bool(ok)} for target, found in zip(TARGETS, right)
             for p, n, ok in zip(part.person[real], part.place[real],
                                 found[real])]
    metrics[f'people/{half}'] = len(set(part.person[real].tolist()))
  train, test = parts['train'], parts['test']
  guesses = [np.bincount(label[train.real > 0]).argmax()
             for label in train.label]
  guessed = np.array([label[test.real > 0] == guess
                      for label, guess in zip(test.label, guesses)])
  return metrics | {f'majority/{name}': float(guessed[which].mean())
                    for name, which in GROUPS.items()}, raw
