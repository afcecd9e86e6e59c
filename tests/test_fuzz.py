"""What reads input, on input that is nearly right or none at all: it works, or
raises BadInput. FUZZ_EXAMPLES=5000 tries more of each kind than `make test`."""

import functools
import gzip
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physics_lm import (
  loss_band,
  mixture,
  restore,
  results,
  run_dir,
  sweep,
  text_files,
  vocab,
)
from physics_lm.config import (
  flat_keys,
  override,
  parse_config,
  plain_config,
  typed_value,
)
from physics_lm.configs import biod, default, grammar, igsm, manipulation
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from physics_lm.model.config import model_config
from physics_lm.scaling import __main__ as scaling_main
from physics_lm.scaling import run_table, tables
from physics_lm.worlds import base
from physics_lm.worlds.igsm import checker, compact_checker

EXAMPLES = int(os.environ.get('FUZZ_EXAMPLES', 0))
fuzz = settings(
    max_examples=EXAMPLES or 8, deadline=None, database=None,
    derandomize=not EXAMPLES, suppress_health_check=list(HealthCheck))
slow_fuzz = settings(fuzz, max_examples=max(EXAMPLES // 20, 3))


def works_or_refuses(read, *arguments):
  """What read() returns; None where it raises BadInput, in one line."""
  try:
    return read(*arguments)
  except BadInput as e:
    assert str(e).strip() and '\n' not in str(e).strip()
    return None


# --- Bytes: good ones that are cut, spliced and changed, and others.

ANY = st.one_of(
    st.binary(max_size=200), st.text(max_size=80).map(str.encode))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10**20) | st.floats()
    | st.text(max_size=8), lambda x: st.lists(x, max_size=3)
    | st.dictionaries(st.text(max_size=6), x, max_size=3), max_leaves=6)
PIECES = st.sampled_from([
    b'', b'\0', b'\n', b'\r\n', b',', b'"', b'{', b'}', b'[', b'\xff',
    b'\xef\xbb\xbf', b'null', b'-1', b'1e999', b'nan', b'"\\ud83d"', b' ',
    b'9' * 5000, b'[' * 3000, b'1,000', b'\xc2\xa0', b'0', b'""', b'true'])


@st.composite
def damaged(draw, good: bytes):
  """A file cut short, with a piece replaced, or with something else in it."""
  kind = draw(st.integers(0, 5))
  if kind == 0:
    return good[:draw(st.integers(0, len(good)))]
  if kind == 1:
    return draw(ANY)
  if kind == 2:
    return json.dumps(draw(JSON)).encode()
  a, b = sorted(draw(st.integers(0, len(good))) for _ in range(2))
  if kind == 3:
    b = min(b, a + 3)
  new = draw(PIECES | ANY)
  return good[:a] + new + good[b:]


@st.composite
def changed_json(draw, good):
  """A JSON value with one of its nodes replaced or missing."""
  value = json.loads(json.dumps(good))
  node, parent, key = value, None, None
  for _ in range(draw(st.integers(0, 5))):
    if not isinstance(node, (dict, list)) or not node:
      break
    parent, key = node, draw(st.sampled_from(
        list(node) if isinstance(node, dict) else range(len(node))))
    node = node[key]
  if parent is None:
    return json.dumps(draw(JSON)).encode()
  if draw(st.booleans()):
    parent[key] = draw(JSON)
  else:
    del parent[key]
  return json.dumps(value).encode()


# --- Tables.

TABLE = (b'N,D,loss,run\n' + b''.join(
    b'%de6,%de9,%.3f,r%d\n' % (n, d, 2 + 3 / n**.3 + 3 / d**.3, n)
    for n in (1, 3, 10, 30) for d in (1, 3, 10, 30)))
LINES = b''.join(json.dumps({'N': n * 1e6, 'D': 1e9 * d, 'loss': 3.0 + 1 / n,
                             'run': f'r{n}'}).encode() + b'\n'
                 for n in (1, 3) for d in (1, 3))


def use_table(path, expression):
  t = tables.read_table(path)
  assert t.rows and len(set(t.names)) == len(t.names)
  for name in t.names:
    for read in (t.numbers, t.labels):
      column = works_or_refuses(read, name)
      assert column is None or len(column) == len(t.rows)
      if column is not None and column.dtype.kind == 'f':
        assert np.isfinite(column).all()
  works_or_refuses(t.where, expression)
  return t


