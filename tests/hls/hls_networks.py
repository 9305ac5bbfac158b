"""Small networks of every topology that an HLS project can be made of, and their quantized forms."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.capture.graph import capture
from hwsim.core.assignment import Policy
from hwsim.quant.calibration import calibrate
from hwsim.quant.model import QuantizedModel
from hwsim.quant.pipeline import quantize_network
from hwsim.quant.recipe import parse_recipe
from hwsim.quant.rewrite.fold_batchnorm import fold_batchnorm


class Tiny(nn.Module):
    """A convolution of a rectangular map, a pooling, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.fc = nn.Linear(3 * 2 * 3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1))


class Residual(nn.Module):
    """Batch normalisation, a sum that reads the network's input, a strided block with a projected shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.b = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.c = nn.Conv2d(6, 6, 3, padding=1)
        self.s = nn.Conv2d(3, 6, 1, stride=2)
        self.fc = nn.Linear(6 * 3 * 5, 7)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.n(self.a(x)) + x)
        z = self.c(F.relu(self.b(y))) + self.s(y)
        return self.fc(torch.flatten(F.relu(z), 1))


class Branches(nn.Module):
    """Three branches of different kernels, concatenated and pooled; the classifier sees a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3, padding=1)
        self.b = nn.Conv2d(2, 3, 1)
        self.c = nn.Conv2d(2, 2, 5, padding=2)
        self.d = nn.Conv2d(9, 8, 3, padding=1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([F.relu(self.a(x)), self.b(x), F.relu(self.c(x))], 1)
        y = F.relu(self.d(F.max_pool2d(y, 2)))
        return self.fc(F.adaptive_avg_pool2d(F.avg_pool2d(y, 2), 1).flatten(1))


class Depthwise(nn.Module):
    """Depthwise and grouped convolutions, ReLU6 and a two-sided clamp."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.d = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.p = nn.Conv2d(8, 12, 1)
        self.g = nn.Conv2d(12, 12, 3, padding=1, groups=3)
        self.e = nn.Conv2d(12, 12, 3, padding=1, stride=2, groups=12, bias=False)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.d(F.relu6(self.a(x))))
        y = F.relu(self.g(F.relu(self.p(y))))
        return self.fc(F.hardtanh(self.e(y), -0.5, 0.75).mean((2, 3)))


class Signal(nn.Module):
    """One-dimensional maps: strided, depthwise, pooled twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv1d(2, 6, 5, padding=2)
        self.b = nn.Conv1d(6, 8, 3, stride=2, padding=1)
        self.d = nn.Conv1d(8, 8, 3, padding=1, groups=8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.b(F.max_pool1d(F.relu(self.a(x)), 2)))
        y = F.avg_pool1d(F.relu(self.d(y) + y), 4)
        return self.fc(F.adaptive_avg_pool1d(y, 1).flatten(1))


class Decoder(nn.Module):
    """An even kernel with `same` padding, explicit zeros, nearest upsampling, a map as output."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(1, 4, 2, padding="same")
        self.b = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.c = nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x))
        z = F.interpolate(F.relu(self.b(F.pad(y, (1, 0, 0, 1)))), scale_factor=2, mode="nearest")
        return self.c(torch.cat([F.pad(y, (1, 1, 1, 1)), z], 1))


class Heads(nn.Module):
    """A flattened map read by two linear layers, whose results are concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3, padding=1)
        self.f, self.g, self.h = nn.Linear(96, 10), nn.Linear(96, 10), nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x).flatten(1))
        return self.h(torch.cat([F.relu(self.f(y)), self.g(y)], 1))


class PointwiseHead(nn.Module):
    """A pooling that changes nothing but is quantized, and a 1x1 convolution as classifier behind a global one."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 1)
        self.c = nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.adaptive_avg_pool2d(F.relu(self.a(x)), (4, 8))
        return self.c(F.adaptive_avg_pool2d(F.relu(self.b(y)), 1)).flatten(1)


class Perceptron(nn.Module):
    """Linear layers with a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.g, self.h = nn.Linear(20, 32), nn.Linear(32, 32, bias=False), nn.Linear(32, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.f(x))
        return self.h(y + F.relu(self.g(y)))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "tiny": (Tiny, (1, 4, 6)),
    "residual": (Residual, (3, 6, 10)),
    "branches": (Branches, (2, 8, 16)),
    "depthwise": (Depthwise, (3, 16, 8)),
    "signal": (Signal, (2, 32)),
    "decoder": (Decoder, (1, 6, 8)),
    "heads": (Heads, (2, 6, 4)),
    "pointwise_head": (PointwiseHead, (3, 4, 8)),
    "perceptron": (Perceptron, (20,)),
}


def quantized(name: str, weights: str = "int4", acts: str | None = None, **policy: object) -> QuantizedModel:
    """One of the networks with random weights whose channels differ widely in size."""
    build = NETWORKS[name][0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = build().eval()
        for p in model.parameters():
            if p.dim() > 1:
                p.data *= torch.exp(0.7 * torch.randn(p.shape[0], *[1] * (p.dim() - 1)))
            else:
                p.data += 0.3 * torch.randn_like(p)
    return quantize(model, samples(name, 64), weights, acts, name=name, **policy)


def quantize(
    model: nn.Module, x: Tensor, weights: str = "int4", acts: str | None = None, *, name: str = "net", **policy: object
) -> QuantizedModel:
    """Any module, calibrated on `x`; scales are powers of two unless the formats say otherwise."""
    network = fold_batchnorm(capture(model.eval(), x[:1], name=name))
    chosen = Policy(weights=weights, acts=acts or weights, **({"scale": "pow2"} | policy))  # type: ignore[arg-type]
    return quantize_network(calibrate(network, x), chosen, parse_recipe("rtn"))


def samples(name: str, rows: int, seed: int = 0) -> Tensor:
    """Inputs of a network, some of them beyond the range that calibration saw."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, *NETWORKS[name][1], generator=generator) * (1.0 if seed == 0 else 1.5)
