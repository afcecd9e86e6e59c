"""Weights, config and tokenizer to transformers and back."""

import contextlib
import itertools
import json
import shutil

import jax
import numpy as np
import pytest
import torch
import transformers

from physics_lm import mixture, restore, run_dir, train, vocab
from physics_lm.config import override
from physics_lm.errors import BadInput
from physics_lm.interop import huggingface
from physics_lm.model import decode, decoder
from tests.interop.conftest import untrained
from tests.interop.test_vocab import sentencepiece_model

pytestmark = pytest.mark.interop

LLAMA = {'model.norm': 'rmsnorm', 'model.mlp': 'gated_silu',
         'model.rope_fraction': 1.0}
SHAPES = {
    'gpt_neox': {},
    'gpt_neox, no bias, untied': {
        'model.bias': False, 'model.tie_embeddings': False},
    'gpt_neox, an odd share rotates': {'model.rope_fraction': 0.9},
    'llama': LLAMA | {'model.bias': False},
    'llama, bias, grouped, untied': LLAMA | {
        'model.kv_heads': 1, 'model.tie_embeddings': False,
        'model.mlp_ratio': 2.5}}


def theirs(folder):
  m = transformers.AutoModelForCausalLM.from_pretrained(folder)
  return m.eval(), transformers.AutoTokenizer.from_pretrained(folder)


def logits(m, ids):
  with torch.no_grad():
    return m(torch.tensor([ids])).logits[0].numpy()


forward = jax.jit(decoder.forward, static_argnames='cfg')