EXPRESSIONS = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(
    'N D loss run ` "a" 3 1e7 < == != and or not in ( ) [ ] , . - ** / + * % '
    '0 if else lambda : = is None True f"{N}" @ ; \\ _column0'.split()),
    max_size=9).map(' '.join))


@fuzz
@given(st.one_of(damaged(TABLE), damaged(LINES), damaged(gzip.compress(TABLE)),
                 changed_json([{'N': 1e6, 'D': 2, 'run': 'a'}] * 3)),
       EXPRESSIONS)
def test_tables_are_read_or_refused(tmp_path_factory, content, expression):
  path = tmp_path_factory.getbasetemp() / 'table.csv'
  path.write_bytes(content)
  works_or_refuses(use_table, path, expression)


@fuzz
@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False),
                          st.text('abc \'é_1', min_size=1).filter(str.strip)),
                min_size=1, max_size=6),
       st.sampled_from([',', '\t', ';']), st.sampled_from(['\n', '\r\n', '\r']),
       st.sampled_from(['', '\ufeff']), st.sampled_from(['', ' ']),
       st.booleans())
def test_numbers_and_labels_come_back_as_written(
    tmp_path_factory, rows, delimiter, end, mark, pad, packed):
  """Whatever the delimiter, line ends, byte order mark and blanks."""
  text = mark + end.join(f'{pad}{delimiter}'.join(r) for r in [
      ('x', 'name'), *((f'{v!r}', n) for v, n in rows)]) + end
  content = text.encode()
  path = tmp_path_factory.getbasetemp() / 'written'
  path.write_bytes(gzip.compress(content) if packed else content)
  t = tables.read_table(path)
  assert t.numbers('x').tolist() == [v for v, _ in rows]
  assert t.labels('name').tolist() == [n.strip() for _, n in rows]


def fit(path, flags, out):
  """The exit status of the command."""
  try:
    scaling_main.main(['fit', str(path), f'--out={out}', *flags])
  except SystemExit as e:
    return e.code
  return 0


NUMBERS = st.one_of(
    st.sampled_from([1e39, 1e-39, 1.0, 1e6, 1e7, 1e9, 3.0, 3.0001, 2.5]),
    st.floats(1e-3, 1e12), st.integers(1, 10**9).map(float))


@pytest.mark.drill  # a fit takes a second or two
@slow_fuzz
@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, st.sampled_from('abc')),
                min_size=4, max_size=14),
       st.lists(st.sampled_from([
           '--tie', '--no-asymptote', '--law=kaplan', '--law=p_norm',
           '--group=run', '--budget=C', '--c=C', '--best-per-nd',
           '--bootstrap=2', '--objective=squared', '--objective=l1_log',
           '--law=dcpt', '--share=s', '--law=power', '--x=N,D', '--law=mixing',
           '--shares=s,t', '--law=data_constrained', '--unique=D', '--flops=C',
           '--law=downstream', '--error=s', '--delta=1e-9', '--at=1e300',
           '--weight=C', '--where=N > 3']), max_size=3))
def test_fits_of_any_positive_numbers_end_well(tmp_path_factory, rows, flags):
  at = tmp_path_factory.getbasetemp() / 'fits'
  at.mkdir(exist_ok=True)
  (at / 'odd.csv').write_text('N,D,loss,run,C,s,t\n' + ''.join(
      f'{n},{d},{v},{r},{6 * n * d},{v / (v + 1)},{1 / (v + 1)}\n'
      for n, d, v, r in rows))
  flags = ['--bootstrap=0', *flags]
  assert fit(at / 'odd.csv', flags, at / 'out') in (0, 2)


# --- Texts.

TEXTS = {
    'a.txt': 'one\r\n\r\ntwo\n\nthree é'.encode(),
    'a.jsonl': b'{"text": "one"}\n{"text": "t\xc3\xa9wo"}\n\n{"text": null}\n',
    'a.txt.gz': gzip.compress(b'one\n\ntwo' * 9),
    'a.jsonl.gz': gzip.compress(b'{"text": "one"}\n' * 9)}


@fuzz
@given(st.sampled_from(sorted(TEXTS)).flatmap(
    lambda name: st.tuples(st.just(name), damaged(TEXTS[name]))),
    st.sampled_from(['', '\n\n', '\r\n', 'n', '\0']), st.integers(0, 3))
