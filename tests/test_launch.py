"""Sweeps, run identity, the launcher and the report."""

import re
import shutil
import subprocess
import sys
import threading
import time

import pytest

from physics_lm import cli, cost, launch, report, store, sweep
from physics_lm.errors import BadInput
from tests.conftest import ROOT, TINY

NUMBER = re.compile(r'[-+]?\d+(?:\.\d+)?')
FAST = {k: v for k, v in TINY.items() if k != 'steps'} | {
    'evals.extraction.people': 2}


def run(tags, parent=None, **changes):
  return sweep.Run('configs/default.py', FAST | {'steps': 4} | changes,
                   tags, parent)


def test_sweep_algebra():
  a, b = sweep.axis('x', 1, 2), sweep.axis('y', 3, 4)
  assert sweep.product(a, b) == [
      {'x': 1, 'y': 3}, {'x': 1, 'y': 4}, {'x': 2, 'y': 3}, {'x': 2, 'y': 4}]
  assert sweep.zipped(a, b) == [{'x': 1, 'y': 3}, {'x': 2, 'y': 4}]
  assert sweep.chain(a, b) == [*a, *b]
  with pytest.raises(ValueError, match='two sweeps set'):
    sweep.product(a, a)
  with pytest.raises(ValueError):
    sweep.zipped(a, sweep.axis('y', 1))


def test_identity_is_what_is_computed(tmp_path):
  base = run({})
  same = [{'runtime.remat': True}, {'log.every': 9}, {'checkpoint.every': 9},
          {'evals.loss.rows': 9}, {'runtime.mesh.data': 1}]
  other = [{'seed.init': 1}, {'optim.learning_rate': 1e-4}, {'steps': 5},
           {'worlds.bios.variant': 'single'}]
  assert all(run({}, **c).id == base.id for c in same)
  ids = [run({}, **c).id for c in other]
  assert len({*ids, base.id}) == len(other) + 1
  child, other_child = run({}, base), run({}, run({}, steps=5))
  assert len({base.id, child.id, other_child.id}) == 3
  # By path or by id, a parent is the same parent.
  by_path = store.plain(child.config) | {'init_from': f'/a/b/{base.id}'}
  assert store.run_id(by_path) == child.id
  # By a name of its own, a parent is what it computed.
  at = tmp_path / 'parents' / 'mine'
  store.write_json(at / 'config.json', store.plain(base.config))
  named = cli.override(child.config, {'init_from': str(at)})
  assert store.run_id(store.canonical_config(named, tmp_path)) == child.id


def test_parents_come_first_and_doubles_are_refused():
  parent = run({'kind': 'parent'})
  child = run({'kind': 'child'}, parent, steps=5)
  assert [r.tags for r in sweep.ordered([child, parent])] == [
      {'kind': 'parent'}, {'kind': 'child'}]
  with pytest.raises(ValueError, match='one computation'):
    sweep.ordered([parent, run({'kind': 'again'})])


def test_what_another_experiment_has_done_is_not_done_again(tmp_path):
  parent = run({'kind': 'parent'})
  theirs = tmp_path / 'theirs' / parent.id
  store.write_json(theirs / 'config.json', store.plain(parent.config))
  launch.borrow([parent], tmp_path / 'mine')
  assert not (tmp_path / 'mine').exists()  # it is not done
  store.write_json(theirs / 'done', {})
  launch.borrow([parent, run({'kind': 'other'}, steps=5)], tmp_path / 'mine')
  at, = (tmp_path / 'mine').iterdir()
  assert at.name == parent.id and at.resolve() == theirs.resolve()
  assert store.is_done(at)
  launch.borrow([parent], tmp_path / 'mine')  # once
  (tmp_path / 'more' / parent.id).mkdir(parents=True)
  launch.borrow([parent], tmp_path / 'more')
  assert not (tmp_path / 'more' / parent.id).is_symlink()  # begun here
  shutil.rmtree(tmp_path / 'theirs')
  launch.borrow([parent], tmp_path / 'mine')
  assert not at.is_symlink()  # a link to nowhere would be in the way


