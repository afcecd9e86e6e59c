"""Metrics: sums and counts from the step, JSON lines on disk, wandb mirror.

A step returns sums; sums of steps and hosts merge by addition; the division
happens here, once per window.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from physics_lm import run_dir
from physics_lm.config import run_id


def add_sums(window: dict, sums: dict) -> dict:
  """The window with the sums of further steps (arrays [steps, ...]) added one
  by one: bitwise the same however the steps were grouped."""
  out = {}
  for k, v in sums.items():
    before = [window[k]] if window else np.zeros((1, *v.shape[1:]))
    out[k] = np.cumsum(np.concatenate([before, v.astype(np.float64)]),
                       0)[-1].tolist()
  return out


def window_means(window: dict, tasks: list[str]) -> dict[str, float]:
  """Loss in nats per token, over all tasks and by task, gradient norm, and of
  post-training the means over tokens, pairs or answers: 'rollout/reward' is
  divided by 'rollout/count'."""
  loss, weight = np.asarray(window['loss']), np.asarray(window['weight'])
  out = {'loss': float(loss.sum() / max(weight.sum(), 1))}
  for i, task in enumerate(tasks):
    if weight[i]:
      out[f'loss/{task}'] = float(loss[i] / weight[i])
  for key, value in window.items():  # of post-training: 'rollout/reward'
    kind, slash, _ = key.partition('/')
    if slash and not key.endswith('/count') and window[f'{kind}/count']:
      out[key] = value / window[f'{kind}/count']
  out['grad_norm'] = window['grad_norm'] / window['steps']
  return out


class MetricsWriter:
  """Appends rows to metrics.jsonl, and mirrors them to wandb (log.wandb).

  `resume_at`: rows that a resumed run will write again are dropped first, so
  the file reads as if the run had never stopped.
  """

  def __init__(self, folder: Path, config: dict, resume_at: int = 0):
    path = folder / 'metrics.jsonl'
    kept = [r for r in run_dir.read_log(folder)
            if r['step'] < resume_at
            or (r['step'] == resume_at and r['kind'] != 'eval')]
    run_dir.write(path, ''.join(json.dumps(r) + '\n' for r in kept))
    self._file = path.open('a', encoding='utf-8')
    self._mirror = _wandb(folder, config)

  def write(self, kind: str, step: int, **values):
    """Appends one row of a kind ('train', 'eval', 'warning')."""
    row = {'kind': kind, 'step': step, **values}
    self._file.write(json.dumps(row) + '\n')
    self._file.flush()
    if self._mirror:
      try:
        self._mirror.log({f'{kind}/{k}': v for k, v in values.items()},
                         step=step)
      except Exception as e:  # a mirror never stops a run
        print(f'wandb mirror off: {e}', flush=True)
        self._mirror = None

  def close(self):
    """Closes the file and the mirror."""
    self._file.close()
    if self._mirror:
      try:
        self._mirror.finish()
      except Exception as e:
        print(f'wandb mirror did not finish: {e}', flush=True)


class NoMetricsWriter:
  """The writer of the processes that do not write."""

  def write(self, kind: str, step: int, **values):
    """Does nothing."""

  def close(self):
    """Does nothing."""


def mirror_report(folder: Path, mode: str, made_by: dict, df: Any,
                  figure: Path):
  """Logs a finished report as a wandb run: its provenance as the config, its
  table and its figure. Mode 'off': does nothing."""
  name = f'{made_by["experiment"]}-{made_by["scale"]}'
  run = _started(folder, mode, 'physics_lm', made_by, id=name, name=name)
  if run:
    import wandb
    run.log({'figure': wandb.Image(str(figure)),
             'table': wandb.Table(dataframe=df)})
    run.finish()


def _wandb(folder: Path, config: dict):
  return _started(folder, config['log']['wandb'], config['log']['project'],
                  config, id=run_id(config), resume='allow')


def _started(folder: Path, mode: str, project: str, config: dict, **kwargs):
  """A wandb run, or None when it is off or cannot start."""
  if mode == 'off':
    return None
  os.environ.setdefault('WANDB_ERROR_REPORTING', 'false')
  os.environ.setdefault('WANDB_SILENT', 'true')
  try:
    import wandb
    return wandb.init(
        project=project, mode=mode, dir=str(folder), config=config,
        reinit='create_new',  # members of a population log concurrently
        settings=wandb.Settings(x_disable_stats=True, console='off'), **kwargs)
  except Exception as e:
    print(f'wandb mirror off: {e}', flush=True)
    return None
