"""A corpus in the user's files, as a stream of documents. No JAX.

>>> import pathlib, tempfile
>>> from physics_lm.worlds.base import world_from_flags
>>> file = pathlib.Path(tempfile.mkdtemp(), 'corpus.txt')
>>> _ = file.write_text('One document.\\n\\nAnother one.')
>>> world = world_from_flags('text', [
...     f'files={file}', 'separator=\\n\\n', 'held_out=0.0'], seed=0)
>>> sorted(world.example('train', i).text for i in range(2))
['Another one.', 'One document.']

A document is a text file, a part of one (`separator`), a JSON line, a row of a
Parquet file or a record of an ArrayRecord file (text_files.py). It is
held out when a hash of its text is below `held_out`, so equal texts are always
in the same split. Every epoch reads the files in another random order; within a
file, blocks of `shuffle` documents are shuffled.

A hash of what the files hold, `content`, is part of a run's identity: a run is
filled in with it when it begins, and other texts of the same names are refused.

Fill in the middle (Bavarian et al. 2022, section 3): with probability
`fim_rate` a document is cut at two uniform positions, and its middle moved to
the end, in the order prefix, suffix, middle or, for a share `fim_spm` of those,
suffix, prefix, middle (their second form, appendix D, with the prefix directly
before the middle). Three marks, one token each, precede the parts.

Only this world and seqio's are streams. Their number of documents is not known
before they are read, so the position is a small state, not an index.
"""

import functools
import glob
import hashlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
from ml_collections import ConfigDict

from physics_lm import text_files
from physics_lm.errors import BadInput
from physics_lm.worlds.base import CheckResult, Example, check_split, generator

VERSION = 1
MARKS = ('<fim_prefix>', '<fim_suffix>', '<fim_middle>')


class Text:
  """The documents of the files of a config."""

  version = VERSION
  splits = ('train', 'held_out')
  unbounded = False  # rows cut documents

  def __init__(self, config, seed: int):
    c, self.seed = config, seed
    self.field, self.separator = c.field, c.separator
    self.held_out, self.block = c.held_out, c.shuffle
    self.fim_rate, self.fim_spm = c.fim_rate, c.fim_spm
    self.files = files_of(c.files)
    if c.content is not None and c.content != (found := self.content()):
      raise BadInput(f'the {len(self.files)} files of {c.files!r} have the '
                     f'content {found}, wanted {c.content}: the texts are not '
                     'those of this run')
    # A stream resumes only in files of the same names and sizes.
    sizes = [f'{os.path.basename(f)} {os.path.getsize(f)}' for f in self.files]
    self.files_hash = hashlib.sha256('\n'.join(sizes).encode()
                                     ).hexdigest()[:16]
    self.marks = MARKS if c.fim_rate else ()
    self._last = None  # of example(): split, index, iterator
    self._checked = not c.separator  # whether the separator occurs
    self._warned = False  # that no document is held out

  def judged(self, split: str) -> str:
    """The split for evaluations of the loss: 'held_out' if it has a document,
    else `split` itself, with a printed warning."""
    if self.held_out and next(self.in_order('held_out'), None):
      return 'held_out'
    if not self._warned:
      print(f'no document is held out (held_out is {self.held_out}): '
            'evaluating the loss on training text', flush=True)
    self._warned = True
    return split

  def documents(self, split: str, shard: int = 0, shards: int = 1,
                seed: int = 0) -> 'Documents':
    """The documents of files shard, shard + shards, ..., without end. Raises
    BadInput for more shards than files."""
    self._known(split)
    if shards > len(self.files):
      raise BadInput(f'data.shards is {shards}, wanted at most the number of '
                     f'files, {len(self.files)}')
    return Documents(self, split, self.files[shard::shards], shard, seed)

  def in_order(self, split: str) -> Iterator[Example]:
    """Every document of a split once, in the order of the files."""
    self._known(split)
    for file in self.files:
      for text in text_files.read_texts(file, self.field, self.separator):
        if self.belongs(text, split):
          yield self.plain(text)

  def _known(self, split: str):
    """Raises BadInput for another split, or a separator that never occurs."""
    check_split(self, split)
    if not self._checked and not any(text_files.has_separator(
        f, self.separator) for f in self.files):
      raise BadInput(f'separator {self.separator!r} occurs in none of the '
                     f'{len(self.files)} files; wanted one that does, or none')
    self._checked = True

  def belongs(self, text: str, split: str) -> bool:
    """Whether a document is in the split; white space alone is in none."""
    held = _hash(text) < self.held_out * 2**64
    return bool(text.strip()) and held == (split == 'held_out')

  def plain(self, text: str) -> Example:
    return Example((text,), (), (0,), {})

  def marked(self, text: str, rng: np.random.Generator) -> Example:
    """The document with its middle, its answer, moved to the end (see the
    module's docstring)."""
    a, b = sorted(rng.integers(0, len(text) + 1, 2).tolist())
    prefix, middle, suffix = text[:a], text[a:b], text[b:]
    before, after, between = self.marks
    if rng.random() < self.fim_spm:
      pieces = (before, after, suffix, between, prefix, middle)
      return Example(pieces, (('middle', 5),), (5,), {})
    pieces = (before, prefix, after, suffix, between, middle)
    return Example(pieces, (('middle', 5),), (5,), {})

  # The contract of a world with an index, for display and export: these read
  # the files from the start.

  def size(self, split: str) -> int:
    return sum(1 for _ in self.in_order(split))

  people = size

  def example(self, split: str, index: int) -> Example:
    if self._last is None or self._last[0] != split or index < self._last[1]:
      self._last = [split, 0, self.in_order(split)]
    _, at, documents = self._last
    for _ in range(at, index):
      next(documents)
    self._last[1] = index + 1
    return next(documents)

  def content(self) -> str:
    """A hash of the contents of all files. Raises BadInput."""
    return content_of(self.files)

  def pieces(self) -> tuple[str, ...]:
    return ()

  def check(self, question: Example, text: str) -> CheckResult:
    wanted = question.pieces[-1]
    return CheckResult(text == wanted, f'found {text[:40]!r}')


