# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Scaling laws of our own runs, where the truth is known
#
# A random context-free grammar has an exact law of the next symbol, so the
# entropy of its strings is known: the loss that no model can beat. Runs of many
# sizes and lengths on it give all the plots of Kaplan et al. 2020 and Hoffmann
# et al. 2022; beside each stands what a fit should have found. In two more worlds
# person k is told of with probability ~ k^-(1 + a): there the exponents are known
# too. The runs, the table and the rules are in `experiments/scaling_sweep.py` and
# `experiments/scaling_prediction.py`; here they are only shown.

# %%
# %matplotlib inline
import json
import os

import numpy as np
import pandas as pd
from IPython.display import Markdown

from physics_lm import plots as look
from physics_lm import report, sweep
from physics_lm.scaling import (
    analysis,
    approaches,
    diagnose,
    fit,
    flops,
    plots,
)

exp = sweep.experiment(str(sweep.ROOT / 'experiments/scaling_sweep.py'))
results = report.RESULTS / 'scaling_sweep'
every = pd.read_csv(results / 'cpu.csv')
df = every[every.world == every.world.iloc[0]]
made_by = json.loads((results / 'cpu.json').read_text())
DRAWS = int(os.environ.get('DRAWS', 1000))  # of the bootstrap
pd.options.display.float_format = '{:.4g}'.format
{k: made_by[k] for k in ('runs', 'run_seconds', 'device', 'git', 'finished')}

# %%
exp.figure(every)

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(every)))

# %% [markdown]
# ## The law of each world beside its truth
#
# Interval: 95 % by bootstrap over runs. What theory says of a grammar's exponents
# is not known.

# %%
truths = []
for world, own in every.groupby('world', sort=False):
  f, draws = analysis.surface(own)
  known = exp.theory(world)
  theory = {'E': own.floor.iloc[0]}
  if known:
    theory |= {'alpha': known[0], 'beta': known[1],
               'a': known[1] / sum(known)}
  ask = {k: (lambda p, k=k: p[k]) for k in ('E', 'alpha', 'beta')} | {
      'a': diagnose.ALLOCATION['chinchilla']}
  truths += [{'world': world, 'quantity': k, 'fitted': g(f.params),
              '95 %': '{:.3f} to {:.3f}'.format(*draws.interval(g)),
              'E held at the truth': g(analysis.pinned(own)[0].params),
              'truth': theory.get(k, np.nan)} for k, g in ask.items()]
pd.DataFrame(truths)

# %% [markdown]
# ## Equal compute (Hoffmann et al., approach 2): the grammar
#
# At each budget the loss has its minimum at some size; the vertex of a parabola
# is taken for it. The bars are 95 % by linearisation.

# %%
iso = df[df.role == 'isoflop']
C, N, D, L = (iso[k].to_numpy(float) for k in ('budget', 'N', 'D', 'loss'))
low = df.floor.iloc[0]
f = fit.chinchilla(N, D, L)
draws = fit.bootstrap(f, DRAWS)
found = approaches.approach2(C, N, D, L, 'parabola', f)
plots.isoflop(found, C, N, L)

# %%
pd.DataFrame([{k: v for k, v in b._asdict().items() if k in (
    'C', 'n', 'status', 'N', 'D', 'L', 'spread', 'left', 'right', 'bias')}
    for b in found.budgets])

# %% [markdown]
# ## The surface (approach 3), and what it says of the floor

# %%
a = diagnose.ALLOCATION['chinchilla']
rows = [{'quantity': k, 'value': v, '95 %': '{:.4g} to {:.4g}'.format(
    *draws.interval(lambda p, k=k: p[k])), 'truth': low if k == 'E' else np.nan,
    'E held at the truth': analysis.pinned(df)[0].params[k]}
    for k, v in f.params.items()]
rows.append({'quantity': 'a', 'value': a(f.params),
             '95 %': '{:.4g} to {:.4g}'.format(*draws.interval(a)),
             'E held at the truth': a(analysis.pinned(df)[0].params)})
