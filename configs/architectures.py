"""Architectures of Part 3.3, sections 7 and 9, and of Part 4.1, with Canon
layers before and in attention: {name: {key: value}}.

No overrides: GPT-2 with rotary embeddings on a quarter of each head. `moe` also
needs model.num_experts.
"""

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
