"""P- and Q-probing: where hidden states hold knowledge (Part 3.1, section 5).

The model is frozen. A probe has a low-rank update of the embedding, a norm and
a linear map to the values of one attribute; it is trained on the training
people and tested on the held-out ones.

  p_probe  reads a biography. At each of six positions, just before the first
           attribute stated, the second, ..., it predicts every attribute (one
           set of weights for all positions; layer norm; appendix E)
  q_probe  reads a name between two end tokens (batch norm; appendix F)

When people are few, a name belongs to only two or three of them, and an update
of its embedding memorises their attributes instead of reading the model's
states (experiments/LOG.md, 30). With `names` False the update applies to all
tokens but those of names; of a q_probe this is the end token alone.

There are eleven targets: the month of birth, because full dates are too many
classes, and of the other five attributes the value and, as `first_ATTRIBUTE`,
its first token. Probes of all targets train together, in one program.
"""

import collections
import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from physics_lm import mixture
from physics_lm import vocab as vocabs
from physics_lm.evals import teacher_forcing
from physics_lm.evals.records import Records, accuracy_row, row
from physics_lm.model import adapters, decoder
from physics_lm.model.config import ModelConfig
from physics_lm.worlds import base
from physics_lm.worlds.biographies import ATTRIBUTES

PERSON_SPLITS = ('train', 'test')
TARGETS = (*ATTRIBUTES, *(f'first_{a}' for a in ATTRIBUTES[1:]))
GROUPS = {t: [i] for i, t in enumerate(TARGETS)} | {  # of targets, by index
    'whole': list(range(1, 6)), 'first': list(range(6, 11))}


class ProbeKind(NamedTuple):
  """What a compiled probe depends on, besides the model."""

  name: str  # 'p_probe' or 'q_probe'
  rank: int  # of the embedding's update
  classes: int  # the most of any target


class ProbeBatch(NamedTuple):
  """Rows to read, and what a probe predicts at K positions of each."""

  tokens: np.ndarray  # [R, T], as segments and positions
  segments: np.ndarray
  positions: np.ndarray
  at: np.ndarray  # [R, K], index in T
  real: np.ndarray  # [R, K], float32; 0: padding
  stated: np.ndarray  # [R, K], how many attributes the text has stated before
  person: np.ndarray  # [R, K]
  label: np.ndarray  # [targets, R, K]


def target_value(world: base.World, vocab: vocabs.Vocab, person: int,
                 target: str) -> str:
  """The class that a probe of `target` should predict for a person."""
  text = world.value(person, target.removeprefix('first_'))
  if target.startswith('first_'):
    return vocab.decode(vocab.encode(text)[:1]).strip()
  return text.split()[0] if target == 'birth_date' else text.strip()


def biography_rows(data: mixture.Mixture, world: base.World, person_split: str,
                   people: int, versions: int) -> tuple[dict, list[tuple]]:
  """(packed arrays, [(row, index, attributes stated before, person)])."""
  examples = [world.biography(2 * k + (person_split == 'test'), v)
              for v in range(versions) for k in range(people)]
  packed, spans = teacher_forcing.pack(data, examples)
  stated = collections.Counter()
  points = []
  for s in spans:
    points.append((s.row, s.start, stated[s.example],
                   examples[s.example].meta['person']))
    stated[s.example] += 1
  return packed, points


def name_rows(data: mixture.Mixture, world: base.World, person_split: str,
              people: int) -> tuple[dict, list[tuple]]:
  """As biography_rows, of one name in each row."""
  packed, points = [], []
  for k in range(people):
    person = 2 * k + (person_split == 'test')
    ids = [t for piece in world.name(person) for t in data.vocab.encode(piece)]
    packed.append(mixture.new_row(data.seq_len))
    mixture.write_example(packed[-1], ([vocabs.EOS, *ids, vocabs.EOS], [0.0] * (
        len(ids) + 2)), 0, 1)
    points.append((k, len(ids) + 1, 0, person))
  used = max(p[1] for p in points) + 1
  return {k: np.stack([r[k][:used] for r in packed])
          for k in ('tokens', 'segments', 'positions')}, points


