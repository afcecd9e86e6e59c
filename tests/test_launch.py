"""Sweeps, run identity and the launcher."""

import json
import shutil
import subprocess
import sys
import threading
import time

import pytest

from physics_lm import (
  config,
  cost,
  launch,
  results,
  run_dir,
  sweep,
)
from physics_lm.config import (
  load_config,
  override,
  parse_config,
  plain_config,
  run_id,
  with_defaults,
)
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model.config import model_config
from tests.conftest import ROOT, TINY

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
  assert sweep.concatenated(a, b) == [*a, *b]
  for both in (sweep.product, sweep.zipped):
    with pytest.raises(BadInput, match='two sweeps set x, wanted'):
      both(a, a)
  with pytest.raises(BadInput, match=r'have \[1, 2\] points'):
    sweep.zipped(a, sweep.axis('y', 1))


def test_identity_is_what_is_computed(tmp_path):
  base = run({})
  same = [{'runtime.remat': True}, {'log.every': 9}, {'checkpoint.every': 9},
          {'evals.loss.num_rows': 9}, {'runtime.mesh.data': 1}]
  other = [{'seed.init': 1}, {'optim.learning_rate': 1e-4}, {'steps': 5},
           {'worlds.bios.variant': 'single'}]
  assert all(run({}, **c).id == base.id for c in same)
  ids = [run({}, **c).id for c in other]
  assert len({*ids, base.id}) == len(other) + 1
  child, other_child = run({}, base), run({}, run({}, steps=5))
  assert len({base.id, child.id, other_child.id}) == 3
  # By path or by id, a parent is the same parent.
  by_path = plain_config(child.config) | {'init_from': f'/a/b/{base.id}'}
  assert run_id(by_path) == child.id
  # By a name of its own, a parent is what it computed.
  at = tmp_path / 'parents' / 'mine'
  run_dir.write_json(at / 'config.json', plain_config(base.config))
  named = override(child.config, {'init_from': str(at)})
  assert run_id(run_dir.canonical_config(named, tmp_path)) == child.id


def test_ordered_puts_parents_first_and_refuses_doubles():
  parent = run({'kind': 'parent'})
  child = run({'kind': 'child'}, parent, steps=5)
  assert [r.tags for r in sweep.ordered([child, parent])] == [
      {'kind': 'parent'}, {'kind': 'child'}]
  with pytest.raises(BadInput, match='one computation'):
    sweep.ordered([parent, run({'kind': 'again'})])
  # A parent's tags are nothing to a run of the sweep, whichever comes first.
  same = run({'kind': 'own'})
  for runs in ([same, child], [child, same]):
    assert [r.tags for r in sweep.ordered(runs)] == [
        {'kind': 'own'}, {'kind': 'child'}]


def test_first_seeds_keeps_runs_without_a_seed():
  runs = [run({'kind': 'a', 'seed': s}, steps=s + 4) for s in (1, 2, 3)]
  runs += [run({'kind': 'b'}), run({'kind': 'c', 'seed': 'x'}, steps=9)]
  kept = sweep.first_seeds(runs, 2)
  assert [r.tags.get('seed') for r in kept] == [1, 2, None]
  assert sweep.first_seeds(runs, None) == runs


def finish(folder, *runs):
  """Run folders as of runs that are done, without what they learned."""
  for r in runs:
    run_dir.write_json(folder / r.id / 'config.json', plain_config(r.config))
    run_dir.write_json(folder / r.id / 'done', {'steps': 4, 'seconds': 1.0})


def test_link_finished_runs_links_what_another_experiment_has_done(tmp_path):
  parent = run({'kind': 'parent'})
  theirs = tmp_path / 'theirs' / parent.id
  run_dir.write_json(theirs / 'config.json', plain_config(parent.config))
  launch.link_finished_runs([parent], tmp_path / 'mine', ())
  assert not (tmp_path / 'mine').exists()  # it is not done
  finish(tmp_path / 'theirs', parent)
  launch.link_finished_runs([parent, run({'kind': 'other'}, steps=5)],
                            tmp_path / 'mine', ())
  at, = (tmp_path / 'mine').iterdir()
  assert at.name == parent.id and at.resolve() == theirs.resolve()
  assert run_dir.is_done(at)
  launch.link_finished_runs([parent], tmp_path / 'mine', ())  # once
  (tmp_path / 'more' / parent.id).mkdir(parents=True)
  launch.link_finished_runs([parent], tmp_path / 'more', ())
  assert not (tmp_path / 'more' / parent.id).is_symlink()  # begun here
  shutil.rmtree(tmp_path / 'theirs')
  launch.link_finished_runs([parent], tmp_path / 'mine', ())
  assert not at.is_symlink()  # a link to nowhere would be in the way


