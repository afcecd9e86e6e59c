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
# # Best of n
#
# Many solutions are sampled, one is kept: by majority, by an outcome verifier,
# by a process verifier. Test-time scaling where each solution can be judged to
# the letter, at the scale of two CPU cores.
# The runs, the table and the figure are defined in
# `experiments/best_of_n.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/best_of_n.py'))
results = report.RESULTS / 'best_of_n'
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
# ## How often a verifier prefers a right solution to a wrong one
#
# Of the same problem (area under the curve), mean over seeds.

# %%
df.dropna(subset='auc').pivot_table(
    index='choice', columns='split', values='auc', sort=False).round(3)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
