"""Residual, plain, inception and dense convolutional networks, as published.

The `slim` variants follow the TensorFlow-Slim definitions that NVIDIA's Jetson tables were measured on: its ResNets
take the stride in the last unit of a stage, its Inception v1 has 3x3 for 5x5.
"""

from __future__ import annotations

from hwsim.core.workload import Workload
from hwsim.latency.published.builder import NetworkBuilder

RESNET_UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
VGG_CONVS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
DENSENET = {121: (32, 64, (6, 12, 24, 16)), 161: (48, 96, (6, 12, 36, 24)), 169: (32, 64, (6, 12, 32, 32)),
            201: (32, 64, (6, 12, 48, 32))}  # fmt: skip
_INCEPTION_V1 = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def resnet(
    depth: int, side: int, *, groups: int = 1, width: int = 64, slim: bool = False, squeeze: bool = False
) -> Workload:
    """ResNet (arXiv 1512.03385, stride in the 3x3), ResNeXt (1611.05431), wide (1605.07146), SE-ResNet (1709.01507)."""
    net = NetworkBuilder(f"resnet{depth}", (1, 3, side, side))
    x = net.pool(net.conv_bn("x", 64, 7, s=2), "max_pool2d", 3, s=2)
    for stage, units in enumerate(RESNET_UNITS[depth]):
        for unit in range(units):
            strided = stage < 3 and unit == units - 1 if slim else stage > 0 and unit == 0
            stride, base = 2 if strided else 1, 64 << stage
            if depth < 50:
                y = net.conv_bn(net.conv_bn(x, base, 3, s=stride), base, 3, act=None)
            else:
                inner = groups * base * width // 64
                y = net.conv_bn(net.conv_bn(x, inner), inner, 3, s=stride, groups=groups)
                y = net.conv_bn(y, 4 * base, act=None)
            if squeeze:
                y = net.squeeze_excite(y, net.shapes[y][1] // 16, gate="sigmoid")
            if net.shapes[y][1] != net.shapes[x][1] or (stride > 1 and not slim):
                x = net.conv_bn(x, net.shapes[y][1], s=stride, act=None)
            elif stride > 1:
                x = net.pool(x, "max_pool2d", 1, s=2)
            x = net.act(net.add(y, x))
    return net.workload(net.linear(net.global_pool(x), 1000))


def darknet53(side: int) -> Workload:
    """Darknet-53 (arXiv 1804.02767, table 1)."""
    net = NetworkBuilder("darknet53", (1, 3, side, side))
    x = net.conv_bn("x", 32, 3, act="leaky_relu")
    for cout, units in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        x = net.conv_bn(x, cout, 3, s=2, act="leaky_relu")
        for _ in range(units):
            x = net.add(x, net.conv_bn(net.conv_bn(x, cout // 2, act="leaky_relu"), cout, 3, act="leaky_relu"))
    return net.workload(net.linear(net.global_pool(x), 1000))


def vgg(depth: int, side: int, *, batch_norm: bool = False) -> Workload:
    """VGG (arXiv 1409.1556, table 1)."""
    net, x = NetworkBuilder(f"vgg{depth}", (1, 3, side, side)), "x"
    for stage, convs in enumerate(VGG_CONVS[depth]):
        for _ in range(convs):
            cout = min(64 << stage, 512)
            x = net.conv_bn(x, cout, 3) if batch_norm else net.act(net.conv(x, cout, 3))
        x = net.pool(x, "max_pool2d", 2, s=2, p="valid")
    _, c, h, w = net.shapes[x]
    x = net.reshape(x, (1, c * h * w))
    x = net.act(net.linear(net.act(net.linear(x, 4096)), 4096))
    return net.workload(net.linear(x, 1000))


def densenet(depth: int, side: int) -> Workload:
    """DenseNet (arXiv 1608.06993, table 1): norm, activation, convolution in this order."""
    growth, stem, blocks = DENSENET[depth]
    net = NetworkBuilder(f"densenet{depth}", (1, 3, side, side))
    x = net.pool(net.conv_bn("x", stem, 7, s=2), "max_pool2d", 3, s=2)
    for index, layers in enumerate(blocks):
        parts = [x]
        for _ in range(layers):
            x = net.concat(parts) if len(parts) > 1 else x
            y = net.conv_bn(net.norm_act(x), 4 * growth)
            parts.append(net.conv(y, growth, 3))
        x = net.concat(parts)
        if index < 3:
            y = net.conv(net.norm_act(x), net.shapes[x][1] // 2)
            x = net.pool(y, "avg_pool2d", 2, s=2, p="valid")
    return net.workload(net.linear(net.global_pool(net.norm_act(x)), 1000))


def inception_v1(side: int) -> Workload:
    """Inception v1 (arXiv 1409.4842, table 1) with 3x3 for 5x5."""
    net = NetworkBuilder("inception_v1", (1, 3, side, side))
    x = net.pool(net.conv_bn("x", 64, 7, s=2), "max_pool2d", 3, s=2)
    x = net.pool(net.conv_bn(net.conv_bn(x, 64), 192, 3), "max_pool2d", 3, s=2)
    for index, (a, b1, b2, c1, c2, d) in enumerate(_INCEPTION_V1):
        if index in (2, 7):
            x = net.pool(x, "max_pool2d", 3, s=2)
        branches = [net.conv_bn(x, a), net.conv_bn(net.conv_bn(x, b1), b2, 3), net.conv_bn(net.conv_bn(x, c1), c2, 3)]
        x = net.concat([*branches, net.conv_bn(net.pool(x, "max_pool2d", 3, s=1), d)])
    return net.workload(net.linear(net.global_pool(x), 1000))


def inception_v3(side: int) -> Workload:
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
        wide = chain(x, (64, 1), (96, 3), (96, 3))
        x = net.concat([net.conv_bn(x, 64), chain(x, (48, 1), (64, 5)), wide, pooled(x, cout)])
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
        left, right = net.conv_bn(x, 384), chain(x, (448, 1), (384, 3))
        ends: tuple[tuple[int, int], ...] = ((1, 3), (3, 1))
        split = [chain(y, (384, k)) for y in (left, right) for k in ends]
        x = net.concat([net.conv_bn(x, 320), *split, pooled(x, 192)])
    return net.workload(net.linear(net.global_pool(x), 1000))


def nasbench201(arch: str, side: int = 32) -> Workload:
    """A NAS-Bench-201 network (arXiv 2001.00326, figure 1): `|op~input|+|...|+|...|`, 16-32-64 channels, five cells."""
    nodes = [[edge.split("~")[0] for edge in node.strip("|").split("|")] for node in arch.split("+")]
    net = NetworkBuilder("nasbench201", (1, 3, side, side))
    x = net.conv_bn("x", 16, 3, act=None)
    for stage, c in enumerate((16, 32, 64)):
        if stage:
            y = net.conv_bn(net.conv_bn(x, c, 3, s=2), c, 3, act=None)
            x = net.add(y, net.conv(net.pool(x, "avg_pool2d", 2, s=2, p="valid"), c))
        for _ in range(5):
            values = [x]
            for edges in nodes:
                terms = [_edge(net, op, values[i]) for i, op in enumerate(edges) if op != "none"]
                total = terms[0] if terms else values[0]
                for term in terms[1:]:
                    total = net.add(total, term)
                values.append(total)
            x = values[-1]
    return net.workload(net.linear(net.global_pool(net.norm_act(x)), 10))


def _edge(net: NetworkBuilder, op: str, x: str) -> str:
    if op.startswith("nor_conv"):
        cout = net.shapes[x][1]
        y = net.conv(net.act(x), cout, int(op[-1]))
        return net.norm(y)
    return net.pool(x, "avg_pool2d", 3, s=1) if op.startswith("avg_pool") else x
