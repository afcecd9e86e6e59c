"""What evaluations cost: tokens counted by hand, seconds of finished runs."""

import pytest

from physics_lm import cost, eval_cost, sweep
from physics_lm.config import load_config, override
from physics_lm.evals import registry
from physics_lm.mixture import load_mixture


def work(config, name):
  data = load_mixture(config)
  spec = config.evals[name]
  return eval_cost.COSTS[spec.kind](eval_cost.Evaluated(spec, config, data, 1))


def test_every_kind_of_evaluation_has_a_cost():
  assert eval_cost.COSTS.keys() == registry.KINDS.keys()


def test_eval_times_count_the_steps_at_which_the_loop_evaluates(tiny):
  for steps, every in ((6, 3), (7, 3), (6, 6), (6, 7), (6, None)):
    config = tiny({'steps': steps, 'evals.loss.every': every} if every else {
        'steps': steps})
    due = [s for s in range(steps + 1) if s == steps or (
        every and s % every == 0)]
    assert eval_cost.eval_times(config, config.evals.loss) == len(due)


@pytest.mark.parametrize('wordings', [False, True])
def test_tokens_of_extraction_are_those_of_its_rows(tiny, wordings):
  config = tiny({'evals.extraction.wordings': wordings})
  made = registry.build(config, load_mixture(config))['extraction']
  found = work(config, 'extraction').read
  assert found == pytest.approx((made.packed['segments'] > 0).sum(), rel=0.1)


def test_sampled_answers_are_counted_by_problem_and_sample():
  config = override(load_config('configs/compose.py'), {
      'evals.chosen.kind': 'selection', 'evals.chosen.world': 'compose',
      'evals.chosen.splits': 'test_d3,test_d4', 'evals.chosen.num_problems': 5,
      'evals.chosen.num_samples': 64, 'evals.chosen.reward': 'full',
      'evals.chosen.max_new_tokens': 2})
  assert work(config, 'chosen').written == 2 * 5 * 64 * 2


# Seconds of the last evaluations of finished runs, on one core of the machine
# in bench/RESULTS.md beside other work: (recipe, changes, median, runs).
TWO = 'test_op3,test_op4'
FOUR = {'model.depth': 4, 'model.width': 128}  # compact when it was measured
MEASURED = {
    'solutions': ('configs/igsm.py:compact', FOUR | {
        'evals.reasoning.num_problems': 1000}, 34.0, 29),
    '4 and 16 beams': ('configs/igsm.py:compact', {
        'evals.loss.num_rows': 8, 'evals.reasoning.num_problems': 8} | {
            f'evals.beam{n}.{k}': v for n in (4, 16) for k, v in {
                'kind': 'solutions', 'world': 'igsm', 'splits': 'test_op5',
                'num_problems': 300, 'max_new_tokens': 96,
                'decode': f'beam:{n}'}.items()}, 23.4, 1),
    'retry_upon_regret': ('configs/igsm.py:compact_regret', {
        'evals.reasoning.num_problems': 8, 'evals.beam4.num_problems': 1,
        'evals.beam16.num_problems': 1, 'evals.regret.num_problems': 300,
        'evals.regret.splits': 'test_op5,test_op6',
        'evals.regret.verifier_split': 'train_op5',
        'evals.regret.verifier_problems': 1000}, 310.0, 1),
    'best_of_n': ('configs/igsm.py:compact_best_of', FOUR | {
        'evals.reasoning.num_problems': 1000,
        'evals.reasoning.splits': 'test_op5', 'evals.best_of.splits':
        'test_op5', 'evals.best_of.num_problems': 300,
        'evals.best_of.verifier_problems': 750}, 137.4, 5),
    'probes of iGSM': ('configs/igsm.py:compact_probes', FOUR | {
        'evals.reasoning.num_problems': 1000, 'evals.reasoning.splits': TWO} | {
            f'evals.{probe}.{k}': v for probe in (
                'nece', 'dep', 'can_next', 'known', 'value', 'nece_next')
            for k, v in (('splits', TWO), ('num_problems', 300))}, 200.3, 5),
    'policy': ('configs/compose.py', {
        'evals.policy.kind': 'policy', 'evals.policy.world': 'compose',
        'evals.policy.max_new_tokens': 12, 'evals.policy.num_problems': 64,
        'evals.policy.num_samples': 128, 'evals.policy.splits':
        'test_d5,test_d6,test_d7,test_d8,test_d9'}, 7.8, 35),
    'q_probe': ('configs/biographies.py:compact_single', {
        'model.width': 128, 'worlds.bios.people': 1000,
        'evals.extraction.wordings': True, 'evals.q_probe.kind': 'q_probe',
        'evals.q_probe.rank': 16, 'evals.q_probe.batch': 100,
        'evals.q_probe.steps': 300}, 41.3, 54)}


@pytest.mark.parametrize('name', MEASURED)
def test_predicted_seconds_are_within_a_factor_of_two(name):
  recipe, changes, seconds, _ = MEASURED[name]
  found = cost.run_cost(sweep.Run(recipe, changes, {}), 'cpu')['evals']
  assert seconds / 2 < found < 2 * seconds
