"""The command `python -m physics_lm.scaling fit`, and tables of runs."""

import numpy as np
import pytest

from physics_lm import run_dir
from physics_lm.config import plain_config
from physics_lm.scaling import __main__ as scaling_main
from physics_lm.scaling import laws, run_table
from physics_lm.scaling.fitting import fits
from tests.surfaces import noisy_isoflop


@pytest.fixture
def csv(tmp_path):
  import pandas as pd
  C, N, D, L = noisy_isoflop()
  path = tmp_path / 'runs.csv'
  pd.DataFrame({'C': C, 'N': N, 'D': D, 'loss': L,
                'run': np.arange(len(L)) // 5}).to_csv(path, index=False)
  return path


@pytest.mark.parametrize('law', ['chinchilla', 'p_norm', 'kaplan'])
def test_command_writes_report_and_figures(csv, tmp_path, law, capsys):
  out = tmp_path / 'out'
  budget = ['--budget=C'] if law == 'chinchilla' else []
  scaling_main.main(['fit', str(csv), '--group=run', *budget,
                     f'--law={law}', '--bootstrap=20', f'--out={out}'])
  report = run_dir.read_json(out / 'report.json')
  assert report['status'] == 'converged' and report['n'] == 75
  low, high = report['interval_95']['alpha_N' if law == 'kaplan'
                                    else 'alpha']
  assert low < high
  assert len(report['holdout']) == 3 and len(report['laws']) == 6
  text = (out / 'report.md').read_text()
  assert 'Bootstrap by group, 20 draws' in text
  assert 'Without the highest losses' in text
  drawn = {p.stem for p in out.glob('*.png')}
  if law == 'chinchilla':
    assert drawn == {'residuals', 'holdout', 'frontier', 'contours', 'pairs',
                     'approaches', 'isoflop', 'envelope'}
    assert len(report['budgets']) == 5 and 'predicted bias' in text
    assert [r['approach'][0] for r in report['approaches']] == list('311222')
  else:
    assert drawn == {'residuals', 'holdout'}
  assert 'written:' in capsys.readouterr().out


def test_command_reads_compute_and_drops_rows(csv, tmp_path):
  import pandas as pd
  df = pd.read_csv(csv)
  worse = df.iloc[:10].assign(loss=1.1 * df.loss[:10])
  path = tmp_path / 'both.jsonl'
  pd.concat([worse, df]).to_json(path, orient='records', lines=True)
  out = tmp_path / 'out'
  scaling_main.main(['fit', str(path), '--n=N', '--c=C', '--best-per-nd',
                     '--drop-highest=3', '--bootstrap=0', f'--out={out}'])
  got = run_dir.read_json(out / 'report.json')
  kept = df.sort_values('loss').iloc[:-3]
  f = fits.chinchilla(kept.N, kept.C / (6 * kept.N), kept.loss)
  assert got['n'] == 72 and got['repeated'] == 0
  assert got['objective'] == pytest.approx(f.objective, rel=1e-9)


@pytest.mark.parametrize('change,message', [
    (['--n=NN'], "no column 'NN'"), (['--n=NN'], 'found: C, N, D, loss, run'),
    (['--group=NN'], 'found: C, N'), (['--bootstrap=-1'], 'wanted >= 0'),
    (['--loss=zero'], "column 'zero'"), (['--lw=3'], '--lw'),
    (['--loss=zero', '--best-per-nd'], 'row 1 of 75, wanted all positive'),
    (['--law=kaplan', '--budget=C'], 'wanted chinchilla'),
    (['--overestimate-cost=3'], 'asymmetric_log'), (['--delta=inf'], 'finite'),
    (['--c=C', '--d=D'], 'either --d or --c'),
    (['--group=hole'], 'no label in row 1'),
    (['--loss=word'], "column 'word'"), (['--per-step'], 'a folder of runs'),
    (['--budget=zero'], 'positive and finite')])
def test_command_refuses_bad_input(csv, tmp_path, change, message, capsys):
  text = csv.read_text().splitlines()
  csv.write_text('\n'.join([text[0] + ',zero,word,hole']
                           + [t + ',0,w,' for t in text[1:]]))
  with pytest.raises(SystemExit) as e:
    scaling_main.main(['fit', str(csv), f'--out={tmp_path}/o', *change])
  error = capsys.readouterr().err
  assert e.value.code == 2 and error.count('\n') == 1 and message in error


def test_command_reports_when_nothing_is_determined(
    tmp_path, capsys):
  """Few rows of a law without E: amplitudes overflow, draws run away."""
  import pandas as pd
  N, D = (x.ravel() for x in np.meshgrid([1e8, 3e8, 1e9, 3e9],
                                         [1e9, 3e9, 1e10, 3e10]))
  L = laws.kaplan_nd(N, D, **laws.KAPLAN.nd)
  for seed in range(2):
    noise = np.random.default_rng(seed).normal(size=16)
    path, out = tmp_path / f'{seed}.csv', tmp_path / f'out{seed}'
    pd.DataFrame({'N': N, 'D': D, 'loss': L * np.exp(0.01 * noise)}).to_csv(
        path, index=False)
    scaling_main.main(['fit', str(path), '--bootstrap=20', f'--out={out}'])
    text = (out / 'report.md').read_text()
    assert 'Not identified by these runs' in text
    assert 'not independent' in text
    run_dir.read_json(out / 'report.json')  # JSON knows neither nan nor inf
    assert 'NaN' not in (out / 'report.json').read_text()
  assert not capsys.readouterr().err


def test_report_counts_repeated_rows(csv, tmp_path):
  import pandas as pd
  df = pd.read_csv(csv)
  path, out = tmp_path / 'twice.csv', tmp_path / 'out'
  pd.concat([df, df.iloc[:7]]).assign(size=lambda t: (t.N > 1e8) + 1).assign(
      third=lambda t: np.arange(len(t)) % 3).to_csv(path, index=False)
  scaling_main.main(['fit', str(path), '--group=third', '--bootstrap=60',
                     f'--out={out}'])
  report = run_dir.read_json(out / 'report.json')
  assert report['repeated'] == 7
  assert '7 rows repeat an (N, D)' in (out / 'report.md').read_text()
  a, b = report['interval_80']['alpha'], report['interval_95']['alpha']
  assert b[0] <= a[0] < a[1] <= b[1]


@pytest.mark.parametrize('text,message', [
    ('', 'not a readable table'), ('N,D,loss\n', 'no rows'),
    ('N,D,loss\n1,2,3\n', '1 points, wanted at least 5')])
def test_command_refuses_empty_files(tmp_path, text, message, capsys):
  path = tmp_path / 'empty.csv'
  path.write_text(text)
  with pytest.raises(SystemExit):
    scaling_main.main(['fit', str(path), f'--out={tmp_path}/o'])
  error = capsys.readouterr().err
  assert error.count('\n') == 1 and message in error


def test_run_table_reads_a_folder_of_runs(tmp_path, capsys):
  """Sizes from configs, losses from evaluations, curves from metrics."""
  from configs import default
  for k, width in enumerate((32, 64, 128)):
    config = default.get_config()
    config.model.width = width
    at = tmp_path / f'run{k}'
    run_dir.write_json(at / 'config.json', plain_config(config))
    run_dir.write_json(at / 'meta.json', {'vocab': {'size': 500}})
    run_dir.write_json(at / 'evals/loss/2000.json', {'rows': [
        {'metric': 'loss', 'value': 3.0 - k, 'n': 9, 'task': 'bio'}]})
    (at / 'metrics.jsonl').write_text(''.join(
        f'{{"kind": "train", "step": {s}, "tokens": {s * 2048}, "loss": '
        f'{4 - s / 1000}}}\n' for s in (1000, 2000)))
    if k < 2:
      run_dir.write_json(at / 'done', {})  # the third is not finished
  df = run_table.read_runs(tmp_path)
  assert list(df['loss/bio']) == [3.0, 2.0] and list(df.run) == ['run0', 'run1']
  assert (df.D == 2000 * 16 * 128).all()
  assert df.N[1] == df.N_ne[1] + 504 * 64  # vocabulary of 500, padded to 8
  np.testing.assert_allclose(df.C_6n, 6 * df.N * df.D)
  curves = run_table.read_runs(tmp_path, per_step=True)
  assert list(curves.D) == [2048e3, 4096e3] * 2
  assert list(curves.loss) == [3.0, 2.0] * 2
  np.testing.assert_allclose(curves.C_6n, 6 * curves.N * curves.D)
  with pytest.raises(SystemExit):  # two sizes are no law
    scaling_main.main(['fit', str(tmp_path), '--loss=loss/bio',
                       f'--out={tmp_path}/o'])
  assert 'wanted at least 5' in capsys.readouterr().err
  with pytest.raises(SystemExit):
    scaling_main.main(['fit', str(tmp_path / 'run0'), f'--out={tmp_path}/o'])
  assert 'no finished run' in capsys.readouterr().err
