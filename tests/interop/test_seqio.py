"""Our worlds in seqio, seqio's Tasks in our loader."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import seqio

from physics_lm import loader, mixture, restore, run_dir, sweep, train, vocab
from physics_lm.config import override
from physics_lm.configs import igsm
from physics_lm.configs import seqio as recipe
from physics_lm.errors import BadInput
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model import decode
from physics_lm.model.config import eval_config, model_config
from tests.conftest import ROOT, TINY
from tests.interop.conftest import untrained
from tests.streams import batches, log, stopped_once

pytestmark = pytest.mark.interop

from physics_lm.interop import seqio as ours  # noqa: E402

MODEL = {k: v for k, v in TINY.items() if not k.startswith('worlds')}


def accuracy(folder, person_split):
  """Of the run's answers to questions, as its last evaluation has it."""
  return find(run_dir.results(folder)[1]['extraction'], 'accuracy',
              person_split=person_split, text='question',
              attribute='mean')['value']


def get(name, split='train', shuffle=False, **lengths):
  lengths = {k: lengths.get(k, 512) for k in ('inputs', 'targets')}
  return seqio.get_mixture_or_task(name).get_dataset(
      lengths, split, shuffle=shuffle).as_numpy_iterator()


def test_every_world_and_variant_is_a_task():
  names = set(seqio.TaskRegistry.names())
  for variant in ours.VARIANTS:
    assert f'physics_lm/bios_{variant}' in names
    assert f'physics_lm/bios_{variant}_qa' in names
  from physics_lm.worlds import base
  for kind in base.WORLDS:
    if kind not in ('biographies', 'text'):
      assert f'physics_lm/{kind}' in names, kind
  ours.register_worlds()  # twice is harmless
  ours.register_experiments()


def test_a_task_gives_what_the_world_does(tiny):
  config = tiny()
  name, *_ = ours.register('tiny', config)
  data = load_mixture(config)
  world = data.worlds['bios']
  got = list(get(f'{name}.bio'))
  assert len(got) == world.size('bio')
  for i, e in enumerate(got):
    text = world.example('bio', i).text
    assert e['targets_pretokenized'].decode() == text
    assert e['targets'].tolist() == [*data.vocab.encode(text), vocab.EOS]
  for split, mine in (('train', 'qa_train'), ('validation', 'qa_test')):
    for i, e in enumerate(get(f'{name}.qa_qa', split)):
      example = world.example(mine, i)
      assert e['inputs_pretokenized'].decode() == ''.join(example.pieces[:-1])
      assert e['targets_pretokenized'].decode() == example.pieces[-1]


def test_validation_is_held_out_and_ends():

  def splits(name):
    return seqio.get_mixture_or_task(f'physics_lm/{name}').splits

  # Its people are all in `bio`: only questions are held out.
  assert 'validation' not in splits('bios_single')
  assert 'validation' in splits('bios_single_qa')
  assert set(splits('biod')) == {'train', 'bio'}
  first = next(get('physics_lm/igsm_qa', 'validation'))
  assert first['split'] == b'test' and first['index'] == 0
  task = seqio.get_mixture_or_task('physics_lm/igsm_qa')
  for split in set(task.splits) - {'train'}:
    ds = task.source.get_dataset(split, shuffle=False)
    assert ours.ENOUGH == ds.cardinality()


def test_a_task_in_pieces():
  """Tokens are made of pieces: a text alone does not tell where they end."""
  config = igsm.get_config()
  config.data.tasks.train.loss = 'all'
  name, *_ = ours.register('pieces', config.lock())
  data = load_mixture(config)
  example = data.worlds['igsm'].example('train', 0)
  wanted = mixture.encode(data, example)[0][1:]
  for of in (name, f'{name}.train'):
    assert next(get(of))['targets'].tolist() == [*wanted, vocab.EOS]
  got = next(get(f'{name}.train_qa'))
  assert [*got['inputs'], *got['targets']] == [*wanted, vocab.EOS]
  assert got['inputs_pretokenized'].decode() + got[
      'targets_pretokenized'].decode() == example.text


def test_vocabularies_agree_with_ours(tiny):
  data = load_mixture(tiny({'data.vocab': 'byte'}))
  v = ours.Vocabulary(lambda: data.vocab)
  assert (v.vocab_size, v.eos_id, v.pad_id) == (258, 1, 0)
  text = ' São Tomé, 1 é'
  ids = v.encode(text)
  assert v.decode([*ids, 1, 5, 6]) == text
  import tensorflow as tf
  assert v.encode_tf(tf.constant(text)).numpy().tolist() == ids
  assert v.decode_tf(tf.constant([ids, ids])).numpy()[1].decode() == text
  assert v == ours.Vocabulary(lambda: vocab.Byte())
  word = ours.Vocabulary(lambda: load_mixture(tiny()).vocab)
  assert v != word


@pytest.mark.parametrize('experiment', sorted(
    p.stem for p in (ROOT / 'experiments').glob('*.py')))
