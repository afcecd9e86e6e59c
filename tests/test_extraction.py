"""Teacher-forced scores, knowledge extraction, and evaluation by command."""

import collections
import subprocess
import sys

import jax
import numpy as np
import pytest

from physics_lm import checkpoint, mixture, run_dir, train, vocab
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.evals import __main__ as command
from physics_lm.evals import extraction, teacher_forcing
from physics_lm.evals.records import find
from physics_lm.mixture import load_mixture
from physics_lm.model import decoder
from physics_lm.model.config import model_config
from physics_lm.worlds.biographies import ATTRIBUTES
from tests.compiled import forward, init
from tests.conftest import ROOT, TINY


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """(config, folder, params, cfg) of a run that knows some of its people."""
  config = override(default.get_config(), TINY | {
      'steps': 250, 'model.width': 32, 'runtime.mesh.data': 1,
      'log.every': 50, 'checkpoint.every': 250,
      'optim.learning_rate': 1e-2})
  folder = tmp_path_factory.mktemp('trained') / 'run'
  train.run(config, folder)
  cfg = model_config(config, len(load_mixture(config).vocab))
  params, step = checkpoint.load_params(folder, jax.eval_shape(
      lambda: decoder.init(cfg, jax.random.key(0))))
  assert step == 250
  return config, folder, params, cfg


@pytest.fixture
def evaluator(trained):
  config = trained[0]
  return extraction.build(config, load_mixture(config), config.evals.extraction)


def greedy(params, cfg, data, prompt, length):
  """Plain greedy decoding, recomputing everything at every token."""
  ids = list(prompt)
  while len(ids) < length:
    padded = np.zeros((1, data.seq_len), np.int32)
    padded[0, :len(ids)] = ids
    logits = np.asarray(forward(params, padded, cfg))
    ids.append(int(logits[0, len(ids) - 1].argmax()))
  return ids


def test_teacher_forced_exact_match_is_greedy_exact_match(trained):
  config, _, params, cfg = trained
  data = load_mixture(config)
  world = data.worlds['bios']
  examples = [world.example(f'qa_{split}', i) for split in ('train', 'test')
              for i in range(36)]
  packed, spans = teacher_forcing.pack(data, examples)
  _, correct = teacher_forcing.outcomes(params, packed, cfg, 8)
  compared = collections.Counter()
  for span in spans:
    example = examples[span.example]
    ids, _ = mixture.encode(data, example)
    (_, start, stop), = mixture.answer_spans(data, example)
    out = greedy(params, cfg, data, ids[:start + 1], stop + 1)
    answer = data.vocab.decode(out[start + 1:])
    forced = bool(correct[span.row, span.start:span.stop].all())
    assert world.check(example, answer).correct == forced, (
        example.text, answer)
    compared[forced] += 1
  assert compared[True] > 5 and compared[False] > 5


def test_nll_is_the_negative_log_probability(trained):
  config, _, params, cfg = trained
  data = load_mixture(config)
  packed, _ = teacher_forcing.pack(
      data, [data.worlds['bios'].example('bio', 0)])
  nll, correct = teacher_forcing.outcomes(params, packed, cfg, 4)
  logits = np.asarray(forward(
      params, packed['tokens'], cfg, packed['segments'],
      packed['positions']), np.float64)
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  wanted = -np.take_along_axis(log_p, packed['targets'][..., None], -1)[..., 0]
  used = packed['segments'] > 0
  np.testing.assert_allclose(nll[used], wanted[used], atol=1e-4)
  assert (correct[used] == (
      logits.argmax(-1) == packed['targets'])[used]).all()
  assert vocab.EOS in packed['targets'][used]


@pytest.mark.parametrize('changes', [{}, {'data.mlm_probability': 0.5}])
def test_no_example_sees_the_one_before(tiny, changes):
  """Also of a model whose training rows are one text each."""
  config = tiny({'data.intra_document_mask': False} | changes)
  data = load_mixture(config)
  cfg = teacher_forcing.evaluated_model(config, data)
  params, world = init(cfg, jax.random.key(0)), data.worlds['bios']
  last, losses = world.example('qa_test', 0), []
  for before in range(1, 3):
    packed, spans = teacher_forcing.pack(
        data, [world.example('bio', before), last])
    span, found = spans[-1], teacher_forcing.outcomes(params, packed, cfg, 4)
    losses.append(found[0][span.row, span.start:span.stop])
    assert span.row == 0  # they share a row
  np.testing.assert_allclose(*losses, rtol=1e-5)


