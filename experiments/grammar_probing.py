"""When and where does a model know the tree of a string that it reads?

Part 1 (Allen-Zhu & Li, arXiv 2305.13673), its results on hidden states: the
symbols above a token and the ends of subtrees are linearly encoded in the last
layer, nearly perfectly in good models. Here linear maps of single frozen states
(evals/grammar/tree_probe.py), of every layer and along training, against what
the symbols so far say exactly, linear maps of the last eight tokens, an
untrained model, and a model without positions, which learns little. Level 1 is
the deepest: its subtrees span 17 of 51 tokens; those of level 3 span 3.

F1 of ends: most tokens end nothing. `gained`: (F1 - window) / (exact - window).

  python -m physics_lm.launch experiments/grammar_probing.py --scale=cpu
  python -m physics_lm.report experiments/grammar_probing.py --scale=cpu

The runs are those of grammar_learning.py (RoPE, NoPE), with records there.
Predicted (seed 7 and an earlier program, not reported), F1 of ends at levels 1,
2, 3, %: untrained 30, 77, 70; window 7, 84, 94; RoPE at step 200 55, 96, 98,
600 72, 99, 99, the end 78, 99, 100; NoPE 47, 91, 96; exact 97, 100, 100. By
layers 1 to 4 at level 1: 25, 57, 64, 78. Symbols, level 1: RoPE 93, untrained
73, window 59, exact 100.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

SHARED = ('grammar_learning',)
SCALES = {'smoke': dict(arms=('RoPE',), seeds=1)} | {scale: dict(
    arms=scales.PROBED_ARMS, seeds=3) for scale in ('cpu', 'gpu', 'paper')}
METRICS = ('f1', 'accuracy', 'log_score')


def runs(scale: str) -> list[Run]:
  """Runs of grammar_learning: every (arm, seed)."""
  s = pick(SCALES, scale)
  return [Run(*x) for x in scales.structures(scale, s['arms'], s['seeds'])]


def table(records):
  """A row a run, task ('end', 'symbol'), level, model and layer at the end, and
  of the last layer along training (`last`: False): percent, but log_score
  (nats). score: f1 of ends, accuracy of symbols; gained: of it."""
  import pandas as pd
  keys = ['task', 'level', 'model', 'layer']
  df = results.wide(records, 'tree', METRICS, keys)
  most = results.wide(records, 'tree', ('majority_baseline',), keys[:2])
  top = max(layer for layer in df.layer if layer != 'all')
  df['step'], df['last'] = max(r['step'] for r in records), True
  parts = [df]
  for task, level in sorted(set(zip(df.task, df.level))):
    at = f'{task}/{level}/trained/{top}'
    own = results.during_training(records, 'tree', {
        m: f'{m}/{at}' for m in METRICS[task == 'symbol':]})
    parts.append(own[own.step < df.step.max()].assign(
        task=task, level=level, model='trained', layer=top, last=False))
  df = pd.concat(parts, ignore_index=True)
  df = df.merge(most[['run', *keys[:2], 'majority_baseline']].dropna(),
                on=['run', *keys[:2]], how='left')
  df['top'] = df.layer == top
  for column in ('f1', 'accuracy', 'majority_baseline'):
    df[column] *= 100
  df['score'] = df.f1.where(df.task == 'end', df.accuracy)
  for name in ('window', 'exact'):
    known = df[df.model == name].set_index(['run', *keys[:2]]).score
    df[name] = pd.MultiIndex.from_frame(df[['run', *keys[:2]]]).map(known)
  room = (df.exact - df.window).where(df.exact > df.window + 5)
  return df.assign(gained=100 * (df.score - df.window) / room)


def summary(df):
  """By task, level, model, layer and step."""
  return results.summarise(df, [
      'arm', 'task', 'level', 'model', 'layer', 'top', 'last', 'step'], [
          'score', 'log_score', 'gained', 'majority_baseline'])


def figure(df):
  """Ends: controls against models, by layer, by step; symbols."""
  s = summary(df)
  fig, ((bars, layers), (steps, symbols)) = figures.grid(
      2, 2, width=5.0, height=3.2)
  levels = {level: f'level {level}' for level in sorted(set(s.level))}
  first = s.arm == s.arm.iloc[0]
  shown = s[s['last'] & (s.top | s.layer.eq('all')) & (
      first | s.model.eq('trained'))]
  shown = shown.assign(kind=shown.model.mask(shown.model == 'trained',
                                             shown.arm))
  kinds = {'untrained': 'untrained', 'window': 'last 8 tokens', **{
      arm: arm for arm in dict.fromkeys(s.arm)}, 'exact': 'exact'}
  for ax, task, what, name in ((bars, 'end', 'Boundaries', 'F1, %'), (
      symbols, 'symbol', 'Symbols', 'accuracy, %')):
    figures.grouped_bars(ax, shown[shown.task == task], 'level', 'kind',
                         'score', levels, kinds)
    figures.percent_axis(ax, 128)
    figures.labels(ax, '', name, f'{what}, last layer')
  figures.legend(bars, loc='upper left', ncols=5, fontsize=7)
  ends = s[first & s.task.eq('end') & s.model.eq('trained')]
  by_layer = ends[ends['last']].assign(layer=lambda x: x.layer.astype(int))
  for ax, rows, x in ((layers, by_layer, 'layer'), (
      steps, ends[ends.top & (ends.step > 0)], 'step')):
    figures.curves(ax, rows, x, 'level', 'score', levels)
    figures.percent_axis(ax)
    figures.legend(ax, loc='lower right')
  layers.set_xticks(sorted(set(by_layer.layer)))
  figures.labels(layers, 'layers below the state', 'F1, %',
                 f'Boundaries by layer, {s.arm.iloc[0]}')
  figures.labels(steps, 'step', 'F1, %', f'Boundaries by step, {s.arm.iloc[0]}')
  figures.finish(
      fig, 'Linear probes of the tree of a string, by level (1: the deepest)',
      f'{figures.seeds_note(shown)}. Exact: the best prediction from the '
      'symbols so far')
  return fig


def cell(level: int, task: str = 'end', **changes) -> dict:
  """The last layer of RoPE at the end."""
  return dict(arm='RoPE', task=task, level=level, model='trained', top=True,
              last=True) | changes


WINDOW, UNTRAINED = dict(model='window', top=False), dict(model='untrained')
STATES, SCORE = 'Part 1, hidden states', dict(column='score')
CLAIMS = (
    *(Claim(f'end_above_{n}', f'Boundaries, all levels: F1 of RoPE > {name}',
            STATES, 'nearly perfect vs far lower', tuple((cell(k), cell(k, **x))
                                             for k in (1, 2, 3)), greater(),
            **SCORE) for n, name, x in (
                ('window', 'of the last eight tokens', WINDOW),
                ('untrained', 'of an untrained model', UNTRAINED))),
    Claim('near_exact', 'Boundaries of levels 2 and 3: at most 5 points '
          'below exact', STATES, 'nearly perfect', tuple((cell(k), cell(
              k, model='exact', top=False)) for k in (2, 3)), greater(-5),
          **SCORE),
    Claim('deep_later', 'Boundaries by step 200: level 3 > 2 > 1', 'ours',
          '—', tuple((cell(a, last=False, step=200), cell(
              b, last=False, step=200)) for a, b in ((3, 2), (2, 1))),
          greater(), **SCORE),
    Claim('deep_in_layers', 'Level 1: each layer adds to F1', 'ours',
          '—', tuple((cell(1, layer=k + 1, top=k == 3), cell(
              1, layer=k, top=False)) for k in (1, 2, 3)), greater(), **SCORE),
    Claim('rope_above_nope', 'Boundaries of level 1: RoPE > NoPE by 15 points',
          'ours', '—', (cell(1), cell(1, arm='NoPE')),
          greater(15), **SCORE),
    Claim('symbols_above_untrained', 'Symbols, all levels: RoPE > untrained',
          STATES, 'nearly perfect vs far lower', tuple(
              (cell(k, 'symbol'), cell(k, 'symbol', **UNTRAINED))
              for k in (1, 2, 3)), greater(), **SCORE),
)
