"""Every key that exists, one line each, with its unit or constraint.

A recipe calls `get_config()` and overrides; a run overrides further with
`--config.model.depth=6`. The run's id is a hash of everything here except
`runtime`, `log`, `checkpoint` and `evals`: those change how it is computed,
recorded and judged, and the result by rounding at most (`accumulate` also
redraws dropout).
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def biographies() -> ConfigDict:
  """Keys of a world of people (physics_lm/worlds/biographies.py)."""
  w = ConfigDict()
  w.kind = 'biographies'
  w.version = 1  # of the distribution; the world refuses another
  w.people = 500  # even-numbered people are 'train', odd ones held out
  w.person_offset = 0  # index of the first person; disjoint ranges share nobody
  w.variant = 'multi5_permute'  # single|multiM|fresh [_permuteP|_coupleP]
  # [_fullname|_reverse1..6]
  # Pools: how many of each list are in use, at most the number given here.
  w.first_names = 400
  w.middle_names = 400
  w.last_names = 1000
  w.years = 200  # birth years from 1900 on
  w.months = 12
  w.days = 28
  w.cities = 200
  w.universities = 300
  w.majors = 100
  w.employers = 263
  w.templates = 50  # sentence templates for each attribute
  w.zipf_a = 0.0  # a: biographies are of person k ~ k^-(1 + a); 0: uniform
  return w


def manipulation() -> ConfigDict:
  """Keys of people and what can be asked of what is known of them
  (physics_lm/worlds/manipulation.py)."""
  w = biographies()
  w.kind = 'manipulation'
  w.train_people = 0  # people whose tasks are trained on; 0: all of P_train
  return w


def biod() -> ConfigDict:
  """Keys of bioD(N, K, C, D, L, T) (physics_lm/worlds/biod.py)."""
  w = ConfigDict()
  w.kind = 'biod'
  w.version = 2
  w.people = 1000  # N
  w.person_offset = 0  # index of the first person; disjoint ranges share nobody
  w.name_alphabet = 64  # symbols that names are made of
  w.name_length = 2  # symbols in a name; N0 = alphabet ** length
  w.attributes = 4  # K
  w.chunks = 1  # C, in a value
  w.diversity = 128  # D, distinct chunks of an attribute
  w.chunk_length = 1  # L, symbols in a chunk
  w.symbols = 128  # T, that chunks are made of; D at most T ** L
  w.zipf_a = 0.0  # a: entries are of person k ~ k^-(1 + a); 0: uniform
  return w


def text() -> ConfigDict:
  """Keys of the user's own text (physics_lm/worlds/text.py)."""
  w = ConfigDict()
  w.kind = 'text'
  w.version = 1
  w.files = 'data/*.txt'  # patterns, parted by commas; ** goes down folders
  w.field = 'text'  # of a JSON line, a Parquet column, a tf.train.Example
  w.separator = ''  # between the documents of a text file; '': it is one
  w.held_out = 0.01  # share of documents, by a hash of the text
  w.shuffle = 1000  # documents of a file that are shuffled at a time
  w.fim_rate = 0.0  # share of documents whose middle is moved to the end
  w.fim_spm = 0.5  # share of those whose suffix comes first
  return w


def igsm() -> ConfigDict:
  """Keys of iGSM (physics_lm/worlds/igsm/problems.py); as they stand, iGSM-med."""
  w = ConfigDict()
  w.kind = 'igsm'
  w.version = 1
  w.min_op = 1  # operations of a problem: the smaller of two uniforms on
  w.max_op = 15  # min_op .. max_op; at most 52
  w.max_edge = 20  # instance parameters; at least (max_depth - 1) * max_width
  w.modulus = 23  # of all arithmetic, at least 2
  w.min_depth = 2  # levels
  w.max_depth = 4
  w.min_width = 2  # items on a level
  w.max_width = 4
  w.hierarchies = 'harbor,park,sky,town'  # of worlds/tables/igsm, by commas
  w.subcategories = 5  # of each level, in use
  w.items_per_subcategory = 20  # of each sub-category, in use; at least max_width
  w.order = 'pq'  # 'pq': the question after the problem; 'qp': before it
  w.variable_names = 'random'  # of the solution; or 'alphabetical'
  w.solution = 'shortest'  # or 'redundant': with needless steps
  w.retry_kind = 'retry'  # kind of mistakes: 'retry', 'retry_weak', 'retry_miss'
  w.retry_rate = 0.0  # of mistakes before each sentence, below 1; 0: none
  w.retry_mask = 'none'  # loss is off the wrong: 'name', 'sentence'
  return w


def grammar() -> ConfigDict:
  """Keys of a random context-free grammar (physics_lm/worlds/grammar.py)."""
  w = ConfigDict()
  w.kind = 'grammar'
  w.version = 1
  w.levels = 4  # of rewriting; strings have at most max_children ** levels
  w.symbols = 3  # of each level below the root, so also terminals
  w.min_rules = 2  # of a symbol
  w.max_rules = 3
  w.min_children = 2  # of a rule
  w.max_children = 3
  return w


