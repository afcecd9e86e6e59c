"""A config checked: its counts, and the shape of its model. No JAX."""

import dataclasses

from physics_lm.errors import BadInput

LOGITS_CHUNK = 1 << 25  # logits that are in memory at once, all rows together
CHOICES = {
    'mlp': ('gelu', 'relu', 'silu', 'gated_gelu', 'gated_relu', 'gated_silu'),
    'norm': ('layernorm', 'rmsnorm'),
    'dtype': ('float32', 'bfloat16', 'float16'),
    'attention': ('xla', 'cudnn'),
}


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
  tied: bool
  qk_norm: bool
  rotary_fraction: float
  rotary_base: float
  dropout: float
  dtype: str
  remat: bool
  attention: str
  isolate: bool = True  # False: rows are one segment each
  causal: bool = True  # False: tokens see those after them, too
  unroll: int = 1  # layers written out in the program, not looped over
  experts: int = 1  # E; 1: a plain MLP
  capacity: float = 2.0  # tokens that an expert takes / its equal share
  balance: float = 0.01  # weight of the load-balancing loss

  @property
  def head(self) -> int:
    return self.width // self.heads

  @property
  def gated(self) -> bool:
    return self.mlp.startswith('gated_')

  @property
  def activation(self) -> str:
    return self.mlp.removeprefix('gated_')


def check_model(config):
  """Raises BadInput for counts and choices that no run can have. A run that
  starts from another may take no step: then it is only evaluated."""
  if config.steps < 1 and not (config.init_from and config.steps == 0):
    raise BadInput(f'steps is {config.steps} and init_from '
                   f'{config.init_from}, wanted at least 1, or 0 and a run to '
                   'evaluate')
  for section, key in (
      (config.data, 'batch'), (config.log, 'every'),
      (config.checkpoint, 'every'), (config.checkpoint, 'keep'),
      (config.runtime, 'accumulate')):
    if section[key] < 1:
      name = next((f'{k}.' for k, v in config.items() if v is section), '')
      raise BadInput(f'{name}{key} is {section[key]}, wanted at least 1')
  if config.log.wandb not in ('off', 'offline', 'online'):
    raise BadInput(f'log.wandb is {config.log.wandb!r}, wanted off, offline '
                   'or online')


def lr_decay_start(config) -> int:
  """The step from which the learning rate falls, or `steps` where it never
  does: up to there, runs that differ in steps and decay only are the same
  run. Raises BadInput for a schedule that has none."""
  o, total = config.optim, config.steps
  if o.schedule not in ('constant', 'wsd'):
    raise BadInput(f'optim.schedule is {o.schedule!r}, wanted constant or wsd, '
                   'which keep the peak')
  if o.schedule == 'constant':
    return total
  return total - min(round(o.decay * total), total - o.warmup)


def model_config(config, vocab_size: int) -> ModelConfig:
  """The shape of config.model over a vocabulary. Raises BadInput.

  The embedding has a multiple of 8 rows, so that a small mesh can cut it.
  """
  m, r = config.model, config.runtime
  kv = m.heads if m.kv_heads is None else m.kv_heads
  checks = [
      (m.depth >= 1, f'model.depth is {m.depth}, wanted at least 1'),
      (m.width >= 1, f'model.width is {m.width}, wanted at least 1'),
      (m.heads >= 1 and m.width % m.heads == 0,
       f'model.width is {m.width}, wanted a multiple of model.heads='
       f'{m.heads}'),
      (kv >= 1 and m.heads % kv == 0,
       f'model.heads is {m.heads}, wanted a multiple of model.kv_heads={kv}'),
      (m.mlp_ratio >= 0, f'model.mlp_ratio is {m.mlp_ratio}, wanted >= 0'),
      (0 <= m.rotary_fraction <= 1,
       f'model.rotary_fraction is {m.rotary_fraction}, wanted 0 to 1'),
      (m.rotary_fraction == 0 or m.heads < 1 or m.width % m.heads
       or int(m.width // m.heads * m.rotary_fraction) >= 2,
       f'model.rotary_fraction {m.rotary_fraction} of a head of '
       f'{m.width // max(m.heads, 1)} rotates nothing, wanted at least 2 '
       'dimensions, or 0 for no positions'),
      (m.experts >= 1, f'model.experts is {m.experts}, wanted at least 1'),
      (m.experts == 1 or m.mlp_ratio > 0, f'model.experts is {m.experts} and '
       'model.mlp_ratio 0, wanted an MLP to make experts of'),
      (min(m.capacity, m.capacity_test) > 0, f'model.capacity is {m.capacity} '
       f'and model.capacity_test {m.capacity_test}, wanted both above 0'),
      (0 <= m.dropout < 1, f'model.dropout is {m.dropout}, wanted [0, 1)')]
  for key, known in CHOICES.items():
    section = r if key == 'attention' else m
    checks.append((section[key] in known, f'{key} is {section[key]!r}, wanted '
                   f'one of {", ".join(known)}'))
  for ok, message in checks:
    if not ok:
      raise BadInput(message)
  return ModelConfig(
      vocab=-(-vocab_size // 8) * 8, depth=m.depth, width=m.width,
      heads=m.heads, kv_heads=kv, mlp_width=round(m.width * m.mlp_ratio),
      mlp=m.mlp, norm=m.norm, bias=m.bias, tied=m.tied, qk_norm=m.qk_norm,
      rotary_fraction=m.rotary_fraction, rotary_base=m.rotary_base,
      dropout=m.dropout, dtype=m.dtype, remat=r.remat, attention=r.attention,
      isolate=config.data.isolate, causal=not config.data.masked,
      experts=m.experts, capacity=m.capacity, balance=m.balance)


def eval_config(config, form: ModelConfig) -> ModelConfig:
  """The shape that is evaluated: experts have more room than in training."""
  return dataclasses.replace(form, capacity=config.model.capacity_test)
