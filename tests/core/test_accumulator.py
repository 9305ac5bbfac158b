"""Accumulator widths by brute force at n <= 16, the published table, the printed formulas."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.core.accumulator import accumulator_bits, accumulator_bits_of_weights, largest_multiple, unit
from hwsim.core.codes import encode
from hwsim.core.errors import InputError
from hwsim.core.formats import Binary, Format, Int, Minifloat, Native, Power, int_format, minifloat, uint_format
from hwsim.core.scaled import parse_format

pytestmark = pytest.mark.exact

FORMATS: list[Format] = [
    *(int_format(b) for b in (2, 3, 4, 8)),
    *(Int(b, True, False) for b in (2, 3, 4)),
    *(uint_format(b) for b in (1, 2, 4)),
    Int(3, False, True),
    *(minifloat(e, m) for e, m in ((1, 2), (2, 0), (2, 1), (3, 0), (3, 2), (4, 3), (5, 2))),
    minifloat(2, 2, signed=False),
    minifloat(4, 3, specials="fn"),
    minifloat(3, 1, specials="ieee"),
    minifloat(3, 1, specials="fnuz"),
    minifloat(3, 1, bias=1.37),
    Power(3, 0.5),
    Power(4, 0.5),
    Binary(),
]


def multiples(fmt: Format) -> list[int]:
    """Every value as an integer number of smallest steps, exactly; every one must be whole."""
    if isinstance(fmt, Minifloat):
        fmt = Minifloat(fmt.exponent, fmt.mantissa, float(fmt.usual_bias), fmt.specials, fmt.signed)
    if isinstance(fmt, Power):
        return [int(np.sign(q)) * q * q for q in range(-fmt.max_code, fmt.max_code + 1)]
    counts = [Fraction(float(v)) / Fraction(unit(fmt)) for v in fmt.values()]
    assert all(c.denominator == 1 for c in counts)
    return [int(c) for c in counts]


ALL_MULTIPLES = {fmt: multiples(fmt) for fmt in FORMATS}


def signed_bits(low: int, high: int) -> int:
    """The fewest bits of a two's complement number that holds low..high."""
    bits = 1
    while not (-(1 << (bits - 1)) <= low and high <= (1 << (bits - 1)) - 1):
        bits += 1
    return bits


@pytest.mark.parametrize("n", range(1, 17))
def test_tight_holds_every_sum_and_not_one_bit_is_spare(n: int) -> None:
    """Sums of n independent products reach n times the extreme products and nothing beyond.

    The one exception to minimality: where the extreme is -2^k and +2^k never occurs (full-range or one-valued
    operands against unsigned ones), two's complement would hold it in one bit less.
    """
    for w, a in product(FORMATS, repeat=2):
        products = [x * y for x, y in product(ALL_MULTIPLES[w], (min(ALL_MULTIPLES[a]), max(ALL_MULTIPLES[a])))]
        low, high = n * min(products), n * max(products)
        width = accumulator_bits(n, w, a)
        need = signed_bits(min(low, 0), max(high, 0))
        assert need <= width, (str(w), str(a))
        if need != width:
            assert (width, low) == (need + 1, -(1 << (need - 1)))
            assert high < -low


@pytest.mark.parametrize(
    ("w", "a"), [("int2", "e2m0"), ("e2m0", "uint2"), ("int2.full", "int2.full"), ("binary", "e1m1")]
)
def test_extremes_are_those_of_every_sum(w: str, a: str) -> None:
    """Every one of the |w|^n |a|^n dot products of length 1..3, formed and measured."""
    weights, acts = parse_format(w), parse_format(a)
    sums = {0}
    for n in range(1, 4):
        sums = {s + x * y for s in sums for x in multiples(weights) for y in multiples(acts)}
        assert signed_bits(min(sums), max(sums)) == accumulator_bits(n, weights, acts)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_largest_multiple(fmt: Format) -> None:
    assert largest_multiple(fmt) == max(map(abs, multiples(fmt)))
    assert largest_multiple(fmt) * unit(fmt) == pytest.approx(max(fmt.max, -fmt.min), rel=1e-15)


# Closed forms for n = 576 and 4608 with the same format on both operands, INT_b then E1M(b-2), E2M(b-3), ...:
# integers by the data-type bound ra + rb + ceil(log2 n) - 1 (A2Q, arXiv 2308.13504; FINN), minifloats by 2311.12359.
TABLE = {
    3: [(15, 18), (15, 18), (17, 20)],
    4: [(17, 20), (17, 20), (19, 22), (25, 28)],
    5: [(19, 22), (19, 22), (21, 24), (27, 30), (41, 44)],
    6: [(21, 24), (21, 24), (23, 26), (29, 32), (43, 46), (73, 76)],
    8: [(25, 28), (25, 28), (27, 30), (33, 36), (47, 50), (77, 80)],
}


@pytest.mark.truth
@pytest.mark.parametrize("b", TABLE)
def test_published_widths(b: int) -> None:
    """`paper` is the table (two bits above it for integers); `tight` is never above and at most two bits below it.

    The closed forms round n and both magnitudes up to powers of two; `tight` multiplies first.
    """
    formats: list[Format] = [int_format(b), *(minifloat(e, b - 1 - e) for e in range(1, len(TABLE[b])))]
    for fmt, widths in zip(formats, TABLE[b], strict=True):
        for n, width in zip((576, 4608), widths, strict=True):
            assert accumulator_bits(n, fmt, fmt, "paper") == width + (2 if isinstance(fmt, Int) else 0)
            assert width - 2 <= accumulator_bits(n, fmt, fmt) <= width


