"""The stages of cleaning: one page alone, duplicates, lines, spans, tokens.

A stage surveys each file (arrays of numbers, kept on disk), decides over all
surveys, and then goes through each file again. `survey` and `apply` see one
file at a time, so that a stage that was killed goes on with the next file; a
survey is about as large as the text. No JAX.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from physics_lm.clean import minhash, suffixes
from physics_lm.clean.quality import Taken, judge_page, remove_lines
from physics_lm.clean.words import (
  lines_of,
  shortened,
  text_hash,
  text_hashes,
  token_count,
  token_spans,
  tokens_of,
)

Survey = dict[str, np.ndarray]
Outcome = tuple[str | None, list[Taken]]  # text that is left, what was taken


class Stage(NamedTuple):
  """A stage; see the module's docstring.

  `survey(pages, rules)` returns the arrays of a file; `decide(surveys, rules)`
  a decision for each file; `apply(pages, decision, rules)` an Outcome for each
  page. A page is the record that is written, a dict. `rules`: the sections of
  the config that switch the stage on."""

  name: str
  rules: tuple[str, ...]
  survey: Callable[[Iterable[dict], ConfigDict], Survey] | None
  decide: Callable[[Sequence[Survey], ConfigDict], list] | None
  apply: Callable[[Iterable[dict], Any, ConfigDict], Iterator[Outcome]]


def is_on(stage: Stage, rules: ConfigDict) -> bool:
  """Whether some rule of the stage is on. The first stage also removes pages
  without text and is always on."""
  return stage is STAGES[0] or any(rules[r].on for r in stage.rules)


def ragged(rows: Sequence[np.ndarray], dtype: type = np.uint64) -> Survey:
  """Rows of different lengths as one array and its edges [rows + 1]."""
  edges = np.cumsum([0, *map(len, rows)])
  flat = np.concatenate([*rows, np.zeros(0, dtype)]).astype(dtype, copy=False)
  return {'flat': flat, 'edges': edges}


def rows_of(survey: Survey) -> list[np.ndarray]:
  """The rows that `ragged` joined."""
  return np.split(survey['flat'], survey['edges'][1:-1]) if (
      len(survey['edges']) > 1) else []


def _per_file(values: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
  return np.split(values, np.cumsum(sizes)[:-1])


def _judge(pages, decision, rules) -> Iterator[Outcome]:
  for page in pages:
    yield judge_page(page[rules.field], _text_of(page, rules.url_field), rules)


def _text_of(page: dict, field: str) -> str:
  value = page.get(field)
  return '' if value is None else str(value)


# Equal URLs, equal pages, near duplicates.


def url_key(url: str) -> str:
  """A URL without its scheme, fragment and last slash; '' of none."""
  url = url.strip().partition('#')[0]
  host, slash, rest = url.partition('://')[2 if '://' in url else 0].partition(
      '/')
  return (host.lower() + slash + rest).rstrip('/')


def _survey_duplicates(pages, rules) -> Survey:
  near, urls, dates, texts, sets = rules.near, [], [], [], []
  signatures = []
  for page in pages:
    urls.append(url_key(_text_of(page, rules.url_field)))
    dates.append(_text_of(page, rules.date_field)[:32])  # one width for all
    texts.append(text_hash(page[rules.field].strip()))
    if near.on:
      sets.append(minhash.shingles(page[rules.field], near.shingle))
      signatures.append(minhash.min_hashes(sets[-1], near.bands * near.rows))
  out = {'url': np.array([text_hash(u) if u else 0 for u in urls], np.uint64),
         'date': np.array(dates or [''], np.str_)[:len(dates)],
         'text': np.array(texts, np.uint64)}
  if near.on:
    keys = np.array(signatures, np.uint64).reshape(
        len(signatures), near.bands * near.rows)
    out |= ragged(sets) | {'keys': minhash.band_keys(keys, near.bands)}
  return out


class Removal(NamedTuple):
  """Why a page is removed as a duplicate."""

  rule: str
  why: str


def _decide_duplicates(surveys, rules) -> list[dict[int, Removal]]:
  """{page: Removal} of each file."""
  sizes = [len(s['text']) for s in surveys]
  starts, total = np.cumsum([0, *sizes]), sum(sizes)
  names = [(f, i) for f, n in enumerate(sizes) for i in range(n)]
  out: list[dict[int, Removal]] = [{} for _ in surveys]
  alive = np.ones(total, bool)

  def remove(page: int, rule: str, why: str):
    file, index = names[page]
    out[file][index] = Removal(rule, why)
    alive[page] = False

  joined = {k: np.concatenate([s[k] for s in surveys])
            for k in ('url', 'date', 'text')}
  if rules.url.on and rules.url.newest:
    for page in _repeats(joined['url'], alive & (joined['url'] != 0),
                         joined['date']):
      remove(page, 'url.newest', 'a newer page of the URL, or as new')
  if rules.exact.on:
    for page in _repeats(joined['text'], alive):
      remove(page, 'exact', 'equals an earlier page')
  if rules.near.on:
    sets = _Sets([rows_of(s) for s in surveys], starts)
    keys = np.concatenate([s['keys'] for s in surveys])
    for page, _, jaccard in minhash.near_duplicates(
        keys, alive.copy(), sets, rules.near.min_jaccard):
      remove(page, 'near', f'Jaccard {jaccard:.3f} with an earlier page')
  return out


class _Sets:
  """The shingles of a page by its index over all files."""

  def __init__(self, rows: list[list[np.ndarray]], starts: np.ndarray):
    self._rows, self._starts = rows, starts

  def __call__(self, page: int) -> np.ndarray:
    file = int(np.searchsorted(self._starts, page, 'right')) - 1
    return self._rows[file][page - self._starts[file]]


def _repeats(keys: np.ndarray, alive: np.ndarray,
             order: np.ndarray | None = None) -> list[int]:
  """Pages whose key another page has too: of each key all but one, which is the
  first, or the first with the greatest `order`."""
  pages = np.flatnonzero(alive)
  _, inverse = np.unique(keys[pages], return_inverse=True)
  best: dict[int, int] = {}
  for page, key in zip(pages.tolist(), inverse.tolist()):
    if key not in best or (
        order is not None and order[page] > order[best[key]]):
      best[key] = page
  kept = set(best.values())
  return [p for p in pages.tolist() if p not in kept]


def _remove_pages(pages, decision, rules) -> Iterator[Outcome]:
  for index, page in enumerate(pages):
    text = page[rules.field]
    if index in decision:
      rule, why = decision[index]
      yield None, [Taken(rule, token_count(text),
                         f'{why}: {shortened(text)}', True)]
    else:
      yield text, []


# Lines that many pages have.


def _survey_lines(pages, rules) -> Survey:
  return ragged([text_hashes(lines_of(p[rules.field])) for p in pages])


def _decide_lines(surveys, rules) -> list[list[frozenset[int]]]:
  """For each file, the hashes of the lines to remove from each of its pages."""
  rows = [row for s in surveys for row in rows_of(s)]
  found: list[frozenset[int]] = []
  for i in range(0, len(rows), rules.lines.bucket):
    part = rows[i:i + rules.lines.bucket]
    lines, count = np.unique(np.concatenate(part), return_counts=True)
    frequent = frozenset(lines[count > rules.lines.max_count].tolist())
    found += [frequent] * len(part)
  sizes = np.cumsum([0, *(len(s['edges']) - 1 for s in surveys)])
  return [found[a:b] for a, b in itertools.pairwise(sizes)]


def _line_fault(line: str, frequent: frozenset[int]) -> str | None:
  return 'lines' if text_hash(line) in frequent else None


def _remove_frequent_lines(pages, decision, rules) -> Iterator[Outcome]:
  for page, frequent in zip(pages, decision):
    text, faults = remove_lines(page[rules.field], functools.partial(
        _line_fault, frequent=frequent))
    yield _rest(text, [Taken('lines', token_count(line), shortened(line), False)
                       for _, line in faults])


def _rest(text: str, taken: list[Taken]) -> Outcome:
  """A text of which parts were taken; the last took the page when no text is
  left."""
  if text.strip() or not taken:
    return text, taken
  return None, [*taken[:-1], taken[-1]._replace(dropped=True)]


# Exact repeated spans.


def _survey_tokens(pages, rules) -> Survey:
  return ragged([text_hashes(tokens_of(p[rules.field])) for p in pages])


def _decide_spans(surveys, rules) -> list[list[np.ndarray]]:
  """For each file, [tokens] bool of each page: the tokens to remove."""
  rows = [row for s in surveys for row in rows_of(s)]
  found: list[np.ndarray] = []
  while len(found) < len(rows):
    sizes = np.cumsum([len(r) for r in rows[len(found):]])
    part = rows[len(found):len(found) + max(1, int(
        np.searchsorted(sizes, rules.substrings.bucket, 'right')))]
    tokens, starts = suffixes.join_pages(part)
    marks = suffixes.repeated_tokens(tokens, rules.substrings.min_tokens)
    found += [marks[a:a + len(r)] for a, r in zip(starts, part)]
  sizes = np.cumsum([0, *(len(s['edges']) - 1 for s in surveys)])
  return [found[a:b] for a, b in itertools.pairwise(sizes)]


def _remove_spans(pages, decision, rules) -> Iterator[Outcome]:
  for page, marks in zip(pages, decision):
    text = page[rules.field]
    if not marks.any():
      yield text, []
      continue
    spans = token_spans(text)
    edges = np.flatnonzero(np.diff(marks, prepend=False, append=False))
    kept, taken, at = [], [], 0
    for first, last in edges.reshape(-1, 2):
      begin, end = spans[first, 0], spans[last - 1, 1]
      kept.append(text[at:begin])
      # Tokens on both sides of the cut stay two.
      if kept[-1][-1:].isalnum() and text[end:end + 1].isalnum():
        kept.append(' ')
      taken.append(Taken('substrings', int(last - first),
                         shortened(text[begin:end]), False))
      at = end
    yield _rest(''.join([*kept, text[at:]]), taken)


# Pages whose tokens differ from the corpus's.


def _survey_counts(pages, rules) -> Survey:
  tokens, counts = [], []
  for page in pages:
    found = np.unique(text_hashes(tokens_of(page[rules.field])),
                      return_counts=True)
    tokens.append(found[0])
    counts.append(found[1])
  return ragged(tokens) | {'counts': np.concatenate(
      [*counts, np.zeros(0, np.int64)]).astype(np.int64)}


def page_divergences(flat: np.ndarray, counts: np.ndarray, edges: np.ndarray
                     ) -> np.ndarray:
  """[pages] KL(page || corpus) in nats of the distributions of tokens.

  Args:
    flat: tokens of all pages, each once a page.
    counts: of each of them in its page, at least 1.
    edges: [pages + 1], where the pages are in `flat`.
  """
  _, inverse = np.unique(flat, return_inverse=True)
  total = np.bincount(inverse, counts, minlength=1)
  sizes = np.add.reduceat(np.append(counts, 0), edges[:-1]) if (
      len(edges) > 1) else np.zeros(0)
  sizes[np.diff(edges) == 0] = 1
  share = counts / np.repeat(sizes, np.diff(edges))
  terms = share * np.log(share / (total[inverse] / max(total.sum(), 1)))
  out = np.add.reduceat(np.append(terms, 0), edges[:-1]) if (
      len(edges) > 1) else np.zeros(0)
  out[np.diff(edges) == 0] = 0
  return out


def _decide_divergence(surveys, rules) -> list[dict[int, Removal]]:
  flat, counts = (np.concatenate([s[k] for s in surveys])
                  for k in ('flat', 'counts'))
  edges = np.cumsum([0, *(np.concatenate([
      np.diff(s['edges']) for s in surveys]))])
  limit = rules.divergence.max_kl
  found = page_divergences(flat, counts, edges)
  return [{i: Removal('divergence.max_kl', f'{kl:.4g}, limit {limit:.4g}')
           for i, kl in enumerate(part) if kl > limit}
          for part in _per_file(found, [len(s['edges']) - 1 for s in surveys])]


STAGES = (
    Stage('pages', ('url', 'c4', 'gopher', 'repetition', 'fineweb'), None, None,
          _judge),
    Stage('duplicates', ('url', 'exact', 'near'), _survey_duplicates,
          _decide_duplicates, _remove_pages),
    Stage('lines', ('lines',), _survey_lines, _decide_lines,
          _remove_frequent_lines),
    Stage('substrings', ('substrings',), _survey_tokens, _decide_spans,
          _remove_spans),
    Stage('divergence', ('divergence',), _survey_counts, _decide_divergence,
          _remove_pages))


def clean_pages(pages: Sequence[dict], rules: ConfigDict
                ) -> tuple[list[str | None], list[tuple[int, Taken]]]:
  """Cleans pages in memory, as physics_lm/clean/pipeline.py does a file.

  Returns:
    the text that is left of each page, or None; and (page, what a rule took of
    it) in the order of the stages.
  """
  left = [page[rules.field] for page in pages]
  log: list[tuple[int, Taken]] = []
  stages, quiet = [s for s in STAGES if is_on(s, rules)], 0
  for step in itertools.count():
    stage = stages[step % len(stages)]
    alive = [i for i, text in enumerate(left) if text is not None]
    current = [pages[i] | {rules.field: left[i]} for i in alive]
    decision, before = None, len(log)
    if stage.survey:
      decision, = stage.decide([stage.survey(current, rules)], rules)
    for i, (text, taken) in zip(alive, stage.apply(current, decision, rules)):
      left[i] = text
      log += [(i, t) for t in taken]
    quiet = quiet + 1 if len(log) == before else 0
    if quiet == len(stages) or step + 1 == rules.rounds * len(stages):
      return left, log
