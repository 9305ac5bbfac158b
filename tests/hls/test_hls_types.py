"""Grids and fixed-point types: as narrow as possible, and never too narrow."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.core.codes import WeightCodes
from hwsim.core.errors import UnsupportedError
from hwsim.core.formats import Int, int_format, uint_format
from hwsim.core.scaled import parse
from hwsim.hls.fixed import Grid, exponents_of_powers, of_values, quantized
from hwsim.hls.weights import products

bounds = st.integers(-(1 << 20), 1 << 20)
grids = st.builds(
    lambda e, a, b: Grid(e, min(a, b), max(a, b)), st.integers(-6, 4), st.integers(-9, 9), st.integers(-9, 9)
)


def holds(bits: int, signed: bool, low: int, high: int) -> bool:
    least = -(1 << (bits - 1)) if signed else 0
    return bits >= 1 and least <= low and high <= (1 << (bits - signed)) - 1


@pytest.mark.property
@given(bounds, bounds, st.integers(-30, 30))
def test_type_is_the_narrowest_that_holds_the_grid(a: int, b: int, exponent: int) -> None:
    grid = Grid(exponent, min(a, b), max(a, b))
    kind = grid.type
    assert kind.exponent == exponent
    assert kind.signed == (grid.low < 0)
    assert holds(kind.bits, kind.signed, grid.low, grid.high)
    if kind.bits > 1 + kind.signed:  # no type is narrower than one bit beside the sign
        assert not holds(kind.bits - 1, kind.signed, grid.low, grid.high)


@pytest.mark.property
@given(grids, grids)
def test_sums_and_unions_hold_every_pair(x: Grid, y: Grid) -> None:
    values = [[k * 2.0**g.exponent for k in range(g.low, g.high + 1)] for g in (x, y)]
    total, both = x.plus(y), x.union(y)
    sums = {a + b for a, b in product(*values)}
    assert min(sums) == total.low * 2.0**total.exponent and max(sums) == total.high * 2.0**total.exponent
    assert min(map(min, values)) == both.low * 2.0**both.exponent
    assert max(map(max, values)) == both.high * 2.0**both.exponent
    for value in (*values[0], *values[1]):
        assert float(value / 2.0**both.exponent).is_integer()


@pytest.mark.property
@given(grids, st.integers(0, 3))
def test_means_fall_on_the_grid_of_the_mean(grid: Grid, steps: int) -> None:
    made = grid.mean(steps)
    rng = np.random.default_rng(0)
    picks = rng.integers(grid.low, grid.high + 1, (50, 1 << steps)).mean(axis=1) * 2.0**grid.exponent
    codes = np.ldexp(picks, -made.exponent)
    assert np.array_equal(codes, np.rint(codes))
    assert made.low <= codes.min() and codes.max() <= made.high


@pytest.mark.property
@given(st.lists(st.integers(-(1 << 24), 1 << 24), min_size=1, max_size=8), st.integers(-40, 20))
def test_of_values_is_the_coarsest_grid(codes: list[int], exponent: int) -> None:
    values = np.ldexp(np.array(codes, float), exponent)
    grid = of_values(values)
    scaled = np.ldexp(values, -grid.exponent)
    assert np.array_equal(scaled, np.rint(scaled))
    found = scaled[values != 0] if any(codes) else np.zeros(1)
    assert (grid.low, grid.high) == (found.min(), found.max())
    if any(codes):
        assert (found.astype(np.int64) & 1).any()


def test_clamps_move_the_ends_of_a_grid() -> None:
    grid = Grid(-2, -10, 20)
    assert grid.at_least(0.0) == Grid(-2, 0, 20)
    assert grid.at_most(0.75) == Grid(-2, -10, 3)
    assert grid.at_most(0.125) == Grid(-3, -20, 1)
    assert grid.at_least(7.0) == Grid(-2, 28, 28)


def test_powers_of_two_are_told_from_other_scales() -> None:
    assert exponents_of_powers(np.array([0.25, 1.0, 64.0])).tolist() == [-2, 0, 6]  # type: ignore[union-attr]
    for bad in (0.3, 0.0, -0.5, np.inf, np.nan):
        assert exponents_of_powers(np.array([1.0, bad])) is None


@pytest.mark.parametrize(
    ("fmt", "text"),
    [
        (int_format(8), "ap_fixed<8,5,RND_CONV,SAT_SYM>"),
        (Int(8, True, False), "ap_fixed<8,5,RND_CONV,SAT>"),
        (uint_format(4), "ap_ufixed<4,1,RND_CONV,SAT>"),
    ],
)
def test_quantizers_become_rounding_saturating_types(fmt: Int, text: str) -> None:
    grid, kind = quantized(fmt, -3)
    assert str(kind) == text
    assert (grid.low, grid.high) == (fmt.min_code, fmt.max_code)


def codes_of(values: list[list[int]], scale: list[float], fmt: str = "int4") -> WeightCodes:
    spec = parse(fmt, block="channel", scale="pow2")
    steps = np.array(scale, float).reshape(-1, 1)
    return WeightCodes(np.array(values, np.int64), spec, steps, np.zeros_like(steps))


def plain(codes: np.ndarray) -> np.ndarray:
    return codes.T


@pytest.mark.exact
def test_accumulators_hold_every_partial_sum_and_not_a_bit_more() -> None:
    codes = codes_of([[3, -2, 7], [-7, 1, -1]], [0.5, 0.5])
    bias = np.array([0.75, -100.0])
    acts = Grid(-1, 0, 3)
    found = products(codes, bias, acts, plain, "layer x")
    reached = set()
    for row, b in zip(codes.dequantize(), bias, strict=True):
        for a in product(range(4), repeat=3):
            terms = row * np.array(a) / 2
            reached.update((b, *(b + np.cumsum(terms)), *terms))
    step = found.accumulator.exponent
    integers = {r / 2.0**step for r in reached}
    assert all(float(i).is_integer() for i in integers)
    assert holds(found.accumulator.bits, found.accumulator.signed, int(min(integers)), int(max(integers)))
    assert not holds(found.accumulator.bits - 1, found.accumulator.signed, int(min(integers)), int(max(integers)))
    assert found.shifts == ()


@pytest.mark.exact
def test_channel_exponents_become_shifts_and_weights_keep_their_width() -> None:
    codes = codes_of([[3, -2], [7, 1], [0, 0], [-5, 4]], [2.0, 0.25, 2.0**-9, 1.0], "int4")
    bias = np.array([4.0, 0.25, 0.0, -3.0])
    found = products(codes, bias, Grid(0, -7, 7), plain, "layer x")
    assert found.shifts == (3, 0, 0, 2)
    assert str(found.weights.type) == "ap_fixed<4,2>"
    rebuilt = np.ldexp(found.weights.values, np.array(found.shifts))
    assert np.array_equal(rebuilt, codes.dequantize().T)
    assert found.weights.bias is not None
    assert np.array_equal(np.ldexp(found.weights.bias, np.array(found.shifts)), bias)
    worst = np.abs(codes.dequantize()).sum(axis=1) * 7 + bias
    assert found.shifted.high * 2.0**found.shifted.exponent == worst.max()


def test_equal_exponents_need_no_shift() -> None:
    assert products(codes_of([[1], [2]], [0.5, 0.5]), None, Grid(0, 0, 15), plain, "layer x").shifts == ()


def test_a_scale_that_is_no_power_of_two_is_refused_by_layer() -> None:
    with pytest.raises(UnsupportedError, match="no power of two") as caught:
        products(codes_of([[1], [2]], [0.5, 0.3]), None, Grid(0, 0, 15), plain, "layer stem")
    assert caught.value.where == "layer stem"