def test_a_run_that_is_done_was_asked_what_is_asked(tmp_path):
  """Evaluations are not the run's identity; its answers are theirs."""
  before, now = run({}), run({}, **{'evals.extraction.people': 3})
  assert before.id == now.id
  at = tmp_path / before.id
  store.write_json(at / 'config.json', store.plain(before.config))
  store.write_json(at / 'done', {})
  assert sweep.finished([before], tmp_path)(before)
  assert not sweep.finished([now], tmp_path)(now)
  assert sweep.finished([], tmp_path)(now)  # only started from
  assert 'evals.extraction.people: 2 -> 3' in sweep.stale_evals(now, tmp_path)
  state = lambda run: cost.table([run], tmp_path, 'cpu').splitlines()[1].split()
  assert state(now)[-1] == 'ask' and state(before)[-1] == 'done'
  # On the way or not is no other question.
  assert not sweep.stale_evals(run({}, **{'evals.loss.every': 2}), tmp_path)
  # Neither is a key that came later.
  old = store.plain(before.config)
  del old['evals']['loss']['problems'], old['data']['masked'], old['adapter']
  del old['worlds']['bios']['power'], old['log']['band']
  store.write_json(at / 'config.json', old)
  assert not sweep.stale_evals(before, tmp_path)
  assert store.completed(old) == store.plain(before.config)
  assert store.run_id(old) == before.id


def test_list_shows_every_column(tmp_path):
  parent = run({'kind': 'parent'})
  text = cost.table([parent, run({'kind': 'child'}, parent, steps=5)],
                    tmp_path, 'cpu')
  head, first, second, common, total = text.splitlines()
  assert head.split() == ['id', 'run', 'params', 'tokens', 'exposures',
                          'FLOPs', 'time', 'memory', 'state', 'overrides']
  assert f'steps=5 init_from={parent.id}' in second and 'steps=4' in first
  assert 'model.width=16' in common and 'steps' not in common
  assert parent.id in first and 'kind=child' in second and 'new' in first
  assert total.startswith('2 runs')


def test_what_a_trunk_gives_is_not_paid_twice():
  whole = run({}, **{'optim.schedule': 'wsd', 'optim.decay': 0.25, 'steps': 80})
  trunk = run({}, **{'optim.schedule': 'constant', 'steps': 80})
  branch = sweep.Run(whole.config_file, whole.overrides, {}, trunk=trunk)
  full, own = (cost.cost(r, 'cpu') for r in (whole, branch))
  assert own['flops'] == full['flops']
  assert own['seconds'] - cost.STARTUP == pytest.approx(
      0.25 * (full['seconds'] - cost.STARTUP))


@pytest.mark.parametrize('jobs,wanted', [
    (None, [{0}, {1}, {2}, {5}, {6}]), (2, [{0, 1}, {2, 5}]),
    (1, [{0, 1, 2, 5, 6}]), (6, [None] * 6)])
def test_workers_share_the_cores_evenly(monkeypatch, jobs, wanted):
  monkeypatch.setattr(launch.os, 'sched_getaffinity', lambda _: {6, 5, 0, 1, 2})
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  assert launch.shares(jobs) == wanted


def test_list_says_what_does_not_fit(tmp_path):
  """774 million parameters in bfloat16: 12 GB of state, and what rows keep."""
  big = run({}, **{
      'model.width': 1280, 'model.depth': 36, 'model.heads': 20,
      'model.dtype': 'bfloat16', 'data.length': 1024, 'data.batch': 64})
  text = cost.table([big], tmp_path, 'tpu-v5e')
  assert '1 of 1 runs want more than the 16GB of a tpu-v5e' in text
  cut = cli.override(big.config, {
      'runtime.mesh.fsdp': 16, 'runtime.remat': True})
  small = sweep.Run(big.config_file, big.overrides | {
      'runtime.mesh.fsdp': 16, 'runtime.remat': True}, {})
  assert cut == small.config
  text = cost.table([small], tmp_path, 'tpu-v5e', 16)
  assert 'want more' not in text and 'device-hours' in text
  one, many = (cost.cost(small, 'tpu-v5e', d)['seconds'] for d in (1, 16))
  assert one - cost.STARTUP == pytest.approx(16 * (many - cost.STARTUP))


