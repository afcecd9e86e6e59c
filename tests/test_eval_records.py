"""Rows of every kind of evaluation: the slices are those of the contract."""

import json
import math

import jax
import numpy as np
import pytest

from physics_lm.clean.pipeline import rule_names
from physics_lm.config import override
from physics_lm.configs import clean as clean_recipe
from physics_lm.configs import compose as compose_recipe
from physics_lm.configs import crawl as crawl_recipe
from physics_lm.configs import default
from physics_lm.configs import grammar as grammar_recipe
from physics_lm.configs import igsm as igsm_recipe
from physics_lm.configs import manipulation as manipulation_recipe
from physics_lm.configs import markov as markov_recipe
from physics_lm.configs import recall as recall_recipe
from physics_lm.evals import records, registry, teacher_forcing
from physics_lm.evals.igsm import contamination
from physics_lm.mixture import load_mixture
from physics_lm.worlds import crawl
from tests.compiled import init
from tests.conftest import TINY

IGSM = {'worlds.igsm.max_op': 3, 'worlds.igsm.items_per_subcategory': 3,
        'data.seq_len': 192, 'data.batch_size': 4,
        'model.width': 16, 'model.depth': 1,
        'model.heads': 2, 'steps': 2}
FEW = {'num_problems': 6, 'max_new_tokens': 24, 'num_samples': 2,
       'verifier_problems': 3, 'verifier_samples': 2, 'people': 4, 'steps': 2,
       'batch': 4, 'num_rows': 2, 'rank': 2}

# kind -> slices in order, and the values that each may take; int: any number.
ALL = ('all',)
CONTAMINATED = ('all', 'no', 'yes')
ATTRIBUTES = ('birth_date', 'birth_city', 'university', 'major', 'employer',
              'company_city')
HALVES = ('train', 'test')
PROBED = (*ATTRIBUTES, *(f'first_{a}' for a in ATTRIBUTES[1:]), 'whole',
          'first')
