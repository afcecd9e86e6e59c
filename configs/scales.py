"""Override sets that several experiments share: {dotted key: value}.

Experiments merge them with `|` in their SCALES; `smoke`, `cpu`, `day`, `gpu`
and `paper` are explained in docs/results/index.md.
"""

from physics_lm.configs import biographies
from physics_lm.configs.igsm import COMPACT_NEW_TOKENS
from physics_lm.configs.manipulation import SMALL
from physics_lm.configs.sizes import size


def compact(people: int = 500, *worlds: str) -> dict:
  """Overrides: the compact world and its model (configs/biographies.py) in a
  recipe whose people live in `worlds` (default: bios), with ten templates."""
  sizes = biographies.COMPACT_WORLD | {'people': people, 'templates': 10}
  return biographies.COMPACT | {
      'optim.learning_rate': 3e-3, 'optim.b2': 0.98} | {
          f'worlds.{w}.{k}': v for w in worlds or ('bios',)
          for k, v in sizes.items()}


# The compact recipe's rate fits half of the questions after single texts.
FINETUNE_RATE = {'optim.learning_rate': 2e-4}
# Finetuning of compact_bios, for recipes that have no compact variants.
COMPACT_FINETUNE = FINETUNE_RATE | {
    'steps': 150, 'optim.name': 'adamw', 'optim.warmup_steps': 50,
    'optim.weight_decay': 0.0}

# Shares of rows of biographies and of questions in the three trainings.
BIO_QA = {
    'mixed': {},
    'pretrain': {'data.tasks.bio.weight': 1.0, 'data.tasks.qa.weight': 0.0},
    'finetune': {'data.tasks.bio.weight': 0.0, 'data.tasks.qa.weight': 1.0,
                 'data.tasks.qa.loss': 'answers'}}
BIOS_500 = {  # 500 people and pools to match
    'worlds.bios.people': 500, 'worlds.bios.first_names': 100,
    'worlds.bios.middle_names': 100, 'worlds.bios.last_names': 200,
    'worlds.bios.years': 100, 'worlds.bios.templates': 20,
    'data.seq_len': 160, 'data.batch_size': 12, 'optim.learning_rate': 4e-3,
    'optim.b2': 0.95}
ROWS_512 = {'model.dtype': 'bfloat16', 'data.seq_len': 512,
            'data.batch_size': 96, 'optim.learning_rate': 1e-3}
PAPER_POOLS = {  # of bioS; the paper has 46 to 52 templates an attribute
    'worlds.bios.first_names': 400, 'worlds.bios.middle_names': 400,
    'worlds.bios.last_names': 1000, 'worlds.bios.years': 200,
    'worlds.bios.cities': 200, 'worlds.bios.universities': 300,
    'worlds.bios.majors': 100, 'worlds.bios.employers': 263,
    'worlds.bios.templates': 50}
SMOKE_LOG = {'optim.warmup_steps': 2, 'log.every': 5}
CAPACITY_GPU = {'model.dtype': 'bfloat16', 'optim.warmup_steps': 1000,
                'runtime.workers': 8}
CAPACITY_PAPER = {'model.dtype': 'bfloat16', 'optim.warmup_steps': 1000,
                  'data.intra_document_mask': False}
# Part 3.1, appendices C and D.
PAPER_BIOS = {'worlds.bios.people': 100_000, 'model.dropout': 0.1,
              'data.intra_document_mask': False}
PAPER_FINETUNE = {'steps': 50_000, 'data.batch_size': 48,
                  'optim.warmup_steps': 0, 'optim.weight_decay': 0.01,
                  'optim.learning_rate': 3e-4}
SMALL_POOLS = {f'worlds.bios.{k}': v for k, v in SMALL.items()}
BIOS_200 = SMALL_POOLS | {  # 200 people, three templates an attribute
    'worlds.bios.people': 200, 'worlds.bios.templates': 3, 'model.depth': 3,
    'data.seq_len': 160, 'data.batch_size': 12, 'optim.learning_rate': 5e-3,
    'optim.b2': 0.95, 'checkpoint.every': 1000}
GPU_BIOS = size('d512') | ROWS_512 | {'worlds.bios.people': 20_000}
GPT2_BIOS = size('gpt2') | ROWS_512 | PAPER_BIOS
TINY_MODEL = {'model.width': 16, 'model.depth': 2, 'model.heads': 2,
              'data.batch_size': 4}