class Documents:
  """A stream of documents without end. Its state, for JSON, is the numbers of
  finished epochs and of finished files of this one, the index in the file at
  which the block begins, and the number of documents returned from the
  block."""

  def __init__(self, world: Text, split: str, files: list[str], shard: int,
               seed: int):
    self._world, self._split, self._files = world, split, files
    self._seed = (seed, shard)
    self._go(0, 0, 0, 0)

  def __iter__(self):
    return self

  def __next__(self) -> Example:
    while True:
      if self._block is None:
        self._read()
      if self._at < len(self._block):
        text = self._block[self._at]
        self._at += 1
        return self._made(text)
      self._begin, self._block, self._at = self._next, None, 0
      if self._ended:
        self._turn()

  def _turn(self):
    """Goes to the next file, or the next epoch."""
    self._file, self._begin, self._reader = self._file + 1, 0, None
    if self._file == len(self._files):
      self._epoch, self._file = self._epoch + 1, 0
      if not self._found:
        raise BadInput(f'no document of split {self._split!r} in '
                       f'{len(self._files)} files (held_out is '
                       f'{self._world.held_out}); wanted some')

  def _read(self):
    """Reads and shuffles the next block."""
    w = self._world
    if self._reader is None:
      order = generator(*self._seed[:1], 'files', self._seed[1], self._epoch
                        ).permutation(len(self._files))
      file = self._files[order[self._file]]
      self._reader = text_files.read_texts(file, w.field, w.separator,
                                           self._begin)
    texts = []
    for text in self._reader:
      texts.append(text)
      if len(texts) == w.block:
        break
    self._ended = len(texts) < w.block
    self._next = self._begin + len(texts)
    texts = [t for t in texts if w.belongs(t, self._split)]
    self._found = self._found or bool(texts)
    order = generator(self._seed[0], 'block', self._seed[1], self._epoch,
                      self._file, self._begin).permutation(len(texts))
    self._block = [texts[i] for i in order]

  def _made(self, text: str) -> Example:
    w = self._world
    if not w.fim_rate:
      return w.plain(text)
    rng = generator(self._seed[0], 'fim', self._epoch, _hash(text))
    return w.marked(text, rng) if rng.random() < w.fim_rate else w.plain(text)

  def get_state(self) -> dict:
    return {'epoch': self._epoch, 'file': self._file, 'begin': self._begin,
            'at': self._at, 'files': self._world.files_hash}

  def set_state(self, state: dict):
    """Continues from a state. Raises BadInput when files have changed."""
    if state['files'] != self._world.files_hash:
      raise BadInput(f'the {len(self._world.files)} files of the stream are '
                     'not those that it began with (names or sizes differ); '
                     'wanted the same, or a new --workdir')
    self._go(state['epoch'], state['file'], state['begin'], state['at'])

  def _go(self, epoch: int, file: int, begin: int, at: int):
    self._epoch, self._file, self._begin, self._at = epoch, file, begin, at
    self._reader = self._block = None
    self._next, self._ended = begin, False
    # Whether the stream has had any document.
    self._found = any((epoch, file, begin, at))


def files_of(patterns: str) -> list[str]:
  """The files that comma-separated glob patterns match, sorted; each once, even
  if several names or links lead to it. Raises BadInput when there is none."""
  found = {f for pattern in patterns.split(',')
           for f in glob.glob(pattern.strip(), recursive=True)}
  files = sorted({os.path.realpath(f): f for f in sorted(
      found, reverse=True) if os.path.isfile(f)}.values())
  if not files:
    raise BadInput(f'no file matches {patterns!r}; wanted comma-separated '
                   'paths or patterns, as data/*.txt')
  for file in files:
    text_files.check_format(file)
  return files


def content_of(files: Sequence[str]) -> str:
  """A hash of the contents of files in their order: 16 hexadecimal digits. It
  reads them once in a process, while size and time of change are the same.
  Raises BadInput."""
  digest = hashlib.sha256()
  for file in files:
    try:
      stat = os.stat(file)
      digest.update(_digest_of(os.path.realpath(file), stat.st_size,
                               stat.st_mtime_ns))
    except OSError as e:
      raise BadInput(f'{file} cannot be read: {e}') from None
  return digest.hexdigest()[:16]


@functools.lru_cache(1 << 16)
def _digest_of(path: str, size: int, changed: int) -> bytes:
  with open(path, 'rb') as f:
    return hashlib.file_digest(f, 'sha256').digest()


def _hash(text: str) -> int:
  return int.from_bytes(hashlib.blake2b(text.encode(
      errors='surrogatepass'), digest_size=8).digest())


def make(config: ConfigDict, seed: int) -> Text:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return Text(config, seed)
