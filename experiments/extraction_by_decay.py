"""Does augmentation make knowledge extractable without the large weight decay?

Part 3.1 (Allen-Zhu & Li, arXiv 2309.14316), Results 1 to 3 (GPT-2 124M, 100,000
people, weight decay 0.1): mixed training extracts 86.6 % from one biography of
each person (bioS single), finetuning on questions 7.5 % from one, 94.6 % from
five in other words and order (multi5+permute). Our decay in
knowledge_extraction is 3: mixed training extracts from one biography only with
much of it; then finetuning extracts more from one biography than in the paper
(pretraining_decay.py). Here both kinds of training and of data, in one world,
with weight decay 0.1 and 3: what does which decay give?

  python -m physics_lm.launch experiments/extraction_by_decay.py --scale=cpu
  python -m physics_lm.report experiments/extraction_by_decay.py --scale=cpu

Known, weight decay 0.1 and 3, questions about P_test: single mixed 18.7, 62 %,
finetuned (300 steps) 8.8, 12.6; multi5+permute at 3 84 and 80. Predicted at
0.1: multi5+permute finetuned 75 %, mixed 60.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, at_least, at_most, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

# These have the runs on single, and those at weight decay 3.
SHARED = ('pretraining_decay', 'knowledge_extraction')
VARIANTS = {'single': 300, 'multi5_permute': 150}  # steps of finetuning that
# fit the questions of P_train
LABELS = {('single', 'mixed'): 'single,\nmixed', ('multi5_permute', 'mixed'):
          'multi5+permute,\nmixed', ('single', 'finetune'):
          'single,\nfinetuned', ('multi5_permute', 'finetune'):
          'multi5+permute,\nfinetuned'}
PAPER = dict(zip(LABELS, (86.6, 95.5, 7.5, 94.6)))
LOW, HIGH = 0.1, 3.0
ONE, FIVE = VARIANTS
SCALES = {
    'smoke': dict(compact=False, seeds=1, decays=(LOW,), pretrain={}, mixed={},
                  finetune={}, common=scales.BIOS_200 | scales.SMOKE_TINY),
    'cpu': dict(seeds=5, more=(5, 6, 7, 8, 9), decays=(LOW, HIGH),
                **scales.compact_bios(500))}


def runs(scale: str) -> list[Run]:
  """Every (decay, variant, seed): mixed, and finetuned after pretraining; more
  seeds of multi5+permute finetuned at LOW, which five leave open."""
  s, out = pick(SCALES, scale), []
  for decay in s['decays']:
    for variant, steps in VARIANTS.items():
      more = s.get('more', ()) if (variant, decay) == (FIVE, LOW) else ()
      for seed in (*range(s['seeds']), *more):
        before = None
        for training in scales.BIO_QA:
          if training == 'mixed' and seed in more:
            continue
          file, shares = scales.bio_training(variant, training, s['compact'])
          finetuned = training == 'finetune'
          before = Run(
              file, s['common'] | scales.seeds(seed) | shares | s[training] | (
                  {'steps': steps} if finetuned and s['compact'] else
                  {} if finetuned else {'optim.weight_decay': decay}),
              {'variant': variant, 'training': training, 'decay': decay,
               'seed': seed}, before if finetuned else None)
          out.append(before)
  return out


def table(records):
  """A row a run, person_split and attribute, percent: accuracy of answers, of
  the same facts inside biographies, and the majority baseline; first: of the
  seeds that all arms have."""
  df = results.extraction(records)
  return df.assign(arm=list(zip(df.variant, df.training)),
                   first=df.seed < SCALES['cpu']['seeds'])


def summary(df):
  """Accuracy by people, training, variant and decay, mean of attributes."""
  return results.summarise(
      df[df.attribute == 'mean'], ['person_split', 'arm', 'decay'],
      ['accuracy', 'bio_accuracy', 'majority_baseline'])


def figure(df):
  """Questions about P_test: a group for each data and training, a bar for each
  weight decay."""
  s = summary(df)
  s = s[(s.person_split == 'test') & s.arm.isin(LABELS)]
  decays = {d: f'weight decay {d:g}' for d in (LOW, HIGH) if d in set(s.decay)}
  fig, ((ax,),) = figures.grid(1, width=6.4, height=3.8)
  figures.grouped_bars(ax, s, 'arm', 'decay', 'accuracy', LABELS, decays)
  figures.paper_points(ax, range(len(PAPER)), list(PAPER.values()))
  figures.group_levels(ax, s, 'arm', LABELS)
  figures.percent_axis(ax, 108)
  figures.labels(ax, '', 'QA accuracy, %')
  figures.legend(ax, loc='center', bbox_to_anchor=(0.63, 0.55))
  figures.finish(fig, 'One or five biographies of each person, by weight decay',
                 f'{figures.seeds_note(s)}; people without training questions\n'
                 'diamonds: the paper, GPT-2 124M, weight decay 0.1')
  return fig


def _at(variant: str, training: str, decay: float, first: bool = True
        ) -> dict:
  return {'person_split': 'test', 'attribute': 'mean', 'variant': variant,
          'training': training, 'decay': decay} | (
              {'first': True} if first else {})


GUESS = dict(baseline='majority_baseline')
CLAIMS = (
    Claim('mixed_single', 'bioS single, weight decay 3: mixed training '
          'extracts at least 50 %', 'Part 3.1, Result 1', '86.6 %',
          (_at(ONE, 'mixed', HIGH),), at_least(50), post_hoc=True),
    Claim('finetuned_single', 'bioS single, weight decay 0.1: QA finetuning '
          'extracts at most 10 %', 'Part 3.1, Result 2',
          '7.5 %', (_at(ONE, 'finetune', LOW),), at_most(10), post_hoc=True,
          headline=True),
    Claim('finetuned_five', 'multi5+permute, weight decay 0.1: QA finetuning '
          'extracts at least 60 %', 'Part 3.1, Result 3',
          '94.6 %', (_at(FIVE, 'finetune', LOW, first=False),),
          at_least(60)),
    Claim('five_above_one', 'Weight decay 0.1, QA finetuning: multi5+permute > '
          'single', 'Part 3.1, Result 3', '94.6 vs 7.5 %',
          (_at(FIVE, 'finetune', LOW), _at(ONE, 'finetune', LOW)), greater(),
          paper_effect=87.1, **GUESS),
    Claim('mixed_five_above_one', 'Weight decay 0.1, mixed training: '
          'multi5+permute > single', 'Part 3.1, Result 1', '95.5 vs 86.6 %',
          (_at(FIVE, 'mixed', LOW), _at(ONE, 'mixed', LOW)), greater(),
          paper_effect=8.9, **GUESS),
    Claim('mixed_five', 'multi5+permute, weight decay 0.1: mixed training '
          'extracts at least 50 %', 'Part 3.1, Result 1', '95.5 %',
          (_at(FIVE, 'mixed', LOW),), at_least(50)),
    Claim('decay_for_five', 'multi5+permute: weight decay 3 > 0.1, in both '
          'trainings', 'ours', '—', tuple(
              (_at(FIVE, t, HIGH), _at(FIVE, t, LOW))
              for t in ('mixed', 'finetune')), greater(), **GUESS),
)
