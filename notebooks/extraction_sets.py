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
# # Sixteen ways of telling
#
# A person is told of once or in several wordings, in one order or shuffled, by
# name or by pronoun. Which of the sixteen combinations make facts extractable
# by questions about other people? Part 3.1 of *Physics of Language Models*,
# Results 0 to 3, at the scale of two CPU cores.
# The runs, the table and the figure are defined in
# `experiments/extraction_sets.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/extraction_sets.py'))
results = report.RESULTS / 'extraction_sets'
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
# ## By attribute
#
# Held-out people, after finetuning. Where sentences keep their order, the first
# one told, the date, is extracted best.

# %%
test = df[(df.half == 'test') & (df.training == 'finetune')]
test.pivot_table(index='data', columns='attribute', values='exact_mean',
                 sort=False).round(1)

# %% [markdown]
# The constant guess, fixed on the training half:

# %%
test.pivot_table(index='data', columns='attribute', values='majority_mean',
                 sort=False).round(1)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
