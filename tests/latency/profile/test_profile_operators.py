"""Calls made from shapes alone: they compute what the shape says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hwsim.core.errors import InputError, UnsupportedError
from hwsim.latency import shapes
from hwsim.latency.profile.geometry import conv_window, padding
from hwsim.latency.profile.operators import LAYOUTS, Maker, build, moved_bytes
from hwsim.latency.profile.point import Point, read_points, write_points
from hwsim.latency.profile.points import points

pytestmark = pytest.mark.exact

ODD = [
    Point("conv2d", 2, shapes.conv(4, 6, (9, 20), (3, 3))),
    Point("conv2d", 1, shapes.conv(4, 6, (17, 17), (1, 7), padding=(0, 3))),
    Point("conv2d", 1, shapes.conv(4, 6, (12, 12), (4, 4), 2, padding=(1, 1))),
    Point("conv2d", 1, shapes.conv(4, 6, (12, 12), (2, 2), 2, padding=(0, 0))),
    Point("conv2d", 1, shapes.conv(4, 6, (13, 11), (3, 3), padding=(2, 2), dilated=False)),
    Point("conv2d", 1, shapes.conv(8, 4, (10, 40), (5, 3), 2, 4)),
    Point("linear", 3, shapes.linear(1, 5, 7)),
    Point("matmul", 2, shapes.matmul(1, 3, 4, 5)),
]
MEMORY = [
    Point("relu_", 2, shapes.memory(50, 50)), Point("mul", 2, shapes.memory(60, 50)),
    Point("mul", 2, shapes.memory(50, 50)),
    Point("div", 2, shapes.memory(100, 50)), Point("layer_norm", 2, shapes.memory(5 * 64, 5 * 64)),
    Point("softmax", 2, shapes.memory(3 * 49, 3 * 49)), Point("batch_norm", 2, shapes.memory(6 * 81, 6 * 81)),
    Point("group_norm", 2, shapes.memory(32 * 49, 32 * 49)), Point("concat", 2, shapes.memory(51, 51)),
    Point("max_pool2d", 2, shapes.memory(64 * 112 * 112, 64 * 56 * 56)), Point("mean", 2, shapes.memory(640, 64)),
    Point("avg_pool2d", 2, shapes.memory(24 * 56 * 56, 24 * 28 * 28)), Point("avg_pool2d", 1, shapes.memory(49 * 8, 8)),
    Point("max_pool2d", 1, shapes.memory(49 * 8, 8)), Point("permute", 2, shapes.memory(64 * 7, 64 * 7)),
    Point("expand", 2, shapes.memory(8, 64)), Point("memory", 2, shapes.memory(8, 64)),
    Point("memory", 2, shapes.memory(8, 4)),
    Point("max_pool2d", 1, shapes.KernelShape("memory", 0, 0, 0, 0, 5, 7, 3, 3, 2, 6 * 9 * 13, 6 * 5 * 7, 0)),
]  # fmt: skip


def small(point: Point) -> bool:
    return point.batch * point.shape.macs < 3e9 and point.batch * point.shape.read_elements < 3e7


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "point", [p for p in points() if small(p)] + ODD + MEMORY, ids=lambda p: f"{p.operator}-{p.batch}"
)
def test_result_and_products_are_those_of_the_shape(point: Point, layout: str) -> None:
    call = build(point, Maker("fp32", layout, "cpu"))
    with FlopCounterMode(display=False) as counter:
        result = call()
    assert result.numel() == point.batch * point.shape.write_elements
    assert counter.get_total_flops() == 2 * point.batch * point.shape.macs
    if point.shape.out_h > 1:
        assert result.shape[2:] == (point.shape.out_h, point.shape.out_w)


def test_a_dilated_window_is_found_dilated() -> None:
    shape = shapes.conv(4, 6, (16, 16), (3, 3), padding=(1, 1), dilated=True)
    assert shape.kind == "conv" and conv_window(shape).dilation == 2


def test_a_bias_is_there_where_it_is_counted() -> None:
    plain = shapes.linear(4, 8, 16)
    biased = shapes.KernelShape("linear", 1, 4, 16, 8, 1, 1, 1, 1, 1, 32, 64, 8 * 16 + 16)
    torch.manual_seed(0)
    for shape, expected in ((plain, False), (biased, True)):
        call = build(Point("linear", 1, shape), Maker("fp32", "nchw", "cpu"))
        bias = call.__closure__[0].cell_contents  # type: ignore[attr-defined]
        assert (bias is not None) == expected


def test_half_precision_and_bytes() -> None:
    point = Point("conv2d", 2, shapes.conv(4, 6, (8, 8), (3, 3)))
    assert build(point, Maker("bf16", "nhwc", "cpu"))().dtype == torch.bfloat16
    assert moved_bytes(point, "bf16") == 2 * (2 * (4 * 64 + 6 * 64) + 4 * 6 * 9)


def test_what_cannot_be_built_says_so() -> None:
    make = Maker("fp32", "nchw", "cpu")
    transposed = shapes.KernelShape("conv", 1, 256, 8, 36, 16, 16, 3, 3, 2, 4 * 64, 8 * 256, 288)
    for point, words in (
        (Point("conv2d", 1, transposed), "no padding"),
        (Point("relo", 1, shapes.memory(8, 8)), "relu"),
        (Point("relu", 1, shapes.memory(8, 4)), "reads 8 and writes 4"),
        (Point("max_pool2d", 1, shapes.memory(7, 5)), "no pool"),
        (Point("attention", 1, shapes.matmul(1, 2, 2, 2)), "several products"),
    ):
        with pytest.raises(UnsupportedError, match=words):
            build(point, make)


def test_padding() -> None:
    assert padding(224, 112, 7, 2) == 3
    assert padding(56, 56, 3, 1) == 1
    assert padding(8, 16, 3, 1) is None


def test_the_points_cover_every_class() -> None:
    kinds = Counter(point.shape.kind for point in points())
    assert set(kinds) == set(shapes.CLASSES) and 40 <= sum(kinds.values()) <= 60
    assert len(set(points())) == len(points())


def test_points_survive_a_table(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    write_points(path, [*points(), *points()])
    assert read_points(path) == points()
    lines = path.read_text().splitlines()
    for broken, words in (
        ([lines[0].replace("batch", "badge"), *lines[1:]], "'batch' is missing"),
        ([lines[0], lines[1].replace("conv3x3", "conv4x4")], "conv4x4"),
        ([lines[0], lines[1].replace(",8,8,", ",8,x,")], "out_w = 'x'"),
    ):
        path.write_text("\n".join(broken))
        with pytest.raises(InputError) as error:
            read_points(path)
        assert words in str(error.value)