@pytest.mark.parametrize('changes', [
    {'model.width': 128, 'model.depth': 4, 'model.heads': 4},
    {'model.width': 128, 'model.depth': 4, 'model.heads': 4,
     'runtime.remat': True},
    {'model.width': 64, 'model.depth': 2, 'model.heads': 2,
     'model.mlp': 'gated_silu', 'model.norm': 'rmsnorm'}])
def test_memory_is_about_what_the_compiler_takes(changes):
  import jax

  from physics_lm import program, rows, shape
  config = cli.override(cli.load_config(str(ROOT / 'configs/default.py')),
                        TINY | {'data.length': 128, 'data.batch': 32,
                                'runtime.mesh.data': 1} | changes)
  data = rows.load(config)
  made = program.build(config, data, jax.devices()[:1])
  batch = {k: jax.ShapeDtypeStruct(
      (32, 128) if k in program.BATCH_2D else (32,),
      'float32' if k == 'weights' else 'int32') for k in made.batch_shardings}
  with jax.set_mesh(made.mesh):
    used = made.step.func.lower(
        *made.step.args, made.abstract, batch).compile().memory_analysis()
  taken = used.temp_size_in_bytes + used.argument_size_in_bytes
  told = cost.memory(config, shape.make(config, len(data.vocab)))
  assert 0.4 < told / taken < 2.5


def test_cost_estimates_exposures_well(tmp_path):
  from physics_lm import rows
  r = run({}, steps=50)
  data = rows.load(r.config)
  counts = [0, 0]
  for i in range(50 * 8):
    row = rows.row(data, i)
    counts[row['task']] += int(row['entries'])
  drawn = cost.cost(r, 'cpu')['exposures']
  assert drawn['bio'] == pytest.approx(counts[0] / 12, rel=0.15)
  assert drawn['qa'] == pytest.approx(counts[1] / 6, rel=0.15)


@pytest.mark.timeout(200)
def test_two_launchers_retry_and_blocked_children(tmp_path, monkeypatch):
  """Two launchers share a sweep: every run is done once. A run that crashes
  is tried once more; one that cannot run fails, and blocks its child."""
  good = [run({'n': i}, **{'seed.init': i}) for i in range(2)]
  bad = run({'n': 'bad'}, **{'model.heads': 3})  # one clear line, exit 2
  child = run({'n': 'child'}, bad, steps=5)
  ends = [{}, {}]

  def go(k):
    ends[k] = launch.launch([*good, bad, child], tmp_path / 'sweep', 1)

  other = threading.Thread(target=go, args=(1,))
  other.start()
  go(0)
  other.join()
  for e in ends:
    assert [e[r.id] for r in (*good, bad, child)] == [
        'done', 'done', 'failed', 'blocked']
  for r in good:
    log = (tmp_path / 'sweep' / r.id / 'log.txt').read_text()
    assert log.count('\ndone: ') == 1
  assert 'error: model.width is 16' in (
      tmp_path / 'sweep' / bad.id / 'log.txt').read_text()
  # Again: nothing is left to do.
  assert launch.launch(good, tmp_path / 'sweep', 2) == {
      r.id: 'done' for r in good}


def test_a_crash_is_tried_once_more(tmp_path, monkeypatch):
  script = tmp_path / 'crash.py'
  script.write_text('import pathlib, sys\n'
                    'at = pathlib.Path(sys.argv[1]); n = at / "tries"\n'
                    'n.write_text(n.read_text() + "x" if n.exists() else "x")\n'
                    'sys.exit(139)\n')
  r = run({'n': 1})
  popen = subprocess.Popen
  monkeypatch.setattr(launch.subprocess, 'Popen', lambda arguments, **k: popen(
      [sys.executable, str(script), str(tmp_path / r.id)], **k))
  assert launch.launch([r], tmp_path, 1) == {r.id: 'failed'}
  assert (tmp_path / r.id / 'tries').read_text() == 'xx'


def test_a_trainer_that_was_told_to_stop_leaves_its_child(
    tmp_path, monkeypatch):
  popen = subprocess.Popen
  monkeypatch.setattr(launch.subprocess, 'Popen', lambda arguments, **k: popen(
      [sys.executable, '-c', ''], **k))  # exits 0, not done
  parent = run({'n': 0})
  child = run({'n': 1}, parent)
  assert launch.launch([child], tmp_path / 'sweep', 1) == {
      parent.id: 'stopped', child.id: 'stopped'}