SLICES = {
    'answers': {'attribute': ('all', 'copy')},
    'extraction': {
        'person_split': HALVES, 'text': ('question', 'biography'),
        'attribute': (*ATTRIBUTES, 'mean', 'alone', 'joined', 'sized'),
        'value_tokens': ('all', 'one', 'more')},
    'manipulation': {'person_split': HALVES, 'task': (
        'month_mod2', 'luck_rank')},
    'p_probe': {'person_split': HALVES, 'target': PROBED,
                'position': ('all', int)},
    'q_probe': {'person_split': HALVES, 'target': PROBED, 'position': ALL},
    'solutions': {
        'split': ('test', 'train'), 'op': ('all', int),
        'contaminated': CONTAMINATED, 'error_type': (
            'all', 'unreadable', 'unknown_quantity', 'duplicate',
            'not_computable', 'arithmetic', 'end')},
    'best_of_n': {
        'split': ('test', 'train', 'verifier'),
        'choice': ('all', 'first', 'majority', 'outcome', 'process', 'oracle'),
        'n_samples': ('all', int), 'contaminated': CONTAMINATED},
    'retry_upon_regret': {
        'split': ('test', 'train'),
        'detector': ('all', 'none', 'probe', 'state', 'ready', 'checker'),
        'label': ('all', 'positive', 'negative'),
        'contaminated': CONTAMINATED},
    'v_probe': {
        'split': ('test', 'train'), 'model': ('all', 'trained', 'untrained'),
        'layer': ('all', 'last', int),
        'label': ('all', 'positive', 'negative', 'balanced'),
        'needed': ('all', 'no'), 'position': ('all', 'before'),
        'distance': ('all', int)},
    'linear_probe': {
        'split': ('test', 'train'), 'model': ('all', 'trained', 'untrained'),
        'layer': ('all', 'last', int),
        'label': ('all', 'positive', 'negative', 'balanced'),
        'needed': ('all', 'no'), 'position': ('all', 'before'),
        'distance': ('all', int)},
    'knowledge_bits': {'term': ('all', 'name', 'value', 'diversity'),
                       'rank': ('all', int)},
    'loss': {'task': ('bio', 'qa')},
    'grammar': {},
    'grammar_attention': {
        'model': ('trained', 'untrained'), 'layer': ('all', int),
        'level': ('all', int), 'pairs': (
            'all', 'to_end', 'end_to_end', 'random', 'subtrees', 'patched'),
        'at': ('all', 'end', 'other', int)},
    'grammar_noise': {'law': ('model', 'exact'),
                      'errors': ('before', 'after')},
    'grammar_samples': {'prefix': ('none', 'clean', 'corrupted'),
                        'law': ('model', 'exact')},
    'grammar_tree': {
        'task': ('end', 'symbol'), 'level': (int,), 'model': (
            'all', 'trained', 'untrained', 'window', 'exact'),
        'layer': ('all', int)},
    'markov': {'split': ('test', 'new'), 'law': (
        'model', 'uniform', 'chain', *(
            f'{n}_{how}' for n in ('unigram', 'bigram')
            for how in ('inference', 'retrieval')))},
    'metrics_of_answers': {'answers': ('all', int)},
    'policy': {'split': ('test', 'train'), 'k': ('all', int)},
    'score_norms': {'split': ('test', 'train')},
    'selection': {'split': ('test', 'train'), 'rule': (
        'one', 'oracle', 'likelihood', 'vote'), 'k': ('all', int)},
    'cleaning': {'label': crawl.LABELS, 'rule': (
        'all', *rule_names(clean_recipe.get_config()))},
}
METRICS = {
    'answers': {'accuracy'},
    'extraction': {'accuracy', 'first_token_accuracy', 'majority_baseline'},
    'manipulation': {'acc_no_cot', 'acc_cot', 'cot_fact_acc',
                     'majority_baseline'},
    'p_probe': {'accuracy', 'majority_baseline'},
    'q_probe': {'accuracy', 'majority_baseline'},
    'solutions': {'accuracy', 'answer_accuracy', 'ended', 'majority_baseline',
                  'op', 'retries_wrong', 'first_error', 'correct_with_retry',
                  'query_early'},
    'best_of_n': {'accuracy', 'answer_accuracy', 'verifier_solutions',
                  'verifier_accuracy'},
    'retry_upon_regret': {'accuracy', 'answer_accuracy', 'ended', 'retries',
                          'used_up', 'right_sentences', 'wrong_sentences',
                          'early_sentences', 'probe_recall'},
    'v_probe': {'accuracy', 'majority_baseline', 'positive_share'},
    'linear_probe': {'accuracy', 'majority_baseline', 'positive_share'},
    'knowledge_bits': {
        'bits', 'bits_max', 'bits_unclipped', 'parameters', 'bits_per_param',
        'bits_per_param_max', 'name_nats', 'value_nats', 'first_nats',
        'storage_bits'},
    'loss': {'loss'},
    'grammar': {'nll', 'entropy', 'kl', 'kl_error', 'kl_end',
                'forced_accuracy', 'accuracy', 'majority_baseline',
                'forced_tokens'},
    'grammar_attention': {'share', 'of_distance', 'excess', 'patch_at_end',
                          'patch_elsewhere'},
    'grammar_noise': {'kl', 'error_mass', 'posterior'},
    'grammar_samples': {'valid', 'ended'},
    'grammar_tree': {'accuracy', 'log_score', 'f1', 'majority_baseline'},
    'markov': {'loss', 'kl'},
    'metrics_of_answers': {'nats', 'brier', 'exact'},
    'policy': {'accuracy', 'pass_at_k', 'length', 'ended', 'outcome', 'worked'},
    'score_norms': {'reward'},
    'selection': {'gold', 'kl'},
    'cleaning': {'removed', 'changed', 'memorised', 'span_loss'},
}
MAY_HAVE = {  # metrics of what an untrained model has none, or few, of
    'knowledge_bits': {'known', 'frequency', 'accuracy'},  # of bioD
    'solutions': {'retries', 'extra_parameters', 'extra_operations',
                  'extra_parameters_unplanned', 'retry_precision',
                  'retry_mistakes'},
    'best_of_n': {'auc'},
    'grammar_samples': {'distinct', 'surprisal', 'reverse_kl'},
    'score_norms': {
        'baseline', 'baseline_logits', 'baseline_measured', 'norm_ratio',
        'norm_ratio_logits', 'variance_mean', 'variance_best', 'variance_one',
        'variance_others'},
    'retry_upon_regret': {'false_alarm_rate', 'detected', 'detected_early'}}


