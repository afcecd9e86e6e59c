"""How many repeats of the data harm most, and when are they free?

Hernandez et al. (arXiv 2205.10487) train on text of which a part is a small
subset, repeated: the loss on fresh text is worst at an intermediate number of
repeats (a tenth of the data: an 800M model becomes like one of 340M to 400M),
where the model can just memorise the subset. Muennighoff et al. (2305.16264)
repeat the whole corpus: four times is nearly free, value decays from 15 on.

Strings of a grammar whose entropy is exact: `kl` is the excess loss on fresh
strings. A share of the rows comes from a pool of n strings (data.tasks.X.pool),
the others are fresh; all runs have 3M tokens. Controls: fresh strings only, and
only as many of these as a half leaves.

  python -m physics_lm.launch experiments/repeated_data.py --scale=cpu
  python -m physics_lm.report experiments/repeated_data.py --scale=cpu

Seen on seed 7, not reported, smaller model: fresh 0.15, pools of 2, 6, 20 0.24,
0.27, 0.33. Predicted: 60, 200, 2,000 0.27, 0.18, 0.16, half of the fresh 0.18;
a tenth of the rows less than 0.02 more; larger model worst at 60; the whole
corpus free to 3,000 strings (12 times), 1.5 times at 1,000, 3 times at 300.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, greater, ratio_between
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

POOLS = (2, 6, 20, 60, 200, 600, 2000, 20_000)  # strings
CORPORA = (100, 300, 1000, 3000, 10_000, 30_000)  # the whole corpus, strings
FRESH, HALF = (0.0, None, 1.0), (0.0, None, 0.5)  # share, pool, of the steps
WIDTHS = {16: 'smaller model', 32: 'larger model'}
SCALES = {
    'smoke': dict(points={16: ((0.5, 2, 1.0), FRESH)}, seeds=1, steps=8,
                  common=scales.SMOKE_LOG | {'evals.law.num_problems': 8,
                                             'evals.loss.num_rows': 4}),
    'cpu': dict(
        points={w: (FRESH, HALF, *((0.5, n, 1.0) for n in POOLS),
                    *((s, n, 1.0) for s, pools in more for n in pools))
                for w, more in ((16, ((0.1, POOLS[:-2]),)),
                                (32, ((1.0, CORPORA),)))},
        seeds=5, steps=4500, common={}),
    'gpu': dict(
        points={w: (FRESH, HALF, *((s, n, 1.0) for s in (0.1, 0.5)
                                   for n in (*POOLS, 200_000, 2_000_000)))
                for w in (64, 256)},
        seeds=3, steps=20_000, common=scales.GRAMMAR_GPU),
}
POINT = ['width', 'share', 'pool', 'of_steps']


def runs(scale: str) -> list[Run]:
  """Every (width, seed, share, pool)."""
  s = pick(SCALES, scale)
  recipe = {'data.seq_len': 84, 'data.batch_size': 8, 'model.heads': 2,
            'optim.learning_rate': 5e-3, 'log.every': 500,
            'checkpoint.every': 10_000, 'evals.law.num_problems': 2000}
  return [Run('configs/grammar.py:repeated',
              recipe | s['common'] | _data(share, pool) | {
                  'model.width': width, 'steps': round(s['steps'] * part)}
              | scales.seeds(seed),
              dict(zip(POINT, (width, share, pool or 0, part)))
              | {'seed': seed})
          for width, points in s['points'].items()
          for seed in range(s['seeds']) for share, pool, part in points]


def _data(share: float, pool: int | None) -> dict:
  """Overrides: the share of rows from a pool, and its strings."""
  return {'data.tasks.strings.weight': 1 - share,
          'data.tasks.repeated.weight': share} | (
              {'data.tasks.repeated.pool': pool} if pool else {})


def table(records):
  """A row a run: kl, nats per token; extra, kl above that of fresh strings with
  the same width and seed; pool_loss; repeats of each string of the pool."""
  df = results.wide(records, 'law', ('kl', 'entropy', 'accuracy'))
  pool = results.wide(records, 'loss', {'pool_loss': 'loss'},
                      where={'task': 'repeated'})
  made = results.train_columns(records, {'repeats': 'exposures/repeated'})
  df = results.beside(df, pool, 'pool_loss')
  fresh = df[(df.share == 0) & (df.of_steps == 1)].set_index(['width', 'seed'])
  df['extra'] = df.kl - fresh.kl.reindex(zip(df.width, df.seed)).to_numpy()
  return df.merge(made[['run', 'repeats']], on='run', how='left')


def summary(df):
  """Means by point."""
  return results.summarise(df, POINT, ['kl', 'extra', 'pool_loss', 'repeats'])


def figure(df):
  """Excess loss above fresh strings' against the strings of the pool: of a part
  of the rows, and of the whole corpus."""
  s = summary(df)
  fig, (axes,) = figures.grid(2, width=4.6, height=3.8, sharey=False)
  parts, whole = s[s.share.between(0.01, 0.99)], s[s.share == 1]
  for ax, rows, heading in ((axes[0], parts, 'A part of the data repeated'),
                            (axes[1], whole, 'All data repeated')):
    groups = rows.assign(arm=[f'{WIDTHS.get(w, f"width {w}")}, {p:.0%} of rows'
                              for w, p in zip(rows.width, rows.share)])
    figures.curves(ax, groups, 'pool', 'arm', 'extra')
    ax.axhline(0, color='0.5', linewidth=0.8)
    ax.set_xscale('log')
    figures.legend(ax)
    figures.labels(ax, 'different strings that are repeated',
                   'more excess loss than from fresh strings, nats', heading)
  for k, width in ((0, 16), (2, 32)):
    half = s[(s.width == width) & (s.of_steps == HALF[2])]
    for level in half.extra_mean:
      axes[0].axhline(level, color=figures.COLOURS[k], linestyle='--')
  figures.finish(fig, 'What repeated data cost (strings of a grammar)',
                 f'{figures.seeds_note(s)}, paired by seed;  dashed: without '
                 'the repeated rows')
  return fig


def _at(width: int, share: float, pool: int, **more) -> dict:
  return dict(width=width, share=share, pool=pool, of_steps=1.0) | more


NATS, HERNANDEZ = dict(column='kl', unit='nats/token'), 'Hernandez et al. 2022'
CLAIMS = (
    Claim('hump', '50 % of the rows from a pool, smaller model: 20 strings '
          'harm more than 2,000, and 6 more than 2', HERNANDEZ,
          'worst in between', ((_at(16, .5, 20), _at(16, .5, 2000)),
                               (_at(16, .5, 6), _at(16, .5, 2))), greater(),
          headline=True, **NATS),
    Claim('larger_models_later', 'The larger model: 60 strings harm more than '
          '6', HERNANDEZ, 'larger models: more text, fewer repeats',
          (_at(32, .5, 60), _at(32, .5, 6)), greater(), **NATS),
    Claim('hump_larger', 'The larger model: 60 strings harm more than 2 and '
          'than 2,000', HERNANDEZ, 'worst in between', tuple(
              (_at(32, .5, 60), _at(32, .5, n)) for n in (2, 2000)), greater(),
          post_hoc=True, **NATS),
    Claim('more_than_displaced', '20 strings in 50 % of the rows harm more '
          'than to leave these rows out (smaller model)', HERNANDEZ,
          'effective size 10 times less at 50 %', (
              _at(16, .5, 20), _at(16, 0., 0, of_steps=.5)), greater(), **NATS),
    Claim('small_share', '20 strings in a tenth of the rows harm more than '
          'none (smaller model)', HERNANDEZ, 'a tenth halves the model',
          (_at(16, .1, 20), _at(16, 0., 0)), greater(), **NATS),
    Claim('corpus_free', 'A corpus of 10,000 strings repeated (5 '
          'times): excess loss at most 10 % more', 'Muennighoff et al. 2023',
          '4 times: nearly free', (_at(32, 1., 10_000), _at(32, 0., 0)),
          ratio_between(high=1.1), **NATS),
    Claim('corpus_harmful', 'A corpus of 300 strings repeated (180 '
          'times): excess loss more than doubles', 'Muennighoff et al. 2023',
          'no value from 40 times on', (_at(32, 1., 300), _at(32, 0., 0)),
          ratio_between(low=2), **NATS))