@pytest.mark.timeout(120)
def test_a_stopped_launcher_leaves_resumable_runs(tmp_path):
  code = f'''
from pathlib import Path
from physics_lm import launch
from tests.test_launch import run
ends = launch.launch([run({{'n': 0}}, **{{'steps': 100000,
    'checkpoint.every': 100000}})], Path(r'{tmp_path}'), 1)
print(sorted(ends.values()))
'''
  command = [sys.executable, '-c', code]
  process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE,
                             text=True)
  folder = tmp_path / run({'n': 0}, **{'steps': 100000}).id
  until = time.time() + 60
  while store.step_reached(folder) < 4:
    assert process.poll() is None and time.time() < until
    time.sleep(0.1)
  assert store.state(folder) == 'running'
  process.terminate()
  out = process.communicate(timeout=60)[0]
  assert out.splitlines()[-1] == "['stopped']"
  assert store.state(folder) == 'stopped'
  saved = list((folder / 'checkpoints').iterdir())
  assert saved
  # A launcher that is killed leaves no trainer behind, and nothing is lost.
  step = store.step_reached(folder)
  process = subprocess.Popen(command, cwd=ROOT)
  while store.step_reached(folder) == step:
    assert process.poll() is None and time.time() < until + 60
    time.sleep(0.1)
  process.kill()
  process.wait()
  while store.state(folder) == 'running':
    assert time.time() < until + 60
    time.sleep(0.1)
  assert list((folder / 'checkpoints').iterdir()) != saved


def test_report_refuses_when_runs_are_missing(tmp_path):
  module = sweep.experiment(str(ROOT / 'experiments/knowledge_extraction.py'))
  with pytest.raises(BadInput, match='6 of 6 runs are not done'):
    report.gather(module, 'smoke', tmp_path)
  with pytest.raises(BadInput, match='nearest: cpu'):
    report.gather(module, 'cpuu', tmp_path)


def test_the_best_learning_rate_is_by_the_mean_over_seeds():
  import pandas as pd
  df = pd.DataFrame({
      'data': ['a'] * 4 + ['b'] * 4, 'size': [1] * 8,
      'rate': [0.1, 0.1, 0.2, 0.2] * 2, 'seed': [0, 1] * 4,
      'bits': [9, 0, 5, 6, 0, 0, 0, 0]})
  best = df[report.best_rate(df, ['data', 'size'])]
  # The highest bits are of another rate; of a tie only one is taken.
  assert list(best.bits[best.data == 'a']) == [5, 6]
  assert best.rate[best.data == 'b'].nunique() == 1


def test_an_accuracy_is_said_with_what_its_table_has():
  import pandas as pd
  runs = pd.DataFrame({'data': 'a', 'people': 50, 'exact': [10.0, 14.0],
                       'exact_low': [6.0, 8.0], 'exact_high': [15.0, 19.0]})
  columns = ['exact', 'exact_low', 'exact_high']
  both = report.spread(runs, ['data', 'people'], columns).iloc[0]
  assert report.accuracy(both) == '12.0 ± 2.8 [7.0, 17.0]'
  one = report.spread(runs[:1], ['data', 'people'], columns).iloc[0]
  assert report.accuracy(one) == '10.0 [6.0, 15.0]'
  older = report.spread(runs, ['data', 'people'], columns[:1]).iloc[0]
  assert report.accuracy(older) == '12.0 ± 2.8'
  text = report.held_out(report.accuracy(both), both, '; guess 3.0')
  assert text.endswith('(n = 2 seeds of 50 held-out people, in brackets 95 % '
                       'by person; guess 3.0)')
  assert 'brackets' not in report.held_out(report.accuracy(older), older)


