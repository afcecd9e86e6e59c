"""seqio both ways: our worlds as Tasks, anyone's Tasks as our text.

Importing this module (10 s, for TensorFlow) registers:

  physics_lm/bios_VARIANT, physics_lm/bios_VARIANT_qa   texts; questions
  physics_lm/WORLD, physics_lm/WORLD_qa                 every other world
  physics_lm/EXPERIMENT/...                             an experiment's Mixtures

Texts have `targets` only, questions `inputs` and `targets`; the splits are the
world's own, train and, where there is a held-out split, validation. Of an
endless split, except train, there are the first ENOUGH examples. A Task's own
name has a colon where seqio allows no slash; the registry has both names.
`register` adds any other config, `predictor` lets seqio's Evaluator score a
finished run.

The other way, `config.data.source = 'seqio:NAME'` trains on a Task or Mixture:
`Source` is a stream of its examples (worlds/base.py).
"""

import functools
import hashlib
import importlib
import inspect
import itertools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from physics_lm.config import SHIPPED, load_module, override
from physics_lm.mixture import load_mixture

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
import numpy as np
import tensorflow as tf

# Or TensorFlow takes nearly all of a GPU's memory at its first use.
tf.config.set_visible_devices([], 'GPU')
import seqio  # noqa: E402

from physics_lm import sweep  # noqa: E402
from physics_lm import vocab as vocabs  # noqa: E402
from physics_lm.configs import default  # noqa: E402
from physics_lm.errors import BadInput, nearest  # noqa: E402
from physics_lm.worlds import base  # noqa: E402

VARIANTS = tuple(f'{m}{order}{name}' for m in ('single', 'multi2', 'multi5')
                 for order in ('', '_permute') for name in ('', '_fullname'))
STREAMS = ('text',)  # worlds that have no index: nothing to register
ENDLESS = 1 << 24  # examples; a split of more counts as endless
ENOUGH = 4096


class Vocabulary(seqio.Vocabulary):
  """One of our tokenizers; `make` gives it when it is first needed."""

  def __init__(self, make: Callable[[], vocabs.Vocab]):
    super().__init__()
    self._make = make

  @functools.cached_property
  def ours(self) -> vocabs.Vocab:
    """The tokenizer, made at its first use."""
    return self._make()

  eos_id = property(lambda self: vocabs.EOS)
  bos_id = property(lambda self: vocabs.EOS)
  unk_id = property(lambda self: None)
  _base_vocab_size = property(lambda self: len(self.ours))

  def __eq__(self, other):
    return isinstance(other, Vocabulary) and self.ours.hash == other.ours.hash

  def __hash__(self):
    return hash(Vocabulary)

  def _encode(self, s: str) -> list[int]:
    return list(self.ours.encode(s))

  def _decode(self, ids) -> str:
    return self.ours.decode(ids)

  def _encode_tf(self, s):
    ids = tf.numpy_function(lambda raw: np.asarray(self._encode(
        np.asarray(raw).item().decode()), np.int32), [s], tf.int32)
    return tf.ensure_shape(ids, [None])

  def _decode_tf(self, ids):
    def decode(array):
      flat = array.reshape(-1, array.shape[-1])
      return np.array([self._decode(r).encode() for r in flat], object
                      ).reshape(array.shape[:-1])
    out = tf.numpy_function(decode, [ids], tf.string)
    return tf.ensure_shape(out, ids.shape[:-1])


def exact(targets: Sequence[dict], predictions: Sequence[str]
          ) -> dict[str, float]:
  """Share of predictions that are the answer to the letter."""
  right = [t['text'].strip() == p.strip()
           for t, p in zip(targets, predictions)]
  return {'exact': float(np.mean(right)), 'n': len(right)}


def _checked(world: Callable):
  def checked(targets, predictions) -> dict[str, float]:
    """Share of predictions that the world's own checker accepts."""
    w = world()
    return {'checked': float(np.mean([
        w.check(w.example(t['split'], t['index']), p).correct
        for t, p in zip(targets, predictions)]))}
  return checked


