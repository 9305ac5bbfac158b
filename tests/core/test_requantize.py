"""Requantization against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import ints

from hwsim.core.codes import round_to
from hwsim.core.errors import InputError
from hwsim.core.formats import Int, int_format, uint_format
from hwsim.core.requantize import hls_quantization, requantize

pytestmark = pytest.mark.exact


def by_fractions(acc: int, shift: int, fmt: Int) -> int:
    """Python's round() of a Fraction is half to even."""
    scaled = Fraction(acc) / 2**shift if shift >= 0 else Fraction(acc) * 2**-shift
    return min(max(round(scaled), fmt.min_code), fmt.max_code)


@settings(max_examples=700)
@given(
    st.lists(st.integers(-(2**62) + 1, 2**62 - 1) | st.integers(-(2**20), 2**20), min_size=1, max_size=8),
    st.integers(-61, 80),
    ints(),
)
def test_any_accumulator_any_shift_any_format(acc: list[int], shift: int, fmt: Int) -> None:
    result = requantize(acc, shift, fmt)
    assert result.dtype == np.int64
    assert result.tolist() == [by_fractions(a, shift, fmt) for a in acc]


@settings(max_examples=400)
@given(st.integers(-(2**40), 2**40), st.integers(1, 21), st.integers(-2, 2), ints())
def test_ties_and_their_neighbours(quotient: int, shift: int, off: int, fmt: Int) -> None:
    acc = (2 * quotient + 1) * 2 ** (shift - 1) + off
    assert requantize(acc, shift, fmt).tolist() == by_fractions(acc, shift, fmt)


@pytest.mark.parametrize("fmt", [int_format(4), Int(4, True, False), uint_format(4), Int(4, False, True)], ids=str)
@pytest.mark.parametrize("shift", range(-3, 6))
def test_every_small_accumulator(fmt: Int, shift: int) -> None:
    acc = np.arange(-600, 601)
    result = requantize(acc, shift, fmt)
    assert result.tolist() == [by_fractions(int(a), shift, fmt) for a in acc]
    assert_array_equal(result, round_to(acc * 2.0**-shift, fmt))  # the float reference agrees


def test_the_farthest_left_shifts_saturate_or_say_so() -> None:
    fmt = Int(32, True, False)
    assert requantize([-(2**62) + 1, -1, 0, 1, 2**62 - 1], -61, fmt).tolist() == [
        -(2**31),
        -(2**31),
        0,
        *[2**31 - 1] * 2,
    ]
    with pytest.raises(InputError, match="left shift by 62"):
        requantize([1], -62, fmt)


@pytest.mark.parametrize("shift", range(58, 67))
def test_shifts_as_wide_as_the_accumulator(shift: int) -> None:
    ends = [s * (2**k + d) for k in (57, 58, 59, 60, 61) for d in (-1, 0, 1) for s in (-1, 1)]
    acc = [*ends, -(2**62) + 1, 2**62 - 1]
    for fmt in (int_format(2), Int(8, True, False), uint_format(1)):
        assert requantize(acc, shift, fmt).tolist() == [by_fractions(a, shift, fmt) for a in acc]


def test_shapes_and_hls_modes() -> None:
    assert requantize(np.zeros((2, 0, 3), dtype=np.int64), 3, int_format(4)).shape == (2, 0, 3)
    assert requantize(5, 1, int_format(4)).shape == ()
    assert hls_quantization(int_format(4)) == "RND_CONV,SAT_SYM"
    assert hls_quantization(Int(4, True, False)) == "RND_CONV,SAT"
    assert hls_quantization(uint_format(4)) == "RND_CONV,SAT"
