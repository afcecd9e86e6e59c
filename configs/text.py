"""A corpus of your own: text files by a glob pattern, bytes as tokens.

  python -m physics_lm.train --config='configs/text.py:data/*.txt' \\
      --workdir=runs/text --config.data.vocab=gpt2

The text after the colon is a glob pattern (or several, comma-separated) of
.txt, .jsonl, .parquet or .arrayrecord files. Other keys of the world
(configs/default.py) are set as --config.worlds.text.fim_rate=0.5.

  --config='configs/text.py:web=data/web/*.jsonl;books=data/books/*.txt'

are two sources with names of their own, a task each:
--config.data.tasks.books.weight=0.2, --config.worlds.books.separator=....
"""

import re

from ml_collections import ConfigDict

from physics_lm.configs import default


def get_config(files: str = 'README.md') -> ConfigDict:
  """Files of text, by comma-separated glob patterns; of several sources, each
  with a name, NAME=PATTERNS;NAME=PATTERNS. Raises ValueError."""
  c = default.get_config()
  c.worlds, c.data.tasks = {}, {}
  for source in files.split(';'):
    named = re.fullmatch(r'([A-Za-z_]\w*)=(.+)', source.strip())
    name, patterns = named.groups() if named else ('text', source)
    if name in c.worlds:
      raise ValueError(f'{files!r} has two sources {name!r}, wanted '
                       'NAME=PATTERNS;NAME=PATTERNS')
    c.worlds[name] = default.text()
    c.worlds[name].files = patterns
    c.data.tasks[name] = default.task(name, 'train', 1.0)
  c.data.vocab = 'byte'
  c.data.seq_len = 256
  c.evals = {'loss': default.evaluation('loss')}
  return c