def add(name: str, world: Callable, vocabulary: Vocabulary,
        splits: dict[str, str], question: bool, tag: str = '') -> None:
  """Registers a Task, in place of one of the same name. `world` returns the
  world; `splits`: its split for each of seqio's; `question`: whether examples
  have inputs and targets instead of a text as targets."""
  keys = ('inputs', 'targets') if question else ('targets',)

  def count(split) -> int:
    size = world().size(splits[split])
    return size if split == 'train' or size < ENDLESS else ENOUGH

  def dataset(split, shuffle_files, seed=None):
    del shuffle_files, seed  # seqio shuffles what comes
    w, mine, encode = world(), splits[split], vocabulary.ours.encode

    def examples():
      for i in range(count(split)):
        prompt, answer = base.prompt_and_answer_pieces(w.example(mine, i))
        prompt = (tag, *prompt) if tag else prompt
        out = {'index': i, 'split': mine}
        for key, pieces in zip(keys, (prompt, answer) if question else (
            (*prompt, *answer),)):
          # Tokens are made of pieces, whose limits a text does not show.
          out[key] = [n for piece in pieces for n in encode(piece)]
          out[f'{key}_pretokenized'] = ''.join(pieces)
        yield out

    text = tf.TensorSpec((), tf.string)
    return tf.data.Dataset.from_generator(examples, output_signature={
        'index': tf.TensorSpec((), tf.int64), 'split': text} | {
            k: tf.TensorSpec((None,), tf.int32) for k in keys} | {
                f'{k}_pretokenized': text for k in keys}).apply(
                    tf.data.experimental.assert_cardinality(count(split)))

  def postprocess(output, example=None, is_target=False):
    if not is_target:
      return output
    return {'text': output, 'split': _text(example['split']),
            'index': int(example['index'])}

  feature = functools.partial(seqio.Feature, vocabulary, dtype=tf.int32)
  features = {'targets': feature(add_eos=True)}
  if question:
    features['inputs'] = feature(add_eos=False)
  own = name.replace('/', ':')
  for known in {name, own} & set(seqio.TaskRegistry.names()):
    seqio.TaskRegistry.remove(known)
  task = seqio.TaskRegistry.add(
      own, seqio.FunctionDataSource(dataset, list(splits)), features,
      preprocessors=[seqio.preprocessors.append_eos],
      postprocess_fn=postprocess if question else None,
      metric_fns=[exact, _checked(world)] if question else [])
  seqio.TaskRegistry.add_provider(name, task)


def _text(value) -> str:
  value = value.numpy() if hasattr(value, 'numpy') else value
  return value.decode() if isinstance(value, bytes) else str(value)


def register(name: str, config: ConfigDict) -> list[str]:
  """Registers what a config trains on: physics_lm/NAME, a Mixture of
  physics_lm/NAME.TASK at the tasks' weights (of examples, where ours are of
  rows); for tasks with questions physics_lm/NAME.TASK_qa. Returns the names."""
  load = functools.cache(lambda: load_mixture(config))
  vocabulary = Vocabulary(lambda: load().vocab)
  tasks = {k: t for k, t in config.data.tasks.items() if t.weight
           and config.worlds[t.world].kind not in STREAMS}
  if not tasks:
    raise BadInput(f'{name} has no task with an index, wanted one: a stream '
                   'is read from its own files')
  answers = any(t.loss == 'answers' for t in tasks.values())
  out, rates = [], []
  for key, t in tasks.items():
    world = functools.partial(_world_of, load, t.world)
    # A Mixture's Tasks have the same features.
    for end, question in (('', answers), ('_qa', True)):
      full = f'physics_lm/{name}.{key}{end}'
      add(full, world, vocabulary, _splits_of(t.split), question, t.tag)
      out.append(full)
    # By the Task's own name: a Mixture looks rates up by that.
    rates.append((f'physics_lm/{name}.{key}'.replace('/', ':'), t.weight))
  mixture = f'physics_lm/{name}'
  if mixture in seqio.MixtureRegistry.names():
    seqio.MixtureRegistry.remove(mixture)
  seqio.MixtureRegistry.add(mixture, rates)
  return [mixture, *out]


