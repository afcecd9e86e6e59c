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
# # Reading from both sides
#
# The same decoder without its causal mask fills gaps in biographies. Does it tie
# facts to the name, so that they can be asked for? Part 3.1 of *Physics of
# Language Models*, Result 7, at the scale of two CPU cores.
# The runs, the table and the figure are defined in
# `experiments/bidirectional.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/bidirectional.py'))
results = report.RESULTS / 'bidirectional'
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
# ## Before any question
#
# Whether the texts are known: values told where they stand in them (of the
# masked reader, the value hidden and all else there), percent.

# %%
read = df[(df.training == 'read') & (df.half == 'test')]
read[['reader', 'attribute', 'bio_exact_mean', 'bio_exact_std', 'n']].round(1)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