# One shape and schedule for all smoke runs on people: compiled once.
SMOKE_TINY = TINY_MODEL | {
    'worlds.bios.people': 20, 'optim.warmup_steps': 2, 'steps': 10,
    'optim.learning_rate': 5e-3, 'optim.b2': 0.95}
CPU_FINETUNE = {'optim.warmup_steps': 10, 'optim.learning_rate': 5e-4}
GPU_FINETUNE = {'steps': 1500, 'optim.warmup_steps': 20,
                'optim.learning_rate': 3e-4}
PAPER_LORA = PAPER_FINETUNE | {'adapter.kind': 'lora', 'adapter.rank': 8}
# Part 3.2: overrides of all runs (common), of pretraining (base; without it,
# training is mixed) and of training on the tasks (from the base model, if any).
MANIPULATION = {
    'smoke': dict(common=SMOKE_TINY, tasks={'evals.tasks.people': 10}),
    'cpu': dict(
        common=compact() | {  # a date has four tokens: month, day, comma, year
            'worlds.bios.days': 28, 'worlds.bios.years': 20,
            'worlds.bios.variant': 'multi5_permute'},
        base={'data.tasks.bio.weight': 0.1, 'data.tasks.qa.weight': 0.9,
              'optim.weight_decay': 3.0, 'steps': 625},
        tasks=COMPACT_FINETUNE | {  # tasks alone: forgets (experiments/LOG.md)
            'data.tasks.bio.weight': 0.2, 'data.tasks.qa.weight': 0.8,
            'steps': 600, 'evals.tasks.people': 250}),
    'gpu': dict(
        common=GPU_BIOS | PAPER_POOLS,
        base={'steps': 8000, 'optim.warmup_steps': 500},
        tasks={'steps': 2000, 'optim.learning_rate': 3e-4,
               'evals.tasks.people': 2000}),
    'paper': dict(
        common=GPT2_BIOS | PAPER_POOLS | {
            'worlds.bios.variant': 'multi5_permute'},
        base=BIO_QA['pretrain'] | {'steps': 80_000, 'optim.warmup_steps': 1000},
        tasks=PAPER_LORA | {'optim.learning_rate': 1e-3, 'adapter.rank': 16,
                            'evals.tasks.people': 2000})}
# Inverse search: biographies and tasks mixed, 1 : 1 by rows, at `cpu` 1 : 4.
_INVERSE = {'data.tasks.bio.weight': 1.0, 'optim.warmup_steps': 100}
_INVERSE_LARGE = _INVERSE | ROWS_512 | PAPER_POOLS
INVERSE = {
    'smoke': _INVERSE | SMOKE_TINY | {'evals.tasks.people': 10},
    'cpu': compact(500) | {
        'worlds.bios.years': 40, 'data.tasks.bio.weight': 0.25,
        'optim.weight_decay': 3.0, 'steps': 800, 'optim.warmup_steps': 100,
        'evals.tasks.people': 250},
    'gpu': _INVERSE_LARGE | size('d512') | {
        'worlds.bios.people': 20_000, 'steps': 8000,
        'optim.warmup_steps': 500, 'evals.tasks.people': 2000},
    'paper': _INVERSE_LARGE | size('gpt2') | PAPER_BIOS | {
        'steps': 80_000, 'optim.warmup_steps': 1000,
        'evals.tasks.people': 5000}}
# iGSM: a tiny model on a few problems; the paper's evaluation (Part 2.1, 2.4).
SMOKE_IGSM = {
    'model.width': 16, 'model.depth': 1, 'steps': 4, 'optim.warmup_steps': 2,
    'data.batch_size': 4, 'log.every': 2, 'evals.reasoning.num_problems': 4,
    'evals.reasoning.max_new_tokens': 16, 'evals.loss.num_rows': 4}
CPU_SOLUTIONS = {'evals.reasoning.num_problems': 300,
                 'evals.reasoning.max_new_tokens': 128}
COMPACT_SOLUTIONS = {'evals.reasoning.num_problems': 1000}
# Solutions during training, of fewer problems.
COMPACT_CURVE = {f'evals.curve.{k}': v for k, v in {
    'kind': 'solutions', 'world': 'igsm', 'every': 1500, 'num_problems': 200,
    'splits': 'test_op5,test_op6',
    'max_new_tokens': COMPACT_NEW_TOKENS}.items()}
SMOKE_CURVE = COMPACT_CURVE | {'evals.curve.every': 2,
                               'evals.curve.num_problems': 4}
