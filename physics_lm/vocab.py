"""Tokenizers: text piece -> ids and back, exactly.

Every kind encodes a text piece by piece (`Example.pieces`) and caches short
pieces, so a row costs a few dictionary look-ups. Id 0 is padding; id 1 ends an
example and starts the next, like the papers' end-of-text token. The ids of
other libraries' tokenizers are renumbered accordingly.

  word          closed: the words of the worlds
  piece         closed: every piece that the worlds list is one token
  byte          UTF-8 bytes
  bpe:SIZE      byte-level BPE of SIZE entries, trained on the worlds' texts
  gpt2          GPT-2's byte-level BPE, 50,257 entries, and padding
  gpt2_used     the entries of gpt2 that the worlds use: the papers' count
  PATH.json     a tokenizer.json of the tokenizers library
  PATH.model    a SentencePiece model
"""

import contextlib
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

from physics_lm.config import argument_parser
from physics_lm.errors import BadInput, command, disk_errors, nearest, need

PAD, EOS = 0, 1
_SPECIAL = ('<pad>', '<eos>')
# A word or one punctuation mark, with the space before it. Joined, the parts
# are the text, and no part spans two pieces.
WORD = r' ?\w+| ?[^\w\s]|\s'
_WORD = re.compile(WORD)
_CACHED = 64  # characters; longer pieces hardly ever repeat
_MIN_BPE = len(_SPECIAL) + 256  # entries of a byte-level BPE, at least

# sha256 of the files in physics_lm/gpt2/, as published, with their licence.
GPT2 = {
    'encoder.json':
        '196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783',
    'vocab.bpe':
        '1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5'}
_END_TOKENS = ('<|endoftext|>', '<eos>', '</s>', '<|end_of_text|>', '[EOS]')


class Word:
  """Closed vocabulary: the words of `pieces`, in sorted order."""

  kind = 'word'

  def __init__(self, pieces: Iterable[str]):
    words = {w for piece in pieces for w in self._entries(piece)}
    self.words = _SPECIAL + tuple(sorted(words))
    self._id = {w: i for i, w in enumerate(self.words)}
    self._cache: dict[str, tuple[int, ...]] = {}

  def __len__(self) -> int:
    return len(self.words)

  def _entries(self, piece: str) -> list[str]:
    """The vocabulary entries of a listed piece."""
    return _WORD.findall(piece)

  def _split(self, piece: str) -> list[str]:
    """The entries that a piece consists of."""
    return _WORD.findall(piece)

  def encode(self, piece: str) -> tuple[int, ...]:
    """Ids of one piece. Raises BadInput for a word outside the vocabulary."""
    ids = self._cache.get(piece)
    if ids is None:
      try:
        ids = tuple([self._id[w] for w in self._split(piece)])
      except KeyError as e:
        raise BadInput(f'word {e.args[0]!r} is not among the {len(self)} of '
                       f'the closed vocabulary {self.kind!r}; byte, bpe:SIZE '
                       'and gpt2 encode any text') from None
      if len(piece) <= _CACHED:
        self._cache[piece] = ids
    return ids

  def decode(self, ids: Iterable[int]) -> str:
    """The text up to the first end token, without padding."""
    return ''.join(self.words[i] for i in _until_eos(ids, len(self)))

  @property
  def hash(self) -> str:
    return _digest(self.kind, *self.words)


class Piece(Word):
  """Closed vocabulary: every listed piece is one token, whatever its number of
  words: a name, a value, the words of a sentence between subject and value.
  Rows are shortest. A piece that is not listed is split greedily into the
  longest listed ones, from the left: an answer into its value and the full
  stop, a date into month, day, comma and year."""

  kind = 'piece'

  def _entries(self, piece: str) -> list[str]:
    return [piece]

  def _split(self, piece: str) -> list[str]:
    if piece in self._id:
      return [piece]
    parts, rest = [], piece
    while rest:
      end = next((e for e in range(len(rest), 0, -1) if rest[:e] in self._id),
                 len(rest))
      parts.append(rest[:end])
      rest = rest[end:]
    return parts


