"""Web pages made of biographies and grammar strings, with labelled dirt.

>>> from physics_lm.configs import default
>>> page = make(default.crawl(), 0).page(0)
>>> page['label'], page['url'], page['date']
('clean', 'http://site0.org/0', '2024-08-01')
>>> print(page['text'])  # doctest: +ELLIPSIS
Daniel Wilma Sandoval held a degree with a focus on Speech Pathology. ...
The symbols of the page that we have to read: b b f c a b h h b.

A clean page is a biography of one person in fresh words (worlds/biographies.py,
variant fresh_permute) and a line with a string of a grammar
(worlds/grammar.py). Every person has `pages` of them on average. A share `dirt`
of all pages is dirt, evenly of the classes

  exact        equals an earlier clean page
  near         an earlier clean page with a share `changed` of its words drawn
               anew, each alone: of n-grams of words the Jaccard index is about
               q / (2 - q), q = (1 - changed)^n
  url          the URL of an earlier clean page and an older date, other words
  salad        words of the vocabulary, each with the same probability
  repeated     the same words again and again
  symbols      every second word is a foreign symbol
  boilerplate  a clean page among lines that many pages have: the lines are the
               dirt, not the page

Page i is a pure function of (config, seed, i). Cleaning (`keep` = 'rules') is
one of (config, seed), computed once a process when a page is read. A page is
read with single spaces between its words, as a biography of the world of the
same people has them. Left out: markup, languages, and dirt in part of a page.
"""

import functools
from collections.abc import Iterator

import numpy as np
from ml_collections import ConfigDict

from physics_lm.clean.stages import clean_pages
from physics_lm.config import plain_config
from physics_lm.configs import clean as rules_of_cleaning
from physics_lm.configs import crawl as recipe
from physics_lm.configs import default
from physics_lm.errors import BadInput
from physics_lm.worlds import biographies, grammar
from physics_lm.worlds.base import CheckResult, Example, check_split, generator

VERSION = 1
DIRT = ('exact', 'near', 'url', 'salad', 'repeated', 'symbols', 'boilerplate')
LABELS = ('clean', *DIRT)
KEEP = ('all', 'labels', 'rules')
BOILERPLATE = ('Please read our privacy policy and the terms of use.',
               'Subscribe to our newsletter to be the first to know.',
               'All rights are reserved to the owner of this page.',
               'Share this page with the friends that you have.')
SYMBOLS = ('§', '¶', '¤', '†', '‡', '¬', '±', '÷')
STRING_INTRO = 'The symbols of the page that we have to read:'


