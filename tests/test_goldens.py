"""What must stay as it is while names change: texts, rows, steps, verdicts.

The expected values are in tests/goldens/*.json, under names of their own:
renaming a module, a class or a config key changes how this file makes a value,
never a JSON file. To record new values after an intended change of behaviour:

  python -m tests.test_goldens

  worlds.json       of every variant and split: sha256 of the first 20 texts;
                    of 20 spread evenly over the split (the first 20 may be
                    one version, or one question); of where pieces, answers
                    and loss are in all 40. Of a variant's vocabulary: sha256
                    of its pieces, in order.
  train_steps.json  sums of each of three steps, and sha256 of their batches
  trees.json        path and shape of every parameter
  verdicts.json     the 190 rows of the README's scoreboard when claims were
                    functions: text, and whether the claim was reproduced by
                    the rule fixed before its runs. Not recorded again.
"""

import functools
import hashlib
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics_lm import claims, mixture, optim, results, sweep, train_step
from physics_lm.config import override
from physics_lm.configs import default
from physics_lm.mixture import load_mixture
from physics_lm.model import adapters, decoder
from physics_lm.model.config import model_config
from physics_lm.worlds import base
from tests.conftest import TINY

GOLDENS = Path(__file__).parent / 'goldens'
COUNT = 20  # texts in a hash
SEED = 7  # of the worlds
# Sums of float32 differ in the last bits between CPUs and compilers: by 3e-7
# with and without XLA's optimizations.
RTOL = 1e-5

# The name of a variant in worlds.json -> (world kind, keys that differ).
BIOGRAPHIES = {
    'single': {'variant': 'single'},
    'multi5': {'variant': 'multi5'},
    'multi5_permute': {'variant': 'multi5_permute'},
    'multi5_permute_fullname': {'variant': 'multi5_permute_fullname'},
    'single_permute5': {'variant': 'single_permute5'},
    'multi2_couple3': {'variant': 'multi2_couple3'},
    'fresh_permute': {'variant': 'fresh_permute'},
    'single_reverse3': {'variant': 'single_reverse3'},
    'single_reverse6': {'variant': 'single_reverse6'},
    'multi5_permute_offset': {
        'variant': 'multi5_permute', 'person_offset': 300},
    'multi5_permute_zipf': {'variant': 'multi5_permute', 'zipf_a': 0.2},
    'fresh_permute_zipf': {'variant': 'fresh_permute', 'zipf_a': 1.0},
    'small_pools': {'variant': 'multi5', 'first_names': 20,
                    'middle_names': 20, 'last_names': 20, 'years': 20,
                    'months': 6, 'days': 9, 'cities': 10, 'universities': 10,
                    'majors': 10, 'employers': 10, 'templates': 5},
}
BIOD = {
    'one_chunk': {},
    'two_chunks': {'chunks': 2, 'diversity': 100, 'chunk_length': 3,
                   'symbols': 11, 'name_length': 3, 'attributes': 20},
    'offset': {'person_offset': 2000},
    'zipf': {'zipf_a': 0.5},
    'fixed_order': {'order': 'fixed', 'attributes': 8},
}
RETRY = {'retry_rate': 0.5}
IGSM = {
    'med': {},
    'med_qp_redundant_alphabetical': {
        'order': 'qp', 'solution': 'redundant',
        'variable_names': 'alphabetical'},
    'med_retry': RETRY | {'retry_kind': 'retry'},
    'med_retry_weak': RETRY | {'retry_kind': 'retry_weak'},
    'med_retry_miss': RETRY | {
        'retry_kind': 'retry_miss', 'solution': 'redundant'},
    'med_retry_mask_name': RETRY | {'retry_mask': 'name'},
    'med_retry_mask_sentence': RETRY | {'retry_mask': 'sentence'},
    'small': {'max_op': 4, 'max_edge': 6, 'modulus': 5, 'max_depth': 3,
              'max_width': 3, 'hierarchies': 'park,town', 'subcategories': 2,
              'items_per_subcategory': 6},
}
IGSM_SPLITS = {'small': ('train_op3', 'train_op3_reask', 'test_op4_reask',
                         'test_reask')}
