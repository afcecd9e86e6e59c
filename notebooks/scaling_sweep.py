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
# # Scaling laws of our own runs, on data of known entropy
#
# A random context-free grammar has an exact distribution of the next symbol, so
# the entropy of its strings is known: no model has a lower loss. Runs of many
# sizes and lengths on it give the plots of Kaplan et al. 2020 and Hoffmann et
# al. 2022; beside each stands what a fit should find. In two bioD worlds person k
# is drawn with probability ~ k^-(1 + a): there theory gives the exponents too.
# Runs, table and claims are those of `experiments/scaling_sweep.py`; here they
# are shown.

# %%
# %matplotlib inline
import operator
import os

import numpy as np
import pandas as pd
from IPython.display import display

from physics_lm import claims, figures, results, sweep
from physics_lm.scaling import flops, plots, sweep_analysis
from physics_lm.scaling.fitting import approaches, core, diagnose, fits

exp = sweep.experiment(str(sweep.ROOT / 'experiments/scaling_sweep.py'))
records = results.read_records(
    results.records_path(sweep.ROOT / results.RESULTS, exp.name, 'cpu'))
every = exp.table(records)
df = every[every.world == 'grammar']
DRAWS = int(os.environ.get('DRAWS', 1000))  # of the bootstraps of this page
sweep_analysis.DRAWS = min(DRAWS, sweep_analysis.DRAWS)
pd.options.display.float_format = '{:.4g}'.format
made_by = results.provenance(records, exp.name, 'cpu')
{k: made_by[k] for k in ('runs', 'run_seconds', 'device', 'finished')}

# %%
for figure in exp.figure(every):
  display(figure)

# %%
pd.DataFrame([{
    'claim': j.claim.statement, 'paper': j.claim.paper, 'effect': j.interval,
    'unit': j.claim.unit, 'outcome': j.outcome, 'held': j.held,
    'post hoc': j.claim.post_hoc} for j in claims.judge_experiment(exp, every)])

# %% [markdown]
# ## The law of each world beside its truth
#
# Interval: 95 % by bootstrap over runs. Theory has no exponents for a grammar.


# %%
def interval(draws, quantity):
  """'0.301 to 0.412'"""
  return '{:.3f} to {:.3f}'.format(*draws.interval(quantity))


def a(params):
  """The exponent of N* ~ C^a."""
  return diagnose.frontier_exponent('chinchilla', params)


QUANTITIES = {k: operator.itemgetter(k) for k in ('E', 'alpha', 'beta')} | {
    'a': a}
rows = []
for world, own in every.groupby('world', sort=False):
  f, draws = sweep_analysis.chinchilla_fit(own)
  fixed, _ = sweep_analysis.fixed_entropy_fit(own)
  truth = {'E': own.entropy.iloc[0]}
  if world in exp.THEORY:
    truth |= dict(zip(('alpha', 'beta'), exp.THEORY[world]))
    truth['a'] = a(truth)
  rows += [{'world': world, 'quantity': k, 'fitted': g(f.params),
            '95 %': interval(draws, g), 'E fixed at the entropy': g(
                fixed.params), 'truth': truth.get(k, np.nan)}
           for k, g in QUANTITIES.items()]
pd.DataFrame(rows)

# %% [markdown]
# ## Equal compute (Hoffmann et al., approach 2): the grammar
#
# At each budget the loss has its minimum at some size, which is estimated by
# the vertex of a parabola. The bars are 95 % by linearisation.

# %%
iso = df[df.role == 'isoflop']
C, N, D, L = (iso[k].to_numpy(float) for k in ('budget', 'N', 'D', 'loss'))
entropy = df.entropy.iloc[0]
f = fits.chinchilla(N, D, L)
draws = fits.bootstrap(f, DRAWS)
found = approaches.approach2(C, N, D, L, 'parabola', f)
plots.isoflop(found, C, N, L)

# %%
pd.DataFrame([{k: v for k, v in b._asdict().items() if k in (
    'C', 'n', 'status', 'N', 'D', 'L', 'spread', 'left', 'right', 'bias')}
    for b in found.budgets])

# %% [markdown]
# ## The fitted surface (approach 3)

# %%
plots.contours(f)

# %%
plots.frontier(f, draws)

# %%
plots.parameter_pairs(draws)

# %%
plots.residuals(f)

# %% [markdown]
# The three approaches side by side. The envelope (approach 1) is of the last
# points of the runs of each size, each with a schedule of its own: no run is
# judged in the middle of another's schedule.

# %%
p = sweep_analysis.points(df)
mean = fits.chinchilla(*(p[k].to_numpy(float) for k in ('N', 'D', 'loss')))
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
# Take the surface with E fixed at the entropy for the truth, add to it one way
# in which the runs differ from it, and fit again: which of them moves E? In
# logarithms of the excess loss: the differences between seeds, drawn by whole
# seeds of a budget; with each budget's mean; with what remains at each size,
# the shape inside a budget; with both. Last, two other laws (next cells) as the
# truth. The median and the middle 90 % of 60 tables.

