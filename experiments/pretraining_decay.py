"""How much of what finetuning extracts from one biography is weight decay's?

Part 3.1 (Allen-Zhu & Li, arXiv 2309.14316), Result 2: pretrained on one
biography per person (bioS single), a model finetuned on questions about P_train
answers few about P_test: 7.5 % (GPT-2 124M, 100,000 people, weight decay 0.1;
by LoRA 33.5 of birth dates, which follow the name, 5.5 of the other values).
knowledge_extraction gives 14 %, but with weight decay 3, since mixed training
extracts knowledge only with much of it (extraction_mechanism). Here pretraining
differs in decay alone; finetuning, without any, is the same. And mixed training
by weight decay in the same world (Result 1: 86.6 %).

  python -m physics_lm.launch experiments/pretraining_decay.py --scale=cpu
  python -m physics_lm.report experiments/pretraining_decay.py --scale=cpu

Predicted at `cpu`, weight decay 0.1, 0.3, 1 and 3 (no run but those at 3 was
seen): P_test 9, 9, 11, 14 % (known); birth date 25, 26, 30, 34, the others 6,
6, 8, 10; biographies memorised to 99 % or more before finetuning in all. Three
seeds gave 9, 10, 12.5, 14, but 150 steps fit 89, 93, 98, 97 % of the questions:
of 300 steps 97 %, 9.5, 10, 13, 14. Last, mixed training: 18, 22, 35 (62 known).
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, at_most, descending, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick
from physics_lm.worlds.biographies import ATTRIBUTES

SHARED = ('knowledge_extraction',)  # has the runs at decay 3: they count
SCALES = {
    'smoke': dict(compact=False, decays=(0.1,), seeds=1, pretrain={},
                  common=scales.BIOS_200 | scales.SMOKE_TINY, finetune={},
                  steps=(10,)),
    'cpu': dict(decays=(0.1, 0.3, 1.0, 3.0), seeds=5, steps=(150, 300),
                **scales.compact_bios(500))}
PAPER_DECAY, PAPER, MIXED = 0.1, 7.5, 86.6


def runs(scale: str) -> list[Run]:
  """Every (decay, seed): pretrained, and finetuned from that."""
  s, out = pick(SCALES, scale), []
  for decay in s['decays']:
    for seed in range(s['seeds']):
      tags = {'decay': decay, 'seed': seed}
      (file, shares), (then, questions) = (
          scales.bio_training('single', stage, s['compact'])
          for stage in ('pretrain', 'finetune'))
      common = s['common'] | scales.seeds(seed)
      base = Run(file, common | shares | s['pretrain'] | {
          'optim.weight_decay': decay}, tags | {'finetuning': 0})
      out += [base, *(Run(
          then, common | questions | s['finetune'] | {'steps': steps},
          tags | {'finetuning': steps}, base) for steps in s['steps'])]
      if 'mixed' in s:
        file, _ = scales.bio_training('single', 'mixed', s['compact'])
        out.append(Run(file, common | s['mixed'] | {
            'optim.weight_decay': decay}, tags | {
                'finetuning': 0, 'mixed': True}))
  return out


def table(records):
  """A row a run, person_split and attribute: results.extraction. mixed: whether
  questions were mixed into training, without finetuning."""
  df = results.extraction(records)
  return df.assign(mixed=df['mixed'].eq(True) if 'mixed' in df else False)


def summary(df):
  """By people, decay, steps of finetuning and attribute."""
  return results.summarise(df, [
      'person_split', 'decay', 'finetuning', 'mixed', 'attribute'], [
          'accuracy', 'bio_accuracy', 'majority_baseline'])


def figure(df):
  """Questions by decay, of P_test and P_train; of P_test by attribute."""
  s = summary(df)
  mixed, s = s[s['mixed']], s[s.finetuning == s.finetuning.max()]
  fig, axes = figures.grid(3, width=4.7)
  for ax, split in zip(axes[0], ('test', 'train')):
    means = s[(s.attribute == 'mean') & (s.person_split == split)]
    figures.curves(ax, means, 'decay', None, 'accuracy', label='QA, finetuned')
    figures.log_ticks(ax, means.decay)
    figures.labels(ax, 'weight decay', 'accuracy, %',
                   f'P_{split}, mean of six attributes')
  left, middle, right = axes[0]
  mixed = mixed[(mixed.attribute == 'mean') & (mixed.person_split == 'test')]
  figures.curves(left, mixed, 'decay', None, 'accuracy',
                 color=figures.COLOURS[2], label='mixed training')
  figures.paper_points(left, [PAPER_DECAY], [PAPER])
  figures.paper_points(left, [PAPER_DECAY], [MIXED], figures.COLOURS[2])
  figures.level(left, s[(s.attribute == 'mean') & (s.person_split == 'test')
                        ].majority_baseline_mean.mean(), 'majority\nbaseline')
  figures.percent_axis(left), figures.legend(left, loc='center left')
  figures.curves(middle, means, 'decay', None, 'bio_accuracy', color=
                 figures.COLOURS[1], label='biographies, finetuned')
  figures.percent_axis(middle), figures.legend(middle, loc='lower left')
  attributes = {a: a.replace('_', '\n') for a in ATTRIBUTES}
  decays = {d: f'weight decay {d:g}' for d in sorted(set(s.decay))}
  rows = s[(s.attribute != 'mean') & (s.person_split == 'test')]
  figures.grouped_bars(right, rows, 'attribute', 'decay', 'accuracy',
                       attributes, decays, numbers=False)
  figures.group_levels(right, rows, 'attribute', attributes)
  figures.legend(right)
  figures.labels(right, 'attribute, in the order of the biography', '',
                 'P_test, by attribute')
  figures.finish(
      fig, 'One biography of each person: finetuning, and mixed training',
      f'{figures.seeds_note(s)};  {s.finetuning.max()} steps on questions of '
      'P_train;  diamonds: the paper, GPT-2 124M')
  return fig


def _at(decay: float, attribute='mean', steps: int = 300, split: str = 'test',
        mixed: bool = False) -> dict:
  return {'decay': decay, 'finetuning': 0 if mixed else steps,
          'person_split': split, 'attribute': attribute, 'mixed': mixed}


R2, GUESS = 'Part 3.1, Result 2', dict(baseline='majority_baseline')
DECAYS, LATER = SCALES['cpu']['decays'], ATTRIBUTES[1:]
CLAIMS = (
    Claim('memorised', 'Pretrained on one biography of each person: values '
          'inside biographies at least 98 % correct, at each weight decay', R2,
          '99 % or more', tuple((_at(d, steps=0),) for d in DECAYS),
          at_least(98), column='bio_accuracy'),
    Claim('fitted', 'Questions about P_train are fitted to at least 95 %, at '
          'each weight decay', R2, '98.9 %', tuple(
              (_at(d, split='train'),) for d in DECAYS), at_least(95)),
    Claim('low_decay_fails', 'bioS single, pretrained with weight decay 0.1: '
          'QA finetuning extracts at most 10 %', R2, '7.5 %',
          (_at(PAPER_DECAY),), at_most(10)),
    Claim('low_decay_fails_150', 'Weight decay 0.1, finetuning of 150 steps, '
          'not 300, extracts at most 10 %', R2,
          '7.5 %', (_at(PAPER_DECAY, steps=150),), at_most(10)),
    Claim('decay_raises', 'QA accuracy on P_test: weight decay 3 > 0.1', 'ours',
          '—', (_at(3.0), _at(0.1)), greater(), **GUESS),
    Claim('later_attributes', 'Weight decay 0.1: of the five values that do '
          'not follow the name at most 10 %', R2, '5.5 % (LoRA)',
          (_at(PAPER_DECAY, LATER),), at_most(10)),
    Claim('first_attribute', 'Birth date, right after the name > the other '
          'values, at each weight decay', R2, '33.5 vs 5.5 % (LoRA)',
          tuple((_at(d, ATTRIBUTES[0]), _at(d, LATER)) for d in DECAYS),
          greater(), paper_effect=28, **GUESS),
    Claim('low_decay_mixed', 'bioS single, weight decay 0.1: mixed training '
          'extracts at least 50 %', 'Part 3.1, Result 1', '86.6 %', (_at(
              0.1, mixed=True),), at_least(50), post_hoc=True),
    Claim('mixed_needs_decay', 'Mixed training, bioS single: weight decay 3 > 1'
          ' > 0.3 > 0.1', 'ours', '—', descending(*(_at(
              d, mixed=True) for d in DECAYS[::-1])), greater(), **GUESS))