def _world_of(load: Callable, name: str):
  """The world of this name in the mixture that `load` returns."""
  return load().worlds[name]


def _splits_of(split: str) -> dict[str, str]:
  """{seqio's split: ours} of a task that trains on `split`: the held-out split,
  where there is one, is validation."""
  held = split.replace('train', 'test')
  out = {'train': split, split: split}
  return out if held == split else out | {'validation': held, held: held}


def register_worlds() -> None:
  """Every world and variant, as default.py has it."""
  for variant in VARIANTS:
    config = override(default.biographies().lock(), {'variant': variant})
    _register_world(f'bios_{variant}', config)
  for kind in base.WORLDS:
    if kind not in ('biographies', *STREAMS) and hasattr(default, kind):
      _register_world(kind, getattr(default, kind)())


def _register_world(name: str, config):
  world = functools.cache(lambda: base.make_world(config, 0))
  vocabulary = Vocabulary(lambda: vocabs.make_vocab('word', world().pieces()))
  questions = _questions(config.kind)
  asking = [s for s in questions if questions[s]]
  texts = [s for s in questions if s not in asking] or asking
  for end, splits, question in (('', texts, False), ('_qa', asking, True)):
    if splits:
      add(f'physics_lm/{name}{end}', world, vocabulary,
          {s: s for s in splits} | _splits_of(splits[0]), question)


@functools.cache
def _questions(kind: str) -> dict[str, bool]:
  """{split: whether its examples are questions} of a world's kind."""
  world = base.make_world(getattr(default, kind)(), 0)
  return {s: bool(base.prompt_and_answer(world.example(s, 0))[0])
          for s in world.splits}


def mixture_name(experiment: str, run: sweep.Run) -> str:
  """EXPERIMENT/the run's tags, in the characters that seqio's names may
  have."""
  return '/'.join([experiment, *(re.sub(r'[^\w.]+', '_', str(v))
                                 for k, v in run.tags.items() if k != 'seed')])


def register_experiments(scale: str = 'cpu') -> None:
  """The mixtures of every experiment: physics_lm/ and mixture_name."""
  for path in sorted((SHIPPED / 'experiments').glob('*.py')):
    module = sweep.experiment(str(path))
    names = set()
    for run in sweep.ordered(module.runs(scale)):
      name = mixture_name(path.stem, run)
      if name not in names:
        names.add(name)
        register(name, run.config)


def predictor(folder: Path, batch: int = 64, steps: int = 32) -> Callable:
  """A predict_fn for seqio's Evaluator: greedy answers of a finished run.
  Raises BadInput when there is no checkpoint. Features: of seqio's converters
  for a decoder with inputs, or for an encoder and decoder."""
  from physics_lm import restore
  from physics_lm.model import decode
  run = restore.load_run(folder)

  def prompt(features) -> list[int]:
    if 'encoder_input_tokens' in features:
      ids = features['encoder_input_tokens']
    else:  # the tokens before the first with loss
      lossy = np.flatnonzero(features['decoder_loss_weights'])
      ids = features['decoder_target_tokens'][:lossy[0] if len(lossy) else 0]
    return [vocabs.EOS, *(int(i) for i in ids if i != vocabs.PAD)]

  def predict(dataset, *unused, **also_unused):
    found, features = [], dataset.as_numpy_iterator()
    while part := list(itertools.islice(features, batch)):
      prompts = [prompt(f) for _, f in part]
      prompts += [[vocabs.EOS]] * (batch - len(part))  # one compilation
      answers = decode.greedy_decode(run.params, run.cfg, prompts, steps,
                                     len(run.data.vocab))
      # seqio stacks them: one length for all.
      found += [(int(i), [*ids, vocabs.EOS] + [vocabs.PAD] * (steps - len(ids)))
                for (i, _), ids in zip(part, answers)]
    return found

  return predict