# %%
sharp = sweep_analysis.P_BOUNDS | core.fixed_bounds(E=entropy)
seed = iso.seed.to_numpy()
rng = np.random.default_rng(0)


def departures(law):
  """(log excess loss by the law, mean of each point about it, mean of each
  budget, the rest of each run)."""
  log = np.log(law.predict(N, D) - entropy)
  off = pd.Series(np.log(L - entropy) - log)
  point = off.groupby([C, N]).transform('mean')
  return log, point, off.groupby(C).transform('mean'), off - point


def refitted(law, shift=0.0, tables=min(60, DRAWS)):
  """Means over three seeds hold a third of their variance already."""
  log, _, _, rest = departures(law)
  scale = 1.5**0.5 * (1 if np.ndim(shift) == 0 else (2 / 3)**0.5)
  made = []
  for _ in range(tables):
    noise = np.empty(len(L))
    for budget in np.unique(C):
      for k in np.unique(seed):
        noise[(C == budget) & (seed == k)] = rest[
            (C == budget) & (seed == rng.choice(np.unique(seed)))]
    made.append(fits.chinchilla(N, D, entropy + np.exp(
        log + shift + scale * noise)).params['E'])
  return dict(zip(('E', '5 %', '95 %'), np.quantile(made, (0.5, 0.05, 0.95))))


fixed, _ = sweep_analysis.fixed_entropy_fit(df)
_, point, budget, _ = departures(fixed)
rows = [{'truth': name} | refitted(law, shift) for name, law, shift in (
    ('the sum, seeds', fixed, 0.0), ('the sum, seeds and budgets', fixed,
                                     budget),
    ('the sum, seeds and shapes', fixed, point - budget),
    ('the sum, seeds, budgets and shapes', fixed, point),
    ('the p-norm, seeds', fits.p_norm(N, D, L, bounds=sharp), 0.0),
    ('exponents by size, seeds', fits.size_dependent_exponent(
        N, D, L, bounds=core.fixed_bounds(E=entropy)), 0.0))]
pd.DataFrame([*rows, {'truth': 'the runs themselves', 'E': f.params['E']},
              {'truth': 'means over their seeds', 'E': mean.params['E']}])

# %% [markdown]
# Shapes inside budgets depend on how the limits of size and data combine.
# `laws.p_norm` fits that as well: E + ((A N^-alpha)^p + (B D^-beta)^p)^(1/p),
# where p = 1 is the sum. By `laws.size_dependent_exponent`, E + K N^-alpha
# D^-(beta + gamma ln N), sizes differ in their exponent in D and none has a
# limit of its own. Both were tried after the runs. Lack of fit: the mean square
# of the points about the law over that of seeds about their point (1: none), in
# logarithms of the loss, least squares.

# %%
rows = []
for world, own in every.groupby('world', sort=False):
  each = {'sum': sweep_analysis.chinchilla_fit(own),
          'p-norm': sweep_analysis.p_norm_fit(own),
          'exponents by size': sweep_analysis.size_dependent_exponent_fit(own)}
  for name, (law, refits) in each.items():
    rows.append({
        'world': world, 'law': name, 'entropy': own.entropy.iloc[0],
        'E': law.params['E'], '95 %': interval(refits, QUANTITIES['E']),
        'p or gamma': law.params.get('p', law.params.get('gamma', np.nan)),
        'objective / that of the sum': law.objective / each[
            'sum'][0].objective})
pd.DataFrame(rows)

# %%
logs = pd.Series(np.log(L))
pure = logs - logs.groupby([C, N]).transform('mean')
points = logs.groupby([C, N]).ngroups
rows = []
for name, law, count in (
    ('sum', fits.chinchilla, 5), ('p-norm', fits.p_norm, 6),
    ('exponents by size', fits.size_dependent_exponent, 5)):
  squares = law(N, D, L, objective='squared_log').objective
  rows.append({'law': name, 'lack of fit, F': (squares - (pure**2).sum()) / (
      points - count) / ((pure**2).sum() / (len(L) - points))})
pd.DataFrame(rows)

# %% [markdown]
# E by each law, of parts of the runs and at other learning rates (interval: 95
# % of 200 refits over runs, exponents by size).

# %%
plan = exp.SCALES['cpu']['grammar']
multiple = df.learning_rate / (plan.rate * (32 / df.width)**plan.rate_decay)
by_rule = df[df.role.isin(['isoflop', 'tune']) & ((multiple - 1).abs() < 0.01)]
parts = {'as used': iso, 'tuned throughout': sweep_analysis.at_tuned_rates(df),
         "the rule's learning rates": by_rule} | {
             f'seed {k}': own for k, own in iso.groupby('seed')} | {
             f'without {c:.0e}': iso[iso.budget != c]
             for c in iso.budget.unique()}
rows = []
for name, own in parts.items():
  columns = [own[k].to_numpy(float) for k in ('N', 'D', 'loss')]
  by_size = fits.size_dependent_exponent(*columns)
  rows.append({
      'runs': name, 'n': len(own), 'sum': fits.chinchilla(*columns).params['E'],
      'p-norm': fits.p_norm(*columns, bounds=sweep_analysis.P_BOUNDS
                            ).params['E'],
      'exponents by size': by_size.params['E'],
      '95 %': interval(fits.bootstrap(by_size, min(200, DRAWS)), QUANTITIES['E'])})