def test_an_own_run_is_linked_while_it_is_evaluated_as_here(tmp_path):
  theirs, own = run({'kind': 'theirs'}), run(
      {'kind': 'own'}, **{'evals.loss.num_rows': 3})
  assert own.id == theirs.id
  finish(tmp_path / 'theirs', theirs)
  mine = tmp_path / 'mine'
  assert launch.prepare([own], mine) == {own.id: 'new'}
  assert not mine.exists()
  same = run({'kind': 'same'})
  assert launch.prepare([same], mine) == {same.id: 'done'}
  assert (mine / same.id).is_symlink()
  # Evaluated anew it is trained here: that folder is another experiment's.
  assert launch.prepare([own], mine) == {own.id: 'new'}
  assert not (mine / own.id).exists()


def state_in_list(r, folder):
  return cost.cost_table([r], folder, 'cpu').splitlines()[1].split()[-1]


def test_a_done_run_with_other_evaluations_is_stale(tmp_path):
  """Evaluations are no part of a run's identity, but of its results."""
  before, now = run({}), run({}, **{'evals.extraction.people': 3})
  assert before.id == now.id
  finish(tmp_path, before)
  assert sweep.is_finished(before, tmp_path, {before.id})
  assert not sweep.is_finished(now, tmp_path, {now.id})
  assert sweep.is_finished(now, tmp_path, ())  # others only start from it
  assert 'evals.extraction.people: 2 -> 3' in sweep.stale_evals_text(
      now, tmp_path)
  assert state_in_list(now, tmp_path) == 'stale-evals'
  assert state_in_list(before, tmp_path) == 'done'
  # When they run during training makes no other results.
  assert not sweep.stale_evals_text(
      run({}, **{'evals.loss.every': 2}), tmp_path)


def test_keys_that_are_added_later_make_no_other_run(tmp_path, monkeypatch):
  """A key with a value that describes earlier runs (config.LATER)."""
  r = run({})
  new = plain_config(r.config)
  old = json.loads(json.dumps(new))
  del old['evals']['loss']['num_problems'], old['data']['shards']
  del old['adapter'], old['worlds']['bios']['zipf_a'], old['log']['loss_band']
  run_dir.write_json(tmp_path / r.id / 'config.json', old)
  assert not sweep.stale_evals_text(r, tmp_path)
  assert run_id(old) != run_id(new)
  monkeypatch.setattr(config, 'LATER_SECTIONS', {'data': {'shards': 1}})
  monkeypatch.setattr(config, 'LATER', {'biographies': {'zipf_a': 0.0}})
  assert with_defaults(old) == new
  assert run_id(old) == run_id(new)


def family():
  """A run that others only start from, two of these, and one of their own."""
  parent = run({'kind': 'parent'})
  children = [run({'kind': f'child{i}'}, parent, steps=5 + i)
              for i in range(2)]
  return parent, *children, run({'kind': 'alone'}, steps=9)


def test_states_of_recorded_runs(tmp_path):
  parent, one, two, alone = family()
  runs = [one, two, alone]

  def states(*recorded):
    found = sweep.states(runs, tmp_path, {r.id for r in recorded})
    return [found[r.id] for r in (parent, one, two, alone)]

  assert states() == ['new'] * 4
  assert states(one, alone) == ['new', 'recorded', 'new', 'recorded']
  assert states(one, two) == ['not needed', 'recorded', 'recorded', 'new']
  finish(tmp_path, two)
  assert states(one) == ['not needed', 'recorded', 'done', 'new']
  finish(tmp_path, parent)
  assert states(one) == ['done', 'recorded', 'done', 'new']


