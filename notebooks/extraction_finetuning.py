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
# # Does another way of finetuning extract more?
#
# From one pretrained model: everything is finetuned, or LoRA of many ranks, or
# other adapters. Part 3.1 of *Physics of Language Models*, Result 2 and
# appendix D, at the scale of two CPU cores.
# The runs, the table and the figure are defined in
# `experiments/extraction_finetuning.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/extraction_finetuning.py'))
results = report.RESULTS / 'extraction_finetuning'
df = pd.read_csv(results / 'cpu.csv')
made_by = json.loads((results / 'cpu.json').read_text())
{k: made_by[k] for k in ('runs', 'run_seconds', 'device', 'git', 'finished')}

# %%
exp.figure(df)

# %% [markdown]
# ## Table
#
# Percent of whole answers exactly right; mean and standard deviation over
# seeds (each seed draws its own people, texts and parameters). "By person":
# the 95 % interval of one seed, by bootstrap over its people, averaged over
# seeds.

# %%
print(exp.show(df))

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
