"""Do small proxies find the mixture that a grid knows to be best?

Small models choose shares of domains for large ones: by their best run, a law
or polynomial of their losses (Ye et al., arXiv 2403.16952; Liu et al.,
2407.01492) or DoReMi (Xie et al., 2305.10429). Larger proxies should rank the
mixtures better (Olmix, 2602.12237).

Domains: strings of a grammar and 512 people in bioD, the k-th as often as
k^-0.7; 0.3 people + 0.7 strings of the two losses is to be least. Regret: the
target's (width 48) at a choice, linear between its runs, less its least. Each
seed has its own grammar and people; all train 600 steps at one rate.

  python -m physics_lm.launch experiments/mixture_proxies.py --scale=cpu
  python -m physics_lm.report experiments/mixture_proxies.py --scale=cpu

18 core-minutes. Predicted, from seed 7 (not reported), widths 8, 16, 32: best
runs at 0.5, 0.7, 0.7 of people, target 0.3; rank correlation 0.7, 0.4, 0.4;
regret 0.016, 0.029, 0.029, mixing law 0.017, 0.029, 0.021, quadratic 0.022,
0.029, 0.025, DoReMi 0.029, 0.021, 0.024, equal shares 0.016: who holds some of
the facts asks for more of them than who holds all. Deviations: those of
mixture_choice.doremi_weights; weights set (seed 7) so that equal is not best.
"""

import numpy as np

from physics_lm import figures, results
from physics_lm.claims import Claim, at_most, between, greater
from physics_lm.configs import scales
from physics_lm.scaling.fitting import mixture_choice
from physics_lm.sweep import Run, pick

SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)  # of rows about people
SCALES = {
    'smoke': dict(widths=(16, 24), shares=SHARES[1:5], seeds=1,
                  common=scales.SMOKE_LOG | {
                      'steps': 4, 'evals.loss.every': 2,
                      'evals.loss.num_rows': 4, 'data.batch_size': 4}),
    'cpu': dict(widths=(8, 16, 32, 48), shares=SHARES, seeds=5, common={
        'evals.loss.every': 50, 'log.every': 300, 'checkpoint.every': 10_000,
        'runtime.max_vmapped_runs': 5})}
DOMAINS = ['people', 'strings']
WEIGHTS = np.array([0.3, 0.7])  # of the losses in what is to be least
METHODS = ('best proxy run', *mixture_choice.MODELS, 'DoReMi', 'equal shares')


def runs(scale: str) -> list[Run]:
  """Every (width, share, seed)."""
  s = pick(SCALES, scale)
  return [Run('configs/grammar.py:proxies', s['common'] | {
      'model.width': w, 'data.tasks.people.weight': r,
      'data.tasks.strings.weight': round(1 - r, 6)} | scales.seeds(seed),
              {'width': w, 'share': r, 'seed': seed})
          for w in s['widths'] for r in s['shares']
          for seed in range(s['seeds'])]


def table(records):
  """A row a run, of method 'run': both losses, `loss` by WEIGHTS, and `excess`
  over the least of its width and seed. Then a row a seed, width and method: the
  share of people it chooses from the runs of that width, the target's excess
  there (regret), and the rank correlation of the two grids."""
  import pandas as pd
  curves = results.during_training(records, 'loss', {d: d for d in DOMAINS})
  curves = curves.sort_values(['share', 'step'])
  curves['loss'] = curves[DOMAINS] @ WEIGHTS
  ends = curves[curves.step.eq(curves.step.max())]
  least = ends.groupby(['width', 'seed'])['loss'].transform('min')
  ends = ends.assign(excess=ends['loss'] - least)
  grids = dict(list(ends.groupby(['seed', 'width'])))
  rows = [ends.drop(columns='step').assign(method='run')]
  for (seed, width), runs_ in curves.groupby(['seed', 'width']):
    end, target = grids[seed, width], grids[seed, ends.width.max()]
    chosen = pd.DataFrame(choices(runs_).items(), columns=['method', 'share'])
    rows.append(chosen.assign(
        seed=seed, width=width,
        regret=np.interp(chosen.share, target.share, target.excess),
        rank=np.corrcoef(end.excess.rank(), target.excess.rank())[0, 1]))
  return pd.concat(rows, ignore_index=True)


