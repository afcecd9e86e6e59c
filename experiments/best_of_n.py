"""Many solutions sampled, one kept: what does choosing well give?

Test-time scaling on iGSM, where every solution can be judged to the letter. A
model writes n solutions of a problem; kept is the one with the commonest answer
(Wang et al. 2022, arXiv 2203.11171), or the one that a verifier prefers: one
that learned whether whole solutions are right (outcome; Cobbe et al. 2021,
arXiv 2110.14168) or where they go wrong (process; Lightman et al. 2023, arXiv
2305.20050). Everything judged is the whole solution, not its answer alone.

Paper (Lightman et al., MATH, best of 1,860): answers right 78 % chosen by
process, 72 % by outcome, 70 % by majority. Part 2.2 (Ye et al., arXiv
2408.16293): trying again where a perfect detector sees an error takes the
error-free model from 77 to 84 %.

  python -m physics_lm.launch experiments/best_of_n.py --scale=cpu
  python -m physics_lm.report experiments/best_of_n.py --scale=cpu

Measured, `cpu`: three models of error_correction.py (3 minutes each), and
887 s for what is reported here, of cores that others used as well.

Ours: the models of error_correction.py that saw no mistakes (trained once: the
launcher takes them from there), temperature 1; verifiers are the model itself
with one more head, trained on its own solutions of other problems, the same for
both. At `cpu` scale all problems are of op 3, of which the models solve about
60 %, 40 % of new ones, and of training templates, of which there are too few to
hold any out.

Rules, fixed before the runs, n >= 3 seeds: better means by more than twice the
standard error over seeds, of differences seed by seed (the problems are the
same), in full solutions right at the hardest op with the most samples. Judged
are the problems that did not stand in the model's training word for word
(evals/seen.py): this replaced a first rule, of all that were asked, of which at
`cpu` scale about half did; and verifiers no longer learn from what is asked.
"""

import math

from physics_lm import plots
from physics_lm.report import Claim, plus_minus
from physics_lm.sweep import Run, pick

CHOICES = {'first': 'no choice', 'majority': 'commonest answer',
           'outcome': 'outcome verifier', 'process': 'process verifier',
           'oracle': 'oracle'}
SCALES = {
    # scale: recipe, seeds, splits asked, of training, of asking
    'smoke': ('small', 1, ('train_op2',), {
        'model.width': 16, 'model.depth': 1, 'steps': 4, 'optim.warmup': 2,
        'data.batch': 4, 'log.every': 2, 'evals.reasoning.problems': 4,
        'evals.reasoning.tokens': 16}, {
            'evals.best_of.problems': 4, 'evals.best_of.tokens': 16,
            'evals.best_of.samples': 4, 'evals.best_of.learn_problems': 4,
            'evals.best_of.learn_samples': 2}),
    'cpu': ('small', 3, ('train_op3',), {'evals.reasoning.tokens': 96}, {
        'evals.best_of.learn_split': 'train_op3',
        'evals.best_of.learn_problems': 750, 'evals.best_of.problems': 200,
        'evals.best_of.tokens': 96, 'evals.reasoning.problems': 200}),
    'gpu': ('gpu', 3, ('test_op10', 'test_op13'), {}, {
        'evals.best_of.learn_split': 'train_op10',
        'evals.best_of.learn_problems': 2000}),
    'paper': ('med', 1, ('test_op15', 'test_op20', 'test_op23'), {}, {
        'evals.best_of.samples': 64, 'evals.best_of.problems': 1024,
        'evals.best_of.tokens': 2048, 'evals.reasoning.tokens': 2048,
        'evals.best_of.learn_split': 'train_op15',
        'evals.best_of.learn_problems': 10_000}),
}


def runs(scale: str) -> list[Run]:
  """Every seed: a trained model, and the run that only asks it."""
  recipe, seeds, splits, training, asking = pick(SCALES, scale)
  out = []
  for seed in range(seeds):
    same = training | {f'seed.{k}': seed for k in ('init', 'data', 'world')} | {
        'evals.reasoning.splits': ','.join(splits)}
    model = Run(f'configs/igsm.py:{recipe}', same,
                {'data': 'clean', 'seed': seed})
    out.append(Run(f'configs/igsm.py:{recipe}_best_of',
                   same | {'steps': 0} | asking | {
                       'evals.best_of.splits': ','.join(splits)},
                   {'seed': seed}, model))
  return out


def table(results: list[dict]):
  """One row a (run, split, choice, n), of the `problems` that did not stand in
  training (where it is not known which did: all); full_asked of all, %."""
  import pandas as pd
  rows = []
  for r in results:
    for key, value in r.items():
      if not key.startswith('best_of/full/'):
        continue
      split, choice, n = key.split('/')[2:]
      new = '_unseen' * (f'best_of/problems_unseen/{split}' in r)
      get = lambda key, new=new, r=r: r.get(key.replace('@', new), math.nan)
      rows.append({
          'seed': r['seed'], 'split': split, 'choice': choice,
          'n': int(n[1:]), 'full_asked': 100 * value,
          'full': 100 * get(f'best_of/full@/{split}/{choice}/{n}'),
          'answer': 100 * get(f'best_of/answer@/{split}/{choice}/{n}'),
          'greedy': 100 * get(f'reasoning/full@/{split}'),
          'auc': get(f'best_of/auc@/{split}/{choice}'),
          'problems': get(f'best_of/problems@/{split}'),
          'learned': r['best_of/learn/solutions'],
          'learned_right': 100 * r['best_of/learn/full']})
  return pd.DataFrame(rows)


