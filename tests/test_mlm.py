"""A masked language model: what it sees, what it tells, how it is judged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm import mixture, vocab
from physics_lm.config import plain_config, run_id
from physics_lm.errors import BadInput
from physics_lm.evals import extraction, registry
from physics_lm.mixture import load_mixture
from physics_lm.model import decode, decoder
from physics_lm.model.config import model_config
from tests.compiled import init

V = 50


def masked(tiny, changes=None):
  return tiny({'data.mlm_probability': 0.15} | (changes or {}))


@pytest.mark.parametrize('isolate', [True, False])
def test_mlm_attends_to_both_sides_of_its_segment_only(tiny, isolate):
  """By gradient: the logits at a token feel every embedding of its segment,
  on its right as well, none of another's and none of padding."""
  cfg = model_config(masked(tiny, {'data.intra_document_mask': isolate}), V)
  params = init(cfg, jax.random.key(0))
  ids = jnp.arange(16)[None] + 3  # every token once, so rows = positions
  segments = jnp.array([[1] * 6 + [2] * 7 + [0] * 3])
  positions = jnp.array([[*range(6), *range(7), 0, 0, 0]])

  @jax.jit
  def gradient(params, at):
    return jax.grad(value)(params['ends']['embedding'], at)

  def value(table, at):
    ends = params['ends'] | {'embedding': table}
    return decoder.forward({'ends': ends, 'layers': params['layers']}, ids, cfg,
                         segments, positions)[0, at, 40]

  for at, (start, stop) in ((0, (0, 6)), (3, (0, 6)), (8, (6, 13))):
    grad = gradient(params, at)
    felt = np.abs(np.asarray(grad)[3:19]).max(-1) > 0
    assert felt.tolist() == [start <= i < stop for i in range(16)]


def test_mlm_has_loss_on_predicted_words_only(tiny):
  data, plain = load_mixture(masked(tiny)), load_mixture(tiny())
  counts = np.zeros(4)  # words; told; of those hidden, as they are
  for i in range(300):
    row, same = mixture.packed_row(data, i), mixture.packed_row(plain, i)
    np.testing.assert_array_equal(row['targets'], same['targets'])
    told = row['weights'] > 0
    assert set(row['weights']) <= {0, 1}
    word = (row['segments'] > 0) & (row['targets'] != vocab.EOS)
    assert not told[~word].any()
    # What is not asked for is read as it is, in its own place.
    np.testing.assert_array_equal(row['tokens'][~told], row['targets'][~told])
    counts += (word.sum(), told.sum(), (row['tokens'][told] == vocab.PAD).sum(),
               (row['tokens'][told] == row['targets'][told]).sum())
  assert abs(counts[1] / counts[0] - 0.15) < 0.01
  assert abs(counts[2] / counts[1] - 0.8) < 0.03
  assert abs(counts[3] / counts[1] - 0.1) < 0.03
  one, again = (mixture.packed_row(data, 7) for _ in range(2))
  assert all((again[k] == v).all() for k, v in one.items())


def test_mlm_masks_the_complete_answer_and_nothing_else(tiny):
  config = masked(tiny, {'data.tasks.bio.weight': 0.0,
                         'data.tasks.qa.loss': 'answers'})
  data = load_mixture(config)
  answers = {world.example('qa_train', i).pieces[-1]
             for world in data.worlds.values()
             for i in range(world.size('qa_train'))}
  for i in range(5):
    row = mixture.packed_row(data, i)
    told = row['weights'] > 0
    assert (row['tokens'][told] == vocab.PAD).all()
    for segment in range(1, row['segments'].max() + 1):
      at = row['segments'] == segment
      assert data.vocab.decode(row['targets'][at & told]) in answers
      assert vocab.PAD not in row['tokens'][at & ~told]


def test_mlm_is_evaluated_on_masked_answers(tiny):
  """Answers are hidden whole, in texts one at a time; what stands there does
  not change what is told."""
  config = masked(tiny)
  data = load_mixture(config)
  evaluator = extraction.build(config, data, config.evals.extraction)
  examples, packed, spans = (evaluator.examples, evaluator.packed,
                             evaluator.spans)
  hidden = packed['tokens'] != packed['targets']
  assert len(examples) == len(evaluator.sources) == len(spans) == 12 * 12
  told = np.zeros_like(hidden)
  for s in spans:
    at = slice(s.start, s.stop)
    assert (packed['tokens'][s.row, at] == vocab.PAD).all()
    text = data.vocab.decode(packed['targets'][s.row, at])
    assert text == examples[s.example].pieces[examples[s.example].answers[0][1]]
    told[s.row, at] = True
  np.testing.assert_array_equal(hidden, told)


def test_mlm_changes_the_run_id_and_refuses_bad_input(tiny):
  plain = plain_config(tiny())
  config = masked(tiny)
  assert run_id(plain_config(config)) != run_id(plain)
  cfg = model_config(config, V)
  with pytest.raises(BadInput, match='generates no text'):
    decode.greedy_decode(None, cfg, [[1, 2]], 3)
  with pytest.raises(BadInput,
                     match=r'mlm_probability is 1.0, wanted \[0, 1\)'):
    load_mixture(masked(tiny, {'data.mlm_probability': 1.0}))
  with pytest.raises(BadInput, match="wanted extraction or loss"):
    registry.check_evals(masked(tiny, {'evals.loss.kind': 'knowledge_bits'}))