def probe_batch(labels: np.ndarray, packed: dict, points: list) -> ProbeBatch:
  """The batch of packed rows and their points (biography_rows). `labels`: the
  class of each target and person, [targets, people]."""
  by_row = collections.defaultdict(list)
  for number, *rest in points:
    by_row[number].append(rest)
  R, K = len(packed['tokens']), max(map(len, by_row.values()))
  at, stated, person = (np.zeros((R, K), np.int32) for _ in range(3))
  real = np.zeros((R, K), np.float32)
  for number, items in by_row.items():
    for k, (index, before, who) in enumerate(items):
      at[number, k], stated[number, k] = index, before
      person[number, k], real[number, k] = who, 1
  return ProbeBatch(*(packed[k] for k in ('tokens', 'segments', 'positions')),
                    at, real, stated, person, labels[:, person])


def chosen_rows(batch: ProbeBatch, which: np.ndarray) -> ProbeBatch:
  """Some rows of a batch."""
  return ProbeBatch(*(x[which] for x in batch[:-1]), batch.label[:, which])


def updated_tokens(world: base.World, data: mixture.Mixture, vocab_size: int,
                   names: bool) -> np.ndarray:
  """Which tokens the update of the embedding applies to, [V, 1], 1 or 0."""
  out = np.ones((vocab_size, 1), np.float32)
  if not names:
    for pool in world.names:
      for name in pool:
        out[list(data.vocab.encode(name))] = 0
  return out


def pq_probe_logits(probe: dict, params: dict, batch: ProbeBatch,
                    updated_V1: np.ndarray, cfg: ModelConfig, kind: ProbeKind,
                    moments: tuple | None = None, key: jax.Array | None = None
                    ) -> tuple[jax.Array, tuple]:
  """Logits [R, K, classes] of one probe and the moments of its norm: layer
  norm, or batch norm by `moments`, or by those of the batch where None."""
  ends = probe['embedding']['ends']
  update = ends['embedding'] | {'in': ends['embedding']['in'] * updated_V1}
  merged = adapters.merge_adapter(
      params, {'ends': {'embedding': update}},
      adapters.embedding_adapter(kind.rank), cfg)
  h_RTD, _, _, _ = decoder.hidden_states(
      merged, batch.tokens, cfg, batch.segments, batch.positions, key)
  x_RKD = jnp.take_along_axis(h_RTD, batch.at[..., None], 1).astype(jnp.float32)
  axis = (0, 1) if kind.name == 'q_probe' else -1
  if moments is None:
    moments = (x_RKD.mean(axis, keepdims=True), x_RKD.var(axis, keepdims=True))
  mean, variance = moments
  x_RKD = (x_RKD - mean) * jax.lax.rsqrt(variance + 1e-5)
  x_RKD = x_RKD * probe['scale'] + probe['bias']
  return x_RKD @ probe['map'] + probe['bias_map'], moments


def init_probe(key: jax.Array, cfg: ModelConfig, kind: ProbeKind) -> dict:
  """Untrained weights of one target's probe."""
  M, D = kind.classes, cfg.width
  return {'embedding': adapters.init_adapter(
              adapters.embedding_adapter(kind.rank), cfg, key),
          'scale': jnp.ones(D), 'bias': jnp.zeros(D), 'bias_map': jnp.zeros(M),
          'map': jax.random.normal(key, (D, M)) * D**-0.5}


def probe_loss(probe: dict, batch: ProbeBatch, size: jax.Array,
               label: jax.Array, key: jax.Array, params: dict,
               updated_V1: np.ndarray, cfg: ModelConfig, kind: ProbeKind
               ) -> jax.Array:
  """Mean loss in nats of one target with `size` classes."""
  logits, _ = pq_probe_logits(probe, params, batch, updated_V1, cfg, kind,
                              key=key)
  logits = jnp.where(jnp.arange(kind.classes) < size, logits, -1e9)
  nll = optax.softmax_cross_entropy_with_integer_labels(logits, label)
  return (nll * batch.real).sum() / batch.real.sum()


