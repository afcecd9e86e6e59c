"""Rules that look at one page alone: URL, C4, Gopher, FineWeb. No JAX.

C4's rules about lines come first and change the page; all others judge what is
left, so that to judge a page again changes nothing. configs/clean.py has the
sources.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ml_collections import ConfigDict

from physics_lm.clean.repetition import repeated_characters, repetition_measures
from physics_lm.clean.words import lines_of, shortened, token_count
from physics_lm.errors import BadInput

STOP_WORDS = frozenset('the be to of and that have with'.split())
POLICY = ('terms of use', 'privacy policy', 'cookie policy', 'uses cookies',
          'use of cookies', 'use cookies')
END_PUNCTUATION = ('.', '!', '?', '"', "'", '\u201d', '\u2019')
ELLIPSES = ('...', '…')
BULLETS = ('•', '‣', '◦', '*', '-')
_SENTENCE = re.compile('[.!?]+["\'\u201d\u2019)]*(?=\\s|$)')


class Taken(NamedTuple):
  """What a rule took of a page: the page, or a part of it."""

  rule: str  # a key of the config, as 'gopher.min_words'
  tokens: int
  example: str
  dropped: bool  # the page


def host_of(url: str) -> str:
  """The host of a URL in lower case; '' where there is none."""
  try:
    return urlsplit(url if '//' in url else f'//{url}').hostname or ''
  except ValueError:
    return ''


@functools.lru_cache(8)
def blocked_domains(path: str) -> frozenset[str]:
  """The domains of a file, one a line; lines with '#' first are comments.
  Raises BadInput."""
  try:
    text = Path(path).read_text(encoding='utf-8')
  except (OSError, UnicodeDecodeError) as e:
    raise BadInput(f'url.blocked: {path} cannot be read ({e}); wanted a file '
                   'of domains, one a line') from None
  return frozenset(s.lower() for line in text.splitlines()
                   if (s := line.strip()) and not s.startswith('#'))


def url_fault(url: str, rules: ConfigDict) -> tuple[str, str] | None:
  """(key, why) of the rule that a URL breaks."""
  host = host_of(url)
  if rules.blocked:
    parts = host.split('.')
    for i in range(len(parts)):
      if (domain := '.'.join(parts[i:])) in blocked_domains(rules.blocked):
        return 'blocked', f'{domain} is blocked'
  words = set(re.split(r'[^a-z0-9]+', url.lower()))
  for word in rules.words.split(','):
    if word.strip() and word.strip().lower() in words:
      return 'words', f'{word.strip()!r} in the URL'
  return None


def line_fault(line: str, rules: ConfigDict) -> str | None:
  """The key of C4's rule that a line breaks."""
  words, lower = line.split(), line.lower()
  if any(len(w) > rules.max_word_length for w in words):
    return 'max_word_length'
  if rules.end_punctuation and (
      not line.endswith(END_PUNCTUATION) or line.endswith(ELLIPSES)):
    return 'end_punctuation'
  if len(words) < rules.min_line_words:
    return 'min_line_words'
  if rules.javascript and 'javascript' in lower:
    return 'javascript'
  if rules.policy and any(p in lower for p in POLICY):
    return 'policy'
  return None


def remove_lines(text: str, fault_of: Callable[[str], str | None]
                 ) -> tuple[str, list[tuple[str, str]]]:
  """The text without the lines of which `fault_of` names a fault, and those:
  (fault, line). Lines without text stay, but not at the beginning or the end
  of a text that has lost lines."""
  kept, faults = [], []
  for line in text.split('\n'):
    fault = fault_of(line.strip()) if line.strip() else None
    if fault:
      faults.append((fault, line))
    else:
      kept.append(line)
  return ('\n'.join(kept).strip('\n'), faults) if faults else (text, [])


def c4_measures(text: str) -> dict[str, float]:
  """{key of default.clean().c4 that judges a page: the page's value}."""
  lower = text.lower()
  sentences = sum(max(1, len(_SENTENCE.findall(line)))
                  for line in lines_of(text))
  return {'lorem_ipsum': 'lorem ipsum' in lower, 'curly_bracket': '{' in text,
          'min_sentences': sentences}


