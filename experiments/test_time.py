"""What does choosing among many answers give, and is a small model enough?

More samples solve more problems (Brown et al., arXiv 2407.21787: coverage), if
the right one can be found: by votes, or by a verifier trained on whole answers
(outcome; Cobbe et al., 2110.14168) or on where they go wrong (process; Lightman
et al., 2305.20050: 78 % of MATH, outcome 72, votes 70). Here answers are worked
compositions of seven functions (worlds/symbolic/compose.py), judged in full. A
model of width 64, 400 steps, and one of width 32, 800 steps, whose samples cost
a quarter; heads start from the model that samples. Cost, in samples of the
small model: a score costs as much as a sample.

  python -m physics_lm.launch experiments/test_time.py --scale=cpu
  python -m physics_lm.report experiments/test_time.py --scale=cpu

Predicted (seed 7, not reported: one sample 14, greedy 23, votes and likelihood
of 64 23 and 24, oracle 65 %; an outcome verifier after 96 steps at 1e-3 had
hardly learnt, ordered 60 % of pairs, and chose 4 % of 64), big, best of 64:
votes 22, likelihood 23, outcome 25 and reward model 25, process 45, its product
50, oracle 63 %; small, one sample 3, process of 64 15 %: at no equal cost above
the big one.
"""

from physics_lm import figures, results
from physics_lm.claims import above, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

FILE, DEPTH = 'configs/compose.py', 7
SIZES = {'big': {'steps': 400}, 'small': {'model.width': 32, 'steps': 800}}
COST = {'big': 4, 'small': 1}  # of a sample
HEAD = {
    'post.samples': 8, 'post.tokens': 10, 'data.batch_size': 128,
    'data.seq_len': 24, 'optim.name': 'adamw', 'optim.learning_rate': 3e-3,
    'optim.b2': 0.95, 'optim.warmup_steps': 0, 'steps': 192, 'post.every': 192,
    'post.epochs': 3, 'log.every': 64, 'checkpoint.every': 192,
    'data.tasks.problems.split': f'train_d{DEPTH}'}
HEADS = {'process': 'process_verifier', 'outcome': 'outcome_verifier',
         'pairs': 'reward_model'}
# {name: (head whose runs it is read from, rule of evals/posttrain/selection)}
CHOICES = {
    'one sample': ('process', 'one'), 'votes': ('process', 'vote'),
    'likelihood': ('process', 'likelihood'), 'outcome': ('outcome', 'score'),
    'reward model': ('pairs', 'score'), 'process': ('process', 'score'),
    'process, product': ('process', 'product'),
    'process, votes': ('process', 'weighted'), 'oracle': ('process', 'oracle')}
FREE = ('one sample', 'votes', 'likelihood', 'oracle')  # nothing is scored
SCALES = {
    'smoke': dict(seeds=1, sizes=('big',), heads=('process',), trunk={
        'steps': 4, 'optim.warmup_steps': 0, 'model.width': 16,
        'model.depth': 1}, post={
            'steps': 2, 'post.every': 2, 'post.epochs': 1,
            'checkpoint.every': 2, 'data.batch_size': 16,
            'post.pairs': 'corrupt:1'},
                  judged={'num_problems': 4, 'num_samples': 8},
                  evals={'num_problems': 4, 'num_samples': 8}),
    'cpu': dict(seeds=5, sizes=tuple(SIZES), heads=tuple(HEADS), trunk={},
                post={}, evals={'num_problems': 128, 'num_samples': 32},
                judged={'num_problems': 128, 'num_samples': 64}),
}


def runs(scale: str) -> list[Run]:
  """Of each seed the two models, and the heads that start from them."""
  s, out = pick(SCALES, scale), []
  for seed in range(s['seeds']):
    keys = scales.seeds(seed)
    for size in s['sizes']:
      own, _ = scales.post_training(s | {'arms': ()}, SIZES[size], {}, {},
                                    f'test_d{DEPTH}')
      base = Run(FILE, own | keys, {'size': size, 'head': 'none', 'seed': seed})
      model = {k: v for k, v in own.items() if k.startswith('model.')}
      out += [base, *(Run(
          FILE, HEAD | s['post'] | model | keys | {'post.kind': HEADS[head]}
          | {f'evals.policy.{k}': v for k, v in {
              'kind': 'selection', 'world': 'compose', 'reward': 'full',
              'splits': f'test_d{DEPTH}', 'max_new_tokens': 12,
              **s['judged']}.items()},
          {'size': size, 'head': head, 'seed': seed}, base)
                      for head in s['heads'])]
  return out


def table(records):
  """A row a run with a head, choice and k: % of choices that are correct, and
  cost."""
  df = results.wide([r for r in records if r['tags']['head'] != 'none'],
                    'policy', {'correct': 'gold'}, ('rule', 'k'), percent=True)
  names = {v: k for k, v in CHOICES.items()}
  df['choice'] = [names.get(x) for x in zip(df['head'], df.rule)]
  df = df[df.choice.notna()].drop(columns=['head', 'rule'])
  scored = ~df.choice.isin(FREE)
  df['cost'] = df['size'].map(COST) * df.k.where(
      df.choice != 'one sample', 1) * (1 + scored)
  return df.reset_index(drop=True)


def summary(df):
  """Means by size, choice and k."""
  return results.summarise(df, ['size', 'choice', 'k', 'cost'], ['correct'])


def figure(df):
  """Correct over samples, by choice; over cost, of both sizes."""
  s = summary(df)
  fig, (axes,) = figures.grid(2, width=5, height=4)
  big = s[s['size'] == 'big']
  figures.curves(axes[0], big, 'k', 'choice', 'correct', band=False)
  figures.labels(axes[0], 'samples', f'correct at depth {DEPTH}, %',
                 'Width 64: which one to choose')
  for choice, style in (('process', '-'), ('votes', ':')):
    rows = s[s.choice == choice]
    figures.curves(axes[1], rows.assign(line=rows['size'] + f', {choice}'),
                   'cost', 'line', 'correct', linestyle=style)
  figures.labels(axes[1], 'cost, in samples of the small model', '',
                 'Width 64 and 32 at equal cost')
  for ax in axes:
    ax.set_xscale('log', base=2)
    figures.percent_axis(ax)
    figures.legend(ax, loc='upper left')
  figures.finish(fig, 'Best of N answers', figures.seeds_note(s)
                 + ';  words not in training;  scoring costs as much as '
                 'sampling')
  return fig


def _at(choice: str, k: int = 64, size: str = 'big') -> dict:
  return {'choice': choice, 'k': k, 'size': size}


LIGHTMAN, SAME = 'Lightman et al. 2305.20050', dict(column='correct')
CLAIMS = (
    above('votes_help', 'Votes of 64 beat one sample', 'Wang et al. 2203.11171',
          _at('votes'), _at('one sample'), **SAME),
    above('process_above_votes', 'The process verifier beats votes', LIGHTMAN,
          _at('process, product'), _at('votes'), (78, 70), **SAME),
    above('process_above_outcome', 'It beats the outcome verifier', LIGHTMAN,
          _at('process, product'), _at('outcome'), (78, 72), headline=True,
          **SAME),
    above('coverage', 'Coverage rises by 10 points from 16 to 64 samples',
          'Brown et al. 2407.21787', _at('oracle'), _at('oracle', 16),
          rule=greater(10.0), **SAME),
    above('big_wins', 'At equal cost the big model beats the small one', 'ours',
          _at('process', 16), _at('process', 64, 'small'), **SAME),
)