def test_texts_are_read_or_refused(tmp_path_factory, file, separator, start):
  name, content = file
  path = tmp_path_factory.getbasetemp() / name
  path.write_bytes(content)

  def read():
    return list(text_files.read_texts(path, 'text', separator, start))

  found = works_or_refuses(read)
  for text in found or ():
    text.encode()  # no text holds a lone surrogate
  works_or_refuses(text_files.has_separator, path, separator or 'x')


# --- Config overrides.

KEYS = sorted(flat_keys(plain_config(default.get_config())))
VALUES = st.one_of(
    st.text(max_size=12), st.integers().map(str), st.floats().map(repr),
    st.sampled_from(['None', 'True', '', '0', '-1', '1e400', '[1]', "'a'", '{}',
                     '{[]: 1}', '(' * 200, '1' * 5000, 'b"x"', '\0', '1+1j',
                     '...', '"\\ud83d"', '10**9']))
PATHS = st.one_of(
    st.sampled_from(KEYS), st.text('abc._0', max_size=12),
    st.sampled_from(KEYS).map(lambda k: k.rpartition('.')[0] or k),
    st.sampled_from(KEYS).map(lambda k: k + '.x'),
    st.sampled_from(KEYS).map(lambda k: k[:-1]))


@fuzz
@given(st.dictionaries(PATHS, VALUES, max_size=3),
       st.lists(st.text(max_size=10), max_size=2))
def test_overrides_are_applied_or_refused(changes, more):
  argv = ['train', '--config=configs/default.py', '--workdir=w', *(
      f'--config.{k}={v}' for k, v in changes.items()), *(
          m for m in more if m not in ('-h', '--help'))]
  found = works_or_refuses(parse_config, argv)
  if found is not None:
    json.dumps(plain_config(found[0]))
    works_or_refuses(model_config, found[0], 64)


SMALL = {'worlds.bios.people': 4, 'data.seq_len': 96, 'data.batch_size': 2,
         'model.width': 16, 'model.depth': 1, 'model.heads': 2}
RECIPES = {'bios': default.get_config, 'igsm': igsm.get_config,
           'biod': biod.get_config, 'grammar': grammar.get_config,
           'tasks': manipulation.get_config}


@slow_fuzz
@given(st.data(), st.sampled_from(sorted(RECIPES)), st.one_of(
    st.integers(-3, 70).map(str), st.floats(-2, 2).map(repr),
    st.sampled_from(['nan', 'inf', 'None', '', 'x'])))
def test_any_value_of_a_key_makes_a_row_or_is_refused(data, name, value):
  config = override(RECIPES[name](), {
      k: v for k, v in SMALL.items() if not k.startswith('worlds')})
  key = data.draw(st.sampled_from([k for k in flat_keys(plain_config(
      config)) if k.startswith(('worlds.', 'data.', 'model.'))]))

  def build():
    c = override(config, {key: typed_value(config, key, value)})
    made = load_mixture(c)
    model_config(c, len(made.vocab))
    return mixture.packed_row(made, 0)

  works_or_refuses(build)


# --- Checkers: a verdict on any text.

@pytest.fixture(scope='module')
def worlds():
  c = igsm.get_config().worlds.igsm
  return {'igsm': base.make_world(c, 0),
          'compact': base.make_world(igsm.get_config(
              'compact').worlds.igsm, 0),
          'bios': base.make_world(override(
              default.get_config(), SMALL).worlds.bios, 0),
          'biod': base.make_world(default.biod(), 0),
          'grammar': base.make_world(default.grammar(), 0)}


@st.composite
def changed_text(draw, good: str):
  """A text with words replaced, repeated, dropped or swapped."""
  words = good.split(' ')
  for _ in range(draw(st.integers(1, 4))):
    i, j = (draw(st.integers(0, len(words))) for _ in range(2))
    kind = draw(st.integers(0, 3))
    if kind == 0:
      words[i:i] = [draw(st.one_of(st.text(max_size=6), st.sampled_from(
          ['=', '+', '*', '-', '; so', '.', '²', '٣', '0', '9' * 5000, 'a',
           'BACK.', "'s", 'each', 'more than', '\n', '\0', ';'])))]
    elif kind == 1:
      del words[i:i + 2]
    elif kind == 2:
      words[i:i] = words[j:j + 12]
    else:
      words = words[:i]
  return ' '.join(words)


