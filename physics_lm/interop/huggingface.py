"""Models to Hugging Face's format and from it: weights, config, tokenizer.

  python -m physics_lm.interop.huggingface export RUN_DIR OUT [--shard=2GB]
  python -m physics_lm.interop.huggingface import FOLDER RUN_DIR [--config=...]

A decoder with layer norm and GELU becomes a GPT-NeoX, one with RMS norm and
gated SiLU a Llama; `AutoModelForCausalLM.from_pretrained(OUT)` opens it. Each
text begins with the end token, as in training, and so does the tokenizer's
output. What these two families cannot hold (no MLP, normed queries, ...) is
refused by name, in both directions.

An imported model is a run folder of step 0: evaluations read it, and a run
with `init_from` starts from it.
"""

import contextlib
import json
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from physics_lm import checkpoint, restore, run_dir
from physics_lm import vocab as vocabs
from physics_lm.config import (
  argument_parser,
  load_config,
  override,
  plain_config,
  run_id,
)
from physics_lm.configs import default
from physics_lm.errors import BadInput, command, disk_errors, need
from physics_lm.interop import spm
from physics_lm.mixture import load_mixture
from physics_lm.model.config import ModelConfig, model_config

FAMILIES = {'gpt_neox': ('layernorm', 'gelu'),
            'llama': ('rmsnorm', 'gated_silu')}
GELU = ('gelu_new', 'gelu_pytorch_tanh', 'gelu_fast')  # all the tanh form
EPS = 1e-5  # of every norm, model/decoder.py
BUFFERS = ('rotary_emb.inv_freq', 'attention.bias', 'attention.masked_bias')
SIDECAR = 'physics_lm.json'


class Tensor(NamedTuple):
  """One of their tensors: what ours it is made of, and both ways."""

  name: str
  parts: tuple[str, ...]  # our names: 'layers.query', with a layer to take
  layer: int | None
  there: Callable  # our arrays -> theirs
  back: Callable  # theirs -> our arrays, a tuple


def _same(*names: str):
  return names, lambda x: x, lambda y: (y,)


def _linear(name: str, inputs: tuple[int, ...], outputs: tuple[int, ...]):
  """Ours is inputs x outputs, theirs a matrix [outputs, inputs]."""
  I, O = math.prod(inputs), math.prod(outputs)
  return (name,), lambda x: x.reshape(I, O).T, lambda y: (
      y.T.reshape(*inputs, *outputs),)


def _flat(name: str, size: tuple[int, ...]):
  """Theirs is a vector."""
  return (name,), lambda x: x.reshape(-1), lambda y: (y.reshape(size),)


def _fused(cfg: ModelConfig):
  """NeoX keeps a head's query, key and value in one matrix [N 3 H, D], and
  their biases in one vector [N 3 H]; ours are [D, N, H] and [N, H] each."""
  N, H, D = cfg.heads, cfg.head, cfg.width
  names = ('layers.query', 'layers.key', 'layers.value')
  weights = (names, lambda *xs: np.stack(xs, 2).transpose(1, 2, 3, 0).reshape(
      -1, D), lambda y: tuple(y.reshape(N, 3, H, D).transpose(1, 3, 0, 2)))
  biases = (tuple(n.replace('.', '.bias_') for n in names),
            lambda *xs: np.stack(xs, 1).reshape(-1),
            lambda y: tuple(y.reshape(N, 3, H).transpose(1, 0, 2)))
  return weights, biases


