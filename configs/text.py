"""Text of your own: files by a pattern, bytes as tokens.

  python -m physics_lm.train --config='configs/text.py:data/*.txt' \\
      --workdir=runs/text --config.data.vocab=gpt2

The text after the colon is the pattern (or several, parted by commas) of
.txt, .jsonl, .parquet or .arrayrecord files; keys of physics_lm/worlds/text.py
say the rest, as --config.worlds.text.fim_rate=0.5.
"""

from configs import default


def get_config(files: str = 'README.md'):
  c = default.get_config()
  c.worlds = {'text': default.text()}
  c.worlds.text.files = files
  c.data.vocab = 'byte'
  c.data.seq_len = 256
  c.data.tasks = {'text': default.task('text', 'train', 1.0)}
  c.evals = {'loss': default.evaluation('loss')}
  return c
