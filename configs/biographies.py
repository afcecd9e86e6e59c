"""Biographies and questions, mixed training (Part 3.1, Result 1).

  python -m physics_lm.train --config=configs/biographies.py:multi5_permute \
      --workdir=runs/biographies

The text after the colon is the variant of the biographies.
"""

from configs import default


def get_config(variant: str = 'multi5_permute'):
  c = default.get_config()
  c.worlds.bios.variant = variant
  return c
