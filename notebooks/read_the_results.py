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
# # Read the results of an experiment
#
# Set `NAME` to any file of `experiments/` (or the environment variable
# EXPERIMENT) and run all cells. Table, figure and claims are computed from the
# committed records, `experiments/results/<name>/<scale>.runs.jsonl`; nothing is
# trained. The same as text: `docs/results/<name>.md`.

# %%
# %matplotlib inline
import os

import pandas as pd
from IPython.display import Markdown

from physics_lm import claims, result_pages, results, sweep

NAME = os.environ.get('EXPERIMENT', 'knowledge_extraction')
SCALE = os.environ.get('SCALE') or next(  # else the largest that is committed
    s for s in result_pages.SCALES
    if results.records_path(sweep.ROOT / results.RESULTS, NAME, s).exists())
experiment = sweep.experiment(f'{sweep.ROOT}/experiments/{NAME}.py')
records = results.read_records(
    results.records_path(sweep.ROOT / results.RESULTS, NAME, SCALE))
pd.options.display.float_format = '{:.4g}'.format
pd.options.display.max_colwidth = 80
Markdown(experiment.__doc__)

# %% [markdown]
# ## The runs

# %%
results.provenance(records, NAME, SCALE)

# %%
pd.DataFrame([r['tags'] | {'id': r['id']} for r in records])

# %% [markdown]
# ## Table: a row for each run and slice (the first ones), and its summary
#
# Columns `_low` and `_high` are 95 % intervals: of the table over test items,
# of the summary over seeds.

# %%
table = experiment.table(records)
table.head(8)

# %%
experiment.summary(table)

# %% [markdown]
# ## Figure

# %%
experiment.figure(table)

# %% [markdown]
# ## Claims
#
# `outcome` follows from the 95 % interval of the effect over seeds
# (`physics_lm/claims/`); `held` is what the rule that was fixed before the
# runs says; claims added after the runs were seen are post hoc.

# %%
judged = claims.judge_experiment(experiment, table)
pd.DataFrame([{
    'claim': j.claim.statement, 'source': j.claim.source,
    'paper': j.claim.paper, 'here': j.ours, 'effect [95 %]': j.interval,
    'unit': j.claim.unit, 'n': j.effect.n if j.effect else 0,
    'outcome': j.outcome, 'held': j.held, 'post hoc': j.claim.post_hoc}
    for j in judged])

# %% [markdown]
# What would decide the claims that are open:

# %%
pd.DataFrame([{'claim': j.claim.statement, 'outcome': j.outcome,
               'decided by': j.claim.decided_by} for j in judged
              if j.outcome not in ('supported', 'contradicted')])
