"""Examples of a world as files that other trainers read. No JAX.

  jsonl         JSON lines; .gz zips them
  parquet       `datasets.load_dataset('parquet', data_files=...)`
  arrayrecord   tf.train.Example, as MaxText's grain input reads it
  nanogpt-bin   a folder with train.bin and val.bin of uint16 tokens, each
                text closed by the end token, and meta.pkl unless it is GPT-2's

Fields: index, split, text; prompt and completion, the text cut where an answer
begins (the prompt is empty where there is no question); answers and meta, as
objects in JSON lines and as JSON text elsewhere. Files are cut into shards by
index. A shard is written completely or not at all, and only once, so that the
same command resumes an export.
"""

import itertools
import json
import pickle
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from physics_lm import run_dir
from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput, disk_errors
from physics_lm.progress import Progress
from physics_lm.worlds import base

FORMATS = ('jsonl', 'parquet', 'arrayrecord', 'nanogpt-bin')
MOST = 1_000_000  # examples, unless a count is given
HELD_OUT = 50  # nanoGPT's val.bin has every 50th example of a single split


def fields(example: base.Example, split: str, index: int, form: str) -> dict:
  """The record of an example, in a format."""
  prompt, completion = base.prompt_and_answer(example)
  objects = {
      'answers': [[name, example.pieces[at].strip()]
                  for name, at in example.answers],
      'meta': example.meta}
  if form != 'jsonl':  # the other formats hold no nested objects
    objects = {k: json.dumps(v, sort_keys=True) for k, v in objects.items()}
  if example.labels:
    raise BadInput('the pieces of this world have labels, which files of texts '
                   'cannot hold; wanted a world whose texts are predicted')
  return {'index': index, 'split': split, 'text': example.text,
          'prompt': prompt, 'completion': completion} | objects


def token_numbers(vocab: vocabs.Vocab) -> Sequence[int]:
  """The tokenizer's own number of each of our ids (-1: none). Of the part of
  GPT-2's vocabulary that a world uses, our ids."""
  theirs = getattr(vocab, 'theirs', None)
  return range(len(vocab)) if theirs is None or vocab.kind == 'gpt2_used' else (
      theirs)


def token_ids(vocab: vocabs.Vocab, example: base.Example) -> list[int]:
  """Ids in the tokenizer's own numbers, the end token last."""
  number = token_numbers(vocab)
  if example.labels:
    raise BadInput('the pieces of this world have labels, which a file of '
                   'tokens cannot hold; wanted a world whose texts are '
                   'predicted')
  ids = [i for piece in example.pieces for i in vocab.encode(piece)]
  return [number[i] for i in (*ids, vocabs.EOS)]


def export_world(world: base.World, what: dict, form: str, out: Path,
                 splits: list[str], count: int | None = None, shards: int = 1,
                 vocab_kind: str = 'gpt2') -> list[tuple[Path, str, int]]:
  """Writes the files of each split; returns (file, split, examples in it).
  `what` names the world. Raises BadInput, also for a folder that holds another
  export."""
  from physics_lm import text_files  # NumPy
  if shards < 1:
    raise BadInput(f'--shards is {shards}, wanted at least 1')
  if form != 'nanogpt-bin' and text_files.format_of(out) != form:
    raise BadInput(f'--{form} is {out}, wanted a name with the suffix .{form}')
  plan = what | {'format': form, 'shards': shards, 'files': {}}
  if base.is_stream(world):
    plan['content'] = world.content()
  vocab = None
  if form == 'nanogpt-bin':
    vocab = vocabs.make_vocab(vocab_kind, world.pieces(), lambda: (
        e.text for e in base.first_examples(world, splits[0], 2000)))
    if max(token_numbers(vocab)) >= 1 << 16:
      raise BadInput(f'vocab {vocab_kind!r} has {len(vocab)} entries, wanted '
                     'at most 65536: the file holds 16 bits a token')
    plan['vocab'] = {'kind': vocab.kind, 'sha256': vocab.hash}
  for i, split in enumerate(splits):
    indices = _indices(world, split, count, shards)
    if vocab is None:
      name = out.name if len(splits) == 1 else _with(out.name, f'-{split}')
      plan['files'][name] = [split, *indices]
    elif len(splits) == 1:  # nanoGPT wants both
      if indices[1] < HELD_OUT:
        raise BadInput(f'{split} has {indices[1]} examples, wanted at least '
                       f'{HELD_OUT} (val.bin has every {HELD_OUT}th), or two '
                       'splits, --split=A,B')
      plan['files'] |= {'train.bin': [split, *indices, 'train'],
                        'val.bin': [split, *indices, 'val']}
    elif i < 2:
      plan['files'][('train.bin', 'val.bin')[i]] = [split, *indices]
    else:
      raise BadInput(f'--split has {len(splits)} splits, wanted one or two '
                     '(train.bin and val.bin)')
  folder = out if vocab else out.parent
  with disk_errors(folder):
    folder.mkdir(parents=True, exist_ok=True)
    made_by = folder / ('.export.json' if vocab else f'.{out.name}.export.json')
    if made_by.exists() and run_dir.read_json(made_by) != plan:
      raise BadInput(f'{out} holds another export ({made_by.name}); wanted the '
                     'same command, or another path')
    run_dir.write_json(made_by, plan)
    return [file for name, (split, *rest) in plan['files'].items()
            for file in _files(world, folder / name, split, rest, shards,
                               vocab, form)]