def test_the_readmes_scoreboard_is_the_committed_results():
  """To the letter, but for the last digits of bootstraps of fits (experiments
  scaling_*), which another processor's arithmetic may move."""
  text = (ROOT / 'README.md').read_text()
  told = text.split(report.BEGIN)[1].split(report.END)[0].strip().splitlines()
  made = report.scoreboard().splitlines()
  again = 'run: python -m physics_lm.report --all'
  assert len(told) == len(made), again
  for said, found in zip(told, made):
    if not said.startswith('| [scaling_'):
      assert said == found, again
    assert NUMBER.sub('#', said) == NUMBER.sub('#', found), again
    for a, b in zip(NUMBER.findall(said), NUMBER.findall(found)):
      digits = len(a.partition('.')[2])  # none: a count
      assert a == b or (digits and float(a) == pytest.approx(
          float(b), rel=0.02, abs=3 * 10.0**-digits)), again


@pytest.mark.parametrize('arguments,message', [
    (['launch'], 'required: experiment'),
    (['launch', 'experiments/nowhere.py'], 'no experiment file'),
    (['launch', 'configs/default.py'], 'has no runs, table, figure, verdict'),
    (['launch', 'experiments/knowledge_extraction.py', '--scale=cpuu'],
     'nearest: cpu'),
    (['launch', 'experiments/knowledge_extraction.py', '--jobs=0'], '--jobs'),
    (['launch', 'experiments/knowledge_extraction.py', '--jbos=2'], '--jbos'),
    (['report', 'experiments/knowledge_extraction.py', '--scale=smoke',
      '--runs=/nonexistent'], 'not done'),
    (['report'], 'wanted experiments/NAME.py or --all'),
    (['worlds', 'biografies'], 'nearest: biographies'),
    (['worlds', 'biographies', '--shw=1'], 'shw'),
    (['worlds', 'biographies', '--variant=multy'], 'unknown variant'),
    (['worlds', 'biographies', '--set=people=1'], 'at least 2')])
def test_bad_input_is_one_line_and_exit_2(arguments, message):
  done = subprocess.run(
      [sys.executable, '-m', f'physics_lm.{arguments[0]}', *arguments[1:]],
      cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 2, done
  assert done.stderr.count('\n') == 1 and message in done.stderr, done.stderr


@pytest.mark.parametrize('flags,message', [
    (['--config.model.dpeth=3'], 'nearest: model.depth'),
    (['--config.model.depth=3.5'], 'model.depth is 3.5 (float), wanted int'),
    (['--config.model.tied=maybe'], 'wanted bool'),
    (['--config.optim.clip=x'], 'wanted float'),
    (['--config.model=3'], 'is a section'),
    (['--confg.x=1'], 'unknown flag'),
    (['3'], 'cannot read argument')])
def test_flags(flags, message):
  argv = ['train', '--config=configs/biographies.py:single', '--workdir=/x']
  with pytest.raises(BadInput) as e:
    cli.parse_config(argv + flags)
  assert message in str(e.value)


def test_flags_are_read_by_type():
  config, workdir = cli.parse_config([
      'train', '--config', 'configs/biographies.py:single', '--workdir', '/x',
      '--config.init_from=1234', '--config.optim.clip=2',
      '--config.model.tied=false', '--config.model.kv_heads=2'])
  assert workdir == '/x' and config.worlds.bios.variant == 'single'
  assert config.init_from == '1234' and config.optim.clip == 2.0
  assert config.model.tied is False and config.model.kv_heads == 2
  for missing in (['train'], ['train', '--config=configs/default.py'],
                  ['train', '--config=nowhere.py', '--workdir=/x'],
                  ['train', '--config=configs/default.py:x', '--workdir=/x']):
    with pytest.raises(BadInput):
      cli.parse_config(missing)


def test_trainer_errors_are_one_line_and_exit_2(tmp_path):
  (tmp_path / 'run').mkdir()
  store.write_json(tmp_path / 'run' / 'config.json', {'a': 1})
  for flags, message in (
      ([f'--workdir={tmp_path}/new', '--config.model.heads=3'],
       'wanted a multiple of model.heads=3'),
      ([f'--workdir={tmp_path}/run/config.json'], 'cannot write in'),
      ([f'--workdir={tmp_path}/run'], 'holds another computation')):
    done = subprocess.run(
        [sys.executable, '-m', 'physics_lm.train',
         '--config=configs/default.py', *flags], cwd=ROOT, text=True,
        capture_output=True, check=False)
    assert done.returncode == 2, done
    assert done.stderr.count('\n') == 1 and message in done.stderr