@fuzz
@given(st.data(), st.sampled_from(
    ['igsm', 'compact', 'bios', 'biod', 'grammar']), st.integers(0, 3))
def test_checkers_give_a_verdict_on_any_text(worlds, data, name, index):
  world = worlds[name]
  split = sorted(world.splits)[index % len(world.splits)]
  example = world.example(split, index % 4)
  if name == 'bios' and len(example.answers) != 1:  # a biography
    text = data.draw(changed_text(''.join(example.pieces)))
    verdict = world.check_biography(example.meta['person'], text)
  else:
    good = ''.join(example.pieces)
    verdict = world.check(example, data.draw(changed_text(good) | st.text()))
  assert verdict.reason.strip()


@fuzz
@given(st.data(), st.integers(0, 3))
def test_igsm_checker_reads_any_problem_and_solution(worlds, data, index):
  world = worlds['igsm']
  example = world.example('test', index)
  problem, solution = base.prompt_and_answer(example)
  if data.draw(st.booleans()):
    problem = data.draw(changed_text(problem))
  solution = data.draw(changed_text(solution) | st.just(solution))
  works_or_refuses(checker.check, problem, solution,
                   world.hierarchy(example.meta['chain']), world.modulus)
  world = worlds['compact']
  example = world.example('test', index)
  problem, solution = base.prompt_and_answer(example)
  parsed = works_or_refuses(
      compact_checker.CompactProblem, data.draw(changed_text(problem)),
      world.hierarchy(example.meta['chain']), world.modulus, world.abstract)
  if parsed:
    works_or_refuses(checker.check, parsed, data.draw(changed_text(solution)))


# --- Run folders, any file of which is damaged.

def config_of_run(width):
  return override(default.get_config(), SMALL | {
      'model.width': width, 'steps': 4})


@pytest.fixture(scope='module')
def run_files():
  """{file: content} of a finished run, as JSON values."""
  return {
      'config.json': plain_config(config_of_run(16)),
      'meta.json': {
          'vocab': {'kind': 'word', 'size': 60, 'sha256': 'ab' * 32},
          'init_from': None, 'time': '2026-01-31T12:00:00Z', 'device': 'cpu',
          'devices': 1, 'cores': 2, 'python': '3.12', 'versions': {'jax': '1'},
          'git': None, 'git_dirty': None},
      'done': {'seconds': 1.5},
      'metrics.jsonl': [{'kind': 'train', 'step': s, 'tokens': 64 * s,
                         'loss': 3.5, 'time/seconds': 0.1} for s in (2, 4)],
      'evals/loss/4.json': {'rows': [
          {'metric': 'loss', 'value': 3.5, 'n': 9, 'task': 'bio'}]},
      'evals/extraction/4.json': {'rows': [
          {'metric': 'accuracy', 'value': 0.5, 'n': 2, 'split': 'test'}]}}


def written(value, name: str) -> bytes:
  return b''.join(json.dumps(r).encode() + b'\n' for r in value) if (
      name.endswith('jsonl')) else json.dumps(value).encode()


READERS = {
    'state': lambda at, run: sweep.states([run], at.parent),
    'step': lambda at, run: run_dir.step_reached(at),
    'results': lambda at, run: run_dir.results(at),
    'record': lambda at, run: results.record(run, at),
    'table': lambda at, run: run_table.read_runs(at.parent),
    'curves': lambda at, run: run_table.read_runs(at.parent, per_step=True),
    'parent': lambda at, run: run_dir.find_parent(at),
    'config': lambda at, run: run_dir.canonical_config(
        override(run.config, {'init_from': str(at)}), at),
    'vocab': lambda at, run: run_dir.check_vocab(
        at, load_mixture(run.config).vocab, 'it'),
    'restore': lambda at, run: restore.run_config(at),
    'fit': lambda at, run: fit(at.parent, ['--loss=train/loss'], at / 'out')}


@fuzz
@given(st.data(), st.sampled_from(sorted(READERS)))
def test_damaged_run_folders_are_read_or_refused(
    tmp_path_factory, run_files, data, reader):
  run = sweep.Run('configs/default.py', SMALL | {'steps': 4}, {'a': 1})
  at = tmp_path_factory.getbasetemp() / 'experiment' / run.id
  broken = data.draw(st.sampled_from(sorted(run_files)))
  for name, value in run_files.items():
    content = written(value, name)
    if name == broken:
      content = data.draw(damaged(content) | (
          st.lists(changed_json(value[0]), max_size=3).map(b'\n'.join)
          if name.endswith('jsonl') else changed_json(value)))
    (at / name).parent.mkdir(parents=True, exist_ok=True)
    (at / name).write_bytes(content)
  works_or_refuses(READERS[reader], at, run)


