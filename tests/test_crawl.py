"""Pages with planted dirt: what each class is, and what cleaning does to it."""

import json
import math
import re

import numpy as np
import pytest

from physics_lm import text_files, vocab
from physics_lm.clean import minhash, pipeline
from physics_lm.clean.__main__ import rules_of
from physics_lm.clean.stages import clean_pages
from physics_lm.config import override
from physics_lm.configs import crawl as recipe
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.worlds import crawl


def world(seed=3, **changes):
  config = default.crawl().lock()
  return crawl.make(override(config, {'people': 40, 'pages': 3} | changes),
                    seed)


@pytest.fixture(scope='module')
def pages():
  """Records of a small world."""
  return world().records()


def test_pages_are_of_every_class_and_pure(pages):
  labels = [p['label'] for p in pages]
  assert set(labels) == set(crawl.LABELS) and labels[0] == 'clean'
  assert len(pages) == round(40 * 3 / 0.65)
  assert labels.count('clean') / len(pages) == pytest.approx(0.65, abs=0.12)
  again = world()
  assert [again.page(i) for i in (130, 3)] == [pages[130], pages[3]]
  assert world(seed=4).page(3) != pages[3]
  with pytest.raises(IndexError):
    again.page(len(pages))


def test_dirt_is_what_its_class_names(pages):
  for i, p in enumerate(pages):
    source = pages[p['source']] if p['source'] is not None else None
    if p['label'] in ('exact', 'near', 'url'):
      assert source['label'] == 'clean' and p['source'] < i
      assert source['person'] == p['person']
      if p['label'] != 'near':  # which may have no change, by chance
        assert (source['text'] == p['text']) == (p['label'] == 'exact')
      same = p['url'] == source['url']
      assert same == (p['label'] == 'url')
      assert not same or p['date'] < source['date']
    else:
      assert source is None
    assert (p['text'].split('\n')[0] in crawl.BOILERPLATE) == (
        p['label'] == 'boilerplate')


def test_near_twins_have_the_jaccard_index_of_their_changes():
  w = world(people=60, pages=6, dirt=0.6, changed=0.1)
  found = []
  for i in range(w.total):
    if w.label(i) == 'near':
      page = w.page(i)
      found.append(minhash.jaccard_index(*(minhash.shingles(t, 3) for t in (
          page['text'], w.page(page['source'])['text']))))
  q = 0.9**3
  error = np.std(found) / math.sqrt(len(found))
  assert len(found) > 40
  assert abs(np.mean(found) - q / (2 - q)) < 4 * error + 0.01


def test_checker_gives_its_reason(pages):
  w = world()
  for p in pages[:60]:
    verdict = w.check(w.as_example(p, p['text']), p['text'])
    assert verdict.correct == (p['label'] in ('clean', 'exact', 'url')), p
    assert verdict.reason
  clean = w.as_example(pages[0], pages[0]['text'])
  for text, reason in ((clean.text[:-1], 'wanted a full stop'),
                       (clean.text[:-1] + ' z.', 'symbols other'),
                       (clean.text.replace(crawl.STRING_INTRO, ''), 'no line')):
    assert reason in w.check(clean, text).reason


def test_keep_leaves_pages_by_label_or_by_rule():
  every, labels, rules = (world(keep=k) for k in crawl.KEEP)
  assert every.size('pages') == every.total
  kept = [labels.example('pages', i) for i in range(labels.size('pages'))]
  assert {e.meta['label'] for e in kept} == {'clean', 'boilerplate'}
  assert not any('newsletter' in e.text for e in kept)
  left = [rules.example('pages', i) for i in range(rules.size('pages'))]
  assert labels.size('pages') <= len(left) < every.total
  assert all(labels.check(e, e.text).correct for e in kept)
  with pytest.raises(BadInput, match="keep is 'some', wanted one of all"):
    world(keep='some')
  with pytest.raises(BadInput, match=r'min_jaccard is 0.0, wanted \(0, 1\]'):
    world(min_jaccard=0.0)


def test_vocabulary_is_closed(pages):
  w = world()
  words = vocab.make_vocab('word', w.pieces())
  for p in pages:
    words.encode(w.as_example(p, p['text']).text)


