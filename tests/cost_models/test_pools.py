"""Pools: priced as the units that they are made of, and alike by whatever words they are asked for."""

from __future__ import annotations

from dataclasses import replace

import cost_networks as nets
import pytest

from hwsim.core.errors import UnsupportedError
from hwsim.core.scaled import parse
from hwsim.cost_models.composed import composed, price_of
from hwsim.cost_models.layers.windows import _divided
from hwsim.cost_models.operators.lanes import largest
from hwsim.cost_models.rtl.compare import Kind
from hwsim.cost_models.rtl.pool import StreamMaxPool


@pytest.mark.truth
@pytest.mark.parametrize(("acts", "kind"), [("uint8", "uint"), ("e2m1", "minifloat"), ("int4", "int")])
def test_a_max_pool_is_the_sum_of_its_generated_units(acts: str, kind: Kind) -> None:
    shape = (1, 16, 10, 12)
    made = nets.alone(nets.max_pool("pool", "x", shape), shape, acts).layers[0]
    parts = composed(StreamMaxPool(16, parse(acts).bits, kind, 12, 10).parts()).counts
    assert made.lut - made.terms["fifo"] == pytest.approx(parts.lut, rel=0.01)


@pytest.mark.exact
def test_wide_windows_compare_as_one_unit() -> None:
    shape = (1, 8, 9, 9)
    layer = replace(nets.max_pool("pool", "x", shape, 3), stride=(2, 2), out_shape=(1, 8, 4, 4))
    made = nets.alone(layer, shape, "e2m1").layers[0]
    tree = price_of("max_pool", {"taps": 9, "bits": 4, "kind": "minifloat"}).counts.lut
    assert made.terms["comparators"] == 8 * tree


@pytest.mark.exact
def test_pools_by_other_words_cost_the_same() -> None:
    shape = (1, 8, 8, 8)
    plain = nets.max_pool("pool", "x", shape)
    adaptive = replace(plain, op="adaptive_max_pool2d", kernel=(), stride=(), padding=(), dilation=())
    assert nets.alone(adaptive, shape).layers[0].terms == nets.alone(plain, shape).layers[0].terms
    spread = replace(nets.max_pool("pool", "x", shape, 3), dilation=(2, 2), out_shape=(1, 8, 2, 2))  # windows overlap
    assert nets.alone(spread, shape).layers[0].terms["window control"] > 0


@pytest.mark.exact
def test_pools_over_planes_keep_a_plane_of_results() -> None:
    shape = (1, 4, 8, 8, 8)
    deep = replace(nets.max_pool("pool", "x", shape), kernel=(2, 1, 1), stride=(2, 1, 1), out_shape=(1, 4, 4, 8, 8))
    flat = replace(nets.max_pool("pool", "x", shape), kernel=(1, 1, 2), stride=(1, 1, 2), out_shape=(1, 4, 8, 8, 4))
    kept = [nets.alone(layer, shape, "int8").layers[0].terms.get("line buffers", 0.0) for layer in (deep, flat)]
    assert kept[0] >= 64 * 4 * 8 / 64 > kept[1]  # 64 results of 32 bits in LUTs of 64 bits each, against one


@pytest.mark.exact
@pytest.mark.parametrize(("taps", "luts"), [(2, 1), (4, 1), (9, 2), (784, 157)])
def test_the_largest_of_bits_is_any_of_them(taps: int, luts: int) -> None:
    (term,) = largest(taps, 1, "uint").terms
    assert term.lut == luts


@pytest.mark.exact
def test_a_window_of_one_costs_nothing() -> None:
    shape = (1, 8, 8, 8)
    layer = replace(nets.max_pool("pool", "x", shape), kernel=(1, 1), stride=(2, 2), out_shape=(1, 8, 4, 4))
    made = nets.alone(layer, shape).layers[0]
    assert made.lut == made.terms.get("fifo", 0.0)


@pytest.mark.exact
@pytest.mark.parametrize(("out", "taps"), [(3, 16), (5, 9), (7, 4)])
def test_windows_of_an_output_size_that_does_not_divide_overlap(out: int, taps: int) -> None:
    """Of 8 rows to 3, torch's windows have 3, 4 and 3 rows, to 5 up to 3, to 7 two each."""
    shape = (1, 8, 8, 8)
    plain = nets.max_pool("pool", "x", shape)
    layer = replace(plain, op="adaptive_max_pool2d", kernel=(), stride=(), out_shape=(1, 8, out, out))
    made = nets.alone(layer, shape, "int8").layers[0]
    tree = price_of("max_pool", {"taps": taps, "bits": 8, "kind": "int"}).counts.lut
    assert made.terms["window control"] > 0 and made.terms["comparators"] == 8 * tree
    mean = nets.alone(replace(layer, op="adaptive_avg_pool2d"), shape, "int8").layers[0]
    assert mean.terms["window sizes"] > 0  # unequal windows need a division of their own


@pytest.mark.exact
@pytest.mark.parametrize(("rows", "out"), [(8, 3), (8, 5), (7, 4), (7, 5), (9, 4), (13, 6)])
def test_uneven_windows_are_torchs(rows: int, out: int) -> None:
    """The most inputs that reach one output of torch's adaptive pool, by brute force."""
    import torch

    x = torch.eye(rows).unsqueeze(1)
    reached = (torch.nn.functional.adaptive_avg_pool1d(x, out) > 0).squeeze(1).sum(0)
    assert _divided((rows,), (out,))[0] == (int(reached.max()),)


@pytest.mark.exact
def test_pools_that_enlarge_are_refused_by_name() -> None:
    shape = (1, 8, 8, 8)
    plain = nets.max_pool("pool", "x", shape)
    layer = replace(plain, op="adaptive_max_pool2d", kernel=(), stride=(), out_shape=(1, 8, 12, 12))
    with pytest.raises(UnsupportedError, match=r"layer pool.*enlarges, 8 x 8 to 12 x 12"):
        nets.alone(layer, shape)
