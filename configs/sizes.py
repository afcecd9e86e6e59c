"""The model ladder: depth, width and heads by name.

Non-embedding parameters are about 12 * depth * width**2 at MLP ratio 4.
"""

LADDER = {
    'd32': {'depth': 2, 'width': 32, 'heads': 2},
    'd64': {'depth': 4, 'width': 64, 'heads': 4},
    'd96': {'depth': 4, 'width': 96, 'heads': 6},
    'd128': {'depth': 4, 'width': 128, 'heads': 4},
    'd192': {'depth': 6, 'width': 192, 'heads': 6},
    'd256': {'depth': 8, 'width': 256, 'heads': 8},
    'd512': {'depth': 8, 'width': 512, 'heads': 8},
    'gpt2': {'depth': 12, 'width': 768, 'heads': 12},
    'gpt2_bior': {'depth': 12, 'width': 1280, 'heads': 20},
    'gpt2_682m': {'depth': 12, 'width': 2048, 'heads': 32},
}


def size(name: str) -> dict:
  """Overrides {'model.depth': ..., ...} of a size of the ladder."""
  return {f'model.{key}': value for key, value in LADDER[name].items()}
