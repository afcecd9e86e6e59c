"""Can a model answer questions about people it has only read about?

Part 3.1 (Allen-Zhu & Li, arXiv 2309.14316), Results 1 to 3. Everybody's
biography is trained on, but only half of the people's questions; we ask about
the other half. Two ways: questions mixed into training, or pretraining on
biographies first and finetuning on questions after. The data differ in how
many ways a biography is told.

Paper (GPT-2 124M, 100,000 people; mean accuracy over six attributes on
held-out people, percent; figures 2, 3, 11):

  data                      full finetuning  LoRA finetuning  mixed
  single                     7.5              9.7             86.6
  multi5                    36.7             41.0             91.8
  multi5+permute            94.6             96.6             95.5
  multi5+permute+fullname   -                96.2             95.7

  python -m physics_lm.launch experiments/knowledge_extraction.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_extraction.py --scale=cpu

Ours: full finetuning with loss on answers; a closed word-level vocabulary; at
`cpu` scale 500 people and smaller pools of names and values.

Rule for a verdict, fixed before the runs: a difference counts when it exceeds
twice its standard error over seeds, sqrt((s1^2 + s2^2) / n), with n >= 3. The
claim about the full name, and the second half of the one about fixed order,
were added after the `cpu` runs had been seen. The settings of `cpu` scale were
chosen by held-out accuracy on single and multi5_permute with seed 0, which is
one of the three seeds reported (experiments/LOG.md, 1 to 3). The committed
`cpu` table was made before tables had intervals by person, and those runs are
gone: its rows show the spread over seeds alone; a new report has both.
"""

from configs.sizes import size
from physics_lm import plots
from physics_lm.report import Claim, accuracy, held_out, spread
from physics_lm.sweep import Run, pick

# data: (full finetuning, mixed), percent; with the full name only LoRA's is
# published.
PAPER = {
    'single': (7.5, 86.6), 'multi5': (36.7, 91.8),
    'multi5_permute': (94.6, 95.5), 'multi5_permute_fullname': (96.2, 95.7)}
LABELS = ('one\ntext', 'five\ntexts', 'five texts,\nshuffled',
          'five texts,\nshuffled,\nfull name')
TRAININGS = ('finetune', 'mixed')

_SMALL = {  # 500 people and pools to match
    'worlds.bios.people': 500, 'worlds.bios.first_names': 100,
    'worlds.bios.middle_names': 100, 'worlds.bios.last_names': 200,
    'worlds.bios.years': 100, 'worlds.bios.templates': 20,
    'data.length': 160, 'data.batch': 12, 'optim.learning_rate': 4e-3,
    'optim.b2': 0.95}
_MIXTURE = {  # shares of rows
    'mixed': {},
    'pretrain': {'data.tasks.bio.weight': 1.0, 'data.tasks.qa.weight': 0.0},
    'finetune': {'data.tasks.bio.weight': 0.0, 'data.tasks.qa.weight': 1.0,
                 'data.tasks.qa.loss': 'answers'}}