def _is_matrix(tree):
  """Where weight decay applies; probes have a leading axis of targets."""
  return jax.tree.map(_has_two_axes, tree)


def _has_two_axes(x) -> bool:
  return x.ndim > 2


@functools.partial(jax.jit, static_argnames=('cfg', 'kind'))
def train_probes(params: dict, batch: ProbeBatch, updated_V1: np.ndarray,
                 draws_SB: np.ndarray, sizes: jax.Array, cfg: ModelConfig,
                 kind: ProbeKind, learning_rate: float, weight_decay: float
                 ) -> dict:
  """Probes of all targets, trained one step on each of draws_SB (row numbers);
  target i has sizes[i] classes."""
  keys = jax.random.split(jax.random.key(0), len(TARGETS))
  probes = jax.vmap(functools.partial(init_probe, cfg=cfg, kind=kind))(keys)
  tx = optax.adamw(
      optax.linear_schedule(learning_rate, 0.0, len(draws_SB)), eps=1e-6,
      weight_decay=weight_decay, mask=_is_matrix)
  grad = jax.vmap(jax.grad(functools.partial(
      probe_loss, params=params, updated_V1=updated_V1, cfg=cfg, kind=kind)),
      (0, None, 0, 0, None))

  def step(carry, draw_B):
    probes, opt, i = carry
    small = ProbeBatch(*(x[draw_B] for x in batch[:-1]), None)
    key = jax.random.fold_in(jax.random.key(1), i) if cfg.dropout else None
    grads = grad(probes, small, sizes, batch.label[:, draw_B], key)
    updates, opt = tx.update(grads, opt, probes)
    return (optax.apply_updates(probes, updates), opt, i + 1), None

  (probes, _, _), _ = jax.lax.scan(
      step, (probes, tx.init(probes), 0), draws_SB)
  return probes


@functools.partial(jax.jit, static_argnames=('cfg', 'kind'))
def predict_classes(probes: dict, params: dict, batch: ProbeBatch,
                    updated_V1: np.ndarray, sizes: jax.Array, cfg: ModelConfig,
                    kind: ProbeKind, moments: tuple | None = None
                    ) -> tuple[jax.Array, tuple]:
  """(class [targets, R, K], moments) that the probes predict."""

  def one(probe, size, moments):
    logits, moments = pq_probe_logits(probe, params, batch, updated_V1, cfg,
                                      kind, moments)
    return jnp.where(jnp.arange(kind.classes) < size, logits,
                     -jnp.inf).argmax(-1), moments

  return jax.vmap(one)(probes, sizes, moments)


