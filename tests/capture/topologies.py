"""Networks of many shapes for tests of capture and quantization. Weights are random and seeded by the caller."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residual(nn.Module):
    """Pre-residual convolution, in-place ReLU shared by two calls, projection shortcut, functional pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.a = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.b = nn.Conv2d(16, 16, 3, padding=1)
        self.short = nn.Conv2d(8, 16, 1, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.stem(x)))
        y = self.b(self.relu(self.a(x)))
        y += self.short(x)
        return self.head(F.relu(y).mean((2, 3)))


class Dense(nn.Module):
    """Concatenations, a grouped and a dilated convolution, max and average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, padding=1)
        self.b = nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=3)
        self.c = nn.Conv2d(12, 4, 1)
        self.head = nn.Linear(4 * 4 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        a = F.max_pool2d(F.relu(self.a(x)), 2)
        b = torch.cat([a, F.relu(self.b(a))], 1)
        return self.head(F.avg_pool2d(F.relu(self.c(b)), 2).flatten(1))


class Depthwise(nn.Module):
    """Depthwise separable convolutions with ReLU6, hard-swish and squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(3, 12, 1, bias=False)
        self.bn = nn.BatchNorm2d(12)
        self.depth = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.squeeze = nn.Conv2d(12, 4, 1)
        self.excite = nn.Conv2d(4, 12, 1)
        self.project = nn.Conv2d(12, 6, 1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.depth(F.relu6(self.bn(self.expand(x)))))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return self.head(self.project(x * gate).amax((2, 3)))


class UNet(nn.Module):
    """Transposed convolutions, grouped ones among them, and a skip concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.mid = nn.Conv2d(8, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2, groups=2)
        self.out = nn.ConvTranspose2d(11, 5, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.up(F.relu(self.mid(F.relu(self.down(x))))))
        return self.out(torch.cat([x, y], 1)).mean((2, 3))


class Sequence(nn.Module):
    """Embedding, 1-d convolution, self-attention (module and functional), layer normalisation, GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(50, 16)
        self.conv = nn.Conv1d(16, 16, 3, padding=1)
        self.attend = nn.MultiheadAttention(16, 4, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.query = nn.Linear(16, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, t: Tensor) -> Tensor:
        x = self.tokens(t)
        x = x + self.conv(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.attend(self.norm(x), self.norm(x), self.norm(x), need_weights=False)[0]
        scores = torch.softmax(self.query(x) @ x.transpose(1, 2) / 4, -1)
        return self.head(F.gelu(scores @ x).mean(1))


class Volume(nn.Module):
    """3-d convolutions and pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv3d(2, 4, 3, padding=1)
        self.b = nn.Conv3d(4, 4, (1, 3, 3), stride=(1, 2, 2))
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool3d(F.relu(self.b(F.relu(self.a(x)))), 2).mean((2, 3, 4)))


IMAGE = torch.zeros(1, 3, 16, 16)
TOPOLOGIES: dict[str, tuple[type[nn.Module], Tensor]] = {
    "residual": (Residual, IMAGE),
    "dense": (Dense, IMAGE),
    "depthwise": (Depthwise, IMAGE),
    "unet": (UNet, IMAGE),
    "sequence": (Sequence, torch.zeros(1, 12, dtype=torch.int64)),
    "volume": (Volume, torch.zeros(1, 2, 6, 12, 12)),
}


def build(name: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """A network with non-trivial normalisation statistics, and four random input rows."""
    torch.manual_seed(seed)
    kind, example = TOPOLOGIES[name]
    model = kind().eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3.0)
    if example.is_floating_point():
        return model, torch.randn(4, *example.shape[1:])
    return model, torch.randint(0, 50, (4, *example.shape[1:]))