def task(world: str, split: str, weight: float, loss: str = 'all'):
  """A source of examples in the training mixture."""
  t = ConfigDict()
  t.world = world  # a key of `worlds`
  t.split = split  # a split of that world
  t.weight = weight  # share of rows; weights are normalised to sum 1
  t.loss = loss  # 'all' tokens or 'answers' only
  t.tag = ''  # source tag: text put before every example
  return t


def evaluation(kind: str):
  """One evaluation, run every `every` steps and always at the end."""
  e = ConfigDict()
  # 'loss', 'extraction', 'grammar', 'knowledge_bits', 'manipulation',
  # 'p_probe', 'q_probe', 'v_probe', 'solutions', 'best_of_n' or
  # 'retry_upon_regret': physics_lm/evals/registry.py
  e.kind = kind
  e.every = placeholder(int)  # steps; None: at the end only
  e.world = 'bios'  # a key of `worlds`; 'loss' has none
  e.people = 1000  # at most; of each split, except for 'knowledge_bits'
  e.num_rows = 64  # of each task, for 'loss'
  e.tag = ''  # domain tag before each example: 'knowledge_bits', 'solutions'
  e.tasks = ''  # by commas, for 'manipulation'
  # Training of 'p_probe' and 'q_probe' (physics_lm/evals/pq_probe.py) and of
  # 'v_probe' (physics_lm/evals/igsm/v_probe.py):
  e.steps = 400
  e.batch = 10  # rows of biographies, or names, or queries
  e.rank = 2  # of the embedding's update
  e.learning_rate = 1e-2  # falls linearly to 0
  e.weight_decay = 0.3  # 'p_probe' and 'q_probe', on matrices only
  e.names = True  # 'p_probe' and 'q_probe': the update of the embedding reaches
  # the tokens of names; False: it cannot memorise who they belong to
  # Weights are compressed first, for 'knowledge_bits' (physics_lm/model/compress.py):
  e.compress = 'none'  # 'none', 'nearest', 'gptq', 'prune' or 'prune_units'
  e.bits = 8  # per weight, 'nearest' and 'gptq'
  e.group = 32  # inputs that share a scale
  e.keep_fraction = 1.0  # of weights or units, 'prune' and 'prune_units'
  # For 'solutions' (physics_lm/evals/igsm/solutions.py):
  e.splits = 'test'  # of the problems, by commas: test, test_op20 ...
  e.num_problems = 256  # of each split; strings, for 'grammar'
  e.decode = 'greedy'  # or 'sample:TEMPERATURE[:TOP_K]', 'beam:WIDTH'
  e.max_new_tokens = 256  # of a solution
  # For 'best_of_n' (physics_lm/evals/igsm/best_of_n.py), with those of
  # 'solutions':
  e.num_samples = 16  # solutions of a problem
  e.verifier_split = 'train'  # verifiers are trained on other problems, of it
  e.verifier_problems = 500
  e.verifier_samples = 4  # solutions of each
  # For 'retry_upon_regret' (physics_lm/evals/igsm/retry_upon_regret.py), with
  # those of 'best_of_n' and 'v_probe':
  e.retries = 10  # sentences of a solution that are removed, at most
  # For 'v_probe' (physics_lm/evals/igsm/v_probe.py), with splits and
  # num_problems:
  e.probe = 'nece'  # or 'dep', 'known', 'can_next', 'nece_next', 'value'
  return e


