"""A small detector of one scale: convolutions at stride 8, one prediction a cell (FCOS-like, 1904.01355)."""

from __future__ import annotations

from collections import OrderedDict
from math import log

import torch
from torch import Tensor, nn

from hwsim.zoo.convnets import ResidualBlock, conv_bn

_PRIOR = 0.02  # score of every cell before training (Lin et al., 1708.02002, section 4.1)


class GridDetector(nn.Module):
    """Two strided convolutions, residual blocks to stride 8, and a head of class logits and box; read by `HeadSpec`.

    Parameters
    ----------
    width : channels of the stem; the blocks have twice and four times as many.
    blocks : residual blocks at stride 8.
    classes : kinds of objects.
    """

    def __init__(self, width: int, blocks: int, classes: int) -> None:
        super().__init__()
        wide = 4 * width
        self.stem = nn.Sequential(OrderedDict([*conv_bn(3, width, stride=2), ("relu", nn.ReLU())]))
        self.down = nn.Sequential(OrderedDict([*conv_bn(width, 2 * width, stride=2), ("relu", nn.ReLU())]))
        first = ResidualBlock(2 * width, wide, 2)
        self.blocks = nn.Sequential(first, *[ResidualBlock(wide, wide, 1) for _ in range(blocks - 1)])
        self.neck = nn.Sequential(OrderedDict([*conv_bn(wide, wide), ("relu", nn.ReLU())]))
        self.head = nn.Conv2d(wide, classes + 4, 1)
        with torch.no_grad():
            self.head.weight[:classes].mul_(0.1)
            self.head.bias[:classes] = log(_PRIOR / (1 - _PRIOR))  # type: ignore[index]
            self.head.bias[classes:] = 0  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.neck(self.blocks(self.down(self.stem(x)))))
