"""Networks for the tests of exchange: the shapes that exports meet, quantized on random rows."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

import hwsim
from hwsim.quant.model import QuantizedModel


class Mixed(nn.Module):
    """Residual, depthwise, grouped transposed convolution, concatenation, attention: one of each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2, groups=2)
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False)
        self.project = nn.Linear(16, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        y = x + nn.functional.silu(self.depth(x))
        y = torch.cat([y, self.down(torch.relu(self.up(y)))], 1)
        tokens = self.project(y.flatten(2).transpose(1, 2))
        tokens = tokens + nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.head(tokens.mean(1))


def rows(count: int = 16, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


@cache
def mixed(weights: str, acts: str, scale: str = "f32") -> QuantizedModel:
    """The network above in formats; made once a test run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Mixed().eval()
    return hwsim.quantize(net, rows(), weights=weights, acts=acts, scale=scale).model  # type: ignore[arg-type]


def relative(found: Tensor, expected: Tensor) -> float:
    """Largest difference over largest magnitude."""
    return float((found - expected).abs().max() / expected.abs().max())
