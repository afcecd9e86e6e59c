"""Rules of cleaning, with the thresholds of the papers (or of their code).

  python -m physics_lm.clean 'data/*.jsonl' --out=runs/clean \\
      [--config=configs/clean.py:duplicates] [--gopher.min_words=20]

Variants: `web` (all rules but the divergence of tokens), `duplicates` (URLs,
equal and similar pages, repeated lines and spans: for text that rules about web
pages do not suit, as short or synthetic pages), `none` (each rule switched on
by a flag of its own). Keys: `clean` in configs/default.py.

Sources, and what was checked. (c): the number is in released code that was
read (datatrove's filters, which name the papers); (u): not verified in the
paper itself, from secondary descriptions or memory.

gopher      Rae et al. 2021 (arXiv 2112.11446), appendix A.1 (c).
            `min_stop_words` counts different words, as the paper's text is
            quoted (u); the code counts occurrences. `-` and `*` before a line
            are bullets too. A word is what lies between white space.
repetition  the same, table A1 (c). Overlapping n-grams count a character once.
c4          Raffel et al. 2020 (arXiv 1910.10683), section 2.2: 3 words a line
            and 5 sentences a page in the code (c); the paper's text may have 5
            and 3 (u). Left out: citation marks, the list of bad words, the
            three-sentence span (`substrings` is its like).
fineweb     Penedo et al. 2024 (arXiv 2406.17557), section 3.5: 0.12 and 0.67
            (c); 0.1 of characters in repeated lines is the paper's (u), the
            code has 0.01. Lines without text do not count here.
url         Llama 3 (arXiv 2407.21783), section 3.1.1: the newest of a URL (u).
near        5-grams of words, 14 bands of 8: FineWeb's (u). The Jaccard index is
            verified, as in Lee et al. 2021 (arXiv 2107.06499), above 0.8 (u),
            which also asks for the edit similarity: left out here.
lines       Llama 3, section 3.1.1: more than 6 times in 30 million pages (u).
substrings  Lee et al. 2021, section 4.1: 50 tokens (u).
divergence  Llama 3, section 3.1.1, prints no threshold: off; 5 nats is ours.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default

RULES = ('url', 'c4', 'gopher', 'repetition', 'fineweb', 'exact', 'near',
         'lines', 'substrings', 'divergence')
VARIANTS = {'web': RULES[:-1], 'none': (),
            'duplicates': ('url', 'exact', 'near', 'lines', 'substrings')}


def get_config(variant: str = 'web') -> ConfigDict:
  """One of VARIANTS. Raises ValueError."""
  if variant not in VARIANTS:
    raise ValueError(f'variant is {variant!r}, wanted one of '
                     f'{", ".join(VARIANTS)}')
  c = default.clean()
  for rule in RULES:
    c[rule].on = rule in VARIANTS[variant]
  return c
