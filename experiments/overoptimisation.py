"""How far can a reward model be trusted as a stand-in for the gold reward?

Gao et al. (arXiv 2210.10760) chose answers by a reward model (best of n), or
trained a policy on it: gold rose, then fell with the distance (KL) from the
start. There a larger model was gold. Here gold is exact, and so is the most
that any policy can have at a distance (ideal): texts are 16 symbols of a Markov
chain, z is how many are of one half of the alphabet, in standard deviations
from the mean; gold is z - z^2 / 3, best (0.75) at 1.5. Reward models
(Bradley-Terry, 3,072 pairs of samples, four epochs) are sums over tokens, which
cannot bend, or transformers, with clean labels or 25 % flipped; policies: RLOO.

  python -m physics_lm.launch experiments/overoptimisation.py --scale=cpu
  python -m physics_lm.report experiments/overoptimisation.py --scale=cpu

Predicted (seed 9, not reported), gold at best of 16, at best of 1,024: additive
0.64, 0.13; transformer 0.71, 0.74; with flips 0.63, 0.20; ranked 95, 99, 92 %.
Without a bend z still rises by 1 from 16 to 1,024. Policies, peak and end:
additive 0.47 at 1.8 nats, -0.28 at 7.5; flips 0.47, -0.12; gold itself 0.54,
0.54 at 1.7: less than best of n has at the same distance.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, above, at_least, at_most, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

FILE, GOLD, BEND, GOLD_ARM = (
    'configs/markov.py:scored', 'bend:1.5', 'additive, no bend', 'gold itself')
ADDITIVE = {'model.positions': 'uniform', 'model.mlp_ratio': 0.0,
            'model.depth': 1}
PROXIES = {
    'additive': ADDITIVE, 'transformer': {},
    'transformer, flips': {'post.label_noise': 0.25},
    BEND: ADDITIVE | {'post.reward': 'count'}}
POLICIES = ('additive', 'transformer, flips', GOLD_ARM)
SCALES = {
    'smoke': dict(seeds=1, proxies=('additive',), policies=('additive',),
                  base=scales.SCORED_SMOKE | {'steps': 4},
                  head=scales.SCORED_SMOKE | {
                      'steps': 4, 'post.every': 4, 'checkpoint.every': 4},
                  rl=scales.SCORED_SMOKE | {'steps': 2, 'checkpoint.every': 2},
                  pool=32, samples=16, every=1),
    'cpu': dict(seeds=5, proxies=PROXIES, policies=POLICIES, base={}, head={},
                rl={}, pool=8192, samples=512, every=6)}


def runs(scale: str) -> list[Run]:
  """Of each seed the start, the reward models and the policies."""
  s, out = pick(SCALES, scale), []
  for seed in range(s['seeds']):
    keys = scales.seeds(seed)
    base = Run(FILE, s['base'] | keys, {'arm': 'base', 'how': 'start',
                                        'seed': seed})
    heads = {arm: Run(
        FILE, scales.SCORED_HEAD | {'post.reward': GOLD} | s['head']
        | PROXIES[arm] | keys | scales.scored(
            'chosen', 'selection', PROXIES[arm].get('post.reward', GOLD),
            s['pool']), {'arm': arm, 'how': 'best of n', 'seed': seed},
        needs={'post.pairs_run': base}) for arm in s['proxies']}
    out += [base, *heads.values(), *(Run(
        FILE, scales.SCORED_RL | s['rl'] | keys | scales.scored(
            'policy', 'policy', GOLD, s['samples'], every=s['every'])
        | {'post.reward': 'model' if arm in heads else GOLD},
        {'arm': arm, 'how': 'policy', 'seed': seed}, base, needs={
            'post.reward_run': heads[arm]} if arm in heads else {})
                for arm in s['policies'])]
  return out


def table(records):
  """A row a run and n, or step: kl (nats), gold, ideal; of a run also ranked
  (%, pairs in gold's order), peak (the highest gold), fall from it, last."""
  rule = {'rule': 'score'}
  df = results.wide(records, 'chosen', {'gold': 'gold'}, ['k'], rule)
  far = results.wide(records, 'chosen', ('ideal', 'kl'), ['k'])
  df = df.merge(far[['run', 'k', 'ideal', 'kl']], on=['run', 'k'], how='left')
  ranked = results.wide(records, 'chosen', {'ranked': 'ranked'}, percent=True)
  df = df.merge(ranked[['run', 'ranked']], on='run', how='left')
  df = results.below(df, results.during_training(records, 'policy', {
      'gold': 'gold/test', 'kl': 'kl/test'}).rename(columns={'step': 'k'}))
  by = df.groupby('run', sort=False)
  df['peak'] = by.gold.transform('max')
  df['fall'], df['last'] = df.peak - df.gold, df.k == by.k.transform('max')
  return df


def summary(df):
  """Means by arm, way of optimising, and n or step."""
  return results.summarise(df, ['arm', 'how', 'k'], [
      'kl', 'gold', 'ideal', 'ranked', 'peak', 'fall'])


def figure(df):
  """Gold over the distance; accuracy against gold of the best of most."""
  fig, (axes,) = figures.grid(3, width=3.9, height=3.6)
  s = summary(df[df.arm != BEND]).assign(distance=lambda x: x.kl_mean**0.5)
  colours = dict(zip((*PROXIES, GOLD_ARM), figures.COLOURS))
  for ax, how in zip(axes, ('best of n', 'policy')):
    for arm, colour in colours.items():
      figures.curves(ax, s[(s.arm == arm) & (s.how == how)].assign(arm=arm),
                     'distance', 'arm', 'gold', color=colour)
    best = s[s.ideal_mean.notna() & (s.arm == 'additive')]
    ax.plot(best.distance, best.ideal_mean, '--', color=figures.INK,
            linewidth=1, label='ideal, exact')
    figures.labels(ax, 'square root of KL, nats', 'gold', how.capitalize())
  ends = df[(df.how == 'best of n') & (df.arm != BEND)]
  ends = ends[ends.k == ends.k.max() // 8]
  for arm, rows in ends.groupby('arm', sort=False):
    axes[2].plot(rows.ranked, rows.gold, 'o', color=colours[arm], label=arm)
  for ax, where in zip(axes, ('lower left', 'lower left', 'center right')):
    figures.legend(ax, loc=where)
  figures.labels(axes[2], 'pairs in the order of gold, %', 'gold',
                 f'Best of {ends.k.max():,}, by seed')
  figures.finish(fig, 'A reward model instead of the gold reward', figures.
                 seeds_note(s) + ';  3,072 pairs; the best text has 0.75')
  return fig


def _at(arm: str, k: int | None = None) -> dict:
  return {'arm': arm} | ({'how': 'policy', 'last': True} if k is None
                         else {'how': 'best of n', 'k': k})


GAO, NONE = 'Gao et al. 2210.10760', '—'
UNIT, FLIPS = {'unit': '', 'column': 'gold'}, 'transformer, flips'
CLAIMS = (
    *(above(name, f'{text}: gold of best of 1,024 is at least 0.2 below best '
            'of 16', source, _at(arm, 16), _at(arm, 1024), rule=greater(0.2),
            headline=arm == FLIPS, **UNIT) for name, text, source, arm in (
                ('additive_humps', 'No bend possible', GAO, 'additive'),
                ('flips_hump', '25 % of labels flipped',
                 'Coste et al. 2310.02743', FLIPS))),
    Claim('clean_is_safe', 'Transformer, clean labels: best of 1,024 has at '
          'least 0.65', GAO, NONE, (_at('transformer', 1024),), at_least(0.65),
          **UNIT),
    above('no_bend_no_hump', 'Where gold is additive it rises by 0.5 or more '
          'from best of 16 to 1,024', 'ours', _at(BEND, 1024), _at(BEND, 16),
          rule=greater(0.5), **UNIT),
    above('accuracy_is_no_guide', 'The additive model orders more pairs '
          'correctly than the one with flips', 'ours', _at('additive', 16),
          _at(FLIPS, 16), column='ranked'),
    Claim('policies_fall', 'Policies fall by at least 0.3 from their peak', GAO,
          NONE, ((_at('additive'),), (_at(FLIPS),)), at_least(0.3), 'fall',
          unit='', headline=True),
    Claim('gold_does_not_fall', 'On gold itself they fall by at most 0.1',
          'ours', NONE, (_at(GOLD_ARM),), at_most(0.1), 'fall', unit=''),
    above('best_of_n_peaks_higher', "Best of n has a peak above the policy's "
          'by at least 0.05', GAO, _at('additive', 16), _at('additive'),
          rule=greater(0.05), unit='', column='peak'),
)
