"""iGSM (Parts 2.1 and 2.2): step-by-step reasoning, also on retry data.

python -m physics_lm.train --config=configs/igsm.py --workdir=runs/igsm
python -m physics_lm.train --config=configs/igsm.py:med --workdir=runs/med \\
  --config.worlds.igsm.retry_rate=0.5

`small` (the default) is for one CPU: a hierarchy of two levels, two items on
each, two names for them, op 1 to 3, modulus 5, variables in alphabetical order
(so op 4 would need a letter that no training solution has), loss on solutions
only; 0.2M parameters, two minutes of a core: about 80, 75 and 60 % of the
problems solved at op 1, 2 and 3. `gpu` is for ten minutes of one data-centre
GPU: op up to 10, modulus 7, 14M parameters. `med` and `hard` have the paper's
problems, model and steps, but a token for each phrase: about a day. `compact`
makes planning the bottleneck on one CPU: problems in symbols, of instance
parameters only, two operands each, as many problems of each op from 1 to 5, at
most 8 quantities with names that are drawn anew for each problem; templates of
op 5 and more are held out; 0.4M parameters in eight layers (with four, many
seeds do not learn what can be computed next), Canon layers (without them values
are copied late), Muon, 9M tokens. The suffix `_best_of`, `_probes` or `_regret`
adds evaluations: best of N, probes, or beam search and retry upon regret.
"""

from ml_collections import ConfigDict

from physics_lm.configs import default

# max_op, max_edge, seq_len, batch_size, steps, weight_decay
SIZES = {'gpu': (10, 12, 384, 192, 8000, 0.05),
         'med': (15, 20, 448, 512, 100_000, 0.05),
         'hard': (21, 28, 640, 256, 200_000, 0.03)}
COMPACT_SPLITS = 'test_op3,test_op4,test_op5,test_op6'
COMPACT_NEW_TOKENS = 96  # a solution of op 6 has 48; the rest is for retries
# Further evaluations of a variant: {name: kind}.
EVALS = {'': {}, 'best_of': {'best_of': 'best_of_n'},
         'probes': {task: 'v_probe' for task in (
             'nece', 'dep', 'known', 'value', 'can_next', 'nece_next')},
         'regret': {'beam4': 'solutions', 'beam16': 'solutions',
                    'regret': 'retry_upon_regret'}}


def get_config(variant: str = 'small') -> ConfigDict:
  """A size, then optionally one of EVALS. Raises ValueError."""
  size, _, more = variant.partition('_')
  if size not in ('small', 'compact', *SIZES) or more not in EVALS:
    raise ValueError(f'variant is {variant!r}, wanted small, compact, gpu, med '
                     'or hard, each also with _best_of, _probes or _regret')
  c = default.get_config()
  c.worlds = {'igsm': default.igsm()}
  c.data.tasks = {'train': default.task('igsm', 'train', 1.0)}
  c.data.vocab = 'piece'
  c.evals = {'loss': default.evaluation('loss'),
             'reasoning': default.evaluation('solutions')}
  for name, kind in EVALS[more].items():
    e = c.evals[name] = default.evaluation(kind)
    e.decode = f'beam:{name[4:]}' if kind == 'solutions' else 'sample:1.0'
    e.probe = name if kind == 'v_probe' else 'can_next'
    e.rank, e.batch, e.steps, e.learning_rate = 8, 64, 600, 1e-2
  for name in c.evals:
    c.evals[name].world = 'igsm'
  c.optim.weight_decay, c.optim.learning_rate = 0.05, 2e-3
  w, m = c.worlds.igsm, c.model
  if size == 'small':
    w.max_op, w.max_edge, w.max_depth, w.max_width = 3, 4, 2, 2
    w.modulus, w.hierarchies = 5, 'pier'
    w.subcategories, w.items_per_subcategory = 1, 2
    w.variable_names = 'alphabetical'
    c.data.tasks.train.loss = 'answers'
    c.data.seq_len, c.data.batch_size, c.steps = 160, 4, 5000
    c.optim.learning_rate = 3e-3
    m.rope_fraction, m.rope_theta = 1.0, 100.0
    c.log.every, c.checkpoint.every = 500, 2500
    return c
  if size == 'compact':
    compact(c)
    return c
  (w.max_op, w.max_edge, c.data.seq_len, c.data.batch_size, c.steps,
   c.optim.weight_decay) = SIZES[size]
  m.depth, m.width, m.heads = 12, 768, 12
  m.dtype = 'bfloat16'
  c.optim.warmup_steps, c.optim.final_lr_fraction = 1000, 0.01
  c.log.every, c.checkpoint.every = 200, 2000
  if size == 'gpu':
    w.modulus, w.hierarchies = 7, 'harbor'
    w.subcategories, w.items_per_subcategory = 1, 10
    m.depth, m.width, m.heads = 8, 384, 6
    c.runtime.workers = 14
  return c


def compact(c: ConfigDict):
  """Sets the compact recipe in a config whose world `igsm` has a task."""
  w, m, o = c.worlds.igsm, c.model, c.optim
  w.rendering, w.parameters, w.op_law = 'compact', 'instance', 'uniform'
  w.max_op, w.max_edge, w.modulus, w.held_out_op = 5, 8, 5, 5
  w.hierarchies, w.subcategories = 'syllables', 1
  w.items_per_subcategory = 24
  c.data.tasks.train.loss = 'answers'
  c.data.seq_len, c.data.batch_size, c.steps = 128, 12, 6000
  m.depth, m.width, m.heads, m.mlp = 8, 64, 4, 'relu'
  m.norm, m.qk_norm, m.bias = 'rmsnorm', True, False
  m.rope_fraction, m.rope_theta, m.canon = 1.0, 100.0, 'ab'
  o.name, o.learning_rate, o.weight_decay = 'muon', 4e-3, 0.05
  for e in c.evals.values():
    if e.kind == 'v_probe' and e.probe != 'dep':  # a name is one token
      e.kind = 'linear_probe'
    if 'splits' in e:  # each op of its own, the last one never trained
      e.splits, e.max_new_tokens = COMPACT_SPLITS, COMPACT_NEW_TOKENS
  c.log.every, c.checkpoint.every = 500, 2000
