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
# # Junk data and source tags
#
# Seven of eight texts are junk of the same form. What do the useful ones teach
# then, and what does it help to say where a text comes from? Part 3.3 of
# *Physics of Language Models*, Results 10 to 12, at the scale of two CPU cores.
# The runs, the table and the figure are defined in
# `experiments/source_tags.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/source_tags.py'))
results = report.RESULTS / 'source_tags'
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
# ## Asked with the tag, and without
#
# A model that has learned what a tag means knows little when asked without it:
# R, mean over seeds.

# %%
df.pivot_table(index=['data', 'exposures'], values=['ratio_plain', 'ratio_tag'],
               sort=False).round(2)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