def test_a_recorded_run_is_run_when_its_parameters_are_needed(tmp_path):
  parent, one, *_ = family()
  runs, recorded = [parent, one], {parent.id}
  assert sweep.states(runs, tmp_path, recorded) == {
      parent.id: 'new', one.id: 'new'}
  finish(tmp_path, one)
  assert sweep.states(runs, tmp_path, recorded) == {
      parent.id: 'recorded', one.id: 'done'}


def test_a_done_run_is_evaluated_again_without_its_parent(tmp_path):
  """Unless it is only an adapter of the parent's parameters."""
  parent = run({'kind': 'parent'})
  for adapter, wanted in (('none', 'not needed'), ('lora', 'new')):
    now, before = (run({'kind': 'child'}, parent, **{
        'adapter.kind': adapter, 'evals.loss.num_rows': n}) for n in (4, 5))
    finish(tmp_path, before)
    assert sweep.states([now], tmp_path) == {
        parent.id: wanted, now.id: 'stale-evals'}


def test_a_record_with_other_evaluations_does_not_count():
  r = run({'n': 0})
  kept = {'id': r.id, 'overrides': r.changes}
  for changes, wanted in (({}, {r.id}), ({'evals.loss.every': 2}, {r.id}),
                          ({'evals.extraction.people': 3}, set()),
                          ({'steps': 5}, set())):
    assert results.recorded_ids([kept], [run({'n': 0}, **changes)]) == wanted
  assert not results.recorded_ids([{'id': None, 'overrides': None}], [r])


EXPERIMENT = '''"""A question. arXiv"""
from tests.test_launch import run
CLAIMS = ()
def runs(scale):
  parent = run({'n': 'parent'})
  return [run({'n': i}, parent, steps=5 + i) for i in range(3)]
def table(records): raise AssertionError
summary = figure = table
'''


def test_launch_runs_only_what_is_neither_done_nor_recorded(
    tmp_path, monkeypatch, capsys):
  file = tmp_path / 'tiny.py'
  file.write_text(EXPERIMENT)
  runs = sweep.experiment(str(file)).runs('cpu')
  monkeypatch.setattr(results, 'RESULTS', tmp_path / 'results')
  finish(tmp_path / 'runs/tiny', runs[0])
  records = [{'id': r.id, 'tags': r.tags, 'overrides': r.changes, 'evals': {}}
             for r in runs[1:]]
  results.write_records(
      results.records_path(tmp_path / 'results', 'tiny', 'cpu'), records)
  command = [str(file), f'--runs-dir={tmp_path}/runs']
  launch.main([*command, '--list'])
  listed = capsys.readouterr().out.splitlines()
  assert ['new' in line or 'recorded' in line for line in listed[1:5]] == [
      False, False, True, True]
  assert 'not needed' in listed[1] and 'done' in listed[2]
  assert listed[-1].endswith('nothing left to run')
  launch.main(command)  # nothing is trained: it would take seconds
  out = capsys.readouterr().out
  assert '3 runs: 1 done, 2 recorded; in' in out
  report_line = f'next: python -m physics_lm.report {file} --scale=cpu'
  assert f'{report_line} --runs-dir={tmp_path}/runs\n' in out
  results.write_records(  # all of them: there need be no folder of runs
      results.records_path(tmp_path / 'results', 'tiny', 'cpu'),
      [{**records[0], 'id': runs[0].id, 'overrides': runs[0].changes},
       *records])
  launch.main([str(file), f'--runs-dir={tmp_path}/none'])
  out = capsys.readouterr().out
  assert '3 recorded; in' in out and out.endswith(f'{report_line}\n')
  results.write_records(
      results.records_path(tmp_path / 'results', 'tiny', 'cpu'), records)
  launch.main([*command, '--list', '--again'])
  again = capsys.readouterr().out
  assert 'recorded' not in again and '; 3 left, about' in again


@pytest.mark.parametrize('status,wanted,code', [
    (0, '3 new', 0), (2, '1 failed', 1)])
