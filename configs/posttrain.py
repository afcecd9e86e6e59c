"""Post-training of a finished run, on its own world.

  python -m physics_lm.train --config=configs/posttrain.py:grpo \\
    --config.init_from=runs/compose --workdir=runs/grpo \\
    --config.data.tasks.problems.split=train_d6

Worlds, tasks, vocabulary, seed of the world, model and evaluations are those of
the run that it starts from (a folder); further flags override them. Any world
whose checker can judge an answer will do. The variants are choices of
coefficients of one estimator (physics_lm/posttrain/objectives.py):

  reinforce  the reward less nothing
  rloo       less the mean of the others in the group (arXiv 2402.14740)
  grpo       less the group's mean, over its spread; mean over each answer
             (2402.03300), without the KL
  dr_grpo    less the group's mean, over a constant (2503.20783)
  dapo       as grpo over tokens, clip .2/.28, four steps a rollout (2503.14476)
  ppo        as rloo, clip .2, four steps a rollout; no critic (1707.06347)
  ppo_critic the same with a critic, lambda .95: a head on the policy's trunk
  gspo       ratio and clip of answers (2507.18071)
  cispo      clipped ratios as weights (2506.13585)
  rft        supervised on own correct answers
  dpo, cdpo, ipo, kto, simpo, rpo   pairs of the frozen run's own answers
  spin       the world's answers against those of the frozen run (2401.01335)
  reward_model, outcome_verifier, process_verifier   a head that scores answers,
      on the same pairs (physics_lm/posttrain/score.py)
"""

from ml_collections import ConfigDict

from physics_lm.configs import default

PERIOD = {'every': 4}  # steps on one rollout
VARIANTS = {
    'reinforce': {'kind': 'reinforce', 'baseline': 'none'},
    'rloo': {'kind': 'reinforce'},
    'grpo': {'kind': 'ppo', 'baseline': 'group_std', 'norm': 'sequence'},
    'dr_grpo': {'kind': 'ppo', 'baseline': 'mean'},
    'dapo': PERIOD | {'kind': 'ppo', 'baseline': 'group_std', 'norm': 'token',
                      'clip_high': 0.28},
    'ppo': PERIOD | {'kind': 'ppo'},
    'ppo_critic': PERIOD | {'kind': 'ppo', 'baseline': 'value', 'trace': 0.95},
    'gspo': PERIOD | {'kind': 'gspo', 'baseline': 'group_std',
                      'norm': 'sequence', 'clip_low': 3e-4,
                      'clip_high': 4e-4},
    'cispo': PERIOD | {'kind': 'cispo', 'norm': 'token'},
    'rft': {'kind': 'reinforce', 'baseline': 'filter', 'norm': 'token'},
    'dpo': {'kind': 'dpo', 'beta': 0.1},
    'cdpo': {'kind': 'dpo', 'beta': 0.1, 'smoothing': 0.1},
    'ipo': {'kind': 'ipo', 'beta': 0.1},
    'kto': {'kind': 'kto', 'beta': 0.1},
    'simpo': {'kind': 'simpo', 'beta': 2.0, 'margin': 1.0},
    'rpo': {'kind': 'dpo', 'beta': 0.1, 'nll': 1.0},
    'spin': {'kind': 'dpo', 'beta': 0.1, 'pairs': 'data', 'samples': 1},
    **{kind: {'kind': kind} for kind in (
        'reward_model', 'outcome_verifier', 'process_verifier')},
}


def get_config(variant: str = 'grpo') -> ConfigDict:
  """variant: a key of VARIANTS. Raises ValueError."""
  if variant not in VARIANTS:
    raise ValueError(f'variant is {variant!r}, wanted one of '
                     f'{", ".join(VARIANTS)}')
  c = default.get_config()
  c.post.update(VARIANTS[variant])
  c.data.batch_size = 128  # answers: 16 prompts, or 64 pairs
  o = c.optim
  o.name, o.learning_rate, o.weight_decay, o.b2 = 'adamw', 3e-4, 0.0, 0.95
  o.schedule, o.final_lr_fraction, o.warmup_steps = 'constant', 1.0, 0
  c.steps, c.log.every = 120, 10
  c.checkpoint.every = c.steps
  c.evals = {}
  return c