@fuzz
@given(st.data())
def test_damaged_records_and_bands_are_read_or_refused(tmp_path_factory, data):
  at = tmp_path_factory.getbasetemp() / 'damaged'
  good = {'id': 'ab12', 'tags': {'a': 1}, 'overrides': {'steps': 4},
          'evals': {'loss': [{'metric': 'loss', 'value': 3.5, 'n': 1}]}}
  at.write_bytes(data.draw(
      damaged(json.dumps(good).encode() + b'\n') | st.lists(
          changed_json(good), min_size=1, max_size=3).map(b'\n'.join)))
  found = works_or_refuses(results.read_records, at)
  run = sweep.Run('configs/default.py', SMALL, {'a': 1})
  if found:
    results.merge(found, results.recorded_ids(found, [run]) and [])
  good = {'tokens': [1.0, 2.0], 'low': [2.0, 1.0], 'high': [3.0, 3.0],
          'from': 'x'}
  at.write_bytes(data.draw(damaged(json.dumps(good).encode())
                           | changed_json(good)))
  band = works_or_refuses(loss_band.load_band, str(at))
  assert band is None or np.isfinite(band.limits(band.tokens[0])).all()


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A finished run with a checkpoint."""
  from physics_lm import train
  folder = tmp_path_factory.mktemp('trained') / 'run'
  train.run(override(config_of_run(16), {
      'evals.extraction.people': 2, 'evals.loss.num_rows': 2,
      'optim.warmup_steps': 1, 'runtime.mesh.data': 1}), str(folder))
  return folder


@pytest.mark.drill  # trains, and takes a second each
@settings(slow_fuzz, max_examples=max(EXAMPLES // 10, 3))
@given(st.data())
def test_damaged_checkpoints_are_read_or_refused(tmp_path_factory, trained,
                                                 data):
  """By the command that evaluates a run."""
  from physics_lm.evals import __main__ as evals_main
  at = tmp_path_factory.mktemp('copy') / 'run'
  shutil.copytree(trained, at)
  files = sorted(p for p in at.rglob('*') if p.is_file()
                 and p.name != '.lock' and 'evals' not in p.parts)
  path = data.draw(st.sampled_from(files))
  content = path.read_bytes()
  path.write_bytes(data.draw(damaged(content)))
  try:
    evals_main.main([str(at), '--eval=loss'])
  except SystemExit as e:
    assert e.code == 2
  finally:
    shutil.rmtree(at.parent)


# --- Tokenizer files.

@pytest.fixture(scope='module')
def tokenizer():
  return json.loads(vocab.train_bpe(['some words of a text'] * 9, 270).to_str())


def use_tokenizer(path):
  v = vocab.make_vocab(str(path), ())
  ids = v.encode('some words, é\n')
  assert all(0 <= i < len(v) for i in ids)
  v.decode(ids)


@pytest.mark.interop
@fuzz
@given(st.data())
def test_tokenizer_files_are_read_or_refused(tmp_path_factory, tokenizer, data):
  at = tmp_path_factory.getbasetemp() / 'tokenizer'
  at.mkdir(exist_ok=True)
  side = {'eos_token': {'content': '<eos>'}, 'pad_token': '<pad>'}
  broken = data.draw(st.booleans())
  for name, value in (('tokenizer.json', tokenizer),
                      ('tokenizer_config.json', side)):
    content = json.dumps(value).encode()
    if broken == (name == 'tokenizer.json'):
      content = data.draw(damaged(content) | changed_json(value))
    (at / name).write_bytes(content)
  works_or_refuses(use_tokenizer, at / 'tokenizer.json')


@slow_fuzz
@given(st.data())
def test_sentencepiece_files_are_read_or_refused(tmp_path_factory, data):
  path = tmp_path_factory.getbasetemp() / 'a.model'
  path.write_bytes(data.draw(damaged(sentencepiece_bytes())))
  works_or_refuses(use_tokenizer, path)


@functools.cache
def sentencepiece_bytes() -> bytes:
  return vocab.train_sentencepiece(['some words of a text'] * 9, 300)