class Crawl:
  """The pages of a config. Split 'pages': those that `keep` leaves."""

  version = VERSION
  splits = ('pages',)
  unbounded = True

  def __init__(self, config: ConfigDict, seed: int):
    if config.keep not in KEEP:
      raise BadInput(f'keep is {config.keep!r}, wanted one of '
                     f'{", ".join(KEEP)}')
    self.config, self.seed = config, seed
    self.bios = biographies.make(recipe.bios(config), seed)
    strings = default.grammar()
    strings.levels, strings.symbols = 3, 8
    strings.min_rules, strings.max_rules = 6, 10  # every seed has a grammar
    self.grammar = grammar.make(strings, seed)
    self.total = round(config.people * config.pages / (1 - config.dirt))
    self._words = sorted({w for p in self.bios.pieces() for w in p.split()
                          if w.isalpha()})

  def label(self, index: int) -> str:
    """The class of page `index`, one of LABELS."""
    u = generator(self.seed, 'label', index).random()
    clean = 1 - self.config.dirt
    if u < clean or index == 0:
      return 'clean'
    return DIRT[min(int((u - clean) / self.config.dirt * len(DIRT)),
                    len(DIRT) - 1)]

  def page(self, index: int) -> dict:
    """text, url, date, label, person and source (index of the page that it
    repeats, or None) of page `index`. Raises IndexError beyond `total`."""
    if not 0 <= index < self.total:
      raise IndexError(f'page {index} of {self.total}')
    label, rng = self.label(index), generator(self.seed, 'page', index)
    year, month, day = (int(rng.integers(a, b)) for a, b in (
        (2020, 2025), (1, 13), (1, 29)))
    source = self._source(index, rng) if label in (
        'exact', 'near', 'url') else None
    person = (index if source is None else source) % self.bios.n
    text = self._text(index, person) if source is None or label == 'url' else (
        self._text(source, person))
    at = source if label == 'url' else index
    return {'text': self._soiled(text, label, rng),
            'url': f'http://site{at % 50}.org/{at}',
            'date': f'{year - 10 if label == "url" else year}-{month:02}-'
                    f'{day:02}',
            'label': label, 'person': person, 'source': source}

  def _source(self, index: int, rng) -> int:
    """A clean page before page `index`, which is not page 0."""
    at = int(rng.integers(index))
    while self.label(at) != 'clean':  # page 0 is clean
      at -= 1
    return at

  def _text(self, index: int, person: int) -> str:
    text = self.bios.biography(person, index).text.strip()
    string = self.grammar.example('train', index).text
    return f'{text}\n{STRING_INTRO}{string}.'

  def _soiled(self, text: str, label: str, rng) -> str:
    """The text of a page of a class, from that of a clean one."""
    if label == 'near':
      return self._changed(text, rng)
    if label == 'salad':
      words = rng.choice(self._words, 72).tolist()
      return '\n'.join(' '.join(words[i:i + 12]) + '.'
                       for i in range(0, 72, 12))
    if label == 'repeated':
      part = ' '.join(text.split()[:8])
      return '\n'.join([f'{part}.'] * 9)
    if label == 'symbols':
      words = [w if i % 2 else SYMBOLS[rng.integers(len(SYMBOLS))]
               for i, w in enumerate(text.split())]
      return ' '.join(words)
    if label == 'boilerplate':
      a, b, c = rng.permutation(len(BOILERPLATE))[:3]
      return '\n'.join([BOILERPLATE[a], text, BOILERPLATE[b], BOILERPLATE[c]])
    return text

  def _changed(self, text: str, rng) -> str:
    lines = []
    for line in text.split('\n'):
      words = line.split(' ')
      new = rng.choice(self._words, len(words)).tolist()
      keep = rng.random(len(words)) >= self.config.changed
      lines.append(' '.join(w if k else n for w, n, k in zip(words, new, keep)))
    return '\n'.join(lines)

  def records(self) -> list[dict]:
    """All pages with their labels, before any cleaning."""
    return [self.page(i) for i in range(self.total)]

  def cleaned(self) -> tuple[list[str | None], list[tuple[int, str, bool]]]:
    """What the rules leave of each page, and (page, rule, whether it removed
    the page) of all that they took. Computed once a process."""
    key = plain_config(self.config) | {'keep': ''}
    return _cleaned(tuple(sorted(key.items())), self.seed)

  @functools.cached_property
  def _kept(self) -> list[tuple[int, str]]:
    """(page, text) of each page that is read."""
    if self.config.keep == 'rules':
      texts = self.cleaned()[0]
    else:
      dirt = set(DIRT) - {'boilerplate'} if self.config.keep == 'labels' else ()
      texts = [None if p['label'] in dirt else p['text']
               for p in self.records()]
      if self.config.keep == 'labels':
        texts = [t and '\n'.join(s for s in t.split('\n')
                                 if s not in BOILERPLATE) for t in texts]
    return [(i, t) for i, t in enumerate(texts) if t is not None]

  def size(self, split: str) -> int:
    check_split(self, split)
    if not self._kept:
      raise BadInput('no page is left by the rules, wanted less strict ones')
    return len(self._kept)

  def people(self, split: str) -> int:
    self.size(split)
    return len({i for i, _ in self._kept})

  def example(self, split: str, index: int) -> Example:
    if not 0 <= index < self.size(split):
      raise IndexError(f'example {index} of {self.size(split)} in {split}')
    at, text = self._kept[index]
    return self.as_example(self.page(at), text)

  def as_example(self, page: dict, text: str) -> Example:
    """A page, or what is left of it, as an example."""
    meta = {k: page[k] for k in ('label', 'url', 'date', 'person', 'source')}
    return Example(tuple(f' {w}' for w in text.split()), (), (0,), meta)

  def pieces(self) -> Iterator[str]:
    yield from self.bios.pieces()
    yield from self.grammar.pieces()
    for text in (*SYMBOLS, *BOILERPLATE, STRING_INTRO, *self._words):
      yield from (f' {w}' for w in text.split())

  def check(self, question: Example, text: str) -> CheckResult:
    """Checks that a text is a clean page about the person of `question`."""
    body, lead, string = ' '.join(text.split()).partition(f' {STRING_INTRO} ')
    found = self.bios.check_biography(question.meta['person'], f' {body}')
    if not found.correct or not lead:
      return CheckResult(False, found.reason if lead else (
          f'no line {STRING_INTRO!r}'))
    if not string.endswith('.'):
      return CheckResult(False, f'the end is {string[-9:]!r}, wanted a full '
                         'stop')
    return self.grammar.check(question, string.removesuffix('.'))


@functools.lru_cache(16)
def _cleaned(items: tuple, seed: int):
  config = ConfigDict(dict(items)).lock()
  rules = rules_of_cleaning.get_config('web')
  rules.near.shingle = config.shingle
  rules.near.min_jaccard = config.min_jaccard
  with config.unlocked():
    config.keep = 'all'
  left, log = clean_pages(Crawl(config, seed).records(), rules)
  return left, [(i, t.rule, t.dropped) for i, t in log]


def confusion(labels: list[str], log: list[tuple[int, str, bool]]
              ) -> list[dict]:
  """Rows of rule, label, pages of the label, and how many of them the rule
  removed and changed; rule 'all': all rules together. Of `cleaned`'s log."""
  rows = []
  count = {name: labels.count(name) for name in LABELS}
  for rule in ['all', *sorted({r for _, r, _ in log})]:
    own = [(i, dropped) for i, r, dropped in log if rule in ('all', r)]
    for name in LABELS:
      took = [np.unique([i for i, d in own if labels[i] == name and d == want]
                        ).size for want in (True, False)]
      rows.append({'rule': rule, 'label': name, 'pages': count[name],
                   'removed': took[0], 'changed': took[1]})
  return rows


def make(config: ConfigDict, seed: int) -> Crawl:
  """The world of a config's keys (configs/default.py). Raises BadInput."""
  return Crawl(config, seed)
