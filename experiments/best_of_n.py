"""Many solutions sampled, one chosen: what does choosing well give?

Test-time compute on iGSM, where every solution is checked step by step. A model
samples N solutions of a problem; chosen is the one with the majority answer
(Wang et al. 2022, arXiv 2203.11171), or the one that a verifier scores highest,
trained on whether whole solutions are correct (outcome; Cobbe et al. 2021,
arXiv 2110.14168) or on where they go wrong (process; Lightman et al. 2023,
arXiv 2305.20050). oracle: a correct one where there is one (pass@N).

Paper (Lightman et al., MATH, best of 1,860): answers correct 78 % chosen by
process, 72 % by outcome, 70 % by majority.

  python -m physics_lm.launch experiments/best_of_n.py --scale=cpu
  python -m physics_lm.report experiments/best_of_n.py --scale=cpu

`cpu`: the five error-free models of error_correction.py (compact world, trained
once; launch takes them from there), new problems at op 5, the most in training,
4 core-minutes a seed. Deviations: solutions judged with all their steps;
temperature 1; verifiers are linear on the frozen states of all layers, both of
the same solutions of other problems (finetuned learn less of so few: LOG 199).
Seed by seed, at the hardest op with the most samples. Predicted, % correct:
greedy 86, one 78, majority of 16 83, outcome 80, process 79, oracle 97.
"""

from physics_lm import figures, results
from physics_lm import igsm_tables as igsm
from physics_lm.claims import Claim, GreaterPaired
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

CHOICES = {'oracle': 'oracle (pass@N)', 'majority': 'majority answer',
           'outcome': 'outcome verifier', 'process': 'process verifier'}
LINEAR = dict(verifier='linear', verifier_split='train_op5',
              verifier_problems=2000)
COMPACT = dict(recipe='compact', seeds=5, splits='test_op5',
               train=scales.COMPACT_SOLUTIONS)
SCALES = {
    'smoke': dict(
        recipe='small', seeds=1, splits='train_op2', train=scales.SMOKE_IGSM,
        evaluate=dict(num_problems=4, max_new_tokens=16, num_samples=4,
                      verifier_problems=4, verifier_samples=2)),
    'cpu': dict(COMPACT, evaluate=LINEAR | dict(num_problems=300)),
    'day': dict(COMPACT, evaluate=LINEAR | dict(
        num_problems=1000, verifier_problems=8000)),
    'gpu': dict(recipe='gpu', seeds=3, splits='test_op10,test_op13', train={},
                evaluate=dict(num_problems=256, verifier_split='train_op10',
                              verifier_problems=2000)),
    'paper': dict(
        recipe='med', seeds=1, splits='test_op15,test_op20,test_op23',
        train={'evals.reasoning.max_new_tokens': 2048}, evaluate=dict(
            num_problems=1024, max_new_tokens=2048, num_samples=64,
            verifier_split='train_op15', verifier_problems=10_000))}


def runs(scale: str) -> list[Run]:
  """Every seed: a run that evaluates a trained model."""
  s, out = pick(SCALES, scale), []
  file = f'configs/igsm.py:{s["recipe"]}'
  for seed in range(s['seeds']):
    same = s['train'] | scales.seeds(seed) | {
        'evals.reasoning.splits': s['splits']}
    greedy = {'num_problems': s['evaluate']['num_problems']}  # of the same
    out.append(Run(f'{file}_best_of', same | {'steps': 0} | scales.evals(
        ('reasoning',), **greedy) | scales.evals(
            ('best_of',), **s['evaluate'], splits=s['splits']), {'seed': seed},
                   Run(file, same, {'variant': 'clean', 'seed': seed})))
  return out


