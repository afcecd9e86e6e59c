"""Decoding: greedy, sampling and beam search, a batch of prompts at once.

Prompts of different length are padded on the left, so that each new token has
the same column in all rows; keys and values are cached, [B, K, S, H] a layer. A
token costs one column. Rows are sharded over the mesh as in training. Experts
drop no token that is generated, one at a time; of prompts, read at once, they
may drop what is beyond their capacity in evaluation.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from physics_lm import vocab as vocabs
from physics_lm.errors import BadInput
from physics_lm.model import decoder, kernels, sharding
from physics_lm.model.canon import no_taps
from physics_lm.model.config import ModelConfig
from physics_lm.progress import Progress

_ROUND = 16  # columns: prompts are padded to a multiple, for few compilations
# On a CPU the keys and values of a batch are read once a token: up to 1.5 times
# faster from its own memory (bench/DECODE.md). Bytes, and least rows.
_CPU_CACHE, _LEAST_ROWS = 2**24, 32
_SILENT = 30.0  # seconds between two lines that tell how far decoding is


class DecodingMethod(NamedTuple):
  """How the next token is chosen; by default, greedily."""

  temperature: float = 0.0  # of sampling; 0: the likeliest token
  top_k: int = 0  # sample among this many likeliest; 0: among all
  beams: int = 1  # kept, by summed log-probability; no sampling


GREEDY = DecodingMethod()


def decoding_method(text: str) -> DecodingMethod:
  """'greedy', 'sample', 'sample:TEMPERATURE', 'sample:TEMPERATURE:TOP_K' or
  'beam:WIDTH'. Raises BadInput."""
  kind, *numbers = text.split(':')
  try:
    if kind == 'greedy' and not numbers:
      return GREEDY
    if kind == 'sample' and len(numbers) < 3:
      made = DecodingMethod(float(numbers[0]) if numbers else 1.0,
                            int(numbers[1]) if len(numbers) > 1 else 0)
      if made.temperature > 0 and made.top_k >= 0:
        return made
    if kind == 'beam' and len(numbers) == 1 and int(numbers[0]) > 0:
      return DecodingMethod(beams=int(numbers[0]))
  except ValueError:
    pass
  raise BadInput(f'decoding by {text!r}, wanted greedy, sample, '
                 'sample:TEMPERATURE, sample:TEMPERATURE:TOP_K or beam:WIDTH')


def greedy_decode(params: dict, cfg: ModelConfig, prompts: Sequence[list[int]],
                  steps: int, entries: int | None = None) -> list[list[int]]:
  """The likeliest token at each step; see `generate`."""
  return generate(params, cfg, prompts, steps, entries=entries)


def generate(params: dict, cfg: ModelConfig, prompts: Sequence[list[int]],
             steps: int, how: DecodingMethod = GREEDY, *,
             entries: int | None = None, batch: int | None = None,
             seed: int = 0, numbers: Sequence[int] | None = None,
             stop: int = vocabs.EOS, width: int = 0) -> list[list[int]]:
  """A continuation of each prompt (a list of ids, not empty).

  Args:
    steps: the most ids of a continuation.
    entries: of the vocabulary; padding rows of the embedding are never chosen.
    batch: prompts at a time, a multiple of the devices that rows are sharded
      over; None: all. A prompt that follows itself in all batches, as for many
      samples of each, is read once for all of its copies in a batch.
    seed, numbers: samples depend on the seed and the prompt's number (by
      default its index), not on the other prompts of its batch.
    stop: a token after which to stop, besides the end token.
    width: the least length that prompts are padded to: calls of one width share
      a compilation.

  Returns:
    ids of each continuation, without the end token, with `stop`.

  Raises:
    BadInput: the model is a masked language model, or has parameters for fewer
      positions.
  """
  if not len(prompts):
    return []
  if not cfg.causal:
    raise BadInput('a masked language model (data.mlm_probability above 0) '
                   'generates no text, wanted a causal one')
  return [_cut(ids, stop) for ids, _ in _in_batches(
      params, cfg, prompts, steps, how, entries, batch, seed, numbers, stop,
      width)]


def sample_tokens(params: dict, cfg: ModelConfig, prompts: Sequence[list[int]],
                  steps: int, temperature: float = 1.0, *,
                  entries: int | None = None, batch: int | None = None,
                  seed: int = 0, numbers: Sequence[int] | None = None,
                  width: int = 0) -> list[tuple[list[int], list[float]]]:
  """Samples, as of `generate`, with the log-probability of each token at this
  temperature: (ids, log-probabilities) of each prompt. An answer that has ended
  includes its end token; one of `steps` ids without it has not."""
  out = []
  for ids, logp in _in_batches(
      params, cfg, prompts, steps, DecodingMethod(temperature), entries, batch,
      seed, numbers, vocabs.EOS, width):
    n = ids.index(vocabs.EOS) + 1 if vocabs.EOS in ids else steps
    out.append((ids[:n], logp[:n]))
  return out


def check_positions(cfg: ModelConfig, longest: int) -> None:
  """Raises BadInput for a text of more tokens than the model has parameters
  for."""
  if 0 < cfg.max_positions < longest:
    raise BadInput(f'{longest} tokens of a text, wanted at most '
                   f'{cfg.max_positions} (data.seq_len) of '
                   f'model.positions={cfg.positions}')


def check_continuations(cfg: ModelConfig, prompts: Iterable[Sequence[int]],
                        steps: int) -> None:
  """Raises BadInput, before a training that ends with them, for prompts that
  the model cannot continue by `steps` tokens."""
  if cfg.max_positions:
    check_positions(cfg, max(map(len, prompts)) + steps)


def _in_batches(params, cfg, prompts, steps, how, entries, batch, seed, numbers,
                stop, width):
  """(ids, their log-probabilities), `steps` of each, of each prompt."""
  check_positions(cfg, max(map(len, prompts)) + steps)
  batch = batch or len(prompts)
  numbers = range(len(prompts)) if numbers is None else numbers
  width = prompt_width(max(width, *map(len, prompts)))
  run = program(how)
  copies = 1 if how.beams > 1 else _copies(prompts, batch)
  batch = _rows_at_a_time(batch, copies, cfg, width + steps, how.beams)
  progress = Progress(len(prompts), 0, 'decoding', 'prompt', _SILENT, bar=False)
  for at in range(0, len(prompts), batch):
    part = list(range(at, min(at + batch, len(prompts))))
    real = len(part)
    part += part[-1:] * (batch - real)  # one shape, one compilation
    tokens = np.full((batch // copies, width), vocabs.PAD, np.int32)
    for row, i in enumerate(part[::copies]):
      tokens[row, width - len(prompts[i]):] = prompts[i]
    first = np.array([width - len(prompts[i]) for i in part[::copies]],
                     np.int32)
    ids, logp = run(
        params, tokens, first, np.array([numbers[i] for i in part], np.uint32),
        np.uint32(seed), steps, cfg, entries or cfg.vocab, how, stop)
    yield from zip(np.asarray(ids)[:real].tolist(),
                   np.asarray(logp)[:real].tolist())
    if jax.process_index() == 0:
      progress.update(at + real)


def _copies(prompts: Sequence[list[int]], batch: int) -> int:
  """How often each prompt occurs in succession, the same for all: the largest
  such number that divides the batches, each over all devices."""
  run = next((i for i, p in enumerate(prompts) if p != prompts[0]),
             len(prompts))
  return next((n for n in range(run, 1, -1)
               if batch % n == 0 and batch // n % jax.device_count() == 0
               and all(p == prompts[i - i % n] for i, p in enumerate(prompts))),
              1)


def _rows_at_a_time(batch: int, copies: int, cfg: ModelConfig, columns: int,
                    beams: int) -> int:
  """A batch as large, or on a CPU a smaller one whose keys and values of
  `columns` columns a beam stay in the processor's own memory: as even a part
  of `batch` as whole prompts allow."""
  row = 2 * cfg.depth * cfg.kv_heads * cfg.head * columns * (
      jnp.dtype(cfg.dtype).itemsize)
  most = max(max(_LEAST_ROWS, _CPU_CACHE // row) // beams, 1)
  if sharding.platform() != 'cpu' or batch <= most:
    return batch
  unit = copies * jax.device_count()
  return -(-batch // -(-batch // most) // unit) * unit


def _cut(ids: list[int], stop: int) -> list[int]:
  if vocabs.EOS in ids:
    ids = ids[:ids.index(vocabs.EOS)]
  return ids[:ids.index(stop) + 1] if stop in ids else ids


def prompt_width(length: int) -> int:
  """The columns that prompts of at most `length` ids are padded to."""
  return -(-length // _ROUND) * _ROUND


def program(how: DecodingMethod) -> Callable:
  """The jitted function that decodes a batch in this way: (params, tokens
  [B, T], column in which each text begins [B], number of each prompt [B], seed,
  steps, cfg, entries, how, stop) -> (ids [B, steps], log-probability of each
  when sampled, else 0)."""
  return _beams if how.beams > 1 else _single


_jit = functools.partial(jax.jit, static_argnames=(
    'steps', 'cfg', 'entries', 'how', 'stop'))


@_jit
def _single(params, tokens_BT, first_B, number_B, seed, steps, cfg, entries,
            how, stop):
  """Greedy or sampled ids, [B, steps]; the end token fills up. `tokens_BT` may
  have fewer rows: each is then the prompt of several in succession."""
  read, logits_BV, pasts = _prompt(params, tokens_BT, first_B, steps, cfg,
                                   entries)
  B = len(number_B)
  if B > len(tokens_BT):
    logits_BV, pasts = _repeated(logits_BV, pasts, B // len(tokens_BT))
  # One number a token and row, all drawn at once; a row's depend on its own
  # number alone.
  u_BT = jax.vmap(lambda n: jax.random.uniform(jax.random.fold_in(
      jax.random.key(seed), n), (steps,)))(number_B)

  def choose(logits_BV, i):
    if not how.temperature:
      return logits_BV.argmax(-1), jnp.zeros(B)
    logits_BV /= how.temperature
    if how.top_k:
      least = jax.lax.top_k(logits_BV, min(how.top_k, entries))[0][:, -1:]
      logits_BV = jnp.where(logits_BV < least, -jnp.inf, logits_BV)
    return _drawn(logits_BV, u_BT[:, i])

  def one(carry):
    i, logits_BV, done_B, out_BT, logp_BT, pasts = carry
    token_B, logp_B = choose(logits_BV, i)
    token_B = jnp.where(done_B, vocabs.EOS, token_B)
    done_B |= (token_B == vocabs.EOS) | (token_B == stop)
    logits_BV, pasts = read(token_B[:, None], pasts)
    return (i + 1, logits_BV, done_B, out_BT.at[:, i].set(token_B),
            logp_BT.at[:, i].set(logp_B), pasts)

  _, _, _, out, logp, _ = jax.lax.while_loop(
      lambda c: (c[0] < steps) & ~c[2].all(), one,
      (0, logits_BV, jnp.zeros(B, bool),
       jnp.full((B, steps), vocabs.EOS, jnp.int32), jnp.zeros((B, steps)),
       pasts))
  # All of it on every host.
  return tuple(sharding.constrain(x, None, None) for x in (out, logp))


def _drawn(logits_BV, u_B):
  """(a token of each row by its number u in [0, 1), its log-probability): the
  first whose cumulative probability exceeds u. A draw of Gumbel noise a token
  of the vocabulary would take longer than the rest of a step."""
  top_B1 = logits_BV.max(-1, keepdims=True)
  mass_BV = jnp.exp(logits_BV - top_B1)
  below_BV = jnp.cumsum(mass_BV, -1)
  total_B = below_BV[:, -1]
  token_B = (below_BV <= (u_B * total_B)[:, None]).sum(-1)
  # By rounding, u times the total may be the total.
  token_B = jnp.where(token_B < logits_BV.shape[1], token_B,
                      logits_BV.argmax(-1))
  chosen_B = jnp.take_along_axis(logits_BV, token_B[:, None], -1)[:, 0]
  return token_B, chosen_B - top_B1[:, 0] - jnp.log(total_B)


@_jit
def _beams(params, tokens_BT, first_B, number_B, seed, steps, cfg, entries,
           how, stop):
  """Ids of the likeliest of W beams, [B, steps]. A finished beam keeps its
  score; once it is the likeliest, no other can overtake it."""
  B, W, V = len(tokens_BT), how.beams, entries
  read, logits_BV, pasts = _prompt(params, tokens_BT, first_B, steps, cfg, V)
  # All beams begin alike: only the first of them counts.
  score_BW = jnp.broadcast_to(jnp.where(jnp.arange(W) > 0, -jnp.inf, 0.0),
                              (B, W))
  ended_V = jnp.where(jnp.arange(V) == vocabs.EOS, 0.0, -jnp.inf)

  def one(carry):
    i, logits_MV, score_BW, done_BW, out_BWT, pasts = carry
    each_BWV = jnp.where(done_BW[..., None], ended_V, jax.nn.log_softmax(
        logits_MV).reshape(B, W, V))
    score_BW, best_BW = jax.lax.top_k(
        (score_BW[..., None] + each_BWV).reshape(B, W * V), W)
    place_BW = _places(best_BW // V)
    score_BW, best_BW = (jnp.take_along_axis(x, place_BW, 1)
                         for x in (score_BW, best_BW))
    from_BW, token_BW = best_BW // V, best_BW % V
    done_BW, out_BWT = (jnp.take_along_axis(x, from_BW.reshape(
        B, W, *(1,) * (x.ndim - 2)), 1) for x in (done_BW, out_BWT))
    done_BW |= (token_BW == vocabs.EOS) | (token_BW == stop)
    out_BWT = out_BWT.at[:, :, i].set(token_BW)
    logits_MV, pasts = read(token_BW.reshape(-1, 1), _moved(pasts, from_BW))
    return i + 1, logits_MV, score_BW, done_BW, out_BWT, pasts

  def likeliest(score_BW, x):
    return jnp.take_along_axis(x, score_BW.argmax(-1).reshape(
        B, *(1,) * (x.ndim - 1)), 1)[:, 0]

  logits_MV, pasts = _repeated(logits_BV, pasts, W)
  _, _, score_BW, _, out_BWT, _ = jax.lax.while_loop(
      lambda c: (c[0] < steps) & ~likeliest(c[2], c[3]).all(), one,
      (0, logits_MV, score_BW, jnp.zeros((B, W), bool),
       jnp.full((B, W, steps), vocabs.EOS, jnp.int32), pasts))
  out = sharding.constrain(likeliest(score_BW, out_BWT), None, None)
  return out, jnp.zeros(out.shape)


def _places(from_BW):
  """Which of the W kept continuations, of these beams, goes to each place,
  [B, W]: the likeliest continuation of a beam to the beam's own, so that its
  cache need not move, and the others to the places of beams that end."""
  W = from_BW.shape[1]
  same_BWW = from_BW[:, :, None] == from_BW[:, None, :]
  further_BW = jnp.tril(same_BWW, -1).any(-1)
  kept_BW = (from_BW[:, None, :] == jnp.arange(W)[:, None]).any(-1)
  free_BW = jnp.argsort(kept_BW, -1, stable=True)
  to_BW = jnp.where(further_BW, jnp.take_along_axis(
      free_BW, jnp.cumsum(further_BW, -1) - further_BW, 1), from_BW)
  return jnp.argsort(to_BW, -1)


def _moved(pasts, from_BW):
  """The caches of beams that continue these. A beam that others continue stays
  at its place (_places)."""
  B, W = from_BW.shape
  from_M = (from_BW + W * jnp.arange(B)[:, None]).reshape(-1)
  alone = sharding.platform() == 'cpu' and jax.device_count() == 1
  caches = (_rows_in_place if alone else _gathered_rows)(
      [(p.k_BKSH, p.v_BKSH, p.taps) for p in pasts], from_M)
  return [p._replace(k_BKSH=k, v_BKSH=v, taps=taps)
          for p, (k, v, taps) in zip(pasts, caches)]


def _gathered_rows(tree, from_M):
  """Rows [M, ...] of all arrays, those of these numbers."""
  return jax.tree.map(lambda x_M: x_M[from_M], tree)


def _rows_in_place(tree, from_M):
  """As _gathered_rows, where a row that others are taken from stays: one after
  another, in place. A gather would write all rows, and the loop over tokens
  copy them once more."""
  moved_M = from_M != jnp.arange(len(from_M))
  to_M = jnp.argsort(~moved_M, stable=True)

  def move(i, tree):
    return jax.tree.map(lambda x_M: jax.lax.dynamic_update_slice_in_dim(
        x_M, jax.lax.dynamic_slice_in_dim(x_M, from_M[to_M[i]], 1), to_M[i], 0),
                        tree)

  return jax.lax.fori_loop(0, moved_M.sum(), move, tree)


def _repeated(logits_BV, pasts, times: int):
  """Logits and caches with each row several times in succession."""
  logits_MV, parts = jax.tree.map(
      lambda x: jnp.repeat(x, times, 0),
      (logits_BV, [p._replace(column=None) for p in pasts]))
  return logits_MV, [part._replace(column=p.column)
                     for p, part in zip(pasts, parts)]


def _prompt(params, tokens_BT, first_B, steps: int, cfg: ModelConfig,
            entries: int):
  """Reads the prompts: (read, logits of the next token [B, V], caches), where
  read(tokens_BT, caches) returns the next (logits, caches)."""
  # Split once, not at every token.
  layers = [jax.tree.map(operator.itemgetter(i), params['layers'])
            for i in range(cfg.depth)]
  ends, block = {'params': params['ends']}, decoder.Block(cfg)

  def read(tokens_BT, pasts):
    column, first_B = pasts[0].column, pasts[0].first_B
    positions_BT = column + jnp.arange(tokens_BT.shape[1]) - first_B[:, None]
    segments_BT = (positions_BT >= 0).astype(jnp.int32)
    at_BT = jnp.maximum(positions_BT, 0)
    x_BTD = decoder.EmbedUnembed(cfg).apply(ends, tokens_BT, at_BT,
                                            method='embed')
    new = []
    for weights, past in zip(layers, pasts):
      (x_BTD, _), cache = block.apply(
          {'params': weights, 'cache': {'past': past}}, x_BTD, segments_BT,
          at_BT, mutable='cache')
      new.append(cache['cache']['past'])
    h_BTD, table_VD = decoder.EmbedUnembed(cfg).apply(
        ends, x_BTD[:, -1:], method='last')
    logits_BTV = jnp.einsum('BTD,VD->BTV', h_BTD, table_VD[:entries],
                            preferred_element_type=jnp.float32)
    return logits_BTV[:, 0], new

  B, T = tokens_BT.shape
  empty = sharding.constrain(
      jnp.zeros((B, cfg.kv_heads, T + steps, cfg.head), cfg.dtype),
      'batch', 'kv_heads', 'length', 'head')
  tokens_BT = sharding.constrain(tokens_BT, 'batch', 'length')
  past = kernels.KVCache(empty, empty, jnp.int32(0), first_B, no_taps(cfg, B))
  return read, *read(tokens_BT, [past] * cfg.depth)