def test_a_mixture_of_each_experiment(experiment):
  run = sweep.ordered(sweep.experiment(
      str(ROOT / f'experiments/{experiment}.py')).runs('cpu'))[0]
  name = f'physics_lm/{ours.mixture_name(experiment, run)}'
  mixture = seqio.MixtureRegistry.get(name)
  wanted = {k: t.weight for k, t in run.config.data.tasks.items() if t.weight}
  assert {t.name.rpartition('.')[2]: mixture.get_rate(t)
          for t in mixture.tasks} == wanted
  assert len(next(get(name))['targets']) > 1


def test_a_mixture_holds_to_its_rates(tiny):
  config = tiny({'data.tasks.bio.weight': 3.0, 'data.tasks.qa.weight': 1.0})
  name, *_ = ours.register('mixed', config)
  first = list(itertools.islice(
      seqio.get_mixture_or_task(name).get_dataset(
          {'targets': 512}, 'train', seed=1, num_epochs=None
      ).as_numpy_iterator(), 400))
  share = np.mean([len(e['targets']) > 30 for e in first])  # a biography
  assert 0.68 < share < 0.82
  # As a decoder's packed features.
  packed = next(seqio.get_dataset(
      name, {'targets': 160}, dataset_split='train',
      feature_converter=seqio.DecoderFeatureConverter(pack=True)
  ).as_numpy_iterator())
  assert packed['decoder_segment_ids'].max() > 1


def test_the_evaluator_scores_a_trained_run(trained_run):
  """seqio's figure is ours: exact answers by greedy decoding."""
  config = restore.run_config(trained_run)
  name, *_ = ours.register('trained', config)
  predict = ours.predictor(trained_run, batch=16, steps=16)
  for split, half in (('train', 'train'), ('validation', 'test')):
    for converter in (seqio.EncDecFeatureConverter(pack=False),
                      seqio.DecoderFeatureConverter(pack=False)):
      evaluator = seqio.Evaluator(
          f'{name}.qa_qa', feature_converter=converter, eval_split=split)
      metrics, _ = evaluator.evaluate(compute_metrics=True, predict_fn=predict)
      (found,) = metrics.result().values()
      wanted = accuracy(trained_run, half)
      assert found['n'] == 36
      assert found['exact'] == found['checked'] == pytest.approx(wanted)
  assert accuracy(trained_run, 'train') > 0.05


def test_experts_are_scored_with_the_room_of_an_evaluation(
    tmp_path, monkeypatch):
  folder = untrained(tmp_path / 'run', {'model.num_experts': 2})
  run, found = restore.load_run(folder), []
  monkeypatch.setattr(
      decode, 'greedy_decode', lambda params, cfg, prompts, *_: (
          found.append(cfg), [[] for _ in prompts])[1])
  dataset = seqio.EncDecFeatureConverter(pack=False)(
      seqio.get_mixture_or_task('physics_lm/bios_single_qa').get_dataset(
          {'inputs': 64, 'targets': 16}, 'validation', shuffle=False).take(1),
      {'inputs': 64, 'targets': 16}).enumerate()
  ours.predictor(folder)(dataset)
  trained = model_config(run.config, len(run.data.vocab))
  assert found == [eval_config(run.config, trained)]
  assert found[0] != trained


def foreign(folder, name='foreign_task', kind='ByteVocabulary(0)'):
  """A Task of somebody else's, in a file of theirs."""
  path = folder / 'their_tasks.py'
  path.write_text(f'''
import seqio, tensorflow as tf

def texts(split, shuffle_files, seed=None):
  words = ['alpha', 'beta', 'gamma', 'delta', 'epsilon']
  if split == 'validation':
    words = words[::-1]
  return tf.data.Dataset.from_tensor_slices({{
      'inputs': [w + '?' for w in words] * 20,
      'targets': [str(i) + w * (i % 4) for i, w in enumerate(words * 20)]}})

for name in ('{name}', '{name}_b'):
  if name in seqio.TaskRegistry.names():
    seqio.TaskRegistry.remove(name)
  vocab = seqio.{kind}
  seqio.TaskRegistry.add(
    name, seqio.FunctionDataSource(texts, ['train', 'validation']),
    preprocessors=[seqio.preprocessors.tokenize,
                   seqio.preprocessors.append_eos],
    output_features={{
        'inputs': seqio.Feature(vocab, add_eos=False),
        'targets': seqio.Feature(vocab, add_eos=True)}})
if '{name}_mix' not in seqio.MixtureRegistry.names():
  seqio.MixtureRegistry.add('{name}_mix', [('{name}', 1.0), ('{name}_b', 2.0)])
''')
  return str(path)


def config_of(folder, name, changes=None):
  return override(recipe.get_config(name).lock(), MODEL | {
      'data.module': foreign(folder), 'runtime.mesh.data': 1} | (changes or {}))


