"""Can a model learn error correction by finetuning, after error-free training?

Part 2.2 (Ye, Xu, Li, Allen-Zhu, arXiv 2408.16293), section 5, Result 6: an
error-free model is finetuned on retry data (error_correction.py) by LoRA on
queries, values and the embedding, or as a whole (continued pretraining). Paper
(rate 0.2, iGSM-med, op 23, whole solutions correct): before 77.7 %; LoRA of
rank 4 (embedding 8) 63.3, rank 256 (512) 78.8; continued pretraining, as many
tokens again, 88.3; pretrained on retry data 91.6: low rank cannot add the skill.

  python -m physics_lm.launch experiments/error_correction_finetuning.py --scale=cpu
  python -m physics_lm.report experiments/error_correction_finetuning.py --scale=cpu

`cpu`: the models of error_correction.py (compact world, rate 0.2; its records), a
quarter of the tokens again; 37 core-minutes a seed; half of pretraining's rate,
LoRA at 1e-3; control: continued on error-free data. Op 6 (models train to op 5),
predicted: before 10; LoRA 4, 8; continued on retry 40, error-free 10; pretrained
on it 50 %; then known: 41, LoRA 31; with the tokens of both 47, op 5 82 %.
"""  # noqa: E501

from physics_lm import figures, results
from physics_lm import igsm_tables as igsm
from physics_lm.claims import GreaterPaired, above
from physics_lm.configs import scales
from physics_lm.sweep import Run, pick

LABELS = {'pretrained': 'error-free pretraining',
          'lora': '+ LoRA on retry, rank {}',
          'continued_retry': '+ continued on retry',
          'continued_clean': '+ continued error-free',
          'retry_pretrained': 'pretraining on retry',
          'retry_longer': 'the same, equal tokens in all'}
BEFORE, _, RETRY, CLEAN, START, LONGER, LOW, HIGH = *LABELS, 'lowest', 'highest'
# The paper's med at op 23, rate 0.2, %; of LoRA lowest and highest rank.
PAPER = {BEFORE: 77.7, LOW: 63.3, HIGH: 78.8, RETRY: 88.3, START: 91.6}
COMPACT = dict(recipe='compact', seeds=5, rate=0.2,
               common=scales.COMPACT_SOLUTIONS)
SHARED = ('error_correction',)  # whose pretrained models these are
AGAIN = {'optim.learning_rate': 2e-3}  # LoRA: 1e-3
SCALES = {
    'smoke': dict(
        recipe='small', seeds=1, rate=0.5, ranks=(2,), finetune={},
        common=scales.SMOKE_IGSM | {'evals.reasoning.splits': 'train_op2'}),
    'cpu': dict(COMPACT, ranks=(4, 32), finetune=AGAIN | {'steps': 1500}),
    'day': dict(COMPACT, ranks=(4, 16, 64), finetune=AGAIN | {'steps': 6000}),
    'gpu': dict(recipe='gpu', seeds=3, rate=0.2, ranks=(4, 32, 128), finetune={
        'steps': 8000}, common=scales.OOD_SPLITS['gpu']),
    'paper': dict(recipe='med', seeds=1, rate=0.2, ranks=(
        4, 8, 16, 32, 64, 128, 256), finetune={'steps': 200_000}, common=(
            scales.PAPER_SOLUTIONS | scales.OOD_SPLITS['paper']))}


def runs(scale: str) -> list[Run]:
  """Every seed: the pretrained model, those finetuned from it, and one that is
  pretrained on retry data."""
  s = pick(SCALES, scale)
  retry = {'worlds.igsm.retry_rate': s['rate']}
  file, out = f'configs/igsm.py:{s["recipe"]}', []
  rate = {'optim.learning_rate': 1e-3}
  for seed in range(s['seeds']):
    # Not the rows of pretraining again.
    tune = rate | s['finetune'] | {'seed.data': seed + 1000}
    same = s['common'] | scales.seeds(seed)
    tags = {'rank': 0, 'seed': seed}
    clean = Run(file, same, tags | {'method': BEFORE})
    both = clean.config.steps + s['finetune'].get('steps', clean.config.steps)
    from_start = [Run(file, same | retry | steps, tags | {'method': m})
                  for m, steps in ((START, {}), (LONGER, {'steps': both}))]
    arms = [('lora', rank, tune | rate | retry | {
        'adapter.kind': 'lora', 'adapter.rank': rank, 'adapter.embedding_rank':
        2 * rank}) for rank in s['ranks']]
    arms += [(RETRY, 0, tune | retry), (CLEAN, 0, tune)]
    out += [clean, *(Run(file, same | changes, {
        'method': method, 'rank': rank, 'seed': seed}, clean)
                     for method, rank, changes in arms), *from_start]
  return out