def test_rules_find_their_class(pages):
  """Exact twins, older URLs and repetition all; near twins as often as
  MinHash's law has it; of clean pages none."""
  w = world()
  labels = [p['label'] for p in pages]
  rows = {(r['rule'], r['label']): r for r in crawl.confusion(
      labels, w.cleaned()[1])}
  for rule, label in (('exact', 'exact'), ('url.newest', 'url'),
                      ('all', 'repeated'), ('all', 'symbols')):
    row = rows[rule, label]
    assert row['removed'] == row['pages'] == labels.count(label) > 2
  assert rows['all', 'clean']['removed'] == 0
  assert rows['lines', 'boilerplate']['changed'] == labels.count('boilerplate')
  assert sum(r['removed'] for (rule, _), r in rows.items() if rule == 'all'
             ) == sum(t is None for t in w.cleaned()[0])


def test_near_rule_has_the_recall_of_its_law():
  w = world(people=100, pages=5, dirt=0.5, changed=0.02)
  pages = w.records()
  rules = rules_of('configs/clean.py', 'near', '', [])
  _, log = clean_pages(pages, rules)
  removed = {i for i, _ in log}
  rates = []
  for i, p in enumerate(pages):
    if p['label'] == 'near':
      j = minhash.jaccard_index(*(minhash.shingles(t, 5) for t in (
          p['text'], pages[p['source']]['text'])))
      if j >= 0.8:
        rates.append((minhash.candidate_rate(j, 14, 8), i in removed))
  rates, found = np.array(rates).T
  assert len(rates) > 20
  assert abs(found.sum() - rates.sum()) < 4 * math.sqrt(
      (rates * (1 - rates)).sum()) + 1


def test_command_leaves_what_cleaning_in_memory_leaves(tmp_path, pages):
  text_files.write_texts(tmp_path / 'a.jsonl', pages)
  rules = rules_of('configs/clean.py', '', '', [])
  files = pipeline.make_plan([str(tmp_path / 'a.jsonl')], tmp_path / 'out',
                             rules)
  report = pipeline.clean_files(files, tmp_path / 'out', rules)
  kept = [json.loads(s) for s in (tmp_path / 'out/a.jsonl').open()]
  left, log = clean_pages(pages, rules)
  assert [r['text'] for r in kept] == [t for t in left if t is not None]
  assert [int(re.search(r':(\d+)', r['origin'])[1]) for r in kept] == [
      i for i, t in enumerate(left) if t is not None]
  for rule, row in report['rules'].items():
    took = [t for _, t in log if t.rule == rule]
    assert row['tokens'] == sum(t.tokens for t in took)
    assert row['removed'] == sum(t.dropped for t in took)


def test_evaluation_counts_what_is_taken_and_what_is_memorised(monkeypatch):
  from physics_lm import mixture
  from physics_lm.config import load_config
  from physics_lm.evals import cleaning, records, teacher_forcing
  config = override(load_config('configs/crawl.py:rules'), recipe.people(20) | {
      'evals.cleaning.people': 4})
  data = mixture.load_mixture(config)
  evaluator = cleaning.build(config, data, config.evals.cleaning)
  spans = evaluator.spans
  assert len(spans) == len(evaluator.examples) > 12
  for span, example in zip(spans, evaluator.examples):
    ids = evaluator.packed['targets'][span.row, span.start:span.stop]
    assert data.vocab.decode(ids) == ' ' + ' '.join(
        example.text.split()[-cleaning.SPAN:])

  def outcomes(params, packed, cfg, batch):
    correct = np.ones(packed['targets'].shape, bool)
    for span in spans[1:]:  # the first page is memorised
      correct[span.row, span.stop - 1] = False
    return np.arange(correct.size).reshape(correct.shape), correct

  monkeypatch.setattr(teacher_forcing, 'outcomes', outcomes)
  rows, raw = evaluator({})
  assert [r['memorised'] for r in raw] == [True] + [False] * (len(spans) - 1)
  assert records.find(rows, 'memorised', label='clean')['value'] == 1 / 4
  first, width = spans[0], evaluator.packed['targets'].shape[1]
  middle = (first.start + first.stop - 1) / 2
  assert raw[0]['loss'] == first.row * width + middle
  assert records.find(rows, 'span_loss', label='clean')[
      'value'] == pytest.approx(np.mean([
          r['loss'] for r in raw if r['label'] == 'clean']))
  assert records.find(rows, 'removed', label='exact', rule='exact')[
      'value'] == 1
  assert records.find(rows, 'removed', label='clean')['n'] > 50
  with pytest.raises(BadInput, match="world 'bios', wanted one of kind"):
    cleaning.build(config, data, override(
        config, {'evals.cleaning.world': 'bios'}).evals.cleaning)
