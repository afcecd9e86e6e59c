"""Tokenizers that need libraries: exact, reproducible, the published ids."""

import json
import subprocess
import sys

import numpy as np
import pytest

from physics_lm import mixture, run_dir, train, vocab
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.mixture import load_mixture
from tests.conftest import ROOT, TINY

pytestmark = pytest.mark.interop

ODD = ['', ' ', '  two', 'é漢字🙂', 'a\nb\r\n\tc', ' <eos> and <|endoftext|>',
       "don't I'LL 12345 ###", '\x00\x85\u2028']


def tokenizer_file(folder, change=None):
  """A byte-level tokenizer.json with an end token, changed by a function."""
  made = vocab.train_bpe(['some words of a text'] * 9, 300)
  if change:
    change(made)
  path = folder / 'tokenizer.json'
  made.save(str(path))
  return str(path)


@pytest.mark.parametrize('change', [
    lambda t: t.enable_truncation(4), lambda t: t.enable_padding(length=99)])
def test_state_of_a_tokenizer_file_is_reset(tmp_path, change):
  text = 'some words of a text, not cut'
  wanted = vocab.from_file(tokenizer_file(tmp_path)).encode(text)
  assert len(wanted) > 4
  path = tokenizer_file(tmp_path, change)
  assert vocab.from_file(path).encode(text) == wanted


def test_special_tokens_of_a_tokenizer_file_stay_whole(tmp_path):
  from tokenizers import Tokenizer
  path = tokenizer_file(tmp_path, lambda t: t.add_special_tokens(['<|user|>']))
  v = vocab.from_file(path)
  text = '<|user|>some words<|user|>'
  theirs = Tokenizer.from_file(path).encode(text, add_special_tokens=False).ids
  assert [v.theirs[i] for i in v.encode(text)] == theirs
  assert v.decode(v.encode(text)) == text
  ids = v.encode('some <eos> and <pad>')  # these two would end a text
  assert not {vocab.EOS, vocab.PAD} & set(ids)
  assert v.decode(ids) == 'some <eos> and <pad>'


@pytest.mark.parametrize('side,message', [
    ('{"eos_token": "</s>",', 'is not JSON'), ('\x80', 'is not JSON'),
    ('["</s>"]', 'wanted a JSON object'), ('{"eos_token": 3}', 'eos_token 3'),
    ('{"eos_token": "</end>"}', 'wanted one of the 273 entries')])
def test_side_file_of_a_tokenizer_is_refused_when_bad(tmp_path, side, message):
  path = tokenizer_file(tmp_path)
  (tmp_path / 'tokenizer_config.json').write_bytes(side.encode('latin-1'))
  with pytest.raises(BadInput, match=message):
    vocab.from_file(path)


def test_word_that_a_tokenizer_file_lacks_is_refused(tmp_path):
  from tokenizers import Tokenizer, models
  path = str(tmp_path / 'tokenizer.json')
  Tokenizer(models.WordLevel({'</s>': 0, 'the': 1})).save(path)
  with pytest.raises(BadInput, match=r"cannot encode 'city'.*UNK"):
    vocab.from_file(path).encode('city')


@pytest.mark.parametrize('kind', ['bpe:400', 'gpt2', 'gpt2_used'])
def test_vocab_round_trips_pieces_and_texts(tiny, kind):
  data = load_mixture(tiny({'data.vocab': kind, 'data.seq_len': 700}))
  world = data.worlds['bios']
  for split in world.splits:
    for i in range(0, world.size(split), 7):
      example = world.example(split, i)
      ids = mixture.encode(data, example)[0][1:]
      assert data.vocab.decode(ids) == example.text
      assert tuple(ids) == data.vocab.encode(example.text)
      assert all(1 < i < len(data.vocab) for i in ids)
  assert data.vocab.kind == kind


def test_byte_level_vocabularies_encode_any_text():
  made = vocab.foreign_tokenizer(
      'bpe:300', vocab.train_bpe(['some words'] * 9, 300))
  for v in (made, vocab.gpt2()):
    for text in ODD:
      ids = v.encode(text)
      assert vocab.EOS not in ids and vocab.PAD not in ids
      assert v.decode(ids) == text


def test_gpt2_ids_are_the_published_ones():
  """Ids as in OpenAI's encoder, of texts that exercise its splitting."""
  v = vocab.gpt2()
  assert len(v) == 50258 and v.theirs[vocab.EOS] == 50256
  for text, ids in (
      ('Hello world', [15496, 995]), (' Hello', [18435]),
      ('The quick brown fox', [464, 2068, 7586, 21831]),
      ("don't 123", [9099, 470, 17031]), ('\n\n', [628])):
    assert [v.theirs[i] for i in v.encode(text)] == ids


