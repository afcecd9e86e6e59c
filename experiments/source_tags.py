"""What does junk cost, and what does it help to say where a text comes from?

Part 3.3 (Allen-Zhu & Li, arXiv 2404.05405), section 10, Results 10 to 12: an
eighth of the texts is useful, seven eighths are junk of the same form. Scored
is what the model knows of the useful people, against 100 exposures without
junk.

Paper (bioS of 50,000 people and more; junk of 100 million people):
fresh junk: 20, 3, 1.5 and 1.3 times less at 100, 300, 600 and 1,000 exposures;
junk of 1,000 people, often repeated: no loss at 100; fresh junk, one token
before every useful text: 2 times less at 100, none at 300.

  python -m physics_lm.launch experiments/source_tags.py --scale=cpu
  python -m physics_lm.report experiments/source_tags.py --scale=cpu

Measured, `cpu`: 33 runs, an hour of one core in all.

Ours at `cpu` scale: bioD, 500 useful people with names of three symbols (N0 =
256^3; fresh junk is everybody else), 13 thousand parameters, a row wholly
useful or wholly junk. `clean` has the best of four learning rates by the mean
over seeds, all others one (the paper tunes all): junk may cost a little less
than it seems. Beyond the paper: what if only a share of the useful texts
carries the tag, or junk carries it too? A model that knows tags is asked with
the tag.

`clean` takes half the batch and a quarter of the steps of the others, as it has
an eighth of their texts; nothing else differs.

Rules, fixed before the runs, n >= 3 seeds: more or less means by more than
twice the standard error over seeds, sqrt((s1^2 + s2^2) / n); "nothing", "all"
mean that the mean is at least 90 % of the other.
"""

import itertools
import math

from physics_lm import plots
from physics_lm.report import Claim, best_rate, plus_minus
from physics_lm.sweep import Run, pick

# data: recipe, share of useful texts that carry the tag, share of tagged texts
# that are useful
DATA = {'clean': ('clean', 0.0, 1.0), 'repeated': ('repeated', 0.0, 1.0),
        'junk': ('junk', 0.0, 1.0), 'tagged': ('tagged', 1.0, 1.0),
        'tag_quarter': ('tagged', 0.25, 1.0), 'tag_half': ('tagged', 0.5, 1.0),
        'tag_unsure': ('tagged', 1.0, 0.5)}
LABELS = {'clean': 'no junk', 'repeated': 'repeated junk',
          'junk': 'fresh junk', 'tagged': 'fresh junk,\ntag on useful'}
# Of what is known after 100 exposures without junk, what is left (section 10).
PAPER = {('repeated', 100): 1, ('junk', 100): 1 / 20, ('junk', 300): 1 / 3,
         ('junk', 600): 1 / 1.5, ('junk', 1000): 1 / 1.3,
         ('tagged', 100): 1 / 2, ('tagged', 300): 1}
USEFUL = 1 / 8
RATE = 8e-3  # of configs/source_tags.py
RATES = {'cpu': {'clean': (4e-3, RATE, 16e-3, 32e-3)}}
SCALES = {
    # scale: {data: exposures}, people, width, seeds, entries a step, common
    'smoke': ({'clean': (4,), 'junk': (4,), 'tagged': (4,),
               'tag_unsure': (4,)}, 20, 16, 1, 32,
              {'optim.warmup': 2, 'log.every': 5}),
    'cpu': ({'clean': (100,), 'repeated': (100,), 'junk': (100, 300),
             'tagged': (100, 300), 'tag_half': (100,), 'tag_unsure': (100,)},
            500, 16, 3, 32, {}),
    'gpu': ({'clean': (100,), 'repeated': (100,), 'junk': (100, 300, 600),
             'tagged': (100, 300), 'tag_quarter': (100,), 'tag_half': (100,),
             'tag_unsure': (100,)}, 20_000, 64, 3, 512,
            {'model.dtype': 'bfloat16', 'runtime.workers': 8}),
    'paper': ({'clean': (100,), 'repeated': (100,),
               'junk': (100, 300, 600, 1000), 'tagged': (100, 300)},
              100_000, 256, 1, 1024,
              {'model.dtype': 'bfloat16', 'data.isolate': False,
               'optim.warmup': 1000, 'optim.learning_rate': 1e-3}),
}


def mixture(data: str) -> dict:
  """Shares of rows of each task."""
  recipe, tagged, sure = DATA[data]
  useful = 1.0 if recipe == 'clean' else USEFUL
  junk_tagged = useful * tagged * (1 - sure) / sure
  weights = {'useful': useful * (1 - tagged), 'tagged': useful * tagged,
             'junk': 1 - useful - junk_tagged, 'junk_tagged': junk_tagged}
  return {f'data.tasks.{k}.weight': v for k, v in weights.items()}


