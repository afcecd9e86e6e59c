"""Does it help to try again where a step was wrong (Part 2.2, section 3)?

Retry upon regret: solutions are written sentence by sentence, greedily. After
each, a detector is asked whether the quantity that was just told could be
computed at all; if not, the sentence is taken back and sampled anew, at most
`retries` times a solution. Detectors:

  none     sees nothing: plain greedy decoding
  probe    the model itself, frozen, by a can_next probe (v_probe.py) read where
           the sentence began
  ready    the truth of what the probe is asked: a perfect detector
  checker  sees every wrong sentence, wrong arithmetic too

And error detection: of the first wrong sentences that tell what cannot be told
yet, how many does the probe see; of right ones, how many does it call wrong.

The text so far is read again for each sentence: a batch of prompts in one pass
is cheap beside the tokens that are written one by one.
"""

import dataclasses
import functools

import jax
import numpy as np

from physics_lm import decode, rows
from physics_lm.errors import BadInput
from physics_lm.evals import reasoning, v_probe
from physics_lm.shape import Shape
from physics_lm.worlds import igsm_check

DETECTORS = ('none', 'probe', 'ready', 'checker')


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
  could not be told. `says`: rows of ids -> 0 (it could not) or 1."""
  out = np.zeros(len(drafts), bool)
  read = [i for i, d in enumerate(drafts) if d.told[at[i]] is not None]
  if read:
    out[read] = says([v_probe.marked(data, drafts[i].ids(at[i]),
                                     drafts[i].told[at[i]]) for i in read]) == 0
  return out


def last_wrong(detector: str, says, data: rows.Data):
  """What `written` asks of drafts, by the name of a detector."""
  last = lambda drafts: [len(d.sentences) - 1 for d in drafts]
  return {
      'none': lambda drafts: [False] * len(drafts),
      'probe': lambda drafts: flags(says, data, drafts, last(drafts)),
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
  if not decode.method(spec.decode).temperature:
    raise BadInput(f'evals: decode is {spec.decode!r}, wanted sample, '
                   'sample:TEMPERATURE or sample:TEMPERATURE:TOP_K')
  return v_probe.inputs(config, spec)


def run(params, config, spec, cfg):
  """(metrics, raw outcomes). Metric names: full/test/probe (of each detector;
  also answer, ended, retries a problem); problems/test; of greedy solutions,
  up to their first wrong sentence: errors/test, how many first wrong ones tell
  what cannot be told yet; seen/test, the share of them that the probe calls
  so; alarms/test, the share of right sentences (right/test of them) that it
  calls so; and of random questions positive/test, negative/test."""
  world, train, questions = inputs(config, spec)
  data = rows.load(config)
  key = jax.random.key(config.seed.init)
  size = lambda ids: -(-max(map(len, ids)) // 16) * 16
  probe = v_probe.fit(params, cfg, v_probe.packed(train, size(
      [a.ids for a in train])), 2, spec, key)

  def said(asked, length):
    return v_probe.answers(probe, params, v_probe.packed(asked, length), cfg,
                           spec)[-1]

  metrics, raw = {}, []
  for split in reasoning.splits(spec):
    examples = reasoning.problems(data, world, split, spec.problems)
    asked = [(reasoning.read(world, e), reasoning.prompt(data, e))
             for _, e in examples]
    # Name and marks are five tokens; one width, one compilation.
    length = -(-(max(len(p) for _, p in asked) + spec.tokens + 8) // 16) * 16
    says = lambda texts, length=length: said(
        [v_probe.Asked(ids, 0, -1) for ids in texts], length)
    for detector in DETECTORS:
      # Few at a time: of later sentences there are few.
      drafts = written(params, cfg, data, asked, spec, reasoning.batch(
          config, spec, 64), last_wrong(detector, says, data))
      part = [{'split': split, 'index': index, 'detector': detector,
               'tries': d.tries, 'text': d.text(data), **reasoning.judged(
                   d.problem, d.text(data), d.ended)}
              for (index, _), d in zip(examples, drafts)]
      raw += part
      metrics |= {f'{name}/{split}/{detector}': float(np.mean(
          [r[k] for r in part])) for name, k in (
              ('full', 'full'), ('answer', 'answer'), ('ended', 'ended'),
              ('retries', 'tries'))}
      if detector == 'none':
        metrics |= {f'{k}/{split}': v for k, v in detection(
            drafts, data, says).items()}
    metrics[f'problems/{split}'] = len(asked)
    label = np.array([a.label for a in questions[split]])
    right = said(questions[split], length) == label
    metrics |= {f'positive/{split}': float(right[label == 1].mean()),
                f'negative/{split}': float(right[label == 0].mean())}
  return metrics, raw


def detection(drafts: list[Draft], data: rows.Data, says) -> dict[str, float]:
  """How well the probe tells right sentences from the first wrong one that
  tells what cannot be told yet."""
  good, bad = [], []
  for d in drafts:
    right = min(d.right(data), len(d.sentences))
    good += [(d, k) for k in range(right)]
    if right < len(d.sentences) and not d.ready(right):
      bad.append((d, right))
  out = {'right': len(good), 'errors': len(bad)}
  for name, part in (('alarms', good), ('seen', bad)):
    if part:
      out[name] = float(flags(says, data, *map(list, zip(*part))).mean())
  return out