class Byte:
  """UTF-8 bytes, shifted past the two special ids."""

  kind = 'byte'

  def __len__(self) -> int:
    return 256 + len(_SPECIAL)

  def encode(self, piece: str) -> tuple[int, ...]:
    return tuple([b + len(_SPECIAL) for b in piece.encode()])

  def decode(self, ids: Iterable[int]) -> str:
    return bytes(i - len(_SPECIAL) for i in _until_eos(ids, len(self))
                 ).decode(errors='replace')

  @property
  def hash(self) -> str:
    return _digest(self.kind)


class Mapped:
  """Another library's tokenizer, renumbered so that id 0 is padding and id 1 is
  the end token. `theirs[i]` is the library's id for our id i, -1 where it has
  none; `source` is the library's object, or the path of its file."""

  def __init__(self, kind: str, encode: Callable, decode: Callable,
               theirs: Sequence[int], digest: str, source):
    self.kind, self.theirs, self.source = kind, tuple(theirs), source
    self._encode, self._decode, self._digest = encode, decode, digest
    self._ours = {t: i for i, t in enumerate(self.theirs) if t >= 0}
    self._cache: dict[str, tuple[int, ...]] = {}

  def __len__(self) -> int:
    return len(self.theirs)

  def encode(self, piece: str) -> tuple[int, ...]:
    """Ids of one piece. Raises BadInput for a token outside the vocabulary."""
    ids = self._cache.get(piece)
    if ids is None:
      try:
        ids = tuple([self._ours[t] for t in self._encode(piece)])
      except KeyError as e:
        raise BadInput(f'token {e.args[0]} of {piece[:40]!r} is not among the '
                       f'{len(self)} of vocab {self.kind!r}') from None
      if len(piece) <= _CACHED:
        self._cache[piece] = ids
    return ids

  def decode(self, ids: Iterable[int]) -> str:
    """The text up to the first end token, without padding."""
    theirs = [self.theirs[i] for i in _until_eos(ids, len(self))]
    return self._decode([t for t in theirs if t >= 0])

  def renumber(self, theirs: Iterable[int]) -> list[int]:
    """Our ids of the library's, without padding and end tokens."""
    ours = (self._ours[int(t)] for t in theirs if int(t) in self._ours)
    return [i for i in ours if i > EOS]

  @property
  def hash(self) -> str:
    return _digest(self.kind, self._digest)


class Marked:
  """A vocabulary with the marks of a world after its entries. A piece that is a
  mark is one token; the same characters within another piece are text."""

  def __init__(self, base, marks: Sequence[str]):
    self.base, self.marks, self.kind = base, tuple(marks), base.kind
    self._id = {m: len(base) + i for i, m in enumerate(self.marks)}

  def __len__(self) -> int:
    return len(self.base) + len(self.marks)

  def encode(self, piece: str) -> tuple[int, ...]:
    at = self._id.get(piece)
    return self.base.encode(piece) if at is None else (at,)

  def decode(self, ids: Iterable[int]) -> str:
    out, run = [], []
    for i in _until_eos(ids, len(self)):
      if i < len(self.base):
        run.append(i)
      else:
        out += [self.base.decode(run), self.marks[i - len(self.base)]]
        run = []
    return ''.join([*out, self.base.decode(run)])

  @property
  def hash(self) -> str:
    return _digest(self.base.hash, *self.marks)


Vocab = Word | Byte | Mapped | Marked
KINDS = ('word', 'piece', 'byte', 'bpe:SIZE', 'gpt2', 'gpt2_used', 'PATH.json',
         'PATH.model')


