"""Networks for tests of function-preserving rewrites: each topology that a channel can run through, and random ones."""

from __future__ import annotations

import random
import sys
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.capture.graph import Network, capture
from hwsim.quant.rewrite.fold_batchnorm import fold_batchnorm
from hwsim.quant.rewrite.graph_edits import cast
from hwsim.zoo.networks import NETWORKS

sys.path.insert(0, str(Path(__file__).parent.parent / "capture"))
from topologies import TOPOLOGIES, build


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 6, 3, padding=1)
        self.head = nn.Linear(6 * 16, 5)  # 6 channels of 4 x 4

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.leaky_relu(self.a(x), 0.1), 2)
        return self.head(F.avg_pool2d(F.relu(self.b(x)), 2).flatten(1))


class DenseNet(nn.Module):
    """Each layer reads the concatenation of all before."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.a = nn.Conv2d(6, 4, 3, padding=1)
        self.b = nn.Conv2d(10, 4, 3, padding=1)
        self.head = nn.Conv2d(14, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = torch.cat([x, F.relu(self.a(x))], 1)
        x = torch.cat([x, F.relu(self.b(x))], 1)
        return self.head(x).mean((2, 3))


class Inception(nn.Module):
    """Branches of other kernels and a pooled one, joined; split again into parts."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.one, self.three = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 3, padding=1)
        self.pool = nn.Conv2d(8, 4, 1)
        self.left, self.right = nn.Conv2d(6, 4, 1), nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        pooled = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)
        x = F.relu(torch.cat([self.one(x), self.three(x), self.pool(pooled)], 1))
        left, right = x.split(6, 1)
        return self.head(F.relu(self.left(left) - self.right(right)).amax((2, 3)))


class SqueezeExcite(nn.Module):
    """A gate in [0, 1] on a rectified tensor, and a product of two tensors that both could change."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.project = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x))
        gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        y = (gate * y) * F.relu(self.b(x))
        return self.head(F.relu(self.project(y)).mean((2, 3)))


class ConvNeXt(nn.Module):
    """Depthwise convolution, layer normalisation and perceptron on channels-last, layer scale, residual sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.LayerNorm(8)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        self.scale = nn.Parameter(torch.rand(8))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.depth(x).permute(0, 2, 3, 1))
        y = self.scale * self.down(F.gelu(self.up(y)))
        x = F.relu(x + y.permute(0, 3, 1, 2))
        return self.head(x.mean((-2, -1)))


class Shared(nn.Module):
    """One convolution called twice in a row, one linear layer that reads two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.twice = nn.Conv2d(6, 6, 3, padding=1)
        self.left, self.right = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1)
        self.both = nn.Linear(6, 4)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.twice(F.relu(self.twice(F.relu(self.stem(x))))))
        left, right = F.relu(self.left(x)).mean((2, 3)), F.relu(self.right(x)).mean((2, 3))
        return self.head(torch.cat([F.relu(self.both(left)), F.relu(self.both(right))], 1))


class Shuffle(nn.Module):
    """Grouped convolutions with a channel shuffle, pixel shuffle, resizing, a selection by constant indices."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 1)
        self.b = nn.Conv2d(8, 16, 3, padding=1, groups=4)
        self.c = nn.Conv2d(4, 6, 3, padding=1, groups=2)
        self.register_buffer("order", torch.tensor([3, 1, 0, 2]))
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        n, c, h, w = x.shape
        x = x.reshape(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)
        x = F.pixel_shuffle(F.relu6(self.b(x)), 2)[:, self.order]
        x = F.interpolate(F.relu(self.c(x)), scale_factor=0.5, mode="bilinear")
        return self.head(F.hardtanh(x, 0.0, 0.5).mean((2, 3)))


class Hostile(nn.Module):
    """Operators without a rule, constants in sums, two-sided clips, choices that depend on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 6, 1) for _ in range(6)])
        self.tail = nn.ModuleList([nn.Conv2d(6, 6, 1) for _ in range(6)])
        self.shift = nn.Parameter(torch.rand(1, 6, 1, 1))
        self.head = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d, e, f = (layer(x) for layer in self.layers)
        best = torch.gather(e, 1, e.argmax(1, keepdim=True).expand(-1, 6, -1, -1))
        parts = (torch.sin(a), b + self.shift, F.hardtanh(c), d.clamp(0.1, 2), best, torch.where(f > 0.3, f, 0.5))
        y = sum(layer(part) for layer, part in zip(self.tail, parts, strict=True))
        return self.head(F.relu(y).mean((2, 3)))


class Attention(nn.Module):
    """Two heads of values that nothing but a product mixes, with keys that are also values elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(12)
        self.q, self.k, self.v = nn.Linear(12, 8), nn.Linear(12, 8), nn.Linear(12, 8)
        self.out = nn.Linear(8, 12)
        self.self_out = nn.Linear(8, 12)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)

        def heads(t: Tensor) -> Tensor:
            return t.reshape(t.shape[0], t.shape[1], 2, 4).transpose(1, 2)

        q, k, v = heads(self.q(y)), heads(self.k(y)), heads(self.v(y))
        mixed = (torch.softmax(q @ k.transpose(-2, -1), -1) @ v).transpose(1, 2).flatten(2)
        same = F.scaled_dot_product_attention(k, k, k).transpose(1, 2).flatten(2)
        return (x + self.out(mixed) + self.self_out(same)).mean(1)


