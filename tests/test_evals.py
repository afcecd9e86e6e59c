"""Evaluations judge what they say they judge."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm import checkpoint, model, rows, shape, store, train, vocab
from physics_lm.evals import __main__ as evals_main
from physics_lm.evals import extraction, scoring
from physics_lm.worlds.biographies import ATTRIBUTES


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """(config, folder, params, shape) of a run that half knows its people."""
  from configs import default
  from physics_lm import cli
  from tests.conftest import TINY
  config = cli.override(default.get_config(), TINY | {
      'steps': 250, 'model.width': 32, 'runtime.mesh.data': 1,
      'log.every': 50, 'checkpoint.every': 250,
      'optim.learning_rate': 1e-2})
  folder = tmp_path_factory.mktemp('trained') / 'run'
  train.run(config, folder)
  cfg = shape.make(config, len(rows.load(config).vocab))
  params, step = checkpoint.load_params(folder, jax.eval_shape(
      lambda: model.init(cfg, jax.random.key(0))))
  assert step == 250
  return config, folder, params, cfg


def greedy(params, cfg, data, prompt, length):
  """Plain greedy decoding, recomputing everything at every token."""
  ids = list(prompt)
  step = jax.jit(lambda t: model.forward(params, t, cfg))
  while len(ids) < length:
    padded = np.zeros((1, data.length), np.int32)
    padded[0, :len(ids)] = ids
    ids.append(int(step(jnp.asarray(padded))[0, len(ids) - 1].argmax()))
  return ids


def test_teacher_forced_exact_match_is_greedy_exact_match(trained):
  config, _, params, cfg = trained
  data = rows.load(config)
  world = data.worlds['bios']
  examples = [world.example(f'qa_{half}', i) for half in ('train', 'test')
              for i in range(36)]
  packed, spans = scoring.pack(data, examples)
  _, right = scoring.outcomes(params, packed, cfg, 8)
  seen = collections.Counter()
  for span in spans:
    example = examples[span.example]
    ids, _ = rows.encode(data, example)
    (_, start, stop), = rows.answer_spans(data, example)
    out = greedy(params, cfg, data, ids[:start + 1], stop + 1)
    answer = data.vocab.decode(out[start + 1:])
    verdict = world.check(example, answer)
    forced = bool(right[span.row, span.start:span.stop].all())
    assert verdict.correct == forced, (example.text, answer)
    seen[forced] += 1
  assert seen[True] > 5 and seen[False] > 5  # both kinds were compared


def test_extraction_counts_by_half_and_attribute(trained):
  config, folder, params, cfg = trained
  metrics, raw = extraction.run(params, config, config.evals.extraction, cfg)
  assert metrics == {k.removeprefix('extraction/'): v for k, v in
                     store.results(folder).items()
                     if k.startswith('extraction/')}
  for half in ('train', 'test'):
    mine = [r for r in raw if r['half'] == half and r['text'] == 'question']
    assert len(mine) == 6 * 6
    assert metrics[f'exact/{half}'] == pytest.approx(
        np.mean([r['exact'] for r in mine]))
    for a in ATTRIBUTES:
      assert metrics[f'first/{half}/{a}'] >= metrics[f'exact/{half}/{a}']
  assert metrics['exact/train'] > metrics['exact/test']


def test_a_model_that_knows_nothing_scores_nothing_and_a_perfect_one_all(
    trained, monkeypatch):
  config, _, params, cfg = trained
  for value in (True, False):
    monkeypatch.setattr(scoring, 'outcomes', lambda p, packed, *_, v=value: (
        np.zeros(packed['tokens'].shape), np.full(packed['tokens'].shape, v)))
    metrics, _ = extraction.run(params, config, config.evals.extraction, cfg)
    for name in ('exact', 'first', 'bio_exact', 'bio_first'):
      assert metrics[f'{name}/test'] == float(value)


def test_majority_is_a_constant_guess(trained):
  data = rows.load(trained[0])
  world = data.worlds['bios']
  train_values = [world.value(p, 'major') for p in range(0, 12, 2)]
  guess = collections.Counter(train_values).most_common(1)[0][0]
  wanted = np.mean([world.value(p, 'major') == guess
                    for p in range(1, 12, 2)])
  assert extraction.majority(world, 'test', 'major', 1000) == wanted


def test_nll_is_the_log_probability(trained):
  config, _, params, cfg = trained
  data = rows.load(config)
  packed, _ = scoring.pack(data, [data.worlds['bios'].example('bio', 0)])
  nll, right = scoring.outcomes(params, packed, cfg, 4)
  logits = np.asarray(model.forward(
      params, packed['tokens'], cfg, packed['segments'],
      packed['positions']), np.float64)
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  wanted = -np.take_along_axis(log_p, packed['targets'][..., None], -1)[..., 0]
  used = packed['segments'] > 0
  np.testing.assert_allclose(nll[used], wanted[used], atol=1e-4)
  assert (right[used] == (logits.argmax(-1) == packed['targets'])[used]).all()
  assert vocab.EOS in packed['targets'][used]


def test_a_run_of_eight_devices_is_judged_on_one(tiny, tmp_path):
  import subprocess
  import sys

  from tests.conftest import ROOT
  train.run(tiny({'steps': 2, 'optim.warmup': 0, 'runtime.mesh.fsdp': 2}),
            tmp_path / 'run')
  done = subprocess.run(
      [sys.executable, '-m', 'physics_lm.evals', str(tmp_path / 'run'),
       '--eval=loss'], cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  store.write_json(tmp_path / 'foreign' / 'config.json', {'a': 1})
  with pytest.raises(SystemExit):
    evals_main.main([str(tmp_path / 'foreign')])


def test_command_on_a_finished_run_repeats_the_loops_figures(trained, capsys):
  _, folder, _, _ = trained
  before = store.results(folder)
  evals_main.main([str(folder), '--eval=extraction'])
  assert 'exact/test' in capsys.readouterr().out
  after = store.results(folder)
  assert before == after
  with pytest.raises(SystemExit) as e:
    evals_main.main([str(folder), '--eval=extracton'])
  assert e.value.code == 2
  assert 'nearest: extraction' in capsys.readouterr().err


def test_interval_takes_people_as_the_unit():
  """Six answers of one person that go together tell no more than one."""
  rng = np.random.default_rng(1)
  known = rng.random(100) < 0.4
  alone = scoring.interval(np.arange(100), known)
  six = scoring.interval(np.repeat(np.arange(100), 6), np.repeat(known, 6))
  assert six == pytest.approx(alone)
  half = 1.96 * np.sqrt(known.mean() * (1 - known.mean()) / 100)
  assert (six[1] - six[0]) / 2 == pytest.approx(half, rel=0.1)
  assert np.mean(six) == pytest.approx(known.mean(), abs=0.02)
  uneven = scoring.interval([0] * 90 + [1] * 10, [True] * 90 + [False] * 10)
  assert uneven == (0, 1)  # only two people were asked
  # Ninety questions of one kind count for no more than ten of another.
  people, right = np.arange(100), np.arange(100) < 90
  kinds = np.repeat(['much', 'little'], (90, 10))
  even = scoring.interval(people, right, kinds)
  assert even == pytest.approx((0.5, 0.5))
  assert scoring.interval(people, right)[0] > 0.8


def test_values_of_one_word_and_of_more_are_told_apart(trained):
  config, _, params, cfg = trained
  data = rows.load(config)
  metrics, raw = extraction.run(params, config, config.evals.extraction, cfg)
  world, found = data.worlds['bios'], collections.defaultdict(list)
  for r in raw:
    if (r['half'], r['text']) == ('test', 'question'):
      words = len(data.vocab.encode(
          world.value(r['person'], r['attribute'])))
      found[r['attribute'], 'one_word' if words == 1 else 'more_words'].append(
          r['exact'])
  for (attribute, size), exact in found.items():
    assert metrics[f'exact/test/{attribute}/{size}'] == np.mean(exact)
  means = {k: np.mean(v) for k, v in found.items()}
  assert any(means[a, 'one_word'] != means[a, 'more_words']
             for a in ATTRIBUTES if (a, 'one_word') in means
             and (a, 'more_words') in means)