@pytest.mark.parametrize('name', ['foreign_task', 'foreign_task_mix'])
def test_rows_of_a_foreign_task(tmp_path, name):
  data = load_mixture(config_of(tmp_path, name, {'data.seq_len': 64}))
  assert data.vocab.kind == 'seqio' and len(data.vocab) == 259
  made = loader.stream(data, 0)
  flat = {k: [] for k in ('tokens', 'targets', 'weights')}
  for _ in range(30):
    row = next(made)
    assert (row['segments'] > 0).all()
    for k in flat:
      flat[k] += row[k].tolist()
  starts = [i for i, t in enumerate(flat['tokens']) if t == vocab.EOS]
  seen = set()
  for a, b in itertools.pairwise(starts):
    text = data.vocab.decode(flat['tokens'][a + 1:b])
    inputs, _, targets = text.partition('?')
    assert inputs in ('alpha', 'beta', 'gamma', 'delta', 'epsilon')
    seen.add(text)
    # Loss on the answer and the end that closes it, not on the question.
    weights = flat['weights'][a:b]
    assert weights == [0.0] * (len(inputs) + 1) + [1.0] * (len(targets) + 1)
    assert flat['targets'][b - 1] == vocab.EOS
  assert len(seen) > 15  # shuffled, not one and the same


def test_a_document_longer_than_a_row_is_whole():
  """Rows cut it where they end, and only where it ends does it end."""
  import tensorflow as tf

  def texts(split, shuffle_files, seed=None):
    return tf.data.Dataset.from_tensor_slices(
        {'targets': ['x' * 300, 'y' * 9]})

  def cut(ds, sequence_length):  # a preprocessor that wants a length
    return ds.map(lambda e: e | {
        'targets': e['targets'][:sequence_length['targets']]})

  both = [seqio.preprocessors.tokenize, seqio.preprocessors.append_eos]
  feature = seqio.Feature(seqio.ByteVocabulary(0), add_eos=True)
  for name, steps in (('long', both), ('long_cut', [*both, cut])):
    seqio.TaskRegistry.add(
        name, seqio.FunctionDataSource(texts, ['train']),
        {'targets': feature}, steps)
  seqio.MixtureRegistry.add('long_mix', [('long', 1.0)])
  for name, size, end in (('long', 300, 1.0), ('long_mix', 300, 1.0),
                          ('long_cut', 64, 0.0)):
    found = {len(e.ids) - 1: e.weights for e in itertools.islice(
        ours.Source(name, 64).documents('train'), 12)}
    assert found == {size: [1.0] * size + [end], 9: [1.0] * 10}


def test_hosts_shards_and_resuming(tmp_path):
  config = config_of(tmp_path, 'foreign_task_mix', {'data.shards': 2})
  data = load_mixture(config)
  whole, _ = batches(data, 1, 6)
  two, place = batches(data, 2, 3)
  later, _ = batches(data, 1, 3, 3, place)
  for a, b in zip(whole, [*two, *later]):
    assert all(np.array_equal(a[k], b[k]) for k in a)
  assert not np.array_equal(whole[0]['tokens'][0], whole[0]['tokens'][4])


def test_training_on_a_foreign_task_resumes_exactly(tmp_path, monkeypatch):
  config = config_of(tmp_path, 'foreign_task', {
      'steps': 12, 'checkpoint.every': 4, 'log.every': 4, 'model.depth': 1})
  train.run(config, tmp_path / 'whole')
  stopped_once(config, tmp_path / 'stopped', 6, monkeypatch)
  assert log(tmp_path / 'whole') == log(tmp_path / 'stopped')
  meta = run_dir.read_json(tmp_path / 'whole/meta.json')
  assert meta['vocab']['kind'] == 'seqio'
  _, evals = run_dir.results(tmp_path / 'whole')
  assert [r['task'] for r in evals['loss']] == ['source']


def test_our_own_task_through_seqio_and_back():
  """A world, out as a Task, in as a source: the same texts and tokens."""
  name = 'physics_lm/bios_single_qa'
  source = ours.Source(name, 96)
  one = next(source.documents('train'))
  inputs, targets = np.split(one.ids, [one.weights.index(1.0) + 1])
  assert inputs[0] == vocab.EOS
  text = source.vocab.decode([*inputs[1:].tolist(), *targets.tolist()])
  assert text.startswith(' W') and '? Answer:' in text and text.endswith('.')
  assert source.judged('train') == 'validation'


@pytest.mark.parametrize('changes,message', [
    ({'data.source': 'seqio:foreign_tsak'}, 'nearest: foreign_task'),
    ({'data.module': 'no.such.module'}, 'cannot be imported'),
    ({'data.module': 'nowhere.py'}, 'no data.module file')])
def test_unknown_names_and_modules(tmp_path, changes, message):
  with pytest.raises(BadInput, match=message):
    load_mixture(config_of(tmp_path, 'foreign_task', changes))


def test_without_seqio_one_clear_line(tmp_path):
  code = '''
import sys
sys.modules['seqio'] = None
from physics_lm import train
train.main(['train', '--config=configs/seqio.py:x', f'--workdir={sys.argv[1]}'])
'''
  done = subprocess.run([sys.executable, '-c', code, str(tmp_path / 'run')],
                        cwd=ROOT, capture_output=True, text=True)
  assert done.returncode == 2
  assert 'wanted pip install seqio' in done.stderr.splitlines()[-1]
