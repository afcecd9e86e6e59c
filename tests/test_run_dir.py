"""Reading run folders back: what is whole, torn or damaged."""

import json

import pytest

from physics_lm import metrics, restore, results, run_dir
from physics_lm.config import parse_value, plain_config, with_defaults
from physics_lm.configs import default
from physics_lm.errors import BadInput


def rows_of(tmp_path, text):
  path = tmp_path / 'metrics.jsonl'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return run_dir.read_rows(path)


@pytest.mark.parametrize('tail', ['', '{"a": ', '{"a": 3}', '7', '\0\0', '\n'])
def test_rows_are_read_up_to_a_torn_last_line(tmp_path, tail):
  found = rows_of(tmp_path, '{"a": 1}\n{"a": 2}\n' + tail)
  assert found[:2] == [{'a': 1}, {'a': 2}]
  assert len(found) == 2 + (tail == '{"a": 3}')


@pytest.mark.parametrize('text,message', [
    ('{"a": 1}\n{"a": \n{"a": 2}\n', 'damaged in line 2'),
    ('{"a": 1}\n7\n{"a": 2}\n', "has '7' in line 2"),
    (b'{"a": 1}\n\xff\n', 'is no text')])
def test_rows_damaged_before_the_end_are_refused(tmp_path, text, message):
  """They were read up to the damage, without a word."""
  with pytest.raises(BadInput, match=message):
    rows_of(tmp_path, text)


@pytest.mark.parametrize('size', [10, 5000, 100_000])
def test_step_reached_is_that_of_the_last_row_of_any_length(tmp_path, size):
  assert run_dir.step_reached(tmp_path) == 0
  log = tmp_path / 'metrics.jsonl'
  for text, step in (('7\n' * size, 0), ('{"step": 3}\n' + '7\n' * size, 3),
                     ('{"step": 4, "a": "%s"}\n' % ('b' * size), 4),
                     ('{"step": 5}\n{"step": 6, "a": "%s' % ('b' * size), 5)):
    log.write_text(text)
    assert run_dir.step_reached(tmp_path) == step


def test_a_resumed_run_keeps_the_rows_that_it_will_not_write_again(tmp_path):
  kinds = ('train', 'warning', 'eval')
  rows_of(tmp_path, ''.join(json.dumps({'kind': k, 'step': s}) + '\n'
                            for s in (1, 2, 3) for k in kinds))
  metrics.MetricsWriter(tmp_path, {'log': {'wandb': 'off', 'project': ''}},
                        2).close()
  assert [(r['kind'], r['step']) for r in run_dir.read_log(tmp_path)] == [
      *((k, 1) for k in kinds), ('train', 2), ('warning', 2)]


def changed(path, value):
  """The default config with a value at a dotted path."""
  out = plain_config(default.get_config())
  *parents, last = path.split('.')
  node = out
  for key in parents:
    node = node[key]
  node[last] = value
  return out


@pytest.mark.parametrize('path,value,message', [
    ('model', 7, 'model is 7, wanted keys'), ('data.tasks', [], 'data.tasks'),
    ('worlds.bios', None, 'worlds.bios is None'),
    ('worlds.bios.people', 'x', 'worlds.bios.people is x, wanted int'),
    ('model.width', 1.5, 'model.width is 1.5, wanted int'),
    ('model.bias', 1, 'model.bias is 1, wanted bool'),
    ('evals.loss.kind', 3, 'evals.loss.kind is 3, wanted str'),
    ('data.tasks.bio.weight', '1', 'data.tasks.bio.weight is 1')])
def test_stored_config_of_another_form_is_refused(
    tmp_path, path, value, message):
  run_dir.write_json(tmp_path / 'config.json', changed(path, value))
  for read in (run_dir.read_config, restore.run_config):
    with pytest.raises(BadInput, match=message):
      read(tmp_path)


def test_stored_config_that_lacks_a_key_is_refused(tmp_path):
  stored = plain_config(default.get_config())
  assert with_defaults(stored) == stored
  del stored['model']['width']
  run_dir.write_json(tmp_path / 'config.json', stored)
  with pytest.raises(BadInput, match=r'lacks model\.width'):
    restore.run_config(tmp_path)


@pytest.mark.parametrize('name,value,message', [
    ('meta.json', [], 'wanted keys and values'),
    ('meta.json', {'vocab': {'size': '9'}}, 'names no vocabulary'),
    ('evals/loss/4.json', {'rows': [{'metric': 'loss'}]}, 'no rows'),
    ('evals/loss/4.json', [1], 'no rows'),
    ('metrics.jsonl', {'kind': 'train'}, 'wanted a kind, a step'),
    ('metrics.jsonl', {'kind': 'train', 'step': 4, 'loss': '3'}, 'numbers')])
def test_files_of_a_run_that_hold_something_else_are_refused(
    tmp_path, name, value, message):
  run_dir.write(tmp_path / name, json.dumps(value) + '\n')
  with pytest.raises(BadInput, match=message):
    run_dir.read_vocab(tmp_path) if name == 'meta.json' else (
        run_dir.results(tmp_path))


def test_records_that_are_none_are_refused(tmp_path):
  path = tmp_path / 'x.runs.jsonl'
  assert results.read_records(path) == []
  run_dir.write(path, '{"id": "ab", "tags": {}, "evals": {}}\n')
  with pytest.raises(BadInput, match='no record in line 1'):
    results.read_records(path)


@pytest.mark.parametrize('text', ['{[]: 1}', '(' * 300, '1' * 5000, '\0', '{'])
def test_value_of_a_flag_that_is_no_literal_is_text(text):
  assert parse_value(text) == text
