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
# # Knowledge extraction
#
# Everybody's biography is trained on, but only half of the people's
# questions. Can the model answer questions about the other half? Part 3.1 of
# *Physics of Language Models*, Results 1 to 3, at the scale of two CPU cores.
# The runs, the table and the figure are defined in
# `experiments/knowledge_extraction.py`; here they are only shown.

# %%
# %matplotlib inline
import json

import pandas as pd
from IPython.display import Markdown

from physics_lm import report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/knowledge_extraction.py'))
results = report.RESULTS / 'knowledge_extraction'
df = pd.read_csv(results / 'cpu.csv')
made_by = json.loads((results / 'cpu.json').read_text())
{k: made_by[k] for k in ('runs', 'run_seconds', 'device', 'git', 'finished')}

# %% [markdown]
# ## Held-out people, mean over six attributes
#
# Percent of whole answers exactly right; mean and standard deviation over
# seeds (each seed draws its own people, texts and parameters).

# %%
print(exp.show(df))

# %%
exp.figure(df)

# %% [markdown]
# ## By attribute
#
# Held-out people. The company city has a common value (New York), so its
# constant guess is higher.

# %%
test = df[(df.half == 'test') & (df.training != 'pretrain')]
test.pivot_table(index=['training', 'data'], columns='attribute',
                 values='exact_mean', sort=False).round(1)

# %% [markdown]
# The constant guess, fixed on the training half:

# %%
test.pivot_table(index='data', columns='attribute', values='majority_mean',
                 sort=False).round(1)

# %% [markdown]
# ## Known by heart, and yet not extractable
#
# After pretraining, the attributes are recalled in the biographies
# themselves: percent exact, teacher-forced, in the person's own text.

# %%
pre = df[(df.training == 'pretrain') & (df.attribute == 'mean')]
pre.pivot_table(index='data', columns='half', values='bio_exact_mean',
                sort=False).round(1)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
