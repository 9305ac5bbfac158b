"""Minifloat multipliers and multiply-accumulate units, with minifloats and with integers, and float adders."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

from hwsim.core.formats import minifloat
from hwsim.cost_models.synthesis.experiments.integers import SUMMANDS_BITS

Format = tuple[int, int]  # exponent and mantissa bits

ALL: tuple[Format, ...] = tuple(product(range(1, 6), range(8)))
TO_8_BITS: tuple[Format, ...] = tuple((e, m) for e, m in ALL if e + m <= 7 and (e, m) != (1, 0))
# Formats of published networks and one neighbour of each in every direction of the grid.
PAIRED: tuple[Format, ...] = ((1, 2), (2, 0), (2, 1), (2, 3), (2, 5), (3, 0), (3, 2), (3, 4), (4, 1), (4, 3), (5, 2))


def minifloat_mul() -> Iterator[tuple[int, int, int, int, bool]]:
    """The same format on both sides, for all formats, and all mixed pairs to 8 bits."""
    for e, m in ALL:
        yield e, m, e, m, True
    for e, m in TO_8_BITS:
        yield e, m, e, m, False
    for w, a in combinations(TO_8_BITS, 2):
        yield *w, *a, True


def minifloat_mac() -> Iterator[tuple[int, int, int, int, int, bool]]:
    """As the multipliers, some mixed pairs both ways round and unsigned, and sums of 8, 256 and 4,096."""
    for w, a, signed in (*((f, f, True) for f in ALL), *((f, f, False) for f in TO_8_BITS)):
        yield *w, *a, pair_bits(w, a, signed) + SUMMANDS_BITS, signed
    for w, a in combinations(TO_8_BITS, 2):
        yield *w, *a, pair_bits(w, a, True) + SUMMANDS_BITS, True
    for w, a in product(PAIRED, PAIRED):
        if w > a:
            yield *w, *a, pair_bits(w, a, True) + SUMMANDS_BITS, True
        if w < a:
            yield *w, *a, pair_bits(w, a, False) + SUMMANDS_BITS, False
    for w, guard in product(PAIRED, (3, 8, 12)):
        yield *w, *w, pair_bits(w, w, True) + guard, True


def minifloat_int_mul() -> Iterator[tuple[int, int, int, bool]]:
    """All formats to 8 bits with integers of 2 to 8, and some with wider ones."""
    for w, a, signed in product(TO_8_BITS, (2, 3, 4, 6, 8), (False, True)):
        yield *w, a, signed
    for w, a in product(((2, 1), (3, 2), (4, 3)), (1, 5, 7, 10, 12, 16)):
        yield *w, a, False


def minifloat_int_mac() -> Iterator[tuple[int, int, int, bool, int]]:
    """As the multipliers, and sums of 8, 256 and 4,096."""
    for ew, mw, a, signed in minifloat_int_mul():
        yield ew, mw, a, signed, integer_pair_bits((ew, mw), a, signed) + SUMMANDS_BITS
    for w, guard in product(((2, 1), (2, 3), (3, 2), (4, 3), (5, 2)), (3, 8, 12)):
        yield *w, 8, False, integer_pair_bits(w, 8, False) + guard


def float_accumulate_mac() -> Iterator[tuple[int, int, int, int, int, int, bool]]:
    """Accumulators from E5M6 to float32."""
    for (e, m), acc in product(PAIRED, ((5, 6), (5, 10), (8, 7), (8, 15), (8, 23))):
        yield e, m, e, m, *acc, True
    for w, a, acc in product(((2, 1), (4, 3)), ((2, 1), (3, 2), (4, 3), (5, 2)), ((5, 10), (8, 7), (8, 23))):
        if w != a:
            yield *w, *a, *acc, True
    for (e, m), acc in product(((2, 1), (3, 2), (4, 3)), ((5, 10), (8, 7))):
        yield e, m, e, m, *acc, False


def float_formats() -> Iterator[Format]:
    """float32, bfloat16, float16, the 8-bit formats, and what lies between them."""
    yield from ((8, 23), (8, 7), (5, 10), (4, 3), (5, 2), (3, 2), (2, 3), (8, 10), (6, 9), (5, 6), (4, 7), (5, 14))
    yield from ((8, 15), (3, 4), (4, 5), (6, 5), (6, 17), (3, 8), (4, 11), (8, 3))


def pair_bits(w: Format, a: Format, a_signed: bool) -> int:
    """Signed bits of an exact product of two minifloats, in units of the product of their smallest steps."""
    return 1 + (minifloat(*w).max_multiple * minifloat(*a, signed=a_signed).max_multiple).bit_length()


def integer_pair_bits(w: Format, a_bits: int, a_signed: bool) -> int:
    """Signed bits of an exact product of a minifloat and an integer."""
    largest = 1 << (a_bits - 1) if a_signed else (1 << a_bits) - 1
    return 1 + (minifloat(*w).max_multiple * largest).bit_length()