class Drawn(nn.Module):
    """A network drawn at random: a pool of maps of equal size, on which random operators work."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.steps: list[tuple[str, int, int, str]] = []
        self.layers = nn.ModuleDict()
        draw = random.Random(seed)
        widths = [4]
        self.layers["stem"] = nn.Conv2d(3, 4, 1)
        for index in range(draw.randint(6, 14)):
            kind = draw.choice(KINDS)
            a, b = draw.randrange(len(widths)), draw.randrange(len(widths))
            width, name = widths[a], f"layer{index}"
            kind = "relu" if width % 2 and kind in ("grouped", "transposed") else kind
            if kind == "conv":
                width = draw.choice([2, 4, 8])
                self.layers[name] = nn.Conv2d(widths[a], width, 3, padding=1, bias=draw.random() < 0.7)
            elif kind == "grouped":
                self.layers[name] = nn.Conv2d(width, 2 * width, 3, padding=1, groups=2)
                width *= 2
            elif kind == "depthwise":
                self.layers[name] = nn.Conv2d(width, width, 3, padding=1, groups=width)
            elif kind == "transposed":
                self.layers[name] = nn.ConvTranspose2d(width, 4, 3, padding=1, groups=2)
                width = 4
            elif kind == "linear":
                self.layers[name] = nn.Linear(width, 4)
                width = 4
            elif kind == "norm":
                self.layers[name] = nn.GroupNorm(1, width)
            elif kind in ("add", "mul", "maximum", "minimum"):
                b = draw.choice([i for i, w in enumerate(widths) if w == width])
            elif kind == "cat":
                width += widths[b]
            elif kind == "half":
                width = max(width // 2, 1)
            self.steps.append((kind, a, b, name))
            widths.append(width)
        self.layers["head"] = nn.Linear(widths[-1] + widths[0], 5)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.layers["stem"](x)]
        for kind, a, b, name in self.steps:
            layer = self.layers[name] if name in self.layers else None  # noqa: SIM401  (no `get`)
            maps.append(_drawn(kind, maps[a], maps[b], layer))
        return self.layers["head"](torch.cat([maps[-1], maps[0]], 1).mean((2, 3)))


KINDS = (
    "conv conv conv grouped depthwise transposed linear norm relu relu relu relu6 clamp hardswish leaky add add mul "
    "maximum minimum cat cat half pool pad mean roll neg constant"
).split()


def _drawn(kind: str, x: Tensor, y: Tensor, layer: nn.Module | None) -> Tensor:
    if layer is not None:
        return layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if kind == "linear" else layer(x)
    half = x.shape[1] // 2
    made = {
        "relu": lambda: F.relu(x),
        "relu6": lambda: F.relu6(8 * x),
        "clamp": lambda: x.clamp(0, 0.5),
        "hardswish": lambda: F.hardswish(x),
        "leaky": lambda: F.leaky_relu(x, 0.2),
        "add": lambda: x + y,
        "mul": lambda: x * y,
        "maximum": lambda: torch.maximum(x, y),
        "minimum": lambda: torch.minimum(x, y),
        "cat": lambda: torch.cat([x, y], 1),
        "half": lambda: x[:, half : half + max(half, 1)],
        "pool": lambda: F.max_pool2d(x, 3, 1, 1),
        "pad": lambda: F.pad(x, (1, 0, 0, 1))[:, :, :-1, 1:],
        "mean": lambda: x - x.mean((2, 3), keepdim=True),
        "roll": lambda: torch.roll(x, 1, 1),
        "neg": lambda: -x,
        "constant": lambda: x + 0.25,
    }
    return made[kind]()


IMAGE = torch.zeros(1, 3, 16, 16)
OWN: dict[str, tuple[type[nn.Module], Tensor]] = {
    "plain": (Plain, IMAGE),
    "densenet": (DenseNet, IMAGE),
    "inception": (Inception, IMAGE),
    "squeeze_excite": (SqueezeExcite, IMAGE),
    "convnext": (ConvNeXt, IMAGE),
    "shared": (Shared, IMAGE),
    "shuffle": (Shuffle, IMAGE),
    "hostile": (Hostile, IMAGE),
    "attention": (Attention, torch.zeros(1, 6, 12)),
}
ZOO = ("digits_resnet", "resnet20", "mobilenet_small", "vit_tiny", "unet_tiny", "mlp")
NAMES = (*OWN, *TOPOLOGIES, *ZOO)


@lru_cache
def made(name: str) -> tuple[Network, Tensor]:
    """A network in float64, normalisations folded, channels of uneven scale, and inputs; not to be changed."""
    torch.manual_seed(0)
    if name in OWN:
        kind, example = OWN[name]
        model, x = kind().eval(), torch.randn(3, *example.shape[1:])
    elif name in TOPOLOGIES:
        model, x = build(name)
    else:
        entry = NETWORKS[name]
        model, x = entry.factory(), torch.randn(2, *entry.input_shape[1:])
    return uneven(model, x, name)


@lru_cache
def drawn(seed: int) -> tuple[Network, Tensor]:
    """A random network as `made` gives it."""
    torch.manual_seed(seed)
    return uneven(Drawn(seed).eval(), torch.randn(3, 3, 6, 6), f"drawn{seed}")


def uneven(model: nn.Module, x: Tensor, name: str) -> tuple[Network, Tensor]:
    """Rows of convolutions and linear layers times log-normal factors, so that there is something to even out."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                factor = torch.randn(len(module.weight), generator=generator).mul(0.7).exp()
                module.weight *= factor.reshape(-1, *[1] * (module.weight.dim() - 1))
    network = cast(fold_batchnorm(capture(model, x[:1], name=name)), torch.float64)
    return network, x.double() if x.is_floating_point() else x


def difference(before: Network, after: Network, x: Tensor) -> float:
    """max|difference| / max|output|."""
    with torch.inference_mode():
        reference, changed = before(x), after(x)
    assert float(reference.abs().max()) > 1e-3
    assert float(reference.std(0).max()) > 1e-5 * float(reference.abs().max())  # it depends on the input
    return float((reference - changed).abs().max() / reference.abs().max())
