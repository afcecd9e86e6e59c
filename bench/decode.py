"""What sampling and a step of reinforcement learning cost, two ways each.

  taskset -c 0 python bench/decode.py

Samples of groups of 8 at three lengths: with Gumbel noise for every token of
the vocabulary, each sample's prompt read for itself, all rows at a time and
cosines of positions computed at every token, and with one number a token, a
prompt read once a group, as many rows as the processor's own memory holds and a
table of cosines (physics_lm/model/decode.py, positions.py). Then a step
of reinforcement learning on compositions at depth 6: the rollout, and the
update of all 128 rows, of half and of a quarter of them, as when the others
have no advantage (physics_lm/posttrain/feed.py), and both together in tokens
sampled a second. Last, beam search: with a gather of all caches at every token
and all prompts at a time, and with copies of those caches alone whose beam ends
and few prompts at a time. Processor time, so that other programs do not count;
median of five.
"""

import argparse
import dataclasses
import functools
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jax
import numpy as np

from physics_lm import train_step
from physics_lm.config import override
from physics_lm.configs import compose
from physics_lm.mixture import load_mixture
from physics_lm.model import decode, decoder, positions
from physics_lm.posttrain import feed

GROUP, ROWS = 8, 128
SHARES = (1, 2, 4)  # rows of a rollout over those with an advantage
SHAPES = ((16, 16), (16, 48), (64, 64))  # tokens of a prompt, and new ones
NEW_WAY = (decode._drawn, decode._copies, decode._rows_at_a_time,
           decoder.rotate)


def gumbel_drawn(logits_BV, u_B):
  """A token of each row by noise on every entry."""
  bits = jax.lax.bitcast_convert_type(u_B, np.uint32)
  noise_BV = jax.vmap(lambda n: jax.random.gumbel(
      jax.random.key(n), logits_BV.shape[1:]))(bits)
  token_B = (logits_BV + noise_BV).argmax(-1)
  return token_B, jax.nn.log_softmax(logits_BV)[
      np.arange(len(u_B)), token_B]


def each_prompt(prompts, batch):
  """Copies of a prompt that share its reading: none."""
  return 1


def all_rows(batch, *_):
  """Rows at a time: all of them."""
  return batch


def computed(x_BTNH, positions_BT, cfg, columns=0):
  """Rotary positions whose cosines are computed where they are used."""
  return positions.rotate(x_BTNH, positions_BT, cfg)


def seconds(*works) -> list[float]:
  """Processor time of a call of each, the median of five taken in turn, after
  one that compiles."""
  out = []
  for _ in range(6):
    out.append([])
    for work in works:
      began = time.process_time()
      work()
      out[-1].append(time.process_time() - began)
  return np.median(out[1:], 0).tolist()


def sampling(params, cfg):
  """Prints tokens/s of both ways at all shapes."""
  rng = np.random.default_rng(0)
  print('| prompt + new tokens | noise for every entry, a reading a sample, '
        'cosines a token, all rows: k tokens/s | one number, a reading a '
        'prompt, a table of cosines, rows by memory: k tokens/s | factor |\n'
        '|---|---|---|---|')
  # A config of its own keeps the program of each: decoding reads no `unroll`.
  ways = ((gumbel_drawn, each_prompt, all_rows, computed),
          dataclasses.replace(cfg, unroll=1)), (NEW_WAY, cfg)
  for prompt, new in SHAPES:
    prompts = [p for p in rng.integers(2, cfg.vocab, (
        ROWS // GROUP, prompt)).tolist() for _ in range(GROUP)]
    counts = [0, 0]

    def sample(k, prompts=prompts, new=new, counts=counts):
      (decode._drawn, decode._copies, decode._rows_at_a_time,
       decoder.rotate), own = ways[k]
      out = decode.sample_tokens(params, own, prompts, new)
      counts[k] = sum(len(ids) for ids, _ in out)  # some end early

    took = seconds(*(functools.partial(sample, k) for k in (0, 1)))
    old, now = (n / t / 1e3 for n, t in zip(counts, took))
    print(f'| {prompt} + {new} | {old:.0f} | {now:.0f} | {now / old:.2f} |',
          flush=True)


def beams(params, cfg):
  """Prints milliseconds a prompt of both ways at two widths."""
  rng = np.random.default_rng(0)
  print('\n| beams (48 + 96 tokens) | gather, all prompts: ms a prompt | '
        'copies in place, few prompts: ms a prompt | factor |\n'
        '|---|---|---|---|')
  prompts = rng.integers(2, cfg.vocab, (16, 48)).tolist()
  ways = ((decode._gathered_rows, all_rows), dataclasses.replace(
      cfg, unroll=1)), ((decode._rows_in_place, NEW_WAY[2]), cfg)
  for width in (4, 16):
    def search(k, width=width):
      (decode._rows_in_place, decode._rows_at_a_time), own = ways[k]
      decode.generate(params, own, prompts, 96,
                      decode.DecodingMethod(beams=width))

    old, now = (1e3 * t / len(prompts)
                for t in seconds(*(functools.partial(search, k)
                                   for k in (0, 1))))
    print(f'| {width} | {old:.0f} | {now:.0f} | {old / now:.2f} |', flush=True)


def without_ends(params):
  """Parameters whose samples hardly ever end: all rows are full."""
  ends = params['ends']
  bias = -30.0 * ends['embedding'][1] / np.square(ends['embedding'][1]).sum()
  return params | {'ends': ends | {'bias_last': bias}}


def reinforcement(config):
  """Prints milliseconds of a step's parts."""
  config = override(config, {
      'post.kind': 'reinforce', 'init_from': 'none', 'data.batch_size': ROWS,
      'data.seq_len': 24, 'post.tokens': 8, 'post.reward': 'random',
      'data.tasks.problems.split': 'train_d6', 'optim.name': 'adamw'})
  data = load_mixture(config)
  trainer = train_step.build(config, data)
  state = trainer.init()
  made = feed.Feed(config, data, trainer.cfg, 1, state.params, state.params,
                   lambda state: state.params)
  with jax.set_mesh(trainer.mesh):
    took = {'rollout of 128 answers': seconds(
        lambda: made._rollout(state.params, 1))[0]}
    batch, _ = made.batch(0, state)
    new = batch['mask'].sum()  # tokens of the answers, their ends included
    for share in SHARES:
      part = {k: v[:ROWS // share] for k, v in batch.items()}

      def work(part=part):
        nonlocal state
        state, sums = trainer.step(state, part)
        jax.block_until_ready(sums)

      took[f'update of {ROWS // share} rows'], = seconds(work)
  print('\n| part of a step | ms |\n|---|---|')
  for name, value in took.items():
    print(f'| {name} | {1e3 * value:.0f} |')
  print('\n| a step of rollout and update | ms | k new tokens/s |\n'
        '|---|---|---|')
  rollout, *updates = took.values()
  for share, update in zip(SHARES, updates):
    step = rollout + update
    print(f'| {ROWS // share} of {ROWS} rows have an advantage | '
          f'{1e3 * step:.0f} | {new / step / 1e3:.1f} |')


def main():
  argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  ).parse_args()
  config = override(compose.get_config(), {'runtime.mesh.data': 1})
  data = load_mixture(config)
  cfg = train_step.build(config, data).cfg
  params = jax.jit(decoder.init, static_argnums=0)(cfg, jax.random.key(0))
  sampling(without_ends(params), cfg)
  beams(without_ends(params), cfg)
  reinforcement(config)


if __name__ == '__main__':
  main()
