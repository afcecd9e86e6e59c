"""Where does a model keep what it has read: with the name, or further on?

Part 3.1 (Allen-Zhu & Li, arXiv 2309.14316), Results 4 and 5. A model that has
read biographies and nothing else is frozen and probed. A P-probe reads a
biography and tells every attribute just before the first one told, the second,
and so on: what can it tell before anything was told, from the name alone? A
Q-probe reads only the name. Probes are trained on half of the people.

Paper (GPT-2 124M, 100,000 people), whole attributes (birth city, university,
major, employer, company city), percent:
  P-probe before anything is told: single 5.0, 0.8, 1.7, 0.6, 14.3;
      multi5+permute 96.6, 75.5, 96.1, 99.6, 99.6; first tokens alone: single
      5.9, 38.0, 4.7, 1.5, 15.4, multi5+permute 100, 100, 100, 99.9, 99.8
  Q-probe: single 1.1, 0.3, 1.4, 0.1, 11.6; multi5 38.1, 9.7, 36.1, 2.3, 11.9;
      multi5+permute 96.1, 72.6, 94.9, 99.6, 99.7
  row by row, questions are answered as well as Q-probes tell (Result 5).

  python -m physics_lm.launch experiments/knowledge_probing.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_probing.py --scale=cpu

Measured: 24 runs, 36 minutes of one core that others used as well, with six of
the eleven targets.

Ours at `cpu` scale: 300 people, short lists (configs/manipulation.py), a few
hundred steps of probing with the paper's rate x decay x steps; as in the paper
eleven targets: of dates the month, of the other attributes the whole and the
first token alone, here a word. Probes' updates of
the embedding leave names alone: the paper's 50,000 people share theirs, ours
would be learnt by heart. Questions: finetuned in full, loss on answers.

Rules, fixed before the runs, n >= 3 seeds (each its own people): more means by
more than twice the standard error over seeds, sqrt((s1^2 + s2^2) / n); chance
is what the commonest value of the training half scores; correlations are of
percent above chance. First words were probed later, the claims about them
written before.

What the `paper` scale has not of the paper: GPT-2's tokenizer (a word is a
token here), twelve more data sets, the better of LoRA ranks.
"""

import math

from configs.manipulation import SMALL
from configs.sizes import size
from physics_lm import plots
from physics_lm.report import BY_PERSON, Claim, accuracy, held_out, spread
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
# questions about held-out people after LoRA finetuning, percent
ANSWERED = {'single': (33.5, 6.3, 2.3, 4.0, 1.1, 13.8),
            'multi5': (100, 50.8, 30.9, 43.5, 10.2, 13.8),
            'multi5_permute': (100, 99.0, 91.3, 97.7, 95.1, 98.7)}
