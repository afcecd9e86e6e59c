"""Where is knowledge stored: at the name, or further on in the biography?

Part 3.1 (Allen-Zhu & Li, arXiv 2309.14316), Results 4 and 5. A model pretrained
on biographies alone is frozen and probed. A P-probe reads a biography and, just
before the first attribute is stated (position 0: the name is known), the second
and so on, predicts every attribute; a Q-probe reads the name alone. Paper
(GPT-2 124M, 100,000 people; configs/published.py): P-probe at position 0, mean
of five: single 4.5 %, multi5+permute 93.5; QA accuracy follows the Q-probe.

  python -m physics_lm.launch experiments/knowledge_probing.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_probing.py --scale=cpu

Predicted (their QA accuracy is known: 14, 43, 80, 79 %), P-probe at the name,
Q-probe, mean of five: single 12, 10; multi5 35, 35; multi5+permute 75, 75;
+fullname 70, 75 %. Deviations: `cpu` has the world and recipe of
knowledge_extraction.py, whose finetuned runs are read; a value is one token
(first tokens repeat values); updates of the embedding leave names alone (ours
would be memorised). `paper` lacks GPT-2's tokenizer, 12 sets, a LoRA rank.
"""

from physics_lm import claims, figures, results
from physics_lm.claims import Claim, above, greater
from physics_lm.configs import probing, published, scales
from physics_lm.sweep import Run, pick
from physics_lm.worlds.biographies import ATTRIBUTES

VARIANTS = {v: v.replace('_', '+') for v in (
    'single', 'multi5', 'multi5_permute', 'multi5_permute_fullname')}
LABELS = [a.replace('_', ' ').replace('date', 'month') for a in ATTRIBUTES]
FIVE = ATTRIBUTES[1:]
FIRST = tuple(f'first_{a}' for a in FIVE)  # first tokens
SHARED = ('knowledge_extraction',)  # has the finetuning: its records count
COMPACT = scales.compact_bios(500)
SCALES = {
    'smoke': dict(variants=('single',), seeds=1, finetune={},
                  common=scales.BIOS_200 | scales.SMOKE_TINY,
                  pretrain=probing.SMALL | scales.probes(steps=2)),
    'cpu': COMPACT | dict(
        variants=tuple(VARIANTS), seeds=5, pretrain=COMPACT['pretrain']
        | scales.P_PROBE | scales.Q_PROBE),
    'gpu': dict(
        variants=tuple(VARIANTS), seeds=3, finetune=scales.GPU_FINETUNE,
        common=scales.GPU_BIOS | scales.PAPER_POOLS,
        pretrain=scales.probes(steps=4000, people=10_000) | {
            'steps': 6000, 'optim.warmup_steps': 500}),
    'paper': dict(  # appendices C to F
        variants=tuple(VARIANTS), seeds=1, common=scales.GPT2_BIOS
        | scales.PAPER_POOLS, pretrain=scales.probes(
            steps=30_000, people=50_000, learning_rate=1e-3) | {
                'steps': 80_000, 'optim.warmup_steps': 1000,
                'evals.p_probe.batch': 9, 'evals.q_probe.batch': 200},
        finetune=scales.PAPER_LORA)}


def runs(scale: str) -> list[Run]:
  """Every (variant, seed): pretrained and probed, and finetuned from that."""
  s, out = pick(SCALES, scale), []
  for variant in s['variants']:
    for seed in range(s['seeds']):
      tags, base = {'variant': variant, 'seed': seed}, None
      for training in ('pretrain', 'finetune'):
        file, shares = scales.bio_training(variant, training, 'compact' in s)
        if training == 'pretrain' and 'compact' not in s:
          file = f'configs/probing.py:{variant}'
        base = Run(file, s['common'] | scales.seeds(seed) | shares
                   | s[training], tags | {'training': training}, base)
        out.append(base)
  return out


def table(records):
  """A row a run, probe, target and position: see results.probes."""
  tuned = [r for r in records if r['tags']['training'] == 'finetune']
  return results.less_baseline(results.probes(records, tuned), {
      'above_baseline': 'accuracy', 'qa_above_baseline': 'qa_accuracy'})


def summary(df, last: int = 0):
  """P-probes at positions up to `last`, and Q-probes, of each attribute."""
  return results.summarise(
      df[df.target.isin(ATTRIBUTES) & ~(df.position > last)],
      ['variant', 'probe', 'target', 'position'],
      ['accuracy', 'qa_accuracy', 'majority_baseline'])


