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
# # Celebrities help the minority
#
# Some people are told of once. Can what was said of them be asked for, if the
# model has read much about others? Part 3.1 of *Physics of Language Models*,
# Result 6, at the scale of two CPU cores.
# The runs, the table and the figure are defined in
# `experiments/celebrity_helps_minority.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(
    str(sweep.ROOT / 'experiments/celebrity_helps_minority.py'))
results = report.RESULTS / 'celebrity_helps_minority'
df = pd.read_csv(results / 'cpu.csv')
made_by = json.loads((results / 'cpu.json').read_text())
{k: made_by[k] for k in ('runs', 'run_seconds', 'device', 'git', 'finished')}

# %%
exp.figure(df)

# %% [markdown]
# ## Table
#
# Mean and standard deviation over seeds; each seed draws its own people, data
# order and parameters. Who is asked about was never asked about in training.

# %%
print(exp.show(df))

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