def test_tight_figures_by_hand() -> None:
    """From the largest values: 127, 7, 480 = 245760 steps of 2^-9, 6 = 12 steps of 1/2."""
    assert accumulator_bits(4608, int_format(8), int_format(8)) == 1 + (4608 * 127**2).bit_length() == 28
    assert accumulator_bits(576, int_format(4), int_format(4)) == 1 + (576 * 7**2).bit_length() == 16
    assert accumulator_bits(576, minifloat(4, 3), minifloat(4, 3)) == 1 + (576 * 245760**2).bit_length() == 46
    assert accumulator_bits(576, minifloat(2, 1), int_format(4)) == 1 + (576 * 12 * 7).bit_length() == 17
    assert accumulator_bits(576, uint_format(4), int_format(4)) == 1 + (576 * 15 * 7).bit_length() == 17


@pytest.mark.truth
def test_paper_forms() -> None:
    """Integers ra + rb + ceil(log2 n) + 1; minifloats 2^xa + ya + 2^xb + yb + ceil(log2 n) - 1."""
    for n, log in ((1, 0), (2, 1), (3, 2), (16, 4), (17, 5), (576, 10), (4608, 13)):
        assert accumulator_bits(n, int_format(8), int_format(4), "paper") == 8 + 4 + log + 1
        assert accumulator_bits(n, minifloat(4, 3), minifloat(2, 1), "paper") == 16 + 3 + 4 + 1 + log - 1
    # the printed forms tie E2M(b-3) with INT_b, the tight ones put two bits between them
    assert accumulator_bits(4608, minifloat(2, 1), minifloat(2, 1), "paper") == 22
    assert accumulator_bits(4608, int_format(4), int_format(4), "paper") == 22


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 100, 4608])
def test_paper_never_wraps(n: int) -> None:
    for w, a in product(FORMATS, repeat=2):
        assert accumulator_bits(n, w, a, "paper") >= accumulator_bits(n, w, a), (n, str(w), str(a))


@settings(max_examples=150)
@given(
    st.sampled_from([f for f in FORMATS if not isinstance(f, Power)]),
    st.sampled_from(FORMATS),
    st.integers(1, 3),
    st.integers(1, 8),
    st.integers(0, 2**32 - 1),
)
def test_width_of_given_weights_by_all_sign_patterns(w: Format, a: Format, rows: int, n: int, seed: int) -> None:
    """A dot product with given weights is extreme where every activation is at one of its ends."""
    rng = np.random.default_rng(seed)
    codes = encode(rng.uniform(w.min, w.max, (rows, n)), w)
    table = dict(zip(encode(w.values(), w).tolist(), multiples(w), strict=True))
    ends = (min(multiples(a)), max(multiples(a)))
    sums = [
        sum(table[_plain(int(c), w)] * x for c, x in zip(row, signs, strict=True))
        for row in codes
        for signs in product(ends, repeat=n)
    ]
    width = accumulator_bits_of_weights(codes, w, a)
    need = signed_bits(min(sums), max(sums))
    assert need <= width <= accumulator_bits(n, w, a)
    if ends[0] == -ends[1] and max(sums) > 0:  # symmetric activations reach the bound
        assert need == width


def _plain(code: int, fmt: Format) -> int:
    """The code of +0 for that of -0."""
    return 0 if isinstance(fmt, Minifloat) and fmt.signed and code == 1 << (fmt.bits - 1) else code


@pytest.mark.parametrize(
    "fmt", [minifloat(5, 2), minifloat(6, 1), minifloat(7, 0), minifloat(7, 10, bias=0.37)], ids=str
)
def test_wide_exponents_do_not_overflow(fmt: Minifloat) -> None:
    codes = np.full((2, 5), fmt.max_magnitude_code)
    codes[1, 3:] |= 1 << (fmt.bits - 1)
    assert accumulator_bits_of_weights(codes, fmt, fmt) == accumulator_bits(5, fmt, fmt)


def test_zero_points_of_weights_count() -> None:
    codes, w, a = np.array([[0, 0, 0], [3, 3, 3]]), uint_format(4), int_format(4)
    assert accumulator_bits_of_weights(codes, w, a, zero_point=15.0) == 1 + (45 * 7).bit_length()
    assert accumulator_bits_of_weights(codes, w, a, zero_point=np.array([[1.0], [3.0]])) == 1 + (3 * 7).bit_length()


def test_any_shape_and_all_zero_weights() -> None:
    fmt = int_format(4)
    codes = np.arange(-7, 8)[:12].reshape(2, 2, 3)
    flat = codes.reshape(2, 6)
    assert accumulator_bits_of_weights(codes, fmt, fmt) == accumulator_bits_of_weights(flat, fmt, fmt)
    assert accumulator_bits_of_weights(np.zeros((2, 3), int), fmt, fmt) == 2


def test_what_has_no_exact_accumulator_says_so() -> None:
    for fmt in (Native("fp16"), Power(4, 0.4)):
        for convention in ("tight", "paper"):
            with pytest.raises(InputError, match="exact accumulator"):
                accumulator_bits(8, fmt, int_format(4), convention)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="length 0"):
        accumulator_bits(0, int_format(4), int_format(4))