def make_vocab(kind: str, pieces: Iterable[str], texts: Callable = lambda: (),
         marks: Sequence[str] = ()) -> Vocab:
  """The vocabulary of a kind (see the module's docstring).

  Args:
    kind: one of KINDS.
    pieces: all pieces that a closed vocabulary must encode.
    texts: a function that returns the texts to train on, called for bpe only.
    marks: pieces that are one token each, after the other entries.

  Raises:
    BadInput: an unknown kind, a missing file or a missing library.
  """
  name, _, size = kind.partition(':')
  if kind.endswith('.model'):
    base = sentencepiece(kind)
  elif kind.endswith('.json'):
    base = from_file(kind)
  elif name == 'bpe':
    if not size.isdigit() or int(size) < _MIN_BPE:
      raise BadInput(f'vocab is {kind!r}, wanted bpe:SIZE with a size of at '
                     f'least {_MIN_BPE}')
    base = foreign_tokenizer(kind, train_bpe(texts(), int(size)))
  elif kind == 'gpt2':
    base = gpt2()
  elif kind == 'gpt2_used':
    base = gpt2(pieces)
  elif kind in ('word', 'piece'):
    base = {'word': Word, 'piece': Piece}[kind](pieces)
  elif kind == 'byte':
    base = Byte()
  else:
    raise BadInput(f'unknown vocab {kind!r}; {nearest(kind, KINDS)}')
  return Marked(base, marks) if marks else base


def _library():
  # The library's own threads would not speed up rows, but warn at a fork.
  os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
  return need('tokenizers', 'text')


def byte_letters() -> dict[int, str]:
  """The printable character for each byte of a byte-level BPE: the byte's own
  where it is printable, else the next one from U+0100 on (GPT-2)."""
  prints = [*range(33, 127), *range(161, 173), *range(174, 256)]
  rest = [b for b in range(256) if b not in prints]
  return {b: chr(b) for b in prints} | {
      b: chr(256 + i) for i, b in enumerate(rest)}


def byte_level(tokenizer: Any, lib: ModuleType, regex: bool = True) -> Any:
  """Sets the byte-level pre-tokenizer and decoder of a tokenizers.Tokenizer,
  which it returns. `regex`: split into words first, as GPT-2 does."""
  tokenizer.pre_tokenizer = lib.pre_tokenizers.ByteLevel(
      add_prefix_space=False, use_regex=regex)
  tokenizer.decoder = lib.decoders.ByteLevel()
  return tokenizer


def mapped_tokenizer(kind: str, tokenizer: Any, theirs: Sequence[int],
                     digest: str, encoder: Any = None) -> Mapped:
  """A tokenizers.Tokenizer as a vocabulary (see Mapped). `encoder`: the one
  that encodes (default: the same)."""
  encoder = tokenizer if encoder is None else encoder
  # The characters '<eos>' in a text are not an end token.
  encoder.encode_special_tokens = True

  def encode(piece: str) -> list[int]:
    with _library_errors(f'vocab {kind!r} cannot encode {piece[:40]!r}',
                         'a tokenizer of any text, or other texts'):
      return encoder.encode(piece, add_special_tokens=False).ids

  return Mapped(kind, encode, lambda ids: tokenizer.decode(
      ids, skip_special_tokens=False), theirs, digest, tokenizer)


@contextlib.contextmanager
def _library_errors(found: str, wanted: str) -> Iterator[None]:
  """A context in which what a tokenizer's library raises becomes BadInput: bare
  Exceptions, RuntimeErrors, and a BaseException where Rust code fails."""
  try:
    yield
  except (KeyboardInterrupt, SystemExit, GeneratorExit, BadInput):
    raise
  except BaseException as e:
    reason = ' '.join(str(e).split())[:200]
    raise BadInput(f'{found}: {reason}; wanted {wanted}') from None


def foreign_tokenizer(kind: str, tokenizer: Any) -> Mapped:
  """A tokenizers.Tokenizer with our numbering (train_bpe) as a vocabulary."""
  return mapped_tokenizer(kind, tokenizer, range(tokenizer.get_vocab_size()),
                          tokenizer.to_str())


