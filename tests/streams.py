"""What tests of streams share: batches as hosts make them, a stopped run."""

import json
import signal

import numpy as np

from physics_lm import loader, run_dir, train


def batches(data, hosts, steps=4, first=0, streams=None, prefetch=2):
  """(global batches of eight rows as `hosts` hosts would make them, the place
  of the streams after them, through JSON)."""
  parts = [loader.host_batches([data], 8, list(s), first, prefetch=prefetch,
                                 streams=streams)
           for s in np.array_split(np.arange(8), hosts)]
  got = [[next(it) for it in parts] for _ in range(steps)]
  place = {}
  for it in parts:
    place |= loader.stream_state(it)
  return [{k: np.concatenate([p[k] for p in part]) for k in part[0]}
          for part in got], json.loads(json.dumps(place))


def stopped_once(config, folder, at, monkeypatch):
  """Trains; SIGTERM comes at step `at`, and the same command goes on."""
  put, calls = loader.to_devices, []

  def stopping(*args):
    calls.append(1)
    if len(calls) == at:
      signal.raise_signal(signal.SIGTERM)
    return put(*args)

  monkeypatch.setattr(loader, 'to_devices', stopping)
  train.run(config, folder)
  assert not run_dir.is_done(folder)
  train.run(config, folder)
  assert run_dir.is_done(folder) and len(calls) == config.steps


def log(folder):
  """The metrics of a run, less its times."""
  return [{k: v for k, v in r.items() if not k.startswith('time')}
          for r in run_dir.read_rows(folder / 'metrics.jsonl')]