pd.DataFrame(rows)

# %% [markdown]
# Each size alone, E at the entropy: its exponent in D.

# %%
fig, axes = figures.grid(width=6, height=3.6)
ax = axes[0][0]
for (world, own), colour in zip(
    every.groupby('world', sort=False), figures.COLOURS):
  sizes = sweep_analysis.exponent_by_size(own)
  ax.errorbar(sizes.N, sizes.exponent, 1.96 * sizes.error, fmt='o-', capsize=2,
              color=colour, markersize=4, label=exp.WORLDS[world].title)
  if world in exp.THEORY:
    ax.axhline(exp.THEORY[world][1], color=colour, linestyle=':', linewidth=1)
ax.set_xscale('log')
ax.set_ylim(0, None)
figures.legend(ax)
figures.labels(ax, 'parameters N (bars: 95 %; dotted: theory)',
               'exponent of the excess loss in D',
               'Each size has an exponent of its own')
fig

# %% [markdown]
# What is learned last: to predict that a string stops here takes the rules of
# the root. Left, the excess loss of all tokens; right, of end tokens.

# %%
fig, axes = figures.grid(columns=2, width=4.6, height=3.4)
for ax, excess, title in zip(axes[0], (iso.loss - entropy, iso.kl_end), (
    'All tokens', 'End tokens')):
  ax.scatter(iso.C, excess.clip(lower=1e-5), c=np.log10(iso.N), cmap='viridis',
             s=14)
  ax.set(xscale='log', yscale='log')
  figures.labels(ax, 'compute C, FLOP (yellow: large N)',
                 'excess loss, nats per token', title)
fig

# %% [markdown]
# ## Power laws of the excess loss (Kaplan et al.)
#
# The best run of each budget; each size that is a third or less of the best of
# its budget, at its longest (data abound); sizes three times the best and more,
# by their length (only data are short).

# %%
fig, axes = figures.grid(columns=3, width=3.8, height=3.3)
names = {'C': 'compute C, FLOP', 'N': 'parameters N', 'D': 'tokens D'}
for ax, (name, (x, y, law, r2)) in zip(
    axes[0], sweep_analysis.power_laws(df).items()):
  ax.loglog(x, y, 'o', color=figures.COLOURS[0], markersize=4)
  line = np.geomspace(x.min(), x.max(), 20)
  ax.plot(line, law.coefficient * line**law.exponent, color=figures.INK,
          linewidth=1.1)
  error = law.covariance[0, 0]**0.5
  figures.labels(ax, names[name], 'excess loss, nats per token', f'exponent '
                 f'{-law.exponent:.2f} ± {error:.2f}, R2 {r2:.3f}')
  figures.plain_ticks(ax)
fig

# %% [markdown]
# ## Counting conventions
#
# The same runs and the same surface; only what counts as a FLOP, and whether N
# includes the embeddings, differs.

# %%
pd.DataFrame([{'convention': c, 'a': sweep_analysis.allocation_exponents(
    df, f.params, c)[0]} for c in flops.CONVENTIONS])

# %% [markdown]
# ## Schedules, learning rates, shapes

# %%
sweep_analysis.cooldowns(df)[['budget', 'seed', 'N', 'D', 'loss',
                              'loss_cooldown', 'difference']]

# %% [markdown]
# Learning rates, means over the sizes of a budget: the one where the fitted
# bowl is lowest, over the one used; what it would save of the loss, in per
# cent; what one rate for all sizes would; what the best single run would (with
# luck in it).

# %%
tuned = sweep_analysis.tuned_rates(df)
pd.DataFrame({'best / used': tuned.best / tuned.used} | {
    k: 100 * tuned[k] / tuned.loss for k in (
        'gain', 'gain_common', 'gain_luckiest')}).groupby(tuned.budget).mean()

# %%
pd.DataFrame(sweep_analysis.sensitivity(df).items(), columns=['what', 'value'])

# %%
sweep_analysis.shapes(df)[['depth', 'width', 'N', 'loss']]

# %% [markdown]
# ## Predictions from runs of a tenth of the compute

# %%
pd.concat([sweep_analysis.extrapolations(own) for _, own in every.groupby(
    'world', sort=False)]).groupby(['world', 'budget', 'N'], sort=False)[[
        'loss', 'predicted', 'low', 'high', 'error', 'error_fixed_entropy',
        'error_p_norm', 'accuracy', 'accuracy_predicted']].mean()

# %% [markdown]
# The largest budget of the grammar, predicted with exponents by size, E free:
# relative errors by size, means of seeds.

# %%
top = iso.budget.max()
small, large = sweep_analysis.smaller(df, top), p[p.budget == top]
by_size = fits.size_dependent_exponent(*(
    small[k].to_numpy(float) for k in ('N', 'D', 'loss')))
pd.DataFrame({'width': large.width, 'error': by_size.predict(
    large.N, large.D) / large.loss - 1})