def ours(run, ids):
  """Logits of the vocabulary's rows, without those that pad the embedding."""
  padded = np.zeros((1, -(-len(ids) // 256) * 256), np.int32)  # compiles once
  padded[0, :len(ids)] = ids
  return np.asarray(forward(run.params, padded, run.cfg)[
      0, :len(ids), :len(run.data.vocab)])


def params_of(folder):
  """A run's parameters, without the rows that pad the embedding."""
  run = restore.load_run(folder)
  rows = {k: v[:len(run.data.vocab)] if k in ('embedding', 'output') else v
          for k, v in run.params['ends'].items()}
  return run.params | {'ends': rows}


def texts(run, count=3):
  world = run.data.worlds['bios']
  return [world.example('bio', i) for i in range(count)]


@pytest.mark.parametrize('name', SHAPES)
def test_logits_agree_and_weights_come_back(tmp_path, name):
  folder = untrained(tmp_path / 'run', SHAPES[name])
  out, back = tmp_path / 'out', tmp_path / 'back'
  made = huggingface.export(folder, out)
  assert made['family'] == name.split(',')[0]
  m, tok = theirs(out)
  run = restore.load_run(folder)
  for example in texts(run):
    ids = tok(example.text)['input_ids']
    assert ids == mixture.encode(run.data, example)[0]
    np.testing.assert_allclose(logits(m, ids), ours(run, ids), atol=1e-4)
  assert sum(p.numel() for p in m.parameters()) == made['parameters']
  huggingface.bring(out, back)
  again = restore.load_run(back)
  if 'no bias' in name:  # NeoX has biases: they come back as zeros
    assert again.cfg.bias and not run.cfg.bias
    np.testing.assert_array_equal(ours(run, ids), ours(again, ids))
  else:
    jax.tree.map(np.testing.assert_array_equal, params_of(folder),
                 params_of(back))
  # Rows that pad the embedding are not written: nobody could sample them.
  assert m.config.vocab_size == len(run.data.vocab) < run.cfg.vocab


def test_shards_hold_the_same(tmp_path):
  folder = untrained(tmp_path / 'run')
  huggingface.export(folder, tmp_path / 'one')
  huggingface.export(folder, tmp_path / 'many', shard=8000)
  shards = sorted((tmp_path / 'many').glob('*.safetensors'))
  assert len(shards) > 3
  index = json.loads(
      (tmp_path / 'many/model.safetensors.index.json').read_text())
  assert index['metadata']['total_size'] == sum(
      x.nbytes for x in huggingface.read_weights(tmp_path / 'one').values())
  a, b = theirs(tmp_path / 'one')[0], theirs(tmp_path / 'many')[0]
  np.testing.assert_array_equal(logits(a, [1, 5, 9]), logits(b, [1, 5, 9]))
  huggingface.bring(tmp_path / 'many', tmp_path / 'back')
  jax.tree.map(np.testing.assert_array_equal, params_of(folder),
               params_of(tmp_path / 'back'))
  # Exported again into the same folder: no shard of before is left.
  huggingface.export(folder, tmp_path / 'many')
  assert len(list((tmp_path / 'many').glob('*.safetensors*'))) == 1


@pytest.mark.parametrize('kind,family', [
    *((k, 'gpt_neox') for k in ('byte', 'bpe:400', 'gpt2', 'gpt2_used')),
    *itertools.product(('unigram.model', 'bpe.model'),
                       ('gpt_neox', 'llama'))])
def test_tokenizers_go_along(tmp_path, kind, family):
  elsewhere = kind == 'gpt2' or kind.endswith('.model')
  if kind.endswith('.model'):
    kind = sentencepiece_model(tmp_path, model_type=kind.partition('.')[0])
  folder = untrained(tmp_path / 'run', SHAPES[family] | {
      'data.vocab': kind, 'data.seq_len': 700})
  huggingface.export(folder, tmp_path / 'out')
  m, tok = theirs(tmp_path / 'out')
  run = restore.load_run(folder)
  order = huggingface.row_map(run.data.vocab, len(run.data.vocab))
  for example in texts(run):
    ids = tok(example.text)['input_ids']
    mine = mixture.encode(run.data, example)[0]
    if kind.endswith('.model'):  # it joins pieces: a text as a whole
      mine = [vocab.EOS, *run.data.vocab.encode(example.text)]
    # What comes from elsewhere keeps its own ids; the others are ours.
    assert [order[i] for i in ids] == mine and ids[0] == tok.eos_token_id
    assert (ids == mine) == (not elsewhere)
    assert tok.decode(ids, skip_special_tokens=True) == example.text
    np.testing.assert_allclose(logits(m, ids), ours(run, mine)[:, order],
                               atol=1e-4)
  huggingface.bring(tmp_path / 'out', tmp_path / 'back')
  np.testing.assert_allclose(
      ours(restore.load_run(tmp_path / 'back'), mine)[:, order],
      ours(run, mine)[:, order], atol=1e-6)


@pytest.mark.parametrize('kind', ['unigram', 'bpe'])
def test_a_sentencepiece_of_odd_texts(tmp_path, kind):
  path = sentencepiece_model(tmp_path, model_type=kind,
                             user_defined_symbols=['##'])
  v = vocab.make_vocab(path, ())
  tok, end, _ = huggingface.hf_tokenizer(v)
  assert end == '</s>'
  for text in (' two  spaces', 'no space', ' é漢字🙂', 'a\nb', ' 12 of them.',
               ' ## and a##b'):
    got = tok.encode(text).ids
    assert got == [v.theirs[i] for i in (vocab.EOS, *v.encode(text))]
    assert tok.decode(got) == v.decode(v.encode(text))


def test_marks_over_sentencepiece_are_refused(tmp_path):
  v = vocab.make_vocab(sentencepiece_model(tmp_path), (), marks=('<mid>',))
  with pytest.raises(BadInput, match='marks over a SentencePiece model'):
    huggingface.hf_tokenizer(v)


def test_an_export_spares_runs(tmp_path):
  folder = untrained(tmp_path / 'run')
  before = (folder / 'config.json').read_text()
  for out in (folder, tmp_path / 'other'):
    (tmp_path / 'other').mkdir(exist_ok=True)
    (tmp_path / 'other/metrics.jsonl').touch()
    with pytest.raises(BadInput, match='holds a run'):
      huggingface.export(folder, out)
  assert (folder / 'config.json').read_text() == before
  assert not (folder / 'model.safetensors').exists()


def test_a_trained_run_and_generate(trained_run, tmp_path):
  huggingface.main(['export', str(trained_run), str(tmp_path / 'out')])
  m, tok = theirs(tmp_path / 'out')
  run = restore.load_run(trained_run)
  for example in texts(run, 6):
    ids = mixture.encode(run.data, example)[0]
    np.testing.assert_allclose(logits(m, ids), ours(run, ids), atol=1e-4)
  world = run.data.worlds['bios']
  questions = [world.example('qa_train', i) for i in range(12)]
  prompts = [''.join(q.pieces[:-1]) for q in questions]
  mine = decode.greedy_decode(run.params, run.cfg, [
      [1, *run.data.vocab.encode(p)] for p in prompts], 12, len(run.data.vocab))
  mine = [run.data.vocab.decode(ids) for ids in mine]
  for prompt, answer in zip(prompts, mine):
    out = m.generate(**tok(prompt, return_tensors='pt'), do_sample=False,
                     max_new_tokens=12)
    assert tok.decode(out[0], skip_special_tokens=True) == prompt + answer
  assert len(set(mine)) > 3  # it says something


def test_an_imported_model_is_a_parent_and_can_be_evaluated(
    trained_run, tmp_path, capsys):
  huggingface.export(trained_run, tmp_path / 'out')
  huggingface.main(['import', str(tmp_path / 'out'), str(tmp_path / 'back')])
  assert '--config.init_from=' in capsys.readouterr().out
  config = restore.run_config(trained_run)
  train.run(override(config, {
      'init_from': str(tmp_path / 'back'), 'steps': 3,
      'optim.learning_rate': 0.0}), tmp_path / 'child')
  (_, a), (_, b) = (run_dir.results(f)
                    for f in (trained_run, tmp_path / 'child'))
  assert a['extraction'] == b['extraction'] != []


def test_a_foreign_llama(tmp_path):
  """A model that transformers made, with a tokenizer that is not ours."""
  from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
  config = transformers.LlamaConfig(
      vocab_size=320, hidden_size=16, num_hidden_layers=2,
      num_attention_heads=4, num_key_value_heads=2, intermediate_size=40,
      rms_norm_eps=1e-5, max_position_embeddings=64, rope_theta=5000.0,
      initializer_range=0.5, eos_token_id=2)
  torch.manual_seed(0)
  made = transformers.LlamaForCausalLM(config)
  made.save_pretrained(tmp_path / 'hf')
  tok = Tokenizer(models.BPE(unk_token='<unk>'))
  tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  tok.decoder = decoders.ByteLevel()
  tok.train_from_iterator(['some words and more words'] * 3, (
      trainers.BpeTrainer(vocab_size=300, show_progress=False,
                          special_tokens=['<unk>', '<s>', '</s>'],
                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
  ))
  tok.save(str(tmp_path / 'hf/tokenizer.json'))
  huggingface.bring(tmp_path / 'hf', tmp_path / 'run')
  run = restore.load_run(tmp_path / 'run')
  assert run.cfg.kv_heads == 2 and run.cfg.rope_theta == 5000
  mine = [1, *run.data.vocab.encode('some more words, and others')]
  order = huggingface.row_map(run.data.vocab, len(run.data.vocab))
  ids = [2, *tok.encode('some more words, and others').ids]
  assert [order[i] for i in ids] == mine
  np.testing.assert_allclose(ours(run, mine)[:, order],
                             logits(made, ids)[:, :len(order)], atol=1e-4)
  # And out again: their ids, their tokenizer.
  huggingface.export(tmp_path / 'run', tmp_path / 'again')
  m, tok2 = theirs(tmp_path / 'again')
  assert tok2('some more words, and others')['input_ids'] == ids
  np.testing.assert_allclose(logits(m, ids), logits(made, ids)[:, :len(order)],
                             atol=1e-4)


@pytest.mark.parametrize('changes,message', [
    ({'model.norm': 'rmsnorm'}, 'wanted layernorm with gelu'),
    ({'model.mlp_ratio': 0.0}, 'an MLP'),
    ({'model.qk_norm': True}, 'qk_norm'),
    ({'model.rope_fraction': 0.0}, 'rotary positions'),
    ({'model.kv_heads': 1}, r'as many as heads \(2\)'),
    (LLAMA | {'model.rope_fraction': 0.5}, '1.0 in a Llama')])
def test_what_neither_family_holds(tmp_path, changes, message):
  folder = untrained(tmp_path / 'run', changes)
  with pytest.raises(BadInput, match=message):
    huggingface.export(folder, tmp_path / 'out')


@pytest.mark.parametrize('changes,message', [
    ({'model_type': 'gpt2'}, "'gpt2', wanted one of gpt_neox, llama"),
    ({'use_parallel_residual': True}, 'use_parallel_residual true'),
    ({'hidden_act': 'gelu'}, "hidden_act 'gelu'"),
    ({'layer_norm_eps': 1e-6}, 'eps 1e-06'),
    ({'rope_parameters': {'rope_type': 'yarn'}}, "'yarn'"),
    ({'hidden_size': 24}, r'is \[16\], wanted \[24\]'),
    ({'intermediate_size': 128}, r'\[64, 16\], wanted \[128, 16\]'),
    ({'num_hidden_layers': 3}, 'wanted a gpt_neox of 3 layers')])
def test_foreign_weights_of_another_shape(tmp_path, changes, message):
  huggingface.export(untrained(tmp_path / 'run'), tmp_path / 'out')
  path = tmp_path / 'out/config.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))
  with pytest.raises(BadInput, match=message):
    huggingface.bring(tmp_path / 'out', tmp_path / 'back')
  assert not (tmp_path / 'back').exists()


@pytest.mark.parametrize('name,change,message', [
    ('embed_out.weight', 1.0, 'differs from the embedding, but config.json'),
    ('embed_out.weight', 0.0, ''),
    ('extra.weight', 0.0, 'extra.weight is none'),
    ('gpt_neox.layers.0.attention.rotary_emb.inv_freq', 0.0, '')])
def test_tensor_that_nothing_reads_is_refused(tmp_path, name, change, message):
  from safetensors.numpy import save_file
  huggingface.export(untrained(tmp_path / 'run'), tmp_path / 'out')
  arrays = huggingface.read_weights(tmp_path / 'out')
  arrays[name] = arrays['gpt_neox.embed_in.weight'] + np.float32(change)
  save_file(arrays, tmp_path / 'out/model.safetensors', {'format': 'pt'})
  with pytest.raises(BadInput, match=message) if message else (
      contextlib.nullcontext()):
    huggingface.bring(tmp_path / 'out', tmp_path / 'back')
  assert (tmp_path / 'back').exists() != bool(message)


def test_broken_folders(tmp_path, capsys):
  huggingface.export(untrained(tmp_path / 'run'), tmp_path / 'out', 8000)
  with pytest.raises(SystemExit) as stopped:
    huggingface.main(['export', str(tmp_path / 'nowhere'), 'x'])
  assert stopped.value.code == 2
  assert 'not a run folder' in capsys.readouterr().err
  with pytest.raises(BadInput, match='wanted a folder of transformers'):
    huggingface.bring(tmp_path, tmp_path / 'e')
  sidecar = tmp_path / 'out' / huggingface.SIDECAR
  text = sidecar.read_text()
  sidecar.write_text(text.replace('"sha256": "', '"sha256": "0'))
  with pytest.raises(BadInput, match='wanted 0'):
    huggingface.bring(tmp_path / 'out', tmp_path / 'd')
  sidecar.write_text(text)
  with pytest.raises(BadInput, match='is not empty'):
    huggingface.bring(tmp_path / 'out', tmp_path / 'run')
  shutil.copytree(tmp_path / 'out', tmp_path / 'lacks')
  next((tmp_path / 'lacks').glob('*.safetensors')).unlink()
  with pytest.raises(BadInput, match='all shards of its index'):
    huggingface.bring(tmp_path / 'lacks', tmp_path / 'b')
  bad = next((tmp_path / 'out').glob('*.safetensors'))
  bad.write_bytes(b'nonsense')
  with pytest.raises(BadInput, match='is no safetensors file'):
    huggingface.bring(tmp_path / 'out', tmp_path / 'c')
  with pytest.raises(BadInput, match="'2 cats'"):
    huggingface.read_size('2 cats')
  assert huggingface.read_size('3MB') == 3_000_000
