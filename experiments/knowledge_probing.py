"""Where does a model keep what it has read: with the name, or further on?

Part 3.1 (Allen-Zhu & Li, arXiv 2309.14316), Results 4 and 5. A model that has
read biographies and nothing else is frozen and probed. A P-probe reads a
biography and tells every attribute just before the first one told, the second,
and so on: what can it tell before anything was told, from the name alone? A
Q-probe reads only the name. Probes are trained on half of the people.

Paper (GPT-2 124M, 100,000 people), whole attributes (birth city, university,
major, employer, company city), percent:
  P-probe before anything is told: single 5.0, 0.8, 1.7, 0.6, 14.3;
      multi5+permute 96.6, 75.5, 96.1, 99.6, 99.6
  Q-probe: single 1.1, 0.3, 1.4, 0.1, 11.6; multi5 38.1, 9.7, 36.1, 2.3, 11.9;
      multi5+permute 96.1, 72.6, 94.9, 99.6, 99.7
  row by row, questions are answered as well as Q-probes tell (Result 5).

  python -m physics_lm.launch experiments/knowledge_probing.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_probing.py --scale=cpu

Measured: 24 runs, 36 minutes of one core that others used as well.

Ours at `cpu` scale: 300 people, short lists (configs/manipulation.py), a few
hundred steps of probing with the paper's rate x decay x steps; of dates the
month, as in the paper, of the other attributes the whole. Probes' updates of
the embedding leave names alone: the paper's 50,000 people share theirs, ours
would be learnt by heart. Questions: finetuned in full, loss on answers.

Rules, fixed before the runs, n >= 3 seeds (each its own people): more means by
more than twice the standard error over seeds, sqrt((s1^2 + s2^2) / n); chance
is what the commonest value of the training half scores; correlations are of
percent above chance.
"""

import math

from configs.manipulation import SMALL
from configs.sizes import size
from physics_lm import plots
from physics_lm.report import Claim, spread
from physics_lm.sweep import Run, pick

# whole attributes, P-probe before anything is told, and Q-probe, percent
PAPER = {
    'single': ((5.0, 0.8, 1.7, 0.6, 14.3), (1.1, 0.3, 1.4, 0.1, 11.6)),
    'multi5': (None, (38.1, 9.7, 36.1, 2.3, 11.9)),
    'multi5_permute': ((96.6, 75.5, 96.1, 99.6, 99.6),
                       (96.1, 72.6, 94.9, 99.6, 99.7)),
    'multi5_permute_fullname': (None, None)}
LABELS = {'single': 'one text', 'multi5': 'five texts, in order',
          'multi5_permute': 'five texts, shuffled',
          'multi5_permute_fullname': 'five, shuffled, full name'}
SHORT = {'birth_date': 'birth month', 'birth_city': 'birth city',
         'university': 'university', 'major': 'major', 'employer': 'company',
         'company_city': 'its city'}
_PEOPLE = {f'worlds.bios.{k}': v for k, v in SMALL.items()}
_ROWS = {'data.length': 160, 'data.batch': 12, 'optim.learning_rate': 4e-3,
         'optim.b2': 0.95}
# Rate x weight decay x steps / 2 is 4.5, as in appendices E and F.
_PROBES = {'evals.p_probe.names': False, 'evals.q_probe.names': False,
           'evals.p_probe.steps': 150, 'evals.p_probe.weight_decay': 6.0,
           'evals.q_probe.steps': 300, 'evals.q_probe.weight_decay': 3.0}
_LARGE = {'worlds.bios.first_names': 400, 'worlds.bios.middle_names': 400,
          'worlds.bios.last_names': 1000, 'worlds.bios.years': 200,
          'worlds.bios.cities': 200, 'worlds.bios.universities': 300,
          'worlds.bios.majors': 100, 'worlds.bios.employers': 263,
          'worlds.bios.templates': 50, 'model.dtype': 'bfloat16',
          'data.length': 512, 'data.batch': 96, 'optim.learning_rate': 1e-3}
