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
# # What knowledge looks like, and how much of it is held
#
# bioD(N, K, C, D, L, T): people with K attributes, values of C chunks out of D, a
# chunk of L symbols out of T. Does it matter for the bits a parameter holds? Part
# 3.3 of *Physics of Language Models*, Result 3, at the scale of two CPU cores.
# The runs, the table and the figure are defined in
# `experiments/capacity_bitworld.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/capacity_bitworld.py'))
results = report.RESULTS / 'capacity_bitworld'
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
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
