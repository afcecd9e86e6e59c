"""Loss of each task of the mixture on rows that training never draws.

Tasks of weight 0 are left out. The model may have read the examples (a
biography is one of M); only how they are drawn and packed is new. Of a stream
of text the rows are held-out documents.
"""

import dataclasses

import numpy as np
from ml_collections import ConfigDict

from physics_lm import loader, mixture
from physics_lm.evals import teacher_forcing
from physics_lm.evals.records import Records, row
from physics_lm.model.config import ModelConfig

_HELD_OUT = 1 << 40  # no training run draws rows from this index on


@dataclasses.dataclass(frozen=True)
class Loss:
  """Metric loss (nats per token, n tokens); slice task."""

  cfg: ModelConfig
  batch_size: int
  packed: dict[str, dict[str, np.ndarray]]  # {task: arrays [R, T]}

  def __call__(self, params: dict, step: int | None = None) -> Records:
    out = Records([], [])
    for task, packed in self.packed.items():
      nll, _ = teacher_forcing.outcomes(params, packed, self.cfg,
                                        self.batch_size)
      sums = (nll * packed['weights']).sum(-1, dtype=np.float64)
      counts = packed['weights'].sum(-1, dtype=np.float64)
      out.rows.append(row('loss', sums.sum() / counts.sum(), counts.sum(),
                          task=task))
      out.raw.extend({'task': task, 'row': k, 'nats': float(s),
                      'tokens': float(n)}
                     for k, (s, n) in enumerate(zip(sums, counts)))
    return out


def build(config: ConfigDict, data: mixture.Mixture, spec: ConfigDict) -> Loss:
  """spec.num_rows rows of each task. Raises BadInput for none."""
  packed, streams = {}, data.streams()
  for i, task in enumerate(data.tasks):
    if i in streams:
      batch = loader.heldout_rows(data, i, spec.num_rows)
    else:
      alone = mixture.only(data, task)
      batch = [mixture.packed_row(alone, _HELD_OUT + i * spec.num_rows + k)
               for k in range(spec.num_rows)]
    packed[task.name] = {k: np.stack([r[k] for r in batch]) for k in batch[0]}
  return Loss(teacher_forcing.evaluated_model(config, data),
              config.data.batch_size, packed)
