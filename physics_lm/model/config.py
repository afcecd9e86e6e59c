"""Checks of a config, and its model's hyperparameters. No JAX."""

import dataclasses

from ml_collections import ConfigDict

from physics_lm.errors import BadInput

# Tokens of a row from which attention 'auto' is splash attention on a TPU: of
# shorter ones the weights are small, and padding to its blocks a large share.
SPLASH_FROM = 256
LOGITS_CHUNK = 1 << 25  # logits in a device's memory at once
CHOICES = {
    'mlp': ('gelu', 'relu', 'silu', 'gated_gelu', 'gated_relu', 'gated_silu'),
    'norm': ('layernorm', 'rmsnorm'),
    'dtype': ('float32', 'bfloat16', 'float16'),
    'attention': ('auto', 'xla', 'splash', 'cudnn'),
    'positions': ('rotary', 'absolute', 'distance', 'uniform'),
}
BY_DISTANCE = ('distance', 'uniform')  # attention without queries and keys
# Kinds of post-training whose model has a head that scores texts.
REWARD_KINDS = ('reward_model', 'outcome_verifier', 'process_verifier')
CANON_SITES = 'abcd'
CANON_TAPS = 4  # weights of a channel: of the token itself and three before


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Everything forward() depends on; hashable, so a static argument."""

  vocab: int  # V, rows of the embedding
  depth: int  # L
  width: int  # D
  heads: int  # N
  kv_heads: int  # K
  mlp_width: int  # F; 0: no MLP
  mlp: str
  norm: str
  bias: bool
  tie_embeddings: bool
  qk_norm: bool
  rope_fraction: float
  rope_theta: float
  dropout: float
  dtype: str
  remat: bool
  attention: str
  intra_document_mask: bool = True  # False: rows are one segment each
  causal: bool = True  # False: attention to later tokens too
  unroll: int = 1  # layers unrolled in the program, not looped over
  num_experts: int = 1  # E; 1: a plain MLP
  moe_capacity_factor: float = 2.0  # tokens an expert takes / its equal share
  moe_aux_loss_weight: float = 0.01  # weight of the load-balancing loss
  canon: str = ''  # sites of Canon layers in a layer
  canon_fixed: bool = False  # their weights do not train
  positions: str = 'rotary'
  max_positions: int = 0  # that the model has parameters for; 0: any number
  reward_head: bool = False  # a vector that scores texts: posttrain/score.py

  @property
  def head(self) -> int:
    """H, dimensions of a head."""
    return self.width // self.heads

  @property
  def gated(self) -> bool:
    """Whether the MLP has a gate (SwiGLU and the like)."""
    return self.mlp.startswith('gated_')

  @property
  def activation(self) -> str:
    """A key of decoder.ACTIVATIONS."""
    return self.mlp.removeprefix('gated_')


def logits_chunks(T: int, logits: float) -> int:
  """Into how many chunks of at most LOGITS_CHUNK the logits of rows of T tokens
  are cut, by the least divisor of T. T is cut, not the batch: its rows are
  sharded over devices."""
  return next(c for c in range(1, T + 1)
              if T % c == 0 and (logits // c <= LOGITS_CHUNK or c == T))


def check_model(config: ConfigDict):
  """Raises BadInput for choices that no run can have. A run that starts from
  another may take no step: then it is only evaluated."""
  if config.steps < 1 and not (config.init_from and config.steps == 0):
    raise BadInput(f'steps is {config.steps} and init_from '
                   f'{config.init_from}, wanted at least 1, or 0 and a run to '
                   'evaluate')
  if config.log.wandb not in ('off', 'offline', 'online'):
    raise BadInput(f'log.wandb is {config.log.wandb!r}, wanted off, offline '
                   'or online')


def lr_decay_start(config: ConfigDict) -> int:
  """The step from which the learning rate decays, or `steps` where it never
  does: up to there, runs that differ in steps and decay only are the same run.
  Raises BadInput for a schedule without a constant part."""
  o, total = config.optim, config.steps
  if o.schedule not in ('constant', 'wsd', 'wsd_sqrt'):
    raise BadInput(f'optim.schedule is {o.schedule!r}, wanted constant, wsd or '
                   'wsd_sqrt, which keep the peak')
  if o.schedule == 'constant':
    return total
  return total - min(round(o.decay_fraction * total), total - o.warmup_steps)


def model_config(config: ConfigDict, vocab_size: int) -> ModelConfig:
  """The model of config.model over a vocabulary. Raises BadInput for keys
  that do not fit each other.

  The embedding has a multiple of 8 rows, so that a small mesh divides it.
  """
  m, r = config.model, config.runtime
  kv = m.heads if m.kv_heads is None else m.kv_heads
  checks = [
      (m.width % m.heads == 0,
       f'model.width is {m.width}, wanted a multiple of model.heads='
       f'{m.heads}'),
      (m.heads % kv == 0,
       f'model.heads is {m.heads}, wanted a multiple of model.kv_heads={kv}'),
      (m.rope_fraction == 0 or m.width % m.heads
       or int(m.width // m.heads * m.rope_fraction) >= 2,
       f'model.rope_fraction {m.rope_fraction} of a head of '
       f'{m.width // m.heads} rotates nothing, wanted at least 2 '
       'dimensions, or 0 for no positions'),
      (m.num_experts == 1 or m.mlp_ratio > 0,
       f'model.num_experts is {m.num_experts} and model.mlp_ratio 0, wanted an '
       'MLP to make experts of')]
  for key, known in CHOICES.items():
    section = r if key == 'attention' else m
    checks.append((section[key] in known, f'{key} is {section[key]!r}, wanted '
                   f'one of {", ".join(known)}'))
  for ok, message in [*checks, *_canon_checks(config)]:
    if not ok:
      raise BadInput(message)
  has_table = m.positions in ('absolute', 'distance')
  return ModelConfig(
      vocab=-(-vocab_size // 8) * 8, depth=m.depth, width=m.width,
      heads=m.heads, kv_heads=kv, mlp_width=round(m.width * m.mlp_ratio),
      mlp=m.mlp, norm=m.norm, bias=m.bias, tie_embeddings=m.tie_embeddings,
      qk_norm=m.qk_norm,
      rope_fraction=m.rope_fraction if m.positions == 'rotary' else 0.0,
      rope_theta=m.rope_theta, dropout=m.dropout, dtype=m.dtype,
      remat=r.remat, attention=r.attention,
      intra_document_mask=config.data.intra_document_mask,
      causal=not config.data.mlm_probability, num_experts=m.num_experts,
      moe_capacity_factor=m.moe_capacity_factor,
      moe_aux_loss_weight=m.moe_aux_loss_weight, canon=m.canon,
      canon_fixed=m.canon_fixed, positions=m.positions,
      max_positions=config.data.seq_len if has_table else 0,
      reward_head=has_head(config))


def has_head(config: ConfigDict) -> bool:
  """Whether the model has a head: it scores answers, or is its own critic."""
  p = config.post
  return p.kind in REWARD_KINDS or (bool(p.kind) and p.baseline == 'value')


def _canon_checks(config: ConfigDict) -> list[tuple[bool, str]]:
  """(whether it holds, message) of what Canon layers and positions need."""
  m, causal = config.model, not config.data.mlm_probability
  wanted = ''.join(s for s in CANON_SITES if s in m.canon)
  return [
      (m.canon == wanted, f'model.canon is {m.canon!r}, wanted letters of '
       f'{CANON_SITES!r} in this order'),
      (m.canon or not m.canon_fixed,
       'model.canon_fixed is True and model.canon empty, wanted sites'),
      (causal or not m.canon, f'model.canon is {m.canon!r} of a masked '
       "language model (data.mlm_probability above 0), wanted ''"),
      (m.num_experts == 1 or 'd' not in m.canon,
       f'model.canon is {m.canon!r} and model.num_experts {m.num_experts}, '
       'wanted 1, or no site d'),
      (m.mlp_ratio > 0 or not {*m.canon} & {*'cd'},
       f'model.canon is {m.canon!r} and model.mlp_ratio 0, wanted an MLP, or '
       'sites a and b'),
      (causal or m.positions not in BY_DISTANCE,
       f'model.positions is {m.positions!r} of a masked language model '
       "(data.mlm_probability above 0), wanted 'rotary' or 'absolute'"),
      (m.positions not in BY_DISTANCE or not m.qk_norm,
       f'model.qk_norm is True and model.positions {m.positions!r}, without '
       "queries and keys; wanted 'rotary' or 'absolute'")]


def eval_config(config: ConfigDict, cfg: ModelConfig) -> ModelConfig:
  """The model in evaluation: experts have more capacity than in training."""
  return dataclasses.replace(
      cfg, moe_capacity_factor=config.model.moe_eval_capacity_factor)
