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
# # Look at the worlds
#
# Each world draws texts from a seed: example i of a split is what it is, on any
# machine. Below: one example of each, then checks of how they are distributed.
# The same from a shell: `python -m physics_lm.worlds biographies --show=3`.

# %%
import textwrap

import pandas as pd

from physics_lm.worlds import base, zipf
from physics_lm.worlds.igsm import reference_stats


def show(world, split, index=0):
  """Prints an example of a split in lines of 80 characters."""
  print(textwrap.fill(f'{split}: {world.example(split, index).text}', 80))


# %% [markdown]
# ## bioS: biographies of people, and questions about them (Parts 3.1 and 3.2)
#
# `single` has one text a person; `multi5+permute` five, each with other
# wordings and another order of sentences.

# %%
for variant in ('single', 'multi5_permute'):
  world = base.world_from_flags('biographies', [f'variant={variant}'], seed=0)
  print(f'{variant}, {world.size("bio"):,} biographies')
  for index in range(2):
    show(world, 'bio', index)
  print()
show(world, 'qa_train')

# %% [markdown]
# ## Manipulation: tasks on attributes, without and with CoT (Part 3.2)

# %%
world = base.world_from_flags('manipulation', [], seed=0)
for split in ('birth_month_train', 'luck_mod5_train', 'luck_mod5_hint_train',
              'month_rank_hint_train', 'all_first_train'):
  show(world, split)

# %% [markdown]
# ## bioD: knowledge as symbols, whose bits can be counted (Part 3.3)

# %%
world = base.world_from_flags('biod', [], seed=0)
for index in range(3):
  show(world, 'bio', index)

# %% [markdown]
# With `zipf_a`, person k is drawn with probability ~ k^-(1 + a). Theory then
# gives the exponents of the loss in parameters N and in tokens D:

# %%
pd.DataFrame([{'a': a, 'exponent in N': zipf.size_exponent(a),
               'exponent in D': zipf.data_exponent(a)} for a in (0.5, 1, 2)])

# %% [markdown]
# ## A random context-free grammar, with an exact distribution of the next symbol

# %%
world = base.world_from_flags('grammar', [], seed=0)
for index in range(3):
  show(world, 'train', index)

# %% [markdown]
# ## iGSM: problems of arithmetic with their solutions (Parts 2.1 and 2.2)
#
# With retry data: before a sentence of the solution, at rate 0.2, a parameter
# that cannot be computed yet, then BACK.

# %%
world = base.world_from_flags('igsm', ['retry_rate=0.2'], seed=0)
example = next(e for e in (world.example('train_op6', i) for i in range(100))
               if e.meta['retries'])
prompt, solution = base.prompt_and_answer(example)
for text in (prompt, solution):
  print(textwrap.fill(text.strip(), 80), '\n')

# %% [markdown]
# The checker gives the first error of a solution, and its kind:

# %%
steps = [f'{s}.' for s in solution.split('.') if s.strip()]
for name, text in {
    'unchanged': solution, 'without its first step': ''.join(steps[1:]),
    'without its last': ''.join(steps[:-1]), 'reversed': ''.join(steps[::-1]),
    'another answer': solution.rsplit(' ', 1)[0] + ' 22.',
    'nothing': ''}.items():
  print(f'{name:24}', world.check(example, text).reason)

# %% [markdown]
# Statistics of 1,000 problems of each setting beside those of the authors'
# code, or of the law. `apart`: the difference in standard errors of both
# samples.

# %%
table = pd.DataFrame(
    [r._asdict() | {'apart': r.apart} for setting in reference_stats.SETTINGS
     for r in reference_stats.statistics_rows(setting, 1000)])
laws = table.exact & (table.what != 'op 1')
table[~laws].drop(columns='exact').round(3)