SCALES = {
    # scale: data, seeds, common overrides, of pretraining, of finetuning
    'smoke': (('single', 'multi5_permute'), 1, _PEOPLE | _ROWS | {
        'worlds.bios.people': 20, 'model.width': 16, 'model.depth': 2,
        'model.heads': 2, 'data.batch': 4, 'optim.warmup': 2},
              _PROBES | {'steps': 10, 'evals.p_probe.steps': 3,
                         'evals.q_probe.steps': 3}, {'steps': 5}),
    'cpu': (tuple(PAPER), 3, _PEOPLE | _ROWS | {
        'worlds.bios.people': 300, 'data.length': 144, 'model.depth': 3,
        'optim.learning_rate': 5e-3}, _PROBES | {'steps': 800}, {
            'steps': 250, 'optim.warmup': 10, 'optim.learning_rate': 5e-4}),
    'gpu': (tuple(PAPER), 3, size('d512') | _LARGE | {
        'worlds.bios.people': 20_000}, {
            'steps': 6000, 'optim.warmup': 500, 'evals.p_probe.steps': 4000,
            'evals.q_probe.steps': 4000, 'evals.p_probe.people': 10_000,
            'evals.q_probe.people': 10_000}, {
            'steps': 1500, 'optim.warmup': 20, 'optim.learning_rate': 3e-4}),
    # Appendices C, D, E, F; sixteen sets there.
    'paper': (tuple(PAPER), 1, size('gpt2') | _LARGE | {
        'worlds.bios.people': 100_000, 'model.dropout': 0.1,
        'data.isolate': False}, {
            'steps': 80_000, 'optim.warmup': 1000,
            'evals.p_probe.steps': 30_000, 'evals.q_probe.steps': 30_000,
            'evals.p_probe.batch': 9, 'evals.q_probe.batch': 200,
            'evals.p_probe.learning_rate': 1e-3,
            'evals.q_probe.learning_rate': 1e-3,
            'evals.p_probe.people': 50_000, 'evals.q_probe.people': 50_000}, {
            'steps': 50_000, 'data.batch': 48, 'optim.warmup': 0,
            'optim.weight_decay': 0.01, 'optim.learning_rate': 3e-4,
            'adapter.kind': 'lora', 'adapter.rank': 8}),
}


def runs(scale: str) -> list[Run]:
  """Every (data, seed): pretrained on biographies and probed, and finetuned
  from that on questions."""
  data, seeds, common, first, then = pick(SCALES, scale)
  out = []
  for name in data:
    for seed in range(seeds):
      point = common | {f'seed.{k}': seed for k in ('init', 'data', 'world')}
      tags = {'data': name, 'seed': seed}
      base = Run(f'configs/probing.py:{name}', point | first,
                 tags | {'training': 'pretrain'})
      out += [base, Run(
          f'configs/biographies.py:{name}', point | {
              'data.tasks.bio.weight': 0.0, 'data.tasks.qa.weight': 1.0,
              'data.tasks.qa.loss': 'answers'} | then,
          tags | {'training': 'finetune'}, base)]
  return out


def table(results: list[dict]):
  """One row for each (data, measure, attribute, place): percent right about
  held-out people, and by the commonest value; mean and std over n seeds.
  Measures: P (place: attributes told before), Q and QA (place -1)."""
  import pandas as pd
  rows = []
  for r in results:
    def add(measure, attribute, key, chance, place=-1, r=r):
      rows.append({'data': r['data'], 'measure': measure,
                   'attribute': attribute, 'place': place,
                   'right': 100 * r[key], 'chance': 100 * r[chance]})
    for a in SHORT:
      if r['training'] == 'finetune':  # of dates the first word, as probed
        what = 'first' if a == 'birth_date' else 'exact'
        add('QA', a, f'extraction/{what}/test/{a}',
            f'extraction/majority/test/{a}')
        if what == 'first':  # the extraction has no guess of first words
          rows[-1]['chance'] = math.nan
        continue
      add('Q', a, f'q_probe/test/{a}', f'q_probe/majority/{a}')
      for place in range(6):
        add('P', a, f'p_probe/test/{a}/{place}', f'p_probe/majority/{a}',
            place)
    people = r.get('p_probe/people/test', r.get('extraction/people/test'))
    for row in rows:
      row.setdefault('people', people)
  return spread(pd.DataFrame(rows), ['data', 'measure', 'attribute', 'place',
                                     'people'], ['right', 'chance'])