def tensors(cfg: ModelConfig, family: str) -> list[Tensor]:
  """Every tensor of their model."""
  D, F, N, K, H = cfg.width, cfg.mlp_width, cfg.heads, cfg.kv_heads, cfg.head
  if family == 'gpt_neox':
    weight, bias = _fused(cfg)
    each = {
        'input_layernorm.weight': _same('layers.scale_attention'),
        'input_layernorm.bias': _same('layers.bias_attention'),
        'post_attention_layernorm.weight': _same('layers.scale_mlp'),
        'post_attention_layernorm.bias': _same('layers.bias_mlp'),
        'attention.query_key_value.weight': weight,
        'attention.query_key_value.bias': bias,
        'attention.dense.weight': _linear('layers.out', (N, H), (D,)),
        'attention.dense.bias': _same('layers.bias_out'),
        'mlp.dense_h_to_4h.weight': _linear('layers.up', (D,), (F,)),
        'mlp.dense_h_to_4h.bias': _same('layers.bias_up'),
        'mlp.dense_4h_to_h.weight': _linear('layers.down', (F,), (D,)),
        'mlp.dense_4h_to_h.bias': _same('layers.bias_down')}
    layer = 'gpt_neox.layers.{}.'
    ends = {'gpt_neox.embed_in.weight': _same('ends.embedding'),
            'gpt_neox.final_layer_norm.weight': _same('ends.scale_last'),
            'gpt_neox.final_layer_norm.bias': _same('ends.bias_last'),
            'embed_out.weight': _same('ends.output')}
  else:
    each = {
        'input_layernorm.weight': _same('layers.scale_attention'),
        'post_attention_layernorm.weight': _same('layers.scale_mlp')}
    for name, ours, inside, outside in (
        ('self_attn.q', 'query', (D,), (N, H)),
        ('self_attn.k', 'key', (D,), (K, H)),
        ('self_attn.v', 'value', (D,), (K, H)),
        ('self_attn.o', 'out', (N, H), (D,)),
        ('mlp.gate', 'gate', (D,), (F,)), ('mlp.up', 'up', (D,), (F,)),
        ('mlp.down', 'down', (F,), (D,))):
      each[f'{name}_proj.weight'] = _linear(f'layers.{ours}', inside, outside)
      if cfg.bias:
        each[f'{name}_proj.bias'] = _flat(f'layers.bias_{ours}', outside)
    layer = 'model.layers.{}.'
    ends = {'model.embed_tokens.weight': _same('ends.embedding'),
            'model.norm.weight': _same('ends.scale_last'),
            'lm_head.weight': _same('ends.output')}
  if cfg.tie_embeddings:
    ends.popitem()
  return [Tensor(layer.format(i) + k, v[0], i, v[1], v[2])
          for i in range(cfg.depth) for k, v in each.items()] + [
              Tensor(k, v[0], None, v[1], v[2]) for k, v in ends.items()]


def family_of(cfg: ModelConfig) -> str:
  """'gpt_neox' or 'llama'. Raises BadInput for what neither can hold."""
  family = next((k for k, v in FAMILIES.items() if v == (cfg.norm, cfg.mlp)),
                None)
  rotated = int(cfg.head * cfg.rope_fraction) // 2 * 2
  wanted = [
      (family, f'model.norm={cfg.norm} with model.mlp={cfg.mlp}',
       'layernorm with gelu (GPT-NeoX) or rmsnorm with gated_silu (Llama)'),
      (cfg.mlp_width, 'model.mlp_ratio=0', 'an MLP'),
      (not cfg.qk_norm, 'model.qk_norm=True', 'False'),
      (cfg.num_experts == 1, f'model.num_experts={cfg.num_experts}', '1'),
      (cfg.causal, 'attention to both sides (data.mlm_probability above 0)',
       '0'),
      (not cfg.canon, f'model.canon={cfg.canon}', 'no Canon layers'),
      (cfg.positions == 'rotary', f'model.positions={cfg.positions}', 'rotary'),
      (rotated, 'model.rope_fraction=0', 'rotary positions')]
  if family == 'llama':
    wanted.append((rotated == cfg.head, 'model.rope_fraction='
                   f'{cfg.rope_fraction}', '1.0 in a Llama'))
  else:
    wanted.append((cfg.kv_heads == cfg.heads, f'model.kv_heads={cfg.kv_heads}',
                   f'as many as heads ({cfg.heads}) in a GPT-NeoX'))
  for ok, found, want in wanted:
    if not ok:
      raise BadInput(f'this model has {found}, wanted {want}')
  return family


