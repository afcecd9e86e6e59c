"""Can a model detect its own errors, and does retrying upon them help?

Part 2.2 (Ye, Xu, Li, Allen-Zhu, arXiv 2408.16293), section 3, Results 1 and 2,
on error-free models. Solutions are decoded sentence by sentence; when a
detector says that the quantity just defined could not be computed yet, the
sentence is removed and sampled again, at most ten times a solution. Detectors:
a can_next V-probe of the frozen model (igsm_probing.py) or the truth; and ours,
logistic regression on its states after the sentence, from its own solutions.

Paper (GPT2-12-12, iGSM-med, op 23, whole solutions correct): 1, 4, 16 beams
76.8, 77.7, 77.8 %; regret by the probe 79.4, by the truth 84.1. The probe is
right of 99 % of all quantities, and of 60 % of the model's own first errors.

  python -m physics_lm.launch experiments/retry_upon_regret.py --scale=cpu
  python -m physics_lm.report experiments/retry_upon_regret.py --scale=cpu

`cpu`: the five error-free models of error_correction.py (compact world, trained
once: launch takes them from there), at op 5 on new problems of held-out
templates, differences by seed; 5 core-minutes a seed. Predicted, solutions
correct: greedy 82, 16 beams 82, regret by probe 80, by states 83, by the truth
90, by the checker 92 %; probe right of 77 % of random quantities.
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
DETECTED = {'question_accuracy': 'random\nquantities',
            'own_early_accuracy': 'own sentences\n(mean of both)',
            'right_kept': 'correct\nones',
            'detected_early': 'first errors,\nnot computable'}
EVALS = ('regret', 'beam4', 'beam16')
COMPACT = dict(recipe='compact', seeds=5, splits='test_op5', train={})
SCALES = {
    'smoke': dict(
        recipe='small', seeds=1, splits='train_op2,train_op3', evaluate=dict(
            num_problems=4, max_new_tokens=16, steps=2, batch=8,
            verifier_problems=2), train=scales.SMOKE_IGSM),
    'cpu': dict(COMPACT, evaluate=dict(num_problems=300)),
    'day': dict(COMPACT, evaluate=dict(num_problems=1000, steps=3000)),
    'gpu': dict(
        recipe='gpu', seeds=3, splits='test_op10,test_op13', train={},
        evaluate=dict(num_problems=500, steps=3000, batch=128)),
    'paper': dict(
        recipe='med', seeds=1, splits='test,test_op15,test_op20,test_op23',
        train={}, evaluate=dict(num_problems=4096, max_new_tokens=2048,
                                steps=100_000, batch=256, learning_rate=2e-3)),
}


def runs(scale: str) -> list[Run]:
  """Every seed: a run that evaluates a trained model."""
  s = pick(SCALES, scale)
  file, splits = f'configs/igsm.py:{s["recipe"]}', {'splits': s['splits']}
  models = [Run(file, s['train'] | scales.seeds(seed)
                | scales.evals(('reasoning',), **splits),
                {'variant': 'clean', 'seed': seed})
            for seed in range(s['seeds'])]
  return [Run(f'{file}_regret', m.overrides | {'steps': 0} | scales.evals(
      EVALS, **splits, **s['evaluate']), {'seed': m.tags['seed']}, m)
          for m in models]


def table(records):
  """A row a run, split and detector (igsm_tables.detection) or beam, percent.
  Means of both labels: question_accuracy of the probe on random quantities,
  own_error_accuracy and own_early_accuracy (not computable yet) on the model's
  first errors and correct sentences (right_kept). judged: of the claims."""
  df = igsm.detection(records)
  df['question_accuracy'] = (df.recall_positive + df.recall_negative) / 2
  df['right_kept'] = 100 - df.false_alarm_rate
  df['own_error_accuracy'] = (df.right_kept + df.detected) / 2
  df['own_early_accuracy'] = (df.right_kept + df.detected_early) / 2
  df = results.below(df, *(igsm.solutions(records, beam).assign(detector=beam)
                           for beam in EVALS[1:]))
  df['judged'] = df.split == igsm.hardest_split(df[df.detector == 'none'])
  return df


def summary(df):
  """By detector and split."""
  return results.summarise(df, ['detector', 'split', 'judged'],
                           ['accuracy', 'retries', *DETECTED])


def figure(df):
  """At the judged op: accuracy by decoding; what is detected."""
  s = summary(df)
  at = s[s.judged].set_index('detector').loc[list(DECODINGS)].reset_index()
  fig, (axes,) = figures.grid(2, width=5.2, height=3.9)
  figures.bars(axes[0], at, 'accuracy', list(DECODINGS.values()),
               [figures.colour(d, 5) for d in at.detector],
               [PAPER.get(d) for d in at.detector], horizontal=True)
  op = igsm.split_label(at.split.iloc[0])
  figures.labels(axes[0], 'solutions correct, %', '', op)
  rates = df[df.judged].melt(['detector', 'seed'], list(DETECTED), 'what')
  figures.grouped_bars(
      axes[1], results.summarise(rates, ['what', 'detector'], ['value']),
      'what', 'detector', 'value', DETECTED,
      {'probe': 'can_next probe', 'state': 'regression on states'},
      {('question_accuracy', 'probe'): 99, ('detected_early', 'probe'): 60})
  figures.percent_axis(axes[1], 118)
  figures.legend(axes[1], loc='upper right', ncols=2)
  figures.labels(axes[1], '', 'classified correctly, %', 'Error detection')
  figures.finish(
      fig, 'Retry upon regret: sentences detected as errors are resampled',
      f'{figures.seeds_note(at)}; claims compare seed by seed\ndiamonds: the '
      'paper, op 23 (right: plain accuracy);  random: computable next?')
  return fig


NONE, _, BEAM, PROBE, STATE, READY, CHECKER = (
    {'detector': d, 'judged': True} for d in DECODINGS)
MORE = 'scale day: 1,000 problems, probes with five times the training'
SAME = dict(rule=claims.GreaterPaired(0.0), decided_by=MORE)
HELPS = SAME | dict(source='Part 2.2, Result 2', baseline=0)
CLAIMS = (
    Claim('beams_no_effect', '16 beams and greedy decoding differ by less than '
          '2 points', 'Part 2.2, Result 2', '77.8 vs 76.8 %', (BEAM, NONE),
          claims.equal(2), baseline=0, decided_by=MORE),
    Claim('probe_knows_can_next', 'can_next probe: at least 90 % of random '
          'quantities (balanced)', 'Part 2.2, Result 1', 'about 99 %',
          (PROBE,), claims.at_least(90), 'question_accuracy'),
    Claim('probe_misses_own_errors', "can_next probe: random quantities > the "
          "model's sentences, correct or not computable (balanced)",
          'Part 2.2, Result 1', '99 vs 60 % (of errors alone)', (
              PROBE, PROBE | {'column': 'own_early_accuracy'}), baseline=50,
          column='question_accuracy', **SAME),
    Claim('states_show_errors', 'States after a sentence tell first errors '
          '(balanced accuracy > 50 %)', 'Part 2.2, Result 1', 'not measured',
          (STATE,), claims.AboveByError(50), 'own_error_accuracy',
          decided_by=MORE),
    above('probe_helps', 'Retry upon regret by can_next probe > greedy',
          a=PROBE, b=NONE, values=(79.4, 76.8), headline=True, **HELPS),
    above('states_help', 'Retry upon regret by states > greedy', a=STATE,
          b=NONE, **HELPS),
    above('truth_above_probe', 'Retry upon regret by true can_next > by probe',
          a=READY, b=PROBE, values=(84.1, 79.4), **HELPS),
    above('truth_helps', 'Retry upon regret by true can_next > greedy decoding',
          a=READY, b=NONE, values=(84.1, 76.8), headline=True, **HELPS),
    above('checker_above_truth', 'Retry upon regret by checker of any error > '
          'by true can_next', a=CHECKER, b=READY, **HELPS),
)