def test_rows_are_means_of_raw_outcomes(trained, evaluator):
  _, folder, params, _ = trained
  found, raw = evaluator(params)
  # The loop and the evaluator of a finished run agree.
  assert found == run_dir.results(folder)[1]['extraction']
  accuracy = {}
  for split in ('train', 'test'):
    mine = [r for r in raw if (r['person_split'], r['text']) == (
        split, 'question')]
    assert len(mine) == 6 * 6
    where = {'person_split': split, 'text': 'question'}
    mean = find(found, 'accuracy', attribute='mean', **where)
    assert mean['value'] == pytest.approx(np.mean(
        [r['correct'] for r in mine]))
    assert mean['n'] == 6 and mean['low'] <= mean['value'] <= mean['high']
    accuracy[split] = mean['value']
    pooled = find(found, 'accuracy', attribute='sized', **where)
    assert pooled['value'] == np.mean([
        r['correct'] for r in mine if r['attribute'] in extraction.SIZED])
    for a in ATTRIBUTES:
      first, whole = (find(found, m, attribute=a, **where)['value']
                      for m in ('first_token_accuracy', 'accuracy'))
      assert first >= whole
    for name, group in extraction.MEANS.items():
      for metric in ('accuracy', 'majority_baseline'):
        assert find(found, metric, attribute=name, **where)['value'] == (
            pytest.approx(np.mean([find(found, metric, attribute=a, **where)[
                'value'] for a in group])))
  assert accuracy['train'] > accuracy['test']


def test_wordings_are_those_of_the_biography_and_all_others(trained):
  config, _, params, _ = trained
  config = override(config, {'worlds.bios.variant': 'multi2',
                             'evals.extraction.wordings': True})
  data = load_mixture(config)
  world = data.worlds['bios']
  evaluator = extraction.build(config, data, config.evals.extraction)
  texts = collections.defaultdict(set)
  for example, (_, text) in zip(evaluator.examples, evaluator.sources):
    if text.endswith('wording'):
      attribute, = [a for a, _ in example.answers]
      person = example.meta['person']
      texts[text, person, attribute].add(example.text)
      told = ''.join(world.biography(person, v).text for v in (0, 1))
      # All of the sentence after the subject, which is a pronoun there.
      words = example.text.removeprefix(''.join(world.name(person)))
      assert (words in told) == (text == 'own_wording'), (words, told)
  for person in range(12):
    for a in ATTRIBUTES:
      own = world.templates_of(person, a)
      assert len(texts['own_wording', person, a]) == 1
      assert len(texts['other_wording', person, a]) == 5 - len(own)
  rows = evaluator(params).rows
  for text in ('own_wording', 'other_wording'):
    assert find(rows, 'accuracy', text=text, person_split='train',
                attribute='mean')['n'] == 6


@pytest.mark.parametrize('value', [True, False])
def test_accuracy_is_one_or_zero_when_every_token_is(
    evaluator, monkeypatch, value):
  monkeypatch.setattr(
      teacher_forcing, 'outcomes', lambda p, packed, *_: (
          np.zeros(packed['tokens'].shape),
          np.full(packed['tokens'].shape, value)))
  found = evaluator(None).rows
  for metric in ('accuracy', 'first_token_accuracy'):
    for text in ('question', 'biography'):
      assert find(found, metric, person_split='test', text=text,
                  attribute='mean')['value'] == float(value)


def test_values_of_one_token_and_of_more_are_separate_rows(trained, evaluator):
  config, _, params, _ = trained
  data = load_mixture(config)
  world, by_size = data.worlds['bios'], collections.defaultdict(list)
  found, raw = evaluator(params)
  for r in raw:
    if (r['person_split'], r['text']) == ('test', 'question') and (
        r['attribute'] in extraction.SIZED):
      tokens = len(data.vocab.encode(world.value(r['person'], r['attribute'])))
      size = 'one' if tokens == 1 else 'more'
      for attribute in ('sized', r['attribute']):
        by_size[attribute, size].append(r['correct'])
  assert len(by_size) == 6
  for (attribute, size), correct in by_size.items():
    assert find(found, 'accuracy', person_split='test', text='question',
                attribute=attribute, value_tokens=size)[
                    'value'] == np.mean(correct)


def test_majority_baseline_is_the_best_constant_of_training_people(trained):
  world = load_mixture(trained[0]).worlds['bios']
  train_values = [world.value(p, 'major') for p in range(0, 12, 2)]
  constant = collections.Counter(train_values).most_common(1)[0][0]
  wanted = np.mean([world.value(p, 'major') == constant
                    for p in range(1, 12, 2)])
  assert extraction.majority_baseline(world, 'test', 'major', 1000) == wanted


@pytest.mark.devices
def test_a_run_of_eight_devices_is_evaluated_on_one(tiny, tmp_path):
  train.run(tiny({'steps': 2, 'optim.warmup_steps': 0, 'runtime.mesh.fsdp': 2}),
            tmp_path / 'run')
  done = subprocess.run(
      [sys.executable, '-m', 'physics_lm.evals', str(tmp_path / 'run'),
       '--eval=loss'], cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  run_dir.write_json(tmp_path / 'foreign' / 'config.json', {'a': 1})
  with pytest.raises(SystemExit):
    command.main([str(tmp_path / 'foreign')])


def test_command_on_a_finished_run_repeats_the_loops_rows(trained, capsys):
  _, folder, _, _ = trained
  before = run_dir.results(folder)
  command.main([str(folder), '--eval=extraction'])
  out = capsys.readouterr().out
  assert 'accuracy/test/question/mean' in out and '(n = 6)' in out
  assert before == run_dir.results(folder)
  with pytest.raises(SystemExit) as e:
    command.main([str(folder), '--eval=extracton'])
  assert e.value.code == 2
  assert 'nearest: extraction' in capsys.readouterr().err
