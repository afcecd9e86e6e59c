"""The command `python -m physics_lm.scaling fit`, and tables of runs."""

import numpy as np
import pytest

from physics_lm import run_dir
from physics_lm.config import plain_config
from physics_lm.scaling import __main__ as scaling_main
from physics_lm.scaling import laws, run_table
from physics_lm.scaling.fitting import fits, report
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
    scaling_main.main(['fit', str(path), '--bootstrap=8', f'--out={out}'])
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
    ('', 'is empty'), ('N,D,loss\n', 'no rows'),
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
  from physics_lm.configs import default
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


def refused(argv, capsys):
  """The one line with which the command refuses."""
  with pytest.raises(SystemExit) as e:
    scaling_main.main([*map(str, argv), '--bootstrap=0'])
  error = capsys.readouterr().err
  assert e.value.code == 2 and error.count('\n') == 1, error
  return error


@pytest.fixture
def quick(monkeypatch):
  """Reports without refits and figures, which most tests do not look at."""
  for name in ('holdout', 'trim', 'compare', 'leave_one_out'):
    monkeypatch.setattr(report.diagnose, name, no_rows)
  monkeypatch.setattr(scaling_main, 'figures', no_figures)


def no_rows(*_):
  return []


def no_figures(*_):
  return {}


def fitted(argv, out):
  """(report.json, report.md) of a fit without a bootstrap."""
  scaling_main.main(['fit', *map(str, argv), f'--out={out}',
                     *([] if any('bootstrap' in str(a) for a in argv)
                       else ['--bootstrap=0'])])
  return run_dir.read_json(out / 'report.json'), (
      out / 'report.md').read_text()


def scaled(csv, tmp_path, **factors):
  """The table with columns multiplied."""
  import pandas as pd
  df, path = pd.read_csv(csv), tmp_path / 'scaled.csv'
  for name, factor in factors.items():
    df[name] *= factor
  df.to_csv(path, index=False)
  return path


@pytest.mark.parametrize('flags', [['--budget=C'], ['--c=C'],
                                   ['--flops=C', '--group=run']])
def test_command_refuses_units_that_do_not_agree(csv, tmp_path, flags, capsys):
  path = scaled(csv, tmp_path, N=1e-6, D=1e-9)
  error = refused(['fit', path, *flags, f'--out={tmp_path}/o'], capsys)
  assert '1e+15 times 6 N D in row 1' in error and '75 of 75' in error


def test_command_reports_flops_that_differ_from_6nd(quick, csv, tmp_path):
  report, text = fitted([scaled(csv, tmp_path, C=1.35), '--budget=C'],
                        tmp_path / 'o')
  assert report['flops_over_6nd']['C'] == pytest.approx([1.35] * 3)
  assert "Column 'C' is 1.35 to 1.35 times 6 N D" in text
  _, text = fitted([csv, '--budget=C'], tmp_path / 'o')
  assert 'times 6 N D' not in text


def test_command_takes_flops_of_a_column_for_approach_1(quick, csv, tmp_path):
  import pandas as pd
  df, path = pd.read_csv(csv), tmp_path / 'own.csv'
  df.assign(F=df.C * (df.N / df.N.mean())**0.2, run=df.N.round()).assign(
      run=lambda t: (np.log(t.N) * 2).round()).to_csv(path, index=False)
  rows = [fitted([path, '--group=run', *more], tmp_path / 'o')[0]['approaches']
          for more in ([], ['--flops=F'])]
  a, b = (r[1]['a'] for r in rows)
  assert abs(a - b) > 0.01 and 'own column' in rows[1][1]['note']
  assert rows[0][0] == rows[1][0]  # approach 3 counts 6 N D


def test_report_has_no_envelope_where_there_is_none(quick, tmp_path):
  """Six runs of one row and one budget: hull and grid say why not."""
  path = tmp_path / 'one.csv'
  N = np.array([18, 31, 53, 91, 156, 267]) * 1e6
  path.write_text('N,D,loss,C,run\n' + ''.join(
      f'{n:.0f},{1e18 / 6 / n:.0f},{loss},1e18,{run}\n' for n, loss, run in zip(
          N, (3.61, 3.47, 3.40, 3.37, 3.40, 3.51), 'abcdef')))
  report, _ = fitted([path, '--budget=C', '--group=run'], tmp_path / 'o')
  hull, grid = report['approaches'][1:3]
  assert hull['a'] is None and grid['N'] is None
  assert 'C spans x1 ' in hull['note']