def table(records):
  """A row a run and split (igsm_tables.solutions). arm: the method, of LoRA the
  order of its rank; retries_all: in any solution; judged: of the claims."""
  df = igsm.solutions(records)
  df['retries_all'] = (df.accuracy * df.retries + (
      100 - df.accuracy) * df.retries_wrong) / 100
  ranks = sorted(set(df['rank']) - {0})
  df['arm'] = df['rank'].map(dict.fromkeys(ranks, 'between') | {
      ranks[-1]: HIGH, ranks[0]: LOW}).fillna(df.method)
  df['judged'] = df.split == igsm.judged_split(df[df.method == BEFORE])
  return df


def summary(df):
  """By arm and split."""
  return results.summarise(df.assign(name=[
      LABELS[m].format(r) for m, r in zip(df.method, df['rank'])]), [
          'name', 'arm', 'split', 'judged'], ['accuracy', 'retries_all'])


def figure(df):
  """Accuracy by arm at the judged op, and by op; retries at the judged op."""
  s = summary(df)
  at = s[s.judged]
  op = igsm.split_label(at.split.iloc[0])
  fig, (axes,) = figures.grid(3, width=4.6, height=3.9)
  for ax, column, paper, digits, what in (
      (axes[0], 'accuracy', PAPER, 0, 'solutions correct, %'),
      (axes[2], 'retries_all', {}, 2, 'retries in a solution')):
    figures.bars(ax, at, column, list(at.name), [
        figures.colour(a, k) for k, a in enumerate(at.name)], [
            paper.get(a) for a in at.arm], horizontal=True, digits=digits)
    figures.labels(ax, what, '', f'{op}, by training')
  figures.accuracy_by_op(axes[1], s, 'name', {a: a for a in at.name},
                         dotted=False, key=False)
  figures.finish(
      fig, 'Error correction by finetuning an error-free model on retry data',
      f'{figures.seeds_note(at)}; problems not in training; middle: colours as '
      'left\ndiamonds: the paper, GPT2-12-12, op 23, rate 0.2, rank 4 and 256')
  return fig


SAME = dict(rule=GreaterPaired(0.0), decided_by=(
    'scale day: continued for 9.2M tokens, 8 core-hours'))
HYPOTHESES = (  # (id, statement, arm that is higher, lower)
    ('low_rank_hurts', "Finetuning on retry data by LoRA of the lowest rank "
     "lowers an error-free model's accuracy", BEFORE, LOW),
    ('retry_pretraining_above_lora', 'Pretraining on retry data > LoRA of the '
     'highest rank on it', START, HIGH),
    ('longer_above_lora', 'Pretraining on retry data, equal tokens in all, '
     '> LoRA of the highest rank on it', LONGER, HIGH),
    ('continued_pretraining_helps', 'Continued pretraining on retry data raises'
     ' the accuracy of an error-free model', RETRY, BEFORE),
    ('continued_above_lora', 'Continued pretraining on retry data > LoRA of '
     'the highest rank on it', RETRY, HIGH),
    ('continued_retry_above_clean', 'Continued pretraining on retry data > on '
     'an equal number of error-free tokens', RETRY, CLEAN))
CLAIMS = (
    *(above(f'{name}{late}', text + where, a=at | {'arm': high},
            b=at | {'arm': low}, post_hoc=bool(late) and high != LONGER,
            baseline=0, **SAME | (dict(source='ours') if late or {
                high, low} & {CLEAN, LONGER} else dict(
                    source='Part 2.2, Result 6',
                    values=(PAPER[high], PAPER[low]))))
      for at, late, where in (({'judged': True}, '', ''), (
          {'split': 'test_op5'}, '_trained', ' (op 5, in training)'))
      for name, text, high, low in HYPOTHESES),
    *(above(f'more_{column}_than_{arm}', f'Retries in a {which}solution: '
            f'pretraining on retry data > {text} on it', a={
                'arm': START, 'judged': True}, b={'arm': arm, 'judged': True},
            column=column, unit='', post_hoc=True, source='ours', **SAME)
      for column, which in (('retries', 'correct '), ('retries_all', ''))
      for arm, text in ((HIGH, 'LoRA'), (RETRY, 'continued pretraining'))))
