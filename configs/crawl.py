"""Training on web pages with planted dirt, as they are or cleaned.

  python -m physics_lm.train --config=configs/crawl.py:rules --workdir=DIR

Variants: the pages that are read (`keep` of the world, configs/default.py):
`all`, `labels` (without the dirt), `rules` (what configs/clean.py:web leaves)
and `over` (rules whose near duplicates are pages with half of their words in
common, whatever their order: with three templates an attribute, pages of
different people are that). The world `bios` has the pages' people, for
evaluation; biographies in it are in other words than on the pages.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default

VARIANTS = {'all': {'keep': 'all'}, 'labels': {'keep': 'labels'},
            'rules': {'keep': 'rules'},
            'over': {'keep': 'rules', 'shingle': 1, 'min_jaccard': 0.5}}
# A world that a small model learns.
SMALL = {'people': 300, 'name_pool': 40, 'value_pool': 40, 'templates': 3}


def bios(crawl: ConfigDict) -> ConfigDict:
  """The config of the biographies of a crawl's people."""
  c = default.biographies()
  c.variant, c.people, c.templates = (
      'fresh_permute', crawl.people, crawl.templates)
  c.first_names = c.middle_names = c.last_names = crawl.name_pool
  c.cities = c.universities = c.majors = c.employers = crawl.value_pool
  return c


def people(count: int) -> dict:
  """Overrides: so many people in both worlds."""
  return {'worlds.crawl.people': count, 'worlds.bios.people': count}


def get_config(variant: str = 'all') -> ConfigDict:
  """One of VARIANTS. Raises ValueError."""
  if variant not in VARIANTS:
    raise ValueError(f'variant is {variant!r}, wanted one of '
                     f'{", ".join(VARIANTS)}')
  c = default.get_config()
  crawl = default.crawl()
  crawl.update(SMALL | VARIANTS[variant])
  c.worlds = {'crawl': crawl, 'bios': bios(crawl)}
  c.data.vocab, c.data.seq_len, c.data.batch_size = 'word', 256, 8
  c.data.tasks = {'pages': default.task('crawl', 'pages', 1.0)}
  c.model.depth, c.steps, c.optim.name = 2, 800, 'muon'
  c.evals = {name: default.evaluation(name)
             for name in ('loss', 'extraction', 'cleaning')}
  c.evals.cleaning.world = 'crawl'
  c.evals.cleaning.people = 100
  return c
