"""Cached decoding is recomputation; sampling is sampling; beams find it."""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm.errors import BadInput
from physics_lm.model import decode, decoder, sharding
from physics_lm.model.config import model_config
from tests.compiled import forward, init
from tests.test_model import STYLES

V, EOS = 20, 1
PROMPTS = [[1, 5, 6], [1], [1, 7, 8, 9, 10, 11, 12, 2, 3], [1, 19, 18]] * 2


@pytest.fixture
def made(tiny):
  """(shape, parameters) of a style; spread out, so that ends come too."""

  def make(style='gpt2', seed=0, scale=3.0):
    cfg = model_config(tiny(STYLES[style]), V)
    return cfg, jax.tree.map(lambda w: scale * w, init(
        cfg, jax.random.key(seed)))

  return make


def recomputed(cfg, params, prompt, steps, entries=V):
  """Greedy, one prompt, everything computed anew at every token."""
  ids = list(prompt)
  for _ in range(steps):
    padded = np.array([ids + [0] * (24 - len(ids))])
    logits = np.asarray(forward(params, padded, cfg))
    ids.append(int(logits[0, len(ids) - 1, :entries].argmax()))
    if ids[-1] == EOS:
      return ids[len(prompt):-1]
  return ids[len(prompt):]


@pytest.mark.parametrize('style', ['llama', 'no_mlp', 'experts', 'prefix'])
def test_generate_equals_recomputation(made, style):
  cfg, params = made('gpt2' if style == 'prefix' else style)
  if style == 'prefix':  # of an adapter: keys and values that all see
    shape_ = (cfg.depth, 3, cfg.kv_heads, cfg.head)
    key, value = np.random.default_rng(0).normal(size=(2, *shape_))
    params['layers'] |= {'prefix_key': np.float32(key),
                         'prefix_value': np.float32(value)}
  found = decode.greedy_decode(params, cfg, PROMPTS, 8, V)
  wanted = [recomputed(cfg, params, p, 8) for p in PROMPTS[:4]] * 2
  assert found == wanted
  assert len({tuple(ids) for ids in found}) > 2


def test_generate_stops_at_the_end_token_and_skips_padding_entries(made):
  cfg, params = made()

  def ask(params, **more):
    return decode.generate(params, cfg, PROMPTS, 8, **({'entries': V} | more))

  whole = ask(params)
  assert whole[0] == recomputed(cfg, params, PROMPTS[0], 8)
  stop = whole[0][3]
  for ids, cut in zip(whole, ask(params, stop=stop)):
    n = ids.index(stop) + 1 if stop in ids else len(ids)
    assert cut == ids[:n]
  # An end that is likeliest everywhere ends at once.
  bias = params['ends'] | {'bias_last': 99.0 * params['ends']['embedding'][EOS]}
  assert ask(params | {'ends': bias}) == [[]] * 8
  few = ask(params, entries=5)
  assert max(map(max, few)) < 5 and few != whole
  assert few[0] == recomputed(cfg, params, PROMPTS[0], 8, 5)
  assert decode.greedy_decode(params, cfg, [], 5) == []


def test_long_decoding_tells_how_far_it_is(made, monkeypatch, capsys):
  cfg, params = made()
  monkeypatch.setattr(decode, '_SILENT', 0.0)
  decode.generate(params, cfg, PROMPTS, 8, entries=V, batch=4)
  lines = capsys.readouterr().out.splitlines()
  assert [line.split(', ')[0] for line in lines] == [
      'decoding: prompt 4/8', 'decoding: prompt 8/8']
  assert lines[-1].endswith('about 0s left')


