"""Solutions are judged as the checker judges them, and counted right."""

import json
import re

import numpy as np
import pytest

from configs import igsm as recipe
from physics_lm import cli, decode, rows, store, train, trained
from physics_lm.errors import BadInput
from physics_lm.evals import __main__ as command
from physics_lm.evals import reasoning, suite
from physics_lm.worlds import base, igsm_check

TEXT = (" The number of each Gull's Brig equals 3. The number of each Gull's "
        "Cog equals the sum of each Gull's Brig and each Gull's Yawl. The "
        "number of each Gull's Yawl equals 4. How many Cog does Gull have?")
ITEMS = [('Harbor', ['Gull']), ('Ship', ['Brig', 'Cog', 'Yawl', 'Tug'])]
SMALL = {'worlds.igsm.max_op': 3, 'worlds.igsm.names': 3,
         'worlds.igsm.max_width': 3, 'worlds.igsm.max_edge': 6,
         'worlds.igsm.retry_rate': 0.3, 'data.length': 192,
         'data.batch': 8, 'model.width': 16, 'model.depth': 2,
         'model.heads': 2, 'steps': 3, 'optim.warmup': 1, 'log.every': 1}


@pytest.fixture
def config():
  c = recipe.get_config()
  c.evals.reasoning.splits = 'test,test_op4'
  c.evals.reasoning.problems, c.evals.reasoning.tokens = 40, 62
  return cli.override(c, SMALL)


def run(config, monkeypatch, answer, **more):
  """Metrics and outcomes when `answer(example, solution)` is what a model
  writes."""
  data, world, _, asked = reasoning.inputs(config, config.evals.reasoning)
  texts = {world.prompt(e): answer(e, ''.join(e.pieces[i] for i in e.loss))
           for examples in asked.values() for _, e in examples}

  def write(params, cfg, prompts, steps, how, entries, batch):
    assert batch % config.data.batch == 0 and entries == len(data.vocab)
    out = [[i for piece in re.findall('|'.join(sorted(map(
        re.escape, data.vocab.words), key=len, reverse=True)), texts[
            data.vocab.decode(ids[1:])]) for i in data.vocab.encode(piece)]
           for ids in prompts]
    return [ids[:steps] for ids in out]

  monkeypatch.setattr(decode, 'generate', write)
  return reasoning.run(None, config, config.evals.reasoning, None, **more)


def test_true_solutions_are_right_and_spoiled_ones_wrong(config, monkeypatch):
  metrics, raw = run(config, monkeypatch, lambda e, text: text)
  for split in ('test', 'test_op4'):
    mine = [r for r in raw if r['split'] == split]
    assert metrics[f'problems/{split}'] == len(mine) == 40
    # Not one ends that is longer than it may be.
    share = np.mean([r['ended'] for r in mine])
    assert metrics[f'full/{split}'] == metrics[f'answer/{split}'] == share
    assert metrics[f'retries/{split}'] == metrics[f'extra_parameters/{split}'
                                                  ] == 0
  assert 0 < metrics['ended/test_op4'] < 1
  assert {r['op'] for r in raw if r['split'] == 'test_op4'} == {4}
  last = lambda text: re.sub(r'(\d)\.$', lambda m: f'{(int(m[1]) + 1) % 5}.',
                             text)
  metrics, raw = run(config, monkeypatch, lambda e, text: last(text))
  assert metrics['full/test'] == metrics['answer/test'] == 0
  assert all('wanted' in r['reason'] for r in raw if r['ended'])
  # The right number alone is an answer, not a solution.
  metrics, _ = run(config, monkeypatch, lambda e, text: (
      f' so = {e.meta["answer"]}.'))
  assert metrics['answer/test'] == 1 and metrics['full/test'] == 0


