"""A synthetic second language: every letter of a text stands for another one.

Words and their order stay, so that a text and its translation state the same
facts in disjoint words: to tie them, a model needs the name, which a bilingual
biography does not translate. (Part 3.1 augments with rewriting; a second
language is named there as another way.)
"""

# Vowels for vowels and consonants for consonants: it can be pronounced, and no
# letter stays.
_FROM = 'aeiou' + 'bcdfghjklmnpqrstvwxyz'
_TO = 'eioua' + 'ghjklmnpqrstvwxyzbcdf'
_LETTERS = str.maketrans(_FROM + _FROM.upper(), _TO + _TO.upper())


def translate(text: str) -> str:
  """The text in the second language; digits, spaces and signs stay."""
  return text.translate(_LETTERS)