def their_config(cfg: ModelConfig, family: str, rows_: int, length: int,
                 end: int, pad: int | None) -> dict:
  """config.json of transformers, readable by its versions 4 and 5."""
  common = {
      'model_type': family, 'vocab_size': rows_, 'hidden_size': cfg.width,
      'num_hidden_layers': cfg.depth, 'num_attention_heads': cfg.heads,
      'intermediate_size': cfg.mlp_width, 'max_position_embeddings': length,
      'tie_word_embeddings': cfg.tie_embeddings, 'dtype': 'float32',
      'torch_dtype': 'float32', 'bos_token_id': end, 'eos_token_id': end,
      'pad_token_id': pad, 'use_cache': True}
  rope = {'rope_type': 'default', 'rope_theta': cfg.rope_theta}
  if family == 'llama':
    return common | {
        'architectures': ['LlamaForCausalLM'], 'hidden_act': 'silu',
        'num_key_value_heads': cfg.kv_heads, 'head_dim': cfg.head,
        'rms_norm_eps': EPS, 'attention_bias': cfg.bias,
        'mlp_bias': cfg.bias, 'rope_theta': cfg.rope_theta,
        'rope_parameters': rope}
  rotated = int(cfg.head * cfg.rope_fraction) // 2 * 2
  share = cfg.rope_fraction
  if int(cfg.head * share) != rotated:  # an odd count: ours leaves one out
    share = (rotated + 0.5) / cfg.head
  return common | {
      'architectures': ['GPTNeoXForCausalLM'], 'hidden_act': 'gelu_new',
      'layer_norm_eps': EPS, 'use_parallel_residual': False,
      'attention_bias': True, 'rotary_pct': share,
      'rotary_emb_base': cfg.rope_theta,
      'rope_parameters': rope | {'partial_rotary_factor': share}}