def test_counts_by_op_and_retries(config, monkeypatch):
  back = lambda e, text: f" Define{e.pieces[1]}'s{e.pieces[3]} as BACK." + (
      text if e.meta['op'] == 1 else '')
  metrics, raw = run(config, monkeypatch, back)
  mine = [r for r in raw if r['split'] == 'test']
  ones = [r for r in mine if r['op'] == 1]
  assert 0 < len(ones) < 40
  assert metrics['problems/test/op1'] == len(ones)
  assert metrics['full/test/op1'] == 1 and metrics['full/test/op2'] == 0
  assert metrics['full/test'] == len(ones) / 40
  assert metrics['retries/test'] == metrics['retries_wrong/test'] == 1
  guess = reasoning.commonest(rows.load(config).worlds['igsm'])
  world = rows.load(config).worlds['igsm']
  assert metrics['majority/test'] == np.mean(
      [world.example('test', r['index']).meta['answer'] == guess
       for r in mine])


def test_what_stood_in_training_is_set_apart(config, monkeypatch):
  """A model that knows the first half of each split by heart."""
  world = rows.load(config).worlds['igsm']
  old = {world.prompt(e) for split in ('test', 'test_op4') for _, e in
         reasoning.problems(rows.load(config), world, split, 20)}
  recite = lambda e, text: text if world.prompt(e) in old else ' so'
  metrics, raw = run(config, monkeypatch, recite)
  assert not any('unseen' in k for k in metrics)  # not known
  metrics, raw = run(config, monkeypatch, recite, stood=lambda split, text: (
      split == 'test' and text in old))
  mine = [r for r in raw if r['split'] == 'test']
  new = [r for r in mine if r['problem'] not in old]
  assert 5 < len(new) <= 20 and [r for r in mine if not r['stood']] == new
  assert metrics['problems_unseen/test'] == len(new)
  assert metrics['full_unseen/test'] == 0 < metrics['full/test']
  assert metrics['fault_unseen/test/unreadable'] == 1
  assert metrics['majority_unseen/test'] == np.mean(
      [r['majority'] for r in new])
  same = ('full', 'answer', 'ended', 'problems', 'fault')
  assert all(v == metrics[k.replace('/', '_unseen/', 1)]
             for k, v in metrics.items() if 'test_op4' in k
             and k.split('/')[0] in same)  # all of these are new
  metrics, _ = run(config, monkeypatch, recite, stood=lambda *_: True)
  assert metrics['problems_unseen/test'] == 0
  assert 'full_unseen/test' not in metrics


def test_those_asked_are_left_out_by_text(config):
  data = rows.load(config)
  world, spec = data.worlds['igsm'], config.evals.reasoning
  asked = reasoning.asked_texts(data, world, spec)
  assert len(asked) > 40
  more = reasoning.problems(data, world, 'test', 30, asked)
  every = reasoning.problems(data, world, 'test', more[-1][0] + 1)
  assert [i for i, _ in more] == [
      i for i, e in every if world.prompt(e) not in asked][:30]
  assert more[0][0] >= 40 and len(more) == 30
  every = frozenset(world.prompt(world.example('train_op1', i))
                    for i in range(300))
  few = type('Few', (frozenset,), {'__len__': lambda self: 3})(every)
  with pytest.raises(BadInput, match='wanted fewer asked'):
    reasoning.problems(data, world, 'train_op1', 30, few)


def test_what_is_wrong_first():
  """A problem with B = 3, Y = 4, C = B + Y."""
  problem = igsm_check.Problem(TEXT, ITEMS)
  b = " Define Gull's Brig as b; so b = 3."
  y = " Define Gull's Yawl as y; so y = 4."
  c = " Define Gull's Cog as c; so c = b + y = 3 + 4 = 7."
  back = " Define Gull's Cog as BACK."
  fault = lambda text, ended=True: reasoning.judged(problem, text, ended)[
      'fault']
  assert fault(b + y + c) == fault(b + back + y + c) == ''
  assert fault(b + c + y) == fault(back + b + c) == 'not_ready'
  assert fault(b + y + c.replace('7', '8')) == 'computed'
  assert fault(b + b + y + c) == 'again'
  assert fault(b + y + c.replace('Cog', 'Tug')) == 'foreign'
  assert fault(b + ' so b' + y) == fault(b + y + ' Define') == 'unreadable'
  assert fault(b + y) == fault(b + y + c, False) == fault('') == 'end'
  part = [{'op': 1, 'majority': False, **reasoning.judged(problem, t, True)}
          for t in (b + y + c, b + y, b + c, c)]
  got = reasoning.summary('s', part)
  assert got['full/s'] == got['fault/s/end'] == 0.25
  assert got['fault/s/not_ready'] == 0.5
  assert sum(got[f'fault/s/{k}'] for k in reasoning.FAULTS) == 0.75


