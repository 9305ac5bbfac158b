"""RepVGG (Ding et al., 2101.03697): blocks of three branches in training, one plain 3x3 convolution when deployed."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hwsim.core.errors import UnsupportedError


class RepVGGBlock(nn.Module):
    """ReLU of the sum of a 3x3 convolution, a 1x1 convolution and, where shapes agree, the input, each with its BN."""

    def __init__(self, cin: int, cout: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv3 = nn.Conv2d(cin, cout, 3, stride, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        self.conv1 = nn.Conv2d(cin, cout, 1, stride, groups=groups, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.bn0 = nn.BatchNorm2d(cin) if stride == 1 and cin == cout else None
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn3(self.conv3(x)) + self.bn1(self.conv1(x))
        return self.relu(y if self.bn0 is None else y + self.bn0(x))


class PlainBlock(nn.Module):
    """What a block becomes: a 3x3 convolution with bias, and ReLU."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(x))


class RepVGG(nn.Module):
    """A stack of blocks, average over the map, linear classifier.

    Parameters
    ----------
    blocks : (output channels, stride) of each block.
    """

    def __init__(self, channels: int, blocks: list[tuple[int, int]], classes: int) -> None:
        super().__init__()
        width, stages = channels, []
        for cout, stride in blocks:
            stages.append(RepVGGBlock(width, cout, stride))
            width = cout
        self.blocks = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.flatten(self.pool(self.blocks(x))))


def deploy(model: nn.Module) -> nn.Module:
    """A copy of `model` in eval mode in which every `RepVGGBlock` is one 3x3 convolution with bias.

    Branches are fused in float64 by each batch normalisation's running statistics; a 1x1 kernel is a 3x3 kernel's
    centre, and the identity of a group is a unit centre (2101.03697, section 3.3). The function is kept.

    Raises
    ------
    UnsupportedError
        A batch normalisation without running statistics.
    """
    plain = copy.deepcopy(model).eval()
    for name, module in list(plain.named_modules()):
        if isinstance(module, RepVGGBlock):
            block = PlainBlock(_fused(module, name)).eval()
            if not name:
                return block
            parent, _, own = name.rpartition(".")
            setattr(plain.get_submodule(parent), own, block)
    return plain


def _fused(block: RepVGGBlock, name: str) -> nn.Conv2d:
    old = block.conv3
    with torch.no_grad():
        branches = [_branch(block.conv3.weight, block.bn3, name), _branch(_padded(block.conv1.weight), block.bn1, name)]
        if block.bn0 is not None:
            branches.append(_branch(_identity(old), block.bn0, name))
        weight = torch.stack([kernel for kernel, _ in branches]).sum(dim=0)
        bias = torch.stack([offset for _, offset in branches]).sum(dim=0)
        stride = (old.stride[0], old.stride[1])
        conv = nn.Conv2d(old.in_channels, old.out_channels, 3, stride, 1, groups=old.groups)
        conv.to(device=old.weight.device, dtype=old.weight.dtype)
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)  # type: ignore[union-attr]
    return conv


def _branch(kernel: Tensor, norm: nn.BatchNorm2d, name: str) -> tuple[Tensor, Tensor]:
    """(kernel, bias) of a convolution followed by this batch normalisation in eval mode, in float64."""
    if norm.running_mean is None or norm.running_var is None:
        hint = "track_running_stats=True"
        raise UnsupportedError("a batch normalisation without running statistics", where=name, hint=hint)
    factor = (norm.running_var.double() + norm.eps).rsqrt() * norm.weight.double()
    return kernel.double() * factor[:, None, None, None], norm.bias.double() - norm.running_mean.double() * factor


def _padded(kernel: Tensor) -> Tensor:
    return F.pad(kernel, (1, 1, 1, 1))


def _identity(conv: nn.Conv2d) -> Tensor:
    """The 3x3 kernel that returns its input, for the groups of `conv`."""
    kernel = torch.zeros_like(conv.weight)
    each = conv.in_channels // conv.groups
    rows = torch.arange(conv.out_channels)
    kernel[rows, rows % each, 1, 1] = 1
    return kernel