def choices(curves):
  """{method: share of people} from curves, by share, of one width and seed."""
  share, steps = np.unique(curves.share), np.unique(curves.step)
  L = curves[DOMAINS].to_numpy().reshape(len(share), len(steps), 2)
  found = mixture_choice.choices_of_curves(
      np.stack([share, 1 - share], 1), steps, L, WEIGHTS)
  return {k: w[0] for k, w in found.items()} | {'equal shares': 0.5}


def summary(df):
  """Over seeds: of runs by share (at), of choices by method."""
  df = df.assign(at=df.share.where(df.method.eq('run')))
  return results.summarise(df, ['method', 'width', 'at'], [
      *DOMAINS, 'loss', 'excess', 'share', 'regret', 'rank'])


def figure(df):
  """The mean loss by share and width; choices; their regret."""
  s = summary(df)
  target = s.width.max()
  names = {w: f'width {w}' for w in sorted(set(s.width))}
  fig, ((loss, chosen, regret),) = figures.grid(3, width=3.7, height=3.5)
  is_run = s.method.eq('run')
  grid, of = s[is_run], s[~is_run & s.width.lt(target)]
  figures.curves(loss, grid, 'at', 'width', 'excess', names)
  figures.legend(loss)
  figures.labels(loss, 'share of people', 'nats per token',
                 'Loss above the least of its width')
  best = df[df.width.eq(target) & df.method.eq('best proxy run')].share
  for k, (_, rows) in enumerate(of.groupby('width')):
    rows = rows.set_index('method').reindex(METHODS)
    chosen.errorbar(rows.share_mean, np.arange(5) + 0.2 * k - 0.2, fmt='o',
                    xerr=figures.errors(rows, 'share'), markersize=4,
                    linewidth=0.8, color=figures.COLOURS[k])
  chosen.axvspan(best.min(), best.max(), color=figures.GRID)
  figures.level(chosen, best.mean(), vertical=True)
  figures.row_names(chosen, METHODS)
  figures.labels(chosen, 'share of people', '', 'What each method chooses')
  figures.grouped_bars(regret, of, 'method', 'width', 'regret', {
      m: m.replace(' ', '\n', 1) for m in METHODS}, names, numbers=False)
  figures.labels(regret, '', 'nats per token', 'Regret at the target')
  figures.finish(fig, 'A mixture chosen by small models, used for a larger one',
                 f'{figures.seeds_note(grid)};  the widest is the target; '
                 'dotted: its best share, grey: the range of that over seeds')
  return fig


def _at(width: int, method: str = 'best proxy run') -> dict:
  return {'width': width, 'method': method}


OLMIX, RANK = 'Olmix 2026', dict(column='rank', unit='')
OURS, SHARE = ('ours', 'not in the paper'), dict(column='share', unit='of rows')
REGRET = dict(column='regret', unit='nats/token')
CLAIMS = (
    Claim('inside', "The target's own best share lies in 0.2 to 0.45", *OURS,
          (_at(48),), between(0.2, 0.45), **SHARE),
    Claim('more_people', 'Width 16 chooses more people than the target does',
          *OURS, (_at(16), _at(48)), greater(), headline=True, **SHARE),
    Claim('rank', 'Rank correlation of width 16 and target: at most 0.73',
          OLMIX, '0.73 (1M parameters)', (_at(16),), at_most(0.73), **RANK),
    Claim('rank_grows', 'Width 32 ranks the mixtures better than width 16',
          OLMIX, '0.89 vs 0.73', (_at(32), _at(16)), greater(),
          paper_effect=0.16, headline=True, **RANK),
    *(Claim(id, f'{method}, width 16: less regret than equal shares', source,
            'better than the default', (
                _at(16, 'equal shares'), _at(16, method)), greater(), **REGRET)
      for id, method, source in (('law', 'mixing law', 'Ye et al. 2024'),
                                 ('doremi', 'DoReMi', 'Xie et al. 2023'))))
