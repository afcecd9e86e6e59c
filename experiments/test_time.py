"""What does choosing among many answers give, and is a small model enough?

More samples solve more problems (Brown et al., arXiv 2407.21787: coverage), if
the right one is found: by votes, or a verifier trained on whole answers
(outcome; Cobbe et al., 2110.14168) or on where they go wrong (process; Lightman
et al., 2305.20050: 78 % of MATH, outcome 72, votes 70). Here answers are worked
compositions of six functions (worlds/symbolic/compose.py). Models: width 64,
400 steps, and 32, 800 steps, whose samples cost a quarter; verifiers start from
the model that samples, reading 3,840 pairs of its answers five times. A
verifier chooses by its score (process: product over tokens), or weighs votes
(by the last token's score). A score costs a sample.

  python -m physics_lm.launch experiments/test_time.py --scale=cpu
  python -m physics_lm.report experiments/test_time.py --scale=cpu

Predicted (seed 7, not reported, width 64, process: one sample 59 %; of 64:
votes 72, likelihood 71, process 23, its product 26, its votes 79, oracle 91; it
orders 69 % of pairs): same; outcome 40, its votes 75; small, one sample 20,
votes 35 %. Four times the pairs: process 32, votes 82.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, above, at_least, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

FILE, DEPTH = 'configs/compose.py', 6
SIZES = {'big': {'steps': 400}, 'small': {'model.width': 32, 'steps': 800}}
COST, POINT = {'big': 4, 'small': 1}, ['size', 'seed']  # of a sample
HEAD = {
    'post.samples': 8, 'post.tokens': 10, 'data.batch_size': 128,
    'data.seq_len': 24, 'optim.learning_rate': 5e-3, 'optim.warmup_steps': 0,
    'steps': 300, 'post.every': 300, 'post.epochs': 5, 'log.every': 60,
    'checkpoint.every': 300, 'data.tasks.problems.split': f'train_d{DEPTH}'}
HEADS = {'process': 'process_verifier', 'outcome': 'outcome_verifier'}
ARMS = (('big', 'process'), ('big', 'outcome'), ('small', 'process'))
# {name: (head whose runs it is read from, rule of evals/posttrain/selection)}
CHOICES = {
    'one sample': ('process', 'one'), 'votes': ('process', 'vote'),
    'likelihood': ('process', 'likelihood'), 'outcome': ('outcome', 'score'),
    'outcome, votes': ('outcome', 'weighted'),
    'process': ('process', 'product'), 'oracle': ('process', 'oracle'),
    'process, votes': ('process', 'weighted')}
RULES = {c: c for c in CHOICES} | {c: f'highest {c} score' for c in HEADS} | {
    f'{c}, votes': f'votes weighted by {c} score' for c in HEADS}
FREE = ('one sample', 'votes', 'likelihood', 'oracle')  # nothing is scored
SCALES = {
    'smoke': dict(seeds=1, arms=ARMS[:1], trunk={
        'steps': 4, 'optim.warmup_steps': 0, 'model.width': 16,
        'model.depth': 1}, evals={'num_problems': 4, 'num_samples': 8}, post={
            'steps': 2, 'post.every': 2, 'post.epochs': 1, 'checkpoint.every':
            2, 'data.batch_size': 16, 'post.pairs': 'corrupt:1'}),
    'cpu': dict(seeds=5, arms=ARMS, trunk={}, post={}, evals={
        'num_problems': 128, 'num_samples': 64})}


def runs(scale: str) -> list[Run]:
  """Of each seed the two models, and the heads that start from them."""
  s, out = pick(SCALES, scale), []
  for seed in range(s['seeds']):
    keys = scales.seeds(seed)
    for size in dict(s['arms']):
      own, _ = scales.post_training(s | {'arms': ()}, SIZES[size], {}, {},
                                    f'test_d{DEPTH}')
      base = Run(FILE, own | keys, {'size': size, 'head': 'none', 'seed': seed})
      model = {k: v for k, v in own.items() if k.startswith('model.')}
      out += [base, *(Run(
          FILE, HEAD | s['post'] | model | keys | {'post.kind': HEADS[head]}
          | {f'evals.policy.{k}': v for k, v in {
              'kind': 'selection', 'world': 'compose', 'reward': 'full',
              'splits': f'test_d{DEPTH}', 'max_new_tokens': 12,
              **s['evals']}.items()},
          {'size': size, 'head': head, 'seed': seed}, base)
                      for named, head in s['arms'] if named == size)]
  return out


def table(records):
  """A row a run with a head, choice and k: % of choices that are correct, and
  cost; and a row a head: `ranked`, % of pairs of answers to a problem, one of
  them right, that it orders."""
  heads = [r for r in records if r['tags']['head'] != 'none']
  df = results.wide(heads, 'policy', {'correct': 'gold'}, ('rule', 'k'),
                    percent=True)
  names = {v: k for k, v in CHOICES.items()}
  df['choice'] = [names.get(x) for x in zip(df['head'], df.rule)]
  df = df[df.choice.notna()].drop(columns='rule').assign(ranked=float('nan'))
  scored = ~df.choice.isin(FREE)
  df['cost'] = df['size'].map(COST) * df.k.where(
      df.choice != 'one sample', 1) * (1 + scored)
  return results.below(df, results.wide(heads, 'policy', ('ranked',), where={
      'rule': 'score'}, percent=True))


def summary(df):
  """Means by size, choice and k."""
  return results.summarise(df[df.choice.notna()], [
      'size', 'choice', 'k', 'cost'], ['correct'])


def figure(df):
  """Correct over samples, by choice; over cost, of both sizes."""
  s = summary(df)
  fig, (axes,) = figures.grid(2, width=5, height=4)
  big = s[(s['size'] == 'big') & (s.choice != 'one sample')]
  for k, choice in enumerate([c for c in CHOICES if c in set(big.choice)]):
    figures.curves(axes[0], big[big.choice == choice], 'k', 'choice', 'correct',
                   RULES, color=f'C{k}', ls=':' if choice in HEADS else '-')
  figures.labels(axes[0], 'samples', f'correct at depth {DEPTH}, %',
                 'Width 64, by what chooses the answer')
  for (size, seed), rows in df[df.choice == 'process, votes'].groupby(POINT):
    at, width = (1, 64) if size == 'big' else (0, 32)
    axes[1].plot(rows.cost, rows.correct, color=figures.COLOURS[at],
                 label=None if seed else f'width {width}')
  figures.labels(axes[1], 'cost, in samples of width 32', 'correct, %',
                 'Votes weighted by process score, each seed')
  for ax, where in zip(axes, ('lower left', 'center right')):
    ax.set_xscale('log', base=2)
    figures.percent_axis(ax), figures.legend(ax, loc=where)
  figures.finish(fig, 'Best of N (oracle: any is right)', figures.seeds_note(s))
  return fig


def _at(choice: str, k: int = 64, size: str = 'big') -> dict:
  return {'choice': choice, 'k': k, 'size': size}


LIGHTMAN, SAME = 'Lightman et al. 2305.20050', dict(column='correct')
WEIGHTED = 'process, votes'
CLAIMS = (
    above('votes_help', 'Votes of 64 beat one sample', 'Wang et al. 2203.11171',
          _at('votes'), _at('one sample'), **SAME),
    above('weighted_votes', 'Votes weighted by a process verifier beat votes',
          'Li et al. 2206.02336', _at(WEIGHTED), _at('votes'),
          headline=True, **SAME),
    above('weighted_cost', 'At equal cost, weighted votes beat votes', 'ours',
          _at(WEIGHTED, 32), _at('votes'), post_hoc=True, **SAME),
    above('process_above_votes', "A process verifier's choice beats votes",
          LIGHTMAN, _at('process'), _at('votes'), (78, 70), **SAME),
    above('process_above_outcome', 'A process verifier beats an outcome one',
          LIGHTMAN, _at('process'), _at('outcome'), (78, 72), **SAME),
    above('falls', 'A verifier chooses better among 4 than among 64',
          'Cobbe et al. 2110.14168', _at('process', 4), _at('process'), **SAME),
    above('coverage', 'One of 64 is right, above a sample by 20 points',
          'Brown et al. 2407.21787', _at('oracle'), _at('one sample'),
          rule=greater(20.0), **SAME),
    above('big_wins', 'At equal cost the big model beats the small one', 'ours',
          _at(WEIGHTED, 16), _at(WEIGHTED, 64, 'small'), **SAME),
    Claim('ranked', 'A process verifier orders at least 60 % of pairs', 'ours',
          '—', (dict(head='process', size='big'),), at_least(60), 'ranked'))
