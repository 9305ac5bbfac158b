"""Three small networks that need torch alone, whose times tell how kernels of a device add up to a network.

Each takes 3 x 64 x 64 images and is a MODEL: `hwsim predict hwsim.latency.profile.small_networks:residual`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

SIDE = 64
NAMES = ("residual", "depthwise", "encoder")


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 1512.03385)."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(cin, cout, 3, stride)
        self.second = _convolution(cout, cout, 3)
        self.shortcut = _convolution(cin, cout, 1, stride) if (cin, stride) != (cout, 1) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.shortcut(x) + self.second(functional.relu(self.first(x))))


class Inverted(nn.Module):
    """Wide, then depthwise, then narrow again, with a shortcut where the size stays (Sandler et al., 1801.04381)."""

    def __init__(self, cin: int, cout: int, stride: int, wide: int = 4) -> None:
        super().__init__()
        self.widen = _convolution(cin, wide * cin, 1)
        self.depthwise = _convolution(wide * cin, wide * cin, 3, stride, wide * cin)
        self.narrow = _convolution(wide * cin, cout, 1)
        self.same = (cin, stride) == (cout, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrow(functional.relu6(self.depthwise(functional.relu6(self.widen(x)))))
        return x + y if self.same else y


class Block(nn.Module):
    """Attention and a perceptron, each behind a layer normalisation (Dosovitskiy et al., 2010.11929)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        heads = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.proj(y.transpose(1, 2).reshape(batch, tokens, width))
        z: Tensor = self.fc2(functional.gelu(self.fc1(self.norm2(x))))
        return x + z


class Tokens(nn.Module):
    """Patches of an image as a sequence."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.patches(x)
        return y.flatten(2).transpose(1, 2)


class MeanOf(nn.Module):
    """The mean over some axes."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.axes)


def residual() -> nn.Module:
    """A residual network of nine blocks: 650 million multiply-accumulates an image."""
    blocks = [Residual(32, 32, 1) for _ in range(3)]
    blocks += [Residual(32, 64, 2), Residual(64, 64, 1), Residual(64, 64, 1)]
    blocks += [Residual(64, 128, 2), Residual(128, 128, 1), Residual(128, 128, 1)]
    return nn.Sequential(_convolution(3, 32, 3), nn.ReLU(), *blocks, MeanOf(2, 3), nn.Linear(128, 100))


def depthwise() -> nn.Module:
    """A network of nine inverted bottlenecks: 45 million multiply-accumulates an image."""
    blocks = [Inverted(24, 24, 1) for _ in range(3)]
    blocks += [Inverted(24, 48, 2), Inverted(48, 48, 1), Inverted(48, 48, 1)]
    blocks += [Inverted(48, 96, 2), Inverted(96, 96, 1), Inverted(96, 96, 1)]
    return nn.Sequential(_convolution(3, 24, 3, 2), nn.ReLU6(), *blocks, MeanOf(2, 3), nn.Linear(96, 100))


def encoder() -> nn.Module:
    """A transformer encoder of six blocks on 64 patches: 182 million multiply-accumulates an image."""
    blocks = [Block(192, 3) for _ in range(6)]
    return nn.Sequential(Tokens(192, 8), *blocks, nn.LayerNorm(192), MeanOf(1), nn.Linear(192, 100))


def _convolution(cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    options: dict[str, Any] = {"groups": groups, "bias": False}
    return nn.Sequential(nn.Conv2d(cin, cout, kernel, stride, kernel // 2, **options), nn.BatchNorm2d(cout))