def test_launch_ends_with_the_line_that_resumes(
    tmp_path, monkeypatch, capsys, status, wanted, code):
  file = tmp_path / 'tiny.py'
  file.write_text(EXPERIMENT)
  monkeypatch.setattr(results, 'RESULTS', tmp_path / 'results')
  popen = subprocess.Popen
  monkeypatch.setattr(launch.subprocess, 'Popen', lambda arguments, **k: popen(
      [sys.executable, '-c', f'raise SystemExit({status})'], **k))
  runs = sweep.experiment(str(file)).runs('cpu')
  finish(tmp_path / 'runs/tiny', runs[0])
  command = [str(file), f'--runs-dir={tmp_path}/runs', '--jobs=1']
  with pytest.raises(SystemExit) as e:
    launch.main(command)
  out = capsys.readouterr().out
  assert e.value.code == code and wanted in out
  assert f'resume with: python -m physics_lm.launch {file} ' in out
  assert out.splitlines()[-1].endswith('--partial')


def test_list_shows_every_column(tmp_path):
  parent = run({'kind': 'parent'})
  text = cost.cost_table([parent, run({'kind': 'child'}, parent, steps=5)],
                    tmp_path, 'cpu')
  head, first, second, common, total = text.splitlines()
  assert head.split() == ['id', 'run', 'params', 'tokens', 'exposures',
                          'FLOPs', 'time', 'evals', 'memory', 'state',
                          'overrides']
  assert f'steps=5 init_from={parent.id}' in second and 'steps=4' in first
  assert 'model.width=16' in common and ' steps=' not in common
  assert parent.id in first and 'kind=child' in second and 'new' in first
  assert total.startswith('2 runs')


def test_times_of_a_list_are_those_of_records_where_there_are_any(tmp_path):
  runs = [run({'kind': str(n)}, steps=n) for n in (4, 5, 6, 7)]
  costs = [cost.run_cost(r, 'cpu') for r in runs]
  plain, text = cost.run_seconds(runs, costs, {})
  assert plain == [k['seconds'] + k['evals'] for k in costs]
  assert text == '; times: 4 estimated'
  measured = {r.id: f * s for r, f, s in zip(runs, (2, 3, 5), plain)}
  times, text = cost.run_seconds(runs, costs, measured)
  assert times[:3] == [2 * plain[0], 3 * plain[1], 5 * plain[2]]
  assert times[3] == 3 * plain[3]
  assert text == '; times: 3 of records, 1 estimated (times 3, as its records)'
  few = {r.id: measured[r.id] for r in runs[:2]}
  assert cost.run_seconds(runs, costs, few)[0][2:] == plain[2:]
  line = cost.cost_table(runs, tmp_path, 'cpu', measured=measured)
  assert text + '; 4 left, about ' in line.splitlines()[-1]


def test_seconds_of_records_are_of_the_same_kind_of_device():
  record = {'id': 'a', 'seconds': 9.0, 'train': {'time/seconds': 20.0},
            'devices': 1, 'device': 'cpu'}
  assert results.measured_seconds([record], 'cpu') == {'a': 20.0}
  assert results.measured_seconds([record], 'h200') == {}
  assert results.measured_seconds([record | {'devices': 4}], 'cpu') == {}


def test_cost_of_a_branch_leaves_out_its_trunk():
  whole = run({}, **{'optim.schedule': 'wsd', 'optim.decay_fraction': 0.25,
                     'steps': 80})
  trunk = run({}, **{'optim.schedule': 'constant', 'steps': 80})
  branch = sweep.Run(whole.config_file, whole.overrides, {}, trunk=trunk)
  full, own = (cost.run_cost(r, 'cpu') for r in (whole, branch))
  assert own['flops'] == full['flops']
  start = cost.DEVICES['cpu'].startup
  assert own['seconds'] - start == pytest.approx(
      0.25 * (full['seconds'] - start))


@pytest.mark.parametrize('jobs,wanted', [
    (None, [{0}, {1}, {2}, {5}, {6}]), (2, [{0, 1}, {2, 5}]),
    (1, [{0, 1, 2, 5, 6}]), (6, [None] * 6)])
def test_cpu_slices_share_the_cores_evenly(monkeypatch, jobs, wanted):
  monkeypatch.setattr(launch.os, 'sched_getaffinity', lambda _: {6, 5, 0, 1, 2})
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  assert launch.cpu_slices(jobs) == wanted


