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
# # Best of many solutions
#
# A model writes n solutions of a problem; one is kept. By the commonest answer,
# by a verifier that learned whether solutions are right, or by one that learned
# where they go wrong? The runs, the table and the figure are defined in
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
# ## Whole solutions and answers
#
# The commonest answer is chosen for its answer: how often that is right, beside
# the whole solution; mean over seeds, most samples.

# %%
df[df.n == df.n.max()].pivot_table(
    index=['split', 'choice'], values=['full', 'answer'], sort=False).round(1)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