def test_title_has_the_worse_status_and_what_is_not_identified(quick, tmp_path):
  """N and D in a fixed ratio fit without a residual."""
  N = 1e7 * 10**(np.arange(12) / 4)
  path = tmp_path / 'ratio.csv'
  path.write_text('N,D,loss\n' + ''.join(
      f'{n:.0f},{20 * n:.0f},{1.8 + 480 / n**.35 + 2100 / (20 * n)**.37:.10f}\n'
      for n in N))
  report, text = fitted([path], tmp_path / 'o')
  assert text.startswith('# chinchilla: 12 points, degenerate; not identified: '
                         'A, B, alpha, beta\n\nThese rows do not determine')
  assert report['status'] == 'degenerate'


def test_title_is_degenerate_when_only_the_bootstrap_shows_it(quick, csv):
  f = fits.chinchilla(*noisy_isoflop()[1:])
  rng = np.random.default_rng(0)
  draws = fits.Bootstrap({k: v * np.exp((k == 'alpha') * 2 * rng.normal(
      size=200)) for k, v in f.params.items()}, 0)
  s = report.fit_summary(f, draws)
  assert f.status == 'converged' and s['status'] == 'degenerate'
  assert report.markdown(s).startswith(
      '# chinchilla: 75 points, degenerate; not identified: alpha\n')


def test_command_ties_exponents_and_drops_the_asymptote(quick, csv, tmp_path):
  both, _ = fitted([csv, '--tie', '--no-asymptote'], tmp_path / 'o')
  assert both['params']['alpha'] == both['params']['beta']
  assert both['params']['E'] == 0 and 'E' not in both['not_identified']


def test_command_keeps_rows_where_an_expression_holds(
    quick, csv, tmp_path, capsys):
  report, text = fitted([csv, '--where=C < 5e20 and run != 3'], tmp_path / 'o')
  assert report['rows'] == {'read': 75, 'used': 55,
                            'where': 'C < 5e20 and run != 3'}
  assert '55 of 75 rows, where C < 5e20' in text and report['n'] == 55
  error = refused(['fit', csv, '--where=world == 1', f'--out={tmp_path}/o'],
                  capsys)
  assert "no column 'world'" in error


def law_tables(tmp_path):
  """{law: (file, flags, {parameter: true value})}."""
  import pandas as pd
  rng = np.random.default_rng(0)
  r = rng.dirichlet(np.ones(3), 30)
  x = np.geomspace(1, 1e4, 12)
  N, D, s = (v.ravel() for v in np.meshgrid(
      np.geomspace(1e8, 1e10, 4), np.geomspace(1e9, 1e11, 4), [0.1, 0.5, 1.0]))
  q = {'E': 1.2, 'A': 300., 'B': 500., 'C': 0.3, 'alpha': 0.3, 'beta': 0.32,
       'gamma': 0.5, 'eta': 0.3, 'eps': 0.1}
  U = np.where(s < 0.5, D, D * s / 4)
  loss = np.linspace(2, 4.5, 20)
  out = {
      'mixing': ({'a': r[:, 0], 'b': r[:, 1], 'c': r[:, 2], 'loss': laws.mixing(
          r, 2.0, np.array([0.5, -0.4, -1.0]))}, ['--shares=a,b,c'],
          {'c': 2.0, 'u[1]': -0.4}),
      'power': ({'x': x, 'loss': 1.7 + 3 * x**-0.4}, ['--x=x'],
                {'c': 1.7, 'k': 3, 'p[0]': -0.4}),
      'downstream': ({'loss': loss, 'err': laws.downstream_error(
          loss, 0.85, 2.1, 0.9)}, ['--error=err'], {'gamma': 0.9}),
      'dcpt': ({'N': N, 'D': D, 'share': s, 'loss': laws.dcpt(N, D, s, **q)},
               ['--share=share'], {}),
      'data_constrained': (
          {'N': N, 'D': D, 'U': U, 'loss': laws.data_constrained(
              N, D, U, **laws.MUENNIGHOFF)}, ['--unique=U'], {})}
  for law, (columns, _, _) in out.items():
    pd.DataFrame(columns).to_csv(tmp_path / f'{law}.csv', index=False)
  return out


@pytest.mark.parametrize('law', ['mixing', 'power', 'downstream', 'dcpt',
                                 'data_constrained'])
def test_command_fits_laws_of_other_quantities(tmp_path, law):
  _, flags, truth = law_tables(tmp_path)[law]
  report, text = fitted([tmp_path / f'{law}.csv', f'--law={law}', *flags,
                         '--bootstrap=4'], tmp_path / 'o')
  for name, value in truth.items():
    assert report['params'][name] == pytest.approx(value, rel=1e-2)
  assert text.startswith(f'# {law}: ') and report['reason'] in text
  assert report['bootstrap']['draws'] and 'holdout' not in report
  assert {p.name for p in (tmp_path / 'o').glob('*.png')} == {'residuals.png'}


