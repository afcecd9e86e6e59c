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
# # Train one model, and probe it
#
# A tiny GPT is trained for seconds on biographies (bioS multi5+permute), then
# frozen, and P-probes read its hidden states: is an attribute linearly
# decodable at the name, before the text states it (Part 3.1, Result 4)? This
# shows how the parts fit together; the evidence is in
# `experiments/knowledge_probing.py`.

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import jax
import pandas as pd

from physics_lm.configs import default, scales
from physics_lm import figures, restore, run_dir, sweep, train
from physics_lm.config import load_config, override
from physics_lm.evals import pq_probe
from physics_lm.model import decoder

PEOPLE = 100
recipe = f'{sweep.ROOT}/configs/biographies.py:multi5_permute'
config = override(load_config(recipe), (
    scales.BIOS_200 | scales.BIO_QA['pretrain'] | {
        'worlds.bios.people': PEOPLE, 'model.depth': 2, 'model.width': 48,
        'model.heads': 2, 'data.seq_len': 144, 'steps': 300, 'log.every': 20,
        'runtime.mesh.data': 1}))
folder = Path(tempfile.mkdtemp())
train.run(config, folder)  # ends with the evaluations of config.evals
sorted(p.name for p in folder.iterdir())

# %% [markdown]
# ## The loss of the run, nats per token

# %%
log = pd.DataFrame(run_dir.read_rows(folder / 'metrics.jsonl'))
loss = log.dropna(subset='loss')
fig, ((ax,),) = figures.grid(width=5, height=3)
ax.plot(loss.step, loss.loss, color=figures.COLOURS[0])
figures.labels(ax, 'steps', 'training loss, nats per token',
               f'{PEOPLE} people, five biographies each')
fig

# %% [markdown]
# ## Questions about its people
#
# Half of the people have no questions in training (P_test); here no questions
# were trained on at all, so only values inside biographies can be right.

# %%
evaluated = run_dir.read_json(folder / f'evals/extraction/{config.steps}.json')
table = pd.DataFrame(evaluated['rows'])
table[table.attribute.eq('mean') & table.value_tokens.eq('all')
      & table.metric.eq('accuracy')][
          ['text', 'person_split', 'value', 'low', 'high', 'n']]

# %% [markdown]
# ## P-probes of the trained model, and of an untrained one
#
# An evaluator is built once from a config, its data and a specification, and
# called with parameters; the training loop does the same.

# %%
run = restore.load_run(folder)
spec = default.evaluation('p_probe')
spec.update(people=PEOPLE // 2, steps=80, batch=5, weight_decay=6.0,
            names=False)
probe = pq_probe.build(run.config, run.data, spec)
models = {'trained': run.params,
          'untrained': decoder.init(run.cfg, jax.random.key(1))}
probed = pd.concat([pd.DataFrame(probe(params).rows).assign(model=model)
                    for model, params in models.items()])
test = probed[probed.person_split == 'test']
test[test.position.eq('all') & test.target.isin(['whole', 'first'])][
    ['model', 'target', 'metric', 'value', 'low', 'high', 'n']]

# %% [markdown]
# Accuracy on P_test by position: just before the first attribute is stated (0:
# of the biography only the name has been read), before the second, and so on.

# %%
at = test[test.metric.eq('accuracy') & test.position.ne('all')
          & ~test.target.str.startswith('first')]
fig, (axes,) = figures.grid(2, width=5, height=3.6)
for ax, model in zip(axes, models):
  accuracy = 100 * at[at.model == model].pivot_table(
      'value', 'target', 'position', sort=False)
  figures.heatmap(ax, accuracy.to_numpy(), list(accuracy.index),
                  list(accuracy.columns))
  figures.labels(ax, 'attributes stated before', '',
                 f'P-probe accuracy, %: {model} model')
fig