def test_samples_do_not_depend_on_their_batch(made):
  cfg, params = made()
  how = decode.DecodingMethod(temperature=1.5)

  def ask(prompts, numbers, batch=8, **more):
    return decode.generate(params, cfg, prompts, 8, how, entries=V,
                           numbers=numbers, batch=batch, **more)

  found = ask(PROMPTS, range(8), seed=3)
  assert ask(PROMPTS[:3], range(3), 2, seed=3) == found[:3]
  assert ask([PROMPTS[5]], [5], seed=3) == [found[5]]
  assert found[0] != found[4] and ask(PROMPTS, range(8), seed=4) != found
  # Two copies of each prompt in succession are read once.
  n = jax.device_count()
  twice = [p for p in PROMPTS[:n] * -(-n // 8) for _ in range(2)]
  assert decode._copies(twice, 2 * n) == 2
  assert decode._copies(twice, n) == decode._copies(PROMPTS, 8) == 1
  copied = ask(twice, [i // 2 + 8 * (i % 2) for i in range(2 * n)], 2 * n,
               seed=3)
  assert copied[:2 * min(n, 8):2] == found[:n]


def test_sampling_follows_the_softmax(made):
  cfg, params = made(scale=1.5)
  prompt, n = PROMPTS[0], 2000
  logits = np.asarray(forward(params, np.array([prompt]), cfg),
                      np.float64)[0, -1, :V]
  for temperature, top_k in ((0.7, 0), (1.0, 3)):
    p = np.exp(logits / temperature)
    if top_k:
      p[np.argsort(p)[:-top_k]] = 0
    p /= p.sum()
    found = decode.generate(
        params, cfg, [prompt] * n, 1, decode.DecodingMethod(temperature, top_k),
        entries=V)
    counts = collections.Counter(ids[0] if ids else EOS for ids in found)
    for token in range(V):
      error = np.sqrt(p[token] * (1 - p[token]) / n)
      assert abs(counts[token] / n - p[token]) <= 4.5 * error, (top_k, token)


def test_rows_of_beams_move_in_place_as_a_gather_would_move_them():
  rng = np.random.default_rng(0)
  stayed = 0
  for W in (1, 2, 7):
    kept_BW = rng.integers(0, W, (5, W))  # the beam of each, likeliest first
    place_BW = np.asarray(decode._places(jnp.asarray(kept_BW)))
    assert (np.sort(place_BW) == np.arange(W)).all()  # none lost
    from_BW = np.take_along_axis(kept_BW, place_BW, 1)
    for kept, found in zip(kept_BW, from_BW):
      assert all(found[b] == b for b in set(kept))  # it stays where it is
      stayed += len(set(kept))
    from_M = jnp.asarray((from_BW + W * np.arange(5)[:, None]).reshape(-1))
    tree = {'k': jnp.asarray(rng.normal(size=(5 * W, 2, 3))), 'taps': None}
    wanted = decode._gathered_rows(tree, from_M)['k']
    assert (decode._rows_in_place(tree, from_M)['k'] == wanted).all()
  assert 0 < stayed < 5 * (1 + 2 + 7)  # and some beams moved


def test_beams_find_the_likeliest_continuation(made):
  """Wide enough, they find what trying everything finds."""
  steps, entries = 3, 6
  better = 0
  for seed in range(3):
    cfg, params = made(seed=seed, scale=0.8)
    prompts = [[1, 5, 3], [2], [1, 2, 3, 4], [4, 0], [5, 3], [3, 3]]
    found = decode.generate(params, cfg, prompts, steps,
                            decode.DecodingMethod(beams=40), entries=entries)
    greedy = decode.greedy_decode(params, cfg, prompts, steps, entries)
    for prompt, ids, plain in zip(prompts, found, greedy):
      every = [w for n in range(steps + 1) for w in itertools.product(
          [t for t in range(entries) if t != EOS], repeat=n)]
      texts = [list(w) + [EOS] * (len(w) < steps) for w in every]
      padded = np.zeros((len(texts), len(prompt) + steps), np.int32)
      for row, text in enumerate(texts):
        padded[row, :len(prompt) + len(text)] = prompt + text
      padded = np.pad(padded, ((0, 0), (0, 24 - padded.shape[1])))
      log_p = np.asarray(forward(params, padded, cfg),
                         np.float64)[..., :entries]
      log_p -= np.log(np.exp(log_p).sum(-1, keepdims=True))
      score = [sum(log_p[row, len(prompt) - 1 + i, t]
                   for i, t in enumerate(text))
               for row, text in enumerate(texts)]
      best = list(every[int(np.argmax(score))])
      assert ids == best
      better += plain != best
    assert decode.generate(
        params, cfg, prompts, steps, decode.decoding_method('beam:1'),
        entries=entries) == greedy
  assert better  # else greedy would have done


@pytest.mark.devices
@pytest.mark.parametrize('how', ['sample:1.0:5', 'beam:3'])
def test_generate_is_the_same_on_eight_devices(made, tiny, how):
  cfg, params = made()

  def ask():
    return decode.generate(params, cfg, PROMPTS, 8,
                           decode.decoding_method(how), entries=V)

  alone = ask()
  mesh = sharding.make_mesh(tiny({'runtime.mesh.fsdp': 2,
                                  'runtime.mesh.tensor': 2}))
  where = jax.tree.map(lambda axes: sharding.named_sharding(mesh, axes),
                       decoder.logical_axes(cfg),
                       is_leaf=lambda x: isinstance(x, tuple))
  with jax.set_mesh(mesh):
    params = jax.device_put(params, where)
    assert ask() == alone


@pytest.mark.parametrize('text', [
    'greedly', 'beam', 'beam:0', 'sample:0', 'sample:1:x', 'greedy:1',
    'sample:1:-1'])
def test_decoding_method_rejects_bad_text(text):
  with pytest.raises(BadInput, match='wanted greedy'):
    decode.decoding_method(text)
