"""Do small proxies find the mixture that a grid knows to be best?

Small models choose shares of domains for large ones: by their best run, a law
or polynomial of their losses (Ye et al., arXiv 2403.16952) or DoReMi (Xie et
al., 2305.10429). Larger proxies should rank better (Olmix, 2602.12237).

Domains: strings of a grammar and 512 people in bioD, the k-th as often as
k^-0.7; 0.3 people + 0.7 strings of the two losses is to be least. Regret: the
target's (width 48) at a choice, linear between its runs, less its least. Each
seed has its own grammar and people; all train 600 steps at one rate.

  python -m physics_lm.launch experiments/mixture_proxies.py --scale=cpu
  python -m physics_lm.report experiments/mixture_proxies.py --scale=cpu

30 core-minutes. Predicted (seed 7, not reported), widths 8, 16, 32: best runs
at 0.5, 0.7, 0.7 of people, target 0.3; rank correlation 0.7, 0.4, 0.4; regret
0.016, 0.029, 0.029, mixing law 0.017, 0.029, 0.021, quadratic 0.022, 0.029,
0.025, DoReMi 0.029, 0.021, 0.024, equal shares 0.016. Seeds 5 to 9 came later.
Deviations: mixture_choice.doremi_weights; weights set by seed 7.
"""

import numpy as np

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, at_most, between, greater
from physics_lm.configs import scales
from physics_lm.scaling.fitting import mixture_choice
from physics_lm.sweep import Run, pick

SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)  # of rows about people
SCALES = {
    'smoke': dict(widths=(16, 24), shares=SHARES[1:5], seeds=1, common={
        'steps': 4, 'evals.loss.every': 2, 'evals.loss.num_rows': 4,
        'data.batch_size': 4} | scales.SMOKE_LOG),
    'cpu': dict(widths=(8, 16, 32, 48), shares=SHARES, seeds=10, common={
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
  curves['loss'] = sum(w * curves[d] for d, w in zip(DOMAINS, WEIGHTS))
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
  return {'equal shares': 0.5} | {
      k: w[0] for k, w in mixture_choice.choices_of_curves(
          np.stack([share, 1 - share], 1), steps, L, WEIGHTS).items()}


def summary(df):
  """Over seeds: of runs by share (at), of choices by method."""
  df = df.assign(at=df.share.where(df.method.eq('run')))
  return results.summarise(df, ['method', 'width', 'at'], [
      *DOMAINS, 'loss', 'excess', 'share', 'regret', 'rank'])


def figure(df):
  """The mean loss by share and width; choices; their regret."""
  s, target = summary(df), df.width.max()
  names = {w: f'width {w}' for w in set(s.width)}
  names[target] += ' (target)'
  fig, ((loss, chosen, regret),) = figures.grid(3, width=3.7, height=3.5)
  grid, of = s[s['at'].notna()], s[s['at'].isna() & s.width.lt(target)]
  figures.curves(loss, grid, 'at', 'width', 'excess', names)
  figures.legend(loss)
  figures.labels(loss, 'share of biographies', 'nats per token',
                 'Loss above the least of its width')
  best = df[df.width.eq(target) & df.method.eq('best proxy run')].share
  for k, (_, rows) in enumerate(of.groupby('width')):
    figures.dots(chosen, rows.set_index('method').reindex(METHODS), 'share',
                 METHODS, 0.2 * k - 0.2, figures.COLOURS[k])
  chosen.axvspan(best.min(), best.max(), color=figures.GRID)
  figures.level(chosen, best.mean(), vertical=True)
  figures.labels(chosen, 'share of biographies', '', 'Chosen by each method')
  figures.grouped_bars(regret, of, 'method', 'width', 'regret', {
      m: m.replace(' ', '\n', 1) for m in METHODS}, names, numbers=False)
  figures.labels(regret, '', 'nats per token', 'Regret at the target')
  figures.finish(fig, 'A mixture chosen by small models, used for a larger one',
                 f'{figures.seeds_note(grid)};  dotted: the best share of the '
                 "target's own runs, grey: its range over seeds")
  return fig


def _at(width: int, method: str = 'best proxy run') -> dict:
  return {'width': width, 'method': method}


OLMIX, RANK = 'Olmix 2026', dict(column='rank', unit='')
OURS, SHARE = ('ours', '—'), dict(column='share', unit='of rows')
REGRET = dict(column='regret', unit='nats/token')
CLAIMS = (
    Claim('inside', "The target's own best share lies in 0.2 to 0.45", *OURS,
          (_at(48),), between(0.2, 0.45), **SHARE),
    Claim('more_people', 'Width 16 chooses a larger share of biographies than '
          'the target', *OURS, (_at(16), _at(48)), greater(), headline=True,
          **SHARE),
    *(Claim(f'rank_{w}', f'Rank correlation of width {w}: at most 0.73', OLMIX,
            '0.73 (1M parameters)', (_at(w),), at_most(0.73), post_hoc=w > 16,
            **RANK) for w in (16, 32)),
    Claim('rank_grows', 'Width 32 ranks the mixtures better than width 16',
          OLMIX, '0.89 vs 0.73', (_at(32), _at(16)), greater(), headline=True,
          paper_effect=0.16, **RANK),
    Claim('rank_gain', 'Width 32 ranks better by at most 0.16', OLMIX, '0.16', (
      _at(32), _at(16)), claims.exceeds_by_at_most(.16), post_hoc=True, **RANK),
    *(Claim(id, f'{method}, width {w}: less regret than equal shares', by,
            'better than the default', (_at(w, 'equal shares'), _at(w, method)),
            greater(), post_hoc=w > 16, **REGRET) for id, method, w, by in (
                ('law', 'mixing law', 16, 'Ye et al. 2024'),
                ('doremi', 'DoReMi', 16, 'Xie et al. 2023'),
                ('law_32', 'mixing law', 32, 'Ye et al. 2024'))),
    Claim('law_best', 'Mixing law: less regret than the quadratic', OLMIX,
          'log-linear best', tuple((_at(w, 'quadratic'), _at(w, 'mixing law'))
          for w in (16, 32)), greater(), post_hoc=True, **REGRET))