@dataclasses.dataclass(frozen=True)
class Probe:
  """Metrics accuracy, and of the test split majority_baseline; slices
  person_split, target (also 'whole' and 'first': the mean of five), position
  ('all', or how many attributes the text has stated before; of a q_probe 'all'
  alone). n counts people, and intervals, of the test split, are by person."""

  cfg: ModelConfig
  kind: ProbeKind
  spec: ConfigDict
  batches: dict[str, ProbeBatch]  # by person_split
  classes: dict[str, list[str]]  # of each target
  updated_V1: np.ndarray

  def __call__(self, params: dict, step: int | None = None) -> Records:
    spec, train = self.spec, self.batches['train']
    sizes = jnp.array([len(self.classes[t]) for t in TARGETS])
    draws = np.random.default_rng(0).integers(
        0, len(train.tokens), (spec.steps, spec.batch))
    probes = train_probes(params, train, self.updated_V1, draws, sizes,
                          self.cfg, self.kind, spec.learning_rate,
                          spec.weight_decay)
    out, raw, moments = [], [], None
    for person_split, batch in self.batches.items():
      correct, found = self._correct(probes, params, batch, sizes, moments)
      if self.kind.name == 'q_probe':  # batch norm: by all training people
        moments = found if moments is None else moments
      out += pq_probe_rows(correct, batch, person_split,
                           self.kind.name == 'p_probe')
    real = batch.real > 0  # of the test split
    raw = [{'person': int(p), 'target': target, 'stated': int(n),
            'correct': bool(ok)} for target, of in zip(TARGETS, correct)
           for p, n, ok in zip(batch.person[real], batch.stated[real],
                               of[real])]
    return Records(out + class_baseline_rows(train, batch), raw)

  def _correct(self, probes: dict, params: dict, batch: ProbeBatch,
               sizes: jax.Array, moments: tuple | None):
    """(whether each prediction is right [targets, R, K], moments)."""
    correct, found = np.zeros(batch.label.shape, bool), None
    count = len(batch.tokens)
    size = count if self.kind.name == 'q_probe' else min(64, count)
    for start in range(0, count, size):
      # One shape, one compilation: the last rows are read with some again.
      first = min(start, count - size)
      part = chosen_rows(batch, slice(first, first + size))
      predicted, found = predict_classes(probes, params, part, self.updated_V1,
                                         sizes, self.cfg, self.kind, moments)
      correct[:, first:first + size] = np.asarray(predicted) == part.label
    return correct, found


def pq_probe_rows(correct: np.ndarray, batch: ProbeBatch, person_split: str,
                  by_position: bool) -> list[dict]:
  """Rows of accuracy on one person split."""
  real = batch.real > 0
  positions = {'all': real}
  if by_position:
    positions |= {n: real & (batch.stated == n)
                  for n in np.unique(batch.stated[real]).tolist()}
  out = []
  for target, which in GROUPS.items():
    for position, here in positions.items():
      names = {'person_split': person_split, 'target': target,
               'position': position}
      right = correct[which][:, here]
      people = batch.person[here]
      if person_split == 'test':
        out.append(accuracy_row('accuracy', np.tile(people, len(which)),
                                right.ravel(), **names))
      else:
        out.append(row('accuracy', right.mean(), len(set(people.tolist())),
                       **names))
  return out


def class_baseline_rows(train: ProbeBatch, test: ProbeBatch) -> list[dict]:
  """The accuracy on test people of each target's most frequent training
  class."""
  constants = [np.bincount(label[train.real > 0]).argmax()
               for label in train.label]
  correct = np.array([label[test.real > 0] == constant
                      for label, constant in zip(test.label, constants)])
  n = len(set(test.person[test.real > 0].tolist()))
  return [row('majority_baseline', correct[which].mean(), n,
              person_split='test', target=target, position='all')
          for target, which in GROUPS.items()]


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict) -> Probe:
  """A probe of spec.kind on at most spec.people people of each split. Raises
  BadInput."""
  world = data.worlds[spec.world]
  values = {t: [target_value(world, data.vocab, p, t) for p in range(world.n)]
            for t in TARGETS}
  classes = {t: sorted(set(v)) for t, v in values.items()}
  labels = np.array([np.unique(v, return_inverse=True)[1]
                     for v in values.values()], np.int32)
  batches = {}
  for person_split in PERSON_SPLITS:
    people = min(world.people(f'qa_{person_split}'), spec.people)
    if spec.kind == 'p_probe':
      versions = min(world.versions, 5) if person_split == 'train' else 1
      packed, points = biography_rows(data, world, person_split, people,
                                      versions)
    else:
      packed, points = name_rows(data, world, person_split, people)
    batches[person_split] = probe_batch(labels, packed, points)
  cfg = teacher_forcing.evaluated_model(config, data)
  kind = ProbeKind(spec.kind, spec.rank, max(map(len, classes.values())))
  return Probe(cfg, kind, spec, batches, classes,
               updated_tokens(world, data, cfg.vocab, spec.names))
