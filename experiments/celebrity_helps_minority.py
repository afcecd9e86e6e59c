r"""Does much text about some people help with what is said once of others?

Part 3.1 (Allen-Zhu & Li, arXiv 2309.14316), Result 6. A minority has one text
each, its sentences shuffled; celebrities, other people, have five. The model
reads both, learns to answer questions about celebrities, and is asked about
the minority.

Paper (GPT-2 124M, 100,000 people of each; percent of the minority's questions,
single+permute1): 4.4 without celebrities, 86.8 with them. Asked after
questions about half of the minority instead: a negligible difference. With
bioR, texts by a language model, 10.0 without, 76.3 with celebrities, 7.3 with
text from Wikipedia instead: not tested here, as bioR is not.

  python -m physics_lm.launch experiments/celebrity_helps_minority.py \
      --scale=cpu
  python -m physics_lm.report experiments/celebrity_helps_minority.py \
      --scale=cpu

Measured, `cpu`: 9 runs, 13 minutes of one core, shared, in all.

Ours at `cpu` scale: 200 people of each, short lists (configs/manipulation.py);
texts and questions are trained on at once, because finetuning makes models of
this size forget whom they were not asked about (experiments/LOG.md, 3 and 29).
Without celebrities, questions are about half of the minority, and half of the
steps are enough to read each of its texts three times as often.

Rules, fixed before the runs, n >= 3 seeds (each its own people): more means by
more than twice the standard error over seeds, sqrt((s1^2 + s2^2) / n).

What the `paper` scale has not of the paper: GPT-2's tokenizer (a word is a
token here), other sets of texts about the minority, the better of LoRA ranks.
"""

from configs.sizes import size
from physics_lm import plots
from physics_lm.report import BY_PERSON, Claim, accuracy, held_out, spread
from physics_lm.sweep import Run, pick

WORLDS = ('minority', 'celebrity')
# what is read, whose questions are trained on
WAYS = {'alone': ('minority', 'minority'), 'helped': ('both', 'celebrity'),
        'helped_own': ('both', 'minority')}
LABELS = {'alone': 'texts: minority\nquestions: minority',
          'helped': 'texts: both\nquestions: celebrities',
          'helped_own': 'texts: both\nquestions: minority'}
PAPER = {'alone': 4.4, 'helped': 86.8}


def _both(**keys) -> dict:
  return {f'worlds.{w}.{k}': v for w in WORLDS for k, v in keys.items()}


_LARGE = _both(first_names=400, middle_names=400, last_names=1000, years=200,
               cities=200, universities=300, majors=100, employers=263,
               templates=50) | {
    'model.dtype': 'bfloat16', 'data.length': 512, 'data.batch': 96,
    'optim.learning_rate': 1e-3}
SCALES = {
    # scale: ways, people of each, seeds, steps on texts of both, common
    # overrides, those of reading and of asking (None: both at once)
    'smoke': (('alone', 'helped'), 20, 1, 12, {
        'model.width': 16, 'model.depth': 2, 'model.heads': 2,
        'data.batch': 4, 'optim.warmup': 1}, {}, None),
    'cpu': (tuple(WAYS), 200, 3, 1500, {
        'data.length': 128, 'model.depth': 3, 'optim.learning_rate': 5e-3},
            {}, None),
    'gpu': (tuple(WAYS), 10_000, 3, 6000, size('d512') | _LARGE, {
        'optim.warmup': 200}, {
            'steps': 1500, 'optim.warmup': 20, 'optim.learning_rate': 3e-4}),
    'paper': (tuple(WAYS), 100_000, 1, 160_000, size('gpt2') | _LARGE | {
        'model.dropout': 0.1, 'data.isolate': False}, {'optim.warmup': 1000}, {
            'steps': 50_000, 'data.batch': 48, 'optim.warmup': 0,
            'optim.weight_decay': 0.01, 'optim.learning_rate': 3e-4,
            'adapter.kind': 'lora', 'adapter.rank': 8}),
}


def runs(scale: str) -> list[Run]:
  """Every (way, seed): read, then asked, or both at once."""
  ways, people, seeds, steps, common, first, then = pick(SCALES, scale)
  out = []
  for seed in range(seeds):
    point = common | _both(people=people) | {
        'worlds.celebrity.first': people} | {
            f'seed.{k}': seed for k in ('init', 'data', 'world')}
    read = {}
    for way, (texts, asked) in ((w, WAYS[w]) for w in ways):
      # Alone, too, long enough for the texts to be known by heart.
      point['steps'] = steps if texts == 'both' else steps // 2
      tags = {'way': way, 'seed': seed}
      if then is None:  # two rows of questions for five of texts
        share = 0.4 if texts == 'both' else 0.4 / 6
        out.append(Run(f'configs/celebrities.py:{texts}', point | first | {
            f'data.tasks.qa_{asked}.weight': share}, tags))
        continue
      if texts not in read:
        read[texts] = Run(f'configs/celebrities.py:{texts}', point | first,
                          tags | {'way': f'read {texts}'})
        out.append(read[texts])
      out.append(Run(f'configs/celebrities.py:ask_{asked}', point | then,
                     tags, read[texts]))
  return out