# Models of igsm_probing: in 64 dimensions less can be read linearly.
COMPACT_PROBED = {'model.width': 96, 'steps': 4500}
PAPER_SOLUTIONS = {'evals.reasoning.num_problems': 4096,
                   'evals.reasoning.max_new_tokens': 2048}
OOD_SPLITS = {scale: {'evals.reasoning.splits': splits} for scale, splits in {
    'gpu': 'test,test_op10,test_op13,test_op15,test_op13_reask',
    'paper': 'test,test_op15,test_op20,test_op21,test_op22,test_op23,'
             'test_op20_reask'}.items()}
# Solutions of op 15 have 235 tokens on average, an error and its retry 7.
OOD_SPLITS['gpu']['evals.reasoning.max_new_tokens'] = 512


# Hundreds of names: learning rate x weight decay x steps / 2 is 4.5.
Q_PROBE = {f'evals.q_probe.{k}': v for k, v in {
    'kind': 'q_probe', 'names': False, 'rank': 16, 'batch': 100, 'steps': 300,
    'weight_decay': 3.0}.items()}
P_PROBE = {f'evals.p_probe.{k}': v for k, v in {
    'kind': 'p_probe', 'names': False, 'steps': 150, 'weight_decay': 6.0
    }.items()}


def evals(names: tuple[str, ...], **values) -> dict:
  """Overrides: the same keys of several evaluations."""
  return {f'evals.{name}.{k}': v for name in names for k, v in values.items()}


# Worlds of known entropy for isoFLOP sweeps: config file, overrides, key of the
# world, title. biod_zipf_<a>: person k has probability ~ k^-(1 + a).
ZIPF = (0.5, 1)
ENTROPY_WORLDS = {
    'grammar': ('configs/grammar.py', {}, 'cfg', 'Grammar'),
    'grammar_large': ('configs/grammar.py', {
        'worlds.cfg.levels': 6, 'worlds.cfg.symbols': 6, 'data.seq_len': 512,
        'evals.law.num_problems': 64}, 'cfg', 'Large grammar'),
    **{f'biod_zipf_{a}': ('configs/biod.py', {
        'worlds.bits.zipf_a': float(a), 'worlds.bits.people': 32768,
        'worlds.bits.name_alphabet': 32, 'worlds.bits.name_length': 3,
        'worlds.bits.symbols': 64, 'worlds.bits.diversity': 64,
        'data.seq_len': 96, 'optim.weight_decay': 0.0,
        'evals.bits.people': 200, 'evals.loss.num_rows': 4096},
        'bits', f'bioD, Zipf a = {a}')
       for a in ZIPF},
    **{f'biod_large_zipf_{a}': ('configs/biod.py', {
        'worlds.bits.zipf_a': float(a), 'worlds.bits.people': 16_000_000,
        'worlds.bits.name_length': 3, 'data.seq_len': 480,
        'evals.bits.people': 2000, 'evals.loss.num_rows': 2048,
        'optim.weight_decay': 0.0}, 'bits', f'Large bioD, Zipf a = {a}')
       for a in ZIPF}}

GRAMMAR_GPU = {'model.dtype': 'bfloat16', 'data.batch_size': 128,
               'optim.learning_rate': 2e-3, 'runtime.workers': 8}
EVAL_8_ROWS = {'evals.loss.num_rows': 8}
RATE_MULTIPLES = (0.25, 0.5, 2.0, 4.0)  # of a sweep's learning rate, beside 1
# Arguments of scaling.isoflop_plan.Plan.
ISOFLOP_GPU = {
    'budgets': {1e14: (64, 96, 128, 192, 256, 384, 512),
                1e15: (96, 128, 192, 256, 384, 512, 768),
                1e16: (128, 192, 256, 384, 512, 768, 1024),
                1e17: (192, 256, 384, 512, 768, 1024, 1536)},
    'depth': 8, 'batch_size': 64, 'seeds': {1e15: 3},
    'tune': {1e14: RATE_MULTIPLES, 1e15: RATE_MULTIPLES},
    'cooldowns': ((1e14, 1e15, 1e16), 192, 1),
    'shapes': (1e15, ((368, 2), (260, 4), (130, 16))),
    'common': {'model.dtype': 'bfloat16', 'runtime.workers': 8}}
ISOFLOP_PAPER = {
    'budgets': dict.fromkeys((6e18, 1e19, 3e19, 6e19), (
        512, 640, 1024, 1280, 1792, 2048, 2560)) | dict.fromkeys(
            (1e20, 3e20, 6e20, 1e21, 3e21), (
                640, 1024, 1280, 1792, 2048, 2560, 3584)),
    'depth': 24, 'batch_size': 1024,
    'common': {'model.dtype': 'bfloat16', 'runtime.workers': 8,
               'runtime.remat': True}}


