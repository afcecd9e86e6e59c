"""A SentencePiece model as a tokenizer of the tokenizers library. No JAX."""

from collections.abc import Iterable
from typing import Any

from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput, need

UNIGRAM, BPE = 1, 2  # trainer_spec.model_type
NORMAL, DEFINED = 1, 4  # a piece's type


def sentencepiece_tokenizer(path: str) -> Any:
  """A tokenizers.Tokenizer with the model's ids, which takes texts as
  vocab.sentencepiece does: no space is put before them, none is dropped.
  Raises BadInput for a model of words or of characters."""
  lib = need('tokenizers', 'huggingface')
  proto = vocabs.sentencepiece_proto(path)
  kind, normal = proto.trainer_spec.model_type, proto.normalizer_spec
  unknown = proto.trainer_spec.unk_id
  fallback = proto.trainer_spec.byte_fallback
  if kind == UNIGRAM:
    model = lib.models.Unigram([(p.piece, p.score) for p in proto.pieces],
                               unknown, fallback)
  elif kind == BPE:
    model = lib.models.BPE(
        {p.piece: i for i, p in enumerate(proto.pieces)}, merges(proto.pieces),
        unk_token=proto.pieces[unknown].piece, fuse_unk=True,
        byte_fallback=fallback)
  else:
    raise BadInput(f'{path} is a SentencePiece model of type {kind}, wanted '
                   f'unigram ({UNIGRAM}) or BPE ({BPE})')
  out = lib.Tokenizer(model)
  steps = [lib.normalizers.Replace(' ', '\u2581')]
  if normal.precompiled_charsmap:
    steps.insert(0, lib.normalizers.Precompiled(normal.precompiled_charsmap))
  out.normalizer = lib.normalizers.Sequence(steps)
  out.decoder = lib.decoders.Sequence([
      lib.decoders.Replace('\u2581', ' '), lib.decoders.ByteFallback(),
      lib.decoders.Fuse()])
  out.add_tokens([lib.AddedToken(p.piece, normalized=True)
                  for p in proto.pieces if p.type == DEFINED])
  return out


def merges(pieces: Iterable) -> list[tuple[str, str]]:
  """What a BPE joins, first things first: every two pieces that make a third,
  by its score."""
  scores = {p.piece: p.score for p in pieces if p.type == NORMAL}
  pairs = [(-score, at, whole) for whole, score in scores.items()
           for at in range(1, len(whole))
           if whole[:at] in scores and whole[at:] in scores]
  return [(whole[:at], whole[at:]) for _, at, whole in sorted(pairs)]