def test_list_names_runs_that_do_not_fit(tmp_path):
  """774 million parameters in bfloat16: 12 GB of state, and what rows keep."""
  big = run({}, **{
      'model.width': 1280, 'model.depth': 36, 'model.heads': 20,
      'model.dtype': 'bfloat16', 'data.seq_len': 1024, 'data.batch_size': 64})
  text = cost.cost_table([big], tmp_path, 'tpu-v5e')
  assert '1 of 1 runs need more than the 16GB of a tpu-v5e' in text
  cut = override(big.config, {
      'runtime.mesh.fsdp': 16, 'runtime.remat': True})
  small = sweep.Run(big.config_file, big.overrides | {
      'runtime.mesh.fsdp': 16, 'runtime.remat': True}, {})
  assert cut == small.config
  text = cost.cost_table([small], tmp_path, 'tpu-v5e', 16)
  assert 'want more' not in text and 'device-hours' in text
  one, many = (cost.run_cost(small, 'tpu-v5e', d)['seconds'] for d in (1, 16))
  start = cost.DEVICES['tpu-v5e'].startup
  assert one - start == pytest.approx(16 * (many - start))


@pytest.mark.parametrize('changes', [
    {'model.width': 128, 'model.depth': 4, 'model.heads': 4},
    {'model.width': 128, 'model.depth': 4, 'model.heads': 4,
     'runtime.remat': True},
    {'model.width': 64, 'model.depth': 2, 'model.heads': 2,
     'model.mlp': 'gated_silu', 'model.norm': 'rmsnorm'}])
def test_memory_is_about_what_the_compiler_reports(changes):
  import jax

  from physics_lm import train_step
  config = override(load_config(str(ROOT / 'configs/default.py')),
                        TINY | {'data.seq_len': 128, 'data.batch_size': 32,
                                'runtime.mesh.data': 1} | changes)
  data = load_mixture(config)
  made = train_step.build(config, data, jax.devices()[:1])
  batch = {k: jax.ShapeDtypeStruct(
      (32, 128) if k in train_step.BATCH_2D else (32,),
      'float32' if k == 'weights' else 'int32') for k in made.batch_shardings}
  with jax.set_mesh(made.mesh):
    used = made.step.func.lower(
        *made.step.args, made.abstract, batch).compile().memory_analysis()
  taken = used.temp_size_in_bytes + used.argument_size_in_bytes
  estimate = cost.memory_bytes(config, model_config(config, len(data.vocab)))
  assert 0.4 < estimate / taken < 2.5


def test_few_people_train_no_more_than_there_are():
  config = override(load_config(str(ROOT / 'configs/manipulation.py')), {
      'worlds.bios.people': 100_000, 'worlds.bios.train_people': 10_000})
  few = cost.few_people(config)
  assert few['worlds.bios.people'] == cost.FEW_PEOPLE
  assert few['worlds.bios.train_people'] == cost.FEW_PEOPLE // 2
  assert cost.small_mixture(config).tasks  # its world accepts them


def test_cost_estimates_exposures_within_15_percent(tmp_path):
  from physics_lm import mixture
  r = run({}, steps=50)
  data = load_mixture(r.config)
  counts = [0, 0]
  for i in range(50 * 8):
    row = mixture.packed_row(data, i)
    counts[row['task']] += int(row['entries'])
  drawn = cost.run_cost(r, 'cpu')['exposures']
  assert drawn['bio'] == pytest.approx(counts[0] / 12, rel=0.15)
  assert drawn['qa'] == pytest.approx(counts[1] / 6, rel=0.15)


@pytest.mark.cluster
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


def test_a_crashed_run_is_tried_a_second_time(tmp_path, monkeypatch):
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