def config_of(kind):
  """A tiny config with one evaluation, `it`, of the kind."""
  if kind.startswith('grammar'):
    c, changes = grammar_recipe.get_config(), {
        'worlds.cfg.levels': 3, 'model.width': 16, 'model.depth': 1}
    if kind in ('grammar_noise', 'grammar_samples'):
      changes |= {'worlds.cfg.noise': 0.2, 'worlds.cfg.corrupted': 0.5}
  elif kind in ('answers', 'metrics_of_answers'):
    c, changes = recall_recipe.get_config(), {
        'worlds.copy.max_length': 18, 'data.seq_len': 38, 'data.batch_size': 4}
  elif kind == 'markov':
    c, changes = markov_recipe.get_config(), {
        'worlds.chain.chains': 2, 'worlds.chain.length': 12,
        'data.seq_len': 26, 'data.batch_size': 4, 'model.width': 16,
        'model.depth': 1}
  elif kind in ('policy', 'score_norms', 'selection'):
    c, changes = compose_recipe.get_config(), {
        'model.width': 16, 'model.depth': 1}
  elif kind == 'cleaning':
    c = crawl_recipe.get_config('rules')
    changes = crawl_recipe.people(10) | {
        'model.width': 16, 'model.depth': 1, 'model.heads': 2}
  elif kind == 'manipulation':
    c = manipulation_recipe.get_config('month_mod2+month_mod2_hint+luck_rank')
    changes = {'worlds.bios.people': 20, 'worlds.bios.templates': 3,
               'model.width': 16, 'model.depth': 2, 'model.heads': 2}
  elif kind == 'linear_probe':
    c, changes = igsm_recipe.get_config('compact'), {
        'model.width': 16, 'model.depth': 1}
  elif kind in ('solutions', 'best_of_n', 'retry_upon_regret', 'v_probe'):
    c, changes = igsm_recipe.get_config(), IGSM
  else:
    c, changes = default.get_config(), {
        k: v for k, v in TINY.items() if k != 'evals.loss.num_rows'}
  world = 'crawl' if kind == 'cleaning' else next(iter(c.worlds))
  e = default.evaluation(kind)
  e.update(FEW)
  e.world, e.tasks = world, 'month_mod2,luck_rank'
  e.splits = 'test' if kind == 'answers' else 'test,train'
  e.decode = 'greedy' if kind == 'solutions' else 'sample'
  e.probe, e.prefixes = 'can_next', 'none,clean,corrupted'
  e.reward = 'full' if kind in ('score_norms', 'selection') else ''
  if kind == 'manipulation':
    e.people = 10  # as in test_manipulation: compiled once
  c.evals = {'it': e}
  return override(c, changes)


@pytest.fixture(scope='module')
def evaluated():
  """A function: kind -> (config, Records of an untrained model), once."""
  done = {}

  def get(kind):
    if kind not in done:
      config = config_of(kind)
      data = load_mixture(config)
      evaluator = registry.build(config, data)['it']
      cfg = teacher_forcing.evaluated_model(config, data)
      params = init(cfg, jax.random.key(0))
      done[kind] = config, evaluator(params, 2)
    return done[kind]

  return get


def allowed(value, values):
  return value in values or (int in values and type(value) is int)


@pytest.mark.parametrize('kind', registry.KINDS)
def test_rows_have_the_slices_of_their_kind(evaluated, kind):
  _, (found, raw) = evaluated(kind)
  assert found and raw
  for row in found:
    sliced = records.slices(row)
    assert list(sliced) == list(SLICES[kind])
    for name, value in sliced.items():
      assert allowed(value, SLICES[kind][name]), (name, row)
  metrics = {r['metric'] for r in found}
  assert METRICS[kind] <= metrics
  assert metrics <= METRICS[kind] | MAY_HAVE.get(kind, set())


@pytest.mark.parametrize('kind', registry.KINDS)
def test_rows_are_finite_numbers_in_plain_json(evaluated, kind, tmp_path):
  _, found = evaluated(kind)
  for row in found.rows:
    assert type(row['value']) is float and math.isfinite(row['value']), row
    assert type(row['n']) is int and row['n'] > 0, row
    if 'low' in row:
      assert row['low'] <= row['value'] + 1e-6
      assert row['value'] <= row['high'] + 1e-6
  json.dumps(found, allow_nan=False)
  assert json.loads(json.dumps(found)) == list(found)
  names = [records.flat_name(r) for r in found.rows]
  assert len(set(names)) == len(names)
  registry.write(tmp_path, 'it', 2, found)
  assert json.loads((tmp_path / 'evals/it/2.json').read_text()) == {
      'rows': found.rows}
  lines = (tmp_path / 'evals/it/2.jsonl').read_text().splitlines()
  assert [json.loads(line) for line in lines] == found.raw