def retry_data(variant: str) -> dict:
  """Overrides of iGSM's training data: 'clean', or kind and rate, as in
  'retry_weak 0.5'; 'retry_masked' has no loss on the names in errors.
  'retry_weak' is drawn as the authors' released code does by default."""
  kind, _, rate = variant.partition(' ')
  return {'worlds.igsm.retry_rate': float(rate or 0),
          'worlds.igsm.retry_kind': {
              'retry_weak': 'retry_weak_next', 'retry_miss': 'retry_miss'}.get(
                  kind, 'retry'),
          'worlds.igsm.retry_mask': 'name' if 'masked' in kind else 'none'}


def bio_training(variant: str, training: str, compact: bool = False
                 ) -> tuple[str, dict]:
  """(--config, shares of rows) of a training on a variant of bioS, one of
  BIO_QA; the compact recipe sets the shares itself."""
  if compact:
    return f'configs/biographies.py:compact_{variant}_{training}', {}
  return f'configs/biographies.py:{variant}', BIO_QA[training]


def compact_bios(people: int) -> dict:
  """Of an experiment's scale: the compact recipe with fewer people, ten
  templates, and as much weight decay between two exposures of a biography; a
  minute and a half of one core with 500 people (experiments/LOG.md, 52)."""
  decay = {'optim.weight_decay': 1500 / people}
  return dict(
      compact=True, mixed=decay | {'steps': round(1.25 * people)},
      common={'worlds.bios.people': people, 'worlds.bios.templates': 10},
      pretrain=decay | {'steps': people},
      finetune=FINETUNE_RATE | {'steps': 150})


def seeds(seed: int) -> dict[str, int]:
  """Overrides: one seed for parameters, rows and world."""
  return {f'seed.{k}': seed for k in ('init', 'data', 'world')}


def probes(**keys) -> dict:
  """Overrides: the same keys of P- and Q-probes."""
  return {f'evals.{probe}.{k}': v for probe in ('p_probe', 'q_probe')
          for k, v in keys.items()}


# Part 1: how a model of a grammar knows the order of tokens; Canon layers at
# all four sites.
CANON = {'model.canon': 'abcd'}
POSITION_ARMS = {
    'RoPE': {}, 'NoPE': {'model.rope_fraction': 0.0},
    'NoPE + Canon': {'model.rope_fraction': 0.0} | CANON,
    'absolute': {'model.positions': 'absolute'},
    'uniform': {'model.positions': 'uniform'}, 'RoPE + Canon': CANON,
    'distance': {'model.positions': 'distance'},
    'RoPE, quarter': {'model.rope_fraction': 0.25}}
PROBED_ARMS = ('RoPE', 'NoPE')  # whose states and attention are evaluated
GRAMMAR_FULL = {  # about as many tokens a string as the paper's cfg3 files
    'worlds.cfg.levels': 6, 'worlds.cfg.min_rules': 3,
    'worlds.cfg.max_rules': 4, 'data.seq_len': 768, 'model.dtype': 'bfloat16'}
# Numbers of strings and samples, steps between evaluations; other overrides.
STRUCTURE = {
    'smoke': (4, 2, SMOKE_LOG | {
        'steps': 4, 'worlds.cfg.levels': 3, 'model.width': 16,
        'model.depth': 1, 'model.heads': 2, 'data.seq_len': 32,
        'data.batch_size': 4, 'evals.law.num_problems': 4}),
    'cpu': (128, 200, {'evals.law.num_problems': 256, 'checkpoint.every': 5000,
                       'runtime.max_vmapped_runs': 3}),
    'gpu': (256, 1000, GRAMMAR_FULL | {
        'model.width': 256, 'model.depth': 8, 'model.heads': 8, 'steps': 10_000,
        'data.batch_size': 64, 'optim.learning_rate': 3e-3,
        'evals.law.num_problems': 64}),
    'paper': (256, 10_000, GRAMMAR_FULL | {
        'model.width': 768, 'model.depth': 12, 'model.heads': 12,
        'data.batch_size': 64, 'steps': 100_000, 'optim.name': 'adamw',
        'optim.learning_rate': 3e-4, 'optim.weight_decay': 0.1,
        'optim.schedule': 'linear', 'evals.law.num_problems': 64}),
}