def test_a_trainer_lives_on_and_one_that_is_killed_loses_one_try(
    tmp_path, monkeypatch):
  """Three runs and one process; the second run's first try kills it."""
  script, popen, started = tmp_path / 'serve.py', subprocess.Popen, []
  script.write_text("""
import json, os, pathlib, sys
for line in sys.stdin:
  log, *arguments = json.loads(line)
  at = pathlib.Path(arguments[-1].removeprefix('--workdir='))
  with open(log, 'a') as f:
    f.write(f'process {os.getpid()}\\n')
  if '--config.steps=5' in arguments and not (at / 'tried').exists():
    (at / 'tried').write_text('')
    os.kill(os.getpid(), 9)
  (at / 'config.json').write_bytes((at / 'wanted').read_bytes())
  (at / 'done').write_text('{}')
  os.write(1, b'.')
""")
  monkeypatch.setattr(launch.subprocess, 'Popen', lambda arguments, **k:
                      started.append(1) or popen([sys.executable, str(script)],
                                                 **k))
  runs = [run({'n': n}, **{'steps': n}) for n in (4, 5, 6, 7)]
  for r in runs:
    run_dir.write_json(tmp_path / r.id / 'wanted', plain_config(r.config))
  assert set(launch.launch(runs, tmp_path, 1).values()) == {'done'}
  logs = [(tmp_path / r.id / 'log.txt').read_text().split('process ')[1:]
          for r in runs]
  assert len(started) == 2 and [len(log) for log in logs] == [1, 2, 1, 1]
  assert logs[0][0].split()[0] == logs[1][0].split()[0]
  assert logs[1][1].split()[0] == logs[2][0].strip() == logs[3][0].strip()


def test_a_stopped_trainer_leaves_its_child(
    tmp_path, monkeypatch):
  popen = subprocess.Popen
  monkeypatch.setattr(launch.subprocess, 'Popen', lambda arguments, **k: popen(
      [sys.executable, '-c', ''], **k))  # exits 0, not done
  parent = run({'n': 0})
  child = run({'n': 1}, parent)
  assert launch.launch([child], tmp_path / 'sweep', 1) == {
      parent.id: 'new', child.id: 'new'}  # neither began to train


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
  while run_dir.step_reached(folder) < 4:
    assert process.poll() is None and time.time() < until
    time.sleep(0.1)
  assert run_dir.state(folder) == 'running'
  process.terminate()
  out = process.communicate(timeout=60)[0]
  assert out.splitlines()[-1] == "['stopped']"
  assert run_dir.state(folder) == 'stopped'
  saved = list((folder / 'checkpoints').iterdir())
  assert saved
  # A launcher that is killed leaves no trainer behind, and nothing is lost.
  step = run_dir.step_reached(folder)
  process = subprocess.Popen(command, cwd=ROOT)
  while run_dir.step_reached(folder) == step:
    assert process.poll() is None and time.time() < until + 60
    time.sleep(0.1)
  process.kill()
  process.wait()
  while run_dir.state(folder) == 'running':
    assert time.time() < until + 60
    time.sleep(0.1)
  assert list((folder / 'checkpoints').iterdir()) != saved


@pytest.mark.parametrize('arguments,message', [
    (['launch'], 'required: experiment'),
    (['launch', 'experiments/nowhere.py'], 'no experiment file'),
    (['launch', 'configs/default.py'],
     'has no runs, table, summary, figure, CLAIMS'),
    (['launch', 'experiments/knowledge_extraction.py', '--scale=cpuu'],
     'nearest: cpu'),
    (['launch', 'experiments/knowledge_extraction.py', '--jobs=0'], '--jobs'),
    (['launch', 'experiments/knowledge_extraction.py', '--jbos=2'], '--jbos'),
    (['launch', 'experiments/knowledge_extraction.py', '--vmap-runs=0'],
     '--vmap-runs'),
    (['launch', 'experiments/knowledge_extraction.py', '--scale=smoke',
      '--runs-dir=README.md'], 'wanted a writable folder'),
    (['report', 'experiments/knowledge_extraction.py', '--scale=smoke',
      '--runs-dir=/nonexistent'], 'wanted a folder of runs'),
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
    (['--config.model.tie_embeddings=maybe'], 'wanted bool'),
    (['--config.optim.grad_clip_norm=x'], 'wanted float'),
    (['--config.model=3'], 'is a section'),
    (['--confg.x=1'], 'unknown flag'),
    (['3'], 'cannot read argument')])