SCALES = {
    # scale: data, seeds, common overrides, and those of each training
    'smoke': (('single', 'multi5_permute'), 1, _SMALL | {
        'worlds.bios.people': 20, 'model.width': 32, 'model.depth': 2,
        'data.batch': 4}, {
            'mixed': {'steps': 20, 'optim.warmup': 5},
            'pretrain': {'steps': 20, 'optim.warmup': 5},
            'finetune': {'steps': 10, 'optim.warmup': 2}}),
    'quickstart': (('single', 'multi5_permute'), 2, _SMALL, {
        'mixed': {'steps': 1400}}),
    'cpu': (tuple(PAPER), 3, _SMALL, {
        'mixed': {'steps': 2000},
        'pretrain': {'steps': 1500},
        'finetune': {'steps': 400, 'optim.warmup': 10,
                     'optim.learning_rate': 5e-4}}),
    'gpu': (tuple(PAPER), 3, size('d512') | {
        'worlds.bios.people': 20_000, 'model.dtype': 'bfloat16',
        'data.length': 512, 'data.batch': 96, 'optim.learning_rate': 1e-3,
        'optim.warmup': 500, 'checkpoint.every': 1000}, {
            'mixed': {'steps': 8000},
            'pretrain': {'steps': 6000},
            'finetune': {'steps': 1500, 'optim.warmup': 20,
                         'optim.learning_rate': 3e-4}}),
    # Appendices C and D. Our closed vocabulary has 3,250 words, GPT-2's BPE
    # uses 3,275 tokens of bioS.
    'paper': (tuple(PAPER), 1, size('gpt2') | {
        'worlds.bios.people': 100_000, 'model.dtype': 'bfloat16',
        'model.dropout': 0.1, 'data.length': 512, 'data.batch': 96,
        'data.isolate': False, 'optim.learning_rate': 1e-3,
        'optim.warmup': 1000, 'checkpoint.every': 2000}, {
            'mixed': {'steps': 80_000, 'data.tasks.bio.weight': 0.2,
                      'data.tasks.qa.weight': 0.8},
            'pretrain': {'steps': 80_000},
            'finetune': {'steps': 50_000, 'data.batch': 48, 'optim.warmup': 0,
                         'optim.weight_decay': 0.01,
                         'optim.learning_rate': 3e-4}}),
}


def runs(scale: str) -> list[Run]:
  """Every (data, seed): mixed, pretrain, and finetune from that pretrain."""
  data, seeds, common, trainings = pick(SCALES, scale)
  out = []
  for name in data:
    for seed in range(seeds):
      point = common | {f'seed.{k}': seed for k in ('init', 'data', 'world')}
      parent = None
      for training in trainings:
        run = Run(f'configs/biographies.py:{name}',
                  point | _MIXTURE[training] | trainings[training],
                  {'data': name, 'training': training, 'seed': seed},
                  parent if training == 'finetune' else None)
        parent = run
        out.append(run)
  return out


def table(results: list[dict]):
  """One row for each (data, training, half of the people, attribute):
  percent exact, whole answer and first token, mean and std over n seeds; the
  same of the biography's own sentences; the majority guess. `low`, `high`: the
  95 % interval by person of one seed, averaged."""
  import pandas as pd

  from physics_lm.worlds.biographies import ATTRIBUTES
  rows = []
  metrics = ['exact', 'exact_low', 'exact_high', 'first', 'bio_exact',
             'majority']
  for r in results:
    for half in ('test', 'train'):
      for attribute in ('mean', *ATTRIBUTES):
        end = '' if attribute == 'mean' else f'/{attribute}'
        rows.append({
            'data': r['data'], 'training': r['training'], 'half': half,
            'attribute': attribute, 'people': r[f'extraction/people/{half}'],
            **{m: 100 * r[f'extraction/{m}/{half}{end}'] for m in metrics}})
  return spread(pd.DataFrame(rows),
                ['data', 'training', 'half', 'attribute', 'people'], metrics)


def means(df):
  """Held-out means over the attributes, indexed by (data, training)."""
  rows = df[(df.half == 'test') & (df.attribute == 'mean')]
  return rows.set_index(['data', 'training'])


def show(df) -> str:
  """The small table of the last screen."""
  rows = means(df)
  lines = [f'{"data":26}{"training":12}{"held-out exact %":>28}'
           f'{"majority %":>12}{"biography %":>13}{"seeds":>7}{"people":>8}']
  for (data, training), r in rows.iterrows():
    if training != 'pretrain':
      lines.append(
          f'{data:26}{training:12}{accuracy(r):>28}'
          f'{r.majority_mean:>12.1f}{r.bio_exact_mean:>13.1f}{r.n:>7}'
          f'{r.people:>8}')
  return '\n'.join(lines)


