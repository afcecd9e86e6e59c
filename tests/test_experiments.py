"""Every experiment trains at smoke scale, draws and judges; committed records
give the committed tables; notebooks execute."""

import json

import jupytext
import matplotlib
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from physics_lm import claims, cost, report, results, sweep, train
from physics_lm.config import override
from physics_lm.scaling import sweep_analysis
from tests.conftest import ROOT

EXPERIMENTS = sorted((ROOT / 'experiments').glob('*.py'))
# Designed, without a committed result.
NOT_RUN: set[str] = set()
# Notebooks of committed results and of worlds: the same texts each time.
SAME_TEXTS = ('look_at_the_worlds', 'read_the_results')
# Each source beside its executed notebook; a missing one fails.
NOTEBOOKS = [p.with_suffix('.ipynb')
             for p in sorted((ROOT / 'notebooks').glob('*.py'))]


@pytest.mark.experiment
@pytest.mark.parametrize('path', EXPERIMENTS, ids=lambda p: p.stem)
def test_experiment_at_smoke_scale_ends_in_a_report(path, tmp_path):
  """In this process, so that experiments share what they compile; the launcher
  has tests of its own."""
  module = sweep.experiment(str(path))
  folder, out = tmp_path / module.name, tmp_path / 'out'
  runs = sweep.ordered(module.runs('smoke'))
  for run in runs:  # on one device of the eight, which no id depends on
    train.run(override(run.config, {'runtime.mesh.data': 1}), folder / run.id)
  text = report.report(module, 'smoke', folder, out)
  for end in ('runs.jsonl', 'csv', 'png', 'json'):
    assert (out / module.name / f'smoke.{end}').stat().st_size
  made_by = json.loads((out / module.name / 'smoke.json').read_text())
  assert made_by['runs'] == len(module.runs('smoke')) and made_by['device']
  assert f'{len(module.CLAIMS)} claims are not run' in text
  # Recorded runs are as good as folders.
  report.gather(module, 'smoke', tmp_path / 'gone', out)


@pytest.mark.parametrize('path', EXPERIMENTS, ids=lambda p: p.stem)
def test_experiment_lists_every_scale(path):
  module = sweep.experiment(str(path))
  assert {'smoke', 'cpu'} <= module.SCALES.keys()
  for scale in module.SCALES:
    runs = sweep.ordered(module.runs(scale))
    assert len({r.id for r in runs}) == len(runs)
    for r in runs[:3]:
      assert (cost.run_cost(r, 'cpu')['flops'] > 0) == (r.config.steps > 0)
  assert '--scale=cpu' in module.__doc__


@pytest.mark.parametrize('name', [
    'best_of_n', 'retry_upon_regret', 'error_correction_finetuning'])
def test_igsm_experiments_share_the_models_of_error_correction(name):
  """What these start from has the ids of its runs, so that it is found."""
  theirs, own = (sweep.experiment(str(ROOT / f'experiments/{n}.py'))
                 for n in ('error_correction', name))
  for scale in ('cpu', 'day', 'gpu', 'paper'):
    known, runs = {r.id for r in theirs.runs(scale)}, own.runs(scale)
    parents = {r.init_from.id for r in runs if r.init_from}
    assert parents and parents <= known | {r.id for r in runs}
    assert parents & known


@pytest.mark.parametrize('name,scale,count', [
    ('error_correction_finetuning', 'cpu', 10),
    ('when_mistakes_help', 'cpu', 10)])
def test_records_of_shared_runs_count(name, scale, count):
  """A record may have further evaluations, as during training."""
  own = sweep.experiment(str(ROOT / f'experiments/{name}.py'))
  theirs = [r for other in own.SHARED for r in sweep.experiment(
      str(ROOT / f'experiments/{other}.py')).runs(scale)]
  records = [{'id': r.id, 'overrides': r.changes} for r in theirs]
  assert len(results.recorded_ids(records, own.runs(scale))) == count


@pytest.mark.parametrize('name', ['grammar_probing', 'grammar_attention'])
def test_experiments_on_grammars_share_the_runs_of_grammar_learning(name):
  """With the same evaluations: its records serve them."""
  theirs, own = (sweep.experiment(str(ROOT / f'experiments/{n}.py'))
                 for n in ('grammar_learning', name))
  assert own.SHARED == ('grammar_learning',)
  for scale in own.SCALES:
    known = [{'id': r.id, 'overrides': r.changes} for r in theirs.runs(scale)]
    runs = own.runs(scale)
    assert results.recorded_ids(known, runs) == {r.id for r in runs}


