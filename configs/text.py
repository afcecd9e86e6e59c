"""A corpus of your own: text files by a glob pattern, bytes as tokens.

  python -m physics_lm.train --config='configs/text.py:data/*.txt' \\
      --workdir=runs/text --config.data.vocab=gpt2

The text after the colon is a glob pattern (or several, comma-separated) of
.txt, .jsonl, .parquet or .arrayrecord files. Other keys of the world
(configs/default.py) are set as --config.worlds.text.fim_rate=0.5.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default


def get_config(files: str = 'README.md') -> ConfigDict:
  """Files of text, by comma-separated glob patterns."""
  c = default.get_config()
  c.worlds = {'text': default.text()}
  c.worlds.text.files = files
  c.data.vocab = 'byte'
  c.data.seq_len = 256
  c.data.tasks = {'text': default.task('text', 'train', 1.0)}
  c.evals = {'loss': default.evaluation('loss')}
  return c
