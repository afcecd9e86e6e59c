"""Pages of results: what their generator says about seeds, shares, claims."""

import dataclasses
import re
from types import SimpleNamespace

import pandas as pd
import pytest

from physics_lm import claims, cost, result_pages, results, sweep
from physics_lm.errors import BadInput
from physics_lm.result_pages import Evidence, Experiment
from tests.conftest import ROOT

A, B = {'variant': 'a'}, {'variant': 'b'}
ABOVE = claims.greater()


def claim(name, rule=ABOVE, cells=(A, B), **changes):
  return claims.Claim(name, f'claim {name}', 'Part 1, Result 2', '9 vs 1 %',
                      cells, rule, **changes)


@pytest.fixture
def evidence():
  """Claims: supported, headline with a threshold of ours, two open ones."""
  df = pd.DataFrame([
      {'variant': v, 'seed': s, 'accuracy': x} for v, values in {
          'a': (90, 91, 92), 'b': (10, 50, 30)}.items()
      for s, x in enumerate(values)])
  judged = claims.judge_all((
      claim('first'), claim('main', claims.at_most(20), (A,), headline=True),
      claim('open', claims.at_least(20), (B,), decided_by='more seeds'),
      claim('rest', cells=({'variant': 'c'}, B), decided_by='more seeds')), df)
  return Evidence('cpu', judged, {
      'runs': 6, 'run_seconds': 0, 'device': ['cpu'], 'cores': ['1'],
      'seeds': {'init': [0, 1], 'data': [0, 1], 'world': [0, 1]},
      'versions': {'jax': '0.7'}, 'git': ['abcdefghij'],
      'finished': '2025-01-01'}, [], ['bio 0.5, qa 0.5 (6 runs)'], False, '')


def test_page_shows_thresholds_seeds_shares_and_what_is_open(
    evidence, tmp_path):
  x = Experiment('tiny', 'Is it so?', 'A set-up.', [evidence])
  (tmp_path / 'tiny').mkdir()
  for name in ('cpu.png', 'cpu_2.png'):
    (tmp_path / 'tiny' / name).touch()
  text = result_pages.page(x, tmp_path, tmp_path)
  assert 'claim main. Ours: 91.0 ± 1.0 %; paper: 9 vs 1 %; threshold ours.' in (
      text)
  assert '| claim first | Part 1, Result 2 | 9 vs 1 % |' in text
  assert ('* More seeds: for "claim open" (inconclusive); "claim rest" (not '
          'run).') in text
  assert text.count('More seeds: for') == 1
  waiting = dataclasses.replace(evidence.judged[-1], claim=claim(
      'scale', decided_by='day'))
  lines = result_pages.undecided(evidence._replace(judged=[waiting] * 4))
  assert '* Scale `day`: for 4 claims that have not run.' in lines
  assert 'task: bio 0.5, qa 0.5 (6 runs).' in text
  assert '1 core, seeds 0, 1 (data = init = world), jax 0.7' in text
  assert text.count('](tiny/cpu') == 2 and '(tiny/cpu_2.png)' in text


def test_page_has_the_conclusion_of_the_log(evidence, tmp_path):
  x = Experiment('tiny', 'Is it so?', 'A set-up.', [evidence])
  (tmp_path / 'LOG.md').write_text(
      '| [tin](tin.py) | Other. | 1 |\n'
      '| [tiny](tiny.py) | It is | so. | 2, 3 |\n')
  text = result_pages.page(x, tmp_path / 'results', tmp_path)
  assert ('Conclusion ([LOG.md](LOG.md), entries 2, 3; `cpu` scale unless '
          'stated): It is | so.\n') in text
  assert 'Other' not in text


@pytest.fixture(autouse=True)
def tiny_in_readme(monkeypatch):
  monkeypatch.setitem(result_pages.IN_README, 'tiny', ('main', 'late'))


def test_claims_in_readme_are_headlines_of_experiments():
  del result_pages.IN_README['tiny']
  for name, ids in result_pages.IN_README.items():
    module = sweep.experiment(ROOT / 'experiments' / f'{name}.py')
    assert {*ids} <= {c.id for c in module.CLAIMS if c.headline}, name


def test_runs_of_an_earlier_design_are_named(evidence, tmp_path):
  """On the page, in the index, README's rows and claims.csv; today's design
  decides at whatever scale it has run."""
  earlier = evidence._replace(scale='gpu', earlier=True)
  x = Experiment('tiny', 'Is it so?', 'A set-up.', [earlier])
  text = result_pages.page(x, tmp_path, tmp_path)
  assert '## Scale `gpu`, earlier design' in text
  assert 'which has not run at this scale' in text
  assert 'tiny, gpu, 3 seeds, earlier design |' in result_pages.index([x])
  assert 'gpu, 3 seeds, earlier design |' in result_pages.headlines([x])
  assert result_pages.table([x]).splitlines()[1].endswith(',True')
  both = x._replace(evidence=[earlier, evidence])
  assert [e.scale for e, j in both.best() if j.outcome != 'not run'] == [
      'cpu'] * 3
  assert 'earlier' not in result_pages.headlines([both])


