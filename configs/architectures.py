"""Architectures of Part 3.3, sections 7 and 9, and of Part 4.1, with Canon
layers before and in attention: {name: {key: value}}.

No overrides: GPT-2 with rotary embeddings on a quarter of each head. `moe` also
needs model.num_experts.
"""

from physics_lm.configs import biod, scales

_LLAMA = {'model.norm': 'rmsnorm', 'model.bias': False,
          'model.rope_fraction': 1.0}
ARCHITECTURES = {
    'gpt2': {},
    'llama': _LLAMA | {'model.mlp': 'gated_silu', 'model.mlp_ratio': 8 / 3},
    'llama_plain': _LLAMA | {'model.mlp': 'silu'},
    'mistral': _LLAMA | {'model.mlp': 'gated_silu', 'model.mlp_ratio': 3.5,
                         'model.kv_heads': 1},
    'mlp_quarter': {'model.mlp_ratio': 1.0},
    'no_mlp': {'model.mlp_ratio': 0.0},
    'moe': {'model.mlp_ratio': 1.0}}
ARCHITECTURES['llama_canon'] = ARCHITECTURES['llama'] | {'model.canon': 'ab'}
# Widths of about as many parameters, by size.
WIDTHS = {size: dict(zip(ARCHITECTURES, (*[width] * 4, *others, width)))
          for size, width, *others in (
              ('small', 16, 20, 22, 12), ('middle', 32, 40, 48, 24),
              ('medium', 128, 144, 160, 64), ('large', 256, 320, 384, 128))}
R_MAX = 2.7  # of people in the compact recipe
ENTRIES = 394  # in its vocabulary: names, values, attributes, end, padding
# Weights of a layer of the compact recipe's two heads over width^2; others grow
# with the width alone.
WEIGHTS = dict.fromkeys(ARCHITECTURES, 12.0) | {
    'mistral': 13.5, 'mlp_quarter': 6.0, 'no_mlp': 4.0, 'moe': 20.0}
EXPERTS = {  # overrides that `moe` needs; a rotary half: 2 dimensions a head
    'compact': {'model.rope_fraction': 0.5, 'model.num_experts': 8},
    'bios': {'model.num_experts': 32}}
# Learning rates by (exposures, size) and architecture: the best tried on seed
# 7, which is not reported (scale `rates` of capacity_architecture). At 1,000
# exposures of `middle` GPT-2 and LLaMA alone, 8e-3 and 1.6e-2, which are alike.
RATES = {(e, size): dict.fromkeys(ARCHITECTURES, rate) | others
         for (e, size), rate, others in (
             ((100, 'small'), 8e-3, {'moe': 1.6e-2}),
             ((100, 'middle'), 4e-3, {'mistral': 8e-3, 'mlp_quarter': 8e-3}),
             ((1000, 'small'), 3.2e-2, {'mlp_quarter': 1.6e-2,
                                        'no_mlp': 1.6e-2}),
             ((1000, 'middle'), 1.6e-2, {}))}


def compact_run(name: str, size: str, exposures: int, share: float = 1.0
                ) -> dict:
  """Overrides of configs/biod.py:compact in random order with AdamW: an
  architecture at a size, and people (or a share of them) for R_MAX."""
  width = WIDTHS[size][name]
  count = round(2 * WEIGHTS[name] * width**2 + (28 + ENTRIES) * width)
  people = round(share * biod.compact_people(width, R_MAX, parameters=count))
  # Entries a step as GPT-2 has them: the rule would double them for a few more.
  batch = biod.compact_schedule(biod.compact_people(
      WIDTHS[size]['gpt2'], R_MAX), exposures)['data.batch_size']
  steps = max(round(people * exposures / batch), 1)
  return biod.compact_run(
      people, exposures, width, 'random', 'adamw') | ARCHITECTURES[name] | {
          'model.heads': 2, 'data.batch_size': batch, 'steps': steps,
          'optim.warmup_steps': steps // 50} | (
              EXPERTS['compact'] if name == 'moe' else {})


def bios_run(name: str, size: str, exposures: int, people: int, rows: int
             ) -> dict:
  """Overrides of configs/bios_bits.py: an architecture at a size, `rows` rows
  of some 6.8 biographies a step."""
  return ARCHITECTURES[name] | scales.PAPER_POOLS | {
      'worlds.bios.people': people, 'evals.bits.people': people,
      'model.heads': 2, 'model.width': WIDTHS[size][name],
      'data.batch_size': rows, 'checkpoint.every': 10_000,
      'steps': round(people * exposures / 6.8 / rows)} | (
          EXPERTS['bios'] if name == 'moe' else {})
