"""Loss of each task of the mixture on rows that training never draws."""

import numpy as np

from physics_lm import pipeline, rows
from physics_lm.errors import BadInput
from physics_lm.evals import scoring

_FRESH = 1 << 40  # rows so far on are drawn by no training run


def inputs(config, spec):
  """(data, packed rows of each task). Raises BadInput for no rows."""
  if spec.rows < 1:
    raise BadInput(f'evals: rows is {spec.rows}, wanted at least 1')
  data, packed = rows.load(config), []
  for i, task in enumerate(data.tasks):
    if i in data.streams():
      batch = pipeline.judged_rows(data, i, spec.rows)
    else:
      alone = data._replace(tasks=(task,))
      batch = [rows.row(alone, _FRESH + i * spec.rows + k)
               for k in range(spec.rows)]
    packed.append({k: np.stack([r[k] for r in batch]) for k in batch[0]})
  return data, packed


def run(params, config, spec, cfg):
  """({'<task>': nats a token, ...}, raw outcomes a row).

  Tasks of weight 0 do not count. The examples may be known to the model (a
  biography is one of M); what is fresh is the drawing and packing. Of a text
  it is the held-out documents.
  """
  metrics, raw = {}, []
  data, each = inputs(config, spec)
  for task, packed in zip(data.tasks, each):
    nll, _ = scoring.outcomes(params, packed, cfg, config.data.batch)
    sums = (nll * packed['weights']).sum(-1, dtype=np.float64)
    counts = packed['weights'].sum(-1, dtype=np.float64)
    metrics[task.name] = float(sums.sum() / counts.sum())
    raw += [{'task': task.name, 'row': k, 'nats': float(s), 'tokens': float(n)}
            for k, (s, n) in enumerate(zip(sums, counts))]
  return metrics, raw
