"""Where does a model of a grammar attend, beyond distance, and does it matter?

Part 1 (Allen-Zhu & Li, arXiv 2305.13673), its results on attention: a strong
part of attention depends on distance alone; less that, tokens attend to ends of
subtrees, most of all from ends to ends, and there to the nearest ends of the
same level, as dynamic programming would. Excess: attention over what distance
alone gives, less one (evals/grammar/attention.py); control: ends at random, and
an untrained model. Causal check: the middle state at an end is replaced by that
of an end in another string; do predictions change more at ends?

  python -m physics_lm.launch experiments/grammar_attention.py --scale=cpu
  python -m physics_lm.report experiments/grammar_attention.py --scale=cpu

Runs and records: grammar_learning.py. Level 1 is the deepest. Predicted (seed
7, not reported), RoPE: 47 % of attention within three tokens; distance explains
42, 25, 30, 13 % of its variance by layer; excess to ends of levels 1, 2, 3 66,
66, 34 %, one token before -31, -26, -21; end to end 42, 118, 43; to the
neighbour 51, 168, 41, the second 3, 120, 35; random 0 +- 3. Of twelve patches a
string (LOG 79: one): at an end 20, 30, 45 millinats, elsewhere 25, 20, 15.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

SHARED = ('grammar_learning',)
ARMS = scales.PROBED_ARMS
SCALES = {s: dict(arms=ARMS if n > 1 else ARMS[:1], seeds=n) for s, n in (
    ('smoke', 1), ('cpu', 5), ('gpu', 3), ('paper', 3))}
LEVELS = (1, 2, 3)
PAIRS = {'to_end': 'any token to an end', 'end_to_end': 'end to end',
         'random': 'random positions'}
PATCHES = {'patch_at_end': 'at an end', 'patch_elsewhere': 'at another token'}


def runs(scale: str) -> list[Run]:
  """Runs of grammar_learning: every (arm, seed)."""
  s = pick(SCALES, scale)
  return [Run(*x) for x in scales.structures(scale, s['arms'], s['seeds'])]


def table(records):
  """A row a run, model and slice, percent: `share` of attention by distance
  (at: its lower bound), `of_distance` by layer, `excess` by level, pairs and at
  (offset, number of subtrees, or the patched token's kind); patch_at_end and
  patch_elsewhere in millinats."""
  df = results.wide(records, 'attention', (
      'share', 'of_distance', 'excess', *PATCHES), (
          'model', 'layer', 'level', 'pairs', 'at'))
  df[['share', 'of_distance', 'excess']] *= 100
  df[[*PATCHES]] *= 1000
  return df


def summary(df):
  """Over seeds."""
  return results.summarise(df, [
      'arm', 'model', 'layer', 'level', 'pairs', 'at'], [
          'share', 'of_distance', 'excess', *PATCHES])


def figure(df):
  """Of RoPE: attention by distance, excess of pairs, what patches change."""
  s = summary(df)
  s = s[(s.arm == s.arm.iloc[0]) & (s.model == 'trained')].copy()
  levels = {k: f'level {k}' for k in LEVELS if k in set(s.level)}
  fig, axes = figures.grid(3, 2, width=4.0, height=3.0)
  s['offset'] = [x if isinstance(x, int) else None for x in s['at']]
  for k, (layer, rows) in enumerate(s[s.share_mean.notna()].groupby(
      'layer', sort=False)):
    name = 'all layers' if layer == 'all' else f'layer {layer + 1}'
    figures.curves(axes[0, 0], rows, 'offset', 'layer', 'share', {layer: name},
                   band=False, color=figures.COLOURS[k])
  axes[0, 0].set_xscale('log', base=2)
  axes[0, 0].xaxis.set_major_formatter('{x:.0f}')
  figures.labels(axes[0, 0], 'distance, from (to the next)',
                 'share of attention, %', 'By distance')
  for ax, (pairs, name) in zip(axes.flat[1:4], PAIRS.items()):
    figures.curves(ax, s[s.pairs == pairs], 'offset', 'level', 'excess', levels,
                   band=False)
    figures.level(ax, 0)
    ax.set(xticks=range(-2, 3), ylim=(-110, 180))
    figures.labels(ax, 'offset of the key from an end', 'excess, %',
                   f'Beyond distance: {name}')
  rows = s[s.pairs == 'subtrees']
  figures.grouped_bars(axes[1, 1], rows, 'offset', 'level', 'excess', {
      n: f'{n:g}' for n in sorted(set(rows.offset))}, levels)
  figures.labels(axes[1, 1], 'subtrees from the query to the key', 'excess, %',
                 'End to end of one level')
  for k, (column, name) in enumerate(PATCHES.items()):
    figures.bars(axes[1, 2], s[s[f'{column}_mean'].notna()], column,
                 list(levels.values()), figures.COLOURS[k], label=name,
                 offset=0.4 * k - 0.2, width=0.38)
  figures.labels(axes[1, 2], '', 'relative entropy, millinats',
                 'Later predictions, state patched')
  axes[1, 1].set_ylim(-70, 330)
  for ax in axes.flat:
    figures.legend(ax, fontsize=7, ncols=3 if ax is axes[1, 1] else 1)
  figures.finish(fig, f'Attention of {s.arm.iloc[0]} models of a grammar', (
      f'{figures.seeds_note(s)}; without the first token and the token itself. '
      'Level 1: the deepest. Excess: over what distance alone gives'))
  return fig


def cell(pairs='all', level='all', at='all', layer='all', **more) -> dict:
  """A row of the trained RoPE model."""
  return dict(arm='RoPE', model='trained', layer=layer, level=level,
              pairs=pairs, at=at) | more


def each(a: tuple, b: tuple) -> tuple:
  """A case a level of two kinds of pairs (pairs, at)."""
  return tuple((cell(a[0], k, a[1]), cell(b[0], k, b[1])) for k in LEVELS)


FLOW = 'Part 1, attention'
EXCESS = dict(column='excess', paper='in a figure', decided_by='ten seeds')
CLAIMS = (
    Claim('distance_matters', 'Distance alone explains at least 20 % of the '
          "variance of the first layer's attention", FLOW, 'a strong part', (
              cell(layer=0),), at_least(20), 'of_distance'),
    Claim('to_boundaries', 'All levels: boundaries get more than distance '
          'gives', FLOW, cells=tuple((cell('to_end', k, 0),) for k in LEVELS),
          rule=at_least(0), **EXCESS),
    Claim('more_than_random', 'All levels: more than random positions', FLOW,
          cells=each(('to_end', 0), ('random', 0)), rule=greater(), **EXCESS),
    Claim('peak_at_end', 'Levels 1 and 2: boundaries get more than the token '
          'before and the token after', FLOW, cells=tuple(
              (cell('to_end', k, 0), cell('to_end', k, at))
              for k in (1, 2) for at in (-1, 1)), rule=greater(), **EXCESS),
    Claim('end_to_end', 'Levels 2 and 3: boundaries attend to boundaries more '
          'than all tokens do', FLOW, cells=each(
              ('end_to_end', 0), ('to_end', 0))[1:], rule=greater(), **EXCESS),
    Claim('nearest', 'All levels: from end to end, the neighbouring subtree '
          'gets more than the second', FLOW, cells=each(
              ('subtrees', 1), ('subtrees', 2)), rule=greater(), **EXCESS),
    Claim('more_than_untrained', 'All levels: end to end, more than in an '
          'untrained model', FLOW, cells=tuple((
              cell('end_to_end', k, 0), cell('end_to_end', k, 0,
                                             model='untrained'))
              for k in LEVELS), rule=greater(), **EXCESS),
    *(Claim(id, f'{which}: patching a boundary changes later predictions more '
            'than another token', 'ours', '—', tuple(tuple(
                cell(level=k, column=c) for c in PATCHES) for k in levels),
            greater(), unit='millinats', post_hoc=id == 'patched_lowest')
      for id, which, levels in (
          ('patched_boundaries', 'Levels 2 and 3', (2, 3)),
          ('patched_lowest', 'Level 3', (3,)))),
)