pd.DataFrame(rows)

# %%
plots.contours(f)

# %%
plots.frontier(f, draws)

# %%
plots.pairs(draws)

# %%
plots.residuals(f)

# %% [markdown]
# The three approaches side by side. The envelope (approach 1) is of the ends of
# the runs of each size, each with a schedule of its own: no run is judged in
# the middle of another's schedule.

# %%
p = analysis.points(df)
mean = fit.chinchilla(*(p[k].to_numpy(float) for k in ('N', 'D', 'loss')))
sides = approaches.side_by_side(mean, 10 * C.max(), p.width.to_numpy(),
                                p.budget.to_numpy(float))
pd.DataFrame(sides)

# %%
plots.approach_bars(sides, draws.interval(a))

# %% [markdown]
# Other forms of the law on the same runs (AICc, lower is better):

# %%
pd.DataFrame(diagnose.compare(N, D, L))

# %% [markdown]
# ## Why the grammar's fitted E is too low
#
# Take the surface with E held at the entropy for the truth, put on it one way in
# which the runs differ from it, and fit again: which of them moves E? In logarithms
# of the loss above the floor: what seeds differ by, drawn by whole seeds of a
# budget; with each budget's mean; with what is left at each size, the shape inside
# a budget; with both. Last, two other laws (next cells) as the truth. The median
# and the middle 90 % of 60 tables.

# %%
sharp = analysis.BOUNDS | fit.held(E=low)
seed = iso.seed.to_numpy()
rng = np.random.default_rng(0)


def departures(law):
  """(log above the floor by the law, mean of each point about it, mean of each
  budget, what is left of each run)."""
  log = np.log(law.predict(N, D) - low)
  off = pd.Series(np.log(L - low) - log)
  point = off.groupby([C, N]).transform('mean')
  return log, point, off.groupby(C).transform('mean'), off - point


def refitted(law, shift=0.0, tables=60):
  """Means over three seeds hold a third of their variance already."""
  log, _, _, left = departures(law)
  scale = 1.5**0.5 * (1 if np.ndim(shift) == 0 else (2 / 3)**0.5)
  made = []
  for _ in range(tables):
    noise = np.empty(len(L))
    for budget in np.unique(C):
      for k in np.unique(seed):
        noise[(C == budget) & (seed == k)] = left[
            (C == budget) & (seed == rng.choice(np.unique(seed)))]
    made.append(fit.chinchilla(N, D, low + np.exp(
        log + shift + scale * noise)).params['E'])
  return dict(zip(('E', '5 %', '95 %'), np.quantile(made, (0.5, 0.05, 0.95))))


held = analysis.pinned(df)[0]
_, point, budget, _ = departures(held)
means = analysis.points(df)
rows = [{'truth': name} | refitted(law, shift) for name, law, shift in (
    ('the sum, seeds', held, 0.0), ('the sum, seeds and budgets', held, budget),
    ('the sum, seeds and shapes', held, point - budget),
    ('the sum, seeds, budgets and shapes', held, point),
    ('the p-norm, seeds', fit.p_norm(N, D, L, bounds=sharp), 0.0),
    ('the crossed law, seeds', fit.crossed(N, D, L, bounds=fit.held(E=low)), 0.0))]
pd.DataFrame([*rows, {'truth': 'the runs themselves', 'E': f.params['E']},
              {'truth': 'means over their seeds', 'E': fit.chinchilla(
                  *(means[k].to_numpy(float) for k in ('N', 'D', 'loss'))
                  ).params['E']}])

# %% [markdown]
# Shapes inside budgets say how the limits of size and data combine. `laws.p_norm`
# fits that as well: E + ((A N^-alpha)^p + (B D^-beta)^p)^(1/p), where p = 1 is the
# sum. By `laws.crossed`, E + K N^-alpha D^-(beta + gamma ln N), sizes differ in their
# exponent in D and none has a floor of its own. Both were tried when the runs had
# been seen. Lack of fit: the mean square of the points about the law over that of
# seeds about their point (1: none), in logarithms of the loss, least squares.

