"""round_to, encode, decode: what holds for every format, and the formats that no outside library has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import coded_formats, real_biases

from hwsim.core.codes import decode, encode, round_to
from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Format, Int, Minifloat, Native, Power, minifloat

pytestmark = pytest.mark.property

reals = st.floats(allow_nan=False, allow_infinity=True, width=64)
near = st.floats(-600, 600, allow_nan=False)


@given(coded_formats(), st.lists(near | reals, min_size=1, max_size=30))
def test_rounding_is_idempotent_monotone_and_stays_on_the_grid(fmt: Format, xs: list[float]) -> None:
    x = np.sort(np.array(xs))
    y = round_to(x, fmt)
    assert_array_equal(round_to(y, fmt), y)
    assert np.all(np.diff(y) >= 0)
    assert np.all((y >= fmt.min) & (y <= fmt.max))
    if fmt.bits <= 10:
        assert np.isin(y, fmt.values()).all()


@given(coded_formats(), st.lists(near, min_size=1, max_size=30))
def test_decode_undoes_encode(fmt: Format, xs: list[float]) -> None:
    codes = encode(xs, fmt)
    assert codes.dtype == np.int64
    assert_array_equal(decode(codes, fmt), round_to(xs, fmt))
    assert_array_equal(decode(encode(decode(codes, fmt), fmt), fmt), decode(codes, fmt))


@given(coded_formats())
def test_every_listed_value_keeps_its_code(fmt: Format) -> None:
    if fmt.bits > 10:
        return
    values = fmt.values()
    assert np.all(np.diff(values) > 0)
    assert (values[0], values[-1]) == (fmt.min, fmt.max)
    if not isinstance(fmt, Binary):
        assert values[values > 0][0] == fmt.smallest
    codes = encode(values, fmt)
    assert len(set(codes.tolist())) == len(values) <= 2**fmt.bits
    assert_array_equal(decode(codes, fmt), values)


@given(coded_formats(), near)
def test_symmetric_formats_round_symmetrically(fmt: Format, x: float) -> None:
    if fmt.min == -fmt.max and not (isinstance(fmt, Binary) and x == 0):
        assert round_to(-x, fmt) == -round_to(x, fmt)


@given(real_biases(), st.integers(1, 5), st.integers(0, 4), st.lists(near, min_size=1, max_size=20))
def test_a_real_bias_scales_the_usual_grid(bias: float, e: int, m: int, xs: list[float]) -> None:
    usual, fmt = minifloat(e, m), minifloat(e, m, bias=bias)
    factor = 2.0 ** (usual.bias - bias)
    assert_allclose(fmt.values(), usual.values() * factor, rtol=1e-15)
    assert_array_equal(encode(np.array(xs) * fmt.stretch, fmt), encode(np.array(xs) * fmt.stretch / fmt.stretch, usual))
    values = fmt.values()
    nearest = np.abs(np.array(xs)[:, None] - values).min(axis=1)
    assert_allclose(np.abs(np.array(xs) - round_to(xs, fmt)), nearest, rtol=1e-12, atol=1e-300)


def test_a_whole_bias_shifts_binades_exactly() -> None:
    assert_array_equal(minifloat(4, 3, bias=11).values(), minifloat(4, 3).values() / 16)


@pytest.mark.parametrize("bits", [2, 3, 8, 32])
@pytest.mark.parametrize(("signed", "narrow"), [(True, True), (True, False), (False, False), (False, True)])
def test_integer_range_ties_and_saturation(bits: int, signed: bool, narrow: bool) -> None:
    fmt = Int(bits, signed, narrow)
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    low = 0 if not signed else -top if narrow else -top - 1
    assert (fmt.min_code, fmt.max_code) == (low, top)
    x = [-np.inf, -1e30, -0.5, 0.5, 1.5, 1e30, np.inf]
    assert_array_equal(round_to(x, fmt), np.clip([low, low, 0, 0, 2, top, top], low, top))
    if bits > 2:
        assert_array_equal(round_to([2.5, 3.5], fmt), np.minimum([2, 4], top))
    for bad in (low - 1, top + 1):
        with pytest.raises(InputError, match="out of range"):
            decode([bad], fmt)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("exponent", [0.4, 0.5, 1.0, 2.5])
def test_power_rounds_in_the_power_domain(bits: int, exponent: float) -> None:
    """PowerQuant, eq. 3: the code is RN(L |x|^a), not the nearest value."""
    fmt = Power(bits, exponent)
    top = 2 ** (bits - 1) - 1
    x = np.random.default_rng(0).uniform(-1.2, 1.2, 500)
    codes = np.array([int(np.sign(v)) * round(min(top, top * abs(v) ** exponent)) for v in x])
    assert_array_equal(encode(x, fmt), codes)
    expected = [np.sign(c) * (abs(c) / top) ** (1 / exponent) for c in codes]
    assert_allclose(round_to(x, fmt), expected, rtol=1e-15)
    assert_array_equal(encode(fmt.values(), fmt), np.arange(-top, top + 1))


def test_power_one_half_squares_the_codes() -> None:
    squares = [-49, -36, -25, -16, -9, -4, -1, 0, 1, 4, 9, 16, 25, 36, 49]
    assert_allclose(Power(4, 0.5).values() * 49, squares, rtol=3e-16)


def test_binary() -> None:
    fmt = Binary()
    x = [-np.inf, -3, -1e-300, -0.0, 0.0, 1e-300, 5, np.inf]
    assert_array_equal(round_to(x, fmt), [-1, -1, -1, 1, 1, 1, 1, 1])
    assert_array_equal(encode(x, fmt), [0, 0, 0, 1, 1, 1, 1, 1])
    with pytest.raises(InputError, match=r"0\.\.1"):
        decode([2], fmt)


@given(coded_formats())
def test_nan_stays_nan_and_has_no_code(fmt: Format) -> None:
    assert np.isnan(round_to([np.nan, 1.0], fmt)).tolist() == [True, False]
    with pytest.raises(InputError, match="NaN"):
        encode([1.0, np.nan], fmt)


@given(coded_formats())
def test_infinity_saturates(fmt: Format) -> None:
    assert_array_equal(round_to([-np.inf, np.inf], fmt), [fmt.min, fmt.max])
    assert_array_equal(decode(encode([-np.inf, np.inf], fmt), fmt), [fmt.min, fmt.max])


def test_unsigned_minifloats_clip_at_zero() -> None:
    fmt = minifloat(2, 2, signed=False)
    assert fmt.bits == 4
    assert_array_equal(encode([-5.0, -0.1, -0.0, 0.0, 0.25], fmt), [0, 0, 0, 0, 1])


def test_shapes_are_kept() -> None:
    x = np.zeros((2, 0, 3))
    for fmt in (Int(4, True, True), minifloat(2, 1), Power(4, 0.5), Binary()):
        assert round_to(x, fmt).shape == encode(x, fmt).shape == decode(encode(x, fmt), fmt).shape == x.shape
        assert round_to(0.3, fmt).shape == ()


def test_none_leaves_values_as_they_are() -> None:
    x = np.array([1e-320, 1 / 3, -np.inf])
    assert_array_equal(round_to(x, Native("none")), x)


def test_special_codes() -> None:
    assert np.isnan(decode([0x7F, 0xFF], minifloat(4, 3, specials="fn"))).all()
    assert_array_equal(decode([0x7C, 0xFC], minifloat(5, 2, specials="ieee")), [np.inf, -np.inf])
    assert np.isnan(decode([0x80], minifloat(4, 3, specials="fnuz"))).all()
    assert encode([-1e-9], minifloat(4, 3, specials="fnuz")).tolist() == [0]  # fnuz has no -0
    assert encode([-1e-9], minifloat(4, 3)).tolist() == [0x80]
    with pytest.raises(InputError):
        decode([256], minifloat(4, 3))


@pytest.mark.parametrize(
    ("bits", "splits", "largest"),
    [
        (3, "e1m1 e2m0", [3, 4]),
        (4, "e1m2 e2m1 e3m0", [3.5, 6, 16]),
        (5, "e1m3 e2m2 e3m1 e4m0", [3.75, 7, 24, 256]),
        (6, "e1m4 e2m3 e3m2 e4m1 e5m0", [3.875, 7.5, 28, 384, 65536]),
        (7, "e1m5 e2m4 e3m3 e4m2 e5m1", [3.9375, 7.75, 30, 448, 98304]),
        (8, "e1m6 e2m5 e3m4 e4m3 e5m2", [3.96875, 7.875, 31, 480, 114688]),
    ],
)
def test_largest_values_of_the_paper(bits: int, splits: str, largest: list[float]) -> None:
    """max = (2 - 2^-y) 2^(2^x - 1 - B), arXiv 2311.12359; 2^b - 1 distinct values."""
    for name, top in zip(splits.split(), largest, strict=True):
        e, m = int(name[1]), int(name[3:])
        fmt = minifloat(e, m)
        assert (fmt.bits, fmt.max, len(fmt.values())) == (bits, top, 2**bits - 1)
        assert fmt.max == (2 - 2.0**-m) * 2.0 ** (2**e - 1 - fmt.bias)
        assert fmt.max_multiple == round(fmt.max / fmt.smallest)
        assert fmt.significand_bits == 2**e + m - 1


def test_widths_of_a_magnitude_are_exact_beyond_float64() -> None:
    for bias in (63.0, 0.3, -17.77):
        fmt = Minifloat(7, 10, bias, "none", True)
        assert fmt.max_multiple == (2**11 - 1) << 126
        assert Minifloat(7, 0, bias, "none", True).significand_bits == 127