def _indices(world, split: str, count: int | None, shards: int) -> list[int]:
  """The first index and the one after the last. Raises BadInput for files
  without an example."""
  size = world.size(split)
  if not size:
    raise BadInput(f'{split} has no examples, wanted at least one')
  if count is None and size > MOST:
    raise BadInput(f'{split} has {size} examples, wanted --count')
  if count is not None and not 1 <= count <= size:
    raise BadInput(f'--count is {count}, wanted 1 to {size} of {split}')
  if shards > (count or size):
    raise BadInput(f'--shards is {shards}, wanted at most the number of '
                   f'examples, {count or size}')
  return [0, count or size]


def _with(name: str, what: str) -> str:
  """'a.jsonl.gz', '-x' -> 'a-x.jsonl.gz'."""
  stem, dot, rest = name.partition('.')
  return stem + what + dot + rest


def _files(world, path: Path, split: str, rest: list, shards: int, vocab,
           form: str) -> list[tuple[Path, str, int]]:
  """Writes one file, or its shards; returns (file, split, examples in it).
  `rest`: first index, index after the last, and for nanoGPT's two files of one
  split which of the two: 'train' or 'val'."""
  from physics_lm import text_files  # NumPy, and what a format needs
  first, last, *part = rest
  paths = [path] if shards == 1 else [
      path.with_name(_with(path.name, f'-{i:05}-of-{shards:05}'))
      for i in range(shards)]
  if vocab and path.exists():  # its shards have been joined
    return [(path, split, sum(1 for _ in _chosen(first, last, part)))]
  progress = Progress(last - first, 0, path.name, 'example')
  done = itertools.count(1)
  edges = [first + (last - first) * i // shards for i in range(shards + 1)]
  for shard, start, stop in zip(paths, edges, edges[1:]):
    if not shard.exists():
      text_files.write_texts(shard, _records(
          world, split, _chosen(start, stop, part), vocab, form, progress,
          done))
  progress.close()
  if not vocab:
    return [(p, split, b - a) for p, a, b in zip(paths, edges, edges[1:])]
  if shards > 1:  # nanoGPT reads one file
    _join(paths, path)
  if vocab.kind != 'gpt2':  # nanoGPT knows GPT-2's tokens
    _write_meta(path.with_name('meta.pkl'), vocab)
  return [(path, split, sum(1 for _ in _chosen(first, last, part)))]


def _chosen(start: int, stop: int, part: Sequence[str]) -> Iterator[int]:
  """The indices from start to stop that belong to a part: every 50th to 'val',
  the others to 'train'; all of them where there are no parts."""
  for i in range(start, stop):
    last = i % HELD_OUT == HELD_OUT - 1
    if not part or last == (part[0] == 'val'):
      yield i


def _records(world, split: str, indices: Iterable[int], vocab, form: str,
             progress: Progress, done: Iterator[int]) -> Iterator[dict]:
  """What write_texts writes of each example; `done` counts them."""
  for i in indices:
    example = world.example(split, i)
    yield {'ids': token_ids(vocab, example)} if vocab else fields(
        example, split, i, form)
    progress.update(next(done))


def _join(shards: Sequence[Path], path: Path) -> None:
  """Joins files to one, which appears by rename, and removes them."""
  part = path.with_name(f'.{path.name}.part')
  with part.open('wb') as f:
    for shard in shards:
      f.write(shard.read_bytes())
  part.replace(path)
  for shard in shards:
    shard.unlink()


def _write_meta(path: Path, vocab) -> None:
  """nanoGPT's meta.pkl: size of the vocabulary, and its texts both ways."""
  texts = {n: vocab.decode([i]) for i, n in enumerate(token_numbers(vocab))
           if n >= 0}
  with path.open('wb') as f:
    pickle.dump({'vocab_size': max(texts) + 1, 'itos': texts,
                 'stoi': {s: i for i, s in texts.items()},
                 'vocab': {'kind': vocab.kind, 'sha256': vocab.hash}}, f)
