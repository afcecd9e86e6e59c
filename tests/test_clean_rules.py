"""Rules of cleaning: pages on both sides of each threshold; MinHash and
repeated spans against what they are by definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physics_lm import key_ranges
from physics_lm.clean import minhash, quality, repetition, stages, suffixes
from physics_lm.clean.__main__ import rules_of
from physics_lm.clean.pipeline import rule_names
from physics_lm.clean.words import text_hashes, tokens_of
from physics_lm.configs import clean as recipe
from physics_lm.errors import BadInput
from tests.test_key_ranges import numeric_keys

WORDS = ['the', 'of', *(f'word{i}' for i in range(58))]


def only(rule: str, **changes):
  """The rules with one section on, and keys of it changed."""
  return rules_of('configs/clean.py', rule, '', [
      f'--{rule}.{k}={v}' for k, v in changes.items()])


def verdict(text, rules, url=''):
  """The text that is left, and the rules that took something."""
  left, taken = quality.judge_page(text, url, rules)
  assert (left is None) == any(t.dropped for t in taken)
  return left, [t.rule for t in taken]


def lines(*parts, start=0):
  """Lines of six words each, with a part before and behind."""
  return '\n'.join(before + ' '.join(WORDS[6 * i:6 * i + 6]) + after
                   for i, (before, after) in enumerate(parts, start))


GOPHER = {  # key: (changes, a page at the limit, one beyond)
    'min_words': ({}, WORDS[:50], WORDS[:49]),
    'max_words': ({'max_words': 59}, WORDS[:59], WORDS),
    'min_word_length': ({}, ['of', 'to'] * 13 + ['four'] * 26,
                        ['of', 'to'] * 14 + ['four'] * 26),
    'max_word_length': ({}, ['that', 'have'] * 13 + ['x' * 16] * 26,
                        ['that', 'have'] * 13 + ['x' * 16] * 27),
    'max_hashes': ({}, ['#' + w for w in WORDS[:6]] + WORDS[:54],
                   ['#' + w for w in WORDS[:7]] + WORDS[:53]),
    'max_ellipses': ({}, [w + '...' for w in WORDS[:6]] + WORDS[:54],
                     [w + '\u2026' for w in WORDS[:7]] + WORDS[:53]),
    'max_bullet_lines': ({}, lines(('', ''), *9 * [('•', '')]),
                         lines(*10 * [('• ', '')])),
    'max_ellipsis_lines': ({}, lines(*3 * [('', '...')], *7 * [('', '')]),
                           lines(*4 * [('', '...')], *6 * [('', '')])),
    'min_alphabetic': ({}, WORDS[:48] + ['1234'] * 12,
                       WORDS[:47] + ['1234'] * 13),
    'min_stop_words': ({}, WORDS, ['the'] * 9 + WORDS[2:])}


@pytest.mark.parametrize('key', GOPHER)
def test_gopher_takes_a_page_beyond_the_limit_only(key):
  changes, at, beyond = GOPHER[key]
  at, beyond = (p if isinstance(p, str) else ' '.join(p) for p in (at, beyond))
  rules = only('gopher', **changes)
  assert verdict(at, rules) == (at, [])
  assert verdict(beyond, rules) == (None, [f'gopher.{key}'])
  off = only('exact')
  assert verdict(beyond, off) == (beyond, [])


def test_gopher_has_a_case_for_each_of_its_rules():
  assert [f'gopher.{k}' for k in GOPHER] == rule_names(only('gopher'))[1:]


LINE = 'This line has words.'
C4_LINES = {
    'end_punctuation': (['One more line!', 'She said "yes"', 'Why is it so?'],
                        ['No end here', 'It goes on and on...']),
    'min_line_words': (['Three words here.'], ['Two words.']),
    'max_word_length': (['It is ' + 'x' * 999 + '.'],
                        ['It is ' + 'x' * 1000 + '.']),
    'javascript': (['You need java script.'], ['Please enable JavaScript!']),
    'policy': (['We use cookie cutters.'], ['This site uses cookies today.',
                                            'Read our Privacy Policy now.'])}


@pytest.mark.parametrize('key', C4_LINES)
def test_c4_removes_lines_beyond_the_limit_only(key):
  kept, taken = C4_LINES[key]
  rules = only('c4', min_sentences=0)
  text = '\n'.join([LINE, *kept])
  assert verdict(text, rules) == (text, [])
  mixed = '\n'.join([LINE, *taken, *kept])
  assert verdict(mixed, rules) == (text, [f'c4.{key}'] * len(taken))
  assert verdict(taken[0], rules) == (None, [f'c4.{key}'])


def test_c4_removes_pages_by_sentences_and_marks():
  five = f'{LINE} {LINE}\n{LINE}\n\n{LINE} {LINE}'
  rules = only('c4')
  assert verdict(five, rules) == (five, [])
  assert verdict(five.replace(f'{LINE} ', '', 1), rules) == (
      None, ['c4.min_sentences'])
  for mark, key in (('Lorem ipsum', 'lorem_ipsum'), ('{', 'curly_bracket')):
    assert verdict(f'{five}\nHere is {mark} too.', rules) == (
        None, [f'c4.{key}'])
  free = only('c4', curly_bracket=False)
  assert verdict(five + ' {.', free)[1] == []


def repeated(n):
  """A page of words of four letters with one n-gram twice: characters that
  repeat, and the page."""
  words = [f'w{i:03}' for i in range(40)]
  return n * 5 - 1, ' '.join(words + words[7:7 + n])


REPETITION = {
    'max_lines': (3 / 10, '\n'.join(['same'] * 4 + list('abcdef'))),
    'max_paragraphs': (2 / 5, '\n\n'.join(['same'] * 3 + ['a', 'b\nc'])),
    'max_line_characters': (8 / 18, 'same\nsame\nabc\nsame'),
    'max_paragraph_characters': (4 / 14, 'same\n\nab\n\nsame'),
    **{f'top_{n}': ((15 * n - 1) / (15 * n + 4), ' '.join(
        ['aaaa bbbb cccc dddd'[:5 * n - 1]] * 3 + ['eeee']))
       for n in (2, 3, 4)},
    **{f'repeated_{n}': (repeated(n)[0] / len(repeated(n)[1]), repeated(n)[1])
       for n in range(5, 11)}}


@pytest.mark.parametrize('key', REPETITION)
def test_repetition_takes_a_page_above_the_limit_only(key):
  share, text = REPETITION[key]
  assert repetition.repetition_measures(text)[key] == pytest.approx(share)
  lax = {k: 1.0 for k in REPETITION}
  at = only('repetition', **lax | {key: math.nextafter(share, 1)})
  below = only('repetition', **lax | {key: share * 0.999})
  assert verdict(text, at) == (text, [])
  assert verdict(text, below) == (None, [f'repetition.{key}'])


def test_repetition_has_a_case_for_each_of_its_rules():
  assert set(repetition.repetition_measures('a b')) == set(REPETITION)
  assert repetition.repetition_measures('')['top_2'] == 0


def test_fineweb_takes_a_page_at_the_limit():
  rules = only('fineweb')
  long = 'a line of text that is longer than thirty characters, number'
  for marks, taken in ((3, ['fineweb.min_line_ends']), (4, [])):
    text = '\n'.join(f'{long} {i}{"." * (i < marks)}' for i in range(25))
    assert verdict(text, rules)[1] == taken
  for short, taken in ((67, ['fineweb.max_short_lines']), (66, [])):
    text = '\n'.join(f'{i:029}.' if i < short else f'{long} {i}.'
                     for i in range(100))
    assert verdict(text, rules)[1] == taken
  ten = [f'{i}' + 'x' * 38 + '.' for i in range(9)]
  assert verdict('\n'.join([*ten, ten[0]]), rules)[1] == [
      'fineweb.max_line_characters']
  assert verdict('\n'.join([*ten, 'y' * 31 + '.', ten[0]]), rules)[1] == []


def test_urls_are_judged_by_domain_and_word(tmp_path):
  (tmp_path / 'list').write_text('# bad ones\nbad.org\n')
  rules = only('url', blocked=tmp_path / 'list', words='casino,Spam')
  for url, taken in (
      ('https://bad.org/a', ['url.blocked']), ('www.BAD.org', ['url.blocked']),
      ('https://notbad.org/a', []), ('bad.org.uk', []), ('', []),
      ('http://[x', []), ('http://a.com/best-casino?x', ['url.words']),
      ('http://spam.net/', ['url.words']), ('http://spammer.net/', [])):
    assert verdict('text', rules, url)[1] == taken, url
  with pytest.raises(BadInput, match=r'url.blocked: .* cannot be'):
    verdict('text', only('url', blocked=tmp_path / 'none'), 'a.com')


def test_url_key_ignores_scheme_fragment_and_case_of_the_host():
  same = {stages.url_key(u) for u in (
      'http://A.com/x/', 'https://a.com/x#top', 'a.com/x')}
  assert same == {'a.com/x'}
  assert stages.url_key('a.com/X?b=1') == 'a.com/X?b=1'
  assert stages.url_key('') == ''


@pytest.mark.parametrize('jaccard,bands,rows', [
    (0.5, 20, 5), (0.8, 20, 5), (0.6, 14, 8), (0.8, 14, 8), (0.9, 5, 3)])
def test_candidate_rate_of_pairs_is_the_law(jaccard, bands, rows):
  rng, pairs, size = np.random.default_rng(1), 200, 90
  both = round(jaccard * size)
  found = 0
  for _ in range(pairs):
    x = rng.integers(0, 1 << 63, size, np.uint64)
    a, b = np.sort(x[:both + (size - both) // 2]), np.sort(np.concatenate(
        [x[:both], x[both + (size - both) // 2:]]))
    assert minhash.jaccard_index(a, b) == both / size
    keys = [minhash.band_keys(minhash.min_hashes(s, bands * rows), bands)
            for s in (a, b)]
    found += (keys[0] == keys[1]).any()
  p = minhash.candidate_rate(both / size, bands, rows)
  assert p == 1 - (1 - (both / size)**rows)**bands
  assert abs(found / pairs - p) < 4 * math.sqrt(p * (1 - p) / pairs) + 1e-9


def test_near_duplicates_are_verified_and_do_not_chain():
  words = [f'w{i}' for i in range(100)]

  def page(start):
    return minhash.shingles(' '.join(words[start:start + 60]), 1)

  sets = [page(s) for s in (0, 5, 10, 15)]  # neighbours: J = 55 / 65
  keys = np.zeros((4, 2), np.uint64)  # all are candidates
  found = list(minhash.near_duplicates(
      keys, np.ones(4, bool), sets.__getitem__, 0.8))
  # Page 2 resembles page 1, which is removed, and page 0 too little: it stays.
  assert [(a, b) for a, b, _ in found] == [(1, 0), (3, 2)]
  assert found[0][2] == 55 / 65
  assert not list(minhash.near_duplicates(
      keys, np.array([True, False, True, False]), sets.__getitem__, 0.8))


def test_shingles_are_of_words_in_lower_case():
  a, b = (minhash.shingles(t, 2) for t in ('One two  THREE', 'one Two three'))
  assert len(a) == 2 and np.array_equal(a, b)
  assert len(minhash.shingles('one', 5)) == 1 and not len(
      minhash.shingles('', 5))
  assert minhash.jaccard_index(*[minhash.shingles('', 5)] * 2) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=40), st.integers(1, 9))
def test_suffix_ranks_sort_suffixes_and_windows(tokens, m):
  array = np.array(tokens, np.int64)
  order = sorted(range(len(tokens)), key=lambda i: tokens[i:])
  assert np.argsort(suffixes.suffix_ranks(array)).tolist() == order
  windows = [tuple(tokens[i:i + m]) for i in range(len(tokens))]
  known = {w: r for r, w in enumerate(sorted(set(windows)))}
  assert suffixes.suffix_ranks(array, m).tolist() == [known[w] for w in windows]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), max_size=15), min_size=1,
                max_size=4), st.integers(2, 6))
def test_repeated_tokens_are_those_of_brute_force(pages, m):
  wanted, seen = [], set()
  for page in pages:
    marks = [False] * len(page)
    for i in range(len(page) - m + 1):
      window = tuple(page[i:i + m])
      if window in seen:
        marks[i:i + m] = [True] * m
      seen.add(window)
    wanted.append(marks)
  tokens, starts = suffixes.join_pages([np.array(p, np.uint64) for p in pages])
  found = suffixes.repeated_tokens(tokens, m)
  assert [found[s:s + len(p)].tolist() for s, p in zip(starts, pages)
          ] == wanted


def test_spans_are_cut_between_tokens():
  text = 'one two, three four. one two, three five'
  rules = only('substrings', min_tokens=3)
  stage = stages.STAGES[3]
  survey = stage.survey([{'text': text}, {'text': 'x-two, three-y'}], rules)
  (first, second), = stage.decide([survey], rules)
  assert np.flatnonzero(first).tolist() == [6, 7, 8, 9]
  outcomes = list(stage.apply(
      [{'text': text}, {'text': 'x-two, three-y'}], [first, second], rules))
  assert [o[0] for o in outcomes] == ['one two, three four.  five', 'x--y']
  # Words on both sides of a cut stay two.
  left = next(stage.apply([{'text': 'a-b'}], [np.array([False, True, False])],
                          rules))[0]
  assert left == 'a b' and len(tokens_of(left)) == 2


def test_divergences_are_those_of_the_definition():
  pages = ['a a b', 'a b b c', 'd']
  stage = stages.STAGES[4]
  survey = stage.survey([{'text': t} for t in pages], only('divergence'))
  found = stages.page_divergences(survey['flat'], survey['counts'],
                                  survey['edges'])
  corpus = ' '.join(pages).split()
  for text, kl in zip(pages, found):
    words = text.split()
    assert kl == pytest.approx(sum(
        words.count(w) / len(words) * math.log(
            words.count(w) / len(words) * len(corpus) / corpus.count(w))
        for w in set(words)))
  kept = stage.decide([survey], only('divergence', max_kl=1.0))
  assert list(kept[0]) == [2]  # log 8


def test_lines_are_counted_by_bucket():
  pages = [{'text': f'menu\npage {i}\n\nmenu2'} for i in range(8)]
  stage = stages.STAGES[2]

  def left(**changes):
    rules = only('lines', **changes)
    survey = stage.survey(pages, rules)
    return [o[0] for o in stage.apply(pages, stage.decide(
        [survey], rules)[0], rules)]

  assert left(max_count=8) == [p['text'] for p in pages]
  assert left(max_count=7)[3] == 'page 3'
  halves = left(max_count=4, bucket=5)
  assert halves[4] == 'page 4' and halves[5] == pages[5]['text']


def test_rules_state_a_range_for_every_number():
  rules = recipe.get_config()
  stated = key_ranges.known_ranges('clean')
  keys = [*numeric_keys(rules), *(f'{r}.{k}' for r in recipe.RULES
                                  for k in numeric_keys(rules[r]))]
  assert len(keys) > 40 and not set(keys) - stated.keys()
  key_ranges.check_ranges(rules)
  with pytest.raises(BadInput, match=r'near.min_jaccard is 1.5, wanted \(0, 1'):
    only('near', min_jaccard=1.5)
  with pytest.raises(ValueError, match='wanted one of web'):
    recipe.get_config('strict')


def test_hashes_are_the_same_in_every_process():
  assert text_hashes(['', 'word']).tolist() == [
      16476032584258269876, 5378651625018068629]
