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
# # Hidden planning
#
# Does a model know what it will need before it writes the first word of a
# solution? Part 2.1 of *Physics of Language Models*, Results 3 to 8, at the
# scale of two CPU cores: a frozen model is probed at the end of the text.
# The runs, the table and the figure are defined in
# `experiments/hidden_planning.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/hidden_planning.py'))
results = report.RESULTS / 'hidden_planning'
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
# ## By layer
#
# Accuracy on positive labels, %, of probes on the states below each layer.

# %%
layers = df[(df.layer >= 0) & (df.measure == 'positive')]
layers.pivot_table(index=['task', 'split', 'model'], columns='layer',
                   values='value', sort=False).round(1)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