def table(records):
  """A row a run, split, choice and n_samples, percent (igsm_tables), with the
  accuracy of greedy decoding, a verifier's AUC over pairs of samples (also of
  equal length) and its training set. judged, most_samples: of the claims."""
  by = ['split', 'choice', 'n_samples', 'contaminated']
  df = results.wide(records, 'best_of', ('accuracy', 'answer_accuracy'), by,
                    percent=True)
  auc = results.wide(records, 'best_of', ('auc', 'auc_equal_length'), by)
  df = igsm.uncontaminated(results.beside(df, auc.drop(columns='n_samples'),
                                          'auc'), by[:3])
  greedy = igsm.solutions(records)[['run', 'split', 'accuracy']]
  verifiers = results.wide(records, 'best_of', ('verifier_accuracy', (
      'verifier_solutions')), percent=('verifier_accuracy',)).drop(
          columns='n_items')
  greedy = greedy.rename(columns={'accuracy': 'greedy_accuracy'})
  df = df.merge(greedy, 'left').merge(verifiers, 'left')
  df['judged'] = df.split == igsm.hardest_split(df, solved=0)
  df['most_samples'] = df.n_samples == df.n_samples.max()
  return df


def summary(df):
  """By split, choice and number of samples."""
  return results.summarise(df, ['split', 'choice', 'n_samples', 'judged'], [
      'accuracy', 'answer_accuracy', 'greedy_accuracy', 'auc',
      'auc_equal_length'])


def figure(df):
  """Accuracy of solutions over the number of samples, by choice and split."""
  s = summary(df)
  fig, (axes,) = figures.grid(s.split.nunique(), width=6, height=3.8)
  for ax, (split, rows) in zip(axes, s.groupby('split', sort=False)):
    beside = rows.assign(n_samples=rows.n_samples * 1.04**(
        rows.choice.map([*CHOICES, 'first'].index) - 1.5))
    figures.curves(ax, beside, 'n_samples', 'choice', 'accuracy', CHOICES,
                   band=False)
    ax.set_xscale('log', base=2)
    ax.set_xticks(sizes := sorted(set(s.n_samples)), sizes)
    figures.labels(ax, 'samples N', 'correct, %', igsm.split_label(split))
    figures.level(ax, rows.greedy_accuracy_mean.mean(), 'greedy\ndecoding')
  figures.legend(axes[0], loc='upper left')
  figures.finish(
      fig, 'Best of N samples: which one to choose?',
      f'{figures.seeds_note(s)}; problems not in training\nLightman et al. on '
      'MATH, N = 1,860: majority 70, outcome 72, process 78 %')
  return fig


def cell(choice: str, **which) -> dict:
  """A cell of the table, by default at the most samples."""
  return {'choice': choice, 'judged': True} | (which or {'most_samples': True})


def claim(id: str, statement: str, a: dict, b: dict, paper: str = '',
          source: str = 'beyond Lightman et al. 2023', **more) -> Claim:
  """The claim that cell a is above cell b, seed by seed."""
  return Claim(id, f'Best of N: {statement}', source, paper or (
      '—'), (a, b), **dict(
          rule=GreaterPaired(0.0), baseline=0, decided_by=DAY) | more)


DAY = 'scale day: three times the problems, 3 core-hours'
MAJORITY, OUTCOME, PROCESS = map(cell, [*CHOICES][1:])
OUTCOME4, OUTCOME16 = (cell('outcome', n_samples=n) for n in (4, 16))
MATH = 'Lightman et al. 2023'
VERIFIERS = '78 vs 72 % (MATH)', MATH
CLAIMS = (
    claim('majority_above_single', 'majority answer > a single sample',
          MAJORITY, cell('majority', n_samples=1), '', 'Wang et al. 2022'),
    claim('outcome_above_majority', 'outcome verifier > majority answer',
          OUTCOME, MAJORITY, '72 vs 70 % (MATH)', MATH, paper_effect=2),
    claim('process_above_outcome', 'process verifier > outcome verifier',
          PROCESS, OUTCOME, *VERIFIERS, paper_effect=6),
    claim('process_by_6', 'process > outcome verifier by 6 points', PROCESS,
          OUTCOME, *VERIFIERS, rule=GreaterPaired(6.0), post_hoc=True),
    claim('outcome_above_greedy', 'outcome verifier > greedy decoding',
          OUTCOME, OUTCOME | {'column': 'greedy_accuracy'}),
    claim('more_samples_mislead', 'outcome verifier, of 4 > of 16 samples', (
        OUTCOME4), OUTCOME16, 'above 400', 'Cobbe et al. 2021', post_hoc=True),
)
