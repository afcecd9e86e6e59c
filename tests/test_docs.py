"""What docs say of the code: runs that docs/cluster.md counts, scales it names,
columns of the glossary."""

import re
import sys

import pytest

from physics_lm import claims, results, sweep, vocab
from tests.conftest import ROOT

MODULES = {p.stem: sweep.experiment(str(p))
           for p in sorted((ROOT / 'experiments').glob('*.py'))}


def sections():
  """The two tables of docs/cluster.md, by scale, and the text between them."""
  text = (ROOT / 'docs' / 'cluster.md').read_text(encoding='utf-8')
  paper, gpu = text.split('The largest program, by estimate')[1].split(
      'The same of `gpu` scales')
  return {'paper': paper, 'gpu': gpu.split('## Several hosts')[0]}


@pytest.mark.parametrize('scale', ['paper', 'gpu'])
def test_cluster_counts_the_runs_of_each_experiment_as_the_list_does(scale):
  counts = {name: int(n) for name, n in re.findall(
      r'(\w+) \((\d+)\)', sections()[scale]) if name in MODULES}
  assert counts == {
      name: len(sweep.ordered(module.runs(scale)))
      for name, module in MODULES.items() if scale in module.SCALES}


def test_cluster_names_the_experiments_without_a_paper_scale():
  text = sections()['paper'].split('No `paper` scale: ')[1].split('. ')[0]
  assert set(re.findall(r'\w+', text)) - {'and'} == {
      name for name, m in MODULES.items() if 'paper' not in m.SCALES}


def test_rows_of_the_glossary_have_the_columns_of_their_table():
  text = (ROOT / 'docs' / 'glossary.md').read_text(encoding='utf-8')
  for table in re.findall(r'(?:^\|.*\n)+', text, re.M):
    lines = table.splitlines()
    assert {line.count('|') for line in lines} == {lines[0].count('|')}


def test_tokenizers_without_their_library_are_named_and_left_out(
    monkeypatch, capsys):
  """The command of docs/tokenizers.md in the base install."""
  monkeypatch.setitem(sys.modules, 'tokenizers', None)
  vocab.main(['biographies', '--count=3'])
  out = capsys.readouterr().out
  assert re.search(r'^byte .*\nword ', out, re.M)
  assert 'not shown: bpe:1024, gpt2, gpt2_used' in out
  assert "pip install 'physics_lm[text]'" in out
  with pytest.raises(SystemExit) as e:  # one that was chosen is an error
    vocab.main(['biographies', '--count=3', '--vocab=byte,gpt2'])
  assert e.value.code == 2


def test_the_claim_that_docs_show_is_judged():
  text = (ROOT / 'docs' / 'claims.md').read_text(encoding='utf-8')
  code, names = re.search(r'```python\n(.*?)```', text, re.S)[1], {}
  exec(code, names)
  module = MODULES['knowledge_extraction']
  df = module.table(results.read_records(results.records_path(
      ROOT / results.RESULTS, module.name, 'cpu')))
  judged, = claims.judge_all(names['CLAIMS'], df)
  same = {j.claim.id: j for j in claims.judge_experiment(module, df)}[
      'single_finetune_fails']
  assert judged.effect == same.effect and judged.outcome == same.outcome
