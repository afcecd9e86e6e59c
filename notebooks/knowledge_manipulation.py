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
# # Saying what is known, and using it
#
# A model that answers questions about people is asked for one step more: two
# attributes at once, half a date, is the month even, whose major is luckier.
# Part 3.2 of *Physics of Language Models*, Results 1 to 4, at the scale of two
# CPU cores.
# The runs, the table and the figure are defined in
# `experiments/knowledge_manipulation.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/knowledge_manipulation.py'))
results = report.RESULTS / 'knowledge_manipulation'
df = pd.read_csv(results / 'cpu.csv')
made_by = json.loads((results / 'cpu.json').read_text())
{k: made_by[k] for k in ('runs', 'run_seconds', 'device', 'git', 'finished')}

# %%
exp.figure(df)

# %% [markdown]
# ## Table
#
# Mean and standard deviation over seeds; each seed draws its own people, data
# order and parameters.

# %%
print(exp.show(df))

# %% [markdown]
# ## People whose tasks were trained on
#
# The same, of the training half: what is fitted is not what is understood.

# %%
print(exp.show(df.assign(half=df.half.map({'train': 'test', 'test': ''}))))

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