FIRST = tuple(f'first_{a}' for a in SHORT if a != 'birth_date')
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
    'smoke': (('single',), 1, _PEOPLE | _ROWS | {
        'worlds.bios.people': 20, 'model.width': 16, 'model.depth': 2,
        'model.heads': 2, 'data.batch': 4, 'optim.warmup': 2},
              _PROBES | {'steps': 10, 'evals.p_probe.steps': 2,
                         'evals.q_probe.steps': 2}, {'steps': 5}),
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
  held-out people, and by the commonest value; mean and std over n seeds; `low`,
  `high`: the 95 % interval by person of one seed, averaged. Attributes: of
  birth dates the month, of the others the whole and, as first_ATTRIBUTE, the
  first word; `whole` and `first`: the mean of all five. Measures: P (place:
  attributes told before), Q and QA (place -1)."""
  import pandas as pd
  rows = []

  def add(r, measure, attribute, place, keys, chance):
    rows.append({
        'data': r['data'], 'measure': measure, 'attribute': attribute,
        'place': place, 'people': r[f'{keys[0].split("/")[0]}/people/test'],
        **{name: 100 * r[key] for name, key in zip(
            ('right', 'right_low', 'right_high'), keys)},
        'chance': 100 * r[chance] if chance else math.nan})

  for r in results:
    for a in (*SHORT, *FIRST, 'whole', 'first'):
      if r['training'] == 'finetune':
        if a in ('whole', 'first'):
          continue
        # Of dates the first word, as probed; a guess is known of the whole.
        first = a.startswith('first_') or a == 'birth_date'
        name, what = a.removeprefix('first_'), 'first' if first else 'exact'
        add(r, 'QA', a, -1, [
            f'extraction/{what}{end}/test/{name}'
            for end in ('', '_low', '_high')], '' if first else (
                f'extraction/majority/test/{name}'))
        continue
      keys = lambda kind, end='', a=a: [
          f'{kind}/test{bound}/{a}{end}' for bound in ('', '_low', '_high')]
      add(r, 'Q', a, -1, keys('q_probe'), f'q_probe/majority/{a}')
      for place in range(6):
        add(r, 'P', a, place, keys('p_probe', f'/{place}'),
            f'p_probe/majority/{a}')
  return spread(pd.DataFrame(rows), ['data', 'measure', 'attribute', 'place',
                                     'people'], [
                    'right', 'right_low', 'right_high', 'chance'])


def pivot(df, data: str):
  """Percent of P-probes: attributes by places."""
  part = df[(df.data == data) & (df.measure == 'P')]
  return part.pivot(index='attribute', columns='place',
                    values='right_mean').loc[[*SHORT, *FIRST]]


def joined(df):
  """Q-probes beside answers, by (data, attribute)."""
  by = {m: df[df.measure == m].set_index(['data', 'attribute']).sort_index()
        for m in ('Q', 'QA')}
  return by['Q'].join(by['QA'].add_suffix('_QA'), how='inner')


def correlation(df, attributes=tuple(SHORT)) -> float:
  """Of Q-probe and answers above chance, over data and attributes."""
  both = joined(df)
  both = both[both.index.get_level_values('attribute').isin(attributes)]
  return float((both.right_mean - both.chance_mean).corr(
      both.right_mean_QA - both.chance_mean))


def show(df) -> str:
  """The small table of the last screen."""
  lines = [f'{"data":26}{"attribute":19}{"P at the name":>14}'
           f'{"P, own place":>14}{"Q":>28}{"answers":>9}{"chance":>8}']
  both = joined(df)
  for data in [d for d in PAPER if d in set(df.data)]:
    P = pivot(df, data)
    for a in P.index:
      r, name = both.loc[data, a], a.removeprefix('first_')
      own = f'{P.loc[a, list(SHORT).index(name)]:.1f}'
      lines.append(
          f'{data:26}{SHORT[name] + (", first" if name != a else ""):19}'
          f'{P.loc[a, 0]:>14.1f}{own if "permute" not in data else "":>14}'
          f'{accuracy(r, "right"):>28}{r.right_mean_QA:>9.1f}'
          f'{r.chance_mean:>8.1f}')
  lines.append(f'correlation of Q and answers {correlation(df):.2f}, '
               f'n = {int(df.n.min())} seeds, {BY_PERSON} of one seed')
  return '\n'.join(lines)


def figure(df):
  """Heat maps of P-probes, and answers against Q-probes."""
  data = [d for d in PAPER if d in set(df.data)]
  fig, axes = plots.figure(columns=len(data) + 1, width=3.1, height=3.6)
  for ax, name in zip(axes[0], data):
    P = pivot(df, name).loc[list(SHORT)]
    paper = (100, *PAPER[name][0]) if PAPER[name][0] else ()
    ax.grid(False)
    ax.imshow(P, vmin=0, vmax=100, cmap='Blues', aspect='auto')
    for i in range(len(P)):
      for j in range(len(P.columns)):
        value = P.iloc[i, j]
        if not math.isnan(value):
          ink = 'white' if value > 60 else plots.INK
          told = paper and j == 0
          ax.annotate(f'{value:.0f}', (j, i), xytext=(0, 4 * bool(told)),
                      textcoords='offset points', ha='center', va='center',
                      fontsize=8, color=ink)
          if told:
            ax.annotate(f'({paper[i]:.0f})', (j, i), xytext=(0, -6),
                        textcoords='offset points', ha='center', va='center',
                        fontsize=7, color=ink)
    ax.set_xticks(range(6), ['none', *range(1, 6)], fontsize=8)
    first = name == data[0]
    ax.set_yticks(range(6), SHORT.values() if first else [''] * 6, fontsize=8)
    plots.title(ax, LABELS[name])
  axes[0][0].set_xlabel('attributes told so far', fontsize=9, loc='left')
  ax, both = axes[0][-1], joined(df)
  for i, name in enumerate(data):
    part = both.loc[[(name, a) for a in SHORT]]
    ax.errorbar(part.right_mean, part.right_mean_QA,
                xerr=part.right_std.fillna(0), yerr=part.right_std_QA.fillna(0),
                fmt='o', markersize=4, color=plots.COLOURS[i], linewidth=0.8,
                label=LABELS[name])
    if PAPER[name][1]:
      ax.plot(PAPER[name][1], ANSWERED[name][1:], 'D', markersize=4.5,
              color='white', markeredgecolor=plots.COLOURS[i], zorder=1)
    for a in SHORT:  # whose answers and probes differ most
      r = part.loc[(name, a)]
      if r.right_mean - r.right_mean_QA > 25:
        ax.annotate(SHORT[a], (r.right_mean, r.right_mean_QA), xytext=(-3, -9),
                    textcoords='offset points', fontsize=7.5, ha='right',
                    color=plots.COLOURS[i])
  ax.plot([0, 100], [0, 100], color=plots.QUIET, linewidth=0.8, linestyle=':')
  ax.legend(frameon=False, fontsize=7.5, loc='upper left', labelspacing=0.2,
            handletextpad=0.2, borderaxespad=0)
  ax.set_xlabel('Q-probe reads it off the name, %', fontsize=9)
  ax.set_ylabel('questions answered, %', fontsize=9)
  ax.set_ylim(-4, 112)
  plots.title(ax, 'Read and answered')
  n, people = int(df.n.min()), int(df.people.max())
  fig.suptitle('What a probe reads in the middle of a biography, before '
               'attributes are told', x=0.01, ha='left', fontsize=11)
  fig.supxlabel(
      f'percent right about {people} held-out people, mean of {n} '
      f'seed{"s"[:n > 1]} (right: and standard deviation);  dark at "none": '
      'the model ties the attribute to the name;  in brackets, and diamonds on '
      'the right (whole attributes): the paper,\n124M parameters, 50,000 people'
      ';  right: a point an attribute (of birth dates the month), '
      f'r = {correlation(df):.2f} of percent above chance', x=0.01, ha='left',
      fontsize=8, color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Results 4 and 5 of the paper."""
  out = []
  n = int(df.n.min())
  P = {d: df[(df.data == d) & (df.measure == 'P')].set_index(
      ['attribute', 'place']) for d in set(df.data)}
  at_name = lambda d, what='whole': P[d].loc[(what, 0)]

  def add(statement, paper, needed, ours, holds):
    if n < 3 or any(d not in P for d in needed):
      out.append(Claim(statement, paper, 'not run with three seeds',
                       'not tested at this scale'))
    else:
      out.append(Claim(statement, paper, held_out(ours(), df.iloc[0]),
                       'yes' if holds() else 'no'))

  five = list(SHORT)[1:]
  for what, statement, paper in (
      ('whole', 'Told once, attributes cannot be read off at the name (Result '
       '4: P-probe, five attributes', '4.5 % (chance 3.2)'),
      ('first', 'nor can their first words (Result 4: five attributes',
       '13.1 % (chance 12.0)')):
    add(f'{statement}, within 5 points of chance)', paper,
        ['single'], lambda what=what: accuracy(
            at_name('single', what), 'right') + ' % (chance '
        f'{at_name("single", what).chance_mean:.1f})',
        lambda what=what: at_name('single', what).right_mean <= at_name(
            'single', what).chance_mean + 5)
  jump = lambda: [(P['single'].loc[(a, i)], P['single'].loc[(a, i - 1)])
                  for i, a in enumerate(SHORT) if 0 < i < 5]
  add('but right where they are told (Result 4: P-probe, each attribute more '
      'at its own place than one before)', '100 % against about chance',
      ['single'], lambda: ', '.join(
          f'{a.right_mean:.0f} against {b.right_mean:.0f}'
          for a, b in jump()) + ' %',
      lambda: all(a.right_mean - b.right_mean > 2 * (
          (a.right_std**2 + b.right_std**2) / n)**0.5 for a, b in jump()))

  def beats(more, less, attributes):
    a, b = (P[d].loc[[(a, 0) for a in attributes]] for d in (more, less))
    return all(x.right_mean - y.right_mean > 2 * (
        (x.right_std**2 + y.right_std**2) / n)**0.5
        for (_, x), (_, y) in zip(a.iterrows(), b.iterrows()))

  for what, attributes, statement, paper in (
      ('whole', five, 'each of five attributes', '93.5 against 4.5 %'),
      ('first', FIRST, "each attribute's first word", '99.9 against 13.1 %')):
    add(f'Told five times, shuffled, {statement} can be read off at the name '
        'better than told once (Result 4)', paper,
        ['single', 'multi5_permute'],
        lambda what=what: ' against '.join(accuracy(
            at_name(d, what), 'right') for d in ('multi5_permute', 'single'))
        + ' %',
        lambda attributes=attributes: beats(
            'multi5_permute', 'single', attributes))
  add('Questions are answered as well as Q-probes read off the name (Result 5: '
      'correlation over data and attributes, above chance, at least 0.8)',
      'row by row alike',
      list(PAPER)[:3], lambda: f'r = {correlation(df):.2f} (without the '
      f'month, first told: {correlation(df, five):.2f})',
      lambda: correlation(df) >= 0.8)
  return out
