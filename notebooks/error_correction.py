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
# # Learning from mistakes
#
# Before a step of a solution stands, now and then, a step that cannot be taken
# yet, and "BACK". Do models trained on such solutions reason better than models
# trained on flawless ones, at equal tokens? Part 2.2 of *Physics of Language
# Models*, Results 3 to 5 and 8, at the scale of two CPU cores. The runs, the
# table and the figure are defined in `experiments/error_correction.py`; here
# they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/error_correction.py'))
results = report.RESULTS / 'error_correction'
df = pd.read_csv(results / 'cpu.csv')
made_by = json.loads((results / 'cpu.json').read_text())
{k: made_by[k] for k in ('runs', 'run_seconds', 'device', 'git', 'finished')}

# %%
exp.figure(df)

# %% [markdown]
# ## Table
#
# Mean and standard deviation over seeds; each seed draws its own world, data
# order and parameters.

# %%
print(exp.show(df))

# %% [markdown]
# ## What wrong solutions and right ones hold
#
# Means over seeds, of the hardest op: answers right without the solution being
# right, steps taken back in right and in wrong solutions, needless quantities.

# %%
last = df[df.split == exp.hardest(df)]
last.groupby('data', sort=False)[[
    'full', 'answer', 'guess', 'retries', 'retries_wrong', 'extra_parameters',
    'ended']].mean().round(2)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
