"""The kernels that `hwsim profile` measures: every operator class, from bare launches to the device's peaks."""

from __future__ import annotations

from hwsim.latency.profile.point import Point
from hwsim.latency.shapes import conv, linear, matmul, memory

# input channels, output channels, side, kernel, stride, groups, batch
_CONVS = (
    (16, 16, 8, 3, 1, 1, 1), (64, 64, 56, 3, 1, 1, 1), (128, 128, 28, 3, 1, 1, 8), (256, 256, 14, 3, 1, 1, 32),
    (64, 64, 56, 3, 1, 1, 32), (512, 512, 7, 3, 1, 1, 64),
    (3, 64, 224, 7, 2, 1, 1), (3, 64, 224, 7, 2, 1, 16), (3, 32, 224, 3, 2, 1, 8), (128, 256, 28, 3, 2, 1, 8),
    (64, 96, 28, 5, 1, 1, 8),
    (64, 64, 14, 1, 1, 1, 1), (64, 256, 56, 1, 1, 1, 1), (256, 64, 56, 1, 1, 1, 8), (1024, 512, 14, 1, 1, 1, 32),
    (512, 2048, 7, 1, 1, 1, 64), (256, 512, 56, 1, 2, 1, 8),
    (32, 32, 14, 3, 1, 32, 1), (32, 32, 112, 3, 1, 32, 8), (144, 144, 56, 3, 2, 144, 16), (240, 240, 28, 5, 2, 240, 8),
    (672, 672, 14, 5, 1, 672, 32), (96, 96, 56, 7, 1, 96, 8),
    (128, 128, 56, 3, 1, 32, 1), (256, 256, 28, 3, 1, 32, 8), (64, 64, 28, 1, 1, 4, 8),
)  # fmt: skip
_LINEARS = (  # rows, inputs, outputs, batch
    (1, 64, 64, 1), (1, 2048, 1000, 1), (1, 4096, 4096, 1), (197, 192, 768, 1),
    (197, 768, 768, 8), (128, 1024, 4096, 32),
)  # fmt: skip
_MATMULS = (  # products, rows, columns, depth, batch
    (3, 49, 49, 32, 1), (12, 197, 197, 64, 1), (12, 197, 64, 197, 8), (16, 512, 512, 64, 8), (16, 1024, 64, 1024, 8)
)  # fmt: skip
_MEMORY = (  # operator, elements read, elements written, batch
    ("relu", 64, 64, 1), ("relu", 802_816, 802_816, 8), ("add", 1_605_632, 802_816, 1), ("add", 1_605_632, 802_816, 16),
    ("gelu", 605_184, 605_184, 8), ("layer_norm", 151_296, 151_296, 1), ("layer_norm", 151_296, 151_296, 32),
    ("softmax", 465_708, 465_708, 1), ("softmax", 465_708, 465_708, 16), ("batch_norm", 802_816, 802_816, 1),
    ("batch_norm", 200_704, 200_704, 32), ("max_pool2d", 802_816, 200_704, 8), ("avg_pool2d", 100_352, 2048, 16),
    ("concat", 401_408, 401_408, 8), ("permute", 151_296, 151_296, 16), ("copy", 3_211_264, 3_211_264, 32),
)  # fmt: skip


def points() -> list[Point]:
    """The points: fifty-three, of all operator classes."""
    found = [
        Point("conv2d", batch, conv(cin, cout, (side, side), (kernel, kernel), stride, groups))
        for cin, cout, side, kernel, stride, groups, batch in _CONVS
    ]
    found += [Point("linear", batch, linear(rows, cin, cout)) for rows, cin, cout, batch in _LINEARS]
    found += [Point("matmul", batch, matmul(count, *product)) for count, *product, batch in _MATMULS]
    return found + [Point(operator, batch, memory(read, write)) for operator, read, write, batch in _MEMORY]
