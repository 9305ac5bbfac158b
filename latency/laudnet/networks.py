"""The networks of LAUDNet's figures as lists of blocks, and their static latency.

Its predictor counts blocks only: no stem, head, pooling, batch norm or activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from hwsim.core.errors import InputError, nearest
from hwsim.latency.laudnet.machine import Faults, Machine, chosen, machine
from hwsim.latency.laudnet.operators import add_us, conv_us, copy_us, squeeze_excite_us
from hwsim.latency.shapes import KernelShape, conv


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """1x1, kxk, 1x1 convolution with residual sum, on a square map of side `side`.

    Attributes
    ----------
    stage : 0..3, where it lies.
    cin, width, cout : channels in, of the two inner maps, out.
    side : of its input.
    stride : of the 3x3 convolution and of the downsampling one.
    groups : of the 3x3 convolution.
    gated : whether squeeze-and-excitation follows the 3x3 convolution.
    """

    stage: int
    cin: int
    width: int
    cout: int
    side: int
    stride: int = 1
    groups: int = 1
    gated: bool = False

    @property
    def out_side(self) -> int:
        return self.side // self.stride

    @property
    def convs(self) -> tuple[KernelShape, KernelShape, KernelShape]:
        size, inner = (self.side, self.side), (self.out_side, self.out_side)
        return (
            conv(self.cin, self.width, size, (1, 1)),
            conv(self.width, self.width, size, (3, 3), self.stride, self.groups),
            conv(self.width, self.cout, inner, (1, 1)),
        )

    @property
    def shortcut(self) -> KernelShape | None:
        """The downsampling convolution, if the shape changes."""
        if self.stride == 1 and self.cin == self.cout:
            return None
        return conv(self.cin, self.cout, (self.side, self.side), (1, 1), self.stride)

    @property
    def out_elements(self) -> int:
        return self.cout * self.out_side**2


def shortcut_us(block: Bottleneck, gpu: Machine, batch: int, faults: Faults) -> float:
    """The downsampling convolution of a block, 0 if it has none."""
    if block.shortcut is None or (faults.downsample and block.stride == 1):
        return 0.0
    return conv_us(block.shortcut, gpu, batch, faults)


def body_us(block: Bottleneck, gpu: Machine, batch: int, faults: Faults) -> float:
    """A block without its downsampling convolution."""
    convs = sum(conv_us(kernel, gpu, batch, faults) for kernel in block.convs)
    gate = 0.0
    if block.gated:
        gate = squeeze_excite_us(block.width, block.width * block.out_side**2, gpu, batch, faults)
    return convs + gate + add_us(block.out_elements, gpu, batch)


def resnet_blocks(depths: tuple[int, ...]) -> tuple[Bottleneck, ...]:
    """ResNet bottlenecks at 224 x 224 (arXiv 1512.03385, table 1), the stride in the 3x3 convolution."""
    blocks, cin, side = [], 64, 56
    for stage, depth in enumerate(depths):
        width = 64 << stage
        for index in range(depth):
            blocks.append(Bottleneck(stage, cin, width, 4 * width, side, 2 if stage and not index else 1))
            cin, side = 4 * width, blocks[-1].out_side
    return tuple(blocks)


def regnet_blocks(widths: tuple[int, ...], depths: tuple[int, ...], group_width: int) -> tuple[Bottleneck, ...]:
    """RegNetY blocks at 224 x 224 (arXiv 2003.13678), squeeze-and-excitation in each."""
    blocks, cin, side = [], 32, 112
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for index in range(depth):
            stride = 1 if index else 2
            blocks.append(Bottleneck(stage, cin, width, width, side, stride, width // group_width, True))
            cin, side = width, blocks[-1].out_side
    return tuple(blocks)


BOTTLENECKS: Final = {
    "resnet50": resnet_blocks((3, 4, 6, 3)),
    "resnet101": resnet_blocks((3, 4, 23, 3)),
    "regnety_400m": regnet_blocks((48, 104, 208, 440), (1, 3, 6, 6), 8),
    "regnety_800m": regnet_blocks((64, 144, 320, 784), (1, 3, 8, 2), 16),
}
TRANSFORMERS: Final = {"t2t_vit_19": (19, 448, 7, 3, 197)}  # depth, width, heads, MLP ratio, tokens: arXiv 2101.11986


def transformer_us(
    depth: int, width: int, heads: int, ratio: int, tokens: int, gpu: Machine, batch: int, faults: Faults
) -> float:
    """Encoder blocks, every product a 1x1 convolution on a map of `tokens` x 1 whose groups are the heads.

    Keys and values count as weights, once a launch whatever the batch. No softmax, no GELU.
    """
    layer = partial(conv, size=(tokens, 1), kernel=(1, 1))
    products = (
        layer(width, 3 * width), layer(width, tokens * heads, groups=heads), layer(tokens * heads, width, groups=heads),
        layer(width, width), layer(width, ratio * width), layer(ratio * width, width),
    )  # fmt: skip
    each = sum(conv_us(product, gpu, batch, faults) for product in products)
    rest = add_us(tokens * width, gpu, batch) + copy_us(tokens * width, gpu, batch)
    return depth * (each + 2 * rest)


def static_latency_ms(
    network: str, gpu: Machine | str, batch: int | None = None, faults: Faults | bool = True
) -> float:
    """Latency of a network without dynamic inference, milliseconds per image.

    Parameters
    ----------
    network : `resnet50`, `resnet101`, `regnety_400m`, `regnety_800m` or `t2t_vit_19`.
    gpu : a machine or the name of one.
    batch : None takes the machine's, which its figures are for.
    faults : True keeps the faults of the released equations, False corrects them.

    Raises
    ------
    InputError
        For an unknown network or machine.
    """
    device = machine(gpu) if isinstance(gpu, str) else gpu
    images, kept = device.batch if batch is None else batch, chosen(faults)
    if network in TRANSFORMERS:
        return transformer_us(*TRANSFORMERS[network], device, images, kept) / 1e3 / images
    blocks = network_blocks(network)
    total = sum(body_us(block, device, images, kept) + shortcut_us(block, device, images, kept) for block in blocks)
    return total / 1e3 / images


def network_blocks(network: str) -> tuple[Bottleneck, ...]:
    """The blocks of a convolutional network.

    Raises
    ------
    InputError
        For an unknown network.
    """
    if network not in BOTTLENECKS:
        known = (*BOTTLENECKS, *TRANSFORMERS)
        raise InputError(f"no network {network!r} in LAUDNet's predictor", hint=nearest(network, known))
    return BOTTLENECKS[network]
