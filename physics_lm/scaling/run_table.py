"""A table of this project's own runs, for the fits. No JAX."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from physics_lm import run_dir
from physics_lm.errors import BadInput
from physics_lm.evals import records
from physics_lm.model.config import model_config
from physics_lm.scaling import flops

if TYPE_CHECKING:
  import pandas as pd


def sizes(config: ConfigDict, vocab: int) -> dict[str, float]:
  """N (parameters with embeddings), N_ne (without), D (training tokens) and
  C_<convention> (training FLOPs by each of flops.CONVENTIONS) of a config over
  a vocabulary of `vocab` entries. Raises BadInput."""
  form = model_config(config, vocab)
  count = flops.parameters(form)
  tokens = config.steps * config.data.batch_size * config.data.seq_len
  return {'N': count.total, 'N_ne': count.rest, 'D': tokens} | {
      f'C_{name}': tokens * flops.train_per_token(
          form, config.data.seq_len, name)['total']
      for name in flops.CONVENTIONS}


def read_runs(folder: Path, per_step: bool = False) -> 'pd.DataFrame':
  """A data frame of the finished runs in runs/<experiment>: `run` (its id),
  sizes() and every last evaluation, by flat names (records.flat_name); with
  `per_step` a row for each logged step, its D and its training loss as 'loss'.
  Raises BadInput when none is done.

  A run that started from another counts its own tokens only.
  """
  import pandas as pd
  out = []
  for path in sorted(folder.glob('*/config.json')):
    at = path.parent
    if not run_dir.is_done(at):
      continue
    config = ConfigDict(run_dir.read_json(path))
    row = {'run': at.name, **sizes(
        config, run_dir.read_json(at / 'meta.json')['vocab']['size'])}
    if not per_step:
      train, evals = run_dir.results(at)
      out.append(row | {f'train/{k}': v for k, v in train.items()
                        if k != 'kind'} | {
          k: v for name, rows in evals.items()
          for k, v in records.flatten(rows, name).items()})
      continue
    for logged in run_dir.read_rows(at / 'metrics.jsonl'):
      if logged['kind'] == 'train':
        out.append(_at(row, logged['tokens'] / row['D'])
                   | {'loss': logged['loss']})
  if not out:
    raise BadInput(f'no finished run in {folder}; wanted a folder '
                   'runs/<experiment> of this project')
  return pd.DataFrame(out)


def _at(row: Mapping, share: float) -> dict:
  """A run's sizes after a share of its tokens."""
  return {k: v * share if k[0] in 'CD' else v for k, v in row.items()}
