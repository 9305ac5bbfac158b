"""Integer multipliers and multiply-accumulate units."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

SUMMANDS_BITS = 6  # accumulators hold sums of 64 products unless they are what is varied


def int_mul() -> Iterator[tuple[int, int, bool]]:
    """All widths from 1 to 16 on both sides, signed and unsigned activations."""
    yield from product(range(1, 17), range(1, 17), (False, True))


def int_mac() -> Iterator[tuple[int, int, bool, int]]:
    """Sums of 64 for all widths to 10 and even ones above; other lengths where w and a are equal or one is 8."""
    widths = [*range(1, 11), 12, 14, 16]
    for w, a, signed in product(widths, widths, (False, True)):
        yield w, a, signed, w + a + SUMMANDS_BITS
    networks = (2, 3, 4, 5, 6, 8)
    for w, a, signed in product(networks, networks, (False, True)):
        if w == a or 8 in (w, a):
            yield from ((w, a, signed, w + a + guard) for guard in (0, 3, 10, 16))


def dsp_mul() -> Iterator[tuple[int, int, bool]]:
    """Products for DSP blocks (flow `dsp`): narrow ones, and both sides of the 18 and 27 bits of their ports."""
    for w, a, signed in product((4, 8, 12, 16, 18, 19, 27, 28), (4, 8, 17, 18, 26), (False, True)):
        if w + a >= 9:
            yield w, a, signed
