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
# # Learning from mistakes
#
# Does a model solve more problems when the solutions it learns from hold wrong
# steps, taken back at once? Part 2.2 of *Physics of Language Models*, Results 3
# to 5 and 8, at the scale of two CPU cores. The runs, the table and the figure
# are defined in `experiments/error_correction.py`; here they are only shown.

# %%
# %matplotlib inline
from physics_lm.mixture import load_mixture
import json
import textwrap

import pandas as pd
from IPython.display import Markdown

from configs import igsm
from physics_lm import mixture, report, sweep

exp = sweep.experiment(str(sweep.ROOT / 'experiments/error_correction.py'))
results = report.RESULTS / 'error_correction'
df = pd.read_csv(results / 'cpu.csv')
made_by = json.loads((results / 'cpu.json').read_text())
{k: made_by[k] for k in ('runs', 'run_seconds', 'device', 'git', 'finished')}

# %% [markdown]
# A problem with a solution that holds mistakes, as the models at rate 0.5 learn
# from it:

# %%
config = igsm.get_config('small')
config.worlds.igsm.retry_rate = 0.5
world = load_mixture(config).worlds['igsm']
example = next(e for e in (world.example('train_op3', i) for i in range(100))
               if e.meta['retries'] == 2)
for text in (world.prompt(example), ''.join(
    example.pieces[i] for i in example.loss)):
  print(textwrap.fill(text.strip(), 80), '\n')

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
# ## What is wrong first
#
# Of new problems, %: the first wrong step of a solution names something that
# cannot be told yet, is computed wrongly, or something else is wrong; mean over
# seeds.

# %%
df.pivot_table(index='data', columns='op', values=['not_ready', 'computed'],
               sort=False).round(1)

# %% [markdown]
# ## Verdict

# %%
Markdown('\n'.join(f'* **{c.reproduced}**: {c.statement}. Paper: {c.paper}; '
                   f'ours: {c.ours}' for c in exp.verdict(df)))
