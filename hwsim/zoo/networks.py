"""The registry of built-in networks: small, seeded, one entry each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from hwsim.core.errors import InputError, nearest
from hwsim.zoo.bccd import CLASSES, SIZE
from hwsim.zoo.convnets import MobileNet, ResidualNet, UNet
from hwsim.zoo.detection_head import HeadSpec
from hwsim.zoo.detector import GridDetector
from hwsim.zoo.repvgg import RepVGG, deploy
from hwsim.zoo.transformers import VisionTransformer


@dataclass(frozen=True, slots=True)
class NetworkEntry:
    """One built-in network.

    Attributes
    ----------
    name, summary : for listings.
    build : makes the module with fresh weights from torch's current random state.
    input_shape : with batch 1.
    data : the built-in data set it reads, or None.
    trained : `zoo:NAME` has trained weights (on first use); else seeded random ones, for speed and cost only.
    source : the network it is made from by `convert`, whose trained weights it has; or None.
    convert : from the source to this network, keeping its function.
    head : how to read its output where it is a detector's, or None.
    """

    name: str
    summary: str
    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    data: str | None = None
    trained: bool = False
    source: str | None = None
    convert: Callable[[nn.Module], nn.Module] | None = None
    head: HeadSpec | None = None

    def factory(self, seed: int = 0) -> nn.Module:
        """The network with seeded weights, in eval mode; torch's own random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.build()
            if not self.trained:
                _settle_statistics(model, self.input_shape)
            return model.eval()


def network(name: str) -> NetworkEntry:
    """The built-in network of this name; InputError with the nearest name if there is none."""
    if name not in NETWORKS:
        raise InputError(f"no built-in network named {name!r}", where=f"zoo:{name}", hint=nearest(name, NETWORKS))
    return NETWORKS[name]


def _settle_statistics(model: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Give batch normalisations the statistics of noise, so that untrained activations have a sane range."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        norm.momentum = None  # one pass sets the statistics to those of this batch
    with torch.no_grad():
        model.train()(torch.randn(8, *input_shape[1:]))
    for norm in norms:
        norm.momentum = 0.1


def _digits_resnet() -> nn.Module:
    return ResidualNet(1, 8, 8, [(8, 1), (16, 2), (16, 1)], 10)


def _resnet20() -> nn.Module:
    return ResidualNet(3, 32, 16, [(16, 1)] * 3 + [(32, 2)] + [(32, 1)] * 2 + [(64, 2)] + [(64, 1)] * 2, 10)


def _mobilenet_small() -> nn.Module:
    blocks = [(1, 16, 1), (4, 24, 2), (4, 24, 1), (4, 32, 2), (4, 32, 1), (4, 64, 2), (4, 64, 1)]
    return MobileNet(16, blocks, 128, 10)


def _mlp() -> nn.Module:
    layers: list[tuple[str, nn.Module]] = [("flatten", nn.Flatten())]
    for i, (fan_in, fan_out) in enumerate([(64, 64), (64, 32)], start=1):
        layers += [(f"fc{i}", nn.Linear(fan_in, fan_out)), (f"relu{i}", nn.ReLU())]
    return nn.Sequential(OrderedDict([*layers, ("classifier", nn.Linear(32, 10))]))


def _fashion_resnet() -> nn.Module:
    return ResidualNet(1, 28, 16, [(16, 1), (32, 2), (64, 2)], 10, stride=2)


def _fashion_mobilenet() -> nn.Module:
    blocks = [(1, 16, 1), (4, 24, 2), (4, 24, 1), (4, 32, 2), (4, 32, 1)]
    return MobileNet(16, blocks, 128, 10, channels=1, stride=2)


def _fashion_repvgg() -> nn.Module:
    blocks = [(16, 2), *[(16, 1)] * 3, (32, 2), *[(32, 1)] * 3, (64, 2), (64, 1)]
    return RepVGG(1, blocks, 10)


_DIGITS = (1, 1, 8, 8)
_FASHION = (1, 1, 28, 28)
_CIFAR = (1, 3, 32, 32)
NETWORKS: dict[str, NetworkEntry] = {
    entry.name: entry
    for entry in (
        NetworkEntry(
            "digits_resnet", "residual CNN of three blocks for digits", _digits_resnet, _DIGITS, "digits", True
        ),
        NetworkEntry("mlp", "perceptron 64-64-32-10 for digits", _mlp, _DIGITS, "digits", True),
        NetworkEntry("resnet20", "ResNet-20 for 3x32x32 images, untrained", _resnet20, _CIFAR),
        NetworkEntry("mobilenet_small", "narrow MobileNetV2 for 3x32x32 images, untrained", _mobilenet_small, _CIFAR),
        NetworkEntry(
            "vit_tiny",
            "vision transformer, 4 blocks of width 64, for 3x32x32 images, untrained",
            lambda: VisionTransformer(32, 4, 64, 4, 4, 10),
            _CIFAR,
        ),
        NetworkEntry(
            "unet_tiny",
            "U-Net of three scales for 3x32x32 images, untrained",
            lambda: UNet(3, 16, 4),
            _CIFAR,
        ),
        NetworkEntry(
            "fashion_resnet", "ResNet-8 of widths 16, 32, 64", _fashion_resnet, _FASHION, "fashion_mnist", True
        ),
        NetworkEntry(
            "fashion_mobilenet", "narrow MobileNetV2 with ReLU6", _fashion_mobilenet, _FASHION, "fashion_mnist", True
        ),
        NetworkEntry(
            "fashion_repvgg_train",
            "RepVGG of ten blocks as trained, with its branches",
            _fashion_repvgg,
            _FASHION,
            "fashion_mnist",
            True,
        ),
        NetworkEntry(
            "fashion_repvgg",
            "the same as deployed: plain 3x3 convolutions",
            lambda: deploy(_fashion_repvgg()),
            _FASHION,
            "fashion_mnist",
            True,
            source="fashion_repvgg_train",
            convert=deploy,
        ),
        NetworkEntry(
            "fashion_vit",
            "vision transformer, 4 blocks of width 64",
            lambda: VisionTransformer(28, 7, 64, 4, 4, 10, channels=1),
            _FASHION,
            "fashion_mnist",
            True,
        ),
        NetworkEntry(
            "bccd_detector",
            "convolutional detector of one scale for blood cells, 3x120x160",
            lambda: GridDetector(16, 3, len(CLASSES)),
            (1, 3, *SIZE),
            "bccd",
            True,
            head=HeadSpec(CLASSES, 8, SIZE),
        ),
    )
}
