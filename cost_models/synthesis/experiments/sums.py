"""Adder trees and dot products."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from hwsim.cost_models.synthesis.experiments.integers import SUMMANDS_BITS
from hwsim.cost_models.synthesis.experiments.minifloats import PAIRED, integer_pair_bits, pair_bits

WIDEST = 640  # bits into an adder tree
MOST_PRODUCT_BITS = 1200  # lanes x w_bits x a_bits of a dot product of integers
MOST_SUM_BITS = 480  # lanes x bits of a product of one of minifloats


def adder_tree() -> Iterator[tuple[int, int, bool]]:
    """2 to 64 summands of 1 to 32 bits."""
    lanes = (2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 18, 24, 27, 32, 36, 48, 64)
    for count, bits, signed in product(lanes, (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32), (True, False)):
        if count * bits <= WIDEST and (signed or bits in (1, 4, 8, 16)):
            yield count, bits, signed


def int_dot() -> Iterator[tuple[int, int, int, bool, int]]:
    """1 to 64 lanes, equal and mixed widths; accumulators that hold 64 cycles."""
    widths = ((1, 1), (2, 2), (2, 4), (2, 8), (3, 3), (4, 2), (4, 4), (4, 8), (5, 5), (6, 6), (6, 8), (8, 4), (8, 8))
    for lanes, (w, a), signed in product((1, 2, 3, 4, 6, 8, 9, 12, 16, 24, 32, 64), widths, (False, True)):
        if lanes * w * a <= MOST_PRODUCT_BITS and (not signed or w == a):
            yield lanes, w, a, signed, w + a + (lanes - 1).bit_length() + SUMMANDS_BITS


def minifloat_dot() -> Iterator[tuple[int, int, int, int, int, int, bool]]:
    """1 to 64 lanes of the same format, some of mixed ones; accumulators that hold 64 cycles."""
    mixed = (((2, 1), (2, 3)), ((2, 1), (4, 3)), ((4, 3), (3, 2)))
    for lanes, (w, a) in product((1, 2, 3, 4, 6, 8, 12, 16, 32, 64), (*((f, f) for f in PAIRED), *mixed)):
        bits = pair_bits(w, a, True)
        if lanes * bits <= MOST_SUM_BITS:
            yield lanes, *w, *a, bits + (lanes - 1).bit_length() + SUMMANDS_BITS, True
    for lanes, w in product((2, 4, 8, 16), ((2, 1), (2, 3), (3, 2))):
        yield lanes, *w, *w, pair_bits(w, w, False) + (lanes - 1).bit_length() + SUMMANDS_BITS, False


def minifloat_int_dot() -> Iterator[tuple[int, int, int, int, bool, int]]:
    """1 to 32 lanes of minifloat weights with 4-bit and 8-bit activations."""
    formats = ((2, 0), (2, 1), (2, 3), (3, 0), (3, 2), (4, 3))
    for lanes, w, a in product((1, 2, 4, 8, 16, 32), formats, (4, 8)):
        bits = integer_pair_bits(w, a, False)
        if lanes * bits <= MOST_SUM_BITS:
            yield lanes, *w, a, False, bits + (lanes - 1).bit_length() + SUMMANDS_BITS
