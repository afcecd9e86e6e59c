"""Can a model answer questions about people whose biographies it has read?

Part 3.1 (Allen-Zhu & Li, arXiv 2309.14316), Results 1 to 3. Biographies of all
people are trained on, questions about half of them only (P_train); we ask about
the other half (P_test). Questions are mixed into training, or follow it as
finetuning. Biographies of each person: one (single), five (multi5), with their
sentences shuffled (permute), with the name in every sentence (fullname).

Paper (GPT-2 124M, 100,000 people; P_test, mean of six attributes, percent),
finetuning, by LoRA, mixed (figures 2, 3, 11): single 7.5, 9.7, 86.6; multi5
36.7, 41.0, 91.8; multi5+permute 94.6, 96.6, 95.5; +fullname -, 96.2, 95.7.

  python -m physics_lm.launch experiments/knowledge_extraction.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_extraction.py --scale=cpu

Settings were chosen on seed 7, which is not reported (LOG.md, 50a to 52).
Predicted at `cpu`: mixed single 59, multi5+permute 75; finetuned single 12,
multi5 45, multi5+permute 76, fullname 80 %. Mixed single, finetuned single and
multi5+permute at `day`: 60, 12, 60 %; at `gpu`: 74, 5, 60 % (multi5 20).
Deviations: full finetuning, loss on answers; a name part, a value or the words
between: one token; small pools; 500, 2,000, 10,000 people; weight decay 3, 1, 1
(rate x decay x steps 5 to 9, the paper's 8; by decay: extraction_by_decay.py).
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, at_least, at_most, equal, greater
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick
from physics_lm.worlds.biographies import ATTRIBUTES

PAPER = {v: {'finetune': f, 'mixed': m} for v, f, m in (
    ('single', 7.5, 86.6), ('multi5', 36.7, 91.8),
    ('multi5_permute', 94.6, 95.5), ('multi5_permute_fullname', 96.2, 95.7))}
LABELS = {v: v.replace('_', '\n+') for v in PAPER}
TRAININGS = {'finetune': 'QA finetuning after pretraining',
             'mixed': 'mixed training'}
TWO = 'single', 'multi5_permute'
SCALES = {
    'smoke': dict(variants=TWO, seeds=1,
                  common=scales.BIOS_200 | scales.SMOKE_TINY),
    'quickstart': dict(variants=TWO, seeds=1, **scales.compact_bios(300)),
    'cpu': dict(variants=tuple(PAPER), seeds=5, **scales.compact_bios(500)),
    'day': dict(compact=True, variants=TWO, seeds=3, common={},
                pretrain={'steps': 2000}, finetune=scales.FINETUNE_RATE),
    'gpu': dict(
        compact=True, variants=(*TWO, 'multi5'), seeds=5,
        common={
            'worlds.bios.people': 10_000, 'data.batch_size': 160,
            'model.width': 256, 'model.depth': 4, 'model.dtype': 'bfloat16',
            'runtime.workers': 7, 'checkpoint.every': 1500},
        mixed={'steps': 3000}, pretrain={'steps': 1500}),
    'paper': dict(
        variants=tuple(PAPER), seeds=1,
        common=scales.GPT2_BIOS | {'steps': 80_000, 'checkpoint.every': 2000,
                                   'optim.warmup_steps': 1000},
        mixed={'data.tasks.bio.weight': 0.2, 'data.tasks.qa.weight': 0.8},
        finetune=scales.PAPER_FINETUNE),
}


def runs(scale: str) -> list[Run]:
  """Every (variant, seed): mixed, pretrain, and finetune from the latter."""
  s, out = pick(SCALES, scale), []
  for variant in s['variants']:
    for seed in range(s['seeds']):
      pretrained = None
      for training in scales.BIO_QA:
        file, mixture = scales.bio_training(variant, training, 'compact' in s)
        pretrained = Run(
            file, s['common'] | scales.seeds(seed) | mixture | s.get(
                training, {}),
            {'variant': variant, 'training': training, 'seed': seed},
            pretrained if training == 'finetune' else None)
        out.append(pretrained)
  return out


def table(records):
  """A row a run, person_split and attribute, percent: accuracy of answers, of
  the same facts inside biographies, and the majority baseline."""
  return results.extraction(records)


def summary(df):
  """Accuracy on P_test by variant and training."""
  rows = claims.select(df, TEST | {'training': tuple(TRAININGS)})
  return results.summarise(rows, ['variant', 'training'], [
      'accuracy', 'bio_accuracy', 'majority_baseline'])


def figure(df):
  """Held-out accuracy by variant, a panel for each training."""
  s = summary(df)
  shown = [v for v in LABELS if v in set(s.variant)]
  missing = len(s) < len(shown) * len(TRAININGS)
  fig, axes = figures.grid(2, sharey=True, width=2.9 + 0.45 * len(shown))
  for ax, training in zip(axes[0], TRAININGS):
    rows = s[s.training == training].set_index('variant').reindex(shown)
    figures.bars(ax, rows, 'accuracy', [LABELS[v] for v in shown],
                 [figures.colour(v) for v in shown],
                 [PAPER[v][training] for v in shown])
    ax.set_xlim(-0.6, len(shown) - 0.4)
    figures.level(ax, rows.majority_baseline_mean.mean(), 'majority baseline')
    figures.percent_axis(ax, 108)
    figures.labels(ax, 'biographies of each person', 'QA accuracy, %',
                   TRAININGS[training])
  figures.finish(fig, 'Knowledge extraction: people without training questions',
                 figures.seeds_note(s) + (
                     ';  no bar: not run' if missing else '') + ';\ndiamonds: '
                 'the paper, GPT-2 124M, 100,000 people (fullname: LoRA)')
  return fig


TEST = {'person_split': 'test', 'attribute': 'mean'}
FINETUNED, MIXED = ({v: TEST | {'variant': v, 'training': t} for v in PAPER}
                    for t in TRAININGS)
FIRST, LATER = (FINETUNED['single'] | {'attribute': a}
                for a in (ATTRIBUTES[0], ATTRIBUTES[1:]))
AUGMENTED, GUESS = 'multi5_permute', dict(baseline='majority_baseline')
CLAIMS = (
    Claim('single_finetune_fails', 'bioS single: QA finetuning extracts at '
          'most 10 %', 'Part 3.1, Result 2', '7.5 %', (FINETUNED['single'],),
          at_most(10), headline=True),
    Claim('first_attribute', 'bioS single, QA finetuning: birth date (right '
          'after the name) > the others', 'Part 3.1, Result 2', '33.5 vs 5.5 % '
          '(LoRA)', (FIRST, LATER), greater(), paper_effect=28, post_hoc=True,
          **GUESS),
    Claim('augmentation_helps', 'QA finetuning: multi5+permute > single',
          'Part 3.1, Result 3', '94.6 vs 7.5 %',
          (FINETUNED[AUGMENTED], FINETUNED['single']), greater(),
          paper_effect=87.1, **GUESS),
    Claim('augmented_60', 'QA finetuning: multi5+permute extracts at least 60 %'
          , 'Part 3.1, Result 3', '94.6 %', (FINETUNED[AUGMENTED],),
          at_least(60), post_hoc=True, headline=True),
    Claim('multi5_between', 'QA finetuning: multi5+permute > multi5 > single',
          'Part 3.1, Result 3', '94.6, 36.7, 7.5 %',
          ((FINETUNED[AUGMENTED], FINETUNED['multi5']),
           (FINETUNED['multi5'], FINETUNED['single'])), greater(),
          paper_effect=29.2, headline=True, **GUESS),
    Claim('fullname_no_effect', 'QA finetuning: fullname moves multi5+permute '
          'by less than 5 points', 'Part 3.1, Result 3', '96.2 vs 96.6 % (LoRA)'
          , (FINETUNED[f'{AUGMENTED}_fullname'], FINETUNED[AUGMENTED]),
          equal(5), post_hoc=True, **GUESS),
    Claim('mixed_single', 'bioS single: mixed training extracts at least 50 %',
          'Part 3.1, Result 1', '86.6 %', (MIXED['single'],), at_least(50),
          headline=True),
    Claim('mixed_augmentation', 'Mixed training: multi5+permute > single',
          'Part 3.1, Result 1', '95.5 vs 86.6 %', (
              MIXED[AUGMENTED], MIXED['single']), greater(), paper_effect=8.9,
          headline=True, **GUESS))
