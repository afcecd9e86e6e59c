"""At equal labels: a reward model, a judge, preferences, or gold itself?

RLHF trains a reward model on labels, a policy on it; RLAIF takes the labels
from a model, direct RLAIF the rewards (Lee et al., 2309.00267: as good as human
labels, direct better still); DPO (2305.18290) needs no reward model; RLVR asks
for gold each time. Here gold is exact: texts are 16 symbols of a Markov chain,
z is how many are of one half of the alphabet, in SD from the mean; gold is z -
z^2 / 3, best (0.75) at 1.5. The start has learned the chain, and to judge from
32,000 verdicts. 512 pairs of its texts are ordered by gold or by the start,
queried in both orders; RLVR at equal labels: 4 steps of 40. Policies: RLOO.

  python -m physics_lm.launch experiments/rlhf_pipeline.py --scale=cpu
  python -m physics_lm.report experiments/rlhf_pipeline.py --scale=cpu

Predicted gold (seed 7, not reported: start -0.26, RLHF 0.49, RLAIF -0.02,
direct 0.13): RLHF 0.45, RLAIF 0.0, 0.3 below its peak, direct 0.15, self-
rewarding 0.0, DPO 0.3, 0.2 by the judge, RLVR -0.1 and with 5,120 labels 0.5.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, above, at_least, equal, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

FILE, GOLD, LENGTH, ROW, STEPS = (  # a row has two texts and a verdict
    'configs/markov.py:judged', 'bend:1.5', 16, 38, 40)
POST = {
    'data.seq_len': LENGTH + 2, 'post.tokens': LENGTH + 1,
    'data.tasks.verdicts.weight': 0.0, 'optim.b2': 0.95,
    'optim.warmup_steps': 0, 'optim.schedule': 'constant',
    'optim.final_lr_fraction': 1.0, 'optim.learning_rate': 3e-4}


def _steps(n: int) -> dict:
  return {'steps': n, 'checkpoint.every': n, 'log.every': n}


RL = _steps(STEPS) | {'post.kind': 'reinforce', 'post.samples': 16,
                      'evals.texts.every': 8}
HEAD = _steps(64) | {
    'post.kind': 'reward_model', 'post.samples': 2, 'post.every': 64,
    'post.epochs': 8, 'optim.learning_rate': 3e-3}
DPO = _steps(64) | HEAD | {
    'post.kind': 'dpo', 'post.beta': 0.1, 'optim.learning_rate': 3e-4}
# {arm: (overrides of the policy, what orders the pairs of its reward model)}
ARMS = {
    'RLHF': (RL | {'post.reward': 'model'}, GOLD),
    'RLAIF': (RL | {'post.reward': 'model'}, 'judge'),
    'direct RLAIF': (RL | {'post.reward': 'grade'}, ''),
    'self-rewarding': (RL | {'post.reward': 'grade'}, ''),
    'DPO, gold labels': (DPO | {'post.reward': GOLD}, ''),
    'DPO, judge labels': (DPO | {'post.reward': 'judge'}, ''),
    'RLVR, 512 labels': (RL | _steps(4) | {'post.reward': GOLD}, ''),
    'RLVR, 5,120 labels': (RL | {'post.reward': GOLD}, '')}
FROZEN = ('direct RLAIF', 'DPO, judge labels')  # judges are the start
SHORT = {'steps': 2, 'checkpoint.every': 2, 'post.every': 1, 'post.epochs': 1}
SCALES = {
    'smoke': dict(seeds=1, arms=('RLAIF',), start=scales.SCORED_SMOKE | {
        'steps': 4}, post=scales.SCORED_SMOKE | SHORT, samples=16),
    'cpu': dict(seeds=5, arms=tuple(ARMS), start={}, post={}, samples=1024)}


def runs(scale: str) -> list[Run]:
  """Of each seed the start, the reward models and the policies."""
  s, out = pick(SCALES, scale), []
  judged = {kind: scales.scored('texts', kind, GOLD, s['samples']) | {
      'evals.texts.max_new_tokens': LENGTH + 1} for kind in (
          'policy', 'selection')}
  verdicts = {'data.seq_len': ROW} | {f'evals.verdicts.{k}': v for k, v in dict(
      kind='answers', world='verdicts', num_problems=s['samples']).items()}
  for seed in range(s['seeds']):
    keys = scales.seeds(seed)
    start = Run(FILE, s['start'] | keys | judged['policy'] | verdicts, {
        'arm': 'start', 'part': 'policy', 'seed': seed})
    asked = {'post.judge_run': start}
    out.append(start)
    for arm in s['arms']:
      changes, order = ARMS[arm]
      needs = asked if arm in FROZEN else {}
      if order:
        head = Run(FILE, POST | HEAD | s['post'] | keys | judged['selection']
                   | {'post.reward': order}, {
                       'arm': arm, 'part': 'reward model', 'seed': seed}, start,
                   needs=asked if order == 'judge' else {})
        out.append(head)
        needs = {'post.reward_run': head}
      out.append(Run(FILE, POST | changes | s['post'] | keys | judged['policy']
                     | (verdicts if arm == 'self-rewarding' else {}),
                     {'arm': arm, 'part': 'policy', 'seed': seed}, start,
                     needs=needs))
  return out


def table(records):
  """A row a policy: gold, fall from its peak, kl to the start, nats per text, %
  of pairs that it (verdicts), or its reward model (ranked), orders as gold."""
  own = [r for r in records if r['tags']['part'] == 'policy']
  df = results.wide(own, 'texts', {'gold': 'gold'})
  seen = results.during_training(own, 'texts', {'peak': 'gold/test'})
  df['fall'] = df.run.map(seen.groupby('run').peak.max()) - df.gold
  df = results.beside(df, results.wide(records, 'texts', {'kl': 'kl'}), 'kl')
  df = results.beside(df, results.wide(
      records, 'verdicts', {'verdicts': 'accuracy'}, where={
          'attribute': 'choose'}, percent=True), 'verdicts')
  ranked = results.wide(records, 'texts', {'ranked': 'ranked'}, percent=True)
  return results.beside(df, ranked.drop(columns=['run', 'part']), 'ranked')


def summary(df):
  """Means by arm."""
  return results.summarise(df, ['arm'], ['gold', 'kl', 'fall', 'verdicts',
                                         'ranked'])


def figure(df):
  """Gold and the distance from the start, by arm."""
  s = summary(df).set_index('arm', drop=False)
  rows = s.reindex(['start', *(a for a in ARMS if a in s.index)])
  fig, ((left, right),) = figures.grid(2, width=4.8, height=3.8)
  for ax, column, label in ((left, 'gold', 'gold of a text'), (
      right, 'kl', 'KL to the start, nats per text')):
    figures.bars_of_seeds(ax, rows, df, 'arm', column, 2)
    ax.tick_params(labelleft=ax is left), figures.labels(ax, label)
  left.axvline(0.75, color=figures.QUIET, linewidth=1, linestyle='--')
  figures.finish(
      fig, 'Feedback on texts: eight ways to learn from it', f'bars: means; '
      f'points: {s.n_seeds.max()} seeds;  gold: z - z²/3, at most 0.75 (dashed)'
      ';\nz: symbols from the first letters, in SD from the mean')
  return fig


LEE, SAME = 'Lee et al. 2309.00267', {'column': 'gold', 'unit': ''}
CLAIMS = (
    Claim('rlaif_is_rlhf', 'RLAIF has within 0.1 of the gold of RLHF', LEE,
          'as good', ({'arm': 'RLAIF'}, {'arm': 'RLHF'}), equal(0.1), **SAME),
    above('direct_is_better', 'Direct RLAIF reaches a higher gold reward', LEE,
          {'arm': 'direct RLAIF'}, {'arm': 'RLAIF'}, **SAME),
    Claim('judge_is_overoptimised', 'RLAIF falls by at least 0.1 from its peak',
          'Gao et al. 2210.10760', '—', ({'arm': 'RLAIF'},), at_least(0.1),
          'fall', unit=''),
    above('reward_model_beats_dpo', 'RLHF reaches a higher gold reward than '
          'DPO on the same labels', 'Xu et al. 2404.10719', {'arm': 'RLHF'},
          {'arm': 'DPO, gold labels'}, **SAME),
    above('labels_generalise', 'RLHF: gold at least 0.1 above RLVR at equal '
          'labels', 'ours', {'arm': 'RLHF'}, {'arm': 'RLVR, 512 labels'},
          rule=greater(0.1), **SAME),
    *(above(id, f'RLHF reaches a higher gold reward than {b}', 'ours', {
        'arm': 'RLHF'}, {'arm': b}, post_hoc=True, headline=True, **SAME)
      for id, b in (('above_rlvr', 'RLVR, 512 labels'),
                    ('above_d', 'direct RLAIF'))))
