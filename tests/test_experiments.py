"""Every experiment runs at smoke scale, draws, and judges; notebooks show.

What takes long runs by `make test-experiments`.
"""

import json

import matplotlib
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from physics_lm import cost, launch, report, store, sweep
from tests.conftest import ROOT

EXPERIMENTS = sorted((ROOT / 'experiments').glob('*.py'))
# Written and not run yet: no result, so no experiment.
DRAFTS = sorted((ROOT / 'experiments/drafts').glob('*.py'))
# Each source beside its executed notebook; a missing one fails.
NOTEBOOKS = [p.with_suffix('.ipynb')
             for p in sorted((ROOT / 'notebooks').glob('*.py'))]


@pytest.mark.experiment
@pytest.mark.parametrize('path', EXPERIMENTS, ids=lambda p: p.stem)
def test_smoke_scale_ends_in_a_report(path, tmp_path):
  module = sweep.experiment(str(path))
  ends = launch.launch(module.runs('smoke'),
                       tmp_path / module.name)
  assert set(ends.values()) == {'done'}
  text = report.report(module, 'smoke', tmp_path / module.name,
                       tmp_path / 'out')
  for end in ('csv', 'png', 'json'):
    assert (tmp_path / 'out' / module.name / f'smoke.{end}').stat().st_size
  made_by = store.read_json(tmp_path / 'out' / module.name / 'smoke.json')
  assert made_by['runs'] == len(ends) and made_by['device']
  assert 'not tested at this scale' in text


@pytest.mark.parametrize('path', EXPERIMENTS + DRAFTS, ids=lambda p: p.stem)
def test_every_scale_lists(path, tmp_path):
  module = sweep.experiment(str(path))
  for scale in ('smoke', 'cpu', 'gpu', 'paper'):
    runs = sweep.ordered(module.runs(scale))
    assert len({r.id for r in runs}) == len(runs)
    for r in runs[:3]:
      assert (cost.cost(r, 'cpu')['flops'] > 0) == (r.config.steps > 0)
  assert 'arXiv' in module.__doc__ and '--scale=cpu' in module.__doc__


@pytest.mark.parametrize('name', [
    'best_of_n', 'hidden_planning', 'regret', 'correction_by_finetuning'])
def test_models_of_error_correction_are_trained_once(name):
  """What these start from has the ids of its runs, so that it is found."""
  load = lambda n: sweep.experiment(str(ROOT / f'experiments/{n}.py'))
  for scale in ('cpu', 'gpu', 'paper'):
    theirs = {r.id for r in load('error_correction').runs(scale)}
    own = load(name).runs(scale)
    parents = {r.init_from.id for r in own if r.init_from}
    assert parents and parents <= theirs | {r.id for r in own}
    assert parents & theirs


@pytest.mark.parametrize('path', EXPERIMENTS, ids=lambda p: p.stem)
def test_committed_results_draw_and_judge(path):
  import pandas as pd
  module = sweep.experiment(str(path))
  if hasattr(module, 'DRAWS'):
    module.DRAWS = 20  # of bootstraps; the scoreboard's test makes them all
  committed = sorted((report.RESULTS / path.stem).glob('*.csv'))
  assert committed, 'an experiment without a committed result'
  for csv in committed:
    df = pd.read_csv(csv)
    assert module.verdict(df)
    assert isinstance(module.figure(df), matplotlib.figure.Figure)
    made_by = json.loads(csv.with_suffix('.json').read_text())
    assert made_by['git_dirty'] is False, f'{csv}: by uncommitted code'
    assert csv.with_suffix('.png').exists()


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
  """Simulated tables in place of those that notebooks read from the web."""
  import pandas as pd

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
def test_notebooks_execute_and_are_committed_executed(path, stand_ins):
  book = nbformat.read(path, as_version=4)
  cells = [c for c in book.cells if c.cell_type == 'code']
  assert all(c.execution_count for c in cells)
  assert any(c.outputs for c in cells)
  NotebookClient(book, timeout=120, resources={
      'metadata': {'path': str(ROOT)}}).execute()