def train_bpe(texts: Iterable[str], size: int) -> Any:
  """Trains a byte-level BPE of at most `size` entries, '<pad>' and '<eos>'
  first: a tokenizers.Tokenizer. The same texts give the same entries."""
  lib = _library()
  tokenizer = byte_level(lib.Tokenizer(lib.models.BPE()), lib)
  tokenizer.train_from_iterator(texts, lib.trainers.BpeTrainer(
      vocab_size=size, special_tokens=list(_SPECIAL), show_progress=False,
      initial_alphabet=sorted(lib.pre_tokenizers.ByteLevel.alphabet())))
  return tokenizer


def gpt2_files() -> dict[str, str]:
  """{name: text} of GPT-2's two files. Raises BadInput when one is damaged."""
  out = {}
  for name, wanted in GPT2.items():
    raw = (resources.files('physics_lm') / 'gpt2' / name).read_bytes()
    found = hashlib.sha256(raw).hexdigest()
    if found != wanted:
      raise BadInput(f'physics_lm/gpt2/{name} has sha256 {found}, wanted '
                     f'{wanted}')
    out[name] = raw.decode()
  return out


def gpt2(pieces: Iterable[str] | None = None) -> Mapped:
  """GPT-2's BPE; with `pieces`, only the entries that they use."""
  lib, files = _library(), gpt2_files()
  entries = json.loads(files['encoder.json'])
  lines = files['vocab.bpe'].split('\n')[1:]  # the first is a version
  merges = [tuple(line.split(' ')) for line in lines if line]
  tokenizer = byte_level(lib.Tokenizer(lib.models.BPE(entries, merges)), lib)
  end = entries['<|endoftext|>']
  kept, kind = [t for t in sorted(entries.values()) if t != end], 'gpt2'
  if pieces is not None:
    kind, kept = 'gpt2_used', sorted({
        t for piece in set(pieces)
        for t in tokenizer.encode(piece, add_special_tokens=False).ids})
  return mapped_tokenizer(kind, tokenizer, [-1, end, *kept],
                          ' '.join([*GPT2.values(), *map(str, kept)]))


def from_file(path: str) -> Mapped:
  """A tokenizer.json of the tokenizers library. The end token is eos_token of a
  tokenizer_config.json in the same folder, else one of the usual names.

  As in transformers, truncation and padding that the file has in force are
  reset, and special tokens in a text are one token each. Exceptions are the end
  token and padding: a text that contains their characters does not end there.

  Raises BadInput for a bad file, or without an end token.
  """
  lib, raw = _library(), _read(path)
  with _library_errors(f'{path} is no tokenizer.json', 'one that '
                       'tokenizers.Tokenizer.from_file reads'):
    text = raw.decode()
    tokenizer = lib.Tokenizer.from_str(text)
    entries, state = tokenizer.get_vocab(), json.loads(text)
  tokenizer.no_truncation()
  tokenizer.no_padding()
  settings = _side_file(Path(path).with_name('tokenizer_config.json'))
  eos = _special_token(settings, 'eos_token')
  if eos is not None and eos not in entries:
    raise BadInput(f'tokenizer_config.json beside {path} has eos_token {eos!r},'
                   f' wanted one of the {len(entries)} entries')
  end = eos or next((e for e in _END_TOKENS if e in entries), None)
  if end is None:
    raise BadInput(f'{path} has no end token; wanted eos_token in '
                   f'tokenizer_config.json or one of {", ".join(_END_TOKENS)}')
  pad = next((p for p in (_special_token(settings, 'pad_token'), *_SPECIAL[:1])
              if p in entries and p != end), None)
  encoder, others = _with_whole_specials(lib, tokenizer, (end, pad))
  if others or state.get('truncation') or state.get('padding'):
    text += 'special tokens whole'  # other ids than such a file once gave
  return mapped_tokenizer('json', tokenizer, renumbered(
      max(entries.values()) + 1, entries.get(pad, -1), entries[end]), text,
      encoder)


def _with_whole_specials(lib: ModuleType, tokenizer: Any, not_in_text: tuple
                         ) -> tuple[Any, list[str]]:
  """(tokenizer, special tokens): a copy in which these, all but `not_in_text`,
  are found in texts although special tokens are not."""
  state = json.loads(tokenizer.to_str())
  others = [t for t in state.get('added_tokens', ())
            if t['special'] and t['content'] not in not_in_text]
  for token in others:
    token['special'] = False
  return lib.Tokenizer.from_str(json.dumps(state)), [
      t['content'] for t in others]


