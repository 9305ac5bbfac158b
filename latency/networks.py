"""Published networks that measured tables name, as `Workload`s: what the fit and the evaluation predict.

Architectures by their papers; the `slim` variants by the TensorFlow-Slim model definitions that NVIDIA's Jetson tables
were measured on (its ResNets take the stride in the last unit of a stage, its Inception v1 has 3x3 for 5x5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

from hwsim.core.errors import InputError, nearest
from hwsim.core.workload import Workload
from hwsim.latency.network_builder import NetworkBuilder

_RESNET_UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_VGG_CONVS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def resnet(depth: int, side: int = 224, *, groups: int = 1, width: int = 64, slim: bool = False) -> Workload:
    """ResNet (arXiv 1512.03385, stride in the 3x3), ResNeXt (1611.05431) and wide ResNet (1605.07146)."""
    net = NetworkBuilder(f"resnet{depth}", (1, 3, side, side))
    x = net.pool(net.conv_bn("x", 64, 7, s=2), "max_pool2d", 3, s=2)
    for stage, units in enumerate(_RESNET_UNITS[depth]):
        for unit in range(units):
            strided = stage < 3 and unit == units - 1 if slim else stage > 0 and unit == 0
            stride, base = 2 if strided else 1, 64 << stage
            if depth < 50:
                y = net.conv_bn(net.conv_bn(x, base, 3, s=stride), base, 3, act=None)
            else:
                inner = groups * base * width // 64
                y = net.conv_bn(net.conv_bn(x, inner), inner, 3, s=stride, groups=groups)
                y = net.conv_bn(y, 4 * base, act=None)
            if net.shapes[y][1] != net.shapes[x][1] or (stride > 1 and not slim):
                x = net.conv_bn(x, net.shapes[y][1], s=stride, act=None)
            elif stride > 1:
                x = net.pool(x, "max_pool2d", 1, s=2)
            x = net.act(net.add(y, x))
    return net.workload(net.linear(net.global_pool(x), 1000))


def vgg(depth: int, side: int = 224, *, batch_norm: bool = False) -> Workload:
    """VGG (arXiv 1409.1556)."""
    net, x = NetworkBuilder(f"vgg{depth}", (1, 3, side, side)), "x"
    for stage, convs in enumerate(_VGG_CONVS[depth]):
        for _ in range(convs):
            cout = min(64 << stage, 512)
            x = net.conv_bn(x, cout, 3) if batch_norm else net.act(net.conv(x, cout, 3))
        x = net.pool(x, "max_pool2d", 2, s=2, p="valid")
    _, c, h, w = net.shapes[x]
    x = net.reshape(x, (1, c * h * w))
    x = net.act(net.linear(net.act(net.linear(x, 4096)), 4096))
    return net.workload(net.linear(x, 1000))


def mobilenet_v1(alpha: float = 1.0, side: int = 224) -> Workload:
    """MobileNet (arXiv 1704.04861, table 1)."""
    net = NetworkBuilder("mobilenet_v1", (1, 3, side, side))
    x = net.conv_bn("x", int(32 * alpha), 3, s=2, act="relu6")
    for cout, stride in zip((64, 128, 128, 256, 256, *[512] * 6, 1024, 1024), (1, 2, 1, 2, 1, 2, *[1] * 5, 2, 1), strict=True):
        x = net.conv_bn(x, net.shapes[x][1], 3, s=stride, groups=net.shapes[x][1], act="relu6")
        x = net.conv_bn(x, int(cout * alpha), act="relu6")
    return net.workload(net.linear(net.global_pool(x), 1000))


def inception_v1(side: int = 224) -> Workload:
    """Inception v1 (arXiv 1409.4842, table 1) with 3x3 for 5x5 as in TensorFlow-Slim."""
    net = NetworkBuilder("inception_v1", (1, 3, side, side))
    x = net.pool(net.conv_bn("x", 64, 7, s=2), "max_pool2d", 3, s=2)
    x = net.pool(net.conv_bn(net.conv_bn(x, 64), 192, 3), "max_pool2d", 3, s=2)
    table = (
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    )  # fmt: skip
    for index, (a, b1, b2, c1, c2, d) in enumerate(table):
        if index in (2, 7):
            x = net.pool(x, "max_pool2d", 3, s=2)
        branches = [net.conv_bn(x, a), net.conv_bn(net.conv_bn(x, b1), b2, 3), net.conv_bn(net.conv_bn(x, c1), c2, 3)]
        x = net.concat([*branches, net.conv_bn(net.pool(x, "max_pool2d", 3, s=1), d)])
    return net.workload(net.linear(net.global_pool(x), 1000))


def inception_v3(side: int = 299) -> Workload:
    """Inception v3 (arXiv 1512.00567; widths of the released model)."""
    net = NetworkBuilder("inception_v3", (1, 3, side, side))
    x = net.conv_bn(net.conv_bn("x", 32, 3, s=2, p="valid"), 32, 3, p="valid")
    x = net.pool(net.conv_bn(x, 64, 3), "max_pool2d", 3, s=2, p="valid")
    x = net.pool(net.conv_bn(net.conv_bn(x, 80), 192, 3, p="valid"), "max_pool2d", 3, s=2, p="valid")

    def chain(x: str, *steps: tuple[int, int | tuple[int, int]]) -> str:
        for cout, k in steps:
            x = net.conv_bn(x, cout, k)
        return x

    def pooled(x: str, cout: int) -> str:
        return net.conv_bn(net.pool(x, "avg_pool2d", 3, s=1), cout)

    for cout in (32, 64, 64):
        x = net.concat(
            [net.conv_bn(x, 64), chain(x, (48, 1), (64, 5)), chain(x, (64, 1), (96, 3), (96, 3)), pooled(x, cout)]
        )
    shrink = net.conv_bn(chain(x, (64, 1), (96, 3)), 96, 3, s=2, p="valid")
    shrunk = net.pool(x, "max_pool2d", 3, s=2, p="valid")
    x = net.concat([net.conv_bn(x, 384, 3, s=2, p="valid"), shrink, shrunk])
    for c in (128, 160, 160, 192):
        twice = chain(x, (c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7)))
        x = net.concat([net.conv_bn(x, 192), chain(x, (c, 1), (c, (1, 7)), (192, (7, 1))), twice, pooled(x, 192)])
    a = net.conv_bn(net.conv_bn(x, 192), 320, 3, s=2, p="valid")
    b = net.conv_bn(chain(x, (192, 1), (192, (1, 7)), (192, (7, 1))), 192, 3, s=2, p="valid")
    x = net.concat([a, b, net.pool(x, "max_pool2d", 3, s=2, p="valid")])
    for _ in range(2):
        b, c2 = net.conv_bn(x, 384), chain(x, (448, 1), (384, 3))
        split = [chain(y, (384, k)) for y in (b, c2) for k in ((1, 3), (3, 1))]
        x = net.concat([net.conv_bn(x, 320), *split, pooled(x, 192)])
    return net.workload(net.linear(net.global_pool(x), 1000))


def efficientnet(index: int, side: int) -> Workload:
    """EfficientNet-B0..B4 (arXiv 1905.11946, table 1 with the compound scaling of its released models)."""
    width, depth = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2), 3: (1.2, 1.4), 4: (1.4, 1.8)}[index]
    net = NetworkBuilder(f"efficientnet_b{index}", (1, 3, side, side))
    x = net.conv_bn("x", divisible(32 * width), 3, s=2, act="silu")
    stages = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1))  # fmt: skip
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
    y = net.reshape(net.act(net.linear(net.global_pool(x), divisible(1280 * width)), "hardswish"), (1, divisible(1280 * width)))
    return net.workload(net.linear(y, 1000))


def vit(width: int, heads: int, side: int = 224, patch: int = 16, depth: int = 12) -> Workload:
    """Vision transformer (arXiv 2010.11929, table 1)."""
    net = NetworkBuilder("vit", (1, 3, side, side))
    grid = side // patch
    x = net.reshape(net.conv("x", width, patch, s=patch, p="valid"), (1, grid * grid + 1, width))
    for _ in range(depth):
        y = net.layer_norm(x)
        y = net.attention(*(net.linear(y, width) for _ in range(3)), heads=heads)
        x = net.add(x, net.linear(y, width))
        y = net.act(net.linear(net.layer_norm(x), 4 * width), "gelu")
        x = net.add(x, net.linear(y, width))
    return net.workload(net.linear(net.reshape(net.layer_norm(x), (1, width)), 1000))


def published(name: str, side: int) -> Workload:
    """A network by the name that the measured tables use.

    Raises
    ------
    InputError
        For a name that is not one of `PUBLISHED`.
    """
    if name not in PUBLISHED:
        raise InputError(f"no network named {name!r}", where="measured table", hint=nearest(name, PUBLISHED))
    return PUBLISHED[name](side)


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


PUBLISHED: dict[str, Callable[[int], Workload]] = {
    **{f"resnet{d}": (lambda side, d=d: resnet(d, side)) for d in _RESNET_UNITS},
    **{f"resnet_v1_{d}": (lambda side, d=d: resnet(d, side, slim=True)) for d in (50, 101, 152)},
    **{f"vgg{d}": (lambda side, d=d: vgg(d, side)) for d in _VGG_CONVS},
    **{f"vgg{d}_bn": (lambda side, d=d: vgg(d, side, batch_norm=True)) for d in _VGG_CONVS},
    **{f"efficientnet_b{i}": (lambda side, i=i: efficientnet(i, side)) for i in range(5)},
    "resnet50_v1.5": lambda side: resnet(50, side),
    "resnext50_32x4d": lambda side: resnet(50, side, groups=32, width=4),
    "resnext101_32x4d": lambda side: resnet(101, side, groups=32, width=4),
    "resnext101_32x8d": lambda side: resnet(101, side, groups=32, width=8),
    "wide_resnet50_2": lambda side: resnet(50, side, width=128),
    "vgg_16": lambda side: vgg(16, side),
    "inception_v1": inception_v1,
    "inception_v3": inception_v3,
    "mobilenet_v1_0p25_128": lambda side: mobilenet_v1(0.25, side),
    "mobilenet_v1_0p5_160": lambda side: mobilenet_v1(0.5, side),
    "mobilenet_v1_1p0_224": lambda side: mobilenet_v1(1.0, side),
    "mobilenetv1_100": lambda side: mobilenet_v1(1.0, side),
    "vit_small_patch16_224": lambda side: vit(384, 6, side),
    "vit_base_patch16_224": lambda side: vit(768, 12, side),
    "vit_large_patch16_224": lambda side: vit(1024, 16, side, depth=24),
}