def post_training(s: dict, trunk: dict, post: dict, arms: dict[str, dict],
                  splits: str) -> tuple[dict, dict[str, dict]]:
  """(overrides of the trunk, {arm: overrides}) of experiments on post-training
  in configs/compose.py. `s`: a scale, with arms, and overrides of trunk, post
  and evals; `splits`: those that are judged."""
  model = {k: v for k, v in s['trunk'].items() if k.startswith('model.')}
  judged = {f'evals.policy.{k}': v for k, v in {
      'kind': 'policy', 'world': 'compose', 'max_new_tokens': 12,
      'splits': splits, **s['evals']}.items()}
  return trunk | s['trunk'] | judged, {
      arm: post | arms[arm] | s['post'] | model | judged for arm in s['arms']}


# Reward models and policies of configs/markov.py:scored.
SCORED_SMOKE = {'model.width': 16, 'model.heads': 2, 'data.batch_size': 32,
                'optim.warmup_steps': 0}
SCORED_HEAD = {
    'post.kind': 'reward_model', 'post.samples': 2, 'post.tokens': 16,
    'post.every': 192, 'post.epochs': 4, 'steps': 192, 'checkpoint.every': 192,
    'optim.learning_rate': 1e-2, 'optim.warmup_steps': 0}
SCORED_RL = {
    'post.kind': 'reinforce', 'post.samples': 16, 'post.tokens': 16,
    'optim.learning_rate': 3e-4, 'optim.b2': 0.95, 'optim.warmup_steps': 0,
    'steps': 60, 'checkpoint.every': 60}


def scored(name: str, kind: str, gold: str, samples: int, **keys) -> dict:
  """Overrides: an evaluation of configs/markov.py:scored's answers."""
  return {f'evals.{name}.{k}': v for k, v in {
      'kind': kind, 'world': 'chain', 'num_problems': 1, 'reward': gold,
      'num_samples': samples, 'max_new_tokens': 16, **keys}.items()}


def grammar_evals(name: str, kind: str, **keys) -> dict:
  """Overrides: an evaluation of configs/grammar.py's strings."""
  return {f'evals.{name}.{k}': v for k, v in {
      'kind': f'grammar_{kind}', 'world': 'cfg'}.items()} | {
          f'evals.{name}.{k}': v for k, v in keys.items()}


def structures(scale: str, arms: tuple[str, ...], seeds: int
               ) -> list[tuple[str, dict, dict]]:
  """(config file, overrides, tags) of runs of the experiments on grammars,
  which share them: every arm and seed. One grammar, of seed 0; parameters and
  rows of seed 1, 2 ..."""
  count, every, common = STRUCTURE[scale]
  evals = grammar_evals(
      'curve', 'samples', num_problems=count, every=every, decode='sample')
  evals |= grammar_evals('samples', 'samples', num_problems=4 * count,
                         prefixes='none,clean', decode='sample')
  probed = grammar_evals('tree', 'tree', num_problems=2 * count,
                         every=every)
  probed |= grammar_evals('attention', 'attention', num_problems={
      'smoke': 4, 'cpu': 128}.get(scale, 16), num_samples={
          'smoke': 1, 'cpu': 12}.get(scale, 4))
  return [('configs/grammar.py:structure', POSITION_ARMS[arm] | common | evals
           | (probed if arm in PROBED_ARMS else {})
           | {'seed.init': seed, 'seed.data': seed},
           {'arm': arm, 'seed': seed})
          for arm in arms for seed in range(1, seeds + 1)]


CONTINUED = {  # of configs/grammar.py:continued: grammar A, then B
    'data.seq_len': 84, 'optim.learning_rate': 5e-3, 'checkpoint.every': 10_000,
    'evals.law.num_problems': 2000, 'evals.next_law.num_problems': 2000}
MARKED = {'data.tasks.next_strings.tag': ' B:', 'evals.next_law.tag': ' B:'}


def replayed(share: float) -> dict[str, float]:
  """Overrides: the share of the rows that are grammar A's, the rest B's."""
  return {'data.tasks.strings.weight': share,
          'data.tasks.next_strings.weight': 1 - share}


def continuation(steps: int, replay: float, seed: int) -> dict:
  """Overrides of a run of B that starts from A: the learning rate rises over a
  tenth of the steps and then falls linearly; rows are others than A's."""
  return replayed(replay) | {
      'steps': steps, 'optim.warmup_steps': steps // 10,
      'optim.schedule': 'linear', 'seed.data': seed + 100}
