"""Depthwise-separable networks, as published: MobileNets, EfficientNet, Once-for-All."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from hwsim.core.workload import Workload
from hwsim.latency.published.builder import NetworkBuilder

# kernel, hidden, out, squeezed, activation, stride (arXiv 1905.02244, tables 1 and 2)
_V3_LARGE = (
    (3, 16, 16, 0, "relu", 1), (3, 64, 24, 0, "relu", 2), (3, 72, 24, 0, "relu", 1), (5, 72, 40, 1, "relu", 2),
    (5, 120, 40, 1, "relu", 1), (5, 120, 40, 1, "relu", 1), (3, 240, 80, 0, "hardswish", 2),
    (3, 200, 80, 0, "hardswish", 1), (3, 184, 80, 0, "hardswish", 1), (3, 184, 80, 0, "hardswish", 1),
    (3, 480, 112, 1, "hardswish", 1), (3, 672, 112, 1, "hardswish", 1), (5, 672, 160, 1, "hardswish", 2),
    (5, 960, 160, 1, "hardswish", 1), (5, 960, 160, 1, "hardswish", 1),
)  # fmt: skip
_V3_SMALL = (
    (3, 16, 16, 1, "relu", 2), (3, 72, 24, 0, "relu", 2), (3, 88, 24, 0, "relu", 1), (5, 96, 40, 1, "hardswish", 2),
    (5, 240, 40, 1, "hardswish", 1), (5, 240, 40, 1, "hardswish", 1), (5, 120, 48, 1, "hardswish", 1),
    (5, 144, 48, 1, "hardswish", 1), (5, 288, 96, 1, "hardswish", 2), (5, 576, 96, 1, "hardswish", 1),
    (5, 576, 96, 1, "hardswish", 1),
)  # fmt: skip


def mobilenet_v1(alpha: float, side: int) -> Workload:
    """MobileNet (arXiv 1704.04861, table 1)."""
    net = NetworkBuilder("mobilenet_v1", (1, 3, side, side))
    x = net.conv_bn("x", int(32 * alpha), 3, s=2, act="relu6")
    widths, strides = (64, 128, 128, 256, 256, *[512] * 6, 1024, 1024), (1, 2, 1, 2, 1, 2, *[1] * 5, 2, 1)
    for cout, stride in zip(widths, strides, strict=True):
        x = net.conv_bn(x, net.shapes[x][1], 3, s=stride, groups=net.shapes[x][1], act="relu6")
        x = net.conv_bn(x, int(cout * alpha), act="relu6")
    return net.workload(net.linear(net.global_pool(x), 1000))


def mobilenet_v2(alpha: float, side: int) -> Workload:
    """MobileNetV2 (arXiv 1801.04381, table 2)."""
    net = NetworkBuilder("mobilenet_v2", (1, 3, side, side))
    x = net.conv_bn("x", divisible(32 * alpha), 3, s=2, act="relu6")
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, c, repeats, stride in stages:
        for unit in range(repeats):
            hidden = net.shapes[x][1] * expand
            x = _inverted(net, x, hidden, 3, stride if unit == 0 else 1, divisible(c * alpha), "relu6", 0)
    x = net.conv_bn(x, max(1280, divisible(1280 * alpha)), act="relu6")
    return net.workload(net.linear(net.global_pool(x), 1000))


def mobilenet_v3(size: str, alpha: float, side: int) -> Workload:
    """MobileNetV3 `large` or `small` (arXiv 1905.02244, tables 1 and 2)."""
    net = NetworkBuilder(f"mobilenet_v3_{size}", (1, 3, side, side))
    x = net.conv_bn("x", divisible(16 * alpha) if alpha >= 0.75 else 16, 3, s=2, act="hardswish")
    cin = 16  # at alpha = 1
    for k, hidden, cout, squeeze, act, stride in _V3_LARGE if size == "large" else _V3_SMALL:
        wide = divisible(net.shapes[x][1] * hidden / cin)
        x = _inverted(net, x, wide, k, stride, divisible(cout * alpha), act, divisible(wide / 4) if squeeze else 0)
        cin = cout
    x = net.conv_bn(x, divisible((960 if size == "large" else 576) * alpha), act="hardswish")
    x = net.act(net.linear(net.global_pool(x), 1280 if size == "large" else 1024), "hardswish")
    return net.workload(net.linear(x, 1000))


def efficientnet(index: int, side: int) -> Workload:
    """EfficientNet-B0..B4 (arXiv 1905.11946, table 1 with the compound scaling of its released models)."""
    width, depth = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2), 3: (1.2, 1.4), 4: (1.4, 1.8)}[index]
    net = NetworkBuilder(f"efficientnet_b{index}", (1, 3, side, side))
    x = net.conv_bn("x", divisible(32 * width), 3, s=2, act="silu")
    stages = (
        (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3),
        (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
    )  # fmt: skip
    for expand, k, stride, c, repeats in stages:
        for unit in range(ceil(repeats * depth)):
            cin, cout = net.shapes[x][1], divisible(c * width)
            x = _inverted(net, x, cin * expand, k, stride if unit == 0 else 1, cout, "silu", max(1, cin // 4))
    x = net.conv_bn(x, divisible(1280 * width), act="silu")
    return net.workload(net.linear(net.global_pool(x), 1000))


def ofa_mobilenet_v3(kernels: Sequence[int], expands: Sequence[int], depths: Sequence[int], side: int) -> Workload:
    """A Once-for-All MobileNetV3 sub-network at width 1.2 (arXiv 1908.09791), four candidate blocks a stage."""
    width = 1.2
    net = NetworkBuilder("ofa_mbv3", (1, 3, side, side))
    stem, first, *stages = (divisible(c * width) for c in (16, 16, 24, 40, 80, 112, 160))
    x = net.conv_bn("x", stem, 3, s=2, act="hardswish")
    x = _inverted(net, x, stem, 3, 1, first, "relu", 0)
    for stage, cout in enumerate(stages):
        act = "relu" if stage < 2 else "hardswish"
        for unit in range(depths[stage]):
            k, expand = kernels[4 * stage + unit], expands[4 * stage + unit]
            hidden = divisible(net.shapes[x][1] * expand)
            squeezed = divisible(hidden // 4) if stage in (1, 3, 4) else 0
            stride = 2 if unit == 0 and stage != 3 else 1
            x = _inverted(net, x, hidden, k, stride, cout, act, squeezed)
    x = net.conv_bn(x, divisible(960 * width), act="hardswish")
    x = net.act(net.linear(net.global_pool(x), divisible(1280 * width)), "hardswish")
    return net.workload(net.linear(x, 1000))


def divisible(channels: float, by: int = 8) -> int:
    """Nearest multiple of `by`, not below 90 % of `channels` (MobileNetV2's released code)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def _inverted(net: NetworkBuilder, x: str, hidden: int, k: int, s: int, cout: int, act: str, squeezed: int) -> str:
    """Inverted residual with optional squeeze-and-excite (arXiv 1801.04381, 1905.02244)."""
    cin = net.shapes[x][1]
    y = net.conv_bn(x, hidden, act=act) if hidden != cin else x
    y = net.conv_bn(y, hidden, k, s=s, groups=hidden, act=act)
    if squeezed:
        y = net.squeeze_excite(y, squeezed, gate="sigmoid" if act == "silu" else "hardsigmoid")
    y = net.conv_bn(y, cout, act=None)
    return net.add(x, y) if s == 1 and cin == cout else y
