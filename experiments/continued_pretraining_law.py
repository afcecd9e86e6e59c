"""Can the losses after continued pretraining be predicted from other runs?

Que et al. (D-CPT law, arXiv 2406.01375): after continued pretraining of N
parameters on D tokens, a share r of them from the domain, its loss is E + A /
N^alpha + B r^eta / D^beta + C / (r + eps)^gamma; so is that on earlier text. R2
(0.5B to 4B parameters, six domains): earlier text 0.997, domain 0.980; sizes,
tokens, shares left out of the fit: 0.952, 0.913, 0.972.

As in replay_and_rewarming.py: 1.3M tokens of grammar A, then B, marked by a
tag, and replayed A: four sizes, budgets and shares. R2 is that of losses, nats
per token, each value of a variable but the least left out in turn (below it
a law is free). Beside it, a law of own tokens: E + A / N^alpha + B / (rD)^beta.

  python -m physics_lm.launch experiments/continued_pretraining_law.py \
      --scale=cpu
  python -m physics_lm.report experiments/continued_pretraining_law.py \
      --scale=cpu
Predicted, R2 in percent: B 98 (left out: a size 95, a budget 90, a share 95); A
is forgotten the more, the longer B is read, while the law falls in D: A 85.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, at_most, greater
from physics_lm.configs import scales
from physics_lm.scaling.fitting import diagnose, fits
from physics_lm.sweep import Run, pick

SHARES = (0.1, 0.3, 0.6, 0.9)  # of B's rows
EIGHT = {f'evals.{name}.num_problems': 8 for name in ('law', 'next_law')}
SCALES = {
    'smoke': dict(widths=(16,), steps=(4,), shares=(0.3, 0.9), first=10,
                  seeds=1, common=scales.SMOKE_LOG | EIGHT),
    'cpu': dict(widths=(12, 16, 24, 32), steps=(100, 200, 400, 800),
                shares=SHARES, first=2000, seeds=3, common={
                    'log.every': 400, 'runtime.max_vmapped_runs': 5}),
    'gpu': dict(widths=(64, 96, 128, 192, 256), steps=(625, 1250, 2500, 5000),
                shares=SHARES, first=20_000, seeds=3,
                common=scales.GRAMMAR_GPU)}
POINT = ['stage', 'width', 'steps', 'share']
LOSSES, EXCESS = {'A': 'nll', 'B': 'next_nll'}, {'A': 'kl', 'B': 'next_kl'}
LEFT_OUT = {'nothing': '', 'a size': 'n', 'a budget': 'd', 'a share': 'share'}
FIT = ('law', 'loss', 'left_out', 'fit_A', 'fit_B', 'r2')
DCPT, OWN, ROWS = 'D-CPT', 'own tokens', 9


def runs(scale: str) -> list[Run]:
  """Of every width and seed: A, then B by steps and share."""
  s, out = pick(SCALES, scale), []
  for width in s['widths']:
    for seed in range(s['seeds']):
      own = scales.CONTINUED | scales.MARKED | {
          'model.width': width} | s['common'] | scales.seeds(seed)
      base = Run('configs/grammar.py:continued', own | scales.replayed(1.0) | {
          'steps': s['first']}, dict(zip(POINT, ('A', width, s['first'], 0.0)))
                 | {'seed': seed})
      out += [base, *(Run(
          base.config_file, own | scales.continuation(steps, 1 - share, seed),
          dict(zip(POINT, ('B', width, steps, share))) | {'seed': seed},
          init_from=base) for steps in s['steps'] for share in s['shares'])]
  return out


def table(records):
  """A row a run: nll and next_nll, losses on A and B, nats per token, kl and
  next_kl less the entropies; n, FLOP per token / 6; d, tokens; fit_A, fit_B: kl
  by the law, fitted to all runs of the seed. Then a row a seed, law, loss and
  what was left out of the fit: r2, %."""
  import pandas as pd
  df = results.wide(records, 'law', ('nll', 'kl'))
  for k in ('nll', 'kl'):
    df = results.beside(df, results.wide(records, 'next_law', {f'next_{k}': k}),
                        f'next_{k}')
  df = df.merge(results.train_columns(records, {
      'flops': 'flops', 'd': 'tokens'}), on='run', how='left')
  df['n'] = df.pop('flops') / (6 * df.d)
  rows = []
  for seed, g in df[df.stage.eq('B')].groupby('seed'):
    for loss, column in LOSSES.items() if len(g) > ROWS else ():
      own = g.share if loss == 'B' else 1 - g.share
      laws = {DCPT: fits.dcpt(g.n, g.d, own, g[column], starts=4),
              OWN: fits.chinchilla(g.n, own * g.d, g[column])}
      df.loc[g.index, f'fit_{loss}'] = laws[DCPT].predict(
          g.n, g.d, own).round(3) - g[column] + g[EXCESS[loss]]
      rows += [dict(stage='fit', seed=seed, loss=loss, left_out=what, law=name,
                    r2=round(100 * diagnose.explained_variance(  # known to 0.1
                        f, g[by].where(g[by] > min(g[by])) if by else None), 0))
               for name, f in laws.items() for what, by in LEFT_OUT.items()]
  return pd.concat([df, pd.DataFrame(rows)], ignore_index=True)


def summary(df):
  """Means by point; of fits by loss and what was left out."""
  df = df.reindex(columns=[*df, *(c for c in FIT if c not in df)])
  return results.summarise(df, [*POINT, *FIT[:3]], [
      *LOSSES.values(), *EXCESS.values(), *FIT[3:]])


def figure(df):
  """Both losses of the largest model by share, with the law; R2."""
  s = summary(df)
  fig, (axes,) = figures.grid(3, width=4.0, height=3.5)
  grid = s[s.stage.eq('B') & s.width.eq(s.width.max())]
  names = {n: f'{n * 672 / 1000:,.0f}k' for n in sorted(set(grid.steps))}
  by = grid.assign(share=grid.share + 0.012 * (  # intervals side by side
      grid.steps.rank(method='dense') - (len(names) + 1) / 2))
  for ax, (of, column) in zip(axes, EXCESS.items()):
    figures.curves(ax, by, 'share', 'steps', column, names, False, linestyle='')
    figures.curves(ax, grid, 'share', 'steps', f'fit_{of}', dict.fromkeys(
        names, ''), None, linestyle=':', marker=''), ax.set_xticks(SHARES)
    figures.labels(ax, 'share of B in the rows', 'nats per token',
                   f'Excess loss on {of}, largest model')
  figures.legend(axes[0], title='tokens, A and B')
  fit = s[s.stage.eq('fit')]
  fit = fit.assign(arm=[f'{a}, loss on {b}' for a, b in zip(fit.law, fit.loss)])
  if len(fit):
    figures.grouped_bars(axes[2], fit, 'left_out', 'arm', 'r2', {
        k: k for k in LEFT_OUT}, {k: k for k in sorted(set(fit.arm))}, floor=0)
    figures.percent_axis(axes[2], 140)
    figures.legend(axes[2], ncols=2, loc='upper center')
  figures.labels(axes[2], 'left out of the fit', 'R², %', 'Variance explained')
  figures.finish(fig, 'Continued pretraining on grammar B after A', figures.
                 seeds_note(grid) + ';  dotted: D-CPT law;  own: of A, or of B')
  return fig


def _fit(loss: str, out: str, law: str = DCPT) -> dict:
  return {'stage': 'fit', 'law': law, 'loss': loss, 'left_out': out}


OURS = ('ours', '—')
PAPER = {'B': (98.0, 95.2, 91.3, 97.2), 'A': (99.7, 95.2, 91.3, 97.2)}
CLAIMS = (
    *(Claim(f'{loss}_{what.split()[-1]}', f'D-CPT law, loss on {loss}, {what} '
            'left out: at least 90 % of the variance explained', 'Que et al.',
            f'{paper} %', (_fit(loss, what),), at_least(90.0), 'r2',
            post_hoc=what in ('a size', 'a budget'),
            decided_by='a fifth width' if loss + what == 'Aa size' else '')
      for loss, papers in PAPER.items()
      for what, paper in zip(LEFT_OUT, papers)),
    Claim('forgets_with_tokens', '10 % replay, largest model: the loss on A is '
          'higher after 538k tokens than after 67k', *OURS, tuple(
              dict(stage='B', width=32, steps=n, share=.9) for n in (800, 100)),
          greater(), 'nll', unit='nats/token'),
    Claim('below_the_paper', 'D-CPT law, both losses: at most 95 % explained',
          'Que et al.', '98.0 and 99.7 %', tuple((_fit(x, 'nothing'),) for x
          in LOSSES), at_most(95), 'r2', post_hoc=True),
    *(Claim(f'own_tokens_{loss}', f'Loss on {loss}: the law of its own tokens '
            'explains at most 5 points less than the D-CPT law', *OURS, tuple(
                _fit(loss, 'nothing', law) for law in (OWN, DCPT)), greater(-5),
            'r2', post_hoc=True, headline=loss == 'B') for loss in LOSSES))
