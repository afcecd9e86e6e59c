"""Optional libraries: what is loaded without asking, what is said when one is
missing."""

import json
import subprocess
import sys

import numpy as np
import pytest

from physics_lm import restore, text_files, vocab
from physics_lm.config import override
from physics_lm.errors import BadInput
from physics_lm.interop import huggingface, tensorboard
from physics_lm.model.config import model_config
from tests.conftest import ROOT, TINY, default

HEAVY = ('tensorflow', 'seqio', 'torch', 'transformers', 'datasets', 'pyarrow',
         'tokenizers', 'sentencepiece', 'safetensors', 'tensorboardX')


def test_import_is_quick_and_loads_nothing_heavy():
  code = f'''
import sys, time
began = time.process_time()
import physics_lm
seconds = time.process_time() - began
print(seconds, [m for m in {HEAVY + ('jax', 'numpy')} if m in sys.modules])
'''
  out = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True,
                       capture_output=True, text=True).stdout
  seconds, loaded = out.split(' ', 1)
  assert float(seconds) < 0.3 and loaded.strip() == '[]'


def test_worlds_and_tokenizers_load_heavy_libraries_on_use():
  code = f'''
import sys
from physics_lm.configs import default
from physics_lm import mixture, vocab
from physics_lm.interop import export
from physics_lm import text_files
from physics_lm.worlds import text
mixture.load_mixture(default.get_config())
print([m for m in {HEAVY + ('jax',)} if m in sys.modules])
'''
  out = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True,
                       capture_output=True, text=True).stdout
  assert out.strip() == '[]'


@pytest.mark.parametrize('module,extra,use', [
    ('tokenizers', 'text', lambda p: vocab.make_vocab('gpt2', ())),
    ('tokenizers', 'text', lambda p: vocab.make_vocab(
        'bpe:300', (), lambda: ['a'])),
    ('sentencepiece', 'text', lambda p: vocab.make_vocab(
        str(p / 'a.model'), ())),
    ('pyarrow.parquet', 'text', lambda p: list(
        text_files.read_texts(p / 'a.parquet'))),
    ('safetensors.numpy', 'huggingface', lambda p: huggingface.export(p, p)),
    ('safetensors.numpy', 'huggingface', lambda p: (
        huggingface.read_weights(p))),
    ('tensorboardX', 'tensorboard', lambda p: tensorboard.convert(p, p))])
def test_missing_extra_is_named_in_the_error(
    tmp_path, monkeypatch, module, extra, use):
  monkeypatch.setitem(sys.modules, module, None)
  (tmp_path / 'a.model').write_bytes(b'')
  (tmp_path / 'metrics.jsonl').write_text('{"kind": "train", "step": 1}\n')
  with pytest.raises(BadInput, match=rf"{module} cannot be imported .*; wanted "
                     rf"pip install 'physics_lm\[{extra}\]'"):
    use(tmp_path)


def test_gpt2_files_are_as_published():
  """The sums of OpenAI's encoder.json and vocab.bpe, and their licence."""
  files = vocab.gpt2_files()
  assert len(files['vocab.bpe'].split('\n')) == 50002
  licence = (ROOT / 'physics_lm/gpt2/LICENSE').read_text()
  assert 'Copyright (c) 2019 OpenAI' in licence


def test_byte_letters_are_those_of_gpt2():
  entries = json.loads(vocab.gpt2_files()['encoder.json'])
  letters = vocab.byte_letters()
  assert sorted(letters) == list(range(256))
  # The first 256 entries are the bytes, printable ones first.
  assert {entries[letter] for letter in letters.values()} == set(range(256))
  assert entries[letters[ord('!')]] == 0 and letters[ord(' ')] == 'Ġ'


def test_huggingface_tensors_round_trip():
  """Every mapping undoes itself, without any of their libraries."""
  rng = np.random.default_rng(0)
  for changes in ({}, {'model.norm': 'rmsnorm', 'model.mlp': 'gated_silu',
                       'model.kv_heads': 1, 'model.rope_fraction': 1.0}):
    cfg = model_config(override(default.get_config(), TINY | changes), 100)
    abstract = restore.abstract_params(cfg)
    params = {a: {k: rng.normal(size=x.shape).astype(np.float32)
                  for k, x in abstract[a].items()} for a in abstract}
    family = huggingface.family_of(cfg)
    order = np.arange(cfg.vocab)
    theirs = huggingface.to_theirs(params, cfg, family, order)
    back = huggingface.to_ours(theirs, cfg, family, order)
    for a in params:
      assert set(back[a]) == set(params[a])
      for k, x in params[a].items():
        np.testing.assert_array_equal(back[a][k], x)
