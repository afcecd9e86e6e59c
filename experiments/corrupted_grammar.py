"""Does a model that has read corrupted strings recover from errors?

Part 1 (Allen-Zhu & Li, arXiv 2305.13673), its results on robustness: trained on
clean strings, a model does not complete a corrupted prefix; corrupted strings
among the training data teach it to, and a model of both then switches between a
correct and an erroneous mode, which a low temperature hides. The best predictor
of such data is known exactly (worlds/grammar.py), and it switches too: how near
is the model?

Of a share of the training strings each token is drawn anew with probability
0.15. A corrupted prefix is 10 tokens that no string of the grammar begins with;
its completion is right when it completes the prefix as it was before the noise.
error_mass: on symbols that cannot follow the string as it was.

  python -m physics_lm.launch experiments/corrupted_grammar.py --scale=cpu
  python -m physics_lm.report experiments/corrupted_grammar.py --scale=cpu

Predicted (no pilot), completions right at temperature 1, 0.2, %, by share of
corrupted strings: none 15, 20; 0.1 8, 50; 0.5 1, 65; the best predictor
of 0.5 0, 74. Clean prefixes at 1: 77, 70, 55. error_mass of 0.5 before
and after the first error, %: model 4 and 10, best predictor 3.5 and 10.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, equal, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

SHARES = (0.0, 0.1, 0.5)  # of corrupted strings
TEMPERATURES = {'samples': 1.0, 'cold': 0.2}
SCALES = {'smoke': dict(shares=(0.5,), seeds=1)} | {
    scale: dict(shares=SHARES, seeds=3) for scale in ('cpu', 'gpu', 'paper')}


def runs(scale: str) -> list[Run]:
  """Every (share, seed)."""
  s, (count, _, common) = pick(SCALES, scale), scales.STRUCTURE[scale]
  evals = scales.grammar_evals('noise', 'noise', num_problems=count)
  for name, t in TEMPERATURES.items():
    evals |= scales.grammar_evals(
        name, 'samples', num_problems=2 * count, decode=f'sample:{t}',
        prefixes='none,clean,corrupted')
  return [Run('configs/grammar.py:structure', common | evals | {
      'seed.init': seed, 'seed.data': seed, 'worlds.cfg.noise': 0.15,
      'worlds.cfg.corrupted': share}, {'share': share, 'seed': seed})
          for share in s['shares'] for seed in range(1, s['seeds'] + 1)]


def table(records):
  """A row a run, temperature, prefix and law ('model', or 'exact': the best
  predictor): valid, percent; and a row a run, law and `errors` (before, after
  the first error): error_mass and posterior, percent, kl in millinats."""
  import pandas as pd
  parts = [results.wide(records, name, ('valid',), ('prefix', 'law'),
                        percent=True).assign(temperature=t)
           for name, t in TEMPERATURES.items()]
  df = results.below(parts[0], *parts[1:])
  noise = results.wide(records, 'noise', ('kl', 'error_mass', 'posterior'),
                       ('law', 'errors'), percent=('error_mass', 'posterior'))
  noise['kl'] *= 1000
  law = results.wide(records, 'law', ('kl',))
  law = law.assign(kl=1000 * law.kl, law='model', errors='any')
  return pd.concat([df, noise, law], ignore_index=True)


def summary(df):
  """Over seeds."""
  return results.summarise(df, ['share', 'temperature', 'prefix', 'law',
                                'errors'], [
      'valid', 'error_mass', 'kl', 'posterior'])


def _lines(ax, rows, hue: str, column: str, names: dict) -> None:
  """Of each value of `hue` a line over the share, dotted for 'exact'."""
  for law, line in (('model', '-'), ('exact', ':')):
    for k, value in enumerate(names):
      part = rows[(rows[hue] == value) & (rows.law == law)]
      figures.curves(ax, part[part[f'{column}_mean'].notna()], 'percent', hue,
                     column, names if law == 'model' else {value: None},
                     color=figures.COLOURS[k], linestyle=line)
  figures.legend(ax, fontsize=7)


def figure(df):
  """Valid shares by share of corrupted strings, at two temperatures; the mass
  on errors before and after the first; relative entropy."""
  s = summary(df)
  s, (fig, (axes,)) = s.assign(percent=100 * s.share), figures.grid(
      4, width=3.3, height=3.6)
  x = 'corrupted training strings, %'
  for ax, t in zip(axes, TEMPERATURES.values()):
    _lines(ax, s[s.temperature == t], 'prefix', 'valid', {
        'none': 'from the beginning', 'clean': 'after a clean prefix',
        'corrupted': 'after a corrupted prefix'})
    figures.percent_axis(ax, 145)
    figures.labels(ax, x, 'samples valid, %', f'Temperature {t:g}')
  errors = {e: f'{e} the first error' for e in ('before', 'after')}
  _lines(axes[2], s, 'errors', 'error_mass', errors)
  figures.labels(axes[2], x, '%', 'Mass on errors, corrupted strings')
  _lines(axes[3], s, 'errors', 'kl', errors)
  figures.labels(axes[3], x, 'millinats per token', 'Best predictor to model')
  figures.finish(
      fig, 'Training on corrupted strings (each token random with '
      'probability 0.15)', f'{figures.seeds_note(s)}. Dotted: the best '
      'predictor of the training data, exact')
  return fig


def cell(share: float, prefix: str = 'corrupted', temperature: float = 1.0,
         law: str = 'model') -> dict:
  """A cell of valid shares."""
  return dict(share=share, prefix=prefix, temperature=temperature, law=law)


def mass(errors: str, law: str = 'model') -> dict:
  """A cell of a half of the strings corrupted."""
  return dict(share=0.5, errors=errors, law=law)


PART1, VALID = 'Part 1, robustness', dict(
    column='valid', decided_by='five seeds, 10 core-minutes')
CLAIMS = (
    Claim('corrupted_data_help', 'Corrupted prefixes, temperature 0.2: 10 % '
          'of corrupted strings > none', PART1, 'corrupted data help', (
              cell(0.1, temperature=0.2), cell(0.0, temperature=0.2)),
          greater(), **VALID),
    Claim('clean_is_not_robust', 'Trained on clean strings: clean prefixes > '
          'corrupted ones by 40 points', PART1, 'not robust', (
              cell(0.0, 'clean'), cell(0.0)), greater(40), **VALID),
    Claim('cold_hides', '50 % corrupted: corrupted prefixes at temperature 0.2 '
          '> 1 by 20 points', PART1, 'a low temperature hides it', (
              cell(0.5, temperature=0.2), cell(0.5)), greater(20), **VALID),
    Claim('mode_switch', '50 % corrupted: more mass on errors after the first '
          'error than before', PART1, 'two modes', (
              mass('after'), mass('before')), greater(), 'error_mass'),
    Claim('as_the_best_predictor', '50 % corrupted: mass on errors within 2 '
          'points of the best predictor, before and after', 'ours',
          '—', tuple((mass(e), mass(e, 'exact'))
                                    for e in ('before', 'after')), equal(2),
          'error_mass'),
    Claim('right_as_often', 'Corrupted prefixes, temperature 1, 50 % '
          'corrupted: within 5 points of the best predictor', 'ours',
          '—', (cell(0.5), cell(0.5, law='exact')), equal(5),
          **VALID),
    Claim('clean_cost', 'From the beginning, temperature 0.2: 50 % corrupted '
          'is at most 10 points below none', 'ours', '—', (
              cell(0.5, 'none', 0.2), cell(0.0, 'none', 0.2)), greater(-10),
          **VALID),
)
