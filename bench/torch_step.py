"""Tokens/s of a PyTorch decoder of the same shape: a peer for bench/step.py.

  python bench/torch_step.py --shape=V512,D64,L4,N4,T64,B64 [--compile]
      [--dtype=bfloat16] [--json]

Pre-norm GPT-2 blocks with biases, rotary positions on a quarter of the head,
tied embedding, AdamW, clipping: what configs/default.py trains. Needs torch
(`pip install torch`), which the project does not.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import step as ours


def main():
  p = ours.arguments(__doc__)
  p.add_argument('--compile', action='store_true')
  a = p.parse_args()
  try:
    import torch
  except ImportError:
    sys.exit('error: no torch in this environment; pip install torch')
  from torch import nn
  from torch.nn import functional as F

  V, D, L, N, T, B = (a.shape[k] for k in 'VDLNTB')
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  dtype = getattr(torch, a.dtype)

  class Block(nn.Module):
    def __init__(self):
      super().__init__()
      self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
      self.qkv, self.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
      self.up, self.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, x, cos, sin):
      rows, length, _ = x.shape
      q, k, v = self.qkv(self.norm1(x)).view(
          rows, length, 3, N, D // N).permute(2, 0, 3, 1, 4)
      half = cos.shape[-1]

      def rotate(y):
        one, two, rest = y[..., :half], y[..., half:2 * half], y[..., 2 * half:]
        return torch.cat([one * cos - two * sin, two * cos + one * sin, rest],
                         -1)

      y = F.scaled_dot_product_attention(rotate(q), rotate(k), v,
                                         is_causal=True)
      x = x + self.out(y.transpose(1, 2).reshape(rows, length, D))
      h = F.gelu(self.up(self.norm2(x)), approximate='tanh')
      return x + self.down(h)

  class Decoder(nn.Module):
    def __init__(self):
      super().__init__()
      self.table = nn.Embedding(V, D)
      nn.init.normal_(self.table.weight, std=D**-0.5)
      self.blocks = nn.ModuleList(Block() for _ in range(L))
      self.norm = nn.LayerNorm(D)
      half = max(D // N // 8, 1)
      angle = torch.arange(T)[:, None] * 1e4**(-torch.arange(half) / half)
      self.register_buffer('cos', angle.cos().to(dtype))
      self.register_buffer('sin', angle.sin().to(dtype))

    def forward(self, tokens, targets):
      x = self.table(tokens)
      for block in self.blocks:
        x = block(x, self.cos, self.sin)
      logits = self.norm(x) @ self.table.weight.T
      return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

  torch.manual_seed(0)
  model = Decoder().to(device)
  optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
  tokens = torch.randint(2, V, (B, T + 1), device=device)
  run = torch.compile(model) if a.compile else model

  def step(n: int):
    for _ in range(n):
      optimizer.zero_grad(set_to_none=True)
      with torch.autocast(device, dtype, enabled=dtype != torch.float32):
        loss = run(tokens[:, :-1], tokens[:, 1:])
      loss.backward()
      nn.utils.clip_grad_norm_(model.parameters(), 1.0)
      optimizer.step()
    float(loss.detach())  # waits

  speeds = ours.measure(step, B * T, a.seconds)
  ours.print_speed(
      a, 'torch, compiled' if a.compile else 'torch, eager', speeds,
      device=torch.cuda.get_device_name() if device == 'cuda' else 'cpu',
      torch=torch.__version__)


if __name__ == '__main__':
  main()