def test_gpt2_used_keeps_used_entries_only(tiny):
  """The papers' count: the pieces' tokens and the two ends."""
  data = load_mixture(tiny({'data.vocab': 'gpt2_used'}))
  whole, used = vocab.gpt2(), data.vocab
  assert len(used) < 1000
  pieces = list(data.worlds['bios'].pieces())
  assert {whole.theirs[i] for p in pieces for i in whole.encode(p)} == set(
      used.theirs[2:])
  with pytest.raises(BadInput, match='not among the'):
    used.encode(' xylophone')


def test_bpe_is_the_same_in_another_process(tiny):
  code = '''
from tests.conftest import TINY
from physics_lm.configs import default
from physics_lm.config import override
from physics_lm.mixture import load_mixture
c = override(default.get_config(), TINY | {'data.vocab': 'bpe:400'})
print(load_mixture(c).vocab.hash)
'''
  out = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True,
                       capture_output=True, text=True).stdout.split()[-1]
  mine = load_mixture(tiny({'data.vocab': 'bpe:400'})).vocab
  assert out == mine.hash and len(mine) == 400
  assert mine.hash != load_mixture(tiny({'data.vocab': 'bpe:401'})).vocab.hash


def test_gpt2_refuses_damaged_files(monkeypatch):
  monkeypatch.setitem(vocab.GPT2, 'vocab.bpe', 'f' * 64)
  with pytest.raises(BadInput, match='wanted ffff'):
    vocab.gpt2()


def sentencepiece_model(folder, **kwargs):
  import sentencepiece as spm
  world = load_mixture(override(default.get_config(), TINY)).worlds['bios']
  spm.SentencePieceTrainer.train(
      sentence_iterator=iter([world.example('bio', i).text
                              for i in range(world.size('bio'))]),
      model_prefix=str(folder / 'sp'), vocab_size=600, minloglevel=2,
      hard_vocab_limit=False, byte_fallback=True, **kwargs)
  return str(folder / 'sp.model')


@pytest.mark.parametrize('pad', [-1, 0, 3])
def test_sentencepiece_model_loads_from_a_path(tiny, tmp_path, pad):
  ids = {'unk_id': 1 if pad == 0 else 0} | (
      {'bos_id': -1, 'eos_id': 2, 'pad_id': 0} if pad == 0 else
      {'pad_id': pad})
  path = sentencepiece_model(tmp_path, **ids)
  data = load_mixture(tiny({'data.vocab': path, 'data.seq_len': 300}))
  assert data.vocab.kind == 'sentencepiece'
  world = data.worlds['bios']
  for i in range(world.size('bio')):
    example = world.example('bio', i)
    ids = mixture.encode(data, example)[0][1:]
    assert data.vocab.decode(ids) == example.text
    assert not {vocab.PAD, vocab.EOS} & set(ids)
  import sentencepiece
  theirs = sentencepiece.SentencePieceProcessor(model_file=path)
  assert len(data.vocab) == len(theirs) + (pad < 0)
  # What it gives of a whole text, when it may put its own space first.
  text = world.example('qa_train', 0).text
  assert [data.vocab.theirs[i] for i in data.vocab.encode(text)] == (
      theirs.encode(text.strip()))


def test_command_trains_a_sentencepiece_model(tmp_path, capsys):
  path = tmp_path / 'bios.model'
  flags = ['biographies', '--set', 'people=40', '--count=60']
  hashes = set()
  for _ in range(2):  # the same each time
    vocab.main([*flags, '--train=400', f'--out={path}'])
    made = vocab.make_vocab(str(path), ())
    hashes.add(made.hash)
  assert len(hashes) == 1
  assert f'{path}: {len(made)} entries' in capsys.readouterr().out
  assert len(made) <= 400 and made.theirs == tuple(range(len(made)))
  for text in (*ODD, ' born in Boston.'):
    if text and '\x00' not in text:
      assert made.decode(made.encode(text)) == text
  vocab.main([*flags, f'--vocab=byte,{path}'])
  byte, ours = capsys.readouterr().out.splitlines()[1:]
  assert float(ours.split()[2]) < 0.7 * float(byte.split()[2])
  with pytest.raises(SystemExit):
    vocab.main([*flags, '--train=400', f'--out={tmp_path / "bios.txt"}'])


def test_command_refuses_a_size_that_sentencepiece_cannot_train(
    tmp_path, capsys):
  with pytest.raises(SystemExit) as stopped:
    vocab.main(['biographies', '--set', 'people=40', '--count=60',
                '--train=260', f'--out={tmp_path / "bios.model"}'])
  error = capsys.readouterr().err
  assert stopped.value.code == 2 and error.count('\n') == 1
  assert 'no SentencePiece model of 260 entries: ' in error
  assert not [*tmp_path.iterdir()]


