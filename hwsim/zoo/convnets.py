"""Convolutional networks of the zoo: residual, depthwise separable, and encoder-decoder."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


def conv_bn(cin: int, cout: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[tuple[str, nn.Module]]:
    """A convolution that keeps the size (at stride 1), without bias, and its batch normalisation."""
    conv = nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [("conv", conv), ("bn", nn.BatchNorm2d(cout))]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected 1x1 where shapes differ (He et al., 1512.03385)."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or cin != cout:
            self.shortcut = nn.Sequential(OrderedDict(conv_bn(cin, cout, kernel=1, stride=stride)))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResidualNet(nn.Module):
    """Stem, residual blocks, average over the whole map, linear classifier.

    Parameters
    ----------
    channels, size : of the square input.
    blocks : (output channels, stride) of each residual block.
    stride : of the stem.
    """

    def __init__(
        self, channels: int, size: int, stem: int, blocks: list[tuple[int, int]], classes: int, stride: int = 1
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(OrderedDict([*conv_bn(channels, stem, stride=stride), ("relu", nn.ReLU())]))
        width, size, stages = stem, -(-size // stride), []
        for cout, step in blocks:
            stages.append(ResidualBlock(width, cout, step))
            width, size = cout, -(-size // step)
        self.blocks = nn.Sequential(*stages)
        self.pool = nn.AvgPool2d(size)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.flatten(self.pool(self.blocks(self.stem(x)))))


class InvertedResidual(nn.Module):
    """Expand, depthwise 3x3, project, with a shortcut where shapes agree (Sandler et al., 1801.04381)."""

    def __init__(self, cin: int, cout: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = cin * expand
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if expand != 1:
            layers["expand"] = nn.Sequential(OrderedDict([*conv_bn(cin, wide, 1), ("relu", nn.ReLU6())]))
        depthwise = conv_bn(wide, wide, 3, stride, groups=wide)
        layers["depthwise"] = nn.Sequential(OrderedDict([*depthwise, ("relu", nn.ReLU6())]))
        layers["project"] = nn.Sequential(OrderedDict(conv_bn(wide, cout, 1)))
        self.layers = nn.Sequential(layers)
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        return x + y if self.residual else y


class MobileNet(nn.Module):
    """A narrow MobileNetV2.

    Parameters
    ----------
    blocks : (expansion, output channels, stride) of each inverted residual block.
    channels, stride : of the input, of the stem.
    """

    def __init__(
        self,
        stem: int,
        blocks: list[tuple[int, int, int]],
        head: int,
        classes: int,
        channels: int = 3,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(OrderedDict([*conv_bn(channels, stem, stride=stride), ("relu", nn.ReLU6())]))
        width, stages = stem, []
        for expand, cout, step in blocks:
            stages.append(InvertedResidual(width, cout, step, expand))
            width = cout
        self.blocks = nn.Sequential(*stages)
        self.head = nn.Sequential(OrderedDict([*conv_bn(width, head, 1), ("relu", nn.ReLU6())]))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(head, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.flatten(self.pool(self.head(self.blocks(self.stem(x))))))


class DoubleConv(nn.Sequential):
    """Two conv-BN-ReLU in a row."""

    def __init__(self, cin: int, cout: int) -> None:
        first = nn.Sequential(OrderedDict([*conv_bn(cin, cout), ("relu", nn.ReLU())]))
        super().__init__(first, nn.Sequential(OrderedDict([*conv_bn(cout, cout), ("relu", nn.ReLU())])))


class UNet(nn.Module):
    """Encoder and decoder of three scales joined by concatenation (Ronneberger et al., 1505.04597)."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.down1 = DoubleConv(channels, width)
        self.down2 = DoubleConv(width, 2 * width)
        self.middle = DoubleConv(2 * width, 4 * width)
        self.pool = nn.MaxPool2d(2)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.join2 = DoubleConv(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join1 = DoubleConv(2 * width, width)
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down1(x)
        coarse = self.down2(self.pool(fine))
        y = self.middle(self.pool(coarse))
        y = self.join2(torch.cat([coarse, self.up2(y)], dim=1))
        y = self.join1(torch.cat([fine, self.up1(y)], dim=1))
        return self.classifier(y)
