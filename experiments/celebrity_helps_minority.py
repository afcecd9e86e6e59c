"""Do augmented biographies of celebrities make others' knowledge extractable?

Part 3.1 (arXiv 2309.14316), Result 6. A minority has one biography each
(single+permute1), celebrities, other people, five (multi5+permute). A model
trained on both is finetuned on questions about celebrities and tested on the
minority. Paper (GPT-2 124M, 100,000 people of each; QA accuracy on the
minority): 4.4 % without celebrities, 86.8 with them; own questions instead: a
negligible difference. bioR: 10.0, 76.3, with Wikipedia 7.3 (not run).

  python -m physics_lm.launch experiments/celebrity_helps_minority.py --scale=cpu
  python -m physics_lm.report experiments/celebrity_helps_minority.py --scale=cpu

Predicted, `cpu` (seed 7: with celebrities 24): minority alone 8, with them 24,
own questions 25; added later, celebrities' questions in 5 or 20 % of rows from
the start (seed 7, 20 %: 60): 45, 58; then, at 20 %, one biography of each 57,
two, three (one, five: 18, 64 known) 38, 52. Deviations: 500 people of each,
recipe of knowledge_extraction.py; alone half of the steps, three times a text.
"""  # noqa: E501

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, above, greater
from physics_lm.configs import celebrities, scales
from physics_lm.configs.sizes import size
from physics_lm.sweep import Run, pick

GROUPS = {'minority': 'minority', 'celebrity': 'celebrities'}
CONDITIONS = {'minority_alone': ('minority', 'minority'),  # texts, questions
              'celebrity_qa': ('both', 'celebrity'),
              'minority_qa': ('both', 'minority')}
EARLY = {'mixed_5': (0.05, {}), 'mixed_20': (0.2, {})} | {  # share of questions
    f'mixed_20_{m}': (0.2, {'worlds.celebrity.variant': f'{m}_permute{p}'})
    for m, p in (('single', 1), ('multi2', ''), ('multi3', ''))}
TEXTS = dict(zip((*list(EARLY)[2:], 'mixed_20'), (1, 2, 3, 5)))
LABELS = {c: f'bio: {bio}\nthen QA on\n{GROUPS[qa]}'
          for c, (bio, qa) in CONDITIONS.items()} | {
    f'mixed_{n}': f'bio: both\n+ {n} % QA on\ncelebrities' for n in (5, 20)}
CELL_NAMES = {c: n.replace('\n', ' ') for c, n in LABELS.items()} | {
    c: f'20 % QA from the start, texts of each: {n}' for c, n in TEXTS.items()}
PAPER = {(c, 'minority'): x for c, x in zip(CONDITIONS, (4.4, 86.8))}
LARGE = scales.ROWS_512 | {k.replace('bios', g): v for g in GROUPS
                           for k, v in scales.PAPER_POOLS.items()}
SCALES = {
    'smoke': dict(
        conditions=('minority_alone', 'celebrity_qa'), people=20, seeds=1,
        steps=12, common=scales.TINY_MODEL | {'optim.warmup_steps': 1}),
    'cpu': dict(
        people=500, seeds=5, early_seeds=3, steps=1000,
        common=scales.compact(500, *GROUPS), finetune=scales.COMPACT_FINETUNE,
        pretrain={'optim.weight_decay': 1.5}),
    'gpu': dict(
        people=10_000, seeds=3, steps=6000, common=size('d512') | LARGE,
        pretrain={'optim.warmup_steps': 200}, finetune=scales.GPU_FINETUNE),
    'paper': dict(
        people=100_000, seeds=1, steps=160_000, common=size('gpt2') | LARGE | {
            'model.dropout': 0.1, 'data.intra_document_mask': False},
        pretrain={'optim.warmup_steps': 1000}, finetune=scales.PAPER_LORA)}