def table(results: list[dict]):
  """One row for each (way, whose questions, attribute): percent of held-out
  people's questions answered exactly, mean and std over n seeds, `low`, `high`
  the 95 % interval by person of one seed, averaged; the same facts in their
  texts; the commonest answer."""
  import pandas as pd

  from physics_lm.worlds.biographies import ATTRIBUTES
  rows = []
  what = ['exact', 'exact_low', 'exact_high', 'bio_exact', 'majority']
  for r in results:
    for name, who in (('minority', 'minority'), ('famous', 'celebrity')):
      for a in ('mean', *ATTRIBUTES):
        end = '' if a == 'mean' else f'/{a}'
        rows.append({'way': r['way'], 'asked': who, 'attribute': a,
                     'people': r[f'{name}/people/test'], **{
                         m: 100 * r[f'{name}/{m}/test{end}'] for m in what}})
  return spread(pd.DataFrame(rows), ['way', 'asked', 'attribute', 'people'],
                what)


def cells(df, attribute: str = 'mean', asked: str = 'minority'):
  """way -> row."""
  rows = df[(df.attribute == attribute) & (df.asked == asked)]
  return rows.set_index('way')


def show(df) -> str:
  """The small table of the last screen."""
  lines = [f'{"way":18}{"asked about":12}{"exact %":>28}{"chance %":>10}'
           f'{"in texts %":>12}{"seeds":>7}{"people":>8}']
  for who in WORLDS:
    for way, r in cells(df, asked=who).iterrows():
      if way in WAYS and (way != 'alone' or who == 'minority'):
        lines.append(f'{way:18}{who:12}{accuracy(r):>28}'
                     f'{r.majority_mean:>10.1f}{r.bio_exact_mean:>12.1f}'
                     f'{int(r.n):>7}{int(r.people):>8}')
  return '\n'.join([*lines, f'{BY_PERSON} of one seed'])


def figure(df):
  """The minority's questions by way, and by attribute."""
  from physics_lm.worlds.biographies import ATTRIBUTES
  fig, axes = plots.figure(columns=2, width=4.8, height=3.6)
  ax, side = axes[0]
  mean = cells(df)
  colours = [plots.COLOURS[i] for i in (1, 0, 4)]
  ways = [w for w in WAYS if w in mean.index]
  plots.accuracy_bars(ax, [LABELS[w] for w in ways], mean.exact_mean[ways],
                      mean.exact_std[ways].fillna(0), colours,
                      [PAPER.get(w, float('nan')) for w in ways])
  famous = cells(df, asked='celebrity')
  ax.plot([i for i, w in enumerate(ways) if w != 'alone'],
          [famous.exact_mean[w] for w in ways if w != 'alone'], 'o',
          color='white', markersize=6, markeredgecolor=plots.INK)
  ax.axhline(mean.majority_mean.mean(), color=plots.INK, linewidth=0.9,
             linestyle=':')
  ax.set_ylabel('questions about the minority\nanswered exactly, %', fontsize=9)
  plots.title(ax, 'By what was trained on')
  for k, way in enumerate(ways):
    rows = [cells(df, a).loc[way] for a in ATTRIBUTES]
    side.bar([x + 0.27 * (k - 1) for x in range(6)],
             [r.exact_mean for r in rows], 0.26, yerr=[
                 0 if r.n < 2 else r.exact_std for r in rows],
             color=colours[k], ecolor=plots.INK, capsize=2,
             error_kw={'linewidth': 0.8}, label=LABELS[way].replace('\n', ', '))
  for x, a in enumerate(ATTRIBUTES):
    guess = cells(df, a).majority_mean.mean()
    side.plot([x - 0.42, x + 0.42], [guess] * 2, color=plots.INK, linewidth=1,
              linestyle=':')
  side.set_xticks(range(6), [a.replace('_', '\n') for a in ATTRIBUTES],
                  fontsize=8)
  side.legend(frameon=False, fontsize=8, loc='upper right')
  top = max(r.exact_mean for w in ways for r in [
      cells(df, a).loc[w] for a in ATTRIBUTES])
  side.set_ylim(0, max(1.7 * top, 1))
  plots.title(side, 'By attribute, enlarged')
  n, people = int(df.n.min()), int(mean.people.max())
  fig.suptitle(f'What was said once of {people} people, asked for in questions '
               'never trained on', x=0.01, ha='left', fontsize=11)
  fig.supxlabel(
      f'bars: mean and standard deviation of {n} seed{"s"[:n > 1]};  dotted: '
      'the commonest answer;  celebrities: as many others, five texts each, '
      'one of the minority;\ncircles: asked about celebrities instead, also '
      'never trained on;  diamonds: the paper, 50,000 people, 124M parameters',
      x=0.01,
      ha='left', fontsize=8, color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Result 6 of the paper."""
  rows, out = cells(df), []

  def add(statement, paper, ways, holds):
    found = [rows.loc[w] if w in rows.index else None for w in ways]
    if any(r is None or r.n < 3 for r in found):
      out.append(Claim(statement, paper, 'not run with three seeds',
                       'not tested at this scale'))
      return
    out.append(Claim(
        statement, paper, held_out(
            ' against '.join(map(accuracy, found)), found[0],
            f'; guess {found[0].majority_mean:.1f}'),
        'yes' if holds(*found) else 'no'))

  beats = lambda a, b: a.exact_mean - b.exact_mean > 2 * (
      (a.exact_std**2 + b.exact_std**2) / min(a.n, b.n))**0.5
  add("Celebrities' texts and questions make a minority's single texts "
      'extractable (Result 6: more than without)', '86.8 against 4.4 %',
      ['helped', 'alone'], beats)
  add("Their questions do as well as the minority's own (Result 6: within 5 "
      'points)', 'negligible difference', ['helped', 'helped_own'],
      lambda a, b: abs(a.exact_mean - b.exact_mean) <= 5)
  out.append(Claim(
      "Wikipedia's text in place of celebrities does not help (Result 6, bioR)",
      '7.3 against 76.3 %', 'not run: bioR needs a language model to write it',
      'not tested at this scale'))
  return out
