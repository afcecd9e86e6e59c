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
# # What a parameter knows, by architecture
#
# GPT-2 with rotary embeddings, LLaMA, Mistral, a quarter of the MLP, none of it,
# and a mixture of experts, all with about as many parameters: how many bits of
# knowledge does each hold? Part 3.3 of *Physics of Language Models*, Results 5 to
# 7 and 9, at the scale of two CPU cores.
# The runs, the table and the figure are defined in
# `experiments/capacity_architecture.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/capacity_architecture.py'))
results = report.RESULTS / 'capacity_architecture'
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
# ## Learning rates at 100 exposures
#
# The best of four for each architecture (the paper: of three); here are all: R, mean
# over seeds.

# %%
few = df[df.exposures == df.exposures.min()]
few.pivot_table(index=['architecture', 'parameters'], columns='rate',
                values='ratio', sort=False).round(2)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
