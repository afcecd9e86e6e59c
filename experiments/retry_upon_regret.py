"""Can a model detect its own errors, and does retrying upon them help?

Part 2.2 (Ye, Xu, Li, Allen-Zhu, arXiv 2408.16293), section 3, Results 1 and 2,
on error-free models. Solutions are decoded sentence by sentence; when a
detector says that the quantity just defined could not be computed yet, the
sentence is removed and sampled again, at most ten times a solution. Detectors:
igsm_probing's can_next probe or the truth; ours: a linear map of later states.

Paper (GPT2-12-12, iGSM-med, op 23, solutions correct): 1, 4, 16 beams 76.8,
77.7, 77.8 %; regret by the probe 79.4, by the truth 84.1. The probe is right of
99 % of all quantities, and of 60 % of the model's own first errors.

  python -m physics_lm.launch experiments/retry_upon_regret.py --scale=cpu
  python -m physics_lm.report experiments/retry_upon_regret.py --scale=cpu

`cpu`: the five error-free models of error_correction.py, new problems of
held-out templates, op 5, the last in training, and op 6. Predicted, solutions
correct, op 5 (seed 17: greedy 84, probe 85, states 81, truth 89 %): greedy 86,
16 beams 88, probe 87, states 83, truth 91, checker 92; op 6: 12, 12, 13, 10,
60, 62 %. Probe: random quantities 77, own sentences 62 %; states: 73 %.
"""

from physics_lm import claims, figures, results
from physics_lm import igsm_tables as igsm
from physics_lm.claims import Claim, above
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

DECODINGS = {
    'none': 'greedy', 'beam4': '4 beams', 'beam16': '16 beams',
    'probe': 'regret: can_next probe', 'state': 'regret: states',
    'ready': 'regret: true can_next', 'checker': 'regret: checker (any error)'}
PAPER = dict(none=76.8, beam4=77.7, beam16=77.8, probe=79.4, ready=84.1)
DETECTED = {'question_accuracy': 'random\nquantities', 'own_early_accuracy': (
    'own sentences\n(mean of both)'), 'right_kept': 'correct\nones',
            'detected_early': 'first errors,\ncan_next false'}
EVALS = ('regret', 'beam4', 'beam16')
COMPACT = dict(recipe='compact', seeds=5, splits='test_op5,test_op6')
STATES = dict(verifier_split='train_op5', verifier_problems=1000)
SCALES = {
    'smoke': dict(
        recipe='small', seeds=1, splits='train_op2,train_op3', evaluate=dict(
            num_problems=4, max_new_tokens=16, steps=2, batch=8,
            verifier_problems=2), train=scales.SMOKE_IGSM),
    'cpu': dict(COMPACT, evaluate=dict(num_problems=300, **STATES)),
    'day': dict(COMPACT, evaluate=dict(num_problems=1500, **STATES)),
    'gpu': dict(recipe='gpu', seeds=3, splits='test_op10,test_op13', evaluate=(
        dict(num_problems=500, steps=3000, batch=128,
             verifier_split='train_op10'))),
    'paper': dict(recipe='med', seeds=1, evaluate=dict(
        num_problems=4096, max_new_tokens=2048, steps=100_000, batch=256,
        learning_rate=2e-3, verifier_split='train_op15'),
                  splits='test,test_op15,test_op20,test_op23')}


def runs(scale: str) -> list[Run]:
  """Every seed: a run that evaluates a trained model."""
  s = pick(SCALES, scale)
  file, splits = f'configs/igsm.py:{s["recipe"]}', {'splits': s['splits']}
  models = [Run(file, s.get('train', {}) | scales.seeds(seed) | scales.evals(
      ('reasoning',), **splits), {'variant': 'clean', 'seed': seed})
            for seed in range(s['seeds'])]
  return [Run(f'{file}_regret', m.overrides | {'steps': 0} | scales.evals(
      EVALS, **splits, **s['evaluate']), {'seed': m.tags['seed']}, m)
          for m in models]


def table(records):
  """A row a run, split and detector (igsm_tables.detection) or beam."""
  df = results.below(igsm.detection(records), *(
      igsm.solutions(records, b).assign(detector=b) for b in EVALS[1:]))
  df['judged'] = df.split == igsm.hardest_split(df[df.detector == 'none'])
  return df


def summary(df):
  """By detector and split."""
  return results.summarise(df, ['detector', 'split', 'judged'], [
      'accuracy', 'retries', 'used_up', *DETECTED])