def test_tokenizer_json_loads_from_a_path(tmp_path):
  made = vocab.train_bpe(['some words and some more'] * 9, 300)
  made.save(str(tmp_path / 'tok.json'))
  v = vocab.make_vocab(str(tmp_path / 'tok.json'), ())
  own = vocab.foreign_tokenizer('bpe:300', made)
  assert v.encode(' more words') == own.encode(' more words')
  assert v.decode(v.encode(' <eos>')) == ' <eos>'
  (tmp_path / 'tokenizer_config.json').write_text(
      json.dumps({'eos_token': 'a', 'pad_token': {'content': 'b'}}))
  other = vocab.make_vocab(str(tmp_path / 'tok.json'), ())
  assert [made.id_to_token(t) for t in other.theirs[:2]] == ['b', 'a']
  assert sorted(other.theirs) == list(range(made.get_vocab_size()))


@pytest.mark.parametrize('kind,message', [
    ('bpe:100', 'at least 258'), ('bpe', 'at least 258'),
    ('bpe:big', 'at least 258'), ('nowhere.json', 'no vocab file'),
    ('nowhere.model', 'no vocab file'), ('README.md.json', 'no vocab file'),
    ('gpt3', 'nearest: gpt2')])
def test_make_vocab_refuses_bad_kinds(kind, message):
  with pytest.raises(BadInput, match=message):
    vocab.make_vocab(kind, ())


def test_make_vocab_refuses_bad_files(tmp_path):
  for name, message in (('x.json', 'no tokenizer.json'),
                        ('x.model', 'no SentencePiece model')):
    (tmp_path / name).write_text('{}')
    with pytest.raises(BadInput, match=message):
      vocab.make_vocab(str(tmp_path / name), ())


def test_marks_are_one_token_and_text_is_not():
  v = vocab.make_vocab('byte', (), marks=('<pre>', '<mid>'))
  assert len(v) == 260 and v.encode('<mid>') == (259,)
  assert len(v.encode('a <mid>')) == 7
  ids = [*v.encode('<pre>'), *v.encode('é'), *v.encode('<mid>'), 1, 50]
  assert v.decode(ids) == '<pre>é<mid>'
  assert v.hash != vocab.make_vocab('byte', ()).hash


def test_vocab_hash_is_recorded_and_required_at_resume(
    one_device, tmp_path):
  config = one_device({'data.vocab': 'bpe:400', 'steps': 3,
                       'data.seq_len': 400, 'checkpoint.every': 1})
  train.run(config, tmp_path / 'run')
  path = tmp_path / 'run/meta.json'
  meta = json.loads(path.read_text())
  assert meta['vocab'] == {'kind': 'bpe:400', 'size': 400,
                           'sha256': load_mixture(config).vocab.hash}
  (tmp_path / 'run/done').unlink()
  meta['vocab']['sha256'] = '0' * 64
  path.write_text(json.dumps(meta))
  with pytest.raises(BadInput, match='another vocabulary'):
    train.run(config, tmp_path / 'run')


def test_done_run_of_another_tokenizer_file_is_refused(tiny, tmp_path):
  config = tiny({'data.vocab': tokenizer_file(tmp_path)})
  job = train.Job(config, tmp_path / 'run')
  run_dir.write_json(job.folder / 'config.json',
                     run_dir.canonical_config(config, job.folder))
  run_dir.write_json(job.folder / 'meta.json', {'vocab': {
      'kind': 'json', 'size': 1, 'sha256': load_mixture(config).vocab.hash}})
  (job.folder / 'done').touch()
  assert train.finished(job)
  tokenizer_file(tmp_path, lambda t: t.add_special_tokens(['<|user|>']))
  mixture._load.cache_clear()
  with pytest.raises(BadInput, match='another vocabulary'):
    train.finished(job)


def test_command_prints_a_table_of_tokens(capsys):
  vocab.main(['biographies', '--vocab=byte,word,bpe:400,gpt2,gpt2_used',
              '--set', 'people=40', '--count=20'])
  lines = capsys.readouterr().out.splitlines()
  got = {line.split()[0]: float(line.split()[2]) for line in lines
         if line.split() and line.split()[0] in (
             'byte', 'word', 'bpe:400', 'gpt2', 'gpt2_used')}
  assert len(got) == 5 and got['gpt2'] == got['gpt2_used']
  assert got['byte'] > got['bpe:400'] > got['gpt2'] > got['word']
  assert np.isfinite(list(got.values())).all()