def test_flags_that_are_wrong_say_what_was_wanted(flags, message):
  argv = ['train', '--config=configs/biographies.py:single', '--workdir=/x']
  with pytest.raises(BadInput) as e:
    parse_config(argv + flags)
  assert message in str(e.value)


def test_a_kind_adds_an_evaluation():
  config, _ = parse_config([
      'train', '--config=configs/biographies.py:single', '--workdir=/x',
      '--config.evals.q_probe.steps=5', '--config.evals.q_probe.kind=q_probe'])
  assert config.evals.q_probe.steps == 5 and len(config.evals) == 3
  assert config.evals.q_probe.kind == 'q_probe'
  with pytest.raises(BadInput, match='nearest'):
    parse_config(['train', '--config=configs/biographies.py:single',
                  '--workdir=/x', '--config.evals.q_probe.steps=5'])


def test_flags_are_read_by_type():
  config, workdir = parse_config([
      'train', '--config', 'configs/biographies.py:single', '--workdir', '/x',
      '--config.init_from=1234', '--config.optim.grad_clip_norm=2',
      '--config.model.tie_embeddings=false', '--config.model.kv_heads=2'])
  assert workdir == '/x' and config.worlds.bios.variant == 'single'
  assert config.init_from == '1234' and config.optim.grad_clip_norm == 2.0
  assert config.model.tie_embeddings is False and config.model.kv_heads == 2
  for missing in (['train'], ['train', '--config=configs/default.py'],
                  ['train', '--config=nowhere.py', '--workdir=/x'],
                  ['train', '--config=configs/default.py:x', '--workdir=/x']):
    with pytest.raises(BadInput):
      parse_config(missing)


def test_trainer_errors_are_one_line_and_exit_2(tmp_path):
  (tmp_path / 'run').mkdir()
  run_dir.write_json(tmp_path / 'run' / 'config.json', {'a': 1})
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


def test_a_trainer_refuses_a_config_file_that_was_edited(tmp_path, capsys):
  from physics_lm import train
  file = tmp_path / 'mine.py'
  recipe = ('from physics_lm.configs import default\n'
            'def get_config():\n  c = default.get_config()\n')
  file.write_text(recipe + '  return c\n')
  base = sweep.Run(str(file), {'steps': 4}, {'kind': 'base'})
  child = sweep.Run(str(file), {'steps': 4}, {'kind': 'child'}, base)
  finish(tmp_path, base, child)
  wanted = [base.id, child.id]
  commands = [[*r.arguments(), f'--workdir={tmp_path}/{r.id}']
              for r in (base, child)]
  train.main(['train', *commands[0], '--and', *commands[1]])
  assert capsys.readouterr().out.count('already done') == 2
  file.write_text(recipe + '  c.optim.learning_rate = 0.5\n  return c\n')
  edited = sweep.Run(str(file), {'steps': 4}, {'kind': 'base'})
  for command, run_id_ in zip(commands, wanted):
    with pytest.raises(SystemExit) as e:
      train.main(['train', *command])
    error = capsys.readouterr().err
    assert e.value.code == 2 and error.count('\n') == 1
    assert 'changed since the launcher started: found' in error
    assert error.endswith(f'wanted {run_id_}\n')
  # What was trained under an old id is not done under it, nor its child.
  run_dir.write_json(tmp_path / base.id / 'config.json',
                     plain_config(edited.config))
  assert sweep.is_finished(child, tmp_path, {child.id})
  assert not sweep.is_finished(base, tmp_path, ())
  assert launch.prepare([child, base], tmp_path) == {
      base.id: 'other-run', child.id: 'done'}
  out = capsys.readouterr().out
  assert out.count('\n') == 1 and f'of run id {edited.id}, and does' in out
  launch.link_finished_runs([base], tmp_path.parent / 'other', ())
  assert not (tmp_path.parent / 'other').exists()


def test_list_is_cut_to_the_width_of_the_terminal():
  lines = ['id  run', 'a   ' + 'x' * 30]
  assert cost.cut(lines, None) == cost.cut(lines, 34) == lines
  assert cost.cut(lines, 20) == [
      'id  run', 'a   ' + 'x' * 13 + '...',
      'cut at 20 characters; in full: add | cat']
