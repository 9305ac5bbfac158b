"""On-chip storage: LUTRAM when shallow, block RAM by aspect ratio otherwise, and FIFOs.

Sources: aspect ratios of an 18 Kb block RAM from UG473 and UG573 (memory resources guides); one LUT holds 64 x 1 bit
(UG474, UG574), the charge FINN makes for weights in LUTRAM; the FIFO formula is FINN's.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, log2

from hwsim.cost_models.bill import Bill, Term

BRAM18_SHAPES = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))
LUTRAM_DEPTH = 64


@lru_cache(maxsize=65536)
def bram18(width: int, depth: int) -> int:
    """Block RAMs of 18 Kb for `depth` words of `width` bits: the best single aspect ratio."""
    return min(ceil(width / w) * ceil(depth / d) for w, d in BRAM18_SHAPES)


@lru_cache(maxsize=65536)
def storage(width: int, depth: int, label: str) -> Bill:
    """A memory of `depth` words of `width` bits, one read and one write a cycle.

    One word is a register; up to 64 words are LUTRAM; more are block RAM.
    """
    if width <= 0 or depth <= 0:
        return Bill()
    if depth == 1:
        return Bill(ff=width)
    if depth <= LUTRAM_DEPTH:
        return Bill((Term(label, "rom", float(width * ceil(depth / 64))),))
    return Bill(bram18=bram18(width, depth))


@lru_cache(maxsize=65536)
def fifo(width: int, depth: int) -> Bill:
    """A first-in first-out buffer.

    LUTs are FINN's 2 ceil(log2 depth) for control and ceil(depth / 32) ceil(width / 2) for a LUTRAM body. Flip-flops
    are two pointers, a level and, without block RAM, the output word: 3 ceil(log2 depth) + 1 (+ width), which is what
    the six synthesised FIFOs have.
    """
    depth = max(depth, 2)
    steps = ceil(log2(depth))
    control = Term("fifo", "fifo", 2.0 * steps)
    if depth > LUTRAM_DEPTH:
        return Bill((control,), ff=3 * steps + 1, bram18=bram18(width, depth))
    body = Term("fifo", "rom", float(ceil(depth / 32) * ceil(width / 2)))
    return Bill((control, body), ff=3 * steps + 1 + width)