def get_config() -> ConfigDict:
  """The defaults: a tiny model on 500 people."""
  c = ConfigDict()
  c.steps = 2000  # optimizer steps; 0, with init_from: only evaluated
  c.init_from = placeholder(str)  # a finished run's folder or id: start there

  c.seed = ConfigDict()
  c.seed.init = 0  # parameters and dropout
  c.seed.data = 0  # which examples go into which row
  c.seed.world = 0  # people, values, templates

  c.worlds = ConfigDict({'bios': biographies()})

  c.data = ConfigDict()
  c.data.seq_len = 128  # tokens in a row, T
  c.data.batch_size = 16  # rows in a step, B, over all devices
  c.data.vocab = 'word'  # 'word' or 'piece' (closed, from the worlds),
  # 'byte', 'bpe:SIZE', 'gpt2', 'gpt2_used' or a path: physics_lm/vocab.py
  c.data.source = 'worlds'  # or 'seqio:NAME': that Task or Mixture alone
  c.data.module = ''  # Python module or file that registers seqio's NAME
  c.data.shards = 1  # parts of a stream; at most its files
  c.data.intra_document_mask = True  # False: examples of a row attend to earlier ones
  c.data.mlm_probability = 0.0  # share of words hidden and told from both sides, as a
  # masked language model does; 0: each is told from those before it
  c.data.tasks = ConfigDict({
      'bio': task('bios', 'bio', 0.5),
      'qa': task('bios', 'qa_train', 0.5),
  })

  c.model = ConfigDict()
  c.model.depth = 4  # layers, L
  c.model.width = 64  # D
  c.model.heads = 4  # N; must divide width
  c.model.kv_heads = placeholder(int)  # K; must divide heads; None: heads
  c.model.mlp_ratio = 4.0  # F / D; 0: no MLP
  c.model.mlp = 'gelu'  # gelu, relu or silu; gated_gelu, gated_silu ...
  c.model.num_experts = 1  # MLPs of a layer, of which a token takes one; 1: plain
  c.model.moe_capacity_factor = 2.0  # an expert's room in a row / its equal share
  c.model.moe_eval_capacity_factor = 8.0  # the same, in evaluation
  c.model.moe_aux_loss_weight = 0.01  # weight of the experts' load-balancing loss
  c.model.norm = 'layernorm'  # 'layernorm' or 'rmsnorm'
  c.model.bias = True  # in linear maps and layer norms
  c.model.tie_embeddings = True  # output embedding = input embedding
  c.model.qk_norm = False  # RMS norm of queries and keys
  c.model.rope_fraction = 0.25  # share of the head dimension that rotates
  c.model.rope_theta = 10_000.0
  c.model.dropout = 0.0  # after the embedding, attention and MLP
  c.model.dtype = 'float32'  # of activations; parameters stay float32

  c.adapter = ConfigDict()  # of init_from's model, which stays as it is
  c.adapter.kind = 'none'  # everything trains; or 'lora', 'whole', 'prefix',
  # 'prompt', 'bottleneck': physics_lm/model/adapters.py
  c.adapter.target_modules = 'query,value'  # by commas: 'lora', 'whole'
  c.adapter.rank = 8  # of 'lora'; units of 'bottleneck'
  c.adapter.embedding_rank = 128  # of 'lora'; 0: the embedding stays
  c.adapter.scale = 4.0  # of 'lora': W + alpha A B
  c.adapter.num_virtual_tokens = 16  # vectors of 'prefix' and 'prompt'

  c.optim = ConfigDict()
  c.optim.name = 'adamw'  # or 'muon', on the layers' matrices: optim.py
  c.optim.learning_rate = 3e-3  # peak
  c.optim.schedule = 'cosine'  # 'cosine', 'linear', 'constant' or 'wsd'
  c.optim.warmup_steps = 100  # steps, linear from 0
  c.optim.decay_fraction = 0.2  # 'wsd': share of the steps spent decaying
  c.optim.final_lr_fraction = 0.1  # last learning rate / peak
  c.optim.b1 = 0.9
  c.optim.b2 = 0.98
  c.optim.eps = 1e-6
  c.optim.weight_decay = 0.1  # on matrices and embeddings only
  c.optim.grad_clip_norm = 1.0  # global gradient norm; 0: no clipping

  c.evals = ConfigDict({
      'loss': evaluation('loss'),
      'extraction': evaluation('extraction'),
  })

  c.checkpoint = ConfigDict()
  c.checkpoint.every = 500  # steps; the last step is always saved
  c.checkpoint.keep = 2  # newest checkpoints kept

  c.log = ConfigDict()
  c.log.every = 50  # steps
  c.log.loss_band = ''  # JSON file of the loss that is expected; '': none
  c.log.wandb = 'off'  # 'off', 'offline' or 'online'
  c.log.project = 'physics_lm'  # of wandb

  c.runtime = ConfigDict()
  c.runtime.mesh = ConfigDict()
  c.runtime.mesh.pop = -1  # for a population; -1: as many as divide both
  c.runtime.mesh.data = -1  # devices; -1: all that are left
  c.runtime.mesh.fsdp = 1  # devices over which parameters are cut
  c.runtime.mesh.tensor = 1  # devices over which heads and MLP are cut
  c.runtime.mesh.expert = 1  # devices over which experts are cut
  c.runtime.distributed = ConfigDict()  # of a job of several processes
  c.runtime.distributed.coordinator = placeholder(str)  # 'address:port' of process 0;
  # None: as the cluster says (Slurm, TPU pods), else this process alone
  c.runtime.distributed.count = placeholder(int)  # processes
  c.runtime.distributed.index = placeholder(int)  # which one this is, from 0
  c.runtime.distributed.timeout = 30  # seconds in silence after which one is dead
  c.runtime.branch_from = placeholder(str)  # folder or id of a run that begins
  # alike, up to the knee of a 'wsd' schedule: take its checkpoint from there
  c.runtime.max_vmapped_runs = placeholder(int)  # runs the launcher puts into one
  # program; None: one on a CPU, as many as fit on an accelerator
  c.runtime.grad_accum_steps = 1  # micro-batches a step; must divide data.batch_size
  c.runtime.remat = False  # recompute a layer's activations going back
  c.runtime.attention = 'xla'  # 'xla' or 'cudnn' (GPU, bfloat16)
  c.runtime.workers = 0  # loader processes; 0: a thread
  c.runtime.prefetch = 4  # batches made ahead
  return c
