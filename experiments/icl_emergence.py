"""When does a model learn to predict from context, and does it stay?

Texts of Markov chains: an own chain each, or one of N. Edelman et al. (arXiv
2402.11004): two layers first predict by counts of the text's symbols (unigram
inference), then, suddenly, by what followed the last symbol before (bigram
inference, an induction head). Park et al. (2412.01003): few chains are
memorised (bigram retrieval), many inferred; in between inference is forgotten.

kl is the relative entropy of exact bigram inference to the model on new chains,
nats per symbol; jump the first step with less than half of unigram inference's.

  python -m physics_lm.launch experiments/icl_emergence.py --scale=cpu
  python -m physics_lm.report experiments/icl_emergence.py --scale=cpu

Predicted: jump at step 150 (AdamW 200 to 350, no clear order of lengths); kl at
the end 0.03; one layer 0.3; uniform rows: no jump; 4, 16 chains 1.6, 0.9; 96
0.14 at its least, 0.24 at the end; from 256 on 0.06.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, at_most, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

POOLS, LENGTHS = (4, 16, 64, 96, 128, 256, 1024), (32, 64, 128)
BASE = {'chains': 0, 'length': 64, 'depth': 2, 'concentration': 0.2,
        'optimizer': 'muon'}
RATES = {'muon': 1e-2, 'adamw': 3e-3}
ARMS = {'one layer': [{'depth': 1}], 'uniform rows': [{'concentration': 1.0}],
        'number of chains': [{}, *({'chains': n} for n in POOLS)],
        'length': [{'length': t, 'optimizer': 'adamw'} for t in LENGTHS]}
SCALES = {
    'smoke': dict(arms={'number of chains': [{}, {'chains': 4}]}, seeds=1,
                  tokens=256, common=scales.SMOKE_LOG | {
                      'steps': 4, 'model.width': 16,
                      'evals.law.num_problems': 4, 'evals.law.every': 2}),
    'cpu': dict(arms=ARMS, seeds=3, tokens=4096, common={
        'steps': 1000, 'evals.law.num_problems': 64, 'evals.law.every': 20}),
    'gpu': dict(arms=ARMS, seeds=5, tokens=65_536, common={
        'steps': 5000, 'model.width': 256, 'evals.law.every': 25,
        'optim.learning_rate': 1e-3})}


def runs(scale: str) -> list[Run]:
  """Every (seed, point), each once."""
  s = pick(SCALES, scale)
  points = [BASE | p for arm in s['arms'].values() for p in arm]
  points = [p for i, p in enumerate(points) if p not in points[:i]]
  return [Run('configs/markov.py', {
      'worlds.chain.chains': p['chains'], 'worlds.chain.length': p['length'],
      'worlds.chain.concentration': p['concentration'],
      'data.seq_len': p['length'] + 1,
      'data.batch_size': s['tokens'] // p['length'], 'model.depth': p['depth'],
      'optim.name': p['optimizer'],
      'optim.learning_rate': RATES[p['optimizer']], 'log.every': 250,
      'checkpoint.every': 10_000} | s['common'] | scales.seeds(seed),
      p | {'seed': seed}) for seed in range(s['seeds']) for p in points]


def table(records):
  """A row a run and step with an evaluation; `last` marks the end, where also
  stand: gap, of unigram to bigram inference in loss; least kl, forgotten since;
  jump (steps); detour, the least unigram kl before it; retrieval's kl."""
  df = results.during_training(records, 'law', {
      'kl': 'kl/new/bigram_inference', 'unigram': 'kl/new/unigram_inference'})
  loss = {law: results.wide(records, 'law', {'loss': 'loss'}, where={
      'split': 'new', 'law': f'{law}_inference'}).set_index('run').loss
      for law in ('unigram', 'bigram')}
  by = df.groupby('run', sort=False)
  df['gap'] = df.run.map(loss['unigram'] - loss['bigram'])
  df['least'] = by.kl.transform('min')
  df['forgotten'] = df.kl - df.least
  df['jump'] = df.run.map(df[df.kl < df.gap / 2].groupby('run').step.min())
  df['detour'] = df.run.map(df[~(df.step >= df.jump)].groupby(
      'run').unigram.min())
  df['last'] = df.step == by.step.transform('max')
  known = results.wide(records, 'law', {'retrieval': 'kl'}, where={
      'split': 'test', 'law': 'bigram_retrieval'})
  return df.merge(known[['run', 'retrieval']], on='run', how='left')


