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
# # Where knowledge is kept
#
# A model has read biographies and is frozen. What can a probe read off in the
# middle of a text, before anything was told, and what from the name alone?
# Part 3.1 of *Physics of Language Models*, Results 4 and 5, at the scale of two
# CPU cores.
# The runs, the table and the figure are defined in
# `experiments/knowledge_probing.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/knowledge_probing.py'))
results = report.RESULTS / 'knowledge_probing'
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