def pivot(df, data: str):
  """Percent of P-probes: attributes by places."""
  part = df[(df.data == data) & (df.measure == 'P')]
  return part.pivot(index='attribute', columns='place',
                    values='right_mean').loc[list(SHORT)]


def joined(df):
  """Q-probes beside answers, by (data, attribute)."""
  by = {m: df[df.measure == m].set_index(['data', 'attribute'])
        for m in ('Q', 'QA')}
  return by['Q'].join(by['QA'], rsuffix='_QA', how='inner')


def correlation(df, attributes=tuple(SHORT)) -> float:
  """Of Q-probe and answers above chance, over data and attributes."""
  both = joined(df)
  both = both[both.index.get_level_values('attribute').isin(attributes)]
  return float((both.right_mean - both.chance_mean).corr(
      both.right_mean_QA - both.chance_mean))


def show(df) -> str:
  """The small table of the last screen."""
  lines = [f'{"data":26}{"attribute":14}{"P at the name":>14}'
           f'{"P, own place":>14}{"Q":>8}{"answers":>9}{"chance":>8}']
  own = {a: i for i, a in enumerate(SHORT)}
  for (data, a), r in joined(df).iterrows():
    P = pivot(df, data)
    fixed = 'permute' not in data
    lines.append(f'{data:26}{SHORT[a]:14}{P.loc[a, 0]:>14.1f}' + (
        f'{P.loc[a, own[a]]:>14.1f}' if fixed else f'{"":>14}')
        + f'{r.right_mean:>8.1f}{r.right_mean_QA:>9.1f}{r.chance_mean:>8.1f}')
  lines.append(f'correlation of Q and answers {correlation(df):.2f}, '
               f'n = {int(df.n.min())} seeds')
  return '\n'.join(lines)


