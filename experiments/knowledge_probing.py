"""Where is knowledge stored: at the name, or further on in the biography?

Part 3.1 (Allen-Zhu & Li, arXiv 2309.14316), Results 4 and 5. A model pretrained
on biographies alone is frozen and probed. A P-probe reads a biography and, just
before the first attribute is stated (position 0: the name is known), the second
and so on, predicts every attribute; a Q-probe reads the name alone.

Paper (GPT-2 124M, 100,000 people; configs/published.py): P-probe at position 0,
mean of five attributes: single 4.5 %, multi5+permute 93.5; of first tokens 13.1
and 99.9. Row by row, QA accuracy follows the Q-probe.

  python -m physics_lm.launch experiments/knowledge_probing.py --scale=cpu
  python -m physics_lm.report experiments/knowledge_probing.py --scale=cpu

Measured, `cpu`: 24 runs, 36 minutes of one shared core (six of eleven targets).
Deviations: there 300 people, short lists, few probe steps (configs/probing.py);
updates of the embedding leave names alone (ours would be memorised); full
finetuning with loss on answers. `paper` scale lacks GPT-2's tokenizer, twelve
sets, one of two LoRA ranks. Rules and claims were fixed before the probes.
"""

from physics_lm import figures, results
from physics_lm.claims import Claim, correlated, exceeds_by_at_most, greater
from physics_lm.configs import probing, published, scales
from physics_lm.sweep import Run, pick

VARIANTS = {v: v.replace('_', '+') for v in (
    'single', 'multi5', 'multi5_permute', 'multi5_permute_fullname')}
FIVE = ('birth_city', 'university', 'major', 'employer', 'company_city')
FIRST = tuple(f'first_{a}' for a in FIVE)  # first tokens
ATTRIBUTES = {'birth_date': 'birth month'} | {
    a: a.replace('_', ' ') for a in FIVE}
SCALES = {
    'smoke': dict(
        variants=('single',), seeds=1, finetune={},
        common=scales.BIOS_200 | scales.SMOKE_TINY,
        pretrain=probing.SMALL | scales.probes(steps=2)),
    'cpu': dict(
        variants=tuple(VARIANTS), seeds=3, common=scales.BIOS_200 | {
            'worlds.bios.people': 300, 'worlds.bios.templates': 10,
            'data.seq_len': 144}, finetune=scales.CPU_FINETUNE | {'steps': 250},
        pretrain=probing.SMALL | {'steps': 800}),
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
        finetune=scales.PAPER_LORA),
}


def runs(scale: str) -> list[Run]:
  """Every (variant, seed): pretrained and probed, and finetuned from that."""
  s, out = pick(SCALES, scale), []
  for variant in s['variants']:
    for seed in range(s['seeds']):
      point = s['common'] | scales.seeds(seed)
      tags = {'variant': variant, 'seed': seed}
      base = Run(f'configs/probing.py:{variant}', point | s['pretrain'],
                 tags | {'training': 'pretrain'})
      point |= scales.BIO_QA['finetune'] | s['finetune']
      out += [base, Run(f'configs/biographies.py:{variant}', point,
                        tags | {'training': 'finetune'}, base)]
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
    figures.heatmap(
        ax, p.reindex(list(ATTRIBUTES), columns=range(6)).to_numpy(float),
        list(ATTRIBUTES.values()), range(6), paper={
            (i + 1, 0): x for i, x in enumerate(published.P_PROBE.get(v, ()))})
    figures.labels(ax, 'position: attributes stated before', '', VARIANTS[v])
    rows = rows[rows.probe == 'q_probe']
    figures.scatter(side, rows, 'accuracy', 'qa_accuracy', VARIANTS[v], k)
    figures.paper_points(side, published.Q_PROBE.get(v, ()),
                         published.QA_BY_ATTRIBUTE.get(v, ()),
                         figures.COLOURS[k])
  figures.diagonal(side, 100)
  figures.legend(side, loc='center left', bbox_to_anchor=(1, 0.5))
  figures.labels(side, 'Q-probe accuracy, %', 'QA accuracy, %')
  figures.finish(first, 'P-probe accuracy in %, on people of P_test', 'means '
                 'over seeds;  in brackets: the paper, GPT-2 124M')
  figures.finish(second, 'QA after finetuning and Q-probe before it, P_test', (
      f'{figures.seeds_note(s)}, by attribute;  diamonds: the paper'))
  return [first, second]


P = {(v, t): {'probe': 'p_probe', 'variant': v, 'target': t, 'position': 0}
     for v in VARIANTS for t in ('whole', 'first', *FIVE, *FIRST)}
BEST, R4, BASELINE = 'multi5_permute', 'Part 3.1, Result 4', 'majority_baseline'
MORE = {'baseline': BASELINE, 'decided_by': '10 paired seeds: 2 core-hours'}
CLAIMS = (
    Claim('single_value_not_at_name', 'bioS single, P-probe at the name: '
          'attributes at most 5 points above the baseline', R4, '4.5 vs 3.2 %',
          (P['single', 'whole'], P['single', 'whole'] | {'column': BASELINE}),
          exceeds_by_at_most(5), control=(P[BEST, 'whole'],), **MORE),
    Claim('single_first_not_at_name', 'bioS single, P-probe at the name: first '
          'tokens at most 5 points above the baseline', R4, '13.1 vs 12.0 %',
          (P['single', 'first'], P['single', 'first'] | {'column': BASELINE}),
          exceeds_by_at_most(5), control=(P[BEST, 'first'],), **MORE),
    Claim('single_at_own_position', 'bioS single, P-probe: each attribute just '
          'before it is stated > one position earlier', R4, '100 vs about 4 %',
          tuple(tuple(P['single', a] | {'position': i - k} for k in (0, 1)) for
                i, a in enumerate(FIVE[:4], 1)), greater(), paper_effect=96,
          **MORE),
    Claim('augmented_value_at_name', 'P-probe at the name, each of five '
          'attributes: multi5+permute > single', R4, '93.5 vs 4.5 %', tuple(
              (P[BEST, a], P['single', a]) for a in FIVE), greater(),
          paper_effect=(91.6, 74.7, 94.4, 99.0, 85.3), **MORE),
    Claim('augmented_first_at_name', 'P-probe at the name, first token of each '
          'of five: multi5+permute > single', R4, '99.9 vs 13.1 %', tuple(
              (P[BEST, a], P['single', a]) for a in FIRST), greater(),
          paper_effect=(94.1, 62.0, 95.3, 98.4, 84.4), **MORE),
    Claim('qa_follows_q_probe', 'Q-probe and QA accuracy above the baseline, '
          'over variants and attributes: correlation at least 0.8',
          'Part 3.1, Result 5', 'row by row alike', tuple(
              {'probe': 'q_probe', 'variant': v, 'target': a}
              for v in VARIANTS for a in ATTRIBUTES),
          correlated(.8, 'qa_above_baseline'), 'above_baseline', ''),
)
