"""How well does a model learn a context-free grammar, by its positions?

Part 1 (Allen-Zhu & Li, arXiv 2305.13673), its first results: models with rotary
or relative attention sample valid strings of the cfg3 grammars; absolute
positions are clearly worse on the hard ones, and attention that depends on
distance alone, or is uniform over the last tokens, does nearly as well. Part
4.1 (2512.17351, figure 7, cfg3f, 12 layers of 768): valid RoPE 97.6 %, NoPE
38.8, NoPE with Canon layers 92.5.

Valid: the parser accepts a sample at temperature 1. Beside it, exact: the
relative entropy of the grammar to the model (kl) and of valid samples to
the grammar (evals/grammar/sampling.py). One grammar of four levels, strings of
up to 81 tokens, mean 51 (the paper: 250); 2M tokens; 51 core-minutes.

  python -m physics_lm.launch experiments/grammar_learning.py --scale=cpu
  python -m physics_lm.report experiments/grammar_learning.py --scale=cpu

Predicted (an earlier program, and RoPE of seed 7, not reported), valid %, kl in
millinats per token: RoPE 80, 9; quarter 75, 11; with Canon 94, 2; NoPE, Canon
90, 3; distance 75, 10; uniform 70, 12; absolute 42, 30; NoPE 10, 60. Canon
halves RoPE's steps to 50 % (550).
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, greater, times_more
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

SCALES = {'smoke': dict(arms=('RoPE',), seeds=1)} | {
    scale: dict(arms=tuple(scales.POSITION_ARMS), seeds=seeds)
    for scale, seeds in (('cpu', 5), ('gpu', 3), ('paper', 3))}


def runs(scale: str) -> list[Run]:
  """Every (arm, seed); seeds of an arm follow each other."""
  s = pick(SCALES, scale)
  return [Run(*x) for x in scales.structures(scale, s['arms'], s['seeds'])]


def table(records):
  """A row a run and evaluation during training: valid, percent. `last` marks
  the end, where also stand: of more samples valid_samples, valid_after (a
  prefix), distinct, percent, and reverse_kl; kl, both millinats/token; steps
  to 50 and to 90 % valid."""
  df = results.during_training(records, 'curve', {'valid': 'valid/none/model'})
  df['valid'] *= 100
  by = df.groupby('run', sort=False)
  df['last'] = df.step == by.step.transform('max')
  for name, columns, where in (
      ('samples', {'valid_samples': 'valid', 'distinct': 'distinct',
                   'reverse_kl': 'reverse_kl'}, {'prefix': 'none'}),
      ('samples', {'valid_after': 'valid'}, {'prefix': 'clean'}),
      ('law', {'kl': 'kl', 'accuracy': 'accuracy'}, {})):
    more = results.wide(records, name, columns, where=where)
    df = df.merge(more[['run', *columns]], on='run', how='left')
  for c in ('valid_samples', 'distinct', 'valid_after', 'accuracy'):
    df[c] *= 100
  df[['kl', 'reverse_kl']] *= 1000
  for bound in (50, 90):
    df[f'steps_{bound}'] = df.run.map({r: steps_to(x, bound) for r, x in by})
  return df


def steps_to(rows, bound: float) -> float:
  """The step at which `valid` first reaches a bound, between evaluations by a
  straight line; nan where it never does."""
  step, valid = rows.step.to_numpy(), rows.valid.to_numpy()
  i = int((valid >= bound).argmax())
  if valid[i] < bound:
    return float('nan')
  return float(step[i] - (step[i] - step[i - 1]) * (valid[i] - bound) / (
      valid[i] - valid[i - 1])) if i else float(step[0])


def summary(df):
  """Means at the end."""
  return results.summarise(df[df['last']], ['arm'], [
      'valid_samples', 'valid_after', 'kl', 'reverse_kl', 'distinct',
      'accuracy', 'steps_50', 'steps_90'])


def figure(df):
  """Valid samples by step; at the end valid share and relative entropies."""
  fig, (axes,) = figures.grid(3, width=4.1, height=3.7)
  s, names = summary(df), list(dict.fromkeys(df.arm))
  curve = results.summarise(df, ['arm', 'step'], ['valid'])
  for k, (_, rows) in enumerate(curve.groupby('arm', sort=False)):
    style = {'color': f'C{k}', 'marker': 'os'[k // 6]}
    figures.curves(axes[0], rows, 'step', 'arm', 'valid', **style)
  figures.percent_axis(axes[0], 140)
  figures.labels(axes[0], 'step (2,048 tokens)', 'samples valid, %',
                 'During training')
  figures.legend(axes[0], ncols=2, loc='upper left', fontsize=7)
  figures.bars(axes[1], s, 'valid_samples', names, horizontal=True)
  figures.labels(axes[1], 'samples valid, %', '', 'At the end')
  for k, (column, name) in enumerate((
      ('kl', 'of the grammar to the model'),
      ('reverse_kl', 'of valid samples to the grammar'))):
    figures.bars(axes[2], s, column, names, figures.COLOURS[k],
                 offset=0.38 * k - 0.19, width=0.36, label=name,
                 horizontal=True, digits=1)
  figures.labels(axes[2], 'millinats per token', '', 'Relative entropy')
  figures.legend(axes[2], loc='center right')
  figures.finish(
      fig, 'Learning a context-free grammar, by positions in attention',
      f'{figures.seeds_note(s)}; samples at temperature 1 from the beginning, '
      'accepted by the parser. Canon: at all four sites')
  return fig


def _pair(a: str, b: str) -> tuple:
  return tuple({'arm': arm, 'last': True} for arm in (a, b))


PART1, PART4 = 'Part 1, first results', 'Part 4.1, figure 7'
VALID = dict(column='valid_samples', decided_by='20 seeds, 2.5 core-hours')
CLAIMS = (
    Claim('rope_above_absolute', 'Valid samples: RoPE > absolute positions',
          PART1, 'clearly worse on hard grammars', _pair('RoPE', 'absolute'),
          greater(), **VALID),
    Claim('rope_above_nope', 'Valid samples: RoPE > NoPE by 30 points', PART4,
          '97.6 vs 38.8 %', _pair('RoPE', 'NoPE'), greater(30),
          paper_effect=58.8, headline=True, **VALID),
    Claim('canon_replaces_positions', 'NoPE with Canon is at most 5 points '
          'below RoPE', PART4, '92.5 vs 97.6 %', _pair('NoPE + Canon', 'RoPE'),
          greater(-5), **VALID),
    Claim('canon_adds', 'Valid samples: RoPE with Canon > RoPE', 'ours',
          '—', _pair('RoPE + Canon', 'RoPE'), greater(),
          **VALID),
    Claim('distance_suffices', 'Attention by distance alone is at most 15 '
          'points below RoPE', PART1, 'nearly as good', _pair(
              'distance', 'RoPE'), greater(-15), **VALID),
    Claim('uniform_above_absolute', 'Valid samples: uniform attention > '
          'absolute positions', PART1, 'nearly as good as RoPE', _pair(
              'uniform', 'absolute'), greater(), **VALID),
    Claim('quarter', 'A quarter of the rotary dimensions is at most 10 points '
          'below all', 'ours', '—', _pair(
              'RoPE, quarter', 'RoPE'), greater(-10), **VALID),
    Claim('same_order_by_kl', 'kl: NoPE > absolute > RoPE', 'ours',
          '—', (_pair('NoPE', 'absolute'), _pair(
              'absolute', 'RoPE')), greater(), 'kl', 'millinats/token'),
    Claim('canon_is_sooner', 'Steps to 50 % valid: RoPE takes more than RoPE '
          'with Canon', 'Part 4.1', 'faster', _pair('RoPE', 'RoPE + Canon'),
          times_more(), 'steps_50', 'steps'),
    Claim('after_a_prefix', 'NoPE: samples that continue a prefix are valid '
          'more often than from the beginning', 'ours', '—', (
              {'arm': 'NoPE', 'last': True, 'column': 'valid_after'},
              {'arm': 'NoPE', 'last': True, 'column': 'valid_samples'}),
          greater(), **VALID),
)
