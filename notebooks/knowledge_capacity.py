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
# # Bits of knowledge a parameter
#
# The world's information is counted to the bit, so what a model holds of it can
# be too. Part 3.3 of *Physics of Language Models*, Results 1, 3 and 4, at the
# scale of two CPU cores.
# The runs, the table and the figure are defined in
# `experiments/knowledge_capacity.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/knowledge_capacity.py'))
results = report.RESULTS / 'knowledge_capacity'
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
# Result 4 depends on the learning rate, so the best of three is taken, as in
# the paper; here are all: R, mean over seeds.

# %%
few = df[df.exposures == df.exposures.min()]
few.pivot_table(index=['world', 'people', 'parameters'], columns='rate',
                values='ratio').round(2)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
