"""What of a teacher's distribution is needed, and what does truncation cost?

Distillation trains on a teacher's distribution of the next token (Hinton et
al., 1503.02531). Peng et al. (2410.16215), Busbridge et al. (2502.08606,
appendix G): full distributions beat the data's own labels; the teacher's top k
alone costs 0.1 nats, mixed with the data's labels nothing; temperature 1 is
best, reverse relative entropy worse.

A language of 64 symbols, rows by powers of the rank: the teacher can be the
exact distribution, and what truncated labels teach is known: with weight l on a
renormalised top k, the student's optimum is (1 - l) p + l p_k (teacher.py), its
excess loss KL(p || that). `kl` is the measured excess on fresh texts.

  python -m physics_lm.launch experiments/soft_labels.py --scale=cpu
  python -m physics_lm.report experiments/soft_labels.py --scale=cpu

Predicted, kl at 32k, 125k and 500k tokens: hard labels 0.29, 0.08, 0.02, full
distributions 0.11, 0.003, below 0.001. At 500k: top 8, 16, 32 with l 0.7 0.25,
0.15, 0.07, as derived; alone 2.9; a tail 0.2, with l 0.7 0.01; 1, 8, 64 draws
0.016, 0.003, 0.001; temperature 2, reverse: as full.
"""

import functools

import numpy as np

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, at_most, greater
from physics_lm.config import load_config
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick
from physics_lm.worlds import markov
from physics_lm.worlds.base import make_world

RECIPE = 'configs/markov.py:language'
SOME = {'weight': 0.7}  # beside the data's own labels
ARMS = {
    'hard labels': {'run': ''}, 'full law': {},
    **{f'top {k}, weight 0.7': SOME | {'top': k} for k in (8, 16, 32)},
    'top 1': {'top': 1}, 'top 8': {'top': 8},
    'top 8 and tail': {'top': 8, 'rest': 'tail'},
    'top 8 and tail, weight 0.7': SOME | {'top': 8, 'rest': 'tail'},
    **{f'{k} draws': {'top': k, 'rest': 'sampled'} for k in (1, 8, 64)},
    'temperature 0.5': {'temperature': 0.5},
    'temperature 2': {'temperature': 2.0}, 'reverse': {'divergence': 'reverse'}}
BOTH = ('hard labels', 'full law')
CELL_NAMES = {'full law': 'full distribution'}
SCALES = {  # {tokens: arms}
    'smoke': dict(tokens={2048: BOTH}, seeds=1, common=scales.SMOKE_LOG | {
        'model.width': 16, 'evals.law.num_problems': 8}),
    'cpu': dict(tokens={32_000: BOTH, 125_000: BOTH, 500_000: tuple(ARMS)},
                seeds=5, common={}),
    'gpu': dict(tokens={500_000: BOTH, 4_000_000: tuple(ARMS)}, seeds=5,
                common={'model.width': 256, 'optim.learning_rate': 3e-3}),
}


def runs(scale: str) -> list[Run]:
  """Every (tokens, arm, seed)."""
  s = pick(SCALES, scale)
  return [Run(RECIPE, {
      'steps': tokens // 512, 'optim.warmup_steps': tokens // 512 // 20,
      **{f'teacher.{k}': v for k, v in ({'run': 'law'} | ARMS[arm]).items()}}
      | s['common'] | scales.seeds(seed),
      {'tokens': tokens, 'arm': arm, 'seed': seed})
          for tokens, arms in s['tokens'].items() for arm in arms
          for seed in range(s['seeds'])]


@functools.cache
def expected(seed: int, top: int, weight: float) -> float:
  """Excess loss, nats per symbol, at the least of the loss of truncated labels:
  exact, on 256 test texts of a seed's language."""
  world = make_world(load_config(RECIPE).worlds.chain, seed)
  law = world.predictors('test', np.arange(256))['chain']
  best = markov.taught(law, top, weight)
  some = law > 0
  ratio = np.log(law, where=some, out=np.zeros_like(law)) - np.log(
      best, where=some, out=np.zeros_like(law))
  return float((law * ratio).sum(-1).mean())


def table(records):
  """A row a run; `expected`: of truncated labels beside the data's."""
  df = results.wide(records, 'law', {'kl': 'kl'}, where={
      'split': 'test', 'law': 'chain'})
  df['expected'] = [
      expected(seed, ARMS[arm]['top'], 0.7) if arm.startswith('top')
      and arm.endswith(', weight 0.7') and 'tail' not in arm else np.nan
      for seed, arm in zip(df.seed, df.arm)]
  df['difference'] = df.kl - df.expected
  return df


def summary(df):
  """Means by tokens and arm."""
  return results.summarise(df, ['tokens', 'arm'], ['kl', 'expected'])


def figure(df):
  """Excess loss by arm at the most tokens; by tokens, hard and full."""
  s = summary(df)
  fig, ((left, right),) = figures.grid(2, width=4.6, height=4.4)
  rows = s[s.tokens == s.tokens.max()].sort_values('kl_mean')
  figures.bars(left, rows, 'kl', [CELL_NAMES.get(a, a) for a in rows.arm], [
      figures.colour(a) for a in rows.arm], list(rows.expected_mean),
               horizontal=True, digits=None)
  left.set_xscale('symlog', linthresh=1e-3)
  figures.labels(left, 'excess loss, nats per symbol', '',
                 f'{rows.tokens.iloc[0]:,} tokens')
  figures.curves(right, s, 'tokens', 'arm', 'kl', dict(zip(BOTH, (
      'hard labels', 'full distribution'))))
  right.set(xscale='log', yscale='log')
  figures.plain_ticks(right)
  figures.labels(right, 'tokens', 'excess loss, nats per symbol',
                 'Labels of the data, or the distribution')
  figures.legend(right)
  figures.finish(fig, 'Soft labels from the exact distribution of a language',
                 f'{figures.seeds_note(s)};  diamonds: expected for truncated '
                 'labels')
  return fig


def _at(arm: str, tokens: int = 500_000) -> dict:
  return dict(arm=arm, tokens=tokens)


PENG, BUSBRIDGE = 'Peng et al. 2024', 'Busbridge et al. 2025, appendix G'
NATS = dict(column='kl', unit='nats/symbol')
CLAIMS = (
    Claim('soft_helps', 'The full distribution beats the data\'s labels at '
          '32,000, 125,000 and 500,000 tokens', PENG, 'better', tuple(
              (_at('hard labels', n), _at('full law', n))
              for n in (32_000, 125_000, 500_000)), greater(), headline=True,
          **NATS),
    Claim('truncation_as_derived', 'Top 8, 16, 32 with weight 0.7: excess loss '
          'within 0.02 of the derived one', 'ours', 'derived',
          tuple((_at(f'top {k}, weight 0.7'),) for k in (8, 16, 32)),
          claims.between(-0.02, 0.02),
          'difference', unit='nats/symbol'),
    Claim('top_alone', 'The top 8 alone cost more than with the data\'s labels',
          BUSBRIDGE, '0.1 nats, with labels 0.01', (
              _at('top 8'), _at('top 8, weight 0.7')), greater(), **NATS),
    Claim('draws_suffice', '64 draws: excess loss at most 0.005', 'Gemma 3',
          '256 draws are used', (_at('64 draws'),), at_most(0.005), **NATS),
    Claim('tail_needs_labels', 'A tail alone is worse than with the data\'s '
          'labels', 'ours', '—', (
              _at('top 8 and tail'), _at('top 8 and tail, weight 0.7')),
          greater(), **NATS),
)