@pytest.mark.parametrize('kind', registry.KINDS)
def test_an_evaluator_called_again_gives_the_same(evaluated, kind):
  config, found = evaluated(kind)
  data = load_mixture(config)
  evaluator = registry.build(config, data)['it']
  cfg = teacher_forcing.evaluated_model(config, data)
  params = init(cfg, jax.random.key(0))
  assert evaluator(params, 2) == evaluator(params, 2) == found
  if kind in registry.OF_TRAINING_SET:
    assert {'all', 'no'} <= {r['contaminated'] for r in found.rows} <= {
        'all', 'no', 'yes'}
    unknown = evaluator(params).rows  # without a step
    assert unknown == [r for r in found.rows if r['contaminated'] == 'all']


@pytest.mark.parametrize('kind', registry.OF_TRAINING_SET)
def test_uncontaminated_rows_are_those_of_new_problems(evaluated, kind):
  config, found = evaluated(kind)
  checker = contamination.TrainingSet(config, None).contamination_checker(2)
  world = load_mixture(config).worlds['igsm']
  by_problem = {}
  for r in found.raw:
    text = world.prompt(world.example(r['split'], r['index']))
    assert r['in_training_set'] == checker(r['split'], text)
    by_problem[r['split'], r['index']] = r['in_training_set']
  for split in ('test', 'train'):
    where = {'solutions': {}, 'best_of_n': {'choice': 'first', 'n_samples': 1},
             'retry_upon_regret': {'detector': 'none'}}[kind]
    row = records.find(found.rows, 'accuracy', split=split,
                       contaminated='no', **where)
    assert row['n'] == sum(not old for (s, _), old in by_problem.items()
                           if s == split)


def test_flat_names_leave_out_marginals():
  row = records.row('accuracy', np.float32(0.5), np.int64(3), (0, 1),
                    split='test', op='all', contaminated='no', layer=0)
  assert row == {'metric': 'accuracy', 'value': 0.5, 'n': 3, 'low': 0.0,
                 'high': 1.0, 'split': 'test', 'op': 'all',
                 'contaminated': 'no', 'layer': 0}
  assert records.flat_name(row) == 'accuracy/test/no/0'
  assert records.flatten([row], 'probe') == {'probe/accuracy/test/no/0': 0.5}
  assert records.flat_name(records.row('loss', 1, 1, task='bio'),
                           'loss') == 'loss/bio'


def test_find_takes_marginals_where_nothing_is_wanted():
  found = [records.row('accuracy', i / 4, 1, split='test', op=op)
           for i, op in enumerate(('all', 1, 2))]
  assert records.find(found, 'accuracy', split='test')['value'] == 0
  assert records.find(found, 'accuracy', split='test', op=2)['value'] == 0.5
  for metric, where in (('accuracy', {}), ('accuracy', {'split': 'test',
                        'op': 3}), ('ended', {'split': 'test'}),
                        ('accuracy', {'split': 'test', 'layer': 1})):
    with pytest.raises(KeyError, match='wanted 1'):
      records.find(found, metric, **where)


def test_intervals_take_test_items_as_the_unit():
  """Six answers about one person that go together tell no more than one."""
  rng = np.random.default_rng(1)
  correct = rng.random(100) < 0.4
  alone = records.bootstrap_ci(np.arange(100), correct)
  six = records.bootstrap_ci(np.repeat(np.arange(100), 6),
                             np.repeat(correct, 6))
  assert six == pytest.approx(alone)
  half = 1.96 * np.sqrt(correct.mean() * (1 - correct.mean()) / 100)
  assert (six[1] - six[0]) / 2 == pytest.approx(half, rel=0.1)
  assert np.mean(six) == pytest.approx(correct.mean(), abs=0.02)
  uneven = records.bootstrap_ci([0] * 90 + [1] * 10, [True] * 90 + [False] * 10)
  assert uneven == (0, 1)  # only two people
  # Ninety questions of one group count for no more than ten of another.
  items, right = np.arange(100), np.arange(100) < 90
  groups = np.repeat(['many', 'few'], (90, 10))
  even = records.accuracy_row('accuracy', items, right, groups, task='x')
  assert even['value'] == 0.5
  assert (even['low'], even['high']) == pytest.approx((0.5, 0.5))
  assert records.bootstrap_ci(items, right)[0] > 0.8
