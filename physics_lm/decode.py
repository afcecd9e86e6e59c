"""Greedy decoding, all prompts of a batch at once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from physics_lm import model
from physics_lm import vocab as vocabs
from physics_lm.shape import Shape


def greedy(params, cfg: Shape, prompts, steps: int, entries: int | None = None
           ) -> list[list[int]]:
  """The most likely continuation of each prompt (a list of ids): at most
  `steps` ids, the end token not included. `entries`: of the vocabulary; rows
  that only round the embedding up are never chosen.

  Nothing is cached: each token costs a forward pass over the whole text,
  which for short answers is what a cache would save.
  """
  lengths = np.array([len(p) for p in prompts])
  if not len(lengths):
    return []
  total = 1 << int(lengths.max() + steps - 1).bit_length()  # few compilations
  tokens = np.zeros((len(lengths), total), np.int32)
  for i, prompt in enumerate(prompts):
    tokens[i, :len(prompt)] = prompt
  out = np.asarray(_extend(params, tokens, lengths.astype(np.int32), steps,
                           cfg, entries or cfg.vocab))
  found = [out[i, n:n + steps].tolist() for i, n in enumerate(lengths)]
  return [ids[:ids.index(vocabs.EOS)] if vocabs.EOS in ids else ids
          for ids in found]


@functools.partial(jax.jit, static_argnames=('steps', 'cfg', 'entries'))
def _extend(params, tokens_BT, lengths_B, steps: int, cfg: Shape,
            entries: int):
  rows = jnp.arange(len(tokens_BT))

  def one(i, tokens_BT):
    # What stands behind the text is not seen: attention is causal.
    logits_BTV = model.forward(params, tokens_BT, cfg)
    last_BV = logits_BTV[rows, lengths_B + i - 1, :entries]
    return tokens_BT.at[rows, lengths_B + i].set(last_BV.argmax(-1))

  return jax.lax.fori_loop(0, steps, one, tokens_BT)