def figure(df):
  """Held-out accuracy by data, one panel for each way to train."""
  rows = means(df)
  trainings = [t for t in TRAININGS if t in rows.index.get_level_values(1)]
  # One panel alone is wider: the lines above and below need the room.
  fig, axes = plots.figure(columns=len(trainings), sharey=True,
                           width=4.6 if len(trainings) > 1 else 7.0)
  heads = {'finetune': 'Biographies first, questions after',
           'mixed': 'Biographies and questions mixed'}
  for ax, training in zip(axes[0], trainings):
    data = [d for d in PAPER if (d, training) in rows.index]
    part = rows.loc[[(d, training) for d in data]]
    plots.accuracy_bars(
        ax, [LABELS[list(PAPER).index(d)] for d in data], part.exact_mean,
        part.exact_std, [plots.COLOURS[d != 'single'] for d in data],
        [PAPER[d][TRAININGS.index(training)] for d in data])
    guess = part.majority_mean.mean()
    ax.axhline(guess, color=plots.INK, linewidth=0.9, linestyle=':')
    # Known is not extractable: the same facts, asked in the person's own text.
    known = 'pretrain' if training == 'finetune' else training
    if (data[0], known) in rows.index:
      least = rows.loc[[(d, known) for d in data]].bio_exact_mean.min()
      ax.annotate('the same facts, inside the biographies: '
                  f'{least:.0f} % known', (0.02, 0.94),
                  xycoords='axes fraction', fontsize=8.5, color=plots.QUIET)
    plots.title(ax, heads[training])
  n, people = int(rows.n.min()), int(rows.people.max())
  axes[0][0].set_ylabel('questions answered exactly, %', fontsize=9)
  axes[0][0].set_xlabel('how each person is told of', fontsize=9, loc='left')
  fig.suptitle(
      f'{people} people whose biographies were trained on, whose questions '
      f'were not', x=0.01, ha='left', fontsize=11)
  fig.supxlabel(
      f'bars: ours, mean and standard deviation of {n} seed{"s"[:n > 1]};  '
      'diamonds: the '
      'paper, 124M parameters and 50,000 people\n(full finetuning; LoRA where '
      'the full name is repeated);  dotted: constant guess',
      x=0.01, ha='left', fontsize=8, color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Results 1 to 3 of the paper."""
  rows, out = means(df), []

  def cell(data, training):
    found = (data, training) in rows.index
    return rows.loc[(data, training)] if found else None

  def text(*cells):
    return held_out(' against '.join(map(accuracy, cells)), cells[0],
                    f'; guess {cells[0].majority_mean:.1f}')

  def add(statement, paper, cells, holds, more=''):
    if any(c is None for c in cells):
      out.append(Claim(statement, paper, 'not run', 'not tested at this scale'))
    elif min(c.n for c in cells) < 3:
      out.append(Claim(statement, paper, text(*cells),
                       'not tested at this scale'))
    else:
      out.append(Claim(statement, paper, text(*cells) + more,
                       'yes' if holds(*cells) else 'no'))

  beats = lambda a, b: a.exact_mean - b.exact_mean > 2 * (
      (a.exact_std**2 + b.exact_std**2) / min(a.n, b.n))**0.5
  single, five, shuffled = (cell(d, 'finetune') for d in (
      'single', 'multi5', 'multi5_permute'))
  add('Told once, facts cannot be extracted by finetuning on questions '
      '(Result 2: at most 10 %)', '7.5 %', [single],
      lambda s: s.exact_mean <= 10)
  add('Five shuffled tellings make them extractable (Result 3: shuffled five '
      'beats one)', '94.6 against 7.5 %', [shuffled, single], beats)
  add('Five tellings in fixed order lie between (Result 3: less than shuffled '
      'five, more than one)', '94.6, 36.7 and 7.5 %',
      [shuffled, five, single],
      lambda a, b, c: beats(a, b) and beats(b, c))
  add('The full name in every sentence changes little once sentences are '
      'shuffled (Result 3: within 5 points)', '96.2 against 96.6 % (LoRA)',
      [cell('multi5_permute_fullname', 'finetune'), shuffled],
      lambda a, b: abs(a.exact_mean - b.exact_mean) <= 5)
  add('Mixed training extracts even what was told once (Result 1: at least '
      'half of the questions)', '86.6 %', [cell('single', 'mixed')],
      lambda s: s.exact_mean >= 50, '' if df.people.max() > 1000 else (
          '; expected at gpu scale, not run'))
  add('In mixed training, too, shuffled five beats one', '95.5 against 86.6 %',
      [cell('multi5_permute', 'mixed'), cell('single', 'mixed')], beats)
  return out
