"""Units of MX and NVFP4: block scales and dot products under them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

E2M1_PAIR, E4M3_PAIR = -2, -18  # units of products: twice the exponents of the smallest steps
PAIRS = (("e2m1", "e2m1"), ("e2m3", "e2m3"), ("e3m2", "e3m2"), ("e4m3", "e4m3"), ("e5m2", "e5m2"), ("int8", "int8"))
MIXED = (("e2m1", "e2m3"), ("e2m1", "e4m3"), ("e4m3", "e5m2"), ("e2m1", "e3m2"), ("e3m2", "e4m3"))


def block_scale() -> Iterator[tuple[int, str, int]]:
    """Sums of 6 to 48 bits, in the units of products of E2M1 and of E4M3."""
    for bits, scale in product((6, 8, 10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48), ("e8m0", "e4m3")):
        yield bits, scale, E2M1_PAIR
        if bits in (16, 32):
            yield bits, scale, E4M3_PAIR


def block_scale_dot() -> Iterator[tuple[str, str, int, str]]:
    """1 to 16 lanes; the NVFP4 scale with the small elements that it is for."""
    for (w, a), lanes in product(PAIRS, (1, 2, 4, 8, 16)):
        if lanes < 16 or w in ("e2m1", "e3m2"):
            yield w, a, lanes, "e8m0"
        if w == "e2m1":
            yield w, a, lanes, "e4m3"
    for (w, a), lanes in product(MIXED, (1, 4)):
        yield w, a, lanes, "e8m0"