@pytest.mark.experiment
@pytest.mark.parametrize('path', EXPERIMENTS, ids=lambda p: p.stem)
def test_committed_records_give_the_committed_table(path, monkeypatch):
  module = sweep.experiment(str(path))
  # Of bootstraps; `report --all` makes them all.
  monkeypatch.setattr(sweep_analysis, 'DRAWS', 5)
  committed = sorted((results.RESULTS / path.stem).glob('*.runs.jsonl'))
  assert bool(committed) == (path.stem not in NOT_RUN), (
      'an experiment without a committed result, or one that has run')
  for file in committed:
    records = results.read_records(file)
    df, scale = module.table(records), file.name.removesuffix('.runs.jsonl')
    at = file.with_name(f'{scale}.csv')
    rounded = df.to_csv(index=False, float_format='%.4g')
    assert rounded == at.read_text(encoding='utf-8')
    assert not any(r['git_dirty'] for r in records), 'by uncommitted code'
    drawn = module.figure(df)
    drawn = drawn if isinstance(drawn, list) else [drawn]
    assert all(isinstance(f, matplotlib.figure.Figure) for f in drawn)
    assert len(results.figure_paths(file.parent, scale)) == len(drawn)
    assert isinstance(module.summary(df), pd.DataFrame)
    for j in claims.judge_experiment(module, df):
      assert j.outcome in claims.OUTCOMES
    assert at.with_suffix('.png').exists()


@pytest.mark.parametrize('path', EXPERIMENTS, ids=lambda p: p.stem)
def test_claims_have_ids_sources_and_units(path):
  module = sweep.experiment(str(path))
  ids = [c.id for c in module.CLAIMS]
  assert len(set(ids)) == len(ids)
  for c in module.CLAIMS:
    assert c.statement and c.source and c.paper and c.cells


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
  """Simulated tables in place of those that notebooks read from the web."""
  from physics_lm.scaling import laws
  rng = np.random.default_rng(0)
  N = np.geomspace(5e7, 1e10, 120)[rng.permutation(120)]
  D = np.geomspace(1e9, 3e11, 120)
  L = laws.chinchilla(N, D, **laws.EPOCH_HUBER)
  pd.DataFrame({
      'Model Size': N, 'Training FLOP': 6 * N * D,
      'loss': L * np.exp(0.005 * rng.normal(size=120))}).to_csv(
          tmp_path / 'a.csv', index=False)
  curves = []
  for width, depth in ((256, 8), (512, 8), (768, 12), (1024, 16), (1536, 24)):
    n = 12 * depth * width**2 + 2 * 50_304 * width
    curves += [{
        'run_name': f'{width}x{depth}', 'width': width, 'depth': depth,
        'params_active_precise': n, 'tokens': d,
        'final_loss': laws.chinchilla(n, d, **laws.EPOCH_HUBER)}
        for d in np.geomspace(1e9, 1e11, 20)]
  pd.DataFrame(curves).to_json(tmp_path / 'b.jsonl', orient='records',
                               lines=True)
  monkeypatch.setenv('CHINCHILLA_CSV', str(tmp_path / 'a.csv'))
  monkeypatch.setenv('DRAWS', '30')
  monkeypatch.setenv('GEMSTONES_JSONL', str(tmp_path / 'b.jsonl'))


@pytest.mark.experiment
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_executes_and_is_committed_executed(path, stand_ins):
  book = nbformat.read(path, as_version=4)
  source = jupytext.read(path.with_suffix('.py'))
  assert [c.source for c in book.cells] == [c.source for c in source.cells]
  cells = [c for c in book.cells if c.cell_type == 'code']
  assert all(c.execution_count for c in cells)
  assert any(c.outputs for c in cells)
  shown = shown_texts(book)
  NotebookClient(book, timeout=120, resources={
      'metadata': {'path': str(ROOT)}}).execute()
  if path.stem in SAME_TEXTS:
    assert shown_texts(book) == shown


def shown_texts(book) -> list[str]:
  """What each code cell of a notebook prints or shows as text."""
  return [''.join(o.get('text') or o.get('data', {}).get('text/plain', '')
                  for o in c.outputs)
          for c in book.cells if c.cell_type == 'code']
