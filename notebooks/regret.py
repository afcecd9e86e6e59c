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
# # Retry upon regret
#
# Does a model that never saw a mistake see its own, and does trying again there
# help? Part 2.2 of *Physics of Language Models*, section 3, at the scale of two
# CPU cores.
# The runs, the table and the figure are defined in
# `experiments/regret.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/regret.py'))
results = report.RESULTS / 'regret'
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
# ## What is detected
#
# Of greedy solutions, up to the first wrong step: the share of first wrong
# steps that are seen, of those among them that could not be taken yet
# (`seen_early`), and of right ones called wrong, %; how many there are.

# %%
columns = ['seen', 'seen_early', 'alarms', 'wrong', 'early', 'right']
learned = df[df.method.isin(['probe', 'state'])]
learned.groupby('method')[columns].mean().round(1)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
