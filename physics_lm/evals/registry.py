"""All kinds of evaluation, and how one is built, run and stored.

The training loop, `python -m physics_lm.evals` and notebooks use the same
evaluators: `build` makes them once, before the first step, and each is called
with parameters and the step that they are of.
"""

import json
from collections.abc import Collection
from pathlib import Path

from ml_collections import ConfigDict

from physics_lm import mixture, run_dir
from physics_lm.errors import BadInput, nearest
from physics_lm.evals import (
  cleaning,
  extraction,
  knowledge_bits,
  loss,
  manipulation,
  pq_probe,
)
from physics_lm.evals.exact import (
  answers,
  grammar,
  markov,
  metrics_of_answers,
)
from physics_lm.evals.grammar import attention, noise, sampling, tree_probe
from physics_lm.evals.igsm import (
  best_of_n,
  contamination,
  linear_probe,
  retry_upon_regret,
  solutions,
  v_probe,
)
from physics_lm.evals.posttrain import policy, score_norms, selection
from physics_lm.evals.records import Evaluator, Records
from physics_lm.key_ranges import check_ranges

KINDS = {'answers': answers, 'best_of_n': best_of_n, 'cleaning': cleaning,
         'extraction': extraction, 'grammar': grammar,
         'grammar_attention': attention, 'grammar_noise': noise,
         'grammar_samples': sampling, 'grammar_tree': tree_probe,
         'knowledge_bits': knowledge_bits, 'linear_probe': linear_probe,
         'loss': loss, 'manipulation': manipulation, 'markov': markov,
         'metrics_of_answers': metrics_of_answers, 'p_probe': pq_probe,
         'policy': policy,
         'q_probe': pq_probe, 'retry_upon_regret': retry_upon_regret,
         'score_norms': score_norms, 'selection': selection,
         'solutions': solutions, 'v_probe': v_probe}
OF_MASKED = ('extraction', 'loss')  # possible for masked language models
# Kinds that report separately on problems that did not occur in training.
OF_TRAINING_SET = ('best_of_n', 'retry_upon_regret', 'solutions')
OF_PARENT = ('policy', 'selection')  # kinds that need the run it starts from


def check_evals(config: ConfigDict):
  """Raises BadInput for an unknown kind or world of an evaluation, or a number
  out of range."""
  check_ranges(config)
  for name, spec in config.evals.items():
    if spec.kind not in KINDS:
      raise BadInput(f'evals.{name}.kind is {spec.kind!r}; '
                     f'{nearest(spec.kind, KINDS)}')
    if spec.kind != 'loss' and spec.world not in config.worlds:
      raise BadInput(f'evals.{name}.world is {spec.world!r}; '
                     f'{nearest(spec.world, config.worlds)}')
    if spec.average > 1:
      run_dir.averaged_steps(config, spec.average)
      if spec.every or config.runtime.branch_from or (
          config.adapter.kind != 'none'):
        raise BadInput(f'evals.{name}.average is {spec.average}, wanted 1 with '
                       f'evals.{name}.every, runtime.branch_from or an adapter')
    if config.data.mlm_probability and spec.kind not in OF_MASKED:
      raise BadInput(f'evals.{name}.kind is {spec.kind!r} of a masked language '
                     f'model, wanted {" or ".join(OF_MASKED)}')


def build(config: ConfigDict, data: mixture.Mixture, folder: Path | None = None,
          names: Collection[str] | None = None) -> dict[str, Evaluator]:
  """The evaluators of config.evals by name.

  Args:
    data: mixture.load_mixture(config).
    folder: of the run, to find its parents; None: of a run that has parents,
      the problems that occurred in training are unknown.
    names: which of config.evals; None: all.

  Raises:
    BadInput: an impossible evaluation, before anything has run.
  """
  check_evals(config)
  training_set = contamination.TrainingSet(config, folder)
  out = {}
  for name in config.evals if names is None else names:
    spec = config.evals[name]
    more = (training_set,) if spec.kind in OF_TRAINING_SET else ()
    more += (folder,) if spec.kind in OF_PARENT else ()
    out[name] = KINDS[spec.kind].build(config, data, spec, *more)
  return out


def write(folder: Path, name: str, step: int, records: Records):
  """Writes evals/<name>/<step>.jsonl, the raw outcomes, and after them the
  rows, <step>.json."""
  at = folder / 'evals' / name
  run_dir.write(at / f'{step}.jsonl', ''.join(json.dumps(r) + '\n'
                                              for r in records.raw))
  run_dir.write_json(at / f'{step}.json', {'rows': records.rows})
