"""Units on single numbers: rectifiers, residual additions, comparators."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product


def relu() -> Iterator[tuple[int]]:
    """2 to 40 bits."""
    yield from ((bits,) for bits in (2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40))


def residual_add() -> Iterator[tuple[int, int, int]]:
    """Accumulators of 4 to 32 bits, with units up to 2^8 apart either way."""
    for bits, shift in product((4, 6, 8, 12, 16, 20, 24, 32), (0, 1, 3, -2)):
        yield bits, bits, shift
    for a, b, shift in product((8, 12, 16), (6, 10, 20), (0, 2, 8, -4)):
        yield a, b, shift


def max_of_two() -> Iterator[tuple[int, str]]:
    """Integers of 1 to 32 bits, minifloats of 3 to 12."""
    for kind in ("int", "uint"):
        yield from ((bits, kind) for bits in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32))
    yield from ((bits, "minifloat") for bits in (3, 4, 5, 6, 7, 8, 9, 10, 12))


def max_pool() -> Iterator[tuple[int, int, str]]:
    """Windows of 2 to 16 numbers, of codes and, signed, of sums."""
    yield from product((2, 3, 4, 9, 16), range(2, 9), ("int", "uint"))
    yield from product((2, 3, 4, 9, 16), (12, 16, 32), ("int",))
    yield from product((2, 3, 4, 9, 16), range(3, 9), ("minifloat",))