def figure(df):
  """P-probes by position, a panel a variant; QA accuracy against Q-probes."""
  s = summary(df, last=5)
  shown = [v for v in VARIANTS if v in set(s.variant)]
  first, axes = figures.grid(2, len(shown) // 2 or 1, width=4.6, height=2.8)
  second, ((side,),) = figures.grid(1, width=7.4, height=3.4)
  for k, (ax, v) in enumerate(zip(axes.flat, shown)):
    rows = s[s.variant == v]
    p = rows[rows.probe == 'p_probe'].pivot(
        index='target', columns='position', values='accuracy_mean')
    p = p.reindex(list(ATTRIBUTES), columns=range(6)).to_numpy(float)
    figures.heatmap(ax, p, LABELS, range(6), paper={
        (i, 0): x for i, x in enumerate(published.P_PROBE.get(v, ()), 1)})
    figures.labels(ax, 'position: attributes stated before', '', VARIANTS[v])
    rows = rows[rows.probe == 'q_probe']
    figures.scatter(side, rows, 'accuracy', 'qa_accuracy', VARIANTS[v], k)
    for r in rows[rows.target == 'birth_date'].itertuples():
      side.annotate(' birth', (r.accuracy_mean, r.qa_accuracy_mean), fontsize=7)
    figures.paper_points(side, *(x.get(v, ()) for x in (
        published.Q_PROBE, published.QA_BY_ATTRIBUTE)), figures.COLOURS[k])
  figures.diagonal(side, 100)
  figures.legend(side, loc='center left', bbox_to_anchor=(1, 0.5))
  figures.labels(side, 'Q-probe accuracy, %', 'QA accuracy, %')
  figures.finish(first, 'P-probe accuracy in %, on people of P_test', 'means '
                 'over seeds;  in brackets: the paper (position 0), GPT-2 124M')
  figures.finish(second, 'QA after finetuning and Q-probe before it, P_test', (
      f'{figures.seeds_note(s)}, by attribute (birth: date);  diamonds: paper'))
  return [first, second]


P = {(v, t): {'probe': 'p_probe', 'variant': v, 'target': t, 'position': 0}
     for v in VARIANTS for t in ('whole', 'first', *FIVE, *FIRST)}
BEST, R4, BASELINE = 'multi5_permute', 'Part 3.1, Result 4', 'majority_baseline'
MORE = {'baseline': BASELINE, 'decided_by': '10 paired seeds: 80 core-minutes'}
CLAIMS = (
    *(Claim(f'single_{name}_not_at_name', 'bioS single, P-probe at the name: '
            f'{what} at most 5 points above the baseline', R4, paper,
            (P['single', t], P['single', t] | {'column': BASELINE}),
            claims.exceeds_by_at_most(5), control=(P[BEST, t],), **MORE)
      for name, what, t, paper in (
          ('value', 'attributes', 'whole', '4.5 vs 3.2 %'),
          ('first', 'first tokens', 'first', '13.1 vs 12.0 %'))),
    Claim('single_at_own_position', 'bioS single, P-probe: four attributes, '
          'each just before it > one position earlier', R4, '100 vs about 4 %',
          tuple(tuple(P['single', a] | {'position': i - k} for k in (0, 1)) for
                i, a in enumerate(FIVE[:4], 1)), greater(), paper_effect=96,
          **MORE),
    *(Claim(f'augmented_{name}_at_name', f'P-probe at the name, {what}: '
            'multi5+permute > single', R4, paper, tuple(
                (P[BEST, a], P['single', a]) for a in group), greater(),
            paper_effect=effects, **MORE) for name, what, group, paper, effects
      in (('value', 'each of five attributes', FIVE, '93.5 vs 4.5 %',
           (91.6, 74.7, 94.4, 99.0, 85.3)),
          ('first', 'first token of each of five', FIRST, '99.9 vs 13.1 %',
           (94.1, 62.0, 95.3, 98.4, 84.4)))),
    Claim('qa_follows_q_probe', 'Q-probe and QA accuracy above the baseline, '
          'over variants and attributes: correlation at least 0.8',
          'Part 3.1, Result 5', 'row by row alike', tuple(
              {'probe': 'q_probe', 'variant': v, 'target': a}
              for v in VARIANTS for a in ATTRIBUTES),
          claims.correlated(.8, 'qa_above_baseline'), 'above_baseline', ''),
    above('augmented_q_probe', 'Q-probe, mean of five attributes: '
          'multi5+permute > single', 'Part 3.1, Result 5', *(
              {'probe': 'q_probe', 'variant': v, 'target': FIVE}
              for v in (BEST, 'single')), (92.6, 2.9), **MORE))