def _side_file(path: Path) -> dict:
  """The settings of a tokenizer_config.json, {} where there is none. Raises
  BadInput for a file that holds none."""
  if not path.exists():
    return {}
  try:
    settings = json.loads(_read(str(path)).decode())
  except ValueError as e:  # no JSON, or no text at all
    raise BadInput(f'{path} is not JSON: {e}; wanted settings of transformers, '
                   'or no such file') from None
  if not isinstance(settings, dict):
    raise BadInput(f'{path} is {str(settings)[:40]}, wanted a JSON object')
  return settings


def _special_token(settings: dict, key: str) -> str | None:
  """A token of a tokenizer_config.json: a string, or an object with one.
  Raises BadInput."""
  value = settings.get(key)
  value = value.get('content') if isinstance(value, dict) else value
  if value is not None and not isinstance(value, str):
    raise BadInput(f'tokenizer_config.json has {key} {str(value)[:40]}, wanted '
                   'text')
  return value


def sentencepiece(path: str) -> Mapped:
  """A SentencePiece model. Decoding does not restore a text that the model's
  normalisation changes or, without byte_fallback, one with unknown characters.
  Raises BadInput for a bad file or without an end token."""
  lib, proto = need('sentencepiece', 'text'), sentencepiece_proto(path)
  # Pieces are parts of a text: do not put a space before each.
  proto.normalizer_spec.add_dummy_prefix = False
  proto.normalizer_spec.remove_extra_whitespaces = False
  try:
    model = lib.SentencePieceProcessor(model_proto=proto.SerializeToString())
  except Exception as e:  # the library's own type
    raise _no_sentencepiece(path, e) from None
  if model.eos_id() < 0:
    raise BadInput(f'{path} has no end token; wanted a model with eos_id')
  out = Mapped('sentencepiece', model.encode, lambda ids: _sentence(
      model, ids), renumbered(len(model), model.pad_id(), model.eos_id()),
      hashlib.sha256(_read(path)).hexdigest(), path)
  return out


def train_sentencepiece(texts: Iterable[str], size: int) -> bytes:
  """Trains a SentencePiece model (unigram, byte_fallback) of at most `size`
  entries, padding and end token first; returns the bytes of its file. The same
  texts give the same entries. Raises BadInput for a size that is too small.
  """
  out, lib = io.BytesIO(), need('sentencepiece', 'text')
  with _library_errors(f'no SentencePiece model of {size} entries',
                       'another SIZE, or other texts'):
    lib.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=out, vocab_size=size,
        hard_vocab_limit=False, byte_fallback=True, pad_id=PAD, eos_id=EOS,
        unk_id=2, bos_id=-1, normalization_rule_name='identity',
        add_dummy_prefix=False, remove_extra_whitespaces=False,
        max_sentence_length=1 << 20, num_threads=1, minloglevel=2)
  return out.getvalue()


def sentencepiece_proto(path: str) -> Any:
  """The entries and settings of a SentencePiece model: a ModelProto. Raises
  BadInput."""
  raw = _read(path)
  proto = need('sentencepiece.sentencepiece_model_pb2', 'text').ModelProto()
  try:
    proto.ParseFromString(raw)
  except Exception as e:  # protobuf's own type
    raise _no_sentencepiece(path, e) from None
  return proto


def _no_sentencepiece(path: str, e: Exception) -> BadInput:
  return BadInput(f'{path} is no SentencePiece model: {str(e)[:200]}')


def _sentence(model, ids: list[int]) -> str:
  # The library drops a space at the start, which our texts need.
  space = bool(ids) and model.id_to_piece(ids[0]).startswith('\u2581')
  text = model.decode(ids)
  return ' ' + text if space and not text.startswith(' ') else text


