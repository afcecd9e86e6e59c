"""What TensorBoard and wandb would show of a run."""

import json
import struct
import subprocess
import sys
import time

import pandas as pd
import pytest

from physics_lm import figures, metrics, run_dir
from physics_lm.interop import tensorboard
from tests.conftest import ROOT

pytestmark = pytest.mark.interop


def write_run(folder):
  rows = [{'kind': 'train', 'step': s, 'loss': 3.0 / s, 'loss/bio': 1.0,
           'time/seconds': 2.0 * s, 'entries/bio': s} for s in (10, 20, 30)]
  rows.append({'kind': 'eval', 'step': 30, 'extraction/exact/test': 0.25})
  run_dir.write(folder / 'metrics.jsonl',
              ''.join(json.dumps(r) + '\n' for r in rows))
  run_dir.write_json(folder / 'meta.json', {'time': '2026-01-02T03:04:05Z'})


def test_tensorboards_own_reader_finds_the_scalars(tmp_path, capsys):
  """In a process of its own: the reader may load TensorFlow."""
  for name in ('a', 'b'):
    write_run(tmp_path / 'runs' / name)
  for _ in range(2):  # again: nothing is doubled
    tensorboard.main([str(tmp_path / 'runs')])
  assert '13 scalars' in capsys.readouterr().out
  code = f'''
import json
from tensorboard.backend.event_processing import event_accumulator
got = event_accumulator.EventAccumulator(r'{tmp_path}/runs/a/tensorboard')
got.Reload()
print(json.dumps({{t: [[e.step, e.value, e.wall_time] for e in got.Scalars(t)]
                  for t in got.Tags()['scalars']}}))
'''
  out = subprocess.run([sys.executable, '-c', code], check=True,
                       capture_output=True, text=True).stdout
  found = json.loads(out.splitlines()[-1])
  assert set(found) == {'train/loss', 'train/loss/bio', 'train/time/seconds',
                        'train/entries/bio', 'eval/extraction/exact/test'}
  assert [(s, round(v, 4)) for s, v, _ in found['train/loss']] == [
      (10, 0.3), (20, 0.15), (30, 0.1)]
  began = 1767323045.0
  assert [w - began for *_, w in found['train/loss']] == [20, 40, 60]


def test_the_converter_loads_no_tensorflow(tmp_path, capsys):
  write_run(tmp_path / 'run')
  code = f'''
import sys
from physics_lm.interop import tensorboard
tensorboard.main([r'{tmp_path}/run', r'--out={tmp_path}/tb'])
print('LOADED', [m for m in ('tensorflow', 'jax') if m in sys.modules])
'''
  out = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True,
                       capture_output=True, text=True).stdout
  assert out.splitlines()[-1] == 'LOADED []'
  with pytest.raises(SystemExit) as stopped:
    tensorboard.main([str(tmp_path / 'tb')])
  assert stopped.value.code == 2
  assert 'no metrics in' in capsys.readouterr().err


def test_a_run_without_metrics_is_passed_over(tmp_path, capsys):
  for name in ('a', 'c'):
    write_run(tmp_path / name)
  (tmp_path / 'b').mkdir()
  (tmp_path / 'b/metrics.jsonl').touch()
  tensorboard.main([str(tmp_path)])
  out = capsys.readouterr().out
  assert out.count('13 scalars') == 2 and 'b: no metrics yet' in out


def records(path):
  """The records of an offline run's file: blocks of 32 KB of (checksum,
  length, kind); kind 1 is whole, 2 to 4 begin, go on, end."""
  from wandb.proto import wandb_internal_pb2
  raw, at, held = path.read_bytes(), 7, b''
  while at + 7 <= len(raw):
    if 32768 - at % 32768 < 7:
      at += 32768 - at % 32768
      continue
    _, size, kind = struct.unpack('<IHB', raw[at:at + 7])
    if at + 7 + size > len(raw):
      return  # still being written
    held += raw[at + 7:at + 7 + size]
    at += 7 + size
    if kind in (1, 4):
      yield wandb_internal_pb2.Record.FromString(held)
      held = b''


def stored(folder):
  (path,) = folder.glob('wandb/offline-run-*/*.wandb')
  # wandb's own process writes the end of the file after finish() returns.
  until = time.monotonic() + 60
  while not any(r.HasField('exit') for r in records(path)):
    assert time.monotonic() < until
    time.sleep(0.1)
  config, history = {}, []
  for r in records(path):
    for source in (r.run.config.update, r.config.update):
      config |= {u.key or '.'.join(u.nested_key): json.loads(u.value_json)
                 for u in source}
    row = {i.key or '.'.join(i.nested_key): json.loads(i.value_json)
           for i in r.history.item}
    history += [row] if row else []
  return path.parent, config, history


def test_an_offline_run_holds_config_and_history(tmp_path):
  config = {'log': {'wandb': 'offline', 'project': 'test'}, 'init_from': None,
            'model': {'depth': 3}}
  writer = metrics.MetricsWriter(tmp_path, config)
  for step in (10, 20):
    writer.write('train', step, loss=20.0 / step)
  writer.write('eval', 20, accuracy=0.5)
  writer.close()
  _, found, history = stored(tmp_path)
  assert found['model'] == {'depth': 3}
  assert [h['train/loss'] for h in history if 'train/loss' in h] == [2.0, 1.0]
  assert any(h.get('eval/accuracy') == 0.5 for h in history)


def test_an_offline_report_holds_the_figure_and_the_table(tmp_path):
  fig, axes = figures.grid()
  axes[0][0].plot([1, 2, 3])
  fig.savefig(tmp_path / 'f.png')
  df = pd.DataFrame({'data': ['single'], 'exact_mean': [7.5]})
  metrics.mirror_report(tmp_path, 'offline', {
      'experiment': 'knowledge', 'scale': 'cpu'}, df, tmp_path / 'f.png')
  folder, config, (row, *_) = stored(tmp_path)
  assert config['scale'] == 'cpu'

  def key(name, leaf):
    return row.get(name, {}).get(leaf) or row.get(f'{name}.{leaf}')

  picture = folder / 'files' / key('figure', 'path')
  assert picture.read_bytes() == (tmp_path / 'f.png').read_bytes()
  table = json.loads((folder / 'files' / key('table', 'path')).read_text())
  assert table['data'] == [['single', 7.5]]
  metrics.mirror_report(tmp_path / 'off', 'off', {
      'experiment': 'x', 'scale': 'cpu'}, df, tmp_path / 'f.png')
  assert not (tmp_path / 'off').exists()