def summary(df):
  """Means at the end."""
  return results.summarise(df[df['last']], list(BASE), [
      'kl', 'least', 'forgotten', 'detour', 'jump', 'retrieval'])


def figure(df):
  """kl along training; at the end and at its least by number of chains; the
  step of the jump by length."""
  fig, (axes,) = figures.grid(3, width=3.5, height=3.4)
  usual = claims.select(df, BASE | {'depth': (1, 2)})
  for _, run in usual.groupby('run', sort=False):
    depth, first = int(run.depth.iloc[0]), run.seed.iloc[0] == 0
    style = {'color': figures.COLOURS[depth - 1], 'linewidth': 1}
    name = f'{depth} layer{"s" if depth > 1 else ""}'
    axes[0].plot(run.step, run.kl, **style, label=name if first else None)
    axes[0].plot(run.step, run.unigram, ':', **style)
  axes[0].set(xscale='log', yscale='log')
  figures.labels(axes[0], 'step', 'relative entropy, nats per symbol')
  figures.title(axes[0], 'A new chain each text')
  figures.legend(axes[0])
  s = summary(df)
  pools = s[(s.depth == 2) & (s.chains > 0)]
  for k, (column, name) in enumerate((
      ('kl', 'at the end'), ('least', 'at its least'))):
    figures.curves(axes[1], pools.assign(arm=name), 'chains', 'arm', column,
                   color=figures.COLOURS[k])
  axes[1].set(xscale='log', yscale='log')
  figures.labels(axes[1], 'chains')
  figures.title(axes[1], 'To bigram inference, new chains')
  figures.legend(axes[1])
  figures.curves(axes[2], s[s.optimizer == 'adamw'], 'length', None, 'jump')
  figures.labels(axes[2], 'symbols of a text', 'step of the jump')
  figures.title(axes[2], 'When inference appears')
  figures.finish(fig, 'In-context learning of Markov chains',
                 f'{figures.seeds_note(s)};  solid: to bigram inference, '
                 'dotted: to unigram inference')
  return fig


def _at(**changes) -> dict:
  return BASE | {'last': True} | changes


EDELMAN, PARK = 'Edelman et al. 2024', 'Park et al. 2024'
NATS = dict(column='kl', unit='nats/symbol')
CLAIMS = (
    Claim('two_layers_infer', 'Two layers: kl to bigram inference at most 0.05',
          EDELMAN, 'two layers learn it', (_at(),), at_most(0.05),
          headline=True, **NATS),
    Claim('unigram_first', 'Before the jump: kl to unigrams at most 0.1',
          EDELMAN, 'unigrams first', (_at(),), at_most(0.1), 'detour',
          unit='nats/symbol', post_hoc=True),
    Claim('one_layer', 'One layer stays worse by at least 0.1', EDELMAN,
          'never', (_at(depth=1), _at()), greater(0.1), **NATS),
    Claim('retrieval', '4 and 16 chains: on new chains worse by at least '
          '0.5 than with a chain for each text', PARK, 'few chains: retrieval',
          tuple((_at(chains=n), _at()) for n in (4, 16)), greater(0.5), **NATS),
    Claim('inference', '1,024 chains: kl at most 0.1', PARK,
          'inference', (_at(chains=1024),), at_most(0.1), **NATS),
    Claim('transient', '96 chains: inference is forgotten again: kl rises by '
          'at least 0.03 from its least', PARK, 'transient near the border',
          (_at(chains=96),), claims.at_least(0.03), 'forgotten',
          unit='nats/symbol', headline=True),
    Claim('later_in_longer_texts', 'AdamW: the jump comes later in texts of '
          '128 symbols than of 32', 'Zucchet et al. 2025', 'step ~ length', (
              _at(length=128, optimizer='adamw'),
              _at(length=32, optimizer='adamw')), greater(), 'jump',
          unit='steps'))