def figure(df):
  """By split, accuracy by decoding; at the judged op, what is detected."""
  s = summary(df)
  fig, (axes,) = figures.grid(1 + s.split.nunique(), width=4.6, height=3.9)
  for ax, (split, at) in zip(axes, s.groupby('split', sort=False)):
    figures.bars(ax, at.set_index('detector').loc[list(DECODINGS)], 'accuracy',
                 list(DECODINGS.values()), [figures.colour(d, 5) for d in (
                     DECODINGS)], [PAPER.get(d) for d in DECODINGS if (
                         split == s.split.iloc[-1])], horizontal=True)
    figures.percent_axis(ax, horizontal=True)
    ax.tick_params(labelleft=ax is axes[0])
    figures.labels(ax, 'solutions correct, %', '', igsm.split_label(split))
  rates = df[df.judged].melt(['detector', 'seed'], list(DETECTED), 'what')
  figures.grouped_bars(
      axes[-1], results.summarise(rates, ['what', 'detector'], ['value']),
      'what', 'detector', 'value', DETECTED,
      {'probe': 'can_next probe', 'state': 'regression on states'}, {
          ('question_accuracy', 'probe'): 99, ('detected_early', 'probe'): 60})
  figures.percent_axis(axes[-1], 118), figures.legend(axes[-1], ncols=2)
  figures.labels(axes[-1], '', 'classified correctly, %', 'Error detection, '
                 + igsm.split_label(s.split[s.judged].iloc[0]))
  figures.finish(fig, 'Retry upon regret: detected errors are resampled', (
      f'{figures.seeds_note(s)}; diamonds: the paper, op 23, plain accuracy'))
  return fig


NONE, _, BEAM, PROBE, STATE, READY, CHECKER = (
    {'detector': d, 'judged': True} for d in DECODINGS)
OP6 = {d: {'detector': d, 'split': 'test_op6'} for d in DECODINGS}
SAME = dict(rule=claims.GreaterPaired(0.0), decided_by=(
    'scale day: five times the problems, 5 core-hours'))
HELPS = SAME | dict(source='Part 2.2, Result 2', baseline=0)
OURS = HELPS | {'source': 'beyond Part 2.2'}
CLAIMS = (
    *(Claim(f'beams_no_effect{late}', '16 beams and greedy decoding differ by '
            f'less than 2 points{where}', paper='77.8 vs 76.8 %', cells=pair,
            **HELPS | {'rule': claims.equal(2)}) for late, where, pair in (
                ('', '', (BEAM, NONE)), ('_op6', ' at op 6, beyond training', (
                    OP6['beam16'], OP6['none'])))),
    above('beams_help', '16 beams > greedy decoding', a=BEAM, b=NONE,
          values=(77.8, 76.8), post_hoc=True, **HELPS),
    Claim('probe_knows_can_next', 'can_next probe: at least 90 % of random '
          'quantities (balanced)', 'Part 2.2, Result 1', 'about 99 %', (PROBE,),
          claims.at_least(90), 'question_accuracy'),
    Claim('probe_misses_own_errors', "can_next probe: random quantities > the "
          "model's sentences, can_next true or false (balanced)",
          'Part 2.2, Result 1', '99 vs 60 % (of errors alone)', (
              PROBE, PROBE | {'column': 'own_early_accuracy'}), baseline=50,
          column='question_accuracy', **SAME),
    Claim('states_show_errors', 'States after a sentence tell first errors, '
          'hardest op solved: balanced accuracy > 50 %', OURS['source'], '—',
          (STATE,), claims.AboveByError(50), 'own_error_accuracy'),
    above('probe_helps', 'Retry upon regret by can_next probe > greedy',
          a=PROBE, b=NONE, values=(79.4, 76.8), **HELPS),
    above('states_help', 'Retry upon regret by states (labels of equal weight) '
          '> greedy', a=STATE, b=NONE, **OURS),
    above('truth_helps', 'Retry upon regret by true can_next > greedy decoding',
          a=READY, b=NONE, values=(84.1, 76.8), **HELPS),
    *(above(f'truth_above_{k}', f'Retry upon regret by true can_next > {name}',
            a=READY, b=d, values=(84.1, paper), **HELPS)
      for k, name, d, paper in (('probe', 'by probe', PROBE, 79.4),
                                ('beams', '16 beams', BEAM, 77.8))),
    *(above(f'{d}_helps_op6', f'Op 6, beyond training: by {name} > greedy',
            a=OP6[d], b=OP6['none'], **OURS)
      for d, name in (('probe', 'can_next probe'), ('ready', 'truth'))),
    above('checker_above_truth', 'Retry upon regret by checker of any error > '
          'by true can_next', a=CHECKER, b=READY, **OURS),
)
