"""Packed codes come back bit for bit, in every format."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.core.codes import WeightCodes
from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Format, Int, Minifloat, Power, int_format, minifloat
from hwsim.core.scaled import Scaled
from hwsim.exchange.bit_packing import is_signed_code, pack_codes, row_bytes, unpack_codes

INTEGERS = [Int(b, s, n) for b in range(1, 17) for s in (True, False) for n in (True, False) if b >= 2 + s]
MINIFLOATS = [
    minifloat(e, b - 1 - e, specials=s)  # type: ignore[arg-type]
    for b in range(3, 9)
    for e in range(1, b)
    for s in ("none", "fn", "ieee", "fnuz")
    if not (s == "ieee" and e < 2) and not (s == "fn" and b < 4) and e <= 7
]
FORMATS: list[Format] = [
    *INTEGERS,
    *MINIFLOATS,
    *(minifloat(e, m, signed=False) for e in range(1, 5) for m in range(4)),
    *(Power(b, x) for b in (2, 3, 4, 8, 13, 16) for x in (0.5, 0.37)),
    Binary(),
    Int(32, True, False),
    Int(24, False, False),
]


def codes_of(fmt: Format) -> tuple[int, int]:
    """Smallest and largest code, from the format's definition."""
    if isinstance(fmt, Int):
        return fmt.min_code, fmt.max_code
    if isinstance(fmt, Power):
        return -fmt.max_code, fmt.max_code
    return 0, (1 << fmt.bits) - 1


def weight(codes: np.ndarray, fmt: Format) -> WeightCodes:
    return WeightCodes(codes, Scaled(fmt), np.ones((1, 1)), np.zeros((1, 1)))


@pytest.mark.property
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(1, 5), st.integers(1, 40), st.randoms(use_true_random=False))
def test_round_trip(fmt: Format, rows: int, elements: int, random: object) -> None:
    low, high = codes_of(fmt)
    draw = random.randint  # type: ignore[attr-defined]
    codes = np.array([[draw(low, high) for _ in range(elements)] for _ in range(rows)], np.int64)
    packed = pack_codes(weight(codes, fmt))
    assert packed.dtype == np.uint8 and packed.shape == (rows, -(-elements * fmt.bits // 8))
    assert np.array_equal(unpack_codes(packed, fmt, codes.shape), codes)


@pytest.mark.exact
@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_the_stream_read_as_one_large_number(fmt: Format) -> None:
    """Brute force: the row is the little-endian number sum(code_i 2^(bits i))."""
    low, high = codes_of(fmt)
    codes = np.unique(np.linspace(low, high, 37).round().astype(np.int64))
    number = sum((int(c) % (1 << fmt.bits)) << (fmt.bits * i) for i, c in enumerate(codes))
    packed = pack_codes(weight(codes[None], fmt))
    assert int.from_bytes(packed[0].tobytes(), "little") == number
    assert is_signed_code(fmt) == (low < 0)


@pytest.mark.exact
def test_the_worked_example_of_the_documentation() -> None:
    packed = pack_codes(weight(np.array([[1, -2, 3]]), int_format(3)))
    assert packed.tolist() == [[0xF1, 0x00]]


@pytest.mark.exact
def test_true_width() -> None:
    assert row_bytes(64, 3) == 24 and row_bytes(9, 4) == 5 and row_bytes(1, 1) == 1


@pytest.mark.exact
def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"-4\.\.3"):
        pack_codes(weight(np.array([[4]]), int_format(3)))
    with pytest.raises(InputError, match="2 rows of 3 bytes"):
        unpack_codes(np.zeros((2, 2), np.uint8), Minifloat(4, 3, 7.0, "fn", True), (2, 3))