def runs(scale: str) -> list[Run]:
  """Every (data, exposures, learning rate, seed)."""
  wanted, people, width, seeds, entries, common = pick(SCALES, scale)
  out = []
  for data, exposures in wanted.items():
    clean = DATA[data][0] == 'clean'
    # Without junk half the batch: fewer steps would be too few.
    batch = entries // 8 // (2 if clean else 1)
    for exposed in exposures:
      steps = people * exposed / (batch * 8 * (1 if clean else USEFUL))
      usual = common.get('optim.learning_rate', RATE)
      for rate, seed in itertools.product(
          RATES.get(scale, {}).get(data, (usual,)), range(seeds)):
        out.append(Run(f'configs/source_tags.py:{DATA[data][0]}', mixture(
            data) | {
                'worlds.useful.people': people, 'worlds.junk.first': people,
                'worlds.junk.people': max(people // 50, 2) if (
                    data == 'repeated') else 256**3 - people,
                'evals.bits.people': people, 'evals.tagged.people': people,
                'model.width': width, 'model.heads': max(width // 64, 2),
                'data.batch': batch, 'steps': round(steps)} | common | {
                    'optim.learning_rate': rate} | {
                    f'seed.{k}': seed for k in ('init', 'data', 'world')},
            {'data': data, 'exposures': exposed, 'rate': rate, 'seed': seed}))
  return out


def table(results: list[dict]):
  """One row a run: R and bits of the useful people, asked as the model was
  trained (with the tag if there was one), and both ways. `best` marks, of the
  learning rates of a point, the one with the most bits in the mean."""
  import pandas as pd
  rows = []
  for r in results:
    _, tagged, sure = DATA[r['data']]
    own = 'tagged' if tagged else 'bits'
    exposed = [r.get(f'train/exposures/{t}', 0.0) for t in (
        'useful', 'tagged')]
    rows.append({
        **{k: r[k] for k in ('data', 'exposures', 'rate', 'seed')},
        'tag_share': tagged, 'tag_precision': sure, 'exposed': sum(exposed),
        **{k: r[f'{own}/{k}'] for k in (
            'parameters', 'people', 'bits', 'bits_max', 'ratio', 'ratio_max',
            'name_nats', 'value_nats')},
        'ratio_plain': r['bits/ratio'], 'ratio_tag': r['tagged/ratio']})
  df = pd.DataFrame(rows)
  df['best'] = best_rate(df, ['data', 'exposures'])
  return df


def points(df):
  """Mean, std over seeds and n of R, of the best learning rate, by (data,
  exposures)."""
  return df[df.best].groupby(['data', 'exposures'], sort=False).agg(
      R=('ratio', 'mean'), std=('ratio', 'std'), n=('ratio', 'size'),
      R_max=('ratio_max', 'mean'), people=('people', 'first'),
      share=('tag_share', 'first'), parameters=('parameters', 'first'),
      precision=('tag_precision', 'first'))


def shown(p) -> str:
  return plus_minus(p.R, p['std'], 2)


def show(df) -> str:
  """The small table of the last screen."""
  p = points(df)
  lines = [f'{"data":14}{"exposures":>10}{"R of useful":>16}{"R_max":>8}'
           f'{"seeds":>7}']
  for (data, exposed), r in p.iterrows():
    lines.append(f'{data:14}{exposed:>10}{shown(r):>16}{r.R_max:>8.2f}'
                 f'{int(r.n):>7}')
  return '\n'.join(lines)


def figure(df):
  """Left: what each kind of junk leaves. Right: how many tags, how sure."""
  p = points(df)
  fig, axes = plots.figure(columns=2, width=4.8, height=3.8)
  ax, side = axes[0]
  bars = [(d, e) for d, e in p.index if d in LABELS]
  bars.sort(key=lambda b: (b[1], list(LABELS).index(b[0])))
  colours = {'clean': plots.COLOURS[5], 'repeated': plots.COLOURS[4],
             'junk': plots.COLOURS[1], 'tagged': plots.COLOURS[0]}
  at = range(len(bars))
  R, std = p.R.loc[bars], p['std'].loc[bars].fillna(0)
  ax.bar(at, R, 0.66, yerr=std, color=[colours[d] for d, _ in bars],
         ecolor=plots.INK, capsize=2.5, error_kw={'linewidth': 0.9})
  for x, value, error in zip(at, R, std):
    ax.annotate(f'{value:.2f}', (x, value + error), xytext=(0, 3), ha='center',
                textcoords='offset points', fontsize=8.5)
  ax.set_xticks(list(at), [f'{LABELS[d]}\n{e} exp.' for d, e in bars],
                fontsize=7.5)
  ax.set_ylim(0, 1.18 * float((R + std).max() or 1))
  ax.set_ylabel('bits a parameter, of the useful people', fontsize=9)
  clean = [i for i, (d, _) in enumerate(bars) if d == 'clean']
  if clean:
    whole = R.iloc[clean[0]]
    ax.axhline(whole, color=plots.QUIET, linewidth=0.8, linestyle=':')
    for x, bar in zip(at, bars):
      if bar in PAPER:  # beside the bar, so that neither hides the other
        ax.plot(x + 0.4, PAPER[bar] * whole, 'D', color='white', markersize=5.5,
                markeredgecolor=plots.INK, markeredgewidth=1.1, zorder=5)
  plots.title(ax, 'Junk, and a tag on what is not')
  least = min(e for _, e in p.index)
  line = p[[e == least and d != 'clean' and d != 'repeated' and (
      r.precision == 1) for (d, e), r in p.iterrows()]].sort_values('share')
  side.errorbar(line.share, line.R, yerr=line['std'].fillna(0),
                color=plots.COLOURS[0], marker='o', capsize=2.5, linewidth=1.4)
  if ('tag_unsure', least) in p.index:
    r = p.loc[('tag_unsure', least)]
    side.errorbar([1.0], [r.R], yerr=[0 if math.isnan(r['std']) else r['std']],
                  color=plots.COLOURS[3], marker='D', capsize=2.5)
    side.annotate('as much junk carries\nthe tag as useful text',
                  (1.0, r.R), xytext=(-8, 0), textcoords='offset points',
                  ha='right', va='center', fontsize=8, color=plots.COLOURS[3])
  side.set_xlabel('share of the useful texts that carry the tag', fontsize=9)
  side.set_ylim(0, ax.get_ylim()[1])
  plots.title(side, f'How many tags does it take? ({least} exposures)')
  people = int(p.people.iloc[0])
  fig.suptitle(f'{people} useful people among 7 times as much junk', x=0.01,
               ha='left', fontsize=11)
  n = int(p.n.min())
  fig.supxlabel(
      f'exp.: exposures of the useful people; mean and standard deviation of '
      f'{n} seed{"s"[:n > 1]}; '
      f'{int(p.parameters.iloc[0]):,} parameters; a perfect memory has '
      f'{p.R_max.iloc[0]:.2f};\ndiamonds: what the paper\'s models keep, as a '
      'share of the first bar, which alone has the best of four learning rates',
      x=0.01, ha='left', fontsize=8, color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Results 10 to 12 of the paper, and the two questions beyond it."""
  p, out = points(df), []
  cell = lambda data, exposed: p.loc[(data, exposed)] if (
      data, exposed) in p.index else None
  error = lambda a, b: 2 * ((a['std']**2 + b['std']**2) / min(a.n, b.n))**0.5
  beats = lambda a, b: a.R - b.R > error(a, b)

  def add(statement, paper, cells, holds):
    if any(c is None or c.n < 3 for c in cells):
      out.append(Claim(statement, paper, 'not run with three seeds',
                       'not tested at this scale'))
      return
    ours = ' against '.join(map(shown, cells)) + (
        f' bits a parameter (n = {int(cells[0].n)} seeds, '
        f'{int(cells[0].people)} people)')
    out.append(Claim(statement, paper, ours, 'yes' if holds(*cells) else 'no'))

  clean = cell('clean', 100)
  add('Fresh junk, 7 of 8 texts, costs more than half of the knowledge at 100 '
      'exposures (Result 10)', '20 times less than without', [
          cell('junk', 100), clean],
      lambda junk, no: beats(no, junk) and junk.R < no.R / 2)
  add('At 300 exposures it costs less (Result 10)', '3 times less than 100 '
      'exposures without', [cell('junk', 300), cell('junk', 100), clean],
      lambda more, few, no: beats(more, few))
  for exposed, paper in ((600, 1.5), (1000, 1.3)):
    add(f'At {exposed:,} exposures less again (Result 10)', f'{paper} times '
        'less than 100 exposures without', [
            cell('junk', exposed), cell('junk', 300), clean],
        lambda more, few, no: beats(more, few))
  add('Junk that repeats itself costs nothing at 100 exposures (Result 11: '
      'within 10 %)', 'no loss', [cell('repeated', 100), clean],
      lambda junk, no: junk.R >= 0.9 * no.R)
  add('A tag on the useful texts gives much of it back at 100 exposures '
      '(Result 12)', '2 instead of 20 times less', [
          cell('tagged', 100), cell('junk', 100)], beats)
  add('and all of it at 300 (Result 12: within 10 % of 100 exposures without '
      'junk)', 'no loss', [cell('tagged', 300), clean],
      lambda tag, no: tag.R >= 0.9 * no.R)
  add('Tags on half of the useful texts do less than tags on all, more than '
      'none', 'not asked', [
          cell('tagged', 100), cell('tag_half', 100), cell('junk', 100)],
      lambda a, b, c: beats(a, b) and beats(b, c))
  add('A tag that half of the time is on junk does less than a sure one, more '
      'than none', 'not asked', [
          cell('tagged', 100), cell('tag_unsure', 100), cell('junk', 100)],
      lambda a, b, c: beats(a, b) and beats(b, c))
  return out
