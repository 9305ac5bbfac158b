"""Between formats: decoders, encoders, requantizers and thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from hwsim.cost_models.synthesis.experiments.minifloats import ALL, PAIRED, TO_8_BITS

MOST_COMPARED_BITS = 2100  # thresholds x their bits


def minifloat_decode() -> Iterator[tuple[int, int, bool]]:
    """All formats, unsigned ones to 8 bits."""
    yield from ((e, m, True) for e, m in ALL)
    yield from ((e, m, False) for e, m in TO_8_BITS)


def minifloat_encode() -> Iterator[tuple[int, int, int, int, bool]]:
    """From accumulators of 10 to 48 bits, with the range of the target low, in the middle and high in them."""
    for bits, (e, m), part in product((10, 16, 20, 24, 32, 40, 48), PAIRED, (1, 2, 3)):
        span = m + (1 << e) - 1  # bits from the smallest step to the largest value
        if part == 2 or bits in (16, 24):
            yield bits, max(bits - span, 1) * part // 4, e, m, True
    for bits, (e, m) in product((16, 24), TO_8_BITS):
        yield bits, bits // 3, e, m, True
        if (e, m) in PAIRED:
            yield bits, bits // 3, e, m, False


def shift_requantize() -> Iterator[tuple[int, int, int, bool, bool]]:
    """Accumulators of 8 to 40 bits to 2 to 8 bits; one shift in the middle, more for 4 and 8 bits."""
    for bits, out, signed in product((8, 10, 12, 16, 20, 24, 32, 40), (2, 3, 4, 5, 6, 8), (True, False)):
        if bits > out + 1:
            yield bits, (bits - out) // 2, out, signed, signed
    for bits, out, signed in product((12, 16, 24), (4, 8), (True, False)):
        yield from ((bits, shift, out, signed, signed) for shift in (-1, 0, 1, 2, 4, bits - out))
    yield from ((bits, bits // 3, out, True, False) for bits, out in product((12, 20, 32), (4, 8)))


def multiply_requantize() -> Iterator[tuple[int, int, int, int, bool, bool]]:
    """Scales of 4 to 16 bits and of 24, the significand of a float32; fewer kinds of the slow ones."""
    for bits, scale, out in product((10, 12, 16, 20, 24, 32), (4, 8, 12, 16, 24), (4, 8)):
        if bits > 12 and (scale, out) not in ((8, 8), (16, 8), (24, 8)):
            continue
        yield bits, scale, scale + (bits - out) // 2, out, True, True
        if bits <= 12 and scale in (8, 16, 24):
            yield bits, scale, scale + (bits - out) // 2, out, False, False


def thresholds() -> Iterator[tuple[int, int, bool, int]]:
    """1 to 8 bits out of accumulators of 4 to 32 bits, thresholds as inputs and as constants of two draws."""
    for bits, out in product((4, 6, 8, 10, 12, 16, 20, 24, 32), range(1, 9)):
        if out <= bits and ((1 << out) - 1) * bits <= MOST_COMPARED_BITS:
            yield bits, out, False, 0
            yield bits, out, True, 0
            if bits in (8, 12, 16):
                yield bits, out, True, 1