# %%
meet = []
for world, own in every.groupby('world', sort=False):
  (one, _), (bent, wide) = analysis.surface(own), analysis.p_norm(own)
  cross, crossings = analysis.crossed(own)
  meet.append({'world': world, 'entropy': own.floor.iloc[0],
               'E, sum': one.params['E'], 'E': bent.params['E'],
               '95 %': '{:.3f} to {:.3f}'.format(*wide.interval(
                   lambda p: p['E'])), 'p': bent.params['p'],
               'p, 95 %': '{:.2f} to {:.2f}'.format(*wide.interval(
                   lambda p: p['p'])), "objective, of the sum's":
               bent.objective / one.objective, 'E, crossed': cross.params['E'],
               '95 %, crossed': '{:.3f} to {:.3f}'.format(*crossings.interval(
                   lambda p: p['E'])), 'gamma': cross.params['gamma'],
               "crossed objective, of the sum's":
               cross.objective / one.objective})
pd.DataFrame(meet)

# %%
logs = pd.Series(np.log(L))
pure = logs - logs.groupby([C, N]).transform('mean')
points = logs.groupby([C, N]).ngroups
lack = []
for name, law, count in (('sum', fit.chinchilla, 5), ('p-norm', fit.p_norm, 6),
                         ('crossed', fit.crossed, 5)):
  squares = law(N, D, L, objective='squared_log').objective
  lack.append({'law': name, 'lack of fit, F': (squares - (pure**2).sum()) / (
      points - count) / ((pure**2).sum() / (len(L) - points))})
pd.DataFrame(lack)

# %% [markdown]
# E by each law, of parts of the runs and at other rates (interval: 95 % of 200
# refits over runs, crossed law).

# %%
multiple = df.rate / (exp.RATE * (32 / df.width)**exp.FALL)
ruled = df[df.role.isin(['isoflop', 'tune']) & ((multiple - 1).abs() < 0.01)]
parts = {'as used': iso, 'tuned throughout': analysis.retuned(df),
         "the rule's rates": ruled} | {
             f'seed {k}': own for k, own in iso.groupby('seed')} | {
             f'without {c:.0e}': iso[iso.budget != c] for c in iso.budget.unique()}
firm = []
for name, own in parts.items():
  columns = [own[k].to_numpy(float) for k in ('N', 'D', 'loss')]
  cross = fit.crossed(*columns)
  firm.append({'runs': name, 'n': len(own),
               'sum': fit.chinchilla(*columns).params['E'],
               'p-norm': fit.p_norm(*columns, bounds=analysis.BOUNDS).params['E'],
               'crossed': cross.params['E'], '95 %': '{:.3f} to {:.3f}'.format(
                   *fit.bootstrap(cross, 200).interval(lambda p: p['E']))})
pd.DataFrame(firm)

# %% [markdown]
# The largest budget foretold from runs of a tenth by the crossed law, E free:
# relative errors by size, means of seeds.

# %%
small, large = iso[iso.budget <= iso.budget.max() / 10], means[
    means.budget == iso.budget.max()]
cross = fit.crossed(*(small[k].to_numpy(float) for k in ('N', 'D', 'loss')))
pd.DataFrame({'width': large.width, 'error': cross.predict(
    large.N, large.D) / large.loss - 1})

# %% [markdown]
# Each size alone, the floor at the entropy: its exponent in D.

# %%
fig, axes = look.figure(columns=1, width=6, height=3.6)
ax = axes[0][0]
for (world, own), colour in zip(
    every.groupby('world', sort=False), look.COLOURS):
  sizes = analysis.by_size(own)
  ax.errorbar(sizes.N, sizes.exponent, 1.96 * sizes.error, fmt='o-', capsize=2,
              color=colour, markersize=4, label=world)
  if known := exp.theory(world):
    ax.axhline(known[1], color=colour, linestyle=':', linewidth=1)