def renumbered(count: int, pad: int, end: int) -> list[int]:
  """A library's ids 0 .. count-1 in our order: padding and end token first (-1:
  none), then the others."""
  return [pad, end, *(t for t in range(count) if t not in (pad, end))]


def _read(path: str) -> bytes:
  try:
    return Path(path).read_bytes()
  except OSError as e:
    raise BadInput(f'no vocab file {path!r} ({e.strerror}); wanted one of '
                   f'{", ".join(KINDS)}') from None


def _until_eos(ids: Iterable[int], size: int):
  for i in ids:
    if i == EOS:
      return
    if PAD < i < size:  # the embedding may have more rows
      yield int(i)


def _digest(*parts: str) -> str:
  return hashlib.sha256('\n'.join(parts).encode()).hexdigest()


@command
def main(argv: list[str] | None = None) -> None:
  """The command line."""
  from physics_lm.worlds import base
  p = argument_parser('physics_lm.vocab', _USAGE)
  p.add_argument('world', help='a world of configs/default.py')
  p.add_argument('--vocab', help='tokenizers, separated by commas (default: '
                 f'{_SHOWN}, less those whose library is missing)')
  p.add_argument('--split', help='of the world (default: its first)')
  p.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                 help='a key of the world, as in configs/default.py')
  p.add_argument('--seed', type=int, default=0)
  p.add_argument('--count', type=int, default=1000,
                 help='texts that are encoded, or trained on')
  p.add_argument('--train', type=int, metavar='SIZE',
                 help='train a tokenizer of SIZE entries and write it to --out')
  p.add_argument('--out', default='tokenizer.json')
  a = p.parse_args(argv)
  world = base.world_from_flags(a.world, a.set, a.seed)
  split = a.split or world.splits[0]
  if a.count < 1:
    raise BadInput(f'--count is {a.count}, wanted at least 1')
  examples = base.first_examples(world, split, a.count)
  if not any(e.text.strip() for e in examples):
    raise BadInput(f'{split} of {a.world} has no text, wanted at least one')
  texts = [e.text for e in examples]
  if a.train:
    _train(texts, max(a.train, _MIN_BPE), a.out)
    return
  print(f'{"vocab":16}{"entries":>9}{"tokens":>9}{"least":>7}{"most":>7}   '
        f'of {len(examples)} texts of {a.world}, {split}')
  left_out = {}
  for kind in (a.vocab or _SHOWN).split(','):
    try:
      made = make_vocab(kind, world.pieces(), lambda: iter(texts))
    except BadInput as e:
      if a.vocab or not isinstance(e.__cause__, ImportError):
        raise
      left_out[kind] = str(e)
      continue
    n = [sum(len(made.encode(piece)) for piece in e.pieces) for e in examples]
    print(f'{kind:16}{len(made):>9}{sum(n) / len(n):>9.1f}{min(n):>7}'
          f'{max(n):>7}')
  if left_out:
    print(f'not shown: {", ".join(left_out)}: '
          + '; '.join(dict.fromkeys(left_out.values())))


def _train(texts: list[str], size: int, out: str):
  """Writes a tokenizer of `size` entries to the file `out`."""
  if not out.endswith(('.json', '.model')):
    raise BadInput(f'--out is {out}, wanted a path with suffix .json or .model')
  with disk_errors(out):
    if out.endswith('.model'):
      Path(out).write_bytes(train_sentencepiece(texts, size))
    else:
      train_bpe(texts, size).save(out)
  print(f'{out}: {len(make_vocab(out, ()))} entries; use it with '
        f'--config.data.vocab={out}')


_SHOWN = 'byte,word,bpe:1024,gpt2,gpt2_used'
_USAGE = """Tokens of a text, by tokenizer; or training of a tokenizer. No JAX.

  python -m physics_lm.vocab biographies --set variant=multi5_permute
  python -m physics_lm.vocab biographies --train=1024 --out=bios.json
  python -m physics_lm.vocab biographies --train=1024 --out=bios.model

A .json is a byte-level BPE, a .model a SentencePiece model.
"""

if __name__ == '__main__':
  main()