def figure(df):
  """Heat maps of P-probes, and answers against Q-probes."""
  data = [d for d in PAPER if d in set(df.data)]
  fig, axes = plots.figure(columns=len(data) + 1, width=3.1, height=3.6)
  for ax, name in zip(axes[0], data):
    P = pivot(df, name)
    ax.grid(False)
    ax.imshow(P, vmin=0, vmax=100, cmap='Blues', aspect='auto')
    for i in range(len(P)):
      for j in range(len(P.columns)):
        value = P.iloc[i, j]
        if not math.isnan(value):
          ax.annotate(f'{value:.0f}', (j, i), ha='center', va='center',
                      fontsize=8, color='white' if value > 60 else plots.INK)
    ax.set_xticks(range(6), ['none', *range(1, 6)], fontsize=8)
    first = name == data[0]
    ax.set_yticks(range(6), SHORT.values() if first else [''] * 6, fontsize=8)
    plots.title(ax, LABELS[name])
  axes[0][0].set_xlabel('attributes told so far', fontsize=9, loc='left')
  ax, both = axes[0][-1], joined(df)
  for i, name in enumerate(data):
    part = both.loc[[k for k in both.index if k[0] == name]]
    ax.errorbar(part.right_mean, part.right_mean_QA,
                xerr=part.right_std.fillna(0), yerr=part.right_std_QA.fillna(0),
                fmt='o', markersize=4, color=plots.COLOURS[i], linewidth=0.8,
                label=LABELS[name])
  ax.plot([0, 100], [0, 100], color=plots.QUIET, linewidth=0.8, linestyle=':')
  ax.legend(frameon=False, fontsize=7.5, loc='upper left')
  ax.set_xlabel('Q-probe reads it off the name, %', fontsize=9)
  ax.set_ylabel('questions answered, %', fontsize=9)
  ax.set_ylim(-4, 108)
  plots.title(ax, 'Read and answered')
  n, people = int(df.n.min()), int(df.people.max())
  fig.suptitle('What a probe reads in the middle of a biography, before '
               'attributes are told', x=0.01, ha='left', fontsize=11)
  fig.supxlabel(
      f'percent right about {people} held-out people, mean of {n} '
      f'seed{"s"[:n > 1]} (right: and standard deviation);  dark at "none": '
      'the model ties the attribute to the name;  right: a point an attribute, '
      f'r = {correlation(df):.2f}', x=0.01, ha='left', fontsize=8,
      color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Results 4 and 5 of the paper."""
  out, later = [], list(SHORT)[1:]
  n = int(df.n.min())
  P = {d: df[(df.data == d) & (df.measure == 'P')].set_index(
      ['attribute', 'place']) for d in set(df.data)}
  mean = lambda rows, what: float(rows[what].mean())
  at_name = lambda d: P[d].loc[[(a, 0) for a in later]]

  def add(statement, paper, needed, ours, holds):
    if n < 3 or any(d not in P for d in needed):
      out.append(Claim(statement, paper, 'not run with three seeds',
                       'not tested at this scale'))
    else:
      out.append(Claim(statement, paper, ours() + f' (n = {n} seeds, '
                       f'{int(df.people.max())} held-out people)',
                       'yes' if holds() else 'no'))

  add('Told once, attributes cannot be read off at the name (Result 4: '
      'P-probe, five attributes, within 5 points of chance)',
      '4.5 % (chance 3.2)',
      ['single'], lambda: f'{mean(at_name("single"), "right_mean"):.1f} % '
      f'(chance {mean(at_name("single"), "chance_mean"):.1f})',
      lambda: mean(at_name('single'), 'right_mean') <= mean(
          at_name('single'), 'chance_mean') + 5)
  jump = lambda: [(P['single'].loc[(a, i)], P['single'].loc[(a, i - 1)])
                  for i, a in enumerate(SHORT) if 0 < i < 5]
  add('but right where they are told (Result 4: P-probe, each attribute more '
      'at its own place than one before)', '100 % against about chance',
      ['single'], lambda: ', '.join(
          f'{a.right_mean:.0f} against {b.right_mean:.0f}'
          for a, b in jump()) + ' %',
      lambda: all(a.right_mean - b.right_mean > 2 * (
          (a.right_std**2 + b.right_std**2) / n)**0.5 for a, b in jump()))

  def beats(more, less):
    a, b = at_name(more), at_name(less)
    return all(x.right_mean - y.right_mean > 2 * (
        (x.right_std**2 + y.right_std**2) / n)**0.5
        for (_, x), (_, y) in zip(a.iterrows(), b.iterrows()))

  add('Told five times, shuffled, every attribute can be read off at the name '
      'better than told once (Result 4)', '93.5 against 4.5 %',
      ['single', 'multi5_permute'],
      lambda: ' against '.join(
          f'{mean(at_name(d), "right_mean"):.1f}' for d in (
              'multi5_permute', 'single')) + ' %',
      lambda: beats('multi5_permute', 'single'))
  add('Questions are answered as well as Q-probes read off the name (Result 5: '
      'correlation over data and attributes, above chance, at least 0.8)',
      'row by row alike',
      list(PAPER)[:3], lambda: f'r = {correlation(df):.2f} (without the '
      f'month, first told: {correlation(df, list(SHORT)[1:]):.2f})',
      lambda: correlation(df) >= 0.8)
  return out