class Source:
  """A Task or Mixture of any project, as a stream of examples. Loss is on
  the targets; inputs, where there are any, come before them."""

  def __init__(self, name: str, length: int, module: str = ''):
    if module:
      try:
        if module.endswith('.py'):
          load_module(module, 'data.module')
        else:
          importlib.import_module(module)
      except ImportError as e:
        raise BadInput(f'data.module {module!r} cannot be imported ({e}); '
                       'wanted one that registers the Task') from e
    known = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name not in known:
      raise BadInput(f'no seqio Task or Mixture {name!r}; '
                     f'{nearest(name, sorted(known))}. Wanted one that '
                     'data.module registers')
    self.name, self._length = name, length
    self._provider = seqio.get_mixture_or_task(name)
    features = self._provider.output_features
    if 'targets' not in features or features['targets'].rank != 1:
      raise BadInput(f'{name} has features {", ".join(features)}, wanted '
                     'targets, a list of ids')
    self.splits = tuple(self._provider.splits or ()) if hasattr(
        self._provider, 'splits') else ()
    self.vocab = _foreign(features['targets'].vocabulary)
    tasks = getattr(self._provider, 'tasks', (self._provider,))
    # Such a preprocessor may have cut an example short of its end token.
    self.cuts = any('sequence_length' in inspect.signature(step).parameters
                    for task in tasks for step in task.preprocessors)

  def judged(self, split: str) -> str:
    """The split whose loss is evaluated: 'validation' where there is one."""
    return 'validation' if 'validation' in self.splits else split

  def documents(self, split: str, shard: int = 0, shards: int = 1,
                seed: int = 0) -> 'Examples':
    """An endless stream of the examples of a shard of a split."""
    return Examples(self, split, shard, shards, seed)

  def dataset(self, split: str, shard: int, shards: int, seed: int
              ) -> tf.data.Dataset:
    """Endless and in the same order every time; every `shards`-th example,
    whole: rows cut a document where they end."""
    features = self._provider.output_features
    ds = self._provider.get_dataset(
        sequence_length=dict.fromkeys(features, self._length), split=split,
        shuffle=True, seed=seed, num_epochs=None, trim_output_features=False)
    return ds.shard(shards, shard)

  def pieces(self) -> tuple[str, ...]:
    """None: the vocabulary is that of the Task."""
    return ()


class Examples:
  """A stream whose state is the number of examples read. Restoring a state
  draws the examples before it again: seqio has no faster method."""

  def __init__(self, source: Source, split: str, shard: int, shards: int,
               seed: int):
    self._source = source
    self._dataset = functools.partial(source.dataset, split, shard, shards,
                                      seed)
    self._n, self._iterator = 0, None

  def __iter__(self):
    return self

  def __next__(self) -> base.Encoded:
    if self._iterator is None:
      self._iterator = self._dataset().skip(self._n).as_numpy_iterator()
    vocab = self._source.vocab
    ours = vocab.renumber
    while True:
      example = next(self._iterator)
      self._n += 1
      inputs = ours(example.get('inputs', ()))
      targets = ours(example['targets'])
      if targets:
        break
    complete = not self._source.cuts or (
        example['targets'][-1] == vocab.theirs[vocabs.EOS])
    return base.Encoded([vocabs.EOS, *inputs, *targets],
                        [0.0] * len(inputs) + [1.0] * len(targets) + [
                            float(complete)])

  def get_state(self) -> dict:
    """The number of examples read."""
    return {'n': self._n}

  def set_state(self, state: dict):
    """Continues after as many examples as the state has."""
    self._n, self._iterator = state['n'], None


def _foreign(v) -> vocabs.Mapped:
  """Any seqio Vocabulary as one of ours."""
  if isinstance(v, Vocabulary):
    digest = v.ours.hash
  elif getattr(v, 'sentencepiece_model_file', None):
    with tf.io.gfile.GFile(v.sentencepiece_model_file, 'rb') as f:
      digest = hashlib.sha256(f.read()).hexdigest()
  else:
    digest = f'{type(v).__name__} {v.vocab_size}'
  end = -1 if v.eos_id is None else v.eos_id
  theirs = vocabs.renumbered(v.vocab_size, v.pad_id, end)
  return vocabs.Mapped('seqio', v.encode, v.decode, theirs, digest, v)


register_worlds()
register_experiments()