GRAMMAR = {
    'cfg3': {},
    'deep': {'levels': 6, 'symbols': 4, 'max_rules': 4, 'max_children': 2},
}
WORLDS = {
    **{f'biographies/{k}': ('biographies', v) for k, v in BIOGRAPHIES.items()},
    **{f'biod/{k}': ('biod', v) for k, v in BIOD.items()},
    'manipulation/multi5_permute': ('manipulation', {}),
    'manipulation/train_people': ('manipulation', {'train_people': 50}),
    **{f'grammar/{k}': ('grammar', v) for k, v in GRAMMAR.items()},
    **{f'igsm/{k}': ('igsm', v) for k, v in IGSM.items()},
    **{f'crawl/{k}': ('crawl', {'people': 20, 'keep': k})
       for k in ('all', 'rules')},
}
# Of variants with dozens of splits, those that the variant changes.
SOME_SPLITS = {'manipulation/train_people': (
    'birth_month_train', 'month_rank_train', 'month_rank_hint_train',
    'month_rank_test', 'all_full_train')}
TEXT = {'plain': {'shuffle': 8},
        'fim': {'shuffle': 8, 'fim_rate': 0.7, 'fim_spm': 0.5}}

# The name of an architecture in train_steps.json -> keys that differ.
SMALL = TINY | {'data.seq_len': 64, 'data.batch_size': 4,
                'model.dtype': 'float32', 'model.dropout': 0.0,
                'runtime.mesh.data': 1,
                # Adam's first steps divide a gradient by itself: without a
                # large eps, rounding of the smallest would be all of a step.
                'optim.eps': 1e-3}
LLAMA = {'model.norm': 'rmsnorm', 'model.mlp': 'gated_silu',
         'model.bias': False, 'model.tie_embeddings': False,
         'model.kv_heads': 1, 'model.rope_fraction': 1.0, 'model.qk_norm': True}
ARCHITECTURES = {
    'gpt2_rope': {},
    # As the papers pack rows: no boundaries between examples.
    'gpt2_one_segment': {
        'model.rope_fraction': 0.0, 'data.intra_document_mask': False,
        'data.tasks.qa.loss': 'answers', 'data.tasks.bio.tag': ' wiki'},
    'llama': LLAMA,
    'mixture_of_experts': {
        'model.num_experts': 4, 'model.moe_capacity_factor': 1.0,
        'model.moe_aux_loss_weight': 0.1},
    'masked_lm': {'data.mlm_probability': 0.15},
}
# Adapters, all on the llama-like model.
ADAPTERS = {
    'lora': {'kind': 'lora', 'rank': 2, 'embedding_rank': 3,
             'target_modules': 'query,down'},
    'full_difference': {'kind': 'whole', 'target_modules': 'embedding,query'},
    'prefix': {'kind': 'prefix', 'num_virtual_tokens': 3},
    'prompt': {'kind': 'prompt', 'num_virtual_tokens': 3},
    'bottleneck': {'kind': 'bottleneck', 'rank': 2},
}
CASES = [*ARCHITECTURES, *(f'adapter_{k}' for k in ADAPTERS)]
# Compiling is nearly all of the time; with these it takes an eighth.
FAST = {'xla_backend_optimization_level': 0,
        'xla_llvm_disable_expensive_passes': True,
        'xla_cpu_use_fusion_emitters': False}

# Experiments of verdicts.json -> their names now.
RENAMED = {
    'capacity_bitworld': 'capacity_biod',
    'correction_by_finetuning': 'error_correction_finetuning',
    'hidden_planning': 'igsm_probing',
    'regret': 'retry_upon_regret',
    'source_tags': 'junk_data_domain_tags',
}
# Their runs are others today, and their claims are about those.
REDESIGNED = {
    'best_of_n', 'bidirectional', 'capacity_architecture', 'capacity_bitworld',
    'capacity_quantization', 'celebrity_helps_minority',
    'correction_by_finetuning', 'error_correction', 'extraction_finetuning',
    'extraction_sets', 'hidden_planning', 'inverse_search',
    'knowledge_capacity', 'knowledge_extraction', 'knowledge_manipulation',
    'knowledge_probing', 'reasoning_depth', 'regret', 'source_tags'}


@functools.cache
def golden(name: str):
  return json.loads((GOLDENS / f'{name}.json').read_text(encoding='utf-8'))