def our_model(c: dict) -> dict:
  """{'model.width': ...} of their config.json. Raises BadInput for what our
  decoder cannot compute."""
  family = c.get('model_type')
  if family not in FAMILIES:
    raise BadInput(f'model_type is {family!r}, wanted one of '
                   f'{", ".join(FAMILIES)}')
  try:
    D, N = c['hidden_size'], c['num_attention_heads']
    ratio = c['intermediate_size'] / D
    depth = c['num_hidden_layers']
  except KeyError as e:
    raise BadInput(f'config.json has no {e.args[0]}, wanted the complete '
                   f'config of a {family}') from None
  neox = family == 'gpt_neox'
  rope = c.get('rope_parameters') or c.get('rope_scaling') or {}
  kind = rope.get('rope_type', rope.get('type', 'default'))
  theta = rope.get('rope_theta') or c.get(
      'rotary_emb_base' if neox else 'rope_theta') or 10_000.0
  share = rope.get('partial_rotary_factor', c.get('rotary_pct', 0.25)
                   ) if neox else rope.get('partial_rotary_factor', 1.0)
  bias = neox or bool(c.get('attention_bias', False))
  eps = c.get('layer_norm_eps', EPS) if neox else c.get('rms_norm_eps', 1e-6)
  act = c.get('hidden_act', 'gelu' if neox else 'silu')
  for ok, found, wanted in (
      (not neox or not c.get('use_parallel_residual', True),
       'use_parallel_residual true', 'false'),
      (act in (GELU if neox else ('silu', 'swish')), f'hidden_act {act!r}',
       ' or '.join(GELU) if neox else 'silu'),
      (abs(eps - EPS) < 1e-9, f'a norm of eps {eps}', EPS),
      (kind == 'default', f'rope_type {kind!r}', 'default'),
      (not neox or c.get('attention_bias', True), 'attention_bias false',
       'true in a GPT-NeoX'),
      (neox or bias == bool(c.get('mlp_bias', False)),
       f'attention_bias {bias} and mlp_bias {c.get("mlp_bias", False)}',
       'the same of both'),
      (neox or share == 1.0, f'partial_rotary_factor {share}',
       '1.0 in a Llama'),
      ((c.get('head_dim') or D // N) == D // N, f'head_dim {c.get("head_dim")}',
       f'hidden_size / num_attention_heads = {D // N}')):
    if not ok:
      raise BadInput(f'config.json has {found}, wanted {wanted}')
  norm, mlp = FAMILIES[family]
  kv = c.get('num_key_value_heads') or N
  return {'model.depth': depth, 'model.width': D, 'model.heads': N,
          'model.kv_heads': None if kv == N else kv,
          'model.mlp_ratio': ratio, 'model.mlp': mlp, 'model.norm': norm,
          'model.bias': bias, 'model.qk_norm': False,
          'model.tie_embeddings': bool(c.get('tie_word_embeddings', False)),
          'model.rope_fraction': float(share),
          'model.rope_theta': float(theta)}


def row_map(vocab: vocabs.Vocab, count: int) -> np.ndarray:
  """Which of our embedding rows is their row i: [their rows]. A tokenizer from
  elsewhere gets its own ids back; ours keeps ours."""
  if not foreign(vocab):
    return np.arange(count)
  theirs = np.asarray(vocab.theirs)
  out = np.zeros(theirs.max() + 1, int)  # an id without a token: padding's
  for ours, t in enumerate(theirs):
    if t >= 0:
      out[t] = ours
  return out


def foreign(vocab: vocabs.Vocab) -> bool:
  """Whether the vocabulary has other ids than the tokenizer file it is made
  of."""
  return isinstance(vocab, vocabs.Mapped) and vocab.kind != 'gpt2_used' and (
      vocab.theirs != tuple(range(len(vocab))))


def to_theirs(params: Mapping, cfg: ModelConfig, family: str, order: np.ndarray
              ) -> dict:
  """{their name: array}: of our parameters, with embedding rows in `order`.
  Raises BadInput for a parameter that their model does not have."""
  flat = {f'{a}.{b}': np.asarray(x) for a in params
          for b, x in params[a].items()}
  table = tensors(cfg, family)
  unknown = sorted(set(flat) - {p for t in table for p in t.parts})
  if unknown:
    raise BadInput(f'our model has {", ".join(unknown)}, which a {family} does '
                   'not have')
  out = {}
  for t in table:
    if t.parts[0] not in flat:  # a bias that ours lacks
      shapes = {'query': (cfg.heads, cfg.head), 'key': (cfg.heads, cfg.head),
                'value': (cfg.heads, cfg.head), 'up': (cfg.mlp_width,)}
      ours = [np.zeros(shapes.get(p.split('bias_')[1], (cfg.width,)),
                       np.float32) for p in t.parts]
    else:
      ours = [flat[p] if t.layer is None else flat[p][t.layer]
              for p in t.parts]
    if t.parts[0] in ('ends.embedding', 'ends.output'):
      ours = [ours[0][order]]
    out[t.name] = np.ascontiguousarray(t.there(*ours), np.float32)
  return out


def _check_unread(theirs: dict, read: set[str], cfg: ModelConfig,
                  family: str) -> None:
  """Raises BadInput for a tensor that nothing has read, but for buffers and for
  a head that equals the embedding that it is tied to."""
  for name in sorted(theirs.keys() - read):
    if name.endswith(BUFFERS):
      continue
    if cfg.tie_embeddings and name in ('lm_head.weight', 'embed_out.weight'):
      embedding = theirs['gpt_neox.embed_in.weight' if family == 'gpt_neox'
                         else 'model.embed_tokens.weight']
      if np.array_equal(theirs[name], embedding):
        continue
      raise BadInput(f'tensor {name} differs from the embedding, but '
                     'config.json has tie_word_embeddings true; wanted false, '
                     'or no such tensor')
    raise BadInput(f'tensor {name} is none of a {family} by config.json; '
                   'wanted a file without it')


def to_ours(theirs: dict, cfg: ModelConfig, family: str, order: np.ndarray
            ) -> dict:
  """Our parameters of their arrays. Raises BadInput for a missing tensor, one
  of another shape, and one that our model would not read."""
  abstract = restore.abstract_params(cfg)
  want = {f'{a}.{b}': x.shape for a in abstract
          for b, x in abstract[a].items()}
  out = {k: np.zeros(s, np.float32) for k, s in want.items()}
  read = set()
  for t in tensors(cfg, family):
    name = t.name if t.name in theirs else t.name.replace(
        'embed_out', 'lm_head')
    if name not in theirs:
      raise BadInput(f'no tensor {t.name} among the {len(theirs)} found; '
                     f'wanted a {family} of {cfg.depth} layers')
    read.add(name)
    got = theirs[name]
    table = t.parts[0] in ('ends.embedding', 'ends.output')
    shapes = [want[p][t.layer is not None:] for p in t.parts]
    example = t.there(*[np.broadcast_to(np.float32(0), s) for s in shapes])
    fits = got.ndim == 2 and got.shape[1] == cfg.width and (
        got.shape[0] >= len(order)) if table else got.shape == example.shape
    if not fits:
      wanted = f'[>= {len(order)}, {cfg.width}]' if table else (
          list(example.shape))
      raise BadInput(f'tensor {t.name} is {list(got.shape)}, wanted {wanted} '
                     'by config.json')
    if table:
      count = min(len(got), want[t.parts[0]][0])
      same = np.array_equal(order, np.arange(len(order)))
      where = np.arange(count) if same else order
      out[t.parts[0]][where] = got[:len(where)]
      continue
    for part, x in zip(t.parts, t.back(got)):
      out[part][... if t.layer is None else t.layer] = x
  _check_unread(theirs, read, cfg, family)
  return {'ends': {k[5:]: v for k, v in out.items() if k.startswith('ends.')},
          'layers': {k[7:]: v for k, v in out.items()
                     if k.startswith('layers.')}}


def write_weights(folder: Path, arrays: dict, shard: int) -> None:
  """model.safetensors, or several of at most `shard` bytes and an index."""
  save = need('safetensors.numpy', 'huggingface').save_file
  parts, room = [{}], shard
  for name, x in arrays.items():
    if x.nbytes > room and parts[-1]:
      parts.append({})
      room = shard
    parts[-1][name] = x
    room -= x.nbytes
  for old in folder.glob('model*.safetensors*'):
    old.unlink()
  if len(parts) == 1:
    save(parts[0], folder / 'model.safetensors', {'format': 'pt'})
    return
  where = {}
  for i, part in enumerate(parts):
    name = f'model-{i + 1:05}-of-{len(parts):05}.safetensors'
    save(part, folder / name, {'format': 'pt'})
    where |= dict.fromkeys(part, name)
  total = sum(x.nbytes for x in arrays.values())
  run_dir.write_json(folder / 'model.safetensors.index.json', {
      'metadata': {'total_size': total}, 'weight_map': where})


def read_weights(folder: Path) -> dict:
  """{name: array} of one file or several. Raises BadInput."""
  lib = need('safetensors.numpy', 'huggingface')
  index = folder / 'model.safetensors.index.json'
  names = ['model.safetensors']
  if index.exists():
    names = sorted(set(run_dir.read_json(index)['weight_map'].values()))
  out = {}
  for name in names:
    try:
      got = lib.load_file(folder / name)
    except FileNotFoundError:
      raise BadInput(f'no {name} in {folder}; wanted model.safetensors, or '
                     'all shards of its index') from None
    except Exception as e:  # the library raises its own kinds
      raise BadInput(f'{folder / name} is no safetensors file: '
                     f'{str(e)[:200]}') from None
    out |= {k: np.asarray(v, np.float32) for k, v in got.items()}
  return out


def hf_tokenizer(vocab: vocabs.Vocab) -> tuple[Any, str, str]:
  """The vocabulary as a tokenizers.Tokenizer whose ids are those of the
  exported model and whose output begins with the end token; with the texts of
  the end token and of padding. A closed vocabulary maps other words to padding.
  Raises BadInput for a vocabulary that has no such file."""
  lib = need('tokenizers', 'huggingface')
  marks, base = (), vocab
  if isinstance(vocab, vocabs.Marked):
    marks, base = vocab.marks, vocab.base
  pad, end = '<pad>', '<eos>'
  if base.kind == 'piece':
    raise BadInput("vocab 'piece' knows pieces, not texts: wanted another "
                   'data.vocab, as word')
  if base.kind == 'seqio':
    raise BadInput("the vocabulary of a seqio Task has no tokenizer.json: "
                   'wanted a data.vocab of ours, or a path')
  if marks and base.kind == 'sentencepiece':
    raise BadInput(f'{base.source} has marks over a SentencePiece model (fill '
                   'in the middle): wanted another data.vocab, as bpe:SIZE')
  if isinstance(base, vocabs.Word):
    tok = lib.Tokenizer(lib.models.WordLevel(
        {w: i for i, w in enumerate(base.words)}, unk_token=pad))
    tok.pre_tokenizer = lib.pre_tokenizers.Split(
        lib.Regex(vocabs.WORD), 'isolated')
    tok.decoder = lib.decoders.Fuse()
  elif isinstance(base, vocabs.Byte):
    entries = {pad: 0, end: 1} | {
        c: b + 2 for b, c in vocabs.byte_letters().items()}
    tok = vocabs.byte_level(
        lib.Tokenizer(lib.models.BPE(entries, [])), lib, regex=False)
  elif base.kind == 'gpt2_used' or (marks and foreign(base)):
    tok = renumbered_bpe(lib, base, pad, len(vocab))
    end = base.source.id_to_token(base.theirs[vocabs.EOS])
  else:
    tok = (spm.sentencepiece_tokenizer(base.source)
           if base.kind == 'sentencepiece'
           else lib.Tokenizer.from_str(base.source.to_str()))
    end = tok.id_to_token(base.theirs[vocabs.EOS])
    pad = tok.id_to_token(base.theirs[vocabs.PAD]) if (
        base.theirs[vocabs.PAD] >= 0) else end
  tok.add_special_tokens(list(dict.fromkeys([pad, end])))
  if marks:
    tok.add_special_tokens(list(marks))
  at = tok.token_to_id(end)
  tok.post_processor = lib.processors.TemplateProcessing(
      single=f'{end} $A', pair=f'{end} $A {end} $B', special_tokens=[(end, at)])
  return tok, end, pad


def renumbered_bpe(lib: ModuleType, base: vocabs.Mapped, pad: str, first: int
                   ) -> Any:
  """A BPE with our ids. Merges need all of its entries: those that ours
  leaves out are numbered from `first` on, beyond the model."""
  data = json.loads(base.source.to_str())
  entries = data['model']['vocab']
  if not isinstance(entries, dict):
    raise BadInput(f'a tokenizer of type {data["model"]["type"]} cannot be '
                   'renumbered, wanted a BPE')
  left = sorted(set(entries.values()) - set(base.theirs))
  ours = {t: i for i, t in enumerate(base.theirs) if t >= 0} | {
      t: first + i for i, t in enumerate(left)}
  data['model']['vocab'] = {k: ours[t] for k, t in entries.items()} | {pad: 0}
  data['added_tokens'] = [t for t in data['added_tokens']
                          if t['content'] not in entries]
  return lib.Tokenizer.from_str(json.dumps(data))


def write_tokenizer(folder: Path, made: tuple[Any, str, str]) -> None:
  """tokenizer.json and tokenizer_config.json of what `hf_tokenizer` made."""
  tok, end, pad = made
  run_dir.write(folder / 'tokenizer.json', tok.to_str(pretty=True))
  run_dir.write_json(folder / 'tokenizer_config.json', {
      'tokenizer_class': 'PreTrainedTokenizerFast', 'bos_token': end,
      'eos_token': end, 'pad_token': pad,
      'clean_up_tokenization_spaces': False})


def export(run: Path, out: Path, shard: int = 2 << 30) -> dict:
  """Writes a run's newest checkpoint to `out`; returns what was written.
  Raises BadInput for a model that neither family can hold, and for an `out`
  that holds a run."""
  need('safetensors.numpy', 'huggingface')
  for name in ('metrics.jsonl', 'checkpoints', 'done'):
    if (out / name).exists():
      raise BadInput(f'{out} holds a run ({name}), wanted a folder of its own')
  got = restore.load_run(run)
  family, vocab = family_of(got.cfg), got.data.vocab
  made = hf_tokenizer(vocab)
  order = row_map(vocab, len(vocab))  # no row that pads the embedding
  arrays = to_theirs(got.params, got.cfg, family, order)
  theirs = foreign(vocab)
  end = vocab.theirs[vocabs.EOS] if theirs else vocabs.EOS
  pad = vocab.theirs[vocabs.PAD] if theirs else vocabs.PAD
  with disk_errors(out):
    out.mkdir(parents=True, exist_ok=True)
    write_weights(out, arrays, shard)
    write_tokenizer(out, made)
    run_dir.write_json(out / 'config.json', their_config(
        got.cfg, family, len(order), got.data.seq_len, end,
        pad if pad >= 0 else None))
    run_dir.write_json(out / 'generation_config.json', {
        'bos_token_id': end, 'eos_token_id': end,
        'pad_token_id': pad if pad >= 0 else end})
    run_dir.write_json(out / SIDECAR, {
        'config': plain_config(got.config), 'step': got.step,
        'vocab': {'kind': vocab.kind, 'sha256': vocab.hash}})
  return {'family': family, 'tensors': len(arrays), 'step': got.step,
          'parameters': sum(x.size for x in arrays.values())}


def bring(folder: Path, run: Path, base: str | None = None) -> dict:
  """Makes a finished run folder of their model; returns what was made. The
  config is the one that it was exported with, else `base` (default:
  configs/default.py) with the model's shape and tokenizer. Raises BadInput."""
  if not (folder / 'config.json').exists():
    raise BadInput(f'no config.json in {folder}, wanted a folder of '
                   'transformers: config.json, weights and tokenizer')
  theirs = run_dir.read_json(folder / 'config.json')
  model_, family = our_model(theirs), theirs['model_type']
  if run.exists() and any(run.iterdir()):
    raise BadInput(f'{run} is not empty, wanted a new run folder')
  arrays = read_weights(folder)
  sidecar = folder / SIDECAR
  with disk_errors(run), contextlib.ExitStack() as stack:
    stack.callback(shutil.rmtree, run, ignore_errors=True)  # unless complete
    run.mkdir(parents=True, exist_ok=True)
    if sidecar.exists() and base is None:
      config = restore.config_from_plain(run_dir.read_json(sidecar)['config'])
    else:
      config = load_config(base) if base else default.get_config().lock()
      config = override(config, {'data.vocab': _own_tokenizer(folder, run)})
    config = override(config, model_ | {'init_from': None})
    data = load_mixture(config)
    wanted = run_dir.read_json(sidecar)['vocab']['sha256'] if (
        sidecar.exists() and base is None) else data.vocab.hash
    if data.vocab.hash != wanted:
      raise BadInput(f'vocab {data.vocab.kind} made here has sha256 '
                     f'{data.vocab.hash[:8]}, {sidecar} wanted {wanted[:8]}')
    cfg = model_config(config, len(data.vocab))
    order = row_map(data.vocab, len(data.vocab))
    params = jax.tree.map(jax.numpy.asarray,
                          to_ours(arrays, cfg, family, order))
    plain = plain_config(config)
    with contextlib.closing(checkpoint.Checkpoints(run)) as saved:
      nothing = {'none': jax.numpy.zeros(1)}  # moments: it is not resumed
      saved.save(0, params, nothing, {'step': 0, 'run': run_id(plain)})
    run_dir.write_json(run / 'config.json', plain)
    run_dir.write_json(run / 'meta.json', run_dir.run_metadata(
        config, data.vocab, f'import of {folder}', jax.devices()[0], 1))
    run_dir.write_json(run / 'done', {'steps': 0, 'seconds': 0.0})
    stack.pop_all()
  return {'family': family, 'tensors': len(arrays), 'changes': model_ | {
      'data.vocab': config.data.vocab}}


def _own_tokenizer(folder: Path, run: Path) -> str:
  """Copies their tokenizer into the run; its path."""
  for name in ('tokenizer.json', 'tokenizer.model'):
    if (folder / name).exists():
      for file in (name, 'tokenizer_config.json'):
        if (folder / file).exists():
          shutil.copyfile(folder / file, run / file)
      return str((run / name).absolute())
  raise BadInput(f'no tokenizer.json or tokenizer.model in {folder}; wanted '
                 'the tokenizer beside the weights')


def read_size(text: str) -> int:
  """Bytes of '2GB', '500MB' or '1000'. Raises BadInput."""
  match = re.fullmatch(r'(\d+)\s*([KMG]?)B?', text.upper())
  if not match or not int(match[1]):
    raise BadInput(f'--shard is {text!r}, wanted a size as 2GB or 500MB')
  return int(match[1]) * 1000 ** ' KMG'.index(match[2] or ' ')


@command
def main(argv: Sequence[str] | None = None) -> None:
  """The command line."""
  p = argument_parser('physics_lm.interop.huggingface', __doc__)
  p.add_argument('what', choices=('export', 'import'))
  p.add_argument('source', type=Path, help='a run folder; to import, theirs')
  p.add_argument('out', type=Path)
  p.add_argument('--shard', default='2GB', help='largest file of weights')
  p.add_argument('--config', help="of an import: the new run's data and evals")
  a = p.parse_args(argv)
  if a.what == 'export':
    made = export(a.source, a.out, read_size(a.shard))
    print(f'{a.out}: {made["family"]}, {made["tensors"]} tensors, '
          f'{made["parameters"]} parameters of step {made["step"]}')
    return
  made = bring(a.source, a.out, a.config)
  flags = ' '.join(f'--config.{k}={v}' for k, v in made['changes'].items())
  print(f'{a.out}: {made["family"]}, {made["tensors"]} tensors; start from it '
        f'with --config.init_from={a.out} {flags}')


if __name__ == '__main__':
  main()