ax.set_xscale('log')
ax.set_ylim(0, None)
ax.legend(frameon=False, fontsize=8)
look.title(ax, 'Each size has an exponent of its own')
ax.set_xlabel('parameters N (bars: 95 %; dotted: theory)', fontsize=9)
ax.set_ylabel('exponent of loss - entropy in D', fontsize=9)
fig

# %%
pd.concat([analysis.by_size(own).assign(world=world)
           for world, own in every.groupby('world', sort=False)]).drop(
               columns='N').pivot(index='width', columns='world')

# %% [markdown]
# What is learned last: to know that a string ends here takes the rules of the
# root. Left, all of the relative entropy; right, what of it is at end tokens.

# %%
fig, axes = look.figure(columns=2, width=4.6, height=3.4)
for ax, what, title in zip(axes[0], (iso.loss - low, iso.kl_end), (
    'All tokens', 'End tokens')):
  ax.scatter(iso.C, what.clip(lower=1e-5), c=np.log10(iso.N), cmap='viridis',
             s=14)
  ax.set(xscale='log', yscale='log', xlabel='compute C, FLOP (yellow: large N)')
  look.title(ax, title)
axes[0][0].set_ylabel('relative entropy, nats a token', fontsize=9)
fig

# %% [markdown]
# ## Power laws above the floor (Kaplan et al.)
#
# With the entropy taken off: the best run of each budget; each size that is a
# third or less of the best of its budget, at its longest (data abound); sizes three
# times the best and more, by their length (only data are short).

# %%
fig, axes = look.figure(columns=3, width=3.8, height=3.3)
names = {'C': 'compute C, FLOP', 'N': 'parameters N', 'D': 'tokens D'}
for ax, (name, (x, y, law, r2)) in zip(axes[0], analysis.power_laws(df).items()):
  ax.loglog(x, y, 'o', color=look.COLOURS[0], markersize=4)
  line = np.geomspace(x.min(), x.max(), 20)
  ax.plot(line, law.coefficient * line**law.exponent, color=look.INK,
          linewidth=1.1)
  error = law.covariance[0, 0]**0.5
  look.title(ax, f'exponent {-law.exponent:.2f} ± {error:.2f}, R2 {r2:.3f}')
  ax.set_xlabel(names[name], fontsize=9)
  look.plain_ticks(ax)
axes[0][0].set_ylabel('loss - entropy, nats a token', fontsize=9)
fig

# %% [markdown]
# ## What is counted
#
# The same runs and the same surface; only what counts as a FLOP, and whether N
# holds the embeddings, differs.

# %%
pd.DataFrame([{'convention': c, 'a': analysis.allocation(df, f, c)}
              for c in flops.CONVENTIONS])

# %% [markdown]
# ## Schedules, learning rates, shapes

# %%
analysis.schedules(df)[['budget', 'N', 'D', 'loss', 'loss_branch',
                        'difference', 'seconds', 'seconds_branch']]

# %% [markdown]
# Learning rates, means over the sizes of a budget: the rate where the fitted bowl
# is lowest, over that used; what it would save of the loss, in per cent; what the
# best single run would (with luck in it); what one rate for all sizes would.

# %%
tuned = analysis.tuning(df)
pd.DataFrame({'best / used': tuned.best / tuned.used} | {
    k: 100 * tuned[k] / tuned.of for k in ('gain', 'least', 'others')}).groupby(
        tuned.budget).mean()

# %%
pd.DataFrame(analysis.moved(df).items(), columns=['what', 'value'])

# %%
analysis.shapes(df)[['depth', 'width', 'N', 'loss']]

# %% [markdown]
# ## The largest runs, foretold

# %%
told = sweep.experiment(str(sweep.ROOT / 'experiments/scaling_prediction.py'))
runs = every[every.role == 'isoflop']
print(told.show(runs))

# %%
told.figure(runs)

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in told.verdict(runs)))
