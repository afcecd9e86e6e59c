"""Does it help to try again where a step was wrong (Part 2.2, section 3)?

Retry upon regret: solutions are written sentence by sentence, greedily. After
each, a detector is asked whether the quantity that was just told could be
computed at all; if not, the sentence is taken back and sampled anew, at most
`retries` times a solution. Detectors:

  none     sees nothing: plain greedy decoding
  probe    the model itself, frozen, by a can_next probe (v_probe.py) read where
           the sentence began
  state    the model itself, frozen, afterwards: logistic regression on its
           states of all layers at the sentence's full stop, learned from its
           own sampled solutions of training problems that are not asked
  ready    the truth of what the probe is asked: a perfect detector
  checker  sees every wrong sentence, wrong arithmetic too

And error detection: of first wrong sentences, how many do probe and state see;
of right ones, how many do they call wrong.

The text so far is read again for each sentence: a batch of prompts in one pass
is cheap beside the tokens that are written one by one.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from physics_lm import decode, model, rows
from physics_lm.errors import BadInput
from physics_lm.evals import best_of, reasoning, v_probe
from physics_lm.shape import Shape
from physics_lm.worlds import igsm_check

DETECTORS = ('none', 'probe', 'state', 'ready', 'checker')
LEARNED = ('probe', 'state')


@dataclasses.dataclass
class Draft:
  """A solution that is being written."""

  problem: igsm_check.Problem
  prompt: list[int]
  sentences: list[list[int]] = dataclasses.field(default_factory=list)
  told: list = dataclasses.field(default_factory=list)  # of each; None: unread
  tries: int = 0  # sentences taken back
  again: bool = False  # the last one was
  done: bool = False
  ended: bool = False  # by the end token

  def ids(self, sentences: int | None = None) -> list[int]:
    """Prompt and solution, or its first sentences."""
    return [*self.prompt, *(i for s in self.sentences[:sentences] for i in s)]

  def text(self, data: rows.Data, sentences: int | None = None) -> str:
    return data.vocab.decode(self.ids(sentences)[len(self.prompt):])

  def ready(self, k: int) -> bool:
    """Whether what sentence k tells could be told there; unread: yes."""
    p, before = self.told[k], self.told[:k]
    return p is None or (self.problem.has(p) and p not in before
                         and set(before).issuperset(self.problem.sources(p)))

  def right(self, data: rows.Data) -> int:
    """How many sentences are right, before the first wrong one."""
    v = igsm_check.check(self.problem, self.text(data))
    return v.parameters + v.retries


def written(params, cfg: Shape, data: rows.Data, asked, spec, batch: int,
            wrong) -> list[Draft]:
  """A solution of each (problem, prompt). `wrong(drafts)`: whether the last
  sentence of each draft is to be taken back."""
  drafts = [Draft(*a) for a in asked]
  stop, = data.vocab.encode('.')
  write = functools.partial(
      decode.generate, params, cfg, steps=spec.tokens,
      entries=len(data.vocab), batch=batch, stop=stop,
      width=max(len(d.prompt) for d in drafts) + spec.tokens)
  turn = 0
  while left := [i for i, d in enumerate(drafts) if not d.done]:
    for again, how in ((False, decode.Method()),
                       (True, decode.method(spec.decode))):
      part = [i for i in left if drafts[i].again == again]
      for i, ids in zip(part, write([drafts[i].ids() for i in part], how=how,
                                    seed=turn, numbers=part)):
        extend(drafts[i], data, ids, stop, spec.tokens)
    now = [drafts[i] for i in left if drafts[i].sentences]
    taken = wrong(now)
    for d, bad in zip(now, taken):
      d.again = bool(bad) and d.tries < spec.retries
      if d.again:
        d.sentences.pop()
        d.told.pop()
        d.tries, d.done, d.ended = d.tries + 1, False, False
    turn += 1
  return drafts


def extend(draft: Draft, data: rows.Data, ids: list[int], stop: int,
           most: int):
  """Adds the next sentence. Without a full stop it is the end, or too long."""
  closed = bool(ids) and ids[-1] == stop
  if ids:
    draft.sentences.append(ids)
    step = reasoning.STEP.match(data.vocab.decode(ids).strip())
    draft.told.append(None if step is None or step[2] == 'BACK' else
                      draft.problem.parameter(step[1]))
  used = sum(map(len, draft.sentences))
  draft.done = not closed or used >= most
  draft.ended = not closed and used < most


def flags(says, data: rows.Data, drafts: list[Draft], at: list[int]
          ) -> np.ndarray:
  """Whether the probe says of sentence at[i] of draft i that what it tells
  could not be told. `says`: questions -> 0 (it could not) or 1."""
  out = np.zeros(len(drafts), bool)
  read = [i for i, d in enumerate(drafts) if d.told[at[i]] is not None]
  if read:
    texts = [tuple(drafts[i].ids(at[i])) for i in read]
    out[read] = says([
        v_probe.Asked(text, len(text), v_probe.marked(data, drafts[i].told[
            at[i]]), 0, -1) for i, text in zip(read, texts)]) == 0
  return out


@functools.partial(jax.jit, static_argnames='cfg')
def _states(params, tokens_BT, at_BE, cfg):
  _, _, stream_LBTD, _ = model.hidden(params, tokens_BT, cfg, taps=True)
  h_LBED = stream_LBTD[:, jnp.arange(len(at_BE))[:, None], at_BE]
  return jnp.moveaxis(v_probe.scaled(h_LBED), 0, 2).reshape(*at_BE.shape, -1)


def states(params, cfg: Shape, texts: list[list[int]], places, batch: int,
           length: int) -> np.ndarray:
  """States of all layers at the places of each text, one after the other,
  [places, (L + 1) D]."""
  out, most = [], max(map(len, places))
  for start in range(0, len(texts), batch):
    tokens, at = np.zeros((batch, length), np.int32), np.zeros(
        (batch, most), np.int32)
    part = places[start:start + batch]
    for i, (ids, here) in enumerate(zip(texts[start:start + batch], part)):
      tokens[i, :len(ids)], at[i, :len(here)] = ids, here
    h_BEF = np.asarray(_states(params, tokens, at, cfg))
    out += [h_BEF[i, :len(here)] for i, here in enumerate(part)]
  return np.concatenate(out)


@jax.jit
def logistic(x_NF, y_N):
  """(weights, bias) of a regression with a little decay: Adam on all of it."""
  tx = optax.adamw(0.01, weight_decay=0.01)
  w = jnp.zeros(x_NF.shape[1]), jnp.float32(0)

  def step(carry, _):
    w, opt = carry
    g = jax.grad(lambda w: optax.sigmoid_binary_cross_entropy(
        x_NF @ w[0] + w[1], y_N).mean())(w)
    updates, opt = tx.update(g, opt, w)
    return (optax.apply_updates(w, updates), opt), None

  return jax.lax.scan(step, (w, tx.init(w)), None, 500)[0][0]


def hindsight(params, config, spec, cfg: Shape):
  """flags(drafts, at): whether the states after sentence at[i] of draft i say
  that it is wrong. Learned up to the first wrong sentence of each solution."""
  data = rows.load(config)
  asked = reasoning.asked_texts(data, data.worlds[spec.world], spec)
  learn = [s for _, part in best_of.sampled(
      params, config, spec, cfg, 'train', spec.learn_problems,
      spec.learn_samples, 1, asked) for s in part if s['ends']]
  if not learn:  # not one sentence was ended: nothing to learn from
    return lambda drafts, at: np.zeros(len(drafts), bool)
  places = [s['ends'][:s['good'] + 1] for s in learn]
  wrong = [float(i >= s['good']) for s, here in zip(learn, places)
           for i in range(len(here))]
  ask = functools.partial(states, params, cfg, batch=spec.batch)
  size = lambda texts: -(-max(map(len, texts)) // 64) * 64
  texts = [s['ids'] for s in learn]
  w, bias = map(np.asarray, logistic(
      ask(texts, places, length=size(texts)), np.array(wrong, np.float32)))

  def flags(drafts, at):
    texts = [d.ids(k + 1) for d, k in zip(drafts, at)]
    x_NF = ask(texts, [[len(ids) - 1] for ids in texts], length=size(texts))
    return x_NF @ w + bias > 0

  return flags


def last_wrong(detector: str, data: rows.Data, learned: dict):
  """What `written` asks of drafts. `learned`: of the detectors of that kind,
  flags(drafts, at)."""
  last = lambda drafts: [len(d.sentences) - 1 for d in drafts]
  if detector in learned:
    return lambda drafts: learned[detector](drafts, last(drafts)) if (
        drafts) else []
  return {
      'none': lambda drafts: [False] * len(drafts),
      'ready': lambda drafts: [not d.ready(len(d.sentences) - 1)
                               for d in drafts],
      'checker': lambda drafts: [d.right(data) < len(d.sentences)
                                 for d in drafts]}[detector]


def inputs(config, spec):
  """What v_probe.inputs gives. Raises BadInput."""
  if spec.probe != 'can_next':
    raise BadInput(f"evals: probe is {spec.probe!r}, wanted 'can_next'")
  if spec.retries < 0 or spec.tokens < 1:
    raise BadInput(f'evals: retries is {spec.retries} and tokens '
                   f'{spec.tokens}, wanted at least 0 and 1')
  for key in ('learn_problems', 'learn_samples'):
    if spec[key] < 1:
      raise BadInput(f'evals: {key} is {spec[key]}, wanted at least 1')
  if not decode.method(spec.decode).temperature:
    raise BadInput(f'evals: decode is {spec.decode!r}, wanted sample, '
                   'sample:TEMPERATURE or sample:TEMPERATURE:TOP_K')
  return v_probe.inputs(config, spec)


def run(params, config, spec, cfg, stood=None):
  """(metrics, raw outcomes). `stood`: what seen.judge gives. Metric names:
  full/test/probe (of each detector; also answer, ended, retries a problem);
  problems/test; of greedy solutions, up to their first wrong sentence:
  right/test, wrong/test, how many sentences are so, early/test, how many of the
  wrong ones tell what cannot be told yet; alarms/test/state, seen/test/state,
  seen_early/test/state, the shares of them that a detector calls wrong; of
  problems that did not stand in training full_unseen/test/probe ...; and of
  random questions to the probe positive/test, negative/test."""
  data, world, questions = inputs(config, spec)
  train = v_probe.learned_from(data, world, spec)
  pack = functools.partial(v_probe.packed, texts=spec.batch)
  size = v_probe.sizes(train)
  probe = v_probe.fit(params, cfg, pack(train, **size), 2, spec,
                      jax.random.key(config.seed.init))

  def said(asked, **more):
    return v_probe.answers(probe, params, pack(asked, **size | more), cfg,
                           spec)[-1]

  metrics, raw = {}, []
  after = hindsight(params, config, spec, cfg)
  for split in reasoning.splits(spec):
    examples = reasoning.problems(data, world, split, spec.problems)
    asked = [(reasoning.read(world, e), reasoning.prompt(data, e))
             for _, e in examples]
    old = [stood and stood(split, world.prompt(e)) for _, e in examples]
    # Solutions may be longer than true ones; one length, one compilation.
    longest = max(v_probe.sizes(questions[split])['length'], -16 * (
        -(max(len(p) for _, p in asked) + spec.tokens) // 16))
    says = lambda drafts, longest=longest: said(drafts, length=longest)
    learned = {'probe': functools.partial(flags, says, data), 'state': after}
    for detector in DETECTORS:
      # Few at a time: of later sentences there are few.
      drafts = written(params, cfg, data, asked, spec, reasoning.batch(
          config, spec, 64), last_wrong(detector, data, learned))
      part = [{'split': split, 'index': index, 'detector': detector,
               'tries': d.tries, 'stood': before, 'text': d.text(data),
               **reasoning.judged(d.problem, d.text(data), d.ended)}
              for (index, _), d, before in zip(examples, drafts, old)]
      raw += part
      metrics |= summary(split, part, detector) | reasoning.unseen(
          summary, split, part, detector=detector)
      if detector == 'none':
        of = lambda split, pairs, learned=learned: detection(
            [d for _, d in pairs], data, learned, split)
        pairs = list(zip(part, drafts))
        metrics |= of(split, pairs) | reasoning.unseen(
            of, split, pairs, lambda pair: pair[0]['stood'])
    label = np.array([a.label for a in questions[split]])
    right = said(questions[split], length=longest) == label
    metrics |= {f'positive/{split}': float(right[label == 1].mean()),
                f'negative/{split}': float(right[label == 0].mean())}
  return metrics, raw


def summary(split: str, part: list[dict], detector: str) -> dict[str, float]:
  """Metrics of what was written with one detector."""
  return {f'problems/{split}': len(part)} | {
      f'{name}/{split}/{detector}': float(np.mean([r[k] for r in part]))
      for name, k in (('full', 'full'), ('answer', 'answer'),
                      ('ended', 'ended'), ('retries', 'tries'))}


def detection(drafts: list[Draft], data: rows.Data, learned: dict, split: str
              ) -> dict[str, float]:
  """How well detectors tell right sentences from the first wrong ones."""
  good, bad, early = [], [], []
  for d in drafts:
    right = min(d.right(data), len(d.sentences))
    good += [(d, k) for k in range(right)]
    if right < len(d.sentences):
      bad.append((d, right))
      if not d.ready(right):
        early.append((d, right))
  out = {f'{k}/{split}': len(part) for k, part in (
      ('right', good), ('wrong', bad), ('early', early))}
  for name, part in (('alarms', good), ('seen', bad), ('seen_early', early)):
    for detector, wrong in learned.items() if part else ():
      out[f'{name}/{split}/{detector}'] = float(np.mean(
          wrong(*map(list, zip(*part)))))
  return out