def test_runs_that_a_larger_scale_has_are_not_shown_again(evidence, tmp_path):
  day = evidence._replace(scale='day')
  x = Experiment('tiny', 'Is it so?', 'A set-up.', [
      day, evidence._replace(part_of='day')])
  text = result_pages.page(x, tmp_path, tmp_path)
  assert text.count('| claim first |') == 1
  assert '6 runs of this scale are all part of `day` above' in text


def test_a_scale_is_part_of_another_by_the_ids_of_its_runs(tmp_path):
  path = ROOT / 'experiments' / 'knowledge_capacity.py'
  rows = results.read_records(results.records_path(
      ROOT / results.RESULTS, path.stem, 'cpu'))
  for part, day in (('day', rows), ('', rows[1:])):
    for scale, found in (('cpu', rows), ('day', day)):
      results.write_records(
          results.records_path(tmp_path, path.stem, scale), found)
    x = result_pages._read(path, ['day', 'cpu'], tmp_path)
    assert [e.part_of for e in x.evidence] == ['', part]
    missing = len(sweep.experiment(str(path)).runs('day')) - len(day)
    assert x.evidence[0].missing == missing
    assert f'{missing} runs of this scale have not run' in (
        result_pages._provenance(x.evidence[0]))


def test_an_experiment_without_enough_runs_has_a_line(evidence, tmp_path):
  """Its own functions fail: where runs are missing the others are written."""
  path = ROOT / 'experiments' / 'error_correction_finetuning.py'  # earlier
  rows = results.read_records(results.records_path(
      ROOT / results.RESULTS, path.stem, 'cpu'))
  results.write_records(
      results.records_path(tmp_path, path.stem, 'cpu'), rows[:1])
  x = result_pages._read(path, ['cpu'], tmp_path)
  assert {j.outcome for _, j in x.best()} == {'not run'}
  assert ('of the 1 records that there are (IndexError: ' in
          result_pages.page(x, tmp_path, tmp_path))
  assert f'| [{x.name}]({x.name}.md) |' in result_pages.index([x])
  module = SimpleNamespace(CLAIMS=[], table=lambda records: records[0]['no'])
  with pytest.raises(KeyError):
    result_pages._judged(module, rows, False)
  assert result_pages._judged(module, rows, True) == ([], "KeyError: 'no'")


def test_open_claims_say_what_would_decide_them_and_its_cost(evidence):
  """A scale, the runs that are missing, points of a correlation, and effects
  at a bound, which no number of seeds decides."""
  module = sweep.experiment(str(ROOT / 'experiments' / 'knowledge_capacity.py'))
  runs = module.runs('day')
  judged = [claims.Judged(claim(id, decided_by=by), 'not run') for id, by in (
      ('large', 'gpu'), ('missing', ''))]
  costs = result_pages._costs(module, 'day', judged, runs[:2])
  seconds = sum(cost.run_cost(r, 'cpu')['seconds'] for r in runs[:2])
  assert re.fullmatch(r'scale `gpu`, 48 runs: [\d.]+ hours of an H200',
                      costs['gpu'])
  assert costs[''].startswith('the runs of this scale that are missing, 2 runs')
  assert float(re.search(r'([\d.]+) hours of a core', costs[''])[1]
               ) == pytest.approx(seconds / 3600, rel=0.1)
  page = '\n'.join(result_pages.undecided(
      evidence._replace(judged=judged, costs=costs)))
  assert f'* S{costs["gpu"][1:]}: for "claim large" (not run).' in page
  assert 'hours of a core: for "claim missing" (not run).' in page
  assert not result_pages._costs(module, 'day', judged[:1], runs[:2]).get('')
  at_bound, = claims.judge_all([claim('x')], pd.DataFrame([
      {'variant': v, 'seed': s, 'accuracy': a} for v, values in (
          ('a', (4.0, 1.0, -4.9)), ('b', (1.0, 2.0, -3.0)))
      for s, a in enumerate(values)]))
  assert 'More than 200 seeds (3 ran), at the' in result_pages.undecided(
      evidence._replace(judged=[at_bound]))[2]


def test_an_experiment_may_claim_nothing(evidence, tmp_path):
  x = Experiment('tiny', 'Is it so?', '', [evidence._replace(judged=[])])
  assert '## Scale `cpu`' in result_pages.page(x, tmp_path, tmp_path)
  assert '| ours | [tiny](tiny.md) |' in result_pages.index([x])
  assert 'tiny' in result_pages.by_part([x])


def test_claims_written_after_the_runs_are_marked_everywhere(
    evidence, tmp_path):
  late = dataclasses.replace(evidence.judged[1], claim=claim(
      'late', claims.at_most(20), (A,), headline=True, post_hoc=True))
  x = Experiment('tiny', 'Is it so?', '', [evidence._replace(judged=[late])])
  for text in (result_pages.index([x]), result_pages.headlines([x])):
    assert '| claim late (post hoc) † |' in text
  text = result_pages.page(x, tmp_path, tmp_path)
  assert ': claim late (post hoc). Ours' in text
  assert '| claim late (post hoc) |' in text