def points(df):
  """Mean, std over seeds and their count, by (split, choice, n)."""
  return df.groupby(['split', 'choice', 'n'], sort=False).agg(
      full=('full', 'mean'), std=('full', 'std'), seeds=('full', 'size'),
      answer=('answer', 'mean'), greedy=('greedy', 'mean'),
      auc=('auc', 'mean'), problems=('problems', 'mean'),
      asked=('full_asked', 'mean')).sort_index()


def _op(split: str) -> int:
  return int(''.join(c for c in split if c.isdigit()) or 0)


def named(split: str) -> str:
  return (f'op {_op(split)}' if _op(split) else 'as trained') + (
      ', asked anew' if split.endswith('_reask') else '')


def hardest(df) -> str:
  """The split of most operations; of those that name none, the first."""
  return max(df.split.unique(), key=_op)


def show(df) -> str:
  """Full solutions right, %, by choice and n."""
  p, lines = points(df), []
  sizes = sorted(df.n.unique())
  for split in df.split.unique():
    lines.append(f'{split:22}' + ''.join(f'{f"n = {n}":>14}' for n in sizes)
                 + f'{"AUC":>7}{"seeds":>7}')
    for choice in CHOICES:
      cells = [p.loc[(split, choice, n)] for n in sizes]
      auc = cells[0].auc
      lines.append(f'  {CHOICES[choice]:20}' + ''.join(
          f'{plus_minus(c.full, c["std"]):>14}' for c in cells)
          + (' ' * 7 if math.isnan(auc) else f'{auc:>7.2f}')
          + f'{int(cells[0].seeds):>7}')
    lines.append(f'  greedy: {cells[0].greedy:.1f}')
    lines.append('  of all problems asked, those that stood in training too, n '
                 f'= {sizes[-1]}: ' + ', '.join(
                     f'{CHOICES[c]} {p.loc[(split, c, sizes[-1])].asked:.1f}'
                     for c in CHOICES))
  return '\n'.join(lines)


def figure(df):
  """Accuracy against n, a panel an op."""
  p, splits = points(df), list(df.split.unique())
  fig, axes = plots.figure(columns=len(splits), width=5.4, height=4.0)
  for ax, split in zip(axes[0], splits):
    for choice, colour in zip(CHOICES, (
        plots.COLOURS[5], plots.COLOURS[4], plots.COLOURS[1],
        plots.COLOURS[0], plots.QUIET)):
      c = p.loc[(split, choice)].sort_index()
      ax.errorbar(c.index, c.full, yerr=c['std'].fillna(0), color=colour,
                  marker='o', markersize=3.5, capsize=2, linewidth=1.4,
                  linestyle=':' if choice in ('first', 'oracle') else '-',
                  label=CHOICES[choice])
    greedy = p.loc[split].greedy.iloc[0]
    ax.axhline(greedy, color=plots.QUIET, linewidth=0.8)
    ax.annotate('greedy', (1, greedy), xytext=(0, 2), fontsize=8,
                textcoords='offset points', color=plots.QUIET)
    ax.set_xscale('log', base=2)
    sizes = sorted(df.n.unique())
    ax.set_xticks(sizes, sizes)
    ax.set_ylim(0, 105)
    ax.set_xlabel('solutions sampled', fontsize=9)
    ax.set_ylabel('solutions wholly right, %', fontsize=9)
    plots.title(ax, f'{named(split)}, by how one of the samples is chosen')
  axes[0][0].legend(fontsize=8, frameon=False)
  seeds = int(p.seeds.min())
  fig.supxlabel(
      f'mean and standard deviation of {seeds} seed{"s"[:seeds > 1]}, '
      f'{int(p.problems.min())} problems each that did not stand in '
      'training', x=0.01, ha='left',
      fontsize=8, color=plots.QUIET)
  return fig


def verdict(df) -> list[Claim]:
  """Which choice is better than which."""
  last, most, out = hardest(df), df.n.max(), []
  here = df[(df.split == last)]
  full = here.pivot(index='seed', columns=['choice', 'n'], values='full')
  seeds, problems = len(full), int(here.problems.mean())
  shown = lambda x: plus_minus(x.mean(), x.std())

  def add(statement, paper, a, b):
    x, y = full[a], full[b]
    if seeds < 3:
      out.append(Claim(statement, paper, 'not run with three seeds',
                       'not tested at this scale'))
      return
    gain = x - y
    out.append(Claim(
        statement, paper, f'{shown(x)} against {shown(y)} % ({named(last)}, '
        f'best of {most}; n = {seeds} seeds, '
        f'{problems} new problems each)',
        'yes' if gain.mean() > 2 * gain.std() / seeds**0.5 else 'no'))

  add('The commonest answer beats a single sample', 'not asked of iGSM',
      ('majority', most), ('majority', 1))
  add('An outcome verifier beats the commonest answer',
      '72 against 70 % (MATH)', ('outcome', most), ('majority', most))
  add('A process verifier beats an outcome verifier', '78 against 72 % (MATH)',
      ('process', most), ('outcome', most))
  return out
