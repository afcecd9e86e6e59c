"""Which augmentations make knowledge extractable? All sixteen bioS data sets.

Part 3.1 (Allen-Zhu & Li, arXiv 2309.14316), Results 0 to 3: as
knowledge_extraction.py, over the paper's sixteen sets: one biography a person
(single) or 2 or 5 (multiM), sentences shuffled P times (permuteP), the name in
every sentence (fullname); a second one in another language (bilingual); and
mixed training over QA_r, the share of questions. Paper (GPT-2 124M, 100,000
people): configs/published.py; LoRA finetuning extracts 9.7 % (single) to 96.6.

  python -m physics_lm.launch experiments/knowledge_augmentation.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_augmentation.py --scale=cpu

34 of 132 runs of `cpu` are knowledge_extraction's (see there, deviations too).
Predicted, finetuned: single+fullname 35, permute1, 2, 5 10, 25, 45, +fullname
20, 35, 50; multi2 25, +permute 50, +fullname 45, both 60; multi5+fullname 70;
bilingual 16 (seed 7: 17; two seeds more were added: LOG.md, 152); mixed at 0.2
and 0.6: single 35, 55, multi5+permute 75, 85.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, EqualNotBelow, above, descending, greater
from physics_lm.configs import published, scales
from physics_lm.sweep import Run, pick

PAPER, QA_RATIOS = published.QA_FINETUNE, published.QA_MIXED
BILINGUAL = 'single_bilingual'
SHARED = ('knowledge_extraction',)  # has some of the runs: their records count
SCALES = {
    'smoke': dict(seeds=1, qa_ratios={'single': (.5,)}, pretrain={}, mixed={},
                  common=scales.BIOS_200 | scales.SMOKE_TINY, finetune={}),
    'cpu': dict(
        seeds=3, more={'single', 'multi2', BILINGUAL}, qa_ratios=dict.fromkeys(
            (*PAPER, BILINGUAL), ()) | dict.fromkeys((
                'single', 'multi5_permute'), (.2, .6, .9)),
        **scales.compact_bios(500)),
    'gpu': dict(
        seeds=3, qa_ratios=dict.fromkeys(PAPER, (.8,)) | dict.fromkeys(
            QA_RATIOS, (.1, .2, .6, .8)), common=scales.GPU_BIOS | {
                'optim.warmup_steps': 500}, pretrain={'steps': 6000},
        finetune=scales.GPU_FINETUNE, mixed={'steps': 8000}),
    'paper': dict(
        seeds=1, qa_ratios=dict.fromkeys(PAPER, (.8,)) | QA_RATIOS,
        common=scales.GPT2_BIOS | {'optim.warmup_steps': 1000, 'steps': 80_000},
        pretrain={}, finetune=scales.PAPER_LORA, mixed={})}
table = results.extraction


def runs(scale: str) -> list[Run]:
  """Every (variant, seed): pretrain, finetune from that, and mixed training
  with every QA_r that the scale has for the variant."""
  s, out = pick(SCALES, scale), []
  for variant, ratios in s['qa_ratios'].items():
    for seed in range(s['seeds'] + (2 if variant in s.get('more', ()) else 0)):
      base, mixed = None, ratios if seed < s['seeds'] else ()
      for training, ratio in (('pretrain', 0.0), ('finetune', 1.0), *(
          ('mixed', x) for x in mixed)):
        file, shares = scales.bio_training(variant, training, 'compact' in s)
        out.append(Run(
            file, s['common'] | scales.seeds(seed) | shares | {
                'data.tasks.bio.weight': round(1 - ratio, 3),
                'data.tasks.qa.weight': ratio} | s[training],
            {'variant': variant, 'training': training, 'qa_ratio': ratio,
             'seed': seed}, base if training == 'finetune' else None))
        base = base or out[-1]
  return out


def summary(df):
  """Means over attributes on P_test, by variant, training and QA_r."""
  return results.summarise(
      claims.select(df, TEST | {'training': ('finetune', 'mixed')}),
      ['variant', 'training', 'qa_ratio'],
      ['accuracy', 'bio_accuracy', 'majority_baseline'])


def figure(df):
  """Left: finetuning, all sets. Right: mixed training over QA_r."""
  s, sizes = summary(df), dict(width=5.4, height=4.6, width_ratios=(1.3, 1))
  fig, ((ax, side),) = figures.grid(2, **sizes)
  rows = s[s.training == 'finetune']
  figures.bars(ax, rows, 'accuracy', list(rows.variant.str.replace('_', '+')),
               [figures.COLOURS[v.endswith('fullname')] for v in rows.variant],
               [PAPER.get(v) for v in rows.variant], horizontal=True)
  figures.level(ax, rows.majority_baseline_mean.mean(), vertical=True)
  figures.labels(ax, 'QA accuracy, %', '', 'QA finetuning')
  names = {v: v.replace('_', '+') for v in QA_RATIOS}
  figures.curves(side, s[s.training == 'mixed'], 'qa_ratio', 'variant',
                 'accuracy', names, False, QA_RATIOS)
  figures.percent_axis(side)
  figures.legend(side, loc='lower right')
  figures.labels(side, 'share of questions, QA_r', 'accuracy, %',
                 'mixed training')
  figures.finish(fig, 'Knowledge augmentation: people without training QA', (
      f'{figures.seeds_note(s)};  orange: fullname;  dotted line: majority '
      'baseline;  diamonds: the paper, GPT-2 124M (left: LoRA)'))
  return fig


TEST = {'person_split': 'test', 'attribute': 'mean'}
FT = {v: TEST | {'variant': v, 'training': 'finetune'} for v in PAPER}
SINGLE, BEST = FT['single'], FT['multi5_permute']
TRANSLATED = SINGLE | {'variant': BILINGUAL}
QA = {x: {'training': 'mixed', 'qa_ratio': x} for x in (.2, .6, .9)}
R1, R3 = 'Part 3.1, Result 1', 'Part 3.1, Result 3'
MORE = {'baseline': 'majority_baseline',
        'decided_by': '10 seeds at `cpu` scale: 4 core-hours'}
CLAIMS = (
    Claim('order_of_sets', "16 sets: rank correlation with the paper's at least"
          ' 0.5', R3, '1', tuple(FT.values()), claims.correlated(.5, tuple(
              PAPER.values()), True), unit='', post_hoc=True, **MORE),
    Claim('all_memorised', 'All 16 sets: at least 95 % of values in biographies'
          ' are memorised', 'Part 3.1, Result 0', 'above 99 %',
          tuple((c | {'training': 'pretrain'},) for c in FT.values()),
          claims.at_least(95), 'bio_accuracy'),
    Claim('single_finetune_fails', 'bioS single: QA finetuning extracts at '
          'most 10 %', 'Part 3.1, Result 2', '9.7 %', (SINGLE,),
          claims.at_most(10), control=(BEST,), **MORE),
    Claim('permute1_fails', 'QA finetuning: single+permute1 is at most 5 points'
          ' above single', R3, '4.4 vs 9.7 %', (FT['single_permute1'], SINGLE),
          claims.exceeds_by_at_most(5), control=(BEST,), **MORE),
    Claim('more_orders', 'QA finetuning: single+permute5 > permute2 > permute1',
          R3, '70.0, 53.2, 4.4 %', descending(*(FT[f'single_permute{p}']
          for p in (5, 2, 1))), greater(), paper_effect=(16.8, 48.8), **MORE),
    Claim('more_wordings', 'QA finetuning: multi5+permute > multi2+permute > '
          'single+permute1', R3, '96.6, 91.2, 4.4 %',
          descending(BEST, FT['multi2_permute'], FT['single_permute1']),
          greater(), paper_effect=(5.4, 86.8), **MORE),
    above('multi2_helps', 'QA finetuning, fixed order: multi2 > single', R3,
          FT['multi2'], SINGLE, (41.1, 9.7), **MORE),
    Claim('multi5_as_multi2', 'QA finetuning, fixed order: multi5 is within 5 '
          'points of multi2', R3, '41.0 vs 41.1 %',
          (FT['multi5'], FT['multi2']), claims.equal(5), **MORE),
    Claim('fullname_helps', 'QA finetuning: fullname helps in at least 6 of 8 '
          'sets', R3, 'in 7 of 8, by 23.2 points in the mean', tuple(
              (FT[v], FT[v[:-9]]) for v in PAPER if v.endswith('_fullname')),
          greater(), paper_effect=23.2, quorum=6, **MORE),
    above('mixed_single', 'bioS single: mixed training (QA_r 0.6) > QA '
          'finetuning', R1, SINGLE | QA[.6], SINGLE, (87.1, 9.7), **MORE),
    above('single_needs_qa', 'bioS single, mixed training: QA_r 0.6 > 0.2', R1,
          SINGLE | QA[.6], SINGLE | QA[.2], (87.1, 53.6), **MORE),
    Claim('augmented_needs_little_qa', 'multi5+permute, mixed training: QA_r '
          '0.2 and 0.6 differ by less than 5 points', R1, '96.3 vs 95.8 %',
          (BEST | QA[.2], BEST | QA[.6]), EqualNotBelow(-5, 5), **MORE),
    above('single_most_qa', 'bioS single, mixed training: QA_r 0.9 > 0.2', R1,
          SINGLE | QA[.9], SINGLE | QA[.2], (81.8, 53.6), **MORE),
    above('bilingual_helps', 'QA finetuning: single+bilingual > single', R3,
          TRANSLATED, SINGLE, (40, 9.7), **MORE),
    Claim('bilingual_as_multi2', 'QA finetuning: single+bilingual is within 10 '
          'points of multi2', R3, 'about 40 vs 41.1 %',
          (TRANSLATED, FT['multi2']), claims.equal(10), post_hoc=True, **MORE))