def gopher_measures(text: str) -> dict[str, float]:
  """{key of default.clean().gopher: the page's value}."""
  words, lines = text.split(), lines_of(text)
  n, rows = max(len(words), 1), max(len(lines), 1)
  plain = {w.lower().strip('.,;:!?"\'()') for w in words}
  mean = sum(map(len, words)) / n
  return {
      'min_words': len(words), 'max_words': len(words),
      'min_word_length': mean, 'max_word_length': mean,
      'max_hashes': text.count('#') / n,
      'max_ellipses': sum(map(text.count, ELLIPSES)) / n,
      'max_bullet_lines': sum(s.startswith(BULLETS) for s in lines) / rows,
      'max_ellipsis_lines': sum(s.endswith(ELLIPSES) for s in lines) / rows,
      'min_alphabetic': sum(any(map(str.isalpha, w)) for w in words) / n,
      'min_stop_words': len(STOP_WORDS & plain)}


def fineweb_measures(text: str, short_line: int) -> dict[str, float]:
  """{key of default.clean().fineweb that is a limit: the page's value}."""
  lines = lines_of(text)
  rows, size = max(len(lines), 1), max(len(text.replace('\n', '')), 1)
  return {
      'min_line_ends': sum(s.endswith(END_PUNCTUATION) for s in lines) / rows,
      'max_line_characters': repeated_characters(lines) / size,
      'max_short_lines': sum(len(s) <= short_line for s in lines) / rows}


def broken_limit(found: Mapping[str, float], limits: Mapping[str, float],
                 inclusive: bool = False) -> tuple[str, str] | None:
  """(key, why) of the first number that is outside of its limit: a 'min_' key
  is the least, a flag whether a page may have it, any other the most.
  `inclusive`: a page at a limit is outside."""
  for key, value in found.items():
    limit = limits[key]
    if isinstance(limit, bool):
      if limit and value:
        return key, 'found'
    elif value == limit:
      if inclusive:
        return key, f'{value:.4g}, limit {limit:.4g}'
    elif (value < limit) == key.startswith('min_'):
      return key, f'{value:.4g}, limit {limit:.4g}'
  return None


def page_faults(text: str, rules: ConfigDict) -> Iterator[tuple[str, str]]:
  """(rule, why) of each group of rules that a page breaks, lazily."""
  if rules.c4.on and (fault := broken_limit(c4_measures(text), rules.c4)):
    yield f'c4.{fault[0]}', fault[1]
  if rules.gopher.on and (
      fault := broken_limit(gopher_measures(text), rules.gopher)):
    yield f'gopher.{fault[0]}', fault[1]
  if rules.repetition.on and (
      fault := broken_limit(repetition_measures(text), rules.repetition)):
    yield f'repetition.{fault[0]}', fault[1]
  if rules.fineweb.on and (fault := broken_limit(fineweb_measures(
      text, rules.fineweb.short_line), rules.fineweb, inclusive=True)):
    yield f'fineweb.{fault[0]}', fault[1]


def judge_page(text: str, url: str, rules: ConfigDict
               ) -> tuple[str | None, list[Taken]]:
  """(what is left of a page or None, what the rules took of it)."""
  if not text.strip():
    return None, [Taken('empty', 0, '', True)]
  if rules.url.on and url and (fault := url_fault(url, rules.url)):
    return None, [Taken(f'url.{fault[0]}', token_count(text),
                        f'{fault[1]}: {shortened(url)}', True)]
  taken = []
  if rules.c4.on:
    text, faults = remove_lines(
        text, functools.partial(line_fault, rules=rules.c4))
    taken = [Taken(f'c4.{key}', token_count(line), shortened(line), False)
             for key, line in faults]
    if not text.strip():  # the rule of the last line took the page
      return None, [*taken[:-1], taken[-1]._replace(dropped=True)]
  for rule, why in page_faults(text, rules):
    return None, [*taken, Taken(rule, token_count(text),
                                f'{why}: {shortened(text)}', True)]
  return text, taken