@pytest.mark.parametrize('flags,message', [
    (['--law=mixing'], '--shares is None with --law=mixing, wanted a column'),
    (['--share=C'], '--share is C with --law=chinchilla'),
    (['--law=power', '--x=N', '--tie'], 'wanted chinchilla'),
    (['--law=kaplan', '--no-asymptote'], 'wanted chinchilla or power'),
    (['--flops=C'], '--group beside it'),
    (['--law=downstream', '--error=run'], 'row 1 of 75'),
    (['--law=downstream', '--error=C', '--objective=huber_log'], 'objective'),
    (['--law=dcpt', '--share=C'], 'from 0 to 1'),
    (['--law=mixing', '--shares=N,D'], 'sum to 1'),
    (['--drop-highest=75'], 'leaves none'),
    (['--law=power', '--x=N,'], "no column ''")])
def test_command_refuses_flags_of_another_law(csv, tmp_path, flags, message,
                                              capsys):
  assert message in refused(['fit', csv, f'--out={tmp_path}/o', *flags], capsys)


def two_data_sets(tmp_path):
  """Finished runs of bioS and of a grammar in one folder."""
  from physics_lm.configs import default, grammar
  for recipe, vocabulary in ((default, 500), (grammar, 5)):
    for width in (16, 32, 64):
      config = recipe.get_config()
      config.model.rope_fraction = 1.0
      config.model.width = width
      at = tmp_path / 'mix' / f'{vocabulary}_{width}'
      run_dir.write_json(at / 'config.json', plain_config(config))
      run_dir.write_json(at / 'meta.json', {'vocab': {'size': vocabulary}})
      (at / 'metrics.jsonl').write_text(
          '{"kind": "train", "step": 9, "tokens": 99, "loss": 3.5}\n')
      run_dir.write_json(at / 'done', {})
  return tmp_path / 'mix'


def test_two_data_sets_in_a_folder_are_named_not_mixed(tmp_path, capsys):
  mix = two_data_sets(tmp_path)
  fit = ['fit', mix, '--loss=train/loss', f'--out={tmp_path}/o']
  error = refused(fit, capsys)
  assert '2 kinds of data' in error and 'biographies (3 runs)' in error
  assert 'grammar (3 runs)' in error and '--where' in error
  chosen = ['--where=world == "grammar" and model.width > 16']
  assert '2 points, wanted at least 5' in refused([*fit, *chosen], capsys)
  assert '2 distinct D' in refused([*fit, '--pool'], capsys)
  forecast = ['forecast', str(mix), '--config=configs/grammar.py',
              f'--out={tmp_path}/band.json']
  for more, message in (
      ([], '2 kinds of data'),
      (['--where=world == "biographies"'], 'trained on other data'),
      (['--where=world == "grammar"'], 'wanted at least')):
    with pytest.raises(SystemExit):
      scaling_main.main([*forecast, *more])
    assert message in capsys.readouterr().err


def test_bootstrap_keeps_its_draws_when_it_is_interrupted(
    quick, csv, tmp_path, monkeypatch):
  """Ctrl-C after three draws."""
  import os
  import signal
  count = []

  def update(self, at, note=''):
    count.append(at)
    if at == 3:
      os.kill(os.getpid(), signal.SIGINT)

  monkeypatch.setattr(scaling_main.Progress, 'update', update)
  report, text = fitted([csv, '--bootstrap=100000'], tmp_path / 'o')
  assert len(count) < 6 and report['bootstrap']['draws'] == len(count)
  assert f'Bootstrap by row, {len(count)} draws' in text


def test_figure_that_cannot_be_drawn_is_named(tmp_path, capsys):
  def impossible():
    raise OverflowError('infinity')

  files = scaling_main.save_figures({'frontier': impossible}, tmp_path)
  assert files == [] and 'not drawn: frontier.png (inf' in (
      capsys.readouterr().out)


def test_progress_prints_a_line_without_an_empty_note(capsys):
  for note in ('', 'loss 3'):
    scaling_main.Progress(4, 0, 'bootstrap', 'draw', interval=0).update(2, note)
  # Without a pace there is no time left.
  scaling_main.Progress(4, 1, 'fit', 'draw', interval=0).update(1)
  bare, noted, unknown = capsys.readouterr().out.splitlines()
  assert bare.startswith('bootstrap: draw 2/4, about ')
  assert unknown == 'fit: draw 1/4'
  assert noted.startswith('bootstrap: draw 2/4, loss 3, about ')