# The two about scaling laws draw bootstraps for 16 s and 27 s.
EXPERIMENTS = [e for e in dict.fromkeys(
    r['experiment'] for r in golden('verdicts'))
    if not e.startswith('scaling_') and e not in REDESIGNED]


def sha(value) -> str:
  """Of a value as JSON: nested lists of strings and numbers."""
  return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def hashes(first, spread) -> dict[str, str]:
  """What worlds.json holds of a split, of two lists of examples."""
  layout = [[list(e.pieces), [i for _, i in e.answers], list(e.loss),
             list(e.masked)] for e in (*first, *spread)]
  return {'first': sha([e.text for e in first]),
          'spread': sha([e.text for e in spread]), 'layout': sha(layout)}


def world(name: str):
  kind, changes = WORLDS[name]
  return base.make_world(override(getattr(default, kind)(), changes), SEED)


def world_hashes(name: str) -> dict:
  """{split: hashes} of a variant, and its pieces."""
  w, out = world(name), {}
  splits = SOME_SPLITS.get(name, (*w.splits, *IGSM_SPLITS.get(
      name.removeprefix('igsm/'), ())))
  for split in splits:
    size = w.size(split)
    count = min(COUNT, size)
    out[split] = hashes([w.example(split, i) for i in range(count)],
                        [w.example(split, i * size // count)
                         for i in range(count)])
  return out | {'pieces': sha(list(dict.fromkeys(w.pieces())))}


def text_hashes(changes: dict, folder: Path) -> dict:
  """{split: hashes} of a world of text files, written to the folder: in the
  files' order, and the stream of two epochs and more."""
  for f in range(3):
    (folder / f'{f}.txt').write_text('\n---\n'.join(
        f'Document {i} of file {f}.' + f' Word {i * i % 17}.' * (i % 7)
        for i in range(30)), encoding='utf-8')
  config = override(default.text(), changes | {
      'files': str(folder / '*.txt'), 'separator': '\n---\n',
      'held_out': 0.2})
  w = base.make_world(config, SEED)
  return {s: hashes(list(itertools.islice(w.in_order(s), COUNT)),
                    list(itertools.islice(w.documents(s, seed=SEED), 250)))
          for s in w.splits}


def case(name: str):
  """(config, data, model's shape, adapter's config or None) of a case."""
  kind = name.removeprefix('adapter_')
  changes = ARCHITECTURES.get(name, LLAMA)
  if kind in ADAPTERS:
    changes = changes | {f'adapter.{k}': v for k, v in ADAPTERS[kind].items()}
  config = override(default.get_config(), SMALL | changes)
  data = load_mixture(config)
  return (config, data, model_config(config, len(data.vocab)),
          config.adapter if kind in ADAPTERS else None)


def trainable(cfg, adapter):
  """What trains at first: the model's parameters, or an adapter's."""
  if adapter is None:
    return decoder.init(cfg, jax.random.key(0))
  return adapters.init_adapter(adapter, cfg, jax.random.key(1))


@functools.cache
def options() -> dict:
  """Those of FAST that this version of XLA knows."""
  def known(option):
    try:
      jax.jit(jnp.negative, compiler_options=dict([option]))(1.0)
    except jax.errors.JaxRuntimeError:
      return False
    return True
  return dict(filter(known, FAST.items()))


def fast(function):
  return jax.jit(function, compiler_options=options())


def batches(data, size: int):
  """Three batches, of the first rows."""
  for step in range(3):
    made = [mixture.packed_row(data, step * size + i) for i in range(size)]
    yield {k: np.stack([r[k] for r in made]) for k in made[0]}


@functools.cache
def three_steps(name: str) -> dict:
  """{'batches': sha256, 'sums': [sums of each step]} of a case."""
  config, data, cfg, adapter = case(name)
  tx, tasks = optim.make_optimizer(config), len(data.tasks)
  params = fast(lambda: trainable(cfg, adapter))()
  # Of every adapter the same program: compiled once.
  frozen = fast(lambda: trainable(cfg, None))() if adapter else None
  state = train_step.TrainState(jnp.int32(0), params, tx.init(params), frozen)
  step = fast(train_step.make_step(cfg, tx, tasks, adapter=adapter))
  contents, sums = [], []
  for batch in batches(data, config.data.batch_size):
    contents.append([batch[k].tolist() for k in (
        'tokens', 'targets', 'segments', 'positions', 'weights', 'task',
        'entries')])
    state, out = step(state, batch)
    sums.append({'loss': out['loss'].tolist(),
                 'weight': out['weight'].tolist(),
                 'examples': out['entries'].tolist(),
                 'grad_norm': float(out['grad_norm'])})
  return {'batches': sha(contents), 'sums': sums}


def tree(name: str) -> dict[str, list[int]]:
  """{path: shape} of what trains in a case."""
  _, _, cfg, adapter = case(name)
  params = jax.eval_shape(lambda: trainable(cfg, adapter))
  return {'/'.join(k.key for k in path): list(x.shape)
          for path, x in jax.tree_util.tree_leaves_with_path(params)}


def judged(experiment: str, scale: str):
  """Of each claim, in order, how it is judged on the committed table."""
  import pandas as pd
  module = sweep.experiment(str(experiment_file(experiment)))
  table = pd.read_csv(results.RESULTS / module.name / f'{scale}.csv')
  return claims.judge_experiment(module, table)


def held(judgement) -> str:
  """What the older rule says of a claim, in the words of verdicts.json."""
  return {True: 'yes', False: 'no', None: 'not tested at this scale'}[
      judgement.held]


def experiment_file(experiment: str) -> Path:
  return sweep.ROOT / f'experiments/{RENAMED.get(experiment, experiment)}.py'


def experiment_text(experiment: str) -> str:
  """Empty before the file has its new name."""
  path = experiment_file(experiment)
  return path.read_text(encoding='utf-8') if path.exists() else ''


def test_every_golden_has_its_test():
  assert list(golden('worlds')) == [*WORLDS, *(f'text/{k}' for k in TEXT)]
  assert list(golden('train_steps')) == list(golden('trees')) == CASES
  assert len(golden('verdicts')) == 190


@pytest.mark.parametrize('name', WORLDS)
def test_world_writes_the_same_texts(name):
  assert world_hashes(name) == golden('worlds')[name]


@pytest.mark.parametrize('name', TEXT)
def test_text_stream_has_the_same_documents(name, tmp_path):
  assert text_hashes(TEXT[name], tmp_path) == golden('worlds')[f'text/{name}']


@pytest.mark.parametrize('name', CASES)
def test_train_step(name):
  found, wanted = three_steps(name), golden('train_steps')[name]
  assert found['batches'] == wanted['batches']
  assert len(found['sums']) == len(wanted['sums']) == 3
  for ours, theirs in zip(found['sums'], wanted['sums']):
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
      np.testing.assert_allclose(ours[key], value, rtol=RTOL, err_msg=key)


@pytest.mark.parametrize('name', CASES)
def test_parameter_tree(name):
  assert tree(name) == golden('trees')[name]


@pytest.mark.parametrize('experiment', EXPERIMENTS)
def test_claims_keep_the_older_rules_verdicts(experiment):
  """The older rule says of every claim what it said; new claims come last."""
  if '\nCLAIMS = ' not in experiment_text(experiment):
    pytest.skip('its claims are not data yet')
  old = [r for r in golden('verdicts') if r['experiment'] == experiment]
  new = judged(experiment, old[0]['scale'])
  assert len(new) >= len(old)
  for row, judgement in zip(old, new):
    assert held(judgement) == row['reproduced'], row


def record():
  """Writes every golden but the verdicts, from this code."""
  import tempfile
  worlds = {name: world_hashes(name) for name in WORLDS}
  for name, changes in TEXT.items():
    with tempfile.TemporaryDirectory() as folder:
      worlds[f'text/{name}'] = text_hashes(changes, Path(folder))
  GOLDENS.mkdir(exist_ok=True)
  for name, value in {
      'worlds': worlds, 'trees': {name: tree(name) for name in CASES},
      'train_steps': {name: three_steps(name) for name in CASES}}.items():
    (GOLDENS / f'{name}.json').write_text(json.dumps(
        value, indent=1, ensure_ascii=False) + '\n', encoding='utf-8')


if __name__ == '__main__':
  record()
