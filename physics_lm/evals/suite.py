"""All evaluations by name, and how one is run and written down.

The training loop and `python -m physics_lm.evals` both go through here.
"""

import json
from pathlib import Path

from physics_lm import shape, store
from physics_lm.errors import BadInput, nearest
from physics_lm.evals import (
  best_of,
  extraction,
  grammar,
  knowledge_bits,
  loss,
  manipulation,
  probes,
  reasoning,
  regret,
  seen,
  v_probe,
)

EVALS = {'best_of': best_of, 'extraction': extraction, 'grammar': grammar,
         'knowledge_bits': knowledge_bits, 'loss': loss,
         'manipulation': manipulation, 'p_probe': probes, 'q_probe': probes,
         'reasoning': reasoning, 'regret': regret, 'v_probe': v_probe}
MASKED = (extraction, loss)  # those that can judge a masked language model
# Those that set problems apart that stood in training.
APART = (best_of, reasoning, regret)


def check(config):
  """Raises BadInput for an unknown kind or world, or inputs that cannot be
  made, before anything runs rather than after the last step."""
  for name, spec in config.evals.items():
    if spec.kind not in EVALS:
      raise BadInput(f'evals.{name}.kind is {spec.kind!r}; '
                     f'{nearest(spec.kind, EVALS)}')
    if EVALS[spec.kind] is not loss and spec.world not in config.worlds:
      raise BadInput(f'evals.{name}.world is {spec.world!r}; '
                     f'{nearest(spec.world, config.worlds)}')
    if config.data.masked and EVALS[spec.kind] not in MASKED:
      raise BadInput(f'evals.{name}.kind is {spec.kind!r} of a masked language '
                     "model, wanted 'loss' or 'extraction'")
    EVALS[spec.kind].inputs(config, spec)


def run(name: str, params, config, cfg, folder: Path, step: int,
        write: bool = True) -> dict[str, float]:
  """Runs config.evals[name]; raw outcomes go to evals/<name>/<step>.jsonl and
  the metrics, written after them, to <step>.json."""
  spec = config.evals[name]
  kind, more = EVALS[spec.kind], {}
  if kind in APART:
    more['stood'] = seen.judge(config, folder, step)
  metrics, raw = kind.run(params, config, spec, shape.evaluated(config, cfg),
                          **more)
  if write:
    at = folder / 'evals' / name
    store.write(at / f'{step}.jsonl', ''.join(json.dumps(r) + '\n'
                                              for r in raw))
    store.write_json(at / f'{step}.json', metrics)
  return metrics