def test_pages_are_not_rewritten_from_a_folder_without_records(
    tmp_path, monkeypatch):
  monkeypatch.chdir(ROOT)
  docs = tmp_path / 'docs'
  docs.mkdir()
  (docs / 'kept.md').touch()
  with pytest.raises(BadInput, match='no records in'):
    result_pages.write_all(tmp_path, docs, ROOT / 'README.md')
  assert (docs / 'kept.md').exists()


def test_lines_that_go_on_with_a_lists_item_are_no_code():
  text = 'Both:\n\n- one\n  goes on\n- two\n\n  command\n  another\n\nEnd'
  assert result_pages._markdown(text) == (
      'Both:\n\n- one\n  goes on\n- two\n\n```\ncommand\nanother\n```\n\nEnd')


def test_seeds_that_differ_by_key_are_listed_by_key():
  assert result_pages._seeds({'init': [0, 1], 'world': [0]}) == (
      'seeds (init 0, 1; world 0), ')
  assert result_pages._seeds({}) == ''


def test_shares_are_of_rows_and_shown_where_tasks_are_mixed():
  def record(variant, **weights):
    return {'config': f'configs/biographies.py:{variant}', 'overrides': {
        f'data.tasks.{k}.weight': v for k, v in weights.items()}}
  mixed = [record('single', bio=1.0, qa=3.0), record('compact_single_mixed')]
  alone = record('single', bio=1.0, qa=0.0)
  assert result_pages._shares([*mixed, alone, alone]) == [
      'bio 0.25, qa 0.75 (1 run)', 'bio 0.1, qa 0.9 (1 run)',
      'bio 1 (2 runs)']
  assert result_pages._shares([alone]) == []
  # Evaluation only, and records of several seeds: nothing was trained here.
  mixed[0]['overrides']['steps'] = 0
  assert result_pages._shares([mixed[0], {'config': None}]) == []


def test_headlines_mark_thresholds_of_ours(evidence):
  x = Experiment('tiny', 'Is it so?', '', [evidence])
  table = result_pages.headlines([x])
  assert '| claim main † | 9 vs 1 % | 91.0 ± 1.0 % | **contradicted**' in table
  assert 'claim first' not in table


def test_seeds_that_would_decide_are_those_of_the_interval(evidence):
  judged, = claims.judge_all([claim('x')], pd.DataFrame([
      {'variant': v, 'seed': s, 'accuracy': a} for v, values in (
          ('a', (4.0, 1.0, 7.0)), ('b', (1.0, 2.0, 3.0)))
      for s, a in enumerate(values)]))
  assert judged.outcome == 'inconclusive'
  n = result_pages.seeds_to_decide(judged)
  e = judged.effect  # paired: 3, -1, 4: mean 2, deviation sqrt(7)
  assert e.value == pytest.approx(2)
  half = [claims.quantile(k - 1) * 7**0.5 / k**0.5 for k in (n - 1, n)]
  assert half[1] < 2 <= half[0]
  page = '\n'.join(result_pages.undecided(evidence._replace(judged=[judged])))
  assert (f'* {n} seeds (3 ran), at the present effect and spread: for "claim '
          'x" (inconclusive).') in page
  evidence.made_by['run_seconds'] = 1200  # of all five seeds
  page = '\n'.join(result_pages.undecided(evidence._replace(
      judged=[judged], seeds=5)))
  assert (f'* {n} seeds with values (3 of the 5 that ran have them; the others '
          f'take {(n - 3) * 4 / 60:.2g} hours of a core), at') in page


def test_pages_name_what_launch_skips_and_what_seconds_leave_out(
    evidence, tmp_path):
  """And the index explains an earlier design only where there is one."""
  evidence.made_by['run_seconds'] = 1200
  x = Experiment('tiny', 'Is it so?', '', [evidence])
  text = result_pages.page(x, tmp_path, tmp_path)
  assert 'all runs at `cpu` are committed' in text and '`--again`' in text
  assert '6 records, 1,200 s, device' in text
  x = x._replace(evidence=[evidence._replace(missing=1, evaluations=6)])
  text = result_pages.page(x, tmp_path, tmp_path)
  assert '--again' not in text
  assert '1,200 s without the training of the 6 models' in text
  assert '"Earlier design" below' not in result_pages.index([x])
  x = x._replace(evidence=[evidence._replace(earlier=True)])
  assert '"Earlier design" below' in result_pages.index([x])


def test_claims_on_points_show_their_number(evidence):
  fit = claims.Judged(claim('fit'), 'supported', None, claims.Effect(
      1.0, 0.5, 1.5, 9, 'bootstrap'))
  assert result_pages.where(evidence, fit) == 'cpu, n = 9'
  assert result_pages.where(evidence, evidence.judged[0]) == 'cpu, 3 seeds'