def test_longer_problems_than_rows_are_left_out(config):
  short = cli.override(config, {'data.length': 90})
  data, world, _, asked = reasoning.inputs(short, short.evals.reasoning)
  indices = [i for i, _ in asked['test']]
  assert len(indices) == 40 and indices != list(range(40))
  for i in range(indices[-1]):
    size = len(rows.encode(data, world.example('test', i))[0])
    assert (size <= 90) == (i in indices)
  # The same problems with mistakes in them as without.
  clean = rows.load(cli.override(config, {'worlds.igsm.retry_rate': 0.0}))
  for i in range(60):
    a, b = (w.example('train', i) for w in (world, clean.worlds['igsm']))
    assert reasoning.size(data, a) == reasoning.size(data, b)
    assert reasoning.prompt(data, a) == reasoning.prompt(data, b)


def test_in_the_loop_and_on_a_finished_run(config, tmp_path, capsys):
  config = cli.override(config, {
      'runtime.mesh.data': 1, 'evals.reasoning.problems': 8,
      'evals.reasoning.tokens': 20, 'evals.loss.rows': 4})
  train.run(config, tmp_path / 'run')
  file = tmp_path / 'run' / 'evals' / 'reasoning' / '3.jsonl'
  before, raw = store.results(tmp_path / 'run'), file.read_text()
  first = json.loads(raw.splitlines()[0])
  assert first['stood'] is False
  assert before['reasoning/problems_unseen/test'] == 8
  assert {'problem', 'generated', 'reason', 'full', 'index'} <= set(first)
  command.main([str(tmp_path / 'run'), '--eval=reasoning'])
  assert 'full/test' in capsys.readouterr().out
  assert store.results(tmp_path / 'run') == before
  assert [json.loads(l)['generated'] for l in file.read_text().splitlines()
          ] == [json.loads(l)['generated'] for l in raw.splitlines()]
  # What is written is what the model says of this very problem.
  r = trained.load(tmp_path / 'run')
  e = r.data.worlds['igsm'].example('test', first['index'])
  ids = decode.greedy(r.params, r.cfg, [reasoning.prompt(r.data, e)], 20,
                      len(r.data.vocab))
  assert r.data.vocab.decode(ids[0]) == first['generated']


@pytest.mark.parametrize('changes,message', [
    ({'splits': 'tset'}, "unknown split 'tset'"), ({'problems': 0}, 'problems'),
    ({'decode': 'beam'}, 'wanted greedy'), ({'tokens': 0}, 'tokens is 0')])
def test_bad_settings(config, changes, message):
  c = cli.override(config, {f'evals.reasoning.{k}': v
                            for k, v in changes.items()})
  with pytest.raises(BadInput, match=message):
    suite.check(c)


def test_other_worlds_and_short_rows(config, tiny):
  with pytest.raises(BadInput, match='wanted longer rows'):
    short = cli.override(config, {'data.length': 30})
    reasoning.inputs(short, short.evals.reasoning)
  c = tiny()
  c = cli.override(c, {'evals.loss.kind': 'reasoning'})
  with pytest.raises(BadInput, match='world of biographies, wanted igsm'):
    suite.check(c)
  assert base.WORLDS['igsm']
