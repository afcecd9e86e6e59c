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
# # iGSM: the problems
#
# The data of Parts 2.1 and 2.2 of *Physics of Language Models*: what a problem
# looks like, whether ours are drawn by the same law as the authors', and what
# the checker says of spoiled solutions. Nothing is trained here.

# %%
import textwrap

import pandas as pd

from physics_lm.worlds import base
from physics_lm.worlds.igsm import reference_stats as statistics

world = base.world_from_flags('igsm', ['retry_rate=0.2'], seed=0)
example = next(e for e in (world.example('train_op6', i) for i in range(100))
               if e.meta['retries'])
for text in (world.prompt(example), ''.join(
    example.pieces[i] for i in example.loss)):
  print(textwrap.fill(text.strip(), 80), '\n')

# %% [markdown]
# ## Statistics
#
# 3,000 problems of a setting against the authors' code (1,000 problems; 200 for
# the mix of sentences and what follows) or against the law. `apart` is the
# difference in standard errors of both samples.

# %%
table = pd.DataFrame(
    [r._asdict() | {'apart': r.apart} for setting in statistics.SETTINGS
     for r in statistics.statistics_rows(setting, 3000)])
laws = table.exact & (table.what != 'op 1')
table[~laws].drop(columns='exact').round(3)

# %% [markdown]
# Shares of problems by operations against the law (the smaller of two
# uniforms): chi-squared over its degrees of freedom.

# %%
def chi_squared(group):
  expected = 3000 * group.theirs
  return ((3000 * group.ours - expected)**2 / expected).sum() / (
      len(group) - 1)

table[table.exact].groupby('setting').apply(
    chi_squared, include_groups=False).round(2)

# %% [markdown]
# ## The checker
#
# What it says of wrong solutions of the problem above: of each the first thing
# that is wrong.

# %%
right = ''.join(example.pieces[i] for i in example.loss)
steps = [s + '.' for s in right.split('.') if s.strip()]
for name, text in {
    'as it is': right, 'without its first step': ''.join(steps[1:]),
    'without its last': ''.join(steps[:-1]), 'backwards': ''.join(steps[::-1]),
    'another answer': right.rsplit(' ', 1)[0] + ' 22.',
    'nothing': ''}.items():
  print(f'{name:24}', world.check(example, text).reason)