def runs(scale: str) -> list[Run]:
  """Every (seed, condition): pretrained and finetuned, or mixed training."""
  s, out, file = pick(SCALES, scale), [], 'configs/celebrities.py'
  for seed in range(s['seeds']):
    bases = {}
    for condition in s.get('conditions', CONDITIONS):
      bio, qa = CONDITIONS[condition]
      point = s['common'] | scales.seeds(seed) | celebrities.people(
          s['people']) | {'steps': s['steps'] // (1 + (bio != 'both'))}
      tags = {'condition': condition, 'seed': seed}
      if 'finetune' not in s:  # two rows of questions for five of biographies
        out.append(Run(f'{file}:{bio}', point | {f'data.tasks.qa_{qa}.weight': (
            0.4 if bio == 'both' else 0.4 / 6)}, tags))
        continue
      if bio not in bases:
        bases[bio] = Run(f'{file}:{bio}', point | s['pretrain'],
                         tags | {'condition': f'pretrained on {bio}'})
        out.append(bases[bio])
      out.append(Run(f'{file}:ask_{qa}', point | s['finetune'], tags,
                     bases[bio]))
    out += [Run(f'{file}:both', bases['both'].overrides | more | {
        'steps': round(s['steps'] / (1 - x)), 'data.tasks.qa_celebrity.weight':
        x / (1 - x)}, {'condition': c, 'seed': seed}) for c, (x, more) in
            EARLY.items() if seed < s.get('early_seeds', 0)]
  return out


def table(records):
  """A row a run, group, person_split and attribute: results.extraction; texts
  of each celebrity, where 20 % of rows ask about them from the start."""
  df = results.below(*(results.extraction(records, g).assign(group=g)
                       for g in GROUPS))
  return df.assign(texts=df.condition.map(TEXTS))


def summary(df):
  """QA accuracy on P_test of each group, by condition and attribute."""
  return results.summarise(
      df[(df.person_split == 'test') & ~df.condition.str.startswith('pre')],
      ['condition', 'group', 'attribute', 'texts'],
      ['accuracy', 'bio_accuracy', 'majority_baseline'])


def figure(df):
  """Both groups by condition; the minority by celebrities' texts."""
  s = summary(df)
  mean = s[s.attribute == 'mean']
  fig, ((ax, side),) = figures.grid(2, width=6)
  names = {c: n for c, n in LABELS.items() if c in set(mean.condition)}
  figures.grouped_bars(ax, mean[mean.condition.isin(names)], 'condition',
                       'group', 'accuracy', names, GROUPS, PAPER)
  early = mean[mean.texts > 0]
  figures.curves(side, early, 'texts', 'group', 'accuracy', GROUPS)
  side.set_xticks(early.texts.unique())
  for panel, x in (ax, ''), (side, 'biographies of each celebrity (20 % QA)'):
    figures.labels(panel, x, 'QA accuracy, %')
    figures.level(panel, mean.majority_baseline_mean.mean(), 'baseline')
    figures.percent_axis(panel), figures.legend(panel, title='people')
  figures.finish(
      fig, 'A minority with one biography each, and celebrities',
      f'P_test (no training QA), {figures.seeds_note(s)};  diamonds: the paper')
  return fig


CELLS = {c: {'condition': c, 'group': 'minority', 'person_split': 'test',
             'attribute': 'mean'} for c in (*CONDITIONS, *TEXTS)}
ALONE, CELEBRITY, OWN, EARLY_ONE, *_, EARLY_20 = CELLS.values()
R6, FLOOR = 'Part 3.1, Result 6', {'baseline': 'majority_baseline'}
CLAIMS = (
    Claim('celebrity_helps', "Minority: celebrities' biographies and questions "
          'raise QA accuracy', R6, '86.8 vs 4.4 %', (CELEBRITY, ALONE),
          greater(), paper_effect=82.4, **FLOOR),
    Claim('celebrity_qa_as_own', "Minority, biographies of both: celebrities' "
          "questions are within 5 points of the minority's own", R6,
          'negligible difference', (CELEBRITY, OWN), claims.equal(5), **FLOOR),
    Claim('wikipedia_no_effect', 'bioR minority: text from Wikipedia instead '
          'of celebrities does not help', R6, '7.3 vs 76.3 %',
          ({'condition': 'wikipedia'}, ALONE), claims.exceeds_by_at_most(5),
          decided_by='bioR (by a language model), Wikipedia, 3 `gpu` hours'),
    above('celebrity_30_points', 'Minority: celebrities add at least 30 points',
          R6, CELEBRITY, ALONE, (86.8, 4.4), headline=True, rule=greater(30),
          **FLOOR),
    *(Claim(id, f"Minority, celebrities' questions in 20 % of rows: {what}",
            'ours', '—', cells, greater(more), **FLOOR,
            post_hoc=id != 'early_by_texts', headline=more > 0)
      for id, what, cells, more in (
          ('early_questions', 'from the start > finetuning',
           (EARLY_20, CELEBRITY), 0),
          ('early_augmentation', 'five texts each > one by 30 points',
           (EARLY_20, EARLY_ONE), 30),
          ('early_by_texts', 'five texts each > three > two > one',
           claims.descending(*(CELLS[c] for c in reversed(TEXTS))), 0))))
